/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  One wording, one SQLSTATE and one hint for each thing that goes wrong.
 *
 * Methods and the engine return errno values and never raise; here alone they
 * become messages.  The text that on_error => 'report' shows and the text
 * that is raised come from the same function, so they cannot drift apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "base/errors.h"
#include "base/os_limits.h"

/*
 * What is wrong with the arguments of a range; NULL: nothing.  Of more than
 * one, they begin with "range N: ", see iopool_errors_message().
 */
static char *
argument_message(const IopoolFailure *failure)
{
	switch (failure->kind)
	{
		case IOPOOL_FAILURE_NULL_PATH:
			return pstrdup("path must not be null");
		case IOPOOL_FAILURE_NULL_OFFSET:
			return pstrdup("file offset must not be null");
		case IOPOOL_FAILURE_NULL_LENGTH:
			return pstrdup("length must not be null");
		case IOPOOL_FAILURE_NEGATIVE_LENGTH:
			return pstrdup("length must not be negative");
		case IOPOOL_FAILURE_LONG_LENGTH:
			return psprintf("length must not exceed %lld",
							(long long) IOPOOL_MAX_LENGTH);
		case IOPOOL_FAILURE_LARGE_OFFSET:
			return psprintf("file offset plus length must not exceed %lld",
							(long long) PG_INT64_MAX);
		default:
			return NULL;
	}
}

/* What happened to a file, or to a read of it. */
static char *
file_message(const IopoolFailure *failure, const char *path, int64 offset,
			 int64 length)
{
	/* %m in psprintf reads errno */
	errno = failure->errnum;

	switch (failure->kind)
	{
		case IOPOOL_FAILURE_OPEN:
			return psprintf("could not open file \"%s\": %m", path);
		case IOPOOL_FAILURE_STAT:
			return psprintf("could not stat file \"%s\": %m", path);
		case IOPOOL_FAILURE_NOT_REGULAR:
			return psprintf("\"%s\" is not a regular file", path);
		case IOPOOL_FAILURE_NO_DIRECT:
			return psprintf("file \"%s\" does not support direct I/O", path);
		case IOPOOL_FAILURE_REPLACED:
			return psprintf("file \"%s\" was replaced while it was being read",
							path);
		case IOPOOL_FAILURE_NO_END:
			return psprintf(
				"cannot count an offset from the end of file \"%s\", whose size is not known",
				path);
		case IOPOOL_FAILURE_TOO_LARGE:
			if (failure->size == 0)
				return psprintf("file \"%s\" is too large to be read whole",
								path);
			return psprintf(
				"file \"%s\" is too large to be read whole: %lld bytes", path,
				(long long) failure->size);
		case IOPOOL_FAILURE_READ:
			if (length == IOPOOL_WHOLE_FILE)
				return psprintf("could not read file \"%s\": %m", path);
			return psprintf(
				"could not read file \"%s\" at offset %lld, length %lld: %m",
				path, (long long) offset, (long long) length);
		case IOPOOL_FAILURE_OPEN_DIRECTORY:
			return psprintf("could not open directory \"%s\": %m", path);
		case IOPOOL_FAILURE_READ_DIRECTORY:
			return psprintf("could not read directory \"%s\": %m", path);
		case IOPOOL_FAILURE_DIRECTORY:
			return psprintf("could not open directory of file \"%s\": %m",
							path);
		case IOPOOL_FAILURE_DATA_DIRECTORY:
			return psprintf(
				"directory of file \"%s\" overlaps the data directory", path);
		case IOPOOL_FAILURE_OUTSIDE:
			return psprintf(
				"path \"%s\" leads out of its directory, or through too many links",
				path);
		case IOPOOL_FAILURE_KERNEL_FS:
			return psprintf("file \"%s\" is on a file system of the kernel",
							path);
		case IOPOOL_FAILURE_SHARED_MEMORY:
			return psprintf("file \"%s\" is shared memory of a server", path);
		case IOPOOL_FAILURE_NO_OPENAT2:
			return psprintf(
				"could not confine file \"%s\" to its directory: %m", path);
		default:
			break;
	}

	elog(ERROR, "no message for failure kind %d", (int) failure->kind);
}

/*
 * Primary message of a failure, in memory of the current context.
 *
 * path is the path as the user wrote it; offset and length (bytes) are those
 * of the range, and only a failed read names them, unless it is the whole file.
 * ordinal is the place of the range in its call, from 1; 0: it is the only one,
 * or this is not about a range.
 */
char *
iopool_errors_message(const IopoolFailure *failure, const char *path,
					  int64 offset, int64 length, int ordinal)
{
	char *message = argument_message(failure);
	char *with_ordinal;

	if (message == NULL)
		message = file_message(failure, path, offset, length);
	if (ordinal == 0)
		return message;
	with_ordinal = psprintf("range %d: %s", ordinal, message);
	pfree(message);
	return with_ordinal;
}

/*
 * SQLSTATE of a failure.  PostgreSQL's own errcode_for_file_access() knows
 * most; the rest differs between its versions or would be an internal error.
 */
static int
failure_errcode(const IopoolFailure *failure)
{
	switch (failure->kind)
	{
		case IOPOOL_FAILURE_NULL_PATH:
		case IOPOOL_FAILURE_NULL_OFFSET:
		case IOPOOL_FAILURE_NULL_LENGTH:
			return errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED);
		case IOPOOL_FAILURE_NEGATIVE_LENGTH:
		case IOPOOL_FAILURE_LONG_LENGTH:
		case IOPOOL_FAILURE_LARGE_OFFSET:
			return errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		case IOPOOL_FAILURE_NOT_REGULAR:
			return errcode(ERRCODE_WRONG_OBJECT_TYPE);
		case IOPOOL_FAILURE_NO_DIRECT:
		case IOPOOL_FAILURE_NO_END:
			return errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
		case IOPOOL_FAILURE_TOO_LARGE:
			return errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
		case IOPOOL_FAILURE_REPLACED:
			return errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
		case IOPOOL_FAILURE_DATA_DIRECTORY:
		case IOPOOL_FAILURE_OUTSIDE:
		case IOPOOL_FAILURE_KERNEL_FS:
		case IOPOOL_FAILURE_SHARED_MEMORY:
			return errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		case IOPOOL_FAILURE_NO_OPENAT2:
			return errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
		default:
			break;
	}

	switch (failure->errnum)
	{
		case ENOMEM:
			return errcode(ERRCODE_INSUFFICIENT_RESOURCES);
		case ELOOP:
		case ENAMETOOLONG:
			return errcode(ERRCODE_UNDEFINED_FILE);
		case EPERM:
		case EACCES:
		case EROFS:
		case ENOENT:
		case EEXIST:
		case ENOTDIR:
		case EISDIR:
		case ENOSPC:
		case EMFILE:
		case ENFILE:
			errno = failure->errnum;
			return errcode_for_file_access();
		default:
			/* to PostgreSQL, all others would be internal errors */
			return errcode(ERRCODE_IO_ERROR);
	}
}

/* Detail of a failure; 0 where there is nothing to add. */
static int
failure_errdetail(const IopoolFailure *failure, int64 offset, int64 length)
{
	switch (failure->kind)
	{
		case IOPOOL_FAILURE_NEGATIVE_LENGTH:
		case IOPOOL_FAILURE_LONG_LENGTH:
		case IOPOOL_FAILURE_LARGE_OFFSET:
			return errdetail("The length is %lld, at offset %lld.",
							 (long long) length, (long long) offset);
		default:
			return 0;
	}
}

/* Hint of a failure; 0 where there is nothing to advise. */
static int
failure_errhint(const IopoolFailure *failure)
{
	switch (failure->kind)
	{
		case IOPOOL_FAILURE_NO_DIRECT:
			return errhint(
				"Set \"iopool.io_mode\" to \"buffered\" for files of this file system.");
		case IOPOOL_FAILURE_TOO_LARGE:
			return errhint("Read ranges of at most %lld bytes.",
						   (long long) IOPOOL_MAX_LENGTH);
		case IOPOOL_FAILURE_DATA_DIRECTORY:
			return errhint(
				"Only a superuser can allow that, with option \"allow_data_directory\" of the foreign server.");
		case IOPOOL_FAILURE_KERNEL_FS:
			return errhint(
				"Below a directory, nothing is read of proc, sysfs, devtmpfs, cgroup and other file systems that show the kernel.");
		case IOPOOL_FAILURE_OPEN:
			if (failure->errnum == EAGAIN)
				return errhint(
					"Another process holds a lease on the file (fcntl F_SETLEASE, as file servers do) and does not give it up.");
			break;
		case IOPOOL_FAILURE_NO_OPENAT2:
			return errhint(
				"Directories need Linux 5.6 or later, and a seccomp profile that allows openat2.");
		default:
			break;
	}

	switch (failure->errnum)
	{
		case EMFILE:
			return errhint(
				"Raise \"max_files_per_process\" and the open-file limit of the server (ulimit -n), or name fewer files in one call.");
		case ENFILE:
			return errhint("Raise the kernel's limit fs.file-max.");
		case ENOMEM:
			return errhint(
				"Raise the locked-memory limit of the server (ulimit -l), or free memory.");
		default:
			return 0;
	}
}

/* Raise a failure as ERROR; arguments as for iopool_errors_message. */
void
iopool_errors_raise(const IopoolFailure *failure, const char *path,
					int64 offset, int64 length, int ordinal)
{
	char *message =
		iopool_errors_message(failure, path, offset, length, ordinal);

	ereport(ERROR,
			(failure_errcode(failure),
			 errmsg_internal("%s", message),
			 failure_errdetail(failure, offset, length),
			 failure_errhint(failure)));
	pg_unreachable();
}

/*
 * How to make a method work that failed with errnum, as a sentence.
 *
 * errnum 0 means that the method is not compiled in.
 */
char *
iopool_errors_method_hint(IopoolMethodId method, int errnum)
{
	const char *library =
		(method == IOPOOL_METHOD_LIBAIO) ? "libaio" : "liburing";
	int64 disabled;

	if (errnum == 0)
		return psprintf("Build iopool with %s.", library);
	if (method == IOPOOL_METHOD_LIBAIO &&
		(errnum == ENOSYS || errnum == EPERM || errnum == EACCES))
		return pstrdup(
			"Use a kernel with CONFIG_AIO, and a seccomp profile that allows io_setup, io_submit, io_getevents and io_destroy.");

	switch (errnum)
	{
		case EPERM:
		case EACCES:
			if (iopool_os_limits_sysctl("kernel/io_uring_disabled",
										&disabled) &&
				disabled > 0)
				return pstrdup(
					"Enable io_uring with \"sysctl -w kernel.io_uring_disabled=0\".");
			return pstrdup(
				"Allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container or service.");
		case ENOSYS:
			return pstrdup(
				"Use Linux 5.10 or later with io_uring compiled in, and a seccomp profile that does not hide io_uring_setup, io_uring_enter and io_uring_register.");
		case EINVAL:
			return pstrdup(
				"Use Linux 5.10 or later, which can restrict a ring to reading.");
		case ENOMEM:
			return pstrdup(
				"Raise the locked-memory limit of the server (ulimit -l, or LimitMEMLOCK= of its systemd unit), or lower \"iopool.rings\" or \"iopool.ring_entries\".");
		case EMFILE:
			return pstrdup(
				"Raise the open-file limit of the server (ulimit -n, or LimitNOFILE= of its systemd unit) and \"max_files_per_process\", or lower \"iopool.rings\".");
		case ENFILE:
			return pstrdup(
				"Raise the kernel's limit fs.file-max, or lower \"iopool.rings\".");
		case EAGAIN:
			return pstrdup(
				"Raise the kernel's limit fs.aio-max-nr, or lower \"iopool.rings\" or \"iopool.ring_entries\".");
		default:
			return pstrdup("Choose another \"iopool.method\".");
	}
}

/* Raise that the kernel takes no reads of this process for a pool. */
void
iopool_errors_raise_refused(const char *pool, IopoolMethodId method,
							int errnum)
{
	bool is_memory = errnum == ENOMEM || errnum == ENOBUFS;
	bool is_filter = errnum == EPERM || errnum == EACCES || errnum == ENOSYS;

	errno = errnum;
	ereport(ERROR,
			(errcode(is_memory ? ERRCODE_INSUFFICIENT_RESOURCES
							   : ERRCODE_IO_ERROR),
			 errmsg("could not submit reads to pool \"%s\": %m", pool),
			 is_memory || is_filter
				 ? errhint("%s",
						   iopool_errors_method_hint(
							   method, is_memory ? ENOMEM : errnum))
				 : errhint(
					   "Something in this process keeps it from the kernel's interface; a pool of method sync does without.")));
	pg_unreachable();
}

/* SQLSTATE (as MAKE_SQLSTATE) of a method that failed with errnum. */
int
iopool_errors_method_sqlstate(int errnum)
{
	switch (errnum)
	{
		case ENOMEM:
		case EMFILE:
		case ENFILE:
		case EAGAIN:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		default:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
	}
}
