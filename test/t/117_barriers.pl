# A barrier that PostgreSQL sends to all backends does not wait for a batch: a
# backend that reads absorbs it between two reads, and while it waits for reads
# that are in flight, whatever it waits for them for.
#
# DROP DATABASE stands for all that sends one: it has every backend close the
# files of the database, and goes on when all have.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $plain = $fs->path('plain');
write_words($fs->backing('held'), 4_000_000);
write_words($fs->backing('plain'), 400_000);

# Where announcing reads to the kernel waits for them.
my $slow_fs = IopoolTest::GateFS->new(background => 8);
write_words($slow_fs->backing('held'), 8 * 1024 * 1024);

my $module = $ENV{IOPOOL_TEST_REFUSE};
if (!defined $module)
{
	my $source = "$FindBin::RealBin/../modules/iopool_refuse";
	system('make', '-s', '-C', $source) == 0
	  or BAIL_OUT('could not build iopool_refuse');
	$module = "$source/iopool_refuse.so";
}

# Of so many ranges the first few are read at once, the rest is held.  libaio
# makes its context only for a lease that is worth it.
sub batch_of
{
	my ($count, $nplain) = @_;
	return qq{SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch(
		(SELECT array_agg(CASE WHEN n < $nplain THEN '$plain' ELSE '$held' END ORDER BY n)
		 FROM generate_series(0, $count - 1) AS n),
		(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, $count - 1) AS n),
		ARRAY[8], in_order => false)};
}

# A session whose script comes to reads that are held, with its pid.
sub start_script
{
	my ($node, $mode, $script) = @_;
	$fs->gate('held');
	my $session = start_sql($node, "SET iopool.io_mode = $mode;\n$script");
	my $pid = backend_pid($node, $session);
	$fs->wait_blocked('held', 1);
	return ($session, $pid);
}

# A session in the middle of such a batch, with its pid.
sub start_held
{
	my ($node, $mode, @size) = @_;
	return start_script($node, $mode, batch_of(@size) . ';');
}

# A session that sends a barrier and waits for everybody.
sub start_barrier
{
	my ($node) = @_;
	ask($node, 'CREATE DATABASE doomed');
	return start_sql($node, 'DROP DATABASE doomed;');
}

# Asserts that it has not had to wait for what the gate holds.
sub barrier_passed
{
	my ($node, $barrier, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (undef, $err) = $barrier->finish;
	is($err, '', "$label: nothing is said");
	is(ask($node, q{SELECT count(*) FROM pg_database WHERE datname = 'doomed'}), 0, "$label: the barrier is through");
	return;
}

sub waits_for_barrier
{
	my ($node, $barrier) = @_;
	return "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ProcSignalBarrier'"
	  . " AND application_name = '$barrier->{name}'";
}

# Ends of calls that have reads in flight, all of which are held: the script, what
# it prints, and what it says.  A LIMIT leaves fewer of the other reads than are
# in flight at a time, and more than are waited for at a time, an eighth of them.
my $offsets = '(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 1999) AS n)';
my $read = batch_of(2000, 1000) =~ s/^.*? FROM //sr;
my $submit = "iopool_submit('$held', $offsets, ARRAY[8])";
my %ends = (
	'a LIMIT' => [ "SELECT sum(length(data)) FROM (SELECT data FROM $read LIMIT 990) AS b;", '7920', qr/^$/ ],
	'a cursor' => [ "BEGIN; DECLARE c CURSOR FOR SELECT length(data) FROM $read; MOVE 990 IN c; CLOSE c; COMMIT;", '', qr/^$/ ],
	'iopool_cancel()' => [ "SELECT iopool_cancel($submit);", 't', qr/^$/ ],
	'COMMIT' => [ "BEGIN; SELECT $submit > 0; COMMIT;", 't', qr/WARNING:  01000: 1 iopool request/ ]);

foreach my $method (test_methods())
{
	my $node = iopool_node("barriers_$method", $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 64, 'iopool.pools' => 'other(rings=1)');
	$node->safe_psql('postgres', "CREATE FUNCTION iopool_refuse_to_wake() RETURNS void LANGUAGE c AS '$module'");

	foreach my $mode (io_modes())
	{
		# Few reads: of libaio, too, the process makes them itself.
		my $label = "$method, $mode";
		my ($session, $pid) = start_held($node, $mode, 48, 0);
		my $barrier = start_barrier($node);
		if ($method ne 'io_uring')
		{
			ok(ask_until($node, waits_for_barrier($node, $barrier), 1), "$label: a read is the process's own and goes first");
			ok(stays(sub { ask($node, waits_for_barrier($node, $barrier)) eq '1' }), "$label: as long as it takes");
			# a direct read is one of whole blocks, and never announced
			$fs->let_pass('held', 1, $mode eq 'direct' ? 4096 : 8);
		}
		barrier_passed($node, $barrier, $label);
		$fs->wait_blocked('held', 1);
		ok(!$session->has_ended, "$label: within the batch");
		$fs->ungate('held');
		is(($session->finish)[0], 48, "$label: which has the right bytes");

		# Announcements take their time, too.
		if (!async_in($method, 'buffered') && $mode eq 'buffered')
		{
			$slow_fs->gate('held');
			$session = start_sql($node, q{SELECT count(*) FILTER (WHERE data = int8send(file_offset))
				FROM iopool_read_batch('} . $slow_fs->path('held') . q{',
					(SELECT array_agg(n * 131072 ORDER BY n) FROM generate_series(0, 47) AS n), ARRAY[8]);});
			$slow_fs->wait_blocked('held', 8);
			$barrier = start_barrier($node);
			ok(ask_until($node, waits_for_barrier($node, $barrier), 1), "$label: an announcement goes first");
			$slow_fs->let_pass('held', 1, 4096);
			barrier_passed($node, $barrier, "$label, announcement");
			ok($slow_fs->blocked('held') > 0 && !$session->has_ended, "$label, announcement: of many");
			$slow_fs->ungate('held');
			is(($session->finish)[0], 48, "$label, announcement: the bytes are right");
		}

		# Many: of libaio, the context is waited for.
		next unless async_in($method, $mode);
		($session, $pid) = start_held($node, $mode, 2000, 1000);
		ok(wait_inside($node, $pid), "$label: reads are waited for");
		barrier_passed($node, start_barrier($node), "$label, in flight");
		ok($fs->blocked('held') > 0 && !$session->has_ended, "$label, in flight: all of them are held");

		# A cancel has to wait for what is in flight; others need not.
		ask($node, "SELECT pg_cancel_backend($pid)");
		ok(cancel_has_come($node, $pid), "$label, cancel: the ring drains");
		barrier_passed($node, start_barrier($node), "$label, cancel");
		ok($fs->blocked('held') > 0 && !$session->has_ended, "$label, cancel: all of them are held");
		$fs->ungate('held');
		like(($session->finish)[1], qr/ERROR:  57014/, "$label, cancel: is raised when they are in");

		# The signal may come right before the wait, and not end it.
		($session, $pid) = start_script($node, $mode, 'SELECT iopool_refuse_to_wake(); ' . batch_of(2000, 1000) . ';');
		ok(wait_inside($node, $pid), "$label, no signal: reads are waited for");
		barrier_passed($node, start_barrier($node), "$label, no signal");
		ok($fs->blocked('held') > 0 && !$session->has_ended, "$label, no signal: all of them are held");
		$fs->ungate('held');
		like(($session->finish)[0], qr/^2000$/m, "$label, no signal: the bytes are right");

		# A cancel in the line for a ring waits for reads of other pools, too.
		if (goes_on_alone($method))
		{
			my ($holder) = start_script($node, $mode, 'SET iopool.pool = other; ' . batch_of(2000, 0) . ';');
			$session = start_sql($node, "SET iopool.io_mode = $mode; BEGIN; SELECT $submit > 0; SET iopool.pool = other;\n" . batch_of(2, 0) . '; COMMIT;');
			$pid = backend_pid($node, $session);
			ok(ask_until($node, 'SELECT count(*) FROM iopool_waiters', 1), "$label, cancel in line: a ring is waited for");
			ask($node, "SELECT pg_cancel_backend($pid)");
			ok(cancel_has_come($node, $pid), "$label, cancel in line: the other ring drains");
			barrier_passed($node, start_barrier($node), "$label, cancel in line");
			ok($fs->blocked('held') > 0 && !$session->has_ended, "$label, cancel in line: all of them are held");
			$fs->ungate('held');
			like(($session->finish)[1], qr/ERROR:  57014/, "$label, cancel in line: is raised when they are in");
			$holder->finish;
		}

		# Whoever ends a call early waits for what is in flight, too.
		next unless goes_on_alone($method);
		foreach my $end (sort keys %ends)
		{
			# the first reads of a file that knows no RWF_DONTCACHE fail at once
			next if $mode eq 'uncached' && $end =~ /LIMIT|cursor/;
			my ($script, $printed, $said) = @{ $ends{$end} };
			($session, $pid) = start_script($node, $mode, $script);
			ok(wait_inside($node, $pid), "$label, $end: reads are waited for");
			barrier_passed($node, start_barrier($node), "$label, $end");
			ok($fs->blocked('held') > 0 && !$session->has_ended, "$label, $end: all of them are held");
			$fs->ungate('held');
			my ($out, $err) = $session->finish;
			is($out, $printed, "$label, $end: what it prints");
			like($err, $said, "$label, $end: what it says");
		}
	}

	rings_home($node, $method);
	reader_is_right($node, $plain, $method);
	$node->stop;
}

done_testing();
