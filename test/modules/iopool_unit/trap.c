/*-------------------------------------------------------------------------
 *
 * trap.c
 *	  Faults made on purpose, which a build that looks for them must report.
 *
 * iopool_unit_trap(kind text) RETURNS void
 *		Makes one fault of that kind.  In a build that looks for it the backend
 *		ends with a report; in any other, the function raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"

IOPOOL_FUNCTION(iopool_unit_trap);

/* Read one byte past the end of what malloc() gave. */
static int
past_malloc(volatile int size)
{
	/* volatile: the compiler knows what malloc() gives, and would see it too */
	char *volatile bytes = malloc(size);
	int result;

	if (bytes == NULL)
		elog(ERROR, "out of memory");
	memset(bytes, 0, size);
	result = ((volatile char *) bytes)[size];
	free(bytes);
	return result;
}

/* The same of palloc(), whose next chunk follows in the same block. */
static int
past_palloc(volatile int size)
{
	char *bytes = palloc0(size);

	return ((volatile char *) bytes)[size];
}

static int
after_pfree(volatile int size)
{
	char *bytes = palloc0(size);

	pfree(bytes);
	return ((volatile char *) bytes)[0];
}

static int
overflow(volatile int64 value)
{
	return (value + PG_INT64_MAX) % 2;
}

static int
misaligned(volatile int offset)
{
	char bytes[2 * sizeof(int64)] = {0};

	return (int) *(volatile int64 *) (bytes + offset);
}

/* Bytes of a context that is gone. */
static int
after_delete(int size)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "trap",
											  ALLOCSET_SMALL_SIZES);
	char *bytes = MemoryContextAllocZero(cxt, size);

	MemoryContextDelete(cxt);
	return ((volatile char *) bytes)[0];
}

static int
assertion(volatile int value)
{
	Assert(value == 0);
	return value;
}

Datum
iopool_unit_trap(PG_FUNCTION_ARGS)
{
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int result;

	if (strcmp(kind, "past_malloc") == 0)
		result = past_malloc(40);
	else if (strcmp(kind, "past_palloc") == 0)
		result = past_palloc(40);
	else if (strcmp(kind, "after_pfree") == 0)
		result = after_pfree(40);
	else if (strcmp(kind, "after_delete") == 0)
		result = after_delete(40);
	else if (strcmp(kind, "overflow") == 0)
		result = overflow(1);
	else if (strcmp(kind, "misaligned") == 0)
		result = misaligned(1);
	else if (strcmp(kind, "assertion") == 0)
		result = assertion(1);
	else
		elog(ERROR, "there is no fault \"%s\"", kind);
	elog(ERROR, "nobody noticed \"%s\" (%d)", kind, result);
}
