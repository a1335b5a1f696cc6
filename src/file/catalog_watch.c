/*-------------------------------------------------------------------------
 *
 * catalog_watch.c
 *	  Notices changes of the catalog that rights and directories depend on.
 *
 * What was found in the catalog caches stays true until one of their entries
 * is invalidated, by this session or another: that is when a look-up would
 * find something else.  So who keeps what he has found asks for the number of
 * changes before he looks, and looks again once that number is another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/inval.h"
#include "utils/syscache.h"

#include "file/catalog_watch.h"

/*
 * Directories: a server, its wrapper, and the validator of that.  Rights: of
 * roles (superusers), by membership, and as the owner of the database.  Which
 * directories overlap the data directory: tablespaces.
 */
static const int watched_caches[] = {
	FOREIGNSERVEROID, FOREIGNDATAWRAPPEROID, PROCOID,		AUTHOID,
	AUTHMEMROLEMEM,	  DATABASEOID,			 TABLESPACEOID,
};

static uint64 nchanges = 0;

static void
count_change(Datum arg, int cacheid, uint32 hashvalue)
{
	nchanges++;
}

/* How many changes this session has been told of.  Does not raise. */
uint64
iopool_catalog_changes(void)
{
	static bool is_watching = false;

	if (!is_watching)
	{
		for (size_t i = 0; i < lengthof(watched_caches); i++)
			CacheRegisterSyscacheCallback(watched_caches[i], count_change,
										  (Datum) 0);
		is_watching = true;
	}
	return nchanges;
}

/* The same, after it has been told of all that others have committed. */
uint64
iopool_catalog_changes_now(void)
{
	(void) iopool_catalog_changes();
	AcceptInvalidationMessages();
	return nchanges;
}
