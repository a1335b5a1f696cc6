/*
 * norings.c
 *		Runs a command for which the kernel has no io_uring.
 *
 * usage: norings EPERM|ENOSYS[:openat2] COMMAND [ARGUMENT]...
 *
 * A seccomp filter makes io_uring_setup fail with the given error in COMMAND
 * and all its descendants, as kernel.io_uring_disabled=2 (EPERM), a container
 * runtime's profile (EPERM) or a kernel without io_uring (ENOSYS) would.  No
 * privilege is needed, and nothing outside COMMAND is affected.  With :openat2
 * it is that system call that fails, and io_uring that works.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	unsigned int error;
	unsigned int call = SYS_io_uring_setup;
	char *colon = argc < 3 ? NULL : strchr(argv[1], ':');

	if (colon != NULL && strcmp(colon, ":openat2") == 0)
	{
		*colon = '\0';
		call = SYS_openat2;
	}
	if (argc < 3 ||
		(strcmp(argv[1], "EPERM") != 0 && strcmp(argv[1], "ENOSYS") != 0))
	{
		fprintf(stderr,
				"usage: %s EPERM|ENOSYS[:openat2] COMMAND [ARGUMENT]...\n",
				argv[0]);
		return 2;
	}
	error = strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS;

	/*
	 * The numbers of these calls are the same on every architecture, so the
	 * filter does not look at seccomp_data.arch.
	 */
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
	{
		fprintf(stderr, "%s: could not install the filter: %s\n", argv[0],
				strerror(errno));
		return 1;
	}

	execvp(argv[2], argv + 2);
	fprintf(stderr, "%s: could not execute \"%s\": %s\n", argv[0], argv[2],
			strerror(errno));
	return 127;
}
