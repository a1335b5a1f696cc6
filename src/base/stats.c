/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  Counters of a pool, the histogram of its read latencies, and what its
 *	  reads cost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/timestamp.h"

#include "base/stats.h"

void
iopool_stats_init(IopoolStats *stats)
{
	for (int i = 0; i < IOPOOL_NUM_COUNTERS; i++)
		pg_atomic_init_u64(&stats->counters[i], 0);
	for (int i = 0; i < IOPOOL_LATENCY_BUCKETS; i++)
		pg_atomic_init_u64(&stats->latency[i], 0);
	pg_atomic_init_u32(&stats->max_in_flight, 0);
	pg_atomic_init_u64(&stats->reset_at, (uint64) GetCurrentTimestamp());

	SpinLockInit(&stats->costs_lock);
	memset(stats->costs, 0, sizeof(stats->costs));
	for (int i = 0; i < IOPOOL_NUM_READ_CLASSES; i++)
		pg_atomic_init_u32(&stats->gaps[i],
						   iopool_read_cost_gap(&stats->costs[i], i));
}

/*
 * Start counting from zero.  Reads that end meanwhile count before or after,
 * each as a whole.  What reads cost is still known.
 */
void
iopool_stats_reset(IopoolStats *stats)
{
	for (int i = 0; i < IOPOOL_NUM_COUNTERS; i++)
		pg_atomic_write_u64(&stats->counters[i], 0);
	for (int i = 0; i < IOPOOL_LATENCY_BUCKETS; i++)
		pg_atomic_write_u64(&stats->latency[i], 0);
	pg_atomic_write_u32(&stats->max_in_flight, 0);
	pg_atomic_write_u64(&stats->reset_at, (uint64) GetCurrentTimestamp());
}

/* Add what a backend has counted, and clear it. */
void
iopool_stats_flush(IopoolStats *stats, IopoolStatsDelta *delta)
{
	uint32 max_seen = pg_atomic_read_u32(&stats->max_in_flight);

	for (int i = 0; i < IOPOOL_NUM_COUNTERS; i++)
	{
		if (delta->counters[i] != 0)
			pg_atomic_fetch_add_u64(&stats->counters[i], delta->counters[i]);
	}

	while (delta->max_in_flight > max_seen &&
		   !pg_atomic_compare_exchange_u32(&stats->max_in_flight, &max_seen,
										   delta->max_in_flight))
		;

	if (delta->nlatencies > 0)
	{
		for (int i = 0; i < IOPOOL_LATENCY_BUCKETS; i++)
		{
			if (delta->latency[i] != 0)
				pg_atomic_fetch_add_u64(&stats->latency[i], delta->latency[i]);
		}
	}

	memset(delta, 0, sizeof(IopoolStatsDelta));
}

/*
 * Bucket of a latency: below 4 us one bucket each, then four to each power
 * of two.
 */
static int
latency_bucket(uint64 us)
{
	int msb;

	if (us < IOPOOL_LATENCY_SUBBUCKETS)
		return (int) us;
	if (us > PG_UINT32_MAX)
		return IOPOOL_LATENCY_BUCKETS - 1;

	msb = pg_leftmost_one_pos64(us);
	return (msb - 1) * IOPOOL_LATENCY_SUBBUCKETS +
		(int) ((us >> (msb - 2)) & (IOPOOL_LATENCY_SUBBUCKETS - 1));
}

/* Upper end of a bucket, in microseconds. */
static double
bucket_limit(int bucket)
{
	int msb;

	if (bucket < IOPOOL_LATENCY_SUBBUCKETS)
		return bucket + 1;
	msb = bucket / IOPOOL_LATENCY_SUBBUCKETS + 1;
	return (double) ((uint64) (bucket % IOPOOL_LATENCY_SUBBUCKETS +
							   IOPOOL_LATENCY_SUBBUCKETS + 1)
					 << (msb - 2));
}

void
iopool_stats_latency(IopoolStatsDelta *delta, uint64 us)
{
	delta->latency[latency_bucket(us)]++;
	delta->nlatencies++;
}

/* Count one read that ended with bytes or -errno after us microseconds. */
void
iopool_stats_one_read(IopoolStats *stats, int result, uint64 us)
{
	iopool_stats_add(stats, IOPOOL_COUNTER_READS, 1);
	if (result > 0)
		iopool_stats_add(stats, IOPOOL_COUNTER_BYTES, result);
	else if (result < 0)
		iopool_stats_add(stats, IOPOOL_COUNTER_ERRORS, 1);
	pg_atomic_fetch_add_u64(&stats->latency[latency_bucket(us)], 1);
	if (pg_atomic_read_u32(&stats->max_in_flight) == 0)
	{
		uint32 none = 0;

		(void) pg_atomic_compare_exchange_u32(&stats->max_in_flight, &none, 1);
	}
}

/* Add what reads have cost of late, and clear it; tells their class. */
IopoolReadClass
iopool_stats_add_sample(IopoolStats *stats, IopoolReadSample *sample)
{
	IopoolReadClass class = iopool_read_cost_class(sample);
	IopoolReadCost cost;

	SpinLockAcquire(&stats->costs_lock);
	iopool_read_cost_add(&stats->costs[class], sample);
	cost = stats->costs[class];
	SpinLockRelease(&stats->costs_lock);

	/* which of two at a time is the last does not matter */
	pg_atomic_write_u32(&stats->gaps[class],
						iopool_read_cost_gap(&cost, class));
	memset(sample, 0, sizeof(IopoolReadSample));
	return class;
}

/*
 * Time in microseconds that `fraction` of the reads did not exceed, as the
 * upper end of its bucket; -1 when nothing has been read.
 */
double
iopool_stats_percentile(IopoolStats *stats, double fraction)
{
	uint64 counts[IOPOOL_LATENCY_BUCKETS];
	uint64 total = 0;
	uint64 seen = 0;

	for (int i = 0; i < IOPOOL_LATENCY_BUCKETS; i++)
	{
		counts[i] = pg_atomic_read_u64(&stats->latency[i]);
		total += counts[i];
	}

	for (int i = 0; i < IOPOOL_LATENCY_BUCKETS; i++)
	{
		seen += counts[i];
		if (seen > 0 && (double) seen >= fraction * (double) total)
			return bucket_limit(i);
	}
	return -1;
}
