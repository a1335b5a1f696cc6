# Memory is bounded by window and result, whatever the number of ranges; and
# nothing that a call allocates outlives it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $file = PostgreSQL::Test::Utils::tempdir() . '/words';
write_words($file, 8 * 1024 * 1024);

# Peak of private memory, in kB: anonymous pages only, because shared memory
# that was touched for the first time counts as well.
sub anon_kb
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s*(\d+) kB/m;
	return $kb;
}

foreach my $method (test_methods())
{
	my $node = iopool_node("memory_$method", $method,
		'iopool.rings' => 2, 'work_mem' => '4MB', 'temp_file_limit' => '4GB');

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";
		my $session = $node->background_psql('postgres');
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		chomp $pid;
		$session->query_safe("SET iopool.io_mode = $mode");
		$session->query_safe("SET iopool.max_in_flight_bytes = '8MB'");

		# 800 MB of result in rows of 1 MB, one at a time.
		my $big = "SELECT sum(length((s.b).data)) FROM (SELECT iopool_read_batch('$file', "
		  . "(SELECT array_agg((n % 7) * 1048576 ORDER BY n) FROM generate_series(1, 800) AS n), 1048576) AS b OFFSET 0) AS s";
		# Highest sample while it runs, besides what is left after it.
		my $peak = 0;
		$session->query_safe("SELECT count(*) FROM iopool_read_batch('$file', ARRAY[0, 100000], 8)");
		my $before = anon_kb($pid);
		$session->{stdin} .= "$big;\n\\echo done\n";
		$session->{run}->pump_nb;
		poll_until(sub {
			my $now = anon_kb($pid);
			$peak = $now if $now > $peak;
			$session->{run}->pump_nb;
			$session->{stdout} =~ /done/;
		});
		like($session->{stdout}, qr/^838860800$/m, "$label: 800 MB are read");
		$session->{stdout} = '';
		cmp_ok($peak - $before, '<', 64 * 1024,
			"$label: 800 MB of result take less than 64 MB");

		# A million ranges of a byte: some tens of bytes each, not kilobytes.
		$before = anon_kb($pid);
		is( $session->query_safe("SELECT sum(length(data)) FROM iopool_read_batch('$file', "
				  . "(SELECT array_agg((n * 7919) % 8388608) FROM generate_series(1, 1000000) AS n), 1)"),
			1000000, "$label: a million ranges");

		# The same batch again and again in one transaction leaves nothing.
		my $loop = "DO \$\$ BEGIN FOR i IN 1 .. 300 LOOP "
		  . "PERFORM count(*) FROM iopool_read_batch('$file', ARRAY[0, 1000000, 2000000], 100000); "
		  . "PERFORM iopool_read('$file', i, 100000); "
		  . "PERFORM iopool_read_array('$file', ARRAY[0, i], 100000); "
		  . "BEGIN PERFORM iopool_read_batch(ARRAY['$file', 'none'], ARRAY[0, 0], ARRAY[100000, 8]); EXCEPTION WHEN undefined_file THEN NULL; END; "
		  . "END LOOP; END \$\$";
		$session->query_safe($loop);
		$before = anon_kb($pid);
		$session->query_safe($loop);
		cmp_ok(anon_kb($pid) - $before, '<', 4 * 1024,
			"$label: 300 calls more take no more memory");
		$session->quit;
		rings_home($node, $label);
	}
	$node->stop;
}

done_testing();
