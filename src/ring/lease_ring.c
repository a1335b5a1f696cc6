/*-------------------------------------------------------------------------
 *
 * lease_ring.c
 *	  How a backend comes to its ring and leaves it.
 *
 * The ring is this backend's to touch between iopool_lease_enter() and
 * iopool_lease_leave(), a bracket that each function of lease_read.c has
 * around its work, and in which nothing raises.  Outside of it the ring is
 * parked, and another backend may take it over once its reads have come in
 * (park.c).  Coming back finds out, and brings what the other one has
 * collected to the reads.
 *
 * With sync, and with libaio as long as it has no context, reads that are not
 * made yet are in a queue of this process, and stay there when a ring is lost
 * or given back.  A context of libaio can be read by nobody else: with one, the
 * ring stays active until iopool_lease_go() lets the reads come in and gives it
 * back.
 *
 * Nothing here raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "base/errors.h"
#include "ring/lease_internal.h"
#include "ring/park.h"

/* Results that are taken at a time. */
#define BATCH 64

uint64 iopool_lease_nlost = 0;

IopoolAbsence
iopool_lease_absence(const IopoolLease *lease)
{
	return lease->method->absence(&lease->handle);
}

/* A read is complete. */
void
iopool_lease_deliver(IopoolLease *lease, IopoolRead *read, int result)
{
	lease->in_flight--;
	read->io.tag = 0;
	if (result != -ECANCELED && result != -EAGAIN && result != -EINTR)
	{
		lease->nfruitless = 0;
		lease->starved_at = 0;
	}
	if (result != -ECANCELED)
	{
		lease->delta.counters[IOPOOL_COUNTER_READS]++;
		if (result > 0)
			lease->delta.counters[IOPOOL_COUNTER_BYTES] += result;
	}
	read->done(read, result);
}

/* Bring what another backend has collected to its reads. */
static void
take_mail(IopoolLease *lease)
{
	IopoolCompletion results[BATCH];
	int n;

	while ((n = iopool_park_take_results(lease->pool, results, BATCH)) > 0)
	{
		for (int i = 0; i < n; i++)
			iopool_lease_deliver(lease, &lease->reads[results[i].tag],
								 results[i].result);
	}
}

/* Which of the lease's reads a completion is of, or NULL. */
IopoolRead *
iopool_lease_read_of(IopoolLease *lease, const IopoolCompletion *completion)
{
	uint64 readno = completion->tag & IOPOOL_TAG_READ_MASK;

	if (readno >= (uint64) lease->pool->entries || completion->tag == 0 ||
		lease->reads[readno].io.tag != completion->tag)
	{
		lease->delta.counters[IOPOOL_COUNTER_STALE]++;
		return NULL;
	}
	return &lease->reads[readno];
}

/* Take back what the kernel has not seen: it is prepared again. */
void
iopool_lease_take_back(IopoolLease *lease)
{
	IopoolCompletion completions[BATCH];
	int n;

	while ((n = lease->method->cancel_prepared(&lease->handle, completions,
											   BATCH)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			IopoolRead *read = iopool_lease_read_of(lease, &completions[i]);

			/* the youngest comes first */
			if (read == NULL)
				continue;
			if (iopool_lease_absence(lease) == IOPOOL_ABSENCE_COLLECTED)
				lease->ring->tags[read - lease->reads] = 0;
			read->io.tag = 0;
			dlist_push_head(&lease->prepared, &read->node);
			lease->nprepared++;
			lease->in_flight--;
		}
	}
}

/*
 * Forget the ring, on which nothing of ours is in flight any more.  What this
 * process is to read itself stays in its queue, for the next ring.
 */
static void
forget_ring(IopoolLease *lease)
{
	Assert(lease->in_flight == 0 ||
		   iopool_lease_absence(lease) == IOPOOL_ABSENCE_IDLE);

	iopool_stats_flush(&lease->pool->stats, &lease->delta);
	lease->ring = NULL;
	lease->is_parked = false;
	lease->fatal_errno = 0;
	lease->is_starved = false;
	lease->starved_at = 0;
	lease->nfruitless = 0;
	lease->has_failed = false;
	lease->handle.is_attended = false;
	lease->handle.nquick = IOPOOL_QUICK_READS;
}

/* Give the ring back, which is active and empty. */
void
iopool_lease_give_back(IopoolLease *lease)
{
	IopoolRing *ring = lease->ring;
	IopoolReturn how = IOPOOL_RETURN_CLEAN;

	Assert(!lease->is_parked);

	if (lease->fatal_errno != 0 && iopool_refusal_is_of_ring(lease))
	{
		how = IOPOOL_RETURN_BROKEN;
		errno = lease->fatal_errno;
		iopool_errors_report(
			LOG,
			(errmsg("iopool: ring %d of pool \"%s\" is broken: %m",
					(int) (ring - lease->pool->rings), lease->pool->name),
			 errhint("Restarting the server makes a new one.")));
	}
	else if (lease->has_failed || lease->fatal_errno != 0)
	{
		how = IOPOOL_RETURN_RECLAIMED;
		lease->refused_errno = lease->fatal_errno;
	}

	lease->method->detach(&lease->handle);
	forget_ring(lease);
	iopool_pool_return(lease->pool, ring, lease->generation, how);
}

/* The ring is another backend's: all that was in flight has come. */
static void
lose_ring(IopoolLease *lease)
{
	int fatal_errno = lease->fatal_errno;

	iopool_lease_nlost++;
	take_mail(lease);
	forget_ring(lease);
	/* had it been the ring's fault, nobody else would have it */
	lease->refused_errno = fatal_errno;
}

/*
 * Come to the ring.  False: there is none, or there is none any more.  May
 * complete reads.
 */
bool
iopool_lease_enter(IopoolLease *lease)
{
	if (lease->ring == NULL)
		return false;
	if (!lease->is_parked)
		return true;
	if (!iopool_park_enter(lease->pool, lease->ring, lease->generation))
	{
		lose_ring(lease);
		return false;
	}
	lease->is_parked = false;
	take_mail(lease);
	return true;
}

/* Leave the ring, for a moment or for longer. */
void
iopool_lease_leave(IopoolLease *lease, bool is_gone)
{
	IopoolAbsence absence = iopool_lease_absence(lease);

	if (absence == IOPOOL_ABSENCE_FORBIDDEN)
		return;
	if (absence == IOPOOL_ABSENCE_COLLECTED)
	{
		iopool_lease_take_back(lease);
		pg_atomic_write_u32(&lease->ring->in_flight, lease->in_flight);
		/* a broken ring is its owner's to get rid of */
		if (lease->fatal_errno != 0 && iopool_refusal_is_of_ring(lease))
			iopool_pool_mark_draining(lease->pool, lease->ring,
									  lease->generation, true);
		if (iopool_ring_state(lease->ring) == IOPOOL_RING_DRAINING)
			return;
	}
	else
		pg_atomic_write_u32(&lease->ring->in_flight, 0);

	lease->is_parked = true;
	iopool_park(lease->pool, lease->ring, lease->generation, is_gone);
}
