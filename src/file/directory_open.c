/*-------------------------------------------------------------------------
 *
 * directory_open.c
 *	  Opening a directory, and files below it that the kernel keeps there.
 *
 * A directory is opened by its path without following any symbolic link, so
 * that what an administrator wrote is what is opened, whatever has been put
 * in its place.  A file is opened below that descriptor with RESOLVE_BENEATH:
 * the kernel refuses whatever leads out, also when names change while it
 * looks.  Nothing here compares paths as text.
 *
 * Nothing here raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file/directory.h"
#include "file/kernel_fs.h"

/*
 * Of <linux/openat2.h>, which is newer than the headers of some systems that
 * we are built on.  See openat2(2).
 */
typedef struct OpenHow
{
	uint64 flags;
	uint64 mode;
	uint64 resolve;
} OpenHow;

#ifndef RESOLVE_BENEATH
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_NO_SYMLINKS	  0x04
#define RESOLVE_BENEATH		  0x08
#endif

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static int
call_openat2(int dirfd, const char *path, int flags, uint64 resolve)
{
	OpenHow how = {.flags = flags | O_CLOEXEC, .resolve = resolve};

	return (int) syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

/*
 * How often the kernel is asked at once to open a file in a directory where
 * names change.  Each time is a new chance, however fast they do.
 */
#define RENAME_RETRIES 100

/* How often in a row it has to look like a lease, which could be chance. */
#define LEASE_SIGNS 3

/*
 * Open a file below an open directory; -1 with errno.  EXDEV: the path leads
 * out.  ELOOP: it goes through a magic link (see symlink(7)) or too many
 * links.  EAGAIN: somebody holds a lease on the file and was told to give it
 * up (see fcntl(2), F_SETLEASE, and O_NONBLOCK in open(2)).
 *
 * openat2 says EAGAIN, too, when something was renamed while it looked at a
 * "..".  That goes for the name alone as well, which no lease keeps from being
 * opened: so the two are told apart.  Directories have no leases, and O_PATH
 * heeds none.
 */
int
iopool_directory_open_file(const IopoolDirectory *dir, const char *relative,
						   int flags)
{
	const uint64 resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
	int nsigns = 0;

	for (int i = 0; i < RENAME_RETRIES && nsigns < LEASE_SIGNS; i++)
	{
		int fd = call_openat2(dir->fd, relative, flags, resolve);

		if (fd >= 0 || errno != EAGAIN)
			return fd;
		if ((flags & (O_PATH | O_DIRECTORY)) != 0)
			continue;
		fd = call_openat2(dir->fd, relative, O_PATH, resolve);
		nsigns = (fd >= 0) ? nsigns + 1 : 0;
		if (fd >= 0)
			close(fd);
	}
	errno = EAGAIN;
	return -1;
}

/*
 * Is an open file memory that the processes of a server share, where
 * dynamic_shared_memory_type is posix?  It has the tuples and query texts of
 * other sessions, as what the data directory has where it is mmap.  Known by
 * its name, because others may keep files in /dev/shm, too.  1: yes, 0: no,
 * -1: errno says why that cannot be told.
 */
static int
is_shared_memory(const IopoolDirectory *dir, int fd, dev_t dev)
{
	static const char prefix[] = "/PostgreSQL.";
	char link[64];
	char path[PATH_MAX + 1];
	ssize_t len;
	const char *name;

	if (dir->shm_dev == 0 || dir->shm_dev != dev)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, PATH_MAX);
	if (len < 0)
		return -1;
	path[len] = '\0';
	name = strrchr(path, '/');
	return name != NULL && strncmp(name, prefix, strlen(prefix)) == 0;
}

/*
 * May a file that was opened below the directory be read?  dev is the file's,
 * from fstat.  False with *failure if not.  Only the file system of what is
 * mounted below has to be asked again.
 */
bool
iopool_directory_look_at_file(const IopoolDirectory *dir, int fd, dev_t dev,
							  IopoolFailure *failure)
{
	int is_kernel_fs =
		dev == dir->dev ? dir->is_kernel_fs : iopool_kernel_fs_look(fd, dev);
	int is_shm = is_kernel_fs == 0 ? is_shared_memory(dir, fd, dev) : 0;

	failure->errnum = 0;
	failure->kind = IOPOOL_FAILURE_NONE;
	if (is_kernel_fs > 0)
		failure->kind = IOPOOL_FAILURE_KERNEL_FS;
	else if (is_shm > 0)
		failure->kind = IOPOOL_FAILURE_SHARED_MEMORY;
	else if (is_kernel_fs < 0 || is_shm < 0)
	{
		failure->kind = IOPOOL_FAILURE_STAT;
		failure->errnum = errno;
	}
	return failure->kind == IOPOOL_FAILURE_NONE;
}

/*
 * Does an absolute path lead to this file still, without a symbolic link on the
 * way?  A path below a directory, in which no ".." comes after that, cannot
 * leave it then.  False with ELOOP: it goes through a link.
 */
bool
iopool_directory_leads_to(const char *path, dev_t dev, ino_t ino)
{
	int fd = call_openat2(AT_FDCWD, path, O_PATH,
						  RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	struct stat st;
	bool is_same;

	if (fd < 0)
		return false;
	is_same = fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
	close(fd);
	errno = 0;
	return is_same;
}

/* Can the kernel keep a path below a directory?  0 or the errno. */
int
iopool_directory_probe_openat2(void)
{
	int fd = call_openat2(AT_FDCWD, ".", O_PATH | O_DIRECTORY,
						  RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/*
 * Open the directory: sets dir->fd, which is the caller's to close, and what
 * it is.  False with *failure if it cannot be opened or must not.
 */
bool
iopool_directory_open(IopoolDirectory *dir, IopoolFailure *failure)
{
	int fd = call_openat2(AT_FDCWD, dir->path, O_PATH | O_DIRECTORY,
						  RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
	{
		int errnum = errno;

		/* or a seccomp filter says so, whatever it is asked for */
		if ((errnum == ENOSYS || errnum == EPERM || errnum == EACCES) &&
			iopool_directory_probe_openat2() == errnum)
			return iopool_directory_fail(failure, IOPOOL_FAILURE_NO_OPENAT2,
										 errnum);
		return iopool_directory_fail(failure, IOPOOL_FAILURE_DIRECTORY,
									 errnum);
	}
	if (!iopool_directory_check(dir, fd, failure))
	{
		close(fd);
		return false;
	}
	dir->fd = fd;
	return true;
}
