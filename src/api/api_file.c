/*-------------------------------------------------------------------------
 *
 * api_file.c
 *	  Files of the C interface, and memory for aligned reads.
 *
 * A file lives as long as its consumer has it open or a read of it is
 * outstanding, whichever is longer: its number could be that of another file
 * by the time a short read goes on.  So it has a memory context of its own,
 * and only a guard in that of the consumer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "api/api_internal.h"
#include "engine/stream.h"
#include "file/log.h"
#include "ring/settings.h"

/* Largest alignment of memory: that of huge pages is enough for anybody. */
#define MAX_ALIGNMENT ((Size) 1024 * 1024 * 1024)

/* By file is how ranges that can be merged are found. */
static int next_number = 0;

/* Nobody has it open and nothing reads from it. */
static void
free_file(IopoolApiFile *file)
{
	iopool_file_release(&file->file);
	MemoryContextDelete(file->cxt); /* closes the descriptor */
}

/* The consumer lets go: it closes the file, or its memory goes away. */
static void
file_dropped(void *arg)
{
	IopoolApiFile *file = arg;

	iopool_api_unregister(file);
	file->guard = NULL;
	if (file->npins == 0)
		free_file(file);
}

/* A file that is not open, in a memory context of its own. */
static IopoolApiFile *
make_file(const char *path, IopoolApiIoMode io_mode)
{
	static const IopoolIoMode modes[] = {
		[IOPOOL_API_IO_BUFFERED] = IOPOOL_IO_BUFFERED,
		[IOPOOL_API_IO_DIRECT] = IOPOOL_IO_DIRECT,
		[IOPOOL_API_IO_UNCACHED] = IOPOOL_IO_UNCACHED,
	};
	MemoryContext cxt;
	IopoolApiFile *file;
	IopoolIoMode mode = iopool_io_mode;

	iopool_shmem_require();
	if ((int) io_mode < IOPOOL_API_IO_SESSION ||
		(int) io_mode > IOPOOL_API_IO_UNCACHED)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown io_mode %d of file \"%s\"", (int) io_mode,
						path)));
	if (io_mode != IOPOOL_API_IO_SESSION)
		mode = modes[io_mode];

	cxt = AllocSetContextCreate(TopMemoryContext, "iopool file",
								ALLOCSET_SMALL_SIZES);
	file = MemoryContextAllocZero(cxt, sizeof(IopoolApiFile));
	file->cxt = cxt;
	iopool_file_init(&file->file, MemoryContextStrdup(cxt, path), mode);
	file->file.number = next_number++;
	return file;
}

/*
 * Open it for the consumer whose memory context is cxt, or raise; false: there
 * is no such file.
 */
static bool
open_for(IopoolApiFile *file, MemoryContext cxt, bool missing_ok)
{
	file->set = iopool_file_set_create(file->cxt, file->file.io_mode);
	iopool_file_set_pin(file->set);
	iopool_stream_acquire(file->set, &file->file);
	if (missing_ok && iopool_failure_is_missing(&file->file.failure))
		return false;
	if (file->file.failure.kind != IOPOOL_FAILURE_NONE)
		iopool_errors_raise(&file->file.failure, file->file.path, 0, 0, 0);
	/* it may be long before the consumer reads from it */
	file->file.is_just_open = false;

	iopool_api_register(file, IOPOOL_API_FILE);
	file->guard = iopool_api_guard(cxt, file_dropped, file);
	return true;
}

/* Ask for the right to a path as SQL does, and find its directory. */
static void
authorise(IopoolApiFile *file, const char *relative,
		  const IopoolApiOpenOptions *options)
{
	MemoryContext old_cxt;
	IopoolAccess rights;

	file->file.log_role = iopool_log_file_role(file->cxt);
	/* a worker without a transaction has no catalogs to look at */
	if (options->is_trusted && options->directory == NULL)
		return;
	if (!IsTransactionState())
		ereport(ERROR,
				(errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
				 errmsg("file \"%s\" cannot be opened outside of a transaction",
						file->file.path),
				 errdetail("Directories and the rights of users are in the catalogs.")));

	old_cxt = MemoryContextSwitchTo(file->cxt);
	iopool_access_begin(&rights, file->cxt);
	rights.is_trusted = options->is_trusted;
	if (options->directory != NULL)
	{
		file->file.dir = iopool_access_directory(&rights, options->directory,
												 file->file.path);
		file->file.relative = pstrdup(relative);
	}
	else
		file->file.dir =
			iopool_access_path(&rights, file->file.path, &file->file.relative);

	if (file->file.dir != NULL && file->file.dir->has_io_mode &&
		options->io_mode == IOPOOL_API_IO_SESSION)
		file->file.io_mode = file->file.dir->io_mode;
	MemoryContextSwitchTo(old_cxt);
}

/*
 * Open a file that has been made, with its rights; it is freed unless it comes
 * to be open.  NULL: there is none.
 */
static IopoolApiFile *
open_or_free(IopoolApiFile *file, MemoryContext cxt, const char *relative,
			 const IopoolApiOpenOptions *options)
{
	PG_TRY();
	{
		authorise(file, relative, options);
		if (!open_for(file, cxt, options->missing_ok))
		{
			MemoryContextDelete(file->cxt);
			file = NULL;
		}
	}
	PG_CATCH();
	{
		iopool_api_unregister(file);
		MemoryContextDelete(file->cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return file;
}

/* See IopoolApi.open. */
IopoolApiFile *
iopool_api_open(MemoryContext cxt, const char *path,
				const IopoolApiOpenOptions *options)
{
	IopoolApiOpenOptions all = {0};
	IopoolApiFile *file;
	const char *relative = NULL;

	if (options != NULL)
	{
		iopool_api_check_size("IopoolApiOpenOptions", options->size,
							  sizeof(all));
		memcpy(&all, options, options->size);
	}
	if (all.directory != NULL)
	{
		relative = path;
		path = psprintf("%s:%s", all.directory, relative);
	}
	file = make_file(path, all.io_mode);
	file->from_end = all.from_end;
	if (relative != NULL)
		pfree(unconstify(char *, path));
	return open_or_free(file, cxt, relative, &all);
}

/* Options of the functions that are older than these. */
static IopoolApiOpenOptions
open_options(const char *path, const char *directory, IopoolApiAccess access,
			 IopoolApiIoMode io_mode)
{
	if (access != IOPOOL_API_TRUSTED && access != IOPOOL_API_CURRENT_USER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown access %d to file \"%s\"", (int) access,
						path)));
	return (IopoolApiOpenOptions){
		.size = sizeof(IopoolApiOpenOptions),
		.directory = directory,
		.is_trusted = access == IOPOOL_API_TRUSTED,
		.io_mode = io_mode,
	};
}

/* See IopoolApi.open_file. */
IopoolApiFile *
iopool_api_open_file(MemoryContext cxt, const char *path,
					 IopoolApiAccess access, IopoolApiIoMode io_mode)
{
	IopoolApiOpenOptions options = open_options(path, NULL, access, io_mode);

	return iopool_api_open(cxt, path, &options);
}

/* See IopoolApi.open_in_directory. */
IopoolApiFile *
iopool_api_open_in_directory(MemoryContext cxt, const char *directory,
							 const char *relative, IopoolApiAccess access,
							 IopoolApiIoMode io_mode)
{
	IopoolApiOpenOptions options =
		open_options(relative, directory, access, io_mode);

	return iopool_api_open(cxt, relative, &options);
}

/* Raise 55000 unless the file is open, and of this process. */
void
iopool_api_check_file(const IopoolApiFile *file)
{
	if (!iopool_api_is_registered(file, IOPOOL_API_FILE))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("file is not open"),
				 errdetail("It has been closed, or was opened by another process.")));
}

/* See IopoolApi.close_file. */
void
iopool_api_close_file(IopoolApiFile *file)
{
	iopool_api_check_file(file);
	MemoryContextDelete(file->guard); /* calls file_dropped() */
}

/* A read of it is outstanding, until it is unpinned. */
void
iopool_api_pin_file(IopoolApiFile *file)
{
	file->npins++;
}

/* Does not raise. */
void
iopool_api_unpin_file(IopoolApiFile *file)
{
	if (--file->npins == 0 && file->guard == NULL)
		free_file(file);
}

/* See IopoolApi.file_info. */
void
iopool_api_file_info(IopoolApiFile *file, IopoolApiFileInfo *info)
{
	static const IopoolApiIoMode modes[] = {
		[IOPOOL_IO_BUFFERED] = IOPOOL_API_IO_BUFFERED,
		[IOPOOL_IO_DIRECT] = IOPOOL_API_IO_DIRECT,
		[IOPOOL_IO_UNCACHED] = IOPOOL_API_IO_UNCACHED,
	};
	IopoolApiFileInfo all = {0};

	iopool_api_check_file(file);
	iopool_api_check_size("IopoolApiFileInfo", info->size, sizeof(all));

	all.size = info->size;
	all.file_size = iopool_file_size(&file->file);
	all.io_mode = modes[file->file.io_mode];
	all.alignment = Max(file->file.alignment, 1);
	if (file->file.dir != NULL)
		all.pool = file->file.dir->pool_name;
	memcpy(info, &all, info->size);
}

/* See IopoolApi.alloc_aligned: the chunk's address lies in front. */
void *
iopool_api_alloc_aligned(MemoryContext cxt, Size size, Size alignment)
{
	char *chunk;
	char *memory;

	if (alignment == 0 || (alignment & (alignment - 1)) != 0 ||
		alignment > MAX_ALIGNMENT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("alignment must be a power of two of at most %zu",
						MAX_ALIGNMENT),
				 errdetail("The alignment is %zu.", alignment)));

	alignment = Max(alignment, MAXIMUM_ALIGNOF);
	chunk = MemoryContextAllocHuge(cxt,
								   add_size(size, alignment + sizeof(void *)));
	memory = (char *) TYPEALIGN(alignment, chunk + sizeof(void *));
	((void **) memory)[-1] = chunk;
	return memory;
}

/* See IopoolApi.free_aligned. */
void
iopool_api_free_aligned(void *memory)
{
	pfree(((void **) memory)[-1]);
}

static void
check_multiple(const IopoolApiFile *file, const char *field, uint64 value)
{
	int alignment = file->file.alignment;

	if (value % alignment != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s %llu is not aligned to %d bytes", field,
						(unsigned long long) value, alignment),
				 errdetail("File \"%s\" is read directly, in blocks of that size.",
						   file->file.path)));
}

/* See IopoolApi.check_aligned. */
void
iopool_api_check_aligned(IopoolApiFile *file, int64 offset, int64 length,
						 const void *buffer)
{
	iopool_api_check_file(file);
	if (file->file.alignment == 0)
		return;
	check_multiple(file, "offset", (uint64) offset);
	check_multiple(file, "length", (uint64) length);
	check_multiple(file, "buffer address", (uint64) (uintptr_t) buffer);
}
