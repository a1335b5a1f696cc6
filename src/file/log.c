/*-------------------------------------------------------------------------
 *
 * log.c
 *	  What the server log is told: calls that took long, and, where everything
 *	  is to be logged, each file.
 *
 * With iopool.log_min_duration = 0, files are logged as they are opened, and
 * not by the call that reads from them when it ends: what has been opened has
 * been read by somebody, whatever becomes of the query.
 *
 * Lines are for the server's log only: roles and paths of a SECURITY DEFINER
 * function are not for its caller.  Nothing here raises, but for lack of
 * memory, because files are opened and calls end where nothing may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/deadline.h"
#include "base/role.h"
#include "file/log.h"

static const char *
current_role(MemoryContext cxt)
{
	MemoryContext old_cxt = MemoryContextSwitchTo(cxt);
	const char *role;
	Oid current;
	Oid session;

	iopool_role_get(&current, &session);
	role = iopool_role_name(current);
	MemoryContextSwitchTo(old_cxt);
	return role;
}

/*
 * A call of the current user begins.  What has to be kept until its end is in
 * cxt.
 */
void
iopool_log_begin(IopoolCallLog *log, MemoryContext cxt)
{
	memset(log, 0, sizeof(IopoolCallLog));
	if (iopool_log_min_duration_ms < 0)
		return;
	log->role = current_role(cxt);
	log->start = iopool_deadline_now();
}

/* It names a path. */
void
iopool_log_path(IopoolCallLog *log, MemoryContext cxt, const char *path)
{
	if (log->role != NULL && log->path == NULL)
		log->path = MemoryContextStrdup(cxt, path);
}

/* Did a call that took so long take long? */
bool
iopool_log_wants(const IopoolCallLog *log, int64 us)
{
	return log->role != NULL && iopool_log_min_duration_ms >= 0 &&
		us >= (int64) iopool_log_min_duration_ms * 1000;
}

/* Log a call that took so long. */
void
iopool_log_call(const IopoolCallLog *log, int64 us,
				const IopoolCallReport *report)
{
	iopool_errors_report(
		LOG_SERVER_ONLY,
		(errmsg(
			 "iopool: call %s %.3f ms: role \"%s\", %llu ranges, %llu reads, %llu bytes, first path \"%s\", waited %.3f ms for rings and %.3f ms for reads, pool %s",
			 report->has_ended ? "took" : "ended early after", us / 1000.0,
			 log->role, (unsigned long long) report->nranges,
			 (unsigned long long) report->nreads,
			 (unsigned long long) report->nbytes,
			 log->path != NULL ? log->path : "", report->ring_wait_us / 1000.0,
			 (report->wait_us - report->ring_wait_us) / 1000.0, report->pools),
		 errhidestmt(true)));
}

/*
 * Who the files are logged for that the current user names from here on, in
 * cxt; NULL: they are not.
 */
const char *
iopool_log_file_role(MemoryContext cxt)
{
	return iopool_log_min_duration_ms == 0 ? current_role(cxt) : NULL;
}

/* A file has been opened for somebody, or could not be. */
void
iopool_log_file(const char *role, const char *path,
				const IopoolFailure *failure)
{
	if (failure->kind == IOPOOL_FAILURE_NONE)
		iopool_errors_report(LOG_SERVER_ONLY,
							 (errmsg("iopool: role \"%s\" reads file \"%s\"",
									 role, path),
							  errhidestmt(true)));
	else
		iopool_errors_report(
			LOG_SERVER_ONLY,
			(errmsg("iopool: role \"%s\" cannot read file \"%s\": %s", role,
					path, iopool_errors_message(failure, path, 0, 0, 0)),
			 errhidestmt(true)));
}

/* The files below a directory are listed for somebody, or could not be. */
void
iopool_log_list(const char *role, const char *path,
				const IopoolFailure *failure)
{
	if (role == NULL)
		return;
	if (failure->kind == IOPOOL_FAILURE_NONE)
		iopool_errors_report(
			LOG_SERVER_ONLY,
			(errmsg("iopool: role \"%s\" lists directory \"%s\"", role, path),
			 errhidestmt(true)));
	else
		iopool_errors_report(
			LOG_SERVER_ONLY,
			(errmsg("iopool: role \"%s\" cannot list directory \"%s\": %s",
					role, path, iopool_errors_message(failure, path, 0, 0, 0)),
			 errhidestmt(true)));
}

/* Somebody has named a path that is not for him; role may be NULL. */
void
iopool_log_refused(const char *role, const char *path)
{
	if (role == NULL)
		return;
	iopool_errors_report(LOG_SERVER_ONLY,
						 (errmsg("iopool: role \"%s\" was refused file \"%s\"",
								 role, path),
						  errhidestmt(true)));
}
