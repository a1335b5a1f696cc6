/*-------------------------------------------------------------------------
 *
 * api_handle.c
 *	  What consumers hold: which of it is alive, and how it is told that the
 *	  memory it depends on goes away.
 *
 * A consumer may come with a pointer to what has ended, or to what another
 * process has made.  So every function looks its handle up among those that
 * are alive before it follows the pointer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "api/api_internal.h"

typedef struct HandleEntry
{
	const void *handle;
	IopoolApiKind kind; /* of a handle */
	Size size;			/* of a buffer, in bytes */
	char status;
} HandleEntry;

#define SH_PREFIX		handle_table
#define SH_ELEMENT_TYPE HandleEntry
#define SH_KEY_TYPE		const void *
#define SH_KEY			handle
#define SH_HASH_KEY(table, key) \
	murmurhash32((uint32) ((uintptr_t) (key) / MAXIMUM_ALIGNOF))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE			  static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Streams and files of this process that have not ended. */
static handle_table_hash *handles = NULL;

/* May raise, for lack of memory. */
void
iopool_api_register(const void *handle, IopoolApiKind kind)
{
	bool found;

	if (handles == NULL)
		handles = handle_table_create(TopMemoryContext, 16, NULL);
	handle_table_insert(handles, handle, &found)->kind = kind;
}

/* Harmless to repeat. */
void
iopool_api_unregister(const void *handle)
{
	if (handles != NULL)
		(void) handle_table_delete(handles, handle);
}

/* Is it alive, and of this kind? */
bool
iopool_api_is_registered(const void *handle, IopoolApiKind kind)
{
	HandleEntry *entry =
		handles != NULL ? handle_table_lookup(handles, handle) : NULL;

	return entry != NULL && entry->kind == kind;
}

/*
 * Sets of buffers, by which a stream knows its own again: asking palloc whose
 * a pointer is would follow it.
 */
struct handle_table_hash *
iopool_api_set_create(MemoryContext cxt)
{
	return handle_table_create(cxt, 16, NULL);
}

/* Make room for one more, so that adding it does not raise. */
void
iopool_api_set_reserve(struct handle_table_hash *set)
{
	if (set->members + 1 >= set->grow_threshold)
		handle_table_grow(set, set->size * 2);
}

void
iopool_api_set_add(struct handle_table_hash *set, const void *buffer,
				   Size size)
{
	bool found;

	handle_table_insert(set, buffer, &found)->size = size;
}

/* Returns the size that it was added with, in bytes; 0: it was not there. */
Size
iopool_api_set_remove(struct handle_table_hash *set, const void *buffer)
{
	HandleEntry *entry = handle_table_lookup(set, buffer);
	Size size;

	if (entry == NULL)
		return 0;
	size = entry->size;
	handle_table_delete_item(set, entry);
	return size;
}

/*
 * A struct of a consumer, with its size in the first field: one that was
 * compiled earlier may be smaller than what we know, but not larger.
 */
void
iopool_api_check_size(const char *what, Size size, Size known)
{
	if (size < sizeof(Size))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size of %s is not set", what)));
	if (size > known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s has %zu bytes, but the library knows only %zu",
						what, size, known),
				 errhint("Install a matching version of iopool.")));
}

/*
 * Call func before the memory of cxt goes away: children go before their
 * parents, so a child with a callback is as good as a callback that can be
 * taken back, by deleting the child.  func is called then, too.
 */
MemoryContext
iopool_api_guard(MemoryContext cxt, MemoryContextCallbackFunction func,
				 void *arg)
{
	MemoryContext guard =
		AllocSetContextCreate(cxt, "iopool guard", ALLOCSET_SMALL_SIZES);
	MemoryContextCallback *callback =
		MemoryContextAlloc(guard, sizeof(MemoryContextCallback));

	callback->func = func;
	callback->arg = arg;
	MemoryContextRegisterResetCallback(guard, callback);
	return guard;
}
