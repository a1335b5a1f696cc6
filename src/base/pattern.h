/*-------------------------------------------------------------------------
 *
 * pattern.h
 *	  Patterns of the shell for paths, matched name by name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_PATTERN_H
#define IOPOOL_PATTERN_H

typedef struct IopoolPattern IopoolPattern;

/*
 * How much of a pattern a path has matched so far, a bit for each place that it
 * may be at: iopool_pattern_nwords() words.
 */
typedef uint64 IopoolPatternState;

/* Which names can follow a path that has matched so far. */
typedef enum IopoolPatternNames
{
	IOPOOL_PATTERN_NO_NAME,
	IOPOOL_PATTERN_ONE_NAME,
	IOPOOL_PATTERN_ANY_NAME,
} IopoolPatternNames;

/* pattern.c */
extern IopoolPattern *iopool_pattern_compile(const char *pattern);
extern int iopool_pattern_nwords(const IopoolPattern *pattern);
extern void iopool_pattern_begin(const IopoolPattern *pattern,
								 IopoolPatternState *state);
extern bool iopool_pattern_advance(const IopoolPattern *pattern,
								   const IopoolPatternState *state,
								   const char *text, size_t len,
								   IopoolPatternState *result);
extern bool iopool_pattern_is_match(const IopoolPattern *pattern,
									const IopoolPatternState *state);
extern bool iopool_pattern_is_same_part(const IopoolPattern *pattern,
										const IopoolPatternState *a,
										const IopoolPatternState *b);
extern IopoolPatternNames iopool_pattern_next_names(
	const IopoolPattern *pattern, const IopoolPatternState *state, char *name,
	size_t size);

#endif /* IOPOOL_PATTERN_H */
