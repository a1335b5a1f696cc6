/*-------------------------------------------------------------------------
 *
 * test_lease.c
 *	  White-box tests of lease.c.
 *
 *-------------------------------------------------------------------------
 */
#include "../../../src/ring/lease.c"
#include "../../../src/ring/lease_read.c"
#include "../../../src/ring/lease_ring.c"
#include "../../../src/ring/arena.c"

#include <fcntl.h>
#include <unistd.h>

#include "mock.h"
#include "unit.h"

#define ENTRIES 8
#define LEN		512

/* What became of one read. */
typedef struct Outcome
{
	IopoolRead *read;
	char data[LEN];
	int ndone;
	int result;
} Outcome;

static MockFile *file;
static int fd;

void
unit_lease_forget(IopoolPool *pool)
{
	int poolno = pool - iopool_shared->pools;
	IopoolLease *lease = leases[poolno];

	if (lease == NULL)
		return;
	if (lease->ring != NULL)
		unit_fail(__FILE__, __LINE__, "a ring is held still");
	leases[poolno] = NULL;
	pfree(lease->reads);
	pfree(lease->free_reads);
	unmap_arena(lease);
	pfree(lease);
}

/* What iopool_refusal_raise() raises; 0: nothing. */
pg_noinline int
unit_sqlstate_of_refusal(IopoolLease *lease)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile int sqlstate = 0;

	PG_TRY();
	{
		iopool_refusal_raise(lease);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		sqlstate = geterrcode();
		FlushErrorState();
	}
	PG_END_TRY();
	return sqlstate;
}

void
unit_lease_exit(void)
{
	lease_at_exit(1, (Datum) 0);
}

static void
outcome_done(IopoolRead *read, int result)
{
	Outcome *outcome = read->owner;

	outcome->ndone++;
	outcome->result = result;
	iopool_lease_put_read(read);
}

/* A lease with a ring of its own, and a file to read. */
static IopoolLease *
begin_deep(int nrings, int entries)
{
	IopoolLease *lease = iopool_lease_of(mock_pool_create(nrings, entries));

	file = mock_file_create(1024 * 1024, 1024 * 1024, 0);
	fd = open(file->path, O_RDONLY | O_CLOEXEC);
	iopool_lease_add_user(lease);
	CHECK(iopool_lease_ready(lease, IOPOOL_FOREVER));
	mock_script.is_held = true;
	return lease;
}

static IopoolLease *
begin(int nrings)
{
	return begin_deep(nrings, ENTRIES);
}

static void
begin_read_of(IopoolLease *lease, Outcome *outcome, char *dest, int len)
{
	IopoolRead *read = iopool_lease_get_read(lease);

	CHECK(read != NULL);
	memset(outcome, 0, sizeof(Outcome));
	outcome->read = read;
	read->owner = outcome;
	read->done = outcome_done;
	read->io.fd = fd;
	read->io.is_direct = false;
	read->io.rw_flags = 0;
	read->io.offset = mock_between(0, 1024 * 1024 - len);
	read->io.niov = 1;
	read->iov[0].iov_base = dest;
	read->iov[0].iov_len = len;
	read->start = read->io.offset;
	iopool_lease_prepare(read);
}

static void
begin_read(IopoolLease *lease, Outcome *outcome)
{
	begin_read_of(lease, outcome, outcome->data, LEN);
}

static void
begin_reads(IopoolLease *lease, Outcome *outcomes, int n)
{
	for (int i = 0; i < n; i++)
		begin_read(lease, &outcomes[i]);
}

static int
count_done(const Outcome *outcomes, int n, int result)
{
	int count = 0;

	for (int i = 0; i < n; i++)
	{
		CHECK(outcomes[i].ndone <= 1);
		count += outcomes[i].ndone == 1 && outcomes[i].result == result;
	}
	return count;
}

static void
check_data(const Outcome *outcome)
{
	char expected[LEN];

	mock_fill(file, outcome->read->start, expected, LEN);
	CHECK_EQUAL(outcome->result, LEN);
	CHECK(memcmp(expected, outcome->data, LEN) == 0);
}

static void
wait_for_all(IopoolLease *lease)
{
	while (iopool_lease_outstanding(lease) > 0)
		iopool_lease_poll(lease, iopool_lease_outstanding(lease),
						  IOPOOL_FOREVER);
}

static void
end(IopoolLease *lease)
{
	iopool_lease_remove_user(lease, false);
	CHECK(lease->ring == NULL);
	mock_pool_check(lease->pool, 0);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_STALE),
				mock_nstale());
	close(fd);
}

/* Deliver a completion that nobody waits for; nothing must come of it. */
static void
deliver_stale(IopoolLease *lease, uint64 tag, int result)
{
	int in_flight = lease->in_flight;
	int nfree_reads = lease->nfree_reads;
	uint64 nreads = lease->delta.counters[IOPOOL_COUNTER_READS];
	uint64 nstale = lease->delta.counters[IOPOOL_COUNTER_STALE];

	mock_deliver(lease->ring, tag, result);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	CHECK_EQUAL(lease->in_flight, in_flight);
	CHECK_EQUAL(lease->nfree_reads, nfree_reads);
	CHECK_EQUAL(lease->delta.counters[IOPOOL_COUNTER_READS], nreads);
	CHECK_EQUAL(lease->delta.counters[IOPOOL_COUNTER_STALE], nstale + 1);
	CHECK_EQUAL(lease->fatal_errno, 0);
}

/* Invariant 5: right slot, other generation. */
static void
lease_stale_generation(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcomes[2];
	uint64 tag;

	begin_reads(lease, outcomes, 2);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	tag = mock_tag(lease->ring, outcomes[0].read - lease->reads);
	CHECK(tag != 0);
	deliver_stale(lease, tag - (1 << IOPOOL_TAG_READ_BITS), LEN);
	deliver_stale(lease, tag + (1 << IOPOOL_TAG_READ_BITS), -EIO);
	deliver_stale(lease, tag & IOPOOL_TAG_READ_MASK, LEN);
	deliver_stale(lease, tag | (UINT64CONST(1) << 63), LEN);
	CHECK_EQUAL(outcomes[0].ndone + outcomes[1].ndone, 0);

	wait_for_all(lease);
	check_data(&outcomes[0]);
	check_data(&outcomes[1]);
	end(lease);
}

/* Invariant 5: slots without a read, and completions that come twice. */
static void
lease_stale_idle(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcomes[2];
	uint64 tag;

	deliver_stale(lease, 0, LEN);
	deliver_stale(lease, 3, LEN);
	deliver_stale(lease, (UINT64CONST(12) << IOPOOL_TAG_READ_BITS) | 3, LEN);

	begin_reads(lease, outcomes, 2);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	tag = mock_tag(lease->ring, outcomes[0].read - lease->reads);
	wait_for_all(lease);
	CHECK_EQUAL(outcomes[0].ndone, 1);
	deliver_stale(lease, tag, LEN);
	deliver_stale(lease, tag, -EIO);
	CHECK_EQUAL(outcomes[0].ndone, 1);

	/* twice in one batch */
	begin_reads(lease, outcomes, 1);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	tag = mock_tag(lease->ring, outcomes[0].read - lease->reads);
	mock_complete(lease->ring, 1);
	mock_deliver(lease->ring, tag, LEN);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	CHECK_EQUAL(outcomes[0].ndone, 1);
	check_data(&outcomes[0]);
	CHECK_EQUAL(lease->in_flight, 0);
	end(lease);
}

/* Invariant 5: slots that do not exist. */
static void
lease_stale_range(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcome;

	begin_read(lease, &outcome);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	deliver_stale(lease, (UINT64CONST(1) << IOPOOL_TAG_READ_BITS) | ENTRIES,
				  LEN);
	deliver_stale(lease,
				  (UINT64CONST(1) << IOPOOL_TAG_READ_BITS) |
					  IOPOOL_TAG_READ_MASK,
				  LEN);
	deliver_stale(lease, PG_UINT64_MAX, -1);
	wait_for_all(lease);
	check_data(&outcome);
	end(lease);
}

/*
 * Invariant 5: completions of the ring's last owner, which was killed, look
 * like those of the first lease.
 */
static void
lease_stale_owner(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcomes[ENTRIES];
	uint64 tags[ENTRIES];

	begin_reads(lease, outcomes, ENTRIES);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	for (int i = 0; i < ENTRIES; i++)
		tags[i] = mock_tag(lease->ring, i);
	wait_for_all(lease);
	iopool_lease_remove_user(lease, false);

	iopool_lease_add_user(lease);
	CHECK(iopool_lease_ready(lease, IOPOOL_FOREVER));
	begin_reads(lease, outcomes, ENTRIES);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	for (int i = 0; i < ENTRIES; i++)
		deliver_stale(lease, tags[i], LEN);
	CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), 0);
	wait_for_all(lease);
	for (int i = 0; i < ENTRIES; i++)
		check_data(&outcomes[i]);
	end(lease);
}

/* Invariant 2: refused for a while, however long, loses nothing. */
static void
lease_transient(int rounds)
{
	static const int errors[] = {EINTR, EAGAIN, EBUSY, ENOMEM, ENOBUFS};

	for (size_t i = 0; i < lengthof(errors); i++)
	{
		IopoolLease *lease = begin(2);
		Outcome outcomes[ENTRIES];
		uint64 nretries;

		begin_reads(lease, outcomes, ENTRIES);
		mock_script.submit_errno = errors[i];
		mock_script.submit_nerrors = 1000;
		wait_for_all(lease);
		CHECK_EQUAL(mock_script.submit_nerrors, 0);
		CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), ENTRIES);
		for (int j = 0; j < ENTRIES; j++)
			check_data(&outcomes[j]);

		/* the same while some are in the kernel, through a drain */
		begin_reads(lease, outcomes, ENTRIES);
		iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
		mock_script.submit_nerrors = 1000;
		iopool_lease_drain(lease, &lease->in_flight);
		CHECK_EQUAL(mock_script.submit_nerrors, 0);
		CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), ENTRIES);

		CHECK_EQUAL(lease->fatal_errno, 0);
		end(lease);
		CHECK_EQUAL(lease->pool->nbroken, 0);
		/* a signal is not the kernel's refusal */
		nretries = mock_counter(lease->pool, IOPOOL_COUNTER_RETRIES);
		if (errors[i] != EINTR)
			CHECK_EQUAL(nretries, 2000);
		mock_calm();
	}
}

/* Invariant 2: one accepted and one completed at a time is progress. */
static void
lease_partial(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcomes[ENTRIES];

	mock_script.max_accept = 1;
	begin_reads(lease, outcomes, ENTRIES);
	for (int i = 0; i < ENTRIES; i++)
	{
		CHECK_EQUAL(lease->nprepared, ENTRIES - i);
		CHECK_EQUAL(mock_prepared(lease->ring), 0);
		iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
		CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), i + 1);
		CHECK_EQUAL(iopool_lease_outstanding(lease), ENTRIES - i - 1);
		CHECK_EQUAL(pg_atomic_read_u32(&lease->ring->in_flight),
					lease->in_flight);
	}
	for (int i = 0; i < ENTRIES; i++)
		check_data(&outcomes[i]);
	end(lease);
}

/* A wait is for no more than can come; the mock would say so. */
static void
lease_wait_bound(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcome;

	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	begin_read(lease, &outcome);
	iopool_lease_poll(lease, 1000, IOPOOL_FOREVER);
	CHECK_EQUAL(outcome.ndone, 1);
	end(lease);
}

/* Invariant 6: as many reads as entries. */
static void
lease_entries(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome outcomes[ENTRIES];
	IopoolRead *read;

	begin_reads(lease, outcomes, ENTRIES);
	CHECK(iopool_lease_get_read(lease) == NULL);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	CHECK(iopool_lease_get_read(lease) == NULL);
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	read = iopool_lease_get_read(lease);
	CHECK(read != NULL);
	CHECK(iopool_lease_get_read(lease) == NULL);
	iopool_lease_put_read(read);
	wait_for_all(lease);
	end(lease);
	CHECK_EQUAL(pg_atomic_read_u32(&lease->pool->stats.max_in_flight),
				ENTRIES);
}

/*
 * Invariant 6: the kernel refuses the ring.  What it has not seen comes back,
 * what it has is waited for, and the ring is taken out of service alone.
 */
static void
lease_fatal(int rounds)
{
	IopoolLease *lease = begin(3);
	IopoolRing *bad = lease->ring;
	Outcome outcomes[6];

	begin_reads(lease, outcomes, 4);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	begin_reads(lease, outcomes + 4, 2);
	mock_script.fatal_errno = EBADF;
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK_EQUAL(count_done(outcomes + 4, 2, -ECANCELED), 2);
	CHECK_EQUAL(outcomes[4].ndone + outcomes[5].ndone, 2);
	CHECK_EQUAL(count_done(outcomes, 4, LEN), 0);
	CHECK_EQUAL(lease->in_flight, 4);

	for (int i = 0; i < 4; i++)
	{
		CHECK(!iopool_lease_ready(lease, IOPOOL_FOREVER));
		CHECK_EQUAL(iopool_ring_state(bad), IOPOOL_RING_DRAINING);
		mock_complete(bad, 1);
		iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
		CHECK_EQUAL(count_done(outcomes, 4, LEN), i + 1);
	}

	/* another takes its place */
	CHECK(iopool_lease_ready(lease, IOPOOL_FOREVER));
	CHECK(lease->ring != bad);
	CHECK_EQUAL(iopool_ring_state(bad), IOPOOL_RING_BROKEN);
	CHECK_EQUAL(lease->pool->nbroken, 1);
	begin_reads(lease, outcomes, 6);
	wait_for_all(lease);
	CHECK_EQUAL(count_done(outcomes, 6, LEN), 6);
	end(lease);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_RESETS), 1);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_RECLAIMS), 0);
}

/* The same, with a drain and a drop in the place of further work. */
static void
lease_fatal_drain(int rounds)
{
	IopoolLease *lease = begin(2);
	Outcome outcomes[6];

	begin_reads(lease, outcomes, 4);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	begin_reads(lease, outcomes + 4, 2);
	mock_script.fatal_errno = EOVERFLOW;
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	mock_script.is_held = false;
	mock_script.laziness = 90;
	iopool_lease_drain(lease, &lease->in_flight);
	CHECK_EQUAL(count_done(outcomes, 4, LEN), 4);
	CHECK_EQUAL(count_done(outcomes + 4, 2, -ECANCELED), 2);
	end(lease);
	CHECK_EQUAL(lease->pool->nbroken, 1);
}

/*
 * Invariants 2 and 6: every ring is refused, so it is the process, also in a
 * pool that has no other ring.  The ring stays in service for the others, and
 * nothing is tried again before somebody has heard of it.
 */
static void
lease_fatal_process(int rounds)
{
	for (int nrings = 1; nrings <= 2; nrings++)
	{
		IopoolLease *lease = begin(nrings);
		IopoolRing *ring = lease->ring;
		Outcome outcomes[2];
		uint64 nsubmits = mock_nsubmits();

		begin_reads(lease, outcomes, 2);
		mock_script.refused_errno = EPERM;
		iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
		CHECK_EQUAL(count_done(outcomes, 2, -ECANCELED), 2);
		for (int i = 0; i < 10; i++)
			CHECK(
				!iopool_lease_ready(lease,
									i % 2 ? IOPOOL_NO_WAIT : IOPOOL_FOREVER));
		CHECK_EQUAL(lease->refused_errno, EPERM);
		CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_CHECKOUTS), 1);
		CHECK_EQUAL(mock_nsubmits(), nsubmits + 1);
		CHECK_EQUAL(unit_sqlstate_of_refusal(lease), ERRCODE_IO_ERROR);
		CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_FREE);

		/* who comes next finds out by itself */
		mock_calm();
		CHECK(iopool_lease_ready(lease, IOPOOL_FOREVER));
		begin_reads(lease, outcomes, 2);
		wait_for_all(lease);
		CHECK_EQUAL(count_done(outcomes, 2, LEN), 2);
		end(lease);
		CHECK_EQUAL(lease->pool->nbroken, 0);
		CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_RECLAIMS), 1);
		mock_files_remove();
	}
}

/* Invariant 2: memory that stays short ends the query, and not the ring. */
static void
lease_starved(int rounds)
{
	IopoolLease *lease = begin(2);
	Outcome outcomes[4];

	begin_reads(lease, outcomes, 2);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	begin_reads(lease, outcomes + 2, 2);
	mock_script.submit_errno = ENOMEM;
	mock_script.submit_nerrors = 1000;
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK_EQUAL(lease->fatal_errno, 0);
	/* time goes by, but something comes in */
	mock_complete(lease->ring, 1);
	lease->starved_at = 1;
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK_EQUAL(count_done(outcomes, 2, LEN), 1);
	CHECK_EQUAL(lease->fatal_errno, 0);
	/* and now nothing does */
	lease->starved_at = 1;
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK_EQUAL(lease->fatal_errno, ENOMEM);
	CHECK_EQUAL(count_done(outcomes + 2, 2, -ECANCELED), 2);
	mock_complete(lease->ring, 1);
	wait_for_all(lease);
	CHECK_EQUAL(count_done(outcomes, 2, LEN), 2);
	CHECK(!iopool_lease_ready(lease, IOPOOL_FOREVER));
	CHECK_EQUAL(lease->refused_errno, ENOMEM);
	lease->refused_errno = 0;
	end(lease);
	CHECK_EQUAL(lease->pool->nbroken, 0);
}

/* What does not come to anything is asked for again ever more slowly. */
static void
lease_pauses(int rounds)
{
	static const int errors[] = {EINTR, EAGAIN, EBUSY};

	for (size_t i = 0; i < lengthof(errors); i++)
	{
		IopoolLease *lease = begin(1);
		Outcome outcome;

		begin_read(lease, &outcome);
		mock_script.submit_errno = errors[i];
		mock_script.submit_nerrors = 100;
		mock_paused_us = 0;
		for (int j = 0; j < 100; j++)
			iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
		CHECK(mock_paused_us > 100 * 1000);
		mock_paused_us = 0;
		wait_for_all(lease);
		CHECK_EQUAL(mock_paused_us, 0);
		end(lease);
		mock_files_remove();
	}
}

/*
 * A read that cannot be prepared ends the ring's life too, whatever the
 * errno; those prepared before it must come back.
 */
static void
lease_prepare_fails(int rounds)
{
	static const int errors[] = {EINVAL, EBUSY, EAGAIN, EINTR, ENOMEM};

	for (size_t i = 0; i < lengthof(errors); i++)
	{
		IopoolLease *lease = begin(2);
		Outcome outcomes[4];

		begin_reads(lease, outcomes, 1);
		iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
		begin_reads(lease, outcomes + 1, 1);
		mock_script.prepare_errno = errors[i];
		begin_reads(lease, outcomes + 2, 2);
		CHECK_EQUAL(lease->nprepared, 3);
		iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
		CHECK_EQUAL(count_done(outcomes + 1, 3, -ECANCELED), 3);

		mock_script.is_held = false;
		for (int j = 0; j < 10 && iopool_lease_outstanding(lease) > 0; j++)
			iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
		if (iopool_lease_outstanding(lease) > 0)
			unit_fail(__FILE__, __LINE__,
					  "after %s from prepare, %d reads stay prepared for ever",
					  strerror(errors[i]), iopool_lease_outstanding(lease));
		CHECK_EQUAL(count_done(outcomes, 1, LEN), 1);
		end(lease);
		CHECK_EQUAL(lease->pool->nbroken, 1);
		mock_calm();
	}
}

/* A ring that is not clean at checkout is passed over, and no other. */
static void
lease_attach_fails(int rounds)
{
	IopoolPool *pool = mock_pool_create(2, ENTRIES);
	IopoolLease *lease = iopool_lease_of(pool);
	MemoryContext cxt = CurrentMemoryContext;
	volatile int sqlstate = 0;

	iopool_lease_add_user(lease);
	mock_script.attach_errno = EUCLEAN;
	PG_TRY();
	{
		(void) iopool_lease_ready(lease, IOPOOL_FOREVER);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		sqlstate = geterrcode();
		FlushErrorState();
	}
	PG_END_TRY();
	CHECK_EQUAL(sqlstate, ERRCODE_INSUFFICIENT_RESOURCES);
	iopool_lease_remove_user(lease, true);
	CHECK_EQUAL(pool->nbroken, 2);
	CHECK_EQUAL(mock_counter(pool, IOPOOL_COUNTER_RESETS), 2);
	mock_pool_check(pool, 0);
}

/*
 * Invariants 2, 3, 11: a stream that ends waits for its own reads.  Those of
 * its neighbour on the same ring come back if the kernel has not seen them,
 * and go on if it has.
 */
static void
lease_drain_foreign(int rounds)
{
	IopoolLease *lease = begin(1);
	Outcome mine[2];
	Outcome theirs[4];
	int in_flight = 2;

	iopool_lease_add_user(lease);
	begin_reads(lease, theirs, 2);
	begin_reads(lease, mine, 1);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	begin_reads(lease, theirs + 2, 2);
	begin_reads(lease, mine + 1, 1);
	CHECK_EQUAL(iopool_lease_outstanding(lease), 6);

	/* the drain's own count, as a stream keeps it */
	iopool_lease_cancel_prepared(lease);
	CHECK_EQUAL(count_done(theirs + 2, 2, -ECANCELED), 2);
	CHECK_EQUAL(mine[1].result, -ECANCELED);
	in_flight = 1;
	mock_complete(lease->ring, 0);
	while (mine[0].ndone == 0)
		iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	in_flight = 1 - mine[0].ndone;
	iopool_lease_drain(lease, &in_flight);
	CHECK_EQUAL(iopool_ring_state(lease->ring), IOPOOL_RING_RESTING);
	iopool_lease_remove_user(lease, true);

	/* the neighbour keeps the ring */
	CHECK(lease->ring != NULL);
	CHECK_EQUAL(iopool_ring_state(lease->ring), IOPOOL_RING_RESTING);
	begin_reads(lease, theirs + 2, 2);
	wait_for_all(lease);
	CHECK_EQUAL(count_done(theirs, 4, LEN), 4);
	for (int i = 0; i < 4; i++)
		check_data(&theirs[i]);
	end(lease);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_RECLAIMS), 1);
}

/* Count that outcome_done() cannot keep: reads of one stream. */
static int own_in_flight;

static void
own_done(IopoolRead *read, int result)
{
	own_in_flight--;
	outcome_done(read, result);
}

/* A drain ends with the last of its own, though others are in the kernel. */
static void
lease_drain_own(int rounds)
{
	int nleft = 0;

	for (int round = 0; round < 20; round++)
	{
		IopoolLease *lease = begin(1);
		Outcome mine[2];
		Outcome theirs[4];

		iopool_lease_add_user(lease);
		begin_reads(lease, theirs, 4);
		begin_reads(lease, mine, 2);
		own_in_flight = 2;
		mine[0].read->done = own_done;
		mine[1].read->done = own_done;
		iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
		iopool_lease_drain(lease, &own_in_flight);
		CHECK_EQUAL(own_in_flight, 0);
		CHECK_EQUAL(mine[0].ndone + mine[1].ndone, 2);
		CHECK_EQUAL(iopool_ring_state(lease->ring), IOPOOL_RING_RESTING);
		CHECK_EQUAL(lease->in_flight, 4 - count_done(theirs, 4, LEN));
		nleft += lease->in_flight;
		iopool_lease_remove_user(lease, false);
		wait_for_all(lease);
		CHECK_EQUAL(count_done(theirs, 4, LEN), 4);
		end(lease);
		mock_calm();
		mock_files_remove();
	}
	/* the mock completes one at a time, in any order */
	CHECK(nleft > 0);
}

/* Who waits takes some of what has come; who does not takes all. */
static void
lease_takes_some(int rounds)
{
	static char bytes[6][TAKE_BYTES / 4];
	IopoolLease *lease = begin(1);
	Outcome outcomes[6];

	mock_script.is_held = false;
	for (int i = 0; i < 6; i++)
		begin_read_of(lease, &outcomes[i], bytes[i], sizeof(bytes[i]));
	iopool_lease_poll(lease, 6, IOPOOL_FOREVER);
	CHECK_EQUAL(count_done(outcomes, 6, sizeof(bytes[0])), 4);
	CHECK_EQUAL(lease->in_flight, 2);
	iopool_lease_poll(lease, 1, IOPOOL_NO_WAIT);
	CHECK_EQUAL(lease->in_flight, 0);

	/* with the last of its own, the ring may go: nothing is left in it */
	mock_script.is_held = true;
	for (int i = 0; i < 4; i++)
		begin_read_of(lease, &outcomes[i], bytes[i], sizeof(bytes[i]));
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	mock_complete(lease->ring, 4);
	mock_deliver(lease->ring, UINT64CONST(1) << IOPOOL_TAG_READ_BITS, LEN);
	iopool_lease_poll(lease, 4, IOPOOL_FOREVER);
	CHECK_EQUAL(lease->in_flight, 0);
	CHECK_EQUAL(lease->delta.counters[IOPOOL_COUNTER_STALE], 1);
	end(lease);
}

/* Invariant 13: the process exits with reads prepared and in the kernel. */
static void
lease_exit(int rounds)
{
	IopoolLease *lease = begin(2);
	Outcome outcomes[6];

	iopool_lease_add_user(lease);
	begin_reads(lease, outcomes, 4);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	begin_reads(lease, outcomes + 4, 2);
	unit_lease_exit();
	CHECK(lease->ring == NULL);
	CHECK_EQUAL(count_done(outcomes, 4, LEN), 4);
	CHECK_EQUAL(count_done(outcomes + 4, 2, -ECANCELED), 2);
	mock_pool_check(lease->pool, 0);
	CHECK_EQUAL(lease->pool->nbroken, 0);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_RECLAIMS), 1);

	/* the streams end after that */
	iopool_lease_remove_user(lease, true);
	end(lease);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_RECLAIMS), 1);
}

/* ------------------------------------------------------------------------
 * Parked rings
 */

/* A lease whose owner is elsewhere, with n reads in the kernel. */
static IopoolLease *
begin_parked(int nrings, Outcome *outcomes, int n)
{
	IopoolLease *lease = begin(nrings);

	begin_reads(lease, outcomes, n);
	iopool_lease_submit(lease);
	iopool_lease_go(lease);
	CHECK_EQUAL(lease->in_flight, n);
	CHECK_EQUAL(iopool_ring_state(lease->ring), IOPOOL_RING_GONE);
	return lease;
}

static void
check_all(const Outcome *outcomes, int n)
{
	CHECK_EQUAL(count_done(outcomes, n, LEN), n);
	for (int i = 0; i < n; i++)
		check_data(&outcomes[i]);
}

/* Nobody waits: parking and coming back change nothing. */
static void
lease_parks(int rounds)
{
	Outcome outcomes[ENTRIES];
	IopoolLease *lease = begin_parked(1, outcomes, ENTRIES);
	IopoolRing *ring = lease->ring;
	uint64 generation = iopool_ring_generation(ring);

	for (int i = 0; i < ENTRIES; i++)
	{
		iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
		CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_RESTING);
		CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), lease->in_flight);
		if (lease->in_flight > 0)
			iopool_lease_go(lease);
	}
	CHECK_EQUAL(iopool_ring_generation(ring), generation);
	check_all(outcomes, ENTRIES);

	/* gone with nothing in flight is given back */
	iopool_lease_go(lease);
	CHECK(lease->ring == NULL);
	mock_pool_check(lease->pool, 0);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_TAKEOVERS), 0);
	end(lease);
}

/*
 * A ring is taken when its reads have come in, and not before; what comes in
 * meanwhile is kept for the owner.  The owner finds all of it.
 */
static void
lease_lost(int rounds)
{
	Outcome outcomes[ENTRIES];
	IopoolLease *lease = begin_parked(2, outcomes, ENTRIES);
	IopoolRing *ring = lease->ring;
	uint64 nlost = iopool_lease_nlost;

	for (int i = 0; i < ENTRIES; i++)
	{
		CHECK(!unit_take_over(lease->pool));
		CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_GONE);
		CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), ENTRIES - i);
		mock_complete(ring, 1);
	}
	CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), 0);
	CHECK(unit_take_over(lease->pool));
	CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_FREE);
	CHECK_EQUAL(pg_atomic_read_u64(&ring->reads), ENTRIES);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_TAKEOVERS), 1);

	/* which the owner comes to know when it is back */
	CHECK_EQUAL(iopool_lease_nlost, nlost);
	iopool_lease_poll(lease, ENTRIES, IOPOOL_FOREVER);
	CHECK(lease->ring == NULL);
	CHECK_EQUAL(iopool_lease_nlost, nlost + 1);
	CHECK_EQUAL(lease->in_flight, 0);
	check_all(outcomes, ENTRIES);

	/* and goes on with another */
	CHECK(iopool_lease_ready(lease, IOPOOL_FOREVER));
	begin_reads(lease, outcomes, ENTRIES);
	wait_for_all(lease);
	check_all(outcomes, ENTRIES);
	end(lease);
	CHECK_EQUAL(iopool_lease_nlost, nlost + 1);
	CHECK_EQUAL(mock_counter(lease->pool, IOPOOL_COUNTER_READS), 2 * ENTRIES);
}

/* The owner is back when half of it has been collected. */
static void
lease_back_early(int rounds)
{
	Outcome outcomes[ENTRIES];
	IopoolLease *lease = begin_parked(1, outcomes, ENTRIES);
	IopoolRing *ring = lease->ring;

	mock_complete(ring, ENTRIES / 2);
	CHECK(!unit_take_over(lease->pool));
	CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), 0);
	iopool_lease_poll(lease, 0, IOPOOL_NO_WAIT);
	CHECK(lease->ring == ring);
	CHECK_EQUAL(count_done(outcomes, ENTRIES, LEN), ENTRIES / 2);
	CHECK_EQUAL(lease->in_flight, ENTRIES - ENTRIES / 2);

	/* its places are used again, and collected again */
	for (int i = 0; i < ENTRIES; i++)
	{
		if (outcomes[i].ndone == 1)
			check_data(&outcomes[i]);
	}
	for (int i = 0; i < ENTRIES; i++)
	{
		if (outcomes[i].ndone == 1)
			begin_read(lease, &outcomes[i]);
	}
	iopool_lease_submit(lease);
	CHECK_EQUAL(lease->in_flight, ENTRIES);
	iopool_lease_go(lease);
	mock_complete(ring, ENTRIES);
	CHECK(unit_take_over(lease->pool));
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	check_all(outcomes, ENTRIES);
	end(lease);
}

/* Whatever the owner does when it comes back, it finds what was in flight. */
static void
lease_lost_then(int rounds)
{
	for (int what = 0; what < 6; what++)
	{
		Outcome outcomes[4];
		IopoolLease *lease = begin_parked(1, outcomes, 4);
		int in_flight;

		mock_complete(lease->ring, 4);
		CHECK(unit_take_over(lease->pool));
		CHECK(!iopool_lease_has_ring(lease->pool, &in_flight));
		switch (what)
		{
			case 0:
				iopool_lease_drain(lease, &lease->in_flight);
				break;
			case 1:
				iopool_lease_submit(lease);
				break;
			case 2:
				iopool_lease_go(lease);
				break;
			case 3:
				CHECK(iopool_lease_ready(lease, IOPOOL_NO_WAIT));
				break;
			case 4:
				unit_lease_exit();
				break;
			default:
				/* a read of another stream waits for its turn */
				begin_read(lease, &outcomes[3]);
				CHECK_EQUAL(lease->nprepared, 1);
				iopool_lease_cancel_prepared(lease);
				CHECK_EQUAL(outcomes[3].result, -ECANCELED);
				iopool_lease_poll(lease, 0, IOPOOL_NO_WAIT);
				CHECK_EQUAL(count_done(outcomes, 3, LEN), 3);
				end(lease);
				mock_files_remove();
				continue;
		}
		CHECK_EQUAL(lease->in_flight, 0);
		check_all(outcomes, 4);
		end(lease);
		mock_files_remove();
	}
}

/* What rests is its owner's for a while. */
static void
lease_rests(int rounds)
{
	IopoolParkedRings left;
	Outcome outcome;
	IopoolLease *lease = begin(1);
	IopoolPool *pool = lease->pool;

	mock_script.is_held = false;
	begin_read(lease, &outcome);
	CHECK_EQUAL(iopool_ring_state(lease->ring), IOPOOL_RING_RESTING);
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	/* long enough for any ring but one that has brought its owner nothing */
	pg_atomic_write_u64(&lease->ring->parked_at,
						iopool_deadline_now() - 500000);
	CHECK(iopool_park_take_over(pool, InvalidOid, &left) == NULL);
	LWLockRelease(pool->lock);
	CHECK_EQUAL(left, IOPOOL_PARKED_RESTING);

	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK_EQUAL(iopool_ring_state(lease->ring), IOPOOL_RING_RESTING);
	LWLockAcquire(pool->lock, LW_EXCLUSIVE);
	/* as if it had just been parked, however slow this machine is */
	pg_atomic_write_u64(&lease->ring->parked_at,
						iopool_deadline_now() + 1000000);
	CHECK(iopool_park_take_over(pool, InvalidOid, &left) == NULL);
	LWLockRelease(pool->lock);
	CHECK_EQUAL(left, IOPOOL_PARKED_RESTING);
	CHECK(unit_take_over(pool));
	iopool_lease_poll(lease, 0, IOPOOL_NO_WAIT);
	CHECK(lease->ring == NULL);
	end(lease);
}

/* Active rings, and those that drain or are broken, are not to be had. */
static void
lease_not_parked(int rounds)
{
	IopoolLease *lease = begin(2);
	IopoolRing *ring = lease->ring;
	Outcome outcomes[2];

	CHECK(iopool_lease_enter(lease));
	CHECK(!unit_take_over(lease->pool));
	iopool_lease_leave(lease, false);

	begin_reads(lease, outcomes, 2);
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	mock_script.fatal_errno = EOVERFLOW;
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	CHECK_EQUAL(iopool_ring_state(ring), IOPOOL_RING_DRAINING);
	mock_complete(ring, 2);
	CHECK(!unit_take_over(lease->pool));
	iopool_lease_go(lease);
	CHECK(!unit_take_over(lease->pool));
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	check_all(outcomes, 2);
	end(lease);
	CHECK_EQUAL(lease->pool->nbroken, 1);
}

/* A process that is refused leaves a good ring behind. */
static void
lease_refused_parks(int rounds)
{
	Outcome outcomes[2];
	IopoolLease *lease = begin_parked(1, outcomes, 2);

	mock_script.refused_errno = EPERM;
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	iopool_lease_go(lease);
	mock_complete(lease->ring, 2);
	CHECK(unit_take_over(lease->pool));
	iopool_lease_poll(lease, 0, IOPOOL_FOREVER);
	check_all(outcomes, 2);
	CHECK(!iopool_lease_ready(lease, IOPOOL_FOREVER));
	CHECK_EQUAL(unit_sqlstate_of_refusal(lease), ERRCODE_IO_ERROR);
	mock_calm();
	end(lease);
	CHECK_EQUAL(lease->pool->nbroken, 0);
}

/* Invariant 5: who collects does not count what nobody waits for. */
static void
lease_stale_collected(int rounds)
{
	Outcome outcomes[2];
	IopoolLease *lease = begin_parked(1, outcomes, 2);
	IopoolRing *ring = lease->ring;
	uint64 tag = mock_tag(ring, outcomes[0].read - lease->reads);

	mock_deliver(ring, tag - (1 << IOPOOL_TAG_READ_BITS), LEN);
	mock_deliver(ring, 0, LEN);
	mock_deliver(ring, PG_UINT64_MAX, LEN);
	CHECK(!unit_take_over(lease->pool));
	CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), 2);
	mock_complete(ring, 1);
	mock_deliver(ring, tag, -EIO);
	CHECK(!unit_take_over(lease->pool));
	CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), 1);
	mock_complete(ring, 1);
	CHECK(unit_take_over(lease->pool));
	iopool_lease_poll(lease, 0, IOPOOL_NO_WAIT);
	check_all(outcomes, 2);
	end(lease);
}

/*
 * Invariant 13: a lease that has had its time starts nothing while others
 * wait, and goes to the first of them when its reads are in.
 */
static void
lease_gives_way(int rounds)
{
	IopoolLease *lease = begin(1);
	IopoolPool *pool = lease->pool;
	IopoolRing *ring = lease->ring;
	Outcome outcomes[2];
	IopoolWaiter *waiter;

	/* nobody waits */
	iopool_max_lease_time_ms = 100;
	lease->leased_at = 0;
	CHECK(!iopool_lease_gives_way(lease));
	CHECK(lease->ring == ring);

	waiter = unit_queue_other(pool, 0);
	begin_reads(lease, outcomes, 2);
	iopool_lease_submit(lease);
	lease->leased_at = iopool_deadline_now() + 1000000;
	CHECK(!iopool_lease_gives_way(lease));
	lease->leased_at = 0;
	iopool_max_lease_time_ms = -1;
	CHECK(!iopool_lease_gives_way(lease));
	iopool_max_lease_time_ms = 0;
	CHECK(iopool_lease_gives_way(lease));
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK(iopool_lease_gives_way(lease));
	CHECK_EQUAL(waiter->granted, IOPOOL_GRANT_PENDING);
	iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
	CHECK(!iopool_lease_gives_way(lease));
	CHECK(lease->ring == NULL);
	CHECK_EQUAL(waiter->granted, 0);
	check_all(outcomes, 2);

	/* the waiter is done */
	iopool_max_lease_time_ms = -1;
	iopool_pool_return(pool, ring, iopool_ring_generation(ring),
					   IOPOOL_RETURN_CLEAN);
	end(lease);
}

/*
 * The arena: a slot of its own, block aligned and long enough, for each read;
 * never moved under a read; made again when slots are too small or much too
 * large.
 */
static void
lease_arena(int rounds)
{
	IopoolPool *pool = mock_pool_create(1, ENTRIES);
	IopoolLease *lease = iopool_lease_of(pool);
	IopoolRead *reads[ENTRIES];
	char *arena;

	CHECK_EQUAL(iopool_arena_reserve(lease, 5000, 1000), 0);
	CHECK_EQUAL(lease->slot_size, 2 * IOPOOL_BLOCK_SIZE);
	for (int i = 0; i < ENTRIES; i++)
	{
		reads[i] = iopool_lease_get_read(lease);
		CHECK_EQUAL(iopool_arena_take(reads[i], 8192), 8192);
		CHECK_EQUAL((uintptr_t) reads[i]->slot % IOPOOL_BLOCK_SIZE, 0);
		memset(reads[i]->slot, i + 1, lease->slot_size);
	}
	for (int i = 0; i < ENTRIES; i++)
	{
		for (Size at = 0; at < lease->slot_size; at++)
			CHECK_EQUAL(reads[i]->slot[at], i + 1);
	}

	/* none is left, though there may be reads that need none */
	CHECK_EQUAL(iopool_arena_reserve(lease, 1, 1), EAGAIN);

	/* no read may lose its slot, and smaller ones may do */
	iopool_lease_put_read(reads[ENTRIES - 1]);
	arena = lease->arena;
	CHECK_EQUAL(iopool_arena_reserve(lease, 1024 * 1024, 8192), 0);
	CHECK_EQUAL(iopool_arena_reserve(lease, 1024 * 1024, 8193), EAGAIN);
	CHECK_EQUAL(iopool_arena_reserve(lease, 1, 1), 0);
	for (int i = 1; i < ENTRIES - 1; i++)
		iopool_lease_put_read(reads[i]);
	CHECK_EQUAL(iopool_arena_reserve(lease, 1024 * 1024, 8193), EAGAIN);
	CHECK(lease->arena == arena);
	CHECK_EQUAL(lease->slot_size, 2 * IOPOOL_BLOCK_SIZE);

	/* a read without a slot does not matter */
	reads[1] = iopool_lease_get_read(lease);
	iopool_lease_put_read(reads[0]);
	CHECK_EQUAL(iopool_arena_reserve(lease, 1024 * 1024, 8193), 0);
	CHECK_EQUAL(lease->slot_size, 1024 * 1024);
	iopool_lease_put_read(reads[1]);

	/* somewhat smaller, and much */
	CHECK_EQUAL(iopool_arena_reserve(lease, 512 * 1024, 4096), 0);
	CHECK_EQUAL(lease->slot_size, 1024 * 1024);
	CHECK_EQUAL(iopool_arena_reserve(lease, 4096, 4096), 0);
	CHECK_EQUAL(lease->slot_size, 4096);
	CHECK_EQUAL(lease->nslots_used, 0);
}

/*
 * Reads of random lengths take slots in a row, as many as they want or as there
 * are, and no two the same one.
 */
static void
lease_arena_runs(int rounds)
{
	IopoolPool *pool = mock_pool_create(1, ENTRIES);
	IopoolLease *lease = iopool_lease_of(pool);
	IopoolRead *reads[ENTRIES] = {NULL};
	Size sizes[ENTRIES];
	int nslots = 0;

	CHECK_EQUAL(iopool_arena_reserve(lease, IOPOOL_BLOCK_SIZE, 1), 0);
	for (int round = 0; round < 1000; round++)
	{
		int i = (int) mock_between(0, ENTRIES - 1);
		Size wanted = mock_between(1, 5) * IOPOOL_BLOCK_SIZE - 1;
		Size longest = 0;

		if (reads[i] != NULL)
		{
			for (Size at = 0; at < sizes[i]; at++)
				CHECK_EQUAL(reads[i]->slot[at], i + 1);
			nslots -= sizes[i] / IOPOOL_BLOCK_SIZE;
			iopool_lease_put_read(reads[i]);
			reads[i] = NULL;
			continue;
		}
		if (iopool_arena_reserve(lease, IOPOOL_BLOCK_SIZE, 1) != 0)
		{
			CHECK_EQUAL(nslots, ENTRIES);
			continue;
		}
		for (int first = 0; first < ENTRIES; first++)
		{
			int n = 0;

			while (first + n < ENTRIES && !lease->slots[first + n])
				n++;
			longest = Max(longest, n * (Size) IOPOOL_BLOCK_SIZE);
		}
		reads[i] = iopool_lease_get_read(lease);
		sizes[i] = iopool_arena_take(reads[i], wanted);
		CHECK_EQUAL(sizes[i], Min(wanted + 1, longest));
		nslots += sizes[i] / IOPOOL_BLOCK_SIZE;
		CHECK_EQUAL(lease->nslots_used, nslots);
		memset(reads[i]->slot, i + 1, sizes[i]);
	}
	for (int i = 0; i < ENTRIES; i++)
	{
		if (reads[i] != NULL)
			iopool_lease_put_read(reads[i]);
	}
	CHECK_EQUAL(lease->nslots_used, 0);
	CHECK(memchr(lease->slots, 1, ENTRIES) == NULL);
}

/* What reads cost is learned from polls whose time is that of their reads. */
static void
lease_samples(int rounds)
{
	IopoolLease *lease = begin_deep(1, 2 * MIN_SAMPLE_DEPTH);
	Outcome *outcomes = palloc(sizeof(Outcome) * 2 * MIN_SAMPLE_DEPTH);
	const IopoolReadCost *costs = lease->pool->stats.costs;
	int npolls = 0;

	/* a poll that waits, with a queue that is full */
	begin_reads(lease, outcomes, MIN_SAMPLE_DEPTH);
	iopool_lease_poll(lease, 4, IOPOOL_FOREVER);
	CHECK(lease->sample.nreads >= 4);
	CHECK_EQUAL(lease->sample.npolls, 1);
	CHECK_EQUAL(lease->sample.ndirect, 0);
	CHECK_EQUAL(lease->sample.nbytes, lease->sample.nreads * LEN);
	CHECK(lease->sample.us > 0);

	/* it is not any more */
	memset(&lease->sample, 0, sizeof(lease->sample));
	wait_for_all(lease);
	CHECK_EQUAL(lease->sample.nreads, 0);

	/* without waiting, what had been started before */
	begin_reads(lease, outcomes, MIN_SAMPLE_DEPTH);
	iopool_lease_submit(lease);
	CHECK(lease->submit_us > 0);
	mock_complete(lease->ring, MIN_SAMPLE_DEPTH);
	iopool_lease_poll(lease, MIN_SAMPLE_DEPTH, IOPOOL_NO_WAIT);
	CHECK_EQUAL(lease->in_flight, 0);
	CHECK_EQUAL(lease->sample.nreads, 0);
	CHECK_EQUAL(lease->submit_us, 0);

	/* as many as it takes */
	while (costs[0].nsamples + costs[1].nsamples + costs[2].nsamples == 0)
	{
		begin_reads(lease, outcomes, MIN_SAMPLE_DEPTH);
		iopool_lease_poll(lease, 1, IOPOOL_FOREVER);
		wait_for_all(lease);
		CHECK(++npolls < 1000);
	}
	CHECK(npolls > 1);
	CHECK_EQUAL(costs[IOPOOL_READS_DIRECT].nsamples, 0);
	CHECK_EQUAL(costs[lease->buffered_class].nsamples, 1);
	CHECK_EQUAL(lease->sample.nreads, 0);
	CHECK_EQUAL(iopool_lease_auto_gap(lease, false),
				pg_atomic_read_u32(
					&lease->pool->stats.gaps[lease->buffered_class]));
	end(lease);
}

const UnitCase unit_lease_cases[] = {
	{"lease_stale_generation", lease_stale_generation},
	{"lease_stale_idle", lease_stale_idle},
	{"lease_stale_range", lease_stale_range},
	{"lease_stale_owner", lease_stale_owner},
	{"lease_transient", lease_transient},
	{"lease_partial", lease_partial},
	{"lease_wait_bound", lease_wait_bound},
	{"lease_entries", lease_entries},
	{"lease_fatal", lease_fatal},
	{"lease_fatal_drain", lease_fatal_drain},
	{"lease_fatal_process", lease_fatal_process},
	{"lease_starved", lease_starved},
	{"lease_pauses", lease_pauses},
	{"lease_prepare_fails", lease_prepare_fails},
	{"lease_attach_fails", lease_attach_fails},
	{"lease_drain_foreign", lease_drain_foreign},
	{"lease_drain_own", lease_drain_own},
	{"lease_takes_some", lease_takes_some},
	{"lease_exit", lease_exit},
	{"lease_parks", lease_parks},
	{"lease_lost", lease_lost},
	{"lease_back_early", lease_back_early},
	{"lease_lost_then", lease_lost_then},
	{"lease_rests", lease_rests},
	{"lease_not_parked", lease_not_parked},
	{"lease_refused_parks", lease_refused_parks},
	{"lease_stale_collected", lease_stale_collected},
	{"lease_gives_way", lease_gives_way},
	{"lease_arena", lease_arena},
	{"lease_arena_runs", lease_arena_runs},
	{"lease_samples", lease_samples},
	{NULL, NULL},
};
