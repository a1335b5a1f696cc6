/*-------------------------------------------------------------------------
 *
 * search.c
 *	  The nearest points of a graph: through iopool, by pread, by looking at
 *	  all of them.
 *
 * consumer_search() is what a vector index on disk does.  A node tells where
 * to read next, so reads are added while others are in flight, and the queue
 * never runs dry: there is no batch whose slowest read all others wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "consumer.h"
#include "graph.h"

PG_FUNCTION_INFO_V1(consumer_search);
PG_FUNCTION_INFO_V1(consumer_search_pread);
PG_FUNCTION_INFO_V1(consumer_brute_force);

#define MAX_EF	 10000
#define MAX_BEAM 4096

/* Results that are taken in one call. */
#define MAX_TAKEN 16

/* Nodes that brute force reads at once. */
#define CHUNK_NODES 256

/* Where nodes are read to. */
typedef struct NodeBuffers
{
	bool is_own; /* or else the stream allocates them */
	char **free; /* [beam], a stack */
	int nfree;
} NodeBuffers;

static float4
distance_to(const Search *search, const float4 *vector)
{
	float4 sum = 0;

	for (int i = 0; i < GRAPH_DIMS; i++)
	{
		float4 difference = vector[i] - search->query[i];

		sum += difference * difference;
	}
	return sum;
}

/* Keep a point if it is among the ef nearest. */
static void
consider(Search *search, int32 id, float4 distance)
{
	int place = search->ntop;

	if (search->ntop < search->ef)
		search->ntop++;
	else if (distance >= search->top[--place].distance)
		return;
	for (; place > 0 && search->top[place - 1].distance > distance; place--)
		search->top[place] = search->top[place - 1];
	search->top[place].id = id;
	search->top[place].distance = distance;
	search->top[place].state = CANDIDATE_NEW;
}

void
search_begin(Search *search, int64 nnodes, ArrayType *query, int k, int ef)
{
	if (ARR_NDIM(query) != 1 || ARR_DIMS(query)[0] != GRAPH_DIMS ||
		ARR_HASNULL(query))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query must have %d dimensions", GRAPH_DIMS)));
	if (k < 1 || ef < k || ef > MAX_EF)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be at least 1, and ef from k to %d",
						MAX_EF)));

	memset(search, 0, sizeof(Search));
	memcpy(search->query, ARR_DATA_PTR(query), sizeof(search->query));
	search->nnodes = nnodes;
	search->k = k;
	search->ef = ef;
	search->top = palloc(sizeof(Candidate) * ef);
	search->seen = palloc0(nnodes / BITS_PER_BYTE + 1);

	/* where to start from, at a distance that its own node tells */
	search->seen[0] = 1;
	consider(search, 0, (float4) INFINITY);
}

/* The nearest node that has not been read; false: none for now. */
bool
search_next(Search *search, int32 *id)
{
	for (int i = 0; i < search->ntop; i++)
	{
		if (search->top[i].state == CANDIDATE_NEW)
		{
			search->top[i].state = CANDIDATE_TAKEN;
			*id = search->top[i].id;
			return true;
		}
	}
	return false;
}

/* The bytes of a node are there: look where it leads. */
void
search_visit(Search *search, int32 id, const GraphNode *node)
{
	graph_check_node(node, id);
	if (search->nread++ == 0)
		search->top[0].distance = distance_to(search, node->vector);

	for (int i = 0; i < node->nlinks; i++)
	{
		const GraphLink *link = &node->links[i];
		uint8 bit = 1 << link->id % BITS_PER_BYTE;
		uint8 *seen = &search->seen[link->id / BITS_PER_BYTE];

		if (*seen & bit)
			continue;
		*seen |= bit;
		consider(search, link->id, distance_to(search, link->vector));
	}
}

/* The row that all three functions return; stats may be NULL. */
static Datum
search_row(FunctionCallInfo fcinfo, const Search *search,
		   const IopoolApiStreamStats *stats)
{
	int n = Min(search->k, search->ntop);
	Datum *ids = palloc(sizeof(Datum) * n);
	Datum *distances = palloc(sizeof(Datum) * n);
	Datum values[5];
	bool nulls[5] = {false};
	TupleDesc tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < n; i++)
	{
		ids[i] = Int32GetDatum(search->top[i].id);
		distances[i] = Float4GetDatum(sqrtf(search->top[i].distance));
	}
	values[0] = PointerGetDatum(
		construct_array(ids, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[1] =
		PointerGetDatum(construct_array(distances, n, FLOAT4OID,
										sizeof(float4), true, TYPALIGN_INT));
	values[2] = Int64GetDatum(search->nread);
	values[3] = Int64GetDatum(stats ? (int64) stats->nreads : search->nread);
	values[4] = Int32GetDatum(stats ? stats->max_in_flight : 1);
	return HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

/* Buffers of our own for as many reads as are in flight. */
static void
allocate_buffers(NodeBuffers *buffers, MemoryContext cxt, int beam,
				 bool is_aligned)
{
	Size size = (Size) beam * GRAPH_NODE_SIZE;
	char *memory;

	if (is_aligned)
		memory = consumer_api()->alloc_aligned(cxt, size, GRAPH_NODE_SIZE);
	else
		memory = MemoryContextAlloc(cxt, size);
	buffers->free = MemoryContextAlloc(cxt, sizeof(char *) * beam);
	for (buffers->nfree = 0; buffers->nfree < beam; buffers->nfree++)
		buffers->free[buffers->nfree] =
			memory + (Size) buffers->nfree * GRAPH_NODE_SIZE;
}

/* Read the node that a result is of, and give its buffer back. */
static void
take_node(Search *search, IopoolApiStream *stream, NodeBuffers *buffers,
		  const IopoolApiResult *result)
{
	consumer_api()->raise_failure(result);
	if (result->nbytes != GRAPH_NODE_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("node %d of the graph is cut off",
						(int) result->cookie)));
	search_visit(search, (int32) result->cookie,
				 (const GraphNode *) result->buffer);
	if (buffers->is_own)
		buffers->free[buffers->nfree++] = result->buffer;
	else
		consumer_api()->release(stream, result->buffer);
}

static void
search_stream(Search *search, IopoolApiStream *stream, IopoolApiFile *file,
			  NodeBuffers *buffers, int beam)
{
	const IopoolApi *iopool = consumer_api();
	int noutstanding = 0;

	for (;;)
	{
		IopoolApiResult results[MAX_TAKEN];
		int32 id;
		int n;

		while (noutstanding < beam && search_next(search, &id))
		{
			IopoolApiRead read = {.file = file,
								  .offset = (int64) id * GRAPH_NODE_SIZE,
								  .length = GRAPH_NODE_SIZE,
								  .cookie = id};

			if (buffers->is_own)
			{
				read.buffer = buffers->free[--buffers->nfree];
				read.buffer_size = GRAPH_NODE_SIZE;
			}
			iopool->add(stream, &read);
			noutstanding++;
		}
		if (noutstanding == 0)
			break;

		n = iopool->take(stream, results, lengthof(results), -1);
		for (int i = 0; i < n; i++)
			take_node(search, stream, buffers, &results[i]);
		noutstanding -= n;
	}
}

/*
 * consumer_search(path text, query float4[], k int, beam int, ef int,
 *				   io_mode text, buffers text, pool text)
 *		RETURNS (ids int[], distances float4[], nodes_read bigint,
 *				 kernel_reads bigint, max_in_flight int)
 *
 * The k nearest nodes, with up to beam reads in flight.  buffers: "engine",
 * "caller", or "aligned", which are the caller's and read without a copy.
 */
Datum
consumer_search(PG_FUNCTION_ARGS)
{
	const IopoolApi *iopool = consumer_api();
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int beam = PG_GETARG_INT32(3);
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(6));
	char *pool = text_to_cstring(PG_GETARG_TEXT_PP(7));
	IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
	IopoolApiFileInfo info = {.size = sizeof(info)};
	IopoolApiStreamStats stats = {.size = sizeof(stats)};
	NodeBuffers buffers = {.is_own = strcmp(kind, "engine") != 0};
	IopoolApiStream *stream;
	IopoolApiFile *file;
	MemoryContext cxt;
	Search search;

	if (beam < 1 || beam > MAX_BEAM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("beam must be from 1 to %d", MAX_BEAM)));

	/* of its own, so that the file is closed when the call is over */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "consumer search",
								ALLOCSET_DEFAULT_SIZES);
	file = iopool->open_file(cxt, path, IOPOOL_API_CURRENT_USER,
							 consumer_io_mode(
								 text_to_cstring(PG_GETARG_TEXT_PP(5))));
	iopool->file_info(file, &info);
	search_begin(&search, graph_count_nodes(info.file_size),
				 PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_INT32(2),
				 PG_GETARG_INT32(4));

	options.is_aligned = strcmp(kind, "aligned") == 0;
	options.pool = pool[0] != '\0' ? pool : NULL;
	stream = iopool->begin(cxt, &options);
	if (buffers.is_own)
		allocate_buffers(&buffers, cxt, beam, options.is_aligned);

	search_stream(&search, stream, file, &buffers, beam);

	iopool->stream_stats(stream, &stats);
	iopool->end(stream);
	MemoryContextDelete(cxt);
	return search_row(fcinfo, &search, &stats);
}

static int
open_graph(const char *path, int flags, int64 *nnodes)
{
	struct stat st;
	int fd = OpenTransientFile(path, O_RDONLY | PG_BINARY | flags);

	if (fd < 0 || fstat(fd, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	*nnodes = graph_count_nodes(st.st_size);
	return fd;
}

static void
read_nodes(int fd, int32 id, int n, GraphNode *nodes)
{
	ssize_t size = (ssize_t) sizeof(GraphNode) * n;

	CHECK_FOR_INTERRUPTS();
	if (pread(fd, nodes, size, (off_t) id * GRAPH_NODE_SIZE) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read node %d: %m", id)));
}

/*
 * consumer_search_pread(path text, query float4[], k int, ef int,
 *						 is_direct bool)
 *
 * The same search, a pread(2) after the other.
 */
Datum
consumer_search_pread(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *memory = palloc(2 * GRAPH_NODE_SIZE);
	GraphNode *node = (GraphNode *) TYPEALIGN(GRAPH_NODE_SIZE, memory);
	Search search;
	int64 nnodes;
	int32 id;
	int fd;

	fd = open_graph(path, PG_GETARG_BOOL(4) ? O_DIRECT : 0, &nnodes);
	search_begin(&search, nnodes, PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_INT32(2),
				 PG_GETARG_INT32(3));
	while (search_next(&search, &id))
	{
		read_nodes(fd, id, 1, node);
		search_visit(&search, id, node);
	}
	CloseTransientFile(fd);
	return search_row(fcinfo, &search, NULL);
}

/*
 * consumer_brute_force(path text, query float4[], k int)
 *
 * The k nearest of all nodes.
 */
Datum
consumer_brute_force(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	GraphNode *nodes = palloc(sizeof(GraphNode) * CHUNK_NODES);
	int k = PG_GETARG_INT32(2);
	Search search;
	int64 nnodes;
	int fd;

	fd = open_graph(path, 0, &nnodes);
	search_begin(&search, nnodes, PG_GETARG_ARRAYTYPE_P(1), k, k);
	search.ntop = 0;
	for (int64 id = 0; id < nnodes; id += CHUNK_NODES)
	{
		int n = (int) Min(CHUNK_NODES, nnodes - id);

		read_nodes(fd, (int32) id, n, nodes);
		for (int i = 0; i < n; i++)
			consider(&search, nodes[i].id,
					 distance_to(&search, nodes[i].vector));
	}
	search.nread = nnodes;
	CloseTransientFile(fd);
	return search_row(fcinfo, &search, NULL);
}
