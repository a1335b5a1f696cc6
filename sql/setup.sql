-- What every other topic builds on: the extension, files whose content is
-- known, and an independent reader to compare with.
--
-- Each 8-byte word of a word file tells its own offset, big-endian, so a byte
-- from a wrong place cannot go unnoticed.  The files lie in the data directory
-- and go away with the test instance.

CREATE EXTENSION iopool;

-- Not sorted, because generate_series() counts up: sorts of a million words
-- would take more time than all that is tested.
CREATE FUNCTION words(file_offset bigint, length bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(substr(string_agg(int8send(w), ''::bytea),
						   (file_offset % 8)::int + 1, length::int), '')
	FROM generate_series(file_offset - file_offset % 8,
						 file_offset + length - 1, 8) AS w
$$;

CREATE FUNCTION write_file(name text, content bytea) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	lo oid := lo_from_bytea(0, content);
BEGIN
	PERFORM lo_export(lo, name);
	PERFORM lo_unlink(lo);
END
$$;

SELECT write_file('iopool_words', words(0, 1024 * 1024 + 3));
SELECT write_file('iopool_big', words(0, 8 * 1024 * 1024));
-- words of iopool_other start at 2^40, so the files differ in every word
SELECT write_file('iopool_other', words(1099511627776, 65536));
SELECT write_file('iopool_empty', '');
SELECT write_file('iopool_one', '\xff');

SELECT words(4, 9) AS "words 0, 8 and 16, cut";

-- Runs a statement that must fail; shows how.  The failure also passes through
-- a subtransaction abort.
CREATE FUNCTION failure(statement text,
						OUT state text, OUT message text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no failure';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
	message := SQLERRM;
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	hint := nullif(hint, '');
END
$$;

-- Number of ranges of which iopool_read_batch() returns something else than
-- pg_read_binary_file() does, or nothing, or more than once.
CREATE FUNCTION wrong_ranges(paths text[], file_offsets bigint[],
							 lengths bigint[], in_order boolean = true)
RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FILTER (WHERE b.error IS NOT NULL
		OR b.file_offset IS DISTINCT FROM r.file_offset
		OR b.length IS DISTINCT FROM r.length
		OR b.data IS DISTINCT FROM
			pg_read_binary_file(r.path, r.file_offset, r.length))
		+ abs(count(b.ordinal) - cardinality(paths))
	FROM unnest(paths, file_offsets, lengths)
			WITH ORDINALITY AS r(path, file_offset, length, ordinal)
		FULL JOIN iopool_read_batch(paths, file_offsets, lengths,
									in_order => in_order) AS b
			USING (ordinal)
$$;
