/*-------------------------------------------------------------------------
 *
 * project_rel.c
 *	  Paths that read ahead for calls in WHERE.
 *
 * Each path of a relation with such a condition gets ours on top, which looks
 * at the condition in its place.  A path's conditions are those of its
 * relation when the plan is made, so the path below is a copy, whose relation
 * is a copy without the condition.
 *
 * The condition is then looked at after all others.  It must not be if another
 * one has a higher security level, which has to come after it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"

#include "base/compat.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"

static set_rel_pathlist_hook_type prev_set_rel_pathlist = NULL;

/* A relation with conditions that read. */
typedef struct ReadingRel
{
	PlannerInfo *root;
	RelOptInfo *rel;
	List *moved; /* RestrictInfos that are looked at above */
	List *calls; /* in the first of these */
	RelOptInfo *below;
	PathTarget *target;		 /* what comes from below */
	Selectivity selectivity; /* of the conditions */
	QualCost cost;			 /* of these */
} ReadingRel;

/*
 * Conditions that can be looked at above, and the calls that are made for them
 * ahead of time.  These are of the condition that is looked at first: where it
 * is false, the others are not to read, or fail.
 */
static void
find_conditions(ReadingRel *reading)
{
	List *clauses = reading->rel->baserestrictinfo;
	Index level = 0;
	List *ordered;
	ListCell *lc;

	foreach(lc, clauses)
		level = Max(level, lfirst_node(RestrictInfo, lc)->security_level);
	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (rinfo->pseudoconstant || rinfo->security_level < level ||
			!iopool_project_has_calls((Node *) rinfo->clause))
			continue;
		reading->moved = lappend(reading->moved, rinfo);
	}
	if (reading->moved == NIL)
		return;
	ordered = iopool_scan_order_clauses(reading->root,
										extract_actual_clauses(reading->moved,
															   false));
	reading->calls =
		iopool_project_find_calls(reading->root, linitial(ordered), NIL);
	/* in the order of the plain plan, they are all above or all below */
	if (reading->calls == NIL)
		reading->moved = NIL;
}

/* The relation without these conditions. */
static RelOptInfo *
relation_below(const ReadingRel *reading)
{
	RelOptInfo *below = makeNode(RelOptInfo);
	ListCell *lc;

	memcpy(below, reading->rel, sizeof(RelOptInfo));
	below->baserestrictinfo = NIL;
	foreach(lc, reading->rel->baserestrictinfo)
	{
		/* constants are looked at above all of it */
		if (!lfirst_node(RestrictInfo, lc)->pseudoconstant &&
			!list_member_ptr(reading->moved, lfirst(lc)))
			below->baserestrictinfo =
				lappend(below->baserestrictinfo, lfirst(lc));
	}
	return below;
}

static IndexOptInfo *
index_below(const ReadingRel *reading, const IndexOptInfo *index)
{
	IndexOptInfo *below = makeNode(IndexOptInfo);

	memcpy(below, index, sizeof(IndexOptInfo));
	below->indrestrictinfo =
		list_difference_ptr(index->indrestrictinfo, reading->moved);
	return below;
}

/* Is it known how the plan of this path gets its conditions? */
static bool
is_fit(const Path *path)
{
	if (path->param_info != NULL || iopool_project_is_single_row(path))
		return false;
	switch (nodeTag(path))
	{
		case T_Path:
			return path->pathtype != T_WorkTableScan;
		case T_IndexPath:
		case T_BitmapHeapPath:
		case T_TidPath:
		case T_TidRangePath:
		case T_SubqueryScanPath:
			return true;
		case T_CustomPath:
			return iopool_scan_is_path(path) && !iopool_project_is_path(path);
		default:
			return false;
	}
}

/* The path with ours on top of it. */
static Path *
read_above(const ReadingRel *reading, Path *path)
{
	Path *below = iopool_project_copy_path(path);
	CustomPath *result;

	below->parent = reading->below;
	below->pathtarget = reading->target;
	below->rows = clamp_row_est(path->rows / reading->selectivity);
	below->total_cost =
		Max(path->total_cost - reading->cost.per_tuple * below->rows,
			path->startup_cost);
	if (IsA(below, IndexPath))
		((IndexPath *) below)->indexinfo =
			index_below(reading, ((IndexPath *) below)->indexinfo);

	result =
		iopool_project_make_path(reading->root, below, reading->rel->reltarget,
								 reading->calls, reading->moved, path);
	result->path.parent = reading->rel;
	result->path.rows = path->rows;
	result->path.total_cost =
		Max(path->total_cost -
				iopool_project_saved(reading->root, reading->calls,
									 below->rows),
			path->startup_cost);
	return &result->path;
}

/* set_rel_pathlist_hook */
static void
read_for_conditions(PlannerInfo *root, RelOptInfo *rel, Index rti,
					RangeTblEntry *rte)
{
	ReadingRel reading = {.root = root, .rel = rel};
	List *vars;
	ListCell *lc;

	if (prev_set_rel_pathlist != NULL)
		prev_set_rel_pathlist(root, rel, rti, rte);
	if (!iopool_enable_stream_scan || rte->inh || IS_DUMMY_REL(rel))
		return;
	find_conditions(&reading);
	if (reading.calls == NIL)
		return;
	reading.below = relation_below(&reading);
	if (iopool_scan_relation_has_side_effects(
			root, rti, reading.below->baserestrictinfo) ||
		iopool_scan_expr_has_side_effects((Node *) rel->reltarget->exprs,
										  root))
		return;

	reading.target = copy_pathtarget(rel->reltarget);
	vars =
		pull_var_clause((Node *) extract_actual_clauses(reading.moved, false),
						PVC_INCLUDE_PLACEHOLDERS);
	add_new_columns_to_pathtarget(reading.target, vars);
	set_pathtarget_cost_width(root, reading.target);
	reading.selectivity =
		clauselist_selectivity(root, reading.moved, 0, JOIN_INNER, NULL);
	cost_qual_eval(&reading.cost, reading.moved, root);

	foreach(lc, rel->pathlist)
	{
		if (is_fit(lfirst(lc)))
			lfirst(lc) = read_above(&reading, lfirst(lc));
	}
	foreach(lc, rel->partial_pathlist)
	{
		if (is_fit(lfirst(lc)))
			lfirst(lc) = read_above(&reading, lfirst(lc));
	}
}

/* Called once, when the library is loaded. */
void
iopool_project_install_rel(void)
{
	prev_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = read_for_conditions;
}
