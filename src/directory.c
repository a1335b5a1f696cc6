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

#include "directory.h"
#include "guc.h"

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

/* Raise 22023 for the value of an option. */
void
iopool_directory_bad_option(const char *name, const char *value,
							const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
			 detail ? errdetail("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
	pg_unreachable();
}

static bool
parse_option_bool(const char *name, const char *value)
{
	bool result;

	if (!parse_bool(value, &result))
		iopool_directory_bad_option(name, value,
									"A Boolean value is expected.",
									"Available values: on, off.");
	return result;
}

/*
 * Fill dir from the options of a server (DefElem with strings), in the
 * current memory context.  Raises 22023 for what no directory can have;
 * nothing is looked up.
 */
void
iopool_directory_parse(List *options, IopoolDirectory *dir)
{
	ListCell *lc;

	memset(dir, 0, sizeof(IopoolDirectory));
	dir->fd = -1;

	foreach(lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);
		const char *value = defGetString(option);

		if (strcmp(option->defname, "path") == 0)
			dir->path = value;
		else if (strcmp(option->defname, "pool") == 0)
			dir->pool_name = value;
		else if (strcmp(option->defname, "io_mode") == 0)
		{
			dir->has_io_mode = true;
			if (!iopool_guc_parse_io_mode(value, &dir->io_mode))
				iopool_directory_bad_option(
					option->defname, value, NULL,
					psprintf("Available values: %s.",
							 iopool_guc_io_mode_list()));
		}
		else if (strcmp(option->defname, "missing_ok") == 0)
			dir->missing_ok = parse_option_bool(option->defname, value);
		else if (strcmp(option->defname, "allow_data_directory") == 0)
			dir->allow_data_directory =
				parse_option_bool(option->defname, value);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid option \"%s\"", option->defname),
					 errhint("Valid options of a directory: %s.",
							 iopool_directory_valid_options())));
	}

	if (dir->path == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"path\" is required"),
				 errhint("Valid options of a directory: %s.",
						 iopool_directory_valid_options())));
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
 * looked at.
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
	iopool_directory_parse(server->options, dir);
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
