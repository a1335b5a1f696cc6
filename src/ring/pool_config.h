/*-------------------------------------------------------------------------
 *
 * pool_config.h
 *	  What the settings say of the pools.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_POOL_CONFIG_H
#define IOPOOL_POOL_CONFIG_H

#include "nodes/pg_list.h"

#include "base/types.h"

typedef struct IopoolPoolConfig
{
	char name[NAMEDATALEN];
	IopoolMethodId method; /* may be AUTO */
	int nrings;
	int entries;
} IopoolPoolConfig;

/* pool_config.c */
extern char *iopool_pool_config_problem(const char *value);
extern List *iopool_pool_config_list(void);

#endif /* IOPOOL_POOL_CONFIG_H */
