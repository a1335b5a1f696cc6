/*-------------------------------------------------------------------------
 *
 * scan_internal.h
 *	  Executor nodes that read: private to src/scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SCAN_INTERNAL_H
#define IOPOOL_SCAN_INTERNAL_H

#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/pathnodes.h"

#include "file/walk.h"
#include "sql/request.h"
#include "sql/row.h"

/* The functions that a node can take the place of. */
typedef enum IopoolScanFunction
{
	IOPOOL_SCAN_NONE,
	IOPOOL_SCAN_READ,			 /* iopool_read(path, offset, length) */
	IOPOOL_SCAN_READ_MISSING_OK, /* (path, offset, length, missing_ok) */
	IOPOOL_SCAN_FILE,			 /* (path) */
	IOPOOL_SCAN_FILE_MISSING_OK, /* (path, missing_ok) */
	IOPOOL_SCAN_BATCH,		 /* iopool_read_batch(path, offsets, lengths) */
	IOPOOL_SCAN_BATCH_PATHS, /* (paths, offsets, lengths) */
	IOPOOL_SCAN_FILES,		 /* iopool_read_files(paths) */
	IOPOOL_SCAN_FETCH,		 /* iopool_fetch(request) */
	IOPOOL_SCAN_FETCH_NEXT,	 /* iopool_fetch_next(request, max_rows) */
	IOPOOL_SCAN_LIST,		 /* iopool_list(path, pattern) */
} IopoolScanFunction;

/* Is it one that reads? */
static inline bool
iopool_scan_reads(IopoolScanFunction function)
{
	return function >= IOPOOL_SCAN_READ && function <= IOPOOL_SCAN_FILES;
}

/* Does it leave everything as it was? */
static inline bool
iopool_scan_only_looks(IopoolScanFunction function)
{
	return iopool_scan_reads(function) || function == IOPOOL_SCAN_LIST;
}

/* Does it hand out what a request has read? */
static inline bool
iopool_scan_is_fetch(IopoolScanFunction function)
{
	return function == IOPOOL_SCAN_FETCH || function == IOPOOL_SCAN_FETCH_NEXT;
}

/* Is it iopool_read(), in any form? */
static inline bool
iopool_scan_is_single(IopoolScanFunction function)
{
	return function >= IOPOOL_SCAN_READ &&
		function <= IOPOOL_SCAN_FILE_MISSING_OK;
}

/* Is it one that reads whole files? */
static inline bool
iopool_scan_is_file(IopoolScanFunction function)
{
	return function == IOPOOL_SCAN_FILE ||
		function == IOPOOL_SCAN_FILE_MISSING_OK;
}

/*
 * Cost of a call that is read ahead of time, as a share of what it costs when
 * it is waited for alone.
 */
#define IOPOOL_SCAN_COST_SHARE 0.25

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

/* Places in custom_private of the plan of IopoolProject: lists of numbers. */
enum
{
	IOPOOL_PROJECT_OIDS,	  /* of the functions */
	IOPOOL_PROJECT_FUNCTIONS, /* IopoolScanFunction */
};

/* Places in custom_private of a path of IopoolProject. */
enum
{
	IOPOOL_PROJECT_CALLS,	/* FuncExpr */
	IOPOOL_PROJECT_CLAUSES, /* RestrictInfos that it looks at */
	IOPOOL_PROJECT_PLAIN,	/* the path of a relation that it replaces */
};

/* Places in custom_private of a path: the call, clauses, an IntList. */
enum
{
	IOPOOL_PATH_CALL,
	IOPOOL_PATH_CLAUSES, /* of a join: its RestrictInfos */
	IOPOOL_PATH_INFO,	 /* as IOPOOL_SCAN_FUNCTION and _IS_LEFT */
	IOPOOL_PATH_RTI,	 /* of the function */
};

/* What a call of iopool_read() reads. */
typedef struct IopoolScanRange
{
	text *path;
	int64 offset;
	int64 length; /* or IOPOOL_WHOLE_FILE */
	bool missing_ok;
} IopoolScanRange;

/* Memory of the last result that was read at once, for the next one. */
typedef struct IopoolScanBuffer
{
	char *data; /* or NULL */
	Size size;
} IopoolScanBuffer;

/* How far a node goes ahead; see scan_ahead.c. */
typedef struct IopoolScanAhead
{
	int64 nleft;	/* rows that may be taken ahead yet */
	int64 distance; /* rows that are taken ahead before the next try */
	int64 ncached;	/* rows that were read at once, since then */
} IopoolScanAhead;

/* What a node, or one of its workers, has done. */
typedef struct IopoolScanStats
{
	IopoolFeedStats feed;
	IopoolWalkStats walk; /* of walks that have ended */
} IopoolScanStats;

/* One call of a row that is taken ahead. */
typedef struct IopoolScanRowCall
{
	IopoolCall *call;  /* NULL: nothing is to be read */
	MemoryContext cxt; /* of its arguments, or NULL */
	ErrorData *error;  /* raised when its turn comes, or NULL */
	bool is_null;	   /* an argument is NULL */
	bool is_invalid;   /* offset and length are no range */
	int64 offset;
	int64 length;
} IopoolScanRowCall;

/* Calls whose results are not handed out yet, with their outer row. */
typedef struct IopoolScanRow
{
	dlist_node node;	 /* in state->rows */
	MinimalTuple outer;	 /* or NULL: there is no outer plan */
	ItemPointerData tid; /* where that comes from, if it is known */
	Oid tableoid;
	Size size;										/* bytes of all of this */
	IopoolScanRowCall calls[FLEXIBLE_ARRAY_MEMBER]; /* [state->ncalls] */
} IopoolScanRow;

/* A call of the plan. */
typedef struct IopoolScanCall
{
	IopoolScanFunction function;
	FuncExpr *expr;
	List *args;		   /* of ExprState */
	bool holds_errors; /* an error of its arguments can be raised later */

	IopoolScanBuffer buffer;
	ExprState *plain; /* of IopoolProject: the call itself, where nothing is
						* read ahead */
} IopoolScanCall;

/* See scan_workers.c. */
typedef struct IopoolScanWorkers IopoolScanWorkers;

typedef struct IopoolScanState
{
	CustomScanState css;

	/* constant */
	int ncalls; /* of a row */
	IopoolScanCall *calls;
	bool is_left;
	int nouter;		   /* columns of the outer plan */
	int ncolumns;	   /* of the function */
	int *columns;	   /* [ncolumns], their numbers, from 1 */
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
	bool outer_ended; /* no more calls */
	bool has_added;	  /* rows, since the feed was begun */
	bool has_error;	  /* a row ahead will raise: no more are taken */
	IopoolScanAhead ahead;
	IopoolScanRow *current; /* whose results are handed out */
	bool current_has_row;
	IopoolResult *results; /* [ncalls], of the last row; their buffers are put
							* back with the next */
	text *message;

	/* rows are kept where they may be wanted again */
	Tuplestorestate *store; /* or NULL */
	TupleTableSlot *store_slot;
	bool has_ended; /* all rows have been read */

	/* of a request */
	bool has_taken; /* its rows */
	IopoolTakenRows *taken;

	/* of iopool_list(); see scan_list.c */
	IopoolWalk *walk; /* NULL: not begun, or ended */
	MemoryContext walk_cxt;

	/* of IopoolProject only */
	ScanState *table; /* whose rows are the outer ones, or NULL */
	bool is_plain;	  /* calls are made as they stand in the query */

	IopoolScanStats stats;		/* of feeds and walks that have ended */
	IopoolScanWorkers *workers; /* NULL: nobody wants to know */
} IopoolScanState;

/* scan_function.c */
extern IopoolScanFunction iopool_scan_identify(Oid funcid);
extern bool iopool_scan_is_read(const Node *node);
extern FuncExpr *iopool_scan_call_of(RangeTblEntry *rte,
									 IopoolScanFunction *function);

/* scan_path.c */
extern bool iopool_scan_is_path(const Path *path);

/* scan_plan.c */
extern Expr *iopool_scan_find_outer(List *exprs, Node *node);
extern List *iopool_scan_order_clauses(PlannerInfo *root, List *clauses);
extern List *iopool_scan_outer_columns(List *custom_plans);
extern Plan *iopool_scan_plan_path(PlannerInfo *root, RelOptInfo *rel,
								   CustomPath *path, List *tlist,
								   List *clauses, List *custom_plans);

/* scan_safe.c */
extern bool iopool_scan_expr_has_side_effects(Node *node, PlannerInfo *root);
extern bool iopool_scan_relation_has_side_effects(PlannerInfo *root, int rti,
												  List *conditions);
extern bool iopool_scan_relations_have_side_effects(PlannerInfo *root,
													Relids relids,
													bool with_targets);

/* scan_calls.c */
extern void iopool_scan_begin_feed(IopoolScanState *state, bool in_order);
extern bool iopool_scan_evaluate_args(IopoolScanState *state,
									  const IopoolScanCall *call, Datum *args);
extern bool iopool_scan_get_range(const IopoolScanCall *call,
								  const Datum *args, IopoolScanRange *range);
extern ErrorData *iopool_scan_hold_error(MemoryContext cxt);
extern void iopool_scan_add_row(IopoolScanState *state, TupleTableSlot *outer);
extern void iopool_scan_add_calls(IopoolScanState *state);
extern void iopool_scan_drop_row(IopoolScanState *state);
extern void iopool_scan_check_call(const IopoolScanRowCall *call);
extern void iopool_scan_show_outer(const IopoolScanRow *row,
								   TupleTableSlot *slot);
extern void iopool_scan_copy_outer(IopoolScanState *state,
								   const TupleTableSlot *outer,
								   TupleTableSlot *slot);

/* scan_ahead.c */
extern void iopool_scan_go_ahead(IopoolScanAhead *ahead);
extern void iopool_scan_stay_ahead(IopoolScanAhead *ahead);
extern bool iopool_scan_read_now(IopoolFeed *feed,
								 const IopoolScanRange *range,
								 IopoolScanBuffer *buffer, Datum *value);
extern void iopool_scan_free_buffer(IopoolFeed *feed,
									IopoolScanBuffer *buffer);

/* scan_single.c */
extern void iopool_scan_begin_single(IopoolScanState *state);
extern TupleTableSlot *iopool_scan_next_single(IopoolScanState *state);

/* scan_list.c */
extern bool iopool_scan_next_file(IopoolScanState *state, Datum *values,
								  bool *nulls);
extern void iopool_scan_end_walk(IopoolScanState *state);
extern void iopool_scan_add_walk(IopoolScanStats *stats,
								 const IopoolWalk *walk);

/* scan_state.c */
extern bool iopool_scan_may_need_rollback(Node *node);
extern void iopool_scan_free_last(IopoolScanState *state);
extern void iopool_scan_end_feed(IopoolScanState *state);
extern void iopool_scan_begin(IopoolScanState *state, EState *estate,
							  int eflags);
extern Node *iopool_scan_create_state(const CustomExecMethods *methods);
extern TupleTableSlot *iopool_scan_exec(
	CustomScanState *node,
	TupleTableSlot *(*next_row)(IopoolScanState *state));
extern void iopool_scan_end(CustomScanState *node);
extern void iopool_scan_rescan(CustomScanState *node);
extern void iopool_scan_shutdown(CustomScanState *node);

/* scan_exec.c */
extern const CustomScanMethods iopool_scan_methods;
extern const CustomScanMethods iopool_lateral_methods;

/* project_find.c */
extern bool iopool_project_has_calls(Node *node);
extern bool iopool_project_contains(Node *node, Node *wanted);
extern List *iopool_project_find_calls(PlannerInfo *root, Node *node,
									   List *inputs);
extern List *iopool_project_find_arguments(PlannerInfo *root, Node *node,
										   List *inputs);

/* project_path.c */
extern void iopool_project_install(void);
extern CustomPath *iopool_project_make_path(PlannerInfo *root, Path *child,
											PathTarget *target, List *calls,
											List *clauses, Path *plain);
extern bool iopool_project_is_path(const Path *path);
extern Cost iopool_project_saved(PlannerInfo *root, List *calls, double rows);

/* project_cursor.c */
extern bool iopool_project_is_cursor(const PlannerInfo *root);
extern bool iopool_project_goes_backwards(const Path *path);
extern bool iopool_project_is_transparent(const Path *path);
extern Path *iopool_project_plain_path(Path *path);
extern void iopool_project_install_cursor(void);

/* project_rel.c */
extern void iopool_project_install_rel(void);

/* project_tree.c */
extern Size iopool_project_path_size(const Path *path);
extern Path **iopool_project_subpath(Path *path);
extern Path *iopool_project_copy_path(const Path *path);
extern bool iopool_project_is_fit_below(Path *path);
extern bool iopool_project_is_blocking(const Path *path);
extern bool iopool_project_is_single_row(const Path *path);

/* project_plan.c */
extern Plan *iopool_project_plan_path(PlannerInfo *root, RelOptInfo *rel,
									  CustomPath *path, List *tlist,
									  List *clauses, List *custom_plans);

/* project_exec.c */
extern const CustomScanMethods iopool_project_methods;

/* scan_workers.c */
extern void iopool_scan_add_stats(IopoolScanStats *stats,
								  const IopoolScanStats *more);
extern void iopool_scan_workers_begin(IopoolScanState *state, EState *estate);
extern void iopool_scan_workers_report(IopoolScanState *state);
extern void iopool_scan_workers_hide(IopoolScanState *state);
extern int iopool_scan_workers_get(const IopoolScanState *state,
								   const IopoolScanStats **slots);

/* scan_explain.c */
extern void iopool_scan_explain_pools(const IopoolFeedStats *stats,
									  ExplainState *es);
extern void iopool_scan_explain_walk(const IopoolWalkStats *stats,
									 ExplainState *es);
extern void iopool_scan_explain_reads(const IopoolFeedStats *stats,
									  ExplainState *es);
extern void iopool_scan_explain(CustomScanState *node, List *ancestors,
								ExplainState *es);

#endif /* IOPOOL_SCAN_INTERNAL_H */
