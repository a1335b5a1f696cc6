# A search through a graph on disk, by a consumer of the C interface: reads are
# added while others are in flight.  Its results have to be those of a look at
# all of the 100,000 nodes, and it has to end well wherever it is interrupted.
#
# IOPOOL_TEST_NODES makes the graph smaller.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolConsumer;
use IopoolTest;

my $nnodes = $ENV{IOPOOL_TEST_NODES} // 100_000;
my $nqueries = 20;
my $fs = IopoolTest::GateFS->new;
chomp(my $base = `cd @{[PostgreSQL::Test::Utils::tempdir()]} && pwd -P`);
my $graph = "$base/graph";
my $truth;

foreach my $method (test_methods())
{
	my $node = consumer_node("search_$method", $method, 'iopool.rings' => 2, 'iopool.ring_entries' => 32,
		'client_connection_check_interval' => '50ms');

	# Points of the cube, and some outside of it.
	ask($node, qq{
		CREATE TABLE queries AS SELECT q AS id, (SELECT array_agg((hashint8extended(q, d) & 65535) / 65535.0 * $nnodes ^ (1 / 3.0) * 1.1 ORDER BY d)::float4[]
			FROM generate_series(1, 3) AS d) AS query FROM generate_series(1, $nqueries) AS q});
	if (!defined $truth)
	{
		is(ask($node, "SELECT consumer_make_graph('$graph', $nnodes, 42)"), $nnodes * 4096, 'the graph');
		is(ask($node, "SELECT consumer_make_graph('@{[ $fs->backing('graph') ]}', 3000, 7)"), 3000 * 4096, 'a small graph');
		$truth = ask($node, "SELECT id, ids, distances FROM queries, consumer_brute_force('$graph', query, 10) ORDER BY id");
		is(ask($node, "SELECT id, ids, distances FROM queries, consumer_search_pread('$graph', query, 10) ORDER BY id"),
			$truth, 'pread finds the nearest nodes');
	}

	foreach my $mode (io_modes())
	{
		foreach my $buffers ('engine', 'caller', 'aligned')
		{
			foreach my $beam (1, 8, 64)
			{
				my $label = "$method, $mode, buffers: $buffers, beam $beam";
				ask($node, "CREATE TEMP TABLE found AS SELECT * FROM queries, consumer_search('$graph', query, 10, $beam, 64, '$mode', '$buffers') AS s");
				is(ask($node, "SELECT id, ids, distances FROM found ORDER BY id"), $truth, "$label: the nearest nodes");
				is( ask($node, "SELECT bool_and(nodes_read BETWEEN 30 AND 5000), bool_and(kernel_reads BETWEEN 1 AND nodes_read),"
						  . ($beam == 1 ? 'bool_and(max_in_flight <= 1)' : "min(max_in_flight) > 1 AND max(max_in_flight) <= $beam") . ' FROM found'),
					't|t|t', "$label: statistics");
				ask($node, 'DROP TABLE found');
			}
		}
	}
	rings_home($node, $method);

	# Reads that fail.
	my $held = $fs->path('graph');
	$fs->sidecar('graph', 'eio', '0 4096');
	like(outcome($node, "SELECT consumer_search('$held', '{1,2,3}', 10, 8)"),
		qr/^58030: could not read file "\Q$held\E" at offset 0, length 4096/, "$method: the first read fails");
	$fs->sidecar('graph', 'eio', '4096 12288000');
	like(outcome($node, "SELECT consumer_search('$held', '{1,2,3}', 10, 8)"),
		qr/^58030: could not read file/, "$method: a read fails while others are in flight");
	$fs->clear('graph', 'eio');
	# and come in pieces
	$fs->sidecar('graph', 'short', 1000);
	is( ask($node, "SELECT s.ids = b.ids FROM consumer_search('$held', '{1,2,3}', 10, 8, 64, 'buffered') AS s, consumer_brute_force('@{[ $fs->backing('graph') ]}', '{1,2,3}', 10) AS b"),
		't', "$method: short reads");
	$fs->clear('graph', 'short');
	rings_home($node, "$method, reads that fail");

	interrupted($node, $method, $_) foreach (io_modes());
	$node->stop;
}

done_testing();

# One search after the other, which the gate stops anywhere.
sub interrupted
{
	my ($node, $method, $mode) = @_;
	my $held = $fs->path('graph');

	foreach my $what ('cancelled', 'cancelled and caught', 'terminated', 'client killed')
	{
		foreach my $buffers ('engine', 'caller', 'aligned')
		{
			my $label = "$method, $mode, buffers: $buffers, $what";
			# What differs from buffered there is below all this.
			next if $mode eq 'uncached' && $buffers ne 'engine';

			my $body = "FOR i IN 1 .. 1000000 LOOP PERFORM consumer_search('$held', ARRAY[i % 15, i % 14, i % 13]::float4[], 10, 8, 64, '$mode', '$buffers'); END LOOP;";
			$body = "BEGIN $body EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'caught'; END;" if $what =~ /caught/;

			my $session = start_sql($node, "DO \$\$ BEGIN $body END \$\$;\n"
				  . "SELECT ids = (consumer_brute_force('$held', '{5,6,7}', 10)).ids FROM consumer_search('$held', '{5,6,7}', 10, 8, 64, '$mode', '$buffers');");
			my $pid = backend_pid($node, $session);
			ask_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND state = 'active' AND query LIKE 'DO%'");
			$fs->gate('graph');
			$fs->wait_blocked('graph', 1);
			wait_inside($node, $pid);
			if ($what =~ /cancelled/)
			{
				ask($node, "SELECT pg_cancel_backend($pid)");
			}
			elsif ($what eq 'terminated')
			{
				ask($node, "SELECT pg_terminate_backend($pid)");
			}
			else
			{
				$session->kill9;
			}
			ok(stays(sub {
					my (undef, $err) = $session->output;
					return $err !~ /ERROR|FATAL|caught/
					  && ask($node, "SELECT count(*) FROM iopool_rings WHERE pid = $pid AND in_flight > 0") eq '1'; }), "$label: nothing is let go of while reads are in flight");
			$fs->ungate('graph');

			if ($what =~ /cancelled/)
			{
				my ($out, $err) = $session->finish;
				like($err, $what =~ /caught/ ? qr/NOTICE.*caught/ : qr/ERROR:  57014/, "$label: it ends");
				is($out, 't', "$label: the session searches on");
			}
			else
			{
				$session->finish if $what eq 'terminated';
				ok( ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
					"$label: the backend is gone");
			}
			rings_home($node, $label);
		}
		is( ask($node, "SELECT count(*) FILTER (WHERE s.ids = b.ids) FROM queries, consumer_search('$held', query, 5, 8) AS s,"
				  . " consumer_brute_force('$held', query, 5) AS b"),
			$nqueries, "$method, $mode, $what: the next one finds the right nodes");
	}
	return;
}
