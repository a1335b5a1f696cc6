-- The settings: names, contexts, units, defaults, and that they take effect.

SELECT name, context, vartype, unit, boot_val
FROM pg_settings WHERE name LIKE 'iopool.%' ORDER BY name COLLATE "C";
SELECT name, enumvals FROM pg_settings WHERE name LIKE 'iopool.%' AND enumvals IS NOT NULL
ORDER BY name COLLATE "C";
SELECT name FROM pg_settings WHERE name LIKE 'iopool.%' AND coalesce(short_desc, '') = '';

-- units
SET iopool.merge_gap = 512;
SHOW iopool.merge_gap;
SET iopool.merge_gap = '16kB';
SHOW iopool.merge_gap;
SET iopool.merge_gap = -1;
SHOW iopool.merge_gap;
SET iopool.merge_gap = 'Auto';
SHOW iopool.merge_gap;
SET iopool.merge_gap = auto;
SHOW iopool.merge_gap;
SET iopool.merge_gap = '0.5MB';
SHOW iopool.merge_gap;
SELECT set_config('iopool.merge_gap', value, false)
FROM unnest(ARRAY['0', '0kB', '1', '1023', '1024', '1025 B', ' 2048kB ', '64MB', '0x10', 'AUTO']) AS value;
RESET iopool.merge_gap;
SHOW iopool.merge_gap;
SET iopool.max_in_flight_bytes = 65536;
SHOW iopool.max_in_flight_bytes;
SET iopool.max_in_flight_bytes = '3MB';
SHOW iopool.max_in_flight_bytes;
RESET iopool.max_in_flight_bytes;
SET iopool.checkout_timeout = 250;
SHOW iopool.checkout_timeout;
SET iopool.checkout_timeout = '2min';
SHOW iopool.checkout_timeout;
SET iopool.checkout_timeout = 0;
SET iopool.checkout_timeout = -1;
RESET iopool.checkout_timeout;
SET iopool.max_request_memory = 1024;
SHOW iopool.max_request_memory;
SET iopool.max_request_memory = '4GB';
SHOW iopool.max_request_memory;
SET iopool.max_request_memory = 0;
RESET iopool.max_request_memory;
SET iopool.log_min_duration = '1s';
SHOW iopool.log_min_duration;
RESET iopool.log_min_duration;

-- what is refused
SELECT * FROM failure($$SET iopool.io_mode = 'mmap'$$);
SELECT * FROM failure($$SET iopool.merge_gap = -2$$);
SELECT * FROM failure($$SET iopool.merge_gap = '65MB'$$);
SELECT * FROM failure($$SET iopool.merge_gap = 'automatic'$$);
SELECT * FROM failure($$SET iopool.merge_gap = ''$$);
SELECT * FROM failure($$SET iopool.merge_gap = '16 KB'$$);
SELECT * FROM failure($$SET iopool.merge_gap = '3GB'$$);
SHOW iopool.merge_gap;
SELECT state FROM failure($$SET iopool.max_in_flight_bytes = 0$$);
SELECT state FROM failure($$SET iopool.max_in_flight_bytes = -1$$);
SELECT state FROM failure($$SET iopool.checkout_timeout = -2$$);
SELECT state FROM failure($$SET iopool.max_request_memory = -1$$);
SELECT state FROM failure($$SET iopool.log_min_duration = -2$$);
SELECT state FROM failure($$SET iopool.max_lease_time = -2$$);
SELECT state FROM failure($$SET iopool.max_rings_per_role = -1$$);
SELECT state FROM failure($$SET iopool.max_rings_per_role = 1025$$);
SELECT state FROM failure($$SET iopool.checkout_timeout = '1 parsec'$$);
-- fixed at server start
SELECT * FROM failure($$SET iopool.method = 'sync'$$);
SELECT * FROM failure($$SET iopool.rings = 3$$);
SELECT state FROM failure($$SET iopool.ring_entries = 3$$);
SELECT state FROM failure($$SET iopool.pools = 'x(rings=1)'$$);
-- the prefix is reserved: a misspelt setting is no placeholder
SELECT state FROM failure($$SET iopool.merge_gpa = 1$$);

-- io_mode: the same bytes in each
SET iopool.io_mode = 'buffered';
SELECT iopool_read('iopool_words', 4093, 10);
SELECT wrong_ranges(array_fill('iopool_words'::text, ARRAY[4]), ARRAY[1, 4095, 1048575, 9], ARRAY[70000, 2, 10, 0]) AS wrong;
SET iopool.io_mode = 'direct';
SELECT iopool_read('iopool_words', 4093, 10);
SELECT wrong_ranges(array_fill('iopool_words'::text, ARRAY[4]), ARRAY[1, 4095, 1048575, 9], ARRAY[70000, 2, 10, 0]) AS wrong;
SET iopool.io_mode = 'uncached';
SELECT iopool_read('iopool_words', 4093, 10);
SELECT wrong_ranges(array_fill('iopool_words'::text, ARRAY[4]), ARRAY[1, 4095, 1048575, 9], ARRAY[70000, 2, 10, 0]) AS wrong;
RESET iopool.io_mode;

-- pool: the reads are counted where they were made
SELECT iopool_stat_reset();
SET iopool.pool = 'regress_two';
SELECT count(*) FROM iopool_read_batch('iopool_words', ARRAY[0, 10000, 20000], ARRAY[8]);
RESET iopool.pool;
SELECT name, reads >= 3 AS has_reads, reads = 0 AS has_none, checkouts FROM iopool_pools ORDER BY name;

-- a role's own pool
CREATE ROLE regress_iopool_bulk LOGIN IN ROLE pg_read_server_files;
ALTER ROLE regress_iopool_bulk SET iopool.pool = 'regress_one';
ALTER ROLE regress_iopool_bulk SET iopool.merge_gap = '4kB';
SELECT current_user AS me \gset
\c - regress_iopool_bulk
SHOW iopool.pool;
SHOW iopool.merge_gap;
SELECT count(*) FROM iopool_read_batch('iopool_words', ARRAY[0, 100000, 200000], ARRAY[8]);
-- what others or the log depend on is the superuser's
SET iopool.log_min_duration = 0;
SET iopool.max_lease_time = -1;
SET iopool.max_rings_per_role = 0;
SET iopool.pool = 'default';
SET iopool.max_request_memory = '1GB';
ALTER ROLE CURRENT_USER SET iopool.pool = 'default';
\c - :me
SELECT name, checkouts FROM iopool_pools WHERE name LIKE 'regress%' ORDER BY name;
-- or of whom he lets
GRANT SET ON PARAMETER iopool.pool, iopool.max_request_memory TO regress_iopool_bulk;
\c - regress_iopool_bulk
SET iopool.pool = 'default';
SET iopool.max_request_memory = '1MB';
SET iopool.max_rings_per_role = 1;
\c - :me
REVOKE SET ON PARAMETER iopool.pool, iopool.max_request_memory FROM regress_iopool_bulk;
DROP ROLE regress_iopool_bulk;

-- max_in_flight_bytes and merge_gap of a function, and of a transaction only
CREATE FUNCTION narrow() RETURNS text LANGUAGE sql SET iopool.max_in_flight_bytes = '4kB'
AS $$SELECT current_setting('iopool.max_in_flight_bytes')$$;
SELECT narrow();
BEGIN;
SET LOCAL iopool.merge_gap = 99;
SHOW iopool.merge_gap;
ROLLBACK;
SHOW iopool.merge_gap;
DROP FUNCTION narrow();
CREATE FUNCTION automatic() RETURNS text LANGUAGE sql SET iopool.merge_gap = auto
AS $$SELECT current_setting('iopool.merge_gap')$$;
SELECT proconfig FROM pg_proc WHERE oid = 'automatic()'::regprocedure;
SET iopool.merge_gap = '4kB';
SELECT automatic();
SHOW iopool.merge_gap;
BEGIN;
SET LOCAL iopool.merge_gap = auto;
SAVEPOINT a;
SET LOCAL iopool.merge_gap = 77;
ROLLBACK TO a;
SHOW iopool.merge_gap;
COMMIT;
SHOW iopool.merge_gap;
RESET iopool.merge_gap;
DROP FUNCTION automatic();

-- merge_gap = auto: what is in one page, and what is far away, whatever has
-- been measured
CREATE FUNCTION merged(offsets bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT sum(merges) FROM iopool_pools);
BEGIN
	IF wrong_ranges(array_fill('iopool_big'::text, ARRAY[cardinality(offsets)]), offsets,
			array_fill(100::bigint, ARRAY[cardinality(offsets)])) > 0 THEN
		RAISE 'wrong bytes';
	END IF;
	RETURN (SELECT sum(merges) FROM iopool_pools) - before;
END
$$;
SELECT gap, merged('{0, 600, 1000100, 2000100}') AS near, merged('{0, 600100, 1200200}') AS far
FROM unnest(ARRAY['auto', '0', '1MB']) AS gap, set_config('iopool.merge_gap', gap, false);
SET iopool.io_mode = direct;
SELECT gap, merged('{0, 600, 1000100, 2000100}') AS near, merged('{0, 600100, 1200200}') AS far
FROM unnest(ARRAY['auto', '0', '1MB']) AS gap, set_config('iopool.merge_gap', gap, false);
RESET iopool.io_mode;
RESET iopool.merge_gap;
DROP FUNCTION merged(bigint[]);
-- what auto means now, also with a pool that does not exist
SELECT name, value ~ '^[0-9]+kB$' AND pg_size_bytes(value) BETWEEN 1024 AND 262144 AS is_gap
FROM iopool_info() WHERE name ~ 'merge_gap';
SET iopool.pool = 'no_such_pool';
SELECT count(*) FROM iopool_info() WHERE name ~ 'merge_gap';
RESET iopool.pool;
