/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  The benchmark's loops that lease a ring: and give it back, or park it
 *	  and take it over from each other.
 *
 * iopool_bench_lease(pool text, begin_at timestamptz, seconds float8)
 * RETURNS bigint
 *		Waits until begin_at, so that several backends begin together, and
 *		returns how many leases there were until so many seconds later.  A
 *		backend that comes late has less time than the others.
 *
 * iopool_bench_take_over(pool text, begin_at timestamptz, seconds float8)
 * RETURNS bigint
 *		For two backends and a pool of one ring: each comes back to the ring
 *		when the other one has parked it, finds it lost, takes it over and parks
 *		it.  Returns how often this backend has done so.
 *
 * They are linked with the engine's own objects into a library that a server
 * preloads in place of iopool: see start_lease_server() in bench/peers.sh.
 * What is measured is what a stream does around its reads, without a read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sched.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/s_lock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "ring/lease_internal.h"
#include "ring/shmem.h"

/* Leases between two looks at the clock, which costs as much as a part of one */
#define LEASES_PER_LOOK 64

/* Looks at the ring before the other backend may have the processor */
#define LOOKS_PER_YIELD 1000

IOPOOL_FUNCTION(iopool_bench_lease);
IOPOOL_FUNCTION(iopool_bench_take_over);

static void
wait_until(TimestampTz begin_at)
{
	while (GetCurrentTimestamp() < begin_at)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(100);
	}
}

Datum
iopool_bench_lease(PG_FUNCTION_ARGS)
{
	const char *pool = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TimestampTz begin_at = PG_GETARG_TIMESTAMPTZ(1);
	TimestampTz end_at =
		begin_at + (int64) (PG_GETARG_FLOAT8(2) * USECS_PER_SEC);
	IopoolLease *lease;
	int64 nleases = 0;

	iopool_shmem_require();
	lease = iopool_lease_of(iopool_shmem_find_pool(pool));
	wait_until(begin_at);

	while (GetCurrentTimestamp() < end_at)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < LEASES_PER_LOOK; i++)
		{
			bool is_ready;

			iopool_lease_add_user(lease);
			PG_TRY();
			{
				is_ready = iopool_lease_ready(lease, IOPOOL_FOREVER);
			}
			PG_CATCH();
			{
				iopool_lease_remove_user(lease, true);
				PG_RE_THROW();
			}
			PG_END_TRY();
			iopool_lease_remove_user(lease, false);
			if (!is_ready)
				elog(ERROR, "there is no ring");
			nleases++;
		}
	}
	PG_RETURN_INT64(nleases);
}

/* Has the other backend parked the ring, or not leased it yet? */
static bool
is_to_be_had(const IopoolLease *lease, IopoolRing *ring)
{
	IopoolRingState state = iopool_ring_state(ring);

	if (lease->ring != NULL &&
		iopool_ring_generation(ring) == lease->generation)
		return false;
	return state == IOPOOL_RING_GONE || state == IOPOOL_RING_FREE;
}

/* False: the other backend did not park the ring before end_at. */
static bool
wait_for_ring(const IopoolLease *lease, IopoolRing *ring, TimestampTz end_at)
{
	for (;;)
	{
		for (int i = 0; i < LOOKS_PER_YIELD; i++)
		{
			if (is_to_be_had(lease, ring))
				return true;
			SPIN_DELAY();
		}
		CHECK_FOR_INTERRUPTS();
		if (GetCurrentTimestamp() >= end_at)
			return false;
		(void) sched_yield();
	}
}

/*
 * Come back to a ring that is lost, get it, and leave it for long.  False: the
 * other backend was faster, when the ring was free at the start.
 */
static bool
take_over(IopoolLease *lease)
{
	if (iopool_lease_enter(lease))
		elog(ERROR, "the ring was not lost");
	if (!iopool_lease_ready(lease, IOPOOL_NO_WAIT))
		return false;
	/* the other backend waits until it is GONE */
	if (!iopool_lease_enter(lease))
		elog(ERROR, "the ring was taken by a third backend");
	iopool_lease_leave(lease, true);
	return true;
}

Datum
iopool_bench_take_over(PG_FUNCTION_ARGS)
{
	const char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TimestampTz begin_at = PG_GETARG_TIMESTAMPTZ(1);
	TimestampTz end_at =
		begin_at + (int64) (PG_GETARG_FLOAT8(2) * USECS_PER_SEC);
	volatile int64 ntaken = 0;
	IopoolPool *pool;
	IopoolLease *lease;

	iopool_shmem_require();
	pool = iopool_shmem_find_pool(name);
	if (pool->nrings != 1)
		elog(ERROR, "pool \"%s\" has not one ring", name);
	lease = iopool_lease_of(pool);
	wait_until(begin_at);

	iopool_lease_add_user(lease);
	PG_TRY();
	{
		while (ntaken % LEASES_PER_LOOK != 0 || GetCurrentTimestamp() < end_at)
		{
			CHECK_FOR_INTERRUPTS();
			if (!wait_for_ring(lease, &pool->rings[0], end_at))
				break;
			if (take_over(lease))
				ntaken++;
		}
	}
	PG_CATCH();
	{
		iopool_lease_remove_user(lease, true);
		PG_RE_THROW();
	}
	PG_END_TRY();
	iopool_lease_remove_user(lease, false);
	PG_RETURN_INT64(ntaken);
}
