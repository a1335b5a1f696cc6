/*-------------------------------------------------------------------------
 *
 * memcheck.h
 *	  Valgrind's marks in PostgreSQL's memory contexts, for AddressSanitizer.
 *
 * A server that is compiled with USE_VALGRIND tells Valgrind which bytes of
 * its memory contexts are anybody's: palloc() and pfree() hand out and take
 * back parts of larger blocks, which malloc() knows nothing of.  The server
 * that scripts/roots.sh builds finds this file as valgrind/memcheck.h, and so
 * tells AddressSanitizer.  A library that is compiled with -fsanitize=address
 * is stopped there when it reads freed memory, or past the end of a chunk.
 *
 * AddressSanitizer knows no memory that may be written but not read, so
 * "undefined" and "defined" are the same.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_MEMCHECK_H
#define IOPOOL_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define VALGRIND_MAKE_MEM_NOACCESS(addr, size) \
	__asan_poison_memory_region((addr), (size))
#define VALGRIND_MAKE_MEM_UNDEFINED(addr, size) \
	__asan_unpoison_memory_region((addr), (size))
#define VALGRIND_MAKE_MEM_DEFINED(addr, size) \
	__asan_unpoison_memory_region((addr), (size))
#define VALGRIND_MEMPOOL_ALLOC(context, addr, size) \
	__asan_unpoison_memory_region((addr), (size))

/* The context has marked the chunk by then, or given its block to free(). */
#define VALGRIND_MEMPOOL_FREE(context, addr) ((void) (context))
#define VALGRIND_MEMPOOL_CHANGE(context, optr, nptr, size) \
	__asan_unpoison_memory_region((nptr), (size))

#define VALGRIND_CHECK_MEM_IS_DEFINED(addr, size)		   ((void) (addr))
#define VALGRIND_CREATE_MEMPOOL(context, redzones, zeroed) ((void) (context))
#define VALGRIND_DESTROY_MEMPOOL(context)				   ((void) (context))
#define VALGRIND_COUNT_ERRORS							   0
#define VALGRIND_DISABLE_ERROR_REPORTING				   ((void) 0)
#define VALGRIND_ENABLE_ERROR_REPORTING					   ((void) 0)
#define VALGRIND_PRINTF(...)							   ((void) 0)
#define RUNNING_ON_VALGRIND								   0

#endif /* IOPOOL_MEMCHECK_H */
