/*-------------------------------------------------------------------------
 *
 * walk_skip.c
 *	  What a walk leaves out, and how it is told.
 *
 * A name that has gone since it was listed, and a link that leads to nothing,
 * out of its directory or in a circle, is left out in silence: no read would
 * find a file there.  Of others, the number and the first are told when the
 * walk has come to its end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "file/walk_internal.h"

/*
 * The path that is looked at is left out.  Raises if the process or the machine
 * is out of something.
 */
void
iopool_walk_skip(IopoolWalk *walk, const IopoolFailure *failure)
{
	IopoolWalkSkipped *skipped = &walk->unreadable;
	int errnum = failure->errnum;

	/* what all need is no reason to leave something out */
	if (errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM)
		iopool_errors_raise(failure, walk->path.data, 0, 0, 0);
	/* it is gone, or leads to where a read does not go */
	if (errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP ||
		errnum == EXDEV || errnum == ESTALE)
		return;
	if (skipped->n++ > 0)
		return;
	skipped->first = MemoryContextStrdup(walk->cxt, walk->path.data);
	skipped->failure = *failure;
}

/* So is a name in it, which is no text in this encoding. */
void
iopool_walk_skip_not_text(IopoolWalk *walk, const char *name)
{
	IopoolWalkSkipped *skipped = &walk->not_text;
	StringInfoData buf;

	if (skipped->n++ > 0)
		return;
	initStringInfo(&buf);
	appendStringInfoString(&buf, walk->path.data);
	for (; *name != '\0'; name++)
	{
		if (IS_HIGHBIT_SET(*name))
			appendStringInfo(&buf, "\\%03o", (unsigned char) *name);
		else
			appendStringInfoChar(&buf, *name);
	}
	skipped->first = MemoryContextStrdup(walk->cxt, buf.data);
	pfree(buf.data);
}

/* One WARNING for each reason, when all has been looked at. */
void
iopool_walk_warn_of_skipped(IopoolWalk *walk)
{
	IopoolWalkSkipped *unreadable = &walk->unreadable;
	IopoolWalkSkipped *not_text = &walk->not_text;

	if (unreadable->n > 0)
		ereport(WARNING,
				(errmsg_plural("%llu name below \"%s\" was left out, because it could not be looked at",
							   "%llu names below \"%s\" were left out, because they could not be looked at",
							   (unsigned long) unreadable->n,
							   (unsigned long long) unreadable->n, walk->root),
				 errdetail_internal("First: %s.",
									iopool_errors_message(&unreadable->failure,
														  unreadable->first, 0,
														  0, 0))));
	if (not_text->n > 0)
		ereport(WARNING,
				(errmsg_plural("%llu name below \"%s\" was left out, because it is not valid in encoding \"%s\"",
							   "%llu names below \"%s\" were left out, because they are not valid in encoding \"%s\"",
							   (unsigned long) not_text->n,
							   (unsigned long long) not_text->n, walk->root,
							   GetDatabaseEncodingName()),
				 errdetail("First: \"%s\", with its bytes in octal.",
						   not_text->first)));
	unreadable->n = not_text->n = 0;
}
