/*-------------------------------------------------------------------------
 *
 * check.c
 *	  The doctor, iopool_check(): what could be wrong around iopool, and what
 *	  to do about it.
 *
 * Each check measures something now, in the backend that asks, and reports
 * one row or more: a fact that somebody can act on, with the same name on
 * every machine.  A check that fails is a row and never an error, so no check
 * raises for what the kernel says; nothing is written, and nothing outlives
 * the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "doctor/check.h"
#include "base/compat.h"
#include "base/deadline.h"
#include "base/errors.h"
#include "ring/settings.h"
#include "ring/pool.h"
#include "sql/request.h"

#define CHECK_COLUMNS 4

IOPOOL_FUNCTION(iopool_check);

static void check_method(IopoolCheck *check);
static void check_rings(IopoolCheck *check);
static void check_leases(IopoolCheck *check);
static void check_libraries(IopoolCheck *check);

/* In the order of the rows. */
static void (*const checks[])(IopoolCheck *check) = {
	check_method,
	iopool_check_io_uring,
	iopool_check_libaio,
	check_rings,
	check_leases,
	iopool_check_memlock,
	iopool_check_nofile,
	iopool_check_aio_max_nr,
	iopool_check_openat2,
	iopool_check_statx,
	iopool_check_directories,
	check_libraries,
};

static const char *const status_names[] = {
	[IOPOOL_CHECK_OK] = "ok",
	[IOPOOL_CHECK_WARN] = "warn",
	[IOPOOL_CHECK_FAIL] = "fail",
};

/* Report a row.  The hint is for what is not "ok", which has to have one. */
void
iopool_check_put(IopoolCheck *check, const char *name,
				 IopoolCheckStatus status, const char *detail,
				 const char *hint)
{
	Datum values[CHECK_COLUMNS];
	bool nulls[CHECK_COLUMNS] = {false};

	Assert(status == IOPOOL_CHECK_OK || hint != NULL);
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(status_names[status]);
	values[2] = CStringGetTextDatum(detail);
	nulls[3] = (status == IOPOOL_CHECK_OK);
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(hint);
	tuplestore_putvalues(check->rsinfo->setResult, check->rsinfo->setDesc,
						 values, nulls);
}

static void
raise_demand(IopoolDemand *demand, IopoolDemand to)
{
	*demand = Max(*demand, to);
}

/* "auto" asks for each method up to the one that it took. */
static void
find_demand(IopoolCheck *check)
{
	int poolno = 0;
	ListCell *lc;

	foreach(lc, check->configs)
	{
		IopoolPoolConfig *config = lfirst(lc);
		IopoolMethodId taken = iopool_shared->pools[poolno++].method;

		if (config->method != IOPOOL_METHOD_AUTO)
		{
			raise_demand(&check->demand[config->method], IOPOOL_DEMAND_NAMED);
			continue;
		}
		for (IopoolMethodId id = IOPOOL_METHOD_IO_URING; id <= taken; id++)
			raise_demand(&check->demand[id], IOPOOL_DEMAND_AUTO);
	}
}

/* What keeps the pools of "auto" from io_uring now, as advice. */
static const char *
fallback_hint(IopoolCheck *check)
{
	const char *hint = iopool_check_io_uring_hint(check);

	if (hint == NULL)
		hint = iopool_check_memlock_hint(check);
	if (hint == NULL)
		hint = iopool_check_nofile_hint(check);
	if (hint == NULL)
		hint =
			"Nothing is in the way of io_uring now. Restart the server to use it: pg_ctl restart";
	return hint;
}

/* Which method each pool has, and whether it is the best that "auto" knows. */
static void
check_method(IopoolCheck *check)
{
	IopoolCheckStatus status = IOPOOL_CHECK_OK;
	StringInfoData detail;
	int poolno = 0;
	ListCell *lc;

	initStringInfo(&detail);
	foreach(lc, check->configs)
	{
		IopoolPoolConfig *config = lfirst(lc);
		IopoolPool *pool = &iopool_shared->pools[poolno++];

		appendStringInfo(&detail, "%spool \"%s\" uses %s%s",
						 detail.len > 0 ? ", " : "", pool->name,
						 iopool_method_name(pool->method),
						 config->method == IOPOOL_METHOD_AUTO
							 ? ", chosen by auto"
							 : "");
		if (config->method == IOPOOL_METHOD_AUTO &&
			pool->method != IOPOOL_METHOD_IO_URING)
			status = IOPOOL_CHECK_WARN;
	}
	if (status != IOPOOL_CHECK_OK)
		appendStringInfo(&detail, "; at the server's start: %s",
						 iopool_shared->method_reason);

	iopool_check_put(check, "method", status, detail.data,
					 status == IOPOOL_CHECK_OK ? NULL : fallback_hint(check));
}

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
static void
check_rings(IopoolCheck *check)
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
						 GetUserNameFromId(roleid, true));
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
	int nwaiters = iopool_pool_waiters(pool, waiters);

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
static void
check_leases(IopoolCheck *check)
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

/* Libraries at build time and now. */
static void
check_libraries(IopoolCheck *check)
{
	IopoolCheckStatus status = IOPOOL_CHECK_OK;
	StringInfoData detail;

	initStringInfo(&detail);
#ifdef IOPOOL_WITH_LIBURING
	{
		const char *built = iopool_method_io_uring_library();
		int built_major = 0;
		int built_minor = 0;
		int major;
		int minor;

		appendStringInfo(&detail, "built with liburing %s, ", built);
		(void) sscanf(built, "%d.%d", &built_major, &built_minor);
		if (!iopool_method_io_uring_runs(&major, &minor))
			appendStringInfoString(
				&detail,
				"running with one before 2.4 (it does not tell its version)");
		else
		{
			appendStringInfo(&detail, "running with %d.%d", major, minor);
			if (major < built_major ||
				(major == built_major && minor < built_minor))
				status = IOPOOL_CHECK_WARN;
		}
	}
#else
	appendStringInfoString(&detail, "built without liburing");
#endif
#ifdef IOPOOL_WITH_LIBAIO
	appendStringInfoString(&detail,
						   "; built with libaio, which tells no version");
#else
	appendStringInfoString(&detail, "; built without libaio");
#endif

	iopool_check_put(
		check, "libraries", status, detail.data,
		"Install the liburing that iopool was built with, or build iopool again: make clean && make && make install");
}

/*
 * iopool_check() RETURNS SETOF (check_name text, status text, detail text,
 * hint text)
 *
 * The status is "ok", "warn" or "fail", see IopoolCheckStatus; detail is what
 * was measured, hint how to mend it (NULL when "ok").  Raises 55000 when the
 * library is not preloaded, and nothing for a check that fails.
 */
Datum
iopool_check(PG_FUNCTION_ARGS)
{
	IopoolCheck check = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};

	iopool_request_enter();
	InitMaterializedSRF(fcinfo, 0);

	check.configs = iopool_guc_pool_configs();
	find_demand(&check);
	iopool_method_io_uring_examine(&check.uring);

	for (size_t i = 0; i < lengthof(checks); i++)
	{
		CHECK_FOR_INTERRUPTS();
		checks[i](&check);
	}
	return (Datum) 0;
}
