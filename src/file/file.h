/*-------------------------------------------------------------------------
 *
 * file.h
 *	  Files of a call: opened once, limited in number, closed on every path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_FILE_H
#define IOPOOL_FILE_H

#include <sys/types.h>
#include <time.h>

#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "base/deadline.h"
#include "file/access.h"

/* See iopool_file_takes_advice(). */
typedef enum IopoolAdvice
{
	IOPOOL_ADVICE_UNKNOWN,
	IOPOOL_ADVICE_HELPS,
	IOPOOL_ADVICE_HARMS,
} IopoolAdvice;

typedef struct IopoolFile
{
	const char *path;		   /* as the user wrote it */
	IopoolDirectory *dir;	   /* that it is opened in, or NULL: anywhere */
	const char *relative;	   /* the part of path below dir */
	const char *log_role;	   /* who it is logged for, or NULL */
	IopoolIoMode io_mode;	   /* of the directory or the set */
	int number;				   /* in the order of first use */
	int fd;					   /* -1: not open */
	int nusers;				   /* ranges that are being read from it */
	struct IopoolFileSet *set; /* that it was acquired in */
	IopoolFailure failure;	   /* why it cannot be read, if so */

	/* valid once it has been opened */
	dev_t dev;
	ino_t ino;
	int64 size;				  /* bytes, as of the last look */
	struct timespec modified; /* as it was opened last */
	bool has_been_open;
	bool is_just_open; /* no range has been compared with size yet */
	bool is_nonblock;  /* see iopool_file_make_blocking() */
	int alignment;	   /* of direct reads, in bytes; 0: not direct */
	int rw_flags;	   /* RWF_* for each read */
	IopoolAdvice advice;

	/* somebody's lease is waited for until then; 0: none is */
	IopoolDeadline lease_deadline;

	dlist_node idle; /* in the set's idle list: open, no users */
} IopoolFile;

/* What a file has of a range. */
typedef struct IopoolClip
{
	int64 start;		/* offset from the beginning, in bytes */
	int64 length;		/* bytes */
	bool is_open_ended; /* of a whole file: there may be more */
} IopoolClip;

typedef struct IopoolFileSet IopoolFileSet;

/* What has descriptors that it can do without until it is used again. */
typedef struct IopoolHolder
{
	dlist_node node;
	/* Close one of them; false if there is none.  Does not raise. */
	bool (*close_one)(struct IopoolHolder *holder);
} IopoolHolder;

/* file.c */
extern void iopool_file_init(IopoolFile *file, const char *path,
							 IopoolIoMode io_mode);
extern void iopool_file_name(IopoolFile *file, IopoolAccess *access,
							 const char *path, IopoolIoMode io_mode);
extern bool iopool_file_fail(IopoolFile *file, IopoolFailureKind kind,
							 int errnum);
extern bool iopool_file_open(IopoolFile *file);
extern bool iopool_file_make_blocking(IopoolFile *file,
									  IopoolFailure *failure);
extern bool iopool_file_open_now(IopoolFile *file);
extern void iopool_file_log_open(const IopoolFile *file);
extern bool iopool_file_open_kept(IopoolFile *file);
extern void iopool_file_use_kept(IopoolFile *file);
extern void iopool_file_close_kept(IopoolFile *file);
extern bool iopool_file_close_oldest_kept(void);

/* file_set.c */
extern IopoolFileSet *iopool_file_set_create(MemoryContext cxt,
											 IopoolIoMode io_mode);
extern bool iopool_file_set_is_as_of_now(const IopoolFileSet *set);
extern IopoolFile *iopool_file_set_find(IopoolFileSet *set, const char *path,
										size_t len);
extern int iopool_file_set_count(const IopoolFileSet *set);
extern void iopool_file_set_close(IopoolFileSet *set);
extern void iopool_file_set_pin(IopoolFileSet *set);
extern bool iopool_file_acquire(IopoolFileSet *set, IopoolFile *file);
extern void iopool_file_release(IopoolFile *file);
extern bool iopool_file_make_room(void);
extern void iopool_file_add_holder(IopoolHolder *holder);
extern void iopool_file_use_holder(IopoolHolder *holder);
extern void iopool_file_remove_holder(IopoolHolder *holder);

/*
 * Is it a lease that the file could not be acquired for?  Then it is to be
 * tried again after a while, in which no ring is to be held.  After a second
 * it fails with EAGAIN.
 */
static inline bool
iopool_file_is_leased(const IopoolFile *file)
{
	return file->lease_deadline != 0;
}

/* file_time.c */
extern TimestampTz iopool_file_time(const struct timespec *time);

/* file_size.c */
extern int iopool_file_statx_alignment(int fd);
extern int64 iopool_file_size(IopoolFile *file);
extern bool iopool_file_count_from_end(IopoolFile *file, int64 *offset,
									   int64 *length, IopoolFailure *failure);
extern bool iopool_file_clip(IopoolFile *file, int64 offset, int64 length,
							 IopoolClip *clip, IopoolFailure *failure);
extern bool iopool_file_goes_on_at(const IopoolFile *file, int64 offset);
extern int64 iopool_file_resume_direct(IopoolFile *file, int64 from,
									   int64 upto, int *nstops);
extern bool iopool_file_takes_advice(IopoolFile *file);

#endif /* IOPOOL_FILE_H */
