# Arrays of numbers that are larger than an array of PostgreSQL can be, and the
# largest: an error beforehand, and no error.  The bytes are those of a file
# with a hole, read by core, because a query that makes them takes longer.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $most = 134_217_727;    # elements: MaxArraySize
my $node = iopool_node('numbers', undef);
my $file = PostgreSQL::Test::Utils::tempdir() . '/hole';
open my $handle, '>', $file or die;
truncate $handle, 4 * ($most + 1) or die;
close $handle;

# The size of an array in bytes, which core tells without a look at how many
# elements it has.
sub numbers
{
	my ($type, $bytes) = @_;
	my ($ret, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT pg_column_size(iopool_$type(pg_read_binary_file('$file', 0, $bytes)))");
	return $ret == 0 ? $out : $err;
}

is(numbers('int2s', 2 * $most), 24 + 2 * $most, 'as many elements as an array can have');
foreach my $type (qw(int2s float2s int4s float4s))
{
	my ($size) = $type =~ /(\d)/;
	like(numbers($type, $size * ($most + 1)),
		qr/ERROR:  54000: array size exceeds the maximum allowed \($most\)/,
		"$type: one more");
}
# The size of the data is looked at first.
like(numbers('int4s', 4 * $most + 3),
	qr/ERROR:  22023: data size \d+ is not a multiple of element size 4/, 'and a part of one');

is($node->safe_psql('postgres', q{SELECT iopool_int2s('\x0100')}),
	'{1}', 'the server goes on');
$node->stop;
done_testing();
