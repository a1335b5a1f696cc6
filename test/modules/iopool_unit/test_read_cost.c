/*-------------------------------------------------------------------------
 *
 * test_read_cost.c
 *	  White-box tests of read_cost.c, on disks that are known.
 *
 *-------------------------------------------------------------------------
 */
#include "../../../src/base/read_cost.c"

#include "mock.h"
#include "unit.h"

/* A disk on which a read takes us_a_read, and each byte its share of it. */
typedef struct Disk
{
	double us_a_read;
	double best_gap; /* bytes */
	IopoolReadClass class;
} Disk;

/* Near the prior, and away from it in both directions. */
static const Disk disks[] = {
	{6, 8 * 1024, IOPOOL_READS_DIRECT},
	{6, 20 * 1024, IOPOOL_READS_BUFFERED},
	{60, 90 * 1024, IOPOOL_READS_DIRECT},
	{100, 20 * 1024, IOPOOL_READS_BUFFERED},
	{4000, 250 * 1024, IOPOOL_READS_DIRECT},
	{1, 5 * 1024, IOPOOL_READS_CACHED},
};

/* So many reads of a size; noise is how much of the time may be wrong. */
static IopoolReadSample
sample_of(const Disk *disk, int nreads, int64 size, double noise)
{
	double factor = 1 + noise * mock_between(-1000, 1000) / 1000;

	return (IopoolReadSample){
		.npolls = 4,
		.nreads = nreads,
		.ndirect = disk->class == IOPOOL_READS_DIRECT ? nreads : 0,
		.nbytes = nreads * size,
		.us = factor * nreads * disk->us_a_read * (1 + size / disk->best_gap),
	};
}

static void
add(IopoolReadCost *cost, const Disk *disk, int nsamples, int64 size,
	double noise)
{
	for (int i = 0; i < nsamples; i++)
	{
		IopoolReadSample sample = sample_of(disk, 256, size, noise);

		CHECK(iopool_read_cost_is_complete(&sample));
		iopool_read_cost_add(cost, &sample);
	}
}

/* Neither rounded nor bounded. */
static double
gap_of(const IopoolReadCost *cost, const Disk *disk)
{
	Line line = fit(cost);

	return line.us_a_read / line.us_a_byte;
}

static double
prior_gap(double us_a_read)
{
	return PRIOR_GAP * sqrt(us_a_read);
}

static bool
is_about(double value, double expected, double factor)
{
	return value >= expected / factor && value <= expected * factor;
}

/* Reads of one size do not tell the gap: the prior does, by their time. */
static void
cost_prior(int rounds)
{
	int last_gap = 0;

	for (double us = 0.01; us < 1e6; us *= 1.5)
	{
		for (int64 size = 512; size <= 1024 * 1024; size *= 2)
		{
			Disk disk = {us, 1e12, IOPOOL_READS_DIRECT};
			IopoolReadCost cost = {0};
			Line line;

			add(&cost, &disk, 10, size, 0);
			line = fit(&cost);
			CHECK(is_about(gap_of(&cost, &disk), prior_gap(line.us_a_read),
						   1.001));
			CHECK(is_about(line.us_a_read + size * line.us_a_byte, us, 1.001));
		}
	}
	for (int i = 0; i < 20; i++)
	{
		Disk disk = {pow(2, i), 1e12, IOPOOL_READS_DIRECT};
		IopoolReadCost cost = {0};
		int gap;

		add(&cost, &disk, 10, 4096, 0);
		gap = iopool_read_cost_gap(&cost, IOPOOL_READS_DIRECT);
		CHECK(gap >= last_gap);
		last_gap = gap;
	}
	CHECK_EQUAL(last_gap, IOPOOL_MAX_AUTO_GAP);
}

/* Reads of several sizes do. */
static void
cost_fit(int rounds)
{
	for (int round = 0; round < rounds; round++)
	{
		const Disk *disk = &disks[mock_between(0, lengthof(disks) - 1)];
		IopoolReadCost cost = {0};
		int64 sizes[3] = {4096, 4096 + disk->best_gap, 5 * disk->best_gap};
		double gap;

		for (int i = 0; i < 40; i++)
			add(&cost, disk, 1, sizes[mock_between(0, 2)], 0.2);
		gap = gap_of(&cost, disk);
		if (!is_about(gap, disk->best_gap, 1.6))
			unit_fail(__FILE__, __LINE__, "a gap of %g, expected %g", gap,
					  disk->best_gap);
	}
}

/* Noise of reads that have nearly the same size turns no line around. */
static void
cost_noise(int rounds)
{
	for (int round = 0; round < rounds; round++)
	{
		const Disk *disk = &disks[mock_between(0, lengthof(disks) - 1)];
		IopoolReadCost cost = {0};
		Line line;

		for (int i = 0; i < 100; i++)
			add(&cost, disk, 1, mock_between(4000, 4200), 0.3);
		line = fit(&cost);
		CHECK(is_about(gap_of(&cost, disk), prior_gap(line.us_a_read), 1.3));
	}
}

/* A process that is stopped for a second has seen no slow disk. */
static void
cost_stall(int rounds)
{
	for (size_t i = 0; i < lengthof(disks); i++)
	{
		const Disk *disk = &disks[i];
		IopoolReadCost cost = {0};
		IopoolReadSample sample = sample_of(disk, 256, 4096, 0);
		double before;

		add(&cost, disk, 30, 4096, 0.1);
		add(&cost, disk, 30, 2 * disk->best_gap, 0.1);
		before = gap_of(&cost, disk);
		sample.us += 1e6;
		iopool_read_cost_add(&cost, &sample);
		CHECK(is_about(gap_of(&cost, disk), before, 1.5));
	}
}

/* A disk that has become another one is known for what it is. */
static void
cost_change(int rounds)
{
	for (size_t i = 0; i < lengthof(disks); i++)
	{
		IopoolReadCost cost = {0};

		for (int later = 0; later < 2; later++)
		{
			const Disk *disk = &disks[(i + later) % lengthof(disks)];

			for (int n = 0; n < 1000; n++)
				add(&cost, disk, 1,
					n % 2 == 0 ? 4096 : (int64) (3 * disk->best_gap), 0.1);
			CHECK(cost.nsamples <= MEMORY_SAMPLES);
			CHECK(is_about(gap_of(&cost, disk), disk->best_gap, 1.5));
		}
	}
}

/* Whatever is measured, the gap is within its bounds. */
static void
cost_bounds(int rounds)
{
	for (int round = 0; round < rounds; round++)
	{
		IopoolReadClass class = mock_between(0, IOPOOL_NUM_READ_CLASSES - 1);
		IopoolReadCost cost = {0};
		int gap = iopool_read_cost_gap(&cost, class);

		CHECK(gap > 0 && gap <= 8192);
		for (int i = (int) mock_between(1, 50); i > 0; i--)
		{
			int nreads = (int) mock_between(0, 1 << mock_between(0, 12));
			IopoolReadSample sample = {
				.npolls = 1,
				.nreads = nreads,
				.nbytes = nreads * (INT64CONST(1) << mock_between(0, 30)),
				.us = mock_between(-1, INT64CONST(1) << mock_between(0, 40)),
			};

			iopool_read_cost_add(&cost, &sample);
			gap = iopool_read_cost_gap(&cost, class);
			CHECK(gap >= usual[class].min_gap && gap <= IOPOOL_MAX_AUTO_GAP);
			CHECK_EQUAL(gap % 1024, 0);
		}
	}
}

/* What is direct is told; what is cached shows by its time. */
static void
cost_class(int rounds)
{
	IopoolReadSample sample = {.npolls = 1, .nreads = 100, .nbytes = 400000};

	sample.us = 200;
	CHECK_EQUAL(iopool_read_cost_class(&sample), IOPOOL_READS_CACHED);
	sample.us = 1000;
	CHECK_EQUAL(iopool_read_cost_class(&sample), IOPOOL_READS_BUFFERED);
	sample.nbytes = 6000000;
	CHECK_EQUAL(iopool_read_cost_class(&sample), IOPOOL_READS_CACHED);
	sample.ndirect = 100;
	CHECK_EQUAL(iopool_read_cost_class(&sample), IOPOOL_READS_DIRECT);

	/* small enough to be new, and large enough to be one */
	CHECK(iopool_read_cost_is_complete(&sample));
	sample.nbytes = 400000;
	CHECK(!iopool_read_cost_is_complete(&sample));
	sample.npolls = SAMPLE_POLLS;
	CHECK(iopool_read_cost_is_complete(&sample));
}

const UnitCase unit_read_cost_cases[] = {
	{"cost_prior", cost_prior},	  {"cost_fit", cost_fit},
	{"cost_noise", cost_noise},	  {"cost_stall", cost_stall},
	{"cost_change", cost_change}, {"cost_bounds", cost_bounds},
	{"cost_class", cost_class},	  {NULL, NULL},
};
