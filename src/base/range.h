/*-------------------------------------------------------------------------
 *
 * range.h
 *	  What offset and length of a range may be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_RANGE_H
#define IOPOOL_RANGE_H

#include "base/errors.h"

/* range.c */
extern IopoolFailureKind iopool_range_failure(int64 offset, int64 length);
extern void iopool_range_check(int64 offset, int64 length);

#endif /* IOPOOL_RANGE_H */
