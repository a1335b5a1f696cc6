/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Rows: (ordinal, file_offset, length, data, error) of a result, (path, size,
 *	  modified) of a file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ROW_H
#define IOPOOL_ROW_H

#include "access/tupdesc.h"
#include "utils/tuplestore.h"

#include "engine/stream.h"
#include "file/walk.h"

#define IOPOOL_ROW_COLUMNS		5
#define IOPOOL_ROW_FILE_COLUMNS 3

/* row.c */
extern text *iopool_row_values(IopoolResult *result, Datum *values,
							   bool *nulls);
extern void iopool_row_put(Tuplestorestate *store, TupleDesc desc,
						   IopoolResult *result);
extern void iopool_row_file_values(const IopoolWalkFile *file, Datum *values,
								   bool *nulls);

#endif /* IOPOOL_ROW_H */
