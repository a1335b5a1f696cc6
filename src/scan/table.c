/*-------------------------------------------------------------------------
 *
 * table.c
 *	  Foreign tables over directories: a row for each file.
 *
 * A table has any of the columns path, size, modified and data, found by name,
 * in any order.  It is what iopool_list() gives, with the bytes of each file
 * beside it where a query needs them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "scan/table_internal.h"

/* As of iopool_list(). */
#define DEFAULT_PATTERN "*"

static const struct
{
	const char *name;
	Oid type;
	const char *type_name;
} columns[IOPOOL_TABLE_NCOLUMNS] = {
	[IOPOOL_TABLE_PATH] = {"path", TEXTOID, "text"},
	[IOPOOL_TABLE_SIZE] = {"size", INT8OID, "bigint"},
	[IOPOOL_TABLE_MODIFIED] = {"modified", TIMESTAMPTZOID,
							   "timestamp with time zone"},
	[IOPOOL_TABLE_DATA] = {"data", BYTEAOID, "bytea"},
};

/* Which column is this?  Raises if it is none. */
static IopoolTableColumn
find_column(Relation rel, Form_pg_attribute attr)
{
	for (int i = 0; i < IOPOOL_TABLE_NCOLUMNS; i++)
	{
		if (strcmp(NameStr(attr->attname), columns[i].name) != 0)
			continue;
		if (attr->atttypid != columns[i].type)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
					 errmsg("column \"%s\" of foreign table \"%s\" must be of type %s",
							columns[i].name, RelationGetRelationName(rel),
							columns[i].type_name)));
		return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
			 errmsg("column \"%s\" of foreign table \"%s\" is not one that a directory has",
					NameStr(attr->attname), RelationGetRelationName(rel)),
			 errhint("The columns of a directory are path, size, modified and data.")));
	pg_unreachable();
}

/* What a foreign table is, in the current memory context. */
IopoolTable *
iopool_table_get(Relation rel)
{
	ForeignTable *foreign = GetForeignTable(RelationGetRelid(rel));
	ForeignServer *server = GetForeignServer(foreign->serverid);
	IopoolTable *table = palloc0(sizeof(IopoolTable));
	TupleDesc desc = RelationGetDescr(rel);
	ListCell *lc;

	table->directory = server->servername;
	table->path = psprintf("%s:", server->servername);
	table->pattern = DEFAULT_PATTERN;
	foreach(lc, foreign->options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "pattern") == 0)
			table->pattern = defGetString(option);
	}

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped)
			table->attnos[find_column(rel, attr)] = attr->attnum;
	}
	return table;
}

/* The columns of a file, by attribute of the table, but for its data. */
void
iopool_table_file_values(const IopoolTable *table, const IopoolWalkFile *file,
						 text *path, Datum *values, bool *nulls)
{
	const Datum all[] = {
		[IOPOOL_TABLE_PATH] = PointerGetDatum(path),
		[IOPOOL_TABLE_SIZE] = Int64GetDatum(file->size),
		[IOPOOL_TABLE_MODIFIED] = TimestampTzGetDatum(file->modified),
	};

	for (int i = 0; i < (int) lengthof(all); i++)
	{
		if (table->attnos[i] == 0)
			continue;
		values[table->attnos[i] - 1] = all[i];
		nulls[table->attnos[i] - 1] = false;
	}
}

/*
 * From here on, the rights of that user count.  Errors need no care: whoever
 * catches them sets the user back.
 */
IopoolTableUser
iopool_table_become(Oid userid)
{
	IopoolTableUser was;

	GetUserIdAndSecContext(&was.userid, &was.sec_context);
	if (was.userid != userid)
		SetUserIdAndSecContext(userid,
							   was.sec_context | SECURITY_LOCAL_USERID_CHANGE);
	return was;
}

/* Those of the user from before do again. */
void
iopool_table_become_again(const IopoolTableUser *user)
{
	SetUserIdAndSecContext(user->userid, user->sec_context);
}

/* Whole scans can run in a worker: the functions can, too. */
static bool
is_parallel_safe(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	return true;
}

IOPOOL_FUNCTION(iopool_directory_handler);

/* What a table can do: it is read, and nothing else. */
Datum
iopool_directory_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = iopool_table_rel_size;
	routine->GetForeignPaths = iopool_table_paths;
	routine->GetForeignPlan = iopool_table_plan;
	routine->BeginForeignScan = iopool_table_begin;
	routine->IterateForeignScan = iopool_table_iterate;
	routine->ReScanForeignScan = iopool_table_rescan;
	routine->EndForeignScan = iopool_table_end;
	routine->ShutdownForeignScan = iopool_table_shutdown;
	routine->ExplainForeignScan = iopool_table_explain;
	routine->AnalyzeForeignTable = iopool_table_analyze;
	routine->ImportForeignSchema = iopool_table_import;
	routine->IsForeignScanParallelSafe = is_parallel_safe;
	PG_RETURN_POINTER(routine);
}
