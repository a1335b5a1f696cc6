/*-------------------------------------------------------------------------
 *
 * scan_exec.c
 *	  The executor node that reads in the place of a function scan.
 *
 * Without an outer plan the node makes one call and hands out its rows as
 * they come, where a function scan would copy all of them first.  With an
 * outer plan it takes the place of a nested loop over the function: it takes
 * outer rows ahead, adds the call of each to the feed (feed.c), and joins
 * their results in the order of the outer rows.  Calls of iopool_read() make a
 * row each, see scan_single.c.
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

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "scan/scan_internal.h"

/* ------------------------------------------------------------------------
 * Rows
 */

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
	static const Datum values[IOPOOL_ROW_MAX_COLUMNS] = {0};
	static const bool nulls[IOPOOL_ROW_MAX_COLUMNS] = {true, true, true,
													   true, true, true};

	state->current_has_row = true;
	return show_values(state, values, nulls);
}

/* The next result of a call, whose values last as long as the row. */
static TupleTableSlot *
show_result(IopoolScanState *state, const IopoolCall *call)
{
	Datum values[IOPOOL_ROW_MAX_COLUMNS];
	bool nulls[IOPOOL_ROW_MAX_COLUMNS];
	IopoolResult *result = &state->results[0];

	state->current_has_row = true;
	iopool_feed_next(state->feed, result);
	if (state->calls[0].function == IOPOOL_SCAN_FILES)
	{
		ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
		MemoryContext old_cxt =
			MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);

		iopool_row_file_values(call, result, values, nulls);
		MemoryContextSwitchTo(old_cxt);
	}
	else
		state->message = iopool_row_values(result, values, nulls);
	return show_values(state, values, nulls);
}

/* The next row of the first call, and of the next one when it has no more. */
static TupleTableSlot *
next_result(IopoolScanState *state)
{
	iopool_scan_free_last(state);
	for (;;)
	{
		IopoolScanRowCall *call;

		CHECK_FOR_INTERRUPTS();
		iopool_scan_add_calls(state);
		if (state->nrows == 0)
		{
			iopool_scan_end_feed(state);
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
		call = &state->current->calls[0];
		iopool_scan_check_call(call);
		if (call->call != NULL && call->call->nout < call->call->args.nranges)
			return show_result(state, call->call);
		/* a NULL argument makes no row */
		if (!state->current_has_row && state->is_left)
			return show_nulls(state);
		iopool_scan_drop_row(state);
	}
}

/* Call iopool_fetch() or iopool_fetch_next(). */
static void
take_rows(IopoolScanState *state)
{
	const IopoolScanCall *call = &state->calls[0];
	Datum args[IOPOOL_SCAN_MAX_ARGS];
	MemoryContext old_cxt;

	ResetExprContext(state->args_econtext);
	old_cxt =
		MemoryContextSwitchTo(state->args_econtext->ecxt_per_tuple_memory);
	state->has_taken = true;
	if (iopool_scan_evaluate_args(state, call, args))
		state->taken = call->function == IOPOOL_SCAN_FETCH
			? iopool_fetch_take(state->cxt, args)
			: iopool_fetch_next_take(state->cxt, args);
	MemoryContextSwitchTo(old_cxt);
}

/* The next row of those that a request has read. */
static TupleTableSlot *
next_taken(IopoolScanState *state)
{
	Datum values[IOPOOL_ROW_COLUMNS];
	bool nulls[IOPOOL_ROW_COLUMNS];

	if (!state->has_taken)
		take_rows(state);
	ExecClearTuple(state->css.ss.ss_ScanTupleSlot);
	if (state->taken == NULL ||
		!iopool_request_next_row(state->taken, values, nulls))
		return NULL;
	return show_values(state, values, nulls);
}

/* The next row of iopool_list(). */
static TupleTableSlot *
next_file(IopoolScanState *state)
{
	Datum values[IOPOOL_ROW_FOUND_COLUMNS];
	bool nulls[IOPOOL_ROW_FOUND_COLUMNS];

	if (!iopool_scan_next_file(state, values, nulls))
		return NULL;
	return show_values(state, values, nulls);
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

	if (iopool_scan_is_fetch(state->calls[0].function))
		slot = next_taken(state);
	else if (state->calls[0].function == IOPOOL_SCAN_LIST)
		slot = next_file(state);
	else
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
	const IopoolScanState *state = (IopoolScanState *) node;
	bool is_single = iopool_scan_is_single(state->calls[0].function);

	return iopool_scan_exec(node,
							is_single ? iopool_scan_next_single : next_row);
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

static void
scan_begin(CustomScanState *node, EState *estate, int eflags)
{
	IopoolScanState *state = (IopoolScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	List *info = cscan->custom_private;
	TupleDesc desc = node->ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	ListCell *lc;

	state->ncalls = 1;
	state->calls = palloc0(sizeof(IopoolScanCall));
	state->calls[0].expr = linitial_node(FuncExpr, cscan->custom_exprs);
	state->calls[0].function = intVal(list_nth(info, IOPOOL_SCAN_FUNCTION));
	state->is_left = intVal(list_nth(info, IOPOOL_SCAN_IS_LEFT));
	state->columns = palloc(sizeof(int) * Max(desc->natts, 1));
	for_each_from(lc, info, IOPOOL_SCAN_COLUMNS)
		state->columns[state->ncolumns++] = intVal(lfirst(lc));
	iopool_scan_begin(state, estate, eflags);
	if (iopool_scan_is_single(state->calls[0].function))
		iopool_scan_begin_single(state);

	state->store_slot =
		ExecInitExtraTupleSlot(estate, desc, &TTSOpsMinimalTuple);
	if (state->outer == NULL && (eflags & EXEC_FLAG_REWIND) != 0)
		begin_store(state);
}

static void
scan_end(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;

	if (state->store != NULL)
		tuplestore_end(state->store);
	iopool_scan_end(node);
}

static void
scan_rescan(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;
	Bitmapset *changed = node->ss.ps.chgParam;

	if (state->outer == NULL)
	{
		if (changed == NULL ||
			(!state->has_subplan && !bms_overlap(changed, state->params)))
		{
			/* the same call again: its rows are what they were */
			if (state->store != NULL)
			{
				ExecClearTuple(node->ss.ss_ScanTupleSlot);
				tuplestore_rescan(state->store);
				return;
			}
			if (state->has_taken)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot fetch the rows of a request twice")));
			if (state->has_ended || state->nrows > 0 || state->walk != NULL)
				begin_store(state);
		}
		else if (state->store != NULL)
			tuplestore_clear(state->store);
	}
	iopool_scan_rescan(node);
}

static const CustomExecMethods scan_exec_methods = {
	.CustomName = "IopoolScan",
	.BeginCustomScan = scan_begin,
	.ExecCustomScan = scan_exec,
	.EndCustomScan = scan_end,
	.ReScanCustomScan = scan_rescan,
	.ShutdownCustomScan = iopool_scan_shutdown,
	.ExplainCustomScan = iopool_scan_explain,
};

static Node *
create_state(CustomScan *cscan)
{
	return iopool_scan_create_state(&scan_exec_methods);
}

const CustomScanMethods iopool_scan_methods = {
	.CustomName = "IopoolScan",
	.CreateCustomScanState = create_state,
};

const CustomScanMethods iopool_lateral_methods = {
	.CustomName = "IopoolLateral",
	.CreateCustomScanState = create_state,
};
