/*-------------------------------------------------------------------------
 *
 * range.c
 *	  What offset and length of a range may be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/range.h"

/* What is wrong with a range that is asked for; an offset may be negative. */
IopoolFailureKind
iopool_range_failure(int64 offset, int64 length)
{
	if (length < 0)
		return IOPOOL_FAILURE_NEGATIVE_LENGTH;
	if (length > IOPOOL_MAX_LENGTH)
		return IOPOOL_FAILURE_LONG_LENGTH;
	if (offset > PG_INT64_MAX - length)
		return IOPOOL_FAILURE_LARGE_OFFSET;
	return IOPOOL_FAILURE_NONE;
}

/* Raise 22023 if something is wrong with the only range of a call. */
void
iopool_range_check(int64 offset, int64 length)
{
	IopoolFailure failure = {.kind = iopool_range_failure(offset, length)};

	if (failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&failure, NULL, offset, length, 0);
}
