-- The executor nodes: which queries get them, what EXPLAIN shows of them, and
-- that rows, errors and rights are those of the plain plan.
--
-- All plans are compared with what iopool.enable_stream_scan = off gives.

-- rows of 8 bytes, each with the word that tells its offset
CREATE TABLE scan_item (id int PRIMARY KEY, path text, file_offset bigint, length bigint);
INSERT INTO scan_item SELECT n, 'iopool_words', n * 8, 8 FROM generate_series(1, 1000) AS n;
CREATE TABLE scan_tag (item_id int, tag text);
INSERT INTO scan_tag SELECT n, CASE WHEN n % 400 = 0 THEN 'rare' ELSE 'common' END FROM generate_series(1, 1000) AS n;
ANALYZE scan_item, scan_tag;
CREATE SEQUENCE scan_seq;

-- ------------------------------------------------------------------------
-- Which queries get which node

SELECT * FROM plan_of($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8])$$);
SELECT * FROM plan_of($$SELECT ordinal FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8, 16]) WHERE ordinal > 1$$);
SELECT * FROM plan_of($$SELECT * FROM iopool_read_batch(ARRAY['iopool_words', 'iopool_one'], ARRAY[0, 0], ARRAY[8, 1])$$);
SELECT * FROM plan_of($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT * FROM plan_of($$SELECT i.id, b.data FROM scan_item AS i JOIN iopool_read_batch(i.path, ARRAY[i.file_offset, 0], ARRAY[8]) AS b ON true$$);
SELECT * FROM plan_of($$SELECT i.id, b.data FROM scan_item AS i LEFT JOIN iopool_read_batch(i.path, ARRAY[i.file_offset], ARRAY[i.length]) AS b ON true WHERE b.ordinal IS NULL$$);

-- the catalogue's index first, and its order is kept
SELECT * FROM plan_of($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE id = 7$$);
SELECT * FROM plan_of($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE id < 20 ORDER BY id$$);
-- what a join or a condition leaves is read, and nothing else
SELECT ranges_of($$SELECT i.id, data FROM scan_item AS i, iopool_read(path, file_offset, length) AS data, scan_tag AS t WHERE t.item_id = i.id AND t.tag = 'rare'$$) AS two;
SELECT ranges_of($$SELECT i.id, data FROM scan_item AS i LEFT JOIN iopool_read(path, file_offset, length) AS data ON true JOIN scan_tag AS t ON t.item_id = i.id WHERE t.tag = 'rare'$$) AS two;
SELECT ranges_of($$SELECT i.id, data FROM scan_item AS i, iopool_read(path, file_offset, length) AS data WHERE i.id % 100 = 0$$) AS ten;
-- a LIMIT does not read on
SELECT ranges_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data LIMIT 2$$) BETWEEN 2 AND 100 AS few;
SELECT ranges_of($$SELECT data FROM iopool_read_batch('iopool_words', (SELECT array_agg(n * 100) FROM generate_series(1, 10000) AS n), ARRAY[8]) LIMIT 2$$) BETWEEN 2 AND 1000 AS few;

-- other statements
SELECT nodes_of($$INSERT INTO scan_item SELECT id + 5000, data::text, 0, 0 FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT nodes_of($$CREATE TABLE scan_copy AS SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT nodes_of($$WITH b AS MATERIALIZED (SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8])) SELECT * FROM b AS x, b AS y$$);
SELECT nodes_of($$SELECT data FROM (SELECT id FROM scan_item WHERE id < 10 ORDER BY id DESC OFFSET 0) AS s, iopool_read('iopool_words', s.id, 8) AS data$$);
SELECT nodes_of($$SELECT a, b FROM scan_item, iopool_read(path, file_offset, length) AS a, iopool_read(path, length(a), 8) AS b$$);
-- on the side of an outer join that is kept
SELECT nodes_of($$SELECT t.tag, s.* FROM scan_tag AS t, LATERAL (SELECT i.id, data FROM scan_item AS i RIGHT JOIN iopool_read('iopool_words', t.item_id, 8) AS data ON i.id < 3) AS s$$);

-- what keeps the plain plan
SELECT nodes_of($$SELECT * FROM iopool_read('iopool_words', 8, 8)$$);
SELECT nodes_of($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8]) WITH ORDINALITY$$);
SELECT nodes_of($$SELECT * FROM scan_item, iopool_read(path, file_offset, length) WITH ORDINALITY$$);
SELECT nodes_of($$SELECT * FROM ROWS FROM (iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8]), generate_series(1, 3))$$);
SELECT nodes_of($$SELECT * FROM scan_item, ROWS FROM (iopool_read(path, file_offset, length), generate_series(1, 3))$$);
SELECT nodes_of($$SELECT i.id, b.data FROM scan_item AS i LEFT JOIN iopool_read_batch(path, ARRAY[0, 8], ARRAY[8]) AS b ON b.ordinal = i.id$$);
SELECT nodes_of($$SELECT i.id, b.data FROM scan_item AS i LEFT JOIN iopool_read_batch(path, ARRAY[0, 8], ARRAY[8]) AS b ON b.ordinal = 2$$);
SELECT nodes_of($$SELECT i.id, data FROM scan_item AS i LEFT JOIN iopool_read(path, file_offset, length) AS data ON i.id > 5$$);
SELECT nodes_of($$SELECT t.tag, s.* FROM scan_tag AS t, LATERAL (SELECT i.id, b.data FROM scan_item AS i FULL JOIN iopool_read_batch('iopool_words', ARRAY[t.item_id], ARRAY[8]) AS b ON b.ordinal = i.id) AS s$$);
-- the whole row, and in a join a row to be found again
SELECT nodes_of($$SELECT b FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8]) AS b$$);
SELECT nodes_of($$SELECT ordinal FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8]) AS b WHERE b IS NOT NULL$$);
SELECT nodes_of($$SELECT id, b FROM scan_item, iopool_read_batch(path, ARRAY[file_offset, 8], ARRAY[8]) AS b$$);
SELECT nodes_of($$SELECT id, data FROM scan_item AS i, iopool_read(path, file_offset, length) AS data FOR UPDATE OF i$$);
SELECT nodes_of($$SELECT id, data FROM (SELECT * FROM scan_item FOR SHARE) AS i, iopool_read(path, file_offset, length) AS data$$);
SELECT nodes_of($$UPDATE scan_item AS i SET path = b.data::text FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8]) AS b WHERE b.ordinal = i.id$$);
SELECT nodes_of($$DELETE FROM scan_item AS i USING scan_tag AS t, iopool_read('iopool_words', t.item_id, 8) AS data WHERE t.item_id = i.id AND data IS NULL$$);
-- outer rows may be taken ahead only where nobody can see it
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, (file_offset * random())::bigint, length) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE random() < 0.5$$);
SELECT nodes_of($$SELECT data FROM (SELECT nextval('scan_seq') AS n FROM scan_item) AS s, iopool_read('iopool_words', n, 8) AS data$$);
SELECT nodes_of($$WITH s AS MATERIALIZED (SELECT nextval('scan_seq') AS n FROM scan_item) SELECT data FROM s, iopool_read('iopool_words', n, 8) AS data$$);
-- also in VALUES, in other functions, and in subqueries
CREATE FUNCTION scan_next(n int) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RETURN nextval('scan_seq'); END$$;
SELECT nodes_of($$SELECT data FROM (VALUES (nextval('scan_seq')), (nextval('scan_seq'))) AS v(n), iopool_read('iopool_words', n, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, scan_next(id) AS n, iopool_read('iopool_words', n, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, (SELECT nextval('scan_seq') + id - id), 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, 8) AS data WHERE (SELECT nextval('scan_seq') + id) > 0$$);
SELECT nodes_of($$SELECT data FROM scan_item AS i, iopool_read(path, file_offset, 8) AS data WHERE (SELECT id FROM scan_item AS j WHERE j.id = i.id + 0 FOR UPDATE) > 0$$);
-- functions that no node of the expression names: the CHECK of a domain, which
-- casts, arrays, input functions and functions on rows run, and casts to json
CREATE FUNCTION scan_check(n bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('scan_seq'); RETURN true; END$$;
CREATE DOMAIN scan_checked AS bigint CHECK (scan_check(VALUE));
CREATE DOMAIN scan_positive AS bigint CHECK (VALUE >= 0);
CREATE TYPE scan_pair AS (n scan_checked);
CREATE TYPE scan_row AS (n bigint);
CREATE FUNCTION scan_row_json(r scan_row) RETURNS json LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('scan_seq'); RETURN r.n::text::json; END$$;
CREATE CAST (scan_row AS json) WITH FUNCTION scan_row_json(scan_row);
CREATE TYPE scan_range AS RANGE (subtype = scan_checked);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset::scan_positive, length) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset::scan_checked, length) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset::text::scan_checked, length) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read_batch(path, ARRAY[file_offset]::scan_positive[], ARRAY[8]) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read_batch(path, ARRAY[file_offset]::scan_checked[], ARRAY[8]) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read_batch(path, array_to_string(ARRAY[file_offset], ',', '')::text::scan_checked[], ARRAY[8]) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, (json_populate_record(NULL::scan_pair, '{}')).n, length) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, lower(int8range(file_offset, NULL)::text::scan_range), length) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, to_json(ROW(file_offset)::scan_row)::text::bigint, length) AS data$$);
SELECT nodes_of($$SELECT data FROM (SELECT file_offset::scan_checked AS n FROM scan_item) AS s, iopool_read('iopool_words', n, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_tag AS t LEFT JOIN (SELECT id, file_offset::scan_checked AS n FROM scan_item) AS s ON s.id = t.item_id, iopool_read('iopool_words', n, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, 8) AS data WHERE file_offset::scan_checked > 0$$);
SELECT nodes_of($$SELECT data FROM scan_item, json_to_record(json_build_object('a', id, 'b', file_offset)) AS r(a scan_checked, b bigint), iopool_read(path, r.b, 8) AS data$$);
-- as many as rows are asked for
SELECT nextval('scan_seq') AS before FROM setval('scan_seq', 1);
SELECT data FROM scan_item, iopool_read(path, file_offset::scan_checked, 8) AS data LIMIT 3;
SELECT nextval('scan_seq') AS "three more, and this one";
DROP CAST (scan_row AS json);
DROP FUNCTION scan_row_json;
DROP TYPE scan_range, scan_pair, scan_row;
DROP DOMAIN scan_checked, scan_positive;
DROP FUNCTION scan_check;
-- and comparisons by an operator class whose operators are immutable
CREATE FUNCTION scan_cmp(a int, b int) RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('scan_seq'); RETURN a - b; END$$;
CREATE OPERATOR <<<< (FUNCTION = int4lt, LEFTARG = int, RIGHTARG = int, COMMUTATOR = >>>>);
CREATE OPERATOR >>>> (FUNCTION = int4gt, LEFTARG = int, RIGHTARG = int, COMMUTATOR = <<<<);
CREATE OPERATOR ==== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int, COMMUTATOR = ====);
CREATE OPERATOR CLASS scan_ops FOR TYPE int USING btree AS OPERATOR 1 <<<<, OPERATOR 3 ====, OPERATOR 5 >>>>, FUNCTION 1 scan_cmp(int, int);
CREATE TYPE scan_compared AS RANGE (subtype = int, subtype_opclass = scan_ops);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, CASE WHEN scan_compared(0, 1000) @> id THEN file_offset END, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, CASE WHEN ROW(id, id) OPERATOR(>>>>) ROW(0, 0) THEN file_offset END, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, CASE WHEN ROW(id, id) > ROW(0, 0) THEN file_offset END, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item AS i, iopool_read_batch(path, (SELECT array_agg(file_offset ORDER BY id USING <<<<) FROM scan_item AS j WHERE j.id = i.id), ARRAY[8]) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item AS i, iopool_read_batch(path, (SELECT array_agg(file_offset ORDER BY id) FROM scan_item AS j WHERE j.id = i.id), ARRAY[8]) AS data$$);
SELECT nodes_of($$SELECT data FROM (SELECT path, file_offset FROM scan_item ORDER BY id USING <<<< OFFSET 0) AS s, iopool_read(path, file_offset, 8) AS data$$);
DROP TYPE scan_compared;
DROP OPERATOR CLASS scan_ops USING btree;
DROP OPERATOR FAMILY scan_ops USING btree;
DROP OPERATOR <<<< (int, int), >>>> (int, int), ==== (int, int);
DROP FUNCTION scan_cmp;
-- functions in FROM, which are called for rows of a query around theirs, or never,
-- sub-selects that are computed once, and what aggregates are made of
CREATE FUNCTION scan_set(n bigint) RETURNS SETOF bigint LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('scan_seq'); RETURN NEXT n; END$$;
CREATE FUNCTION scan_add(state bigint, n bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('scan_seq'); RETURN n; END$$;
CREATE AGGREGATE scan_last(bigint) (SFUNC = scan_add, STYPE = bigint);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, (SELECT n FROM scan_set(file_offset) AS n LIMIT 1), 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, LATERAL (SELECT n FROM scan_set(file_offset) AS n OFFSET 0) AS s, iopool_read(path, s.n, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM (SELECT file_offset FROM scan_item UNION ALL SELECT n FROM scan_set(8) AS n) AS s, iopool_read('iopool_words', file_offset, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, CASE WHEN id = 5 THEN (SELECT nextval('scan_seq')) ELSE file_offset END, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, CASE WHEN id = 5 THEN (SELECT max(id) FROM scan_tag, scan_item) ELSE file_offset END, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM (SELECT id, scan_last(file_offset) AS n FROM scan_item GROUP BY id OFFSET 0) AS s, iopool_read('iopool_words', s.n, 8) AS data$$);
SELECT nodes_of($$SELECT data FROM scan_item AS i, iopool_read(path, (SELECT scan_last(j.file_offset) FROM scan_item AS j WHERE j.id = i.id), 8) AS data$$);
-- the call is made once, as often as its rows are asked for: arguments that
-- would be others keep the function scan, which keeps its rows
SELECT nodes_of($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[nextval('scan_seq'), 8], ARRAY[8])$$);
DROP AGGREGATE scan_last(bigint);
DROP FUNCTION scan_add, scan_set;
-- a function that is to be called in its own way
ALTER FUNCTION iopool_read(text, bigint, bigint) SECURITY DEFINER;
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
ALTER FUNCTION iopool_read(text, bigint, bigint) SECURITY INVOKER SET iopool.merge_gap = '4kB';
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
ALTER FUNCTION iopool_read(text, bigint, bigint) RESET ALL;
SELECT nodes_of($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
-- a function of another library, which the planner is not to load
CREATE FUNCTION scan_foreign(text, bigint, bigint) RETURNS bytea LANGUAGE c STRICT AS '$libdir/iopool', 'iopool_read';
SELECT nodes_of($$SELECT data FROM scan_item, scan_foreign(path, file_offset, 8) AS data$$);
UPDATE pg_proc SET probin = '$libdir/no_such_library' WHERE proname = 'scan_foreign';
SELECT * FROM plan_of($$SELECT * FROM scan_foreign('iopool_words', 0, 8) WHERE false$$);
DROP FUNCTION scan_foreign;
-- nobody has asked for it
SET iopool.enable_stream_scan = off;
SELECT * FROM plan_of($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE id = 7$$);
SELECT nodes_of($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8])$$);
RESET iopool.enable_stream_scan;

-- ------------------------------------------------------------------------
-- EXPLAIN

-- columns have the names of their tables where there are several, or on demand
SELECT * FROM plan_of($$SELECT id + 1, data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE id = 7 AND data <> ''$$, ', VERBOSE');
SELECT * FROM plan_of($$SELECT (SELECT count(*) FROM iopool_read_batch(i.path, ARRAY[i.file_offset], ARRAY[8])) FROM scan_item AS i$$);
-- the pool is the session's
SET iopool.pool = 'regress_two';
SELECT line FROM plan_of($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8])$$) AS line WHERE line ~ 'Pool';
RESET iopool.pool;

-- The lines or elements of EXPLAIN (ANALYZE) that are ours; what depends on
-- time, method and mode as "N".
CREATE FUNCTION analyzed(query text, options text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	output text;
	line text;
BEGIN
	FOR output IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, SUMMARY OFF, BUFFERS OFF, ' || options || ') ' || query LOOP
		FOREACH line IN ARRAY string_to_array(output, E'\n') LOOP
			IF line ~ 'Path|File.Offset|Length|Pool|I[/-]O|Ranges|Read|In.Flight|Ring|Wait.Time' THEN
				line := regexp_replace(line, '(I/O Mode"?: "?|<I-O-Mode>)\w+', '\1...');
				line := regexp_replace(line, '(Reads"?: |Reads>|Bytes"?: |Bytes>)\d+', '\1N', 'g');
				line := regexp_replace(line, '((average|maximum|ring|reads)=|(In Flight|Time)"?: |(Flight|Time)>)\d+(\.\d+)?', '\1N', 'g');
				RETURN NEXT btrim(line);
			END IF;
		END LOOP;
	END LOOP;
END
$$;
SELECT * FROM analyzed($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data$$, 'FORMAT text');
SELECT * FROM analyzed($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data$$, 'TIMING OFF, FORMAT text');
SELECT * FROM analyzed($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 800], ARRAY[8])$$, 'FORMAT json');
SELECT * FROM analyzed($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 800], ARRAY[8])$$, 'TIMING OFF, FORMAT yaml');
SELECT * FROM analyzed($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 800], ARRAY[8])$$, 'FORMAT yaml');
SELECT * FROM analyzed($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 800], ARRAY[8])$$, 'FORMAT xml');

-- each is what it says
SELECT (n ->> 'Ranges')::int AS ranges, (n ->> 'Read Bytes')::int >= 8000 AS read_bytes,
	   (n ->> 'Reads')::int BETWEEN 1 AND 1000 AS reads,
	   (n ->> 'Average In Flight')::float BETWEEN 1 AND (n ->> 'Maximum In Flight')::int AS average,
	   (n ->> 'Maximum In Flight')::int BETWEEN 1 AND 128 AS maximum,
	   (n ->> 'Ring Wait Time')::float >= 0 AND (n ->> 'Read Wait Time')::float >= 0 AS times
FROM node_of($$SELECT data FROM scan_item, iopool_read(path, file_offset * 100, 8) AS data$$) AS n;
-- never executed
SELECT n -> 'Ranges' AS ranges, n -> 'Reads' AS reads, n -> 'Read Bytes' AS read_bytes,
	   n -> 'Average In Flight' AS average, n -> 'Maximum In Flight' AS maximum
FROM node_of($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8]) LIMIT 0$$, ', TIMING OFF') AS n;

-- pools and modes are those that have been used, where directories have others
\set dir `mkdir -p "$PG_ABS_BUILDDIR/results/iopool_scan" && cd "$PG_ABS_BUILDDIR/results/iopool_scan" && pwd -P`
SELECT write_file(:'dir' || '/words', words(0, 65536));
SET client_min_messages = 'error';
CREATE SERVER regress_direct FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir', pool 'regress_two', io_mode 'direct');
CREATE SERVER regress_pool FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir', pool 'regress_one');
RESET client_min_messages;
CREATE FUNCTION used(query text, OUT pool text, OUT io_mode text)
LANGUAGE sql AS $$SELECT n ->> 'Pool', n ->> 'I/O Mode' FROM node_of(query, ', TIMING OFF') AS n$$;
SET iopool.io_mode = 'buffered';
SELECT * FROM used($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8])$$);
SELECT * FROM used($$SELECT * FROM iopool_read_batch('regress_direct:words', ARRAY[0, 8], ARRAY[8])$$);
SELECT * FROM used($$SELECT * FROM iopool_read_batch('regress_pool:words', ARRAY[0, 8], ARRAY[8])$$);
SELECT * FROM used($$SELECT data FROM scan_item, iopool_read('regress_direct:words', file_offset, 8) AS data$$);
SELECT * FROM used($$SELECT data FROM scan_item, iopool_read((ARRAY['regress_direct:words', 'iopool_words', 'regress_pool:words'])[id % 3 + 1], file_offset, 8) AS data$$);
-- of all loops
SELECT * FROM used($$SELECT (SELECT count(*) FROM iopool_read_batch(v.path, ARRAY[v.n], ARRAY[8])) FROM (VALUES ('regress_pool:words', 0), ('regress_direct:words', 8)) AS v(path, n)$$);
-- the session's, where nothing has been read
SELECT * FROM used($$SELECT * FROM iopool_read_batch('regress_direct:words', ARRAY[0, 8], ARRAY[8]) LIMIT 0$$);
SELECT * FROM used($$SELECT * FROM iopool_read_batch('regress_direct:words', '{}', ARRAY[8])$$);
SELECT line FROM plan_of($$SELECT * FROM iopool_read_batch('regress_direct:words', ARRAY[0, 8], ARRAY[8])$$) AS line WHERE line ~ 'Pool';
SET iopool.io_mode = 'direct';
SELECT * FROM used($$SELECT data FROM scan_item, iopool_read((ARRAY['regress_direct:words', 'iopool_words'])[id % 2 + 1], file_offset, 8) AS data$$);
RESET iopool.io_mode;
DROP SERVER regress_direct, regress_pool;
DROP FUNCTION used(text);

-- ------------------------------------------------------------------------
-- Rows

SELECT * FROM iopool_read_batch('iopool_words', ARRAY[16, 0, 8], ARRAY[8]);
SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE id < 4;
SELECT count(*), bool_and(data = int8send(id * 8)) FROM scan_item, iopool_read(path, file_offset, length) AS data;
-- in the order of the outer rows, also where their number exceeds all windows
SELECT count(*), bool_and(data = int8send(n * 8)) AS right, bool_and(n = place) AS in_order
FROM (SELECT n, data, row_number() OVER () AS place
	  FROM generate_series(1, 20000) AS n, iopool_read('iopool_words', n * 8, 8) AS data) AS s;
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data ORDER BY id DESC$$);
SELECT * FROM compare($$SELECT id, b.* FROM scan_item, iopool_read_batch(path, ARRAY[file_offset + 8, 0], ARRAY[8]) AS b$$);
SELECT * FROM compare($$SELECT id, b.* FROM scan_item, iopool_read_batch(path, ARRAY[file_offset + 8, 0], ARRAY[8], 'raise', false) AS b ORDER BY id, ordinal$$);
SELECT * FROM compare($$SELECT id, b.data FROM scan_item, iopool_read_batch(ARRAY[path, 'iopool_other'], ARRAY[file_offset, 0], ARRAY[length, length]) AS b$$);
-- a subquery that has been pulled up, below an aggregate
SELECT count(*), sum(length(data)) FROM (SELECT id, file_offset FROM scan_item) AS s, iopool_read('iopool_words', s.file_offset, 8) AS data;
-- no column of the function, of the outer row, or of either
SELECT * FROM compare($$SELECT id FROM scan_item, iopool_read_batch(path, ARRAY[file_offset, 8], ARRAY[8])$$);
SELECT * FROM compare($$SELECT data FROM scan_item, iopool_read(path, 8, 8) AS data$$);
SELECT * FROM compare($$SELECT 1 FROM scan_item, iopool_read_batch(path, ARRAY[file_offset, 8], ARRAY[8])$$);
SELECT * FROM compare($$SELECT count(*) FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8])$$);

-- NULL arguments: one row of NULL from iopool_read(), none from the others
SELECT id, data FROM (VALUES (1, NULL), (2, 'iopool_words'), (3, NULL)) AS v(id, path), iopool_read(path, 8, 8) AS data;
SELECT id, data FROM (VALUES (1, 'iopool_words'), (2, NULL), (3, 'iopool_words')) AS v(id, path), iopool_read_batch(path, ARRAY[8], ARRAY[8]);
SELECT * FROM iopool_read_batch(NULL::text, ARRAY[8], ARRAY[8]);
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read(nullif(path, 'iopool_words'), file_offset, length) AS data$$);
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read(path, nullif(file_offset % 24, 0), length) AS data WHERE data IS NULL$$);
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read_batch(CASE WHEN id % 3 = 0 THEN path END, ARRAY[0], ARRAY[length])$$);

-- whole files, and files that may be missing
CREATE TABLE scan_file (id int PRIMARY KEY, path text);
INSERT INTO scan_file SELECT n, (ARRAY['iopool_words', 'iopool_one', 'iopool_missing', 'iopool_empty', 'iopool_other', NULL])[1 + n % 6] FROM generate_series(1, 300) AS n;
ANALYZE scan_file;
SELECT * FROM plan_of($$SELECT id, data FROM scan_file, iopool_read(path) AS data$$);
SELECT * FROM plan_of($$SELECT id, data FROM scan_file, iopool_read(path, id > 3) AS data$$);
SELECT * FROM plan_of($$SELECT id, data FROM scan_file, iopool_read(path, id, 8, id > 3) AS data$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file, iopool_read(path) AS data WHERE id % 6 <> 2$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file, iopool_read(path, true) AS data$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file LEFT JOIN iopool_read(path, true) AS data ON true$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file, iopool_read(path, id, 8, id > 1) AS data$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file, iopool_read(path, id, 8, CASE WHEN id % 4 > 0 THEN true END) AS data$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file, iopool_read(path) AS data$$);
SELECT * FROM compare($$SELECT id, md5(data) FROM scan_file, iopool_read(path, id < 20) AS data$$);
-- files of which the kernel does not tell the size are read to their end
SET iopool.io_mode = 'buffered';
SELECT nodes_of($$SELECT id, data FROM scan_file, iopool_read('/proc/self/' || CASE id % 2 WHEN 0 THEN 'mounts' ELSE 'cmdline' END) AS data$$);
SELECT count(*), bool_and(data = pg_read_binary_file('/proc/filesystems')) AS same
FROM scan_file, iopool_read('/proc/' || CASE WHEN id > 0 THEN 'filesystems' END) AS data;
RESET iopool.io_mode;

-- negative offsets
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read(path, -file_offset - 1, length) AS data$$);
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read('iopool_words', (id % 3 - 1) * 1048571, 1048579 + id * 100000) AS data WHERE id <= 20$$);
SELECT * FROM compare($$SELECT id, ordinal, data FROM scan_item, iopool_read_batch(path, ARRAY[-file_offset - 1, -8], ARRAY[length])$$);
SELECT * FROM compare($$SELECT ordinal, data FROM iopool_read_batch('iopool_words', '{-8,-16,-1048579,-1048580}', '{8}')$$);
-- LEFT: outer rows without a result are kept
SELECT id, ordinal, data FROM (VALUES (1, ARRAY[0, 8]), (2, '{}'), (3, ARRAY[16])) AS v(id, file_offsets)
	LEFT JOIN iopool_read_batch('iopool_words', file_offsets, ARRAY[8]) ON true;
SELECT id, data FROM (VALUES (1, NULL), (2, 'iopool_words'), (3, NULL)) AS v(id, path)
	LEFT JOIN iopool_read_batch(path, ARRAY[8], ARRAY[8]) ON true;
SELECT * FROM compare($$SELECT id, data FROM scan_item LEFT JOIN iopool_read_batch(path, CASE WHEN id % 3 = 0 THEN ARRAY[8] ELSE '{}' END, ARRAY[8]) ON true$$);
SELECT * FROM compare($$SELECT id, data FROM scan_item LEFT JOIN iopool_read_batch(CASE WHEN id % 3 = 1 THEN path END, ARRAY[8], ARRAY[8]) ON true WHERE data IS NULL$$);
SELECT * FROM compare($$SELECT i.id, data FROM scan_tag AS t LEFT JOIN scan_item AS i ON i.id = t.item_id * 2 LEFT JOIN iopool_read(i.path, i.file_offset, 8) AS data ON true$$);
SELECT * FROM compare($$SELECT t.item_id, s.id, s.data FROM scan_tag AS t LEFT JOIN (SELECT id, data FROM scan_item, iopool_read(path, file_offset, 8) AS data) AS s ON s.id = t.item_id * 2 ORDER BY 1$$);
SELECT * FROM compare($$SELECT t.item_id, s.data FROM scan_tag AS t LEFT JOIN (scan_item AS i LEFT JOIN iopool_read(i.path, i.file_offset, 8) AS data ON true) AS s ON s.id = t.item_id * 2 ORDER BY 1$$);
SELECT * FROM compare($$SELECT t.item_id, data FROM scan_tag AS t LEFT JOIN (SELECT id, coalesce(file_offset, 8) AS o FROM scan_item) AS i ON i.id = t.item_id * 2 LEFT JOIN iopool_read('iopool_words', coalesce(i.o, 80), 8) AS data ON true ORDER BY 1$$);

-- conditions
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data WHERE data > '\x0000000000000100' AND get_byte(data, 7) > id % 200$$);
SELECT * FROM compare($$SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16, 24], ARRAY[8]) WHERE ordinal % 2 = 0$$);

-- one after the other, each from what the one before has read
SELECT * FROM compare($$SELECT id, a, b FROM scan_item, iopool_read(path, file_offset, length) AS a, iopool_read(path, get_byte(a, 7)::bigint * 8, length) AS b$$);
-- arguments from a subquery for each row
SELECT * FROM compare($$SELECT id, data FROM scan_item AS i, iopool_read_batch(path, (SELECT array_agg(j.file_offset ORDER BY j.id) FROM scan_item AS j WHERE j.id BETWEEN i.id AND i.id + 2), ARRAY[8]) WHERE id % 50 = 0$$);
-- above it: merge joins, windows, set-returning functions, unions
SELECT * FROM compare($$SELECT id, data, lag(data) OVER (ORDER BY id), generate_series(1, 2) FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT * FROM compare($$SELECT data FROM (SELECT * FROM scan_item UNION ALL SELECT * FROM scan_item) AS u, iopool_read(path, file_offset, length) AS data$$);
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT * FROM compare($$SELECT a.id, a.data, b.data
	FROM (SELECT id, data FROM scan_item, iopool_read(path, file_offset, 8) AS data ORDER BY id OFFSET 0) AS a
	JOIN (SELECT id, data FROM scan_item, iopool_read(path, file_offset, 16) AS data ORDER BY id OFFSET 0) AS b USING (id)$$);
RESET enable_hashjoin;
RESET enable_nestloop;
-- workers read for themselves
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(*) FROM plan_of($$SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data$$) AS line WHERE line ~ 'Gather|IopoolLateral|Parallel Seq Scan';
SELECT count(*), bool_and(data = int8send(id * 8)), count(DISTINCT id) FROM scan_item, iopool_read(path, file_offset, length) AS data;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- more outer rows than the window has room for, and results larger than it
SET iopool.max_in_flight_bytes = '4kB';
SELECT count(*), bool_and(data = words(n * 5000, 10000)) FROM generate_series(0, 99) AS n, iopool_read('iopool_words', n * 5000, 10000) AS data;
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read_batch(path, ARRAY[file_offset, 0], ARRAY[2000])$$);
RESET iopool.max_in_flight_bytes;
SET iopool.pool = 'regress_one';
SELECT * FROM compare($$SELECT id, data FROM scan_item, iopool_read_batch(path, ARRAY[file_offset, 0], ARRAY[2000])$$);
RESET iopool.pool;

-- ------------------------------------------------------------------------
-- Scanned again

-- with other arguments: another call
SELECT * FROM compare($$SELECT id, (SELECT string_agg(encode(data, 'hex'), ' ') FROM iopool_read_batch(i.path, ARRAY[i.file_offset, 16], ARRAY[8])) FROM scan_item AS i$$);
SELECT * FROM compare($$SELECT id, (SELECT data FROM iopool_read_batch(i.path, ARRAY[i.file_offset, 16], ARRAY[8]) LIMIT 1) FROM scan_item AS i$$);
SELECT * FROM compare($$SELECT id, EXISTS (SELECT FROM iopool_read_batch(i.path, ARRAY[i.file_offset, 16], ARRAY[8]) AS b WHERE b.ordinal = 2) FROM scan_item AS i$$);
SELECT * FROM compare($$SELECT t.item_id, (SELECT sum(length(data)) FROM scan_item AS i, iopool_read(i.path, i.file_offset + t.item_id, 8) AS data WHERE i.id < t.item_id) FROM scan_tag AS t WHERE t.item_id < 50$$);
-- with the same: what has been read is handed out once more
SET enable_material = off;
SELECT ranges_of($$SELECT * FROM generate_series(1, 5) AS n LEFT JOIN iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8]) AS b ON b.ordinal > n$$) AS three;
SELECT n, b.ordinal, b.data FROM generate_series(1, 4) AS n LEFT JOIN iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8]) AS b ON b.ordinal > n ORDER BY 1, 2;
RESET enable_material;

-- ------------------------------------------------------------------------
-- Cursors and prepared statements

BEGIN;
DECLARE c CURSOR FOR SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data ORDER BY id;
FETCH 2 FROM c;
-- its settings are those of its first row
SET LOCAL iopool.pool = 'regress_missing';
SET LOCAL iopool.io_mode = 'direct';
SET LOCAL iopool.max_in_flight_bytes = '4kB';
SET LOCAL iopool.enable_stream_scan = off;
MOVE 200 FROM c;
FETCH 1 FROM c;
SET LOCAL iopool.pool = 'default';
-- other reads between its rows, and a rollback beneath it
SELECT iopool_read('iopool_other', 8, 8);
SET LOCAL iopool.enable_stream_scan = on;
SELECT count(*) FROM scan_item, iopool_read(path, file_offset, length) AS data;
SAVEPOINT s;
MOVE 300 FROM c;
SELECT 1 / 0 FROM scan_item, iopool_read(path, file_offset, length) AS data;
ROLLBACK TO s;
FETCH 1 FROM c;
COMMIT;
-- backwards only when it is told beforehand
BEGIN;
DECLARE c CURSOR FOR SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16, 24], ARRAY[8]);
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16, 24], ARRAY[8]);
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH LAST FROM c;
FETCH FIRST FROM c;
COMMIT;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data ORDER BY id;
FETCH 1 FROM c;
COMMIT;
FETCH 1 FROM c;
CLOSE c;
-- a cursor whose failure is rolled back
BEGIN;
DECLARE c CURSOR FOR SELECT id, data FROM scan_item, iopool_read(CASE WHEN id < 40 THEN path ELSE 'iopool_missing' END, file_offset, length) AS data ORDER BY id;
FETCH 1 FROM c;
SAVEPOINT s;
MOVE 100 FROM c;
ROLLBACK TO s;
SELECT iopool_read('iopool_words', 8, 8);
COMMIT;
-- loops that commit, and that catch errors
DO $$
DECLARE
	r record;
	n int = 0;
BEGIN
	FOR r IN SELECT id, data FROM scan_item, iopool_read(path, file_offset, length) AS data ORDER BY id LOOP
		n := n + 1;
		IF r.data <> int8send(r.id * 8) THEN
			RAISE EXCEPTION 'wrong';
		END IF;
		BEGIN
			PERFORM 1 / (n % 50);
			PERFORM b.data FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8]) AS b LIMIT 1;
		EXCEPTION WHEN division_by_zero THEN
		END;
		IF n % 100 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
	RAISE NOTICE '% rows', n;
END
$$;

SET plan_cache_mode = force_generic_plan;
PREPARE batch(text, bigint[], bigint[]) AS SELECT ordinal, data FROM iopool_read_batch($1, $2, $3);
EXECUTE batch('iopool_words', '{0,8}', '{8}');
EXECUTE batch('iopool_one', '{0}', '{8}');
EXECUTE batch(NULL, '{0}', '{8}');
PREPARE items(text, int) AS SELECT id, data FROM scan_item, iopool_read($1, file_offset, length) AS data WHERE id < $2;
SELECT * FROM plan_of($$EXECUTE items('iopool_words', 3)$$) AS line WHERE line ~ 'Custom|Path';
EXECUTE items('iopool_words', 3);
EXECUTE items('iopool_other', 3);
EXECUTE items(NULL, 3);
RESET plan_cache_mode;

-- ------------------------------------------------------------------------
-- Errors and rights

SELECT * FROM failure($$SELECT data FROM iopool_read_batch('iopool_missing', ARRAY[0, 8], ARRAY[8])$$);
SELECT * FROM iopool_read_batch(ARRAY['iopool_words', 'iopool_missing', 'iopool_one'], ARRAY[0, 8, 0], ARRAY[8, 8, 8], on_error => 'report');
SELECT * FROM failure($$SELECT data FROM scan_item, iopool_read('iopool_missing', file_offset, length) AS data$$);
SELECT id, ordinal, data, error FROM (VALUES (1, 'iopool_words'), (2, 'iopool_missing')) AS v(id, path), iopool_read_batch(path, ARRAY[0, 8], ARRAY[8], 'report');
SELECT * FROM failure($$SELECT data FROM (VALUES ('iopool_words'), ('iopool_missing')) AS v(path), iopool_read_batch(path, ARRAY[0, 8], ARRAY[8]) AS b$$);
SELECT * FROM failure($$SELECT data FROM scan_item, iopool_read(path, file_offset, -length) AS data$$);
SELECT * FROM failure($$SELECT data FROM scan_item, iopool_read_batch(path, ARRAY[0, 8], ARRAY[8, -8])$$);
SELECT * FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8, -8])$$);
SELECT * FROM failure($$SELECT data FROM scan_item, iopool_read_batch(path, ARRAY[0, NULL], ARRAY[8])$$);
SELECT * FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0, NULL], ARRAY[8])$$);
SELECT * FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8], 'ignore')$$);
SET iopool.pool = 'regress_missing';
SELECT state, message FROM failure($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT state, message FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state, message FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', '{}', ARRAY[8])$$);
RESET iopool.pool;
-- the file of a row that is read ahead is missed when the row is due
SELECT id, data FROM scan_item, iopool_read(CASE id WHEN 3 THEN 'iopool_missing' ELSE path END, file_offset, length) AS data LIMIT 2;
-- and so is a range that cannot be, and what cannot be computed for it
SELECT state FROM failure($$SELECT data FROM scan_item, iopool_read(path, 8, CASE id WHEN 3 THEN -1 ELSE 8 END) AS data LIMIT 2$$);
SELECT state FROM failure($$SELECT data FROM scan_item, iopool_read(path, 8, CASE id WHEN 3 THEN -1 ELSE 8 END) AS data LIMIT 3$$);
SELECT id, data FROM scan_item, iopool_read(path, 8 / (3 - id), length) AS data LIMIT 2;
SELECT state FROM failure($$SELECT data FROM scan_item, iopool_read(path, 8 / (3 - id), length) AS data LIMIT 3$$);
-- nothing of all that is left behind
SELECT sum(in_use) AS in_use, sum(waiting) AS waiting FROM iopool_pools;

-- EXECUTE is looked at when the query begins, as by the plain plan
CREATE ROLE regress_iopool_nobody;
GRANT SELECT ON scan_item TO regress_iopool_nobody;
SET ROLE regress_iopool_nobody;
SELECT * FROM failure($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT * FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT * FROM failure($$EXPLAIN SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT * FROM failure($$EXECUTE batch('iopool_words', '{0,8}', '{8}')$$);
SELECT * FROM failure($$EXECUTE items('iopool_words', 3)$$);
SET iopool.enable_stream_scan = off;
SELECT * FROM failure($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
RESET iopool.enable_stream_scan;
RESET ROLE;
-- the right to the path, as well
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint), iopool_read_batch(text, bigint[], bigint[], text, boolean) TO regress_iopool_nobody;
SET ROLE regress_iopool_nobody;
SELECT state FROM failure($$SELECT data FROM scan_item, iopool_read(path, file_offset, length) AS data$$);
SELECT state FROM failure($$SELECT data FROM iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8])$$);
RESET ROLE;
REVOKE EXECUTE ON FUNCTION iopool_read(text, bigint, bigint), iopool_read_batch(text, bigint[], bigint[], text, boolean) FROM regress_iopool_nobody;
DEALLOCATE ALL;

DROP TABLE scan_item, scan_tag, scan_file;
DROP SEQUENCE scan_seq;
DROP ROLE regress_iopool_nobody;
DROP FUNCTION scan_next, analyzed;
