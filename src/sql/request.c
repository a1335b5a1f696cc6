/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests: calls that go on while the backend does other things.
 *
 * A request is a call with a feed of its own, in the background: it goes on
 * whenever the backend is inside a function of ours, and its results pile up
 * here until they are fetched.
 *
 * Memory.  All that a request takes is reserved before anything is read, see
 * request_memory.c.
 *
 * Rights.  A request is used by roles that have the privileges of the one that
 * submitted it, because the paths were looked at with the rights of that one.
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
#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "engine/enter.h"
#include "ring/pool.h"
#include "sql/request.h"

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

/* Unfetched requests that are named at commit. */
#define MAX_NAMED 10

dlist_head iopool_requests = DLIST_STATIC_INIT(iopool_requests);

/* Those of them that are not done. */
static dlist_head running = DLIST_STATIC_INIT(running);

/* The same by number; made with the first request. */
static request_table_hash *table = NULL;

/* Never used twice by a backend, whatever becomes of the request. */
static int64 next_number = 1;

/*
 * A request ends, all of whose reads are done: nobody finds it any more, and its
 * memory is the caller's, with results that have not been handed out.  Does not
 * raise.
 */
void
iopool_request_detach(IopoolRequest *request)
{
	request_table_delete(table, request->number);
	dlist_delete(&request->node);
	if (request->is_running)
		dlist_delete(&request->running_node);
	iopool_request_release_memory(request);
}

/*
 * Forget a request: its reads are drained, its files closed, its memory freed.
 * Does not raise if it has failed; else as iopool_feed_close().
 */
static void
destroy_request(IopoolRequest *request, bool has_failed)
{
	if (!has_failed)
		iopool_feed_close(request->feed);
	iopool_request_detach(request);
	for (int i = 0; i < request->ndone; i++)
	{
		IopoolResult *result = &request->results[request->order[i]];

		/* the others go with the context */
		if (result->buffer != NULL &&
			result->buffer_size > IOPOOL_SMALL_BUFFER)
			iopool_request_free_data(result);
	}
	MemoryContextDelete(request->cxt);
}

/* What nobody has fetched is lost, which somebody should know. */
static void
warn_of_unfetched(void)
{
	StringInfoData numbers;
	dlist_iter iter;
	int nunfetched = 0;

	initStringInfo(&numbers);
	dlist_foreach(iter, &iopool_requests)
	{
		const IopoolRequest *request =
			dlist_container(IopoolRequest, node, iter.cur);

		if (request->nout == request->nranges)
			continue;
		if (++nunfetched <= MAX_NAMED)
			appendStringInfo(&numbers, "%s%lld", nunfetched > 1 ? ", " : "",
							 (long long) request->number);
	}
	if (nunfetched > MAX_NAMED)
		appendStringInfo(&numbers, " and %d more", nunfetched - MAX_NAMED);

	if (nunfetched > 0)
		ereport(WARNING,
				(errmsg_plural("%d iopool request was not fetched before its transaction ended",
							   "%d iopool requests were not fetched before their transaction ended",
							   nunfetched, nunfetched),
				 errdetail_plural("Its number: %s.", "Their numbers: %s.",
								  nunfetched, numbers.data),
				 errhint("Fetch requests to the end, or end them with iopool_cancel().")));
	pfree(numbers.data);
}

static void
end_all(bool has_failed)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &iopool_requests)
		destroy_request(dlist_container(IopoolRequest, node, iter.cur),
						has_failed);
}

static void
at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			warn_of_unfetched();
			end_all(false);
			iopool_request_forget_buffers();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			end_all(true);
			iopool_request_forget_buffers();
			break;
		default:
			break;
	}
}

/*
 * Nothing was submitted for an outer subtransaction since this one began, so
 * its requests are the last of all.
 */
static void
at_subxact_end(SubXactEvent event, SubTransactionId subid,
			   SubTransactionId parent, void *arg)
{
	dlist_iter iter;

	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		dlist_reverse_foreach(iter, &iopool_requests)
		{
			IopoolRequest *request =
				dlist_container(IopoolRequest, node, iter.cur);

			if (request->subid != subid)
				break;
			request->subid = parent;
		}
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		/* an error between two rounds of waiting */
		iopool_stream_leave(false);
		while (!dlist_is_empty(&iopool_requests))
		{
			IopoolRequest *request =
				dlist_tail_element(IopoolRequest, node, &iopool_requests);

			if (request->subid != subid)
				break;
			destroy_request(request, true);
		}
	}
}

/* Called once, when the library is loaded. */
void
iopool_request_register_callbacks(void)
{
	RegisterXactCallback(at_xact_end, NULL);
	RegisterSubXactCallback(at_subxact_end, NULL);
}

/* Begin the request, in its memory context, and start its reads. */
static void
begin_reading(IopoolRequest *request, const IopoolArgs *args)
{
	IopoolFeedOptions options = {
		.in_order = false,
		.kind = IOPOOL_STREAM_REQUEST,
		.buffer_cxt = request->buffer_cxt,
		.buffers = iopool_request_buffers(),
	};
	int nranges = args->nranges;
	Size nslots = Max(nranges, 1);

	/* before memory is taken for it, and files are opened */
	iopool_request_check_memory(nranges);
	request->nranges = nranges;
	request->results =
		MemoryContextAllocHuge(request->cxt, sizeof(IopoolResult) * nslots);
	request->order =
		MemoryContextAllocHuge(request->cxt, sizeof(int) * nslots);
	request->states = palloc0(nslots);

	request->feed = iopool_feed_begin(request->buffer_cxt, &options);
	request->call = iopool_feed_new_call(request->feed, args, true);
	request->sizes = iopool_feed_measure(request->feed, request->call);
	request->call->sizes = request->sizes;
	iopool_request_reserve_memory(request);
	iopool_request_make_buffers(request);

	iopool_feed_add(request->feed, request->call);
	iopool_feed_complete(request->feed);
	iopool_feed_start(request->feed);
	request->is_running = true;
}

/*
 * The memory of a request that is about to be submitted, for its arguments;
 * the current context's until then.
 */
MemoryContext
iopool_request_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "iopool request",
								 ALLOCSET_START_SMALL_SIZES);
}

/*
 * Submit the ranges of a call, for the current user and with the settings of
 * the session.  They were taken into cxt, which is iopool_request_context()'s,
 * and the request's from now on.  Returns with reads in flight, as far as ring
 * and window allow; may wait for a ring.
 *
 * Raises as iopool_feed_new_call() and iopool_lease_ready() do, and 53400 when
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
	request->buffer_cxt = iopool_request_data_context(cxt);
	request->number = next_number++;
	request->userid = GetUserId();
	request->subid = GetCurrentSubTransactionId();
	request->submitted_at = GetCurrentTimestamp();

	PG_TRY();
	{
		if (table == NULL)
			table = request_table_create(TopMemoryContext, 16, NULL);
		begin_reading(request, args);
		entry = request_table_insert(table, request->number, &found);
		entry->request = request;
	}
	PG_CATCH();
	{
		/*
		 * Drains what has been started, and closes the files.  The caller's
		 * context may go before somebody else is current.
		 */
		MemoryContextSwitchTo(ErrorContext);
		MemoryContextDelete(cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();

	dlist_push_tail(&iopool_requests, &request->node);
	if (request->is_running)
		dlist_push_tail(&running, &request->running_node);
	iopool_request_hold_memory(request);
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

/* May the current user use it? */
static bool
is_allowed(const IopoolRequest *request)
{
	return has_privs_of_role(GetUserId(), request->userid);
}

/* May the current user know of it? */
bool
iopool_request_is_visible(const IopoolRequest *request)
{
	return is_allowed(request) ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

/*
 * The request of that number for the current user to use; raises 42704 if
 * there is none, and 42501 if it is not for him.
 */
IopoolRequest *
iopool_request_get(int64 number)
{
	IopoolRequest *request = iopool_request_find(number);

	if (request == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("request %lld does not exist", (long long) number),
				 errhint("A request ends when it is fetched to the end or cancelled, and with the transaction or savepoint that it was submitted in.")));
	if (!is_allowed(request))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for request %lld",
						(long long) number),
				 errdetail("Only roles with privileges of the role that submitted a request may use it.")));
	return request;
}

/*
 * The requests of these numbers, each once, in the order in which they are
 * named first; raises as iopool_request_get().
 */
IopoolRequest **
iopool_request_get_all(const int64 *numbers, int nnumbers, int *nrequests)
{
	static uint64 asked = 0;
	int nall = table != NULL ? (int) table->members : 0;
	IopoolRequest **requests =
		MemoryContextAllocHuge(CurrentMemoryContext,
							   sizeof(IopoolRequest *) * Max(nall, 1));

	asked++;
	*nrequests = 0;
	for (int i = 0; i < nnumbers; i++)
	{
		IopoolRequest *request = iopool_request_get(numbers[i]);

		CHECK_FOR_INTERRUPTS();
		if (request->asked == asked)
			continue;
		request->asked = asked;
		requests[(*nrequests)++] = request;
	}
	return requests;
}

/* Take what the feed of a request has brought. */
static void
collect_results(IopoolRequest *request)
{
	IopoolResult result;

	while (iopool_feed_take(request->feed, &result))
	{
		request->results[result.cookie] = result;
		request->states[result.cookie] = IOPOOL_RANGE_DONE;
		request->order[request->ndone++] = (int) result.cookie;
		request->nbytes += result.nbytes;
		if (result.failure.kind != IOPOOL_FAILURE_NONE)
			request->nfailed++;
	}

	/* let go of ring and files as soon as nobody needs them */
	if (iopool_request_is_done(request))
	{
		iopool_feed_close(request->feed);
		dlist_delete(&request->running_node);
		request->is_running = false;
	}
}

static void
collect_all_results(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &running)
		collect_results(
			dlist_container(IopoolRequest, running_node, iter.cur));
}

/*
 * Every SQL function of ours begins with this: iopool has to be preloaded, and
 * all requests go on, without waiting.
 */
void
iopool_request_enter(void)
{
	int64 start;
	dlist_iter iter;

	start = iopool_deadline_now();
	iopool_enter();

	/* where a method reads by itself, that is when */
	dlist_foreach(iter, &running)
		iopool_feed_add_wait(
			dlist_container(IopoolRequest, running_node, iter.cur)->feed,
			iopool_deadline_now() - start, 0);
	collect_all_results();
}

static int64
count_done(IopoolRequest *const *requests, int nrequests)
{
	int64 ndone = 0;

	for (int i = 0; i < nrequests; i++)
		ndone += requests[i]->ndone;
	return ndone;
}

/* All streams of those that are not done; to be freed. */
static IopoolStream **
running_streams(IopoolRequest *const *requests, int nrequests, int *nstreams)
{
	IopoolStream **streams;
	Size nslots = 1;

	for (int i = 0; i < nrequests; i++)
	{
		if (!requests[i]->is_running)
			continue;
		(void) iopool_feed_streams(requests[i]->feed, nstreams);
		nslots += *nstreams;
	}
	streams = MemoryContextAllocHuge(CurrentMemoryContext,
									 sizeof(IopoolStream *) * nslots);

	*nstreams = 0;
	for (int i = 0; i < nrequests; i++)
	{
		IopoolStream *const *some;
		int nsome;

		if (!requests[i]->is_running)
			continue;
		some = iopool_feed_streams(requests[i]->feed, &nsome);
		memcpy(streams + *nstreams, some, sizeof(IopoolStream *) * nsome);
		*nstreams += nsome;
	}
	return streams;
}

/*
 * One round of waiting for requests, of which some are not done: returns false
 * when the deadline has passed.  is_eager: for the first range that completes.
 * When no more rounds follow, iopool_stream_leave() has to.
 */
bool
iopool_request_step(IopoolRequest *const *requests, int nrequests,
					bool is_eager, IopoolDeadline deadline)
{
	int64 ndone = count_done(requests, nrequests);
	int64 start = iopool_deadline_now();
	uint64 ring_wait_us = iopool_pool_waited_us;
	IopoolStream **streams;
	IopoolStep step;
	int nstreams;

	streams = running_streams(requests, nrequests, &nstreams);
	step =
		iopool_stream_step(streams, nstreams, NULL, is_eager, true, deadline);
	pfree(streams);

	for (int i = 0; i < nrequests; i++)
	{
		if (requests[i]->is_running)
			iopool_feed_add_wait(requests[i]->feed,
								 iopool_deadline_now() - start,
								 iopool_pool_waited_us - ring_wait_us);
	}
	collect_all_results();
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
	iopool_stream_leave(false);
	return iopool_request_is_done(request);
}

/*
 * Raise it if the request will never be done, for who only looks and does not
 * wait.
 */
void
iopool_request_check(const IopoolRequest *request)
{
	IopoolStream *const *streams;
	int nstreams;

	if (!request->is_running)
		return;
	streams = iopool_feed_streams(request->feed, &nstreams);
	for (int i = 0; i < nstreams; i++)
		iopool_stream_check(streams[i]);
}

/*
 * Raise the first failure in the order of the call that has not been handed
 * out, if there is one, waiting for the ranges before it.
 */
void
iopool_request_raise_first(IopoolRequest *request)
{
	for (int i = 0; i < request->nranges; i++)
	{
		const IopoolResult *result = &request->results[i];

		CHECK_FOR_INTERRUPTS();
		while (request->states[i] == IOPOOL_RANGE_OPEN)
			(void) iopool_request_wait(request, IOPOOL_FOREVER);
		if (iopool_request_has_failed(request, i))
			iopool_errors_raise(&result->failure, result->path, result->offset,
								result->length, i + 1);
	}
}

/* A range's row is the caller's: free what is kept of it. */
void
iopool_request_hand_out(IopoolRequest *request, int rangeno)
{
	iopool_request_free_data(&request->results[rangeno]);
	request->states[rangeno] = IOPOOL_RANGE_OUT;
	request->nout++;
	iopool_request_release_data(request, request->sizes[rangeno]);
}

/* End a request, with whatever it still has to do left undone. */
void
iopool_request_end(IopoolRequest *request)
{
	destroy_request(request, false);
}
