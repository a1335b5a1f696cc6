-- Requests that fail: SQLSTATE and wording, and what is left of the request.

-- Like failure(), with the detail.  What memory is for differs between releases
-- of PostgreSQL, so long numbers are N.
CREATE FUNCTION failure_detail(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no failure';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
	message := SQLERRM;
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	detail := regexp_replace(nullif(detail, ''), '[0-9]{3,}', 'N', 'g');
	hint := nullif(hint, '');
END
$$;
CREATE FUNCTION apart(n int) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((i * 7919::bigint) % 131072 * 8 ORDER BY i) FROM generate_series(1, n) AS i
$$;

-- bad arguments of submit, in the words of the other functions
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[-8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[8, -1])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[-9223372036854775808])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[1072693249])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0, 8, 16], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', '{}'::bigint[], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit(ARRAY['iopool_words'], ARRAY[0, 8], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit(ARRAY['a', 'b'], ARRAY[0], ARRAY[8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[[0, 8], [16, 24]], ARRAY[8, 8, 8, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[[8, 8]])$$);
SELECT * FROM failure($$SELECT iopool_submit(ARRAY[['a', 'b']], ARRAY[0, 8], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0, NULL], ARRAY[8, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[NULL, 8])$$);
SELECT * FROM failure($$SELECT iopool_submit(ARRAY['a', NULL], ARRAY[0, 8], ARRAY[8, 8])$$);
SET iopool.pool = 'nope';
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0, 100], ARRAY[8, 8])$$);
RESET iopool.pool;

-- bad arguments of the others
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT * FROM failure(format('SELECT iopool_wait(%s, -2)', :r));
SELECT * FROM failure(format('SELECT iopool_wait(%s, -2147483648)', :r));
SELECT * FROM failure(format('SELECT iopool_wait_any(ARRAY[%s], -2)', :r));
SELECT * FROM failure(format('SELECT iopool_wait_any(ARRAY[%s, NULL])', :r));
SELECT * FROM failure(format('SELECT iopool_wait_any(ARRAY[[%s], [%s]])', :r, :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch_next(%s, 0)', :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch_next(%s, -1)', :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch_next(%s, 1, ''ignore'')', :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s, ''ignore'')', :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s, ''Report'')', :r));
-- none of them has cost the request anything
SELECT ordinal, data FROM iopool_fetch(:r);
COMMIT;
-- also where there is nothing to wait for
SELECT state FROM failure($$SELECT iopool_wait_any('{}'::bigint[], -2)$$);

-- no such request: never given, fetched, cancelled, exhausted; cancel just says so
SELECT * FROM failure('SELECT iopool_poll(1000000)');
SELECT * FROM failure('SELECT iopool_wait(1000000)');
SELECT * FROM failure('SELECT iopool_wait(1000000, 0)');
SELECT * FROM failure('SELECT iopool_wait_any(ARRAY[1000000])');
SELECT * FROM failure('SELECT * FROM iopool_fetch(1000000)');
SELECT * FROM failure('SELECT * FROM iopool_fetch_next(1000000)');
SELECT * FROM failure('SELECT iopool_poll(0)');
SELECT * FROM failure('SELECT iopool_poll(-1)');
SELECT * FROM failure('SELECT iopool_poll(9223372036854775807)');
SELECT * FROM failure('SELECT iopool_poll(-9223372036854775808)');
-- 2^32 + 1: a number is not cut
SELECT state FROM failure('SELECT iopool_poll(4294967297)');
SELECT iopool_cancel(1000000), iopool_cancel(0), iopool_cancel(-1), iopool_cancel(9223372036854775807);
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT count(*) FROM iopool_fetch(:r);
SELECT state FROM failure(format('SELECT iopool_poll(%s)', :r));
SELECT state FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT iopool_cancel(:r);
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT iopool_cancel(:r), iopool_cancel(:r);
SELECT state FROM failure(format('SELECT iopool_wait(%s)', :r));
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT count(*) FROM iopool_fetch_next(:r);
SELECT count(*) FROM iopool_fetch_next(:r);
SELECT state FROM failure(format('SELECT * FROM iopool_fetch_next(%s)', :r));
-- one unknown among known ones, first or last, done or not
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT state FROM failure(format('SELECT iopool_wait_any(ARRAY[%s, 1000000])', :r));
SELECT state FROM failure(format('SELECT iopool_wait_any(ARRAY[1000000, %s])', :r));
SELECT iopool_cancel(:r);
COMMIT;

-- files that cannot be read fail their ranges, when these are fetched
BEGIN;
SELECT iopool_submit(ARRAY['iopool_words', 'iopool_missing', 'iopool_words', 'base', '/dev/null', 'iopool_words/below', ''],
	ARRAY[0, 8, 16, 24, 32, 40, 48], ARRAY[8, 8, 8, 8, 8, 8, 8]) AS r \gset
SELECT iopool_wait(:r);
SELECT * FROM iopool_poll(:r);
SELECT completed, failed, bytes FROM iopool_requests;
SELECT iopool_wait_any(ARRAY[:r]) = :r AS r;
-- the failure with the lowest ordinal is raised, again and again, with nothing lost
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s, ''raise'')', :r));
SELECT * FROM iopool_poll(:r);
SELECT * FROM iopool_fetch(:r, 'report');
COMMIT;
-- a FIFO without a writer must not block, nor does what may not be read
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkfifo iopool_fifo; umask 0777; echo > iopool_unreadable';
BEGIN;
SELECT iopool_submit(ARRAY['iopool_fifo', 'iopool_unreadable', 'iopool_words'], ARRAY[0, 0, 8], ARRAY[8, 8, 8]) AS r \gset
SELECT ordinal, data, error FROM iopool_fetch(:r, 'report');
SELECT iopool_submit('iopool_fifo', ARRAY[0], ARRAY[8]) AS r \gset
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT iopool_cancel(:r);
COMMIT;
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm -f iopool_fifo iopool_unreadable';
-- a range of no bytes of what is not there
BEGIN;
SELECT iopool_submit('iopool_missing', ARRAY[0], ARRAY[0]) AS r \gset
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT * FROM iopool_fetch(:r, 'report');
COMMIT;

-- as they complete: a failure among the rows to hand out hands out none
BEGIN;
SELECT iopool_submit(array_fill('iopool_missing'::text, ARRAY[3]), ARRAY[0, 8, 16], ARRAY[8, 8, 8]) AS r \gset
SELECT * FROM failure(format('SELECT * FROM iopool_fetch_next(%s)', :r));
SELECT * FROM failure(format('SELECT * FROM iopool_fetch_next(%s, 10)', :r));
SELECT count(*), count(error), count(data) FROM iopool_fetch_next(:r, 2, 'report');
SELECT state FROM failure(format('SELECT * FROM iopool_fetch_next(%s, 10)', :r));
SELECT state FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT count(*), count(error) FROM iopool_fetch_next(:r, 2, 'report');
SELECT count(*) FROM iopool_fetch_next(:r, 2, 'report');
SELECT state FROM failure(format('SELECT * FROM iopool_fetch_next(%s)', :r));
-- good and bad ones, one at a time, each seen once
SELECT iopool_submit((SELECT array_agg(CASE WHEN n % 7 = 0 THEN 'iopool_missing' ELSE 'iopool_words' END ORDER BY n)
					  FROM generate_series(1, 700) AS n),
	apart(700), array_fill(8::bigint, ARRAY[700])) AS r \gset
CREATE FUNCTION one_by_one(request bigint, OUT good int, OUT raised int, OUT reported int, OUT different int)
LANGUAGE plpgsql AS $$
DECLARE
	ordinals int[] := '{}';
	f record;
BEGIN
	good := 0;
	raised := 0;
	reported := 0;
	LOOP
		BEGIN
			SELECT * INTO f FROM iopool_fetch_next(request);
			EXIT WHEN f.ordinal IS NULL;
			good := good + (f.data = int8send(f.file_offset) AND f.ordinal % 7 <> 0)::int;
		EXCEPTION WHEN undefined_file THEN
			raised := raised + 1;
			SELECT * INTO f FROM iopool_fetch_next(request, 1, 'report');
			reported := reported + (f.error IS NOT NULL AND f.data IS NULL AND f.ordinal % 7 = 0)::int;
		END;
		ordinals := ordinals || f.ordinal;
	END LOOP;
	SELECT count(DISTINCT o) INTO different FROM unnest(ordinals) AS o;
END
$$;
SELECT * FROM one_by_one(:r);
SELECT count(*) FROM iopool_requests;
-- thousands with a missing file among them
SELECT iopool_submit((SELECT array_agg(CASE WHEN n % 7 = 0 THEN 'iopool_missing' ELSE 'iopool_words' END ORDER BY n)
					  FROM generate_series(1, 7000) AS n),
	apart(7000), array_fill(8::bigint, ARRAY[7000])) AS r \gset
SELECT iopool_wait(:r);
SELECT * FROM iopool_poll(:r);
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT count(*), count(data), count(error), count(DISTINCT error),
	   bool_and((data IS NULL) = (ordinal % 7 = 0)), bool_and((error IS NULL) <> (data IS NULL)),
	   bool_and(data = int8send(file_offset))
FROM iopool_fetch(:r, 'report');
COMMIT;
-- a failure that is not caught ends the transaction, and all of its requests
BEGIN;
SELECT iopool_submit('iopool_words', apart(1000), array_fill(8::bigint, ARRAY[1000])) AS s \gset
SELECT iopool_submit('iopool_missing', ARRAY[0], ARRAY[8]) AS r \gset
SELECT * FROM iopool_fetch(:r);
ROLLBACK;
SELECT count(*) FROM iopool_requests;
SELECT count(*) FROM iopool_rings WHERE state <> 'free';
SELECT state FROM failure(format('SELECT iopool_poll(%s)', :s));

-- the limit: what unfetched requests will bring, cut at the end of file
SET iopool.max_request_memory = '2MB';
BEGIN;
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_big', ARRAY[0, 4000000], ARRAY[2097152, 1])$$);
SELECT count(*) FROM iopool_requests;
SELECT iopool_submit('iopool_big', ARRAY[0, 4000000], ARRAY[900000, 900000]) AS r \gset
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_big', ARRAY[5], ARRAY[300000])$$);
-- also in a function that would go on
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_big', ARRAY[5], ARRAY[300000]) FROM generate_series(1, 3)$$);
-- done or not, until it is fetched
SELECT iopool_wait(:r);
SELECT state FROM failure($$SELECT iopool_submit('iopool_big', ARRAY[5], ARRAY[300000])$$);
-- past and at the end of file there is nothing, as in no bytes and in no file
SELECT iopool_submit(ARRAY['iopool_words', 'iopool_words', 'iopool_missing'], ARRAY[1048579, 9000000, 0],
	ARRAY[1000000, 1072693248, 1000000]) AS s \gset
SELECT count(*), count(error) FROM iopool_fetch(:s, 'report');
-- rows that have been handed out make room, as many as they are
SELECT length(data) FROM iopool_fetch_next(:r, 1);
SELECT iopool_submit('iopool_big', ARRAY[0], ARRAY[1000000]) AS s \gset
SELECT state FROM failure($$SELECT iopool_submit('iopool_big', ARRAY[5], ARRAY[200000])$$);
SELECT count(*) FROM iopool_fetch(:r);
SELECT iopool_submit('iopool_big', ARRAY[100], ARRAY[1000000]) AS r \gset
SELECT state FROM failure($$SELECT iopool_submit('iopool_big', ARRAY[5], ARRAY[200000])$$);
-- so do a cancel, a rollback to a savepoint, and the end of the transaction
SELECT iopool_cancel(:r), iopool_cancel(:s);
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[1]) AS r \gset
SAVEPOINT s;
SELECT iopool_submit('iopool_big', ARRAY[0], ARRAY[1900000]) AS s \gset
SELECT state FROM failure($$SELECT iopool_submit('iopool_big', ARRAY[5], ARRAY[200000])$$);
ROLLBACK TO s;
SELECT iopool_submit('iopool_big', ARRAY[0], ARRAY[1900000]) AS s \gset
ROLLBACK;
BEGIN;
SELECT iopool_submit('iopool_big', ARRAY[0], ARRAY[2000000]) AS s \gset
ROLLBACK;
-- a range longer than the file is as long as the file
BEGIN;
SELECT iopool_submit('iopool_one', ARRAY[0], ARRAY[1072693248]) AS s \gset
SELECT * FROM iopool_fetch(:s);
-- overlapping ranges bring their bytes each
SELECT state FROM failure($$SELECT iopool_submit('iopool_words', array_fill(0, ARRAY[3]), array_fill(700000, ARRAY[3]))$$);
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_big', array_fill(0, ARRAY[3000]), array_fill(1072693248, ARRAY[3000]))$$);
COMMIT;
-- what is refused has left nothing, however often
DO $$
DECLARE
	refused int := 0;
BEGIN
	FOR n IN 1 .. 200 LOOP
		BEGIN
			PERFORM iopool_submit('iopool_big', ARRAY[0], ARRAY[2097152]);
		EXCEPTION WHEN configuration_limit_exceeded THEN
			refused := refused + 1;
		END;
	END LOOP;
	RAISE NOTICE 'refused %', refused;
END
$$;
SELECT count(*) FROM iopool_requests;
-- fetched a bit at a time, one request after the other never needs more
DO $$
DECLARE
	r bigint;
	total bigint := 0;
BEGIN
	FOR n IN 1 .. 100 LOOP
		r := iopool_submit('iopool_words', ARRAY[n, 300000], ARRAY[700000, 700000]);
		total := total + (SELECT sum(length(data)) FROM iopool_fetch(r));
	END LOOP;
	RAISE NOTICE '% bytes', total;
END
$$;
-- what a request has beside its bytes counts, for each range and for each request
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_words', array_fill(9000000, ARRAY[50000]), array_fill(8, ARRAY[50000]))$$);
SELECT * FROM failure_detail($$SELECT iopool_submit(array_agg('iopool_missing' || n), array_agg(0), array_agg(0))
	FROM generate_series(1, 4000) AS n$$);
CREATE FUNCTION submit_many(OUT submitted int) LANGUAGE plpgsql AS $$
BEGIN
	submitted := 0;
	LOOP
		PERFORM iopool_submit('iopool_words', '{}'::bigint[], '{}'::bigint[]);
		submitted := submitted + 1;
	END LOOP;
EXCEPTION WHEN configuration_limit_exceeded THEN
	NULL;
END
$$;
-- a few kB each
SELECT submitted BETWEEN 20 AND 1000 AS submitted FROM submit_many();
DROP FUNCTION submit_many();
-- nothing at all
SET iopool.max_request_memory = 0;
BEGIN;
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_words', ARRAY[5], ARRAY[1])$$);
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_words', '{}'::bigint[], '{}'::bigint[])$$);
COMMIT;
-- lowered below what is held: that stays, and nothing is added
SET iopool.max_request_memory = '2MB';
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[65536]) AS s \gset
SET LOCAL iopool.max_request_memory = '1kB';
SELECT * FROM failure_detail($$SELECT iopool_submit('iopool_words', ARRAY[5], ARRAY[1])$$);
SELECT ordinal, length(data) FROM iopool_fetch(:s);
COMMIT;
SELECT state FROM failure($$SET iopool.max_request_memory = -1$$);
RESET iopool.max_request_memory;
SELECT current_setting('iopool.max_request_memory');

-- again and again in one session, caught, and no ring is missing
DO $$
DECLARE
	caught int := 0;
	r bigint;
BEGIN
	FOR attempt IN 1 .. 50 LOOP
		BEGIN
			r := iopool_submit('iopool_words', apart(200), array_fill(8::bigint, ARRAY[200]));
			PERFORM 1 / (f.ordinal - 100) FROM iopool_fetch(r) AS f;
		EXCEPTION WHEN division_by_zero THEN
			caught := caught + 1;
		END;
		BEGIN
			r := iopool_submit(ARRAY['iopool_words', 'iopool_missing'], ARRAY[0, 0], ARRAY[8, 8]);
			PERFORM iopool_fetch(r);
		EXCEPTION WHEN undefined_file THEN
			caught := caught + 1;
		END;
		BEGIN
			r := iopool_submit('iopool_words', apart(200), array_fill(8::bigint, ARRAY[200]));
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN
			caught := caught + 1;
		END;
	END LOOP;
	RAISE NOTICE 'caught %', caught;
END
$$;
SELECT count(*) FROM iopool_requests;
SELECT state, count(*) FROM iopool_rings GROUP BY state;
SELECT sum(in_use) AS in_use, sum(waiting) AS waiting FROM iopool_pools;
SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 800], ARRAY[8]);

-- rights
CREATE ROLE regress_iopool_plain;
CREATE ROLE regress_iopool_reader IN ROLE pg_read_server_files;
CREATE ROLE regress_iopool_executor;
CREATE ROLE regress_iopool_monitor IN ROLE pg_monitor;
GRANT EXECUTE ON FUNCTION iopool_submit(text, bigint[], bigint[]), iopool_submit(text[], bigint[], bigint[]),
	iopool_poll(bigint), iopool_wait(bigint, integer), iopool_wait_any(bigint[], integer), iopool_fetch(bigint, text),
	iopool_fetch_next(bigint, integer, text), iopool_cancel(bigint) TO regress_iopool_executor;
-- no EXECUTE
SET ROLE regress_iopool_plain;
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_submit(ARRAY['iopool_words'], ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure('SELECT iopool_poll(1)');
SELECT state FROM failure('SELECT iopool_wait(1)');
SELECT state FROM failure('SELECT iopool_wait_any(ARRAY[1])');
SELECT state FROM failure('SELECT iopool_fetch(1)');
SELECT state FROM failure('SELECT iopool_fetch_next(1)');
SELECT state FROM failure('SELECT iopool_cancel(1)');
SELECT * FROM failure('SELECT * FROM iopool_requests');
RESET ROLE;
-- EXECUTE alone is no right to any path, whether it exists or not; that is told
-- at once, and not when it is fetched
SET ROLE regress_iopool_executor;
SELECT * FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT * FROM failure($$SELECT iopool_submit('iopool_missing', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_submit(ARRAY['iopool_words', '/dev/null'], ARRAY[0, 0], ARRAY[8, 8])$$);
RESET ROLE;
-- members read, and see their requests
SET ROLE regress_iopool_reader;
BEGIN;
SELECT iopool_submit('iopool_words', ARRAY[0, 800], ARRAY[8, 8]) AS r \gset
SELECT iopool_wait(:r);
SELECT request = :r AS r, completed FROM iopool_requests;
SELECT count(*) FROM iopool_fetch_next(:r);
SELECT count(*) FROM iopool_fetch(:r);
COMMIT;
RESET ROLE;
-- so does pg_monitor, which reads no files
SET ROLE regress_iopool_monitor;
SELECT count(*) FROM iopool_requests;
SELECT state FROM failure($$SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8])$$);
RESET ROLE;
-- a request is for roles that have the privileges of the one that submitted it:
-- what each role gets of a request, and whether the view shows it
CREATE FUNCTION what_can(OUT poll text, OUT wait text, OUT wait_any text, OUT fetch_next text, OUT fetch_all text, OUT cancel text,
						 OUT seen bigint)
LANGUAGE plpgsql AS $$
DECLARE
	r bigint := current_setting('my.request');
BEGIN
	poll := (SELECT coalesce(state, message) FROM failure(format('SELECT iopool_poll(%s)', r)));
	wait := (SELECT coalesce(state, message) FROM failure(format('SELECT iopool_wait(%s)', r)));
	wait_any := (SELECT coalesce(state, message) FROM failure(format('SELECT iopool_wait_any(ARRAY[%s])', r)));
	fetch_next := (SELECT coalesce(state, message) FROM failure(format('SELECT iopool_fetch_next(%s)', r)));
	BEGIN
		seen := (SELECT count(*) FROM iopool_requests);
	EXCEPTION WHEN insufficient_privilege THEN
		NULL;
	END;
	IF fetch_next = 'no failure' THEN
		RETURN;
	END IF;
	fetch_all := (SELECT coalesce(state, message) FROM failure(format('SELECT iopool_fetch(%s)', r)));
	cancel := (SELECT coalesce(state, message) FROM failure(format('SELECT iopool_cancel(%s)', r)));
END
$$;
CREATE ROLE regress_iopool_other IN ROLE pg_read_server_files;
CREATE ROLE regress_iopool_member IN ROLE regress_iopool_reader;
GRANT EXECUTE ON FUNCTION iopool_submit(text, bigint[], bigint[]), iopool_poll(bigint), iopool_wait(bigint, integer),
	iopool_wait_any(bigint[], integer), iopool_fetch(bigint, text), iopool_fetch_next(bigint, integer, text),
	iopool_cancel(bigint) TO regress_iopool_monitor;
BEGIN;
SET LOCAL ROLE regress_iopool_reader;
SELECT iopool_submit('iopool_words', array_fill(0, ARRAY[10]), array_fill(8, ARRAY[10])) AS r \gset
SELECT set_config('my.request', :'r', true) = :'r' AS set;
SELECT * FROM what_can();
-- a member may, and who has no more than the same rights may not
SET LOCAL ROLE regress_iopool_member;
SELECT * FROM what_can();
SET LOCAL ROLE regress_iopool_other;
SELECT * FROM what_can();
SELECT state, replace(message, :'r', 'N') AS message, detail FROM failure_detail(format('SELECT iopool_poll(%s)', :r));
SET LOCAL ROLE regress_iopool_executor;
SELECT * FROM what_can();
-- who sees all statistics sees it, and no more than that
SET LOCAL ROLE regress_iopool_monitor;
SELECT * FROM what_can();
-- one's own among them does not help
SET LOCAL ROLE regress_iopool_other;
SELECT iopool_submit('iopool_words', ARRAY[0], ARRAY[8]) AS s \gset
SELECT state FROM failure(format('SELECT iopool_wait_any(ARRAY[%s, %s])', :s, :r));
SELECT request = :s AS s FROM iopool_requests;
SELECT iopool_cancel(:s);
-- a superuser may all
RESET ROLE;
SELECT * FROM what_can();
SELECT count(*) FROM iopool_fetch(:r);
COMMIT;
-- nor is what a superuser, or a function with a superuser's rights, submits for
-- who has not these rights; the function can fetch it
CREATE FUNCTION as_owner(request bigint DEFAULT NULL, OUT result bigint)
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF request IS NULL THEN
		result := iopool_submit('iopool_words', array_fill(0, ARRAY[10]), array_fill(8, ARRAY[10]));
	ELSE
		result := (SELECT count(*) FROM iopool_fetch(request));
	END IF;
END
$$;
BEGIN;
SET LOCAL ROLE regress_iopool_reader;
SELECT as_owner() AS r \gset
SELECT set_config('my.request', :'r', true) = :'r' AS set;
SELECT * FROM what_can();
SELECT as_owner(:r);
SELECT as_owner(iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[8, 8]));
COMMIT;
-- whose submitter is gone is for superusers
CREATE ROLE regress_iopool_gone IN ROLE pg_read_server_files;
BEGIN;
SET LOCAL ROLE regress_iopool_gone;
SELECT iopool_submit('iopool_words', ARRAY[0, 8], ARRAY[8, 8]) AS r \gset
RESET ROLE;
DROP ROLE regress_iopool_gone;
SELECT set_config('my.request', :'r', true) = :'r' AS set;
SET LOCAL ROLE regress_iopool_reader;
SELECT * FROM what_can();
RESET ROLE;
SELECT count(*) FROM iopool_fetch(:r);
ROLLBACK;
DROP ROLE regress_iopool_gone;
DROP FUNCTION as_owner(bigint), what_can();
DROP OWNED BY regress_iopool_other, regress_iopool_member;
DROP ROLE regress_iopool_other, regress_iopool_member;
-- the right to a path is looked at by submit
BEGIN;
SET LOCAL ROLE regress_iopool_reader;
SELECT iopool_submit('iopool_words', ARRAY[0, 800], ARRAY[8, 8]) AS r \gset
RESET ROLE;
REVOKE pg_read_server_files FROM regress_iopool_reader;
GRANT EXECUTE ON FUNCTION iopool_fetch(bigint, text) TO regress_iopool_reader;
SET LOCAL ROLE regress_iopool_reader;
SELECT data FROM iopool_fetch(:r);
ROLLBACK;

-- directories, with pools of their own: a request reads from all of them
\set dir `mkdir -p "$PG_ABS_BUILDDIR/results/iopool_request" && cd "$PG_ABS_BUILDDIR/results/iopool_request" && pwd -P`
SELECT write_file(:'dir' || '/words', words(0, 65536));
SET client_min_messages = 'error';
CREATE SERVER regress_first FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir', pool 'regress_one');
CREATE SERVER regress_second FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir', pool 'regress_two');
RESET client_min_messages;
GRANT USAGE ON FOREIGN SERVER regress_first TO regress_iopool_executor;
BEGIN;
SELECT iopool_submit((SELECT array_agg((ARRAY['iopool_words', 'regress_first:words', 'regress_second:words'])[n % 3 + 1] ORDER BY n)
					  FROM generate_series(0, 2999) AS n),
	(SELECT array_agg((n * 7919) % 8192 * 8 ORDER BY n) FROM generate_series(0, 2999) AS n),
	array_fill(8::bigint, ARRAY[3000])) AS r \gset
SELECT pool, ranges FROM iopool_requests;
SELECT count(*) FROM iopool_rings WHERE pid = pg_backend_pid() AND pool NOT IN ('default', 'regress_one', 'regress_two');
SELECT count(*) FILTER (WHERE data = int8send(file_offset)) AS right_ones, count(*) FILTER (WHERE place = ordinal) AS in_place
FROM iopool_fetch(:r) WITH ORDINALITY AS b(ordinal, file_offset, length, data, error, place);
SELECT iopool_submit(ARRAY['regress_second:words', 'regress_second:words'], ARRAY[0, 8], ARRAY[8, 8]) AS r \gset
SELECT pool FROM iopool_requests;
SELECT count(*) FROM iopool_fetch(:r);
SELECT iopool_submit(ARRAY['regress_first:none', 'regress_first:words'], ARRAY[0, 8], ARRAY[8, 8]) AS r \gset
SELECT ordinal, data, error FROM iopool_fetch(:r, 'report');
COMMIT;
SET ROLE regress_iopool_executor;
BEGIN;
SELECT data FROM iopool_fetch(iopool_submit('regress_first:words', ARRAY[0, 800], ARRAY[8, 8]));
SELECT * FROM failure($$SELECT iopool_submit('regress_second:words', ARRAY[0], ARRAY[8])$$);
SELECT * FROM failure($$SELECT iopool_submit('regress_third:words', ARRAY[0], ARRAY[8])$$);
-- what leads out of a directory is a failure of its range
SELECT iopool_submit('regress_first:../words', ARRAY[0], ARRAY[8]) AS r \gset
SELECT * FROM failure(format('SELECT * FROM iopool_fetch(%s)', :r));
SELECT iopool_cancel(:r);
COMMIT;
RESET ROLE;
DROP SERVER regress_first, regress_second;
DROP OWNED BY regress_iopool_plain, regress_iopool_reader, regress_iopool_executor, regress_iopool_monitor;
DROP ROLE regress_iopool_plain, regress_iopool_reader, regress_iopool_executor, regress_iopool_monitor;
DROP FUNCTION apart(int), failure_detail(text), one_by_one(bigint);
