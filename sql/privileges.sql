-- Who may read what: pg_read_server_files reads files, pg_monitor reads views.

CREATE ROLE regress_iopool_plain;
CREATE ROLE regress_iopool_reader IN ROLE pg_read_server_files;
CREATE ROLE regress_iopool_member IN ROLE regress_iopool_reader;
CREATE ROLE regress_iopool_executor;
CREATE ROLE regress_iopool_monitor IN ROLE pg_monitor;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO regress_iopool_executor;
GRANT EXECUTE ON FUNCTION iopool_read_batch(text[], bigint[], bigint[], text, boolean) TO regress_iopool_executor;
GRANT EXECUTE ON FUNCTION iopool_prefetch(text, bigint[], bigint[]) TO regress_iopool_executor;
GRANT EXECUTE ON FUNCTION iopool_read_files(text[], text, boolean) TO regress_iopool_executor;
GRANT EXECUTE ON FUNCTION iopool_stat(text, boolean), iopool_list(text, text) TO regress_iopool_executor;

-- no EXECUTE: denied before anything else
SET ROLE regress_iopool_plain;
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, 8)$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_batch(ARRAY['iopool_words'], ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_array(ARRAY['iopool_words'], ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT * FROM iopool_stat('iopool_words')$$);
SELECT state FROM failure($$SELECT * FROM iopool_list('.')$$);
SELECT state FROM failure($$SELECT iopool_stat_reset()$$);
SELECT * FROM failure($$SELECT * FROM iopool_pools$$);
SELECT state FROM failure($$SELECT * FROM iopool_rings$$);
RESET ROLE;

-- EXECUTE alone is no right to any path, whether it exists or not
SET ROLE regress_iopool_executor;
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_missing', 0, 8)$$);
SELECT * FROM failure($$SELECT iopool_read('/dev/null', 0, 8)$$);
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_batch(ARRAY['iopool_words'], ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_array('iopool_words', ARRAY[0, 8], ARRAY[8])$$);
SELECT state FROM failure($$SELECT iopool_read_files(ARRAY['iopool_words'], 'report')$$);
SELECT state FROM failure($$SELECT iopool_prefetch('iopool_words', ARRAY[0], ARRAY[8])$$);
SELECT state FROM failure($$SELECT * FROM iopool_stat('iopool_words')$$);
SELECT state FROM failure($$SELECT * FROM iopool_stat('iopool_missing', missing_ok => true)$$);
SELECT state FROM failure($$SELECT * FROM iopool_list('.')$$);
-- on_error is for files, not for rights
SELECT state FROM failure($$SELECT iopool_read_batch('iopool_words', ARRAY[0, 8], ARRAY[8], 'report')$$);
RESET ROLE;

-- members read, directly and through another role
SET ROLE regress_iopool_reader;
SELECT iopool_read('iopool_words', 8, 8);
SELECT ordinal, data FROM iopool_read_batch('iopool_words', ARRAY[0, 800], ARRAY[8]);
SELECT iopool_prefetch('iopool_words', ARRAY[0], ARRAY[8]);
SELECT size FROM iopool_stat('iopool_words');
SELECT path, size FROM iopool_list('.', 'iopool_w*ds');
SELECT state FROM failure($$SELECT * FROM iopool_pools$$);
RESET ROLE;
SET ROLE regress_iopool_member;
SELECT iopool_read('iopool_words', 8, 8);
SELECT iopool_read_array('iopool_words', ARRAY[0, 800], ARRAY[8]);
RESET ROLE;

-- the right is looked at when a file is opened, not when a plan is made
PREPARE as_whoever AS SELECT iopool_read('iopool_words', 8, 8);
EXECUTE as_whoever;
SET ROLE regress_iopool_executor;
EXECUTE as_whoever;
RESET ROLE;
DEALLOCATE as_whoever;

-- a SECURITY DEFINER function lends its owner's right, and only for its call
CREATE FUNCTION lent(file_offset bigint) RETURNS bytea
LANGUAGE sql SECURITY DEFINER AS $$SELECT iopool_read('iopool_words', file_offset, 8)$$;
SET ROLE regress_iopool_executor;
SELECT lent(16);
SELECT state FROM failure($$SELECT iopool_read('iopool_words', 16, 8)$$);
RESET ROLE;
DROP FUNCTION lent(bigint);

-- revoking membership ends the right
REVOKE pg_read_server_files FROM regress_iopool_reader;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO regress_iopool_reader;
SET ROLE regress_iopool_member;
SELECT * FROM failure($$SELECT iopool_read('iopool_words', 8, 8)$$);
RESET ROLE;

-- views are for pg_monitor, which reads no files
SET ROLE regress_iopool_monitor;
SELECT name FROM iopool_pools WHERE name LIKE 'regress%' ORDER BY name;
SELECT pool, count(*) FROM iopool_rings WHERE pool LIKE 'regress%' GROUP BY pool ORDER BY pool;
SELECT state FROM failure($$SELECT iopool_read('iopool_words', 0, 8)$$);
RESET ROLE;

DROP OWNED BY regress_iopool_plain, regress_iopool_reader, regress_iopool_member,
	regress_iopool_executor, regress_iopool_monitor;
DROP ROLE regress_iopool_plain, regress_iopool_member, regress_iopool_reader,
	regress_iopool_executor, regress_iopool_monitor;
