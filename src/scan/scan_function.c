/*-------------------------------------------------------------------------
 *
 * scan_function.c
 *	  Which calls of a query are calls of our functions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "scan/scan_internal.h"

extern PGDLLEXPORT Datum iopool_list(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read_missing_ok(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read_file(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read_file_missing_ok(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read_batch(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read_batch_paths(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_read_files(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_fetch(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum iopool_fetch_next(PG_FUNCTION_ARGS);

/*
 * Is this library ours?  The paths that the extension's script may give it,
 * and no other: a path that merely ends the same is somebody else's.
 */
static bool
is_own_library(const char *path)
{
	static const char *const own_paths[] = {
		"$libdir/iopool",
		"$libdir/iopool" DLSUFFIX,
		"iopool",
		"iopool" DLSUFFIX,
	};

	for (size_t i = 0; i < lengthof(own_paths); i++)
	{
		if (strcmp(path, own_paths[i]) == 0)
			return true;
	}
	return false;
}

/* A column of pg_proc that is text, or NULL. */
static char *
proc_text(HeapTuple tuple, AttrNumber attno)
{
	bool isnull;
	Datum value = SysCacheGetAttr(PROCOID, tuple, attno, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Which of our functions this is.  By its address, so whatever somebody has
 * put around it (SECURITY DEFINER, SET, a hook) is called as it should be.
 * Only our own library is asked: to ask loads it, and the planner is not to
 * load others'.
 */
IopoolScanFunction
iopool_scan_identify(Oid funcid)
{
	static const struct
	{
		PGFunction address;
		IopoolScanFunction function;
	} functions[] = {
		{iopool_read, IOPOOL_SCAN_READ},
		{iopool_read_missing_ok, IOPOOL_SCAN_READ_MISSING_OK},
		{iopool_read_file, IOPOOL_SCAN_FILE},
		{iopool_read_file_missing_ok, IOPOOL_SCAN_FILE_MISSING_OK},
		{iopool_read_batch, IOPOOL_SCAN_BATCH},
		{iopool_read_batch_paths, IOPOOL_SCAN_BATCH_PATHS},
		{iopool_read_files, IOPOOL_SCAN_FILES},
		{iopool_fetch, IOPOOL_SCAN_FETCH},
		{iopool_fetch_next, IOPOOL_SCAN_FETCH_NEXT},
		{iopool_list, IOPOOL_SCAN_LIST},
	};
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc proc;
	bool is_candidate;
	FmgrInfo finfo;

	if (!HeapTupleIsValid(tuple))
		return IOPOOL_SCAN_NONE;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	is_candidate = proc->prolang == ClanguageId && proc->proisstrict;
	if (is_candidate)
	{
		char *library = proc_text(tuple, Anum_pg_proc_probin);
		char *symbol = proc_text(tuple, Anum_pg_proc_prosrc);

		is_candidate = library != NULL && is_own_library(library) &&
			symbol != NULL && strncmp(symbol, "iopool_", 7) == 0;
	}
	ReleaseSysCache(tuple);
	if (!is_candidate)
		return IOPOOL_SCAN_NONE;

	fmgr_info(funcid, &finfo);
	for (size_t i = 0; i < lengthof(functions); i++)
	{
		IopoolScanFunction function = functions[i].function;

		if (finfo.fn_addr == functions[i].address &&
			finfo.fn_retset != iopool_scan_is_single(function))
			return function;
	}
	return IOPOOL_SCAN_NONE;
}

/* Is this a call of iopool_read(), in any form? */
bool
iopool_scan_is_read(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;

	return IsA(node, FuncExpr) && call->funcid >= FirstNormalObjectId &&
		iopool_scan_is_single(iopool_scan_identify(call->funcid));
}

/* The call in FROM, if it is one of ours and nothing but that; or NULL. */
FuncExpr *
iopool_scan_call_of(RangeTblEntry *rte, IopoolScanFunction *function)
{
	FuncExpr *call;

	if (rte->rtekind != RTE_FUNCTION || rte->funcordinality ||
		list_length(rte->functions) != 1)
		return NULL;
	call =
		(FuncExpr *) linitial_node(RangeTblFunction, rte->functions)->funcexpr;
	if (!IsA(call, FuncExpr))
		return NULL;
	*function = iopool_scan_identify(call->funcid);
	return *function != IOPOOL_SCAN_NONE ? call : NULL;
}
