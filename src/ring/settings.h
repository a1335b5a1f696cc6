/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  Settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_SETTINGS_H
#define IOPOOL_SETTINGS_H

#include "base/types.h"

extern PGDLLIMPORT int iopool_method;
extern PGDLLIMPORT int iopool_rings;
extern PGDLLIMPORT int iopool_ring_entries;
extern PGDLLIMPORT char *iopool_pools;
extern PGDLLIMPORT char *iopool_pool;
extern PGDLLIMPORT int iopool_io_mode;
extern PGDLLIMPORT int iopool_checkout_timeout_ms;
extern PGDLLIMPORT int iopool_max_in_flight_bytes;
extern PGDLLIMPORT int iopool_merge_gap;
extern PGDLLIMPORT bool iopool_enable_stream_scan;
extern PGDLLIMPORT int iopool_max_request_memory_kb;
extern PGDLLIMPORT int iopool_max_lease_time_ms;
extern PGDLLIMPORT int iopool_max_rings_per_role;
extern PGDLLIMPORT int iopool_log_min_duration_ms;

/* settings.c */
extern void iopool_settings_define(void);
extern bool iopool_settings_parse_io_mode(const char *name,
										  IopoolIoMode *mode);
extern const char *iopool_settings_io_mode_name(IopoolIoMode mode);
extern char *iopool_settings_io_mode_list(void);

#endif /* IOPOOL_SETTINGS_H */
