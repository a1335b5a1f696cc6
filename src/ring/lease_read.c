/*-------------------------------------------------------------------------
 *
 * lease_read.c
 *	  The reads that go through a lease.
 *
 * A read is prepared first, which needs no ring and touches none.  It goes to
 * the ring when iopool_lease_submit() or iopool_lease_poll() starts what is
 * prepared.
 *
 * Completions are matched by tag: the low bits say which read of the lease,
 * the rest is a number that the ring never uses twice, in this lease or
 * another.  A completion whose tag is not expected is dropped and counted.
 *
 * Nothing here raises, so that all of it can run while a transaction aborts or
 * the process exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "miscadmin.h"
#include "pgstat.h"

#include "base/compat.h"
#include "ring/lease_internal.h"

StaticAssertDecl(IOPOOL_MAX_ENTRIES <= IOPOOL_TAG_READ_MASK,
				 "a tag has room for the number of every read");

/* Reads after which the counters of this backend are added to the shared. */
#define FLUSH_READS 256

/*
 * Completions that are taken at a time, and bytes after which those that wait
 * leave the rest for the next look: their place is filled first, because the
 * bytes are copied as they are taken, and the disk would be idle meanwhile.
 */
#define TAKE_BATCH 4
#define TAKE_BYTES (256 * 1024)

/* Reads in flight from which on the queue is taken to be full. */
#define MIN_SAMPLE_DEPTH 16

static uint32 wait_event_read = 0;

/* Before the first read; may raise. */
void
iopool_lease_register_wait_event(void)
{
	if (wait_event_read == 0)
		wait_event_read = iopool_wait_event_new("IopoolRead");
}

/* What is prepared will not be read, or not now; its owners are told so. */
static void
cancel_prepared(IopoolLease *lease)
{
	while (lease->nprepared > 0)
	{
		IopoolRead *read =
			dlist_tail_element(IopoolRead, node, &lease->prepared);

		dlist_delete(&read->node);
		lease->nprepared--;
		read->done(read, -ECANCELED);
	}
}

/* Look at the clock; the time of latencies until the next look. */
void
iopool_lease_tick(IopoolLease *lease)
{
	INSTR_TIME_SET_CURRENT(lease->clock);
}

/* The largest gap that is worth reading, in bytes. */
int
iopool_lease_auto_gap(const IopoolLease *lease, bool is_direct)
{
	IopoolReadClass class =
		is_direct ? IOPOOL_READS_DIRECT : lease->buffered_class;

	return (int) pg_atomic_read_u32(&lease->pool->stats.gaps[class]);
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

	iopool_arena_put_back(read);
	read->io.tag = 0;
	lease->free_reads[lease->nfree_reads++] = read - lease->reads;
}

/*
 * Prepare a read, which starts with the next submit or poll.  The memory that
 * it reads into, and the file, are not to be touched until done() is called.
 */
void
iopool_lease_prepare(IopoolRead *read)
{
	IopoolLease *lease = read->lease;

	read->io.tag = 0;
	/* a short read that would go on, while only the end is waited for */
	if (lease->is_draining)
	{
		read->done(read, -ECANCELED);
		return;
	}

	read->io.iov = read->iov;
	read->prepared_at = lease->clock;
	dlist_push_tail(&lease->prepared, &read->node);
	lease->nprepared++;
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

/* Put what is prepared on the ring, as far as the ring takes it. */
static void
fill_ring(IopoolLease *lease)
{
	IopoolRing *ring = lease->ring;

	while (lease->nprepared > 0 && lease->fatal_errno == 0)
	{
		IopoolRead *read =
			dlist_head_element(IopoolRead, node, &lease->prepared);
		int readno = read - lease->reads;
		int rc;

		read->io.tag =
			(ring->next_tag++ << IOPOOL_TAG_READ_BITS) | (uint64) readno;
		rc = lease->method->prepare(&lease->handle, &read->io);

		/* there are as many reads as entries, so there is room */
		if (rc != 0)
		{
			lease->fatal_errno = -rc;
			read->io.tag = 0;
			break;
		}
		dlist_delete(&read->node);
		lease->nprepared--;
		lease->in_flight++;
		if (iopool_lease_absence(lease) == IOPOOL_ABSENCE_COLLECTED)
			ring->tags[readno] = read->io.tag;
	}
	lease->handle.in_flight = lease->in_flight;
	pg_atomic_write_u32(&ring->in_flight, lease->in_flight);
	lease->delta.max_in_flight =
		Max(lease->delta.max_in_flight, (uint32) lease->in_flight);
}

/* What a poll has brought. */
typedef struct Harvest
{
	instr_time began;
	int nearlier; /* in flight when it began */
	int depth;	  /* in flight when what was prepared had been started */
	int nreads;	  /* that brought bytes */
	int ndirect;  /* of these */
	int64 nbytes;
} Harvest;

static double
us_since(instr_time began)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, began);
	return INSTR_TIME_GET_DOUBLE(now) * 1e6;
}

/*
 * Note what reads cost.  Without a full queue, what they take is the time
 * that a disk needs to answer at all, however many there are.  And where the
 * poll did not wait, what it found has come in a time that nobody knows,
 * unless the poll itself had started it.
 */
static void
note_cost(IopoolLease *lease, const Harvest *harvest, bool has_waited)
{
	IopoolReadSample *sample = &lease->sample;
	bool is_direct = harvest->ndirect > 0;
	double us = lease->submit_us + us_since(harvest->began);

	lease->submit_us = 0;
	if (harvest->nreads == 0 ||
		(is_direct && harvest->ndirect != harvest->nreads) ||
		(has_waited ? harvest->depth < MIN_SAMPLE_DEPTH
					: harvest->nearlier > 0 || lease->in_flight > 0))
		return;
	if (sample->nreads > 0 && is_direct != (sample->ndirect > 0))
		memset(sample, 0, sizeof(IopoolReadSample));

	sample->npolls++;
	sample->nreads += harvest->nreads;
	sample->ndirect += harvest->ndirect;
	sample->nbytes += harvest->nbytes;
	sample->us += us;
	if (iopool_read_cost_is_complete(sample))
	{
		IopoolReadClass class =
			iopool_stats_add_sample(&lease->pool->stats, sample);

		if (class != IOPOOL_READS_DIRECT)
			lease->buffered_class = class;
	}
}

/*
 * Take the completions that are there, up to so many bytes; returns how many.
 * With nothing in flight any more all are taken, for then the ring may go back,
 * and what somebody else has left in it must not go along.
 */
static int
reap_completions(IopoolLease *lease, int64 max_bytes, Harvest *harvest)
{
	IopoolCompletion completions[TAKE_BATCH];
	int total = 0;
	int n;

	while ((harvest->nbytes < max_bytes || lease->in_flight == 0) &&
		   (n = lease->method->reap(&lease->handle, completions, TAKE_BATCH)) >
			   0)
	{
		if (total == 0)
			iopool_lease_tick(lease);
		for (int i = 0; i < n; i++)
		{
			IopoolRead *read = iopool_lease_read_of(lease, &completions[i]);
			instr_time latency = lease->clock;

			if (read == NULL)
				continue;
			INSTR_TIME_SUBTRACT(latency, read->prepared_at);
			iopool_stats_latency(&lease->delta,
								 INSTR_TIME_GET_MICROSEC(latency));
			lease->ring->tags[read - lease->reads] = 0;
			if (completions[i].result > 0)
			{
				harvest->nreads++;
				harvest->ndirect += read->io.is_direct;
				harvest->nbytes += completions[i].result;
			}
			iopool_lease_deliver(lease, read, completions[i].result);
		}
		total += n;
	}

	if (total > 0)
	{
		lease->ring->is_new = false;
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
	/* else iopool_lease_leave() has done so */
	if (lease->in_flight > 0 &&
		iopool_lease_absence(lease) != IOPOOL_ABSENCE_COLLECTED)
		iopool_lease_take_back(lease);
	cancel_prepared(lease);
}

/* The kernel refuses the ring, or the process: nothing more is started. */
static void
stop_starting(IopoolLease *lease)
{
	iopool_lease_take_back(lease);
	cancel_prepared(lease);
}

/*
 * Start what is prepared, and take nothing; there has to be a ring.  False: left
 * early, for an interrupt; call again when it has been served.
 */
bool
iopool_lease_submit(IopoolLease *lease)
{
	instr_time began;
	int rc = 0;

	if (!iopool_lease_enter(lease))
		return true;
	INSTR_TIME_SET_CURRENT(began);
	lease->handle.interrupt = &InterruptPending;
	fill_ring(lease);
	if (lease->fatal_errno == 0)
	{
		rc = lease->method->submit(&lease->handle, 0, 0);
		iopool_refusal_take_result(lease, rc, false);
	}
	if (lease->fatal_errno != 0)
		stop_starting(lease);
	lease->handle.interrupt = NULL;
	iopool_lease_leave(lease, false);
	lease->submit_us += us_since(began);
	return rc != -EINTR;
}

/* What iopool_lease_poll() does, with the ring entered. */
static void
poll_ring(IopoolLease *lease, unsigned wait_nr, IopoolDeadline deadline)
{
	Harvest harvest = {.nearlier = lease->in_flight};
	int rc;
	bool waits;
	int nreaped;

	INSTR_TIME_SET_CURRENT(harvest.began);
	fill_ring(lease);
	harvest.depth = lease->in_flight;
	rc = -lease->fatal_errno;

	/* never wait for more than can come */
	wait_nr = Min(wait_nr, (unsigned) lease->in_flight);

	waits = wait_nr > 0 && deadline != IOPOOL_NO_WAIT;

	if (rc == 0)
	{
		/* without a deadline too: a method may read by itself */
		pgstat_report_wait_start(wait_event_read);
		rc = lease->method->submit(&lease->handle, wait_nr,
								   iopool_deadline_left(deadline));
		pgstat_report_wait_end();
	}
	else if (lease->method->ping != NULL)
		(void) lease->method->ping(lease->handle.shared);

	/* unless something of use comes now */
	if (waits)
		lease->nfruitless++;
	nreaped =
		reap_completions(lease, waits ? TAKE_BYTES : PG_INT64_MAX, &harvest);
	note_cost(lease, &harvest, waits);

	/*
	 * A ring that cannot be used any more: what the kernel has taken still
	 * completes, and shows in the mapped queue without a system call.
	 */
	if (lease->fatal_errno == 0)
		iopool_refusal_take_result(lease, rc, waits);
	if (lease->fatal_errno != 0)
		stop_starting(lease);

	if (waits && lease->nfruitless > 0 && (rc != 0 || nreaped > 0))
	{
		pgstat_report_wait_start(wait_event_read);
		iopool_refusal_pause(lease);
		pgstat_report_wait_end();
	}
}

/*
 * Start what is prepared, wait until wait_nr reads are complete, a signal
 * arrives or the deadline passes, and call done() for all that are.  A caller
 * that needs completions looks at interrupts and calls again.  Where the ring
 * has been lost, all that was in flight completes, and nothing is started
 * before iopool_lease_ready() has another.
 */
void
iopool_lease_poll(IopoolLease *lease, unsigned wait_nr,
				  IopoolDeadline deadline)
{
	if (!iopool_lease_enter(lease))
		return;
	lease->handle.interrupt = wait_nr > 0 ? &InterruptPending : NULL;
	poll_ring(lease, wait_nr, deadline);
	lease->handle.interrupt = NULL;
	iopool_lease_leave(lease, false);
}

/* False: left early, for an interrupt that the handle heeds. */
static bool
drain(IopoolLease *lease, const int *in_flight)
{
	bool is_left = false;

	if (*in_flight == 0)
		return true;

	lease->is_draining = true;
	iopool_lease_cancel_prepared(lease);
	if (*in_flight > 0 && iopool_lease_enter(lease))
	{
		iopool_pool_mark_draining(lease->pool, lease->ring, lease->generation,
								  true);
		while (*in_flight > 0 && !is_left)
		{
			poll_ring(lease, 1, IOPOOL_FOREVER);
			is_left = iopool_handle_is_interrupted(&lease->handle);
		}
		/* the ring is given back now, or used on by another stream */
		iopool_pool_mark_draining(lease->pool, lease->ring, lease->generation,
								  false);
		iopool_lease_leave(lease, false);
	}
	lease->is_draining = false;
	return !is_left;
}

/*
 * Take back what is prepared, and wait for the rest until *in_flight is zero:
 * the lease's own count, or that of one of its streams.  Uninterruptible,
 * because the memory under a read in flight cannot be let go.
 */
void
iopool_lease_drain(IopoolLease *lease, const int *in_flight)
{
	(void) drain(lease, in_flight);
}

/*
 * The same.  False: there is a barrier for the caller to absorb, who calls
 * again then.
 */
bool
iopool_lease_drain_to_barrier(IopoolLease *lease, const int *in_flight)
{
	bool is_drained;

	lease->handle.interrupt = &ProcSignalBarrierPending;
	is_drained = drain(lease, in_flight);
	lease->handle.interrupt = NULL;
	return is_drained;
}
