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
 * Streams of a backend share a lease for each pool, and completions come to
 * the stream that made the read, whoever waits.  A background stream lives on
 * between calls; every call of ours lets it go on (iopool_stream_pump()).
 *
 * Bounds.  In flight: the ring's entries and max_in_flight_bytes (one read at
 * least).  Buffered, which is more because results wait for their turn: twice
 * max_in_flight_bytes, or one range if that is longer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "port/pg_bitutils.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "engine/stream_internal.h"

/* What aset.c puts in front of a chunk, in bytes, on any release. */
#define MAX_CHUNK_HEADER 16

/* Ranges that may be on their way, in multiples of the ring's entries. */
#define MAX_PENDING_FACTOR 4

/*
 * The same for libaio, where a consumer that may do anything between two
 * results has to give its context up: enough to be worth one.
 */
#define MIN_PENDING_LIBAIO 2048

/*
 * What other streams had prepared was taken back when this one was drained,
 * and starts again with the next call; until then they do not keep the ring.
 */
static void
let_others_go(IopoolStream *stream)
{
	if (iopool_lease_outstanding(stream->lease) == 0)
		iopool_stream_release_idle();
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
	if (stream->uses_lease)
		iopool_lease_remove_user(stream->lease, has_failed);
	stream->uses_lease = false;
	stream->is_open = false;
	dlist_delete(&stream->node);
	if (stream->buffers->is_counted || !has_failed)
		iopool_stream_give_up_buffers(stream);
	let_others_go(stream);
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

	dlist_foreach_modify(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->options.kind == IOPOOL_STREAM_REQUEST ||
			stream->owner != CurrentResourceOwner)
			continue;
		if (isCommit)
			iopool_errors_report(
				WARNING, (errmsg_internal("iopool: stream was not ended")));
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
	if (options->buffer_cxt == NULL)
		stream->options.buffer_cxt = cxt;
	/* results wait while others are in flight */
	stream->max_pending = entries * MAX_PENDING_FACTOR;
	if (options->pool->method == IOPOOL_METHOD_LIBAIO)
		stream->max_pending = Max(stream->max_pending, MIN_PENDING_LIBAIO);
	stream->max_reserved = options->max_in_flight_bytes * 2;
	stream->cxt = cxt;
	stream->owner = CurrentResourceOwner;
	stream->lease = iopool_lease_of(options->pool);
	/* what was refused to another may be possible now */
	stream->lease->refused_errno = 0;
	stream->group = MemoryContextAlloc(cxt, sizeof(IopoolPending *) * entries);
	iopool_stream_set_split(stream);
	dlist_init(&stream->todo);
	dlist_init(&stream->pending);
	dlist_init(&stream->ready);
	iopool_buffers_init(&stream->own_buffers, cxt);
	stream->buffers = options->buffers;
	if (stream->buffers == NULL)
		stream->buffers = &stream->own_buffers;
	dlist_init(&stream->free_pending);
	dlist_init(&stream->free_pieces);

	stream->at_reset.func = stream_at_reset;
	stream->at_reset.arg = stream;
	MemoryContextRegisterResetCallback(cxt, &stream->at_reset);
	dlist_push_tail(&iopool_open_streams, &stream->node);
	stream->is_open = true;
	return stream;
}

/*
 * Bytes that a stream has for a range on its way, beside its data.  Where
 * neighbours are read together, all of a stream's ranges can be on their way.
 */
Size
iopool_stream_range_memory(void)
{
	/* an AllocSet rounds up to a power of two, and has a header */
	return pg_nextpower2_size_t(sizeof(IopoolPending)) + MAX_CHUNK_HEADER;
}

/* Has nothing ended it yet? */
bool
iopool_stream_is_open(const IopoolStream *stream)
{
	return stream->is_open;
}

/* Have reads come at once, as of late? */
bool
iopool_stream_is_quick(const IopoolStream *stream)
{
	return iopool_lease_is_quick(stream->lease);
}

/* Reads in flight now, and what has been done; totals may be NULL. */
int
iopool_stream_in_flight(const IopoolStream *stream, IopoolStreamTotals *totals)
{
	if (totals != NULL)
		*totals = stream->totals;
	return stream->in_flight;
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

/* The same, on the way out of an error. */
void
iopool_stream_abort(IopoolStream *stream)
{
	close_stream(stream, true);
}

static void
emit_range(IopoolStream *stream, IopoolPending *pending, IopoolResult *result)
{
	result->cookie = pending->cookie;
	result->path = pending->file->path;
	result->offset = pending->offset;
	result->length = pending->length;
	result->failure = pending->failure;
	result->nbytes = 0;
	result->buffer = NULL;
	result->flaws = 0;

	if (pending->failure.kind == IOPOOL_FAILURE_NONE)
	{
		result->nbytes = pending->valid_end - pending->start;
		/* nothing there to read: the header alone */
		if (pending->dest == NULL)
		{
			pending->allocated_size = Max(stream->options.header_size, 1);
			pending->allocated = MemoryContextAlloc(stream->options.buffer_cxt,
													pending->allocated_size);
			stream->buffers->nshort++;
		}
		result->buffer = pending->allocated;
		result->buffer_size = pending->allocated_size;
	}
	else if (pending->allocated != NULL)
		iopool_stream_put_back(stream, pending->allocated,
							   pending->allocated_size);

	dlist_delete(&pending->node);
	if (!stream->options.in_order)
		dlist_delete(&pending->ready_node);
	stream->npending--;
	stream->reserved -= pending->end - pending->start;
	if (pending->is_begun)
		stream->begun_bytes -= pending->end - pending->start;
	pending->is_emitted = true;
	iopool_stream_forget_range(stream, pending);
}

/*
 * Raise 53000: a stream goes on only when a file descriptor is free, and no
 * read whose end would free one is in flight.
 */
void
iopool_stream_raise_idle(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("no file descriptor is left to read files with"),
			 errhint("Raise \"max_files_per_process\" and the open-file limit of the server (ulimit -n), or read fewer files at a time.")));
}

/*
 * Acquire a file (see iopool_file_acquire()), waiting for reads of other
 * streams if all descriptors are taken, and for a lease for its time.
 */
void
iopool_stream_acquire(IopoolFileSet *set, IopoolFile *file)
{
	while (!iopool_file_acquire(set, file))
	{
		if (iopool_file_is_leased(file))
		{
			iopool_stream_pump();
			iopool_stream_rest(IOPOOL_FOREVER);
			continue;
		}
		if (iopool_stream_step(NULL, 0, NULL, true, false, IOPOOL_FOREVER) !=
			IOPOOL_STEP_IDLE)
			continue;
		/* their reads cannot be started either */
		file->failure.kind = IOPOOL_FAILURE_OPEN;
		file->failure.errnum = EMFILE;
	}
}

/*
 * Raise it if nothing of the stream will be read any more, though it has not
 * ended: see iopool_refusal_raise().
 */
void
iopool_stream_check(IopoolStream *stream)
{
	if (stream->in_flight == 0 && !dlist_is_empty(&stream->todo))
		iopool_refusal_raise(stream->lease);
}

/*
 * Hand out a completed range if there is one; does not wait, start anything
 * or raise, but for lack of memory.
 */
bool
iopool_stream_take(IopoolStream *stream, IopoolResult *result)
{
	IopoolPending *pending = iopool_stream_next_ready(stream);

	if (pending == NULL)
		return false;
	emit_range(stream, pending, result);
	return true;
}

/*
 * Wait for what is in flight, before the stream ends with something left to do.
 * That does the same, but absorbs no barrier meanwhile.  Raises as
 * iopool_stream_drain().
 */
void
iopool_stream_settle(IopoolStream *stream)
{
	if (stream->is_open)
		iopool_stream_drain(stream->lease, &stream->in_flight);
}

/*
 * Wait for what is in flight, and let go of the ring until the next result is
 * asked for.  Raises as iopool_stream_drain().
 */
void
iopool_stream_suspend(IopoolStream *stream)
{
	if (!stream->uses_lease)
		return;
	iopool_stream_drain(stream->lease, &stream->in_flight);
	stream->uses_lease = false;
	iopool_lease_remove_user(stream->lease, false);
	let_others_go(stream);
}

/*
 * Forget what has not been read yet: its ranges end with ECANCELED, after
 * what is in flight has come.  The results are still to be taken, and the
 * stream can be used on.  Raises as iopool_stream_drain().
 */
void
iopool_stream_cancel(IopoolStream *stream)
{
	iopool_stream_drain(stream->lease, &stream->in_flight);
	/* what was pulled when the source raised */
	iopool_stream_plan_group(stream);
	while (!dlist_is_empty(&stream->todo))
		iopool_stream_give_up_piece(stream,
									dlist_head_element(IopoolPiece, node,
													   &stream->todo),
									ECANCELED);
	iopool_stream_release_if_idle(stream);
	let_others_go(stream);
}
