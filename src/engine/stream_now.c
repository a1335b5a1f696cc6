/*-------------------------------------------------------------------------
 *
 * stream_now.c
 *	  Small files that are in the page cache, read as they are opened.
 *
 * Of a file that is opened for one range, what costs is to get its inode,
 * pages and descriptor into the processor's caches.  If it is opened with many
 * others, then read with many others, and then closed, that happens three
 * times.  So where a stream opens one file after the other, each is read at
 * once if all of the range is in the page cache, and what is not goes on to the
 * ring.  Tries become rare where they are in vain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/cached.h"
#include "engine/stream_internal.h"

/* Files that a stream has opened before this is tried. */
#define FIRST_FILES 32

/* Longest range that is read so, in bytes. */
#define MAX_LENGTH (64 * 1024)

/* Files that are opened at most between two tries. */
#define MAX_SKIP 64

/* Is it worth a try? */
static bool
is_to_be_tried(IopoolStream *stream, const IopoolPending *pending)
{
	if (stream->options.kind != IOPOOL_STREAM_CALL &&
		stream->options.kind != IOPOOL_STREAM_SCAN)
		return false;
	if (pending->file->alignment > 0 || pending->is_open_ended ||
		pending->end - pending->start > MAX_LENGTH)
		return false;
	if (stream->nopened < FIRST_FILES)
	{
		stream->nopened++;
		return false;
	}
	if (stream->now_skip > 0)
	{
		stream->now_skip--;
		return false;
	}
	return true;
}

/*
 * Read a range, for which its file has just been opened, at once; false: it has
 * to be planned like any other.  Does not raise.
 */
bool
iopool_stream_read_now(IopoolStream *stream, IopoolPending *pending)
{
	int64 length = pending->end - pending->start;

	if (!is_to_be_tried(stream, pending) ||
		!iopool_stream_allocate_range(stream, pending, false))
		return false;
	if (!iopool_cached_read_all(stream->options.pool, pending->file,
								pending->start, length, pending->dest))
	{
		stream->now_distance = Min(Max(stream->now_distance * 2, 1), MAX_SKIP);
		stream->now_skip = stream->now_distance;
		return false;
	}

	stream->now_distance = 0;
	stream->totals.nreads++;
	stream->totals.nbytes += length;
	stream->totals.sum_in_flight++;
	stream->totals.max_in_flight = Max(stream->totals.max_in_flight, 1);
	pending->unread = 0;
	iopool_stream_finish_range(stream, pending);
	return true;
}
