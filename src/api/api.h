/*-------------------------------------------------------------------------
 *
 * api.h
 *	  The C interface; what consumers see of it is iopool_api.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_API_API_H
#define IOPOOL_API_API_H

/* api.c */
extern void iopool_api_install(void);

#endif /* IOPOOL_API_API_H */
