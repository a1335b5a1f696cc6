/*-------------------------------------------------------------------------
 *
 * method_libaio.c
 *	  Linux AIO for direct reads; buffered reads take the path of method sync.
 *
 * io_submit(2) is asynchronous only for files that are open with O_DIRECT;
 * on a buffered file it reads before it returns.  So buffered reads go the
 * way of method_sync.c, which reads ahead.
 *
 * A context does not survive fork(), so a slot of the pool is the right to
 * one context of `entries` events, which is made inside the lease and gone
 * when the lease ends.  The sum of all contexts can never exceed what the
 * pools entitle to.  Making one takes some 50 us, but io_destroy(2) waits for
 * an RCU grace period: some 30 ms.  A lease therefore starts out with plain
 * preads and makes its context when it has made so many that their time is
 * about that of a context: no lease takes more than twice as long as if it
 * had known its length beforehand.  Only a call that stays until its reads
 * are in makes one, because nobody else could collect them meanwhile.
 *
 * A context belongs to this process alone, so whatever the kernel refuses to
 * do with it is no reason to give up more than the context: what has not been
 * submitted is read plainly, and what has been is taken from the memory that
 * the kernel shows its events in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef IOPOOL_WITH_LIBAIO

#include <errno.h>
#include <libaio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os_limits.h"
#include "ring/method.h"
#include "ring/sync_queue.h"

/* Direct reads that a lease makes before a context is worth its price. */
#define READS_BEFORE_CONTEXT 256

/* Longest wait for the context while reads of the other kind are queued. */
#define MIXED_WAIT_US 1000

/* Pause between two looks where io_getevents(2) is refused. */
#define REFUSED_PAUSE_US 500

/*
 * What the kernel maps at the address of a context (fs/aio.c); libaio looks
 * into it, too.
 */
typedef struct MappedEvents
{
	unsigned id;
	unsigned nr;   /* of events */
	unsigned head; /* next to be taken, moved by us */
	unsigned tail; /* moved by the kernel */
	unsigned magic;
	unsigned compat_features;
	unsigned incompat_features;
	unsigned header_length;
	struct io_event events[FLEXIBLE_ARRAY_MEMBER];
} MappedEvents;

#define MAPPED_MAGIC 0xa10a10a1

typedef struct LibaioRing
{
	IopoolSyncQueue sync; /* reads that do not go through the context */
	io_context_t context; /* NULL: none made */
	bool is_refused;	  /* nothing more goes through a context */
	int ndirect;		  /* direct reads of this lease */
	int nfree;
	int nprepared;
	int nsubmitted;
	int nready;				 /* completions in done, ... */
	int done_head;			 /* ... from here on */
	struct iocb *iocbs;		 /* [entries] */
	struct iocb **free;		 /* [entries] */
	struct iocb **prepared;	 /* [entries], in order of preparation */
	IopoolCompletion *done;	 /* [entries] */
	struct io_event *events; /* [entries] */
} LibaioRing;

/* Carve the arrays out of one piece of memory; returns its size. */
static Size
layout_ring(LibaioRing *ring, char *memory, int entries)
{
	Size offset = MAXALIGN(sizeof(LibaioRing));

#define CARVE(field, type)                            \
	do                                                \
	{                                                 \
		if (ring != NULL)                             \
			ring->field = (type *) (memory + offset); \
		offset += MAXALIGN(sizeof(type) * entries);   \
	} while (0)

	CARVE(iocbs, struct iocb);
	CARVE(free, struct iocb *);
	CARVE(prepared, struct iocb *);
	CARVE(done, IopoolCompletion);
	CARVE(events, struct io_event);
#undef CARVE

	if (ring != NULL)
		iopool_sync_queue_init(&ring->sync, memory + offset, entries);
	return offset + iopool_sync_queue_size(entries);
}

static Size
libaio_local_size(int entries)
{
	return layout_ring(NULL, NULL, entries);
}

static int
libaio_probe(int entries)
{
	static const int calls[] = {SYS_io_setup, SYS_io_submit, SYS_io_getevents,
								SYS_io_destroy};
	io_context_t context = NULL;
	int rc;

	if (iopool_os_limits_kills(calls, lengthof(calls)))
		return -EPERM;
	rc = io_setup(entries, &context);
	if (rc == 0)
		(void) io_destroy(context);
	return rc;
}

static int
libaio_attach(IopoolHandle *handle)
{
	LibaioRing *ring = handle->local;
	io_context_t left = ring->context;

	/* what the last ring was given back before */
	if (ring->sync.nqueued + ring->sync.ndone > 0)
		return 0;

	memset(ring, 0, sizeof(LibaioRing));
	layout_ring(ring, handle->local, handle->entries);

	/* who could not destroy one gets no other */
	ring->context = left;
	ring->is_refused = left != NULL;

	for (int i = 0; i < handle->entries; i++)
		ring->free[ring->nfree++] = &ring->iocbs[i];
	return 0;
}

static void
libaio_detach(IopoolHandle *handle)
{
	LibaioRing *ring = handle->local;

	if (ring->context != NULL && io_destroy(ring->context) == 0)
		ring->context = NULL;
}

/*
 * Without a context, all is done as sync does it.  So it is with one that is
 * refused, and could not be destroyed, when nothing is in it any more.
 */
static IopoolAbsence
libaio_absence(const IopoolHandle *handle)
{
	const LibaioRing *ring = handle->local;
	bool is_used = ring->context != NULL && !ring->is_refused;

	return is_used || ring->nprepared + ring->nsubmitted + ring->nready > 0
		? IOPOOL_ABSENCE_FORBIDDEN
		: IOPOOL_ABSENCE_IDLE;
}

/* Does this read go through the context?  Makes it when its time has come. */
static bool
use_context(IopoolHandle *handle, const IopoolIo *io)
{
	LibaioRing *ring = handle->local;

	if (!io->is_direct || ring->is_refused)
		return false;
	if (ring->context != NULL)
		return true;
	if (!handle->is_attended || ring->ndirect++ < READS_BEFORE_CONTEXT)
		return false;

	/*
	 * Somebody else may have used up fs.aio-max-nr since the server's start.
	 * The reads are right without a context too, only slower.
	 */
	if (io_setup(handle->entries, &ring->context) != 0)
	{
		ring->context = NULL;
		ring->is_refused = true;
	}
	return ring->context != NULL;
}

static int
libaio_prepare(IopoolHandle *handle, const IopoolIo *io)
{
	LibaioRing *ring = handle->local;
	struct iocb *iocb;

	if (!use_context(handle, io))
	{
		iopool_sync_queue_add(&ring->sync, io);
		return 0;
	}

	if (ring->nfree == 0)
		return -EBUSY;
	iocb = ring->free[--ring->nfree];

	io_prep_preadv(iocb, io->fd, io->iov, io->niov, io->offset);
	iocb->aio_rw_flags = io->rw_flags;
	iocb->data = (void *) (uintptr_t) io->tag;
	ring->prepared[ring->nprepared++] = iocb;
	return 0;
}

/* A read ends: its iocb is free again, its completion waits. */
static void
finish_iocb(LibaioRing *ring, struct iocb *iocb, int result)
{
	IopoolCompletion *completion =
		&ring->done[(ring->done_head + ring->nready++) % ring->sync.entries];

	completion->tag = (uint64) (uintptr_t) iocb->data;
	completion->result = result;
	ring->free[ring->nfree++] = iocb;
}

static void
remove_prepared(LibaioRing *ring, int n)
{
	ring->nprepared -= n;
	memmove(ring->prepared, ring->prepared + n,
			sizeof(struct iocb *) * ring->nprepared);
}

/* The first of the prepared is read without the context. */
static void
read_plainly(LibaioRing *ring)
{
	struct iocb *iocb = ring->prepared[0];
	IopoolIo io = {
		.tag = (uint64) (uintptr_t) iocb->data,
		.fd = iocb->aio_fildes,
		.is_direct = true,
		.rw_flags = iocb->aio_rw_flags,
		.offset = iocb->u.c.offset,
		.iov = iocb->u.c.buf,
		.niov = (int) iocb->u.c.nbytes,
	};

	iopool_sync_queue_add(&ring->sync, &io);
	ring->free[ring->nfree++] = iocb;
	remove_prepared(ring, 1);
}

/* Hand over everything prepared; 0 or a transient -errno. */
static int
submit_prepared(LibaioRing *ring)
{
	while (ring->nprepared > 0)
	{
		int rc = io_submit(ring->context, ring->nprepared, ring->prepared);

		if (rc > 0)
		{
			ring->nsubmitted += rc;
			remove_prepared(ring, rc);
		}
		else if (rc == 0 || rc == -EAGAIN || rc == -EINTR)
			return rc == 0 ? -EAGAIN : rc;
		else
		{
			/*
			 * Any other error is of the first iocb, or of the call; a plain
			 * read tells which.
			 */
			if (rc == -ENOSYS || rc == -EPERM || rc == -EACCES)
				ring->is_refused = true;
			read_plainly(ring);
		}
	}
	return 0;
}

/* Events that the kernel shows without being asked, up to max; or -errno. */
static int
take_mapped(LibaioRing *ring, int max)
{
	MappedEvents *mapped = (MappedEvents *) ring->context;
	unsigned head;
	unsigned tail;
	int n = 0;

	if (mapped->magic != MAPPED_MAGIC || mapped->incompat_features != 0)
		return -ENOSYS;
	head = mapped->head;
	/* pairs with the kernel's barrier between an event and the tail */
	tail = __atomic_load_n(&mapped->tail, __ATOMIC_ACQUIRE);
	for (; head != tail && n < max; head = (head + 1) % mapped->nr)
		ring->events[n++] = mapped->events[head];
	__atomic_store_n(&mapped->head, head, __ATOMIC_RELEASE);
	return n;
}

/* Take what is complete, waiting until there are wait_nr or time is up. */
static int
collect_events(LibaioRing *ring, int wait_nr, int64 timeout_us)
{
	struct timespec timeout;
	int rc;

	if (ring->nsubmitted == 0)
		return 0;

	timeout.tv_sec = timeout_us / 1000000;
	timeout.tv_nsec = timeout_us % 1000000 * 1000;
	rc = io_getevents(ring->context, Min(wait_nr, ring->nsubmitted),
					  ring->nsubmitted, ring->events,
					  timeout_us < 0 ? NULL : &timeout);
	if (rc < 0)
	{
		bool is_transient = rc == -EINTR || rc == -EAGAIN;
		int nmapped = take_mapped(ring, ring->nsubmitted);

		if (nmapped == 0 && !is_transient && wait_nr > 0 && timeout_us != 0)
			usleep(REFUSED_PAUSE_US);
		if (nmapped > 0 || (nmapped == 0 && !is_transient))
			rc = nmapped;
		ring->is_refused |= !is_transient;
	}
	if (rc < 0)
		return rc;

	ring->nsubmitted -= rc;
	for (int i = 0; i < rc; i++)
		finish_iocb(ring, ring->events[i].obj, (int) ring->events[i].res);
	return 0;
}

static int
libaio_submit(IopoolHandle *handle, unsigned wait_nr, int64 timeout_us)
{
	LibaioRing *ring = handle->local;
	int rc;
	int nready;

	rc = submit_prepared(ring);
	if (ring->nready < (int) wait_nr)
		iopool_sync_queue_try(&ring->sync, handle, wait_nr - ring->nready);
	if (!iopool_sync_queue_advise(&ring->sync, handle))
		return rc != 0 ? rc : -EINTR;

	nready = ring->nready + ring->sync.ndone;
	if (nready < (int) wait_nr && ring->sync.nqueued > 0)
	{
		/* with both kinds, what the kernel has must not wait for the other */
		iopool_sync_queue_run(&ring->sync, handle, wait_nr - ring->nready,
							  ring->nsubmitted > 0 && timeout_us > 0
								  ? 0
								  : timeout_us);
		nready = ring->nready + ring->sync.ndone;
	}

	/* also when iocbs could not be submitted: completions make room */
	if (nready < (int) wait_nr && ring->nsubmitted > 0)
	{
		int rc2;

		/* nor the other way round */
		if (ring->sync.nqueued > 0 && timeout_us > 0)
			timeout_us = Min(timeout_us, MIXED_WAIT_US);
		timeout_us = iopool_handle_wait_us(handle, timeout_us);
		rc2 = collect_events(ring, (int) wait_nr - nready, timeout_us);
		if (rc == 0)
			rc = rc2;
	}
	return rc;
}

static int
libaio_reap(IopoolHandle *handle, IopoolCompletion *completions, int max)
{
	LibaioRing *ring = handle->local;
	int n;

	if (ring->nready == 0 && ring->nsubmitted > 0)
		(void) collect_events(ring, 0, 0);

	n = Min(ring->nready, max);
	for (int i = 0; i < n; i++)
		completions[i] =
			ring->done[(ring->done_head + i) % ring->sync.entries];
	ring->done_head = (ring->done_head + n) % ring->sync.entries;
	ring->nready -= n;

	return n + iopool_sync_queue_reap(&ring->sync, completions + n, max - n);
}

static int
libaio_cancel_prepared(IopoolHandle *handle, IopoolCompletion *completions,
					   int max)
{
	LibaioRing *ring = handle->local;
	int n = 0;

	while (ring->nprepared > 0 && n < max)
	{
		struct iocb *iocb = ring->prepared[--ring->nprepared];

		completions[n].tag = (uint64) (uintptr_t) iocb->data;
		completions[n].result = -ECANCELED;
		ring->free[ring->nfree++] = iocb;
		n++;
	}
	return n + iopool_sync_queue_cancel(&ring->sync, completions + n, max - n);
}

const char *
iopool_method_libaio_library(void)
{
	/* the library names no version, neither in its header nor at run time */
	return "yes";
}

const IopoolMethod iopool_method_libaio = {
	.name = "libaio",
	.reads_ahead = true,
	.local_size = libaio_local_size,
	.probe = libaio_probe,
	.absence = libaio_absence,
	.attach = libaio_attach,
	.detach = libaio_detach,
	.prepare = libaio_prepare,
	.submit = libaio_submit,
	.reap = libaio_reap,
	.cancel_prepared = libaio_cancel_prepared,
};

#endif /* IOPOOL_WITH_LIBAIO */
