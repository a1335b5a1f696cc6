/*-------------------------------------------------------------------------
 *
 * hooks.c
 *	  Hooks of the server that iopool depends on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/hooks.h"

/* How often each has got to us, in this process. */
uint64 iopool_hook_calls[IOPOOL_NUM_HOOKS];
