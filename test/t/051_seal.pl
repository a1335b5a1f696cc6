# A ring can do nothing but read, whoever holds it, and a ring that somebody
# has meddled with is taken out of service alone.  test/ringtool.c is that
# somebody: it copies the descriptors of the postmaster.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

plan skip_all => 'the method io_uring is not tested in this run'
  unless grep { $_ eq 'io_uring' } test_methods();

my $ringtool = helper_program('ringtool');
my $fs = IopoolTest::GateFS->new;
my $words = PostgreSQL::Test::Utils::tempdir() . '/words';
my $size = 200_000;
write_words($words, $size);
write_words($fs->backing('held'), $size);
my $held = $fs->path('held');

# Runs ringtool on the node's postmaster; returns its output.
sub ringtool
{
	my ($node, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = ('', '');
	my @command = ($ringtool, $node->{_pid}, @arguments);

	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err);
	is($?, 0, "ringtool $arguments[0]") or diag($out, $err);
	return $out;
}

# The message of the first error of a query by a session of its own.
sub error_of
{
	my ($node, $query) = @_;
	my $err = '';

	$node->psql('postgres', "\\set VERBOSITY verbose\n$query",
		stderr => \$err,
		timeout => $PostgreSQL::Test::Utils::timeout_default);
	return $err;
}

sub states
{
	my ($node) = @_;
	my $counts = ring_counts($node);
	return join ' ', map { "$_=$counts->{$_}" } sort keys %$counts;
}

sub broken_in_log
{
	my ($node, $position) = @_;
	my @lines = log_since($node, $position) =~ /ring \d+ of pool "default" is broken/g;
	return scalar @lines;
}

# Four reads of the gated file, compared with what its backing file holds.
my $held_query = qq{
	SELECT count(*) FILTER (WHERE b.data = pg_read_binary_file(
		'@{[$fs->backing('held')]}', b.file_offset, b.length))
	FROM iopool_read_batch('$held', ARRAY[0, 20000, 40008, 90001], ARRAY[100]) AS b;};
my $read_query = "SELECT octet_length(data) FROM iopool_read_batch('$words', ARRAY[0, 50000], ARRAY[100])";

# Sealed and plain: see invariants 4 and 15 of the design.
{
	my $node = iopool_node('seal', 'io_uring', without_server_rings(),
		'iopool.rings' => 4, 'iopool.ring_entries' => 8);
	my $position = -s $node->logfile;

	is(ringtool($node, 'count'), "4\n", 'the postmaster has four rings');
	is(ringtool($node, 'seal', PostgreSQL::Test::Utils::tempdir(), $words),
		'', 'a ring does nothing but read, for any process');

	# The tool has used the rings, so none is clean any more.
	foreach my $reader (1 .. 2)
	{
		like(error_of($node, $read_query), qr/ERROR:  53000: all rings of pool "default" are broken/,
			"reader $reader is told that all rings are broken");
	}
	is(states($node), 'broken=4', 'all rings are broken');
	is(broken_in_log($node, $position), 4, 'the log tells of each');
	is($node->safe_psql('postgres', "SELECT octet_length(iopool_read('$words', 7, 100))"),
		100, 'a small single read needs no ring');

	$node->restart;
	rings_home($node, 'after a restart');
	reader_is_right($node, $words, 'after a restart');
	$node->stop;
}

# One bad ring of four, then three.
foreach my $nbad (1, 3)
{
	my $label = "$nbad of 4 rings meddled with";
	my $node = iopool_node("meddle$nbad", 'io_uring', without_server_rings(),
		'iopool.rings' => 4, 'iopool.ring_entries' => 8);
	my $ngood = 4 - $nbad;
	my $position = -s $node->logfile;
	my @sessions;

	ringtool($node, 'consume', $nbad, $words);
	is(states($node), 'free=4', "$label: nobody has noticed");

	# Hold every good ring; who looks for more meets all the bad ones.
	$fs->gate('held');
	foreach my $n (1 .. $ngood)
	{
		push @sessions, start_sql($node, $held_query);
		$fs->wait_blocked('held', 4 * $n);
	}
	like(error_of($node, "SET iopool.checkout_timeout = 0;\n$read_query"),
		qr/ERROR:  53400/, "$label: no ring is left");
	is(states($node), "broken=$nbad leased=$ngood",
		"$label: broken alone, and none is lost");

	$fs->ungate('held');
	is(($_->finish)[0], 4, "$label: right bytes through another ring")
	  foreach @sessions;
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = $ngood FROM iopool_rings WHERE state = 'free'"),
		"$label: the good rings are free again");
	is(states($node), "broken=$nbad free=$ngood", "$label: as many as before");
	reader_is_right($node, $words, $label);
	is($node->safe_psql('postgres', 'SELECT resets FROM iopool_pools'),
		$nbad, "$label: counted as resets");
	is(broken_in_log($node, $position), $nbad, "$label: the log tells of each");
	$node->stop;
}

# The only ring, while it is leased and others wait for it.
{
	my $node = iopool_node('only', 'io_uring', without_server_rings(),
		'iopool.rings' => 1, 'iopool.ring_entries' => 8,
		'iopool.checkout_timeout' => -1);

	$fs->gate('held');
	my $owner = start_sql($node, $held_query);
	$fs->wait_blocked('held', 4);
	my @waiters = map { start_sql($node, $read_query) } 1 .. 3;
	ok( $node->poll_query_until('postgres',
			'SELECT waiting = 3 FROM iopool_pools'),
		'three wait for the only ring');

	ringtool($node, 'consume', 0, $words);
	ok( $node->poll_query_until('postgres',
			'SELECT state = \'draining\' FROM iopool_rings'),
		'its owner waits for its own');
	$fs->ungate('held');
	is(($owner->finish)[0], 4,
		'a completion that the owner does not know does not confuse it');
	foreach my $waiter (@waiters)
	{
		like(($waiter->finish)[1],
			qr/ERROR:  53000: all rings of pool "default" are broken/,
			'a waiter is woken and told');
	}
	is(states($node), 'broken=1', 'the ring is broken');
	is( $node->safe_psql('postgres',
			'SELECT in_use, waiting, stale_completions FROM iopool_pools'),
		'0|0|1', 'nobody holds it or waits, and one completion was stale');
	like(error_of($node, $read_query), qr/ERROR:  53000/, 'whoever comes later is told at once');
	$node->stop;
}

done_testing();
