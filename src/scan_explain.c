/*-------------------------------------------------------------------------
 *
 * scan_explain.c
 *	  What EXPLAIN shows of the nodes that read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/ruleutils.h"

#include "compat.h"
#include "guc.h"
#include "scan.h"

/* What the first three arguments of the functions are. */
static const char *
argument_label(IopoolScanFunction function, int argno)
{
	switch (argno)
	{
		case 0:
			return function == IOPOOL_SCAN_BATCH_PATHS ? "Paths" : "Path";
		case 1:
			return function == IOPOOL_SCAN_READ ? "File Offset"
												: "File Offsets";
		default:
			return function == IOPOOL_SCAN_READ ||
					function == IOPOOL_SCAN_BATCH_LENGTH
				? "Length"
				: "Lengths";
	}
}

static void
show_arguments(IopoolScanState *state, List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) state->css.ss.ps.plan;
	FuncExpr *call = linitial_node(FuncExpr, cscan->custom_exprs);
	List *context = set_deparse_context_plan(es->deparse_cxt,
											 &cscan->scan.plan, ancestors);
	bool has_prefix = cscan->custom_plans != NIL || es->verbose;

	for (int i = 0; i < 3; i++)
		ExplainPropertyText(argument_label(state->function, i),
							deparse_expression(list_nth(call->args, i),
											   context, has_prefix, false),
							es);
}

static void
indent(ExplainState *es)
{
	appendStringInfoSpaces(es->str, es->indent * 2);
}

static double
ms(uint64 us)
{
	return us / 1000.0;
}

/* What has been done by this process, over all loops. */
static void
show_stats(IopoolScanState *state, ExplainState *es)
{
	IopoolFeedStats stats = state->stats;
	double average = 0;

	if (state->feed != NULL)
		iopool_feed_get_stats(state->feed, &stats);
	if (stats.totals.nreads > 0)
		average = (double) stats.totals.sum_in_flight / stats.totals.nreads;

	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyUInteger("Ranges", NULL, stats.totals.nranges, es);
		ExplainPropertyUInteger("Reads", NULL, stats.totals.nreads, es);
		ExplainPropertyUInteger("Read Bytes", NULL, stats.totals.nbytes, es);
		ExplainPropertyFloat("Average In Flight", NULL, average, 1, es);
		ExplainPropertyInteger("Maximum In Flight", NULL,
							   stats.totals.max_in_flight, es);
		if (es->timing)
		{
			ExplainPropertyFloat("Ring Wait Time", "ms",
								 ms(stats.ring_wait_us), 3, es);
			ExplainPropertyFloat("Read Wait Time", "ms",
								 ms(stats.wait_us - stats.ring_wait_us), 3,
								 es);
		}
		return;
	}

	indent(es);
	appendStringInfo(es->str, "Ranges: %llu  Reads: %llu  Read Bytes: %llu\n",
					 (unsigned long long) stats.totals.nranges,
					 (unsigned long long) stats.totals.nreads,
					 (unsigned long long) stats.totals.nbytes);
	indent(es);
	appendStringInfo(es->str, "In Flight: average=%.1f maximum=%d\n", average,
					 stats.totals.max_in_flight);
	if (es->timing)
	{
		indent(es);
		appendStringInfo(es->str, "Wait Time: ring=%.3f reads=%.3f ms\n",
						 ms(stats.ring_wait_us),
						 ms(stats.wait_us - stats.ring_wait_us));
	}
}

/*
 * Pool and mode are those of the session: a directory may have its own, which
 * is not known before the path is.
 */
void
iopool_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	IopoolScanState *state = (IopoolScanState *) node;

	show_arguments(state, ancestors, es);
	ExplainPropertyText("Pool", iopool_pool, es);
	ExplainPropertyText("I/O Mode", iopool_guc_io_mode_name(iopool_io_mode),
						es);
	if (es->analyze)
		show_stats(state, es);
}
