/*-------------------------------------------------------------------------
 *
 * test_pool.c
 *	  White-box tests of pool.c: what a second backend would do is done here
 *	  by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "../../../src/pool.c"
#include "../../../src/park.c"

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
		(void) iopool_pool_checkout(pool, IOPOOL_FOREVER);
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
	IopoolParkedRings left;
	IopoolRing *ring;

	/* all of them have rested */
	for (int i = 0; i < pool->nrings; i++)
		pg_atomic_write_u64(&pool->rings[i].parked_at, 0);

	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	ring = take_over(pool, &left);
	if (ring != NULL)
	{
		IopoolHandle handle = {.shared = ring->method_state,
							   .entries = pool->entries};

		/* looks whether it is empty */
		mock_method.detach(&handle);
		give_ring(ring, MyProcPid + 1, (iopool_my_proc_number() + 1) % 2, 0);
		CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_ACTIVE);
		CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), 0);
		for (int i = 0; i < pool->entries; i++)
			CHECK_EQUAL(ring->tags[i], 0);
		pass_ring_on(pool, ring);
	}
	LWLockRelease(pool->lock);
	return ring != NULL;
}

/* Whatever is returned, by whom and how often: every ring is there once. */
static void
pool_returns(int rounds)
{
	IopoolPool *pool = mock_pool_create(3, 4);
	IopoolRing *first = iopool_pool_checkout(pool, IOPOOL_FOREVER);
	IopoolRing *second = iopool_pool_checkout(pool, IOPOOL_FOREVER);
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
	CHECK(iopool_pool_checkout(pool, IOPOOL_FOREVER) == first);
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
	IopoolRing *ring = iopool_pool_checkout(pool, IOPOOL_FOREVER);
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
	IopoolRing *ring = iopool_pool_checkout(pool, IOPOOL_FOREVER);
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
	IopoolRing *ring = iopool_pool_checkout(pool, IOPOOL_FOREVER);

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
		rings[i] = iopool_pool_checkout(pool, IOPOOL_FOREVER);
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

const UnitCase unit_pool_cases[] = {
	{"pool_returns", pool_returns},
	{"pool_first_come", pool_first_come},
	{"pool_stop_waiting", pool_stop_waiting},
	{"pool_timeout", pool_timeout},
	{"pool_all_broken", pool_all_broken},
	{NULL, NULL},
};
