-- The nearest vectors: candidates by one bit for each dimension, from a table,
-- and their order by the vectors themselves.

-- All that is kept in the table for the search.
CREATE TABLE item (id int PRIMARY KEY, code bit(128) NOT NULL);
-- What it is compared with: the vectors in a table of their own.
CREATE TABLE item_vector (id int PRIMARY KEY, embedding vector(128) NOT NULL);

CREATE FUNCTION candidates(query vector, n int) RETURNS SETOF int LANGUAGE sql STRICT STABLE AS $$
    SELECT id FROM item ORDER BY code <~> binary_quantize(query)::bit(128), id LIMIT n
$$;

-- The vectors from the file: vector n is 4 * 128 bytes at 512 * n.
CREATE FUNCTION nearest_from_file(query vector, k int, ncandidates int)
RETURNS TABLE (id int, distance float8) LANGUAGE sql STRICT AS $$
    SELECT c.id, iopool_float4s(iopool_read('example_rerank:vectors.f4', 512 * c.id::bigint, 512))::vector <-> query
    FROM   candidates(query, ncandidates) AS c(id)
    ORDER  BY 2, 1 LIMIT k
$$;

CREATE FUNCTION nearest_from_table(query vector, k int, ncandidates int)
RETURNS TABLE (id int, distance float8) LANGUAGE sql STRICT AS $$
    SELECT v.id, v.embedding <-> query
    FROM   candidates(query, ncandidates) AS c(id) JOIN item_vector v USING (id)
    ORDER  BY 2, 1 LIMIT k
$$;

CREATE FUNCTION nearest_of_all(query vector, k int)
RETURNS TABLE (id int, distance float8) LANGUAGE sql STRICT AS $$
    SELECT v.id, v.embedding <-> query FROM item_vector v ORDER BY 2, 1 LIMIT k
$$;
