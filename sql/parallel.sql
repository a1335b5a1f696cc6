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
	LATERAL iopool_read_batch('iopool_words', ARRAY[file_offset, 900000, 500000], ARRAY[8]) AS b
	WHERE b.data = int8send(b.file_offset)$$);
SELECT count(*) FROM offsets,
	LATERAL iopool_read_batch('iopool_words', ARRAY[file_offset, 900000, 500000], ARRAY[8]) AS b
WHERE b.data = int8send(b.file_offset);
SELECT count(*) FROM offsets
WHERE iopool_read_array('iopool_words', ARRAY[file_offset, 900000], ARRAY[8])
	= ARRAY[int8send(file_offset), int8send(900000)];
-- an error in a worker leaves no ring behind; terse, because the leader may be
-- the one that meets it, and then there is no line CONTEXT
\set VERBOSITY terse
SELECT count(*) FROM offsets
WHERE iopool_read_array(ARRAY['iopool_words', CASE WHEN file_offset = 79992 THEN 'iopool_missing' ELSE 'iopool_words' END],
						ARRAY[0, 800], ARRAY[8, 8]) IS NULL;
\set VERBOSITY default
SELECT state, count(*) FROM iopool_rings WHERE pool = 'regress_one' GROUP BY state;
RESET iopool.pool;

-- EXPLAIN (ANALYZE) tells of all processes: what the node of ours shows, and
-- beside it the sums of what its workers show
CREATE FUNCTION counts_of(query text, OUT ranges int, OUT read_bytes bigint, OUT workers_ranges int, OUT workers_bytes bigint, OUT node jsonb)
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, FORMAT json) ' || query INTO plan;
	node := jsonb_path_query_first(plan::jsonb, 'strict $.**."Plan".** ? (@."Custom Plan Provider" starts with "Iopool")', silent => true);
	ranges := node -> 'Ranges';
	read_bytes := node -> 'Read Bytes';
	SELECT sum((w ->> 'Ranges')::int), sum((w ->> 'Read Bytes')::bigint) INTO workers_ranges, workers_bytes
	FROM jsonb_array_elements(node -> 'Workers') AS w;
END
$$;
SET iopool.io_mode = 'buffered';
SET iopool.merge_gap = -1;
-- the leader has its part, whatever that is
SELECT ranges, read_bytes, workers_ranges <= ranges AS workers FROM counts_of($$SELECT count(data) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data$$);
SET parallel_leader_participation = off;
SELECT ranges, read_bytes, workers_ranges, workers_bytes FROM counts_of($$SELECT count(data) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data$$);
-- what is no sum
SELECT (node ->> 'Average In Flight')::float BETWEEN 1 AND (node ->> 'Maximum In Flight')::int AS average,
	   (node ->> 'Maximum In Flight')::int = (SELECT max((w ->> 'Maximum In Flight')::int) FROM jsonb_array_elements(node -> 'Workers') AS w) AS maximum,
	   node -> 'Plans' -> 1 AS other_child, node -> 'Parallel Aware' AS parallel_aware,
	   (SELECT bool_and(w ?& ARRAY['Worker Number', 'Actual Loops', 'Ranges', 'Ring Taken Over', 'Read Wait Time']) FROM jsonb_array_elements(node -> 'Workers') AS w) AS workers
FROM counts_of($$SELECT count(data) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data$$);
-- pools and modes, which the leader has not used
SET iopool.io_mode = 'direct';
SELECT ranges, node -> 'I/O Mode' AS io_mode, workers_bytes = read_bytes AS bytes FROM counts_of($$SELECT count(data) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data$$);
SET iopool.io_mode = 'buffered';
-- workers that are started again
SET enable_material = off;
SELECT ranges, workers_ranges FROM counts_of($$SELECT * FROM (VALUES (1), (2), (3)) AS v
	LEFT JOIN (SELECT count(data) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data) AS s ON true$$);
-- and are stopped before their end
SELECT ranges BETWEEN 15000 AND 30000 AS ranges, workers_ranges = ranges AS workers
FROM counts_of($$SELECT count(*) FROM (VALUES (1), (2), (3)) AS v
	LEFT JOIN (SELECT data FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data LIMIT 5000) AS s ON true$$);
RESET enable_material;
-- workers that are stopped, and come to their end later than the query
SELECT ranges BETWEEN 1 AND 10000 AS ranges, workers_ranges = ranges AS workers
FROM counts_of($$SELECT data FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data LIMIT 1$$);
-- a node whose rows each worker has for itself
SET enable_parallel_hash = off;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT ranges > 0 AND ranges % 100 = 0 AS ranges, workers_ranges = ranges AS workers, node -> 'Node Type' AS node
FROM counts_of($$SELECT count(*) FROM offsets JOIN iopool_read_batch('iopool_words', (SELECT array_agg(n * 80) FROM generate_series(1, 100) AS n), ARRAY[8]) AS b ON b.file_offset = offsets.file_offset$$);
RESET enable_parallel_hash;
RESET enable_mergejoin;
RESET enable_nestloop;
-- files of a directory
SELECT node -> 'Files' AS files, s.* FROM counts_of($$SELECT count(*) FROM offsets, iopool_list('.', 'iopool_one' || left(file_offset::text, 0)) AS l WHERE file_offset < 800$$),
	 LATERAL (SELECT bool_and(node -> count = to_jsonb(sum)) AS workers
			  FROM (SELECT count, sum((w -> count)::int) FROM unnest(ARRAY['Directories', 'Names', 'Files']) AS count, jsonb_array_elements(node -> 'Workers') AS w GROUP BY count) AS sums) AS s;
-- as text
CREATE FUNCTION worker_lines(query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
	is_ours boolean = false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
		is_ours := line ~ 'Custom Scan' OR (is_ours AND line !~ '->');
		IF is_ours AND line ~ 'Scan|Worker 0:|Ranges|In Flight' THEN
			RETURN NEXT regexp_replace(line, '((rows|loops|average|maximum)=|(Ranges|Reads|Bytes): )\d+(\.\d+)?', '\1N', 'g');
		ELSIF is_ours AND line ~ 'Worker 1:' THEN
			RETURN;
		END IF;
	END LOOP;
END
$$;
SELECT * FROM worker_lines($$SELECT count(data) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data$$);
-- an error in a worker, or in the leader
SELECT * FROM failure($$EXPLAIN ANALYZE SELECT count(data) FROM offsets, iopool_read(CASE WHEN file_offset = 79992 THEN 'iopool_missing' ELSE 'iopool_words' END, file_offset, 8) AS data$$);
RESET parallel_leader_participation;
SELECT * FROM failure($$EXPLAIN ANALYZE SELECT 1 / (count(data) - 10000) FROM offsets, iopool_read('iopool_words', file_offset, 8) AS data$$);
SELECT state, count(*) FROM iopool_rings WHERE pool LIKE 'regress%' GROUP BY state;
DROP TABLE offsets;
DROP FUNCTION workers_planned(text), counts_of(text), worker_lines(text);
