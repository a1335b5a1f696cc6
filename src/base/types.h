/*-------------------------------------------------------------------------
 *
 * types.h
 *	  Words and limits that every module shares.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_TYPES_H
#define IOPOOL_TYPES_H

/* Most reads in flight on one ring. */
#define IOPOOL_MAX_ENTRIES 4096

/* Most rings in one pool, and most pools beside "default". */
#define IOPOOL_MAX_RINGS 1024
#define IOPOOL_MAX_POOLS 64

/*
 * Longest range, 1 GB - 1 MB: a bytea of it and the row around it stay below
 * MaxAllocSize.
 */
#define IOPOOL_MAX_LENGTH ((int64) 1023 * 1024 * 1024)

/* Length of a range that is all of a file, from offset 0. */
#define IOPOOL_WHOLE_FILE (-1)

/*
 * Alignment, in bytes, of the memory that direct reads go to.
 */
#define IOPOOL_BLOCK_SIZE 4096

/* Largest merge gap that can be set, in bytes. */
#define IOPOOL_MAX_MERGE_GAP (64 * 1024 * 1024)

/* A merge gap that follows what reads cost. */
#define IOPOOL_MERGE_GAP_AUTO (-2)

typedef enum IopoolMethodId
{
	IOPOOL_METHOD_AUTO,
	IOPOOL_METHOD_IO_URING,
	IOPOOL_METHOD_LIBAIO,
	IOPOOL_METHOD_SYNC,
} IopoolMethodId;

#define IOPOOL_NUM_METHODS (IOPOOL_METHOD_SYNC + 1)

typedef enum IopoolIoMode
{
	IOPOOL_IO_BUFFERED,
	IOPOOL_IO_DIRECT,
	IOPOOL_IO_UNCACHED,
} IopoolIoMode;

#endif /* IOPOOL_TYPES_H */
