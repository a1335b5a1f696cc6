-- Parallel workers read for themselves, also when they outnumber the rings.

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

SELECT workers_planned($$SELECT count(*) FROM offsets
	WHERE iopool_read('iopool_words', file_offset, 8) = int8send(file_offset)$$);
SELECT count(*) FROM offsets
WHERE iopool_read('iopool_words', file_offset, 8) = int8send(file_offset);

-- batches in every worker, through a pool of one ring
SET iopool.pool = 'regress_one';
SELECT workers_planned($$SELECT count(*) FROM offsets,
	LATERAL iopool_read_batch('iopool_words', ARRAY[file_offset, 900000, 500000], 8) AS b
	WHERE b.data = int8send(b.file_offset)$$);
SELECT count(*) FROM offsets,
	LATERAL iopool_read_batch('iopool_words', ARRAY[file_offset, 900000, 500000], 8) AS b
WHERE b.data = int8send(b.file_offset);
SELECT count(*) FROM offsets
WHERE iopool_read_array('iopool_words', ARRAY[file_offset, 900000], 8)
	= ARRAY[int8send(file_offset), int8send(900000)];
-- an error in a worker leaves no ring behind; terse, because the leader may be
-- the one that meets it, and then there is no line CONTEXT
\set VERBOSITY terse
SELECT count(*) FROM offsets
WHERE iopool_read_array(ARRAY['iopool_words', CASE WHEN file_offset = 79992 THEN 'iopool_missing' ELSE 'iopool_words' END],
						ARRAY[0, 800], ARRAY[8, 8]) IS NULL;
\set VERBOSITY default
SELECT state, count(*) FROM iopool_rings WHERE pool = 'regress_one' GROUP BY state;
DROP TABLE offsets;
DROP FUNCTION workers_planned(text);
