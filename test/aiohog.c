/*
 * aiohog.c
 *		Takes events of Linux AIO until few are left to the whole machine.
 *
 * usage: aiohog LEAVE
 *
 * Makes contexts until at most LEAVE events can still be had (fs.aio-max-nr
 * less fs.aio-nr), says "ready" and gives everything back when its standard
 * input ends.  No privilege is needed, but every user of the machine is
 * affected, so hold them for a short time only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGEST 8192

static long
sysctl_value(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = 0;

	if (file == NULL || fscanf(file, "%ld", &value) != 1)
	{
		fprintf(stderr, "could not read \"%s\"\n", path);
		exit(2);
	}
	fclose(file);
	return value;
}

static long
events_left(void)
{
	return sysctl_value("/proc/sys/fs/aio-max-nr") -
		sysctl_value("/proc/sys/fs/aio-nr");
}

int
main(int argc, char **argv)
{
	long leave = argc == 2 ? atol(argv[1]) : -1;
	long left;

	if (leave < 0)
	{
		fprintf(stderr, "usage: aiohog LEAVE\n");
		return 2;
	}

	while ((left = events_left()) > leave)
	{
		long size = left - leave < LARGEST ? left - leave : LARGEST;
		unsigned long context = 0;

		if (syscall(SYS_io_setup, (unsigned) size, &context) != 0)
		{
			fprintf(stderr, "could not take %ld of %ld events: %s\n", size,
					left, strerror(errno));
			return 1;
		}
	}

	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
