/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Reads into the memory of a parallel query: the leader reads blocks into
 *	  slots of a segment of dynamic shared memory, and whoever is free, worker
 *	  or leader, looks at them there.
 *
 * It is what the parallel scan of an index on disk does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/shm_toc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

#include "consumer.h"

#define NSLOTS		16
#define KEY_STATE	UINT64CONST(0x1001)
#define KEY_DATA	UINT64CONST(0x1002)
#define DATA_ALIGN	4096
#define COLUMNS		3
#define MAX_IDLE_MS 10

/* A slot goes around; only whoever has moved it to BUSY looks at its bytes. */
typedef enum SlotState
{
	SLOT_FREE, /* the leader's, to be read into, or being read into */
	SLOT_FULL,
	SLOT_BUSY,
} SlotState;

typedef struct SharedState
{
	ConditionVariable changed;
	pg_atomic_uint32 is_complete; /* nothing more will be read */
	pg_atomic_uint64 sum;		  /* of all bytes */
	pg_atomic_uint64 by_workers;  /* blocks */
	int64 length;				  /* of a slot */
	pg_atomic_uint32 states[NSLOTS];
	int64 nbytes[NSLOTS];
} SharedState;

PG_FUNCTION_INFO_V1(consumer_shared);

extern PGDLLEXPORT void consumer_shared_worker(dsm_segment *segment,
											   shm_toc *toc);

/* Look at a block, if there is one that nobody looks at. */
static bool
look_at_one(SharedState *state, const char *data)
{
	for (int i = 0; i < NSLOTS; i++)
	{
		const char *block = data + i * state->length;
		uint32 expected = SLOT_FULL;
		uint64 sum = 0;

		if (!pg_atomic_compare_exchange_u32(&state->states[i], &expected,
											SLOT_BUSY))
			continue;
		for (int64 at = 0; at < state->nbytes[i]; at++)
			sum += (unsigned char) block[at];
		pg_atomic_fetch_add_u64(&state->sum, sum);
		if (IsParallelWorker())
			pg_atomic_fetch_add_u64(&state->by_workers, 1);
		pg_write_barrier();
		pg_atomic_write_u32(&state->states[i], SLOT_FREE);
		ConditionVariableBroadcast(&state->changed);
		return true;
	}
	return false;
}

static char *
aligned_data(shm_toc *toc)
{
	return (char *) TYPEALIGN(DATA_ALIGN,
							  shm_toc_lookup(toc, KEY_DATA, false));
}

void
consumer_shared_worker(dsm_segment *segment, shm_toc *toc)
{
	SharedState *state = shm_toc_lookup(toc, KEY_STATE, false);
	const char *data = aligned_data(toc);

	for (;;)
	{
		bool is_complete = pg_atomic_read_u32(&state->is_complete) != 0;

		if (look_at_one(state, data))
			continue;
		if (is_complete)
			break;
		ConditionVariableTimedSleep(&state->changed, MAX_IDLE_MS,
									PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

static ParallelContext *
begin_workers(int nworkers, int64 length)
{
	ParallelContext *pcxt;
	SharedState *state;
	char *data;

	pcxt = CreateParallelContext("iopool_consumer", "consumer_shared_worker",
								 nworkers);
	shm_toc_estimate_chunk(&pcxt->estimator, sizeof(SharedState));
	shm_toc_estimate_chunk(&pcxt->estimator, length * NSLOTS + DATA_ALIGN);
	shm_toc_estimate_keys(&pcxt->estimator, 2);
	InitializeParallelDSM(pcxt);

	state = shm_toc_allocate(pcxt->toc, sizeof(SharedState));
	memset(state, 0, sizeof(SharedState));
	ConditionVariableInit(&state->changed);
	pg_atomic_init_u32(&state->is_complete, 0);
	pg_atomic_init_u64(&state->sum, 0);
	pg_atomic_init_u64(&state->by_workers, 0);
	state->length = length;
	for (int i = 0; i < NSLOTS; i++)
		pg_atomic_init_u32(&state->states[i], SLOT_FREE);
	shm_toc_insert(pcxt->toc, KEY_STATE, state);
	data = shm_toc_allocate(pcxt->toc, length * NSLOTS + DATA_ALIGN);
	shm_toc_insert(pcxt->toc, KEY_DATA, data);
	LaunchParallelWorkers(pcxt);
	return pcxt;
}

/*
 * consumer_shared(path text, offsets bigint[], length int, nworkers int,
 *				   io_mode text, fail_after int)
 *				   RETURNS (sum bigint, blocks_by_workers int, nworkers int)
 *
 * The sum of all bytes of the blocks.  With fail_after, an error after so many
 * results, with other reads on their way.
 */
Datum
consumer_shared(PG_FUNCTION_ARGS)
{
	const IopoolApi *iopool = consumer_api();
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64 length = PG_GETARG_INT32(2);
	IopoolApiIoMode io_mode =
		consumer_io_mode(text_to_cstring(PG_GETARG_TEXT_PP(4)));
	int fail_after = PG_GETARG_INT32(5);
	IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
	bool is_reading[NSLOTS] = {false};
	bool nulls[COLUMNS] = {false};
	Datum values[COLUMNS];
	Datum *offsets;
	int noffsets;
	int nadded = 0;
	int ntaken = 0;
	ParallelContext *pcxt;
	SharedState *state;
	IopoolApiStream *stream;
	IopoolApiFile *file;
	TupleDesc desc;
	char *data;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT8OID, sizeof(int64), true,
					  TYPALIGN_DOUBLE, &offsets, NULL, &noffsets);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	EnterParallelMode();
	pcxt = begin_workers(PG_GETARG_INT32(3), length);
	state = shm_toc_lookup(pcxt->toc, KEY_STATE, false);
	data = aligned_data(pcxt->toc);
	file = iopool->open_file(CurrentMemoryContext, path,
							 IOPOOL_API_CURRENT_USER, io_mode);
	/* where there are no workers, there may be no segment */
	options.buffer_segment = pcxt->seg;
	options.is_aligned = io_mode == IOPOOL_API_IO_DIRECT;
	stream = iopool->begin(CurrentMemoryContext, &options);

	while (ntaken < noffsets)
	{
		IopoolApiResult result;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < NSLOTS && nadded < noffsets; i++)
		{
			IopoolApiRead read = {
				.file = file,
				.offset = DatumGetInt64(offsets[nadded]),
				.length = length,
				.cookie = i,
				.buffer = data + i * length,
				.buffer_size = length,
			};

			if (is_reading[i] ||
				pg_atomic_read_u32(&state->states[i]) != SLOT_FREE)
				continue;
			pg_read_barrier();
			iopool->add(stream, &read);
			is_reading[i] = true;
			nadded++;
		}
		iopool->submit(stream);
		if (fail_after >= 0 && ntaken >= fail_after)
			elog(ERROR, "on purpose");

		if (iopool->take(stream, &result, 1, MAX_IDLE_MS) == 0)
		{
			(void) look_at_one(state, data);
			continue;
		}
		iopool->raise_failure(&result);
		ntaken++;
		state->nbytes[result.cookie] = result.nbytes;
		is_reading[result.cookie] = false;
		pg_write_barrier();
		pg_atomic_write_u32(&state->states[result.cookie], SLOT_FULL);
		ConditionVariableBroadcast(&state->changed);
	}

	pg_atomic_write_u32(&state->is_complete, 1);
	ConditionVariableBroadcast(&state->changed);
	while (look_at_one(state, data))
		;
	WaitForParallelWorkersToFinish(pcxt);
	iopool->end(stream);
	values[0] = Int64GetDatum((int64) pg_atomic_read_u64(&state->sum));
	values[1] = Int32GetDatum((int32) pg_atomic_read_u64(&state->by_workers));
	values[2] = Int32GetDatum(pcxt->nworkers_launched);
	DestroyParallelContext(pcxt);
	ExitParallelMode();
	return HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
