/*-------------------------------------------------------------------------
 *
 * mock.c
 *	  A method without a kernel, and an eye on what the engine does with it.
 *
 * Nothing here raises except mock_verdict(), because the engine calls the
 * method on its cleanup paths.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "mock.h"
#include "unit.h"

/* Completions that wait to be reaped: those of reads, and stale ones. */
#define MAX_DONE (MOCK_MAX_ENTRIES * 4)

typedef struct MockRead
{
	IopoolIo io;
	struct iovec iov[IOPOOL_MAX_IOV]; /* as it was when prepared */
} MockRead;

/* The state of a ring; attached is its link in the list of leased ones. */
typedef struct MockRing
{
	int entries;
	bool is_attached;
	int fatal_errno;
	int nprepared;
	int nkernel;
	int ndone;
	int nreal; /* of the done, those of reads */
	MockRead prepared[MOCK_MAX_ENTRIES];
	MockRead kernel[MOCK_MAX_ENTRIES];
	IopoolCompletion done[MAX_DONE];
	bool is_stale[MAX_DONE];
	uint64 last_tag; /* of a completion that was reaped */
} MockRing;

MockScript mock_script;

static char violation[1024];
static bool is_prepare_forbidden = false;
static int idle_calls = 0;
static uint64 nstale = 0;
static uint64 nsubmits = 0;
static int nfds = 0;

/* hooks in the engine's sources, see the Makefile */
extern void unit_pfree(void *pointer);
extern int unit_close(int fd);
extern int iopool_sync_read(const IopoolIo *io);
extern ssize_t unit_pread(int fd, void *buf, size_t len, off_t offset);
extern int unit_fstatfs(int fd, struct statfs *fs);
extern void unit_usleep(long microseconds);
extern void *unit_alloc_extended(MemoryContext cxt, Size size, int flags);
extern bool unit_acquire_fd(void);
extern void unit_release_fd(void);

static MockRing *
ring_at(int ringno)
{
	return iopool_shared->pools[0].rings[ringno].method_state;
}

static int
count_rings(void)
{
	return iopool_shared != NULL ? iopool_shared->pools[0].nrings : 0;
}

/* The next world begins; what went wrong in the one before is raised first. */
void
mock_reset(void)
{
	mock_verdict();
	mock_calm();
	nstale = 0;
	nsubmits = 0;
	nfds = 0;
}

/* A perfect kernel again, so that everything comes to an end. */
void
mock_calm(void)
{
	memset(&mock_script, 0, sizeof(mock_script));
	is_prepare_forbidden = false;
	idle_calls = 0;
}

/* Only the first counts: the others follow from it. */
void
mock_violation(const char *format, ...)
{
	va_list args;

	if (violation[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(violation, sizeof(violation), format, args);
	va_end(args);
	/* what follows may keep the verdict from being heard */
	write_stderr("iopool_unit: %s\n", violation);
}

void
mock_verdict(void)
{
	char message[sizeof(violation)];

	if (violation[0] == '\0')
		return;
	strlcpy(message, violation, sizeof(message));
	mock_calm();
	violation[0] = '\0';
	elog(ERROR, "the engine broke a rule: %s", message);
}

void
mock_forbid_prepare(bool is_forbidden)
{
	is_prepare_forbidden = is_forbidden;
}

uint64
mock_nstale(void)
{
	return nstale;
}

uint64
mock_nsubmits(void)
{
	return nsubmits;
}

/*
 * An engine that waits for what never comes cannot be interrupted, by design;
 * so say it and crash.
 */
static void
note_call(bool has_progress)
{
	idle_calls = has_progress ? 0 : idle_calls + 1;
	if (idle_calls < MOCK_PATIENCE)
		return;
	write_stderr(
		"iopool_unit: the engine is stuck: %d calls without progress; %s\n",
		idle_calls, violation);
	abort();
}

static int64
total_len(const IopoolIo *io)
{
	int64 len = 0;

	for (int i = 0; i < io->niov; i++)
		len += io->iov[i].iov_len;
	return len;
}

/* --------------------------------------------------------------------------
 * What is outstanding: prepared or in the kernel, on any ring.
 */

typedef bool (*ReadTest)(const MockRead *read, const void *arg, Size len);

static int
count_reads(ReadTest test, const void *arg, Size len)
{
	int n = 0;

	for (int r = 0; r < count_rings(); r++)
	{
		MockRing *ring = ring_at(r);

		for (int i = 0; i < ring->nprepared; i++)
			n += test(&ring->prepared[i], arg, len);
		for (int i = 0; i < ring->nkernel; i++)
			n += test(&ring->kernel[i], arg, len);
	}
	return n;
}

static bool
is_any(const MockRead *read, const void *arg, Size len)
{
	return true;
}

static bool
has_fd(const MockRead *read, const void *arg, Size len)
{
	return read->io.fd == *(const int *) arg;
}

static bool
reads_into(const MockRead *read, const void *arg, Size len)
{
	const char *memory = arg;

	for (int i = 0; i < read->io.niov; i++)
	{
		const char *base = read->iov[i].iov_base;

		if (base < memory + len && memory < base + read->iov[i].iov_len)
			return true;
	}
	return false;
}

int
mock_outstanding(void)
{
	return count_reads(is_any, NULL, 0);
}

int64
mock_outstanding_bytes(void)
{
	int64 bytes = 0;

	for (int r = 0; r < count_rings(); r++)
	{
		MockRing *ring = ring_at(r);

		for (int i = 0; i < ring->nprepared; i++)
			bytes += total_len(&ring->prepared[i].io);
		for (int i = 0; i < ring->nkernel; i++)
			bytes += total_len(&ring->kernel[i].io);
	}
	return bytes;
}

bool
mock_is_read_into(const char *memory, Size len)
{
	return count_reads(reads_into, memory, len) > 0;
}

int
mock_prepared(IopoolRing *ring)
{
	return ((MockRing *) ring->method_state)->nprepared;
}

int
mock_in_kernel(IopoolRing *ring)
{
	return ((MockRing *) ring->method_state)->nkernel;
}

/* Tag of the youngest read of the lease's slot, in the kernel or prepared. */
uint64
mock_tag(IopoolRing *ring, int readno)
{
	MockRing *mock = ring->method_state;

	for (int i = 0; i < mock->nkernel; i++)
	{
		if ((mock->kernel[i].io.tag & 0xffff) == (uint64) readno)
			return mock->kernel[i].io.tag;
	}
	for (int i = 0; i < mock->nprepared; i++)
	{
		if ((mock->prepared[i].io.tag & 0xffff) == (uint64) readno)
			return mock->prepared[i].io.tag;
	}
	return 0;
}

/* --------------------------------------------------------------------------
 * Hooks
 */

void
unit_pfree(void *pointer)
{
	if (mock_is_read_into(pointer,
						  GetMemoryChunkSpace(pointer) - 2 * sizeof(void *)))
		mock_violation("memory is freed while a read into it is outstanding");
	pfree(pointer);
}

int
unit_close(int fd)
{
	if (count_reads(has_fd, &fd, 0) > 0)
		mock_violation("a file is closed while a read of it is outstanding");
	return close(fd);
}

/* A file system that may know less of a file than there is. */
int
unit_fstatfs(int fd, struct statfs *fs)
{
	memset(fs, 0, sizeof(struct statfs));
	return 0;
}

/* Only whether there is anything to read. */
ssize_t
unit_pread(int fd, void *buf, size_t len, off_t offset)
{
	MockFile *file = mock_file_of(fd);

	if (file == NULL)
		mock_violation("a file is read that is not open");
	if (file == NULL || offset >= file->size)
		return 0;
	if (file->alignment > 0 && !file->is_byte_wise)
	{
		errno = EINVAL;
		return -1;
	}
	len = Min((int64) len, file->size - offset);
	mock_fill(file, offset, buf, len);
	return len;
}

/* What the engine has slept, all in all. */
int64 mock_paused_us = 0;

void
unit_usleep(long microseconds)
{
	mock_paused_us += microseconds;
}

void *
unit_alloc_extended(MemoryContext cxt, Size size, int flags)
{
	if ((flags & MCXT_ALLOC_NO_OOM) != 0 && mock_chance(mock_script.no_memory))
		return NULL;
	return MemoryContextAllocExtended(cxt, size, flags);
}

bool
unit_acquire_fd(void)
{
	if (mock_script.max_fds > 0 && nfds >= mock_script.max_fds)
		return false;
	nfds++;
	return true;
}

void
unit_release_fd(void)
{
	nfds--;
}

/* --------------------------------------------------------------------------
 * Reading
 */

/* Scatter len bytes of the file, and rubbish into the rest of the vector. */
static void
fill_vector(const MockRead *read, const MockFile *file, int64 len)
{
	int64 offset = read->io.offset;

	for (int i = 0; i < read->io.niov; i++)
	{
		char *base = read->iov[i].iov_base;
		int64 n = Min((int64) read->iov[i].iov_len, len);

		mock_fill(file, offset, base, n);
		memset(base + n, 0xAB, read->iov[i].iov_len - n);
		offset += n;
		len -= n;
	}
}

/* What the kernel would return, and the bytes with it. */
static int
perform(const MockRead *read, bool is_plain)
{
	const IopoolIo *io = &read->io;
	MockFile *file = mock_file_of(io->fd);
	int64 end = io->offset + total_len(io);
	int64 len;

	if (file == NULL)
	{
		/* unless the case has failed, and its files are gone */
		if (mock_has_files())
			mock_violation(
				"a read of descriptor %d, which is no longer its file",
				io->fd);
		return -EBADF;
	}
	fill_vector(read, file, 0);

	if (io->rw_flags != 0 && file->is_uncached)
		return -EOPNOTSUPP;
	if (mock_chance(mock_script.transient_results))
		return mock_chance(50) ? -EAGAIN : -EINTR;

	if (file->is_behind && !is_plain)
	{
		end = Min(end, file->stat_size);
		if (io->offset >= end)
			return 0;
	}
	if (io->offset < file->bad_end && end > file->bad_start)
	{
		/* as a disk does: up to the bad sector, or nothing at all */
		if (io->offset >= file->bad_start || mock_chance(50))
			return -EIO;
		end = file->bad_start;
		if (io->is_direct)
			end -= end % file->alignment;
		if (end <= io->offset)
			return -EIO;
	}
	if (end > file->size && file->stat_size > file->size)
	{
		/* the file was truncated after it had been opened */
		if (truncate(file->path, file->size) != 0)
			mock_violation("could not truncate \"%s\"", file->path);
		file->stat_size = file->size;
	}
	end = Min(end, file->size);
	len = Max(end - io->offset, 0);

	if (len > 1 && mock_chance(mock_script.short_reads))
	{
		int64 shorter = mock_between(1, len - 1);

		if (io->is_direct)
			shorter -= shorter % file->alignment;
		if (shorter > 0)
			len = shorter;
	}
	if (mock_script.odd_stop > 0)
	{
		len = Min(len, mock_script.odd_stop);
		mock_script.odd_stop = 0;
	}
	fill_vector(read, file, len);
	return (int) len;
}

/* In place of method_sync.c: what the kernel does when this process asks it. */
int
iopool_sync_read(const IopoolIo *io)
{
	MockRead read;

	if (is_prepare_forbidden)
		mock_violation("a read is made after a cancel request");
	read.io = *io;
	memcpy(read.iov, io->iov, sizeof(struct iovec) * io->niov);
	return perform(&read, true);
}

static void complete_one(MockRing *ring, int i);

static void
push_done(MockRing *ring, uint64 tag, int result, bool is_stale)
{
	if (ring->ndone == MAX_DONE)
	{
		mock_violation("completions are not reaped");
		return;
	}
	ring->done[ring->ndone].tag = tag;
	ring->done[ring->ndone].result = result;
	ring->is_stale[ring->ndone] = is_stale;
	ring->ndone++;
	if (!is_stale)
		ring->nreal++;
	else
		nstale++;
}

/* A completion that no read of the ring waits for. */
void
mock_deliver(IopoolRing *ring, uint64 tag, int result)
{
	push_done(ring->method_state, tag, result, true);
}

/* Time goes by for so many reads, also where the script holds them. */
void
mock_complete(IopoolRing *ring, int n)
{
	MockRing *mock = ring->method_state;

	while (n-- > 0 && mock->nkernel > 0)
		complete_one(mock, 0);
}

static void
deliver_something_stale(MockRing *ring)
{
	uint64 tag = 0;

	switch (mock_between(0, 3))
	{
		case 0:
			tag = ring->last_tag;
			break;
		case 1:
			if (ring->nkernel > 0)
				tag = ring->kernel[0].io.tag - 0x10000;
			break;
		case 2:
			tag = mock_between(0, PG_INT64_MAX) | 0x8000;
			break;
		default:
			break;
	}
	push_done(ring, tag, (int) mock_between(-200, 100000), true);
}

static void
complete_one(MockRing *ring, int i)
{
	MockRead *read = &ring->kernel[i];

	if (read->io.niov < 1 ||
		memcmp(read->io.iov, read->iov,
			   sizeof(struct iovec) * read->io.niov) != 0)
		mock_violation(
			"the vector of a read changed while it was outstanding");
	else
		push_done(ring, read->io.tag, perform(read, false), false);

	ring->nkernel--;
	memmove(read, read + 1, sizeof(MockRead) * (ring->nkernel - i));
}

/* Time goes by: complete at least so many, in any order, and maybe more. */
static bool
progress(MockRing *ring, int at_least)
{
	int n = ring->nkernel;

	if (mock_script.is_held)
		n = at_least;
	else if (mock_chance(mock_script.laziness))
		n = (int) mock_between(0, n);
	n = Min(Max(n, at_least), ring->nkernel);

	for (int i = 0; i < n; i++)
		complete_one(ring, (int) mock_between(0, ring->nkernel - 1));
	if (mock_chance(mock_script.stale))
		deliver_something_stale(ring);
	return n > 0;
}

/* --------------------------------------------------------------------------
 * The method
 */

static Size
mock_local_size(int entries)
{
	return 0;
}

static int
mock_make_ring(void *shared, int entries)
{
	MockRing *ring = shared;

	Assert(entries <= MOCK_MAX_ENTRIES);
	ring->entries = entries;
	return 0;
}

static int
mock_ping(void *shared)
{
	MockRing *ring = shared;

	note_call(progress(ring, 0));
	return -(mock_script.refused_errno != 0 ? mock_script.refused_errno
											: mock_script.ping_errno);
}

static int
mock_attach(IopoolHandle *handle)
{
	MockRing *ring = handle->shared;

	if (ring->is_attached)
		mock_violation("a ring is leased twice");
	if (ring->nprepared + ring->nkernel + ring->nreal > 0)
		mock_violation("a ring changes hands that is not empty");
	if (handle->entries != ring->entries)
		mock_violation("the handle says %d entries", handle->entries);
	ring->is_attached = true;
	return -mock_script.attach_errno;
}

static void
mock_detach(IopoolHandle *handle)
{
	MockRing *ring = handle->shared;

	if (!ring->is_attached)
		mock_violation("a ring is given back that is not leased");
	if (ring->nprepared > 0)
		mock_violation("a ring is given back with %d reads prepared",
					   ring->nprepared);
	if (ring->nkernel > 0)
		mock_violation("a ring is given back with %d reads in the kernel",
					   ring->nkernel);
	if (ring->nreal > 0)
		mock_violation("a ring is given back with %d reads not reaped",
					   ring->nreal);
	ring->is_attached = false;
}

/* Two reads into the same memory at once: one of them is lost. */
static bool
collides(const MockRead *read)
{
	for (int i = 0; i < read->io.niov; i++)
	{
		const char *base = read->iov[i].iov_base;

		if (!unit_is_gap(base) &&
			mock_is_read_into(base, read->iov[i].iov_len))
			return true;
	}
	return false;
}

static bool
is_aligned(const MockRead *read)
{
	MockFile *file = mock_file_of(read->io.fd);
	int alignment = file != NULL ? file->alignment : 0;

	if (alignment == 0 || file->is_byte_wise)
		return read->io.is_direct == (alignment > 0);
	if (!read->io.is_direct || read->io.offset % alignment != 0)
		return false;
	for (int i = 0; i < read->io.niov; i++)
	{
		if ((uintptr_t) read->iov[i].iov_base %
					Min(alignment, IOPOOL_BLOCK_SIZE) !=
				0 ||
			read->iov[i].iov_len % alignment != 0)
			return false;
	}
	return true;
}

static int
mock_prepare(IopoolHandle *handle, const IopoolIo *io)
{
	MockRing *ring = handle->shared;
	MockRead *read = &ring->prepared[ring->nprepared];
	bool others =
		iopool_shared->pools[0].nrings - iopool_shared->pools[0].nbroken > 1;

	if (is_prepare_forbidden)
		mock_violation("a read is begun after a cancel request");
	if (!ring->is_attached)
		mock_violation("a read is prepared on a ring that is not leased");
	if (mock_script.prepare_errno != 0 ||
		(others && mock_chance(mock_script.fatal) && mock_chance(10)))
	{
		int errnum = mock_script.prepare_errno;

		mock_script.prepare_errno = 0;
		return errnum != 0 ? -errnum : mock_chance(50) ? -EBUSY : -EINVAL;
	}
	if (ring->nprepared + ring->nkernel + ring->nreal >= ring->entries)
	{
		mock_violation("more reads in flight than the ring has entries");
		return -EBUSY;
	}
	if (io->niov < 1 || io->niov > IOPOOL_MAX_IOV || io->offset < 0)
	{
		mock_violation("a read of %d pieces at offset %lld", io->niov,
					   (long long) io->offset);
		return -EINVAL;
	}

	read->io = *io;
	memcpy(read->iov, io->iov, sizeof(struct iovec) * io->niov);
	if (collides(read))
		mock_violation("two reads into the same memory are outstanding");
	if (mock_file_of(io->fd) == NULL)
		mock_violation("a read of a file that is not open");
	else if (!is_aligned(read))
		mock_violation(
			"a direct read is not aligned: %s, offset %lld, %d pieces, the first %p of %zu bytes",
			io->is_direct ? "direct" : "buffered", (long long) io->offset,
			io->niov, io->iov[0].iov_base, io->iov[0].iov_len);
	for (int i = 0; i < io->niov; i++)
	{
		if (io->iov[i].iov_len == 0)
			mock_violation("a read has an empty piece");
	}
	ring->nprepared++;
	return 0;
}

/* Take up to n of the prepared, oldest first. */
static void
accept_reads(MockRing *ring, int n)
{
	memcpy(&ring->kernel[ring->nkernel], ring->prepared, sizeof(MockRead) * n);
	ring->nkernel += n;
	ring->nprepared -= n;
	memmove(ring->prepared, ring->prepared + n,
			sizeof(MockRead) * ring->nprepared);
}

/* Does this submit fail?  0 or -errno. */
static int
submit_failure(MockRing *ring)
{
	static const int transient[] = {EINTR, EAGAIN, EBUSY, ENOMEM, ENOBUFS};
	IopoolPool *pool = &iopool_shared->pools[0];

	if (mock_script.refused_errno != 0)
		return -mock_script.refused_errno;
	if (mock_script.submit_nerrors > 0)
	{
		mock_script.submit_nerrors--;
		return -mock_script.submit_errno;
	}
	if (mock_script.fatal_errno != 0)
	{
		ring->fatal_errno = mock_script.fatal_errno;
		mock_script.fatal_errno = 0;
		return -ring->fatal_errno;
	}
	if (pool->nrings - pool->nbroken > 1 && mock_chance(mock_script.fatal))
	{
		ring->fatal_errno = EOVERFLOW;
		return -EOVERFLOW;
	}
	if (mock_chance(mock_script.transient_submits))
		return -transient[mock_between(0, lengthof(transient) - 1)];
	return 0;
}

static int
mock_submit(IopoolHandle *handle, unsigned wait_nr, int64 timeout_us)
{
	MockRing *ring = handle->shared;
	int n = ring->nprepared;
	bool is_partial;
	int rc;

	nsubmits++;
	if (timeout_us == 0)
		wait_nr = Min(wait_nr, (unsigned) ring->ndone);
	if (!ring->is_attached)
		mock_violation("a ring is submitted that is not leased");
	if (ring->fatal_errno != 0)
		mock_violation("a ring is used that the kernel has refused");
	if (wait_nr > (unsigned) (ring->nprepared + ring->nkernel + ring->ndone))
		mock_violation("a wait for %u reads where %d can come", wait_nr,
					   ring->nprepared + ring->nkernel + ring->ndone);

	rc = submit_failure(ring);
	if (rc != 0)
	{
		/* it has no effect, and time goes by all the same */
		note_call(mock_script.is_held ? mock_script.submit_nerrors > 0
									  : progress(ring, 0));
		return rc;
	}

	if (mock_script.max_accept > 0)
		n = Min(n, mock_script.max_accept);
	else if (n > 0 && mock_chance(mock_script.partial_submits))
		n = (int) mock_between(0, n);
	is_partial = n < ring->nprepared;
	accept_reads(ring, n);

	if (progress(ring, Max((int) wait_nr - ring->ndone, 0)) || n > 0)
		note_call(true);
	else
		note_call(false);
	if (n > 0)
		handle->nquick = ring->nkernel == 0 && wait_nr == 0
			? Min(handle->nquick + n, IOPOOL_QUICK_READS)
			: 0;
	return is_partial ? -EAGAIN : 0;
}

static int
mock_reap(IopoolHandle *handle, IopoolCompletion *completions, int max)
{
	MockRing *ring = handle->shared;
	int n = Min(ring->ndone, max);

	if (n > 1 && mock_chance(mock_script.laziness))
		n = (int) mock_between(1, n);
	for (int i = 0; i < n; i++)
	{
		completions[i] = ring->done[i];
		ring->last_tag = completions[i].tag;
		ring->nreal -= !ring->is_stale[i];
	}
	ring->ndone -= n;
	memmove(ring->done, ring->done + n,
			sizeof(IopoolCompletion) * ring->ndone);
	memmove(ring->is_stale, ring->is_stale + n, sizeof(bool) * ring->ndone);
	return n;
}

static int
mock_cancel_prepared(IopoolHandle *handle, IopoolCompletion *completions,
					 int max)
{
	MockRing *ring = handle->shared;
	int n = 0;

	while (ring->nprepared > 0 && n < max)
	{
		completions[n].tag = ring->prepared[--ring->nprepared].io.tag;
		completions[n].result = -ECANCELED;
		n++;
	}
	return n;
}

static IopoolAbsence
mock_absence(const IopoolHandle *handle)
{
	return IOPOOL_ABSENCE_COLLECTED;
}

const IopoolMethod mock_method = {
	.name = "mock",
	.shared_size = sizeof(MockRing),
	.local_size = mock_local_size,
	.make_ring = mock_make_ring,
	.ping = mock_ping,
	.absence = mock_absence,
	.attach = mock_attach,
	.detach = mock_detach,
	.prepare = mock_prepare,
	.submit = mock_submit,
	.reap = mock_reap,
	.cancel_prepared = mock_cancel_prepared,
};
