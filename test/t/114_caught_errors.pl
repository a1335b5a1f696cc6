# Errors that are caught, in a transaction that goes on: no ring stays behind
# for what is not in flight, the requests and streams from outside are as they
# were, and with on_error => 'raise' the error is that of the first range in the
# order of the call.  And calls that take long can be ended.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolConsumer;
use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $late = $fs->path('late');
my $plain = PostgreSQL::Test::Utils::tempdir() . '/plain';
write_words($fs->backing('held'), 1_000_000);
write_words($fs->backing('late'), 16_000_000);
write_words($plain, 1_000_000);
# the end of a range of 10 MB from the beginning cannot be read
$fs->sidecar('late', 'eio', '9900000 9900001');

my $functions = q{
	CREATE FUNCTION offsets(n int) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
		SELECT array_agg(i * 192::bigint ORDER BY i) FROM generate_series(0, n - 1) AS i$$;
	CREATE FUNCTION submit(path text, n int) RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT iopool_submit(path, offsets(n), array_fill(8::bigint, ARRAY[n]))$$;
	CREATE FUNCTION right_rows(request bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(request)$$;
};

# Statements that are cancelled while reads of theirs, or of the request :r, are
# held.  C consumers go on with a stream of the transaction.
my %calls = (
	wait => 'SELECT iopool_wait(:r)',
	'wait with a timeout' => 'SELECT iopool_wait(:r, 1000000)',
	'wait_any' => 'SELECT iopool_wait_any(ARRAY[:r, :q])',
	fetch => 'SELECT count(*) FROM iopool_fetch(:r)',
	'fetch_next' => 'SELECT count(*) FROM iopool_fetch_next(:r)',
	batch => "SELECT count(*) FROM iopool_read_batch('$held', offsets(400), ARRAY[8], in_order => false)",
	'batch without node' => "SELECT (iopool_read_batch('$held', offsets(400), ARRAY[8])).ordinal",
	lateral => "SELECT count(b.data) FROM generate_series(1, 40) AS n, LATERAL iopool_read_batch('$held', ARRAY[n * 800, n * 1600], ARRAY[8]) AS b",
	read => "SELECT length(iopool_read('$held', 0, 900000))",
	array => "SELECT cardinality(iopool_read_array('$held', offsets(400), ARRAY[8]))",
	'caught in a block' => "DO \$\$ BEGIN PERFORM iopool_wait((SELECT min(request) FROM iopool_requests)); EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'caught'; END \$\$",
	'C interface' => 'SELECT count(*) FROM consumer_take(:s)');

sub check_cancels
{
	my ($node, $method, $mode) = @_;
	my $locker = $node->background_psql('postgres');

	foreach my $call (sort keys %calls)
	{
		my $label = "$method, $mode, $call";
		my $is_consumer = $call eq 'C interface';

		$locker->query_safe('SELECT pg_advisory_lock(4711)');
		$fs->gate('held');
		my $session = start_sql($node, qq{
			SET iopool.io_mode = $mode;
			BEGIN;
			SELECT submit('$held', 400) AS r \\gset
			SELECT submit('$held', 400) AS q \\gset
			SELECT consumer_begin(owner => 'transaction') AS s, consumer_open('$held') AS f \\gset
			SELECT count(consumer_add(:s, :f, n * 192, 8)) FROM generate_series(0, 399) AS n \\gset
			SAVEPOINT s;
			$calls{$call};
			ROLLBACK TO s;
			SELECT pg_advisory_xact_lock_shared(4711);
			SELECT 'right: ' || right_rows(:r) || ' ' || right_rows(:q);
			SELECT 'right: ' || count(*) FILTER (WHERE data = int8send(file_offset)) FROM consumer_take_all(:s);
			SELECT consumer_end(:s);
			COMMIT;});
		my $pid = backend_pid($node, $session);
		my $start = substr($calls{$call}, 0, 20) =~ s/:.*//r =~ s/'/''/gr;
		ask_until($node, "SELECT state = 'active' AND starts_with(query, '$start') AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid");
		$fs->wait_blocked('held', 1);
		ask($node, "SELECT pg_cancel_backend($pid)");
		ok(stays(sub { ask($node, "SELECT wait_event_type IS NOT DISTINCT FROM 'Lock' FROM pg_stat_activity WHERE pid = $pid") ne 't' }),
			"$label: the session does not go on while reads are in flight");
		$fs->ungate('held');
		ask_until($node, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");
		is(ask($node, 'SELECT sum(in_use), sum(waiting) FROM iopool_pools'), '0|0', "$label: no ring is kept");
		is(ask($node, "SELECT count(*) FROM iopool_rings WHERE state <> 'free' OR in_flight <> 0"), 0, "$label: every ring is free");
		$locker->query_safe('SELECT pg_advisory_unlock(4711)');
		my ($out, $err) = $session->finish;
		like($err, $call =~ /caught/ ? qr/NOTICE:.*caught/ : qr/ERROR:  57014/, "$label: the cancel comes");
		unlike($err, qr/WARNING/, "$label: nothing is left");
		like($out, qr/right: 400 400\nright: 400$/m, "$label: what was begun before goes on");
		rings_home($node, $label);
	}
	$locker->quit;
	return;
}

# A range that fails late lies before one that fails at once, which is known
# when the window is full of the first one and there is more of it to read.
sub check_order
{
	my ($node, $method, $mode) = @_;
	my $error = "could not read file \"$late\" at offset 0, length 10000000: Input/output error";
	my $many = "array_fill('$plain'::text, ARRAY[300])";
	my $args = "$many || ARRAY['$late', '$late.gone', '$plain'] || $many, "
	  . 'array_fill(0::bigint, ARRAY[603]), '
	  . 'array_fill(8::bigint, ARRAY[300]) || ARRAY[10000000, 8, 8]::bigint[] || array_fill(8::bigint, ARRAY[300])';
	my %queries = (
		'batch in order' => "SELECT count(*) FROM iopool_read_batch($args)",
		'batch as they complete' => "SELECT count(*) FROM iopool_read_batch($args, in_order => false)",
		'batch as they complete, by rows' => "SELECT ordinal FROM iopool_read_batch($args, in_order => false) ORDER BY data",
		'select list' => "SELECT iopool_read_batch($args)",
		array => "SELECT iopool_read_array($args)",
		lateral => "SELECT count(data) FROM generate_series(1, 3) AS n, LATERAL iopool_read_batch("
		  . "CASE n WHEN 1 THEN ARRAY['$plain', '$late'] ELSE ARRAY['$late.gone', '$plain'] END, ARRAY[0, 0], ARRAY[8, 10000000], in_order => false) AS b",
		'lateral read' => "SELECT count(b.data) FROM generate_series(1, 3) AS n, LATERAL iopool_read("
		  . "CASE n WHEN 1 THEN '$plain' WHEN 2 THEN '$late' ELSE '$late.gone' END, 0, 10000000) AS b(data)",
		fetch => "SELECT count(*) FROM iopool_fetch(iopool_submit($args))",
		'fetch_next' => "SELECT iopool_submit($args) AS r \\gset\nSELECT until_failed(:r, 1);",
		'fetch_next, many' => "SELECT iopool_submit($args) AS r \\gset\nSELECT until_failed(:r, 1000);");

	ask($node, q{
		CREATE OR REPLACE FUNCTION until_failed(request bigint, max_rows integer) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			WHILE (SELECT count(*) FROM iopool_fetch_next(request, max_rows)) > 0 LOOP
			END LOOP;
		END $$});
	foreach my $query (sort keys %queries)
	{
		foreach my $node_is ('on', 'off')
		{
			my (undef, $err) = start_sql($node, "SET iopool.io_mode = $mode;\nSET iopool.enable_stream_scan = $node_is;\n"
				  . "SET iopool.max_in_flight_bytes = '6MB';\nBEGIN;\n$queries{$query};\nROLLBACK;")->finish;
			my @errors = $err =~ /^psql.*?ERROR:  (.*)$/mg;
			# where there is more than one, its place in the call is named
			my $range = $query eq 'lateral read' ? '' : $query eq 'lateral' ? 'range 2: ' : 'range 301: ';
			is_deeply(\@errors, ["58030: $range$error"], "$method, $mode, $query, node $node_is: the first failure in the order of the call");
		}
	}
	# what was reported before does not count any more
	is( outcome($node, "SET iopool.io_mode = $mode;\nBEGIN;\nSELECT iopool_submit(ARRAY['$late', '$late.gone', '$late.none'], "
			  . "ARRAY[0, 0, 0], ARRAY[10000000, 8, 8]) AS r \\gset\nSELECT iopool_wait(:r);\n"
			  . "SELECT count(*) FROM iopool_fetch_next(:r, 3, 'report');\nSELECT count(*) FROM iopool_fetch_next(:r);\nCOMMIT"),
		'none', "$method, $mode: nothing is raised that was reported");
	rings_home($node, "$method, $mode, order of errors");
	return;
}

# Calls whose arguments are long.
sub check_long
{
	my ($node, $method, $mode) = @_;

	# one request, named often, while it is not done
	$fs->gate('held');
	my $session = start_sql($node, "SET iopool.io_mode = $mode;\nBEGIN;\nSELECT submit('$held', 400) AS r \\gset\n"
		  . "SELECT iopool_wait_any(array_fill(:r::bigint, ARRAY[300000]));");
	my $pid = backend_pid($node, $session);
	$fs->wait_blocked('held', 1);
	ask_until($node, "SELECT state = 'active' AND starts_with(query, 'SELECT iopool_wait_any') FROM pg_stat_activity WHERE pid = $pid")
	  if goes_on_alone($method);
	ask($node, "SELECT pg_terminate_backend($pid)");
	$fs->ungate('held');
	ok(ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), "$method: a wait for one request named 300,000 times ends");
	$session->finish;
	is(ask($node, "BEGIN;\nSET LOCAL statement_timeout = '1min';\nSELECT submit('$plain', 400) AS r \\gset\n"
		  . "SELECT iopool_wait_any(array_fill(:r::bigint, ARRAY[300000])) = :r;\nSELECT iopool_cancel(:r);\nCOMMIT"),
		"t\nt", "$method: and is answered");

	# ranges past the end, of a file whose size takes a while to tell
	is(outcome($node, "SET statement_timeout = '20s';\nSELECT iopool_prefetch('$held', array_fill(2000000::bigint, ARRAY[1000000]), array_fill(8::bigint, ARRAY[1000000]))"),
		'none', "$method: a million ranges past the end are nothing to prefetch");
	rings_home($node, "$method, long arguments");
	return;
}

# One call tells the kernel of a quarter of the memory.  On tmpfs that costs
# nothing: there is nothing to read ahead.
sub check_budget
{
	my ($node, $method) = @_;
	my $length = 1000 * 1024 * 1024;
	my $npages = `getconf _PHYS_PAGES`;
	my $nranges = int($npages / 4) * `getconf PAGESIZE` / $length;

	SKIP:
	{
		skip 'no tmpfs at /dev/shm', 2 if `stat -f -c %T /dev/shm` ne "tmpfs\n";
		my $file = "/dev/shm/iopool_test_$$";
		open my $sparse, '>', $file or die "could not create \"$file\": $!";
		truncate $sparse, ($nranges + 10) * $length or die $!;
		close $sparse;
		my $hinted = sub {
			my ($n) = @_;
			return ask($node, "SELECT iopool_prefetch('$file', (SELECT array_agg(n::bigint * $length) FROM generate_series(0, $n - 1) AS n), array_fill($length\::bigint, ARRAY[$n]))");
		};
		is($hinted->(2), 2, "$method: prefetch tells of two ranges");
		is($hinted->(int($nranges) + 5), int($nranges), "$method: prefetch stops at a quarter of the memory");
		unlink $file;
	}
	return;
}

foreach my $method (test_methods())
{
	# where reads stay in the kernel while the session can act, if there is such
	my $mode = $method eq 'libaio' ? 'direct' : 'buffered';
	my $node = consumer_node("caught_$method", $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 16);
	my $position = -s $node->logfile;

	ask($node, $functions);
	check_cancels($node, $method, $mode) if goes_on_alone($method);
	check_order($node, $method, $_) foreach ($method eq 'sync' ? 'buffered' : ('buffered', 'direct'));
	check_long($node, $method, $mode);
	check_budget($node, $method);
	unlike(log_since($node, $position), qr/PANIC|TRAP|server process .* was terminated|does not hold it|is broken|stream was not ended/,
		"$method: nothing odd in the log");
	$node->stop;
}

done_testing();
