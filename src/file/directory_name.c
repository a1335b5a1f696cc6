/*-------------------------------------------------------------------------
 *
 * directory_name.c
 *	  What can be told of a directory by its name and its path: whether a path
 *	  can begin with the one, and who could put another in place of the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/stringinfo.h"

#include "file/directory.h"

/* Can a path name the directory?  See iopool_access_path(). */
bool
iopool_directory_is_addressable(const char *name)
{
	return strpbrk(name, ":/") == NULL;
}

/* A word of the shell that means the text. */
char *
iopool_directory_shell_quote(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '\'');
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == '\'')
			appendStringInfoString(&buf, "'\\''");
		else
			appendStringInfoChar(&buf, *p);
	}
	appendStringInfoChar(&buf, '\'');
	return buf.data;
}

static bool
is_foreign(const struct stat *st)
{
	return st->st_uid != 0 && st->st_uid != geteuid();
}

/*
 * Whoever can write in a directory can rename what is in it, and put something
 * else in its place.  In a sticky one, that is for the owners only: of it, and
 * of what is renamed.
 */
static bool
look_at_place(const struct stat *st, bool is_last, bool *is_sticky,
			  IopoolExposure *exposure)
{
	bool is_shared = (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;
	bool is_owned_by_other = is_foreign(st) && (!is_last || *is_sticky);
	const char *command = NULL;

	if (is_owned_by_other)
		command = "chown root";
	else if (!is_last && is_shared && (st->st_mode & S_ISVTX) == 0)
		command = "chmod go-w";
	*is_sticky = is_shared;
	if (command == NULL)
		return false;

	exposure->is_foreign = is_owned_by_other;
	exposure->mend = psprintf("%s %s", command,
							  iopool_directory_shell_quote(exposure->place));
	return true;
}

/* What is not there can be made by whoever can write where it would be. */
static bool
lets_others_make(IopoolExposure *exposure, const char *path)
{
	exposure->place[Max(last_dir_separator(exposure->place) - exposure->place,
						1)] = '\0';
	exposure->is_foreign = false;
	exposure->mend =
		psprintf("mkdir -p %s", iopool_directory_shell_quote(path));
	return true;
}

/*
 * Can others than root and the server's user put another directory in the
 * place of the one at that path, which is absolute?  Then *exposure tells the
 * topmost place where.  Who can write in the directory itself does not matter
 * here; what cannot be looked at counts as being in order.
 */
bool
iopool_directory_is_exposed(const char *path, IopoolExposure *exposure)
{
	size_t len = 1; /* of the place */
	bool is_sticky = false;

	for (;;)
	{
		bool is_last = path[len] == '\0';
		struct stat st;

		exposure->place = pnstrdup(path, len);
		if (lstat(exposure->place, &st) != 0)
			return errno == ENOENT && is_sticky &&
				lets_others_make(exposure, path);
		if (look_at_place(&st, is_last, &is_sticky, exposure))
			return true;
		if (is_last)
			return false;
		pfree(exposure->place);
		len += (len > 1);
		len += strcspn(path + len, "/");
	}
}
