# The end of a request at every point of its life: cancelled, timed out,
# failing, terminated, its client gone, its backend killed.  Reads are held in
# the kernel by gatefs, and after each end no ring is lost, no read has landed
# in memory that is somebody else's by now, and the next reader gets the right
# bytes.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $held = $fs->path('held');
my $plain = "$tmp/plain";
write_words($fs->backing('held'), 4_000_000);
write_words($plain, 4_000_000);

my $functions = q{
	CREATE FUNCTION submit(path text, n int) RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT iopool_submit(path, (SELECT array_agg(i * 192 ORDER BY i) FROM generate_series(0, n - 1) AS i),
			array_fill(8::bigint, ARRAY[n]))$$;
	CREATE FUNCTION right_rows(request bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(request)$$;
	CREATE FUNCTION until_held(request bigint, path text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE pg_read_file(path || '.blocked')::int < n LOOP
			EXIT WHEN (SELECT completed = ranges FROM iopool_poll(request));
			PERFORM pg_sleep(0.002);
		END LOOP;
	END $$;
	CREATE FUNCTION poll_for_ever(request bigint) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			PERFORM iopool_poll(request);
		END LOOP;
	END $$;
};

my $canary = canary();

# Two requests with reads in flight, in long and in short ranges and with many
# more beyond the window, and one that is done and not fetched.
my $requests = qq{
	SELECT submit('$plain', 20) AS done \\gset
	SELECT iopool_wait(:done) \\gset
	SELECT iopool_submit('$held', ARRAY[0, 1500000, 3000000], ARRAY[1000000, 1000000, 900000]) AS long \\gset
	SELECT submit('$held', 20000) AS r \\gset
};
# ... and certainly in flight, where that is a state to be in
my $in_flight = "SELECT until_held(:r, '$held', 1);\n";

# For a method that makes reads in this process.  It cannot ask gatefs whether
# a read would have to wait, so whatever function of iopool comes next is inside
# of one.
my $one_request = qq{
	SELECT submit('$plain', 20) AS done \\gset
	SELECT iopool_wait(:done) \\gset
	SELECT submit('$held', 20000) AS r \\gset
	SELECT :r AS long \\gset
};

# Points of a request's life.
#   sql: leads to it; the transaction is open
#   blocks: a statement that waits for the reads, so with a method that makes
#     them itself it is inside one; else it stays where it is, whatever happens
#   drains: waits for what is in flight and cannot be interrupted
my %points = (
	'after submit' => { sql => "SELECT pg_sleep(3600);" },
	'idle' => { sql => undef },
	'in poll' => { sql => "SELECT poll_for_ever(:r);", blocks => 1 },
	'in wait' => { sql => "SELECT iopool_wait(:r);", blocks => 1 },
	'in wait with a timeout' => { sql => "SELECT iopool_wait(:r, 1000000);", blocks => 1 },
	'in wait_any' => { sql => "SELECT iopool_wait_any(ARRAY[:long, :r]);", blocks => 1 },
	'in fetch' => { sql => "SELECT count(*) FROM iopool_fetch(:r);", blocks => 1 },
	'in fetch of another' => { sql => "SELECT count(*) FROM iopool_fetch(:long, 'report');", blocks => 1 },
	'in fetch_next' => { sql => "SELECT count(*) FROM iopool_fetch_next(:r, 100);", blocks => 1 },
	'in a batch' => { sql => "SELECT count(*) FROM iopool_read_batch('$held', ARRAY[0, 8000], ARRAY[8]);", blocks => 1 },
	'in a subtransaction' => { sql => "SAVEPOINT s;\nSELECT submit('$held', 100) AS s \\gset\nSELECT iopool_wait(:s);", blocks => 1 },
	'in a block with EXCEPTION' => {
		sql => "DO \$\$ BEGIN PERFORM iopool_wait(submit('$held', 100)); EXCEPTION WHEN division_by_zero THEN NULL; END \$\$;",
		blocks => 1 },
	'in a cursor' => { sql => "DECLARE c CURSOR FOR SELECT data FROM iopool_fetch(:r);\nFETCH 1 FROM c;", blocks => 1 },
	'in cancel' => { sql => "SELECT iopool_cancel(:r), iopool_cancel(:long);\nSELECT pg_sleep(3600);", drains => 1 },
	'in commit' => { sql => "COMMIT;\nBEGIN;\nSELECT pg_sleep(3600);", drains => 1 },
	'in rollback' => { sql => "ROLLBACK;\nBEGIN;\nSELECT pg_sleep(3600);", drains => 1 },
	'in a rollback to a savepoint' => {
		sql => "SAVEPOINT s;\nSELECT submit('$held', 100) AS s \\gset\nROLLBACK TO s;\nSELECT pg_sleep(3600);" },
	'in the abort of an error' => { sql => "SELECT 1 / 0;\nROLLBACK;\nBEGIN;\nSELECT pg_sleep(3600);", drains => 1 },
);

# Whether a session has come to its point.
sub wait_for_point
{
	my ($node, $pid, $point, $method, $mode) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $where = "FROM pg_stat_activity WHERE pid = $pid";
	my $last = (split /\n/, $point->{sql} // '')[-1] // '';
	my $async = goes_on_alone($method);
	my $query;

	$last =~ s/:\w+.*//;
	$last =~ s/'/''/g;
	if (!defined $point->{sql})
	{
		$query = "SELECT state = 'idle in transaction' AND query ~ 'ready' $where";
	}
	elsif ($point->{drains} && $async)
	{
		$query = "SELECT count(*) = 1 FROM iopool_rings WHERE state = 'draining' AND in_flight > 0 AND pid = $pid";
	}
	elsif ($point->{blocks})
	{
		$fs->wait_blocked('held', 1);
		return 1 if !$async && $mode eq 'direct';
		$query = "SELECT state = 'active' AND starts_with(query, '$last') $where";
		# What is held may have been announced only, and between two statements
		# a cancel is lost.  A statement that takes so long is inside of a read.
		$query = "SELECT state = 'active' AND (starts_with(query, '$last')"
		  . " OR clock_timestamp() - query_start > interval '1 s') $where"
		  if !$async;
	}
	else
	{
		$query = "SELECT coalesce(wait_event = 'PgSleep', false) AND query ~ 'pg_sleep' $where";
	}
	return ask_until($node, $query)
	  || !fail("the session comes to its point");
}

# Ends that the session survives.
my %survived = (
	'cancel' => sub {
		my ($node, $pid) = @_;
		ask($node, "SELECT pg_cancel_backend($pid)");
	},
	# until the time is up, by the clock that the timeout goes by
	'statement_timeout' => sub {
		my ($node, $pid) = @_;
		ask_until($node, "SELECT clock_timestamp() > query_start + interval '600 ms' FROM pg_stat_activity WHERE pid = $pid");
	},
	'nothing' => sub { },
);

foreach my $method (test_methods())
{
	my $node = iopool_node("life_$method", $method, without_server_rings(),
		'iopool.rings' => 3, 'iopool.ring_entries' => 16,
		'iopool.pools' => 'other(rings=1)',
		'restart_after_crash' => 'on',
		'client_connection_check_interval' => '50ms');
	my $position = -s $node->logfile;
	ask($node, $functions);

	foreach my $mode (qw(buffered direct))
	{
		my $async = goes_on_alone($method);
		my $begin = "SET iopool.io_mode = $mode;\nBEGIN;\n" . ($async ? "$requests$in_flight" : $one_request);

		foreach my $where (sort keys %points)
		{
			my $point = $points{$where};

			# A method that reads in this process is inside a read, whatever the
			# function, and io_uring knows no difference between the modes: some
			# points will do there.
			next if ($async ? $method eq 'io_uring' && $mode eq 'direct' : 1)
			  && $where !~ /^(after submit|idle|in poll|in wait|in fetch|in fetch_next|in commit)$/;

			foreach my $what (sort keys %survived)
			{
				next unless defined $point->{sql};
				# comes to the same as a cancel, only later
				next if $what eq 'statement_timeout' && $mode eq 'direct';
				# what waits for the reads goes on by itself when they are in
				next if $what eq 'nothing' && !($point->{drains} && $async);
				my $label = "$method, $mode, $where, $what";
				lock_canary($node);

				$fs->gate('held');
				my $sql = $point->{sql};
				# nothing else is to come after the point
				$sql =~ s/\nSELECT pg_sleep\(3600\);$// if $what eq 'nothing';
				my $session = start_sql($node, $begin
					  . ($what eq 'statement_timeout' ? "SET statement_timeout = '500ms';\n" : '')
					  . "$sql\nROLLBACK;\nRESET statement_timeout;\n$canary\n"
					  . "SELECT 'requests: ' || count(*) FROM iopool_requests;\n"
					  . "SELECT 'right: ' || right_rows(submit('$plain', 3));");
				my $pid = backend_pid($node, $session);
				wait_for_point($node, $pid, $point, $method, $mode);
				$survived{$what}->($node, $pid);

				# Nothing may let go of the reads before they are in.
				if ($async)
				{
					ok(holds_back($node, $session, $pid, qr/canary/), "$label: the session does not go on while reads are in flight");
					cmp_ok($fs->blocked('held'), '>', 0,
						"$label: the reads are still held");
				}
				$fs->ungate('held');
				# A cancel that came while it could not be served is gone.  Not one
				# that is about to be served: the next would meet the canary.
				my $last = time();
				poll_until(sub {
					my $now = ask($node, "SELECT coalesce(wait_event_type, ''), coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $pid");
					if ($point->{drains} && $now =~ /PgSleep/ && time() > $last + 1)
					{
						ask($node, "SELECT pg_cancel_backend($pid)");
						$last = time();
					}
					return $now =~ /^Lock/;
				}) or fail("$label: the session goes on when the reads are in");
				unlock_canary($node);

				my ($out, $err) = $session->finish;
				like($err, qr/ERROR:  57014/, "$label: the error comes")
				  if $what eq 'cancel' && !$point->{drains};
				like($err, qr/canary: unharmed/,
					"$label: no read landed in freed memory");
				like($out, qr/^requests: 0\nright: 3$/m,
					"$label: the session has no request left, and reads right bytes")
				  or diag("$out\n$err");
				rings_home($node, $label);
			}

			# Ends of the session.
			foreach my $what ('terminated', 'client killed', 'timed out')
			{
				# only what is idle times out, and a client that is idle can
				# only be killed by itself
				next if $what eq 'timed out' && defined $point->{sql};
				my $label = "$method, $mode, $where, $what";
				my $sql = $point->{sql};
				$sql = "SELECT 'ready';\n"
				  . ($what eq 'client killed' ? '\! kill -9 $PPID'
					: "\\! while [ -d $tmp -a ! -e $tmp/go ]; do sleep 0.05; done\nSELECT 1;")
				  unless defined $sql;

				$fs->gate('held');
				my $session = start_sql($node,
					($what eq 'timed out' ? "SET idle_in_transaction_session_timeout = '2s';\n" : '')
					. "$begin$sql");
				my $pid;
				if ($what eq 'client killed' && !defined $point->{sql})
				{
					$session->finish;
					$pid = ask($node, "SELECT pid FROM iopool_rings WHERE pid IS NOT NULL");
					like($pid, qr/^\d+$/, "$label: the ring is kept when its client is gone")
					  if $async;
					$pid ||= 0;
				}
				else
				{
					$pid = backend_pid($node, $session);
					wait_for_point($node, $pid, $point, $method, $mode)
					  unless $what eq 'timed out';
				}
				if ($what eq 'terminated')
				{
					ask($node, "SELECT pg_terminate_backend($pid)");
				}
				elsif ($what eq 'client killed')
				{
					$session->kill9;
				}

				# A backend that waits for its reads shows that it drains; one that
				# was about to open the same file may have to wait for them there.
				if ($async)
				{
					my $state = $point->{blocks} ? "state <> 'free'" : "state = 'draining'";
					ok( ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE $state AND pid = $pid AND in_flight > 0"),
						"$label: the ring is kept for the reads in flight");
				}
				is(ask($node, "SELECT right_rows(submit('$plain', 100))"),
					100, "$label: another session reads meanwhile");
				$fs->ungate('held');
				if (!defined $point->{sql} && $what ne 'client killed')
				{
					# psql hears of it at its next statement
					ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
					append_to_file("$tmp/go", '');
				}
				$session->finish;
				unlink "$tmp/go";
				ok( ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
					"$label: the backend is gone");
				rings_home($node, $label);
			}
			reader_is_right($node, $held, "$method, $mode, $where");
		}

		# A request from outside outlives what ends in the middle of it, reads
		# in flight included.
		foreach my $what ('cancel', 'error')
		{
			next if $what eq 'cancel' && !$async;
			my $label = "$method, $mode, $what in a subtransaction";
			$fs->gate('held');
			my $session = start_sql($node, "SET iopool.io_mode = $mode;\nBEGIN;\n"
				  . "SELECT submit('$held', 5000) AS r \\gset\n"
				  . "SELECT submit('$plain', 500) AS p \\gset\n"
				  . "SAVEPOINT s;\nSELECT submit('$held', 5000) AS s \\gset\n"
				  . ($what eq 'cancel' ? "SELECT iopool_wait(:r);\n" : ($async ? "SELECT until_held(:r, '$held', 1);\n" : '') . "SELECT 1 / 0;\n")
				  . "ROLLBACK TO s;\n"
				  . "SELECT 'requests: ' || count(*) FROM iopool_requests;\n"
				  . "SELECT 'right: ' || right_rows(:p);\n"
				  . "SELECT 'right: ' || right_rows(:r);\nCOMMIT;");
			my $pid = backend_pid($node, $session);
			$fs->wait_blocked('held', 1);
			ask_until($node, "SELECT " . ($what eq 'cancel' ? "state = 'active' AND query ~ 'iopool_wait'" : "query ~ '1 / 0|ROLLBACK TO|requests|right'")
				  . " FROM pg_stat_activity WHERE pid = $pid")
			  if $async;
			ask($node, "SELECT pg_cancel_backend($pid)") if $what eq 'cancel';
			$fs->ungate('held');
			my ($out, $err) = $session->finish;
			like($err, $what eq 'cancel' ? qr/ERROR:  57014/ : qr/ERROR:  22012/, "$label: the error comes");
			is($out =~ s/^\n//mgr, "requests: 2\nright: 500\nright: 5000", "$label: the requests from outside go on");
			unlike($err, qr/WARNING/, "$label: nothing is left");
			rings_home($node, $label);
		}
	}

	# Many ends in a row lose nothing either.
	foreach my $round (1 .. 20)
	{
		my $mode = (io_modes())[ $round % 3 ];
		$fs->gate('held');
		my $session = start_sql($node, "SET iopool.io_mode = $mode;\nBEGIN;\n$requests\nSELECT iopool_wait(:r);");
		my $pid = backend_pid($node, $session);
		$fs->wait_blocked('held', 1);
		ask($node, "SELECT pg_terminate_backend($pid)");
		$fs->ungate('held');
		$session->finish;
	}
	rings_home($node, "$method, after 20 terminations");
	reader_is_right($node, $held, "$method, after 20 terminations");
	unlike(log_since($node, $position), qr/PANIC|TRAP|server process .* was terminated|does not hold it|is broken|stream was not ended/,
		"$method: nothing odd in the log");

	# SIGKILL of a backend with requests in flight, and of another one along with it.
	foreach my $round (0 .. 3)
	{
		my $mode = (io_modes())[ $round % 3 ];
		my $label = "$method, crash $round";

		$fs->gate('held');
		my $async = goes_on_alone($method);
		my $sql = "SET iopool.io_mode = $mode;\nBEGIN;\n"
		  . ($async ? "$requests$in_flight" : $one_request)
		  . "SELECT " . ($round % 2 ? "iopool_wait(:r)" : "pg_sleep(3600)") . ';';
		my @sessions = start_sql($node, $sql);
		# A hint that is held keeps others from opening the file.
		if (!$async)
		{
			$sql =~ s/\Q$held\E/$plain/g;
			$sql =~ s/iopool_wait\(:r\)/pg_sleep(3600)/;
		}
		push @sessions, start_sql($node, $sql);
		my @pids = map { backend_pid($node, $_) } @sessions;
		ask_until($node, $async
			? "SELECT count(*) = 2 FROM iopool_rings WHERE state = 'leased' AND in_flight > 0"
			: "SELECT count(*) = 2 FROM pg_stat_activity WHERE pid IN (" . join(', ', @pids) . ") AND state = 'active' AND query ~ 'pg_sleep|iopool_wait'");
		$fs->wait_blocked('held', 1) if $round % 2 || $async;
		my $crashes = () = log_since($node, $position) =~
		  /all server processes terminated; reinitializing/g;
		kill 'KILL', $pids[0];
		# A process that is killed inside a read leaves when the read is in.
		$fs->ungate('held');
		$_->finish foreach (@sessions);

		ok( poll_until(sub {
				my $now = () = log_since($node, $position) =~
				  /all server processes terminated; reinitializing/g;
				return $now == $crashes + 1; }),
			"$label: the server reinitializes");
		ok( poll_until(sub { system('pg_isready', '-q', '-h', $node->host,
					'-p', $node->port) == 0 }),
			"$label: the server is back");
		rings_home($node, $label);
		reader_is_right($node, $held, $label);
		is(ask($node, "SELECT right_rows(submit('$held', 1000))"), 1000, "$label: requests work again");
	}
	unlike(log_since($node, $position), qr/PANIC|TRAP/, "$method: no PANIC");
	$node->stop;
}

done_testing();
