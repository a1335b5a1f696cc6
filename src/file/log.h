/*-------------------------------------------------------------------------
 *
 * log.h
 *	  What the server log is told: calls that took long, and, where everything
 *	  is to be logged, each file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_LOG_H
#define IOPOOL_LOG_H

#include "base/errors.h"
#include "ring/settings.h"

/* A call that may have to be logged when it ends. */
typedef struct IopoolCallLog
{
	const char *role; /* whose call it is; NULL: it is not to be logged */
	const char *path; /* its first; NULL: it has none */
	int64 start;	  /* us, as of iopool_deadline_now() */
} IopoolCallLog;

/* What it came to. */
typedef struct IopoolCallReport
{
	uint64 nranges;
	uint64 nreads;
	uint64 nbytes;
	uint64 wait_us;		 /* of all waits */
	uint64 ring_wait_us; /* of these, for a ring */
	const char *pools;	 /* names, and methods */
	bool has_ended;		 /* or it failed, or was given up */
} IopoolCallReport;

/* log.c */
extern void iopool_log_begin(IopoolCallLog *log, MemoryContext cxt);
extern void iopool_log_path(IopoolCallLog *log, MemoryContext cxt,
							const char *path);
extern bool iopool_log_wants(const IopoolCallLog *log, int64 us);
extern void iopool_log_call(const IopoolCallLog *log, int64 us,
							const IopoolCallReport *report);
extern const char *iopool_log_file_role(MemoryContext cxt);
extern void iopool_log_file(const char *role, const char *path,
							const IopoolFailure *failure);
extern void iopool_log_list(const char *role, const char *path,
							const IopoolFailure *failure);
extern void iopool_log_refused(const char *role, const char *path);

#endif /* IOPOOL_LOG_H */
