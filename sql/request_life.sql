-- How long a request lives: until it is fetched or cancelled, or its
-- (sub)transaction ends, whatever it was made in.

CREATE FUNCTION apart(n int) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((i * 7919::bigint) % 131072 * 8 ORDER BY i) FROM generate_series(1, n) AS i
$$;
-- a request of n ranges, most of them beyond the ring's four entries
CREATE FUNCTION submit(n int) RETURNS bigint
LANGUAGE sql VOLATILE AS $$SELECT iopool_submit('iopool_words', apart(n), array_fill(8::bigint, ARRAY[n]))$$;
CREATE FUNCTION right_rows(request bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(request)$$;
-- whether there is such a request
CREATE FUNCTION lives(request bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM iopool_poll(request);
	RETURN true;
EXCEPTION WHEN undefined_object THEN
	RETURN false;
END
$$;
-- what is left of requests: their number, and the rings that this session has
CREATE FUNCTION left_over(OUT requests bigint, OUT rings bigint)
LANGUAGE sql VOLATILE AS $$
	SELECT (SELECT count(*) FROM iopool_requests), (SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid())
$$;
SET iopool.pool = 'regress_one';

-- a transaction that leaves requests behind says so when it commits
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT lives(:r);
BEGIN;
SELECT submit(1000) AS a \gset
SELECT submit(1) AS b \gset
SELECT iopool_wait(:b);
SELECT iopool_submit('iopool_missing', ARRAY[0], ARRAY[8]) AS c \gset
COMMIT;
SELECT lives(:a), lives(:b), lives(:c);
SELECT * FROM left_over();
-- once for all of them
BEGIN;
SELECT count(submit(1)) FROM generate_series(1, 25);
COMMIT;
-- part of a request is left, too
BEGIN;
SELECT submit(1000) AS a \gset
SELECT count(*) FROM iopool_fetch_next(:a, 1);
COMMIT;
-- not so when all has been handed out, or there was nothing
BEGIN;
SELECT submit(5) AS a \gset
SELECT iopool_wait(:a);
SELECT count(*) FROM iopool_fetch_next(:a, 5);
SELECT iopool_submit('iopool_words', '{}'::bigint[], '{}'::bigint[]) AS b \gset
COMMIT;
SELECT lives(:a), lives(:b);
BEGIN;
SELECT submit(1000) AS a \gset
SELECT iopool_cancel(:a);
SELECT submit(1000) AS a \gset
SELECT right_rows(:a);
COMMIT;
SELECT * FROM left_over();

-- a rollback says nothing
BEGIN;
SELECT submit(1000) AS a \gset
SELECT submit(1) AS b \gset
ROLLBACK;
SELECT lives(:a), lives(:b);
SELECT * FROM left_over();
BEGIN;
SELECT submit(1000) AS a \gset
SELECT 1 / 0;
SELECT right_rows(:a);
COMMIT;
SELECT lives(:a);
SELECT * FROM left_over();
-- nor does a statement that fails after its submit
SELECT submit(1000), 1 / 0;
SELECT * FROM left_over();

-- savepoints: a rollback ends what was made since, and nothing else
BEGIN;
SELECT submit(1000) AS a \gset
SAVEPOINT s1;
SELECT submit(1000) AS b \gset
SAVEPOINT s2;
SELECT submit(1000) AS c \gset
ROLLBACK TO s2;
SELECT lives(:a), lives(:b), lives(:c);
ROLLBACK TO s1;
SELECT lives(:a), lives(:b), lives(:c);
-- a savepoint can be rolled back to twice
SELECT submit(1000) AS d \gset
ROLLBACK TO s1;
SELECT lives(:a), lives(:d);
RELEASE s1;
SELECT right_rows(:a);
COMMIT;
-- a release hands them to the parent, which ends them, or keeps them
BEGIN;
SAVEPOINT s1;
SELECT submit(1000) AS a \gset
SAVEPOINT s2;
SELECT submit(1000) AS b \gset
SAVEPOINT s3;
SELECT submit(1000) AS c \gset
RELEASE s3;
RELEASE s2;
SELECT lives(:a), lives(:b), lives(:c);
SELECT right_rows(:b);
ROLLBACK TO s1;
SELECT lives(:a), lives(:b), lives(:c);
SELECT * FROM left_over();
SAVEPOINT s4;
SELECT submit(1000) AS d \gset
RELEASE s4;
RELEASE s1;
SELECT right_rows(:d);
SAVEPOINT s5;
SELECT submit(1000) AS e \gset
RELEASE s5;
COMMIT;
SELECT lives(:e);
-- fetching is not undone, nor is a cancel, of a request from outside
BEGIN;
SELECT submit(10) AS a \gset
SELECT submit(10) AS b \gset
SELECT submit(10) AS c \gset
SELECT iopool_wait(:a);
SAVEPOINT s;
SELECT count(*) FROM iopool_fetch_next(:a, 4);
SELECT right_rows(:b);
SELECT iopool_cancel(:c);
ROLLBACK TO s;
SELECT lives(:a), lives(:b), lives(:c);
SELECT right_rows(:a);
COMMIT;
SELECT * FROM left_over();
-- errors between, in an aborted transaction, and a rollback to before them
BEGIN;
SELECT submit(1000) AS a \gset
SAVEPOINT s;
SELECT submit(1000) AS b \gset
SELECT iopool_poll(1000000);
SELECT iopool_wait(:a);
ROLLBACK TO s;
SELECT lives(:a), lives(:b);
SELECT iopool_wait(:a);
SELECT right_rows(:a);
COMMIT;

-- a cancel that is caught leaves no ring, whichever function it comes in, and
-- no request that lives on is the worse for it; here it has come before that
CREATE FUNCTION cancelled(statement text, OUT state text, OUT in_use numeric)
LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE format('SELECT pg_cancel_backend(pg_backend_pid()), %s', statement);
	EXCEPTION WHEN query_canceled THEN
		state := SQLSTATE;
	END;
	in_use := (SELECT sum(p.in_use) FROM iopool_pools AS p);
END
$$;
BEGIN;
SELECT submit(5000) AS a \gset
SELECT submit(3) AS b \gset
SET LOCAL iopool.pool = 'regress_two';
SELECT submit(5000) AS c \gset
SELECT * FROM cancelled(format('iopool_wait(%s)', :a));
SELECT * FROM cancelled(format('iopool_wait(%s, 0)', :a));
SELECT * FROM cancelled(format('iopool_wait_any(ARRAY[%s, %s])', :a, :c));
SELECT * FROM cancelled(format('iopool_poll(%s)', :a));
SELECT * FROM cancelled($$iopool_submit('iopool_words', apart(100), array_fill(8::bigint, ARRAY[100]))$$);
SELECT * FROM cancelled($$iopool_read('iopool_words', 0, 8)$$);
SELECT * FROM cancelled($$iopool_read('iopool_big', 0, 8000000)$$);
SELECT * FROM cancelled($$iopool_read_array('iopool_words', apart(100), ARRAY[8])$$);
SELECT * FROM cancelled($$iopool_prefetch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT * FROM cancelled('iopool_stat_reset()');
SELECT count(*) FROM iopool_requests;
SELECT right_rows(:a), right_rows(:b), right_rows(:c);
COMMIT;
DROP FUNCTION cancelled(text);

-- blocks with EXCEPTION are subtransactions
DO $$
DECLARE
	outermost bigint := submit(1000);
	outer_one bigint;
	inner_one bigint;
BEGIN
	BEGIN
		outer_one := submit(1000);
		BEGIN
			inner_one := submit(1000);
			PERFORM iopool_wait(inner_one);
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN
			RAISE NOTICE 'inner block failed: % % %', lives(outermost), lives(outer_one), lives(inner_one);
		END;
		BEGIN
			inner_one := submit(1000);
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
		RAISE NOTICE 'inner block succeeded: % % %', lives(outermost), lives(outer_one), lives(inner_one);
		RAISE NOTICE '% right rows of the inner block', right_rows(inner_one);
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE 'outer block failed: % %', lives(outermost), lives(outer_one);
	END;
	RAISE NOTICE '% right rows', right_rows(outermost);
END
$$;
SELECT * FROM left_over();
-- one that fails in the middle of a fetch of what was made outside
DO $$
DECLARE
	r bigint := submit(1000);
	f record;
	seen int := 0;
BEGIN
	FOR f IN SELECT * FROM iopool_fetch_next(r, 10) LOOP
		seen := seen + 1;
	END LOOP;
	BEGIN
		FOR f IN SELECT * FROM iopool_fetch_next(r, 10) LOOP
			seen := seen + 1;
			PERFORM 1 / (seen - seen);
		END LOOP;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RAISE NOTICE '%', (SELECT 1000 - count(*) BETWEEN 2 AND 20 FROM iopool_fetch(r));
END
$$;

-- a request made in a function, and in one that has SET clauses or other rights,
-- lives on when that returns
CREATE FUNCTION elsewhere() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET iopool.merge_gap = 100 SET iopool.pool = 'regress_two' AS $$
BEGIN
	RETURN submit(1000);
END
$$;
BEGIN;
SELECT elsewhere() AS a \gset
SELECT pool FROM iopool_requests;
SELECT right_rows(:a);
COMMIT;
DROP FUNCTION elsewhere();

-- cursors: requests live on between their fetches, and when they are closed
BEGIN;
DECLARE c CURSOR FOR SELECT n, submit(100) AS request FROM generate_series(1, 5) AS n;
FETCH 2 FROM c;
SELECT count(*) FROM iopool_requests;
FETCH 1 FROM c;
CLOSE c;
SELECT request - min(request) OVER () AS number, right_rows(request) FROM iopool_requests;
-- a cursor that fetches; rows that were fetched for it are not there again
SELECT submit(10) AS a \gset
DECLARE d CURSOR FOR SELECT ordinal FROM iopool_fetch(:a);
FETCH 2 FROM d;
SELECT lives(:a);
FETCH 2 FROM d;
SAVEPOINT s;
SELECT submit(10) AS b \gset
ROLLBACK TO s;
FETCH 2 FROM d;
COMMIT;
-- one that outlives its transaction
BEGIN;
SELECT submit(10) AS a \gset
DECLARE e CURSOR WITH HOLD FOR SELECT ordinal, data = int8send(file_offset) AS is_right FROM iopool_fetch(:a);
FETCH 1 FROM e;
COMMIT;
FETCH 2 FROM e;
CLOSE e;

-- prepared, in custom and generic plans
PREPARE submitted(text, bigint[], bigint[]) AS SELECT iopool_submit($1, $2, $3) AS r;
PREPARE fetched(bigint) AS SELECT ordinal, data FROM iopool_fetch($1);
PREPARE fetched_next(bigint, int) AS SELECT count(*) FROM iopool_fetch_next($1, $2);
BEGIN;
EXECUTE submitted('iopool_words', '{0,8}', '{8,8}') \gset
EXECUTE fetched(:r);
SET LOCAL plan_cache_mode = force_generic_plan;
EXECUTE submitted('iopool_words', '{16,24}', '{8,8}') \gset
EXECUTE fetched(:r);
EXECUTE submitted('iopool_words', '{16,24}', '{8,8}') \gset
SELECT iopool_wait(:r);
EXECUTE fetched_next(:r, 1);
EXECUTE fetched_next(:r, 1);
EXECUTE fetched_next(:r, 1);
EXECUTE fetched(:r);
COMMIT;
DEALLOCATE submitted;
DEALLOCATE fetched;
DEALLOCATE fetched_next;

-- procedures: a COMMIT inside is the end of what was made before it
CREATE PROCEDURE by_steps(OUT seen text)
LANGUAGE plpgsql AS $$
DECLARE
	a bigint := submit(1000);
	b bigint;
BEGIN
	seen := right_rows(a);
	a := submit(1000);
	b := submit(10);
	PERFORM iopool_fetch(b);
	COMMIT;
	seen := concat_ws(' ', seen, lives(a));
	a := submit(1000);
	ROLLBACK;
	seen := concat_ws(' ', seen, lives(a));
	a := submit(1000);
	COMMIT AND CHAIN;
	seen := concat_ws(' ', seen, lives(a));
	a := submit(1000);
	seen := concat_ws(' ', seen, right_rows(a));
END
$$;
CALL by_steps(NULL);
SELECT * FROM left_over();
DROP PROCEDURE by_steps(OUT text);
DO $$
BEGIN
	FOR n IN 1 .. 20 LOOP
		PERFORM right_rows(submit(n * 10));
		IF n % 2 = 0 THEN
			COMMIT;
		ELSE
			ROLLBACK;
		END IF;
	END LOOP;
END
$$;
DO $$ BEGIN PERFORM submit(1000); END $$;
SELECT * FROM left_over();
-- a cursor loop over a COMMIT: its rows were there before
DO $$
DECLARE
	f record;
	n int := 0;
BEGIN
	FOR f IN SELECT * FROM iopool_fetch(submit(100)) LOOP
		n := n + (f.data = int8send(f.file_offset))::int;
		IF f.ordinal % 10 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
	RAISE NOTICE '% right ones', n;
END
$$;

-- triggers: row by row, at the end of the statement, and at that of the
-- transaction, which is early enough for no warning
CREATE TABLE wanted (id int, file_offset bigint, data bytea, request bigint);
CREATE FUNCTION submit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.request := iopool_submit('iopool_words', ARRAY[NEW.file_offset], ARRAY[8]);
	RETURN NEW;
END
$$;
CREATE FUNCTION fetch_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE wanted SET data = (SELECT f.data FROM iopool_fetch(request) AS f), request = NULL WHERE request IS NOT NULL;
	RETURN NULL;
END
$$;
CREATE TRIGGER before_row BEFORE INSERT ON wanted FOR EACH ROW EXECUTE FUNCTION submit_row();
CREATE TRIGGER after_statement AFTER INSERT ON wanted FOR EACH STATEMENT EXECUTE FUNCTION fetch_rows();
INSERT INTO wanted SELECT n, n * 800 FROM generate_series(1, 100) AS n;
SELECT count(*), count(*) FILTER (WHERE data = int8send(file_offset)) AS right_ones, count(request) AS unfetched FROM wanted;
DROP TRIGGER after_statement ON wanted;
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON wanted INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fetch_rows();
TRUNCATE wanted;
BEGIN;
INSERT INTO wanted SELECT n, n * 800 FROM generate_series(1, 100) AS n;
SELECT count(*) FROM iopool_requests;
COMMIT;
SELECT count(*), count(*) FILTER (WHERE data = int8send(file_offset)) AS right_ones, count(request) AS unfetched FROM wanted;
-- a deferred trigger that leaves some behind
CREATE OR REPLACE FUNCTION fetch_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM iopool_cancel(NEW.request);
	IF NEW.id = 2 THEN
		PERFORM submit(10);
	END IF;
	RETURN NULL;
END
$$;
INSERT INTO wanted SELECT n, n * 800 FROM generate_series(1, 3) AS n;
SELECT * FROM left_over();
-- a trigger that fails
CREATE OR REPLACE FUNCTION submit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.request := submit(100);
	PERFORM 1 / (NEW.id - 50);
	RETURN NEW;
END
$$;
\set VERBOSITY terse
INSERT INTO wanted SELECT n, n * 800 FROM generate_series(1, 100) AS n;
\set VERBOSITY default
SELECT * FROM left_over();
DROP TABLE wanted;
DROP FUNCTION submit_row(), fetch_rows();

-- a parallel query: the leader submits and fetches, and the workers, which read
-- for themselves, do not see its requests
RESET iopool.pool;
CREATE TABLE offsets AS SELECT n * 8 AS file_offset FROM generate_series(0, 9999) AS n;
ANALYZE offsets;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
CREATE FUNCTION workers_planned(query text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		IF line LIKE '%Workers Planned: 2%' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
SELECT proname, proparallel, provolatile, proisstrict FROM pg_proc
WHERE proname ~ '^iopool_(submit|poll|wait|wait_any|fetch|fetch_next|cancel)$' ORDER BY proname, oid;
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0, 800], ARRAY[8, 8]) AS a \gset
SELECT workers_planned(format($$SELECT count(*), (SELECT count(*) FROM iopool_fetch(%s))
	FROM offsets WHERE iopool_read('iopool_words', file_offset, 8) = int8send(file_offset)$$, :a));
SELECT count(*), (SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(:a)) AS fetched
FROM offsets WHERE iopool_read('iopool_words', file_offset, 8) = int8send(file_offset);
-- above the Gather, for each of its groups
SELECT workers_planned($$SELECT count(*), length((iopool_fetch(iopool_submit('iopool_words', ARRAY[count(*)], ARRAY[8]))).data)
	FROM offsets$$);
SELECT count(*), (iopool_fetch(iopool_submit('iopool_words', ARRAY[count(*)], ARRAY[8]))).data = int8send(count(*)) AS is_right
FROM offsets;
-- where a worker would have to, there is none
SELECT workers_planned(format($$SELECT count(*) FROM offsets WHERE iopool_cancel(file_offset)$$));
-- requests that are open during it, most of them to be submitted yet
SELECT submit(3000) AS a \gset
SELECT count(*) FROM offsets WHERE iopool_read('iopool_words', file_offset, 8) = int8send(file_offset);
SELECT count(*) FROM offsets,
	LATERAL iopool_read_batch('iopool_words', ARRAY[file_offset, 900000, 500000], ARRAY[8]) AS b
WHERE b.data = int8send(b.file_offset);
SELECT right_rows(:a);
COMMIT;
DROP TABLE offsets;
DROP FUNCTION workers_planned(text);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- memory that a request has read into does not go with the query that made it
SET iopool.pool = 'regress_two';
BEGIN;
SELECT iopool_submit('iopool_big', ARRAY[0, 4000000], ARRAY[1000000, 1000000]) AS a \gset
SELECT length(repeat('x', 3000000)), length(iopool_read('iopool_other', 0, 65536));
SELECT ordinal, data = words(file_offset, length) AS is_right FROM iopool_fetch(:a);
COMMIT;

-- transactions that change nothing, and DISCARD
BEGIN READ ONLY;
SELECT right_rows(submit(100));
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE;
SELECT right_rows(submit(100));
COMMIT;
DISCARD ALL;
SELECT * FROM left_over();
SELECT right_rows(submit(10));

-- hundreds, one after the other, in one transaction; then all is as before
DO $$
DECLARE
	total bigint := 0;
BEGIN
	FOR n IN 1 .. 300 LOOP
		CASE n % 3
			WHEN 0 THEN total := total + right_rows(submit(3));
			WHEN 1 THEN PERFORM iopool_cancel(submit(3));
			ELSE PERFORM iopool_fetch_next(submit(3), 3, 'report'), iopool_cancel((SELECT max(request) FROM iopool_requests));
		END CASE;
	END LOOP;
	RAISE NOTICE '% right rows', total;
END
$$;
SELECT * FROM left_over();
SELECT state, count(*) FROM iopool_rings GROUP BY state;
SELECT sum(in_use) AS in_use, sum(waiting) AS waiting FROM iopool_pools;
DROP FUNCTION submit(int), right_rows(bigint), lives(bigint), left_over(), apart(int);
