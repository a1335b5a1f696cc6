/*
 * swapper.c
 *		Swaps pairs of names as fast as it can, until its input ends.
 *
 * usage: swapper NAME NAME [NAME NAME]...
 *
 * Each pair is exchanged atomically, so both names exist at any time.  The
 * pairs take turns.  At the end of input, each pair is as it was at first, and
 * the number of swaps is printed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define SWAPS_PER_LOOK 1000

int
main(int argc, char **argv)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	unsigned long nswaps = 0;

	if (argc < 3 || argc % 2 == 0)
	{
		fprintf(stderr, "usage: %s NAME NAME [NAME NAME]...\n", argv[0]);
		return 2;
	}

	/* an even number of swaps between two looks */
	while (poll(&input, 1, 0) == 0)
	{
		for (int i = 0; i < SWAPS_PER_LOOK; i++)
		{
			for (int pair = 1; pair < argc; pair += 2)
			{
				if (renameat2(AT_FDCWD, argv[pair], AT_FDCWD, argv[pair + 1],
							  RENAME_EXCHANGE) != 0)
				{
					perror(argv[pair]);
					return 1;
				}
				nswaps++;
			}
		}
	}

	printf("%lu\n", nswaps);
	return 0;
}
