/*-------------------------------------------------------------------------
 *
 * project_find.c
 *	  Which calls of an expression can be read ahead.
 *
 * A call can be read ahead where the expression is sure to make it: below
 * functions and operators, which evaluate all of their arguments, and not
 * below CASE, COALESCE, AND, OR and others, which may leave some out.  Nodes
 * that are not known here count as those.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

typedef struct FindContext
{
	PlannerInfo *root;
	List *inputs;	   /* expressions that come from below as they are */
	bool has_volatile; /* something beside the calls is volatile */
	List *calls;	   /* found so far */
} FindContext;

static bool
find_read(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return iopool_scan_is_read(node) ||
		expression_tree_walker(node, find_read, context);
}

/* Does an expression call iopool_read() at all? */
bool
iopool_project_has_calls(Node *node)
{
	return find_read(node, NULL);
}

static bool
find_equal(Node *node, void *wanted)
{
	if (node == NULL)
		return false;
	return equal(node, wanted) ||
		expression_tree_walker(node, find_equal, wanted);
}

/* Has an expression this one in it? */
bool
iopool_project_contains(Node *node, Node *wanted)
{
	return find_equal(node, wanted);
}

/* Does an expression call it where the result does not come from below? */
static bool
has_new_calls(Node *node, void *context)
{
	FindContext *find = context;

	if (node == NULL || list_member(find->inputs, node))
		return false;
	return iopool_scan_is_read(node) ||
		expression_tree_walker(node, has_new_calls, context);
}

/* Are all arguments of this node evaluated whenever it is? */
static bool
evaluates_all(Node *node)
{
	switch (nodeTag(node))
	{
		case T_List:
		case T_TargetEntry:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_ScalarArrayOpExpr:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_FieldSelect:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
		case T_CollateExpr:
		case T_NamedArgExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_MinMaxExpr:
			return true;
		case T_BoolExpr:
			return ((BoolExpr *) node)->boolop == NOT_EXPR;
		default:
			return false;
	}
}

static bool
find_calls(Node *node, void *context)
{
	FindContext *find = context;

	if (node == NULL || list_member(find->inputs, node))
		return false;
	if (iopool_scan_is_read(node))
	{
		Node *args = (Node *) ((FuncExpr *) node)->args;

		if (!has_new_calls(args, find))
		{
			/* a setting, say, that is changed by what stands beside the call */
			if (!iopool_scan_expr_has_side_effects(args, find->root) &&
				!(find->has_volatile && contain_mutable_functions(args)) &&
				!expression_returns_set(args))
				find->calls = list_append_unique(find->calls, node);
			return false;
		}
		/* those in its arguments come first */
	}
	if (evaluates_all(node))
		(void) expression_tree_walker(node, find_calls, context);
	return false;
}

static List *
find_calls_beside(PlannerInfo *root, Node *node, List *inputs,
				  bool has_volatile)
{
	FindContext find = {
		.root = root,
		.inputs = inputs,
		.has_volatile = has_volatile,
	};

	(void) find_calls(node, &find);
	return find.calls;
}

/*
 * The calls that can be read ahead before an expression is evaluated, each
 * once, given what the plan below gives.  Calls in the arguments of others come
 * without these: give them as inputs to find the others.
 */
List *
iopool_project_find_calls(PlannerInfo *root, Node *node, List *inputs)
{
	if (!iopool_project_has_calls(node))
		return NIL;
	return find_calls_beside(root, node, inputs,
							 iopool_scan_expr_has_side_effects(node, root));
}

static bool
find_arguments(Node *node, void *context)
{
	FindContext *find = context;
	Aggref *agg = (Aggref *) node;
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Aggref))
		return expression_tree_walker(node, find_arguments, context);
	/* a filter is looked at first */
	if (agg->aggfilter != NULL)
		return false;
	foreach(lc, agg->args)
	{
		Node *arg = (Node *) lfirst_node(TargetEntry, lc)->expr;
		List *calls = find_calls_beside(find->root, arg, find->inputs,
										find->has_volatile);

		if (calls == NIL || list_member(find->calls, arg))
			continue;
		/* what would be evaluated for each aggregate stays there */
		if (iopool_scan_expr_has_side_effects(arg, find->root))
			find->calls = list_concat_unique(find->calls, calls);
		else
			find->calls = lappend(find->calls, arg);
	}
	return false;
}

/*
 * Arguments of aggregates that call iopool_read(), as expressions to be
 * computed below the aggregation: whole, so that the bytes need not get there.
 */
List *
iopool_project_find_arguments(PlannerInfo *root, Node *node, List *inputs)
{
	FindContext find = {
		.root = root,
		.inputs = inputs,
		.has_volatile = iopool_scan_expr_has_side_effects(node, root),
	};

	(void) find_arguments(node, &find);
	return find.calls;
}
