/*-------------------------------------------------------------------------
 *
 * deadline.h
 *	  Until when something may wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_DEADLINE_H
#define IOPOOL_DEADLINE_H

#include "portability/instr_time.h"

/* Microseconds of the clock that instr_time.h reads, or one of these. */
typedef int64 IopoolDeadline;

#define IOPOOL_NO_WAIT INT64CONST(0) /* has passed already */
#define IOPOOL_FOREVER PG_INT64_MAX

static inline int64
iopool_deadline_now(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* So many milliseconds from now; -1: never. */
static inline IopoolDeadline
iopool_deadline_in(int timeout_ms)
{
	if (timeout_ms < 0)
		return IOPOOL_FOREVER;
	if (timeout_ms == 0)
		return IOPOOL_NO_WAIT;
	return iopool_deadline_now() + (int64) timeout_ms * 1000;
}

/* Microseconds that are left: 0 when it has passed, -1 for ever. */
static inline int64
iopool_deadline_left(IopoolDeadline deadline)
{
	if (deadline == IOPOOL_FOREVER)
		return -1;
	if (deadline == IOPOOL_NO_WAIT)
		return 0;
	return Max(deadline - iopool_deadline_now(), 0);
}

static inline bool
iopool_deadline_has_passed(IopoolDeadline deadline)
{
	return iopool_deadline_left(deadline) == 0;
}

#endif /* IOPOOL_DEADLINE_H */
