-- iopool_pools, iopool_rings, iopool_stat_reset(): structure and counters.

-- every column of the contract is there
SELECT c AS missing FROM unnest(ARRAY['name', 'method', 'rings', 'entries', 'in_use', 'waiting',
	'reads', 'bytes', 'short_reads', 'retries', 'errors', 'splits', 'merges', 'checkouts',
	'checkout_waits', 'checkout_wait_ms', 'checkout_timeouts', 'resets', 'reclaims',
	'takeovers', 'max_in_flight', 'p50_us', 'p95_us', 'p99_us', 'stats_reset']) AS c
WHERE c NOT IN (SELECT attname FROM pg_attribute WHERE attrelid = 'iopool_pools'::regclass AND attnum > 0);
SELECT c AS missing FROM unnest(ARRAY['pool', 'ring', 'state', 'pid', 'generation', 'in_flight',
	'reads', 'leased_since', 'parked_since']) AS c
WHERE c NOT IN (SELECT attname FROM pg_attribute WHERE attrelid = 'iopool_rings'::regclass AND attnum > 0);
SELECT * FROM iopool_waiters \gdesc
SELECT * FROM iopool_waiters;

-- the pools of the configuration, with what they were given and what they take
-- over from the default pool
SELECT name, rings, entries, in_use, waiting FROM iopool_pools ORDER BY name = 'default' DESC, name;
SELECT count(DISTINCT method) AS methods, bool_and(method IN ('io_uring', 'libaio', 'sync')) AS known FROM iopool_pools;
SELECT method = current_setting('iopool.method') OR current_setting('iopool.method') = 'auto' AS as_set
FROM iopool_pools WHERE name = 'default';
SELECT pool, count(*), count(DISTINCT ring) AS distinct_rings, count(pid) AS pids, sum(in_flight) AS in_flight,
	   count(leased_since) AS leased
FROM iopool_rings WHERE state = 'free' GROUP BY pool ORDER BY pool = 'default' DESC, pool;
SELECT count(*) FROM iopool_rings WHERE state <> 'free';

-- reset: all counters are zero
SET iopool.pool = 'regress_one';
SELECT count(*) FROM iopool_read_batch('iopool_words', ARRAY[0, 5000, 90000], ARRAY[8]);
SELECT reads > 0 AS reads, bytes > 0 AS bytes, checkouts > 0 AS checkouts, max_in_flight > 0 AS max_in_flight
FROM iopool_pools WHERE name = 'regress_one';
SELECT iopool_stat_reset();
SELECT name, reads, bytes, short_reads, retries, errors, splits, merges, checkouts, checkout_waits,
	   checkout_wait_ms, checkout_timeouts, resets, reclaims, max_in_flight,
	   now() - stats_reset < '1 hour' AS reset_now
FROM iopool_pools ORDER BY name = 'default' DESC, name;

CREATE FUNCTION counted(query text, OUT reads text, OUT merges text, OUT splits text, OUT checkouts bigint)
LANGUAGE plpgsql AS $$
DECLARE
	before iopool_pools;
	after iopool_pools;
BEGIN
	SELECT * INTO before FROM iopool_pools WHERE name = 'regress_one';
	EXECUTE query;
	SELECT * INTO after FROM iopool_pools WHERE name = 'regress_one';
	reads := CASE WHEN after.reads - before.reads > 10 THEN 'more' ELSE (after.reads - before.reads)::text END;
	merges := CASE WHEN after.merges > before.merges THEN 'some' ELSE 'none' END;
	splits := CASE WHEN after.splits > before.splits THEN 'some' ELSE 'none' END;
	checkouts := after.checkouts - before.checkouts;
END
$$;

-- one small read is counted, but takes no ring
SELECT * FROM counted($$SELECT iopool_read('iopool_words', 0, 8)$$);
-- a batch takes one ring, and only one
SELECT * FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 100000, 200000], ARRAY[8])$$);
-- no range, no ring
SELECT reads, checkouts FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', '{}'::bigint[], ARRAY[8])$$);

-- merging: touching ranges, then with a gap of 8 bytes, at gaps around it
SET iopool.merge_gap = 0;
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8])$$);
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 4, 8], ARRAY[8])$$);
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 16, 32], ARRAY[8])$$);
SET iopool.merge_gap = 7;
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 16, 32], ARRAY[8])$$);
SET iopool.merge_gap = 8;
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 16, 32], ARRAY[8])$$);
SET iopool.merge_gap = -1;
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch('iopool_words', ARRAY[0, 8, 16], ARRAY[8])$$);
-- never across files
SET iopool.merge_gap = '1MB';
SELECT reads, merges FROM counted($$SELECT * FROM iopool_read_batch(
	ARRAY['iopool_words', 'iopool_other'], ARRAY[0, 8], ARRAY[8, 8])$$);
RESET iopool.merge_gap;

-- splitting: one range that is longer than the window
SET iopool.max_in_flight_bytes = '64kB';
SELECT * FROM counted($$SELECT iopool_read('iopool_big', 0, 8388608)$$);
SELECT * FROM counted($$SELECT * FROM iopool_read_batch('iopool_big', ARRAY[0], ARRAY[8388608])$$);
RESET iopool.max_in_flight_bytes;

-- never more in flight than the ring has entries
SET iopool.merge_gap = 0;
SELECT iopool_stat_reset();
SELECT count(*) FROM iopool_read_batch('iopool_words',
	(SELECT array_agg(n * 100 ORDER BY n) FROM generate_series(0, 9999) AS n), ARRAY[8]);
SELECT count(*) FROM iopool_read_batch('iopool_words',
	(SELECT array_agg(n * 100 ORDER BY n) FROM generate_series(0, 9999) AS n), ARRAY[8], in_order => false);
SELECT max_in_flight BETWEEN 1 AND 4 AS within_entries, reads >= 20000 AS all_reads,
	   bytes >= 160000 AS all_bytes, checkouts >= 2 AS each_leased, errors, checkout_waits, checkout_timeouts
FROM iopool_pools WHERE name = 'regress_one';
RESET iopool.merge_gap;
SELECT p50_us >= 0 AND p50_us <= p95_us AND p95_us <= p99_us AS percentiles FROM iopool_pools WHERE name = 'regress_one';
SELECT sum(reads) >= 20000 AS by_ring FROM iopool_rings WHERE pool = 'regress_one';
-- the other pools saw nothing of it
SELECT name, reads FROM iopool_pools WHERE name <> 'regress_one' ORDER BY name;

-- a lease ends with its reads: nothing is held by a cursor that has no more, nor
-- by an open transaction
BEGIN;
DECLARE c CURSOR FOR SELECT ordinal FROM iopool_read_batch('iopool_words', ARRAY[0, 10000, 20000], ARRAY[8]);
FETCH ALL FROM c;
SELECT in_use FROM iopool_pools WHERE name = 'regress_one';
SELECT state, pid IS NULL AS unowned FROM iopool_rings WHERE pool = 'regress_one';
COMMIT;

-- one ring, no waiting allowed, and batches within batches: the session shares
-- its own lease and never waits for itself
SET iopool.checkout_timeout = 0;
SELECT a.ordinal AS a, b.ordinal AS b, b.data
FROM iopool_read_batch('iopool_words', ARRAY[0, 10000], ARRAY[8]) AS a,
	 LATERAL iopool_read_batch('iopool_words', ARRAY[a.file_offset, 20000], ARRAY[8]) AS b
ORDER BY 1, 2;
SELECT (s.a).ordinal AS a, (SELECT count(*) FROM iopool_read_batch('iopool_words', ARRAY[(s.a).file_offset, 20000], ARRAY[8])) AS b
FROM (SELECT iopool_read_batch('iopool_words', ARRAY[0, 10000, 30000], ARRAY[8]) AS a OFFSET 0) AS s;
SELECT (iopool_read_batch('iopool_words', ARRAY[0, 10000], ARRAY[8])).ordinal AS a,
	   (iopool_read_batch('iopool_words', ARRAY[20000, 50000], ARRAY[8])).ordinal AS b;
SELECT checkout_waits, checkout_timeouts FROM iopool_pools WHERE name = 'regress_one';
RESET iopool.checkout_timeout;
RESET iopool.pool;
DROP FUNCTION counted(text);
