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
 * The right to the path is looked at again when the user or the catalog has
 * changed.  Outside of a query, a file in a directory is opened anew then, and
 * by each statement, which looks at the directory, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
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
#include "ring/settings.h"

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
	int nstops = 0;

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
			int64 next = iopool_file_resume_direct(file, io.offset,
												   offset + nread, &nstops);

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
	IopoolClip clip;

	if (wait_event == 0)
		wait_event = iopool_wait_event_new("IopoolRead");

	if (!iopool_file_clip(file, offset, length, &clip, &file->failure))
		return -1;
	if (clip.is_open_ended || clip.length > IOPOOL_SINGLE_MAX)
		nread = -EAGAIN;
	else if (clip.length > 0)
	{
		pgstat_report_wait_start(wait_event);
		nread = file->alignment > 0
			? read_direct(pool, file, clip.start, clip.length, dest)
			: read_fully(pool, file, clip.start, clip.length, dest);
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

/* Room for a whole file, from call to call. */
char *
iopool_single_buffer(IopoolKeptFile *kept)
{
	if (kept->buffer == NULL)
		kept->buffer = MemoryContextAlloc(kept->cxt, IOPOOL_SINGLE_MAX);
	return kept->buffer;
}

/* Does the path that is kept open lead to another file by now? */
static bool
leads_elsewhere(IopoolKeptFile *kept)
{
	const IopoolFile *file = &kept->file;
	struct stat st;

	if (kept->is_query)
		return false;
	if (kept->full_path == NULL)
		return stat(file->path, &st) != 0 || st.st_dev != file->dev ||
			st.st_ino != file->ino;

	if (!kept->is_plain_below ||
		kept->statement != GetCurrentStatementStartTimestamp())
		return true;
	if (iopool_directory_leads_to(kept->full_path, file->dev, file->ino))
		return false;
	/* it may be a link that stays inside: not to be tried each time */
	if (errno == ELOOP)
		kept->is_plain_below = false;
	return true;
}

/* Is it this path that is kept open, as whoever reads would open it now? */
static bool
is_named(const IopoolKeptFile *kept, const char *path)
{
	return kept->file.fd >= 0 && strcmp(kept->file.path, path) == 0 &&
		kept->session_io_mode == iopool_io_mode &&
		iopool_access_is_as_of(&kept->time);
}

/* Is this the full path of the part of a path that is below a directory? */
static bool
is_full_path(const char *full_path, const IopoolFile *file)
{
	size_t len = strlen(file->dir->path);

	return strncmp(full_path, file->dir->path, len) == 0 &&
		full_path[len] == '/' &&
		strcmp(full_path + len + 1, file->relative) == 0;
}

/* Is it this file, which has just been named, that is kept open? */
static bool
is_kept(IopoolKeptFile *kept, const IopoolFile *file)
{
	if (kept->file.fd < 0 || kept->file.io_mode != file->io_mode ||
		strcmp(kept->file.path, file->path) != 0)
		return false;
	if (file->dir == NULL)
		return kept->full_path == NULL && !leads_elsewhere(kept);
	return kept->full_path != NULL && kept->is_query &&
		is_full_path(kept->full_path, file);
}

/* Is one of the names in a path ".."? */
static bool
goes_up(const char *path)
{
	const char *name = path;

	while ((name = strstr(name, "..")) != NULL)
	{
		if ((name == path || name[-1] == '/') &&
			(name[2] == '/' || name[2] == '\0'))
			return true;
		name += 2;
	}
	return false;
}

static void
free_path(char *path)
{
	if (path != NULL)
		pfree(path);
}

/* The file is kept as what the session's rights and settings make of it now. */
static void
stamp_kept(IopoolKeptFile *kept, const IopoolAccess *access,
		   const IopoolFile *file)
{
	kept->time = access->time;
	kept->session_io_mode = iopool_io_mode;
	kept->pool = file->dir != NULL ? file->dir->pool : NULL;
}

/*
 * Keep a file open that has been named, in the place of the one that is; false
 * with its failure.
 */
static bool
open_kept(IopoolKeptFile *kept, const IopoolAccess *access, IopoolFile *file)
{
	bool is_open;
	/* before anything is open: these may raise */
	char *path = MemoryContextStrdup(kept->cxt, file->path);
	char *full_path = NULL;

	if (file->dir != NULL)
	{
		Size size = strlen(file->dir->path) + strlen(file->relative) + 2;

		full_path = MemoryContextAlloc(kept->cxt, size);
		snprintf(full_path, size, "%s/%s", file->dir->path, file->relative);
	}

	iopool_file_close_kept(&kept->file);
	free_path(unconstify(char *, kept->file.path));
	free_path(kept->full_path);
	kept->file = *file;
	kept->file.path = path;
	kept->full_path = full_path;
	kept->is_plain_below = full_path != NULL && !goes_up(file->relative);
	kept->statement = GetCurrentStatementStartTimestamp();
	stamp_kept(kept, access, file);

	is_open = iopool_file_open_kept(&kept->file);
	file->failure = kept->file.failure;
	/* these do not live as long */
	kept->file.dir = NULL;
	kept->file.relative = NULL;
	kept->file.log_role = NULL;
	return is_open;
}

/* Read from a file that is kept open. */
static int64
read_kept(IopoolKeptFile *kept, int64 offset, int64 length, char *dest,
		  IopoolSingleResult *result)
{
	int64 nread;

	iopool_file_use_kept(&kept->file);
	nread = read_open(result->pool, &kept->file, offset, length, dest);
	if (nread < 0)
	{
		result->failure = kept->file.failure;
		iopool_file_close_kept(&kept->file);
	}
	return nread;
}

static void
choose_pool(IopoolSingleResult *result, IopoolPool *pool)
{
	result->pool = pool != NULL ? pool : iopool_shmem_find_pool(iopool_pool);
}

/*
 * Read up to length bytes (at most IOPOOL_SINGLE_MAX, or IOPOOL_WHOLE_FILE with
 * room for as many) at offset of the file that a path names for the current
 * user, into dest.  It stays open in kept, if that is not NULL and a descriptor
 * is to be had for it; else it is closed again.  Raises if the user may not
 * read it.
 *
 * Returns how many bytes, less at the end of the file; -1 with the failure when
 * it cannot be read.  EAGAIN and EINTR mean that the kernel wants to be asked
 * again, or that the whole file is longer, which is for a stream to do, because
 * that can be interrupted.
 */
int64
iopool_single_read(IopoolKeptFile *kept, const char *path, int64 offset,
				   int64 length, char *dest, IopoolSingleResult *result)
{
	IopoolAccess *access;
	IopoolFile file;
	int64 nread = -1;

	if (kept != NULL && is_named(kept, path) && !leads_elsewhere(kept))
	{
		choose_pool(result, kept->pool);
		return read_kept(kept, offset, length, dest, result);
	}

	access = iopool_access_of_session();
	iopool_file_name(&file, access, path, iopool_io_mode);
	choose_pool(result, file.dir != NULL ? file.dir->pool : NULL);
	if (kept != NULL)
	{
		if (is_kept(kept, &file))
		{
			stamp_kept(kept, access, &file);
			return read_kept(kept, offset, length, dest, result);
		}
		if (open_kept(kept, access, &file))
			return read_kept(kept, offset, length, dest, result);
		if (file.failure.errnum == EMFILE)
			(void) iopool_file_fail(&file, IOPOOL_FAILURE_NONE, 0);
	}

	/*
	 * Nothing is raised before it is closed, so its descriptors, two for a
	 * moment, need no owner; they come out of those that fd.c keeps back.
	 */
	if (file.failure.kind == IOPOOL_FAILURE_NONE &&
		iopool_file_open_now(&file))
	{
		nread = read_open(result->pool, &file, offset, length, dest);
		close(file.fd);
	}
	result->failure = file.failure;
	return nread;
}
