/*-------------------------------------------------------------------------
 *
 * table_import.c
 *	  IMPORT FOREIGN SCHEMA: a table for each subdirectory.
 *
 * The schema is a directory below that of the server, or "." for that itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/pattern.h"
#include "scan/table_internal.h"

/* Of the files in a subdirectory, unless the statement says otherwise. */
#define DEFAULT_PATTERN "**"

/* The pattern of the files of a table, below its subdirectory. */
static char *
import_pattern(const ImportForeignSchemaStmt *stmt)
{
	char *pattern = DEFAULT_PATTERN;
	ListCell *lc;

	foreach(lc, stmt->options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "pattern") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid option \"%s\"", option->defname),
					 errhint("Valid options of IMPORT FOREIGN SCHEMA: pattern.")));
		pattern = defGetString(option);
	}
	(void) iopool_pattern_compile(pstrdup(pattern));
	return pattern;
}

/*
 * The directory that a schema names, as iopool_list() takes it.  Patterns are
 * for paths that are written in the one way.
 */
static char *
schema_path(const ImportForeignSchemaStmt *stmt)
{
	const char *name = stmt->remote_schema;

	if (strcmp(name, ".") == 0)
		return psprintf("%s:", stmt->server_name);
	for (;;)
	{
		size_t len = strcspn(name, "/");

		if (len == 0 || (len == 1 && name[0] == '.') ||
			(len == 2 && strncmp(name, "..", 2) == 0))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
					 errmsg("schema \"%s\" is not the path of a directory below \"%s\"",
							stmt->remote_schema, stmt->server_name),
					 errhint("Name a subdirectory, such as \"europe/2024\", or \".\" for the directory itself.")));
		if (name[len] == '\0')
			return psprintf("%s:%s", stmt->server_name, stmt->remote_schema);
		name += len + 1;
	}
}

/* Add a path to a pattern that matches nothing else. */
static void
append_literally(StringInfo buf, const char *path)
{
	for (; *path != '\0'; path++)
	{
		if (strchr("*?[\\", *path) != NULL)
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *path);
	}
}

/* The statement that makes the table of a subdirectory. */
static char *
table_statement(const ImportForeignSchemaStmt *stmt, const char *relative,
				const char *name, const char *pattern)
{
	StringInfoData buf;
	StringInfoData full_pattern;

	initStringInfo(&full_pattern);
	append_literally(&full_pattern, relative);
	appendStringInfo(&full_pattern, "/%s", pattern);

	initStringInfo(&buf);
	appendStringInfo(&buf,
					 "CREATE FOREIGN TABLE %s (path text, size bigint, "
					 "modified timestamp with time zone, data bytea) ",
					 quote_identifier(name));
	appendStringInfo(&buf, "SERVER %s OPTIONS (pattern %s)",
					 quote_identifier(stmt->server_name),
					 quote_literal_cstr(full_pattern.data));
	return buf.data;
}

/* ImportForeignSchema */
List *
iopool_table_import(ImportForeignSchemaStmt *stmt, Oid serverid)
{
	const char *pattern = import_pattern(stmt);
	IopoolWalkOptions options = {
		.path = schema_path(stmt),
		.pattern = "*",
		.wants_directories = true,
	};
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "iopool import",
							  ALLOCSET_DEFAULT_SIZES);
	List *statements = NIL;
	IopoolWalkFile dir;
	IopoolWalk *walk;

	iopool_request_enter();
	walk = iopool_walk_begin(cxt, &options);
	while (iopool_walk_next(walk, &dir))
	{
		char *path = pnstrdup(dir.path, dir.path_len);
		const char *relative = path + strlen(stmt->server_name) + 1;
		const char *slash = strrchr(relative, '/');
		const char *name = slash != NULL ? slash + 1 : relative;
		char *table_name = pstrdup(name);

		/* as the names in LIMIT TO and EXCEPT are */
		truncate_identifier(table_name, strlen(table_name), false);
		if (IsImportableForeignTable(table_name, stmt))
			statements =
				lappend(statements,
						table_statement(stmt, relative, name, pattern));
		pfree(table_name);
		pfree(path);
	}
	MemoryContextDelete(cxt);
	return statements;
}
