/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Settings and their check hooks.
 *
 * The server reads postgresql.conf before this library is loaded, so the
 * values of iopool.* wait as placeholders.  When a placeholder turns out to
 * be invalid, core says so in a WARNING and goes on with the default.  For a
 * pool of rings that would mean a server that runs with something other than
 * what its DBA wrote, so iopool_settings_define() looks at every value again and
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
#include "ring/method.h"
#include "ring/pool_config.h"
#include "ring/settings.h"

int iopool_method = IOPOOL_METHOD_AUTO;
int iopool_rings = 16;
int iopool_ring_entries = 128;
char *iopool_pools = NULL;
char *iopool_pool = NULL;
int iopool_io_mode = IOPOOL_IO_BUFFERED;
int iopool_checkout_timeout_ms = 10000;
int iopool_max_in_flight_bytes = 16 * 1024 * 1024;
int iopool_merge_gap = IOPOOL_MERGE_GAP_AUTO;
bool iopool_enable_stream_scan;
int iopool_max_request_memory_kb = 256 * 1024;
int iopool_max_lease_time_ms = 100;
int iopool_max_rings_per_role = 0;
int iopool_log_min_duration_ms = -1;

/* What iopool.merge_gap was set to; iopool_merge_gap is what it means. */
static char *merge_gap_text = NULL;

/* Room for the text of a merge gap. */
#define MERGE_GAP_SIZE 16

static const struct config_enum_entry io_mode_options[] = {
	{"buffered", IOPOOL_IO_BUFFERED, false},
	{"direct", IOPOOL_IO_DIRECT, false},
	{"uncached", IOPOOL_IO_UNCACHED, false},
	{NULL, 0, false},
};

/* The io_mode of that name, as iopool.io_mode takes it; false: there is none. */
bool
iopool_settings_parse_io_mode(const char *name, IopoolIoMode *mode)
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
iopool_settings_io_mode_name(IopoolIoMode mode)
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
iopool_settings_io_mode_list(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const struct config_enum_entry *entry = io_mode_options; entry->name;
		 entry++)
		appendStringInfo(&buf, "%s%s", entry == io_mode_options ? "" : ", ",
						 entry->name);
	return buf.data;
}

static bool
check_pools(char **newval, void **extra, GucSource source)
{
	char *problem =
		*newval != NULL ? iopool_pool_config_problem(*newval) : NULL;

	if (problem == NULL)
		return true;
	GUC_check_errdetail("%s", problem);
	return false;
}

static bool
check_method(int *newval, void **extra, GucSource source)
{
	if (*newval == IOPOOL_METHOD_AUTO || iopool_method_is_compiled(*newval))
		return true;
	GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
	GUC_check_errmsg("iopool: method \"%s\" is not compiled in",
					 iopool_method_name(*newval));
	GUC_check_errhint("%s", iopool_errors_method_hint(*newval, 0));
	return false;
}

/* A merge gap as a setting shows it: as core shows an integer with units. */
static void
format_merge_gap(int gap, char text[MERGE_GAP_SIZE])
{
	if (gap == IOPOOL_MERGE_GAP_AUTO)
		strlcpy(text, "auto", MERGE_GAP_SIZE);
	else if (gap <= 0)
		snprintf(text, MERGE_GAP_SIZE, "%d", gap);
	else if (gap % (1024 * 1024) == 0)
		snprintf(text, MERGE_GAP_SIZE, "%dMB", gap / (1024 * 1024));
	else if (gap % 1024 == 0)
		snprintf(text, MERGE_GAP_SIZE, "%dkB", gap / 1024);
	else
		snprintf(text, MERGE_GAP_SIZE, "%dB", gap);
}

/*
 * "auto", or what an integer setting with unit byte would take.  The value
 * becomes its canonical form, and its meaning goes to the assign hook.
 */
static bool
check_merge_gap(char **newval, void **extra, GucSource source)
{
	const char *hint = NULL;
	char *text;
	int *gap;
	int value;

	if (pg_strcasecmp(*newval, "auto") == 0)
		value = IOPOOL_MERGE_GAP_AUTO;
	else if (!parse_int(*newval, &value, GUC_UNIT_BYTE, &hint))
	{
		if (hint != NULL)
			GUC_check_errhint("%s", hint);
		else
			GUC_check_errdetail(
				"The value is neither \"auto\" nor a number of bytes.");
		return false;
	}
	else if (value < -1 || value > IOPOOL_MAX_MERGE_GAP)
	{
		GUC_check_errmsg(
			"%s is outside the valid range for parameter \"%s\" (%d .. %d)",
			*newval, "iopool.merge_gap", -1, IOPOOL_MAX_MERGE_GAP);
		return false;
	}

	text = iopool_guc_malloc(MERGE_GAP_SIZE);
	gap = iopool_guc_malloc(sizeof(int));
	if (text == NULL || gap == NULL)
		return false;
	format_merge_gap(value, text);
	iopool_guc_free(*newval);
	*newval = text;
	*gap = value;
	*extra = gap;
	return true;
}

static void
assign_merge_gap(const char *newval, void *extra)
{
	iopool_merge_gap = *(int *) extra;
}

static void
define_pool_settings(void)
{
	DefineCustomEnumVariable(
		"iopool.method",
		"Sets how rings read: auto, io_uring, libaio or sync.",
		"\"auto\" takes the best method that works on this kernel.",
		&iopool_method, IOPOOL_METHOD_AUTO, iopool_method_options,
		PGC_POSTMASTER, 0, check_method, NULL, NULL);
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
	DefineCustomStringVariable(
		"iopool.merge_gap",
		"Sets the largest gap between ranges that are read as one, in bytes.",
		"\"auto\" follows what reads cost, 0 merges only ranges that touch or overlap, -1 never merges.",
		&merge_gap_text, "auto", PGC_USERSET, 0, check_merge_gap,
		assign_merge_gap, NULL);
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
iopool_settings_define(void)
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
