/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  Calls of reading functions, one after the other, as one flow of ranges:
 *	  life of a feed, and its results.  Calls come in through feed_calls.c.
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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "file/log.h"
#include "ring/lease.h"
#include "ring/method.h"
#include "ring/pool.h"
#include "sql/feed_internal.h"

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
	if (feed->options.kind != IOPOOL_STREAM_SCAN)
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
 * A feed without calls, below parent; it ends with iopool_feed_end(), or with
 * parent.  Paths are read with the rights and settings of now.
 */
IopoolFeed *
iopool_feed_begin(MemoryContext parent, const IopoolFeedOptions *options)
{
	MemoryContext buffer_cxt = options->buffer_cxt;
	IopoolBuffers *buffers = options->buffers;
	MemoryContext cxt;
	IopoolFeed *feed;

	/* above the streams, which wait for their reads before it goes */
	if (buffer_cxt == NULL)
	{
		buffers = iopool_buffers_begin(parent);
		parent = buffer_cxt = buffers->cxt;
	}
	cxt = AllocSetContextCreate(parent, "iopool feed", FEED_SIZES);
	feed = MemoryContextAllocZero(cxt, sizeof(IopoolFeed));
	feed->cxt = cxt;
	feed->buffer_cxt = buffer_cxt;
	feed->buffers = buffers;
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
 * wait for a ring.  Raises as iopool_stream_start() does.
 */
void
iopool_feed_start(IopoolFeed *feed)
{
	int64 start = iopool_deadline_now();
	uint64 ring_wait_us = iopool_pool_waited_us;

	for (int i = 0; i < feed->nparts; i++)
		iopool_stream_start(feed->streams[i]);
	iopool_feed_add_wait(feed, iopool_deadline_now() - start,
						 iopool_pool_waited_us - ring_wait_us);
}

/* Do reads come at once, of every pool that is read from? */
bool
iopool_feed_is_quick(const IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
	{
		if (!iopool_stream_is_quick(feed->streams[i]))
			return false;
	}
	return true;
}

/*
 * The next range with a flaw, if it is the next result: in order that of its
 * place, and else before all others.
 */
static bool
take_flawed(IopoolFeed *feed, IopoolCall *call, IopoolResult *result)
{
	int rangeno = feed->options.in_order ? call->nout : call->nlooked;

	while (!feed->options.in_order && rangeno < call->args.nranges &&
		   call->args.flaws[rangeno] == 0)
	{
		iopool_stream_check_interrupts();
		rangeno++;
	}
	call->nlooked = rangeno;
	if (rangeno == call->args.nranges || call->args.flaws[rangeno] == 0)
		return false;
	call->nlooked++;
	iopool_call_flawed_result(call, rangeno, result);
	return true;
}

/* The next result, if it is there. */
static bool
take_result(IopoolFeed *feed, IopoolCall *call, IopoolResult *result)
{
	IopoolFeedPart *part = &feed->parts[0];

	if (call != NULL && call->args.flaws != NULL &&
		take_flawed(feed, call, result))
		return true;
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
		part = iopool_feed_part(feed, iopool_call_file(call, call->nout));
	return iopool_stream_take(part->stream, result);
}

/*
 * A result of a feed that is not in order, if there is one; see
 * iopool_stream_take().
 */
bool
iopool_feed_take(IopoolFeed *feed, IopoolResult *result)
{
	return take_result(feed, NULL, result);
}

/* Wait for what is in flight. */
static void
suspend_streams(IopoolFeed *feed)
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
		if (iopool_stream_has_ready(feed->streams[i]))
			return true;
	}
	return false;
}

/* Are there reads to wait for? */
static bool
has_in_flight(const IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
	{
		if (iopool_stream_in_flight(feed->streams[i], NULL) > 0)
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
	return iopool_feed_part(feed, iopool_call_file(call, call->nout))->stream;
}

/*
 * A context of libaio does not outlast the call that reads with it, so it has
 * to be worth its while: read as far as memory allows.
 */
static bool
reads_far(const IopoolFeed *feed)
{
	if (feed->options.kind != IOPOOL_STREAM_SCAN)
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
		iopool_stream_run(feed->streams, feed->nparts);
	wanted = next_stream(feed, call);
	step = IOPOOL_STEP_MOVED;
	if (wanted != NULL ? !iopool_stream_has_ready(wanted) : !has_result(feed))
		step = iopool_stream_step(feed->streams, feed->nparts, wanted, false,
								  false, IOPOOL_FOREVER);
	if (feed->distance < (uint64) full_queues(feed))
		feed->distance *= DISTANCE_GROWTH;
	else if (has_in_flight(feed))
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
		while (take_result(feed, call, &other))
		{
			call->nout++;
			feed->nahead--;
			iopool_feed_put_back(feed, &other);
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
	suspend_streams(feed);
	iopool_errors_raise(&result->failure, result->path, result->offset,
						result->length,
						iopool_call_ordinal(call, (int) result->cookie));
}

/*
 * The next result of the first call, which must have one left, waiting for it
 * if need be.  Raises its failure, unless the call reports it or has nothing
 * against a missing file: that of the lowest number, whatever the order.  Its
 * cookie is the number of the range in the call; its buffer, which begins with
 * a varlena header, is to be freed.  Serves interrupts.
 */
void
iopool_feed_next(IopoolFeed *feed, IopoolResult *result)
{
	IopoolCall *call = dlist_head_element(IopoolCall, node, &feed->calls);

	/* what is there already may be much, and a row of it slow to make */
	iopool_stream_check_interrupts();
	if (call->userid != GetUserId())
		iopool_feed_check_rights(feed, call);
	while (!take_result(feed, call, result))
	{
		IopoolStep step = wait_for_reads(feed, call);

		if (step == IOPOOL_STEP_IDLE)
		{
			if (!take_result(feed, call, result))
				iopool_stream_raise_idle();
			break;
		}
	}

	call->nout++;
	feed->nahead--;
	if (result->failure.kind != IOPOOL_FAILURE_NONE && !call->report &&
		!(call->missing_ok && iopool_failure_is_missing(&result->failure)))
		raise_failure(feed, call, result);
	if (result->buffer != NULL)
		SET_VARSIZE(result->buffer, VARHDRSZ + result->nbytes);
}

/* The buffer of a result, which may have none, is not needed any more. */
void
iopool_feed_put_back(IopoolFeed *feed, IopoolResult *result)
{
	/* all streams of a feed are alike, but for the pool */
	if (result->buffer != NULL)
		iopool_stream_put_back(feed->streams[0], result->buffer,
							   result->buffer_size);
	result->buffer = NULL;
}

/* The buffers of a feed that has its own, or NULL. */
IopoolBuffers *
iopool_feed_buffers(const IopoolFeed *feed)
{
	return feed->options.buffer_cxt == NULL ? feed->buffers : NULL;
}

/* The streams that read, as iopool_stream_step() wants them. */
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
 * flight, and raises as iopool_stream_settle() before anything has ended.
 * Results that have been taken stay.  Harmless to repeat.
 */
void
iopool_feed_close(IopoolFeed *feed)
{
	for (int i = 0; i < feed->nparts; i++)
		iopool_stream_settle(feed->streams[i]);
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
	IopoolBuffers *buffers = iopool_feed_buffers(feed);

	iopool_feed_close(feed);
	if (stats != NULL)
		iopool_feed_get_stats(feed, stats);
	MemoryContextDelete(feed->cxt);
	if (buffers != NULL)
		iopool_buffers_end(buffers);
}
