/*-------------------------------------------------------------------------
 *
 * walk_internal.h
 *	  Walks: private to src/file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_WALK_INTERNAL_H
#define IOPOOL_WALK_INTERNAL_H

#include <dirent.h>
#include <limits.h>
#include <sys/types.h>

#include "lib/stringinfo.h"

#include "base/pattern.h"
#include "file/file.h"
#include "file/walk.h"

/* A directory that is being read. */
typedef struct IopoolWalkLevel
{
	DIR *dir;	 /* NULL: it is not open */
	long cookie; /* where it goes on, when it is opened again */
	dev_t dev;	 /* what it is */
	ino_t ino;
	bool is_via_link; /* its name is, or may be, a symbolic link */
	int path_len;	  /* of walk->path, before a name in it */

	/* the only name that can match, which is looked up, or an empty string */
	char single[NAME_MAX + 1];
	bool is_read; /* no more names */

	IopoolPatternState state[FLEXIBLE_ARRAY_MEMBER]; /* before a name in it */
} IopoolWalkLevel;

/* Names that are left out for one reason. */
typedef struct IopoolWalkSkipped
{
	uint64 n;
	char *first; /* the path of the first, for the eyes of the user */
	IopoolFailure failure; /* of the first */
} IopoolWalkSkipped;

struct IopoolWalk
{
	MemoryContext cxt;
	const char *root; /* path, as the user wrote it */
	IopoolAccess access;
	IopoolDirectory *dir; /* that all is below, or NULL */
	bool is_dir_acquired;
	IopoolPattern *pattern;
	IopoolPatternState *name_state;	 /* after the name that is looked at */
	IopoolPatternState *below_state; /* and after a slash */
	bool wants_directories;

	List *paths; /* that are wanted, in the memory of the caller; NIL: all */
	int pathno;	 /* the one that is looked for */
	/* of paths that are looked for, or NULL; all of it, if there are paths */
	const char *prefix;
	int prefix_len;

	StringInfoData path; /* of what is looked at */
	int relative;		 /* where in it the part below dir begins */
	int root_len;		 /* of the part that is root */

	IopoolWalkLevel **levels; /* [max_levels] */
	int max_levels;
	int depth;		/* levels in use */
	int first_open; /* those from here on are open */

	IopoolWalkSkipped unreadable;
	IopoolWalkSkipped not_text;
	IopoolWalkStats stats;
	IopoolHolder holder; /* of what is open */
	MemoryContextCallback at_reset;
};

/* walk_level.c */
extern int iopool_walk_open_path(IopoolWalk *walk, int flags);
extern bool iopool_walk_close_one(IopoolHolder *holder);
extern void iopool_walk_close_level(IopoolWalkLevel *level);
extern bool iopool_walk_descend(IopoolWalk *walk,
								const IopoolPatternState *state,
								bool is_via_link, IopoolFailure *failure);
extern void iopool_walk_ascend(IopoolWalk *walk);
extern const char *iopool_walk_next_name(IopoolWalk *walk,
										 IopoolWalkLevel *level,
										 unsigned char *type);

/* walk_skip.c */
extern void iopool_walk_skip(IopoolWalk *walk, const IopoolFailure *failure);
extern void iopool_walk_skip_not_text(IopoolWalk *walk, const char *name);
extern void iopool_walk_warn_of_skipped(IopoolWalk *walk);

#endif /* IOPOOL_WALK_INTERNAL_H */
