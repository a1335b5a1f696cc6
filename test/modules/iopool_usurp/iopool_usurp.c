/*-------------------------------------------------------------------------
 *
 * iopool_usurp.c
 *	  Takes hooks of the server and does not pass them on, as some extensions
 *	  do.
 *
 * Setting iopool_usurp.hooks says which: names of the server's variables,
 * separated by spaces.  With "plans_alone", queries are planned without the
 * hooks that others have set for paths.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "fmgr.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "storage/ipc.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *wanted = NULL;

static void
no_rel_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
}

static void
no_join_paths(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
			  RelOptInfo *innerrel, JoinType jointype,
			  JoinPathExtraData *extra)
{
}

static void
no_upper_paths(PlannerInfo *root, UpperRelationKind stage,
			   RelOptInfo *input_rel, RelOptInfo *output_rel, void *extra)
{
}

static void
no_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
		  void *arg)
{
}

static void
no_startup(void)
{
}

/* From 19 on, the planner is told what EXPLAIN wants. */
#if PG_VERSION_NUM >= 190000
#define PLANNER_PARAMS                                   \
	Query *parse, const char *query_string, int options, \
		ParamListInfo params, struct ExplainState *es
#define PLANNER_ARGS parse, query_string, options, params, es
#else
#define PLANNER_PARAMS \
	Query *parse, const char *query_string, int options, ParamListInfo params
#define PLANNER_ARGS parse, query_string, options, params
#endif

static planner_hook_type prev_planner = NULL;

static PlannedStmt *
plan_alone(PLANNER_PARAMS)
{
	set_rel_pathlist_hook_type rel_hook = set_rel_pathlist_hook;
	set_join_pathlist_hook_type join_hook = set_join_pathlist_hook;
	PlannedStmt *result;

	set_rel_pathlist_hook = NULL;
	set_join_pathlist_hook = NULL;
	PG_TRY();
	{
		result = prev_planner != NULL ? prev_planner(PLANNER_ARGS)
									  : standard_planner(PLANNER_ARGS);
	}
	PG_FINALLY();
	{
		set_rel_pathlist_hook = rel_hook;
		set_join_pathlist_hook = join_hook;
	}
	PG_END_TRY();
	return result;
}

static bool
is_wanted(const char *hook)
{
	return strstr(wanted, hook) != NULL;
}

void
_PG_init(void)
{
	DefineCustomStringVariable("iopool_usurp.hooks",
							   "Hooks that are taken, by name.", NULL, &wanted,
							   "set_rel_pathlist_hook set_join_pathlist_hook",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	if (is_wanted("planner_hook"))
		planner_hook = standard_planner;
	if (is_wanted("set_rel_pathlist_hook"))
		set_rel_pathlist_hook = no_rel_paths;
	if (is_wanted("set_join_pathlist_hook"))
		set_join_pathlist_hook = no_join_paths;
	if (is_wanted("create_upper_paths_hook"))
		create_upper_paths_hook = no_upper_paths;
	if (is_wanted("object_access_hook"))
		object_access_hook = no_access;
	if (is_wanted("shmem_startup_hook"))
		shmem_startup_hook = no_startup;
	if (is_wanted("plans_alone"))
	{
		prev_planner = planner_hook;
		planner_hook = plan_alone;
	}
}
