/*-------------------------------------------------------------------------
 *
 * file_set.c
 *	  Files of a call: opened once, limited in number, closed on every path.
 *
 * A call may name thousands of files, more than a backend may have open.  A
 * file stays open as long as it can; when there is no descriptor left, one
 * that no read needs is closed, and opened again when it is needed.  If the
 * name leads to another file then, the ranges fail: bytes of two files never
 * mix in one call.  All sets of the backend share its descriptors, so the file
 * that makes room may be one of another call that has not ended, and so do its
 * walks (walk.c).  Files that no read needs leave a quarter of the descriptors
 * to whatever else the backend does.
 *
 * The file that makes room is the one that has been idle longest, unless files
 * are hardly ever needed twice: then it is the one that has just become idle,
 * because what the kernel has of it is still in the processor's caches.
 *
 * The directories of a call are acquired when the first file in them is opened,
 * and released with the set, or earlier to make room; then the path has to lead
 * to the same directory again.
 *
 * The set belongs to a memory context, whose reset closes what is open.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "file/file.h"

/* Acquired files that are looked back at, to tell whether they are needed twice. */
#define LOOK_BACK 256

/* One in so many is hardly any. */
#define HARDLY_ANY 16

/* How long somebody's lease on a file is waited for. */
#define LEASE_WAIT_MS 1000

typedef struct FileEntry
{
	const char *path;
	IopoolFile *file;
	uint32 hash;
	char status;
} FileEntry;

#define SH_PREFIX		file_table
#define SH_ELEMENT_TYPE FileEntry
#define SH_KEY_TYPE		const char *
#define SH_KEY			path
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(table, a, b) (strcmp((a), (b)) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE				  static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct IopoolFileSet
{
	dlist_node node; /* in shared_sets, or unlinked */
	MemoryContext cxt;
	IopoolAccess access;
	IopoolIoMode io_mode; /* of files that no directory has one for */
	file_table_hash *table;
	int nfiles;
	IopoolDirectory *directories; /* those that are open */
	IopoolFile *last;			  /* found by the last search */
	dlist_head idle;			  /* open and without users, longest first */
	dlist_head in_use;			  /* open, with users */
	int nfirst;					  /* files acquired for the first time, */
	int nagain;					  /* and again, of late */
	MemoryContextCallback at_reset;
};

/* Every set whose files may be closed for those of another. */
static dlist_head shared_sets = DLIST_STATIC_INIT(shared_sets);

/* What else makes room, used longest ago first. */
static dlist_head holders = DLIST_STATIC_INIT(holders);

/* Files that are open in any set. */
static int nopen_files = 0;

static void
close_at_reset(void *arg)
{
	IopoolFileSet *set = arg;

	iopool_file_set_close(set);
	iopool_file_set_pin(set);
}

/*
 * A set without files, in cxt.  Create it before the stream that reads from
 * it in the same context: reset callbacks run youngest first, and reads have
 * to be drained before their files are closed.
 */
IopoolFileSet *
iopool_file_set_create(MemoryContext cxt, IopoolIoMode io_mode)
{
	IopoolFileSet *set = MemoryContextAllocZero(cxt, sizeof(IopoolFileSet));

	set->cxt = cxt;
	set->io_mode = io_mode;
	iopool_access_begin(&set->access, cxt);
	dlist_init(&set->idle);
	dlist_init(&set->in_use);

	set->at_reset.func = close_at_reset;
	set->at_reset.arg = set;
	MemoryContextRegisterResetCallback(cxt, &set->at_reset);
	dlist_push_tail(&shared_sets, &set->node);
	return set;
}

/* Would the current user find the same rights if the set were created now? */
bool
iopool_file_set_is_as_of_now(const IopoolFileSet *set)
{
	return iopool_access_is_as_of(&set->access.time);
}

/* From now on no file of the set is closed before the set is. */
void
iopool_file_set_pin(IopoolFileSet *set)
{
	if (set->node.next == NULL)
		return;
	dlist_delete(&set->node);
	set->node.next = NULL;
}

static void
close_file(IopoolFile *file)
{
	dlist_delete(&file->idle);
	close(file->fd);
	file->fd = -1;
	ReleaseExternalFD();
	nopen_files--;
}

/* Are there too many for another to be idle?  fd.c allows a third. */
static bool
has_many_open(void)
{
	return nopen_files >= max_safe_fds / 4;
}

/*
 * Close every file and directory; nothing may be in flight.  Harmless to
 * repeat.
 */
void
iopool_file_set_close(IopoolFileSet *set)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &set->idle)
		close_file(dlist_container(IopoolFile, idle, iter.cur));
	dlist_foreach_modify(iter, &set->in_use)
		close_file(dlist_container(IopoolFile, idle, iter.cur));
	for (; set->directories != NULL; set->directories = set->directories->next)
		iopool_directory_release(set->directories);
}

/*
 * The file of that path (len bytes), the same one for the same path.  Raises
 * if the user who made the set may not read it.
 */
IopoolFile *
iopool_file_set_find(IopoolFileSet *set, const char *path, size_t len)
{
	char *key;
	IopoolFile *file;
	FileEntry *entry;
	bool found;

	/* most calls read many ranges of one file in a row */
	if (set->last != NULL && strncmp(set->last->path, path, len) == 0 &&
		set->last->path[len] == '\0')
		return set->last;

	if (set->table == NULL)
		set->table = file_table_create(set->cxt, 16, NULL);

	key = MemoryContextAlloc(set->cxt, len + 1);
	memcpy(key, path, len);
	key[len] = '\0';

	entry = file_table_lookup(set->table, key);
	if (entry != NULL)
		pfree(key);
	else
	{
		file = MemoryContextAlloc(set->cxt, sizeof(IopoolFile));
		iopool_file_name(file, &set->access, key, set->io_mode);
		file->number = set->nfiles++;

		entry = file_table_insert(set->table, key, &found);
		entry->file = file;
	}

	set->last = entry->file;
	return entry->file;
}

/* How many files have been found. */
int
iopool_file_set_count(const IopoolFileSet *set)
{
	return set->nfiles;
}

/* Close the file that has been idle longest; false if there is none. */
static bool
close_idle_of(IopoolFileSet *set)
{
	if (dlist_is_empty(&set->idle))
		return false;
	close_file(dlist_head_element(IopoolFile, idle, &set->idle));
	return true;
}

/* The same in the set itself, or else in any other. */
static bool
close_one_idle(IopoolFileSet *set)
{
	dlist_iter iter;

	if (close_idle_of(set))
		return true;
	dlist_foreach(iter, &shared_sets)
	{
		if (close_idle_of(dlist_container(IopoolFileSet, node, iter.cur)))
			return true;
	}
	return false;
}

/* Release the directory that was opened first; false if there is no other. */
static bool
release_directory_of(IopoolFileSet *set, const IopoolDirectory *needed)
{
	IopoolDirectory **oldest = NULL;

	for (IopoolDirectory **dir = &set->directories; *dir != NULL;
		 dir = &(*dir)->next)
	{
		if (*dir != needed)
			oldest = dir;
	}
	if (oldest == NULL)
		return false;
	iopool_directory_release(*oldest);
	*oldest = (*oldest)->next;
	return true;
}

/* The same in the set itself, or else in any other. */
static bool
release_one_directory(IopoolFileSet *set, const IopoolDirectory *needed)
{
	dlist_iter iter;

	if (release_directory_of(set, needed))
		return true;
	dlist_foreach(iter, &shared_sets)
	{
		if (release_directory_of(dlist_container(IopoolFileSet, node,
												 iter.cur),
								 needed))
			return true;
	}
	return false;
}

/* From now on the holder is asked to make room, too. */
void
iopool_file_add_holder(IopoolHolder *holder)
{
	dlist_push_tail(&holders, &holder->node);
}

/* It is used again: others are asked first. */
void
iopool_file_use_holder(IopoolHolder *holder)
{
	dlist_delete(&holder->node);
	iopool_file_add_holder(holder);
}

void
iopool_file_remove_holder(IopoolHolder *holder)
{
	dlist_delete(&holder->node);
}

/* A descriptor of whatever has gone unused longest; false if there is none. */
static bool
close_one_held(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &holders)
	{
		IopoolHolder *holder = dlist_container(IopoolHolder, node, iter.cur);

		if (holder->close_one(holder))
			return true;
	}
	return false;
}

/* Give up a descriptor that nobody needs at the moment, for a file's sake. */
static bool
make_room(IopoolFileSet *set, const IopoolFile *file)
{
	return close_one_idle(set) || iopool_file_close_oldest_kept() ||
		close_one_held() || release_one_directory(set, file->dir);
}

/* The same for the sake of something that belongs to no set. */
bool
iopool_file_make_room(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &shared_sets)
	{
		if (close_idle_of(dlist_container(IopoolFileSet, node, iter.cur)))
			return true;
	}
	return iopool_file_close_oldest_kept() || close_one_held();
}

/* Will a file be idle when reads that are on their way have ended? */
static bool
has_files_in_use(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &shared_sets)
	{
		IopoolFileSet *set = dlist_container(IopoolFileSet, node, iter.cur);

		if (!dlist_is_empty(&set->in_use))
			return true;
	}
	return false;
}

static bool
is_out_of_descriptors(const IopoolFailure *failure)
{
	return (failure->kind == IOPOOL_FAILURE_OPEN ||
			failure->kind == IOPOOL_FAILURE_DIRECTORY) &&
		(failure->errnum == EMFILE || failure->errnum == ENFILE);
}

/* Open the directory of a file, which stays open for others of the set. */
static bool
open_directory(IopoolFileSet *set, IopoolFile *file)
{
	IopoolDirectory *dir = file->dir;
	dev_t dev = dir != NULL ? dir->dev : 0;
	ino_t ino = dir != NULL ? dir->ino : 0;

	if (dir == NULL || dir->fd >= 0)
		return true;
	if (dir->failure.kind != IOPOOL_FAILURE_NONE)
	{
		file->failure = dir->failure;
		return false;
	}
	if (iopool_directory_acquire(dir, &file->failure))
	{
		if (dir->was_open && (dir->dev != dev || dir->ino != ino))
		{
			iopool_directory_release(dir);
			file->failure.kind = IOPOOL_FAILURE_REPLACED;
			dir->failure = file->failure;
			return false;
		}
		dir->was_open = true;
		dir->next = set->directories;
		set->directories = dir;
		return true;
	}
	if (!is_out_of_descriptors(&file->failure))
		dir->failure = file->failure;
	return false;
}

/* Open a file for the set; false with file->failure. */
static bool
open_in_set(IopoolFileSet *set, IopoolFile *file)
{
	if (!open_directory(set, file))
		return false;
	while (has_many_open() && close_one_idle(set))
		;
	if (!AcquireExternalFD())
		return iopool_file_fail(file, IOPOOL_FAILURE_OPEN, EMFILE);
	if (!iopool_file_open(file))
	{
		ReleaseExternalFD();
		return false;
	}
	nopen_files++;
	dlist_push_tail(&set->idle, &file->idle);
	return true;
}

/* Is a lease in the way that may be given up yet? */
static bool
is_to_be_awaited(IopoolFile *file, const IopoolFailure *failure)
{
	if (failure->kind != IOPOOL_FAILURE_OPEN || failure->errnum != EAGAIN)
		return false;
	if (file->lease_deadline == 0)
		file->lease_deadline = iopool_deadline_in(LEASE_WAIT_MS);
	return !iopool_deadline_has_passed(file->lease_deadline);
}

/* Has the file been needed before? */
static void
count_acquired(IopoolFileSet *set, const IopoolFile *file)
{
	if (file->set == NULL)
		set->nfirst++;
	else
		set->nagain++;
	if (set->nfirst + set->nagain >= LOOK_BACK)
	{
		set->nfirst /= 2;
		set->nagain /= 2;
	}
}

static bool
needs_files_once(const IopoolFileSet *set)
{
	return set->nfirst >= HARDLY_ANY &&
		set->nagain <= set->nfirst / HARDLY_ANY;
}

/*
 * Open the file if need be and keep it open until iopool_file_release().  Does
 * not raise.
 *
 * Returns false when that has to wait: for another file to be released,
 * because no descriptor is to be had before, or for somebody's lease, see
 * iopool_file_is_leased().  A file that cannot be opened counts as acquired:
 * its failure says why, and the caller reports it for the range.
 */
bool
iopool_file_acquire(IopoolFileSet *set, IopoolFile *file)
{
	bool was_open = file->fd >= 0 || file->failure.kind != IOPOOL_FAILURE_NONE;

	while (file->fd < 0 && file->failure.kind == IOPOOL_FAILURE_NONE &&
		   !open_in_set(set, file))
	{
		IopoolFailure failure = file->failure;

		/* another try, unless the failure is one to report */
		(void) iopool_file_fail(file, IOPOOL_FAILURE_NONE, 0);
		if (is_out_of_descriptors(&failure))
		{
			file->lease_deadline = 0;
			if (make_room(set, file))
				continue;
			if (has_files_in_use())
				return false;
		}
		else if (is_to_be_awaited(file, &failure))
			return false;
		file->failure = failure;
	}

	if (!was_open)
		iopool_file_log_open(file);
	count_acquired(set, file);
	file->lease_deadline = 0;
	file->set = set;
	if (file->nusers++ == 0 && file->fd >= 0)
	{
		dlist_delete(&file->idle);
		dlist_push_tail(&set->in_use, &file->idle);
	}
	return true;
}

void
iopool_file_release(IopoolFile *file)
{
	Assert(file->nusers > 0);
	if (--file->nusers > 0 || file->fd < 0)
		return;
	if (has_many_open() && needs_files_once(file->set))
	{
		close_file(file);
		return;
	}
	dlist_delete(&file->idle);
	dlist_push_tail(&file->set->idle, &file->idle);
	if (has_many_open())
		(void) close_one_idle(file->set);
}
