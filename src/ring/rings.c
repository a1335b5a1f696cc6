/*-------------------------------------------------------------------------
 *
 * rings.c
 *	  The postmaster's side of the rings: choosing the method, making,
 *	  sealing and closing.
 *
 * The postmaster keeps a private copy of each ring that it made.  After a
 * crash of a backend it closes the old rings from these copies: shared memory
 * cannot be trusted then, and is gone anyway.  The kernel frees the memory of
 * a ring some time after its last descriptor is closed, so ENOMEM is retried
 * for a while.
 *
 * XXX The logging collector survives a crash restart and keeps the
 * descriptors that it inherited, so with it each crash restart leaves the
 * memory of one set of rings in use until the server is restarted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/os_limits.h"
#include "ring/method.h"
#include "ring/rings.h"
#include "ring/settings.h"

/*
 * How long ENOMEM is retried.  Memory of closed rings comes back within
 * 0.3 s on an idle machine; a named method waits somewhat longer, and after a
 * crash, when giving up costs capacity, much longer.
 */
#define START_RETRY_MS	 2000
#define RESTART_RETRY_MS 10000
#define RETRY_PAUSE_US	 20000

typedef struct LocalRing
{
	const IopoolMethod *method;
	void *state; /* private copy of the shared state */
} LocalRing;

/* Private to the postmaster (children inherit a copy that they never use). */
static LocalRing *local_rings = NULL;
static int nlocal_rings = 0;

/* What "auto" chose at the first start; it stays so after crashes. */
static IopoolMethodId auto_method = IOPOOL_METHOD_AUTO;
static char *auto_reason = NULL;

/* Close the youngest rings, down to nleft, from the private copies. */
static void
close_rings(int nleft)
{
	while (nlocal_rings > nleft)
	{
		LocalRing *local = &local_rings[--nlocal_rings];

		local->method->close_ring(local->state);
		pfree(local->state);
	}
}

/* Close the rings of the shared memory before this one, if any. */
void
iopool_rings_close_old(void)
{
	close_rings(0);
}

static void
remember_ring(const IopoolMethod *method, const void *state)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);

	if (local_rings == NULL)
		local_rings = palloc(sizeof(LocalRing));
	else
		local_rings =
			repalloc(local_rings, sizeof(LocalRing) * (nlocal_rings + 1));
	local_rings[nlocal_rings].method = method;
	local_rings[nlocal_rings].state = palloc(method->shared_size);
	memcpy(local_rings[nlocal_rings].state, state, method->shared_size);
	nlocal_rings++;

	MemoryContextSwitchTo(oldcontext);
}

/* Milliseconds since start. */
static double
elapsed_ms(instr_time start)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* Make one ring, retrying ENOMEM until retry_ms after start. */
static int
make_ring(const IopoolMethod *method, void *state, int entries,
		  instr_time start, int retry_ms)
{
	for (;;)
	{
		int rc = method->make_ring(state, entries);

		if (rc != -ENOMEM || elapsed_ms(start) >= retry_ms)
			return rc;
		pg_usleep(RETRY_PAUSE_US);
	}
}

/*
 * Can this method serve the pools configured with `want`?  0 or -errno;
 * called at the first start only.
 */
static int
check_method(IopoolShared *shared, IopoolMethodId want, IopoolMethodId id)
{
	const IopoolMethod *method = iopool_method_get(id);
	int nrings = 0;
	int64 nentries = 0;

	for (int p = 0; p < shared->npools; p++)
	{
		IopoolPool *pool = &shared->pools[p];
		int rc;

		if (pool->method != want)
			continue;
		nrings += pool->nrings;
		nentries += (int64) pool->nrings * pool->entries;

		/* ENOMEM may pass, see make_ring() */
		rc = method->probe(pool->entries);
		if (rc != 0 && rc != -ENOMEM)
			return rc;
	}

	if (id == IOPOOL_METHOD_LIBAIO &&
		nentries > iopool_os_limits_free_aio_events())
		return -EAGAIN;

	/* else core would end the start with a message that names no rings */
	if (method->shared_size > 0 &&
		!iopool_os_limits_files_suffice(nlocal_rings, nrings))
		return -EMFILE;
	return 0;
}

/* A ring that could not be made again after a crash. */
static void
mark_broken(IopoolPool *pool, IopoolRing *ring, IopoolMethodId id, int errnum)
{
	pg_atomic_write_u64(&ring->word, iopool_ring_word(0, IOPOOL_RING_BROKEN));
	pool->nbroken++;
	errno = errnum;
	ereport(LOG,
			(errmsg("iopool: could not make ring %d of pool \"%s\" again: %m",
					(int) (ring - pool->rings), pool->name),
			 errhint("%s", iopool_errors_method_hint(id, errnum))));
}

/*
 * Make the rings of one pool, and its free list.  At the first start returns
 * -errno at the first ring that fails; after a crash such rings are broken,
 * alone.
 */
static int
make_pool(IopoolPool *pool, IopoolMethodId id, instr_time start,
		  bool is_restart)
{
	const IopoolMethod *method = iopool_method_get(id);
	bool has_rings = method->shared_size > 0;

	pool->free_head = -1;
	for (int i = pool->nrings - 1; i >= 0; i--)
	{
		IopoolRing *ring = &pool->rings[i];
		int rc = 0;

		if (has_rings)
			rc = make_ring(method, ring->method_state, pool->entries, start,
						   is_restart ? RESTART_RETRY_MS : START_RETRY_MS);
		if (rc != 0 && !is_restart)
			return rc;
		if (has_rings && is_restart)
			iopool_stats_add(&pool->stats, IOPOOL_COUNTER_RESETS, 1);

		ring->next_free = -1;
		if (rc != 0)
		{
			mark_broken(pool, ring, id, -rc);
			continue;
		}
		if (has_rings)
			remember_ring(method, ring->method_state);
		ring->next_free = pool->free_head;
		pool->free_head = i;
	}
	return 0;
}

/*
 * Make the rings of all pools that are configured with method `want`, and
 * give them the method `id`.  Returns 0, or, at the first start only, -errno
 * with nothing made.
 */
static int
make_pools(IopoolShared *shared, IopoolMethodId want, IopoolMethodId id,
		   bool is_restart)
{
	int nbefore = nlocal_rings;
	int rc = 0;
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	if (!is_restart)
		rc = check_method(shared, want, id);

	for (int p = 0; p < shared->npools && rc == 0; p++)
	{
		if (shared->pools[p].method == want)
			rc = make_pool(&shared->pools[p], id, start, is_restart);
	}
	if (rc != 0)
	{
		close_rings(nbefore);
		return rc;
	}

	for (int p = 0; p < shared->npools; p++)
	{
		if (shared->pools[p].method == want)
			shared->pools[p].method = id;
	}
	return 0;
}

static bool
has_pool_with(IopoolShared *shared, IopoolMethodId method)
{
	for (int p = 0; p < shared->npools; p++)
	{
		if (shared->pools[p].method == method)
			return true;
	}
	return false;
}

/* Why a method cannot be had, for the log and for iopool_info(). */
static char *
failure_reason(IopoolMethodId id, int errnum)
{
	if (errnum == 0)
		return psprintf("%s is not compiled in; to use it: %s",
						iopool_method_name(id),
						iopool_errors_method_hint(id, 0));
	return psprintf("%s failed with errno %d (%s); to use it: %s",
					iopool_method_name(id), errnum, strerror(errnum),
					iopool_errors_method_hint(id, errnum));
}

/*
 * Resolve "auto": the best method that works, and one LOG line that says
 * which and why.  sync always works, so this cannot stop the server.
 */
static void
choose_auto(IopoolShared *shared)
{
	StringInfoData reason;

	initStringInfo(&reason);

	for (IopoolMethodId id = IOPOOL_METHOD_IO_URING; id < IOPOOL_NUM_METHODS;
		 id++)
	{
		int rc = 0;

		if (iopool_method_is_compiled(id) &&
			(rc = make_pools(shared, IOPOOL_METHOD_AUTO, id, false)) == 0)
		{
			auto_method = id;
			break;
		}
		appendStringInfo(&reason, "%s%s", reason.len > 0 ? " " : "",
						 failure_reason(id, -rc));
	}

	if (reason.len == 0)
		appendStringInfoString(&reason,
							   "it is the best method and works here");

	auto_reason = MemoryContextStrdup(TopMemoryContext, reason.data);
	ereport(LOG,
			(errmsg("iopool: method auto chose %s: %s",
					iopool_method_name(auto_method), auto_reason)));
}

/*
 * Pools that name a method get it, or the server does not start.  settings.c
 * accepts compiled methods only.
 */
static void
make_named(IopoolShared *shared, IopoolMethodId id)
{
	int rc = make_pools(shared, id, id, false);

	if (rc == 0)
		return;

	errno = -rc;
	ereport(FATAL,
			(errcode(iopool_errors_method_sqlstate(-rc)),
			 errmsg("iopool: method \"%s\" does not work here: %m",
					iopool_method_name(id)),
			 errhint("%s", iopool_errors_method_hint(id, -rc))));
}

/*
 * Make the rings of all pools, in the postmaster.  On the first start a
 * failure of a named method ends the server; after a crash the rings that
 * cannot be had are broken, alone.
 */
void
iopool_rings_make(IopoolShared *shared)
{
	static bool has_started = false;

	if (has_started)
	{
		/* named ones first: the others take the name of their method here */
		for (IopoolMethodId id = IOPOOL_METHOD_IO_URING;
			 id < IOPOOL_NUM_METHODS; id++)
		{
			if (has_pool_with(shared, id))
				(void) make_pools(shared, id, id, true);
		}
		if (has_pool_with(shared, IOPOOL_METHOD_AUTO))
			(void) make_pools(shared, IOPOOL_METHOD_AUTO, auto_method, true);
	}
	else
	{
		for (IopoolMethodId id = IOPOOL_METHOD_IO_URING;
			 id < IOPOOL_NUM_METHODS; id++)
		{
			if (has_pool_with(shared, id))
				make_named(shared, id);
		}
		if (has_pool_with(shared, IOPOOL_METHOD_AUTO))
			choose_auto(shared);
		has_started = true;
	}

	strlcpy(shared->method_reason, auto_reason ? auto_reason : "configured",
			sizeof(shared->method_reason));
}
