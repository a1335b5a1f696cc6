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

--
-- Asynchronous requests
--

CREATE FUNCTION iopool_submit(
	path text,
	file_offsets bigint[],
	lengths bigint[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'iopool_submit'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION iopool_submit(text, bigint[], bigint[]) IS
'start to read many ranges of a server file, and return at once with the number of the request, which ends when fetched, cancelled or with the transaction';

CREATE FUNCTION iopool_submit(
	paths text[],
	file_offsets bigint[],
	lengths bigint[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'iopool_submit_paths'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION iopool_submit(text[], bigint[], bigint[]) IS
'start to read many ranges of several server files, and return at once with the number of the request';

CREATE FUNCTION iopool_poll(
	request bigint,
	OUT ranges integer,
	OUT completed integer,
	OUT failed integer,
	OUT bytes bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'iopool_poll'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 10;

COMMENT ON FUNCTION iopool_poll(bigint) IS
'how far a request is, without waiting: its ranges, those completed, those of them that failed, and the bytes read';

CREATE FUNCTION iopool_wait(
	request bigint,
	timeout_ms integer DEFAULT -1)
RETURNS boolean
AS 'MODULE_PATHNAME', 'iopool_wait'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION iopool_wait(bigint, integer) IS
'wait until all ranges of a request have completed; false after timeout_ms milliseconds, -1 waits without limit';

CREATE FUNCTION iopool_wait_any(
	requests bigint[],
	timeout_ms integer DEFAULT -1)
RETURNS bigint
AS 'MODULE_PATHNAME', 'iopool_wait_any'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION iopool_wait_any(bigint[], integer) IS
'wait until one of several requests has completed, and return its number; NULL after timeout_ms milliseconds, -1 waits without limit';

CREATE FUNCTION iopool_fetch(
	request bigint,
	on_error text DEFAULT 'raise',
	OUT ordinal integer,
	OUT file_offset bigint,
	OUT length bigint,
	OUT data bytea,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_fetch'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 1000;

COMMENT ON FUNCTION iopool_fetch(bigint, text) IS
'wait for a request and return all its rows in the order of the call, which ends it; on_error is raise or report';

CREATE FUNCTION iopool_fetch_next(
	request bigint,
	max_rows integer DEFAULT 1,
	on_error text DEFAULT 'raise',
	OUT ordinal integer,
	OUT file_offset bigint,
	OUT length bigint,
	OUT data bytea,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_fetch_next'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 1;

COMMENT ON FUNCTION iopool_fetch_next(bigint, integer, text) IS
'up to max_rows rows of a request that were not fetched yet, as they complete, waiting for one; no row: all were fetched, and the request has ended';

CREATE FUNCTION iopool_cancel(
	request bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'iopool_cancel'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000;

COMMENT ON FUNCTION iopool_cancel(bigint) IS
'end a request, after its reads in flight have come in; false if there is no such request';

CREATE FUNCTION iopool_list_requests(
	OUT request bigint,
	OUT pool text,
	OUT ranges integer,
	OUT completed integer,
	OUT failed integer,
	OUT bytes bigint,
	OUT submitted_at timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_list_requests'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;

COMMENT ON FUNCTION iopool_list_requests() IS
'rows of view iopool_requests';

CREATE VIEW iopool_requests AS SELECT * FROM iopool_list_requests();

COMMENT ON VIEW iopool_requests IS
'one row for each request of this session: its pool, and how far it is';

REVOKE ALL ON FUNCTION iopool_submit(text, bigint[], bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_submit(text[], bigint[], bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_poll(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_wait(bigint, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_wait_any(bigint[], integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_fetch(bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_fetch_next(bigint, integer, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_cancel(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_list_requests() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION iopool_submit(text, bigint[], bigint[]) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_submit(text[], bigint[], bigint[]) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_poll(bigint) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_wait(bigint, integer) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_wait_any(bigint[], integer) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_fetch(bigint, text) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_fetch_next(bigint, integer, text) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_cancel(bigint) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_list_requests() TO pg_monitor, pg_read_server_files;

REVOKE ALL ON TABLE iopool_requests FROM PUBLIC;
GRANT SELECT ON TABLE iopool_requests TO pg_monitor, pg_read_server_files;
