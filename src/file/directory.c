/*-------------------------------------------------------------------------
 *
 * directory.c
 *	  Directories in the catalog: foreign servers of a wrapper of ours.
 *
 * A wrapper is ours when its validator is the library's.  Its name would be
 * the wrong thing to look at, because it can be changed, and because another
 * wrapper may have taken it.  Only superusers make C functions and wrappers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "file/directory.h"
#include "ring/settings.h"

#define VALIDATOR_SYMBOL "iopool_directory_validator"

static const char *const option_names[] = {
	"path", "pool", "io_mode", "missing_ok", "allow_data_directory",
};

/* The options of a server, as a list for a hint. */
char *
iopool_directory_valid_options(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(option_names); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", option_names[i]);
	return buf.data;
}

/* Raise 22023 for what is wrong with the options. */
void
iopool_directory_raise_problem(const IopoolOptionProblem *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_internal("%s", problem->message),
			 problem->detail ? errdetail_internal("%s", problem->detail) : 0,
			 problem->hint ? errhint("%s", problem->hint) : 0));
	pg_unreachable();
}

static char *
bad_value_message(const char *name, const char *value)
{
	return psprintf("invalid value for option \"%s\": \"%s\"", name, value);
}

/* Raise 22023 for the value of an option. */
void
iopool_directory_bad_option(const char *name, const char *value,
							const char *detail, const char *hint)
{
	IopoolOptionProblem problem = {
		.message = bad_value_message(name, value),
		.detail = detail,
		.hint = hint,
	};

	iopool_directory_raise_problem(&problem);
}

/* One more thing is wrong: the first is told, and all have to be mended. */
static void
add_problem(IopoolDirectory *dir, char *message, const char *detail,
			char *hint, const char *mend)
{
	IopoolOptionProblem *problem = &dir->problem;

	if (problem->message == NULL)
	{
		problem->message = message;
		problem->detail = detail;
		problem->hint = hint;
		problem->mend = mend;
	}
	else
		problem->mend = psprintf("%s, %s", problem->mend, mend);
}

static void
add_bad_value(IopoolDirectory *dir, const char *name, const char *value,
			  const char *detail, char *hint)
{
	add_problem(dir, bad_value_message(name, value), detail, hint,
				psprintf("DROP %s", quote_identifier(name)));
}

static bool
parse_option_bool(IopoolDirectory *dir, const char *name, const char *value)
{
	bool result = false;

	if (!parse_bool(value, &result))
		add_bad_value(dir, name, value, "A Boolean value is expected.",
					  "Available values: on, off.");
	return result;
}

static void
parse_option(IopoolDirectory *dir, const char *name, const char *value)
{
	if (strcmp(name, "path") == 0)
		dir->path = value;
	else if (strcmp(name, "pool") == 0)
		dir->pool_name = value;
	else if (strcmp(name, "io_mode") == 0)
	{
		dir->has_io_mode = iopool_settings_parse_io_mode(value, &dir->io_mode);
		if (!dir->has_io_mode)
			add_bad_value(dir, name, value, NULL,
						  psprintf("Available values: %s.",
								   iopool_settings_io_mode_list()));
	}
	else if (strcmp(name, "missing_ok") == 0)
		dir->missing_ok = parse_option_bool(dir, name, value);
	else if (strcmp(name, "allow_data_directory") == 0)
		dir->allow_data_directory = parse_option_bool(dir, name, value);
	else
		add_problem(dir, psprintf("invalid option \"%s\"", name), NULL,
					psprintf("Valid options of a directory: %s.",
							 iopool_directory_valid_options()),
					psprintf("DROP %s", quote_identifier(name)));
}

/*
 * Fill dir from the options of a server (DefElem with strings), in the
 * current memory context.  False with dir->problem for what no directory can
 * have, which options have that nobody has looked at: a wrapper without
 * validator takes any.  Nothing is looked up, and nothing raised.
 */
bool
iopool_directory_parse(List *options, IopoolDirectory *dir)
{
	ListCell *lc;

	memset(dir, 0, sizeof(IopoolDirectory));
	dir->fd = -1;

	foreach(lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		/* an element of the catalog's array without "=" has no value */
		parse_option(dir, option->defname,
					 option->arg == NULL ? "" : strVal(option->arg));
	}

	if (dir->path == NULL)
		add_problem(dir, pstrdup("option \"path\" is required"), NULL,
					psprintf("Valid options of a directory: %s.",
							 iopool_directory_valid_options()),
					"ADD path '/where/it/is'");
	else if (!is_absolute_path(dir->path))
		add_problem(dir, bad_value_message("path", dir->path),
					"The path of a directory is absolute.", NULL,
					"SET path '/where/it/is'");
	return dir->problem.message == NULL;
}

/* Is this foreign-data wrapper one whose servers are directories? */
bool
iopool_directory_is_wrapper(Oid fdwid)
{
	Oid validator = GetForeignDataWrapper(fdwid)->fdwvalidator;
	HeapTuple tuple;
	bool result = false;

	if (!OidIsValid(validator))
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(validator));
	if (!HeapTupleIsValid(tuple))
		return false;

	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		bool isnull;
		Datum symbol =
			SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);

		result = !isnull &&
			strcmp(TextDatumGetCString(symbol), VALIDATOR_SYMBOL) == 0;
	}
	ReleaseSysCache(tuple);
	return result;
}

/*
 * The directory of that name, in the current memory context; NULL when no
 * server has that name, or one that is no directory.  Rights and pool are not
 * looked at, and its options may have a problem.
 */
IopoolDirectory *
iopool_directory_find(const char *name)
{
	ForeignServer *server;
	IopoolDirectory *dir;

	server = GetForeignServerByName(name, true);
	if (server == NULL || !iopool_directory_is_wrapper(server->fdwid))
		return NULL;

	dir = palloc(sizeof(IopoolDirectory));
	(void) iopool_directory_parse(server->options, dir);
	dir->serverid = server->serverid;
	dir->ownerid = server->owner;
	dir->name = server->servername;
	return dir;
}

/*
 * Every directory of this database, as a list of IopoolDirectory in the
 * current memory context.  Nothing is opened, and no pool is looked up.
 */
List *
iopool_directory_list(void)
{
	List *names = NIL;
	List *dirs = NIL;
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	ListCell *lc;

	rel = table_open(ForeignServerRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server row = (Form_pg_foreign_server) GETSTRUCT(tuple);

		names = lappend(names, pstrdup(NameStr(row->srvname)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	foreach(lc, names)
	{
		IopoolDirectory *dir = iopool_directory_find(lfirst(lc));

		if (dir != NULL)
			dirs = lappend(dirs, dir);
	}
	return dirs;
}
