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

/* Longest block of a batch's memory context that is for several chunks. */
#define IOPOOL_BATCH_BLOCK (64 * 1024)

typedef struct IopoolBatch IopoolBatch;

/* The ranges of one pool, and their stream. */
typedef struct IopoolBatchPart
{
	IopoolBatch *batch;
	IopoolPool *pool;
	IopoolStream *stream; /* NULL: not begun */
	int next_range;		  /* the source's position */
} IopoolBatchPart;

struct IopoolBatch
{
	/* filled by the caller before iopool_batch_begin() */
	IopoolArgs args;
	bool report; /* on_error => 'report' */

	/* filled by the caller before a stream begins */
	char **dests;			  /* [nranges], or NULL: the stream allocates */
	const int64 *sizes;		  /* [nranges], bytes at most to be read, and
								 * room at dests; NULL: no limit */
	MemoryContext buffer_cxt; /* of what a stream allocates for data, which
								 * has to outlive cxt; NULL: cxt */

	MemoryContext cxt; /* holds all of it; the caller deletes it */
	IopoolFileSet *files;
	IopoolFile *file;		  /* of every range, or NULL */
	IopoolFile **range_files; /* [nranges], if file is NULL */
	IopoolPool *pool;		  /* of the session; NULL: not needed */
	int nparts;				  /* one for each pool that is read from */
	IopoolBatchPart parts[IOPOOL_MAX_POOLS + 1];

	/* of a batch whose results are taken by iopool_batch_next() */
	int partno; /* the one that is read now */
	bool in_order;
	IopoolResult first_failure; /* the one with the lowest ordinal */
	instr_time start;			/* of the stream */
};

/* batch.c */
extern void iopool_batch_begin(IopoolBatch *batch, IopoolIoMode io_mode);
extern int64 *iopool_batch_measure(IopoolBatch *batch);
extern void iopool_batch_start_all(IopoolBatch *batch);
extern void iopool_batch_start(IopoolBatch *batch, bool in_order);
extern bool iopool_batch_next(IopoolBatch *batch, IopoolResult *result);
extern void iopool_batch_end(IopoolBatch *batch);
extern void iopool_batch_end_stream(IopoolStream *stream,
									const IopoolPool *pool, double elapsed_ms);
extern int iopool_batch_part_of(const IopoolBatch *batch, int rangeno);

static inline IopoolFile *
iopool_batch_file(const IopoolBatch *batch, int rangeno)
{
	return batch->file ? batch->file : batch->range_files[rangeno];
}

#endif /* IOPOOL_BATCH_H */
