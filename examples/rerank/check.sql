-- What is where, whether it is right, and how good answers are.
SELECT pg_size_pretty(sum(length(d.data))) AS file, pg_size_pretty(pg_table_size('item_vector')) AS table,
       pg_size_pretty(pg_table_size('item')) AS codes, current_setting('shared_buffers') AS shared_buffers,
       count(*) AS vectors, count(*) FILTER (WHERE iopool_float4s(d.data) = v.embedding::real[]) AS same
FROM   item_vector v, iopool_read('example_rerank:vectors.f4', 512 * v.id::bigint, 512) AS d(data);

\echo recall of the ten nearest, and queries answered as by the table and as by Python:
SELECT ncandidates AS candidates, round(avg(recall), 3) AS recall, count(*) FILTER (WHERE as_table) AS as_table,
       count(*) FILTER (WHERE as_python) AS as_python
FROM   query q, unnest(ARRAY[50, 200, 1000, (SELECT count(*) FROM item)::int]) AS ncandidates,
       LATERAL (SELECT count(*) FILTER (WHERE n.id = ANY (q.nearest)) / 10.0 AS recall,
                       array_agg(n.id) = ARRAY(SELECT id FROM nearest_from_table(q.embedding, 10, ncandidates)) AS as_table,
                       array_agg(n.id) = q.nearest AS as_python
                FROM   nearest_from_file(q.embedding, 10, ncandidates) n) r
GROUP  BY ncandidates ORDER BY ncandidates;
