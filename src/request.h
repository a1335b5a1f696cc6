/*-------------------------------------------------------------------------
 *
 * request.h
 *	  Requests: batches that go on while the backend does other things.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_REQUEST_H
#define IOPOOL_REQUEST_H

#include "lib/ilist.h"

#include "batch.h"

typedef struct IopoolRequest
{
	dlist_node node;		 /* in iopool_requests */
	dlist_node running_node; /* while it is not done */
	int64 number;
	SubTransactionId subid; /* that it ends with */
	TimestampTz submitted_at;
	MemoryContext cxt; /* holds all of it */
	IopoolBatch batch;
	int nopen;	/* parts whose streams have not ended */
	int64 held; /* bytes that count for iopool.max_request_memory */

	IopoolResult *results; /* [nranges], by range; of those that are done */
	bool *is_out;		   /* [nranges], has been handed out */
	int *order;			   /* [ndone], ranges as they completed */
	int ndone;
	int nfailed;
	int nout; /* handed out, by iopool_fetch_next() */
	int64 nbytes;
} IopoolRequest;

/* Every request of this backend, by number. */
extern PGDLLIMPORT dlist_head iopool_requests;

/* request.c */
extern void iopool_request_register_callbacks(void);
extern void iopool_request_enter(void);
extern MemoryContext iopool_request_context(void);
extern IopoolRequest *iopool_request_submit(MemoryContext cxt,
											const IopoolArgs *args);
extern IopoolRequest *iopool_request_find(int64 number);
extern IopoolRequest *iopool_request_get(int64 number);
extern bool iopool_request_step(IopoolRequest *const *requests, int nrequests,
								bool is_eager, IopoolDeadline deadline);
extern bool iopool_request_wait(IopoolRequest *request,
								IopoolDeadline deadline);
extern void iopool_request_raise(const IopoolRequest *request, int rangeno);
extern void iopool_request_hand_out(IopoolRequest *request, int rangeno);
extern void iopool_request_end(IopoolRequest *request);

static inline bool
iopool_request_is_done(const IopoolRequest *request)
{
	return request->ndone == request->batch.args.nranges;
}

#endif /* IOPOOL_REQUEST_H */
