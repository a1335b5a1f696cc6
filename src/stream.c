/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  The engine: ranges in, completed ranges out, a bounded window between.
 *
 * A stream pulls ranges from its source in groups, plans them (plan.c), and
 * keeps as many reads in flight as ring and window allow: every completion
 * makes room that is filled before the next result is handed out.
 *
 * Memory.  Everything lives in the context that the caller gives, buffers
 * included, and the context carries a reset callback that drains the stream.
 * This has to be so: the memory of a failed query's portal is freed before
 * resource owners are released.  The resource owner is watched too, because a
 * subtransaction can end long before a context does.  Whichever comes first
 * drains; the other finds nothing to do.
 *
 * Streams of a backend share a lease for each pool, and completions come to
 * the stream that made the read, whoever waits.  A background stream lives on
 * between calls; every call of ours lets it go on (iopool_stream_pump()).
 *
 * Bounds.  In flight: the ring's entries and max_in_flight_bytes (one read at
 * least).  Buffered, which is more because results wait for their turn: twice
 * max_in_flight_bytes, or one range if that is longer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "transfer.h"

/* Ranges that may be on their way, in multiples of the ring's entries. */
#define MAX_PENDING_FACTOR 4

/* Share of the reads in flight to wait for: fewer, larger rounds. */
#define WAIT_SHARE 4

/*
 * Longest wait for reads of one pool while those of another are waited for as
 * well: no system call waits for rings of several methods at once.
 */
#define SLICE_US 1000

/* Every stream of this backend that has not ended. */
static dlist_head open_streams = DLIST_STATIC_INIT(open_streams);

/*
 * The stream is over, one way or the other: wait for what is in flight, and
 * let go of the ring.  Does not raise, and is harmless to repeat.
 */
static void
close_stream(IopoolStream *stream, bool has_failed)
{
	if (!stream->is_open)
		return;

	stream->is_aborted = true;
	iopool_lease_drain(stream->lease, &stream->in_flight);
	if (stream->is_holding)
		iopool_lease_drop(stream->lease, has_failed);
	stream->is_holding = false;
	stream->is_open = false;
	dlist_delete(&stream->node);
}

static void
stream_at_reset(void *arg)
{
	close_stream(arg, true);
}

/* A (sub)transaction or portal ends: so do the streams that it began. */
static void
release_streams(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				void *arg)
{
	dlist_mutable_iter iter;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;

	dlist_foreach_modify(iter, &open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->options.is_unowned ||
			stream->owner != CurrentResourceOwner)
			continue;
		if (isCommit)
			elog(WARNING, "iopool: stream was not ended");
		close_stream(stream, true);
	}
}

/* Called once, when the library is loaded. */
void
iopool_stream_register_callbacks(void)
{
	RegisterResourceReleaseCallback(release_streams, NULL);
}

/*
 * Begin a stream whose memory is cxt.  It ends with iopool_stream_end(), with
 * the current resource owner, or with cxt, whichever comes first.
 */
IopoolStream *
iopool_stream_begin(MemoryContext cxt, const IopoolStreamOptions *options)
{
	IopoolStream *stream = MemoryContextAllocZero(cxt, sizeof(IopoolStream));
	int entries = options->pool->entries;

	stream->options = *options;
	stream->cxt = cxt;
	stream->owner = CurrentResourceOwner;
	stream->lease = iopool_lease_of(options->pool);
	stream->group = MemoryContextAlloc(cxt, sizeof(IopoolPending *) * entries);
	stream->split =
		iopool_transfer_split_size(options->max_in_flight_bytes, entries);
	dlist_init(&stream->todo);
	dlist_init(&stream->pending);
	dlist_init(&stream->ready);
	dlist_init(&stream->free_pending);
	dlist_init(&stream->free_pieces);

	stream->at_reset.func = stream_at_reset;
	stream->at_reset.arg = stream;
	MemoryContextRegisterResetCallback(cxt, &stream->at_reset);
	dlist_push_tail(&open_streams, &stream->node);
	stream->is_open = true;
	return stream;
}

/* Has nothing ended it yet? */
bool
iopool_stream_is_open(const IopoolStream *stream)
{
	return stream->is_open;
}

/* Reads in flight now, and what has been done; totals may be NULL. */
int
iopool_stream_in_flight(const IopoolStream *stream, IopoolStreamTotals *totals)
{
	if (totals != NULL)
		*totals = stream->totals;
	return stream->in_flight;
}

/*
 * End a stream, with whatever it still has to do left undone; totals may be
 * NULL.
 */
void
iopool_stream_end(IopoolStream *stream, IopoolStreamTotals *totals)
{
	close_stream(stream, false);
	if (totals != NULL)
		*totals = stream->totals;
}

static IopoolPending *
new_pending(IopoolStream *stream)
{
	IopoolPending *pending;

	if (dlist_is_empty(&stream->free_pending))
		pending = MemoryContextAlloc(stream->cxt, sizeof(IopoolPending));
	else
		pending = dlist_container(IopoolPending, node,
								  dlist_pop_head_node(&stream->free_pending));
	memset(pending, 0, sizeof(IopoolPending));
	return pending;
}

/* Take one range in.  Returns true when there is something to read for it. */
static bool
accept_range(IopoolStream *stream, const IopoolRange *range,
			 IopoolPending *pending)
{
	int64 available = 0;

	pending->file = range->file;
	pending->offset = range->offset;
	pending->length = range->length;
	pending->cookie = range->cookie;
	pending->dest = range->dest;
	pending->failure = range->file->failure;

	/* a block at each end has to fit the bounce buffer */
	if (pending->failure.kind == IOPOOL_FAILURE_NONE &&
		range->file->alignment > (int64) stream->options.pool->bounce_size / 2)
		pending->failure.kind = IOPOOL_FAILURE_NO_DIRECT;

	if (pending->failure.kind == IOPOOL_FAILURE_NONE)
		available =
			iopool_file_available(range->file, range->offset, range->length);
	/* the file may have grown since there was made room for it */
	available = Min(available, range->max_bytes);
	pending->start = range->offset;
	pending->end = range->offset + available;
	pending->valid_end = pending->end;
	pending->unread = available;

	dlist_push_tail(&stream->pending, &pending->node);
	stream->npending++;
	stream->reserved += available;
	stream->totals.nranges++;

	if (available == 0)
		iopool_transfer_finish_range(stream, pending);
	return available > 0;
}

/* Is there room for one more range on its way? */
static bool
may_pull(const IopoolStream *stream)
{
	int entries = stream->options.pool->entries;

	return stream->options.keeps_results ||
		(stream->npending < entries * MAX_PENDING_FACTOR &&
		 stream->reserved < stream->options.max_in_flight_bytes * 2);
}

/*
 * Pull the next group of ranges and plan it.  Pulling many at once is what
 * lets neighbours be found that are not neighbours in the source's order.
 * Where the source raises, the group is kept for the next time.
 */
static void
pull_group(IopoolStream *stream)
{
	int entries = stream->options.pool->entries;
	int nmerged;

	stream->source_waits = false;
	while (!stream->source_ended && stream->ngroup < entries &&
		   may_pull(stream))
	{
		IopoolPending *pending = new_pending(stream);
		IopoolRange range;
		IopoolSourceStatus status;

		status = stream->options.source(stream->options.source_arg, &range);
		if (status != IOPOOL_SOURCE_RANGE)
		{
			stream->source_ended = (status == IOPOOL_SOURCE_END);
			stream->source_waits = (status == IOPOOL_SOURCE_LATER);
			dlist_push_head(&stream->free_pending, &pending->node);
			break;
		}
		if (accept_range(stream, &range, pending))
			stream->group[stream->ngroup++] = pending;
	}

	nmerged = iopool_plan_merge(stream->group, stream->ngroup,
								stream->options.merge_gap, &stream->todo);
	stream->ngroup = 0;
	if (nmerged > 0)
		iopool_transfer_count(stream, IOPOOL_COUNTER_MERGES, nmerged);
}

/* Drop the hold on the lease when there is nothing more to read. */
static void
let_go(IopoolStream *stream)
{
	if (stream->is_holding && stream->in_flight == 0 &&
		dlist_is_empty(&stream->todo) &&
		(stream->source_ended || stream->options.is_background))
	{
		stream->is_holding = false;
		iopool_lease_drop(stream->lease, false);
	}
}

/* The same for every stream whose reads may have come in. */
static void
let_all_go(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &open_streams)
		let_go(dlist_container(IopoolStream, node, iter.cur));
}

/*
 * Prepare reads until ring, window or ranges are exhausted.  Checks out a
 * ring when there is something to read, waiting until the deadline, and gives
 * it back when there is not.
 */
static void
fill_window(IopoolStream *stream, IopoolDeadline deadline)
{
	IopoolLease *lease = stream->lease;
	int64 max_bytes = stream->options.max_in_flight_bytes;

	iopool_lease_tick(lease);
	for (;;)
	{
		IopoolPiece *piece;

		if (dlist_is_empty(&stream->todo))
			pull_group(stream);
		if (dlist_is_empty(&stream->todo))
			break;

		piece = dlist_head_element(IopoolPiece, node, &stream->todo);
		if (iopool_transfer_skip(stream, piece))
			continue;

		if (stream->in_flight > 0 &&
			stream->in_flight_bytes +
					Min(piece->end - piece->start, stream->split) >
				max_bytes)
			break;

		if (!stream->is_holding)
		{
			iopool_lease_hold(lease);
			stream->is_holding = true;
		}
		if (!iopool_lease_ready(lease, deadline))
			break;
		/* nobody waits for results that are kept */
		lease->handle.is_background |= stream->options.keeps_results;
		if (!iopool_transfer_start(stream, piece))
			break;
	}

	let_go(stream);
}

/* Let background streams go on, as far as that needs no waiting. */
static void
fill_background(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->options.is_background)
			fill_window(stream, IOPOOL_NO_WAIT);
	}

	/* the one that was first to fill the ring is the last next time */
	if (!dlist_is_empty(&open_streams))
		dlist_push_tail(&open_streams, dlist_pop_head_node(&open_streams));
}

/* Start what is prepared, and take what is there, without waiting. */
static void
poll_all(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);
		IopoolLease *lease = stream->lease;

		if (lease->in_flight > 0)
			iopool_lease_poll(lease, lease->in_flight, IOPOOL_NO_WAIT);
	}
}

/*
 * Let every background stream go on: take what has come, and start reads in
 * its place.  Waits for nothing; may raise when interrupted.
 */
void
iopool_stream_pump(void)
{
	if (dlist_is_empty(&open_streams))
		return;
	poll_all();
	fill_background();
	poll_all();
	let_all_go();
}

/* The next range to hand out, or NULL. */
static IopoolPending *
next_ready(IopoolStream *stream)
{
	IopoolPending *pending;

	if (!stream->options.in_order)
		return dlist_is_empty(&stream->ready)
			? NULL
			: dlist_container(IopoolPending, ready_node,
							  stream->ready.head.next);

	if (dlist_is_empty(&stream->pending))
		return NULL;
	pending = dlist_container(IopoolPending, node, stream->pending.head.next);
	return pending->is_done ? pending : NULL;
}

static void
emit(IopoolStream *stream, IopoolPending *pending, IopoolResult *result)
{
	result->cookie = pending->cookie;
	result->path = pending->file->path;
	result->offset = pending->offset;
	result->length = pending->length;
	result->failure = pending->failure;
	result->nbytes = 0;
	result->buffer = NULL;

	if (pending->failure.kind == IOPOOL_FAILURE_NONE)
	{
		result->nbytes = pending->valid_end - pending->start;
		/* nothing there to read: the header alone */
		if (pending->dest == NULL)
			pending->allocated =
				MemoryContextAlloc(stream->cxt,
								   Max(stream->options.header_size, 1));
		result->buffer = pending->allocated;
	}
	else if (pending->allocated != NULL)
		pfree(pending->allocated);

	dlist_delete(&pending->node);
	if (!stream->options.in_order)
		dlist_delete(&pending->ready_node);
	stream->npending--;
	stream->reserved -= pending->end - pending->start;
	pending->is_emitted = true;
	iopool_transfer_forget(stream, pending);
}

/*
 * A cancel or terminate request is about to be served: start nothing new, and
 * wait for what is in flight before CHECK_FOR_INTERRUPTS() raises.
 */
static void
check_interrupts(IopoolStream *const *streams, int nstreams)
{
	if (likely(!INTERRUPTS_PENDING_CONDITION()))
		return;
	if (QueryCancelPending || ProcDiePending)
	{
		for (int i = 0; i < nstreams; i++)
			iopool_lease_drain(streams[i]->lease, &streams[i]->in_flight);
	}
	CHECK_FOR_INTERRUPTS();
}

/*
 * Leases with reads in flight that these streams wait for; of any stream if
 * they have none, because a file may be waited for that others keep open.
 */
static int
leases_to_poll(IopoolStream *const *streams, int nstreams,
			   IopoolLease **leases)
{
	dlist_iter iter;
	int nleases = 0;

	for (int i = 0; i < nstreams; i++)
	{
		IopoolLease *lease = streams[i]->lease;
		int n = 0;

		/* also when all that is in flight is another stream's */
		if (lease->in_flight == 0 ||
			(streams[i]->in_flight == 0 && !streams[i]->is_holding))
			continue;
		while (n < nleases && leases[n] != lease)
			n++;
		if (n == nleases)
			leases[nleases++] = lease;
	}
	if (nleases > 0)
		return nleases;

	dlist_foreach(iter, &open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->lease->in_flight > 0)
		{
			leases[0] = stream->lease;
			return 1;
		}
	}
	return 0;
}

/* Wait for one or several leases until the deadline. */
static void
poll_leases(IopoolLease **leases, int nleases, unsigned wait_nr,
			IopoolDeadline deadline)
{
	for (int i = 0; i < nleases; i++)
	{
		IopoolDeadline slice = deadline;

		if (deadline == IOPOOL_NO_WAIT)
			wait_nr = leases[i]->in_flight;
		else if (nleases > 1)
			slice = Min(deadline, iopool_deadline_now() + SLICE_US);
		iopool_lease_poll(leases[i], wait_nr, slice);
	}
}

/*
 * One round for streams that somebody waits for: start what can be started,
 * and wait until something has completed, but not beyond the deadline.
 * is_eager: wait for one read only, where more at a time would cost less.
 * Serves interrupts, and raises as iopool_lease_ready() does.
 */
IopoolStep
iopool_stream_step(IopoolStream *const *streams, int nstreams, bool is_eager,
				   IopoolDeadline deadline)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	IopoolDeadline wait_until = deadline;
	int nleases;
	unsigned wait_nr = 1;

	check_interrupts(streams, nstreams);
	for (int i = 0; i < nstreams; i++)
		fill_window(streams[i], deadline);
	fill_background();

	/* ranges past the end of a file, say, need no waiting */
	for (int i = 0; i < nstreams; i++)
	{
		if (next_ready(streams[i]) != NULL)
			wait_until = IOPOOL_NO_WAIT;
	}

	nleases = leases_to_poll(streams, nstreams, leases);
	if (nleases > 0)
	{
		if (nstreams == 1 && !is_eager)
			wait_nr = Max(streams[0]->in_flight / WAIT_SHARE, 1);
		poll_leases(leases, nleases, wait_nr, wait_until);

		/* what has come makes room: keep the queue full meanwhile */
		check_interrupts(streams, nstreams);
		for (int i = 0; i < nstreams; i++)
			fill_window(streams[i], IOPOOL_NO_WAIT);
		fill_background();
		for (int i = 0; i < nleases; i++)
		{
			if (leases[i]->in_flight > 0)
				iopool_lease_poll(leases[i], 0, IOPOOL_NO_WAIT);
		}
		let_all_go();
	}

	if (iopool_deadline_has_passed(deadline))
		return IOPOOL_STEP_LATE;
	return nleases > 0 ? IOPOOL_STEP_MOVED : IOPOOL_STEP_IDLE;
}

/*
 * Start reads as far as ring and window allow, without waiting for any; may
 * wait for a ring.  Serves interrupts, and raises as iopool_lease_ready()
 * does.
 */
void
iopool_stream_start(IopoolStream *stream)
{
	check_interrupts(&stream, 1);
	fill_window(stream, IOPOOL_FOREVER);
	if (stream->lease->in_flight > 0)
		iopool_lease_poll(stream->lease, 0, IOPOOL_NO_WAIT);
}

/*
 * Raise 53000: a stream goes on only when a file descriptor is free, and no
 * read whose end would free one is in flight.
 */
void
iopool_stream_raise_idle(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("no file descriptor is left to read files with"),
			 errhint("Raise \"max_files_per_process\" and the open-file limit of the server (ulimit -n), or read fewer files at a time.")));
}

/*
 * Acquire a file (see iopool_file_acquire()), waiting for reads of other
 * streams if all descriptors are taken.
 */
void
iopool_stream_acquire(IopoolFileSet *set, IopoolFile *file)
{
	while (!iopool_file_acquire(set, file))
	{
		if (iopool_stream_step(NULL, 0, true, IOPOOL_FOREVER) !=
			IOPOOL_STEP_IDLE)
			continue;
		/* their reads cannot be started either */
		file->failure.kind = IOPOOL_FAILURE_OPEN;
		file->failure.errnum = EMFILE;
	}
}

/*
 * Hand out a completed range if there is one; does not wait, start anything
 * or raise, but for lack of memory.
 */
bool
iopool_stream_take(IopoolStream *stream, IopoolResult *result)
{
	IopoolPending *pending = next_ready(stream);

	if (pending == NULL)
		return false;
	emit(stream, pending, result);
	return true;
}

/*
 * Hand out the next completed range, waiting for it if need be; false when
 * all have been handed out.  Serves interrupts.
 */
bool
iopool_stream_next(IopoolStream *stream, IopoolResult *result)
{
	while (!iopool_stream_take(stream, result))
	{
		IopoolStep step;

		if (stream->npending == 0 && stream->source_ended)
			return false;
		step = iopool_stream_step(&stream, 1, false, IOPOOL_FOREVER);
		/* LATER is for a source that waits for reads */
		if (step == IOPOOL_STEP_IDLE && stream->npending == 0 &&
			!stream->source_ended)
			iopool_stream_raise_idle();
	}
	return true;
}

/*
 * Forget what has not been read yet: its ranges end with ECANCELED, after
 * what is in flight has come.  The results are still to be taken, and the
 * stream can be used on.
 */
void
iopool_stream_cancel(IopoolStream *stream)
{
	iopool_lease_drain(stream->lease, &stream->in_flight);
	while (!dlist_is_empty(&stream->todo))
		iopool_transfer_give_up(stream,
								dlist_head_element(IopoolPiece, node,
												   &stream->todo),
								ECANCELED);
	let_go(stream);
}
