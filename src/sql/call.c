/*-------------------------------------------------------------------------
 *
 * call.c
 *	  One call of a reading function: its ranges, and the files they are in.
 *
 * The SQL functions, requests and executor nodes all make calls, and give them
 * to a feed (feed.c), which reads them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "sql/call.h"

/* The file of a path, to be read from once more. */
static IopoolFile *
find_file(IopoolFileSet *set, const char *path, size_t len)
{
	IopoolFile *file = iopool_file_set_find(set, path, len);

	/* another call may find it mended */
	if (file->nusers == 0)
		file->failure.kind = IOPOOL_FAILURE_NONE;
	return file;
}

/*
 * The file of a call that has one; raises as iopool_file_name() does before
 * anything is opened.
 */
void
iopool_call_name_file(IopoolCall *call, IopoolFileSet *set, const char *path,
					  size_t len)
{
	call->file = find_file(set, path, len);
}

/*
 * The files of a call with its args set, in the order of the call, in cxt;
 * raises in the same way.
 */
void
iopool_call_name_files(IopoolCall *call, IopoolFileSet *set, MemoryContext cxt)
{
	const IopoolArgs *args = &call->args;

	if (args->path != NULL)
	{
		iopool_call_name_file(call, set, args->path, strlen(args->path));
		return;
	}
	if (args->nranges == 0)
		return;

	call->range_files =
		MemoryContextAllocHuge(cxt, sizeof(IopoolFile *) * args->nranges);
	for (int i = 0; i < args->nranges; i++)
	{
		text *path = (text *) DatumGetPointer(args->paths[i]);

		CHECK_FOR_INTERRUPTS();
		if (path == NULL)
		{
			call->range_files[i] = NULL;
			continue;
		}
		call->range_files[i] =
			find_file(set, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));
	}
}

/*
 * How many bytes each range will bring, as the files are now; opens them.  In
 * cxt; 0 for ranges of files that cannot be read, -1 for those with flaws.
 */
int64 *
iopool_call_measure(IopoolCall *call, IopoolFileSet *set, MemoryContext cxt)
{
	int nranges = call->args.nranges;
	int64 *sizes =
		MemoryContextAllocHuge(cxt, sizeof(int64) * Max(nranges, 1));

	for (int i = 0; i < nranges; i++)
	{
		IopoolFile *file = iopool_call_file(call, i);
		IopoolFailure failure;
		IopoolClip clip;

		CHECK_FOR_INTERRUPTS();
		sizes[i] = -1;
		if (iopool_args_flaws(&call->args, i) != 0)
			continue;
		iopool_stream_acquire(set, file);
		sizes[i] = 0;
		if (file->failure.kind == IOPOOL_FAILURE_NONE &&
			iopool_file_clip(file, call->args.offsets[i],
							 iopool_args_length(&call->args, i), &clip,
							 &failure))
			sizes[i] = clip.length;
		iopool_file_release(file);
	}
	return sizes;
}

/* The result of a range that has a flaw, and is not read. */
void
iopool_call_flawed_result(const IopoolCall *call, int rangeno,
						  IopoolResult *result)
{
	memset(result, 0, sizeof(IopoolResult));
	result->cookie = rangeno;
	result->offset = call->args.offsets[rangeno];
	result->length = iopool_args_length(&call->args, rangeno);
	result->flaws = iopool_args_flaws(&call->args, rangeno);
	result->failure = iopool_args_failure(&call->args, rangeno);
}

/*
 * Range number rangeno, for a stream: its file is acquired.  Returns
 * IOPOOL_SOURCE_RANGE, or why it has to wait.
 */
IopoolSourceStatus
iopool_call_range(const IopoolCall *call, int rangeno, IopoolFileSet *set,
				  IopoolRange *range)
{
	range->file = iopool_call_file(call, rangeno);
	if (!iopool_file_acquire(set, range->file))
		return iopool_source_refused(range->file);

	range->offset = call->args.offsets[rangeno];
	range->length = iopool_args_length(&call->args, rangeno);
	range->cookie = rangeno;
	range->dest = call->dests != NULL ? call->dests[rangeno] : NULL;
	range->max_bytes =
		call->sizes != NULL ? call->sizes[rangeno] : range->length;
	return IOPOOL_SOURCE_RANGE;
}
