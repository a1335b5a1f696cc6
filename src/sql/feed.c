/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  Calls of reading functions, one after the other, as one flow of ranges.
 *
 * An SQL function has a feed of one call, and so has a request, whose feed goes
 * on in the background.  An executor node adds calls, as many as it likes to
 * read ahead, and takes the results of the first.  The ranges of all calls go
 * through the same streams, one for each pool, so the queue stays full from
 * call to call.
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
 * The feed of a node looks ahead by a distance, in ranges, that is short at
 * first and grows with each wait until it keeps the queues full, so that a
 * LIMIT costs little.
 *
 * Files are found by path and stay open from call to call.  So that the number
 * of paths does not matter, a set of files that has become large is left to
 * the calls that use it, and a new one begun; so it is when the user changes,
 * because the rights to a path are looked at when it is first named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "sql/feed.h"
#include "ring/settings.h"
#include "ring/lease.h"
#include "file/log.h"
#include "ring/method.h"
#include "ring/pool.h"

/* Paths of a set of files before the next one begins. */
#define MAX_PATHS 1024

/*
 * Blocks of a feed's context, which do not grow further: a request counts what
 * it takes, and does not know how much of its last block it needs.
 */
#define FEED_SIZES \
	ALLOCSET_DEFAULT_MINSIZE, ALLOCSET_DEFAULT_INITSIZE, IOPOOL_FEED_BLOCK

/* By how much the distance grows with a wait. */
#define DISTANCE_GROWTH 4

/* As far as the streams go. */
#define MAX_DISTANCE (UINT64CONST(1) << 62)

/* A set of files, and the calls that read from it. */
typedef struct IopoolFeedFiles
{
	IopoolFeed *feed;
	Oid userid;		   /* whose rights have been looked at */
	MemoryContext cxt; /* a child of the feed's */
	MemoryContextCallback at_reset;
	IopoolFileSet *set;
	int nusers;
} FeedFiles;

/* The ranges of one pool. */
typedef struct FeedPart
{
	IopoolFeed *feed;
	IopoolPool *pool;
	IopoolStream *stream;
	IopoolCall *call; /* that it is at; NULL: before the first */
	int rangeno;	  /* the next one of it */
} FeedPart;

struct IopoolFeed
{
	MemoryContext cxt;
	MemoryContextCallback at_reset;
	IopoolFeedOptions options;
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
	IopoolCallLog log;
};

/* Log the calls of a feed that has ended, if that took long. */
static void
log_end(IopoolFeed *feed, bool has_ended)
{
	IopoolFeedStats stats = {0};
	IopoolCallLog log = feed->log;
	int64 us = feed->stats.wait_us;
	IopoolCallReport report;

	/* it ends once: what comes later only frees its memory */
	feed->log.role = NULL;
	if (log.role == NULL)
		return;

	/* a node's consumer takes its time */
	if (!feed->options.is_interrupted)
		us = iopool_deadline_now() - log.start;
	if (!iopool_log_wants(&log, us))
		return;

	iopool_feed_get_stats(feed, &stats);
	report.nranges = stats.totals.nranges;
	report.nreads = stats.totals.nreads;
	report.nbytes = stats.totals.nbytes;
	report.wait_us = stats.wait_us;
	report.ring_wait_us = stats.ring_wait_us;
	report.pools = iopool_feed_pool_names(feed);
	report.has_ended = has_ended;
	iopool_log_call(&log, us, &report);
}

/* An error takes the feed's memory away; the streams in it have ended. */
static void
log_at_reset(void *arg)
{
	IopoolFeed *feed = arg;

	if (feed->nadded > 0)
		log_end(feed, false);
}

/*
 * A feed without calls, in a child of parent; it ends with iopool_feed_end(),
 * or with parent.  Paths are read with the rights and settings of now.
 */
IopoolFeed *
iopool_feed_begin(MemoryContext parent, const IopoolFeedOptions *options)
{
	MemoryContext cxt =
		AllocSetContextCreate(parent, "iopool feed", FEED_SIZES);
	IopoolFeed *feed = MemoryContextAllocZero(cxt, sizeof(IopoolFeed));

	feed->cxt = cxt;
	feed->options = *options;
	feed->failed = -1;
	feed->distance = MAX_DISTANCE;
	if (options->distance > 0)
		feed->distance = options->distance;
	feed->io_mode = iopool_io_mode;
	dlist_init(&feed->calls);
	dlist_init(&feed->free_calls);
	iopool_log_begin(&feed->log, cxt);
	if (feed->log.role != NULL)
	{
		feed->at_reset.func = log_at_reset;
		feed->at_reset.arg = feed;
		MemoryContextRegisterResetCallback(cxt, &feed->at_reset);
	}
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

	if (old != NULL && iopool_file_set_count(old->set) < MAX_PATHS &&
		old->userid == GetUserId())
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

static IopoolSourceStatus feed_source(void *arg, IopoolRange *range);

static FeedPart *
add_part(IopoolFeed *feed, IopoolPool *pool)
{
	FeedPart *part = &feed->parts[feed->nparts];
	IopoolStreamOptions options = {
		.pool = pool,
		.in_order = feed->options.in_order,
		.max_in_flight_bytes = iopool_max_in_flight_bytes,
		.merge_gap = iopool_merge_gap,
		.header_size = VARHDRSZ,
		.buffer_cxt = feed->options.buffer_cxt,
		.source = feed_source,
		.source_arg = part,
		.is_interrupted = feed->options.is_interrupted,
		.is_background = feed->options.is_background,
		.keeps_results = feed->options.is_background,
		.is_unowned = feed->options.is_background,
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

static uint64
nhanded_out(const IopoolFeed *feed)
{
	return feed->nadded - feed->nahead;
}

/* A range of the part is read from this file. */
static inline void
count_io_mode(FeedPart *part, const IopoolFile *file)
{
	int poolno = part->pool - iopool_shared->pools;

	part->feed->stats.io_modes[poolno] |= 1 << file->io_mode;
}

/* IopoolSource: the ranges of a part, call after call. */
static IopoolSourceStatus
feed_source(void *arg, IopoolRange *range)
{
	FeedPart *part = arg;
	IopoolFeed *feed = part->feed;
	IopoolCall *call = part->call;
	IopoolSourceStatus status;

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
				dlist_container(IopoolCall, node,
								call == NULL ? dlist_head_node(&feed->calls)
											 : dlist_next_node(&feed->calls,
															   &call->node));
			part->call = call;
			part->rangeno = 0;
		}
		else if (feed->nparts > 1 &&
				 part_of_file(feed, iopool_call_file(call, part->rangeno)) !=
					 part)
			part->rangeno++;
		else
			break;
	}

	/* nothing behind a failure that will be raised matters any more */
	if (feed->failed >= 0 && part->rangeno > feed->failed)
		return IOPOOL_SOURCE_END;
	if (call->first + part->rangeno >= nhanded_out(feed) + feed->distance)
		return IOPOOL_SOURCE_LATER;

	status = iopool_call_range(call, part->rangeno, call->files->set, range);
	if (status == IOPOOL_SOURCE_RANGE)
	{
		count_io_mode(part, range->file);
		part->rangeno++;
	}
	return status;
}

static IopoolCall *
new_call(IopoolFeed *feed)
{
	IopoolCall *call;

	if (dlist_is_empty(&feed->free_calls))
		call = MemoryContextAlloc(feed->cxt, sizeof(IopoolCall));
	else
		call = dlist_container(IopoolCall, node,
							   dlist_pop_head_node(&feed->free_calls));
	memset(call, 0, sizeof(IopoolCall));
	call->files = current_files(feed);
	return call;
}

/* Begin the streams of the pools that a call reads from. */
static void
add_parts(IopoolFeed *feed, const IopoolCall *call)
{
	if (call->file != NULL)
		(void) part_of_file(feed, call->file);
	else
	{
		for (int i = 0; i < call->args.nranges; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (i == 0 || call->range_files[i] != call->range_files[i - 1])
				(void) part_of_file(feed, call->range_files[i]);
		}
	}

	/* no range at all: the session's pool has to exist all the same */
	if (feed->nparts == 0)
		feed->pool = iopool_shmem_find_pool(iopool_pool);
}

/*
 * A new call, which ends before the memory that its args were taken into
 * (args.h), to be given to iopool_feed_add().  Raises if the current user may
 * not read a path.
 */
IopoolCall *
iopool_feed_new_call(IopoolFeed *feed, const IopoolArgs *args, bool report)
{
	IopoolCall *call = new_call(feed);

	call->args = *args;
	call->report = report;
	iopool_call_name_files(call, call->files->set, feed->cxt);
	add_parts(feed, call);
	return call;
}

/* The same of a single range. */
IopoolCall *
iopool_feed_new_range(IopoolFeed *feed, text *path, int64 offset, int64 length)
{
	IopoolCall *call = new_call(feed);

	iopool_call_name_file(call, call->files->set, VARDATA_ANY(path),
						  VARSIZE_ANY_EXHDR(path));
	call->offset = offset;
	call->args.nranges = 1;
	call->args.offsets = &call->offset;
	call->args.length = length;
	add_parts(feed, call);
	return call;
}

/*
 * How many bytes each range of a new call will bring: see
 * iopool_call_measure().
 */
int64 *
iopool_feed_measure(IopoolFeed *feed, IopoolCall *call)
{
	return iopool_call_measure(call, call->files->set, feed->cxt);
}

/* The call is as it should be: let its ranges be read. */
void
iopool_feed_add(IopoolFeed *feed, IopoolCall *call)
{
	if (call->args.nranges > 0)
		iopool_log_path(&feed->log, feed->cxt,
						iopool_call_file(call, 0)->path);
	call->files->nusers++;
	dlist_push_tail(&feed->calls, &call->node);
	call->first = feed->nadded;
	feed->nadded += call->args.nranges;
	feed->nahead += call->args.nranges;
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

/*
 * Start reads as far as rings and windows allow, without waiting for any; may
 * wait for a ring.  Raises as iopool_window_start() does.
 */
void
iopool_feed_start(IopoolFeed *feed)
{
	int64 start = iopool_deadline_now();
	uint64 ring_wait_us = iopool_pool_waited_us;

	for (int i = 0; i < feed->nparts; i++)
		iopool_window_start(feed->streams[i]);
	iopool_feed_add_wait(feed, iopool_deadline_now() - start,
						 iopool_pool_waited_us - ring_wait_us);
}

/* The next result, if it is there. */
static bool
take(IopoolFeed *feed, IopoolCall *call, IopoolResult *result)
{
	FeedPart *part = &feed->parts[0];

	if (!feed->options.in_order)
	{
		for (int i = 0; i < feed->nparts; i++)
		{
			if (iopool_stream_take(feed->streams[i], result))
				return true;
		}
		return false;
	}
	if (feed->nparts > 1)
		part = part_of_file(feed, iopool_call_file(call, call->nout));
	return iopool_stream_take(part->stream, result);
}

/*
 * A result of a feed that is not in order, if there is one; see
 * iopool_stream_take().
 */
bool
iopool_feed_take(IopoolFeed *feed, IopoolResult *result)
{
	return take(feed, NULL, result);
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

/* The stream that the next result comes from; NULL: any of them. */
static IopoolStream *
next_stream(IopoolFeed *feed, IopoolCall *call)
{
	if (!feed->options.in_order || feed->nparts == 1)
		return NULL;
	return part_of_file(feed, iopool_call_file(call, call->nout))->stream;
}

/*
 * A context of libaio does not outlast the call that reads with it, so it has
 * to be worth its while: read as far as memory allows.
 */
static bool
reads_far(const IopoolFeed *feed)
{
	if (!feed->options.is_interrupted)
		return false;
	for (int i = 0; i < feed->nparts; i++)
	{
		if (feed->parts[i].pool->method == IOPOOL_METHOD_LIBAIO)
			return feed->distance == MAX_DISTANCE;
	}
	return false;
}

/* Start what can be started, and wait until something has come. */
static IopoolStep
wait_for_reads(IopoolFeed *feed, IopoolCall *call)
{
	uint64 ring_wait_us = iopool_pool_waited_us;
	uint64 nlost = iopool_lease_nlost;
	IopoolStream *wanted;
	IopoolStep step;
	instr_time start;
	instr_time end;

	INSTR_TIME_SET_CURRENT(start);
	if (reads_far(feed))
		iopool_window_run(feed->streams, feed->nparts);
	wanted = next_stream(feed, call);
	step = IOPOOL_STEP_MOVED;
	if (wanted != NULL ? !iopool_window_next_is_ready(wanted)
					   : !has_result(feed))
		step = iopool_window_step(feed->streams, feed->nparts, wanted, false,
								  false, IOPOOL_FOREVER);
	if (feed->distance < (uint64) full_queues(feed))
		feed->distance *= DISTANCE_GROWTH;
	else
		feed->distance = MAX_DISTANCE;
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);

	iopool_feed_add_wait(feed, INSTR_TIME_GET_MICROSEC(end),
						 iopool_pool_waited_us - ring_wait_us);
	feed->stats.nlost += iopool_lease_nlost - nlost;
	return step;
}

/*
 * A range of a call that is not handed out in order has failed: is there a
 * failure before it?  All that comes before the first one that is known has to
 * be read to tell, and nothing else.
 */
static void
find_first_failure(IopoolFeed *feed, IopoolCall *call, IopoolResult *failure)
{
	IopoolResult other;

	feed->distance = MAX_DISTANCE;
	do
	{
		while (take(feed, call, &other))
		{
			call->nout++;
			feed->nahead--;
			if (other.buffer != NULL)
				pfree(other.buffer);
			if (other.failure.kind != IOPOOL_FAILURE_NONE &&
				other.cookie < failure->cookie)
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
raise_failure(IopoolFeed *feed, IopoolCall *call, IopoolResult *result)
{
	if (!feed->options.in_order)
		find_first_failure(feed, call, result);
	suspend(feed);
	iopool_errors_raise(&result->failure, result->path, result->offset,
						result->length);
}

/*
 * The next result of the first call, which must have one left, waiting for it
 * if need be.  Raises its failure, unless the call reports it: that of the
 * lowest number, whatever the order.  Its cookie is the number of the range in
 * the call; its buffer, which begins with a varlena header, is to be freed.
 * Serves interrupts.
 */
void
iopool_feed_next(IopoolFeed *feed, IopoolResult *result)
{
	IopoolCall *call = dlist_head_element(IopoolCall, node, &feed->calls);

	/* what is there already may be much, and a row of it slow to make */
	iopool_window_check_interrupts();
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
iopool_feed_drop_call(IopoolFeed *feed, IopoolCall *call)
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

/* The streams that read, as iopool_window_step() wants them. */
IopoolStream *const *
iopool_feed_streams(const IopoolFeed *feed, int *nstreams)
{
	*nstreams = feed->nparts;
	return feed->streams;
}

/* Names of the pools that are read from, or would be. */
char *
iopool_feed_pool_names(const IopoolFeed *feed)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < feed->nparts; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 feed->parts[i].pool->name);
	if (feed->nparts == 0 && feed->pool != NULL)
		appendStringInfoString(&names, feed->pool->name);
	return names.data;
}

/* Somebody has waited for the feed. */
void
iopool_feed_add_wait(IopoolFeed *feed, uint64 wait_us, uint64 ring_wait_us)
{
	feed->stats.wait_us += wait_us;
	feed->stats.ring_wait_us += ring_wait_us;
}

static void
add_totals(IopoolStreamTotals *totals, const IopoolStreamTotals *more)
{
	totals->nranges += more->nranges;
	totals->nreads += more->nreads;
	totals->nbytes += more->nbytes;
	totals->sum_in_flight += more->sum_in_flight;
	totals->max_in_flight = Max(totals->max_in_flight, more->max_in_flight);
}

/* Add what one feed did to what others did. */
void
iopool_feed_add_stats(IopoolFeedStats *stats, const IopoolFeedStats *more)
{
	add_totals(&stats->totals, &more->totals);
	stats->wait_us += more->wait_us;
	stats->ring_wait_us += more->ring_wait_us;
	stats->nlost += more->nlost;
	for (size_t i = 0; i < lengthof(stats->io_modes); i++)
		stats->io_modes[i] |= more->io_modes[i];
}

/* What has been done so far, added to *stats. */
void
iopool_feed_get_stats(const IopoolFeed *feed, IopoolFeedStats *stats)
{
	for (int i = 0; i < feed->nparts; i++)
	{
		IopoolStreamTotals totals;

		(void) iopool_stream_in_flight(feed->streams[i], &totals);
		add_totals(&stats->totals, &totals);
	}
	iopool_feed_add_stats(stats, &feed->stats);
}

/*
 * Nothing more will be read, and whatever is still to do is left undone: let
 * go of rings and files, and log it if it took long.  Waits for what is in
 * flight.  Results that have been taken stay.  Harmless to repeat.
 */
void
iopool_feed_close(IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
		iopool_stream_end(feed->streams[i], NULL);
	if (feed->files != NULL)
		iopool_file_set_close(feed->files->set);
	log_end(feed, true);
}

/* Close a feed, add what it did to *stats, which may be NULL, and free it. */
void
iopool_feed_end(IopoolFeed *feed, IopoolFeedStats *stats)
{
	iopool_feed_close(feed);
	if (stats != NULL)
		iopool_feed_get_stats(feed, stats);
	MemoryContextDelete(feed->cxt);
}
