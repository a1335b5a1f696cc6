/*-------------------------------------------------------------------------
 *
 * request_memory.c
 *	  What requests count for iopool.max_request_memory.
 *
 * All that a request takes is reserved before anything is read, so
 * that iopool.max_request_memory bounds what the backend has for requests:
 * what has been allocated by then, as the memory contexts tell, and what its
 * ranges will take, with and beside their data.  Short data is in a
 * generation context, which does not round sizes up, and frees what has been
 * handed out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "ring/settings.h"
#include "sql/request.h"

/*
 * Blocks of data.  What is longer than a sixteenth may get one of its own; what
 * is shorter leaves less than its own size unused at the end of a block.  Then
 * there are headers, of chunks and of blocks, as large as on any release.
 */
#define BUFFER_BLOCK (64 * 1024)
#define MAX_SHARED	 (BUFFER_BLOCK / 16)
#define CHUNK_HEADER 32
#define BLOCK_HEADER 128

/*
 * Of each request: its entry in the hash table of requests, which is half
 * empty, and what the C library has for the blocks of its contexts.
 */
#define REQUEST_ENTRY  24
#define REQUEST_MEMORY (4 * REQUEST_ENTRY + 4 * BLOCK_HEADER)

/* What all requests hold, in bytes. */
static int64 held_bytes = 0;

/* Memory of the data of a range. */
static int64
data_memory(int64 nbytes)
{
	int64 size = MAXALIGN(VARHDRSZ + nbytes);

	if (size > MAX_SHARED)
		return size + CHUNK_HEADER + BLOCK_HEADER;
	return size + CHUNK_HEADER + size * size / BUFFER_BLOCK;
}

/* Memory of what the request has beside that, for each of its ranges. */
static int64
range_memory(void)
{
	return sizeof(IopoolResult) + sizeof(int) + sizeof(uint8);
}

/*
 * Raise 53400 if a request may not take so many bytes more.  may_grow: it will
 * take more than that.
 */
static void
check_limit(int64 nbytes, int nranges, bool may_grow)
{
	int64 limit = (int64) iopool_max_request_memory_kb * 1024;

	if (held_bytes <= limit && nbytes <= limit - held_bytes)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg_plural("request of %d range exceeds \"iopool.max_request_memory\"",
						   "request of %d ranges exceeds \"iopool.max_request_memory\"",
						   nranges, nranges),
			 may_grow
				 ? errdetail("Its bookkeeping alone takes %lld bytes; the limit is %lld bytes, of which unfetched requests hold %lld.",
							 (long long) nbytes, (long long) limit,
							 (long long) held_bytes)
				 : errdetail("It takes %lld bytes with its bookkeeping; the limit is %lld bytes, of which unfetched requests hold %lld.",
							 (long long) nbytes, (long long) limit,
							 (long long) held_bytes),
			 errhint("Fetch or cancel requests, submit less at a time, or raise \"iopool.max_request_memory\".")));
}

/*
 * Raise 53400 if the bookkeeping of so many ranges alone is too much.  Called
 * before memory is taken for it, and files are opened.
 */
void
iopool_request_check_memory(int nranges)
{
	check_limit((int64) nranges *
					(range_memory() + iopool_stream_range_memory()),
				nranges, true);
}

/*
 * Set request->held to all that a request will take, nothing of which has been
 * read yet; raises 53400 when that is too much.  It counts for others with
 * iopool_request_hold_memory().
 */
void
iopool_request_reserve_memory(IopoolRequest *request)
{
	int nranges = request->nranges;
	const int64 *sizes = request->sizes;
	int64 allocated = MemoryContextMemAllocated(request->cxt, true);
	int64 ranges = (int64) nranges * iopool_stream_range_memory();
	int64 shared = 0;
	int64 data = 0;
	int64 total;

	/* at most 2^27 ranges of less than 2^30 bytes: no overflow */
	for (int i = 0; i < nranges; i++)
	{
		CHECK_FOR_INTERRUPTS();
		data += data_memory(sizes[i]);
		if (sizes[i] <= IOPOOL_SMALL_BUFFER)
			shared += data_memory(sizes[i]);
	}
	/*
	 * The last block has room for more than it got, and is no larger than what
	 * came before it; and generation.c keeps one that has become empty.
	 */
	total = allocated + REQUEST_MEMORY + ranges +
		Min(allocated + ranges, IOPOOL_FEED_BLOCK) + data +
		Min(shared, 2 * BUFFER_BLOCK);
	check_limit(total, nranges, false);
	request->held = total;
}

/* The memory of a request's short data, a child of the request's. */
MemoryContext
iopool_request_data_context(MemoryContext cxt)
{
	return GenerationContextCreate(cxt, "iopool request data",
								   ALLOCSET_SMALL_MINSIZE,
								   ALLOCSET_SMALL_INITSIZE, BUFFER_BLOCK);
}

/* What the request reserved counts for others from now on. */
void
iopool_request_hold_memory(IopoolRequest *request)
{
	held_bytes += request->held;
}

/* The data of a range, of that many bytes, has been handed out. */
void
iopool_request_release_data(IopoolRequest *request, int64 nbytes)
{
	int64 memory = data_memory(nbytes);

	request->held -= memory;
	held_bytes -= memory;
}

/* The request is over, with all that it still holds. */
void
iopool_request_release_memory(IopoolRequest *request)
{
	held_bytes -= request->held;
	request->held = 0;
}
