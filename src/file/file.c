/*-------------------------------------------------------------------------
 *
 * file.c
 *	  A path becomes a file, and a file is opened.
 *
 * A path becomes a file only by iopool_file_name(), which asks access.c.  Files
 * of calls are opened and closed by their sets (file_set.c), the others here.
 * Like every descriptor that fd.c does not know, ours are counted with
 * AcquireExternalFD() while they stay open.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "file/file.h"
#include "file/log.h"

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080 /* Linux 6.14 */
#endif

/* Files that are kept open outside of sets at most. */
#define MAX_KEPT_FILES 32

/* Those that are kept open outside of sets, used longest ago first. */
static dlist_head kept_files = DLIST_STATIC_INIT(kept_files);
static int nkept_files = 0;

/* A plain file that is not open; nobody asks for the right to it. */
void
iopool_file_init(IopoolFile *file, const char *path, IopoolIoMode io_mode)
{
	memset(file, 0, sizeof(IopoolFile));
	file->path = path;
	file->fd = -1;
	file->io_mode = io_mode;
}

/*
 * Make a path a file, not open: raises if the current user may not read it.
 * Both path and what access has belong to the caller, and are to live as long
 * as the file.
 */
void
iopool_file_name(IopoolFile *file, IopoolAccess *access, const char *path,
				 IopoolIoMode io_mode)
{
	iopool_file_init(file, path, io_mode);
	file->log_role = access->log_role;
	file->dir = iopool_access_path(access, path, &file->relative);
	if (file->dir != NULL && file->dir->has_io_mode)
		file->io_mode = file->dir->io_mode;
}

/* Why the file cannot be read.  Returns false. */
bool
iopool_file_fail(IopoolFile *file, IopoolFailureKind kind, int errnum)
{
	file->failure.kind = kind;
	file->failure.errnum = errnum;
	return false;
}

/*
 * Alignment of direct reads of an open file, 0 where it cannot be read so.
 * The file system's block size is always enough.
 */
static int
direct_alignment(int fd, const struct stat *st)
{
	int alignment = iopool_file_statx_alignment(fd);

	return alignment >= 0 ? alignment : Max((int) st->st_blksize, 512);
}

/* Why a file could not be opened. */
static bool
fail_open(IopoolFile *file, int errnum)
{
	/* a socket, or a device that is not there */
	if (errnum == ENXIO)
		return iopool_file_fail(file, IOPOOL_FAILURE_NOT_REGULAR, 0);
	if (file->dir != NULL && (errnum == EXDEV || errnum == ELOOP))
		return iopool_file_fail(file, IOPOOL_FAILURE_OUTSIDE, 0);
	return iopool_file_fail(file, IOPOOL_FAILURE_OPEN, errnum);
}

/* Is what has been opened the file that is meant, and one to be read? */
static bool
check_open_file(IopoolFile *file, int fd, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return iopool_file_fail(file, IOPOOL_FAILURE_NOT_REGULAR, 0);
	if (file->dir != NULL &&
		!iopool_directory_look_at_file(file->dir, fd, st->st_dev,
									   &file->failure))
		return false;
	if (file->dev != 0 && (file->dev != st->st_dev || file->ino != st->st_ino))
		return iopool_file_fail(file, IOPOOL_FAILURE_REPLACED, 0);
	return true;
}

/*
 * Set how an open file is read: its flags, and those of each read.  O_NONBLOCK,
 * which it has been opened with, stays until iopool_file_make_blocking().
 */
static bool
set_io_mode(IopoolFile *file, int fd, const struct stat *st)
{
	file->is_nonblock = true;

	if (file->io_mode == IOPOOL_IO_UNCACHED)
		file->rw_flags = RWF_DONTCACHE;
	if (file->io_mode != IOPOOL_IO_DIRECT)
		return true;

	file->alignment = direct_alignment(fd, st);
	if (file->alignment == 0)
		return iopool_file_fail(file, IOPOOL_FAILURE_NO_DIRECT, 0);
	if (fcntl(fd, F_SETFL, O_DIRECT) != 0)
		return iopool_file_fail(file,
								errno == EINVAL ? IOPOOL_FAILURE_NO_DIRECT
												: IOPOOL_FAILURE_OPEN,
								errno);
	file->is_nonblock = false;
	return true;
}

/*
 * Open a file, whose directory is open, for reading.  Returns true with
 * file's fd, size and limits set, or false with file->failure.  Does not
 * raise.
 *
 * O_NONBLOCK keeps the open of a FIFO or device from blocking until fstat has
 * told that it is none, and that of a file from waiting for somebody's lease.
 * To pread(2) it means nothing afterwards.
 */
bool
iopool_file_open(IopoolFile *file)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	int fd;

	if (file->dir != NULL)
		fd = iopool_directory_open_file(file->dir, file->relative, flags);
	else
		fd = open(file->path, flags);
	if (fd < 0)
		return fail_open(file, errno);

	if (fstat(fd, &st) != 0)
		(void) iopool_file_fail(file, IOPOOL_FAILURE_STAT, errno);
	else if (check_open_file(file, fd, &st))
		(void) set_io_mode(file, fd, &st);

	if (file->failure.kind != IOPOOL_FAILURE_NONE)
	{
		close(fd);
		return false;
	}

	file->fd = fd;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->size = st.st_size;
	file->modified = st.st_mtim;
	file->has_been_open = true;
	file->is_just_open = true;
	return true;
}

/*
 * A file that was opened is going to be read through a ring.  io_uring takes
 * O_NONBLOCK as "fail with EAGAIN rather than wait for the disk".  False with
 * *failure if the file cannot be read.
 */
bool
iopool_file_make_blocking(IopoolFile *file, IopoolFailure *failure)
{
	if (!file->is_nonblock)
		return true;
	if (fcntl(file->fd, F_SETFL, 0) != 0)
	{
		failure->kind = IOPOOL_FAILURE_OPEN;
		failure->errnum = errno;
		return false;
	}
	file->is_nonblock = false;
	return true;
}

/* Tell the log of a file that has been opened, or could not be. */
void
iopool_file_log_open(const IopoolFile *file)
{
	if (unlikely(file->log_role != NULL))
		iopool_log_file(file->log_role, file->path, &file->failure);
}

/*
 * Open a file outside of any set, to be read with pread(2) only, for a caller
 * that raises nothing until it has closed it.  Returns false with file->failure
 * if it cannot be opened.
 */
bool
iopool_file_open_now(IopoolFile *file)
{
	bool is_open;

	if (file->dir == NULL)
		is_open = iopool_file_open(file);
	else if (iopool_directory_open(file->dir, &file->failure))
	{
		is_open = iopool_file_open(file);
		close(file->dir->fd);
		file->dir->fd = -1;
	}
	else
		is_open = false;
	iopool_file_log_open(file);
	return is_open;
}

/* Close the kept file that was used longest ago; false if there is none. */
bool
iopool_file_close_oldest_kept(void)
{
	if (dlist_is_empty(&kept_files))
		return false;
	iopool_file_close_kept(dlist_head_element(IopoolFile, idle, &kept_files));
	return true;
}

/*
 * Open a file outside of any set, to stay open until iopool_file_close_kept(),
 * or until others need its descriptor, when its fd is -1 again.  Returns false
 * with file->failure if it cannot be opened, EMFILE if it cannot stay open.
 * Does not raise.
 */
bool
iopool_file_open_kept(IopoolFile *file)
{
	if (nkept_files >= MAX_KEPT_FILES)
		(void) iopool_file_close_oldest_kept();
	if (!AcquireExternalFD())
		return iopool_file_fail(file, IOPOOL_FAILURE_OPEN, EMFILE);
	if (!iopool_file_open_now(file))
	{
		file->fd = -1;
		ReleaseExternalFD();
		return false;
	}
	nkept_files++;
	dlist_push_tail(&kept_files, &file->idle);
	return true;
}

/* It is used again: others are given up first. */
void
iopool_file_use_kept(IopoolFile *file)
{
	dlist_delete(&file->idle);
	dlist_push_tail(&kept_files, &file->idle);
}

/* Harmless to repeat. */
void
iopool_file_close_kept(IopoolFile *file)
{
	if (file->fd < 0)
		return;
	dlist_delete(&file->idle);
	nkept_files--;
	close(file->fd);
	file->fd = -1;
	ReleaseExternalFD();
}
