-- Reading below directories: the form of a path, containment, rights, pools.

\set dir `mkdir -p "$PG_ABS_BUILDDIR/results/iopool_dir" && cd "$PG_ABS_BUILDDIR/results/iopool_dir" && pwd -P`
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && rm -rf tiles other secret && mkdir -p tiles/sub/deep other && printf 'secret' >secret && printf 'other' >other/file && printf 'inside' >tiles/file && printf 'below' >tiles/sub/file && printf 'deep' >tiles/sub/deep/file
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir/tiles" && printf 'colons' >a:b:c && printf 'umlaut' >größe && printf 'space' >' a b ' && printf 'line' >"$(printf 'new\nline')" && printf 'backslash' >'a\b' && : >empty && mkfifo fifo && printf 'x' >locked && chmod 0 locked
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir/tiles" && ln -s file to_file && ln -s sub/deep to_deep && ln -s ../file sub/to_upper && ln -s ../secret to_secret && ln -s ../../secret sub/to_secret && ln -s .. to_parent && ln -s ../tiles/file to_itself && ln -s / to_root && ln -s /etc/passwd to_passwd && ln -s "$PWD/file" to_absolute && ln -s loop loop && ln -s nothing dangling && ln -s ../nothing to_nothing && ln -s /proc/self/root to_magic && ln -s /dev/null to_device && ln ../secret hard
SELECT write_file(:'dir' || '/tiles/words', words(0, 1048576));
SELECT write_file(:'dir' || '/other/words', words(1099511627776, 1048576));

-- where the tests lie may be below what others can write in
SET client_min_messages = 'error';
\set path :dir '/tiles'
CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
\set path :dir '/other'
CREATE SERVER other FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
CREATE SERVER "Größe" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
CREATE SERVER "a b" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
CREATE SERVER proc FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '/proc');
CREATE SERVER dev FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '/dev');
CREATE FOREIGN DATA WRAPPER regress_other;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER regress_other OPTIONS (path '/etc');
RESET client_min_messages;

CREATE ROLE regress_iopool_app;
CREATE ROLE regress_iopool_none;
CREATE ROLE regress_iopool_reader IN ROLE pg_read_server_files;
GRANT USAGE ON FOREIGN SERVER tiles, "Größe", "a b", proc, dev TO regress_iopool_app;
GRANT USAGE ON FOREIGN SERVER elsewhere TO regress_iopool_app;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint), iopool_read(text, bigint, bigint, boolean), iopool_read(text), iopool_read(text, boolean),
	iopool_read_batch(text, bigint[], bigint[], text, boolean),
	iopool_read_batch(text[], bigint[], bigint[], text, boolean),
	iopool_read_array(text, bigint[], bigint[], text),
	iopool_read_array(text[], bigint[], bigint[], text),
	iopool_prefetch(text, bigint[], bigint[])
TO regress_iopool_app, regress_iopool_none;

-- What a path gives, or how it fails, in each function: the one line that all
-- of them agree on.
CREATE FUNCTION attempt(path text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcomes text[];
	outcome text;
BEGIN
	FOR form IN 1 .. 9 LOOP
		BEGIN
			outcome := 'read: ' || encode(CASE form
				WHEN 1 THEN iopool_read(path, 0, 100)
				WHEN 2 THEN iopool_read(path, 0, 1000000)
				WHEN 3 THEN (SELECT data FROM iopool_read_batch(path, ARRAY[0], ARRAY[100]))
				WHEN 4 THEN iopool_read(path)
				WHEN 5 THEN (SELECT data FROM iopool_read_batch(ARRAY[path], ARRAY[0], ARRAY[100], in_order => false))
				WHEN 6 THEN (iopool_read_array(path, ARRAY[0], ARRAY[100]))[1]
				WHEN 7 THEN iopool_read(path, 0, 100, false)
				WHEN 8 THEN (iopool_read_array(ARRAY[path], ARRAY[0], ARRAY[100]))[1]
				-- nothing to compare, so compare with what can be read
				WHEN 9 THEN CASE WHEN iopool_prefetch(path, ARRAY[0], ARRAY[100]) >= 0 THEN iopool_read(path, 0, 100) END
				END, 'escape');
		EXCEPTION WHEN OTHERS THEN
			-- which range it is depends on the form
			outcome := SQLSTATE || ': ' || regexp_replace(SQLERRM, '^range 1: ', '');
		END;
		IF outcome <> ALL (outcomes) OR outcomes IS NULL THEN
			outcomes := outcomes || outcome;
		END IF;
	END LOOP;
	RETURN array_to_string(outcomes, ' OR ');
END
$$;

SELECT set_config('regress.data', current_setting('data_directory'), false) <> '' AS has_data;
SET ROLE regress_iopool_app;
\t\a

-- inside
SELECT path, attempt(path) FROM unnest(ARRAY[
	'tiles:file', 'tiles:sub/file', 'tiles:sub/deep/file', 'tiles:./file', 'tiles:sub//./file', 'tiles:sub/../file',
	'tiles:sub/deep/../../file', 'tiles:to_file', 'tiles:to_deep/file', 'tiles:sub/to_upper', 'tiles:empty',
	'tiles:a:b:c', 'tiles:größe', 'tiles: a b ', E'tiles:new\nline', 'tiles:a\b', 'Größe:file', 'a b:file']) AS path;
-- a hard link is a name like any other
SELECT attempt('tiles:hard');

-- out
SELECT path, attempt(path) FROM unnest(ARRAY[
	'tiles:../secret', 'tiles:..', 'tiles:../tiles/file', 'tiles:sub/../../secret', 'tiles:./../secret', 'tiles:sub/deep/../../../secret',
	'tiles:/etc/passwd', 'tiles:/', 'tiles://etc/passwd', 'tiles:to_secret', 'tiles:sub/to_secret', 'tiles:to_parent/secret',
	'tiles:to_parent/tiles/file', 'tiles:to_itself', 'tiles:to_root/etc/passwd', 'tiles:to_passwd', 'tiles:to_absolute',
	'tiles:to_magic/etc/passwd', 'tiles:to_device', 'tiles:loop', 'tiles:to_deep/../../../secret',
	'proc:self/root/etc/passwd', 'proc:self/cwd/PG_VERSION', 'proc:self/exe', 'proc:self/fd/0', 'proc:thread-self/root']) AS path;
-- what shows the kernel is in no directory, wherever it is mounted
SELECT path, attempt(path) FROM unnest(ARRAY[
	'proc:self/mem', 'proc:self/environ', 'proc:self/maps', 'proc:version', 'proc:sys/kernel/ostype', 'proc:self/../uptime']) AS path;
-- the same, whether or not there is anything outside
SELECT attempt(replace(there, 'secret', 'nothing')) = replace(attempt(there), 'secret', 'nothing') AS same
FROM unnest(ARRAY['tiles:../secret', 'tiles:sub/../../secret', 'tiles:to_secret', 'tiles:to_parent/secret']) AS there;
SELECT attempt('tiles:/etc/nothing') = replace(attempt('tiles:/etc/passwd'), 'passwd', 'nothing') AS same;

-- not there, not regular, not ours
SELECT path, attempt(path) FROM unnest(ARRAY[
	'tiles:missing', 'tiles:sub/missing', 'tiles:missing/../file', 'tiles:file/below', 'tiles:dangling', 'tiles:', 'tiles:File',
	'tiles:file/', 'tiles:.', 'tiles:sub', 'tiles:sub/', 'tiles:to_deep', 'tiles:fifo', 'dev:null', 'dev:zero', 'tiles:locked']) AS path;
SELECT left(attempt('tiles:' || repeat('x', 255)), 6) AS name_max, left(attempt('tiles:' || repeat('x', 256)), 6) AS longer,
	   left(attempt('tiles:' || repeat('./', 2000) || 'file'), 12) AS path_max, left(attempt('tiles:' || repeat('./', 2100) || 'file'), 6) AS longer,
	   left(attempt('tiles:' || repeat('x/', 500000)), 6) AS longest;
SELECT attempt('tiles:file' || chr(1)) = '58P01: could not open file "tiles:file' || chr(1) || '": No such file or directory' AS control;

-- no right to the directory, or no such directory
SELECT path, attempt(path) FROM unnest(ARRAY[
	'other:file', 'other:missing', 'other:../secret', 'nowhere:file', 'elsewhere:passwd', 'Tiles:file', 'TILES:file', ':file', '::', ':', 'tiles :file',
	' tiles:file', '"tiles":file', 'größe:file', 'a:b:c']) AS path;
SELECT attempt(repeat('x', 100) || ':file');
-- no identifier is cut to the name of another
RESET ROLE;
ALTER SERVER "a b" RENAME TO "a23456789b23456789c23456789d23456789e23456789f23456789g23456789";
SET ROLE regress_iopool_app;
SELECT attempt('a23456789b23456789c23456789d23456789e23456789f23456789g23456789:file');
SELECT attempt('a23456789b23456789c23456789d23456789e23456789f23456789g23456789x:file');

-- plain paths stay closed, with a colon behind a slash too
SELECT path, attempt(path) FROM unnest(ARRAY['file', './tiles:file', '/tiles:file', 'x/tiles:file', '../tiles:file', '', 'PG_VERSION', '/etc/passwd']) AS path;
SELECT attempt(current_setting('regress.data') || '/PG_VERSION') LIKE '42501%' AS refused;

-- one bad path in a call, and nothing is read of it
SELECT * FROM failure($$SELECT * FROM iopool_read_batch(ARRAY['tiles:file', 'other:file'], ARRAY[0, 0], ARRAY[9, 9], 'report')$$);
SELECT * FROM failure($$SELECT * FROM iopool_read_batch(ARRAY['tiles:file', 'PG_VERSION'], ARRAY[0, 0], ARRAY[9, 9], 'report')$$);
SELECT * FROM failure($$SELECT iopool_read_array(ARRAY['tiles:file', 'nowhere:file'], ARRAY[0, 0], ARRAY[9, 9], 'report')$$);
-- a path without any range is looked at, too
SELECT state FROM failure($$SELECT * FROM iopool_read_batch('other:file', '{}'::bigint[], ARRAY[9])$$);
-- what is wrong with a file is reported a range
SELECT ordinal, encode(data, 'escape'), error FROM iopool_read_batch(
	ARRAY['tiles:file', 'tiles:../secret', 'tiles:missing', 'tiles:fifo', 'Größe:file', 'tiles:sub/file'],
	array_fill(0, ARRAY[6]), array_fill(9, ARRAY[6]), 'report');
SELECT iopool_read_array(ARRAY['tiles:file', 'tiles:to_passwd', 'tiles:empty'], ARRAY[0, 0, 0], ARRAY[2, 2, 2], 'report');
-- a file that may be missing, and nothing else that may be wrong
SELECT path, iopool_read(path, true) IS NULL AS file, iopool_read(path, 0, 9, true) IS NULL AS range
FROM unnest(ARRAY['tiles:missing', 'tiles:sub/missing', 'tiles:dangling', 'tiles:file']) AS path;
SELECT path, f.state, f.message FROM unnest(ARRAY['tiles:../secret', 'tiles:fifo', 'tiles:file/below', 'other:missing', 'nowhere:missing', 'missing']) AS path,
	LATERAL failure(format('SELECT iopool_read(%L, true)', path)) AS f;
RESET ROLE;

-- USAGE without EXECUTE, and EXECUTE without USAGE
SET ROLE regress_iopool_none;
SELECT attempt('tiles:file');
RESET ROLE;
CREATE ROLE regress_iopool_usage;
GRANT USAGE ON FOREIGN SERVER tiles TO regress_iopool_usage;
SET ROLE regress_iopool_usage;
SELECT attempt('tiles:file');
RESET ROLE;
DROP OWNED BY regress_iopool_usage;
DROP ROLE regress_iopool_usage;

-- pg_read_server_files: any path, and a directory only with USAGE
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && printf 'plain' >plain:file
SET ROLE regress_iopool_reader;
SELECT attempt('tiles:file');
SELECT attempt('other:file');
SELECT attempt(name) FROM unnest(ARRAY['nowhere:file', 'elsewhere:passwd', ':file', 'iopool_missing']) AS name;
SELECT encode(iopool_read(:'dir' || '/plain:file', 0, 9), 'escape');
RESET ROLE;
SELECT write_file('regress:plain', 'in the data directory');
SET ROLE regress_iopool_reader;
SELECT attempt('regress:plain');
RESET ROLE;
SET client_min_messages = 'error';
CREATE SERVER regress FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
RESET client_min_messages;
SELECT attempt('regress:plain');
SELECT attempt('./regress:plain');
DROP SERVER regress;
SELECT attempt('regress:plain');
-- superusers have every right, and no way out of a directory
SELECT attempt('other:file');
SELECT attempt('tiles:../secret');
-- plain paths and directories in one call
SET ROLE regress_iopool_reader;
SELECT ordinal, length(data), error FROM iopool_read_batch(ARRAY['iopool_words', 'regress:plain'], ARRAY[0, 0], ARRAY[9, 9]);
RESET ROLE;
SELECT ordinal, encode(data, 'escape'), error FROM iopool_read_batch(
	ARRAY['other:file', 'regress:plain', 'tiles:file', './regress:plain'], array_fill(0, ARRAY[4]), array_fill(9, ARRAY[4]));

-- whose rights: those of the current user, as they are at the call
GRANT USAGE ON FOREIGN SERVER other TO regress_iopool_app;
SET ROLE regress_iopool_app;
PREPARE other AS SELECT encode(iopool_read('other:file', 0, 9), 'escape');
EXECUTE other;
EXECUTE other;
SET ROLE regress_iopool_none;
EXECUTE other;
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER other FROM regress_iopool_app;
SET ROLE regress_iopool_app;
EXECUTE other;
RESET ROLE;
EXECUTE other;
DEALLOCATE other;
-- USAGE of a role that one belongs to, and of everybody
GRANT USAGE ON FOREIGN SERVER other TO regress_iopool_none;
GRANT regress_iopool_none TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT attempt('other:file');
RESET ROLE;
REVOKE regress_iopool_none FROM regress_iopool_app;
REVOKE USAGE ON FOREIGN SERVER other FROM regress_iopool_none;
GRANT USAGE ON FOREIGN SERVER other TO PUBLIC;
SET ROLE regress_iopool_app;
SELECT attempt('other:file');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER other FROM PUBLIC;
-- SECURITY DEFINER lends its owner's, and nothing else
CREATE FUNCTION lent(path text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$SELECT attempt(path)$$;
ALTER FUNCTION lent(text) OWNER TO regress_iopool_app;
SET ROLE regress_iopool_none;
SELECT lent('tiles:file');
SELECT lent('other:file');
SELECT lent('tiles:../secret');
SELECT attempt('tiles:file');
RESET ROLE;
DROP FUNCTION lent(text);
-- dropped, and made again, within a session
SET ROLE regress_iopool_app;
PREPARE again AS SELECT attempt('Größe:file');
EXECUTE again;
RESET ROLE;
DROP SERVER "Größe";
SET ROLE regress_iopool_app;
EXECUTE again;
RESET ROLE;
SET client_min_messages = 'error';
CREATE SERVER "Größe" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
RESET client_min_messages;
SET ROLE regress_iopool_app;
EXECUTE again;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER "Größe" TO regress_iopool_app;
SET ROLE regress_iopool_app;
EXECUTE again;
RESET ROLE;
DEALLOCATE again;
-- the owner has USAGE without being given it
ALTER SERVER other OWNER TO regress_iopool_none;
SET ROLE regress_iopool_none;
SELECT attempt('other:file');
RESET ROLE;
ALTER SERVER other OWNER TO CURRENT_USER;

-- the path of a directory has changed under it: no word of where it is
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && mv other moved
SELECT attempt('other:file');
SELECT ordinal, encode(data, 'escape'), error FROM iopool_read_batch(
	ARRAY['tiles:file', 'other:file', 'other:file'], ARRAY[0, 0, 1], ARRAY[9, 9, 9], 'report');
SELECT attempt('other:../secret');
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && ln -s moved other
SELECT attempt('other:file');
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && rm other && echo file >other
SELECT attempt('other:file');
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && rm other && mv moved other
SELECT attempt('other:file');
-- and each part of the path above it
\! cd "$PG_ABS_BUILDDIR/results" && mv iopool_dir iopool_dir2 && ln -s iopool_dir2 iopool_dir
SELECT attempt('other:file');
\! cd "$PG_ABS_BUILDDIR/results" && rm iopool_dir && mv iopool_dir2 iopool_dir
SELECT attempt('other:file');

-- the data directory, when a superuser allows it
CREATE SERVER regress_data FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '/', allow_data_directory 'on');
SELECT attempt('regress_data:' || ltrim(current_setting('data_directory'), '/') || '/regress:plain');
SELECT path, attempt(path) FROM unnest(ARRAY[
	'regress_data:proc/self/mem', 'regress_data:proc/version', 'regress_data:proc/none']) AS path;
-- nothing of this is about paths of superusers
SET iopool.io_mode = 'buffered';
SELECT length(iopool_read('/proc/version', 0, 5));
RESET iopool.io_mode;
DROP SERVER regress_data;

-- pool and io_mode of a directory come before the session's
ALTER SERVER tiles OPTIONS (ADD pool 'regress_one', ADD io_mode 'buffered');
ALTER SERVER other OPTIONS (ADD pool 'regress_two', ADD io_mode 'direct');
GRANT USAGE ON FOREIGN SERVER other TO regress_iopool_app;
CREATE FUNCTION counted(query text) RETURNS TABLE (pool text, is_read text, checkouts bigint)
LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE before AS SELECT * FROM iopool_pools;
	EXECUTE query;
	RETURN QUERY SELECT a.name,
		CASE WHEN a.bytes - b.bytes <= 16 THEN (a.bytes - b.bytes)::text ELSE 'blocks' END,
		a.checkouts - b.checkouts
	FROM iopool_pools AS a JOIN before AS b USING (name)
	WHERE a.reads <> b.reads ORDER BY 1;
	DROP TABLE before;
END
$$;
SELECT * FROM counted($$SELECT iopool_read('tiles:words', 0, 8)$$);
SELECT * FROM counted($$SELECT iopool_read('other:words', 0, 8)$$);
SELECT * FROM counted($$SELECT * FROM iopool_read_batch('tiles:words', ARRAY[0, 100000], ARRAY[8])$$);
SELECT * FROM counted($$SELECT * FROM iopool_read_batch('other:words', ARRAY[0, 100000], ARRAY[8])$$);
SELECT * FROM counted($$SELECT iopool_read_array('other:words', ARRAY[0, 100000], ARRAY[8])$$);
SELECT * FROM counted($$SELECT iopool_read('other:words', 0, 200000)$$);
-- also for a call over both, in either order of output, and in no order
SELECT * FROM counted($$SELECT * FROM iopool_read_batch(ARRAY['tiles:words', 'other:words'], ARRAY[0, 0], ARRAY[8, 8])$$);
SELECT * FROM counted($$SELECT iopool_read_array(ARRAY['tiles:words', 'other:words'], ARRAY[0, 0], ARRAY[8, 8])$$);
-- the session's pool is not asked for when no range needs it
SET iopool.pool = 'nope';
SELECT * FROM counted($$SELECT iopool_read('tiles:words', 0, 8)$$);
SELECT * FROM counted($$SELECT * FROM iopool_read_batch(ARRAY['tiles:words', 'other:words'], ARRAY[0, 0], ARRAY[8, 8], in_order => false)$$);
SELECT * FROM failure($$SELECT * FROM iopool_read_batch(ARRAY['tiles:words', 'Größe:words'], ARRAY[0, 0], ARRAY[8, 8])$$);
RESET iopool.pool;
-- prefetching is about the page cache, in a directory of direct reads too
SELECT iopool_prefetch('other:words', ARRAY[0, 1048576], ARRAY[8, 8]);

-- thousands of ranges over three pools: all there, right, and in their places
CREATE TEMP TABLE wanted AS
SELECT n, (ARRAY['tiles:words', 'other:words', 'iopool_words'])[1 + n * n % 7 % 3] AS path, (n * 7919) % 1000000 / 8 * 8 AS file_offset
FROM generate_series(1, 9000) AS n;
CREATE FUNCTION expected(path text, file_offset bigint) RETURNS bytea LANGUAGE sql AS
	$$SELECT int8send(file_offset + CASE path WHEN 'other:words' THEN 1099511627776 ELSE 0 END)$$;
SELECT in_order, count(*), bool_and(data = expected(w.path, w.file_offset)) AS right_bytes, bool_and(b.file_offset = w.file_offset) AS right_offset,
	   count(DISTINCT ordinal) AS ordinals
FROM unnest(ARRAY[true, false]) AS in_order,
	 (SELECT array_agg(path ORDER BY n) AS p, array_agg(file_offset ORDER BY n) AS o, array_agg(8 ORDER BY n) AS l FROM wanted) AS a,
	 LATERAL iopool_read_batch(p, o, l, in_order => in_order) AS b JOIN wanted AS w ON w.n = b.ordinal
GROUP BY 1 ORDER BY 1;
SELECT count(*) FILTER (WHERE place <> ordinal) AS out_of_order, count(*)
FROM (SELECT array_agg(path ORDER BY n) AS p, array_agg(file_offset ORDER BY n) AS o, array_agg(8 ORDER BY n) AS l FROM wanted) AS a,
	 LATERAL ROWS FROM (iopool_read_batch(p, o, l)) WITH ORDINALITY AS b (ordinal, file_offset, length, data, error, place);
SELECT count(*), bool_and(e = expected(w.path, w.file_offset)) AS right_bytes
FROM (SELECT array_agg(path ORDER BY n) AS p, array_agg(file_offset ORDER BY n) AS o, array_agg(8 ORDER BY n) AS l FROM wanted) AS a,
	 LATERAL unnest(iopool_read_array(p, o, l)) WITH ORDINALITY AS b (e, ordinal) JOIN wanted AS w ON w.n = b.ordinal;
-- failures in each pool are reported in their places
SELECT ordinal, encode(data, 'escape'), error FROM iopool_read_batch(
	ARRAY['other:file', 'tiles:missing', 'other:gone', 'tiles:file', 'iopool_missing', 'other:file'],
	array_fill(0, ARRAY[6]), array_fill(9, ARRAY[6]), 'report');
-- and the first of the call is raised, whichever pool is read first
SELECT message FROM failure($$SELECT * FROM iopool_read_batch(
	ARRAY['other:file', 'tiles:file', 'tiles:gone1', 'other:gone2', 'tiles:gone3'], array_fill(0, ARRAY[5]), array_fill(9, ARRAY[5]))$$);
SELECT message FROM failure($$SELECT * FROM iopool_read_batch(
	ARRAY['other:file', 'tiles:file', 'tiles:gone1', 'other:gone2', 'tiles:gone3'], array_fill(0, ARRAY[5]), array_fill(9, ARRAY[5]), in_order => false)$$);
SELECT message FROM failure($$SELECT iopool_read_array(
	ARRAY['tiles:file', 'other:gone1', 'tiles:gone2', 'iopool_missing'], array_fill(0, ARRAY[4]), array_fill(9, ARRAY[4]))$$);
SELECT message FROM failure($$SELECT * FROM iopool_read_batch(
	ARRAY['tiles:gone1', 'other:gone2', 'iopool_missing'], array_fill(0, ARRAY[3]), array_fill(9, ARRAY[3]))$$);
SELECT message FROM failure($$SELECT * FROM iopool_read_batch(
	ARRAY['tiles:file', 'other:file', 'iopool_missing'], array_fill(0, ARRAY[3]), array_fill(9, ARRAY[3]))$$);
-- what is behind it is not read on, from its pool or another
SET iopool.enable_stream_scan = off;
SELECT iopool_stat_reset();
SELECT message FROM failure($$SELECT * FROM iopool_read_batch(
	array_cat(ARRAY['tiles:gone'], array_fill('tiles:words'::text, ARRAY[5000]) || array_fill('other:words'::text, ARRAY[5000])),
	(SELECT array_agg(n * 50) FROM generate_series(0, 10000) AS n), array_fill(8, ARRAY[10001]))$$);
SELECT name, reads < 1000 AS few FROM iopool_pools WHERE name LIKE 'regress%' ORDER BY 1;
RESET iopool.enable_stream_scan;
-- no ranges, one range
SELECT * FROM iopool_read_batch('{}'::text[], '{}'::bigint[], '{}'::bigint[]);
SELECT iopool_read_array('other:words', '{}'::bigint[], ARRAY[8]);
-- a backend never waits for the ring of one pool while it holds another's
SET iopool.checkout_timeout = 0;
SELECT count(*) FROM iopool_read_batch(
	(SELECT array_agg(path ORDER BY n) FROM wanted), (SELECT array_agg(file_offset ORDER BY n) FROM wanted), (SELECT array_agg(8) FROM wanted));
RESET iopool.checkout_timeout;
SELECT sum(in_use) FROM iopool_pools;

DROP TABLE wanted;
DROP FUNCTION expected(text, bigint), counted(text), attempt(text);
DROP SERVER tiles, other, "Größe", "a23456789b23456789c23456789d23456789e23456789f23456789g23456789", proc, dev CASCADE;
DROP FOREIGN DATA WRAPPER regress_other CASCADE;
DROP OWNED BY regress_iopool_app, regress_iopool_none, regress_iopool_reader;
DROP ROLE regress_iopool_app, regress_iopool_none, regress_iopool_reader;
\! cd "$PG_ABS_BUILDDIR/results/iopool_dir" && chmod u+rw tiles/locked && rm -rf tiles other secret plain:file
