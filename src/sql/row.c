/*-------------------------------------------------------------------------
 *
 * row.c
 *	  Rows: (ordinal, file_offset, length, data, error) of a result, or, of a
 *	  whole file, (ordinal, path, size, modified, data, error); (path, size,
 *	  modified) of a file that was found.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "sql/args.h"
#include "sql/row.h"

/*
 * The columns of a result, whose buffer becomes a bytea in place.  Returns the
 * message in `error`, to be freed, or NULL.
 */
text *
iopool_row_values(IopoolResult *result, Datum *values, bool *nulls)
{
	char *message;
	text *error;

	memset(nulls, 0, sizeof(bool) * IOPOOL_ROW_COLUMNS);
	values[0] = Int32GetDatum((int32) result->cookie + 1);
	values[1] = Int64GetDatum(result->offset);
	values[2] = Int64GetDatum(result->length);
	nulls[1] = (result->flaws & IOPOOL_FLAW_NULL_OFFSET) != 0;
	nulls[2] = (result->flaws & IOPOOL_FLAW_NULL_LENGTH) != 0;
	if (result->failure.kind == IOPOOL_FAILURE_NONE)
	{
		SET_VARSIZE(result->buffer, VARHDRSZ + result->nbytes);
		values[3] = PointerGetDatum(result->buffer);
		nulls[4] = true;
		return NULL;
	}

	message =
		iopool_errors_message(&result->failure, result->path, result->offset,
							  result->length, (int) result->cookie + 1);
	error = cstring_to_text(message);
	pfree(message);
	nulls[3] = true;
	values[4] = PointerGetDatum(error);
	return error;
}

/* Add the row of a result to a tuplestore, which copies its bytes. */
void
iopool_row_put(Tuplestorestate *store, TupleDesc desc, IopoolResult *result)
{
	Datum values[IOPOOL_ROW_COLUMNS];
	bool nulls[IOPOOL_ROW_COLUMNS];
	text *error = iopool_row_values(result, values, nulls);

	tuplestore_putvalues(store, desc, values, nulls);
	if (error != NULL)
		pfree(error);
}

/*
 * The columns of a result of a whole file, in the current memory context but for
 * its data, which becomes a bytea in place.  Where the file was opened, but not
 * read, its size is as it was then.
 */
void
iopool_row_file_values(const IopoolCall *call, IopoolResult *result,
					   Datum *values, bool *nulls)
{
	const IopoolFile *file = iopool_call_file(call, (int) result->cookie);
	bool has_failed = result->failure.kind != IOPOOL_FAILURE_NONE;
	bool is_known = !has_failed || (file != NULL && file->has_been_open);

	memset(nulls, 0, sizeof(bool) * IOPOOL_ROW_FILE_COLUMNS);
	values[0] = Int32GetDatum((int32) result->cookie + 1);
	nulls[1] = file == NULL;
	if (file != NULL)
		values[1] = CStringGetTextDatum(file->path);
	nulls[2] = nulls[3] = !is_known;
	if (is_known)
	{
		values[2] = Int64GetDatum(has_failed ? file->size : result->nbytes);
		values[3] = TimestampTzGetDatum(iopool_file_time(&file->modified));
	}
	nulls[4] = has_failed;
	nulls[5] = !has_failed;
	if (has_failed)
		values[5] = CStringGetTextDatum(
			iopool_errors_message(&result->failure, result->path,
								  result->offset, result->length,
								  (int) result->cookie + 1));
	else
	{
		SET_VARSIZE(result->buffer, VARHDRSZ + result->nbytes);
		values[4] = PointerGetDatum(result->buffer);
	}
}

/* The columns of a file that was found, in the current memory context. */
void
iopool_row_found_values(const IopoolWalkFile *file, Datum *values, bool *nulls)
{
	memset(nulls, 0, sizeof(bool) * IOPOOL_ROW_FOUND_COLUMNS);
	values[0] =
		PointerGetDatum(cstring_to_text_with_len(file->path, file->path_len));
	values[1] = Int64GetDatum(file->size);
	values[2] = TimestampTzGetDatum(file->modified);
}
