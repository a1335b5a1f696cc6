/*-------------------------------------------------------------------------
 *
 * scan_state.c
 *	  What all nodes that read have in common: how they begin, are scanned
 *	  again, and end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

/* What the last row was made of is not needed any more. */
void
iopool_scan_free_last(IopoolScanState *state)
{
	for (int i = 0; i < state->ncalls; i++)
	{
		if (state->results[i].buffer != NULL)
			iopool_feed_put_back(state->feed, &state->results[i]);
	}
	if (state->message != NULL)
		pfree(state->message);
	state->message = NULL;
}

/* Nothing is in flight after this, and no ring is held. */
void
iopool_scan_end_feed(IopoolScanState *state)
{
	if (state->feed != NULL)
	{
		for (int i = 0; i < state->ncalls; i++)
			iopool_scan_free_buffer(state->feed, &state->calls[i].buffer);
		iopool_feed_end(state->feed, &state->stats.feed);
	}
	state->feed = NULL;
	state->has_added = false;
}

/*
 * The parameters that an expression gets while the query runs.  Returns true
 * if it finds a sub-select, which may have more.
 */
static bool
collect_params(Node *node, void *context)
{
	Bitmapset **params = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubPlan))
		return true;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*params = bms_add_member(*params, ((Param *) node)->paramid);
	return expression_tree_walker(node, collect_params, context);
}

/* Whoever may run the query may not yet call the function. */
static void
check_right(Oid funcid)
{
	AclResult result = iopool_proc_aclcheck(funcid, GetUserId(), ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(funcid));
	InvokeFunctionExecuteHook(funcid);
}

/*
 * Types whose values are computed, compared, read and printed by the server's
 * own code alone: nothing of a user's belongs to them, as it may to a domain or
 * a row.
 */
static bool
is_plain_type(Oid type)
{
	static const Oid plain_types[] = {
		BOOLOID,	  INT2OID,		INT4OID,	  INT8OID,	  FLOAT4OID,
		FLOAT8OID,	  TEXTOID,		BYTEAOID,	  NUMERICOID, VARCHAROID,
		INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
	};

	for (size_t i = 0; i < lengthof(plain_types); i++)
	{
		if (plain_types[i] == type)
			return true;
	}
	return false;
}

/* Is this anything but a function that the server was born with, in C? */
static bool
is_foreign_function(Oid funcid, void *context)
{
	HeapTuple tuple;
	Form_pg_proc proc;
	bool result;

	if (funcid >= FirstGenbkiObjectId)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		return true;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	/* an administrator may have put something around it */
	result = proc->prolang != INTERNALlanguageId ||
		proc->provolatile != PROVOLATILE_IMMUTABLE || proc->prosecdef ||
		!heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * May this expression run anybody's code, or hold something when it raises an
 * error, which only the end of a (sub)transaction would undo: a changed user,
 * settings of a function, a snapshot?  Everything may that is not known not to.
 */
static bool
may_need_rollback(Node *node, void *context)
{
	if (node == NULL)
		return false;
	/* another parameter may be computed by a sub-select when it is needed */
	if (IsA(node, Param) && ((Param *) node)->paramkind != PARAM_EXTERN)
		return true;
	switch (nodeTag(node))
	{
		case T_List:
		case T_CaseWhen:
			break;
		case T_Param:
		case T_Var:
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_ArrayExpr:
			if (!is_plain_type(exprType(node)) ||
				check_functions_in_node(node, is_foreign_function, NULL))
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, may_need_rollback, context);
}

bool
iopool_scan_may_need_rollback(Node *node)
{
	return may_need_rollback(node, NULL);
}

/* Begin with state->calls, of which function and expr are set. */
void
iopool_scan_begin(IopoolScanState *state, EState *estate, int eflags)
{
	PlanState *ps = &state->css.ss.ps;
	CustomScan *cscan = (CustomScan *) ps->plan;
	TupleDesc desc = state->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	TupleDesc outer_desc = desc;

	for (int i = 0; i < state->ncalls; i++)
	{
		IopoolScanCall *call = &state->calls[i];
		Node *args = (Node *) call->expr->args;

		check_right(call->expr->funcid);
		if (state->is_plain)
			call->plain = ExecInitExpr((Expr *) call->expr, ps);
		else
			call->args = ExecInitExprList(call->expr->args, ps);
		call->holds_errors = !iopool_scan_may_need_rollback(args);
		state->has_subplan |= collect_params(args, &state->params);
	}
	state->nouter = desc->natts - state->ncolumns;
	state->args_econtext = CreateExprContext(estate);
	state->args_slot = ExecInitExtraTupleSlot(estate, desc, &TTSOpsVirtual);
	state->cxt = AllocSetContextCreate(estate->es_query_cxt, "iopool scan",
									   ALLOCSET_DEFAULT_SIZES);
	state->results = palloc0(sizeof(IopoolResult) * state->ncalls);
	state->ahead.nleft = PG_INT64_MAX;
	dlist_init(&state->rows);

	if (cscan->custom_plans != NIL)
	{
		int outer_flags =
			eflags & ~(EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK);

		state->outer =
			ExecInitNode(linitial(cscan->custom_plans), estate, outer_flags);
		state->css.custom_ps = list_make1(state->outer);
		outer_desc = ExecGetResultType(state->outer);
	}
	state->ahead_slot =
		ExecInitExtraTupleSlot(estate, outer_desc, &TTSOpsMinimalTuple);
	state->outer_slot =
		ExecInitExtraTupleSlot(estate, outer_desc, &TTSOpsMinimalTuple);
	iopool_scan_workers_begin(state, estate);
}

/* CreateCustomScanState, of a node with these methods. */
Node *
iopool_scan_create_state(const CustomExecMethods *methods)
{
	IopoolScanState *state = palloc0(sizeof(IopoolScanState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = methods;
	return (Node *) state;
}

/* ExecCustomScan: the next row that the conditions let through, projected. */
TupleTableSlot *
iopool_scan_exec(CustomScanState *node,
				 TupleTableSlot *(*next_row)(IopoolScanState *state))
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;

	for (;;)
	{
		TupleTableSlot *slot;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		slot = next_row((IopoolScanState *) node);
		if (slot == NULL)
			return projection != NULL
				? ExecClearTuple(projection->pi_state.resultslot)
				: NULL;

		econtext->ecxt_scantuple = slot;
		if (node->ss.ps.qual == NULL || ExecQual(node->ss.ps.qual, econtext))
			return projection != NULL ? ExecProject(projection) : slot;
		InstrCountFiltered1(node, 1);
	}
}

/* End the feed and forget all calls. */
static void
stop_reading(IopoolScanState *state)
{
	/* what they hold is in what is reset */
	ExecClearTuple(state->css.ss.ss_ScanTupleSlot);
	ExecClearTuple(state->args_slot);
	ExecClearTuple(state->ahead_slot);
	ExecClearTuple(state->outer_slot);
	iopool_scan_free_last(state);

	iopool_scan_end_feed(state);
	iopool_scan_end_walk(state);
	MemoryContextReset(state->cxt);
	state->has_taken = false;
	state->taken = NULL;
	dlist_init(&state->rows);
	state->nrows = 0;
	state->row_bytes = 0;
	state->current = NULL;
	state->has_error = false;
}

/* EndCustomScan. */
void
iopool_scan_end(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;

	stop_reading(state);
	iopool_scan_workers_report(state);
	if (state->outer != NULL)
		ExecEndNode(state->outer);
}

/* ReScanCustomScan, where all is read again. */
void
iopool_scan_rescan(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;

	if (state->outer != NULL)
	{
		if (node->ss.ps.chgParam != NULL)
			UpdateChangedParamSet(state->outer, node->ss.ps.chgParam);
		if (state->outer->chgParam == NULL)
			ExecReScan(state->outer);
	}
	/* its files may stay open for what is read at once */
	if (state->feed == NULL || state->has_added)
		stop_reading(state);
	state->outer_ended = false;
	state->has_ended = false;
}

/* Nobody asks for rows for a while, or ever. */
void
iopool_scan_shutdown(CustomScanState *node)
{
	iopool_stream_leave(true);
}
