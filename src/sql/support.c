/*-------------------------------------------------------------------------
 *
 * support.c
 *	  Planner support: how many rows iopool_read_batch() and iopool_read_files()
 *	  return, and what reading costs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "utils/lsyscache.h"

#include "base/compat.h"

IOPOOL_FUNCTION(iopool_batch_support);

/*
 * The array with one element for each range: file_offsets, in every form of the
 * functions, or paths of whole files.
 */
#define OFFSETS_ARGUMENT 1
#define FILES_ARGUMENT	 0

/*
 * A batch keeps the disk busy, so one of its ranges costs much less than a
 * page that is waited for alone.
 */
#define RANGE_COST_SHARE 0.25

static double
estimate_ranges(PlannerInfo *root, Node *node)
{
	List *args;
	Node *offsets;

	if (node == NULL || !IsA(node, FuncExpr))
		return -1;
	args = ((FuncExpr *) node)->args;
	if (list_length(args) <= OFFSETS_ARGUMENT)
		return -1;

	/* a cast of the elements, as of ARRAY[1, 2] to bigint[], keeps the count */
	offsets = list_nth(args, OFFSETS_ARGUMENT);
	if (exprType(offsets) != INT8ARRAYOID)
		offsets = list_nth(args, FILES_ARGUMENT);
	while (IsA(offsets, ArrayCoerceExpr))
		offsets = (Node *) ((ArrayCoerceExpr *) offsets)->arg;

	return iopool_array_length_estimate(root, offsets);
}

Datum
iopool_batch_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);
	Node *result = NULL;

	if (IsA(request, SupportRequestRows))
	{
		SupportRequestRows *req = (SupportRequestRows *) request;
		double nranges = estimate_ranges(req->root, req->node);

		if (nranges >= 0 && get_func_retset(req->funcid))
		{
			req->rows = nranges;
			result = request;
		}
	}
	else if (IsA(request, SupportRequestCost))
	{
		SupportRequestCost *req = (SupportRequestCost *) request;
		double nranges = estimate_ranges(req->root, req->node);

		if (nranges >= 0)
		{
			/* rows are materialised: all of the cost comes before the first */
			req->startup = nranges * random_page_cost * RANGE_COST_SHARE;
			req->per_tuple = 0;
			result = request;
		}
	}

	PG_RETURN_POINTER(result);
}
