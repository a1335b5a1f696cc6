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

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
 * opened: so the two are told apart.
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
is_shared_memory(int fd, dev_t dev)
{
	static const char prefix[] = "/PostgreSQL.";
	struct stat shm;
	char link[64];
	char path[PATH_MAX + 1];
	ssize_t len;
	const char *name;

	if (stat("/dev/shm", &shm) != 0 || shm.st_dev != dev)
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
	int is_shm = is_kernel_fs == 0 ? is_shared_memory(fd, dev) : 0;

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

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * Is `wanted` the directory at path (relative to dirfd) or one above it?
 * 1: yes, 0: no, -1: errno says why that cannot be told.
 */
static int
is_at_or_above(const struct stat *wanted, int dirfd, const char *path)
{
	char up[PATH_MAX];
	size_t len = strlcpy(up, path, sizeof(up));
	struct stat root;
	struct stat here;
	struct stat above;

	if (len >= sizeof(up))
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	if (stat("/", &root) != 0 || fstatat(dirfd, up, &above, 0) != 0)
		return -1;

	do
	{
		here = above;
		if (is_same(&here, wanted))
			return 1;

		if (len + strlen("/..") >= sizeof(up))
		{
			errno = ENAMETOOLONG;
			return -1;
		}
		strcpy(up + len, "/..");
		len += strlen("/..");
		if (fstatat(dirfd, up, &above, 0) != 0)
			return -1;

		/* elsewhere a mount can make a directory look like its parent */
	} while (!is_same(&here, &above) || !is_same(&here, &root));

	return 0;
}

/* Where the server itself cannot go, none of its data lies. */
static bool
is_nothing_there(int errnum)
{
	return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP ||
		errnum == EACCES;
}

/*
 * Is the open directory at, above or below place?  As is_at_or_above(); a
 * place that is no directory, or a link to nothing, is not in the way.
 */
static int
overlaps(int fd, const char *place)
{
	struct stat here;
	struct stat there;
	int rc;

	if (stat(place, &there) != 0)
		return is_nothing_there(errno) ? 0 : -1;
	if (!S_ISDIR(there.st_mode))
		return 0;
	if (fstat(fd, &here) != 0)
		return -1;

	rc = is_at_or_above(&there, fd, ".");
	return rc != 0 ? rc : is_at_or_above(&here, AT_FDCWD, place);
}

/* The same for whatever the symbolic links in parent point to. */
static int
overlaps_links(int fd, const char *parent)
{
	DIR *entries = opendir(parent);
	struct dirent *entry;
	int rc = 0;
	int save_errno;

	if (entries == NULL)
		return -1;

	while (rc == 0)
	{
		char place[PATH_MAX];

		errno = 0;
		entry = readdir(entries);
		if (entry == NULL)
		{
			rc = (errno == 0) ? 0 : -1;
			break;
		}
		if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
			continue;
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(place, sizeof(place), "%s/%s", parent, entry->d_name);
		rc = overlaps(fd, place);
	}

	save_errno = errno;
	closedir(entries);
	errno = save_errno;
	return rc;
}

/*
 * Is the open directory at, above or below the data directory, which is the
 * working directory of every server process?  Parts of it may lie elsewhere:
 * pg_wal and others that an administrator has moved, and the tablespaces.
 */
static int
overlaps_data_directory(int fd)
{
	int rc = overlaps(fd, ".");

	if (rc == 0)
		rc = overlaps_links(fd, ".");
	if (rc == 0)
		rc = overlaps_links(fd, "pg_tblspc");
	return rc;
}

static bool
set_failure(IopoolFailure *failure, IopoolFailureKind kind, int errnum)
{
	failure->kind = kind;
	failure->errnum = errnum;
	return false;
}

/* Close it again, on the way to a failure. */
static bool
fail_open(int fd, IopoolFailure *failure, IopoolFailureKind kind, int errnum)
{
	close(fd);
	return set_failure(failure, kind, errnum);
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
	struct stat st;
	int rc = 0;

	if (fd < 0)
	{
		int errnum = errno;

		/* or a seccomp filter says so, whatever it is asked for */
		if ((errnum == ENOSYS || errnum == EPERM || errnum == EACCES) &&
			iopool_directory_probe_openat2() == errnum)
			return set_failure(failure, IOPOOL_FAILURE_NO_OPENAT2, errnum);
		return set_failure(failure, IOPOOL_FAILURE_DIRECTORY, errnum);
	}

	if (!dir->allow_data_directory)
		rc = overlaps_data_directory(fd);
	if (rc > 0)
		return fail_open(fd, failure, IOPOOL_FAILURE_DATA_DIRECTORY, 0);
	if (rc == 0 && fstat(fd, &st) == 0)
		rc = iopool_kernel_fs_look(fd, st.st_dev);
	else
		rc = -1;
	if (rc < 0)
		return fail_open(fd, failure, IOPOOL_FAILURE_DIRECTORY, errno);

	dir->is_kernel_fs = rc > 0;
	dir->dev = st.st_dev;
	dir->ino = st.st_ino;
	dir->fd = fd;
	return true;
}
