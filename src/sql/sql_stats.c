/*-------------------------------------------------------------------------
 *
 * sql_stats.c
 *	  SQL functions that show what the pools do: iopool_info(),
 *	  iopool_stat_reset(), and those behind the views.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/utsname.h>

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/os_limits.h"
#include "ring/method.h"
#include "ring/pool.h"
#include "ring/queue.h"
#include "ring/settings.h"
#include "sql/request.h"

/*
 * Columns that are new in a version of the extension are the last, so that the
 * library serves older ones too, which declare fewer.
 */
#define POOLS_COLUMNS	27
#define RINGS_COLUMNS	9
#define WAITERS_COLUMNS 4
#define INFO_COLUMNS	2

IOPOOL_FUNCTION(iopool_stat_pools);
IOPOOL_FUNCTION(iopool_stat_rings);
IOPOOL_FUNCTION(iopool_stat_waiters);
IOPOOL_FUNCTION(iopool_stat_reset);
IOPOOL_FUNCTION(iopool_info);

static const char *const state_names[] = {
	[IOPOOL_RING_FREE] = "free",	  [IOPOOL_RING_ACTIVE] = "leased",
	[IOPOOL_RING_RESTING] = "leased", [IOPOOL_RING_GONE] = "leased",
	[IOPOOL_RING_MOVING] = "leased",  [IOPOOL_RING_DRAINING] = "draining",
	[IOPOOL_RING_BROKEN] = "broken",
};

static void
put_percentile(IopoolStats *stats, double fraction, Datum *value, bool *isnull)
{
	double us = iopool_stats_percentile(stats, fraction);

	*isnull = (us < 0);
	*value = Float8GetDatum(us);
}

/* One row for each pool: configuration, use now, counters. */
Datum
iopool_stat_pools(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	iopool_shmem_require();
	InitMaterializedSRF(fcinfo, 0);

	for (int p = 0; p < iopool_shared->npools; p++)
	{
		IopoolPool *pool = &iopool_shared->pools[p];
		IopoolStats *stats = &pool->stats;
		Datum values[POOLS_COLUMNS];
		bool nulls[POOLS_COLUMNS] = {false};
		IopoolPoolUse use;
		int i = 0;

		iopool_pool_use(pool, &use);

		values[i++] = CStringGetTextDatum(pool->name);
		values[i++] = CStringGetTextDatum(iopool_method_name(pool->method));
		values[i++] = Int32GetDatum(pool->nrings);
		values[i++] = Int32GetDatum(pool->entries);
		values[i++] = Int32GetDatum(use.nin_use);
		values[i++] = Int32GetDatum(use.nwaiting);
		for (int c = 0; c <= IOPOOL_COUNTER_RECLAIMS; c++)
		{
			uint64 count = pg_atomic_read_u64(&stats->counters[c]);

			if (c == IOPOOL_COUNTER_CHECKOUT_WAIT_US)
				values[i++] = Float8GetDatum(use.waited_us / 1000.0);
			else
				values[i++] = Int64GetDatum((int64) count);
		}
		values[i++] =
			Int32GetDatum((int32) pg_atomic_read_u32(&stats->max_in_flight));
		put_percentile(stats, 0.50, &values[i], &nulls[i]);
		i++;
		put_percentile(stats, 0.95, &values[i], &nulls[i]);
		i++;
		put_percentile(stats, 0.99, &values[i], &nulls[i]);
		i++;
		values[i++] = TimestampTzGetDatum(
			(TimestampTz) pg_atomic_read_u64(&stats->reset_at));
		values[i++] = Int32GetDatum(use.nbroken);
		values[i++] = Int64GetDatum((int64) pg_atomic_read_u64(
			&stats->counters[IOPOOL_COUNTER_STALE]));
		values[i++] = Int64GetDatum((int64) pg_atomic_read_u64(
			&stats->counters[IOPOOL_COUNTER_TAKEOVERS]));
		Assert(i == POOLS_COLUMNS);

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}

	/* only now: it changes what is to be shown */
	iopool_request_enter();
	return (Datum) 0;
}

/* A moment of the monotonic clock, in microseconds, as a timestamp. */
static TimestampTz
wall_clock(int64 us)
{
	return GetCurrentTimestamp() - (iopool_deadline_now() - us);
}

static bool
is_parked(IopoolRingState state)
{
	return state == IOPOOL_RING_RESTING || state == IOPOOL_RING_GONE ||
		state == IOPOOL_RING_MOVING;
}

/* One row for each ring; the owner's details as in pg_stat_activity. */
Datum
iopool_stat_rings(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool sees_all;

	iopool_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	sees_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);

	for (int p = 0; p < iopool_shared->npools; p++)
	{
		IopoolPool *pool = &iopool_shared->pools[p];
		IopoolRing *rings = palloc(sizeof(IopoolRing) * pool->nrings);

		/* one consistent picture: the states add up to the configured count */
		LWLockAcquire(pool->lock, LW_SHARED);
		memcpy(rings, pool->rings, sizeof(IopoolRing) * pool->nrings);
		LWLockRelease(pool->lock);

		for (int r = 0; r < pool->nrings; r++)
		{
			IopoolRing *ring = &rings[r];
			Datum values[RINGS_COLUMNS];
			bool nulls[RINGS_COLUMNS] = {false};
			IopoolRingState state = iopool_ring_state(ring);
			bool sees_owner = iopool_ring_is_leased(ring) &&
				(sees_all || has_privs_of_role(GetUserId(), ring->roleid));

			values[0] = CStringGetTextDatum(pool->name);
			values[1] = Int32GetDatum(r);
			values[2] = CStringGetTextDatum(state_names[state]);
			values[3] = Int32GetDatum(ring->pid);
			nulls[3] = !sees_owner;
			values[4] = Int64GetDatum((int64) iopool_ring_generation(ring));
			values[5] =
				Int32GetDatum((int32) pg_atomic_read_u32(&ring->in_flight));
			values[6] =
				Int64GetDatum((int64) pg_atomic_read_u64(&ring->reads));
			values[7] = TimestampTzGetDatum(ring->leased_since);
			nulls[7] = !sees_owner;
			values[8] = TimestampTzGetDatum(
				wall_clock((int64) pg_atomic_read_u64(&ring->parked_at)));
			nulls[8] = !sees_owner || !is_parked(state);

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
								 nulls);
		}
		pfree(rings);
	}

	/* only now: it changes what is to be shown */
	iopool_request_enter();
	return (Datum) 0;
}

/* One row for each backend in line; its details as in pg_stat_activity. */
Datum
iopool_stat_waiters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IopoolWaiter *waiters = palloc(sizeof(IopoolWaiter) * MaxBackends);
	bool sees_all;

	iopool_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	sees_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);

	for (int p = 0; p < iopool_shared->npools; p++)
	{
		IopoolPool *pool = &iopool_shared->pools[p];
		int nwaiters = iopool_queue_waiters(pool, waiters);

		for (int i = 0; i < nwaiters; i++)
		{
			Datum values[WAITERS_COLUMNS];
			bool nulls[WAITERS_COLUMNS] = {false};
			bool sees_waiter =
				sees_all || has_privs_of_role(GetUserId(), waiters[i].roleid);

			values[0] = CStringGetTextDatum(pool->name);
			values[1] = Int32GetDatum(i + 1);
			values[2] = Int32GetDatum(waiters[i].pid);
			values[3] = TimestampTzGetDatum(wall_clock(waiters[i].since));
			nulls[2] = nulls[3] = !sees_waiter;
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
								 nulls);
		}
	}

	iopool_request_enter();
	return (Datum) 0;
}

/* Start the counters of every pool from zero. */
Datum
iopool_stat_reset(PG_FUNCTION_ARGS)
{
	iopool_request_enter();

	for (int p = 0; p < iopool_shared->npools; p++)
		iopool_stats_reset(&iopool_shared->pools[p].stats);
	PG_RETURN_VOID();
}

static void
put_info(ReturnSetInfo *rsinfo, const char *name, const char *value)
{
	Datum values[INFO_COLUMNS];
	bool nulls[INFO_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(value);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static char *
limit_text(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) != 0)
		return pstrdup("unknown");
	return iopool_os_limits_text(limit.rlim_cur);
}

/* How reads are made in the session's pool, by io_mode. */
static const char *
buffered_path(IopoolMethodId method)
{
	return method == IOPOOL_METHOD_LIBAIO
		? "sync (libaio is asynchronous for direct reads only)"
		: iopool_method_name(method);
}

/* What iopool.merge_gap = auto means now in the session's pool. */
static void
put_merge_gaps(ReturnSetInfo *rsinfo)
{
	static const char *const names[IOPOOL_NUM_READ_CLASSES] = {
		[IOPOOL_READS_DIRECT] = "merge_gap_direct",
		[IOPOOL_READS_BUFFERED] = "merge_gap_buffered",
		[IOPOOL_READS_CACHED] = "merge_gap_cached",
	};
	IopoolPool *pool = iopool_shmem_lookup_pool(iopool_pool);

	/* a pool that does not exist is an error of reads, not of this */
	if (pool == NULL)
		pool = &iopool_shared->pools[0];
	for (int i = 0; i < IOPOOL_NUM_READ_CLASSES; i++)
		put_info(rsinfo, names[i],
				 psprintf("%ukB",
						  pg_atomic_read_u32(&pool->stats.gaps[i]) / 1024));
}

/* What runs here, and why: pairs of name and value. */
Datum
iopool_info(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IopoolPool *pool;
	struct utsname kernel;
	int nrings = 0;

	iopool_request_enter();
	InitMaterializedSRF(fcinfo, 0);

	pool = &iopool_shared->pools[0];
	for (int p = 0; p < iopool_shared->npools; p++)
		nrings += iopool_shared->pools[p].nrings;

	put_info(rsinfo, "version", IOPOOL_VERSION);
	put_info(rsinfo, "method", iopool_method_name(pool->method));
	put_info(rsinfo, "method_configured", iopool_method_name(iopool_method));
	put_info(rsinfo, "method_reason", iopool_shared->method_reason);
	put_info(rsinfo, "method_buffered", buffered_path(pool->method));
	put_info(rsinfo, "method_direct", iopool_method_name(pool->method));
	put_info(rsinfo, "methods_compiled", iopool_method_compiled_list());
	put_info(rsinfo, "kernel",
			 uname(&kernel) == 0 ? kernel.release : "unknown");
#ifdef IOPOOL_WITH_LIBURING
	put_info(rsinfo, "liburing", iopool_method_io_uring_library());
#else
	put_info(rsinfo, "liburing", "no");
#endif
#ifdef IOPOOL_WITH_LIBAIO
	put_info(rsinfo, "libaio", iopool_method_libaio_library());
#else
	put_info(rsinfo, "libaio", "no");
#endif
	put_info(rsinfo, "pools", psprintf("%d", iopool_shared->npools));
	put_info(rsinfo, "rings_total", psprintf("%d", nrings));
	put_merge_gaps(rsinfo);
	put_info(rsinfo, "limit_memlock", limit_text(RLIMIT_MEMLOCK));
	put_info(rsinfo, "limit_nofile", limit_text(RLIMIT_NOFILE));
	return (Datum) 0;
}
