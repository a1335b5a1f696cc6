/*-------------------------------------------------------------------------
 *
 * feed.h
 *	  Calls of reading functions, one after the other, as one flow of ranges.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_FEED_H
#define IOPOOL_FEED_H

#include "args.h"
#include "stream.h"

typedef struct IopoolFeed IopoolFeed;

/* One call, whose results are handed out before those of the next one. */
typedef struct IopoolFeedCall
{
	dlist_node node; /* in feed->calls, or on the free list */
	IopoolArgs args; /* its arrays are the caller's, and outlive it */
	bool report;	 /* on_error => 'report' */
	uint64 first;	 /* place of its first range in the feed */
	int nout;		 /* ranges handed out */
	struct FeedFiles *files;
	IopoolFile *file;		  /* of every range, or NULL */
	IopoolFile **range_files; /* [nranges], if file is NULL */
	int64 offset;			  /* of the only range, if so */
} IopoolFeedCall;

/* How the waiting went, for EXPLAIN. */
typedef struct IopoolFeedStats
{
	IopoolStreamTotals totals; /* of all streams, those that ended included */
	uint64 wait_us;			   /* of all waits */
	uint64 ring_wait_us;	   /* of these, for a ring */
} IopoolFeedStats;

/* feed.c */
extern IopoolFeed *iopool_feed_begin(MemoryContext parent, bool in_order,
									 int distance);
extern IopoolFeedCall *iopool_feed_add(IopoolFeed *feed,
									   const IopoolArgs *args, bool report);
extern IopoolFeedCall *iopool_feed_add_range(IopoolFeed *feed, text *path,
											 int64 offset, int64 length);
extern void iopool_feed_complete(IopoolFeed *feed);
extern bool iopool_feed_wants_call(IopoolFeed *feed);
extern void iopool_feed_next(IopoolFeed *feed, IopoolResult *result);
extern void iopool_feed_drop_call(IopoolFeed *feed, IopoolFeedCall *call);
extern void iopool_feed_end(IopoolFeed *feed, IopoolFeedStats *stats);
extern void iopool_feed_get_stats(IopoolFeed *feed, IopoolFeedStats *stats);

#endif /* IOPOOL_FEED_H */
