/*-------------------------------------------------------------------------
 *
 * row.h
 *	  A result as a row: (ordinal, file_offset, length, data, error).
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ROW_H
#define IOPOOL_ROW_H

#include "access/tupdesc.h"
#include "utils/tuplestore.h"

#include "engine/stream.h"

#define IOPOOL_ROW_COLUMNS 5

/* row.c */
extern text *iopool_row_values(IopoolResult *result, Datum *values,
							   bool *nulls);
extern void iopool_row_put(Tuplestorestate *store, TupleDesc desc,
						   IopoolResult *result);

#endif /* IOPOOL_ROW_H */
