/*-------------------------------------------------------------------------
 *
 * walk.h
 *	  The regular files below a directory, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_WALK_H
#define IOPOOL_WALK_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef struct IopoolWalk IopoolWalk;

typedef struct IopoolWalkOptions
{
	const char *path; /* of the directory, as a reading function takes it */
	const char *pattern;
	const char *prefix;		/* only paths that begin so, or NULL */
	List *paths;			/* only these (char *), each once; NIL: all */
	bool wants_directories; /* instead of files */
} IopoolWalkOptions;

/* A file; its path is good until the next one. */
typedef struct IopoolWalkFile
{
	const char *path; /* as a reading function takes it */
	int path_len;
	int64 size; /* bytes */
	TimestampTz modified;
} IopoolWalkFile;

/* What has been looked at. */
typedef struct IopoolWalkStats
{
	uint64 ndirectories; /* that have been opened */
	uint64 nnames;		 /* in them */
	uint64 nfiles;		 /* that have been found */
} IopoolWalkStats;

/* walk.c */
extern IopoolWalk *iopool_walk_begin(MemoryContext cxt,
									 const IopoolWalkOptions *options);
extern bool iopool_walk_next(IopoolWalk *walk, IopoolWalkFile *file);
extern void iopool_walk_get_stats(const IopoolWalk *walk,
								  IopoolWalkStats *stats);

#endif /* IOPOOL_WALK_H */
