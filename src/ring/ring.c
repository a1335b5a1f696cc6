/*-------------------------------------------------------------------------
 *
 * ring.c
 *	  A ring in shared memory: as it is at first, and changes of its state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ring/ring.h"

/* A ring that nobody has; where its arrays are, is set. */
void
iopool_ring_init(IopoolRing *ring, int entries)
{
	pg_atomic_init_u64(&ring->word, iopool_ring_word(0, IOPOOL_RING_FREE));
	ring->next_free = -1;
	iopool_ring_forget_owner(ring);
	ring->is_new = false;
	ring->next_tag = 1;
	pg_atomic_init_u64(&ring->parked_at, 0);
	pg_atomic_init_u32(&ring->in_flight, 0);
	pg_atomic_init_u64(&ring->reads, 0);
	memset(ring->tags, 0, sizeof(uint64) * entries);
}

/*
 * Change the state of a ring, which is the caller's: nobody else leaves the
 * state that it is in.
 */
void
iopool_ring_set_state(IopoolRing *ring, IopoolRingState state)
{
	(void) pg_atomic_exchange_u64(
		&ring->word, iopool_ring_word(iopool_ring_generation(ring), state));
}

/* Caller holds the lock; the ring has no owner any more. */
void
iopool_ring_forget_owner(IopoolRing *ring)
{
	ring->pid = 0;
	ring->procno = -1;
	ring->roleid = InvalidOid;
	ring->sessionid = InvalidOid;
}

/* Bytes of a mailbox. */
Size
iopool_mailbox_size(int entries)
{
	return MAXALIGN(offsetof(IopoolMailbox, results) +
					sizeof(int32) * entries);
}

void
iopool_mailbox_init(IopoolMailbox *mailbox, int entries)
{
	mailbox->nresults = 0;
	for (int i = 0; i < entries; i++)
		mailbox->results[i] = IOPOOL_NO_RESULT;
}
