/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests: batches that go on while the backend does other things.
 *
 * A request is a batch whose streams are in the background: they go on
 * whenever the backend is inside a function of ours, and their results pile up
 * here until they are fetched.  What the results may take is reserved before
 * anything is read, so memory is bounded by iopool.max_request_memory.
 *
 * Life.  A request belongs to the subtransaction that made it, or to the one
 * that this has been merged into.  Its memory is a child of
 * TopTransactionContext, which outlives the callbacks below, and not of the
 * portal's or the subtransaction's context, which go earlier; its streams have
 * no resource owner, because that of the function call ends with the query.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "request.h"

typedef struct RequestEntry
{
	int64 number;
	IopoolRequest *request;
	char status;
} RequestEntry;

#define SH_PREFIX				request_table
#define SH_ELEMENT_TYPE			RequestEntry
#define SH_KEY_TYPE				int64
#define SH_KEY					number
#define SH_HASH_KEY(table, key) murmurhash32((uint32) (key))
#define SH_EQUAL(table, a, b)	((a) == (b))
#define SH_SCOPE				static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * What is kept of a range beside its data, in bytes, and for how many ranges
 * that does not count.
 */
#define RANGE_MEMORY 128
#define FREE_RANGES	 8192

dlist_head iopool_requests = DLIST_STATIC_INIT(iopool_requests);

/* Those of them that are not done. */
static dlist_head running = DLIST_STATIC_INIT(running);

/* The same by number; made with the first request. */
static request_table_hash *table = NULL;

/* Never used twice by a backend, whatever becomes of the request. */
static int64 next_number = 1;

/* Unfetched ranges of all requests, and the bytes that they bring. */
static int64 held_ranges = 0;
static int64 held_bytes = 0;

/*
 * Forget a request: its reads are drained, its files closed, its memory freed.
 * Does not raise.
 */
static void
destroy(IopoolRequest *request, bool has_failed)
{
	if (!has_failed)
	{
		for (int i = 0; i < request->batch.nparts; i++)
			iopool_stream_end(request->batch.parts[i].stream, NULL);
	}
	request_table_delete(table, request->number);
	dlist_delete(&request->node);
	if (request->nopen > 0)
		dlist_delete(&request->running_node);
	held_bytes -= request->held;
	held_ranges -= request->batch.args.nranges - request->nout;
	MemoryContextDelete(request->cxt);
}

/* At commit: what nobody has fetched is lost, which somebody should know. */
static void
end_all(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &iopool_requests)
	{
		IopoolRequest *request =
			dlist_container(IopoolRequest, node, iter.cur);

		if (request->nout < request->batch.args.nranges)
			ereport(WARNING,
					(errmsg("iopool request %lld was not fetched before its transaction ended",
							(long long) request->number),
					 errhint("Fetch requests to the end, or end them with iopool_cancel().")));
		destroy(request, false);
	}
}

static void
at_xact_end(XactEvent event, void *arg)
{
	dlist_mutable_iter iter;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			end_all();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			dlist_foreach_modify(iter, &iopool_requests)
				destroy(dlist_container(IopoolRequest, node, iter.cur), true);
			break;
		default:
			break;
	}
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId subid,
			   SubTransactionId parent, void *arg)
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;

	dlist_foreach_modify(iter, &iopool_requests)
	{
		IopoolRequest *request =
			dlist_container(IopoolRequest, node, iter.cur);

		if (request->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			request->subid = parent;
		else
			destroy(request, true);
	}
}

/* Called once, when the library is loaded. */
void
iopool_request_register_callbacks(void)
{
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
}

/* Bytes that all ranges will bring; raises 53400 when they are too many. */
static int64
check_limit(const int64 *sizes, int nranges)
{
	int64 limit = (int64) iopool_max_request_memory_kb * 1024;
	int64 nmore = held_ranges + nranges - FREE_RANGES;
	int64 held = held_bytes + Max(nmore, 0) * RANGE_MEMORY;
	int64 total = 0;

	for (int i = 0; i < nranges; i++)
	{
		if (pg_add_s64_overflow(total, sizes[i], &total))
			total = PG_INT64_MAX;
	}
	if (held > limit || total > limit - held)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("request of %lld bytes exceeds \"iopool.max_request_memory\"",
						(long long) total),
				 errdetail("The limit is %lld bytes, of which unfetched requests hold %lld.",
						   (long long) limit, (long long) held),
				 errhint("Fetch or cancel requests, submit less at a time, or raise \"iopool.max_request_memory\".")));
	return total;
}

/* Begin the request, in its memory context, and start its reads. */
static void
begin(IopoolRequest *request, const IopoolArgs *args)
{
	IopoolBatch *batch = &request->batch;
	int nranges = args->nranges;

	batch->args = *args;
	batch->report = true;
	iopool_batch_begin(batch, iopool_io_mode);
	batch->sizes = iopool_batch_measure(batch);
	request->held = check_limit(batch->sizes, nranges);

	request->results =
		MemoryContextAllocHuge(request->cxt,
							   sizeof(IopoolResult) * (Size) nranges);
	request->order =
		MemoryContextAllocHuge(request->cxt, sizeof(int) * (Size) nranges);
	request->is_out = palloc0(sizeof(bool) * nranges);

	iopool_batch_start_all(batch);
	request->nopen = batch->nparts;
	for (int i = 0; i < batch->nparts; i++)
		iopool_window_start(batch->parts[i].stream);
}

/*
 * The memory of a request that is about to be submitted, for its arguments;
 * the current context's until then.
 */
MemoryContext
iopool_request_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "iopool request",
								 ALLOCSET_DEFAULT_SIZES);
}

/*
 * Submit the ranges of a call, for the current user and with the settings of
 * the session.  They were taken into cxt, which is iopool_request_context()'s,
 * and the request's from now on.  Returns with reads in flight, as far as ring
 * and window allow; may wait for a ring.
 *
 * Raises as iopool_batch_begin() and iopool_lease_ready() do, and 53400 when
 * the results would take more than iopool.max_request_memory.
 */
IopoolRequest *
iopool_request_submit(MemoryContext cxt, const IopoolArgs *args)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(cxt);
	IopoolRequest *request = palloc0(sizeof(IopoolRequest));
	RequestEntry *entry;
	bool found;

	MemoryContextSetParent(cxt, TopTransactionContext);
	request->cxt = cxt;
	request->number = next_number++;
	request->subid = GetCurrentSubTransactionId();
	request->submitted_at = GetCurrentTimestamp();

	PG_TRY();
	{
		if (table == NULL)
			table = request_table_create(TopMemoryContext, 16, NULL);
		begin(request, args);
		entry = request_table_insert(table, request->number, &found);
		entry->request = request;
	}
	PG_CATCH();
	{
		/* drains what has been started, and closes the files */
		MemoryContextSwitchTo(old_cxt);
		MemoryContextDelete(cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();

	dlist_push_tail(&iopool_requests, &request->node);
	if (request->nopen > 0)
		dlist_push_tail(&running, &request->running_node);
	held_bytes += request->held;
	held_ranges += args->nranges;
	MemoryContextSwitchTo(old_cxt);
	return request;
}

/* The request of that number, or NULL. */
IopoolRequest *
iopool_request_find(int64 number)
{
	RequestEntry *entry =
		table != NULL ? request_table_lookup(table, number) : NULL;

	return entry != NULL ? entry->request : NULL;
}

/* The same; raises 42704 if there is none. */
IopoolRequest *
iopool_request_get(int64 number)
{
	IopoolRequest *request = iopool_request_find(number);

	if (request == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("request %lld does not exist", (long long) number),
				 errhint("A request ends when it is fetched to the end or cancelled, and with the transaction or savepoint that it was submitted in.")));
	return request;
}

/* Take what the streams of a request have brought. */
static void
look(IopoolRequest *request)
{
	IopoolBatch *batch = &request->batch;
	IopoolResult result;

	for (int i = 0; i < batch->nparts; i++)
	{
		while (iopool_stream_take(batch->parts[i].stream, &result))
		{
			request->results[result.cookie] = result;
			request->order[request->ndone++] = (int) result.cookie;
			request->nbytes += result.nbytes;
			if (result.failure.kind != IOPOOL_FAILURE_NONE)
				request->nfailed++;
		}
	}

	/* let go of ring and files as soon as nobody needs them */
	if (iopool_request_is_done(request))
	{
		for (int i = 0; i < batch->nparts; i++)
			iopool_stream_end(batch->parts[i].stream, NULL);
		iopool_file_set_close(batch->files);
		dlist_delete(&request->running_node);
		request->nopen = 0;
	}
}

static void
look_at_all(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &running)
		look(dlist_container(IopoolRequest, running_node, iter.cur));
}

/*
 * Every SQL function of ours begins with this: iopool has to be preloaded, and
 * all requests go on, without waiting.
 */
void
iopool_request_enter(void)
{
	iopool_shmem_require();
	iopool_window_pump();
	look_at_all();
}

static int64
count_done(IopoolRequest *const *requests, int nrequests)
{
	int64 ndone = 0;

	for (int i = 0; i < nrequests; i++)
		ndone += requests[i]->ndone;
	return ndone;
}

/*
 * One round of waiting for requests, of which some are not done: returns false
 * when the deadline has passed.  is_eager: for the first range that completes.
 */
bool
iopool_request_step(IopoolRequest *const *requests, int nrequests,
					bool is_eager, IopoolDeadline deadline)
{
	int64 ndone = count_done(requests, nrequests);
	IopoolStream **streams;
	IopoolStep step;
	Size nopen = 0;
	int nstreams = 0;

	for (int i = 0; i < nrequests; i++)
		nopen += requests[i]->nopen;
	streams = palloc(sizeof(IopoolStream *) * nopen);
	for (int i = 0; i < nrequests; i++)
	{
		for (int p = 0; p < requests[i]->nopen; p++)
			streams[nstreams++] = requests[i]->batch.parts[p].stream;
	}

	step = iopool_window_step(streams, nstreams, is_eager, deadline);
	pfree(streams);
	look_at_all();
	if (step == IOPOOL_STEP_IDLE && count_done(requests, nrequests) == ndone)
		iopool_stream_raise_idle();
	return step != IOPOOL_STEP_LATE;
}

/* Wait until the request is done; false when the deadline comes first. */
bool
iopool_request_wait(IopoolRequest *request, IopoolDeadline deadline)
{
	bool has_time = true;

	while (!iopool_request_is_done(request) && has_time)
		has_time = iopool_request_step(&request, 1, false, deadline);
	return iopool_request_is_done(request);
}

/* Raise the failure of a range, which is done, if it has failed. */
void
iopool_request_raise(const IopoolRequest *request, int rangeno)
{
	const IopoolResult *result = &request->results[rangeno];

	if (result->failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&result->failure, result->path, result->offset,
							result->length);
}

/* A range's row is the caller's: free what is kept of it. */
void
iopool_request_hand_out(IopoolRequest *request, int rangeno)
{
	IopoolResult *result = &request->results[rangeno];
	int64 size = request->batch.sizes[rangeno];

	if (result->buffer != NULL)
		pfree(result->buffer);
	result->buffer = NULL;
	request->is_out[rangeno] = true;
	request->nout++;
	request->held -= size;
	held_bytes -= size;
	held_ranges--;
}

/* End a request, with whatever it still has to do left undone. */
void
iopool_request_end(IopoolRequest *request)
{
	destroy(request, false);
}
