/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  A backend's hold on one ring, and the reads that go through it.
 *
 * A backend has at most one lease per pool, shared by all its streams, so it
 * never waits for a ring that it holds itself.  Streams hold the lease while
 * they have something to read; with the last of them the ring goes back.
 *
 * Completions are matched by tag: the low bits say which read of the lease,
 * the rest is a number that the ring never uses twice, in this lease or
 * another.  A completion whose tag is not expected is dropped and counted.
 *
 * A backend with leases of several pools never waits for a ring while it holds
 * another.
 *
 * Nothing here raises except iopool_lease_of() and iopool_lease_ready(), so
 * that the rest can run while a transaction aborts or the process exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "guc.h"
#include "lease.h"
#include "pgstat.h"

#define TAG_READ_BITS 16
#define TAG_READ_MASK ((UINT64CONST(1) << TAG_READ_BITS) - 1)

StaticAssertDecl(IOPOOL_MAX_ENTRIES <= TAG_READ_MASK,
				 "a tag has room for the number of every read");

/* Reads after which the counters of this backend are added to the shared. */
#define FLUSH_READS 256

#define REAP_BATCH 64

/*
 * Completions that are taken at a time, and bytes after which those that wait
 * leave the rest for the next look: their place is filled first, because the
 * bytes are copied as they are taken, and the disk would be idle meanwhile.
 */
#define TAKE_BATCH 4
#define TAKE_BYTES (256 * 1024)

/* By number of the pool; made when first used, kept until the process ends. */
static IopoolLease *leases[IOPOOL_MAX_POOLS + 1];

static uint32 wait_event_read = 0;

/* Give the ring back, which is empty. */
static void
lease_give_back(IopoolLease *lease)
{
	IopoolReturn how = IOPOOL_RETURN_CLEAN;

	Assert(lease->in_flight == 0);
	Assert(lease->nfree_reads == lease->pool->entries);

	if (lease->fatal_errno != 0 && iopool_refusal_is_of_ring(lease))
	{
		how = IOPOOL_RETURN_BROKEN;
		errno = lease->fatal_errno;
		ereport(LOG,
				(errmsg("iopool: ring %d of pool \"%s\" is broken: %m",
						(int) (lease->ring - lease->pool->rings),
						lease->pool->name),
				 errhint("Restarting the server makes a new one.")));
	}
	else if (lease->has_failed || lease->fatal_errno != 0)
	{
		how = IOPOOL_RETURN_RECLAIMED;
		lease->refused_errno = lease->fatal_errno;
	}

	lease->method->detach(&lease->handle);
	iopool_stats_flush(&lease->pool->stats, &lease->delta);
	iopool_pool_return(lease->pool, lease->ring, lease->generation, how);
	lease->ring = NULL;
	lease->fatal_errno = 0;
	lease->is_starved = false;
	lease->starved_at = 0;
	lease->nfruitless = 0;
	lease->has_failed = false;
}

/*
 * The process ends: leave the queue, drain every ring and give it back.
 * Registered as before_shmem_exit callback, so it runs before the abort of
 * the transaction, while the memory that reads go to still exists.
 */
static void
lease_at_exit(int code, Datum arg)
{
	iopool_pool_stop_waiting();

	for (size_t i = 0; i < lengthof(leases); i++)
	{
		IopoolLease *lease = leases[i];

		if (lease == NULL || lease->ring == NULL)
			continue;
		iopool_lease_drain(lease, &lease->in_flight);
		lease->has_failed = true;
		lease_give_back(lease);
	}
}

static IopoolLease *
make_lease(IopoolPool *pool)
{
	MemoryContext cxt = TopMemoryContext;
	IopoolLease *lease = MemoryContextAllocZero(cxt, sizeof(IopoolLease));
	Size local_size;

	lease->pool = pool;
	lease->method = iopool_method_get(pool->method);
	lease->reads =
		MemoryContextAllocExtended(cxt, sizeof(IopoolRead) * pool->entries,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	lease->free_reads = MemoryContextAlloc(cxt, sizeof(int) * pool->entries);

	local_size = lease->method->local_size(pool->entries);
	if (local_size > 0)
		lease->handle.local = MemoryContextAllocZero(cxt, local_size);
	lease->handle.entries = pool->entries;

	/* the lowest number on top */
	for (int i = pool->entries - 1; i >= 0; i--)
	{
		lease->reads[i].lease = lease;
		lease->free_reads[lease->nfree_reads++] = i;
	}
	return lease;
}

/* This backend's lease on the pool, which need not hold a ring. */
IopoolLease *
iopool_lease_of(IopoolPool *pool)
{
	static bool is_registered = false;
	int poolno = pool - iopool_shared->pools;

	if (!is_registered)
	{
		before_shmem_exit(lease_at_exit, (Datum) 0);
		is_registered = true;
	}
	if (leases[poolno] == NULL)
		leases[poolno] = make_lease(pool);
	if (wait_event_read == 0)
		wait_event_read = iopool_wait_event_new("IopoolRead");
	return leases[poolno];
}

/* Does this backend hold a ring of the pool?  With so many reads in flight. */
bool
iopool_lease_has_ring(const IopoolPool *pool, int *in_flight)
{
	const IopoolLease *lease = leases[pool - iopool_shared->pools];

	*in_flight = lease != NULL ? lease->in_flight : 0;
	return lease != NULL && lease->ring != NULL;
}

/* A stream begins to have work; undone by iopool_lease_drop(). */
void
iopool_lease_hold(IopoolLease *lease)
{
	lease->nholders++;
}

/*
 * A stream has nothing to read any more, and nothing in flight.  With the
 * last one the ring goes back.
 */
void
iopool_lease_drop(IopoolLease *lease, bool has_failed)
{
	Assert(lease->nholders > 0);
	lease->nholders--;
	lease->has_failed |= has_failed;
	if (lease->nholders > 0)
		return;
	if (lease->ring != NULL)
		lease_give_back(lease);
	lease->has_failed = false;
}

/*
 * This backend is about to wait for a ring of the lease's pool: give those of
 * other pools back, when their reads are in.  Otherwise two backends could
 * each wait for the ring that the other one holds.  Their streams go on when
 * they are looked at again.  False: the deadline has passed.
 */
static bool
give_others_back(IopoolLease *lease, IopoolDeadline deadline)
{
	for (size_t i = 0; i < lengthof(leases); i++)
	{
		IopoolLease *other = leases[i];

		if (other == NULL || other == lease)
			continue;
		while (other->in_flight > 0)
		{
			CHECK_FOR_INTERRUPTS();
			if (iopool_deadline_has_passed(deadline))
				return false;
			iopool_lease_poll(other, 1, deadline);
		}
		if (other->ring != NULL)
			lease_give_back(other);
	}
	return true;
}

/* A ring for the lease, or NULL when the deadline has passed. */
static IopoolRing *
check_out(IopoolLease *lease, IopoolDeadline deadline)
{
	IopoolRing *ring = iopool_pool_checkout(lease->pool, IOPOOL_NO_WAIT);
	IopoolDeadline limit = deadline;

	if (ring != NULL || deadline == IOPOOL_NO_WAIT)
		return ring;

	if (iopool_checkout_timeout_ms >= 0)
		limit = Min(limit, iopool_deadline_in(iopool_checkout_timeout_ms));
	/* the pool itself knows what to raise when there is no time at all */
	if (give_others_back(lease, limit))
		ring =
			iopool_pool_checkout(lease->pool,
								 limit == IOPOOL_NO_WAIT ? deadline : limit);
	if (ring == NULL && limit < deadline)
		iopool_pool_raise_timeout(lease->pool);
	return ring;
}

/*
 * Make sure that a ring is held; may wait for one until the deadline, and
 * raises as iopool_pool_checkout() does.  False: there is none in time, or the
 * ring is refused by the kernel and still has reads in flight; poll until they
 * are in, then ask again.  Or the process is refused, which is for
 * iopool_refusal_raise() to say.
 */
bool
iopool_lease_ready(IopoolLease *lease, IopoolDeadline deadline)
{
	/* what cannot be used is replaced once it is empty */
	if (lease->ring != NULL && lease->fatal_errno != 0)
	{
		if (lease->in_flight > 0)
			return false;
		lease_give_back(lease);
	}

	/* each turn takes a broken ring out of service, so they end */
	while (lease->ring == NULL)
	{
		IopoolRing *ring;
		int rc;

		if (lease->refused_errno != 0)
			return false;
		ring = check_out(lease, deadline);
		if (ring == NULL)
			return false;
		lease->ring = ring;
		lease->generation = ring->generation;
		lease->handle.shared = ring->method_state;
		lease->handle.is_background = false;

		rc = lease->method->attach(&lease->handle);
		if (rc != 0)
		{
			lease->fatal_errno = -rc;
			lease_give_back(lease);
		}
	}
	return true;
}

/* Look at the clock; the time of latencies until the next look. */
void
iopool_lease_tick(IopoolLease *lease)
{
	INSTR_TIME_SET_CURRENT(lease->clock);
}

/* A read that nobody uses, or NULL when all entries are taken. */
IopoolRead *
iopool_lease_get_read(IopoolLease *lease)
{
	IopoolRead *read;

	if (lease->nfree_reads == 0)
		return NULL;
	read = &lease->reads[lease->free_reads[--lease->nfree_reads]];
	read->slot = NULL;
	return read;
}

void
iopool_lease_put_read(IopoolRead *read)
{
	IopoolLease *lease = read->lease;

	if (read->slot != NULL)
		lease->nslots_used--;
	read->slot = NULL;
	read->io.tag = 0;
	lease->free_reads[lease->nfree_reads++] = read - lease->reads;
}

/*
 * Queue a read.  The memory that it reads into, and the file, belong to the
 * kernel from now until done() is called.
 */
void
iopool_lease_prepare(IopoolRead *read)
{
	IopoolLease *lease = read->lease;
	int rc;

	/* a short read that would go on, while only the end is waited for */
	if (lease->is_draining)
	{
		read->io.tag = 0;
		read->done(read, -ECANCELED);
		return;
	}

	read->io.iov = read->iov;
	read->io.tag = (lease->ring->next_tag++ << TAG_READ_BITS) |
		(uint64) (read - lease->reads);
	read->prepared_at = lease->clock;

	lease->in_flight++;
	pg_atomic_write_u32(&lease->ring->in_flight, lease->in_flight);
	if ((uint32) lease->in_flight > lease->delta.max_in_flight)
		lease->delta.max_in_flight = lease->in_flight;

	rc = lease->method->prepare(&lease->handle, &read->io);

	/* there are as many reads as entries, so there is room */
	if (rc != 0)
	{
		lease->in_flight--;
		lease->fatal_errno = -rc;
		read->io.tag = 0;
		read->done(read, -ECANCELED);
	}
}

/*
 * A read that brought nothing, once more and without the ring: bytes or
 * -errno.  io_uring and libaio take the end of the file to be where the kernel
 * believes it to be, which a FUSE file system, say, need not have told it.
 */
int
iopool_lease_read_plainly(IopoolRead *read)
{
	IopoolLease *lease = read->lease;
	IopoolIo io = read->io;
	int result;

	/* nothing new is begun */
	if (lease->is_draining)
		return -ECANCELED;

	io.rw_flags = 0;
	pgstat_report_wait_start(wait_event_read);
	result = iopool_sync_read(&io);
	pgstat_report_wait_end();

	lease->delta.counters[IOPOOL_COUNTER_READS]++;
	if (result > 0)
		lease->delta.counters[IOPOOL_COUNTER_BYTES] += result;
	return result;
}

/* Find whose completion it is, and call its done(). */
static void
route_completion(IopoolLease *lease, const IopoolCompletion *completion)
{
	uint64 readno = completion->tag & TAG_READ_MASK;
	IopoolRead *read = &lease->reads[readno];

	if (readno >= (uint64) lease->pool->entries || completion->tag == 0 ||
		read->io.tag != completion->tag)
	{
		lease->delta.counters[IOPOOL_COUNTER_STALE]++;
		return;
	}

	lease->in_flight--;
	read->io.tag = 0;
	if (completion->result != -ECANCELED && completion->result != -EAGAIN &&
		completion->result != -EINTR)
	{
		lease->nfruitless = 0;
		lease->starved_at = 0;
	}
	if (completion->result != -ECANCELED)
	{
		instr_time latency = lease->clock;

		INSTR_TIME_SUBTRACT(latency, read->prepared_at);
		iopool_stats_latency(&lease->delta, INSTR_TIME_GET_MICROSEC(latency));
		lease->delta.counters[IOPOOL_COUNTER_READS]++;
		if (completion->result > 0)
			lease->delta.counters[IOPOOL_COUNTER_BYTES] += completion->result;
	}
	read->done(read, completion->result);
}

/*
 * Take the completions that are there, up to so many bytes; returns how many.
 * With nothing in flight any more all are taken, for then the ring may go back,
 * and what somebody else has left in it must not go along.
 */
static int
reap(IopoolLease *lease, int64 max_bytes)
{
	IopoolCompletion completions[TAKE_BATCH];
	int64 nbytes = 0;
	int total = 0;
	int n;

	while ((nbytes < max_bytes || lease->in_flight == 0) &&
		   (n = lease->method->reap(&lease->handle, completions, TAKE_BATCH)) >
			   0)
	{
		if (total == 0)
			iopool_lease_tick(lease);
		for (int i = 0; i < n; i++)
		{
			nbytes += Max(completions[i].result, 0);
			route_completion(lease, &completions[i]);
		}
		total += n;
	}

	if (total > 0)
	{
		pg_atomic_write_u32(&lease->ring->in_flight, lease->in_flight);
		pg_atomic_write_u64(&lease->ring->reads,
							pg_atomic_read_u64(&lease->ring->reads) + total);
		if (lease->delta.nlatencies >= FLUSH_READS)
			iopool_stats_flush(&lease->pool->stats, &lease->delta);
	}
	return total;
}

/*
 * Take back what the kernel has not seen; its owners get -ECANCELED.
 */
void
iopool_lease_cancel_prepared(IopoolLease *lease)
{
	IopoolCompletion completions[REAP_BATCH];
	int n;

	while ((n = lease->method->cancel_prepared(&lease->handle, completions,
											   REAP_BATCH)) > 0)
	{
		for (int i = 0; i < n; i++)
			route_completion(lease, &completions[i]);
	}
	pg_atomic_write_u32(&lease->ring->in_flight, lease->in_flight);
}

/* Start what is prepared, and take nothing. */
void
iopool_lease_submit(IopoolLease *lease)
{
	if (lease->fatal_errno == 0)
		iopool_refusal_take_result(lease,
								   lease->method->submit(&lease->handle, 0, 0),
								   false);
	if (lease->fatal_errno != 0)
		iopool_lease_cancel_prepared(lease);
}

/*
 * Start what is prepared, wait until wait_nr reads are complete, a signal
 * arrives or the deadline passes, and call done() for all that are.  A caller
 * that needs completions looks at interrupts and calls again.
 */
void
iopool_lease_poll(IopoolLease *lease, unsigned wait_nr,
				  IopoolDeadline deadline)
{
	int rc = -lease->fatal_errno;
	bool waits;
	int nreaped;

	/* never wait for more than can come */
	wait_nr = Min(wait_nr, (unsigned) lease->in_flight);

	waits = wait_nr > 0 && deadline != IOPOOL_NO_WAIT;

	if (rc == 0)
	{
		if (waits)
			pgstat_report_wait_start(wait_event_read);
		rc = lease->method->submit(&lease->handle, wait_nr,
								   iopool_deadline_left(deadline));
		if (waits)
			pgstat_report_wait_end();
	}
	else if (lease->method->ping != NULL)
		(void) lease->method->ping(lease->handle.shared);

	/* unless something of use comes now */
	if (waits)
		lease->nfruitless++;
	nreaped = reap(lease, waits ? TAKE_BYTES : PG_INT64_MAX);

	/*
	 * A ring that cannot be used any more: what the kernel has taken still
	 * completes, and shows in the mapped queue without a system call.
	 */
	if (lease->fatal_errno == 0)
		iopool_refusal_take_result(lease, rc, waits);
	if (lease->fatal_errno != 0)
		iopool_lease_cancel_prepared(lease);

	if (waits && lease->nfruitless > 0 && (rc != 0 || nreaped > 0))
	{
		pgstat_report_wait_start(wait_event_read);
		iopool_refusal_pause(lease);
		pgstat_report_wait_end();
	}
}

/*
 * Take back what is prepared, and wait for the rest until *in_flight is zero:
 * the lease's own count, or that of one of its streams.  Uninterruptible,
 * because the memory under a read in flight cannot be let go.
 */
void
iopool_lease_drain(IopoolLease *lease, const int *in_flight)
{
	if (*in_flight == 0)
		return;

	iopool_lease_cancel_prepared(lease);
	if (*in_flight == 0)
		return;

	iopool_pool_mark_draining(lease->pool, lease->ring, lease->generation,
							  true);
	lease->is_draining = true;
	while (*in_flight > 0)
		iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	lease->is_draining = false;
	/* the ring is given back now, or used on by another stream */
	iopool_pool_mark_draining(lease->pool, lease->ring, lease->generation,
							  false);
}
