/*-------------------------------------------------------------------------
 *
 * index_scan.c
 *	  Scans of an index on disk, parallel ones above all.
 *
 * A parallel scan has slots in a segment of dynamic shared memory.  Whoever
 * finds a free slot reads the next block into it; whoever comes first takes a
 * block that has been read.  So workers take what the leader has read, and the
 * other way round:
 *
 *		FREE --claim_slot()--> READING --publish()--> FULL
 *		  ^                                            |
 *		  +------give_back()------- BUSY <--take_block()
 *
 * A slot in READING or BUSY is in the hands of one participant, who sees to it
 * before its scan comes to an end.  So whoever finds nothing to take and
 * nothing to read may leave at any time.  It must not wait for the others
 * without limit, because they may wait for it: a worker stands still when the
 * leader does not take its rows.
 *
 * The segment is the scan's own.  That of the query will not do, where the
 * memory of ParallelIndexScanDesc lies: an access method cannot tell iopool
 * which segment that is, and in the leader it goes before amendscan().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/relscan.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "consumer.h"
#include "index.h"

/* Where our part of ParallelIndexScanDesc begins. */
#if PG_VERSION_NUM >= 180000
#define SHARED_OFFSET(pscan) ((pscan)->ps_offset_am)
#else
#define SHARED_OFFSET(pscan) ((pscan)->ps_offset)
#endif

#define NSLOTS	   32
#define SLOTS_SIZE (NSLOTS * INDEX_BLOCK_SIZE)

/* Reads of one participant that are outstanding, at most. */
#define MAX_READS 8

/* How long to wait for others while they change nothing. */
#define MAX_WAIT_MS 50

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_READING, /* its memory belongs to a stream */
	SLOT_FULL,	  /* anybody's */
	SLOT_BUSY,	  /* somebody looks at its entries */
} SlotState;

typedef struct Slot
{
	SlotState state;
	int reader; /* ParallelWorkerNumber of who has read it */
} Slot;

/* What the participants have in common; all that can change under the mutex. */
typedef struct SharedScan
{
	slock_t mutex;
	ConditionVariable changed;
	dsm_handle segment; /* with the slots; DSM_HANDLE_INVALID: not yet */
	int64 next;			/* block that nobody has claimed */
	Slot slots[NSLOTS];
} SharedScan;

/* What each of them has. */
typedef struct BlockScan
{
	MemoryContext cxt;	/* of file and stream; reset when they go */
	SharedScan *shared; /* in cxt where the scan is not parallel */
	dsm_segment *segment;
	IndexBlock *blocks; /* one for each slot */
	IopoolApiFile *file;
	IopoolApiStream *stream; /* NULL: nothing has been begun */
	int64 nblocks;			 /* of the file */
	int slot;				 /* in our hands; -1: none */
	int entry;				 /* of its block, the next one to look at */
	int64 ntaken;			 /* blocks */
	int64 nothers;			 /* of these, read by others */
} BlockScan;

/* --------------------------------------------------------------------------
 * Slots
 */

static SharedScan *
shared_scan(IndexScanDesc desc)
{
	return OffsetToPointer(desc->parallel_scan,
						   SHARED_OFFSET(desc->parallel_scan));
}

void
index_scan_init_shared(void *target)
{
	SharedScan *shared = target;

	memset(shared, 0, sizeof(SharedScan));
	SpinLockInit(&shared->mutex);
	ConditionVariableInit(&shared->changed);
	shared->segment = DSM_HANDLE_INVALID;
}

/*
 * The segment with the slots, which the first participant makes; NULL: it has
 * come and gone, and so have all blocks.
 */
static dsm_segment *
shared_segment(SharedScan *shared)
{
	dsm_segment *segment = NULL;
	dsm_handle handle;

	SpinLockAcquire(&shared->mutex);
	handle = shared->segment;
	SpinLockRelease(&shared->mutex);
	if (handle != DSM_HANDLE_INVALID)
		return dsm_attach(handle);

	/* with room to align it */
	segment = dsm_create(SLOTS_SIZE + INDEX_BLOCK_SIZE, 0);
	SpinLockAcquire(&shared->mutex);
	if (shared->segment == DSM_HANDLE_INVALID)
		shared->segment = dsm_segment_handle(segment);
	handle = shared->segment;
	SpinLockRelease(&shared->mutex);
	if (handle == dsm_segment_handle(segment))
		return segment;
	/* another one was quicker */
	dsm_detach(segment);
	return dsm_attach(handle);
}

/* Claim a free slot, and the next block for it.  -1: there is none of them. */
static int
claim_slot(BlockScan *scan, int64 *block)
{
	SharedScan *shared = scan->shared;
	int found = -1;

	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < NSLOTS && shared->next < scan->nblocks; i++)
	{
		if (shared->slots[i].state != SLOT_FREE)
			continue;
		shared->slots[i].state = SLOT_READING;
		shared->slots[i].reader = ParallelWorkerNumber;
		*block = shared->next++;
		found = i;
		break;
	}
	SpinLockRelease(&shared->mutex);
	return found;
}

/*
 * Take a block that has been read, by whomever.  False: there is none;
 * *may_come: others may still publish one, or give a slot back.
 */
static bool
take_block(BlockScan *scan, bool *may_come)
{
	SharedScan *shared = scan->shared;
	int reader = ParallelWorkerNumber;

	SpinLockAcquire(&shared->mutex);
	*may_come = shared->next < scan->nblocks;
	for (int i = 0; i < NSLOTS; i++)
	{
		if (shared->slots[i].state == SLOT_READING)
			*may_come = true;
		if (shared->slots[i].state != SLOT_FULL)
			continue;
		shared->slots[i].state = SLOT_BUSY;
		reader = shared->slots[i].reader;
		scan->slot = i;
		scan->entry = 0;
		break;
	}
	SpinLockRelease(&shared->mutex);
	if (scan->slot < 0)
		return false;
	scan->ntaken++;
	if (reader != ParallelWorkerNumber)
		scan->nothers++;
	return true;
}

static void
set_state(BlockScan *scan, int slot, SlotState state)
{
	SpinLockAcquire(&scan->shared->mutex);
	scan->shared->slots[slot].state = state;
	SpinLockRelease(&scan->shared->mutex);
	ConditionVariableBroadcast(&scan->shared->changed);
}

static void
give_back(BlockScan *scan)
{
	if (scan->slot >= 0)
		set_state(scan, scan->slot, SLOT_FREE);
	scan->slot = -1;
}

/* --------------------------------------------------------------------------
 * Reads
 */

static bool
begin_reads(IndexScanDesc desc)
{
	const IopoolApi *iopool = consumer_api();
	BlockScan *scan = desc->opaque;
	IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
	IopoolApiFileInfo info = {.size = sizeof(info)};
	void *memory;

	if (desc->parallel_scan != NULL)
	{
		scan->shared = shared_scan(desc);
		scan->segment = shared_segment(scan->shared);
		if (scan->segment == NULL)
			return false;
		memory = dsm_segment_address(scan->segment);
	}
	else
	{
		scan->shared = MemoryContextAlloc(scan->cxt, sizeof(SharedScan));
		index_scan_init_shared(scan->shared);
		memory =
			iopool->alloc_aligned(scan->cxt, SLOTS_SIZE, INDEX_BLOCK_SIZE);
	}
	scan->blocks = (IndexBlock *) TYPEALIGN(INDEX_BLOCK_SIZE, memory);

	scan->file = iopool->open_file(scan->cxt, index_path(desc->indexRelation),
								   IOPOOL_API_TRUSTED, IOPOOL_API_IO_SESSION);
	iopool->file_info(scan->file, &info);
	scan->nblocks = info.file_size / INDEX_BLOCK_SIZE;
	/* from the disk into the slots, where it is read directly */
	options.is_aligned = true;
	options.buffer_segment = scan->segment;
	scan->stream = iopool->begin(scan->cxt, &options);
	return true;
}

/* Ask for blocks as far as there are slots; they are read by publish(). */
static void
read_ahead(BlockScan *scan)
{
	const IopoolApi *iopool = consumer_api();

	while (iopool->outstanding(scan->stream) < MAX_READS)
	{
		int64 block;
		int slot = claim_slot(scan, &block);
		IopoolApiRead read = {
			.file = scan->file,
			.length = INDEX_BLOCK_SIZE,
			.buffer_size = INDEX_BLOCK_SIZE,
		};

		if (slot < 0)
			return;
		read.offset = block * INDEX_BLOCK_SIZE;
		read.cookie = slot;
		read.buffer = scan->blocks[slot].bytes;
		iopool->add(scan->stream, &read);
	}
}

/* Hand over what we have read, and read on; wait for one block if need be. */
static void
publish(BlockScan *scan, int timeout_ms)
{
	const IopoolApi *iopool = consumer_api();
	IopoolApiResult results[MAX_READS];
	int n = iopool->take(scan->stream, results, MAX_READS, timeout_ms);

	for (int i = 0; i < n; i++)
	{
		const IndexBlock *block = (const IndexBlock *) results[i].buffer;

		iopool->raise_failure(&results[i]);
		if (results[i].nbytes != INDEX_BLOCK_SIZE || block->nentries < 0 ||
			block->nentries > INDEX_MAX_ENTRIES)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("no block of an index at offset %lld",
							(long long) results[i].offset)));
		set_state(scan, (int) results[i].cookie, SLOT_FULL);
	}
}

/* Get the next block into our hands.  False: there is none left for us. */
static bool
next_block(BlockScan *scan)
{
	bool may_come;

	for (;;)
	{
		read_ahead(scan);
		publish(scan, 0);
		if (take_block(scan, &may_come))
			break;
		if (consumer_api()->outstanding(scan->stream) > 0)
			publish(scan, -1);
		else if (!may_come ||
				 ConditionVariableTimedSleep(&scan->shared->changed,
											 MAX_WAIT_MS, PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
	return scan->slot >= 0;
}

/* Leave the scan, or be as before its beginning.  Waits for reads in flight. */
static void
end_reads(BlockScan *scan)
{
	if (scan->stream != NULL)
		elog(DEBUG1, "consumer_index: %lld blocks, %lld of them read by others",
			 (long long) scan->ntaken, (long long) scan->nothers);
	MemoryContextReset(scan->cxt); /* which ends the stream */
	if (scan->segment != NULL)
		dsm_detach(scan->segment);
	scan->segment = NULL;
	scan->stream = NULL;
	scan->slot = -1;
	scan->ntaken = scan->nothers = 0;
}

/* --------------------------------------------------------------------------
 * Scans
 */

IndexScanDesc
index_scan_begin(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
	BlockScan *scan = palloc0(sizeof(BlockScan));

	scan->cxt = AllocSetContextCreate(CurrentMemoryContext, "consumer_index",
									  ALLOCSET_DEFAULT_SIZES);
	scan->slot = -1;
	desc->opaque = scan;
	return desc;
}

/* What is shared is left alone: workers may be at it already. */
void
index_scan_again(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orderbys,
				 int norderbys)
{
	end_reads(desc->opaque);
	if (keys != NULL && desc->numberOfKeys > 0)
		memmove(desc->keyData, keys, desc->numberOfKeys * sizeof(ScanKeyData));
}

static bool
is_wanted(IndexScanDesc desc, const IndexEntry *entry)
{
	for (int i = 0; i < desc->numberOfKeys; i++)
	{
		ScanKey key = &desc->keyData[i];

		if ((key->sk_flags & SK_ISNULL) != 0 ||
			!DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation,
											Int64GetDatum(entry->key),
											key->sk_argument)))
			return false;
	}
	return true;
}

bool
index_scan_next(IndexScanDesc desc, ScanDirection direction)
{
	BlockScan *scan = desc->opaque;

	if (scan->stream == NULL && !begin_reads(desc))
		return false;
	while (scan->slot >= 0 || next_block(scan))
	{
		const IndexBlock *block = &scan->blocks[scan->slot];

		while (scan->entry < block->nentries)
		{
			const IndexEntry *entry = &block->entries[scan->entry++];

			if (!is_wanted(desc, entry))
				continue;
			desc->xs_heaptid = entry->tid;
			desc->xs_recheck = false;
			return true;
		}
		give_back(scan);
	}
	return false;
}

void
index_scan_end(IndexScanDesc desc)
{
	BlockScan *scan = desc->opaque;

	end_reads(scan);
	MemoryContextDelete(scan->cxt);
	pfree(scan);
}

Size
index_scan_estimate_shared(INDEX_ESTIMATE_PARAMS)
{
	return sizeof(SharedScan);
}

/*
 * The leader begins another scan, when all workers are gone.  Only what is
 * shared is reset.  Its reads may still be in flight, to the segment of the
 * scan before, which nobody else can find any more.
 */
void
index_scan_reset_shared(IndexScanDesc desc)
{
	index_scan_init_shared(shared_scan(desc));
}
