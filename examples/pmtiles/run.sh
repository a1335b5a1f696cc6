#!/bin/bash
# run.sh DIR: make two archives in DIR, and read their tiles as a role that may
# read files there only.  psql's own variables (PGHOST, PGDATABASE, ...) name the
# database; the role that connects is a superuser.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
python3 "$here/data.py" write "$dir"
python3 "$here/data.py" list >"$dir/expected.tsv"
python3 "$here/entries.py" "$dir/packed.pmtiles" >"$dir/entries.tsv"

psql -X -q -P footer=off -v ON_ERROR_STOP=1 -v name=example_pmtiles -v dir="$dir" <<SQL
\i '$here/../setup.sql'
\i '$here/pmtiles.sql'
CREATE TABLE expected (z int, x int, y int, sha256 text);
\copy expected FROM '$dir/expected.tsv'

-- Where all tiles are, for queries that want many.
CREATE TABLE tile (archive text, first_id bigint, last_id bigint, file_offset bigint, length bigint,
                   PRIMARY KEY (archive, first_id));
INSERT INTO tile SELECT 'world.pmtiles', * FROM pmtiles_entries('example_pmtiles:world.pmtiles');
\copy tile FROM '$dir/entries.tsv'
ANALYZE tile, expected;

\echo tiles through the table, and some straight from an archive:
\timing on
SELECT through, count(*) AS places, count(data) AS tiles,
       count(*) FILTER (WHERE encode(sha256(data), 'hex') IS DISTINCT FROM sha256) AS wrong
FROM   (SELECT a.archive AS through, e.sha256, t.data
        FROM   expected e CROSS JOIN (SELECT DISTINCT archive FROM tile) a
               LEFT JOIN LATERAL (
                   SELECT iopool_read('example_pmtiles:' || archive, r.file_offset, r.length) AS data
                   FROM   (SELECT * FROM tile
                           WHERE  archive = a.archive AND first_id <= pmtiles_id(e.z, e.x, e.y)
                           ORDER  BY first_id DESC LIMIT 1) r
                   WHERE  r.last_id >= pmtiles_id(e.z, e.x, e.y)) t ON true
        UNION ALL
        SELECT 'pmtiles_tile', sha256, pmtiles_tile('example_pmtiles:world.pmtiles', z, x, y)
        FROM   expected WHERE (x + y * 64) % 30 = 0) t
GROUP  BY through ORDER BY through;
SQL
