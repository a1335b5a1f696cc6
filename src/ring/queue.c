/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The line of backends that wait for a ring of a pool.
 *
 * A ring that comes back is handed to the first in line under the pool's lock,
 * so nobody can overtake.  A waiter that gives up therefore has to look whether
 * a ring was handed to it meanwhile.
 *
 * Sessions of a role may be limited in how many rings of a pool they hold.  A
 * waiter whose role has its share blocks nobody behind it: it is passed over
 * until a ring of its role comes back.  It may take a parked ring of its own
 * role, which leaves the role with as many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "base/deadline.h"
#include "ring/queue.h"

/* Caller holds the lock; the ring is nobody's and empty. */
void
iopool_queue_give_ring(IopoolRing *ring, const IopoolWaiter *to)
{
	ring->next_free = -1;
	ring->pid = to->pid;
	ring->procno = to->procno;
	ring->roleid = to->roleid;
	ring->sessionid = to->sessionid;
	ring->leased_since = GetCurrentTimestamp();
	ring->is_new = true;
	(void) pg_atomic_exchange_u64(
		&ring->word,
		iopool_ring_word(iopool_ring_generation(ring) + 1,
						 IOPOOL_RING_ACTIVE));
}

static void
wake_waiter(const IopoolWaiter *waiter)
{
	SetLatch(&ProcGlobal->allProcs[waiter->procno].procLatch);
}

/* Caller holds the lock. */
static IopoolWaiter *
first_waiter(IopoolPool *pool)
{
	return dlist_is_empty(&pool->waiters)
		? NULL
		: dlist_head_element(IopoolWaiter, node, &pool->waiters);
}

/*
 * Has the role of a waiter its share of the pool's rings?  Caller holds the
 * lock.
 */
bool
iopool_queue_is_at_limit(IopoolPool *pool, const IopoolWaiter *waiter)
{
	int nheld = 0;

	if (waiter->max_rings == 0)
		return false;
	for (int i = 0; i < pool->nrings; i++)
		nheld += pool->rings[i].sessionid == waiter->sessionid &&
			iopool_ring_is_leased(&pool->rings[i]);
	return nheld >= waiter->max_rings;
}

/*
 * Is it a waiter's turn to look for a ring?  Those before it have to be at
 * their limits, and if it is as well, of other roles.  who: in the queue, or
 * about to be.  Caller holds the lock.
 */
bool
iopool_queue_has_turn(IopoolPool *pool, const IopoolWaiter *who,
					  bool who_is_at_limit)
{
	dlist_iter iter;

	dlist_foreach(iter, &pool->waiters)
	{
		IopoolWaiter *waiter = dlist_container(IopoolWaiter, node, iter.cur);

		if (waiter == who)
			break;
		if ((who_is_at_limit && waiter->sessionid == who->sessionid) ||
			!iopool_queue_is_at_limit(pool, waiter))
			return false;
	}
	return true;
}

/*
 * It may be somebody else's turn to look for a parked ring: wake the first in
 * line, and those before it that their limits keep from having a free one.  Of
 * a role that stands there in a row, only the first can have the turn.  Caller
 * holds the lock.
 */
void
iopool_queue_wake_first(IopoolPool *pool)
{
	Oid sessionid = InvalidOid;
	dlist_iter iter;

	dlist_foreach(iter, &pool->waiters)
	{
		IopoolWaiter *waiter = dlist_container(IopoolWaiter, node, iter.cur);

		if (!iopool_queue_is_at_limit(pool, waiter))
		{
			wake_waiter(waiter);
			break;
		}
		if (waiter->sessionid != sessionid)
			wake_waiter(waiter);
		sessionid = waiter->sessionid;
	}
}

/*
 * Take a waiter out of the queue, and count the time that it was there.  Caller
 * holds the lock.
 */
void
iopool_queue_leave(IopoolPool *pool, IopoolWaiter *waiter)
{
	bool had_turn =
		iopool_queue_has_turn(pool, waiter,
							  iopool_queue_is_at_limit(pool, waiter));

	dlist_delete(&waiter->node);
	waiter->is_queued = false;
	pg_atomic_fetch_sub_u32(&pool->nwaiting, 1);
	iopool_stats_add(&pool->stats, IOPOOL_COUNTER_CHECKOUT_WAIT_US,
					 iopool_deadline_now() - waiter->since);
	if (had_turn)
		iopool_queue_wake_first(pool);
}

/*
 * Give free rings to who may have them, first come first.  Caller holds the
 * lock.
 */
void
iopool_queue_serve(IopoolPool *pool)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &pool->waiters)
	{
		IopoolWaiter *waiter = dlist_container(IopoolWaiter, node, iter.cur);
		IopoolRing *ring;

		if (pool->free_head < 0)
			return;
		if (iopool_queue_is_at_limit(pool, waiter))
			continue;
		ring = &pool->rings[pool->free_head];
		pool->free_head = ring->next_free;
		iopool_queue_leave(pool, waiter);
		iopool_queue_give_ring(ring, waiter);
		waiter->granted = ring - pool->rings;
		wake_waiter(waiter);
	}
}

/* Caller holds the lock; ring is nobody's and empty. */
void
iopool_queue_pass_ring_on(IopoolPool *pool, IopoolRing *ring)
{
	iopool_ring_forget_owner(ring);
	ring->next_free = pool->free_head;
	pool->free_head = ring - pool->rings;
	iopool_ring_set_state(ring, IOPOOL_RING_FREE);
	iopool_queue_serve(pool);
}

/* Caller holds the lock. */
void
iopool_queue_fail_all(IopoolPool *pool)
{
	while (!dlist_is_empty(&pool->waiters))
	{
		IopoolWaiter *waiter = first_waiter(pool);

		iopool_queue_leave(pool, waiter);
		waiter->granted = IOPOOL_GRANT_ALL_BROKEN;
		wake_waiter(waiter);
	}
}

/* There may be a parked ring for the first in line.  Does not raise. */
void
iopool_queue_tell_parked(IopoolPool *pool)
{
	LWLockAcquire(pool->lock, LW_SHARED);
	iopool_queue_wake_first(pool);
	LWLockRelease(pool->lock);
}

/*
 * Copy who is in line, first first; there is room for MaxBackends.  Returns how
 * many.
 */
int
iopool_queue_waiters(IopoolPool *pool, IopoolWaiter *waiters)
{
	int nwaiters = 0;
	dlist_iter iter;

	LWLockAcquire(pool->lock, LW_SHARED);
	dlist_foreach(iter, &pool->waiters)
		waiters[nwaiters++] = *dlist_container(IopoolWaiter, node, iter.cur);
	LWLockRelease(pool->lock);
	return nwaiters;
}
