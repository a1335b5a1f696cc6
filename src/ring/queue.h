/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The line of backends that wait for a ring of a pool.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_QUEUE_H
#define IOPOOL_QUEUE_H

#include "ring/shmem.h"

/* queue.c: the caller holds the pool's lock, except for the last two */
extern void iopool_queue_give_ring(IopoolRing *ring, const IopoolWaiter *to);
extern bool iopool_queue_is_at_limit(IopoolPool *pool,
									 const IopoolWaiter *waiter);
extern bool iopool_queue_has_turn(IopoolPool *pool, const IopoolWaiter *who,
								  bool who_is_at_limit);
extern void iopool_queue_wake_first(IopoolPool *pool);
extern void iopool_queue_leave(IopoolPool *pool, IopoolWaiter *waiter);
extern void iopool_queue_serve(IopoolPool *pool);
extern void iopool_queue_pass_ring_on(IopoolPool *pool, IopoolRing *ring);
extern void iopool_queue_fail_all(IopoolPool *pool);
extern void iopool_queue_tell_parked(IopoolPool *pool);
extern int iopool_queue_waiters(IopoolPool *pool, IopoolWaiter *waiters);

#endif /* IOPOOL_QUEUE_H */
