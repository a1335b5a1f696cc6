/*-------------------------------------------------------------------------
 *
 * stream_read.c
 *	  A stream's reads: cutting them, and what becomes of them.
 *
 * A read is cut off the front of a piece, goes through the lease, and ends in
 * read_done(), which brings the bytes to their ranges, goes on after a short
 * read, makes a failed read of several ranges again for each alone, and
 * settles the ranges whose bytes are all accounted for.
 *
 * read_done() must not raise: it runs while a transaction aborts, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "utils/memutils.h"

#include "engine/stream_internal.h"

/*
 * A long range is split so that the window fills the queue, into reads of this
 * size at least and at most.  Smaller ones cost the processor.
 */
#define MIN_SPLIT (64 * 1024)
#define MAX_SPLIT (1024 * 1024)

/*
 * Direct reads of a long range that keep a disk busy.  So few are longer than
 * they would be if they filled the queue, which costs less on both sides.
 */
#define DIRECT_DEPTH 16

/*
 * Steps in which a file is read whose end is not known, one after the other:
 * procfs makes it all anew to give a part that does not follow the last one.
 */
#define OPEN_END_STEP MIN_SPLIT

/*
 * A piece of its own; NULL when out of memory, because this is called where
 * nothing may raise.
 */
static IopoolPiece *
new_piece(IopoolStream *stream, IopoolExtent *extent, IopoolPending *single,
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
	piece->single = single;
	piece->start = start;
	piece->end = end;
	piece->is_embedded = false;
	piece->was_cut = true; /* its extent has been counted */
	extent->nrefs++;
	return piece;
}

/* Free the range's struct when neither consumer nor extent needs it. */
void
iopool_stream_forget_range(IopoolStream *stream, IopoolPending *pending)
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
		iopool_stream_forget_range(stream, pending);
	}
	pending = extent->first;
	pending->extent = NULL;
	iopool_stream_forget_range(stream, pending);
}

void
iopool_stream_finish_range(IopoolStream *stream, IopoolPending *pending)
{
	pending->is_done = true;
	iopool_file_release(pending->file);
	if (!stream->options.in_order)
		dlist_push_tail(&stream->ready, &pending->ready_node);
}

/* A range has come: go on if there may be more; false: complete, or failed. */
static bool
read_on(IopoolStream *stream, IopoolPending *pending)
{
	int64 length = pending->end - pending->start;
	int64 more = Min(OPEN_END_STEP, IOPOOL_MAX_LENGTH - length);
	IopoolPiece *piece = NULL;

	if (!pending->is_open_ended || pending->valid_end < pending->end ||
		pending->failure.kind != IOPOOL_FAILURE_NONE)
		return false;
	if (more == 0)
	{
		if (iopool_file_goes_on_at(pending->file, pending->end))
			pending->failure.kind = IOPOOL_FAILURE_TOO_LARGE;
		return false;
	}

	if (iopool_stream_extend_range(stream, pending, more))
		piece = new_piece(stream, pending->extent, pending, pending->end,
						  pending->end + more);
	if (piece == NULL)
	{
		pending->failure.kind = IOPOOL_FAILURE_READ;
		pending->failure.errnum = ENOMEM;
		return false;
	}
	pending->end += more;
	pending->valid_end = pending->end;
	pending->unread = more;
	stream->reserved += more;
	stream->begun_bytes += more;
	dlist_push_head(&stream->todo, &piece->node);
	return true;
}

/* Bytes [start, end) of an extent, for one of its ranges or for all. */
typedef struct Span
{
	IopoolExtent *extent;
	IopoolPending *single; /* or NULL */
	int64 start;		   /* file offsets */
	int64 end;
} Span;

static Span
span_of_read(const IopoolRead *read)
{
	return (Span){read->extent, read->single, read->start, read->end};
}

/*
 * The fate of the bytes of a piece or read is known: read up to valid_end, or,
 * with errnum, not to be had.
 */
static void
settle(IopoolStream *stream, Span span, int64 valid_end, int errnum)
{
	IopoolPending *pending = iopool_plan_first(span.extent, span.single);

	for (; pending != NULL; pending = iopool_plan_next(span.single, pending))
	{
		int64 from = Max(pending->start, span.start);
		int64 upto = Min(pending->end, span.end);

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
		if (pending->unread == 0 && !read_on(stream, pending))
			iopool_stream_finish_range(stream, pending);
	}
}

/* Make a read again, or for each of its ranges alone. */
static void
read_again(IopoolStream *stream, IopoolRead *read, bool each_alone)
{
	IopoolPending *pending = iopool_plan_first(read->extent, read->single);
	IopoolPiece *piece;

	if (!each_alone)
	{
		piece = new_piece(stream, read->extent, read->single, read->start,
						  read->end);
		if (piece != NULL)
			dlist_push_head(&stream->todo, &piece->node);
		else
			settle(stream, span_of_read(read), read->end, ENOMEM);
		return;
	}

	for (; pending != NULL; pending = iopool_plan_next(read->single, pending))
	{
		int64 from = Max(pending->start, read->start);
		int64 upto = Min(pending->end, read->end);

		if (from >= upto)
			continue;
		piece = new_piece(stream, read->extent, pending, from, upto);
		if (piece != NULL)
			dlist_push_head(&stream->todo, &piece->node);
		else
			settle(stream, (Span){read->extent, pending, from, upto}, upto,
				   ENOMEM);
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
			iopool_stream_count(stream, IOPOOL_COUNTER_RETRIES, 1);
			read_again(stream, read, false);
			return;
		default:
			break;
	}

	/* RWF_DONTCACHE is new, and not every file system has it */
	if (iopool_io_flags_failed(&read->io, errnum))
	{
		read->extent->file->rw_flags = 0;
		read_again(stream, read, false);
		return;
	}

	iopool_stream_count(stream, IOPOOL_COUNTER_ERRORS, 1);

	/* a bad sector must not fail the neighbours that were read along */
	if (read->single == NULL && read->extent->nranges > 1)
		read_again(stream, read, true);
	else
		settle(stream, span_of_read(read), read->end, errnum);
}

/*
 * Account for the bytes of a completion.  Returns true when the read is
 * complete, with *valid_end; false when it stopped early and has to go on.
 */
static bool
take_bytes(IopoolRead *read, int result, int64 *valid_end)
{
	int64 upto = read->io.offset + result;

	if (upto < read->end && result > 0)
	{
		int64 next = upto;

		if (read->io.is_direct)
			next =
				iopool_file_resume_direct(read->extent->file, read->io.offset,
										  upto, &read->nstops);
		if (next >= 0)
		{
			read->io.offset = next;
			return false;
		}
	}
	*valid_end = Min(Max(upto, read->start), read->end);
	return true;
}

/*
 * The rest of a direct read, whose blocks are [first, end) of the file and go
 * to its slot of the arena.
 */
static void
aim_at_slot(IopoolRead *read, int64 first, int64 end)
{
	read->iov[0].iov_base = read->slot + (read->io.offset - first);
	read->iov[0].iov_len = end - read->io.offset;
	read->io.niov = 1;
}

/*
 * Direct bytes from where the read is on, straight to their range, whose
 * memory has room for the whole of the last block.
 */
static void
aim_at_dest(IopoolRead *read)
{
	const IopoolFile *file = read->extent->file;
	IopoolPending *pending = iopool_plan_first(read->extent, read->single);
	int64 start = read->start;
	int64 end = read->end;

	iopool_plan_align(file, &start, &end);
	read->iov[0].iov_base = pending->dest + (read->io.offset - pending->start);
	read->iov[0].iov_len = end - read->io.offset;
	read->io.niov = 1;
}

static void
count_in_flight(IopoolStream *stream, const IopoolRead *read)
{
	stream->in_flight++;
	stream->in_flight_bytes += read->end - read->start;
	stream->totals.max_in_flight =
		Max(stream->totals.max_in_flight, stream->in_flight);
}

/* IopoolReadDone: a read of a stream is complete.  Must not raise. */
static void
read_done(IopoolRead *read, int result)
{
	IopoolStream *stream = read->owner;
	IopoolExtent *extent = read->extent;
	int64 first_block = read->start;
	int64 blocks_end = read->end;
	int64 valid_end;

	stream->in_flight--;
	stream->in_flight_bytes -= read->end - read->start;

	if (stream->is_aborted)
	{
		iopool_lease_put_read(read);
		return;
	}

	/* there should have been bytes: the end has to be seen to be believed */
	if (result == 0)
		result = iopool_lease_read_plainly(read);
	if (result < 0)
	{
		read_failed(stream, read, -result);
		iopool_lease_put_read(read);
		unref_extent(stream, extent);
		return;
	}

	if (read->slot != NULL)
		iopool_plan_align(extent->file, &first_block, &blocks_end);

	stream->totals.nbytes += result;
	if (!take_bytes(read, result, &valid_end))
	{
		iopool_stream_count(stream, IOPOOL_COUNTER_SHORT_READS, 1);
		if (read->slot != NULL)
			aim_at_slot(read, first_block, blocks_end);
		else if (read->io.is_direct)
			aim_at_dest(read);
		else
			(void) iopool_plan_scatter(read, read->io.offset, read->end);
		count_in_flight(stream, read);
		iopool_lease_prepare(read);
		return;
	}

	iopool_plan_gather(read, valid_end, read->slot, first_block);
	settle(stream, span_of_read(read), valid_end, 0);
	iopool_lease_put_read(read);
	unref_extent(stream, extent);
}

/*
 * Aim a direct read of [piece->start, upto) at a slot of the arena.  Returns
 * where it ends: a read that does not end the piece ends with a block, so that
 * no block is read twice.
 */
static int64
aim_direct(const IopoolPiece *piece, int64 upto, IopoolRead *read)
{
	const IopoolFile *file = piece->extent->file;
	int64 start = piece->start;
	/* a block at each end, which may belong to it in part only */
	int64 slack = 2 * file->alignment;
	Size room = iopool_arena_take(read, upto - start + slack);
	int64 end;
	int64 cut;

	upto = Min(upto, start + (int64) room - slack);
	cut = upto - upto % file->alignment;
	if (upto < piece->end && cut > start)
		upto = cut;

	end = upto;
	iopool_plan_align(file, &start, &end);
	Assert(end - start <= (int64) room);
	read->io.offset = start;
	aim_at_slot(read, start, end);
	return upto;
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
	const IopoolPending *single = piece->single;

	if (single == NULL && piece->extent->nranges == 1)
		single = piece->extent->first;
	return single != NULL && single->failure.kind != IOPOOL_FAILURE_NONE;
}

/* Settle a piece as not to be had, without reading it. */
void
iopool_stream_give_up_piece(IopoolStream *stream, IopoolPiece *piece,
							int errnum)
{
	settle(stream,
		   (Span){piece->extent, piece->single, piece->start, piece->end},
		   piece->end, errnum);
	drop_piece(stream, piece);
}

/*
 * Is this piece not worth reading?  Then it is settled and gone.
 */
bool
iopool_stream_skip_piece(IopoolStream *stream, IopoolPiece *piece)
{
	if (!is_in_vain(piece))
		return false;
	iopool_stream_give_up_piece(
		stream, piece,
		iopool_plan_first(piece->extent, piece->single)->failure.errnum);
	return true;
}

/* Set the lengths of the reads that the stream's long ranges are split into. */
void
iopool_stream_set_split(IopoolStream *stream)
{
	int64 window = stream->options.max_in_flight_bytes;
	int64 split = window / stream->options.pool->entries;
	int64 direct_split = Min(window / DIRECT_DEPTH, MAX_SPLIT);

	split = Min(Max(split, MIN_SPLIT), MAX_SPLIT);
	split = Min(split, window);
	stream->split = split - split % IOPOOL_BLOCK_SIZE;
	direct_split -= direct_split % IOPOOL_BLOCK_SIZE;
	stream->direct_split = Max(direct_split, stream->split);
}

/* Where the next read off the front of the piece ends at most. */
static int64
cut_end(IopoolStream *stream, IopoolPiece *piece)
{
	iopool_plan_skip_gap(piece);
	return iopool_plan_trim(piece,
							piece->start +
								Min(piece->end - piece->start,
									iopool_stream_split(stream, piece)));
}

/*
 * Room in the arena for a direct read.  False, unless may_raise: out of
 * memory; or not before others that are on their way have come.
 */
static bool
reserve_slots(IopoolStream *stream, const IopoolFile *file, bool may_raise)
{
	/* blocks at both ends may belong to a read in part only */
	Size slack = 2 * (Size) file->alignment;
	int rc = iopool_arena_reserve(stream->lease, stream->split + slack,
								  file->alignment + slack);

	if (rc != 0 && rc != EAGAIN && may_raise)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("No memory could be mapped for direct reads: %s.",
						   strerror(rc))));
	return rc == 0;
}

/*
 * Allocate where the bytes of the piece's next read go, as far as they have
 * no place.  False, unless may_raise: out of memory; or not before others that
 * are on their way have come.
 */
bool
iopool_stream_allocate_read(IopoolStream *stream, IopoolPiece *piece,
							bool may_raise)
{
	IopoolPending *pending = iopool_plan_first(piece->extent, piece->single);
	int64 end = cut_end(stream, piece);

	if (piece->extent->file->alignment > 0 && !stream->options.is_aligned &&
		!reserve_slots(stream, piece->extent->file, may_raise))
		return false;

	for (; pending != NULL; pending = iopool_plan_next(piece->single, pending))
	{
		if (pending->start >= end || pending->end <= piece->start)
			continue;
		if (!iopool_stream_allocate_range(stream, pending, may_raise))
			return false;
		if (!pending->is_begun)
			stream->begun_bytes += pending->end - pending->start;
		pending->is_begun = true;
	}
	return true;
}

/*
 * Cut the next read off the front of the piece, and prepare it.  Returns
 * false when the ring has no room for it now.  The lease must be ready, and
 * the memory allocated.  Does not raise.
 */
bool
iopool_stream_start_read(IopoolStream *stream, IopoolPiece *piece)
{
	IopoolExtent *extent = piece->extent;
	IopoolFile *file = extent->file;
	IopoolRead *read;
	int64 end;

	if (stream->lease->nfree_reads == 0)
		return false;

	end = cut_end(stream, piece);
	read = iopool_lease_get_read(stream->lease);
	read->owner = stream;
	read->done = read_done;
	read->extent = extent;
	read->single = piece->single;
	read->io.fd = file->fd;
	read->io.is_direct = file->alignment > 0;
	read->io.is_advised = stream->lease->method->reads_ahead &&
		!read->io.is_direct && iopool_file_takes_advice(file);
	read->io.rw_flags = file->rw_flags;
	stream->has_flags |= file->rw_flags != 0;
	read->start = piece->start;
	read->nstops = 0;

	if (read->io.is_direct && stream->options.is_aligned)
	{
		/* whole blocks, and at least one */
		if (end < piece->end)
			end = Min(piece->end,
					  Max(end - (end - piece->start) % file->alignment,
						  piece->start + file->alignment));
		read->io.offset = piece->start;
		read->end = end;
		aim_at_dest(read);
	}
	else if (read->io.is_direct)
		end = aim_direct(piece, end, read);
	else
	{
		read->io.offset = piece->start;
		end = iopool_plan_scatter(read, piece->start, end);
	}

	/* a cut may lie in a gap; a piece made of this read must not end there */
	end = iopool_plan_trim(piece, end);

	read->end = end;
	extent->nrefs++;
	if (piece->was_cut)
		iopool_stream_count(stream, IOPOOL_COUNTER_SPLITS, 1);
	piece->was_cut = true;
	piece->start = end;
	if (piece->start == piece->end)
		drop_piece(stream, piece);

	count_in_flight(stream, read);
	stream->totals.nreads++;
	stream->totals.sum_in_flight += stream->in_flight;
	iopool_lease_prepare(read);
	return true;
}
