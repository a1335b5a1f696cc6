/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  Checking a ring out of a pool and giving it back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_POOL_H
#define IOPOOL_POOL_H

#include "base/deadline.h"
#include "ring/shmem.h"

/* How a ring comes back. */
typedef enum IopoolReturn
{
	IOPOOL_RETURN_CLEAN,	 /* its owner is done */
	IOPOOL_RETURN_RECLAIMED, /* its owner failed or left; it is empty */
	IOPOOL_RETURN_BROKEN,	 /* the kernel refuses it */
} IopoolReturn;

/* One picture of a pool: the rings add up to what is configured. */
typedef struct IopoolPoolUse
{
	int nfree;
	int nin_use; /* leased or draining */
	int nbroken;
	int nwaiting;	  /* backends in line */
	uint64 waited_us; /* for rings, those who still wait included */
} IopoolPoolUse;

/* Time this backend has waited for rings, in microseconds. */
extern uint64 iopool_pool_waited_us;

/* pool.c */
extern IopoolRing *iopool_pool_lease(IopoolPool *pool,
									 IopoolDeadline deadline);
extern void iopool_pool_check_broken(IopoolPool *pool);
extern void iopool_pool_raise_timeout(IopoolPool *pool);
extern void iopool_pool_return(IopoolPool *pool, IopoolRing *ring,
							   uint64 generation, IopoolReturn how);
extern void iopool_pool_mark_draining(IopoolPool *pool, IopoolRing *ring,
									  uint64 generation, bool is_draining);
extern void iopool_pool_stop_waiting(void);
extern void iopool_pool_use(IopoolPool *pool, IopoolPoolUse *use);

#endif /* IOPOOL_POOL_H */
