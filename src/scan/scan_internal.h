/*-------------------------------------------------------------------------
 *
 * scan_internal.h
 *	  Executor nodes in the place of function scans: private to scan_*.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SCAN_INTERNAL_H
#define IOPOOL_SCAN_INTERNAL_H

#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/pathnodes.h"

#include "sql/feed.h"
#include "sql/row.h"

/* The functions that a node can take the place of. */
typedef enum IopoolScanFunction
{
	IOPOOL_SCAN_NONE,
	IOPOOL_SCAN_READ,		  /* iopool_read(path, offset, length) */
	IOPOOL_SCAN_BATCH,		  /* iopool_read_batch(path, offsets, lengths) */
	IOPOOL_SCAN_BATCH_LENGTH, /* (path, offsets, length) */
	IOPOOL_SCAN_BATCH_PATHS,  /* (paths, offsets, lengths) */
} IopoolScanFunction;

/* Most arguments of these functions. */
#define IOPOOL_SCAN_MAX_ARGS 5

/*
 * What the planner tells the executor, in custom_private: integers at these
 * places.  The function call is the only one of custom_exprs.  Columns of the
 * outer plan come first in custom_scan_tlist, then those of the function,
 * whose numbers (from 1) follow at IOPOOL_SCAN_COLUMNS.
 */
enum
{
	IOPOOL_SCAN_FUNCTION, /* IopoolScanFunction */
	IOPOOL_SCAN_IS_LEFT,  /* outer rows without results are kept */
	IOPOOL_SCAN_COLUMNS,
};

/* Places in custom_private of a path: the call, clauses, an IntList. */
enum
{
	IOPOOL_PATH_CALL,
	IOPOOL_PATH_CLAUSES, /* of a join: its RestrictInfos */
	IOPOOL_PATH_INFO,	 /* as IOPOOL_SCAN_FUNCTION and _IS_LEFT */
	IOPOOL_PATH_RTI,	 /* of the function */
};

/* A call whose results are not handed out yet, with its outer row. */
typedef struct IopoolScanRow
{
	dlist_node node;	/* in state->rows */
	MinimalTuple outer; /* or NULL: there is no outer plan */
	MemoryContext cxt;	/* of its arguments, or NULL */
	IopoolCall *call;	/* NULL: an argument is NULL */
	Size size;			/* bytes of all of this */
	bool is_null;		/* has one row, of NULL */
	ErrorData *error;	/* what is wrong with its arrays, or NULL */
	bool is_invalid;	/* offset and length are no range */
	int64 offset;
	int64 length;
} IopoolScanRow;

/* See scan_workers.c. */
typedef struct IopoolScanWorkers IopoolScanWorkers;

typedef struct IopoolScanState
{
	CustomScanState css;

	/* constant */
	IopoolScanFunction function;
	bool is_left;
	int nouter;		   /* columns of the outer plan */
	int ncolumns;	   /* of the function */
	int *columns;	   /* [ncolumns], their numbers, from 1 */
	List *args;		   /* of ExprState */
	Bitmapset *params; /* that the arguments depend on, if known */
	bool has_subplan;  /* in the arguments: not all are known */
	MemoryContext cxt; /* of calls; a child of the query's */

	ExprContext *args_econtext;
	TupleTableSlot *args_slot;	/* what arguments are evaluated over */
	TupleTableSlot *ahead_slot; /* the outer row in it, as it is kept */
	TupleTableSlot *outer_slot; /* an outer row, as it is kept */

	PlanState *outer; /* NULL: there is none, and one call */

	IopoolFeed *feed; /* NULL: not begun */
	dlist_head rows;  /* of IopoolScanRow, first first */
	int nrows;		  /* read ahead, and their bytes */
	int64 row_bytes;
	bool outer_ended;		/* no more calls */
	IopoolScanRow *current; /* whose results are handed out */
	bool current_has_row;
	IopoolResult result; /* the last; its buffer is put back with the next */
	text *message;

	/* rows are kept where they may be wanted again */
	Tuplestorestate *store; /* or NULL */
	TupleTableSlot *store_slot;
	bool has_ended; /* all rows have been read */

	IopoolFeedStats stats;		/* of feeds that have ended */
	IopoolScanWorkers *workers; /* NULL: nobody wants to know */
} IopoolScanState;

/* scan_function.c */
extern IopoolScanFunction iopool_scan_identify(Oid funcid);
extern FuncExpr *iopool_scan_call_of(RangeTblEntry *rte,
									 IopoolScanFunction *function);

/* scan_plan.c */
extern Expr *iopool_scan_find_outer(List *exprs, Node *node);
extern Plan *iopool_scan_plan_path(PlannerInfo *root, RelOptInfo *rel,
								   CustomPath *path, List *tlist,
								   List *clauses, List *custom_plans);

/* scan_safe.c */
extern bool iopool_scan_expr_has_side_effects(Node *node, PlannerInfo *root);
extern bool iopool_scan_relations_have_side_effects(PlannerInfo *root,
													Relids relids);

/* scan_calls.c */
extern void iopool_scan_add_calls(IopoolScanState *state);
extern void iopool_scan_drop_row(IopoolScanState *state);
extern void iopool_scan_show_outer(const IopoolScanRow *row,
								   TupleTableSlot *slot);
extern void iopool_scan_copy_outer(IopoolScanState *state,
								   const TupleTableSlot *outer,
								   TupleTableSlot *slot);

/* scan_exec.c */
extern const CustomScanMethods iopool_scan_methods;
extern const CustomScanMethods iopool_lateral_methods;

/* scan_workers.c */
extern void iopool_scan_workers_begin(IopoolScanState *state, EState *estate);
extern void iopool_scan_workers_report(IopoolScanState *state);
extern void iopool_scan_workers_hide(IopoolScanState *state);
extern int iopool_scan_workers_get(const IopoolScanState *state,
								   const IopoolFeedStats **slots);

/* scan_explain.c */
extern void iopool_scan_explain(CustomScanState *node, List *ancestors,
								ExplainState *es);

#endif /* IOPOOL_SCAN_INTERNAL_H */
