-- Where arguments come from.  What a node takes ahead, and what a request
-- keeps, is read after the evaluation that gave the arguments, and must not
-- depend on the memory that they were in.
--
-- Each group has its own part of the file, and its number of ranges, most of
-- them too long an array for a header of one byte, which is copied anyway.

CREATE TABLE arg_group AS SELECT g AS id FROM generate_series(1, 40) AS g;
CREATE TABLE arg_member AS
	SELECT g AS id, 8 * (g * 1000 + k * 8)::bigint AS off, 8::bigint AS len,
		CASE WHEN k % 2 = 0 THEN 'iopool_words' ELSE './iopool_words' END AS path
	FROM generate_series(1, 40) AS g, generate_series(0, 10 + g % 50) AS k;
ANALYZE arg_group, arg_member;

-- the same as arrays in columns: as they are, compressed, out of line
CREATE TABLE arg_plain AS
	SELECT id, array_agg(off ORDER BY off) AS offs, array_agg(len ORDER BY off) AS lens, array_agg(path ORDER BY off) AS paths
	FROM arg_member GROUP BY id ORDER BY id;
CREATE TABLE arg_compressed (LIKE arg_plain);
INSERT INTO arg_compressed
	SELECT id, offs || array_fill(offs[1], ARRAY[500]), lens || array_fill(8::bigint, ARRAY[500]), paths || array_fill('iopool_words'::text, ARRAY[500])
	FROM arg_plain;
CREATE TABLE arg_external (LIKE arg_plain);
ALTER TABLE arg_external ALTER offs SET STORAGE EXTERNAL, ALTER lens SET STORAGE EXTERNAL, ALTER paths SET STORAGE EXTERNAL;
INSERT INTO arg_external SELECT * FROM arg_compressed;
ANALYZE arg_plain, arg_compressed, arg_external;
SELECT count(DISTINCT pg_column_compression(offs)) AS "is compressed", bool_and(pg_column_size(offs) < 1000) AS "small" FROM arg_compressed;
SELECT bool_and(pg_column_size(offs) > 4000) AS "is external" FROM arg_external;

CREATE DOMAIN arg_offsets AS bigint[] CHECK (cardinality(VALUE) >= 0);
CREATE FUNCTION arg_offs_plpgsql(g int) RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
DECLARE
	offs bigint[] = '{}';
	m record;
BEGIN
	FOR m IN SELECT off FROM arg_member WHERE id = g ORDER BY off LOOP
		offs := offs || m.off;
	END LOOP;
	RETURN offs;
END
$$;
CREATE FUNCTION arg_offs_sql(g int) RETURNS bigint[] LANGUAGE sql STABLE AS $$
	SELECT array_agg(off ORDER BY off) FROM arg_member WHERE id = g
$$;

-- Expressions for the arguments, of groups g.
CREATE TABLE arg_offsets_from (no serial, expr text);
INSERT INTO arg_offsets_from (expr) VALUES
	('(SELECT array_agg(off ORDER BY off) FROM arg_member m WHERE m.id = g.id)'),
	('ARRAY(SELECT off FROM arg_member m WHERE m.id = g.id ORDER BY off)'),
	('(SELECT offs FROM arg_plain m WHERE m.id = g.id)'),
	('(SELECT offs FROM arg_compressed m WHERE m.id = g.id)'),
	('(SELECT offs FROM arg_external m WHERE m.id = g.id)'),
	('coalesce((SELECT array_agg(off ORDER BY off) FROM arg_member m WHERE m.id = g.id), ''{}'')'),
	('CASE WHEN g.id % 2 = 0 THEN (SELECT array_agg(off ORDER BY off) FROM arg_member m WHERE m.id = g.id) ELSE (SELECT offs FROM arg_plain m WHERE m.id = g.id) END'),
	('(SELECT array_agg(off ORDER BY off) FROM arg_member m WHERE m.id = g.id)::arg_offsets'),
	('arg_offs_plpgsql(g.id)'),
	('arg_offs_sql(g.id)');
CREATE TABLE arg_call (no serial, form text, call text);
INSERT INTO arg_call (form, call) VALUES
	('length', 'iopool_read_batch(''iopool_words'', OFFS, ARRAY[8])'),
	('path', 'iopool_read_batch((SELECT ''iopool_words''::text || left('''', g.id)), OFFS, ARRAY[8])'),
	('on_error', 'iopool_read_batch(''iopool_words'', OFFS, ARRAY[8], on_error => (SELECT ''raise''::text || left('''', g.id)))'),
	('lengths', 'iopool_read_batch(''iopool_words'', OFFS, (SELECT array_fill(8::bigint, ARRAY[cardinality(o)]) FROM (SELECT OFFS AS o) AS s))'),
	('paths', 'iopool_read_batch((SELECT array_agg(CASE WHEN x % 2 = 0 THEN ''iopool_words'' ELSE ''./iopool_words'' END) FROM unnest(OFFS) AS x), OFFS, (SELECT array_fill(8::bigint, ARRAY[cardinality(o)]) FROM (SELECT OFFS AS o) AS s))');

-- Every call with every source.  OFFSET 0 keeps the rows until all are there.
CREATE FUNCTION arg_check(form text, call text, expr text, OUT is_ahead boolean, OUT wrong bigint, OUT missing bigint)
LANGUAGE plpgsql AS $$
DECLARE
	query text = format('FROM (SELECT g.id, b.* FROM arg_group AS g, %s AS b OFFSET 0) AS s', replace(call, 'OFFS', expr));
	line text;
BEGIN
	is_ahead := false;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT * ' || query LOOP
		is_ahead := is_ahead OR line ~ 'IopoolLateral';
	END LOOP;
	EXECUTE 'SELECT count(*) FILTER (WHERE file_offset / 8 / 1000 <> id OR data <> int8send(file_offset)),
		(SELECT count(DISTINCT (id, off)) FROM arg_member) - count(DISTINCT (id, file_offset)) ' || query INTO wrong, missing;
END
$$;
SELECT form, expr, c.*
FROM arg_call, arg_offsets_from, arg_check(form, call, expr) AS c
ORDER BY arg_call.no, arg_offsets_from.no;

-- A single range, whose path is in a tuple of a sub-select.
SELECT count(*) AS ranges, count(*) FILTER (WHERE data <> int8send(8 * 1000 * id)) AS wrong
FROM arg_group AS g, iopool_read((SELECT m.path FROM arg_member AS m WHERE m.id = g.id AND off = 8 * 1000 * g.id), 8 * 1000 * g.id, 8) AS data;

-- A request, submitted from a sub-select's arrays, which are gone when it is
-- fetched; what follows writes over their memory.
BEGIN;
CREATE TEMP TABLE arg_request AS
	SELECT g.id, iopool_submit((SELECT array_agg(m.path ORDER BY off) FROM arg_member AS m WHERE m.id = g.id),
							   (SELECT array_agg(m.off ORDER BY off) FROM arg_member AS m WHERE m.id = g.id),
							   (SELECT array_agg(m.len ORDER BY off) FROM arg_member AS m WHERE m.id = g.id)) AS request
	FROM arg_group AS g WHERE id <= 20;
SELECT count(*) > 1000 AS much FROM (SELECT array_agg(off) FROM arg_member, generate_series(1, 40) AS n GROUP BY id, n OFFSET 0) AS s;
SELECT count(*) = (SELECT count(*) FROM arg_member WHERE id <= 20) AS "all",
	count(*) FILTER (WHERE file_offset / 8 / 1000 <> id OR data <> int8send(file_offset)) AS wrong
FROM arg_request, iopool_fetch(request);
COMMIT;

DROP TABLE arg_group, arg_member, arg_plain, arg_compressed, arg_external, arg_offsets_from, arg_call, arg_request;
DROP FUNCTION arg_check, arg_offs_plpgsql, arg_offs_sql;
DROP DOMAIN arg_offsets;
