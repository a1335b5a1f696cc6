/*-------------------------------------------------------------------------
 *
 * check_internal.h
 *	  The doctor: what iopool_check() looks at, and how a row is reported.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_CHECK_INTERNAL_H
#define IOPOOL_CHECK_INTERNAL_H

#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

#include "ring/method.h"

/*
 * FAIL: something that is configured does not work, or will not after the
 *		next start of the server.
 * WARN: it works, but with less than iopool can do here or is asked for.
 * OK: there is nothing to do, also because nothing asks for what is missing.
 */
typedef enum IopoolCheckStatus
{
	IOPOOL_CHECK_OK,
	IOPOOL_CHECK_WARN,
	IOPOOL_CHECK_FAIL,
} IopoolCheckStatus;

/* Who asks for a method; each value is the status if it cannot be had. */
typedef enum IopoolDemand
{
	IOPOOL_DEMAND_NONE = IOPOOL_CHECK_OK,
	IOPOOL_DEMAND_AUTO = IOPOOL_CHECK_WARN,	 /* "auto" does without it */
	IOPOOL_DEMAND_NAMED = IOPOOL_CHECK_FAIL, /* the next start fails */
} IopoolDemand;

/* One run of the doctor. */
typedef struct IopoolCheck
{
	ReturnSetInfo *rsinfo;
	List *configs; /* of IopoolPoolConfig, in the order of the pools */
	IopoolDemand demand[IOPOOL_NUM_METHODS];
	IopoolUringFacts uring;
} IopoolCheck;

/* check_row.c */
extern void iopool_check_put(IopoolCheck *check, const char *name,
							 IopoolCheckStatus status, const char *detail,
							 const char *hint);

/* check_rings.c */
extern void iopool_check_rings(IopoolCheck *check);
extern void iopool_check_leases(IopoolCheck *check);

/* check_kernel.c */
extern void iopool_check_io_uring(IopoolCheck *check);
extern void iopool_check_libaio(IopoolCheck *check);
extern void iopool_check_openat2(IopoolCheck *check);
extern const char *iopool_check_io_uring_hint(IopoolCheck *check);
extern char *iopool_check_seccomp_hint(const char *advice, const char *calls);

/* check_limits.c */
extern void iopool_check_memlock(IopoolCheck *check);
extern void iopool_check_nofile(IopoolCheck *check);
extern void iopool_check_aio_max_nr(IopoolCheck *check);
extern const char *iopool_check_memlock_hint(IopoolCheck *check);
extern const char *iopool_check_nofile_hint(IopoolCheck *check);

/* check_hooks.c */
extern void iopool_check_hooks(IopoolCheck *check);

/* check_files.c */
extern void iopool_check_directories(IopoolCheck *check);
extern void iopool_check_statx(IopoolCheck *check);

#endif /* IOPOOL_CHECK_INTERNAL_H */
