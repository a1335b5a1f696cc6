#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "extension/iopool/iopool_api.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(tree_sum);

#define MAX_CHILDREN 510

typedef struct TreeNode
{
	int64 value;
	int64 nchildren;
	int64 children[MAX_CHILDREN]; /* offsets, each behind this node's own */
} TreeNode;

static void
add_node(const IopoolApi *iopool, IopoolApiStream *stream,
		 IopoolApiFile *file, int64 offset)
{
	IopoolApiRead read = {.file = file,
						  .offset = offset,
						  .length = sizeof(TreeNode)};

	iopool->add(stream, &read);
}

/* The value of a node; adds the reads of its children. */
static int64
visit_node(const IopoolApi *iopool, IopoolApiStream *stream,
		   const IopoolApiResult *result)
{
	const TreeNode *node = (const TreeNode *) result->buffer;

	iopool->raise_failure(result);
	if (result->nbytes != sizeof(TreeNode) || node->nchildren < 0 ||
		node->nchildren > MAX_CHILDREN)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("no tree node at offset %lld",
						(long long) result->offset)));

	for (int64 i = 0; i < node->nchildren; i++)
	{
		/* or else a damaged file could lead in a circle */
		if (node->children[i] <= result->offset)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the node at offset %lld leads back",
							(long long) result->offset)));
		add_node(iopool, stream, result->file, node->children[i]);
	}
	return node->value;
}

/* tree_sum(path text, root bigint) RETURNS bigint */
Datum
tree_sum(PG_FUNCTION_ARGS)
{
	const IopoolApi *iopool = iopool_api_get();
	char *path = text_to_cstring(PG_GETARG_TEXT_PP(0));
	IopoolApiResult results[16];
	IopoolApiStream *stream;
	IopoolApiFile *file;
	MemoryContext cxt;
	int64 sum = 0;
	int n;

	/* what is in here ends with it, also when something below raises */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "tree_sum",
								ALLOCSET_DEFAULT_SIZES);
	file = iopool->open_file(cxt, path, IOPOOL_API_CURRENT_USER,
							 IOPOOL_API_IO_SESSION);
	stream = iopool->begin(cxt, NULL);

	add_node(iopool, stream, file, PG_GETARG_INT64(1));
	while ((n = iopool->take(stream, results, lengthof(results), -1)) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			sum += visit_node(iopool, stream, &results[i]);
			iopool->release(stream, results[i].buffer);
		}
	}

	iopool->end(stream);
	MemoryContextDelete(cxt);
	PG_RETURN_INT64(sum);
}
