/*-------------------------------------------------------------------------
 *
 * catalog_watch.h
 *	  Notices changes of the catalog that rights and directories depend on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_CATALOG_WATCH_H
#define IOPOOL_CATALOG_WATCH_H

/* catalog_watch.c */
extern uint64 iopool_catalog_changes(void);
extern uint64 iopool_catalog_changes_now(void);

#endif /* IOPOOL_CATALOG_WATCH_H */
