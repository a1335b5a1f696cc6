/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  One wording, one SQLSTATE and one hint for each thing that goes wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ERRORS_H
#define IOPOOL_ERRORS_H

#include <errno.h>

#include "miscadmin.h"

#include "base/types.h"

/* What happened to a file or to a range of it. */
typedef enum IopoolFailureKind
{
	IOPOOL_FAILURE_NONE,

	/* of arguments: nothing is opened for the range */
	IOPOOL_FAILURE_NULL_PATH,
	IOPOOL_FAILURE_NULL_OFFSET,
	IOPOOL_FAILURE_NULL_LENGTH,
	IOPOOL_FAILURE_NEGATIVE_LENGTH,
	IOPOOL_FAILURE_LONG_LENGTH,
	IOPOOL_FAILURE_LARGE_OFFSET, /* the range would end beyond all files */

	IOPOOL_FAILURE_OPEN,
	IOPOOL_FAILURE_STAT,
	IOPOOL_FAILURE_NOT_REGULAR,
	IOPOOL_FAILURE_NO_DIRECT,
	IOPOOL_FAILURE_REPLACED,
	IOPOOL_FAILURE_NO_END,	  /* to count an offset from */
	IOPOOL_FAILURE_TOO_LARGE, /* to be read whole */
	IOPOOL_FAILURE_READ,

	/* of directories whose files are listed */
	IOPOOL_FAILURE_OPEN_DIRECTORY,
	IOPOOL_FAILURE_READ_DIRECTORY,

	/* of paths that name a directory */
	IOPOOL_FAILURE_DIRECTORY,	   /* it could not be opened */
	IOPOOL_FAILURE_DATA_DIRECTORY, /* it must not be */
	IOPOOL_FAILURE_OUTSIDE,		   /* the path leads out of it */
	IOPOOL_FAILURE_KERNEL_FS,	   /* to where the kernel shows its state */
	IOPOOL_FAILURE_SHARED_MEMORY,  /* of a server, in /dev/shm */
	IOPOOL_FAILURE_NO_OPENAT2,	   /* the kernel cannot keep the path in it */
} IopoolFailureKind;

typedef struct IopoolFailure
{
	IopoolFailureKind kind;
	int errnum; /* of those that a system call has failed with */
	int64 size; /* of TOO_LARGE: bytes of the file; 0: not known */
} IopoolFailure;

/* Is it that there is no such file? */
static inline bool
iopool_failure_is_missing(const IopoolFailure *failure)
{
	return failure->kind == IOPOOL_FAILURE_OPEN && failure->errnum == ENOENT;
}

/*
 * ereport() of less than an ERROR, where nothing may raise.  By itself it
 * serves interrupts once it has reported; here they wait.
 */
#define iopool_errors_report(elevel, ...) \
	do                                    \
	{                                     \
		HOLD_INTERRUPTS();                \
		ereport(elevel, __VA_ARGS__);     \
		RESUME_INTERRUPTS();              \
	} while (0)

/* errors.c */
extern char *iopool_errors_message(const IopoolFailure *failure,
								   const char *path, int64 offset,
								   int64 length, int ordinal);
extern void iopool_errors_raise(const IopoolFailure *failure, const char *path,
								int64 offset, int64 length, int ordinal)
	__attribute__((noreturn));
extern void iopool_errors_raise_refused(const char *pool,
										IopoolMethodId method, int errnum)
	__attribute__((noreturn));
extern char *iopool_errors_method_hint(IopoolMethodId method, int errnum);
extern int iopool_errors_method_sqlstate(int errnum);

#endif /* IOPOOL_ERRORS_H */
