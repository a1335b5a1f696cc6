/*-------------------------------------------------------------------------
 *
 * iopool_refuse.c
 *	  Has the kernel refuse system calls to a backend from now on, or not end
 *	  them for signals.
 *
 * iopool_refuse(call text, errnum int) installs a seccomp filter, as a service
 * manager or a library may, so that the call fails with this errno, or returns
 * 0 where errnum is 0.  It cannot be undone: one backend a case.  Of mmap, only
 * calls that map a file fail, or the backend could not even report it.
 *
 * iopool_refuse_to_wake() has signals of other backends and timers handled by a
 * thread of its own.  They do what they always do, but end no system call of the
 * backend: as it is when a signal arrives right before the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

typedef struct Call
{
	const char *name;
	unsigned int number;
} Call;

/* What iopool, or PostgreSQL on its behalf, asks the kernel for. */
static const Call calls[] = {
	{"io_uring_enter", SYS_io_uring_enter},
	{"io_setup", SYS_io_setup},
	{"io_submit", SYS_io_submit},
	{"io_getevents", SYS_io_getevents},
	{"io_destroy", SYS_io_destroy},
	{"pread64", SYS_pread64},
	{"preadv", SYS_preadv},
	{"preadv2", SYS_preadv2},
	{"openat", SYS_openat},
	{"openat2", SYS_openat2},
	{"fstat", SYS_fstat},
#ifdef SYS_newfstatat
	/* glibc 2.33 and later may ask fstat(2) this way */
	{"fstat", SYS_newfstatat},
#endif
	{"statx", SYS_statx},
	{"fstatfs", SYS_fstatfs},
	{"fcntl", SYS_fcntl},
	{"fadvise64", SYS_fadvise64},
	{"mmap", SYS_mmap},
	{"mincore", SYS_mincore},
	{"madvise", SYS_madvise},
#ifdef SYS_epoll_wait
	{"epoll_wait", SYS_epoll_wait},
#endif
	{"epoll_wait", SYS_epoll_pwait},
};

/* Where the low half of an argument is, counted from 0. */
static unsigned int
argument_offset(int argument)
{
	unsigned int offset =
		offsetof(struct seccomp_data, args) + sizeof(__u64) * argument;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	offset += sizeof(__u32);
#endif
	return offset;
}

static void
refuse(unsigned int number, int errnum)
{
	/* without a file, the descriptor is -1; for other calls, any will do */
	unsigned int exempt = number == SYS_mmap ? UINT32_MAX : UINT32_MAX - 1;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_offset(4)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, exempt, 1, 0),
		BPF_STMT(BPF_RET | BPF_K,
				 SECCOMP_RET_ERRNO |
					 ((unsigned int) errnum & SECCOMP_RET_DATA)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {lengthof(filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
		elog(ERROR, "could not install a seccomp filter: %m");
}

PG_FUNCTION_INFO_V1(iopool_refuse);

Datum
iopool_refuse(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool is_known = false;

	for (size_t i = 0; i < lengthof(calls); i++)
	{
		if (strcmp(calls[i].name, name) != 0)
			continue;
		refuse(calls[i].number, PG_GETARG_INT32(1));
		is_known = true;
	}
	if (!is_known)
		elog(ERROR, "unknown system call \"%s\"", name);
	PG_RETURN_VOID();
}

static void *
handle_signals(void *arg)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	for (;;)
		pause();
	return NULL;
}

PG_FUNCTION_INFO_V1(iopool_refuse_to_wake);

Datum
iopool_refuse_to_wake(PG_FUNCTION_ARGS)
{
	sigset_t all;
	sigset_t mask;
	pthread_t thread;
	int rc;

	/* the thread begins with all of them blocked */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	rc = pthread_create(&thread, NULL, handle_signals, NULL);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGALRM);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (rc != 0)
		elog(ERROR, "could not start a thread: %s", strerror(rc));
	PG_RETURN_VOID();
}
