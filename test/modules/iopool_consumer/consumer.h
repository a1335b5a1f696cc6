/*-------------------------------------------------------------------------
 *
 * consumer.h
 *	  What the files of iopool_consumer share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONSUMER_H
#define CONSUMER_H

#include "extension/iopool/iopool_api.h"

/*
 * What a handle stands for.  Pointers stay in the table after their objects
 * have gone, since that is what the tests of misuse are about.
 */
typedef struct ConsumerHandle
{
	void *pointer;
	int64 size;		  /* of a buffer of ours, in bytes */
	Size header_size; /* of a stream */
} ConsumerHandle;

/* consumer.c */
extern const IopoolApi *consumer_api(void);
extern IopoolApiIoMode consumer_io_mode(const char *name);
extern const char *consumer_io_mode_name(IopoolApiIoMode mode);
extern IopoolApiAccess consumer_access(const char *name);

/* handles.c */
extern int consumer_handle_new(void *pointer, int64 size, Size header_size);
extern ConsumerHandle *consumer_handle(int number);
extern MemoryContext consumer_context_get(const char *name);

/* shmem.c */
extern int consumer_shmem_fill(const char *path, int64 first,
							   IopoolApiAccess access, IopoolApiIoMode io_mode,
							   bool fails);
extern void consumer_shmem_give_back(void);

#endif /* CONSUMER_H */
