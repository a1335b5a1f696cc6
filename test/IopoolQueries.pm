
=head1 NAME

IopoolQueries - generated queries that read files

=head1 SYNOPSIS

  use IopoolChoices;
  use IopoolQueries;
  choose_by_seed($seed);
  my $query = query($dir);
  # @{ $query->{settings} }    SET LOCAL
  # @{ $query->{run} }         [ statement, is_ordered ]; in one transaction.  Or
  #                            { portal => sql, values, types, fetch }
  # @{ $query->{explain} }     statements that show the plan
  # %{ $query->{tags} }        what was drawn: "source: ...", "call: ...",
  #                            "outer: ...", "select: ...", "run: ..."

=head1 DESCRIPTION

A query is outer rows (alias c), calls beside them (f1, f2; IopoolSources.pm says
where their arguments come from), a select around (@selects), and a way to run
that (@runs).  Each part is drawn independently of the others.

To add a shape, add a line to @outers, @selects or @runs: its name, how often it is
drawn, and a function.  One of @outers returns what is in FROM, with the columns of
cat and a unique id.  One of @selects gets what from() returns, and returns a select
and whether its rows come in a known order.  One of @runs returns statements, and
may ask for a select by a_select().  Decisions are made by IopoolChoices.pm, the
simplest alternative first, so that queries can be shrunk.

=head1 RULES

A query has one right result, whichever plan it gets: rows are cut off (LIMIT,
EXISTS, a cursor) only where their order is known, and no query that cuts rows off,
or joins after it has read, reads what fails; in a query that fails, the call of one
id does.

=cut

package IopoolQueries;

use strict;
use warnings;

use Exporter 'import';

use IopoolChoices;
use IopoolNatural;
use IopoolSources;
use IopoolTables;

our @EXPORT = qw(query session_schema query_files query_tags node_tags);

# Files of both directories, and their sizes.
my %sizes = (a => 200_003, b => 65_537, c => 4_096, d => 777, e => 0, f => 12);

sub query_files
{
	return %sizes;
}

# What each session has for itself: tables that queries write to.
sub session_schema
{
	return q{
SET search_path = public;
CREATE TEMP TABLE own_cat (LIKE cat INCLUDING ALL);
INSERT INTO own_cat SELECT * FROM cat;
CLUSTER own_cat USING own_cat_pkey;
CREATE TEMP TABLE target (id int, n bigint, d text);
CREATE TEMP TABLE core_requests (number serial PRIMARY KEY, paths text[], path text, os bigint[], ls bigint[], nout int DEFAULT 0);
CREATE TEMP SEQUENCE calls;
ANALYZE own_cat;
};
}

# ----------------------------------------------------------------------------
# Outer rows

my $columns = 'kind, note, path, o, l, onerr, inorder, dir, pattern';
my @outers = (
	[ 'table', 6, sub { my ($q, $ids) = @_; push @{ $q->{where} }, "c.id $ids"; return a_table($q) . ' AS c' } ],
	[ 'sub-select', 2, sub { my ($q, $ids) = @_; return '(SELECT * FROM ' . a_table($q) . " WHERE id $ids) AS c" } ],
	[ 'sub-select with OFFSET 0', 2, sub { my ($q, $ids) = @_; return '(SELECT * FROM ' . a_table($q) . " WHERE id $ids OFFSET 0) AS c" } ],
	[ 'sorted', 2, sub { my ($q, $ids) = @_; return '(SELECT * FROM ' . a_table($q) . " WHERE id $ids ORDER BY kind, id DESC OFFSET 1) AS c" } ],
	[ 'limited', 2, sub { my ($q, $ids) = @_; return '(SELECT * FROM ' . a_table($q) . " WHERE id $ids ORDER BY note, id LIMIT 7) AS c" } ],
	[ 'WITH', 1, sub { my ($q, $ids) = @_; return add_with($q, 'SELECT * FROM ' . a_table($q) . " WHERE id $ids", pick('how', '', 'NOT MATERIALIZED ')) . ' AS c' } ],
	[ 'WITH MATERIALIZED', 2, sub { my ($q, $ids) = @_; return add_with($q, 'SELECT * FROM ' . a_table($q) . " WHERE id $ids", 'MATERIALIZED ') . ' AS c' } ],
	[ 'DISTINCT ON', 1, sub { my ($q, $ids) = @_; return '(SELECT DISTINCT ON (kind, o) * FROM ' . a_table($q) . " WHERE id $ids ORDER BY kind, o, id) AS c" } ],
	[ 'UNION ALL', 1, sub { my ($q, $ids) = @_; my $t = a_table($q); return "(SELECT * FROM $t WHERE id $ids AND kind < 3 UNION ALL SELECT * FROM $t WHERE id $ids AND kind >= 3) AS c" } ],
	[ 'aggregate', 2, sub {
			my ($q, $ids) = @_;
			my %arrays = (os => 'm.off', ls => 'm.len', paths => 'm.p', files => 'm.f');
			my %domains = (os => 'fz_bigints', ls => 'fz_bigints', paths => 'fz_texts', files => 'fz_texts');
			my @names = sort keys %arrays;
			return '(SELECT x.*, x.path AS path_ext, x.path AS path_main, '
			  . join('', map { "x.$_ AS ${_}_ext, x.$_ AS ${_}_main, x.$_\::$domains{$_} AS ${_}_dom, " } @names)
			  . 'fz_bytes(x.os) AS os_bytes, fz_bytes(x.ls) AS ls_bytes, ROW(os, ls, paths, o, l, path, onerr, inorder, files, dir, pattern)::fz_record AS rec'
			  . " FROM (SELECT id, $columns, " . join(', ', map { "array_agg($arrays{$_} ORDER BY m.k) AS $_" } @names)
			  . " FROM (SELECT id, $columns FROM cat WHERE id $ids) AS s JOIN (SELECT id, k, off, len, path, file FROM mem) AS m(id, k, off, len, p, f) USING (id) GROUP BY id, $columns) AS x) AS c" } ],
	# files whose sizes are ids, in no order
	[ 'iopool_list', 2, sub {
			my ($q, $ids) = @_;
			my $directory = pick('directory', 'da:ids', 'db:', $q->{role} ? () : "$q->{dir}/ids");
			my $pattern = pick('pattern', '*', '**', '[0-9]*', '**/*') =~ s/^/$directory eq 'db:' ? 'ids\/' : ''/er;
			return "(SELECT s.* FROM iopool_list('$directory', '$pattern') AS l JOIN " . a_table($q) . " AS s ON s.id = l.size AND s.id $ids) AS c" } ],
	[ 'join', 2, sub { my ($q, $ids) = @_; push @{ $q->{where} }, "c.id $ids"; return a_table($q) . ' AS c JOIN small AS s ON s.k = c.kind' } ],
	[ 'join from the other side', 1, sub { my ($q, $ids) = @_; push @{ $q->{where} }, "c.id $ids"; return 'small AS s JOIN ' . a_table($q) . ' AS c ON s.k = c.kind + 2' } ],
	[ 'left join', 1, sub { my ($q, $ids) = @_; push @{ $q->{where} }, "c.id $ids"; return a_table($q) . ' AS c LEFT JOIN (SELECT k, coalesce(k, 1) AS one FROM small) AS s ON s.k = c.id - 1' } ],
	[ 'right join', 1, sub { my ($q, $ids) = @_; return '(SELECT * FROM ' . a_table($q) . " WHERE id $ids) AS c RIGHT JOIN (" . (defined $q->{error} ? 'SELECT id AS i FROM cat' : 'SELECT k AS i FROM small WHERE k > 3') . ') AS s ON s.i = c.id' } ],
	[ 'full join', 1, sub { my ($q, $ids) = @_; return '(SELECT * FROM ' . a_table($q) . " WHERE id $ids) AS c FULL JOIN (SELECT k AS i FROM small WHERE k > 3) AS s ON s.i = c.id" } ],
	[ 'function', 1, sub { my ($q, $ids) = @_; return '(SELECT s.* FROM generate_series(1, 40) AS g(i) JOIN ' . a_table($q) . " AS s ON s.id = g.i AND s.id $ids) AS c" } ]);

sub a_table
{
	my ($q) = @_;
	return $q->{table} if defined $q->{table};
	return 'cat' if $q->{role};
	return pick('table', 'cat', 'cat', 'toasted', 'toasted', 'parts', 'v_cat', 'v_barrier');
}

sub outer
{
	my ($q, %want) = @_;
	return within('outer', sub {
			my $is_few = $want{few} || $q->{nexecutions} > 2;
			# the last ones have thousands of ranges
			my $n = pick('rows', 2, 2, 2, 5, 5, $is_few ? () : (5, 5, 8, 8, 8, 16, 40));
			my $first = between('first', 0, ($n == 40 || (!$is_few && $n < 8 && chance('large', 0.03)) ? 40 : 36) - $n);
			my @usable = grep { $want{bare} ? $_->[0] eq 'table' : $want{simple} ? $_->[0] =~ /^(table|sub-select)/ : 1 } @outers;
			my $outer = pick('from', map { ($_) x $_->[1] } @usable);
			use_tag($q, "outer: $outer->[0]") unless $want{simple} || $q->{role};
			my $last = $first + $n;
			# of few rows with an error, one has it
			$q->{error_id} = between('error id', $first, $last) if defined $q->{error};
			return $outer->[2]->($q, "BETWEEN $first AND $last");
		});
}

# ----------------------------------------------------------------------------
# FROM and WHERE

sub has
{
	my ($call, $column) = @_;
	return scalar grep { $_ eq $column } @{ $call->{columns} };
}

# A condition on columns of a call.
sub condition
{
	my ($call, $id) = @_;
	my $f = $call->{alias};
	my @conditions = ("length($f.data) > 8", "$f.data IS NOT NULL", "length($f.data) <> 16 OR $id > 12", "get_byte($f.data || '\\x00'::bytea, 0) % 2 = $id % 2", "$f.data IS NULL OR $id % 4 <> 1");
	push @conditions, "$f.ordinal <= 2", "$f.ordinal % 2 = $id % 2", "$f.ordinal IN (SELECT k FROM small WHERE k <> 3)" if has($call, 'ordinal');
	push @conditions, "$f.error IS NULL", "$f IS NOT NULL" if has($call, 'error');
	push @conditions, "($f).length > 3", "$f.file_offset > 4096" if has($call, 'file_offset');
	push @conditions, "$f.size > 5", "$f.size % 2 = $id % 2", "$f.modified > '2023-11-14 22:14:00+00'" if has($call, 'size');
	push @conditions, "$f.path LIKE '%.bin'", "$f.path !~ 'x/y'", "($f).path > 'd'" if has($call, 'path');
	return pick('condition', @conditions);
}

sub outer_condition
{
	my ($q) = @_;
	my @conditions = ('c.id % 2 = 0', 'c.kind IN (1, 2, 5)', "c.note LIKE '%1%' OR c.kind = 4", 'c.o IS NOT NULL');
	# reads of their own, and sub-selects
	push @conditions,
	  'EXISTS (SELECT 1 FROM small AS x WHERE x.k = c.kind)', 'NOT EXISTS (SELECT 1 FROM small AS x WHERE x.k = c.id)', 'c.id IN (SELECT k + 3 FROM small)', 'c.kind < (SELECT max(k) - 3 FROM small)',
	  "EXISTS (SELECT 1 FROM iopool_read_batch('da:a', ARRAY[c.id, 199999], ARRAY[8]) AS x WHERE length(x.data) > 4)",
	  "(SELECT count(*) FROM iopool_read_batch('da:a', (SELECT array_agg(m.off) FROM mem AS m WHERE m.id = c.id), ARRAY[8]) AS x WHERE length(x.data) > c.kind) > 1",
	  "EXISTS (SELECT 1 FROM small AS x, LATERAL iopool_read('db:a', x.k * 8 + c.id, 8) AS y(data) WHERE get_byte(y.data, 7) > 60 AND x.k < c.kind)",
	  "length(iopool_read('da:a', c.id, 8)) = 8"
	  unless defined $q->{error} || $q->{no_parallel};
	return pick('condition', @conditions);
}

# What there is to select from: { body, calls, keys, id }, from outer rows and calls
# beside them, or from a call alone.
sub from
{
	my ($q, %want) = @_;
	return within('from', sub { return alone($q, %want) }) if !$want{outer} && chance('alone', 0.2);
	return within('from', sub {
			local $q->{where} = [ @{ $want{where} // [] } ];
			my $is_simple = $want{simple} || defined $q->{error};
			my $ncalls = !$is_simple && chance('two calls', 0.2) ? 2 : 1;
			my $body = outer($q, %want, few => $want{few} || $ncalls == 2);
			my (@calls, @keys);

			foreach my $n (1 .. $ncalls)
			{
				my $call = call($q, "f$n", %want, before => $calls[0]);
				my $condition = chance('condition', 0.3) && !defined $q->{error} ? condition($call, 'c.id') : 'true';
				my $left = 'true';
				$left = $condition = 'f1.ordinal <= 3' if $n == 1 && $ncalls == 2 && has($call, 'ordinal');
				$left = $condition = 'f1.size % 16 = 0' if $n == 1 && $ncalls == 2 && $call->{form} =~ /^list/;
				$body .= join '', @{ $call->{items} };
				$body .= pick('join', " JOIN LATERAL $call->{text} ON $condition", " JOIN LATERAL $call->{text} ON $left", " LEFT JOIN LATERAL $call->{text} ON $left", " LEFT JOIN LATERAL $call->{text} ON $condition");
				push @calls, $call;
			}
			@keys = ('c.id', map { defined $_->{key} ? "$_->{alias}.$_->{key}" : () } @calls);
			push @keys, map { "$_->{alias}.n" } grep { $_->{text} =~ /, n\)$/ } @calls;
			if (!$is_simple && chance('join after', 0.25))
			{
				my $to = pick('to', 'c.kind', 'c.id', has($calls[0], 'ordinal') ? 'f1.ordinal' : 'length(f1.data)');
				$body .= pick('how', ' JOIN', ' LEFT JOIN', ' RIGHT JOIN', ' FULL JOIN') . " small AS t ON t.k = $to";
				push @keys, 't.k';
				use_tag($q, 'join after a call');
			}
			push @{ $q->{where} }, outer_condition($q) if !$want{whole} && chance('where', 0.3);
			push @{ $q->{where} }, condition($calls[-1], 'c.id') if !defined $q->{error} && !$want{whole} && chance('where', 0.3);
			use_tag($q, 'two calls') if $ncalls == 2;
			return from_of($q, $body, \@calls, \@keys, 'c.id');
		});
}

sub alone
{
	my ($q, %want) = @_;
	$q->{error_id} = between('error id', 1, 36) if defined $q->{error};
	my $call = call($q, 'f1', %want, is_alone => 1, form => qr/batch|array|fetch|files|^list/);
	my $id = has($call, 'ordinal') ? 'f1.ordinal' : 'f1.size::int';
	local $q->{where} = [ map { s/c\.kind/$id % 6/r } @{ $want{where} // [] } ];
	my @items = @{ $call->{items} };
	my $body = @items ? '(SELECT 1) AS one' . join('', @items) . " CROSS JOIN LATERAL $call->{text}" : $call->{text};
	my @keys = "f1.$call->{key}";

	push @keys, 'f1.n' if $call->{text} =~ /, n\)$/;
	if (!$want{simple} && !defined $q->{error} && chance('join', 0.2))
	{
		$body .= pick('how', ' JOIN', ' LEFT JOIN', ' RIGHT JOIN', ' FULL JOIN') . " small AS t ON t.k = $id";
		push @keys, 't.k';
	}
	push @{ $q->{where} }, condition($call, $id) if !defined $q->{error} && chance('where', 0.3);
	use_tag($q, 'call alone');
	return from_of($q, $body, [$call], \@keys, $id);
}

sub from_of
{
	my ($q, $body, $calls, $keys, $id) = @_;
	my @where = map { "($_)" } @{ $q->{where} };
	$body .= ' WHERE ' . join ' AND ', @where if @where;
	# rows come in order if a call for each of them is all that is beside rows in order
	my $streams = @$calls == 1 && ($id ne 'c.id' || $calls->[0]{text} =~ /\bc\./) && !@{ $calls->[0]{items} } && $body !~ /\bsmall\b|\biopool_list\b| OFFSET 1\)| LIMIT /;
	return { body => $body, calls => $calls, keys => $keys, id => $id, streams => $streams };
}

# Outer rows and a call for each, where people call iopool_read():
# { body, read, id, streams }.
sub natural
{
	my ($q, %want) = @_;
	$q->{natural} = 1;
	return within('natural', sub {
			local $q->{where} = [ @{ $want{where} // [] } ];
			local $q->{no_items} = $want{no_items};
			my $body = outer($q, %want, few => 1);
			my $call = call($q, 'f1', %want, form => qr/^read(?! in)/);
			my $read = $call->{text} =~ s/ AS f1\(data\)$//r;
			$body .= join '', @{ $call->{items} };
			push @{ $q->{where} }, outer_condition($q) if !$want{whole} && !defined $q->{error} && chance('where', 0.3);
			my $where = join ' AND ', map { "($_)" } @{ $q->{where} };
			my $streams = !@{ $call->{items} } && $body !~ / OFFSET 1\)| LIMIT |\biopool_list\b/;
			$body = "$body WHERE $where" if $where ne '';
			return { body => $body, where => $where, has_where => $where ne '', read => $read, id => 'c.id', streams => $streams };
		});
}

# ----------------------------------------------------------------------------
# Selects

# Numbers in the first bytes.
sub numbers_of
{
	my ($q, $f) = @_;
	my $size = pick('size', 2, 4, 8);
	my $function = pick('type', 'iopool_int', 'iopool_float') . "${size}s";
	my $data = pick('data', "substr($f.data, 1, 48)", "substr($f.data, 4, 40)");
	use_tag($q, "numbers: $function");
	return "$function(substr($data, 1, length($data) / $size * $size))";
}

# Expressions to select.
sub list
{
	my ($q, $from) = @_;
	my @list = (@{ $from->{keys} }, map { "md5($_->{alias}.data)" } @{ $from->{calls} });

	foreach my $call (@{ $from->{calls} })
	{
		my $f = $call->{alias};
		push @list, "$f.path", "$f.size", "$f.modified" if $call->{form} eq 'whole files' && chance('metadata', 0.7);
		next unless chance('more', 0.5);
		push @list, pick('of data', "length($f.data)", "encode(substr($f.data, 1, 12), 'hex')", "coalesce(length($f.data), -1) + $from->{id}",
			"CASE WHEN length($f.data) > 8 THEN $from->{id} END", "(SELECT word FROM small WHERE k = length($f.data) % 10)");
		push @list, pick('of row', "$f.error", "$f.file_offset - $f.length", "$f.length + $f.ordinal", "$f IS NULL", "md5($f\::text)", "($f).error", "(SELECT count(*) FROM small WHERE k < $f.ordinal)")
		  if has($call, 'file_offset');
		push @list, pick('of file', "$f.size", "$f.modified", "($f).size", "$f.modified - interval '1 s'", "$f IS NULL", "md5($f\::text)") if has($call, 'size');
		push @list, pick('of path', "$f.path", "length($f.path)", "$f.path || $f.size", "($f).path") if has($call, 'path');
		push @list, numbers_of($q, $f) if chance('numbers', 0.5);
	}
	push @list, pick('of c', 'c.kind', 'c.note', 'md5(c::text)', 'cardinality(c.os)', 'c.os', 'c.paths[1]') if $from->{id} eq 'c.id' && !defined $q->{table} && chance('of c', 0.2);
	return pick('few', [ $from->{id} ], [ 'md5(f1.data)' ], ['1'], ['f1.data'])->@* if chance('few', 0.1);
	return @list;
}

sub statement
{
	my ($from, $rest, @list) = @_;
	return 'SELECT ' . join(', ', @list) . " FROM $from->{body}$rest";
}

sub keys_of { my ($from) = @_; return join ', ', @{ $from->{keys} }; }
# The bytes of the last call, of whole files with what is known of them.
sub data_of
{
	my ($from) = @_;
	my $call = $from->{calls}[-1];
	my $f = $call->{alias};
	return $call->{form} eq 'whole files' ? "($f.data || int8send($f.size) || timestamptz_send($f.modified))" : "$f.data";
}
sub digest_of { my ($from) = @_; return 'md5(string_agg(' . data_of($from) . ", '' ORDER BY " . keys_of($from) . '))'; }
sub pair_of { my ($from) = @_; return ("$from->{id} AS id", 'md5(' . data_of($from) . ') AS d'); }

# Those with a fourth element cut rows off, or throw some away.
my @selects = (
	[ 'rows', 8, sub { my ($q, $f) = @_; return statement($f, '', list($q, $f)) } ],
	[ 'count', 1, sub { my ($q, $f) = @_; return statement($f, '', 'count(*)') } ],
	[ 'aggregates', 4, sub { my ($q, $f) = @_; return statement($f, '', 'count(*)', 'sum(length(' . data_of($f) . '))', digest_of($f)) } ],
	[ 'ORDER BY', 2, sub { my ($q, $f) = @_; return (statement($f, ' ORDER BY ' . keys_of($f), list($q, $f)), 1) } ],
	[ 'LIMIT', 3, sub { my ($q, $f) = @_; return (statement($f, ' ORDER BY ' . keys_of($f) . pick('limit', ' LIMIT 3', ' LIMIT 20', ' LIMIT 5 OFFSET 7'), list($q, $f)), 1) }, 1 ],
	[ 'LIMIT without ORDER BY', 2, sub { my ($q, $f) = @_; return 'SELECT count(*) FROM (' . statement($f, pick('limit', ' LIMIT 3', ' LIMIT 20', ' LIMIT 5 OFFSET 7'), '1') . ') AS x' }, 1 ],
	[ 'GROUP BY', 2, sub { my ($q, $f) = @_; return statement($f, " GROUP BY $f->{id} % 6" . pick('having', '', ' HAVING count(*) > 3'), "$f->{id} % 6", 'count(*)', digest_of($f)) } ],
	[ 'GROUPING SETS', 2, sub { my ($q, $f) = @_; return statement($f, pick('sets', " GROUP BY GROUPING SETS (($f->{id} % 6), ($f->{id} % 4), ())", " GROUP BY ROLLUP ($f->{id} % 6, $f->{id} % 4)", " GROUP BY CUBE ($f->{id} % 6, $f->{id} % 4)"), "$f->{id} % 6", "$f->{id} % 4", 'count(' . data_of($f) . ')', digest_of($f)) } ],
	[ 'DISTINCT', 1, sub { my ($q, $f) = @_; return statement($f, '', "DISTINCT $f->{id} % 6", 'md5(' . data_of($f) . ')') } ],
	[ 'DISTINCT ON', 1, sub { my ($q, $f) = @_; return statement($f, " ORDER BY $f->{id} % 6, " . keys_of($f), "DISTINCT ON ($f->{id} % 6) $f->{id} % 6", 'md5(' . data_of($f) . ')') } ],
	[ 'window', 2, sub { my ($q, $f) = @_; my $over = "OVER (PARTITION BY $f->{id} % 6 ORDER BY " . keys_of($f) . ')'; return statement($f, '', keys_of($f), "row_number() $over", 'sum(length(' . data_of($f) . ")) $over", 'lag(md5(' . data_of($f) . ")) $over") } ],
	[ 'sub-select in FROM', 2, sub { my ($q, $f) = @_; return 'SELECT x.id, x.d FROM (' . statement($f, pick('rest', ' OFFSET 0', ' ORDER BY ' . keys_of($f) . ' LIMIT 12', ''), pair_of($f)) . ') AS x WHERE x.id % 3 <> 1' }, 1 ],
	[ 'set operation', 2, sub { my ($q, $f) = @_; my $g = from($q); return statement($f, '', pair_of($f)) . pick('operation', ' UNION ALL ', ' UNION ', ' INTERSECT ', ' EXCEPT ', ' EXCEPT ALL ') . statement($g, '', pair_of($g)) }, 1 ],
	[ 'IN', 2, sub { my ($q, $f) = @_; return 'SELECT s1.k FROM small AS s1 WHERE s1.k ' . pick('in', 'IN', '= ANY', 'NOT IN', '<> ALL') . ' (' . statement($f, '', pick('value', $f->{id}, 'coalesce(length(' . data_of($f) . '), 0)')) . ')' }, 1 ],
	[ 'EXISTS', 2, sub { my ($q, $f) = @_; return 'SELECT s1.k FROM small AS s1 WHERE ' . pick('exists', 'EXISTS', 'NOT EXISTS') . ' (' . statement($f, '', '1') . ')' }, 1, 's1' ],
	[ 'correlated sub-select', 3, sub { my ($q, $f) = @_; return 'SELECT s1.k, (' . statement($f, '', digest_of($f)) . ') FROM small AS s1' }, 1, 's1' ],
	[ 'LATERAL around', 2, sub { my ($q, $f) = @_; return 'SELECT s1.k, x.* FROM small AS s1, LATERAL (' . statement($f, ' ORDER BY ' . keys_of($f) . ' LIMIT 3', pair_of($f)) . ') AS x' }, 1, 's1' ],
	[ 'LEFT JOIN LATERAL around', 2, sub { my ($q, $f) = @_; return 'SELECT s1.k, x.* FROM small AS s1 LEFT JOIN LATERAL (' . statement($f, '', pair_of($f)) . ') AS x ON true' }, 1, 's1' ],
	[ 'rescanned', 2, sub { my ($q, $f) = @_; return 'SELECT s1.k, x.* FROM small AS s1 CROSS JOIN LATERAL (' . statement($f, '', $f->{id}, 'md5(' . data_of($f) . ') AS d', 's1.k AS n') . ') AS x WHERE s1.k < 4' }, 1 ],
	[ 'WITH, used twice', 1, sub { my ($q, $f) = @_; my $w = add_with($q, statement($f, '', pair_of($f)), pick('how', '', 'MATERIALIZED ', 'NOT MATERIALIZED ')); return "SELECT a.id, b.d FROM (SELECT DISTINCT * FROM $w) AS a JOIN (SELECT DISTINCT * FROM $w) AS b USING (id)" }, 1 ],
	[ 'view', 2, sub { my ($q, $f) = @_; return pick('view', "SELECT id, md5(data) FROM v_read WHERE kind <> 2", 'SELECT id, ordinal, md5(data) FROM v_batch WHERE id < 17', 'SELECT count(*), sum(length(data)) FROM v_batch WHERE kind < 5 AND id < 30',
		'SELECT v.id, f.ordinal, md5(f.data) FROM v_read AS v, LATERAL iopool_read_batch(v.path, ARRAY[coalesce(length(v.data), 5), 0], ARRAY[9]) AS f', 'SELECT s.k, v.id, v.ordinal, md5(v.data) FROM small AS s LEFT JOIN v_batch AS v ON v.id = s.k', 'SELECT v FROM v_read AS v WHERE v.id < 9') }, 1 ]);

push @selects, natural_selects(), table_selects();

# A select with its WITH: (text, whether its rows are in order).
sub a_select
{
	my ($q, %want) = @_;
	return @{ within('select', sub {
			my @usable = grep { !(defined $q->{error} && $_->[3]) && !($q->{role} && $_->[0] eq 'view') } @selects;
			my $select = pick('shape', map { ($_) x $_->[1] } @usable);
			my @where = ($select->[4] // '') eq 's1' ? pick('correlation', 'c.kind = s1.k', 'c.kind > s1.k - 2 AND s1.k < 5') : ();
			my $is_many = @where || $select->[0] eq 'rescanned' ? 1 : 0;
			use_tag($q, "select: $select->[0]");
			return [ $select->[2]->($q), 0 ] if $select->[0] eq 'view';
			if ($select->[0] =~ /^table/)
			{
				my ($sql, $is_ordered) = $select->[2]->($q);
				return [ $sql, $is_ordered // 0 ];
			}
			if ($select->[0] =~ /^natural/)
			{
				my ($sql, $is_ordered, $with) = $select->[2]->($q, natural($q, %want));
				push @{ $q->{with} }, $with if defined $with;
				return [ with_of($q, $sql), $is_ordered // 0 ];
			}
			my $from = from($q, where => \@where, few => $is_many, simple => $is_many, %want);
			my ($sql, $is_ordered) = $select->[2]->($q, $from);
			return [ with_of($q, $sql), $is_ordered // 0 ];
		}) };
}

sub with_of
{
	my ($q, $sql) = @_;
	my @with = splice @{ $q->{with} };
	return @with ? 'WITH ' . join(', ', @with) . " $sql" : $sql;
}

# One row for each id: id, n, d.
sub rows_by_id
{
	my ($q) = @_;
	return within('select', sub {
			my $from = from($q, outer => 1, no_requests => 1);
			return with_of($q, statement($from, " GROUP BY $from->{id}", "$from->{id} AS id", 'count(*) AS n', digest_of($from) . ' AS d'));
		});
}

# Rows id, n, d, in a known order, without a sort if that can be.
sub streamed
{
	my ($q) = @_;
	$q->{no_parallel} = 1;
	# of a call that fails, a node may give the rows before
	$q->{error} = undef;
	return within('select', sub {
			local $q->{in_order} = 1;
			if (chance('natural', 0.4))
			{
				my $n = natural($q, simple => 1, whole => 1);
				use_tag($q, 'natural, streamed');
				return with_of($q, "SELECT c.id AS id, length($n->{read}) AS n, md5($n->{read}) AS d FROM $n->{body}" . ($n->{streams} ? '' : ' ORDER BY c.id'));
			}
			my $from = from($q, simple => 1, whole => 1, no_requests => 1);
			my $order = $from->{streams} ? '' : ' ORDER BY ' . keys_of($from);
			my $data = data_of($from);
			use_tag($q, 'streamed') if $order eq '';
			return with_of($q, statement($from, $order, "$from->{id} AS id", "length($data) AS n", "md5($data) AS d"));
		});
}

# ----------------------------------------------------------------------------
# Ways to run them

# The marks of parameters become $1, or variables.
sub bind_as
{
	my ($sql, $prefix) = @_;
	return $sql =~ s/\{\{(\d+)\}\}/$prefix$1/gr;
}

sub types_of { my ($q) = @_; return map { $_->{type} } @{ $q->{params} }; }

sub prepare
{
	my ($q, $sql) = @_;
	my @types = types_of($q);
	return 'PREPARE p' . (@types ? '(' . join(', ', @types) . ')' : '') . ' AS ' . bind_as($sql, '$');
}

# The call of what takes the parameters, for each execution.  EXECUTE hands out an
# expanded array for anybody to change, and to free: one that PL/pgSQL has built
# would be gone before the second row.
sub executions
{
	my ($q, $name) = @_;
	my $without = $name =~ /^EXECUTE/ ? $name : "$name()";

	return map {
		my $n = $_;
		my @values = map { $_->{values}[$n] =~ s/^(fz_\w+)_pl\(/$1_sql(/r } @{ $q->{params} };
		@values ? "$name(" . join(', ', @values) . ')' : $without;
	} 0 .. $q->{nexecutions} - 1;
}

sub explain
{
	my ($q, $sql) = @_;
	return ("EXPLAIN (COSTS OFF) $sql") unless @{ $q->{params} };
	my ($first) = executions($q, 'EXECUTE p');
	return (prepare($q, $sql), "EXPLAIN (COSTS OFF) $first", 'DEALLOCATE p');
}

sub prepared
{
	my ($q, $sql, $is_ordered) = @_;
	return { run => [ [ prepare($q, $sql) ], (map { [ $_, $is_ordered ] } executions($q, 'EXECUTE p')), ['DEALLOCATE p'] ], explain => [ explain($q, $sql) ] };
}

sub run_plain
{
	my ($q) = @_;
	my ($sql, $is_ordered) = a_select($q);
	return prepared($q, $sql, $is_ordered) if @{ $q->{params} };
	return { run => [ [ $sql, $is_ordered ] ], explain => [ explain($q, $sql) ] };
}

sub run_prepared
{
	my ($q) = @_;
	return prepared($q, a_select($q));
}

# The protocol's own parameters, and rows some at a time.
sub run_portal
{
	my ($q) = @_;
	$q->{error} = undef;
	my ($sql, $is_ordered) = chance('streamed', 0.5) ? (streamed($q), 1) : a_select($q);
	my @values;
	foreach my $param (@{ $q->{params} })
	{
		my ($value) = grep { !/^fz_/ } @{ $param->{values} };
		push @values, ($value // 'NULL') =~ s/::[\w\[\]]+$//r =~ s/^'(.*)'$/$1/sr;
	}
	$_ = undef foreach (grep { $_ eq 'NULL' } @values);
	return {
		run => [ { portal => bind_as($sql, '$'), values => \@values, types => [ types_of($q) ], fetch => pick('fetch', 0, 1, 7, 100), stop => chance('stop', 0.3) && $is_ordered, is_ordered => $is_ordered } ],
		explain => [ explain($q, $sql) ] };
}

sub declarations
{
	my ($q) = @_;
	my $n = 0;
	return join '', map { $n++; "v$n $_->{type} := $_->{values}[0]; " } @{ $q->{params} };
}

# The variables change while rows are still to come.
sub changes
{
	my ($q) = @_;
	my $n = 0;
	return join '', map { $n++; $_->{type} =~ /^(\w+)\[\]/ ? "v$n\[1] := '7'; v$n := v$n || NULL::$1; " : '' } @{ $q->{params} };
}

sub run_cursor
{
	my ($q) = @_;
	my $sql = streamed($q);
	my $scroll = pick('scroll', 'NO SCROLL', 'SCROLL');
	my $hold = !@{ $q->{params} } && chance('hold', 0.2) ? ' WITH HOLD' : '';
	my @run = @{ $q->{params} }
	  ? [ "DO \$do\$ DECLARE cur refcursor := 'cur'; " . declarations($q) . "BEGIN OPEN cur $scroll FOR " . bind_as($sql, 'v') . '; ' . changes($q) . "END \$do\$" ]
	  : ["DECLARE cur $scroll CURSOR$hold FOR $sql"];

	foreach (1 .. between('fetches', 1, 7))
	{
		my $n = pick('n', 1, 2, 5, 20, 60);
		my @how = ("FETCH $n FROM cur", 'FETCH ALL FROM cur', "MOVE $n FROM cur", "FETCH RELATIVE $n FROM cur");
		@how = (@how, "FETCH BACKWARD $n FROM cur", 'FETCH PRIOR FROM cur', 'FETCH FIRST FROM cur', 'FETCH LAST FROM cur', "FETCH ABSOLUTE $n FROM cur", "FETCH ABSOLUTE -$n FROM cur", 'FETCH RELATIVE -3 FROM cur', 'MOVE BACKWARD ALL FROM cur', 'FETCH 0 FROM cur')
		  if $scroll eq 'SCROLL';
		push @run, [ pick('how', @how), 1 ];
		# other work between
		push @run, [ "SELECT count(*) FROM cat AS c, LATERAL iopool_read_batch('da:a', c.os, ARRAY[8]) AS f WHERE c.id < 9", 1 ] if chance('between', 0.2);
	}
	push @run, ['CLOSE cur'] if chance('close', 0.5);
	splice @run, between('commit', 1, scalar @run), 0, ['COMMIT'] if $hold ne '';
	return { run => \@run, explain => [ explain($q, $sql) ] };
}

sub run_loop
{
	my ($q) = @_;
	my $sql = streamed($q);
	my $body = pick('body', '', changes($q), 'BEGIN PERFORM 1 / (n % 3); EXCEPTION WHEN division_by_zero THEN m := m + 1; END;',
		"PERFORM count(*) FROM iopool_read_batch('da:a', ARRAY[n, 0], ARRAY[8]);", "m := m + length(iopool_read('db:a', n, 4));",
		'm := m + (SELECT count(*) FROM small AS s1, LATERAL iopool_read_batch(\'da:a\', (SELECT array_agg(m.off) FROM mem AS m WHERE m.id = s1.k + 1), ARRAY[8]) AS f WHERE n < 5);');
	my $until = pick('until', 100_000, 1, 3, 20);
	my $handler = pick('handler', '', 'EXCEPTION WHEN raise_exception THEN n := -n;');
	my $end = $handler ne '' && chance('raise', 0.5) ? "IF n = $until THEN RAISE 'enough'; END IF;" : "EXIT WHEN n = $until;";
	return {
		run => [
			[ "DO \$do\$ DECLARE r record; n int := 0; m bigint := 0; s text := ''; " . declarations($q) . 'BEGIN BEGIN FOR r IN ' . bind_as($sql, 'v')
			  . " LOOP n := n + 1; s := md5(s || r::text); $body $end END LOOP; $handler END; INSERT INTO target VALUES (n, m, s); END \$do\$" ],
			[ 'SELECT * FROM target', 1 ] ],
		explain => [ explain($q, $sql) ] };
}

# PL/pgSQL that makes arrays of its own, row by row.
sub run_built
{
	my ($q) = @_;
	my $first = between('first', 1, 30);
	my $last = $first + between('rows', 1, 6);
	my $source = pick('source',
		'SELECT array_agg(m.off ORDER BY m.k), array_agg(m.len ORDER BY m.k), array_agg(m.path ORDER BY m.k) INTO os, ls, ps FROM mem AS m WHERE m.id = g.id',
		'os := g.os_ext; ls := g.ls; ps := g.paths_ext',
		"os := '{}'; ls := '{}'; ps := '{}'; FOR r IN SELECT * FROM mem AS m WHERE m.id = g.id ORDER BY m.k LOOP os := os || r.off; ls := ls || r.len; ps := ps || r.path; END LOOP");
	my $call = pick('call', 'iopool_read_batch(ps, os, ls)', 'iopool_read_batch(g.path, os, ARRAY[8])', "iopool_read_batch('da:a', os, ls, 'report')", "iopool_fetch(iopool_submit(ps, os, ls))");
	my $use = pick('use',
		"FOR r IN SELECT f.ordinal, md5(f.data) AS d FROM $call AS f LOOP n := n + 1; s := md5(s || r::text); os[1] := n; ls := ls || 5::bigint; END LOOP",
		"SELECT n + count(*), md5(s || string_agg(f.data, '' ORDER BY f.ordinal)) INTO n, s FROM $call AS f",
		"SELECT n + count(*), md5(s || string_agg(f.data, '' ORDER BY x.k, f.ordinal)) INTO n, s FROM small AS x, LATERAL $call AS f WHERE x.k < 2",
		"INSERT INTO target SELECT f.ordinal, g.id, md5(f.data) FROM $call AS f");
	return {
		run => [
			[ "DO \$do\$ DECLARE g record; r record; n bigint := 0; s text := ''; os bigint[]; ls bigint[]; ps text[]; BEGIN FOR g IN SELECT * FROM toasted WHERE id BETWEEN $first AND $last ORDER BY id"
			  . " LOOP $source; s := coalesce(s, ''); $use; END LOOP; INSERT INTO target VALUES (0, n, s); END \$do\$" ],
			['SELECT * FROM target'] ],
		explain => [] };
}

# A function whose parameters they are.
sub run_function
{
	my ($q) = @_;
	my ($sql, $is_ordered) = a_select($q);
	my $language = pick('language', 'sql', 'plpgsql');
	my $rows = 'SELECT x::text FROM (' . bind_as($sql, '$') . ') AS x';
	my $body = $language eq 'sql' ? $rows : "BEGIN RETURN QUERY $rows; END";
	return {
		run => [
			[ 'CREATE FUNCTION pg_temp.fz_f(' . join(', ', types_of($q)) . ") RETURNS SETOF text LANGUAGE $language " . pick('volatility', 'VOLATILE', 'STABLE') . " AS \$f\$$body\$f\$" ],
			map { [ "SELECT * FROM $_", $is_ordered ] } executions($q, 'pg_temp.fz_f') ],
		explain => [ explain($q, $sql) ] };
}

my @writes = (
	[ 'INSERT', sub { my ($q, $rows) = @_; return "INSERT INTO target (id, n, d) $rows" } ],
	[ 'INSERT RETURNING', sub { my ($q, $rows) = @_; return "INSERT INTO target (id, n, d) $rows RETURNING *" } ],
	[ 'ON CONFLICT', sub { my ($q, $rows) = @_; return "INSERT INTO own_cat (id, note) SELECT q.id, q.d FROM ($rows) AS q WHERE q.id IS NOT NULL ON CONFLICT (id) DO UPDATE SET note = excluded.note" } ],
	[ 'UPDATE', sub { my ($q, $rows) = @_; return "UPDATE own_cat AS u SET note = q.d FROM ($rows) AS q WHERE q.id = u.id RETURNING u.id, u.note" } ],
	[ 'UPDATE with a sub-select', sub { my ($q, $rows) = @_; return "UPDATE own_cat AS u SET note = (SELECT q.d FROM ($rows) AS q WHERE q.id = u.id) WHERE u.kind < 2" } ],
	[ 'DELETE', sub { my ($q, $rows) = @_; return "DELETE FROM own_cat AS u USING ($rows) AS q WHERE q.id = u.id AND q.n > 8 RETURNING u.id" } ],
	[ 'MERGE', sub { my ($q, $rows) = @_; return "MERGE INTO own_cat AS u USING ($rows) AS q ON q.id = u.id WHEN MATCHED AND q.n > 8 THEN DELETE WHEN MATCHED THEN UPDATE SET note = q.d" } ],
	[ 'INSERT in WITH', sub { my ($q, $rows) = @_; return "WITH y AS (INSERT INTO target SELECT * FROM ($rows) AS x RETURNING *) SELECT count(*), sum(n) FROM y" } ]);

sub run_write
{
	my ($q) = @_;
	$q->{no_parallel} = 1;
	my $is_natural = chance('natural', 0.4);
	local $q->{table} = 'own_cat' if $is_natural;
	my $write = pick('how', $is_natural ? natural_writes() : @writes);
	my $sql = $is_natural ? $write->[1]->($q, natural($q, bare => 1, simple => 1, no_items => 1)) : $write->[1]->($q, rows_by_id($q));
	my @after = ([ 'SELECT id, note FROM own_cat' ], ['SELECT * FROM target']);
	use_tag($q, "write: $write->[0]");
	return { run => [ [ prepare($q, $sql) ], (map { [$_] } executions($q, 'EXECUTE p')), ['DEALLOCATE p'], @after ], explain => [ explain($q, $sql) ] } if @{ $q->{params} };
	return { run => [ [$sql], @after ], explain => [ explain($q, $sql) ] };
}

# Rows that are locked; which ones is part of the result.
sub run_lock
{
	my ($q) = @_;
	$q->{no_parallel} = 1;
	$q->{table} = 'own_cat';
	my $sql = within('select', sub {
			if (chance('natural', 0.5))
			{
				my $n = natural($q, bare => 1, simple => 1, whole => 1, no_items => 1);
				return "SELECT c.id, md5($n->{read}) FROM $n->{body} FOR UPDATE OF c";
			}
			my $from = from($q, outer => 1, simple => 1, whole => 1, no_requests => 1);
			$from->{body} =~ s/ OFFSET 0\) AS c/) AS c/;
			my $lock = pick('lock', ' FOR UPDATE OF c', ' FOR SHARE OF c', ' FOR NO KEY UPDATE OF c');
			return with_of($q, statement($from, $lock, 'c.id', 'md5(' . data_of($from) . ')'));
		});
	my $done = prepared($q, $sql, 0);
	splice @{ $done->{run} }, -1, 0, ['SELECT id, xmax = pg_current_xact_id()::xid FROM own_cat'];
	return $done;
}

# What would show that rows are asked for ahead of time.
sub run_count
{
	my ($q) = @_;
	$q->{no_parallel} = 1;
	$q->{error} = undef;
	$q->{table} = pick('what', '(SELECT *, nextval(\'calls\') AS call FROM cat)', 'cat');
	my $counted = $q->{table} eq 'cat' ? "nextval('calls')" : '1';
	my $is_counted;
	my $sql = within('select', sub {
			local $q->{in_order} = 1;
			if (chance('natural', 0.5))
			{
				my $n = natural($q, bare => 1, simple => 1, whole => 1, no_items => 1);
				$is_counted = 1;
				return 'SELECT count(*), count(d) FROM (' . "SELECT c.id, $counted AS v, $n->{read} AS d FROM $n->{body} LIMIT " . between('limit', 1, 10) . ' ) AS x';
			}
			my $from = from($q, outer => 1, simple => 1, bare => 1, whole => 1, no_requests => 1, form => qr/^(read|batch)$/);
			# how many rows a LIMIT needs is up to the join order, where there is more than one
			$is_counted = $from->{calls}[0]{text} =~ /\bc\./ && !@{ $from->{calls}[0]{items} } && $from->{body} !~ /\bsmall\b/;
			return with_of($q, 'SELECT count(*) FROM (' . statement($from, ' LIMIT ' . between('limit', 1, 10), 'c.id', "$counted AS v") . ' ) AS x');
		});
	my $done = prepared($q, $sql, 0);
	unshift @{ $done->{run} }, [ "SELECT setval('calls', 1)", 1 ];
	splice @{ $done->{run} }, -1, 0, [ "SELECT nextval('calls')", 1 ] if $is_counted;
	return $done;
}

# As a role that sees some rows, and may read nothing but through directories.
sub run_role
{
	my ($q) = @_;
	$q->{role} = 'app';
	$q->{error} = undef;
	my ($sql, $is_ordered) = a_select($q, no_requests => 1, outer => 1);
	my $done = prepared($q, $sql, $is_ordered);
	$done->{settings} = ['ROLE app'];
	return $done;
}

my @runs = (
	[ 'statement', 10, \&run_plain ], [ 'prepared', 6, \&run_prepared ], [ 'portal', 3, \&run_portal ], [ 'cursor', 3, \&run_cursor ], [ 'loop', 2, \&run_loop ],
	[ 'PL/pgSQL with arrays', 2, \&run_built ], [ 'function', 2, \&run_function ], [ 'write', 4, \&run_write ], [ 'lock', 1, \&run_lock ], [ 'count of calls', 1, \&run_count ], [ 'role', 1, \&run_role ]);

# ----------------------------------------------------------------------------

sub settings
{
	my ($q) = @_;
	my @settings = ('plan_cache_mode = ' . pick('plan_cache_mode', 'force_generic_plan', 'force_custom_plan', 'auto'));

	push @settings, map { "$_ = off" } grep { chance($_, 0.2) } qw(enable_hashjoin enable_mergejoin enable_material enable_memoize enable_sort enable_indexscan);
	push @settings, 'enable_nestloop = off' if chance('enable_nestloop', 0.05);
	push @settings, 'enable_hashagg = off' if chance('enable_hashagg', 0.1);
	push @settings, 'work_mem = 64' if chance('work_mem', 0.2);
	push @settings, 'join_collapse_limit = 1', 'from_collapse_limit = 1' if chance('collapse', 0.1);
	if (!$q->{no_parallel} && chance('parallel', 0.2))
	{
		# not nothing, or plans start workers hundreds of times
		push @settings, 'parallel_setup_cost = 5', 'parallel_tuple_cost = 0', 'min_parallel_table_scan_size = 0', 'max_parallel_workers_per_gather = 2';
		push @settings, 'parallel_leader_participation = off' if chance('leader', 0.2);
		push @settings, 'FORCE_PARALLEL' if chance('force', 0.3);
		use_tag($q, 'parallel');
	}
	push @settings, 'iopool.io_mode = ' . pick('mode', 'direct', 'uncached') if chance('io_mode', $q->{natural} ? 0.6 : 0.3);
	push @settings, 'iopool.pool = ' . pick('pool', 'other', 'narrow') if chance('pool', 0.2);
	push @settings, 'iopool.merge_gap = ' . pick('gap', -1, 100, 5000, 'auto', 'auto') if chance('merge_gap', 0.4);
	push @settings, "iopool.max_in_flight_bytes = '" . pick('bytes', '4kB', '64kB') . "'" if chance('max_in_flight_bytes', 0.15);
	return @settings;
}

# The query of the choices to come.
sub query
{
	my ($dir) = @_;
	my $q = { dir => $dir, tags => {}, params => [], with => [], items => [], where => [], nnames => 0 };

	$q->{nexecutions} = pick('executions', 1, 1, 1, 1, 2, 2, 3, 7);
	$q->{error} = pick('error', 'missing file', 'missing file', 'negative length', 'NULL element', 'one too many', 'bad on_error', 'bad pattern') if chance('error', 0.12);
	my $run = pick('run', map { ($_) x $_->[1] } @runs);
	my $done = within('run', sub { return $run->[2]->($q) });
	use_tag($q, "run: $run->[0]");
	use_tag($q, "error: $q->{error}") if defined $q->{error};
	return { %$done, settings => [ within('settings', sub { return [ settings($q) ] })->@*, @{ $done->{settings} // [] } ], tags => $q->{tags} };
}

# All tags that queries should have in the end, and those with which a plan should
# have a node.
sub query_tags
{
	return (source_names(), form_names(), (map { "outer: $_->[0]" } @outers), (map { "select: $_->[0]" } @selects), (map { "run: $_->[0]" } @runs), (map { "write: $_->[0]" } @writes, natural_writes()),
		(map { ("numbers: iopool_int${_}s", "numbers: iopool_float${_}s") } 2, 4, 8), 'parallel', 'two calls', 'call alone', 'join after a call', 'streamed', 'natural, streamed', error_names());
}

sub node_tags
{
	my %plain = map { ("select: $_->[0]" => 1) } natural_selects();
	delete @plain{ map { "select: $_" } natural_nodes() };
	return grep { !$plain{$_} && !/^call: (?!read$|batch$|batch of|whole files|list)|^run: (PL|lock|count)|^select: (view|table)|^numbers/ } query_tags();
}

1;
