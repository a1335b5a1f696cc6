/*-------------------------------------------------------------------------
 *
 * check_files.c
 *	  The doctor on file systems: what the places that are read from can do.
 *
 * Each directory is judged by one regular file in it, which is read, by one
 * block or byte, as iopool would read it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "doctor/check_internal.h"
#include "file/file.h"
#include "ring/settings.h"

/* How far a directory is searched for a file that can be read. */
#define MAX_SEARCHED 1000

/* A place that is read from: its rows are called NAME_direct and so on. */
typedef struct Directory
{
	const char *name;
	const char *path;
} Directory;

static Directory *
make_directory(const char *name, const char *path)
{
	Directory *directory = palloc(sizeof(Directory));

	directory->name = name;
	directory->path = path;
	return directory;
}

/* The data directory; a part of it that has a file of more than one block. */
static Directory *
data_directory(void)
{
	return make_directory("data_directory", psprintf("%s/global", DataDir));
}

/*
 * A regular file of the directory that is not empty, or NULL: there is none,
 * or *errnum says why the directory cannot be read.
 */
static char *
find_file(const char *directory, int *errnum)
{
	DIR *dir = AllocateDir(directory);
	struct dirent *entry;
	char *found = NULL;

	*errnum = 0;
	if (dir == NULL)
	{
		*errnum = errno;
		return NULL;
	}
	for (int i = 0; i < MAX_SEARCHED && found == NULL; i++)
	{
		char path[MAXPGPATH * 2];
		struct stat st;

		entry = ReadDirExtended(dir, directory, LOG);
		if (entry == NULL)
			break;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
			access(path, R_OK) == 0)
			found = pstrdup(path);
	}
	FreeDir(dir);
	return found;
}

/*
 * Read the start of a file in a mode, with more RWF_* flags: bytes or -errno.
 * *file tells how it was opened, or in its failure why not.  Does not raise,
 * so the descriptor, one of those that fd.c keeps back, needs no owner.
 */
static int
read_start(const char *path, IopoolIoMode io_mode, int rw_flags,
		   IopoolFile *file)
{
	struct iovec iov = {.iov_len = IOPOOL_BLOCK_SIZE};
	IopoolIo io = {.iov = &iov, .niov = 1};
	int result;

	iopool_file_init(file, path, io_mode);
	if (!iopool_file_open_now(file))
		return -file->failure.errnum;
	io.fd = file->fd;

	iov.iov_len = Max(file->alignment, IOPOOL_BLOCK_SIZE);
	if (posix_memalign(&iov.iov_base, IOPOOL_BLOCK_SIZE, iov.iov_len) == 0)
	{
		io.is_direct = file->alignment > 0;
		io.rw_flags = file->rw_flags | rw_flags;
		result = iopool_sync_read(&io);
		free(iov.iov_base);
	}
	else
		result = -ENOMEM;
	close(io.fd);
	return result;
}

/* Why a file could not be read, in the words of the functions that read. */
static char *
describe_failure(IopoolFile *file, int result)
{
	IopoolFailure failure = file->failure;

	if (failure.kind == IOPOOL_FAILURE_NONE)
	{
		failure.kind = IOPOOL_FAILURE_READ;
		failure.errnum = -result;
	}
	return iopool_errors_message(&failure, file->path, 0, IOPOOL_BLOCK_SIZE,
								 0);
}

static void
check_direct(IopoolCheck *check, const Directory *directory, const char *path)
{
	char *name = psprintf("%s_direct", directory->name);
	bool is_asked_for = (iopool_io_mode == IOPOOL_IO_DIRECT);
	IopoolFile file;
	int result = read_start(path, IOPOOL_IO_DIRECT, 0, &file);

	if (result > 0)
		iopool_check_put(
			check, name, IOPOOL_CHECK_OK,
			psprintf("\"%s\" was read with O_DIRECT, in blocks of %d bytes",
					 path, file.alignment),
			NULL);
	else
		iopool_check_put(
			check, name, is_asked_for ? IOPOOL_CHECK_FAIL : IOPOOL_CHECK_WARN,
			psprintf("%s (with O_DIRECT)", describe_failure(&file, result)),
			"SET iopool.io_mode = 'buffered';  -- or 'uncached', for files of this file system");
}

/*
 * io_uring tries a buffered read without waiting first.  Where the file
 * system cannot do that, which RWF_NOWAIT tells as well, it hands each read to
 * a thread of the kernel.
 */
static void
check_buffered(IopoolCheck *check, const Directory *directory,
			   const char *path)
{
	char *name = psprintf("%s_buffered", directory->name);
	bool is_asked_for =
		check->demand[IOPOOL_METHOD_IO_URING] != IOPOOL_DEMAND_NONE;
	IopoolFile file;
	int result = read_start(path, IOPOOL_IO_BUFFERED, RWF_NOWAIT, &file);

	if (result >= 0 || result == -EAGAIN)
		iopool_check_put(
			check, name, IOPOOL_CHECK_OK,
			psprintf("\"%s\" can be read without waiting (RWF_NOWAIT)", path),
			NULL);
	else
		iopool_check_put(
			check, name, is_asked_for ? IOPOOL_CHECK_WARN : IOPOOL_CHECK_OK,
			psprintf(
				"%s (with RWF_NOWAIT), so io_uring hands buffered reads to threads of the kernel",
				describe_failure(&file, result)),
			"Keep the files on ext4, xfs or btrfs, or read past the page cache: SET iopool.io_mode = 'direct';");
}

static void
check_uncached(IopoolCheck *check, const Directory *directory,
			   const char *path)
{
	char *name = psprintf("%s_uncached", directory->name);
	bool is_asked_for = (iopool_io_mode == IOPOOL_IO_UNCACHED);
	IopoolFile file;
	int result = read_start(path, IOPOOL_IO_UNCACHED, 0, &file);

	if (result >= 0)
		iopool_check_put(check, name, IOPOOL_CHECK_OK,
						 psprintf("\"%s\" was read with RWF_DONTCACHE", path),
						 NULL);
	else
		iopool_check_put(
			check, name, is_asked_for ? IOPOOL_CHECK_WARN : IOPOOL_CHECK_OK,
			psprintf(
				"%s (with RWF_DONTCACHE), so uncached reads leave pages in the cache",
				describe_failure(&file, result)),
			"Use Linux 6.14 or later and ext4, xfs or btrfs, or read past the page cache: SET iopool.io_mode = 'direct';");
}

/* There is no file to judge a directory by; errnum: it cannot be read. */
static void
report_unknown(IopoolCheck *check, const Directory *directory, int errnum)
{
	char *name = psprintf("%s_direct", directory->name);
	char *unknown = psprintf("not known: see %s", name);

	errno = errnum;
	if (errnum != 0)
		iopool_check_put(
			check, name, IOPOOL_CHECK_FAIL,
			psprintf("could not open directory \"%s\": %m", directory->path),
			psprintf("Let the server's user read it: chmod a+rx %s",
					 iopool_directory_shell_quote(directory->path)));
	else
		iopool_check_put(check, name, IOPOOL_CHECK_OK,
						 psprintf("\"%s\" has no file to try it with",
								  directory->path),
						 NULL);
	iopool_check_put(check, psprintf("%s_buffered", directory->name),
					 IOPOOL_CHECK_OK, unknown, NULL);
	iopool_check_put(check, psprintf("%s_uncached", directory->name),
					 IOPOOL_CHECK_OK, unknown, NULL);
}

/* What can be done with files in a directory. */
static void
check_file_system(IopoolCheck *check, const Directory *directory)
{
	int errnum;
	char *path = find_file(directory->path, &errnum);

	if (path == NULL)
	{
		report_unknown(check, directory, errnum);
		return;
	}
	check_direct(check, directory, path);
	check_buffered(check, directory, path);
	check_uncached(check, directory, path);
}

/* The name that a path could begin with, for a hint. */
static char *
addressable_name(const char *name)
{
	char *result = pstrdup(name);
	char *p = result;

	while ((p = strpbrk(p, ":/")) != NULL)
		*p = '_';
	return result;
}

/* What keeps a foreign server from being a directory, whatever is on disk. */
static bool
check_definition(IopoolCheck *check, const IopoolDirectory *dir,
				 const char *name)
{
	if (dir->problem.message != NULL)
	{
		iopool_check_put(check, name, IOPOOL_CHECK_FAIL, dir->problem.message,
						 psprintf("ALTER SERVER %s OPTIONS (%s);",
								  quote_identifier(dir->name),
								  dir->problem.mend));
		return false;
	}
	if (!iopool_directory_is_addressable(dir->name))
	{
		iopool_check_put(
			check, name, IOPOOL_CHECK_FAIL,
			psprintf(
				"no path can name \"%s\", because of the \":\" or \"/\" in it",
				dir->name),
			psprintf("ALTER SERVER %s RENAME TO %s;",
					 quote_identifier(dir->name),
					 quote_identifier(addressable_name(dir->name))));
		return false;
	}
	return true;
}

static bool
may_be_missing(const IopoolDirectory *dir, const IopoolFailure *failure)
{
	return dir->missing_ok && failure->errnum == ENOENT;
}

/*
 * The failure of a directory, which a message of a file would name for what
 * it is to readers.
 */
static void
report_closed(IopoolCheck *check, const IopoolDirectory *dir, const char *name,
			  const IopoolFailure *failure)
{
	iopool_check_put(
		check, name,
		may_be_missing(dir, failure) ? IOPOOL_CHECK_WARN : IOPOOL_CHECK_FAIL,
		iopool_errors_message(failure, dir->path, 0, 0, 0),
		psprintf("ALTER SERVER %s OPTIONS (SET path '/where/it/is');",
				 quote_identifier(dir->name)));
}

/* Who could put another directory in its place? */
static void
check_ancestors(IopoolCheck *check, const Directory *directory)
{
	char *name = psprintf("%s_ancestors", directory->name);
	IopoolExposure exposure;

	if (iopool_directory_is_exposed(directory->path, &exposure))
		iopool_check_put(
			check, name, IOPOOL_CHECK_WARN,
			psprintf(
				"\"%s\" %s, who can put another directory in the place of \"%s\"",
				exposure.place,
				exposure.is_foreign
					? "belongs to another user than root and the server's"
					: "can be written by others than root and the server's user",
				directory->path),
			exposure.mend);
	else
		iopool_check_put(check, name, IOPOOL_CHECK_OK,
						 "only root and the server's user can replace it",
						 NULL);
}

/*
 * Can a foreign server be read from?  What is to be asked of the directory as
 * well is asked only where the definition is in order.
 */
static void
check_server(IopoolCheck *check, IopoolDirectory *dir, const char *name)
{
	Directory *directory = make_directory(name, dir->path);
	IopoolFailure failure;
	bool lacks_pool;

	if (!check_definition(check, dir, name))
		return;
	/* whatever else is wrong: every read fails */
	lacks_pool = dir->pool_name != NULL &&
		iopool_shmem_lookup_pool(dir->pool_name) == NULL;
	if (lacks_pool)
		iopool_check_put(check, name, IOPOOL_CHECK_FAIL,
						 psprintf("pool \"%s\" does not exist",
								  dir->pool_name),
						 psprintf("ALTER SERVER %s OPTIONS (DROP pool);",
								  quote_identifier(dir->name)));
	iopool_directory_forget_checks();
	if (!iopool_directory_open(dir, &failure))
	{
		if (!lacks_pool)
			report_closed(check, dir, name, &failure);
		if (may_be_missing(dir, &failure))
			check_ancestors(check, directory);
		return;
	}
	close(dir->fd);
	dir->fd = -1;

	if (dir->is_kernel_fs)
	{
		failure.kind = IOPOOL_FAILURE_KERNEL_FS;
		failure.errnum = 0;
		if (!lacks_pool)
			report_closed(check, dir, name, &failure);
		return;
	}
	if (!lacks_pool)
		iopool_check_put(check, name, IOPOOL_CHECK_OK,
						 psprintf("\"%s\" can be opened", dir->path), NULL);
	check_ancestors(check, directory);
	check_file_system(check, directory);
}

/* The data directory, and the foreign servers that are directories. */
void
iopool_check_directories(IopoolCheck *check)
{
	ListCell *lc;

	check_file_system(check, data_directory());
	foreach(lc, iopool_directory_list())
	{
		IopoolDirectory *dir = lfirst(lc);

		check_server(check, dir, psprintf("directory_%s", dir->name));
	}
}

/* Does statx(2) tell the alignment of direct reads? */
void
iopool_check_statx(IopoolCheck *check)
{
	const Directory *data = data_directory();
	bool is_asked_for = (iopool_io_mode == IOPOOL_IO_DIRECT);
	int alignment = -1;
	int errnum;
	char *path = find_file(data->path, &errnum);
	IopoolFile file;

	if (path != NULL)
	{
		iopool_file_init(&file, path, IOPOOL_IO_BUFFERED);
		if (iopool_file_open_now(&file))
		{
			alignment = iopool_file_statx_alignment(file.fd);
			close(file.fd);
		}
	}

	if (alignment >= 0)
		iopool_check_put(check, "statx_dioalign", IOPOOL_CHECK_OK,
						 "statx tells the alignment of direct reads", NULL);
	else
		iopool_check_put(
			check, "statx_dioalign",
			is_asked_for ? IOPOOL_CHECK_WARN : IOPOOL_CHECK_OK,
			"statx does not tell the alignment of direct reads (STATX_DIOALIGN), so they are made in blocks of the file system",
			"Use Linux 6.1 or later, a file system that tells (ext4, xfs, btrfs) and a seccomp profile that allows statx.");
}
