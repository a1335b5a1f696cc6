# Contexts of libaio: made inside a lease, gone with it, and never more of them
# than the pool entitles to (invariant 14).  The kernel counts those of the
# whole machine, so nothing else may make any meanwhile.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

plan skip_all => 'libaio is not among the methods'
  unless grep { $_ eq 'libaio' } test_methods();

my ($rings, $entries) = (2, 32);
my $fs = IopoolTest::GateFS->new;
write_words($fs->backing('held'), 4_000_000);
write_words($fs->backing('plain'), 400_000);
my ($held, $plain) = ($fs->path('held'), $fs->path('plain'));

# Events that the contexts of the whole machine have room for.
sub aio_nr
{
	chomp(my $nr = slurp_file('/proc/sys/fs/aio-nr'));
	return $nr;
}

# A lease makes its context when it has read so much that it is worth it, so
# the gate holds what comes after the first thousand.
my $batch = qq{iopool_read_batch(
	(SELECT array_agg(CASE WHEN n < 1000 THEN '$plain' ELSE '$held' END ORDER BY n)
	 FROM generate_series(0, 4999) AS n),
	(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 4999) AS n),
	array_fill(8::bigint, ARRAY[5000]))};
my $count = "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM $batch;";

my $node = iopool_node('libaio', 'libaio',
	'iopool.rings' => $rings, 'iopool.ring_entries' => $entries,
	'iopool.checkout_timeout' => -1);
my $before = aio_nr();

is( $node->safe_psql('postgres', "SET iopool.io_mode = buffered;\n$count"),
	5000, 'buffered: the bytes');
is(aio_nr(), $before, 'buffered reads leave no context');

$fs->gate('held');
my @sessions = map { start_sql($node, "SET iopool.io_mode = direct;\n$count") }
  1 .. $rings + 1;
$node->poll_query_until('postgres',
	"SELECT waiting = 1 AND in_use = $rings FROM iopool_pools WHERE name = 'default'")
  or die 'the sessions did not come to wait';
ok(poll_until(sub { aio_nr() == $before + $rings * $entries }),
	'as many events as rings and entries, while one more session waits')
  or diag("before $before, now " . aio_nr());

$fs->ungate('held');
foreach my $session (@sessions)
{
	my ($out) = $session->finish;
	is($out, '5000', 'direct: the bytes');
}
is(aio_nr(), $before, 'no context outlives its process');

# In one session, so that the end of the process does not clean up.
is( $node->safe_psql('postgres',
		"SET iopool.io_mode = direct;\n$count\nSELECT trim(pg_read_file('/proc/sys/fs/aio-nr'), E'\\n')"),
	"5000\n$before", 'no context outlives its lease');
rings_home($node, 'libaio');
$node->stop;

done_testing();
