/*-------------------------------------------------------------------------
 *
 * consumer.c
 *	  An extension that reads through the C API of iopool.
 *
 * It is built with the installed header alone, as any other consumer is.  One
 * part of it is a search in a graph on disk (graph.c, search.c); blocks.c is a
 * set-returning function; index.c an index access method with parallel scans;
 * shared.c and shmem.c read into memory that processes share.  The rest makes
 * each call of the API by itself from SQL (handles.c, streams.c, sizes.c), for
 * the tests of its contract.  It takes any handle at its word and lets
 * everybody do everything: it is for servers that are thrown away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "consumer.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(consumer_with_table);
PG_FUNCTION_INFO_V1(consumer_without_table);

static const char *const io_mode_names[] = {
	[IOPOOL_API_IO_SESSION] = "session",
	[IOPOOL_API_IO_BUFFERED] = "buffered",
	[IOPOOL_API_IO_DIRECT] = "direct",
	[IOPOOL_API_IO_UNCACHED] = "uncached",
};

/* Not in _PG_init(): a consumer loads and answers also without iopool. */
const IopoolApi *
consumer_api(void)
{
	static const IopoolApi *api = NULL;

	if (api == NULL)
		api = iopool_api_get();
	return api;
}

IopoolApiIoMode
consumer_io_mode(const char *name)
{
	for (size_t i = 0; i < lengthof(io_mode_names); i++)
	{
		if (strcmp(io_mode_names[i], name) == 0)
			return (IopoolApiIoMode) i;
	}
	/* the library has to refuse what is none */
	return (IopoolApiIoMode) atoi(name);
}

const char *
consumer_io_mode_name(IopoolApiIoMode mode)
{
	if ((size_t) mode >= lengthof(io_mode_names))
		elog(ERROR, "unknown I/O mode %d", (int) mode);
	return io_mode_names[mode];
}

IopoolApiAccess
consumer_access(const char *name)
{
	if (strcmp(name, "trusted") == 0)
		return IOPOOL_API_TRUSTED;
	if (strcmp(name, "user") == 0)
		return IOPOOL_API_CURRENT_USER;
	return (IopoolApiAccess) atoi(name);
}

/* Look the table up while another one is in its place. */
static void
get_with(const IopoolApi *other)
{
	const IopoolApi **variable =
		(const IopoolApi **) find_rendezvous_variable(IOPOOL_API_VARIABLE);
	const IopoolApi *saved = *variable;

	*variable = other;
	PG_TRY();
	{
		if (iopool_api_get() != other)
			elog(ERROR, "another table was found");
	}
	PG_FINALLY();
	{
		*variable = saved;
	}
	PG_END_TRY();
}

/*
 * consumer_with_table(version int, size int) RETURNS text
 *
 * Looks up a table whose version and size are off by so much.
 */
Datum
consumer_with_table(PG_FUNCTION_ARGS)
{
	IopoolApi other = *consumer_api();

	other.version += PG_GETARG_INT32(0);
	other.size += PG_GETARG_INT32(1);
	get_with(&other);
	PG_RETURN_TEXT_P(cstring_to_text("fits"));
}

/*
 * consumer_without_table() RETURNS text
 *
 * The same without a table, as on a server that does not preload iopool.
 */
Datum
consumer_without_table(PG_FUNCTION_ARGS)
{
	get_with(NULL);
	PG_RETURN_TEXT_P(cstring_to_text("fits"));
}
