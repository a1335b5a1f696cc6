/*-------------------------------------------------------------------------
 *
 * project_cursor.c
 *	  Queries of cursors, which may be asked to go backwards.
 *
 * A cursor can go backwards, unless it says NO SCROLL or locks its rows, over
 * a sort or a scan of a table that has nothing but LIMIT and sub-selects above
 * it.  Our node cannot, so it leaves these as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "optimizer/planner.h"

#include "base/compat.h"
#include "base/hooks.h"
#include "scan/scan_internal.h"

static planner_hook_type prev_planner = NULL;

/* Is it the query of a cursor, which may go backwards, that is planned? */
static bool is_cursor = false;

/* planner_hook: only to know what the query is for. */
static PlannedStmt *
plan_query(IOPOOL_PLANNER_PARAMS)
{
	bool was_cursor = is_cursor;
	PlannedStmt *result;

	iopool_hook_reached(IOPOOL_HOOK_PLANNER);
	/* what DECLARE, and PL/pgSQL's OPEN and FOR ... IN cursor, ask for */
	is_cursor = (cursor_options & CURSOR_OPT_FAST_PLAN) != 0 &&
		(cursor_options & CURSOR_OPT_NO_SCROLL) == 0;
	PG_TRY();
	{
		result = prev_planner != NULL ? prev_planner(IOPOOL_PLANNER_ARGS)
									  : standard_planner(IOPOOL_PLANNER_ARGS);
	}
	PG_FINALLY();
	{
		is_cursor = was_cursor;
	}
	PG_END_TRY();
	return result;
}

/* Is this such a query, and not a part of one? */
bool
iopool_project_is_cursor(const PlannerInfo *root)
{
	return is_cursor && root->parent_root == NULL &&
		root->parse->rowMarks == NIL;
}

/* Is it a plan that can go backwards, with its projection? */
bool
iopool_project_goes_backwards(const Path *path)
{
	while (IsA(path, ProjectionPath))
		path = ((const ProjectionPath *) path)->subpath;
	switch (nodeTag(path))
	{
		case T_Path:
		case T_IndexPath:
		case T_TidPath:
		case T_BitmapHeapPath:
		case T_TidRangePath:
		case T_SubqueryScanPath:
		case T_ForeignPath:
		case T_AppendPath:
		case T_SortPath:
		case T_MaterialPath:
			return true;
		default:
			return false;
	}
}

/* Does a cursor's query that has this on top go backwards as what is below? */
bool
iopool_project_is_transparent(const Path *path)
{
	return IsA(path, LimitPath) || IsA(path, ProjectionPath) ||
		IsA(path, LockRowsPath) || IsA(path, AppendPath);
}

static Path *
plain_append(Path *path)
{
	AppendPath *copy = (AppendPath *) iopool_project_copy_path(path);
	List *plain = NIL;
	ListCell *lc;

	foreach(lc, copy->subpaths)
		plain = lappend(plain, iopool_project_plain_path(lfirst(lc)));
	copy->subpaths = plain;
	return &copy->path;
}

/* The path that reads row by row, of one in the query of a cursor. */
Path *
iopool_project_plain_path(Path *path)
{
	Path **subpath = NULL;
	Path *plain;

	while (iopool_project_is_path(path))
		path = list_nth(((CustomPath *) path)->custom_private,
						IOPOOL_PROJECT_PLAIN);
	if (IsA(path, AppendPath))
		return plain_append(path);
	if (IsA(path, SubqueryScanPath))
		subpath = &((SubqueryScanPath *) path)->subpath;
	else if (iopool_project_is_transparent(path))
		subpath = iopool_project_subpath(path);
	if (subpath == NULL)
		return path;
	plain = iopool_project_plain_path(*subpath);
	if (plain == *subpath)
		return path;
	path = iopool_project_copy_path(path);
	if (IsA(path, SubqueryScanPath))
		((SubqueryScanPath *) path)->subpath = plain;
	else
		*iopool_project_subpath(path) = plain;
	return path;
}

/* Called once, when the library is loaded. */
void
iopool_project_install_cursor(void)
{
	prev_planner = planner_hook;
	planner_hook = plan_query;
}
