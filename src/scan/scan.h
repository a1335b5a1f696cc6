/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Executor nodes in the place of function scans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SCAN_H
#define IOPOOL_SCAN_H

/* scan_path.c */
extern void iopool_scan_install(void);

#endif /* IOPOOL_SCAN_H */
