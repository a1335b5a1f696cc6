/*
 * norings.c
 *		Runs a command for which the kernel refuses some system calls.
 *
 * usage: norings RULE[,RULE]... COMMAND [ARGUMENT]...
 *
 * RULE is ERROR[:SYSCALL[:CONDITION]...]; without SYSCALL, it is about
 * io_uring_setup.  ERROR KILL kills who makes the call.  CONDITION is N=VALUE or N&BITS, about argument N of the
 * call, counted from 0: only calls for which all of them hold fail.
 *
 *	norings EPERM COMMAND			a container runtime's profile
 *	norings ENOSYS COMMAND			a kernel without io_uring
 *	norings KILL COMMAND			a unit of systemd
 *	norings EINVAL:io_uring_register:1=11 COMMAND
 *									a kernel that cannot restrict rings
 *
 * A seccomp filter makes the calls fail with the given error in COMMAND and
 * all its descendants.  No privilege is needed, and nothing outside COMMAND is
 * affected.  Conditions see the lower 32 bits of an argument.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_INSTRUCTIONS 128

typedef struct Number
{
	const char *name;
	unsigned int number;
} Number;

static const Number errors[] = {
	{"EPERM", EPERM},	{"ENOSYS", ENOSYS}, {"EINVAL", EINVAL},
	{"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"EOPNOTSUPP", EOPNOTSUPP},
	{"KILL", 0},		{NULL, 0},
};

/* The filter compares numbers alone, so they have to be of this program. */
static const Number syscalls[] = {
	{"io_uring_setup", SYS_io_uring_setup},
	{"io_uring_enter", SYS_io_uring_enter},
	{"io_uring_register", SYS_io_uring_register},
	{"io_setup", SYS_io_setup},
	{"openat2", SYS_openat2},
	{"statx", SYS_statx},
	{"preadv2", SYS_preadv2},
	{"fcntl", SYS_fcntl},
	{NULL, 0},
};

static struct sock_filter filter[MAX_INSTRUCTIONS];
static unsigned short ninstructions = 0;

static void
usage(void)
{
	fprintf(
		stderr,
		"usage: norings ERROR[:SYSCALL[:N=VALUE|:N&BITS]...][,...] COMMAND [ARGUMENT]...\n");
	exit(2);
}

static unsigned int
lookup(const Number *numbers, const char *name)
{
	for (; numbers->name != NULL; numbers++)
	{
		if (strcmp(numbers->name, name) == 0)
			return numbers->number;
	}
	usage();
	return 0;
}

static void
add(struct sock_filter instruction)
{
	if (ninstructions == MAX_INSTRUCTIONS)
		usage();
	filter[ninstructions++] = instruction;
}

static void
load(size_t offset)
{
	struct sock_filter instruction =
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int) offset);

	add(instruction);
}

/* Go on if the loaded word compares; the jump to the end is set later. */
static void
require(unsigned short comparison, unsigned int value)
{
	struct sock_filter instruction =
		BPF_JUMP(BPF_JMP | comparison | BPF_K, value, 0, 0);

	add(instruction);
}

static void
add_condition(const char *text)
{
	char *end;
	long argument = strtol(text, &end, 10);
	size_t offset = offsetof(struct seccomp_data, args);

	if (end == text || argument < 0 || argument > 5 ||
		(*end != '=' && *end != '&'))
		usage();
	offset += sizeof(__u64) * (size_t) argument;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	offset += sizeof(__u32);
#endif
	load(offset);
	require(*end == '=' ? BPF_JEQ : BPF_JSET,
			(unsigned int) strtoul(end + 1, NULL, 0));
}

static void
add_rule(char *rule)
{
	unsigned short begin = ninstructions;
	char *rest = NULL;
	char *error = strtok_r(rule, ":", &rest);
	char *name = strtok_r(NULL, ":", &rest);
	unsigned int number = lookup(errors, error ? error : "");
	struct sock_filter verdict =
		BPF_STMT(BPF_RET | BPF_K,
				 number == 0 ? SECCOMP_RET_KILL_PROCESS
							 : SECCOMP_RET_ERRNO | number);

	load(offsetof(struct seccomp_data, nr));
	require(BPF_JEQ, lookup(syscalls, name ? name : "io_uring_setup"));
	for (char *c = strtok_r(NULL, ":", &rest); c != NULL;
		 c = strtok_r(NULL, ":", &rest))
		add_condition(c);
	add(verdict);

	/* what does not compare goes on behind the verdict */
	for (unsigned short i = begin; i < ninstructions; i++)
	{
		if (BPF_CLASS(filter[i].code) == BPF_JMP)
			filter[i].jf = (unsigned char) (ninstructions - i - 1);
	}
}

int
main(int argc, char **argv)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.filter = filter};
	char *rest = NULL;

	if (argc < 3)
		usage();
	for (char *rule = strtok_r(argv[1], ",", &rest); rule != NULL;
		 rule = strtok_r(NULL, ",", &rest))
		add_rule(rule);
	add(allow);
	program.len = ninstructions;

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
