/*-------------------------------------------------------------------------
 *
 * world.c
 *	  Chance, pools and files for the mock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "engine/stream_internal.h"
#include "file/log.h"
#include "mock.h"
#include "unit.h"

#define MAX_FILES 8

static pg_prng_state prng;
static MemoryContext world = NULL;
static MockFile files[MAX_FILES];
static int nfiles = 0;

void
mock_seed(uint64 seed)
{
	pg_prng_seed(&prng, seed);
}

/* low and high included */
int64
mock_between(int64 low, int64 high)
{
	return low + (int64) pg_prng_uint64_range(&prng, 0, high - low);
}

bool
mock_chance(int percent)
{
	return percent > 0 && mock_between(1, 100) <= percent;
}

static void
init_rings(IopoolPool *pool)
{
	for (int i = 0; i < pool->nrings; i++)
	{
		IopoolRing *ring = &pool->rings[i];

		ring->tags =
			MemoryContextAllocZero(world, sizeof(uint64) * pool->entries);
		iopool_ring_init(ring, pool->entries);
		ring->next_free = (i + 1 < pool->nrings) ? i + 1 : -1;
		ring->method_state =
			MemoryContextAllocZero(world, mock_method.shared_size);
		CHECK_EQUAL(mock_method.make_ring(ring->method_state, pool->entries),
					0);
	}
}

/*
 * The only pool there is, in this backend's memory.  Takes the place of the
 * one before, which must have all its rings back.
 */
IopoolPool *
mock_pool_create(int nrings, int entries)
{
	IopoolPool *pool;

	if (iopool_shared != NULL)
		unit_lease_forget(&iopool_shared->pools[0]);
	if (world == NULL)
		world = AllocSetContextCreate(TopMemoryContext, "iopool unit",
									  ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(world);

	iopool_shared = MemoryContextAllocZero(world, sizeof(IopoolShared));
	pool = MemoryContextAllocZero(world, sizeof(IopoolPool));
	iopool_shared->npools = 1;
	iopool_shared->pools = pool;
	iopool_shared->waiters =
		MemoryContextAllocZero(world, sizeof(IopoolWaiter) * MaxBackends);

	strlcpy(pool->name, "unit", NAMEDATALEN);
	pool->method = IOPOOL_METHOD_SYNC;
	pool->nrings = nrings;
	pool->entries = entries;
	pool->lock = MemoryContextAllocZero(world, sizeof(LWLock));
	/* from 19 on, one that is not registered is refused */
	LWLockInitialize(pool->lock, LWTRANCHE_BUFFER_MAPPING);
	pg_atomic_init_u32(&pool->nwaiting, 0);
	dlist_init(&pool->waiters);
	pool->mailbox_size = iopool_mailbox_size(entries);
	pool->mailboxes =
		MemoryContextAllocZero(world, pool->mailbox_size * MaxBackends);
	for (int i = 0; i < MaxBackends; i++)
		iopool_mailbox_init(iopool_pool_mailbox(pool, i), entries);
	iopool_stats_init(&pool->stats);
	pool->rings = MemoryContextAllocZero(world, sizeof(IopoolRing) * nrings);
	init_rings(pool);
	return pool;
}

/*
 * In place of access.c and directory_*.c: everybody may name every path,
 * and there are no directories.
 */
void
iopool_access_begin(IopoolAccess *access, MemoryContext cxt)
{
	access->log_role = NULL;
}

bool
iopool_access_is_as_of(const IopoolAccessTime *time)
{
	return true;
}

IopoolDirectory *
iopool_access_path(IopoolAccess *access, const char *path,
				   const char **relative)
{
	*relative = NULL;
	return NULL;
}

/* nothing of a unit test goes to the log */
void
iopool_log_file(const char *role, const char *path,
				const IopoolFailure *failure)
{
}

/* the mock makes every read */
bool
iopool_stream_read_now(IopoolStream *stream, IopoolPending *pending)
{
	return false;
}

bool
iopool_directory_open(IopoolDirectory *dir, IopoolFailure *failure)
{
	unit_fail(__FILE__, __LINE__, "a directory is opened");
}

int
iopool_directory_open_file(const IopoolDirectory *dir, const char *relative,
						   int flags)
{
	unit_fail(__FILE__, __LINE__, "a file in a directory is opened");
}

bool
iopool_directory_look_at_file(const IopoolDirectory *dir, int fd, dev_t dev,
							  IopoolFailure *failure)
{
	unit_fail(__FILE__, __LINE__, "a file in a directory is looked at");
}

bool
iopool_directory_acquire(IopoolDirectory *dir, IopoolFailure *failure)
{
	unit_fail(__FILE__, __LINE__, "a directory is acquired");
}

void
iopool_directory_release(IopoolDirectory *dir)
{
	unit_fail(__FILE__, __LINE__, "a directory is released");
}

/* free + leased + draining + broken = configured; nleased are in use. */
void
mock_pool_check(IopoolPool *pool, int nleased)
{
	int nfree = 0;
	int nbroken = 0;
	int nin_use = 0;
	int listed = 0;

	for (int i = 0; i < pool->nrings; i++)
	{
		IopoolRing *ring = &pool->rings[i];

		nfree += (iopool_ring_state(ring) == IOPOOL_RING_FREE);
		nbroken += (iopool_ring_state(ring) == IOPOOL_RING_BROKEN);
		nin_use += iopool_ring_is_leased(ring);
		if (!iopool_ring_is_leased(ring))
		{
			CHECK_EQUAL(ring->pid, 0);
			CHECK_EQUAL(pg_atomic_read_u32(&ring->in_flight), 0);
			CHECK_EQUAL(mock_prepared(ring) + mock_in_kernel(ring), 0);
		}
		else
			CHECK_EQUAL(ring->pid, MyProcPid);
	}
	for (int i = pool->free_head; i >= 0; i = pool->rings[i].next_free)
	{
		CHECK_EQUAL(iopool_ring_state(&pool->rings[i]), IOPOOL_RING_FREE);
		listed++;
		CHECK(listed <= pool->nrings);
	}
	CHECK_EQUAL(listed, nfree);
	CHECK_EQUAL(pool->nbroken, nbroken);
	CHECK_EQUAL(nin_use, nleased);
	CHECK_EQUAL(nfree + nbroken + nin_use, pool->nrings);
}

uint64
mock_counter(IopoolPool *pool, IopoolCounter counter)
{
	return pg_atomic_read_u64(&pool->stats.counters[counter]);
}

/* A new file in the data directory, until mock_files_remove(). */
MockFile *
mock_file_create(int64 size, int64 stat_size, int alignment)
{
	MockFile *file = &files[nfiles];
	struct stat st;
	int fd;

	CHECK(nfiles < MAX_FILES);
	memset(file, 0, sizeof(MockFile));
	snprintf(file->path, sizeof(file->path), "iopool_unit.%d.%d", MyProcPid,
			 nfiles);
	file->seed = mock_between(0, PG_INT64_MAX);
	file->size = size;
	file->stat_size = stat_size;
	file->alignment = alignment;

	fd = open(file->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	nfiles++;
	CHECK_EQUAL(ftruncate(fd, stat_size), 0);
	CHECK_EQUAL(fstat(fd, &st), 0);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	close(fd);
	return file;
}

/* Which file an open descriptor is of; NULL when it is of none. */
MockFile *
mock_file_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return NULL;
	for (int i = 0; i < nfiles; i++)
	{
		if (files[i].dev == st.st_dev && files[i].ino == st.st_ino)
			return &files[i];
	}
	return NULL;
}

bool
mock_has_files(void)
{
	return nfiles > 0;
}

void
mock_files_remove(void)
{
	while (nfiles > 0)
		unlink(files[--nfiles].path);
}

/* The bytes of a file; each depends on all of its offset. */
void
mock_fill(const MockFile *file, int64 offset, char *dest, int64 len)
{
	while (len > 0)
	{
		uint64 word = file->seed + (uint64) (offset / 8);
		int skip = offset % 8;
		int n = Min(len, 8 - skip);

		word = (word ^ (word >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
		word = (word ^ (word >> 27)) * UINT64CONST(0x94d049bb133111eb);
		word ^= word >> 31;
		memcpy(dest, (char *) &word + skip, n);
		dest += n;
		offset += n;
		len -= n;
	}
}
