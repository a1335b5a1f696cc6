# Requests behind PgBouncer in transaction mode: many clients share few server
# connections, and no request is seen by the transaction after its own.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

plan skip_all => 'pgbouncer is not installed' unless defined IopoolTest::PgBouncer->program;

my $fs = IopoolTest::GateFS->new;
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $plain = "$tmp/plain";
my $held = $fs->path('held');
write_words($plain, 400_000);
write_words($fs->backing('held'), 400_000);

# Server connections that the clients share; sessions of the test itself go
# past PgBouncer.
my $pool_size = 2;

foreach my $method (test_methods())
{
	my $node = iopool_node("pooled_$method", $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 16,
		'client_connection_check_interval' => '50ms');
	my $position = -s $node->logfile;
	ask($node, q{
		CREATE FUNCTION submit(path text, n int) RETURNS bigint LANGUAGE sql VOLATILE AS $$
			SELECT iopool_submit(path, (SELECT array_agg(i * 192 ORDER BY i) FROM generate_series(0, n - 1) AS i),
				array_fill(8::bigint, ARRAY[n]))$$;
		CREATE FUNCTION right_rows(request bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
			SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(request)$$});
	my $pgbouncer = IopoolTest::PgBouncer->new($node, $pool_size);
	my $client = sub { return start_sql($node, $_[0], connstr => $pgbouncer->connstr); };
	# Whoever comes next finds no request, and makes its own.
	my $clean = sub {
		my ($label) = @_;
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		my @clients = map { $client->(
			"BEGIN;\nSELECT count(*) FROM iopool_requests;\nSELECT right_rows(submit('$plain', 2000));\nCOMMIT;") } 1 .. 4;
		my @said = map { join "\n", $_->finish } @clients;
		is_deeply(\@said, [ ("0\n2000\n") x 4 ], "$label: nothing is left of it");
		rings_home($node, $label);
		cmp_ok(ask($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"),
			'<=', $pool_size, "$label: few server connections");
	};

	# Clients by turns, each with requests over several statements, some of them
	# left behind.
	{
		my @clients = map {
			my $end = ('COMMIT', 'ROLLBACK', 'SELECT 1 / 0;' . "\nCOMMIT")[ $_ % 3 ];
			$client->(qq{
				BEGIN;
				SELECT 'found: ' || count(*) FROM iopool_requests;
				SELECT submit('$plain', 1000) AS r \\gset
				SELECT submit('$plain', 1000) AS left_behind \\gset
				SELECT 'right: ' || right_rows(:r);
				$end;
			} x 10) } 1 .. 6;
		foreach my $n (1 .. 6)
		{
			my ($out, $err) = $clients[ $n - 1 ]->finish;
			is($out, join("\n", ("found: 0\nright: 1000") x 10), "$method, client $n: its own requests")
			  or diag($err);
			my $warnings = () = $err =~ /WARNING.*was not fetched before its transaction ended/g;
			is($warnings, $n % 3 == 0 ? 10 : 0, "$method, client $n: a commit warns of what it leaves");
		}
		$clean->("$method, clients by turns");
	}

	# A request in a statement of its own is over with it; its number is
	# nobody's in the next one, whichever connection that gets.
	{
		my ($out, $err) = $client->("SELECT submit('$plain', 1000) AS r \\gset\nSELECT iopool_poll(:r);\nSELECT iopool_cancel(:r);")->finish;
		like($err, qr/WARNING.*ERROR:  42704/s, "$method: outside of a transaction");
		is($out, 'f', "$method: its number is nobody's");
		$clean->("$method, outside of a transaction");
	}

	# Clients that go away, or cancel, with reads in flight.
	foreach my $end ('client gone', 'cancelled')
	{
		foreach my $mode (qw(buffered direct))
		{
			my $label = "$method, $mode, $end";
			$fs->gate('held');
			my $session = $client->("BEGIN;\nSET LOCAL iopool.io_mode = $mode;\n"
				  . "SELECT submit('$held', 1000) AS r \\gset\nSELECT right_rows(:r);\nCOMMIT;");
			$fs->wait_blocked('held', 1);
			my $pid = ask($node, q{SELECT pid FROM iopool_rings WHERE pid IS NOT NULL});

			# The other connection serves others meanwhile.
			my ($out, $err) = $client->("BEGIN;\nSELECT count(*) FROM iopool_requests;\nSELECT right_rows(submit('$plain', 2000));\nCOMMIT;")->finish;
			is("$out$err", "0\n2000", "$label: another client reads meanwhile");

			kill $end eq 'cancelled' ? 'INT' : 'KILL', $session->{pid};
			ok( ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE pid = $pid AND in_flight > 0 AND state "
					  . (goes_on_alone($method) ? "= 'draining'" : "IN ('leased', 'draining')")),
				"$label: the ring is kept for what is in flight");
			ok(cancel_has_come($node, $pid), "$label: it has come to the server") if $end eq 'cancelled';
			$fs->ungate('held');
			($out, $err) = $session->finish;
			like($err, qr/ERROR:  57014/, "$label: cancelled") if $end eq 'cancelled';
			ok( ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
				"$label: the server connection is gone") if $end eq 'client gone';
			$clean->($label);
		}
	}

	unlike(log_since($node, $position), qr/PANIC|TRAP|does not hold it|is broken|stream was not ended/,
		"$method: nothing odd in the log");
	$pgbouncer->stop;
	$node->stop;
}

done_testing();
