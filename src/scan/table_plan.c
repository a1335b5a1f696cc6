/*-------------------------------------------------------------------------
 *
 * table_plan.c
 *	  Plans of foreign tables over directories.
 *
 * Conditions that need no data decide before a file is opened.  Those that do,
 * and whatever must not be computed ahead of its row or out of its turn, are
 * left to the executor, which looks at them when the row comes out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "scan/table_internal.h"

/* Files of a directory that ANALYZE has not seen. */
#define DEFAULT_NFILES 1000

/*
 * Widest data, in bytes, as far as the planner has to know: it is more than any
 * memory for sorts and hashes, and the planner adds up widths of many columns
 * as 32-bit integers.
 */
#define MAX_WIDTH (16 * 1024 * 1024)

/* Cost of a file that is listed, in those of a tuple. */
#define LISTED_TUPLES 4

/* What the planner knows of a table, in rel->fdw_private. */
typedef struct TableRel
{
	IopoolTable *table;
	double nfiles;
	double npages; /* of the data of a file */
	bool reads;	   /* data is wanted */
} TableRel;

/* Does an expression use the data of a file, or the row as a whole? */
static bool
uses_data(const IopoolTable *table, Index rti, Node *node)
{
	const AttrNumber wanted[] = {0, table->attnos[IOPOOL_TABLE_DATA]};
	Bitmapset *attnos = NULL;

	if (table->attnos[IOPOOL_TABLE_DATA] == 0)
		return false;
	pull_varattnos(node, rti, &attnos);
	for (size_t i = 0; i < lengthof(wanted); i++)
	{
		if (bms_is_member(wanted[i] - FirstLowInvalidHeapAttributeNumber,
						  attnos))
			return true;
	}
	return false;
}

/* Can a clause decide before the file is opened? */
static bool
is_early(const TableRel *info, PlannerInfo *root, RelOptInfo *rel,
		 const RestrictInfo *rinfo)
{
	Node *clause = (Node *) rinfo->clause;

	if (rinfo->security_level > rel->baserestrict_min_security &&
		!rinfo->leakproof)
		return false;
	return !uses_data(info->table, rel->relid, clause) &&
		!contain_volatile_functions(clause) &&
		!iopool_scan_expr_has_side_effects(clause, root);
}

/* The clauses (RestrictInfos) that can, or the others. */
static List *
select_clauses(const TableRel *info, PlannerInfo *root, RelOptInfo *rel,
			   List *clauses, bool wants_early)
{
	List *selected = NIL;
	ListCell *lc;

	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (!rinfo->pseudoconstant &&
			is_early(info, root, rel, rinfo) == wants_early)
			selected = lappend(selected, rinfo);
	}
	return selected;
}

/* Is data among what a scan gives, or what its conditions look at? */
static bool
reads_data(const IopoolTable *table, RelOptInfo *rel)
{
	ListCell *lc;

	if (uses_data(table, rel->relid, (Node *) rel->reltarget->exprs))
		return true;
	foreach(lc, rel->baserestrictinfo)
	{
		if (uses_data(table, rel->relid,
					  (Node *) lfirst_node(RestrictInfo, lc)->clause))
			return true;
	}
	return false;
}

/* Data is as wide as the files are long, which no statistics of it say. */
static void
set_data_width(RelOptInfo *rel, const TableRel *info)
{
	AttrNumber attno = info->table->attnos[IOPOOL_TABLE_DATA];
	int32 *width;
	int32 new_width;
	Bitmapset *attnos = NULL;

	if (attno == 0)
		return;
	width = &rel->attr_widths[attno - rel->min_attr];
	new_width = (int32) Min(info->npages * BLCKSZ, (double) MAX_WIDTH);
	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attnos);
	if (bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, attnos))
		rel->reltarget->width += new_width - *width;
	*width = new_width;
}

/* GetForeignRelSize */
void
iopool_table_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	Relation relation = table_open(relid, NoLock);
	TableRel *info = palloc0(sizeof(TableRel));

	info->table = iopool_table_get(relation);
	table_close(relation, NoLock);
	info->reads = reads_data(info->table, rel);

	/* as ANALYZE has found it, if it has looked */
	info->nfiles = rel->tuples >= 0 ? rel->tuples : DEFAULT_NFILES;
	info->npages = rel->tuples > 0 ? (double) rel->pages / rel->tuples : 1;
	if (rel->tuples > 0)
		set_data_width(rel, info);

	rel->fdw_private = info;
	rel->tuples = info->nfiles;
	rel->rows =
		clamp_row_est(info->nfiles *
					  clauselist_selectivity(root, rel->baserestrictinfo, 0,
											 JOIN_INNER, NULL));
}

/* How many files a scan with such a condition lists. */
static double
count_listed(PlannerInfo *root, const TableRel *info,
			 const IopoolTableCond *cond)
{
	switch (cond->kind)
	{
		case IOPOOL_TABLE_NO_COND:
			break;
		case IOPOOL_TABLE_EQUAL:
			return 1;
		case IOPOOL_TABLE_ANY:
			return iopool_array_length_estimate(root, (Node *) cond->value);
		case IOPOOL_TABLE_PREFIX:
		case IOPOOL_TABLE_LIKE:
			return clamp_row_est(info->nfiles *
								 clause_selectivity(root,
													(Node *) cond->clause, 0,
													JOIN_INNER, NULL));
	}
	return info->nfiles;
}

/* Add the path of a scan that gets the columns of these relations. */
static void
add_table_path(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	const TableRel *info = rel->fdw_private;
	ParamPathInfo *param_info = get_baserel_parampathinfo(root, rel, outer);
	List *clauses = rel->baserestrictinfo;
	double nrows = rel->rows;
	IopoolTableCond cond;
	QualCost qual_cost;
	double nlisted;
	Cost startup;
	Cost run;

	if (param_info != NULL)
	{
		clauses = list_concat_copy(clauses, param_info->ppi_clauses);
		nrows = param_info->ppi_rows;
	}
	cond = iopool_table_find_cond(root, rel,
								  info->table->attnos[IOPOOL_TABLE_PATH],
								  clauses);
	nlisted = count_listed(root, info, &cond);
	cost_qual_eval(&qual_cost, clauses, root);

	startup = random_page_cost * IOPOOL_SCAN_COST_SHARE + qual_cost.startup +
		rel->reltarget->cost.startup;
	run = (cpu_tuple_cost * LISTED_TUPLES + qual_cost.per_tuple) * nlisted +
		rel->reltarget->cost.per_tuple * nrows;
	if (info->reads)
	{
		List *early = select_clauses(info, root, rel, clauses, true);
		double nread = clamp_row_est(
			Min(nlisted,
				info->nfiles *
					clauselist_selectivity(root, early, 0, JOIN_INNER, NULL)));

		/* a single one is waited for */
		run += nread *
			(random_page_cost * (nread > 1 ? IOPOOL_SCAN_COST_SHARE : 1) +
			 seq_page_cost * floor(info->npages));
	}
	add_path(rel,
			 (Path *) iopool_foreignscan_path(root, rel, nrows, startup,
											  startup + run, outer));
}

/* ec_member_matches_callback_type: the column `path`. */
static bool
is_path_member(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec,
			   EquivalenceMember *em, void *arg)
{
	const TableRel *info = rel->fdw_private;
	const Var *var = (const Var *) em->em_expr;

	return IsA(var, Var) && var->varno == (int) rel->relid &&
		var->varattno == info->table->attnos[IOPOOL_TABLE_PATH];
}

/*
 * The other relations that a join clause compares the path with, or NULL: there
 * is nothing to be had from them.
 */
static Relids
other_relids(PlannerInfo *root, RelOptInfo *rel, RestrictInfo *rinfo)
{
	const TableRel *info = rel->fdw_private;
	IopoolTableCond cond;

	if (!join_clause_is_movable_to(rinfo, rel))
		return NULL;
	cond = iopool_table_find_cond(root, rel,
								  info->table->attnos[IOPOOL_TABLE_PATH],
								  list_make1(rinfo));
	if (cond.kind == IOPOOL_TABLE_NO_COND)
		return NULL;
	return bms_del_member(bms_union(rinfo->clause_relids, rel->lateral_relids),
						  (int) rel->relid);
}

/* GetForeignPaths */
void
iopool_table_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	const TableRel *info = rel->fdw_private;
	List *joins = rel->joininfo;
	List *seen = NIL;
	ListCell *lc;

	add_table_path(root, rel, rel->lateral_relids);
	if (info->table->attnos[IOPOOL_TABLE_PATH] == 0)
		return;

	/* path = column of another table, and the like */
	if (rel->has_eclass_joins)
		joins = list_concat_copy(joins,
								 generate_implied_equalities_for_column(
									 root, rel, is_path_member, NULL,
									 rel->lateral_referencers));
	foreach(lc, joins)
	{
		Relids outer = other_relids(root, rel, lfirst_node(RestrictInfo, lc));

		if (bms_is_empty(outer) || list_member(seen, outer))
			continue;
		seen = lappend(seen, outer);
		add_table_path(root, rel, outer);
	}
}

/* GetForeignPlan */
ForeignScan *
iopool_table_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid,
				  ForeignPath *path, List *tlist, List *clauses,
				  Plan *outer_plan)
{
	const TableRel *info = rel->fdw_private;
	IopoolTableCond cond =
		iopool_table_find_cond(root, rel,
							   info->table->attnos[IOPOOL_TABLE_PATH],
							   clauses);
	/* the planner has ordered them */
	List *early =
		extract_actual_clauses(select_clauses(info, root, rel, clauses, true),
							   false);
	List *late =
		extract_actual_clauses(select_clauses(info, root, rel, clauses, false),
							   false);
	/* not the target list, which may have all columns; of joins, clauses may */
	bool reads =
		info->reads || uses_data(info->table, rel->relid, (Node *) late);
	List *exprs = NIL;

	if (cond.kind != IOPOOL_TABLE_NO_COND)
		exprs = list_make1(cond.value);
	exprs = list_concat(exprs, early);
	return make_foreignscan(tlist, late, rel->relid, exprs,
							list_make2(makeInteger(cond.kind),
									   makeInteger(reads)),
							NIL, copyObject(early), outer_plan);
}
