/*-------------------------------------------------------------------------
 *
 * os_limits.c
 *	  What the kernel and the limits of the server leave to this process.
 *
 * Choosing a method, the hints of errors and the doctor all ask here.  No
 * function raises for something that the kernel does not tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/fd.h"

#include "base/compat.h"
#include "base/os_limits.h"

/* Bit of CapEff, see capabilities(7). */
#define CAP_IPC_LOCK_BIT 14

/* Field Seccomp of /proc/self/status, see proc(5). */
#define SECCOMP_FILTERED 2

/* Bytes of /proc/self/status that are looked at; it has some 1500. */
#define STATUS_SIZE 8192

/* A small file of procfs as a string; false if it cannot be read. */
static bool
read_small_file(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	close(fd);
	buf[len] = '\0';
	return n >= 0 && len > 0;
}

/*
 * Value of a sysctl that is a number, e.g. "fs/aio-max-nr"; false where the
 * kernel has none of that name.
 */
bool
iopool_os_limits_sysctl(const char *name, int64 *value)
{
	char path[MAXPGPATH];
	char buf[64];
	char *end;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	if (!read_small_file(path, buf, sizeof(buf)))
		return false;
	*value = strtoll(buf, &end, 10);
	return end != buf;
}

/* A number of /proc/self/status; false if it is not there. */
static bool
read_process_status(const char *field, int base, uint64 *value)
{
	char buf[STATUS_SIZE];
	size_t len = strlen(field);

	if (!read_small_file("/proc/self/status", buf, sizeof(buf)))
		return false;
	for (char *line = buf; line != NULL; line = strchr(line, '\n'))
	{
		line += (*line == '\n');
		if (strncmp(line, field, len) == 0 && line[len] == ':')
		{
			*value = strtoull(line + len + 1, NULL, base);
			return true;
		}
	}
	return false;
}

/* Is a seccomp filter between this process and the kernel? */
bool
iopool_os_limits_is_filtered(void)
{
	uint64 mode;

	return read_process_status("Seccomp", 10, &mode) &&
		mode == SECCOMP_FILTERED;
}

/*
 * Does the filter kill a process for one of these system calls, instead of
 * failing the call?  systemd's does in a unit with SystemCallFilter and no
 * SystemCallErrorNumber.  Only who makes the calls finds out, so a child does,
 * with arguments that none of them takes.
 */
bool
iopool_os_limits_kills(const int *calls, int ncalls)
{
	int status = 0;
	pid_t pid;

	if (!iopool_os_limits_is_filtered())
		return false;

	pid = fork();
	if (pid == 0)
	{
		/* its end is no crash that leaves a core file */
		(void) prctl(PR_SET_DUMPABLE, 0);
		for (int i = 0; i < ncalls; i++)
			(void) syscall(calls[i], -1L, NULL, NULL, NULL, NULL, NULL);
		_exit(0);
	}
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
	{
		if (errno != EINTR)
			return false;
	}
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* Is the kernel of this release or a later one? */
static bool
kernel_is(int major, int minor)
{
	struct utsname kernel;
	int has_major;
	int has_minor;

	if (uname(&kernel) != 0 ||
		sscanf(kernel.release, "%d.%d", &has_major, &has_minor) != 2)
		return false;
	return has_major > major || (has_major == major && has_minor >= minor);
}

char *
iopool_os_limits_text(rlim_t value)
{
	if (value == RLIM_INFINITY)
		return pstrdup("unlimited");
	return psprintf("%llu", (unsigned long long) value);
}

/* How many more files this process may open. */
int
iopool_os_limits_free_files(void)
{
	struct rlimit limit;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
		limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > INT_MAX)
		return INT_MAX;

	/* the lowest free number is close to the count of open files */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	close(fd);
	return (int) limit.rlim_cur - fd;
}

/*
 * Would so many more rings leave enough files to the server, beside those
 * that are open already?
 */
bool
iopool_os_limits_files_suffice(int nrings_open, int nrings_more)
{
	if (iopool_os_limits_free_files() - nrings_more < IOPOOL_OTHER_FILES)
		return false;
	return !IOPOOL_RINGS_COUNT_AS_FILES ||
		max_files_per_process - nrings_open - nrings_more >=
		IOPOOL_OTHER_FILES;
}

/*
 * Does the memory of rings count against RLIMIT_MEMLOCK?  Kernels did so
 * until 5.11 and do so again from 6.14 on, except for CAP_IPC_LOCK.  The sum
 * is of all processes of the user, and cannot be read anywhere.
 */
bool
iopool_os_limits_charges_rings(void)
{
	uint64 caps;

	if (read_process_status("CapEff", 16, &caps) &&
		(caps & (UINT64CONST(1) << CAP_IPC_LOCK_BIT)) != 0)
		return false;
	return kernel_is(6, 14) || !kernel_is(5, 12);
}

/*
 * Events that libaio contexts of the whole machine can still have room for;
 * PG_INT64_MAX where the kernel sets no limit.
 */
int64
iopool_os_limits_free_aio_events(void)
{
	int64 max_nr;
	int64 nr;

	if (!iopool_os_limits_sysctl("fs/aio-max-nr", &max_nr) ||
		!iopool_os_limits_sysctl("fs/aio-nr", &nr))
		return PG_INT64_MAX;
	return max_nr - nr;
}
