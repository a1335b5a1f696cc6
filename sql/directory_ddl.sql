-- CREATE SERVER and ALTER SERVER of directories: options, rights, the view.

-- where the tests lie may be below what others can write in
SET client_min_messages = 'error';

-- the directory of these tests, outside of the data directory
\set dir `mkdir -p "$PG_ABS_BUILDDIR/results/iopool_ddl" && cd "$PG_ABS_BUILDDIR/results/iopool_ddl" && pwd -P`
\! cd "$PG_ABS_BUILDDIR/results/iopool_ddl" && rm -rf * && mkdir real && ln -s real link && echo x > file
SELECT set_config('regress.dir', :'dir', false) = '' AS no_dir,
	   set_config('regress.data', current_setting('data_directory'), false) = '' AS no_data \gset
SELECT :'no_dir', :'no_data';

-- Runs a statement with @dir and @data replaced by the paths; shows how it fails
-- with the paths replaced back.
CREATE FUNCTION outcome(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
DECLARE
	dir text := current_setting('regress.dir');
	data text := current_setting('regress.data');
BEGIN
	EXECUTE replace(replace(statement, '@data', data), '@dir', dir);
	state := '00000';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	message := replace(replace(message, data, '@data'), dir, '@dir');
	detail := nullif(replace(detail, dir, '@dir'), '');
	hint := nullif(replace(hint, dir, '@dir'), '');
END
$$;
CREATE FUNCTION create_directory(options text) RETURNS text
LANGUAGE sql AS $$
	SELECT concat_ws('; ', state, message, detail, hint)
	FROM outcome('CREATE SERVER regress_try FOREIGN DATA WRAPPER iopool_directory ' || options)
$$;
CREATE FUNCTION alter_directory(action text) RETURNS text
LANGUAGE sql AS $$
	SELECT concat_ws('; ', state, message, detail, hint) FROM outcome('ALTER SERVER regress_dir ' || action)
$$;

-- what the extension makes
SELECT fdwhandler::regproc, fdwvalidator::regproc, fdwacl, fdwoptions, obj_description(oid, 'pg_foreign_data_wrapper')
FROM pg_foreign_data_wrapper WHERE fdwname = 'iopool_directory';
SELECT obj_description('iopool_directories'::regclass, 'pg_class');
SELECT * FROM iopool_directories \gdesc
SELECT * FROM iopool_directories;

-- each option, right and wrong
\a\t
SELECT create_directory('');
SELECT create_directory($$OPTIONS (pool 'default')$$);
SELECT create_directory($$OPTIONS (path '@dir', paht '@dir')$$);
SELECT create_directory($$OPTIONS (path '')$$);
SELECT create_directory($$OPTIONS (path 'base')$$);
SELECT create_directory($$OPTIONS (path '@dir/')$$);
SELECT create_directory($$OPTIONS (path '@dir//real')$$);
SELECT create_directory($$OPTIONS (path '@dir/./real')$$);
SELECT create_directory($$OPTIONS (path '@dir/real/..')$$);
SELECT create_directory($$OPTIONS (path '@dir/link')$$);
SELECT create_directory($$OPTIONS (path '@dir/link', missing_ok 'on')$$);
SELECT create_directory($$OPTIONS (path '@dir/link/below')$$);
SELECT create_directory($$OPTIONS (path '@dir/file')$$);
SELECT create_directory($$OPTIONS (path '@dir/file', missing_ok 'on')$$);
SELECT create_directory($$OPTIONS (path '@dir/missing')$$);
SELECT create_directory($$OPTIONS (path '@dir/missing', missing_ok 'off')$$);
SELECT create_directory($$OPTIONS (path '@dir', missing_ok 'maybe')$$);
SELECT create_directory($$OPTIONS (path '@dir', allow_data_directory '2')$$);
SELECT create_directory($$OPTIONS (path '@dir', io_mode 'fast')$$);
SELECT create_directory($$OPTIONS (path '@dir', io_mode '')$$);
SELECT create_directory($$OPTIONS (path '@dir', pool 'nope')$$);
SELECT create_directory($$OPTIONS (path '@dir', pool '')$$) LIKE '22023%' AS refused;
SELECT length(create_directory($$OPTIONS (path '/$$ || repeat('x/', 3000) || $$x')$$)) > 6000 AS refused;
SELECT create_directory($$OPTIONS (path '/proc/self/cwd')$$);
SELECT count(*) FROM pg_foreign_server;

-- the data directory, and whatever it is a part of or has as a part
SELECT create_directory($$OPTIONS (path '@data')$$);
SELECT create_directory($$OPTIONS (path '@data/base')$$);
SELECT create_directory($$OPTIONS (path '@data/pg_wal/archive_status')$$);
SELECT create_directory($$OPTIONS (path '/')$$);
SELECT left(outcome.state, 5), outcome.detail FROM outcome(format(
	$$CREATE SERVER regress_try FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '%s')$$,
	regexp_replace(current_setting('data_directory'), '/[^/]*$', '')));
SELECT create_directory($$OPTIONS (path '@data', allow_data_directory 'off')$$);
SELECT count(*) FROM pg_foreign_server;

-- a name that no path can begin with
SELECT state, message, detail FROM outcome($$CREATE SERVER "a:b" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@dir')$$);
SELECT state, message FROM outcome($$CREATE SERVER "a/b" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@dir')$$);
SELECT state, message FROM outcome($$CREATE SERVER ":" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@dir')$$);
SELECT state, message FROM outcome($$CREATE SERVER IF NOT EXISTS "/" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@dir')$$);
SELECT count(*) FROM pg_foreign_server;

-- nothing but a server has options
SELECT state, message, hint FROM outcome($$ALTER FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@dir')$$);
SELECT alter_directory($$OPTIONS (ADD pool 'default')$$);
CREATE SERVER regress_dir FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir');
SELECT state, message FROM outcome($$CREATE USER MAPPING FOR PUBLIC SERVER regress_dir OPTIONS (path '@dir')$$);
SELECT state, message FROM outcome($$CREATE FOREIGN TABLE regress_table (x int) SERVER regress_dir OPTIONS (path '@dir')$$);
CREATE FOREIGN TABLE regress_table (x int) SERVER regress_dir;
SELECT state, message FROM outcome($$SELECT * FROM regress_table$$);
DROP FOREIGN TABLE regress_table;

-- everything at once, and changed
SELECT alter_directory($$OPTIONS (pool 'regress_one', io_mode 'Direct', missing_ok 'true')$$);
SELECT name, path = :'dir' AS path, pool, io_mode, may_read FROM iopool_directories;
SELECT alter_directory($$OPTIONS (SET path '@dir/missing', SET io_mode 'uncached')$$);
SELECT alter_directory($$OPTIONS (SET missing_ok 'off')$$);
SELECT alter_directory($$OPTIONS (SET pool 'regress_two')$$);
SELECT name, path = :'dir' || '/missing' AS path, pool, io_mode, may_read FROM iopool_directories;
SELECT alter_directory($$OPTIONS (SET path '@dir/other')$$);
SELECT alter_directory($$OPTIONS (SET path '@data/base')$$);
SELECT alter_directory($$OPTIONS (DROP path)$$);
SELECT alter_directory($$OPTIONS (SET path '@data/base', ADD allow_data_directory 'on')$$);
SELECT alter_directory($$OPTIONS (DROP allow_data_directory)$$);
SELECT alter_directory($$OPTIONS (DROP allow_data_directory, SET path '@dir')$$);
SELECT alter_directory($$OPTIONS (DROP pool, DROP io_mode, DROP missing_ok)$$);
SELECT name, path = :'dir' AS path, pool IS NULL AS pool, io_mode IS NULL AS io_mode, may_read FROM iopool_directories;

SELECT alter_directory($$RENAME TO "regress:dir"$$);
SELECT alter_directory($$RENAME TO "regress/dir"$$);
SELECT name FROM iopool_directories;

-- rights: the wrapper's USAGE, ownership and EXECUTE do not name a path
CREATE ROLE regress_iopool_app;
CREATE ROLE regress_iopool_reader IN ROLE pg_read_server_files;
GRANT USAGE ON FOREIGN DATA WRAPPER iopool_directory TO regress_iopool_app, regress_iopool_reader;
SET ROLE regress_iopool_app;
-- not a word about which of these paths exist
SELECT create_directory($$OPTIONS (path '@dir')$$);
SELECT create_directory($$OPTIONS (path '@dir/missing')$$);
SELECT create_directory($$OPTIONS (path '@dir/missing', missing_ok 'on')$$);
SELECT create_directory($$OPTIONS (path '@dir/link')$$);
SELECT create_directory($$OPTIONS (path '@data')$$);
SELECT create_directory($$OPTIONS (path '@data', allow_data_directory 'on')$$);
SELECT state, message FROM outcome($$SELECT iopool_directory_validator(ARRAY['path=@dir'], 'pg_foreign_server'::regclass)$$);
SELECT alter_directory($$OPTIONS (ADD pool 'default')$$);
RESET ROLE;

-- the owner of a server changes what is not a path, and the pool with a right to it
ALTER SERVER regress_dir OWNER TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT name, path = :'dir' AS path, may_read FROM iopool_directories;
SELECT state, message, detail FROM outcome($$ALTER SERVER regress_dir OPTIONS (ADD pool 'regress_one')$$);
RESET ROLE;
GRANT SET ON PARAMETER iopool.pool TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT alter_directory($$OPTIONS (ADD pool 'regress_one', ADD io_mode 'direct')$$);
RESET ROLE;
REVOKE SET ON PARAMETER iopool.pool FROM regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT state, message FROM outcome($$ALTER SERVER regress_dir OPTIONS (DROP pool)$$);
SELECT alter_directory($$OPTIONS (SET path '@dir')$$);
SELECT alter_directory($$OPTIONS (SET path '@dir/real')$$);
SELECT alter_directory($$OPTIONS (SET path '@dir/missing')$$);
SELECT alter_directory($$OPTIONS (DROP path)$$);
SELECT alter_directory($$OPTIONS (DROP path, ADD path '@dir/real')$$);
SELECT alter_directory($$OPTIONS (ADD allow_data_directory 'on')$$);
SELECT alter_directory($$OPTIONS (ADD allow_data_directory 'off')$$);
SELECT alter_directory($$OPTIONS (SET allow_data_directory 'on')$$);
SELECT alter_directory($$RENAME TO regress_dir2$$);
ALTER SERVER regress_dir2 RENAME TO regress_dir;
SELECT path = :'dir' AS path, pool, io_mode FROM iopool_directories;
RESET ROLE;

-- pg_read_server_files names a path, but not in the data directory
ALTER SERVER regress_dir OWNER TO regress_iopool_reader;
SET ROLE regress_iopool_reader;
SELECT alter_directory($$OPTIONS (SET path '@dir/real')$$);
SELECT alter_directory($$OPTIONS (SET path '@data/base')$$);
SELECT alter_directory($$OPTIONS (SET path '@data/base', SET allow_data_directory 'on')$$);
SELECT alter_directory($$OPTIONS (SET allow_data_directory 'on')$$);
SELECT create_directory($$OPTIONS (path '@data/base', allow_data_directory 'on')$$);
SELECT create_directory($$OPTIONS (path '@dir/link')$$);
SELECT create_directory($$OPTIONS (path '@dir/real')$$);
RESET ROLE;
-- once a superuser has allowed it, other options can be changed, the path not
SELECT alter_directory($$OPTIONS (SET path '@data/base', SET allow_data_directory 'on')$$);
SET ROLE regress_iopool_reader;
SELECT alter_directory($$OPTIONS (SET pool 'regress_two')$$);
SELECT alter_directory($$OPTIONS (SET path '@data/global')$$);
SELECT alter_directory($$OPTIONS (SET path '@data/global', DROP allow_data_directory)$$);
SELECT alter_directory($$OPTIONS (DROP allow_data_directory, SET path '@dir/real')$$);
RESET ROLE;

-- a SECURITY DEFINER function of a superuser creates what its owner may
CREATE FUNCTION make_directory(path text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	EXECUTE format('CREATE SERVER regress_made FOREIGN DATA WRAPPER iopool_directory OPTIONS (path %L)', path);
END
$$;
SET ROLE regress_iopool_app;
SELECT make_directory(:'dir');
RESET ROLE;
DROP FUNCTION make_directory(text);

-- the view: names for all, paths for owner, pg_read_server_files and superuser
SELECT name, path IS NOT NULL AS path, may_read FROM iopool_directories ORDER BY name;
GRANT USAGE ON FOREIGN SERVER regress_dir TO regress_iopool_app;
ALTER SERVER regress_try OWNER TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT name, path IS NOT NULL AS path, may_read FROM iopool_directories ORDER BY name;
SET ROLE regress_iopool_reader;
SELECT name, path IS NOT NULL AS path, may_read FROM iopool_directories ORDER BY name;
RESET ROLE;

-- the wrapper is known by its validator, whatever it is called
ALTER FOREIGN DATA WRAPPER iopool_directory RENAME TO regress_renamed;
SELECT name FROM iopool_directories ORDER BY name;
SET ROLE regress_iopool_app;
SELECT message FROM outcome($$CREATE SERVER regress_x FOREIGN DATA WRAPPER regress_renamed OPTIONS (path '@dir')$$);
RESET ROLE;
ALTER FOREIGN DATA WRAPPER regress_renamed RENAME TO iopool_directory;
-- without it its servers are no directories, and other wrappers' never are
BEGIN;
ALTER FOREIGN DATA WRAPPER iopool_directory NO VALIDATOR;
SELECT name FROM iopool_directories ORDER BY name;
ROLLBACK;
CREATE FOREIGN DATA WRAPPER regress_other;
GRANT USAGE ON FOREIGN DATA WRAPPER regress_other TO regress_iopool_app;
SET ROLE regress_iopool_app;
CREATE SERVER regress_foreign FOREIGN DATA WRAPPER regress_other OPTIONS (path '/etc');
ALTER SERVER regress_foreign OPTIONS (SET path '/');
RESET ROLE;
SELECT name FROM iopool_directories ORDER BY name;
-- another function of the same library is no such validator
CREATE FUNCTION regress_validator(text[], oid) RETURNS void LANGUAGE c AS '$libdir/iopool', 'iopool_stat_reset';
CREATE FOREIGN DATA WRAPPER regress_validated VALIDATOR regress_validator;
CREATE SERVER regress_validated FOREIGN DATA WRAPPER regress_validated OPTIONS (path '/');
SELECT name FROM iopool_directories ORDER BY name;
DROP FUNCTION regress_validator CASCADE;
-- options and names from before there was a validator: one bad row is told of,
-- read from by nobody, and in nobody's way
ALTER FOREIGN DATA WRAPPER iopool_directory NO VALIDATOR;
CREATE SERVER regress_bad_option FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir', "Pa th" '1', io_mode 'fast');
CREATE SERVER "regress Bad" FOREIGN DATA WRAPPER iopool_directory OPTIONS (missing_ok 'maybe');
CREATE SERVER regress_bad_path FOREIGN DATA WRAPPER iopool_directory OPTIONS (path 'base');
CREATE SERVER regress_bad_none FOREIGN DATA WRAPPER iopool_directory;
CREATE SERVER regress_bad_missing FOREIGN DATA WRAPPER iopool_directory OPTIONS (missing_ok 'on');
CREATE SERVER regress_bad_empty FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '', missing_ok 'on');
CREATE SERVER "regress/b:d" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'dir');
ALTER FOREIGN DATA WRAPPER iopool_directory VALIDATOR iopool_directory_validator;
SELECT name, path = :'dir' AS path, pool, io_mode, may_read FROM iopool_directories ORDER BY name;
SELECT check_name, status, detail, hint FROM iopool_check()
WHERE check_name ~ '^directory_regress.(bad|Bad|b:d)' ORDER BY check_name COLLATE "C";
SELECT count(*) FROM iopool_check() WHERE check_name = 'directory_regress_dir' AND status = 'ok';
SELECT server, f.* FROM unnest(ARRAY['regress_bad_option', 'regress Bad', 'regress_bad_path', 'regress_bad_none']) AS server,
	outcome(format('SELECT iopool_read(%L, 0, 1)', server || ':file')) AS f;
SELECT convert_from(iopool_read('regress_made:file', 0, 1), 'UTF8');
-- its value is not for everybody
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT state, message FROM outcome($$SELECT iopool_read('regress_bad_path:file', 0, 1)$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER regress_bad_path TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT state, message, detail, hint FROM outcome($$SELECT iopool_read('regress_bad_path:file', 0, 1)$$);
RESET ROLE;
-- they are mended as the doctor says, by who may name a path
ALTER SERVER regress_bad_option OWNER TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT state, message FROM outcome($$ALTER SERVER regress_bad_option OPTIONS (DROP "Pa th", DROP io_mode)$$);
RESET ROLE;
SELECT state FROM outcome($$ALTER SERVER regress_bad_option OPTIONS (ADD pool 'default')$$);
SELECT state FROM outcome($$ALTER SERVER regress_bad_option RENAME TO "regress_bad:option"$$);
SELECT outcome(replace(hint, '/where/it/is', '@dir')) FROM iopool_check() WHERE check_name ~ '^directory_regress.(bad|Bad|b:d)' ORDER BY check_name COLLATE "C";
SELECT check_name, status FROM iopool_check()
WHERE check_name ~ '^directory_regress.(bad|Bad|b.d)' AND check_name !~ '_(direct|buffered|uncached|ancestors)$' ORDER BY check_name COLLATE "C";
SELECT convert_from(iopool_read(name || ':file', 0, 1), 'UTF8') FROM iopool_directories WHERE name ~ '^regress.b';
DROP SERVER regress_bad_option, "regress Bad", regress_bad_path, regress_bad_none, regress_bad_missing, regress_bad_empty, regress_b_d;
REVOKE EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) FROM regress_iopool_app;

-- also for a wrapper of another name with our validator
CREATE FOREIGN DATA WRAPPER regress_ours VALIDATOR iopool_directory_validator;
GRANT USAGE ON FOREIGN DATA WRAPPER regress_ours TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT message FROM outcome($$CREATE SERVER regress_x FOREIGN DATA WRAPPER regress_ours OPTIONS (path '@dir')$$);
RESET ROLE;

-- the extension does not go from under its directories
\set VERBOSITY terse
DROP EXTENSION iopool;
SELECT name FROM iopool_directories ORDER BY name;
BEGIN;
DROP EXTENSION iopool CASCADE;
SELECT srvname FROM pg_foreign_server ORDER BY 1;
ROLLBACK;

\set VERBOSITY default
DROP FOREIGN DATA WRAPPER regress_ours;
DROP SERVER regress_foreign;
DROP SERVER regress_dir;
DROP SERVER regress_try;
DROP SERVER regress_made;
DROP FOREIGN DATA WRAPPER regress_other;
DROP FUNCTION alter_directory(text);
DROP FUNCTION create_directory(text);
DROP FUNCTION outcome(text);
DROP OWNED BY regress_iopool_app, regress_iopool_reader;
DROP ROLE regress_iopool_app, regress_iopool_reader;
