/*-------------------------------------------------------------------------
 *
 * single.h
 *	  One small read at once, without a ring.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SINGLE_H
#define IOPOOL_SINGLE_H

#include "utils/palloc.h"

#include "file/file.h"
#include "ring/shmem.h"

/* Up to this length (bytes) one read gains nothing from being split. */
#define IOPOOL_SINGLE_MAX (128 * 1024)

/* A file that stays open from call to call; private to single.c. */
typedef struct IopoolKeptFile
{
	MemoryContext cxt;
	MemoryContextCallback at_reset;
	bool is_query;	 /* cxt is that of the query of the portal */
	IopoolFile file; /* its path is in cxt; fd is -1: none is open */
} IopoolKeptFile;

/* single.c */
extern IopoolKeptFile *iopool_single_keep(MemoryContext cxt);
extern int64 iopool_single_read_kept(IopoolPool *pool, IopoolKeptFile *kept,
									 IopoolFile *file, int64 offset,
									 int64 length, char *dest);
extern int64 iopool_single_read(IopoolPool *pool, IopoolFile *file,
								int64 offset, int64 length, char *dest);

#endif /* IOPOOL_SINGLE_H */
