/*-------------------------------------------------------------------------
 *
 * project_exec.c
 *	  The executor node that reads for calls in the select list or in WHERE.
 *
 * The node puts the results of the calls beside the columns of the outer row
 * and evaluates conditions and target list over both.
 *
 * What is in the page cache is had sooner by a read at once than through the
 * queue: there are no rows to keep, no ring to lease, and the memory of the
 * last result serves the next.  So the node begins row by row.  The first read
 * that would have to wait for the disk goes into a feed, and rows are taken
 * ahead, as IopoolLateral does.  After some rows it tries a read at once again,
 * and goes on so for as long as they succeed.  Tries become rare where they are
 * in vain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"

#include "base/compat.h"
#include "base/range.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"

/* Rows that are taken ahead before a read at once is tried again. */
#define FIRST_DISTANCE 64
#define LAST_DISTANCE  (1024 * 1024)

/* Longest range that is read at once: its memory is kept. */
#define CACHED_MAX (4 * 1024 * 1024)

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

/* The last row came at once; rows are to be taken ahead from the next on. */
static void
begin_ahead(IopoolScanState *state)
{
	if (state->distance == 0 || state->ncached > state->distance)
		state->distance = FIRST_DISTANCE;
	else
		state->distance = Min(state->distance * 2, LAST_DISTANCE);
	state->nleft = state->distance;
	state->ncached = 0;
}

/* Memory for the result of a call, that of the last one if it is enough. */
static char *
result_buffer(IopoolScanState *state, IopoolScanCall *call, int64 length)
{
	Size size = VARHDRSZ + length;

	if (call->buffer_size < size)
	{
		if (call->buffer != NULL)
			pfree(call->buffer);
		call->buffer_size = 0;
		call->buffer = MemoryContextAlloc(state->css.ss.ps.state->es_query_cxt,
										  Max(size, 8192));
		call->buffer_size = Max(size, 8192);
	}
	return call->buffer;
}

/* Read for a call at once; false if that cannot be. */
static bool
read_cached(IopoolScanState *state, IopoolScanCall *call, Datum *value,
			bool *isnull)
{
	Datum args[IOPOOL_SCAN_MAX_ARGS];
	IopoolScanRange range;
	int64 nbytes;
	char *buffer;

	*isnull = !iopool_scan_evaluate_args(state, call, args);
	if (*isnull)
		return true;
	if (!iopool_scan_get_range(call, args, &range))
		iopool_range_check(range.offset, range.length);
	if (range.length == IOPOOL_WHOLE_FILE)
		range.length = iopool_feed_whole_size(state->feed, range.path);
	if (range.length < 0 || range.length > CACHED_MAX)
		return false;
	buffer = result_buffer(state, call, range.length);
	nbytes = iopool_feed_read_cached(state->feed, range.path, range.offset,
									 range.length, buffer + VARHDRSZ);
	if (nbytes < 0)
		return false;
	SET_VARSIZE(buffer, VARHDRSZ + nbytes);
	*value = PointerGetDatum(buffer);
	return true;
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
		Datum *value = &slot->tts_values[state->nouter + i];
		bool *isnull = &slot->tts_isnull[state->nouter + i];

		if (state->is_plain)
			*value = ExecEvalExpr(call->plain, econtext, isnull);
		else
			is_made = read_cached(state, call, value, isnull);
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
		state->ncached++;
		return slot;
	}

	ExecClearTuple(slot);
	begin_ahead(state);
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
		slot->tts_values[state->nouter + i] = (Datum) 0;
		slot->tts_isnull[state->nouter + i] = call->call == NULL;
		if (call->call == NULL)
			continue;
		iopool_feed_next(state->feed, result);
		slot->tts_values[state->nouter + i] = PointerGetDatum(result->buffer);
		/* there is no file, and need not be */
		slot->tts_isnull[state->nouter + i] = result->buffer == NULL;
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
		TupleTableSlot *slot = next_at_once(state);

		if (slot != NULL)
			return slot;
	}

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

static TupleTableSlot *
project_exec(CustomScanState *node)
{
	return iopool_scan_exec(node, next_row);
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
	if (state->is_plain || iopool_io_mode != IOPOOL_IO_DIRECT)
		state->nleft = 0;
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
