/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Rows: (ordinal, file_offset, length, data, error) of a result, or, of a
 *	  whole file, (ordinal, path, size, modified, data, error); (path, size,
 *	  modified) of a file that was found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ROW_H
#define IOPOOL_ROW_H

#include "access/tupdesc.h"
#include "utils/tuplestore.h"

#include "engine/stream.h"
#include "file/walk.h"
#include "sql/call.h"

#define IOPOOL_ROW_COLUMNS		 5
#define IOPOOL_ROW_FILE_COLUMNS	 6
#define IOPOOL_ROW_FOUND_COLUMNS 3

/* Most columns of a row of results. */
#define IOPOOL_ROW_MAX_COLUMNS 6

/* row.c */
extern text *iopool_row_values(IopoolResult *result, Datum *values,
							   bool *nulls);
extern void iopool_row_put(Tuplestorestate *store, TupleDesc desc,
						   IopoolResult *result);
extern void iopool_row_found_values(const IopoolWalkFile *file, Datum *values,
									bool *nulls);
extern void iopool_row_file_values(const IopoolCall *call,
								   IopoolResult *result, Datum *values,
								   bool *nulls);

#endif /* IOPOOL_ROW_H */
