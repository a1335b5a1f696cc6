/*-------------------------------------------------------------------------
 *
 * stream_fill.c
 *	  How a stream takes ranges in, and keeps its window of reads full.
 *
 * Ranges are pulled from the source in groups, so that neighbours are found
 * which the source does not give one after the other.  A group becomes pieces
 * to read (plan.c), and these become reads (stream_read.c) as ring and window
 * have room for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/stream_internal.h"

/*
 * Ranges pulled at a time, also where none of them has anything to read: a
 * million of them past the end of a file, for each of which the file's size is
 * looked at, must not hold up an interrupt.
 */
#define MAX_PULL 1024

/* Bytes of the window while reads need no waiting. */
#define QUICK_WINDOW (256 * 1024)

/*
 * Bytes that are read at once (stream_now.c) before they are handed out: so many
 * stay in the processor's caches.
 */
#define MAX_NOW (128 * 1024)

/* Every stream of this backend that has not ended. */
dlist_head iopool_open_streams = DLIST_STATIC_INIT(iopool_open_streams);

/*
 * Make sure that there is a struct for the next range, because nothing may
 * raise once the source has given it away.  False, unless may_raise: out of
 * memory.
 */
static bool
reserve_pending(IopoolStream *stream, bool may_raise)
{
	IopoolPending *pending;

	if (!dlist_is_empty(&stream->free_pending))
		return true;
	pending = MemoryContextAllocExtended(stream->cxt, sizeof(IopoolPending),
										 may_raise ? 0 : MCXT_ALLOC_NO_OOM);
	if (pending == NULL)
		return false;
	dlist_push_head(&stream->free_pending, &pending->node);
	return true;
}

static IopoolPending *
take_pending(IopoolStream *stream)
{
	IopoolPending *pending =
		dlist_container(IopoolPending, node,
						dlist_pop_head_node(&stream->free_pending));

	memset(pending, 0, sizeof(IopoolPending));
	return pending;
}

/*
 * Take one range in.  Returns true when there is something left to read for it.
 */
static bool
accept_range(IopoolStream *stream, const IopoolRange *range,
			 IopoolPending *pending)
{
	bool is_just_open = range->file->is_just_open;
	IopoolClip clip;

	pending->file = range->file;
	pending->offset = range->offset;
	pending->length = range->length;
	pending->cookie = range->cookie;
	pending->dest = range->dest;
	pending->failure = range->file->failure;

	if (pending->failure.kind != IOPOOL_FAILURE_NONE ||
		!iopool_file_clip(range->file, range->offset, range->length, &clip,
						  &pending->failure))
		clip = (IopoolClip){0};
	/* the file may have grown since there was made room for it */
	if (range->length != IOPOOL_WHOLE_FILE && clip.length > range->max_bytes)
	{
		clip.length = range->max_bytes;
		/* from its end, there were fewer bytes where it began before the file */
		if (range->offset < 0)
			clip.start = 0;
	}
	pending->start = clip.start;
	pending->end = clip.start + clip.length;
	pending->is_open_ended = clip.is_open_ended;
	pending->valid_end = pending->end;
	pending->unread = clip.length;

	dlist_push_tail(&stream->pending, &pending->node);
	stream->npending++;
	stream->reserved += clip.length;
	stream->totals.nranges++;

	if (clip.length == 0)
	{
		iopool_stream_finish_range(stream, pending);
		return false;
	}
	if (is_just_open && iopool_stream_read_now(stream, pending))
		return false;
	if (!iopool_file_make_blocking(pending->file, &pending->failure))
	{
		pending->end = pending->valid_end = pending->start;
		pending->unread = 0;
		stream->reserved -= clip.length;
		iopool_stream_finish_range(stream, pending);
		return false;
	}
	return true;
}

/* Is there room for one more range on its way? */
static bool
may_pull(const IopoolStream *stream)
{
	return stream->options.kind == IOPOOL_STREAM_REQUEST ||
		(stream->npending < stream->max_pending &&
		 stream->reserved < stream->max_reserved);
}

/* Plan what has been pulled. */
void
iopool_stream_plan_group(IopoolStream *stream)
{
	int merge_gap = stream->options.merge_gap;
	IopoolMergeGaps gaps = {.buffered = merge_gap, .direct = merge_gap};
	int nmerged;

	if (merge_gap == IOPOOL_MERGE_GAP_AUTO)
	{
		gaps.buffered = iopool_lease_auto_gap(stream->lease, false);
		gaps.direct = iopool_lease_auto_gap(stream->lease, true);
	}
	nmerged =
		iopool_plan_merge(stream->group, stream->ngroup, &gaps, &stream->todo);

	stream->ngroup = 0;
	if (nmerged > 0)
		iopool_stream_count(stream, IOPOOL_COUNTER_MERGES, nmerged);
}

/*
 * Pull the next group of ranges and plan it.  Pulling many at once is what
 * lets neighbours be found that are not neighbours in the source's order.
 * Where the source raises, the group is kept for the next time.
 */
static void
pull_group(IopoolStream *stream, bool may_raise)
{
	int entries = stream->options.pool->entries;
	uint64 nbytes = stream->totals.nbytes;

	for (int i = 0; i < MAX_PULL && !stream->source_ended &&
		 stream->ngroup < entries && may_pull(stream);
		 i++)
	{
		IopoolRange range;
		IopoolPending *pending;
		IopoolSourceStatus status;

		if (!reserve_pending(stream, may_raise))
			break;
		status = stream->options.source(stream->options.source_arg, &range);
		if (status == IOPOOL_SOURCE_END)
			stream->source_ended = true;
		stream->source_pauses = (status == IOPOOL_SOURCE_PAUSE);
		if (status != IOPOOL_SOURCE_RANGE)
			break;

		pending = take_pending(stream);
		if (accept_range(stream, &range, pending))
			stream->group[stream->ngroup++] = pending;
		else if (stream->totals.nbytes - nbytes >= MAX_NOW &&
				 iopool_stream_has_ready(stream))
			break;
	}
	iopool_stream_plan_group(stream);
}

/*
 * The stream stops using its lease when there is nothing more to read, or not
 * for now.  A stream in the background also stops when nothing is in flight,
 * because it may be long before somebody looks at it again.
 */
void
iopool_stream_release_if_idle(IopoolStream *stream)
{
	if (!stream->uses_lease || stream->in_flight > 0)
		return;
	if (iopool_stream_is_background(stream) ||
		((stream->source_ended || stream->source_pauses) &&
		 dlist_is_empty(&stream->todo)))
	{
		stream->uses_lease = false;
		iopool_lease_remove_user(stream->lease, false);
	}
}

/* The same for every stream whose reads may have come in. */
void
iopool_stream_release_idle(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &iopool_open_streams)
		iopool_stream_release_if_idle(
			dlist_container(IopoolStream, node, iter.cur));
}

/*
 * Must this piece wait while reads come at once?  These are best made a little
 * at a time, into memory that the processor's cache has still, and that the
 * consumer has just given back.  So what has been begun is read to its end, and
 * handed out, before there is more of it than that.
 */
static bool
is_full_if_quick(IopoolStream *stream, const IopoolPiece *piece, int64 nbytes)
{
	return !iopool_plan_first(piece->extent, piece->single)->is_begun &&
		stream->begun_bytes + nbytes > QUICK_WINDOW &&
		(stream->in_flight > 0 || iopool_stream_has_ready(stream));
}

/* Would the window overflow with a read of this piece? */
static bool
is_full(IopoolStream *stream, const IopoolPiece *piece)
{
	int64 nbytes =
		Min(piece->end - piece->start, iopool_stream_split(stream, piece));
	int64 used = stream->in_flight_bytes;

	if (used > 0 && used + nbytes > stream->options.max_in_flight_bytes)
		return true;
	return stream->options.kind != IOPOOL_STREAM_REQUEST &&
		piece->extent->file->alignment == 0 &&
		iopool_lease_is_quick(stream->lease) &&
		is_full_if_quick(stream, piece, nbytes);
}

/* The next piece that fits the window, or NULL. */
static IopoolPiece *
next_piece(IopoolStream *stream, bool may_raise)
{
	IopoolPiece *piece;

	do
	{
		if (dlist_is_empty(&stream->todo))
			pull_group(stream, may_raise);
		if (dlist_is_empty(&stream->todo))
			return NULL;
		piece = dlist_head_element(IopoolPiece, node, &stream->todo);
	} while (iopool_stream_skip_piece(stream, piece));

	return is_full(stream, piece) ? NULL : piece;
}

/*
 * Prepare reads until entries, window or ranges are exhausted.  Checks out a
 * ring when there is something to start, waiting until the deadline, and gives
 * it back when there is not.  Unless may_raise, out of memory only means that
 * it does not go on.
 *
 * Sources run for as long as they like, so by the time that the reads are
 * submitted the ring may be another's.  They stay prepared then, and the next
 * call here gets another ring for them.
 */
void
iopool_stream_fill(IopoolStream *stream, IopoolDeadline deadline,
				   bool may_raise)
{
	IopoolLease *lease = stream->lease;
	IopoolPiece *piece = next_piece(stream, may_raise);

	/* most of many streams have nothing to start */
	if (piece == NULL && !iopool_lease_lacks_ring(lease))
	{
		iopool_stream_release_if_idle(stream);
		return;
	}

	if (piece != NULL && !stream->uses_lease)
	{
		iopool_lease_add_user(lease);
		stream->uses_lease = true;
	}
	/* others have their turn when what is in flight has come in */
	if (iopool_lease_gives_way(lease))
		return;
	if (iopool_lease_ready(lease, deadline))
	{
		iopool_lease_tick(lease);
		while (piece != NULL &&
			   iopool_stream_allocate_read(stream, piece, may_raise) &&
			   iopool_stream_start_read(stream, piece))
			piece = next_piece(stream, may_raise);
	}
	/* whoever waits for a stream in the background will hear of it */
	else if (may_raise)
		iopool_refusal_raise(lease);

	iopool_stream_release_if_idle(stream);
}

/* The next range to hand out, or NULL. */
IopoolPending *
iopool_stream_next_ready(IopoolStream *stream)
{
	IopoolPending *pending;

	if (!stream->options.in_order)
		return dlist_is_empty(&stream->ready)
			? NULL
			: dlist_container(IopoolPending, ready_node,
							  stream->ready.head.next);

	if (dlist_is_empty(&stream->pending))
		return NULL;
	pending = dlist_container(IopoolPending, node, stream->pending.head.next);
	return pending->is_done ? pending : NULL;
}

/* Is there a range to hand out? */
bool
iopool_stream_has_ready(IopoolStream *stream)
{
	return iopool_stream_next_ready(stream) != NULL;
}
