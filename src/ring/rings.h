/*-------------------------------------------------------------------------
 *
 * rings.h
 *	  The postmaster's side of the rings: making, sealing, closing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_RINGS_H
#define IOPOOL_RINGS_H

#include "ring/shmem.h"

/* rings.c */
extern void iopool_rings_close_old(void);
extern void iopool_rings_make(IopoolShared *shared);

#endif /* IOPOOL_RINGS_H */
