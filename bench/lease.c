/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  The benchmark's loop that leases a ring and gives it back.
 *
 * iopool_bench_lease(pool text, begin_at timestamptz, seconds float8)
 * RETURNS bigint
 *		Waits until begin_at, so that several backends begin together, and
 *		returns how many leases there were until so many seconds later.  A
 *		backend that comes late has less time than the others.
 *
 * It is linked with the engine's own objects into a library that a server
 * preloads in place of iopool: see start_lease_server() in bench/peers.sh.
 * What is measured is what a stream does around its reads, without a read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "../src/compat.h"
#include "../src/lease.h"
#include "../src/shmem.h"

/* Leases between two looks at the clock, which costs as much as a part of one */
#define LEASES_PER_LOOK 64

IOPOOL_FUNCTION(iopool_bench_lease);

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

			iopool_lease_hold(lease);
			PG_TRY();
			{
				is_ready = iopool_lease_ready(lease, IOPOOL_FOREVER);
			}
			PG_CATCH();
			{
				iopool_lease_drop(lease, true);
				PG_RE_THROW();
			}
			PG_END_TRY();
			iopool_lease_drop(lease, false);
			if (!is_ready)
				elog(ERROR, "there is no ring");
			nleases++;
		}
	}
	PG_RETURN_INT64(nleases);
}
