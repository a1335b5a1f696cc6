/*-------------------------------------------------------------------------
 *
 * lease_internal.h
 *	  What the files of a lease share: private to lease*.c and refusal.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_LEASE_INTERNAL_H
#define IOPOOL_LEASE_INTERNAL_H

#include "ring/lease.h"

/* refusal.c */
extern bool iopool_refusal_is_of_ring(const IopoolLease *lease);
extern void iopool_refusal_take_result(IopoolLease *lease, int rc, bool waits);
extern void iopool_refusal_pause(const IopoolLease *lease);

/* lease_ring.c */
extern bool iopool_lease_enter(IopoolLease *lease);
extern void iopool_lease_leave(IopoolLease *lease, bool is_gone);
extern void iopool_lease_give_back(IopoolLease *lease);
extern void iopool_lease_take_back(IopoolLease *lease);
extern IopoolRead *iopool_lease_read_of(IopoolLease *lease,
										const IopoolCompletion *completion);
extern void iopool_lease_deliver(IopoolLease *lease, IopoolRead *read,
								 int result);

/* lease_read.c */
extern void iopool_lease_register_wait_event(void);

#endif /* IOPOOL_LEASE_INTERNAL_H */
