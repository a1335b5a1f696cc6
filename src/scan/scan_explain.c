/*-------------------------------------------------------------------------
 *
 * scan_explain.c
 *	  What EXPLAIN shows of the nodes that read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/ruleutils.h"

#include "base/compat.h"
#include "ring/settings.h"
#include "ring/shmem.h"
#include "scan/scan_internal.h"

/* What an argument of the functions is; NULL: nothing to show. */
static const char *
argument_label(IopoolScanFunction function, int argno)
{
	static const char *const single[] = {"Path", "File Offset", "Length",
										 "Missing OK"};
	static const char *const file[] = {"Path", "Missing OK"};
	static const char *const batch[] = {"Path", "File Offsets", "Lengths"};
	static const char *const list[] = {"Path", "Pattern"};
	static const char *const fetch[] = {"Request", "Maximum Rows"};

	if (iopool_scan_is_fetch(function))
		return argno <= (function == IOPOOL_SCAN_FETCH_NEXT) ? fetch[argno]
															 : NULL;
	if ((function == IOPOOL_SCAN_BATCH_PATHS ||
		 function == IOPOOL_SCAN_FILES) &&
		argno == 0)
		return "Paths";
	if (function == IOPOOL_SCAN_FILES)
		return NULL;
	if (function == IOPOOL_SCAN_LIST)
		return list[argno];
	if (!iopool_scan_is_single(function))
		return argno < (int) lengthof(batch) ? batch[argno] : NULL;
	return iopool_scan_is_file(function) ? file[argno] : single[argno];
}

/* All arguments of the calls that are shown under a label, as texts. */
static List *
texts_of_label(IopoolScanState *state, const char *label, List *context,
			   bool has_prefix)
{
	List *texts = NIL;

	for (int i = 0; i < state->ncalls; i++)
	{
		const IopoolScanCall *call = &state->calls[i];
		int argno = 0;
		ListCell *lc;

		foreach(lc, call->expr->args)
		{
			const char *own = argument_label(call->function, argno++);

			if (own != NULL && strcmp(own, label) == 0)
				texts = lappend(texts,
								deparse_expression(lfirst(lc), context,
												   has_prefix, false));
		}
	}
	return texts;
}

/* The arguments of all calls; those of several, as lists. */
static void
show_arguments(IopoolScanState *state, List *ancestors, ExplainState *es)
{
	static const char *const labels[] = {"Path",		"Paths",
										 "File Offset", "File Offsets",
										 "Length",		"Lengths",
										 "Missing OK",	"Pattern",
										 "Request",		"Maximum Rows"};
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt,
											 &cscan->scan.plan, ancestors);
	bool has_prefix = cscan->custom_plans != NIL || es->verbose;

	for (size_t i = 0; i < lengthof(labels); i++)
	{
		List *texts = texts_of_label(state, labels[i], context, has_prefix);

		if (texts == NIL)
			continue;
		if (state->ncalls == 1)
			ExplainPropertyText(labels[i], linitial(texts), es);
		else
			ExplainPropertyList(labels[i], texts, es);
	}
}

static void
indent(ExplainState *es)
{
	appendStringInfoSpaces(es->str, es->indent * 2);
}

static double
milliseconds(uint64 us)
{
	return us / 1000.0;
}

static void
append_name(StringInfo names, const char *name)
{
	if (names->len > 0)
		appendStringInfoString(names, ", ");
	appendStringInfoString(names, name);
}

/*
 * The pools and modes that ranges were read with.  Those of the session, as
 * long as there are none: a directory may have its own, which is not known
 * before the path is.
 */
void
iopool_scan_explain_pools(const IopoolFeedStats *stats, ExplainState *es)
{
	StringInfoData pools;
	StringInfoData modes;
	uint8 all_modes = 0;

	initStringInfo(&pools);
	initStringInfo(&modes);
	for (size_t i = 0; i < lengthof(stats->io_modes); i++)
	{
		if (stats->io_modes[i] != 0)
			append_name(&pools, iopool_shared->pools[i].name);
		all_modes |= stats->io_modes[i];
	}
	for (int mode = 0; all_modes >> mode != 0; mode++)
	{
		if ((all_modes & (1 << mode)) != 0)
			append_name(&modes, iopool_settings_io_mode_name(mode));
	}
	if (all_modes == 0)
	{
		append_name(&pools, iopool_pool);
		append_name(&modes, iopool_settings_io_mode_name(iopool_io_mode));
	}

	ExplainPropertyText("Pool", pools.data, es);
	ExplainPropertyText("I/O Mode", modes.data, es);
	pfree(pools.data);
	pfree(modes.data);
}

/* What walks have looked at, over all loops. */
void
iopool_scan_explain_walk(const IopoolWalkStats *stats, ExplainState *es)
{
	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyUInteger("Directories", NULL, stats->ndirectories, es);
		ExplainPropertyUInteger("Names", NULL, stats->nnames, es);
		ExplainPropertyUInteger("Files", NULL, stats->nfiles, es);
		return;
	}
	indent(es);
	appendStringInfo(es->str, "Directories: %llu  Names: %llu  Files: %llu\n",
					 (unsigned long long) stats->ndirectories,
					 (unsigned long long) stats->nnames,
					 (unsigned long long) stats->nfiles);
}

/* What has been read, over all loops. */
void
iopool_scan_explain_reads(const IopoolFeedStats *stats, ExplainState *es)
{
	double average = 0;

	if (stats->totals.nreads > 0)
		average = (double) stats->totals.sum_in_flight / stats->totals.nreads;

	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyUInteger("Ranges", NULL, stats->totals.nranges, es);
		ExplainPropertyUInteger("Reads", NULL, stats->totals.nreads, es);
		ExplainPropertyUInteger("Read Bytes", NULL, stats->totals.nbytes, es);
		ExplainPropertyFloat("Average In Flight", NULL, average, 1, es);
		ExplainPropertyInteger("Maximum In Flight", NULL,
							   stats->totals.max_in_flight, es);
		ExplainPropertyUInteger("Ring Taken Over", NULL, stats->nlost, es);
		if (es->timing)
		{
			ExplainPropertyFloat("Ring Wait Time", "ms",
								 milliseconds(stats->ring_wait_us), 3, es);
			ExplainPropertyFloat("Read Wait Time", "ms",
								 milliseconds(stats->wait_us -
											  stats->ring_wait_us),
								 3, es);
		}
		return;
	}

	indent(es);
	appendStringInfo(es->str, "Ranges: %llu  Reads: %llu  Read Bytes: %llu\n",
					 (unsigned long long) stats->totals.nranges,
					 (unsigned long long) stats->totals.nreads,
					 (unsigned long long) stats->totals.nbytes);
	indent(es);
	appendStringInfo(es->str, "In Flight: average=%.1f maximum=%d\n", average,
					 stats->totals.max_in_flight);
	if (stats->nlost > 0)
		ExplainPropertyUInteger("Ring Taken Over", NULL, stats->nlost, es);
	if (es->timing)
	{
		indent(es);
		appendStringInfo(es->str, "Wait Time: ring=%.3f reads=%.3f ms\n",
						 milliseconds(stats->ring_wait_us),
						 milliseconds(stats->wait_us - stats->ring_wait_us));
	}
}

static void
show_stats(const IopoolScanState *state, const IopoolScanStats *stats,
		   ExplainState *es)
{
	if (state->calls[0].function == IOPOOL_SCAN_LIST)
		iopool_scan_explain_walk(&stats->walk, es);
	else
		iopool_scan_explain_reads(&stats->feed, es);
}

/*
 * Go on with what EXPLAIN shows of a worker, which it has begun; what
 * ExplainOpenWorker() does, which extensions cannot call.
 */
static void
open_worker(int n, ExplainState *es)
{
	ExplainWorkersState *workers = es->workers_state;

	workers->prev_str = es->str;
	es->str = &workers->worker_str[n];
	/* below "Worker N: ", or a group in a group */
	es->indent += (es->format == EXPLAIN_FORMAT_TEXT) ? 1 : 2;
	if (es->format == EXPLAIN_FORMAT_JSON || es->format == EXPLAIN_FORMAT_YAML)
		es->grouping_stack =
			lcons_int(workers->worker_state_save[n], es->grouping_stack);
}

/* Leave it as ExplainCloseWorker() does. */
static void
close_worker(int n, ExplainState *es)
{
	ExplainWorkersState *workers = es->workers_state;

	if (es->format == EXPLAIN_FORMAT_JSON || es->format == EXPLAIN_FORMAT_YAML)
	{
		workers->worker_state_save[n] = linitial_int(es->grouping_stack);
		es->grouping_stack = list_delete_first(es->grouping_stack);
	}
	es->indent -= (es->format == EXPLAIN_FORMAT_TEXT) ? 1 : 2;
	es->str = workers->prev_str;
}

/* With VERBOSE, EXPLAIN has begun with each worker that has run the node. */
static void
show_workers(const IopoolScanState *state, const IopoolScanStats *workers,
			 int nworkers, ExplainState *es)
{
	if (!es->verbose || es->workers_state == NULL)
		return;
	nworkers = Min(nworkers, es->workers_state->num_workers);
	for (int i = 0; i < nworkers; i++)
	{
		if (!es->workers_state->worker_inited[i])
			continue;
		open_worker(i, es);
		show_stats(state, &workers[i], es);
		close_worker(i, es);
	}
}

/* ExplainCustomScan, of all kinds of node. */
void
iopool_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	IopoolScanState *state = (IopoolScanState *) node;
	IopoolScanStats stats = state->stats;
	const IopoolScanStats *workers = NULL;
	int nworkers = iopool_scan_workers_get(state, &workers);

	iopool_scan_workers_hide(state);
	for (int i = 0; i < nworkers; i++)
		iopool_scan_add_stats(&stats, &workers[i]);
	if (state->feed != NULL)
		iopool_feed_get_stats(state->feed, &stats.feed);
	if (state->walk != NULL)
		iopool_scan_add_walk(&stats, state->walk);

	show_arguments(state, ancestors, es);
	/* these do not read */
	if (iopool_scan_is_fetch(state->calls[0].function))
		return;
	if (state->calls[0].function != IOPOOL_SCAN_LIST)
		iopool_scan_explain_pools(&stats.feed, es);
	if (!es->analyze)
		return;
	show_stats(state, &stats, es);
	show_workers(state, workers, nworkers, es);
}
