/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  What lies in shared memory.
 *
 * Pointers stored here are into the main shared memory segment, which every
 * process has at the same address because all are forked by the postmaster.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SHMEM_H
#define IOPOOL_SHMEM_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "stats.h"
#include "types.h"

/*
 * States of a ring.  Every change is made under the pool's lock.
 *
 * FREE: nobody has it; on the free list.  A lease makes it LEASED.
 * LEASED: one backend reads with it.  The owner gives it back (FREE, or
 *		straight to the next in line: LEASED), or marks it DRAINING.
 * DRAINING: the owner has failed or is leaving, and waits for what is in
 *		flight.  Then FREE, LEASED by the next in line, or BROKEN.
 * BROKEN: the kernel refused it, at start or in use.  Stays so until the
 *		server restarts, because only the postmaster can make one that all
 *		backends inherit.
 */
typedef enum IopoolRingState
{
	IOPOOL_RING_FREE,
	IOPOOL_RING_LEASED,
	IOPOOL_RING_DRAINING,
	IOPOOL_RING_BROKEN,
} IopoolRingState;

typedef struct IopoolRing
{
	/* guarded by the pool's lock */
	IopoolRingState state;
	int next_free; /* while FREE: next on the free list, or -1 */
	int pid;	   /* of the owner, while LEASED or DRAINING */
	Oid roleid;	   /* of the owner */
	TimestampTz leased_since;
	uint64 generation; /* number of the lease, grows with each */

	/* written by the owner alone, read by the views */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint64 reads;

	/* touched by the owner alone; handed on with the pool's lock */
	uint64 next_tag;	/* tags of completions, never used twice */
	void *method_state; /* IopoolMethod.shared_size bytes */
} IopoolRing;

typedef struct IopoolPool
{
	/* constant after startup */
	char name[NAMEDATALEN];
	IopoolMethodId method; /* never AUTO */
	int nrings;
	int entries;
	IopoolRing *rings; /* [nrings] */
	LWLock *lock;

	/* guarded by lock */
	int free_head; /* first free ring, or -1 */
	int nbroken;
	int nwaiting;
	dlist_head waiters; /* of IopoolWaiter, first come first */

	IopoolStats stats;
} IopoolPool;

/* Values of IopoolWaiter.granted beside the number of a ring */
#define IOPOOL_GRANT_PENDING	(-1)
#define IOPOOL_GRANT_ALL_BROKEN (-2)

/* One for each PGPROC that can wait; guarded by the lock of its pool. */
typedef struct IopoolWaiter
{
	dlist_node node;
	bool is_queued; /* in pool->waiters */
	int granted;	/* ring number, or one of the above */
	int procno;
	int pid;
	Oid roleid;
} IopoolWaiter;

typedef struct IopoolShared
{
	int npools;
	IopoolPool *pools;		 /* [npools] */
	IopoolWaiter *waiters;	 /* [MaxBackends], by number of PGPROC */
	char method_reason[512]; /* why "auto" chose what it chose */
} IopoolShared;

/* NULL when the library is not in shared_preload_libraries. */
extern PGDLLIMPORT IopoolShared *iopool_shared;

/* shmem.c */
extern void iopool_shmem_install(void);
extern void iopool_shmem_require(void);
extern IopoolPool *iopool_shmem_lookup_pool(const char *name);
extern IopoolPool *iopool_shmem_find_pool(const char *name);

#endif /* IOPOOL_SHMEM_H */
