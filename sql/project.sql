-- IopoolProject: calls in the select list, in arguments of aggregates and in
-- WHERE are read ahead, with the rows, the errors and the rights of the plain
-- plan.
--
-- Plans and rows are compared with what iopool.enable_stream_scan = off gives.

-- rows of 8 bytes, each with the word that tells its offset
CREATE TABLE project_item (id int PRIMARY KEY, kind int, path text, file_offset bigint, length bigint, note text);
INSERT INTO project_item SELECT n, n % 7, 'iopool_words', n * 8, 8, '' FROM generate_series(1, 1000) AS n;
CREATE TABLE project_tag (item_id int, tag text);
INSERT INTO project_tag SELECT n, CASE WHEN n % 400 = 0 THEN 'rare' ELSE 'common' END FROM generate_series(1, 1000) AS n;
ANALYZE project_item, project_tag;
CREATE SEQUENCE project_seq;

-- ------------------------------------------------------------------------
-- Plans

-- a target list, whose other columns are computed in the node
SELECT * FROM plan_of($$SELECT id, iopool_read(path, file_offset, length) FROM project_item$$);
SELECT * FROM plan_of($$SELECT id, length(iopool_read(path, file_offset, length)), nextval('project_seq') FROM project_item$$, ', VERBOSE');
-- each call once
SELECT * FROM plan_of($$SELECT iopool_read(path, file_offset, length), md5(iopool_read(path, file_offset, length)), iopool_read(path, 0, 8) FROM project_item$$, ', VERBOSE');
-- an argument of an aggregate, as a whole
SELECT * FROM plan_of($$SELECT kind, sum(length(iopool_read(path, file_offset, length))) FROM project_item GROUP BY kind$$, ', VERBOSE');
-- a condition, and the call that both have
SELECT * FROM plan_of($$SELECT id FROM project_item WHERE iopool_read(path, file_offset, length) > '\x0000' AND kind = 3$$);
SELECT * FROM plan_of($$SELECT id, md5(iopool_read(path, file_offset, length)) FROM project_item WHERE length(iopool_read(path, file_offset, length)) > 7$$, ', VERBOSE');
SELECT * FROM plan_of($$SELECT sum(length(iopool_read(path, file_offset, length))) FROM project_item WHERE length(iopool_read(path, file_offset, length)) > 7$$, ', VERBOSE');
SELECT * FROM plan_of($$SELECT iopool_read(path, file_offset, length), iopool_read(path, 0, 8) FROM project_item WHERE length(iopool_read(path, file_offset, length)) > 7$$, ', VERBOSE');
-- one that has the result of another as an argument
SELECT * FROM plan_of($$SELECT iopool_read(path, get_byte(iopool_read(path, file_offset, 8), 7), 8) FROM project_item$$, ', VERBOSE');
-- above a sort and below a LIMIT
SELECT * FROM plan_of($$SELECT id, iopool_read(path, file_offset, length) FROM project_item ORDER BY note LIMIT 3$$);
SELECT * FROM plan_of($$SELECT id, iopool_read(path, file_offset, length) FROM project_item ORDER BY random() LIMIT 3$$);
-- above and below a join
SELECT * FROM plan_of($$SELECT i.id, iopool_read(path, file_offset, length), t.tag FROM project_item AS i JOIN project_tag AS t ON t.item_id = i.id WHERE t.tag = 'rare'$$);
SELECT * FROM plan_of($$SELECT i.id FROM project_item AS i JOIN project_tag AS t ON t.item_id = i.id WHERE iopool_read(path, file_offset, length) IS NOT NULL$$);
-- other statements
SELECT * FROM plan_of($$UPDATE project_item SET note = md5(iopool_read(path, file_offset, length)) WHERE kind = 2$$);
SELECT * FROM plan_of($$UPDATE project_item AS i SET note = iopool_read(path, file_offset, length)::text FROM project_tag AS t WHERE t.item_id = i.id$$);
SELECT * FROM plan_of($$DELETE FROM project_item WHERE iopool_read(path, file_offset, length) IS NULL$$);
SELECT * FROM plan_of($$INSERT INTO project_item SELECT id + 5000, kind, path, 0, 0, md5(iopool_read(path, file_offset, length)) FROM project_item$$);
SELECT * FROM plan_of($$MERGE INTO project_tag AS t USING (SELECT id, iopool_read(path, file_offset, length) AS d FROM project_item) AS s ON s.id = t.item_id WHEN MATCHED THEN UPDATE SET tag = s.d::text$$);
-- views, WITH, set operations, sub-selects
CREATE VIEW project_view AS SELECT id, kind, iopool_read(path, file_offset, length) AS data FROM project_item;
SELECT * FROM plan_of($$SELECT id, data FROM project_view WHERE kind = 1$$);
SELECT nodes_of($$WITH w AS MATERIALIZED (SELECT id, iopool_read(path, file_offset, length) AS d FROM project_item) SELECT count(*) FROM w AS a, w AS b$$);
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length) FROM project_item UNION ALL SELECT iopool_read(path, 0, 8) FROM project_item$$);
SELECT nodes_of($$SELECT t.tag, (SELECT count(iopool_read(path, file_offset, length)) FROM project_item AS i WHERE i.kind = t.item_id) FROM project_tag AS t$$);
SELECT nodes_of($$SELECT x.id, f.data FROM (SELECT id, iopool_read(path, file_offset, length) AS d FROM project_item) AS x, iopool_read('iopool_words', length(x.d), 8) AS f(data)$$);
-- a function that is inlined
CREATE FUNCTION project_head(path text, file_offset bigint) RETURNS bytea LANGUAGE sql AS 'SELECT substr(iopool_read($1, $2, 16), 1, 4)';
SELECT * FROM plan_of($$SELECT project_head(path, file_offset) FROM project_item$$, ', VERBOSE');
-- partitions, and rows of several tables
CREATE TABLE project_parts (LIKE project_item) PARTITION BY RANGE (id);
CREATE TABLE project_parts_1 PARTITION OF project_parts FOR VALUES FROM (0) TO (500);
CREATE TABLE project_parts_2 PARTITION OF project_parts DEFAULT;
INSERT INTO project_parts SELECT * FROM project_item;
ANALYZE project_parts;
SELECT * FROM plan_of($$SELECT id, iopool_read(path, file_offset, length) FROM project_parts$$);
SELECT * FROM plan_of($$SELECT id FROM project_parts WHERE length(iopool_read(path, file_offset, length)) = 8$$);

-- The rows of the nodes: those of the plain plan.
SELECT * FROM compare($$SELECT id, iopool_read(path, file_offset, length) FROM project_item$$);
SELECT * FROM compare($$SELECT kind, sum(length(iopool_read(path, file_offset, length))), md5(string_agg(iopool_read(path, file_offset, length), '' ORDER BY id)) FROM project_item GROUP BY kind HAVING count(DISTINCT iopool_read(path, file_offset, length)) > 142$$);
SELECT * FROM compare($$SELECT id, iopool_read(path, get_byte(iopool_read(path, file_offset, 8), 7), 8) FROM project_item WHERE get_byte(iopool_read(path, file_offset, 8), 7) % 5 = 0$$);
SELECT * FROM compare($$SELECT id, iopool_read(path, CASE WHEN id % 3 > 0 THEN file_offset END, length) FROM project_item$$);
SELECT * FROM compare($$SELECT id, row_number() OVER (ORDER BY id DESC), iopool_read(path, file_offset, length) FROM project_item$$);
SELECT * FROM compare($$SELECT id, iopool_read(path, file_offset, length) FROM project_parts$$);
SELECT * FROM compare($$SELECT id, iopool_read(path, -file_offset - 1, length) FROM project_item$$);
-- longer than the file, from its beginning, its middle and its end
SELECT * FROM compare($$SELECT id, iopool_read('iopool_words', (id % 3 - 1) * 1048571, 1048579 + id * 100000) FROM project_item WHERE id <= 20$$);
SELECT * FROM plan_of($$SELECT iopool_read(path), iopool_read(path, file_offset, length), iopool_read(path, 8, kind, true), iopool_read(path, kind > 2) FROM project_item$$);
SELECT * FROM compare($$SELECT id, md5(iopool_read(path)), iopool_read(path, file_offset, length, id > 8), length(iopool_read(path, true)) FROM project_item WHERE id < 50$$);
SELECT * FROM compare($$SELECT id, iopool_read((ARRAY['iopool_one', 'iopool_missing', 'iopool_other', 'iopool_empty', NULL])[1 + kind % 5], true) FROM project_item$$);
SELECT * FROM compare($$SELECT id, iopool_read((ARRAY['iopool_one', 'iopool_missing', 'iopool_other', 'iopool_empty', NULL])[1 + kind % 5]) FROM project_item$$);
SELECT * FROM compare($$SELECT kind, count(*), count(iopool_read(CASE kind WHEN 3 THEN 'iopool_missing' ELSE path END, file_offset, length, true)) FROM project_item GROUP BY kind$$);
SELECT * FROM compare($$SELECT id FROM project_item WHERE iopool_read(CASE kind WHEN 3 THEN 'iopool_missing' ELSE path END, file_offset, length, true) IS NULL$$);
SET iopool.io_mode = 'buffered';
SELECT * FROM compare($$SELECT id, md5(iopool_read(CASE WHEN id > 0 THEN '/proc/filesystems' END)) FROM project_item WHERE id < 40$$);
RESET iopool.io_mode;
SELECT * FROM compare($$SELECT t.item_id, (SELECT string_agg(iopool_read(path, file_offset, length), '') FROM project_item AS i WHERE i.id BETWEEN t.item_id AND t.item_id + 3) FROM project_tag AS t WHERE item_id < 20$$);
SELECT * FROM compare($$SELECT x.kind, i.id, x.d FROM (SELECT DISTINCT kind, iopool_read(path, kind * 8, 8) AS d FROM project_item) AS x LEFT JOIN project_item AS i ON i.id = x.kind$$);
-- what is read, once for each row
SELECT ranges_of($$SELECT iopool_read(path, file_offset, length), md5(iopool_read(path, file_offset, length)) FROM project_item WHERE iopool_read(path, file_offset, length) IS NOT NULL AND kind = 3$$) AS ranges;
SELECT ranges_of($$SELECT iopool_read(path, file_offset, length) FROM project_item LIMIT 10$$) BETWEEN 10 AND 40 AS few;
-- a sequence is called for the rows that are asked for
SELECT setval('project_seq', 1);
SELECT id, iopool_read(path, file_offset, length), nextval('project_seq') FROM project_item LIMIT 3;
SELECT nextval('project_seq') AS "three more, and this one";

-- ------------------------------------------------------------------------
-- What keeps the plain plan

SELECT nodes_of($$SELECT iopool_read('iopool_words', 0, 8)$$);
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length) FROM project_item WHERE id = 7$$);
SELECT nodes_of($$SELECT CASE WHEN id > 3 THEN iopool_read(path, file_offset, length) END FROM project_item$$);
SELECT nodes_of($$SELECT coalesce(note::bytea, iopool_read(path, file_offset, length)) FROM project_item$$);
SELECT nodes_of($$SELECT nullif(iopool_read(path, file_offset, length), '\x00') FROM project_item$$);
SELECT nodes_of($$SELECT id > 3 AND iopool_read(path, file_offset, length) = '\x00' FROM project_item$$);
SELECT nodes_of($$SELECT id FROM project_item WHERE id > 3 OR iopool_read(path, file_offset, length) = '\x00'$$);
SELECT nodes_of($$SELECT count(iopool_read(path, file_offset, length)) FILTER (WHERE id > 3) FROM project_item$$);
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length), generate_series(1, 2) FROM project_item$$);
SELECT nodes_of($$SELECT kind, sum(length(iopool_read(path, file_offset, length))) FROM project_item GROUP BY GROUPING SETS ((kind), ())$$);
SELECT nodes_of($$SELECT kind, iopool_read('iopool_words', kind, 8), count(*) FROM project_item GROUP BY ROLLUP (kind) ORDER BY 1$$);
SELECT nodes_of($$UPDATE project_item SET note = '' RETURNING iopool_read(path, file_offset, length)$$);
SELECT nodes_of($$INSERT INTO project_item VALUES (1) ON CONFLICT (id) DO UPDATE SET note = md5(iopool_read('iopool_words', 0, 8))$$);
SELECT nodes_of($$MERGE INTO project_item AS i USING project_tag AS t ON t.item_id = i.id WHEN MATCHED THEN UPDATE SET note = md5(iopool_read(path, file_offset, length))$$);
-- rows are not taken ahead where that would show
SELECT nodes_of($$SELECT iopool_read(path, file_offset * nextval('project_seq'), length) FROM project_item$$);
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length) FROM project_item WHERE random() < 2$$);
SELECT nodes_of($$SELECT iopool_read('iopool_words', n, 8) FROM (SELECT nextval('project_seq') AS n FROM project_item) AS s$$);
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length) FROM (SELECT * FROM project_item FOR UPDATE) AS i$$);
SELECT nodes_of($$SELECT id FROM project_item WHERE iopool_read(path, file_offset, length) IS NOT NULL AND random() < 2$$);
-- but are below row locks, which come after
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length) FROM project_item FOR UPDATE$$);
-- a function that somebody has put something around
ALTER FUNCTION iopool_read(text, bigint, bigint) SET work_mem = '1MB';
SELECT nodes_of($$SELECT iopool_read(path, file_offset, length) FROM project_item$$);
ALTER FUNCTION iopool_read(text, bigint, bigint) RESET ALL;

-- ------------------------------------------------------------------------
-- Plans that are kept

SET plan_cache_mode = force_generic_plan;
PREPARE project(int) AS SELECT id, iopool_read(path, file_offset, length) FROM project_item WHERE id < $1;
SELECT * FROM plan_of('EXECUTE project(4)');
EXECUTE project(4);
SELECT ranges_of('EXECUTE project(4)');
-- the node makes the plain call
SET iopool.enable_stream_scan = off;
SELECT ranges_of('EXECUTE project(4)');
EXECUTE project(4);
RESET iopool.enable_stream_scan;
DEALLOCATE project;
RESET plan_cache_mode;

-- the query of a loop, and an expression in it
DO $$
DECLARE
	r record;
	n bigint := 0;
BEGIN
	FOR r IN SELECT id, file_offset, path, iopool_read(path, file_offset, length) AS d FROM project_item LOOP
		n := n + (r.d = int8send(r.file_offset))::int + length(iopool_read(r.path, 0, 1));
	END LOOP;
	RAISE NOTICE '%', n;
END
$$;

-- ------------------------------------------------------------------------
-- Errors

-- when their row is due: a file that is missing, a range that cannot be, and
-- what cannot be computed
SELECT id, iopool_read(CASE id WHEN 3 THEN 'iopool_missing' ELSE path END, file_offset, length) FROM project_item LIMIT 2;
SELECT id, iopool_read(path, CASE id WHEN 3 THEN -1 ELSE 8 END, length) FROM project_item LIMIT 2;
SELECT id, iopool_read(path, 8 / (3 - id), length) FROM project_item LIMIT 2;
SELECT * FROM failure($$SELECT id, iopool_read(CASE id WHEN 3 THEN 'iopool_missing' ELSE path END, file_offset, length) FROM project_item$$);
SELECT * FROM failure($$SELECT id, iopool_read(path, file_offset, CASE id WHEN 3 THEN -1 ELSE 8 END) FROM project_item$$);
SELECT * FROM failure($$SELECT id, iopool_read(path, 8 / (3 - id), length) FROM project_item$$);
SELECT * FROM failure($$SELECT count(*) FROM project_item WHERE iopool_read(path, 8 / (3 - id), length) IS NULL$$);
-- what one condition leaves out, the next one does not read
SELECT count(*) FROM project_item WHERE iopool_read(path, file_offset, length) IS NULL AND iopool_read('iopool_gone', file_offset, length) IS NULL;
SELECT count(*) FROM project_item WHERE iopool_read(path, file_offset, length) IS NULL AND (iopool_read('iopool_gone', file_offset, length) IS NULL OR id = 7);
-- what an argument depends on may be changed by what stands beside the call
SELECT set_config('project.offset', '0', false);
SELECT count(*) FILTER (WHERE s::bigint <> ('x' || encode(d, 'hex'))::bit(64)::bigint) AS wrong, count(*)
FROM (SELECT set_config('project.offset', (id * 8)::text, false) AS s, iopool_read('iopool_words', current_setting('project.offset')::bigint, 8) AS d FROM project_item OFFSET 0) AS x;
SELECT count(set_config('project.offset', (id * 8)::text, false)), md5(string_agg(iopool_read('iopool_words', current_setting('project.offset')::bigint, 8), ''))
	= (SELECT md5(string_agg(iopool_read('iopool_words', id * 8, 8), '')) FROM project_item) AS is_right FROM project_item;
-- a sort can go backwards
BEGIN;
SET LOCAL enable_indexscan = off;
DECLARE c CURSOR FOR SELECT id, iopool_read('iopool_words', id * 8, 8) FROM project_item ORDER BY id;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
-- the first of two calls
SELECT * FROM failure($$SELECT iopool_read(path, 8 / (3 - id), length), iopool_read(path, CASE id WHEN 3 THEN -1 ELSE 8 END, length) FROM project_item$$);

-- ------------------------------------------------------------------------
-- Cursors

SELECT * FROM plan_of('DECLARE c CURSOR FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item');
SELECT nodes_of('DECLARE c NO SCROLL CURSOR FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item');
SELECT nodes_of('DECLARE c CURSOR FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item ORDER BY note');
SELECT * FROM plan_of('DECLARE c SCROLL CURSOR FOR SELECT i.id, iopool_read(path, file_offset, length) FROM project_item AS i JOIN project_tag AS t ON t.item_id = i.id');
BEGIN;
-- one that may be asked to go back
DECLARE c CURSOR FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item WHERE length(iopool_read(path, file_offset, length)) = 8;
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
UPDATE project_item SET note = 'current' WHERE CURRENT OF c RETURNING id;
CLOSE c;
DECLARE c CURSOR FOR SELECT * FROM project_view WHERE id > 3;
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
CLOSE c;
-- one that may not, by the name of its row; ahead of which others are taken
DECLARE c NO SCROLL CURSOR FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item WHERE length(iopool_read(path, file_offset, length)) = 8 AND id < 900;
MOVE 300 FROM c;
FETCH 1 FROM c;
UPDATE project_item SET note = 'current' WHERE CURRENT OF c RETURNING id;
CLOSE c;
DECLARE c CURSOR FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item WHERE id < 900 FOR UPDATE;
MOVE 300 FROM c;
FETCH 1 FROM c;
DELETE FROM project_item WHERE CURRENT OF c RETURNING id;
CLOSE c;
-- one that goes backwards over what a sort keeps, or a Materialize
DECLARE c SCROLL CURSOR FOR SELECT i.id, iopool_read(path, file_offset, length) FROM project_item AS i JOIN project_tag AS t ON t.item_id = i.id ORDER BY i.id;
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
CLOSE c;
DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT id, iopool_read(path, file_offset, length) FROM project_item ORDER BY id;
FETCH 1 FROM c;
ROLLBACK;

-- ------------------------------------------------------------------------
-- Rights

-- of the role that runs the query; below a security barrier, its condition first
CREATE ROLE regress_iopool_reader;
GRANT SELECT, UPDATE ON project_item, project_view TO regress_iopool_reader;
CREATE FUNCTION project_leak(data bytea) RETURNS boolean LANGUAGE plpgsql STABLE COST 0.0001 AS $$BEGIN RAISE NOTICE 'leak: %', data; RETURN true; END$$;
ALTER TABLE project_item ENABLE ROW LEVEL SECURITY;
CREATE POLICY project_policy ON project_item USING (id < 4);
SET ROLE regress_iopool_reader;
SELECT state FROM failure($$SELECT iopool_read(path, file_offset, length) FROM project_item$$);
SELECT state FROM failure($$SELECT data FROM project_view$$);
SELECT state FROM failure($$EXPLAIN SELECT data FROM project_view$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO regress_iopool_reader;
SET ROLE regress_iopool_reader;
SELECT * FROM failure($$SELECT iopool_read(path, file_offset, length) FROM project_item$$);
-- the right to a path, when its row is due
SELECT id, iopool_read(CASE WHEN id = 3 THEN path ELSE NULL END, file_offset, length) FROM project_item LIMIT 2;
SELECT state FROM failure($$SELECT id, iopool_read(CASE WHEN id = 3 THEN path ELSE NULL END, file_offset, length) FROM project_item LIMIT 3$$);
RESET ROLE;
GRANT pg_read_server_files TO regress_iopool_reader;
SET ROLE regress_iopool_reader;
SELECT id FROM project_item WHERE project_leak(iopool_read(path, file_offset, length));
SELECT * FROM plan_of($$SELECT id FROM project_item WHERE project_leak(iopool_read(path, file_offset, length))$$);
RESET ROLE;
-- a policy that reads comes before what may leak, and is not moved behind it
DROP POLICY project_policy ON project_item;
CREATE POLICY project_policy ON project_item USING (get_byte(iopool_read(path, file_offset, length), 7) IN (8, 16));
SET ROLE regress_iopool_reader;
SELECT count(*) FROM project_item WHERE id < 10 AND project_leak(note::bytea);
SELECT nodes_of($$SELECT count(*) FROM project_item WHERE id < 10 AND project_leak(note::bytea)$$);
RESET ROLE;

-- nothing of all that is left behind
SELECT sum(in_use) AS in_use, sum(waiting) AS waiting FROM iopool_pools;

DROP VIEW project_view;
DROP TABLE project_item, project_tag, project_parts;
DROP SEQUENCE project_seq;
DROP FUNCTION project_head, project_leak;
DROP OWNED BY regress_iopool_reader;
DROP ROLE regress_iopool_reader;
