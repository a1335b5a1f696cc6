# Memory of requests: bounded by what iopool.max_request_memory allows, and gone
# when they are fetched, cancelled or lost with their transaction.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $file = PostgreSQL::Test::Utils::tempdir() . '/words';
write_words($file, 8 * 1024 * 1024);

# Each of them leaves nothing behind, so the same again takes no more memory.
my %cycles = (
	'fetched' => 'PERFORM iopool_fetch(submit(20, 100000));',
	'fetched by and by' => 'PERFORM next_bytes(submit(20, 100000), 3);',
	'cancelled' => 'PERFORM iopool_cancel(submit(20, 100000));',
	'done and cancelled' => 'r := submit(20, 100000); PERFORM iopool_wait(r); PERFORM iopool_cancel(r);',
	'partly fetched and cancelled' => 'r := submit(20, 100000); PERFORM iopool_fetch_next(r, 3); PERFORM iopool_cancel(r);',
	'lost in a subtransaction' => 'BEGIN r := submit(20, 100000); PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;',
	'failed' => "BEGIN PERFORM iopool_fetch(iopool_submit(ARRAY['FILE', 'none'], ARRAY[0, 0], ARRAY[1000000, 8])); "
	  . 'EXCEPTION WHEN undefined_file THEN NULL; END;',
	'reported' => "PERFORM iopool_fetch(iopool_submit(ARRAY['FILE', 'none'], ARRAY[0, 0], ARRAY[1000000, 8]), 'report');",
	'refused' => 'BEGIN PERFORM submit(400, 1000000); EXCEPTION WHEN configuration_limit_exceeded THEN NULL; END;',
	'fetched, not ended' => 'r := submit(2, 100000); PERFORM iopool_wait(r); PERFORM iopool_fetch_next(r, 2); PERFORM iopool_cancel(r);');

# What is counted for a request bounds what the backend has allocated for it,
# from its submit on until it is gone.
my $counted = q{
	CREATE FUNCTION held() RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		detail text;
	BEGIN
		BEGIN
			PERFORM set_config('iopool.max_request_memory', '0', true);
			PERFORM iopool_submit('none', '{}'::bigint[], '{}'::bigint[]);
		EXCEPTION WHEN configuration_limit_exceeded THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		END;
		RETURN substring(detail FROM 'unfetched requests hold (\d+)')::bigint;
	END $$;
	CREATE FUNCTION check_memory(what text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		held bigint := held();
		taken bigint := (SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name ~ '^iopool (request|feed)');
	BEGIN
		-- before it is read, what it will bring is not taken yet
		RETURN CASE WHEN taken <= held AND (what = 'submitted' OR taken >= held / 4) THEN 'right' ELSE format('%s: %s counted, %s taken', what, held, taken) END;
	END $$;
};
my $offsets = 'SELECT array_agg((i * 7919::bigint) % 8000000 ORDER BY i) FROM generate_series(1, N) AS i';
my $lengths = 'array_fill(LENGTH::bigint, ARRAY[N])';
my %shapes = (
	'1,000 of nothing' => [ 1000, q{'{}'::bigint[], '{}'::bigint[]} ],
	'1,000 of a byte' => [ 1000, 'ARRAY[1], ARRAY[1]' ],
	'50,000 bytes' => [ 1, "($offsets), $lengths", 50_000, 1 ],
	'50,000 touching words' => [ 1, "(SELECT array_agg(i * 8) FROM generate_series(1, N) AS i), $lengths", 50_000, 8 ],
	'50,000 past the end' => [ 1, "array_fill(9000000, ARRAY[N]), $lengths", 50_000, 8 ],
	'10,000 of 4 kB' => [ 20, "($offsets), $lengths", 500, 4096 ],
	'1,000 of 9 kB' => [ 20, "($offsets), $lengths", 50, 9000 ],
	'100 of 1 MB' => [ 10, "($offsets), $lengths", 10, 1_000_000 ],
	'4,000 files' => [ 1, "(SELECT array_agg(repeat('x/', 100) || i) FROM generate_series(1, N) AS i), array_fill(0, ARRAY[N]), $lengths", 4000, 8 ]);

# Memory of a session as its server counts it, in kB.
sub context_kb
{
	my ($session) = @_;
	return $session->query_safe('SELECT sum(total_bytes)::bigint / 1024 FROM pg_backend_memory_contexts');
}

sub check_counted
{
	my ($node, $method) = @_;

	foreach my $shape (sort keys %shapes)
	{
		my ($nrequests, $args, $n, $length) = @{ $shapes{$shape} };
		$args =~ s/\bN\b/$n/g;
		$args =~ s/\bLENGTH\b/$length/g;
		$args = "'$file', $args" unless $shape =~ /files/;
		my $out = ask($node, qq{
			BEGIN;
			SELECT sum(iopool_submit($args)) > 0 FROM generate_series(1, $nrequests);
			SELECT check_memory('submitted');
			SELECT bool_and(iopool_wait(request)) FROM iopool_requests;
			SELECT check_memory('done');
			SELECT sum(n) >= 0 FROM (SELECT request, greatest(ranges / 2, 1) AS half FROM iopool_requests) AS r,
				LATERAL (SELECT count(*) AS n FROM iopool_fetch_next(request, half, 'report')) AS f;
			SELECT check_memory('half fetched');
			SELECT bool_and(iopool_cancel(request)) IS NOT false FROM iopool_requests;
			SELECT held();
			COMMIT;});
		is($out, "t\nright\nt\nright\nt\nright\nt\n0", "$method: what $shape take is counted");
	}
	return;
}

foreach my $method (test_methods())
{
	my $node = iopool_node("request_memory_$method", $method,
		'iopool.rings' => 2, 'work_mem' => '4MB');
	ask($node, qq{
		CREATE FUNCTION submit(n int, length int) RETURNS bigint LANGUAGE sql VOLATILE AS \$\$
			SELECT iopool_submit('$file', (SELECT array_agg((i % 7) * 1048576 ORDER BY i) FROM generate_series(1, n) AS i),
				array_fill(length::bigint, ARRAY[n]))\$\$;
		CREATE FUNCTION next_bytes(request bigint, max_rows int) RETURNS bigint LANGUAGE plpgsql AS \$\$
		DECLARE
			part record;
			total bigint := 0;
		BEGIN
			LOOP
				SELECT count(*) AS n, sum(length(data)) AS bytes INTO part FROM iopool_fetch_next(request, max_rows);
				EXIT WHEN part.n = 0;
				total := total + part.bytes;
			END LOOP;
			RETURN total;
		END \$\$;});

	ask($node, $counted);
	check_counted($node, $method);

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";
		my $session = $node->background_psql('postgres');
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		chomp $pid;
		$session->query_safe("SET iopool.io_mode = $mode");
		# What a backend allocates once and keeps.
		$session->query_safe('SELECT next_bytes(submit(20, 1000000), 2)');

		# 200 MB in rows of 1 MB, taken a few at a time, need no more than they
		# are; 400 MB in requests of which each is submitted when the one before
		# is processed need no more than two.
		my ($value, $growth) = run_and_watch($session, $pid, 'SELECT next_bytes(submit(200, 1048576), 5)');
		is($value, 200 * 1048576, "$label: 200 MB are read");
		cmp_ok($growth, '<', 264 * 1024, "$label: 200 MB of results take less than 264 MB");
		($value, $growth) = run_and_watch($session, $pid, q{
			WITH RECURSIVE windows AS (
				SELECT 1 AS n, submit(10, 1048576) AS ready, 0::bigint AS total
				UNION ALL
				SELECT n + 1, CASE WHEN n < 40 THEN submit(10, 1048576) END,
					total + (SELECT sum(length(data)) FROM iopool_fetch(ready))
				FROM windows WHERE ready IS NOT NULL)
			SELECT max(total) FROM windows});
		is($value, 400 * 1048576, "$label: 400 MB in windows are read");
		cmp_ok($growth, '<', 64 * 1024, "$label: 400 MB in windows of 10 MB take less than 64 MB");

		# Many ranges of a byte; fewer where each costs a visit to the disk.
		my $nranges = $mode eq 'direct' ? 20_000 : 200_000;
		($value, $growth) = run_and_watch($session, $pid,
			"SELECT next_bytes(iopool_submit('$file', "
			  . "(SELECT array_agg((n * 7919::bigint) % 8388608) FROM generate_series(1, $nranges) AS n), array_fill(1::bigint, ARRAY[$nranges])), 1000)");
		is($value, $nranges, "$label: $nranges ranges");
		cmp_ok($growth, '<', 128 * 1024,
			"$label: $nranges ranges take less than 128 MB");

		foreach my $cycle (sort keys %cycles)
		{
			my $loop = 'DO $$ DECLARE r bigint; BEGIN FOR i IN 1 .. 50 LOOP '
			  . "$cycles{$cycle} END LOOP; END \$\$";
			$loop =~ s/FILE/$file/g;
			$session->query_safe($loop);
			my $before = anon_kb($pid);
			$session->query_safe($loop);
			cmp_ok(anon_kb($pid) - $before, '<', 4 * 1024,
				"$label: 50 requests more, $cycle, take no more memory");
		}

		# The end of a transaction gives all of it back.  As the server counts
		# it: the C library gives freed memory back to the system in no order.
		my $before = context_kb($session);
		$session->query_safe('BEGIN');
		$session->query_safe('SELECT iopool_wait(submit(200, 1048576))');
		cmp_ok(context_kb($session) - $before, '>', 150 * 1024, "$label: unfetched rows wait in memory");
		$session->query_safe('SELECT count(*) FROM iopool_fetch_next((SELECT request FROM iopool_requests), 150)');
		cmp_ok(context_kb($session) - $before, '<', 100 * 1024, "$label: those that are handed out do not");
		$session->query_safe('ROLLBACK');
		cmp_ok(context_kb($session) - $before, '<', 1024, "$label: a rollback gives it back");
		$session->quit;
		rings_home($node, $label);
	}
	$node->stop;
}

done_testing();
