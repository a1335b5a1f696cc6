-- iopool_read_batch(): many ranges, in one file and in many, with a length for
-- each of them and with one for all.

SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 20], ARRAY[8, 16, 3]);
SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 20], ARRAY[4]);
SELECT * FROM iopool_read_batch(ARRAY['iopool_words', 'iopool_other', 'iopool_words'],
								ARRAY[0, 8, 16], ARRAY[8, 8, 8]);
SELECT * FROM iopool_read_batch(ARRAY['iopool_words', 'iopool_other', 'iopool_words'],
								ARRAY[0, 8, 16], ARRAY[4]);
SELECT * FROM iopool_read_batch(path => 'iopool_words', file_offsets => '{16}'::bigint[],
								lengths => '{8}'::bigint[], on_error => 'raise',
								in_order => true);
SELECT * FROM iopool_read_batch(path => 'iopool_words', file_offsets => '{16}'::bigint[],
								lengths => ARRAY[8], on_error => 'report', in_order => false);
SELECT * FROM iopool_read_batch(paths => '{iopool_one}'::text[], file_offsets => '{0}'::bigint[],
								lengths => '{8}'::bigint[], on_error => 'report');

-- what is not there, is short or empty: no error, no NULL
SELECT * FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_words', 'iopool_words', 'iopool_words', 'iopool_empty', 'iopool_one'],
	ARRAY[1048576, 1048579, 9223372036854775791, 8, 0, 0],
	ARRAY[16, 16, 16, 0, 8, 8]);

-- empty arrays, strictness
SELECT * FROM iopool_read_batch('iopool_words', '{}'::bigint[], '{}'::bigint[]);
SELECT * FROM iopool_read_batch('iopool_words', '{}'::bigint[], ARRAY[8]);
SELECT * FROM iopool_read_batch('{}'::text[], '{}'::bigint[], '{}'::bigint[]);
SELECT * FROM iopool_read_batch('{}'::text[], '{}'::bigint[], ARRAY[8]);
SELECT * FROM iopool_read_batch(NULL::text, ARRAY[0], ARRAY[8]);
SELECT * FROM iopool_read_batch('iopool_words', NULL::bigint[], ARRAY[8]);
SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0], NULL::bigint[]);
SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8], NULL);
SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8], 'raise', NULL);

-- negative offsets count from the end, in any order and of each file
SELECT * FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_one', 'iopool_other', 'iopool_empty', 'iopool_words'],
	ARRAY[-8, -8, -16, -1, 8], ARRAY[8, 8, 8, 8, 8]);
SET iopool.io_mode = 'buffered';
SELECT data, error FROM iopool_read_batch(ARRAY['iopool_one', '/proc/self/status'], ARRAY[-8, -8], ARRAY[8], 'report');
RESET iopool.io_mode;
SELECT wrong_ranges(array_agg('iopool_words'::text ORDER BY n), array_agg(-(1 + n * 7919 % 1048579) ORDER BY n), array_agg(n % 3000 ORDER BY n), in_order) AS wrong
FROM generate_series(1, 2000) AS n, unnest(ARRAY[true, false]) AS in_order GROUP BY in_order;

-- array subscripts are not ordinals
SELECT * FROM iopool_read_batch('iopool_words', '[5:7]={0,8,16}'::bigint[], '[-1:1]={1,2,3}'::bigint[]);
SELECT ordinal, data FROM iopool_read_batch('iopool_words', ('{0,8,16,24}'::bigint[])[2:3], ARRAY[8]);
-- one-dimensional varlena arrays come toasted from tables, too
CREATE TEMP TABLE wanted AS
	SELECT array_agg(n * 64) AS file_offsets, array_agg(8) AS lengths
	FROM generate_series(0, 16000) AS n;
SELECT count(*), bool_and(data = int8send(file_offset))
FROM wanted, LATERAL iopool_read_batch('iopool_words', file_offsets, lengths) AS b (
	ordinal, file_offset, length, data, error);
DROP TABLE wanted;

-- duplicates, overlaps, touching, reversed, contained, and empty ranges among
-- them, with merging of nothing, of touching and of close ranges
CREATE FUNCTION awkward(merge_gap text, in_order boolean) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT set_config('iopool.merge_gap', merge_gap, true);
	SELECT wrong_ranges(array_fill('iopool_words'::text, ARRAY[cardinality(o)]), o, l, in_order)
	FROM (SELECT ARRAY[0, 0, 0, 8, 4, 12, 12, 13, 100, 50, 25, 0, 1048570, 1048579, 1048560,
					   4096, 8192, 12288, 4096, 300000, 299999, 300001, 500] AS o,
				 ARRAY[8, 8, 16, 8, 8, 1, 0, 5, 50, 50, 25, 1000, 100, 5, 19,
					   4096, 4096, 4096, 12288, 200000, 1, 3, 0] AS l) AS awkward
$$;
SELECT merge_gap, in_order, awkward(merge_gap, in_order) AS wrong
FROM unnest(ARRAY['-1', '0', '1', '100', '4096', '1000000', 'auto']) AS merge_gap,
	 unnest(ARRAY[true, false]) AS in_order;

-- completion order: the same rows in any order
SELECT count(*), count(DISTINCT ordinal), min(ordinal), max(ordinal),
	   bool_and(file_offset = (ordinal - 1) * 80), bool_and(data = int8send(file_offset))
FROM iopool_read_batch('iopool_words',
	(SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 9999) AS n), ARRAY[8],
	in_order => false);
-- and request order is request order
SELECT count(*) FILTER (WHERE place <> ordinal) AS misplaced, count(*)
FROM iopool_read_batch('iopool_words',
	(SELECT array_agg((n * 7919) % 131072 * 8 ORDER BY n) FROM generate_series(0, 9999) AS n), ARRAY[8])
	WITH ORDINALITY AS b(ordinal, file_offset, length, data, error, place);

-- several files, repeated and mixed
SELECT wrong_ranges(
	array_agg((ARRAY['iopool_words', 'iopool_other', 'iopool_one', 'iopool_empty', 'iopool_big'])[n % 5 + 1] ORDER BY n),
	array_agg(n * 61 ORDER BY n), array_agg(n % 300 ORDER BY n)) AS wrong
FROM generate_series(0, 4999) AS n;
SELECT wrong_ranges(
	array_agg((ARRAY['iopool_words', 'iopool_other', 'iopool_big'])[n % 3 + 1] ORDER BY n),
	array_agg(n * 61 ORDER BY n), array_agg(n % 3000 ORDER BY n), false) AS wrong
FROM generate_series(0, 999) AS n;
-- one file by two names: relative and absolute
SELECT wrong_ranges(ARRAY['iopool_words', current_setting('data_directory') || '/iopool_words'],
					ARRAY[0, 8], ARRAY[8, 8]) AS wrong;

-- ranges larger than the window: long ones, many of them, a window of one page
SET iopool.max_in_flight_bytes = '4kB';
SELECT wrong_ranges(array_fill('iopool_big'::text, ARRAY[4]),
					ARRAY[0, 1, 4000000, 8000000], ARRAY[1000000, 3000001, 65536, 1000000]) AS wrong;
SELECT wrong_ranges(array_fill('iopool_words'::text, ARRAY[4]),
					ARRAY[0, 1, 400000, 1000000], ARRAY[100000, 300001, 65536, 100000], false) AS wrong;
SET iopool.max_in_flight_bytes = '64kB';
SELECT wrong_ranges(array_fill('iopool_big'::text, ARRAY[3]),
					ARRAY[0, 100, 7000000], ARRAY[8388608, 8000000, 1388608]) AS wrong;
RESET iopool.max_in_flight_bytes;
SELECT wrong_ranges(array_fill('iopool_big'::text, ARRAY[8]),
					array_fill(0::bigint, ARRAY[8]), array_fill(8388608::bigint, ARRAY[8])) AS wrong;

-- a ring of four entries serves any number of ranges
SET iopool.pool = 'regress_one';
SELECT wrong_ranges(array_agg('iopool_words'::text), array_agg(n * 100 ORDER BY n), array_agg(90::bigint)) AS wrong
FROM generate_series(0, 9999) AS n;
SELECT wrong_ranges(array_agg('iopool_words'::text), array_agg(n * 100 ORDER BY n), array_agg(90::bigint), false) AS wrong
FROM generate_series(0, 9999) AS n;
RESET iopool.pool;

-- LATERAL, joins, a WHERE clause and LIMIT over it
SELECT t.id, b.ordinal, b.data
FROM (VALUES (1, 'iopool_words', ARRAY[0, 8]),
			 (2, 'iopool_other', ARRAY[0]),
			 (3, 'iopool_empty', ARRAY[0])) AS t(id, path, offsets),
	 LATERAL iopool_read_batch(t.path, t.offsets, ARRAY[8]) AS b
ORDER BY 1, 2;
SELECT ordinal, data
FROM iopool_read_batch('iopool_words', (SELECT array_agg(n * 8 ORDER BY n) FROM generate_series(0, 999) AS n), ARRAY[8])
WHERE ordinal % 400 = 0;
SELECT ordinal
FROM iopool_read_batch('iopool_words', (SELECT array_agg(n * 8 ORDER BY n) FROM generate_series(0, 999) AS n), ARRAY[8])
LIMIT 3;

-- in the select list, two at once, one inside the other
SELECT (iopool_read_batch('iopool_words', ARRAY[0, 800], ARRAY[2])).ordinal AS a,
	   (iopool_read_batch('iopool_words', ARRAY[8, 16, 24], ARRAY[8])).data AS b;
SELECT ordinal FROM (SELECT (iopool_read_batch('iopool_words',
	(SELECT array_agg(n * 8 ORDER BY n) FROM generate_series(0, 999) AS n), ARRAY[8])).ordinal) AS s LIMIT 2;

-- prepared, through custom and generic plans
PREPARE some_ranges(text, bigint[], bigint[]) AS
	SELECT ordinal, data FROM iopool_read_batch($1, $2, $3);
EXECUTE some_ranges('iopool_words', '{0,8}', '{8}');
EXECUTE some_ranges('iopool_other', '{0}', '{8}');
SET plan_cache_mode = force_generic_plan;
EXECUTE some_ranges('iopool_words', '{16,24}', '{8}');
EXECUTE some_ranges('iopool_one', '{0}', '{8}');
RESET plan_cache_mode;
DEALLOCATE some_ranges;

-- a cursor, with other reads between its fetches, and a rollback beneath it
BEGIN;
DECLARE c CURSOR FOR SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16, 24], ARRAY[8]);
FETCH 2 FROM c;
SELECT iopool_read('iopool_words', 800, 8);
SAVEPOINT s;
SELECT ordinal, data FROM iopool_read_batch('iopool_other', ARRAY[0, 8], ARRAY[8]);
SELECT 1 / 0 FROM iopool_read_batch('iopool_other', ARRAY[0, 8], ARRAY[8]);
ROLLBACK TO s;
FETCH 1 FROM c;
COMMIT;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16, 24], ARRAY[8]);
FETCH 1 FROM c;
COMMIT;
FETCH 1 FROM c;
CLOSE c;
