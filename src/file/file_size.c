/*-------------------------------------------------------------------------
 *
 * file_size.c
 *	  Where an open file ends, in which blocks it is read, and whether the
 *	  kernel keeps its pages.
 *
 * The size that fstat(2) tells is what the kernel believes.  It is right for
 * file systems on a disk or in memory, where nobody else than the kernel makes
 * a file longer; procfs says 0, and FUSE and others that cache sizes may be
 * behind.  So elsewhere no end is taken for one before a read there has brought
 * nothing, as pg_read_binary_file() does.
 *
 * Nothing here raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/compat.h"
#include "file/file.h"

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* Room for what lies behind the size of a whole file, in bytes, at first. */
#define OPEN_END_ROOM (64 * 1024)

/* A direct read begins with the same block again so many times at most. */
#define MAX_STOPS 16

/* File systems where a file ends where fstat(2) says so. */
static const uint32 exact_magics[] = {
	EXT4_SUPER_MAGIC,
	XFS_SUPER_MAGIC,
	BTRFS_SUPER_MAGIC,
	TMPFS_MAGIC,
};

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
		return Max(stx.stx_dio_offset_align, stx.stx_dio_mem_align);
	}
#endif
	return -1;
}

/* Size of an open file, in bytes, as fstat(2) has told last. */
int64
iopool_file_size(IopoolFile *file)
{
	struct stat st;

	if (fstat(file->fd, &st) == 0)
		file->size = st.st_size;
	return file->size;
}

/*
 * Is the size that fstat(2) tells of a file that of the file?  A device is
 * asked once a transaction: another file system may be mounted from it later.
 */
static bool
has_exact_size(const IopoolFile *file)
{
	static LocalTransactionId lxid = InvalidLocalTransactionId;
	static dev_t dev;
	static bool is_exact;
	struct statfs fs;

	if (lxid != InvalidLocalTransactionId && lxid == iopool_my_lxid() &&
		dev == file->dev)
		return is_exact;

	is_exact = false;
	if (fstatfs(file->fd, &fs) != 0)
		return false;
	for (size_t i = 0; i < lengthof(exact_magics); i++)
		is_exact |= exact_magics[i] == (uint32) fs.f_type;
	dev = file->dev;
	lxid = iopool_my_lxid();
	return is_exact;
}

/*
 * Is there a byte at this offset, where fstat(2) knows of none?  Costs next to
 * nothing at a true end of file.  An error is for the read to report, except
 * that direct reads want whole blocks, and can be made of less only where the
 * file system does not care.
 */
bool
iopool_file_goes_on_at(const IopoolFile *file, int64 offset)
{
	char byte;
	ssize_t n = pread(file->fd, &byte, 1, offset);

	return n > 0 || (n < 0 && (errno != EINVAL || file->alignment == 0));
}

/*
 * How many of length bytes from offset on the file has: what is past its end
 * need not be allocated or read.  Looks again when the last known size is too
 * small, because files grow, unless it was opened just now; where the size is
 * not to be relied on, all of them may be there.
 */
static int64
bytes_available(IopoolFile *file, int64 offset, int64 length)
{
	bool is_just_open = file->is_just_open;
	int64 size;

	if (offset > PG_INT64_MAX - length)
		length = PG_INT64_MAX - offset;

	file->is_just_open = false;
	if (length == 0 || offset + length <= file->size)
		return length;
	size = is_just_open ? file->size : iopool_file_size(file);
	if (offset + length <= size ||
		(!has_exact_size(file) &&
		 iopool_file_goes_on_at(file, Max(offset, size))))
		return length;
	return Max(size - offset, 0);
}

/*
 * An offset that is negative counts from the end of the file: make it one from
 * the beginning.  What would lie before the beginning does not exist, so the
 * range may become shorter.  The end is where the kernel believes it to be, as
 * for lseek(2); false with *failure where it has no idea: the size is 0 of a
 * file that has bytes, as in procfs.
 */
bool
iopool_file_count_from_end(IopoolFile *file, int64 *offset, int64 *length,
						   IopoolFailure *failure)
{
	int64 size;
	int64 start;

	if (*offset >= 0)
		return true;
	size = file->is_just_open ? file->size : iopool_file_size(file);
	if (size == 0 && !has_exact_size(file) && iopool_file_goes_on_at(file, 0))
	{
		failure->kind = IOPOOL_FAILURE_NO_END;
		failure->errnum = 0;
		return false;
	}

	/* no overflow: the operands have different signs, here and below */
	start = size + *offset;
	if (start < 0)
		*length = Max(*length + start, 0);
	*offset = Max(start, 0);
	return true;
}

/*
 * All of a file: as long as it is by its size, or open-ended with some room
 * behind that where the size is not to be relied on.  False with *failure if it
 * is too large.
 */
static bool
clip_whole(IopoolFile *file, IopoolClip *clip, IopoolFailure *failure)
{
	int64 size = file->is_just_open ? file->size : iopool_file_size(file);

	file->is_just_open = false;
	clip->start = 0;
	clip->length = size;
	if (size > IOPOOL_MAX_LENGTH)
	{
		failure->kind = IOPOOL_FAILURE_TOO_LARGE;
		failure->errnum = 0;
		failure->size = size;
		return false;
	}
	if (!has_exact_size(file) && iopool_file_goes_on_at(file, size))
	{
		clip->is_open_ended = true;
		clip->length = Min(size + OPEN_END_ROOM, IOPOOL_MAX_LENGTH);
	}
	return true;
}

/*
 * What the file has of a range, whose length may be IOPOOL_WHOLE_FILE; false
 * with *failure, see above.
 */
bool
iopool_file_clip(IopoolFile *file, int64 offset, int64 length,
				 IopoolClip *clip, IopoolFailure *failure)
{
	clip->is_open_ended = false;
	if (length == IOPOOL_WHOLE_FILE)
		return clip_whole(file, clip, failure);
	if (!iopool_file_count_from_end(file, &offset, &length, failure))
		return false;
	clip->start = offset;
	clip->length = bytes_available(file, offset, length);
	return true;
}

/* Does the file refuse direct reads that begin inside a block, at this offset? */
static bool
insists_on_blocks(const IopoolFile *file, int64 offset)
{
	char byte;

	return pread(file->fd, &byte, 1, offset) < 0 && errno == EINVAL;
}

/*
 * Where a direct read goes on that started at file offset from and stopped at
 * upto before its end; -1: nowhere, the file ends there.  *nstops counts for a
 * read how often it began with the block that it stopped in.
 *
 * Most file systems stop inside a block only at the end of the file.  If there
 * is more by now, the file has grown, and the block is read again.  One that
 * stops elsewhere gets the block read again as well, and then the rest from
 * where it stopped: it does not insist on blocks.
 */
int64
iopool_file_resume_direct(IopoolFile *file, int64 from, int64 upto,
						  int *nstops)
{
	int64 block = upto - upto % file->alignment;

	if (upto == block)
		return upto;
	if (upto >= iopool_file_size(file) && !iopool_file_goes_on_at(file, upto))
		return -1;
	if (block > from)
		return block;
	/* a file cannot go on growing at the same place, so that has an end */
	if (++*nstops <= MAX_STOPS && insists_on_blocks(file, upto))
		return block;
	return upto;
}

/* Can the file be mapped so that others see the same pages? */
static bool
can_be_mapped(int fd)
{
	size_t len = sysconf(_SC_PAGESIZE);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return false;
	(void) munmap(map, len);
	return true;
}

/*
 * Does it make sense to have the kernel read the open file ahead?  Not where
 * FUSE reads past the page cache (FOPEN_DIRECT_IO, which shows in that the file
 * cannot be mapped): nobody would find the pages, and when the read of one
 * comes short, the kernel takes that for the size of the file.
 */
bool
iopool_file_takes_advice(IopoolFile *file)
{
	if (file->advice == IOPOOL_ADVICE_UNKNOWN)
	{
		struct statfs fs;
		bool is_fuse = fstatfs(file->fd, &fs) == 0 &&
			(uint32) fs.f_type == FUSE_SUPER_MAGIC;

		file->advice = is_fuse && !can_be_mapped(file->fd)
			? IOPOOL_ADVICE_HARMS
			: IOPOOL_ADVICE_HELPS;
	}
	return file->advice == IOPOOL_ADVICE_HELPS;
}
