/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  One call: its ranges on their way through streams.
 *
 * A batch is a memory context that holds the open files and the streams, and
 * that cleans up after itself when an ERROR takes the memory of the query
 * away.
 *
 * Directories may have pools of their own, so the ranges of one call can be
 * for several.  Each pool's are a part with a stream of its own.  A call that
 * waits for its results runs the streams one after the other, because a
 * backend has to give its rings back before it waits for one of another pool;
 * those of a request run side by side.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "batch.h"
#include "compat.h"
#include "guc.h"
#include "method.h"

/*
 * Blocks of a batch's context, which do not grow further: a request counts
 * what it takes, and does not know how much of its last block it needs.
 */
#define BATCH_SIZES \
	ALLOCSET_DEFAULT_MINSIZE, ALLOCSET_DEFAULT_INITSIZE, IOPOOL_BATCH_BLOCK

/* The pool that a file is read from; the session's is looked up if needed. */
static IopoolPool *
pool_of_file(IopoolBatch *batch, const IopoolFile *file)
{
	if (file->dir != NULL && file->dir->pool != NULL)
		return file->dir->pool;
	if (batch->pool == NULL)
		batch->pool = iopool_shmem_find_pool(iopool_pool);
	return batch->pool;
}

/* Number of the part that a range belongs to. */
int
iopool_batch_part_of(const IopoolBatch *batch, int rangeno)
{
	const IopoolFile *file = iopool_batch_file(batch, rangeno);
	IopoolPool *pool = (file->dir != NULL && file->dir->pool != NULL)
		? file->dir->pool
		: batch->pool;
	int partno = 0;

	while (batch->parts[partno].pool != pool)
		partno++;
	return partno;
}

static void
add_pool(IopoolBatch *batch, IopoolPool *pool)
{
	IopoolBatchPart *part;

	for (int i = batch->nparts - 1; i >= 0; i--)
	{
		if (batch->parts[i].pool == pool)
			return;
	}
	part = &batch->parts[batch->nparts++];
	memset(part, 0, sizeof(IopoolBatchPart));
	part->batch = batch;
	part->pool = pool;
}

/* Make a file of each path, in the order of the call; raises as that does. */
static void
name_files(IopoolBatch *batch)
{
	int nranges = batch->args.nranges;

	batch->range_files =
		MemoryContextAllocHuge(batch->cxt, sizeof(IopoolFile *) * nranges);
	for (int i = 0; i < nranges; i++)
	{
		text *path = DatumGetTextPP(batch->args.paths[i]);

		CHECK_FOR_INTERRUPTS();
		batch->range_files[i] =
			iopool_file_set_find(batch->files, VARDATA_ANY(path),
								 VARSIZE_ANY_EXHDR(path));
		if (i == 0 || batch->range_files[i] != batch->range_files[i - 1])
			add_pool(batch, pool_of_file(batch, batch->range_files[i]));
	}
}

/*
 * Begin a batch with its args and report set: looks at the rights to every
 * path, and raises as iopool_file_name() does before anything is opened.
 */
void
iopool_batch_begin(IopoolBatch *batch, IopoolIoMode io_mode)
{
	INSTR_TIME_SET_CURRENT(batch->start);
	batch->dests = NULL;
	batch->sizes = NULL;
	batch->buffer_cxt = NULL;
	batch->cxt = AllocSetContextCreate(CurrentMemoryContext, "iopool batch",
									   BATCH_SIZES);
	batch->files = iopool_file_set_create(batch->cxt, io_mode);
	batch->file = NULL;
	batch->range_files = NULL;
	batch->pool = NULL;
	batch->nparts = 0;
	batch->first_failure.failure.kind = IOPOOL_FAILURE_NONE;

	if (batch->args.path != NULL)
	{
		batch->file = iopool_file_set_find(batch->files, batch->args.path,
										   strlen(batch->args.path));
		add_pool(batch, pool_of_file(batch, batch->file));
	}
	else
		name_files(batch);

	/* no range at all: the session's pool has to exist all the same */
	if (batch->nparts == 0)
		add_pool(batch, iopool_shmem_find_pool(iopool_pool));
}

/*
 * How many bytes each range will bring, as the files are now; opens them.  In
 * the batch's context; 0 for ranges of files that cannot be read.
 */
int64 *
iopool_batch_measure(IopoolBatch *batch)
{
	int nranges = batch->args.nranges;
	int64 *sizes =
		MemoryContextAllocHuge(batch->cxt, sizeof(int64) * Max(nranges, 1));

	for (int i = 0; i < nranges; i++)
	{
		IopoolFile *file = iopool_batch_file(batch, i);

		CHECK_FOR_INTERRUPTS();
		iopool_stream_acquire(batch->files, file);
		sizes[i] = (file->failure.kind != IOPOOL_FAILURE_NONE)
			? 0
			: iopool_file_available(file, batch->args.offsets[i],
									iopool_args_length(&batch->args, i));
		iopool_file_release(file);
	}
	return sizes;
}

/* IopoolSource: the ranges of a part, one after the other. */
static IopoolSourceStatus
batch_source(void *arg, IopoolRange *range)
{
	IopoolBatchPart *part = arg;
	IopoolBatch *batch = part->batch;
	const IopoolResult *first = &batch->first_failure;
	int rangeno;

	while (batch->nparts > 1 && part->next_range < batch->args.nranges &&
		   iopool_batch_part_of(batch, part->next_range) !=
			   part - batch->parts)
	{
		iopool_window_check_interrupts();
		part->next_range++;
	}
	rangeno = part->next_range;

	/* nothing behind a failure that will be raised matters any more */
	if (rangeno == batch->args.nranges ||
		(first->failure.kind != IOPOOL_FAILURE_NONE &&
		 rangeno > first->cookie))
		return IOPOOL_SOURCE_END;

	range->file = iopool_batch_file(batch, rangeno);
	if (!iopool_file_acquire(batch->files, range->file))
		return iopool_source_refused(range->file);

	range->offset = batch->args.offsets[rangeno];
	range->length = iopool_args_length(&batch->args, rangeno);
	range->cookie = rangeno;
	range->dest = NULL;
	range->max_bytes = range->length;
	if (batch->sizes != NULL)
		range->max_bytes = batch->sizes[rangeno];
	if (batch->dests != NULL)
		range->dest = batch->dests[rangeno];
	part->next_range++;
	return IOPOOL_SOURCE_RANGE;
}

static void
begin_stream(IopoolBatchPart *part, bool is_request)
{
	IopoolBatch *batch = part->batch;
	IopoolStreamOptions options = {
		.pool = part->pool,
		.in_order = batch->in_order,
		.max_in_flight_bytes = iopool_max_in_flight_bytes,
		.merge_gap = iopool_merge_gap,
		.header_size = VARHDRSZ,
		.buffer_cxt = batch->buffer_cxt,
		.source = batch_source,
		.source_arg = part,
		.is_background = is_request,
		.keeps_results = is_request,
		.is_unowned = is_request,
	};

	part->next_range = 0;
	part->stream = iopool_stream_begin(batch->cxt, &options);
}

/*
 * Begin the streams of all parts, for a caller that takes the results from
 * them as they complete.  They go on in the background, and end with the
 * batch's context.
 */
void
iopool_batch_start_all(IopoolBatch *batch)
{
	batch->in_order = false;
	for (int i = 0; i < batch->nparts; i++)
		begin_stream(&batch->parts[i], true);
}

/* End a stream, and log it if it took long. */
void
iopool_batch_end_stream(IopoolStream *stream, const IopoolPool *pool,
						double elapsed_ms)
{
	IopoolStreamTotals totals;

	iopool_stream_end(stream, &totals);

	if (iopool_log_min_duration_ms < 0 ||
		elapsed_ms < iopool_log_min_duration_ms)
		return;

	ereport(LOG,
			(errmsg("iopool: batch took %.3f ms: %llu ranges, %llu reads, %llu bytes, pool \"%s\", method %s",
					elapsed_ms,
					(unsigned long long) totals.nranges,
					(unsigned long long) totals.nreads,
					(unsigned long long) totals.nbytes, pool->name,
					iopool_method_name(pool->method)),
			 errhidestmt(true)));
}

/* The current stream is exhausted. */
static void
end_stream(IopoolBatch *batch)
{
	IopoolBatchPart *part = &batch->parts[batch->partno];
	instr_time elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, batch->start);
	iopool_batch_end_stream(part->stream, part->pool,
							INSTR_TIME_GET_MILLISEC(elapsed));
}

/*
 * Start to read.  in_order: results come in the order of the call, within
 * each pool; otherwise as they complete.
 */
void
iopool_batch_start(IopoolBatch *batch, bool in_order)
{
	batch->in_order = in_order;
	batch->partno = 0;
	begin_stream(&batch->parts[0], false);
}

/*
 * Next result of the batch.  With on_error => 'raise', raises the failure of
 * the lowest ordinal: each pool's ranges are pulled in order, so after one
 * failure it is enough to pull those before it, and to look at those that are
 * on their way.
 */
bool
iopool_batch_next(IopoolBatch *batch, IopoolResult *result)
{
	IopoolResult *first = &batch->first_failure;

	for (;;)
	{
		while (iopool_stream_next(batch->parts[batch->partno].stream, result))
		{
			if (batch->report)
				return true;
			if (result->failure.kind != IOPOOL_FAILURE_NONE)
			{
				if (first->failure.kind == IOPOOL_FAILURE_NONE ||
					result->cookie < first->cookie)
					*first = *result;
			}
			else if (first->failure.kind == IOPOOL_FAILURE_NONE)
				return true;
			else if (result->buffer != NULL)
				pfree(result->buffer);
		}

		if (batch->partno + 1 == batch->nparts)
			break;
		end_stream(batch);
		INSTR_TIME_SET_CURRENT(batch->start);
		begin_stream(&batch->parts[++batch->partno], false);
	}

	if (first->failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&first->failure, first->path, first->offset,
							first->length);
	return false;
}

/* The batch is exhausted: close its files.  Its memory stays. */
void
iopool_batch_end(IopoolBatch *batch)
{
	end_stream(batch);
	iopool_file_set_close(batch->files);
}
