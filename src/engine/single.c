/*-------------------------------------------------------------------------
 *
 * single.c
 *	  One small read at once, without a ring.
 *
 * With a single read to make there is nothing to overlap: checking out a ring
 * would only add to its time.  It counts in the pool's statistics all the
 * same.
 *
 * A query that calls iopool_read() for many rows names the same file again and
 * again, so it stays open for the query.  What lives longer than a query, such
 * as an expression of PL/pgSQL, asks for the name again each time, and opens
 * the file that it leads to by then.  Queries and expressions can be many, so
 * few of these files stay open at a time, and all of them make room for those
 * that a set needs (file.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/execdesc.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/plan.h"
#include "engine/single.h"
#include "file/file.h"
#include "ring/method.h"

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
	if (result < 0 && iopool_io_flags_failed(io, -result))
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

/* The same of an open file, on whichever way it wants to be read. */
static int64
read_open(IopoolPool *pool, IopoolFile *file, int64 offset, int64 length,
		  char *dest)
{
	static uint32 wait_event = 0;
	int64 nread = 0;

	if (wait_event == 0)
		wait_event = iopool_wait_event_new("IopoolRead");

	length = iopool_file_available(file, offset, length);
	if (length > 0)
	{
		pgstat_report_wait_start(wait_event);
		nread = file->alignment > 0
			? read_direct(pool, file, offset, length, dest)
			: read_fully(pool, file, offset, length, dest);
		pgstat_report_wait_end();
	}
	if (nread < 0)
	{
		file->failure.kind = IOPOOL_FAILURE_READ;
		file->failure.errnum = (int) -nread;
		return -1;
	}
	return nread;
}

/*
 * Read up to length bytes (at most IOPOOL_SINGLE_MAX) at offset of a file,
 * which has been named and not opened, into dest.  Returns how many, less at
 * the end of the file; -1 with file->failure set when it cannot be read.
 * EAGAIN and EINTR mean that the kernel wants to be asked again, which is for a
 * stream to do, because that can be interrupted.  Does not raise, so the two
 * descriptors that it has for a moment need no owner; they come out of those
 * that fd.c keeps back.
 */
int64
iopool_single_read(IopoolPool *pool, IopoolFile *file, int64 offset,
				   int64 length, char *dest)
{
	int64 nread;

	if (!iopool_file_open_now(file))
		return -1;
	nread = read_open(pool, file, offset, length, dest);
	close(file->fd);
	return nread;
}

static void
close_at_reset(void *arg)
{
	IopoolKeptFile *kept = arg;

	iopool_file_close_kept(&kept->file);
}

/* A place for a file to stay open in as long as cxt, which closes it. */
IopoolKeptFile *
iopool_single_keep(MemoryContext cxt)
{
	IopoolKeptFile *kept = MemoryContextAllocZero(cxt, sizeof(IopoolKeptFile));

	kept->cxt = cxt;
	kept->is_query = ActivePortal != NULL && ActivePortal->queryDesc != NULL &&
		ActivePortal->queryDesc->estate != NULL &&
		ActivePortal->queryDesc->estate->es_query_cxt == cxt;
	kept->file.fd = -1;
	kept->at_reset.func = close_at_reset;
	kept->at_reset.arg = kept;
	MemoryContextRegisterResetCallback(cxt, &kept->at_reset);
	return kept;
}

/* Is it this file that is open, and does its name still lead to it? */
static bool
is_kept(const IopoolKeptFile *kept, const IopoolFile *file)
{
	struct stat st;

	if (kept->file.fd < 0 || kept->file.io_mode != file->io_mode ||
		strcmp(kept->file.path, file->path) != 0)
		return false;
	return kept->is_query ||
		(stat(file->path, &st) == 0 && st.st_dev == kept->file.dev &&
		 st.st_ino == kept->file.ino);
}

/*
 * As iopool_single_read(), of a file that is in no directory, and stays open
 * for the next call if a descriptor is to be had for it.
 */
int64
iopool_single_read_kept(IopoolPool *pool, IopoolKeptFile *kept,
						IopoolFile *file, int64 offset, int64 length,
						char *dest)
{
	int64 nread;

	if (!is_kept(kept, file))
	{
		bool is_open;
		/* before anything is open: this may raise */
		char *path = MemoryContextStrdup(kept->cxt, file->path);

		iopool_file_close_kept(&kept->file);
		if (kept->file.path != NULL)
			pfree(unconstify(char *, kept->file.path));
		kept->file.path = path;

		iopool_file_init(&kept->file, path, file->io_mode);
		kept->file.log_role = file->log_role;
		is_open = iopool_file_open_kept(&kept->file);
		kept->file.log_role = NULL;
		if (!is_open)
		{
			if (kept->file.failure.errnum == EMFILE)
				return iopool_single_read(pool, file, offset, length, dest);
			file->failure = kept->file.failure;
			return -1;
		}
	}
	else
		iopool_file_use_kept(&kept->file);

	nread = read_open(pool, &kept->file, offset, length, dest);
	file->failure = kept->file.failure;
	if (nread < 0)
		iopool_file_close_kept(&kept->file);
	return nread;
}
