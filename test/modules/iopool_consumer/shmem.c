/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Reads into the server's shared memory, where other processes find them.
 *
 * Such memory is never freed, so a stream does not watch it.  But others may
 * get it, and must not as long as reads are in flight.  A lightweight lock
 * would not keep them away: an error releases it before it comes to streams.
 * PG_CATCH() does not hear of a process that is terminated.  A reset callback
 * of the context that the stream is begun in is called when the stream has
 * ended, whatever the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "consumer.h"

#define NBLOCKS	   8
#define BLOCK_SIZE 4096
#define DATA_SIZE  (NBLOCKS * BLOCK_SIZE)

/*
 * Small enough for what is left over in shared memory, so that the library need
 * not be preloaded.
 */
typedef struct SharedBlocks
{
	pg_atomic_uint32 owner; /* pid of who reads into the data; 0: nobody */
	char data[DATA_SIZE + BLOCK_SIZE]; /* with room to align it */
} SharedBlocks;

PG_FUNCTION_INFO_V1(consumer_shmem_read);
PG_FUNCTION_INFO_V1(consumer_shmem_data);

static SharedBlocks *
shared_blocks(void)
{
	static SharedBlocks *shared = NULL;
	bool found;

	if (shared != NULL)
		return shared;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("iopool_consumer", sizeof(SharedBlocks), &found);
	if (!found)
		pg_atomic_init_u32(&shared->owner, 0);
	LWLockRelease(AddinShmemInitLock);
	return shared;
}

static char *
shared_data(void)
{
	return (char *) TYPEALIGN(BLOCK_SIZE, shared_blocks()->data);
}

/* The stream has ended. */
static void
give_back(void *arg)
{
	SharedBlocks *shared = arg;

	pg_atomic_write_u32(&shared->owner, 0);
}

/* The process ends, and has no stream any more that reads into the blocks. */
void
consumer_shmem_give_back(void)
{
	uint32 owner = (uint32) MyProcPid;

	(void) pg_atomic_compare_exchange_u32(&shared_blocks()->owner, &owner, 0);
}

/* The blocks are ours until cxt goes. */
static void
claim_blocks(MemoryContext cxt)
{
	SharedBlocks *shared = shared_blocks();
	MemoryContextCallback *callback =
		MemoryContextAlloc(cxt, sizeof(MemoryContextCallback));
	uint32 owner = 0;

	if (!pg_atomic_compare_exchange_u32(&shared->owner, &owner,
										(uint32) MyProcPid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("process %u reads into the blocks", owner)));
	callback->func = give_back;
	callback->arg = shared;
	MemoryContextRegisterResetCallback(cxt, callback);
}

/*
 * Read blocks of a file, as many as there is room for; returns how many bytes
 * that were.  fails: raises an error when the reads are on their way.
 */
int
consumer_shmem_fill(const char *path, int64 first, IopoolApiAccess access,
					IopoolApiIoMode io_mode, bool fails)
{
	const IopoolApi *iopool = consumer_api();
	IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
	IopoolApiResult results[NBLOCKS];
	IopoolApiStream *stream;
	IopoolApiFile *file;
	MemoryContext cxt;
	int64 nbytes = 0;
	int n;

	cxt = AllocSetContextCreate(CurrentMemoryContext, "consumer_shmem_read",
								ALLOCSET_DEFAULT_SIZES);
	claim_blocks(cxt);
	file = iopool->open_file(cxt, path, access, io_mode);
	options.is_aligned = true;
	stream = iopool->begin(cxt, &options);

	for (int i = 0; i < NBLOCKS; i++)
	{
		IopoolApiRead read = {
			.file = file,
			.offset = (first + i) * BLOCK_SIZE,
			.length = BLOCK_SIZE,
			.buffer = shared_data() + i * BLOCK_SIZE,
			.buffer_size = BLOCK_SIZE,
		};

		iopool->add(stream, &read);
	}
	iopool->submit(stream);
	if (fails)
		elog(ERROR, "on purpose");
	while ((n = iopool->take(stream, results, NBLOCKS, -1)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			iopool->raise_failure(&results[i]);
			nbytes += results[i].nbytes;
		}
	}
	iopool->end(stream);
	MemoryContextDelete(cxt);
	return (int) nbytes;
}

/*
 * consumer_shmem_read(path text, first int, io_mode text, fails bool)
 *		RETURNS int, the bytes that were read
 */
Datum
consumer_shmem_read(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	IopoolApiIoMode io_mode =
		consumer_io_mode(text_to_cstring(PG_GETARG_TEXT_PP(2)));

	PG_RETURN_INT32(consumer_shmem_fill(path, PG_GETARG_INT32(1),
										IOPOOL_API_CURRENT_USER, io_mode,
										PG_GETARG_BOOL(3)));
}

/* consumer_shmem_data() RETURNS bytea, as it is now */
Datum
consumer_shmem_data(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(
		(bytea *) cstring_to_text_with_len(shared_data(), DATA_SIZE));
}
