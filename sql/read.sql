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
SELECT iopool_read('iopool_words', 9223372036854775807, 1) AS last_offset;
SELECT iopool_read('iopool_words', 9223372036854775807, 1072693248) AS past_2_63;
SELECT iopool_read('iopool_empty', 0, 8) AS empty_file;
SELECT iopool_read('iopool_words', 0, 0) AS zero_length;
SELECT iopool_read('iopool_words', 2000000, 0) AS zero_length_past_end;
SELECT length(iopool_read('iopool_words', 1048570, 1072693248)) AS longest_length;

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
