/*-------------------------------------------------------------------------
 *
 * file_time.c
 *	  Times of files as SQL has them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/timestamp.h"

#include "file/file.h"

/*
 * A time of stat(2), in microseconds.  What a timestamp cannot be, which some
 * file systems have, is infinitely long ago, or in the future.
 */
TimestampTz
iopool_file_time(const struct timespec *time)
{
	int64 seconds = (int64) time->tv_sec;
	TimestampTz result;

	if (pg_sub_s64_overflow(seconds,
							(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
								SECS_PER_DAY,
							&seconds) ||
		pg_mul_s64_overflow(seconds, USECS_PER_SEC, &result) ||
		pg_add_s64_overflow(result, time->tv_nsec / 1000, &result) ||
		!IS_VALID_TIMESTAMP(result))
		return time->tv_sec < 0 ? DT_NOBEGIN : DT_NOEND;
	return result;
}
