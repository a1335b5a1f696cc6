/*
 * gatefs.c
 *		A read-only FUSE view of a directory whose reads a test can hold,
 *		delay, shorten and fail.
 *
 * usage: gatefs BACKING_DIR MOUNTPOINT -f
 *
 * A test steers a file NAME through plain files beside it in BACKING_DIR,
 * looked up at every read:
 *
 *	NAME.gate	while it exists, reads of NAME block
 *	NAME.pass	holds "N SIZE": N of these that ask for SIZE bytes at most go
 *				through all the same; without it the count starts anew
 *	NAME.delay	holds N: a read of NAME takes N microseconds at least, and does
 *				not keep others from being read meanwhile
 *	NAME.short	holds N: no read returns more than N bytes
 *	NAME.eio	holds "START END": reads that overlap [START, END) fail: EIO
 *	NAME.size	holds N: the kernel is told that the file has N bytes, though
 *				reads find all of them
 *	NAME.retry	holds N: the first N reads fail, by turns with EINTR and
 *				EAGAIN; removing it starts the count anew
 *
 * and reads NAME.blocked in the mount (not in BACKING_DIR): the number of
 * reads of NAME that are blocked at this moment.  That number is the proof
 * that a read is inside the kernel, so no test has to sleep.
 *
 * Files are opened with direct_io, so every read of a client arrives here with
 * the client's own offset and length (in pieces of the kernel's max_read) and
 * nothing is answered from the page cache.  A file that was opened stays the
 * file that was opened, also when its name is given to another one.
 *
 * A blocked read occupies a thread; GATEFS_MAX_THREADS and _MAX_BACKGROUND
 * bound how many reads may be held at once.  With GATEFS_BACKGROUND=N in the
 * environment, files are read through the page cache, which asks for pages that
 * are announced in the background; N of these requests are on their way at most,
 * and whoever makes another one waits.  Requests are not interruptible
 * once they are here: a client that is killed meanwhile stays until the gate
 * opens, as it would with a slow disk.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 312

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * Reads that can be held at once.  The defaults, 12 in the kernel's background
 * queue and 10 threads, would let one gate block the whole mount.
 */
#define GATEFS_MAX_BACKGROUND 1024
#define GATEFS_MAX_THREADS	  1024
#define GATEFS_IDLE_THREADS	  16

#define BACKGROUND_VARIABLE "GATEFS_BACKGROUND"

#define GATE_POLL_NSEC (5 * 1000 * 1000)

#define BLOCKED_SUFFIX ".blocked"

/* What the daemon knows of one name; entries are never removed. */
typedef struct Name
{
	struct Name *next;
	int nblocked;		   /* reads held by the gate now */
	int is_watched;		   /* one of them looks whether it opens */
	long npassed;		   /* reads let through for NAME.pass so far */
	pthread_cond_t opened; /* signalled when it has */
	long nretried;		   /* reads failed for NAME.retry so far */
	char path[];		   /* as FUSE names it: "/NAME" */
} Name;

/* One open file; virtual NAME.blocked files have fd -1. */
typedef struct Handle
{
	int fd;
	Name *name;
} Handle;

static char backing_dir[PATH_MAX];

/* Guards the list and every field of its entries but path. */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static Name *names;

/* Returns the entry of the first len bytes of path, NULL without memory. */
static Name *
lookup_name(const char *path, size_t len)
{
	Name *name;

	pthread_mutex_lock(&names_lock);
	for (name = names; name != NULL; name = name->next)
	{
		if (strncmp(name->path, path, len) == 0 && name->path[len] == '\0')
			break;
	}
	if (name == NULL)
	{
		name = calloc(1, sizeof(Name) + len + 1);
		if (name != NULL)
		{
			memcpy(name->path, path, len);
			pthread_cond_init(&name->opened, NULL);
			name->next = names;
			names = name;
		}
	}
	pthread_mutex_unlock(&names_lock);
	return name;
}

/* Length of NAME if path is NAME.blocked, 0 if it is anything else. */
static size_t
blocked_base_len(const char *path)
{
	size_t len = strlen(path);
	size_t suffix_len = strlen(BLOCKED_SUFFIX);

	if (len <= suffix_len + 1)
		return 0;
	if (strcmp(path + len - suffix_len, BLOCKED_SUFFIX) != 0)
		return 0;
	return len - suffix_len;
}

/* Writes the backing path of path + suffix; returns 0 or -ENAMETOOLONG. */
static int
backing_path(char dst[PATH_MAX], const char *path, const char *suffix)
{
	int len;

	len = snprintf(dst, PATH_MAX, "%s%s%s", backing_dir, path, suffix);
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Returns how many numbers (at most two) the sidecar holds, -1 without it. */
static int
read_sidecar(const char *path, const char *suffix, long long *a, long long *b)
{
	char sidecar[PATH_MAX];
	FILE *file;
	int nnumbers;

	if (backing_path(sidecar, path, suffix) != 0)
		return -1;
	file = fopen(sidecar, "re");
	if (file == NULL)
		return -1;
	nnumbers = fscanf(file, "%lld %lld", a, b);
	fclose(file);
	return nnumbers < 0 ? 0 : nnumbers;
}

/* May one more read pass the closed gate, and of how many bytes? */
static int
lets_one_pass(Name *name, long long *max_size)
{
	long long limit;

	if (read_sidecar(name->path, ".pass", &limit, max_size) == 2)
		return name->npassed < limit;
	name->npassed = 0;
	return 0;
}

static int
is_held(Name *name, const char *gate, size_t size)
{
	long long max_size;

	if (access(gate, F_OK) != 0)
		return 0;
	return !lets_one_pass(name, &max_size) || (long long) size > max_size;
}

/*
 * Blocks a read while NAME.gate is there.  One of the reads that are blocked
 * looks for it; the others wait for that one.
 */
static void
wait_for_gate(Name *name, size_t size)
{
	char gate[PATH_MAX];
	const struct timespec pause = {0, GATE_POLL_NSEC};
	long long max_size;

	if (backing_path(gate, name->path, ".gate") != 0 ||
		access(gate, F_OK) != 0)
		return;

	pthread_mutex_lock(&names_lock);
	name->nblocked++;
	while (is_held(name, gate, size))
	{
		if (name->is_watched)
		{
			pthread_cond_wait(&name->opened, &names_lock);
			continue;
		}
		name->is_watched = 1;
		pthread_mutex_unlock(&names_lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&names_lock);
		name->is_watched = 0;
		if (lets_one_pass(name, &max_size))
			pthread_cond_broadcast(&name->opened);
	}
	name->nblocked--;
	name->npassed++;
	/* somebody else has to look now */
	pthread_cond_broadcast(&name->opened);
	pthread_mutex_unlock(&names_lock);
}

/* Makes a read as slow as NAME.delay says. */
static void
take_time(const Name *name)
{
	struct timespec delay;
	long long usec;
	long long unused;

	if (read_sidecar(name->path, ".delay", &usec, &unused) < 1 || usec <= 0)
		return;
	delay.tv_sec = usec / 1000000;
	delay.tv_nsec = usec % 1000000 * 1000;
	while (nanosleep(&delay, &delay) != 0 && errno == EINTR)
		;
}

/* Returns 0 or the error that NAME.retry wants this read to fail with. */
static int
transient_error(Name *name)
{
	long long limit = 0;
	long long unused;
	int error = 0;

	if (read_sidecar(name->path, ".retry", &limit, &unused) < 1)
		limit = 0;

	pthread_mutex_lock(&names_lock);
	if (limit == 0)
		name->nretried = 0;
	else if (name->nretried < limit)
		error = name->nretried++ % 2 == 0 ? -EINTR : -EAGAIN;
	pthread_mutex_unlock(&names_lock);
	return error;
}

static int
read_blocked(Name *name, char *buf, size_t size, off_t offset)
{
	char text[32];
	int nblocked;
	size_t len;

	pthread_mutex_lock(&names_lock);
	nblocked = name->nblocked;
	pthread_mutex_unlock(&names_lock);

	len = (size_t) snprintf(text, sizeof(text), "%d\n", nblocked);
	if (offset < 0 || (size_t) offset >= len)
		return 0;
	if (size > len - (size_t) offset)
		size = len - (size_t) offset;
	memcpy(buf, text + offset, size);
	return (int) size;
}

/* path is NULL where the kernel does not know it. */
static void
pretend_size(const char *path, struct stat *st)
{
	long long size;
	long long unused;

	if (path != NULL && read_sidecar(path, ".size", &size, &unused) >= 1)
		st->st_size = size;
}

static int
gatefs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	char full[PATH_MAX];
	size_t base_len = blocked_base_len(path);
	Handle *handle = fi != NULL ? (Handle *) (uintptr_t) fi->fh : NULL;

	if (handle != NULL && handle->fd >= 0)
	{
		if (fstat(handle->fd, st) != 0)
			return -errno;
		pretend_size(path, st);
		return 0;
	}

	if (backing_path(full, path, "") != 0)
		return -ENAMETOOLONG;
	if (base_len > 0)
		full[strlen(full) - strlen(BLOCKED_SUFFIX)] = '\0';
	if (lstat(full, st) != 0)
		return -errno;
	if (base_len > 0)
		st->st_size = 0;
	else
		pretend_size(path, st);
	return 0;
}

static int
gatefs_open(const char *path, struct fuse_file_info *fi)
{
	char full[PATH_MAX];
	size_t base_len = blocked_base_len(path);
	Handle *handle;

	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		return -EROFS;
	if (backing_path(full, path, "") != 0)
		return -ENAMETOOLONG;

	handle = malloc(sizeof(Handle));
	if (handle == NULL)
		return -ENOMEM;
	handle->fd = -1;
	handle->name = lookup_name(path, base_len > 0 ? base_len : strlen(path));
	if (handle->name == NULL)
	{
		free(handle);
		return -ENOMEM;
	}

	/* O_DIRECT is between the client and us: the backing file is buffered. */
	if (base_len == 0)
	{
		handle->fd = open(full, O_RDONLY | O_CLOEXEC);
		if (handle->fd < 0)
		{
			int error = -errno;

			free(handle);
			return error;
		}
	}

	fi->fh = (uintptr_t) handle;
	fi->direct_io = handle->fd < 0 || getenv(BACKGROUND_VARIABLE) == NULL;
	return 0;
}

static int
gatefs_release(const char *path, struct fuse_file_info *fi)
{
	Handle *handle = (Handle *) (uintptr_t) fi->fh;

	(void) path;
	if (handle->fd >= 0)
		close(handle->fd);
	free(handle);
	return 0;
}

static int
gatefs_read(const char *path, char *buf, size_t size, off_t offset,
			struct fuse_file_info *fi)
{
	Handle *handle = (Handle *) (uintptr_t) fi->fh;
	const char *name_path = handle->name->path;
	long long start;
	long long end;
	long long limit;
	int error;
	ssize_t nread;

	(void) path;
	if (handle->fd < 0)
		return read_blocked(handle->name, buf, size, offset);

	wait_for_gate(handle->name, size);
	take_time(handle->name);

	error = transient_error(handle->name);
	if (error != 0)
		return error;
	if (read_sidecar(name_path, ".eio", &start, &end) == 2 && offset < end &&
		offset + (long long) size > start)
		return -EIO;
	if (read_sidecar(name_path, ".short", &limit, &end) >= 1 && limit > 0 &&
		size > (size_t) limit)
		size = (size_t) limit;

	nread = pread(handle->fd, buf, size, offset);
	return nread < 0 ? -errno : (int) nread;
}

static int
gatefs_readdir(const char *path, void *buf, fuse_fill_dir_t filler,
			   off_t offset, struct fuse_file_info *fi,
			   enum fuse_readdir_flags flags)
{
	char full[PATH_MAX];
	DIR *dir;
	struct dirent *entry;

	(void) offset;
	(void) fi;
	(void) flags;
	if (backing_path(full, path, "") != 0)
		return -ENAMETOOLONG;
	dir = opendir(full);
	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL)
	{
		if (filler(buf, entry->d_name, NULL, 0, (enum fuse_fill_dir_flags) 0))
			break;
	}
	closedir(dir);
	return 0;
}

static void *
gatefs_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	const char *background = getenv(BACKGROUND_VARIABLE);

	conn->max_background = background != NULL ? (unsigned) atoi(background)
											  : GATEFS_MAX_BACKGROUND;
	conn->congestion_threshold = conn->max_background;

	/* A test changes the backing directory behind the kernel's back. */
	cfg->entry_timeout = 0;
	cfg->negative_timeout = 0;
	cfg->attr_timeout = 0;
	return NULL;
}

static const struct fuse_operations gatefs_operations = {
	.getattr = gatefs_getattr,
	.open = gatefs_open,
	.read = gatefs_read,
	.release = gatefs_release,
	.readdir = gatefs_readdir,
	.init = gatefs_init,
};

/* Serves requests until unmounted or told to end; returns 0 when that went well. */
static int
serve(struct fuse *fuse)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int result;

	if (config == NULL)
		return 1;
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_idle_threads(config, GATEFS_IDLE_THREADS);
	fuse_loop_cfg_set_max_threads(config, GATEFS_MAX_THREADS);
	result = fuse_loop_mt(fuse, config);
	fuse_loop_cfg_destroy(config);
	return result != 0;
}

int
main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse *fuse;
	struct fuse_session *session;
	int result = 1;

	/* -f says what always holds: the daemon stays in the foreground. */
	if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "-f") != 0))
	{
		fprintf(stderr, "usage: %s BACKING_DIR MOUNTPOINT -f\n", argv[0]);
		return 2;
	}
	if (realpath(argv[1], backing_dir) == NULL)
	{
		fprintf(stderr, "%s: could not resolve directory \"%s\": %s\n",
				argv[0], argv[1], strerror(errno));
		return 1;
	}

	if (fuse_opt_add_arg(&args, argv[0]) != 0 ||
		fuse_opt_add_arg(&args, "-ofsname=gatefs") != 0)
		return 1;
	fuse =
		fuse_new(&args, &gatefs_operations, sizeof(gatefs_operations), NULL);
	fuse_opt_free_args(&args);
	if (fuse == NULL)
		return 1;

	if (fuse_mount(fuse, argv[2]) == 0)
	{
		session = fuse_get_session(fuse);
		if (fuse_set_signal_handlers(session) == 0)
		{
			result = serve(fuse);
			fuse_remove_signal_handlers(session);
		}
		fuse_unmount(fuse);
	}
	fuse_destroy(fuse);
	return result;
}
