/*-------------------------------------------------------------------------
 *
 * access.c
 *	  Who may read which path.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "access.h"

/*
 * May the current user read this path?  Raises 42501 if not.
 *
 * Members of pg_read_server_files may name any path, as for
 * pg_read_binary_file.  EXECUTE on the functions is not enough: it says who
 * may call them, not what they may name.
 */
void
iopool_access_check_path(const char *path)
{
	if (has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		return;

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to read file \"%s\"", path),
			 errdetail("Only roles with privileges of the \"%s\" role may read files by path.",
					   "pg_read_server_files")));
}
