/*-------------------------------------------------------------------------
 *
 * kernel_fs.c
 *	  File systems that show the kernel's state, not somebody's files.
 *
 * What is to be read there is of the machine and its processes, this one's
 * memory included (/proc/self/mem), so nobody reads it below a directory.
 * They are known by the number that fstatfs(2) tells.  devtmpfs is the
 * exception, because it says that it is a tmpfs, which is a place for files.
 *
 * Nothing here raises.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "file/kernel_fs.h"

/*
 * Numbers that <linux/magic.h> does not have, or had not in the headers of
 * some systems that we are built on.
 */
#define MAGIC_CONFIGFS	 0x62656570
#define MAGIC_MQUEUE	 0x19800202
#define MAGIC_FUSECTL	 0x65735543
#define MAGIC_NFSD		 0x6e667364
#define MAGIC_RPC_PIPEFS 0x67596969
#define MAGIC_PIDFS		 0x50494446
#define MAGIC_FUNCTIONFS 0x0a647361
#define MAGIC_GADGETFS	 0xaee71ee7
#define MAGIC_HYPFS		 0x00687970
#define MAGIC_SPUFS		 0x23c9b64e
#define MAGIC_BINDERFS	 0x6c6f6f70
#define MAGIC_AAFS		 0x5a3c69f0
#define MAGIC_RDTGROUP	 0x07655821
#define MAGIC_DMA_BUF	 0x444d4142
#define MAGIC_DEVMEM	 0x454d444d
#define MAGIC_SECRETMEM	 0x5345434d
#define MAGIC_GUEST_MEM	 0x474d454d

static const uint32 magics[] = {
	PROC_SUPER_MAGIC,	   SYSFS_MAGIC,			CGROUP_SUPER_MAGIC,
	CGROUP2_SUPER_MAGIC,   DEBUGFS_MAGIC,		TRACEFS_MAGIC,
	SECURITYFS_MAGIC,	   MAGIC_CONFIGFS,		BPF_FS_MAGIC,
	PSTOREFS_MAGIC,		   EFIVARFS_MAGIC,		SELINUX_MAGIC,
	SMACK_MAGIC,		   MAGIC_AAFS,			BINFMTFS_MAGIC,
	MAGIC_MQUEUE,		   MAGIC_FUSECTL,		MAGIC_NFSD,
	MAGIC_RPC_PIPEFS,	   MAGIC_RDTGROUP,		DEVPTS_SUPER_MAGIC,
	MAGIC_BINDERFS,		   XENFS_SUPER_MAGIC,	OPENPROM_SUPER_MAGIC,
	USBDEVICE_SUPER_MAGIC, MAGIC_FUNCTIONFS,	MAGIC_GADGETFS,
	MAGIC_HYPFS,		   MAGIC_SPUFS,			NSFS_MAGIC,
	MAGIC_PIDFS,		   ANON_INODE_FS_MAGIC, PIPEFS_MAGIC,
	SOCKFS_MAGIC,		   BDEVFS_MAGIC,		MAGIC_DMA_BUF,
	MAGIC_DEVMEM,		   MAGIC_SECRETMEM,		MAGIC_GUEST_MEM,
};

/* The device of a line of mountinfo, if it is one of devtmpfs; else 0. */
static dev_t
parse_mount(const char *line)
{
	/* spaces in paths are written otherwise: see proc_pid_mountinfo(5) */
	const char *type = strstr(line, " - ");
	unsigned int dev_major;
	unsigned int dev_minor;

	if (type == NULL || strncmp(type, " - devtmpfs ", 12) != 0 ||
		sscanf(line, "%*d %*d %u:%u", &dev_major, &dev_minor) != 2)
		return 0;
	return makedev(dev_major, dev_minor);
}

/*
 * Is this device devtmpfs?  A machine has one, with the same number as long
 * as it runs, so it is looked for until it has been found among the mounts.
 */
static bool
is_devtmpfs(dev_t dev)
{
	static dev_t devtmpfs = 0;
	FILE *mounts;
	char *line = NULL;
	size_t size = 0;

	if (devtmpfs == 0 &&
		(mounts = fopen("/proc/self/mountinfo", "re")) != NULL)
	{
		while (devtmpfs == 0 && getline(&line, &size, mounts) > 0)
			devtmpfs = parse_mount(line);
		free(line);
		fclose(mounts);
	}
	return devtmpfs != 0 && dev == devtmpfs;
}

/*
 * Is an open file, O_PATH or not, on such a file system?  dev is the device
 * that fstat(2) tells.  1: yes, 0: no, -1: errno says why that cannot be told.
 */
int
iopool_kernel_fs_look(int fd, dev_t dev)
{
	struct statfs fs;
	uint32 magic;

	if (fstatfs(fd, &fs) != 0)
		return -1;

	/* the field is signed on some architectures, and wider on others */
	magic = (uint32) fs.f_type;
	for (size_t i = 0; i < lengthof(magics); i++)
	{
		if (magics[i] == magic)
			return 1;
	}
	return (magic == TMPFS_MAGIC || magic == RAMFS_MAGIC) && is_devtmpfs(dev);
}
