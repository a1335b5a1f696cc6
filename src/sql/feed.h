/*-------------------------------------------------------------------------
 *
 * feed.h
 *	  Calls of reading functions, one after the other, as one flow of ranges.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_FEED_H
#define IOPOOL_FEED_H

#include "sql/call.h"

/* Longest block of a feed's memory context that is for several chunks. */
#define IOPOOL_FEED_BLOCK (64 * 1024)

typedef struct IopoolFeed IopoolFeed;

typedef struct IopoolFeedOptions
{
	/*
	 * Results come in the order of calls and ranges, or, of a feed that has a
	 * single call, as they complete.
	 */
	bool in_order;

	/* Ranges that are read ahead at first; 0: as far as the streams go. */
	int distance;

	/* Whose feed it is: a call's, a node's or a request's. */
	IopoolStreamKind kind;

	/* see IopoolStreamOptions; NULL: the feed has its own, until it ends */
	MemoryContext buffer_cxt;
	IopoolBuffers *buffers;
} IopoolFeedOptions;

/* How the reading went; has no pointers. */
typedef struct IopoolFeedStats
{
	IopoolStreamTotals totals; /* of all streams, those that ended included */
	uint64 wait_us;			   /* of all waits */
	uint64 ring_wait_us;	   /* of these, for a ring */
	uint64 nlost; /* rings that others had taken, as waits found */

	/* by number of the pool: the modes its ranges were read in, 1 << mode */
	uint8 io_modes[IOPOOL_MAX_POOLS + 1];
} IopoolFeedStats;

/* feed.c */
extern IopoolFeed *iopool_feed_begin(MemoryContext parent,
									 const IopoolFeedOptions *options);
extern IopoolCall *iopool_feed_new_call(IopoolFeed *feed,
										const IopoolArgs *args, bool report);
extern IopoolCall *iopool_feed_new_range(IopoolFeed *feed, text *path,
										 int64 offset, int64 length);
extern int64 *iopool_feed_measure(IopoolFeed *feed, IopoolCall *call);
extern int64 iopool_feed_available(IopoolFeed *feed, text *path, int64 offset,
								   int64 length);
extern int64 iopool_feed_read_cached(IopoolFeed *feed, text *path,
									 int64 offset, int64 length, char *dest);
extern void iopool_feed_add(IopoolFeed *feed, IopoolCall *call);
extern void iopool_feed_complete(IopoolFeed *feed);
extern bool iopool_feed_wants_call(IopoolFeed *feed);
extern void iopool_feed_start(IopoolFeed *feed);
extern bool iopool_feed_take(IopoolFeed *feed, IopoolResult *result);
extern void iopool_feed_next(IopoolFeed *feed, IopoolResult *result);
extern bool iopool_feed_is_quick(const IopoolFeed *feed);
extern void iopool_feed_put_back(IopoolFeed *feed, IopoolResult *result);
extern IopoolBuffers *iopool_feed_buffers(const IopoolFeed *feed);
extern void iopool_feed_drop_call(IopoolFeed *feed, IopoolCall *call);
extern IopoolStream *const *iopool_feed_streams(const IopoolFeed *feed,
												int *nstreams);
extern char *iopool_feed_pool_names(const IopoolFeed *feed);
extern void iopool_feed_add_wait(IopoolFeed *feed, uint64 wait_us,
								 uint64 ring_wait_us);
extern void iopool_feed_get_stats(const IopoolFeed *feed,
								  IopoolFeedStats *stats);
extern void iopool_feed_close(IopoolFeed *feed);
extern void iopool_feed_end(IopoolFeed *feed, IopoolFeedStats *stats);
extern void iopool_feed_add_stats(IopoolFeedStats *stats,
								  const IopoolFeedStats *more);

#endif /* IOPOOL_FEED_H */
