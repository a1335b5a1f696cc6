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

#include "base/errors.h"

/* What may be wrong with the arguments of a range. */
#define IOPOOL_FLAW_NULL_PATH	0x01
#define IOPOOL_FLAW_NULL_OFFSET 0x02
#define IOPOOL_FLAW_NULL_LENGTH 0x04
#define IOPOOL_FLAW_NO_RANGE	0x08 /* see iopool_range_failure() */

/*
 * The ranges of a call.  Everything it points to is in the
 * memory context that it was taken into, and nothing of it in the caller's.
 */
typedef struct IopoolArgs
{
	int nranges;
	const int64 *offsets; /* [nranges], bytes; negative: from the end */
	const int64 *lengths; /* [nranges], or NULL: all are `length` */
	int64 length;
	const char *path; /* the one path, or NULL: paths */
	Datum *paths;	  /* [nranges] of text; 0: NULL */
	bool is_list;	  /* of ranges, which have ordinals */
	uint8 *flaws;	  /* [nranges], or NULL: none has any */
	int first_flawed; /* range; -1: none */
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
extern void iopool_args_take_files(IopoolArgs *args, MemoryContext cxt,
								   Datum paths);
extern IopoolFailure iopool_args_failure(const IopoolArgs *args, int rangeno);
extern void iopool_args_check(const IopoolArgs *args);
extern const int64 *iopool_args_bigints(MemoryContext cxt, Datum datum,
										const char *argname, int *nelems);
extern bool iopool_args_is_report(Datum on_error);

static inline int64
iopool_args_length(const IopoolArgs *args, int rangeno)
{
	return args->lengths ? args->lengths[rangeno] : args->length;
}

/* What is wrong with a range: a set of IOPOOL_FLAW_*. */
static inline uint8
iopool_args_flaws(const IopoolArgs *args, int rangeno)
{
	return args->flaws != NULL ? args->flaws[rangeno] : 0;
}

#endif /* IOPOOL_ARGS_H */
