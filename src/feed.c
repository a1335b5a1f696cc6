/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  Calls of reading functions, one after the other, as one flow of ranges.
 *
 * An executor node adds calls, as many as it likes to read ahead, and takes
 * the results of the first.  The ranges of all calls go through the same
 * streams, one for each pool, so the queue stays full from call to call.
 *
 * Results come in the order of calls and ranges, which the streams see to: the
 * next one is the next result of the stream of its pool.  A feed that is not
 * in order has a single call, and takes what any stream has.
 *
 * Between two results, an executor may come to wait for others: for the client
 * to read, for a lock, for a parallel worker that needs a ring itself.  The
 * ring is parked meanwhile (park.c), with reads in flight, and others may take
 * it over.
 *
 * A feed looks ahead by a distance, in ranges, that is short at first and grows
 * with each wait until it keeps the queues full, so that a LIMIT costs little.
 *
 * Files are found by path and stay open from call to call.  So that the number
 * of paths does not matter, a set of files that has become large is left to
 * the calls that use it, and a new one begun; so it is when the user changes,
 * because the rights to a path are looked at when it is first named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "batch.h"
#include "compat.h"
#include "feed.h"
#include "guc.h"
#include "pool.h"

/* Paths of a set of files before the next one begins. */
#define MAX_PATHS 1024

/* By how much the distance grows with a wait. */
#define DISTANCE_GROWTH 4

/* As far as the streams go. */
#define MAX_DISTANCE (UINT64CONST(1) << 62)

/* A set of files, and the calls that read from it. */
typedef struct FeedFiles
{
	IopoolFeed *feed;
	Oid userid;		   /* whose rights have been looked at */
	MemoryContext cxt; /* a child of the feed's */
	MemoryContextCallback at_reset;
	IopoolFileSet *set;
	int npaths;
	int nusers;
} FeedFiles;

/* The ranges of one pool. */
typedef struct FeedPart
{
	IopoolFeed *feed;
	IopoolPool *pool;
	IopoolStream *stream;
	IopoolFeedCall *call; /* that it is at; NULL: before the first */
	int rangeno;		  /* the next one of it */
} FeedPart;

struct IopoolFeed
{
	MemoryContext cxt;
	bool in_order;
	bool is_complete; /* no more calls will come */
	uint64 distance;  /* ranges that are read ahead of the last handed out */
	uint64 nadded;	  /* ranges */
	IopoolIoMode io_mode;
	IopoolPool *pool; /* of the session; NULL: not needed yet */
	FeedFiles *files; /* of the next call */
	dlist_head calls; /* those that are not dropped, first first */
	dlist_head free_calls;
	int nahead; /* ranges added and not handed out */
	int failed; /* range of the only call that will be raised; -1: none */
	int nparts;
	FeedPart parts[IOPOOL_MAX_POOLS + 1];
	IopoolStream *streams[IOPOOL_MAX_POOLS + 1]; /* [nparts] */
	IopoolFeedStats stats;
};

/*
 * A feed without calls, in a child of parent; it ends with iopool_feed_end(),
 * or with parent.  Paths are read with the rights and settings of now.  It
 * reads ahead by `distance` ranges at first.
 */
IopoolFeed *
iopool_feed_begin(MemoryContext parent, bool in_order, int distance)
{
	MemoryContext cxt =
		AllocSetContextCreate(parent, "iopool feed", ALLOCSET_DEFAULT_SIZES);
	IopoolFeed *feed = MemoryContextAllocZero(cxt, sizeof(IopoolFeed));

	feed->cxt = cxt;
	feed->in_order = in_order;
	feed->failed = -1;
	feed->distance = distance;
	feed->io_mode = iopool_io_mode;
	dlist_init(&feed->calls);
	dlist_init(&feed->free_calls);
	return feed;
}

/*
 * Files go before the feed's context, and so before the streams in it.  If
 * there are calls that read from them, that is an error's doing.
 */
static void
abort_at_reset(void *arg)
{
	FeedFiles *files = arg;
	IopoolFeed *feed = files->feed;

	if (files->nusers == 0)
		return;
	for (int i = 0; i < feed->nparts; i++)
		iopool_stream_abort(feed->streams[i]);
}

static void
free_files(FeedFiles *files)
{
	MemoryContextDelete(files->cxt);
	pfree(files);
}

static FeedFiles *
new_files(IopoolFeed *feed)
{
	FeedFiles *files = MemoryContextAllocZero(feed->cxt, sizeof(FeedFiles));

	files->feed = feed;
	files->userid = GetUserId();
	files->cxt = AllocSetContextCreate(feed->cxt, "iopool feed files",
									   ALLOCSET_SMALL_SIZES);
	files->set = iopool_file_set_create(files->cxt, feed->io_mode);

	/* callbacks run youngest first: before the one that closes the files */
	files->at_reset.func = abort_at_reset;
	files->at_reset.arg = files;
	MemoryContextRegisterResetCallback(files->cxt, &files->at_reset);
	return files;
}

/* The set that a new call takes its files from. */
static FeedFiles *
current_files(IopoolFeed *feed)
{
	FeedFiles *old = feed->files;

	if (old != NULL && old->npaths < MAX_PATHS && old->userid == GetUserId())
		return old;

	feed->files = new_files(feed);
	/* otherwise the last call that reads from it frees it */
	if (old != NULL && old->nusers == 0)
		free_files(old);
	return feed->files;
}

static void
release_files(IopoolFeed *feed, FeedFiles *files)
{
	if (--files->nusers == 0 && files != feed->files)
		free_files(files);
}

static IopoolFile *
find_file(FeedFiles *files, const char *path, size_t len)
{
	IopoolFile *file = iopool_file_set_find(files->set, path, len);

	files->npaths = Max(files->npaths, file->number + 1);
	/* another call may find it mended */
	if (file->nusers == 0)
		file->failure.kind = IOPOOL_FAILURE_NONE;
	return file;
}

static IopoolSourceStatus feed_source(void *arg, IopoolRange *range);

static FeedPart *
add_part(IopoolFeed *feed, IopoolPool *pool)
{
	FeedPart *part = &feed->parts[feed->nparts];
	IopoolStreamOptions options = {
		.pool = pool,
		.in_order = feed->in_order,
		.max_in_flight_bytes = iopool_max_in_flight_bytes,
		.merge_gap = iopool_merge_gap,
		.header_size = VARHDRSZ,
		.source = feed_source,
		.source_arg = part,
		.is_interrupted = true,
	};

	part->feed = feed;
	part->pool = pool;
	part->stream = iopool_stream_begin(feed->cxt, &options);
	feed->streams[feed->nparts++] = part->stream;
	return part;
}

/* The part of a file's pool, which is begun if it is new. */
static FeedPart *
part_of_file(IopoolFeed *feed, const IopoolFile *file)
{
	IopoolPool *pool = file->dir != NULL ? file->dir->pool : NULL;

	if (pool == NULL)
	{
		if (feed->pool == NULL)
			feed->pool = iopool_shmem_find_pool(iopool_pool);
		pool = feed->pool;
	}
	for (int i = 0; i < feed->nparts; i++)
	{
		if (feed->parts[i].pool == pool)
			return &feed->parts[i];
	}

	return add_part(feed, pool);
}

static inline IopoolFile *
range_file(const IopoolFeedCall *call, int rangeno)
{
	return call->file != NULL ? call->file : call->range_files[rangeno];
}

static uint64
nhanded_out(const IopoolFeed *feed)
{
	return feed->nadded - feed->nahead;
}

/* IopoolSource: the ranges of a part, call after call. */
static IopoolSourceStatus
feed_source(void *arg, IopoolRange *range)
{
	FeedPart *part = arg;
	IopoolFeed *feed = part->feed;
	IopoolFeedCall *call = part->call;

	for (;;)
	{
		iopool_window_check_interrupts();
		if (call == NULL || part->rangeno == call->args.nranges)
		{
			bool has_next = call == NULL
				? !dlist_is_empty(&feed->calls)
				: dlist_has_next(&feed->calls, &call->node);

			if (!has_next)
				return feed->is_complete ? IOPOOL_SOURCE_END
										 : IOPOOL_SOURCE_LATER;
			call =
				dlist_container(IopoolFeedCall, node,
								call == NULL ? dlist_head_node(&feed->calls)
											 : dlist_next_node(&feed->calls,
															   &call->node));
			part->call = call;
			part->rangeno = 0;
		}
		else if (feed->nparts > 1 &&
				 part_of_file(feed, range_file(call, part->rangeno)) != part)
			part->rangeno++;
		else
			break;
	}

	/* nothing behind a failure that will be raised matters any more */
	if (feed->failed >= 0 && part->rangeno > feed->failed)
		return IOPOOL_SOURCE_END;
	if (call->first + part->rangeno >= nhanded_out(feed) + feed->distance)
		return IOPOOL_SOURCE_LATER;

	range->file = range_file(call, part->rangeno);
	if (!iopool_file_acquire(call->files->set, range->file))
		return iopool_source_refused(range->file);
	range->offset = call->args.offsets[part->rangeno];
	range->length = iopool_args_length(&call->args, part->rangeno);
	range->cookie = part->rangeno;
	range->dest = NULL;
	range->max_bytes = range->length;
	part->rangeno++;
	return IOPOOL_SOURCE_RANGE;
}

static IopoolFeedCall *
new_call(IopoolFeed *feed)
{
	IopoolFeedCall *call;

	if (dlist_is_empty(&feed->free_calls))
		call = MemoryContextAlloc(feed->cxt, sizeof(IopoolFeedCall));
	else
		call = dlist_container(IopoolFeedCall, node,
							   dlist_pop_head_node(&feed->free_calls));
	memset(call, 0, sizeof(IopoolFeedCall));
	call->files = current_files(feed);
	return call;
}

/* The call is as it should be: let its ranges be read. */
static IopoolFeedCall *
add_call(IopoolFeed *feed, IopoolFeedCall *call)
{
	call->files->nusers++;
	dlist_push_tail(&feed->calls, &call->node);
	call->first = feed->nadded;
	feed->nadded += call->args.nranges;
	feed->nahead += call->args.nranges;
	return call;
}

/*
 * Add a call, which ends before the memory that its args were taken into
 * (args.h).  Raises if the current user may not read a path.
 */
IopoolFeedCall *
iopool_feed_add(IopoolFeed *feed, const IopoolArgs *args, bool report)
{
	IopoolFeedCall *call = new_call(feed);
	FeedFiles *files = call->files;

	call->args = *args;
	call->report = report;

	/* no range at all: the session's pool has to exist all the same */
	if (args->nranges == 0 && feed->pool == NULL)
		feed->pool = iopool_shmem_find_pool(iopool_pool);

	if (args->path != NULL)
	{
		call->file = find_file(files, args->path, strlen(args->path));
		(void) part_of_file(feed, call->file);
		return add_call(feed, call);
	}

	if (args->nranges > 0)
		call->range_files =
			MemoryContextAllocHuge(feed->cxt,
								   sizeof(IopoolFile *) * args->nranges);
	for (int i = 0; i < args->nranges; i++)
	{
		text *path = DatumGetTextPP(args->paths[i]);
		IopoolFile *file;

		CHECK_FOR_INTERRUPTS();
		file = find_file(files, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));
		if (i == 0 || file != call->range_files[i - 1])
			(void) part_of_file(feed, file);
		call->range_files[i] = file;
	}
	return add_call(feed, call);
}

/* Add a call of a single range; raises as iopool_feed_add() does. */
IopoolFeedCall *
iopool_feed_add_range(IopoolFeed *feed, text *path, int64 offset, int64 length)
{
	IopoolFeedCall *call = new_call(feed);
	IopoolFile *file =
		find_file(call->files, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));

	call->file = file;
	call->offset = offset;
	call->args.nranges = 1;
	call->args.offsets = &call->offset;
	call->args.length = length;
	(void) part_of_file(feed, file);
	return add_call(feed, call);
}

/* There will be no more calls. */
void
iopool_feed_complete(IopoolFeed *feed)
{
	feed->is_complete = true;
}

/*
 * How many ranges ahead keep the queues full: what is in flight, and as many
 * to take their place while the first are waited for.
 */
static int
full_queues(const IopoolFeed *feed)
{
	int nentries = 0;

	for (int i = 0; i < feed->nparts; i++)
		nentries += feed->parts[i].pool->entries;
	return nentries * 2;
}

/* Should another call be added before the next result is asked for? */
bool
iopool_feed_wants_call(IopoolFeed *feed)
{
	if (feed->is_complete)
		return false;
	return feed->nahead == 0 ||
		(feed->nahead < full_queues(feed) &&
		 (uint64) feed->nahead < feed->distance);
}

/* The next result, if it is there. */
static bool
take(IopoolFeed *feed, IopoolFeedCall *call, IopoolResult *result)
{
	FeedPart *part = &feed->parts[0];

	if (!feed->in_order)
	{
		for (int i = 0; i < feed->nparts; i++)
		{
			if (iopool_stream_take(feed->streams[i], result))
				return true;
		}
		return false;
	}
	if (feed->nparts > 1)
		part = part_of_file(feed, range_file(call, call->nout));
	return iopool_stream_take(part->stream, result);
}

/* Wait for what is in flight.  Does not raise. */
static void
suspend(IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
		iopool_stream_suspend(feed->streams[i]);
}

/* Is there a result of any pool? */
static bool
has_result(const IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
	{
		if (iopool_window_next_is_ready(feed->streams[i]))
			return true;
	}
	return false;
}

/* Is the next result there? */
static bool
next_is_ready(IopoolFeed *feed, IopoolFeedCall *call)
{
	if (!feed->in_order || feed->nparts == 1)
		return has_result(feed);
	return iopool_window_next_is_ready(
		part_of_file(feed, range_file(call, call->nout))->stream);
}

/*
 * A context of libaio does not outlast the call that reads with it, so it has
 * to be worth its while: read as far as memory allows.
 */
static bool
reads_far(const IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
	{
		if (feed->parts[i].pool->method == IOPOOL_METHOD_LIBAIO)
			return feed->distance == MAX_DISTANCE;
	}
	return false;
}

/* Start what can be started, and wait until something has come. */
static IopoolStep
wait_for_reads(IopoolFeed *feed, IopoolFeedCall *call)
{
	IopoolFeedStats *stats = &feed->stats;
	uint64 ring_wait_us = iopool_pool_waited_us;
	IopoolStep step;
	instr_time start;
	instr_time end;

	INSTR_TIME_SET_CURRENT(start);
	if (reads_far(feed))
		iopool_window_run(feed->streams, feed->nparts);
	step = IOPOOL_STEP_MOVED;
	if (!next_is_ready(feed, call))
		step = iopool_window_step(feed->streams, feed->nparts, false, false,
								  IOPOOL_FOREVER);
	if (feed->distance < (uint64) full_queues(feed))
		feed->distance *= DISTANCE_GROWTH;
	else
		feed->distance = MAX_DISTANCE;
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);

	stats->wait_us += INSTR_TIME_GET_MICROSEC(end);
	stats->ring_wait_us += iopool_pool_waited_us - ring_wait_us;
	return step;
}

/*
 * A range of a call that is not handed out in order has failed: is there a
 * failure before it?  All that comes before the first one that is known has to
 * be read to tell, and nothing else.
 */
static void
find_first_failure(IopoolFeed *feed, IopoolFeedCall *call,
				   IopoolResult *failure)
{
	IopoolResult other;

	feed->distance = MAX_DISTANCE;
	do
	{
		while (take(feed, call, &other))
		{
			call->nout++;
			feed->nahead--;
			if (other.failure.kind == IOPOOL_FAILURE_NONE)
				pfree(other.buffer);
			else if (other.cookie < failure->cookie)
				*failure = other;
		}
		feed->failed = (int) failure->cookie;
	} while (wait_for_reads(feed, call) != IOPOOL_STEP_IDLE ||
			 has_result(feed));
}

/*
 * A range has failed that must not: raise the first failure in the order of
 * the call, when nothing is in flight any more.
 */
static void
raise_failure(IopoolFeed *feed, IopoolFeedCall *call, IopoolResult *result)
{
	if (!feed->in_order)
		find_first_failure(feed, call, result);
	suspend(feed);
	iopool_errors_raise(&result->failure, result->path, result->offset,
						result->length);
}

/*
 * The next result of the first call, which must have one left, waiting for it
 * if need be.  Raises its failure, unless the call reports it.  Its cookie is
 * the number of the range in the call; its buffer, which begins with a varlena
 * header, is to be freed.
 */
void
iopool_feed_next(IopoolFeed *feed, IopoolResult *result)
{
	IopoolFeedCall *call =
		dlist_head_element(IopoolFeedCall, node, &feed->calls);

	while (!take(feed, call, result))
	{
		IopoolStep step = wait_for_reads(feed, call);

		if (step == IOPOOL_STEP_IDLE)
		{
			if (!take(feed, call, result))
				iopool_stream_raise_idle();
			break;
		}
	}

	call->nout++;
	feed->nahead--;
	if (result->failure.kind != IOPOOL_FAILURE_NONE && !call->report)
		raise_failure(feed, call, result);
	if (result->buffer != NULL)
		SET_VARSIZE(result->buffer, VARHDRSZ + result->nbytes);
}

/* The first call, all of whose results have been handed out, is done with. */
void
iopool_feed_drop_call(IopoolFeed *feed, IopoolFeedCall *call)
{
	Assert(call->nout == call->args.nranges);

	for (int i = 0; i < feed->nparts; i++)
	{
		if (feed->parts[i].call == call)
			feed->parts[i].call = NULL;
	}
	dlist_delete(&call->node);
	if (call->range_files != NULL)
		pfree(call->range_files);
	release_files(feed, call->files);
	dlist_push_head(&feed->free_calls, &call->node);
}

/* What has been done so far, added to *stats. */
void
iopool_feed_get_stats(IopoolFeed *feed, IopoolFeedStats *stats)
{
	for (int i = 0; i < feed->nparts; i++)
	{
		IopoolStreamTotals totals;

		(void) iopool_stream_in_flight(feed->streams[i], &totals);
		stats->totals.nranges += totals.nranges;
		stats->totals.nreads += totals.nreads;
		stats->totals.nbytes += totals.nbytes;
		stats->totals.sum_in_flight += totals.sum_in_flight;
		stats->totals.max_in_flight =
			Max(stats->totals.max_in_flight, totals.max_in_flight);
	}
	stats->wait_us += feed->stats.wait_us;
	stats->ring_wait_us += feed->stats.ring_wait_us;
}

/*
 * End a feed, with whatever it still has to do left undone, and add what it
 * did to *stats.  Waits for what is in flight.
 */
void
iopool_feed_end(IopoolFeed *feed, IopoolFeedStats *stats)
{
	iopool_feed_get_stats(feed, stats);
	for (int i = 0; i < feed->nparts; i++)
		iopool_batch_end_stream(feed->streams[i], feed->parts[i].pool,
								feed->stats.wait_us / 1000.0);
	MemoryContextDelete(feed->cxt);
}
