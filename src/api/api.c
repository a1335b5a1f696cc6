/*-------------------------------------------------------------------------
 *
 * api.c
 *	  The C interface: its table of functions, and its streams.
 *
 * A consumer adds reads and takes results; the engine pulls ranges from a
 * source.  Between them lies a queue: add() puts reads into it, and our source
 * takes them out as ring and window allow.
 *
 * What lives how long.  The stream has a context of its own, a child of the
 * consumer's, with the engine's stream and all that it allocates in it, so
 * that deleting it drains first.  A guard in the context of the consumer's
 * buffers, or a callback of their segment, ends the stream before these go.
 * Reset callbacks run youngest first: the engine's, registered after ours, has
 * drained when ours lets go of the files.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "storage/dsm.h"
#include "utils/memutils.h"

#include "api/api.h"
#include "api/api_internal.h"
#include "base/range.h"
#include "engine/stream.h"
#include "ring/lease.h"
#include "ring/method.h"
#include "ring/settings.h"

/* A read from add() to take(). */
typedef struct ApiRead
{
	dlist_node node; /* in queue, pulled or unused */
	IopoolApiRead read;
} ApiRead;

struct IopoolApiStream
{
	MemoryContext cxt;			 /* holds all of it */
	MemoryContext guard;		 /* in the context of the buffers, or NULL */
	struct dsm_segment *segment; /* that buffers are in, or NULL */
	MemoryContextCallback at_reset;
	IopoolStream *stream;
	bool is_aligned;
	dlist_head queue;  /* of ApiRead, for the source */
	dlist_head pulled; /* the engine has them */
	dlist_head unused;
	struct handle_table_hash *buffers; /* handed over, not released */
	uint64 nadded;
	uint64 ntaken;
};

/* Raise 55000 unless this is a stream of this process that has not ended. */
static void
check_stream(const IopoolApiStream *api)
{
	if (!iopool_api_is_registered(api, IOPOOL_API_STREAM) ||
		!iopool_stream_is_open(api->stream))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream has ended"),
				 errdetail("It was ended, or its memory context or resource owner is gone, or it was begun by another process.")));
}

/* IopoolSource: what has been added, in that order. */
static IopoolSourceStatus
api_source(void *arg, IopoolRange *range)
{
	IopoolApiStream *api = arg;
	ApiRead *entry;
	IopoolApiFile *file;

	if (dlist_is_empty(&api->queue))
		return IOPOOL_SOURCE_LATER;
	entry = dlist_container(ApiRead, node, dlist_pop_head_node(&api->queue));
	dlist_push_tail(&api->pulled, &entry->node);

	/* it is open, so this only counts */
	file = entry->read.file;
	(void) iopool_file_acquire(file->set, &file->file);
	range->file = &file->file;
	range->offset = entry->read.offset;
	range->length = entry->read.length;
	range->cookie = (int64) (intptr_t) entry;
	range->dest = entry->read.buffer;
	range->max_bytes = entry->read.length;
	return IOPOOL_SOURCE_RANGE;
}

/* A read is over: its file is no longer needed for it. */
static void
drop_read(IopoolApiStream *api, ApiRead *entry)
{
	dlist_delete(&entry->node);
	dlist_push_head(&api->unused, &entry->node);
	iopool_api_unpin_file(entry->read.file);
	api->ntaken++;
}

static void
drop_all(IopoolApiStream *api, dlist_head *reads)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, reads)
		drop_read(api, dlist_container(ApiRead, node, iter.cur));
}

/* The segment of the consumer's buffers goes away. */
static void
segment_gone(dsm_segment *segment, Datum arg)
{
	IopoolApiStream *api = (IopoolApiStream *) DatumGetPointer(arg);

	api->segment = NULL;
	iopool_stream_end(api->stream, NULL);
}

/* The memory of the stream goes away; the engine has drained it. */
static void
stream_gone(void *arg)
{
	IopoolApiStream *api = arg;

	iopool_api_unregister(api);
	if (api->guard != NULL)
		MemoryContextDelete(api->guard); /* calls buffers_gone() */
	if (api->segment != NULL)
		cancel_on_dsm_detach(api->segment, segment_gone, PointerGetDatum(api));
	drop_all(api, &api->queue);
	drop_all(api, &api->pulled);
}

/* The memory of the consumer's buffers goes away, or the guard does. */
static void
buffers_gone(void *arg)
{
	IopoolApiStream *api = arg;

	api->guard = NULL;
	iopool_stream_end(api->stream, NULL);
}

/* Raise 22023 unless an option is its default, 0, or in range. */
static void
check_option(const char *name, int64 value, int64 min, int64 max)
{
	if (value != 0 && (value < min || value > max))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" of a stream must be 0 or from %lld to %lld",
						name, (long long) min, (long long) max),
				 errdetail("It is %lld.", (long long) value)));
}

/* The consumer's options with defaults, for the engine. */
static void
fill_options(IopoolStreamOptions *options, const IopoolApiOptions *given,
			 IopoolApiStream *api)
{
	check_option("max_in_flight_bytes", given->max_in_flight_bytes,
				 IOPOOL_BLOCK_SIZE, PG_INT64_MAX / 4);
	check_option("merge_gap", given->merge_gap, -1, IOPOOL_MAX_MERGE_GAP);
	check_option("header_size", (int64) given->header_size, 0,
				 MaxAllocSize - IOPOOL_MAX_LENGTH);

	memset(options, 0, sizeof(IopoolStreamOptions));
	options->pool =
		iopool_shmem_find_pool(given->pool ? given->pool : iopool_pool);
	options->in_order = given->in_order;
	options->is_aligned = given->is_aligned;
	options->max_in_flight_bytes = given->max_in_flight_bytes > 0
		? given->max_in_flight_bytes
		: iopool_max_in_flight_bytes;
	options->merge_gap = given->is_aligned ? -1 : given->merge_gap;
	options->header_size = given->header_size;
	options->source = api_source;
	options->source_arg = api;
	options->kind = IOPOOL_STREAM_API;
}

static IopoolApiStream *
api_begin(MemoryContext cxt, const IopoolApiOptions *given)
{
	IopoolApiOptions all = {0};
	IopoolStreamOptions options;
	IopoolApiStream *api;
	MemoryContext own_cxt;

	iopool_shmem_require();
	if (given != NULL)
	{
		iopool_api_check_size("IopoolApiOptions", given->size, sizeof(all));
		memcpy(&all, given, given->size);
	}

	own_cxt =
		AllocSetContextCreate(cxt, "iopool stream", ALLOCSET_DEFAULT_SIZES);
	api = MemoryContextAllocZero(own_cxt, sizeof(IopoolApiStream));
	PG_TRY();
	{
		fill_options(&options, &all, api);
		api->cxt = own_cxt;
		api->buffers = iopool_api_set_create(own_cxt);
		api->is_aligned = all.is_aligned;
		dlist_init(&api->queue);
		dlist_init(&api->pulled);
		dlist_init(&api->unused);

		api->at_reset.func = stream_gone;
		api->at_reset.arg = api;
		MemoryContextRegisterResetCallback(own_cxt, &api->at_reset);
		api->stream = iopool_stream_begin(own_cxt, &options);
		if (all.buffer_context != NULL)
			api->guard =
				iopool_api_guard(all.buffer_context, buffers_gone, api);
		if (all.buffer_segment != NULL)
		{
			on_dsm_detach(all.buffer_segment, segment_gone,
						  PointerGetDatum(api));
			api->segment = all.buffer_segment;
		}
		iopool_api_register(api, IOPOOL_API_STREAM);
	}
	PG_CATCH();
	{
		MemoryContextDelete(own_cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return api;
}

static void
check_read(const IopoolApiStream *api, const IopoolApiRead *read)
{
	/* a range behind the end of all files is empty here, as it always was */
	IopoolFailure failure = {
		.kind = iopool_range_failure(Min(read->offset, 0), read->length),
	};

	iopool_api_check_file(read->file);
	if (read->offset < 0 && !read->file->from_end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("file offset must not be negative"),
				 errdetail("The offset is %lld.", (long long) read->offset)));
	if (failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&failure, NULL, read->offset, read->length, 0);
	if (read->buffer != NULL && read->buffer_size < read->length)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("buffer of %lld bytes is too small for a read of %lld bytes",
						(long long) read->buffer_size,
						(long long) read->length)));

	if (!api->is_aligned || read->file->file.alignment == 0)
		return;
	if (read->buffer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aligned read has no buffer")));
	if (read->offset < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aligned read must not count from the end of the file"),
				 errdetail("The offset is %lld.", (long long) read->offset)));
	iopool_api_check_aligned(read->file, read->offset, read->length,
							 read->buffer);
}

static void
api_add(IopoolApiStream *api, const IopoolApiRead *read)
{
	ApiRead *entry;

	check_stream(api);
	check_read(api, read);

	if (dlist_is_empty(&api->unused))
		entry = MemoryContextAlloc(api->cxt, sizeof(ApiRead));
	else
		entry =
			dlist_container(ApiRead, node, dlist_pop_head_node(&api->unused));
	entry->read = *read;
	iopool_api_pin_file(read->file);
	dlist_push_tail(&api->queue, &entry->node);
	api->nadded++;
}

static void
api_submit(IopoolApiStream *api)
{
	check_stream(api);
	iopool_stream_start(api->stream);
}

static int64
api_outstanding(IopoolApiStream *api)
{
	check_stream(api);
	return (int64) (api->nadded - api->ntaken);
}

/* The errno that tells best what a failure is. */
static int
failure_errno(const IopoolFailure *failure)
{
	if (failure->kind == IOPOOL_FAILURE_NO_DIRECT ||
		failure->kind == IOPOOL_FAILURE_NO_END)
		return EINVAL;
	return failure->errnum != 0 ? failure->errnum : EIO;
}

/* Take up to max results that are there. */
static int
collect_results(IopoolApiStream *api, IopoolApiResult *results, int max)
{
	IopoolResult done;
	int n = 0;

	for (;;)
	{
		ApiRead *entry;
		IopoolApiResult *result;
		bool has_failed;

		/* before it is taken, because this may raise */
		iopool_api_set_reserve(api->buffers);
		if (n == max || !iopool_stream_take(api->stream, &done))
			return n;

		entry = (ApiRead *) (intptr_t) done.cookie;
		result = &results[n++];
		has_failed = done.failure.kind != IOPOOL_FAILURE_NONE;
		result->cookie = entry->read.cookie;
		result->file = entry->read.file;
		result->offset = entry->read.offset;
		result->length = entry->read.length;
		result->nbytes = has_failed ? -1 : done.nbytes;
		result->errnum = has_failed ? failure_errno(&done.failure) : 0;
		result->failure = done.failure.kind;
		result->buffer =
			entry->read.buffer != NULL ? entry->read.buffer : done.buffer;
		if (done.buffer != NULL)
			iopool_api_set_add(api->buffers, done.buffer, done.buffer_size);
		drop_read(api, entry);
	}
}

static int
api_take(IopoolApiStream *api, IopoolApiResult *results, int max,
		 int timeout_ms)
{
	IopoolDeadline deadline = iopool_deadline_in(timeout_ms);
	IopoolStep step = IOPOOL_STEP_MOVED;
	int n = 0;

	check_stream(api);
	if (max < 1 || timeout_ms < -1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot take %d results within %d ms", max,
						timeout_ms)));

	/*
	 * A round starts more reads, and does not wait while there are results.
	 * It may raise, so results are collected last: else they would be lost.
	 */
	while (n == 0 && api_outstanding(api) > 0 && step != IOPOOL_STEP_LATE)
	{
		step =
			iopool_stream_step(&api->stream, 1, NULL, true, false, deadline);
		n = collect_results(api, results, max);
		if (n == 0 && step == IOPOOL_STEP_IDLE)
			iopool_stream_raise_idle();
	}
	return n;
}

static void
api_release(IopoolApiStream *api, char *buffer)
{
	Size size;

	check_stream(api);
	size = iopool_api_set_remove(api->buffers, buffer);
	if (size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("buffer is not one of the stream's")));
	iopool_stream_put_back(api->stream, buffer, size);
}

static int64
api_cancel(IopoolApiStream *api)
{
	IopoolResult done;
	int64 noutstanding = api_outstanding(api);

	drop_all(api, &api->queue);
	iopool_stream_cancel(api->stream);
	while (iopool_stream_take(api->stream, &done))
	{
		if (done.buffer != NULL)
			pfree(done.buffer);
	}
	drop_all(api, &api->pulled);
	/* reads of other streams were taken back along with those of this one */
	iopool_stream_pump();
	return noutstanding;
}

static void
api_end(IopoolApiStream *api)
{
	/* one that has ended by itself is still to be freed */
	if (!iopool_api_is_registered(api, IOPOOL_API_STREAM))
		check_stream(api);
	iopool_stream_settle(api->stream);
	iopool_stream_end(api->stream, NULL);
	MemoryContextDelete(api->cxt);
}

static void
api_stream_stats(IopoolApiStream *api, IopoolApiStreamStats *stats)
{
	IopoolApiStreamStats all = {0};
	IopoolStreamTotals totals;

	check_stream(api);
	iopool_api_check_size("IopoolApiStreamStats", stats->size, sizeof(all));
	all.size = stats->size;
	all.nadded = api->nadded;
	all.ntaken = api->ntaken;
	all.in_flight = iopool_stream_in_flight(api->stream, &totals);
	all.nreads = totals.nreads;
	all.nbytes = totals.nbytes;
	all.max_in_flight = totals.max_in_flight;
	memcpy(stats, &all, stats->size);
}

static void
api_raise_failure(const IopoolApiResult *result)
{
	IopoolFailure failure = {.kind = result->failure,
							 .errnum = result->errnum};
	const char *path = "(closed)";

	if (result->errnum == 0)
		return;
	if (iopool_api_is_registered(result->file, IOPOOL_API_FILE))
		path = result->file->file.path;
	iopool_errors_raise(&failure, path, result->offset, result->length, 0);
}

static void
api_pool_stats(const char *name, IopoolApiPoolStats *stats)
{
	IopoolPool *pool = iopool_shmem_find_pool(name ? name : iopool_pool);
	IopoolApiPoolStats all = {0};
	IopoolPoolUse use;

	iopool_api_check_size("IopoolApiPoolStats", stats->size, sizeof(all));
	iopool_pool_use(pool, &use);

#define COUNTER(name) \
	pg_atomic_read_u64(&pool->stats.counters[IOPOOL_COUNTER_##name])
	all.size = stats->size;
	all.method = iopool_method_name(pool->method);
	all.nrings = pool->nrings;
	all.nfree = use.nfree;
	all.nin_use = use.nin_use;
	all.nbroken = use.nbroken;
	all.nwaiting = use.nwaiting;
	all.entries = pool->entries;
	all.has_lease = iopool_lease_has_ring(pool, &all.in_flight);
	all.checkouts = COUNTER(CHECKOUTS);
	all.waits = COUNTER(CHECKOUT_WAITS);
	all.wait_us = use.waited_us;
	all.timeouts = COUNTER(CHECKOUT_TIMEOUTS);
	all.nreads = COUNTER(READS);
	all.nbytes = COUNTER(BYTES);
	all.max_in_flight = (int) pg_atomic_read_u32(&pool->stats.max_in_flight);
#undef COUNTER
	memcpy(stats, &all, stats->size);
}

static const IopoolApi api_table = {
	.version = IOPOOL_API_VERSION,
	.size = sizeof(IopoolApi),
	.open_file = iopool_api_open_file,
	.open_in_directory = iopool_api_open_in_directory,
	.close_file = iopool_api_close_file,
	.file_info = iopool_api_file_info,
	.begin = api_begin,
	.add = api_add,
	.submit = api_submit,
	.take = api_take,
	.outstanding = api_outstanding,
	.release = api_release,
	.cancel = api_cancel,
	.end = api_end,
	.stream_stats = api_stream_stats,
	.raise_failure = api_raise_failure,
	.alloc_aligned = iopool_api_alloc_aligned,
	.free_aligned = iopool_api_free_aligned,
	.check_aligned = iopool_api_check_aligned,
	.pool_stats = api_pool_stats,
	.open = iopool_api_open,
};

/* Called once, when the library is preloaded. */
void
iopool_api_install(void)
{
	*(const IopoolApi **) find_rendezvous_variable(IOPOOL_API_VARIABLE) =
		&api_table;
}
