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
 * for several.  Each pool's are one stream, and the streams run one after the
 * other: a backend that held a ring of one pool while it waits for another's
 * could wait for one that does the same the other way round.
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

/* Ranges between two looks at interrupts. */
#define RANGES_PER_CHECK 4096

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

/* Number of the pool (in batch->pools) that a range is read from. */
int
iopool_batch_pool_of(const IopoolBatch *batch, int rangeno)
{
	const IopoolFile *file = iopool_batch_file(batch, rangeno);
	IopoolPool *pool = (file->dir != NULL && file->dir->pool != NULL)
		? file->dir->pool
		: batch->pool;
	int poolno = 0;

	while (batch->pools[poolno] != pool)
		poolno++;
	return poolno;
}

static void
add_pool(IopoolBatch *batch, IopoolPool *pool)
{
	for (int i = batch->npools - 1; i >= 0; i--)
	{
		if (batch->pools[i] == pool)
			return;
	}
	batch->pools[batch->npools++] = pool;
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

		if (i % RANGES_PER_CHECK == 0)
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
	batch->dest_sizes = NULL;
	batch->cxt = AllocSetContextCreate(CurrentMemoryContext, "iopool batch",
									   ALLOCSET_DEFAULT_SIZES);
	batch->files = iopool_file_set_create(batch->cxt, io_mode);
	batch->file = NULL;
	batch->range_files = NULL;
	batch->pool = NULL;
	batch->npools = 0;
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
	if (batch->npools == 0)
		add_pool(batch, iopool_shmem_find_pool(iopool_pool));
}

/* IopoolSource: the ranges of the current pool, one after the other. */
static IopoolSourceStatus
batch_source(void *arg, IopoolRange *range)
{
	IopoolBatch *batch = arg;
	const IopoolResult *first = &batch->first_failure;
	int rangeno = batch->next_range;

	if (batch->npools > 1)
	{
		while (rangeno < batch->args.nranges &&
			   iopool_batch_pool_of(batch, rangeno) != batch->poolno)
			rangeno++;
		batch->next_range = rangeno;
	}

	/* nothing behind a failure that will be raised matters any more */
	if (rangeno == batch->args.nranges ||
		(first->failure.kind != IOPOOL_FAILURE_NONE &&
		 rangeno > first->cookie))
		return IOPOOL_SOURCE_END;

	range->file = iopool_batch_file(batch, rangeno);
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
begin_stream(IopoolBatch *batch, int poolno)
{
	IopoolStreamOptions options = {
		.pool = batch->pools[poolno],
		.files = batch->files,
		.in_order = batch->in_order,
		.max_in_flight_bytes = iopool_max_in_flight_bytes,
		.merge_gap = iopool_merge_gap,
		.header_size = VARHDRSZ,
		.source = batch_source,
		.source_arg = batch,
	};

	batch->poolno = poolno;
	batch->next_range = 0;
	batch->stream = iopool_stream_begin(batch->cxt, &options);
}

/* The current stream is exhausted: log it if it was slow. */
static void
end_stream(IopoolBatch *batch)
{
	IopoolPool *pool = batch->pools[batch->poolno];
	IopoolStreamTotals totals;
	instr_time elapsed;

	iopool_stream_end(batch->stream, &totals);

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
					pool->name,
					iopool_method_name(pool->method)),
			 errhidestmt(true)));
}

/*
 * Start to read.  in_order: results come in the order of the call, within
 * each pool; otherwise as they complete.
 */
void
iopool_batch_start(IopoolBatch *batch, bool in_order)
{
	batch->in_order = in_order;
	begin_stream(batch, 0);
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
		while (iopool_stream_next(batch->stream, result))
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

		if (batch->poolno + 1 == batch->npools)
			break;
		end_stream(batch);
		INSTR_TIME_SET_CURRENT(batch->start);
		begin_stream(batch, batch->poolno + 1);
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
