/*-------------------------------------------------------------------------
 *
 * blocks.c
 *	  A set-returning function that reads ahead of its rows.
 *
 * Its stream lives from the first row to the last, so two of them in one
 * query have reads in flight side by side, on one ring.  A row is the buffer
 * of a result, without a copy: the header in front of the data makes it a
 * bytea.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "consumer.h"

PG_FUNCTION_INFO_V1(consumer_blocks);

/* What a call leaves to the next one. */
typedef struct Blocks
{
	IopoolApiFile *file;
	IopoolApiStream *stream;
	Datum *offsets;
	int noffsets;
	int nadded;
	int32 length;
	char *last; /* buffer of the last row, or NULL */
} Blocks;

static Blocks *
blocks_begin(FunctionCallInfo fcinfo, MemoryContext cxt)
{
	const IopoolApi *iopool = consumer_api();
	IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
	Blocks *blocks = palloc0(sizeof(Blocks));
	char *pool = text_to_cstring(PG_GETARG_TEXT_PP(5));

	deconstruct_array(PG_GETARG_ARRAYTYPE_P_COPY(1), INT8OID, sizeof(int64),
					  true, TYPALIGN_DOUBLE, &blocks->offsets, NULL,
					  &blocks->noffsets);
	blocks->length = PG_GETARG_INT32(2);
	blocks->file = iopool->open_file(
		cxt, text_to_cstring(PG_GETARG_TEXT_PP(0)), IOPOOL_API_CURRENT_USER,
		consumer_io_mode(text_to_cstring(PG_GETARG_TEXT_PP(4))));

	options.in_order = true;
	options.header_size = VARHDRSZ;
	options.pool = pool[0] != '\0' ? pool : NULL;
	blocks->stream = iopool->begin(cxt, &options);
	return blocks;
}

static void
add_next(Blocks *blocks)
{
	IopoolApiRead read = {.file = blocks->file, .length = blocks->length};

	if (blocks->nadded == blocks->noffsets)
		return;
	read.offset = DatumGetInt64(blocks->offsets[blocks->nadded++]);
	consumer_api()->add(blocks->stream, &read);
}

/*
 * consumer_blocks(path text, offsets bigint[], length int, depth int,
 *				   io_mode text, pool text) RETURNS SETOF bytea
 *
 * The blocks in that order, with depth reads on their way.
 */
Datum
consumer_blocks(PG_FUNCTION_ARGS)
{
	const IopoolApi *iopool = consumer_api();
	FuncCallContext *funcctx;
	IopoolApiResult result;
	Blocks *blocks;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext saved;

		funcctx = SRF_FIRSTCALL_INIT();
		saved = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		funcctx->user_fctx =
			blocks_begin(fcinfo, funcctx->multi_call_memory_ctx);
		MemoryContextSwitchTo(saved);
		blocks = funcctx->user_fctx;
		for (int i = 0; i < PG_GETARG_INT32(3); i++)
			add_next(blocks);
	}

	funcctx = SRF_PERCALL_SETUP();
	blocks = funcctx->user_fctx;
	if (blocks->last != NULL)
		iopool->release(blocks->stream, blocks->last);
	blocks->last = NULL;

	if (iopool->take(blocks->stream, &result, 1, -1) == 0)
	{
		iopool->end(blocks->stream);
		SRF_RETURN_DONE(funcctx);
	}
	iopool->raise_failure(&result);
	add_next(blocks);
	/* what was added now is read while the row is looked at */
	iopool->submit(blocks->stream);

	blocks->last = result.buffer;
	SET_VARSIZE(result.buffer, VARHDRSZ + result.nbytes);
	SRF_RETURN_NEXT(funcctx, PointerGetDatum(result.buffer));
}
