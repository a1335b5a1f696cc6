/*-------------------------------------------------------------------------
 *
 * scan_list.c
 *	  IopoolScan over iopool_list(): files as they are found.
 *
 * A function scan would find all of them before it hands the first one out, and
 * keep them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "scan/scan_internal.h"
#include "sql/request.h"

/* Begin to walk; false: an argument is NULL. */
static bool
begin_walk(IopoolScanState *state)
{
	Datum args[IOPOOL_SCAN_MAX_ARGS];
	MemoryContext old_cxt;
	bool has_values;

	iopool_request_enter();
	state->walk_cxt = AllocSetContextCreate(state->cxt, "iopool list",
											ALLOCSET_DEFAULT_SIZES);
	old_cxt = MemoryContextSwitchTo(state->walk_cxt);
	has_values = iopool_scan_evaluate_args(state, &state->calls[0], args);
	if (has_values)
	{
		IopoolWalkOptions options = {
			.path = TextDatumGetCString(args[0]),
			.pattern = TextDatumGetCString(args[1]),
		};

		state->walk = iopool_walk_begin(state->walk_cxt, &options);
	}
	MemoryContextSwitchTo(old_cxt);
	return has_values;
}

/* Add what a walk that has not ended has done. */
void
iopool_scan_add_walk(IopoolScanStats *stats, const IopoolWalk *walk)
{
	IopoolScanStats more = {0};

	iopool_walk_get_stats(walk, &more.walk);
	iopool_scan_add_stats(stats, &more);
}

/* No more files are wanted.  Harmless to repeat. */
void
iopool_scan_end_walk(IopoolScanState *state)
{
	if (state->walk != NULL)
		iopool_scan_add_walk(&state->stats, state->walk);
	state->walk = NULL;
	/* which closes what is open */
	if (state->walk_cxt != NULL)
		MemoryContextDelete(state->walk_cxt);
	state->walk_cxt = NULL;
}

/*
 * The columns of the next file, which last as long as a row of the node; false:
 * there are no more.
 */
bool
iopool_scan_next_file(IopoolScanState *state, Datum *values, bool *nulls)
{
	MemoryContext row_cxt =
		state->css.ss.ps.ps_ExprContext->ecxt_per_tuple_memory;
	MemoryContext old_cxt;
	IopoolWalkFile file;

	if ((state->walk == NULL && !begin_walk(state)) ||
		!iopool_walk_next(state->walk, &file))
	{
		iopool_scan_end_walk(state);
		return false;
	}

	old_cxt = MemoryContextSwitchTo(row_cxt);
	iopool_row_found_values(&file, values, nulls);
	MemoryContextSwitchTo(old_cxt);
	return true;
}
