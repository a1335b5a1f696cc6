/*-------------------------------------------------------------------------
 *
 * ring.h
 *	  A ring in shared memory, and what becomes of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_RING_H
#define IOPOOL_RING_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

/*
 * States of a ring, and who moves it where; doc/internals.md draws the picture.
 *
 * FREE: nobody has it; on the free list.  A checkout makes it ACTIVE.
 * ACTIVE: its owner is inside lease.c, or it has just been handed to its owner.
 *		The owner parks it, marks it DRAINING, or gives it back (FREE, or
 *		straight to the next in line: ACTIVE).
 * RESTING, GONE: parked; its owner is elsewhere, for a moment or for longer.
 *		The owner makes it ACTIVE.  A backend that waits for a ring makes it
 *		MOVING: one that is GONE at once, one that is RESTING after a while.
 * MOVING: another backend collects what has come in, under the pool's lock.
 *		Then it is that backend's (ACTIVE, with the next generation), or parked
 *		as it was.
 * DRAINING: the owner has failed or is leaving, and waits for what is in
 *		flight; or the kernel refuses the ring, which nobody else needs.  Then
 *		FREE, ACTIVE with the next in line, or BROKEN.
 * BROKEN: the kernel refused it, at start or in use.  Stays so until the
 *		server restarts, because only the postmaster can make one that all
 *		backends inherit.
 */
typedef enum IopoolRingState
{
	IOPOOL_RING_FREE,
	IOPOOL_RING_ACTIVE,
	IOPOOL_RING_RESTING,
	IOPOOL_RING_GONE,
	IOPOOL_RING_MOVING,
	IOPOOL_RING_DRAINING,
	IOPOOL_RING_BROKEN,
} IopoolRingState;

typedef struct IopoolRing
{
	/*
	 * State, and number of the lease, which grows with each.  Parking and
	 * coming back are the owner's, without a lock; everything else is done
	 * under the pool's.  Use the functions below.
	 */
	pg_atomic_uint64 word;

	/* guarded by the pool's lock */
	int next_free; /* while FREE: next on the free list, or -1 */
	int pid;	   /* of the owner, while it has one */
	int procno;	   /* the same: number of its PGPROC */
	Oid roleid;	   /* the user that it was leased for */
	Oid sessionid; /* the user of the owner's session, whose limit counts */
	TimestampTz leased_since;

	/* written by the owner as it parks, read by everybody */
	pg_atomic_uint64 parked_at; /* us, of the monotonic clock */

	/*
	 * Its owner has had no read of it yet.  Written by who has made it ACTIVE;
	 * who looks whether it has rested enough may be late to see that.
	 */
	bool is_new;

	/* written by who has made it ACTIVE or MOVING, read by the views */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint64 reads;

	/*
	 * Touched by who has made it ACTIVE or MOVING alone; the change of state
	 * is the barrier.
	 */
	uint64 next_tag;	/* tags of completions, never used twice */
	uint64 *tags;		/* [entries], of the reads in flight, by number; 0 */
	void *method_state; /* IopoolMethod.shared_size bytes */
} IopoolRing;

static inline uint64
iopool_ring_word(uint64 generation, IopoolRingState state)
{
	return generation << 8 | (uint64) state;
}

static inline IopoolRingState
iopool_ring_state(IopoolRing *ring)
{
	return (IopoolRingState) (pg_atomic_read_u64(&ring->word) & 0xff);
}

static inline uint64
iopool_ring_generation(IopoolRing *ring)
{
	return pg_atomic_read_u64(&ring->word) >> 8;
}

/* Has it an owner? */
static inline bool
iopool_ring_is_leased(IopoolRing *ring)
{
	IopoolRingState state = iopool_ring_state(ring);

	return state != IOPOOL_RING_FREE && state != IOPOOL_RING_BROKEN;
}

/* What a slot of a mailbox holds where there is no result. */
#define IOPOOL_NO_RESULT PG_INT32_MIN

/*
 * Results of reads that others have collected for a backend, on one pool.
 * Written by who has made a ring of that backend's MOVING; read by the backend
 * when it has its ring ACTIVE again, or has found that it is lost.
 */
typedef struct IopoolMailbox
{
	int nresults;
	int32 results[FLEXIBLE_ARRAY_MEMBER]; /* [entries], by number of the read
										   * in its lease */
} IopoolMailbox;

/* ring.c */
extern void iopool_ring_init(IopoolRing *ring, int entries);
extern void iopool_ring_set_state(IopoolRing *ring, IopoolRingState state);
extern void iopool_ring_forget_owner(IopoolRing *ring);
extern Size iopool_mailbox_size(int entries);
extern void iopool_mailbox_init(IopoolMailbox *mailbox, int entries);

#endif /* IOPOOL_RING_H */
