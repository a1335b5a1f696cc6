/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  Directories: foreign servers of the wrapper iopool_directory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_DIRECTORY_H
#define IOPOOL_DIRECTORY_H

#include "nodes/pg_list.h"

#include "errors.h"
#include "shmem.h"

typedef struct IopoolDirectory
{
	/* of the server */
	Oid serverid;
	Oid ownerid;
	const char *name;
	const char *path;	   /* not for the eyes of those who only read */
	const char *pool_name; /* NULL: the session's */
	bool has_io_mode;	   /* false: the session's */
	IopoolIoMode io_mode;
	bool missing_ok;
	bool allow_data_directory;

	/* of the call that reads below it */
	IopoolPool *pool;			  /* NULL: the session's */
	int fd;						  /* O_PATH; -1: not open */
	IopoolFailure failure;		  /* why it cannot be opened, if so */
	struct IopoolDirectory *next; /* in its file set, when it was opened */
} IopoolDirectory;

/* directory.c */
extern void iopool_directory_parse(List *options, IopoolDirectory *dir);
extern bool iopool_directory_is_wrapper(Oid fdwid);
extern IopoolDirectory *iopool_directory_find(const char *name);
extern List *iopool_directory_list(void);
extern char *iopool_directory_valid_options(void);
extern void iopool_directory_bad_option(const char *name, const char *value,
										const char *detail, const char *hint)
	__attribute__((noreturn));

/* directory_open.c */
extern bool iopool_directory_open(IopoolDirectory *dir,
								  IopoolFailure *failure);
extern int iopool_directory_probe_openat2(void);
extern int iopool_directory_open_file(const IopoolDirectory *dir,
									  const char *relative, int flags);

/* directory_ddl.c */
extern void iopool_directory_install_hook(void);

#endif /* IOPOOL_DIRECTORY_H */
