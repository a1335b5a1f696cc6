/*-------------------------------------------------------------------------
 *
 * os_limits.h
 *	  What the kernel and the limits of the server leave to this process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_OS_LIMITS_H
#define IOPOOL_OS_LIMITS_H

#include <sys/resource.h>

/*
 * Descriptors that a server needs beside the rings: core insists on 48 and
 * keeps 10 back, and some are open already.
 */
#define IOPOOL_OTHER_FILES 75

/* os_limits.c */
extern bool iopool_os_limits_sysctl(const char *name, int64 *value);
extern bool iopool_os_limits_is_filtered(void);
extern bool iopool_os_limits_kills(const int *calls, int ncalls);
extern char *iopool_os_limits_text(rlim_t value);
extern int iopool_os_limits_free_files(void);
extern bool iopool_os_limits_files_suffice(int nrings_open, int nrings_more);
extern bool iopool_os_limits_charges_rings(void);
extern int64 iopool_os_limits_free_aio_events(void);

#endif /* IOPOOL_OS_LIMITS_H */
