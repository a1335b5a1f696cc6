/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Ranges -> reads: merging, splitting, alignment.
 *
 * Where ranges overlap, each byte is read into the first range (by start)
 * that has it, and copied to the others when the read is complete.  Which
 * range that is depends on the byte alone, so reads of one extent can be cut
 * anywhere and can come in any order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "engine/plan.h"

/*
 * Bytes in the gaps between merged ranges are read to here.  Nobody looks at
 * it, so all reads share it; it is static because it must not go away under
 * any of them.
 */
#define GAP_BUFFER_SIZE (64 * 1024)
static char gap_buffer[GAP_BUFFER_SIZE];

/* An element to be sorted. */
typedef IopoolPending *PendingPointer;

static inline int
compare_pending(const IopoolPending *a, const IopoolPending *b)
{
	if (a->file->number != b->file->number)
		return a->file->number < b->file->number ? -1 : 1;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	/* the longest first owns all the bytes */
	if (a->end != b->end)
		return a->end > b->end ? -1 : 1;
	return a->cookie < b->cookie ? -1 : (a->cookie > b->cookie ? 1 : 0);
}

#define ST_SORT			 sort_pending
#define ST_ELEMENT_TYPE	 PendingPointer
#define ST_COMPARE(a, b) compare_pending(*(a), *(b))
#define ST_SCOPE		 static
#define ST_DEFINE
#include "lib/sort_template.h"

static void
start_extent(IopoolPending *pending, dlist_head *pieces)
{
	IopoolExtent *extent = &pending->own_extent;
	IopoolPiece *piece = &pending->own_piece;

	extent->file = pending->file;
	extent->first = pending;
	extent->nranges = 1;
	extent->nrefs = 1; /* the piece */
	extent->place = pending->place;
	pending->extent = extent;
	pending->next = NULL;

	piece->extent = extent;
	piece->single = NULL;
	piece->start = pending->start;
	piece->end = pending->end;
	piece->is_embedded = true;
	piece->was_cut = false;
	dlist_push_tail(pieces, &piece->node);
}

/* Join ranges that are sorted into extents; returns how many joined another's. */
static int
join_neighbours(IopoolPending **group, int ngroup, const IopoolMergeGaps *gaps,
				dlist_head *pieces)
{
	IopoolPending *last = NULL;
	int nmerged = 0;

	for (int i = 0; i < ngroup; i++)
	{
		IopoolPending *pending = group[i];
		IopoolPiece *piece = last ? &last->extent->first->own_piece : NULL;
		int merge_gap =
			pending->file->alignment > 0 ? gaps->direct : gaps->buffered;

		/* reads of an extent are aimed at all its ranges, which do not grow */
		if (merge_gap < 0 || last == NULL || last->file != pending->file ||
			pending->is_open_ended || last->is_open_ended ||
			pending->start - piece->end > merge_gap)
		{
			start_extent(pending, pieces);
			last = pending;
			continue;
		}

		pending->extent = last->extent;
		pending->next = NULL;
		last->next = pending;
		last = pending;
		pending->extent->nranges++;
		pending->extent->place = Min(pending->extent->place, pending->place);
		piece->end = Max(piece->end, pending->end);
		nmerged++;
	}
	return nmerged;
}

/*
 * Make extents of a group of ranges (none of them empty), and append a piece
 * for each to pieces, in the order in which the ranges come: who wants results
 * in that order would have to keep the others.  Ranges of one file join when
 * the gap between them is small enough.  Returns how many ranges joined
 * another's extent.  Uses the array up.
 */
int
iopool_plan_merge(IopoolPending **group, int ngroup,
				  const IopoolMergeGaps *gaps, dlist_head *pieces)
{
	dlist_head sorted = DLIST_STATIC_INIT(sorted);
	int nmerged;

	for (int i = 0; i < ngroup; i++)
		group[i]->place = i;
	if (Max(gaps->buffered, gaps->direct) < 0 || ngroup == 1)
	{
		for (int i = 0; i < ngroup; i++)
			start_extent(group[i], pieces);
		return 0;
	}

	sort_pending(group, ngroup);
	nmerged = join_neighbours(group, ngroup, gaps, &sorted);

	memset(group, 0, sizeof(IopoolPending *) * ngroup);
	while (!dlist_is_empty(&sorted))
	{
		IopoolPiece *piece =
			dlist_container(IopoolPiece, node, dlist_pop_head_node(&sorted));

		group[piece->extent->place] = piece->extent->first;
	}
	for (int i = 0; i < ngroup; i++)
	{
		if (group[i] != NULL)
			dlist_push_tail(pieces, &group[i]->own_piece.node);
	}
	return nmerged;
}

/*
 * Move the start of a piece over a gap that it lies in: with a large
 * merge_gap, whole reads would bring nothing that anybody wants.
 */
void
iopool_plan_skip_gap(IopoolPiece *piece)
{
	IopoolPending *pending = iopool_plan_first(piece->extent, piece->single);

	while (pending->end <= piece->start)
		pending = iopool_plan_next(piece->single, pending);
	piece->start = Max(piece->start, pending->start);
}

/* End of the last range in a piece's [start, end), likewise. */
int64
iopool_plan_trim(const IopoolPiece *piece, int64 end)
{
	IopoolPending *pending = iopool_plan_first(piece->extent, piece->single);
	int64 upto = piece->start;

	for (; pending != NULL; pending = iopool_plan_next(piece->single, pending))
	{
		if (pending->start < end)
			upto = Max(upto, Min(pending->end, end));
	}
	return upto;
}

/* Widen [start, end) to what a direct read of the file can be. */
void
iopool_plan_align(const IopoolFile *file, int64 *start, int64 *end)
{
	int64 alignment = file->alignment;

	*start -= *start % alignment;
	*end += (alignment - *end % alignment) % alignment;
}

/* Add memory to a read's vector; false: no room for more. */
static bool
add_iov(IopoolRead *read, char *base, int64 len)
{
	if (read->io.niov == IOPOOL_MAX_IOV)
		return false;
	read->iov[read->io.niov].iov_base = base;
	read->iov[read->io.niov].iov_len = len;
	read->io.niov++;
	return true;
}

/*
 * Fill the vector of a read so that bytes [pos, end) of the file go where
 * they are wanted.  Returns how far the vector reaches, which is less than
 * end when there are more pieces of memory than it has room for.
 */
int64
iopool_plan_scatter(IopoolRead *read, int64 pos, int64 end)
{
	IopoolPending *pending = iopool_plan_first(read->extent, read->single);

	read->io.niov = 0;
	for (; pending != NULL && pos < end;
		 pending = iopool_plan_next(read->single, pending))
	{
		int64 upto;

		while (pos < Min(pending->start, end))
		{
			upto = Min(Min(pending->start, end), pos + GAP_BUFFER_SIZE);
			if (!add_iov(read, gap_buffer, upto - pos))
				return pos;
			pos = upto;
		}

		upto = Min(pending->end, end);
		if (upto > pos)
		{
			if (!add_iov(read, pending->dest + (pos - pending->start),
						 upto - pos))
				return pos;
			pos = upto;
		}
	}
	return pos;
}

/*
 * A read is complete up to valid_end: bring its bytes where they are wanted
 * and are not yet.  blocks holds those from file offset first_block on; NULL
 * when iopool_plan_scatter() directed them.
 */
void
iopool_plan_gather(IopoolRead *read, int64 valid_end, const char *blocks,
				   int64 first_block)
{
	IopoolPending *pending = iopool_plan_first(read->extent, read->single);
	IopoolPending *owner = NULL; /* range that reaches furthest */
	int64 pos = read->start;

	for (; pending != NULL; pending = iopool_plan_next(read->single, pending))
	{
		int64 from = Max(pending->start, read->start);
		int64 upto = Min(pending->end, valid_end);

		if (from >= upto)
			continue;

		if (blocks != NULL)
			memcpy(pending->dest + (from - pending->start),
				   blocks + (from - first_block), upto - from);
		else if (from < pos)
			memcpy(pending->dest + (from - pending->start),
				   owner->dest + (from - owner->start), Min(upto, pos) - from);

		if (upto > pos)
		{
			pos = upto;
			owner = pending;
		}
	}
}
