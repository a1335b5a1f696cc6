/*-------------------------------------------------------------------------
 *
 * index.h
 *	  An index on disk: what is in its file, and how it is scanned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef INDEX_H
#define INDEX_H

#include "access/genam.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

#define INDEX_BLOCK_SIZE  4096
#define INDEX_MAX_ENTRIES 255

typedef struct IndexEntry
{
	int64 key;
	ItemPointerData tid;
} IndexEntry;

typedef union IndexBlock
{
	struct
	{
		int64 nentries;
		IndexEntry entries[INDEX_MAX_ENTRIES];
	};
	char bytes[INDEX_BLOCK_SIZE];
} IndexBlock;

StaticAssertDecl(sizeof(IndexBlock) == INDEX_BLOCK_SIZE,
				 "a block has its size");

/* What amestimateparallelscan is given. */
#if PG_VERSION_NUM >= 180000
#define INDEX_ESTIMATE_PARAMS Relation index, int nkeys, int norderbys
#elif PG_VERSION_NUM >= 170000
#define INDEX_ESTIMATE_PARAMS int nkeys, int norderbys
#else
#define INDEX_ESTIMATE_PARAMS void
#endif

/* index.c */
extern const char *index_path(Relation index);

/* index_scan.c, for IndexAmRoutine */
extern IndexScanDesc index_scan_begin(Relation index, int nkeys,
									  int norderbys);
extern void index_scan_again(IndexScanDesc desc, ScanKey keys, int nkeys,
							 ScanKey orderbys, int norderbys);
extern bool index_scan_next(IndexScanDesc desc, ScanDirection direction);
extern void index_scan_end(IndexScanDesc desc);
extern Size index_scan_estimate_shared(INDEX_ESTIMATE_PARAMS);
extern void index_scan_init_shared(void *target);
extern void index_scan_reset_shared(IndexScanDesc desc);

#endif /* INDEX_H */
