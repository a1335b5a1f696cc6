/*-------------------------------------------------------------------------
 *
 * args.c
 *	  SQL arguments -> validated ranges.
 *
 * Every element is looked at before the first file is opened, so a call with
 * a bad argument reads nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "args.h"

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

/*
 * The elements of a bigint array of at most one dimension; raises 22023 and
 * 22004 for others.  They belong to the datum, or to the current context.
 * Detoasted arrays are aligned for int64.
 */
const int64 *
iopool_args_bigints(Datum datum, const char *argname, int *nelems)
{
	ArrayType *array = plain_array(datum, argname);

	*nelems = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (const int64 *) ARR_DATA_PTR(array);
}

static void
check_same_count(int noffsets, int nother, const char *argname)
{
	if (noffsets != nother)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arrays \"file_offsets\" and \"%s\" must have the same number of elements",
						argname),
				 errdetail("They have %d and %d.", noffsets, nother)));
}

/* Can this range be asked for? */
bool
iopool_args_is_valid_range(int64 offset, int64 length)
{
	return offset >= 0 && length >= 0 && length <= IOPOOL_MAX_LENGTH;
}

/* Raise 22023 unless the range is one that can be asked for. */
void
iopool_args_check_range(int64 offset, int64 length)
{
	if (offset < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file offset must not be negative"),
				 errdetail("The offset is %lld.", (long long) offset)));
	if (length < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("length must not be negative"),
				 errdetail("The length is %lld, at offset %lld.",
						   (long long) length, (long long) offset)));
	if (length > IOPOOL_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("length must not exceed %lld",
						(long long) IOPOOL_MAX_LENGTH),
				 errdetail("The length is %lld, at offset %lld.",
						   (long long) length, (long long) offset)));
}

static void
check_ranges(const IopoolArgs *args)
{
	for (int i = 0; i < args->nranges; i++)
		iopool_args_check_range(args->offsets[i], iopool_args_length(args, i));
}

/* Form (path, file_offsets[], lengths[]) */
void
iopool_args_path_lengths(IopoolArgs *args, Datum path, Datum offsets,
						 Datum lengths)
{
	int nlengths;

	memset(args, 0, sizeof(IopoolArgs));
	args->path = TextDatumGetCString(path);
	args->offsets =
		iopool_args_bigints(offsets, "file_offsets", &args->nranges);
	args->lengths = iopool_args_bigints(lengths, "lengths", &nlengths);
	check_same_count(args->nranges, nlengths, "lengths");
	check_ranges(args);
}

/* Form (path, file_offsets[], length) */
void
iopool_args_path_length(IopoolArgs *args, Datum path, Datum offsets,
						int64 length)
{
	memset(args, 0, sizeof(IopoolArgs));
	args->path = TextDatumGetCString(path);
	args->offsets =
		iopool_args_bigints(offsets, "file_offsets", &args->nranges);
	args->length = length;
	/* also when there is no range: the argument is wrong all the same */
	iopool_args_check_range(0, length);
	check_ranges(args);
}

/* Form (paths[], file_offsets[], lengths[]) */
void
iopool_args_paths_lengths(IopoolArgs *args, Datum paths, Datum offsets,
						  Datum lengths)
{
	ArrayType *array = plain_array(paths, "paths");
	int npaths;
	int nlengths;

	memset(args, 0, sizeof(IopoolArgs));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &args->paths,
					  NULL, &npaths);
	args->offsets =
		iopool_args_bigints(offsets, "file_offsets", &args->nranges);
	args->lengths = iopool_args_bigints(lengths, "lengths", &nlengths);
	check_same_count(args->nranges, nlengths, "lengths");
	check_same_count(args->nranges, npaths, "paths");
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
