/*-------------------------------------------------------------------------
 *
 * feed_internal.h
 *	  What a feed has: private to feed.c and feed_calls.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_FEED_INTERNAL_H
#define IOPOOL_FEED_INTERNAL_H

#include "file/log.h"
#include "sql/feed.h"

/* A set of files, and the calls that read from it. */
typedef struct IopoolFeedFiles
{
	IopoolFeed *feed;
	Oid userid;		   /* whose rights have been looked at */
	MemoryContext cxt; /* a child of the feed's */
	MemoryContextCallback at_reset;
	IopoolFileSet *set;
	int nusers;
} IopoolFeedFiles;

/* The ranges of one pool. */
typedef struct IopoolFeedPart
{
	IopoolFeed *feed;
	IopoolPool *pool;
	IopoolStream *stream;
	IopoolCall *call; /* that it is at; NULL: before the first */
	int rangeno;	  /* the next one of it */
} IopoolFeedPart;

struct IopoolFeed
{
	MemoryContext cxt;
	MemoryContext buffer_cxt; /* as in the options of its streams */
	IopoolBuffers *buffers;
	MemoryContextCallback at_reset;
	IopoolFeedOptions options;
	bool is_complete; /* no more calls will come */
	uint64 distance;  /* ranges that are read ahead of the last handed out */
	uint64 nadded;	  /* ranges */
	IopoolIoMode io_mode;
	IopoolPool *pool;		/* of the session; NULL: not needed yet */
	IopoolFeedFiles *files; /* of the next call */
	dlist_head calls;		/* those that are not dropped, first first */
	dlist_head free_calls;
	int nahead; /* ranges added and not handed out */
	int failed; /* range of the only call that will be raised; -1: none */
	int nparts;
	IopoolFeedPart parts[IOPOOL_MAX_POOLS + 1];
	IopoolStream *streams[IOPOOL_MAX_POOLS + 1]; /* [nparts] */
	IopoolFeedStats stats;
	IopoolCallLog log;
};

/* Ranges that have been handed out. */
static inline uint64
iopool_feed_nhanded_out(const IopoolFeed *feed)
{
	return feed->nadded - feed->nahead;
}

/* feed_calls.c */
extern IopoolFeedPart *iopool_feed_part(IopoolFeed *feed,
										const IopoolFile *file);
extern void iopool_feed_check_rights(IopoolFeed *feed, IopoolCall *call);

#endif /* IOPOOL_FEED_INTERNAL_H */
