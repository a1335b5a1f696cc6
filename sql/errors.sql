-- Every error of the contract that one session can reach: SQLSTATE and wording.

-- bad arguments
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, -1)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, -9223372036854775808)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, 1072693249)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, 9223372036854775807)$$);
SELECT * FROM failure($$SELECT iopool_read('', 0, 8)$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[-8])$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8, -1])$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8, 1072693249])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0, 8], ARRAY[8, -8])$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[1], ARRAY[-8])$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 9223372036854775807, 1)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 9223372036854775800, 8, true)$$);
-- a message about one of many ranges names it, and the first is raised
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8, 16, 24], ARRAY[8, -1, 1072693249, NULL])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8, 8, 1072693249])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 9223372036854775800], ARRAY[8], in_order => false)$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[-8])$$);
SELECT * FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[0, 8], ARRAY[8, -8])$$);
SELECT * FROM failure($$SELECT iopool_submit(ARRAY['iopool_words', NULL], ARRAY[0, 8], ARRAY[8])$$);
-- before any file is opened
SELECT * FROM failure($$SELECT iopool_read_array(ARRAY['iopool_missing', 'iopool_words'], ARRAY[0, 0], ARRAY[8, -8])$$);

-- unequal numbers of elements; one length is for all ranges
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], '{}'::bigint[])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', '{}'::bigint[], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_read_batch(ARRAY['iopool_words'], ARRAY[0, 8], ARRAY[8, 8])$$);
SELECT state FROM failure($$SELECT iopool_read_batch(ARRAY['a', 'b'], ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0, 8, 16], ARRAY[8, 8])$$);
SELECT state FROM failure($$SELECT iopool_read_array(ARRAY['iopool_words'], ARRAY[0, 8], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[0, 8, 16], ARRAY[8, 8])$$);

-- dimensions
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[[0, 8], [16, 24]], ARRAY[8])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[[8, 8]])$$);
SELECT * FROM failure($$SELECT iopool_read_batch(ARRAY[['a', 'b']], ARRAY[0, 8], ARRAY[8, 8])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[[0], [8]], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[[0], [8]], ARRAY[[1], [1]])$$);

-- NULL elements
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, NULL], ARRAY[8])$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[NULL, 8])$$);
SELECT * FROM failure($$SELECT iopool_read_batch(ARRAY['a', NULL], ARRAY[0, 8], ARRAY[8, 8])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0, NULL], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[0, NULL], ARRAY[8, 8])$$);

-- on_error
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8], 'ignore')$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8], '')$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8], 'Raise')$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0], ARRAY[8], 'ignore')$$);
-- also without any range to fail
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', '{}'::bigint[], ARRAY[8], 'ignore')$$);

-- files
SELECT * FROM failure($$SELECT iopool_read('iopool_missing', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_missing/there', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words/below', 0, 8)$$);
SELECT state FROM failure($$SELECT iopool_read(repeat('x', 300), 0, 8)$$);
SELECT state FROM failure($$SELECT iopool_read(repeat('x/', 3000), 0, 8)$$);
-- a missing file is missing also for a range of no bytes
SELECT * FROM failure($$SELECT iopool_read('iopool_missing', 0, 0)$$);

-- not a regular file; a FIFO without a writer must not block
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkfifo iopool_fifo; umask 0777; echo > iopool_unreadable';
SELECT * FROM failure($$SELECT iopool_read('base', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_fifo', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('/dev/null', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('/dev/zero', 0, 8)$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_fifo', ARRAY[0, 8], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_fifo', ARRAY[0], ARRAY[8])$$);
-- a file that the operating system does not let us read
SELECT * FROM failure($$SELECT iopool_read('iopool_unreadable', 0, 8)$$);

-- the plain ERROR, without anything caught
SELECT iopool_read('iopool_missing', 0, 8);
SELECT * FROM iopool_read_batch('iopool_missing', ARRAY[0, 8], ARRAY[8]);

-- report: each range has its own fate, and the others are read
SELECT * FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_missing', 'iopool_words', 'base', 'iopool_unreadable', 'iopool_one'],
	ARRAY[0, 8, 16, 0, 0, 0], ARRAY[8, 8, 8, 8, 8, 8], 'report');
SELECT ordinal, data IS NULL AS failed, error
FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_missing', 'iopool_words', 'iopool_fifo', 'iopool_one'],
	ARRAY[0, 8, 16, 0, 0], ARRAY[8, 8, 8, 8, 8], 'report', in_order => false)
ORDER BY ordinal;
SELECT * FROM iopool_read_batch('iopool_missing', ARRAY[0, 8], ARRAY[8], 'report');
-- a missing file named by many ranges, between thousands of good ones
SELECT count(*), count(data), count(error), count(DISTINCT error),
	   bool_and((data IS NULL) = (ordinal % 7 = 0)), bool_and((error IS NULL) <> (data IS NULL)),
	   bool_and(data = int8send(file_offset))
FROM iopool_read_batch(
	(SELECT array_agg(CASE WHEN n % 7 = 0 THEN 'iopool_missing' ELSE 'iopool_words' END ORDER BY n)
	 FROM generate_series(1, 7000) AS n),
	(SELECT array_agg(n * 16 ORDER BY n) FROM generate_series(1, 7000) AS n),
	(SELECT array_agg(8) FROM generate_series(1, 7000)), 'report');

-- so has what is wrong with its arguments; columns are as given
SELECT ordinal, file_offset, length, length(data) AS bytes, error FROM iopool_read_batch('iopool_words',
	ARRAY[0, NULL, 16, -8, 9223372036854775807, 8, NULL, -9223372036854775808, 32], ARRAY[8, 8, NULL, -8, 8, 1072693249, NULL, 8, 8], 'report');
SELECT ordinal, file_offset, length, data, error FROM iopool_read_batch(
	ARRAY['iopool_words', NULL, 'iopool_missing', NULL, 'iopool_one'], ARRAY[0, 0, 0, NULL, 0], ARRAY[8, 8, 8, -1, 8], 'report');
SELECT ordinal, data, error FROM iopool_read_batch(
	ARRAY['iopool_words', NULL, 'iopool_missing', 'iopool_one'], ARRAY[0, 0, 0, NULL], ARRAY[8], 'report', in_order => false) ORDER BY ordinal;
SELECT iopool_read_array(ARRAY['iopool_words', NULL, 'iopool_missing', 'iopool_one', 'iopool_words'], ARRAY[0, 0, 0, NULL, 8], ARRAY[8, 8, 8, 8, -1], 'report');
-- one length for all, which is bad for all; nothing at all to read
SELECT ordinal, length, data, error FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[NULL]::bigint[], 'report');
SELECT ordinal, length, data, error FROM iopool_read_batch(ARRAY[NULL, NULL]::text[], ARRAY[0, 8], ARRAY[-3], 'report', false) ORDER BY 1;
SELECT iopool_read_array(ARRAY[NULL]::text[], ARRAY[0], ARRAY[8], 'report'), iopool_read_array('iopool_words', ARRAY[NULL]::bigint[], ARRAY[NULL]::bigint[], 'report');
SELECT count(*) FROM iopool_read_batch('iopool_words', '{}', ARRAY[NULL]::bigint[], 'raise');
-- not what is wrong with the call, nor a right that is missing
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, NULL, 8], ARRAY[8, 8], 'report')$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[[NULL]]::bigint[], ARRAY[8], 'report')$$);
-- thousands of bad ranges between good ones, in a plain call and in the nodes
CREATE FUNCTION mixed(n int, OUT paths text[], OUT os bigint[], OUT ls bigint[]) LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(CASE WHEN i % 11 <> 5 THEN (ARRAY['iopool_words', 'iopool_other', 'iopool_missing'])[1 + i % 3] END ORDER BY i),
		array_agg(CASE WHEN i % 7 <> 3 THEN i * 8 END ORDER BY i), array_agg(CASE i % 5 WHEN 1 THEN -1 WHEN 2 THEN NULL ELSE 8 END ORDER BY i)
	FROM generate_series(1, n) AS i
$$;
SELECT in_order, count(*), count(data), count(DISTINCT ordinal), bool_and((error IS NULL) <> (data IS NULL)), count(DISTINCT regexp_replace(error, '^range \d+: ', '')) AS kinds,
	   bool_and(error ~ ('^range ' || ordinal || ': ')), bool_and(data = int8send(file_offset + CASE WHEN ordinal % 3 = 1 THEN 1099511627776 ELSE 0 END))
FROM mixed(5000), unnest(ARRAY[true, false]) AS in_order, LATERAL iopool_read_batch(paths, os, ls, 'report', in_order)
GROUP BY 1 ORDER BY 1;
SELECT * FROM compare($$SELECT b.* FROM iopool_read_batch((mixed(100)).paths, (mixed(100)).os, (mixed(100)).ls, 'report') AS b$$);
SELECT * FROM compare($$SELECT g, b.ordinal, b.file_offset, b.length, b.data, b.error FROM generate_series(1, 60) AS g, mixed(g) AS m, iopool_read_batch(m.paths, m.os, m.ls, 'report') AS b$$);
SELECT * FROM compare($$SELECT g, b.ordinal, b.file_offset, b.length, b.data, b.error FROM generate_series(1, 60) AS g, mixed(g) AS m, iopool_read_batch(m.paths, m.os, m.ls, CASE WHEN g < 3 THEN 'report' ELSE 'raise' END) AS b$$);
SELECT bool_and(a IS NOT DISTINCT FROM b.data) AS same
FROM mixed(300) AS m, LATERAL unnest(iopool_read_array(m.paths, m.os, m.ls, 'report')) WITH ORDINALITY AS e (a, n)
	JOIN LATERAL iopool_read_batch(m.paths, m.os, m.ls, 'report') AS b ON b.ordinal = e.n;
DROP FUNCTION mixed(int);

-- raise: the failure of the lowest ordinal, in either order of output
SELECT * FROM failure($$SELECT * FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_words', 'iopool_missing1', 'iopool_words', 'iopool_missing2'],
	ARRAY[0, 8, 16, 24, 32], ARRAY[8, 8, 8, 8, 8])$$);
SELECT * FROM failure($$SELECT * FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_words', 'iopool_missing1', 'iopool_words', 'iopool_missing2'],
	ARRAY[0, 8, 16, 24, 32], ARRAY[8, 8, 8, 8, 8], in_order => false)$$);
SELECT * FROM failure($$SELECT iopool_read_array(
	ARRAY['iopool_words', 'base', 'iopool_missing1', 'iopool_words', 'iopool_missing2'],
	ARRAY[0, 8, 16, 24, 32], ARRAY[8, 8, 8, 8, 8])$$);

-- unknown pool: accepted as a setting, refused at the first use
SET iopool.pool = 'nope';
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 100], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 100], ARRAY[8], 'report')$$);
RESET iopool.pool;
SELECT iopool_read('iopool_words', 8, 8);

-- errors of a consumer in the middle of a batch, caught in PL/pgSQL, again and
-- again, then the same session goes on; no ring is missing
DO $$
DECLARE
	caught int := 0;
	r record;
BEGIN
	FOR attempt IN 1 .. 50 LOOP
		BEGIN
			FOR r IN SELECT * FROM iopool_read_batch('iopool_words',
				(SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 999) AS n), ARRAY[8],
				in_order => attempt % 2 = 0)
			LOOP
				PERFORM 1 / (r.ordinal - 500);
			END LOOP;
		EXCEPTION WHEN division_by_zero THEN
			caught := caught + 1;
		END;
		BEGIN
			PERFORM iopool_read_batch(ARRAY['iopool_words', 'iopool_missing'], ARRAY[0, 0], ARRAY[8, 8]);
		EXCEPTION WHEN undefined_file THEN
			caught := caught + 1;
		END;
		BEGIN
			PERFORM 1 / ((s.b).ordinal - 3)
			FROM (SELECT iopool_read_batch('iopool_words', ARRAY[0, 100, 200, 300, 400], ARRAY[8]) AS b OFFSET 0) AS s;
		EXCEPTION WHEN division_by_zero THEN
			caught := caught + 1;
		END;
	END LOOP;
	RAISE NOTICE 'caught %', caught;
END
$$;
SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 800], ARRAY[8]);
SELECT state, count(*) FROM iopool_rings GROUP BY state;
SELECT sum(in_use) AS in_use, sum(waiting) AS waiting FROM iopool_pools;

COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm -f iopool_fifo iopool_unreadable';
