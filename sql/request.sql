-- Requests: iopool_submit() and what follows it; the same bytes as
-- pg_read_binary_file(), whatever the way they are fetched.
--
-- Numbers of requests are this session's, and begin with 1.

-- n words of iopool_words that lie apart, so that each is a read of its own
CREATE FUNCTION apart(n int) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((i * 7919::bigint) % 131072 * 8 ORDER BY i) FROM generate_series(1, n) AS i
$$;
CREATE FUNCTION eights(n int) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$SELECT array_fill(8::bigint, ARRAY[n])$$;

-- Number of ranges of which iopool_fetch() returns something else than
-- pg_read_binary_file() does, or nothing, or more than once, or out of turn.
CREATE FUNCTION wrong_rows(request bigint, paths text[], file_offsets bigint[], lengths bigint[])
RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FILTER (WHERE b.error IS NOT NULL
		OR b.place IS DISTINCT FROM r.ordinal
		OR b.file_offset IS DISTINCT FROM r.file_offset
		OR b.length IS DISTINCT FROM r.length
		OR b.data IS DISTINCT FROM
			pg_read_binary_file(r.path, r.file_offset, r.length))
		+ abs(count(b.ordinal) - cardinality(paths))
	FROM unnest(paths, file_offsets, lengths)
			WITH ORDINALITY AS r(path, file_offset, length, ordinal)
		FULL JOIN iopool_fetch(request)
			WITH ORDINALITY AS b(ordinal, file_offset, length, data, error, place)
			USING (ordinal)
$$;
-- Submits, and fetches at once.
CREATE FUNCTION wrong_request(paths text[], file_offsets bigint[], lengths bigint[])
RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
	RETURN wrong_rows(iopool_submit(paths, file_offsets, lengths), paths, file_offsets, lengths);
END
$$;
-- Fetches a request of words with iopool_fetch_next(), so many rows at a time.
CREATE FUNCTION next_words(request bigint, max_rows int, OUT nrows int, OUT different int, OUT wrong int,
						   OUT calls_in_bounds boolean)
LANGUAGE plpgsql AS $$
DECLARE
	seen int[] := '{}';
	part record;
BEGIN
	wrong := 0;
	nrows := 0;
	calls_in_bounds := true;
	LOOP
		SELECT count(*)::int AS n, array_agg(f.ordinal) AS ordinals,
			   (count(*) FILTER (WHERE f.data IS DISTINCT FROM int8send(f.file_offset) OR f.error IS NOT NULL))::int AS wrong
		INTO part FROM iopool_fetch_next(request, max_rows) AS f;
		EXIT WHEN part.n = 0;
		calls_in_bounds := calls_in_bounds AND part.n <= max_rows;
		nrows := nrows + part.n;
		wrong := wrong + part.wrong;
		seen := seen || part.ordinals;
	END LOOP;
	SELECT count(DISTINCT o) INTO different FROM unnest(seen) AS o;
END
$$;

-- one file, then several files; by name of the arguments
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0, 8, 20], ARRAY[8, 16, 3]) AS request;
SELECT iopool_wait(1);
SELECT * FROM iopool_poll(1);
SELECT * FROM iopool_fetch(1);
SELECT iopool_submit(ARRAY['iopool_words', 'iopool_other', 'iopool_words'], ARRAY[0, 8, 16], ARRAY[8, 8, 8]) AS request;
SELECT * FROM iopool_fetch(2);
SELECT iopool_submit(path => 'iopool_words', file_offsets => '{16}'::bigint[], lengths => '{8}'::bigint[]) AS request;
SELECT iopool_wait(request => 3, timeout_ms => -1);
SELECT * FROM iopool_poll(request => 3);
SELECT iopool_wait_any(requests => ARRAY[3], timeout_ms => -1);
SELECT * FROM iopool_fetch_next(request => 3, max_rows => 5, on_error => 'raise');
SELECT * FROM iopool_fetch(request => 3, on_error => 'raise');
SELECT iopool_submit(paths => '{iopool_one}'::text[], file_offsets => '{0}'::bigint[], lengths => '{8}'::bigint[]) AS request;
SELECT iopool_cancel(request => 4);
COMMIT;

-- what is not there, is short or empty: no error, no NULL
BEGIN;
SELECT iopool_submit(ARRAY['iopool_words', 'iopool_words', 'iopool_words', 'iopool_words', 'iopool_one', 'iopool_one'],
	ARRAY[1048576, 1048579, 9223372036854775791, 8, 0, 1],
	ARRAY[16, 16, 16, 0, 8, 8]) AS r \gset
SELECT iopool_wait(:r);
SELECT * FROM iopool_poll(:r);
SELECT * FROM iopool_fetch(:r);
SELECT wrong_request('{iopool_empty,iopool_words,iopool_empty}', '{0,0,8}', '{8,8,8}') AS wrong;

-- nothing to read: done at once, with nothing in flight
SELECT iopool_submit('iopool_words', '{}'::bigint[], '{}'::bigint[]) AS r \gset
SELECT iopool_submit('{}'::text[], '{}'::bigint[], '{}'::bigint[]) AS s \gset
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid();
SELECT * FROM iopool_poll(:r);
SELECT iopool_wait(:r, 0), iopool_wait_any(ARRAY[:s, :r], 0) = :s AS s;
SELECT * FROM iopool_fetch(:r);
SELECT * FROM iopool_fetch_next(:s);
SELECT count(*) FROM iopool_requests;
SELECT iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[0, 0]) AS r \gset
SELECT iopool_wait(:r, 0);
SELECT * FROM iopool_fetch(:r);
COMMIT;

-- every argument is needed
BEGIN;
SELECT iopool_submit(NULL::text, ARRAY[0], ARRAY[8]) IS NULL AS a, iopool_submit('iopool_words', NULL, ARRAY[8]) IS NULL AS b,
	   iopool_submit('iopool_words', ARRAY[0], NULL) IS NULL AS c, iopool_submit(NULL::text[], ARRAY[0], ARRAY[8]) IS NULL AS d;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT iopool_poll(NULL) IS NULL AS poll, iopool_wait(NULL) IS NULL AS wait, iopool_wait(:r, NULL) IS NULL AS wait_null,
	   iopool_wait_any(NULL) IS NULL AS wait_any, iopool_wait_any(ARRAY[:r], NULL) IS NULL AS wait_any_null,
	   iopool_cancel(NULL) IS NULL AS cancel;
SELECT * FROM iopool_fetch(NULL);
SELECT * FROM iopool_fetch(:r, NULL);
SELECT * FROM iopool_fetch_next(NULL);
SELECT * FROM iopool_fetch_next(:r, NULL);
SELECT * FROM iopool_fetch_next(:r, 1, NULL);
SELECT ordinal, data FROM iopool_fetch(:r);
COMMIT;

-- a submit returns with reads in flight, on this backend's one ring; of io_uring,
-- because the other methods hold none between calls
SET iopool.pool = 'regress_one';
BEGIN;
SELECT iopool_submit('iopool_words', apart(5000), eights(5000)) AS r \gset
SELECT (method = 'io_uring') = (state = 'leased' AND pid = pg_backend_pid() AND in_flight BETWEEN 1 AND 4 AND leased_since IS NOT NULL) AS leased,
	   (method = 'io_uring')::int - in_use AS unheld
FROM iopool_rings JOIN iopool_pools ON name = pool WHERE pool = 'regress_one';
-- poll never waits, and tells how far it is, until all is there
DO $$
DECLARE
	before int := 0;
	p record;
	r bigint := (SELECT request FROM iopool_requests);
BEGIN
	LOOP
		SELECT * INTO p FROM iopool_poll(r);
		IF p.ranges <> 5000 OR p.failed <> 0 OR p.completed < before OR p.completed > 5000
			OR p.bytes <> p.completed * 8
		THEN
			RAISE 'poll said % after % ranges', p, before;
		END IF;
		EXIT WHEN p.completed = 5000;
		before := p.completed;
	END LOOP;
END
$$;
SELECT * FROM iopool_poll(:r);
-- with nothing in flight the ring is given back, though nothing is fetched
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid();
SELECT in_use FROM iopool_pools WHERE name = 'regress_one';
SELECT count(*) FILTER (WHERE place <> ordinal) AS misplaced, count(*) FILTER (WHERE data <> int8send(file_offset)) AS wrong,
	   count(*)
FROM iopool_fetch(:r) WITH ORDINALITY AS b(ordinal, file_offset, length, data, error, place);
COMMIT;

-- also one that fits into the ring; uncached reads, which a file system may
-- refuse, are looked at once more, and may be done
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0, 8000], ARRAY[8, 8]) AS r \gset
SELECT current_setting('iopool.io_mode') = 'uncached'
	OR (method = 'io_uring') = (state = 'leased' AND pid = pg_backend_pid() AND in_flight BETWEEN 1 AND 2) AS leased
FROM iopool_rings JOIN iopool_pools ON name = pool WHERE pool = 'regress_one';
SELECT count(*) FROM iopool_fetch(:r);
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid();
COMMIT;

-- the same by wait; by looking with a timeout of 0; by fetching alone
BEGIN;
SELECT iopool_submit('iopool_words', apart(5000), eights(5000)) AS r \gset
SELECT iopool_wait(:r);
SELECT iopool_wait(:r, 0);
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid();
SELECT wrong_rows(:r, array_fill('iopool_words'::text, ARRAY[5000]), apart(5000), eights(5000)) AS wrong;
SELECT iopool_submit('iopool_words', apart(5000), eights(5000)) AS r \gset
DO $$
DECLARE
	r bigint := (SELECT request FROM iopool_requests);
BEGIN
	WHILE NOT iopool_wait(r, 0) LOOP
		NULL;
	END LOOP;
END
$$;
SELECT wrong_rows(:r, array_fill('iopool_words'::text, ARRAY[5000]), apart(5000), eights(5000)) AS wrong;
SELECT iopool_submit('iopool_words', apart(5000), eights(5000)) AS r \gset
SELECT wrong_rows(:r, array_fill('iopool_words'::text, ARRAY[5000]), apart(5000), eights(5000)) AS wrong;
SELECT iopool_submit('iopool_words', apart(5000), eights(5000)) AS r \gset
SELECT iopool_wait_any(ARRAY[:r]) = :r AS r;
SELECT wrong_rows(:r, array_fill('iopool_words'::text, ARRAY[5000]), apart(5000), eights(5000)) AS wrong;
COMMIT;
RESET iopool.pool;

-- wait_any: the first done one in the order of the array; each twice or more
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS a \gset
SELECT iopool_submit('iopool_words', ARRAY[8], ARRAY[8]) AS b \gset
SELECT iopool_wait(:a), iopool_wait(:b);
SELECT iopool_wait_any(ARRAY[:a, :b]) = :a AS a, iopool_wait_any(ARRAY[:b, :a]) = :b AS b,
	   iopool_wait_any(ARRAY[:b, :b, :a], 0) = :b AS b, iopool_wait_any(array_fill(:b, ARRAY[1000000]) || ARRAY[:a], 0) = :b AS b,
	   iopool_wait_any('{}'::bigint[]) IS NULL AS nothing,
	   iopool_wait_any('{}'::bigint[], 0) IS NULL AS nothing, iopool_wait_any(('[5:6]={' || :a || ',' || :b || '}')::bigint[], 0) = :a AS a;
-- one that is done before one that is not
SELECT iopool_submit(array_fill('iopool_big'::text, ARRAY[3000]),
	(SELECT array_agg(n * 2000) FROM generate_series(0, 2999) AS n), array_fill(1000::bigint, ARRAY[3000])) AS c \gset
SELECT iopool_wait_any(ARRAY[:c, :b], 0) IN (:b, :c) AS b_or_c;
SELECT iopool_cancel(:a), iopool_cancel(:b), iopool_cancel(:c);
COMMIT;
-- each of a crowd, as it comes
DO $$
DECLARE
	open bigint[];
	r bigint;
	right_ones int := 0;
BEGIN
	SELECT array_agg(iopool_submit('iopool_words', ARRAY[n * 800], ARRAY[8])) INTO open FROM generate_series(1, 100) AS n;
	WHILE open <> '{}' LOOP
		r := iopool_wait_any(open);
		right_ones := right_ones + (SELECT count(*) FROM iopool_fetch(r) WHERE data = int8send(file_offset));
		open := array_remove(open, r);
	END LOOP;
	RAISE NOTICE '% right ones', right_ones;
END
$$;

-- in order of completion: each row once, whatever the number at a time
BEGIN;
SELECT iopool_submit('iopool_words', apart(700), eights(700)) AS r \gset
SELECT * FROM next_words(:r, 1);
SELECT iopool_submit('iopool_words', apart(3000), eights(3000)) AS r \gset
SELECT * FROM next_words(:r, 7);
SELECT iopool_submit('iopool_words', apart(3000), eights(3000)) AS r \gset
SELECT * FROM next_words(:r, 2147483647);
-- then it is exhausted, and has ended
SELECT count(*) FROM iopool_requests;
SET LOCAL iopool.pool = 'regress_one';
SELECT iopool_submit('iopool_words', apart(3000), eights(3000)) AS r \gset
SELECT * FROM next_words(:r, 3);
-- at least one row, at most what was asked for; one is the default
SELECT iopool_submit('iopool_words', apart(10), eights(10)) AS r \gset
SELECT count(*) FROM iopool_fetch_next(:r);
SELECT iopool_wait(:r);
SELECT count(*) FROM iopool_fetch_next(:r);
SELECT count(*) FROM iopool_fetch_next(:r, 3);
SELECT count(*) FROM iopool_fetch_next(:r, 100);
-- all are handed out, and the request is still there until that is told
SELECT request = :r AS r, ranges, completed, failed, bytes FROM iopool_requests;
SELECT iopool_wait(:r);
SELECT count(*) FROM iopool_fetch_next(:r, 100);
SELECT count(*) FROM iopool_requests;
-- fetch gives what fetch_next has left, in request order
SELECT iopool_submit('iopool_words', apart(1000), eights(1000)) AS r \gset
CREATE TEMP TABLE handed_out AS SELECT * FROM iopool_fetch_next(:r, 10);
INSERT INTO handed_out SELECT * FROM iopool_fetch_next(:r, 10);
CREATE TEMP TABLE rest AS SELECT * FROM iopool_fetch(:r) WITH ORDINALITY AS b(ordinal, file_offset, length, data, error, place);
SELECT count(*) BETWEEN 2 AND 20 AS handed_out, count(*) + (SELECT count(*) FROM rest) AS together,
	   (SELECT count(*) FROM rest JOIN handed_out USING (ordinal)) AS twice
FROM handed_out;
SELECT count(*) FILTER (WHERE data IS DISTINCT FROM int8send(file_offset)) AS wrong
FROM (SELECT data, file_offset FROM handed_out UNION ALL SELECT data, file_offset FROM rest) AS both_of_them;
SELECT count(*) AS out_of_order FROM rest AS a JOIN rest AS b ON a.place < b.place AND a.ordinal > b.ordinal;
SELECT count(*) FROM iopool_requests;
-- also when it has left nothing
SELECT iopool_submit('iopool_words', apart(5), eights(5)) AS r \gset
SELECT iopool_wait(:r);
SELECT count(*) FROM iopool_fetch_next(:r, 5);
SELECT * FROM iopool_fetch(:r);
SELECT count(*) FROM iopool_requests;
COMMIT;
DROP TABLE handed_out, rest;

-- duplicates, overlaps, touching, reversed, contained, and empty ranges among
-- them, with merging of nothing, of touching and of close ranges
SELECT merge_gap, wrong_request(array_fill('iopool_words'::text, ARRAY[23]),
	ARRAY[0, 0, 0, 8, 4, 12, 12, 13, 100, 50, 25, 0, 1048570, 1048579, 1048560,
		  4096, 8192, 12288, 4096, 300000, 299999, 300001, 500],
	ARRAY[8, 8, 16, 8, 8, 1, 0, 5, 50, 50, 25, 1000, 100, 5, 19,
		  4096, 4096, 4096, 12288, 200000, 1, 3, 0]) AS wrong
FROM (SELECT merge_gap, set_config('iopool.merge_gap', merge_gap, false)
	  FROM unnest(ARRAY['-1', '0', '1', '100', '4096', '1000000', 'auto']) AS merge_gap OFFSET 0) AS s;
RESET iopool.merge_gap;
CREATE FUNCTION wrong_in_pool(pool text, paths text[], file_offsets bigint[], lengths bigint[])
RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('iopool.pool', pool, true);
	RETURN wrong_request(paths, file_offsets, lengths);
END
$$;
SELECT pool, wrong_in_pool(pool,
	array_agg((ARRAY['iopool_words', 'iopool_other', 'iopool_one', 'iopool_empty', 'iopool_big'])[n % 5 + 1] ORDER BY n),
	array_agg(n * 61 ORDER BY n), array_agg(n % 300 ORDER BY n)) AS wrong
FROM unnest(ARRAY['default', 'regress_one', 'regress_two']) AS pool, generate_series(0, 4999) AS n
GROUP BY pool ORDER BY pool;

-- a range longer than ring and window; many of them; merged
SELECT wrong_request('{iopool_big}', '{0}', '{8388608}') AS wrong;
SET iopool.max_in_flight_bytes = '64kB';
SELECT wrong_request('{iopool_big,iopool_big,iopool_big}', '{0,100,7000000}', '{8388608,8000000,1388608}') AS wrong;
SET iopool.pool = 'regress_one';
SELECT wrong_request('{iopool_big,iopool_big}', '{1,3}', '{8388600,4000000}') AS wrong;
SET iopool.max_in_flight_bytes = '4kB';
SELECT wrong_request('{iopool_big,iopool_big}', '{1,400000}', '{300000,300000}') AS wrong;
RESET iopool.pool;
RESET iopool.max_in_flight_bytes;
SET iopool.merge_gap = '1MB';
SELECT wrong_request(array_agg('iopool_big'::text), array_agg(n * 1000 ORDER BY n), array_agg(100)) AS wrong
FROM generate_series(0, 4999) AS n;
RESET iopool.merge_gap;
-- what is read in pieces and together is counted in ranges
BEGIN;
SELECT iopool_submit('iopool_big', ARRAY[0, 8, 16, 0], ARRAY[8, 8, 8, 8388608]) AS r \gset
SELECT iopool_wait(:r);
SELECT * FROM iopool_poll(:r);
SELECT iopool_cancel(:r);
COMMIT;

-- the settings of the submit hold for its request
BEGIN;
SET LOCAL iopool.pool = 'regress_one';
SELECT iopool_submit('iopool_words', apart(1000), eights(1000)) AS r \gset
SET LOCAL iopool.pool = 'regress_two';
SELECT iopool_submit('iopool_other', apart(1000), eights(1000)) AS s \gset
SET LOCAL iopool.pool = 'default';
SELECT request = :r AS r, request = :s AS s, pool, ranges FROM iopool_requests;
-- the rings of the two, and no other
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid() AND pool NOT IN ('regress_one', 'regress_two');
SELECT wrong_rows(:s, array_fill('iopool_other'::text, ARRAY[1000]), apart(1000), eights(1000)) AS wrong;
SELECT wrong_rows(:r, array_fill('iopool_words'::text, ARRAY[1000]), apart(1000), eights(1000)) AS wrong;
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid();
COMMIT;

-- hundreds at once on one ring of four entries, fetched last to first
SET iopool.pool = 'regress_one';
SET iopool.checkout_timeout = 0;
BEGIN;
CREATE TEMP TABLE crowd ON COMMIT DROP AS
SELECT n, iopool_submit('iopool_words', ARRAY[n * 8, n * 16, 500000 - n * 24], ARRAY[8, 8, 8]) AS request
FROM generate_series(1, 500) AS n;
SELECT count(DISTINCT request), max(request) - min(request) AS apart FROM crowd;
SELECT count(*), sum(ranges) AS ranges FROM iopool_requests;
SELECT count(*) <= 1 AS at_most_one FROM iopool_rings WHERE pid = pg_backend_pid();
SELECT count(*) FILTER (WHERE data = int8send(file_offset)) AS right_ones, count(*)
FROM (SELECT n, (iopool_fetch(request)).* FROM (SELECT * FROM crowd ORDER BY n DESC) AS c) AS f;
SELECT count(*) FROM iopool_requests;
-- and some of them fetched, some cancelled, some waited for
TRUNCATE crowd;
INSERT INTO crowd SELECT n, iopool_submit('iopool_words', ARRAY[n * 8, n * 16, 500000 - n * 24], ARRAY[8, 8, 8])
FROM generate_series(1, 300) AS n;
SELECT n % 3 AS third, CASE n % 3 WHEN 0 THEN iopool_cancel(request) WHEN 1 THEN iopool_wait(request)
	ELSE (SELECT bool_and(data = int8send(file_offset)) FROM iopool_fetch(request)) END AS done, count(*)
FROM crowd GROUP BY 1, 2 ORDER BY 1;
SELECT count(*), sum(completed) AS completed FROM iopool_requests;
SELECT bool_and(iopool_cancel(request)) FROM crowd WHERE n % 3 = 1;
COMMIT;

-- beside the synchronous functions, on the same pool of one ring, with no time
-- to wait for another; these go on with what the requests have left to do
BEGIN;
SELECT iopool_submit('iopool_words', apart(1000), eights(1000)) AS r \gset
SELECT iopool_submit('iopool_big', apart(1000), eights(1000)) AS s \gset
SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch('iopool_words', apart(2000), ARRAY[8]);
SELECT iopool_read('iopool_words', 8, 8);
SELECT iopool_read_array('iopool_words', ARRAY[0, 800], ARRAY[8]);
SELECT iopool_prefetch('iopool_words', ARRAY[0, 800], ARRAY[8, 8]);
SELECT b.ordinal, count(*) FILTER (WHERE f.data = int8send(f.file_offset))
FROM iopool_read_batch('iopool_words', ARRAY[0, 10000], ARRAY[8]) AS b, iopool_fetch(CASE b.ordinal WHEN 1 THEN :r ELSE :s END) AS f
GROUP BY 1 ORDER BY 1;
SELECT (iopool_fetch(iopool_submit('iopool_words', ARRAY[0, 10000], ARRAY[8, 8]))).data AS request,
	   (iopool_read_batch('iopool_words', ARRAY[20000, 50000], ARRAY[8])).data AS batch;
COMMIT;
-- each function of iopool brings on what it is not asked about; here nothing
-- else does, but for the view that tells
DO $$
DECLARE
	r bigint;
	completed int;
BEGIN
	FOR way IN 1 .. 6 LOOP
		r := iopool_submit('iopool_words', apart(1000), eights(1000));
		LOOP
			CASE way
				WHEN 1 THEN PERFORM iopool_read('iopool_one', 0, 1);
				WHEN 2 THEN PERFORM count(*) FROM iopool_pools;
				WHEN 3 THEN PERFORM count(*) FROM iopool_rings;
				WHEN 4 THEN PERFORM iopool_read_batch('iopool_other', ARRAY[0, 100], ARRAY[8]);
				WHEN 5 THEN PERFORM iopool_read_array('iopool_other', ARRAY[0, 100], ARRAY[8]);
				WHEN 6 THEN PERFORM iopool_wait_any('{}'::bigint[]);
			END CASE;
			SELECT q.completed INTO completed FROM iopool_requests AS q WHERE request = r;
			EXIT WHEN completed = 1000;
		END LOOP;
		PERFORM iopool_fetch(r);
	END LOOP;
END
$$;
RESET iopool.checkout_timeout;
RESET iopool.pool;

-- the view: this backend's requests, in order of number
BEGIN;
SELECT c AS missing FROM unnest(ARRAY['request', 'pool', 'ranges', 'completed', 'failed', 'bytes', 'submitted_at']) AS c
WHERE c NOT IN (SELECT attname FROM pg_attribute WHERE attrelid = 'iopool_requests'::regclass AND attnum > 0);
SELECT * FROM iopool_requests;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS a \gset
SELECT iopool_submit(ARRAY['iopool_words', 'iopool_missing'], ARRAY[0, 0], ARRAY[8, 8]) AS b \gset
SELECT iopool_submit('iopool_words', ARRAY[1048576], ARRAY[100]) AS c \gset
SELECT iopool_wait(:a), iopool_wait(:b), iopool_wait(:c);
SELECT request = :a AS a, request = :b AS b, request = :c AS c, pool, ranges, completed, failed, bytes,
	   submitted_at BETWEEN now() AND clock_timestamp() AS submitted_now
FROM iopool_requests;
SELECT * FROM iopool_poll(:b);
SELECT count(*) FROM iopool_fetch(:a);
SELECT request = :b AS b FROM iopool_requests LIMIT 1;
SELECT iopool_cancel(:b), iopool_cancel(:c);
COMMIT;

-- numbers grow, and come back never
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS a \gset
SELECT iopool_cancel(:a);
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS b \gset
SELECT count(*) FROM iopool_fetch(:b);
SAVEPOINT s;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS c \gset
ROLLBACK TO s;
SELECT state FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[-8])$$);
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS d \gset
ROLLBACK;
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS e \gset
SELECT :a < :b AND :b < :c AND :c < :d AND :d < :e AS growing;
ROLLBACK;

-- in the same statement, in subqueries, joins and CTEs
SELECT ordinal, data FROM iopool_fetch(iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[8, 16]));
SELECT count(*), bool_and(data = int8send(file_offset))
FROM generate_series(0, 19) AS n,
	 LATERAL iopool_fetch(iopool_submit('iopool_words', ARRAY[n * 8, n * 800], ARRAY[8, 8])) AS f;
WITH submitted AS MATERIALIZED (
	SELECT n, iopool_submit('iopool_words', ARRAY[n * 8], ARRAY[8]) AS request FROM generate_series(1, 5) AS n)
SELECT n, data FROM submitted, LATERAL iopool_fetch(request) ORDER BY n;
-- in the select list, cut short by LIMIT
BEGIN;
SELECT iopool_submit('iopool_words', apart(1000), eights(1000)) AS r \gset
SELECT ordinal FROM (SELECT (iopool_fetch(:r)).ordinal) AS s LIMIT 2;
SELECT count(*) FROM iopool_requests;
COMMIT;

-- one length for all ranges
BEGIN;
SELECT ordinal, length, data FROM iopool_fetch(iopool_submit('iopool_words', ARRAY[0, 8, 20], ARRAY[4]));
SELECT data FROM iopool_fetch(iopool_submit(ARRAY['iopool_words', 'iopool_other'], ARRAY[0, 8], ARRAY[8]));
SELECT iopool_submit('iopool_words', '{}', ARRAY[8]) AS r \gset
SELECT * FROM iopool_poll(:r);
SELECT iopool_cancel(:r);
COMMIT;

-- negative offsets
BEGIN;
SET iopool.io_mode = 'buffered';
SELECT ordinal, file_offset, data, error FROM iopool_fetch(iopool_submit(ARRAY['iopool_words', 'iopool_one', '/proc/self/status'], ARRAY[-8, -8, -8], ARRAY[8]), 'report');
RESET iopool.io_mode;
COMMIT;

-- once more, each way with every pool that there is here: all as it should be
SELECT sum(in_use) AS in_use, sum(waiting) AS waiting, sum(errors) AS errors FROM iopool_pools;
SELECT count(*) FROM iopool_rings WHERE state <> 'free';
DROP FUNCTION wrong_rows(bigint, text[], bigint[], bigint[]), wrong_request(text[], bigint[], bigint[]),
	wrong_in_pool(text, text[], bigint[], bigint[]), next_words(bigint, int), apart(int), eights(int);
