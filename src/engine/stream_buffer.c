/*-------------------------------------------------------------------------
 *
 * stream_buffer.c
 *	  Memory that the ranges of a stream are read into.
 *
 * Short buffers share blocks of memory, and are cheap to allocate again.  A
 * longer one is a block of its own, which the C library gets from the kernel
 * page by page, and may give back as soon as it is free; each page is zeroed
 * before it is read into, which costs about as much as reading it from the
 * page cache.  So long ones that the consumer has put back are kept for the
 * next ranges, the last of them first: the processor's cache still has it.
 * With those that are in use they stay within the bounds of the stream.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "utils/memutils.h"

#include "engine/stream_internal.h"

/* Buffers that are looked at for one that fits. */
#define MAX_LOOKS 4

/* Of the processors that we know; elsewhere the advice is refused or useless. */
#define HUGE_PAGE_SIZE (2 * 1024 * 1024)

/*
 * Memory for a long range comes page by page from the kernel, which costs more
 * than reading into it.  Ask for large pages where there are any.
 */
static void
advise_huge(char *memory, Size size)
{
	char *start = (char *) TYPEALIGN(HUGE_PAGE_SIZE, memory);
	char *end = (char *) TYPEALIGN_DOWN(HUGE_PAGE_SIZE, memory + size);

	if (start < end)
		(void) madvise(start, end - start, MADV_HUGEPAGE);
}

static void
remove_buffer(IopoolStream *stream, IopoolFreeBuffer *buffer)
{
	dlist_delete(&buffer->node);
	stream->free_bytes -= buffer->size;
}

/*
 * Free the oldest, as far as there are more than there may be.  The last one
 * stays, however long it is.
 */
static void
free_surplus(IopoolStream *stream)
{
	Size limit =
		Max(stream->max_reserved - stream->reserved, IOPOOL_MIN_FREE_BYTES);

	while (stream->free_bytes > limit &&
		   stream->free_buffers.head.next != stream->free_buffers.head.prev)
	{
		IopoolFreeBuffer *oldest =
			dlist_tail_element(IopoolFreeBuffer, node, &stream->free_buffers);

		remove_buffer(stream, oldest);
		pfree(oldest);
	}
}

/* A free buffer of this size or a little more, or NULL. */
static IopoolFreeBuffer *
find_buffer(IopoolStream *stream, Size size)
{
	int nlooks = 0;
	dlist_iter iter;

	dlist_foreach(iter, &stream->free_buffers)
	{
		IopoolFreeBuffer *buffer =
			dlist_container(IopoolFreeBuffer, node, iter.cur);

		if (buffer->size >= size && buffer->size - size <= size / 4)
			return buffer;
		if (++nlooks == MAX_LOOKS)
			break;
	}
	return NULL;
}

/*
 * Allocate where the bytes of a range go, if they have no place.  False, unless
 * may_raise: out of memory.
 */
bool
iopool_stream_allocate_range(IopoolStream *stream, IopoolPending *pending,
							 bool may_raise)
{
	Size header_size = stream->options.header_size;
	int64 length = pending->end - pending->start;
	Size size = header_size + length;
	bool is_small = size <= IOPOOL_SMALL_BUFFER;
	IopoolFreeBuffer *found;
	char *memory;

	if (pending->dest != NULL)
		return true;
	found = is_small ? NULL : find_buffer(stream, size);
	memory = (char *) found;
	if (found != NULL)
	{
		size = found->size;
		remove_buffer(stream, found);
	}
	else
		memory =
			MemoryContextAllocExtended(is_small ? stream->options.buffer_cxt
												: stream->cxt,
									   size,
									   may_raise ? 0 : MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		return false;
	if (found == NULL && !is_small)
		free_surplus(stream);
	if (length >= 2 * HUGE_PAGE_SIZE)
		advise_huge(memory, size);
	pending->allocated = memory;
	pending->allocated_size = size;
	pending->dest = memory + header_size;
	return true;
}

/*
 * Room for more bytes of a range that is open-ended, behind those that it has;
 * memory is doubled.  False: out of memory.  Does not raise.
 */
bool
iopool_stream_extend_range(IopoolStream *stream, IopoolPending *pending,
						   int64 more)
{
	Size header_size = stream->options.header_size;
	int64 length = pending->end - pending->start;
	Size used = header_size + length;
	Size size = header_size + Min(length * 2, IOPOOL_MAX_LENGTH);
	char *memory;

	if (pending->allocated_size >= used + more)
		return true;
	size = Max(size, used + more);
	memory = MemoryContextAllocExtended(stream->cxt, size, MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		return false;
	memcpy(memory, pending->allocated, used);
	pfree(pending->allocated);
	pending->allocated = memory;
	pending->allocated_size = size;
	pending->dest = memory + header_size;
	return true;
}

/*
 * The consumer does not need a result's buffer, of so many bytes, any more: it
 * is freed, or read into again.  It may be that of another stream with the same
 * options and memory context.  Does not raise.
 */
void
iopool_stream_put_back(IopoolStream *stream, char *memory, Size size)
{
	IopoolFreeBuffer *buffer = (IopoolFreeBuffer *) memory;

	if (!stream->is_open || size <= IOPOOL_SMALL_BUFFER)
	{
		pfree(memory);
		return;
	}
	buffer->size = size;
	dlist_push_head(&stream->free_buffers, &buffer->node);
	stream->free_bytes += size;
	free_surplus(stream);
}
