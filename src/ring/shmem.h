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

#include "lib/ilist.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "base/stats.h"
#include "base/types.h"
#include "ring/ring.h"

typedef struct IopoolPool
{
	/* constant after startup */
	char name[NAMEDATALEN];
	IopoolMethodId method; /* never AUTO */
	int nrings;
	int entries;
	IopoolRing *rings; /* [nrings] */
	char *mailboxes;   /* [MaxBackends] of mailbox_size, by number of PGPROC */
	Size mailbox_size; /* bytes */
	LWLock *lock;

	/* guarded by lock */
	int free_head; /* first free ring, or -1 */
	int nbroken;
	dlist_head waiters; /* of IopoolWaiter, first come first */

	/* changed under lock; read without it by who parks a ring */
	pg_atomic_uint32 nwaiting;

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
	Oid roleid;	   /* see IopoolRing */
	Oid sessionid; /* the same */
	int max_rings; /* that its role may have; 0: as many as there are */
	int64 since;   /* us, of the monotonic clock: in line since then */
} IopoolWaiter;

static inline IopoolMailbox *
iopool_pool_mailbox(const IopoolPool *pool, int procno)
{
	return (IopoolMailbox *) (pool->mailboxes + pool->mailbox_size * procno);
}

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
