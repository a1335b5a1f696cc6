-- Row estimates from the array arguments, and costs that grow with them.

CREATE FUNCTION property_of(query text, property text) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> property;
END
$$;

-- constant arrays, with a length for each range and with one for all
SELECT property_of($$SELECT * FROM iopool_read_batch('iopool_words', '{0,8,16}'::bigint[], '{8,8,8}'::bigint[])$$, 'Plan Rows');
SELECT property_of($$SELECT * FROM iopool_read_batch('iopool_words', '{0,8,16,24,32}'::bigint[], ARRAY[8])$$, 'Plan Rows');
SELECT property_of($$SELECT * FROM iopool_read_batch('{iopool_words,iopool_other}'::text[], '{0,8}'::bigint[], '{8,8}'::bigint[])$$, 'Plan Rows');
SELECT property_of(format($$SELECT * FROM iopool_read_batch('iopool_words', %L::bigint[], ARRAY[8])$$,
	(SELECT array_agg(n) FROM generate_series(1, 12345) AS n)), 'Plan Rows');
-- an array of expressions
SELECT property_of($$SELECT b.* FROM (VALUES (1), (2)) AS v(x), LATERAL iopool_read_batch('iopool_words', ARRAY[v.x, 8, 16, 24], ARRAY[8]) AS b$$, 'Plan Rows');
-- no range: the planner's least
SELECT property_of($$SELECT * FROM iopool_read_batch('iopool_words', '{}'::bigint[], ARRAY[8])$$, 'Plan Rows') <= 1 AS least;
-- in the select list
SELECT property_of($$SELECT iopool_read_batch('iopool_words', '{0,8,16,24,32,40,48}'::bigint[], ARRAY[8])$$, 'Plan Rows');
-- a parameter whose value is known when the plan is made
SET plan_cache_mode = force_custom_plan;
PREPARE known(bigint[]) AS SELECT * FROM iopool_read_batch('iopool_words', $1, ARRAY[8]);
SELECT property_of($$EXECUTE known('{1,2,3,4,5,6}')$$, 'Plan Rows');
RESET plan_cache_mode;
DEALLOCATE known;

-- more ranges cost more, and a range costs more than a row of generate_series
SELECT property_of(format($$SELECT * FROM iopool_read_batch('iopool_words', %L::bigint[], ARRAY[8])$$,
			(SELECT array_agg(n) FROM generate_series(1, 1000) AS n)), 'Total Cost')
	 > property_of(format($$SELECT * FROM iopool_read_batch('iopool_words', %L::bigint[], ARRAY[8])$$,
			(SELECT array_agg(n) FROM generate_series(1, 10) AS n)), 'Total Cost') * 10 AS grows,
	   property_of(format($$SELECT * FROM iopool_read_batch('iopool_words', %L::bigint[], ARRAY[8])$$,
			(SELECT array_agg(n) FROM generate_series(1, 1000) AS n)), 'Total Cost')
	 > property_of($$SELECT * FROM generate_series(1, 1000)$$, 'Total Cost') AS dearer_than_a_row;
-- a read is dearer than an operator, so cheap conditions run first
SELECT procost > 1 AS costs_more FROM pg_proc WHERE oid = 'iopool_read(text, bigint, bigint)'::regprocedure;
DROP FUNCTION property_of(text, text);
