/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Size and layout of shared memory, and the hooks that make it.
 *
 * The request hook and the startup hook both go through layout_shared(), so
 * what is asked for and what is used cannot differ.  The startup hook runs at
 * postmaster start and again after a crash of a backend, when shared memory
 * is made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "ring/method.h"
#include "ring/pool_config.h"
#include "ring/rings.h"
#include "ring/settings.h"
#include "ring/shmem.h"

#define TRANCHE_NAME "iopool"

IopoolShared *iopool_shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Have they been set? */
static bool is_installed = false;

/* Largest shared state of any compiled method: "auto" is not resolved yet. */
static Size
max_method_state(void)
{
	Size size = 0;

	for (int id = IOPOOL_METHOD_IO_URING; id < IOPOOL_NUM_METHODS; id++)
	{
		if (iopool_method_is_compiled(id))
			size = Max(size, iopool_method_get(id)->shared_size);
	}
	return MAXALIGN(size);
}

/* The next part of shared memory, of so many bytes: returns where it begins. */
static Size
take_part(Size *offset, Size size)
{
	Size begin = *offset;

	*offset = add_size(begin, MAXALIGN(size));
	return begin;
}

/* Lay out what belongs to one pool; with base NULL, only count. */
static void
layout_pool(char *base, Size *offset, const IopoolPoolConfig *config,
			IopoolPool *pool)
{
	int nrings = config->nrings;
	Size state_size = max_method_state();
	Size mailbox_size = iopool_mailbox_size(config->entries);
	Size rings_at = take_part(offset, mul_size(sizeof(IopoolRing), nrings));
	Size tags_at =
		take_part(offset, mul_size(sizeof(uint64) * config->entries, nrings));
	Size mailboxes_at = take_part(offset, mul_size(mailbox_size, MaxBackends));
	Size states_at = take_part(offset, mul_size(state_size, nrings));

	if (base == NULL)
		return;

	pool->rings = (IopoolRing *) (base + rings_at);
	pool->mailboxes = base + mailboxes_at;
	pool->mailbox_size = mailbox_size;
	for (int i = 0; i < nrings; i++)
	{
		pool->rings[i].tags =
			(uint64 *) (base + tags_at) + config->entries * i;
		pool->rings[i].method_state = base + states_at + state_size * i;
	}
}

/*
 * Lay out the shared structures from base on; with base NULL, only count.
 * Returns the size in bytes.
 */
static Size
layout_shared(char *base, List *configs)
{
	Size offset = 0;
	Size shared_at = take_part(&offset, sizeof(IopoolShared));
	Size pools_at =
		take_part(&offset, mul_size(sizeof(IopoolPool), list_length(configs)));
	Size waiters_at =
		take_part(&offset, mul_size(sizeof(IopoolWaiter), MaxBackends));
	int poolno = 0;
	ListCell *lc;

	if (base != NULL)
	{
		iopool_shared = (IopoolShared *) (base + shared_at);
		iopool_shared->npools = list_length(configs);
		iopool_shared->pools = (IopoolPool *) (base + pools_at);
		iopool_shared->waiters = (IopoolWaiter *) (base + waiters_at);
	}

	foreach(lc, configs)
	{
		layout_pool(base, &offset, lfirst(lc),
					base != NULL ? &iopool_shared->pools[poolno] : NULL);
		poolno++;
	}
	return offset;
}

static void
init_pool(IopoolPool *pool, const IopoolPoolConfig *config, LWLock *lock)
{
	strlcpy(pool->name, config->name, NAMEDATALEN);
	pool->method = config->method;
	pool->nrings = config->nrings;
	pool->entries = config->entries;
	pool->lock = lock;
	pool->nbroken = 0;
	pg_atomic_init_u32(&pool->nwaiting, 0);
	dlist_init(&pool->waiters);
	iopool_stats_init(&pool->stats);

	pool->free_head = 0;
	for (int i = 0; i < pool->nrings; i++)
	{
		IopoolRing *ring = &pool->rings[i];

		iopool_ring_init(ring, pool->entries);
		if (i + 1 < pool->nrings)
			ring->next_free = i + 1;
	}
	for (int i = 0; i < MaxBackends; i++)
		iopool_mailbox_init(iopool_pool_mailbox(pool, i), pool->entries);
}

/*
 * The configured pools.  Their settings cannot change while the server runs,
 * so they are parsed once, however often a crash makes shared memory anew.
 */
static List *
pool_configs(void)
{
	static List *configs = NIL;

	if (configs == NIL)
	{
		MemoryContext old_cxt = MemoryContextSwitchTo(TopMemoryContext);

		configs = iopool_pool_config_list();
		MemoryContextSwitchTo(old_cxt);
	}
	return configs;
}

static void
iopool_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(layout_shared(NULL, pool_configs()));
	RequestNamedLWLockTranche(TRANCHE_NAME, list_length(pool_configs()));
}

static void
iopool_shmem_startup(void)
{
	List *configs = pool_configs();
	LWLockPadded *locks;
	void *base;
	bool found;
	int poolno = 0;
	ListCell *lc;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	/* after a crash: the shared memory that held these rings is gone */
	iopool_rings_close_old();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	base = ShmemInitStruct("iopool", layout_shared(NULL, configs), &found);
	Assert(!found);
	layout_shared(base, configs);

	locks = GetNamedLWLockTranche(TRANCHE_NAME);
	foreach(lc, configs)
	{
		init_pool(&iopool_shared->pools[poolno], lfirst(lc),
				  &locks[poolno].lock);
		poolno++;
	}
	for (int i = 0; i < MaxBackends; i++)
		iopool_shared->waiters[i].is_queued = false;
	LWLockRelease(AddinShmemInitLock);

	iopool_rings_make(iopool_shared);
}

void
iopool_shmem_install(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = iopool_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = iopool_shmem_startup;
	is_installed = true;
}

/* Raise 55000 unless the pools exist. */
void
iopool_shmem_require(void)
{
	if (iopool_shared != NULL)
		return;
	if (is_installed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("iopool has no shared memory"),
				 errdetail("Another extension has taken shmem_startup_hook and does not pass it on."),
				 errhint("Put iopool last in \"shared_preload_libraries\" and restart the server.")));
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("iopool must be loaded via \"shared_preload_libraries\""),
				 errhint("Add iopool to \"shared_preload_libraries\" in postgresql.conf and restart the server.")));
}

/* The pool of that name, or NULL. */
IopoolPool *
iopool_shmem_lookup_pool(const char *name)
{
	iopool_shmem_require();

	for (int i = 0; i < iopool_shared->npools; i++)
	{
		if (strcmp(iopool_shared->pools[i].name, name) == 0)
			return &iopool_shared->pools[i];
	}
	return NULL;
}

/* The same; raises 42704 when there is none. */
IopoolPool *
iopool_shmem_find_pool(const char *name)
{
	IopoolPool *pool = iopool_shmem_lookup_pool(name);

	if (pool != NULL)
		return pool;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("pool \"%s\" does not exist", name),
			 errhint("Pools are configured by \"iopool.pools\"; view iopool_pools lists them.")));
}
