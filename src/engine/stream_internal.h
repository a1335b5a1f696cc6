/*-------------------------------------------------------------------------
 *
 * stream_internal.h
 *	  A stream's reads: cutting them, and what becomes of them.  Private to
 *	  stream.c, stream_wait.c and stream_read.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_TRANSFER_H
#define IOPOOL_TRANSFER_H

#include "utils/palloc.h"
#include "utils/resowner.h"

#include "ring/lease.h"
#include "engine/plan.h"
#include "engine/stream.h"

struct IopoolStream
{
	dlist_node node; /* in open_streams */
	IopoolStreamOptions options;
	MemoryContext cxt;
	MemoryContextCallback at_reset;
	ResourceOwner owner;
	IopoolLease *lease;
	bool is_holding; /* has a hold on lease */
	bool is_open;	 /* in open_streams */
	bool is_aborted; /* only drains */
	bool source_ended;
	bool source_pauses; /* as it said when it was last asked */
	int64 split;		/* longest buffered read, bytes */

	dlist_head todo;	/* of IopoolPiece, next first */
	dlist_head pending; /* of IopoolPending, in the source's order */
	dlist_head ready;	/* done and not handed out, unless in_order */
	int npending;
	int max_pending;	/* no more are pulled from there on */
	int64 reserved;		/* bytes of the pending ranges */
	int64 max_reserved; /* no more are pulled from there on */

	int in_flight; /* reads */
	int64 in_flight_bytes;

	dlist_head free_pending;
	dlist_head free_pieces;
	IopoolPending **group; /* [entries], pulled and not planned yet */
	int ngroup;
	IopoolStreamTotals totals;
};

/* Count in the pool's statistics. */
static inline void
iopool_transfer_count(IopoolStream *stream, IopoolCounter counter, uint64 n)
{
	stream->lease->delta.counters[counter] += n;
}

/* Every stream of this backend that has not ended. */
extern dlist_head iopool_open_streams;

/* stream_wait.c */
extern IopoolPending *iopool_window_next_ready(IopoolStream *stream);
extern void iopool_window_let_go(IopoolStream *stream);
extern void iopool_window_let_all_go(void);
extern void iopool_window_plan(IopoolStream *stream);

/* stream_read.c */
extern int64 iopool_transfer_split_size(int64 max_in_flight_bytes,
										int entries);
extern bool iopool_transfer_allocate(IopoolStream *stream, IopoolPiece *piece,
									 bool may_raise);
extern bool iopool_transfer_start(IopoolStream *stream, IopoolPiece *piece);
extern bool iopool_transfer_skip(IopoolStream *stream, IopoolPiece *piece);
extern void iopool_transfer_give_up(IopoolStream *stream, IopoolPiece *piece,
									int errnum);
extern void iopool_transfer_finish_range(IopoolStream *stream,
										 IopoolPending *pending);
extern void iopool_transfer_forget(IopoolStream *stream,
								   IopoolPending *pending);

#endif /* IOPOOL_TRANSFER_H */
