/*-------------------------------------------------------------------------
 *
 * method.h
 *	  What a way of reading (io_uring, libaio, sync) offers to the engine.
 *
 * A method is a table of small functions and a few properties.  None of the
 * functions raises, prints or allocates PostgreSQL memory: they return 0, a
 * count or -errno, so that they can be called on every cleanup path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_METHOD_H
#define IOPOOL_METHOD_H

#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/types.h"

/* One kernel request.  The engine keeps iov alive until its completion. */
typedef struct IopoolIo
{
	uint64 tag; /* comes back in the completion */
	int fd;
	bool is_direct;	 /* fd is O_DIRECT; iov is aligned */
	bool is_advised; /* reading ahead makes sense, and does no harm */
	int rw_flags;	 /* RWF_* */
	off_t offset;	 /* bytes */
	const struct iovec *iov;
	int niov;
} IopoolIo;

/*
 * Is a failure one of the flags, rather than of the file?  The file system or
 * the kernel does not know them, or a filter does not know preadv2(2).
 */
static inline bool
iopool_io_flags_failed(const IopoolIo *io, int errnum)
{
	return io->rw_flags != 0 &&
		(errnum == EOPNOTSUPP || errnum == EINVAL || errnum == ENOSYS ||
		 errnum == EPERM);
}

typedef struct IopoolCompletion
{
	uint64 tag;
	int result; /* bytes read (0: end of file) or -errno */
} IopoolCompletion;

/* Where a method keeps its state of one ring. */
typedef struct IopoolHandle
{
	void *shared; /* shared_size bytes, inherited by fork */
	void *local;  /* local_size() bytes of this backend, zeroed
								 * when first attached */
	int entries;

	/*
	 * The owner stays until its reads are in.  Otherwise nothing may be
	 * started that nobody else can collect.
	 */
	bool is_attended;

	int in_flight; /* reads that were prepared and not reaped */

	/*
	 * What ends a wait early: InterruptPending, or, in a drain that others
	 * must not have to wait for, ProcSignalBarrierPending; NULL: nothing does.
	 */
	const volatile sig_atomic_t *interrupt;

	/*
	 * Reads in a row that were there as soon as they were started, as those of
	 * cached pages are; kept by submit().
	 */
	int nquick;
} IopoolHandle;

/* Is there an interrupt that the caller is waiting to serve? */
static inline bool
iopool_handle_is_interrupted(const IopoolHandle *handle)
{
	return handle->interrupt != NULL && unlikely(*handle->interrupt) &&
		INTERRUPTS_CAN_BE_PROCESSED();
}

/*
 * How long a method may wait in the kernel now, of timeout_us: a moment where
 * there is an interrupt, and not no time at all, because the interrupt may stay.
 *
 * A signal that arrives between the look in here and the system call does not
 * end the wait.  So none that interrupts may end lasts long.
 */
static inline int64
iopool_handle_wait_us(const IopoolHandle *handle, int64 timeout_us)
{
	const int64 moment_us = 1000;
	const int64 longest_us = 500 * 1000;
	int64 limit_us = longest_us;

	if (handle->interrupt == NULL)
		return timeout_us;
	if (iopool_handle_is_interrupted(handle))
		limit_us = moment_us;
	return timeout_us < 0 ? limit_us : Min(timeout_us, limit_us);
}

/* After so many such reads in a row, a method is taken to be quick. */
#define IOPOOL_QUICK_READS 128

/*
 * Tag of a read that is in flight: the low bits say which read of the lease,
 * the rest is a number that the ring never uses twice.
 */
#define IOPOOL_TAG_READ_BITS 16
#define IOPOOL_TAG_READ_MASK ((UINT64CONST(1) << IOPOOL_TAG_READ_BITS) - 1)

/* What becomes of a ring whose owner is elsewhere. */
typedef enum IopoolAbsence
{
	/*
	 * Reads in flight go on, and any process can reap() them.  Only what the
	 * kernel has not taken is to be taken back first.
	 */
	IOPOOL_ABSENCE_COLLECTED,

	/* nothing is in flight without the owner; its queue is its own memory */
	IOPOOL_ABSENCE_IDLE,

	/* only the owner can reap: it must not leave without giving the ring back */
	IOPOOL_ABSENCE_FORBIDDEN,
} IopoolAbsence;

typedef struct IopoolMethod
{
	const char *name;

	/*
	 * Bytes of shared memory per ring; 0: nothing is made before the lease,
	 * and what fails is the process's own.
	 */
	Size shared_size;

	bool reads_ahead; /* looks at is_advised of a read */

	/* Bytes of backend memory for a ring of so many entries. */
	Size (*local_size)(int entries);

	/*
	 * Does the method work on this kernel?  Called in the postmaster.
	 */
	int (*probe)(int entries);

	/*
	 * Make a ring (NULL when shared_size is 0), in the postmaster.  Calling
	 * close_ring on a private copy of the shared state ends the kernel's
	 * side of it for this process.
	 */
	int (*make_ring)(void *shared, int entries);
	void (*close_ring)(void *shared);

	/*
	 * Does this process get through to a ring, whoever holds it?  0 or
	 * -errno; does nothing to the ring.  NULL where there is nothing to ask.
	 */
	int (*ping)(void *shared);

	/* What becomes of the ring as it is if the owner leaves it now. */
	IopoolAbsence (*absence)(const IopoolHandle *handle);

	/* A lease begins (-errno: the ring is not usable) and ends. */
	int (*attach)(IopoolHandle *handle);
	void (*detach)(IopoolHandle *handle);

	/* Take one read in; the caller respects the number of entries. */
	int (*prepare)(IopoolHandle *handle, const IopoolIo *io);

	/*
	 * Start everything prepared, then wait until wait_nr completions can be
	 * reaped, a signal arrives or timeout_us microseconds have passed; -1: no
	 * limit, 0: only look.  A method that reads by itself, or tells the kernel
	 * what it is going to read, comes back between two of these calls, not
	 * within one, and that only where the handle is interrupted.  Keeps nquick
	 * of the handle.
	 *
	 * A transient failure (see refusal.c) may leave reads prepared; call
	 * again.  Any other failure means that the ring cannot be used any more,
	 * or not by this process.
	 */
	int (*submit)(IopoolHandle *handle, unsigned wait_nr, int64 timeout_us);

	/* Take up to max completions without waiting; returns how many. */
	int (*reap)(IopoolHandle *handle, IopoolCompletion *completions, int max);

	/*
	 * Take back reads that were prepared and that the kernel has not seen,
	 * as completions with -ECANCELED; returns how many, at most max.
	 */
	int (*cancel_prepared)(IopoolHandle *handle, IopoolCompletion *completions,
						   int max);
} IopoolMethod;

/* method_io_uring.c, method_libaio.c, method_sync.c */
extern const IopoolMethod iopool_method_io_uring;
extern const IopoolMethod iopool_method_libaio;
extern const IopoolMethod iopool_method_sync;
extern const char *iopool_method_io_uring_library(void);
extern const char *iopool_method_libaio_library(void);

/* What a kernel lets this process do with a ring made for the question. */
typedef struct IopoolUringFacts
{
	int setup;	   /* io_uring_setup: 0 or -errno; the rest needs it */
	int probe;	   /* asking for opcodes: 0 or -errno */
	bool has_read; /* both opcodes that rings are made for */
	int seal;	   /* making a ring as pools have it: 0 or -errno */
} IopoolUringFacts;

extern void iopool_method_io_uring_examine(IopoolUringFacts *facts);
extern Size iopool_method_io_uring_memory(int entries);
extern bool iopool_method_io_uring_runs(int *major, int *minor);

/* method_sync.c */
extern int iopool_sync_read(const IopoolIo *io);

/* method.c */
extern const IopoolMethod *iopool_method_get(IopoolMethodId id);
extern const char *iopool_method_name(IopoolMethodId id);
extern const struct config_enum_entry iopool_method_options[];
extern bool iopool_method_is_compiled(IopoolMethodId id);
extern char *iopool_method_compiled_list(void);

#endif /* IOPOOL_METHOD_H */
