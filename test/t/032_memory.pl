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

# Page faults of a process so far
sub faults
{
	my ($pid) = @_;
	my ($stat) = slurp_file("/proc/$pid/stat") =~ /.*\) (.*)/s;
	return (split ' ', $stat)[7];
}

# What a call has read into serves the next one, up to a limit, whatever ended
# it: a session gets no memory for it from the kernel again.
sub keeps_little
{
	my ($node, $label, $mode) = @_;
	my $kept = "SELECT count(*), coalesce(sum(total_bytes) <= 4 * 1024 * 1024, true) "
	  . "FROM pg_backend_memory_contexts WHERE name = 'iopool buffers'";
	my $offsets = "(SELECT array_agg(n * 7 * 4096) FROM generate_series(0, %d) AS n)";
	my %shapes = (
		'a batch' => sprintf("SELECT sum(length(data)) FROM iopool_read_batch('$file', $offsets, ARRAY[%d])", 63, 4096),
		'a batch of longer ranges' => sprintf("SELECT sum(length(data)) FROM iopool_read_batch('$file', $offsets, ARRAY[%d])", 9, 65536),
		'rows' => "SELECT sum(length(data)) FROM generate_series(0, 63) AS n, iopool_read('$file', n * 28672, 4096) AS data",
		'longer rows' => "SELECT sum(length(iopool_read('$file', n * 28672, 65536))) FROM generate_series(0, 9) AS n",
		'a limit' => sprintf("SELECT length(data) FROM iopool_read_batch('$file', $offsets, ARRAY[%d]) LIMIT 1", 63, 4096),
		'an array' => sprintf("SELECT cardinality(iopool_read_array('$file', $offsets, ARRAY[%d]))", 9, 4096),
	);
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	chomp $pid;
	$session->query_safe("SET iopool.io_mode = $mode");
	foreach my $shape (sort keys %shapes)
	{
		my $prepared = "EXECUTE again";
		my $before;

		$session->query_safe("PREPARE again AS $shapes{$shape}");
		$session->query_safe($prepared) for 1 .. 10;
		is($session->query_safe($kept), '1|t', "$label, $shape: what is kept");
		$before = faults($pid);
		$session->query_safe($prepared) for 1 .. 50;
		cmp_ok((faults($pid) - $before) / 50, '<', 8, "$label, $shape: page faults of another call");
		$session->query_safe("DEALLOCATE again");
	}

	# One that is more than is kept; one that fails; two at a time, and one of
	# another shape. None leaves more behind.
	$session->query_safe("SELECT count(*) FROM iopool_read_batch('$file', ARRAY[0, 1, 2], ARRAY[7000000])");
	$session->query_safe("DO \$\$ BEGIN PERFORM iopool_read_batch(ARRAY['$file', 'none'], ARRAY[0, 0], ARRAY[100000, 8]); "
		  . "EXCEPTION WHEN undefined_file THEN NULL; END \$\$");
	$session->query_safe("SELECT count(*) FROM iopool_read_batch('$file', ARRAY[0, 1, 2], ARRAY[5000]) AS a, "
		  . "iopool_read_batch('$file', ARRAY[0, 1, 2], ARRAY[50000]) AS b");
	$session->query_safe($shapes{'a batch of longer ranges'});
	is($session->query_safe($kept), '1|t', "$label: what is kept after all");
	$session->quit;
	return;
}

foreach my $method (test_methods())
{
	my $node = iopool_node("memory_$method", $method,
		'iopool.rings' => 2, 'work_mem' => '4MB',
		'iopool.pools' => 'deep(rings=1, entries=4096)');

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";
		my $session = $node->background_psql('postgres');
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		chomp $pid;
		$session->query_safe("SET iopool.io_mode = $mode");
		$session->query_safe("SET iopool.max_in_flight_bytes = '8MB'");
		# What a backend allocates once and keeps.
		$session->query_safe(
			"SELECT count(*) FROM iopool_read_batch('$file', ARRAY[0, 100000], ARRAY[8])");

		# 400 MB of result in rows of 1 MB.
		my ($value, $growth) = run_and_watch($session, $pid,
			"SELECT sum(length(data)) FROM iopool_read_batch('$file', "
			  . "(SELECT array_agg((n % 7) * 1048576 ORDER BY n) FROM generate_series(1, 400) AS n), ARRAY[1048576])");
		is($value, 400 * 1048576, "$label: 400 MB are read");
		cmp_ok($growth, '<', 64 * 1024,
			"$label: 400 MB of result take less than 64 MB");

		# Many ranges of a byte; fewer where each costs a visit to the disk.
		# Their offsets are an array, here in a few copies, of 8 bytes each.
		my $nranges = $mode eq 'direct' ? 100_000 : 1_000_000;
		($value, $growth) = run_and_watch($session, $pid,
			"SELECT sum(length(data)) FROM iopool_read_batch('$file', "
			  . "(SELECT array_agg((n * 7919::bigint) % 8388608) FROM generate_series(1, $nranges) AS n), ARRAY[1])");
		is($value, $nranges, "$label: $nranges ranges");
		cmp_ok($growth, '<', 64 * 1024,
			"$label: $nranges ranges take less than 64 MB");

		# The same calls again and again in one transaction leave nothing.
		my $loop = "DO \$\$ BEGIN FOR i IN 1 .. 300 LOOP "
		  . "PERFORM count(*) FROM iopool_read_batch('$file', ARRAY[0, 1000000, 2000000], ARRAY[100000]); "
		  . "PERFORM iopool_read('$file', i, 100000); "
		  . "PERFORM iopool_read_array('$file', ARRAY[0, i], ARRAY[100000]); "
		  . "BEGIN PERFORM iopool_read_batch(ARRAY['$file', 'none'], ARRAY[0, 0], ARRAY[100000, 8]); "
		  . "EXCEPTION WHEN undefined_file THEN NULL; END; END LOOP; END \$\$";
		$session->query_safe($loop);
		my $before = anon_kb($pid);
		$session->query_safe($loop);
		cmp_ok(anon_kb($pid) - $before, '<', 4 * 1024,
			"$label: 300 calls more take no more memory");

		# Memory that long reads have used serves small ones, which touch little
		# of it each, however many there are at a time.
		$session->query_safe("SET iopool.pool = deep; SET iopool.max_in_flight_bytes = '16MB'");
		my $small = "SELECT count(*) FROM iopool_read_batch('$file', "
		  . "(SELECT array_agg(n * 2048) FROM generate_series(0, 4095) AS n), ARRAY[512])";
		$session->query_safe($small);
		is($session->query_safe("SELECT length(iopool_read('$file', 1, 8000000))"), 8_000_000, "$label: a long read");
		$before = anon_kb($pid);
		$session->query_safe($small);
		cmp_ok(anon_kb($pid) - $before, '<', 64 * 1024, "$label: small reads after a long one take less than 64 MB");
		$session->quit;
		keeps_little($node, $label, $mode);
		rings_home($node, $label);
	}
	$node->stop;
}

done_testing();
