/*-------------------------------------------------------------------------
 *
 * enter.c
 *	  What every SQL function begins with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/enter.h"
#include "engine/stream.h"

/*
 * iopool has to be preloaded, or 55000 is raised; and all streams in the
 * background go on, without waiting.
 */
void
iopool_enter(void)
{
	iopool_shmem_require();
	iopool_stream_pump();
}
