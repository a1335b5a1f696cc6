/*-------------------------------------------------------------------------
 *
 * lease.h
 *	  A backend's lease of one ring, and the reads that go through it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_LEASE_H
#define IOPOOL_LEASE_H

#include "portability/instr_time.h"

#include "lib/ilist.h"

#include "ring/method.h"
#include "ring/pool.h"

/* Pieces of memory that one read can fill: ranges and the gaps between. */
#define IOPOOL_MAX_IOV 32

typedef struct IopoolLease IopoolLease;
typedef struct IopoolRead IopoolRead;

/*
 * Called once for each read that was prepared, with bytes or -errno;
 * -ECANCELED means that it never reached the kernel and may be made again.
 * Must not raise: it is called while an aborted transaction drains.  The read
 * belongs to the callback, which prepares it again or puts it back.
 */
typedef void (*IopoolReadDone)(IopoolRead *read, int result);

struct IopoolRead
{
	/* filled by the user before iopool_lease_prepare() */
	IopoolReadDone done;
	void *owner; /* what done() makes of it */
	IopoolIo io;
	struct iovec iov[IOPOOL_MAX_IOV];
	char *slot; /* of the arena, that its blocks go to, or NULL */
	int nslots; /* in a row, from there on */

	/* of the stream: which bytes of which file these are */
	struct IopoolExtent *extent;
	struct IopoolPending *single; /* the one range it is for, or NULL */
	int64 start;				  /* file offsets, in bytes */
	int64 end;
	int nstops; /* see iopool_file_resume_direct() */

	/* private to lease.c */
	dlist_node node; /* in lease->prepared */
	IopoolLease *lease;
	instr_time prepared_at;
};

struct IopoolLease
{
	/* constant */
	IopoolPool *pool;
	const IopoolMethod *method;
	IopoolRead *reads; /* [entries] */
	int *free_reads;   /* [entries], a stack */

	/* memory that direct reads end in, see arena.c */
	char *arena;	/* [entries * slot_size], or NULL */
	Size slot_size; /* bytes */
	char *slots;	/* [entries]: is it taken? */
	int nslots_used;
	bool *huge_pages; /* [entries + 1]: have they been asked for there? */

	/* while it has a ring */
	IopoolRing *ring; /* or NULL */
	uint64 generation;
	IopoolHandle handle;

	int64 leased_at; /* us, of the monotonic clock */
	bool is_parked;	 /* the ring is; else it is ACTIVE or DRAINING */

	int nusers; /* streams with work to do */
	int nfree_reads;
	dlist_head prepared; /* of IopoolRead, oldest first; on no ring */
	int nprepared;
	int in_flight;	  /* on the ring */
	int fatal_errno;  /* the kernel refuses the ring; 0: it works */
	bool is_starved;  /* ... because it lacked memory for too long */
	int64 starved_at; /* when it began to lack memory, us; 0: it does not */
	int nfruitless;	  /* waits in a row that brought nothing of use */
	bool is_draining; /* takes no reads */
	bool has_failed;  /* a holder dropped it on ERROR or exit */
	instr_time clock; /* time of the last look */
	IopoolStatsDelta delta;

	/* what reads cost */
	IopoolReadSample sample;
	double submit_us; /* time spent since the last poll on starting reads */
	IopoolReadClass buffered_class; /* of buffered reads of late */

	/*
	 * The kernel has refused the process, not the ring; 0: it has not.  Then
	 * nothing is tried any more until somebody has raised it or another
	 * stream begins.
	 */
	int refused_errno;
};

/* How often rings of this backend have been taken over by others. */
extern uint64 iopool_lease_nlost;

/* arena.c */
extern int iopool_arena_reserve(IopoolLease *lease, Size wanted, Size needed);
extern Size iopool_arena_take(IopoolRead *read, Size size);
extern void iopool_arena_put_back(IopoolRead *read);

/* refusal.c */
extern void iopool_refusal_raise(IopoolLease *lease);

/* lease_ring.c */
extern IopoolAbsence iopool_lease_absence(const IopoolLease *lease);

/* lease_read.c */
extern IopoolRead *iopool_lease_get_read(IopoolLease *lease);
extern void iopool_lease_put_read(IopoolRead *read);
extern void iopool_lease_prepare(IopoolRead *read);
extern int iopool_lease_read_plainly(IopoolRead *read);
extern bool iopool_lease_submit(IopoolLease *lease);
extern void iopool_lease_poll(IopoolLease *lease, unsigned wait_nr,
							  IopoolDeadline deadline);
extern void iopool_lease_drain(IopoolLease *lease, const int *in_flight);
extern bool iopool_lease_drain_to_barrier(IopoolLease *lease,
										  const int *in_flight);
extern void iopool_lease_cancel_prepared(IopoolLease *lease);
extern void iopool_lease_tick(IopoolLease *lease);
extern int iopool_lease_auto_gap(const IopoolLease *lease, bool is_direct);

/* lease.c */
extern IopoolLease *iopool_lease_of(IopoolPool *pool);
extern bool iopool_lease_has_ring(const IopoolPool *pool, int *in_flight);
extern void iopool_lease_add_user(IopoolLease *lease);
extern void iopool_lease_remove_user(IopoolLease *lease, bool has_failed);
extern bool iopool_lease_ready(IopoolLease *lease, IopoolDeadline deadline);
extern void iopool_lease_go(IopoolLease *lease);
extern bool iopool_lease_gives_way(IopoolLease *lease);

/* Reads that are prepared or in flight. */
static inline int
iopool_lease_outstanding(const IopoolLease *lease)
{
	return lease->nprepared + lease->in_flight;
}

/* Is there something to read, and no ring for it? */
static inline bool
iopool_lease_lacks_ring(const IopoolLease *lease)
{
	return lease->nprepared > 0 ||
		(lease->in_flight > 0 && lease->ring == NULL);
}

/*
 * Do reads come as soon as they are started?  So it is taken to be before the
 * first.
 */
static inline bool
iopool_lease_is_quick(const IopoolLease *lease)
{
	return lease->handle.nquick >= IOPOOL_QUICK_READS;
}

/* Is there something to wait for on its ring? */
static inline bool
iopool_lease_can_poll(const IopoolLease *lease)
{
	return lease->ring != NULL && iopool_lease_outstanding(lease) > 0;
}

#endif /* IOPOOL_LEASE_H */
