/*-------------------------------------------------------------------------
 *
 * pattern.c
 *	  Patterns of the shell for paths, matched name by name.
 *
 *	  *			any characters of a name, also none
 *	  ?			one character of a name
 *	  [a-z]		one of these characters, [!a-z] one of all others
 *	  **		any characters, also slashes
 *	  **<slash>	where a name begins: any directories, also none
 *	  \x		the character x
 *
 * A pattern becomes a list of tokens, and what has been read of a path the set
 * of tokens that may come next.  Each character is looked at once for each of
 * them, so no path takes exponential time, and after each name it is known
 * whether anything below it can match.
 *
 * Characters are those of the database's encoding, in which both pattern and
 * names are valid.  Ranges go by the bytes of characters, which is the order of
 * code points in UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/pattern.h"

/* Bytes of a pattern at most: it is looked at for each character of a name. */
#define MAX_PATTERN_LEN 4096

#define STATE_BITS 64

/* Words of a state at most. */
#define MAX_WORDS (MAX_PATTERN_LEN / STATE_BITS + 1)

typedef enum TokenKind
{
	TOKEN_CHAR,		/* the character */
	TOKEN_ANY,		/* ? */
	TOKEN_BRACKET,	/* [...]: what is between the brackets */
	TOKEN_STAR,		/* * */
	TOKEN_DEEP,		/* ** */
	TOKEN_DIRS,		/* **<slash> at the beginning of a name */
	TOKEN_DIRS_REST /* the same, when it has begun to match something */
} TokenKind;

typedef struct Token
{
	TokenKind kind;
	const char *text; /* in the pattern */
	int len;
	int part; /* how many of the pattern's names end before it */
} Token;

struct IopoolPattern
{
	int ntokens; /* a path that is here matches */
	Token tokens[FLEXIBLE_ARRAY_MEMBER];
};

/* A pattern, as it is being compiled. */
typedef struct Parser
{
	const char *whole;
	const char *pos;
	const char *end;
	IopoolPattern *pattern;
} Parser;

/* ------------------------------------------------------------------------
 * Compiling
 */

/* Raise 22023 for what is at a place of the pattern. */
static void
fail_at(const Parser *parser, const char *place, const char *what)
{
	int position =
		pg_mbstrlen_with_len(parser->whole, (int) (place - parser->whole)) + 1;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid pattern \"%s\": %s at position %d",
					parser->whole, what, position)));
	pg_unreachable();
}

/* Does a name begin behind this token? */
static bool
ends_name(const Token *token)
{
	return token->kind == TOKEN_DIRS_REST ||
		(token->kind == TOKEN_CHAR && *token->text == '/');
}

static Token *
add_token(Parser *parser, TokenKind kind)
{
	int place = parser->pattern->ntokens++;
	Token *token = &parser->pattern->tokens[place];

	token->kind = kind;
	token->text = parser->pos;
	token->len = 0;
	token->part = 0;
	if (place > 0)
		token->part = token[-1].part + ends_name(&token[-1]);
	return token;
}

/*
 * Take one character of a bracket, which may be escaped.  False where there is
 * none.
 */
static bool
take_char(const char **pos, const char *end, const char **text, int *len)
{
	if (*pos < end && **pos == '\\')
		(*pos)++;
	if (*pos >= end)
		return false;
	*text = *pos;
	*len = pg_mblen(*pos);
	*pos += *len;
	return *pos <= end;
}

/* Characters from lo to hi, which are one where it is no range. */
typedef struct CharRange
{
	const char *lo;
	const char *hi;
	int lo_len;
	int hi_len;
} CharRange;

static bool
take_range(const char **pos, const char *end, CharRange *range)
{
	if (!take_char(pos, end, &range->lo, &range->lo_len))
		return false;
	range->hi = range->lo;
	range->hi_len = range->lo_len;
	if (end - *pos < 2 || **pos != '-' || (*pos)[1] == ']')
		return true;
	(*pos)++;
	return take_char(pos, end, &range->hi, &range->hi_len);
}

static int
compare_chars(const char *a, int alen, const char *b, int blen)
{
	int cmp = memcmp(a, b, Min(alen, blen));

	return cmp != 0 ? cmp : alen - blen;
}

/* A bracket, which begins here. */
static void
parse_bracket(Parser *parser)
{
	const char *start = parser->pos++;
	Token *token = add_token(parser, TOKEN_BRACKET);
	const char *first;

	if (parser->pos < parser->end && *parser->pos == '!')
		parser->pos++;
	/* one that comes first does not close it */
	first = parser->pos;
	while (parser->pos == first || parser->pos >= parser->end ||
		   *parser->pos != ']')
	{
		const char *place = parser->pos;
		CharRange range;

		if (!take_range(&parser->pos, parser->end, &range))
			fail_at(parser, start, "bracket without end");
		if (compare_chars(range.lo, range.lo_len, range.hi, range.hi_len) > 0)
			fail_at(parser, place, "range that ends before it begins");
	}
	token->len = (int) (parser->pos - token->text);
	parser->pos++;
}

/* Does a name begin here? */
static bool
is_at_name(const Parser *parser)
{
	const IopoolPattern *pattern = parser->pattern;

	return pattern->ntokens == 0 ||
		ends_name(&pattern->tokens[pattern->ntokens - 1]);
}

static void
parse_stars(Parser *parser)
{
	const char *after = parser->pos;

	while (after < parser->end && *after == '*')
		after++;
	if (after - parser->pos == 1)
		add_token(parser, TOKEN_STAR);
	else if (after < parser->end && *after == '/' && is_at_name(parser))
	{
		add_token(parser, TOKEN_DIRS);
		add_token(parser, TOKEN_DIRS_REST);
		after++;
	}
	else
		add_token(parser, TOKEN_DEEP);
	parser->pos = after;
}

static void
parse_char(Parser *parser)
{
	Token *token;

	if (*parser->pos == '\\')
	{
		if (++parser->pos >= parser->end)
			fail_at(parser, parser->pos - 1, "backslash that escapes nothing");
	}
	token = add_token(parser, TOKEN_CHAR);
	token->len = pg_mblen(parser->pos);
	parser->pos += token->len;
}

/*
 * A pattern, in the current memory context; it refers to its text.  Raises
 * 22023 if it is none.
 */
IopoolPattern *
iopool_pattern_compile(const char *text)
{
	size_t len = strlen(text);
	Parser parser = {text, text, text + len, NULL};

	if (len > MAX_PATTERN_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pattern is too long"),
				 errdetail("It has %zu bytes; %d are possible.", len,
						   MAX_PATTERN_LEN)));

	/* no character becomes more than one token */
	parser.pattern =
		palloc(offsetof(IopoolPattern, tokens) + sizeof(Token) * len);
	parser.pattern->ntokens = 0;
	while (parser.pos < parser.end)
	{
		switch (*parser.pos)
		{
			case '*':
				parse_stars(&parser);
				break;
			case '?':
				add_token(&parser, TOKEN_ANY);
				parser.pos++;
				break;
			case '[':
				parse_bracket(&parser);
				break;
			default:
				parse_char(&parser);
				break;
		}
	}
	return parser.pattern;
}

/* ------------------------------------------------------------------------
 * Matching
 */

/* Words of a state. */
int
iopool_pattern_nwords(const IopoolPattern *pattern)
{
	return pattern->ntokens / STATE_BITS + 1;
}

static void
set_bit(IopoolPatternState *state, int place)
{
	state[place / STATE_BITS] |= UINT64CONST(1) << (place % STATE_BITS);
}

static bool
has_bit(const IopoolPatternState *state, int place)
{
	return (state[place / STATE_BITS] >> (place % STATE_BITS) & 1) != 0;
}

/* A path may be at this token, and behind all that match nothing. */
static void
add_place(const IopoolPattern *pattern, IopoolPatternState *state, int place)
{
	for (;; place++)
	{
		TokenKind kind = TOKEN_CHAR;

		if (place < pattern->ntokens)
			kind = pattern->tokens[place].kind;
		/* it is at the token behind, whether or not a name has begun */
		if (kind == TOKEN_DIRS)
		{
			set_bit(state, ++place);
			continue;
		}
		set_bit(state, place);
		if (kind != TOKEN_STAR && kind != TOKEN_DEEP)
			return;
	}
}

/* Nothing has been read yet. */
void
iopool_pattern_begin(const IopoolPattern *pattern, IopoolPatternState *state)
{
	memset(state, 0,
		   sizeof(IopoolPatternState) * iopool_pattern_nwords(pattern));
	add_place(pattern, state, 0);
}

static bool
is_in_bracket(const Token *token, const char *c, int len)
{
	const char *pos = token->text;
	const char *end = token->text + token->len;
	bool is_negated = *pos == '!';
	CharRange range;

	pos += is_negated;
	while (pos < end && take_range(&pos, end, &range))
	{
		if (compare_chars(range.lo, range.lo_len, c, len) <= 0 &&
			compare_chars(c, len, range.hi, range.hi_len) <= 0)
			return !is_negated;
	}
	return is_negated;
}

/* Where a path that is at a token may be after one more character. */
static void
step(const IopoolPattern *pattern, int place, const char *c, int len,
	 IopoolPatternState *result)
{
	const Token *token = &pattern->tokens[place];

	switch (token->kind)
	{
		case TOKEN_CHAR:
			if (token->len == len && memcmp(token->text, c, len) == 0)
				add_place(pattern, result, place + 1);
			break;
		case TOKEN_ANY:
			if (*c != '/')
				add_place(pattern, result, place + 1);
			break;
		case TOKEN_BRACKET:
			if (*c != '/' && is_in_bracket(token, c, len))
				add_place(pattern, result, place + 1);
			break;
		case TOKEN_STAR:
			if (*c != '/')
				add_place(pattern, result, place);
			break;
		case TOKEN_DEEP:
			add_place(pattern, result, place);
			break;
		case TOKEN_DIRS:
			/* no path is here; see add_place() */
			break;
		case TOKEN_DIRS_REST:
			set_bit(result, place);
			if (*c == '/')
				add_place(pattern, result, place + 1);
			break;
	}
}

/*
 * What becomes of a state with more of the path, which is whole characters.
 * False: nothing that begins so matches.
 */
bool
iopool_pattern_advance(const IopoolPattern *pattern,
					   const IopoolPatternState *state, const char *text,
					   size_t len, IopoolPatternState *result)
{
	int nwords = iopool_pattern_nwords(pattern);
	const char *end = text + len;
	IopoolPatternState from[MAX_WORDS];
	bool is_alive = true;

	memcpy(result, state, sizeof(IopoolPatternState) * nwords);
	while (text < end && is_alive)
	{
		int char_len = pg_mblen(text);

		memcpy(from, result, sizeof(IopoolPatternState) * nwords);
		memset(result, 0, sizeof(IopoolPatternState) * nwords);
		for (int place = 0; place < pattern->ntokens; place++)
		{
			if (from[place / STATE_BITS] == 0)
				place |= STATE_BITS - 1;
			else if (has_bit(from, place))
				step(pattern, place, text, char_len, result);
		}

		is_alive = false;
		for (int i = 0; i < nwords; i++)
			is_alive |= result[i] != 0;
		text += char_len;
	}
	return is_alive;
}

/* Does the path match as it is? */
bool
iopool_pattern_is_match(const IopoolPattern *pattern,
						const IopoolPatternState *state)
{
	return has_bit(state, pattern->ntokens);
}

/* A bit for each part of the pattern that a path may be in. */
static void
collect_parts(const IopoolPattern *pattern, const IopoolPatternState *state,
			  IopoolPatternState *parts)
{
	memset(parts, 0, sizeof(IopoolPatternState) * MAX_WORDS);
	for (int place = 0; place < pattern->ntokens; place++)
	{
		if (has_bit(state, place))
			set_bit(parts, pattern->tokens[place].part);
	}
}

/*
 * Are the same names of the pattern next for two paths?  More or less of one
 * name, or of a "**", may have been matched by them.
 */
bool
iopool_pattern_is_same_part(const IopoolPattern *pattern,
							const IopoolPatternState *a,
							const IopoolPatternState *b)
{
	IopoolPatternState parts_a[MAX_WORDS];
	IopoolPatternState parts_b[MAX_WORDS];

	collect_parts(pattern, a, parts_a);
	collect_parts(pattern, b, parts_b);
	return memcmp(parts_a, parts_b, sizeof(parts_a)) == 0;
}

/* The only place that a path may be at, or -1: there are several. */
static int
single_place(const IopoolPattern *pattern, const IopoolPatternState *state)
{
	int found = -1;

	for (int place = 0; place <= pattern->ntokens; place++)
	{
		if (!has_bit(state, place))
			continue;
		if (found >= 0)
			return -1;
		found = place;
	}
	return found;
}

/*
 * Which names can come next, at the beginning of a name?  Where it is only one,
 * it is in name, of which size bytes are longer than any name.
 */
IopoolPatternNames
iopool_pattern_next_names(const IopoolPattern *pattern,
						  const IopoolPatternState *state, char *name,
						  size_t size)
{
	int place = single_place(pattern, state);
	size_t len = 0;

	if (place < 0)
		return IOPOOL_PATTERN_ANY_NAME;
	for (; place < pattern->ntokens; place++)
	{
		const Token *token = &pattern->tokens[place];

		if (token->kind != TOKEN_CHAR)
			return IOPOOL_PATTERN_ANY_NAME;
		if (*token->text == '/')
			break;
		if (len + token->len >= size)
			return IOPOOL_PATTERN_NO_NAME;
		memcpy(name + len, token->text, token->len);
		len += token->len;
	}
	name[len] = '\0';

	/* these are names of no file, and of directories that are elsewhere */
	if (len == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return IOPOOL_PATTERN_NO_NAME;
	return IOPOOL_PATTERN_ONE_NAME;
}
