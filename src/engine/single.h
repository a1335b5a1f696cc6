/*-------------------------------------------------------------------------
 *
 * single.h
 *	  One small read at once, without a ring.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SINGLE_H
#define IOPOOL_SINGLE_H

#include "datatype/timestamp.h"
#include "utils/palloc.h"

#include "file/file.h"
#include "ring/shmem.h"

/* Up to this length (bytes) one read gains nothing from being split. */
#define IOPOOL_SINGLE_MAX (128 * 1024)

/*
 * A file that stays open from call to call, for as long as a function is called
 * in one place; private to single.c.
 */
typedef struct IopoolKeptFile
{
	MemoryContext cxt;
	MemoryContextCallback at_reset;
	bool is_query;	 /* cxt is that of the query of the portal */
	IopoolFile file; /* its path is in cxt; fd is -1: none is open */

	/* how it came to be this file */
	IopoolAccessTime time;
	int session_io_mode; /* setting iopool.io_mode */

	/* of a file in a directory */
	char *full_path;	   /* in cxt; NULL: it is in none */
	bool is_plain_below;   /* see iopool_directory_leads_to() */
	IopoolPool *pool;	   /* NULL: the session's */
	TimestampTz statement; /* that opened it */

	char *buffer; /* IOPOOL_SINGLE_MAX bytes in cxt, or NULL */
} IopoolKeptFile;

/* What a read was made of; what is wrong with it, if so. */
typedef struct IopoolSingleResult
{
	IopoolPool *pool;
	IopoolFailure failure;
} IopoolSingleResult;

/* single.c */
extern IopoolKeptFile *iopool_single_keep(MemoryContext cxt);
extern char *iopool_single_buffer(IopoolKeptFile *kept);
extern int64 iopool_single_read(IopoolKeptFile *kept, const char *path,
								int64 offset, int64 length, char *dest,
								IopoolSingleResult *result);

#endif /* IOPOOL_SINGLE_H */
