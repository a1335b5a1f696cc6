/*-------------------------------------------------------------------------
 *
 * request.h
 *	  Requests: calls that go on while the backend does other things.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_REQUEST_H
#define IOPOOL_REQUEST_H

#include "lib/ilist.h"

#include "sql/feed.h"

/* What has become of a range of a request. */
typedef enum IopoolRangeState
{
	IOPOOL_RANGE_OPEN, /* not read yet */
	IOPOOL_RANGE_DONE,
	IOPOOL_RANGE_OUT, /* handed out */
} IopoolRangeState;

typedef struct IopoolRequest
{
	dlist_node node;		 /* in iopool_requests */
	dlist_node running_node; /* while it is not done */
	int64 number;
	Oid userid;				/* that submitted it */
	SubTransactionId subid; /* that it ends with */
	TimestampTz submitted_at;
	MemoryContext cxt;		  /* holds all of it */
	MemoryContext buffer_cxt; /* of data; a child of cxt, and parent of the
								 * feed's, which drains when it goes */
	IopoolFeed *feed;
	IopoolCall *call;	/* the only one */
	int nranges;		/* of it */
	const int64 *sizes; /* [nranges], bytes, as the files were */
	bool is_running;	/* not all of it has been read */
	int64 held;			/* bytes that count for iopool.max_request_memory */
	uint64 asked;		/* the last iopool_request_get_all() that found it */

	IopoolResult *results; /* [nranges], by range; of those that are done */
	uint8 *states;		   /* [nranges], IopoolRangeState */
	int *order;			   /* [ndone], ranges as they completed */
	int ndone;
	int nfailed;
	int nout; /* handed out, by iopool_fetch_next() */
	int64 nbytes;
} IopoolRequest;

/* See request_rows.c. */
typedef struct IopoolTakenRows IopoolTakenRows;

/* Every request of this backend, by number. */
extern PGDLLIMPORT dlist_head iopool_requests;

/* request_memory.c */
extern PGDLLIMPORT uint64 iopool_request_generation;

/* request.c */
extern void iopool_request_register_callbacks(void);
extern void iopool_request_enter(void);
extern MemoryContext iopool_request_context(void);
extern IopoolRequest *iopool_request_submit(MemoryContext cxt,
											const IopoolArgs *args);
extern IopoolRequest *iopool_request_find(int64 number);
extern IopoolRequest *iopool_request_get(int64 number);
extern IopoolRequest **iopool_request_get_all(const int64 *numbers,
											  int nnumbers, int *nrequests);
extern bool iopool_request_is_visible(const IopoolRequest *request);
extern bool iopool_request_step(IopoolRequest *const *requests, int nrequests,
								bool is_eager, IopoolDeadline deadline);
extern bool iopool_request_wait(IopoolRequest *request,
								IopoolDeadline deadline);
extern void iopool_request_check(const IopoolRequest *request);
extern void iopool_request_raise_first(IopoolRequest *request);
extern void iopool_request_hand_out(IopoolRequest *request, int rangeno);
extern void iopool_request_detach(IopoolRequest *request);
extern void iopool_request_end(IopoolRequest *request);

/* request_rows.c */
extern IopoolTakenRows *iopool_request_take_all(MemoryContext parent,
												IopoolRequest *request);
extern IopoolTakenRows *iopool_request_take_next(MemoryContext parent,
												 IopoolRequest *request,
												 int upto);
extern bool iopool_request_next_row(IopoolTakenRows *rows, Datum *values,
									bool *nulls);

/* request_memory.c */
extern MemoryContext iopool_request_data_context(MemoryContext cxt);
extern IopoolBuffers *iopool_request_buffers(void);
extern void iopool_request_make_buffers(const IopoolRequest *request);
extern void iopool_request_forget_buffers(void);
extern void iopool_request_free_data(IopoolResult *result);
extern void iopool_request_check_memory(int nranges);
extern void iopool_request_reserve_memory(IopoolRequest *request);
extern void iopool_request_hold_memory(IopoolRequest *request);
extern int64 iopool_request_data_memory(const IopoolResult *result);
extern void iopool_request_count_memory(int64 nbytes);
extern void iopool_request_release_data(IopoolRequest *request, int64 nbytes);
extern void iopool_request_release_memory(IopoolRequest *request);

/* sql_request.c */
extern IopoolTakenRows *iopool_fetch_take(MemoryContext cxt,
										  const Datum *args);
extern IopoolTakenRows *iopool_fetch_next_take(MemoryContext cxt,
											   const Datum *args);

static inline bool
iopool_request_is_done(const IopoolRequest *request)
{
	return request->ndone == request->nranges;
}

static inline bool
iopool_request_has_failed(const IopoolRequest *request, int rangeno)
{
	return request->states[rangeno] == IOPOOL_RANGE_DONE &&
		request->results[rangeno].failure.kind != IOPOOL_FAILURE_NONE;
}

#endif /* IOPOOL_REQUEST_H */
