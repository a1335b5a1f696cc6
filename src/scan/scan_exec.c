/*-------------------------------------------------------------------------
 *
 * scan_exec.c
 *	  The executor node that reads in the place of a function scan.
 *
 * Without an outer plan the node makes one call and hands out its rows as
 * they come, where a function scan would copy all of them first.  With an
 * outer plan it takes the place of a nested loop over the function: it takes
 * outer rows ahead, adds the call of each to the feed (feed.c), and joins
 * their results in the order of the outer rows.
 *
 * A row's bytea is the buffer that was read into.  It is freed with the next
 * row, which is as long as a tuple in a slot has to last.
 *
 * A function scan that is scanned again without a change hands out the rows
 * that it has, so files are read once.  We keep rows only where the executor
 * says that it will want them again, and from the second time on where it
 * asks without having said so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/range.h"
#include "scan/scan_internal.h"

/* ------------------------------------------------------------------------
 * Rows
 */

/* What the last row was made of is not needed any more. */
static void
free_last_result(IopoolScanState *state)
{
	if (state->result.buffer != NULL)
		iopool_feed_put_back(state->feed, &state->result);
	if (state->message != NULL)
		pfree(state->message);
	state->message = NULL;
}

/* Put the function's columns beside those of the outer row. */
static TupleTableSlot *
show_values(IopoolScanState *state, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = state->css.ss.ss_ScanTupleSlot;

	/* whoever had the slot may have moved the outer columns */
	ExecClearTuple(slot);
	if (state->nouter > 0)
		iopool_scan_copy_outer(state, state->outer_slot, slot);
	for (int i = 0; i < state->ncolumns; i++)
	{
		slot->tts_values[state->nouter + i] = values[state->columns[i] - 1];
		slot->tts_isnull[state->nouter + i] = nulls[state->columns[i] - 1];
	}
	return ExecStoreVirtualTuple(slot);
}

static TupleTableSlot *
show_nulls(IopoolScanState *state)
{
	static const Datum values[IOPOOL_ROW_COLUMNS] = {0};
	static const bool nulls[IOPOOL_ROW_COLUMNS] = {true, true, true, true,
												   true};

	state->current_has_row = true;
	return show_values(state, values, nulls);
}

static TupleTableSlot *
show_result(IopoolScanState *state)
{
	Datum values[IOPOOL_ROW_COLUMNS];
	bool nulls[IOPOOL_ROW_COLUMNS];
	IopoolResult *result = &state->result;

	state->current_has_row = true;
	iopool_feed_next(state->feed, result);
	if (state->function == IOPOOL_SCAN_READ)
	{
		values[0] = PointerGetDatum(result->buffer);
		nulls[0] = false;
	}
	else
	{
		state->message = iopool_row_values(result, values, nulls);
	}
	return show_values(state, values, nulls);
}

/* Nothing is in flight after this, and no ring is held. */
static void
end_feed(IopoolScanState *state)
{
	if (state->feed != NULL)
		iopool_feed_end(state->feed, &state->stats);
	state->feed = NULL;
}

/* The next row of the first call, and of the next one when it has no more. */
static TupleTableSlot *
next_result(IopoolScanState *state)
{
	free_last_result(state);
	for (;;)
	{
		IopoolScanRow *row;

		CHECK_FOR_INTERRUPTS();
		iopool_scan_add_calls(state);
		if (state->nrows == 0)
		{
			end_feed(state);
			return NULL;
		}

		if (state->current == NULL)
		{
			state->current =
				dlist_head_element(IopoolScanRow, node, &state->rows);
			state->current_has_row = false;
			if (state->current->outer != NULL)
				iopool_scan_show_outer(state->current, state->outer_slot);
		}
		row = state->current;
		if (row->error != NULL)
			ReThrowError(row->error);
		if (row->is_invalid)
			iopool_range_check(row->offset, row->length);
		if (row->call != NULL && row->call->nout < row->call->args.nranges)
			return show_result(state);
		if (!state->current_has_row && (row->is_null || state->is_left))
			return show_nulls(state);
		iopool_scan_drop_row(state);
	}
}

/* The next row, of the store if it has one. */
static TupleTableSlot *
next_row(IopoolScanState *state)
{
	TupleTableSlot *slot = state->css.ss.ss_ScanTupleSlot;

	if (state->store != NULL && !tuplestore_ateof(state->store) &&
		tuplestore_gettupleslot(state->store, true, false, state->store_slot))
	{
		int natts = slot->tts_tupleDescriptor->natts;

		slot_getallattrs(state->store_slot);
		ExecClearTuple(slot);
		memcpy(slot->tts_values, state->store_slot->tts_values,
			   sizeof(Datum) * natts);
		memcpy(slot->tts_isnull, state->store_slot->tts_isnull,
			   sizeof(bool) * natts);
		return ExecStoreVirtualTuple(slot);
	}
	if (state->has_ended)
		return NULL;

	slot = next_result(state);
	if (slot == NULL)
		state->has_ended = true;
	/* it is at its end, and stays there */
	else if (state->store != NULL)
		tuplestore_puttupleslot(state->store, slot);
	return slot;
}

static TupleTableSlot *
scan_exec(CustomScanState *node)
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

/* ------------------------------------------------------------------------
 * Begin and end
 */

/* Keep rows from here on. */
static void
begin_store(IopoolScanState *state)
{
	MemoryContext old_cxt =
		MemoryContextSwitchTo(state->css.ss.ps.state->es_query_cxt);

	state->store = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(state->store, EXEC_FLAG_REWIND);
	MemoryContextSwitchTo(old_cxt);
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

static void
scan_begin(CustomScanState *node, EState *estate, int eflags)
{
	IopoolScanState *state = (IopoolScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	List *info = cscan->custom_private;
	FuncExpr *call = linitial_node(FuncExpr, cscan->custom_exprs);
	TupleDesc desc = node->ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	TupleDesc outer_desc = desc;
	ListCell *lc;

	check_right(call->funcid);

	state->function = intVal(list_nth(info, IOPOOL_SCAN_FUNCTION));
	state->is_left = intVal(list_nth(info, IOPOOL_SCAN_IS_LEFT));
	state->columns = palloc(sizeof(int) * Max(desc->natts, 1));
	for_each_from(lc, info, IOPOOL_SCAN_COLUMNS)
		state->columns[state->ncolumns++] = intVal(lfirst(lc));
	state->nouter = desc->natts - state->ncolumns;

	state->args = ExecInitExprList(call->args, &node->ss.ps);
	state->has_subplan = collect_params((Node *) call->args, &state->params);
	state->args_econtext = CreateExprContext(estate);
	state->args_slot = ExecInitExtraTupleSlot(estate, desc, &TTSOpsVirtual);
	state->store_slot =
		ExecInitExtraTupleSlot(estate, desc, &TTSOpsMinimalTuple);
	state->cxt = AllocSetContextCreate(estate->es_query_cxt, "iopool scan",
									   ALLOCSET_DEFAULT_SIZES);
	dlist_init(&state->rows);

	if (cscan->custom_plans != NIL)
	{
		int outer_flags =
			eflags & ~(EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK);

		state->outer =
			ExecInitNode(linitial(cscan->custom_plans), estate, outer_flags);
		node->custom_ps = list_make1(state->outer);
		outer_desc = ExecGetResultType(state->outer);
	}
	else
	{
		if ((eflags & EXEC_FLAG_REWIND) != 0)
			begin_store(state);
	}
	state->ahead_slot =
		ExecInitExtraTupleSlot(estate, outer_desc, &TTSOpsMinimalTuple);
	state->outer_slot =
		ExecInitExtraTupleSlot(estate, outer_desc, &TTSOpsMinimalTuple);
	iopool_scan_workers_begin(state, estate);
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
	free_last_result(state);

	end_feed(state);
	MemoryContextReset(state->cxt);
	dlist_init(&state->rows);
	state->nrows = 0;
	state->row_bytes = 0;
	state->current = NULL;
	state->outer_ended = false;
}

static void
scan_end(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;

	stop_reading(state);
	iopool_scan_workers_report(state);
	if (state->store != NULL)
		tuplestore_end(state->store);
	if (state->outer != NULL)
		ExecEndNode(state->outer);
}

static void
scan_rescan(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;
	Bitmapset *changed = node->ss.ps.chgParam;

	if (state->outer != NULL)
	{
		if (changed != NULL)
			UpdateChangedParamSet(state->outer, changed);
		if (state->outer->chgParam == NULL)
			ExecReScan(state->outer);
	}
	else if (changed == NULL ||
			 (!state->has_subplan && !bms_overlap(changed, state->params)))
	{
		/* the same call again: its rows are what they were */
		if (state->store != NULL)
		{
			ExecClearTuple(node->ss.ss_ScanTupleSlot);
			tuplestore_rescan(state->store);
			return;
		}
		if (state->has_ended || state->nrows > 0)
			begin_store(state);
	}
	else if (state->store != NULL)
		tuplestore_clear(state->store);

	stop_reading(state);
	state->has_ended = false;
}

/* Nobody asks for rows for a while, or ever. */
static void
scan_shutdown(CustomScanState *node)
{
	iopool_stream_leave(true);
}

static const CustomExecMethods scan_exec_methods = {
	.CustomName = "IopoolScan",
	.BeginCustomScan = scan_begin,
	.ExecCustomScan = scan_exec,
	.EndCustomScan = scan_end,
	.ReScanCustomScan = scan_rescan,
	.ShutdownCustomScan = scan_shutdown,
	.ExplainCustomScan = iopool_scan_explain,
};

static Node *
create_state(CustomScan *cscan)
{
	IopoolScanState *state = palloc0(sizeof(IopoolScanState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &scan_exec_methods;
	return (Node *) state;
}

const CustomScanMethods iopool_scan_methods = {
	.CustomName = "IopoolScan",
	.CreateCustomScanState = create_state,
};

const CustomScanMethods iopool_lateral_methods = {
	.CustomName = "IopoolLateral",
	.CreateCustomScanState = create_state,
};
