/*-------------------------------------------------------------------------
 *
 * sql_files.c
 *	  SQL function that reads whole files.
 *
 * iopool_read_files(paths, on_error, in_order)
 *					 -> setof (ordinal, path, size, modified, data, error)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "sql/feed.h"
#include "sql/request.h"
#include "sql/row.h"

IOPOOL_FUNCTION(iopool_read_files);

Datum
iopool_read_files(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IopoolFeedOptions options = {.in_order = PG_GETARG_BOOL(2)};
	MemoryContext row_cxt;
	IopoolArgs args;
	IopoolFeed *feed;
	IopoolCall *call;
	bool report;

	iopool_request_enter();
	iopool_args_take_files(&args, CurrentMemoryContext, PG_GETARG_DATUM(0));
	report = iopool_args_is_report(PG_GETARG_DATUM(1));
	if (!report)
		iopool_args_check(&args);
	feed = iopool_feed_begin(CurrentMemoryContext, &options);
	call = iopool_feed_new_call(feed, &args, report);
	row_cxt = AllocSetContextCreate(CurrentMemoryContext, "iopool row",
									ALLOCSET_SMALL_SIZES);

	InitMaterializedSRF(fcinfo, 0);
	iopool_feed_add(feed, call);
	iopool_feed_complete(feed);
	while (call->nout < args.nranges)
	{
		Datum values[IOPOOL_ROW_FILE_COLUMNS];
		bool nulls[IOPOOL_ROW_FILE_COLUMNS];
		MemoryContext old_cxt;
		IopoolResult result;

		iopool_feed_next(feed, &result);
		MemoryContextReset(row_cxt);
		old_cxt = MemoryContextSwitchTo(row_cxt);
		iopool_row_file_values(call, &result, values, nulls);
		MemoryContextSwitchTo(old_cxt);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
		iopool_feed_put_back(feed, &result);
	}
	iopool_feed_end(feed, NULL);
	return (Datum) 0;
}
