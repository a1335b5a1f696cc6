/*-------------------------------------------------------------------------
 *
 * args.h
 *	  SQL arguments -> validated ranges.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ARGS_H
#define IOPOOL_ARGS_H

#include "fmgr.h"

#include "base/types.h"

/*
 * The ranges of a call, all of them valid.  Everything it points to is in the
 * memory context that it was taken into, and nothing of it in the caller's.
 */
typedef struct IopoolArgs
{
	int nranges;
	const int64 *offsets; /* [nranges], bytes; negative: from the end */
	const int64 *lengths; /* [nranges], or NULL: all are `length` */
	int64 length;
	const char *path; /* the one path, or NULL: paths */
	Datum *paths;	  /* [nranges] of text */
} IopoolArgs;

/* The forms in which functions are called with ranges. */
typedef enum IopoolArgsForm
{
	IOPOOL_ARGS_PATH,  /* (path, file_offsets[], lengths[]) */
	IOPOOL_ARGS_PATHS, /* (paths[], file_offsets[], lengths[]) */
} IopoolArgsForm;

/* args.c */
extern void iopool_args_take(IopoolArgs *args, MemoryContext cxt,
							 IopoolArgsForm form, const Datum *datums);
extern const int64 *iopool_args_bigints(MemoryContext cxt, Datum datum,
										const char *argname, int *nelems);
extern bool iopool_args_is_report(Datum on_error);

static inline int64
iopool_args_length(const IopoolArgs *args, int rangeno)
{
	return args->lengths ? args->lengths[rangeno] : args->length;
}

#endif /* IOPOOL_ARGS_H */
