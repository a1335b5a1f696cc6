-- The example "Overlap reading with computing" of doc/requests.md, as it stands
-- there, with words for tiles.

CREATE TABLE tile AS
SELECT n AS id, (n * 7919) % 1000 * 8192 + n % 5 AS off, 1 + (n * 37) % 5000 AS len
FROM generate_series(1, 234) AS n;

CREATE FUNCTION tile_digests(path text, per_window int DEFAULT 100)
RETURNS TABLE (tile_id int, digest bytea)
LANGUAGE plpgsql AS $$
DECLARE
    win   record;
    ids   int[];
    ready bigint;    -- the request of the window that is processed
    ahead bigint;    -- that of the next one, which is read meanwhile
BEGIN
    FOR win IN
        SELECT array_agg(id ORDER BY id) AS ids, array_agg(off ORDER BY id) AS offs,
               array_agg(len ORDER BY id) AS lens
        FROM   tile GROUP BY (id - 1) / per_window ORDER BY min(id)
    LOOP
        ahead := iopool_submit(path, win.offs, win.lens);
        -- no rows in the first round, when there is no request yet
        RETURN QUERY SELECT ids[ordinal], sha256(data) FROM iopool_fetch(ready);
        ready := ahead;
        ids := win.ids;
    END LOOP;
    -- the last window
    RETURN QUERY SELECT ids[ordinal], sha256(data) FROM iopool_fetch(ready);
END
$$;

SELECT count(*), count(DISTINCT tile_id), min(tile_id), max(tile_id), md5(string_agg(digest, NULL ORDER BY tile_id)) AS checksum
FROM tile_digests('iopool_big');
-- the same as one range after the other gives
SELECT md5(string_agg(sha256(pg_read_binary_file('iopool_big', off, len)), NULL ORDER BY id)) AS checksum FROM tile;
SELECT count(*) FROM iopool_requests;
-- windows of which the last one is short, of all there is, of one range; rings
-- of four, eight and more entries
CREATE FUNCTION checksum(pool text, per_window int) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('iopool.pool', pool, true);
	RETURN (SELECT md5(string_agg(digest, NULL ORDER BY tile_id)) FROM tile_digests('iopool_big', per_window));
END
$$;
SELECT pool, per_window, checksum(pool, per_window)
FROM unnest(ARRAY['default', 'regress_one', 'regress_two']) AS pool, unnest(ARRAY[7, 40, 234, 1000]) AS per_window
ORDER BY 1, 2;
SELECT checksum('regress_one', 1);
-- in the order of the windows, and within each in that of the call
SELECT count(*) AS out_of_turn FROM (
	SELECT tile_id, lag(tile_id) OVER (ORDER BY place) AS previous
	FROM tile_digests('iopool_big') WITH ORDINALITY AS d(tile_id, digest, place)) AS s
WHERE tile_id <> previous + 1;
-- nothing to do
TRUNCATE tile;
SELECT * FROM tile_digests('iopool_big');

DROP FUNCTION checksum(text, int), tile_digests(text, int);
DROP TABLE tile;
