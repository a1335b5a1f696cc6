/*-------------------------------------------------------------------------
 *
 * role.c
 *	  Roles of this process, also where it is no session.
 *
 * A background worker may read without a transaction, and without having
 * connected to a database: it has no user then, and the catalogs cannot be
 * asked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"

#include "base/role.h"

/*
 * The current user, and that of the session.  For a worker that has not
 * connected, the one that it would have if it connected without naming one.
 */
void
iopool_role_get(Oid *current, Oid *session)
{
	int sec_context;

	GetUserIdAndSecContext(current, &sec_context);
	if (OidIsValid(*current))
		*session = GetSessionUserId();
	else
		*current = *session = BOOTSTRAP_SUPERUSERID;
}

/*
 * The name of a role, in the current memory context; something to print
 * instead where it has been dropped, or cannot be looked up.
 */
const char *
iopool_role_name(Oid roleid)
{
	const char *name =
		IsTransactionState() ? GetUserNameFromId(roleid, true) : NULL;

	return name != NULL ? name : psprintf("unknown (OID=%u)", roleid);
}
