/*-------------------------------------------------------------------------
 *
 * api_internal.h
 *	  What the parts of the C interface share; iopool_api.h is the interface.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_API_INTERNAL_H
#define IOPOOL_API_INTERNAL_H

#include "file/file.h"
#include "iopool_api.h"

/* What a handle of a consumer is. */
typedef enum IopoolApiKind
{
	IOPOOL_API_STREAM,
	IOPOOL_API_FILE,
} IopoolApiKind;

struct IopoolApiFile
{
	IopoolFile file; /* open as long as this lives */
	IopoolFileSet *set;
	MemoryContext cxt;	 /* holds all of it; its own master */
	MemoryContext guard; /* child of the caller's; NULL: closed */
	int npins;			 /* reads that are outstanding */
	bool from_end;		 /* see IopoolApiOpenOptions */
};

/* api_handle.c */
extern void iopool_api_register(const void *handle, IopoolApiKind kind);
extern void iopool_api_unregister(const void *handle);
extern bool iopool_api_is_registered(const void *handle, IopoolApiKind kind);
extern struct handle_table_hash *iopool_api_set_create(MemoryContext cxt);
extern void iopool_api_set_reserve(struct handle_table_hash *set);
extern void iopool_api_set_add(struct handle_table_hash *set,
							   const void *buffer, Size size);
extern Size iopool_api_set_remove(struct handle_table_hash *set,
								  const void *buffer);
extern void iopool_api_check_size(const char *what, Size size, Size known);
extern MemoryContext iopool_api_guard(MemoryContext cxt,
									  MemoryContextCallbackFunction func,
									  void *arg);

/* api_file.c */
extern IopoolApiFile *iopool_api_open_file(MemoryContext cxt, const char *path,
										   IopoolApiAccess access,
										   IopoolApiIoMode io_mode);
extern IopoolApiFile *iopool_api_open_in_directory(MemoryContext cxt,
												   const char *directory,
												   const char *relative,
												   IopoolApiAccess access,
												   IopoolApiIoMode io_mode);
extern IopoolApiFile *iopool_api_open(MemoryContext cxt, const char *path,
									  const IopoolApiOpenOptions *options);
extern void iopool_api_close_file(IopoolApiFile *file);
extern void iopool_api_file_info(IopoolApiFile *file, IopoolApiFileInfo *info);
extern void iopool_api_check_file(const IopoolApiFile *file);
extern void iopool_api_pin_file(IopoolApiFile *file);
extern void iopool_api_unpin_file(IopoolApiFile *file);
extern void *iopool_api_alloc_aligned(MemoryContext cxt, Size size,
									  Size alignment);
extern void iopool_api_free_aligned(void *memory);
extern void iopool_api_check_aligned(IopoolApiFile *file, int64 offset,
									 int64 length, const void *buffer);

#endif /* IOPOOL_API_INTERNAL_H */
