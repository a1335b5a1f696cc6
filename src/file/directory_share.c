/*-------------------------------------------------------------------------
 *
 * directory_share.c
 *	  One open descriptor for a directory, whatever reads below it.
 *
 * Each call opens the directories that it names, because what their paths lead
 * to, and whether they may be read from, can be another thing for each call.
 * A directory stays open as long as the call, which for a cursor is long, and
 * sessions have thousands of cursors but not of descriptors.  So a directory
 * that is found open already, the same one in the same mount, is opened only
 * to see that it is, and the descriptor that is there is counted once more.
 *
 * Descriptors that stay open are counted with AcquireExternalFD().  Nothing
 * here raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "file/directory.h"

typedef struct IopoolSharedDirectory
{
	dlist_node node; /* in open_directories */
	int fd;
	int nusers;

	/*
	 * What it is.  What is mounted below a directory is not the same in each
	 * of its mounts.  The path is looked at as well, because there are file
	 * systems where two directories have one number (snapshots of bcachefs,
	 * some of FUSE).
	 */
	dev_t dev;
	ino_t ino;
	uint64 mount;
	char path[FLEXIBLE_ARRAY_MEMBER];
} IopoolSharedDirectory;

static dlist_head open_directories = DLIST_STATIC_INIT(open_directories);

static IopoolSharedDirectory *
find_open(const IopoolDirectory *dir)
{
	dlist_iter iter;

	dlist_foreach(iter, &open_directories)
	{
		IopoolSharedDirectory *shared =
			dlist_container(IopoolSharedDirectory, node, iter.cur);

		if (shared->dev == dir->dev && shared->ino == dir->ino &&
			shared->mount == dir->mount &&
			strcmp(shared->path, dir->path) == 0)
			return shared;
	}
	return NULL;
}

/* An entry of its own for an open directory; NULL: out of memory. */
static IopoolSharedDirectory *
add_open(const IopoolDirectory *dir)
{
	IopoolSharedDirectory *shared =
		MemoryContextAllocExtended(TopMemoryContext,
								   offsetof(IopoolSharedDirectory, path) +
									   strlen(dir->path) + 1,
								   MCXT_ALLOC_NO_OOM);

	if (shared == NULL)
		return NULL;
	shared->fd = dir->fd;
	shared->nusers = 0;
	shared->dev = dir->dev;
	shared->ino = dir->ino;
	shared->mount = dir->mount;
	strcpy(shared->path, dir->path);
	dlist_push_head(&open_directories, &shared->node);
	return shared;
}

static bool
close_and_fail(IopoolDirectory *dir, IopoolFailure *failure, int errnum)
{
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
	failure->kind = IOPOOL_FAILURE_DIRECTORY;
	failure->errnum = errnum;
	return false;
}

/*
 * As iopool_directory_open(), of a directory that stays open until it is
 * released.
 */
bool
iopool_directory_acquire(IopoolDirectory *dir, IopoolFailure *failure)
{
	IopoolSharedDirectory *shared = NULL;

	if (!iopool_directory_open(dir, failure))
		return false;

	if (dir->has_mount)
		shared = find_open(dir);
	if (shared != NULL)
	{
		close(dir->fd);
		dir->fd = shared->fd;
	}
	else
	{
		if (!AcquireExternalFD())
			return close_and_fail(dir, failure, EMFILE);
		shared = add_open(dir);
		if (shared == NULL)
		{
			ReleaseExternalFD();
			return close_and_fail(dir, failure, ENOMEM);
		}
	}

	shared->nusers++;
	dir->shared = shared;
	return true;
}

/* The call no longer needs it: the last one closes the descriptor. */
void
iopool_directory_release(IopoolDirectory *dir)
{
	IopoolSharedDirectory *shared = dir->shared;

	dir->shared = NULL;
	dir->fd = -1;
	if (--shared->nusers > 0)
		return;
	dlist_delete(&shared->node);
	close(shared->fd);
	pfree(shared);
	ReleaseExternalFD();
}
