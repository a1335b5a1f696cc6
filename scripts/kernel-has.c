/*-------------------------------------------------------------------------
 *
 * kernel-has.c
 *		Does this kernel let this user make a ring of the named method?
 *
 * scripts/test.sh asks this program, not the server, whether a method may be
 * skipped: a method that the kernel offers and the extension fails to use is
 * a failure.  Exit status 0: yes; 1: no, and the reason is printed.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	/* More than the 120 bytes of struct io_uring_params, zeroed. */
	char params[256] = {0};
	unsigned long aio_context = 0;
	long rc;

	if (argc == 2 && strcmp(argv[1], "io_uring") == 0)
		rc = syscall(SYS_io_uring_setup, 8, params);
	else if (argc == 2 && strcmp(argv[1], "libaio") == 0)
		rc = syscall(SYS_io_setup, 8, &aio_context);
	else if (argc == 2 && strcmp(argv[1], "sync") == 0)
		rc = 0;
	else
	{
		fprintf(stderr, "usage: kernel-has io_uring|libaio|sync\n");
		return 2;
	}

	if (rc < 0)
	{
		printf("%s\n", strerror(errno));
		return 1;
	}
	return 0;
}
