# The C interface when something ends in the middle: errors, transactions,
# memory contexts, files, cancels, terminations.  Each with reads that are held
# in the kernel by gatefs, so "in the middle" is a fact, and each followed by
# the proof that memory is unharmed, no ring is lost and the next reader gets
# the right bytes.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolConsumer;
use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $plain = $fs->path('plain');
my $truth = $fs->backing('held');
write_words($fs->backing('held'), 4_000_000);
write_words($fs->backing('plain'), 400_000);

my $functions = q{
-- Adds reads of a file that is not held, and then of one that is, and takes
-- the former: so many, because libaio makes its context only for a lease that
-- is worth it.  What is held is in flight when this returns; with a method
-- that reads synchronously it is asked for, and nothing more.
CREATE FUNCTION hold(s int, plain int, held int, buffer_context text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	ntaken int := 0;
	n int;
BEGIN
	PERFORM consumer_add(s, plain, i * 192, 8, -1) FROM generate_series(1, 600) AS i;
	FOR i IN 0 .. 7 LOOP
		PERFORM consumer_add(s, held, i * 192, 8, i,
			CASE WHEN buffer_context <> '' THEN consumer_buffer(buffer_context, 8) ELSE 0 END);
	END LOOP;
	WHILE ntaken < 600 LOOP
		n := (SELECT count(*) FROM consumer_take(s, 600 - ntaken, -1, 'caller'));
		ntaken := ntaken + n;
	END LOOP;
	-- the last of what is taken may have come before these had a place
	PERFORM consumer_submit(s);
END $$;

-- Takes all that is left and tells how much of it is right.
CREATE FUNCTION rest(s int) RETURNS text LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE nbytes = 8 AND data = int8send(file_offset)) || ' of ' || count(*) || ' right'
	FROM consumer_take_all(s, 'caller')
$$;

CREATE FUNCTION nfds() RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM pg_ls_dir('/proc/self/fd') $$;
};

# A DO block with everything that the cases need.
sub block
{
	my ($mode, $body) = @_;
	return qq{
DO \$\$
DECLARE
	p int := consumer_open('$plain', 'trusted', '$mode');
	h int := consumer_open('$held', 'trusted', '$mode');
	s int; t int; n bigint; r text;
BEGIN
	$body
END \$\$;
};
}

# Name, body of the block, what comes of it, what must not be said before the
# gate is open.  An error that ends the transaction is reported before anything
# is cleaned up, so there only the canary tells.
my $saying = qr/ERROR|NOTICE|WARNING/;
my $canary_only = qr/canary/;
my @cases = (
	[ 'error between add and take',
		q{s := consumer_begin(); PERFORM hold(s, p, h); RAISE EXCEPTION 'on purpose';},
		qr/ERROR:  P0001: on purpose/, $canary_only ],
	[ 'error, everything in the memory of the portal',
		q{s := consumer_begin('portal', buffer_context => 'portal'); PERFORM hold(s, p, h, 'portal'); RAISE EXCEPTION 'on purpose';},
		qr/ERROR:  P0001: on purpose/, $canary_only ],
	[ 'error, with the owner of the transaction',
		q{s := consumer_begin(owner => 'transaction'); PERFORM hold(s, p, h, 'transaction'); RAISE EXCEPTION 'on purpose';},
		qr/ERROR:  P0001: on purpose/, $canary_only ],
	[ 'abort of a subtransaction',
		q{BEGIN
			s := consumer_begin(); PERFORM hold(s, p, h); RAISE EXCEPTION 'on purpose';
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE 'caught: %', SQLERRM;
		END;
		RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_take(' || s || ')');
		s := consumer_begin(); PERFORM consumer_add(s, p, 8, 8); RAISE NOTICE '%', rest(s); PERFORM consumer_end(s);},
		qr/caught: on purpose.*then: 55000.*1 of 1 right/s, $saying ],
	[ 'abort of a subtransaction, and the stream outside of it goes on',
		q{s := consumer_begin();
		BEGIN
			t := consumer_begin(); PERFORM hold(s, p, h), consumer_add(t, h, 8, 8), consumer_submit(t);
			RAISE EXCEPTION 'on purpose';
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
		RAISE NOTICE 'inside: %', consumer_outcome('SELECT consumer_take(' || t || ')');
		RAISE NOTICE 'outside: %', rest(s);
		PERFORM consumer_end(s);},
		qr/inside: 55000.*outside: 8 of 8 right/s, qr/outside|canary/ ],
	[ 'commit without end',
		q{s := consumer_begin(); PERFORM hold(s, p, h);},
		qr/WARNING:  01000: iopool: stream was not ended$/m, $canary_only ],
	[ 'commit of a subtransaction without end',
		q{BEGIN
			s := consumer_begin(); PERFORM hold(s, p, h);
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
		RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_take(' || s || ')');},
		qr/WARNING:  01000: iopool: stream was not ended.*then: 55000/s, qr/then|canary/ ],
	[ 'end',
		q{s := consumer_begin(); PERFORM hold(s, p, h); PERFORM consumer_end(s);
		RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_end(' || s || ')');},
		qr/then: 55000/, $saying ],
	[ 'cancel, and use of the stream again',
		q{s := consumer_begin(); PERFORM hold(s, p, h, 'transaction');
		PERFORM consumer_add(s, h, i * 8, 8) FROM generate_series(1, 100) AS i;
		n := consumer_cancel(s);
		RAISE NOTICE '% cancelled, % left', n, consumer_outstanding(s);
		PERFORM consumer_add(s, h, 1600, 8); PERFORM consumer_add(s, p, 800, 8);
		RAISE NOTICE '%', rest(s);
		PERFORM consumer_end(s);},
		qr/108 cancelled, 0 left.*2 of 2 right/s, $saying ],
	[ 'a file is closed',
		q{n := nfds(); t := consumer_open('PG_VERSION'); s := consumer_begin(); PERFORM hold(s, p, h);
		PERFORM consumer_close(h); PERFORM consumer_close(t);
		RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_add(' || s || ', ' || h || ', 0, 8)');
		RAISE NOTICE '%', rest(s); PERFORM consumer_end(s);
		RAISE NOTICE '% descriptor closed', n - nfds();},
		qr/then: 55000.*8 of 8 right.*1 descriptor closed/s, qr/right|canary/ ],
	[ 'a file is closed that another stream reads next',
		q{s := consumer_begin(); t := consumer_begin(in_order => true); PERFORM hold(s, p, h);
		PERFORM consumer_add(t, h, i * 320, 8, i) FROM generate_series(1, 100) AS i;
		PERFORM consumer_close(h);
		RAISE NOTICE '% and %', rest(t), rest(s); PERFORM consumer_end(s); PERFORM consumer_end(t);},
		qr/100 of 100 right and 8 of 8 right/s, $saying ],
	[ 'the context of a file is deleted',
		q{PERFORM consumer_context('files'); h := consumer_open(:held, 'trusted', :mode, 'files');
		s := consumer_begin(); PERFORM hold(s, p, h); PERFORM consumer_context_delete('files');
		RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_file_info(' || h || ')');
		RAISE NOTICE '%', rest(s); PERFORM consumer_end(s);},
		qr/then: 55000.*8 of 8 right/s, qr/right|canary/ ],
	[ 'everything is in one context, which is deleted',
		q{PERFORM consumer_context('all'); h := consumer_open(:held, 'trusted', :mode, 'all');
		s := consumer_begin('all'); PERFORM hold(s, p, h, 'all'); PERFORM consumer_context_delete('all');
		RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_take(' || s || ')');},
		qr/then: 55000/, $saying ],
	map({ my $how = $_;
			([ "the context of the stream: $how",
				qq{PERFORM consumer_context('c'); s := consumer_begin('c'); PERFORM hold(s, p, h);
				PERFORM consumer_context_$how('c');
				RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_take(' || s || ')');},
				qr/then: 55000/, $saying ],
			[ "the context of the stream and its buffers: $how",
				qq{PERFORM consumer_context('c'); s := consumer_begin('c'); PERFORM hold(s, p, h, 'c');
				PERFORM consumer_context_$how('c');
				RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_add(' || s || ', ' || h || ', 0, 8)');},
				qr/then: 55000/, $saying ],
			[ "the context of the buffers: $how",
				qq{PERFORM consumer_context('b'); s := consumer_begin(buffer_context => 'b'); PERFORM hold(s, p, h, 'b');
				PERFORM consumer_context_$how('b');
				RAISE NOTICE 'then: %', consumer_outcome('SELECT consumer_outstanding(' || s || ')');
				s := consumer_begin(); PERFORM consumer_add(s, h, 8, 8); RAISE NOTICE '%', rest(s); PERFORM consumer_end(s);},
				qr/then: 55000.*1 of 1 right/s, $saying ])
		} ('reset', 'delete')));

# The same with a query that is cancelled meanwhile: when it has said that it
# will wait for nothing but what is held, and waits.  Between two calls, what is
# in flight would not hold back the error.
my @cancelled = (
	[ 'the query is cancelled',
		q{s := consumer_begin(); PERFORM hold(s, p, h, 'transaction');
		RAISE NOTICE 'only take'; PERFORM consumer_take(s);},
		qr/ERROR:  57014/, qr/ERROR|canary/ ],
	[ 'the query is cancelled, and the stream is used again',
		q{s := consumer_begin();
		BEGIN
			PERFORM hold(s, p, h, 'transaction');
			RAISE NOTICE 'only take'; PERFORM consumer_take(s);
		EXCEPTION WHEN query_canceled THEN
			RAISE NOTICE 'caught';
		END;
		PERFORM consumer_add(s, h, 80000, 8);
		n := consumer_outstanding(s);
		r := rest(s);
		-- without the gate's help on a method that reads synchronously, some
		-- of what is not held is left as well
		RAISE NOTICE '%', r = n || ' of ' || n || ' right' AND n >= 9;
		PERFORM consumer_end(s);},
		qr/caught.*NOTICE:  00000: t$/ms, qr/caught|canary/ ]);

foreach my $method (test_methods())
{
	my $node = consumer_node("life_$method", $method, 'iopool.rings' => 2, 'iopool.ring_entries' => 16,
		'client_connection_check_interval' => '50ms');
	ask($node, $functions);

	foreach my $mode (io_modes())
	{
		foreach my $case (@cases, @cancelled)
		{
			my ($what, $body, $expected, $late) = @$case;
			my $label = "$method, $mode, $what";
			my $is_cancelled = grep { $_ == $case } @cancelled;

			# What differs from buffered there is below all this.
			next if $mode eq 'uncached' && $what !~ /^(error between|the query|cancel,)/;

			$body =~ s/:held/'$held'/g;
			$body =~ s/:mode/'$mode'/g;
			my ($out, $err) = with_canary($node, $fs, 'held', $label, block($mode, $body),
				# where nothing reads ahead, only a call that waits does
				$is_cancelled || goes_on_alone($method) ? (late => $late) : (nblocked => 0),
				act => sub {
					my ($pid, $session) = @_;
					return unless $is_cancelled;
					if (goes_on_alone($method))
					{
						poll_until(sub { ($session->output)[1] =~ /only take/ })
						  or fail("$label: the session waits for what is held");
					}
					wait_inside($node, $pid);
					ask($node, "SELECT pg_cancel_backend($pid)");
				},
				after => "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM "
				  . "iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8]);");
			like($err, $expected, $label);
			my $nwarnings = () = $err =~ /WARNING/g;
			is($nwarnings, $what =~ /without end/ ? 1 : 0, "$label: warnings");
			like($out, qr/^3$/m, "$label: the session reads right bytes");
			rings_home($node, $label);
			reader_is_right($node, $held, $label);
		}
		savepoint($node, "$method, $mode", $mode);
		shared($node, $method, $mode);
		timeout($node, "$method, $mode", $mode) if goes_on_alone($method);
		ended($node, $method, $mode);
	}
	$node->stop;
}

done_testing();

# Reads into the segment of a parallel query.  An error detaches from the segment
# before anything else ends: not while the kernel writes there.
sub shared
{
	my ($node, $method, $mode) = @_;
	my $label = "$method, $mode, memory of a parallel query";
	my $offsets = 'ARRAY(SELECT n * 4096::bigint FROM generate_series(0, 80) AS n ORDER BY n % 7)';
	my $sum = unpack('%64C*', substr(slurp_file($fs->backing('plain')), 0, 81 * 4096));
	my $segments = q{SELECT count(*) FROM regexp_split_to_table(pg_read_file('/proc/self/maps'), '\n') AS l WHERE l ~ '/PostgreSQL[.]'};

	foreach my $nworkers (0, 2)
	{
		is($node->safe_psql('postgres', "SELECT sum FROM consumer_shared('$plain', $offsets, 4096, $nworkers, '$mode')"),
			$sum, "$label: all bytes, with $nworkers workers");
	}
	return unless goes_on_alone($method);

	$fs->gate('held');
	# a session has a segment of its own from its first parallel query on
	my $session = start_sql($node, "SELECT FROM consumer_shared('$plain', ARRAY[0], 8, 1);\n$segments;\nSELECT sum FROM consumer_shared('$held', $offsets, 4096, 2, '$mode', 0);\nSELECT 'goes on';");
	my $pid = backend_pid($node, $session);
	ok($fs->wait_blocked('held', 1), "$label: reads are held");
	ok(poll_until(sub { ($session->output)[0] =~ /^\d+$/m }), "$label: segments before");
	my ($before) = ($session->output)[0] =~ /^(\d+)$/m;
	# which is reported before anything is cleaned up
	ok(poll_until(sub { ($session->output)[1] =~ /on purpose/ }), "$label: an error");
	ok(stays(sub { (() = slurp_file("/proc/$pid/maps") =~ m{/PostgreSQL\.}g) > $before && ($session->output)[0] !~ /goes on/ }),
		"$label: the segment is there as long as they are");
	$fs->ungate('held');
	my ($out, $err) = $session->finish;
	like($err, qr/on purpose/, "$label: the error");
	like($out, qr/goes on/, "$label: the session goes on");
	rings_home($node, $label);
	reader_is_right($node, $held, $label);
	return;
}

# A stream that lives from statement to statement, through savepoints.
sub savepoint
{
	my ($node, $label, $mode) = @_;
	my $session = start_sql($node, qq{
		BEGIN;
		SELECT consumer_begin(owner => 'transaction') AS s, consumer_open('$plain', 'trusted', '$mode') AS f \\gset
		SELECT consumer_add(:s, :f, n * 192, 8) FROM generate_series(1, 100) AS n;
		SELECT consumer_submit(:s);
		SAVEPOINT one;
		SELECT count(*) <= 10 FROM consumer_take(:s, 10);
		SELECT consumer_begin(owner => 'transaction') AS inner \\gset
		SELECT consumer_add(:inner, :f, 8, 8);
		SELECT 1 / 0;
		ROLLBACK TO one;
		SELECT consumer_add(:s, :f, 8, 8);
		SELECT rest(:s) ~ '^(\\d+) of \\1 right', consumer_outstanding(:s);
		SELECT rest(:inner);
		COMMIT;
		SELECT consumer_take(:s);});
	my ($out, $err) = $session->finish;
	like($out, qr/^t\|0\n1 of 1 right$/m, "$label: a stream of the transaction, after a savepoint") or diag($out, $err);
	my $nwarnings = () = $err =~ /WARNING:  01000: iopool: stream was not ended/g;
	is($nwarnings, 2, "$label: the streams that were not ended");
	like($err, qr/ERROR:  22012.*ERROR:  55000/s, "$label: after the transaction");
	rings_home($node, "$label, savepoint");
	return;
}

# Waiting with a time limit.
sub timeout
{
	my ($node, $label, $mode) = @_;
	$fs->gate('held');
	my $session = start_sql($node, block($mode, q{
		s := consumer_begin(); PERFORM hold(s, p, h);
		RAISE NOTICE 'at once: %, left: %', (SELECT count(*) FROM consumer_take(s, 10, 0)), consumer_outstanding(s);
		RAISE NOTICE 'in time: %, left: %', (SELECT count(*) FROM consumer_take(s, 10, 50)), consumer_outstanding(s);
		t := consumer_begin(in_order => true);
		PERFORM consumer_add(t, h, 0, 8), consumer_add(t, p, 8, 8);
		RAISE NOTICE 'in order: %', (SELECT count(*) FROM consumer_take(t, 10, 50));
		RAISE NOTICE 'in flight: %', (SELECT in_flight FROM consumer_stream_stats(s));
		RAISE NOTICE 'pool: %', (SELECT has_lease AND in_flight >= 8 AND nin_use = 1 AND nfree = 1 FROM consumer_pool_stats());
		RAISE NOTICE 'waiting';
		RAISE NOTICE '% and %', rest(s), rest(t);
		PERFORM consumer_end(s); PERFORM consumer_end(t);}));
	ok(poll_until(sub { ($session->output)[1] =~ /waiting/ }), "$label: waits end by themselves");
	cmp_ok($fs->blocked('held'), '>', 0, "$label: while reads are held");
	$fs->ungate('held');
	my ($out, $err) = $session->finish;
	like($err, qr/at once: 0, left: 8.*in time: 0, left: 8.*in order: 0.*in flight: [1-8]\n.*pool: t/s, "$label: what they bring");
	like($err, qr/8 of 8 right and 2 of 2 right/, "$label: nothing is lost");
	rings_home($node, "$label, timeout");
	return;
}

# Backends that end.
sub ended
{
	my ($node, $method, $mode) = @_;

	foreach my $what ('terminated', 'client killed')
	{
		foreach my $context ('transaction', 'portal', 'top')
		{
			my $case = "$method, $mode, $what, context $context";
			next if $mode eq 'uncached' && $context ne 'transaction';

			$fs->gate('held');
			my $session = start_sql($node, block($mode,
				"s := consumer_begin('$context', owner => 'transaction', buffer_context => '$context');"
				  . "PERFORM hold(s, p, h, '$context'); PERFORM consumer_take(s);"));
			my $pid = backend_pid($node, $session);
			$fs->wait_blocked('held', 1);
			wait_inside($node, $pid);
			$what eq 'terminated'
			  ? ask($node, "SELECT pg_terminate_backend($pid)")
			  : $session->kill9;

			ok( ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE state IN ('leased', 'draining') AND pid = $pid AND in_flight > 0"),
				"$case: the ring is kept for the reads in flight");
			is( ask($node, "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM "
					  . "iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8])"),
				3, "$case: another session reads meanwhile");
			$fs->ungate('held');
			$session->finish if $what eq 'terminated';
			ok( ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
				"$case: the backend is gone");
			rings_home($node, $case);
			reader_is_right($node, $held, $case);
		}
	}
	return;
}
