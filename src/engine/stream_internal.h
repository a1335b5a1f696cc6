/*-------------------------------------------------------------------------
 *
 * stream_internal.h
 *	  What a stream has: private to stream*.c.
 *
 * A range's way through the files: stream_fill.c takes it in and plans it,
 * stream_read.c reads it, stream_wait.c waits for it, and stream.c hands it
 * out.  stream_leave.c ends a stay in iopool.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_STREAM_INTERNAL_H
#define IOPOOL_STREAM_INTERNAL_H

#include "utils/palloc.h"
#include "utils/resowner.h"

#include "engine/plan.h"
#include "engine/stream.h"
#include "ring/lease.h"

/* Between two tries to open a file that somebody has a lease on. */
#define IOPOOL_PAUSE_US 5000

/* Bytes of free buffers that a stream may keep in any case. */
#define IOPOOL_MIN_FREE_BYTES (1024 * 1024)

/* A buffer that has been put back, in its own memory. */
typedef struct IopoolFreeBuffer
{
	dlist_node node; /* in buffers->free */
	Size size;		 /* bytes */
} IopoolFreeBuffer;

struct IopoolStream
{
	dlist_node node; /* in open_streams */
	IopoolStreamOptions options;
	MemoryContext cxt;
	MemoryContextCallback at_reset;
	ResourceOwner owner;
	IopoolLease *lease;
	bool uses_lease; /* counts among lease->nusers */
	bool is_open;	 /* in open_streams */
	bool is_aborted; /* only drains */
	bool source_ended;
	bool source_pauses; /* as it said when it was last asked */
	bool has_flags;		/* reads were made with RWF_* */
	int64 split;		/* longest buffered read, bytes */
	int64 direct_split; /* longest direct read, bytes */

	dlist_head todo;	/* of IopoolPiece, next first */
	dlist_head pending; /* of IopoolPending, in the source's order */
	dlist_head ready;	/* done and not handed out, unless in_order */
	int npending;
	int max_pending;	/* no more are pulled from there on */
	int64 reserved;		/* bytes of the pending ranges */
	int64 max_reserved; /* no more are pulled from there on */
	int64 begun_bytes;	/* of those that reading has begun for */

	/* see stream_now.c */
	int nopened;	  /* files opened for a range, as far as it matters */
	int now_skip;	  /* so many more are not tried */
	int now_distance; /* how many were skipped after the last failure */

	int in_flight; /* reads */
	int64 in_flight_bytes;

	IopoolBuffers *buffers; /* own_buffers, or those of the options */
	IopoolBuffers own_buffers;
	dlist_head free_pending;
	dlist_head free_pieces;
	IopoolPending **group; /* [entries], pulled and not planned yet */
	int ngroup;
	IopoolStreamTotals totals;
};

/* Does it live on between calls? */
static inline bool
iopool_stream_is_background(const IopoolStream *stream)
{
	return stream->options.kind == IOPOOL_STREAM_REQUEST ||
		stream->options.kind == IOPOOL_STREAM_API;
}

/* Does its consumer come back only when all is read? */
static inline bool
iopool_stream_is_attended(const IopoolStream *stream)
{
	return stream->options.kind == IOPOOL_STREAM_CALL;
}

/* How long a read of the piece may be, in bytes. */
static inline int64
iopool_stream_split(const IopoolStream *stream, const IopoolPiece *piece)
{
	return piece->extent->file->alignment > 0 ? stream->direct_split
											  : stream->split;
}

/* Count in the pool's statistics. */
static inline void
iopool_stream_count(IopoolStream *stream, IopoolCounter counter, uint64 n)
{
	stream->lease->delta.counters[counter] += n;
}

/* Every stream of this backend that has not ended. */
extern dlist_head iopool_open_streams;

/* stream_buffer.c */
extern bool iopool_stream_allocate_range(IopoolStream *stream,
										 IopoolPending *pending,
										 bool may_raise);
extern void iopool_stream_give_up_buffers(IopoolStream *stream);
extern bool iopool_stream_extend_range(IopoolStream *stream,
									   IopoolPending *pending, int64 more);

/* stream_fill.c */
extern void iopool_stream_fill(IopoolStream *stream, IopoolDeadline deadline,
							   bool may_raise);
extern void iopool_stream_plan_group(IopoolStream *stream);
extern void iopool_stream_release_if_idle(IopoolStream *stream);
extern void iopool_stream_release_idle(void);
extern IopoolPending *iopool_stream_next_ready(IopoolStream *stream);

/* stream_now.c */
extern bool iopool_stream_read_now(IopoolStream *stream,
								   IopoolPending *pending);

/* stream_leave.c */
extern void iopool_stream_add_lease(IopoolLease **leases, int *nleases,
									IopoolLease *lease);
extern int iopool_stream_busy_leases(IopoolLease **leases, bool or_lacks_ring);
extern void iopool_stream_drain(IopoolLease *lease, const int *in_flight);
extern void iopool_stream_drain_all(void);
extern void iopool_stream_leave_by_error(void);

/* stream_read.c */
extern void iopool_stream_set_split(IopoolStream *stream);
extern bool iopool_stream_allocate_read(IopoolStream *stream,
										IopoolPiece *piece, bool may_raise);
extern bool iopool_stream_start_read(IopoolStream *stream, IopoolPiece *piece);
extern bool iopool_stream_skip_piece(IopoolStream *stream, IopoolPiece *piece);
extern void iopool_stream_give_up_piece(IopoolStream *stream,
										IopoolPiece *piece, int errnum);
extern void iopool_stream_finish_range(IopoolStream *stream,
									   IopoolPending *pending);
extern void iopool_stream_forget_range(IopoolStream *stream,
									   IopoolPending *pending);

#endif /* IOPOOL_STREAM_INTERNAL_H */
