/*-------------------------------------------------------------------------
 *
 * call.h
 *	  One call of a reading function: its ranges, and the files they are in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_CALL_H
#define IOPOOL_CALL_H

#include "engine/stream.h"
#include "sql/args.h"

typedef struct IopoolCall
{
	dlist_node node; /* in feed->calls, or on the free list */
	IopoolArgs args; /* its arrays are the caller's, and outlive it */
	bool report;	 /* on_error => 'report' */
	bool missing_ok; /* a file that is not there is no failure to raise */

	struct IopoolFeedFiles *files; /* what it takes its files from */
	IopoolFile *file;			   /* of every range, or NULL */
	IopoolFile **range_files;	   /* [nranges], if file is NULL; a path that
								* is NULL has none */
	int64 offset;				   /* of the only range, if so */

	/* filled by the consumer, if at all, before the call is added */
	char **dests;		/* [nranges], or NULL: the stream allocates */
	const int64 *sizes; /* [nranges], bytes at most to be read, and room
						 * at dests; NULL: no limit */

	Oid userid;	  /* who may have its results */
	uint64 first; /* place of its first range in the feed */
	int nout;	  /* ranges handed out */
	int nlooked;  /* ranges that were looked at for flaws, where results do
				   * not come in order */
} IopoolCall;

/* call.c */
extern void iopool_call_name_file(IopoolCall *call, IopoolFileSet *set,
								  const char *path, size_t len);
extern void iopool_call_name_files(IopoolCall *call, IopoolFileSet *set,
								   MemoryContext cxt);
extern int64 *iopool_call_measure(IopoolCall *call, IopoolFileSet *set,
								  MemoryContext cxt);
extern void iopool_call_flawed_result(const IopoolCall *call, int rangeno,
									  IopoolResult *result);
extern IopoolSourceStatus iopool_call_range(const IopoolCall *call,
											int rangeno, IopoolFileSet *set,
											IopoolRange *range);

static inline IopoolFile *
iopool_call_file(const IopoolCall *call, int rangeno)
{
	return call->file != NULL ? call->file : call->range_files[rangeno];
}

/* The ordinal of a range in messages; 0: it has none. */
static inline int
iopool_call_ordinal(const IopoolCall *call, int rangeno)
{
	return call->args.is_list ? rangeno + 1 : 0;
}

#endif /* IOPOOL_CALL_H */
