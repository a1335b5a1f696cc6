/*-------------------------------------------------------------------------
 *
 * scan_path.c
 *	  Paths that read in the place of function scans.
 *
 * Two hooks of the planner offer paths beside its own, and cost decides:
 *
 * - for iopool_read_batch(), iopool_read_files() and iopool_list() in FROM, a
 *   scan that hands out rows as they come, and so for iopool_fetch() and
 *   iopool_fetch_next();
 * - for a join with LATERAL iopool_read() or iopool_read_batch(), a node that
 *   takes outer rows ahead and reads for many of them at once.
 *
 * What they cannot do exactly as the plain plan does is left to that: whole-row
 * references and row locks (EvalPlanQual wants the function's row back), joins
 * other than INNER and LEFT ... ON true, and whatever would show that outer
 * rows are taken ahead, which is volatile functions and row locks below.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/hooks.h"
#include "ring/settings.h"
#include "scan/scan.h"
#include "scan/scan_internal.h"

static set_rel_pathlist_hook_type prev_set_rel_pathlist = NULL;
static set_join_pathlist_hook_type prev_set_join_pathlist = NULL;

/* ------------------------------------------------------------------------
 * What can be taken over
 */

/* Does an expression refer to the function's row as a whole? */
static bool
has_whole_row(Node *node, Index rti)
{
	Bitmapset *attnos = NULL;
	int first;

	pull_varattnos(node, rti, &attnos);
	first = bms_next_member(attnos, -1);
	return first >= 0 && first + FirstLowInvalidHeapAttributeNumber <= 0;
}

/* Does anything in this expression do more than look at its Vars? */
static bool
has_other_than_vars(List *exprs)
{
	ListCell *lc;

	foreach(lc, exprs)
	{
		if (!IsA(lfirst(lc), Var))
			return true;
	}
	return false;
}

/*
 * Parameters that change while the query runs; the values of its own
 * sub-selects are computed once.
 */
static bool
has_changing_param(Node *node, void *context)
{
	PlannerInfo *root = context;
	Param *param = (Param *) node;

	if (node == NULL)
		return false;
	if (!IsA(node, Param))
		return expression_tree_walker(node, has_changing_param, context);
	if (param->paramkind != PARAM_EXEC)
		return false;

	for (; root != NULL; root = root->parent_root)
	{
		ListCell *lc;

		foreach(lc, root->init_plans)
		{
			SubPlan *subplan = lfirst_node(SubPlan, lc);

			if (list_member_int(subplan->setParam, param->paramid))
				return false;
		}
	}
	return true;
}

/* Is this query run once for each row of another one? */
static bool
is_correlated(PlannerInfo *root)
{
	for (; root->parent_root != NULL; root = root->parent_root)
	{
		if (root->parent_root->plan_params != NIL)
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Paths
 */

static const CustomPathMethods scan_path_methods = {
	.CustomName = "IopoolScan",
	.PlanCustomPath = iopool_scan_plan_path,
};

static const CustomPathMethods lateral_path_methods = {
	.CustomName = "IopoolLateral",
	.PlanCustomPath = iopool_scan_plan_path,
};

/* Is this a path of ours, which is a CustomPath and nothing more? */
bool
iopool_scan_is_path(const Path *path)
{
	const CustomPathMethods *methods;

	if (!IsA(path, CustomPath))
		return false;
	methods = ((const CustomPath *) path)->methods;
	return methods == &scan_path_methods || methods == &lateral_path_methods ||
		iopool_project_is_path(path);
}

/* A call of one of our functions in FROM. */
typedef struct FoundCall
{
	FuncExpr *call;
	IopoolScanFunction function;
	Index rti;
} FoundCall;

/* A join with such a call, as the planner asks for its paths. */
typedef struct LateralJoin
{
	PlannerInfo *root;
	RelOptInfo *joinrel;
	RelOptInfo *outerrel;
	RelOptInfo *innerrel; /* the call */
	JoinType jointype;
	List *restrictlist;
	FoundCall found;
} LateralJoin;

static CustomPath *
make_path(RelOptInfo *rel, const CustomPathMethods *methods,
		  const FoundCall *found, List *clauses, bool is_left)
{
	CustomPath *path = makeNode(CustomPath);
	List *info =
		list_make2(makeInteger(found->function), makeInteger(is_left));

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.rows = rel->rows;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_private =
		list_make4(found->call, clauses, info, makeInteger(found->rti));
	path->methods = methods;
	return path;
}

/* Arguments that must not be computed ahead, or that read by themselves. */
static bool
has_unfit_arguments(const FoundCall *found, PlannerInfo *root)
{
	Node *args = (Node *) found->call->args;

	return contain_volatile_functions(args) ||
		iopool_scan_expr_has_side_effects(args, root);
}

/*
 * Can the rows of a request be handed out one by one?  They can be had only
 * once, so this must not be scanned again with the same arguments: it is all
 * that the query has in FROM, or that and what it takes the request from, and
 * not a cursor's, which could go back.
 */
static bool
may_take_rows(PlannerInfo *root, RelOptInfo *rel, FuncExpr *call)
{
	int nothers = bms_num_members(rel->lateral_relids);

	if (root->parent_root != NULL || iopool_project_is_cursor(root) ||
		nothers > 1 || bms_num_members(root->all_baserels) != 1 + nothers)
		return false;
	/* or it may be only its columns that depend on the other one */
	return bms_equal(pull_varnos(root, (Node *) call->args),
					 rel->lateral_relids);
}

/*
 * Can a call in FROM, whose rows are to be wanted more than once or not, be
 * made with these arguments by a node?
 */
static bool
is_fit_for_scan(PlannerInfo *root, RelOptInfo *rel, const FoundCall *found)
{
	if (iopool_scan_is_fetch(found->function))
		return may_take_rows(root, rel, found->call);
	/* one row has nothing to stream */
	if (iopool_scan_is_single(found->function))
		return false;
	/* add_lateral_paths() has something better than a call after the other */
	if (found->function != IOPOOL_SCAN_LIST &&
		!bms_is_empty(rel->lateral_relids))
		return false;
	/* scanned again, it may make the call again, whose arguments are others */
	if (has_unfit_arguments(found, root))
		return false;
	/* its rows are wanted again and again, and nothing would change */
	return !is_correlated(root) ||
		has_changing_param((Node *) found->call, root);
}

/* set_rel_pathlist_hook: functions in FROM that return rows. */
static void
add_scan_path(PlannerInfo *root, RelOptInfo *rel, Index rti,
			  RangeTblEntry *rte)
{
	FoundCall found = {.rti = rti};
	CustomPath *path;
	Path *plain;
	QualCost qual_cost;

	iopool_hook_reached(IOPOOL_HOOK_REL_PATHLIST);
	if (prev_set_rel_pathlist != NULL)
		prev_set_rel_pathlist(root, rel, rti, rte);

	if (!iopool_enable_stream_scan || rte->rtekind != RTE_FUNCTION ||
		rel->reloptkind != RELOPT_BASEREL || rel->pathlist == NIL ||
		root->rowMarks != NIL)
		return;
	found.call = iopool_scan_call_of(rte, &found.function);
	if (found.call == NULL || !is_fit_for_scan(root, rel, &found))
		return;
	if (has_whole_row((Node *) rel->reltarget->exprs, rti) ||
		has_whole_row((Node *) extract_actual_clauses(rel->baserestrictinfo,
													  false),
					  rti))
		return;

	/* no row is copied, and the first comes before the last is read */
	plain = linitial(rel->pathlist);
	path = make_path(rel, &scan_path_methods, &found, NIL, false);
	path->path.param_info = plain->param_info;
	path->path.rows = plain->rows;
	cost_qual_eval(&qual_cost, rel->baserestrictinfo, root);
	path->path.parallel_safe = rel->consider_parallel;
	path->path.startup_cost = qual_cost.startup +
		rel->reltarget->cost.startup +
		random_page_cost * IOPOOL_SCAN_COST_SHARE;
	path->path.startup_cost =
		Min(path->path.startup_cost, plain->startup_cost);
	path->path.total_cost =
		plain->total_cost - cpu_tuple_cost * 0.5 * rel->tuples;
	path->path.total_cost =
		Max(path->path.total_cost, path->path.startup_cost);
	add_path(rel, &path->path);
}

/* Does a condition keep the join from being read ahead for? */
static bool
has_unfit_condition(const LateralJoin *join)
{
	Index rti = join->innerrel->relid;
	ListCell *lc;

	/* LEFT ... ON true; other conditions decide what is a match */
	if (join->jointype == JOIN_LEFT && join->innerrel->baserestrictinfo != NIL)
		return true;
	foreach(lc, join->restrictlist)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (rinfo->pseudoconstant || rinfo->security_level > 0 ||
			(join->jointype == JOIN_LEFT &&
			 !RINFO_IS_PUSHED_DOWN(rinfo, join->joinrel->relids)))
			return true;
		if (has_whole_row((Node *) rinfo->clause, rti))
			return true;
	}
	foreach(lc, join->innerrel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (rinfo->pseudoconstant || rinfo->security_level > 0 ||
			has_whole_row((Node *) rinfo->clause, rti))
			return true;
	}
	return false;
}

/* Can this join be read ahead for?  Then join->found is what to call. */
static bool
find_lateral_call(LateralJoin *join)
{
	PlannerInfo *root = join->root;
	RelOptInfo *innerrel = join->innerrel;
	FoundCall *found = &join->found;
	ListCell *lc;

	if ((join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT) ||
		innerrel->reloptkind != RELOPT_BASEREL ||
		innerrel->rtekind != RTE_FUNCTION ||
		bms_is_empty(innerrel->lateral_relids) ||
		!bms_is_subset(innerrel->lateral_relids, join->outerrel->relids) ||
		!bms_is_empty(join->joinrel->lateral_relids) || root->rowMarks != NIL)
		return false;
	found->rti = innerrel->relid;
	found->call = iopool_scan_call_of(root->simple_rte_array[innerrel->relid],
									  &found->function);
	/* the files of a directory are one after the other, whoever asks */
	if (found->call == NULL || !iopool_scan_reads(found->function) ||
		has_unfit_arguments(found, root) || has_unfit_condition(join))
		return false;

	/* what is to be computed below the join is not */
	if (has_other_than_vars(innerrel->reltarget->exprs) ||
		has_whole_row((Node *) innerrel->reltarget->exprs, innerrel->relid) ||
		has_whole_row((Node *) join->joinrel->reltarget->exprs,
					  innerrel->relid))
		return false;

	foreach(lc,
			pull_var_clause((Node *) found->call->args,
							PVC_INCLUDE_PLACEHOLDERS))
	{
		if (iopool_scan_find_outer(join->outerrel->reltarget->exprs,
								   lfirst(lc)) == NULL)
			return false;
	}
	return !iopool_scan_relations_have_side_effects(root,
													join->outerrel->relids,
													true);
}

/* A path that joins one path of the outer relation with the function. */
static CustomPath *
make_lateral_path(const LateralJoin *join, Path *outer)
{
	PlannerInfo *root = join->root;
	RelOptInfo *joinrel = join->joinrel;
	Path *inner = join->innerrel->cheapest_total_path;
	List *clauses =
		list_concat_copy(join->restrictlist, join->innerrel->baserestrictinfo);
	CustomPath *path =
		make_path(joinrel, &lateral_path_methods, &join->found,
				  join->restrictlist, join->jointype == JOIN_LEFT);
	double nrows = outer->rows * join->innerrel->rows;
	double call_cost = inner->total_cost * IOPOOL_SCAN_COST_SHARE;
	QualCost qual_cost;

	cost_qual_eval(&qual_cost, clauses, root);
	path->path.startup_cost = outer->startup_cost + call_cost +
		qual_cost.startup + joinrel->reltarget->cost.startup;
	path->path.total_cost = outer->total_cost + call_cost * outer->rows +
		qual_cost.startup + (cpu_tuple_cost + qual_cost.per_tuple) * nrows +
		joinrel->reltarget->cost.startup +
		joinrel->reltarget->cost.per_tuple * joinrel->rows;
	path->path.total_cost =
		Max(path->path.total_cost, path->path.startup_cost);
	path->path.pathkeys =
		build_join_pathkeys(root, joinrel, join->jointype, outer->pathkeys);
	path->path.parallel_safe =
		joinrel->consider_parallel && outer->parallel_safe;
	path->custom_paths = list_make1(outer);
	iopool_path_inherit_disabled(&path->path, outer);
	return path;
}

/*
 * What the planner takes for a rescan of a function scan is handing its rows
 * out once more.  With lateral arguments it is another call, which reads: say
 * so, or joins would read first and throw away what they have read.
 */
static List *
take_plain_paths(List **paths, RelOptInfo *innerrel)
{
	List *taken = NIL;
	ListCell *lc;

	foreach(lc, *paths)
	{
		JoinPath *path = (JoinPath *) lfirst(lc);
		double nrescans;

		if (!IsA(path, NestPath) || path->innerjoinpath->parent != innerrel ||
			path->innerjoinpath->pathtype != T_FunctionScan)
			continue;
		nrescans = Max(path->outerjoinpath->rows - 1, 0);
		path->path.total_cost += nrescans * path->innerjoinpath->startup_cost;
		taken = lappend(taken, path);
		*paths = foreach_delete_current(*paths, lc);
	}
	return taken;
}

/*
 * The planner takes a function for one that gives the same rows for the same
 * arguments, and may put a cache above it.  A function scan escapes that by its
 * cost; so a scan of ours that can be had only once is left without.
 */
static void
drop_caches(List *paths)
{
	ListCell *lc;

	foreach(lc, paths)
	{
		NestPath *path = lfirst(lc);
		MemoizePath *cache;
		const CustomPath *scan;

		if (!IsA(path, NestPath) ||
			!IsA(path->jpath.innerjoinpath, MemoizePath))
			continue;
		cache = (MemoizePath *) path->jpath.innerjoinpath;
		scan = (const CustomPath *) cache->subpath;
		if (IsA(scan, CustomPath) && scan->methods == &scan_path_methods)
			path->jpath.innerjoinpath = cache->subpath;
	}
}

/* set_join_pathlist_hook: LATERAL calls, read for many outer rows at once. */
static void
add_lateral_paths(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
				  RelOptInfo *innerrel, JoinType jointype,
				  JoinPathExtraData *extra)
{
	LateralJoin join = {
		.root = root,
		.joinrel = joinrel,
		.outerrel = outerrel,
		.innerrel = innerrel,
		.jointype = jointype,
		.restrictlist = extra->restrictlist,
	};
	ListCell *lc;

	iopool_hook_reached(IOPOOL_HOOK_JOIN_PATHLIST);
	if (prev_set_join_pathlist != NULL)
		prev_set_join_pathlist(root, joinrel, outerrel, innerrel, jointype,
							   extra);
	if (!iopool_enable_stream_scan)
		return;
	drop_caches(joinrel->pathlist);
	drop_caches(joinrel->partial_pathlist);
	if (!find_lateral_call(&join))
		return;

	foreach(lc, take_plain_paths(&joinrel->pathlist, innerrel))
		add_path(joinrel, lfirst(lc));
	foreach(lc, outerrel->pathlist)
	{
		Path *outer = lfirst(lc);

		if (outer->param_info == NULL)
			add_path(joinrel, (Path *) make_lateral_path(&join, outer));
	}

	if (!joinrel->consider_parallel || !innerrel->consider_parallel)
		return;
	foreach(lc, take_plain_paths(&joinrel->partial_pathlist, innerrel))
		add_partial_path(joinrel, lfirst(lc));
	foreach(lc, outerrel->partial_pathlist)
	{
		Path *outer = lfirst(lc);
		CustomPath *path;

		if (outer->param_info != NULL || !outer->parallel_safe)
			continue;
		path = make_lateral_path(&join, outer);
		path->path.parallel_workers = outer->parallel_workers;
		path->path.rows = clamp_row_est(joinrel->rows * outer->rows /
										clamp_row_est(outerrel->rows));
		add_partial_path(joinrel, &path->path);
	}
}

/* Called once, when the library is loaded. */
void
iopool_scan_install(void)
{
	RegisterCustomScanMethods(&iopool_scan_methods);
	RegisterCustomScanMethods(&iopool_lateral_methods);
	prev_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_scan_path;
	prev_set_join_pathlist = set_join_pathlist_hook;
	set_join_pathlist_hook = add_lateral_paths;
	iopool_project_install();
}
