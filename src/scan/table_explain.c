/*-------------------------------------------------------------------------
 *
 * table_explain.c
 *	  What EXPLAIN tells of scans of foreign tables over directories.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "ring/shmem.h"
#include "scan/table_internal.h"

/*
 * Let parameters that the executor computes be shown by their numbers.  What
 * they are is in the nodes above, which a wrapper is not told, and ruleutils.c
 * insists on finding it for parameters of that kind.  sub: the sub-select whose
 * own parameters it does find, or NULL.
 */
static Node *
number_params(Node *node, void *sub)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC &&
		(sub == NULL ||
		 !list_member_int(((SubPlan *) sub)->paramIds,
						  ((Param *) node)->paramid)))
	{
		Param *param = copyObject((Param *) node);

		param->paramkind = PARAM_EXTERN;
		return (Node *) param;
	}
	return expression_tree_mutator(node, number_params,
								   IsA(node, SubPlan) ? (void *) node : sub);
}

static char *
show_expr(Node *expr, List *context, const ExplainState *es)
{
	return deparse_expression(number_params(expr, NULL), context, es->verbose,
							  false);
}

static void
show_cond(const IopoolTableScan *scan, List *context, ExplainState *es)
{
	static const char *const labels[] = {
		[IOPOOL_TABLE_EQUAL] = "Path",
		[IOPOOL_TABLE_ANY] = "Paths",
		[IOPOOL_TABLE_PREFIX] = "Path Prefix",
		[IOPOOL_TABLE_LIKE] = "Path Pattern",
	};
	ForeignScan *plan = (ForeignScan *) scan->node->ss.ps.plan;

	if (scan->kind == IOPOOL_TABLE_NO_COND)
		return;
	ExplainPropertyText(labels[scan->kind],
						show_expr(linitial(plan->fdw_exprs), context, es), es);
}

/* ExplainForeignScan */
void
iopool_table_explain(ForeignScanState *node, ExplainState *es)
{
	const IopoolTableScan *scan = node->fdw_state;
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *context =
		set_deparse_context_plan(es->deparse_cxt, &plan->scan.plan, NIL);
	IopoolScanStats stats = scan->stats;
	bool has_counts;

	ExplainPropertyText("Directory", scan->table->directory, es);
	ExplainPropertyText("Pattern", scan->table->pattern, es);
	show_cond(scan, context, es);
	if (plan->fdw_recheck_quals != NIL)
		ExplainPropertyText("File Filter",
							show_expr((Node *) make_ands_explicit(
										  plan->fdw_recheck_quals),
									  context, es),
							es);

	if (scan->walk != NULL)
		iopool_scan_add_walk(&stats, scan->walk);
	/* no scan, or, for all that is known here, in a parallel worker */
	has_counts = es->analyze && stats.walk.ndirectories > 0;
	if (has_counts && plan->fdw_recheck_quals != NIL)
		ExplainPropertyUInteger("Files Skipped", NULL, scan->nskipped, es);
	if (has_counts)
		iopool_scan_explain_walk(&stats.walk, es);
	/* without preloading, there are no pools */
	if (!scan->reads || iopool_shared == NULL)
		return;
	if (scan->feed != NULL)
		iopool_feed_get_stats(scan->feed, &stats.feed);
	iopool_scan_explain_pools(&stats.feed, es);
	if (has_counts)
		iopool_scan_explain_reads(&stats.feed, es);
}
