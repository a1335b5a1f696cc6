/*-------------------------------------------------------------------------
 *
 * park.c
 *	  Rings whose owners are elsewhere, and how others get them.
 *
 * An owner that leaves iopool parks its ring, with reads in flight or not.
 * That takes no lock, and neither does coming back.  A backend that waits for
 * a ring may take a parked one over when nothing is in flight on it any more:
 * it collects what has come in, and puts the results into the owner's mailbox,
 * which the owner looks into when it comes back.  doc/internals.md has the
 * protocol, state by state.
 *
 * Order in memory.  Every change of ring->word is a full barrier, and what the
 * states guard (ring->tags, the mailbox, the ring itself) is touched between
 * two of them: by the owner while ACTIVE, by another backend while MOVING.
 * MOVING exists only under the pool's lock, so an owner that finds it waits
 * for the lock.
 *
 * Nothing here raises or sleeps, except for a pool's lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "base/deadline.h"
#include "ring/park.h"
#include "ring/queue.h"

/*
 * A ring that rests may be taken when it has done so for this long, which is
 * longer than a busy machine keeps a process waiting for its turn.
 */
#define REST_US 10000

/*
 * The same while its owner, who may have waited long for it, has had nothing of
 * it yet: then a file that takes its time to be opened is in the way, or the
 * machine is very busy.
 */
#define REST_NEW_US 1000000

/* Completions that are collected at a time. */
#define COLLECT_BATCH 64

static bool
is_parked(IopoolRingState state)
{
	return state == IOPOOL_RING_RESTING || state == IOPOOL_RING_GONE;
}

/*
 * The owner leaves: nothing is prepared on the ring that the kernel has not
 * taken.  is_gone: for longer than a moment.
 */
void
iopool_park(IopoolPool *pool, IopoolRing *ring, uint64 generation,
			bool is_gone)
{
	Assert(pg_atomic_read_u64(&ring->word) ==
		   iopool_ring_word(generation, IOPOOL_RING_ACTIVE));

	pg_atomic_write_u64(&ring->parked_at, iopool_deadline_now());
	(void) pg_atomic_exchange_u64(&ring->word,
								  iopool_ring_word(generation,
												   is_gone
													   ? IOPOOL_RING_GONE
													   : IOPOOL_RING_RESTING));

	/*
	 * Pairs with the barrier of who has queued up and looks at the rings then:
	 * either it sees this one, or we see it.
	 */
	if (is_gone && pg_atomic_read_u32(&pool->nwaiting) > 0)
		iopool_queue_tell_parked(pool);
}

/*
 * The owner comes back.  False: the ring is another's by now, and all that was
 * in flight is in the mailbox.
 */
bool
iopool_park_enter(IopoolPool *pool, IopoolRing *ring, uint64 generation)
{
	uint64 word = pg_atomic_read_u64(&ring->word);

	for (;;)
	{
		IopoolRingState state = (IopoolRingState) (word & 0xff);

		if (word >> 8 != generation)
		{
			/* what was put into the mailbox before is seen after this */
			pg_memory_barrier();
			return false;
		}
		if (is_parked(state))
		{
			/* on failure, word is what it is now */
			if (pg_atomic_compare_exchange_u64(
					&ring->word, &word,
					iopool_ring_word(generation, IOPOOL_RING_ACTIVE)))
				return true;
			continue;
		}

		Assert(state == IOPOOL_RING_MOVING);
		LWLockAcquire(pool->lock, LW_SHARED);
		LWLockRelease(pool->lock);
		word = pg_atomic_read_u64(&ring->word);
	}
}

/* Take what has come in to the owner's mailbox.  The ring is MOVING. */
static void
collect_completions(IopoolPool *pool, IopoolRing *ring)
{
	const IopoolMethod *method = iopool_method_get(pool->method);
	IopoolMailbox *mailbox = iopool_pool_mailbox(pool, ring->procno);
	IopoolHandle handle = {.shared = ring->method_state,
						   .entries = pool->entries};
	IopoolCompletion completions[COLLECT_BATCH];
	uint32 in_flight = pg_atomic_read_u32(&ring->in_flight);
	int ncollected = 0;
	int n;

	/* what is not in a shared ring is its owner's alone */
	if (method->shared_size == 0)
		return;
	while ((n = method->reap(&handle, completions, COLLECT_BATCH)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			uint64 readno = completions[i].tag & IOPOOL_TAG_READ_MASK;

			if (completions[i].tag == 0 || readno >= (uint64) pool->entries ||
				ring->tags[readno] != completions[i].tag)
			{
				iopool_stats_add(&pool->stats, IOPOOL_COUNTER_STALE, 1);
				continue;
			}
			ring->tags[readno] = 0;
			mailbox->results[readno] = completions[i].result;
			mailbox->nresults++;
			ncollected++;
		}
	}
	if (ncollected == 0)
		return;
	pg_atomic_write_u32(&ring->in_flight, in_flight - ncollected);
	pg_atomic_write_u64(&ring->reads,
						pg_atomic_read_u64(&ring->reads) + ncollected);
}

/* May it be taken, as far as its owner is concerned? */
static bool
may_be_taken(IopoolRing *ring, IopoolRingState state, int64 now)
{
	int64 rest = ring->is_new ? REST_NEW_US : REST_US;

	return state == IOPOOL_RING_GONE ||
		(state == IOPOOL_RING_RESTING &&
		 now - (int64) pg_atomic_read_u64(&ring->parked_at) >= rest);
}

/*
 * Try to make a parked ring this backend's, which leaves it MOVING.  False: its
 * owner is back, or reads are in flight; *has_reads tells.
 */
static bool
claim_ring(IopoolPool *pool, IopoolRing *ring, int64 now, bool *has_reads)
{
	uint64 word = pg_atomic_read_u64(&ring->word);
	IopoolRingState state = (IopoolRingState) (word & 0xff);

	if (!may_be_taken(ring, state, now) ||
		!pg_atomic_compare_exchange_u64(&ring->word, &word,
										iopool_ring_word(word >> 8,
														 IOPOOL_RING_MOVING)))
		return false;

	collect_completions(pool, ring);
	if (pg_atomic_read_u32(&ring->in_flight) == 0)
		return true;
	*has_reads = true;
	(void) pg_atomic_exchange_u64(&ring->word, word);
	return false;
}

/*
 * A ring that was parked longest of those that may be taken and have nothing
 * in flight; it is MOVING, for the caller to give to somebody.  NULL: there is
 * none, and *left tells what there is.  sessionid: of this role's sessions
 * only, unless it is invalid.  The caller holds the lock exclusively.
 */
IopoolRing *
iopool_park_take_over(IopoolPool *pool, Oid sessionid, IopoolParkedRings *left)
{
	int64 now = iopool_deadline_now();
	bool has_reads = false;
	bool has_resting = false;
	IopoolRing *best = NULL;

	for (int i = 0; i < pool->nrings; i++)
	{
		IopoolRing *ring = &pool->rings[i];
		IopoolRingState state = iopool_ring_state(ring);

		if (!is_parked(state) ||
			(OidIsValid(sessionid) && ring->sessionid != sessionid))
			continue;
		if (!may_be_taken(ring, state, now))
		{
			has_resting = true;
			continue;
		}
		if (!claim_ring(pool, ring, now, &has_reads))
			continue;

		/* one is enough: let go of the younger */
		if (best != NULL)
		{
			bool is_older = pg_atomic_read_u64(&ring->parked_at) <
				pg_atomic_read_u64(&best->parked_at);
			IopoolRing *younger = is_older ? best : ring;

			(void) pg_atomic_exchange_u64(
				&younger->word,
				iopool_ring_word(iopool_ring_generation(younger),
								 IOPOOL_RING_GONE));
			best = is_older ? ring : best;
		}
		else
			best = ring;
	}

	*left = has_resting ? IOPOOL_PARKED_RESTING
		: has_reads		? IOPOOL_PARKED_WAITING
						: IOPOOL_PARKED_NONE;
	return best;
}

/* This backend begins to use the pool; nobody writes to its mailbox yet. */
void
iopool_park_open_mailbox(IopoolPool *pool)
{
	iopool_mailbox_init(iopool_pool_mailbox(pool, iopool_my_proc_number()),
						pool->entries);
}

/*
 * Take results out of this backend's mailbox, whose tags are the numbers of
 * the reads; returns how many, at most max.
 */
int
iopool_park_take_results(IopoolPool *pool, IopoolCompletion *results, int max)
{
	IopoolMailbox *mailbox =
		iopool_pool_mailbox(pool, iopool_my_proc_number());
	int n = 0;

	for (int i = 0; i < pool->entries && n < max && mailbox->nresults > 0; i++)
	{
		if (mailbox->results[i] == IOPOOL_NO_RESULT)
			continue;
		results[n].tag = (uint64) i;
		results[n].result = mailbox->results[i];
		mailbox->results[i] = IOPOOL_NO_RESULT;
		mailbox->nresults--;
		n++;
	}
	return n;
}
