-- Rows of requests that a node hands out one by one, without a copy of all:
-- which queries do, and that rows, errors and what is left are those of the
-- plain plan.

-- n ranges of so many bytes, out of order, each a whole number of words
CREATE FUNCTION submit_words(n int, length bigint = 8) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT iopool_submit('iopool_big', (SELECT array_agg((i * 7919::bigint) % 900000 * 8 ORDER BY i) FROM generate_series(1, n) AS i),
						 array_fill(length, ARRAY[n]))
$$;
-- the first and the last word of what is read tell where it is from
CREATE FUNCTION is_right(file_offset bigint, length bigint, data bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
	SELECT length(data) = length AND substr(data, 1, 8) = int8send(file_offset) AND
		substr(data, length::int - 7) = int8send(file_offset + length - 8)
$$;
CREATE FUNCTION unfetched() RETURNS bigint
LANGUAGE sql VOLATILE AS $$SELECT count(*) FROM iopool_requests$$;

-- ------------------------------------------------------------------------
-- Which queries

SELECT * FROM plan_of('SELECT sum(length(data)) FROM iopool_fetch(1)');
SELECT * FROM plan_of('SELECT ordinal FROM iopool_fetch_next(1, 10) WHERE error IS NULL');
SELECT * FROM plan_of('SELECT f.data FROM (SELECT submit_words(g) AS request FROM generate_series(1, 3) AS g OFFSET 0) AS s, iopool_fetch(s.request) AS f');
-- those that could want rows twice are plain: joins, sub-selects, cursors
SELECT nodes_of('SELECT * FROM iopool_fetch(1), generate_series(1, 2)');
SELECT nodes_of('SELECT * FROM iopool_fetch(1) AS f JOIN pg_class AS c ON c.relpages = f.ordinal');
SELECT nodes_of('SELECT g, (SELECT count(*) FROM iopool_fetch(1)) FROM generate_series(1, 2) AS g');
SELECT nodes_of('SELECT g.i, f.ordinal FROM generate_series(1, 2) AS g(i), pg_class AS c, iopool_fetch(g.i) AS f');
SELECT nodes_of('SELECT * FROM iopool_fetch(1) WITH ORDINALITY');
SELECT nodes_of('SELECT f FROM iopool_fetch(1) AS f');
SET iopool.enable_stream_scan = off;
SELECT nodes_of('SELECT * FROM iopool_fetch(1)');
RESET iopool.enable_stream_scan;

-- ------------------------------------------------------------------------
-- Rows

-- short and long ones; the memory of long ones serves the next request
SELECT s.n, count(*), bool_and(f.length = s.n AND is_right(f.file_offset, f.length, f.data)), count(DISTINCT f.ordinal)
FROM (SELECT n, submit_words(50, n) AS request FROM unnest(ARRAY[8, 8000, 16384, 100000, 16384, 524288]) AS n OFFSET 0) AS s,
	iopool_fetch(s.request) AS f
GROUP BY s.n ORDER BY s.n;
SELECT unfetched();
-- where they are made as they are fetched
SELECT count(*), bool_and(is_right(file_offset, length, data)) FROM iopool_fetch(submit_words(100, 20000));
-- a NULL, no range, a failure
SELECT count(*) FROM iopool_fetch(NULL);
SELECT count(*) FROM iopool_fetch(iopool_submit('iopool_big', '{}'::bigint[], '{}'::bigint[]));
SELECT * FROM iopool_fetch(iopool_submit(ARRAY['iopool_words', 'iopool_missing'], ARRAY[8, 8], ARRAY[8, 8]), 'report');
-- LIMIT ends the request all the same
BEGIN;
SELECT submit_words(100, 20000) AS r \gset
SELECT ordinal, is_right(file_offset, length, data) FROM iopool_fetch(:r) LIMIT 2;
SELECT unfetched();
SELECT ordinal FROM iopool_fetch(:r);
ROLLBACK;

-- in pieces, as they come, until there are no more
BEGIN;
SELECT submit_words(100, 20000) AS r \gset
SELECT iopool_wait(:r);
SELECT count(*), bool_and(is_right(file_offset, length, data)) FROM iopool_fetch_next(:r, 30);
SELECT count(*) FROM (SELECT is_right(file_offset, length, data) FROM iopool_fetch_next(:r, 30) LIMIT 3) AS taken;
SELECT completed FROM iopool_poll(:r);
-- what is left of it
SELECT count(*), bool_and(is_right(file_offset, length, data)) FROM iopool_fetch(:r);
SELECT unfetched();
SELECT submit_words(3) AS r \gset
SELECT iopool_wait(:r);
SELECT count(*) FROM iopool_fetch_next(:r, 3);
SELECT unfetched();
SELECT count(*) FROM iopool_fetch_next(:r, 3);
SELECT unfetched();
COMMIT;

-- rows that have been taken outlive their request, and other requests get no
-- memory of theirs; cursors of PL/pgSQL's loops take one after the other
DO $$
DECLARE
	r bigint := submit_words(40, 30000);
	f record;
	g record;
	n int := 0;
BEGIN
	PERFORM iopool_wait(r);
	FOR f IN SELECT * FROM iopool_fetch_next(r, 40) LOOP
		IF n = 5 THEN
			PERFORM iopool_cancel(r);
		END IF;
		FOR g IN SELECT * FROM iopool_fetch(submit_words(3, 30000)) LOOP
			ASSERT is_right(g.file_offset, g.length, g.data);
		END LOOP;
		ASSERT is_right(f.file_offset, f.length, f.data);
		n := n + 1;
	END LOOP;
	ASSERT n = 40, n;
END
$$;
-- the same where the request goes with its savepoint, and the loop does not
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT file_offset, length, data FROM iopool_fetch((SELECT max(request) FROM iopool_requests));
SAVEPOINT s;
SELECT submit_words(20, 30000) > 0 AS submitted;
MOVE 5 FROM c;
ROLLBACK TO s;
SELECT unfetched();
SELECT count(*), bool_and(is_right(file_offset, length, data)) FROM iopool_fetch(submit_words(20, 30000));
DO $$
DECLARE
	c refcursor := 'c';
	f record;
	n int := 0;
BEGIN
	LOOP
		FETCH c INTO f;
		EXIT WHEN NOT FOUND;
		ASSERT is_right(f.file_offset, f.length, f.data);
		n := n + 1;
	END LOOP;
	ASSERT n = 15, n;
END
$$;
COMMIT;

-- one request in many rows: no cache gives its rows twice
CREATE TEMP TABLE asked (request bigint, n int);
BEGIN;
INSERT INTO asked SELECT submit_words(100, 20000), 0;
INSERT INTO asked SELECT request, g FROM asked, generate_series(1, 20) AS g;
ANALYZE asked;
SELECT * FROM plan_of('SELECT count(*) FROM asked AS a, iopool_fetch_next(a.request, 10) AS f');
SELECT iopool_wait(max(request)) FROM asked;
SELECT count(*), count(DISTINCT f.ordinal) FROM asked AS a, iopool_fetch_next(a.request, 10) AS f WHERE a.n <= 9;
SELECT count(*), count(DISTINCT f.ordinal) FROM asked AS a, iopool_fetch(a.request) AS f WHERE a.n = 1;
ROLLBACK;
-- only the columns depend on the other relation
BEGIN;
SELECT submit_words(2) AS r \gset
SELECT t.g, s.x, s.ordinal FROM generate_series(1, 3) AS t(g) LEFT JOIN LATERAL (SELECT t.g AS x, f.ordinal FROM iopool_fetch(:r) AS f) AS s ON s.ordinal > 0;
COMMIT;

-- rows count for iopool.max_request_memory until they are handed out
BEGIN;
SET LOCAL iopool.max_request_memory = '4MB';
SELECT submit_words(30, 100000) AS r \gset
DECLARE c NO SCROLL CURSOR FOR SELECT is_right(file_offset, length, data) FROM iopool_fetch((SELECT max(request) FROM iopool_requests));
FETCH 2 FROM c;
SELECT unfetched();
SELECT state FROM failure('SELECT submit_words(20, 100000)');
MOVE 20 FROM c;
SELECT state, message FROM failure('SELECT submit_words(20, 100000)');
CLOSE c;
SELECT count(*) FROM iopool_fetch(submit_words(15, 100000));
ROLLBACK;

-- ------------------------------------------------------------------------
-- Errors

-- of a submit, in a block that looks after its own memory
SET iopool.max_request_memory = 0;
\set VERBOSITY terse
DO $$
DECLARE
	r bigint;
BEGIN
	r := iopool_submit('iopool_words', ARRAY[0], ARRAY[1]);
END
$$;
\set VERBOSITY default
RESET iopool.max_request_memory;

-- of a range: nothing is handed out, and the request is as it was
BEGIN;
SELECT iopool_submit(ARRAY['iopool_words', 'iopool_missing'], ARRAY[8, 8], ARRAY[8, 8]) AS r \gset
SELECT state, message FROM failure('SELECT data FROM iopool_fetch(' || :r || ')');
SELECT state, message FROM failure('SELECT data FROM iopool_fetch_next(' || :r || ', 2)');
SELECT ordinal, data, error FROM iopool_fetch(:r, 'report');
COMMIT;
-- of the query, between two rows: the rows are gone, as in the plain plan
BEGIN;
SELECT submit_words(20, 30000) AS r \gset
SELECT state FROM failure('SELECT 1 / (ordinal - 10) FROM iopool_fetch(' || :r || ')');
SELECT unfetched();
SELECT submit_words(20, 30000) AS r \gset
SELECT iopool_wait(:r);
SELECT state FROM failure('SELECT 1 / (ordinal % 100000 - ordinal) FROM iopool_fetch_next(' || :r || ', 15)');
SELECT count(*), bool_and(is_right(file_offset, length, data)) FROM iopool_fetch(:r);
COMMIT;
SELECT state, message FROM failure('SELECT * FROM iopool_fetch(-1)');
SELECT state, message FROM failure($$SELECT * FROM iopool_fetch(1, 'ignore')$$);
SELECT state, message FROM failure('SELECT * FROM iopool_fetch_next(1, 0)');
-- rights, at the time of the query
CREATE ROLE regress_iopool_taker;
PREPARE taken AS SELECT count(*) FROM iopool_fetch(1);
SET ROLE regress_iopool_taker;
EXECUTE taken;
RESET ROLE;
DROP ROLE regress_iopool_taker;
