-- What generated queries read: tables, functions around arguments, and in
-- schema core the functions of iopool made of pg_read_binary_file().
-- @DIR@ and @OTHER@ are directories with the files a, b, c and e.

CREATE SERVER da FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@DIR@');
CREATE SERVER db FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '@OTHER@', pool 'other');
CREATE ROLE app;
GRANT USAGE ON FOREIGN SERVER da, db TO app;

-- ---------------------------------------------------------------------------
-- Tables
--
-- mem    the ranges of each id, from none to thousands
-- cat    one row for each id, with the arrays of its ranges
-- toasted, parts, v_cat, v_barrier   the same rows, stored or seen otherwise
-- many   3,000 rows with small ranges

-- numbers that look random and are the same everywhere
CREATE FUNCTION fz_mix(n bigint, salt int, range int) RETURNS int LANGUAGE sql IMMUTABLE AS
	'SELECT ((n * 7919 + salt * 104729 + n * n * (salt + 13) * 31) % 1000003 % range)::int';
CREATE FUNCTION fz_a_path(n bigint, salt int, plain bool, names text[] DEFAULT '{a,b,c,e,a,a}') RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT CASE WHEN plain THEN '@DIR@/' WHEN fz_mix(n, salt, 3) = 0 THEN 'da:' ELSE 'db:' END
		|| names[1 + fz_mix(n, salt + 1, cardinality(names))]$$;
CREATE FUNCTION fz_an_offset(n bigint, salt int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
	'SELECT (ARRAY[8 * fz_mix(n, salt, 25000), fz_mix(n, salt, 200000), fz_mix(n, salt, 200000), fz_mix(n, salt, 4096), 4090, 199999, 8 * fz_mix(n, salt, 500), 5000000000, -1 - fz_mix(n, salt, 250000), -8])[1 + fz_mix(n, salt + 2, 10)]';
CREATE FUNCTION fz_a_length(n bigint, salt int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
	'SELECT (ARRAY[8, 8, 16, 1, fz_mix(n, salt, 64), fz_mix(n, salt, 64), 0, fz_mix(n, salt, 2000)])[1 + fz_mix(n, salt + 3, 8)]';

-- patterns of iopool_list(), with what they mean
CREATE TABLE patterns (n int PRIMARY KEY, pattern text, expression text);
INSERT INTO patterns VALUES @PATTERNS@;
CREATE FUNCTION fz_a_pattern(n bigint, salt int) RETURNS text LANGUAGE sql STABLE AS
	'SELECT p.pattern FROM patterns AS p WHERE p.n = CASE fz_mix($1, salt, 3) WHEN 0 THEN fz_mix($1, salt + 1, 6) ELSE fz_mix($1, salt + 1, (SELECT count(*)::int FROM patterns)) END';
-- numbers as files have them, little-endian
CREATE FUNCTION fz_bytes(v bigint[]) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
	SELECT coalesce(string_agg(substr(b, 8, 1) || substr(b, 7, 1) || substr(b, 6, 1) || substr(b, 5, 1) || substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1), '' ORDER BY n), '')
	FROM unnest(v) WITH ORDINALITY AS u(i, n), int8send(i) AS b
$$;

-- 14 elements are where an array has a header of four bytes
CREATE TABLE mem AS
	SELECT id, k, fz_an_offset(id * 10000 + k, 2) AS off, fz_a_length(id * 10000 + k, 3) AS len,
		fz_a_path(id * 10000 + k, 4, id % 2 = 1) AS path,
		fz_a_path(id * 10000 + k, 8, id % 2 = 1, '{c,d,e,f,d,f}') AS file,
		fz_a_path(id * 10000 + k, 10, id % 2 = 1, '{tree,tree/,tree/x,tree/empty,tree/x/y,tree}') AS dir,
		fz_a_pattern(id * 10000 + k, 12) AS pattern
	FROM generate_series(1, 40) AS id,
		generate_series(1, CASE id WHEN 37 THEN 700 WHEN 40 THEN 2500
			ELSE (ARRAY[20, 14, 3, 40, 0, 33, 13, 15, 1, 64, 5, 28, 100, 2, 16, 250])[1 + id % 16] END) AS k;
ALTER TABLE mem ADD PRIMARY KEY (id, k);

CREATE DOMAIN fz_bigints AS bigint[] CHECK (array_ndims(VALUE) IS NULL OR array_ndims(VALUE) = 1);
CREATE DOMAIN fz_texts AS text[] CHECK (array_position(VALUE, '') IS NULL);
CREATE DOMAIN fz_bigint AS bigint CHECK (VALUE > -1000000);
CREATE DOMAIN fz_text AS text CHECK (VALUE <> '');
CREATE DOMAIN fz_bool AS bool CHECK (VALUE IS NOT NULL OR VALUE IS NULL);
CREATE TYPE fz_record AS (os bigint[], ls bigint[], paths text[], o bigint, l bigint, path text, onerr text, inorder bool, files text[], dir text, pattern text);

CREATE TABLE cat (id int PRIMARY KEY, kind int, note text,
	path text, o bigint, l bigint, onerr text, inorder bool, os bigint[], ls bigint[], paths text[],
	path_ext text, os_ext bigint[], ls_ext bigint[], paths_ext text[],
	path_main text, os_main bigint[], ls_main bigint[], paths_main text[],
	os_dom fz_bigints, ls_dom fz_bigints, paths_dom fz_texts, rec fz_record,
	files text[], files_ext text[], files_main text[], files_dom fz_texts, dir text, pattern text, os_bytes bytea, ls_bytes bytea);
ALTER TABLE cat ALTER path_ext SET STORAGE EXTERNAL, ALTER os_ext SET STORAGE EXTERNAL, ALTER ls_ext SET STORAGE EXTERNAL, ALTER paths_ext SET STORAGE EXTERNAL,
	ALTER files_ext SET STORAGE EXTERNAL, ALTER files_main SET STORAGE MAIN, ALTER os_bytes SET STORAGE EXTERNAL,
	ALTER path_main SET STORAGE MAIN, ALTER os_main SET STORAGE MAIN, ALTER ls_main SET STORAGE MAIN, ALTER paths_main SET STORAGE MAIN;
CREATE TABLE toasted (LIKE cat INCLUDING ALL) WITH (toast_tuple_target = 128);
ALTER TABLE toasted ALTER os SET STORAGE EXTERNAL, ALTER ls SET STORAGE EXTERNAL, ALTER paths SET STORAGE EXTERNAL, ALTER path SET STORAGE EXTERNAL;
INSERT INTO cat
	SELECT id, kind, note, path, o, l, onerr, inorder, os, ls, paths, long, os, ls, paths, long, os, ls, paths, os, ls, paths,
		ROW(os, ls, paths, o, l, path, onerr, inorder, files, dir, pattern)::fz_record, files, files, files, files, dir, pattern, fz_bytes(os), fz_bytes(ls)
	FROM (SELECT id, id % 6 AS kind, CASE WHEN id % 5 <> 0 THEN 'note ' || fz_mix(id, 4, 9) END AS note,
			CASE WHEN id % 13 <> 5 THEN fz_a_path(id, 1, id % 2 = 1) END AS path,
			CASE WHEN id % 17 <> 3 THEN fz_an_offset(id, 2) END AS o,
			CASE WHEN id % 11 <> 7 THEN CASE id WHEN 20 THEN 150000 ELSE fz_a_length(id, 3) END END AS l,
			CASE id % 3 WHEN 0 THEN 'report' ELSE 'raise' END AS onerr, id % 4 <> 1 AS inorder,
			coalesce(os, '{}') AS os, coalesce(ls, '{}') AS ls, coalesce(paths, '{}') AS paths, coalesce(files, '{}') AS files,
			CASE WHEN id % 19 <> 4 THEN fz_a_path(id, 10, id % 2 = 1, '{tree,tree/,tree/x,tree/empty,tree/x/y,tree}') END AS dir, fz_a_pattern(id, 12) AS pattern,
			CASE WHEN id % 2 = 1 THEN '@DIR@/' || repeat('./', 40 * (id % 10)) ELSE 'da:' || repeat('./', 300) END || (ARRAY['a', 'b', 'c'])[1 + id % 3] AS long
		FROM generate_series(1, 40) AS id
		LEFT JOIN (SELECT id, array_agg(off ORDER BY k) AS os, array_agg(len ORDER BY k) AS ls, array_agg(path ORDER BY k) AS paths, array_agg(file ORDER BY k) AS files FROM mem GROUP BY id) AS m USING (id)) AS x;
INSERT INTO toasted SELECT * FROM cat;
CREATE TABLE many (LIKE cat INCLUDING ALL);
INSERT INTO many (id, kind, note, path, o, l, onerr, inorder, os, ls, paths)
	SELECT n, n % 6, 'many ' || n, CASE WHEN n % 500 <> 5 THEN fz_a_path(n, 1, n % 2 = 1) END, fz_an_offset(n, 2), fz_mix(n, 3, 64), 'raise', n % 2 = 0,
		ARRAY[fz_an_offset(n, 3), fz_an_offset(n, 4)], ARRAY[fz_mix(n, 5, 40), fz_mix(n, 6, 40)], ARRAY[fz_a_path(n, 7, n % 2 = 1), fz_a_path(n, 8, n % 2 = 1)]
	FROM generate_series(1, 3000) AS n;
CREATE TABLE parts (LIKE cat) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (9) TO (25);
CREATE TABLE parts_3 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT * FROM cat;
-- in the order of the ids, whichever way they are scanned
CLUSTER cat USING cat_pkey;
CLUSTER toasted USING toasted_pkey;
CLUSTER many USING many_pkey;
CREATE VIEW v_cat AS SELECT * FROM cat WHERE kind < 5;
CREATE VIEW v_barrier WITH (security_barrier) AS SELECT * FROM cat WHERE kind <> 2;
CREATE TABLE small (k int PRIMARY KEY, word text);
INSERT INTO small SELECT k, 'word ' || k FROM generate_series(0, 9) AS k;

ALTER TABLE cat ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON cat USING (id % 2 = 0);
GRANT SELECT, UPDATE ON cat, mem, toasted, many, parts, v_cat, v_barrier, small TO app;

-- ---------------------------------------------------------------------------
-- Functions around arguments; those of each kind of argument are made by
-- IopoolSources.pm

CREATE FUNCTION fz_same(v anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE FUNCTION fz_same_called(v anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE PARALLEL SAFE SET work_mem = '4MB' AS 'SELECT v';
CREATE FUNCTION fz_same_pl(v anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN v; END';
CREATE FUNCTION fz_same_volatile(v anyelement) RETURNS anyelement LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS 'BEGIN RETURN v; END';
-- an array that was built element by element, which is an expanded object
CREATE FUNCTION fz_rebuilt(v anyarray) RETURNS anyarray LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
	r v%TYPE := v;
BEGIN
	FOR i IN REVERSE least(coalesce(cardinality(v), 0), 50) .. 1 LOOP
		r[i] := v[i];
	END LOOP;
	RETURN r;
END $$;
CREATE FUNCTION fz_half(v anyarray) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT cardinality(v) / 2';
-- the second and the last element are wrong
CREATE FUNCTION fz_spoil(v anyarray, second anyelement, last anyelement) RETURNS anyarray LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF cardinality(v) > 0 THEN
		v[cardinality(v)] := last;
		v[least(cardinality(v), 2)] := second;
	END IF;
	RETURN v;
END $$;
-- all rows of a request, some at a time
CREATE FUNCTION fz_drain(request bigint, max_rows int, on_error text, OUT ordinal int, OUT file_offset bigint, OUT length bigint, OUT data bytea, OUT error text)
	RETURNS SETOF record LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	LOOP
		RETURN QUERY SELECT * FROM iopool_fetch_next(request, max_rows, on_error);
		EXIT WHEN NOT FOUND;
	END LOOP;
END $$;

-- ---------------------------------------------------------------------------
-- The functions of iopool, made of core's.  They check arguments in the same
-- order and say the same.

CREATE SCHEMA core;
GRANT USAGE ON SCHEMA core TO app;

CREATE FUNCTION core.file_of(path text) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT CASE WHEN path LIKE 'da:%' THEN '@DIR@/' || substr(path, 4) WHEN path LIKE 'db:%' THEN '@OTHER@/' || substr(path, 4) ELSE path END$$;
-- a range, with a negative offset as ours has it; NULL if there is no file
CREATE FUNCTION core.bytes_of(path text, o bigint, l bigint) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	file text := core.file_of(path);
BEGIN
	IF o < 0 THEN
		o := o + (SELECT size FROM pg_stat_file(file, true));
		l := greatest(l + least(o, 0), 0);
		o := greatest(o, 0);
	END IF;
	RETURN pg_read_binary_file(file, coalesce(o, 0), coalesce(l, 0), true);
END $$;
CREATE FUNCTION core.missing(path text) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT format('could not open file "%s": No such file or directory', path)$$;
-- what is wrong with the arguments of a range
CREATE FUNCTION core.flaw(path text, o bigint, l bigint, OUT state text, OUT message text) LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN m LIKE '%null' THEN '22004' ELSE '22023' END, m
	FROM (SELECT CASE WHEN path IS NULL THEN 'path must not be null' WHEN o IS NULL THEN 'file offset must not be null'
			WHEN l IS NULL THEN 'length must not be null' WHEN l < 0 THEN 'length must not be negative' END AS m) AS f
$$;
CREATE FUNCTION core.check_range(path text, o bigint, l bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	f record;
BEGIN
	SELECT * INTO f FROM core.flaw(path, o, l);
	IF f.message IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = f.state, MESSAGE = f.message;
	END IF;
END $$;
CREATE FUNCTION core.check_array(v anyarray, name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF array_ndims(v) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('array "%s" must be one-dimensional', name);
	END IF;
END $$;
CREATE FUNCTION core.check_counts(noffsets int, nlengths int, npaths int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF nlengths NOT IN (noffsets, 1) THEN
		RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'array "lengths" must have as many elements as "file_offsets", or one';
	ELSIF npaths <> noffsets THEN
		RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'arrays "file_offsets" and "paths" must have the same number of elements';
	END IF;
END $$;
-- a length for each range
CREATE FUNCTION core.all_lengths(os bigint[], ls bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS
	'SELECT CASE cardinality(ls) WHEN 1 THEN array_fill(ls[array_lower(ls, 1)], ARRAY[cardinality(os)]) ELSE ls END';
-- the first range with a flaw
CREATE FUNCTION core.check_ranges(ps text[], path text, os bigint[], ls bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	f record;
BEGIN
	SELECT u.n, (core.flaw(coalesce(path, u.p), u.o, u.l)).* INTO f FROM unnest(os, ls, ps) WITH ORDINALITY AS u(o, l, p, n)
		WHERE coalesce(path, u.p) IS NULL OR u.o IS NULL OR u.l IS NULL OR u.l < 0 ORDER BY u.n LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = f.state, MESSAGE = format('range %s: %s', f.n, f.message);
	END IF;
END $$;
CREATE FUNCTION core.is_report(on_error text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF on_error NOT IN ('raise', 'report') THEN
		RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('invalid value for argument "on_error": "%s"', on_error);
	END IF;
	RETURN on_error = 'report';
END $$;
-- first: the ordinal of the first of these ranges
CREATE FUNCTION core.read_all(paths text[], path text, os bigint[], ls bigint[], on_error text, first int DEFAULT 1)
	RETURNS TABLE (ordinal int, file_offset bigint, length bigint, data bytea, error text) LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	report bool;
	r record;
BEGIN
	IF paths IS NOT NULL THEN
		PERFORM core.check_array(paths, 'paths');
	END IF;
	PERFORM core.check_array(os, 'file_offsets'), core.check_array(ls, 'lengths'), core.check_counts(cardinality(os), cardinality(ls), cardinality(paths));
	ls := core.all_lengths(os, ls);
	report := core.is_report(on_error);
	IF NOT report THEN
		PERFORM core.check_ranges(paths, path, os, ls);
	END IF;
	FOR r IN SELECT u.n + first - 1 AS n, u.o, u.l, coalesce(path, u.p) AS p, (core.flaw(coalesce(path, u.p), u.o, u.l)).message AS flaw
			FROM unnest(os, ls, paths) WITH ORDINALITY AS u(o, l, p, n) ORDER BY u.n LOOP
		ordinal := r.n;
		file_offset := r.o;
		length := r.l;
		data := CASE WHEN r.flaw IS NULL THEN core.bytes_of(r.p, r.o, r.l) END;
		error := CASE WHEN data IS NULL THEN format('range %s: %s', r.n, coalesce(r.flaw, core.missing(r.p))) END;
		IF NOT report AND error IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = '58P01', MESSAGE = error;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;

CREATE FUNCTION core.iopool_read(path text, file_offset bigint, length bigint, missing_ok boolean) RETURNS bytea LANGUAGE plpgsql STRICT SECURITY DEFINER COST 1000 AS $$
DECLARE
	data bytea;
BEGIN
	PERFORM core.check_range(path, file_offset, length);
	data := core.bytes_of(path, file_offset, length);
	IF data IS NULL AND NOT missing_ok THEN
		RAISE EXCEPTION USING ERRCODE = '58P01', MESSAGE = core.missing(path);
	END IF;
	RETURN data;
END $$;
CREATE FUNCTION core.iopool_read(path text, missing_ok boolean) RETURNS bytea LANGUAGE plpgsql STRICT SECURITY DEFINER COST 1000 AS $$
BEGIN
	IF (pg_stat_file(core.file_of(path), true)).size IS NOT NULL THEN
		RETURN pg_read_binary_file(core.file_of(path));
	ELSIF NOT missing_ok THEN
		RAISE EXCEPTION USING ERRCODE = '58P01', MESSAGE = core.missing(path);
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION core.iopool_read(path text, file_offset bigint, length bigint) RETURNS bytea LANGUAGE sql STRICT COST 1000 AS
	'SELECT core.iopool_read(path, file_offset, length, false)';
CREATE FUNCTION core.iopool_read(path text) RETURNS bytea LANGUAGE sql STRICT COST 1000 AS 'SELECT core.iopool_read(path, false)';
CREATE FUNCTION core.iopool_read_batch(path text, file_offsets bigint[], lengths bigint[], on_error text DEFAULT 'raise', in_order boolean DEFAULT true,
	OUT ordinal int, OUT file_offset bigint, OUT length bigint, OUT data bytea, OUT error text)
	RETURNS SETOF record LANGUAGE plpgsql STRICT COST 1000 ROWS 1000 AS
	'BEGIN RETURN QUERY SELECT * FROM core.read_all(NULL, path, file_offsets, lengths, on_error); END';
CREATE FUNCTION core.iopool_read_batch(paths text[], file_offsets bigint[], lengths bigint[], on_error text DEFAULT 'raise', in_order boolean DEFAULT true,
	OUT ordinal int, OUT file_offset bigint, OUT length bigint, OUT data bytea, OUT error text)
	RETURNS SETOF record LANGUAGE plpgsql STRICT COST 1000 ROWS 1000 AS
	'BEGIN RETURN QUERY SELECT * FROM core.read_all(paths, NULL, file_offsets, lengths, on_error); END';
CREATE FUNCTION core.iopool_read_array(path text, file_offsets bigint[], lengths bigint[], on_error text DEFAULT 'raise') RETURNS bytea[] LANGUAGE sql STRICT COST 1000 AS
	$$SELECT coalesce(array_agg(f.data ORDER BY f.ordinal), '{}') FROM core.iopool_read_batch(path, file_offsets, lengths, on_error) AS f$$;
CREATE FUNCTION core.iopool_read_array(paths text[], file_offsets bigint[], lengths bigint[], on_error text DEFAULT 'raise') RETURNS bytea[] LANGUAGE sql STRICT COST 1000 AS
	$$SELECT coalesce(array_agg(f.data ORDER BY f.ordinal), '{}') FROM core.iopool_read_batch(paths, file_offsets, lengths, on_error) AS f$$;

-- Whole files, and what there is.
CREATE FUNCTION core.iopool_read_files(paths text[], on_error text DEFAULT 'raise', in_order boolean DEFAULT true,
	OUT ordinal int, OUT path text, OUT size bigint, OUT modified timestamptz, OUT data bytea, OUT error text)
	RETURNS SETOF record LANGUAGE plpgsql STRICT SECURITY DEFINER COST 1000 ROWS 1000 AS $$
DECLARE
	report bool;
	r record;
BEGIN
	PERFORM core.check_array(paths, 'paths');
	report := core.is_report(on_error);
	IF NOT report THEN
		PERFORM core.check_ranges(paths, NULL, array_fill(0::bigint, ARRAY[cardinality(paths)]), array_fill(0::bigint, ARRAY[cardinality(paths)]));
	END IF;
	FOR r IN SELECT u.n, u.p, pg_read_binary_file(core.file_of(u.p), 0, 1000000000, true) AS d, (pg_stat_file(core.file_of(u.p), true)).modification AS m
			FROM unnest(paths) WITH ORDINALITY AS u(p, n) ORDER BY u.n LOOP
		ordinal := r.n;
		path := r.p;
		size := octet_length(r.d);
		modified := r.m;
		data := r.d;
		error := CASE WHEN data IS NULL THEN format('range %s: %s', r.n, CASE WHEN r.p IS NULL THEN 'path must not be null' ELSE core.missing(r.p) END) END;
		IF NOT report AND error IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = '58P01', MESSAGE = error;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;
CREATE FUNCTION core.iopool_stat(path text, missing_ok boolean DEFAULT false, OUT size bigint, OUT modified timestamptz)
	RETURNS SETOF record LANGUAGE plpgsql STRICT SECURITY DEFINER COST 1000 ROWS 1 AS $$
DECLARE
	s record;
BEGIN
	SELECT * INTO s FROM pg_stat_file(core.file_of(path), true);
	IF s.size IS NOT NULL THEN
		size := s.size;
		modified := s.modification;
		RETURN NEXT;
	ELSIF NOT missing_ok THEN
		RAISE EXCEPTION USING ERRCODE = '58P01', MESSAGE = core.missing(path);
	END IF;
END $$;
-- by expressions that say what the patterns do (IopoolTree.pm)
CREATE FUNCTION core.list_of(directory text, wanted text) RETURNS TABLE (path text, size bigint, modified timestamptz) LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	top text := core.file_of(directory);
	meant text := (SELECT p.expression FROM public.patterns AS p WHERE p.pattern = wanted LIMIT 1);
BEGIN
	IF meant IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('invalid pattern "%s": bracket without end at position %s', wanted, position('[' IN wanted));
	ELSIF (pg_stat_file(top, true)).isdir IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = '58P01', MESSAGE = format('could not open directory "%s": No such file or directory', directory);
	END IF;
	RETURN QUERY WITH RECURSIVE below AS (
		SELECT '' AS name, s.* FROM pg_stat_file(top) AS s
		UNION ALL
		SELECT below.name || CASE WHEN below.name <> '' THEN '/' ELSE '' END || n, s.*
		FROM below, pg_ls_dir(top || '/' || below.name) AS n, pg_stat_file(top || '/' || below.name || '/' || n, true) AS s
		WHERE below.isdir AND NOT (n = 'outside' AND directory ~ '^d[ab]:')
	)
	SELECT directory || CASE WHEN directory ~ '[:/]$' THEN '' ELSE '/' END || below.name, below.size, below.modification
	FROM below WHERE NOT below.isdir AND below.name ~ meant;
END $$;
CREATE FUNCTION core.iopool_list(path text, pattern text DEFAULT '*', OUT path text, OUT size bigint, OUT modified timestamptz)
	RETURNS SETOF record LANGUAGE sql STRICT COST 1000 ROWS 1000 AS 'SELECT * FROM core.list_of($1, $2)';

-- Foreign tables, and for the witness plain ones of the same rows, in another
-- order.
CREATE FOREIGN TABLE tree_file (path text, size bigint, modified timestamptz, data bytea) SERVER da OPTIONS (pattern '**');
CREATE TABLE tree_part (data bytea, path text, size bigint, modified timestamptz) PARTITION BY RANGE (path COLLATE "C");
CREATE FOREIGN TABLE tree_part_1 PARTITION OF tree_part FOR VALUES FROM ('da:') TO ('da:ids/') SERVER da OPTIONS (pattern '?');
CREATE FOREIGN TABLE tree_part_2 PARTITION OF tree_part FOR VALUES FROM ('da:ids/') TO ('da:ids0') SERVER da OPTIONS (pattern 'ids/*');
CREATE FOREIGN TABLE tree_part_3 (path text, modified timestamptz, data bytea, size bigint) SERVER da OPTIONS (pattern 'tree/**');
ALTER TABLE tree_part ATTACH PARTITION tree_part_3 FOR VALUES FROM ('da:tree/') TO ('da:tree0');
CREATE VIEW v_tree WITH (security_barrier) AS SELECT * FROM tree_file WHERE size % 5 <> 1 AND path LIKE 'da:_%';
CREATE TABLE core.tree_file AS SELECT l.*, pg_read_binary_file(core.file_of(l.path)) AS data FROM core.list_of('da:', '**') AS l ORDER BY md5(l.path);
CREATE VIEW core.tree_part AS SELECT data, path, size, modified FROM core.tree_file;
CREATE VIEW core.v_tree WITH (security_barrier) AS SELECT * FROM core.tree_file WHERE size % 5 <> 1 AND path LIKE 'da:_%';
CREATE TABLE tree_name AS
	SELECT n, CASE n % 8 WHEN 3 THEN path || 'x' WHEN 5 THEN replace(path, '/', '//') WHEN 6 THEN NULL ELSE path END AS path,
		left(path, fz_mix(n, 5, 16)) AS prefix, left(replace(path, '\', '\\'), 3 + fz_mix(n, 6, 6)) || '%' AS pattern
	FROM (SELECT row_number() OVER (ORDER BY path COLLATE "C") AS n, path FROM core.tree_file) AS x;
GRANT SELECT ON tree_file, tree_part, v_tree, tree_name, core.tree_file, core.tree_part, core.v_tree TO app;

-- Numbers, by arithmetic.
CREATE FUNCTION core.unsigned(data bytea, size int) RETURNS TABLE (n numeric, i bigint) LANGUAGE sql IMMUTABLE AS $$
	SELECT sum(get_byte(data, at) * 256::numeric ^ (at % size)), at / size FROM generate_series(0, octet_length(data) - 1) AS at GROUP BY at / size
$$;
CREATE FUNCTION core.check_size(data bytea, size int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF octet_length(data) % size <> 0 THEN
		RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('data size %s is not a multiple of element size %s', octet_length(data), size);
	END IF;
END $$;
CREATE FUNCTION core.signed(data bytea, size int) RETURNS numeric[] LANGUAGE plpgsql AS $$
BEGIN
	PERFORM core.check_size(data, size);
	RETURN (SELECT coalesce(array_agg(CASE WHEN n < 256::numeric ^ size / 2 THEN n ELSE n - 256::numeric ^ size END ORDER BY i), '{}') FROM core.unsigned(data, size));
END $$;
-- so many bits are of the exponent, and of the mantissa
CREATE FUNCTION core.floats(data bytea, size int, nexponent int, nmantissa int) RETURNS float8[] LANGUAGE plpgsql AS $$
BEGIN
	PERFORM core.check_size(data, size);
	RETURN (SELECT coalesce(array_agg(
			CASE WHEN e = 2 ^ nexponent - 1 AND m > 0 THEN 'NaN'
				WHEN e = 2 ^ nexponent - 1 THEN sign * 'Infinity'::float8
				WHEN e = 0 THEN sign * (m::float8 * 2::float8 ^ (2 - 2 ^ (nexponent - 1) - nmantissa))
				ELSE sign * ((m + 2::numeric ^ nmantissa)::float8 * 2::float8 ^ (e::float8 + 1 - 2 ^ (nexponent - 1) - nmantissa)) END ORDER BY i), '{}')
		FROM core.unsigned(data, size) AS u, trunc(n / 2::numeric ^ nmantissa) AS high,
			LATERAL (SELECT n % 2::numeric ^ nmantissa AS m, high % 2::numeric ^ nexponent AS e, CASE WHEN high >= 2::numeric ^ nexponent THEN -1.0::float8 ELSE 1 END AS sign) AS parts);
END $$;
CREATE FUNCTION core.iopool_int2s(data bytea) RETURNS smallint[] LANGUAGE sql IMMUTABLE STRICT COST 100 AS 'SELECT core.signed(data, 2)::smallint[]';
CREATE FUNCTION core.iopool_int4s(data bytea) RETURNS int[] LANGUAGE sql IMMUTABLE STRICT COST 100 AS 'SELECT core.signed(data, 4)::int[]';
CREATE FUNCTION core.iopool_int8s(data bytea) RETURNS bigint[] LANGUAGE sql IMMUTABLE STRICT COST 100 AS 'SELECT core.signed(data, 8)::bigint[]';
CREATE FUNCTION core.iopool_float2s(data bytea) RETURNS real[] LANGUAGE sql IMMUTABLE STRICT COST 100 AS 'SELECT core.floats(data, 2, 5, 10)::real[]';
CREATE FUNCTION core.iopool_float4s(data bytea) RETURNS real[] LANGUAGE sql IMMUTABLE STRICT COST 100 AS 'SELECT core.floats(data, 4, 8, 23)::real[]';
CREATE FUNCTION core.iopool_float8s(data bytea) RETURNS float8[] LANGUAGE sql IMMUTABLE STRICT COST 100 AS 'SELECT core.floats(data, 8, 11, 52)';

-- Requests are rows of a table, which each session has for itself.
CREATE FUNCTION core.submit(paths text[], path text, os bigint[], ls bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	request bigint;
BEGIN
	INSERT INTO core_requests (paths, path, os, ls) VALUES (paths, path, os, core.all_lengths(os, ls)) RETURNING number INTO request;
	IF paths IS NOT NULL THEN
		PERFORM core.check_array(paths, 'paths');
	END IF;
	PERFORM core.check_array(os, 'file_offsets'), core.check_array(ls, 'lengths'), core.check_counts(cardinality(os), cardinality(ls), cardinality(paths));
	PERFORM core.check_ranges(paths, path, os, core.all_lengths(os, ls));
	RETURN request;
END $$;
CREATE FUNCTION core.iopool_submit(path text, file_offsets bigint[], lengths bigint[]) RETURNS bigint LANGUAGE sql STRICT COST 1000 AS
	'SELECT core.submit(NULL, path, file_offsets, lengths)';
CREATE FUNCTION core.iopool_submit(paths text[], file_offsets bigint[], lengths bigint[]) RETURNS bigint LANGUAGE sql STRICT COST 1000 AS
	'SELECT core.submit(paths, NULL, file_offsets, lengths)';
CREATE FUNCTION core.rows_of(request bigint, on_error text, first int, last int)
	RETURNS TABLE (ordinal int, file_offset bigint, length bigint, data bytea, error text) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	PERFORM core.is_report(on_error);
	SELECT * INTO r FROM core_requests WHERE number = request;
	RETURN QUERY SELECT n::int, f.file_offset, f.length, f.data, f.error
		FROM generate_series(first, least(last, cardinality(r.os))) AS n,
			core.read_all(r.paths[n:n], r.path, r.os[n:n], r.ls[n:n], on_error, n::int) AS f;
END $$;
CREATE FUNCTION core.iopool_fetch(request bigint, on_error text DEFAULT 'raise', OUT ordinal int, OUT file_offset bigint, OUT length bigint, OUT data bytea, OUT error text)
	RETURNS SETOF record LANGUAGE plpgsql STRICT COST 1000 ROWS 1000 AS $$
BEGIN
	RETURN QUERY SELECT * FROM core.rows_of(request, on_error, 1, 1000000);
	DELETE FROM core_requests WHERE number = request;
END $$;
CREATE FUNCTION core.iopool_fetch_next(request bigint, max_rows int DEFAULT 1, on_error text DEFAULT 'raise', OUT ordinal int, OUT file_offset bigint, OUT length bigint, OUT data bytea, OUT error text)
	RETURNS SETOF record LANGUAGE plpgsql STRICT COST 1000 ROWS 1 AS $$
DECLARE
	first int := (SELECT nout + 1 FROM core_requests WHERE number = request);
BEGIN
	RETURN QUERY SELECT * FROM core.rows_of(request, on_error, first, first + max_rows - 1);
	UPDATE core_requests SET nout = nout + max_rows WHERE number = request;
END $$;
CREATE FUNCTION core.iopool_wait(request bigint, timeout_ms int DEFAULT -1) RETURNS bool LANGUAGE sql STRICT AS 'SELECT true';
CREATE FUNCTION core.iopool_wait_any(requests bigint[], timeout_ms int DEFAULT -1) RETURNS bigint LANGUAGE sql STRICT AS 'SELECT requests[1]';
CREATE FUNCTION core.iopool_cancel(request bigint) RETURNS bool LANGUAGE plpgsql STRICT AS
	'BEGIN DELETE FROM core_requests WHERE number = request; RETURN FOUND; END';
CREATE FUNCTION core.iopool_poll(request bigint, OUT ranges int, OUT completed int, OUT failed int, OUT bytes bigint) LANGUAGE sql STRICT AS
	$$SELECT count(*)::int, count(*)::int, count(f.error)::int, coalesce(sum(octet_length(f.data)), 0)::bigint FROM core.rows_of(request, 'report', 1, 1000000) AS f$$;

-- Views that read find their function when they are created.
CREATE VIEW v_read AS SELECT c.id, c.kind, c.path, c.o, r.data FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS r(data);
CREATE VIEW v_batch AS SELECT c.id, c.kind, r.* FROM cat AS c, LATERAL iopool_read_batch(c.paths, (SELECT array_agg(m.off ORDER BY m.k) FROM mem AS m WHERE m.id = c.id), c.ls) AS r;
SET search_path = core, public;
CREATE VIEW core.v_read AS SELECT c.id, c.kind, c.path, c.o, r.data FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS r(data);
CREATE VIEW core.v_batch AS SELECT c.id, c.kind, r.* FROM cat AS c, LATERAL iopool_read_batch(c.paths, (SELECT array_agg(m.off ORDER BY m.k) FROM mem AS m WHERE m.id = c.id), c.ls) AS r;
RESET search_path;
GRANT SELECT ON v_read, v_batch, core.v_read, core.v_batch TO app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app;
