# A batch that ends in the middle: cancelled, terminated, its client gone, its
# consumer failing.  Each with reads that are held in the kernel by gatefs, so
# "in the middle" is a fact, and each followed by the proof that no ring is lost
# and that the next reader gets the right bytes.

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

# 20,000 ranges: far more than the ring has entries, so most are not submitted
# when the batch ends.  The first 1,000 are read at once, the rest is held; so
# many, because libaio makes its context only for a lease that is worth it.
my $batch = qq{iopool_read_batch(
	(SELECT array_agg(CASE WHEN n < 1000 THEN '$plain' ELSE '$held' END ORDER BY n)
	 FROM generate_series(0, 19999) AS n),
	(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 19999) AS n),
	array_fill(8::bigint, ARRAY[20000]), in_order => false)};

# An error that came while reads are in flight would free the memory they land
# in.  So each failing session fills memory right after its error, waits for
# the test to open the gate, and then looks whether a byte changed.
my $canary = canary();

my %failures = (
	cancel => {
		sql => "SELECT count(*) FROM $batch;",
		act => sub { my ($node, $pid) = @_;
			ask($node, "SELECT pg_cancel_backend($pid)") },
		error => qr/ERROR:  57014/ },
	'statement_timeout' => {
		sql => "SET statement_timeout = 'SECONDS s';\nSELECT count(*) FROM $batch;\nRESET statement_timeout;",
		# until the time is up, by the clock that the timeout goes by
		act => sub { my ($node, $pid, $seconds) = @_;
			ask_until($node, "SELECT clock_timestamp() > query_start + interval '$seconds.1 s' FROM pg_stat_activity WHERE pid = $pid") },
		error => qr/ERROR:  57014/ },
	'cancel in a subtransaction' => {
		sql => "BEGIN;\nSAVEPOINT s;\nSELECT count(*) FROM $batch;\nROLLBACK TO s;\n"
		  . "SELECT iopool_read('$plain', 8, 8);\nCOMMIT;",
		act => sub { my ($node, $pid) = @_;
			ask($node, "SELECT pg_cancel_backend($pid)") },
		error => qr/ERROR:  57014/ },
	'cancel caught in PL/pgSQL' => {
		sql => "DO \$\$ BEGIN\n PERFORM count(*) FROM $batch;\n"
		  . "EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'caught %', SQLSTATE; END \$\$;",
		act => sub { my ($node, $pid) = @_;
			ask($node, "SELECT pg_cancel_backend($pid)") },
		error => qr/NOTICE:.*caught 57014/ },
	'error of the consumer' => {
		sql => "SELECT 1 / ((s.b).ordinal - 1) FROM (SELECT $batch AS b OFFSET 0) AS s;",
		act => sub { },
		error => qr/ERROR:  22012/ },
	'error of a consumer in PL/pgSQL' => {
		sql => "DO \$\$ DECLARE r record; BEGIN\n"
		  . "FOR r IN SELECT (s.b).* FROM (SELECT $batch AS b OFFSET 0) AS s LOOP PERFORM 1 / (r.ordinal - 1); END LOOP;\n"
		  . "END \$\$;",
		act => sub { },
		error => qr/ERROR:  22012/ },
	'error of a consumer, caught' => {
		sql => "DO \$\$ DECLARE r record; BEGIN\n"
		  . "FOR r IN SELECT (s.b).* FROM (SELECT $batch AS b OFFSET 0) AS s LOOP PERFORM 1 / (r.ordinal - 1); END LOOP;\n"
		  . "EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught %', SQLSTATE; END \$\$;",
		act => sub { },
		error => qr/NOTICE:.*caught 22012/ },
	'cancel of an array' => {
		sql => "SELECT cardinality(iopool_read_array('$held', "
		  . "(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 19999) AS n), ARRAY[8]));",
		act => sub { my ($node, $pid) = @_;
			ask($node, "SELECT pg_cancel_backend($pid)") },
		error => qr/ERROR:  57014/ },
	'cancel of one long range' => {
		sql => "SET iopool.max_in_flight_bytes = '64kB';\nSELECT length(iopool_read('$held', 0, 4000000));",
		act => sub { my ($node, $pid) = @_;
			ask($node, "SELECT pg_cancel_backend($pid)") },
		error => qr/ERROR:  57014/ });

foreach my $method (test_methods())
{
	my $node = iopool_node("interrupt_$method", $method,
		'iopool.rings' => 3, 'iopool.ring_entries' => 16,
		'iopool.pools' => 'other(rings=1)',
		'client_connection_check_interval' => '50ms');

	foreach my $mode (io_modes())
	{
		# Failures that the session survives.
		foreach my $what (sort keys %failures)
		{
			my $failure = $failures{$what};
			my $label = "$method, $mode, $what";

			lock_canary($node);

			my ($session, $pid, $seconds);
			for ($seconds = 2;; $seconds *= 2)
			{
				my $sql = $failure->{sql} =~ s/SECONDS/$seconds/r;
				$fs->gate('held');
				$session = start_sql($node,
					"SET iopool.io_mode = $mode;\n$sql\n$canary\n"
					  . "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM "
					  . "iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8]);");
				$pid = backend_pid($node, $session);
				last unless $what eq 'statement_timeout' && $seconds < 64;
				# On a busy machine the time may be up before a read is held.
				my $waits = "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid";
				poll_until(sub {
					return 1 if ($session->output)[1] =~ /57014/;
					return $fs->blocked('held') > 0
					  && (async_in($method, $mode) || ask($node, $waits) eq 't'); });
				last if ($session->output)[1] !~ /57014/;
				$session->kill9;
				ask($node, "SELECT pg_terminate_backend($pid)");
				$fs->ungate('held');
				rings_home($node, "$label, in $seconds s");
			}
			$fs->wait_blocked('held', 1);
			wait_inside($node, $pid);
			$failure->{act}->($node, $pid, $seconds);

			# Nothing may let go of the reads before they are in.
			ok(holds_back($node, $session, $pid, qr/ERROR|caught|canary/), "$label: no error while reads are in flight");
			cmp_ok($fs->blocked('held'), '>', 0,
				"$label: the reads are still held");
			cmp_ok($fs->blocked('held'), '<=', 2 * 16 + 1,
				"$label: no more than the ring has entries, and as many hints");

			$fs->ungate('held');
			ask_until($node, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");
			unlock_canary($node);

			my ($out, $err) = $session->finish;
			like($err, $failure->{error}, "$label: the error comes");
			like($err, qr/canary: unharmed/,
				"$label: no read landed in freed memory");
			like($out, qr/^3$/m, "$label: the session reads right bytes");
			rings_home($node, $label);
		}

		# Failures that end the session.
		foreach my $what ('terminated', 'client killed')
		{
			my $label = "$method, $mode, $what";
			$fs->gate('held');
			my $session = start_sql($node,
				"SET iopool.io_mode = $mode;\nSELECT count(*) FROM $batch;");
			my $pid = backend_pid($node, $session);
			$fs->wait_blocked('held', 1);
			wait_inside($node, $pid);

			if ($what eq 'terminated')
			{
				ask($node, "SELECT pg_terminate_backend($pid)");
			}
			else
			{
				$session->kill9;
			}

			# A backend that waits for its reads shows that it drains; one that
			# is inside a read call of the kernel cannot know yet.
			my $states = goes_on_alone($method)
			  ? "= 'draining'" : "IN ('leased', 'draining')";
			ok( ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE state $states AND pid = $pid AND in_flight > 0"),
				"$label: the ring is kept for the reads in flight");
			my $counts = ring_counts($node);
			is($counts->{free}, 3, "$label: the other rings are free");

			# Others go on meanwhile.
			is( ask($node, "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM "
					  . "iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8])"),
				3,
				"$label: another session reads meanwhile");

			$fs->ungate('held');
			$session->finish if $what eq 'terminated';
			ok( ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
				"$label: the backend is gone");
			rings_home($node, $label);
			reader_is_right($node, $held, $label);
		}
	}

	# Twenty terminations in a row lose nothing either.
	foreach my $round (1 .. 20)
	{
		$fs->gate('held');
		my $session = start_sql($node, "SELECT count(*) FROM $batch;");
		my $pid = backend_pid($node, $session);
		$fs->wait_blocked('held', 1);
		ask($node, "SELECT pg_terminate_backend($pid)");
		$fs->ungate('held');
		$session->finish;
	}
	rings_home($node, "$method, after 20 terminations");
	reader_is_right($node, $held, "$method, after 20 terminations");

	# Who may see whose ring: pg_stat_activity's rule.
	ask($node, q{
		CREATE ROLE looker LOGIN;
		GRANT SELECT ON iopool_rings TO looker;
		GRANT EXECUTE ON FUNCTION iopool_stat_rings() TO looker;
		CREATE ROLE monitor LOGIN IN ROLE pg_monitor});
	$fs->gate('held');
	my $session = start_sql($node, "SELECT count(*) FROM $batch;");
	my $pid = backend_pid($node, $session);
	$fs->wait_blocked('held', 1);
	my $owner = "SELECT state, pid IS NULL, leased_since IS NULL FROM iopool_rings WHERE state <> 'free'";
	is($node->safe_psql('postgres', $owner, extra_params => [ '-U', 'monitor' ]),
		'leased|f|f', "$method: pg_monitor sees whose ring it is");
	is($node->safe_psql('postgres', $owner, extra_params => [ '-U', 'looker' ]),
		'leased|t|t', "$method: another role sees the ring, not its owner");
	is(ask($node, "SELECT pid FROM iopool_rings WHERE state = 'leased'"),
		$pid, "$method: the pid is the backend's");
	is(ask($node, "SELECT in_use FROM iopool_pools WHERE name = 'default'"),
		1, "$method: the pool counts it");
	$fs->ungate('held');
	my ($out) = $session->finish;
	is($out, 20000, "$method: the batch is complete");
	rings_home($node, "$method, at the end");

	$node->stop;
}

done_testing();
