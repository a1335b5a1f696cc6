/*-------------------------------------------------------------------------
 *
 * streams.c
 *	  Each call of the API that is about a stream, by itself.
 *
 * A stream belongs to the resource owner that is current when it is begun.
 * In SQL that is the statement's, and in PL/pgSQL that of the outermost
 * statement, or of the block that catches errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "consumer.h"

PG_FUNCTION_INFO_V1(consumer_begin);
PG_FUNCTION_INFO_V1(consumer_begin_default);
PG_FUNCTION_INFO_V1(consumer_add);
PG_FUNCTION_INFO_V1(consumer_submit);
PG_FUNCTION_INFO_V1(consumer_take);
PG_FUNCTION_INFO_V1(consumer_take_cancelled);
PG_FUNCTION_INFO_V1(consumer_raise_last);
PG_FUNCTION_INFO_V1(consumer_outstanding);
PG_FUNCTION_INFO_V1(consumer_release);
PG_FUNCTION_INFO_V1(consumer_cancel);
PG_FUNCTION_INFO_V1(consumer_end);
PG_FUNCTION_INFO_V1(consumer_stream_stats);
PG_FUNCTION_INFO_V1(consumer_pool_stats);

#define MAX_TAKEN 1000

/* The last result that was taken. */
static IopoolApiResult last_result;

static IopoolApiStream *
stream_arg(FunctionCallInfo fcinfo)
{
	return consumer_handle(PG_GETARG_INT32(0))->pointer;
}

/* An empty string stands for NULL. */
static char *
name_arg(FunctionCallInfo fcinfo, int number)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(number));

	return name[0] != '\0' ? name : NULL;
}

/*
 * consumer_begin(context text, pool text, in_order bool, is_aligned bool,
 *				  max_in_flight_bytes bigint, merge_gap int,
 *				  header_size bigint, buffer_context text, owner text)
 *		RETURNS int
 *
 * owner "transaction": the stream may live as long as the transaction does.
 */
Datum
consumer_begin(PG_FUNCTION_ARGS)
{
	IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
	char *buffer_context = name_arg(fcinfo, 7);
	char *owner = text_to_cstring(PG_GETARG_TEXT_PP(8));
	ResourceOwner saved = CurrentResourceOwner;
	IopoolApiStream *stream;

	options.pool = name_arg(fcinfo, 1);
	options.in_order = PG_GETARG_BOOL(2);
	options.is_aligned = PG_GETARG_BOOL(3);
	options.max_in_flight_bytes = PG_GETARG_INT64(4);
	options.merge_gap = PG_GETARG_INT32(5);
	options.header_size = (Size) PG_GETARG_INT64(6);
	if (buffer_context != NULL)
		options.buffer_context = consumer_context_get(buffer_context);

	/* an ERROR ends with the owner of the (sub)transaction set anew */
	if (strcmp(owner, "transaction") == 0)
		CurrentResourceOwner = TopTransactionResourceOwner;
	stream = consumer_api()->begin(consumer_context_get(
									   text_to_cstring(PG_GETARG_TEXT_PP(0))),
								   &options);
	CurrentResourceOwner = saved;
	PG_RETURN_INT32(consumer_handle_new(stream, 0, options.header_size));
}

/* consumer_begin_default() RETURNS int, without any options */
Datum
consumer_begin_default(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(
		consumer_handle_new(consumer_api()->begin(TopTransactionContext, NULL),
							0, 0));
}

/*
 * consumer_add(stream int, file int, file_offset bigint, length bigint,
 *				cookie bigint, buffer int, shift int, buffer_size bigint)
 *		RETURNS void
 *
 * buffer 0: the stream allocates it.  buffer_size -1: what is left of it.
 */
Datum
consumer_add(PG_FUNCTION_ARGS)
{
	IopoolApiRead read = {0};
	int buffer = PG_GETARG_INT32(5);
	int shift = PG_GETARG_INT32(6);

	read.file = consumer_handle(PG_GETARG_INT32(1))->pointer;
	read.offset = PG_GETARG_INT64(2);
	read.length = PG_GETARG_INT64(3);
	read.cookie = PG_GETARG_INT64(4);
	if (buffer != 0)
	{
		ConsumerHandle *handle = consumer_handle(buffer);

		read.buffer = (char *) handle->pointer + shift;
		read.buffer_size = PG_GETARG_INT64(7);
		if (read.buffer_size == -1)
			read.buffer_size = handle->size - shift;
	}
	consumer_api()->add(stream_arg(fcinfo), &read);
	PG_RETURN_VOID();
}

/* consumer_submit(stream int) RETURNS void */
Datum
consumer_submit(PG_FUNCTION_ARGS)
{
	consumer_api()->submit(stream_arg(fcinfo));
	PG_RETURN_VOID();
}

static void
put_result(ReturnSetInfo *rsinfo, const IopoolApiResult *result,
		   Size header_size, int buffer)
{
	Datum values[7];
	bool nulls[7] = {false};

	values[0] = Int64GetDatum(result->cookie);
	values[1] = Int64GetDatum(result->offset);
	values[2] = Int64GetDatum(result->length);
	values[3] = Int64GetDatum(result->nbytes);
	values[4] = Int32GetDatum(result->errnum);
	nulls[5] = result->nbytes < 0;
	values[5] = (Datum) 0;
	if (!nulls[5])
		values[5] = PointerGetDatum(
			cstring_to_text_with_len(result->buffer + header_size,
									 (int) result->nbytes));
	values[6] = Int32GetDatum(buffer);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * consumer_take(stream int, max int, timeout_ms int, buffers text)
 *		RETURNS SETOF (cookie, file_offset, length, nbytes, errnum, data,
 *					   buffer)
 *
 * One call of take().  buffers: "release" those of the stream, "keep" them, or
 * they are the "caller"'s.
 */
Datum
consumer_take(PG_FUNCTION_ARGS)
{
	const IopoolApi *iopool = consumer_api();
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ConsumerHandle handle = *consumer_handle(PG_GETARG_INT32(0));
	int max = PG_GETARG_INT32(1);
	char *buffers = text_to_cstring(PG_GETARG_TEXT_PP(3));
	bool is_caller = strcmp(buffers, "caller") == 0;
	IopoolApiResult *results = palloc(sizeof(IopoolApiResult) * MAX_TAKEN);
	int n;

	InitMaterializedSRF(fcinfo, 0);
	if (max > MAX_TAKEN)
		elog(ERROR, "no more than %d can be taken", MAX_TAKEN);

	n = iopool->take(handle.pointer, results, max, PG_GETARG_INT32(2));
	for (int i = 0; i < n; i++)
	{
		IopoolApiResult *result = &results[i];
		int buffer = 0;

		if (!is_caller && (result->nbytes < 0) != (result->buffer == NULL))
			elog(ERROR, "a failed result has no buffer, any other has one");
		if ((result->nbytes < 0) != (result->errnum != 0))
			elog(ERROR, "a failed result has an errnum, any other has none");
		if (strcmp(buffers, "keep") == 0 && result->buffer != NULL)
			buffer = consumer_handle_new(result->buffer, 0, 0);
		put_result(rsinfo, result, is_caller ? 0 : handle.header_size, buffer);
		if (strcmp(buffers, "release") == 0 && result->buffer != NULL)
		{
			/* the header is ours to write */
			memset(result->buffer, 0x5a, handle.header_size);
			iopool->release(handle.pointer, result->buffer);
		}
		last_result = *result;
	}
	return (Datum) 0;
}

/*
 * consumer_take_cancelled(stream int) RETURNS int
 *
 * take() of a query that was cancelled right before: it may raise, or return
 * so many results.
 */
Datum
consumer_take_cancelled(PG_FUNCTION_ARGS)
{
	IopoolApiResult results[16];
	int n;

	QueryCancelPending = true;
	InterruptPending = true;
	n = consumer_api()->take(stream_arg(fcinfo), results, lengthof(results),
							 -1);
	QueryCancelPending = false;
	PG_RETURN_INT32(n);
}

/* consumer_raise_last() RETURNS text, if the last result is no failure */
Datum
consumer_raise_last(PG_FUNCTION_ARGS)
{
	consumer_api()->raise_failure(&last_result);
	PG_RETURN_TEXT_P(cstring_to_text("no failure"));
}

/* consumer_outstanding(stream int) RETURNS bigint */
Datum
consumer_outstanding(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(consumer_api()->outstanding(stream_arg(fcinfo)));
}

/* consumer_release(stream int, buffer int) RETURNS void */
Datum
consumer_release(PG_FUNCTION_ARGS)
{
	consumer_api()->release(stream_arg(fcinfo),
							consumer_handle(PG_GETARG_INT32(1))->pointer);
	PG_RETURN_VOID();
}

/* consumer_cancel(stream int) RETURNS bigint */
Datum
consumer_cancel(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(consumer_api()->cancel(stream_arg(fcinfo)));
}

/* consumer_end(stream int) RETURNS void */
Datum
consumer_end(PG_FUNCTION_ARGS)
{
	consumer_api()->end(stream_arg(fcinfo));
	PG_RETURN_VOID();
}

/* consumer_stream_stats(stream int) RETURNS row */
Datum
consumer_stream_stats(PG_FUNCTION_ARGS)
{
	IopoolApiStreamStats stats = {.size = sizeof(stats)};
	Datum values[6];
	bool nulls[6] = {false};
	TupleDesc tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	consumer_api()->stream_stats(stream_arg(fcinfo), &stats);
	values[0] = Int64GetDatum((int64) stats.nadded);
	values[1] = Int64GetDatum((int64) stats.ntaken);
	values[2] = Int64GetDatum((int64) stats.nreads);
	values[3] = Int64GetDatum((int64) stats.nbytes);
	values[4] = Int32GetDatum(stats.in_flight);
	values[5] = Int32GetDatum(stats.max_in_flight);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/* consumer_pool_stats(pool text) RETURNS row */
Datum
consumer_pool_stats(PG_FUNCTION_ARGS)
{
	IopoolApiPoolStats stats = {.size = sizeof(stats)};
	Datum values[16];
	bool nulls[16] = {false};
	TupleDesc tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	consumer_api()->pool_stats(name_arg(fcinfo, 0), &stats);
	values[0] = CStringGetTextDatum(stats.method);
	values[1] = Int32GetDatum(stats.nrings);
	values[2] = Int32GetDatum(stats.nfree);
	values[3] = Int32GetDatum(stats.nin_use);
	values[4] = Int32GetDatum(stats.nbroken);
	values[5] = Int32GetDatum(stats.nwaiting);
	values[6] = Int32GetDatum(stats.entries);
	values[7] = BoolGetDatum(stats.has_lease);
	values[8] = Int32GetDatum(stats.in_flight);
	values[9] = Int64GetDatum((int64) stats.checkouts);
	values[10] = Int64GetDatum((int64) stats.waits);
	values[11] = Int64GetDatum((int64) stats.wait_us);
	values[12] = Int64GetDatum((int64) stats.timeouts);
	values[13] = Int64GetDatum((int64) stats.nreads);
	values[14] = Int64GetDatum((int64) stats.nbytes);
	values[15] = Int32GetDatum(stats.max_in_flight);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
