/*-------------------------------------------------------------------------
 *
 * iopool_unit.c
 *	  White-box tests of iopool's engine, as SQL functions.
 *
 * iopool_unit_list() RETURNS text
 *		The names of all cases, one a line.
 * iopool_unit_run(name text, seed bigint, rounds int) RETURNS void
 *		Runs one case; raises when a check fails.
 *
 * A case may leave shared state of the module in disorder when it fails, so
 * each wants a backend of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "engine/stream.h"
#include "mock.h"
#include "ring/settings.h"
#include "unit.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* What the sources under test expect of those that are not here. */
IopoolShared *iopool_shared = NULL;
int iopool_checkout_timeout_ms = 0;
int iopool_max_lease_time_ms = -1;
int iopool_max_rings_per_role = 0;

void
iopool_errors_raise_refused(const char *pool, IopoolMethodId method,
							int errnum)
{
	ereport(ERROR,
			(errcode(errnum == ENOMEM ? ERRCODE_INSUFFICIENT_RESOURCES
									  : ERRCODE_IO_ERROR),
			 errmsg_internal("pool \"%s\" is refused", pool)));
	pg_unreachable();
}

static const UnitCase *const suites[] = {
	unit_read_cost_cases, unit_stats_cases, unit_plan_cases,
	unit_pool_cases,	  unit_lease_cases, unit_stream_cases,
};

void
_PG_init(void)
{
	iopool_stream_register_callbacks();
}

const IopoolMethod *
iopool_method_get(IopoolMethodId id)
{
	return &mock_method;
}

void
unit_fail(const char *file, int line, const char *format, ...)
{
	StringInfoData buf;
	const char *name = strrchr(file, '/');

	initStringInfo(&buf);
	for (;;)
	{
		va_list args;
		int needed;

		va_start(args, format);
		needed = appendStringInfoVA(&buf, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}

	/* what is in flight must not keep the backend from ending */
	mock_calm();
	elog(ERROR, "%s:%d: %s", name ? name + 1 : file, line, buf.data);
}

IOPOOL_FUNCTION(iopool_unit_list);
IOPOOL_FUNCTION(iopool_unit_run);

Datum
iopool_unit_list(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(suites); i++)
	{
		for (const UnitCase *test = suites[i]; test->name != NULL; test++)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? "\n" : "",
							 test->name);
	}
	PG_RETURN_TEXT_P(cstring_to_text(buf.data));
}

Datum
iopool_unit_run(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (size_t i = 0; i < lengthof(suites); i++)
	{
		for (const UnitCase *test = suites[i]; test->name != NULL; test++)
		{
			if (strcmp(test->name, name) != 0)
				continue;

			mock_seed(PG_GETARG_INT64(1));
			mock_reset();
			PG_TRY();
			{
				test->run(PG_GETARG_INT32(2));
			}
			PG_FINALLY();
			{
				mock_calm();
				mock_files_remove();
			}
			PG_END_TRY();
			mock_verdict();
			PG_RETURN_VOID();
		}
	}
	elog(ERROR, "there is no case \"%s\"", name);
}
