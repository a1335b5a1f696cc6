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

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/range.h"
#include "ring/settings.h"
#include "scan/scan_internal.h"

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
void
iopool_scan_begin_feed(IopoolScanState *state, bool in_order)
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
bool
iopool_scan_evaluate_args(IopoolScanState *state, const IopoolScanCall *call,
						  Datum *args)
{
	ExprContext *econtext = state->args_econtext;
	bool has_null = false;
	int nargs = 0;
	ListCell *lc;

	foreach(lc, call->args)
	{
		bool isnull;

		args[nargs++] =
			ExecEvalExpr((ExprState *) lfirst(lc), econtext, &isnull);
		has_null |= isnull;
	}
	return !has_null;
}

/*
 * The range of a call of iopool_read(), whose arguments are not NULL.  Other
 * forms of the function differ here, and in iopool_scan_identify().  False: it
 * is none that can be asked for.
 */
bool
iopool_scan_get_range(const IopoolScanCall *call, const Datum *args,
					  IopoolScanRange *range)
{
	range->path = DatumGetTextPP(args[0]);
	range->missing_ok = false;
	if (iopool_scan_is_file(call->function))
	{
		range->offset = 0;
		range->length = IOPOOL_WHOLE_FILE;
		if (call->function == IOPOOL_SCAN_FILE_MISSING_OK)
			range->missing_ok = DatumGetBool(args[1]);
		return true;
	}

	Assert(iopool_scan_is_single(call->function));
	range->offset = DatumGetInt64(args[1]);
	range->length = DatumGetInt64(args[2]);
	if (call->function == IOPOOL_SCAN_READ_MISSING_OK)
		range->missing_ok = DatumGetBool(args[3]);
	return iopool_range_failure(range->offset, range->length) ==
		IOPOOL_FAILURE_NONE;
}

/* Is this error that of a value or a name, and not, say, a cancel? */
static bool
is_of_arguments(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT;
}

/*
 * In PG_CATCH(), in the memory context of before: take the error, into cxt, to
 * be raised when a row's turn comes.  The caller knows that nothing is held where
 * it comes from.  One that does not come from a value or a name is raised at
 * once.
 */
ErrorData *
iopool_scan_hold_error(MemoryContext cxt)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(cxt);
	ErrorData *error = CopyErrorData();

	Assert(old_cxt != ErrorContext);
	if (!is_of_arguments(error))
	{
		MemoryContextSwitchTo(ErrorContext);
		PG_RE_THROW();
	}
	MemoryContextSwitchTo(old_cxt);
	FlushErrorState();
	return error;
}

/* The same, with the call that it comes from. */
static void
hold_error(IopoolScanState *state, IopoolScanRowCall *call)
{
	call->error = iopool_scan_hold_error(state->cxt);
	state->has_error = true;
}

/*
 * The same of arguments that nobody's code computes but the server's own.
 * Errors of others come at once: only a subtransaction could catch them.
 */
static bool
evaluate_or_hold(IopoolScanState *state, const IopoolScanCall *call,
				 IopoolScanRowCall *row_call, Datum *args)
{
	MemoryContext old_cxt = CurrentMemoryContext;
	volatile bool has_values = false;
	Oid userid;
	int sec_context;

	GetUserIdAndSecContext(&userid, &sec_context);
	if (!call->holds_errors)
		has_values = iopool_scan_evaluate_args(state, call, args);
	else
	{
		PG_TRY();
		{
			has_values = iopool_scan_evaluate_args(state, call, args);
		}
		PG_CATCH();
		{
			Oid userid_now;
			int sec_context_now;

			GetUserIdAndSecContext(&userid_now, &sec_context_now);
			if (userid_now != userid || sec_context_now != sec_context)
				PG_RE_THROW();
			MemoryContextSwitchTo(old_cxt);
			hold_error(state, row_call);
		}
		PG_END_TRY();
	}
	row_call->is_null = !has_values && row_call->error == NULL;
	return has_values;
}

/* Name the file of a range, and add its call. */
static void
name_range(IopoolScanState *state, IopoolScanRowCall *row_call,
		   const IopoolScanRange *range)
{
	MemoryContext old_cxt = CurrentMemoryContext;

	PG_TRY();
	{
		row_call->call = iopool_feed_new_range(state->feed, range->path,
											   range->offset, range->length);
		row_call->call->missing_ok = range->missing_ok;
		iopool_feed_add(state->feed, row_call->call);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old_cxt);
		hold_error(state, row_call);
	}
	PG_END_TRY();
}

/* Add a call of iopool_read(). */
static void
add_range(IopoolScanState *state, const IopoolScanCall *call,
		  IopoolScanRowCall *row_call)
{
	Datum args[IOPOOL_SCAN_MAX_ARGS];
	IopoolScanRange range;

	iopool_scan_begin_feed(state, true);
	if (!evaluate_or_hold(state, call, row_call, args))
		return;
	if (iopool_scan_get_range(call, args, &range))
		name_range(state, row_call, &range);
	else
	{
		/* to be raised when the row's turn comes */
		row_call->is_invalid = true;
		row_call->offset = range.offset;
		row_call->length = range.length;
		state->has_error = true;
	}
}

/*
 * Take the arguments of a batch into the row's memory, in the order in which
 * the function looks at them, name their files, and add the call.
 */
static void
name_ranges(IopoolScanState *state, const IopoolScanCall *call,
			IopoolScanRowCall *row_call, const Datum *args)
{
	MemoryContext old_cxt = CurrentMemoryContext;

	PG_TRY();
	{
		bool is_files = call->function == IOPOOL_SCAN_FILES;
		/* on_error, in_order */
		const Datum *options = args + (is_files ? 1 : 3);
		IopoolArgs ranges;
		bool report;

		if (is_files)
			iopool_args_take_files(&ranges, row_call->cxt, args[0]);
		else
			iopool_args_take(&ranges, row_call->cxt,
							 call->function == IOPOOL_SCAN_BATCH_PATHS
								 ? IOPOOL_ARGS_PATHS
								 : IOPOOL_ARGS_PATH,
							 args);
		report = iopool_args_is_report(options[0]);
		if (!report)
			iopool_args_check(&ranges);
		iopool_scan_begin_feed(state,
							   state->outer != NULL ||
								   DatumGetBool(options[1]));
		row_call->call = iopool_feed_new_call(state->feed, &ranges, report);
		iopool_feed_add(state->feed, row_call->call);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old_cxt);
		hold_error(state, row_call);
	}
	PG_END_TRY();
}

/* Add a call of iopool_read_batch(); returns what it takes, in bytes. */
static Size
add_ranges(IopoolScanState *state, const IopoolScanCall *call,
		   IopoolScanRowCall *row_call)
{
	Datum args[IOPOOL_SCAN_MAX_ARGS];

	if (!evaluate_or_hold(state, call, row_call, args))
		return 0;
	iopool_shmem_require();
	row_call->cxt = AllocSetContextCreate(state->cxt, "iopool scan row",
										  ALLOCSET_SMALL_SIZES);
	name_ranges(state, call, row_call, args);
	return MemoryContextMemAllocated(row_call->cxt, true);
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

/* A row without calls, of an outer row unless that is NULL. */
static IopoolScanRow *
new_row(IopoolScanState *state, TupleTableSlot *outer)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(state->cxt);
	IopoolScanRow *row = palloc0(offsetof(IopoolScanRow, calls) +
								 sizeof(IopoolScanRowCall) * state->ncalls);

	if (outer != NULL)
	{
		row->outer = ExecCopySlotMinimalTuple(outer);
		row->size = row->outer->t_len;
		iopool_scan_show_outer(row, state->ahead_slot);
		ExecClearTuple(state->args_slot);
		iopool_scan_copy_outer(state, state->ahead_slot, state->args_slot);
		ExecStoreVirtualTuple(state->args_slot);
	}
	if (state->table != NULL)
	{
		row->tid = state->table->ss_ScanTupleSlot->tts_tid;
		row->tableoid = state->table->ss_ScanTupleSlot->tts_tableOid;
	}
	MemoryContextSwitchTo(old_cxt);
	return row;
}

/* Add the calls of a row that has been taken. */
static void
add_calls_of(IopoolScanState *state, IopoolScanRow *row)
{
	MemoryContext old_cxt;

	ResetExprContext(state->args_econtext);
	state->args_econtext->ecxt_scantuple = state->args_slot;
	old_cxt =
		MemoryContextSwitchTo(state->args_econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < state->ncalls && !state->has_error; i++)
	{
		const IopoolScanCall *call = &state->calls[i];

		if (iopool_scan_is_single(call->function))
			add_range(state, call, &row->calls[i]);
		else
			row->size += add_ranges(state, call, &row->calls[i]);
	}
	MemoryContextSwitchTo(old_cxt);
}

/* Take a row, of an outer row unless that is NULL, and add its calls. */
void
iopool_scan_add_row(IopoolScanState *state, TupleTableSlot *outer)
{
	IopoolScanRow *row = new_row(state, outer);

	/* what is read from here on may fail: the row is found when it does */
	dlist_push_tail(&state->rows, &row->node);
	state->nrows++;
	state->ahead.nleft--;
	state->has_added = true;
	add_calls_of(state, row);
	state->row_bytes += row->size;
}

/* Take the next row; false when there are no more. */
static bool
add_next_row(IopoolScanState *state)
{
	TupleTableSlot *outer = NULL;
	bool has_row = !state->outer_ended;

	if (state->outer == NULL)
		state->outer_ended = true;
	else if (has_row)
	{
		outer = ExecProcNode(state->outer);
		has_row = !TupIsNull(outer);
		state->outer_ended = !has_row;
	}
	if (has_row)
		iopool_scan_add_row(state, outer);
	if (state->outer_ended && state->has_added && state->feed != NULL)
		iopool_feed_complete(state->feed);
	return has_row;
}

/* Take rows until the feed has enough to do. */
void
iopool_scan_add_calls(IopoolScanState *state)
{
	/* there is no feed before there is a call */
	while (state->nrows == 0 ||
		   (state->feed != NULL && !state->has_error &&
			state->ahead.nleft > 0 && iopool_feed_wants_call(state->feed) &&
			state->nrows < MAX_ROWS &&
			state->row_bytes < iopool_max_in_flight_bytes))
	{
		CHECK_FOR_INTERRUPTS();
		if (!add_next_row(state))
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
	for (int i = 0; i < state->ncalls; i++)
	{
		if (row->calls[i].call != NULL)
			iopool_feed_drop_call(state->feed, row->calls[i].call);
		if (row->calls[i].cxt != NULL)
			MemoryContextDelete(row->calls[i].cxt);
	}
	if (row->outer != NULL)
		pfree(row->outer);
	state->row_bytes -= row->size;
	dlist_delete(&row->node);
	state->nrows--;
	pfree(row);
	state->current = NULL;
}

/*
 * The turn of a call has come: raise what is wrong with its arguments.
 */
void
iopool_scan_check_call(const IopoolScanRowCall *call)
{
	if (call->error != NULL)
		ReThrowError(call->error);
	if (call->is_invalid)
		iopool_range_check(call->offset, call->length);
}
