/*-------------------------------------------------------------------------
 *
 * access.h
 *	  Who may read which path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ACCESS_H
#define IOPOOL_ACCESS_H

#include "file/directory.h"

struct directory_table_hash;

/* As whom, and as of which state of the catalog, rights have been looked at. */
typedef struct IopoolAccessTime
{
	Oid userid;
	uint64 nchanges;
} IopoolAccessTime;

/* What the rights of one call are, as far as they have been looked at. */
typedef struct IopoolAccess
{
	MemoryContext cxt;
	IopoolAccessTime time;
	bool may_name_any;	  /* member of pg_read_server_files */
	bool is_trusted;	  /* asks for no right at all */
	bool is_looking;	  /* a look-up has not ended, or failed */
	const char *log_role; /* see iopool_log_file_role() */
	struct directory_table_hash *table; /* directories by name, or NULL */
} IopoolAccess;

/* access.c */
extern void iopool_access_begin(IopoolAccess *access, MemoryContext cxt);
extern IopoolAccess *iopool_access_of_session(void);
extern bool iopool_access_is_as_of(const IopoolAccessTime *time);
extern IopoolDirectory *iopool_access_directory(IopoolAccess *access,
												const char *name,
												const char *path);
extern IopoolDirectory *iopool_access_path(IopoolAccess *access,
										   const char *path,
										   const char **relative);

#endif /* IOPOOL_ACCESS_H */
