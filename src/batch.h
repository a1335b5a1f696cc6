/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  One call: its ranges on their way through streams.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_BATCH_H
#define IOPOOL_BATCH_H

#include "portability/instr_time.h"

#include "args.h"
#include "stream.h"

typedef struct IopoolBatch
{
	/* filled by the caller before iopool_batch_begin() */
	IopoolArgs args;
	bool report; /* on_error => 'report' */

	/* filled by the caller before iopool_batch_start() */
	char **dests;			 /* [nranges], or NULL: the stream allocates */
	const int64 *dest_sizes; /* [nranges], bytes, with dests */

	MemoryContext cxt; /* holds all of it; the caller deletes it */
	IopoolFileSet *files;
	IopoolFile *file;		  /* of every range, or NULL */
	IopoolFile **range_files; /* [nranges], if file is NULL */
	IopoolPool *pool;		  /* of the session; NULL: not needed */
	int npools;				  /* that the ranges are read from */
	IopoolPool *pools[IOPOOL_MAX_POOLS + 1];
	int poolno; /* the one that is read from now */
	bool in_order;
	IopoolStream *stream;
	int next_range;				/* the source's position */
	IopoolResult first_failure; /* the one with the lowest ordinal */
	instr_time start;			/* of the stream */
} IopoolBatch;

/* batch.c */
extern void iopool_batch_begin(IopoolBatch *batch, IopoolIoMode io_mode);
extern void iopool_batch_start(IopoolBatch *batch, bool in_order);
extern bool iopool_batch_next(IopoolBatch *batch, IopoolResult *result);
extern void iopool_batch_end(IopoolBatch *batch);
extern int iopool_batch_pool_of(const IopoolBatch *batch, int rangeno);

static inline IopoolFile *
iopool_batch_file(const IopoolBatch *batch, int rangeno)
{
	return batch->file ? batch->file : batch->range_files[rangeno];
}

#endif /* IOPOOL_BATCH_H */
