# SIGKILL of a backend, and the crash restart that follows: rings, the
# postmaster's file descriptors and its memory stay as many as they were.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $rounds = 10;
my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $plain = $fs->path('plain');
write_words($fs->backing('held'), 4_000_000);
write_words($fs->backing('plain'), 400_000);

# The first 1,000 are not held, because libaio makes its context only for a
# lease that is worth it.
my $batch = qq{iopool_read_batch(
	(SELECT array_agg(CASE WHEN n < 1000 THEN '$plain' ELSE '$held' END ORDER BY n)
	 FROM generate_series(0, 19999) AS n),
	(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 19999) AS n),
	array_fill(8::bigint, ARRAY[20000]))};

foreach my $method (test_methods())
{
	my $node = iopool_node("crash_$method", $method, without_server_rings(),
		'restart_after_crash' => 'on',
		'iopool.rings' => 6, 'iopool.ring_entries' => 32,
		'iopool.pools' => 'other(rings=2)');
	chomp(my $postmaster =
		  (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0]);
	my $position = -s $node->logfile;

	# The first restart settles what the postmaster opens only once.
	my @fds;
	foreach my $round (0 .. $rounds)
	{
		my $mode = (io_modes())[ $round % 3 ];
		my $gated = $round % 2 == 0;
		my $label = "$method, crash $round"
		  . ($gated ? ' with reads in flight' : '');

		# Another backend uses a ring at the same time, and is taken along.
		$fs->gate('held') if $gated;
		my @sessions = map {
			start_sql($node,
				"SET iopool.io_mode = $mode;\n"
				  . ($gated ? "SELECT count(*) FROM $batch;" : '')
				  . "SELECT pg_sleep(3600);") } 1 .. 2;
		my $victim = backend_pid($node, $sessions[0]);
		backend_pid($node, $sessions[1]);
		if ($gated)
		{
			$node->poll_query_until('postgres',
				"SELECT count(*) = 2 FROM iopool_rings WHERE state = 'leased'");
			$fs->wait_blocked('held', 2);
		}
		my $crashes = () = log_since($node, $position) =~
		  /all server processes terminated; reinitializing/g;
		kill 'KILL', $victim;

		# A process that is killed inside a read leaves when the read is in.
		$fs->ungate('held') if $gated;
		$_->finish foreach (@sessions);

		ok( poll_until(sub {
				my $now = () = log_since($node, $position) =~
				  /all server processes terminated; reinitializing/g;
				return $now == $crashes + 1; }),
			"$label: the server reinitializes");
		ok( poll_until(sub { system('pg_isready', '-q', '-h', $node->host,
					'-p', $node->port) == 0 }),
			"$label: the server is back");
		is($node->safe_psql('postgres',
				'SELECT count(*), count(*) FILTER (WHERE state = $$free$$ AND pid IS NULL AND in_flight = 0) FROM iopool_rings'),
			'8|8', "$label: all rings are there and free");
		reader_is_right($node, $held, $label);
		push @fds, fd_count($postmaster);
	}
	my @later = @fds[ 1 .. $rounds ];
	is_deeply(\@later, [ ($fds[1]) x $rounds ],
		"$method: the postmaster's descriptors stay the same over $rounds crashes")
	  or diag("descriptors: @fds");
	is((split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0],
		$postmaster, "$method: it is the same postmaster");
	unlike(log_since($node, $position), qr/PANIC/, "$method: no PANIC");

	# An immediate shutdown with reads in flight ends as well.
	$fs->gate('held');
	my $session = start_sql($node, "SELECT count(*) FROM $batch;");
	$fs->wait_blocked('held', 1);
	my $stopper = fork() // die "could not fork: $!";
	if ($stopper == 0)
	{
		exec 'pg_ctl', '-s', '-D', $node->data_dir, '-m', 'immediate', '-W', 'stop'
		  or POSIX::_exit(127);
	}
	waitpid($stopper, 0);
	$fs->ungate('held');
	$session->finish;
	ok(poll_until(sub { !kill(0, $postmaster) }),
		"$method: an immediate shutdown ends");
	$node->_update_pid(-1);

	# ... and a start after it finds everything in order.
	$node->start;
	rings_home($node, "$method: after an immediate shutdown");
	reader_is_right($node, $held, "$method: after an immediate shutdown");
	$node->stop;
}

# PostgreSQL itself keeps a kilobyte in memory for each crash: with many pools it
# is no more than with none of them.
my @growth = map {
	my $npools = $_;
	my $node = iopool_node("memory_$npools", 'sync', without_server_rings(), 'restart_after_crash' => 'on',
		'iopool.rings' => 1, 'iopool.pools' => join ', ', map { "a_pool_with_quite_a_long_name_$_(rings=1, entries=1)" } 1 .. $npools);
	my @bytes = map { crash($node) if $_ > 0; kept_bytes($node) } 0 .. 4;
	note("$npools pools: @bytes");
	$node->stop;
	$bytes[-1] - $bytes[1];
} (0, 40);
cmp_ok($growth[1] - $growth[0], '<', 1024, 'the configuration of pools is kept once');

done_testing();

# Of what the postmaster has in memory, every new backend has a copy.
sub kept_bytes
{
	my ($node) = @_;
	return $node->safe_psql('postgres', q{SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext'});
}

sub crash
{
	my ($node) = @_;
	my $position = -s $node->logfile;
	my $session = start_sql($node, 'SELECT pg_sleep(3600);');
	kill 'KILL', backend_pid($node, $session);
	$session->finish;
	poll_until(sub { log_since($node, $position) =~ /database system is ready/ })
	  or die 'the server does not come back';
	return;
}
