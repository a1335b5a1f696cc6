/*-------------------------------------------------------------------------
 *
 * cached.h
 *	  A read of what is in the page cache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_CACHED_H
#define IOPOOL_CACHED_H

#include "file/file.h"
#include "ring/shmem.h"

/* cached.c */
extern bool iopool_cached_read_all(IopoolPool *pool, const IopoolFile *file,
								   int64 offset, int64 length, char *dest);
extern int64 iopool_cached_read(IopoolPool *pool, IopoolFile *file,
								int64 offset, int64 length, char *dest);

#endif /* IOPOOL_CACHED_H */
