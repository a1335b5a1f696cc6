/*-------------------------------------------------------------------------
 *
 * test_plan.c
 *	  White-box tests of plan.c: random ranges, cut at random, against a file
 *	  that can be computed.
 *
 *-------------------------------------------------------------------------
 */
#include "../../../src/engine/plan.c"

#include "mock.h"
#include "unit.h"

#define MAX_RANGES 80
#define CANARY	   16

bool
unit_is_gap(const char *memory)
{
	return memory >= gap_buffer && memory < gap_buffer + GAP_BUFFER_SIZE;
}

typedef struct Plan
{
	MockFile *files[2];
	IopoolFile file[2];
	int nranges;
	int gap;
	IopoolPending ranges[MAX_RANGES];
	IopoolPending *group[MAX_RANGES];
	dlist_head pieces;
	int nmerged;
	int64 nread;
} Plan;

static void
make_ranges(Plan *plan)
{
	static const int gaps[] = {-1, 0, 0, 1, 17, 500, 5000, 100000};
	/* short ranges near each other overflow the vector of a read */
	bool is_dense = mock_chance(30);

	plan->gap = gaps[mock_between(0, lengthof(gaps) - 1)];
	plan->nranges = (int) mock_between(1, MAX_RANGES);
	dlist_init(&plan->pieces);
	for (int i = 0; i < plan->nranges; i++)
	{
		IopoolPending *pending = &plan->ranges[i];
		int64 len = mock_between(1,
								 is_dense			   ? 20
									 : mock_chance(80) ? 300
													   : 30000);
		char *memory = palloc(len + 2 * CANARY);

		memset(pending, 0, sizeof(IopoolPending));
		memset(memory, 0x77, len + 2 * CANARY);
		pending->file = &plan->file[mock_chance(80) ? 0 : 1];
		pending->start = mock_between(0, is_dense ? 1000 : 20000);
		if (mock_chance(10))
			pending->start += 300000;
		pending->end = pending->start + len;
		pending->cookie = i;
		pending->dest = memory + CANARY;
		plan->group[i] = pending;
	}
	for (int i = plan->nranges - 1; i > 0; i--)
	{
		int j = (int) mock_between(0, i);
		IopoolPending *swap = plan->group[i];

		plan->group[i] = plan->group[j];
		plan->group[j] = swap;
	}
}

/* Merge the first ranges of the group, with one gap for all files. */
static int
merge(Plan *plan, int nranges, int gap)
{
	IopoolMergeGaps gaps = {.buffered = gap, .direct = gap};

	return iopool_plan_merge(plan->group, nranges, &gaps, &plan->pieces);
}

/* By brute force: do two ranges belong to one extent? */
static bool
are_neighbours(const Plan *plan, const IopoolPending *a,
			   const IopoolPending *b)
{
	return plan->gap >= 0 && a->file == b->file &&
		a->start - b->end <= plan->gap && b->start - a->end <= plan->gap;
}

/*
 * Every range is in one extent, with all its neighbours, within its piece; and
 * the pieces are in the order of the ranges.
 */
static void
check_extents(Plan *plan)
{
	dlist_iter iter;
	int nextents = 0;
	int nranges = 0;
	int last_place = -1;

	dlist_foreach(iter, &plan->pieces)
	{
		IopoolPiece *piece = dlist_container(IopoolPiece, node, iter.cur);
		int64 upto = piece->start;
		int place = plan->nranges;
		int n = 0;

		nextents++;
		CHECK_EQUAL(piece->extent->nrefs, 1);
		CHECK(piece->single == NULL);
		for (IopoolPending *pending = piece->extent->first; pending != NULL;
			 pending = pending->next)
		{
			CHECK(pending->extent == piece->extent);
			CHECK(pending->file == piece->extent->file);
			CHECK(pending->start >= piece->start);
			CHECK(n == 0 || pending->start - upto <= plan->gap);
			upto = Max(upto, pending->end);
			place = Min(place, pending->place);
			n++;
		}
		CHECK_EQUAL(upto, piece->end);
		CHECK_EQUAL(n, piece->extent->nranges);
		CHECK(place > last_place);
		last_place = place;
		nranges += n;
	}
	CHECK_EQUAL(nranges, plan->nranges);
	CHECK_EQUAL(plan->nmerged, plan->nranges - nextents);

	for (int i = 0; i < plan->nranges; i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (are_neighbours(plan, &plan->ranges[i], &plan->ranges[j]))
				CHECK(plan->ranges[i].extent == plan->ranges[j].extent);
		}
	}
}

/* Read [start, end) of an extent as the kernel would; returns how far. */
static int64
read_part(Plan *plan, IopoolExtent *extent, IopoolPending *single, int64 start,
		  int64 end, bool is_bounced)
{
	MockFile *file = plan->files[extent->file - plan->file];
	IopoolRead *read = palloc0(sizeof(IopoolRead));
	int64 pos;

	read->extent = extent;
	read->single = single;
	read->start = start;
	if (is_bounced)
	{
		int64 at = start;
		int64 upto = end;
		char *bounce;

		iopool_plan_align(extent->file, &at, &upto);
		CHECK(at % extent->file->alignment == 0 && at <= start &&
			  at > start - extent->file->alignment);
		CHECK(upto % extent->file->alignment == 0 && upto >= end &&
			  upto < end + extent->file->alignment);
		bounce = palloc(upto - at);
		mock_fill(file, at, bounce, upto - at);
		iopool_plan_gather(read, end, bounce, at);
		pfree(bounce);
		pfree(read);
		return end;
	}

	/* short reads: the vector is made again from where it stopped */
	pos = start;
	read->end = iopool_plan_scatter(read, start, end);
	CHECK(read->end > start && read->end <= end);
	if (read->end < end)
		CHECK_EQUAL(read->io.niov, IOPOOL_MAX_IOV);
	while (pos < read->end)
	{
		int64 stop =
			mock_chance(30) ? mock_between(pos, read->end) : read->end;

		CHECK_EQUAL(iopool_plan_scatter(read, pos, read->end), read->end);
		CHECK(read->io.niov > 0 && read->io.niov <= IOPOOL_MAX_IOV);
		for (int i = 0; i < read->io.niov; i++)
		{
			int64 len = read->iov[i].iov_len;
			int64 n = Max(Min(len, stop - pos), 0);

			CHECK(len > 0);
			mock_fill(file, pos, read->iov[i].iov_base, n);
			pos += n;
		}
		CHECK_EQUAL(pos, stop);
	}
	iopool_plan_gather(read, read->end, NULL, 0);
	pos = read->end;
	plan->nread += pos - start;
	pfree(read);
	return pos;
}

/* Read all extents, cut anywhere and in any order. */
static void
read_extents(Plan *plan)
{
	typedef struct Part
	{
		IopoolExtent *extent;
		IopoolPending *single;
		int64 start;
		int64 end;
	} Part;
	Part parts[MAX_RANGES * 20];
	int nparts = 0;
	dlist_iter iter;

	dlist_foreach(iter, &plan->pieces)
	{
		IopoolPiece *piece = dlist_container(IopoolPiece, node, iter.cur);
		int64 pos = piece->start;

		for (int cut = 0; pos < piece->end; cut++)
		{
			Part *part = &parts[nparts++];

			part->extent = piece->extent;
			part->single = NULL;
			part->start = pos;
			part->end =
				cut < 4 ? mock_between(pos + 1, piece->end) : piece->end;
			pos = part->end;
		}
	}

	while (nparts > 0)
	{
		int i = (int) mock_between(0, nparts - 1);
		Part *part = &parts[i];
		bool is_bounced = mock_chance(30);

		/* as after a failure: each range alone */
		if (part->single == NULL && mock_chance(5))
		{
			Part whole = *part;

			*part = parts[--nparts];
			for (IopoolPending *pending = whole.extent->first; pending != NULL;
				 pending = pending->next)
			{
				int64 from = Max(whole.start, pending->start);
				int64 upto = Min(whole.end, pending->end);

				while (from < upto)
					from = read_part(plan, whole.extent, pending, from, upto,
									 is_bounced);
			}
			continue;
		}

		part->start = read_part(plan, part->extent, part->single, part->start,
								part->end, is_bounced);
		if (part->start == part->end)
			*part = parts[--nparts];
	}
}

static void
check_bytes(const Plan *plan, const IopoolPending *pending)
{
	MockFile *file = plan->files[pending->file - plan->file];
	int64 len = pending->end - pending->start;
	char *expected = palloc(len);

	mock_fill(file, pending->start, expected, len);
	if (memcmp(expected, pending->dest, len) != 0)
		unit_fail(__FILE__, __LINE__,
				  "wrong bytes in [%lld, %lld), merge gap %d",
				  (long long) pending->start, (long long) pending->end,
				  plan->gap);
	for (int i = 1; i <= CANARY; i++)
	{
		CHECK_EQUAL((unsigned char) pending->dest[-i], 0x77);
		CHECK_EQUAL((unsigned char) pending->dest[len - 1 + i], 0x77);
	}
	pfree(expected);
	pfree(pending->dest - CANARY);
}

static void
plan_random(int rounds)
{
	Plan *plan = palloc(sizeof(Plan));
	int64 nmerged = 0;

	memset(plan, 0, sizeof(Plan));
	for (int i = 0; i < 2; i++)
	{
		plan->files[i] = mock_file_create(1024 * 1024, 0, 0);
		plan->file[i].number = i;
		plan->file[i].alignment = (i == 0) ? 512 : 4096;
	}
	for (int round = 0; round < rounds; round++)
	{
		make_ranges(plan);
		plan->nmerged = merge(plan, plan->nranges, plan->gap);
		nmerged += plan->nmerged;
		check_extents(plan);
		read_extents(plan);
		for (int i = 0; i < plan->nranges; i++)
			check_bytes(plan, &plan->ranges[i]);
	}
	CHECK(nmerged > 0);
}

/* A byte that two ranges want is read once, when nothing goes wrong. */
static void
plan_reads_once(int rounds)
{
	Plan *plan = palloc0(sizeof(Plan));
	IopoolPiece *piece;

	plan->files[0] = mock_file_create(1024 * 1024, 0, 0);
	plan->nranges = 10;
	dlist_init(&plan->pieces);
	for (int i = 0; i < plan->nranges; i++)
	{
		IopoolPending *pending = &plan->ranges[i];
		char *memory = palloc(1000 + 2 * CANARY);

		memset(memory, 0x77, 1000 + 2 * CANARY);
		pending->file = &plan->file[0];
		pending->start = i * 100;
		pending->end = pending->start + 1000;
		pending->cookie = i;
		pending->dest = memory + CANARY;
		plan->group[i] = pending;
	}
	CHECK_EQUAL(merge(plan, 10, 0), 9);
	piece = dlist_head_element(IopoolPiece, node, &plan->pieces);
	CHECK_EQUAL(read_part(plan, piece->extent, NULL, 0, 1900, false), 1900);
	CHECK_EQUAL(plan->nread, 1900);
	for (int i = 0; i < plan->nranges; i++)
		check_bytes(plan, &plan->ranges[i]);
}

/* Buffered and direct files have gaps of their own. */
static void
plan_gaps(int rounds)
{
	static const struct
	{
		IopoolMergeGaps gaps;
		int nmerged;
	} cases[] = {
		{{.buffered = 100, .direct = 99}, 3},
		{{.buffered = 99, .direct = 100}, 5},
		{{.buffered = -1, .direct = 100}, 5},
		{{.buffered = 100, .direct = -1}, 3},
		{{.buffered = 100, .direct = 100}, 8},
		{{.buffered = -1, .direct = -1}, 0},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		Plan *plan = palloc0(sizeof(Plan));

		plan->file[1].number = 1;
		plan->file[1].alignment = 512;
		dlist_init(&plan->pieces);
		/* 4 ranges of the buffered file and 6 of the direct one */
		for (int j = 0; j < 10; j++)
		{
			IopoolPending *pending = &plan->ranges[j];

			pending->file = &plan->file[j < 4 ? 0 : 1];
			pending->start = (j < 4 ? j : j - 4) * 200;
			pending->end = pending->start + 100;
			plan->group[j] = pending;
		}
		CHECK_EQUAL(iopool_plan_merge(plan->group, 10, &cases[i].gaps,
									  &plan->pieces),
					cases[i].nmerged);
	}
}

/* Invariant 8: nothing is cut to 32 bits. */
static void
plan_64bit(int rounds)
{
	static const int64 bases[] = {
		INT64CONST(0x7fffffff),
		INT64CONST(0xffffffff),
		INT64CONST(0x123456789abc),
		PG_INT64_MAX - 100000,
	};

	for (size_t i = 0; i < lengthof(bases); i++)
	{
		Plan *plan = palloc0(sizeof(Plan));
		int64 start = bases[i];
		int64 end = bases[i] + 5000;

		plan->files[0] = mock_file_create(PG_INT64_MAX, 0, 0);
		plan->file[0].alignment = 4096;
		plan->nranges = 2;
		dlist_init(&plan->pieces);
		for (int j = 0; j < 2; j++)
		{
			IopoolPending *pending = &plan->ranges[j];
			char *memory = palloc(3000 + 2 * CANARY);

			memset(memory, 0x77, 3000 + 2 * CANARY);
			pending->file = &plan->file[0];
			pending->start = bases[i] + j * 2000;
			pending->end = pending->start + 3000;
			pending->cookie = j;
			pending->dest = memory + CANARY;
			plan->group[j] = pending;
		}
		CHECK_EQUAL(merge(plan, 2, 0), 1);
		while (start < end)
			start = read_part(plan, plan->ranges[0].extent, NULL, start,
							  Min(start + 777, end), mock_chance(50));
		check_bytes(plan, &plan->ranges[0]);
		check_bytes(plan, &plan->ranges[1]);
	}
}

const UnitCase unit_plan_cases[] = {
	{"plan_random", plan_random},
	{"plan_reads_once", plan_reads_once},
	{"plan_64bit", plan_64bit},
	{"plan_gaps", plan_gaps},
	{NULL, NULL},
};
