/*-------------------------------------------------------------------------
 *
 * scan_ahead.c
 *	  When a node reads at once, and when it takes rows ahead.
 *
 * What is in the page cache is had sooner by a read at once than through the
 * queue: there are no rows to keep, no ring to lease, and the memory of the
 * last result serves the next.  So a node begins row by row.  When a read would
 * have to wait for the disk, rows are taken ahead.  When reads of these come at
 * once for a while, the node hands out what it has and goes on row by row.  That
 * is tried more rarely where it was in vain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

/* Rows that are taken ahead at least before a read at once is tried again. */
#define FIRST_DISTANCE 64
#define LAST_DISTANCE  (1024 * 1024)

/* Longest range that is read at once: its memory is kept. */
#define CACHED_MAX (32 * 1024 * 1024)

/* Bytes of buffers that are kept beside the one that became too short. */
#define MAX_FREE (1024 * 1024)

/* A read would have to wait: rows are to be taken ahead from this one on. */
void
iopool_scan_go_ahead(IopoolScanAhead *ahead)
{
	if (ahead->distance == 0 || ahead->ncached > ahead->distance)
		ahead->distance = FIRST_DISTANCE;
	else
		ahead->distance = Min(ahead->distance * 2, LAST_DISTANCE);
	ahead->nleft = ahead->distance;
	ahead->ncached = 0;
}

/* It is time to go back to reads at once, but reads do not come at once. */
void
iopool_scan_stay_ahead(IopoolScanAhead *ahead)
{
	ahead->nleft = FIRST_DISTANCE;
}

/* The last result is not needed any more, and neither is its memory. */
void
iopool_scan_free_buffer(IopoolFeed *feed, IopoolScanBuffer *buffer)
{
	if (buffer->data != NULL)
		iopool_buffers_put_back(iopool_feed_buffers(feed), buffer->data,
								buffer->size, MAX_FREE);
	buffer->data = NULL;
	buffer->size = 0;
}

/* Memory for a result, that of the last one if it is enough. */
static char *
result_buffer(IopoolFeed *feed, IopoolScanBuffer *buffer, int64 length)
{
	Size size = VARHDRSZ + length;

	if (buffer->size < size)
	{
		iopool_scan_free_buffer(feed, buffer);
		buffer->data =
			iopool_buffers_get(iopool_feed_buffers(feed),
							   Max(size, IOPOOL_SMALL_BUFFER), &buffer->size);
		iopool_buffers_advise_huge(buffer->data, buffer->size);
	}
	return buffer->data;
}

/*
 * Read a range at once, as a bytea in the buffer, which is of the feed and lasts
 * until the next read; false if that cannot be.  Raises as
 * iopool_feed_new_range().
 */
bool
iopool_scan_read_now(IopoolFeed *feed, const IopoolScanRange *range,
					 IopoolScanBuffer *buffer, Datum *value)
{
	int64 length = range->length;
	int64 nbytes;
	char *data;

	/*
	 * No more memory than there are bytes.  From the end, fewer bytes would be
	 * others.
	 */
	if (length == IOPOOL_WHOLE_FILE ||
		(range->offset >= 0 && VARHDRSZ + (Size) length > buffer->size))
		length =
			iopool_feed_available(feed, range->path, range->offset, length);
	if (length < 0 || length > CACHED_MAX)
		return false;
	data = result_buffer(feed, buffer, length);
	nbytes = iopool_feed_read_cached(feed, range->path, range->offset, length,
									 data + VARHDRSZ);
	if (nbytes < 0)
		return false;
	SET_VARSIZE(data, VARHDRSZ + nbytes);
	*value = PointerGetDatum(data);
	return true;
}
