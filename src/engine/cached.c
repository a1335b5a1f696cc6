/*-------------------------------------------------------------------------
 *
 * cached.c
 *	  A read of what is in the page cache, which nobody has to wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/uio.h>

#include "portability/instr_time.h"

#include "base/compat.h"
#include "engine/cached.h"

/*
 * Read length bytes at offset of an open file into dest, if all of them are in
 * the page cache; false: they have to be read in another way.  Does not raise.
 */
bool
iopool_cached_read_all(IopoolPool *pool, const IopoolFile *file, int64 offset,
					   int64 length, char *dest)
{
	struct iovec iov = {dest, length};
	instr_time start;
	instr_time end;
	ssize_t nread;

	INSTR_TIME_SET_CURRENT(start);
	nread = preadv2(file->fd, &iov, 1, offset, file->rw_flags | RWF_NOWAIT);
	INSTR_TIME_SET_CURRENT(end);
	/* an end where none is known is for others to look into */
	if (nread != length)
		return false;
	INSTR_TIME_SUBTRACT(end, start);
	iopool_stats_one_read(&pool->stats, (int) nread,
						  INSTR_TIME_GET_MICROSEC(end));
	return true;
}

/*
 * The same of up to length bytes, less at the end of the file: how many, or -1
 * if it has to be read in another way.
 */
int64
iopool_cached_read(IopoolPool *pool, IopoolFile *file, int64 offset,
				   int64 length, char *dest)
{
	IopoolFailure failure;
	IopoolClip clip;

	if (file->alignment > 0 ||
		!iopool_file_clip(file, offset, length, &clip, &failure))
		return -1;
	if (clip.length > 0 &&
		!iopool_cached_read_all(pool, file, clip.start, clip.length, dest))
		return -1;
	return clip.length;
}
