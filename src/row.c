/*-------------------------------------------------------------------------
 *
 * row.c
 *	  A result as a row: (ordinal, file_offset, length, data, error).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "compat.h"
#include "row.h"

#define ROW_COLUMNS 5

/* Add the row of a result to a tuplestore, which copies its bytes. */
void
iopool_row_put(Tuplestorestate *store, TupleDesc desc, IopoolResult *result)
{
	Datum values[ROW_COLUMNS];
	bool nulls[ROW_COLUMNS] = {false};
	char *message = NULL;

	values[0] = Int32GetDatum((int32) result->cookie + 1);
	values[1] = Int64GetDatum(result->offset);
	values[2] = Int64GetDatum(result->length);
	if (result->failure.kind == IOPOOL_FAILURE_NONE)
	{
		SET_VARSIZE(result->buffer, VARHDRSZ + result->nbytes);
		values[3] = PointerGetDatum(result->buffer);
		nulls[4] = true;
	}
	else
	{
		message = iopool_errors_message(&result->failure, result->path,
										result->offset, result->length);
		nulls[3] = true;
		values[4] = CStringGetTextDatum(message);
	}

	tuplestore_putvalues(store, desc, values, nulls);

	if (message != NULL)
	{
		pfree(message);
		pfree(DatumGetPointer(values[4]));
	}
}
