/*-------------------------------------------------------------------------
 *
 * project_plan.c
 *	  The plan of a path that reads for calls in the select list or in WHERE.
 *
 * The columns of the custom_scan_tlist are those of the outer plan, and then
 * the calls.  setrefs.c replaces what is equal to a column by a reference to
 * it, wherever the target list and the conditions have it.  It would do the
 * same to custom_exprs, which is why these are only the arguments of the
 * calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "optimizer/restrictinfo.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

/* PlanCustomPath. */
Plan *
iopool_project_plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
						 List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *cscan = makeNode(CustomScan);
	List *calls = list_nth(path->custom_private, IOPOOL_PROJECT_CALLS);
	List *moved = list_nth(path->custom_private, IOPOOL_PROJECT_CLAUSES);
	List *columns = iopool_scan_outer_columns(custom_plans);
	List *args = NIL;
	List *oids = NIL;
	List *functions = NIL;
	ListCell *lc;

	foreach(lc, calls)
	{
		FuncExpr *call = copyObject(lfirst_node(FuncExpr, lc));

		columns =
			lappend(columns,
					makeTargetEntry((Expr *) call, list_length(columns) + 1,
									NULL, false));
		args = lappend(args, copyObject(call->args));
		oids = lappend_oid(oids, call->funcid);
		functions = lappend_int(functions, iopool_scan_identify(call->funcid));
	}

	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual =
		iopool_scan_order_clauses(root, extract_actual_clauses(moved, false));
	cscan->scan.scanrelid = 0;
	cscan->flags = path->flags;
	cscan->custom_plans = custom_plans;
	cscan->custom_exprs = args;
	cscan->custom_private = list_make2(oids, functions);
	cscan->custom_scan_tlist = columns;
	cscan->methods = &iopool_project_methods;
	return &cscan->scan.plan;
}
