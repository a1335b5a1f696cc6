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
 * Many queries read a few dozen ranges.  When they end, the C library would
 * give memory back to the kernel, and get it again for the next query, with a
 * page fault for each page.  So a session keeps what the last one had, up to a
 * limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "utils/memutils.h"

#include "engine/stream_internal.h"

/* Buffers that are looked at for one that fits. */
#define MAX_LOOKS 4

/* Blocks of short buffers, and what a session keeps between calls, in bytes. */
#define SHORT_SIZES \
	ALLOCSET_SMALL_MINSIZE, ALLOCSET_DEFAULT_INITSIZE, 64 * 1024
#define KEPT_MAX (4 * 1024 * 1024)

/* Of the processors that we know; elsewhere the advice is refused or useless. */
#define HUGE_PAGE_SIZE (2 * 1024 * 1024)

/* What the last call had, without a buffer that is used; NULL: none. */
static IopoolBuffers *kept = NULL;

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

static void
free_oldest(IopoolBuffers *buffers)
{
	IopoolFreeBuffer *oldest =
		dlist_tail_element(IopoolFreeBuffer, node, &buffers->free);

	remove_buffer(buffers, oldest);
	pfree(oldest);
}

/*
 * Free the oldest, as far as there are more than there may be.  The last one
 * stays, however long it is.
 */
static void
free_surplus(IopoolBuffers *buffers, Size limit)
{
	while (buffers->nbytes > limit && buffers->nfree > 1)
		free_oldest(buffers);
}

/* Bytes of free buffers that the stream leaves room for. */
static Size
free_limit(const IopoolStream *stream)
{
	int64 limit = stream->max_reserved;

	/* else who has them counts what is used */
	if (!stream->buffers->is_counted)
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
		free_oldest(buffers);
}

/*
 * Buffers in a context of their own below parent, for short ones as well: those
 * that were kept, if there are any.
 */
IopoolBuffers *
iopool_buffers_begin(MemoryContext parent)
{
	IopoolBuffers *buffers = kept;
	MemoryContext cxt;

	if (buffers != NULL)
	{
		kept = NULL;
		MemoryContextSetParent(buffers->cxt, parent);
		return buffers;
	}
	cxt = AllocSetContextCreate(parent, "iopool buffers", SHORT_SIZES);
	buffers = MemoryContextAlloc(cxt, sizeof(IopoolBuffers));
	iopool_buffers_init(buffers, cxt);
	return buffers;
}

/*
 * Nothing is in flight into any of them, and no more will be used: they are
 * kept, or their context is deleted.  Does not raise.
 */
void
iopool_buffers_end(IopoolBuffers *buffers)
{
	MemoryContext cxt = buffers->cxt;

	while (buffers->nfree > 0 &&
		   MemoryContextMemAllocated(cxt, false) > KEPT_MAX)
		free_oldest(buffers);
	/* one that was not put back would stay for good */
	if (kept != NULL || buffers->nused != 0 || buffers->nshort != 0 ||
		MemoryContextMemAllocated(cxt, false) > KEPT_MAX)
	{
		MemoryContextDelete(cxt);
		return;
	}
	MemoryContextSetParent(cxt, TopMemoryContext);
	kept = buffers;
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
		buffers->nshort--;
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
 * A long buffer, of *size bytes or some more, which is set: one that is free, or
 * a new one.  NULL: out of memory, unless that raises.
 */
static char *
get_long(IopoolBuffers *buffers, Size *size, bool may_raise)
{
	IopoolFreeBuffer *found;
	char *memory;

	if (buffers->is_counted)
		*size = iopool_buffers_round(*size);
	found = find_buffer(buffers, *size, buffers->is_counted ? 0 : *size / 4);
	memory = (char *) found;
	if (found != NULL)
	{
		*size = found->size;
		remove_buffer(buffers, found);
	}
	else
		memory = MemoryContextAllocExtended(buffers->cxt, *size,
											may_raise ? 0 : MCXT_ALLOC_NO_OOM);
	if (memory != NULL)
		buffers->nused++;
	return memory;
}

/*
 * A buffer of at least size bytes, of *got, of buffers that are in a context of
 * their own; it is put back with *got.
 */
char *
iopool_buffers_get(IopoolBuffers *buffers, Size size, Size *got)
{
	char *memory;

	*got = size;
	if (size > IOPOOL_SMALL_BUFFER)
		return get_long(buffers, got, true);
	memory = MemoryContextAlloc(buffers->cxt, size);
	buffers->nshort++;
	return memory;
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
	IopoolBuffers *buffers = stream->buffers;
	int nfree = buffers->nfree;
	char *memory;

	if (pending->dest != NULL)
		return true;
	if (size > IOPOOL_SMALL_BUFFER)
		memory = get_long(buffers, &size, may_raise);
	else
		memory = MemoryContextAllocExtended(stream->options.buffer_cxt, size,
											may_raise ? 0 : MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		return false;
	if (size <= IOPOOL_SMALL_BUFFER)
		buffers->nshort++;
	else if (buffers->nfree == nfree)
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
	IopoolBuffers *buffers = stream->buffers;
	bool was_short = pending->allocated_size <= IOPOOL_SMALL_BUFFER;
	bool is_short;
	char *memory;

	/* a request asks for no whole files */
	Assert(!buffers->is_counted);
	if (pending->allocated_size >= used + more)
		return true;
	size = Max(size, used + more);
	is_short = size <= IOPOOL_SMALL_BUFFER;
	memory = MemoryContextAllocExtended(is_short ? stream->options.buffer_cxt
												 : buffers->cxt,
										size, MCXT_ALLOC_NO_OOM);
	if (memory == NULL)
		return false;
	if (was_short && !is_short)
	{
		buffers->nshort--;
		buffers->nused++;
	}
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
	iopool_buffers_put_back(stream->buffers, memory, size, free_limit(stream));
}

/*
 * The stream is over, and nothing is in flight: put back what its ranges have.
 * Does not raise.
 */
void
iopool_stream_give_up_buffers(IopoolStream *stream)
{
	dlist_iter iter;

	dlist_foreach(iter, &stream->pending)
	{
		IopoolPending *pending =
			dlist_container(IopoolPending, node, iter.cur);

		if (pending->allocated != NULL)
			iopool_stream_put_back(stream, pending->allocated,
								   pending->allocated_size);
		pending->allocated = NULL;
	}
}
