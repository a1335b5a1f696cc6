/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  The engine: ranges in, completed ranges out, a bounded window between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_STREAM_H
#define IOPOOL_STREAM_H

#include "file.h"
#include "shmem.h"

/* A range that goes into the stream. */
typedef struct IopoolRange
{
	IopoolFile *file; /* acquired; the stream releases it */
	int64 offset;	  /* bytes */
	int64 length;	  /* bytes, at most IOPOOL_MAX_LENGTH */
	int64 cookie;	  /* comes back with the result */
	char *dest;		  /* where the bytes go; NULL: the stream allocates */
	int64 dest_size;  /* bytes that dest has room for; no more is read */
} IopoolRange;

typedef enum IopoolSourceStatus
{
	IOPOOL_SOURCE_RANGE, /* *range is the next one */
	IOPOOL_SOURCE_LATER, /* ask again when reads have completed */
	IOPOOL_SOURCE_END,	 /* there are no more */
} IopoolSourceStatus;

typedef IopoolSourceStatus (*IopoolSource)(void *arg, IopoolRange *range);

typedef struct IopoolStreamOptions
{
	IopoolPool *pool;
	IopoolFileSet *files; /* where the source's files come from */
	bool in_order;		  /* results in the order of the source, or as
								 * they complete */
	int64 max_in_flight_bytes;
	int merge_gap;		 /* bytes; -1: never merge */
	Size header_size;	 /* bytes to leave free in front of the data in
								 * buffers that the stream allocates */
	IopoolSource source; /* may raise; the stream can only be ended then */
	void *source_arg;
} IopoolStreamOptions;

/* A range that comes out. */
typedef struct IopoolResult
{
	int64 cookie;
	const char *path;
	int64 offset;
	int64 length; /* as asked for */
	int64 nbytes; /* as read: less at end of file */
	char *buffer; /* allocated by the stream, starts with the
								 * header; now the caller's, to pfree before
								 * the stream's memory context goes.  NULL
								 * when the caller gave dest or on failure */
	IopoolFailure failure;
} IopoolResult;

typedef struct IopoolStreamTotals
{
	uint64 nranges;
	uint64 nreads;
	uint64 nbytes;
} IopoolStreamTotals;

typedef struct IopoolStream IopoolStream;

/* stream.c */
extern IopoolStream *iopool_stream_begin(MemoryContext cxt,
										 const IopoolStreamOptions *options);
extern bool iopool_stream_next(IopoolStream *stream, IopoolResult *result);
extern void iopool_stream_end(IopoolStream *stream,
							  IopoolStreamTotals *totals);
extern void iopool_stream_register_callbacks(void);

#endif /* IOPOOL_STREAM_H */
