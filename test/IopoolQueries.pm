
=head1 NAME

IopoolQueries - generated queries that read files

=head1 SYNOPSIS

  use IopoolQueries;
  $node->safe_psql('postgres', query_schema($dir, $other_dir));
  foreach my $query (queries($seed, 300, $dir))
  {
      # @{ $query->{settings} }: SET LOCAL
      # @{ $query->{run} }: statements, in one transaction
      # @{ $query->{explain} }: those of them that EXPLAIN takes
      # $query->{ordered}: the order of rows is part of the result
      # $query->{plain}: no custom scan may be in the plan
  }

=head1 RULES

The same seed gives the same queries.  A query has one right result, whichever
plan it gets: rows are cut off (LIMIT, EXISTS, a cursor) only where their order
is known, and no query that cuts rows off, or joins after it has read, reads
what fails; a query that fails can do so with one SQLSTATE only.

=cut

package IopoolQueries;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(query_schema session_schema queries query_files);

# Files of both directories, and their sizes; they are written by the test.
my %sizes = (a => 200_003, b => 65_537, c => 4_096, e => 0);

sub query_files
{
	return %sizes;
}

# What is read by the queries that are being made.
my $dir;

sub pick
{
	return $_[ int(rand(@_)) ];
}

sub chance
{
	return rand() < $_[0];
}

# A number from .. to.
sub between
{
	my ($from, $to) = @_;
	return $from + int(rand($to - $from + 1));
}

# ----------------------------------------------------------------------------
# Tables

# Tables that queries read from, all with the columns of cat:
# cat       what can be read, NULLs in every column that is an argument
# missing   some files are missing
# negative  some offsets are negative
# nulls     some arrays have a NULL
# many      3,000 small ranges
# parts     partitions; v_cat, v_barrier: views
# Every row with an even id reads through a directory, and only these are seen
# by the role app.
sub query_schema
{
	my ($plain_dir, $other_dir) = @_;
	my $file = "(ARRAY['a', 'b', 'c', 'e', 'a', 'a'])";

	return qq{
CREATE SERVER da FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$plain_dir');
CREATE SERVER db FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$other_dir', pool 'other');
CREATE ROLE app LOGIN;
GRANT USAGE ON FOREIGN SERVER da, db TO app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app;

CREATE TABLE cat (id int PRIMARY KEY, path text, o bigint, l bigint, kind int, note text,
				  os bigint[], ls bigint[], paths text[]);
-- numbers that look random and are the same everywhere
CREATE FUNCTION mix(n bigint, salt int, range int) RETURNS int LANGUAGE sql IMMUTABLE AS
	'SELECT ((n * 7919 + salt * 104729 + n * n * (salt + 13) * 31) % 1000003 % range)::int';
CREATE FUNCTION a_path(n bigint, salt int) RETURNS text LANGUAGE sql IMMUTABLE AS
	\$\$SELECT CASE WHEN n % 2 = 1 THEN '$plain_dir/' WHEN mix(n, salt, 3) = 0 THEN 'da:' ELSE 'db:' END
		|| $file\[1 + mix(n, salt + 1, 6)]\$\$;
CREATE FUNCTION an_offset(n bigint, salt int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
	'SELECT (ARRAY[0, mix(n, salt, 200000), mix(n, salt, 4096), 4090, 199999, 65530, 8 * mix(n, salt, 500), 5000000000])[1 + mix(n, salt + 2, 8)]';
CREATE FUNCTION a_length(n bigint, salt int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
	'SELECT (ARRAY[0, 8, 1, mix(n, salt, 64), mix(n, salt, 64), mix(n, salt, 6000), 16, 120000 * (n % 5 / 4)])[1 + mix(n, salt + 3, 8)]';

INSERT INTO cat SELECT n,
	CASE WHEN n % 13 <> 5 THEN a_path(n, 1) END,
	CASE WHEN n % 17 <> 3 THEN an_offset(n, 2) END,
	CASE WHEN n % 11 <> 7 THEN a_length(n, 3) END,
	n % 6, CASE WHEN n % 5 <> 0 THEN 'note ' || mix(n, 4, 9) END,
	CASE WHEN n % 19 <> 4 THEN (SELECT coalesce(array_agg(an_offset(n, i) ORDER BY i), '{}') FROM generate_series(1, mix(n, 5, 7)) AS i) END,
	CASE WHEN n % 23 <> 6 THEN (SELECT coalesce(array_agg(a_length(n, i) ORDER BY i), '{}') FROM generate_series(1, mix(n, 5, 7)) AS i) END,
	CASE WHEN n % 29 <> 8 THEN (SELECT coalesce(array_agg(a_path(n, i) ORDER BY i), '{}') FROM generate_series(1, mix(n, 5, 7)) AS i) END
	FROM generate_series(1, 64) AS n;
CREATE TABLE missing (LIKE cat INCLUDING ALL);
INSERT INTO missing SELECT id, CASE WHEN id % 10 = 7 THEN '$plain_dir/gone' WHEN id % 10 = 2 THEN 'db:gone' ELSE path END,
	o, l, kind, note, os, ls, CASE WHEN id % 4 = 1 THEN array_replace(paths, '$plain_dir/a', '$plain_dir/lost') ELSE paths END FROM cat;
CREATE TABLE negative (LIKE cat INCLUDING ALL);
INSERT INTO negative SELECT id, path, CASE WHEN id % 10 = 6 THEN -1 ELSE o END, CASE WHEN id % 10 = 9 THEN -1 ELSE l END, kind, note,
	CASE WHEN id % 10 = 6 THEN -1::bigint || os[2:] ELSE os END, CASE WHEN id % 10 = 9 THEN ls || 8::bigint ELSE ls END, paths FROM cat;
CREATE TABLE nulls (LIKE cat INCLUDING ALL);
INSERT INTO nulls SELECT id, path, o, l, kind, note,
	CASE WHEN id % 10 = 6 THEN NULL::bigint || os[2:] ELSE os END, ls, CASE WHEN id % 10 = 1 THEN NULL::text || paths[2:] ELSE paths END
	FROM cat WHERE os[1] IS NOT NULL AND ls[1] IS NOT NULL AND paths[1] IS NOT NULL;
CREATE TABLE many (LIKE cat INCLUDING ALL);
INSERT INTO many SELECT n, CASE WHEN n % 500 <> 5 THEN a_path(n, 1) END, an_offset(n, 2), mix(n, 3, 64), n % 6, 'many ' || n,
	ARRAY[an_offset(n, 3), an_offset(n, 4)], ARRAY[mix(n, 5, 40), mix(n, 6, 40)], ARRAY[a_path(n, 7), a_path(n, 8)]
	FROM generate_series(1, 3000) AS n;
CREATE TABLE parts (LIKE cat) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (20);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (20) TO (50);
CREATE TABLE parts_3 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT * FROM cat;
CREATE VIEW v_cat AS SELECT * FROM cat WHERE kind < 5;
CREATE VIEW v_barrier WITH (security_barrier) AS SELECT * FROM cat WHERE id % 2 = 0;
CREATE VIEW v_read AS SELECT c.*, r.data FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS r(data);
CREATE TABLE small (k int PRIMARY KEY, word text);
INSERT INTO small SELECT k, 'word ' || k FROM generate_series(0, 9) AS k;
CREATE SEQUENCE calls;

ALTER TABLE cat ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON cat USING (id % 2 = 0);
GRANT SELECT, UPDATE ON cat, missing, many, parts, v_cat, v_barrier, v_read, small TO app;
ANALYZE;
};
}

# What a session has for itself: tables that queries write to.
sub session_schema
{
	return q{
CREATE TEMP TABLE own_cat AS SELECT * FROM cat;
ALTER TABLE own_cat ADD PRIMARY KEY (id);
CREATE TEMP TABLE target (id int, n int, d text);
ANALYZE own_cat;
};
}

# ----------------------------------------------------------------------------
# Parts of queries

# Where outer rows come from, with the alias c and an id of its own for each.
sub source
{
	my (%want) = @_;
	my $n = between(1, 40);
	my $table = $want{table}
	  // pick('cat', 'cat', 'cat', 'many', 'parts', 'v_cat', 'v_barrier');
	my $subset = "SELECT * FROM $table WHERE id % 3 <> " . between(0, 3);
	my @sources = (
		{ from => "$table AS c" },
		{ from => "$table AS c" },
		{ from => "$table AS c" },
		{ from => "($subset) AS c" });
	return $sources[0] if $want{whole};
	return pick(@sources) if $want{simple};

	push @sources,
	  { from => "($subset ORDER BY id LIMIT $n OFFSET 3) AS c" },
	  { from => "($subset ORDER BY note, id DESC LIMIT $n) AS c" },
	  { from => "($subset OFFSET 0) AS c" },
	  { with => "q AS ($subset)", from => 'q AS c' },
	  { with => "q AS MATERIALIZED ($subset)", from => 'q AS c' },
	  { from => "(SELECT DISTINCT ON (path, o) * FROM $table ORDER BY path, o, id) AS c" },
	  { from => "(SELECT * FROM $table WHERE id < $n UNION ALL SELECT * FROM $table WHERE id >= $n) AS c" },
	  { from => "(SELECT * FROM $table WHERE id < $n UNION ALL SELECT * FROM parts WHERE id >= 3000) AS c" };
	return pick(@sources) if $want{error};

	push @sources,
	  { from => "$table AS c JOIN small AS s ON s.k = c.kind", small => 1 },
	  { from => "small AS s JOIN $table AS c ON s.k = c.kind + 2", small => 1 },
	  { from => "$table AS c LEFT JOIN small AS s ON s.k = c.id", small => 1 },
	  { from => "$table AS c LEFT JOIN (SELECT k, coalesce(k, 1) AS one, word FROM small) AS s ON s.k = c.id - 1", small => 1 },
	  { from => "small AS s RIGHT JOIN cat AS c USING (k)", using => 1 },
	  { from => "cat AS c FULL JOIN (SELECT id AS i FROM parts WHERE id < 70) AS p ON p.i = c.id" },
	  { from => "(SELECT g AS id, '$dir/a'::text AS path, g * 40::bigint AS o, g % 7 * 8::bigint AS l, g % 6 AS kind, 'g' || g AS note,"
		  . " ARRAY[g, g * 8, 0]::bigint[] AS os, ARRAY[8, 16, g % 5]::bigint[] AS ls, ARRAY['$dir/a', '$dir/b', 'db:c'] AS paths"
		  . " FROM generate_series(1, " . pick(3, 17, 300) . ") AS g) AS c" },
	  { from => "(VALUES (1, '$dir/a', 8::bigint, 8::bigint, 1, 'v', '{0,8}'::bigint[], '{8,8}'::bigint[], '{$dir/b,da:a}'::text[]),"
		  . " (2, 'db:b', 65530, NULL, 2, NULL, '{}', '{}', '{}'), (3, NULL, 0, 9, 3, 'w', NULL, '{1}', '{db:e}'),"
		  . " (4, '$dir/a', 100, 5000, 4, 'x', '{4096,0,4096}', '{1,2,3}', '{$dir/a,$dir/a,$dir/c}'))"
		  . " AS c(id, path, o, l, kind, note, os, ls, paths)" };
	my $source = pick(@sources);
	$source->{from} = 'small AS s RIGHT JOIN cat AS c ON s.k = c.l'
	  if $source->{using};
	return $source;
}

sub options
{
	my (%want) = @_;
	my $on_error = $want{report} ? "'report'" : pick("'raise'", "'report'");
	my $in_order = $want{in_order} ? 'true' : pick('true', 'false', 'c.id % 2 = 0');
	$in_order = 'true' if $want{alone} && $in_order =~ /c\./;

	return '' if !$want{report} && chance(0.3);
	return ", $on_error" if chance(0.3);
	return ", on_error => $on_error" if chance(0.3);
	return ", in_order => $in_order"
	  if !$want{report} && chance(0.5);
	return ", $on_error, $in_order";
}

# A call over columns of c and of an earlier call, as the alias of that name:
# { text, is_batch, plain }.
sub call
{
	my ($alias, $before, %want) = @_;
	my $is_batch = $want{read} ? 0 : $want{batch} ? 1 : chance(0.5);
	my $path = pick('c.path', 'c.path', 'c.path', "'$dir/a'", "coalesce(c.path, '$dir/b')", "nullif(c.path, 'da:a')");
	my $offset = pick('c.o', 'c.o', 'c.o', 'c.o + 8', 'c.id * 100', 'coalesce(c.o, 0)');
	my $length = pick('c.l', 'c.l', 'c.l', '16', 'least(c.l, 100)', 'c.kind * 10', '0', 'NULL::bigint');
	my ($text, $args);

	if ($want{error})
	{
		($path, $offset, $length) = ('c.path', 'c.o', 'c.l');
	}
	elsif ($want{small} && chance(0.5))
	{
		$offset = pick('s.k * 8', 's.k', 'coalesce(s.k, 5)');
		$path = "CASE WHEN s.word IS NOT NULL THEN '$dir/a' ELSE c.path END" if chance(0.3);
	}
	elsif ($before && chance(0.6))
	{
		$offset = $before->{is_batch}
		  ? pick("$before->{alias}.file_offset", "$before->{alias}.ordinal * 8")
		  : "length($before->{alias}.data)";
		$length = "length($before->{alias}.data) / 2" if chance(0.4);
	}

	if (!$is_batch)
	{
		$text = "iopool_read($path, $offset, $length)";
	}
	else
	{
		my $some = "coalesce($offset, 0)";
		$args =
		  $want{error} ? pick('c.path, c.os, c.ls', 'c.path, c.os, 24', 'c.paths, c.os, c.ls')
		  : pick("$path, c.os, c.ls", "$path, c.os, $length", 'c.paths, c.os, c.ls',
			  "$path, ARRAY[$some, $some + 4, 0], ARRAY[8, c.kind, 30]",
			  "$path, ARRAY[$some], $length", "ARRAY['$dir/a', coalesce($path, 'db:a')], ARRAY[$some, 16], ARRAY[24, 24]",
			  "$path, '{}', '{}'::bigint[]");
		$text = "iopool_read_batch($args" . options(%want) . ')';
	}

	my $columns = $is_batch ? 'ordinal, file_offset, length, data, error' : 'data';
	my $plain = $want{plain} && pick('ordinality', 'rows from');
	if (!$plain)
	{
		$text .= $is_batch ? " AS $alias" : " AS $alias($columns)";
	}
	elsif ($plain eq 'ordinality')
	{
		$text .= " WITH ORDINALITY AS $alias($columns, place)";
	}
	else
	{
		$text = "ROWS FROM ($text, generate_series(1, 2)) AS $alias($columns, n)";
	}
	return { text => $text, is_batch => $is_batch, alias => $alias };
}

# A condition on columns of a call.
sub condition
{
	my ($call) = @_;
	my $f = $call->{alias};
	my @conditions = (
		"length($f.data) > 8", "$f.data IS NOT NULL", "length($f.data) = c.l",
		"get_byte($f.data || '\\x00'::bytea, 0) % 2 = c.kind % 2", "length($f.data) <> 16 OR c.kind > 2",
		"$f.data IS NULL OR c.id % 4 <> 1");
	push @conditions, "$f.ordinal <= 2", "$f.error IS NULL",
	  "$f.file_offset >= c.o", "$f.ordinal % 2 = c.id % 2", "$f IS NOT NULL", "($f).length > 3",
	  "$f.ordinal IN (SELECT k FROM small WHERE k <> 3)"
	  if $call->{is_batch};
	return pick(@conditions);
}

sub outer_condition
{
	my (%want) = @_;
	my @conditions = (
		'c.id % 2 = 0', 'c.kind IN (1, 2, 5)', "c.note LIKE '%1%' OR c.kind = 4", 'c.o IS NOT NULL',
		'c.id <= ' . between(1, 64), 'c.id BETWEEN 5 AND 30');
	push @conditions,
	  'EXISTS (SELECT 1 FROM small AS x WHERE x.k = c.kind)',
	  'NOT EXISTS (SELECT 1 FROM small AS x WHERE x.k = c.id)',
	  'c.id IN (SELECT k + 3 FROM small)', 'c.kind = ANY (SELECT k FROM small WHERE k > 2)',
	  'c.kind < (SELECT max(k) - 3 FROM small)'
	  unless $want{error};
	# reads of their own
	push @conditions,
	  "EXISTS (SELECT 1 FROM iopool_read_batch('$dir/a', ARRAY[c.id, 199999], 8) AS x WHERE length(x.data) > 4)",
	  "(SELECT count(*) FROM iopool_read_batch('$dir/a', '{0,8,16,24}', 8) AS x WHERE x.ordinal <= c.kind) > 1",
	  "c.kind IN (SELECT x.ordinal FROM iopool_read_batch('$dir/b', '{0,8,70000}', 8) AS x WHERE length(x.data) > 0)",
	  "EXISTS (SELECT 1 FROM small AS x, LATERAL iopool_read('$dir/a', x.k * 8 + c.id, 8) AS y(data) WHERE get_byte(y.data, 7) > 60 AND x.k < c.kind)",
	  "length(iopool_read('$dir/a', c.id, 8)) = 8"
	  unless $want{error} || $want{many};
	return pick(@conditions);
}

# FROM and WHERE of a query with LATERAL calls, and what can be selected of it:
# { with, body, calls, keys, plain }.
sub lateral
{
	my (%want) = @_;
	my $source = source(%want);
	my $ncalls = !$want{error} && !$want{simple} && !$want{whole} && chance(0.25) ? 2 : 1;
	my $body = $source->{from};
	my $has_commas = chance(0.3);
	my (@calls, @where, @keys);

	$want{small} = $source->{small};
	$want{many} = 1 if $body =~ /many/;
	foreach my $n (1 .. $ncalls)
	{
		my $call = call("f$n", $calls[0], %want);
		my $condition = chance(0.4) ? condition($call) : 'true';

		$condition = 'true' if $want{error} || $want{plain};
		$body .= $has_commas ? ", LATERAL $call->{text}"
		  : pick(" JOIN LATERAL $call->{text} ON $condition", " JOIN LATERAL $call->{text} ON $condition", " CROSS JOIN LATERAL $call->{text}",
			" LEFT JOIN LATERAL $call->{text} ON true", " LEFT JOIN LATERAL $call->{text} ON $condition");
		push @calls, $call;
	}
	if (!$want{simple} && !$want{whole} && !$want{error} && chance(0.25))
	{
		my $to = pick('c.kind', 'c.id', $calls[0]{is_batch} ? 'f1.ordinal' : 'length(f1.data)');
		$body .= $has_commas ? ', small AS t' : pick(' JOIN', ' LEFT JOIN') . " small AS t ON t.k = $to";
		push @where, "t.k = $to" if $has_commas;
	}
	push @where, @{ $want{where} // [] };
	if (!$want{all})
	{
		push @where, outer_condition(%want) foreach (1 .. between(0, 2));
		push @where, condition(pick(@calls)) if chance(0.4);
	}
	@keys = ('c.id', map { $want{plain} ? "$_->{alias}" : $_->{is_batch} ? "$_->{alias}.ordinal" : () } @calls);
	return {
		with => $source->{with} // '',
		body => $body . (@where ? ' WHERE ' . join ' AND ', map { "($_)" } @where : ''),
		calls => \@calls,
		keys => \@keys };
}

# Expressions to select, of fixed meaning and number if wanted.
sub list
{
	my ($from, $fixed) = @_;
	my @calls = @{ $from->{calls} };
	my @list = (@{ $from->{keys} }, map { "md5($_->{alias}.data)" } @calls);

	return ('c.id', "md5($calls[-1]{alias}.data) AS digest") if $fixed;
	foreach my $call (@calls)
	{
		my $f = $call->{alias};
		push @list, pick("length($f.data)", "encode(substr($f.data, 1, 12), 'hex')", "coalesce(length($f.data), -1) + c.id",
			"CASE WHEN length($f.data) > 8 THEN c.note ELSE 'short' END", "(SELECT word FROM small WHERE k = length($f.data) % 10)",
			"length($f.data) || c.note");
		push @list, pick("$f.error", "$f.file_offset - $f.length", "$f.length + $f.ordinal", "$f IS NULL", "md5($f\::text)", "($f).error",
			"(SELECT count(*) FROM small WHERE k < $f.ordinal)", 'c.kind')
		  if $call->{is_batch};
	}
	push @list, pick('c.kind', 'c.note', "md5(c\::text)", 'c', 'cardinality(c.os)', '1');
	# nothing of the call, nothing of c
	return pick([ 'c.id' ], [ 'md5(f1.data)' ], ['1'], [ 'c.id', 'f1.data' ])->@*
	  if chance(0.15);
	return @list;
}

sub statement
{
	my ($from, $rest, @list) = @_;
	my $with = $from->{with} ne '' ? "WITH $from->{with} " : '';
	return $with . 'SELECT ' . join(', ', @list) . " FROM $from->{body}$rest";
}

# A literal array of offsets or lengths.
sub numbers
{
	my (@numbers) = @_;
	my $list = join ',', @numbers;
	return pick("'{$list}'::bigint[]", "ARRAY[$list]::bigint[]");
}

# iopool_read_batch() in FROM, alone.
sub batch
{
	my (%want) = @_;
	my $n = pick(0, 1, 2, 5, 20, 20, 150, 400);
	my @offsets = map {
		pick(between(0, 200_000), between(0, 4_000), 8 * $_, 4 * $_, 199_990, 70_000, 6_000_000_000, 17)
	} 1 .. $n;
	my @lengths = map { pick(8, 8, 0, between(1, 100), between(1, 5_000), $n <= 20 ? 150_000 : 1) } 1 .. $n;
	my @paths = map { pick("$dir/a", "$dir/a", "$dir/b", "$dir/e", 'da:a', 'db:b', 'da:c', $want{error} ? "$dir/gone" : "$dir/c") } 1 .. $n;
	my $path = pick("'$dir/a'", "'da:a'", "'db:b'", "'$dir/e'", $want{error} ? "'$dir/gone'" : "'$dir/c'");
	my $upto = pick(0, 10, 200, 3000);
	my $options = options(%want, alone => 1);
	my @args = (
		"$path, " . numbers(@offsets) . ', ' . numbers(@lengths),
		"$path, " . numbers(@offsets) . ', ' . pick(8, 0, 100, 5000),
		"'{" . join(',', @paths) . "}'::text[], " . numbers(@offsets) . ', ' . numbers(@lengths),
		"(SELECT array_agg(path ORDER BY id) FROM many WHERE path IS NOT NULL AND id <= $upto),"
		  . " (SELECT array_agg(o ORDER BY id) FROM many WHERE path IS NOT NULL AND id <= $upto),"
		  . " (SELECT array_agg(l ORDER BY id) FROM many WHERE path IS NOT NULL AND id <= $upto)",
		"$path, (SELECT array_agg(o ORDER BY id) FROM many WHERE id <= $upto), 30");
	push @args, "NULL::text, '{1}', 8", "$path, NULL, 8", "$path, '{1}', NULL::bigint[]" unless $want{some};
	return 'iopool_read_batch(' . pick(@args, @args[ 0 .. 2 ]) . "$options)";
}

# ----------------------------------------------------------------------------
# Queries

sub batch_query
{
	my $f = batch(error => chance(0.2), report => 1);
	my $g = batch(report => 1);
	my $ordered = pick(' ORDER BY f.ordinal', ' ORDER BY f.ordinal DESC LIMIT 7 OFFSET 2', '');
	my $some = pick('', ' WHERE length(f.data) > 8', ' WHERE f.ordinal % 2 = 0 AND f.error IS NULL', ' WHERE f IS NOT NULL');
	my $sql = pick(
		"SELECT * FROM $f AS f$some$ordered",
		"SELECT f.ordinal, md5(f.data), f.error FROM $f AS f$some$ordered",
		"SELECT f.ordinal, f FROM $f AS f$some$ordered",
		"SELECT 1 FROM $f AS f$some",
		"SELECT count(*), sum(length(f.data)), md5(string_agg(f.data, '' ORDER BY f.ordinal)), count(f.error) FROM $f AS f$some",
		"SELECT length(f.data) % 3, count(*) FROM $f AS f$some GROUP BY 1",
		"SELECT DISTINCT f.length, md5(f.data) FROM $f AS f$some",
		"SELECT f.ordinal, sum(length(f.data)) OVER (ORDER BY f.ordinal) FROM $f AS f$some",
		"SELECT count(*) FROM (SELECT 1 FROM $f AS f LIMIT 3 OFFSET 1) AS x",
		"SELECT f.ordinal, md5(f.data), s.word FROM $f AS f JOIN small AS s ON s.k = f.ordinal$some$ordered",
		"SELECT s.k, f.ordinal, md5(f.data) FROM small AS s LEFT JOIN $f AS f ON s.k = f.ordinal AND length(f.data) > 2",
		"SELECT f.ordinal, s.k FROM $f AS f FULL JOIN small AS s ON s.k = f.ordinal",
		"SELECT s.k, f.ordinal, md5(f.data) FROM small AS s, $f AS f WHERE f.ordinal < s.k",
		"SELECT f.ordinal, g.ordinal, f.data = g.data FROM $f AS f, $g AS g WHERE f.ordinal <= 20 AND g.ordinal <= 20 AND f.ordinal <> g.ordinal",
		"SELECT f.ordinal, g.ordinal, md5(f.data), md5(g.data) FROM $f AS f JOIN $g AS g USING (ordinal)",
		"SELECT ordinal, md5(data) FROM $f AS f UNION SELECT ordinal, md5(data) FROM $g AS g",
		"SELECT md5(data) FROM $f AS f INTERSECT SELECT md5(data) FROM $g AS g",
		"SELECT md5(data) FROM $f AS f EXCEPT ALL SELECT md5(data) FROM $g AS g",
		"SELECT s.k, (SELECT md5(string_agg(f.data, '' ORDER BY f.ordinal)) FROM $f AS f WHERE f.ordinal <= s.k) FROM small AS s",
		"SELECT s.k FROM small AS s WHERE s.k IN (SELECT f.ordinal FROM $f AS f$some)",
		"SELECT s.k FROM small AS s WHERE EXISTS (SELECT 1 FROM $f AS f WHERE f.ordinal = s.k AND length(f.data) > 0)",
		"SELECT s.k, x.ordinal, x.d FROM small AS s, LATERAL (SELECT f.ordinal, md5(f.data) AS d FROM $f AS f WHERE f.ordinal >= s.k ORDER BY 1 LIMIT 2) AS x",
		"WITH q AS MATERIALIZED (SELECT * FROM $f AS f) SELECT a.ordinal, md5(b.data) FROM q AS a JOIN q AS b ON a.ordinal = b.ordinal + 1",
		"SELECT (SELECT md5(data) FROM $f AS f ORDER BY ordinal LIMIT 1), (SELECT count(*) FROM $g AS g)");
	return { run => [$sql], explain => [$sql], ordered => scalar($sql =~ /ORDER BY f\.ordinal( DESC LIMIT 7 OFFSET 2)?\z/) };
}

# A query with LATERAL calls; and whether its rows are in order.
sub lateral_select
{
	my (%want) = @_;
	my $from = lateral(%want);
	my @calls = @{ $from->{calls} };
	my $keys = join ', ', @{ $from->{keys} };
	my $data = "$calls[-1]{alias}.data";
	my $limit = $want{error} ? '' : pick('', '', ' LIMIT ' . between(1, 20), ' LIMIT 5 OFFSET 7');
	my $digest = "md5(string_agg($data, '' ORDER BY $keys))";

	return (statement($from, " ORDER BY $keys$limit", list($from)), 1) if chance(0.15);
	my @shapes = (
		sub { statement($from, '', list($from)) },
		sub { statement($from, '', list($from)) },
		sub { statement($from, '', list($from)) },
		sub { statement($from, '', "count(*), sum(length($data)), $digest") },
		sub { statement($from, '', 'count(*)') },
		sub { statement($from, ' GROUP BY c.kind' . pick('', ' HAVING count(*) > 3'), "c.kind, count(*), $digest") },
		sub { statement($from, ' GROUP BY ROLLUP (c.kind, c.note)', "c.kind, c.note, count($data)") },
		sub { statement($from, '', "DISTINCT c.kind, md5($data)") },
		sub { statement($from, " ORDER BY c.kind, $keys", "DISTINCT ON (c.kind) c.kind, md5($data), c.id") },
		sub { statement($from, '', 'c.id', "row_number() OVER (PARTITION BY c.kind ORDER BY $keys)", "sum(length($data)) OVER (PARTITION BY c.kind ORDER BY $keys)") });
	return pick(@shapes)->() if $want{error};

	my $ids = statement($from, '', list($from, 1));
	my $value = pick('c.id', "coalesce(length($data), 0)");
	# of each row of small, s1
	my $some = lateral(%want, where => [ pick('c.kind = s1.k', 'c.id > s1.k * 10') ], many => 1, table => $want{table} // pick('cat', 'parts', 'v_barrier'));
	my $some_keys = join ', ', @{ $some->{keys} };
	my $some_data = $some->{calls}[-1]{alias} . '.data';
	push @shapes,
	  sub { 'SELECT count(*) FROM (' . statement($from, $limit, '1') . ') AS x' },
	  sub { 'SELECT x.id, x.digest FROM (' . statement($from, " ORDER BY $keys$limit", list($from, 1)) . ') AS x WHERE x.id % 3 <> 1' },
	  sub { my $other = lateral(%want); "($ids)" . pick(' UNION', ' UNION ALL', ' INTERSECT', ' EXCEPT') . ' (' . statement($other, '', list($other, 1)) . ')' },
	  sub { 'SELECT s1.k FROM small AS s1 WHERE s1.k ' . pick('IN', '= ANY', 'NOT IN', '<> ALL') . ' (' . statement($from, '', $value) . ')' },
	  sub { 'SELECT s1.k, (' . statement($some, '', "md5(string_agg($some_data, '' ORDER BY $some_keys))") . ') FROM small AS s1' },
	  sub { 'SELECT s1.k FROM small AS s1 WHERE ' . pick('EXISTS', 'NOT EXISTS') . ' (' . statement($some, '', '1') . ')' },
	  sub { 'SELECT s1.k, x.* FROM small AS s1, LATERAL (' . statement($some, " ORDER BY $some_keys LIMIT 3", $some_keys, "md5($some_data)") . ') AS x' },
	  sub { 'SELECT s1.k, x.* FROM small AS s1 LEFT JOIN LATERAL (' . statement($some, '', 'c.id', "md5($some_data)") . ') AS x ON true' },
	  sub { 'SELECT s1.k, x.* FROM small AS s1 CROSS JOIN LATERAL (' . statement($from, '', 'c.id', "length($data) + s1.k AS n") . ') AS x WHERE s1.k < 4' },
	  sub { "WITH x AS MATERIALIZED ($ids) SELECT a.id, b.digest FROM x AS a JOIN (SELECT DISTINCT * FROM x) AS b USING (id)" };
	return pick(@shapes)->();
}

sub lateral_query
{
	my ($sql, $ordered) = lateral_select(report => 0);
	return { run => [$sql], explain => [$sql], ordered => $ordered // 0 };
}

# Reads that fail, raised or reported.
sub failing_query
{
	my $table = pick('missing', 'missing', 'missing', 'negative', 'nulls');
	my ($sql, $ordered) = lateral_select(error => 1, table => $table, batch => $table eq 'nulls', report => $table eq 'missing' && chance(0.4));
	my $f = batch(error => 1, some => 1);
	$sql = pick("SELECT ordinal, md5(data), error FROM $f AS f", "SELECT count(*), count(error) FROM $f AS f WHERE length(data) > 8") if chance(0.2);
	$ordered = 0 if $sql =~ /FROM iopool/;
	# and the next query of the transaction, after it is caught
	my @run = chance(0.3)
	  ? ("DO \$do\$ BEGIN CREATE TEMP TABLE caught ON COMMIT DROP AS $sql; EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught';"
		  . " INSERT INTO target VALUES (1, 1, SQLSTATE); END \$do\$", 'SELECT * FROM target',
		"SELECT count(*), sum(length(f.data)) FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS f(data)")
	  : ($sql);
	return { run => \@run, explain => [$sql], ordered => $ordered // 0 };
}

# What must keep the plain plan.
sub plain_query
{
	my $from = lateral(simple => 1, all => 1, plain => 1, table => 'cat');
	my $f = batch(some => 1);
	my $sql = pick(
		statement($from, '', 'c.id', 'f1'), statement($from, '', 'count(*)', 'sum(length(f1.data))'),
		"SELECT * FROM $f WITH ORDINALITY AS f(a, b, c, d, e, place)", "SELECT count(*) FROM ROWS FROM ($f, generate_series(1, 3)) AS f(a, b, c, d, e, n)",
		"SELECT c.id, iopool_read(c.path, c.o, c.l) FROM cat AS c", "SELECT c.id, (iopool_read_batch(c.path, c.os, c.ls)).ordinal FROM cat AS c WHERE cardinality(c.os) = cardinality(c.ls)");
	return { run => [$sql], explain => [$sql], plain => 1 };
}

sub prepared_query
{
	my $f = pick('iopool_read_batch($1, $2, $3', 'iopool_read_batch($1, ARRAY[$3, $3 + 8, 0], $3', 'iopool_read_batch(ARRAY[$1, $1], ARRAY[$3, 0], ARRAY[$3, 5]');
	my $sql = pick(
		"SELECT ordinal, md5(data) FROM $f) AS f WHERE \$2 IS NOT NULL",
		"SELECT count(*), md5(string_agg(data, '' ORDER BY ordinal)) FROM $f, in_order => \$2 IS NULL) AS f WHERE \$2 IS NOT NULL",
		'SELECT c.id, md5(f.data) FROM cat AS c, LATERAL iopool_read(coalesce(c.path, $1), c.o, $3) AS f(data) WHERE c.o = ANY ($2) OR c.id > 50',
		'SELECT c.id, f.ordinal, md5(f.data) FROM many AS c LEFT JOIN LATERAL iopool_read_batch($1, $2, c.l) AS f ON true WHERE c.id = $3',
		'SELECT c.id, f.ordinal, md5(f.data) FROM cat AS c LEFT JOIN LATERAL iopool_read_batch($1, ARRAY[c.id, 0], $3) AS f ON true WHERE $2 IS NOT NULL',
		'SELECT count(*), sum(length(f.data)) FROM many AS c, LATERAL iopool_read(c.path, c.o + $3, c.l) AS f(data) WHERE c.path = $1 OR c.o = ANY ($2)');
	my @values = map {
		join ', ', pick("'$dir/a'", "'db:b'", 'NULL'), pick("'{0,8,100000}'", "'{}'", 'NULL', "'{4090,199990}'"), pick(8, 0, 30, 'NULL')
	} 1 .. 3;
	return {
		settings => [ 'plan_cache_mode = ' . pick('force_generic_plan', 'force_generic_plan', 'auto', 'force_custom_plan') ],
		run => [ 'DEALLOCATE ALL', "PREPARE p(text, bigint[], bigint) AS $sql", map { "EXECUTE p($_)" } "'$dir/a', '{0,8,16}', 24", @values, @values ],
		explain => [ 'DEALLOCATE ALL', "PREPARE p(text, bigint[], bigint) AS $sql", "EXPLAIN (COSTS OFF) EXECUTE p('$dir/a', '{0,8,16}', 24)" ] };
}

# A query whose rows come in a known order without a sort, and so can be stopped
# between two of them.
sub streamed
{
	my (%want) = @_;

	if ($want{batch} // chance(0.4))
	{
		my $f = batch(some => 1, in_order => 1, report => 1);
		return 'SELECT ordinal AS id, length(data) AS n, md5(data) AS d FROM ' . $f . ' AS f' . pick('', '', ' WHERE length(data) <> 8');
	}
	my $from = lateral(simple => 1, in_order => 1, table => pick('cat', 'many', 'parts'));
	$from->{body} =~ s/, in_order => [^)]*\)/)/g;
	$from->{body} =~ s/('raise'|'report'), (false|c\.id % 2 = 0)\)/$1, true)/g;
	my ($call) = @{ $from->{calls} };
	my $n = $call->{is_batch} ? 'f1.ordinal' : 'length(f1.data)';
	return statement($from, !$call->{is_batch} && chance(0.3) ? ' ORDER BY c.id' : '', 'c.id AS id', "$n AS n", 'md5(f1.data) AS d');
}

sub cursor_query
{
	my $sql = streamed();
	my $scroll = pick('SCROLL', 'SCROLL', 'NO SCROLL');
	my $hold = pick('', '', ' WITH HOLD');
	my @run = ("DECLARE cur $scroll CURSOR$hold FOR $sql");

	foreach (1 .. between(3, 9))
	{
		my $n = between(1, 30);
		push @run, $scroll eq 'SCROLL'
		  ? pick("FETCH $n FROM cur", "FETCH $n FROM cur", "FETCH BACKWARD $n FROM cur", 'FETCH PRIOR FROM cur', 'FETCH FIRST FROM cur',
			'FETCH LAST FROM cur', "FETCH ABSOLUTE $n FROM cur", "FETCH ABSOLUTE -$n FROM cur", "FETCH RELATIVE -3 FROM cur", "MOVE $n FROM cur",
			'MOVE BACKWARD ALL FROM cur', 'FETCH ALL FROM cur', 'FETCH 0 FROM cur')
		  : pick("FETCH $n FROM cur", "MOVE $n FROM cur", 'FETCH NEXT FROM cur', 'FETCH ALL FROM cur', "FETCH RELATIVE $n FROM cur");
	}
	splice @run, between(1, scalar @run), 0, 'COMMIT' if $hold ne '';
	push @run, 'CLOSE cur';
	return { run => \@run, explain => ["DECLARE cur $scroll CURSOR FOR $sql"], ordered => 1, is_held => $hold ne '' };
}

sub loop_query
{
	my $sql = streamed();
	my $body = pick('',
		'BEGIN PERFORM 1 / (n % 3); EXCEPTION WHEN division_by_zero THEN m := m + 1; END;',
		"PERFORM count(*) FROM iopool_read_batch('$dir/a', ARRAY[n, 0], 8);",
		"m := m + length(iopool_read('$dir/a', n, 4));",
		"m := m + (SELECT count(*) FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS f(data));");
	my $until = pick(1, 3, 20, 100000);
	my $handler = pick('', 'EXCEPTION WHEN raise_exception THEN n := -n;');
	my $end = $handler ne '' && chance(0.5) ? "IF n = $until THEN RAISE 'enough'; END IF;" : "EXIT WHEN n = $until;";
	$body = '' if $sql =~ /many/ && $body =~ /cat/;
	return {
		run => [
			"DO \$do\$ DECLARE r record; n int := 0; m bigint := 0; s text := ''; BEGIN BEGIN"
			  . " FOR r IN $sql LOOP n := n + 1; s := md5(s || r::text); $body $end END LOOP; $handler END;"
			  . " INSERT INTO target VALUES (n, m, s); END \$do\$",
			'SELECT * FROM target' ],
		explain => [$sql], ordered => 1 };
}

sub write_query
{
	my $from = lateral(read => 1, table => pick('cat', 'many', 'parts'));
	my $rows = statement($from, '', 'c.id', 'length(f1.data) AS n', 'md5(f1.data) AS d');
	my $f = batch(some => 1);
	my $any = pick($rows, $rows, "SELECT ordinal, length(data), md5(data) FROM $f AS f");
	my $pick = pick(
		[ "INSERT INTO target $any", 'SELECT * FROM target' ],
		[ "INSERT INTO target $any RETURNING *" ],
		[ "CREATE TEMP TABLE made ON COMMIT DROP AS $any", 'SELECT * FROM made' ],
		[ "UPDATE own_cat AS u SET note = q.d FROM ($rows) AS q WHERE q.id = u.id RETURNING u.id, u.note", 'SELECT * FROM own_cat' ],
		[ "UPDATE own_cat AS u SET note = md5(f1.data) FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS f1(data) WHERE c.id = u.id AND length(f1.data) > 4", 'SELECT * FROM own_cat' ],
		[ "UPDATE own_cat SET note = (SELECT md5(string_agg(data, '' ORDER BY ordinal)) FROM iopool_read_batch(path, ARRAY[id, 0], 8) AS f) RETURNING *" ],
		[ "DELETE FROM own_cat AS u USING ($rows) AS q WHERE q.id = u.id AND q.n > 8 RETURNING u.id", 'SELECT id FROM own_cat' ],
		[ "INSERT INTO own_cat (id, note) $rows ON CONFLICT (id) DO UPDATE SET note = excluded.note" =~ s/length\(f1\.data\) AS n, //r, 'SELECT * FROM own_cat' ],
		[ "MERGE INTO own_cat AS u USING ($rows) AS q ON q.id = u.id WHEN MATCHED AND q.n > 8 THEN DELETE WHEN MATCHED THEN UPDATE SET note = q.d", 'SELECT * FROM own_cat' ],
		[ "WITH x AS ($rows), y AS (INSERT INTO target SELECT * FROM x RETURNING *) SELECT count(*), sum(n) FROM y", 'SELECT * FROM target' ]);
	# a with list of its own does not go into another one, nor does a query with it twice
	$pick = [ "INSERT INTO target $rows", 'SELECT * FROM target' ] if $rows =~ /\AWITH/;
	return { run => $pick, explain => [ $pick->[0] ] };
}

sub locking_query
{
	my $from = lateral(simple => 1, read => 1, table => 'own_cat');
	my $lock = pick(' FOR UPDATE OF c', ' FOR SHARE OF c', ' FOR UPDATE OF c SKIP LOCKED', ' FOR NO KEY UPDATE OF c');
	my $sub = "SELECT c.id, length(f1.data), md5(f1.data) FROM (SELECT * FROM own_cat WHERE kind <> 1 ORDER BY id FOR UPDATE) AS c, LATERAL iopool_read(c.path, c.o, c.l) AS f1(data)";
	$from->{body} =~ s/^\(SELECT .*?\) AS c\b/own_cat AS c/;
	my $sql = pick(statement($from, $lock, 'c.id', 'length(f1.data)', 'md5(f1.data)'),
		statement($from, " ORDER BY c.id LIMIT 4$lock", 'c.id', 'length(f1.data)', 'md5(f1.data)'), $sub);
	# which rows were locked is part of the result
	return { run => [ $sql, 'SELECT id, xmax = pg_current_xact_id()::xid FROM own_cat' ], explain => [$sql], ordered => $sql =~ /LIMIT 4/ ? 1 : 0 };
}

# What would show that rows are asked for ahead of time.
sub volatile_query
{
	my $from = lateral(whole => 1, all => 1, in_order => 1, table => 'cat');
	my $n = between(1, 10);
	my $counted = "(SELECT *, nextval('calls') AS call FROM cat) AS c";
	my $other = { %$from, body => $from->{body} =~ s/^.*? AS c\b/$counted/r };
	my $sql = pick(
		'SELECT count(*) FROM (' . statement($from, " LIMIT $n", 'c.id', "nextval('calls')") . ') AS x',
		'SELECT count(*) FROM (' . statement($other, " LIMIT $n", 'c.id', 'c.call') . ') AS x',
		'SELECT count(*) FROM (' . statement($from, " WHERE nextval('calls') % 2 = 0 LIMIT $n", 'c.id') . ') AS x',
		"WITH q AS MATERIALIZED (SELECT *, nextval('calls') AS call FROM cat) SELECT count(*) FROM (" . statement({ %$from, with => '', body => $from->{body} =~ s/^.*? AS c\b/q AS c/r }, " LIMIT $n", 'c.id', 'c.call') . ') AS x');
	return { run => [ "SELECT setval('calls', 1)", $sql, "SELECT nextval('calls')" ], explain => [$sql] };
}

# As a role that sees some rows, and may read nothing but through directories.
sub secured_query
{
	my ($sql, $ordered) = lateral_select(table => pick('cat', 'cat', 'v_barrier'));
	($sql, $ordered) = lateral_select(table => 'cat') while $sql =~ m{'\Q$dir\E/|\bparts\b};
	my $cursor = chance(0.2);
	return {
		settings => ['ROLE app'],
		run => $cursor
		? [ "DECLARE cur CURSOR FOR SELECT c.id, md5(f.data) FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS f(data)",
			'FETCH 3 FROM cur', 'FETCH 30 FROM cur', 'FETCH ALL FROM cur' ]
		: [$sql],
		explain => [ $cursor ? "SELECT c.id, md5(f.data) FROM cat AS c, LATERAL iopool_read(c.path, c.o, c.l) AS f(data)" : $sql ],
		ordered => $cursor || 0 };
}

# A view that reads.
sub view_query
{
	my $sql = pick(
		'SELECT id, md5(data) FROM v_read WHERE kind <> 2',
		'SELECT id, md5(data) FROM v_read ORDER BY id LIMIT 9',
		'SELECT count(*), sum(length(data)) FROM v_read',
		'SELECT v.id, f.ordinal, md5(f.data) FROM v_read AS v, LATERAL iopool_read_batch(v.path, ARRAY[length(v.data), 0], 9) AS f',
		'SELECT s.k, v.id, md5(v.data) FROM small AS s LEFT JOIN v_read AS v ON v.id = s.k',
		'SELECT v.id, md5(v.data), s.word FROM v_read AS v JOIN small AS s ON s.k = length(v.data)',
		'SELECT id FROM v_read WHERE data IN (SELECT data FROM v_read AS w WHERE w.id < 30) AND id > 20',
		'SELECT a.id, b.id FROM v_read AS a JOIN v_read AS b ON a.data = b.data AND a.id < b.id',
		'SELECT v FROM v_read AS v WHERE v.id < 9');
	return { run => [$sql], explain => [$sql] };
}

my @kinds = (
	(\&lateral_query) x 10, (\&batch_query) x 6, (\&cursor_query) x 4, (\&failing_query) x 3, (\&write_query) x 3, (\&prepared_query) x 2,
	(\&loop_query) x 2, \&locking_query, \&volatile_query, \&secured_query, \&view_query, \&plain_query);

sub settings
{
	my @settings;

	push @settings, map { "$_ = off" } grep { chance(0.3) } qw(enable_hashjoin enable_mergejoin enable_material);
	push @settings, 'enable_nestloop = off' if chance(0.05);
	push @settings, 'enable_memoize = off' if chance(0.2);
	push @settings, 'enable_hashagg = off' if chance(0.1);
	push @settings, 'work_mem = 64' if chance(0.2);
	push @settings, 'join_collapse_limit = 1', 'from_collapse_limit = 1' if chance(0.1);
	push @settings, 'parallel_setup_cost = 0', 'parallel_tuple_cost = ' . pick(0, 0.1), 'min_parallel_table_scan_size = 0', 'max_parallel_workers_per_gather = 2'
	  if chance(0.3);
	push @settings, 'parallel_leader_participation = off' if chance(0.05);
	push @settings, 'iopool.pool = ' . pick('other', 'narrow') if chance(0.3);
	push @settings, 'iopool.merge_gap = ' . pick(-1, 100, 5000) if chance(0.3);
	push @settings, "iopool.max_in_flight_bytes = '" . pick('4kB', '64kB') . "'" if chance(0.2);
	return @settings;
}

sub queries
{
	my ($seed, $number);
	($seed, $number, $dir) = @_;
	my @queries;

	srand($seed);
	foreach my $n (1 .. $number)
	{
		my $query = pick(@kinds)->();
		$query->{settings} = [ settings(), @{ $query->{settings} // [] } ];
		push @queries, $query;
	}
	return @queries;
}

1;
