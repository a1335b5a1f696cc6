-- the ten largest members
SELECT m.name, length(d.data), encode(sha256(d.data), 'hex')
FROM   (SELECT * FROM member ORDER BY length DESC LIMIT 10) AS m,
       iopool_read(:'archive', m."offset", m.length) AS d(data);

-- a text search in every C header of the archive, straight from the tar file
SELECT m.name
FROM   member AS m,
       iopool_read(:'archive', m."offset", m.length) AS d(data)
WHERE  m.name LIKE '%.h' AND position('io_uring'::bytea IN d.data) > 0;

-- what the pool has done so far
SELECT name, method, reads, bytes, max_in_flight, p50_us, p99_us FROM iopool_pools;
