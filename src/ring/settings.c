/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Settings, their check hooks and the parser of iopool.pools.
 *
 * The server reads postgresql.conf before this library is loaded, so the
 * values of iopool.* wait as placeholders.  When a placeholder turns out to
 * be invalid, core says so in a WARNING and goes on with the default.  For a
 * pool of rings that would mean a server that runs with something other than
 * what its DBA wrote, so iopool_guc_define() looks at every value again and
 * refuses to start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/errors.h"
#include "ring/settings.h"
#include "ring/method.h"

int iopool_method = IOPOOL_METHOD_AUTO;
int iopool_rings = 16;
int iopool_ring_entries = 128;
char *iopool_pools = NULL;
char *iopool_pool = NULL;
int iopool_io_mode = IOPOOL_IO_BUFFERED;
int iopool_checkout_timeout_ms = 10000;
int iopool_max_in_flight_bytes = 16 * 1024 * 1024;
int iopool_merge_gap = 0;
bool iopool_enable_stream_scan;
int iopool_max_request_memory_kb = 256 * 1024;
int iopool_max_lease_time_ms = 100;
int iopool_max_rings_per_role = 0;
int iopool_log_min_duration_ms = -1;

static const struct config_enum_entry method_options[] = {
	{"auto", IOPOOL_METHOD_AUTO, false},
	{"io_uring", IOPOOL_METHOD_IO_URING, false},
	{"libaio", IOPOOL_METHOD_LIBAIO, false},
	{"sync", IOPOOL_METHOD_SYNC, false},
	{NULL, 0, false},
};

static const struct config_enum_entry io_mode_options[] = {
	{"buffered", IOPOOL_IO_BUFFERED, false},
	{"direct", IOPOOL_IO_DIRECT, false},
	{"uncached", IOPOOL_IO_UNCACHED, false},
	{NULL, 0, false},
};

/* The io_mode of that name, as iopool.io_mode takes it; false: there is none. */
bool
iopool_guc_parse_io_mode(const char *name, IopoolIoMode *mode)
{
	for (const struct config_enum_entry *entry = io_mode_options; entry->name;
		 entry++)
	{
		if (pg_strcasecmp(entry->name, name) == 0)
		{
			*mode = entry->val;
			return true;
		}
	}
	return false;
}

const char *
iopool_guc_io_mode_name(IopoolIoMode mode)
{
	for (const struct config_enum_entry *entry = io_mode_options; entry->name;
		 entry++)
	{
		if (entry->val == (int) mode)
			return entry->name;
	}
	elog(ERROR, "no name for io_mode %d", (int) mode);
}

/* All of them, for a hint. */
char *
iopool_guc_io_mode_list(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const struct config_enum_entry *entry = io_mode_options; entry->name;
		 entry++)
		appendStringInfo(&buf, "%s%s", entry == io_mode_options ? "" : ", ",
						 entry->name);
	return buf.data;
}

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
	for (const struct config_enum_entry *option = method_options;
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

/* The part in parentheses, after the opening one. */
static bool
parse_keys(PoolParser *parser, IopoolPoolConfig *config)
{
	bool seen_rings = false;
	bool seen_entries = false;
	bool seen_method = false;

	if (accept_char(parser, ')'))
		return true;

	for (;;)
	{
		char *key = next_word(parser);
		char *value;
		bool *seen;

		if (strcmp(key, "rings") == 0)
			seen = &seen_rings;
		else if (strcmp(key, "entries") == 0)
			seen = &seen_entries;
		else if (strcmp(key, "method") == 0)
			seen = &seen_method;
		else
			return parse_fail(
				parser,
				psprintf(
					"Unknown key \"%s\" of pool \"%s\": the keys are \"rings\", \"entries\" and \"method\".",
					key, config->name));
		if (*seen)
			return parse_fail(
				parser,
				psprintf("Key \"%s\" of pool \"%s\" is given twice.", key,
						 config->name));
		*seen = true;

		if (!accept_char(parser, '='))
			return parse_fail(
				parser,
				psprintf("Key \"%s\" of pool \"%s\" has no value.", key,
						 config->name));
		value = next_word(parser);

		if (seen == &seen_rings)
		{
			if (!parse_count(parser, config->name, key, value,
							 IOPOOL_MAX_RINGS, &config->nrings))
				return false;
		}
		else if (seen == &seen_entries)
		{
			if (!parse_count(parser, config->name, key, value,
							 IOPOOL_MAX_ENTRIES, &config->entries))
				return false;
		}
		else if (!parse_method(parser, config->name, value, &config->method))
			return false;

		if (accept_char(parser, ')'))
			return true;
		if (!accept_char(parser, ','))
			return parse_fail(
				parser,
				psprintf("Missing \")\" after key \"%s\" of pool \"%s\".", key,
						 config->name));
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

static bool
check_pools(char **newval, void **extra, GucSource source)
{
	PoolParser parser;

	if (*newval == NULL || parse_pools(&parser, *newval))
		return true;
	GUC_check_errdetail("%s", parser.error);
	return false;
}

static bool
check_method(int *newval, void **extra, GucSource source)
{
	if (is_available_method(*newval))
		return true;
	GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
	GUC_check_errmsg("iopool: method \"%s\" is not compiled in",
					 iopool_method_name(*newval));
	GUC_check_errhint("%s", iopool_errors_method_hint(*newval, 0));
	return false;
}

/*
 * All configured pools, "default" first, as a list of IopoolPoolConfig in
 * the current memory context.
 */
List *
iopool_guc_pool_configs(void)
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

static void
define_pool_settings(void)
{
	DefineCustomEnumVariable(
		"iopool.method",
		"Sets how rings read: auto, io_uring, libaio or sync.",
		"\"auto\" takes the best method that works on this kernel.",
		&iopool_method, IOPOOL_METHOD_AUTO, method_options, PGC_POSTMASTER, 0,
		check_method, NULL, NULL);
	DefineCustomIntVariable("iopool.rings",
							"Sets the number of rings in pool \"default\".",
							NULL, &iopool_rings, 16, 1, IOPOOL_MAX_RINGS,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"iopool.ring_entries",
		"Sets how many reads can be in flight on one ring.", NULL,
		&iopool_ring_entries, 128, 1, IOPOOL_MAX_ENTRIES, PGC_POSTMASTER, 0,
		NULL, NULL, NULL);
	DefineCustomStringVariable(
		"iopool.pools",
		"Lists more pools, as \"name(rings=N, entries=N, method=M), ...\".",
		"A key that is left out takes the value of pool \"default\".",
		&iopool_pools, "", PGC_POSTMASTER, 0, check_pools, NULL, NULL);
}

static void
define_session_settings(void)
{
	DefineCustomStringVariable("iopool.pool",
							   "Sets the pool that this session's reads use.",
							   "Roles set it that were granted SET on it.",
							   &iopool_pool, "default", PGC_SUSET, 0, NULL,
							   NULL, NULL);
	DefineCustomEnumVariable(
		"iopool.io_mode",
		"Sets how reads treat the page cache: buffered, direct or uncached.",
		NULL, &iopool_io_mode, IOPOOL_IO_BUFFERED, io_mode_options,
		PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("iopool.checkout_timeout",
							"Sets the longest wait for a free ring.",
							"0 does not wait, -1 waits without a limit.",
							&iopool_checkout_timeout_ms, 10000, -1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"iopool.max_in_flight_bytes",
		"Sets how many bytes one batch may have in flight.",
		"One read is always in flight, however small the value.",
		&iopool_max_in_flight_bytes, 16 * 1024 * 1024, IOPOOL_BLOCK_SIZE,
		INT_MAX, PGC_USERSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"iopool.merge_gap",
		"Sets the largest gap between ranges that are read as one.",
		"0 merges only ranges that touch or overlap, -1 never merges.",
		&iopool_merge_gap, 0, -1, 64 * 1024 * 1024, PGC_USERSET, GUC_UNIT_BYTE,
		NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"iopool.enable_stream_scan",
		"Enables the planner's use of scans that read ahead.",
		"They take the place of iopool_read_batch() in FROM, and of joins with LATERAL iopool_read() or iopool_read_batch().",
		&iopool_enable_stream_scan, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL,
		NULL);
	DefineCustomIntVariable(
		"iopool.max_request_memory",
		"Sets how much data the unfetched requests of a session may hold.",
		"Roles set it that were granted SET on it.",
		&iopool_max_request_memory_kb, 256 * 1024, 0, INT_MAX, PGC_SUSET,
		GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"iopool.max_rings_per_role",
		"Sets how many rings of a pool the sessions of a role may hold at a time.",
		"Others of the role wait in line. 0 sets no limit.",
		&iopool_max_rings_per_role, 0, 0, IOPOOL_MAX_RINGS, PGC_SUSET, 0, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"iopool.max_lease_time",
		"Sets how long a session goes on starting reads while others wait for a ring of its pool.",
		"-1 sets no limit.", &iopool_max_lease_time_ms, 100, -1, INT_MAX,
		PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("iopool.log_min_duration",
							"Sets the time above which a batch is logged.",
							"0 logs every batch, -1 logs none.",
							&iopool_log_min_duration_ms, -1, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* A value of ours that waited in the configuration. */
typedef struct ConfiguredValue
{
	char *name;
	char *value;
} ConfiguredValue;

/* All of them, as a list of ConfiguredValue in the current memory context. */
static List *
configured_values(void)
{
	List *values = NIL;
	int nvariables;
	struct config_generic **variables = iopool_guc_variables(&nvariables);

	for (int i = 0; i < nvariables; i++)
	{
		const char *name = variables[i]->name;
		const char *value;
		ConfiguredValue *configured;

		if (pg_strncasecmp(name, "iopool.", strlen("iopool.")) != 0)
			continue;
		value = GetConfigOption(name, true, false);
		if (value == NULL)
			continue;
		configured = palloc(sizeof(ConfiguredValue));
		configured->name = pstrdup(name);
		configured->value = pstrdup(value);
		values = lappend(values, configured);
	}
	return values;
}

/*
 * Define every setting.  Called once, while shared_preload_libraries are
 * loaded; ends the server's start on a configured value that is invalid.
 */
void
iopool_guc_define(void)
{
	List *configured = configured_values();
	ListCell *lc;

	define_pool_settings();
	define_session_settings();
	MarkGUCPrefixReserved("iopool");

	foreach(lc, configured)
	{
		ConfiguredValue *setting = lfirst(lc);

		/* core has said that there is no such setting, and removed it */
		if (GetConfigOption(setting->name, true, false) == NULL)
			continue;
		/* changeVal = false: check the value, and say what is wrong as FATAL */
		(void) set_config_option(setting->name, setting->value, PGC_POSTMASTER,
								 PGC_S_FILE, GUC_ACTION_SET, false, FATAL,
								 false);
	}
}
