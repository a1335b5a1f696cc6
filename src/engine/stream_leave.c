/*-------------------------------------------------------------------------
 *
 * stream_leave.c
 *	  How a backend leaves iopool while streams are open: at the end of a call,
 *	  by an error, and where an interrupt is served.
 *
 * An error leaves no ring behind for what is not in flight, whoever catches
 * it, and a cancel is raised when all that is in flight has come in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/procsignal.h"

#include "base/compat.h"
#include "engine/stream_internal.h"

/* Add a lease to those that are there, unless it is one of them. */
void
iopool_stream_add_lease(IopoolLease **leases, int *nleases, IopoolLease *lease)
{
	for (int i = *nleases - 1; i >= 0; i--)
	{
		if (leases[i] == lease)
			return;
	}
	leases[(*nleases)++] = lease;
}

/* Every lease of this backend with something to wait for, now or later. */
int
iopool_stream_busy_leases(IopoolLease **leases, bool or_lacks_ring)
{
	dlist_iter iter;
	int nleases = 0;

	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolLease *lease =
			dlist_container(IopoolStream, node, iter.cur)->lease;

		if (iopool_lease_can_poll(lease) ||
			(or_lacks_ring && iopool_lease_lacks_ring(lease)))
			iopool_stream_add_lease(leases, &nleases, lease);
	}
	return nleases;
}

/*
 * Start nothing new on a lease, and wait until *in_flight is zero: the lease's
 * own count, or that of one of its streams.
 *
 * The reads may not come in for long, and whoever has emitted a barrier waits
 * for this process, too.  So barriers are absorbed meanwhile, unless interrupts
 * are held off, as they are while a transaction aborts.  Raises what that
 * raises, and nothing else; the reads are still in flight then.
 */
void
iopool_stream_drain(IopoolLease *lease, const int *in_flight)
{
	while (!iopool_lease_drain_to_barrier(lease, in_flight))
		ProcessProcSignalBarrier();
}

/* See iopool_stream_leave(); raises as iopool_stream_drain() if it may. */
static void
leave_rings(bool for_long, bool may_raise)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	bool stays[IOPOOL_MAX_POOLS + 1] = {false};
	int nleases = 0;
	dlist_iter iter;

	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->lease->ring != NULL)
			iopool_stream_add_lease(leases, &nleases, stream->lease);
		else
			stream->lease->handle.is_attended = false;
	}
	if (nleases == 0)
		return;

	dlist_foreach(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (for_long || !stream->uses_lease ||
			iopool_stream_is_background(stream))
			continue;
		for (int i = 0; i < nleases; i++)
			stays[i] |= leases[i] == stream->lease &&
				(iopool_stream_is_attended(stream) ||
				 iopool_lease_absence(stream->lease) !=
					 IOPOOL_ABSENCE_FORBIDDEN);
	}
	for (int i = 0; i < nleases; i++)
	{
		if (stays[i])
			continue;
		/* iopool_lease_go() would wait for these, and absorb no barrier */
		if (may_raise &&
			iopool_lease_absence(leases[i]) == IOPOOL_ABSENCE_FORBIDDEN)
			iopool_stream_drain(leases[i], &leases[i]->in_flight);
		iopool_lease_go(leases[i]);
	}
	/* what others have collected came with that */
	iopool_stream_release_idle();
}

/*
 * The backend leaves iopool, and may come to wait for anybody: let others have
 * its rings.  Rings of calls that are still going on are kept, and so are those
 * of consumers who are back in a moment: these rest.  for_long: nobody asks for
 * more for a while, or ever, so all rings are left.  Raises as
 * iopool_stream_drain().
 */
void
iopool_stream_leave(bool for_long)
{
	leave_rings(for_long, true);
}

/*
 * Start nothing new, and wait for what is in flight.  Raises as
 * iopool_stream_drain().
 */
void
iopool_stream_drain_all(void)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases = iopool_stream_busy_leases(leases, true);

	for (int i = 0; i < nleases; i++)
	{
		iopool_lease_cancel_prepared(leases[i]);
		iopool_stream_drain(leases[i], &leases[i]->in_flight);
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
iopool_stream_check_interrupts(void)
{
	if (likely(!INTERRUPTS_PENDING_CONDITION()))
		return;
	PG_TRY();
	{
		if ((QueryCancelPending || ProcDiePending) &&
			INTERRUPTS_CAN_BE_PROCESSED())
			iopool_stream_drain_all();
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		iopool_stream_drain_all();
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
void
iopool_stream_leave_by_error(void)
{
	IopoolLease *leases[IOPOOL_MAX_POOLS + 1];
	int nleases = iopool_stream_busy_leases(leases, true);

	for (int i = 0; i < nleases; i++)
	{
		iopool_lease_cancel_prepared(leases[i]);
		iopool_lease_poll(leases[i], 0, IOPOOL_NO_WAIT);
		/* short reads that would go on */
		iopool_lease_cancel_prepared(leases[i]);
	}
	iopool_stream_release_idle();
	leave_rings(true, false);
}

/*
 * Wait for a moment, or until the deadline, with no ring held for nothing, for
 * something that nobody tells the end of.  Serves interrupts.
 */
void
iopool_stream_rest(IopoolDeadline deadline)
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

		if (!stream->uses_lease || stream->in_flight > 0)
			continue;
		stream->uses_lease = false;
		iopool_lease_remove_user(stream->lease, false);
	}
	iopool_stream_leave(true);
	if (left < 0 || left > IOPOOL_PAUSE_US)
		left = IOPOOL_PAUSE_US;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) ((left + 999) / 1000), wait_event);
	ResetLatch(MyLatch);
	iopool_stream_check_interrupts();
}
