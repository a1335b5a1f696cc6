/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  Checking a ring out of a pool and giving it back.
 *
 * A free ring goes to whoever asks first; when there is none, one whose owner
 * is elsewhere is taken over (park.c); when there is none of these, the backend
 * stands in line (queue.c) and sleeps on its latch.
 *
 * The first in line, and nobody behind it, goes on looking for a parked ring
 * whose reads have come in.  Nobody claims a ring while its reads have not, so
 * a hung or stopped owner stops nobody but who asks for its ring.
 *
 * Locks: pool->lock guards states, free list and queue.  It is held for a
 * few instructions and never over I/O or a sleep.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/role.h"
#include "ring/park.h"
#include "ring/pool.h"
#include "ring/queue.h"
#include "ring/settings.h"

/*
 * How often the head of the queue looks for a parked ring, in ms: while one
 * rests; while reads are in flight on all of them, first and at last; and in
 * case somebody forgets to tell.
 */
#define TICK_RESTING	 1
#define TICK_READS_FIRST 1
#define TICK_READS_LAST	 32
#define TICK_NONE		 10

uint64 iopool_pool_waited_us = 0;

/* The pool in whose queue this backend is, if any: it waits for one only. */
static IopoolPool *waiting_for = NULL;

/* Is the ring held by this process under this generation, and not parked? */
static bool
is_held(IopoolRing *ring, uint64 generation)
{
	IopoolRingState state = iopool_ring_state(ring);

	return iopool_ring_generation(ring) == generation &&
		ring->pid == MyProcPid &&
		(state == IOPOOL_RING_ACTIVE || state == IOPOOL_RING_DRAINING);
}

/*
 * Give a ring back.  A ring that is not leased under this generation is left
 * alone: it has been given back already, and may be another backend's.
 */
void
iopool_pool_return(IopoolPool *pool, IopoolRing *ring, uint64 generation,
				   IopoolReturn how)
{
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);

	if (!is_held(ring, generation))
	{
		LWLockRelease(pool->lock);
		iopool_errors_report(
			LOG,
			(errmsg_internal(
				"iopool: ring %d of pool \"%s\" was returned by process %d, which does not hold it",
				(int) (ring - pool->rings), pool->name, MyProcPid)));
		return;
	}

	pg_atomic_write_u32(&ring->in_flight, 0);
	if (how == IOPOOL_RETURN_BROKEN)
	{
		iopool_ring_set_state(ring, IOPOOL_RING_BROKEN);
		iopool_ring_forget_owner(ring);
		pool->nbroken++;
		if (pool->nbroken == pool->nrings)
			iopool_queue_fail_all(pool);
		/* its role may have another */
		iopool_queue_serve(pool);
	}
	else
		iopool_queue_pass_ring_on(pool, ring);

	LWLockRelease(pool->lock);

	if (how == IOPOOL_RETURN_BROKEN)
		iopool_stats_add(&pool->stats, IOPOOL_COUNTER_RESETS, 1);
	else if (how == IOPOOL_RETURN_RECLAIMED)
		iopool_stats_add(&pool->stats, IOPOOL_COUNTER_RECLAIMS, 1);
}

/*
 * Show in the views that the owner only waits for what is in flight, or that
 * it goes on after all.
 */
void
iopool_pool_mark_draining(IopoolPool *pool, IopoolRing *ring,
						  uint64 generation, bool is_draining)
{
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	if (is_held(ring, generation))
		iopool_ring_set_state(ring,
							  is_draining ? IOPOOL_RING_DRAINING
										  : IOPOOL_RING_ACTIVE);
	LWLockRelease(pool->lock);
}

/*
 * Leave the queue.  A ring that was handed over meanwhile goes on to the next
 * in line.  Called on ERROR and at process exit; does nothing when this
 * backend does not wait.
 */
void
iopool_pool_stop_waiting(void)
{
	IopoolPool *pool = waiting_for;
	IopoolWaiter *me;

	if (pool == NULL)
		return;
	waiting_for = NULL;

	me = &iopool_shared->waiters[iopool_my_proc_number()];
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	if (me->is_queued)
		iopool_queue_leave(pool, me);
	else if (me->granted >= 0)
		iopool_queue_pass_ring_on(pool, &pool->rings[me->granted]);
	LWLockRelease(pool->lock);
}

static void
raise_all_broken(IopoolPool *pool)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("all rings of pool \"%s\" are broken", pool->name),
			 errhint("The server log says why; restarting the server makes new rings.")));
}

/* Raise 53000 if no ring of the pool can be used. */
void
iopool_pool_check_broken(IopoolPool *pool)
{
	bool all_broken;

	LWLockAcquire(pool->lock, LW_SHARED);
	all_broken = (pool->nbroken == pool->nrings);
	LWLockRelease(pool->lock);
	if (all_broken)
		raise_all_broken(pool);
}

/* This backend, as one that asks for a ring. */
static void
describe_me(IopoolWaiter *me)
{
	memset(me, 0, sizeof(IopoolWaiter));
	me->granted = IOPOOL_GRANT_PENDING;
	me->procno = iopool_my_proc_number();
	me->pid = MyProcPid;
	iopool_role_get(&me->roleid, &me->sessionid);
	me->max_rings = iopool_max_rings_per_role;
}

/* Raise 53400: no ring within iopool.checkout_timeout. */
void
iopool_pool_raise_timeout(IopoolPool *pool)
{
	IopoolWaiter me;
	bool at_limit;

	describe_me(&me);
	LWLockAcquire(pool->lock, LW_SHARED);
	at_limit = iopool_queue_is_at_limit(pool, &me);
	LWLockRelease(pool->lock);

	iopool_stats_add(&pool->stats, IOPOOL_COUNTER_CHECKOUT_TIMEOUTS, 1);
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no ring of pool \"%s\" was free within %d ms",
					pool->name, iopool_checkout_timeout_ms),
			 at_limit
				 ? errdetail("Sessions of role \"%s\" hold %d of its rings, as many as \"iopool.max_rings_per_role\" allows.",
							 iopool_role_name(me.sessionid),
							 me.max_rings)
				 : 0,
			 errhint("View iopool_rings shows who has the rings, and since when. Raise \"iopool.rings\" (or \"rings\" of the pool in \"iopool.pools\") or \"iopool.checkout_timeout\".")));
}

/*
 * Give a parked ring to who has the turn, if there is one that it may take:
 * one of its own role where that has its share.  Caller holds the lock.
 */
static IopoolRing *
take_over(IopoolPool *pool, const IopoolWaiter *who, bool at_limit,
		  IopoolParkedRings *left)
{
	IopoolRing *ring =
		iopool_park_take_over(pool, at_limit ? who->sessionid : InvalidOid,
							  left);

	if (ring == NULL)
		return NULL;
	iopool_stats_add(&pool->stats, IOPOOL_COUNTER_TAKEOVERS, 1);
	iopool_queue_give_ring(ring, who);
	/* the role that had it may have another */
	iopool_queue_wake_first(pool);
	return ring;
}

/*
 * Take a free ring or a parked one, or queue if may_wait.  Returns the ring, or
 * NULL when this backend is now in the queue (waiting_for) or does not want to
 * be.
 */
static IopoolRing *
take_or_queue(IopoolPool *pool, bool may_wait)
{
	IopoolWaiter me;
	IopoolParkedRings left;
	IopoolRing *ring = NULL;
	bool all_broken;
	bool at_limit;

	describe_me(&me);
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	at_limit = iopool_queue_is_at_limit(pool, &me);
	all_broken = (pool->nbroken == pool->nrings);
	if (pool->free_head >= 0 && !at_limit)
	{
		/* while a ring is free, nobody waits who may have it */
		ring = &pool->rings[pool->free_head];
		pool->free_head = ring->next_free;
		iopool_queue_give_ring(ring, &me);
	}
	else if (iopool_queue_has_turn(pool, &me, at_limit))
		ring = take_over(pool, &me, at_limit, &left);

	if (ring == NULL && may_wait && !all_broken &&
		iopool_checkout_timeout_ms != 0)
	{
		IopoolWaiter *waiter = &iopool_shared->waiters[me.procno];

		*waiter = me;
		waiter->since = iopool_deadline_now();
		waiter->is_queued = true;
		dlist_push_tail(&pool->waiters, &waiter->node);
		pg_atomic_fetch_add_u32(&pool->nwaiting, 1);
		waiting_for = pool;
	}
	LWLockRelease(pool->lock);

	if (ring != NULL || !may_wait)
		return ring;
	if (all_broken)
		raise_all_broken(pool);
	if (waiting_for == NULL)
		iopool_pool_raise_timeout(pool);
	return NULL;
}

/*
 * Has the queue answered?  IOPOOL_GRANT_PENDING if not.  Whose turn it is takes
 * a parked ring if it can; *tick is how long to wait before it looks again,
 * in ms, and -1 for the others.
 */
static int
granted_ring(IopoolPool *pool, int *tick)
{
	IopoolWaiter *me = &iopool_shared->waiters[iopool_my_proc_number()];
	IopoolParkedRings left;
	IopoolRing *ring;
	bool at_limit;
	int granted;

	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	granted = me->granted;
	at_limit = iopool_queue_is_at_limit(pool, me);
	if (granted == IOPOOL_GRANT_PENDING &&
		iopool_queue_has_turn(pool, me, at_limit))
	{
		ring = take_over(pool, me, at_limit, &left);
		if (ring != NULL)
		{
			granted = me->granted = ring - pool->rings;
			iopool_queue_leave(pool, me);
		}
		else if (left == IOPOOL_PARKED_RESTING)
			*tick = TICK_RESTING;
		else if (left == IOPOOL_PARKED_WAITING)
			*tick = Min(Max(*tick * 2, TICK_READS_FIRST), TICK_READS_LAST);
		else
			*tick = TICK_NONE;
	}
	else
		*tick = -1;
	LWLockRelease(pool->lock);
	return granted;
}

/*
 * Sleep until a ring is handed over; raises on timeout and interrupts.  Gives
 * up at the caller's deadline with IOPOOL_GRANT_PENDING.
 */
static int
wait_for_grant(IopoolPool *pool, int64 start, IopoolDeadline deadline)
{
	static uint32 wait_event = 0;
	int tick = -1;

	if (wait_event == 0)
		wait_event = iopool_wait_event_new("IopoolCheckout");

	for (;;)
	{
		int granted = granted_ring(pool, &tick);
		int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
		IopoolDeadline limit = deadline;
		int64 left;

		if (granted != IOPOOL_GRANT_PENDING)
			return granted;

		if (iopool_checkout_timeout_ms > 0)
			limit =
				Min(limit, start + (int64) iopool_checkout_timeout_ms * 1000);
		left = iopool_deadline_left(limit);
		if (left == 0 && limit < deadline)
			iopool_pool_raise_timeout(pool);
		if (left == 0)
			return IOPOOL_GRANT_PENDING;
		/* rounded up, or the last millisecond would be spent spinning */
		if (left > 0)
			left = (left + 999) / 1000;
		if (tick > 0 && (left < 0 || left > tick))
			left = tick;
		if (left > 0)
			events |= WL_TIMEOUT;

		(void) WaitLatch(MyLatch, events, (long) left, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Lease a ring of the pool, waiting in line for up to
 * iopool.checkout_timeout.  The caller owns the ring until it returns it with
 * the ring's generation of now.  Returns NULL when the deadline passes first.
 *
 * Raises 53400 on timeout and 53000 when no ring is usable, unless the
 * deadline is IOPOOL_NO_WAIT.  The caller has to have registered for process
 * exit, see lease.c.
 */
IopoolRing *
iopool_pool_lease(IopoolPool *pool, IopoolDeadline deadline)
{
	IopoolRing *ring = take_or_queue(pool, deadline != IOPOOL_NO_WAIT);

	if (ring == NULL && deadline == IOPOOL_NO_WAIT)
		return NULL;
	if (ring == NULL)
	{
		int64 start = iopool_deadline_now();
		int granted = IOPOOL_GRANT_PENDING;

		iopool_stats_add(&pool->stats, IOPOOL_COUNTER_CHECKOUT_WAITS, 1);
		PG_TRY();
		{
			granted = wait_for_grant(pool, start, deadline);
			/* a ring that is granted is the caller's from here on */
			if (granted != IOPOOL_GRANT_PENDING)
				waiting_for = NULL;
		}
		PG_CATCH();
		{
			iopool_pool_stop_waiting();
			iopool_pool_waited_us += iopool_deadline_now() - start;
			PG_RE_THROW();
		}
		PG_END_TRY();

		/* leaves the queue, or passes on what was granted this moment */
		iopool_pool_stop_waiting();
		iopool_pool_waited_us += iopool_deadline_now() - start;
		if (granted == IOPOOL_GRANT_PENDING)
			return NULL;
		if (granted == IOPOOL_GRANT_ALL_BROKEN)
			raise_all_broken(pool);
		ring = &pool->rings[granted];
	}

	iopool_stats_add(&pool->stats, IOPOOL_COUNTER_CHECKOUTS, 1);
	return ring;
}

/* What becomes of the pool's rings now, and how long has been waited. */
void
iopool_pool_use(IopoolPool *pool, IopoolPoolUse *use)
{
	int64 now = iopool_deadline_now();
	dlist_iter iter;

	LWLockAcquire(pool->lock, LW_SHARED);
	use->nin_use = 0;
	for (int i = 0; i < pool->nrings; i++)
		use->nin_use += iopool_ring_is_leased(&pool->rings[i]);
	use->nbroken = pool->nbroken;
	use->nfree = pool->nrings - use->nin_use - use->nbroken;
	use->nwaiting = (int) pg_atomic_read_u32(&pool->nwaiting);
	use->waited_us = pg_atomic_read_u64(
		&pool->stats.counters[IOPOOL_COUNTER_CHECKOUT_WAIT_US]);
	dlist_foreach(iter, &pool->waiters)
	{
		IopoolWaiter *waiter = dlist_container(IopoolWaiter, node, iter.cur);

		use->waited_us += Max(now - waiter->since, 0);
	}
	LWLockRelease(pool->lock);
}
