/*-------------------------------------------------------------------------
 *
 * range.c
 *	  What offset and length of a range may be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"

#include "base/range.h"
#include "base/types.h"

/* Can this range be asked for? */
bool
iopool_range_is_valid(int64 offset, int64 length)
{
	return length >= 0 && length <= IOPOOL_MAX_LENGTH;
}

/* Raise 22023 unless the range is one that can be asked for. */
void
iopool_range_check(int64 offset, int64 length)
{
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
