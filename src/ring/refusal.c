/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  What it means that the kernel does not take reads, and what follows.
 *
 * EINTR, EAGAIN, EBUSY	the kernel will take them later: asked again without
 *						a limit, after pauses that grow, between which the
 *						caller looks at interrupts.
 * ENOMEM, ENOBUFS		the same, but only for a while.
 * any other			it will not take them, ever.  Either the ring is
 *						unusable, for everybody, or this process is refused,
 *						by a seccomp filter, say, that was installed after the
 *						server's start.
 *
 * Only a ring that is at fault itself is taken out of service: otherwise one
 * backend with a filter would take the whole pool down.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "base/errors.h"
#include "ring/lease_internal.h"

/* First pause before the kernel is asked again, and how often it doubles. */
#define BUSY_PAUSE_US		100
#define MAX_PAUSE_DOUBLINGS 6

/* Pause between looks at a ring that cannot be waited on any more. */
#define BROKEN_PAUSE_US 1000

/* How long the kernel may lack memory, with nothing coming in. */
#define STARVED_PATIENCE_US (2 * 1000 * 1000)

/*
 * Is it the ring that cannot be used, or not by this process?  Asking a ring
 * for nothing does nothing to it, and tells.  What is refused altogether is
 * refused to the process, whose descriptor it is; where this ring answers, one
 * of another number may know better.
 */
bool
iopool_refusal_is_of_ring(const IopoolLease *lease)
{
	const IopoolPool *pool = lease->pool;

	/* a slot without a ring cannot break, and memory is short for all */
	if (lease->method->shared_size == 0 || lease->is_starved)
		return false;
	if (lease->method->ping == NULL)
		return true;
	if (lease->method->ping(lease->ring->method_state) != 0)
		return false;
	for (int i = 0; i < pool->nrings; i++)
	{
		if (&pool->rings[i] != lease->ring &&
			iopool_ring_state(&pool->rings[i]) != IOPOOL_RING_BROKEN)
			return lease->method->ping(pool->rings[i].method_state) == 0;
	}
	return true;
}

/* Does the kernel lack memory, and for longer than we wait for it? */
static bool
is_starved(IopoolLease *lease)
{
	int64 now = iopool_deadline_now();

	if (lease->starved_at == 0)
		lease->starved_at = now;
	return now - lease->starved_at > STARVED_PATIENCE_US;
}

/*
 * What submitting, or waiting with it, came to: sets fatal_errno if the ring
 * cannot be used any more.
 */
void
iopool_refusal_take_result(IopoolLease *lease, int rc, bool waits)
{
	switch (-rc)
	{
		case 0:
			if (waits)
				lease->starved_at = 0;
			return;
		case EINTR:
			return;
		case EAGAIN:
		case EBUSY:
			break;
		case ENOMEM:
		case ENOBUFS:
			lease->is_starved = is_starved(lease);
			if (!lease->is_starved)
				break;
			lease->fatal_errno = -rc;
			return;
		default:
			lease->fatal_errno = -rc;
			return;
	}
	lease->delta.counters[IOPOOL_COUNTER_RETRIES]++;
}

/* Give the kernel a moment, because a wait has brought nothing of use. */
void
iopool_refusal_pause(const IopoolLease *lease)
{
	if (lease->fatal_errno == 0)
		pg_usleep(BUSY_PAUSE_US
				  << Min(lease->nfruitless - 1, MAX_PAUSE_DOUBLINGS));
	else if (lease->in_flight > 0)
		pg_usleep(BROKEN_PAUSE_US);
}

/*
 * Raise it if no read of this lease will ever be taken: 58030 when the process
 * is refused (53000 for lack of memory), 53000 when all rings are broken.
 */
void
iopool_refusal_raise(IopoolLease *lease)
{
	int errnum = lease->refused_errno;

	if (errnum != 0)
	{
		/* who comes next may try */
		lease->refused_errno = 0;
		iopool_errors_raise_refused(lease->pool->name, lease->pool->method,
									errnum);
	}
	if (lease->ring == NULL)
		iopool_pool_check_broken(lease->pool);
}
