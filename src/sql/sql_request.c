/*-------------------------------------------------------------------------
 *
 * sql_request.c
 *	  SQL functions of asynchronous requests.
 *
 * iopool_submit(path | paths, file_offsets, lengths) -> bigint
 *		start reading; the number of the request
 * iopool_poll(request) -> (ranges, completed, failed, bytes)
 *		how far it is, without waiting
 * iopool_wait(request, timeout_ms) -> boolean
 *		wait until it is done
 * iopool_wait_any(requests, timeout_ms) -> bigint
 *		wait until one of them is done
 * iopool_fetch(request, on_error) -> setof (ordinal, file_offset, length,
 *					 data, error)
 *		all rows in the order of the call, and the end of the request
 * iopool_fetch_next(request, max_rows, on_error) -> the same
 *		the next rows as they complete
 * iopool_cancel(request) -> boolean
 *		end it
 *
 * What fails leaves the request as it was: rows are taken from it only when
 * all that a call returns are in its tuplestore, or are known to be right, where
 * a node hands them out one by one.  With on_error => 'raise', a failure among
 * these rows raises the first one in the order of the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "sql/request.h"
#include "sql/row.h"

#define POLL_COLUMNS	 4
#define REQUESTS_COLUMNS 7

IOPOOL_FUNCTION(iopool_submit);
IOPOOL_FUNCTION(iopool_submit_paths);
IOPOOL_FUNCTION(iopool_poll);
IOPOOL_FUNCTION(iopool_wait);
IOPOOL_FUNCTION(iopool_wait_any);
IOPOOL_FUNCTION(iopool_fetch);
IOPOOL_FUNCTION(iopool_fetch_next);
IOPOOL_FUNCTION(iopool_cancel);
IOPOOL_FUNCTION(iopool_list_requests);

static Datum
submit_ranges(FunctionCallInfo fcinfo, IopoolArgsForm form)
{
	Datum datums[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1),
					  PG_GETARG_DATUM(2)};
	IopoolArgs args;
	MemoryContext cxt;

	iopool_request_enter();
	cxt = iopool_request_context();
	iopool_args_take(&args, cxt, form, datums);
	iopool_args_check(&args);
	PG_RETURN_INT64(iopool_request_submit(cxt, &args)->number);
}

Datum
iopool_submit(PG_FUNCTION_ARGS)
{
	return submit_ranges(fcinfo, IOPOOL_ARGS_PATH);
}

Datum
iopool_submit_paths(PG_FUNCTION_ARGS)
{
	return submit_ranges(fcinfo, IOPOOL_ARGS_PATHS);
}

Datum
iopool_poll(PG_FUNCTION_ARGS)
{
	IopoolRequest *request;
	TupleDesc desc;
	Datum values[POLL_COLUMNS];
	bool nulls[POLL_COLUMNS] = {false};

	iopool_request_enter();
	request = iopool_request_get(PG_GETARG_INT64(0));
	iopool_request_check(request);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(request->nranges);
	values[1] = Int32GetDatum(request->ndone);
	values[2] = Int32GetDatum(request->nfailed);
	values[3] = Int64GetDatum(request->nbytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static IopoolDeadline
deadline_in(int timeout_ms)
{
	if (timeout_ms < -1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be less than -1"),
				 errdetail("The timeout is %d ms.", timeout_ms),
				 errhint("-1 waits without a limit.")));
	return iopool_deadline_in(timeout_ms);
}

Datum
iopool_wait(PG_FUNCTION_ARGS)
{
	IopoolDeadline deadline = deadline_in(PG_GETARG_INT32(1));

	iopool_request_enter();
	PG_RETURN_BOOL(
		iopool_request_wait(iopool_request_get(PG_GETARG_INT64(0)), deadline));
}

/* The first of the requests that is done, or NULL. */
static IopoolRequest *
first_done(IopoolRequest **requests, int nrequests)
{
	for (int i = 0; i < nrequests; i++)
	{
		if (iopool_request_is_done(requests[i]))
			return requests[i];
	}
	return NULL;
}

Datum
iopool_wait_any(PG_FUNCTION_ARGS)
{
	IopoolDeadline deadline = deadline_in(PG_GETARG_INT32(1));
	IopoolRequest **requests;
	IopoolRequest *done;
	const int64 *numbers;
	int nnumbers;
	int nrequests;
	bool has_time = true;

	iopool_request_enter();
	numbers = iopool_args_bigints(CurrentMemoryContext, PG_GETARG_DATUM(0),
								  "requests", &nnumbers);
	requests = iopool_request_get_all(numbers, nnumbers, &nrequests);

	done = first_done(requests, nrequests);
	while (done == NULL && nrequests > 0 && has_time)
	{
		has_time = iopool_request_step(requests, nrequests, false, deadline);
		done = first_done(requests, nrequests);
	}
	iopool_stream_leave(false);
	if (done == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64(done->number);
}

/* Put the row of a range, which is done. */
static void
put_range(ReturnSetInfo *rsinfo, IopoolRequest *request, int rangeno)
{
	CHECK_FOR_INTERRUPTS();
	iopool_row_put(rsinfo->setResult, rsinfo->setDesc,
				   &request->results[rangeno]);
}

/* The request that is to be fetched, which is done, and may be. */
static IopoolRequest *
prepare_fetch(const Datum *args)
{
	bool report = iopool_args_is_report(args[1]);
	IopoolRequest *request;

	iopool_request_enter();
	request = iopool_request_get(DatumGetInt64(args[0]));
	(void) iopool_request_wait(request, IOPOOL_FOREVER);
	if (!report)
		iopool_request_raise_first(request);
	return request;
}

Datum
iopool_fetch(PG_FUNCTION_ARGS)
{
	Datum args[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	IopoolRequest *request = prepare_fetch(args);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < request->nranges; i++)
	{
		if (request->states[i] != IOPOOL_RANGE_OUT)
			put_range((ReturnSetInfo *) fcinfo->resultinfo, request, i);
	}

	iopool_request_end(request);
	return (Datum) 0;
}

/*
 * The rows of a call of iopool_fetch() with these arguments, for a node that
 * hands them out one by one.  They are freed with cxt at the latest.
 */
IopoolTakenRows *
iopool_fetch_take(MemoryContext cxt, const Datum *args)
{
	return iopool_request_take_all(cxt, prepare_fetch(args));
}

/*
 * The request whose next rows are to be fetched, up to *upto in all; or NULL:
 * it was through, and has ended.
 */
static IopoolRequest *
prepare_fetch_next(const Datum *args, int *upto)
{
	int max_rows = DatumGetInt32(args[1]);
	bool report = iopool_args_is_report(args[2]);
	IopoolRequest *request;

	if (max_rows < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"max_rows\" must be at least 1"),
				 errdetail("It is %d.", max_rows)));
	iopool_request_enter();
	request = iopool_request_get(DatumGetInt64(args[0]));
	if (request->nout == request->nranges)
	{
		iopool_request_end(request);
		return NULL;
	}

	while (request->ndone == request->nout)
		(void) iopool_request_step(&request, 1, true, IOPOOL_FOREVER);
	iopool_stream_leave(false);
	*upto = request->nout + Min(max_rows, request->ndone - request->nout);

	for (int i = request->nout; i < *upto && !report; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (iopool_request_has_failed(request, request->order[i]))
			iopool_request_raise_first(request);
	}
	return request;
}

Datum
iopool_fetch_next(PG_FUNCTION_ARGS)
{
	Datum args[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1),
					PG_GETARG_DATUM(2)};
	int upto;
	IopoolRequest *request = prepare_fetch_next(args, &upto);

	InitMaterializedSRF(fcinfo, 0);
	if (request == NULL)
		return (Datum) 0;
	for (int i = request->nout; i < upto; i++)
		put_range((ReturnSetInfo *) fcinfo->resultinfo, request,
				  request->order[i]);
	while (request->nout < upto)
		iopool_request_hand_out(request, request->order[request->nout]);
	return (Datum) 0;
}

/* As iopool_fetch_take(), of iopool_fetch_next(); NULL: there are no rows. */
IopoolTakenRows *
iopool_fetch_next_take(MemoryContext cxt, const Datum *args)
{
	int upto;
	IopoolRequest *request = prepare_fetch_next(args, &upto);

	if (request == NULL)
		return NULL;
	return iopool_request_take_next(cxt, request, upto);
}

Datum
iopool_cancel(PG_FUNCTION_ARGS)
{
	IopoolRequest *request;

	/* first of all: what keeps requests from going on may be this one */
	iopool_shmem_require();
	request = iopool_request_find(PG_GETARG_INT64(0));
	if (request != NULL)
		iopool_request_end(iopool_request_get(request->number));

	iopool_request_enter();
	PG_RETURN_BOOL(request != NULL);
}

/* One row for each request of this backend that the user may know of. */
Datum
iopool_list_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	dlist_iter iter;

	iopool_request_enter();
	InitMaterializedSRF(fcinfo, 0);

	dlist_foreach(iter, &iopool_requests)
	{
		IopoolRequest *request =
			dlist_container(IopoolRequest, node, iter.cur);
		Datum values[REQUESTS_COLUMNS];
		bool nulls[REQUESTS_COLUMNS] = {false};

		CHECK_FOR_INTERRUPTS();
		if (!iopool_request_is_visible(request))
			continue;
		values[0] = Int64GetDatum(request->number);
		values[1] = CStringGetTextDatum(iopool_feed_pool_names(request->feed));
		values[2] = Int32GetDatum(request->nranges);
		values[3] = Int32GetDatum(request->ndone);
		values[4] = Int32GetDatum(request->nfailed);
		values[5] = Int64GetDatum(request->nbytes);
		values[6] = TimestampTzGetDatum(request->submitted_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
