/*-------------------------------------------------------------------------
 *
 * read_cost.c
 *	  What a read costs, and a byte of it; the gap that is worth reading.
 *
 * The time in which a process has its reads made, while the queue is full, is
 * taken to be nreads * a + nbytes * b.  Two ranges with a gap between them are
 * best read as one where the bytes of the gap cost less than a read: where the
 * gap is at most a / b.
 *
 * A sample is some hundred reads of a lease and the time that it spent on
 * them.  The time of a single read would not do: at full queue it is spent in
 * line behind other reads, and says nothing of its own bytes.  Nor would a
 * single poll, because disks report what is complete in bursts.
 *
 * a and b are those of a line through the samples (least squares).  As long as
 * all reads have had about the same size, the line may turn around their mean
 * at will.  So there is a prior besides, which says what a / b is usually.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "base/read_cost.h"

/* What completes a sample. */
#define SAMPLE_READS 256
#define SAMPLE_BYTES (4 * 1024 * 1024)
#define SAMPLE_POLLS 32

/* Samples that are remembered: what is older counts for less. */
#define MEMORY_SAMPLES 64

/*
 * The time of a sample is wrong by some part of itself.  So long reads, which
 * take long, weigh less: those of this size a quarter.
 */
#define WEIGHT_BYTES (16 * 1024)

/*
 * A rule of thumb: a / b, in bytes, is this times the root of a in
 * microseconds.  Disks that are slow to begin a read are slow with its bytes,
 * too, but less so.  That gives 3 kB for 1 us, as the page cache has it; 8 kB
 * for 6 us, as a fast disk at full queue has it; 30 kB for 80 us, as the same
 * disk has it for one read after the other; and 200 kB for 4 ms, for disks
 * that turn.
 */
#define PRIOR_GAP 3400.0

/*
 * How far a / b may be from that, as a factor.  Samples of different sizes may
 * be of different hours, and the disk have been busy in one of them.
 */
#define MIN_FACTOR 0.5
#define MAX_FACTOR 2.5

/*
 * So many samples, with sizes as far from their mean as this and the gap are
 * long together, count for as much as the prior.  Times of samples vary by a
 * fifth and more.
 */
#define PRIOR_SAMPLES 2

/* A disturbance of the process must not look like the disk's time. */
#define MAX_SLOWER	3
#define MIN_TRUSTED 4

/*
 * What takes no longer than this for each read and each byte was there at
 * once, as far as anybody can tell: it came from the page cache, or from a
 * disk that is as fast.
 */
#define CACHED_US_A_READ 4.0
#define CACHED_US_A_BYTE (1.0 / 3000)

/*
 * a before anything is known.  Ranges that are less than a page apart are the
 * same to the disk, so there is a minimum for what comes from it.
 */
static const struct
{
	double us_a_read;
	int min_gap; /* bytes */
} usual[IOPOOL_NUM_READ_CLASSES] = {
	[IOPOOL_READS_DIRECT] = {6, 4096},
	[IOPOOL_READS_BUFFERED] = {6, 4096},
	[IOPOOL_READS_CACHED] = {1, 1024},
};

/* The line of a class. */
typedef struct Line
{
	double us_a_read;
	double us_a_byte;
} Line;

/*
 * The line through the mean for which a / b is PRIOR_GAP, or factor times
 * that, times the root of a.
 */
static Line
prior_line(double mean_bytes, double mean_us, double factor)
{
	/* x * (mean_bytes + gap * x) = gap * mean_us, where x is that root */
	double gap = factor * PRIOR_GAP;
	double root = 2 * gap * mean_us /
		(mean_bytes + sqrt(mean_bytes * mean_bytes + 4 * gap * gap * mean_us));

	return (Line){.us_a_read = root * root, .us_a_byte = root / gap};
}

static Line
fit(const IopoolReadCost *cost)
{
	double bytes = cost->bytes / cost->weight;
	double us = cost->us / cost->weight;
	double spread = cost->bytes_bytes - cost->bytes * bytes;
	double slope = cost->bytes_us - cost->bytes * us;
	Line prior = prior_line(bytes, us, 1);
	double distance = bytes + prior.us_a_read / prior.us_a_byte;
	double weight =
		PRIOR_SAMPLES * cost->weight / cost->nsamples * distance * distance;
	Line line;

	line.us_a_byte = (slope + weight * prior.us_a_byte) / (spread + weight);
	line.us_a_byte =
		Min(line.us_a_byte, prior_line(bytes, us, MIN_FACTOR).us_a_byte);
	line.us_a_byte =
		Max(line.us_a_byte, prior_line(bytes, us, MAX_FACTOR).us_a_byte);
	line.us_a_read = us - line.us_a_byte * bytes;
	return line;
}

/* Is it large enough? */
bool
iopool_read_cost_is_complete(const IopoolReadSample *sample)
{
	return sample->nreads >= SAMPLE_READS || sample->nbytes >= SAMPLE_BYTES ||
		sample->npolls >= SAMPLE_POLLS;
}

/* Of which class are its reads?  They are all direct, or none is. */
IopoolReadClass
iopool_read_cost_class(const IopoolReadSample *sample)
{
	if (sample->ndirect > 0)
		return IOPOOL_READS_DIRECT;
	return sample->us <= sample->nreads * CACHED_US_A_READ +
				sample->nbytes * CACHED_US_A_BYTE
		? IOPOOL_READS_CACHED
		: IOPOOL_READS_BUFFERED;
}

static void
fade(IopoolReadCost *cost, double factor)
{
	cost->nsamples *= factor;
	cost->weight *= factor;
	cost->bytes *= factor;
	cost->us *= factor;
	cost->bytes_bytes *= factor;
	cost->bytes_us *= factor;
}

/* Add a sample, and let what is older fade. */
void
iopool_read_cost_add(IopoolReadCost *cost, const IopoolReadSample *sample)
{
	double bytes;
	double us;
	double weight;

	if (sample->nreads == 0 || sample->us <= 0)
		return;
	bytes = (double) sample->nbytes / sample->nreads;
	us = sample->us / sample->nreads;
	weight = 1 / ((1 + bytes / WEIGHT_BYTES) * (1 + bytes / WEIGHT_BYTES));

	if (cost->nsamples >= MIN_TRUSTED)
	{
		Line line = fit(cost);

		us = Min(us, MAX_SLOWER * (line.us_a_read + bytes * line.us_a_byte));
	}
	if (cost->nsamples >= MEMORY_SAMPLES)
		fade(cost, (MEMORY_SAMPLES - 1) / cost->nsamples);

	cost->nsamples += 1;
	cost->weight += weight;
	cost->bytes += weight * bytes;
	cost->us += weight * us;
	cost->bytes_bytes += weight * bytes * bytes;
	cost->bytes_us += weight * bytes * us;
}

/* The largest gap that costs less than another read, in whole kB. */
int
iopool_read_cost_gap(const IopoolReadCost *cost, IopoolReadClass class)
{
	double gap = PRIOR_GAP * sqrt(usual[class].us_a_read);

	if (cost->nsamples > 0)
	{
		Line line = fit(cost);

		gap = line.us_a_read / line.us_a_byte;
	}
	gap = Min(Max(gap, usual[class].min_gap), IOPOOL_MAX_AUTO_GAP);
	return (int) gap / 1024 * 1024;
}
