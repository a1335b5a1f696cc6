/*-------------------------------------------------------------------------
 *
 * project_tree.c
 *	  What is known of the planner's paths: which have one path below them,
 *	  how to copy them, and what they do with its rows.
 *
 * Paths are shared: by rels, and by others on top of them.  So what is to be
 * different is a copy, from there up to the top.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "optimizer/pathnode.h"

#include "base/compat.h"
#include "scan/scan_internal.h"

/* How large is this path?  0: it is not known, and is not to be copied. */
Size
iopool_project_path_size(const Path *path)
{
	switch (nodeTag(path))
	{
		case T_Path:
			return sizeof(Path);
		case T_IndexPath:
			return sizeof(IndexPath);
		case T_BitmapHeapPath:
			return sizeof(BitmapHeapPath);
		case T_TidPath:
			return sizeof(TidPath);
		case T_TidRangePath:
			return sizeof(TidRangePath);
		case T_SubqueryScanPath:
			return sizeof(SubqueryScanPath);
		case T_ForeignPath:
			return sizeof(ForeignPath);
		case T_CustomPath:
			/* that of another extension may be part of something larger */
			return iopool_scan_is_path(path) ? sizeof(CustomPath) : 0;
		case T_AppendPath:
			return sizeof(AppendPath);
		case T_MergeAppendPath:
			return sizeof(MergeAppendPath);
		case T_NestPath:
			return sizeof(NestPath);
		case T_MergePath:
			return sizeof(MergePath);
		case T_HashPath:
			return sizeof(HashPath);
		case T_MaterialPath:
			return sizeof(MaterialPath);
		case T_GatherPath:
			return sizeof(GatherPath);
		case T_GatherMergePath:
			return sizeof(GatherMergePath);
		case T_ProjectionPath:
			return sizeof(ProjectionPath);
		case T_SortPath:
			return sizeof(SortPath);
		case T_IncrementalSortPath:
			return sizeof(IncrementalSortPath);
		case T_GroupPath:
			return sizeof(GroupPath);
		case IOPOOL_T_DISTINCT_PATH:
			return sizeof(IopoolDistinctPath);
		case T_AggPath:
			return sizeof(AggPath);
		case T_WindowAggPath:
			return sizeof(WindowAggPath);
		case T_LockRowsPath:
			return sizeof(LockRowsPath);
		case T_ModifyTablePath:
			return sizeof(ModifyTablePath);
		case T_LimitPath:
			return sizeof(LimitPath);
		default:
			return 0;
	}
}

/*
 * Where a path has the only path below it, in the same query; NULL: there is
 * none, or it is not to be changed.
 */
Path **
iopool_project_subpath(Path *path)
{
	switch (nodeTag(path))
	{
		case T_MaterialPath:
			return &((MaterialPath *) path)->subpath;
		case T_GatherPath:
			return &((GatherPath *) path)->subpath;
		case T_GatherMergePath:
			return &((GatherMergePath *) path)->subpath;
		case T_ProjectionPath:
			return &((ProjectionPath *) path)->subpath;
		case T_SortPath:
			return &((SortPath *) path)->subpath;
		case T_IncrementalSortPath:
			return &((IncrementalSortPath *) path)->spath.subpath;
		case T_GroupPath:
			return &((GroupPath *) path)->subpath;
		case IOPOOL_T_DISTINCT_PATH:
			return &((IopoolDistinctPath *) path)->subpath;
		case T_AggPath:
			return &((AggPath *) path)->subpath;
		case T_WindowAggPath:
			return &((WindowAggPath *) path)->subpath;
		case T_LockRowsPath:
			return &((LockRowsPath *) path)->subpath;
		case T_ModifyTablePath:
			return &((ModifyTablePath *) path)->subpath;
		case T_LimitPath:
			return &((LimitPath *) path)->subpath;
		default:
			return NULL;
	}
}

Path *
iopool_project_copy_path(const Path *path)
{
	Size size = iopool_project_path_size(path);
	Path *copy = palloc(size);

	Assert(size > 0);
	memcpy(copy, path, size);
	return copy;
}

/*
 * Can ours be somewhere above it?  Not where rows of several groupings or
 * queries meet, and columns are not what they seem.
 */
bool
iopool_project_is_fit_below(Path *path)
{
	for (;;)
	{
		Path **subpath = iopool_project_subpath(path);

		switch (nodeTag(path))
		{
			case T_ProjectSetPath:
			case T_GroupingSetsPath:
			case T_SetOpPath:
			case T_RecursiveUnionPath:
				return false;
			default:
				break;
		}
		if (subpath == NULL)
			return true;
		path = *subpath;
	}
}

/* Does it look at all rows below before it returns the first? */
bool
iopool_project_is_blocking(const Path *path)
{
	return IsA(path, SortPath) ||
		(IsA(path, AggPath) &&
		 (((const AggPath *) path)->aggstrategy == AGG_HASHED ||
		  ((const AggPath *) path)->aggstrategy == AGG_PLAIN));
}

/* Does an index scan look for one row of a unique index? */
static bool
is_unique_lookup(const IndexPath *path)
{
	const IndexOptInfo *index = path->indexinfo;
	Bitmapset *columns = NULL;
	ListCell *lc;

	if (!index->unique || (index->indpred != NIL && !index->predOK))
		return false;
	foreach(lc, path->indexclauses)
	{
		IndexClause *clause = lfirst_node(IndexClause, lc);
		RestrictInfo *rinfo = clause->rinfo;

		if (!clause->lossy && rinfo->mergeopfamilies != NIL)
			columns = bms_add_member(columns, clause->indexcol);
	}
	return bms_num_members(columns) >= index->nkeycolumns;
}

/* Is it sure that it returns at most one row? */
bool
iopool_project_is_single_row(const Path *path)
{
	switch (nodeTag(path))
	{
		case T_Path:
			return path->pathtype == T_Result;
		case T_GroupResultPath:
		case T_MinMaxAggPath:
			return true;
		case T_IndexPath:
			return is_unique_lookup((const IndexPath *) path);
		case T_AggPath:
			return ((const AggPath *) path)->aggstrategy == AGG_PLAIN;
		default:
			return false;
	}
}
