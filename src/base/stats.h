/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  Counters of a pool, the histogram of its read latencies, and what its
 *	  reads cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_STATS_H
#define IOPOOL_STATS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/spin.h"

#include "base/read_cost.h"

/*
 * Log-scale histogram of microseconds: four buckets to each power of two, so
 * a percentile is at most 25 % too high.
 */
#define IOPOOL_LATENCY_SUBBUCKETS 4
#define IOPOOL_LATENCY_BUCKETS	  (32 * IOPOOL_LATENCY_SUBBUCKETS)

typedef enum IopoolCounter
{
	IOPOOL_COUNTER_READS,		   /* kernel reads that ended */
	IOPOOL_COUNTER_BYTES,		   /* bytes that they brought */
	IOPOOL_COUNTER_SHORT_READS,	   /* continued because they stopped early */
	IOPOOL_COUNTER_RETRIES,		   /* submissions and reads made again */
	IOPOOL_COUNTER_ERRORS,		   /* reads that failed */
	IOPOOL_COUNTER_SPLITS,		   /* reads beyond the first of a long range */
	IOPOOL_COUNTER_MERGES,		   /* ranges read along with a neighbour */
	IOPOOL_COUNTER_CHECKOUTS,	   /* leases given */
	IOPOOL_COUNTER_CHECKOUT_WAITS, /* had to wait, whatever came of it */
	IOPOOL_COUNTER_CHECKOUT_WAIT_US,  /* time they waited */
	IOPOOL_COUNTER_CHECKOUT_TIMEOUTS, /* refused: no ring was free in time */
	IOPOOL_COUNTER_RESETS,	  /* rings made anew or given up as broken */
	IOPOOL_COUNTER_RECLAIMS,  /* leases taken back on an error or exit */
	IOPOOL_COUNTER_TAKEOVERS, /* rings taken from owners who were elsewhere */
	IOPOOL_COUNTER_STALE,	  /* completions that nobody waited for */
	IOPOOL_NUM_COUNTERS
} IopoolCounter;

/* In shared memory; atomics need no lock. */
typedef struct IopoolStats
{
	pg_atomic_uint64 counters[IOPOOL_NUM_COUNTERS];
	pg_atomic_uint32 max_in_flight;
	pg_atomic_uint64 latency[IOPOOL_LATENCY_BUCKETS];
	pg_atomic_uint64 reset_at; /* TimestampTz */

	slock_t costs_lock;
	IopoolReadCost costs[IOPOOL_NUM_READ_CLASSES];	/* guarded by it */
	pg_atomic_uint32 gaps[IOPOOL_NUM_READ_CLASSES]; /* what follows of them */
} IopoolStats;

/*
 * What a backend has counted and not added to the shared counters yet: one
 * atomic operation for many reads.
 */
typedef struct IopoolStatsDelta
{
	uint64 counters[IOPOOL_NUM_COUNTERS];
	uint32 max_in_flight;
	uint32 latency[IOPOOL_LATENCY_BUCKETS];
	int nlatencies;
} IopoolStatsDelta;

/* stats.c */
extern void iopool_stats_init(IopoolStats *stats);
extern void iopool_stats_reset(IopoolStats *stats);
extern void iopool_stats_flush(IopoolStats *stats, IopoolStatsDelta *delta);
extern void iopool_stats_latency(IopoolStatsDelta *delta, uint64 us);
extern void iopool_stats_one_read(IopoolStats *stats, int result, uint64 us);
extern IopoolReadClass iopool_stats_add_sample(IopoolStats *stats,
											   IopoolReadSample *sample);
extern double iopool_stats_percentile(IopoolStats *stats, double fraction);

static inline void
iopool_stats_add(IopoolStats *stats, IopoolCounter counter, uint64 n)
{
	pg_atomic_fetch_add_u64(&stats->counters[counter], n);
}

#endif /* IOPOOL_STATS_H */
