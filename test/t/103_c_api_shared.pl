# The C interface where memory is shared: the parallel scan of an index on disk,
# whose participants take what another of them has read, and reads into the
# server's shared memory, also by background workers that have no transaction.
# Rows are compared with those of a scan of the table.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolConsumer;
use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $words = $fs->path('words');
# not a multiple of a block
write_words($fs->backing('words'), 400_000);

my $tables = q{
CREATE TABLE t (k bigint, v bigint) WITH (parallel_workers = 4, autovacuum_enabled = off);
INSERT INTO t SELECT n * 7919 % 50021, n FROM generate_series(1, 50000) AS n;
INSERT INTO t SELECT NULL, n FROM generate_series(1, 10) AS n;
CREATE TABLE u (k bigint, v bigint) WITH (parallel_workers = 4, autovacuum_enabled = off);
INSERT INTO u SELECT k, v + 100000 FROM t;
};

# What a query is planned with, and what it is compared with.
my $index = 'SET enable_seqscan = off; SET enable_material = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;'
  . 'SET min_parallel_index_scan_size = 0; SET min_parallel_table_scan_size = 0;';
my $plain = 'SET enable_indexscan = off; SET max_parallel_workers_per_gather = 0;';

# Workers that are planned and workers that there are, at most; whether the
# leader takes part where there are any.
my @participants = ([ 0, 8, 'on' ], [ 1, 8, 'on' ], [ 4, 8, 'on' ], [ 2, 8, 'off' ], [ 2, 1, 'on' ], [ 2, 1, 'off' ], [ 2, 0, 'on' ], [ 2, 0, 'off' ]);

my @queries = (
	[ 'rows', q{SELECT count(*), sum(v), count(DISTINCT v) FROM t WHERE k >= bigint '1000'} ],
	[ 'sums of workers', q{SELECT count(*), sum(v), sum(k % 97) FROM t WHERE k >= bigint '100' AND k < bigint '40000'} ],
	[ 'hardly any row', q{SELECT count(*), min(v) FROM t WHERE k >= bigint '0' AND k % 50021 = 4711} ],
	[ 'two indexes', q{SELECT count(*), sum(v), count(DISTINCT v) FROM (SELECT * FROM t WHERE k > bigint '9' UNION ALL SELECT * FROM u WHERE k <= bigint '44444') AS b} ],
	[ 'sorted', q{SELECT md5(string_agg(v::text, ' ')) FROM (SELECT v FROM t WHERE k > bigint '9' ORDER BY v OFFSET 0) AS s} ],
	# Less than a block of them fills the queue from a worker to the leader: a
	# worker stands still while its reads come in.
	[ 'wide rows', q{SELECT count(*), sum(length(w)), count(DISTINCT right(w, 5)) FROM (SELECT repeat('x', 1000) || v AS w FROM t WHERE k < bigint '20000' OFFSET 0) AS w}, 10_000 ],
	[ 'a join', q{SELECT count(*), sum(t.v) FROM t JOIN (VALUES (bigint '17'), (4711), (30000)) AS w(k) ON t.k % 30001 = w.k WHERE t.k >= bigint '0'} ],
	[ 'some rows', q{SELECT count(*), count(DISTINCT v), bool_and(k >= 1000) FROM (SELECT * FROM t WHERE k >= bigint '1000' LIMIT 3000) AS l} ],
	[ 'again and again', q{SELECT x, n, s FROM (SELECT count(DISTINCT v) AS n, sum(v) AS s FROM t WHERE k < bigint '20000') AS a RIGHT JOIN (VALUES (1), (2), (3)) AS b(x) ON true ORDER BY x} ],
	[ 'some rows, again and again', q{SELECT x, count(*), count(DISTINCT v) FROM (VALUES (1), (2), (3)) AS b(x) LEFT JOIN (SELECT * FROM t WHERE k >= bigint '1000' LIMIT 3000) AS l ON true GROUP BY x ORDER BY x} ]);

my $rows = $queries[0][1];
# A row ends it, the first that there is.
my $failing = q{SELECT count(DISTINCT v) FROM t WHERE k >= bigint '1000' AND 1 / (v - v) > 0};

foreach my $method (test_methods())
{
	# Fewer rings than participants.
	my $node = consumer_node("shared_$method", $method, 'iopool.rings' => 2, 'iopool.ring_entries' => 16, 'iopool.log_min_duration' => 0);

	ask($node, $tables);
	foreach my $table ('t', 'u')
	{
		ask($node, "CREATE INDEX ${table}_k ON $table USING consumer_index (k) WITH (path = '@{[ $fs->backing($table) ]}');"
			  . "ALTER INDEX ${table}_k SET (path = '@{[ $fs->path($table) ]}'); ANALYZE $table");
	}
	like(outcome($node, 'INSERT INTO t VALUES (1, 1)'), qr/^0A000: index "t_k" cannot change/, "$method: the index does not change");
	foreach my $mode (io_modes())
	{
		scans($node, $method, $mode);
		ends($node, $method, $mode);
		shared_memory($node, $method, $mode);
		workers($node, $method, $mode);
		reader_is_right($node, $words, "$method, $mode");
	}
	$node->stop;
	segments($method);
}

done_testing();

# Every query, by whatever number of participants.
sub scans
{
	my ($node, $method, $mode) = @_;
	my ($nblocks, $nothers) = (0, 0);

	# What differs from buffered there is below all this.
	foreach my $query ($mode eq 'uncached' ? $queries[0] : @queries)
	{
		my ($what, $sql, $delay) = @$query;
		my $expected = ask($node, "$plain $sql");

		$fs->delay('t', goes_on_alone($method) ? $delay // 0 : 0);

		# who takes part is decided above them
		foreach my $participants ($mode eq 'buffered' ? @participants : @participants[ 2, 3, 7 ])
		{
			my ($nplanned, $nworkers, $leader) = @$participants;
			my $label = "$method, $mode, $what, $nworkers of $nplanned workers, leader $leader";
			my $set = "$index SET iopool.io_mode = $mode; SET max_parallel_workers_per_gather = $nplanned; SET max_parallel_workers = $nworkers;"
			  . "SET parallel_leader_participation = $leader;";
			my $scan = $nplanned > 0 ? 'Parallel Index Scan' : 'Index Scan';

			like(ask($node, "$set EXPLAIN (COSTS OFF) $sql"), qr/\b$scan using t_k/, "$label: the plan");
			$node->psql('postgres', "$set SET client_min_messages = debug1; $sql", stdout => \my $out, stderr => \my $err);
			is($out, $expected, $label);
			while ($err =~ /consumer_index: (\d+) blocks, (\d+) of them/g)
			{
				$nblocks += $1;
				$nothers += $2;
			}
		}
	}
	$fs->clear('t', 'delay');
	cmp_ok($nblocks, '>', 0, "$method, $mode: there was something to read");
	# In a few scans one of them may be through before the others begin.
	cmp_ok($nothers, '>', 0, "$method, $mode: participants took what others had read")
	  if $mode ne 'uncached';

	# Row by row, with another scan beside it that comes to no end.
	is( value($node, 'c CURSOR FOR SELECT v FROM t WHERE k >= 0::bigint; d CURSOR FOR SELECT v FROM t WHERE k >= 0::bigint; x bigint; sum bigint := 0;', q{
			OPEN c;
			FOR i IN 1 .. 50000 LOOP
				FETCH c INTO x;
				sum := sum + x;
				IF i % 10000 = 700 THEN
					BEGIN
						OPEN d;
						MOVE 700 IN d;
						RAISE division_by_zero;
					EXCEPTION WHEN division_by_zero THEN NULL;
					END;
				END IF;
			END LOOP;
			FETCH c INTO x;
			r := sum || ' ' || coalesce(x, 0);}, "$index SET iopool.io_mode = $mode;"),
		'1250025000 0', "$method, $mode: cursors");
	rings_home($node, "$method, $mode, scans");
	return;
}

# Scans that end in the middle, while their reads are held in the kernel.
sub ends
{
	my ($node, $method, $mode) = @_;
	# one worker at most, whom the planner would not ask for without the leader
	my $set = "$index SET iopool.io_mode = $mode; SET max_parallel_workers_per_gather = 2; SET max_parallel_workers = 1;";
	my $expected = ask($node, "$plain $rows");
	my $signal = sub { my ($function) = @_; return sub { my ($pid) = @_; wait_inside($node, $pid); ask($node, "SELECT $function($pid)") } };
	my $pass = sub { $fs->let_pass('t', 1, 4096) };
	my $worker = sub {
		my ($pid) = @_;
		ask_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE leader_pid = $pid AND wait_event_type = 'Extension'");
		ask($node, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE leader_pid = $pid");
	};
	my @cases = (
		[ 'a cancel', $rows, $signal->('pg_cancel_backend'), qr/ERROR:  57014/ ],
		[ 'a timeout', "SET statement_timeout = '300ms'; $rows; SET statement_timeout = 0", sub { timeout_has_come($node, $_[0]) }, qr/ERROR:  57014/ ],
		[ 'a worker that is terminated', "SET parallel_leader_participation = off; $rows", $worker, qr/(?:ERROR|FATAL):  57P01/ ],
		[ 'an error', $failing, $pass, qr/ERROR:  22012/ ],
		[ 'an error in a worker', "SET parallel_leader_participation = off; $failing", $pass, qr/ERROR:  22012/ ],
		[ 'an error that is caught', "DO \$\$ BEGIN EXECUTE \$q\$$failing\$q\$; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught'; END \$\$", $pass, qr/caught/ ]);

	foreach my $case ($mode eq 'uncached' ? $cases[0] : @cases)
	{
		my ($what, $sql, $act, $outcome) = @$case;
		my $label = "$method, $mode, $what";

		my ($out, $err) = with_canary($node, $fs, 't', $label, "$set $sql;", act => $act,
			goes_on_alone($method) ? (late => qr/canary|caught/) : (), after => "SET parallel_leader_participation = on; $rows;");
		like($err, $outcome, $label);
		unlike($err, qr/WARNING/, "$label: nothing is left over");
		like($out, qr/^\Q$expected\E$/m, "$label: the session finds all rows");
		rings_home($node, $label);
	}
	terminated($node, $method, $mode, $set);
	caught($node, $method, $mode, $set) if goes_on_alone($method);
	return;
}

# As cancel_has_come(), of statement_timeout: SIGALRM is the fourteenth bit.
sub timeout_has_come
{
	my ($node, $pid) = @_;

	return poll_until(
		sub {
			my $status = eval { slurp_file("/proc/$pid/status") } // '';

			return 1 if grep { hex(substr($_, -4)) & 0x2000 } $status =~ /^S(?:ig|hd)Pnd:\s*(\w+)$/mg;
			return ask($node, "SELECT count(*) FROM iopool_rings WHERE pid = $pid AND state = 'draining'");
		});
}

sub terminated
{
	my ($node, $method, $mode, $set) = @_;
	my $label = "$method, $mode, a leader that is terminated";

	$fs->gate('t');
	my $session = start_sql($node, "$set $rows");
	my $pid = backend_pid($node, $session);
	$fs->wait_blocked('t', 1);
	wait_inside($node, $pid);
	ask($node, "SELECT pg_terminate_backend($pid)");
	ok(stays(sub { ask($node, "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $pid") eq 't' }), "$label: it waits for its reads");
	$fs->ungate('t');
	$session->finish;
	ok(ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE $pid IN (pid, leader_pid)"), "$label: all are gone");
	rings_home($node, $label);
	return;
}

# An error that is caught ends the resource owner, and with it the mapping of the
# segment, before the memory of the query: not while the kernel writes there.
# Where no worker is to be had, the leader has all reads.
sub caught
{
	my ($node, $method, $mode, $set) = @_;
	my $label = "$method, $mode, the segment of a scan";
	my $segments = q{SELECT count(*) FROM regexp_split_to_table(pg_read_file('/proc/self/maps'), '\n') AS l WHERE l ~ '/PostgreSQL[.]'};

	$fs->gate('t');
	# a session has a segment of its own from its first parallel query on
	my $session = start_sql($node, "$set SET max_parallel_workers = 0; SELECT count(*) FROM u WHERE k >= bigint '0';\n\\echo before\n$segments;\n"
		  . "DO \$\$ BEGIN EXECUTE \$q\$$failing\$q\$; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught'; END \$\$;\n\\echo after\n$segments;");
	my $pid = backend_pid($node, $session);
	ok($fs->wait_blocked('t', 8), "$label: reads are held");
	my ($before) = ($session->output)[0] =~ /^before\n(\d+)$/m;
	$fs->let_pass('t', 1, 4096);
	ok(ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE pid = $pid AND state = 'draining' AND in_flight > 0"), "$label: the others are waited for");
	ok(stays(sub { (() = slurp_file("/proc/$pid/maps") =~ m{/PostgreSQL\.}g) > $before && ($session->output)[1] !~ /caught/ }),
		"$label: it is there as long as they are held");
	$fs->ungate('t');
	my ($out, $err) = $session->finish;
	like($err, qr/caught/, "$label: the error is caught");
	like($out, qr/^after\n$before$/m, "$label: it is gone");
	rings_home($node, $label);
	return;
}

# Segments that are no mappings of their own: part of the server's shared memory,
# where only the page is lost that they begin in; and of the other kinds.
sub segments
{
	my ($method) = @_;

	foreach my $kind ([ min_dynamic_shared_memory => '4MB' ], [ dynamic_shared_memory_type => 'sysv' ], [ dynamic_shared_memory_type => 'mmap' ])
	{
		my ($setting, $value) = @$kind;
		my $node = consumer_node("${method}_$value", $method, 'iopool.rings' => 2, $setting => $value);
		my $path = $fs->backing('t');

		ask($node, "$tables CREATE INDEX t_k ON t USING consumer_index (k) WITH (path = '$path'); ANALYZE t");
		foreach my $mode (io_modes())
		{
			is( ask($node, "$index SET iopool.io_mode = $mode; SET max_parallel_workers_per_gather = 2; $rows"),
				ask($node, "$plain $rows"), "$method, $mode: $setting = $value");
		}
		rings_home($node, "$method, $setting = $value");
		$node->stop;
	}
	return;
}

# Reads into shared memory of the server, which another process looks at.
sub shared_memory
{
	my ($node, $method, $mode) = @_;
	my $label = "$method, $mode, shared memory";
	my $truth = $fs->backing('words');
	my $busy = qr/^55006: process \d+ reads into the blocks/;
	my $is_right = sub {
		my ($first, $what) = @_;
		is($node->safe_psql('postgres', "SELECT consumer_shmem_data() = pg_read_binary_file('$truth', $first * 4096, 32768)"), 't', "$label: $what");
	};

	is(ask($node, "SELECT consumer_shmem_read('$words', 3, '$mode')"), 32768, "$label: all is read");
	$is_right->(3, 'others find it there');
	is(ask($node, "SELECT consumer_shmem_read('$words', 95, '$mode')"), 400_000 - 95 * 4096, "$label: to the end of the file");
	like(outcome($node, "SELECT consumer_shmem_read('$words', 5, '$mode', true)"), qr/^XX000: on purpose/, "$label: an error");
	is(ask($node, "SELECT consumer_shmem_read('$words', 7, '$mode')"), 32768, "$label: after the error");
	$is_right->(7, 'and nothing else');
	return unless goes_on_alone($method);

	# Nobody else gets it before the reads are in.
	foreach my $case ([ 'error', 'true' ], [ 'terminated', 'false' ])
	{
		my ($what, $fails) = @$case;

		$fs->gate('words');
		my $session = start_sql($node, "SELECT consumer_shmem_read('$words', 0, '$mode', $fails)");
		my $pid = backend_pid($node, $session);
		ok($fs->wait_blocked('words', 8), "$label, $what: reads are held");
		if ($what eq 'terminated')
		{
			wait_inside($node, $pid);
			ask($node, "SELECT pg_terminate_backend($pid)");
		}
		else
		{
			ok(poll_until(sub { ($session->output)[1] =~ /on purpose/ }), "$label, $what: it is reported");
		}
		ok(stays(sub { outcome($node, "SELECT consumer_shmem_read('$truth', 11, '$mode')") =~ $busy }), "$label, $what: the memory is not free as long as they are");
		$fs->ungate('words');
		$session->finish;
		ok(ask_until($node, "SELECT consumer_outcome(\$\$SELECT consumer_shmem_read('$words', 11, '$mode')\$\$)", 'none'), "$label, $what: then it is");
		$is_right->(11, "$what, and the next one's bytes are there");
	}
	rings_home($node, $label);
	return;
}

# Background workers without a transaction, and without a user of their own where
# they are not connected to a database.
sub workers
{
	my ($node, $method, $mode) = @_;
	my $truth = $fs->backing('words');

	foreach my $connects ('false', 'true')
	{
		my $label = "$method, $mode, a worker that is " . ($connects eq 'true' ? 'connected' : 'not connected');
		my $worker = sub { my ($path, $more) = @_; return "SELECT consumer_worker('$path', 3, '$mode', $more)" };
		my $log = sub { my ($access) = @_; my $position = -s $node->logfile; ask($node, $worker->($truth, "'$access', $connects")); return log_since($node, $position) };
		my $is_right = sub { is(ask($node, "SELECT consumer_shmem_data() = pg_read_binary_file('$truth', 3 * 4096, 32768)"), 't', "$label: $_[0]") };

		my $forget = sub { ask($node, "SELECT consumer_shmem_read('$truth', 20, '$mode')") };

		$forget->();
		my $said = $log->('trusted');
		like($said, qr/LOG:  iopool: role "unknown \(OID=10\)" reads file "\Q$truth\E"/, "$label: the log tells of the file");
		like($said, qr/LOG:  consumer_worker: 32768 bytes/, "$label: all is read");
		$is_right->('others find it there');
		like($log->('user'), qr/ERROR:  file "\Q$truth\E" cannot be opened outside of a transaction/, "$label: it has no right that it could be asked for");
		next unless goes_on_alone($method);

		foreach my $what ('fails', 'is terminated')
		{
			my $fails = $what eq 'fails' ? 'true' : 'false';

			$forget->();
			$fs->gate('words');
			my $session = start_sql($node, $worker->($words, "'trusted', $connects, $fails"));
			ok($fs->wait_blocked('words', 8), "$label, $what: reads are held");
			my $pid = ask($node, "SELECT pid FROM iopool_rings WHERE in_flight > 0");
			kill 'TERM', $pid
			  if $what eq 'is terminated';
			ok(stays(sub { kill(0, $pid) && outcome($node, "SELECT consumer_shmem_read('$truth', 11, '$mode')") =~ /^55006: process $pid/ }),
				"$label, $what: it waits for them");
			$fs->ungate('words');
			$session->finish;
			$is_right->("$what, they have come in");
			rings_home($node, "$label, $what");
			is(outcome($node, "SELECT consumer_shmem_read('$truth', 11, '$mode')"), 'none', "$label, $what: the memory is free");
		}
	}
	return;
}
