-- iopool_read_array() and iopool_prefetch().

SELECT iopool_read_array('iopool_words', ARRAY[0, 8, 20], ARRAY[8, 16, 3]);
SELECT iopool_read_array('iopool_words', ARRAY[0, 8, 20], ARRAY[4]);
SELECT iopool_read_array(ARRAY['iopool_words', 'iopool_other'], ARRAY[0, 8], ARRAY[8, 8]);
SELECT iopool_read_array(path => 'iopool_words', file_offsets => '{16}'::bigint[],
						 lengths => '{8}'::bigint[], on_error => 'raise');
SELECT iopool_read_array(path => 'iopool_words', file_offsets => '{16}'::bigint[],
						 lengths => ARRAY[8], on_error => 'report');
SELECT iopool_read_array(paths => '{iopool_one}'::text[], file_offsets => '{0}'::bigint[],
						 lengths => '{8}'::bigint[], on_error => 'report');

-- end of file; no ranges; subscripts
SELECT iopool_read_array('iopool_words', ARRAY[1048576, 1048579, 9223372036854775791, 8], ARRAY[16, 16, 16, 0]);
SELECT iopool_read_array('iopool_words', '{}'::bigint[], ARRAY[8]) AS none,
	   iopool_read_array('iopool_words', '{}'::bigint[], '{}'::bigint[]) AS none,
	   iopool_read_array('{}'::text[], '{}'::bigint[], '{}'::bigint[]) AS none;
SELECT array_dims(iopool_read_array('iopool_words', '[7:9]={0,8,16}'::bigint[], ARRAY[8]));

-- strict
SELECT iopool_read_array(NULL::text, ARRAY[0], ARRAY[8]) IS NULL AS no_path,
	   iopool_read_array('iopool_words', NULL::bigint[], ARRAY[8]) IS NULL AS no_offsets,
	   iopool_read_array('iopool_words', ARRAY[0], NULL::bigint[]) IS NULL AS no_length,
	   iopool_read_array('iopool_words', ARRAY[0], ARRAY[8], NULL) IS NULL AS no_on_error;

-- a failed range is NULL in its own place
SELECT iopool_read_array(ARRAY['iopool_words', 'iopool_missing', 'iopool_one'],
						 ARRAY[8, 0, 0], ARRAY[8, 8, 1], 'report');
SELECT iopool_read_array(ARRAY['iopool_words', 'iopool_missing', 'iopool_one'],
						 ARRAY[8, 0, 0], ARRAY[8, 8, 1]);

-- many elements, and large ones
SELECT cardinality(a), (SELECT count(*) FROM unnest(a) WITH ORDINALITY AS u(data, place)
						WHERE data = int8send((place - 1) * 96)) AS right_ones
FROM iopool_read_array('iopool_words', (SELECT array_agg(n * 96 ORDER BY n) FROM generate_series(0, 9999) AS n), ARRAY[8]) AS a;
SELECT bool_and(data = words((place - 1) * 1000000 + 3, 1000000)), count(*)
FROM unnest(iopool_read_array('iopool_big', ARRAY[3, 1000003, 2000003, 3000003, 4000003, 5000003, 6000003], ARRAY[1000000]))
	WITH ORDINALITY AS u(data, place);
SET iopool.max_in_flight_bytes = '4kB';
SELECT bool_and(data = words((place - 1) * 1000000 + 3, 1000000)), count(*)
FROM unnest(iopool_read_array('iopool_big', ARRAY[3, 1000003, 2000003, 3000003, 4000003, 5000003, 6000003], ARRAY[1000000]))
	WITH ORDINALITY AS u(data, place);
RESET iopool.max_in_flight_bytes;

-- one call a row, arrays from a table
SELECT id, iopool_read_array(path, offsets, ARRAY[8])
FROM (VALUES (1, 'iopool_words', ARRAY[0, 8]), (2, 'iopool_other', ARRAY[8]),
			 (3, NULL, ARRAY[8])) AS t(id, path, offsets)
ORDER BY id;

-- negative offsets
SELECT iopool_read_array(ARRAY['iopool_words', 'iopool_one', 'iopool_empty'], ARRAY[-8, -8, -8], ARRAY[8]);
SELECT bool_and(a[n] = pg_read_binary_file('iopool_words', -n * 100, 50)) AS same
FROM iopool_read_array('iopool_words', (SELECT array_agg(-n * 100 ORDER BY n) FROM generate_series(1, 5000) AS n), ARRAY[50]) AS a, generate_series(1, 5000) AS n;

-- prefetch returns how many ranges it hinted
SELECT iopool_prefetch('iopool_words', ARRAY[0, 4096, 8192], ARRAY[4096, 4096, 100]);
SELECT iopool_prefetch(path => 'iopool_words', file_offsets => '{0}'::bigint[], lengths => '{1048579}'::bigint[]);
SELECT iopool_prefetch('iopool_words', ARRAY[0, 4096, 8192], ARRAY[4096]) AS one_length;
SELECT iopool_prefetch('iopool_words', ARRAY[-4096, -1048579, -1048580, -9223372036854775808], ARRAY[4096, 1, 1, 100]) AS two_from_the_end;
SELECT * FROM failure($$SELECT iopool_prefetch('/proc/self/status', ARRAY[-8], ARRAY[8])$$);
SELECT iopool_prefetch('iopool_words', '{}'::bigint[], '{}'::bigint[]);
SELECT iopool_prefetch('iopool_words', NULL, ARRAY[1]) IS NULL AS strict;
SELECT iopool_prefetch('iopool_missing', ARRAY[0], ARRAY[8]);
SELECT iopool_read('iopool_words', 4096, 8) AS after_prefetch;
-- no more than there is, wherever a range ends, and whatever the size says
SELECT iopool_prefetch('iopool_words', ARRAY[1048578, 1048579, 9223372035782082559, 9223372036854775799, 0],
	ARRAY[1072693248, 1072693248, 1072693248, 8, 0]);
SET statement_timeout = '1min';
SELECT iopool_prefetch('/proc/self/status', ARRAY[0, 9223372035782082559], ARRAY[1072693248, 1072693248]);
RESET statement_timeout;
