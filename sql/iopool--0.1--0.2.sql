/* sql/iopool--0.1--0.2.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION iopool UPDATE TO '0.2'" to load this file. \quit

--
-- The doctor
--

CREATE FUNCTION iopool_check(
	OUT check_name text,
	OUT status text,
	OUT detail text,
	OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_check'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION iopool_check() IS
'what could be wrong around iopool: status (ok, warn, fail), the measured fact, and a hint that can be pasted';

REVOKE ALL ON FUNCTION iopool_check() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION iopool_check() TO pg_monitor;

--
-- Directories
--

CREATE FUNCTION iopool_directory_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'iopool_directory_validator'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION iopool_directory_validator(text[], oid) IS
'validator of the foreign-data wrapper iopool_directory';

-- CREATE SERVER calls it without asking for this right
REVOKE ALL ON FUNCTION iopool_directory_validator(text[], oid) FROM PUBLIC;

CREATE FOREIGN DATA WRAPPER iopool_directory
	NO HANDLER
	VALIDATOR iopool_directory_validator;

COMMENT ON FOREIGN DATA WRAPPER iopool_directory IS
'its servers are directories, whose files are read as "server:relative/path" by roles with USAGE on the server';

CREATE FUNCTION iopool_list_directories(
	OUT name text,
	OUT path text,
	OUT pool text,
	OUT io_mode text,
	OUT may_read boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_list_directories'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 10;

COMMENT ON FUNCTION iopool_list_directories() IS
'rows of view iopool_directories';

CREATE VIEW iopool_directories AS SELECT * FROM iopool_list_directories();

COMMENT ON VIEW iopool_directories IS
'one row for each directory; path is NULL for roles that may not see it, pool and io_mode are NULL where the session''s apply';

GRANT SELECT ON TABLE iopool_directories TO PUBLIC;
