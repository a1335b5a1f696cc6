/*-------------------------------------------------------------------------
 *
 * project_path.c
 *	  Paths that read ahead for calls in the select list and in aggregates.
 *
 * When all paths of a query are made, copies of them are looked through from
 * the top.  Where a target list calls iopool_read(), what is below is made to
 * give what the calls and their neighbours need, and our path on top of it
 * makes the calls and computes the target list, as core's ProjectSet does for
 * functions that return sets.  So whatever stands beside a call, nextval() say,
 * is computed when its row is due.  Where an aggregate's argument calls it, our
 * path computes the argument below the aggregation.
 *
 * The Query is as it was: views, row locks and EvalPlanQual see nothing of
 * this.  Where core computes a target list above a sort and below a LIMIT, so
 * do we.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "optimizer/planner.h"
#include "optimizer/plancat.h"
#include "optimizer/tlist.h"

#include "base/compat.h"
#include "base/hooks.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"

static create_upper_paths_hook_type prev_create_upper_paths = NULL;

/* ------------------------------------------------------------------------
 * Our path
 */

static const CustomPathMethods project_path_methods = {
	.CustomName = "IopoolProject",
	.PlanCustomPath = iopool_project_plan_path,
};

bool
iopool_project_is_path(const Path *path)
{
	return IsA(path, CustomPath) &&
		((const CustomPath *) path)->methods == &project_path_methods;
}

/*
 * A path on top of another; its costs and rows are still those of the other.
 * One of a relation has conditions, and the path that it replaces.
 */
CustomPath *
iopool_project_make_path(PlannerInfo *root, Path *child, PathTarget *target,
						 List *calls, List *clauses, Path *plain)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = child->parent;
	path->path.pathtarget = target;
	path->path.parallel_safe =
		child->parallel_safe && is_parallel_safe(root, (Node *) target->exprs);
	path->path.parallel_workers = child->parallel_workers;
	path->path.rows = child->rows;
	path->path.startup_cost = child->startup_cost;
	path->path.total_cost = child->total_cost;
	path->path.pathkeys = child->pathkeys;
	iopool_path_inherit_disabled(&path->path, child);
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_paths = list_make1(child);
	path->custom_private = list_make3(calls, clauses, plain);
	path->methods = &project_path_methods;
	return path;
}

/* What it saves to read ahead for these calls. */
Cost
iopool_project_saved(PlannerInfo *root, List *calls, double rows)
{
	QualCost cost = {0};
	ListCell *lc;

	foreach(lc, calls)
		add_function_cost(root, lfirst_node(FuncExpr, lc)->funcid, lfirst(lc),
						  &cost);
	return cost.per_tuple * rows * (1 - IOPOOL_SCAN_COST_SHARE);
}

static void
reduce_cost(Path *path, Cost startup, Cost total)
{
	path->startup_cost = Max(path->startup_cost - startup, 0);
	path->total_cost = Max(path->total_cost - total, path->startup_cost);
}

/* ------------------------------------------------------------------------
 * May rows be taken ahead?
 */

/* Would it show that rows of any relation are asked for ahead of time? */
static bool
relations_have_side_effects(PlannerInfo *root)
{
	Relids relids = NULL;
	bool result;

	for (int rti = 1; rti < root->simple_rel_array_size; rti++)
	{
		RelOptInfo *rel = root->simple_rel_array[rti];

		if (rel != NULL && rel->reloptkind == RELOPT_BASEREL)
			relids = bms_add_member(relids, rti);
	}
	result = iopool_scan_relations_have_side_effects(root, relids,
													 bms_membership(relids) ==
														 BMS_MULTIPLE);
	bms_free(relids);
	return result;
}

static List *
conditions_of(const Path *path)
{
	switch (nodeTag(path))
	{
		case T_AggPath:
			return ((const AggPath *) path)->qual;
		case T_GroupPath:
			return ((const GroupPath *) path)->qual;
		default:
			return NIL;
	}
}

/* Would it show that rows of this path are asked for ahead of time? */
static bool
has_side_effects(PlannerInfo *root, Path *path)
{
	while (!iopool_project_is_blocking(path))
	{
		Path **subpath = iopool_project_subpath(path);

		if (iopool_scan_expr_has_side_effects((Node *) path->pathtarget->exprs,
											  root) ||
			iopool_scan_expr_has_side_effects((Node *) conditions_of(path),
											  root) ||
			(IsA(path, WindowAggPath) &&
			 iopool_scan_expr_has_side_effects(
				 (Node *) root->parse->windowClause, root)))
			return true;
		if (iopool_project_is_path(path))
			path = linitial(((CustomPath *) path)->custom_paths);
		else if (subpath != NULL)
			path = *subpath;
		else
			return relations_have_side_effects(root);
	}
	return false;
}

/* Can our path be put on top of this one? */
static bool
is_fit(PlannerInfo *root, Path *path, bool is_exposed)
{
	if (path->param_info != NULL || iopool_project_is_single_row(path) ||
		!iopool_project_is_fit_below(path))
		return false;
	if (is_exposed && iopool_project_goes_backwards(path))
		return false;
	return !has_side_effects(root, path);
}

/* ------------------------------------------------------------------------
 * From the top
 */

static Path *look_through(PlannerInfo *root, Path *path, bool is_exposed);

/* The calls that a path of ours makes. */
static List *
calls_of(const Path *path)
{
	return iopool_project_is_path(path)
		? list_nth(((const CustomPath *) path)->custom_private,
				   IOPOOL_PROJECT_CALLS)
		: NIL;
}

/* What a path can refer to as it comes from below. */
static List *
inputs_of(const Path *path)
{
	/* ours projects, so what is put on top of it can have its calls, too */
	return list_concat_copy(path->pathtarget->exprs, calls_of(path));
}

/*
 * What has to come from below to compute a target.  What an aggregation and
 * others have by a number, they compare, and know as a whole.
 */
static PathTarget *
lower_target(PlannerInfo *root, PathTarget *target, List *whole,
			 bool keeps_numbered)
{
	PathTarget *lowered = create_empty_pathtarget();
	List *needed = NIL;
	int i = 0;
	ListCell *lc;

	foreach(lc, target->exprs)
	{
		Index number = get_pathtarget_sortgroupref(target, i++);
		Expr *expr = lfirst(lc);

		if (keeps_numbered && number != 0 &&
			!iopool_project_has_calls((Node *) expr))
			add_column_to_pathtarget(lowered, expr, number);
		else
			needed = lappend(needed, expr);
	}
	add_new_columns_to_pathtarget(lowered, whole);
	add_new_columns_to_pathtarget(
		lowered,
		pull_var_clause((Node *) needed,
						PVC_INCLUDE_AGGREGATES | PVC_INCLUDE_WINDOWFUNCS |
							PVC_INCLUDE_PLACEHOLDERS));
	return set_pathtarget_cost_width(root, lowered);
}

/*
 * Make these calls over the rows of child, and others whose arguments have
 * their results on top of that.
 */
static Path *
stack_calls(PlannerInfo *root, Path *child, PathTarget *target, List *calls)
{
	for (;;)
	{
		List *inputs = list_concat_copy(inputs_of(child), calls);
		List *next =
			iopool_project_find_calls(root, (Node *) target->exprs, inputs);
		CustomPath *path;

		if (next == NIL)
			return &iopool_project_make_path(root, child, target, calls, NIL,
											 NULL)
						->path;
		path = iopool_project_make_path(
			root, child,
			lower_target(root, target,
						 list_concat_copy(child->pathtarget->exprs, calls),
						 false),
			calls, NIL, NULL);
		child = &path->path;
		calls = next;
	}
}

/*
 * Calls of our path below that a target needs become columns of it, for the
 * one that comes on top.
 */
static Path *
offer_calls(PlannerInfo *root, Path *path, PathTarget *target)
{
	List *needed = NIL;
	ListCell *lc;

	foreach(lc, calls_of(path))
	{
		if (iopool_project_contains((Node *) target->exprs, lfirst(lc)))
			needed = lappend(needed, lfirst(lc));
	}
	if (needed == NIL)
		return path;
	path = iopool_project_copy_path(path);
	path->pathtarget = copy_pathtarget(path->pathtarget);
	add_new_columns_to_pathtarget(path->pathtarget, needed);
	set_pathtarget_cost_width(root, path->pathtarget);
	return path;
}

/* Does a path compute its target, or only pass on what comes from below? */
static bool
computes_target(const Path *path)
{
	switch (nodeTag(path))
	{
		case T_ProjectionPath:
		case T_Path:
		case T_IndexPath:
		case T_BitmapHeapPath:
		case T_TidPath:
		case T_TidRangePath:
		case T_SubqueryScanPath:
		case T_NestPath:
		case T_MergePath:
		case T_HashPath:
		case T_GatherPath:
		case T_GatherMergePath:
		case T_AggPath:
		case T_GroupPath:
		case T_WindowAggPath:
			return true;
		case T_CustomPath:
			return iopool_scan_is_path(path) && !iopool_project_is_path(path);
		default:
			return false;
	}
}

/* Read ahead for the calls in a path's own target, if there are any. */
static Path *
project_target(PlannerInfo *root, Path *path, bool is_exposed)
{
	PathTarget *target = path->pathtarget;
	Path **subpath = iopool_project_subpath(path);
	List *inputs = subpath != NULL ? inputs_of(*subpath) : NIL;
	List *calls;
	Path *child;
	Path *result;

	if (!computes_target(path) || root->parse->hasTargetSRFs)
		return path;
	calls = iopool_project_find_calls(root, (Node *) target->exprs, inputs);
	if (calls == NIL)
		return path;

	if (IsA(path, ProjectionPath))
		child = offer_calls(root, *subpath, target);
	else
	{
		child = iopool_project_copy_path(path);
		child->pathtarget = lower_target(root, target, NIL, subpath != NULL);
		reduce_cost(child, 0,
					(target->cost.per_tuple -
					 child->pathtarget->cost.per_tuple) *
						path->rows);
	}
	if (!is_fit(root, child, is_exposed))
		return path;
	result = stack_calls(root, child, target, calls);
	lfirst(list_nth_cell(((CustomPath *) result)->custom_private,
						 IOPOOL_PROJECT_PLAIN)) = path;
	result->startup_cost = path->startup_cost;
	result->total_cost = path->total_cost;
	reduce_cost(result, 0, iopool_project_saved(root, calls, path->rows));
	return result;
}

/* Our path with another target, made of what it reads. */
static Path *
retarget(const Path *path, PathTarget *target)
{
	Path *copy = iopool_project_copy_path(path);

	copy->pathtarget = target;
	return copy;
}

/* Compute this target over the rows of child, with these calls in it. */
static Path *
compute_target(PlannerInfo *root, Path *child, PathTarget *target, List *calls)
{
	Path *below = child;
	List *others;

	if (IsA(child, ProjectionPath))
		below = ((ProjectionPath *) child)->subpath;
	if (!iopool_project_is_path(below))
		return stack_calls(root, child, target, calls);

	/* conditions have made some of the calls */
	others = list_difference(calls, calls_of(below));
	if (others == NIL)
		return retarget(below, target);
	return stack_calls(root, offer_calls(root, below, target), target, others);
}

/* Read ahead for the arguments of aggregates, if they call for it. */
static Path *
project_arguments(PlannerInfo *root, AggPath *path)
{
	Path *child = path->subpath;
	List *inputs = child->pathtarget->exprs;
	List *exprs = list_concat_copy(path->path.pathtarget->exprs, path->qual);
	List *arguments;
	List *calls;
	PathTarget *target;
	AggPath *result;
	Cost saved;

	/* another aggregation below has made the calls */
	if (DO_AGGSPLIT_COMBINE(path->aggsplit) || root->parse->hasTargetSRFs)
		return &path->path;
	arguments = iopool_project_find_arguments(root, (Node *) exprs, inputs);
	if (arguments == NIL || !is_fit(root, child, false))
		return &path->path;

	calls = iopool_project_find_calls(root, (Node *) arguments, inputs);
	target = copy_pathtarget(child->pathtarget);
	add_new_columns_to_pathtarget(target, arguments);
	set_pathtarget_cost_width(root, target);

	result = (AggPath *) iopool_project_copy_path(&path->path);
	result->subpath = compute_target(root, child, target, calls);
	saved = iopool_project_saved(root, calls, child->rows);
	result->subpath->total_cost +=
		(target->cost.per_tuple - child->pathtarget->cost.per_tuple) *
			child->rows -
		saved;
	reduce_cost(&result->path,
				iopool_project_is_blocking(&path->path) ? saved : 0, saved);
	return &result->path;
}

/* Look through the paths of an Append. */
static List *
look_through_list(PlannerInfo *root, List *paths, bool is_exposed,
				  Cost *startup, Cost *total)
{
	List *result = NIL;
	bool is_changed = false;
	ListCell *lc;

	*startup = *total = 0;
	foreach(lc, paths)
	{
		Path *old = lfirst(lc);
		Path *path = look_through(root, old, is_exposed);

		is_changed |= path != old;
		*startup += old->startup_cost - path->startup_cost;
		*total += old->total_cost - path->total_cost;
		result = lappend(result, path);
	}
	return is_changed ? result : paths;
}

static Path *
look_through_append(PlannerInfo *root, Path *path, bool is_exposed)
{
	bool is_merge = IsA(path, MergeAppendPath);
	Path *copy = iopool_project_copy_path(path);
	List **paths = is_merge ? &((MergeAppendPath *) copy)->subpaths
							: &((AppendPath *) copy)->subpaths;
	List *old = *paths;
	Cost startup;
	Cost total;

	*paths = look_through_list(root, old, is_exposed && !is_merge, &startup,
							   &total);
	if (*paths == old)
		return path;
	reduce_cost(copy, is_merge ? startup : 0, total);
	return copy;
}

/*
 * A path that reads ahead wherever it can, or the same one.  It is exposed if
 * a cursor would go backwards on it.
 */
static Path *
look_through(PlannerInfo *root, Path *path, bool is_exposed)
{
	Path **subpath = iopool_project_subpath(path);

	if (iopool_project_path_size(path) == 0)
		return path;
	if (is_exposed &&
		(iopool_project_is_path(path) || IsA(path, SubqueryScanPath)))
		return iopool_project_plain_path(path);
	if (IsA(path, AppendPath) || IsA(path, MergeAppendPath))
		return look_through_append(root, path, is_exposed);
	if (subpath != NULL)
	{
		Path *old = *subpath;
		Path *below =
			look_through(root, old,
						 is_exposed && iopool_project_is_transparent(path));

		if (below != old)
		{
			bool waits = path->startup_cost >= old->total_cost;
			Cost startup = old->startup_cost - below->startup_cost;
			Cost total = old->total_cost - below->total_cost;

			path = iopool_project_copy_path(path);
			*iopool_project_subpath(path) = below;
			/* a LIMIT does not pay for all of it */
			if (path->total_cost < old->total_cost)
				total *= path->total_cost / old->total_cost;
			reduce_cost(path, waits ? total : startup, total);
		}
	}
	if (IsA(path, AggPath))
		path = project_arguments(root, (AggPath *) path);
	return project_target(root, path, is_exposed);
}

/* create_upper_paths_hook */
static void
project_paths(PlannerInfo *root, UpperRelationKind stage,
			  RelOptInfo *input_rel, RelOptInfo *output_rel, void *extra)
{
	bool is_exposed = iopool_project_is_cursor(root);
	bool has_calls;
	ListCell *lc;

	iopool_hook_reached(IOPOOL_HOOK_UPPER_PATHS);
	if (prev_create_upper_paths != NULL)
		prev_create_upper_paths(root, stage, input_rel, output_rel, extra);
	if (stage != UPPERREL_FINAL || !iopool_enable_stream_scan)
		return;

	has_calls = iopool_project_has_calls((Node *) root->processed_tlist) ||
		iopool_project_has_calls(root->parse->havingQual) ||
		iopool_project_has_calls((Node *) root->parse->jointree);
	if (!has_calls && !is_exposed)
		return;

	foreach(lc, output_rel->pathlist)
		lfirst(lc) = look_through(root, lfirst(lc), is_exposed);
	foreach(lc, output_rel->partial_pathlist)
		lfirst(lc) = look_through(root, lfirst(lc), false);
}

/* Called once, when the library is loaded. */
void
iopool_project_install(void)
{
	RegisterCustomScanMethods(&iopool_project_methods);
	prev_create_upper_paths = create_upper_paths_hook;
	create_upper_paths_hook = project_paths;
	iopool_project_install_rel();
	iopool_project_install_cursor();
}
