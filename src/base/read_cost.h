/*-------------------------------------------------------------------------
 *
 * read_cost.h
 *	  What a read costs, and a byte of it; the gap that is worth reading.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_READ_COST_H
#define IOPOOL_READ_COST_H

/* The largest gap that iopool.merge_gap = auto reads over, in bytes. */
#define IOPOOL_MAX_AUTO_GAP (256 * 1024)

/* Kinds of reads that cost very different times. */
typedef enum IopoolReadClass
{
	IOPOOL_READS_DIRECT,
	IOPOOL_READS_BUFFERED, /* from the disk, through the page cache */
	IOPOOL_READS_CACHED,   /* from the page cache */
	IOPOOL_NUM_READ_CLASSES
} IopoolReadClass;

/* Reads that ended one after the other, and the time that they took. */
typedef struct IopoolReadSample
{
	int npolls; /* in which they were found */
	int nreads;
	int ndirect; /* of these */
	int64 nbytes;
	double us;
} IopoolReadSample;

/*
 * Sums over samples, from which a straight line is fitted: the time of a read
 * over its bytes.
 */
typedef struct IopoolReadCost
{
	double nsamples;
	double weight; /* all that follows is times the weight of the sample */
	double bytes;  /* of a read */
	double us;	   /* likewise */
	double bytes_bytes;
	double bytes_us;
} IopoolReadCost;

/* read_cost.c */
extern bool iopool_read_cost_is_complete(const IopoolReadSample *sample);
extern IopoolReadClass iopool_read_cost_class(const IopoolReadSample *sample);
extern void iopool_read_cost_add(IopoolReadCost *cost,
								 const IopoolReadSample *sample);
extern int iopool_read_cost_gap(const IopoolReadCost *cost,
								IopoolReadClass class);

#endif /* IOPOOL_READ_COST_H */
