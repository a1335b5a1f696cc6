/*-------------------------------------------------------------------------
 *
 * access.c
 *	  Who may read which path.
 *
 * A path is plain, or names a directory: "directory:relative/path".  Plain
 * paths are for members of pg_read_server_files, as for pg_read_binary_file.
 * Directories are for those with USAGE on the foreign server of that name.
 * EXECUTE on the functions is not enough: it says who may call them, not what
 * they may name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/role.h"
#include "file/access.h"
#include "file/catalog_watch.h"
#include "file/log.h"

/*
 * Names that are kept for single reads at most: whoever may name any path can
 * write a colon into each.
 */
#define MAX_SESSION_NAMES 64

typedef struct DirectoryEntry
{
	const char *name;
	IopoolDirectory *dir; /* NULL: paths that begin so are plain */
	uint32 hash;
	char status;
} DirectoryEntry;

#define SH_PREFIX		directory_table
#define SH_ELEMENT_TYPE DirectoryEntry
#define SH_KEY_TYPE		const char *
#define SH_KEY			name
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(table, a, b) (strcmp((a), (b)) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE				  static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Begin to look at the paths of a call of the current user.  What comes out
 * lives in cxt.  A worker without a transaction has no catalogs to look at, and
 * no right.
 */
void
iopool_access_begin(IopoolAccess *access, MemoryContext cxt)
{
	Oid session;
	bool has_catalogs = IsTransactionState();

	access->cxt = cxt;
	iopool_role_get(&access->time.userid, &session);
	access->time.nchanges = has_catalogs ? iopool_catalog_changes_now() : 0;
	access->may_name_any = has_catalogs &&
		has_privs_of_role(access->time.userid, ROLE_PG_READ_SERVER_FILES);
	access->is_trusted = false;
	access->is_looking = false;
	access->log_role = iopool_log_file_role(cxt);
	access->table = NULL;
}

/* Would a look now, by the current user, find the same rights? */
bool
iopool_access_is_as_of(const IopoolAccessTime *time)
{
	return time->userid == GetUserId() &&
		time->nchanges == iopool_catalog_changes_now();
}

/*
 * Begin to look at the path of a single read of the current user.  What comes
 * out is good until this is called again.  What has been found about
 * directories is kept from call to call, as long as it is true.
 */
IopoolAccess *
iopool_access_of_session(void)
{
	static IopoolAccess access;
	static bool is_begun = false;

	if (access.cxt == NULL)
		access.cxt =
			AllocSetContextCreate(TopMemoryContext, "iopool single reads",
								  ALLOCSET_SMALL_SIZES);
	if (!is_begun || access.is_looking ||
		!iopool_access_is_as_of(&access.time) ||
		(access.table != NULL && access.table->members >= MAX_SESSION_NAMES))
	{
		is_begun = false;
		MemoryContextReset(access.cxt);
		iopool_access_begin(&access, access.cxt);
		is_begun = true;
	}
	access.log_role = iopool_log_file_role(CurrentMemoryContext);
	return &access;
}

/*
 * The directory of that name with the pool it asks for, or NULL when there is
 * none; raises when the current user may not read there.
 */
static IopoolDirectory *
look_up_directory(const IopoolAccess *access, const char *name)
{
	IopoolDirectory *dir = iopool_directory_find(name);
	AclResult aclresult = ACLCHECK_OK;

	if (dir == NULL)
		return NULL;

	if (!access->is_trusted)
		aclresult =
			iopool_server_aclcheck(dir->serverid, GetUserId(), ACL_USAGE);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_FOREIGN_SERVER, dir->name);

	/* what is wrong may quote a path, which is not for everybody */
	if (dir->problem.message != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options of directory \"%s\" are not valid", dir->name),
				 access->may_name_any
					 ? errdetail_internal("%s", dir->problem.message)
					 : 0,
				 errhint("Mend them with ALTER SERVER; iopool_check() tells how.")));

	if (dir->pool_name != NULL)
	{
		dir->pool = iopool_shmem_lookup_pool(dir->pool_name);
		if (dir->pool == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("pool \"%s\" of directory \"%s\" does not exist",
							dir->pool_name, dir->name),
					 errhint("Pools are configured by \"iopool.pools\"; view iopool_pools lists them.")));
	}
	return dir;
}

/*
 * The same; raises 42704 when there is none.
 *
 * That a directory exists is no secret, because everybody can see the names
 * of foreign servers.
 */
static IopoolDirectory *
require_directory(const IopoolAccess *access, const char *name)
{
	IopoolDirectory *dir = look_up_directory(access, name);

	if (dir == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("directory \"%s\" does not exist", name),
				 errhint("Directories are foreign servers of the wrapper iopool_directory; view iopool_directories lists them.")));
	return dir;
}

/*
 * What comes before the colon of a path, once a call: NULL when it is only the
 * beginning of a plain path.
 */
static IopoolDirectory *
find_directory(IopoolAccess *access, const char *path, size_t len)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(access->cxt);
	char *name = pnstrdup(path, len);
	DirectoryEntry *entry;
	IopoolDirectory *dir;
	bool found;

	if (access->table == NULL)
		access->table = directory_table_create(access->cxt, 4, NULL);
	entry = directory_table_lookup(access->table, name);
	if (entry != NULL)
	{
		dir = entry->dir;
		pfree(name);
	}
	else
	{
		access->is_looking = true;
		dir = access->may_name_any ? look_up_directory(access, name)
								   : require_directory(access, name);
		access->is_looking = false;
		entry = directory_table_insert(access->table, name, &found);
		entry->dir = dir;
	}

	MemoryContextSwitchTo(old_cxt);
	return dir;
}

static IopoolDirectory *
check_path(IopoolAccess *access, const char *path, const char **relative)
{
	size_t len = strcspn(path, ":/");

	*relative = NULL;
	if (path[len] == ':')
	{
		IopoolDirectory *dir = find_directory(access, path, len);

		if (dir != NULL)
		{
			*relative = path + len + 1;
			return dir;
		}
	}

	if (!access->may_name_any)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read file \"%s\"", path),
				 errdetail("Only roles with privileges of the \"%s\" role may read files by path.",
						   "pg_read_server_files")));
	return NULL;
}

/*
 * Look a path up, by itself or below the directory that is named; who may not
 * read it is logged.
 */
static IopoolDirectory *
check_and_log(IopoolAccess *access, const char *directory, const char *path,
			  const char **relative)
{
	IopoolDirectory *dir = NULL;

	PG_TRY();
	{
		dir = directory != NULL ? require_directory(access, directory)
								: check_path(access, path, relative);
	}
	PG_CATCH();
	{
		iopool_log_refused(access->log_role, path);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return dir;
}

/*
 * May the current user read this path?  Raises 42501 or 42704 if not.
 *
 * Returns the directory that it names, with *relative pointing to the part of
 * path below it, or NULL for a plain path.
 */
IopoolDirectory *
iopool_access_path(IopoolAccess *access, const char *path,
				   const char **relative)
{
	return check_and_log(access, NULL, path, relative);
}

/*
 * The directory of that name, for a path below it, in the current memory
 * context; raises 42501 or 42704 as above.
 */
IopoolDirectory *
iopool_access_directory(IopoolAccess *access, const char *name,
						const char *path)
{
	return check_and_log(access, name, path, NULL);
}
