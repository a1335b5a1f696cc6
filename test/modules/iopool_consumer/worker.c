/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  Reads of a background worker: connected to a database or not, and
 *	  without a transaction.
 *
 * It reads as consumer_shmem_read() does, so that others see the bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "consumer.h"

/* What a worker does, in bgw_extra. */
typedef struct WorkerTask
{
	int64 first;
	IopoolApiAccess access;
	IopoolApiIoMode io_mode;
	bool connects;
	bool fails;
	char path[BGW_EXTRALEN - 32];
} WorkerTask;

StaticAssertDecl(sizeof(WorkerTask) <= BGW_EXTRALEN, "a task is too long");

PG_FUNCTION_INFO_V1(consumer_worker);
extern PGDLLEXPORT void consumer_worker_main(Datum arg);

/*
 * Memory contexts are not reset at the end of a process.  iopool's own callback
 * was registered after this one, so it comes first: reads are in by now.
 */
static void
at_exit(int code, Datum arg)
{
	consumer_shmem_give_back();
}

void
consumer_worker_main(Datum arg)
{
	WorkerTask task;

	memcpy(&task, MyBgworkerEntry->bgw_extra, sizeof(task));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(at_exit, (Datum) 0);
	if (task.connects)
		BackgroundWorkerInitializeConnection("postgres", NULL, 0);
	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext,
												"consumer_worker",
												ALLOCSET_DEFAULT_SIZES));
	ereport(LOG,
			(errmsg("consumer_worker: %d bytes",
					consumer_shmem_fill(task.path, task.first, task.access,
										task.io_mode, task.fails))));
}

/* Where this library is, as the function that is called is declared. */
static void
get_library(Oid funcid, char *library)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool isnull;
	Datum probin =
		SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &isnull);

	strlcpy(library, TextDatumGetCString(probin), BGW_MAXLEN);
	ReleaseSysCache(tuple);
}

/*
 * consumer_worker(path text, first int, io_mode text, access text,
 *		connects bool, fails bool) RETURNS void
 *
 * Has a worker read, and waits for its end.
 */
Datum
consumer_worker(PG_FUNCTION_ARGS)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_name = "consumer_worker",
		.bgw_type = "consumer_worker",
		.bgw_function_name = "consumer_worker_main",
		.bgw_notify_pid = MyProcPid,
	};
	WorkerTask task = {
		.first = PG_GETARG_INT32(1),
		.io_mode = consumer_io_mode(text_to_cstring(PG_GETARG_TEXT_PP(2))),
		.access = consumer_access(text_to_cstring(PG_GETARG_TEXT_PP(3))),
		.connects = PG_GETARG_BOOL(4),
		.fails = PG_GETARG_BOOL(5),
	};
	BackgroundWorkerHandle *handle;

	if (strlcpy(task.path, text_to_cstring(PG_GETARG_TEXT_PP(0)),
				sizeof(task.path)) >= sizeof(task.path))
		elog(ERROR, "the path is too long");
	memcpy(worker.bgw_extra, &task, sizeof(task));
	get_library(fcinfo->flinfo->fn_oid, worker.bgw_library_name);
	if (task.connects)
	{
		worker.bgw_flags |= BGWORKER_BACKEND_DATABASE_CONNECTION;
		worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	}
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		elog(ERROR, "no worker is to be had");
	if (WaitForBackgroundWorkerShutdown(handle) != BGWH_STOPPED)
		elog(ERROR, "the worker did not end");
	PG_RETURN_VOID();
}
