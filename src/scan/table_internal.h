/*-------------------------------------------------------------------------
 *
 * table_internal.h
 *	  Foreign tables over directories: private to src/scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_TABLE_INTERNAL_H
#define IOPOOL_TABLE_INTERNAL_H

#include "foreign/fdwapi.h"
#include "utils/rel.h"

#include "scan/scan_internal.h"

/* The columns that a table may have, by name. */
typedef enum IopoolTableColumn
{
	IOPOOL_TABLE_PATH,
	IOPOOL_TABLE_SIZE,
	IOPOOL_TABLE_MODIFIED,
	IOPOOL_TABLE_DATA,
	IOPOOL_TABLE_NCOLUMNS
} IopoolTableColumn;

/* Who was the current user before another's rights counted. */
typedef struct IopoolTableUser
{
	Oid userid;
	int sec_context;
} IopoolTableUser;

typedef struct IopoolTable
{
	char *directory; /* the server's name */
	char *path;		 /* of the directory, as iopool_list() takes it */
	char *pattern;
	AttrNumber attnos[IOPOOL_TABLE_NCOLUMNS]; /* 0: there is no such column */
} IopoolTable;

/* What a condition says of paths. */
typedef enum IopoolTableCondKind
{
	IOPOOL_TABLE_NO_COND,
	IOPOOL_TABLE_EQUAL,	 /* path = value */
	IOPOOL_TABLE_ANY,	 /* path = ANY (value) */
	IOPOOL_TABLE_PREFIX, /* path ^@ value */
	IOPOOL_TABLE_LIKE,	 /* path LIKE value */
} IopoolTableCondKind;

typedef struct IopoolTableCond
{
	IopoolTableCondKind kind;
	Expr *value;
	Expr *clause;
} IopoolTableCond;

/*
 * What the planner tells the executor, in fdw_private: integers at these
 * places.  In fdw_exprs are the value of the condition, if there is one, and
 * the conditions that decide before a file is opened.
 */
enum
{
	IOPOOL_TABLE_PLAN_COND,	 /* IopoolTableCondKind */
	IOPOOL_TABLE_PLAN_READS, /* data is wanted */
};

/* A file that is read ahead. */
typedef struct IopoolTableRow
{
	dlist_node node;
	IopoolWalkFile file; /* its path is in path */
	text *path;
	IopoolCall *call;
	ErrorData *error; /* of conditions, raised when its turn comes, or NULL */
} IopoolTableRow;

typedef struct IopoolTableScan
{
	/* constant */
	ForeignScanState *node;
	IopoolTable *table;
	IopoolTableCondKind kind;
	ExprState *cond; /* its value, or NULL */
	ExprState *early;
	bool holds_errors; /* of the early conditions */
	bool reads;
	Oid userid;
	MemoryContext cxt;	   /* of files; a child of the query's */
	ExprContext *econtext; /* of the early conditions */
	TupleTableSlot *slot;  /* that they are evaluated over */

	/* where it is */
	bool has_begun;
	IopoolWalk *walk;
	MemoryContext walk_cxt;
	bool has_ended; /* no more files */
	bool has_error; /* a row ahead will raise: no more are taken */

	/* what is read */
	IopoolFeed *feed;
	bool has_added;
	dlist_head rows; /* of IopoolTableRow, first first */
	int nrows;
	IopoolScanAhead ahead;
	IopoolScanBuffer buffer;
	IopoolResult result; /* of the last row */

	/* over all scans */
	uint64 nskipped;
	IopoolScanStats stats; /* of walks and feeds that have ended */
} IopoolTableScan;

/* table.c */
extern IopoolTable *iopool_table_get(Relation rel);
extern void iopool_table_file_values(const IopoolTable *table,
									 const IopoolWalkFile *file, text *path,
									 Datum *values, bool *nulls);

extern IopoolTableUser iopool_table_become(Oid userid);
extern void iopool_table_become_again(const IopoolTableUser *user);

/* table_cond.c */
extern IopoolTableCond iopool_table_find_cond(PlannerInfo *root,
											  RelOptInfo *rel,
											  AttrNumber path_attno,
											  List *clauses);
extern List *iopool_table_cond_values(IopoolTableCondKind kind, Datum value);

/* table_plan.c */
extern void iopool_table_rel_size(PlannerInfo *root, RelOptInfo *rel,
								  Oid relid);
extern void iopool_table_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern ForeignScan *iopool_table_plan(PlannerInfo *root, RelOptInfo *rel,
									  Oid relid, ForeignPath *path,
									  List *tlist, List *clauses,
									  Plan *outer_plan);

/* table_exec.c */
extern void iopool_table_begin(ForeignScanState *node, int eflags);
extern TupleTableSlot *iopool_table_iterate(ForeignScanState *node);
extern void iopool_table_rescan(ForeignScanState *node);
extern void iopool_table_end(ForeignScanState *node);
extern void iopool_table_shutdown(ForeignScanState *node);

/* table_explain.c */
extern void iopool_table_explain(ForeignScanState *node, ExplainState *es);

/* table_analyze.c */
extern bool iopool_table_analyze(Relation rel, AcquireSampleRowsFunc *func,
								 BlockNumber *npages);

/* table_import.c */
extern List *iopool_table_import(ImportForeignSchemaStmt *stmt, Oid serverid);

#endif /* IOPOOL_TABLE_INTERNAL_H */
