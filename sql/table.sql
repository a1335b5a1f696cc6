-- A directory as a foreign table: columns, conditions, plans, rights, ANALYZE and
-- IMPORT FOREIGN SCHEMA.

\set dir `mkdir -p "$PG_ABS_BUILDDIR/results/iopool_table" && cd "$PG_ABS_BUILDDIR/results/iopool_table" && pwd -P`
\! cd "$PG_ABS_BUILDDIR/results/iopool_table" && rm -rf * && mkdir -p photo/2023 photo/2024/05 'photo/a[b]*' photo/empty && for i in 1 2 3; do printf "one $i" >photo/2023/$i.jpg; printf "zwei $i" >photo/2024/$i.jpg; printf "05/$i" >photo/2024/05/$i.jpg; done && printf 'text' >photo/2024/note.txt && printf 'top' >photo/top.jpg && printf 'odd' >'photo/a[b]*/x.jpg' && ln -s 2023 photo/link && ln -s . photo/loop && touch -d '2024-02-29 12:34:56.789012 UTC' photo/top.jpg && touch -d '2023-06-01 00:00 UTC' photo/2023/*

-- where the tests lie may be below what others can write in
SET client_min_messages = 'error';
\set path :dir '/photo'
CREATE SERVER photos FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- options
SELECT * FROM failure($$CREATE FOREIGN TABLE bad (path text) SERVER photos OPTIONS (patern '*')$$);
SELECT * FROM failure($$CREATE FOREIGN TABLE bad (path text) SERVER photos OPTIONS (pattern 'a[b')$$);
SELECT * FROM failure($$CREATE FOREIGN TABLE bad (path text OPTIONS (pattern '*')) SERVER photos$$);
CREATE FOREIGN TABLE photo (path text, size bigint, modified timestamptz, data bytea) SERVER photos OPTIONS (pattern '**/*.jpg');
SELECT * FROM failure($$ALTER FOREIGN TABLE photo OPTIONS (SET pattern '[')$$);

-- all columns, and what iopool_list() and iopool_read() say
SELECT path, size, CASE WHEN modified < '2025-01-01' THEN modified END AS modified, encode(data, 'escape') AS data
FROM photo WHERE path !~ 'loop|link' ORDER BY path COLLATE "C";
SELECT count(*), count(*) FILTER (WHERE p.data = iopool_read(l.path) AND p.size = l.size AND p.modified = l.modified) AS same
FROM photo AS p FULL JOIN iopool_list('photos:', '**/*.jpg') AS l USING (path);

-- any of them, in any order, and none that a directory does not have
CREATE FOREIGN TABLE few (data bytea, path text) SERVER photos OPTIONS (pattern '2023/*');
SELECT * FROM few ORDER BY path;
SELECT count(*) FROM few;
SELECT tableoid::regclass, path FROM few ORDER BY path LIMIT 1;
CREATE FOREIGN TABLE no_path (data bytea, dropped int, size bigint) SERVER photos OPTIONS (pattern '2023/*');
SELECT * FROM failure('SELECT * FROM no_path');
ALTER FOREIGN TABLE no_path DROP COLUMN dropped;
SELECT convert_from(data, 'UTF8'), size FROM no_path WHERE size = 5 ORDER BY 1;
SELECT no_path FROM no_path ORDER BY data LIMIT 1;
CREATE FOREIGN TABLE typed (size int) SERVER photos;
SELECT * FROM failure('SELECT * FROM typed');
CREATE FOREIGN TABLE top (path text) SERVER photos;
SELECT * FROM top;

-- what EXPLAIN tells of the scan
CREATE FUNCTION scan_of(query text, options text = 'ANALYZE, ') RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (%sFORMAT json) %s', options, query) INTO plan;
	RETURN jsonb_path_query_first(plan::jsonb, '$.**."Plan".** ? (@."Node Type" == "Foreign Scan")');
END
$$;

-- Conditions: what they leave is what the functions leave.  In the plan, what
-- says where to look, and what decides before a file is opened.
CREATE FUNCTION check_condition(condition text, OUT rows bigint, OUT differences bigint, OUT listed text, OUT skipped text, OUT ranges text)
LANGUAGE plpgsql AS $$
DECLARE
	node jsonb;
BEGIN
	EXECUTE format('SELECT count(*) FROM photo WHERE %s', $1) INTO rows;
	EXECUTE format('WITH expected AS MATERIALIZED (SELECT l.path, l.size, l.modified, iopool_read(l.path) AS data
						FROM iopool_list(''photos:'', ''**/*.jpg'') AS l),
					a AS (SELECT * FROM photo WHERE %1$s), b AS (SELECT * FROM expected AS photo WHERE %1$s)
					SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) AS d', $1) INTO differences;
	node := scan_of(format('SELECT path, data FROM photo WHERE %s', $1));
	listed := node->>'Files';
	skipped := node->>'Files Skipped';
	ranges := node->>'Ranges';
END
$$;
SELECT c AS condition, r.* FROM unnest(ARRAY[
	'true', 'path = ''photos:2024/1.jpg''', '''photos:2024/1.jpg'' = path', 'path = ''photos:2024/note.txt''', 'path = ''photos:2024''',
	'path = ''photos:2024//1.jpg''', 'path = ''photos:./top.jpg''', 'path = ''photos:2024/../top.jpg''', 'path = ''photos:../photo/top.jpg''',
	'path = ''photos:''', 'path = ''''', 'path = ''other:top.jpg''', 'path = ''photos:link/2.jpg''', 'path = ''photos:loop/top.jpg''',
	'path = ''photos:loop/loop/top.jpg''', 'path = ''photos:a[b]*/x.jpg''', 'path = NULL',
	'path IN (''photos:2024/1.jpg'', ''photos:top.jpg'', ''photos:2024/1.jpg'', NULL, ''none'')', 'path = ANY (''{}'')',
	'path = ALL (ARRAY[''photos:top.jpg''])', 'path <> ''photos:top.jpg''',
	'path LIKE ''photos:2024/%''', 'path LIKE ''photos:2024/_.jpg''', 'path LIKE ''photos:202_/1.jpg''', 'path LIKE ''%/1.jpg''', 'path LIKE ''ph%''',
	'path LIKE ''photos:2024/05/1.jpg''', 'path LIKE ''photos:top.jpg''', 'path LIKE ''photos:a[b]*/%''', 'path LIKE ''photos:\2024/%''',
	'path LIKE ''photos!:2024/%'' ESCAPE ''!''', 'path NOT LIKE ''photos:2024/%''', 'path LIKE ''''',
	'path ^@ ''photos:2024/0''', 'path ^@ ''photos:2024/05/''', 'path ^@ ''''', 'path ^@ ''photos:2024/1.jpg/''', 'starts_with(path, ''photos:2023'')',
	'path ^@ ''photos:2024'' AND path LIKE ''photos:2024/05%''', 'path ^@ ''photos:2023'' OR path ^@ ''photos:top''',
	'path COLLATE "C" >= ''photos:2024'' AND path COLLATE "C" < ''photos:2025''',
	'size > 5', 'size = 3 AND path ^@ ''photos:t''', 'modified < ''2024-01-01''', 'modified >= ''2024-02-29'' AND modified < ''2024-03-01''',
	'size > 5 AND data = ''zwei 2''', 'length(data) = size', 'data IS NULL', 'data IS NOT NULL AND size = 3', 'path ~ ''2[.]jpg$''',
	'path IN (SELECT path FROM few)', 'photo IS NOT NULL', 'size + length(data) = 10']) AS c, check_condition(c) AS r;
-- not bytewise: no condition on where to look, and a right answer
SELECT * FROM plan_of($$SELECT size FROM photo WHERE lower(path) = 'photos:top.jpg'$$);

-- plans
SELECT * FROM plan_of($$SELECT path FROM photo WHERE path = 'photos:top.jpg' AND size > 1$$);
SELECT * FROM plan_of($$SELECT path, data FROM photo WHERE path LIKE 'photos:20%' AND length(data) > 3$$);
SELECT * FROM plan_of($$SELECT sum(length(data)) FROM photo WHERE path IN ('a', 'b')$$);
SELECT * FROM plan_of($$SELECT path, data FROM photo WHERE random() < 2 AND path ^@ 'photos:2024'$$, ', VERBOSE');
CREATE TABLE wanted AS SELECT n, format('photos:2024/%s.jpg', n) AS path FROM generate_series(1, 3) AS n;
ANALYZE wanted;
SELECT * FROM plan_of($$SELECT n, data FROM wanted JOIN photo USING (path)$$) AS line WHERE line !~ 'File Filter';
SELECT n, convert_from(data, 'UTF8') FROM wanted JOIN photo USING (path) ORDER BY n;
SELECT n, p.path FROM wanted AS w LEFT JOIN photo AS p ON p.path = replace(w.path, '3', '4') ORDER BY n;
SELECT n, p.path FROM wanted AS w, LATERAL (SELECT path FROM photo WHERE path ^@ left(w.path, 11 + n) ORDER BY path COLLATE "C" DESC LIMIT 1) AS p ORDER BY n;
SELECT count(*) FROM photo AS a JOIN photo AS b ON a.data = b.data AND a.path < b.path WHERE a.path ^@ 'photos:2024/' AND b.path ^@ 'photos:2024/';
-- prepared, and planned for any value
SET plan_cache_mode = force_generic_plan;
PREPARE by_path(text) AS SELECT path, data FROM photo WHERE path = $1;
EXECUTE by_path('photos:2023/2.jpg');
EXECUTE by_path(NULL);
EXECUTE by_path('photos:top.jpg');
PREPARE by_pattern(text) AS SELECT count(*), sum(size) FROM photo WHERE path LIKE $1;
EXECUTE by_pattern('photos:2023/%');
EXECUTE by_pattern('%.jpg');
DEALLOCATE ALL;
RESET plan_cache_mode;
-- LIMIT ends the walk and the reading, and what is behind it raises nothing
SELECT (scan->'Files')::int < 8 AS few, (scan->'Ranges')::int < 8 AS few_reads
FROM scan_of($$SELECT data FROM photo LIMIT 1$$) AS scan;
SELECT count(*) FROM (SELECT data FROM photo WHERE 10 / (CASE WHEN path ~ 'top|note' THEN 0 ELSE 1 END) > 0 AND path ^@ 'photos:2023' LIMIT 2) AS p;
SELECT * FROM failure($$SELECT data FROM photo WHERE 10 / (size - 3) <> 0$$);
-- a cursor, forth and back
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT path, length(data) FROM photo WHERE path ^@ 'photos:2023/' ORDER BY path;
FETCH 2 FROM c;
FETCH PRIOR FROM c;
FETCH LAST FROM c;
COMMIT;
-- a directory that is called otherwise meanwhile
BEGIN;
DECLARE c CURSOR FOR SELECT path, data FROM photo;
MOVE 1 FROM c;
ALTER SERVER photos RENAME TO pictures;
FETCH 1 FROM c;
ROLLBACK;
-- what cannot be read ends the query, what has gone does not
\! chmod a-r "$PG_ABS_BUILDDIR/results/iopool_table/photo/2023/2.jpg"
SELECT state, replace(message, :'dir', '') AS message FROM failure($$SELECT sum(length(data)) FROM photo WHERE path ^@ 'photos:2023'$$);
SELECT count(*) FROM photo WHERE path ^@ 'photos:2023';
\! chmod a+r "$PG_ABS_BUILDDIR/results/iopool_table/photo/2023/2.jpg"
-- names that cannot be looked at are told once, however many are asked for
\! chmod a-rwx "$PG_ABS_BUILDDIR/results/iopool_table/photo/2024/05"
SELECT path FROM photo WHERE path IN ('photos:2024/05/1.jpg', 'photos:2024/05/2.jpg', 'photos:top.jpg', 'photos:2024/05/3.jpg');
\! chmod a+rx,u+w "$PG_ABS_BUILDDIR/results/iopool_table/photo/2024/05"
-- no scan, no counts
SELECT scan ? 'Names' AS counted FROM unnest(ARRAY['true', '(SELECT false)']) AS condition, scan_of('SELECT data FROM photo WHERE ' || condition) AS scan;
-- names of another directory are not looked for
SELECT condition, scan->'Directories' AS directories, scan->'Names' AS names
FROM unnest(ARRAY['path = ''other:top.jpg''', 'path ^@ ''other:''', 'path LIKE ''x%''', 'path = ''''', 'path = ''photos:2024/''']) AS condition,
	scan_of('SELECT path FROM photo WHERE ' || condition) AS scan;
-- read only
SELECT statement, f.state, f.message FROM unnest(ARRAY[
	'INSERT INTO photo VALUES (''x'')', 'UPDATE photo SET size = 1', 'DELETE FROM photo', 'TRUNCATE photo', 'COPY photo FROM ''/dev/null''',
	'MERGE INTO photo USING wanted AS w ON w.path = photo.path WHEN MATCHED THEN DELETE']) AS statement, failure(statement) AS f;
SELECT path FROM photo WHERE path = 'photos:top.jpg' FOR UPDATE;
SELECT p.path, convert_from(p.data, 'UTF8') FROM photo AS p JOIN wanted AS w USING (path) WHERE n = 2 FOR UPDATE OF p;

-- without the nodes, a file after the other
SET iopool.enable_stream_scan = off;
SELECT count(*), sum(length(data)) FROM photo WHERE path !~ 'loop|link|gone';
RESET iopool.enable_stream_scan;

-- Rights are those of the user who the table is read for: the caller, or the
-- owner of a view.
CREATE ROLE regress_iopool_app;
CREATE ROLE regress_iopool_owner;
GRANT SELECT ON photo TO regress_iopool_app, regress_iopool_owner;
CREATE VIEW of_2023 AS SELECT path, data FROM photo WHERE path ^@ 'photos:2023/';
ALTER VIEW of_2023 OWNER TO regress_iopool_owner;
GRANT SELECT ON of_2023 TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT * FROM failure('SELECT path FROM photo');
SELECT * FROM failure('SELECT path FROM of_2023');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER photos TO regress_iopool_owner;
SET ROLE regress_iopool_app;
SELECT path, data FROM of_2023 ORDER BY path;
SELECT * FROM failure('SELECT path FROM photo');
SELECT * FROM failure('SELECT path FROM photo WHERE path = (SELECT NULL)');
SELECT * FROM failure($$SELECT iopool_read('photos:2023/1.jpg')$$);
-- what the caller brings along runs with his rights
CREATE FUNCTION pg_temp.who(text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '%', current_user; RETURN true; END$$;
SELECT path FROM of_2023 WHERE pg_temp.who(path) AND path ~ '1';
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER photos TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT count(data) FROM photo WHERE path ^@ 'photos:2024/05/';
RESET ROLE;
-- a barrier is one: who cannot see a row cannot see it by an error either
CREATE VIEW hidden WITH (security_barrier) AS SELECT path, data FROM photo WHERE length(data) = 5 AND path ^@ 'photos:20';
GRANT SELECT ON hidden TO regress_iopool_app;
SET ROLE regress_iopool_app;
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean COST 0.0001 LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '%', $1; RETURN true; END$$;
SELECT count(*) FROM hidden WHERE pg_temp.leak(path) AND path ~ '2023/1';
RESET ROLE;

-- ANALYZE lists, and reads nothing
ANALYZE photo;
SELECT relpages > 0 AS pages, reltuples FROM pg_class WHERE oid = 'photo'::regclass;
SELECT attname, null_frac, n_distinct <> 0 AS distinct FROM pg_stats WHERE tablename = 'photo' ORDER BY attname;
SELECT scan->'Plan Rows' AS rows FROM scan_of($$SELECT * FROM photo$$, '') AS scan;
\! chmod a-r "$PG_ABS_BUILDDIR/results/iopool_table/photo/2023/2.jpg"
ANALYZE photo;
\! chmod a+r "$PG_ABS_BUILDDIR/results/iopool_table/photo/2023/2.jpg"

-- it is the owner's rights that count
SELECT current_database() AS db, current_user AS me \gset
ALTER DATABASE :"db" OWNER TO regress_iopool_app;
CREATE FOREIGN TABLE owned (path text, data bytea) SERVER photos OPTIONS (pattern '2023/*');
ALTER FOREIGN TABLE owned OWNER TO regress_iopool_owner;
REVOKE USAGE ON FOREIGN SERVER photos FROM regress_iopool_app;
SET ROLE regress_iopool_app;
ANALYZE owned;
RESET ROLE;
ALTER DATABASE :"db" OWNER TO :"me";
SELECT reltuples FROM pg_class WHERE oid = 'owned'::regclass;
REVOKE USAGE ON FOREIGN SERVER photos FROM regress_iopool_owner;
SELECT * FROM failure('ANALYZE owned');
-- statistics on expressions, which see a stand-in for the data
CREATE STATISTICS on_text ON (convert_from(data, 'UTF8')) FROM photo;
ANALYZE photo;
-- and very long files make no width that the planner cannot add up
\! truncate -s 1000M "$PG_ABS_BUILDDIR/results/iopool_table/photo/long"
CREATE FOREIGN TABLE long_file (path text, data bytea) SERVER photos OPTIONS (pattern 'long');
ANALYZE long_file;
CREATE FUNCTION width_of(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan->0->'Plan'->'Plan Width';
END
$$;
SELECT width_of('SELECT a.data, b.data, c.data FROM long_file AS a, long_file AS b, long_file AS c') BETWEEN 1000000 AND 1000000000 AS wide;
\! rm "$PG_ABS_BUILDDIR/results/iopool_table/photo/long"

-- a table for each subdirectory
CREATE SCHEMA imported;
IMPORT FOREIGN SCHEMA "." EXCEPT (loop) FROM SERVER photos INTO imported OPTIONS (pattern '**/*.jpg');
SELECT relname, ftoptions FROM pg_foreign_table JOIN pg_class ON oid = ftrelid WHERE relnamespace = 'imported'::regnamespace ORDER BY relname COLLATE "C";
SELECT path, data FROM imported."a[b]*";
SELECT count(*) FROM imported."2024";
IMPORT FOREIGN SCHEMA "2024" LIMIT TO ("05") FROM SERVER photos INTO imported;
SELECT path, size FROM imported."05" ORDER BY path;
-- whose name is too long for a table's
\! n=$(printf 'x%.0s' $(seq 70)) && cd "$PG_ABS_BUILDDIR/results/iopool_table/photo" && mkdir -p "very/$n" && printf long >"very/$n/1.jpg"
SELECT repeat('x', 63) AS long_name \gset
IMPORT FOREIGN SCHEMA very LIMIT TO (:"long_name") FROM SERVER photos INTO imported;
SELECT path, data FROM imported.:"long_name";
SELECT schema, f.state, f.message FROM unnest(ARRAY['2024/', '../photo', './2024', 'none', 'top.jpg', '/']) AS schema,
	failure(format('IMPORT FOREIGN SCHEMA %I FROM SERVER photos INTO imported', schema)) AS f;
SELECT * FROM failure($$IMPORT FOREIGN SCHEMA "." FROM SERVER photos INTO imported OPTIONS (patern '*')$$);
SELECT * FROM failure($$IMPORT FOREIGN SCHEMA "." FROM SERVER photos INTO imported OPTIONS (pattern '[')$$);

SET client_min_messages = 'warning';
DROP SERVER photos CASCADE;
DROP SCHEMA imported CASCADE;
DROP TABLE wanted;
DROP FUNCTION check_condition, scan_of, width_of;
DROP OWNED BY regress_iopool_app;
DROP ROLE regress_iopool_app, regress_iopool_owner;
