# A hot standby: reads during recovery, recovery conflicts with reads in flight,
# a crash, and promotion under a batch.
#
# One primary and one base backup of it; a standby for each method, whose pools
# differ from the primary's.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $plain = $fs->path('plain');
write_words($fs->backing('held'), 4_000_000);
write_words($fs->backing('plain'), 400_000);

my $primary = iopool_node('primary', 'sync',
	init => [ allows_streaming => 1 ],
	'iopool.rings' => 5, 'autovacuum' => 'off');
$primary->safe_psql('postgres',
	'CREATE TABLE victim AS SELECT generate_series(1, 100) AS n');
$primary->backup('base');

# 20,000 ranges, of which all but the first 1,000 are held; so many, because
# libaio makes its context only for a lease that is worth it.
sub batch_of
{
	my ($mode) = @_;
	return qq{(SELECT count(*) FILTER (WHERE data = int8send(file_offset))
		FROM iopool_read_batch(
		(SELECT array_agg(CASE WHEN n < 1000 THEN '$plain' ELSE '$held' END ORDER BY n)
		 FROM generate_series(0, 19999) AS n),
		(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 19999) AS n),
		array_fill(8::bigint, ARRAY[20000]), in_order => false)
		WHERE set_config('iopool.io_mode', '$mode', false) <> '')};
}

my $small_batch = "SELECT count(*) FILTER (WHERE data = int8send(file_offset))"
  . " FROM iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8])";

# A session in the middle of a batch, with its pid.  The batch is followed by a
# sleep within the statement, so that a conflict finds the statement running
# even if the backend was inside a read call of the kernel when it came.
sub start_held
{
	my ($node, $mode, %params) = @_;
	my $before = $params{before} // '';
	my $session = start_sql($node, qq{
		SET iopool.io_mode = $mode;
		$before
		DO \$\$ BEGIN PERFORM @{[batch_of($mode)]}; PERFORM pg_sleep(3600); END \$\$;
		ROLLBACK;
		SELECT 'home', count(*) FROM iopool_rings WHERE state = 'free';
		$small_batch;}, %params);
	my $pid = backend_pid($node, $session);
	$fs->wait_blocked('held', 1);
	return ($session, $pid);
}

# Asserts that a session is in its batch, or waits for what is left of it.
sub still_held
{
	my ($node, $pid, $state, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM iopool_rings WHERE state $state AND pid = $pid AND in_flight > 0"),
		$label);
	cmp_ok($fs->blocked('held'), '>', 0, "$label: the reads are held");
	return;
}

sub gone
{
	my ($node, $pid, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
		$label);
	return;
}

sub received
{
	my ($standby) = @_;
	my $lsn = $primary->lsn('flush');
	return $standby->poll_query_until('postgres',
		"SELECT '$lsn'::pg_lsn <= pg_last_wal_receive_lsn()");
}

foreach my $method (test_methods())
{
	my $standby = PostgreSQL::Test::Cluster->new("standby_$method");
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', qq{
		iopool.method = $method
		iopool.rings = 2
		iopool.ring_entries = 16
		iopool.pools = 'one(rings=1, entries=4)'
		max_standby_streaming_delay = 0
		restart_after_crash = on
		wal_retrieve_retry_interval = 100ms});
	$standby->start;
	# It meets the conflicts of the standbys before it again.
	$primary->wait_for_catchup($standby);

	# Settings are the server's own; the file reads need no write.
	is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't',
		"$method: a server in recovery");
	is( $standby->safe_psql('postgres',
			q{SELECT string_agg(name || ':' || method || ':' || rings || ':' || entries, ' ' ORDER BY name) FROM iopool_pools}),
		"default:$method:2:16 one:$method:1:4",
		"$method: the standby's pools are its own");
	is( $primary->safe_psql('postgres',
			q{SELECT string_agg(name || ':' || method || ':' || rings, ' ') FROM iopool_pools}),
		'default:sync:5', "$method: and the primary's are its own");
	reader_is_right($standby, $plain, "$method, in recovery");
	foreach my $mode (io_modes())
	{
		is($standby->safe_psql('postgres', 'SELECT ' . batch_of($mode)),
			20000, "$method, $mode: right bytes in recovery");
	}
	$standby->safe_psql('postgres', 'SELECT iopool_stat_reset()');
	is($standby->safe_psql('postgres', 'SELECT sum(reads) FROM iopool_pools'),
		0, "$method: counters can be reset in recovery");

	# A conflict with VACUUM cancels the statement, once its reads are in.
	foreach my $mode (qw(buffered direct))
	{
		my $label = "$method, $mode, conflict with VACUUM";
		$fs->gate('held');
		my ($session, $pid) = start_held($standby, $mode,
			before => "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM victim;");
		$primary->safe_psql('postgres', 'UPDATE victim SET n = n + 1');
		$primary->safe_psql('postgres', 'VACUUM victim');
		received($standby);
		still_held($standby, $pid,
			goes_on_alone($method) ? "= 'draining'" : "IN ('leased', 'draining')",
			$label);
		is($standby->safe_psql('postgres', $small_batch), 3,
			"$label: another session reads meanwhile");
		$fs->ungate('held');
		my ($out, $err) = $session->finish;
		like($err, qr/(ERROR:  40001: canceling statement|FATAL:  40001: terminating connection) due to conflict with recovery/,
			"$label: the error comes");
		# The startup process signals again and again, and what arrives when the
		# session waits for its next command ends it.  Then another one looks.
		$out .= "\n" . $standby->safe_psql('postgres',
			"SELECT 'home', count(*) FROM iopool_rings WHERE state = 'free';\n$small_batch")
		  if $err =~ /FATAL/;
		like($out, qr/^home\|3$/m, "$label: the ring is back with the end of the transaction");
		like($out, qr/^3$/m, "$label: the session reads on");
		rings_home($standby, $label);
		$primary->wait_for_catchup($standby);
	}

	# DROP DATABASE terminates its sessions: one with reads in flight, one in
	# line for a ring.
	{
		my $label = "$method, conflict with DROP DATABASE";
		$primary->safe_psql('postgres', 'CREATE DATABASE doomed');
		$primary->safe_psql('doomed', 'CREATE EXTENSION iopool');
		$primary->wait_for_catchup($standby);
		$fs->gate('held');
		my ($session, $pid) = start_held($standby, 'buffered',
			before => "SET iopool.pool = one;", dbname => 'doomed');
		my $waiter = start_sql($standby,
			"SET iopool.pool = one;\nSET iopool.checkout_timeout = -1;\n$small_batch;",
			dbname => 'doomed');
		my $waiter_pid = backend_pid($standby, $waiter);
		ok( $standby->poll_query_until('postgres',
				q{SELECT waiting = 1 FROM iopool_pools WHERE name = 'one'}),
			"$label: one reads, one waits");
		$primary->safe_psql('postgres', 'DROP DATABASE doomed');
		gone($standby, $waiter_pid, "$label: who waits leaves at once");
		like(($waiter->finish)[1], qr/FATAL:  57P04: terminating connection due to conflict with recovery/,
			"$label: and is told why");
		is($standby->safe_psql('postgres', 'SELECT sum(waiting) FROM iopool_pools'),
			0, "$label: nobody is in line");
		still_held($standby, $pid,
			goes_on_alone($method) ? "= 'draining'" : "IN ('leased', 'draining')",
			$label);
		$fs->ungate('held');
		like(($session->finish)[1], qr/FATAL:  57P04: terminating connection due to conflict with recovery/,
			"$label: who reads is told when the reads are in");
		gone($standby, $pid, "$label: and leaves");
		$primary->wait_for_catchup($standby);
		is( $standby->safe_psql('postgres',
				q{SELECT count(*) FROM pg_database WHERE datname = 'doomed'}),
			0, "$label: replay went on");
		rings_home($standby, $label);
		reader_is_right($standby, $held, $label);
	}

	# kill -9 of a reader: the standby recovers from its last restart point,
	# and follows the primary again.
	{
		my $label = "$method, crash of the standby";
		$fs->gate('held');
		my ($session, $pid) = start_held($standby, 'direct');
		my $position = -s $standby->logfile;
		kill 'KILL', $pid;
		$fs->ungate('held');
		$session->finish;
		ok( poll_until(sub {
				log_since($standby, $position) =~ /all server processes terminated; reinitializing/ }),
			"$label: the server reinitializes");
		ok( poll_until(sub { system('pg_isready', '-q', '-h', $standby->host,
					'-p', $standby->port) == 0 }),
			"$label: the server is back");
		$primary->safe_psql('postgres', 'UPDATE victim SET n = n + 1');
		$primary->wait_for_catchup($standby);
		is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't',
			"$label: it follows the primary");
		rings_home($standby, $label);
		reader_is_right($standby, $held, $label);
	}

	# Promotion does not disturb a batch, nor a batch a promotion: from PostgreSQL
	# 19 on, that waits for a read that the session makes itself.
	{
		my $label = "$method, promotion";
		my $query = batch_of('buffered');
		$fs->gate('held');
		my $session = start_sql($standby, qq{
			BEGIN;
			SELECT 'batch', $query;
			COMMIT;
			CREATE TABLE written AS SELECT $query AS right;
			SELECT 'written', * FROM written;});
		my $pid = backend_pid($standby, $session);
		$fs->wait_blocked('held', 1);
		ask($standby, 'SELECT pg_promote(wait => false)');
		if (!async_in($method, 'buffered'))
		{
			ok(ask_until($standby, q{SELECT NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_activity
					WHERE backend_type = 'startup' AND wait_event = 'ProcSignalBarrier')}),
				"$label: the server is promoted, or waits for a read");
			$fs->let_pass('held', 1, 8);
		}
		ok(ask_until($standby, 'SELECT NOT pg_is_in_recovery()'),
			"$label: the server is promoted while reads are held");
		still_held($standby, $pid, "= 'leased'", $label);
		$fs->ungate('held');
		my ($out, $err) = $session->finish;
		is($err, '', "$label: no error");
		like($out, qr/^batch\|20000$/m, "$label: the batch has the right bytes");
		like($out, qr/^written\|20000$/m, "$label: and so has the next, which writes");
		rings_home($standby, $label);
		reader_is_right($standby, $held, $label);
	}

	unlike(slurp_file($standby->logfile), qr/PANIC|TRAP|does not hold it|is broken/,
		"$method: nothing odd in the log");
	$standby->stop;
}

$primary->stop;
done_testing();
