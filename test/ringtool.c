/*
 * ringtool.c
 *		What a process can do with an io_uring that it got from a server.
 *
 * usage: ringtool PID count
 *		  ringtool PID seal DIRECTORY FILE
 *		  ringtool PID consume N FILE
 *
 * Takes copies of the io_uring descriptors of process PID with
 * pidfd_getfd(2).  That needs the same user, and a kernel that lets one
 * process trace another which is not its child (kernel.yama.ptrace_scope 0,
 * where there is such a switch).
 *
 * count	prints how many there are.
 * seal		tries on each everything that a sealed, plain ring must refuse, and
 *			that it reads FILE; leaves no trace in DIRECTORY unless a ring is
 *			open.  Prints what it found wrong, one line each.
 * consume	makes the kernel take an entry of the first N rings (0: of all)
 *			behind the back of who uses it, and leaves its completion there.
 *
 * Exit status 0: all as it should be.  1: something is wrong.  2: the test
 * could not be made.
 *
 * A ring that was tried is of no use to its owner any more: the kernel's
 * position in the submission queue is not where the owner left it.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#define MAX_RINGS	  1024
#define MAX_REGISTERS 64

/* IORING_REGISTER_ENABLE_RINGS, the last that every kernel in question has. */
#define LAST_OLD_REGISTER 12

/* Seconds after which a completion that does not come ends the program. */
#define PATIENCE 20

/* IORING_OP_READV and IORING_OP_READ, and nothing else, may be done. */
#define IS_READ(opcode) \
	((opcode) == IORING_OP_READV || (opcode) == IORING_OP_READ)

/* A tag that no lease uses. */
#define STRANGE_TAG 0x7ee7deadbeef0001

typedef struct Ring
{
	int number; /* of the descriptor, in its owner */
	int fd;
	unsigned *sq_head;
	unsigned *sq_tail;
	unsigned *sq_mask;
	unsigned *sq_array;
	struct io_uring_sqe *sqes;
	unsigned *cq_head;
	unsigned *cq_tail;
	unsigned *cq_mask;
	struct io_uring_cqe *cqes;
} Ring;

static Ring rings[MAX_RINGS];
static int nrings = 0;
static int nwrong = 0;

static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(2);
}

static void
wrong(const Ring *ring, const char *format, ...)
{
	va_list args;

	printf("ring at descriptor %d: ", ring->number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	nwrong++;
}

/* --------------------------------------------------------------------------
 * Getting at the rings
 */

static void
take_rings(const char *pid)
{
	char path[512];
	int pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
	DIR *dir;
	struct dirent *entry;

	if (pidfd < 0)
		die("could not open process %s", pid);
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		die("could not open %s", path);
	while ((entry = readdir(dir)) != NULL && nrings < MAX_RINGS)
	{
		char target[256];
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';
		if (strcmp(target, "anon_inode:[io_uring]") != 0)
			continue;

		rings[nrings].number = atoi(entry->d_name);
		rings[nrings].fd =
			syscall(SYS_pidfd_getfd, pidfd, rings[nrings].number, 0);
		if (rings[nrings].fd < 0)
			die("could not copy a descriptor of process %s (kernel.yama.ptrace_scope must be 0)",
				pid);
		nrings++;
	}
	closedir(dir);
	close(pidfd);
}

/*
 * The offsets in the mapped memory are known to who made the ring, and depend
 * on nothing but its size: make one of the same size, and look.
 */
static struct io_uring_params
params_of(unsigned entries)
{
	struct io_uring_params params;
	int fd;

	memset(&params, 0, sizeof(params));
	fd = syscall(SYS_io_uring_setup, entries, &params);
	if (fd < 0)
		die("could not make a ring of %u entries", entries);
	close(fd);
	return params;
}

static void
map_ring(Ring *ring)
{
	struct io_uring_params params = params_of(1);
	size_t size;
	char *memory;
	unsigned entries;

	memory =
		mmap(NULL, 4096, PROT_READ, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	if (memory == MAP_FAILED)
		die("could not map the ring at descriptor %d", ring->number);
	entries = *(unsigned *) (memory + params.sq_off.ring_entries);
	munmap(memory, 4096);

	params = params_of(entries);
	size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	if (size <
		params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe))
		size = params.cq_off.cqes +
			params.cq_entries * sizeof(struct io_uring_cqe);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
				  IORING_OFF_SQ_RING);
	ring->sqes =
		mmap(NULL, entries * sizeof(struct io_uring_sqe),
			 PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
	if (memory == MAP_FAILED || ring->sqes == MAP_FAILED)
		die("could not map the ring at descriptor %d", ring->number);

	ring->sq_head = (unsigned *) (memory + params.sq_off.head);
	ring->sq_tail = (unsigned *) (memory + params.sq_off.tail);
	ring->sq_mask = (unsigned *) (memory + params.sq_off.ring_mask);
	ring->sq_array = (unsigned *) (memory + params.sq_off.array);
	ring->cq_head = (unsigned *) (memory + params.cq_off.head);
	ring->cq_tail = (unsigned *) (memory + params.cq_off.tail);
	ring->cq_mask = (unsigned *) (memory + params.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *) (memory + params.cq_off.cqes);
}

/* --------------------------------------------------------------------------
 * Using them
 */

/* Submit one entry; wait for its completion if `wait`. */
static bool
submit(Ring *ring, const struct io_uring_sqe *sqe, bool wait)
{
	unsigned tail = *ring->sq_tail;
	unsigned slot = tail & *ring->sq_mask;
	int rc;

	ring->sqes[slot] = *sqe;
	ring->sqes[slot].user_data = STRANGE_TAG;
	ring->sq_array[slot] = slot;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	rc = syscall(SYS_io_uring_enter, ring->fd, 1, wait ? 1 : 0,
				 wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
	if (rc != 1)
	{
		/* e.g. EEXIST: a ring with IORING_SETUP_SINGLE_ISSUER */
		wrong(ring, "io_uring_enter refuses another process: %s",
			  rc < 0 ? strerror(errno) : "nothing taken");
		__atomic_store_n(ring->sq_tail, tail, __ATOMIC_RELEASE);
		return false;
	}
	return true;
}

/* Submit one entry and take its completion; returns the result. */
static int
run(Ring *ring, const struct io_uring_sqe *sqe)
{
	unsigned head;
	int result;

	if (!submit(ring, sqe, true))
		return -ENOSYS;
	head = *ring->cq_head;
	while (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
		syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS,
				NULL, 0);
	result = ring->cqes[head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

static struct io_uring_sqe
entry(unsigned opcode, int fd, const void *addr, unsigned len)
{
	struct io_uring_sqe sqe;

	memset(&sqe, 0, sizeof(sqe));
	sqe.opcode = opcode;
	sqe.fd = fd;
	sqe.addr = (uintptr_t) addr;
	sqe.len = len;
	return sqe;
}

/* SQPOLL would read entries that nobody has handed over. */
static void
try_flags(Ring *ring, const char *pid)
{
	char path[64];
	char line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%d", pid, ring->number);
	file = fopen(path, "r");
	if (file == NULL)
		die("could not open %s", path);
	while (fgets(line, sizeof(line), file) != NULL)
	{
		int thread;

		if (sscanf(line, "SqThread: %d", &thread) == 1 && thread > 0)
			wrong(ring, "a kernel thread serves it (SQPOLL)");
	}
	fclose(file);
}

static void
try_registers(Ring *ring)
{
	for (unsigned opcode = 0; opcode < MAX_REGISTERS; opcode++)
	{
		int rc = syscall(SYS_io_uring_register, ring->fd, opcode, NULL, 0);

		/* opcodes that this kernel does not have are EINVAL */
		if (rc < 0 &&
			(errno == EACCES ||
			 (errno == EINVAL && opcode > LAST_OLD_REGISTER)))
			continue;
		wrong(ring, "io_uring_register of opcode %u: %s", opcode,
			  rc < 0 ? strerror(errno) : "done");
	}
}

static void
try_reads(Ring *ring, const char *path)
{
	char expected[64];
	char data[64];
	struct iovec iov[2] = {{data, 10}, {data + 10, sizeof(data) - 10}};
	struct io_uring_sqe sqe;
	int fd = open(path, O_RDONLY);
	int rc;

	if (fd < 0 ||
		pread(fd, expected, sizeof(expected), 24) != sizeof(expected))
		die("could not read \"%s\"", path);

	memset(data, 0, sizeof(data));
	sqe = entry(IORING_OP_READ, fd, data, sizeof(data));
	sqe.off = 24;
	rc = run(ring, &sqe);
	if (rc != sizeof(data) || memcmp(data, expected, sizeof(data)) != 0)
		wrong(ring, "IORING_OP_READ does not work: %s",
			  rc < 0 ? strerror(-rc) : "other bytes");

	memset(data, 0, sizeof(data));
	sqe = entry(IORING_OP_READV, fd, iov, 2);
	sqe.off = 24;
	rc = run(ring, &sqe);
	if (rc != sizeof(data) || memcmp(data, expected, sizeof(data)) != 0)
		wrong(ring, "IORING_OP_READV does not work: %s",
			  rc < 0 ? strerror(-rc) : "other bytes");

	/* registered files and buffers, links and drains are no part of a read */
	for (int flag = 0; flag < 8; flag++)
	{
		sqe = entry(IORING_OP_READ, fd, data, sizeof(data));
		sqe.flags = 1 << flag;
		rc = run(ring, &sqe);
		if (rc != -EACCES && rc != -EINVAL)
			wrong(ring, "a read with flag %d: %d", 1 << flag, rc);
	}
	close(fd);
}

/*
 * The last operation that this kernel knows; for later ones, of which the
 * headers may tell, it says EINVAL before it looks at restrictions.
 */
static unsigned
last_operation(void)
{
	struct io_uring_params params = {0};
	struct io_uring_probe probe = {0};
	int fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd < 0)
		die("could not make a ring");
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &probe, 0) !=
		0)
		die("could not ask for the operations");
	close(fd);
	return probe.last_op;
}

/* Every operation but reading, with arguments that would leave a trace. */
static void
try_operations(Ring *ring, const char *directory)
{
	char victim[512];
	char trace[512];
	char data[16] = "written";
	unsigned last_opcode = last_operation();
	struct io_uring_sqe sqe;
	struct stat st;
	int fd;

	snprintf(victim, sizeof(victim), "%s/ringtool.victim", directory);
	snprintf(trace, sizeof(trace), "%s/ringtool.trace", directory);
	fd = open(victim, O_CREAT | O_TRUNC | O_RDWR, 0600);
	if (fd < 0)
		die("could not create \"%s\"", victim);

	for (unsigned opcode = 0; opcode < 256; opcode++)
	{
		int rc;

		if (IS_READ(opcode))
			continue;
		sqe = entry(opcode, fd, data, sizeof(data));
		if (opcode == IORING_OP_OPENAT)
		{
			sqe = entry(opcode, AT_FDCWD, trace, 0600);
			sqe.open_flags = O_CREAT | O_WRONLY;
		}
		rc = run(ring, &sqe);
		if (rc == -EACCES || (rc == -EINVAL && opcode > last_opcode))
			continue;
		wrong(ring, "operation %u: %d", opcode, rc);
	}

	if (fstat(fd, &st) != 0 || st.st_size != 0)
		wrong(ring, "a file was written");
	if (access(trace, F_OK) == 0)
		wrong(ring, "a file was created");
	close(fd);
	unlink(victim);
	unlink(trace);
}

/* As if a second backend used the ring at the same time. */
static void
consume(Ring *ring, const char *path)
{
	static char data[512];
	struct io_uring_sqe sqe;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		die("could not open \"%s\"", path);
	sqe = entry(IORING_OP_READ, fd, data, sizeof(data));
	if (!submit(ring, &sqe, false))
		exit(2);
	printf("consumed an entry of the ring at descriptor %d\n", ring->number);
}

int
main(int argc, char **argv)
{
	const char *command = argc > 2 ? argv[2] : "";
	bool is_seal = strcmp(command, "seal") == 0 && argc == 5;
	bool is_consume = strcmp(command, "consume") == 0 && argc == 5;
	int n;

	if (!is_seal && !is_consume &&
		!(strcmp(command, "count") == 0 && argc == 3))
	{
		fprintf(
			stderr,
			"usage: ringtool PID count | seal DIRECTORY FILE | consume N FILE\n");
		return 2;
	}

	/* what was found is not to be lost with the program */
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(PATIENCE);
	take_rings(argv[1]);
	if (!is_seal && !is_consume)
	{
		printf("%d\n", nrings);
		return 0;
	}
	if (nrings == 0)
	{
		errno = ENOENT;
		die("process %s has no io_uring", argv[1]);
	}

	n = is_consume && atoi(argv[3]) > 0 ? atoi(argv[3]) : nrings;
	for (int i = 0; i < n && i < nrings; i++)
	{
		map_ring(&rings[i]);
		if (is_consume)
		{
			consume(&rings[i], argv[4]);
			continue;
		}
		try_flags(&rings[i], argv[1]);
		try_registers(&rings[i]);
		try_reads(&rings[i], argv[4]);
		try_operations(&rings[i], argv[3]);
	}
	return nwrong > 0 ? 1 : 0;
}
