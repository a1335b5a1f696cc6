/*-------------------------------------------------------------------------
 *
 * walk_level.c
 *	  The levels of a walk: directories that are being read.
 *
 * Few levels are open at a time.  One that is needed again is opened again,
 * and has to be the same directory; it goes on where it was by the cookie that
 * the kernel gave, which means the same place as long as nothing else has
 * changed there.  So any level makes room for whatever else the backend has to
 * open: files, and levels of other walks.
 *
 * Descriptors of levels are counted with AcquireExternalFD().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "file/walk_internal.h"

/* Levels of a walk that are open at a time. */
#define MAX_OPEN_LEVELS 16

/* Nothing is to be read of a level before it is opened again. */
void
iopool_walk_close_level(IopoolWalkLevel *level)
{
	if (level->dir == NULL)
		return;
	level->cookie = telldir(level->dir);
	closedir(level->dir);
	level->dir = NULL;
	ReleaseExternalFD();
}

/* Close the level that is needed last; false if there is none. */
static bool
close_first_level(IopoolWalk *walk)
{
	while (walk->first_open < walk->depth)
	{
		IopoolWalkLevel *level = walk->levels[walk->first_open++];

		if (level->dir != NULL)
		{
			iopool_walk_close_level(level);
			return true;
		}
	}
	return false;
}

/* The same for whoever else needs a descriptor. */
bool
iopool_walk_close_one(IopoolHolder *holder)
{
	return close_first_level(
		dlist_container(IopoolWalk, holder.node, &holder->node));
}

/*
 * Open what walk->path leads to; -1 with errno.  What it leads to is open while
 * nothing can raise, or counted by the caller.
 */
int
iopool_walk_open_path(IopoolWalk *walk, int flags)
{
	const char *path = walk->path.data + walk->relative;
	int fd;

	flags |= O_CLOEXEC;
	do
	{
		if (walk->dir == NULL)
			fd = open(path, flags);
		else
			fd = iopool_directory_open_file(walk->dir,
											*path != '\0' ? path : ".", flags);
	} while (fd < 0 && (errno == EMFILE || errno == ENFILE) &&
			 iopool_file_make_room());
	return fd;
}

/* May the directory that is open be listed?  Sets what it is. */
static bool
check_level(const IopoolWalk *walk, IopoolWalkLevel *level, int fd,
			IopoolFailure *failure)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return iopool_directory_fail(failure, IOPOOL_FAILURE_STAT, errno);
	level->dev = st.st_dev;
	level->ino = st.st_ino;
	return walk->dir == NULL ||
		iopool_directory_look_at_file(walk->dir, fd, st.st_dev, failure);
}

/* Open walk->path as a level.  False with *failure. */
static bool
open_level(IopoolWalk *walk, IopoolWalkLevel *level, IopoolFailure *failure)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY |
		(level->is_via_link ? 0 : O_NOFOLLOW);
	int fd;

	iopool_file_use_holder(&walk->holder);
	if (walk->depth - walk->first_open >= MAX_OPEN_LEVELS)
		(void) close_first_level(walk);
	while (!AcquireExternalFD())
	{
		if (!iopool_file_make_room())
			return iopool_directory_fail(failure,
										 IOPOOL_FAILURE_OPEN_DIRECTORY,
										 EMFILE);
	}

	(void) iopool_directory_fail(failure, IOPOOL_FAILURE_NONE, 0);
	fd = iopool_walk_open_path(walk, flags);
	if (fd < 0 ||
		(check_level(walk, level, fd, failure) &&
		 (level->dir = fdopendir(fd)) == NULL))
		(void) iopool_directory_fail(failure, IOPOOL_FAILURE_OPEN_DIRECTORY,
									 errno);
	if (failure->kind == IOPOOL_FAILURE_NONE)
		return true;

	if (fd >= 0)
		close(fd);
	ReleaseExternalFD();
	return false;
}

/* A level for what walk->path leads to; not open, and not in use. */
static IopoolWalkLevel *
new_level(IopoolWalk *walk, const IopoolPatternState *state, bool is_via_link)
{
	Size state_size =
		sizeof(IopoolPatternState) * iopool_pattern_nwords(walk->pattern);
	IopoolWalkLevel *level;

	if (walk->depth == walk->max_levels)
	{
		walk->max_levels *= 2;
		walk->levels = repalloc(walk->levels,
								sizeof(IopoolWalkLevel *) * walk->max_levels);
	}
	level =
		MemoryContextAllocZero(walk->cxt,
							   offsetof(IopoolWalkLevel, state) + state_size);
	memcpy(level->state, state, state_size);
	level->is_via_link = is_via_link;
	return level;
}

/*
 * Which names of the level can lead to a path that is wanted?  As
 * iopool_pattern_next_names().
 */
static IopoolPatternNames
next_names(const IopoolWalk *walk, IopoolWalkLevel *level)
{
	IopoolPatternNames names =
		iopool_pattern_next_names(walk->pattern, level->state, level->single,
								  sizeof(level->single));
	const char *rest;
	size_t len;

	if (walk->prefix == NULL)
		return names;
	if (memcmp(walk->path.data, walk->prefix,
			   Min(level->path_len, walk->prefix_len)) != 0)
		return IOPOOL_PATTERN_NO_NAME;
	if (level->path_len >= walk->prefix_len)
		return walk->paths != NIL ? IOPOOL_PATTERN_NO_NAME : names;
	if (names != IOPOOL_PATTERN_ANY_NAME)
		return names;

	rest = walk->prefix + level->path_len;
	len = strcspn(rest, "/");
	if (rest[len] == '\0' && walk->paths == NIL)
		return IOPOOL_PATTERN_ANY_NAME;
	/* no path that is listed has such names */
	if (len == 0 || len >= sizeof(level->single) ||
		(len == 1 && rest[0] == '.') ||
		(len == 2 && strncmp(rest, "..", 2) == 0))
		return IOPOOL_PATTERN_NO_NAME;
	memcpy(level->single, rest, len);
	level->single[len] = '\0';
	return IOPOOL_PATTERN_ONE_NAME;
}

/* It is open: its names are next. */
static void
push_level(IopoolWalk *walk, IopoolWalkLevel *level)
{
	StringInfo path = &walk->path;

	/* first of all, so that it is closed whatever happens */
	walk->levels[walk->depth++] = level;
	walk->stats.ndirectories++;

	if (path->len > walk->relative && path->data[path->len - 1] != '/')
		appendStringInfoChar(path, '/');
	level->path_len = path->len;
	switch (next_names(walk, level))
	{
		case IOPOOL_PATTERN_NO_NAME:
			level->is_read = true;
			break;
		case IOPOOL_PATTERN_ONE_NAME:
			/* it is looked up by its path */
			iopool_walk_close_level(level);
			break;
		case IOPOOL_PATTERN_ANY_NAME:
			level->single[0] = '\0';
			break;
	}
}

void
iopool_walk_ascend(IopoolWalk *walk)
{
	IopoolWalkLevel *level = walk->levels[--walk->depth];

	iopool_walk_close_level(level);
	pfree(level);
	walk->first_open = Min(walk->first_open, walk->depth);
}

/*
 * Is a directory below itself, for the same part of the pattern?  That what the
 * part has matched is longer by the way there is no reason to go round once
 * more: with two links that lead back, there are twice as many ways each time.
 * Only links lead back; and there are file systems where two directories have
 * one number.
 */
static bool
is_loop(const IopoolWalk *walk, const IopoolWalkLevel *level)
{
	bool has_link = level->is_via_link;

	for (int i = walk->depth - 1; i >= 0; i--)
	{
		const IopoolWalkLevel *above = walk->levels[i];

		if (has_link && above->dev == level->dev && above->ino == level->ino &&
			iopool_pattern_is_same_part(walk->pattern, above->state,
										level->state))
			return true;
		has_link |= above->is_via_link;
	}
	return false;
}

/*
 * The names of the directory that walk->path leads to are next.  False with
 * *failure if it cannot be listed, which is none if it is being listed already.
 */
bool
iopool_walk_descend(IopoolWalk *walk, const IopoolPatternState *state,
					bool is_via_link, IopoolFailure *failure)
{
	IopoolWalkLevel *level = new_level(walk, state, is_via_link);

	if (open_level(walk, level, failure))
	{
		if (!is_loop(walk, level))
		{
			push_level(walk, level);
			return true;
		}
		iopool_walk_close_level(level);
	}
	pfree(level);
	return false;
}

/* Open a level again that was closed to make room; false: it is gone. */
static bool
reopen_level(IopoolWalk *walk, IopoolWalkLevel *level)
{
	dev_t dev = level->dev;
	ino_t ino = level->ino;
	IopoolFailure failure;

	if (!open_level(walk, level, &failure))
	{
		iopool_walk_skip(walk, &failure);
		return false;
	}
	if (level->dev != dev || level->ino != ino)
		return false;
	seekdir(level->dir, level->cookie);
	walk->first_open = walk->depth - 1;
	return true;
}

/*
 * The next name of the level, which walk->path leads to; NULL: there are no
 * more.  Sets *type as readdir(3) does.
 */
const char *
iopool_walk_next_name(IopoolWalk *walk, IopoolWalkLevel *level,
					  unsigned char *type)
{
	if (level->is_read)
		return NULL;
	if (level->single[0] != '\0')
	{
		level->is_read = true;
		*type = DT_UNKNOWN;
		return level->single;
	}

	if (level->dir == NULL && !reopen_level(walk, level))
		return NULL;
	for (;;)
	{
		const struct dirent *entry;

		errno = 0;
		entry = readdir(level->dir);
		if (entry == NULL)
		{
			IopoolFailure failure = {
				.kind = IOPOOL_FAILURE_READ_DIRECTORY,
				.errnum = errno,
			};

			if (failure.errnum != 0)
				iopool_walk_skip(walk, &failure);
			return NULL;
		}
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		walk->stats.nnames++;
		*type = entry->d_type;
		return entry->d_name;
	}
}
