/*-------------------------------------------------------------------------
 *
 * request_rows.c
 *	  Rows that have been taken from a request, to be handed out one by one.
 *
 * Who takes rows owns them: the request has ended, or goes on without them,
 * whatever becomes of it then.  Long results keep the memory that they were
 * read into, which the next request gets when the row has been handed out.
 * Until then a row counts for iopool.max_request_memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "sql/request.h"
#include "sql/row.h"

struct IopoolTakenRows
{
	IopoolResult *results; /* [nresults] */
	int nresults;
	int next;	   /* not handed out yet */
	text *message; /* of the last row, or NULL */
	MemoryContextCallback at_reset;
	uint64 generation; /* of the long buffers */
	int64 held;		   /* bytes that count for iopool.max_request_memory */
};

/*
 * The memory of the rows goes: give up what lies outside of it.  Does not raise.
 */
static void
give_up_rows(void *arg)
{
	IopoolTakenRows *rows = arg;

	iopool_request_count_memory(-rows->held);

	/* they have gone with their transaction */
	if (rows->generation != iopool_request_generation)
		return;
	for (int i = Max(rows->next - 1, 0); i < rows->nresults; i++)
	{
		if (rows->results[i].buffer != NULL &&
			rows->results[i].buffer_size > IOPOOL_SMALL_BUFFER)
			iopool_request_free_data(&rows->results[i]);
	}
}

static IopoolTakenRows *
new_rows(MemoryContext cxt, IopoolResult *results, int nresults)
{
	IopoolTakenRows *rows =
		MemoryContextAllocZero(cxt, sizeof(IopoolTakenRows));

	rows->results = results;
	rows->nresults = nresults;
	rows->generation = iopool_request_generation;
	rows->at_reset.func = give_up_rows;
	rows->at_reset.arg = rows;
	return rows;
}

/*
 * Take all rows of a request that is done, which ends it.  They are freed with
 * parent at the latest, each with the one after it.
 */
IopoolTakenRows *
iopool_request_take_all(MemoryContext parent, IopoolRequest *request)
{
	IopoolTakenRows *rows = new_rows(request->cxt, request->results, 0);

	for (int i = 0; i < request->nranges; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (request->states[i] != IOPOOL_RANGE_OUT)
			rows->nresults++;
	}

	/* nothing raises from here on */
	if (rows->nresults < request->nranges)
	{
		int n = 0;

		for (int i = 0; i < request->nranges; i++)
		{
			if (request->states[i] != IOPOOL_RANGE_OUT)
				request->results[n++] = request->results[i];
		}
	}
	rows->held = request->held;
	iopool_request_count_memory(rows->held);
	MemoryContextRegisterResetCallback(request->cxt, &rows->at_reset);
	iopool_request_detach(request);
	MemoryContextSetParent(request->cxt, parent);
	return rows;
}

/* A result of a request that goes on, in the current memory context. */
static void
copy_result(IopoolResult *to, const IopoolResult *from)
{
	*to = *from;
	/* named in messages only */
	to->path = NULL;
	if (from->failure.kind != IOPOOL_FAILURE_NONE && from->path != NULL)
		to->path = pstrdup(from->path);
	if (from->buffer == NULL || from->buffer_size > IOPOOL_SMALL_BUFFER)
		return;
	to->buffer = palloc(from->buffer_size);
	memcpy(to->buffer, from->buffer, VARHDRSZ + from->nbytes);
}

/*
 * Take the next rows of a request that have come, as they came: up to so many
 * rows in all.  As iopool_request_take_all(), but the request goes on.
 */
IopoolTakenRows *
iopool_request_take_next(MemoryContext parent, IopoolRequest *request,
						 int upto)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "iopool request rows",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_cxt = MemoryContextSwitchTo(cxt);
	int nresults = upto - request->nout;
	IopoolResult *results =
		palloc_extended(sizeof(IopoolResult) * nresults, MCXT_ALLOC_HUGE);
	IopoolTakenRows *rows = new_rows(cxt, results, nresults);

	for (int i = 0; i < nresults; i++)
	{
		CHECK_FOR_INTERRUPTS();
		copy_result(&results[i],
					&request->results[request->order[request->nout + i]]);
	}
	MemoryContextSwitchTo(old_cxt);

	/* nothing raises from here on */
	MemoryContextRegisterResetCallback(cxt, &rows->at_reset);
	while (request->nout < upto)
	{
		int rangeno = request->order[request->nout];
		IopoolResult *result = &request->results[rangeno];

		if (result->buffer_size > IOPOOL_SMALL_BUFFER)
			result->buffer = NULL;
		rows->held += iopool_request_data_memory(result);
		iopool_request_hand_out(request, rangeno);
	}
	iopool_request_count_memory(rows->held);
	return rows;
}

/*
 * The next row, whose values last until the next call; false when there are no
 * more.
 */
bool
iopool_request_next_row(IopoolTakenRows *rows, Datum *values, bool *nulls)
{
	if (rows->message != NULL)
		pfree(rows->message);
	rows->message = NULL;
	if (rows->next > 0)
	{
		IopoolResult *last = &rows->results[rows->next - 1];
		int64 memory = Min(iopool_request_data_memory(last), rows->held);

		iopool_request_free_data(last);
		iopool_request_count_memory(-memory);
		rows->held -= memory;
	}
	if (rows->next == rows->nresults)
		return false;
	rows->message =
		iopool_row_values(&rows->results[rows->next++], values, nulls);
	return true;
}
