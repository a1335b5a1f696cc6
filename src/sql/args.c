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
 * a bad argument reads nothing, unless it reports what is wrong with a range.
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

/* The elements of an array of at most one dimension, copied. */
typedef struct Elements
{
	int nelems;
	char *data;	  /* those that are not NULL, one after the other */
	uint8 *nulls; /* bitmap of those that are not; NULL: none is NULL */
} Elements;

/* Copy memory, which may be much. */
static void *
copy_bytes(MemoryContext cxt, const char *bytes, Size size)
{
	char *copy = MemoryContextAllocHuge(cxt, Max(size, 1));

	for (Size done = 0; done < size; done += BYTES_PER_CHECK)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(copy + done, bytes + done, Min(size - done, BYTES_PER_CHECK));
	}
	return copy;
}

/* Raises 22023 for an array of more dimensions. */
static void
take_elements(Elements *elements, MemoryContext cxt, Datum datum,
			  const char *argname)
{
	ArrayType *array = DatumGetArrayTypeP(datum);

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array \"%s\" must be one-dimensional", argname),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));

	elements->nelems = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	elements->data = copy_bytes(cxt, ARR_DATA_PTR(array),
								ARR_SIZE(array) - ARR_DATA_OFFSET(array));
	elements->nulls = NULL;
	if (array_contains_nulls(array))
		elements->nulls = copy_bytes(cxt, (char *) ARR_NULLBITMAP(array),
									 (elements->nelems + 7) / 8);
	if ((Pointer) array != DatumGetPointer(datum))
		pfree(array);
}

static inline bool
is_null(const Elements *elements, int elemno)
{
	return elements->nulls != NULL && att_isnull(elemno, elements->nulls);
}

/*
 * The elements of a bigint array of at most one dimension, copied into cxt;
 * raises 22023 and 22004 for others.
 */
const int64 *
iopool_args_bigints(MemoryContext cxt, Datum datum, const char *argname,
					int *nelems)
{
	Elements elements;

	take_elements(&elements, cxt, datum, argname);
	if (elements.nulls != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", argname)));
	*nelems = elements.nelems;
	return (const int64 *) elements.data;
}

/* Something is wrong with a range. */
static void
add_flaw(IopoolArgs *args, MemoryContext cxt, int rangeno, uint8 flaw)
{
	if (args->flaws == NULL)
		args->flaws =
			MemoryContextAllocExtended(cxt, args->nranges,
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	args->flaws[rangeno] |= flaw;
}

/* Bigints, with 0 in the places of NULLs. */
static const int64 *
spread_bigints(MemoryContext cxt, const Elements *elements)
{
	const int64 *pos = (const int64 *) elements->data;
	int64 *values;

	if (elements->nulls == NULL)
		return pos;
	values = MemoryContextAllocHuge(cxt, sizeof(int64) * elements->nelems);
	for (int i = 0; i < elements->nelems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		values[i] = is_null(elements, i) ? 0 : *pos++;
	}
	return values;
}

/* Texts, as Datums, with 0 in the places of NULLs. */
static Datum *
spread_texts(MemoryContext cxt, const Elements *elements)
{
	char *pos = elements->data;
	Datum *values =
		MemoryContextAllocHuge(cxt, sizeof(Datum) * Max(elements->nelems, 1));

	for (int i = 0; i < elements->nelems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		values[i] = (Datum) 0;
		if (is_null(elements, i))
			continue;
		values[i] = PointerGetDatum(pos);
		pos = att_addlength_pointer(pos, -1, pos);
		pos = (char *) att_align_nominal(pos, TYPALIGN_INT);
	}
	return values;
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

/* Look at each range; elements of `lengths` may be one. */
static void
find_flaws(IopoolArgs *args, MemoryContext cxt, const Elements *offsets,
		   const Elements *lengths)
{
	args->first_flawed = -1;
	for (int i = 0; i < args->nranges; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (args->paths != NULL && args->paths[i] == (Datum) 0)
			add_flaw(args, cxt, i, IOPOOL_FLAW_NULL_PATH);
		if (is_null(offsets, i))
			add_flaw(args, cxt, i, IOPOOL_FLAW_NULL_OFFSET);
		if (is_null(lengths, args->lengths != NULL ? i : 0))
			add_flaw(args, cxt, i, IOPOOL_FLAW_NULL_LENGTH);
		if (iopool_range_failure(args->offsets[i],
								 iopool_args_length(args, i)) !=
			IOPOOL_FAILURE_NONE)
			add_flaw(args, cxt, i, IOPOOL_FLAW_NO_RANGE);
		if (args->first_flawed < 0 && iopool_args_flaws(args, i) != 0)
			args->first_flawed = i;
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
 * the SQL functions.  Raises 22023 for what is wrong with all of them; ranges
 * that are none are flawed.
 */
void
iopool_args_take(IopoolArgs *args, MemoryContext cxt, IopoolArgsForm form,
				 const Datum *datums)
{
	Elements paths = {0};
	Elements offsets;
	Elements lengths;

	memset(args, 0, sizeof(IopoolArgs));
	args->is_list = true;
	if (form == IOPOOL_ARGS_PATHS)
		take_elements(&paths, cxt, datums[0], "paths");
	else
		take_path(args, cxt, datums[0]);
	take_elements(&offsets, cxt, datums[1], "file_offsets");
	take_elements(&lengths, cxt, datums[2], "lengths");

	args->nranges = offsets.nelems;
	check_length_count(args->nranges, lengths.nelems);
	if (form == IOPOOL_ARGS_PATHS)
	{
		check_path_count(args->nranges, paths.nelems);
		args->paths = spread_texts(cxt, &paths);
	}
	args->offsets = spread_bigints(cxt, &offsets);
	args->lengths = spread_bigints(cxt, &lengths);
	if (lengths.nelems == 1)
	{
		args->length = args->lengths[0];
		args->lengths = NULL;
	}
	find_flaws(args, cxt, &offsets, &lengths);
}

/* The same of whole files: an array of their paths. */
void
iopool_args_take_files(IopoolArgs *args, MemoryContext cxt, Datum paths)
{
	Elements elements;

	memset(args, 0, sizeof(IopoolArgs));
	args->is_list = true;
	take_elements(&elements, cxt, paths, "paths");
	args->nranges = elements.nelems;
	args->paths = spread_texts(cxt, &elements);
	args->offsets =
		MemoryContextAllocExtended(cxt, sizeof(int64) * Max(args->nranges, 1),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	args->length = IOPOOL_WHOLE_FILE;
	args->first_flawed = -1;
	for (int i = args->nranges - 1; i >= 0; i--)
	{
		CHECK_FOR_INTERRUPTS();
		if (args->paths[i] != (Datum) 0)
			continue;
		add_flaw(args, cxt, i, IOPOOL_FLAW_NULL_PATH);
		args->first_flawed = i;
	}
}

/* What is wrong with a range that has a flaw. */
IopoolFailure
iopool_args_failure(const IopoolArgs *args, int rangeno)
{
	uint8 flaws = iopool_args_flaws(args, rangeno);
	IopoolFailure failure = {0};

	if ((flaws & IOPOOL_FLAW_NULL_PATH) != 0)
		failure.kind = IOPOOL_FAILURE_NULL_PATH;
	else if ((flaws & IOPOOL_FLAW_NULL_OFFSET) != 0)
		failure.kind = IOPOOL_FAILURE_NULL_OFFSET;
	else if ((flaws & IOPOOL_FLAW_NULL_LENGTH) != 0)
		failure.kind = IOPOOL_FAILURE_NULL_LENGTH;
	else
		failure.kind = iopool_range_failure(args->offsets[rangeno],
											iopool_args_length(args, rangeno));
	return failure;
}

/* Raise 22004 or 22023 for the first range that has a flaw, if there is one. */
void
iopool_args_check(const IopoolArgs *args)
{
	int rangeno = args->first_flawed;
	IopoolFailure failure;

	if (rangeno < 0)
		return;
	failure = iopool_args_failure(args, rangeno);
	iopool_errors_raise(&failure, NULL, args->offsets[rangeno],
						iopool_args_length(args, rangeno), rangeno + 1);
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
