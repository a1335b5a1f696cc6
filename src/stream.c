/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  The engine: ranges in, completed ranges out, a bounded window between.
 *
 * A stream pulls ranges from its source in groups, plans them (plan.c), and
 * keeps as many reads in flight as ring and window allow: every completion
 * makes room that is filled before the next result is handed out.
 *
 * Memory.  Everything lives in the context that the caller gives, buffers
 * included, and the context carries a reset callback that drains the stream.
 * This has to be so: the memory of a failed query's portal is freed before
 * resource owners are released.  The resource owner is watched too, because a
 * subtransaction can end long before a context does.  Whichever comes first
 * drains; the other finds nothing to do.
 *
 * Bounds.  In flight: the ring's entries and max_in_flight_bytes (one read at
 * least).  Buffered, which is more because results wait for their turn: twice
 * max_in_flight_bytes, or one range if that is longer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "lease.h"
#include "plan.h"
#include "stream.h"

/*
 * A long range is split so that the window fills the queue, into reads of
 * this size at least and at most.  Small reads cost the processor, and above
 * the maximum nothing is gained.
 */
#define MIN_SPLIT			(64 * 1024)
#define MAX_SPLIT			(1024 * 1024)

/* Ranges that may be on their way, in multiples of the ring's entries. */
#define MAX_PENDING_FACTOR	4

/* Share of the reads in flight to wait for: fewer, larger rounds. */
#define WAIT_SHARE			4

struct IopoolStream
{
	dlist_node	node;			/* in open_streams */
	IopoolStreamOptions options;
	MemoryContext cxt;
	MemoryContextCallback at_reset;
	ResourceOwner owner;
	IopoolLease *lease;
	bool		is_holding;		/* has a hold on lease */
	bool		is_open;		/* in open_streams */
	bool		is_aborted;		/* only drains */
	bool		source_ended;
	int64		split;			/* longest buffered read, bytes */

	dlist_head	todo;			/* of IopoolPiece, next first */
	dlist_head	pending;		/* of IopoolPending, in the source's order */
	dlist_head	ready;			/* done and not handed out, unless in_order */
	int			npending;
	int64		reserved;		/* bytes of the pending ranges */

	int			in_flight;		/* reads */
	int64		in_flight_bytes;

	dlist_head	free_pending;
	dlist_head	free_pieces;
	IopoolPending **group;		/* scratch of pull_group: [entries] */
	IopoolStreamTotals totals;
};

/* Every stream of this backend that has not ended. */
static dlist_head open_streams = DLIST_STATIC_INIT(open_streams);

/* Count in the pool's statistics. */
static void
count(IopoolStream *stream, IopoolCounter counter, uint64 n)
{
	stream->lease->delta.counters[counter] += n;
}

/*
 * The stream is over, one way or the other: wait for what is in flight, and
 * let go of the ring.  Does not raise, and is harmless to repeat.
 */
static void
close_stream(IopoolStream *stream, bool has_failed)
{
	if (!stream->is_open)
		return;

	stream->is_aborted = true;
	iopool_lease_drain(stream->lease, &stream->in_flight);
	if (stream->is_holding)
		iopool_lease_drop(stream->lease, has_failed);
	stream->is_holding = false;
	stream->is_open = false;
	dlist_delete(&stream->node);
}

static void
stream_at_reset(void *arg)
{
	close_stream(arg, true);
}

/* A (sub)transaction or portal ends: so do the streams that it began. */
static void
release_streams(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				void *arg)
{
	dlist_mutable_iter iter;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;

	dlist_foreach_modify(iter, &open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->owner != CurrentResourceOwner)
			continue;
		if (isCommit)
			elog(WARNING, "iopool: stream was not ended");
		close_stream(stream, true);
	}
}

/* Called once, when the library is loaded. */
void
iopool_stream_register_callbacks(void)
{
	RegisterResourceReleaseCallback(release_streams, NULL);
}

/*
 * Begin a stream whose memory is cxt.  It ends with iopool_stream_end(), with
 * the current resource owner, or with cxt, whichever comes first.
 */
IopoolStream *
iopool_stream_begin(MemoryContext cxt, const IopoolStreamOptions *options)
{
	IopoolStream *stream = MemoryContextAllocZero(cxt, sizeof(IopoolStream));
	int			entries = options->pool->entries;

	stream->options = *options;
	stream->cxt = cxt;
	stream->owner = CurrentResourceOwner;
	stream->lease = iopool_lease_of(options->pool);
	stream->group = MemoryContextAlloc(cxt, sizeof(IopoolPending *) * entries);
	stream->split = options->max_in_flight_bytes / entries;
	stream->split = Min(Max(stream->split, MIN_SPLIT), MAX_SPLIT);
	stream->split = Min(stream->split, options->max_in_flight_bytes);
	stream->split -= stream->split % IOPOOL_BLOCK_SIZE;
	dlist_init(&stream->todo);
	dlist_init(&stream->pending);
	dlist_init(&stream->ready);
	dlist_init(&stream->free_pending);
	dlist_init(&stream->free_pieces);

	stream->at_reset.func = stream_at_reset;
	stream->at_reset.arg = stream;
	MemoryContextRegisterResetCallback(cxt, &stream->at_reset);
	dlist_push_tail(&open_streams, &stream->node);
	stream->is_open = true;
	return stream;
}

/*
 * End a stream, with whatever it still has to do left undone; totals may be
 * NULL.
 */
void
iopool_stream_end(IopoolStream *stream, IopoolStreamTotals *totals)
{
	close_stream(stream, false);
	if (totals != NULL)
		*totals = stream->totals;
}

static IopoolPending *
new_pending(IopoolStream *stream)
{
	IopoolPending *pending;

	if (dlist_is_empty(&stream->free_pending))
		pending = MemoryContextAlloc(stream->cxt, sizeof(IopoolPending));
	else
		pending = dlist_container(IopoolPending, node,
								  dlist_pop_head_node(&stream->free_pending));
	memset(pending, 0, sizeof(IopoolPending));
	return pending;
}

/*
 * A piece of its own; NULL when out of memory, because this is called where
 * nothing may raise.
 */
static IopoolPiece *
new_piece(IopoolStream *stream, IopoolExtent *extent, IopoolPending *only,
		  int64 start, int64 end)
{
	IopoolPiece *piece;

	if (dlist_is_empty(&stream->free_pieces))
		piece = MemoryContextAllocExtended(stream->cxt, sizeof(IopoolPiece),
										   MCXT_ALLOC_NO_OOM);
	else
		piece = dlist_container(IopoolPiece, node,
								dlist_pop_head_node(&stream->free_pieces));
	if (piece == NULL)
		return NULL;

	piece->extent = extent;
	piece->only = only;
	piece->start = start;
	piece->end = end;
	piece->is_embedded = false;
	piece->was_cut = true;		/* its extent has been counted */
	extent->nrefs++;
	return piece;
}

/* Free the range's struct when neither consumer nor extent needs it. */
static void
free_if_unused(IopoolStream *stream, IopoolPending *pending)
{
	if (pending->is_emitted && pending->extent == NULL)
		dlist_push_head(&stream->free_pending, &pending->node);
}

static void
unref_extent(IopoolStream *stream, IopoolExtent *extent)
{
	IopoolPending *pending;
	IopoolPending *next;

	if (--extent->nrefs > 0)
		return;

	/* the extent is part of the first range: take care to free that last */
	pending = extent->first->next;
	for (; pending != NULL; pending = next)
	{
		next = pending->next;
		pending->extent = NULL;
		free_if_unused(stream, pending);
	}
	pending = extent->first;
	pending->extent = NULL;
	free_if_unused(stream, pending);
}

static void
finish_range(IopoolStream *stream, IopoolPending *pending)
{
	pending->is_done = true;
	iopool_file_release(stream->options.files, pending->file);
	if (!stream->options.in_order)
		dlist_push_tail(&stream->ready, &pending->ready_node);
}

/*
 * The fate of bytes [start, end) of a piece or read is known: read up to
 * valid_end, or, with errnum, not to be had.
 */
static void
settle(IopoolStream *stream, IopoolExtent *extent, IopoolPending *only,
	   int64 start, int64 end, int64 valid_end, int errnum)
{
	IopoolPending *pending = iopool_plan_first(extent, only);

	for (; pending != NULL; pending = iopool_plan_next(only, pending))
	{
		int64		from = Max(pending->start, start);
		int64		upto = Min(pending->end, end);

		if (from >= upto)
			continue;

		if (errnum != 0)
		{
			pending->failure.kind = IOPOOL_FAILURE_READ;
			pending->failure.errnum = errnum;
		}
		else if (upto > valid_end)
			pending->valid_end = Min(pending->valid_end, Max(valid_end, from));

		pending->unread -= upto - from;
		if (pending->unread == 0)
			finish_range(stream, pending);
	}
}

/* Make a read again, or for each of its ranges alone. */
static void
read_again(IopoolStream *stream, IopoolRead *read, bool each_alone)
{
	IopoolPending *pending = iopool_plan_first(read->extent, read->only);
	IopoolPiece *piece;

	if (!each_alone)
	{
		piece = new_piece(stream, read->extent, read->only, read->start, read->end);
		if (piece != NULL)
			dlist_push_head(&stream->todo, &piece->node);
		else
			settle(stream, read->extent, read->only, read->start, read->end,
				   read->end, ENOMEM);
		return;
	}

	for (; pending != NULL; pending = iopool_plan_next(read->only, pending))
	{
		int64		from = Max(pending->start, read->start);
		int64		upto = Min(pending->end, read->end);

		if (from >= upto)
			continue;
		piece = new_piece(stream, read->extent, pending, from, upto);
		if (piece != NULL)
			dlist_push_head(&stream->todo, &piece->node);
		else
			settle(stream, read->extent, pending, from, upto, upto, ENOMEM);
	}
}

static void
read_failed(IopoolStream *stream, IopoolRead *read, int errnum)
{
	switch (errnum)
	{
		case ECANCELED:
			read_again(stream, read, false);
			return;
		case EAGAIN:
		case EINTR:
			count(stream, IOPOOL_COUNTER_RETRIES, 1);
			read_again(stream, read, false);
			return;
		case EOPNOTSUPP:
			/* RWF_DONTCACHE is new, and not every file system has it */
			if (read->io.rw_flags != 0)
			{
				read->extent->file->rw_flags = 0;
				read_again(stream, read, false);
				return;
			}
			break;
		default:
			break;
	}

	count(stream, IOPOOL_COUNTER_ERRORS, 1);

	/* a bad sector must not fail the neighbours that were read along */
	if (read->only == NULL && read->extent->nranges > 1)
		read_again(stream, read, true);
	else
		settle(stream, read->extent, read->only, read->start, read->end,
			   read->end, errnum);
}

/*
 * Account for the bytes of a completion.  Returns true when the read is
 * complete, with *valid_end; false when it stopped early and has to go on.
 */
static bool
take_bytes(IopoolRead *read, int result, int64 *valid_end)
{
	bool		at_eof = (result == 0);
	int64		upto = read->io.offset + result;

	/*
	 * A direct read that does not end on a block has met the end of the file;
	 * asking on from an unaligned offset would fail.
	 */
	if (read->bounce != NULL && result % read->extent->file->alignment != 0)
		at_eof = true;

	if (upto < read->end && !at_eof)
	{
		read->io.offset = upto;
		return false;
	}
	*valid_end = Min(Max(upto, read->start), read->end);
	return true;
}

/* Bytes of the bounce buffer that the read has not filled yet. */
static void
aim_at_bounce(IopoolRead *read, int64 bounced_at)
{
	int			filled = (int) (read->io.offset - bounced_at);

	read->iov[0].iov_base = read->bounce + filled;
	read->iov[0].iov_len = read->bounce_len - filled;
	read->io.niov = 1;
}

/* IopoolReadDone: a read of a stream is complete.  Must not raise. */
static void
read_done(IopoolRead *read, int result)
{
	IopoolStream *stream = read->owner;
	IopoolExtent *extent = read->extent;
	int64		bounced_at = read->start;
	int64		valid_end;

	stream->in_flight--;
	stream->in_flight_bytes -= read->end - read->start;

	if (stream->is_aborted)
	{
		iopool_lease_put_read(read);
		return;
	}

	if (result < 0)
	{
		read_failed(stream, read, -result);
		iopool_lease_put_read(read);
		unref_extent(stream, extent);
		return;
	}

	if (read->bounce != NULL)
	{
		int64		end = read->end;

		iopool_plan_align(extent->file, &bounced_at, &end);
	}

	stream->totals.nbytes += result;
	if (!take_bytes(read, result, &valid_end))
	{
		count(stream, IOPOOL_COUNTER_SHORT_READS, 1);
		if (read->bounce != NULL)
			aim_at_bounce(read, bounced_at);
		else
			(void) iopool_plan_scatter(read, read->io.offset, read->end);
		stream->in_flight++;
		stream->in_flight_bytes += read->end - read->start;
		iopool_lease_prepare(read);
		return;
	}

	iopool_plan_gather(read, valid_end, read->bounce, bounced_at);
	iopool_lease_put_read(read);
	settle(stream, extent, read->only, read->start, read->end, valid_end, 0);
	unref_extent(stream, extent);
}

/* Take one range in.  Returns true when there is something to read for it. */
static bool
accept_range(IopoolStream *stream, const IopoolRange *range,
			 IopoolPending *pending)
{
	int64		available = 0;

	pending->file = range->file;
	pending->offset = range->offset;
	pending->length = range->length;
	pending->cookie = range->cookie;
	pending->dest = range->dest;
	pending->failure = range->file->failure;

	/* a block at each end has to fit the bounce buffer */
	if (pending->failure.kind == IOPOOL_FAILURE_NONE &&
		range->file->alignment > (int64) stream->options.pool->bounce_size / 2)
		pending->failure.kind = IOPOOL_FAILURE_NO_DIRECT;

	if (pending->failure.kind == IOPOOL_FAILURE_NONE)
		available = iopool_file_available(range->file, range->offset,
										  range->length);
	pending->start = range->offset;
	pending->end = range->offset + available;
	pending->valid_end = pending->end;
	pending->unread = available;

	dlist_push_tail(&stream->pending, &pending->node);
	stream->npending++;
	stream->reserved += available;
	stream->totals.nranges++;

	if (available == 0)
		finish_range(stream, pending);
	return available > 0;
}

/*
 * Pull the next group of ranges and plan it.  Pulling many at once is what
 * lets neighbours be found that are not neighbours in the source's order.
 */
static void
pull_group(IopoolStream *stream)
{
	int			entries = stream->options.pool->entries;
	int			ngroup = 0;
	int			nmerged;

	while (!stream->source_ended && ngroup < entries &&
		   stream->npending < entries * MAX_PENDING_FACTOR &&
		   stream->reserved < stream->options.max_in_flight_bytes * 2)
	{
		IopoolPending *pending;
		IopoolRange range;
		IopoolSourceStatus status;

		status = stream->options.source(stream->options.source_arg, &range);
		if (status == IOPOOL_SOURCE_END)
			stream->source_ended = true;
		if (status != IOPOOL_SOURCE_RANGE)
			break;

		pending = new_pending(stream);
		if (accept_range(stream, &range, pending))
			stream->group[ngroup++] = pending;
	}

	nmerged = iopool_plan_merge(stream->group, ngroup,
								stream->options.merge_gap, &stream->todo);
	if (nmerged > 0)
		count(stream, IOPOOL_COUNTER_MERGES, nmerged);
}

/* Allocate where the bytes [start, end) go, as far as they have no place. */
static void
allocate_buffers(IopoolStream *stream, const IopoolPiece *piece,
				 int64 start, int64 end)
{
	Size		header_size = stream->options.header_size;
	IopoolPending *pending = iopool_plan_first(piece->extent, piece->only);

	for (; pending != NULL; pending = iopool_plan_next(piece->only, pending))
	{
		if (pending->dest != NULL || pending->start >= end ||
			pending->end <= start)
			continue;
		pending->allocated =
			MemoryContextAlloc(stream->cxt,
							   header_size + (pending->end - pending->start));
		pending->dest = pending->allocated + header_size;
	}
}

/*
 * How far a direct read from piece->start goes, with a place in the bounce
 * buffer for it; -1 when there is no room now.
 */
static int64
aim_direct(IopoolStream *stream, const IopoolPiece *piece, IopoolRead *read)
{
	IopoolLease *lease = stream->lease;
	IopoolFile *file = piece->extent->file;
	int64		limit = Min(Max(stream->options.pool->bounce_size / WAIT_SHARE / 4,
								MIN_SPLIT),
							stream->split);

	for (;;)
	{
		int64		start = piece->start;
		int64		end = Min(piece->end, piece->start + limit);
		int64		cut = end;
		int64		len;

		iopool_plan_align(file, &start, &end);
		/* the blocks at both ends must not carry it over the limit */
		if (end - start > limit && end - start > 2 * file->alignment)
			end = cut = start + (limit - limit % file->alignment);

		len = TYPEALIGN(IOPOOL_BLOCK_SIZE, end - start);
		read->bounce = iopool_lease_bounce_alloc(lease, len);
		if (read->bounce != NULL)
		{
			read->bounce_len = len;
			read->io.offset = start;
			read->iov[0].iov_base = read->bounce;
			read->iov[0].iov_len = end - start;
			read->io.niov = 1;
			return Min(cut, piece->end);
		}

		if (limit <= file->alignment || lease->in_flight > 0)
			return -1;
		limit /= 2;
	}
}

/*
 * Cut the next read off the front of the piece.  False: the ring has no room
 * for it now.
 */
static bool
cut_read(IopoolStream *stream, IopoolPiece *piece, IopoolRead *read)
{
	IopoolExtent *extent = piece->extent;
	IopoolFile *file = extent->file;
	int64		start = piece->start;
	int64		end;

	read->owner = stream;
	read->done = read_done;
	read->extent = extent;
	read->only = piece->only;
	read->io.fd = file->fd;
	read->io.is_direct = file->alignment > 0;
	read->io.rw_flags = file->rw_flags;

	if (read->io.is_direct)
	{
		end = aim_direct(stream, piece, read);
		if (end < 0)
			return false;
		allocate_buffers(stream, piece, start, end);
	}
	else
	{
		end = Min(piece->end, start + stream->split);
		allocate_buffers(stream, piece, start, end);
		end = iopool_plan_scatter(read, start, end);
		read->io.offset = start;
	}

	read->start = start;
	read->end = end;
	extent->nrefs++;
	if (piece->was_cut)
		count(stream, IOPOOL_COUNTER_SPLITS, 1);
	piece->was_cut = true;
	piece->start = end;
	return true;
}

/* The whole piece has been cut into reads, or is not to be read. */
static void
drop_piece(IopoolStream *stream, IopoolPiece *piece)
{
	IopoolExtent *extent = piece->extent;

	dlist_delete(&piece->node);
	if (!piece->is_embedded)
		dlist_push_head(&stream->free_pieces, &piece->node);
	unref_extent(stream, extent);
}

/* A range that has failed need not be read to its end. */
static bool
is_in_vain(const IopoolPiece *piece)
{
	const IopoolPending *only = piece->only;

	if (only == NULL && piece->extent->nranges == 1)
		only = piece->extent->first;
	return only != NULL && only->failure.kind != IOPOOL_FAILURE_NONE;
}

/*
 * Prepare reads until ring, window or ranges are exhausted.  Checks out a
 * ring when there is something to read, and gives it back when there is not.
 */
static void
fill_window(IopoolStream *stream)
{
	IopoolLease *lease = stream->lease;
	int64		max_bytes = stream->options.max_in_flight_bytes;

	iopool_lease_tick(lease);
	for (;;)
	{
		IopoolPiece *piece;
		IopoolRead *read;

		if (dlist_is_empty(&stream->todo))
			pull_group(stream);
		if (dlist_is_empty(&stream->todo))
			break;

		piece = dlist_head_element(IopoolPiece, node, &stream->todo);
		if (is_in_vain(piece))
		{
			settle(stream, piece->extent, piece->only, piece->start,
				   piece->end, piece->end,
				   iopool_plan_first(piece->extent, piece->only)->failure.errnum);
			drop_piece(stream, piece);
			continue;
		}

		if (stream->in_flight > 0 &&
			stream->in_flight_bytes + Min(piece->end - piece->start,
										  stream->split) > max_bytes)
			break;

		if (!stream->is_holding)
		{
			iopool_lease_hold(lease);
			stream->is_holding = true;
		}
		if (!iopool_lease_ready(lease))
			break;

		read = iopool_lease_get_read(lease);
		if (read == NULL)
			break;
		if (!cut_read(stream, piece, read))
		{
			iopool_lease_put_read(read);
			break;
		}
		if (piece->start == piece->end)
			drop_piece(stream, piece);

		stream->in_flight++;
		stream->in_flight_bytes += read->end - read->start;
		stream->totals.nreads++;
		iopool_lease_prepare(read);
	}

	if (stream->is_holding && stream->in_flight == 0 &&
		stream->source_ended && dlist_is_empty(&stream->todo))
	{
		stream->is_holding = false;
		iopool_lease_drop(lease, false);
	}
}

/* The next range to hand out, or NULL. */
static IopoolPending *
next_ready(IopoolStream *stream)
{
	IopoolPending *pending;

	if (!stream->options.in_order)
	{
		if (dlist_is_empty(&stream->ready))
			return NULL;
		return dlist_container(IopoolPending, ready_node,
							   dlist_pop_head_node(&stream->ready));
	}

	if (dlist_is_empty(&stream->pending))
		return NULL;
	pending = dlist_head_element(IopoolPending, node, &stream->pending);
	return pending->is_done ? pending : NULL;
}

static void
emit(IopoolStream *stream, IopoolPending *pending, IopoolResult *result)
{
	result->cookie = pending->cookie;
	result->path = pending->file->path;
	result->offset = pending->offset;
	result->length = pending->length;
	result->failure = pending->failure;
	result->nbytes = 0;
	result->buffer = NULL;

	if (pending->failure.kind == IOPOOL_FAILURE_NONE)
	{
		result->nbytes = pending->valid_end - pending->start;
		/* nothing there to read: the header alone */
		if (pending->dest == NULL)
			pending->allocated = MemoryContextAlloc(stream->cxt,
													Max(stream->options.header_size, 1));
		result->buffer = pending->allocated;
	}
	else if (pending->allocated != NULL)
		pfree(pending->allocated);

	dlist_delete(&pending->node);
	stream->npending--;
	stream->reserved -= pending->end - pending->start;
	pending->is_emitted = true;
	free_if_unused(stream, pending);
}

/*
 * A cancel or terminate request is about to be served: start nothing new, and
 * wait for what is in flight before CHECK_FOR_INTERRUPTS() raises.
 */
static void
check_interrupts(IopoolStream *stream)
{
	if (unlikely(INTERRUPTS_PENDING_CONDITION()))
	{
		if (QueryCancelPending || ProcDiePending)
			iopool_lease_drain(stream->lease, &stream->in_flight);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Hand out the next completed range, waiting for it if need be; false when
 * all have been handed out.  Serves interrupts.
 */
bool
iopool_stream_next(IopoolStream *stream, IopoolResult *result)
{
	IopoolPending *pending = next_ready(stream);

	while (pending == NULL)
	{
		check_interrupts(stream);
		fill_window(stream);
		/* also when all that is in flight is another stream's */
		if (stream->is_holding && stream->lease->in_flight > 0)
		{
			iopool_lease_poll(stream->lease,
							  Max(stream->in_flight / WAIT_SHARE, 1));
			/* what has come makes room: keep the queue full meanwhile */
			check_interrupts(stream);
			fill_window(stream);
			if (stream->in_flight > 0)
				iopool_lease_poll(stream->lease, 0);
		}

		pending = next_ready(stream);
		if (pending == NULL && stream->npending == 0 && stream->source_ended)
			return false;
	}

	emit(stream, pending, result);
	return true;
}
