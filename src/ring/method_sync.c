/*-------------------------------------------------------------------------
 *
 * method_sync.c
 *	  Reads that this process makes itself, behind a window of read-ahead.
 *
 * The window is told to the kernel with POSIX_FADV_WILLNEED as it is
 * submitted, so the disk works on all of it while preadv collects the reads
 * one by one.  On cold page cache this is as fast as a ring.  Direct reads
 * have no cache to read ahead into and are made one at a time.
 *
 * While all that is asked for is in the page cache, it is not told but read.
 *
 * A wait with a time limit, or none at all, makes only reads that the page
 * cache can serve by now: what was advised comes in by itself meanwhile.
 *
 * A read that has not been started can be dropped at no cost, so nothing of
 * this method is ever in flight outside of iopool_sync_queue_run().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/deadline.h"
#include "ring/method.h"
#include "ring/sync_queue.h"

/* Pause between two looks at a read that would have to wait. */
#define TRY_PAUSE_US 200

/* Of so many reads that are told to the kernel, one is looked for before. */
#define SAMPLE_READS 8

/* Pages of a read that are looked for in the page cache at most. */
#define MAX_PROBED_PAGES 256

/*
 * After so long, a read that still would have to wait is made all the same:
 * its pages may have been evicted before anybody came for them, and then
 * nothing but a read brings them back.  All further reads of the lease are
 * made without this patience.
 */
#define TRY_PATIENCE_US (3 * 1000 * 1000)

Size
iopool_sync_queue_size(int entries)
{
	return MAXALIGN(sizeof(IopoolIo) * entries) +
		MAXALIGN(sizeof(IopoolCompletion) * entries);
}

/* memory: iopool_sync_queue_size(entries) bytes, MAXALIGNed */
void
iopool_sync_queue_init(IopoolSyncQueue *queue, void *memory, int entries)
{
	memset(queue, 0, sizeof(IopoolSyncQueue));
	queue->entries = entries;
	queue->queue = memory;
	queue->done = (IopoolCompletion *) ((char *) memory +
										MAXALIGN(sizeof(IopoolIo) * entries));
}

void
iopool_sync_queue_add(IopoolSyncQueue *queue, const IopoolIo *io)
{
	Assert(queue->nqueued < queue->entries);
	queue->queue[(queue->head + queue->nqueued) % queue->entries] = *io;
	queue->nqueued++;
}

/* Bytes of a read. */
static int64
io_len(const IopoolIo *io)
{
	int64 len = 0;

	for (int i = 0; i < io->niov; i++)
		len += io->iov[i].iov_len;
	return len;
}

/*
 * One read, now: bytes or -errno.  EINTR is the caller's to retry, where it
 * looks at interrupts.
 */
int
iopool_sync_read(const IopoolIo *io)
{
	ssize_t result;

	if (io->rw_flags != 0)
		result = preadv2(io->fd, io->iov, io->niov, io->offset, io->rw_flags);
	else if (io->niov == 1)
		result =
			pread(io->fd, io->iov->iov_base, io->iov->iov_len, io->offset);
	else
		result = preadv(io->fd, io->iov, io->niov, io->offset);

	/* a read is at most IOPOOL_MAX_LENGTH long, so the count fits an int */
	return result < 0 ? -errno : (int) result;
}

/* Take the first read off the queue, which is complete. */
static void
finish_head(IopoolSyncQueue *queue, int result)
{
	IopoolCompletion *completion =
		&queue->done[(queue->done_head + queue->ndone++) % queue->entries];

	completion->tag = queue->queue[queue->head].tag;
	completion->result = result;

	queue->head = (queue->head + 1) % queue->entries;
	queue->nqueued--;
	queue->head_tried_at = 0;
	if (queue->nadvised > 0)
		queue->nadvised--;
}

/*
 * Is it of use to tell the kernel about a read?  Pages that are read ahead
 * would stay in the cache, against the wish of a read that is to leave none
 * (rw_flags).
 */
static bool
takes_advice(const IopoolIo *io)
{
	return io->is_advised && io->rw_flags == 0;
}

/* A read that must not wait for the disk, if the kernel knows such reads. */
static int
read_nowait(const IopoolIo *io)
{
	IopoolIo attempt = *io;

	attempt.rw_flags |= RWF_NOWAIT;
	return iopool_sync_read(&attempt);
}

/*
 * As long as reads need no waiting, make them without telling the kernel
 * before, until so many completions wait or one is not there.
 */
void
iopool_sync_queue_try(IopoolSyncQueue *queue, IopoolHandle *handle,
					  unsigned ndone)
{
	while (handle->nquick >= IOPOOL_QUICK_READS && queue->nqueued > 0 &&
		   queue->nadvised == 0 && queue->ndone < (int) ndone)
	{
		const IopoolIo *io = &queue->queue[queue->head];
		int result;

		if (!takes_advice(io))
			return;
		result = read_nowait(io);
		if (result > 0)
			finish_head(queue, result);
		else
			handle->nquick = 0;
	}
}

/* Is the first page of a read that nobody has asked for in the cache? */
static bool
has_first_page(const IopoolIo *io)
{
	char byte;
	struct iovec iov = {&byte, 1};
	IopoolIo look = *io;

	look.iov = &iov;
	look.niov = 1;
	return read_nowait(&look) > 0;
}

/*
 * Tell the kernel about the reads that it has not heard of.  False: there is an
 * interrupt for the caller to serve, who calls again.  A kernel that has enough
 * to do lets each of them wait until it has less.
 */
bool
iopool_sync_queue_advise(IopoolSyncQueue *queue, IopoolHandle *handle)
{
	while (queue->nadvised < queue->nqueued)
	{
		const IopoolIo *io =
			&queue->queue[(queue->head + queue->nadvised) % queue->entries];

		/* a lone read gains nothing, preadv follows at once */
		if (takes_advice(io) && queue->nqueued > 1)
		{
			if (++queue->nunseen == SAMPLE_READS)
			{
				handle->nquick = has_first_page(io)
					? Min(handle->nquick + SAMPLE_READS, IOPOOL_QUICK_READS)
					: 0;
				queue->nunseen = 0;
			}
			/* advice: a failure only means that it was not taken */
			(void) posix_fadvise(io->fd, io->offset, io_len(io),
								 POSIX_FADV_WILLNEED);
		}
		queue->nadvised++;
		/* looked at behind one: it may stay, and all have to be told once */
		if (queue->nadvised < queue->nqueued &&
			iopool_handle_is_interrupted(handle))
			return false;
	}
	return true;
}

/*
 * Would a buffered read have to wait for the disk?  For file systems that
 * cannot be asked with RWF_NOWAIT.  No for what lives in memory, where a hole
 * never gets a page, and for what cannot be mapped, as procfs.  mincore(2)
 * says no as well for files that the process may not write.
 */
static bool
is_missing_pages(const IopoolIo *io)
{
	unsigned char is_resident[MAX_PROBED_PAGES];
	long page = sysconf(_SC_PAGESIZE);
	off_t start = io->offset - io->offset % page;
	size_t len = io->offset - start + io_len(io);
	bool is_missing = false;
	struct statfs fs;
	void *map;

	if (fstatfs(io->fd, &fs) != 0 || fs.f_type == TMPFS_MAGIC ||
		fs.f_type == RAMFS_MAGIC)
		return false;

	/* the first pages will do: then the disk is at work on the rest */
	len = Min(len, (size_t) page * MAX_PROBED_PAGES);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, io->fd, start);
	if (map == MAP_FAILED)
		return false;
	if (mincore(map, len, is_resident) == 0)
	{
		for (size_t i = 0; i * page < len; i++)
			is_missing |= (is_resident[i] & 1) == 0;
	}
	(void) munmap(map, len);
	return is_missing;
}

/*
 * A read that must not wait for the disk: bytes or -errno, and -EAGAIN when
 * it would have to.
 *
 * Where preadv2(2) fails otherwise, RWF_NOWAIT may be what is refused: by the
 * file system, or by a seccomp filter that does not know the call.  That it
 * brings nothing need not mean the end of the file (Linux 5.9 and 5.10).
 */
static int
try_read(const IopoolIo *io)
{
	int result = read_nowait(io);

	if (result > 0 || result == -EAGAIN)
		return result;
	if (result < 0 && is_missing_pages(io))
		return -EAGAIN;
	return iopool_sync_read(io);
}

/*
 * Make the first read of the queue if that needs no waiting, or if it has
 * been tried long enough.  False: it was not made.
 */
static bool
try_head(IopoolSyncQueue *queue)
{
	const IopoolIo *io = &queue->queue[queue->head];
	int result = try_read(io);

	if (result == -EAGAIN)
	{
		int64 now = iopool_deadline_now();

		/* a lone read has not been advised */
		if (queue->head_tried_at == 0)
		{
			queue->head_tried_at = now;
			if (io->is_advised)
				(void) posix_fadvise(io->fd, io->offset, io_len(io),
									 POSIX_FADV_WILLNEED);
		}
		if (now - queue->head_tried_at < TRY_PATIENCE_US)
			return false;
		result = iopool_sync_read(io);
		queue->is_impatient = true;
	}
	finish_head(queue, result);
	return true;
}

/*
 * Make reads until so many completions wait, nothing is queued, there is an
 * interrupt for the caller to serve, or, with timeout_us >= 0, a read would
 * have to wait: then some of that time is spent.
 *
 * A read that waits for the disk can be slow, and whoever emits a barrier waits
 * for every backend to absorb it.  So one read is the longest that they wait.
 *
 * Direct and uncached reads know no other way than to wait, because nothing
 * reads ahead for them.
 */
void
iopool_sync_queue_run(IopoolSyncQueue *queue, const IopoolHandle *handle,
					  unsigned ndone, int64 timeout_us)
{
	int64 end = timeout_us > 0 ? iopool_deadline_now() + timeout_us : 0;

	while (queue->nqueued > 0 && queue->ndone < (int) ndone)
	{
		const IopoolIo *io = &queue->queue[queue->head];
		bool must_wait =
			io->is_direct || io->rw_flags != 0 || queue->is_impatient;

		if (timeout_us < 0 || must_wait)
			finish_head(queue, iopool_sync_read(io));
		else if (!try_head(queue))
		{
			/* short, because the caller has to look at interrupts */
			if (timeout_us > 0)
				(void) usleep(Min(timeout_us, TRY_PAUSE_US));
			return;
		}

		if (iopool_handle_is_interrupted(handle))
			return;
		/* without time to wait, one that waits is enough */
		if (timeout_us >= 0 && must_wait && iopool_deadline_now() >= end)
			return;
	}
}

int
iopool_sync_queue_reap(IopoolSyncQueue *queue, IopoolCompletion *completions,
					   int max)
{
	int n = Min(queue->ndone, max);

	for (int i = 0; i < n; i++)
		completions[i] = queue->done[(queue->done_head + i) % queue->entries];
	queue->done_head = (queue->done_head + n) % queue->entries;
	queue->ndone -= n;
	return n;
}

int
iopool_sync_queue_cancel(IopoolSyncQueue *queue, IopoolCompletion *completions,
						 int max)
{
	int n = 0;

	while (queue->nqueued > 0 && n < max)
	{
		completions[n].tag = queue->queue[queue->head].tag;
		completions[n].result = -ECANCELED;
		n++;

		queue->head = (queue->head + 1) % queue->entries;
		queue->nqueued--;
		queue->head_tried_at = 0;
		if (queue->nadvised > 0)
			queue->nadvised--;
	}
	return n;
}

static Size
sync_local_size(int entries)
{
	return MAXALIGN(sizeof(IopoolSyncQueue)) + iopool_sync_queue_size(entries);
}

static int
sync_probe(int entries)
{
	return 0;
}

static IopoolAbsence
sync_absence(const IopoolHandle *handle)
{
	return IOPOOL_ABSENCE_IDLE;
}

static int
sync_attach(IopoolHandle *handle)
{
	const IopoolSyncQueue *queue = handle->local;

	/* what the last ring was given back before */
	if (queue->nqueued + queue->ndone > 0)
		return 0;
	iopool_sync_queue_init(handle->local,
						   (char *) handle->local +
							   MAXALIGN(sizeof(IopoolSyncQueue)),
						   handle->entries);
	return 0;
}

static void
sync_detach(IopoolHandle *handle)
{
}

static int
sync_prepare(IopoolHandle *handle, const IopoolIo *io)
{
	iopool_sync_queue_add(handle->local, io);
	return 0;
}

static int
sync_submit(IopoolHandle *handle, unsigned wait_nr, int64 timeout_us)
{
	iopool_sync_queue_try(handle->local, handle, wait_nr);
	if (!iopool_sync_queue_advise(handle->local, handle))
		return -EINTR;
	iopool_sync_queue_run(handle->local, handle, wait_nr, timeout_us);
	return 0;
}

static int
sync_reap(IopoolHandle *handle, IopoolCompletion *completions, int max)
{
	return iopool_sync_queue_reap(handle->local, completions, max);
}

static int
sync_cancel_prepared(IopoolHandle *handle, IopoolCompletion *completions,
					 int max)
{
	return iopool_sync_queue_cancel(handle->local, completions, max);
}

const IopoolMethod iopool_method_sync = {
	.name = "sync",
	.reads_ahead = true,
	.local_size = sync_local_size,
	.probe = sync_probe,
	.absence = sync_absence,
	.attach = sync_attach,
	.detach = sync_detach,
	.prepare = sync_prepare,
	.submit = sync_submit,
	.reap = sync_reap,
	.cancel_prepared = sync_cancel_prepared,
};
