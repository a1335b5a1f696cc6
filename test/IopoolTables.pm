
=head1 NAME

IopoolTables - generated queries of foreign tables over directories

=head1 SYNOPSIS

  use IopoolTables;
  my @selects = table_selects();        # [ name, how often, function, cuts ]
  my ($sql, $is_ordered) = $selects[0][2]->($q);

=head1 DESCRIPTION

The tables are those of fuzz/schema.sql: tree_file is a foreign table, tree_part is
partitioned into some, v_tree is a barrier in front of one.  In schema core, where
the witness looks first, they are plain tables of the same rows.  tree_name has
paths, what they begin with and patterns, of files that are there and of others.

To add a shape, add a line to @selects, as to those of IopoolQueries.pm; to add a
condition, add it to condition().

=cut

package IopoolTables;

use strict;
use warnings;

use Exporter 'import';

use IopoolChoices;
use IopoolSources;

our @EXPORT = qw(table_selects);

my @paths = ('da:tree/x/y/a.bin', 'da:a', 'da:e', 'da:ids/7', 'da:ids/40', 'da:tree/10', "da:tree/x/it's", 'da:tree/x/x*y', 'da:tree/back\\slash', 'da:tree/odd ones/a:b', 'da:tree/[q]/b', 'da:tree/x/dirlink/ab.bin', 'da:tree/link.bin',
	'da:tree/outside', 'da:tree/x/broken', 'da:tree/x', 'da:tree/empty', 'da:tree/x//b', 'da:tree/./b', 'da:none', 'db:a', 'da:', '');
my @prefixes = ('da:tree/x/', 'da:tree/x', 'da:tree/x/y/z', 'da:t', 'da:ids/1', 'da:ids', 'da:', 'd', '', 'da:tree/[q]/', 'da:tree/b', 'da:tree/empty/', 'da:tree/x/y/a.bin', 'da:tree/x/y/a.bin/', 'db:', 'da:tree//', 'da:tree/../', 'da:a');
my @patterns = ('da:tree/x/%', 'da:tree/x/_', 'da:ids/_%', '%.bin', 'da:%/b%', '%', '', 'da:a', 'da:tree/x/y/__1/%', 'da:tree/\\[q]/%', 'da:tree/back\\\\sl%', 'da:tree/x/x*%', 'da:\\tree/10', 'da:id\\_%', 'da:ids/1%0', 'db:%', 'da:tree/odd%b', "%it's");

sub quoted { my ($text) = @_; return "'" . $text =~ s/'/''/gr . "'::text"; }

# A value, from anywhere.
sub value
{
	my ($q, $column, @constants) = @_;
	my $constant = quoted(pick('constant', @constants));
	my $n = between('n', 1, 60);
	my @sources = ($constant, "(SELECT $column FROM tree_name WHERE n = $n)", "fz_same($constant)", "fz_same_called($constant)", "fz_same_pl($constant)", "CASE WHEN p.size >= 0 THEN $constant END", "substr($constant || p.size, 1, length($constant))",
		"(SELECT max(x.$column) FROM tree_name AS x WHERE x.n % 7 = p.size % 7)", "fz_same_volatile($constant)", 'NULL');
	return chance('param', 0.2) ? param($q, 'text', map { quoted(pick('constant', @constants)) } 1 .. 3) : pick('source', @sources);
}

sub values_of_array
{
	my ($q) = @_;
	my @values = map { chance('null', 0.1) ? 'NULL' : quoted(pick('value', @paths)) } 1 .. between('values', 1, 6);
	my $array = 'ARRAY[' . join(', ', @values) . ']';
	return pick('array', $array, "ARRAY[$array, $array]", '(SELECT array_agg(x.path) FROM tree_name AS x WHERE x.n < 40)::text[]', 'ARRAY(SELECT x.path FROM tree_name AS x WHERE x.n % 5 = 2)', "'{}'::text[]", 'NULL::text[]', "fz_rebuilt($array)");
}

# A condition on a file p.
sub condition
{
	my ($q) = @_;
	return within('condition', sub {
			my $kind = pick('kind', qw(path prefix pattern array size data row not or or));
			return pick('operator', '%s = p.path', 'p.path = %s', 'p.path <> %s', 'p.path COLLATE "C" >= %s', 'p.path IS NOT DISTINCT FROM %s') =~ s/%s/value($q, 'path', @paths)/er if $kind eq 'path';
			return pick('operator', 'p.path ^@ %s', 'starts_with(p.path, %s)', 'p.path COLLATE "C" ^@ %s') =~ s/%s/value($q, 'prefix', @prefixes)/er if $kind eq 'prefix';
			return pick('operator', 'p.path LIKE %s', 'p.path NOT LIKE %s', 'p.path ILIKE %s', 'p.path COLLATE "C" LIKE %s') =~ s/%s/value($q, 'pattern', @patterns)/er if $kind eq 'pattern';
			return pick('operator', 'p.path = ANY (%s)', 'p.path <> ALL (%s)', 'p.path LIKE ANY (%s)') =~ s/%s/values_of_array($q)/er if $kind eq 'array';
			return pick('size', 'p.size > 20', 'p.size % 3 = 1', 'p.size BETWEEN 5 AND 30', "p.modified < '2023-11-14 22:14:00+00'", 'p.size IN (SELECT k FROM small)', 'p.size = (SELECT max(k) FROM small)', 'EXISTS (SELECT 1 FROM small AS x WHERE x.k = p.size % 12)') if $kind eq 'size';
			return pick('data', 'length(p.data) > 12', 'p.data IS NOT NULL', 'get_byte(p.data || \'\\x07\', 0) % 2 = 1', 'length(p.data) = p.size', "p.data < '\\x32'") if $kind eq 'data';
			return pick('row', 'p IS NOT NULL', "(p.path, p.size) > ('da:ids/3', 2)") if $kind eq 'row';
			return 'NOT (' . condition($q) . ')' if $kind eq 'not';
			return '(' . condition($q) . pick('how', ' OR ', ' AND ') . condition($q) . ')';
		});
}

sub a_table { my ($q) = @_; return pick('table', 'tree_file', 'tree_file', 'tree_file', 'tree_part', 'v_tree') . ' AS p'; }

sub where
{
	my ($q, @more) = @_;
	my @conditions = (@more, map { condition($q) } 1 .. pick('conditions', 0, 1, 1, 1, 2, 3));
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

sub list
{
	return pick('list', 'p.path, p.size, p.modified, md5(p.data)', 'p.path', 'p.path, md5(p.data)', 'p.size', 'md5(p.data)', 'md5(p::text)', 'p.data', "count(*) OVER (PARTITION BY p.size % 4), lag(md5(p.data)) OVER (ORDER BY p.path), p.path");
}

my @selects = (
	[ 'table', 4, sub { my ($q) = @_; return 'SELECT ' . list() . ' FROM ' . a_table($q) . where($q) }, 1 ],
	[ 'table, aggregated', 1, sub { my ($q) = @_; return 'SELECT ' . pick('list', 'count(*)', "count(*), sum(p.size), md5(string_agg(p.data, '' ORDER BY p.path)), max(p.modified)", 'count(DISTINCT p.data), min(p.path COLLATE "C")') . ' FROM ' . a_table($q) . where($q) }, 1 ],
	[ 'table, LIMIT', 1, sub { my ($q) = @_; return ('SELECT p.path, md5(p.data) FROM ' . a_table($q) . where($q) . ' ORDER BY p.path COLLATE "C"' . pick('limit', '', ' LIMIT 3', ' LIMIT 5 OFFSET 7'), 1) }, 1 ],
	[ 'table, joined', 2, sub { my ($q) = @_; return 'SELECT t.n, ' . list() . ' FROM tree_name AS t' . pick('join', ' JOIN ', ' LEFT JOIN ', ' RIGHT JOIN ') . a_table($q) . ' ON ' . pick('on', 'p.path = t.path', "p.path = 'da:ids/' || t.n", 'p.path = t.path AND p.size > 5') . where($q) }, 1 ],
	[ 'table, joined by prefix', 1, sub { my ($q) = @_; return 'SELECT t.n, p.path, md5(p.data) FROM tree_name AS t' . pick('join', ' JOIN ', ' LEFT JOIN ') . a_table($q) . pick('on', ' ON p.path ^@ t.prefix AND t.n < 20', ' ON p.path LIKE t.pattern AND t.n % 4 = 1') . where($q) }, 1 ],
	[ 'table, to itself', 1, sub { my ($q) = @_; return 'SELECT a.path, p.path FROM tree_file AS a JOIN ' . a_table($q) . pick('on', ' ON a.data = p.data', ' ON a.path = p.path', ' ON a.size = p.size AND a.path < p.path') . where($q) }, 1 ],
	[ 'table, correlated', 1, sub { my ($q) = @_; return 'SELECT t.n, (SELECT ' . pick('list', 'md5(p.data)', 'p.size', 'p.path') . ' FROM tree_file AS p WHERE p.path = t.path' . (chance('more', 0.4) ? ' AND ' . condition($q) : '') . ') FROM tree_name AS t' }, 1 ],
	[ 'table, LATERAL', 1, sub { my ($q) = @_; return 'SELECT s.k, x.* FROM small AS s, LATERAL (SELECT p.path, md5(p.data) AS d FROM ' . a_table($q) . where($q, pick('correlation', 'p.size % 10 = s.k', "p.path ^@ ('da:ids/' || s.k)")) . ' ORDER BY p.path COLLATE "C" LIMIT 3) AS x' }, 1 ],
	[ 'table in IN', 1, sub { my ($q) = @_; return 'SELECT t.n FROM tree_name AS t WHERE t.path ' . pick('in', 'IN', 'NOT IN', '= ANY') . ' (SELECT p.path FROM ' . a_table($q) . where($q) . ')' }, 1 ],
	[ 'table in EXISTS', 1, sub { my ($q) = @_; return 'SELECT t.n FROM tree_name AS t WHERE ' . pick('exists', 'EXISTS', 'NOT EXISTS') . ' (SELECT 1 FROM ' . a_table($q) . where($q, 'p.path = t.path') . ')' }, 1 ],
	[ 'table, set operation', 1, sub { my ($q) = @_; return 'SELECT p.path, md5(p.data) FROM ' . a_table($q) . where($q) . pick('operation', ' UNION ALL ', ' UNION ', ' INTERSECT ', ' EXCEPT ALL ') . 'SELECT p.path, md5(p.data) FROM ' . a_table($q) . where($q) }, 1 ],
	# a volatile function is called for what conditions before it have let through
	[ 'table, calls counted', 1, sub {
			my ($q) = @_;
			my $condition = pick('before', 'length(p.data) > 12', 'get_byte(p.data || \'\\x07\', 0) % 2 = 1', "p.data < '\\x32'");
			$q->{no_parallel} = 1;
			return "WITH s AS MATERIALIZED (SELECT setval('calls', 1) AS one), w AS MATERIALIZED (SELECT p.path FROM tree_file AS p WHERE (SELECT one FROM s) = 1 AND $condition AND nextval('calls') > 0) SELECT count(*), (SELECT nextval('calls') FROM (SELECT count(*) FROM w) AS x) FROM w" }, 1 ],
	[ 'table, read in the list', 1, sub { my ($q) = @_; return "SELECT p.path, md5(p.data) = md5(iopool_read(p.path)), md5(iopool_read(p.path, -8, 8)) FROM " . a_table($q) . where($q) }, 1 ]);

sub table_selects
{
	return @selects;
}

1;
