/*-------------------------------------------------------------------------
 *
 * iopool_api.h
 *	  The C interface of iopool: asynchronous reads for other extensions.
 *
 * The only public header.  A consumer includes it after postgres.h, links
 * against nothing, and calls through the table that iopool_api_get() finds:
 *
 *		const IopoolApi *iopool = iopool_api_get();
 *		IopoolApiFile *file = iopool->open_file(cxt, "/srv/graph",
 *			IOPOOL_API_TRUSTED, IOPOOL_API_IO_SESSION);
 *		IopoolApiOptions options = IOPOOL_API_OPTIONS_INIT;
 *		IopoolApiStream *stream = iopool->begin(cxt, &options);
 *
 *		iopool->add(stream, &read);		// any number, at any time
 *		n = iopool->take(stream, results, lengthof(results), -1);
 *		iopool->end(stream);
 *
 * doc/c-api.md has a complete example.
 *
 * Errors.  Misuse raises an ERROR with SQLSTATE 22023 (an argument that can
 * never be right, a size that is not set) or 55000 (an object that has ended,
 * a struct that is larger than the library knows it).  What happens to a
 * read is reported in its result and raises nothing; raise_failure() makes an
 * ERROR of it.  Functions that read or wait serve interrupts, and raise as
 * the SQL functions do when no ring is to be had (53400, 53000).
 *
 * Ownership.  A stream belongs to the memory context that it was begun in and
 * to the resource owner that was current then; a file to its memory context.
 * When one of them goes, by an ERROR for instance, reads in flight are waited
 * for first: no memory that the rules below name is ever freed under a read.
 * No function of a consumer is ever called back.
 *
 * Everything is of one backend: neither streams nor files nor buffers can be
 * handed to another process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_API_H
#define IOPOOL_API_H

#include "fmgr.h"
#include "utils/palloc.h"

/*
 * Version of the interface.  It changes when something is taken away or
 * changes its meaning.  Additions come at the end of IopoolApi and of the
 * structs that begin with their size, and never into padding there, which
 * nobody need have set.  So a consumer goes on working with later libraries of
 * the same version without being compiled again.  Structs without a size never
 * change.
 */
#define IOPOOL_API_VERSION 1

/* Name of the rendezvous variable: find_rendezvous_variable(), fmgr.h */
#define IOPOOL_API_VARIABLE "iopool_api"

typedef struct IopoolApiFile IopoolApiFile;
typedef struct IopoolApiStream IopoolApiStream;

/* Whose rights decide whether a file may be read. */
typedef enum IopoolApiAccess
{
	/* the consumer's: any path; it has asked for the rights itself */
	IOPOOL_API_TRUSTED,

	/*
	 * the current user's, by the rules of the SQL functions: members of
	 * pg_read_server_files name any path, others need USAGE on a directory
	 */
	IOPOOL_API_CURRENT_USER,
} IopoolApiAccess;

/* How reads of a file treat the page cache; see setting iopool.io_mode. */
typedef enum IopoolApiIoMode
{
	IOPOOL_API_IO_SESSION, /* the directory's, or else iopool.io_mode */
	IOPOOL_API_IO_BUFFERED,
	IOPOOL_API_IO_DIRECT,
	IOPOOL_API_IO_UNCACHED,
} IopoolApiIoMode;

/* How a file is opened; the caller sets size.  All zero is a good default. */
typedef struct IopoolApiOpenOptions
{
	Size size; /* sizeof(IopoolApiOpenOptions) */

	/* the directory that the path is below, as in open_in_directory(), or
	 * NULL */
	const char *directory;

	/* the consumer has asked for the right: IOPOOL_API_TRUSTED */
	bool is_trusted;

	IopoolApiIoMode io_mode;

	/* where there is no such file (ENOENT), return NULL and raise nothing */
	bool missing_ok;

	/*
	 * A negative offset of a read counts from the end of the file, as it is
	 * when the read is started: -8 with length 8 is the last eight bytes.
	 * What would lie before the beginning of the file does not exist, as what
	 * lies behind its end.  A read fails (EINVAL) where the kernel does not
	 * know the end, as in procfs.
	 */
	bool from_end;
} IopoolApiOpenOptions;

#define IOPOOL_API_OPEN_OPTIONS_INIT         \
	{                                        \
		.size = sizeof(IopoolApiOpenOptions) \
	}

/* What is known of an open file; the caller sets size. */
typedef struct IopoolApiFileInfo
{
	Size size; /* sizeof(IopoolApiFileInfo) */

	int64 file_size; /* bytes, as of now */
	IopoolApiIoMode io_mode;
	int alignment;	  /* bytes, of aligned reads (see add); 1: none */
	const char *pool; /* that its directory asks for, or NULL; lives as
					   * long as the file */
} IopoolApiFileInfo;

/* How a stream reads; the caller sets size.  All zero is a good default. */
typedef struct IopoolApiOptions
{
	Size size; /* sizeof(IopoolApiOptions) */

	/* name of the pool that a ring is leased from; NULL: iopool.pool */
	const char *pool;

	/* results in the order of add(), or as they complete */
	bool in_order;

	/*
	 * Reads go from the disk straight into the caller's buffers also where
	 * the file is read directly.  Then each read of a file with an alignment
	 * needs a buffer of its own, and offset, length and address aligned.
	 *
	 * Before Linux 6.5, a process that forks while such a read is in flight,
	 * and then writes to a page that the read goes to, loses what the read
	 * brings there.  PostgreSQL's backends fork for COPY ... PROGRAM only.
	 * Keep nothing else in the pages of these buffers, or exclude them from
	 * forks (madvise(2), MADV_DONTFORK).
	 */
	bool is_aligned;

	/* bytes in flight, 4096 at least; 0: iopool.max_in_flight_bytes */
	int64 max_in_flight_bytes;

	/*
	 * Reads with a gap of at most so many bytes are made as one; 0: only
	 * those that touch or overlap, -1: none.  None with is_aligned.
	 */
	int merge_gap;

	/*
	 * Bytes to leave free in front of the data in buffers that the stream
	 * allocates, VARHDRSZ for a bytea; less than 1 MB.
	 */
	Size header_size;

	/*
	 * The memory context that the buffers of the caller are chunks of; NULL:
	 * the one that the stream is begun in.  When it is reset or deleted, the
	 * stream ends.  Buffers in children of it are not protected, since these
	 * go before it does.  Memory that is never freed needs no context.
	 */
	MemoryContext buffer_context;

	/*
	 * The segment of dynamic shared memory (dsm.h) that buffers of the caller
	 * are in; NULL: there is none.  When this backend detaches from it, the
	 * stream ends.  An error detaches from the segment of a parallel query
	 * before it frees anything else.
	 */
	struct dsm_segment *buffer_segment;
} IopoolApiOptions;

#define IOPOOL_API_OPTIONS_INIT          \
	{                                    \
		.size = sizeof(IopoolApiOptions) \
	}

/* A read for add(). */
typedef struct IopoolApiRead
{
	IopoolApiFile *file;
	int64 offset; /* bytes; negative only with IopoolApiOpenOptions.from_end */
	int64 length; /* bytes, 0 to 1 GB - 1 MB */
	int64 cookie; /* comes back with the result */

	/*
	 * Where the bytes go.  With a buffer of the caller's, of buffer_size
	 * bytes, at least length: it belongs to the stream from add() until the
	 * result is taken, or the stream is cancelled or ended.  NULL: the stream
	 * allocates it when the read is made, as large as what the file has.
	 */
	char *buffer;
	int64 buffer_size;
} IopoolApiRead;

/* What became of a read. */
typedef struct IopoolApiResult
{
	int64 cookie;
	IopoolApiFile *file;
	int64 offset; /* as asked for */
	int64 length; /* as asked for */
	int64 nbytes; /* bytes read, less than length only at the end of the
				   * file; -1: the read failed */
	int errnum;	  /* why it failed; 0: it did not */

	/*
	 * The caller's buffer, also after a failure.  Or the stream's, where the
	 * data follows after header_size bytes: the caller's to read and write
	 * until release() or end(); NULL after a failure.
	 */
	char *buffer;

	int failure; /* for raise_failure() */
} IopoolApiResult;

/* What a stream has done; the caller sets size. */
typedef struct IopoolApiStreamStats
{
	Size size; /* sizeof(IopoolApiStreamStats) */

	uint64 nadded; /* reads that were added */
	uint64 ntaken; /* results that were taken or cancelled */
	uint64 nreads; /* requests to the kernel, after splits and merges */
	uint64 nbytes; /* bytes that these brought */
	int in_flight; /* requests in flight now */
	int max_in_flight;
} IopoolApiStreamStats;

/* What a pool does; the caller sets size. */
typedef struct IopoolApiPoolStats
{
	Size size; /* sizeof(IopoolApiPoolStats) */

	const char *method; /* io_uring, libaio or sync */
	int nrings;			/* configured: free, in use and broken ones */
	int nfree;
	int nin_use;
	int nbroken;
	int nwaiting;	   /* backends in line for a ring */
	int entries;	   /* requests in flight on a ring, at most */
	bool has_lease;	   /* this backend has a ring of the pool now */
	int in_flight;	   /* on that ring */
	uint64 checkouts;  /* since iopool_stat_reset(), by all backends: rings
						* lent */
	uint64 waits;	   /* ... after a wait */
	uint64 wait_us;	   /* ... of so many microseconds in all */
	uint64 timeouts;   /* ... not lent within iopool.checkout_timeout */
	uint64 nreads;	   /* requests that ended */
	uint64 nbytes;	   /* bytes that they brought */
	int max_in_flight; /* on one ring */
} IopoolApiPoolStats;

typedef struct IopoolApi
{
	uint32 version; /* IOPOOL_API_VERSION of the library */
	uint32 size;	/* sizeof(IopoolApi) of the library */

	/* ----------------------------------------------------------------------
	 * Files.  Opened once, and read by any number of streams.
	 */

	/*
	 * Open a regular file for reading.  With IOPOOL_API_TRUSTED, path is
	 * absolute or relative to the data directory; with
	 * IOPOOL_API_CURRENT_USER it may name a directory, as in SQL
	 * ("tiles:a/b").  Raises 42501 without the right to it, 42809 unless it
	 * is a regular file, 0A000 where its file system has no direct I/O, 53000
	 * out of descriptors, 25P01 outside of a transaction unless the path of
	 * IOPOOL_API_TRUSTED is a plain one, and as errcode_for_file_access()
	 * says.
	 *
	 * The file belongs to cxt, and is closed with it.  Each open file takes
	 * one of the descriptors that max_files_per_process allows.
	 */
	IopoolApiFile *(*open_file)(MemoryContext cxt, const char *path,
								IopoolApiAccess access,
								IopoolApiIoMode io_mode);

	/*
	 * Open a file below a directory (a foreign server of the wrapper
	 * iopool_directory), whose containment the kernel enforces.  Raises 42704
	 * when there is no such directory, 42501 when relative leads out of it,
	 * and as open_file() does.  IOPOOL_API_TRUSTED does not ask for USAGE.
	 */
	IopoolApiFile *(*open_in_directory)(MemoryContext cxt,
										const char *directory,
										const char *relative,
										IopoolApiAccess access,
										IopoolApiIoMode io_mode);

	/*
	 * Close a file.  Reads that were added before go on; the descriptor is
	 * closed with the last of them.
	 */
	void (*close_file)(IopoolApiFile *file);

	/* Fill *info, whose size is set. */
	void (*file_info)(IopoolApiFile *file, IopoolApiFileInfo *info);

	/* ----------------------------------------------------------------------
	 * Streams.  Reads in, results out, a bounded number in flight.  A stream
	 * leases a ring when it has something to read, shares it with all others
	 * of this backend on the same pool, and gives it up when nothing is in
	 * flight.  Between two calls another backend may take the ring over once
	 * its reads are in; their results are taken as ever.
	 */

	/*
	 * Begin a stream, which takes no ring yet.  options may be NULL.  Raises
	 * 42704 for an unknown pool and 22023 for options out of range.  A stream
	 * that is still there when its resource owner commits is ended with a
	 * WARNING.
	 */
	IopoolApiStream *(*begin)(MemoryContext cxt,
							  const IopoolApiOptions *options);

	/*
	 * Add a read; starts nothing by itself.  Can be called at any time, also
	 * between two calls of take().  Raises 22023 for a negative offset, unless
	 * the file was opened with from_end and is not read with is_aligned, a
	 * length out of range, a buffer that is smaller than length, and in a stream
	 * with is_aligned what is not aligned; the stream is as before then.
	 */
	void (*add)(IopoolApiStream *stream, const IopoolApiRead *read);

	/*
	 * Start reads as far as ring and window allow, without waiting for their
	 * completion; may wait for a ring.  take() does this too.
	 */
	void (*submit)(IopoolApiStream *stream);

	/*
	 * Take up to max results, and start more reads in their place.  Returns
	 * how many there are, at least one unless the time is up or nothing is
	 * left to come.
	 *
	 * timeout_ms: how long to wait for the first, in milliseconds; 0 takes
	 * what is there, -1 waits without limit.
	 */
	int (*take)(IopoolApiStream *stream, IopoolApiResult *results, int max,
				int timeout_ms);

	/* Reads that were added and whose results have not been taken. */
	int64 (*outstanding)(IopoolApiStream *stream);

	/*
	 * Free a buffer that the stream allocated, from one of its results.
	 * Raises 22023 for any other pointer.
	 */
	void (*release)(IopoolApiStream *stream, char *buffer);

	/*
	 * Forget every read that is outstanding: what is in flight is waited for,
	 * the rest is not made.  Returns how many there were.  The stream can be
	 * used on.
	 */
	int64 (*cancel)(IopoolApiStream *stream);

	/* The same, and end the stream with the buffers that it allocated. */
	void (*end)(IopoolApiStream *stream);

	/* Fill *stats, whose size is set. */
	void (*stream_stats)(IopoolApiStream *stream, IopoolApiStreamStats *stats);

	/*
	 * Raise the ERROR of a result with errnum, with the message, SQLSTATE and
	 * hint that the SQL functions give.  Returns if the read did not fail.
	 */
	void (*raise_failure)(const IopoolApiResult *result);

	/* ----------------------------------------------------------------------
	 * Memory for aligned reads.
	 */

	/*
	 * Allocate size bytes in cxt, at an address that is a multiple of
	 * alignment (a power of two).  To be freed by free_aligned() or with cxt,
	 * not by pfree().
	 */
	void *(*alloc_aligned)(MemoryContext cxt, Size size, Size alignment);
	void (*free_aligned)(void *memory);

	/*
	 * Raise 22023 unless offset, length and buffer are multiples of the
	 * file's alignment.  The message says which is not and what it needs.
	 * add() asks this in a stream with is_aligned.  Makes no system call.
	 */
	void (*check_aligned)(IopoolApiFile *file, int64 offset, int64 length,
						  const void *buffer);

	/* ----------------------------------------------------------------------
	 * Pools.
	 */

	/*
	 * Fill *stats, whose size is set, for a pool (NULL: iopool.pool).  Raises
	 * 42704 when there is no such pool.
	 */
	void (*pool_stats)(const char *pool, IopoolApiPoolStats *stats);

	/* ----------------------------------------------------------------------
	 * Since 0.3.
	 */

	/*
	 * Open a file in any of the ways above, or in those that only options
	 * name; options may be NULL, for open_file() with
	 * IOPOOL_API_CURRENT_USER.  Raises as open_file() and
	 * open_in_directory() do.
	 */
	IopoolApiFile *(*open)(MemoryContext cxt, const char *path,
						   const IopoolApiOpenOptions *options);
} IopoolApi;

/*
 * The table of the library.  Raises 55000 when iopool is not in
 * shared_preload_libraries, or is of a version that does not have all that
 * this header declares.  The result is valid as long as the process; looking
 * it up costs a hash lookup, so keep it.
 */
static inline const IopoolApi *
iopool_api_get(void)
{
	const IopoolApi *api =
		*(const IopoolApi **) find_rendezvous_variable(IOPOOL_API_VARIABLE);

	if (api == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("iopool is not loaded"),
			 errhint(
				 "Add \"iopool\" to \"shared_preload_libraries\" and restart the server.")));
	if (api->version != IOPOOL_API_VERSION || api->size < sizeof(IopoolApi))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the C interface of iopool does not fit"),
			 errdetail(
				 "The library has version %u with %u bytes, version %u with %u bytes is needed.",
				 api->version, api->size, IOPOOL_API_VERSION,
				 (unsigned) sizeof(IopoolApi)),
			 errhint("Install a matching version of iopool.")));
	return api;
}

#endif /* IOPOOL_API_H */
