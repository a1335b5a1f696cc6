/*-------------------------------------------------------------------------
 *
 * check_rings.c
 *	  Doctor: do the rings work, and are there any left?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "catalog/pg_authid.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/deadline.h"
#include "base/errors.h"
#include "base/role.h"
#include "doctor/check_internal.h"
#include "ring/pool.h"
#include "ring/queue.h"

/*
 * Does the kernel let this process use a pool's rings?  0 or -errno.  Any
 * ring tells, and asking it for nothing does nothing to it.
 */
static int
ping_pool(IopoolPool *pool)
{
	const IopoolMethod *method = iopool_method_get(pool->method);

	if (method->ping == NULL)
		return 0;
	for (int i = 0; i < pool->nrings; i++)
	{
		if (iopool_ring_state(&pool->rings[i]) != IOPOOL_RING_BROKEN)
			return method->ping(pool->rings[i].method_state);
	}
	return 0;
}

/* Rings that are out of service, and rings that this process cannot use. */
void
iopool_check_rings(IopoolCheck *check)
{
	IopoolCheckStatus status = IOPOOL_CHECK_OK;
	const char *hint = NULL;
	StringInfoData detail;

	initStringInfo(&detail);
	for (int p = 0; p < iopool_shared->npools; p++)
	{
		IopoolPool *pool = &iopool_shared->pools[p];
		int nbroken;
		int rc;

		LWLockAcquire(pool->lock, LW_SHARED);
		nbroken = pool->nbroken;
		LWLockRelease(pool->lock);

		appendStringInfo(&detail, "%spool \"%s\": %d of %d rings in service",
						 p > 0 ? ", " : "", pool->name, pool->nrings - nbroken,
						 pool->nrings);
		if (nbroken > 0)
		{
			status = Max(status,
						 nbroken == pool->nrings ? IOPOOL_CHECK_FAIL
												 : IOPOOL_CHECK_WARN);
			hint =
				"The server log says why (grep 'iopool: ring' in it). New rings are made by a restart: pg_ctl restart";
		}

		rc = ping_pool(pool);
		if (rc < 0)
		{
			errno = -rc;
			appendStringInfo(&detail, ", but io_uring_enter failed: %m");
			status = IOPOOL_CHECK_FAIL;
			hint = iopool_check_seccomp_hint(
				iopool_errors_method_hint(pool->method, EPERM),
				"io_uring_setup io_uring_enter io_uring_register");
		}
	}
	iopool_check_put(check, "rings", status, detail.data, hint);
}

/* Who is it, for somebody who may know of this role's sessions? */
static void
append_process(StringInfo detail, int pid, Oid roleid)
{
	if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		has_privs_of_role(GetUserId(), roleid))
		appendStringInfo(detail, "process %d of role \"%s\"", pid,
						 iopool_role_name(roleid));
	else
		appendStringInfoString(detail, "another role's process");
}

/* Every ring of a pool that is held: by whom, and since when? */
static void
append_holders(StringInfo detail, const IopoolRing *rings, int nrings)
{
	int nheld = 0;

	for (int i = 0; i < nrings; i++)
	{
		const IopoolRing *ring = &rings[i];

		if (!iopool_ring_is_leased(unconstify(IopoolRing *, ring)))
			continue;
		appendStringInfo(detail, "%sring %d by ", nheld++ == 0 ? ": " : ", ",
						 i);
		append_process(detail, ring->pid, ring->roleid);
		appendStringInfo(detail, " since %s",
						 timestamptz_to_str(ring->leased_since));
	}
}

/* Who waits for one, and for how long? */
static void
append_waiters(StringInfo detail, IopoolPool *pool)
{
	IopoolWaiter *waiters = palloc(sizeof(IopoolWaiter) * MaxBackends);
	int nwaiters = iopool_queue_waiters(pool, waiters);

	for (int i = 0; i < nwaiters; i++)
	{
		appendStringInfoString(detail, i == 0 ? "; waiting: " : ", ");
		append_process(detail, waiters[i].pid, waiters[i].roleid);
		appendStringInfo(
			detail, " for %lld ms",
			(long long) (iopool_deadline_now() - waiters[i].since) / 1000);
	}
	pfree(waiters);
}

/* Pools whose rings are all held: whoever wants to read has to wait. */
void
iopool_check_leases(IopoolCheck *check)
{
	IopoolCheckStatus status = IOPOOL_CHECK_OK;
	StringInfoData detail;

	initStringInfo(&detail);
	for (int p = 0; p < iopool_shared->npools; p++)
	{
		IopoolPool *pool = &iopool_shared->pools[p];
		IopoolRing *rings = palloc(sizeof(IopoolRing) * pool->nrings);
		int nheld = 0;
		int nbroken;

		LWLockAcquire(pool->lock, LW_SHARED);
		memcpy(rings, pool->rings, sizeof(IopoolRing) * pool->nrings);
		nbroken = pool->nbroken;
		LWLockRelease(pool->lock);

		for (int i = 0; i < pool->nrings; i++)
			nheld += iopool_ring_is_leased(&rings[i]);
		appendStringInfo(&detail, "%spool \"%s\": %d of %d rings held",
						 p > 0 ? "; " : "", pool->name, nheld,
						 pool->nrings - nbroken);
		if (nheld > 0 && nheld == pool->nrings - nbroken)
		{
			status = IOPOOL_CHECK_WARN;
			append_holders(&detail, rings, pool->nrings);
		}
		append_waiters(&detail, pool);
		pfree(rings);
	}
	iopool_check_put(
		check, "leases", status, detail.data,
		"Look again in a while: SELECT * FROM iopool_rings; and iopool_waiters. If it stays so, raise \"iopool.rings\" (or \"rings\" of the pool in \"iopool.pools\") and restart the server, bound what one role takes with \"iopool.max_rings_per_role\", or end the session that hangs: SELECT pg_terminate_backend(pid)");
}
