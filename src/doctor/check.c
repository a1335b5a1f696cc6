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

#include "base/compat.h"
#include "base/deadline.h"
#include "base/errors.h"
#include "doctor/check_internal.h"
#include "engine/enter.h"
#include "ring/pool.h"
#include "ring/pool_config.h"
#include "ring/settings.h"

IOPOOL_FUNCTION(iopool_check);

static void check_method(IopoolCheck *check);
static void check_libraries(IopoolCheck *check);

/* In the order of the rows. */
static void (*const checks[])(IopoolCheck *check) = {
	check_method,		 iopool_check_io_uring,	   iopool_check_libaio,
	iopool_check_rings,	 iopool_check_leases,	   iopool_check_memlock,
	iopool_check_nofile, iopool_check_aio_max_nr,  iopool_check_openat2,
	iopool_check_statx,	 iopool_check_directories, iopool_check_hooks,
	check_libraries,
};

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

	iopool_enter();
	InitMaterializedSRF(fcinfo, 0);

	check.configs = iopool_pool_config_list();
	find_demand(&check);
	iopool_method_io_uring_examine(&check.uring);

	for (size_t i = 0; i < lengthof(checks); i++)
	{
		CHECK_FOR_INTERRUPTS();
		checks[i](&check);
	}
	return (Datum) 0;
}
