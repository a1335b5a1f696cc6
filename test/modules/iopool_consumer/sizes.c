/*-------------------------------------------------------------------------
 *
 * sizes.c
 *	  Structs of the sizes that other versions of the header could have.
 *
 * The bytes past the size that a struct claims are filled with rubbish: a
 * library that reads them does not get far, and one that writes them is
 * found out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "consumer.h"

PG_FUNCTION_INFO_V1(consumer_begin_sized);
PG_FUNCTION_INFO_V1(consumer_fill_sized);
PG_FUNCTION_INFO_V1(consumer_open_with);

#define ROOM	512
#define RUBBISH 0x7f

/* Every struct that has a size begins with it. */
typedef union Sized
{
	Size size;
	IopoolApiOptions options;
	IopoolApiOpenOptions open;
	IopoolApiFileInfo file;
	IopoolApiStreamStats stream;
	IopoolApiPoolStats pool;
	char bytes[ROOM];
} Sized;

/*
 * A size by name: "full", "older" without the last fields, "newer", or a
 * number.
 */
static Size
size_arg(const char *name, Size full, Size older)
{
	if (strcmp(name, "full") == 0)
		return full;
	if (strcmp(name, "older") == 0)
		return older;
	if (strcmp(name, "newer") == 0)
		return full + sizeof(void *);
	return (Size) strtoul(name, NULL, 10);
}

/* consumer_begin_sized(size text) RETURNS int */
Datum
consumer_begin_sized(PG_FUNCTION_ARGS)
{
	Sized sized;
	Size size = size_arg(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 sizeof(IopoolApiOptions),
						 offsetof(IopoolApiOptions, header_size));

	memset(&sized, RUBBISH, sizeof(sized));
	memset(&sized, 0, Min(size, sizeof(sized)));
	sized.size = size;
	PG_RETURN_INT32(consumer_handle_new(
		consumer_api()->begin(TopTransactionContext, &sized.options), 0, 0));
}

/*
 * consumer_open_with(path text, directory text, is_trusted bool,
 *					  missing_ok bool, from_end bool, io_mode text, size text)
 *					  RETURNS int
 *
 * open(), with a directory unless that is ''; NULL where there is no file.
 */
Datum
consumer_open_with(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *directory = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Size size = size_arg(text_to_cstring(PG_GETARG_TEXT_PP(6)),
						 sizeof(IopoolApiOpenOptions),
						 offsetof(IopoolApiOpenOptions, missing_ok));
	IopoolApiFile *file;
	Sized sized;

	memset(&sized, 0, sizeof(sized));
	sized.size = size;
	sized.open.directory = directory[0] != '\0' ? directory : NULL;
	sized.open.is_trusted = PG_GETARG_BOOL(2);
	sized.open.missing_ok = PG_GETARG_BOOL(3);
	sized.open.from_end = PG_GETARG_BOOL(4);
	sized.open.io_mode =
		consumer_io_mode(text_to_cstring(PG_GETARG_TEXT_PP(5)));
	file = consumer_api()->open(TopTransactionContext, path, &sized.open);
	if (file == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT32(consumer_handle_new(file, 0, 0));
}

/*
 * consumer_fill_sized(kind text, object int, size text) RETURNS bool
 *
 * file_info(), stream_stats() or pool_stats(): whether it left alone what is
 * not its own, the size included.
 */
Datum
consumer_fill_sized(PG_FUNCTION_ARGS)
{
	const IopoolApi *iopool = consumer_api();
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int object = PG_GETARG_INT32(1);
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Sized sized;
	Size size;

	memset(&sized, RUBBISH, sizeof(sized));
	if (strcmp(kind, "file") == 0)
	{
		size = size_arg(name, sizeof(sized.file),
						offsetof(IopoolApiFileInfo, alignment));
		sized.size = size;
		iopool->file_info(consumer_handle(object)->pointer, &sized.file);
	}
	else if (strcmp(kind, "stream") == 0)
	{
		size = size_arg(name, sizeof(sized.stream),
						offsetof(IopoolApiStreamStats, in_flight));
		sized.size = size;
		iopool->stream_stats(consumer_handle(object)->pointer, &sized.stream);
	}
	else
	{
		size = size_arg(name, sizeof(sized.pool),
						offsetof(IopoolApiPoolStats, nreads));
		sized.size = size;
		iopool->pool_stats(NULL, &sized.pool);
	}

	if (sized.size != size)
		PG_RETURN_BOOL(false);
	for (Size i = size; i < ROOM; i++)
	{
		if (sized.bytes[i] != RUBBISH)
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
