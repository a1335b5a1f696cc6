
=head1 NAME

IopoolNatural - shapes of generated queries that call iopool_read() where people do

=head1 SYNOPSIS

  use IopoolNatural;
  my @selects = natural_selects();     # [ name, how often, function, cuts ]
  my ($sql, $is_ordered) = $selects[0][2]->($q, $n);

=head1 DESCRIPTION

The calls are in the select list, in WHERE, in arguments of aggregates, and in what
is evaluated only sometimes.  $n is what IopoolQueries.pm makes: body, what is in
FROM and WHERE; read, a call for each row of it; id, which is unique.

To add a shape, add a line to @selects, as to those of IopoolQueries.pm; natural_nodes()
are the names of those whose plans have a node.

=cut

package IopoolNatural;

use strict;
use warnings;

use Exporter 'import';

use IopoolChoices;

our @EXPORT = qw(natural_selects natural_nodes natural_writes);

sub where
{
	my ($n, $condition) = @_;
	return $n->{body} . ($n->{has_where} ? ' AND ' : ' WHERE ') . $condition;
}

# Beside a call: some of them volatile, some of them calls themselves.
sub beside
{
	my ($q, $n) = @_;
	return pick('beside', "length($n->{read})", "$n->{id} + 1", "iopool_read('da:a', $n->{id}, 8)", "(SELECT word FROM small WHERE k = $n->{id} % 10)", "$n->{read} IS NULL", "coalesce($n->{read}, '\\x00')",
		"CASE WHEN $n->{id} % 2 = 0 THEN $n->{read} END", "random() < 2", "ROW($n->{id}, $n->{read})::text", "get_byte($n->{read} || '\\x07'::bytea, 0)");
}

sub condition
{
	my ($n) = @_;
	return pick('condition', "length($n->{read}) > 8", "$n->{read} IS NOT NULL", "length($n->{read}) = ANY (ARRAY[8, 16, 0])", "NOT (get_byte($n->{read} || '\\x01'::bytea, 0) > $n->{id})",
		"(length($n->{read}) > 8 OR $n->{id} % 3 = 0)", "md5($n->{read}) > md5($n->{id}::text)", "length($n->{read}) > length(iopool_read('da:a', $n->{id}, 8))");
}

my @selects = (
	[ 'natural rows', 4, sub { my ($q, $n) = @_; return "SELECT $n->{id}, md5($n->{read}) FROM $n->{body}" } ],
	[ 'natural bytes', 2, sub { my ($q, $n) = @_; return "SELECT $n->{read} FROM $n->{body}" } ],
	[ 'natural siblings', 4, sub { my ($q, $n) = @_; my @list = ($n->{read}, beside($q, $n), $n->{id}, beside($q, $n)); return 'SELECT ' . join(', ', @list[ 0 .. between('n', 1, 3) ]) . " FROM $n->{body}" } ],
	[ 'natural WHERE', 4, sub { my ($q, $n) = @_; return "SELECT $n->{id} FROM " . where($n, condition($n)) }, 1 ],
	[ 'natural WHERE twice', 2, sub { my ($q, $n) = @_; return "SELECT $n->{id} FROM " . where($n, condition($n) . ' AND ' . condition($n) . " AND $n->{id} % 5 <> 1") }, 1 ],
	[ 'natural list and WHERE', 4, sub { my ($q, $n) = @_; return "SELECT $n->{id}, md5($n->{read}), " . beside($q, $n) . ' FROM ' . where($n, condition($n)) }, 1 ],
	[ 'natural aggregates', 4, sub { my ($q, $n) = @_; return "SELECT count($n->{read}), sum(length($n->{read})), md5(string_agg($n->{read}, '' ORDER BY $n->{id})), max(md5($n->{read})), count(DISTINCT $n->{read}) FROM $n->{body}" } ],
	[ 'natural aggregates and WHERE', 2, sub { my ($q, $n) = @_; return "SELECT sum(length($n->{read})), count(*) FROM " . where($n, condition($n)) }, 1 ],
	[ 'natural GROUP BY', 3, sub { my ($q, $n) = @_; return "SELECT $n->{id} % 6, count(*), sum(length($n->{read})), sum(length($n->{read}) + random() * 0)::int FROM $n->{body} GROUP BY 1" . pick('having', '', ' HAVING count(*) > 3', " HAVING sum(length($n->{read})) > 8") } ],
	[ 'natural over groups', 2, sub { my ($q, $n) = @_; return "SELECT g, iopool_read('da:a', g * 8 + n, 8), n FROM (SELECT $n->{id} % 6 AS g, count(*) AS n FROM $n->{body} GROUP BY 1) AS x" }, 1 ],
	[ 'natural, of groups', 2, sub { my ($q, $n) = @_; return "SELECT $n->{id} % 6, iopool_read('da:a', coalesce($n->{id} % 6, 0), 8), count(*) FROM $n->{body} GROUP BY $n->{id} % 6" }, 1 ],
	[ 'natural, grouped by', 2, sub { my ($q, $n) = @_; return "SELECT length($n->{read}), count(*) FROM $n->{body} GROUP BY 1" } ],
	[ 'natural DISTINCT', 1, sub { my ($q, $n) = @_; return "SELECT DISTINCT $n->{id} % 3, length($n->{read}) FROM $n->{body}" } ],
	[ 'natural ORDER BY', 3, sub { my ($q, $n) = @_; return ("SELECT $n->{id}, md5($n->{read}) FROM $n->{body} ORDER BY 1", 1) } ],
	[ 'natural LIMIT', 3, sub { my ($q, $n) = @_; return ("SELECT $n->{id}, $n->{read} FROM $n->{body} ORDER BY " . pick('by', $n->{id}, "$n->{id} % 3 DESC, $n->{id}") . pick('limit', ' LIMIT 3', ' LIMIT 20', ' LIMIT 5 OFFSET 7'), 1) }, 1 ],
	[ 'natural, ordered by', 1, sub { my ($q, $n) = @_; return ("SELECT $n->{id}, $n->{read} FROM $n->{body} ORDER BY md5($n->{read}), $n->{id}", 1) } ],
	[ 'natural window', 2, sub { my ($q, $n) = @_; my $over = "OVER (PARTITION BY $n->{id} % 6 ORDER BY $n->{id})"; return "SELECT $n->{id}, md5($n->{read}), row_number() $over" . pick('more', '', ", sum(length($n->{read})) $over") . " FROM $n->{body}" } ],
	[ 'natural, of another', 3, sub { my ($q, $n) = @_; return "SELECT $n->{id}, iopool_read('da:a', coalesce(length($n->{read}), 5), 8) FROM $n->{body}" }, 1 ],
	[ 'natural, and LATERAL', 2, sub { my ($q, $n) = @_; return "SELECT x.id, md5(x.d), f.data FROM (SELECT $n->{id} AS id, $n->{read} AS d FROM $n->{body}) AS x, LATERAL iopool_read('da:a', coalesce(length(x.d), 3), 8) AS f(data)" }, 1 ],
	[ 'natural in a sub-select', 2, sub { my ($q, $n) = @_; return 'SELECT x.id, x.d FROM (' . "SELECT $n->{id} AS id, md5($n->{read}) AS d FROM $n->{body}" . pick('rest', '', ' OFFSET 0', " ORDER BY $n->{id} LIMIT 12") . ') AS x WHERE x.id % 3 <> 1' }, 1 ],
	[ 'natural, correlated', 3, sub { my ($q, $n) = @_; return "SELECT s1.k, (SELECT md5(string_agg($n->{read}, '' ORDER BY $n->{id})) FROM " . where($n, "$n->{id} % 6 = s1.k") . ') FROM small AS s1' }, 1 ],
	[ 'natural EXISTS', 2, sub { my ($q, $n) = @_; return 'SELECT s1.k FROM small AS s1 WHERE ' . pick('exists', 'EXISTS', 'NOT EXISTS') . ' (SELECT 1 FROM ' . where($n, condition($n) . " AND $n->{id} % 6 = s1.k") . ')' }, 1 ],
	[ 'natural join', 2, sub { my ($q, $n) = @_; return "SELECT x.id, t.word, md5(x.d) FROM (SELECT $n->{id} AS id, $n->{read} AS d FROM $n->{body}) AS x" . pick('how', ' JOIN', ' LEFT JOIN', ' FULL JOIN') . ' small AS t ON t.k = x.id % 12' }, 1 ],
	[ 'natural UNION ALL', 2, sub { my ($q, $n) = @_; return "SELECT $n->{id}, md5($n->{read}) FROM $n->{body}" . pick('operation', ' UNION ALL ', ' UNION ', ' EXCEPT ') . "SELECT k, md5(iopool_read('db:b', k, 16)) FROM small" }, 1 ],
	[ 'natural WITH', 2, sub { my ($q, $n) = @_; return "SELECT a.id, b.d FROM (SELECT DISTINCT * FROM w) AS a JOIN (SELECT DISTINCT * FROM w) AS b USING (id)", 0, "w AS " . pick('how', '', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "(SELECT $n->{id} AS id, md5($n->{read}) AS d FROM $n->{body})" }, 1 ],
	[ 'natural, perhaps', 2, sub { my ($q, $n) = @_; return "SELECT count($n->{read}) FILTER (WHERE $n->{id} % 2 = 0), sum(CASE WHEN $n->{id} > 5 THEN length($n->{read}) END), max(coalesce($n->{id}, length($n->{read}))) FROM $n->{body}" }, 1 ],
	[ 'natural, with sets', 1, sub { my ($q, $n) = @_; return pick('sets', "SELECT $n->{id}, $n->{read}, generate_series(1, 2) FROM $n->{body}", "SELECT $n->{id} % 6, count($n->{read}), sum(length($n->{read})) FROM $n->{body} GROUP BY GROUPING SETS (($n->{id} % 6), ())") } ]);

sub natural_selects
{
	return @selects;
}

sub natural_nodes
{
	return grep { !/perhaps|with sets/ } map { $_->[0] } @selects;
}

# Statements that write to own_cat, whose rows are c.
my @writes = (
	[ 'natural UPDATE', sub { my ($q, $n) = @_; return "UPDATE own_cat AS c SET note = md5($n->{read}), kind = kind + 1 WHERE $n->{where}" . pick('more', '', ' AND ' . condition($n)) . pick('returning', '', ' RETURNING c.id, c.note', " RETURNING c.id, $n->{read}") } ],
	[ 'natural UPDATE FROM', sub { my ($q, $n) = @_; return "UPDATE own_cat AS c SET note = s.word || md5($n->{read}) FROM small AS s WHERE s.k = c.kind AND $n->{where}" } ],
	[ 'natural DELETE', sub { my ($q, $n) = @_; return "DELETE FROM own_cat AS c WHERE $n->{where} AND " . condition($n) . pick('returning', '', ' RETURNING c.id') } ],
	[ 'natural INSERT', sub { my ($q, $n) = @_; return "INSERT INTO target (id, n, d) SELECT c.id, length($n->{read}), md5($n->{read}) FROM own_cat AS c WHERE $n->{where}" } ],
	[ 'natural MERGE', sub { my ($q, $n) = @_; return "MERGE INTO own_cat AS u USING (SELECT c.id, length($n->{read}) AS n, md5($n->{read}) AS d FROM own_cat AS c WHERE $n->{where}) AS q ON q.id = u.id WHEN MATCHED AND q.n > 8 THEN DELETE WHEN MATCHED THEN UPDATE SET note = q.d" } ]);

sub natural_writes
{
	return @writes;
}

1;
