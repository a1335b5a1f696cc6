/*-------------------------------------------------------------------------
 *
 * test_pool.c
 *	  White-box tests of pool.c: what a second backend would do is done here
 *	  by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "../../../src/ring/pool.c"
#include "../../../src/ring/queue.c"
#include "../../../src/ring/park.c"

#include "mock.h"
#include "unit.h"

/* Queue up as another backend would; its latch is this backend's own. */
IopoolWaiter *
unit_queue_other(IopoolPool *pool, int number)
{
	IopoolWaiter *waiter = &iopool_shared->waiters[number];

	memset(waiter, 0, sizeof(IopoolWaiter));
	waiter->granted = IOPOOL_GRANT_PENDING;
	waiter->procno = iopool_my_proc_number();
	waiter->pid = MyProcPid;
	waiter->roleid = 10000 + number;
	waiter->since = iopool_deadline_now();
	waiter->is_queued = true;
	dlist_push_tail(&pool->waiters, &waiter->node);
	pg_atomic_fetch_add_u32(&pool->nwaiting, 1);
	return waiter;
}

static int
sqlstate_of_checkout(IopoolPool *pool)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile int sqlstate = 0;

	PG_TRY();
	{
		(void) iopool_pool_lease(pool, IOPOOL_FOREVER);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		sqlstate = geterrcode();
		FlushErrorState();
	}
	PG_END_TRY();
	return sqlstate;
}

/*
 * Another backend waits for a ring, and takes over a parked one if it can, for
 * a moment.
 */
bool
unit_take_over(IopoolPool *pool)
{
	IopoolWaiter other = {
		.procno = (iopool_my_proc_number() + 1) % 2,
		.pid = MyProcPid + 1,
	};
	IopoolParkedRings left;
	IopoolRing *ring;

	/* all of them have rested */
	for (int i = 0; i < pool->nrings; i++)
		pg_atomic_write_u64(&pool->rings[i].parked_at, 0);

	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	ring = take_over(pool, &other, false, &left);
	if (ring != NULL)
	{
		IopoolHandle handle = {.shared = ring->method_state,
							   .entries = pool->entries};

		/* looks whether it is empty */
		mock_method.detach(&handle);
		CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_ACTIVE);
		CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), 0);
		for (int i = 0; i < pool->entries; i++)
			CHECK_EQUAL(ring->tags[i], 0);
		iopool_queue_pass_ring_on(pool, ring);
	}
	LWLockRelease(pool->lock);
	return ring != NULL;
}

/* Whatever is returned, by whom and how often: every ring is there once. */
static void
pool_returns(int rounds)
{
	IopoolPool *pool = mock_pool_create(3, 4);
	IopoolRing *first = iopool_pool_lease(pool, IOPOOL_FOREVER);
	IopoolRing *second = iopool_pool_lease(pool, IOPOOL_FOREVER);
	uint64 generation = iopool_ring_generation(first);

	CHECK(first != second);
	mock_pool_check(pool, 2);

	iopool_pool_return(pool, first, generation, IOPOOL_RETURN_CLEAN);
	mock_pool_check(pool, 1);

	/* twice */
	iopool_pool_return(pool, first, generation, IOPOOL_RETURN_CLEAN);
	iopool_pool_return(pool, first, generation, IOPOOL_RETURN_BROKEN);
	mock_pool_check(pool, 1);

	/* that of an earlier lease, once the ring is somebody's again */
	CHECK(iopool_pool_lease(pool, IOPOOL_FOREVER) == first);
	CHECK(iopool_ring_generation(first) != generation);
	iopool_pool_return(pool, first, generation, IOPOOL_RETURN_CLEAN);
	iopool_pool_mark_draining(pool, first, generation, true);
	CHECK_EQUAL(iopool_ring_state(first), IOPOOL_RING_ACTIVE);
	mock_pool_check(pool, 2);

	/* another process's */
	first->pid = MyProcPid + 1;
	iopool_pool_return(pool, first, iopool_ring_generation(first),
					   IOPOOL_RETURN_CLEAN);
	iopool_pool_mark_draining(pool, first, iopool_ring_generation(first),
							  true);
	CHECK_EQUAL(iopool_ring_state(first), IOPOOL_RING_ACTIVE);
	first->pid = MyProcPid;

	iopool_pool_mark_draining(pool, first, iopool_ring_generation(first),
							  true);
	CHECK_EQUAL(iopool_ring_state(first), IOPOOL_RING_DRAINING);
	iopool_pool_mark_draining(pool, first, iopool_ring_generation(first),
							  false);
	CHECK_EQUAL(iopool_ring_state(first), IOPOOL_RING_ACTIVE);
	iopool_pool_mark_draining(pool, first, iopool_ring_generation(first),
							  true);
	mock_pool_check(pool, 2);
	iopool_pool_return(pool, first, iopool_ring_generation(first),
					   IOPOOL_RETURN_RECLAIMED);
	iopool_pool_return(pool, second, iopool_ring_generation(second),
					   IOPOOL_RETURN_BROKEN);
	mock_pool_check(pool, 0);
	CHECK_EQUAL(pool->nbroken, 1);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_RECLAIMS), 1);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_RESETS), 1);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_CHECKOUTS), 3);
}

/* A ring that comes back goes to who has waited longest, and to no other. */
static void
pool_first_come(int rounds)
{
	IopoolPool *pool = mock_pool_create(1, 4);
	IopoolRing *ring = iopool_pool_lease(pool, IOPOOL_FOREVER);
	IopoolWaiter *waiters[3];

	for (int i = 0; i < 3; i++)
		waiters[i] = unit_queue_other(pool, i);

	for (int i = 0; i < 3; i++)
	{
		uint64 generation = iopool_ring_generation(ring);

		iopool_pool_return(pool, ring, generation, IOPOOL_RETURN_CLEAN);
		for (int j = 0; j < 3; j++)
		{
			CHECK_EQUAL(waiters[j]->granted,
						j <= i ? 0 : IOPOOL_GRANT_PENDING);
			CHECK_EQUAL(waiters[j]->is_queued, j > i);
		}
		CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_ACTIVE);
		CHECK_EQUAL(ring->roleid, 10000 + i);
		CHECK(iopool_ring_generation(ring) > generation);
		CHECK_EQUAL(pg_atomic_read_u32(&pool->nwaiting), 2 - i);
		CHECK_EQUAL(sqlstate_of_checkout(pool),
					ERRCODE_CONFIGURATION_LIMIT_EXCEEDED);
	}
	iopool_pool_return(pool, ring, iopool_ring_generation(ring),
					   IOPOOL_RETURN_CLEAN);
	mock_pool_check(pool, 0);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_CHECKOUT_TIMEOUTS), 3);
}

/* Who gives up passes on what was handed over meanwhile. */
static void
pool_stop_waiting(int rounds)
{
	IopoolPool *pool = mock_pool_create(1, 4);
	IopoolRing *ring = iopool_pool_lease(pool, IOPOOL_FOREVER);
	IopoolWaiter *me = unit_queue_other(pool, iopool_my_proc_number());
	IopoolWaiter *other = unit_queue_other(pool, me == iopool_shared->waiters);

	/* in the queue still */
	waiting_for = pool;
	iopool_pool_stop_waiting();
	CHECK(!me->is_queued);
	CHECK_EQUAL(pg_atomic_read_u32(&pool->nwaiting), 1);
	CHECK(waiting_for == NULL);

	/* the ring is mine already */
	dlist_delete(&other->node);
	pg_atomic_write_u32(&pool->nwaiting, 0);
	me = unit_queue_other(pool, iopool_my_proc_number());
	other = unit_queue_other(pool, me == iopool_shared->waiters);
	iopool_pool_return(pool, ring, iopool_ring_generation(ring),
					   IOPOOL_RETURN_CLEAN);
	CHECK_EQUAL(me->granted, 0);
	waiting_for = pool;
	iopool_pool_stop_waiting();
	CHECK_EQUAL(other->granted, 0);
	CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_ACTIVE);
	CHECK_EQUAL(ring->roleid, other->roleid);

	/* nobody waits: free */
	me->granted = 0;
	waiting_for = pool;
	iopool_pool_stop_waiting();
	mock_pool_check(pool, 0);
	CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_FREE);

	/* and not twice */
	iopool_pool_stop_waiting();
	mock_pool_check(pool, 0);
}

/* A checkout that has to wait and fails leaves no trace in the queue. */
static void
pool_timeout(int rounds)
{
	IopoolPool *pool = mock_pool_create(1, 4);
	IopoolRing *ring = iopool_pool_lease(pool, IOPOOL_FOREVER);

	iopool_checkout_timeout_ms = 1;
	CHECK_EQUAL(sqlstate_of_checkout(pool),
				ERRCODE_CONFIGURATION_LIMIT_EXCEEDED);
	iopool_checkout_timeout_ms = 0;
	CHECK(dlist_is_empty(&pool->waiters));
	CHECK_EQUAL(pg_atomic_read_u32(&pool->nwaiting), 0);
	CHECK(waiting_for == NULL);
	mock_pool_check(pool, 1);
	iopool_pool_return(pool, ring, iopool_ring_generation(ring),
					   IOPOOL_RETURN_CLEAN);
	mock_pool_check(pool, 0);
}

/* The last ring breaks: everybody who waits is told, and who comes later. */
static void
pool_all_broken(int rounds)
{
	IopoolPool *pool = mock_pool_create(2, 4);
	IopoolRing *rings[2];
	IopoolWaiter *waiters[2];

	for (int i = 0; i < 2; i++)
		rings[i] = iopool_pool_lease(pool, IOPOOL_FOREVER);
	for (int i = 0; i < 2; i++)
		waiters[i] = unit_queue_other(pool, i);

	iopool_pool_return(pool, rings[0], iopool_ring_generation(rings[0]),
					   IOPOOL_RETURN_BROKEN);
	for (int i = 0; i < 2; i++)
		CHECK_EQUAL(waiters[i]->granted, IOPOOL_GRANT_PENDING);

	iopool_pool_return(pool, rings[1], iopool_ring_generation(rings[1]),
					   IOPOOL_RETURN_BROKEN);
	for (int i = 0; i < 2; i++)
	{
		CHECK_EQUAL(waiters[i]->granted, IOPOOL_GRANT_ALL_BROKEN);
		CHECK(!waiters[i]->is_queued);
	}
	CHECK_EQUAL(pg_atomic_read_u32(&pool->nwaiting), 0);
	mock_pool_check(pool, 0);
	CHECK_EQUAL(sqlstate_of_checkout(pool), ERRCODE_INSUFFICIENT_RESOURCES);
	iopool_checkout_timeout_ms = -1;
	CHECK_EQUAL(sqlstate_of_checkout(pool), ERRCODE_INSUFFICIENT_RESOURCES);
	iopool_checkout_timeout_ms = 0;
}

/* Queue up as a session of a role that may have so many rings. */
static IopoolWaiter *
queue_limited(IopoolPool *pool, int number, Oid sessionid, int max_rings)
{
	IopoolWaiter *waiter = unit_queue_other(pool, number);

	waiter->sessionid = sessionid;
	waiter->max_rings = max_rings;
	return waiter;
}

/* Hand out a ring, by hand, to a session of a role. */
static IopoolRing *
hold_as(IopoolPool *pool, Oid sessionid)
{
	IopoolRing *ring = iopool_pool_lease(pool, IOPOOL_FOREVER);

	ring->sessionid = sessionid;
	return ring;
}

static void
give_back(IopoolPool *pool, IopoolRing *ring, IopoolReturn how)
{
	iopool_pool_return(pool, ring, iopool_ring_generation(ring), how);
}

/*
 * A role that has its share is passed over, and blocks nobody; what comes back
 * of it, or breaks, lets its next one have a ring, in the order of the line.
 */
static void
pool_role_limit(int rounds)
{
	const Oid greedy = 7;
	IopoolPool *pool = mock_pool_create(4, 4);
	IopoolRing *rings[4];
	IopoolWaiter *waiters[4];

	rings[0] = hold_as(pool, greedy);
	rings[1] = hold_as(pool, greedy);
	rings[2] = hold_as(pool, 8);
	rings[3] = hold_as(pool, 8);
	waiters[0] = queue_limited(pool, 0, greedy, 2);
	waiters[1] = queue_limited(pool, 1, greedy, 2);
	waiters[2] = queue_limited(pool, 2, 8, 0);
	waiters[3] = queue_limited(pool, 3, greedy, 2);

	/* of others: to who is third in line, and free after that */
	give_back(pool, rings[2], IOPOOL_RETURN_CLEAN);
	CHECK_EQUAL(waiters[2]->granted, rings[2] - pool->rings);
	CHECK_EQUAL(rings[2]->sessionid, 8);
	give_back(pool, rings[3], IOPOOL_RETURN_CLEAN);
	CHECK_EQUAL(iopool_ring_state(rings[3]), IOPOOL_RING_FREE);
	CHECK_EQUAL(pg_atomic_read_u32(&pool->nwaiting), 3);
	mock_pool_check(pool, 3);

	/* a newcomer of another role has it at once, past those who wait */
	CHECK(hold_as(pool, 9) == rings[3]);
	give_back(pool, rings[3], IOPOOL_RETURN_CLEAN);

	/* one of the role's own */
	give_back(pool, rings[0], IOPOOL_RETURN_CLEAN);
	CHECK(waiters[0]->granted >= 0);
	CHECK_EQUAL(waiters[1]->granted, IOPOOL_GRANT_PENDING);
	mock_pool_check(pool, 3);

	/* one breaks: there is a free one in its place */
	give_back(pool, rings[1], IOPOOL_RETURN_BROKEN);
	CHECK(waiters[1]->granted >= 0);
	CHECK_EQUAL(waiters[3]->granted, IOPOOL_GRANT_PENDING);
	mock_pool_check(pool, 3);
	dlist_delete(&waiters[3]->node);
	pg_atomic_write_u32(&pool->nwaiting, 0);
}

/* A waiter takes a parked ring over if it may: whose it was, or InvalidOid. */
static Oid
takes_over(IopoolPool *pool, IopoolWaiter *waiter)
{
	bool at_limit = iopool_queue_is_at_limit(pool, waiter);
	IopoolParkedRings left;
	Oid owners[4];
	IopoolRing *ring = NULL;

	for (int i = 0; i < pool->nrings; i++)
		owners[i] = pool->rings[i].sessionid;
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	if (iopool_queue_has_turn(pool, waiter, at_limit))
		ring = take_over(pool, waiter, at_limit, &left);
	if (ring != NULL)
		iopool_queue_leave(pool, waiter);
	LWLockRelease(pool->lock);
	return ring != NULL ? owners[ring - pool->rings] : InvalidOid;
}

/*
 * Parked rings: a role that has its share takes its own and no other's, unless
 * somebody is before it who may have any.
 */
static void
pool_role_parked(int rounds)
{
	IopoolPool *pool = mock_pool_create(2, 4);
	IopoolRing *own = hold_as(pool, 7);
	IopoolRing *others = hold_as(pool, 8);
	IopoolWaiter *first = queue_limited(pool, 0, 7, 1);
	IopoolWaiter *second = queue_limited(pool, 1, 7, 1);
	IopoolWaiter *third = queue_limited(pool, 2, 9, 0);
	IopoolWaiter *last = queue_limited(pool, 3, 9, 0);

	iopool_park(pool, others, iopool_ring_generation(others), true);
	CHECK_EQUAL(takes_over(pool, first), InvalidOid);
	CHECK_EQUAL(takes_over(pool, second), InvalidOid);
	CHECK_EQUAL(takes_over(pool, last), InvalidOid);
	CHECK_EQUAL(takes_over(pool, third), 8);

	iopool_park(pool, own, iopool_ring_generation(own), true);
	CHECK_EQUAL(takes_over(pool, second), InvalidOid);
	CHECK_EQUAL(takes_over(pool, first), 7);
	CHECK_EQUAL(own->sessionid, 7);

	/* the role has lost it to another: its next one may have any again */
	iopool_park(pool, own, iopool_ring_generation(own), true);
	own->sessionid = 8;
	CHECK_EQUAL(takes_over(pool, last), InvalidOid);
	CHECK_EQUAL(takes_over(pool, second), 8);
	dlist_delete(&last->node);
	pg_atomic_write_u32(&pool->nwaiting, 0);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_TAKEOVERS), 3);
	mock_pool_check(pool, 2);
}

/* Waiting counts while it lasts, and no more than once. */
static void
pool_wait_time(int rounds)
{
	IopoolPool *pool = mock_pool_create(1, 4);
	IopoolRing *ring = iopool_pool_lease(pool, IOPOOL_FOREVER);
	IopoolWaiter *waiter = unit_queue_other(pool, 0);
	IopoolPoolUse use;

	waiter->since -= 5000000;
	iopool_pool_use(pool, &use);
	CHECK(use.waited_us >= 5000000 && use.waited_us < 10000000);
	give_back(pool, ring, IOPOOL_RETURN_CLEAN);
	iopool_pool_use(pool, &use);
	CHECK(use.waited_us >= 5000000 && use.waited_us < 10000000);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_CHECKOUT_WAIT_US),
				use.waited_us);
}

const UnitCase unit_pool_cases[] = {
	{"pool_role_limit", pool_role_limit},
	{"pool_role_parked", pool_role_parked},
	{"pool_wait_time", pool_wait_time},
	{"pool_returns", pool_returns},
	{"pool_first_come", pool_first_come},
	{"pool_stop_waiting", pool_stop_waiting},
	{"pool_timeout", pool_timeout},
	{"pool_all_broken", pool_all_broken},
	{NULL, NULL},
};
