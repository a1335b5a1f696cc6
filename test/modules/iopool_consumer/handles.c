/*-------------------------------------------------------------------------
 *
 * handles.c
 *	  Pointers and memory contexts that SQL can name; files and buffers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "consumer.h"

PG_FUNCTION_INFO_V1(consumer_context);
PG_FUNCTION_INFO_V1(consumer_context_reset);
PG_FUNCTION_INFO_V1(consumer_context_delete);
PG_FUNCTION_INFO_V1(consumer_bogus);
PG_FUNCTION_INFO_V1(consumer_open);
PG_FUNCTION_INFO_V1(consumer_open_in);
PG_FUNCTION_INFO_V1(consumer_close);
PG_FUNCTION_INFO_V1(consumer_file_info);
PG_FUNCTION_INFO_V1(consumer_buffer);
PG_FUNCTION_INFO_V1(consumer_buffer_free);
PG_FUNCTION_INFO_V1(consumer_buffer_data);
PG_FUNCTION_INFO_V1(consumer_check_aligned);

#define MAX_CONTEXTS	 16
#define MAX_CONTEXT_NAME 32

/* A context that lives as long as the transaction, at most. */
typedef struct NamedContext
{
	char name[MAX_CONTEXT_NAME];
	MemoryContext cxt; /* NULL: gone */
} NamedContext;

static NamedContext contexts[MAX_CONTEXTS];

static ConsumerHandle *handles = NULL;
static int nhandles = 0;
static int max_handles = 0;

/* The number of a new handle.  Numbers begin with 1, and are not used again. */
int
consumer_handle_new(void *pointer, int64 size, Size header_size)
{
	if (nhandles == max_handles)
	{
		int room = Max(64, max_handles * 2);
		Size bytes = sizeof(ConsumerHandle) * room;

		if (handles == NULL)
			handles = MemoryContextAlloc(TopMemoryContext, bytes);
		else
			handles = repalloc(handles, bytes);
		max_handles = room;
	}
	handles[nhandles].pointer = pointer;
	handles[nhandles].size = size;
	handles[nhandles].header_size = header_size;
	return ++nhandles;
}

ConsumerHandle *
consumer_handle(int number)
{
	if (number < 1 || number > nhandles)
		elog(ERROR, "there is no handle %d", number);
	return &handles[number - 1];
}

static NamedContext *
find_context(const char *name)
{
	for (int i = 0; i < MAX_CONTEXTS; i++)
	{
		if (contexts[i].cxt != NULL && strcmp(contexts[i].name, name) == 0)
			return &contexts[i];
	}
	return NULL;
}

MemoryContext
consumer_context_get(const char *name)
{
	NamedContext *entry;

	if (strcmp(name, "transaction") == 0)
		return TopTransactionContext;
	if (strcmp(name, "portal") == 0)
		return PortalContext;
	if (strcmp(name, "top") == 0)
		return TopMemoryContext;
	entry = find_context(name);
	if (entry == NULL)
		elog(ERROR, "there is no context \"%s\"", name);
	return entry->cxt;
}

static void
forget_context(void *arg)
{
	NamedContext *entry = arg;

	entry->cxt = NULL;
}

static void
watch_context(NamedContext *entry, MemoryContext cxt)
{
	MemoryContextCallback *callback =
		MemoryContextAlloc(cxt, sizeof(MemoryContextCallback));

	callback->func = forget_context;
	callback->arg = entry;
	MemoryContextRegisterResetCallback(cxt, callback);
	entry->cxt = cxt;
}

/* consumer_context(name text, parent text) RETURNS void */
Datum
consumer_context(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext parent =
		consumer_context_get(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (find_context(name) != NULL)
		elog(ERROR, "there is a context \"%s\"", name);
	for (int i = 0; i < MAX_CONTEXTS; i++)
	{
		if (contexts[i].cxt != NULL)
			continue;
		strlcpy(contexts[i].name, name, MAX_CONTEXT_NAME);
		watch_context(&contexts[i],
					  AllocSetContextCreate(parent, "consumer context",
											ALLOCSET_DEFAULT_SIZES));
		PG_RETURN_VOID();
	}
	elog(ERROR, "too many contexts");
}

/* consumer_context_reset(name text) RETURNS void */
Datum
consumer_context_reset(PG_FUNCTION_ARGS)
{
	NamedContext *entry = find_context(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	MemoryContext cxt;

	if (entry == NULL)
		elog(ERROR, "there is no such context");
	cxt = entry->cxt;
	MemoryContextReset(cxt);
	watch_context(entry, cxt);
	PG_RETURN_VOID();
}

/* consumer_context_delete(name text) RETURNS void */
Datum
consumer_context_delete(PG_FUNCTION_ARGS)
{
	MemoryContextDelete(
		consumer_context_get(text_to_cstring(PG_GETARG_TEXT_PP(0))));
	PG_RETURN_VOID();
}

/*
 * consumer_bogus() RETURNS int
 *
 * A handle of memory that is neither a stream nor a file nor a buffer, as
 * those of another process are not.
 */
Datum
consumer_bogus(PG_FUNCTION_ARGS)
{
	static uint64 nothing[64];

	PG_RETURN_INT32(consumer_handle_new(nothing, 0, 0));
}

/* --------------------------------------------------------------------------
 * Files
 */

/* consumer_open(path text, access text, io_mode text, context text) */
Datum
consumer_open(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *access = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char *io_mode = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char *context = text_to_cstring(PG_GETARG_TEXT_PP(3));

	PG_RETURN_INT32(consumer_handle_new(
		consumer_api()->open_file(consumer_context_get(context), path,
								  consumer_access(access),
								  consumer_io_mode(io_mode)),
		0, 0));
}

/*
 * consumer_open_in(directory text, relative text, access text, io_mode text,
 *					context text) RETURNS int
 */
Datum
consumer_open_in(PG_FUNCTION_ARGS)
{
	char *directory = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *relative = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char *access = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char *io_mode = text_to_cstring(PG_GETARG_TEXT_PP(3));
	char *context = text_to_cstring(PG_GETARG_TEXT_PP(4));

	PG_RETURN_INT32(consumer_handle_new(
		consumer_api()->open_in_directory(consumer_context_get(context),
										  directory, relative,
										  consumer_access(access),
										  consumer_io_mode(io_mode)),
		0, 0));
}

/* consumer_close(file int) RETURNS void */
Datum
consumer_close(PG_FUNCTION_ARGS)
{
	consumer_api()->close_file(consumer_handle(PG_GETARG_INT32(0))->pointer);
	PG_RETURN_VOID();
}

/* consumer_file_info(file int) RETURNS (file_size, io_mode, alignment, pool) */
Datum
consumer_file_info(PG_FUNCTION_ARGS)
{
	IopoolApiFileInfo info = {.size = sizeof(info)};
	Datum values[4];
	bool nulls[4] = {false};
	TupleDesc tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	consumer_api()->file_info(consumer_handle(PG_GETARG_INT32(0))->pointer,
							  &info);
	values[0] = Int64GetDatum(info.file_size);
	values[1] = CStringGetTextDatum(consumer_io_mode_name(info.io_mode));
	values[2] = Int32GetDatum(info.alignment);
	nulls[3] = info.pool == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(info.pool);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/* --------------------------------------------------------------------------
 * Buffers
 */

/*
 * consumer_buffer(context text, size bigint, alignment bigint) RETURNS int
 *
 * Alignment 0: a plain chunk of the context.
 */
Datum
consumer_buffer(PG_FUNCTION_ARGS)
{
	MemoryContext cxt =
		consumer_context_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	int64 size = PG_GETARG_INT64(1);
	int64 alignment = PG_GETARG_INT64(2);
	char *buffer;

	if (alignment == 0)
		buffer = MemoryContextAlloc(cxt, size);
	else
	{
		buffer = consumer_api()->alloc_aligned(cxt, size, alignment);
		if ((uintptr_t) buffer % alignment != 0)
			elog(ERROR, "%p is not a multiple of %lld", buffer,
				 (long long) alignment);
	}
	memset(buffer, 0x5a, size);
	PG_RETURN_INT32(consumer_handle_new(buffer, size, 0));
}

/* consumer_buffer_free(buffer int) RETURNS void, of an aligned one */
Datum
consumer_buffer_free(PG_FUNCTION_ARGS)
{
	consumer_api()->free_aligned(consumer_handle(PG_GETARG_INT32(0))->pointer);
	PG_RETURN_VOID();
}

/* consumer_buffer_data(buffer int, start bigint, length bigint) */
Datum
consumer_buffer_data(PG_FUNCTION_ARGS)
{
	ConsumerHandle *handle = consumer_handle(PG_GETARG_INT32(0));
	int64 start = PG_GETARG_INT64(1);
	int64 length = PG_GETARG_INT64(2);

	if (start < 0 || length < 0 || start + length > handle->size)
		elog(ERROR, "the buffer has %lld bytes", (long long) handle->size);
	PG_RETURN_BYTEA_P(
		(bytea *) cstring_to_text_with_len((char *) handle->pointer + start,
										   (int) length));
}

/*
 * consumer_check_aligned(file int, file_offset bigint, length bigint,
 *						  buffer int, shift int) RETURNS void
 */
Datum
consumer_check_aligned(PG_FUNCTION_ARGS)
{
	consumer_api()->check_aligned(
		consumer_handle(PG_GETARG_INT32(0))->pointer, PG_GETARG_INT64(1),
		PG_GETARG_INT64(2),
		(char *) consumer_handle(PG_GETARG_INT32(3))->pointer +
			PG_GETARG_INT32(4));
	PG_RETURN_VOID();
}
