/*-------------------------------------------------------------------------
 *
 * file.c
 *	  Files of a call: opened once, limited in number, closed on every path.
 *
 * A call may name thousands of files, more than a backend may have open.  A
 * file stays open as long as it can; when there is no descriptor left, one
 * that no read needs is closed, and opened again when it is needed.  If the
 * name leads to another file then, the ranges fail: bytes of two files never
 * mix in one call.
 *
 * The set belongs to a memory context, whose reset closes what is open.  Like
 * every descriptor that fd.c does not know, ours are counted with
 * AcquireExternalFD().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "file.h"

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080 /* Linux 6.14 */
#endif

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
	MemoryContext cxt;
	IopoolIoMode io_mode;
	file_table_hash *table;
	int nfiles;
	IopoolFile *last;  /* found by the last search */
	dlist_head idle;   /* open and without users, longest first */
	dlist_head in_use; /* open, with users */
	MemoryContextCallback at_reset;
};

static void
close_at_reset(void *arg)
{
	iopool_file_set_close(arg);
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
	dlist_init(&set->idle);
	dlist_init(&set->in_use);

	set->at_reset.func = close_at_reset;
	set->at_reset.arg = set;
	MemoryContextRegisterResetCallback(cxt, &set->at_reset);
	return set;
}

static void
close_file(IopoolFile *file)
{
	dlist_delete(&file->idle);
	close(file->fd);
	file->fd = -1;
	ReleaseExternalFD();
}

/* Close every file; nothing may be in flight.  Harmless to repeat. */
void
iopool_file_set_close(IopoolFileSet *set)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &set->idle)
		close_file(dlist_container(IopoolFile, idle, iter.cur));
	dlist_foreach_modify(iter, &set->in_use)
		close_file(dlist_container(IopoolFile, idle, iter.cur));
}

/* The file of that path (len bytes), the same one for the same path. */
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
		file = MemoryContextAllocZero(set->cxt, sizeof(IopoolFile));
		file->path = key;
		file->fd = -1;
		file->number = set->nfiles++;

		entry = file_table_insert(set->table, key, &found);
		entry->file = file;
	}

	set->last = entry->file;
	return entry->file;
}

static bool
fail(IopoolFile *file, IopoolFailureKind kind, int errnum)
{
	file->failure.kind = kind;
	file->failure.errnum = errnum;
	return false;
}

/*
 * Alignment of direct reads of an open file as statx(2) tells it from Linux
 * 6.1 on: 0 where the file cannot be read so, -1 where the kernel or the file
 * system does not tell.
 */
int
iopool_file_statx_alignment(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		(stx.stx_mask & STATX_DIOALIGN) != 0)
	{
		if (stx.stx_dio_offset_align == 0 ||
			stx.stx_dio_mem_align > IOPOOL_BLOCK_SIZE)
			return 0;
		return stx.stx_dio_offset_align;
	}
#endif
	return -1;
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

/*
 * Open path for reading.  Returns true with file's fd, size and limits set,
 * or false with file->failure.  Does not raise.
 *
 * O_NONBLOCK keeps the open of a FIFO or device from blocking until fstat has
 * told that it is none; it goes away afterwards, because io_uring takes it as
 * "fail with EAGAIN rather than wait for the disk".
 */
static bool
open_file(const char *path, IopoolIoMode io_mode, IopoolFile *file)
{
	struct stat st;
	int flags = 0;
	int fd;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return fail(file, IOPOOL_FAILURE_OPEN, errno);

	if (fstat(fd, &st) != 0)
		fail(file, IOPOOL_FAILURE_STAT, errno);
	else if (!S_ISREG(st.st_mode))
		fail(file, IOPOOL_FAILURE_NOT_REGULAR, 0);
	else if (file->dev != 0 &&
			 (file->dev != st.st_dev || file->ino != st.st_ino))
		fail(file, IOPOOL_FAILURE_REPLACED, 0);
	else if (io_mode == IOPOOL_IO_DIRECT)
	{
		flags = O_DIRECT;
		file->alignment = direct_alignment(fd, &st);
		if (file->alignment == 0)
			fail(file, IOPOOL_FAILURE_NO_DIRECT, 0);
	}
	else if (io_mode == IOPOOL_IO_UNCACHED)
		file->rw_flags = RWF_DONTCACHE;

	if (file->failure.kind == IOPOOL_FAILURE_NONE &&
		fcntl(fd, F_SETFL, flags) != 0)
		fail(file,
			 flags != 0 && errno == EINVAL ? IOPOOL_FAILURE_NO_DIRECT
										   : IOPOOL_FAILURE_OPEN,
			 errno);

	if (file->failure.kind != IOPOOL_FAILURE_NONE)
	{
		close(fd);
		return false;
	}

	file->fd = fd;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->size = st.st_size;
	return true;
}

/*
 * Open a file outside of any set, for a caller that raises nothing until it
 * has closed it.  Returns its descriptor, or -1 with file->failure set.
 */
int
iopool_file_open_now(const char *path, IopoolIoMode io_mode, IopoolFile *file)
{
	memset(file, 0, sizeof(IopoolFile));
	file->path = path;
	return open_file(path, io_mode, file) ? file->fd : -1;
}

/* Close the file that has been idle longest; false if there is none. */
static bool
close_one_idle(IopoolFileSet *set)
{
	if (dlist_is_empty(&set->idle))
		return false;
	close_file(dlist_head_element(IopoolFile, idle, &set->idle));
	return true;
}

/*
 * Open the file if need be and keep it open until iopool_file_release().
 *
 * Returns false when no descriptor is to be had before another file is
 * released.  A file that cannot be opened counts as acquired: its failure
 * says why, and the caller reports it for the range.
 */
bool
iopool_file_acquire(IopoolFileSet *set, IopoolFile *file)
{
	if (file->failure.kind != IOPOOL_FAILURE_NONE)
	{
		file->nusers++;
		return true;
	}

	while (file->fd < 0)
	{
		if (!AcquireExternalFD())
		{
			if (close_one_idle(set))
				continue;
			if (!dlist_is_empty(&set->in_use))
				return false;
			fail(file, IOPOOL_FAILURE_OPEN, EMFILE);
			break;
		}

		if (open_file(file->path, set->io_mode, file))
		{
			dlist_push_tail(&set->idle, &file->idle);
			break;
		}

		ReleaseExternalFD();
		if (file->failure.kind == IOPOOL_FAILURE_OPEN &&
			(file->failure.errnum == EMFILE || file->failure.errnum == ENFILE))
		{
			if (!dlist_is_empty(&set->idle))
			{
				fail(file, IOPOOL_FAILURE_NONE, 0);
				close_one_idle(set);
				continue;
			}
			if (!dlist_is_empty(&set->in_use))
			{
				fail(file, IOPOOL_FAILURE_NONE, 0);
				return false;
			}
		}
		break;
	}

	if (file->nusers++ == 0 && file->fd >= 0)
	{
		dlist_delete(&file->idle);
		dlist_push_tail(&set->in_use, &file->idle);
	}
	return true;
}

void
iopool_file_release(IopoolFileSet *set, IopoolFile *file)
{
	Assert(file->nusers > 0);
	if (--file->nusers == 0 && file->fd >= 0)
	{
		dlist_delete(&file->idle);
		dlist_push_tail(&set->idle, &file->idle);
	}
}

/*
 * Files of procfs say that their size is 0; an empty file has no first byte.
 * What can be read directly knows its size.
 */
static bool
has_unknown_size(const IopoolFile *file)
{
	char first;

	return file->alignment == 0 && pread(file->fd, &first, 1, 0) != 0;
}

/*
 * How many of length bytes from offset on the file has: what is past its end
 * need not be allocated or read.  Looks again when the last known size is too
 * small, because files grow.
 */
int64
iopool_file_available(IopoolFile *file, int64 offset, int64 length)
{
	struct stat st;

	if (offset > PG_INT64_MAX - length)
		length = PG_INT64_MAX - offset;

	if (offset + length <= file->size)
		return length;
	if (fstat(file->fd, &st) == 0)
		file->size = st.st_size;
	if (file->size == 0)
		return has_unknown_size(file) ? length : 0;
	if (offset >= file->size)
		return 0;
	return Min(length, file->size - offset);
}

/*
 * Where a direct read goes on that started at file offset from and stopped at
 * upto before its end; -1: nowhere, the file ends there.  Does not raise.
 *
 * Most file systems stop inside a block only at the end of the file.  One
 * that does so elsewhere gets the block read again, and if that brings
 * nothing new, the rest from where it stopped: it does not insist on blocks.
 */
int64
iopool_file_resume_direct(IopoolFile *file, int64 from, int64 upto)
{
	struct stat st;
	int64 block = upto - upto % file->alignment;

	if (upto == block)
		return upto;
	if (fstat(file->fd, &st) != 0 || upto >= st.st_size)
		return -1;
	return block > from ? block : upto;
}
