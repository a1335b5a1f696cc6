SELECT set_config('smoke.file', :'library', false);

-- Every range of 1000 bytes of a file, in one call, against the server's own
-- reading of the same range.
CREATE PROCEDURE compare() LANGUAGE plpgsql AS $$
DECLARE
	file text := current_setting('smoke.file');
	size bigint := (pg_stat_file(file)).size;
	ranges bigint;
	right_ones bigint;
BEGIN
	SELECT count(*),
		   count(*) FILTER (WHERE b.data = pg_read_binary_file(file, b.file_offset, 1000))
	INTO ranges, right_ones
	FROM iopool_read_batch(file,
			(SELECT array_agg(o) FROM generate_series(0, size, 1000) AS o), ARRAY[1000]) AS b;
	ASSERT ranges > 50 AND ranges = right_ones,
		format('%s of %s ranges are right', right_ones, ranges);
END
$$;

DO $$
DECLARE
	newest text := (SELECT default_version FROM pg_available_extensions WHERE name = 'iopool');
	old text;
	updates integer := 0;
BEGIN
	FOR old IN SELECT version FROM pg_available_extension_versions
			   WHERE name = 'iopool' AND version <> newest
	LOOP
		EXECUTE format('CREATE EXTENSION iopool VERSION %L', old);
		CALL compare();
		ALTER EXTENSION iopool UPDATE;
		CALL compare();
		ASSERT (SELECT extversion FROM pg_extension WHERE extname = 'iopool') = newest;
		DROP EXTENSION iopool;
		updates := updates + 1;
	END LOOP;
	ASSERT updates > 0, 'the package has no earlier version to update from';

	CREATE EXTENSION iopool;
	CALL compare();
	ASSERT (SELECT value FROM iopool_info() WHERE name = 'version') = newest,
		'the library is of another version than the scripts';
END
$$;

SELECT * FROM iopool_info();
