/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the supported PostgreSQL versions (15 to 19).
 *
 * This is the only file that tests PG_VERSION_NUM: the callers use one name
 * for each thing and stay free of conditions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_COMPAT_H
#define IOPOOL_COMPAT_H

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/wait_event.h"

/* The macros of variable-length values, which came with postgres.h before. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 150000
#error "iopool needs PostgreSQL 15 or later"
#endif

/* Rights on a foreign server. */
#if PG_VERSION_NUM >= 160000
#define iopool_server_aclcheck(serverid, roleid, mode) \
	object_aclcheck(ForeignServerRelationId, serverid, roleid, mode)
#else
#define iopool_server_aclcheck(serverid, roleid, mode) \
	pg_foreign_server_aclcheck(serverid, roleid, mode)
#endif

/* Rights on a function. */
#if PG_VERSION_NUM >= 160000
#define iopool_proc_aclcheck(funcid, roleid, mode) \
	object_aclcheck(ProcedureRelationId, funcid, roleid, mode)
#else
#define iopool_proc_aclcheck(funcid, roleid, mode) \
	pg_proc_aclcheck(funcid, roleid, mode)
#endif

/* Nodes that are disabled by settings are counted, from 18 on. */
#if PG_VERSION_NUM >= 180000
#define iopool_path_inherit_disabled(path, child) \
	((path)->disabled_nodes = (child)->disabled_nodes)
#else
#define iopool_path_inherit_disabled(path, child) ((void) (path))
#endif

/* The path of DISTINCT over sorted rows got a shorter name with 19. */
#if PG_VERSION_NUM >= 190000
#define IOPOOL_T_DISTINCT_PATH T_UniquePath
typedef UniquePath IopoolDistinctPath;
#else
#define IOPOOL_T_DISTINCT_PATH T_UpperUniquePath
typedef UpperUniquePath IopoolDistinctPath;
#endif

/* The path of a foreign table that is scanned and no more. */
#if PG_VERSION_NUM >= 180000
#define iopool_foreignscan_path(root, rel, rows, startup_cost, total_cost, \
								required_outer)                            \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup_cost,        \
							total_cost, NIL, required_outer, NULL, NIL, NIL)
#elif PG_VERSION_NUM >= 170000
#define iopool_foreignscan_path(root, rel, rows, startup_cost, total_cost,   \
								required_outer)                              \
	create_foreignscan_path(root, rel, NULL, rows, startup_cost, total_cost, \
							NIL, required_outer, NULL, NIL, NIL)
#else
#define iopool_foreignscan_path(root, rel, rows, startup_cost, total_cost,   \
								required_outer)                              \
	create_foreignscan_path(root, rel, NULL, rows, startup_cost, total_cost, \
							NIL, required_outer, NULL, NIL)
#endif

/* Whose rights on a table count, or 0: those of the current user. */
#if PG_VERSION_NUM >= 160000
#define iopool_foreignscan_user(plan, estate) ((plan)->checkAsUser)
#else
#define iopool_foreignscan_user(plan, estate) \
	(exec_rt_fetch((plan)->scan.scanrelid, estate)->checkAsUser)
#endif

/* Where ANALYZE may sleep, be stopped, and say how it goes. */
#if PG_VERSION_NUM >= 180000
#define iopool_analyze_delay_point() vacuum_delay_point(true)
#else
#define iopool_analyze_delay_point() vacuum_delay_point()
#endif

/* From 19 on, the planner is told what EXPLAIN wants. */
#if PG_VERSION_NUM >= 190000
#define IOPOOL_PLANNER_PARAMS                                   \
	Query *parse, const char *query_string, int cursor_options, \
		ParamListInfo params, struct ExplainState *es
#define IOPOOL_PLANNER_ARGS parse, query_string, cursor_options, params, es
#else
#define IOPOOL_PLANNER_PARAMS                                   \
	Query *parse, const char *query_string, int cursor_options, \
		ParamListInfo params
#define IOPOOL_PLANNER_ARGS parse, query_string, cursor_options, params
#endif

/* What EXPLAIN works with has headers of its own from 18 on. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif

/* What EXPLAIN ANALYZE counts of a node has a type of its own from 19 on. */
#if PG_VERSION_NUM >= 190000
#define iopool_instr_alloc_node(options) InstrAllocNode(options, false)
#else
#define iopool_instr_alloc_node(options) InstrAlloc(1, options, false)
#endif

/*
 * Number of this backend's PGPROC: regular backends and background workers
 * have 0 .. MaxBackends - 1.
 */
#if PG_VERSION_NUM >= 170000
#define iopool_my_proc_number() MyProcNumber
#else
#define iopool_my_proc_number() (MyProc->pgprocno)
#endif

/* Number of the transaction, which no other of this backend has had. */
#if PG_VERSION_NUM >= 170000
#define iopool_my_lxid() (MyProc->vxid.lxid)
#else
#define iopool_my_lxid() (MyProc->lxid)
#endif

/*
 * Custom wait events have names from 17 on; before, every extension shows as
 * "Extension".  A name costs a shared hash lookup, so the caller keeps the
 * result.
 */
#if PG_VERSION_NUM >= 170000
#define iopool_wait_event_new(name) WaitEventExtensionNew(name)
#else
#define iopool_wait_event_new(name) ((uint32) PG_WAIT_EXTENSION)
#endif

/* What an ordering operator is in its operator family. */
#if PG_VERSION_NUM >= 180000
typedef CompareType IopoolOrdering;
#else
typedef int16 IopoolOrdering;
#endif

/* Nodes of SQL/JSON that give values of any type. */
#if PG_VERSION_NUM >= 170000
#define IOPOOL_CASES_JSON_EXPR \
	case T_JsonExpr:           \
	case T_JsonConstructorExpr:
#elif PG_VERSION_NUM >= 160000
#define IOPOOL_CASES_JSON_EXPR case T_JsonConstructorExpr:
#else
#define IOPOOL_CASES_JSON_EXPR
#endif

/* All settings of the server, and how many they are. */
static inline struct config_generic **
iopool_guc_variables(int *nvariables)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(nvariables);
#else
	*nvariables = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/* Memory of values of settings, which core frees; NULL: there is none. */
#if PG_VERSION_NUM >= 160000
#define iopool_guc_malloc(size) guc_malloc(LOG, size)
#define iopool_guc_free(memory) guc_free(memory)
#else
#define iopool_guc_malloc(size) malloc(size)
#define iopool_guc_free(memory) free(memory)
#endif

/* Elements that the planner expects in an array expression. */
#if PG_VERSION_NUM >= 170000
#define iopool_array_length_estimate(root, node) \
	estimate_array_length(root, node)
#else
#define iopool_array_length_estimate(root, node) \
	((void) (root), (double) estimate_array_length(node))
#endif

/*
 * Before 18, descriptors that are open when the postmaster counts how many
 * more it may open (the rings) come out of max_files_per_process.
 */
#if PG_VERSION_NUM >= 180000
#define IOPOOL_RINGS_COUNT_AS_FILES 0
#else
#define IOPOOL_RINGS_COUNT_AS_FILES 1
#endif

#if PG_VERSION_NUM >= 180000
#define IOPOOL_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "iopool", .version = IOPOOL_VERSION)
#else
#define IOPOOL_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/*
 * A function that SQL can call.  The library is built with hidden symbols,
 * and before 16 PG_FUNCTION_INFO_V1 exports the function's description but
 * not the function.
 */
#define IOPOOL_FUNCTION(name)                        \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

#endif /* IOPOOL_COMPAT_H */
