/*-------------------------------------------------------------------------
 *
 * table_cond.c
 *	  Conditions on path, which say where to look for files.
 *
 * They are looked at as every other condition, too: what is found here only
 * has to leave out nothing that they let through.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "base/compat.h"
#include "scan/table_internal.h"

/* A clause that may be a condition on the path of a relation. */
typedef struct Candidate
{
	PlannerInfo *root;
	RelOptInfo *rel;
	AttrNumber attno;
} Candidate;

static bool
is_path(const Candidate *candidate, const Node *node)
{
	const Var *var;

	while (node != NULL && IsA(node, RelabelType))
		node = (const Node *) ((const RelabelType *) node)->arg;
	var = (const Var *) node;
	return node != NULL && IsA(node, Var) && var->varlevelsup == 0 &&
		var->varno == (int) candidate->rel->relid &&
		var->varattno == candidate->attno;
}

/* Can it be computed before the first file is looked for? */
static bool
is_value(const Candidate *candidate, Node *node)
{
	return !bms_is_member(candidate->rel->relid,
						  pull_varnos(candidate->root, node)) &&
		!contain_volatile_functions(node);
}

/* Texts that are equal have the same bytes, and begin with the same. */
static bool
is_bytewise(Oid collation)
{
	return OidIsValid(collation) && get_collation_isdeterministic(collation);
}

/* path <operator> value, and of some, value <operator> path. */
static bool
take_operator(const Candidate *candidate, Expr *clause, IopoolTableCond *cond)
{
	OpExpr *op = (OpExpr *) clause;
	Node *left;
	Node *right;

	if (list_length(op->args) != 2 || !is_bytewise(op->inputcollid))
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	switch (op->opno)
	{
		case TextEqualOperator:
			cond->kind = IOPOOL_TABLE_EQUAL;
			if (!is_path(candidate, left))
			{
				right = left;
				left = lsecond(op->args);
			}
			break;
		case OID_TEXT_LIKE_OP:
			cond->kind = IOPOOL_TABLE_LIKE;
			break;
		case TextPrefixOperator:
			cond->kind = IOPOOL_TABLE_PREFIX;
			break;
		default:
			return false;
	}
	cond->value = (Expr *) right;
	return is_path(candidate, left) && is_value(candidate, right);
}

/* path = ANY (values) */
static bool
take_array(const Candidate *candidate, Expr *clause, IopoolTableCond *cond)
{
	ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

	if (!op->useOr || op->opno != TextEqualOperator ||
		!is_bytewise(op->inputcollid))
		return false;
	cond->kind = IOPOOL_TABLE_ANY;
	cond->value = lsecond(op->args);
	return is_path(candidate, linitial(op->args)) &&
		exprType((Node *) cond->value) == TEXTARRAYOID &&
		is_value(candidate, (Node *) cond->value);
}

/* starts_with(path, value) */
static bool
take_function(const Candidate *candidate, Expr *clause, IopoolTableCond *cond)
{
	FuncExpr *call = (FuncExpr *) clause;

	if (call->funcid != F_STARTS_WITH || !is_bytewise(call->inputcollid))
		return false;
	cond->kind = IOPOOL_TABLE_PREFIX;
	cond->value = lsecond(call->args);
	return is_path(candidate, linitial(call->args)) &&
		is_value(candidate, (Node *) cond->value);
}

static bool
take_clause(const Candidate *candidate, Expr *clause, IopoolTableCond *cond)
{
	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return take_operator(candidate, clause, cond);
		case T_ScalarArrayOpExpr:
			return take_array(candidate, clause, cond);
		case T_FuncExpr:
			return take_function(candidate, clause, cond);
		default:
			return false;
	}
}

/*
 * The condition among clauses (RestrictInfos) that leaves fewest paths, of
 * a relation whose column `path` has that number.
 */
IopoolTableCond
iopool_table_find_cond(PlannerInfo *root, RelOptInfo *rel,
					   AttrNumber path_attno, List *clauses)
{
	Candidate candidate = {root, rel, path_attno};
	IopoolTableCond best = {IOPOOL_TABLE_NO_COND, NULL, NULL};
	ListCell *lc;

	if (path_attno == 0)
		return best;
	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		IopoolTableCond cond;

		if (rinfo->pseudoconstant ||
			!take_clause(&candidate, rinfo->clause, &cond))
			continue;
		cond.clause = rinfo->clause;
		/* they are in the order of preference */
		if (best.kind == IOPOOL_TABLE_NO_COND || cond.kind < best.kind)
			best = cond;
	}
	return best;
}

/* What comes before the first character of a pattern that has a meaning. */
static char *
like_prefix(const char *pattern)
{
	char *prefix = palloc(strlen(pattern) + 1);
	int len = 0;

	for (; *pattern != '\0' && *pattern != '%' && *pattern != '_'; pattern++)
	{
		if (*pattern == '\\' && *++pattern == '\0')
			break;
		prefix[len++] = *pattern;
	}
	prefix[len] = '\0';
	return prefix;
}

/* There may be many. */
static int
compare_texts(const ListCell *a, const ListCell *b)
{
	CHECK_FOR_INTERRUPTS();
	return strcmp(lfirst(a), lfirst(b));
}

/* Each of the texts once, so that no file is found twice. */
static List *
distinct_texts(Datum array)
{
	List *texts = NIL;
	List *distinct = NIL;
	Datum *elems;
	bool *nulls;
	int nelems;
	ListCell *lc;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, &nulls, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
			texts = lappend(texts, TextDatumGetCString(elems[i]));
	}
	list_sort(texts, compare_texts);
	foreach(lc, texts)
	{
		CHECK_FOR_INTERRUPTS();
		if (distinct == NIL || strcmp(llast(distinct), lfirst(lc)) != 0)
			distinct = lappend(distinct, lfirst(lc));
	}
	return distinct;
}

/*
 * The paths, or what they begin with (char *), that a condition with that value
 * lets through, in the current memory context.
 */
List *
iopool_table_cond_values(IopoolTableCondKind kind, Datum value)
{
	switch (kind)
	{
		case IOPOOL_TABLE_ANY:
			return distinct_texts(value);
		case IOPOOL_TABLE_LIKE:
			return list_make1(like_prefix(TextDatumGetCString(value)));
		default:
			return list_make1(TextDatumGetCString(value));
	}
}
