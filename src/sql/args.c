/*-------------------------------------------------------------------------
 *
 * args.c
 *	  SQL arguments -> validated ranges.
 *
 * This is where the arguments of a call come in, and the only place that sees
 * the Datums of its arrays and paths.  What leaves it is a copy in the memory
 * context that the caller names, so a call that is read later, or by somebody
 * else, keeps no pointer into an executor's memory: a sub-select hands out a
 * pointer into a tuple that it frees for its next row.
 *
 * Every element is looked at before the first file is opened, so a call with
 * a bad argument reads nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/range.h"
#include "sql/args.h"

/* Bytes that are copied between two looks at interrupts. */
#define BYTES_PER_CHECK (1024 * 1024)

/* An array of at most one dimension without NULLs. */
static ArrayType *
plain_array(Datum datum, const char *argname)
{
	ArrayType *array = DatumGetArrayTypeP(datum);

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array \"%s\" must be one-dimensional", argname),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", argname)));
	return array;
}

/* What the elements of an array lie in, copied; frees the array if detoasted. */
static void *
take_elements(MemoryContext cxt, ArrayType *array, Datum datum)
{
	Size size = ARR_SIZE(array) - ARR_DATA_OFFSET(array);
	char *copy = MemoryContextAllocHuge(cxt, Max(size, 1));

	for (Size done = 0; done < size; done += BYTES_PER_CHECK)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(copy + done, ARR_DATA_PTR(array) + done,
			   Min(size - done, BYTES_PER_CHECK));
	}
	if ((Pointer) array != DatumGetPointer(datum))
		pfree(array);
	return copy;
}

/*
 * The elements of a bigint array of at most one dimension, copied into cxt;
 * raises 22023 and 22004 for others.
 */
const int64 *
iopool_args_bigints(MemoryContext cxt, Datum datum, const char *argname,
					int *nelems)
{
	ArrayType *array = plain_array(datum, argname);

	*nelems = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return take_elements(cxt, array, datum);
}

/* The same of a text array, as Datums. */
static Datum *
take_texts(MemoryContext cxt, Datum datum, const char *argname, int *nelems)
{
	ArrayType *array = plain_array(datum, argname);
	Datum *elems;
	char *pos;

	*nelems = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	pos = take_elements(cxt, array, datum);
	elems = MemoryContextAllocHuge(cxt, sizeof(Datum) * Max(*nelems, 1));
	for (int i = 0; i < *nelems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		elems[i] = PointerGetDatum(pos);
		pos = att_addlength_pointer(pos, -1, pos);
		pos = (char *) att_align_nominal(pos, TYPALIGN_INT);
	}
	return elems;
}

static void
check_path_count(int noffsets, int npaths)
{
	if (npaths != noffsets)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arrays \"file_offsets\" and \"paths\" must have the same number of elements"),
				 errdetail("They have %d and %d.", noffsets, npaths)));
}

static void
check_length_count(int noffsets, int nlengths)
{
	if (nlengths != noffsets && nlengths != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array \"lengths\" must have as many elements as \"file_offsets\", or one"),
				 errdetail("They have %d and %d.", nlengths, noffsets)));
}

static void
check_ranges(const IopoolArgs *args)
{
	for (int i = 0; i < args->nranges; i++)
	{
		CHECK_FOR_INTERRUPTS();
		iopool_range_check(args->offsets[i], iopool_args_length(args, i));
	}
}

static void
take_path(IopoolArgs *args, MemoryContext cxt, Datum path)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(cxt);

	args->path = TextDatumGetCString(path);
	MemoryContextSwitchTo(old_cxt);
}

/*
 * Take the arguments of a call into cxt: three of that form, in the order of
 * the SQL functions.  Raises 22023 or 22004 for what is no range.
 */
void
iopool_args_take(IopoolArgs *args, MemoryContext cxt, IopoolArgsForm form,
				 const Datum *datums)
{
	const int64 *lengths;
	int npaths = 0;
	int nlengths;

	memset(args, 0, sizeof(IopoolArgs));
	if (form == IOPOOL_ARGS_PATHS)
		args->paths = take_texts(cxt, datums[0], "paths", &npaths);
	else
		take_path(args, cxt, datums[0]);
	args->offsets =
		iopool_args_bigints(cxt, datums[1], "file_offsets", &args->nranges);
	lengths = iopool_args_bigints(cxt, datums[2], "lengths", &nlengths);
	check_length_count(args->nranges, nlengths);
	if (nlengths == 1)
		args->length = lengths[0];
	else
		args->lengths = lengths;
	if (form == IOPOOL_ARGS_PATHS)
		check_path_count(args->nranges, npaths);
	check_ranges(args);
}

/* on_error: true for 'report', false for 'raise'; raises 22023 otherwise. */
bool
iopool_args_is_report(Datum on_error)
{
	char *value = TextDatumGetCString(on_error);

	if (strcmp(value, "report") == 0)
		return true;
	if (strcmp(value, "raise") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"on_error\": \"%s\"",
						value),
				 errhint("Available values: raise, report.")));
	return false;
}
