/*-------------------------------------------------------------------------
 *
 * check_row.c
 *	  A row of iopool_check().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "doctor/check_internal.h"

#define CHECK_COLUMNS 4

static const char *const status_names[] = {
	[IOPOOL_CHECK_OK] = "ok",
	[IOPOOL_CHECK_WARN] = "warn",
	[IOPOOL_CHECK_FAIL] = "fail",
};

/* Report a row.  The hint is for what is not "ok", which has to have one. */
void
iopool_check_put(IopoolCheck *check, const char *name,
				 IopoolCheckStatus status, const char *detail,
				 const char *hint)
{
	Datum values[CHECK_COLUMNS];
	bool nulls[CHECK_COLUMNS] = {false};

	Assert(status == IOPOOL_CHECK_OK || hint != NULL);
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(status_names[status]);
	values[2] = CStringGetTextDatum(detail);
	nulls[3] = (status == IOPOOL_CHECK_OK);
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(hint);
	tuplestore_putvalues(check->rsinfo->setResult, check->rsinfo->setDesc,
						 values, nulls);
}
