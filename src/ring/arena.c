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
 * The arena has a slot for each read of a lease, so there is nothing to
 * allocate while reads are in flight.  A long read takes several slots in a
 * row: as many as it wants, or as there are in one place.  The arena is the
 * process's own: a ring that another backend takes over has nothing of it in
 * it.  It is mapped MADV_DONTFORK, because before Linux 6.5 a write to a page
 * that a direct read is in flight to, after a fork(), loses what the read
 * brings.
 *
 * Long reads want large pages: a disk takes a megabyte as one piece, or as 256
 * pieces, which here halved its speed.  Small reads do not: they touch slots
 * where these begin, and would take a large page for every few of them.  So
 * large pages are asked for only where a long read goes.  Slots are taken from
 * the beginning on, so that is no more than long reads had in flight at a time.
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

/*
 * Of the processors that we know; elsewhere the advice is refused or useless.
 * Where slots are longer, for a file system with such blocks, the end of the
 * arena goes without.
 */
#define HUGE_PAGE_SIZE ((Size) 2 * 1024 * 1024)

/* Bytes from which on a read wants large pages. */
#define LONG_READ ((Size) 128 * 1024)

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

/* Map so many bytes, which begin where a large page can; NULL with errno. */
static char *
map_aligned(Size size)
{
	char *memory = mmap(NULL, size + HUGE_PAGE_SIZE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *begin;

	if (memory == MAP_FAILED)
		return NULL;
	begin = (char *) TYPEALIGN(HUGE_PAGE_SIZE, memory);
	if (begin > memory)
		munmap(memory, begin - memory);
	munmap(begin + size, memory + HUGE_PAGE_SIZE - begin);
	return begin;
}

/*
 * Have a slot for another read: of at least `wanted` bytes, or of at least
 * `needed` where reads are on their way to smaller ones.  Returns 0, EAGAIN
 * (not before some of these reads are in), or the errno of mmap(2).
 */
int
iopool_arena_reserve(IopoolLease *lease, Size wanted, Size needed)
{
	int entries = lease->pool->entries;

	wanted = TYPEALIGN(IOPOOL_BLOCK_SIZE, wanted);
	if (lease->nslots_used > 0)
		return lease->slot_size >= needed && lease->nslots_used < entries
			? 0
			: EAGAIN;
	if (lease->slot_size >= wanted && lease->slot_size / MAX_SLACK <= wanted)
		return 0;

	unmap_arena(lease);
	lease->arena = map_aligned(wanted * entries);
	if (lease->arena == NULL)
		return errno;
	lease->slot_size = wanted;
	memset(lease->slots, 0, entries);
	memset(lease->huge_pages, 0, entries + 1);
	(void) madvise(lease->arena, arena_size(lease), MADV_DONTFORK);
	return 0;
}

/* The first free slots in a row, `wanted` of them or as many as there are. */
static int
find_slots(const IopoolLease *lease, int wanted, int *nfound)
{
	int entries = lease->pool->entries;
	int best = 0;

	*nfound = 0;
	for (int first = 0; first < entries && *nfound < wanted;)
	{
		const char *free = memchr(lease->slots + first, 0, entries - first);
		const char *end;
		int nfree;

		if (free == NULL)
			break;
		first = free - lease->slots;
		end = memchr(free, 1, Min(entries - first, wanted));
		nfree = end != NULL ? end - free : Min(entries - first, wanted);
		if (nfree > *nfound)
		{
			*nfound = nfree;
			best = first;
		}
		first += nfree + 1;
	}
	return best;
}

/* Is no slot taken that has memory in [begin, end) of the arena? */
static bool
is_unused(const IopoolLease *lease, Size begin, Size end)
{
	Size first = begin / lease->slot_size;
	Size last = (end - 1) / lease->slot_size;

	return memchr(lease->slots + first, 1, last - first + 1) == NULL;
}

/* Ask for large pages where these slots are, which are about to be taken. */
static void
ask_for_huge_pages(IopoolLease *lease, int first, int nslots)
{
	Size end = lease->slot_size * (first + nslots);

	for (Size page = lease->slot_size * first / HUGE_PAGE_SIZE;
		 page * HUGE_PAGE_SIZE < end && page <= (Size) lease->pool->entries;
		 page++)
	{
		Size begin = page * HUGE_PAGE_SIZE;
		Size size = Min(HUGE_PAGE_SIZE, arena_size(lease) - begin);

		if (lease->huge_pages[page])
			continue;
		lease->huge_pages[page] = true;
		/* small pages that have been touched would stay */
		if (is_unused(lease, begin, begin + size))
			(void) madvise(lease->arena + begin, size, MADV_DONTNEED);
		(void) madvise(lease->arena + begin, size, MADV_HUGEPAGE);
	}
}

/*
 * Take memory for a read of so many bytes, block aligned; it is taken until the
 * read is put back (iopool_lease_put_read()).  Returns how many bytes there
 * are: a slot at least, for which iopool_arena_reserve() has to have been
 * called, and no more than was asked for, rounded up to slots.
 */
Size
iopool_arena_take(IopoolRead *read, Size size)
{
	IopoolLease *lease = read->lease;
	Size nwanted = (size + lease->slot_size - 1) / lease->slot_size;
	int first;

	Assert(lease->arena != NULL);
	nwanted = Min(Max(nwanted, 1), (Size) lease->pool->entries);
	first = find_slots(lease, (int) nwanted, &read->nslots);
	Assert(read->nslots > 0);
	if (size >= LONG_READ)
		ask_for_huge_pages(lease, first, read->nslots);
	memset(lease->slots + first, 1, read->nslots);
	lease->nslots_used += read->nslots;
	read->slot = lease->arena + lease->slot_size * first;
	return lease->slot_size * read->nslots;
}

/* Give back what a read has, if anything. */
void
iopool_arena_put_back(IopoolRead *read)
{
	IopoolLease *lease = read->lease;

	if (read->slot == NULL)
		return;
	memset(lease->slots + (read->slot - lease->arena) / lease->slot_size, 0,
		   read->nslots);
	lease->nslots_used -= read->nslots;
	read->slot = NULL;
}
