/*-------------------------------------------------------------------------
 *
 * single.c
 *	  One small read at once, without a ring.
 *
 * With a single read to make there is nothing to overlap: checking out a ring
 * would only add to its time.  It counts in the pool's statistics all the
 * same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <unistd.h>

#include "portability/instr_time.h"
#include "storage/fd.h"

#include "compat.h"
#include "file.h"
#include "method.h"
#include "pgstat.h"
#include "plan.h"
#include "single.h"

/* Read what fits [0, len) of the vector's only element, counting each read. */
static int
read_counted(IopoolPool *pool, IopoolIo *io)
{
	IopoolStats *stats = &pool->stats;
	instr_time start;
	instr_time end;
	int result;

	INSTR_TIME_SET_CURRENT(start);
	result = iopool_sync_read(io);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);

	/* RWF_DONTCACHE is new, and not every file system has it */
	if (result == -EOPNOTSUPP && io->rw_flags != 0)
	{
		io->rw_flags = 0;
		return read_counted(pool, io);
	}

	iopool_stats_one_read(stats, result, INSTR_TIME_GET_MICROSEC(end));
	return result;
}

/*
 * Read len bytes from offset on, or up to the end of the file; -errno.  For a
 * direct file, all is aligned.
 */
static int64
read_fully(IopoolPool *pool, IopoolFile *file, int64 offset, int64 len,
		   char *dest)
{
	int64 nread = 0;

	while (nread < len)
	{
		struct iovec iov = {dest + nread, len - nread};
		IopoolIo io = {
			.fd = file->fd,
			.is_direct = file->alignment > 0,
			.rw_flags = file->rw_flags,
			.offset = offset + nread,
			.iov = &iov,
			.niov = 1,
		};
		int result = read_counted(pool, &io);

		if (result < 0)
			return result;

		nread += result;
		if (result == 0 || nread == len)
			break;
		if (file->alignment > 0)
		{
			int64 next =
				iopool_file_resume_direct(file, io.offset, offset + nread);

			if (next < 0)
				break;
			nread = next - offset;
		}
		iopool_stats_add(&pool->stats, IOPOOL_COUNTER_SHORT_READS, 1);
	}
	return nread;
}

/* The same, through an aligned buffer. */
static int64
read_direct(IopoolPool *pool, IopoolFile *file, int64 offset, int64 len,
			char *dest)
{
	int64 start = offset;
	int64 end = offset + len;
	int64 nread;
	void *buffer;

	iopool_plan_align(file, &start, &end);

	/* not palloc: nothing may raise before the file is closed */
	if (posix_memalign(&buffer, IOPOOL_BLOCK_SIZE, end - start) != 0)
		return -ENOMEM;

	nread = read_fully(pool, file, start, end - start, buffer);
	if (nread >= 0)
	{
		nread = Max(Min(nread - (offset - start), len), 0);
		memcpy(dest, (char *) buffer + (offset - start), nread);
	}
	free(buffer);
	return nread;
}

/*
 * Read up to length bytes (at most IOPOOL_SINGLE_MAX) at offset of a file,
 * which has been named and not opened, into dest.  Returns how many, less at
 * the end of the file; -1 with file->failure set when it cannot be read.
 * EAGAIN means that the kernel wants to be asked again, which is for a stream
 * to do, because that can be interrupted.  Does not raise, so the two
 * descriptors that it has for a moment need no owner; they come out of those
 * that fd.c keeps back.
 */
int64
iopool_single_read(IopoolPool *pool, IopoolFile *file, int64 offset,
				   int64 length, char *dest)
{
	static uint32 wait_event = 0;
	int64 nread = 0;

	if (wait_event == 0)
		wait_event = iopool_wait_event_new("IopoolRead");

	if (!iopool_file_open_now(file))
		return -1;

	length = iopool_file_available(file, offset, length);
	if (length > 0)
	{
		pgstat_report_wait_start(wait_event);
		nread = file->alignment > 0
			? read_direct(pool, file, offset, length, dest)
			: read_fully(pool, file, offset, length, dest);
		pgstat_report_wait_end();
	}
	close(file->fd);

	if (nread < 0)
	{
		file->failure.kind = IOPOOL_FAILURE_READ;
		file->failure.errnum = (int) -nread;
		return -1;
	}
	return nread;
}
