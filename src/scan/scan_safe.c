/*-------------------------------------------------------------------------
 *
 * scan_safe.c
 *	  What a query must not have for our nodes to take rows ahead.
 *
 * Taking rows ahead must not show: nothing that is evaluated for them may do
 * more than compute.  That is a question to the query's tree as the planner has
 * it when paths are made: sub-selects are planned by then, and subqueries that
 * were not pulled up are as they were parsed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

static bool query_has_side_effects(Query *query, PlannerInfo *root);

static bool
is_volatile(Oid funcid)
{
	return OidIsValid(funcid) && func_volatile(funcid) == PROVOLATILE_VOLATILE;
}

static bool type_has_side_effects(Oid typid, PlannerInfo *root);

/* The CHECK constraints of a domain, and what it is made of. */
static bool
domain_has_side_effects(Oid typid, PlannerInfo *root)
{
	/* not on the stack: it lives as long as the current memory context */
	DomainConstraintRef *ref = palloc(sizeof(DomainConstraintRef));
	ListCell *lc;

	InitDomainConstraintRef(typid, ref, CurrentMemoryContext, false);
	foreach(lc, ref->constraints)
	{
		DomainConstraintState *check = lfirst(lc);

		if (check->constrainttype == DOM_CONSTRAINT_CHECK &&
			iopool_scan_expr_has_side_effects((Node *) check->check_expr,
											  root))
			return true;
	}
	return type_has_side_effects(getBaseType(typid), root);
}

static bool
row_type_has_side_effects(Oid typid, PlannerInfo *root)
{
	TupleDesc desc = lookup_rowtype_tupdesc_copy(typid, -1);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && type_has_side_effects(att->atttypid, root))
			return true;
	}
	return false;
}

/* Functions that give a type its text, its order and its other forms. */
static bool
type_functions_have_side_effects(Oid typid)
{
	static const Oid cast_targets[] = {JSONOID, JSONBOID, XMLOID, TEXTOID};
	TypeCacheEntry *cache =
		lookup_type_cache(typid,
						  TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC |
							  TYPECACHE_HASH_PROC);
	Oid function;
	Oid ioparam;
	bool is_varlena;

	getTypeInputInfo(typid, &function, &ioparam);
	if (is_volatile(function))
		return true;
	getTypeOutputInfo(typid, &function, &is_varlena);
	if (is_volatile(function) || is_volatile(cache->cmp_proc) ||
		is_volatile(cache->hash_proc) ||
		(OidIsValid(cache->eq_opr) && is_volatile(get_opcode(cache->eq_opr))))
		return true;

	for (size_t i = 0; i < lengthof(cast_targets); i++)
	{
		if (find_coercion_pathway(cast_targets[i], typid, COERCION_EXPLICIT,
								  &function) == COERCION_PATH_FUNC &&
			is_volatile(function))
			return true;
	}
	return false;
}

/* Does an operator class order values by a volatile function? */
static bool
order_has_side_effects(Oid opfamily, Oid lefttype, Oid righttype)
{
	return is_volatile(
		get_opfamily_proc(opfamily, lefttype, righttype, BTORDER_PROC));
}

/* Functions of a range type, which need not be those of its subtype. */
static bool
range_functions_have_side_effects(Oid typid)
{
	TypeCacheEntry *cache = lookup_type_cache(typid, TYPECACHE_RANGE_INFO);

	return is_volatile(cache->rng_cmp_proc_finfo.fn_oid) ||
		is_volatile(cache->rng_canonical_finfo.fn_oid);
}

/* A comparison of rows by <, <=, > or >=. */
static bool
row_compare_has_side_effects(const RowCompareExpr *compare)
{
	ListCell *op;
	ListCell *family;

	forboth(op, compare->opnos, family, compare->opfamilies)
	{
		Oid lefttype;
		Oid righttype;

		op_input_types(lfirst_oid(op), &lefttype, &righttype);
		if (order_has_side_effects(lfirst_oid(family), lefttype, righttype))
			return true;
	}
	return false;
}

/* ORDER BY of a query or an aggregate, also by USING; GROUP BY, DISTINCT. */
static bool
sort_has_side_effects(const SortGroupClause *sort)
{
	Oid opfamily;
	Oid opcintype;
	IopoolOrdering ordering;

	if (OidIsValid(sort->eqop) && is_volatile(get_opcode(sort->eqop)))
		return true;
	return sort->sortop >= FirstNormalObjectId &&
		get_ordering_op_properties(sort->sortop, &opfamily, &opcintype,
								   &ordering) &&
		order_has_side_effects(opfamily, opcintype, opcintype);
}

/*
 * Would it show that a value of this type is made, compared or written?  Types
 * of users hide functions that no node of an expression names: a domain its
 * CHECK constraints, which casts, input functions and json_populate_record()
 * run; any type its input and output, its comparison, and its cast to json,
 * which to_json() runs.
 */
static bool
type_has_side_effects(Oid typid, PlannerInfo *root)
{
	Oid element = InvalidOid;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (typid < FirstNormalObjectId)
		return false;
	switch (get_typtype(typid))
	{
		case TYPTYPE_DOMAIN:
			return domain_has_side_effects(typid, root);
		case TYPTYPE_COMPOSITE:
			return type_functions_have_side_effects(typid) ||
				row_type_has_side_effects(typid, root);
		case TYPTYPE_MULTIRANGE:
			return type_has_side_effects(get_multirange_range(typid), root);
		case TYPTYPE_RANGE:
			if (range_functions_have_side_effects(typid))
				return true;
			element = get_range_subtype(typid);
			break;
		case TYPTYPE_BASE:
			element = get_element_type(typid);
			break;
		default:
			break;
	}
	return type_functions_have_side_effects(typid) ||
		(OidIsValid(element) && type_has_side_effects(element, root));
}

/*
 * The type that a node brings into an expression, or InvalidOid.  Others only
 * pass on what is below them.
 */
static Oid
type_brought_in(Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
		case T_FuncExpr:
		case T_OpExpr:
		case T_Aggref:
		case T_WindowFunc:
		case T_SubscriptingRef:
		case T_FieldSelect:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
		case T_CoerceToDomain:
		case T_RowExpr:
		case T_ArrayExpr:
			IOPOOL_CASES_JSON_EXPR
			return exprType(node);
		default:
			return InvalidOid;
	}
}

/* An aggregate is never volatile itself, whatever it is made of. */
static bool
aggregate_has_side_effects(Oid aggfnoid)
{
	HeapTuple tuple;
	Form_pg_aggregate agg;
	bool result;

	if (aggfnoid < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggfnoid));
	if (!HeapTupleIsValid(tuple))
		return false;
	agg = (Form_pg_aggregate) GETSTRUCT(tuple);
	result = is_volatile(agg->aggtransfn) || is_volatile(agg->aggfinalfn) ||
		is_volatile(agg->aggcombinefn) || is_volatile(agg->aggserialfn) ||
		is_volatile(agg->aggdeserialfn) || is_volatile(agg->aggmtransfn) ||
		is_volatile(agg->aggminvtransfn) || is_volatile(agg->aggmfinalfn);
	ReleaseSysCache(tuple);
	return result;
}

static bool
subplan_has_side_effects(const SubPlan *subplan, PlannerInfo *root)
{
	PlannerInfo *subroot =
		list_nth(root->glob->subroots, subplan->plan_id - 1);

	return query_has_side_effects(subroot->parse, root);
}

/* A sub-select that is computed once, when it is first asked for. */
static bool
init_plan_has_side_effects(int paramid, PlannerInfo *root)
{
	for (PlannerInfo *up = root; up != NULL; up = up->parent_root)
	{
		ListCell *lc;

		foreach(lc, up->init_plans)
		{
			SubPlan *subplan = lfirst_node(SubPlan, lc);

			if (list_member_int(subplan->setParam, paramid))
				return subplan_has_side_effects(subplan, root);
		}
	}
	return false;
}

static bool
is_volatile_checker(Oid funcid, void *context)
{
	return is_volatile(funcid);
}

/* Does the function of this node do more than compute, or read a file? */
static bool
node_has_side_effects(Node *node, PlannerInfo *root)
{
	if (IsA(node, NextValueExpr) ||
		type_has_side_effects(type_brought_in(node), root))
		return true;
	return check_functions_in_node(node, is_volatile_checker, NULL) &&
		!iopool_scan_is_read(node);
}

/*
 * As contain_volatile_functions(), which passes parts of an expression by; but
 * to read a file has no side effect.
 */
static bool
has_side_effects(Node *node, void *context)
{
	PlannerInfo *root = context;

	if (node == NULL)
		return false;
	if (node_has_side_effects(node, root))
		return true;
	switch (nodeTag(node))
	{
		case T_Query:
			return query_has_side_effects((Query *) node, root);
		case T_SubPlan:
			if (subplan_has_side_effects((SubPlan *) node, root))
				return true;
			break;
		case T_Param:
			return ((Param *) node)->paramkind == PARAM_EXEC &&
				init_plan_has_side_effects(((Param *) node)->paramid, root);
		case T_Aggref:
			if (aggregate_has_side_effects(((Aggref *) node)->aggfnoid))
				return true;
			break;
		case T_WindowFunc:
			if (aggregate_has_side_effects(((WindowFunc *) node)->winfnoid))
				return true;
			break;
		case T_RowCompareExpr:
			if (row_compare_has_side_effects((RowCompareExpr *) node))
				return true;
			break;
		case T_SortGroupClause:
			return sort_has_side_effects((SortGroupClause *) node);
		default:
			break;
	}
	return expression_tree_walker(node, has_side_effects, context);
}

bool
iopool_scan_expr_has_side_effects(Node *node, PlannerInfo *root)
{
	return has_side_effects(node, root);
}

/* Types of columns, of which an expression has only those that it needs. */
static bool
types_have_side_effects(List *types, PlannerInfo *root)
{
	ListCell *lc;

	foreach(lc, types)
	{
		if (type_has_side_effects(lfirst_oid(lc), root))
			return true;
	}
	return false;
}

/*
 * Functions in FROM.  Ours that read or list files are volatile, and may be
 * called ahead themselves.
 * Others may be called once for each row of a query around theirs, or never.
 */
static bool
functions_have_side_effects(List *functions, PlannerInfo *root)
{
	ListCell *lc;

	foreach(lc, functions)
	{
		RangeTblFunction *function = lfirst_node(RangeTblFunction, lc);
		Node *call = function->funcexpr;

		if (IsA(call, FuncExpr) &&
			iopool_scan_only_looks(
				iopool_scan_identify(((FuncExpr *) call)->funcid)))
			call = (Node *) ((FuncExpr *) call)->args;
		if (iopool_scan_expr_has_side_effects(call, root) ||
			types_have_side_effects(function->funccoltypes, root))
			return true;
	}
	return false;
}

static bool
rte_has_side_effects(RangeTblEntry *rte, PlannerInfo *root)
{
	if (iopool_scan_expr_has_side_effects((Node *) rte->securityQuals, root))
		return true;
	switch (rte->rtekind)
	{
		case RTE_SUBQUERY:
			/* those that were pulled up are part of the query itself */
			return rte->subquery != NULL &&
				query_has_side_effects(rte->subquery, root);
		case RTE_VALUES:
			return iopool_scan_expr_has_side_effects(
				(Node *) rte->values_lists, root);
		case RTE_FUNCTION:
			return functions_have_side_effects(rte->functions, root);
		case RTE_TABLEFUNC:
			return iopool_scan_expr_has_side_effects((Node *) rte->tablefunc,
													 root) ||
				types_have_side_effects(rte->tablefunc->coltypes, root);
		default:
			return false;
	}
}

static bool
query_has_side_effects(Query *query, PlannerInfo *root)
{
	ListCell *lc;

	if (query->commandType != CMD_SELECT || query->rowMarks != NIL ||
		query->hasModifyingCTE ||
		iopool_scan_expr_has_side_effects((Node *) query->targetList, root) ||
		iopool_scan_expr_has_side_effects((Node *) query->jointree, root) ||
		iopool_scan_expr_has_side_effects((Node *) query->groupClause, root) ||
		iopool_scan_expr_has_side_effects((Node *) query->windowClause,
										  root) ||
		iopool_scan_expr_has_side_effects((Node *) query->distinctClause,
										  root) ||
		iopool_scan_expr_has_side_effects((Node *) query->sortClause, root) ||
		iopool_scan_expr_has_side_effects(query->havingQual, root) ||
		iopool_scan_expr_has_side_effects(query->limitCount, root) ||
		iopool_scan_expr_has_side_effects(query->limitOffset, root))
		return true;
	foreach(lc, query->rtable)
	{
		if (rte_has_side_effects(lfirst_node(RangeTblEntry, lc), root))
			return true;
	}
	foreach(lc, query->cteList)
	{
		if (iopool_scan_expr_has_side_effects(
				lfirst_node(CommonTableExpr, lc)->ctequery, root))
			return true;
	}
	return false;
}

static bool
cte_has_side_effects(PlannerInfo *root, RangeTblEntry *rte)
{
	PlannerInfo *owner = root;
	ListCell *lc;

	for (Index up = rte->ctelevelsup; up > 0 && owner != NULL; up--)
		owner = owner->parent_root;
	if (owner == NULL || rte->self_reference)
		return true;
	foreach(lc, owner->parse->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
			return iopool_scan_expr_has_side_effects(cte->ctequery, root);
	}
	return true;
}

/*
 * Would it show that rows of this relation are asked for ahead of time, which
 * these conditions (RestrictInfos) are evaluated for?
 */
bool
iopool_scan_relation_has_side_effects(PlannerInfo *root, int rti,
									  List *conditions)
{
	RangeTblEntry *rte = root->simple_rte_array[rti];
	ListCell *lc;

	if (rte_has_side_effects(rte, root) ||
		(rte->rtekind == RTE_CTE && cte_has_side_effects(root, rte)))
		return true;
	foreach(lc, conditions)
	{
		if (iopool_scan_expr_has_side_effects(
				(Node *) lfirst_node(RestrictInfo, lc)->clause, root))
			return true;
	}
	return false;
}

/*
 * The same of several, and of the query's conditions.  What they compute is
 * theirs to look at, unless the query's own target list has been given to the
 * only one of them.
 */
bool
iopool_scan_relations_have_side_effects(PlannerInfo *root, Relids relids,
										bool with_targets)
{
	int rti = -1;

	if (iopool_scan_expr_has_side_effects((Node *) root->parse->jointree,
										  root))
		return true;
	while ((rti = bms_next_member(relids, rti)) >= 0)
	{
		RelOptInfo *rel = root->simple_rel_array[rti];

		/* the number of an outer join */
		if (rel == NULL)
			continue;
		if (iopool_scan_relation_has_side_effects(root, rti,
												  rel->baserestrictinfo) ||
			(with_targets &&
			 iopool_scan_expr_has_side_effects((Node *) rel->reltarget->exprs,
											   root)))
			return true;
	}
	return false;
}
