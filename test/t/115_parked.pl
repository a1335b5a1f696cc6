# Rings whose owners are elsewhere: no session that waits, for a client, a lock or
# a worker, keeps others from reading, and all of them get their bytes.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use IopoolTest;

# Signals of the storm in all.
my $storm = $ENV{IOPOOL_TEST_STORM} // 150;

my $fs = IopoolTest::GateFS->new;
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $plain = "$tmp/plain";
my $held = $fs->path('held');
write_words($plain, 400_000);
write_words($fs->backing('held'), 400_000);

# Ranges that no neighbour is merged with.
my $offsets = '(SELECT array_agg((n * 24) %% 399984 ORDER BY n) FROM generate_series(1, %d) AS n)';

sub ranges
{
	my ($path, $n) = @_;
	return sprintf "'%s', $offsets, array_fill(8::bigint, ARRAY[%d])", $path, $n, $n;
}

sub submit { return 'iopool_submit(' . ranges(@_) . ')'; }

# How many of a request's or a batch's rows are right.
sub right_rows
{
	my ($from) = @_;
	return "(SELECT count(*) FILTER (WHERE b.data = int8send(b.file_offset)) FROM $from AS b)";
}

sub right_batch { return right_rows('iopool_read_batch(' . ranges(@_) . ')'); }

# A session waits here, as a client that thinks or a transaction that waits for
# a lock would, until release().
my $pause = "SELECT pg_advisory_xact_lock_shared(815);";

sub pause { my ($node) = @_; ask($node, 'SELECT pg_advisory_lock(815)'); return; }
sub release { my ($node) = @_; ask($node, 'SELECT pg_advisory_unlock(815)'); return; }

sub wait_for_pause
{
	my ($node, $pid) = @_;
	ask_until($node, "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND locktype = 'advisory' AND NOT granted)")
	  or die "session $pid does not come to its pause";
	return;
}

# Starts sessions and waits until all of them are at their pause.
sub start_paused
{
	my ($node, @scripts) = @_;
	my @sessions = map { start_sql($node, $_) } @scripts;
	wait_for_pause($node, backend_pid($node, $_)) foreach @sessions;
	return @sessions;
}

# What a script says, with as much patience as there is.
sub says
{
	my ($node, $script) = @_;
	my ($out, $err) = start_sql($node, "SET iopool.checkout_timeout = -1;\nSET statement_timeout = '150s';\n$script")->finish;
	return $err eq '' ? $out : "$out\n$err";
}

foreach my $method (test_methods())
{
	my $node = iopool_node("parked_$method", $method,
		'iopool.rings' => 4, 'iopool.ring_entries' => 16,
		'iopool.pools' => 'one(rings=1, entries=16), two(rings=1, entries=16)',
		'max_parallel_workers' => 4);
	$node->safe_psql('postgres', q{
		CREATE TABLE item AS SELECT n AS id, (n * 24 % 399984)::bigint AS file_offset FROM generate_series(1, 20000) AS n;
		ANALYZE item;});

	foreach my $mode ('buffered', 'direct')
	{
		my $label = "$method, $mode";
		my $set = "SET iopool.io_mode = $mode;\n";

		# Every ring is one of a session that sits idle in its transaction.
		pause($node);
		my @idle = start_paused($node, map {
				"${set}BEGIN;\nSELECT @{[submit($plain, 3000)]} AS r \\gset\n$pause\nSELECT 'right: ' || @{[right_rows('iopool_fetch(:r)')]};\nCOMMIT;"
			} 1 .. 4);
		is(says($node, "${set}SELECT @{[right_batch($plain, 1000)]};"), 1000, "$label: a batch beside four idle transactions with requests");
		is(says($node, "${set}SELECT sum((data = int8send(file_offset))::int) FROM item, iopool_read('$plain', file_offset, 8) AS data;"),
			20000, "$label: and a query");
		release($node);
		foreach my $session (@idle)
		{
			my ($out, $err) = $session->finish;
			like($out, qr/^right: 3000$/m, "$label: an idle transaction gets its rows");
			is($err, '', "$label: and no error");
		}
		rings_home($node, "$label, idle transactions");

		# The same with cursors, whose node has a full queue between two rows.
		pause($node);
		@idle = start_paused($node, map {
				"${set}SET iopool.pool = one;\nBEGIN;\nDECLARE c CURSOR FOR SELECT b.file_offset, data FROM item, iopool_read_batch('$plain', ARRAY[item.file_offset], ARRAY[8]) AS b;\n"
				  . "FETCH 300 FROM c \\g $tmp/rows.$_\n$pause\nFETCH ALL FROM c \\g | cat >>$tmp/rows.$_\nCOMMIT;"
			} 1 .. 3);
		is(says($node, "${set}SET iopool.pool = one;\nSELECT @{[right_batch($plain, 1000)]};"), 1000, "$label: a batch beside three open cursors on one ring");
		release($node);
		foreach my $n (1 .. 3)
		{
			my (undef, $err) = $idle[ $n - 1 ]->finish;
			my @rows = map { [ /^(\d+)\|\\x([0-9a-f]{16})$/ ] } grep { /\|/ } split /\n/, slurp_file("$tmp/rows.$n");
			my @wrong = grep { hex($_->[1]) != $_->[0] } @rows;
			is($err . @rows . ' rows, wrong: ' . @wrong, '20000 rows, wrong: 0', "$label: cursor $n gets its rows");
		}
		rings_home($node, "$label, cursors");

		# EXPLAIN tells of it, if there is something to tell.
		foreach my $is_beside (1, 0)
		{
			pause($node);
			my ($reader) = start_paused($node, "${set}SET iopool.pool = one;\nBEGIN;\nEXPLAIN (ANALYZE, COSTS OFF) "
				  . "SELECT data, CASE WHEN id = 300 THEN pg_advisory_xact_lock_shared(815) END FROM item, iopool_read_batch('$plain', ARRAY[item.file_offset], ARRAY[8]) AS b;\nCOMMIT;");
			is(says($node, "${set}SET iopool.pool = one;\nSELECT @{[right_batch($plain, 1000)]};"), 1000, "$label: a batch beside a query that waits") if $is_beside;
			release($node);
			my ($plan) = $reader->finish;
			like($plan, $is_beside ? qr/Ranges: 20000 .*\n *In Flight: .*\n *Ring Taken Over: 1\n/ : qr/Ranges: 20000 .*\n *In Flight: .*\n *Wait Time: /,
				"$label: EXPLAIN tells that its ring was taken over, " . ($is_beside ? 'once' : 'or not'));
		}
		rings_home($node, "$label, query that waits");

		# The session waits for its own workers, which want its ring.
		is( says($node, $set . q{
				SET iopool.pool = one;
				SET parallel_setup_cost = 0;
				SET parallel_tuple_cost = 0;
				SET min_parallel_table_scan_size = 0;
				SET max_parallel_workers_per_gather = 2;
				BEGIN;
				} . "SELECT @{[submit($plain, 3000)]} AS r \\gset\n"
				  . "SELECT count(*) FROM item WHERE iopool_read_array('$plain', ARRAY[file_offset, 80, 800], ARRAY[8, 8, 8]) = ARRAY[int8send(file_offset), int8send(80), int8send(800)];\n"
				  . "SELECT @{[right_rows('iopool_fetch(:r)')]};\nCOMMIT;"),
			"20000\n3000", "$label: parallel workers read beside their leader's request");

		# One waits for a lock of the other, which waits for its ring.
		pause($node);
		my ($first) = start_paused($node, "${set}SET iopool.pool = one;\nBEGIN;\nSELECT @{[submit($plain, 3000)]} AS r \\gset\n$pause\n"
			  . "SELECT 'right: ' || @{[right_rows('iopool_fetch(:r)')]};\nCOMMIT;");
		my $second = IopoolTest::Connection::of($node)->run("${set}SET iopool.pool = one;\nSET iopool.checkout_timeout = -1;\nSET statement_timeout = '150s';\n"
			  . "SELECT @{[right_batch($plain, 1000)]};\nSELECT pg_advisory_unlock(815);");
		is($second, "1000\nt", "$label: who has the lock reads with the ring of who waits for it");
		like(join('', $first->finish), qr/^right: 3000$/m, "$label: and that one goes on");

		# Two pools, in different orders.
		my @both = map {
			my ($a, $b) = @$_;
			start_sql($node, "${set}SET iopool.checkout_timeout = -1;\n" . join('', map {
						"BEGIN;\nSET LOCAL iopool.pool = $a;\nSELECT @{[submit($plain, 200)]} AS r \\gset\n"
						  . "SET LOCAL iopool.pool = $b;\nSELECT @{[submit($plain, 200)]} AS s \\gset\n"
						  . "SELECT @{[right_rows('iopool_fetch(:r)')]} + @{[right_rows('iopool_fetch(:s)')]};\nCOMMIT;\n"
					} 1 .. 20));
		} ([ 'one', 'two' ], [ 'two', 'one' ], [ 'one', 'two' ]);
		is(join(' ', map { join '', $_->finish } @both), join(' ', ("400\n" x 20) =~ s/\n$//r, ("400\n" x 20) =~ s/\n$//r, ("400\n" x 20) =~ s/\n$//r), "$label: two pools in different orders");
		rings_home($node, "$label, deadlocks");
	}

	# Reads that are held: the ring is its owner's until they come in.
	SKIP:
	{
		skip 'nothing is in flight between calls', 1 unless $method eq 'io_uring';

		foreach my $end ('goes on', 'is terminated', 'is stopped')
		{
			my $label = "$method, $end";
			pause($node);
			$fs->gate('held');
			my ($owner) = start_paused($node, "SET iopool.pool = one;\nBEGIN;\nSELECT @{[submit($held, 3000)]} AS r \\gset\n$pause\n"
				  . "SELECT 'right: ' || @{[right_rows('iopool_fetch(:r)')]};\nCOMMIT;");
			my $owner_pid = backend_pid($node, $owner);
			my $waiter = start_sql($node, "SET iopool.pool = one;\nSET iopool.checkout_timeout = -1;\nSELECT 'right: ' || @{[right_batch($plain, 1000)]};");
			my $waiter_pid = backend_pid($node, $waiter);
			ok(ask_until($node, "SELECT waiting = 1 FROM iopool_pools WHERE name = 'one'"), "$label: another session waits for the ring");
			ok(stays(sub { ask($node, "SELECT pid = $owner_pid AND in_flight > 0 AND state <> 'free' FROM iopool_rings WHERE pool = 'one'") eq 't' }),
				"$label: which is its owner's while reads are in flight");
			# the head of the queue can be interrupted, and leaves it
			my $other = start_sql($node, "SET iopool.pool = one;\nSET iopool.checkout_timeout = -1;\nSELECT @{[right_batch($plain, 10)]};");
			my $other_pid = backend_pid($node, $other);
			ask_until($node, "SELECT waiting = 2 FROM iopool_pools WHERE name = 'one'");
			if ($end eq 'is stopped')
			{
				kill 'STOP', $owner_pid;
				is(says($node, "SELECT @{[right_batch($plain, 1000)]};"), 1000, "$label: the other pool's rings are good");
			}
			ask($node, "SELECT pg_cancel_backend($waiter_pid)");
			like(join('', $waiter->finish), qr/57014/, "$label: the head of the queue is cancelled");
			ask($node, "SELECT pg_terminate_backend($owner_pid)") if $end eq 'is terminated';
			$fs->ungate('held');
			if ($end eq 'is stopped')
			{
				# the reads are done, and nobody can know of it
				poll_until(sub { $fs->blocked('held') == 0 });
				kill 'CONT', $owner_pid;
			}
			is(join('', $other->finish), 10, "$label: the next one gets the ring");
			release($node);
			my $said = join '', $owner->finish;
			like($said, $end eq 'is terminated' ? qr/57P01/ : qr/^right: 3000$/m, "$label: and the owner its rows");
			rings_home($node, $label);
		}
	}

	# Cancelled while it waits for a ring, with reads of another pool in flight:
	# they come in before the error does.
	SKIP:
	{
		skip 'nothing is in flight between calls', 1 unless $method eq 'io_uring';

		my $label = "$method, cancelled in line";
		$fs->gate('held');
		my $holder = start_sql($node, "SET iopool.pool = two;\nSELECT 'right: ' || @{[right_batch($held, 100)]};");
		wait_inside($node, backend_pid($node, $holder));
		my $session = start_sql($node, "SET iopool.checkout_timeout = -1;\nBEGIN;\nSET LOCAL iopool.pool = one;\nSELECT @{[submit($held, 8)]};\n"
			  . "SET LOCAL iopool.pool = two;\nSELECT @{[right_batch($plain, 10)]};\nROLLBACK;");
		my $pid = backend_pid($node, $session);
		ask_until($node, "SELECT waiting = 1 FROM iopool_pools WHERE name = 'two'");
		ask($node, "SELECT pg_cancel_backend($pid)");
		ok(ask_until($node, "SELECT state = 'draining' AND in_flight > 0 FROM iopool_rings WHERE pid = $pid"), "$label: waits for its reads");
		ok(stays(sub { ($session->output)[1] !~ /57014/ }), "$label: no error before they are in");
		$fs->ungate('held');
		like(join('', $session->finish), qr/57014/, "$label: the error comes");
		is(join('', $holder->finish), 'right: 100', "$label: and who has the ring gets his rows");
		rings_home($node, $label);
	}

	# A long batch gives way to others that wait, and a superuser says when.
	foreach my $time ('5ms', '-1')
	{
		my $limit = $time eq '-1' ? 'no limit' : "a limit of $time";
		pause($node);
		my ($short) = start_paused($node, "SET iopool.pool = one;\nSET iopool.checkout_timeout = -1;\nBEGIN;\n$pause\n"
			  . "SELECT 'right: ' || @{[right_batch($plain, 10)]};\nSELECT 'busy: ' || count(*) FROM pg_stat_activity WHERE application_name = 'long' AND state = 'active';");
		my $long = start_sql($node, "SET application_name = long;\nSET iopool.pool = one;\nSET iopool.max_lease_time = '$time';\n"
			  . "SELECT 'right: ' || @{[right_batch($plain, 2_000_000)]};");
		ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE pool = 'one' AND pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'long')");
		release($node);
		my $out = join "\n", $short->finish;
		# without a limit, it is over when the long one is, or nearly
		like($out, $time eq '-1' ? qr/^right: 10$/m : qr/^right: 10\nbusy: 1$/m, "$method: ten ranges beside a long batch, with $limit");
		is(join('', $long->finish), 'right: 2000000', "$method: whose bytes are right, with $limit");
	}
	rings_home($node, "$method, leases that give way");

	# Whatever happens to whom: every ring comes back, and no byte is wrong.
	$node->safe_psql('postgres', sprintf q{
		CREATE FUNCTION one_turn(path text) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			n int := 1 + (random() * 400)::int;
			base bigint := (random() * 300000)::int / 8 * 8;
			r bigint;
			s bigint;
			wrong bigint;
		BEGIN
			PERFORM set_config('iopool.pool', (ARRAY['one', 'two', 'default'])[1 + (random() * 2)::int], true);
			PERFORM set_config('iopool.io_mode', (ARRAY['buffered', 'direct'])[1 + random()::int], true);
			r := iopool_submit(path, (SELECT array_agg(base + i * 24 %% 90000) FROM generate_series(1, n) AS i), array_fill(8::bigint, ARRAY[n]));
			PERFORM set_config('iopool.pool', (ARRAY['one', 'two'])[1 + random()::int], true);
			s := iopool_submit(path, (SELECT array_agg(base + i * 48 %% 90000) FROM generate_series(1, n) AS i), array_fill(8::bigint, ARRAY[n]));
			PERFORM pg_sleep(random() * 0.004);
			SELECT count(*) FILTER (WHERE b.data <> int8send(b.file_offset)) INTO wrong
			FROM (SELECT * FROM iopool_read_batch(path, ARRAY[base, base + 800], ARRAY[8, 8]) UNION ALL
				  SELECT * FROM iopool_fetch_next(r, 3) UNION ALL
				  SELECT 0, i, 8, data, NULL FROM generate_series(base, base + 8000, 80) AS i, iopool_read(path, i, 8) AS data UNION ALL
				  SELECT * FROM iopool_fetch(s) UNION ALL
				  SELECT * FROM iopool_fetch(r)) AS b;
			IF wrong <> 0 THEN
				RAISE EXCEPTION 'wrong bytes: %%', wrong;
			END IF;
		END $$;
		CREATE PROCEDURE turns(path text, ends timestamptz) LANGUAGE plpgsql AS $$
		BEGIN
			WHILE clock_timestamp() < ends LOOP
				BEGIN
					PERFORM one_turn(path);
				EXCEPTION WHEN query_canceled THEN
					NULL;
				END;
				COMMIT;
			END LOOP;
		END $$;});
	my %wrong;
	my $nsignals = 0;
	my @sessions;
	my $script = "SET iopool.checkout_timeout = '1min';\nCALL turns('$plain', 'infinity');";
	while ($nsignals < $storm)
	{
		@sessions = grep { !$_->has_ended || do { my (undef, $err) = $_->output; $wrong{$1}++ while $err =~ /(?:ERROR|FATAL):  (\w+: .*)/g; 0 } } @sessions;
		push @sessions, start_sql($node, $script) while @sessions < 5;
		ask($node, q{SELECT CASE WHEN random() < 0.2 THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END
			FROM pg_stat_activity WHERE query ~ '^CALL turns' ORDER BY random() LIMIT 1});
		$nsignals++;
		usleep(int(rand(12_000)));
	}
	# again and again, because one may be about to connect
	poll_until(sub {
		ask($node, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name ~ '^iopool_test'");
		return !grep { !$_->has_ended } @sessions;
	});
	foreach my $session (@sessions)
	{
		my (undef, $err) = $session->finish;
		$wrong{$1}++ while $err =~ /(?:ERROR|FATAL):  (\w+: .*)/g;
	}
	# what ends a session, or reaches it outside of the block that catches it
	delete $wrong{$_} foreach grep { /^57P01|^57014/ } keys %wrong;
	is_deeply(\%wrong, {}, "$method: $nsignals signals in a storm of takeovers, and no other error");
	rings_home($node, "$method, storm");
	reader_is_right($node, $plain, "$method, storm");
	$node->stop;
	unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|which does not hold it|was not ended/, "$method: nothing odd in the log");
}

done_testing();
