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
