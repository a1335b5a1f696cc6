/*-------------------------------------------------------------------------
 *
 * check_kernel.c
 *	  The doctor on system calls: allowed, forbidden by whom, or missing.
 *
 * A call that is refused says little by itself: kernel.io_uring_disabled and
 * most seccomp filters answer EPERM, a filter may also answer ENOSYS, as does
 * a kernel without the call.  Which it was is told by the sysctl, which exists
 * where io_uring is compiled in (Linux 6.6), and by the process's status.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/stringinfo.h"

#include "base/errors.h"
#include "base/os_limits.h"
#include "doctor/check_internal.h"
#include "file/directory.h"

#define SYSCTL_DISABLED "kernel/io_uring_disabled"

#define URING_CALLS	 "io_uring_setup io_uring_enter io_uring_register"
#define LIBAIO_CALLS "io_setup io_submit io_getevents io_destroy"

/* Allows all of them, and whatever else a server needs. */
#define PROFILE_FILE "deploy/seccomp.json"

/*
 * Advice, followed by what lets system calls (names with a blank between)
 * through a seccomp filter.
 */
char *
iopool_check_seccomp_hint(const char *advice, const char *calls)
{
	StringInfoData hint;

	initStringInfo(&hint);
	appendStringInfo(&hint, "%s\n", advice);
	appendStringInfoString(
		&hint,
		"docker run --security-opt seccomp=" PROFILE_FILE
		"\nThe file is in iopool's source and documentation (Debian: /usr/share/doc/postgresql-*-iopool). See deploy/README.md for Kubernetes.\nA profile of your own needs this among its \"syscalls\":\n{\"names\": [\"");
	for (const char *c = calls; *c != '\0'; c++)
	{
		if (*c == ' ')
			appendStringInfoString(&hint, "\", \"");
		else
			appendStringInfoChar(&hint, *c);
	}
	appendStringInfo(
		&hint,
		"\"], \"action\": \"SCMP_ACT_ALLOW\"}\nElse in a drop-in (systemctl edit) of a systemd unit that sets SystemCallFilter:\n[Service]\nSystemCallFilter=%s",
		calls);
	return hint.data;
}

/* What is known of a refused call beside its errno. */
static char *
describe_refusal(const char *what, int errnum)
{
	StringInfoData detail;
	struct utsname kernel;

	initStringInfo(&detail);
	errno = errnum;
	appendStringInfo(&detail, "%s failed: %m; %s", what,
					 iopool_os_limits_is_filtered()
						 ? "a seccomp filter is in force"
						 : "no seccomp filter is in force");
	if (uname(&kernel) == 0)
		appendStringInfo(&detail, "; Linux %s", kernel.release);
	return detail.data;
}

/* The same of a call of io_uring, which has a switch of its own. */
static char *
describe_uring_refusal(const char *what, int errnum)
{
	char *detail = describe_refusal(what, errnum);
	int64 disabled;

	if (!iopool_os_limits_sysctl(SYSCTL_DISABLED, &disabled))
		return detail;
	return psprintf("%s; kernel.io_uring_disabled = %lld", detail,
					(long long) disabled);
}

/* How to get io_uring back that is refused with errnum. */
static char *
refusal_hint(int errnum)
{
	int64 disabled = 0;
	bool knows_io_uring = iopool_os_limits_sysctl(SYSCTL_DISABLED, &disabled);
	char *advice;

	/* a kernel that has the switch has io_uring: a filter hides it */
	if (errnum == ENOSYS && knows_io_uring)
		errnum = EPERM;
	advice = iopool_errors_method_hint(IOPOOL_METHOD_IO_URING, errnum);

	if (errnum == EPERM && disabled > 0)
		return psprintf(
			"%s\nTo keep it so: echo 'kernel.io_uring_disabled = 0' >/etc/sysctl.d/60-iopool.conf",
			advice);
	if (errnum == EPERM || errnum == EACCES ||
		(errnum == ENOSYS && iopool_os_limits_is_filtered()))
		return iopool_check_seccomp_hint(advice, URING_CALLS);
	return advice;
}

/* What is in the way of rings as pools have them, as advice; NULL: nothing. */
const char *
iopool_check_io_uring_hint(IopoolCheck *check)
{
	const IopoolUringFacts *uring = &check->uring;

	if (!iopool_method_is_compiled(IOPOOL_METHOD_IO_URING))
		return iopool_errors_method_hint(IOPOOL_METHOD_IO_URING, 0);
	if (uring->setup < 0)
		return refusal_hint(-uring->setup);
	if (uring->probe < 0)
		return refusal_hint(-uring->probe);
	if (!uring->has_read)
		return refusal_hint(EINVAL);
	if (uring->seal < 0)
		return refusal_hint(-uring->seal);
	return NULL;
}

/* One of the features that rings need, when io_uring itself can be used. */
static void
check_feature(IopoolCheck *check, const char *name, const char *what, int rc,
			  const char *good)
{
	IopoolCheckStatus demand =
		(IopoolCheckStatus) check->demand[IOPOOL_METHOD_IO_URING];

	if (check->uring.setup < 0)
		iopool_check_put(check, name, IOPOOL_CHECK_OK,
						 "not known: see io_uring", NULL);
	else if (rc < 0)
		iopool_check_put(check, name, demand,
						 describe_uring_refusal(what, -rc), refusal_hint(-rc));
	else
		iopool_check_put(check, name, IOPOOL_CHECK_OK, good, NULL);
}

/* io_uring, and what rings need of it. */
void
iopool_check_io_uring(IopoolCheck *check)
{
	const IopoolUringFacts *uring = &check->uring;
	IopoolCheckStatus demand =
		(IopoolCheckStatus) check->demand[IOPOOL_METHOD_IO_URING];

	if (!iopool_method_is_compiled(IOPOOL_METHOD_IO_URING))
		iopool_check_put(check, "io_uring", demand, "not compiled in",
						 iopool_errors_method_hint(IOPOOL_METHOD_IO_URING, 0));
	else if (uring->setup < 0)
		iopool_check_put(check, "io_uring", demand,
						 describe_uring_refusal("io_uring_setup",
												-uring->setup),
						 refusal_hint(-uring->setup));
	else
		iopool_check_put(check, "io_uring", IOPOOL_CHECK_OK,
						 "a ring can be made", NULL);

	check_feature(check, "io_uring_read",
				  uring->probe < 0 ? "asking for operations READ and READV"
								   : "one of the operations READ and READV",
				  uring->probe < 0 ? uring->probe
								   : (uring->has_read ? 0 : -EINVAL),
				  "the kernel has the operations READ and READV");
	check_feature(check, "io_uring_restrictions", "restricting a ring",
				  uring->seal, "a ring can be restricted to reading");
}

/* Are the system calls of libaio there?  Their limit is another check. */
void
iopool_check_libaio(IopoolCheck *check)
{
	IopoolCheckStatus demand =
		(IopoolCheckStatus) check->demand[IOPOOL_METHOD_LIBAIO];
	int rc;

	if (!iopool_method_is_compiled(IOPOOL_METHOD_LIBAIO))
	{
		iopool_check_put(check, "libaio", demand, "not compiled in",
						 iopool_errors_method_hint(IOPOOL_METHOD_LIBAIO, 0));
		return;
	}

	rc = iopool_method_get(IOPOOL_METHOD_LIBAIO)->probe(1);
	if (rc == 0 || rc == -EAGAIN)
		iopool_check_put(check, "libaio", IOPOOL_CHECK_OK,
						 rc == 0 ? "a context can be made"
								 : "no context is left: see aio_max_nr",
						 NULL);
	else
	{
		char *advice = iopool_errors_method_hint(IOPOOL_METHOD_LIBAIO, -rc);

		iopool_check_put(check, "libaio", demand,
						 describe_refusal("io_setup", -rc),
						 iopool_os_limits_is_filtered()
							 ? iopool_check_seccomp_hint(advice, LIBAIO_CALLS)
							 : advice);
	}
}

/* Can a path be resolved beneath a directory by the kernel? */
void
iopool_check_openat2(IopoolCheck *check)
{
	int errnum = iopool_directory_probe_openat2();
	char *detail;

	if (errnum == 0)
	{
		iopool_check_put(check, "openat2", IOPOOL_CHECK_OK,
						 "the kernel keeps paths beneath a directory", NULL);
		return;
	}

	detail = describe_refusal("openat2", errnum);
	iopool_check_put(
		check, "openat2",
		iopool_directory_list() != NIL ? IOPOOL_CHECK_FAIL : IOPOOL_CHECK_WARN,
		detail,
		iopool_check_seccomp_hint(
			"Use Linux 5.6 or later, and a seccomp profile that allows openat2.",
			"openat2"));
}
