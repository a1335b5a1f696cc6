-- What files there are: iopool_stat() and iopool_list(), their rights, patterns,
-- links and errors.

\set dir `mkdir -p "$PG_ABS_BUILDDIR/results/iopool_list" && cd "$PG_ABS_BUILDDIR/results/iopool_list" && pwd -P`
\! cd "$PG_ABS_BUILDDIR/results/iopool_list" && chmod -R u+rwx . && rm -rf * && mkdir -p tiles/europe/1/2 tiles/asia tiles/empty tiles/odd outside && printf 'abc' >tiles/a.png && printf 'abcd' >tiles/b.txt && printf '' >tiles/.hidden && printf '12345' >tiles/europe/a.png && printf '1' >tiles/europe/B.png && printf '1' >tiles/europe/ab.jpg && printf '1' >tiles/europe/1/a.png && printf '1' >tiles/europe/1/2/c.png && printf '1' >tiles/asia/a.png && printf '1' >outside/secret
\! cd "$PG_ABS_BUILDDIR/results/iopool_list/tiles/odd" && touch 'a b' 'x*y' 'x[y' 'x]y' 'x?y' 'x\y' ./- '!' 'z9' 'a:b' "$(printf 'new\nline')" && mkfifo fifo && mkdir '**' && touch '**/star'
\! cd "$PG_ABS_BUILDDIR/results/iopool_list" && touch -d '2024-02-29 12:34:56.789012 UTC' tiles/a.png && touch -d '1969-12-31 23:59:58.5 UTC' tiles/b.txt

-- where the tests lie may be below what others can write in
SET client_min_messages = 'error';
\set path :dir '/tiles'
CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
\set path :dir '/outside'
CREATE SERVER outside FOREIGN DATA WRAPPER iopool_directory OPTIONS (path :'path');
CREATE SERVER proc FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '/proc');
CREATE SERVER dev FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '/dev');
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_iopool_app;
CREATE ROLE regress_iopool_reader IN ROLE pg_read_server_files;
GRANT USAGE ON FOREIGN SERVER tiles, proc, dev TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT * FROM failure($$SELECT * FROM iopool_stat('tiles:a.png')$$);
SELECT * FROM failure($$SELECT * FROM iopool_list('tiles:')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION iopool_stat(text, boolean), iopool_list(text, text), iopool_read(text, bigint, bigint),
	iopool_read_batch(text, bigint[], bigint[], text, boolean) TO regress_iopool_app;
SET ROLE regress_iopool_app;

-- a file
SELECT * FROM iopool_stat('tiles:a.png');
SELECT * FROM iopool_stat('tiles:b.txt', missing_ok => true);
SELECT s.* FROM unnest(ARRAY['tiles:a.png', 'tiles:none', 'tiles:b.txt']) WITH ORDINALITY AS p (path, n) LEFT JOIN LATERAL iopool_stat(path, true) AS s ON true ORDER BY n;
SELECT iopool_stat('tiles:a.png'), (iopool_stat('tiles:none', true)).size;
SELECT count(*) FROM iopool_stat(NULL);
-- what a read is refused, this is refused with the same words
SELECT path, state, (failure(format('SELECT iopool_read(%L, 0, 1)', path))).message = message AS as_read, message
FROM unnest(ARRAY['tiles:none', 'tiles:europe', 'tiles:odd/fifo', 'tiles:../outside/secret', 'tiles:', 'tiles:a.png/x', 'outside:secret', 'nowhere:x',
	'proc:version', 'dev:null', 'PG_VERSION', '/etc/passwd', '']) AS path, failure(format('SELECT * FROM iopool_stat(%L)', path));
-- missing_ok is for a file that is not there, and for nothing else
SELECT path, (failure(format('SELECT * FROM iopool_stat(%L, true)', path))).state
FROM unnest(ARRAY['tiles:none', 'tiles:none/x', 'tiles:a.png/x', 'tiles:europe', 'tiles:../outside/none', 'nowhere:x', 'none']) AS path;

-- a directory
SELECT path, size, CASE WHEN modified < '2025-01-01' THEN modified END AS modified FROM iopool_list('tiles:') ORDER BY path COLLATE "C";
SELECT path, size FROM iopool_list('tiles:europe') ORDER BY path COLLATE "C";
SELECT path, size FROM iopool_list('tiles:europe/', pattern => '**') ORDER BY path COLLATE "C";
SELECT path FROM iopool_list('tiles:europe/../europe//1/.', '**') ORDER BY path COLLATE "C";
SELECT count(*) FROM iopool_list('tiles:empty', '**');
SELECT count(*) FROM iopool_list('tiles:', NULL);
-- what comes out can be read
SELECT f.path, encode(iopool_read(f.path, 0, f.size), 'escape') AS data, s = ROW(f.size, f.modified) AS same_stat
FROM iopool_list('tiles:', '**') AS f, iopool_stat(f.path) AS s ORDER BY f.path COLLATE "C";

-- Patterns, with what they mean as regular expressions.  Each is compared with
-- all files below the directory.
RESET ROLE;
CREATE TABLE patterns (pattern text, expression text);
GRANT ALL ON patterns TO regress_iopool_app;
COPY patterns FROM stdin (DELIMITER ' ');
* ^[^/]*$
** ^.*$
**/* ^.*$
**/*.png ^(.*/)?[^/]*\\.png$
*.png ^[^/]*\\.png$
**.png ^.*\\.png$
europe/*.png ^europe/[^/]*\\.png$
europe/**/*.png ^europe/(.*/)?[^/]*\\.png$
europe/** ^europe/.*$
*/a.png ^[^/]*/a\\.png$
*/*/a.png ^[^/]*/[^/]*/a\\.png$
**/1/** ^(.*/)?1/.*$
**/1/**/*.png ^(.*/)?1/(.*/)?[^/]*\\.png$
europe**.png ^europe.*\\.png$
eu**pe/?.png ^eu.*pe/[^/]\\.png$
e*e/1/2/c.png ^e[^/]*e/1/2/c\\.png$
a.png ^a\\.png$
europe/a.png ^europe/a\\.png$
europe/1/2/c.png ^europe/1/2/c\\.png$
europe/none/c.png ^europe/none/c\\.png$
none/*.png ^none/[^/]*\\.png$
? ^[^/]$
?.??? ^[^/]\\.[^/][^/][^/]$
.* ^\\.[^/]*$
**/[ab].png ^(.*/)?[ab]\\.png$
**/[a-z].png ^(.*/)?[a-z]\\.png$
**/[!a-z].png ^(.*/)?[^a-z/]\\.png$
**/[A-Z]* ^(.*/)?[A-Z][^/]*$
**/[!a-zA-Z]* ^(.*/)?[^/a-zA-Z][^/]*$
odd/x[]]y ^odd/x\\]y$
odd/x[!]]y ^odd/x[^]/]y$
odd/x[[]y ^odd/x\\[y$
odd/x[\\]]y ^odd/x\\]y$
odd/x[*?]y ^odd/x[*?]y$
odd/x\\*y ^odd/x\\*y$
odd/x\\?y ^odd/x\\?y$
odd/x\\[y ^odd/x\\[y$
odd/x\\\\y ^odd/x\\\\y$
odd/x?y ^odd/x[^/]y$
odd/x*y ^odd/x[^/]*y$
odd/[-] ^odd/-$
odd/[!-] ^odd/[^/-]$
odd/[a-] ^odd/[a-]$
odd/[-z] ^odd/[-z]$
odd/[!!] ^odd/[^/!]$
odd/[\\!] ^odd/!$
odd/? ^odd/[^/]$
odd/[a-z][0-9] ^odd/[a-z][0-9]$
odd/\\*\\*/star ^odd/\\*\\*/star$
odd/**/star ^odd/(.*/)?star$
odd/*:* ^odd/[^/]*:[^/]*$
*** ^.*$
***/a.png ^(.*/)?a\\.png$
**/**/a.png ^(.*/)?a\\.png$
**/**/** ^.*$
*a* ^[^/]*a[^/]*$
a*.p*g ^a[^/]*\\.p[^/]*g$
\\a\\.png ^a\\.png$
europe[/]a.png ^neither$
europe[!x]a.png ^neither$
europe?a.png ^neither$
europe ^neither$
europe/ ^neither$
/a.png ^neither$
./a.png ^neither$
europe/../a.png ^neither$
europe//a.png ^neither$
**/ ^neither$
A.png ^neither$
\.
SET ROLE regress_iopool_app;
SELECT pattern, count(DISTINCT l.path) AS files,
	   count(*) FILTER (WHERE l.path IS NULL) AS missing, count(*) FILTER (WHERE f.path IS NULL AND l.path IS NOT NULL) AS wrong
FROM (SELECT pattern, f.path FROM patterns, iopool_list('tiles:', '**') AS f
	  WHERE replace(substr(f.path, 7), E'\n', '_') ~ expression) AS f
	FULL JOIN (SELECT pattern, l.path FROM patterns, iopool_list('tiles:', pattern) AS l) AS l USING (pattern, path)
	RIGHT JOIN patterns AS p USING (pattern)
GROUP BY pattern HAVING count(f.path) > 0 OR count(l.path) > 0 ORDER BY pattern COLLATE "C";
-- these match nothing, as they should
SELECT string_agg(pattern, '  ' ORDER BY pattern COLLATE "C") FROM patterns WHERE NOT EXISTS (SELECT FROM iopool_list('tiles:', pattern));
SELECT count(*) AS empty FROM iopool_list('tiles:', '');
-- a pattern of many stars takes no exponential time
SELECT count(*) FROM iopool_list('tiles:', repeat('*', 1000) || repeat('**a', 1000));
SELECT count(*) FROM iopool_list('tiles:', repeat('**/', 1000) || 'a.png');

-- patterns that are none, with the place
SELECT pattern, state, message FROM unnest(ARRAY['[', 'a[', 'ab/[a', 'ab/[!', '[]', '[!]', '[a-', E'a\\', E'[a\\', E'[\\]', 'a[z-a]b', '[a-zz-a]']) AS pattern,
	failure(format('SELECT * FROM iopool_list(%L, %L)', 'tiles:', pattern));
SELECT (failure(format('SELECT * FROM iopool_list(%L, %L)', 'tiles:', repeat('a', 4097)))).*;
SELECT count(*) FROM iopool_list('tiles:', repeat('a', 4096));

-- no directory, none that may be listed, no right
SELECT path, state, message FROM unnest(ARRAY['tiles:none', 'tiles:a.png', 'tiles:a.png/x', 'tiles:odd/fifo', 'tiles:..', 'tiles:../outside', 'tiles:/', 'tiles:/etc',
	'outside:', 'nowhere:', 'proc:', 'proc:self', '', '.', 'base', '/etc', ':', 'tiles']) AS path, failure(format('SELECT * FROM iopool_list(%L)', path));
SELECT left(message, 30) AS message, state FROM failure(format('SELECT * FROM iopool_list(%L)', 'tiles:' || repeat('x/', 5000)));

-- Links: those that a read follows, and no others; none leads in a circle.
RESET ROLE;
\! cd "$PG_ABS_BUILDDIR/results/iopool_list/tiles" && mkdir links && cd links && ln -s ../a.png to_file && ln -s ../europe to_europe && ln -s .. to_top && ln -s . to_here && ln -s ../../outside to_outside && ln -s ../../outside/secret to_secret && ln -s / to_root && ln -s nothing to_nothing && ln -s loop loop && ln -s "$(cd .. && pwd -P)/a.png" to_absolute && ln -s /proc/self/root to_magic && ln ../../outside/secret hard
SET ROLE regress_iopool_app;
SELECT path, size FROM iopool_list('tiles:links') ORDER BY path COLLATE "C";
SELECT path FROM iopool_list('tiles:links', '**') WHERE path !~ ':links/to_top/odd' ORDER BY path COLLATE "C";
SELECT path FROM iopool_list('tiles:links/to_europe', '**') ORDER BY path COLLATE "C";
-- a link back is followed where the pattern goes there and no further
SELECT path FROM iopool_list('tiles:', 'links/to_top/*.png') ORDER BY path COLLATE "C";
SELECT path FROM iopool_list('tiles:', 'links/to_top/links/to_top/**/a.png') ORDER BY path COLLATE "C";
SELECT path FROM iopool_list('tiles:', '**/to_top/a.png') ORDER BY path COLLATE "C";
-- and not because "**" could match more
SET statement_timeout = '30s';
SELECT count(*) FROM iopool_list('tiles:links', repeat('**?', 1000));
SELECT count(*) > 0 AS some FROM iopool_list('tiles:links', '**?**?**?**?**?');
RESET statement_timeout;
SELECT count(*) > 0 AS some, bool_and((failure(format('SELECT iopool_read(%L, 0, 1)', path))).message = 'no failure') AS all_are_read FROM iopool_list('tiles:', '**');
SELECT path, state, message FROM unnest(ARRAY['tiles:links/to_outside', 'tiles:links/to_root', 'tiles:links/to_magic', 'tiles:links/loop', 'tiles:links/to_nothing',
	'tiles:links/to_file']) AS path, failure(format('SELECT * FROM iopool_list(%L)', path));

-- What cannot be opened is left out and told once.
RESET ROLE;
\! cd "$PG_ABS_BUILDDIR/results/iopool_list/tiles" && mkdir -p locked/a locked/b locked/c && touch locked/a/x locked/b/x locked/c/x locked/y && chmod 0 locked/b && chmod 0 locked/y
SET ROLE regress_iopool_app;
SELECT path FROM iopool_list('tiles:locked', '**') ORDER BY path COLLATE "C";
SELECT path FROM iopool_list('tiles:locked', '*/*') LIMIT 1 OFFSET 9;
SELECT path FROM iopool_list('tiles:locked') ORDER BY path COLLATE "C";
SELECT state, message FROM failure($$SELECT * FROM iopool_stat('tiles:locked/y')$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_list('tiles:locked/b')$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_list('tiles:locked/b/none')$$);

RESET ROLE;
\! cd "$PG_ABS_BUILDDIR/results/iopool_list/tiles" && chmod 700 locked/b locked/y

-- Plain paths, for those who may name any.
SET ROLE regress_iopool_reader;
SELECT replace(path, :'dir', '') AS path, size FROM iopool_list(:'dir', 'tiles/[a-e]*/*.png') ORDER BY path COLLATE "C";
SELECT count(*), bool_and(path LIKE :'dir' || '/tiles/links/%') FROM iopool_list(:'dir' || '/tiles/links/');
SELECT path, size FROM iopool_list('.', 'PG_VERSION');
SELECT path FROM iopool_list('', 'PG_VERSION');
SELECT l.path, s.size = l.size AS same FROM iopool_list('base', '*/PG_VERSION') AS l, iopool_stat(l.path) AS s ORDER BY l.path LIMIT 1;
SELECT iopool_list('base/..', 'PG_V*') IS NOT NULL AS row;
SELECT count(*) > 0 AS listed FROM iopool_list('/proc/self', 'status');
SELECT state, message FROM failure($$SELECT * FROM iopool_list('none')$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_list('PG_VERSION')$$);
SELECT state, message FROM failure($$SELECT * FROM iopool_list('tiles:')$$);
RESET ROLE;

-- the same names as core finds, with its sizes and times
CREATE FUNCTION core_list(directory text) RETURNS TABLE (path text, size bigint, modified timestamptz) LANGUAGE sql AS $$
	WITH RECURSIVE tree (path) AS (
		SELECT directory
		UNION ALL SELECT tree.path || '/' || n FROM tree, pg_ls_dir(tree.path) AS n WHERE (pg_stat_file(tree.path)).isdir
	)
	SELECT tree.path, (s).size, (s).modification FROM tree, pg_stat_file(tree.path) AS s WHERE NOT (s).isdir AND tree.path !~ 'fifo'
$$;
SELECT count(*) AS files, count(*) FILTER (WHERE ROW(l.size, date_trunc('second', l.modified)) IS DISTINCT FROM ROW(c.size, c.modified)) AS wrong
FROM unnest(ARRAY['/asia', '/europe', '/odd', '/empty']) AS name, LATERAL (
	SELECT * FROM iopool_list(:'dir' || '/tiles' || name, '**') AS l FULL JOIN core_list(:'dir' || '/tiles' || name) AS c USING (path)
) AS j (path, l_size, l_modified, c_size, c_modified), LATERAL (SELECT l_size AS size, l_modified AS modified) AS l, LATERAL (SELECT c_size AS size, c_modified AS modified) AS c;
DROP FUNCTION core_list;

-- In FROM, a node hands files out as they are found.
GRANT EXECUTE ON FUNCTION plan_of, nodes_of, node_of, rows_of, compare TO regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT * FROM plan_of($$SELECT path FROM iopool_list('tiles:', '**/*.png') WHERE size > 1$$);
SELECT query, (compare(query)).* FROM unnest(ARRAY[
	$$SELECT * FROM iopool_list('tiles:', '**')$$,
	$$SELECT path FROM iopool_list('tiles:', '**') WHERE size > 0 ORDER BY path$$,
	$$SELECT modified, size FROM iopool_list('tiles:europe', '**') AS l (a, size, modified) LIMIT 3$$,
	$$SELECT count(*) FROM iopool_list('tiles:', '**')$$,
	$$SELECT * FROM iopool_list('tiles:', NULL)$$,
	$$SELECT l.path, d.data FROM iopool_list('tiles:', '**/*.png') AS l, iopool_read(l.path, 0, l.size) AS d (data)$$,
	$$SELECT l.path, b.data FROM iopool_list('tiles:', '**/*.png') AS l, iopool_read_batch(l.path, ARRAY[0, 1], ARRAY[1, 1]) AS b$$,
	$$SELECT path, iopool_read(path, 0, size) FROM iopool_list('tiles:', '**/*.png')$$,
	$$SELECT path FROM iopool_list('tiles:', '**') WHERE iopool_read(path, 0, 1) = '1'$$,
	$$SELECT d, l.* FROM unnest(ARRAY['tiles:asia', 'tiles:europe']) AS d, iopool_list(d, '**') AS l$$,
	$$SELECT d, l.path FROM unnest(ARRAY['tiles:asia', 'tiles:empty']) AS d LEFT JOIN LATERAL iopool_list(d, '**') AS l ON true$$,
	$$SELECT d, (SELECT count(*) FROM iopool_list(d, '**')) FROM unnest(ARRAY['tiles:asia', 'tiles:europe', 'tiles:europe']) AS d$$,
	$$SELECT a.path, b.path FROM iopool_list('tiles:', '*') AS a LEFT JOIN iopool_list('tiles:', '**/*.png') AS b ON a.path < b.path$$,
	$$SELECT n, l.path FROM generate_series(1, 3) AS n, iopool_list('tiles:europe') AS l$$,
	$$SELECT l FROM iopool_list('tiles:europe', '**') AS l$$,
	$$SELECT * FROM iopool_list('tiles:europe', '**') WITH ORDINALITY$$,
	$$SELECT * FROM ROWS FROM (iopool_list('tiles:europe', '**'), generate_series(1, 2))$$,
	$$SELECT iopool_list('tiles:europe', '**')$$,
	$$SELECT * FROM iopool_list('tiles:none')$$,
	$$SELECT * FROM iopool_list('tiles:', '[')$$,
	$$SELECT l.* FROM unnest(ARRAY['tiles:asia', 'tiles:none']) AS d, iopool_list(d, '**') AS l$$]) AS query;
-- it looks at no more than it has to
SELECT query, n ->> 'Directories' AS directories, n ->> 'Names' AS names, n ->> 'Files' AS files
FROM unnest(ARRAY[
	$$SELECT * FROM iopool_list('tiles:')$$,
	$$SELECT * FROM iopool_list('tiles:', '*/*')$$,
	$$SELECT * FROM iopool_list('tiles:', 'europe/*.png')$$,
	$$SELECT * FROM iopool_list('tiles:', 'europe/1/2/c.png')$$,
	$$SELECT * FROM iopool_list('tiles:', 'europe/**/c.png')$$,
	$$SELECT * FROM iopool_list('tiles:', 'none/*.png')$$,
	$$SELECT * FROM iopool_list('tiles:europe', '[ab].png')$$,
	$$SELECT * FROM iopool_list('tiles:', '') $$,
	$$SELECT d, l.path FROM unnest(ARRAY['tiles:asia', 'tiles:asia', 'tiles:empty']) AS d, iopool_list(d) AS l$$]) AS query, node_of(query) AS n;
SELECT line FROM plan_of($$SELECT l.path FROM iopool_list('tiles:europe', '*.png') AS l$$, ', ANALYZE') AS line WHERE line ~ 'Names';
-- a volatile argument is evaluated once, by the plain plan
SELECT nodes_of($$SELECT * FROM iopool_list('tiles:' || CASE WHEN random() < 0 THEN 'x' ELSE '' END)$$);
-- and who must not call the function, must not call it so
RESET ROLE;
REVOKE EXECUTE ON FUNCTION iopool_list(text, text) FROM regress_iopool_app;
SET ROLE regress_iopool_app;
SELECT * FROM failure($$SELECT * FROM iopool_list('tiles:')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION iopool_list(text, text) TO regress_iopool_app;
REVOKE EXECUTE ON FUNCTION plan_of, nodes_of, node_of, rows_of, compare FROM regress_iopool_app;

-- a call ends when its rows are enough, or when it fails
BEGIN;
DECLARE c CURSOR FOR SELECT iopool_list('tiles:', '**');
FETCH 2 FROM c \g /dev/null
SAVEPOINT s;
DECLARE d CURSOR FOR SELECT iopool_list('tiles:', '**');
FETCH 2 FROM d \g /dev/null
DECLARE e CURSOR FOR SELECT path FROM iopool_list('tiles:', '**');
FETCH 2 FROM e \g /dev/null
SELECT 1 / 0;
ROLLBACK TO s;
MOVE FORWARD 5 FROM c;
ROLLBACK;
SELECT count(*) FROM (SELECT iopool_list('tiles:', '**') LIMIT 3) AS three;
SELECT count(*) FROM (SELECT iopool_list('tiles:', 'europe/**'), generate_series(1, 2)) AS rows;

DROP TABLE patterns;
DROP SERVER tiles, outside, proc, dev CASCADE;
DROP OWNED BY regress_iopool_app;
DROP ROLE regress_iopool_app, regress_iopool_reader;
