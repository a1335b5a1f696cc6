
=head1 NAME

IopoolSources - where the arguments of generated calls come from

=head1 SYNOPSIS

  use IopoolSources;
  my $call = call($q, 'f1');   # { text, alias, items, columns, form }

=head1 DESCRIPTION

An argument is of a kind: offsets, say, the file_offsets of a call.  The kinds,
in %kinds, tell where a value of theirs is stored, and how to compute it from
the table mem.  A source, in @sources, makes an expression of any kind.  All
sources give the same value for the same id, or NULL, so those of a call's
arguments are drawn independently of each other; an array has as many elements as
its id has rows in mem.  Which id that is says $q->{row}: an expression, c.id mostly.

To add a source, add a line to @sources: its name, how often it is drawn, for
which kinds (array, scalar or any), and a function of the query, the kind and
the depth, which returns an expression.  It may use

  argument($q, $kind, $depth + 1)   another source, to be wrapped
  members($kind, $row)              a select of the value, without parentheses
  add_item($q, $item)               something more in FROM, in front of the call
  add_with($q, $query)              something more in WITH; returns its name
  param($q, $type, @values)         a parameter; one value for each execution

Kinds of which there are bytes, little-endian numbers, say in which column.

To add a kind of function call, add it to %forms.

=cut

package IopoolSources;

use strict;
use warnings;

use Exporter 'import';

use IopoolChoices;
use IopoolTree;

our @EXPORT = qw(call param add_with use_tag source_schema source_names form_names error_names);

# type     of SQL                   is_array
# column   its name in cat; column_ext, column_main, column_dom are others of
#          the same value, stored out of line, compressed, and as a domain
# member   its value, or that of an element, of a row of mem
# domain   constant: SQL for a constant; bad: what makes a call fail
my %kinds = (
	offsets => { type => 'bigint[]', column => 'os', member => 'm.off', domain => 'fz_bigints', bytes => 'os_bytes' },
	lengths => { type => 'bigint[]', column => 'ls', member => 'm.len', domain => 'fz_bigints', bytes => 'ls_bytes' },
	paths => { type => 'text[]', column => 'paths', member => 'm.path', domain => 'fz_texts' },
	offset => { type => 'bigint', column => 'o', member => 'm.off', domain => 'fz_bigint', constants => [ 0, 8, 4090, 199_990, 5_000_000_000, -16, -300_000 ] },
	length => { type => 'bigint', column => 'l', member => 'm.len', domain => 'fz_bigint', constants => [ 8, 16, 0, 100, 5000 ] },
	path => { type => 'text', column => 'path', member => 'm.path', domain => 'fz_text' },
	# small ones; a directory, and a pattern of names in it
	files => { type => 'text[]', column => 'files', member => 'm.file', domain => 'fz_texts' },
	directory => { type => 'text', column => 'dir', member => 'm.dir', domain => 'fz_text' },
	pattern => { type => 'text', column => 'pattern', member => 'm.pattern', domain => 'fz_text', constants => [ map { "'$_'::text" } '**', '*', '**/*.bin', 'x/*', 'none' ] },
	on_error => {
		type => 'text', column => 'onerr', member => q{CASE m.id % 3 WHEN 0 THEN 'report' ELSE 'raise' END}, domain => 'fz_text',
		constants => [ "'raise'::text", "'report'::text" ] },
	missing_ok => { type => 'bool', column => 'inorder', member => 'm.id % 4 <> 1', domain => 'fz_bool', constants => [ 'true', 'false' ] },
	in_order => { type => 'bool', column => 'inorder', member => 'm.id % 4 <> 1', domain => 'fz_bool', constants => [ 'true', 'false' ] });
$_->{is_array} = $_->{type} =~ /\[\]/ foreach (values %kinds);

# ----------------------------------------------------------------------------
# The table mem, as schema.sql makes it

my @sizes = (20, 14, 3, 40, 0, 33, 13, 15, 1, 64, 5, 28, 100, 2, 16, 250);

sub mix
{
	my ($n, $salt, $range) = @_;
	return ($n * 7919 + $salt * 104_729 + $n * $n * ($salt + 13) * 31) % 1_000_003 % $range;
}

# The values of a kind for an id, for constants.
sub values_of
{
	my ($q, $kind, $id) = @_;
	my $size = $id == 37 ? 700 : $id == 40 ? 2500 : $sizes[ $id % 16 ];
	my @values;

	foreach my $n (map { $id * 10_000 + $_ } 1 .. $size)
	{
		push @values,
		    $kind eq 'files' ? ($id % 2 == 1 ? "$q->{dir}/" : mix($n, 8, 3) == 0 ? 'da:' : 'db:') . ('c', 'd', 'e', 'f', 'd', 'f')[ mix($n, 9, 6) ]
		  : $kind eq 'offsets' ? (8 * mix($n, 2, 25_000), mix($n, 2, 200_000), mix($n, 2, 200_000), mix($n, 2, 4096), 4090, 199_999, 8 * mix($n, 2, 500), 5_000_000_000, -1 - mix($n, 2, 250_000), -8)[ mix($n, 4, 10) ]
		  : $kind eq 'lengths' ? (8, 8, 16, 1, mix($n, 3, 64), mix($n, 3, 64), 0, mix($n, 3, 2000))[ mix($n, 6, 8) ]
		  : ($id % 2 == 1 ? "$q->{dir}/" : mix($n, 4, 3) == 0 ? 'da:' : 'db:') . ('a', 'b', 'c', 'e', 'a', 'a')[ mix($n, 5, 6) ];
	}
	return @values;
}

# ----------------------------------------------------------------------------
# What sources are made of

sub use_tag
{
	my ($q, $tag) = @_;
	$q->{tags}{$tag} = 1;
	return;
}

sub new_name
{
	my ($q) = @_;
	return 'x' . ++$q->{nnames};
}

sub add_item
{
	my ($q, $item) = @_;
	push @{ $q->{items} }, $item;
	return;
}

sub add_with
{
	my ($q, $query, $how) = @_;
	my $name = new_name($q);
	push @{ $q->{with} }, "$name AS $how($query)";
	return $name;
}

# A parameter, as a mark that is replaced when it is known what it becomes.
sub param
{
	my ($q, $type, @values) = @_;
	push @{ $q->{params} }, { type => $type, values => [ map { $values[ $_ % @values ] } 0 .. $q->{nexecutions} - 1 ] };
	return '{{' . scalar @{ $q->{params} } . '}}';
}

# One of the ids that are known beforehand.
sub is_known
{
	my ($q) = @_;
	return defined $q->{ids};
}

sub members
{
	my ($kind, $row) = @_;
	my $how = $kinds{$kind};
	return "SELECT array_agg($how->{member} ORDER BY m.k) FROM mem AS m WHERE m.id = $row" if $how->{is_array};
	return "SELECT $how->{member} FROM mem AS m WHERE m.id = $row AND m.k = 1";
}

# A constant of a kind for an id.
sub constant
{
	my ($q, $kind, $id) = @_;
	my $how = $kinds{$kind};

	return "'{" . join(',', values_of($q, $kind, $id)) . "}'::$how->{type}" if $how->{is_array};
	return pick('constant', $q->{role} ? () : "'$q->{dir}/a'::text", "'da:a'::text", "'db:b'::text", "'da:e'::text") if $kind eq 'path';
	return pick('constant', $q->{role} ? () : "'$q->{dir}/tree'::text", "'da:tree'::text", "'db:tree/x/'::text", "'da:tree/empty'::text") if $kind eq 'directory';
	return pick('constant', @{ $how->{constants} });
}

sub column
{
	my ($q, $kind, $suffix) = @_;
	my $how = $kinds{$kind};
	my $column = $how->{column} . ($how->{is_array} || $kind eq 'path' && $suffix ne '_dom' ? $suffix : '');
	return "c.$column" if $q->{row} eq 'c.id';
	return "(SELECT s.$column FROM cat AS s WHERE s.id = $q->{row})";
}

# ----------------------------------------------------------------------------
# Sources

my @sources = (
	[ 'column', 5, 'any', sub { my ($q, $kind) = @_; return column($q, $kind, '') } ],
	[ 'constant', 2, 'known', sub { my ($q, $kind) = @_; return constant($q, $kind, is_known($q) ? $q->{ids}[0] : 1) } ],
	[ 'array constructor', 2, 'known array', sub {
			my ($q, $kind) = @_;
			my @values = values_of($q, $kind, $q->{ids}[0]);
			return "ARRAY[" . join(', ', map { $kind =~ /paths|files/ ? "'$_'" : $_ } @values[ 0 .. ($#values < 40 ? $#values : 39) ]) . ']::'
			  . $kinds{$kind}{type} . (@values > 40 ? ' || (' . constant($q, $kind, $q->{ids}[0]) . ')[41:]' : '') } ],
	[ 'stored out of line', 4, 'any', sub { my ($q, $kind) = @_; return column($q, $kind, '_ext') } ],
	[ 'numbers in bytes', 2, 'array of numbers', sub {
			my ($q, $kind) = @_;
			my $column = $kinds{$kind}{bytes};
			return $q->{row} eq 'c.id' ? "iopool_int8s(c.$column)" : "iopool_int8s((SELECT s.$column FROM cat AS s WHERE s.id = $q->{row}))" } ],
	[ 'compressed inline', 3, 'any', sub { my ($q, $kind) = @_; return column($q, $kind, '_main') } ],
	[ 'domain column', 2, 'any', sub { my ($q, $kind) = @_; return column($q, $kind, '_dom') } ],
	[ 'field of a record', 1, 'any', sub {
			my ($q, $kind) = @_;
			return "(c.rec).$kinds{$kind}{column}" if $q->{row} eq 'c.id';
			return "((SELECT s.rec FROM cat AS s WHERE s.id = $q->{row})).$kinds{$kind}{column}" } ],
	[ 'parameter', 4, 'any', sub {
			my ($q, $kind, $depth) = @_;
			my $how = $kinds{$kind};
			# of an id that is not known, it has nothing to say
			return 'coalesce(' . param($q, $how->{type}, 'NULL') . ', ' . argument($q, $kind, $depth + 1) . ')' if $how->{is_array} && !is_known($q);
			return param($q, $how->{type}, map { chance('null', 0.1) ? 'NULL' : constant($q, $kind, 1) } 1 .. $q->{nexecutions}) if !$how->{is_array};
			return param($q, $how->{type}, map { chance('built', 0.3) ? "fz_${kind}_pl($_)" : constant($q, $kind, $_) } @{ $q->{ids} }) } ],
	[ 'sub-select', 6, 'any', sub { my ($q, $kind) = @_; return '(' . members($kind, $q->{row}) . ')' } ],
	[ 'ARRAY(sub-select)', 3, 'array', sub {
			my ($q, $kind) = @_;
			return "ARRAY(SELECT $kinds{$kind}{member} FROM mem AS m WHERE m.id = $q->{row} ORDER BY m.k)" } ],
	[ 'sub-select of a stored value', 3, 'any', sub {
			my ($q, $kind) = @_;
			my $how = $kinds{$kind};
			my $column = $how->{column} . ($how->{is_array} || $kind eq 'path' ? pick('stored', '', '_ext', '_main') : '');
			return "(SELECT s.$column FROM " . pick('table', 'cat', $q->{role} ? () : ('toasted', 'parts')) . " AS s WHERE s.id = $q->{row})" } ],
	[ 'sub-select with UNION ALL', 1, 'array', sub {
			my ($q, $kind) = @_;
			return "(SELECT array_agg($kinds{$kind}{member} ORDER BY m.k) FROM (SELECT * FROM mem WHERE id = $q->{row} AND k <= 3 UNION ALL SELECT * FROM mem WHERE id = $q->{row} AND k > 3) AS m)" } ],
	[ 'COALESCE', 3, 'any', sub {
			my ($q, $kind, $depth) = @_;
			my $first = argument($q, $kind, $depth + 1);
			# beside another array, one that is empty would be an error
			return "coalesce($first, " . ($kinds{$kind}{is_array} ? "'{}'" : constant($q, $kind, 1)) . ')' if chance('constant', 0.5) && !($kinds{$kind}{is_array} && $q->{narrays} > 1);
			return "coalesce(CASE WHEN $q->{row} % 3 <> 1 THEN $first END, " . argument($q, $kind, $depth + 1) . ')' } ],
	[ 'CASE', 3, 'any', sub {
			my ($q, $kind, $depth) = @_;
			my $first = argument($q, $kind, $depth + 1);
			return "CASE WHEN $q->{row} % 5 <> 2 THEN $first END" if chance('null', 0.3);
			return "CASE WHEN $q->{row} % 3 = 0 THEN $first ELSE " . argument($q, $kind, $depth + 1) . ' END' } ],
	[ 'SQL function', 2, 'any', sub { my ($q, $kind) = @_; return "fz_${kind}_sql(($q->{row})::int)" } ],
	[ 'PL/pgSQL function', 3, 'any', sub { my ($q, $kind) = @_; return "fz_${kind}_pl(($q->{row})::int)" } ],
	[ 'function around', 3, 'any', sub {
			my ($q, $kind, $depth) = @_;
			my $function = pick('function', qw(fz_same fz_same_called fz_same_pl fz_rebuilt fz_same_volatile));
			$function = 'fz_same_pl' if $function eq 'fz_rebuilt' && !$kinds{$kind}{is_array};
			return "$function(" . argument($q, $kind, $depth + 1) . ')' } ],
	[ 'domain', 2, 'any', sub { my ($q, $kind, $depth) = @_; return '(' . argument($q, $kind, $depth + 1) . ")::$kinds{$kind}{domain}" } ],
	[ 'coercion', 1, 'any', sub {
			my ($q, $kind, $depth) = @_;
			my $how = $kinds{$kind};
			my $by = $how->{type} =~ /bigint/ ? pick('by', 'text', 'numeric') : 'text';
			$by .= '[]' if $by eq 'numeric' && $how->{is_array};
			return '(' . argument($q, $kind, $depth + 1) . ")::${by}::$how->{type}" } ],
	[ 'LATERAL sub-select', 3, 'any', sub {
			my ($q, $kind) = @_;
			my $name = new_name($q);
			my $select = members($kind, $q->{row}) =~ s/ FROM mem/ AS v FROM mem/r;
			add_item($q, pick('join', " CROSS JOIN LATERAL ($select) AS $name", " LEFT JOIN LATERAL ($select OFFSET 0) AS $name ON true"));
			return "$name.v" } ],
	[ 'WITH', 2, 'array', sub {
			my ($q, $kind) = @_;
			my $name = add_with($q, "SELECT m.id, array_agg($kinds{$kind}{member} ORDER BY m.k) AS v FROM mem AS m WHERE m.id <= 36 GROUP BY m.id", pick('materialized', '', 'MATERIALIZED ', 'NOT MATERIALIZED '));
			add_item($q, pick('join', ' JOIN', ' LEFT JOIN') . " $name ON $name.id = $q->{row}");
			return "$name.v" } ],
	[ 'outer join', 2, 'array', sub {
			my ($q, $kind) = @_;
			my $name = new_name($q);
			add_item($q, " LEFT JOIN (SELECT m.id, array_agg($kinds{$kind}{member} ORDER BY m.k) AS v FROM mem AS m WHERE m.id % 3 <> 0 AND m.id < 30 GROUP BY m.id) AS $name ON $name.id = $q->{row}");
			return "$name.v" } ],
	[ 'outer join of stored values', 2, 'any', sub {
			my ($q, $kind) = @_;
			my $name = new_name($q);
			my $how = $kinds{$kind};
			add_item($q, ' LEFT JOIN ' . pick('table', 'cat', $q->{role} ? () : 'toasted') . " AS $name ON $name.id = $q->{row} AND $name.kind <> 3");
			return "$name.$how->{column}" . ($how->{is_array} || $kind eq 'path' ? pick('stored', '', '_ext', '_main') : '') } ],
	[ 'concatenation', 2, 'array', sub {
			my ($q, $kind, $depth) = @_;
			my $value = argument($q, $kind, $depth + 1);
			return pick('how', "$value || ($value)[1:0]", "($value)[:3] || ($value)[4:]", "array_cat(($value)[:14], ($value)[15:])") } ],
	[ 'slice', 2, 'array', sub {
			my ($q, $kind, $depth) = @_;
			my $value = argument($q, $kind, $depth + 1);
			return pick('how', "($value)[:]", "($value)[1:cardinality($value)]", "array_remove($value, '-99')", "trim_array($value || $value, cardinality($value))") } ],
	[ 'unnested', 1, 'array', sub {
			my ($q, $kind, $depth) = @_;
			my $value = argument($q, $kind, $depth + 1);
			return "CASE WHEN ($value) IS NOT NULL THEN ARRAY(SELECT u.v FROM unnest($value) WITH ORDINALITY AS u(v, n) ORDER BY u.n) END" } ],
	[ 'operator', 2, 'scalar', sub {
			my ($q, $kind, $depth) = @_;
			my $value = argument($q, $kind, $depth + 1);
			return $kinds{$kind}{type} eq 'bool' ? "NOT ($value)" : $kind eq 'on_error' ? "lower($value)" : $kinds{$kind}{type} eq 'text' ? "($value || '')" : "($value + 0)" } ]);

sub source_names
{
	return map { "source: $_->[0]" } @sources;
}

sub may_use
{
	my ($q, $kind, $depth, $name, $which) = @_;

	return 0 if $q->{no_items} && $name =~ /^(LATERAL|WITH|outer join)/;
	return 0 if $which =~ /array/ && !$kinds{$kind}{is_array};
	return 0 if $which =~ /scalar/ && $kinds{$kind}{is_array};
	return 0 if $which =~ /numbers/ && !$kinds{$kind}{bytes};
	# a constant array is of one id
	return 0 if $which =~ /known/ && $kinds{$kind}{is_array} && !(is_known($q) && $q->{is_constant});
	return 1;
}

# An expression of a kind.
sub argument
{
	my ($q, $kind, $depth) = @_;
	$depth //= 0;
	return 'true' if $kind eq 'in_order' && $q->{in_order};
	return within($kind, sub {
			my @usable = grep { may_use($q, $kind, $depth, @{$_}[0, 2]) } @sources;
			@usable = grep { $_->[0] =~ /^(column|constant|stored|sub-select$|SQL|PL)/ } @usable if $depth > 2;
			my $source = pick('source', map { ($_) x $_->[1] } @usable);
			use_tag($q, "source: $source->[0]");
			my $value = $source->[3]->($q, $kind, $depth);
			return $depth == 0 ? spoiled($q, $kind, $value) : $value;
		});
}

# ----------------------------------------------------------------------------
# Errors, in the call of one id

my %errors = (
	'negative length' => { lengths => [ -1, -2 ], length => '-1' },
	'missing file' => { paths => [ "'DIR/gone1'", "'DIR/gone2'" ], files => [ "'DIR/gone3'", "'DIR/gone4'" ], path => "'DIR/gone'", directory => "'DIR/gone'" },
	'NULL element' => { offsets => [ 'NULL', 'NULL' ], lengths => [ 'NULL', 'NULL' ], paths => [ 'NULL', 'NULL' ], files => [ 'NULL', 'NULL' ] },
	'bad pattern' => { pattern => "'a[z'" },
	'one too many' => { lengths => '||' },
	'bad on_error' => { on_error => "'raised'" });

sub error_names
{
	return map { "error: $_" } sort keys %errors;
}

sub spoiled
{
	my ($q, $kind, $value) = @_;
	my $bad = defined $q->{error} ? $errors{ $q->{error} }{$kind} : undef;

	return $value unless defined $bad;
	$bad = [ map { s/DIR/$q->{dir}/r } @$bad ] if ref $bad;
	$bad =~ s/DIR/$q->{dir}/ unless ref $bad;
	my $type = $kinds{$kind}{type} =~ s/\[\]//r;
	my $wrong =
	    ref $bad ? 'fz_spoil(' . join(', ', "($value)::$kinds{$kind}{type}", map { "$_\::$type" } @$bad) . ')'
	  : $bad eq '||' ? "($value) || 8::bigint"
	  : "$bad\::$type";
	return "CASE WHEN $q->{row} = $q->{error_id} THEN $wrong ELSE $value END";
}

# ----------------------------------------------------------------------------
# Calls

# args: kinds of arguments, of which a length beside offsets becomes an array of
# one element; options: on_error, or that and in_order
# as: what is in FROM, in the place of %s; of whose columns are these, the first of
# which that is ordinal or path tells the rows of a call apart
my $batch_columns = [qw(ordinal file_offset length data error)];
my @batch = (columns => $batch_columns, options => 2, node => 1);
my %found = (as => q{(SELECT l.path, l.size, l.modified, convert_to(concat_ws(' ', l.path, l.size, extract(epoch FROM l.modified)), 'UTF8') AS data FROM %s AS l) AS %s});
my %known = (as => q{(SELECT s.size, s.modified, convert_to(concat_ws(' ', s.size, extract(epoch FROM s.modified)), 'UTF8') AS data FROM %s AS s) AS %s});
my @forms = (
	[ 'read', 4, { function => 'iopool_read', args => [qw(path offset length)], columns => ['data'], options => 0, node => 1 } ],
	[ 'read that may miss', 2, { function => 'iopool_read', args => [qw(path offset length missing_ok)], columns => ['data'], options => 0, node => 1 } ],
	[ 'read whole', 1, { function => 'iopool_read', args => ['path'], columns => ['data'], options => 0, node => 1 } ],
	[ 'read whole that may miss', 1, { function => 'iopool_read', args => [qw(path missing_ok)], columns => ['data'], options => 0, node => 1 } ],
	[ 'whole files', 4, { function => 'iopool_read_files', args => ['files'], columns => [qw(ordinal path size modified data error)], options => 2, node => 1 } ],
	[ 'list', 4, { function => 'iopool_list', args => [qw(directory pattern)], options => 0, node => 1, %found, columns => [qw(path size modified data)] } ],
	[ 'list of a directory', 1, { function => 'iopool_list', args => ['directory'], options => 0, node => 1, %found, columns => [qw(path size modified data)] } ],
	[ 'stat', 1, { function => 'iopool_stat', args => ['path'], options => 0, node => 0, %known, columns => [qw(size modified data)] } ],
	[ 'stat that may miss', 1, { function => 'iopool_stat', args => [qw(path missing_ok)], options => 0, node => 0, %known, columns => [qw(size modified data)] } ],
	[ 'batch', 4, { function => 'iopool_read_batch', args => [qw(path offsets lengths)], @batch } ],
	[ 'batch of one length', 3, { function => 'iopool_read_batch', args => [qw(path offsets length)], @batch } ],
	[ 'batch of paths and one length', 1, { function => 'iopool_read_batch', args => [qw(paths offsets length)], @batch } ],
	[ 'batch of paths', 4, { function => 'iopool_read_batch', args => [qw(paths offsets lengths)], @batch } ],
	[ 'batch WITH ORDINALITY', 1, { function => 'iopool_read_batch', args => [qw(paths offsets lengths)], @batch, node => 0, in_order => 1, as => '%s WITH ORDINALITY AS %s(ordinal, file_offset, length, data, error, n)' } ],
	[ 'ROWS FROM', 1, { function => 'iopool_read_batch', args => [qw(path offsets lengths)], @batch, node => 0, in_order => 1, as => 'ROWS FROM (%s, generate_series(1, 2)) AS %s(ordinal, file_offset, length, data, error, n)' } ],
	[ 'read in a select list', 1, { function => 'iopool_read', args => [qw(path offset length)], columns => ['data'], options => 0, node => 0, as => '(SELECT %s AS data) AS %s' } ],
	[ 'batch in a select list', 1, { function => 'iopool_read_batch', args => [qw(path offsets lengths)], @batch, node => 0, as => '(SELECT (y).* FROM (SELECT %s AS y OFFSET 0) AS z) AS %s' } ],
	[ 'array', 1, { function => 'iopool_read_array', args => [qw(path offsets lengths)], columns => [qw(data ordinal)], options => 1, node => 0, as => 'unnest(%s) WITH ORDINALITY AS %s(data, ordinal)' } ],
	[ 'array of one length', 1, { function => 'iopool_read_array', args => [qw(path offsets length)], columns => [qw(data ordinal)], options => 1, node => 0, as => 'unnest(%s) WITH ORDINALITY AS %s(data, ordinal)' } ],
	[ 'array of paths', 1, { function => 'iopool_read_array', args => [qw(paths offsets lengths)], columns => [qw(data ordinal)], options => 1, node => 0, as => 'unnest(%s) WITH ORDINALITY AS %s(data, ordinal)' } ],
	[ 'fetch', 1, { function => 'iopool_submit', args => [qw(path offsets lengths)], columns => $batch_columns, options => 0, node => 0, as => "iopool_fetch(%s, 'report') AS %s", is_volatile => 1 } ],
	[ 'fetch of one length', 1, { function => 'iopool_submit', args => [qw(path offsets length)], columns => $batch_columns, options => 0, node => 0, as => "iopool_fetch(%s, 'report') AS %s", is_volatile => 1 } ],
	[ 'fetch of paths', 1, { function => 'iopool_submit', args => [qw(paths offsets lengths)], columns => $batch_columns, options => 0, node => 0, as => 'iopool_fetch(%s) AS %s', is_volatile => 1 } ],
	[ 'fetch_next', 1, { function => 'iopool_submit', args => [qw(paths offsets lengths)], columns => $batch_columns, options => 0, node => 0, as => "fz_drain(%s, 3, 'report') AS %s", is_volatile => 1 } ]);

sub form_names
{
	return map { "call: $_->[0]" } @forms;
}

# An array made of scalars.
sub constructed
{
	my ($q, $kind, $n) = @_;
	my $single = $kind eq 'files' ? 'path' : $kind =~ s/s$//r;
	my $other = $single eq 'path' ? "'da:a'" : 8;
	my @elements = map { 'coalesce(' . argument($q, $single, 1) . ", $other)" } 1 .. ($n > 3 ? 1 : $n);

	return spoiled($q, $kind, $n > 3 ? "array_fill($elements[0], ARRAY[$n])" : 'ARRAY[' . join(', ', @elements) . "]::$kinds{$kind}{type}");
}

# Which id the arrays of a call are of: { row, ids, is_constant }.
sub a_row
{
	my ($q, $before, $is_alone) = @_;
	my @ids = map { between('id', 1, 36) } 1 .. $q->{nexecutions};
	@ids = map { $_ % 18 * 2 + 2 } @ids if $q->{role};
	my @rows = $is_alone ? () : ({ row => 'c.id' }) x 6;

	push @rows, { row => $ids[0], ids => [ $ids[0] ], is_constant => 1 };
	push @rows, { row => 'param', ids => \@ids } unless $q->{no_params};
	push @rows, ({ row => "$before->{alias}.ordinal" }) x 6
	  if defined $before && !$q->{role} && grep { $_ eq 'ordinal' } @{ $before->{columns} };
	push @rows, ({ row => "(length($before->{alias}.data) % 36 + 1)" }) x 3 if defined $before && !$q->{role};
	my $row = pick('row', @rows);
	return { %$row, row => param($q, 'int', @ids) } if $row->{row} eq 'param';
	return $row;
}

# A plan may make the call for an id and an item of another, before their join.
# Arrays that do not belong together are none then.
sub paired
{
	my ($form, @args) = @_;
	my ($first, @others) = grep { $kinds{ $form->{args}[$_] }{is_array} } 0 .. $#args;
	$args[$_] = "CASE WHEN cardinality($args[$first]) = cardinality($args[$_]) THEN $args[$_] END" foreach (@others);
	return @args;
}

# A call of one of the functions.
sub call
{
	my ($q, $alias, %want) = @_;
	return within($alias, sub {
			my @usable = grep { (!$want{form} || $_->[0] =~ $want{form}) && !($_->[2]{is_volatile} && ($want{no_requests} || $q->{role})) } @forms;
			my ($name, undef, $form) = @{ pick('form', map { ($_) x $_->[1] } @usable) };
			local $q->{items} = [];
			local $q->{in_order} = $q->{in_order} || $form->{in_order};
			local $q->{narrays} = grep { $kinds{$_}{is_array} } @{ $form->{args} };
			my $row = a_row($q, $want{before}, $want{is_alone});
			local @{$q}{qw(row ids is_constant)} = @{$row}{qw(row ids is_constant)};
			$q->{error_id} = $row->{ids}[0] if $want{is_alone};
			my $nconstructed = !$want{is_alone} && chance('constructed', 0.15) ? pick('n', 1, 2, 3, 20) : 0;
			my @args = map { $nconstructed && $kinds{$_}{is_array} ? constructed($q, $_, $nconstructed) : argument($q, $_) } @{ $form->{args} };
			# a file that is not there, and need not be
			if ($form->{args}[-1] eq 'missing_ok' && chance('missing', 0.5))
			{
				$args[0] = "($args[0] || CASE WHEN $q->{row} % 3 = 0 THEN '_gone' ELSE '' END)";
				$args[-1] = 'true';
			}
			if (!$nconstructed && chance('slices', 0.1))
			{
				foreach my $n (0 .. $#args)
				{
					$args[$n] = "($args[$n])[:5]" if $kinds{ $form->{args}[$n] }{is_array};
				}
			}
			# NULL where that one length is
			$args[-1] = "nullif(ARRAY[$args[-1]]::bigint[], ARRAY[NULL::bigint])" if $form->{args}[-1] eq 'length' && $form->{function} ne 'iopool_read';
			@args = paired($form, @args) if @{ $q->{items} } && $q->{narrays} > 1;
			my $how = draw('options', 4);
			push @args, argument($q, 'on_error') if $form->{options} && ($how == 2 || $how == 3);
			push @args, argument($q, 'in_order') if $form->{options} == 2 && $how == 3;
			push @args, 'on_error => ' . argument($q, 'on_error') if $form->{options} && $how == 1;
			push @args, 'in_order => ' . argument($q, 'in_order') if $form->{options} == 2 && $how == 1 && chance('in order', 0.5);
			use_tag($q, "call: $name");
			my $call = "$form->{function}(" . join(', ', @args) . ')';
			my $text = $form->{as} // ($form->{columns}[0] eq 'data' ? '%s AS %s(data)' : '%s AS %s');
			return {
				text => sprintf($text, $call, $alias), alias => $alias, items => $q->{items}, columns => $form->{columns}, node => $form->{node},
				is_volatile => $form->{is_volatile}, key => scalar((grep { /^(ordinal|path)$/ } @{ $form->{columns} })[0]), form => $name };
		});
}

# The functions of each kind, for the schema.
sub source_schema
{
	my $sql = '';

	foreach my $kind (sort keys %kinds)
	{
		my $how = $kinds{$kind};
		my $head = "(id int) RETURNS $how->{type} STABLE PARALLEL SAFE";
		$sql .= "CREATE FUNCTION fz_${kind}_sql$head LANGUAGE sql AS \$\$" . members($kind, '$1') . "\$\$;\n";
		my $body = $how->{is_array}
		  ? "DECLARE r $how->{type} := '{}'; v record; BEGIN FOR v IN SELECT $how->{member} AS v FROM mem AS m WHERE m.id = \$1 ORDER BY m.k LOOP r := r || v.v; END LOOP; RETURN r; END"
		  : 'BEGIN RETURN (' . members($kind, '$1') . '); END';
		$sql .= "CREATE FUNCTION fz_${kind}_pl$head LANGUAGE plpgsql AS \$\$$body\$\$;\n";
	}
	return $sql;
}

1;
