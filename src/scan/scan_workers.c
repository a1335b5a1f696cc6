/*-------------------------------------------------------------------------
 *
 * scan_workers.c
 *	  What parallel workers did for a node, for EXPLAIN (ANALYZE).
 *
 * Each worker has a slot in the dynamic shared memory of its Gather.  When it
 * ends, it adds what it did to its slot.  The leader takes the slots when it
 * gives the shared memory up, which is when the executor takes its own counts.
 * ShutdownCustomScan would be too early: below a LIMIT, it is called while the
 * workers still run.
 *
 * The executor offers that memory to a custom scan only if its plan is marked
 * as parallel-aware; to nodes of its own (Sort, Memoize), always, for EXPLAIN.
 * Our plans are not marked, because the mark means more than that:
 *
 * - The planner raises an error for a marked node that is not below a Gather.
 *   But a path that is not partial, IopoolScan for instance, may be used in
 *   both places, and below a Gather each worker reads all of it.
 * - EXPLAIN shows the node as "Parallel Custom Scan", as if the workers shared
 *   its rows among them.  It is the outer plan that they share, if any.
 *
 * So a node that is to be explained has one more child, the collector, which
 * is in the executor's tree and not in the plan.  It is marked, and it is never
 * executed: the executor meets it only where it walks through the tree, to set
 * up shared memory and to collect its counts.  Its plan_node_id is that of its
 * node, whose key in the shared memory is free; what the executor counts for
 * it, which is nothing, is added to the counts of the node.  EXPLAIN does not
 * see it (iopool_scan_workers_hide()).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "executor/instrument.h"
#include "storage/dsm.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

/* In dynamic shared memory; a slot is written by one worker at a time. */
typedef struct SharedSlots
{
	int nworkers;
	IopoolScanStats slots[FLEXIBLE_ARRAY_MEMBER];
} SharedSlots;

/* The collector. */
struct IopoolScanWorkers
{
	CustomScanState css;
	SharedSlots *shared; /* NULL: there are no workers, or none any more */

	/* of the leader */
	dsm_segment *seg; /* that shared is in, while it may be looked at */
	MemoryContextCallback at_reset; /* of what this is in */
	int nworkers;
	IopoolScanStats *slots; /* [nworkers], what they did */
};

/* Add what one did to what others did. */
void
iopool_scan_add_stats(IopoolScanStats *stats, const IopoolScanStats *more)
{
	iopool_feed_add_stats(&stats->feed, &more->feed);
	stats->walk.ndirectories += more->walk.ndirectories;
	stats->walk.nnames += more->walk.nnames;
	stats->walk.nfiles += more->walk.nfiles;
}

/*
 * The leader gives up the shared memory, when its workers have ended or have
 * been told to.  Must not raise.
 */
static void
take_slots(dsm_segment *seg, Datum arg)
{
	IopoolScanWorkers *workers = (IopoolScanWorkers *) DatumGetPointer(arg);

	for (int i = 0; i < workers->nworkers; i++)
		iopool_scan_add_stats(&workers->slots[i], &workers->shared->slots[i]);
	workers->shared = NULL;
	workers->seg = NULL;
}

/*
 * The node goes.  After an error the shared memory goes first, as xact.c has
 * it; if it should not, nothing is to be written to what is gone.
 */
static void
collector_at_reset(void *arg)
{
	IopoolScanWorkers *workers = arg;

	if (workers->seg != NULL)
		cancel_on_dsm_detach(workers->seg, take_slots,
							 PointerGetDatum(workers));
}

static Size
collector_estimate(CustomScanState *node, ParallelContext *pcxt)
{
	return add_size(offsetof(SharedSlots, slots),
					mul_size(sizeof(IopoolScanStats), pcxt->nworkers));
}

static void
collector_begin_leader(CustomScanState *node, ParallelContext *pcxt,
					   void *coordinate)
{
	IopoolScanWorkers *workers = (IopoolScanWorkers *) node;
	MemoryContext cxt = node->ss.ps.state->es_query_cxt;
	SharedSlots *shared = coordinate;

	/* a sub-select may be met twice; its first place is what workers find */
	if (pcxt->seg == NULL || workers->seg != NULL)
		return;

	/* a Gather that begins anew has as many as before */
	if (workers->slots == NULL)
	{
		workers->slots =
			MemoryContextAllocZero(cxt,
								   sizeof(IopoolScanStats) * pcxt->nworkers);
		workers->nworkers = pcxt->nworkers;
		workers->at_reset.func = collector_at_reset;
		workers->at_reset.arg = workers;
		MemoryContextRegisterResetCallback(cxt, &workers->at_reset);
	}
	Assert(workers->nworkers == pcxt->nworkers);

	memset(shared, 0, collector_estimate(node, pcxt));
	shared->nworkers = pcxt->nworkers;
	workers->shared = shared;
	on_dsm_detach(pcxt->seg, take_slots, PointerGetDatum(workers));
	workers->seg = pcxt->seg;
}

/* Workers are started again: what they do is added to the slots. */
static void
collector_begin_again(CustomScanState *node, ParallelContext *pcxt,
					  void *coordinate)
{
}

static void
collector_begin_worker(CustomScanState *node, shm_toc *toc, void *coordinate)
{
	((IopoolScanWorkers *) node)->shared = coordinate;
}

static const CustomExecMethods collector_methods = {
	.CustomName = "IopoolScanWorkers",
	.EstimateDSMCustomScan = collector_estimate,
	.InitializeDSMCustomScan = collector_begin_leader,
	.ReInitializeDSMCustomScan = collector_begin_again,
	.InitializeWorkerCustomScan = collector_begin_worker,
};

/*
 * The node begins: give it a collector, if somebody will want to know.  Leader
 * and workers agree on that.
 */
void
iopool_scan_workers_begin(IopoolScanState *state, EState *estate)
{
	IopoolScanWorkers *workers;
	CustomScan *plan;

	if (estate->es_instrument == 0)
		return;

	plan = makeNode(CustomScan);
	plan->scan.plan.plan_node_id = state->css.ss.ps.plan->plan_node_id;
	plan->scan.plan.parallel_aware = true;
	plan->scan.plan.parallel_safe = true;
	plan->methods = &iopool_scan_methods;

	workers = palloc0(sizeof(IopoolScanWorkers));
	NodeSetTag(workers, T_CustomScanState);
	workers->css.methods = &collector_methods;
	workers->css.ss.ps.plan = &plan->scan.plan;
	workers->css.ss.ps.state = estate;
	workers->css.ss.ps.instrument =
		iopool_instr_alloc_node(estate->es_instrument);

	state->workers = workers;
	state->css.custom_ps = lappend(state->css.custom_ps, workers);
}

/* The node ends; if this is a worker, say what it did. */
void
iopool_scan_workers_report(IopoolScanState *state)
{
	if (!IsParallelWorker() || state->workers == NULL ||
		state->workers->shared == NULL)
		return;
	Assert(ParallelWorkerNumber < state->workers->shared->nworkers);
	iopool_scan_add_stats(&state->workers->shared->slots[ParallelWorkerNumber],
						  &state->stats);
}

/* The query has run, and EXPLAIN is about to show the node's children. */
void
iopool_scan_workers_hide(IopoolScanState *state)
{
	state->css.custom_ps =
		list_delete_ptr(state->css.custom_ps, state->workers);
}

/* How many workers there were, and what each of them did. */
int
iopool_scan_workers_get(const IopoolScanState *state,
						const IopoolScanStats **slots)
{
	if (state->workers == NULL)
		return 0;
	*slots = state->workers->slots;
	return state->workers->nworkers;
}
