#!/bin/bash
# run.sh DIR [HOST]: make files of three servers in DIR, and read them through one
# table of a coordinator.  The servers are databases of the server that psql
# connects to; they are reached by HOST (default: as psql does).  psql's own
# variables (PGHOST, PGDATABASE, ...) name the coordinator's database; the role
# that connects is a superuser.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
parts=6
mkdir -p "$1"
dir=$(cd "$1" && pwd)
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
rm -rf "$dir"/[0-2]
python3 "$here/data.py" write "$dir" $parts 3

sql()
{
    psql -X -q -P footer=off -v ON_ERROR_STOP=1 -v parts=$parts "$@"
}

for server in 0 1 2; do
    python3 "$here/data.py" list "$dir/$server" >"$dir/$server.tsv"
    sql -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS example_files_$server WITH (FORCE)" \
        -c "CREATE DATABASE example_files_$server"
    sql -d "example_files_$server" -v dir="$dir/$server" <<SQL
\set password '$password'
\i '$here/files.sql'
\copy example_files.entry FROM PROGRAM 'cut -f1-5 $dir/$server.tsv'
ANALYZE example_files.entry;
SQL
done

sql -v host="${2:-}" <<SQL
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS example_scale_out CASCADE;
DROP SERVER IF EXISTS files_0, files_1, files_2 CASCADE;
\set password '$password'
SELECT coalesce(nullif(:'host', ''), :'HOST') AS host \gset
SELECT string_agg(format('files_%s %s %s example_files_%1\$s', n, :'host', :'PORT'), E'\n') AS servers
FROM   generate_series(0, 2) AS n \gset
\i '$here/coordinator.sql'
-- The socket that psql uses may let everybody in without asking for the password.
SELECT format('ALTER USER MAPPING FOR example_scale_out SERVER files_%s OPTIONS (ADD password_required ''false'')', n)
FROM   generate_series(0, 2) AS n \gexec
SET search_path = example_scale_out, public;
CREATE TABLE expected (part int, id bigint, file text, file_offset bigint, length bigint, words int, sha256 text);
\copy expected FROM PROGRAM 'cat $dir/?.tsv'
GRANT SELECT ON expected TO example_scale_out;
ANALYZE expected;

SET ROLE example_scale_out;
\echo all documents, and those that have the words and bytes that Python reads:
\timing on
SELECT p.server, count(*) AS documents,
       count(*) FILTER (WHERE o.words = e.words AND sha256(o.data) = decode(e.sha256, 'hex')) AS right
FROM   expected AS e JOIN placement AS p USING (part) LEFT JOIN object AS o USING (part, id)
GROUP  BY p.server ORDER BY p.server;
SQL
