/*-------------------------------------------------------------------------
 *
 * enter.h
 *	  What every SQL function begins with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ENTER_H
#define IOPOOL_ENTER_H

/* enter.c */
extern void iopool_enter(void);

#endif /* IOPOOL_ENTER_H */
