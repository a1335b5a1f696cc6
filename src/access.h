/*-------------------------------------------------------------------------
 *
 * access.h
 *	  Who may read which path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ACCESS_H
#define IOPOOL_ACCESS_H

/* access.c */
extern void iopool_access_check_path(const char *path);

#endif /* IOPOOL_ACCESS_H */
