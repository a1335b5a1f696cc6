/*-------------------------------------------------------------------------
 *
 * graph.h
 *	  A graph of points in a file, a node a block, and the search in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONSUMER_GRAPH_H
#define CONSUMER_GRAPH_H

#include "fmgr.h"
#include "utils/array.h"

#define GRAPH_MAGIC		UINT32_C(0x49504f47)
#define GRAPH_NODE_SIZE 4096
#define GRAPH_DIMS		3

/* 26 neighbours in a grid of three dimensions, and links that lead further */
#define GRAPH_NEAR_LINKS 26
#define GRAPH_FAR_LINKS	 6
#define GRAPH_MAX_LINKS	 (GRAPH_NEAR_LINKS + GRAPH_FAR_LINKS)

/* Where a node leads to.  Its distance is known before it has been read. */
typedef struct GraphLink
{
	int32 id;
	float4 vector[GRAPH_DIMS];
} GraphLink;

/* A node as it lies in the file, at offset id * GRAPH_NODE_SIZE. */
typedef struct GraphNode
{
	uint32 magic;
	int32 id;
	int32 nlinks;
	float4 vector[GRAPH_DIMS];
	GraphLink links[GRAPH_MAX_LINKS];
	uint64 payload[444]; /* random, so that each byte can be checked */
	uint64 checksum;	 /* of all words before it */
} GraphNode;

StaticAssertDecl(sizeof(GraphNode) == GRAPH_NODE_SIZE,
				 "a node must be a block");

typedef enum CandidateState
{
	CANDIDATE_NEW,	 /* to be read */
	CANDIDATE_TAKEN, /* being read, or read */
} CandidateState;

typedef struct Candidate
{
	int32 id;
	float4 distance; /* square of it */
	CandidateState state;
} Candidate;

/*
 * A best-first search.  It keeps the ef nearest points that it has seen, and
 * is done when all of them have been read: where a node is read next, and how
 * many at a time, is up to the caller.
 */
typedef struct Search
{
	float4 query[GRAPH_DIMS];
	int k;
	int ef;
	int64 nnodes;
	Candidate *top; /* [ef], nearest first */
	int ntop;
	uint8 *seen; /* a bit for each node */
	int64 nread;
} Search;

/* graph.c */
extern uint64 graph_checksum(const GraphNode *node);
extern void graph_check_node(const GraphNode *node, int32 id);
extern int64 graph_count_nodes(int64 file_size);

/* search.c */
extern void search_begin(Search *search, int64 nnodes, ArrayType *query, int k,
						 int ef);
extern bool search_next(Search *search, int32 *id);
extern void search_visit(Search *search, int32 id, const GraphNode *node);

#endif /* CONSUMER_GRAPH_H */
