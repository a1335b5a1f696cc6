/*-------------------------------------------------------------------------
 *
 * scan_single.c
 *	  Rows of nodes whose calls read one range each.
 *
 * A node begins row by row, with reads at once.  The first read that would have
 * to wait for the disk goes into a feed, and rows are taken ahead (scan_calls.c)
 * as far as scan_ahead.c says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "executor/instrument.h"

#include "base/compat.h"
#include "base/range.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"

/*
 * Put the columns of the outer row into the slot of the scan, which has that
 * row's place in its table as well, for WHERE CURRENT OF.
 */
static TupleTableSlot *
show_outer(IopoolScanState *state, const TupleTableSlot *outer,
		   ItemPointerData tid, Oid tableoid)
{
	TupleTableSlot *slot = state->css.ss.ss_ScanTupleSlot;

	/* whoever had the slot may have moved the outer columns */
	ExecClearTuple(slot);
	iopool_scan_copy_outer(state, outer, slot);
	slot->tts_tid = tid;
	slot->tts_tableOid = tableoid;
	return ExecStoreVirtualTuple(slot);
}

/* Begin with reads at once, after iopool_scan_begin(). */
void
iopool_scan_begin_single(IopoolScanState *state)
{
	if (state->is_plain || iopool_io_mode != IOPOOL_IO_DIRECT)
		state->ahead.nleft = 0;
}

/* Read for a call at once; false if that cannot be. */
static bool
read_cached(IopoolScanState *state, IopoolScanCall *call, Datum *value,
			bool *isnull)
{
	Datum args[IOPOOL_SCAN_MAX_ARGS];
	IopoolScanRange range;

	*isnull = !iopool_scan_evaluate_args(state, call, args);
	if (*isnull)
		return true;
	if (!iopool_scan_get_range(call, args, &range))
		iopool_range_check(range.offset, range.length);
	return iopool_scan_read_now(state->feed, &range, &call->buffer, value);
}

/* Put the result of a call beside the outer columns, if it has a column. */
static void
put_value(const IopoolScanState *state, TupleTableSlot *slot, int callno,
		  Datum value, bool isnull)
{
	if (callno >= state->ncolumns)
		return;
	slot->tts_values[state->nouter + callno] = value;
	slot->tts_isnull[state->nouter + callno] = isnull;
}

/*
 * Make the calls of a row, whose columns are in the slot, at once; false if
 * that cannot be.
 */
static bool
make_calls(IopoolScanState *state, TupleTableSlot *slot)
{
	ExprContext *econtext = state->is_plain ? state->css.ss.ps.ps_ExprContext
											: state->args_econtext;
	MemoryContext old_cxt;
	bool is_made = true;

	ResetExprContext(econtext);
	econtext->ecxt_scantuple = slot;
	old_cxt = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < state->ncalls && is_made; i++)
	{
		IopoolScanCall *call = &state->calls[i];
		Datum value = (Datum) 0;
		bool isnull;

		if (state->is_plain)
			value = ExecEvalExpr(call->plain, econtext, &isnull);
		else
			is_made = read_cached(state, call, &value, &isnull);
		put_value(state, slot, i, value, isnull);
	}
	MemoryContextSwitchTo(old_cxt);
	return is_made;
}

/* The next row, if its calls can be made at once, or NULL. */
static TupleTableSlot *
next_at_once(IopoolScanState *state)
{
	TupleTableSlot *outer = ExecProcNode(state->outer);
	TupleTableSlot *place = outer;
	TupleTableSlot *slot;

	if (TupIsNull(outer))
	{
		state->outer_ended = true;
		return NULL;
	}
	if (!state->is_plain)
		iopool_scan_begin_feed(state, true);
	slot_getallattrs(outer);
	if (state->table != NULL)
		place = state->table->ss_ScanTupleSlot;
	slot = show_outer(state, outer, place->tts_tid, place->tts_tableOid);
	if (make_calls(state, slot))
	{
		state->ahead.ncached++;
		return slot;
	}

	ExecClearTuple(slot);
	iopool_scan_go_ahead(&state->ahead);
	iopool_scan_add_row(state, outer);
	return NULL;
}

/* The results of a row's calls, beside its columns. */
static TupleTableSlot *
show_results(IopoolScanState *state, IopoolScanRow *row)
{
	TupleTableSlot *slot;

	iopool_scan_show_outer(row, state->outer_slot);
	slot = show_outer(state, state->outer_slot, row->tid, row->tableoid);
	for (int i = 0; i < state->ncalls; i++)
	{
		IopoolScanRowCall *call = &row->calls[i];
		IopoolResult *result = &state->results[i];

		iopool_scan_check_call(call);
		put_value(state, slot, i, (Datum) 0, true);
		if (call->call == NULL)
			continue;
		iopool_feed_next(state->feed, result);
		/* none: there is no file, and need not be */
		put_value(state, slot, i, PointerGetDatum(result->buffer),
				  result->buffer == NULL);
		/* the feed hands out the results of its first call */
		iopool_feed_drop_call(state->feed, call->call);
		call->call = NULL;
	}
	return slot;
}

/*
 * The next row of a node whose calls are all of iopool_read(), or NULL: the
 * columns of the outer row, and the results of those calls that have a column.
 */
TupleTableSlot *
iopool_scan_next_single(IopoolScanState *state)
{
	iopool_scan_free_last(state);
	if (state->current != NULL)
		iopool_scan_drop_row(state);
	if (!state->outer_ended && state->nrows == 0 && state->ahead.nleft <= 0)
	{
		TupleTableSlot *slot = next_at_once(state);

		if (slot != NULL)
			return slot;
	}
	else if (state->nrows > 0 && state->ahead.nleft <= 0 &&
			 !iopool_feed_is_quick(state->feed))
		iopool_scan_stay_ahead(&state->ahead);

	iopool_scan_add_calls(state);
	if (state->nrows == 0)
	{
		if (state->has_added)
			iopool_scan_end_feed(state);
		return NULL;
	}
	state->current = dlist_head_element(IopoolScanRow, node, &state->rows);
	return show_results(state, state->current);
}
