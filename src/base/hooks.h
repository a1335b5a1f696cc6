/*-------------------------------------------------------------------------
 *
 * hooks.h
 *	  Hooks of the server that iopool depends on, and whether they get to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_HOOKS_H
#define IOPOOL_HOOKS_H

/*
 * An extension that sets a hook after us, and does not call what was there
 * before, switches off what we do in it, without a word.
 */
typedef enum IopoolHook
{
	IOPOOL_HOOK_PLANNER,
	IOPOOL_HOOK_REL_PATHLIST,
	IOPOOL_HOOK_JOIN_PATHLIST,
	IOPOOL_HOOK_UPPER_PATHS,
	IOPOOL_HOOK_OBJECT_ACCESS,
	IOPOOL_NUM_HOOKS
} IopoolHook;

/* hooks.c */
extern PGDLLIMPORT uint64 iopool_hook_calls[IOPOOL_NUM_HOOKS];

/* What the server's hook calls begins with this. */
static inline void
iopool_hook_reached(IopoolHook hook)
{
	iopool_hook_calls[hook]++;
}

#endif /* IOPOOL_HOOKS_H */
