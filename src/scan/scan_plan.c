/*-------------------------------------------------------------------------
 *
 * scan_plan.c
 *	  The plan of a path that reads in the place of a function scan.
 *
 * The node is no scan of one relation for the executor (scanrelid is 0): all
 * expressions refer to its custom_scan_tlist, which has what the outer plan
 * gives and those columns of the function that somebody needs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

/* The entry of the outer plan that gives the value of a Var, or NULL. */
Expr *
iopool_scan_find_outer(List *exprs, Node *node)
{
	ListCell *lc;

	foreach(lc, exprs)
	{
		Node *expr = (Node *) lfirst(lc);

		if (IsA(node, Var) && IsA(expr, Var) &&
			((Var *) expr)->varno == ((Var *) node)->varno &&
			((Var *) expr)->varattno == ((Var *) node)->varattno)
			return (Expr *) expr;
		if (IsA(node, PlaceHolderVar) && IsA(expr, PlaceHolderVar) &&
			((PlaceHolderVar *) expr)->phid == ((PlaceHolderVar *) node)->phid)
			return (Expr *) expr;
	}
	return NULL;
}

/*
 * Refer to the outer plan's own Vars: from 16 on, those of a lateral reference
 * may tell otherwise which outer joins they come from.
 */
static Node *
use_outer_mutator(Node *node, void *exprs)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) || IsA(node, PlaceHolderVar))
	{
		Expr *found = iopool_scan_find_outer(exprs, node);

		return found != NULL ? copyObject((Node *) found) : node;
	}
	return expression_tree_mutator(node, use_outer_mutator, exprs);
}

/* What the outer plan gives, as the first columns of a custom_scan_tlist. */
List *
iopool_scan_outer_columns(List *custom_plans)
{
	/* no linitial_node(): no plan's own tag is that of its abstract type */
	Plan *outer_plan = linitial(custom_plans);
	List *columns = NIL;
	ListCell *lc;

	foreach(lc, outer_plan->targetlist)
		columns =
			lappend(columns,
					makeTargetEntry(copyObject(
										lfirst_node(TargetEntry, lc)->expr),
									list_length(columns) + 1, NULL, false));
	return columns;
}

/*
 * Add the function's columns that these expressions refer to.  One column may
 * come as different Vars, see use_outer_mutator().
 */
static void
add_columns(Node *node, Index rti, List **tlist, List **info)
{
	List *vars =
		pull_var_clause(node,
						PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
							PVC_RECURSE_PLACEHOLDERS);
	ListCell *lc;

	foreach(lc, vars)
	{
		Var *var = lfirst_node(Var, lc);

		if (var->varno != (int) rti || tlist_member((Expr *) var, *tlist))
			continue;
		*tlist =
			lappend(*tlist,
					makeTargetEntry((Expr *) copyObject(var),
									list_length(*tlist) + 1, NULL, false));
		*info = lappend(*info, makeInteger(var->varattno));
	}
}

/* The clauses that cost least first, as the planner orders those of its nodes. */
List *
iopool_scan_order_clauses(PlannerInfo *root, List *clauses)
{
	List *ordered = NIL;
	ListCell *lc;

	foreach(lc, clauses)
	{
		QualCost cost;
		int place = list_length(ordered);

		cost_qual_eval_node(&cost, (Node *) lfirst(lc), root);
		for (; place > 0; place--)
		{
			QualCost other;

			cost_qual_eval_node(&other, list_nth(ordered, place - 1), root);
			if (other.per_tuple <= cost.per_tuple)
				break;
		}
		ordered = list_insert_nth(ordered, place, lfirst(lc));
	}
	return ordered;
}

/* PlanCustomPath, of both kinds of node. */
Plan *
iopool_scan_plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
					  List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *cscan = makeNode(CustomScan);
	List *private = path->custom_private;
	Index rti = intVal(list_nth(private, IOPOOL_PATH_RTI));
	FuncExpr *call =
		copyObject(list_nth_node(FuncExpr, private, IOPOOL_PATH_CALL));
	List *info = copyObject((List *) list_nth(private, IOPOOL_PATH_INFO));
	List *scan_tlist = NIL;
	List *quals;

	quals = extract_actual_clauses(clauses, false);
	if (rel->reloptkind != RELOPT_BASEREL)
	{
		/* a nested loop's scan looks at its conditions before the join does */
		RelOptInfo *innerrel = root->simple_rel_array[rti];

		quals = iopool_scan_order_clauses(
			root, extract_actual_clauses(innerrel->baserestrictinfo, false));
		quals = list_concat(
			quals,
			iopool_scan_order_clauses(
				root,
				extract_actual_clauses(list_nth(private, IOPOOL_PATH_CLAUSES),
									   false)));
	}

	if (custom_plans != NIL)
	{
		scan_tlist = iopool_scan_outer_columns(custom_plans);
		call =
			(FuncExpr *) use_outer_mutator((Node *) call,
										   get_tlist_exprs(scan_tlist, true));
	}
	/* the final target list may come later; it is made of these columns */
	add_columns((Node *) rel->reltarget->exprs, rti, &scan_tlist, &info);
	add_columns((Node *) tlist, rti, &scan_tlist, &info);
	add_columns((Node *) quals, rti, &scan_tlist, &info);

	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual = quals;
	cscan->scan.scanrelid = 0;
	cscan->flags = path->flags;
	cscan->custom_plans = custom_plans;
	cscan->custom_exprs = list_make1(call);
	cscan->custom_private = info;
	cscan->custom_scan_tlist = scan_tlist;
	cscan->methods =
		custom_plans != NIL ? &iopool_lateral_methods : &iopool_scan_methods;
	return &cscan->scan.plan;
}
