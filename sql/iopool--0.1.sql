/* sql/iopool--0.1.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION iopool" to load this file. \quit

--
-- Planner support
--

CREATE FUNCTION iopool_batch_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'iopool_batch_support'
LANGUAGE C STRICT;

COMMENT ON FUNCTION iopool_batch_support(internal) IS
'planner support: rows and cost of a batch from its array arguments';

--
-- Reading
--

CREATE FUNCTION iopool_read(
	path text,
	file_offset bigint,
	length bigint)
RETURNS bytea
AS 'MODULE_PATHNAME', 'iopool_read'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000;

COMMENT ON FUNCTION iopool_read(text, bigint, bigint) IS
'read length bytes at file_offset (bytes) of a server file; shorter at end of file, empty past it';

CREATE FUNCTION iopool_read_batch(
	path text,
	file_offsets bigint[],
	lengths bigint[],
	on_error text DEFAULT 'raise',
	in_order boolean DEFAULT true,
	OUT ordinal integer,
	OUT file_offset bigint,
	OUT length bigint,
	OUT data bytea,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_read_batch'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000 ROWS 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_batch(text, bigint[], bigint[], text, boolean) IS
'read many ranges of a server file at once, a row for each; on_error is raise or report, in_order => false returns rows as they complete';

CREATE FUNCTION iopool_read_batch(
	path text,
	file_offsets bigint[],
	length bigint,
	on_error text DEFAULT 'raise',
	in_order boolean DEFAULT true,
	OUT ordinal integer,
	OUT file_offset bigint,
	OUT length bigint,
	OUT data bytea,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_read_batch_length'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000 ROWS 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_batch(text, bigint[], bigint, text, boolean) IS
'read many ranges of one length of a server file at once, a row for each';

CREATE FUNCTION iopool_read_batch(
	paths text[],
	file_offsets bigint[],
	lengths bigint[],
	on_error text DEFAULT 'raise',
	in_order boolean DEFAULT true,
	OUT ordinal integer,
	OUT file_offset bigint,
	OUT length bigint,
	OUT data bytea,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_read_batch_paths'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000 ROWS 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_batch(text[], bigint[], bigint[], text, boolean) IS
'read many ranges of several server files at once, a row for each';

CREATE FUNCTION iopool_read_array(
	path text,
	file_offsets bigint[],
	lengths bigint[],
	on_error text DEFAULT 'raise')
RETURNS bytea[]
AS 'MODULE_PATHNAME', 'iopool_read_array'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_array(text, bigint[], bigint[], text) IS
'read many ranges of a server file at once, as one array; an element is NULL where on_error is report and its range failed';

CREATE FUNCTION iopool_read_array(
	path text,
	file_offsets bigint[],
	length bigint,
	on_error text DEFAULT 'raise')
RETURNS bytea[]
AS 'MODULE_PATHNAME', 'iopool_read_array_length'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_array(text, bigint[], bigint, text) IS
'read many ranges of one length of a server file at once, as one array';

CREATE FUNCTION iopool_read_array(
	paths text[],
	file_offsets bigint[],
	lengths bigint[],
	on_error text DEFAULT 'raise')
RETURNS bytea[]
AS 'MODULE_PATHNAME', 'iopool_read_array_paths'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000
SUPPORT iopool_batch_support;

COMMENT ON FUNCTION iopool_read_array(text[], bigint[], bigint[], text) IS
'read many ranges of several server files at once, as one array';

CREATE FUNCTION iopool_prefetch(
	path text,
	file_offsets bigint[],
	lengths bigint[])
RETURNS bigint
AS 'MODULE_PATHNAME', 'iopool_prefetch'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1000;

COMMENT ON FUNCTION iopool_prefetch(text, bigint[], bigint[]) IS
'tell the kernel to bring ranges of a server file into the page cache; returns how many ranges were hinted';

--
-- Introspection
--

CREATE FUNCTION iopool_info(
	OUT name text,
	OUT value text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_info'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION iopool_info() IS
'version, method chosen and why, kernel, libraries and limits';

CREATE FUNCTION iopool_stat_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'iopool_stat_reset'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION iopool_stat_reset() IS
'start the counters of every pool from zero';

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
	OUT stale_completions bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_stat_pools'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 4;

COMMENT ON FUNCTION iopool_stat_pools() IS
'rows of view iopool_pools';

CREATE VIEW iopool_pools AS SELECT * FROM iopool_stat_pools();

COMMENT ON VIEW iopool_pools IS
'one row for each pool: configuration, rings in use, counters since stats_reset, read latency percentiles in microseconds';

CREATE FUNCTION iopool_stat_rings(
	OUT pool text,
	OUT ring integer,
	OUT state text,
	OUT pid integer,
	OUT generation bigint,
	OUT in_flight integer,
	OUT reads bigint,
	OUT leased_since timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'iopool_stat_rings'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 20;

COMMENT ON FUNCTION iopool_stat_rings() IS
'rows of view iopool_rings';

CREATE VIEW iopool_rings AS SELECT * FROM iopool_stat_rings();

COMMENT ON VIEW iopool_rings IS
'one row for each ring: state (free, leased, draining, broken), owner, reads in flight';

--
-- Rights
--

REVOKE ALL ON FUNCTION iopool_read(text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read_batch(text, bigint[], bigint[], text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read_batch(text, bigint[], bigint, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read_batch(text[], bigint[], bigint[], text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read_array(text, bigint[], bigint[], text) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read_array(text, bigint[], bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_read_array(text[], bigint[], bigint[], text) FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_prefetch(text, bigint[], bigint[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read_batch(text, bigint[], bigint[], text, boolean) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read_batch(text, bigint[], bigint, text, boolean) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read_batch(text[], bigint[], bigint[], text, boolean) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read_array(text, bigint[], bigint[], text) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read_array(text, bigint[], bigint, text) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_read_array(text[], bigint[], bigint[], text) TO pg_read_server_files;
GRANT EXECUTE ON FUNCTION iopool_prefetch(text, bigint[], bigint[]) TO pg_read_server_files;

REVOKE ALL ON FUNCTION iopool_stat_reset() FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_stat_pools() FROM PUBLIC;
REVOKE ALL ON FUNCTION iopool_stat_rings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION iopool_stat_pools() TO pg_monitor;
GRANT EXECUTE ON FUNCTION iopool_stat_rings() TO pg_monitor;

REVOKE ALL ON TABLE iopool_pools FROM PUBLIC;
REVOKE ALL ON TABLE iopool_rings FROM PUBLIC;
GRANT SELECT ON TABLE iopool_pools TO pg_monitor;
GRANT SELECT ON TABLE iopool_rings TO pg_monitor;
