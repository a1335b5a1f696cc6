/*-------------------------------------------------------------------------
 *
 * iopool_usurp.c
 *	  Takes hooks of the server and does not pass them on, as some extensions
 *	  do.
 *
 * Setting iopool_usurp.hooks says which: names of the server's variables,
 * separated by spaces.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "fmgr.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
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
							   PGC_POSTMASTER, 0, NULL, NULL, NULL);
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
}
