/*-------------------------------------------------------------------------
 *
 * directory_ddl.c
 *	  CREATE SERVER and ALTER SERVER of directories, and the view of them.
 *
 * The validator of the wrapper sees a whole list of options and cannot tell
 * what of it is new, but whoever owns a directory may change io_mode without
 * having the right to name its path.  So the validator looks at each option
 * by itself, and an object access hook compares the row before and after.
 *
 * Only roles that may name any path learn here whether one exists: of others
 * the hook refuses the change before it looks at the file system.
 *
 * Without shared_preload_libraries there is no hook, and another extension may
 * have taken it.  Then the validator demands all rights for any change, which is
 * enough to restore a dump.
 *
 * pg_upgrade brings over what was accepted before, and must not fail because
 * a directory has gone since, the new server has no such pool yet, or options
 * are from before the validator: nothing is looked at then.  A read says what
 * is missing or wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_namespace.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/hooks.h"
#include "base/pattern.h"
#include "file/directory.h"
#include "ring/settings.h"

IOPOOL_FUNCTION(iopool_directory_validator);

static object_access_hook_type prev_object_access_hook = NULL;

/* Tell what is wrong with a directory that can be had all the same. */
static void
warn_about_path(const IopoolDirectory *dir)
{
	IopoolExposure exposure;

	if (dir->is_kernel_fs)
		ereport(WARNING,
				(errmsg("no file can be read in directory \"%s\"", dir->path),
				 errdetail("It is on a file system that shows the kernel, such as proc, sysfs, devtmpfs or cgroup.")));

	if (iopool_directory_is_exposed(dir->path, &exposure))
		ereport(WARNING,
				(errmsg("directory \"%s\" can be replaced by others than root and the server's user",
						dir->path),
				 exposure.is_foreign
					 ? errdetail("\"%s\" belongs to another user.",
								 exposure.place)
					 : errdetail("Others can write in \"%s\".",
								 exposure.place),
				 errhint("Run \"%s\", or keep the directory elsewhere.",
						 exposure.mend)));
}

/* Raise 22023 unless the directory can be opened, or need not be there. */
static void
check_path_opens(IopoolDirectory *dir)
{
	IopoolFailure failure;
	const char *detail = NULL;
	const char *hint = NULL;

	iopool_directory_forget_checks();
	if (iopool_directory_open(dir, &failure))
	{
		close(dir->fd);
		dir->fd = -1;
		warn_about_path(dir);
		return;
	}

	switch (failure.kind)
	{
		case IOPOOL_FAILURE_NO_OPENAT2:
			iopool_errors_raise(&failure, dir->path, 0, 0, 0);
			break;
		case IOPOOL_FAILURE_DATA_DIRECTORY:
			detail =
				"The directory is, contains or lies in the data directory, a tablespace or another part of it.";
			hint =
				"A superuser can allow that with option \"allow_data_directory\".";
			break;
		default:
			if (failure.errnum == ENOENT && dir->missing_ok)
			{
				warn_about_path(dir);
				return;
			}
			errno = failure.errnum;
			detail = psprintf("The directory could not be opened: %m.");
			if (failure.errnum == ENOENT)
				hint =
					"Option \"missing_ok\" accepts a directory that does not exist yet.";
			else if (failure.errnum == ELOOP)
				hint = "Name the directory without symbolic links.";
			break;
	}
	iopool_directory_bad_option("path", dir->path, detail, hint);
}

static bool
is_new_pool(const IopoolDirectory *dir, const IopoolDirectory *old)
{
	const char *name = dir->pool_name != NULL ? dir->pool_name : "";
	const char *old_name =
		old != NULL && old->pool_name != NULL ? old->pool_name : "";

	return strcmp(name, old_name) != 0;
}

/*
 * May the current user make this directory out of that one (NULL: out of
 * nothing), and is its path one that can be read from?
 */
static void
check_change(IopoolDirectory *dir, const IopoolDirectory *old)
{
	bool is_new_path = old == NULL || strcmp(dir->path, old->path) != 0;
	bool is_new_allow = dir->allow_data_directory !=
		(old != NULL && old->allow_data_directory);

	if (is_new_path &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"path\" of a directory"),
				 errdetail("Only roles with privileges of the \"%s\" role may name a path.",
						   "pg_read_server_files")));
	if (is_new_pool(dir, old) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES) &&
		pg_parameter_aclcheck("iopool.pool", GetUserId(), ACL_SET) !=
			ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"pool\" of a directory"),
				 errdetail("Only roles with privileges of the \"%s\" role, or with SET on parameter \"iopool.pool\", may choose a pool.",
						   "pg_read_server_files")));
	if (dir->allow_data_directory && (is_new_path || is_new_allow) &&
		!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"allow_data_directory\" of a directory"),
				 errdetail("Only superusers may open the data directory.")));

	if (is_new_path || is_new_allow)
		check_path_opens(dir);
}

/* Raise 42602 unless a path can name the directory. */
static void
check_name(const char *name)
{
	if (iopool_directory_is_addressable(name))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_NAME),
			 errmsg("invalid name of a directory: \"%s\"", name),
			 errdetail("In a path, the name ends at the first \":\", and a \"/\" before that makes it a path without directory.")));
}

/*
 * What a row of pg_foreign_server says, which may have a problem; false: it is
 * no directory.
 */
static bool
parse_row(HeapTuple tuple, Relation rel, IopoolDirectory *dir)
{
	Form_pg_foreign_server row = (Form_pg_foreign_server) GETSTRUCT(tuple);
	Datum options;
	bool isnull;

	if (!iopool_directory_is_wrapper(row->srvfdw))
		return false;
	options = heap_getattr(tuple, Anum_pg_foreign_server_srvoptions,
						   RelationGetDescr(rel), &isnull);
	(void) iopool_directory_parse(isnull ? NIL
										 : untransformRelOptions(options),
								  dir);
	dir->name = NameStr(row->srvname);
	return true;
}

/*
 * A server was created or altered, a moment ago and by the current command,
 * so the catalog cache still has the row as it was, and only SnapshotSelf
 * shows how it is.
 *
 * Options that no directory can have are from before the validator, which
 * looks at all of them in any change.  What has them is not read from, and has
 * to be mended with the rights of whoever makes it anew.
 */
static void
check_server(Oid serverid)
{
	Relation rel = table_open(ForeignServerRelationId, AccessShareLock);
	HeapTuple before =
		SearchSysCache1(FOREIGNSERVEROID, ObjectIdGetDatum(serverid));
	IopoolDirectory old;
	IopoolDirectory new;
	bool had_directory;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple after;

	ScanKeyInit(&key, Anum_pg_foreign_server_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(serverid));
	scan = systable_beginscan(rel, ForeignServerOidIndexId, true, SnapshotSelf,
							  1, &key);
	after = systable_getnext(scan);

	if (HeapTupleIsValid(after) && parse_row(after, rel, &new))
	{
		had_directory =
			HeapTupleIsValid(before) && parse_row(before, rel, &old);
		if (!had_directory || strcmp(new.name, old.name) != 0)
			check_name(new.name);
		if (new.problem.message == NULL)
			check_change(&new,
						 had_directory && old.problem.message == NULL ? &old
																	  : NULL);
	}

	systable_endscan(scan);
	if (HeapTupleIsValid(before))
		ReleaseSysCache(before);
	table_close(rel, AccessShareLock);
}

static void
check_object_access(ObjectAccessType access, Oid classId, Oid objectId,
					int subId, void *arg)
{
	iopool_hook_reached(IOPOOL_HOOK_OBJECT_ACCESS);
	if (prev_object_access_hook)
		prev_object_access_hook(access, classId, objectId, subId, arg);

	if (classId == ForeignServerRelationId && !IsBinaryUpgrade &&
		(access == OAT_POST_CREATE || access == OAT_POST_ALTER))
		check_server(objectId);
}

/* Called once, while shared_preload_libraries are loaded. */
void
iopool_directory_install_hook(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = check_object_access;
}

/* Will the hook see what is changed? */
static bool
is_hook_reached(void)
{
	uint64 before = iopool_hook_calls[IOPOOL_HOOK_OBJECT_ACCESS];

	/* asks whether a schema may be searched, and does nothing else */
	InvokeNamespaceSearchHook(PG_CATALOG_NAMESPACE, false);
	return iopool_hook_calls[IOPOOL_HOOK_OBJECT_ACCESS] != before;
}

/* Raise 22023 unless the path is written in the one way. */
static void
check_path_canonical(const char *path)
{
	char *canonical = pstrdup(path);

	canonicalize_path(canonical);
	if (strcmp(path, canonical) != 0)
		iopool_directory_bad_option("path", path, NULL,
									psprintf("Use \"%s\".", canonical));
}

/* Raise 22023 unless a pool of that name is configured. */
static void
check_pool(const char *name)
{
	StringInfoData buf;

	if (iopool_shared == NULL || iopool_shmem_lookup_pool(name) != NULL)
		return;

	initStringInfo(&buf);
	for (int i = 0; i < iopool_shared->npools; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 iopool_shared->pools[i].name);
	iopool_directory_bad_option("pool", name, "There is no pool of that name.",
								psprintf("Available pools: %s.", buf.data));
}

/* Raise unless these can be the options of a foreign table. */
static void
check_table(List *options)
{
	ListCell *lc;

	foreach(lc, options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "pattern") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid option \"%s\"", option->defname),
					 errhint("Valid options of a foreign table: pattern.")));
		(void) iopool_pattern_compile(defGetString(option));
	}
}

/*
 * The wrapper's validator: the options of a server, of a foreign table, or of
 * something else that has none.
 */
Datum
iopool_directory_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	IopoolDirectory dir;

	if (catalog == ForeignTableRelationId)
	{
		check_table(options);
		PG_RETURN_VOID();
	}
	if (catalog != ForeignServerRelationId)
	{
		if (options != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid option \"%s\"",
							linitial_node(DefElem, options)->defname),
					 errhint("There are no valid options in this context; those of a server are: %s.",
							 iopool_directory_valid_options())));
		PG_RETURN_VOID();
	}

	if (IsBinaryUpgrade)
		PG_RETURN_VOID();
	if (!iopool_directory_parse(options, &dir))
		iopool_directory_raise_problem(&dir.problem);
	check_path_canonical(dir.path);
	if (dir.pool_name != NULL)
		check_pool(dir.pool_name);
	if (!is_hook_reached())
		check_change(&dir, NULL);
	PG_RETURN_VOID();
}
