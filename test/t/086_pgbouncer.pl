# PgBouncer in transaction mode: many clients share few server connections, and
# nothing of one transaction is seen by the next, however it ended.

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

# The right ones of 2,000 ranges.  The first 1,000 are of the plain file,
# because libaio makes its context only for a lease that is worth it, and has
# to have it when the gate holds the rest.
sub right_of
{
	my ($path) = @_;
	return qq{(SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch(
		(SELECT array_agg(CASE WHEN n < 1000 THEN '$plain' ELSE '$path' END ORDER BY n) FROM generate_series(0, 1999) AS n),
		(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 1999) AS n), array_fill(8::bigint, ARRAY[2000])))};
}

# What a transaction finds when it begins.
my $settings = q{(SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings
	WHERE name IN ('iopool.pool', 'iopool.io_mode', 'iopool.checkout_timeout', 'iopool.merge_gap', 'iopool.max_in_flight_bytes'))};
my $defaults = '10000 buffered 16777216 0 default';

foreach my $method (test_methods())
{
	my $node = iopool_node("pooled_$method", $method,
		'iopool.rings' => 1, 'iopool.ring_entries' => 16,
		'iopool.pools' => 'bulk(rings=1)',
		'client_connection_check_interval' => '50ms');
	my $pgbouncer = IopoolTest::PgBouncer->new($node, $pool_size);
	my $client = sub { return start_sql($node, $_[0], connstr => $pgbouncer->connstr); };
	# Whoever comes next finds what the first one found.
	my $clean = sub {
		my ($label) = @_;
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		my @clients = map { $client->(
			"BEGIN;\nSELECT $settings;\nSELECT @{[right_of($plain)]};\nCOMMIT;") } 1 .. 4;
		my @said = map { join "\n", $_->finish } @clients;
		is_deeply(\@said, [ ("$defaults\n2000\n") x 4 ], "$label: nothing is left of it");
		rings_home($node, $label);
		cmp_ok(ask($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"),
			'<=', $pool_size, "$label: few server connections");
	};

	# Clients with settings of their own, all of them local to transactions.
	{
		my @clients;
		foreach my $n (1 .. 6)
		{
			my $mode = (io_modes())[ $n % 3 ];
			my $pool = $n % 2 ? 'bulk' : 'default';
			push @clients, $client->(qq{
				BEGIN;
				SELECT $settings;
				SET LOCAL iopool.pool = '$pool';
				SET LOCAL iopool.io_mode = $mode;
				SET LOCAL iopool.checkout_timeout = '2min';
				SET LOCAL iopool.merge_gap = $n;
				SELECT @{[right_of($plain)]}, current_setting('iopool.merge_gap');
				COMMIT;
			} x 10);
		}
		foreach my $n (1 .. 6)
		{
			my ($out, $err) = $clients[ $n - 1 ]->finish;
			is($err, '', "$method, client $n: no error");
			is($out, join("\n", ("$defaults\n2000|${n}B") x 10), "$method, client $n: its own settings and bytes");
		}
		$clean->("$method, clients with settings");
	}

	# Transactions that fail.
	foreach my $case (
		[ 'missing file', right_of('/nonexistent'), qr/ERROR:  58P01/ ],
		[ 'unknown pool', "set_config('iopool.pool', 'nowhere', true) <> '' AND " . right_of($plain) . ' = 0', qr/ERROR:  42704/ ],
		[ 'consumer', "(SELECT sum(1 / (ordinal - 100)) FROM iopool_read_batch('$plain', array_fill(0, ARRAY[500]), ARRAY[8]))", qr/ERROR:  22012/ ])
	{
		my ($what, $sql, $error) = @$case;
		my $label = "$method, error: $what";
		my $session = $client->("BEGIN;\nSET LOCAL iopool.io_mode = direct;\nSET LOCAL iopool.merge_gap = 7;\n"
			  . "SELECT $sql;\nSELECT 1;\nROLLBACK;\nSELECT $settings;");
		my ($out, $err) = $session->finish;
		like($err, $error, "$label: the error comes");
		is($out, $defaults, "$label: the client goes on");
		# before the server connection, which stays, reads again
		rings_home($node, $label);
		$clean->($label);
	}

	# Clients that go away, or cancel, in the middle of a batch.
	foreach my $end ('client gone', 'cancelled')
	{
		foreach my $mode (qw(buffered direct))
		{
			my $label = "$method, $mode, $end";
			$fs->gate('held');
			my $session = $client->("BEGIN;\nSET LOCAL iopool.io_mode = $mode;\nSET LOCAL iopool.merge_gap = 7;\n"
				  . "SELECT @{[right_of($held)]};\nCOMMIT;");
			$fs->wait_blocked('held', 1);
			my $pid = $node->safe_psql('postgres', q{SELECT pid FROM iopool_rings WHERE state = 'leased'});

			# The other connection serves others meanwhile.
			my ($out, $err) = $client->("BEGIN;\nSET LOCAL iopool.pool = bulk;\n"
				  . "SELECT @{[right_of($plain)]};\nCOMMIT;")->finish;
			is($out, 2000, "$label: another client reads meanwhile");

			kill $end eq 'cancelled' ? 'INT' : 'KILL', $session->{pid};
			ok( $node->poll_query_until('postgres',
					"SELECT count(*) = 1 FROM iopool_rings WHERE pid = $pid AND in_flight > 0 AND state "
					  . (goes_on_alone($method) ? "= 'draining'" : "IN ('leased', 'draining')")),
				"$label: the ring is kept for what is in flight");
			ok(cancel_has_come($node, $pid), "$label: it has come to the server") if $end eq 'cancelled';
			$fs->ungate('held');
			($out, $err) = $session->finish;
			like($err, qr/ERROR:  57014/, "$label: cancelled") if $end eq 'cancelled';
			ok( $node->poll_query_until('postgres',
					"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
				"$label: the server connection is gone") if $end eq 'client gone';
			$clean->($label);
		}
	}

	reader_is_right($node, $plain, $method);
	unlike(slurp_file($node->logfile), qr/PANIC|TRAP|does not hold it|is broken/,
		"$method: nothing odd in the log");
	$pgbouncer->stop;
	$node->stop;
}

done_testing();
