/*-------------------------------------------------------------------------
 *
 * iopool.c
 *	  Module magic and the order of initialisation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "api/api.h"
#include "base/compat.h"
#include "doctor/check.h"
#include "file/directory.h"
#include "ring/settings.h"
#include "ring/shmem.h"
#include "scan/scan.h"
#include "sql/request.h"

IOPOOL_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/*
 * The library is also loaded without being preloaded, by CREATE EXTENSION or
 * a call.  Then there are no pools, and every function says what to do.
 */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	iopool_settings_define();
	iopool_shmem_install();
	iopool_stream_register_callbacks();
	iopool_request_register_callbacks();
	iopool_api_install();
	iopool_directory_install_hook();
	iopool_scan_install();
	iopool_check_load_order();
}
