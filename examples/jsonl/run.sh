#!/bin/bash
# run.sh DIR: make a file of JSON documents in DIR, index it, and read documents
# as a role that may read files there only.  psql's own variables (PGHOST,
# PGDATABASE, ...) name the database; the role that connects is a superuser.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
python3 "$here/data.py" write "$dir"

psql -X -q -P footer=off -v ON_ERROR_STOP=1 -v name=example_jsonl -v dir="$dir" <<SQL
\i '$here/../setup.sql'
\i '$here/jsonl.sql'
\encoding UTF8
\timing on
SELECT jsonl_update('example_jsonl:events.jsonl') AS indexed;
\timing off
\! python3 '$here/data.py' append '$dir'
SELECT jsonl_update('example_jsonl:events.jsonl') AS appended;

\! python3 '$here/data.py' list '$dir' >'$dir/expected.tsv'
CREATE TABLE expected (id int, kind text, file_offset bigint, length bigint, sha256 text);
\copy expected FROM '$dir/expected.tsv'
ANALYZE event, expected;

\echo all documents, and those that have the bytes that Python reads:
\timing on
SELECT count(*) AS documents, count(*) FILTER (WHERE sha256(d.data) = decode(e.sha256, 'hex')) AS right
FROM   expected e LEFT JOIN event i USING (id, kind, file_offset, length),
       iopool_read('example_jsonl:events.jsonl', i.file_offset, i.length) AS d(data);
SQL
