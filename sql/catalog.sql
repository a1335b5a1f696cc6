-- What CREATE EXTENSION makes: signatures, flags, comments, rights, info.

-- names and defaults of arguments, as the contract has them
SELECT p.oid::regprocedure::text COLLATE "C" AS function, pg_get_function_arguments(p.oid) AS arguments
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'iopool'
WHERE p.proname IN ('iopool_read', 'iopool_read_batch', 'iopool_read_array', 'iopool_read_files', 'iopool_prefetch', 'iopool_stat', 'iopool_list')
ORDER BY 1;
-- names and types of result columns
SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8]) \gdesc
SELECT * FROM iopool_read_files(ARRAY['iopool_one']) \gdesc
SELECT iopool_read('iopool_words', 0, 8), iopool_read_array('iopool_words', ARRAY[0], ARRAY[8]),
	   iopool_prefetch('iopool_words', ARRAY[0], ARRAY[8]) \gdesc
SELECT * FROM iopool_stat('iopool_words') \gdesc
SELECT * FROM iopool_list('.') \gdesc
SELECT * FROM iopool_info() \gdesc
SELECT iopool_stat_reset() \gdesc

CREATE TEMP VIEW members AS
	SELECT p.* FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'iopool';

-- the request family
SELECT p.oid::regprocedure::text COLLATE "C" AS function, pg_get_function_arguments(p.oid) AS arguments,
	pg_get_function_result(p.oid) AS result
FROM members AS p
WHERE p.proname IN ('iopool_submit', 'iopool_poll', 'iopool_wait', 'iopool_wait_any', 'iopool_fetch', 'iopool_fetch_next', 'iopool_cancel')
ORDER BY 1;
SELECT * FROM iopool_poll(1) \gdesc
SELECT * FROM iopool_fetch(1) \gdesc
SELECT * FROM iopool_requests \gdesc

-- flags: volatile, strict, parallel safe; restricted for requests
SELECT DISTINCT proname, provolatile, proisstrict, proparallel, proretset FROM members
WHERE proname ~ '^iopool_(read|prefetch|submit|poll|wait|fetch|cancel|stat$|list$)'
ORDER BY 1;
SELECT oid::regprocedure AS not_volatile FROM members
WHERE proname ~ '^iopool_(read|prefetch|submit|poll|wait|fetch|cancel|info|stat_reset|stat$|list$)' AND provolatile <> 'v';

-- everything has a comment
SELECT oid::regprocedure AS without_comment FROM members WHERE obj_description(oid, 'pg_proc') IS NULL;
SELECT c AS without_comment FROM unnest(ARRAY['iopool_pools', 'iopool_rings', 'iopool_requests']::regclass[]) AS c
WHERE obj_description(c, 'pg_class') IS NULL;

-- what touches files, and what changes shared state, is not for PUBLIC
SELECT m.oid::regprocedure AS for_public FROM members m,
	LATERAL aclexplode(coalesce(m.proacl, acldefault('f', m.proowner))) AS a
WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'
	AND m.proname ~ '^iopool_(read|prefetch|submit|poll|wait|fetch|cancel|list_requests|stat_reset|stat$|list$)';
SELECT m.oid::regprocedure::text COLLATE "C" AS for_pg_read_server_files FROM members m,
	LATERAL aclexplode(m.proacl) AS a
WHERE a.grantee = 'pg_read_server_files'::regrole AND a.privilege_type = 'EXECUTE'
	AND m.proname ~ '^iopool_(read|prefetch|submit|poll|wait|fetch|cancel|stat$|list$)'
ORDER BY 1;
SELECT c, has_table_privilege('pg_monitor', c, 'SELECT') AS for_pg_monitor
FROM unnest(ARRAY['iopool_pools', 'iopool_rings', 'iopool_requests']::regclass[]) AS c;

-- info
SELECT n AS missing FROM unnest(ARRAY['version', 'method', 'method_reason', 'methods_compiled', 'kernel',
	'liburing', 'libaio', 'pools', 'rings_total',
	'merge_gap_direct', 'merge_gap_buffered', 'merge_gap_cached']) AS n
WHERE n NOT IN (SELECT name FROM iopool_info());
SELECT name FROM iopool_info() GROUP BY name HAVING count(*) <> 1 OR bool_or(value IS NULL);
SELECT (SELECT value FROM iopool_info() WHERE name = 'version')
	 = (SELECT extversion FROM pg_extension WHERE extname = 'iopool') AS one_version;
SELECT (SELECT value FROM iopool_info() WHERE name = 'method') = (SELECT method FROM iopool_pools WHERE name = 'default') AS one_method,
	   (SELECT value FROM iopool_info() WHERE name = 'rings_total')::int = (SELECT sum(rings) FROM iopool_pools) AS rings,
	   (SELECT value FROM iopool_info() WHERE name = 'kernel') <> '' AS kernel;

-- dropped and made again
BEGIN;
DROP EXTENSION iopool;
SELECT count(*) FROM pg_proc WHERE proname LIKE 'iopool%';
CREATE EXTENSION iopool;
SELECT iopool_read('iopool_words', 8, 8);
ROLLBACK;
DROP VIEW members;
