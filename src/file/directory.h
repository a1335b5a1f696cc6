/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  Directories: foreign servers of the wrapper iopool_directory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_DIRECTORY_H
#define IOPOOL_DIRECTORY_H

#include <sys/types.h>

#include "nodes/pg_list.h"

#include "base/errors.h"
#include "ring/shmem.h"

/* What no directory can have, for 22023; detail and hint may be NULL. */
typedef struct IopoolOptionProblem
{
	const char *message; /* NULL: there is none */
	const char *detail;
	const char *hint;
	const char *mend; /* actions of ALTER SERVER ... OPTIONS, for the doctor */
} IopoolOptionProblem;

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
	IopoolOptionProblem problem; /* with one, it is not to be read from */

	/* of the call that reads below it */
	IopoolPool *pool;					  /* NULL: the session's */
	int fd;								  /* O_PATH; -1: not open */
	bool was_open;						  /* and has to be the same again */
	IopoolFailure failure;				  /* why it cannot be opened, if so */
	struct IopoolSharedDirectory *shared; /* whose fd it is, or NULL */
	struct IopoolDirectory *next; /* in its file set, when it was opened */

	/* valid since it was opened */
	dev_t dev;
	ino_t ino;
	uint64 mount; /* that it was found in, if that can be told */
	bool has_mount;
	bool is_kernel_fs; /* files of this device are not to be read */
	dev_t shm_dev;	   /* of /dev/shm, or 0 */
} IopoolDirectory;

/* How others could put another directory in the place of one. */
typedef struct IopoolExposure
{
	char *place;	 /* at or above the directory */
	bool is_foreign; /* it belongs to somebody else; else others write in it */
	char *mend;		 /* a command of the shell */
} IopoolExposure;

/* What is wrong, in a return statement. */
static inline bool
iopool_directory_fail(IopoolFailure *failure, IopoolFailureKind kind,
					  int errnum)
{
	failure->kind = kind;
	failure->errnum = errnum;
	return false;
}

/* directory.c */
extern bool iopool_directory_parse(List *options, IopoolDirectory *dir);
extern void iopool_directory_raise_problem(const IopoolOptionProblem *problem)
	__attribute__((noreturn));
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

extern bool iopool_directory_leads_to(const char *path, dev_t dev, ino_t ino);
extern bool iopool_directory_look_at_file(const IopoolDirectory *dir, int fd,
										  dev_t dev, IopoolFailure *failure);

/* directory_check.c */
extern bool iopool_directory_check(IopoolDirectory *dir, int fd,
								   IopoolFailure *failure);
extern void iopool_directory_forget_checks(void);

/* directory_share.c */
extern bool iopool_directory_acquire(IopoolDirectory *dir,
									 IopoolFailure *failure);
extern void iopool_directory_release(IopoolDirectory *dir);

/* directory_name.c */
extern bool iopool_directory_is_addressable(const char *name);
extern bool iopool_directory_is_exposed(const char *path,
										IopoolExposure *exposure);
extern char *iopool_directory_shell_quote(const char *text);

/* directory_ddl.c */
extern void iopool_directory_install_hook(void);

#endif /* IOPOOL_DIRECTORY_H */
