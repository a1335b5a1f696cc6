/*-------------------------------------------------------------------------
 *
 * test_stats.c
 *	  White-box tests of stats.c.
 *
 *-------------------------------------------------------------------------
 */
#include "../../../src/base/stats.c"

#include <math.h>

#include "mock.h"
#include "unit.h"

/* Every latency has a bucket, in order, and lies below its bucket's limit. */
static void
check_latency(uint64 us, int *last_bucket)
{
	int bucket = latency_bucket(us);

	CHECK(bucket >= 0 && bucket < IOPOOL_LATENCY_BUCKETS);
	CHECK(bucket >= *last_bucket);
	/* the last one takes all that is longer */
	CHECK((double) us < bucket_limit(bucket) || us > PG_UINT32_MAX);

	/* and not by far: a quarter of it, beyond single microseconds */
	if (us >= IOPOOL_LATENCY_SUBBUCKETS && us <= PG_UINT32_MAX)
		CHECK(bucket_limit(bucket) <= us * 1.25 + 0.001);
	*last_bucket = bucket;
}

static void
stats_buckets(int rounds)
{
	int last_bucket = 0;
	double limit = 0;

	for (uint64 us = 0; us < 100000; us++)
		check_latency(us, &last_bucket);
	for (int bit = 17; bit < 63; bit++)
	{
		uint64 us = UINT64CONST(1) << bit;

		check_latency(us - 1, &last_bucket);
		check_latency(us, &last_bucket);
		check_latency(us + us / 4, &last_bucket);
		check_latency(us + us / 2, &last_bucket);
	}
	for (int bucket = 0; bucket < IOPOOL_LATENCY_BUCKETS; bucket++)
	{
		CHECK(bucket_limit(bucket) > limit);
		limit = bucket_limit(bucket);
	}
}

static int
compare_uint64(const void *a, const void *b)
{
	uint64 ua = *(const uint64 *) a;
	uint64 ub = *(const uint64 *) b;

	return ua < ub ? -1 : ua > ub;
}

/* Percentiles bound those of the sorted list, and grow with the fraction. */
static void
stats_percentiles(int rounds)
{
	static const double fractions[] = {0.01, 0.5, 0.95, 0.99, 1.0};
	IopoolStats *stats = palloc(sizeof(IopoolStats));
	IopoolStatsDelta *delta = palloc0(sizeof(IopoolStatsDelta));

	iopool_stats_init(stats);
	CHECK(iopool_stats_percentile(stats, 0.5) < 0);

	for (int round = 0; round < rounds; round++)
	{
		int n = (int) mock_between(1, 300);
		uint64 *sample = palloc(sizeof(uint64) * n);
		double last = 0;

		iopool_stats_reset(stats);
		for (int i = 0; i < n; i++)
		{
			sample[i] = mock_between(0, INT64CONST(1) << mock_between(0, 31));
			if (mock_chance(50))
				iopool_stats_latency(delta, sample[i]);
			else
				iopool_stats_one_read(stats, 1, sample[i]);
		}
		iopool_stats_flush(stats, delta);
		CHECK_EQUAL(delta->nlatencies, 0);
		qsort(sample, n, sizeof(uint64), compare_uint64);

		for (size_t i = 0; i < lengthof(fractions); i++)
		{
			int rank = Max((int) ceil(fractions[i] * n), 1);
			double value = iopool_stats_percentile(stats, fractions[i]);

			CHECK(value > sample[rank - 1]);
			CHECK(value <= Max(sample[rank - 1] * 1.25 + 0.001,
							   sample[rank - 1] + 1.0));
			CHECK(value >= last);
			last = value;
		}
		pfree(sample);
	}
}

/* A flush adds once, and forgets. */
static void
stats_flush(int rounds)
{
	IopoolStats *stats = palloc(sizeof(IopoolStats));
	IopoolStatsDelta *delta = palloc0(sizeof(IopoolStatsDelta));

	iopool_stats_init(stats);
	for (int i = 0; i < IOPOOL_NUM_COUNTERS; i++)
		delta->counters[i] = i + 1;
	delta->max_in_flight = 7;
	iopool_stats_flush(stats, delta);
	iopool_stats_flush(stats, delta);
	for (int i = 0; i < IOPOOL_NUM_COUNTERS; i++)
		CHECK_EQUAL(pg_atomic_read_u64(&stats->counters[i]), i + 1);
	CHECK_EQUAL(pg_atomic_read_u32(&stats->max_in_flight), 7);

	delta->max_in_flight = 3;
	iopool_stats_flush(stats, delta);
	CHECK_EQUAL(pg_atomic_read_u32(&stats->max_in_flight), 7);

	iopool_stats_reset(stats);
	for (int i = 0; i < IOPOOL_NUM_COUNTERS; i++)
		CHECK_EQUAL(pg_atomic_read_u64(&stats->counters[i]), 0);
	CHECK_EQUAL(pg_atomic_read_u32(&stats->max_in_flight), 0);
}

const UnitCase unit_stats_cases[] = {
	{"stats_buckets", stats_buckets},
	{"stats_percentiles", stats_percentiles},
	{"stats_flush", stats_flush},
	{NULL, NULL},
};
