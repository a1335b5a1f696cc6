#!/bin/bash
# run.sh DIR: make albums of pictures in DIR, and read their thumbnails as a role
# that may read files there only.  psql's own variables (PGHOST, PGDATABASE, ...)
# name the database; the role that connects is a superuser.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/albums"
dir=$(cd "$1" && pwd)
python3 "$here/data.py" write "$dir/albums"
python3 "$here/data.py" list "$dir/albums" >"$dir/expected.tsv"

psql -X -q -P footer=off -v ON_ERROR_STOP=1 -v name=example_thumbnails -v dir="$dir/albums" <<SQL
\i '$here/../setup.sql'
\i '$here/thumbnails.sql'
CREATE TABLE expected (path text, size bigint, width int, height int, sha256 text);
\copy expected FROM '$dir/expected.tsv'
UPDATE expected SET path = 'example_thumbnails:' || path;
ANALYZE expected;

\echo all thumbnails, and those that have the bytes, width and height that Python reads:
\timing on
SELECT count(*) AS thumbnails, sum(t.size) AS bytes,
       count(*) FILTER (WHERE sha256(t.data) = decode(e.sha256, 'hex')
                        AND t.size = e.size AND (s.width, s.height) = (e.width, e.height)) AS right
FROM   thumbnail AS t FULL JOIN expected AS e USING (path), png_size(t.data) AS s;
\timing off
SQL
