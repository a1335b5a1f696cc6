/* sql/iopool--0.2--0.3.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION iopool UPDATE TO '0.3'" to load this file. \quit

--
-- Functions with one length for all ranges: lengths may have one element
--

-- DROP FUNCTION would name what depends on them too, and advise CASCADE
DO LANGUAGE plpgsql $$
DECLARE
	dependents text;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.format('%s depends on function %s.',
			CASE WHEN r.oid IS NULL
				THEN pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
				ELSE pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class, 0)
			END, d.refobjid::pg_catalog.regprocedure), E'\n'
			ORDER BY d.classid, d.objid, d.refobjid)
		INTO dependents
		FROM (SELECT DISTINCT classid, objid, objsubid, refobjid
				FROM pg_catalog.pg_depend
				WHERE refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
				AND refobjid IN (
					'iopool_read_batch(text, bigint[], bigint, text, boolean)'::pg_catalog.regprocedure,
					'iopool_read_array(text, bigint[], bigint, text)'::pg_catalog.regprocedure)) AS d
			LEFT JOIN pg_catalog.pg_rewrite AS r
				ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
				AND r.oid = d.objid;
	IF dependents IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = 'cannot update extension "iopool" to version 0.3 because other objects depend on functions that it drops',
			DETAIL = dependents,
			HINT = 'Replace the argument "length" by the array "ARRAY[length]" in these objects, then update the extension again.';
	END IF;
END
$$;

DROP FUNCTION iopool_read_batch(text, bigint[], bigint, text, boolean);
DROP FUNCTION iopool_read_array(text, bigint[], bigint, text);

--
-- Whole files, and files that may be missing
--

CREATE FUNCTION iopool_read(
	path text,
	file_offset bigint,
	length bigint,
	missing_ok boolean)
RETURNS bytea
AS 'MODULE_PATHNAME', 'iopool_read_missing_ok'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000;

COMMENT ON FUNCTION iopool_read(text, bigint, bigint, boolean) IS
'read length bytes at file_offset of a server file; NULL where there is no such file, if missing_ok';

CREATE FUNCTION iopool_read(
	path text)
RETURNS bytea
AS 'MODULE_PATHNAME', 'iopool_read_file'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000;

COMMENT ON FUNCTION iopool_read(text) IS
'read a whole server file';

CREATE FUNCTION iopool_read(
	path text,
	missing_ok boolean)
RETURNS bytea
AS 'MODULE_PATHNAME', 'iopool_read_file_missing_ok'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000;

COMMENT ON FUNCTION iopool_read(text, boolean) IS
'read a whole server file; NULL where there is no such file, if missing_ok';

CREATE FUNCTION iopool_read_files(
	paths text[],
	on_error text DEFAULT 'raise',
	in_order boolean DEFAULT true,
	OUT ordinal integer,
	OUT path text,
	OUT size bigint,
	OUT modified timestamp with time zone,
	OUT data bytea,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_read_files'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000 ROWS 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_files(text[], text, boolean) IS
'read many whole server files at once, a row for each, with size (bytes) and time of the file that was read; on_error is raise or report, in_order => false returns rows as they complete';

REVOKE ALL ON FUNCTION iopool_read_files(text[], text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION iopool_read_files(text[], text, boolean) TO pg_read_server_files;

REVOKE ALL ON FUNCTION iopool_read(text, bigint, bigint, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read(text, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint, boolean) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read(text) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read(text, boolean) TO pg_read_server_files;

--
-- Views: what depends on them stays, so new columns are the last
--

ALTER FUNCTION iopool_stat_pools() RENAME TO iopool_stat_pools_0_2;
ALTER FUNCTION iopool_stat_rings() RENAME TO iopool_stat_rings_0_2;

CREATE FUNCTION iopool_stat_pools(
	OUT name text,
	OUT method text,
	OUT rings integer,
	OUT entries integer,
	OUT in_use integer,
	OUT waiting integer,
	OUT reads bigint,
	OUT bytes bigint,
	OUT short_reads bigint,
	OUT retries bigint,
	OUT errors bigint,
	OUT splits bigint,
	OUT merges bigint,
	OUT checkouts bigint,
	OUT checkout_waits bigint,
	OUT checkout_wait_ms double precision,
	OUT checkout_timeouts bigint,
	OUT resets bigint,
	OUT reclaims bigint,
	OUT max_in_flight integer,
	OUT p50_us double precision,
	OUT p95_us double precision,
	OUT p99_us double precision,
	OUT stats_reset timestamp with time zone,
	OUT broken integer,
	OUT stale_completions bigint,
	OUT takeovers bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_stat_pools'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 4;

COMMENT ON FUNCTION iopool_stat_pools() IS
'rows of view iopool_pools';

CREATE OR REPLACE VIEW iopool_pools AS SELECT * FROM iopool_stat_pools();

CREATE FUNCTION iopool_stat_rings(
	OUT pool text,
	OUT ring integer,
	OUT state text,
	OUT pid integer,
	OUT generation bigint,
	OUT in_flight integer,
	OUT reads bigint,
	OUT leased_since timestamp with time zone,
	OUT parked_since timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_stat_rings'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION iopool_stat_rings() IS
'rows of view iopool_rings';

CREATE OR REPLACE VIEW iopool_rings AS SELECT * FROM iopool_stat_rings();

COMMENT ON VIEW iopool_rings IS
'one row for each ring: state (free, leased, draining, broken), owner, reads in flight; parked_since: its owner is elsewhere, and others may take it when its reads are in';

DROP FUNCTION iopool_stat_pools_0_2();
DROP FUNCTION iopool_stat_rings_0_2();

CREATE FUNCTION iopool_stat_waiters(
	OUT pool text,
	OUT place integer,
	OUT pid integer,
	OUT waiting_since timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_stat_waiters'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 4;

COMMENT ON FUNCTION iopool_stat_waiters() IS
'rows of view iopool_waiters';

CREATE VIEW iopool_waiters AS SELECT * FROM iopool_stat_waiters();

COMMENT ON VIEW iopool_waiters IS
'one row for each backend that waits for a ring: its place in the line of the pool, from 1, and since when it waits';

REVOKE ALL ON FUNCTION iopool_stat_pools() FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_stat_rings() FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_stat_waiters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION iopool_stat_pools() TO pg_monitor;
GRANT EXECUTE ON FUNCTION iopool_stat_rings() TO pg_monitor;
GRANT EXECUTE ON FUNCTION iopool_stat_waiters() TO pg_monitor;
REVOKE ALL ON TABLE iopool_waiters FROM PUBLIC;
GRANT SELECT ON TABLE iopool_waiters TO pg_monitor;

--
-- Comments
--

COMMENT ON FUNCTION iopool_read(text, bigint, bigint) IS
'read length bytes at file_offset (bytes, negative from the end) of a server file; shorter at end of file, empty past it';

COMMENT ON FUNCTION iopool_read_batch(text, bigint[], bigint[], text, boolean) IS
'read many ranges of a server file at once, a row for each; lengths has one element for each range, or one for all; on_error is raise or report, in_order => false returns rows as they complete';

COMMENT ON FUNCTION iopool_read_batch(text[], bigint[], bigint[], text, boolean) IS
'read many ranges of several server files at once, a row for each; lengths has one element for each range, or one for all';

COMMENT ON FUNCTION iopool_read_array(text, bigint[], bigint[], text) IS
'read many ranges of a server file at once, as one array; lengths has one element for each range, or one for all; an element is NULL where on_error is report and its range failed';

COMMENT ON FUNCTION iopool_read_array(text[], bigint[], bigint[], text) IS
'read many ranges of several server files at once, as one array; lengths has one element for each range, or one for all';

COMMENT ON FUNCTION iopool_prefetch(text, bigint[], bigint[]) IS
'tell the kernel to bring ranges of bytes of a file into the page cache, as far as the file goes, and at most a quarter of the machine''s memory in one call; returns how many ranges were hinted whole';

--
-- Numbers: they compute and touch no file, so EXECUTE stays with PUBLIC
--

CREATE FUNCTION iopool_int2s(data bytea) RETURNS smallint[]
AS 'MODULE_PATHNAME', 'iopool_int2s'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION iopool_int4s(data bytea) RETURNS integer[]
AS 'MODULE_PATHNAME', 'iopool_int4s'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION iopool_int8s(data bytea) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'iopool_int8s'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION iopool_float2s(data bytea) RETURNS real[]
AS 'MODULE_PATHNAME', 'iopool_float2s'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION iopool_float4s(data bytea) RETURNS real[]
AS 'MODULE_PATHNAME', 'iopool_float4s'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION iopool_float8s(data bytea) RETURNS double precision[]
AS 'MODULE_PATHNAME', 'iopool_float8s'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION iopool_int2s(bytea) IS
'bytes as little-endian integers of two bytes, in their order';
COMMENT ON FUNCTION iopool_int4s(bytea) IS
'bytes as little-endian integers of four bytes, in their order';
COMMENT ON FUNCTION iopool_int8s(bytea) IS
'bytes as little-endian integers of eight bytes, in their order';
COMMENT ON FUNCTION iopool_float2s(bytea) IS
'bytes as little-endian half floats (IEEE 754 binary16), in their order; each is exactly a real';
COMMENT ON FUNCTION iopool_float4s(bytea) IS
'bytes as little-endian floats of four bytes, in their order';
COMMENT ON FUNCTION iopool_float8s(bytea) IS
'bytes as little-endian floats of eight bytes, in their order';

--
-- What files there are
--

CREATE FUNCTION iopool_stat(
	path text,
	missing_ok boolean DEFAULT false,
	OUT size bigint,
	OUT modified timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_stat'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 1;

CREATE FUNCTION iopool_list(
	path text,
	pattern text DEFAULT '*',
	OUT path text,
	OUT size bigint,
	OUT modified timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_list'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000 ROWS 1000;

COMMENT ON FUNCTION iopool_stat(text, boolean) IS
'size of a file in bytes, and when it was last modified; with missing_ok, no row where there is no such file';
COMMENT ON FUNCTION iopool_list(text, text) IS
'regular files below a directory: paths for the reading functions, sizes in bytes, times of last modification; pattern is a glob for the path below the directory (*, ?, [a-z], and ** for several levels)';

REVOKE ALL ON FUNCTION iopool_stat(text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_list(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION iopool_stat(text, boolean) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_list(text, text) TO pg_read_server_files;

--
-- Directories as foreign tables
--

CREATE FUNCTION iopool_directory_handler() RETURNS fdw_handler
AS 'MODULE_PATHNAME', 'iopool_directory_handler'
LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION iopool_directory_handler() IS
'handler of the foreign-data wrapper iopool_directory';

REVOKE ALL ON FUNCTION iopool_directory_handler() FROM PUBLIC;

-- The wrapper may have been renamed.  The WARNING that tables may behave in another
-- way means nothing here: there were none that could be read.
DO LANGUAGE plpgsql $$
DECLARE
	client_level text := pg_catalog.current_setting('client_min_messages');
	log_level text := pg_catalog.current_setting('log_min_messages');
	wrapper pg_catalog.name;
BEGIN
	PERFORM pg_catalog.set_config('client_min_messages', 'error', true),
		pg_catalog.set_config('log_min_messages', 'error', true);
	FOR wrapper IN
		SELECT w.fdwname
		FROM pg_catalog.pg_foreign_data_wrapper AS w, pg_catalog.pg_depend AS d,
			pg_catalog.pg_extension AS e
		WHERE d.classid = 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass
		AND d.objid = w.oid
		AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
		AND d.refobjid = e.oid
		AND d.deptype = 'e'
		AND e.extname = 'iopool'
	LOOP
		EXECUTE pg_catalog.format(
			'ALTER FOREIGN DATA WRAPPER %I HANDLER iopool_directory_handler', wrapper);
	END LOOP;
	PERFORM pg_catalog.set_config('client_min_messages', client_level, true),
		pg_catalog.set_config('log_min_messages', log_level, true);
END
$$;
