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
 * Requests, whose results outlive their streams, have them in common.
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
void
iopool_buffers_advise_huge(char *memory, Size size)
{
	char *start = (char *) TYPEALIGN(HUGE_PAGE_SIZE, memory);
	char *end = (char *) TYPEALIGN_DOWN(HUGE_PAGE_SIZE, memory + size);

	if (start < end)
		(void) madvise(start, end - start, MADV_HUGEPAGE);
}

static void
remove_buffer(IopoolBuffers *buffers, IopoolFreeBuffer *buffer)
{
	dlist_delete(&buffer->node);
	buffers->nfree--;
	buffers->nbytes -= buffer->size;
}

/*
 * Free the oldest, as far as there are more than there may be.  The last one
 * stays, however long it is.
 */
static void
free_surplus(IopoolBuffers *buffers, Size limit)
{
	while (buffers->nbytes > limit &&
		   buffers->free.head.next != buffers->free.head.prev)
	{
		IopoolFreeBuffer *oldest =
			dlist_tail_element(IopoolFreeBuffer, node, &buffers->free);

		remove_buffer(buffers, oldest);
		pfree(oldest);
	}
}

/* Bytes of free buffers that the stream leaves room for. */
static Size
free_limit(const IopoolStream *stream)
{
	int64 limit = stream->max_reserved;

	/* else who has them counts what is used */
	if (stream->buffers == &stream->own_buffers)
		limit -= stream->reserved;
	return Max(limit, IOPOOL_MIN_FREE_BYTES);
}

/* A free buffer of this size or up to so much more, or NULL. */
static IopoolFreeBuffer *
find_buffer(IopoolBuffers *buffers, Size size, Size slack)
{
	int nlooks = 0;
	dlist_iter iter;

	dlist_foreach(iter, &buffers->free)
	{
		IopoolFreeBuffer *buffer =
			dlist_container(IopoolFreeBuffer, node, iter.cur);

		if (buffer->size >= size && buffer->size - size <= slack)
			return buffer;
		if (++nlooks == MAX_LOOKS)
			break;
	}
	return NULL;
}

/* No buffers yet; those that come are of this context. */
void
iopool_buffers_init(IopoolBuffers *buffers, MemoryContext cxt)
{
	memset(buffers, 0, sizeof(IopoolBuffers));
	buffers->cxt = cxt;
	dlist_init(&buffers->free);
}

/* Free all that are not used.  Does not raise. */
void
iopool_buffers_clear(IopoolBuffers *buffers)
{
	while (buffers->nfree > 0)
	{
		IopoolFreeBuffer *buffer =
			dlist_head_element(IopoolFreeBuffer, node, &buffers->free);

		remove_buffer(buffers, buffer);
		pfree(buffer);
	}
}

/*
 * A buffer, of so many bytes, is not needed any more: it is freed, or kept for
 * the next range as far as all that are kept take at most limit bytes.  Does
 * not raise.
 */
void
iopool_buffers_put_back(IopoolBuffers *buffers, char *memory, Size size,
						Size limit)
{
	IopoolFreeBuffer *buffer = (IopoolFreeBuffer *) memory;

	if (size <= IOPOOL_SMALL_BUFFER)
	{
		pfree(memory);
		return;
	}
	buffer->size = size;
	dlist_push_head(&buffers->free, &buffer->node);
	buffers->nused--;
	buffers->nfree++;
	buffers->nbytes += size;
	free_surplus(buffers, limit);
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
	bool is_shared = stream->buffers != &stream->own_buffers;
	IopoolBuffers *buffers = stream->buffers;
	IopoolFreeBuffer *found = NULL;
	char *memory;

	if (pending->dest != NULL)
		return true;
	if (!is_small && is_shared)
		size = iopool_buffers_round(size);
	if (!is_small)
		found = find_buffer(buffers, size, is_shared ? 0 : size / 4);
	memory = (char *) found;
	if (found != NULL)
	{
		size = found->size;
		remove_buffer(buffers, found);
	}
	else
		memory =
			MemoryContextAllocExtended(is_small ? stream->options.buffer_cxt
												: buffers->cxt,
									   size,
									   may_raise ? 0 : MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		return false;
	if (!is_small)
		buffers->nused++;
	if (found == NULL && !is_small)
		free_surplus(buffers, free_limit(stream));
	if (length >= 2 * HUGE_PAGE_SIZE)
		iopool_buffers_advise_huge(memory, size);
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

	/* a request asks for no whole files */
	Assert(stream->buffers == &stream->own_buffers);
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
	if (!stream->is_open)
		pfree(memory);
	else
		iopool_buffers_put_back(stream->buffers, memory, size,
								free_limit(stream));
}

/*
 * The stream is over, and nothing is in flight: give up what its ranges have of
 * buffers that outlive it.  Does not raise.
 */
void
iopool_stream_give_up_buffers(IopoolStream *stream)
{
	dlist_iter iter;

	if (stream->buffers == &stream->own_buffers)
		return;
	dlist_foreach(iter, &stream->pending)
	{
		IopoolPending *pending =
			dlist_container(IopoolPending, node, iter.cur);

		if (pending->allocated != NULL &&
			pending->allocated_size > IOPOOL_SMALL_BUFFER)
			iopool_buffers_put_back(stream->buffers, pending->allocated,
									pending->allocated_size,
									free_limit(stream));
		pending->allocated = NULL;
	}
}
