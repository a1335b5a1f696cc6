/*-------------------------------------------------------------------------
 *
 * table_exec.c
 *	  Scans of foreign tables over directories.
 *
 * A walk finds files, conditions that need no data leave some out, and the
 * others are read: at once, or ahead, many at a time (scan_ahead.c).  Size and
 * time are those that were found with the name, which the conditions were about.
 * A file that has gone when it is its turn to be read was never there.
 *
 * As with all tables, rights are those of the user who the table is read for,
 * who may be the owner of a view.  Nothing of a user's runs with them: they
 * count while files are looked for, opened and read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "ring/settings.h"
#include "scan/table_internal.h"

/* Files that are taken ahead at most. */
#define MAX_FILES 4096

/* ------------------------------------------------------------------------
 * Files that are found
 */

static void
end_walk(IopoolTableScan *scan)
{
	if (scan->walk != NULL)
		iopool_scan_add_walk(&scan->stats, scan->walk);
	scan->walk = NULL;
	/* which closes what is open */
	if (scan->walk_cxt != NULL)
		MemoryContextDelete(scan->walk_cxt);
	scan->walk_cxt = NULL;
}

/* Walk among paths that are, or begin with, the values; NIL: among all. */
static void
begin_walk(IopoolTableScan *scan, List *values)
{
	IopoolWalkOptions options = {
		.path = scan->table->path,
		.pattern = scan->table->pattern,
	};

	if (scan->kind == IOPOOL_TABLE_EQUAL || scan->kind == IOPOOL_TABLE_ANY)
		options.paths = values;
	else if (values != NIL)
		options.prefix = linitial(values);
	scan->walk_cxt = AllocSetContextCreate(scan->cxt, "iopool table walk",
										   ALLOCSET_DEFAULT_SIZES);
	scan->walk = iopool_walk_begin(scan->walk_cxt, &options);
}

/*
 * The values of the condition, in the scan's context; NIL: it is NULL, or lets
 * nothing through.
 */
static List *
take_values(IopoolTableScan *scan)
{
	ExprContext *econtext = scan->econtext;
	MemoryContext old_cxt;
	List *values;
	Datum value;
	bool isnull;

	ResetExprContext(econtext);
	value = ExecEvalExprSwitchContext(scan->cond, econtext, &isnull);
	if (isnull)
		return NIL;
	old_cxt = MemoryContextSwitchTo(scan->cxt);
	values = iopool_table_cond_values(scan->kind, value);
	MemoryContextSwitchTo(old_cxt);
	return values;
}

/* Begin to look.  The right is asked for, whatever is to be found. */
static void
begin_files(IopoolTableScan *scan)
{
	List *values = NIL;
	IopoolTableUser saved;

	if (scan->cond != NULL)
	{
		values = take_values(scan);
		scan->has_ended = values == NIL;
	}
	saved = iopool_table_become(scan->userid);
	iopool_request_enter();
	begin_walk(scan, values);
	iopool_table_become_again(&saved);
	scan->has_begun = true;
}

/* The next file. */
static bool
next_file(IopoolTableScan *scan, IopoolWalkFile *file)
{
	IopoolTableUser saved;

	if (!scan->has_begun)
		begin_files(scan);
	if (scan->has_ended)
		return false;
	saved = iopool_table_become(scan->userid);
	scan->has_ended = !iopool_walk_next(scan->walk, file);
	if (scan->has_ended)
		end_walk(scan);
	iopool_table_become_again(&saved);
	return !scan->has_ended;
}

/* Do the early conditions let this file through? */
static bool
is_wanted(IopoolTableScan *scan, const IopoolWalkFile *file)
{
	TupleTableSlot *slot = scan->slot;
	MemoryContext old_cxt;
	text *path;

	if (scan->early == NULL)
		return true;
	ResetExprContext(scan->econtext);
	old_cxt = MemoryContextSwitchTo(scan->econtext->ecxt_per_tuple_memory);
	path = cstring_to_text_with_len(file->path, file->path_len);
	MemoryContextSwitchTo(old_cxt);

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   sizeof(bool) * slot->tts_tupleDescriptor->natts);
	iopool_table_file_values(scan->table, file, path, slot->tts_values,
							 slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(scan->node->ss.ss_currentRelation);
	scan->econtext->ecxt_scantuple = slot;
	return ExecQual(scan->early, scan->econtext);
}

/*
 * The same of a file that is taken ahead, whose error waits for its turn.
 */
static bool
is_wanted_or_fails(IopoolTableScan *scan, const IopoolWalkFile *file,
				   ErrorData **error)
{
	MemoryContext old_cxt = CurrentMemoryContext;
	volatile bool result = true;

	*error = NULL;
	if (!scan->holds_errors)
		return is_wanted(scan, file);
	PG_TRY();
	{
		result = is_wanted(scan, file);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old_cxt);
		*error = iopool_scan_hold_error(scan->cxt);
	}
	PG_END_TRY();
	return result;
}

/* The next file that the early conditions let through. */
static bool
next_wanted(IopoolTableScan *scan, IopoolWalkFile *file, ErrorData **error)
{
	while (next_file(scan, file))
	{
		bool is_ahead = scan->nrows > 0;

		CHECK_FOR_INTERRUPTS();
		*error = NULL;
		if (is_ahead ? is_wanted_or_fails(scan, file, error)
					 : is_wanted(scan, file))
			return true;
		scan->nskipped++;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Rows
 */

/*
 * The row of a file, with its data unless that is 0, in the current memory
 * context.
 */
static TupleTableSlot *
show_file(IopoolTableScan *scan, const IopoolWalkFile *file, Datum data)
{
	TupleTableSlot *slot = scan->node->ss.ss_ScanTupleSlot;
	AttrNumber attno = scan->table->attnos[IOPOOL_TABLE_DATA];

	memset(slot->tts_isnull, true,
		   sizeof(bool) * slot->tts_tupleDescriptor->natts);
	iopool_table_file_values(scan->table, file,
							 cstring_to_text_with_len(file->path,
													  file->path_len),
							 slot->tts_values, slot->tts_isnull);
	if (attno != 0 && DatumGetPointer(data) != NULL)
	{
		slot->tts_values[attno - 1] = data;
		slot->tts_isnull[attno - 1] = false;
	}
	return ExecStoreVirtualTuple(slot);
}

/* The next row of a scan that needs no data. */
static TupleTableSlot *
next_listed(IopoolTableScan *scan)
{
	IopoolWalkFile file;
	ErrorData *error;

	if (!next_wanted(scan, &file, &error))
		return NULL;
	return show_file(scan, &file, (Datum) 0);
}

static void
begin_feed(IopoolTableScan *scan)
{
	const IopoolFeedOptions options = {
		.in_order = true,
		.distance = 1,
		.kind = IOPOOL_STREAM_SCAN,
	};

	if (scan->feed != NULL)
		return;
	iopool_request_enter();
	scan->feed = iopool_feed_begin(scan->cxt, &options);
}

static void
end_feed(IopoolTableScan *scan)
{
	if (scan->feed != NULL)
	{
		iopool_scan_free_buffer(scan->feed, &scan->buffer);
		iopool_feed_end(scan->feed, &scan->stats.feed);
	}
	scan->feed = NULL;
	scan->has_added = false;
}

/* Read a file ahead. */
static void
add_row(IopoolTableScan *scan, const IopoolWalkFile *file, ErrorData *error)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(scan->cxt);
	IopoolTableRow *row = palloc0(sizeof(IopoolTableRow));
	IopoolTableUser saved;

	row->path = cstring_to_text_with_len(file->path, file->path_len);
	row->file = *file;
	row->file.path = VARDATA_ANY(row->path);
	row->error = error;
	scan->has_error |= error != NULL;
	dlist_push_tail(&scan->rows, &row->node);
	scan->nrows++;
	scan->ahead.nleft--;
	MemoryContextSwitchTo(old_cxt);
	if (error != NULL)
		return;

	saved = iopool_table_become(scan->userid);
	begin_feed(scan);
	row->call =
		iopool_feed_new_range(scan->feed, row->path, 0, IOPOOL_WHOLE_FILE);
	row->call->missing_ok = true;
	iopool_feed_add(scan->feed, row->call);
	scan->has_added = true;
	iopool_table_become_again(&saved);
}

static void
drop_row(IopoolTableScan *scan, IopoolTableRow *row)
{
	dlist_delete(&row->node);
	scan->nrows--;
	pfree(row->path);
	pfree(row);
}

/* Take files ahead until the feed has enough to do. */
static void
add_rows(IopoolTableScan *scan)
{
	while (scan->nrows == 0 ||
		   (iopool_enable_stream_scan && !scan->has_error &&
			scan->ahead.nleft > 0 && scan->nrows < MAX_FILES &&
			(scan->feed == NULL || iopool_feed_wants_call(scan->feed))))
	{
		IopoolWalkFile file;
		ErrorData *error;

		if (!next_wanted(scan, &file, &error))
		{
			if (scan->has_added)
				iopool_feed_complete(scan->feed);
			break;
		}
		add_row(scan, &file, error);
	}
}

/* Read a file at once, if it is in the page cache. */
static bool
read_now(IopoolTableScan *scan, const IopoolWalkFile *file, Datum *data)
{
	IopoolScanRange range = {
		.path = cstring_to_text_with_len(file->path, file->path_len),
		.length = IOPOOL_WHOLE_FILE,
		.missing_ok = true,
	};
	IopoolTableUser saved = iopool_table_become(scan->userid);
	bool is_read;

	begin_feed(scan);
	is_read = iopool_scan_read_now(scan->feed, &range, &scan->buffer, data);
	iopool_table_become_again(&saved);
	pfree(range.path);
	return is_read;
}

/* The next row, if it can be read at once, or NULL. */
static TupleTableSlot *
next_at_once(IopoolTableScan *scan)
{
	IopoolWalkFile file;
	ErrorData *error;
	Datum data;

	if (!next_wanted(scan, &file, &error))
		return NULL;
	if (read_now(scan, &file, &data))
	{
		scan->ahead.ncached++;
		return show_file(scan, &file, data);
	}
	iopool_scan_go_ahead(&scan->ahead);
	add_row(scan, &file, error);
	return NULL;
}

/*
 * A file has gone.  So it may seem where the directory has another name by now:
 * whoever may read any file has then looked for one of that name elsewhere.
 * Raises if it has.
 */
static void
check_directory(const IopoolTableScan *scan)
{
	(void) get_foreign_server_oid(scan->table->directory, false);
}

/* The first of the rows that are read ahead; NULL: its file has gone. */
static TupleTableSlot *
show_first(IopoolTableScan *scan)
{
	IopoolTableRow *row =
		dlist_head_element(IopoolTableRow, node, &scan->rows);
	TupleTableSlot *slot = NULL;
	IopoolTableUser saved;

	if (row->error != NULL)
		ReThrowError(row->error);
	saved = iopool_table_become(scan->userid);
	iopool_feed_next(scan->feed, &scan->result);
	iopool_feed_drop_call(scan->feed, row->call);
	iopool_table_become_again(&saved);
	if (scan->result.buffer != NULL)
		slot =
			show_file(scan, &row->file, PointerGetDatum(scan->result.buffer));
	else
		check_directory(scan);
	drop_row(scan, row);
	return slot;
}

/* The next row with its data. */
static TupleTableSlot *
next_read(IopoolTableScan *scan)
{
	for (;;)
	{
		TupleTableSlot *slot;

		if (!scan->has_ended && scan->nrows == 0 && scan->ahead.nleft <= 0)
		{
			slot = next_at_once(scan);
			if (slot != NULL)
				return slot;
		}
		else if (scan->nrows > 0 && scan->ahead.nleft <= 0 &&
				 !iopool_feed_is_quick(scan->feed))
			iopool_scan_stay_ahead(&scan->ahead);

		add_rows(scan);
		if (scan->nrows == 0)
		{
			if (scan->has_added)
				end_feed(scan);
			return NULL;
		}
		slot = show_first(scan);
		if (slot != NULL)
			return slot;
	}
}

/* What the last row was made of is not needed any more. */
static void
free_last(IopoolTableScan *scan)
{
	ExecClearTuple(scan->node->ss.ss_ScanTupleSlot);
	if (scan->result.buffer != NULL)
		iopool_feed_put_back(scan->feed, &scan->result);
}

/* IterateForeignScan */
TupleTableSlot *
iopool_table_iterate(ForeignScanState *node)
{
	IopoolTableScan *scan = node->fdw_state;

	free_last(scan);
	return scan->reads ? next_read(scan) : next_listed(scan);
}

/* ------------------------------------------------------------------------
 * Begin and end
 */

/* BeginForeignScan */
void
iopool_table_begin(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState *estate = node->ss.ps.state;
	IopoolTableScan *scan = palloc0(sizeof(IopoolTableScan));
	List *early = plan->fdw_exprs;

	node->fdw_state = scan;
	scan->node = node;
	scan->table = iopool_table_get(node->ss.ss_currentRelation);
	scan->kind = intVal(list_nth(plan->fdw_private, IOPOOL_TABLE_PLAN_COND));
	scan->reads = intVal(list_nth(plan->fdw_private, IOPOOL_TABLE_PLAN_READS));
	if (scan->kind != IOPOOL_TABLE_NO_COND)
	{
		scan->cond = ExecInitExpr(linitial(early), &node->ss.ps);
		early = list_copy_tail(early, 1);
	}
	scan->early = ExecInitQual(early, &node->ss.ps);
	scan->holds_errors = !iopool_scan_may_need_rollback((Node *) early);
	scan->userid = iopool_foreignscan_user(plan, estate);
	if (!OidIsValid(scan->userid))
		scan->userid = GetUserId();

	scan->econtext = CreateExprContext(estate);
	scan->slot =
		ExecInitExtraTupleSlot(estate,
							   RelationGetDescr(node->ss.ss_currentRelation),
							   &TTSOpsVirtual);
	scan->cxt = AllocSetContextCreate(estate->es_query_cxt, "iopool table",
									  ALLOCSET_DEFAULT_SIZES);
	dlist_init(&scan->rows);
	if (iopool_io_mode == IOPOOL_IO_DIRECT)
		scan->ahead.nleft = PG_INT64_MAX;
}

/* Nothing is in flight after this, nothing is open, and no ring is held. */
static void
stop(IopoolTableScan *scan)
{
	free_last(scan);
	ExecClearTuple(scan->slot);
	end_feed(scan);
	end_walk(scan);
	MemoryContextReset(scan->cxt);
	scan->has_begun = false;
	scan->has_ended = false;
	scan->has_error = false;
	dlist_init(&scan->rows);
	scan->nrows = 0;
}

/* ReScanForeignScan: files are looked for again. */
void
iopool_table_rescan(ForeignScanState *node)
{
	stop(node->fdw_state);
}

/* EndForeignScan */
void
iopool_table_end(ForeignScanState *node)
{
	if (node->fdw_state != NULL)
		stop(node->fdw_state);
}

/* ShutdownForeignScan: nobody asks for rows for a while, or ever. */
void
iopool_table_shutdown(ForeignScanState *node)
{
	iopool_stream_leave(true);
}
