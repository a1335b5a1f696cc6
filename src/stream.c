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

#include "transfer.h"

/* Ranges that may be on their way, in multiples of the ring's entries. */
#define MAX_PENDING_FACTOR 4

/* Share of the reads in flight to wait for: fewer, larger rounds. */
#define WAIT_SHARE 4

/* Every stream of this backend that has not ended. */
static dlist_head open_streams = DLIST_STATIC_INIT(open_streams);

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
	int entries = options->pool->entries;

	stream->options = *options;
	stream->cxt = cxt;
	stream->owner = CurrentResourceOwner;
	stream->lease = iopool_lease_of(options->pool);
	stream->group = MemoryContextAlloc(cxt, sizeof(IopoolPending *) * entries);
	stream->split =
		iopool_transfer_split_size(options->max_in_flight_bytes, entries);
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

/* Take one range in.  Returns true when there is something to read for it. */
static bool
accept_range(IopoolStream *stream, const IopoolRange *range,
			 IopoolPending *pending)
{
	int64 available = 0;

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
		available =
			iopool_file_available(range->file, range->offset, range->length);
	/* the file may have grown since dest was made for it */
	if (range->dest != NULL)
		available = Min(available, range->dest_size);
	pending->start = range->offset;
	pending->end = range->offset + available;
	pending->valid_end = pending->end;
	pending->unread = available;

	dlist_push_tail(&stream->pending, &pending->node);
	stream->npending++;
	stream->reserved += available;
	stream->totals.nranges++;

	if (available == 0)
		iopool_transfer_finish_range(stream, pending);
	return available > 0;
}

/*
 * Pull the next group of ranges and plan it.  Pulling many at once is what
 * lets neighbours be found that are not neighbours in the source's order.
 */
static void
pull_group(IopoolStream *stream)
{
	int entries = stream->options.pool->entries;
	int ngroup = 0;
	int nmerged;

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
		iopool_transfer_count(stream, IOPOOL_COUNTER_MERGES, nmerged);
}

/* Drop the hold on the lease when there is nothing more to read. */
static void
let_go(IopoolStream *stream)
{
	if (stream->is_holding && stream->in_flight == 0 && stream->source_ended &&
		dlist_is_empty(&stream->todo))
	{
		stream->is_holding = false;
		iopool_lease_drop(stream->lease, false);
	}
}

/* The same for every stream whose reads may have come in. */
static void
let_all_go(IopoolLease *lease)
{
	dlist_iter iter;

	dlist_foreach(iter, &open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->lease == lease)
			let_go(stream);
	}
}

/*
 * Prepare reads until ring, window or ranges are exhausted.  Checks out a
 * ring when there is something to read, and gives it back when there is not.
 */
static void
fill_window(IopoolStream *stream)
{
	IopoolLease *lease = stream->lease;
	int64 max_bytes = stream->options.max_in_flight_bytes;

	iopool_lease_tick(lease);
	for (;;)
	{
		IopoolPiece *piece;

		if (dlist_is_empty(&stream->todo))
			pull_group(stream);
		if (dlist_is_empty(&stream->todo))
			break;

		piece = dlist_head_element(IopoolPiece, node, &stream->todo);
		if (iopool_transfer_skip(stream, piece))
			continue;

		if (stream->in_flight > 0 &&
			stream->in_flight_bytes +
					Min(piece->end - piece->start, stream->split) >
				max_bytes)
			break;

		if (!stream->is_holding)
		{
			iopool_lease_hold(lease);
			stream->is_holding = true;
		}
		if (!iopool_lease_ready(lease) ||
			!iopool_transfer_start(stream, piece))
			break;
	}

	let_go(stream);
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
			pending->allocated =
				MemoryContextAlloc(stream->cxt,
								   Max(stream->options.header_size, 1));
		result->buffer = pending->allocated;
	}
	else if (pending->allocated != NULL)
		pfree(pending->allocated);

	dlist_delete(&pending->node);
	stream->npending--;
	stream->reserved -= pending->end - pending->start;
	pending->is_emitted = true;
	iopool_transfer_forget(stream, pending);
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
			let_all_go(stream->lease);
		}

		pending = next_ready(stream);
		if (pending == NULL && stream->npending == 0)
		{
			if (stream->source_ended)
				return false;
			/* LATER is for a source that waits for reads of ours */
			elog(ERROR, "stream has nothing to wait for");
		}
	}

	emit(stream, pending, result);
	return true;
}
