/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  A backend's lease of one ring.
 *
 * A backend has at most one lease per pool, shared by all its streams, so it
 * never waits for a ring that it has leased itself.  Streams use the lease
 * while they have something to read; when the last of them stops, the ring goes
 * back.
 *
 * Nothing here raises except iopool_lease_of() and iopool_lease_ready(), so
 * that the rest can run while a transaction aborts or the process exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "ring/lease_internal.h"
#include "ring/park.h"
#include "ring/settings.h"

/* By number of the pool; made when first used, kept until the process ends. */
static IopoolLease *leases[IOPOOL_MAX_POOLS + 1];

/* Is the ring ours still?  It can be lost right after, if it is parked. */
static bool
is_ours(const IopoolLease *lease)
{
	return lease->ring != NULL &&
		iopool_ring_generation(lease->ring) == lease->generation;
}

/*
 * The process ends: leave the queue, drain every ring and give it back.
 * Registered as before_shmem_exit callback, so it runs before the abort of
 * the transaction, while the memory that reads go to still exists.  Afterwards
 * nobody has a reason to write to this process's mailboxes.
 */
static void
lease_at_exit(int code, Datum arg)
{
	iopool_pool_stop_waiting();

	for (size_t i = 0; i < lengthof(leases); i++)
	{
		IopoolLease *lease = leases[i];

		if (lease == NULL)
			continue;
		iopool_lease_drain(lease, &lease->in_flight);
		if (!iopool_lease_enter(lease))
			continue;
		lease->has_failed = true;
		iopool_lease_give_back(lease);
	}
}

static IopoolLease *
make_lease(IopoolPool *pool)
{
	MemoryContext cxt = TopMemoryContext;
	IopoolLease *lease = MemoryContextAllocZero(cxt, sizeof(IopoolLease));
	Size local_size;

	lease->pool = pool;
	lease->method = iopool_method_get(pool->method);
	lease->reads =
		MemoryContextAllocExtended(cxt, sizeof(IopoolRead) * pool->entries,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	lease->free_reads = MemoryContextAlloc(cxt, sizeof(int) * pool->entries);
	lease->slots = MemoryContextAllocZero(cxt, pool->entries);
	lease->huge_pages =
		MemoryContextAllocZero(cxt, sizeof(bool) * (pool->entries + 1));
	dlist_init(&lease->prepared);

	local_size = lease->method->local_size(pool->entries);
	if (local_size > 0)
		lease->handle.local = MemoryContextAllocZero(cxt, local_size);
	lease->handle.entries = pool->entries;
	lease->handle.nquick = IOPOOL_QUICK_READS;
	lease->buffered_class = IOPOOL_READS_BUFFERED;

	/* the lowest number on top */
	for (int i = pool->entries - 1; i >= 0; i--)
	{
		lease->reads[i].lease = lease;
		lease->free_reads[lease->nfree_reads++] = i;
	}
	return lease;
}

/* This backend's lease on the pool, which need not have a ring now. */
IopoolLease *
iopool_lease_of(IopoolPool *pool)
{
	static bool is_registered = false;
	int poolno = pool - iopool_shared->pools;

	if (!is_registered)
	{
		before_shmem_exit(lease_at_exit, (Datum) 0);
		is_registered = true;
	}
	if (leases[poolno] == NULL)
	{
		leases[poolno] = make_lease(pool);
		iopool_park_open_mailbox(pool);
	}
	iopool_lease_register_wait_event();
	return leases[poolno];
}

/*
 * Has this backend leased a ring of the pool?  *in_flight: reads in flight on
 * it.
 */
bool
iopool_lease_has_ring(const IopoolPool *pool, int *in_flight)
{
	const IopoolLease *lease = leases[pool - iopool_shared->pools];

	*in_flight = lease != NULL ? lease->in_flight : 0;
	return lease != NULL && is_ours(lease);
}

/* A stream begins to have work; undone by iopool_lease_remove_user(). */
void
iopool_lease_add_user(IopoolLease *lease)
{
	lease->nusers++;
}

/*
 * A stream has nothing to read any more, and nothing in flight.  With the
 * last one the ring goes back.
 */
void
iopool_lease_remove_user(IopoolLease *lease, bool has_failed)
{
	Assert(lease->nusers > 0);
	lease->nusers--;
	lease->has_failed |= has_failed;
	if (lease->nusers > 0)
		return;
	if (iopool_lease_enter(lease))
		iopool_lease_give_back(lease);
	lease->has_failed = false;
}

/*
 * The backend leaves iopool, for as long as somebody else likes: let others
 * have the ring when its reads have come in.  Where only this process can take
 * them, waits for them, and what has not been started is canceled.  Where it
 * makes them itself, they wait without a ring.
 */
void
iopool_lease_go(IopoolLease *lease)
{
	if (lease->ring == NULL)
		return;
	if (iopool_lease_absence(lease) == IOPOOL_ABSENCE_FORBIDDEN)
		iopool_lease_drain(lease, &lease->in_flight);
	if (!iopool_lease_enter(lease))
		return;
	if (lease->in_flight == 0 ||
		iopool_lease_absence(lease) == IOPOOL_ABSENCE_IDLE)
		iopool_lease_give_back(lease);
	else
		iopool_lease_leave(lease, true);
}

/*
 * Has the lease had its time, and do others wait for a ring of its pool?  Then
 * nothing is to be started on it: its reads come in, it goes back, and whoever
 * has more to read gets in line.  Gives it back if its reads are in; false
 * then, and where it may go on.
 */
bool
iopool_lease_gives_way(IopoolLease *lease)
{
	int64 limit = (int64) iopool_max_lease_time_ms * 1000;

	if (lease->ring == NULL || limit < 0 ||
		pg_atomic_read_u32(&lease->pool->nwaiting) == 0 ||
		iopool_deadline_now() - lease->leased_at < limit)
		return false;
	if (lease->in_flight > 0)
		return true;
	if (iopool_lease_enter(lease))
		iopool_lease_give_back(lease);
	return false;
}

/*
 * This backend is about to wait for a ring of the lease's pool: let others
 * have those of other pools.  Otherwise two backends could each wait for the
 * ring that the other one holds.  False: the deadline has passed.
 */
static bool
leave_others(IopoolLease *lease, IopoolDeadline deadline)
{
	for (size_t i = 0; i < lengthof(leases); i++)
	{
		IopoolLease *other = leases[i];

		if (other == NULL || other == lease || other->ring == NULL)
			continue;
		/* iopool_lease_go() would wait for them, and not be interrupted */
		while (other->in_flight > 0 &&
			   iopool_lease_absence(other) == IOPOOL_ABSENCE_FORBIDDEN)
		{
			CHECK_FOR_INTERRUPTS();
			if (iopool_deadline_has_passed(deadline))
				return false;
			iopool_lease_poll(other, 1, deadline);
		}
		iopool_lease_go(other);
	}
	return true;
}

/* A ring for the lease, or NULL when the deadline has passed. */
static IopoolRing *
check_out(IopoolLease *lease, IopoolDeadline deadline)
{
	IopoolRing *ring = iopool_pool_lease(lease->pool, IOPOOL_NO_WAIT);
	IopoolDeadline limit = deadline;

	if (ring != NULL || deadline == IOPOOL_NO_WAIT)
		return ring;

	if (iopool_checkout_timeout_ms >= 0)
		limit = Min(limit, iopool_deadline_in(iopool_checkout_timeout_ms));
	/* the pool itself knows what to raise when there is no time at all */
	if (leave_others(lease, limit))
		ring = iopool_pool_lease(lease->pool,
								 limit == IOPOOL_NO_WAIT ? deadline : limit);
	if (ring == NULL && limit < deadline)
		iopool_pool_raise_timeout(lease->pool);
	return ring;
}

/*
 * Make sure that a ring is held; may wait for one until the deadline, and
 * raises as iopool_pool_lease() does.  False: there is none in time, or the
 * ring is refused by the kernel and still has reads in flight; poll until they
 * are in, then ask again.  Or the process is refused, which is for
 * iopool_refusal_raise() to say.
 */
bool
iopool_lease_ready(IopoolLease *lease, IopoolDeadline deadline)
{
	if (is_ours(lease) && lease->fatal_errno == 0)
		return true;

	/* what cannot be used is replaced once it is empty */
	if (iopool_lease_enter(lease))
	{
		if (lease->in_flight > 0)
		{
			iopool_lease_leave(lease, false);
			return false;
		}
		iopool_lease_give_back(lease);
	}

	/* each turn takes a broken ring out of service, so they end */
	while (lease->ring == NULL)
	{
		IopoolRing *ring;
		int rc;

		if (lease->refused_errno != 0)
			return false;
		ring = check_out(lease, deadline);
		if (ring == NULL)
			return false;
		lease->ring = ring;
		lease->generation = iopool_ring_generation(ring);
		lease->is_parked = false;
		lease->leased_at = iopool_deadline_now();
		lease->handle.shared = ring->method_state;

		rc = lease->method->attach(&lease->handle);
		if (rc != 0)
		{
			lease->fatal_errno = -rc;
			iopool_lease_give_back(lease);
		}
	}
	iopool_lease_leave(lease, false);
	return true;
}
