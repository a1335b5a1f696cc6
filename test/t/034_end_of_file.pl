# Where a file ends is what a read finds, not what the kernel believes: FUSE
# files with direct_io, whose cached size is behind, on every method and way of
# reading, as pg_read_binary_file() of the file behind the mount sees them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $size = 300_001;
my $fs = IopoolTest::GateFS->new;
write_words($fs->backing($_), $size) foreach qw(file advised);
my $file = $fs->path('file');
my $truth = $fs->backing('file');
my $plain = write_words(PostgreSQL::Test::Utils::tempdir() . '/plain', $size);

# Inside, across and past each of the sizes that the kernel is told, touching
# and overlapping, and far past the end.
my $ranges = q{(SELECT array_agg(o) AS o, array_agg(l) AS l FROM (VALUES
	(0, 8), (0, 4096), (4090, 12), (4096, 4096), (8192, 100), (8190, 10), (100000, 50000),
	(0, 300001), (1, 1000000), (299990, 11), (299990, 100), (300000, 1), (300001, 1),
	(1000000, 10), (777, 0)) AS r(o, l)) AS a};
my $nranges = 15;
my $is_right = "b.error IS NULL AND b.data = pg_read_binary_file('$truth', b.file_offset, b.length)";
my %ways = (
	batch => "SELECT count(*) FILTER (WHERE $is_right) FROM $ranges, LATERAL iopool_read_batch('$file', a.o, a.l, 'report') AS b",
	function => "SET iopool.enable_stream_scan = off;"
	  . "SELECT count(*) FILTER (WHERE $is_right) FROM $ranges, LATERAL iopool_read_batch('$file', a.o, a.l, 'report', false) AS b",
	merged => "SET iopool.merge_gap = '1MB';"
	  . "SELECT count(*) FILTER (WHERE $is_right) FROM $ranges, LATERAL iopool_read_batch('$file', a.o, a.l, 'report') AS b",
	array => "SELECT count(*) FILTER (WHERE d = pg_read_binary_file('$truth', r.o, r.l)) FROM $ranges,"
	  . " LATERAL ROWS FROM (unnest(iopool_read_array('$file', a.o, a.l)), unnest(a.o), unnest(a.l)) AS r(d, o, l)",
	request => "SELECT count(*) FILTER (WHERE $is_right) FROM $ranges, LATERAL iopool_fetch(iopool_submit('$file', a.o, a.l), 'report') AS b",
	single => "SELECT count(*) FILTER (WHERE iopool_read('$file', r.o, r.l) = pg_read_binary_file('$truth', r.o, r.l)) FROM $ranges,"
	  . " LATERAL unnest(a.o, a.l) AS r(o, l)");

foreach my $method (test_methods())
{
	my $node = iopool_node("end_$method", $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 16);

	foreach my $mode (io_modes())
	{
		foreach my $believed (0, 1, 4096, 8192, 100_003, $size, 400_000)
		{
			$fs->sidecar('file', 'size', $believed);
			my @wrong = grep { ask($node, "SET iopool.io_mode = $mode; SET statement_timeout = '60s'; $ways{$_}") != $nranges }
			  sort keys %ways;
			is("@wrong", '', "$method, $mode, to the kernel of $believed bytes: all ways are right");
		}
		$fs->clear('file', 'size');

		# What an end costs where there is nothing to doubt: no read.
		ask($node, 'SELECT iopool_stat_reset()');
		is( ask($node, "SET iopool.io_mode = $mode; SELECT sum(length(data)) FROM iopool_read_batch('$plain', ARRAY[0, 299990, 300001, 400000], ARRAY[8, 100, 5, 5])"),
			19, "$method, $mode: ends of an ordinary file");
		is(ask($node, 'SELECT sum(reads) FROM iopool_pools'), 2, "$method, $mode: no read is made in vain");
	}

	# Advice would shrink the size that the kernel believes in, for others.
	$fs->sidecar('advised', 'short', 1000);
	my $advised = $fs->path('advised');
	is(ask($node, "SELECT iopool_prefetch('$advised', ARRAY[0, 100000], ARRAY[8, 8])"),
		0, "$method: nothing is read ahead where it would do harm");
	is(ask($node, "SELECT iopool_prefetch('$plain', ARRAY[0, 100000], ARRAY[8, 8])"),
		2, "$method: elsewhere it is");
	$fs->clear('advised', 'short');
	is( ask($node, "SELECT b.data = substr(pg_read_binary_file('/proc/self/limits'), 1, 100000), length(b.data) > 500 FROM iopool_read_batch('/proc/self/limits', ARRAY[0], ARRAY[100000]) AS b"),
		't|t', "$method: a file of procfs, which tells no size");
	rings_home($node, $method);
	$node->stop;
}

done_testing();
