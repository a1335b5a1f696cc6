/*-------------------------------------------------------------------------
 *
 * kernel_fs.h
 *	  File systems that show the kernel's state, not somebody's files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_KERNEL_FS_H
#define IOPOOL_KERNEL_FS_H

#include <sys/types.h>

/* kernel_fs.c */
extern int iopool_kernel_fs_look(int fd, dev_t dev);

#endif /* IOPOOL_KERNEL_FS_H */
