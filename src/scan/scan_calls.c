/*-------------------------------------------------------------------------
 *
 * scan_calls.c
 *	  Rows that a node has taken ahead, and the calls that read for them.
 *
 * What is wrong with the arguments of a call is kept with its row and raised
 * when the row's turn comes, as a node that takes one row at a time would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/range.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"
#include "sql/request.h"

/* Outer rows that are read ahead at most, whatever their calls ask for. */
#define MAX_ROWS 4096

/*
 * How far ahead is read at first where all ranges are known: enough to keep a
 * disk busy.  Calls that are yet to be made begin with one, so that a query
 * that wants only a row asks for no other.
 */
#define FIRST_DISTANCE 128

/*
 * Begin the feed of this scan.  Paths are looked at with the rights that the
 * query runs with, which is what a call would do.
 */
static void
begin_feed(IopoolScanState *state, bool in_order)
{
	IopoolFeedOptions options = {
		.in_order = in_order,
		.distance = state->outer != NULL ? 1 : FIRST_DISTANCE,
		.kind = IOPOOL_STREAM_SCAN,
	};

	if (state->feed != NULL)
		return;
	iopool_request_enter();
	state->feed = iopool_feed_begin(state->cxt, &options);
}

/*
 * Evaluate the arguments of a call, in the current memory context; false if
 * one of them is NULL.  By-reference values may lie anywhere, such as in a
 * tuple of a sub-select, and are good until the next evaluation.
 */
static bool
evaluate_args(IopoolScanState *state, Datum *args)
{
	ExprContext *econtext = state->args_econtext;
	bool has_null = false;
	int nargs = 0;
	ListCell *lc;

	foreach(lc, state->args)
	{
		bool isnull;

		args[nargs++] =
			ExecEvalExpr((ExprState *) lfirst(lc), econtext, &isnull);
		has_null |= isnull;
	}
	return !has_null;
}

/* Add the call of a row of iopool_read(). */
static void
add_range(IopoolScanState *state, IopoolScanRow *row)
{
	MemoryContext old_cxt =
		MemoryContextSwitchTo(state->args_econtext->ecxt_per_tuple_memory);
	Datum args[IOPOOL_SCAN_MAX_ARGS];

	begin_feed(state, true);
	if (evaluate_args(state, args))
	{
		row->offset = DatumGetInt64(args[1]);
		row->length = DatumGetInt64(args[2]);
		/* to be raised when the row's turn comes */
		row->is_invalid = !iopool_range_is_valid(row->offset, row->length);
		if (!row->is_invalid)
		{
			row->call =
				iopool_feed_new_range(state->feed, DatumGetTextPP(args[0]),
									  row->offset, row->length);
			iopool_feed_add(state->feed, row->call);
		}
	}
	else
		row->is_null = true;
	MemoryContextSwitchTo(old_cxt);
}

static IopoolArgsForm
form_of(IopoolScanFunction function)
{
	switch (function)
	{
		case IOPOOL_SCAN_BATCH_LENGTH:
			return IOPOOL_ARGS_LENGTH;
		case IOPOOL_SCAN_BATCH_PATHS:
			return IOPOOL_ARGS_PATHS;
		default:
			return IOPOOL_ARGS_LENGTHS;
	}
}

/*
 * Take the arguments of a batch into the row's memory, in the order in which
 * the function looks at them.  What is wrong with them is kept, to be raised
 * when the row's turn comes.  Nothing is held where the error comes from, so
 * it can be caught.
 */
static void
take_args(IopoolScanState *state, IopoolScanRow *row, const Datum *args,
		  IopoolArgs *ranges, bool *report)
{
	MemoryContext old_cxt = CurrentMemoryContext;

	PG_TRY();
	{
		iopool_args_take(ranges, row->cxt, form_of(state->function), args);
		*report = iopool_args_is_report(args[3]);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(row->cxt);
		row->error = CopyErrorData();
		MemoryContextSwitchTo(old_cxt);
		/* a cancel, say, is not for later */
		if (row->error->sqlerrcode != ERRCODE_INVALID_PARAMETER_VALUE &&
			row->error->sqlerrcode != ERRCODE_NULL_VALUE_NOT_ALLOWED)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
}

/* Add the call of a row of iopool_read_batch(). */
static void
add_ranges(IopoolScanState *state, IopoolScanRow *row)
{
	MemoryContext old_cxt =
		MemoryContextSwitchTo(state->args_econtext->ecxt_per_tuple_memory);
	Datum args[IOPOOL_SCAN_MAX_ARGS];
	IopoolArgs ranges;
	bool report;

	if (evaluate_args(state, args))
	{
		iopool_shmem_require();
		row->cxt = AllocSetContextCreate(state->cxt, "iopool scan row",
										 ALLOCSET_SMALL_SIZES);
		take_args(state, row, args, &ranges, &report);
		if (row->error == NULL)
		{
			begin_feed(state, row->outer != NULL || DatumGetBool(args[4]));
			row->call = iopool_feed_new_call(state->feed, &ranges, report);
			iopool_feed_add(state->feed, row->call);
		}
		row->size += MemoryContextMemAllocated(row->cxt, true);
	}
	MemoryContextSwitchTo(old_cxt);
}

/* Take the columns of a kept outer row apart. */
void
iopool_scan_show_outer(const IopoolScanRow *row, TupleTableSlot *slot)
{
	ExecStoreMinimalTuple(row->outer, slot, false);
	slot_getallattrs(slot);
}

/* Put them in front of those of the function, in a slot of the scan's. */
void
iopool_scan_copy_outer(IopoolScanState *state, const TupleTableSlot *outer,
					   TupleTableSlot *slot)
{
	memcpy(slot->tts_values, outer->tts_values, sizeof(Datum) * state->nouter);
	memcpy(slot->tts_isnull, outer->tts_isnull, sizeof(bool) * state->nouter);
}

/* The next outer row, as a row without a call; NULL: there is none. */
static IopoolScanRow *
next_outer(IopoolScanState *state)
{
	IopoolScanRow *row;
	MemoryContext old_cxt;
	TupleTableSlot *slot = NULL;

	if (state->outer != NULL)
	{
		slot = ExecProcNode(state->outer);
		if (TupIsNull(slot))
			return NULL;
	}

	old_cxt = MemoryContextSwitchTo(state->cxt);
	row = palloc0(sizeof(IopoolScanRow));
	if (slot != NULL)
	{
		row->outer = ExecCopySlotMinimalTuple(slot);
		row->size = row->outer->t_len;
		iopool_scan_show_outer(row, state->ahead_slot);
		ExecClearTuple(state->args_slot);
		iopool_scan_copy_outer(state, state->ahead_slot, state->args_slot);
		ExecStoreVirtualTuple(state->args_slot);
	}
	else
		state->outer_ended = true;
	MemoryContextSwitchTo(old_cxt);
	return row;
}

/* Add one call; false when there are no more. */
static bool
add_call(IopoolScanState *state)
{
	IopoolScanRow *row = NULL;

	if (!state->outer_ended)
		row = next_outer(state);
	if (row == NULL)
	{
		state->outer_ended = true;
		if (state->feed != NULL)
			iopool_feed_complete(state->feed);
		return false;
	}

	/* what is read from here on may fail: the row is found when it does */
	dlist_push_tail(&state->rows, &row->node);
	state->nrows++;

	ResetExprContext(state->args_econtext);
	state->args_econtext->ecxt_scantuple = state->args_slot;
	if (state->function == IOPOOL_SCAN_READ)
		add_range(state, row);
	else
		add_ranges(state, row);
	state->row_bytes += row->size;
	if (state->outer_ended && state->feed != NULL)
		iopool_feed_complete(state->feed);
	return true;
}

/* Add calls until the feed has enough to do. */
void
iopool_scan_add_calls(IopoolScanState *state)
{
	/* there is no feed before there is a call */
	while (state->nrows == 0 ||
		   (state->feed != NULL && iopool_feed_wants_call(state->feed) &&
			state->nrows < MAX_ROWS &&
			state->row_bytes < iopool_max_in_flight_bytes))
	{
		CHECK_FOR_INTERRUPTS();
		if (!add_call(state))
			break;
	}
}

/* The current row's results have been handed out. */
void
iopool_scan_drop_row(IopoolScanState *state)
{
	IopoolScanRow *row = state->current;

	ExecClearTuple(state->css.ss.ss_ScanTupleSlot);
	ExecClearTuple(state->outer_slot);
	if (row->call != NULL)
		iopool_feed_drop_call(state->feed, row->call);
	if (row->cxt != NULL)
		MemoryContextDelete(row->cxt);
	if (row->outer != NULL)
		pfree(row->outer);
	state->row_bytes -= row->size;
	dlist_delete(&row->node);
	state->nrows--;
	pfree(row);
	state->current = NULL;
}
