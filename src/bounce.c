/*-------------------------------------------------------------------------
 *
 * bounce.c
 *	  Room in the bounce buffer of the ring that a lease holds.
 *
 * Direct reads whose bytes are to go where no direct read can end go through
 * it.  It belongs to the ring, in shared memory, and which of its blocks are
 * taken is known to the lease alone.  Nothing here raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lease.h"

/*
 * So many bytes (a multiple of IOPOOL_BLOCK_SIZE) of the ring's bounce
 * buffer, block aligned; NULL when there is no such room now.
 */
char *
iopool_lease_bounce_alloc(IopoolLease *lease, int len)
{
	int need = len / IOPOOL_BLOCK_SIZE;
	int run = 0;

	if (need > lease->nfree_blocks)
		return NULL;

	/* next fit: blocks come back roughly in the order they were taken */
	for (int i = 0; i < lease->nblocks + need; i++)
	{
		int block = (lease->next_block + i) % lease->nblocks;

		if (block == 0)
			run = 0; /* a run does not wrap around */
		run = lease->block_used[block] ? 0 : run + 1;
		if (run == need)
		{
			int first = block - need + 1;

			memset(&lease->block_used[first], true, need);
			lease->nfree_blocks -= need;
			lease->next_block = (block + 1) % lease->nblocks;
			return lease->ring->bounce + (Size) first * IOPOOL_BLOCK_SIZE;
		}
	}
	return NULL;
}

void
iopool_lease_bounce_free(IopoolLease *lease, char *bounce, int len)
{
	int first = (bounce - lease->ring->bounce) / IOPOOL_BLOCK_SIZE;
	int nblocks = len / IOPOOL_BLOCK_SIZE;

	memset(&lease->block_used[first], false, nblocks);
	lease->nfree_blocks += nblocks;
}
