/*-------------------------------------------------------------------------
 *
 * mock.h
 *	  A method without a kernel, and the pools and files that go with it.
 *
 * The mock does what io_uring may do: it takes part of what is prepared,
 * completes in any order, reads short, fails, and writes into the buffers no
 * earlier than at completion.  It watches what the engine does, and remembers
 * the first thing that it must not do; mock_verdict() raises it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_UNIT_MOCK_H
#define IOPOOL_UNIT_MOCK_H

#include "file/file.h"
#include "ring/lease.h"

/* Most entries of a mock ring. */
#define MOCK_MAX_ENTRIES 64

/* Calls without any progress after which the engine is taken to be stuck. */
#define MOCK_PATIENCE 200000

/*
 * How the mock behaves.  All zero is a perfect kernel that completes all that
 * it has whenever it is asked.
 */
typedef struct MockScript
{
	/* of the next calls, in turn */
	int submit_nerrors; /* so many submits fail ... */
	int submit_errno;	/* ... with this, and do nothing */
	int fatal_errno;	/* the next submit ends the ring's life */
	int refused_errno;	/* every call for every ring fails with this */
	int prepare_errno;	/* the next prepare fails */

	/* of all calls */
	int ping_errno;
	int attach_errno;
	int max_accept; /* reads that a submit takes; 0: all */
	bool is_held;	/* completes only what is waited for */

	/* chances, in percent */
	int short_reads;
	int transient_results; /* EAGAIN, EINTR */
	int transient_submits;
	int partial_submits;
	int laziness; /* completes less than it could */
	int stale;	  /* a completion that nobody waits for */
	int fatal;	  /* only where another ring is left */
	int no_memory;

	int max_fds;	/* 0: no limit */
	int64 odd_stop; /* the next read returns so many bytes; 0: all */
} MockScript;

/* A file whose bytes are computed. */
typedef struct MockFile
{
	char path[64];
	dev_t dev;
	ino_t ino;
	uint64 seed;
	int64 size;		 /* reads end here */
	int64 stat_size; /* what stat says until a read has met the end */
	int64 bad_start; /* reads that touch these bytes fail with EIO */
	int64 bad_end;
	int alignment;	   /* of direct reads; 0: buffered */
	bool is_byte_wise; /* direct reads stop, and may begin, anywhere */
	bool is_uncached;  /* read with rw_flags, which it does not support */
	bool is_read_back; /* a read with rw_flags was refused */
	bool is_behind;	   /* to the ring, the file ends at stat_size */
} MockFile;

extern MockScript mock_script;
extern int64 mock_paused_us;

/* mock.c: the method */
extern const IopoolMethod mock_method;
extern void mock_reset(void);
extern void mock_calm(void);
extern void mock_violation(const char *format, ...) pg_attribute_printf(1, 2);
extern void mock_verdict(void);
extern int mock_outstanding(void);
extern int64 mock_outstanding_bytes(void);
extern int mock_prepared(IopoolRing *ring);
extern int mock_in_kernel(IopoolRing *ring);
extern uint64 mock_tag(IopoolRing *ring, int readno);
extern void mock_deliver(IopoolRing *ring, uint64 tag, int result);
extern void mock_complete(IopoolRing *ring, int n);
extern bool mock_is_read_into(const char *memory, Size len);
extern void mock_forbid_prepare(bool is_forbidden);
extern uint64 mock_nstale(void);
extern uint64 mock_nsubmits(void);

/* world.c: chance, pools, files */
extern void mock_seed(uint64 seed);
extern int64 mock_between(int64 low, int64 high);
extern bool mock_chance(int percent);
extern IopoolPool *mock_pool_create(int nrings, int entries);
extern void mock_pool_check(IopoolPool *pool, int nleased);
extern uint64 mock_counter(IopoolPool *pool, IopoolCounter counter);
extern MockFile *mock_file_create(int64 size, int64 stat_size, int alignment);
extern MockFile *mock_file_of(int fd);
extern bool mock_has_files(void);
extern void mock_files_remove(void);
extern void mock_fill(const MockFile *file, int64 offset, char *dest,
					  int64 len);

/* test_lease.c, test_pool.c, test_plan.c: what the real sources keep to themselves */
extern void unit_lease_forget(IopoolPool *pool);
extern void unit_lease_exit(void);
extern bool unit_take_over(IopoolPool *pool);
extern IopoolWaiter *unit_queue_other(IopoolPool *pool, int number);
extern int unit_sqlstate_of_refusal(IopoolLease *lease);
extern bool unit_is_gap(const char *memory);

#endif /* IOPOOL_UNIT_MOCK_H */
