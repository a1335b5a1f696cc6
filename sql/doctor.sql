-- iopool_check(): what is the same on every machine.  What each check finds is
-- shown by test/t/060_doctor.pl.

SELECT * FROM iopool_check() \gdesc

-- the rows and their order
SELECT check_name FROM iopool_check();

-- each row says something; a hint is for what is not ok, and always there then
SELECT DISTINCT status FROM iopool_check() WHERE status NOT IN ('ok', 'warn', 'fail');
SELECT check_name FROM iopool_check() WHERE detail IS NULL OR detail = '';
SELECT check_name, status, hint FROM iopool_check() WHERE (status = 'ok') <> (hint IS NULL) OR hint = '';

-- nothing that is configured here fails, and no row depends on the pool
SELECT check_name, detail FROM iopool_check() WHERE status = 'fail';
SET iopool.pool = 'regress_missing';
SELECT count(DISTINCT check_name) = count(*) AS unique_names FROM iopool_check();
RESET iopool.pool;

-- every pool is in the rows about pools
SELECT c.check_name, p.name AS missing FROM iopool_check() AS c, iopool_pools AS p
WHERE c.check_name IN ('method', 'rings', 'leases') AND strpos(c.detail, format('pool "%s"', p.name)) = 0;

-- for pg_monitor alone
CREATE ROLE regress_iopool_doctor;
SET ROLE regress_iopool_doctor;
SELECT * FROM failure($$SELECT * FROM iopool_check()$$);
RESET ROLE;
GRANT pg_read_server_files TO regress_iopool_doctor;
SET ROLE regress_iopool_doctor;
SELECT state FROM failure($$SELECT * FROM iopool_check()$$);
RESET ROLE;
REVOKE pg_read_server_files FROM regress_iopool_doctor;
GRANT pg_monitor TO regress_iopool_doctor;
SET ROLE regress_iopool_doctor;
SELECT count(*) > 0 AS rows FROM iopool_check();
RESET ROLE;
DROP ROLE regress_iopool_doctor;
SELECT obj_description('iopool_check()'::regprocedure) IS NOT NULL AS has_comment,
	provolatile, proparallel, proisstrict FROM pg_proc WHERE oid = 'iopool_check()'::regprocedure;

-- it leaves nothing open
CREATE TEMP TABLE fds AS SELECT 0::bigint AS before;
SELECT count(*) > 0 AS rows FROM iopool_check();
UPDATE fds SET before = (SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd'));
SELECT count(*) > 0 AS rows FROM generate_series(1, 5), iopool_check();
SELECT greatest(count(*) - before, 0) AS left_open FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd'), fds GROUP BY before;
DROP TABLE fds;
