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
 * handed out.  Long data of all requests is in one context, which keeps some of
 * what has been handed out for the next; that counts, too, and is freed before
 * a request is refused.
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
 * is shorter leaves less than its own size unused at the end of a block.  What
 * is longer than IOPOOL_SMALL_BUFFER is kept for the next results.  Then there
 * are headers, of chunks and of blocks, as large as on any release.
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

/*
 * Where the requests of this transaction have their long results; and what the
 * context takes by itself.  There is none before there is such a result.
 */
static IopoolBuffers buffers = {.is_counted = true};
static int64 buffers_base = 0;

/* How many of these there have been. */
uint64 iopool_request_generation = 0;

/* Memory of the data of a range. */
static int64
data_memory(int64 nbytes)
{
	int64 size = MAXALIGN(VARHDRSZ + nbytes);

	if (VARHDRSZ + nbytes > IOPOOL_SMALL_BUFFER)
		size = iopool_buffers_round(VARHDRSZ + nbytes);
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

/* What is kept for results to come, with its context. */
static int64
kept_memory(void)
{
	return buffers_base + buffers.nbytes +
		buffers.nfree * (CHUNK_HEADER + BLOCK_HEADER);
}

/* Keep nothing. */
static void
free_kept(void)
{
	if (buffers.cxt == NULL)
		return;
	iopool_buffers_clear(&buffers);
	/* those that have not been read yet will need it */
	if (buffers.nused == 0 && dlist_is_empty(&iopool_requests))
	{
		MemoryContextDelete(buffers.cxt);
		iopool_request_forget_buffers();
	}
}

/*
 * Raise 53400 if a request may not take so many bytes more.  may_grow: it will
 * take more than that.
 */
static void
check_limit(int64 nbytes, int nranges, bool may_grow)
{
	int64 limit = (int64) iopool_max_request_memory_kb * 1024;
	int64 held = held_bytes + kept_memory();

	if (held <= limit && nbytes <= limit - held)
		return;
	free_kept();
	held = held_bytes + kept_memory();
	if (held <= limit && nbytes <= limit - held)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg_plural("request of %d range exceeds \"iopool.max_request_memory\"",
						   "request of %d ranges exceeds \"iopool.max_request_memory\"",
						   nranges, nranges),
			 may_grow
				 ? errdetail("Its bookkeeping alone takes %lld bytes; the limit is %lld bytes, of which unfetched requests hold %lld.",
							 (long long) nbytes, (long long) limit,
							 (long long) held)
				 : errdetail("It takes %lld bytes with its bookkeeping; the limit is %lld bytes, of which unfetched requests hold %lld.",
							 (long long) nbytes, (long long) limit,
							 (long long) held),
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

/* Buffers of long results, which go with the transaction. */
IopoolBuffers *
iopool_request_buffers(void)
{
	return &buffers;
}

/* Make sure that there is a context for the long results of a request. */
void
iopool_request_make_buffers(const IopoolRequest *request)
{
	for (int i = 0; i < request->nranges && buffers.cxt == NULL; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (VARHDRSZ + request->sizes[i] <= IOPOOL_SMALL_BUFFER)
			continue;
		iopool_buffers_init(&buffers,
							AllocSetContextCreate(TopTransactionContext,
												  "iopool request buffers",
												  ALLOCSET_SMALL_SIZES));
		buffers.is_counted = true;
		buffers_base = MemoryContextMemAllocated(buffers.cxt, false);
	}
}

/* Their context goes, with the transaction at the latest. */
void
iopool_request_forget_buffers(void)
{
	buffers = (IopoolBuffers){.is_counted = true};
	buffers_base = 0;
	iopool_request_generation++;
}

/* Nobody needs the data of a result any more. */
void
iopool_request_free_data(IopoolResult *result)
{
	if (result->buffer != NULL)
		iopool_buffers_put_back(&buffers, result->buffer, result->buffer_size,
								(Size) 2 * iopool_max_in_flight_bytes);
	result->buffer = NULL;
}

/* What the request reserved counts for others from now on. */
void
iopool_request_hold_memory(IopoolRequest *request)
{
	held_bytes += request->held;
}

/* Memory that a result has for its data; 0: none. */
int64
iopool_request_data_memory(const IopoolResult *result)
{
	return result->failure.kind != IOPOOL_FAILURE_NONE
		? 0
		: data_memory(result->nbytes);
}

/* Count so many bytes for rows that have been taken. */
void
iopool_request_count_memory(int64 nbytes)
{
	held_bytes += nbytes;
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
