-- What every other topic builds on: the extension, files whose content is
-- known, and an independent reader to compare with.
--
-- Each 8-byte word of a word file tells its own offset, big-endian, so a byte
-- from a wrong place cannot go unnoticed.  The files lie in the data directory
-- and go away with the test instance.

CREATE EXTENSION iopool;

-- Not sorted, because generate_series() counts up: sorts of a million words
-- would take more time than all that is tested.
CREATE FUNCTION words(file_offset bigint, length bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(substr(string_agg(int8send(w), ''::bytea),
						   (file_offset % 8)::int + 1, length::int), '')
	FROM generate_series(file_offset - file_offset % 8,
						 file_offset + length - 1, 8) AS w
$$;

CREATE FUNCTION write_file(name text, content bytea) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	lo oid := lo_from_bytea(0, content);
BEGIN
	PERFORM lo_export(lo, name);
	PERFORM lo_unlink(lo);
END
$$;

SELECT write_file('iopool_words', words(0, 1024 * 1024 + 3));
SELECT write_file('iopool_big', words(0, 8 * 1024 * 1024));
-- words of iopool_other start at 2^40, so the files differ in every word
SELECT write_file('iopool_other', words(1099511627776, 65536));
SELECT write_file('iopool_empty', '');
SELECT write_file('iopool_one', '\xff');

SELECT words(4, 9) AS "words 0, 8 and 16, cut";

-- Runs a statement that must fail; shows how.  The failure also passes through
-- a subtransaction abort.
CREATE FUNCTION failure(statement text,
						OUT state text, OUT message text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no failure';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
	message := SQLERRM;
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	hint := nullif(hint, '');
END
$$;

-- The plan, without the I/O mode, which runs of this test differ in, and without
-- what releases of PostgreSQL show or name differently.
CREATE FUNCTION plan_of(query text, options text = '') RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF' || options || ') ' || query LOOP
		CONTINUE WHEN line ~ '^ *Replaces: ';
		line := regexp_replace(line, 'I/O Mode: .*', 'I/O Mode: ...');
		line := regexp_replace(line, 'SubPlan \w+', 'SubPlan ...');
		RETURN NEXT regexp_replace(line, '"\*SELECT\*"|unnamed_subquery', '...');
	END LOOP;
END
$$;

-- The nodes in the plan, from the top.
CREATE FUNCTION nodes_of(query text) RETURNS text
LANGUAGE sql AS $$
	SELECT coalesce(string_agg(substring(line FROM 'Custom Scan \((\w+)\)'), ', '), 'plain')
	FROM plan_of(query) AS line
$$;

-- What EXPLAIN (ANALYZE, FORMAT json) tells of the first of them.
CREATE FUNCTION node_of(query text, options text = '') RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, FORMAT json' || options || ') ' || query INTO plan;
	RETURN jsonb_path_query_first(plan::jsonb, 'strict $.**."Plan".** ? (@."Custom Plan Provider" starts with "Iopool")', silent => true);
END
$$;

CREATE FUNCTION ranges_of(query text) RETURNS int
LANGUAGE sql AS $$SELECT (node_of(query) ->> 'Ranges')::int$$;

-- All rows of a query, or its failure.
CREATE FUNCTION rows_of(query text) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
	rows text[] = '{}';
	r record;
BEGIN
	FOR r IN EXECUTE query LOOP
		rows := rows || r::text;
	END LOOP;
	RETURN rows;
EXCEPTION WHEN OTHERS THEN
	RETURN ARRAY['failed', SQLSTATE, SQLERRM];
END
$$;

-- The nodes of a query, how many rows it has, and whether they are, in the
-- same order, those of the plain plan.
CREATE FUNCTION compare(query text, OUT nodes text, OUT nrows int, OUT same boolean)
LANGUAGE plpgsql AS $$
DECLARE
	rows text[] = rows_of(query);
BEGIN
	nodes := nodes_of(query);
	nrows := cardinality(rows);
	SET LOCAL iopool.enable_stream_scan = off;
	same := nodes_of(query) = 'plain' AND rows = rows_of(query);
	SET LOCAL iopool.enable_stream_scan = on;
END
$$;

-- Number of ranges of which iopool_read_batch() returns something else than
-- pg_read_binary_file() does, or nothing, or more than once.
CREATE FUNCTION wrong_ranges(paths text[], file_offsets bigint[],
							 lengths bigint[], in_order boolean = true)
RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FILTER (WHERE b.error IS NOT NULL
		OR b.file_offset IS DISTINCT FROM r.file_offset
		OR b.length IS DISTINCT FROM r.length
		OR b.data IS DISTINCT FROM
			pg_read_binary_file(r.path, r.file_offset, r.length))
		+ abs(count(b.ordinal) - cardinality(paths))
	FROM unnest(paths, file_offsets, lengths)
			WITH ORDINALITY AS r(path, file_offset, length, ordinal)
		FULL JOIN iopool_read_batch(paths, file_offsets, lengths,
									in_order => in_order) AS b
			USING (ordinal)
$$;
