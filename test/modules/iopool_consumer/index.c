/*-------------------------------------------------------------------------
 *
 * index.c
 *	  An index on disk: an access method.
 *
 * The index is a file of blocks, each with entries of a key and the place of
 * a row, in no order; a scan looks at all of them (index_scan.c).  CREATE INDEX
 * writes the file, and nothing changes it afterwards.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/reloptions.h"
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "storage/fd.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

#include "index.h"

typedef struct IndexOptions
{
	int32 vl_len_;
	int path; /* offset of a string */
} IndexOptions;

typedef struct Build
{
	const char *path;
	FILE *file;
	IndexBlock block;
	double nentries;
} Build;

static relopt_kind index_options_kind;

PG_FUNCTION_INFO_V1(consumer_index_handler);

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	index_options_kind = add_reloption_kind();
	add_string_reloption(index_options_kind, "path", "file of the index", NULL,
						 NULL, AccessExclusiveLock);
}

static bytea *
index_options(Datum reloptions, bool validate)
{
	static const relopt_parse_elt options[] = {
		{.optname = "path",
		 .opttype = RELOPT_TYPE_STRING,
		 .offset = offsetof(IndexOptions, path)},
	};

	return build_reloptions(reloptions, validate, index_options_kind,
							sizeof(IndexOptions), options, lengthof(options));
}

const char *
index_path(Relation index)
{
	IndexOptions *options = (IndexOptions *) index->rd_options;

	if (options == NULL || options->path == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("index \"%s\" has no option \"path\"",
						RelationGetRelationName(index))));
	return (const char *) options + options->path;
}

/* --------------------------------------------------------------------------
 * The file is written
 */

static void
write_block(Build *build)
{
	if (fwrite(&build->block, INDEX_BLOCK_SIZE, 1, build->file) != 1)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", build->path)));
	memset(&build->block, 0, INDEX_BLOCK_SIZE);
}

/* IndexBuildCallback */
static void
add_entry(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		  bool is_alive, void *arg)
{
	Build *build = arg;
	IndexEntry *entry;

	/* no condition that we know is true of NULL */
	if (isnull[0])
		return;
	if (build->block.nentries == INDEX_MAX_ENTRIES)
		write_block(build);
	entry = &build->block.entries[build->block.nentries++];
	entry->key = DatumGetInt64(values[0]);
	entry->tid = *tid;
	build->nentries++;
}

static IndexBuildResult *
index_build_file(Relation table, Relation index, IndexInfo *info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	Build build = {.path = index_path(index)};

	build.file = AllocateFile(build.path, PG_BINARY_W);
	if (build.file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", build.path)));
	result->heap_tuples =
		table_index_build_scan(table, index, info, true, false, add_entry,
							   &build, NULL);
	if (build.block.nentries > 0)
		write_block(&build);
	if (FreeFile(build.file) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", build.path)));
	result->index_tuples = build.nentries;
	return result;
}

static void
refuse_change(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("index \"%s\" cannot change",
					RelationGetRelationName(index))));
}

static void
index_build_empty(Relation index)
{
	refuse_change(index);
}

static bool
index_insert_entry(Relation index, Datum *values, bool *isnull,
				   ItemPointer tid, Relation table,
				   IndexUniqueCheck check_unique, bool is_unchanged,
				   IndexInfo *info)
{
	refuse_change(index);
	return false;
}

static IndexBulkDeleteResult *
index_delete_entries(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
					 IndexBulkDeleteCallback callback, void *arg)
{
	refuse_change(info->index);
	return stats;
}

static IndexBulkDeleteResult *
index_vacuum(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	return stats;
}

/* --------------------------------------------------------------------------
 * The planner
 */

static void
index_costs(PlannerInfo *root, IndexPath *path, double loop_count,
			Cost *startup, Cost *total, Selectivity *selectivity,
			double *correlation, double *pages)
{
	GenericCosts costs = {0};

	genericcostestimate(root, path, loop_count, &costs);
	*startup = costs.indexStartupCost;
	*total = costs.indexTotalCost;
	*selectivity = costs.indexSelectivity;
	*correlation = costs.indexCorrelation;
	*pages = costs.numIndexPages;
}

static bool
index_validate(Oid opclass)
{
	return true;
}

/* consumer_index_handler(internal) RETURNS index_am_handler */
Datum
consumer_index_handler(PG_FUNCTION_ARGS)
{
	static const IndexAmRoutine routine = {
		.type = T_IndexAmRoutine,
		.amstrategies = BTMaxStrategyNumber,
		.amcanparallel = true,
		.ambuild = index_build_file,
		.ambuildempty = index_build_empty,
		.aminsert = index_insert_entry,
		.ambulkdelete = index_delete_entries,
		.amvacuumcleanup = index_vacuum,
		.amcostestimate = index_costs,
		.amoptions = index_options,
		.amvalidate = index_validate,
		.ambeginscan = index_scan_begin,
		.amrescan = index_scan_again,
		.amgettuple = index_scan_next,
		.amendscan = index_scan_end,
		.amestimateparallelscan = index_scan_estimate_shared,
		.aminitparallelscan = index_scan_init_shared,
		.amparallelrescan = index_scan_reset_shared,
	};

#if PG_VERSION_NUM >= 190000
	PG_RETURN_POINTER(&routine);
#else
	/* which is freed */
	IndexAmRoutine *copy = palloc(sizeof(routine));

	*copy = routine;
	PG_RETURN_POINTER(copy);
#endif
}
