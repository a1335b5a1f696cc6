/*-------------------------------------------------------------------------
 *
 * park.h
 *	  Rings whose owners are elsewhere, and how others get them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_PARK_H
#define IOPOOL_PARK_H

#include "ring/method.h"
#include "ring/shmem.h"

/* What there is for somebody who waits for a ring of a pool. */
typedef enum IopoolParkedRings
{
	IOPOOL_PARKED_NONE,	   /* none is parked */
	IOPOOL_PARKED_WAITING, /* reads are in flight on all that may be taken */
	IOPOOL_PARKED_RESTING, /* one may be taken in a moment */
} IopoolParkedRings;

/* park.c */
extern void iopool_park(IopoolPool *pool, IopoolRing *ring, uint64 generation,
						bool is_gone);
extern bool iopool_park_enter(IopoolPool *pool, IopoolRing *ring,
							  uint64 generation);
extern IopoolRing *iopool_park_take_over(IopoolPool *pool, Oid sessionid,
										 IopoolParkedRings *left);
extern void iopool_park_open_mailbox(IopoolPool *pool);
extern int iopool_park_take_results(IopoolPool *pool,
									IopoolCompletion *results, int max);

#endif /* IOPOOL_PARK_H */
