/*-------------------------------------------------------------------------
 *
 * check_hooks.c
 *	  The doctor: do hooks of the server get to us?
 *
 * Hooks are chains by agreement.  An extension that is loaded after us, sets one
 * and does not call what it found there leaves everything as it is, but our
 * nodes are in no plan any more.  So a tiny query is planned, and each hook is
 * asked whether it was called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>

#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_namespace.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/hooks.h"
#include "doctor/check.h"
#include "doctor/check_internal.h"

/* A query that has relations, a join and something above them. */
#define TINY_QUERY                                                       \
	"SELECT pg_catalog.count(*) FROM pg_catalog.generate_series(1, 2), " \
	"pg_catalog.generate_series(1, 2) AS b"

/*
 * Libraries that are known to set hooks of the planner without calling what was
 * there: multi_relation_restriction_hook() and multi_join_restriction_hook() of
 * Citus.
 */
static const char *const usurpers[] = {"citus"};

/* The name of a library, without its path and suffix. */
static char *
library_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = pstrdup(slash != NULL ? slash + 1 : path);
	char *suffix = strstr(name, DLSUFFIX);

	if (suffix != NULL && suffix[strlen(DLSUFFIX)] == '\0')
		*suffix = '\0';
	return name;
}

/* Which library has set the hook last? */
static char *
library_of(const void *function)
{
	Dl_info server;
	Dl_info info;

	if (function == NULL || dladdr(function, &info) == 0 ||
		info.dli_fname == NULL)
		return pstrdup("nobody");
	/* the name of the server's own program is what ps(1) shows */
	if (dladdr((const void *) standard_planner, &server) != 0 &&
		info.dli_fbase == server.dli_fbase)
		return pstrdup("postgres");
	return library_name(info.dli_fname);
}

/* Libraries that are preloaded, as a list of char *, in their order. */
static List *
preloaded_libraries(void)
{
	List *libraries = NIL;

	if (shared_preload_libraries_string == NULL ||
		!SplitDirectoriesString(pstrdup(shared_preload_libraries_string), ',',
								&libraries))
		return NIL;
	return libraries;
}

/* As ALTER SYSTEM takes them, with ours behind all others. */
static char *
better_order(void)
{
	StringInfoData order;
	char *own = NULL;
	ListCell *lc;

	initStringInfo(&order);
	foreach(lc, preloaded_libraries())
	{
		char *library = lfirst(lc);

		if (strcmp(library_name(library), "iopool") == 0)
			own = library;
		else
			appendStringInfo(&order, "%s, ", quote_literal_cstr(library));
	}
	appendStringInfoString(&order,
						   quote_literal_cstr(own != NULL ? own : "iopool"));
	return order.data;
}

static char *
order_hint(void)
{
	return psprintf(
		"Load iopool last: ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server.",
		better_order());
}

/*
 * Called once, while shared_preload_libraries are loaded: say so if one of them
 * is loaded after us that is known to switch us off.
 */
void
iopool_check_load_order(void)
{
	bool is_after = false;
	ListCell *lc;

	foreach(lc, preloaded_libraries())
	{
		char *name = library_name(lfirst(lc));

		for (size_t i = 0; is_after && i < lengthof(usurpers); i++)
		{
			if (strcmp(name, usurpers[i]) == 0)
				ereport(LOG,
						(errmsg("iopool cannot read ahead of queries, because \"%s\" is loaded after it",
								name),
						 errdetail("It takes hooks of the planner and does not pass them on."),
						 errhint("%s", order_hint())));
		}
		is_after |= strcmp(name, "iopool") == 0;
	}
}

/* Have each hook called that can be had called. */
static void
call_hooks(void)
{
	SPI_connect();
	if (SPI_execute(TINY_QUERY, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not plan a query");
	SPI_finish();
	/* asks whether a schema may be searched, and does nothing else */
	InvokeNamespaceSearchHook(PG_CATALOG_NAMESPACE, false);
}

/* Add a hook that does not get to us, and who has it. */
static void
append_hook(StringInfo detail, const char *name, const void *function)
{
	appendStringInfo(detail,
					 "%s%s does not reach iopool: \"%s\" has set it last",
					 detail->len > 0 ? "; " : "", name, library_of(function));
}

/* Rows "planner_hooks" and "object_access_hook". */
void
iopool_check_hooks(IopoolCheck *check)
{
	const struct
	{
		const char *name;
		const void *function;
	} hooks[IOPOOL_NUM_HOOKS] = {
		[IOPOOL_HOOK_PLANNER] = {"planner_hook", planner_hook},
		[IOPOOL_HOOK_REL_PATHLIST] = {"set_rel_pathlist_hook",
									  set_rel_pathlist_hook},
		[IOPOOL_HOOK_JOIN_PATHLIST] = {"set_join_pathlist_hook",
									   set_join_pathlist_hook},
		[IOPOOL_HOOK_UPPER_PATHS] = {"create_upper_paths_hook",
									 create_upper_paths_hook},
		[IOPOOL_HOOK_OBJECT_ACCESS] = {"object_access_hook",
									   object_access_hook},
	};
	uint64 before[IOPOOL_NUM_HOOKS];
	StringInfoData planner;
	StringInfoData access;

	memcpy(before, iopool_hook_calls, sizeof(before));
	call_hooks();
	initStringInfo(&planner);
	initStringInfo(&access);
	for (int i = 0; i < IOPOOL_NUM_HOOKS; i++)
	{
		if (iopool_hook_calls[i] == before[i])
			append_hook(i == IOPOOL_HOOK_OBJECT_ACCESS ? &access : &planner,
						hooks[i].name, hooks[i].function);
	}

	if (planner.len == 0)
		iopool_check_put(check, "planner_hooks", IOPOOL_CHECK_OK,
						 "the planner asks iopool for plans that read ahead",
						 NULL);
	else
		iopool_check_put(check, "planner_hooks", IOPOOL_CHECK_WARN,
						 planner.data, order_hint());
	if (access.len == 0)
		iopool_check_put(check, "object_access_hook", IOPOOL_CHECK_OK,
						 "iopool sees who creates and changes directories",
						 NULL);
	else
		iopool_check_put(check, "object_access_hook", IOPOOL_CHECK_FAIL,
						 access.data, order_hint());
}
