/*-------------------------------------------------------------------------
 *
 * pool_config.c
 *	  What the settings say of the pools: the parser of iopool.pools.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>

#include "utils/guc.h"

#include "ring/method.h"
#include "ring/pool_config.h"
#include "ring/settings.h"

/*
 * Parser of iopool.pools:
 *
 *		list := [ pool { "," pool } ]
 *		pool := name "(" [ key "=" value { "," key "=" value } ] ")"
 *
 * SplitIdentifierString cannot serve here, because it splits at the commas
 * inside the parentheses too.
 */
typedef struct PoolParser
{
	const char *cursor;
	List *configs; /* of IopoolPoolConfig */
	char *error;   /* what is wrong, as a sentence, or NULL */
} PoolParser;

/* What the configuration may say of a pool, in parentheses. */
typedef enum PoolKey
{
	KEY_RINGS,
	KEY_ENTRIES,
	KEY_METHOD,
	NUM_KEYS
} PoolKey;

static const char *const key_names[NUM_KEYS] = {
	[KEY_RINGS] = "rings",
	[KEY_ENTRIES] = "entries",
	[KEY_METHOD] = "method",
};

static bool
parse_fail(PoolParser *parser, char *error)
{
	parser->error = error;
	return false;
}

static void
skip_space(PoolParser *parser)
{
	while (*parser->cursor != '\0' && strchr(" \t\r\n", *parser->cursor))
		parser->cursor++;
}

/* Is the next character c?  Then step over it. */
static bool
accept_char(PoolParser *parser, char c)
{
	skip_space(parser);
	if (*parser->cursor != c)
		return false;
	parser->cursor++;
	return true;
}

/* The next word: everything up to white space or punctuation of the list. */
static char *
next_word(PoolParser *parser)
{
	size_t len;
	char *word;

	skip_space(parser);
	len = strcspn(parser->cursor, " \t\r\n(),=");
	word = pnstrdup(parser->cursor, len);
	parser->cursor += len;
	return word;
}

static bool
is_valid_pool_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < NAMEDATALEN &&
		!(name[0] >= '0' && name[0] <= '9') &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* A whole decimal number from 1 to max. */
static bool
parse_count(PoolParser *parser, const char *pool, const char *key,
			const char *word, int max, int *result)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(word, &end, 10);
	if (*word == '\0' || *end != '\0')
		return parse_fail(
			parser,
			psprintf(
				"Key \"%s\" of pool \"%s\" takes a whole number, not \"%s\".",
				key, pool, word));
	if (errno != 0 || value < 1 || value > max)
		return parse_fail(
			parser,
			psprintf(
				"Key \"%s\" of pool \"%s\" must be from 1 to %d, not \"%s\".",
				key, pool, max, word));
	*result = (int) value;
	return true;
}

/* Whether it works on this kernel is seen at the server's start only. */
static bool
is_available_method(IopoolMethodId method)
{
	return method == IOPOOL_METHOD_AUTO || iopool_method_is_compiled(method);
}

static bool
parse_method(PoolParser *parser, const char *pool, const char *word,
			 IopoolMethodId *result)
{
	for (const struct config_enum_entry *option = iopool_method_options;
		 option->name != NULL; option++)
	{
		if (pg_strcasecmp(word, option->name) == 0)
		{
			*result = option->val;
			if (is_available_method(*result))
				return true;
			return parse_fail(
				parser,
				psprintf("Method \"%s\" of pool \"%s\" is not compiled in.",
						 option->name, pool));
		}
	}
	return parse_fail(
		parser,
		psprintf(
			"Key \"method\" of pool \"%s\" must be \"auto\", \"io_uring\", \"libaio\" or \"sync\", not \"%s\".",
			pool, word));
}

/* Which of the keys a pool has, or NUM_KEYS. */
static PoolKey
find_key(const char *name)
{
	PoolKey key = 0;

	while (key < NUM_KEYS && strcmp(name, key_names[key]) != 0)
		key++;
	return key;
}

static bool
parse_value(PoolParser *parser, IopoolPoolConfig *config, PoolKey key,
			const char *value)
{
	switch (key)
	{
		case KEY_RINGS:
			return parse_count(parser, config->name, key_names[key], value,
							   IOPOOL_MAX_RINGS, &config->nrings);
		case KEY_ENTRIES:
			return parse_count(parser, config->name, key_names[key], value,
							   IOPOOL_MAX_ENTRIES, &config->entries);
		default:
			return parse_method(parser, config->name, value, &config->method);
	}
}

/* The part in parentheses, after the opening one. */
static bool
parse_keys(PoolParser *parser, IopoolPoolConfig *config)
{
	bool seen[NUM_KEYS] = {false};

	if (accept_char(parser, ')'))
		return true;

	for (;;)
	{
		char *name = next_word(parser);
		PoolKey key = find_key(name);

		if (key == NUM_KEYS)
			return parse_fail(
				parser,
				psprintf(
					"Unknown key \"%s\" of pool \"%s\": the keys are \"rings\", \"entries\" and \"method\".",
					name, config->name));
		if (seen[key])
			return parse_fail(
				parser,
				psprintf("Key \"%s\" of pool \"%s\" is given twice.", name,
						 config->name));
		seen[key] = true;

		if (!accept_char(parser, '='))
			return parse_fail(
				parser,
				psprintf("Key \"%s\" of pool \"%s\" has no value.", name,
						 config->name));
		if (!parse_value(parser, config, key, next_word(parser)))
			return false;

		if (accept_char(parser, ')'))
			return true;
		if (!accept_char(parser, ','))
			return parse_fail(
				parser,
				psprintf("Missing \")\" after key \"%s\" of pool \"%s\".",
						 name, config->name));
	}
}

static bool
parse_pool(PoolParser *parser)
{
	IopoolPoolConfig *config = palloc0(sizeof(IopoolPoolConfig));
	char *name = next_word(parser);
	ListCell *lc;

	if (!is_valid_pool_name(name))
		return parse_fail(
			parser,
			psprintf(
				"Bad pool name \"%s\": a name has lower-case letters, digits and underscores, starts with no digit and is shorter than %d bytes.",
				name, NAMEDATALEN));
	if (strcmp(name, "default") == 0)
		return parse_fail(
			parser,
			pstrdup(
				"Duplicate pool \"default\": it always exists, and \"iopool.rings\", \"iopool.ring_entries\" and \"iopool.method\" configure it."));
	foreach(lc, parser->configs)
	{
		if (strcmp(((IopoolPoolConfig *) lfirst(lc))->name, name) == 0)
			return parse_fail(parser,
							  psprintf("Duplicate pool \"%s\".", name));
	}
	if (list_length(parser->configs) >= IOPOOL_MAX_POOLS)
		return parse_fail(parser,
						  psprintf("More than %d pools.", IOPOOL_MAX_POOLS));

	strlcpy(config->name, name, NAMEDATALEN);
	config->method = iopool_method;
	config->nrings = iopool_rings;
	config->entries = iopool_ring_entries;

	if (!accept_char(parser, '('))
		return parse_fail(parser,
						  psprintf("Missing \"(\" after pool \"%s\".", name));
	if (!parse_keys(parser, config))
		return false;

	parser->configs = lappend(parser->configs, config);
	return true;
}

static bool
parse_pools(PoolParser *parser, const char *value)
{
	parser->cursor = value;
	parser->configs = NIL;
	parser->error = NULL;

	skip_space(parser);
	if (*parser->cursor == '\0')
		return true;

	for (;;)
	{
		if (!parse_pool(parser))
			return false;
		skip_space(parser);
		if (*parser->cursor == '\0')
			return true;
		if (!accept_char(parser, ','))
			return parse_fail(parser,
							  psprintf("Missing \",\" before \"%s\".",
									   parser->cursor));
	}
}

/* What is wrong with a value of iopool.pools, as a sentence; NULL: nothing. */
char *
iopool_pool_config_problem(const char *value)
{
	PoolParser parser;

	return parse_pools(&parser, value) ? NULL : parser.error;
}

/*
 * All configured pools, "default" first, as a list of IopoolPoolConfig in
 * the current memory context.
 */
List *
iopool_pool_config_list(void)
{
	IopoolPoolConfig *config = palloc0(sizeof(IopoolPoolConfig));
	PoolParser parser;

	strlcpy(config->name, "default", NAMEDATALEN);
	config->method = iopool_method;
	config->nrings = iopool_rings;
	config->entries = iopool_ring_entries;

	/* the check hook has accepted it, so this is a matter of form */
	if (!parse_pools(&parser, iopool_pools ? iopool_pools : ""))
		elog(FATAL, "could not parse \"iopool.pools\": %s", parser.error);

	return lcons(config, parser.configs);
}
