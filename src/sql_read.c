/*-------------------------------------------------------------------------
 *
 * sql_read.c
 *	  SQL functions that read, and iopool_prefetch().
 *
 * iopool_read(path, file_offset, length) -> bytea
 *		one range
 * iopool_read_batch(path | paths, file_offsets, lengths | length, on_error,
 *					 in_order) -> setof (ordinal, file_offset, length, data,
 *					 error)
 *		many ranges as rows
 * iopool_read_array(path | paths, file_offsets, lengths | length, on_error)
 *					 -> bytea[]
 *		many ranges as one array
 * iopool_prefetch(path, file_offsets, lengths) -> bigint
 *		ranges that the kernel was told to bring into the page cache
 *
 * All of them work through a Batch: a memory context that holds the open
 * files and the stream, and that cleans up after itself when an ERROR takes
 * the memory of the query away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "access.h"
#include "args.h"
#include "compat.h"
#include "guc.h"
#include "method.h"
#include "shmem.h"
#include "single.h"
#include "stream.h"

/*
 * The kernel reads ahead at most about so much for one POSIX_FADV_WILLNEED,
 * however long the advice is.
 */
#define ADVICE_SIZE (128 * 1024)

#define BATCH_COLUMNS 5

/* One call: its ranges on their way to a stream. */
typedef struct Batch
{
	IopoolArgs args;
	bool report; /* on_error => 'report' */
	IopoolPool *pool;
	MemoryContext cxt;
	IopoolFileSet *files;
	IopoolStream *stream;
	char **dests;				/* [nranges], or NULL: the stream allocates */
	const int64 *dest_sizes;	/* [nranges], bytes, with dests */
	int next_range;				/* the source's position */
	bool is_stopped;			/* a failure will be raised: pull no more */
	IopoolResult first_failure; /* the one with the lowest ordinal */
	instr_time start;
} Batch;

static void
batch_begin(Batch *batch, IopoolIoMode io_mode)
{
	INSTR_TIME_SET_CURRENT(batch->start);
	batch->pool = iopool_shmem_find_pool(iopool_pool);
	batch->cxt = AllocSetContextCreate(CurrentMemoryContext, "iopool batch",
									   ALLOCSET_DEFAULT_SIZES);
	batch->files = iopool_file_set_create(batch->cxt, io_mode);
	batch->next_range = 0;
	batch->is_stopped = false;
	batch->first_failure.failure.kind = IOPOOL_FAILURE_NONE;
}

static IopoolFile *
batch_file(Batch *batch, int rangeno)
{
	text *path;

	if (batch->args.path != NULL)
		return iopool_file_set_find(batch->files, batch->args.path,
									strlen(batch->args.path));
	path = DatumGetTextPP(batch->args.paths[rangeno]);
	return iopool_file_set_find(batch->files, VARDATA_ANY(path),
								VARSIZE_ANY_EXHDR(path));
}

/* IopoolSource: the arguments, one range after the other. */
static IopoolSourceStatus
batch_source(void *arg, IopoolRange *range)
{
	Batch *batch = arg;
	int rangeno = batch->next_range;

	if (rangeno == batch->args.nranges || batch->is_stopped)
		return IOPOOL_SOURCE_END;

	range->file = batch_file(batch, rangeno);
	if (!iopool_file_acquire(batch->files, range->file))
		return IOPOOL_SOURCE_LATER;

	range->offset = batch->args.offsets[rangeno];
	range->length = iopool_args_length(&batch->args, rangeno);
	range->cookie = rangeno;
	range->dest = NULL;
	if (batch->dests != NULL)
	{
		range->dest = batch->dests[rangeno];
		range->dest_size = batch->dest_sizes[rangeno];
	}
	batch->next_range++;
	return IOPOOL_SOURCE_RANGE;
}

static void
batch_stream(Batch *batch, bool in_order)
{
	IopoolStreamOptions options = {
		.pool = batch->pool,
		.files = batch->files,
		.in_order = in_order,
		.max_in_flight_bytes = iopool_max_in_flight_bytes,
		.merge_gap = iopool_merge_gap,
		.header_size = VARHDRSZ,
		.source = batch_source,
		.source_arg = batch,
	};

	batch->stream = iopool_stream_begin(batch->cxt, &options);
}

/*
 * Next result of the batch.  With on_error => 'raise', raises the failure of
 * the lowest ordinal: ranges are pulled in order, so after one failure it is
 * enough to pull no more, and to look at those that are on their way.
 */
static bool
batch_next(Batch *batch, IopoolResult *result)
{
	IopoolResult *first = &batch->first_failure;

	while (iopool_stream_next(batch->stream, result))
	{
		if (batch->report)
			return true;
		if (result->failure.kind != IOPOOL_FAILURE_NONE)
		{
			batch->is_stopped = true;
			if (first->failure.kind == IOPOOL_FAILURE_NONE ||
				result->cookie < first->cookie)
				*first = *result;
		}
		else if (!batch->is_stopped)
			return true;
		else if (result->buffer != NULL)
			pfree(result->buffer);
	}

	if (first->failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&first->failure, first->path, first->offset,
							first->length);
	return false;
}

/* The stream is exhausted: log the batch if it was slow. */
static void
batch_end(Batch *batch)
{
	IopoolStreamTotals totals;
	instr_time elapsed;

	iopool_stream_end(batch->stream, &totals);
	iopool_file_set_close(batch->files);

	if (iopool_log_min_duration_ms < 0)
		return;
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, batch->start);
	if (INSTR_TIME_GET_MILLISEC(elapsed) < iopool_log_min_duration_ms)
		return;

	ereport(LOG,
			(errmsg("iopool: batch took %.3f ms: %llu ranges, %llu reads, %llu bytes, pool \"%s\", method %s",
					INSTR_TIME_GET_MILLISEC(elapsed),
					(unsigned long long) totals.nranges,
					(unsigned long long) totals.nreads,
					(unsigned long long) totals.nbytes,
					batch->pool->name,
					iopool_method_name(batch->pool->method)),
			 errhidestmt(true)));
}

IOPOOL_FUNCTION(iopool_read);

Datum
iopool_read(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64 offset = PG_GETARG_INT64(1);
	int64 length = PG_GETARG_INT64(2);
	IopoolPool *pool;
	Batch batch;
	IopoolResult result;
	Size size;

	iopool_shmem_require();
	iopool_args_check_range(offset, length);
	iopool_access_check_path(path);
	pool = iopool_shmem_find_pool(iopool_pool);

	if (length <= IOPOOL_SINGLE_MAX)
	{
		bytea *data = palloc(VARHDRSZ + length);
		IopoolFailure failure;
		int64 nbytes;

		nbytes = iopool_single_read(pool, iopool_io_mode, path, offset, length,
									VARDATA(data), &failure);
		if (nbytes >= 0)
		{
			SET_VARSIZE(data, VARHDRSZ + nbytes);
			PG_RETURN_BYTEA_P(data);
		}
		if (failure.kind != IOPOOL_FAILURE_READ || failure.errnum != EAGAIN)
			iopool_errors_raise(&failure, path, offset, length);
		pfree(data);
	}

	memset(&batch.args, 0, sizeof(IopoolArgs));
	batch.args.nranges = 1;
	batch.args.path = path;
	batch.args.offsets = &offset;
	batch.args.length = length;
	batch.report = false;
	batch.dests = NULL;
	batch_begin(&batch, iopool_io_mode);
	batch_stream(&batch, true);
	if (!batch_next(&batch, &result))
		elog(ERROR, "stream of one range gave none");
	size = VARHDRSZ + result.nbytes;
	batch_end(&batch);

	/* the buffer stays in the batch's context, a child of the caller's */
	SET_VARSIZE(result.buffer, size);
	PG_RETURN_BYTEA_P(result.buffer);
}

/* Rows of a batch, into the tuplestore of a set-returning function. */
static Datum
return_rows(FunctionCallInfo fcinfo, Batch *batch, Datum on_error,
			bool in_order)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IopoolResult result;

	batch->report = iopool_args_is_report(on_error);
	batch->dests = NULL;
	batch_begin(batch, iopool_io_mode);
	InitMaterializedSRF(fcinfo, 0);
	batch_stream(batch, in_order);

	while (batch_next(batch, &result))
	{
		Datum values[BATCH_COLUMNS];
		bool nulls[BATCH_COLUMNS] = {false};
		char *message = NULL;

		values[0] = Int32GetDatum((int32) result.cookie + 1);
		values[1] = Int64GetDatum(result.offset);
		values[2] = Int64GetDatum(result.length);
		if (result.failure.kind == IOPOOL_FAILURE_NONE)
		{
			SET_VARSIZE(result.buffer, VARHDRSZ + result.nbytes);
			values[3] = PointerGetDatum(result.buffer);
			nulls[4] = true;
		}
		else
		{
			message = iopool_errors_message(&result.failure, result.path,
											result.offset, result.length);
			nulls[3] = true;
			values[4] = CStringGetTextDatum(message);
		}

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);

		if (result.buffer != NULL)
			pfree(result.buffer);
		if (message != NULL)
		{
			pfree(message);
			pfree(DatumGetPointer(values[4]));
		}
	}

	batch_end(batch);
	MemoryContextDelete(batch->cxt);
	return (Datum) 0;
}

IOPOOL_FUNCTION(iopool_read_batch);
IOPOOL_FUNCTION(iopool_read_batch_length);
IOPOOL_FUNCTION(iopool_read_batch_paths);

Datum
iopool_read_batch(PG_FUNCTION_ARGS)
{
	Batch batch;

	iopool_shmem_require();
	iopool_args_path_lengths(&batch.args, PG_GETARG_DATUM(0),
							 PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
	return return_rows(fcinfo, &batch, PG_GETARG_DATUM(3), PG_GETARG_BOOL(4));
}

Datum
iopool_read_batch_length(PG_FUNCTION_ARGS)
{
	Batch batch;

	iopool_shmem_require();
	iopool_args_path_length(&batch.args, PG_GETARG_DATUM(0),
							PG_GETARG_DATUM(1), PG_GETARG_INT64(2));
	return return_rows(fcinfo, &batch, PG_GETARG_DATUM(3), PG_GETARG_BOOL(4));
}

Datum
iopool_read_batch_paths(PG_FUNCTION_ARGS)
{
	Batch batch;

	iopool_shmem_require();
	iopool_args_paths_lengths(&batch.args, PG_GETARG_DATUM(0),
							  PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
	return return_rows(fcinfo, &batch, PG_GETARG_DATUM(3), PG_GETARG_BOOL(4));
}

/*
 * How long each element will be, as the files are now.  The array is laid out
 * by this before anything is read, so that the bytes are read into place.
 */
static int64 *
expected_lengths(Batch *batch)
{
	int nranges = batch->args.nranges;
	int64 *expected =
		MemoryContextAllocHuge(batch->cxt, sizeof(int64) * nranges);

	for (int i = 0; i < nranges; i++)
	{
		IopoolFile *file = batch_file(batch, i);

		CHECK_FOR_INTERRUPTS();
		/* no file is in use, so there always is a descriptor or a failure */
		(void) iopool_file_acquire(batch->files, file);
		expected[i] = (file->failure.kind != IOPOOL_FAILURE_NONE)
			? 0
			: iopool_file_available(file, batch->args.offsets[i],
									iopool_args_length(&batch->args, i));
		iopool_file_release(batch->files, file);
	}
	return expected;
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

/* All ranges of a batch as one array, in the order of the call. */
static Datum
return_array(Batch *batch, Datum on_error)
{
	int nranges = batch->args.nranges;
	IopoolResult result;
	ArrayType *array;
	int64 *expected;
	int64 *actual;
	char **dests;
	bool as_expected = true;

	batch->report = iopool_args_is_report(on_error);
	batch_begin(batch, iopool_io_mode);
	if (nranges == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(BYTEAOID));

	expected = expected_lengths(batch);
	actual = MemoryContextAllocHuge(batch->cxt, sizeof(int64) * nranges);
	dests = MemoryContextAllocHuge(batch->cxt, sizeof(char *) * nranges);
	array = layout_array(batch->cxt, nranges, expected, dests);
	batch->dests = dests;
	batch->dest_sizes = expected;

	batch_stream(batch, false);
	while (batch_next(batch, &result))
	{
		int i = (int) result.cookie;

		actual[i] =
			(result.failure.kind == IOPOOL_FAILURE_NONE) ? result.nbytes : -1;
		as_expected &= (actual[i] == expected[i]);
	}
	batch_end(batch);

	if (!as_expected)
	{
		char **new_dests =
			MemoryContextAllocHuge(batch->cxt, sizeof(char *) * nranges);

		/* files have shrunk meanwhile, or could not be read */
		array = layout_array(batch->cxt, nranges, actual, new_dests);
		for (int i = 0; i < nranges; i++)
		{
			if (actual[i] > 0)
				memcpy(new_dests[i], dests[i], actual[i]);
		}
	}

	/* the array stays in the batch's context, a child of the caller's */
	PG_RETURN_ARRAYTYPE_P(array);
}

IOPOOL_FUNCTION(iopool_read_array);
IOPOOL_FUNCTION(iopool_read_array_length);
IOPOOL_FUNCTION(iopool_read_array_paths);

Datum
iopool_read_array(PG_FUNCTION_ARGS)
{
	Batch batch;

	iopool_shmem_require();
	iopool_args_path_lengths(&batch.args, PG_GETARG_DATUM(0),
							 PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
	return return_array(&batch, PG_GETARG_DATUM(3));
}

Datum
iopool_read_array_length(PG_FUNCTION_ARGS)
{
	Batch batch;

	iopool_shmem_require();
	iopool_args_path_length(&batch.args, PG_GETARG_DATUM(0),
							PG_GETARG_DATUM(1), PG_GETARG_INT64(2));
	return return_array(&batch, PG_GETARG_DATUM(3));
}

Datum
iopool_read_array_paths(PG_FUNCTION_ARGS)
{
	Batch batch;

	iopool_shmem_require();
	iopool_args_paths_lengths(&batch.args, PG_GETARG_DATUM(0),
							  PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
	return return_array(&batch, PG_GETARG_DATUM(3));
}

IOPOOL_FUNCTION(iopool_prefetch);

Datum
iopool_prefetch(PG_FUNCTION_ARGS)
{
	Batch batch;
	IopoolFile *file;
	int64 nhinted = 0;

	iopool_shmem_require();
	iopool_args_path_lengths(&batch.args, PG_GETARG_DATUM(0),
							 PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
	/* the page cache is what this is about, whatever the session reads by */
	batch_begin(&batch, IOPOOL_IO_BUFFERED);
	if (batch.args.nranges == 0)
		PG_RETURN_INT64(0);

	file = batch_file(&batch, 0);
	(void) iopool_file_acquire(batch.files, file);
	if (file->failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&file->failure, file->path, 0, 0);

	for (int i = 0; i < batch.args.nranges; i++)
	{
		int64 pos = batch.args.offsets[i];
		int64 end = pos +
			iopool_file_available(file, pos,
								  iopool_args_length(&batch.args, i));
		bool is_hinted = pos < end;

		for (; pos < end; pos += ADVICE_SIZE)
		{
			CHECK_FOR_INTERRUPTS();
			if (posix_fadvise(file->fd, pos, Min(end - pos, ADVICE_SIZE),
							  POSIX_FADV_WILLNEED) != 0)
				is_hinted = false;
		}
		nhinted += is_hinted;
	}

	MemoryContextDelete(batch.cxt);
	PG_RETURN_INT64(nhinted);
}
