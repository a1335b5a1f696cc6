/*-------------------------------------------------------------------------
 *
 * single.h
 *	  One small read at once, without a ring.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SINGLE_H
#define IOPOOL_SINGLE_H

#include "file.h"
#include "shmem.h"

/* Up to this length (bytes) one read gains nothing from being split. */
#define IOPOOL_SINGLE_MAX (128 * 1024)

/* single.c */
extern int64 iopool_single_read(IopoolPool *pool, IopoolFile *file,
								int64 offset, int64 length, char *dest);

#endif /* IOPOOL_SINGLE_H */
