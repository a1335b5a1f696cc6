/*-------------------------------------------------------------------------
 *
 * sql_list.c
 *	  SQL functions that tell what files there are.
 *
 * iopool_stat(path, missing_ok) -> setof (size, modified)
 *		a file, or no row
 * iopool_list(path, pattern) -> setof (path, size, modified)
 *		the files below a directory
 *
 * They take no ring.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/stat.h>

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "engine/stream.h"
#include "file/walk.h"
#include "sql/request.h"
#include "sql/row.h"

#define STAT_COLUMNS 2

IOPOOL_FUNCTION(iopool_stat);

/*
 * The file is opened as a read opens it, so whoever would be refused a read is
 * refused this, with the same error.
 */
Datum
iopool_stat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text *path = PG_GETARG_TEXT_PP(0);
	bool missing_ok = PG_GETARG_BOOL(1);
	Datum values[STAT_COLUMNS];
	bool nulls[STAT_COLUMNS] = {false};
	MemoryContext cxt;
	IopoolFileSet *set;
	IopoolFile *file;
	struct stat st;

	iopool_request_enter();
	InitMaterializedSRF(fcinfo, 0);
	/* closes the file, whatever happens */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "iopool stat",
								ALLOCSET_SMALL_SIZES);
	set = iopool_file_set_create(cxt, IOPOOL_IO_BUFFERED);
	file =
		iopool_file_set_find(set, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));
	/* whether it could be read in another mode is not asked */
	file->io_mode = IOPOOL_IO_BUFFERED;
	iopool_stream_acquire(set, file);
	if (file->failure.kind == IOPOOL_FAILURE_NONE && fstat(file->fd, &st) != 0)
		(void) iopool_file_fail(file, IOPOOL_FAILURE_STAT, errno);

	if (file->failure.kind == IOPOOL_FAILURE_NONE)
	{
		values[0] = Int64GetDatum(st.st_size);
		values[1] = TimestampTzGetDatum(iopool_file_time(&st.st_mtim));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	else if (!missing_ok || !iopool_failure_is_missing(&file->failure))
		iopool_errors_raise(&file->failure, file->path, 0, 0, 0);

	MemoryContextDelete(cxt);
	return (Datum) 0;
}

IOPOOL_FUNCTION(iopool_list);

/*
 * A row a call, so that whoever wants no more ends the walk.  In FROM, the
 * executor would copy all rows first; see scan_list.c.
 */
Datum
iopool_list(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	Datum values[IOPOOL_ROW_FOUND_COLUMNS];
	bool nulls[IOPOOL_ROW_FOUND_COLUMNS];
	IopoolWalkFile file;

	iopool_request_enter();
	if (SRF_IS_FIRSTCALL())
	{
		IopoolWalkOptions options = {
			.path = text_to_cstring(PG_GETARG_TEXT_PP(0)),
			.pattern = text_to_cstring(PG_GETARG_TEXT_PP(1)),
		};
		MemoryContext old_cxt;
		TupleDesc desc;

		funcctx = SRF_FIRSTCALL_INIT();
		old_cxt = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		funcctx->tuple_desc = BlessTupleDesc(desc);
		MemoryContextSwitchTo(old_cxt);
		funcctx->user_fctx =
			iopool_walk_begin(funcctx->multi_call_memory_ctx, &options);
	}

	funcctx = SRF_PERCALL_SETUP();
	if (!iopool_walk_next(funcctx->user_fctx, &file))
		SRF_RETURN_DONE(funcctx);
	iopool_row_found_values(&file, values, nulls);
	SRF_RETURN_NEXT(funcctx,
					HeapTupleGetDatum(
						heap_form_tuple(funcctx->tuple_desc, values, nulls)));
}
