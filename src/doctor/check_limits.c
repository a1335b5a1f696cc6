/*-------------------------------------------------------------------------
 *
 * check_limits.c
 *	  The doctor on limits: locked memory, open files, events of libaio.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "port/pg_bitutils.h"
#include "storage/fd.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/os_limits.h"
#include "doctor/check_internal.h"
#include "ring/pool_config.h"
#include "ring/settings.h"
#include "ring/shmem.h"

/* A call may have a third of the server's files open, see fd.c. */
#define SHARE_OF_FILES 3

/* Fewer files than this at a time, and calls on many files are slow. */
#define FEW_FILES 100

/* Fewer descriptors than fd.c keeps back, and opening anything may fail. */
#define LEAST_FILES 10

#define MEGABYTE (1024 * 1024)

/* Lines that set a limit of the server to a value, after some advice. */
static char *
limit_hint(const char *advice, const char *unit_key, const char *limits_key,
		   uint64 unit_value, uint64 limits_value)
{
	struct passwd *user = getpwuid(geteuid());

	return psprintf(
		"%s\nIn a drop-in (systemctl edit) of the systemd unit:\n[Service]\n%s=%llu\nElse in /etc/security/limits.d/iopool.conf:\n%s - %s %llu",
		advice, unit_key, (unsigned long long) unit_value,
		user ? user->pw_name : "postgres", limits_key,
		(unsigned long long) limits_value);
}

/* Bytes of the rings of all pools that want io_uring. */
static uint64
wanted_memory(IopoolCheck *check)
{
	uint64 bytes = 0;
	ListCell *lc;

	foreach(lc, check->configs)
	{
		IopoolPoolConfig *config = lfirst(lc);

		if (config->method == IOPOOL_METHOD_AUTO ||
			config->method == IOPOOL_METHOD_IO_URING)
			bytes += (uint64) config->nrings *
				iopool_method_io_uring_memory(config->entries);
	}
	return bytes;
}

/*
 * Room for two sets of rings: at a restart, the memory of the old ones is
 * given back some time after the new ones are made.
 */
static char *
memlock_hint(uint64 needed)
{
	uint64 value = Max(pg_nextpower2_64(2 * needed), 8 * MEGABYTE);

	return limit_hint(iopool_errors_method_hint(IOPOOL_METHOD_IO_URING,
												ENOMEM),
					  "LimitMEMLOCK", "memlock", value, value / 1024);
}

/* Is locked memory in the way of the rings?  Advice, or NULL: it is not. */
const char *
iopool_check_memlock_hint(IopoolCheck *check)
{
	uint64 needed = wanted_memory(check);
	struct rlimit limit;

	if (!iopool_os_limits_charges_rings() ||
		getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || needed <= limit.rlim_cur)
		return NULL;
	return memlock_hint(needed);
}

/* Memory that rings need, against the limit that they are charged to. */
void
iopool_check_memlock(IopoolCheck *check)
{
	IopoolCheckStatus demand =
		(IopoolCheckStatus) check->demand[IOPOOL_METHOD_IO_URING];
	IopoolCheckStatus status = IOPOOL_CHECK_OK;
	uint64 needed = wanted_memory(check);
	struct rlimit limit;
	char *detail;

	if (demand == IOPOOL_CHECK_OK || getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
	{
		iopool_check_put(check, "memlock", IOPOOL_CHECK_OK,
						 "no pool asks for io_uring", NULL);
		return;
	}

	detail = psprintf(
		"rings need %llu bytes, the limit is %s (hard limit %s) for all processes of user id %d together%s",
		(unsigned long long) needed, iopool_os_limits_text(limit.rlim_cur),
		iopool_os_limits_text(limit.rlim_max), (int) geteuid(),
		iopool_os_limits_charges_rings()
			? ""
			: ", and rings are not charged to it here");
	if (iopool_os_limits_charges_rings())
	{
		if (needed > limit.rlim_cur)
			status = demand;
		else if (2 * needed > limit.rlim_cur)
		{
			status = IOPOOL_CHECK_WARN;
			detail = psprintf(
				"%s; a restart may have to wait for memory of the old rings",
				detail);
		}
		if (check->uring.setup == -ENOMEM || check->uring.seal == -ENOMEM)
		{
			status = Max(status, IOPOOL_CHECK_WARN);
			detail = psprintf("%s; nothing of it is left now", detail);
		}
	}
	iopool_check_put(check, "memlock", status, detail, memlock_hint(needed));
}

static char *
nofile_hint(int64 nrings)
{
	uint64 value =
		Max(pg_nextpower2_64(2 * (nrings + IOPOOL_OTHER_FILES)), 4096);

	return limit_hint(
		psprintf(
			"Raise the open-file limit of the server, and \"max_files_per_process\" (ALTER SYSTEM SET max_files_per_process = %lld), then restart it.",
			(long long) Max(nrings + 1000, max_files_per_process)),
		"LimitNOFILE", "nofile", value, value);
}

/*
 * Rings of pools that want io_uring, and how many of them are not there: the
 * pools of "auto" that had to take another method.
 */
static int
count_missing_rings(IopoolCheck *check, int *nwanted)
{
	int nmissing = 0;
	int poolno = 0;
	ListCell *lc;

	*nwanted = 0;
	foreach(lc, check->configs)
	{
		IopoolPoolConfig *config = lfirst(lc);
		IopoolMethodId taken = iopool_shared->pools[poolno++].method;

		if (config->method != IOPOOL_METHOD_AUTO &&
			config->method != IOPOOL_METHOD_IO_URING)
			continue;
		*nwanted += config->nrings;
		if (taken != IOPOOL_METHOD_IO_URING)
			nmissing += config->nrings;
	}
	return nmissing;
}

/* Are open files in the way of the rings?  Advice, or NULL: they are not. */
const char *
iopool_check_nofile_hint(IopoolCheck *check)
{
	int nwanted;
	int nmissing = count_missing_rings(check, &nwanted);

	if (iopool_os_limits_files_suffice(nwanted - nmissing, nmissing))
		return NULL;
	return nofile_hint(nwanted);
}

/* Descriptors: for the rings, which every backend inherits, and for reading. */
void
iopool_check_nofile(IopoolCheck *check)
{
	IopoolCheckStatus status = IOPOOL_CHECK_OK;
	int nwanted;
	int nmissing = count_missing_rings(check, &nwanted);
	int nfree = iopool_os_limits_free_files();
	int per_call = Min(max_safe_fds / SHARE_OF_FILES, nfree);
	struct rlimit limit;
	char *detail;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = limit.rlim_max = RLIM_INFINITY;
	detail = psprintf(
		"a call can have %d files open, beside %d rings; the limit is %s (hard limit %s), max_files_per_process is %d",
		per_call, nwanted - nmissing, iopool_os_limits_text(limit.rlim_cur),
		iopool_os_limits_text(limit.rlim_max), max_files_per_process);

	if (nfree < LEAST_FILES)
	{
		status = IOPOOL_CHECK_FAIL;
		detail = psprintf("%s; only %d more can be opened", detail, nfree);
	}
	else if (nmissing > 0 &&
			 !iopool_os_limits_files_suffice(nwanted - nmissing, nmissing))
	{
		status = IOPOOL_CHECK_WARN;
		detail = psprintf(
			"%s; %d rings of io_uring would not leave the %d files that a server needs",
			detail, nwanted, IOPOOL_OTHER_FILES);
	}
	else if (per_call < FEW_FILES)
		status = IOPOOL_CHECK_WARN;

	iopool_check_put(check, "nofile", status, detail, nofile_hint(nwanted));
}

/* Events that our own processes may hold: those of rings that are lent. */
static int64
own_aio_events(void)
{
	int64 nevents = 0;

	for (int p = 0; p < iopool_shared->npools; p++)
	{
		IopoolPool *pool = &iopool_shared->pools[p];

		if (pool->method != IOPOOL_METHOD_LIBAIO)
			continue;
		LWLockAcquire(pool->lock, LW_SHARED);
		for (int i = 0; i < pool->nrings; i++)
		{
			if (iopool_ring_is_leased(&pool->rings[i]))
				nevents += pool->entries;
		}
		LWLockRelease(pool->lock);
	}
	return nevents;
}

/* Events of the rings of all pools that want libaio, or did not get better. */
static int64
wanted_aio_events(IopoolCheck *check)
{
	int64 nevents = 0;
	int poolno = 0;
	ListCell *lc;

	foreach(lc, check->configs)
	{
		IopoolPoolConfig *config = lfirst(lc);
		IopoolMethodId taken = iopool_shared->pools[poolno++].method;

		if (config->method == IOPOOL_METHOD_LIBAIO ||
			(config->method == IOPOOL_METHOD_AUTO &&
			 taken >= IOPOOL_METHOD_LIBAIO))
			nevents += (int64) config->nrings * config->entries;
	}
	return nevents;
}

/* Events that contexts of libaio may need, against those that are left. */
void
iopool_check_aio_max_nr(IopoolCheck *check)
{
	IopoolCheckStatus demand =
		(IopoolCheckStatus) check->demand[IOPOOL_METHOD_LIBAIO];
	int64 nfree = iopool_os_limits_free_aio_events();
	int64 needed;
	int64 max_nr = 0;
	int64 nr = 0;
	bool suffices;
	char *detail;
	char *hint;

	if (demand == IOPOOL_CHECK_OK || nfree == PG_INT64_MAX)
	{
		iopool_check_put(check, "aio_max_nr", IOPOOL_CHECK_OK,
						 demand == IOPOOL_CHECK_OK ? "no pool asks for libaio"
												   : "there is no limit",
						 NULL);
		return;
	}

	needed = wanted_aio_events(check);
	(void) iopool_os_limits_sysctl("fs/aio-max-nr", &max_nr);
	(void) iopool_os_limits_sysctl("fs/aio-nr", &nr);
	suffices = needed <= nfree + Min(own_aio_events(), nr);

	detail = psprintf(
		"rings of libaio need up to %lld events; fs.aio-nr is %lld of fs.aio-max-nr = %lld",
		(long long) needed, (long long) nr, (long long) max_nr);
	max_nr = (int64) pg_nextpower2_64(max_nr + needed);
	hint = psprintf(
		"sysctl -w fs.aio-max-nr=%lld\nTo keep it so: echo 'fs.aio-max-nr = %lld' >/etc/sysctl.d/60-iopool.conf",
		(long long) max_nr, (long long) max_nr);
	iopool_check_put(check, "aio_max_nr", suffices ? IOPOOL_CHECK_OK : demand,
					 detail, hint);
}
