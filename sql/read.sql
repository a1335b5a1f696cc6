-- iopool_read(): one range, with pg_read_binary_file()'s meaning of end of file.

SELECT iopool_read('iopool_words', 0, 16);
SELECT iopool_read('iopool_words', 5, 6) AS unaligned;
SELECT iopool_read(path => 'iopool_words', file_offset => 8, length => 8) AS named;
SELECT iopool_read('iopool_one', 0, 1) AS one_byte;

-- end of file: shorter at it, empty past it, never NULL
SELECT iopool_read('iopool_words', 1048576, 100) AS tail;
SELECT iopool_read('iopool_words', 1048579, 1) AS at_end;
SELECT iopool_read('iopool_words', 1048580, 1) AS past_end;
SELECT iopool_read('iopool_words', 4294967296, 8) AS past_2_32;
SELECT iopool_read('iopool_words', 9223372036854775806, 1) AS last_byte_there_can_be, iopool_read('iopool_words', 9223372036854775807, 0) AS last_offset;
SELECT iopool_read('iopool_empty', 0, 8) AS empty_file;
SELECT iopool_read('iopool_words', 0, 0) AS zero_length;
SELECT iopool_read('iopool_words', 2000000, 0) AS zero_length_past_end;
SELECT length(iopool_read('iopool_words', 1048570, 1072693248)) AS longest_length;

-- a negative offset counts from the end; nothing is before the beginning
SELECT iopool_read('iopool_words', -8, 8) AS last_eight, iopool_read('iopool_words', -8, 3) AS some, iopool_read('iopool_words', -8, 100) AS no_more;
SELECT iopool_read('iopool_one', -8, 8) AS one_byte, iopool_read('iopool_one', -8, 7) AS none, iopool_read('iopool_one', -1, 1) AS the_byte;
SELECT iopool_read('iopool_words', -1048579, 8) AS first_eight, iopool_read('iopool_words', -1048583, 8) AS first_four,
	   iopool_read('iopool_words', -1048587, 8) AS none;
SELECT iopool_read('iopool_empty', -1, 1) AS empty_file, iopool_read('iopool_words', -8, 0) AS zero_length;
SELECT iopool_read('iopool_words', -9223372036854775808, 1072693248) AS least_offset, iopool_read('iopool_one', -9223372036854775807, 8) AS next;
SELECT length(iopool_read('iopool_big', -8388700, 8388608)) AS long_one, iopool_read('iopool_big', -1000000, 1000000) = words(7388608, 1000000) AS tail;
SELECT count(*) AS compared,
	   count(*) FILTER (WHERE iopool_read('iopool_words', -o, l)
						IS DISTINCT FROM
						pg_read_binary_file('iopool_words', -o, l)) AS wrong
FROM unnest(ARRAY[1, 3, 8, 511, 512, 513, 4095, 4096, 4097, 65536, 1048575, 1048576, 1048579]) AS o,
	 unnest(ARRAY[0, 1, 7, 8, 511, 512, 513, 4095, 4096, 4097, 65536, 1048576, 1048579, 2000000]) AS l;
-- where the kernel tells no size there is no end, as for pg_read_binary_file
SET iopool.io_mode = 'buffered';
SELECT * FROM failure($$SELECT iopool_read('/proc/self/status', -8, 8)$$);
SELECT state FROM failure($$SELECT iopool_read('/proc/self/status', -200000, 200000)$$);
RESET iopool.io_mode;

-- the same bytes as the independent reader, around every alignment
SELECT count(*) AS compared,
	   count(*) FILTER (WHERE iopool_read('iopool_words', o, l)
						IS DISTINCT FROM
						pg_read_binary_file('iopool_words', o, l)) AS wrong
FROM unnest(ARRAY[0, 1, 7, 8, 511, 512, 513, 4095, 4096, 4097,
				  65535, 1048575, 1048576, 1048578, 1048579, 1048580]) AS o,
	 unnest(ARRAY[0, 1, 7, 8, 511, 512, 513, 4095, 4096, 4097,
				  65536, 1048576, 1048579, 2000000]) AS l;
SELECT iopool_read('iopool_words', 0, 1048579) = words(0, 1048579) AS whole_file;
SELECT iopool_read('iopool_big', 0, 8388608) = words(0, 8388608) AS whole_big_file;
SELECT iopool_read('iopool_big', 12345, 7654321) = words(12345, 7654321) AS most_of_it;

-- whole files
SELECT iopool_read('iopool_one') AS one_byte, iopool_read('iopool_empty') AS empty_file, length(iopool_read('iopool_big')) AS big;
SELECT iopool_read('iopool_words') = words(0, 1048579) AS whole_file, iopool_read('iopool_big') = pg_read_binary_file('iopool_big') AS big_file,
	   iopool_read('PG_VERSION') = pg_read_binary_file('PG_VERSION') AS small_file;
SET iopool.io_mode = 'buffered';
SELECT s LIKE 'Name:%VmPeak:%' AS without_a_size, length(iopool_read('/proc/kallsyms')) > 100000 AS long_one
FROM (SELECT convert_from(iopool_read('/proc/self/status'), 'SQL_ASCII') AS s) AS x;
RESET iopool.io_mode;
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; truncate -s 3G iopool_sparse';
SELECT * FROM failure($$SELECT iopool_read('iopool_sparse')$$);
SELECT length(iopool_read('iopool_sparse', -5, 8)) AS range_of_it;
SELECT * FROM failure($$SELECT iopool_read('iopool_missing')$$);
SELECT * FROM failure($$SELECT iopool_read('base')$$);

-- files that may be missing
SELECT iopool_read('iopool_missing', 0, 8, true) IS NULL AS range, iopool_read('iopool_missing', true) IS NULL AS whole_file,
	   iopool_read('iopool_missing', 0, 200000, true) IS NULL AS long_range, iopool_read('iopool_missing/below', true) IS NULL AS below;
SELECT iopool_read('iopool_words', 8, 8, true) AS range, iopool_read('iopool_one', true) AS whole_file,
	   iopool_read('iopool_words', 2000000, 8, true) AS past_end, iopool_read('iopool_one', 0, 1, false) AS must_be;
SELECT * FROM failure($$SELECT iopool_read('iopool_missing', 0, 8, false)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_missing', false)$$);
-- and no other failure
SELECT * FROM failure($$SELECT iopool_read('base', true)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_words/below', true)$$);
SELECT * FROM failure($$SELECT iopool_read('iopool_missing', 0, -1, true)$$);
SELECT iopool_read(NULL::text) IS NULL AS no_path, iopool_read('iopool_one', NULL::boolean) IS NULL AS no_missing_ok,
	   iopool_read('iopool_words', 0, 8, NULL) IS NULL AS of_a_range;

-- in a table query: one call a row
SELECT n, iopool_read('iopool_words', n * 8, 8) FROM generate_series(1, 3) AS n;
SELECT count(*) FROM generate_series(0, 9999) AS n
WHERE iopool_read('iopool_words', n * 104, 8) = int8send(n * 104);

-- strict
SELECT iopool_read(NULL, 0, 8) IS NULL AS no_path,
	   iopool_read('iopool_words', NULL, 8) IS NULL AS no_offset,
	   iopool_read('iopool_words', 0, NULL) IS NULL AS no_length;

-- the absolute path of the same file
SELECT iopool_read(current_setting('data_directory') || '/iopool_words', 8, 8);

-- bytea results survive being kept
CREATE TEMP TABLE kept AS
	SELECT n AS file_offset, iopool_read('iopool_big', n, 100000) AS data
	FROM generate_series(0, 8000000, 1000000) AS n;
SELECT count(*), bool_and(data = words(file_offset, 100000)) FROM kept;
DROP TABLE kept;
