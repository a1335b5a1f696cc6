/*-------------------------------------------------------------------------
 *
 * table_analyze.c
 *	  ANALYZE of foreign tables over directories.
 *
 * Files are listed, and none is read: it would take as long as all other work
 * on them.  What is told of the data is that there is some in each row, and, by
 * the number of pages, how much on average.
 *
 * Rights are those of the owner, whoever says ANALYZE: what is found is kept for
 * all who may look at the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/vacuum.h"
#include "foreign/fdwapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

#include "base/compat.h"
#include "scan/table_internal.h"

/*
 * Bytes in the place of data in a sample.  ANALYZE does not look at values that
 * are longer than 1 kB (WIDTH_THRESHOLD in analyze.c), but knows that there are
 * some.
 */
#define STAND_IN 1040

static IopoolWalk *
begin_walk(Relation rel, const IopoolTable *table, MemoryContext cxt)
{
	IopoolTableUser saved;
	IopoolWalk *walk;

	IopoolWalkOptions options = {
		.path = table->path,
		.pattern = table->pattern,
	};

	iopool_request_enter();
	saved = iopool_table_become(rel->rd_rel->relowner);
	walk = iopool_walk_begin(cxt, &options);
	iopool_table_become_again(&saved);
	return walk;
}

/* A row of the sample. */
static HeapTuple
make_tuple(const IopoolTable *table, TupleDesc desc,
		   const IopoolWalkFile *file, bytea *stand_in)
{
	Datum *values = palloc0(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);
	text *path = cstring_to_text_with_len(file->path, file->path_len);
	AttrNumber attno = table->attnos[IOPOOL_TABLE_DATA];
	HeapTuple tuple;

	memset(nulls, true, sizeof(bool) * desc->natts);
	iopool_table_file_values(table, file, path, values, nulls);
	if (attno != 0)
	{
		values[attno - 1] = PointerGetDatum(stand_in);
		nulls[attno - 1] = false;
	}
	tuple = heap_form_tuple(desc, values, nulls);
	pfree(path);
	pfree(values);
	pfree(nulls);
	return tuple;
}

/*
 * AcquireSampleRowsFunc: rows at random, by algorithm Z of Vitter, as other
 * wrappers take them.
 */
static int
acquire_sample(Relation rel, int elevel, HeapTuple *rows, int max_rows,
			   double *ntotal, double *ndead)
{
	const IopoolTable *table = iopool_table_get(rel);
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "iopool analyze",
							  ALLOCSET_DEFAULT_SIZES);
	IopoolWalk *walk = begin_walk(rel, table, cxt);
	bytea *stand_in = palloc(STAND_IN);
	ReservoirStateData reservoir;
	IopoolWalkFile file;
	double nskip = -1;
	int nrows = 0;

	/* what expressions of statistics can take for text */
	SET_VARSIZE(stand_in, STAND_IN);
	memset(VARDATA(stand_in), ' ', STAND_IN - VARHDRSZ);
	reservoir_init_selection_state(&reservoir, max_rows);
	*ntotal = 0;
	*ndead = 0;
	for (; iopool_walk_next(walk, &file); *ntotal += 1)
	{
		int place;

		iopool_analyze_delay_point();
		if (nrows < max_rows)
			place = nrows++;
		else
		{
			if (nskip < 0)
				nskip = reservoir_get_next_S(&reservoir, *ntotal, max_rows);
			nskip -= 1;
			if (nskip >= 0)
				continue;
			place =
				(int) (max_rows * sampler_random_fract(&reservoir.randstate));
			heap_freetuple(rows[place]);
		}
		rows[place] =
			make_tuple(table, RelationGetDescr(rel), &file, stand_in);
	}
	MemoryContextDelete(cxt);

	ereport(elevel,
			(errmsg("\"%s\": directory contains %.0f files; %d rows in sample",
					RelationGetRelationName(rel), *ntotal, nrows)));
	return nrows;
}

/* AnalyzeForeignTable: how many pages do the files have? */
bool
iopool_table_analyze(Relation rel, AcquireSampleRowsFunc *func,
					 BlockNumber *npages)
{
	const IopoolTable *table = iopool_table_get(rel);
	MemoryContext cxt =
		AllocSetContextCreate(CurrentMemoryContext, "iopool analyze",
							  ALLOCSET_DEFAULT_SIZES);
	IopoolWalk *walk = begin_walk(rel, table, cxt);
	IopoolWalkFile file;
	double nbytes = 0;

	while (iopool_walk_next(walk, &file))
	{
		iopool_analyze_delay_point();
		nbytes += file.size;
	}
	MemoryContextDelete(cxt);
	*npages = (BlockNumber) Min(nbytes / BLCKSZ + 1, MaxBlockNumber);
	*func = acquire_sample;
	return true;
}
