/*-------------------------------------------------------------------------
 *
 * graph.c
 *	  Make the file of a graph that a best-first search finds its way in.
 *
 * The points are the cells of a cube, each moved a little.  A node leads to
 * the cells around it, so there is always a way that comes nearer, and to a
 * few cells further away, with all magnitudes of distance equally likely: a
 * search takes long steps first and short ones at the end.
 *
 * Nothing of it is kept in memory.  The point of a cell follows from the cell
 * and the seed, so nodes are written in the order of the file.  That order
 * has nothing to do with the place of the cells, as in an index that was
 * built by insertion: neighbours are far apart on the disk.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "graph.h"

PG_FUNCTION_INFO_V1(consumer_make_graph);

#define MAX_NODES (16 * 1024 * 1024)

/* Nodes that are written with one call. */
#define CHUNK_NODES 256

/* How far a point is from the middle of its cell, whose edge is 1. */
#define JITTER 0.25

/* Far links that lead out of the cube are thrown again, so many times. */
#define FAR_TRIES 8

typedef struct Grid
{
	int64 nnodes;
	int64 side; /* cells in each dimension */
	uint64 seed;
	int64 step;	   /* cell = id * step modulo nnodes */
	int64 inverse; /* id = cell * inverse modulo nnodes */
} Grid;

/* splitmix64 */
static uint64
next_random(uint64 *state)
{
	uint64 z = (*state += UINT64CONST(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* From 0 to below 1. */
static double
next_uniform(uint64 *state)
{
	return (double) (next_random(state) >> 11) /
		(double) (UINT64CONST(1) << 53);
}

/* By the extended Euclidean algorithm; 0 if there is none. */
static int64
inverse_of(int64 a, int64 modulus)
{
	int64 r = modulus;
	int64 next_r = a % modulus;
	int64 t = 0;
	int64 next_t = 1;

	while (next_r != 0)
	{
		int64 quotient = r / next_r;
		int64 swap;

		swap = t - quotient * next_t;
		t = next_t;
		next_t = swap;
		swap = r - quotient * next_r;
		r = next_r;
		next_r = swap;
	}
	if (r != 1)
		return 0;
	return t < 0 ? t + modulus : t;
}

static void
init_grid(Grid *grid, int64 nnodes, uint64 seed)
{
	grid->nnodes = nnodes;
	grid->seed = seed;
	grid->side = 1;
	while (grid->side * grid->side * grid->side < nnodes)
		grid->side++;

	grid->step = 1;
	grid->inverse = 1;
	if (nnodes < 3)
		return;
	/* the golden section scatters best; any step without a divisor will do */
	grid->step = (int64) ((double) nnodes * 0.6180339887);
	while ((grid->inverse = inverse_of(grid->step, nnodes)) == 0)
		grid->step++;
}

static void
point_of(const Grid *grid, int64 cell, float4 *vector)
{
	uint64 state = grid->seed ^ ((uint64) cell << 20);
	int64 rest = cell;

	for (int i = 0; i < GRAPH_DIMS; i++)
	{
		vector[i] = (float4) ((double) (rest % grid->side) +
							  (2 * next_uniform(&state) - 1) * JITTER);
		rest /= grid->side;
	}
}

static bool
cell_at(const Grid *grid, const int64 *place, int64 *cell)
{
	*cell = 0;
	for (int i = GRAPH_DIMS - 1; i >= 0; i--)
	{
		if (place[i] < 0 || place[i] >= grid->side)
			return false;
		*cell = *cell * grid->side + place[i];
	}
	return *cell < grid->nnodes;
}

static void
add_link(const Grid *grid, GraphNode *node, const int64 *place)
{
	int64 cell;
	GraphLink *link;

	if (!cell_at(grid, place, &cell))
		return;
	link = &node->links[node->nlinks];
	link->id = (int32) (cell * grid->inverse % grid->nnodes);
	if (link->id == node->id)
		return;
	point_of(grid, cell, link->vector);
	node->nlinks++;
}

static void
add_far_link(const Grid *grid, GraphNode *node, const int64 *place,
			 uint64 *state)
{
	int before = node->nlinks;

	for (int tries = 0; tries < FAR_TRIES && node->nlinks == before; tries++)
	{
		double radius = pow((double) grid->side, next_uniform(state));
		int64 there[GRAPH_DIMS];

		for (int i = 0; i < GRAPH_DIMS; i++)
			there[i] = place[i] +
				(int64) rint(radius * (2 * next_uniform(state) - 1));
		add_link(grid, node, there);
	}
}

static void
make_node(const Grid *grid, int32 id, GraphNode *node)
{
	int64 cell = id * grid->step % grid->nnodes;
	uint64 state = grid->seed + (uint64) id * GRAPH_NODE_SIZE;
	int64 place[GRAPH_DIMS];

	memset(node, 0, sizeof(GraphNode));
	node->magic = GRAPH_MAGIC;
	node->id = id;
	point_of(grid, cell, node->vector);

	place[0] = cell % grid->side;
	place[1] = cell / grid->side % grid->side;
	place[2] = cell / grid->side / grid->side;
	for (int i = 0; i < GRAPH_NEAR_LINKS + 1; i++)
	{
		int64 there[GRAPH_DIMS] = {place[0] + i % 3 - 1,
								   place[1] + i / 3 % 3 - 1,
								   place[2] + i / 9 - 1};

		add_link(grid, node, there);
	}
	for (int i = 0; i < GRAPH_FAR_LINKS; i++)
		add_far_link(grid, node, place, &state);

	for (size_t i = 0; i < lengthof(node->payload); i++)
		node->payload[i] = next_random(&state);
	node->checksum = graph_checksum(node);
}

uint64
graph_checksum(const GraphNode *node)
{
	const uint64 *words = (const uint64 *) node;
	uint64 sum = 0;

	for (size_t i = 0; i < offsetof(GraphNode, checksum) / sizeof(uint64); i++)
		sum = (sum ^ words[i]) * UINT64CONST(0x9e3779b97f4a7c15);
	return sum;
}

/* Raise unless these are the bytes of that node, to the last. */
void
graph_check_node(const GraphNode *node, int32 id)
{
	if (node->magic != GRAPH_MAGIC || node->id != id ||
		node->nlinks > GRAPH_MAX_LINKS ||
		node->checksum != graph_checksum(node))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("node %d of the graph is damaged", id)));
}

int64
graph_count_nodes(int64 file_size)
{
	if (file_size < GRAPH_NODE_SIZE || file_size % GRAPH_NODE_SIZE != 0 ||
		file_size / GRAPH_NODE_SIZE > MAX_NODES)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a file of %lld bytes is no graph",
						(long long) file_size)));
	return file_size / GRAPH_NODE_SIZE;
}

/*
 * consumer_make_graph(path text, nodes int, seed int) RETURNS bigint
 *
 * Writes a graph of so many nodes, from 1 to MAX_NODES, over what is there.
 * Returns the size of the file in bytes.
 */
Datum
consumer_make_graph(PG_FUNCTION_ARGS)
{
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int32 nnodes = PG_GETARG_INT32(1);
	GraphNode *chunk = palloc(sizeof(GraphNode) * CHUNK_NODES);
	Grid grid;
	int fd;

	if (nnodes < 1 || nnodes > MAX_NODES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a graph has from 1 to %d nodes", MAX_NODES)));
	init_grid(&grid, nnodes, (uint64) PG_GETARG_INT32(2) << 40);

	fd = OpenTransientFile(path, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	for (int32 id = 0; id < nnodes; id += CHUNK_NODES)
	{
		int n = Min(CHUNK_NODES, nnodes - id);
		ssize_t size = (ssize_t) sizeof(GraphNode) * n;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
			make_node(&grid, id + i, &chunk[i]);
		errno = ENOSPC;
		if (write(fd, chunk, size) != size)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write file \"%s\": %m", path)));
	}
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", path)));
	PG_RETURN_INT64((int64) nnodes * GRAPH_NODE_SIZE);
}
