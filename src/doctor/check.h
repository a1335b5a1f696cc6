/*-------------------------------------------------------------------------
 *
 * check.h
 *	  What the doctor says unasked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_CHECK_H
#define IOPOOL_CHECK_H

/* check_hooks.c */
extern void iopool_check_load_order(void);

#endif /* IOPOOL_CHECK_H */
