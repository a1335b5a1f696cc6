/*-------------------------------------------------------------------------
 *
 * directory_check.c
 *	  What an open directory is, and whether it may be read from.
 *
 * It must not reach into the data directory.  To find that out takes some
 * thirty system calls, so what was found is kept for the transaction, for the
 * same directory in the same mount.  Each statement asks again whether the data
 * directory still has the symbolic links that were looked at, and who follows
 * up on a changed catalog finds nothing kept.
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
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "access/xact.h"

#include "base/compat.h"
#include "file/catalog_watch.h"
#include "file/directory.h"
#include "file/kernel_fs.h"

/* Directories of a transaction that are known at a time. */
#define MAX_CHECKED 16

/*
 * A time stamp that is younger than this when it is taken may stay as it is
 * through a change: file systems count in seconds at worst.
 */
#define STAMP_AGE 3

/* When the symbolic links in a directory changed last. */
typedef struct LinksStamp
{
	dev_t dev;
	ino_t ino;
	struct timespec ctime;
} LinksStamp;

/* Directories whose symbolic links lead to parts of the data directory. */
static const char *const places_of_links[] = {".", "pg_tblspc"};

/* A directory that was looked at, and found to be none of the data directory's. */
typedef struct CheckedDirectory
{
	dev_t dev;
	ino_t ino;
	uint64 mount;
	bool allow_data_directory;
	bool is_kernel_fs;
} CheckedDirectory;

/* Those of one transaction, and of a data directory that has not changed. */
static struct
{
	LocalTransactionId lxid; /* invalid: none is known */
	TimestampTz statement;	 /* that has compared the stamps */
	uint64 nchanges;		 /* of the catalog, before they were checked */
	LinksStamp stamps[lengthof(places_of_links)];
	dev_t shm_dev; /* of /dev/shm; 0: there is none */
	CheckedDirectory dirs[MAX_CHECKED];
	int ndirs;
	int next; /* to be replaced, when all are in use */
} checked = {.lxid = InvalidLocalTransactionId};

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

/* What the stamps are now; false: they do not tell of each change. */
static bool
take_stamps(LinksStamp *stamps)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return false;
	for (size_t i = 0; i < lengthof(places_of_links); i++)
	{
		struct stat st;

		if (stat(places_of_links[i], &st) != 0 ||
			st.st_ctim.tv_sec > now.tv_sec - STAMP_AGE)
			return false;
		stamps[i].dev = st.st_dev;
		stamps[i].ino = st.st_ino;
		stamps[i].ctime = st.st_ctim;
	}
	return true;
}

static bool
have_stamps_changed(void)
{
	LinksStamp now[lengthof(places_of_links)];

	if (!take_stamps(now))
		return true;
	for (size_t i = 0; i < lengthof(places_of_links); i++)
	{
		const LinksStamp *old = &checked.stamps[i];

		if (old->dev != now[i].dev || old->ino != now[i].ino ||
			old->ctime.tv_sec != now[i].ctime.tv_sec ||
			old->ctime.tv_nsec != now[i].ctime.tv_nsec)
			return true;
	}
	return false;
}

/* Is what was checked still so?  If not, it is forgotten. */
static bool
is_still_checked(void)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();

	if (checked.lxid == InvalidLocalTransactionId)
		return false;
	if (checked.lxid != iopool_my_lxid() ||
		checked.nchanges != iopool_catalog_changes() ||
		(checked.statement != statement && have_stamps_changed()))
	{
		iopool_directory_forget_checks();
		return false;
	}
	checked.statement = statement;
	return true;
}

/* Every directory is looked at again when it is opened next. */
void
iopool_directory_forget_checks(void)
{
	checked.lxid = InvalidLocalTransactionId;
	checked.ndirs = 0;
	checked.next = 0;
}

static CheckedDirectory *
find_checked(const IopoolDirectory *dir)
{
	for (int i = 0; i < checked.ndirs; i++)
	{
		CheckedDirectory *found = &checked.dirs[i];

		if (found->dev == dir->dev && found->ino == dir->ino &&
			found->mount == dir->mount &&
			found->allow_data_directory == dir->allow_data_directory)
			return found;
	}
	return NULL;
}

/*
 * Keep what was found about a directory.  The stamps are those from before it
 * was looked for.
 */
static void
remember(const IopoolDirectory *dir)
{
	CheckedDirectory *place;

	if (checked.ndirs < MAX_CHECKED)
		place = &checked.dirs[checked.ndirs++];
	else
	{
		place = &checked.dirs[checked.next];
		checked.next = (checked.next + 1) % MAX_CHECKED;
	}
	place->dev = dir->dev;
	place->ino = dir->ino;
	place->mount = dir->mount;
	place->allow_data_directory = dir->allow_data_directory;
	place->is_kernel_fs = dir->is_kernel_fs;
}

/* Begin to keep what is found, if the stamps allow it. */
static void
begin_checks(void)
{
	struct stat st;

	checked.nchanges = iopool_catalog_changes();
	checked.statement = GetCurrentStatementStartTimestamp();
	checked.shm_dev = stat("/dev/shm", &st) == 0 ? st.st_dev : 0;
	if (take_stamps(checked.stamps))
		checked.lxid = iopool_my_lxid();
}

/*
 * Set what an open directory is: its numbers, and that of the mount that it was
 * found in, which is not known before Linux 5.8, and where statx is refused.
 */
static bool
identify(IopoolDirectory *dir, int fd)
{
	struct stat st;
#ifdef STATX_MNT_ID
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &stx) == 0 &&
		(stx.stx_mask & STATX_INO) != 0 && (stx.stx_mask & STATX_MNT_ID) != 0)
	{
		dir->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
		dir->ino = stx.stx_ino;
		dir->mount = stx.stx_mnt_id;
		dir->has_mount = true;
		return true;
	}
#endif
	dir->has_mount = false;
	dir->mount = 0;
	if (fstat(fd, &st) != 0)
		return false;
	dir->dev = st.st_dev;
	dir->ino = st.st_ino;
	return true;
}

/*
 * May be read from an open directory?  Sets what it is; false with *failure if
 * not.
 */
bool
iopool_directory_check(IopoolDirectory *dir, int fd, IopoolFailure *failure)
{
	const CheckedDirectory *found = NULL;
	int rc = 0;

	if (!identify(dir, fd))
		return iopool_directory_fail(failure, IOPOOL_FAILURE_DIRECTORY, errno);

	if (!is_still_checked())
		begin_checks();
	else if (dir->has_mount)
		found = find_checked(dir);
	dir->shm_dev = checked.shm_dev;
	if (found != NULL)
	{
		dir->is_kernel_fs = found->is_kernel_fs;
		return true;
	}

	if (!dir->allow_data_directory)
		rc = overlaps_data_directory(fd);
	if (rc > 0)
		return iopool_directory_fail(failure, IOPOOL_FAILURE_DATA_DIRECTORY,
									 0);
	if (rc == 0)
		rc = iopool_kernel_fs_look(fd, dir->dev);
	if (rc < 0)
		return iopool_directory_fail(failure, IOPOOL_FAILURE_DIRECTORY, errno);
	dir->is_kernel_fs = rc > 0;
	if (dir->has_mount && checked.lxid != InvalidLocalTransactionId)
		remember(dir);
	return true;
}
