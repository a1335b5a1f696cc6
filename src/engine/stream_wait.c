/*-------------------------------------------------------------------------
 *
 * stream_wait.c
 *	  How the streams of a backend go on: each pulls ranges and keeps its
 *	  window of reads full, and a wait for some lets the others go on too.
 *
 * Streams share a lease for each pool, and completions come to the stream that
 * made the read, whoever waits.  A wait fills the streams that are waited for
 * first, and then those in the background.
 *
 * An error in here leaves no ring behind for what is not in flight, whoever
 * catches it: see guarded().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "engine/stream_internal.h"

/*
 * Ranges pulled at a time, also where none of them has anything to read: a
 * million of them past the end of a file, for each of which the file's size is
 * looked at, must not hold up an interrupt.
 */
#define MAX_PULL 1024

/* Share of the reads in flight to wait for: fewer, larger rounds. */
#define WAIT_SHARE 8

/*
 * Longest wait for reads of one pool while those of another are waited for as
 * well: no system call waits for rings of several methods at once.
 */
#define SLICE_US 1000

/* Between two tries to open a file that somebody has a lease on. */
#define PAUSE_US 5000

/* What a public function of this file is asked to do. */
typedef struct WindowCall
{
	IopoolStream *const *streams;
	int nstreams;
	IopoolStream *wanted;
	bool is_eager;
	bool stays;
	IopoolDeadline deadline;
	IopoolStep step; /* the result */
} WindowCall;

/*
 * Make sure that there is a struct for the next range, because nothing may
 * raise once the source has given it away.  False, unless may_raise: out of
 * memory.
 */
static bool
reserve_pending(IopoolStream *stream, bool may_raise)
{
	IopoolPending *pending;

	if (!dlist_is_empty(&stream->free_pending))
		return true;
	pending = MemoryContextAllocExtended(stream->cxt, sizeof(IopoolPending),
										 may_raise ? 0 : MCXT_ALLOC_NO_OOM);
	if (pending == NULL)
		return false;
	dlist_push_head(&stream->free_pending, &pending->node);
	return true;
}

static IopoolPending *
take_pending(IopoolStream *stream)
{
	IopoolPending *pending =
		dlist_container(IopoolPending, node,
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
	return stream->options.keeps_results ||
		(stream->npending < stream->max_pending &&
		 stream->reserved < stream->max_reserved);
}

/* Plan what has been pulled. */
void
iopool_window_plan(IopoolStream *stream)
{
	int nmerged = iopool_plan_merge(stream->group, stream->ngroup,
									stream->options.merge_gap, &stream->todo);

	stream->ngroup = 0;
	if (nmerged > 0)
		iopool_transfer_count(stream, IOPOOL_COUNTER_MERGES, nmerged);
}

/*
 * Pull the next group of ranges and plan it.  Pulling many at once is what
 * lets neighbours be found that are not neighbours in the source's order.
 * Where the source raises, the group is kept for the next time.
 */
static void
pull_group(IopoolStream *stream, bool may_raise)
{
	int entries = stream->options.pool->entries;

	for (int i = 0; i < MAX_PULL && !stream->source_ended &&
		 stream->ngroup < entries && may_pull(stream);
		 i++)
	{
		IopoolRange range;
		IopoolPending *pending;
		IopoolSourceStatus status;

		if (!reserve_pending(stream, may_raise))
			break;
		status = stream->options.source(stream->options.source_arg, &range);
		if (status == IOPOOL_SOURCE_END)
			stream->source_ended = true;
		stream->source_pauses = (status == IOPOOL_SOURCE_PAUSE);
		if (status != IOPOOL_SOURCE_RANGE)
			break;

		pending = take_pending(stream);
		if (accept_range(stream, &range, pending))
			stream->group[stream->ngroup++] = pending;
	}
	iopool_window_plan(stream);
}

/*
 * Drop the hold on the lease when there is nothing more to read, or not for
 * now; in the background, where it may be long before somebody looks again,
 * also when nothing is in flight.
 */
void
iopool_window_let_go(IopoolStream *stream)
{
	if (!stream->is_holding || stream->in_flight > 0)
		return;
	if (stream->options.is_background ||
		((stream->source_ended || stream->source_pauses) &&
		 dlist_is_empty(&stream->todo)))
	{
		stream->is_holding = false;
		iopool_lease_drop(stream->lease, false);
	}
}

/* The same for every stream whose reads may have come in. */
void
iopool_window_let_all_go(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &iopool_open_streams)
		iopool_window_let_go(dlist_container(IopoolStream, node, iter.cur));
}

/* The next piece that fits the window, or NULL. */
static IopoolPiece *
next_piece(IopoolStream *stream, bool may_raise)
{
	IopoolPiece *piece;

	do
	{
		if (dlist_is_empty(&stream->todo))
			pull_group(stream, may_raise);
		if (dlist_is_empty(&stream->todo))
			return NULL;
		piece = dlist_head_element(IopoolPiece, node, &stream->todo);
	} while (iopool_transfer_skip(stream, piece));

	if (stream->in_flight > 0 &&
		stream->in_flight_bytes +
				Min(piece->end - piece->start, stream->split) >
			stream->options.max_in_flight_bytes)
		return NULL;
	return piece;
}

/* Is there something to read, and no ring for it? */
static bool
lacks_ring(const IopoolLease *lease)
{
	return lease->nprepared > 0 ||
		(lease->in_flight > 0 && lease->ring == NULL);
}

/*
 * Prepare reads until entries, window or ranges are exhausted.  Checks out a
 * ring when there is something to start, waiting until the deadline, and gives
 * it back when there is not.  Unless may_raise, out of memory only means that
 * it does not go on.
 *
 * Sources run for as long as they like, so by the time that the reads are
 * submitted the ring may be another's.  They stay prepared then, and the next
 * call here gets another ring for them.
 */
static void
fill_window(IopoolStream *stream, IopoolDeadline deadline, bool may_raise)
{
	IopoolLease *lease = stream->lease;
	IopoolPiece *piece = next_piece(stream, may_raise);

	/* most of many streams have nothing to start */
	if (piece == NULL && !lacks_ring(lease))
	{
		iopool_window_let_go(stream);
		return;
	}

	if (piece != NULL && !stream->is_holding)
	{
		iopool_lease_hold(lease);
		stream->is_holding = true;
	}
	/* others have their turn when what is in flight has come in */
	if (iopool_lease_gives_way(lease))
		return;
	if (iopool_lease_ready(lease, deadline))
	{
		iopool_lease_tick(lease);
		while (piece != NULL &&
			   iopool_transfer_allocate(stream, piece, may_raise) &&
			   iopool_transfer_start(stream, piece))
			piece = next_piece(stream, may_raise);
	}
	/* whoever waits for a stream in the background will hear of it */
	else if (may_raise)
		iopool_refusal_raise(lease);

	iopool_window_let_go(stream);
}

/* Does its consumer come back only when all is read? */
static bool
is_attended(const IopoolStream *stream)
{
	return !stream->options.is_background && !stream->options.is_interrupted;
}

/* Let background streams go on, as far as that needs no waiting. */
static void
fill_background(void)
{
	dlist_iter iter;

	if (dlist_is_empty(&iopool_open_streams))
		return;

	/* the one that was first to fill the ring is the last now */
	dlist_push_tail(&iopool_open_streams,
					dlist_pop_head_node(&iopool_open_streams));
	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->options.is_background)
			fill_window(stream, IOPOOL_NO_WAIT, false);
	}
}

/* Add a lease to those that are there, unless it is one of them. */
static void
add_lease(IopoolLease **leases, int *nleases, IopoolLease *lease)
{
	for (int i = *nleases - 1; i >= 0; i--)
	{
		if (leases[i] == lease)
			return;
	}
	leases[(*nleases)++] = lease;
}

/* Is there something to wait for on the lease's ring? */
static bool
can_poll(const IopoolLease *lease)
{
	return lease->ring != NULL && iopool_lease_outstanding(lease) > 0;
}

/* Every lease of this backend with something to wait for, now or later. */
static int
busy_leases(IopoolLease **leases, bool or_lacks_ring)
{
	dlist_iter iter;
	int nleases = 0;

	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolLease *lease =
			dlist_container(IopoolStream, node, iter.cur)->lease;

		if (can_poll(lease) || (or_lacks_ring && lacks_ring(lease)))
			add_lease(leases, &nleases, lease);
	}
	return nleases;
}

/*
 * The owner leaves iopool, and may come to wait for anybody: let others have
 * its rings.  Not that of a call that is still going on, and neither, unless
 * for_long, that of a consumer who is back in a moment; it rests.
 */
static void
leave_leases(bool for_long)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	bool stays[IOPOOL_MAX_POOLS + 1] = {false};
	int nleases = 0;
	dlist_iter iter;

	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->lease->ring != NULL)
			add_lease(leases, &nleases, stream->lease);
		else
			stream->lease->handle.is_attended = false;
	}
	if (nleases == 0)
		return;

	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (for_long || !stream->is_holding || stream->options.is_background)
			continue;
		for (int i = 0; i < nleases; i++)
			stays[i] |= leases[i] == stream->lease &&
				(is_attended(stream) ||
				 iopool_lease_absence(stream->lease) !=
					 IOPOOL_ABSENCE_FORBIDDEN);
	}
	for (int i = 0; i < nleases; i++)
	{
		if (!stays[i])
			iopool_lease_go(leases[i]);
	}
	/* what others have collected came with that */
	iopool_window_let_all_go();
}

/*
 * The backend leaves iopool after a call that stayed for its reads; for_long:
 * and nobody asks for more for a while, or ever.  Does not raise.
 */
void
iopool_window_leave(bool for_long)
{
	leave_leases(for_long);
}

/* Say that the reads of these streams are waited for until they are in. */
static void
attend(IopoolStream *const *streams, int nstreams, bool stays)
{
	for (int i = 0; i < nstreams; i++)
	{
		if (stays || is_attended(streams[i]))
			streams[i]->lease->handle.is_attended = true;
	}
}

/*
 * Start what has been prepared on any lease.  What completes at once is not
 * taken: that would leave the ring idle until somebody comes again.
 */
static void
submit_all(void)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases = busy_leases(leases, true);

	for (int i = 0; i < nleases; i++)
	{
		if (leases[i]->nprepared > 0 &&
			iopool_lease_ready(leases[i], IOPOOL_NO_WAIT))
			iopool_lease_submit(leases[i]);
	}
}

/* Start nothing new, and wait for what is in flight.  Does not raise. */
static void
drain_all(void)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases = busy_leases(leases, true);

	for (int i = 0; i < nleases; i++)
	{
		iopool_lease_cancel_prepared(leases[i]);
		iopool_lease_drain(leases[i], &leases[i]->in_flight);
	}
}

/*
 * A cancel or terminate request is about to be served: start nothing new, and
 * wait for what is in flight before CHECK_FOR_INTERRUPTS() raises.  That is of
 * all streams of this backend, so who catches a cancel has no ring.
 *
 * What CHECK_FOR_INTERRUPTS() raises need not have been there when we looked: a
 * request that comes while it serves something else, or a conflict with
 * recovery.  Such an error goes on when the reads are in.
 */
void
iopool_window_check_interrupts(void)
{
	if (likely(!INTERRUPTS_PENDING_CONDITION()))
		return;
	if (QueryCancelPending || ProcDiePending)
		drain_all();
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		drain_all();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * An error takes control away from these streams, and may be caught where some
 * of them live on: those of requests, or of a C consumer.  Take back what is
 * prepared, which would wait for the next call with a ring that looks busy,
 * take what has come, and let go of every ring that has nothing in flight.
 * Does not raise.
 */
static void
leave_by_error(void)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases = busy_leases(leases, true);

	for (int i = 0; i < nleases; i++)
	{
		iopool_lease_cancel_prepared(leases[i]);
		iopool_lease_poll(leases[i], 0, IOPOOL_NO_WAIT);
		/* short reads that would go on */
		iopool_lease_cancel_prepared(leases[i]);
	}
	iopool_window_let_all_go();
	leave_leases(true);
}

/*
 * The one way in to all that can raise while a ring is held: waits for rings,
 * sources, which open files and look at interrupts, memory, cancels.
 */
static IopoolStep
guarded(void (*function)(WindowCall *call), WindowCall *call)
{
	PG_TRY();
	{
		function(call);
	}
	PG_CATCH();
	{
		/* while a ring was waited for, with reads of other pools in flight */
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			drain_all();
		leave_by_error();
		PG_RE_THROW();
	}
	PG_END_TRY();
	return call->step;
}

static void
pump(WindowCall *call)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases;

	iopool_window_check_interrupts();
	nleases = busy_leases(leases, true);
	for (int i = 0; i < nleases; i++)
	{
		/* not where there is one that is refused: what is in flight comes in */
		if (leases[i]->ring == NULL)
			(void) iopool_lease_ready(leases[i], IOPOOL_NO_WAIT);
		iopool_lease_poll(leases[i], leases[i]->in_flight, IOPOOL_NO_WAIT);
	}
	fill_background();
	submit_all();
	iopool_window_let_all_go();
	leave_leases(false);
}

/*
 * Let every background stream go on: take what has come, and start reads in
 * its place.  Waits for nothing; may raise when interrupted.
 */
void
iopool_window_pump(void)
{
	WindowCall call = {0};

	if (!dlist_is_empty(&iopool_open_streams))
		(void) guarded(pump, &call);
}

/*
 * Wait for a moment, or until the deadline, with no ring held for nothing, for
 * something that nobody tells the end of.  Serves interrupts.
 */
void
iopool_window_rest(IopoolDeadline deadline)
{
	static uint32 wait_event = 0;
	int64 left = iopool_deadline_left(deadline);
	dlist_iter iter;

	if (wait_event == 0)
		wait_event = iopool_wait_event_new("IopoolOpen");

	/* also of those that have more to read */
	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (!stream->is_holding || stream->in_flight > 0)
			continue;
		stream->is_holding = false;
		iopool_lease_drop(stream->lease, false);
	}
	leave_leases(true);
	if (left < 0 || left > PAUSE_US)
		left = PAUSE_US;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) ((left + 999) / 1000), wait_event);
	ResetLatch(MyLatch);
	iopool_window_check_interrupts();
}

/* The next range to hand out, or NULL. */
IopoolPending *
iopool_window_next_ready(IopoolStream *stream)
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

/* Is there a range to hand out? */
bool
iopool_window_next_is_ready(IopoolStream *stream)
{
	return iopool_window_next_ready(stream) != NULL;
}

/* Does this stream wait for reads in flight, its own or another stream's? */
static bool
waits_for_reads(IopoolStream *stream)
{
	return can_poll(stream->lease) &&
		(stream->in_flight > 0 || !dlist_is_empty(&stream->todo));
}

/* Leases with reads in flight that these streams wait for. */
static int
leases_of(IopoolStream *const *streams, int nstreams, IopoolLease **leases)
{
	int nleases = 0;

	for (int i = 0; i < nstreams; i++)
	{
		if (waits_for_reads(streams[i]))
			add_lease(leases, &nleases, streams[i]->lease);
	}
	return nleases;
}

/* Is there a result of the wanted stream, or of any if that is NULL? */
static bool
has_result(const WindowCall *call)
{
	if (call->wanted != NULL)
		return iopool_window_next_is_ready(call->wanted);
	for (int i = 0; i < call->nstreams; i++)
	{
		if (iopool_window_next_is_ready(call->streams[i]))
			return true;
	}
	return false;
}

/* Is there a stream that has to ask its source again after a while? */
static bool
has_pause(IopoolStream *const *streams, int nstreams)
{
	for (int i = 0; i < nstreams; i++)
	{
		if (streams[i]->source_pauses)
			return true;
	}
	return false;
}

/*
 * Start what can be started of these streams.  A ring is waited for only when
 * nothing else can be, until the deadline.
 */
static void
fill_streams(const WindowCall *call, IopoolDeadline deadline)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];

	for (int i = 0; i < call->nstreams; i++)
		fill_window(call->streams[i], IOPOOL_NO_WAIT, true);
	fill_background();
	if (deadline == IOPOOL_NO_WAIT || has_result(call) ||
		leases_of(call->streams, call->nstreams, leases) > 0)
		return;
	/* one can stand in the line of one pool only: that of what is wanted first */
	if (call->wanted != NULL)
	{
		fill_window(call->wanted, deadline, true);
		if (waits_for_reads(call->wanted) || has_result(call))
			return;
	}
	for (int i = 0; i < call->nstreams; i++)
	{
		fill_window(call->streams[i], deadline, true);
		if (waits_for_reads(call->streams[i]) || has_result(call))
			return;
	}
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

static void
step(WindowCall *call)
{
	IopoolStream *const *streams = call->streams;
	int nstreams = call->nstreams;
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	IopoolDeadline deadline = call->deadline;
	IopoolDeadline wait_until = deadline;
	unsigned wait_nr = 1;
	int nleases;

	iopool_window_check_interrupts();
	attend(streams, nstreams, call->stays);
	fill_streams(call, deadline);

	/* ranges past the end of a file, say, need no waiting */
	if (has_result(call))
		wait_until = IOPOOL_NO_WAIT;

	/* a file may be waited for that reads of other streams keep open */
	nleases = leases_of(streams, nstreams, leases);
	if (nleases == 0 && has_pause(streams, nstreams))
		wait_until = Min(wait_until, iopool_deadline_now() + PAUSE_US);
	if (nleases == 0)
		nleases = busy_leases(leases, false);

	if (nleases > 0)
	{
		if (nstreams == 1 && !call->is_eager)
			wait_nr = Max(streams[0]->in_flight / WAIT_SHARE, 1);
		poll_leases(leases, nleases, wait_nr, wait_until);

		/* what has come makes room: keep the queue full meanwhile */
		iopool_window_check_interrupts();
		fill_streams(call, IOPOOL_NO_WAIT);
		submit_all();
	}
	/* also where nothing was waited for: a ring that was lost has results */
	iopool_window_let_all_go();
	if (!call->stays)
		leave_leases(false);

	if (iopool_deadline_has_passed(deadline))
		call->step = IOPOOL_STEP_LATE;
	else if (nleases > 0)
		call->step = IOPOOL_STEP_MOVED;
	else if (!has_pause(streams, nstreams) || has_result(call))
		call->step = IOPOOL_STEP_IDLE;
	else
	{
		iopool_window_rest(deadline);
		call->step = IOPOOL_STEP_MOVED;
	}
}

/*
 * One round for streams that somebody waits for: start what can be started,
 * and wait until something has completed, but not beyond the deadline.
 * wanted: the stream whose result is waited for, while the others go on as
 * well; NULL: any will do.  is_eager: wait for one read only, where more at a
 * time would cost less.  stays: the caller is back at once, or calls
 * iopool_window_leave().  Serves interrupts, and raises as
 * iopool_lease_ready() does.
 */
IopoolStep
iopool_window_step(IopoolStream *const *streams, int nstreams,
				   IopoolStream *wanted, bool is_eager, bool stays,
				   IopoolDeadline deadline)
{
	WindowCall call = {
		.streams = streams,
		.nstreams = nstreams,
		.wanted = wanted,
		.is_eager = is_eager,
		.stays = stays,
		.deadline = deadline,
	};

	return guarded(step, &call);
}

static void
run(WindowCall *call)
{
	IopoolStream *const *streams = call->streams;
	int nstreams = call->nstreams;
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	bool has_rested;
	int nleases;

	do
	{
		unsigned wait_nr = 1;

		iopool_window_check_interrupts();
		attend(streams, nstreams, true);
		fill_streams(call, IOPOOL_NO_WAIT);
		nleases = leases_of(streams, nstreams, leases);

		/* a ring is waited for when there is nothing else to do */
		for (int i = 0; i < nstreams && nleases == 0; i++)
		{
			fill_window(streams[i], IOPOOL_FOREVER, true);
			nleases = leases_of(streams, nstreams, leases);
		}
		/* a file may be waited for that reads of other streams keep open */
		if (nleases == 0 && !has_result(call))
			nleases = busy_leases(leases, false);
		if (nstreams == 1)
			wait_nr = Max(streams[0]->in_flight / WAIT_SHARE, 1);
		poll_leases(leases, nleases, wait_nr, IOPOOL_FOREVER);

		has_rested =
			nleases == 0 && has_pause(streams, nstreams) && !has_result(call);
		if (has_rested)
			iopool_window_rest(IOPOOL_FOREVER);
	} while (nleases > 0 || has_rested);
	/* what was prepared for streams in the background */
	submit_all();
	iopool_window_let_all_go();
	leave_leases(false);
}

/*
 * Read on until nothing is left that these streams may start: their windows
 * are full of results, or their ranges are through.  Serves interrupts, and
 * raises as iopool_lease_ready() does.
 */
void
iopool_window_run(IopoolStream *const *streams, int nstreams)
{
	WindowCall call = {.streams = streams, .nstreams = nstreams};

	(void) guarded(run, &call);
}

static void
start(WindowCall *call)
{
	IopoolStream *stream = call->streams[0];

	iopool_window_check_interrupts();
	do
	{
		fill_window(stream, IOPOOL_FOREVER, true);
		submit_all();
		/*
		 * What was taken back goes to another ring, or nobody might ever hear
		 * that it cannot be read.  Each turn uses up a ring.
		 */
	} while (stream->lease->fatal_errno != 0 &&
			 stream->lease->in_flight == 0 && !dlist_is_empty(&stream->todo));
	iopool_window_let_all_go();
	leave_leases(false);
}

/*
 * Start reads as far as ring and window allow, without waiting for any; may
 * wait for a ring.  Serves interrupts, and raises as iopool_lease_ready()
 * does.
 */
void
iopool_window_start(IopoolStream *stream)
{
	WindowCall call = {.streams = &stream, .nstreams = 1};

	(void) guarded(start, &call);
}
