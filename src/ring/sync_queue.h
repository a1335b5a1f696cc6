/*-------------------------------------------------------------------------
 *
 * sync_queue.h
 *	  Queue of reads that this process will make itself.  Part of
 *	  method_sync.c that libaio shares for buffered files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SYNC_QUEUE_H
#define IOPOOL_SYNC_QUEUE_H

#include "ring/method.h"

typedef struct IopoolSyncQueue
{
	int entries;
	int nqueued; /* prepared, from head on */
	int head;
	int nadvised;			/* of the queued, told to the kernel */
	int nunseen;			/* told since one was looked for */
	int ndone;				/* completions that wait to be reaped, ... */
	int done_head;			/* ... from here on */
	int64 head_tried_at;	/* when the first of the queue was tried for the
							 * first time without waiting, us; 0: never */
	bool is_impatient;		/* trying has been in vain: read right away */
	IopoolIo *queue;		/* [entries], a ring buffer */
	IopoolCompletion *done; /* [entries] */
} IopoolSyncQueue;

extern Size iopool_sync_queue_size(int entries);
extern void iopool_sync_queue_init(IopoolSyncQueue *queue, void *memory,
								   int entries);
extern void iopool_sync_queue_add(IopoolSyncQueue *queue, const IopoolIo *io);
extern void iopool_sync_queue_try(IopoolSyncQueue *queue, IopoolHandle *handle,
								  unsigned ndone);
extern bool iopool_sync_queue_advise(IopoolSyncQueue *queue,
									 IopoolHandle *handle);
extern void iopool_sync_queue_run(IopoolSyncQueue *queue,
								  const IopoolHandle *handle, unsigned ndone,
								  int64 timeout_us);
extern int iopool_sync_queue_reap(IopoolSyncQueue *queue,
								  IopoolCompletion *completions, int max);
extern int iopool_sync_queue_cancel(IopoolSyncQueue *queue,
									IopoolCompletion *completions, int max);

#endif /* IOPOOL_SYNC_QUEUE_H */
