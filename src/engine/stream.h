/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  The engine: ranges in, completed ranges out, a bounded window between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_STREAM_H
#define IOPOOL_STREAM_H

#include "lib/ilist.h"
#include "port/pg_bitutils.h"

#include "base/deadline.h"
#include "file/file.h"
#include "ring/shmem.h"

/*
 * Longest buffer, with its header, that shares a block of memory with others;
 * beyond it an AllocSet gives each a block of its own, and frees that with it.
 */
#define IOPOOL_SMALL_BUFFER 8192

/*
 * Buffers of one stream, or of some.  Long ones that have been put back are for
 * the next ranges.
 */
typedef struct IopoolBuffers
{
	MemoryContext cxt; /* of long ones */
	bool is_counted;   /* whose they are counts what is used */
	dlist_head free;   /* of IopoolFreeBuffer, last put back first */
	int nfree;
	Size nbytes; /* of all of these */
	int nused;	 /* long ones that are not free */
	int nshort;	 /* short ones that have not been put back */
} IopoolBuffers;

/*
 * The size of a buffer of those that are in common: few enough different ones,
 * so that one fits the next range exactly, and close enough.
 */
static inline Size
iopool_buffers_round(Size size)
{
	return TYPEALIGN(Max(pg_prevpower2_size_t(size) / 32, 1024), size);
}

/* A range that goes into the stream. */
typedef struct IopoolRange
{
	IopoolFile *file; /* acquired; the stream releases it */
	int64 offset;	  /* bytes; negative: from the end of the file */
	int64 length;	  /* bytes, at most IOPOOL_MAX_LENGTH; or
					   * IOPOOL_WHOLE_FILE, without dest */
	int64 cookie;	  /* comes back with the result */
	char *dest;		  /* where the bytes go; NULL: the stream allocates */
	int64 max_bytes;  /* no more is read, unless it is a whole file; what
					   * dest has room for */
} IopoolRange;

typedef enum IopoolSourceStatus
{
	IOPOOL_SOURCE_RANGE, /* *range is the next one */
	IOPOOL_SOURCE_LATER, /* ask again when reads have completed */
	IOPOOL_SOURCE_PAUSE, /* ask again after a while, see iopool_stream_rest() */
	IOPOOL_SOURCE_END,	 /* there are no more */
} IopoolSourceStatus;

typedef IopoolSourceStatus (*IopoolSource)(void *arg, IopoolRange *range);

/*
 * Whose stream it is, which says what happens between two results.
 *
 * CALL: an SQL function, which comes back only when all is read.  The ring is
 *		kept until then.
 * SCAN: an executor node, which hands rows out in between.  The query may come
 *		to wait for others there, so the ring rests.
 * REQUEST: lives on between calls, each of which lets it go on, and gives the
 *		ring back whenever nothing is in flight.  Its results pile up, because
 *		the request bounds their memory beforehand, and the request ends it, not
 *		a resource owner.
 * API: of the C interface.  Lives on between calls like that of a request, but
 *		stops when its window is full of results, and ends with its resource
 *		owner.
 */
typedef enum IopoolStreamKind
{
	IOPOOL_STREAM_CALL,
	IOPOOL_STREAM_SCAN,
	IOPOOL_STREAM_REQUEST,
	IOPOOL_STREAM_API,
} IopoolStreamKind;

typedef struct IopoolStreamOptions
{
	IopoolPool *pool;
	IopoolStreamKind kind;
	bool in_order; /* results in the order of the source, or as they
								 * complete */
	int64 max_in_flight_bytes;
	int merge_gap;			  /* bytes; -1: never merge;
								 * IOPOOL_MERGE_GAP_AUTO */
	Size header_size;		  /* bytes to leave free in front of the data in
								 * buffers that the stream allocates */
	MemoryContext buffer_cxt; /* of those up to IOPOOL_SMALL_BUFFER; has to
								 * outlive the stream's context.  NULL: that */
	IopoolBuffers *buffers;	  /* of the others; has to outlive the stream's
								 * context, too.  NULL: the stream has its own,
								 * in its context */
	IopoolSource source;	  /* may raise, and is asked again for the same
								 * range if the stream goes on */
	void *source_arg;

	/*
	 * Direct reads go straight to dest, which every range has, with room for
	 * whole blocks; all is aligned, and merge_gap is -1.
	 */
	bool is_aligned;
} IopoolStreamOptions;

/* A range that comes out. */
typedef struct IopoolResult
{
	int64 cookie;
	const char *path;
	int64 offset;	  /* as asked for */
	int64 length;	  /* as asked for */
	int64 nbytes;	  /* as read: less at end of file */
	char *buffer;	  /* allocated by the stream, starts with the
								 * header; now the caller's, to pfree or put
								 * back before its memory context goes.  NULL
								 * when the caller gave dest or on failure */
	Size buffer_size; /* bytes, if buffer is not NULL */
	uint8 flaws;	  /* of its arguments, if that is why it was not read */
	IopoolFailure failure;
} IopoolResult;

typedef struct IopoolStreamTotals
{
	uint64 nranges;
	uint64 nreads;
	uint64 nbytes;
	uint64 sum_in_flight; /* as each read was started, itself included */
	int max_in_flight;
} IopoolStreamTotals;

/* What a source says when a file could not be acquired for its range. */
static inline IopoolSourceStatus
iopool_source_refused(const IopoolFile *file)
{
	return iopool_file_is_leased(file) ? IOPOOL_SOURCE_PAUSE
									   : IOPOOL_SOURCE_LATER;
}

/* What a round of iopool_stream_step() came to. */
typedef enum IopoolStep
{
	IOPOOL_STEP_MOVED, /* look whether there are results */
	IOPOOL_STEP_LATE,  /* the same, and the deadline has passed */
	IOPOOL_STEP_IDLE,  /* there is nothing to wait for */
} IopoolStep;

typedef struct IopoolStream IopoolStream;

/* stream.c */
extern IopoolStream *iopool_stream_begin(MemoryContext cxt,
										 const IopoolStreamOptions *options);
extern Size iopool_stream_range_memory(void);
extern void iopool_stream_check(IopoolStream *stream);
extern bool iopool_stream_take(IopoolStream *stream, IopoolResult *result);
extern void iopool_stream_acquire(IopoolFileSet *set, IopoolFile *file);
extern void iopool_stream_raise_idle(void) __attribute__((noreturn));
extern void iopool_stream_abort(IopoolStream *stream);
extern void iopool_stream_settle(IopoolStream *stream);
extern void iopool_stream_suspend(IopoolStream *stream);
extern void iopool_stream_cancel(IopoolStream *stream);
extern bool iopool_stream_is_quick(const IopoolStream *stream);
extern bool iopool_stream_is_open(const IopoolStream *stream);
extern int iopool_stream_in_flight(const IopoolStream *stream,
								   IopoolStreamTotals *totals);
extern void iopool_stream_end(IopoolStream *stream,
							  IopoolStreamTotals *totals);
extern void iopool_stream_register_callbacks(void);

/* stream_buffer.c */
extern IopoolBuffers *iopool_buffers_begin(MemoryContext parent);
extern void iopool_buffers_end(IopoolBuffers *buffers);
extern char *iopool_buffers_get(IopoolBuffers *buffers, Size size, Size *got);
extern void iopool_buffers_init(IopoolBuffers *buffers, MemoryContext cxt);
extern void iopool_buffers_advise_huge(char *memory, Size size);
extern void iopool_buffers_clear(IopoolBuffers *buffers);
extern void iopool_buffers_put_back(IopoolBuffers *buffers, char *memory,
									Size size, Size limit);
extern void iopool_stream_put_back(IopoolStream *stream, char *memory,
								   Size size);

/* stream_fill.c */
extern bool iopool_stream_has_ready(IopoolStream *stream);

/* stream_wait.c */
extern void iopool_stream_start(IopoolStream *stream);
extern IopoolStep iopool_stream_step(IopoolStream *const *streams,
									 int nstreams, IopoolStream *wanted,
									 bool is_eager, bool stays,
									 IopoolDeadline deadline);
extern void iopool_stream_run(IopoolStream *const *streams, int nstreams);
extern void iopool_stream_pump(void);

/* stream_leave.c */
extern void iopool_stream_leave(bool for_long);
extern void iopool_stream_check_interrupts(void);
extern void iopool_stream_rest(IopoolDeadline deadline);

#endif /* IOPOOL_STREAM_H */
