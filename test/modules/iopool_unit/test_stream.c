/*-------------------------------------------------------------------------
 *
 * test_stream.c
 *	  White-box tests of stream.c, stream_read.c and file.c: random streams over
 *	  a kernel that misbehaves, ended at random.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "engine/stream_internal.h"
#include "mock.h"
#include "unit.h"

#define MAX_STREAMS 3
#define MAX_FILES	3
#define MAX_RANGES	200
#define MAX_KEPT	20
#define CANARY		16

/* How a stream ends. */
typedef enum Ending
{
	END_EXHAUSTED,
	END_EARLY,	/* iopool_stream_end() */
	END_RESET,	/* its memory context is reset */
	END_DELETE, /* ... the parent of it is deleted */
	END_RAISE,	/* the source raises */
	END_CANCEL, /* the query is cancelled */
	END_FORGET, /* iopool_stream_cancel(), and it goes on */
	END_EXIT,	/* the process exits */
	NUM_ENDINGS
} Ending;

typedef struct TestRange
{
	int fileno;
	int64 offset; /* from the beginning */
	int64 length;
	int64 end;	   /* that the offset is counted from, or 0 */
	int64 before;  /* bytes of it that lie before the beginning */
	bool is_whole; /* all of the file, whatever its size is said to be */
	char *dest;	   /* the caller's, with canaries around; or NULL */
	int64 dest_size;
	bool is_out;
	bool is_forgotten;
} TestRange;

/* A buffer of a result that the caller has not freed yet. */
typedef struct Kept
{
	IopoolResult result;
	int rangeno;
} Kept;

typedef struct TestStream
{
	MemoryContext parent;
	MemoryContext cxt;
	IopoolFileSet *files;
	IopoolStream *stream;
	IopoolStreamOptions options;
	TestRange ranges[MAX_RANGES];
	int nranges;
	int next_range; /* of the source */
	int64 longest;
	int64 growth; /* of whole files, on their way */
	int nout;
	int ends_at; /* ranges given or got until the ending */
	Ending ending;
	bool is_over;
	bool is_forgetting; /* results may be cancelled ones */
	Kept kept[MAX_KEPT];
	int nkept;
} TestStream;

typedef struct World
{
	IopoolPool *pool;
	MockFile *files[MAX_FILES];
	int nfiles;
	TestStream streams[MAX_STREAMS];
	int nstreams;
	bool may_lack_memory;
	bool is_cancelled; /* by END_CANCEL */
} World;

/* --------------------------------------------------------------------------
 * What a range has to give
 */

/* The offset that the stream is asked for. */
static int64
asked_offset(const TestRange *range)
{
	return range->offset - range->before - range->end;
}

static int64
asked_length(const TestRange *range)
{
	return range->is_whole ? IOPOOL_WHOLE_FILE : range->length + range->before;
}

static int64
available(const MockFile *file, const TestRange *range)
{
	int64 length = Min(range->length, PG_INT64_MAX - range->offset);

	if (range->is_whole)
		return file->size;
	if (range->dest != NULL)
		length = Min(length, range->dest_size);
	/* where there is a byte that stat does not know of, it may know nothing */
	if (range->offset + length > file->stat_size &&
		Max(range->offset, file->stat_size) < file->size)
		return length;
	return Min(length, Max(file->stat_size - range->offset, 0));
}

static int64
expected_len(const MockFile *file, const TestRange *range)
{
	int64 upto = Min(range->offset + available(file, range), file->size);

	return Max(upto - range->offset, 0);
}

static bool
expects_failure(const MockFile *file, const TestRange *range)
{
	int64 start = range->offset;
	int64 end = range->offset + available(file, range);

	if (start == end)
		return false;
	if (file->alignment > 0)
	{
		start -= start % file->alignment;
		end = TYPEALIGN64(file->alignment, end);
	}
	return start < file->bad_end && end > file->bad_start;
}

static void
check_bytes(const MockFile *file, const TestRange *range, const char *bytes,
			int64 len)
{
	static char expected[1024 * 1024];

	CHECK(len <= (int64) sizeof(expected));
	mock_fill(file, range->offset, expected, len);
	if (memcmp(expected, bytes, len) != 0)
		unit_fail(__FILE__, __LINE__,
				  "wrong bytes for [%lld, %lld), alignment %d",
				  (long long) range->offset,
				  (long long) (range->offset + range->length),
				  file->alignment);
}

/* --------------------------------------------------------------------------
 * Streams
 */

static World *world;

static IopoolSourceStatus
test_source(void *arg, IopoolRange *range)
{
	TestStream *test = arg;
	TestRange *next = &test->ranges[test->next_range];
	MockFile *mock;

	if (test->ending == END_RAISE && test->next_range >= test->ends_at)
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION), errmsg("source")));
	if (test->next_range == test->nranges)
		return IOPOOL_SOURCE_END;

	mock = world->files[next->fileno];
	range->file =
		iopool_file_set_find(test->files, mock->path, strlen(mock->path));
	if (!iopool_file_acquire(test->files, range->file))
		return IOPOOL_SOURCE_LATER;
	CHECK_EQUAL(range->file->failure.kind, IOPOOL_FAILURE_NONE);
	CHECK(mock_file_of(range->file->fd) == mock);
	range->file->alignment = mock->alignment;
	if (mock->is_uncached && range->file->nusers == 1 && mock_chance(20))
		range->file->rw_flags = 0x80;

	range->offset = asked_offset(next);
	range->length = asked_length(next);
	range->cookie = test->next_range;
	range->dest = next->dest;
	range->max_bytes = next->dest ? next->dest_size : range->length;
	test->next_range++;
	return IOPOOL_SOURCE_RANGE;
}

/* The last of a context's callbacks: its memory goes away right after. */
static void
check_nothing_outstanding(void *arg)
{
	TestStream *test = arg;

	for (int i = 0; i < test->nranges; i++)
	{
		if (test->ranges[i].dest != NULL &&
			mock_is_read_into(test->ranges[i].dest, test->ranges[i].dest_size))
			mock_violation("memory goes away under a read");
	}
	if (world->nstreams == 1 && mock_outstanding() > 0)
		mock_violation("a context goes away with %d reads outstanding",
					   mock_outstanding());
	if (test->stream->in_flight > 0 || test->stream->uses_lease ||
		test->stream->is_open)
		mock_violation("a context goes away with its stream");
}

static void
make_ranges(TestStream *test)
{
	int64 base = 0;
	bool is_small = mock_chance(40);
	bool has_dests = mock_chance(30);

	test->nranges = (int) mock_between(0, is_small ? MAX_RANGES : 40);
	test->longest = 0;
	test->growth = 0;
	for (int i = 0; i < test->nranges; i++)
	{
		TestRange *range = &test->ranges[i];
		MockFile *file;

		memset(range, 0, sizeof(TestRange));
		range->fileno = (int) mock_between(0, world->nfiles - 1);
		file = world->files[range->fileno];
		if (mock_chance(20))
			base = mock_between(0, file->size + 10000);
		base += mock_between(-500, 1000);
		range->offset = Max(base, 0);
		if (is_small || mock_chance(50))
			range->length = mock_between(0, 600);
		else
			range->length = mock_between(0, mock_chance(90) ? 20000 : 400000);
		base = range->offset + mock_between(0, range->length);
		if (mock_chance(5))
		{
			range->is_whole = true;
			range->offset = 0;
			range->length = file->size;
			test->longest =
				Max(test->longest, Max(file->size, file->stat_size));
			test->growth += file->size + 128 * 1024;
			continue;
		}
		if (file->stat_size == file->size && range->offset < file->size &&
			mock_chance(20))
		{
			range->end = file->size;
			if (mock_chance(10))
				range->before = mock_between(0, 2000);
			if (range->before > 0)
				range->offset = 0;
		}
		test->longest = Max(test->longest, range->length);
		if (has_dests && mock_chance(90))
		{
			char *memory;

			/* as if the file had grown since dest was allocated for it */
			range->dest_size = range->length;
			if (mock_chance(10))
				range->dest_size = mock_between(0, range->length);
			/* from its end, that were the first bytes of the file then */
			if (range->end > 0 && range->before == 0 &&
				range->dest_size <
					Min(range->length, file->size - range->offset))
			{
				range->before = -range->offset;
				range->length += range->offset;
				range->offset = 0;
			}
			memory =
				MemoryContextAlloc(test->cxt, range->dest_size + 2 * CANARY);
			memset(memory, 0x77, range->dest_size + 2 * CANARY);
			range->dest = memory + CANARY;
		}
	}
}

static void
begin_stream(TestStream *test)
{
	static const int64 windows[] = {4096,		8192,		 65536,
									256 * 1024, 1024 * 1024, 16 * 1024 * 1024};
	static const int gaps[] = {
		IOPOOL_MERGE_GAP_AUTO, -1, 0, 100, 5000, 100000};
	MemoryContextCallback *callback;

	memset(test, 0, offsetof(TestStream, ranges));
	test->nranges = test->next_range = test->nout = test->nkept = 0;
	test->is_over = test->is_forgetting = false;
	test->parent = AllocSetContextCreate(CurrentMemoryContext, "unit parent",
										 ALLOCSET_DEFAULT_SIZES);
	test->cxt = AllocSetContextCreate(test->parent, "unit stream",
									  ALLOCSET_DEFAULT_SIZES);
	/* the first registered is called last */
	callback = MemoryContextAlloc(test->cxt, sizeof(MemoryContextCallback));
	callback->func = check_nothing_outstanding;
	callback->arg = test;
	MemoryContextRegisterResetCallback(test->cxt, callback);

	test->ending = mock_chance(40) ? END_EXHAUSTED
								   : (Ending) mock_between(0, NUM_ENDINGS - 1);
	make_ranges(test);
	test->ends_at = (int) mock_between(0, test->nranges);
	test->files = iopool_file_set_create(test->cxt, IOPOOL_IO_BUFFERED);
	test->options.pool = world->pool;
	test->options.in_order = mock_chance(50);
	test->options.max_in_flight_bytes =
		windows[mock_between(0, lengthof(windows) - 1)];
	test->options.merge_gap = gaps[mock_between(0, lengthof(gaps) - 1)];
	test->options.header_size = mock_between(0, 2) * 4;
	test->options.kind = mock_between(IOPOOL_STREAM_CALL, IOPOOL_STREAM_API);
	test->options.source = test_source;
	test->options.source_arg = test;
	test->stream = iopool_stream_begin(test->cxt, &test->options);
}

/*
 * The next result, waiting for it if need be; false when all have been handed
 * out.
 */
static bool
take_next(IopoolStream *stream, IopoolResult *result)
{
	iopool_stream_check_interrupts();
	while (!iopool_stream_take(stream, result))
	{
		IopoolStep step;

		if (stream->npending == 0 && stream->source_ended)
			return false;
		step =
			iopool_stream_step(&stream, 1, NULL, false, false, IOPOOL_FOREVER);
		/* LATER is for a source that waits for reads */
		if (step == IOPOOL_STEP_IDLE && stream->npending == 0 &&
			!stream->source_ended)
			iopool_stream_raise_idle();
	}
	return true;
}

/*
 * The next result, by steps: some of them do not wait, and in between
 * everything in the background goes on.
 */
static bool
step_to_next(TestStream *test, IopoolResult *result)
{
	IopoolStream *stream = test->stream;

	while (!iopool_stream_take(stream, result))
	{
		if (stream->npending == 0 && stream->source_ended)
			return false;
		if (mock_chance(20))
			iopool_stream_pump();
		if (mock_chance(20))
			iopool_stream_start(stream);
		if (mock_chance(20))
			iopool_stream_leave(mock_chance(50));
		if (mock_chance(20))
			(void) unit_take_over(world->pool);
		(void) iopool_stream_step(&stream, 1, NULL, mock_chance(50),
								  mock_chance(50),
								  mock_chance(30) ? IOPOOL_NO_WAIT
												  : IOPOOL_FOREVER);
	}
	return true;
}

/* Invariants 6, 11, 17, as they stand between two results. */
static void
check_bounds(TestStream *test)
{
	IopoolStream *stream = test->stream;
	int64 window = test->options.max_in_flight_bytes;
	int nreads = 0;

	CHECK(mock_outstanding() <= world->pool->entries);
	CHECK(stream->in_flight_bytes <= window || stream->in_flight <= 1);
	CHECK(stream->buffers->nbytes <=
		  Max(2 * window - stream->reserved, IOPOOL_MIN_FREE_BYTES) +
			  test->longest);
	if (test->options.kind != IOPOOL_STREAM_REQUEST)
		CHECK(stream->reserved <
			  2 * window + Max(test->longest, 1) + test->growth);
	for (int i = 0; i < world->nstreams; i++)
	{
		if (!world->streams[i].is_over)
			nreads += world->streams[i].stream->in_flight;
	}
	CHECK_EQUAL(iopool_lease_outstanding(stream->lease), nreads);

	/* a ring is held by those that have something to read, and no longer */
	if (world->nstreams == 1 && stream->in_flight == 0 &&
		stream->source_ended && dlist_is_empty(&stream->todo))
		CHECK(!stream->uses_lease);
	if (iopool_stream_is_background(stream) &&
		iopool_lease_outstanding(stream->lease) == 0)
		CHECK(!stream->uses_lease);
	if (stream->lease->in_flight > 0)
		CHECK(stream->lease->ring != NULL);
}

/* A result is not needed any more. */
static void
free_result(TestStream *test, const IopoolResult *result)
{
	memset(result->buffer, 0xEE, result->buffer_size);
	if (mock_chance(50))
		pfree(result->buffer);
	else
		iopool_stream_put_back(test->stream, result->buffer,
							   result->buffer_size);
}

static void
check_kept(TestStream *test)
{
	while (test->nkept > 0)
	{
		Kept *kept = &test->kept[--test->nkept];
		TestRange *range = &test->ranges[kept->rangeno];

		check_bytes(world->files[range->fileno], range,
					kept->result.buffer + test->options.header_size,
					kept->result.nbytes);
		free_result(test, &kept->result);
	}
}

static void
take_buffer(TestStream *test, const IopoolResult *result)
{
	Size header_size = test->options.header_size;

	if (mock_is_read_into(result->buffer, header_size + result->nbytes))
		unit_fail(__FILE__, __LINE__, "a result is still being read into");
	if (test->nkept < MAX_KEPT && mock_chance(30))
	{
		test->kept[test->nkept].result = *result;
		test->kept[test->nkept++].rangeno = (int) result->cookie;
		return;
	}
	CHECK(result->buffer_size >= header_size + result->nbytes);
	free_result(test, result);
}

static void
check_result(TestStream *test, const IopoolResult *result)
{
	TestRange *range = &test->ranges[result->cookie];
	MockFile *file = world->files[range->fileno];
	bool is_short_of_memory = world->may_lack_memory &&
		result->failure.kind == IOPOOL_FAILURE_READ &&
		result->failure.errnum == ENOMEM;

	CHECK(result->cookie >= 0 && result->cookie < test->next_range);
	CHECK(!range->is_out);
	range->is_out = true;
	if (test->options.in_order)
		CHECK_EQUAL(result->cookie, test->nout);
	test->nout++;
	CHECK_EQUAL(result->offset, asked_offset(range));
	CHECK_EQUAL(result->length, asked_length(range));
	CHECK(strcmp(result->path, file->path) == 0);

	if (test->is_forgetting && result->failure.errnum == ECANCELED)
	{
		CHECK_EQUAL(result->failure.kind, IOPOOL_FAILURE_READ);
		CHECK(result->buffer == NULL);
		range->is_forgotten = true;
		return;
	}
	if (is_short_of_memory || expects_failure(file, range))
	{
		CHECK_EQUAL(result->failure.kind, IOPOOL_FAILURE_READ);
		if (!is_short_of_memory)
			CHECK_EQUAL(result->failure.errnum, EIO);
		CHECK(result->buffer == NULL);
		CHECK_EQUAL(result->nbytes, 0);
		return;
	}

	if (result->failure.kind != IOPOOL_FAILURE_NONE)
		unit_fail(
			__FILE__, __LINE__,
			"[%lld, %lld) failed with %s; bad are [%lld, %lld), file of %lld (stat says %lld), alignment %d",
			(long long) range->offset,
			(long long) (range->offset + range->length),
			strerror(result->failure.errnum), (long long) file->bad_start,
			(long long) file->bad_end, (long long) file->size,
			(long long) file->stat_size, file->alignment);
	if (result->nbytes != expected_len(file, range))
		unit_fail(
			__FILE__, __LINE__,
			"%lld bytes at offset %lld, expected %lld of %lld; file of %lld (stat says %lld), alignment %d",
			(long long) result->nbytes, (long long) range->offset,
			(long long) expected_len(file, range), (long long) range->length,
			(long long) file->size, (long long) file->stat_size,
			file->alignment);
	if (range->dest != NULL)
	{
		CHECK(result->buffer == NULL);
		CHECK(!mock_is_read_into(range->dest, range->dest_size));
		check_bytes(file, range, range->dest, result->nbytes);
		/* nothing may land here any more */
		memset(range->dest, 0xEE, range->dest_size);
		return;
	}
	CHECK(result->buffer != NULL);
	check_bytes(file, range, result->buffer + test->options.header_size,
				result->nbytes);
	take_buffer(test, result);
}

static void
check_dests(TestStream *test)
{
	for (int i = 0; i < test->nranges; i++)
	{
		TestRange *range = &test->ranges[i];

		if (range->dest == NULL)
			continue;
		for (int j = 1; j <= CANARY; j++)
		{
			CHECK_EQUAL((unsigned char) range->dest[-j], 0x77);
			CHECK_EQUAL((unsigned char) range->dest[range->dest_size - 1 + j],
						0x77);
		}
		if (!range->is_out || range->is_forgotten ||
			expects_failure(world->files[range->fileno], range) ||
			world->may_lack_memory)
			continue;
		for (int64 j = 0; j < range->dest_size; j++)
			CHECK_EQUAL((unsigned char) range->dest[j], 0xEE);
	}
}

static void
end_stream(TestStream *test)
{
	IopoolStreamTotals totals;

	if (mock_chance(50))
		iopool_stream_end(test->stream, &totals);
	else
		iopool_stream_end(test->stream, NULL);
	CHECK_EQUAL(test->stream->in_flight, 0);
	test->is_over = true;
	check_kept(test);
	check_dests(test);
	/* once more is harmless */
	iopool_stream_end(test->stream, NULL);
	iopool_file_set_close(test->files);
	MemoryContextDelete(test->parent);
}

/* All that is on its way is taken at once, read or not; then it goes on. */
static void
forget_all(TestStream *test)
{
	IopoolResult result;

	iopool_stream_cancel(test->stream);
	CHECK_EQUAL(test->stream->in_flight, 0);
	CHECK_EQUAL(test->stream->ngroup, 0);
	CHECK(dlist_is_empty(&test->stream->todo));
	test->is_forgetting = true;
	while (iopool_stream_take(test->stream, &result))
		check_result(test, &result);
	test->is_forgetting = false;
	CHECK_EQUAL(test->stream->npending, 0);
	test->ending = END_EXHAUSTED;
}

/* The stream comes to its ending; false: the whole round does. */
static bool
bring_to_end(TestStream *test)
{
	switch (test->ending)
	{
		case END_EARLY:
			end_stream(test);
			return true;
		case END_RESET:
			check_kept(test);
			MemoryContextReset(test->cxt);
			test->is_over = true;
			MemoryContextDelete(test->parent);
			return true;
		case END_DELETE:
			check_kept(test);
			test->is_over = true;
			MemoryContextDelete(test->parent);
			return true;
		case END_CANCEL:
			world->is_cancelled = true;
			InterruptPending = true;
			QueryCancelPending = true;
			mock_forbid_prepare(mock_chance(50) &&
								mock_script.short_reads == 0);
			return true;
		case END_FORGET:
			forget_all(test);
			return true;
		case END_EXIT:
			unit_lease_exit();
			return false;
		default:
			return true;
	}
}

static bool
is_time(const TestStream *test)
{
	return test->ending != END_EXHAUSTED && test->ending != END_RAISE &&
		test->nout >= test->ends_at;
}

/* Run all streams by turns, until each has come to its end. */
static void
run_streams(void)
{
	int nleft = world->nstreams;

	for (int i = 0; i < world->nstreams; i++)
		begin_stream(&world->streams[i]);

	while (nleft > 0)
	{
		TestStream *test =
			&world->streams[mock_between(0, world->nstreams - 1)];
		IopoolResult result;

		if (test->is_over)
			continue;
		if (is_time(test))
		{
			if (!bring_to_end(test))
				return;
			if (test->is_over)
			{
				nleft--;
				continue;
			}
		}
		if (mock_chance(50) ? take_next(test->stream, &result)
							: step_to_next(test, &result))
		{
			check_bounds(test);
			check_result(test, &result);
		}
		else
		{
			check_bounds(test);
			CHECK_EQUAL(test->nout, test->nranges);
			CHECK(test->ending != END_RAISE);
			end_stream(test);
			nleft--;
		}
		mock_verdict();
	}
}

/* As the callbacks of requests do where a transaction is rolled back. */
static void
abort_requests(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &iopool_open_streams)
	{
		IopoolStream *stream = dlist_container(IopoolStream, node, iter.cur);

		if (stream->options.kind == IOPOOL_STREAM_REQUEST)
			iopool_stream_abort(stream);
	}
}

/* Run all streams in a subtransaction, which is rolled back on ERROR. */
static void
run_round(void)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		run_streams();
		for (int i = 0; i < world->nstreams; i++)
		{
			/* left over by END_EXIT */
			if (!world->streams[i].is_over)
				iopool_stream_end(world->streams[i].stream, NULL);
		}
		if (world->is_cancelled)
			QueryCancelPending = false;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(cxt);
		mock_forbid_prepare(false);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_RAISE_EXCEPTION &&
			!(edata->sqlerrcode == ERRCODE_QUERY_CANCELED &&
			  world->is_cancelled))
			PG_RE_THROW();
		FlushErrorState();

		/* in half of the rounds the memory goes first, as a portal's does */
		if (mock_chance(50))
			MemoryContextDeleteChildren(cxt);
		abort_requests();
		RollbackAndReleaseCurrentSubTransaction();
		if (mock_outstanding() > 0)
			mock_violation("a subtransaction ends with reads outstanding");
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(cxt);
	if (world->is_cancelled)
		QueryCancelPending = false;
	world->is_cancelled = false;
	mock_forbid_prepare(false);
}

static void
make_files(void)
{
	static const int alignments[] = {0, 0, 512, 4096};

	world->nfiles = (int) mock_between(1, MAX_FILES);
	for (int i = 0; i < world->nfiles; i++)
	{
		int64 size = mock_between(0, mock_chance(50) ? 10000 : 800000);
		int64 stat_size = size;
		int alignment;
		MockFile *file;

		/* sizes that stat does not know, and files that are truncated */
		alignment = alignments[mock_between(0, lengthof(alignments) - 1)];
		if (alignment == 0 && mock_chance(10))
			stat_size = 0;
		else if (mock_chance(10))
			stat_size = size + mock_between(0, 20000);
		else if (mock_chance(15))
			stat_size = mock_between(0, size);
		file = mock_file_create(size, stat_size, alignment);
		/* only who does not insist on blocks is asked for less */
		file->is_byte_wise = alignment > 0 && stat_size < size;
		file->is_behind = stat_size < size && mock_chance(70);
		file->is_uncached = mock_chance(20);
		/* which blocks a read touches depends on where it stopped before */
		if (size > 0 && mock_chance(30) &&
			((stat_size <= size && !file->is_behind) || alignment == 0))
		{
			file->bad_start = mock_between(0, size - 1);
			file->bad_end = file->bad_start + mock_between(1, 20000);
			file->bad_end = Min(file->bad_end, size);
		}
		world->files[i] = file;
	}
}

static int
some(int often, int percent)
{
	return mock_chance(often) ? percent : 0;
}

static void
make_script(void)
{
	mock_calm();
	mock_script.short_reads = some(40, 30);
	mock_script.transient_results = some(20, 10);
	mock_script.transient_submits = some(30, 20);
	mock_script.partial_submits = some(40, 50);
	mock_script.laziness = some(70, 80);
	mock_script.stale = some(30, 20);
	mock_script.fatal = some(20, 3);
	mock_script.no_memory = some(10, 10);
	mock_script.is_held = mock_chance(20);
	if (mock_script.fatal > 0)
		mock_script.is_held = false;
	if (world->nstreams == 1 && mock_chance(30))
		mock_script.max_fds = (int) mock_between(1, 2);
	world->may_lack_memory = mock_script.no_memory > 0;
}

/*
 * Whatever the kernel does and however a stream ends: right bytes, bounds
 * kept, nothing lost, and no memory or file let go under a read.
 */
static void
stream_random(int rounds)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "unit",
											  ALLOCSET_DEFAULT_SIZES);
	static const int entries[] = {1, 2, 3, 4, 8, 64};

	MemoryContextSwitchTo(cxt);
	world = MemoryContextAllocZero(TopMemoryContext, sizeof(World));
	for (int round = 0; round < rounds; round++)
	{
		world->pool =
			mock_pool_create((int) mock_between(1, 3),
							 entries[mock_between(0, lengthof(entries) - 1)]);
		world->nstreams =
			mock_chance(50) ? 1 : (int) mock_between(2, MAX_STREAMS);
		make_files();
		make_script();
		run_round();
		MemoryContextDeleteChildren(cxt);
		mock_verdict();
		CHECK_EQUAL(mock_outstanding(), 0);
		mock_pool_check(world->pool, 0);
		mock_files_remove();
		mock_reset();
	}
	pfree(world);
}

/* --------------------------------------------------------------------------
 * Streams of one file, with nothing left to chance
 */

/* A world of one stream: n ranges of len bytes, step bytes from each other. */
static TestStream *
plain_stream(int entries, int n, int64 len, int64 step)
{
	TestStream *test;

	world = palloc0(sizeof(World));
	world->pool = mock_pool_create(1, entries);
	world->nfiles = 1;
	world->nstreams = 1;
	world->files[0] = mock_file_create(1024 * 1024, 1024 * 1024, 0);
	test = &world->streams[0];
	test->parent = AllocSetContextCreate(CurrentMemoryContext, "unit parent",
										 ALLOCSET_DEFAULT_SIZES);
	test->cxt = AllocSetContextCreate(test->parent, "unit stream",
									  ALLOCSET_DEFAULT_SIZES);
	test->nranges = n;
	for (int i = 0; i < n; i++)
	{
		test->ranges[i].offset = i * step;
		test->ranges[i].length = len;
	}
	test->longest = len;
	test->files = iopool_file_set_create(test->cxt, IOPOOL_IO_BUFFERED);
	test->options.pool = world->pool;
	test->options.in_order = true;
	test->options.max_in_flight_bytes = 1024 * 1024;
	test->options.merge_gap = -1;
	test->options.source = test_source;
	test->options.source_arg = test;
	test->stream = iopool_stream_begin(test->cxt, &test->options);
	return test;
}

static bool
next_result(TestStream *test)
{
	IopoolResult result;

	if (!take_next(test->stream, &result))
		return false;
	check_bounds(test);
	check_result(test, &result);
	return true;
}

static int
sqlstate_of_next(TestStream *test)
{
	MemoryContext cxt = CurrentMemoryContext;
	IopoolResult result;
	volatile int sqlstate = 0;

	PG_TRY();
	{
		(void) take_next(test->stream, &result);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		sqlstate = geterrcode();
		FlushErrorState();
	}
	PG_END_TRY();
	return sqlstate;
}

/*
 * Invariant 11: a ring is held while there is something to read, and given
 * back with results still to be fetched.
 */
static void
stream_holds(int rounds)
{
	TestStream *test = plain_stream(4, 12, 1000, 2000);

	mock_script.is_held = true;
	CHECK(iopool_ring_state(&world->pool->rings[0]) == IOPOOL_RING_FREE);
	while (next_result(test))
	{
		bool is_reading = test->stream->in_flight > 0 ||
			!dlist_is_empty(&test->stream->todo) ||
			!test->stream->source_ended;

		CHECK_EQUAL(iopool_ring_is_leased(&world->pool->rings[0]), is_reading);
	}
	end_stream(test);

	/* all is read at once: every result but the first is fetched without */
	test = plain_stream(16, 12, 1000, 2000);
	mock_script.is_held = false;
	CHECK(next_result(test));
	CHECK_EQUAL(test->stream->in_flight, 0);
	mock_pool_check(world->pool, 0);
	while (next_result(test))
		mock_pool_check(world->pool, 0);
	end_stream(test);
}

/*
 * Invariant 11 for two streams on one ring: the reads of a stream that is
 * suspended are reaped by its neighbour, and with the neighbour's last read
 * the ring is free.
 */
static void
stream_lets_go(int rounds)
{
	TestStream *idle = plain_stream(8, 3, 1000, 2000);
	TestStream *busy = &world->streams[1];

	*busy = *idle;
	busy->cxt = AllocSetContextCreate(idle->parent, "unit stream",
									  ALLOCSET_DEFAULT_SIZES);
	busy->files = iopool_file_set_create(busy->cxt, IOPOOL_IO_BUFFERED);
	busy->options.source_arg = busy;
	busy->stream = iopool_stream_begin(busy->cxt, &busy->options);
	world->nstreams = 2;

	mock_script.is_held = true;
	CHECK(next_result(idle));
	CHECK(idle->stream->in_flight > 0);
	mock_script.is_held = false;
	while (next_result(busy))
		;
	CHECK_EQUAL(idle->stream->in_flight, 0);
	mock_pool_check(world->pool, 0);

	while (next_result(idle))
		;
	iopool_stream_end(busy->stream, NULL);
	end_stream(idle);
}

/* Who only looks gets what comes in on a ring that is refused. */
static void
stream_pumps_refused(int rounds)
{
	TestStream *test = plain_stream(8, 20, 1000, 2000);
	IopoolLease *lease = test->stream->lease;

	test->stream->options.kind = test->options.kind = IOPOOL_STREAM_REQUEST;
	mock_script.is_held = true;
	iopool_stream_start(test->stream);
	CHECK(lease->in_flight > 0);
	mock_script.fatal_errno = EBADF;
	iopool_stream_pump();
	CHECK_EQUAL(lease->fatal_errno, EBADF);
	mock_complete(lease->ring, 100);
	mock_script.is_held = false;
	for (int i = 0; i < 10 && test->stream->in_flight > 0; i++)
		iopool_stream_pump();
	CHECK_EQUAL(test->stream->in_flight, 0);
	end_stream(test);
}

/* Ranges that are read and not handed out yet. */
static int
count_done(IopoolStream *stream)
{
	int n = 0;
	dlist_iter iter;

	dlist_foreach(iter, &stream->pending)
		n += dlist_container(IopoolPending, node, iter.cur)->is_done;
	return n;
}

/*
 * Reads that are there at once are made a little at a time, into the same
 * memory again and again; when one is not, the whole window is filled before
 * it is waited for; and so back.
 */
static void
stream_quick(int rounds)
{
	const int few = 256 / 16;
	TestStream *test = plain_stream(64, 200, 16 * 1024, 5000);
	IopoolStream *stream = test->stream;
	const char *buffers[200];
	int nbuffers = 0;
	IopoolResult result;

	for (int n = 0; n < 60; n++)
	{
		int i = 0;

		CHECK(take_next(stream, &result));
		check_bytes(world->files[0], &test->ranges[result.cookie],
					result.buffer, result.nbytes);
		CHECK(count_done(stream) < few);
		CHECK_EQUAL(stream->in_flight, 0);
		while (i < nbuffers && buffers[i] != result.buffer)
			i++;
		if (i == nbuffers)
			buffers[nbuffers++] = result.buffer;
		iopool_stream_put_back(stream, result.buffer, result.buffer_size);
	}
	CHECK(nbuffers <= few);
	CHECK(stream->totals.max_in_flight <= few);

	mock_script.is_held = true;
	for (int n = 0; n < few + 1; n++)
	{
		CHECK(take_next(stream, &result));
		iopool_stream_put_back(stream, result.buffer, result.buffer_size);
	}
	CHECK(stream->totals.max_in_flight > 2 * few);

	mock_script.is_held = false;
	for (int n = 60 + few + 1; n < 200; n++)
	{
		CHECK(take_next(stream, &result));
		check_bytes(world->files[0], &test->ranges[result.cookie],
					result.buffer, result.nbytes);
		iopool_stream_put_back(stream, result.buffer, result.buffer_size);
	}
	CHECK(stream->lease->ring == NULL);
	CHECK(!take_next(stream, &result));
	iopool_stream_end(stream, NULL);
	MemoryContextDelete(test->parent);
	mock_files_remove();
	mock_reset();
}

/* Long buffers that are put back: the last of them serves the next range. */
static void
stream_put_back(int rounds)
{
	TestStream *test = plain_stream(64, 30, 1024 * 1024 - 30, 1);
	IopoolStream *stream = test->stream;
	IopoolResult results[3];

	for (int n = 0; n < 30; n += lengthof(results))
	{
		for (size_t i = 0; i < lengthof(results); i++)
			CHECK(take_next(stream, &results[i]));
		for (size_t i = 0; i < lengthof(results); i++)
			iopool_stream_put_back(stream, results[i].buffer,
								   results[i].buffer_size);
		CHECK(stream->buffers->nbytes <=
			  2 * test->options.max_in_flight_bytes + test->longest);
		CHECK(!dlist_is_empty(&stream->buffers->free));
		CHECK(dlist_head_element(IopoolFreeBuffer, node,
								 &stream->buffers->free) ==
			  (void *) results[lengthof(results) - 1].buffer);
	}
	iopool_stream_end(stream, NULL);
	MemoryContextDelete(test->parent);
	mock_files_remove();
	mock_reset();
}

/* The same for a range that is longer than what is read at a time. */
static void
stream_quick_long(int rounds)
{
	TestStream *test = plain_stream(64, 1, 1024 * 1024, 0);
	IopoolStream *stream = test->stream;

	CHECK_EQUAL(stream->split, 64 * 1024);
	CHECK(next_result(test));
	CHECK_EQUAL(stream->totals.nreads, 16);
	end_stream(test);

	/* no more is begun before it is handed out, but where reads wait */
	for (int is_held = 0; is_held <= 1; is_held++)
	{
		test = plain_stream(64, 3, 256 * 1024, 384 * 1024);
		mock_script.is_held = is_held;
		CHECK(next_result(test));
		CHECK(next_result(test));
		CHECK(is_held ? test->stream->totals.max_in_flight > 4
					  : test->stream->totals.max_in_flight <= 4);
		end_stream(test);
	}
}

/* The queue is full while results are handed out: no batch barrier. */
static void
stream_refills(int rounds)
{
	TestStream *test = plain_stream(8, 100, 1000, 2000);

	test->stream->options.in_order = test->options.in_order = false;
	mock_script.is_held = true;
	for (int i = 0; i < 80; i++)
	{
		CHECK(next_result(test));
		CHECK(test->stream->in_flight >= 6);
	}
	while (next_result(test))
		;
	end_stream(test);
}

/*
 * Invariants 2 and 18: after a cancel request nothing new goes to the kernel,
 * reads that stopped short included, and what is there is waited for.
 */
static void
stream_cancel(int rounds)
{
	for (int short_reads = 0; short_reads <= 100; short_reads += 100)
	{
		TestStream *test = plain_stream(4, 40, 10000, 10000);

		mock_script.is_held = true;
		mock_script.short_reads = short_reads;
		CHECK(next_result(test));
		CHECK(mock_outstanding() > 0);

		InterruptPending = true;
		QueryCancelPending = true;
		mock_forbid_prepare(true);
		/* those that are ready may come out first */
		for (;;)
		{
			int sqlstate = sqlstate_of_next(test);

			mock_verdict();
			if (sqlstate == 0)
				continue;
			CHECK_EQUAL(sqlstate, ERRCODE_QUERY_CANCELED);
			break;
		}
		CHECK_EQUAL(mock_outstanding(), 0);
		mock_forbid_prepare(false);
		iopool_stream_end(test->stream, NULL);
		MemoryContextDelete(test->parent);
		mock_pool_check(world->pool, 0);
		mock_files_remove();
		mock_reset();
	}
}

/* Invariant 13: one that is forgotten is ended with its resource owner. */
static void
stream_forgotten(int rounds)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext cxt = CurrentMemoryContext;
	TestStream *test;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	test = plain_stream(4, 40, 1000, 2000);
	mock_script.is_held = true;
	CHECK(next_result(test));
	CHECK(mock_outstanding() > 0);
	RollbackAndReleaseCurrentSubTransaction();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(cxt);
	CHECK_EQUAL(mock_outstanding(), 0);
	mock_pool_check(world->pool, 0);
	CHECK_EQUAL(mock_counter(world->pool, IOPOOL_COUNTER_RECLAIMS), 1);
	MemoryContextDelete(test->parent);
}

/*
 * A subtransaction that ends has nothing to do with the streams of the
 * transaction around it.
 */
static void
stream_of_outer(int rounds)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext cxt = CurrentMemoryContext;
	TestStream *test = plain_stream(4, 40, 1000, 2000);

	mock_script.is_held = true;
	CHECK(next_result(test));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	CHECK(next_result(test));
	RollbackAndReleaseCurrentSubTransaction();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(cxt);
	while (next_result(test))
		;
	CHECK_EQUAL(test->nout, 40);
	end_stream(test);
}

/* Source of stream_memory(): many small ranges. */
static IopoolSourceStatus
endless_source(void *arg, IopoolRange *range)
{
	TestStream *test = arg;
	MockFile *mock = world->files[0];

	if (test->next_range == 300000)
		return IOPOOL_SOURCE_END;
	range->file =
		iopool_file_set_find(test->files, mock->path, strlen(mock->path));
	CHECK(iopool_file_acquire(test->files, range->file));
	range->offset = mock_between(0, mock->size - 600);
	range->length = mock_between(0, 500);
	range->cookie = test->next_range++;
	range->dest = NULL;
	range->max_bytes = range->length;
	return IOPOOL_SOURCE_RANGE;
}

/* Invariant 17: the memory of a stream does not grow with its ranges. */
static void
stream_memory(int rounds)
{
	for (int in_order = 0; in_order < 2; in_order++)
	{
		TestStream *test = plain_stream(16, 0, 0, 0);
		IopoolResult result;
		Size at_first = 0;
		int n = 0;

		test->stream->options.source = endless_source;
		test->stream->options.in_order = in_order;
		test->stream->options.merge_gap = 100;
		mock_script.short_reads = 5;
		mock_script.laziness = 90;
		while (take_next(test->stream, &result))
		{
			if (result.buffer != NULL)
				iopool_stream_put_back(test->stream, result.buffer,
									   result.buffer_size);
			if (++n == 30000)
				at_first = MemoryContextMemAllocated(test->cxt, true);
		}
		CHECK_EQUAL(n, 300000);
		CHECK(MemoryContextMemAllocated(test->cxt, true) <= at_first * 2);
		CHECK(at_first <= 4 * 1024 * 1024);
		iopool_stream_end(test->stream, NULL);
		MemoryContextDelete(test->parent);
		mock_files_remove();
		mock_reset();
	}
}

/* Source of stream_interrupted(): raises now and then. */
static int nraised;

static IopoolSourceStatus
raising_source(void *arg, IopoolRange *range)
{
	TestStream *test = arg;

	if (mock_chance(30) && nraised < 1000)
	{
		nraised++;
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION), errmsg("source")));
	}
	return test_source(test, range);
}

/* next_result(); an error of the source is caught, and there is more to come. */
static bool
next_or_caught(TestStream *test, bool forgets)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile bool is_over = false;

	PG_TRY();
	{
		is_over = !next_result(test);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		if (forgets && mock_chance(30))
			forget_all(test);
	}
	PG_END_TRY();
	return !is_over;
}

/*
 * A stream that lives on after an error of its source has lost nothing; one
 * that is cancelled then reads nothing of what was pulled.
 */
static void
stream_interrupted(int rounds)
{
	for (int forgets = 0; forgets < 2; forgets++)
	{
		TestStream *test = plain_stream(8, MAX_RANGES, 100, 300);

		nraised = 0;
		test->stream->options.source = raising_source;
		test->stream->options.merge_gap = 1000;
		while (next_or_caught(test, forgets != 0))
			;
		CHECK(nraised > 10);
		CHECK_EQUAL(test->nout, MAX_RANGES);
		end_stream(test);
		mock_pool_check(world->pool, 0);
		mock_files_remove();
		mock_reset();
	}
}

static IopoolAbsence
never_absent(const IopoolHandle *handle)
{
	return IOPOOL_ABSENCE_FORBIDDEN;
}

/*
 * Whoever waits for the reads of a stream that is to do no more absorbs barriers
 * meanwhile, unless interrupts are held off or nothing may raise.
 */
static void
stream_absorbs(int rounds)
{
	IopoolMethod attended = mock_method;
	enum
	{
		SETTLE,
		SETTLE_HELD,
		SUSPEND,
		CANCEL,
		LEAVE,
		LEAVE_BY_ERROR,
		END,
		NUM_WAYS
	} way;

	attended.absence = never_absent;
	for (way = SETTLE; way < NUM_WAYS; way++)
	{
		TestStream *test = plain_stream(8, 20, 1000, 2000);
		IopoolLease *lease = test->stream->lease;
		bool is_pending;

		test->stream->options.kind = test->options.kind =
			IOPOOL_STREAM_REQUEST;
		mock_script.is_held = true;
		iopool_stream_start(test->stream);
		CHECK(lease->in_flight > 1);
		InterruptPending = ProcSignalBarrierPending = true;
		switch (way)
		{
			case SETTLE:
				iopool_stream_settle(test->stream);
				break;
			case SETTLE_HELD:
				HOLD_INTERRUPTS();
				iopool_stream_settle(test->stream);
				RESUME_INTERRUPTS();
				break;
			case SUSPEND:
				iopool_stream_suspend(test->stream);
				break;
			case CANCEL:
				iopool_stream_cancel(test->stream);
				break;
			case LEAVE:
				lease->method = &attended;
				iopool_stream_leave(true);
				break;
			case LEAVE_BY_ERROR:
				lease->method = &attended;
				iopool_stream_leave_by_error();
				break;
			default:
				iopool_stream_end(test->stream, NULL);
				break;
		}
		lease->method = &mock_method;
		is_pending = ProcSignalBarrierPending;
		CHECK_FOR_INTERRUPTS();
		CHECK_EQUAL(lease->in_flight, 0);
		CHECK_EQUAL(is_pending,
					way == SETTLE_HELD || way == LEAVE_BY_ERROR || way == END);
		end_stream(test);
		mock_pool_check(world->pool, 0);
		mock_files_remove();
		mock_reset();
	}
}

/*
 * Aligned streams read straight into the caller's memory, in whole blocks,
 * and never beyond its end; the file's end may be anywhere.
 */
static void
stream_aligned(int rounds)
{
	static const int alignments[] = {512, 4096};

	for (int round = 0; round < Min(rounds, 200); round++)
	{
		TestStream *test = plain_stream(4, 20, 0, 0);
		MockFile *file = world->files[0];
		int alignment = alignments[mock_between(0, 1)];

		file->alignment = alignment;
		file->size = file->stat_size = mock_between(1, 400000);
		/* fstat(2) must tell the same */
		CHECK_EQUAL(truncate(file->path, file->size), 0);
		test->stream->options.is_aligned = true;
		mock_script.short_reads = 20;
		mock_script.laziness = 50;
		for (int i = 0; i < test->nranges; i++)
		{
			TestRange *range = &test->ranges[i];
			char *memory;

			range->offset = mock_between(0, 100) * alignment;
			range->length = mock_between(0, 60) * alignment;
			range->dest_size = range->length;
			memory = MemoryContextAlloc(test->cxt,
										range->length + 2 * CANARY +
											IOPOOL_BLOCK_SIZE);
			range->dest =
				(char *) TYPEALIGN(IOPOOL_BLOCK_SIZE, memory + CANARY);
			memset(range->dest - CANARY, 0x77, range->length + 2 * CANARY);
			test->longest = Max(test->longest, range->length);
		}
		while (next_result(test))
			;
		CHECK_EQUAL(test->nout, 20);
		end_stream(test);
		mock_pool_check(world->pool, 0);
		mock_files_remove();
		mock_reset();
	}
}

/*
 * Invariant 8: offsets beyond 32 bits, and, in a file whose size is not known,
 * the largest there are.
 */
static void
stream_64bit(int rounds)
{
	static const int alignments[] = {0, 512, 4096};
	static const int64 offsets[] = {INT64CONST(0x7ffffff0),
									INT64CONST(0xfffffff0),
									INT64CONST(0x5123456789),
									PG_INT64_MAX - 10000,
									PG_INT64_MAX - 10,
									PG_INT64_MAX};

	for (size_t i = 0; i < lengthof(alignments); i++)
	{
		int64 stat_size = alignments[i] > 0 ? INT64CONST(1) << 40 : 0;
		TestStream *test = plain_stream(4, lengthof(offsets), 100, 0);
		MockFile *file = world->files[0];

		file->alignment = alignments[i];
		file->stat_size = stat_size;
		file->size = alignments[i] > 0 ? stat_size : PG_INT64_MAX;
		CHECK_EQUAL(truncate(file->path, stat_size), 0);
		for (size_t j = 0; j < lengthof(offsets); j++)
			test->ranges[j].offset = offsets[j];
		while (next_result(test))
			;
		CHECK_EQUAL(test->nout, test->nranges);
		end_stream(test);
		mock_verdict();
		mock_files_remove();
	}
}

/*
 * A direct read of the last offsets there are fails or finds nothing, and
 * ends.
 */
static void
stream_64bit_direct(int rounds)
{
	TestStream *test = plain_stream(4, 1, 10, 0);
	MockFile *file = world->files[0];
	IopoolResult result;

	file->alignment = 4096;
	file->stat_size = 0;
	file->size = 0;
	CHECK_EQUAL(truncate(file->path, 0), 0);
	test->ranges[0].offset = PG_INT64_MAX - 10;
	CHECK(take_next(test->stream, &result));
	CHECK_EQUAL(result.nbytes, 0);
	end_stream(test);
}

/*
 * Invariant 7: a direct read that stops off a block in the middle of the file
 * has not met its end.  The bytes are read or the range fails, but it never
 * comes out short.
 */
static void
stream_direct_odd(int rounds)
{
	for (int64 stop = 1; stop < 20000; stop += 1501)
	{
		TestStream *test = plain_stream(1, 1, 20000, 0);
		IopoolResult result;

		world->files[0]->alignment = 512;
		world->files[0]->is_byte_wise = true;
		mock_script.odd_stop = stop;
		CHECK(take_next(test->stream, &result));
		if (result.failure.kind == IOPOOL_FAILURE_NONE || stop > 512)
			check_result(test, &result);
		end_stream(test);
		mock_verdict();
		mock_files_remove();
		mock_reset();
	}
}

/*
 * The same where the file system insists on blocks: the file has grown since the
 * read stopped at its end.
 */
static void
stream_direct_grown(int rounds)
{
	for (int64 stop = 1; stop < 20000; stop += 301)
	{
		TestStream *test = plain_stream(1, 1, 20000, 0);
		IopoolResult result;

		world->files[0]->alignment = 512;
		mock_script.odd_stop = stop;
		CHECK(take_next(test->stream, &result));
		check_result(test, &result);
		end_stream(test);
		mock_verdict();
		mock_files_remove();
		mock_reset();
	}
}

/*
 * Invariant 2: the kernel refuses this process for good.  Who waits hears of it
 * at once; for a stream in the background nothing is tried over and over, and
 * who looks at it hears of it as well.
 */
static void
stream_refused(int rounds)
{
	for (int is_background = 0; is_background <= 1; is_background++)
	{
		TestStream *test = plain_stream(4, 40, 1000, 1000);
		uint64 nsubmits = mock_nsubmits();

		mock_script.refused_errno = ENOSYS;
		if (is_background)
		{
			test->stream->options.kind = IOPOOL_STREAM_API;
			for (int i = 0; i < 100; i++)
				iopool_stream_pump();
			CHECK(mock_nsubmits() - nsubmits <= 2);
			CHECK_EQUAL(unit_sqlstate_of_refusal(test->stream->lease),
						ERRCODE_IO_ERROR);
		}
		CHECK_EQUAL(sqlstate_of_next(test), ERRCODE_IO_ERROR);
		CHECK(mock_nsubmits() - nsubmits <= 5);

		/* nothing is lost by it */
		mock_calm();
		while (next_result(test))
			;
		CHECK_EQUAL(test->nout, test->nranges);
		end_stream(test);
		CHECK_EQUAL(world->pool->nbroken, 0);
		mock_verdict();
		mock_files_remove();
	}
}

/*
 * Invariant 7: what the kernel believes to be the end of a file is not, for
 * every place where it may be.
 */
static void
stream_end_of_file(int rounds)
{
	for (int64 believed = 0; believed < 40000; believed += 1777)
	{
		for (int is_direct = 0; is_direct <= 1; is_direct++)
		{
			TestStream *test = plain_stream(4, 10, 5000, 0);
			MockFile *file = world->files[0];

			file->alignment = is_direct ? 512 : 0;
			file->is_byte_wise = is_direct;
			file->is_behind = true;
			file->size = 39000;
			file->stat_size = believed;
			CHECK_EQUAL(truncate(file->path, believed), 0);
			for (int i = 0; i < test->nranges; i++)
				test->ranges[i].offset = i * 4500;
			while (next_result(test))
				;
			CHECK_EQUAL(test->nout, test->nranges);
			end_stream(test);
			mock_verdict();
			mock_files_remove();
		}
	}
}

const UnitCase unit_stream_cases[] = {
	{"stream_holds", stream_holds},
	{"stream_lets_go", stream_lets_go},
	{"stream_pumps_refused", stream_pumps_refused},
	{"stream_quick", stream_quick},
	{"stream_put_back", stream_put_back},
	{"stream_quick_long", stream_quick_long},
	{"stream_refills", stream_refills},
	{"stream_cancel", stream_cancel},
	{"stream_forgotten", stream_forgotten},
	{"stream_of_outer", stream_of_outer},
	{"stream_memory", stream_memory},
	{"stream_interrupted", stream_interrupted},
	{"stream_absorbs", stream_absorbs},
	{"stream_aligned", stream_aligned},
	{"stream_64bit", stream_64bit},
	{"stream_64bit_direct", stream_64bit_direct},
	{"stream_direct_odd", stream_direct_odd},
	{"stream_direct_grown", stream_direct_grown},
	{"stream_refused", stream_refused},
	{"stream_end_of_file", stream_end_of_file},
	{"stream_random", stream_random},
	{NULL, NULL},
};
