# A kernel that refuses a system call to one backend from some moment on, for
# good: for each call that we make, in each way, the bytes are right or there is
# a clear error at once, and the rings are as good as before for everybody else.
# The errors are made by iopool_refuse(), see test/modules/iopool_refuse.

use strict;
use warnings;

use Errno;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $size = 4 * 1024 * 1024;
# More than libaio reads before it makes a context.
my $nranges = 400;
my $file = write_words(PostgreSQL::Test::Utils::tempdir() . '/file', $size);
my $fs = IopoolTest::GateFS->new;
my $module = $ENV{IOPOOL_TEST_REFUSE};

if (!defined $module)
{
	my $source = "$FindBin::RealBin/../modules/iopool_refuse";
	system('make', '-s', '-C', $source) == 0
	  or BAIL_OUT('could not build iopool_refuse');
	$module = "$source/iopool_refuse.so";
}

sub number_of
{
	my ($error) = @_;
	return $error eq '0' ? 0 : Errno->can($error)->();
}

# Each way of reading, as a query that says "right", or what is wrong.
my $offsets = "(SELECT array_agg(n * 1600 ORDER BY n) FROM generate_series(0, $nranges - 1) AS n)";
my $verdict = "CASE WHEN count(*) = $nranges AND bool_and(b.data = int8send(b.file_offset)) THEN 'right' ELSE 'wrong' END";
my %ways = (
	batch => "SELECT $verdict FROM iopool_read_batch('$file', $offsets, ARRAY[8]) AS b",
	report =>
	  "SELECT coalesce(min(b.error), $verdict) FROM iopool_read_batch('$file', $offsets, ARRAY[8], 'report', false) AS b",
	array => "SELECT CASE WHEN array_length(a, 1) = $nranges AND a[2] = int8send(1600) THEN 'right' ELSE 'wrong' END"
	  . " FROM iopool_read_array('$file', $offsets, ARRAY[8]) AS a",
	node => "SELECT $verdict FROM wanted, LATERAL iopool_read_batch('$file', o, ARRAY[8]) AS b",
	long => "SELECT CASE WHEN length(d) = $size AND substr(d, 1600 * 77 + 1, 8) = int8send(1600 * 77) THEN 'right' ELSE 'wrong' END"
	  . " FROM iopool_read('$file', 0, 1000000000) AS d",
	single => "SELECT CASE WHEN iopool_read('$file', 8, 8) = int8send(8) THEN 'right' ELSE 'wrong' END",
	request =>
	  "SELECT $verdict FROM iopool_fetch(iopool_submit('$file', $offsets, array_fill(8::bigint, ARRAY[$nranges]))) AS b",
	wait =>
	  "SELECT CASE WHEN iopool_wait(iopool_submit('$file', $offsets, array_fill(8::bigint, ARRAY[$nranges])), 20000) THEN 'right' ELSE 'late' END",
	# As a client would wait that has other things to do meanwhile.
	poll => "DO \$\$ DECLARE r bigint := iopool_submit('$file', $offsets, array_fill(8::bigint, ARRAY[$nranges]));\n"
	  . "BEGIN WHILE (SELECT completed < ranges FROM iopool_poll(r)) LOOP PERFORM pg_sleep(0.001); END LOOP;\n"
	  . "RAISE NOTICE 'right'; PERFORM iopool_cancel(r); END \$\$",
	prefetch => "SELECT CASE iopool_prefetch('$file', ARRAY[0, 8], ARRAY[8, 8]) WHEN 2 THEN 'right' WHEN 0 THEN 'none' ELSE 'wrong' END");
my @through_rings = qw(batch report array node long request wait poll);
my @all_ways = (@through_rings, 'single');
my $timeout = 30_000;

# What a backend says to each way when the kernel refuses these calls; it has
# read a little before that.  Answers are "right", or SQLSTATE and message.
sub answers
{
	my ($node, %case) = @_;
	my @ways = @{ $case{ways} };
	my $script = "SET client_min_messages = notice; SET statement_timeout = "
	  . ($case{timeout} // $timeout) . ";\n";
	my ($out, $err);

	$script .= "SET iopool.io_mode = $case{mode};\n";
	$script .= "CREATE TEMP TABLE wanted AS SELECT array_agg(n * 1600 ORDER BY n) AS o FROM generate_series(0, $nranges - 1) AS n;\n";
	# What PostgreSQL itself has to read for the queries, it reads now.
	$script .= "\\o /dev/null\n$ways{$_};\n" foreach (@ways);
	$script .= "SELECT iopool_refuse('$_->[0]', $_->[1]);\n"
	  foreach (map { [ $_, number_of($case{calls}{$_}) ] } sort keys %{ $case{calls} });
	$script .= "\\o\n\\warn refused\n";
	$script .= "$ways{$_};\n\\echo $_ :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE\n\\warn end of $_\n"
	  foreach (@ways);
	$node->psql('postgres', $script, stdout => \$out, stderr => \$err,
		on_error_stop => 0);
	return ($out, $err);
}

# Asserts that all ways answer alike: 'right', or an SQLSTATE.
sub answers_are
{
	my ($node, $label, $expected, %case) = @_;
	my ($out, $err) = answers($node, %case);
	my @got;

	(my $said = $err) =~ s/.*^[^\n]*refused$//ms;
	foreach my $way (@{ $case{ways} })
	{
		my ($before, $state, $rest) = $out =~ /\A(.*?)^$way ([0-9A-Z]{5})[^\n]*\n?(.*)\z/ms
		  or (diag("$label: no answer to $way:\n$out\n$err"), last);
		my ($words) = $said =~ /\A(.*?)^[^\n]*end of $way$/ms;
		$said =~ s/\A.*?^[^\n]*end of $way$//ms;
		$out = $rest;
		# The last error is of an earlier query where this one had none.
		my $answer = $words =~ /ERROR/ ? $state
		  : $way eq 'poll' ? ($words =~ /NOTICE:\s+right/ ? 'right' : $words)
		  : ($before =~ s/\n\z//r);
		push @got, "$way: $answer";
	}
	is(join("\n", @got), join("\n", map { "$_: $expected" } @{ $case{ways} }), $label)
	  or diag($err);
	like($err, $case{like}, "$label: the message") if defined $case{like};
	return;
}

sub check_node
{
	my ($node, $label) = @_;

	rings_home($node, $label);
	reader_is_right($node, $file, $label);
	is(ask($node, "SELECT sum(resets) FROM iopool_pools"), 0, "$label: no ring was given up");
	return;
}

# Nothing is leaked by a backend that is refused.
sub leaks_nothing
{
	my ($node, $call) = @_;
	my ($out, $err) = ('', '');
	my $count = "SELECT count(*) FROM pg_ls_dir('/proc/self/fd')";
	my $reads = join('', map { "$ways{$_};\n" } @through_rings[0 .. 2]);

	# the first time, PostgreSQL opens relations
	$node->psql('postgres',
		"SET statement_timeout = $timeout; SET iopool.io_mode = direct; SELECT iopool_refuse('$call', 1);\n$reads$count;\n$reads$reads$count;\n",
		stdout => \$out, stderr => \$err, on_error_stop => 0);
	my @counts = $out =~ /^(\d+)$/mg;
	is(scalar(@counts), 2, "$call: descriptors are counted");
	is($counts[1], $counts[0], "$call: no descriptor is leaked");
	return;
}

sub refusing_node
{
	my ($method) = @_;
	my $node = iopool_node("refused_$method", $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 32,
		'iopool.pools' => 'lone(rings=1, entries=8)');

	ask($node, "CREATE FUNCTION iopool_refuse(call text, errnum int) RETURNS void LANGUAGE c AS '$module'");
	return $node;
}

# Errors that last make no query fail, by our contract; they are asked again
# with pauses until somebody ends the query.  At full speed, there would be
# hundreds of thousands of retries.
sub is_patient
{
	my ($node, $label, %case) = @_;

	ask($node, 'SELECT iopool_stat_reset()');
	answers_are($node, "$label: asked again until the timeout", '57014',
		%case, timeout => 300, ways => ['batch']);
	cmp_ok(ask($node, 'SELECT sum(retries) FROM iopool_pools'),
		'<', 20_000, "$label: not at full speed");
	return;
}

my %tests = (
	io_uring => sub {
		my ($node) = @_;

		leaks_nothing($node, 'io_uring_enter');

		foreach my $mode (io_modes())
		{
			foreach my $error ($mode eq 'buffered' ? qw(ENOSYS EPERM EINVAL EIO EBADF EMFILE) : 'EPERM')
			{
				answers_are($node, "$mode, io_uring_enter: $error", '58030',
					mode => $mode, calls => { io_uring_enter => $error },
					ways => \@through_rings,
					like => qr/could not submit reads to pool "default".*HINT: .*(seccomp profile|method sync)/s);
				answers_are($node, "$mode, io_uring_enter: $error, small read", 'right',
					mode => $mode, calls => { io_uring_enter => $error }, ways => ['single']);
			}
			foreach my $call ($mode eq 'direct' ? qw(preadv2 statx) : qw(preadv2 fadvise64 mmap madvise))
			{
				answers_are($node, "$mode, $call: EPERM", 'right', mode => $mode,
					calls => { $call => 'EPERM' }, ways => \@all_ways);
			}
		}
		# A pool of one ring has no other to compare with.
		$node->safe_psql('postgres', "ALTER ROLE CURRENT_USER SET iopool.pool = 'lone'");
		answers_are($node, 'pool of one ring, io_uring_enter: EPERM', '58030',
			mode => 'buffered', calls => { io_uring_enter => 'EPERM' }, ways => \@through_rings);
		$node->safe_psql('postgres', "ALTER ROLE CURRENT_USER RESET iopool.pool");
		answers_are($node, 'io_uring_enter: ENOMEM', '53000', mode => 'buffered',
			calls => { io_uring_enter => 'ENOMEM' }, ways => ['batch'], like => qr/HINT: .*memory/);
		is_patient($node, "io_uring_enter: $_", mode => 'buffered', calls => { io_uring_enter => $_ })
		  foreach (qw(EAGAIN EBUSY EINTR));
		answers_are($node, 'pread64: EPERM', 'right', mode => 'buffered',
			calls => { pread64 => 'EPERM' }, ways => [ grep { $_ ne 'long' } @through_rings ]);
	},
	libaio => sub {
		my ($node) = @_;

		leaks_nothing($node, 'io_getevents');

		foreach my $error (qw(EAGAIN ENOSYS))
		{
			answers_are($node, "io_setup: $error", 'right', mode => 'direct',
				calls => { io_setup => $error }, ways => \@all_ways);
		}
		foreach my $error (qw(ENOSYS EPERM EINVAL))
		{
			answers_are($node, "$_: $error", 'right', mode => 'direct',
				calls => { $_ => $error }, ways => \@all_ways)
			  foreach (qw(io_submit io_getevents io_destroy));
		}
		answers_are($node, 'io_getevents and io_destroy: EPERM', 'right', mode => 'direct',
			calls => { io_getevents => 'EPERM', io_destroy => 'EPERM' }, ways => \@all_ways);
		answers_are($node, "io_getevents: $_", 'right', mode => 'direct',
			calls => { io_getevents => $_ }, ways => \@all_ways)
		  foreach (qw(EINTR EAGAIN));
		is_patient($node, "io_submit: $_", mode => 'direct', calls => { io_submit => $_ })
		  foreach (qw(EAGAIN EINTR));
	},
	sync => sub {
		my ($node) = @_;
		my %state = (EPERM => '42501', EIO => '58030', ENOSYS => '58030', EINVAL => '58030', ENOMEM => '53000');
		my @ways = grep { $_ ne 'report' } @all_ways;

		foreach my $error (sort keys %state)
		{
			answers_are($node, "pread64: $error", $state{$error}, mode => 'buffered',
				calls => { pread64 => $error, preadv => $error, preadv2 => $error },
				ways => [qw(batch array node long single request)], like => qr/could not read file "\Q$file\E"/);
		}
		is_patient($node, "pread64: $_", mode => 'buffered', calls => { pread64 => $_, preadv => $_, preadv2 => $_ })
		  foreach (qw(EAGAIN EINTR));

		# RWF_NOWAIT, in waits with a time limit, and RWF_DONTCACHE.  0 is what
		# Linux 5.9 and 5.10 answer where there are bytes.
		foreach my $error (qw(EPERM ENOSYS EOPNOTSUPP EIO 0))
		{
			answers_are($node, "preadv2: $error", 'right', mode => 'buffered',
				calls => { preadv2 => $error }, ways => \@all_ways);
		}
		answers_are($node, "uncached, preadv2: $_", 'right', mode => 'uncached',
			calls => { preadv2 => $_ }, ways => \@all_ways)
		  foreach (qw(EPERM ENOSYS EINVAL EOPNOTSUPP));
		answers_are($node, "preadv2: EOPNOTSUPP, $_: EPERM", 'right', mode => 'buffered',
			calls => { preadv2 => 'EOPNOTSUPP', $_ => 'EPERM' }, ways => \@all_ways)
		  foreach (qw(fadvise64 mmap mincore fstatfs madvise));
	});

foreach my $method (test_methods())
{
	my $node = refusing_node($method);
	my $position = -s $node->logfile;

	$tests{$method}->($node);

	# Opening is the same for all.
	my %state = (EMFILE => '53000', ENFILE => '53000', EPERM => '42501', ENOMEM => '53000', EIO => '58030', EINTR => '58030');
	foreach my $error (sort keys %state)
	{
		answers_are($node, "$method, openat: $error", $state{$error}, mode => 'buffered',
			calls => { openat => $error }, ways => [qw(batch array node long request)],
			like => qr/could not open file/);
	}
	answers_are($node, "$method, fstat: EPERM", '42501', mode => 'buffered',
		calls => { fstat => 'EPERM' }, ways => [qw(batch array node long request)],
		like => qr/could not stat file/);
	answers_are($node, "$method, fcntl: EPERM", '42501', mode => 'buffered',
		calls => { fcntl => 'EPERM' }, ways => [qw(batch array node long request)]);
	answers_are($node, "$method, fadvise64: EPERM", 'none', mode => 'buffered',
		calls => { fadvise64 => 'EPERM' }, ways => ['prefetch']);
	check_node($node, $method);

	# Refused with reads in the kernel: their memory is theirs until they are
	# in, and what they bring is right.
	SKIP:
	{
		skip("$method has nothing in flight between calls", 1) if !goes_on_alone($method);
		my $gated = $fs->path("gated_$method");
		my $call = 'io_uring_enter';

		write_words($fs->backing("gated_$method"), 1024 * 1024);
		foreach my $end ('ROLLBACK; BEGIN', 'SELECT count(*) FROM iopool_fetch(:r) AS b WHERE b.data = int8send(b.file_offset)')
		{
			my $label = "$method, $call refused with reads in flight, $end";

			$fs->gate("gated_$method");
			my $session = start_sql($node, qq{
				SET iopool.io_mode = direct;
				BEGIN;
				SELECT iopool_submit('$gated', ARRAY[0, 8192, 16384, 32768], ARRAY[8, 8, 8, 8]) AS r \\gset
				SELECT iopool_refuse('$call', 1);
				$end;
				ROLLBACK;
				\\echo done});
			my $pid = backend_pid($node, $session);
			$fs->wait_blocked("gated_$method", 4);
			ok( ask_until($node, "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid"),
				"$label: waits for them");
			ok(stays(sub { !$session->has_ended }, 4), "$label: goes on waiting");
			$fs->ungate("gated_$method");
			my ($out, $err) = $session->finish;
			like($out, $end =~ /^ROLLBACK/ ? qr/^done$/m : qr/^4\ndone$/m, "$label: and comes to its end") or diag($err);
			is($err, '', "$label: no error");
		}
	}
	check_node($node, "$method, in flight");
	unlike(log_since($node, $position), qr/PANIC|is broken|server process .* was terminated/,
		"$method: nothing crashed or broke");
	$node->stop;
}

done_testing();
