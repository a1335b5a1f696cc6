/*-------------------------------------------------------------------------
 *
 * stream_wait.c
 *	  How the streams of a backend go on: a wait for some of them lets the
 *	  others go on too.
 *
 * Streams share a lease for each pool, and completions come to the stream that
 * made the read, whoever waits.  A wait fills the windows of the streams that
 * are waited for first, and then those of streams in the background.
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

/* Share of the reads in flight to wait for: fewer, larger rounds. */
#define WAIT_SHARE 8

/*
 * Longest wait for reads of one pool while those of another are waited for as
 * well: no system call waits for rings of several methods at once.
 */
#define SLICE_US 1000

/* What a public function of this file is asked to do. */
typedef struct WaitArgs
{
	IopoolStream *const *streams;
	int nstreams;
	IopoolStream *wanted;
	bool is_eager;
	bool stays;
	IopoolDeadline deadline;
	IopoolStep step; /* the result */
} WaitArgs;

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

		if (iopool_stream_is_background(stream))
			iopool_stream_fill(stream, IOPOOL_NO_WAIT, false);
	}
}

/* Say that the reads of these streams are waited for until they are in. */
static void
mark_attended(IopoolStream *const *streams, int nstreams, bool stays)
{
	for (int i = 0; i < nstreams; i++)
	{
		if (stays || iopool_stream_is_attended(streams[i]))
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
	int nleases = iopool_stream_busy_leases(leases, true);

	for (int i = 0; i < nleases; i++)
	{
		if (leases[i]->nprepared == 0 ||
			!iopool_lease_ready(leases[i], IOPOOL_NO_WAIT))
			continue;
		while (!iopool_lease_submit(leases[i]))
			iopool_stream_check_interrupts();
	}
}

/*
 * The one way in to all that can raise while a ring is held: waits for rings,
 * sources, which open files and look at interrupts, memory, cancels.
 */
static IopoolStep
guarded(void (*function)(WaitArgs *args), WaitArgs *args)
{
	PG_TRY();
	{
		function(args);
	}
	PG_CATCH();
	{
		/* while a ring was waited for, with reads of other pools in flight */
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			iopool_stream_drain_all();
		iopool_stream_leave_by_error();
		PG_RE_THROW();
	}
	PG_END_TRY();
	return args->step;
}

static void
look_without_waiting(WaitArgs *args)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases;

	iopool_stream_check_interrupts();
	nleases = iopool_stream_busy_leases(leases, true);
	for (int i = 0; i < nleases; i++)
	{
		/* not where there is one that is refused: what is in flight comes in */
		if (leases[i]->ring == NULL)
			(void) iopool_lease_ready(leases[i], IOPOOL_NO_WAIT);
		iopool_lease_poll(leases[i], leases[i]->in_flight, IOPOOL_NO_WAIT);
	}
	fill_background();
	submit_all();
	iopool_stream_release_idle();
	iopool_stream_leave(false);
}

/*
 * Let every background stream go on: take what has come, and start reads in
 * its place.  Waits for nothing; may raise when interrupted.
 */
void
iopool_stream_pump(void)
{
	WaitArgs args = {0};

	if (!dlist_is_empty(&iopool_open_streams))
		(void) guarded(look_without_waiting, &args);
}

/* Does this stream wait for reads in flight, its own or another stream's? */
static bool
waits_for_reads(IopoolStream *stream)
{
	return iopool_lease_can_poll(stream->lease) &&
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
			iopool_stream_add_lease(leases, &nleases, streams[i]->lease);
	}
	return nleases;
}

/* Is there a result of the wanted stream, or of any if that is NULL? */
static bool
has_result(const WaitArgs *args)
{
	if (args->wanted != NULL)
		return iopool_stream_has_ready(args->wanted);
	for (int i = 0; i < args->nstreams; i++)
	{
		if (iopool_stream_has_ready(args->streams[i]))
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
fill_streams(const WaitArgs *args, IopoolDeadline deadline)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];

	for (int i = 0; i < args->nstreams; i++)
		iopool_stream_fill(args->streams[i], IOPOOL_NO_WAIT, true);
	fill_background();
	if (deadline == IOPOOL_NO_WAIT || has_result(args) ||
		leases_of(args->streams, args->nstreams, leases) > 0)
		return;
	/* one can stand in the line of one pool only: that of what is wanted first */
	if (args->wanted != NULL)
	{
		iopool_stream_fill(args->wanted, deadline, true);
		if (waits_for_reads(args->wanted) || has_result(args))
			return;
	}
	for (int i = 0; i < args->nstreams; i++)
	{
		iopool_stream_fill(args->streams[i], deadline, true);
		if (waits_for_reads(args->streams[i]) || has_result(args))
			return;
	}
}

/*
 * Start the first few reads where they have needed no waiting so far, and take
 * what is there at once.  True: there may be more to start now.
 */
static bool
look_quickly(const WaitArgs *args)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases = leases_of(args->streams, args->nstreams, leases);
	bool has_moved = false;

	for (int i = 0; i < nleases; i++)
	{
		IopoolLease *lease = leases[i];
		int noutstanding = iopool_lease_outstanding(lease);

		if (lease->nprepared == 0 || !iopool_lease_is_quick(lease))
			continue;
		iopool_lease_poll(lease, noutstanding, IOPOOL_NO_WAIT);
		/* also where others have taken the ring */
		has_moved |= iopool_lease_outstanding(lease) < noutstanding ||
			!iopool_lease_is_quick(lease) || lease->ring == NULL;
	}
	return has_moved;
}

/*
 * Start what can be started of these streams, before any read is waited for:
 * a little at a time as long as that is there at once, then all of the window.
 * The ring may go to others in between, so it may be waited for each time.
 */
static void
start_streams(const WaitArgs *args, IopoolDeadline deadline)
{
	fill_streams(args, deadline);
	while (look_quickly(args) && !has_result(args))
	{
		iopool_stream_check_interrupts();
		fill_streams(args, deadline);
		if (iopool_deadline_has_passed(deadline))
			break;
	}
	/* what came meanwhile is not to wait for one more read */
	iopool_stream_check_interrupts();
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
wait_once(WaitArgs *args)
{
	IopoolStream *const *streams = args->streams;
	int nstreams = args->nstreams;
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	IopoolDeadline deadline = args->deadline;
	IopoolDeadline wait_until = deadline;
	unsigned wait_nr = 1;
	int nleases;

	iopool_stream_check_interrupts();
	mark_attended(streams, nstreams, args->stays);
	start_streams(args, deadline);

	/* ranges past the end of a file, say, need no waiting */
	if (has_result(args))
		wait_until = IOPOOL_NO_WAIT;

	/* a file may be waited for that reads of other streams keep open */
	nleases = leases_of(streams, nstreams, leases);
	if (nleases == 0 && has_pause(streams, nstreams))
		wait_until = Min(wait_until, iopool_deadline_now() + IOPOOL_PAUSE_US);
	if (nleases == 0)
		nleases = iopool_stream_busy_leases(leases, false);

	if (nleases > 0)
	{
		if (nstreams == 1 && !args->is_eager)
			wait_nr = Max(streams[0]->in_flight / WAIT_SHARE, 1);
		poll_leases(leases, nleases, wait_nr, wait_until);

		/* what has come makes room: keep the queue full meanwhile */
		iopool_stream_check_interrupts();
		fill_streams(args, IOPOOL_NO_WAIT);
		submit_all();
	}
	/* also where nothing was waited for: a ring that was lost has results */
	iopool_stream_release_idle();
	if (!args->stays)
		iopool_stream_leave(false);

	if (iopool_deadline_has_passed(deadline))
		args->step = IOPOOL_STEP_LATE;
	else if (nleases > 0)
		args->step = IOPOOL_STEP_MOVED;
	else if (!has_pause(streams, nstreams) || has_result(args))
		args->step = IOPOOL_STEP_IDLE;
	else
	{
		iopool_stream_rest(deadline);
		args->step = IOPOOL_STEP_MOVED;
	}
}

/*
 * One round for streams that somebody waits for: start what can be started,
 * and wait until something has completed, but not beyond the deadline.
 * wanted: the stream whose result is waited for, while the others go on as
 * well; NULL: any will do.  is_eager: wait for one read only, where more at a
 * time would cost less.  stays: the caller is back at once, or calls
 * iopool_stream_leave().  Serves interrupts, and raises as
 * iopool_lease_ready() does.
 */
IopoolStep
iopool_stream_step(IopoolStream *const *streams, int nstreams,
				   IopoolStream *wanted, bool is_eager, bool stays,
				   IopoolDeadline deadline)
{
	WaitArgs args = {
		.streams = streams,
		.nstreams = nstreams,
		.wanted = wanted,
		.is_eager = is_eager,
		.stays = stays,
		.deadline = deadline,
	};

	return guarded(wait_once, &args);
}

static void
wait_for_all(WaitArgs *args)
{
	IopoolStream *const *streams = args->streams;
	int nstreams = args->nstreams;
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	bool has_rested;
	int nleases;

	do
	{
		unsigned wait_nr = 1;

		iopool_stream_check_interrupts();
		mark_attended(streams, nstreams, true);
		start_streams(args, IOPOOL_NO_WAIT);
		nleases = leases_of(streams, nstreams, leases);

		/* a ring is waited for when there is nothing else to do */
		for (int i = 0; i < nstreams && nleases == 0; i++)
		{
			iopool_stream_fill(streams[i], IOPOOL_FOREVER, true);
			nleases = leases_of(streams, nstreams, leases);
		}
		/* a file may be waited for that reads of other streams keep open */
		if (nleases == 0 && !has_result(args))
			nleases = iopool_stream_busy_leases(leases, false);
		if (nstreams == 1)
			wait_nr = Max(streams[0]->in_flight / WAIT_SHARE, 1);
		poll_leases(leases, nleases, wait_nr, IOPOOL_FOREVER);

		has_rested =
			nleases == 0 && has_pause(streams, nstreams) && !has_result(args);
		if (has_rested)
			iopool_stream_rest(IOPOOL_FOREVER);
	} while (nleases > 0 || has_rested);
	/* what was prepared for streams in the background */
	submit_all();
	iopool_stream_release_idle();
	iopool_stream_leave(false);
}

/*
 * Read on until nothing is left that these streams may start: their windows
 * are full of results, or their ranges are through.  Serves interrupts, and
 * raises as iopool_lease_ready() does.
 */
void
iopool_stream_run(IopoolStream *const *streams, int nstreams)
{
	WaitArgs args = {.streams = streams, .nstreams = nstreams};

	(void) guarded(wait_for_all, &args);
}

static void
start_reads(WaitArgs *args)
{
	IopoolStream *stream = args->streams[0];

	iopool_stream_check_interrupts();
	do
	{
		iopool_stream_fill(stream, IOPOOL_FOREVER, true);
		submit_all();
		/*
		 * What was taken back goes to another ring, or nobody might ever hear
		 * that it cannot be read.  Each turn uses up a ring.
		 */
	} while (stream->lease->fatal_errno != 0 &&
			 stream->lease->in_flight == 0 && !dlist_is_empty(&stream->todo));
	/* who does not know the flags refuses them at once: read without */
	if (stream->has_flags)
		iopool_lease_poll(stream->lease, 0, IOPOOL_NO_WAIT);
	/* also where only a few were started, and are not there at once */
	if (stream->has_flags || !iopool_lease_is_quick(stream->lease))
	{
		iopool_stream_fill(stream, IOPOOL_NO_WAIT, true);
		submit_all();
	}
	iopool_stream_release_idle();
	iopool_stream_leave(false);
}

/*
 * Start reads as far as ring and window allow, without waiting for any; may
 * wait for a ring.  Serves interrupts, and raises as iopool_lease_ready()
 * does.
 */
void
iopool_stream_start(IopoolStream *stream)
{
	WaitArgs args = {.streams = &stream, .nstreams = 1};

	(void) guarded(start_reads, &args);
}
