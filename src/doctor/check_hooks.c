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
#include "common/string.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "utils/builtins.h"
#include "utils/guc_tables.h"
#include "utils/plancache.h"
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

/* A hook that does not get to us, and who has set it last. */
typedef struct TakenHook
{
	const char *name;
	char *path;			 /* of the library; NULL: the server, or nobody */
	const char *library; /* its name */
} TakenHook;

/* The name of a library, without its path and suffix. */
static char *
library_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = pstrdup(slash != NULL ? slash + 1 : path);

	if (pg_str_endswith(name, DLSUFFIX))
		name[strlen(name) - strlen(DLSUFFIX)] = '\0';
	return name;
}

static TakenHook
taken_hook(const char *name, const void *function)
{
	TakenHook hook = {.name = name, .library = "nobody"};
	Dl_info server;
	Dl_info info;

	if (function == NULL || dladdr(function, &info) == 0 ||
		info.dli_fname == NULL)
		return hook;
	/* the name of the server's own program is what ps(1) shows */
	if (dladdr((const void *) standard_planner, &server) != 0 &&
		info.dli_fbase == server.dli_fbase)
	{
		hook.library = "postgres";
		return hook;
	}
	hook.path = pstrdup(info.dli_fname);
	hook.library = library_name(hook.path);
	return hook;
}

/* Has a hook that is not called been set by us? */
static bool
is_own(const TakenHook *hook)
{
	return strcmp(hook->library, "iopool") == 0;
}

/* ------------------------------------------------------------------------
 * The order of libraries
 */

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

static bool
is_preloaded(const char *name)
{
	ListCell *lc;

	foreach(lc, preloaded_libraries())
	{
		if (strcmp(library_name(lfirst(lc)), name) == 0)
			return true;
	}
	return false;
}

/* Is ours the last of them? */
static bool
is_last(void)
{
	List *libraries = preloaded_libraries();

	return libraries != NIL &&
		strcmp(library_name(llast(libraries)), "iopool") == 0;
}

/* These libraries with ours behind all others, and one more unless it is NULL. */
static List *
better_order(char *more)
{
	List *order = NIL;
	char *own = pstrdup("iopool");
	ListCell *lc;

	foreach(lc, preloaded_libraries())
	{
		char *library = lfirst(lc);

		if (strcmp(library_name(library), "iopool") == 0)
			own = library;
		else
			order = lappend(order, library);
	}
	if (more != NULL)
		order = lappend(order, more);
	return lappend(order, own);
}

/* The same as the value of the setting, which SplitDirectoriesString() takes. */
static char *
order_value(List *order)
{
	StringInfoData value;
	ListCell *lc;

	initStringInfo(&value);
	foreach(lc, order)
	{
		const char *library = lfirst(lc);

		if (value.len > 0)
			appendStringInfoString(&value, ", ");
		if (strpbrk(library, " ,\"") == NULL)
		{
			appendStringInfoString(&value, library);
			continue;
		}
		appendStringInfoChar(&value, '"');
		for (const char *c = library; *c != '\0'; c++)
		{
			if (*c == '"')
				appendStringInfoChar(&value, '"');
			appendStringInfoChar(&value, *c);
		}
		appendStringInfoChar(&value, '"');
	}
	return value.data;
}

/* The same for ALTER SYSTEM, which takes a list of strings. */
static char *
order_strings(List *order)
{
	StringInfoData strings;
	ListCell *lc;

	initStringInfo(&strings);
	foreach(lc, order)
		appendStringInfo(&strings, "%s%s", strings.len > 0 ? ", " : "",
						 quote_literal_cstr(lfirst(lc)));
	return strings.data;
}

/* Does the server's command line set the order?  Then no file can. */
static bool
is_order_on_command_line(void)
{
	int nvariables;
	struct config_generic **variables = iopool_guc_variables(&nvariables);

	for (int i = 0; i < nvariables; i++)
	{
		if (strcmp(variables[i]->name, "shared_preload_libraries") == 0)
			return variables[i]->source == PGC_S_ARGV;
	}
	return false;
}

/* How to have the server load these libraries, in this order. */
static char *
order_advice(List *order, bool server_runs)
{
	if (is_order_on_command_line())
		return psprintf(
			"start the server with -c shared_preload_libraries='%s' on its command line",
			order_value(order));
	if (!server_runs)
		return psprintf("shared_preload_libraries = '%s'",
						escape_single_quotes_ascii(order_value(order)));
	return psprintf(
		"ALTER SYSTEM SET shared_preload_libraries = %s; then restart the server",
		order_strings(order));
}

/*
 * Called once, while shared_preload_libraries are loaded: say so if one of them
 * is loaded after us that is known to switch us off.
 *
 * Citus itself does not load after a library that has set planner_hook, as ours
 * has.  It stops the server right after this, and does not name the library.
 */
void
iopool_check_load_order(void)
{
	bool is_loaded[lengthof(usurpers)] = {false};
	bool is_after = false;
	ListCell *lc;

	foreach(lc, preloaded_libraries())
	{
		char *name = library_name(lfirst(lc));

		for (size_t i = 0; i < lengthof(usurpers); i++)
		{
			if (is_loaded[i] || strcmp(name, usurpers[i]) != 0)
				continue;
			is_loaded[i] = true;
			if (is_after)
				ereport(LOG,
						(errmsg("iopool cannot read ahead of queries, because \"%s\" is loaded after it",
								name),
						 errdetail("It takes hooks of the planner and does not pass them on."),
						 errhint("Load iopool last: %s.",
								 order_advice(better_order(NULL), false))));
		}
		is_after |= strcmp(name, "iopool") == 0;
	}
}

/* ------------------------------------------------------------------------
 * The hooks
 */

/*
 * Have each hook called that can be had called.  The query is not run: that
 * would take rights, and show in what other extensions log.
 */
static void
call_hooks(void)
{
	SPIPlanPtr plan;
	CachedPlan *planned = NULL;

	SPI_connect();
	plan = SPI_prepare(TINY_QUERY, 0, NULL);
	if (plan != NULL)
		planned = SPI_plan_get_cached_plan(plan);
	if (planned == NULL)
		elog(ERROR, "could not plan a query");
	ReleaseCachedPlan(planned, NULL);
	SPI_finish();
	/* asks whether a schema may be searched, and does nothing else */
	InvokeNamespaceSearchHook(PG_CATALOG_NAMESPACE, false);
}

/* What is wrong with these hooks. */
static char *
hooks_detail(const TakenHook *hooks, int nhooks)
{
	StringInfoData detail;

	initStringInfo(&detail);
	for (int i = 0; i < nhooks; i++)
	{
		if (i > 0)
			appendStringInfoString(&detail, "; ");
		if (is_own(&hooks[i]))
			appendStringInfo(&detail, "%s is not called", hooks[i].name);
		else
			appendStringInfo(
				&detail, "%s does not reach iopool: \"%s\" has set it last",
				hooks[i].name, hooks[i].library);
	}
	return detail.data;
}

/* How to mend it. */
static char *
hooks_hint(const TakenHook *hooks, int nhooks)
{
	bool has_order = !is_last();

	for (int i = 0; i < nhooks; i++)
	{
		/* session_preload_libraries, LOAD, or a function in it was called */
		if (hooks[i].path != NULL && !is_own(&hooks[i]) &&
			!is_preloaded(hooks[i].library))
			return psprintf("Load \"%s\" with the server, before iopool: %s.",
							hooks[i].library,
							order_advice(better_order(hooks[i].path), true));
		has_order &= !is_own(&hooks[i]);
	}
	/* set later than all are loaded, or passed over in another way */
	if (!has_order)
		return pstrdup(
			"No order of shared_preload_libraries mends this. Do without that extension, or without what iopool does in its hooks.");
	return psprintf("Load iopool last: %s.",
					order_advice(better_order(NULL), true));
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
	TakenHook planner[IOPOOL_NUM_HOOKS];
	int nplanner = 0;

	memcpy(before, iopool_hook_calls, sizeof(before));
	call_hooks();
	for (int i = 0; i < IOPOOL_HOOK_OBJECT_ACCESS; i++)
	{
		if (iopool_hook_calls[i] == before[i])
			planner[nplanner++] = taken_hook(hooks[i].name, hooks[i].function);
	}

	if (nplanner == 0)
		iopool_check_put(check, "planner_hooks", IOPOOL_CHECK_OK,
						 "the planner asks iopool for plans that read ahead",
						 NULL);
	else
		iopool_check_put(check, "planner_hooks", IOPOOL_CHECK_WARN,
						 hooks_detail(planner, nplanner),
						 hooks_hint(planner, nplanner));
	if (iopool_hook_calls[IOPOOL_HOOK_OBJECT_ACCESS] !=
		before[IOPOOL_HOOK_OBJECT_ACCESS])
		iopool_check_put(check, "object_access_hook", IOPOOL_CHECK_OK,
						 "iopool sees who creates and changes directories",
						 NULL);
	else
	{
		TakenHook access =
			taken_hook("object_access_hook", object_access_hook);

		iopool_check_put(check, "object_access_hook", IOPOOL_CHECK_FAIL,
						 hooks_detail(&access, 1), hooks_hint(&access, 1));
	}
}
