/*-------------------------------------------------------------------------
 *
 * arena.c
 *	  Memory of this backend that direct reads end in.
 *
 * A direct read brings whole blocks to an aligned address, and a range rarely
 * begins on one.  So its blocks go to the arena, and the range's bytes are
 * copied from there when the read is complete, which costs nothing beside the
 * first touch of the memory that they go to.
 *
 * Each read of a lease has a slot of the arena, so there is nothing to
 * allocate while reads are in flight.  The arena is the process's own: a ring
 * that another backend takes over has nothing of it in it.  It is mapped
 * MADV_DONTFORK, because before Linux 6.5 a write to a page that a direct read
 * is in flight to, after a fork(), loses what the read brings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/mman.h>

#include "ring/lease.h"

/*
 * An arena whose slots are so many times as large as they have to be is made
 * again: somebody has read with a much larger window once.
 */
#define MAX_SLACK 4

static Size
arena_size(const IopoolLease *lease)
{
	return lease->slot_size * lease->pool->entries;
}

static void
unmap_arena(IopoolLease *lease)
{
	if (lease->arena != NULL)
		munmap(lease->arena, arena_size(lease));
	lease->arena = NULL;
	lease->slot_size = 0;
}

/*
 * Give each read of the lease a slot of at least `wanted` bytes, or of at
 * least `needed` where reads are on their way to smaller ones.  Returns 0,
 * EAGAIN (not before these reads are in), or the errno of mmap(2).
 *
 * Large pages are not asked for: slots are touched where they begin, so small
 * reads would take a large page for every few of them, and the arena is used
 * again and again once it has been touched.
 */
int
iopool_arena_reserve(IopoolLease *lease, Size wanted, Size needed)
{
	void *memory;

	wanted = TYPEALIGN(IOPOOL_BLOCK_SIZE, wanted);
	if (lease->nslots_used > 0)
		return lease->slot_size >= needed ? 0 : EAGAIN;
	if (lease->slot_size >= wanted && lease->slot_size / MAX_SLACK <= wanted)
		return 0;

	unmap_arena(lease);
	memory = mmap(NULL, wanted * lease->pool->entries, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	lease->arena = memory;
	lease->slot_size = wanted;
	(void) madvise(memory, arena_size(lease), MADV_DONTFORK);
	return 0;
}

/*
 * The slot of a read, block aligned.  It is taken until the read is put back
 * (iopool_lease_put_read()).
 */
char *
iopool_arena_take_slot(IopoolRead *read)
{
	IopoolLease *lease = read->lease;

	Assert(lease->arena != NULL);
	lease->nslots_used++;
	return lease->arena + lease->slot_size * (read - lease->reads);
}
