\echo Use "CREATE EXTENSION iopool_consumer" to load this file. \quit

-- A graph on disk, and the nearest nodes of it (graph.c, search.c)

CREATE FUNCTION consumer_make_graph(path text, nodes int, seed int DEFAULT 1)
RETURNS bigint LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION consumer_search(path text, query float4[], k int, beam int,
	ef int DEFAULT 64, io_mode text DEFAULT 'session', buffers text DEFAULT 'engine', pool text DEFAULT '',
	OUT ids int[], OUT distances float4[], OUT nodes_read bigint, OUT kernel_reads bigint, OUT max_in_flight int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION consumer_search_pread(path text, query float4[], k int, ef int DEFAULT 64, is_direct bool DEFAULT false,
	OUT ids int[], OUT distances float4[], OUT nodes_read bigint, OUT kernel_reads bigint, OUT max_in_flight int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION consumer_brute_force(path text, query float4[], k int,
	OUT ids int[], OUT distances float4[], OUT nodes_read bigint, OUT kernel_reads bigint, OUT max_in_flight int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- Rows that are read ahead (blocks.c)

CREATE FUNCTION consumer_blocks(path text, offsets bigint[], length int, depth int DEFAULT 8,
	io_mode text DEFAULT 'session', pool text DEFAULT '')
RETURNS SETOF bytea LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- The table (consumer.c)

CREATE FUNCTION consumer_with_table(version int, size int) RETURNS text LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_without_table() RETURNS text LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- Memory contexts, files and buffers (handles.c)

CREATE FUNCTION consumer_context(name text, parent text DEFAULT 'transaction') RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_context_reset(name text) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_context_delete(name text) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_bogus() RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION consumer_open(path text, access text DEFAULT 'trusted', io_mode text DEFAULT 'session',
	context text DEFAULT 'transaction')
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_open_in(directory text, relative text, access text DEFAULT 'trusted',
	io_mode text DEFAULT 'session', context text DEFAULT 'transaction')
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_close(file int) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_file_info(file int, OUT file_size bigint, OUT io_mode text, OUT alignment int, OUT pool text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION consumer_buffer(context text, size bigint, alignment bigint DEFAULT 0)
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_buffer_free(buffer int) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_buffer_data(buffer int, start bigint, length bigint)
RETURNS bytea LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_check_aligned(file int, file_offset bigint, length bigint, buffer int, shift int DEFAULT 0)
RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- Streams and pools (streams.c)

CREATE FUNCTION consumer_begin(context text DEFAULT 'transaction', pool text DEFAULT '', in_order bool DEFAULT false,
	is_aligned bool DEFAULT false, max_in_flight_bytes bigint DEFAULT 0, merge_gap int DEFAULT 0,
	header_size bigint DEFAULT 0, buffer_context text DEFAULT '', owner text DEFAULT 'current')
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_begin_default() RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_add(stream int, file int, file_offset bigint, length bigint, cookie bigint DEFAULT 0,
	buffer int DEFAULT 0, shift int DEFAULT 0, buffer_size bigint DEFAULT -1)
RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_submit(stream int) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_take(stream int, max int DEFAULT 1000, timeout_ms int DEFAULT -1, buffers text DEFAULT 'release',
	OUT cookie bigint, OUT file_offset bigint, OUT length bigint, OUT nbytes bigint, OUT errnum int, OUT data bytea, OUT buffer int)
RETURNS SETOF record LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_take_cancelled(stream int) RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_raise_last() RETURNS text LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_outstanding(stream int) RETURNS bigint LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_release(stream int, buffer int) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_cancel(stream int) RETURNS bigint LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_end(stream int) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_stream_stats(stream int, OUT nadded bigint, OUT ntaken bigint, OUT nreads bigint, OUT nbytes bigint,
	OUT in_flight int, OUT max_in_flight int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_pool_stats(pool text DEFAULT '', OUT method text, OUT nrings int, OUT nfree int, OUT nin_use int,
	OUT nbroken int, OUT nwaiting int, OUT entries int, OUT has_lease bool, OUT in_flight int, OUT checkouts bigint,
	OUT waits bigint, OUT wait_us bigint, OUT timeouts bigint, OUT nreads bigint, OUT nbytes bigint, OUT max_in_flight int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- Structs of other sizes (sizes.c)

CREATE FUNCTION consumer_begin_sized(size text) RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_open_with(path text, directory text DEFAULT '', is_trusted bool DEFAULT true, missing_ok bool DEFAULT false,
	from_end bool DEFAULT false, io_mode text DEFAULT 'session', size text DEFAULT 'full')
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_fill_sized(kind text, object int, size text) RETURNS bool LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- All that a stream has left, whatever the number of calls, in the order in which it came

CREATE FUNCTION consumer_take_all(stream int, buffers text DEFAULT 'release',
	OUT cookie bigint, OUT file_offset bigint, OUT length bigint, OUT nbytes bigint, OUT errnum int, OUT data bytea, OUT buffer int)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		RETURN QUERY SELECT * FROM consumer_take(stream, 100, -1, buffers);
		EXIT WHEN NOT FOUND;
	END LOOP;
END $$;

-- SQLSTATE, message and detail of a statement that fails, "none" if it does not

CREATE FUNCTION consumer_outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ': ' || SQLERRM || CASE WHEN detail <> '' THEN ' ' || detail ELSE '' END;
END $$;

-- Reads into the memory of a parallel query (shared.c)

CREATE FUNCTION consumer_shared(path text, offsets bigint[], length int, nworkers int, io_mode text DEFAULT 'session', fail_after int DEFAULT -1,
	OUT sum bigint, OUT blocks_by_workers int, OUT nworkers_launched int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- Reads into shared memory of the server (shmem.c)

CREATE FUNCTION consumer_shmem_read(path text, first int, io_mode text DEFAULT 'session', fails bool DEFAULT false)
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION consumer_shmem_data() RETURNS bytea LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- A background worker (worker.c)

CREATE FUNCTION consumer_worker(path text, first int, io_mode text DEFAULT 'session', access text DEFAULT 'trusted',
	connects bool DEFAULT false, fails bool DEFAULT false)
RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';

-- An index on disk, with parallel scans (index.c)

CREATE FUNCTION consumer_index_handler(internal) RETURNS index_am_handler LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE ACCESS METHOD consumer_index TYPE INDEX HANDLER consumer_index_handler;
CREATE OPERATOR CLASS consumer_index_ops DEFAULT FOR TYPE bigint USING consumer_index AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >;
