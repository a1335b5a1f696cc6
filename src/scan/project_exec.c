/*-------------------------------------------------------------------------
 *
 * project_exec.c
 *	  The executor node that reads for calls in the select list or in WHERE.
 *
 * The node puts the results of the calls beside the columns of the outer row
 * and evaluates conditions and target list over both.
 *
 * What is in the page cache is had sooner by a read of its own than through a
 * feed, which has rows to keep and a ring to lease.  So the node begins row by
 * row, as the plain plan does.  A row that has to wait for the disk makes it
 * take rows ahead, as IopoolLateral does.  After some time it tries a row by
 * itself again, and if that comes at once, it goes on so.  The tries become
 * rare where they are in vain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "portability/instr_time.h"

#include "base/compat.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"

/*
 * What a read from the page cache takes at most: some time for the call, in
 * microseconds, and that of copying, in bytes a microsecond.  It is no matter
 * if that is wrong now and then.
 */
#define CACHED_US			25
#define CACHED_BYTES_PER_US 2048

/* Rows that are taken ahead until a row is tried by itself again. */
#define FIRST_TRY 512
#define LAST_TRY  (1024 * 1024)

/* Put the columns of the outer row into the slot of the scan. */
static TupleTableSlot *
show_outer(IopoolScanState *state, const TupleTableSlot *outer)
{
	TupleTableSlot *slot = state->css.ss.ss_ScanTupleSlot;

	/* whoever had the slot may have moved the outer columns */
	ExecClearTuple(slot);
	iopool_scan_copy_outer(state, outer, slot);
	return ExecStoreVirtualTuple(slot);
}

/* The calls of a row have been made one by one: how long did they take? */
static void
count_single(IopoolScanState *state, int nread, int64 nbytes,
			 const instr_time *start)
{
	IopoolStreamTotals *totals = &state->stats.totals;
	instr_time end;

	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, *start);
	totals->nranges += nread;
	totals->nreads += nread;
	totals->sum_in_flight += nread;
	totals->nbytes += nbytes;
	totals->max_in_flight = Max(totals->max_in_flight, 1);
	if (state->is_plain ||
		INSTR_TIME_GET_MICROSEC(end) <=
			(uint64) (CACHED_US * nread + nbytes / CACHED_BYTES_PER_US))
	{
		state->nsingle++;
		return;
	}

	state->stats.wait_us += INSTR_TIME_GET_MICROSEC(end);
	if (state->distance == 0 || state->nsingle > state->distance)
		state->distance = FIRST_TRY;
	else
		state->distance = Min(state->distance * 2, LAST_TRY);
	state->nleft = state->distance;
	state->nsingle = 0;
}

/* The next row, whose calls are made as the plain plan makes them. */
static TupleTableSlot *
next_single(IopoolScanState *state)
{
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	TupleTableSlot *outer = ExecProcNode(state->outer);
	TupleTableSlot *slot;
	int64 nbytes = 0;
	int nread = 0;
	instr_time start;

	if (TupIsNull(outer))
	{
		state->outer_ended = true;
		return NULL;
	}

	slot_getallattrs(outer);
	slot = show_outer(state, outer);
	econtext->ecxt_scantuple = slot;
	INSTR_TIME_SET_CURRENT(start);
	for (int i = 0; i < state->ncalls; i++)
	{
		Datum *value = &slot->tts_values[state->nouter + i];
		bool *isnull = &slot->tts_isnull[state->nouter + i];

		*value =
			ExecEvalExprSwitchContext(state->calls[i].plain, econtext, isnull);
		if (!*isnull)
		{
			nread++;
			nbytes += VARSIZE_ANY_EXHDR(DatumGetPointer(*value));
		}
	}
	count_single(state, nread, nbytes, &start);
	return slot;
}

/* The results of a row's calls, beside its columns. */
static TupleTableSlot *
show_results(IopoolScanState *state, IopoolScanRow *row)
{
	TupleTableSlot *slot;

	iopool_scan_show_outer(row, state->outer_slot);
	slot = show_outer(state, state->outer_slot);
	for (int i = 0; i < state->ncalls; i++)
	{
		IopoolScanRowCall *call = &row->calls[i];
		IopoolResult result;

		iopool_scan_check_call(call);
		slot->tts_values[state->nouter + i] = (Datum) 0;
		slot->tts_isnull[state->nouter + i] = call->call == NULL;
		if (call->call == NULL)
			continue;
		iopool_feed_next(state->feed, &result);
		state->buffers[i] = result.buffer;
		slot->tts_values[state->nouter + i] = PointerGetDatum(result.buffer);
		/* the feed hands out the results of its first call */
		iopool_feed_drop_call(state->feed, call->call);
		call->call = NULL;
	}
	return slot;
}

static TupleTableSlot *
next_row(IopoolScanState *state)
{
	iopool_scan_free_last(state);
	if (state->current != NULL)
		iopool_scan_drop_row(state);
	if (!state->outer_ended && state->nrows == 0 && state->nleft <= 0)
	{
		TupleTableSlot *slot = next_single(state);

		if (slot != NULL)
			return slot;
	}

	iopool_scan_add_calls(state);
	if (state->nrows == 0)
	{
		iopool_scan_end_feed(state);
		return NULL;
	}
	state->current = dlist_head_element(IopoolScanRow, node, &state->rows);
	return show_results(state, state->current);
}

static TupleTableSlot *
project_exec(CustomScanState *node)
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
		call->plain = ExecInitExpr((Expr *) call->expr, &node->ss.ps);
	}
	iopool_scan_begin(state, estate, eflags);

	/* a plan may be older than the setting */
	state->is_plain = !iopool_enable_stream_scan;
	state->nleft = 0;
}

static void
project_rescan(CustomScanState *node)
{
	IopoolScanState *state = (IopoolScanState *) node;

	iopool_scan_rescan(node);
	state->nleft = 0;
}

static const CustomExecMethods project_exec_methods = {
	.CustomName = "IopoolProject",
	.BeginCustomScan = project_begin,
	.ExecCustomScan = project_exec,
	.EndCustomScan = iopool_scan_end,
	.ReScanCustomScan = project_rescan,
	.ShutdownCustomScan = iopool_scan_shutdown,
	.ExplainCustomScan = iopool_scan_explain,
};

static Node *
create_state(CustomScan *cscan)
{
	IopoolScanState *state = palloc0(sizeof(IopoolScanState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &project_exec_methods;
	return (Node *) state;
}

const CustomScanMethods iopool_project_methods = {
	.CustomName = "IopoolProject",
	.CreateCustomScanState = create_state,
};
