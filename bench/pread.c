/*-------------------------------------------------------------------------
 *
 * pread.c
 *	  The benchmark's helper: its data file, its offsets, its page cache, and
 *	  the plain C loops that the extension is compared with.
 *
 * pread fill FILE BYTES				write a file that does not compress
 * pread offsets N BLOCKS LEN SEED		N different block-aligned offsets
 * pread drop FILE...					out of the page cache, and verify
 * pread warm FILE						all of it into the page cache
 * pread mix FILE OFFSETS LEN EVERY		the same, but for every so manieth range
 * pread loop FILE OFFSETS LEN WINDOW	read them, print the seconds it took
 * pread range FILE BYTES				one range into new memory, the seconds it took
 * pread direct FILE BYTES				the same with O_DIRECT
 * pread touch BYTES					memory, in large pages, and free it
 *
 * "loop" with WINDOW 0 is one pread(2) after the other.  With a WINDOW it
 * keeps so many reads ahead of pread(2) announced to the kernel with
 * POSIX_FADV_WILLNEED.  "range" does so too, a megabyte at a time.  "direct"
 * keeps as many megabytes in flight by Linux AIO, whose system calls need no
 * library.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE /* O_DIRECT */

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHUNK ((size_t) 1024 * 1024)

/* The loop's buffers: they fit into the cache of a processor. */
#define MAX_BUFFERS	 ((size_t) 128)
#define BUFFER_BYTES ((size_t) 512 * 1024)

/* Chunks of a long range that are announced to the kernel, or in flight. */
#define RANGE_AHEAD 16

/* The kernel may keep a few pages that somebody else has locked just now. */
#define MAX_RESIDENT 0.001

static void
die(const char *what)
{
	fprintf(stderr, "pread: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *
allocate(size_t size)
{
	void *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL)
		die("malloc");
	return memory;
}

static int
open_with(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | flags);

	if (fd < 0)
		die(path);
	return fd;
}

static int
open_file(const char *path)
{
	return open_with(path, 0);
}

static off_t
file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		die("fstat");
	return st.st_size;
}

/* splitmix64: every state has a different output, so nothing repeats. */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void
fill(const char *path, off_t size)
{
	uint64_t *chunk = allocate(CHUNK);
	uint64_t state = 1;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die(path);
	for (off_t pos = 0; pos < size; pos += CHUNK)
	{
		size_t len =
			size - pos < (off_t) CHUNK ? (size_t) (size - pos) : CHUNK;

		for (size_t i = 0; i < CHUNK / sizeof(uint64_t); i++)
			chunk[i] = next_random(&state);
		if (write(fd, chunk, len) != (ssize_t) len)
			die("write");
	}
	if (fsync(fd) != 0)
		die("fsync");
	close(fd);
	free(chunk);
}

/* The first n places of a shuffle of all blocks (Fisher and Yates). */
static void
print_offsets(size_t n, size_t nblocks, off_t len, uint64_t seed)
{
	uint32_t *blocks = allocate(sizeof(uint32_t) * nblocks);
	uint64_t state = seed * UINT64_C(0x2545f4914f6cdd1d);

	if (n > nblocks || nblocks > UINT32_MAX)
	{
		errno = EINVAL;
		die("more reads than the file has blocks");
	}
	for (size_t i = 0; i < nblocks; i++)
		blocks[i] = (uint32_t) i;
	for (size_t i = 0; i < n; i++)
	{
		size_t j = i + next_random(&state) % (nblocks - i);
		uint32_t block = blocks[j];

		blocks[j] = blocks[i];
		blocks[i] = block;
		printf("%lld\n", (long long) block * len);
	}
	free(blocks);
}

/* Share of the file that is in the page cache. */
static double
resident(int fd)
{
	size_t size = (size_t) file_size(fd);
	size_t page = (size_t) sysconf(_SC_PAGESIZE);
	size_t npages = (size + page - 1) / page;
	size_t nresident = 0;
	unsigned char *vector = allocate(npages);
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED || mincore(map, size, vector) != 0)
		die("mincore");
	for (size_t i = 0; i < npages; i++)
		nresident += vector[i] & 1;
	munmap(map, size);
	free(vector);
	return npages > 0 ? (double) nresident / (double) npages : 0;
}

static void
drop(const char *path)
{
	int fd = open_file(path);

	/* dirty pages stay */
	if (fdatasync(fd) != 0)
		die("fdatasync");
	for (int tries = 0; tries < 10; tries++)
	{
		if ((errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) != 0)
			die("posix_fadvise");
		if (resident(fd) <= MAX_RESIDENT)
		{
			close(fd);
			return;
		}
	}
	errno = EBUSY;
	die("the file stays in the page cache");
}

static void
warm(const char *path)
{
	int fd = open_file(path);
	char *chunk = allocate(CHUNK);

	/* what others do to the machine's memory may take some of it away again */
	for (int tries = 0; resident(fd) < 1 - MAX_RESIDENT; tries++)
	{
		ssize_t nread;

		if (tries == 10)
		{
			errno = ENOMEM;
			die("the file does not stay in the page cache");
		}
		for (off_t pos = 0; (nread = pread(fd, chunk, CHUNK, pos)) != 0;
			 pos += nread)
		{
			if (nread < 0)
				die(path);
		}
	}
	close(fd);
	free(chunk);
}

static size_t
load_offsets(const char *path, off_t **offsets)
{
	FILE *file = fopen(path, "r");
	size_t room = 1024;
	size_t n = 0;
	long long offset;

	if (file == NULL)
		die(path);
	*offsets = allocate(sizeof(off_t) * room);
	while (fscanf(file, "%lld", &offset) == 1)
	{
		if (n == room)
		{
			room *= 2;
			*offsets = realloc(*offsets, sizeof(off_t) * room);
			if (*offsets == NULL)
				die("realloc");
		}
		(*offsets)[n++] = (off_t) offset;
	}
	fclose(file);
	return n;
}

/* Ranges of whole pages. */
static void
mix(const char *path, const char *offsets_path, size_t len, size_t every)
{
	off_t *offsets;
	size_t n = load_offsets(offsets_path, &offsets);
	int fd = open_file(path);

	warm(path);
	for (size_t i = 0; i < n; i += every)
	{
		if ((errno = posix_fadvise(fd, offsets[i], (off_t) len,
								   POSIX_FADV_DONTNEED)) != 0)
			die("posix_fadvise");
	}
	close(fd);
	free(offsets);
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* The reads share a few buffers: memory costs this peer nothing. */
static void
loop(const char *path, const char *offsets_path, size_t len, size_t window)
{
	off_t *offsets;
	size_t n = load_offsets(offsets_path, &offsets);
	int fd = open_file(path);
	size_t nbuffers = BUFFER_BYTES / len;
	char *buffers;
	size_t advised = 0;
	double start;

	if (nbuffers > MAX_BUFFERS)
		nbuffers = MAX_BUFFERS;
	if (nbuffers == 0)
		nbuffers = 1;
	buffers = allocate(nbuffers * len);
	memset(buffers, 1, nbuffers * len);
	start = now();

	for (size_t i = 0; i < n; i++)
	{
		for (; window > 0 && advised < n && advised < i + window; advised++)
			(void) posix_fadvise(fd, offsets[advised], (off_t) len,
								 POSIX_FADV_WILLNEED);
		if (pread(fd, buffers + i % nbuffers * len, len, offsets[i]) !=
			(ssize_t) len)
			die("pread");
	}
	printf("%.6f\n", now() - start);
}

/* Memory that this process has never touched, in large pages where there are. */
static char *
new_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	(void) madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

static void
touch(size_t size)
{
	char *memory = new_memory(size);

	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
	if (munmap(memory, size) != 0)
		die("munmap");
}

/* The beginning of the file, as one value would be read. */
static void
read_range(const char *path, size_t size)
{
	int fd = open_file(path);
	double start = now();
	char *memory = new_memory(size);

	for (size_t done = 0; done < size; done += CHUNK)
	{
		(void) posix_fadvise(fd, (off_t) (done + CHUNK),
							 (off_t) (RANGE_AHEAD * CHUNK),
							 POSIX_FADV_WILLNEED);
		if (pread(fd, memory + done, CHUNK, (off_t) done) != (ssize_t) CHUNK)
			die("pread");
	}
	if (munmap(memory, size) != 0)
		die("munmap");
	printf("%.6f\n", now() - start);
	close(fd);
}

/* One chunk of the file to the same place of the memory. */
static void
start_chunk(aio_context_t context, struct iocb *chunk, int fd, char *memory,
			size_t pos)
{
	memset(chunk, 0, sizeof(*chunk));
	chunk->aio_lio_opcode = IOCB_CMD_PREAD;
	chunk->aio_fildes = (uint32_t) fd;
	chunk->aio_buf = (uint64_t) (uintptr_t) (memory + pos);
	chunk->aio_nbytes = CHUNK;
	chunk->aio_offset = (int64_t) pos;
	if (syscall(SYS_io_submit, context, 1, &chunk) != 1)
		die("io_submit");
}

/* The same past the page cache; a chunk that has come in makes room for one. */
static void
read_range_directly(const char *path, size_t size)
{
	int fd = open_with(path, O_DIRECT);
	aio_context_t context = 0;
	struct iocb chunks[RANGE_AHEAD];
	size_t next = 0;
	double start;
	char *memory;

	if (syscall(SYS_io_setup, RANGE_AHEAD, &context) != 0)
		die("io_setup");
	start = now();
	memory = new_memory(size);

	for (size_t i = 0; i < RANGE_AHEAD && next < size; i++, next += CHUNK)
		start_chunk(context, &chunks[i], fd, memory, next);
	for (size_t done = 0; done < size; done += CHUNK)
	{
		struct io_event event;

		if (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) != 1)
			die("io_getevents");
		if (event.res != (int64_t) CHUNK)
		{
			errno = event.res < 0 ? (int) -event.res : EIO;
			die(path);
		}
		if (next >= size)
			continue;
		start_chunk(context, (struct iocb *) (uintptr_t) event.obj, fd, memory,
					next);
		next += CHUNK;
	}
	if (munmap(memory, size) != 0)
		die("munmap");
	printf("%.6f\n", now() - start);
	(void) syscall(SYS_io_destroy, context);
	close(fd);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "fill") == 0 && argc == 4)
		fill(argv[2], (off_t) atoll(argv[3]));
	else if (strcmp(what, "offsets") == 0 && argc == 6)
		print_offsets((size_t) atoll(argv[2]), (size_t) atoll(argv[3]),
					  (off_t) atoll(argv[4]), (uint64_t) atoll(argv[5]));
	else if (strcmp(what, "drop") == 0 && argc >= 3)
	{
		for (int i = 2; i < argc; i++)
			drop(argv[i]);
	}
	else if (strcmp(what, "warm") == 0 && argc == 3)
		warm(argv[2]);
	else if (strcmp(what, "mix") == 0 && argc == 6 && atoll(argv[5]) > 0)
		mix(argv[2], argv[3], (size_t) atoll(argv[4]),
			(size_t) atoll(argv[5]));
	else if (strcmp(what, "loop") == 0 && argc == 6)
		loop(argv[2], argv[3], (size_t) atoll(argv[4]),
			 (size_t) atoll(argv[5]));
	else if (strcmp(what, "range") == 0 && argc == 4)
		read_range(argv[2], (size_t) atoll(argv[3]));
	else if (strcmp(what, "direct") == 0 && argc == 4)
		read_range_directly(argv[2], (size_t) atoll(argv[3]));
	else if (strcmp(what, "touch") == 0 && argc == 3)
		touch((size_t) atoll(argv[2]));
	else
	{
		fprintf(
			stderr,
			"usage: pread fill|offsets|drop|warm|mix|loop|range|direct|touch ..., see bench/pread.c\n");
		return 2;
	}
	return 0;
}
