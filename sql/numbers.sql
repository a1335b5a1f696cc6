-- Bytes as little-endian numbers: compared with arithmetic over get_byte(), with
-- core's own binary output, and with what IEEE 754 says.

-- names, flags, rights: everybody calls them, and nothing is hidden from a view
SELECT p.oid::regprocedure::text COLLATE "C" AS function, pg_get_function_arguments(p.oid) AS arguments,
	   pg_get_function_result(p.oid) AS result, provolatile, proisstrict, proparallel, proleakproof,
	   has_function_privilege('public', p.oid, 'EXECUTE') AS for_everybody
FROM pg_proc AS p WHERE proname ~ '^iopool_(int|float)[248]s$' ORDER BY 1;

-- the bytes of another byte order, as core's send functions write them
CREATE FUNCTION reversed(data bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(substr(data, i, 1), '' ORDER BY i DESC) FROM generate_series(1, length(data)) AS i
$$;
-- the integer of some bytes, by arithmetic
CREATE FUNCTION arithmetic(data bytea, file_offset int, size int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN get_byte(data, file_offset + size - 1) < 128 THEN n ELSE n - 2::numeric ^ (8 * size) END::bigint
	FROM (SELECT sum(get_byte(data, file_offset + i) * 256::numeric ^ i) AS n FROM generate_series(0, size - 1) AS i) AS sum
$$;

-- known values, written out
SELECT iopool_int2s('\x0000010000ffff7f0080ffff'), iopool_int4s('\x0000000001000000ffffff7f00000080ffffffff78563412');
SELECT iopool_int8s('\x00000000000000000100000000000000ffffffffffffff7f0000000000000080ffffffffffffffff8877665544332211');
SELECT iopool_float4s('\x000000000000803f000000800000807f000080ffdb0f4940010000000000c07fffff7f7f'),
	   iopool_float8s('\x0000000000000000000000000000f03f0000000000000080000000000000f07f000000000000f0ff182d4454fb2109400100000000000000000000000000f87fffffffffffffef7f');
SELECT iopool_float2s('\x0000003c0080007c00fc4842010000fcff7bff03ff83007e00c0003555350034');

-- values that core writes the other way round: all of smallint, and borders
SELECT bool_and(iopool_int2s(reversed(int2send(n::int2))) = ARRAY[n::int2]) AS all_smallint FROM generate_series(-32768, 32767) AS n;
SELECT bool_and(iopool_int4s(reversed(int4send(n))) = ARRAY[n]) AS integers
FROM (SELECT (sign * 2::numeric ^ e + d)::int AS n FROM generate_series(0, 30) AS e, unnest(ARRAY[-1, 1]) AS sign, generate_series(-1, 1) AS d) AS v;
SELECT bool_and(iopool_int8s(reversed(int8send(n))) = ARRAY[n]) AS bigints
FROM (SELECT (sign * 2::numeric ^ e + d)::bigint AS n FROM generate_series(0, 62) AS e, unnest(ARRAY[-1, 1]) AS sign, generate_series(-1, 1) AS d) AS v;
-- floats have all of their bits still
SELECT bool_and(float4send((iopool_float4s(reversed(float4send(f))))[1]) = float4send(f)) AS reals
FROM unnest(ARRAY['0', '-0', '1', '-1.5', 'NaN', 'Infinity', '-Infinity', '1.4e-45', '-1.1754942e-38', '1.17549435e-38', '3.4028235e38', '0.1']::real[]) AS f;
SELECT bool_and(float8send((iopool_float8s(reversed(float8send(f))))[1]) = float8send(f)) AS doubles
FROM unnest(ARRAY['0', '-0', '1', '-1.5', 'NaN', 'Infinity', '-Infinity', '5e-324', '-2.225073858507201e-308', '1.7976931348623157e308', '0.1']::float8[]) AS f;
SELECT iopool_float4s('\x010080ff0100a0ff'), iopool_float8s('\x010000000000f0ff') AS any_nan_is_one;

-- all half floats, by the formula of the standard
CREATE FUNCTION half(bits int) RETURNS real LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE
		WHEN e = 31 AND m > 0 THEN 'NaN'
		WHEN e = 31 AND s = 0 THEN 'Infinity'
		WHEN e = 31 THEN '-Infinity'
		WHEN e = 0 AND m = 0 AND s = 1 THEN '-0'::real
		WHEN e = 0 THEN (1 - 2 * s) * m * 2::float8 ^ (-24)
		ELSE (1 - 2 * s) * (1024 + m) * 2::float8 ^ (e - 25) END::real
	FROM (SELECT bits >> 15 AS s, (bits >> 10) & 31 AS e, bits & 1023 AS m) AS parts
$$;
WITH halves AS (
	SELECT string_agg(set_byte(set_byte('\x0000', 0, n & 255), 1, n >> 8), '' ORDER BY n) AS data, count(*) AS n FROM generate_series(0, 65535) AS n
), numbers AS (
	SELECT f, (i - 1)::int AS bits FROM halves, unnest(iopool_float2s(data)) WITH ORDINALITY AS u(f, i)
)
SELECT count(*) AS halves, count(*) FILTER (WHERE float4send(f) = float4send(half(bits)) OR (f = 'NaN' AND half(bits) = 'NaN')) AS right,
	   count(*) FILTER (WHERE f = 'NaN') AS nan, count(*) FILTER (WHERE f IN ('Infinity', '-Infinity')) AS infinite,
	   -- each is another number, but for NaN and the two zeroes
	   count(DISTINCT f) AS different
FROM numbers;

-- data as it is stored: short, compressed, out of line, sliced, at odd places
CREATE TABLE numbers (kind text, data bytea);
INSERT INTO numbers SELECT 'none', '';
INSERT INTO numbers SELECT 'short', words(0, 8);
INSERT INTO numbers SELECT 'inline', words(0, 800);
INSERT INTO numbers SELECT 'compressed', decode(repeat('0102030405060708', 20000), 'hex');
ALTER TABLE numbers ALTER data SET STORAGE EXTERNAL;
INSERT INTO numbers SELECT 'external', words(0, 8 * 70000);
SELECT kind, length(data), pg_column_size(data) < length(data) AS compressed,
	   cardinality(iopool_int2s(data)) AS n2, cardinality(iopool_int4s(data)) AS n4, cardinality(iopool_int8s(data)) AS n8,
	   cardinality(iopool_float2s(data)) AS h, cardinality(iopool_float4s(data)) AS f, cardinality(iopool_float8s(data)) AS d
FROM numbers ORDER BY length(data);
CREATE FUNCTION wrong_numbers(data bytea) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM (
		SELECT size, i, CASE size WHEN 2 THEN n2[i] WHEN 4 THEN n4[i] ELSE n8[i] END AS n
		FROM (SELECT iopool_int2s(data) AS n2, iopool_int4s(data) AS n4, iopool_int8s(data) AS n8) AS numbers,
			 unnest(ARRAY[2, 4, 8]) AS size, generate_series(1, length(data) / size) AS i
		WHERE i <= 50 OR i % 997 = 0 OR (i * size) % 65536 BETWEEN 0 AND 16 OR i % 65536 BETWEEN 0 AND 2 OR i > length(data) / size - 3
	) AS all_numbers WHERE n IS DISTINCT FROM arithmetic(data, (i - 1) * size, size)
$$;
SELECT kind, wrong_numbers(data) FROM numbers ORDER BY length(data);
-- slices at every place in a word, of data in a table and of a file
SELECT kind, sum(wrong_numbers(substr(data, at, 80))) AS wrong FROM numbers, generate_series(1, 9) AS at WHERE length(data) >= 800 GROUP BY kind ORDER BY kind;
SELECT sum(wrong_numbers(iopool_read('iopool_words', at, 80))) AS wrong FROM generate_series(0, 8) AS at;
SELECT iopool_int8s(iopool_read('iopool_words', 0, 0)), iopool_int4s(substr(data, 9, 16)) FROM numbers WHERE kind = 'compressed';
-- reals and doubles of the same bytes have their bits
SELECT count(*) FILTER (WHERE float4send(f) IS DISTINCT FROM int4send(n)) AS wrong
FROM numbers, unnest(iopool_float4s(substr(data, 2, 4000)), iopool_int4s(substr(data, 2, 4000))) AS u(f, n) WHERE kind = 'external' AND f <> 'NaN';
SELECT count(*) FILTER (WHERE float8send(f) IS DISTINCT FROM int8send(n)) AS wrong
FROM numbers, unnest(iopool_float8s(substr(data, 2, 8000)), iopool_int8s(substr(data, 2, 8000))) AS u(f, n) WHERE kind = 'external' AND f <> 'NaN';
-- and half floats of more than are converted at a time
SELECT count(*) AS compared, count(*) FILTER (WHERE f IS DISTINCT FROM half(arithmetic(data, 2 * i::int - 2, 2)::int & 65535)) AS wrong
FROM numbers, unnest(iopool_float2s(data)) WITH ORDINALITY AS u(f, i) WHERE kind = 'external' AND (i % 997 = 0 OR i % 65536 < 3);
DROP TABLE numbers;

-- arrays like any other: bounds, comparison, functions of core, an empty one
SELECT array_dims(a), array_lower(a, 1), a = ARRAY[1, 2, 3]::smallint[] AS same, a || 4::smallint AS longer, array_position(a, 2::smallint), pg_typeof(a)
FROM (SELECT iopool_int2s('\x010002000300') AS a) AS one;
SELECT a, a = '{}' AS empty, array_ndims(a) IS NULL AS no_dimension, cardinality(a) FROM (SELECT iopool_float2s('') AS a) AS one;
SELECT iopool_int2s('') = '{}' AND iopool_int4s('') = '{}' AND iopool_int8s('') = '{}' AND iopool_float4s('') = '{}' AND iopool_float8s('') = '{}' AS empty;
SELECT iopool_int2s(NULL) IS NULL AND iopool_int4s(NULL) IS NULL AND iopool_int8s(NULL) IS NULL
   AND iopool_float2s(NULL) IS NULL AND iopool_float4s(NULL) IS NULL AND iopool_float8s(NULL) IS NULL AS nulls;

-- bytes that are no whole number of elements
SELECT f, n, (failure(format('SELECT iopool_%s(decode(repeat(''00'', %s), ''hex''))', f, n))).*
FROM unnest(ARRAY['int2s', 'float2s', 'int4s', 'float4s', 'int8s', 'float8s']) AS f, unnest(ARRAY[1, 9, 15]) AS n;
SELECT bool_and((failure(format('SELECT iopool_%s(decode(repeat(''00'', %s), ''hex''))', f, n))).state IS NOT DISTINCT FROM
	   CASE WHEN n % substring(f FROM '\d')::int <> 0 THEN '22023' END) AS as_expected
FROM unnest(ARRAY['int2s', 'float2s', 'int4s', 'float4s', 'int8s', 'float8s']) AS f, generate_series(0, 24) AS n;

-- by drivers that send no types, and as they are dumped
PREPARE numbers AS SELECT iopool_int2s($1), iopool_float2s($1);
EXECUTE numbers('\x003c00c0');
DEALLOCATE numbers;
-- in an index and a generated column, as immutable functions are
CREATE TABLE numbers (data bytea, parts smallint[] GENERATED ALWAYS AS (iopool_int2s(data)) STORED);
CREATE INDEX ON numbers USING gin (iopool_int2s(data));
INSERT INTO numbers VALUES ('\x01000200'), ('\x03000400');
SET enable_seqscan = off;
SELECT parts FROM numbers WHERE iopool_int2s(data) @> '{3}';
RESET enable_seqscan;
DROP TABLE numbers;
-- for everybody
CREATE ROLE regress_iopool_nobody;
SET ROLE regress_iopool_nobody;
SELECT iopool_int4s('\x01000000'), iopool_float2s('\x003c');
RESET ROLE;
DROP ROLE regress_iopool_nobody;

DROP FUNCTION wrong_numbers, arithmetic, half, reversed;
