#!/bin/bash
# run.sh DIR: write vectors to a file in DIR and to a table, and look for the
# nearest, as a role that may read files in DIR only.  VECTORS=20000 is how many:
# what is measured says something if they are larger than shared_buffers.
# psql's own variables (PGHOST, PGDATABASE, ...) name the database; the role that
# connects is a superuser.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
python3 "$here/data.py" write "$dir" "${VECTORS:-20000}"
python3 "$here/data.py" nearest "$dir" >"$dir/queries.tsv"

# timed function arguments: the function for all queries, with nothing of the
# vectors in the kernel's cache
timed()
{
    cat <<SQL
RESET ROLE;
CHECKPOINT;
\! sync '$dir/vectors.f4'; dd iflag=nocache count=0 status=none if='$dir/vectors.f4'
COPY (SELECT WHERE false) TO PROGRAM :'drop_table';
COPY (SELECT WHERE false) TO PROGRAM :'drop_index';
SET ROLE example_reader;
\echo $1($2)
\timing on
SELECT count(*) FROM query q, $1(q.embedding, $2) \gset
\timing off
SQL
}

psql -X -q -P footer=off -v ON_ERROR_STOP=1 -v name=example_rerank -v dir="$dir" <<SQL
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vector;
\i '$here/../setup.sql'
\i '$here/rerank.sql'
\copy item_vector FROM '$dir/vectors.copy' (FORMAT binary)
INSERT INTO item SELECT id, binary_quantize(embedding)::bit(128) FROM item_vector;
CREATE TABLE query (id int, embedding vector(128), nearest int[]);
\copy query FROM '$dir/queries.tsv'
RESET ROLE;
VACUUM ANALYZE item, item_vector, query;
\set drop 'dd iflag=nocache count=0 status=none if='
SELECT :'drop' || pg_relation_filepath('item_vector') AS drop_table,
       :'drop' || pg_relation_filepath('item_vector_pkey') AS drop_index \gset
SET ROLE example_reader;
\i '$here/check.sql'
\echo all queries, without the vectors in the cache:
$(timed candidates 200)
$(timed nearest_from_file '10, 200')
$(timed nearest_from_table '10, 200')
$(timed nearest_of_all 10)
SQL
