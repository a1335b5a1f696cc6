/*-------------------------------------------------------------------------
 *
 * project_exec.c
 *	  The executor node that reads for calls in the select list or in WHERE.
 *
 * The node puts the results of the calls beside the columns of the outer row
 * (scan_single.c) and evaluates conditions and target list over both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"

#include "ring/settings.h"
#include "scan/scan_internal.h"

static TupleTableSlot *
project_exec(CustomScanState *node)
{
	return iopool_scan_exec(node, iopool_scan_next_single);
}

/*
 * The scan of a table whose rows are those of the outer plan, one by one: then
 * a row of ours has a place in that table, as WHERE CURRENT OF wants it.
 */
static ScanState *
scanned_table(PlanState *outer)
{
	switch (nodeTag(outer))
	{
		case T_SeqScanState:
		case T_SampleScanState:
		case T_IndexScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
		case T_CustomScanState:
			if (((ScanState *) outer)->ss_currentRelation == NULL)
				return NULL;
			return (ScanState *) outer;
		default:
			return NULL;
	}
}

static void
project_begin(CustomScanState *node, EState *estate, int eflags)
{
	IopoolScanState *state = (IopoolScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	List *oids = list_nth(cscan->custom_private, IOPOOL_PROJECT_OIDS);
	List *functions =
		list_nth(cscan->custom_private, IOPOOL_PROJECT_FUNCTIONS);

	state->ncalls = state->ncolumns = list_length(oids);
	state->calls = palloc0(sizeof(IopoolScanCall) * state->ncalls);
	for (int i = 0; i < state->ncalls; i++)
	{
		IopoolScanCall *call = &state->calls[i];

		call->function = list_nth_int(functions, i);
		call->expr = makeFuncExpr(list_nth_oid(oids, i), BYTEAOID,
								  list_nth(cscan->custom_exprs, i), InvalidOid,
								  InvalidOid, COERCE_EXPLICIT_CALL);
	}
	/* a plan may be older than the setting */
	state->is_plain = !iopool_enable_stream_scan;
	iopool_scan_begin(state, estate, eflags);
	state->table = scanned_table(state->outer);
	if (state->table != NULL)
		node->ss.ss_currentRelation = state->table->ss_currentRelation;
	iopool_scan_begin_single(state);
}

static const CustomExecMethods project_exec_methods = {
	.CustomName = "IopoolProject",
	.BeginCustomScan = project_begin,
	.ExecCustomScan = project_exec,
	.EndCustomScan = iopool_scan_end,
	.ReScanCustomScan = iopool_scan_rescan,
	.ShutdownCustomScan = iopool_scan_shutdown,
	.ExplainCustomScan = iopool_scan_explain,
};

static Node *
create_state(CustomScan *cscan)
{
	return iopool_scan_create_state(&project_exec_methods);
}

const CustomScanMethods iopool_project_methods = {
	.CustomName = "IopoolProject",
	.CreateCustomScanState = create_state,
};
