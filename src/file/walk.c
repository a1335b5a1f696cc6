/*-------------------------------------------------------------------------
 *
 * walk.c
 *	  The regular files below a directory, one after the other.
 *
 * A walk has a stack of levels, a directory each, which it reads as far as
 * somebody wants to know: its memory does not depend on how many names there
 * are.  Below a directory of ours (directory.h), whatever a name leads to is
 * opened by the whole path below that directory, in one openat2(2), as a read
 * opens it.  So links are followed where a read follows them, and a name that
 * has been moved out of the directory while it was listed, or whose place has
 * been taken by something else, is what a read would find there by now, or
 * nothing.
 *
 * Where certain paths are wanted, the walk goes down from the root for each of
 * them, and looks up the names on the way.
 *
 * The walk belongs to a memory context, whose reset closes what is open.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "file/log.h"
#include "file/walk_internal.h"

/* Levels that a walk has place for at first. */
#define FIRST_LEVELS 16

/*
 * What walk->path leads to below a directory of ours; with *failure if that
 * cannot be told, or a read would be refused it.
 */
static void
look_below_directory(IopoolWalk *walk, struct stat *st, IopoolFailure *failure)
{
	int fd = iopool_walk_open_path(walk, O_PATH);

	if (fd < 0)
	{
		(void) iopool_directory_fail(failure, IOPOOL_FAILURE_OPEN, errno);
		return;
	}
	if (fstat(fd, st) != 0)
		(void) iopool_directory_fail(failure, IOPOOL_FAILURE_STAT, errno);
	else if (S_ISREG(st->st_mode))
		(void) iopool_directory_look_at_file(walk->dir, fd, st->st_dev,
											 failure);
	close(fd);
}

/* What walk->path leads to.  False: it is left out. */
static bool
look_at_path(IopoolWalk *walk, struct stat *st)
{
	IopoolFailure failure = {0};

	if (walk->dir != NULL)
		look_below_directory(walk, st, &failure);
	else if (stat(walk->path.data, st) != 0)
		(void) iopool_directory_fail(&failure, IOPOOL_FAILURE_STAT, errno);
	if (failure.kind == IOPOOL_FAILURE_NONE)
		return true;
	iopool_walk_skip(walk, &failure);
	return false;
}

/* A directory whose files may match is next, if it can be listed. */
static void
descend(IopoolWalk *walk, bool is_via_link)
{
	IopoolFailure failure;

	if (!iopool_walk_descend(walk, walk->below_state, is_via_link, &failure) &&
		failure.kind != IOPOOL_FAILURE_NONE)
		iopool_walk_skip(walk, &failure);
}

/*
 * Does walk->path begin as it has to?  Of a directory, what is below it may, if
 * it does so as far as it goes.
 */
static bool
has_prefix(const IopoolWalk *walk, bool is_directory)
{
	const StringInfo path = (const StringInfo) &walk->path;

	if (walk->prefix == NULL)
		return true;
	if (memcmp(path->data, walk->prefix, Min(path->len, walk->prefix_len)) !=
		0)
		return false;
	if (path->len < walk->prefix_len)
		return is_directory && walk->prefix[path->len] == '/';
	if (walk->paths != NIL)
		return !is_directory && path->len == walk->prefix_len;
	return true;
}

/*
 * The name that walk->path leads to, of that type: is it what is wanted, and
 * does it match?  If it is a directory whose files may match, they are next.
 */
static bool
visit(IopoolWalk *walk, unsigned char type, IopoolWalkFile *file)
{
	bool is_match = has_prefix(walk, false) &&
		iopool_pattern_is_match(walk->pattern, walk->name_state);
	bool is_above = has_prefix(walk, true) &&
		iopool_pattern_advance(walk->pattern, walk->name_state, "/", 1,
							   walk->below_state);
	struct stat st;

	if (type == DT_DIR && !walk->wants_directories)
	{
		if (is_above)
			descend(walk, false);
		return false;
	}
	if (!is_match && (type == DT_REG || !is_above))
		return false;
	if (type != DT_REG && type != DT_LNK && type != DT_UNKNOWN &&
		type != DT_DIR)
		return false;
	if (!look_at_path(walk, &st))
		return false;

	file->path_len = walk->path.len;
	file->size = st.st_size;
	file->modified = iopool_file_time(&st.st_mtim);
	if (S_ISDIR(st.st_mode) && is_above)
		descend(walk, type != DT_DIR);
	/* it may have moved */
	file->path = walk->path.data;
	return is_match &&
		(walk->wants_directories ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
}

/* Put a path of the walk back to where names of a level follow. */
static void
truncate_path(IopoolWalk *walk, int len)
{
	walk->path.len = len;
	walk->path.data[len] = '\0';
}

/* Look for that path, or for all that begin so. */
static void
set_prefix(IopoolWalk *walk, const char *prefix)
{
	walk->prefix = prefix;
	walk->prefix_len = strlen(prefix);
}

/* The next of the paths that are wanted, from the root on; false: none. */
static bool
begin_next_path(IopoolWalk *walk)
{
	CHECK_FOR_INTERRUPTS();
	if (walk->pathno + 1 >= list_length(walk->paths))
		return false;
	set_prefix(walk, list_nth(walk->paths, ++walk->pathno));
	truncate_path(walk, walk->root_len);
	iopool_pattern_begin(walk->pattern, walk->below_state);
	descend(walk, true);
	return true;
}

/* The next file that is below the level that is being read. */
static bool
next_below(IopoolWalk *walk, IopoolWalkFile *file)
{
	while (walk->depth > 0)
	{
		IopoolWalkLevel *level = walk->levels[walk->depth - 1];
		unsigned char type;
		const char *name;
		size_t len;

		CHECK_FOR_INTERRUPTS();
		truncate_path(walk, level->path_len);
		name = iopool_walk_next_name(walk, level, &type);
		if (name == NULL)
		{
			iopool_walk_ascend(walk);
			continue;
		}

		len = strlen(name);
		if (!pg_verifymbstr(name, (int) len, true))
		{
			iopool_walk_skip_not_text(walk, name);
			continue;
		}
		if (!iopool_pattern_advance(walk->pattern, level->state, name, len,
									walk->name_state))
			continue;
		appendBinaryStringInfo(&walk->path, name, (int) len);
		if (visit(walk, type, file))
		{
			walk->stats.nfiles++;
			return true;
		}
	}
	return false;
}

/*
 * The next file; false: there are no more, and what has been left out is told.
 */
bool
iopool_walk_next(IopoolWalk *walk, IopoolWalkFile *file)
{
	do
	{
		if (next_below(walk, file))
			return true;
	} while (begin_next_path(walk));
	iopool_walk_warn_of_skipped(walk);
	return false;
}

/* Open the directory of ours that the path names. */
static void
acquire_directory(IopoolWalk *walk)
{
	IopoolFailure failure;

	while (!iopool_directory_acquire(walk->dir, &failure))
	{
		if ((failure.errnum == EMFILE || failure.errnum == ENFILE) &&
			iopool_file_make_room())
			continue;
		iopool_log_list(walk->access.log_role, walk->root, &failure);
		iopool_errors_raise(&failure, walk->root, 0, 0, 0);
	}
	walk->is_dir_acquired = true;
}

/* Open the directory that the path leads to, the first level. */
static void
open_root(IopoolWalk *walk)
{
	IopoolFailure failure;
	bool is_open = iopool_walk_descend(walk, walk->name_state, true, &failure);

	if (!is_open && walk->dir != NULL &&
		(failure.errnum == EXDEV || failure.errnum == ELOOP))
		(void) iopool_directory_fail(&failure, IOPOOL_FAILURE_OUTSIDE, 0);
	iopool_log_list(walk->access.log_role, walk->root, &failure);
	if (!is_open)
		iopool_errors_raise(&failure, walk->root, 0, 0, 0);
}

/* Close what is open. */
static void
end_at_reset(void *arg)
{
	IopoolWalk *walk = arg;

	while (walk->depth > 0)
		iopool_walk_close_level(walk->levels[--walk->depth]);
	iopool_file_remove_holder(&walk->holder);
	if (walk->is_dir_acquired)
		iopool_directory_release(walk->dir);
}

/*
 * Begin to list the files below the directory that a path names for the current
 * user, whose paths below it match the pattern.  Raises if he may not, and if
 * there is none.  The walk is in cxt, which ends it; so long, the list of paths
 * has to stay.
 */
IopoolWalk *
iopool_walk_begin(MemoryContext cxt, const IopoolWalkOptions *options)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(cxt);
	IopoolWalk *walk = palloc0(sizeof(IopoolWalk));
	const char *relative;
	Size state_size;

	walk->cxt = cxt;
	walk->root = pstrdup(options->path);
	walk->pattern = iopool_pattern_compile(pstrdup(options->pattern));
	walk->paths = options->paths;
	if (walk->paths != NIL)
		set_prefix(walk, linitial(walk->paths));
	else if (options->prefix != NULL)
		set_prefix(walk, pstrdup(options->prefix));
	walk->wants_directories = options->wants_directories;
	state_size =
		sizeof(IopoolPatternState) * iopool_pattern_nwords(walk->pattern);
	walk->name_state = palloc(state_size);
	walk->below_state = palloc(state_size);
	walk->max_levels = FIRST_LEVELS;
	walk->levels = palloc(sizeof(IopoolWalkLevel *) * walk->max_levels);
	initStringInfo(&walk->path);
	appendStringInfoString(&walk->path, walk->root);
	walk->root_len = walk->path.len;

	iopool_access_begin(&walk->access, cxt);
	walk->dir = iopool_access_path(&walk->access, walk->root, &relative);
	if (walk->dir != NULL)
		walk->relative = (int) (relative - walk->root);

	walk->holder.close_one = iopool_walk_close_one;
	iopool_file_add_holder(&walk->holder);
	walk->at_reset.func = end_at_reset;
	walk->at_reset.arg = walk;
	MemoryContextRegisterResetCallback(cxt, &walk->at_reset);
	if (walk->dir != NULL)
		acquire_directory(walk);
	iopool_pattern_begin(walk->pattern, walk->name_state);
	open_root(walk);
	MemoryContextSwitchTo(old_cxt);
	return walk;
}

void
iopool_walk_get_stats(const IopoolWalk *walk, IopoolWalkStats *stats)
{
	*stats = walk->stats;
}
