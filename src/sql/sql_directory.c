/*-------------------------------------------------------------------------
 *
 * sql_directory.c
 *	  The rows of view iopool_directories.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "engine/enter.h"
#include "file/directory.h"
#include "ring/settings.h"

#define DIRECTORIES_COLUMNS 5

IOPOOL_FUNCTION(iopool_list_directories);

/*
 * One row for each directory.  The path is shown to those who may name any,
 * and to the owner; the rest is for everybody, as in pg_foreign_server.  Of
 * options that no directory can have, those are shown that one can, and nobody
 * may read.
 */
Datum
iopool_list_directories(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid userid = GetUserId();
	bool sees_all = has_privs_of_role(userid, ROLE_PG_READ_SERVER_FILES);
	ListCell *lc;

	iopool_enter();
	InitMaterializedSRF(fcinfo, 0);

	foreach(lc, iopool_directory_list())
	{
		IopoolDirectory *dir = lfirst(lc);
		Datum values[DIRECTORIES_COLUMNS];
		bool nulls[DIRECTORIES_COLUMNS] = {false};

		values[0] = CStringGetTextDatum(dir->name);
		if (dir->path != NULL &&
			(sees_all || has_privs_of_role(userid, dir->ownerid)))
			values[1] = CStringGetTextDatum(dir->path);
		else
			nulls[1] = true;
		if (dir->pool_name != NULL)
			values[2] = CStringGetTextDatum(dir->pool_name);
		else
			nulls[2] = true;
		if (dir->has_io_mode)
			values[3] = CStringGetTextDatum(
				iopool_settings_io_mode_name(dir->io_mode));
		else
			nulls[3] = true;
		values[4] =
			BoolGetDatum(dir->problem.message == NULL &&
						 iopool_server_aclcheck(dir->serverid, userid,
												ACL_USAGE) == ACLCHECK_OK);

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
