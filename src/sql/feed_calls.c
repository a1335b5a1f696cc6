/*-------------------------------------------------------------------------
 *
 * feed_calls.c
 *	  Calls that go into a feed: their files, and the streams that read their
 *	  ranges, one for each pool.
 *
 * Files are found by path and stay open from call to call.  So that the number
 * of paths does not matter, a set of files that has become large is left to
 * the calls that use it, and a new one begun; so it is when the user or the
 * rights change, because these are looked at when a path is first named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/cached.h"
#include "ring/settings.h"
#include "sql/feed_internal.h"

/* Paths of a set of files before the next one begins. */
#define MAX_PATHS 1024

/*
 * Files go before the feed's context, and so before the streams in it.  If
 * there are calls that read from them, that is an error's doing.
 */
static void
abort_at_reset(void *arg)
{
	IopoolFeedFiles *files = arg;
	IopoolFeed *feed = files->feed;

	if (files->nusers == 0)
		return;
	for (int i = 0; i < feed->nparts; i++)
		iopool_stream_abort(feed->streams[i]);
}

static void
free_files(IopoolFeedFiles *files)
{
	MemoryContextDelete(files->cxt);
	pfree(files);
}

static IopoolFeedFiles *
new_files(IopoolFeed *feed)
{
	IopoolFeedFiles *files =
		MemoryContextAllocZero(feed->cxt, sizeof(IopoolFeedFiles));

	files->feed = feed;
	files->userid = GetUserId();
	files->cxt = AllocSetContextCreate(feed->cxt, "iopool feed files",
									   ALLOCSET_SMALL_SIZES);
	files->set = iopool_file_set_create(files->cxt, feed->io_mode);

	/* callbacks run youngest first: before the one that closes the files */
	files->at_reset.func = abort_at_reset;
	files->at_reset.arg = files;
	MemoryContextRegisterResetCallback(files->cxt, &files->at_reset);
	return files;
}

/* The set that a new call takes its files from. */
static IopoolFeedFiles *
current_files(IopoolFeed *feed)
{
	IopoolFeedFiles *old = feed->files;

	if (old != NULL && iopool_file_set_count(old->set) < MAX_PATHS &&
		iopool_file_set_is_as_of_now(old->set))
		return old;

	feed->files = new_files(feed);
	/* otherwise the last call that reads from it frees it */
	if (old != NULL && old->nusers == 0)
		free_files(old);
	return feed->files;
}

static void
release_files(IopoolFeed *feed, IopoolFeedFiles *files)
{
	if (--files->nusers == 0 && files != feed->files)
		free_files(files);
}

static IopoolSourceStatus feed_source(void *arg, IopoolRange *range);

static IopoolFeedPart *
add_part(IopoolFeed *feed, IopoolPool *pool)
{
	IopoolFeedPart *part = &feed->parts[feed->nparts];
	IopoolStreamOptions options = {
		.pool = pool,
		.in_order = feed->options.in_order,
		.max_in_flight_bytes = iopool_max_in_flight_bytes,
		.merge_gap = iopool_merge_gap,
		.header_size = VARHDRSZ,
		.buffer_cxt = feed->buffer_cxt,
		.buffers = feed->buffers,
		.source = feed_source,
		.source_arg = part,
		.kind = feed->options.kind,
	};

	part->feed = feed;
	part->pool = pool;
	part->stream = iopool_stream_begin(feed->cxt, &options);
	feed->streams[feed->nparts++] = part->stream;
	return part;
}

/* The part of a file's pool, which is begun if it is new. */
IopoolFeedPart *
iopool_feed_part(IopoolFeed *feed, const IopoolFile *file)
{
	IopoolPool *pool = file->dir != NULL ? file->dir->pool : NULL;

	if (pool == NULL)
	{
		if (feed->pool == NULL)
			feed->pool = iopool_shmem_find_pool(iopool_pool);
		pool = feed->pool;
	}
	for (int i = 0; i < feed->nparts; i++)
	{
		if (feed->parts[i].pool == pool)
			return &feed->parts[i];
	}

	return add_part(feed, pool);
}

/* A range of the part is read from this file. */
static inline void
count_io_mode(IopoolFeedPart *part, const IopoolFile *file)
{
	int poolno = part->pool - iopool_shared->pools;

	part->feed->stats.io_modes[poolno] |= 1 << file->io_mode;
}

/* IopoolSource: the ranges of a part, call after call. */
static IopoolSourceStatus
feed_source(void *arg, IopoolRange *range)
{
	IopoolFeedPart *part = arg;
	IopoolFeed *feed = part->feed;
	IopoolCall *call = part->call;
	IopoolSourceStatus status;

	for (;;)
	{
		iopool_stream_check_interrupts();
		if (call == NULL || part->rangeno == call->args.nranges)
		{
			bool has_next = call == NULL
				? !dlist_is_empty(&feed->calls)
				: dlist_has_next(&feed->calls, &call->node);

			if (!has_next)
				return feed->is_complete ? IOPOOL_SOURCE_END
										 : IOPOOL_SOURCE_LATER;
			call =
				dlist_container(IopoolCall, node,
								call == NULL ? dlist_head_node(&feed->calls)
											 : dlist_next_node(&feed->calls,
															   &call->node));
			part->call = call;
			part->rangeno = 0;
		}
		else if (iopool_args_flaws(&call->args, part->rangeno) != 0)
			part->rangeno++;
		else if (feed->nparts > 1 &&
				 iopool_feed_part(feed,
								  iopool_call_file(call, part->rangeno)) !=
					 part)
			part->rangeno++;
		else
			break;
	}

	/* nothing behind a failure that will be raised matters any more */
	if (feed->failed >= 0 && part->rangeno > feed->failed)
		return IOPOOL_SOURCE_END;
	if (call->first + part->rangeno >=
		iopool_feed_nhanded_out(feed) + feed->distance)
		return IOPOOL_SOURCE_LATER;

	status = iopool_call_range(call, part->rangeno, call->files->set, range);
	if (status == IOPOOL_SOURCE_RANGE)
	{
		count_io_mode(part, range->file);
		part->rangeno++;
	}
	return status;
}

static IopoolCall *
new_call(IopoolFeed *feed)
{
	IopoolCall *call;

	if (dlist_is_empty(&feed->free_calls))
		call = MemoryContextAlloc(feed->cxt, sizeof(IopoolCall));
	else
		call = dlist_container(IopoolCall, node,
							   dlist_pop_head_node(&feed->free_calls));
	memset(call, 0, sizeof(IopoolCall));
	call->files = current_files(feed);
	call->userid = call->files->userid;
	return call;
}

/* Begin the streams of the pools that a call reads from. */
static void
add_parts(IopoolFeed *feed, const IopoolCall *call)
{
	if (call->file != NULL)
		(void) iopool_feed_part(feed, call->file);
	else
	{
		for (int i = 0; i < call->args.nranges; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (call->range_files[i] != NULL &&
				(i == 0 || call->range_files[i] != call->range_files[i - 1]))
				(void) iopool_feed_part(feed, call->range_files[i]);
		}
	}

	/* no range at all: the session's pool has to exist all the same */
	if (feed->nparts == 0)
		feed->pool = iopool_shmem_find_pool(iopool_pool);
}

/*
 * A new call, which ends before the memory that its args were taken into
 * (args.h), to be given to iopool_feed_add().  Raises if the current user may
 * not read a path.
 */
IopoolCall *
iopool_feed_new_call(IopoolFeed *feed, const IopoolArgs *args, bool report)
{
	IopoolCall *call = new_call(feed);

	call->args = *args;
	call->report = report;
	iopool_call_name_files(call, call->files->set, feed->cxt);
	add_parts(feed, call);
	return call;
}

/* The same of a single range. */
IopoolCall *
iopool_feed_new_range(IopoolFeed *feed, text *path, int64 offset, int64 length)
{
	IopoolCall *call = new_call(feed);

	iopool_call_name_file(call, call->files->set, VARDATA_ANY(path),
						  VARSIZE_ANY_EXHDR(path));
	call->offset = offset;
	call->args.nranges = 1;
	call->args.offsets = &call->offset;
	call->args.length = length;
	add_parts(feed, call);
	return call;
}

/*
 * How many bytes each range of a new call will bring: see
 * iopool_call_measure().
 */
int64 *
iopool_feed_measure(IopoolFeed *feed, IopoolCall *call)
{
	return iopool_call_measure(call, call->files->set, feed->cxt);
}

/*
 * The file of a path that is to be read at once, acquired; NULL if a call has
 * to be added for it.  Raises as iopool_feed_new_call().  It is the file that
 * calls read from, and stays open for them.
 */
static IopoolFile *
acquire_now(IopoolFeed *feed, text *path)
{
	IopoolFileSet *set = current_files(feed)->set;
	IopoolFile *file =
		iopool_file_set_find(set, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));

	/* whether its pool exists is to be known first */
	(void) iopool_feed_part(feed, file);
	if (file->failure.kind != IOPOOL_FAILURE_NONE ||
		!iopool_file_acquire(set, file))
		return NULL;
	if (file->failure.kind == IOPOOL_FAILURE_NONE)
		return file;
	iopool_file_release(file);
	return NULL;
}

/*
 * How many bytes of a range, or of a whole file, there are to be read at once;
 * -1 if that is not known, or a call has to be added for it.  Raises as
 * iopool_feed_new_call().
 */
int64
iopool_feed_available(IopoolFeed *feed, text *path, int64 offset, int64 length)
{
	IopoolFile *file = acquire_now(feed, path);
	IopoolFailure failure;
	IopoolClip clip;
	int64 size = -1;

	if (file == NULL)
		return -1;
	if (iopool_file_clip(file, offset, length, &clip, &failure) &&
		!clip.is_open_ended)
		size = clip.length;
	iopool_file_release(file);
	return size;
}

/*
 * Read a range at once, into dest, if the page cache has it: how many bytes,
 * or -1 if a call has to be added for it.  Raises as iopool_feed_new_call().
 */
int64
iopool_feed_read_cached(IopoolFeed *feed, text *path, int64 offset,
						int64 length, char *dest)
{
	IopoolFile *file = acquire_now(feed, path);
	IopoolStreamTotals *totals = &feed->stats.totals;
	IopoolFeedPart *part;
	int64 nbytes;

	if (file == NULL)
		return -1;
	part = iopool_feed_part(feed, file);
	nbytes = iopool_cached_read(part->pool, file, offset, length, dest);
	iopool_file_release(file);
	if (nbytes < 0)
		return -1;

	iopool_log_path(&feed->log, feed->cxt, file->path);
	count_io_mode(part, file);
	totals->nranges++;
	totals->nreads++;
	totals->nbytes += nbytes;
	totals->sum_in_flight++;
	totals->max_in_flight = Max(totals->max_in_flight, 1);
	return nbytes;
}

/*
 * The results of a call that somebody else has added are due, as where a
 * function hands its cursor to its caller: look at the rights of the current
 * user.  Raises as iopool_feed_new_call().
 */
void
iopool_feed_check_rights(IopoolFeed *feed, IopoolCall *call)
{
	IopoolFileSet *set = current_files(feed)->set;

	for (int i = 0; i < call->args.nranges; i++)
	{
		const IopoolFile *file = iopool_call_file(call, i);

		iopool_stream_check_interrupts();
		if (file != NULL)
			(void) iopool_file_set_find(set, file->path, strlen(file->path));
		if (call->file != NULL)
			break;
	}
	call->userid = GetUserId();
}

/* The call is as it should be: let its ranges be read. */
void
iopool_feed_add(IopoolFeed *feed, IopoolCall *call)
{
	if (call->args.nranges > 0 && iopool_call_file(call, 0) != NULL)
		iopool_log_path(&feed->log, feed->cxt,
						iopool_call_file(call, 0)->path);
	call->files->nusers++;
	dlist_push_tail(&feed->calls, &call->node);
	call->first = feed->nadded;
	feed->nadded += call->args.nranges;
	feed->nahead += call->args.nranges;
}

/* There will be no more calls. */
void
iopool_feed_complete(IopoolFeed *feed)
{
	feed->is_complete = true;
}

/* The first call, all of whose results have been handed out, is done with. */
void
iopool_feed_drop_call(IopoolFeed *feed, IopoolCall *call)
{
	Assert(call->nout == call->args.nranges);

	for (int i = 0; i < feed->nparts; i++)
	{
		if (feed->parts[i].call == call)
			feed->parts[i].call = NULL;
	}
	dlist_delete(&call->node);
	if (call->range_files != NULL)
		pfree(call->range_files);
	release_files(feed, call->files);
	dlist_push_head(&feed->free_calls, &call->node);
}
