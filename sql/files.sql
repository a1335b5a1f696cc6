-- iopool_read_files(): whole files as rows, with what is known of them.

SELECT count(write_file('iopool_file_' || n, words(n * 1000, (n * n * 97) % 30000))) AS written FROM generate_series(1, 40) AS n;
CREATE VIEW file_path AS SELECT n, 'iopool_file_' || n AS path FROM generate_series(1, 40) AS n;

-- as core reads them, and what it tells of them
SELECT count(*), bool_and(r.path = p.path AND r.data = pg_read_binary_file(p.path) AND r.size = s.size AND r.modified >= s.modification
	AND r.modified < s.modification + interval '1 second' AND r.error IS NULL) AS right
FROM iopool_read_files((SELECT array_agg(path ORDER BY n) FROM file_path)) AS r JOIN file_path AS p ON p.n = r.ordinal,
	pg_stat_file(p.path) AS s;
SELECT array_agg(ordinal) = array_agg(ordinal ORDER BY ordinal) AS in_order
FROM iopool_read_files((SELECT array_agg(path ORDER BY n) FROM file_path));
SELECT count(*), count(DISTINCT ordinal), bool_and(data = pg_read_binary_file(path)) AS right
FROM iopool_read_files((SELECT array_agg(path ORDER BY n) FROM file_path), in_order => false);
-- one path twice, an empty file, no file
SELECT ordinal, path, size, length(data) FROM iopool_read_files(ARRAY['iopool_one', 'iopool_empty', 'iopool_one']);
SELECT count(*) FROM iopool_read_files('{}');
SELECT count(*) FROM iopool_read_files(NULL);
PREPARE files AS SELECT count(*) FROM iopool_read_files($1);
EXECUTE files('{iopool_one,iopool_empty}');
SELECT count(*) FROM iopool_read_files('{iopool_one,iopool_empty}', 'report', true);

-- ------------------------------------------------------------------------
-- Errors

SELECT ordinal, path, size, modified IS NULL AS unknown, data, error
FROM iopool_read_files(ARRAY['iopool_one', NULL, 'iopool_missing', 'base', 'iopool_empty'], 'report');
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY['iopool_one', 'iopool_missing', 'base'])$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY['base', 'iopool_missing'], in_order => false)$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY['iopool_missing', NULL])$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY[['iopool_one']])$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY['iopool_one'], 'ignore')$$);
-- what is looked at first is wrong first, in every plan
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY[['iopool_one']], 'ignore')$$);
SET iopool.enable_stream_scan = off;
SELECT state, message FROM failure($$SELECT * FROM iopool_read_files(ARRAY[['iopool_one']], 'ignore')$$);
RESET iopool.enable_stream_scan;
CREATE ROLE regress_iopool_files;
SET ROLE regress_iopool_files;
SELECT * FROM iopool_read_files(ARRAY['iopool_one']);
RESET ROLE;
DROP ROLE regress_iopool_files;

-- ------------------------------------------------------------------------
-- Plans

SELECT * FROM plan_of('SELECT size FROM iopool_read_files(ARRAY[''iopool_one''])');
SELECT * FROM plan_of('SELECT n, r.size FROM file_path, iopool_read_files(ARRAY[path, ''iopool_one'']) AS r');
-- the number of paths is known
CREATE FUNCTION plan_rows(query text) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END
$$;
SELECT plan_rows($$SELECT * FROM iopool_read_files(ARRAY['a', 'b', 'c'])$$);
SELECT * FROM compare($$SELECT n, ordinal, r.path, size, modified, data, error FROM file_path, iopool_read_files(ARRAY[file_path.path, 'iopool_one', 'iopool_missing'], 'report') AS r$$);
SELECT * FROM compare($$SELECT n, r.* FROM file_path LEFT JOIN iopool_read_files(CASE WHEN n % 3 = 0 THEN '{}' WHEN n % 3 = 1 THEN ARRAY[file_path.path, file_path.path] END) AS r ON true$$);
SELECT * FROM compare($$SELECT * FROM iopool_read_files((SELECT array_agg(path ORDER BY n DESC) FROM file_path), 'report')$$);
-- a LIMIT does not read on
SELECT ranges_of('SELECT path FROM iopool_read_files((SELECT array_agg(path) FROM file_path, generate_series(1, 100))) LIMIT 2') BETWEEN 2 AND 1000 AS few;

DROP VIEW file_path;
