# Requests while their reads are held in the kernel by gatefs: what looks and
# waits returns in time, one request does not keep another from completing, and
# no two backends wait for each other's ring.  And on a disk that misbehaves, on
# files that change between submit and fetch, and on more files than
# descriptors.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $size = 4_000_000;
my %held = map { $_ => $fs->path($_) } qw(held1 held2);
my $plain = "$tmp/plain";
write_words($fs->backing($_), $size) foreach (keys %held);
write_words($plain, $size);

my $nfiles = 3000;
my $many = "$tmp/many";
mkdir $many or die "could not create \"$many\": $!";
write_words("$many/$_", 64, $_ * 65536) foreach (1 .. $nfiles);

# submit(): a request of n ranges that lie apart; right_rows(): its right rows,
# which end it.  until_held(): lets a request go on until the gate has so many
# reads of its file, or it is done because the gate is open again.
my $functions = q{
	CREATE FUNCTION submit(path text, n int) RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT iopool_submit(path, (SELECT array_agg(i * 192 ORDER BY i) FROM generate_series(0, n - 1) AS i),
			array_fill(8::bigint, ARRAY[n]))$$;
	CREATE FUNCTION right_rows(request bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(request)$$;
	CREATE FUNCTION next_right_rows(request bigint, max_rows int) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		part record;
		total bigint := 0;
	BEGIN
		LOOP
			SELECT count(*) AS n, count(*) FILTER (WHERE data = int8send(file_offset)) AS right_ones
			INTO part FROM iopool_fetch_next(request, max_rows);
			EXIT WHEN part.n = 0;
			total := total + part.right_ones;
		END LOOP;
		RETURN total;
	END $$;
	CREATE FUNCTION until_held(request bigint, path text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE pg_read_file(path || '.blocked')::int < n LOOP
			EXIT WHEN (SELECT completed = ranges FROM iopool_poll(request));
			PERFORM pg_sleep(0.002);
		END LOOP;
	END $$;
};

# A session that holds an advisory lock until release_lock().
my %lockers;

sub take_lock
{
	my ($node, $key) = @_;
	$key //= 4711;
	my $locker = start_sql($node, "SELECT pg_advisory_lock($key);\nSELECT pg_sleep(3600);");
	$lockers{$key} = [ $locker, backend_pid($node, $locker) ];
	ask_until($node, "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = $key AND granted");
	return;
}

sub release_lock
{
	my ($node, $key) = @_;
	my ($locker, $pid) = @{ delete $lockers{ $key // 4711 } };
	ask($node, "SELECT pg_terminate_backend($pid)");
	$locker->finish;
	return;
}

# Waits under the lock, where the test can look around.
my $pause = "SELECT pg_advisory_xact_lock_shared(4711);";

sub wait_for_pause
{
	my ($node, @pids) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $list = join ', ', @pids;
	return ask_until($node, "SELECT count(*) = " . @pids . " FROM pg_stat_activity WHERE pid IN ($list) AND wait_event_type = 'Lock'")
	  || !fail('the session comes to its pause');
}

# Reads in flight of a backend, of all its rings.
sub in_flight
{
	my ($node, $pid) = @_;
	return ask($node, "SELECT coalesce(sum(in_flight), 0) FROM iopool_rings WHERE pid = $pid");
}

foreach my $method (test_methods())
{
	my $node = iopool_node("requests_$method", $method,
		'iopool.rings' => 3, 'iopool.ring_entries' => 16,
		'iopool.pools' => 'a(rings=1), b(rings=1)',
		'iopool.checkout_timeout' => '2min',
		'max_files_per_process' => 128,
		'max_prepared_transactions' => 5);
	my $position = -s $node->logfile;
	ask($node, $functions);

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";
		my $async = goes_on_alone($method);
		my $set = "SET iopool.io_mode = $mode;\nSET statement_timeout = '2min';\n";
		my ($out, $err, $session, $pid);

		# Looking and waiting with a limit, while the reads are held.  A method
		# that reads in this process cannot do it on a file system that cannot
		# be asked for what it has.
		if ($async)
		{
			# All of it is in flight when the submit returns, also where the file
			# system does not know uncached reads and refuses them first.
			take_lock($node);
			$fs->gate('held1');
			$session = start_sql($node, $set . qq{
				BEGIN;
				SELECT submit('$held{held1}', 8) AS r \\gset
				$pause
				SELECT 'right: ' || right_rows(:r);
				COMMIT;});
			wait_for_pause($node, backend_pid($node, $session));
			ok(poll_until(sub { $fs->blocked('held1') == 8 }), "$label: what is submitted is in flight");
			$fs->ungate('held1');
			release_lock($node);
			like(($session->finish)[0], qr/^right: 8$/m, "$label: it comes in");
			rings_home($node, "$label, submitted");

			take_lock($node);
			$fs->gate('held1');
			$session = start_sql($node, $set . qq{
				BEGIN;
				SELECT submit('$held{held1}', 8) AS r \\gset
				SELECT until_held(:r, '$held{held1}', 8);
				SELECT 'in flight: ' || sum(in_flight) FROM iopool_rings WHERE pid = pg_backend_pid();
				DO \$\$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM iopool_poll((SELECT request FROM iopool_requests)); END LOOP; END \$\$;
				SELECT 'poll: ' || p FROM iopool_poll(:r) AS p;
				SELECT 'wait 0: ' || iopool_wait(:r, 0);
				SELECT clock_timestamp() AS t \\gset
				SELECT 'wait 100: ' || iopool_wait(:r, 100);
				SELECT 'waited: ' || (clock_timestamp() - :'t' >= interval '95 ms');
				SELECT 'any 0: ' || coalesce(iopool_wait_any(ARRAY[:r], 0), -1);
				SELECT clock_timestamp() AS t \\gset
				SELECT 'any 100: ' || coalesce(iopool_wait_any(ARRAY[:r], 100), -1);
				SELECT 'waited: ' || (clock_timestamp() - :'t' >= interval '95 ms');
				SELECT 'view: ' || completed || ' of ' || ranges FROM iopool_requests;
				$pause
				SELECT 'done: ' || iopool_wait(:r);
				SELECT 'poll: ' || p FROM iopool_poll(:r) AS p;
				SELECT 'right: ' || right_rows(:r);
				COMMIT;});
			$pid = backend_pid($node, $session);
			wait_for_pause($node, $pid);
			is($fs->blocked('held1'), 8, "$label: every read is still held after each of the looks");
			($out) = $session->output;
			is($out =~ s/^\n//mgr,
				"in flight: 8\npoll: (8,0,0,0)\nwait 0: false\nwait 100: false\nwaited: true\nany 0: -1\nany 100: -1\nwaited: true\nview: 0 of 8\n",
				"$label: they tell that nothing is done, and have waited no less than asked");
			is(in_flight($node, $pid), 8, "$label: the view of rings agrees");
			$fs->ungate('held1');
			release_lock($node);
			($out, $err) = $session->finish;
			is($err, '', "$label: no error");
			like($out, qr/^done: true\npoll: \(8,8,0,64\)\nright: 8$/m, "$label: the request is complete after all these");
			rings_home($node, "$label, looks");

			# One that is held keeps no other from completing, fetched each way,
			# and no other function from reading.
			take_lock($node);
			$fs->gate('held1');
			$session = start_sql($node, $set . qq{
				BEGIN;
				SELECT submit('$held{held1}', 8) AS r \\gset
				SELECT until_held(:r, '$held{held1}', 8);
				SELECT submit('$plain', 2000) AS p \\gset
				SELECT 'any: ' || (iopool_wait_any(ARRAY[:r, :p]) = :p);
				SELECT 'wait: ' || iopool_wait(:p);
				SELECT 'fetch: ' || right_rows(:p);
				SELECT 'fetch: ' || right_rows(submit('$plain', 2000));
				SELECT 'next: ' || next_right_rows(submit('$plain', 2000), 100);
				SELECT 'cancel: ' || iopool_cancel(submit('$plain', 2000));
				SELECT 'batch: ' || count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch('$plain', ARRAY[8, 8000, 300000], ARRAY[8]);
				SELECT 'read: ' || (iopool_read('$plain', 8, 8) = int8send(8));
				$pause
				SELECT 'right: ' || right_rows(:r);
				COMMIT;});
			$pid = backend_pid($node, $session);
			wait_for_pause($node, $pid);
			is($fs->blocked('held1'), 8, "$label: one request is held all the while");
			($out) = $session->output;
			is($out =~ s/^\n//mgr, "any: true\nwait: true\nfetch: 2000\nfetch: 2000\nnext: 2000\ncancel: true\nbatch: 3\nread: true\n",
				"$label: the others complete");
			$fs->ungate('held1');
			release_lock($node);
			($out, $err) = $session->finish;
			is($err, '', "$label: no error beside a held one");
			like($out, qr/^right: 8$/m, "$label: the one that was held completes, too");
			rings_home($node, "$label, beside a held one");
		}

		# Ranges beyond the window, held; then a ring full of them, with another
		# request that finds no room.
		$fs->gate('held1');
		$session = start_sql($node, $set . qq{
			BEGIN;
			SELECT submit('$held{held1}', 1000) AS r \\gset
			SELECT submit('$plain', 1000) AS p \\gset
			SELECT until_held(:r, '$held{held1}', 1);
			SELECT 'right: ' || right_rows(:p);
			SELECT 'right: ' || right_rows(:r);
			COMMIT;});
		$fs->wait_blocked('held1', 1);
		cmp_ok($fs->blocked('held1'), '<=', 2 * 16 + 1,
			"$label: no more than the ring has entries, and as many hints");
		$fs->ungate('held1');
		($out, $err) = $session->finish;
		is("$out$err" =~ s/^\n//mgr, "right: 1000\nright: 1000", "$label: beyond the window, both complete");
		rings_home($node, "$label, full ring");

		# A cancel returns when the reads are in, and does not make those that
		# have not been started.
		$fs->gate('held1');
		$session = start_sql($node, $set . qq{
			BEGIN;
			SELECT submit('$held{held1}', 1000) AS r \\gset
			@{[$async ? "SELECT until_held(:r, '$held{held1}', 1);" : '']}
			SELECT iopool_stat_reset();
			SELECT 'cancel: ' || iopool_cancel(:r);
			SELECT 'again: ' || iopool_cancel(:r);
			SELECT 'few: ' || (sum(reads) < 1000) FROM iopool_pools;
			SELECT 'rings: ' || count(*) FROM iopool_rings WHERE pid = pg_backend_pid();
			SELECT 'right: ' || right_rows(submit('$plain', 100));
			COMMIT;});
		if ($async)
		{
			$pid = backend_pid($node, $session);
			ok( ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE pid = $pid AND state = 'draining' AND in_flight > 0"),
				"$label: a cancel drains");
			($out) = $session->output;
			unlike($out, qr/cancel/, "$label: a cancel returns no earlier than the reads");
			cmp_ok($fs->blocked('held1'), '>', 0, "$label: which are held");
		}
		is(ask($node, $set . "SELECT right_rows(submit('$plain', 100))"),
			100, "$label: another session goes on meanwhile");
		$fs->ungate('held1');
		($out, $err) = $session->finish;
		is("$out$err" =~ s/^\n//mgr, "cancel: true\nagain: false\nfew: true\nrings: 0\nright: 100", "$label: a cancel");
		rings_home($node, "$label, cancel");

		# Two pools of one ring each, two backends that want them in opposite
		# order: each holds the one with reads in flight when it asks for the
		# other.  With the gate shut until both ask, and without a gate.
		foreach my $file ('held', 'plain')
		{
			my @paths = $file eq 'held' ? @held{qw(held1 held2)} : ($plain, $plain);
			my $two = "$label, two pools, $file";

			take_lock($node);
			if ($file eq 'held')
			{
				$fs->gate($_) foreach (qw(held1 held2));
			}
			my @sessions = map {
				my ($first, $second) = $_ ? qw(b a) : qw(a b);
				start_sql($node, $set . qq{
					BEGIN;
					SET LOCAL iopool.pool = $first;
					SELECT submit('$paths[$_]', 500) AS r \\gset
					$pause
					SET LOCAL iopool.pool = $second;
					SELECT submit('$paths[$_]', 500) AS s \\gset
					SELECT 'right: ' || right_rows(:s);
					SELECT 'right: ' || right_rows(:r);
					COMMIT;}) } 0, 1;
			my @pids = map { backend_pid($node, $_) } @sessions;
			wait_for_pause($node, @pids);
			foreach my $n ($async ? (0, 1) : ())
			{
				cmp_ok(ask($node, "SELECT in_flight FROM iopool_rings WHERE pool = '" . ($n ? 'b' : 'a') . "' AND pid = $pids[$n]"),
					'>', 0, "$two: session $n holds its ring, with reads in flight");
			}
			release_lock($node);
			if ($file eq 'held')
			{
				# one of them may have both rings by now
				poll_until(sub {
					return $fs->blocked('held1') + $fs->blocked('held2') > 0
					  && ask($node, "SELECT count(*) = 2 FROM pg_stat_activity WHERE pid IN ($pids[0], $pids[1]) AND wait_event_type = 'Extension'") eq 't';
				}) or fail("$two: both wait");
				$fs->ungate($_) foreach (qw(held1 held2));
			}
			foreach my $n (0, 1)
			{
				($out, $err) = $sessions[$n]->finish;
				is("$out$err" =~ s/^\n//mgr, "right: 500\nright: 500", "$two: session $n completes");
			}
			rings_home($node, $two);
		}
		{
			my @sessions = map {
				my ($first, $second) = $_ ? qw(b a) : qw(a b);
				start_sql($node, $set . qq{
					DO \$\$
					DECLARE
						r bigint;
						s bigint;
						total bigint := 0;
					BEGIN
						FOR i IN 1 .. 30 LOOP
							PERFORM set_config('iopool.pool', '$first', true);
							r := submit('$plain', 40);
							PERFORM set_config('iopool.pool', '$second', true);
							s := submit('$plain', 40);
							total := total + right_rows(CASE i % 2 WHEN 0 THEN r ELSE s END);
							total := total + right_rows(CASE i % 2 WHEN 0 THEN s ELSE r END);
						END LOOP;
						RAISE NOTICE 'total: %', total;
					END
					\$\$;}) } 0 .. 3;
			foreach my $n (0 .. 3)
			{
				($out, $err) = $sessions[ $n ]->finish;
				like($err, qr/total: 2400$/m, "$label: two pools by turns in four sessions, session $n");
				unlike($err, qr/ERROR/, "$label: two pools by turns, session $n: no error");
			}
			rings_home($node, "$label, two pools by turns");
		}

		# No ring within checkout_timeout: submit fails, and has left nothing.
		# What holds the ring is a session that waits for its reads.
		my $holder_sql = "SET iopool.pool = a;\nSELECT 'right: ' || right_rows(submit('$held{held1}', 100));";
		$fs->gate('held1');
		my $holder = start_sql($node, $set . $holder_sql);
		$pid = backend_pid($node, $holder);
		wait_inside($node, $pid);
		is(ask($node, "SELECT pid FROM iopool_rings WHERE pool = 'a' AND state <> 'free'"),
			$pid, "$label: a session that reads holds the ring");
		foreach my $timeout ('0', '100ms')
		{
			($out, $err) = start_sql($node, $set . qq{
				SET iopool.checkout_timeout = '$timeout';
				BEGIN;
				SELECT submit('$plain', 100) AS first \\gset
				SET LOCAL iopool.pool = a;
				SAVEPOINT s;
				SELECT submit('$plain', 100);
				ROLLBACK TO s;
				DO \$\$ BEGIN
					PERFORM submit('$plain', 100);
				EXCEPTION WHEN configuration_limit_exceeded THEN
					RAISE NOTICE 'caught %', SQLSTATE;
				END \$\$;
				SELECT 'requests: ' || count(*) FROM iopool_requests;
				SELECT 'waiting: ' || sum(waiting) FROM iopool_pools;
				SELECT 'right: ' || right_rows(:first);
				SET LOCAL iopool.pool = b;
				SELECT 'right: ' || right_rows(submit('$plain', 100));
				COMMIT;})->finish;
			like($err, qr/ERROR:  53400.*NOTICE.*caught 53400/s, "$label: no ring within $timeout");
			is($out, "requests: 1\nwaiting: 0\nright: 100\nright: 100", "$label: nothing is left of that submit");
		}
		# Cancelled while it waits for the ring.
		$session = start_sql($node, $set . qq{
			BEGIN;
			SET LOCAL iopool.pool = a;
			SELECT submit('$plain', 100);
			ROLLBACK;
			SELECT 'requests: ' || count(*) FROM iopool_requests;
			SELECT 'right: ' || right_rows(submit('$plain', 100));});
		$pid = backend_pid($node, $session);
		ask_until($node, "SELECT waiting = 1 FROM iopool_pools WHERE name = 'a'");
		ask($node, "SELECT pg_cancel_backend($pid)");
		($out, $err) = $session->finish;
		like($err, qr/ERROR:  57014/, "$label: a submit that waits for a ring is cancelled");
		is($out, "requests: 0\nright: 100", "$label: nothing is left of it");
		# Others do get it when its reads are in.
		$session = start_sql($node, $set . "SET iopool.pool = a;\nSELECT 'right: ' || right_rows(submit('$plain', 100));");
		ask_until($node, "SELECT waiting = 1 FROM iopool_pools WHERE name = 'a'");
		$fs->ungate('held1');
		is(join('', $session->finish), 'right: 100', "$label: the next one gets the ring");
		is(join('', $holder->finish) =~ s/^\n//mgr, 'right: 100', "$label: and the holder its rows");
		rings_home($node, "$label, checkout_timeout");

		# A request whose ring somebody else has by now.  A wait ends in time, a
		# fetch fails and leaves the request as it was, and with a ring all is
		# there.
		take_lock($node);
		$session = start_sql($node, $set . qq{
			BEGIN;
			SET LOCAL iopool.pool = a;
			SELECT submit('$plain', 5000) AS r \\gset
			$pause
			SET LOCAL iopool.checkout_timeout = '1min';
			SELECT 'wait 0: ' || iopool_wait(:r, 0);
			SELECT 'wait 100: ' || iopool_wait(:r, 100);
			SELECT 'any 100: ' || coalesce(iopool_wait_any(ARRAY[:r], 100), -1);
			SELECT 'poll: ' || ranges || ' ' || (completed < ranges) FROM iopool_poll(:r);
			SET LOCAL iopool.checkout_timeout = 0;
			SAVEPOINT t;
			SELECT right_rows(:r);
			ROLLBACK TO t;
			SET LOCAL iopool.checkout_timeout = '1min';
			SELECT 'right: ' || right_rows(:r);
			COMMIT;});
		$pid = backend_pid($node, $session);
		wait_for_pause($node, $pid);
		$fs->gate('held1');
		$holder = start_sql($node, $set . $holder_sql);
		wait_inside($node, backend_pid($node, $holder));
		release_lock($node);
		# it has come to the fetch that waits
		ask_until($node, "SELECT waiting = 1 AND (SELECT query ~ 'right:' FROM pg_stat_activity WHERE pid = $pid) FROM iopool_pools WHERE name = 'a'");
		$fs->ungate('held1');
		($out, $err) = $session->finish;
		is($out =~ s/^\n//mgr, "wait 0: false\nwait 100: false\nany 100: -1\npoll: 5000 true\nright: 5000",
			"$label: a request whose ring is somebody else's");
		is(join(' ', $err =~ /ERROR:  (\w+)/g), '53400', "$label: a fetch that does not get a ring fails, once");
		is(join('', $holder->finish) =~ s/^\n//mgr, 'right: 100', "$label: and who has it gets his rows");
		rings_home($node, "$label, without a ring");

		# Short reads, bad bytes and transient errors.
		my $right = sub {
			my ($what, $expected) = @_;
			local $Test::Builder::Level = $Test::Builder::Level + 1;
			is( ask($node, qq{
					$set
					SELECT count(*) FILTER (WHERE error IS NULL AND data = pg_read_binary_file('$plain', file_offset, length)),
						count(*) FILTER (WHERE data IS NULL AND error LIKE '%Input/output error'),
						count(*) FILTER (WHERE error IS NOT NULL AND file_offset BETWEEN 32761 AND 45055)
					FROM iopool_fetch(iopool_submit('$held{held2}',
						(SELECT array_agg(n * 8 ORDER BY n) FROM generate_series(0, 9999) AS n) || ARRAY[1000000, 0, 3999999, 77],
						array_fill(8::bigint, ARRAY[10000]) || ARRAY[100000, 8, 100, 9000]::bigint[]), 'report')}),
				$expected, "$label: $what");
		};
		$right->('without faults', '10004|0|0');
		$fs->sidecar('held2', 'short', 4096);
		$right->('short reads', '10004|0|0');
		$fs->clear('held2', 'short');
		$fs->sidecar('held2', 'eio', '40960 45056');
		$right->('bad bytes', '9492|512|512');
		$fs->clear('held2', 'eio');
		$fs->sidecar('held2', 'retry', 200);
		$right->('transient errors', '10004|0|0');
		$fs->clear('held2', 'retry');
		rings_home($node, "$label, faults");

		# Files that are replaced, renamed, removed, cut and extended between
		# submit and fetch.  A request reads what it has opened, and no more than
		# there was.
		my @names = qw(replaced renamed removed shrunk grown);
		write_words($fs->backing($_), 400_000) foreach (@names);
		take_lock($node);
		my %reading = map {
			my $name = $_;
			$name => start_sql($node, $set . qq{
				BEGIN;
				SELECT iopool_submit('@{[$fs->path($name)]}',
					(SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 5009) AS n), array_fill(8::bigint, ARRAY[5010])) AS r \\gset
				$pause
				SELECT count(*) FILTER (WHERE data = substr(int8send(file_offset), 1, length(data))),
					count(*) FILTER (WHERE length(data) = 8), count(*) FILTER (WHERE data = ''), count(*)
				FROM iopool_fetch(:r);
				COMMIT;}) } @names[ 0, 1, 2 ];
		wait_for_pause($node, map { backend_pid($node, $_) } values %reading);
		write_words($fs->backing('new'), 400_000, 2**40);
		rename $fs->backing('new'), $fs->backing('replaced') or die $!;
		rename $fs->backing('renamed'), $fs->backing('elsewhere') or die $!;
		unlink $fs->backing('removed') or die $!;
		release_lock($node);
		foreach my $name (sort keys %reading)
		{
			is(join('', $reading{$name}->finish) =~ s/^\n//mgr, '5010|5000|10|5010', "$label: a file that was $name after submit");
		}
		take_lock($node);
		%reading = map {
			my $name = $_;
			$name => start_sql($node, $set . qq{
				BEGIN;
				SELECT iopool_submit('@{[$fs->path($name)]}',
					(SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 5009) AS n) || ARRAY[0, 399996],
					array_fill(8::bigint, ARRAY[5010]) || ARRAY[1000000, 100]::bigint[]) AS r \\gset
				$pause
				SELECT bool_and(data = substr(int8send(file_offset), 1, length(data))) FILTER (WHERE ordinal <= 5000),
					max(length(data)) FILTER (WHERE ordinal = 5011), max(length(data)) FILTER (WHERE ordinal = 5012),
					sum(length(data)) FILTER (WHERE ordinal BETWEEN 5001 AND 5010), count(*)
				FROM iopool_fetch(:r);
				COMMIT;}) } qw(shrunk grown);
		wait_for_pause($node, map { backend_pid($node, $_) } values %reading);
		truncate $fs->backing('shrunk'), 100_003 or die $!;
		append_to_file($fs->backing('grown'), 'x' x 400_000);
		release_lock($node);
		like(join('', $reading{shrunk}->finish) =~ s/^\n//mgr, qr/^t\|100003\|0\|0\|5012$/, "$label: a file that shrank after submit");
		is(join('', $reading{grown}->finish) =~ s/^\n//mgr, 't|400000|4|0|5012', "$label: a file that grew after submit");
		rings_home($node, "$label, files");

		# More files than descriptors, in one request and in several at once,
		# with a missing one; nothing stays open.
		($out, $err) = start_sql($node, $set . qq{
			CREATE TEMP TABLE r AS
				SELECT n AS ordinal, (n * 7919) % $nfiles + 1 AS file, (n % 7) * 8 AS o
				FROM generate_series(1, 2 * $nfiles) AS n;
			CREATE FUNCTION pg_temp.submit_part(part int, parts int) RETURNS bigint LANGUAGE sql VOLATILE AS \$\$
				SELECT iopool_submit(array_agg('$many/' || CASE WHEN ordinal = 1 THEN 'none' ELSE file::text END ORDER BY ordinal),
					array_agg(o ORDER BY ordinal), array_agg(8))
				FROM r WHERE ordinal % parts = part\$\$;
			CREATE FUNCTION pg_temp.right_part(request bigint, part int, parts int) RETURNS text LANGUAGE sql VOLATILE AS \$\$
				SELECT count(*) FILTER (WHERE b.data = int8send(r.file * 65536::bigint + r.o)) || ' ' || count(b.error)
				FROM (SELECT *, row_number() OVER (ORDER BY ordinal) AS place FROM r WHERE ordinal % parts = part) AS r
					JOIN iopool_fetch(request, 'report') AS b ON b.ordinal = r.place\$\$;
			CREATE TEMP TABLE left_open (n int);
			BEGIN;
			SELECT 'one: ' || pg_temp.right_part(pg_temp.submit_part(0, 1), 0, 1);
			CREATE TEMP TABLE parts ON COMMIT DROP AS
				SELECT n, pg_temp.submit_part(n, 10) AS request FROM generate_series(0, 9) AS n;
			SELECT 'at most: ' || (count(*) <= 128) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd');
			SELECT 'part: ' || pg_temp.right_part(request, n, 10) FROM (SELECT * FROM parts ORDER BY n DESC) AS s;
			COMMIT;
			COPY left_open FROM PROGRAM 'ls -l /proc/\$PPID/fd | grep /many/ | wc -l';
			BEGIN;
			SELECT count(pg_temp.submit_part(n, 10)) FROM generate_series(0, 9) AS n \\gset
			ROLLBACK;
			COPY left_open FROM PROGRAM 'ls -l /proc/\$PPID/fd | grep /many/ | wc -l';
			SELECT 'left open: ' || n FROM left_open;
			})->finish;
		my $part = 2 * $nfiles / 10;
		is($out, join("\n", 'one: ' . (2 * $nfiles - 1) . ' 1', 'at most: true',
				("part: $part 0") x 8, 'part: ' . ($part - 1) . ' 1', "part: $part 0",
				'left open: 0', 'left open: 0'),
			"$label: more files than descriptors");
		is($err, '', "$label: more files than descriptors: no error");
		rings_home($node, "$label, many files");
	}

	# A transaction that is prepared is over for its session.
	{
		my ($ret, $out, $err) = $node->psql('postgres', qq{
			BEGIN;
			SELECT submit('$plain', 5000);
			PREPARE TRANSACTION 'unfetched';
			SELECT 'requests: ' || count(*) FROM iopool_requests;
			COMMIT PREPARED 'unfetched';
			BEGIN;
			SELECT 'right: ' || right_rows(submit('$plain', 5000));
			PREPARE TRANSACTION 'fetched';
			ROLLBACK PREPARED 'fetched';});
		is($out, "1\nrequests: 0\nright: 5000", "$method: a prepared transaction keeps no request");
		my @warnings = $err =~ /WARNING:  (.*)/g;
		is_deeply(\@warnings, ['1 iopool request was not fetched before its transaction ended'],
			"$method: and says so, once");
		rings_home($node, "$method, prepared transaction");
	}

	unlike(log_since($node, $position), qr/PANIC|TRAP|server process .* was terminated|does not hold it|is broken|stream was not ended/,
		"$method: nothing odd in the log");
	is(ask($node, 'SELECT sum(stale_completions) FROM iopool_pools'), 0, "$method: every completion had its reader");
	$node->stop;
}

done_testing();
