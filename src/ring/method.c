/*-------------------------------------------------------------------------
 *
 * method.c
 *	  The table of methods.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "lib/stringinfo.h"

#include "ring/method.h"

static const IopoolMethod *const methods[IOPOOL_NUM_METHODS] = {
#ifdef IOPOOL_WITH_LIBURING
	[IOPOOL_METHOD_IO_URING] = &iopool_method_io_uring,
#endif
#ifdef IOPOOL_WITH_LIBAIO
	[IOPOOL_METHOD_LIBAIO] = &iopool_method_libaio,
#endif
	[IOPOOL_METHOD_SYNC] = &iopool_method_sync,
};

/* The names stand apart because they are needed for what is not compiled. */
static const char *const names[IOPOOL_NUM_METHODS] = {
	[IOPOOL_METHOD_AUTO] = "auto",
	[IOPOOL_METHOD_IO_URING] = "io_uring",
	[IOPOOL_METHOD_LIBAIO] = "libaio",
	[IOPOOL_METHOD_SYNC] = "sync",
};

bool
iopool_method_is_compiled(IopoolMethodId id)
{
	return methods[id] != NULL;
}

const IopoolMethod *
iopool_method_get(IopoolMethodId id)
{
	if (methods[id] == NULL)
		elog(ERROR, "method \"%s\" is not compiled in", names[id]);
	return methods[id];
}

const char *
iopool_method_name(IopoolMethodId id)
{
	return names[id];
}

/* Names of the compiled methods, best first, separated by commas. */
char *
iopool_method_compiled_list(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int id = IOPOOL_METHOD_IO_URING; id < IOPOOL_NUM_METHODS; id++)
	{
		if (methods[id] != NULL)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", names[id]);
	}
	return buf.data;
}

#ifndef IOPOOL_WITH_LIBURING

/* What those who ask about io_uring hear of a build without it. */
void
iopool_method_io_uring_examine(IopoolUringFacts *facts)
{
	memset(facts, 0, sizeof(IopoolUringFacts));
	facts->setup = -ENOSYS;
}

Size
iopool_method_io_uring_memory(int entries)
{
	return 0;
}

#endif /* IOPOOL_WITH_LIBURING */
