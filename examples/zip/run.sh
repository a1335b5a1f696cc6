#!/bin/bash
# run.sh DIR: make two archives in DIR, and read their members as a role that
# may read files there only.  psql's own variables (PGHOST, PGDATABASE, ...) name
# the database; the role that connects is a superuser.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
python3 "$here/data.py" write "$dir"
python3 "$here/data.py" list "$dir" >"$dir/expected.tsv"

psql -X -q -P footer=off -v ON_ERROR_STOP=1 -v name=example_zip -v dir="$dir" <<SQL
\i '$here/../setup.sql'
\i '$here/zip.sql'
CREATE TABLE expected (archive text, name text, size bigint, sha256 text);
\encoding UTF8
\copy expected FROM '$dir/expected.tsv'

\echo the directories of both archives:
\timing on
CREATE TABLE member AS
SELECT a.archive, m.*
FROM   (VALUES ('plain.zip'), ('large.zip')) AS a(archive),
       zip_members('example_zip:' || a.archive) AS m;
\timing off
ALTER TABLE member ADD PRIMARY KEY (archive, name);
ANALYZE member, expected;

\echo all members, and those that are stored and have the bytes that zipfile reads:
\timing on
SELECT archive, count(*) AS members, count(*) FILTER (WHERE m.method = 8) AS compressed,
       count(*) FILTER (WHERE m.method = 0 AND sha256(d.data) = decode(e.sha256, 'hex')) AS right
FROM   expected e LEFT JOIN member m USING (archive, name, size),
       iopool_read('example_zip:' || archive, m.file_offset, m.stored_size) AS d(data)
GROUP  BY archive ORDER BY archive;
SQL
