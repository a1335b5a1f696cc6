/*-------------------------------------------------------------------------
 *
 * sql_read.c
 *	  SQL functions that read, and iopool_prefetch().
 *
 * iopool_read(path, file_offset, length, missing_ok) -> bytea
 * iopool_read(path, missing_ok) -> bytea
 *		one range; a whole file
 * iopool_read_batch(path | paths, file_offsets, lengths, on_error, in_order)
 *					 -> setof (ordinal, file_offset, length, data, error)
 *		many ranges as rows
 * iopool_read_array(path | paths, file_offsets, lengths, on_error) -> bytea[]
 *		many ranges as one array
 * iopool_prefetch(path, file_offsets, lengths) -> bigint
 *		ranges that the kernel was told to bring into the page cache
 *
 * All of them make a call and have a feed read it (feed.c); only iopool_read()
 * makes its read at once when it is a small one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/range.h"
#include "engine/single.h"
#include "file/log.h"
#include "ring/settings.h"
#include "sql/feed.h"
#include "sql/request.h"
#include "sql/row.h"

/*
 * The kernel reads ahead at most about so much for one POSIX_FADV_WILLNEED,
 * however long the advice is.
 */
#define ADVICE_SIZE (128 * 1024)

/* What one call tells the kernel at most, as a share of the memory. */
#define ADVICE_SHARE 4

/* Least memory of a tuplestore, as for work_mem. */
#define MIN_STORE_KB 64

/* Log a read that was made at once, if it took long. */
static void
log_read(IopoolCallLog *log, const char *path, int64 nbytes,
		 const IopoolPool *pool)
{
	int64 us = iopool_deadline_now() - log->start;
	IopoolCallReport report = {
		.nranges = 1,
		.nreads = 1,
		.nbytes = nbytes,
		.wait_us = us,
		.pools = pool->name,
		.has_ended = true,
	};

	if (!iopool_log_wants(log, us))
		return;
	log->path = path;
	iopool_log_call(log, us, &report);
}

/* A call of iopool_read(). */
typedef struct SingleCall
{
	const char *path;
	int64 offset;
	int64 length;
	bool is_whole; /* length is IOPOOL_WHOLE_FILE */
	bool missing_ok;
} SingleCall;

/*
 * A small read without a stream; *data is NULL where there is no file, and need
 * not be.  False: the kernel wants to be asked again, or the file is not small.
 */
static bool
read_at_once(FmgrInfo *flinfo, const SingleCall *call, bytea **data)
{
	IopoolSingleResult result;
	IopoolKeptFile *kept;
	IopoolCallLog log;
	int64 nbytes;
	char *dest;

	iopool_log_begin(&log, CurrentMemoryContext);
	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra = iopool_single_keep(flinfo->fn_mcxt);
	kept = flinfo->fn_extra;

	*data = call->is_whole ? NULL : palloc(VARHDRSZ + call->length);
	dest = call->is_whole ? iopool_single_buffer(kept) : VARDATA(*data);
	nbytes = iopool_single_read(kept, call->path, call->offset, call->length,
								dest, &result);
	if (nbytes >= 0)
	{
		log_read(&log, call->path, nbytes, result.pool);
		if (call->is_whole)
		{
			*data = palloc(VARHDRSZ + nbytes);
			memcpy(VARDATA(*data), dest, nbytes);
		}
		SET_VARSIZE(*data, VARHDRSZ + nbytes);
		return true;
	}

	if (*data != NULL)
		pfree(*data);
	*data = NULL;
	if (call->missing_ok && iopool_failure_is_missing(&result.failure))
		return true;
	if (result.failure.errnum != EAGAIN && result.failure.errnum != EINTR)
		iopool_errors_raise(&result.failure, call->path, call->offset,
							call->length, 0);
	return false;
}

/* The same through a feed. */
static bytea *
read_by_feed(const SingleCall *single)
{
	IopoolFeedOptions options = {
		.in_order = true,
		.buffer_cxt = CurrentMemoryContext,
	};
	IopoolArgs args = {
		.nranges = 1,
		.path = single->path,
		.offsets = &single->offset,
		.length = single->length,
	};
	IopoolFeed *feed = iopool_feed_begin(CurrentMemoryContext, &options);
	IopoolCall *call = iopool_feed_new_call(feed, &args, false);
	IopoolResult result;

	call->missing_ok = single->missing_ok;
	iopool_feed_add(feed, call);
	iopool_feed_complete(feed);
	iopool_feed_next(feed, &result);
	iopool_feed_close(feed);

	/* the buffer is the caller's, or stays in the feed's context, a child */
	return (bytea *) result.buffer;
}

/* A range, or a whole file; NULL where there is none, and need not be. */
static Datum
return_single(FunctionCallInfo fcinfo, const SingleCall *call)
{
	bytea *data;

	iopool_request_enter();
	if (!call->is_whole)
		iopool_range_check(call->offset, call->length);
	if (call->length > IOPOOL_SINGLE_MAX || fcinfo->flinfo == NULL ||
		!read_at_once(fcinfo->flinfo, call, &data))
		data = read_by_feed(call);
	if (data == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(data);
}

IOPOOL_FUNCTION(iopool_read);
IOPOOL_FUNCTION(iopool_read_missing_ok);
IOPOOL_FUNCTION(iopool_read_file);
IOPOOL_FUNCTION(iopool_read_file_missing_ok);

Datum
iopool_read(PG_FUNCTION_ARGS)
{
	SingleCall call = {
		.path = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.offset = PG_GETARG_INT64(1),
		.length = PG_GETARG_INT64(2),
	};

	return return_single(fcinfo, &call);
}

Datum
iopool_read_missing_ok(PG_FUNCTION_ARGS)
{
	SingleCall call = {
		.path = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.offset = PG_GETARG_INT64(1),
		.length = PG_GETARG_INT64(2),
		.missing_ok = PG_GETARG_BOOL(3),
	};

	return return_single(fcinfo, &call);
}

Datum
iopool_read_file(PG_FUNCTION_ARGS)
{
	SingleCall call = {
		.path = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.length = IOPOOL_WHOLE_FILE,
		.is_whole = true,
	};

	return return_single(fcinfo, &call);
}

Datum
iopool_read_file_missing_ok(PG_FUNCTION_ARGS)
{
	SingleCall call = {
		.path = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.length = IOPOOL_WHOLE_FILE,
		.is_whole = true,
		.missing_ok = PG_GETARG_BOOL(1),
	};

	return return_single(fcinfo, &call);
}

/*
 * The ranges that a function is called with, whose argument `lengths` may be
 * made of another; they live as long as the call.
 */
static void
take_ranges(FunctionCallInfo fcinfo, IopoolArgsForm form, Datum lengths,
			IopoolArgs *args)
{
	Datum datums[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), lengths};

	iopool_args_take(args, CurrentMemoryContext, form, datums);
}

/*
 * Argument `length` of functions of versions 0.1 and 0.2, as `lengths`.  The
 * scripts of these versions still make the functions, and so does pg_upgrade
 * where the extension has not been updated.
 */
static Datum
lengths_of_0_2(FunctionCallInfo fcinfo)
{
	Datum length = PG_GETARG_DATUM(2);

	return PointerGetDatum(construct_array(&length, 1, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Rows of a call, into the tuplestore of a set-returning function. */
static Datum
return_rows(FunctionCallInfo fcinfo, IopoolArgsForm form, Datum lengths)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IopoolArgs args;
	bool report;
	IopoolFeedOptions options = {.in_order = PG_GETARG_BOOL(4)};
	IopoolFeed *feed;
	IopoolCall *call;

	iopool_request_enter();
	take_ranges(fcinfo, form, lengths, &args);
	report = iopool_args_is_report(PG_GETARG_DATUM(3));
	if (!report)
		iopool_args_check(&args);
	feed = iopool_feed_begin(CurrentMemoryContext, &options);
	call = iopool_feed_new_call(feed, &args, report);

	InitMaterializedSRF(fcinfo, 0);
	iopool_feed_add(feed, call);
	iopool_feed_complete(feed);
	while (call->nout < args.nranges)
	{
		IopoolResult result;

		iopool_feed_next(feed, &result);
		iopool_row_put(rsinfo->setResult, rsinfo->setDesc, &result);
		iopool_feed_put_back(feed, &result);
	}
	iopool_feed_end(feed, NULL);
	return (Datum) 0;
}

IOPOOL_FUNCTION(iopool_read_batch);
IOPOOL_FUNCTION(iopool_read_batch_length);
IOPOOL_FUNCTION(iopool_read_batch_paths);

Datum
iopool_read_batch(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, IOPOOL_ARGS_PATH, PG_GETARG_DATUM(2));
}

Datum
iopool_read_batch_length(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, IOPOOL_ARGS_PATH, lengths_of_0_2(fcinfo));
}

Datum
iopool_read_batch_paths(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, IOPOOL_ARGS_PATHS, PG_GETARG_DATUM(2));
}

/* Bytes of an element in an array of bytea. */
static Size
element_size(int64 nbytes)
{
	return INTALIGN(VARHDRSZ + nbytes);
}

/*
 * An array of bytea with room for elements of these lengths; dests[i] is
 * where the bytes of element i go.  NULL elements have length -1.
 */
static ArrayType *
layout_array(MemoryContext cxt, int nelems, const int64 *lengths, char **dests)
{
	bool has_nulls = false;
	Size size = 0;
	Size offset;
	ArrayType *array;

	for (int i = 0; i < nelems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (lengths[i] < 0)
			has_nulls = true;
		else
			size = add_size(size, element_size(lengths[i]));
	}
	offset = has_nulls ? ARR_OVERHEAD_WITHNULLS(1, nelems)
					   : ARR_OVERHEAD_NONULLS(1);
	size = add_size(size, offset);
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("array size exceeds the maximum allowed (%d)",
						(int) MaxAllocSize),
				 errhint("Use iopool_read_batch, which returns rows.")));

	array = MemoryContextAlloc(cxt, size);
	memset(array, 0, offset);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = has_nulls ? (int32) offset : 0;
	array->elemtype = BYTEAOID;
	ARR_DIMS(array)[0] = nelems;
	ARR_LBOUND(array)[0] = 1;

	for (int i = 0; i < nelems; i++)
	{
		char *element = (char *) array + offset;

		CHECK_FOR_INTERRUPTS();
		dests[i] = NULL;
		if (lengths[i] < 0)
			continue;
		if (has_nulls)
			ARR_NULLBITMAP(array)[i / 8] |= 1 << (i % 8);

		SET_VARSIZE(element, VARHDRSZ + lengths[i]);
		dests[i] = VARDATA(element);
		/* values compare by their bytes, and so must the padding */
		memset(dests[i] + lengths[i], 0,
			   element_size(lengths[i]) - VARHDRSZ - lengths[i]);
		offset += element_size(lengths[i]);
	}
	return array;
}

/* All ranges of a call as one array, in the order of the call. */
static ArrayType *
read_array(IopoolFeed *feed, IopoolCall *call)
{
	int nranges = call->args.nranges;
	ArrayType *array;
	int64 *expected;
	int64 *actual;
	char **dests;
	bool as_expected = true;

	/* laid out before anything is read, so that bytes are read into place */
	expected = iopool_feed_measure(feed, call);
	actual =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int64) * nranges);
	dests =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(char *) * nranges);
	array = layout_array(CurrentMemoryContext, nranges, expected, dests);
	call->dests = dests;
	call->sizes = expected;

	iopool_feed_add(feed, call);
	iopool_feed_complete(feed);
	while (call->nout < nranges)
	{
		IopoolResult result;
		int i;

		iopool_feed_next(feed, &result);
		i = (int) result.cookie;
		actual[i] =
			(result.failure.kind == IOPOOL_FAILURE_NONE) ? result.nbytes : -1;
		as_expected &= (actual[i] == expected[i]);
	}
	iopool_feed_end(feed, NULL);

	if (!as_expected)
	{
		char **new_dests = MemoryContextAllocHuge(CurrentMemoryContext,
												  sizeof(char *) * nranges);

		/* files have shrunk meanwhile, or could not be read */
		array = layout_array(CurrentMemoryContext, nranges, actual, new_dests);
		for (int i = 0; i < nranges; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (actual[i] > 0)
				memcpy(new_dests[i], dests[i], actual[i]);
		}
	}

	return array;
}

static Datum
return_array(FunctionCallInfo fcinfo, IopoolArgsForm form, Datum lengths)
{
	IopoolFeedOptions options = {.in_order = false};
	IopoolArgs args;
	bool report;
	IopoolFeed *feed;
	IopoolCall *call;

	iopool_request_enter();
	take_ranges(fcinfo, form, lengths, &args);
	report = iopool_args_is_report(PG_GETARG_DATUM(3));
	if (!report)
		iopool_args_check(&args);
	feed = iopool_feed_begin(CurrentMemoryContext, &options);
	call = iopool_feed_new_call(feed, &args, report);
	if (args.nranges > 0)
		PG_RETURN_ARRAYTYPE_P(read_array(feed, call));

	iopool_feed_end(feed, NULL);
	PG_RETURN_ARRAYTYPE_P(construct_empty_array(BYTEAOID));
}

IOPOOL_FUNCTION(iopool_read_array);
IOPOOL_FUNCTION(iopool_read_array_length);
IOPOOL_FUNCTION(iopool_read_array_paths);

Datum
iopool_read_array(PG_FUNCTION_ARGS)
{
	return return_array(fcinfo, IOPOOL_ARGS_PATH, PG_GETARG_DATUM(2));
}

Datum
iopool_read_array_length(PG_FUNCTION_ARGS)
{
	return return_array(fcinfo, IOPOOL_ARGS_PATH, lengths_of_0_2(fcinfo));
}

Datum
iopool_read_array_paths(PG_FUNCTION_ARGS)
{
	return return_array(fcinfo, IOPOOL_ARGS_PATHS, PG_GETARG_DATUM(2));
}

/*
 * Tell the kernel to read [pos, end) of an open file.  False: it did not want
 * to be told about all of it.
 */
static bool
advise_range(const IopoolFile *file, int64 pos, int64 end)
{
	bool is_taken = true;

	while (pos < end)
	{
		int64 len = Min(end - pos, ADVICE_SIZE);

		CHECK_FOR_INTERRUPTS();
		if (posix_fadvise(file->fd, pos, len, POSIX_FADV_WILLNEED) != 0)
			is_taken = false;
		pos += len;
	}
	return is_taken;
}

/* Bytes that one call may bring into the page cache. */
static int64
advice_budget(void)
{
	return (int64) sysconf(_SC_PHYS_PAGES) / ADVICE_SHARE *
		sysconf(_SC_PAGESIZE);
}

IOPOOL_FUNCTION(iopool_prefetch);

/*
 * Ranges are told in the order of the call, as far as the file goes, until the
 * budget is used up: a call must not push all else out of the page cache.  One
 * that is told in part does not count.
 */
Datum
iopool_prefetch(PG_FUNCTION_ARGS)
{
	int64 budget = advice_budget();
	IopoolArgs args;
	MemoryContext cxt;
	IopoolFileSet *set;
	IopoolFile *file;
	IopoolFailure failure;
	int64 size;
	int64 nhinted = 0;

	iopool_request_enter();
	take_ranges(fcinfo, IOPOOL_ARGS_PATH, PG_GETARG_DATUM(2), &args);
	iopool_args_check(&args);
	/* closes the file, whatever happens */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "iopool prefetch",
								ALLOCSET_SMALL_SIZES);
	set = iopool_file_set_create(cxt, IOPOOL_IO_BUFFERED);
	file = iopool_file_set_find(set, args.path, strlen(args.path));
	/* the page cache is what this is about, whatever the directory says */
	file->io_mode = IOPOOL_IO_BUFFERED;
	if (args.nranges == 0)
		PG_RETURN_INT64(0);
	iopool_stream_acquire(set, file);
	if (file->failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&file->failure, file->path, 0, 0, 0);
	size = iopool_file_size(file);

	for (int i = 0;
		 i < args.nranges && budget > 0 && iopool_file_takes_advice(file); i++)
	{
		int64 pos = args.offsets[i];
		int64 length = iopool_args_length(&args, i);
		int64 told;

		CHECK_FOR_INTERRUPTS();
		if (!iopool_file_count_from_end(file, &pos, &length, &failure))
			iopool_errors_raise(&failure, file->path, pos, length, i + 1);
		if (pos >= size || length == 0)
			continue;
		length = Min(length, size - pos);
		told = Min(length, budget);
		budget -= told;
		if (advise_range(file, pos, pos + told) && told == length)
			nhinted++;
	}

	MemoryContextDelete(cxt);
	PG_RETURN_INT64(nhinted);
}
