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

/* Also of what is not compiled: method number n is entry n. */
const struct config_enum_entry iopool_method_options[] = {
	{"auto", IOPOOL_METHOD_AUTO, false},
	{"io_uring", IOPOOL_METHOD_IO_URING, false},
	{"libaio", IOPOOL_METHOD_LIBAIO, false},
	{"sync", IOPOOL_METHOD_SYNC, false},
	{NULL, 0, false},
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
		elog(ERROR, "method \"%s\" is not compiled in", iopool_method_name(id));
	return methods[id];
}

const char *
iopool_method_name(IopoolMethodId id)
{
	return iopool_method_options[id].name;
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
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
							 iopool_method_name(id));
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
