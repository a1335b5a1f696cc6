/*-------------------------------------------------------------------------
 *
 * method_io_uring.c
 *	  Rings that the postmaster makes and every backend inherits.
 *
 * The struct io_uring lives in shared memory: it holds the positions in the
 * submission queue that are not shared with the kernel, and two processes
 * with a copy each would overwrite each other's entries.  Its pointers are
 * into mappings that fork() inherits at the same address.
 *
 * A ring is made plain, because IORING_SETUP_SINGLE_ISSUER, DEFER_TASKRUN
 * and SQPOLL tie it to the process that made it.  It is sealed before any
 * backend sees it: created disabled, restricted to the two read opcodes, and
 * enabled (io_uring_register_restrictions(3)).  From then on no process can
 * register anything with it or do anything but read.
 *
 * The kernel looks at the submission queue only inside io_uring_enter(2), so
 * entries that it has not taken yet can be taken back by moving the tail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef IOPOOL_WITH_LIBURING

#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "port/pg_bitutils.h"

#include "base/os_limits.h"
#include "ring/method.h"

/* Of rings that only serve to ask the kernel something. */
#define PROBE_ENTRIES 4
#define PROBE_OPS	  256

/* Pause between two looks where the kernel takes no timeout. */
#define OLD_KERNEL_PAUSE_US 500

/* Size of the kernel's struct io_rings before the queues. */
#define KERNEL_HEADER_SIZE 320

/* Everything a sealed ring may do. */
static int
seal_ring(struct io_uring *ring)
{
	struct io_uring_restriction allowed[2];
	int rc;

	memset(allowed, 0, sizeof(allowed));
	allowed[0].opcode = IORING_RESTRICTION_SQE_OP;
	allowed[0].sqe_op = IORING_OP_READ;
	allowed[1].opcode = IORING_RESTRICTION_SQE_OP;
	allowed[1].sqe_op = IORING_OP_READV;

	/*
	 * liburing 2.3 declares io_uring_register_restrictions() and
	 * io_uring_enable_rings() and does not export them.
	 */
	rc = io_uring_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS,
						   allowed, lengthof(allowed));
	if (rc == 0)
		rc = io_uring_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS,
							   NULL, 0);
	return rc;
}

static int
uring_make_ring(void *shared, int entries)
{
	struct io_uring *ring = shared;
	struct io_uring_params params;
	int rc;

	memset(&params, 0, sizeof(params));
	params.flags = IORING_SETUP_R_DISABLED;

	rc = io_uring_queue_init_params(entries, ring, &params);
	if (rc < 0)
		return rc;

	rc = seal_ring(ring);
	if (rc < 0)
		io_uring_queue_exit(ring);
	return rc;
}

static void
uring_close_ring(void *shared)
{
	io_uring_queue_exit(shared);
}

/* 0, or -EPERM where a process does not survive the calls. */
static int
check_survival(void)
{
	static const int calls[] = {SYS_io_uring_setup, SYS_io_uring_register,
								SYS_io_uring_enter};

	return iopool_os_limits_kills(calls, lengthof(calls)) ? -EPERM : 0;
}

static int
uring_probe(int entries)
{
	struct io_uring ring;
	int rc = check_survival();

	if (rc == 0)
		rc = uring_make_ring(&ring, entries);
	if (rc == 0)
		io_uring_queue_exit(&ring);
	return rc;
}

/*
 * Asking for events without waiting also brings completions that did not fit
 * the queue (IORING_SQ_CQ_OVERFLOW), so a ring that is refused can be drained
 * with it.
 */
static int
uring_ping(void *shared)
{
	struct io_uring *ring = shared;
	int rc = io_uring_enter(ring->ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL);

	return rc < 0 ? rc : 0;
}

static Size
uring_local_size(int entries)
{
	return 0;
}

static IopoolAbsence
uring_absence(const IopoolHandle *handle)
{
	return IOPOOL_ABSENCE_COLLECTED;
}

/* Entries that are prepared and that the kernel has not taken. */
static unsigned
uring_unsubmitted(struct io_uring *ring)
{
	return ring->sq.sqe_tail - io_uring_smp_load_acquire(ring->sq.khead);
}

/*
 * A ring comes clean from its last owner.  Looking costs nothing, and one
 * that did not would submit another backend's reads.
 */
static int
uring_attach(IopoolHandle *handle)
{
	struct io_uring *ring = handle->shared;

	if (uring_unsubmitted(ring) != 0)
		return -EUCLEAN;
	return 0;
}

static void
uring_detach(IopoolHandle *handle)
{
}

static int
uring_prepare(IopoolHandle *handle, const IopoolIo *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(handle->shared);

	if (sqe == NULL)
		return -EBUSY;

	if (io->niov == 1)
		io_uring_prep_read(sqe, io->fd, io->iov->iov_base, io->iov->iov_len,
						   io->offset);
	else
		io_uring_prep_readv(sqe, io->fd, io->iov, io->niov, io->offset);
	sqe->rw_flags = io->rw_flags;
	sqe->user_data = io->tag;
	return 0;
}

/*
 * Wait for completions, everything being submitted.  The timeout is an
 * argument of io_uring_enter(2) (Linux 5.11), so it takes no entry of the
 * ring, which could not make one: it is sealed.  Older kernels are asked
 * again and again.
 */
static int
wait_until(struct io_uring *ring, unsigned wait_nr, int64 timeout_us)
{
	struct __kernel_timespec timeout = {
		.tv_sec = timeout_us / 1000000,
		.tv_nsec = timeout_us % 1000000 * 1000,
	};
	struct io_uring_cqe *cqe;
	int rc;

	if (timeout_us == 0 || io_uring_cq_ready(ring) >= wait_nr)
		return 0;

	if ((ring->features & IORING_FEAT_EXT_ARG) == 0)
	{
		usleep(Min(timeout_us, OLD_KERNEL_PAUSE_US));
		return 0;
	}

	rc = io_uring_wait_cqes(ring, &cqe, wait_nr, &timeout, NULL);
	return rc == -ETIME ? 0 : Min(rc, 0);
}

/*
 * The kernel has taken what was prepared, and nothing was waited for yet: is
 * all of it there?
 */
static void
note_quick(IopoolHandle *handle, unsigned nstarted)
{
	if (io_uring_cq_ready(handle->shared) == (unsigned) handle->in_flight)
		handle->nquick =
			Min(handle->nquick + (int) nstarted, IOPOOL_QUICK_READS);
	else
		handle->nquick = 0;
}

/* Start everything prepared. */
static int
start_prepared(IopoolHandle *handle)
{
	struct io_uring *ring = handle->shared;
	unsigned nstarted = 0;

	for (;;)
	{
		unsigned nprepared = uring_unsubmitted(ring);
		int rc;

		if ((int) nprepared < 0)
			return -EUCLEAN; /* somebody else used the ring */
		if (nprepared == 0)
			break;

		/* a partial submission is progress, and goes on here */
		rc = io_uring_submit(ring);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return -EAGAIN;
		nstarted += rc;
	}
	if (nstarted > 0)
		note_quick(handle, nstarted);
	return 0;
}

static int
uring_submit(IopoolHandle *handle, unsigned wait_nr, int64 timeout_us)
{
	struct io_uring *ring = handle->shared;
	int rc;

	/*
	 * The queue has room for twice the entries, so it cannot overflow unless
	 * somebody else uses the ring.  What was lost then cannot be known.
	 */
	if (io_uring_cq_has_overflow(ring) || *ring->cq.koverflow != 0)
		return -EOVERFLOW;

	rc = start_prepared(handle);
	if (rc < 0)
		return rc;

	/*
	 * XXX Kernels that take no timeout are not asked again and again where
	 * there is none: a signal that arrives right here does not end their wait.
	 */
	if ((ring->features & IORING_FEAT_EXT_ARG) != 0 || timeout_us >= 0 ||
		iopool_handle_is_interrupted(handle))
		timeout_us = iopool_handle_wait_us(handle, timeout_us);
	if (timeout_us >= 0)
		return wait_until(ring, wait_nr, timeout_us);
	if (io_uring_cq_ready(ring) >= wait_nr)
		return 0;

	/*
	 * With more than one completion ready or a signal, the kernel comes back
	 * early; the caller looks at what there is and calls again.
	 */
	rc = io_uring_submit_and_wait(ring, wait_nr);
	return Min(rc, 0);
}

static int
uring_reap(IopoolHandle *handle, IopoolCompletion *completions, int max)
{
	struct io_uring *ring = handle->shared;
	struct io_uring_cqe *cqe;
	unsigned head;
	int n = 0;

	io_uring_for_each_cqe(ring, head, cqe)
	{
		if (n == max)
			break;
		completions[n].tag = cqe->user_data;
		completions[n].result = cqe->res;
		n++;
	}
	io_uring_cq_advance(ring, n);
	return n;
}

/*
 * Moving the tail back to the kernel's head makes the ring as if the entries
 * had never been prepared.
 */
static int
uring_cancel_prepared(IopoolHandle *handle, IopoolCompletion *completions,
					  int max)
{
	struct io_uring *ring = handle->shared;
	struct io_uring_sq *sq = &ring->sq;
	unsigned head = io_uring_smp_load_acquire(sq->khead);
	unsigned mask = *sq->kring_mask;
	int n = 0;

	/* the youngest go first, so that the rest stays a valid queue */
	while ((int) (sq->sqe_tail - head) > 0 && n < max)
	{
		sq->sqe_tail--;
		completions[n].tag = sq->sqes[sq->sqe_tail & mask].user_data;
		completions[n].result = -ECANCELED;
		n++;
	}

	/* entries may have been published to the kernel, or not yet */
	if ((int) (sq->sqe_head - sq->sqe_tail) > 0)
	{
		sq->sqe_head = sq->sqe_tail;
		io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	}
	return n;
}

const char *
iopool_method_io_uring_library(void)
{
#if defined(IO_URING_VERSION_MAJOR) && defined(IO_URING_VERSION_MINOR)
	return psprintf("%d.%d", IO_URING_VERSION_MAJOR, IO_URING_VERSION_MINOR);
#else
	return "2.3 or older";
#endif
}

/*
 * Version of the library that the dynamic linker has brought; false before
 * 2.4, which does not tell.  Hence the search for functions that the library
 * at build time need not have had.
 */
bool
iopool_method_io_uring_runs(int *major, int *minor)
{
	int (*get_major)(void) =
		(int (*)(void)) dlsym(RTLD_DEFAULT, "io_uring_major_version");
	int (*get_minor)(void) =
		(int (*)(void)) dlsym(RTLD_DEFAULT, "io_uring_minor_version");

	if (get_major == NULL || get_minor == NULL)
		return false;
	*major = get_major();
	*minor = get_minor();
	return true;
}

/*
 * Look at io_uring from this process, with rings that are gone on return.
 * Does not raise.
 */
void
iopool_method_io_uring_examine(IopoolUringFacts *facts)
{
	struct io_uring ring;
	union
	{
		struct io_uring_probe probe;
		char memory[sizeof(struct io_uring_probe) +
					PROBE_OPS * sizeof(struct io_uring_probe_op)];
	} answer;

	memset(facts, 0, sizeof(IopoolUringFacts));
	memset(&answer, 0, sizeof(answer));

	facts->setup = check_survival();
	if (facts->setup == 0)
		facts->setup = io_uring_queue_init(PROBE_ENTRIES, &ring, 0);
	if (facts->setup < 0)
		return;
	facts->probe = io_uring_register_probe(&ring, &answer.probe, PROBE_OPS);
	facts->has_read = facts->probe == 0 &&
		io_uring_opcode_supported(&answer.probe, IORING_OP_READ) &&
		io_uring_opcode_supported(&answer.probe, IORING_OP_READV);
	io_uring_queue_exit(&ring);

	facts->seal = uring_probe(PROBE_ENTRIES);
}

/*
 * Bytes that the kernel allocates for a ring, and charges where it does: the
 * submission entries in pages of their own, and in others the two queues of
 * indexes and completions behind a header.
 */
Size
iopool_method_io_uring_memory(int entries)
{
	Size page = sysconf(_SC_PAGESIZE);
	Size nsqes = pg_nextpower2_32(entries);
	Size ncqes = 2 * nsqes;
	Size queues = KERNEL_HEADER_SIZE + ncqes * sizeof(struct io_uring_cqe) +
		nsqes * sizeof(uint32);

	return TYPEALIGN(page, queues) +
		TYPEALIGN(page, nsqes * sizeof(struct io_uring_sqe));
}

const IopoolMethod iopool_method_io_uring = {
	.name = "io_uring",
	.shared_size = sizeof(struct io_uring),
	.local_size = uring_local_size,
	.probe = uring_probe,
	.make_ring = uring_make_ring,
	.close_ring = uring_close_ring,
	.ping = uring_ping,
	.absence = uring_absence,
	.attach = uring_attach,
	.detach = uring_detach,
	.prepare = uring_prepare,
	.submit = uring_submit,
	.reap = uring_reap,
	.cancel_prepared = uring_cancel_prepared,
};

#endif /* IOPOOL_WITH_LIBURING */
