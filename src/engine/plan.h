/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Ranges -> reads: merging, splitting, alignment.
 *
 * A group of ranges becomes extents: stretches of a file, each with the
 * ranges that lie in it.  An extent is read in pieces: the stream cuts one
 * read after the other off the front of a piece.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_PLAN_H
#define IOPOOL_PLAN_H

#include "lib/ilist.h"

#include "file/file.h"
#include "ring/lease.h"

typedef struct IopoolPending IopoolPending;

/* A stretch of a file that is read for one range or for several. */
typedef struct IopoolExtent
{
	IopoolFile *file;
	IopoolPending *first; /* its ranges, by start, linked by next */
	int nranges;
	int nrefs; /* pieces to read and reads that point here */
	int place; /* in its group, of the range that came first */
} IopoolExtent;

/* A part of an extent that is to be read. */
typedef struct IopoolPiece
{
	dlist_node node;
	IopoolExtent *extent;
	IopoolPending *single; /* read it for this range alone, or NULL */
	int64 start;		   /* file offsets, in bytes */
	int64 end;
	bool is_embedded; /* part of an IopoolPending */
	bool was_cut;	  /* some of it has been cut off already */
} IopoolPiece;

/* A range on its way through the stream. */
struct IopoolPending
{
	dlist_node node;	   /* in stream->pending, or on the free list */
	dlist_node ready_node; /* in stream->ready */

	/* as asked for */
	IopoolFile *file;
	int64 offset;
	int64 length;
	int64 cookie;

	/* file offsets: what there is to read, and where the file ended */
	int64 start;
	int64 end;
	int64 valid_end;

	int64 unread;	 /* bytes whose fate is open */
	char *dest;		 /* byte at start goes here; NULL: not yet
								 * allocated */
	char *allocated; /* what the stream allocated for it, if so */
	Size allocated_size;
	IopoolFailure failure;
	bool is_begun;		/* some of it has been, or is about to be, read */
	bool is_open_ended; /* there may be bytes behind end: a whole file */
	bool is_done;
	bool is_emitted;

	int place; /* in its group */

	/* the extent that it lies in; its own, or that of a neighbour */
	IopoolExtent *extent;
	IopoolPending *next;
	IopoolExtent own_extent;
	IopoolPiece own_piece;
};

/* Largest gaps between ranges that are read as one, in bytes; -1: never. */
typedef struct IopoolMergeGaps
{
	int buffered; /* of files that are read through the page cache */
	int direct;
} IopoolMergeGaps;

/* The ranges that a piece or a read is for, by start. */
#define iopool_plan_first(extent, single) \
	((single) ? (single) : (extent)->first)
#define iopool_plan_next(single, pending) ((single) ? NULL : (pending)->next)

/* plan.c */
extern int iopool_plan_merge(IopoolPending **group, int ngroup,
							 const IopoolMergeGaps *gaps, dlist_head *pieces);
extern int64 iopool_plan_scatter(IopoolRead *read, int64 pos, int64 end);
extern void iopool_plan_gather(IopoolRead *read, int64 valid_end,
							   const char *blocks, int64 first_block);
extern void iopool_plan_skip_gap(IopoolPiece *piece);
extern int64 iopool_plan_trim(const IopoolPiece *piece, int64 end);
extern void iopool_plan_align(const IopoolFile *file, int64 *start,
							  int64 *end);

#endif /* IOPOOL_PLAN_H */
