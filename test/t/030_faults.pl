# A kernel and a disk that misbehave: short reads, read errors, transient errors
# of reads, and system calls that fail for a while.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $size = 2_000_003;
my $fs = IopoolTest::GateFS->new;
write_words($fs->backing($_), $size) foreach (qw(file good));
my $file = $fs->path('file');
my $good = $fs->path('good');
# The same bytes, out of reach of every fault.
my $truth = $fs->backing('file');

# Ranges of all sorts: small, long, unaligned, touching, overlapping, over the
# end of file and past it.
my $ranges = q{(VALUES (0, 8), (8, 8), (16, 100), (100, 50), (4095, 2), (4096, 4096),
	(8191, 70001), (1000000, 1000003), (0, 2000003), (1999990, 100), (2000002, 1),
	(2000003, 10), (3000000, 10), (123456, 0), (777777, 333333), (65536, 65536),
	(131072, 131072), (1, 2000001)) AS r(o, l)};

sub count_wrong
{
	my ($node, $settings) = @_;
	return ask($node, qq{
		SET statement_timeout = '10min';
		$settings
		SELECT count(*) FILTER (WHERE b.error IS NOT NULL OR b.data IS DISTINCT FROM
				pg_read_binary_file('$truth', b.file_offset, b.length)), count(*)
		FROM (SELECT array_agg(o) AS o, array_agg(l) AS l FROM $ranges) AS a,
			LATERAL iopool_read_batch('$file', a.o, a.l, 'report') AS b});
}

foreach my $method (test_methods())
{
	my $node = iopool_node("faults_$method", $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 16);
	my $position = -s $node->logfile;

	foreach my $mode (io_modes())
	{
		my $set = "SET iopool.io_mode = $mode;";
		my $label = "$method, $mode";

		is(count_wrong($node, $set), '0|18', "$label: without faults");

		# Short reads in the middle of the file.  Direct reads of a real file
		# system stop at a block; 5000 is more than one, so there is progress
		# also for a reader that goes back to a block's start.
		foreach my $limit ($mode eq 'direct' ? (4096, 8192, 5000) : (4096, 1000, 7))
		{
			$fs->sidecar('file', 'short', $limit);
			my $small = $limit < 100
			  ? "SELECT count(*) FILTER (WHERE b.data = pg_read_binary_file('$truth', b.file_offset, b.length)) FROM iopool_read_batch('$file', ARRAY[0, 3, 5000], ARRAY[20, 1000, 4000]) AS b"
			  : undef;
			ask($node, 'SELECT iopool_stat_reset()');
			if (defined $small)
			{
				is(ask($node, "$set\n$small"), 3,
					"$label: reads of at most $limit bytes");
			}
			else
			{
				is(count_wrong($node, $set), '0|18',
					"$label: reads of at most $limit bytes");
				is( count_wrong($node, "$set SET iopool.merge_gap = '100kB'; SET iopool.max_in_flight_bytes = '64kB';"),
					'0|18',
					"$label: reads of at most $limit bytes, merged, narrow window");
			}
			is( ask($node, "SELECT sum(short_reads) > 0, sum(errors) FROM iopool_pools"),
				't|0', "$label: short reads are counted, and are no errors");
			$fs->clear('file', 'short');
		}
		# Blocks cut where no direct read can go on from: right bytes or an
		# error, but an end.
		if ($mode eq 'direct')
		{
			$fs->sidecar('file', 'short', 1000);
			my ($ret, $out, $err) = $node->psql('postgres', qq{
				SET statement_timeout = '10min';
				$set
				SELECT bool_and(error IS NOT NULL OR data = pg_read_binary_file('$truth', file_offset, length))
				FROM iopool_read_batch('$file', ARRAY[0, 5000], ARRAY[10000, 3000], 'report')});
			is("$out$err", 't',
				"$label: reads that end inside a block do not loop");
			$fs->clear('file', 'short');
		}

		# Read errors: only the ranges that touch the bad bytes fail, also
		# where they were merged with their neighbours.  The bad bytes are
		# whole blocks, because a direct read cannot read around less.
		$fs->sidecar('file', 'eio', '40960 45056');
		foreach my $gap (-1, 0, 4096, 1000000)
		{
			my $gap_label = "$label, merge_gap $gap";
			is( ask($node, qq{
					$set SET iopool.merge_gap = $gap;
					SELECT string_agg(CASE WHEN b.error IS NULL AND b.data =
							pg_read_binary_file('$truth', b.file_offset, b.length) THEN 'right'
						WHEN b.error IS NOT NULL AND b.data IS NULL THEN 'failed'
						ELSE 'wrong' END, ' ' ORDER BY ordinal)
					FROM iopool_read_batch('$file',
						ARRAY[0, 36864, 40000, 40960, 41000, 45055, 45056, 45057, 49152, 40959, 0],
						ARRAY[8, 4096, 960, 8, 4096, 1, 8, 4095, 4096, 2, 100000], 'report') AS b}),
				'right right right failed failed failed right right right failed failed',
				"$gap_label: only the ranges with bad bytes fail");
		}
		is( ask($node, qq{
				$set
				SELECT count(*), count(error), count(*) FILTER (WHERE data = int8send(file_offset)),
					count(*) FILTER (WHERE error IS NOT NULL AND file_offset BETWEEN 40960 AND 45055)
				FROM iopool_read_batch('$file',
					(SELECT array_agg(n * 8 ORDER BY n) FROM generate_series(0, 9999) AS n), ARRAY[8], 'report')}),
			'10000|512|9488|512',
			"$label: touching ranges around bad bytes");
		my ($ret, $out, $err) = $node->psql('postgres',
			"\\set VERBOSITY verbose\n$set\nSELECT iopool_read_array('$file', ARRAY[0, 8, 41000, 42000, 50000], ARRAY[8])");
		like($err, qr/ERROR:  58030: range \d+: could not read file "\Q$file\E".*Input\/output error/,
			"$label: a read error is raised as 58030");
		like($err, qr/41000/, "$label: the message has the offset of the first");
		($ret, $out, $err) = $node->psql('postgres',
			"\\set VERBOSITY verbose\n$set\nSELECT iopool_read('$file', 41000, 77)");
		like($err, qr/ERROR:  58030:.*41000.*77.*Input\/output error/,
			"$label: iopool_read names offset and length");
		cmp_ok(ask($node, 'SELECT sum(errors) FROM iopool_pools'),
			'>', 0, "$label: errors are counted");
		$fs->clear('file', 'eio');

		# Reads that fail with EINTR and EAGAIN, more often than any small
		# number of attempts.
		$fs->sidecar('file', 'retry', 200);
		ask($node, 'SELECT iopool_stat_reset()');
		is(count_wrong($node, $set), '0|18', "$label: transient errors of reads");
		cmp_ok(ask($node, 'SELECT sum(retries) FROM iopool_pools'),
			'>', 0, "$label: retries are counted");
		$fs->clear('file', 'retry');
		is(count_wrong($node, $set), '0|18', "$label: after it");
		rings_home($node, $label);
	}
	unlike(log_since($node, $position), qr/PANIC|server process .* was terminated/,
		"$method: nothing crashed");
	$node->stop;
}

# System calls that fail for a while, injected from outside.  strace may attach
# to a process of the same user unless the machine forbids it.
my $scope = -e '/proc/sys/kernel/yama/ptrace_scope'
  ? slurp_file('/proc/sys/kernel/yama/ptrace_scope') + 0 : 0;
SKIP:
{
	skip("kernel.yama.ptrace_scope = $scope forbids strace to attach", 1)
	  if $scope > 0 && $> != 0;

	my %calls = (
		io_uring => { buffered => 'io_uring_enter', direct => 'io_uring_enter',
			uncached => 'io_uring_enter' },
		libaio => { direct => 'io_submit' },
		sync => { buffered => 'pread64,preadv,preadv2',
			direct => 'pread64,preadv,preadv2',
			uncached => 'pread64,preadv,preadv2' });
	my %errors = (
		io_uring => [qw(EINTR EAGAIN EBUSY)],
		libaio => [qw(EAGAIN EINTR)],
		sync => [qw(EINTR EAGAIN)]);
	my $lock = 0;

	foreach my $method (test_methods())
	{
		my $node = iopool_node("strace_$method", $method,
			'iopool.rings' => 2, 'iopool.ring_entries' => 16);

		foreach my $mode (sort keys %{ $calls{$method} })
		{
			foreach my $error (@{ $errors{$method} })
			{
				my $calls = $calls{$method}{$mode};
				my $label = "$method, $mode, $error in $calls";
				my $trace = PostgreSQL::Test::Utils::tempdir() . '/trace';

				# The session waits under a lock until strace is attached.  A
				# first run of the query leaves the server nothing to read.
				my $query = qq{
					SELECT count(*) FILTER (WHERE data = int8send(file_offset)), count(*)
					FROM wanted, LATERAL iopool_read_batch('$truth', o, ARRAY[8])};
				$lock++;
				my $locker = start_sql($node,
					"SELECT pg_advisory_lock($lock);\nSELECT pg_sleep(3600);");
				my $locker_pid = backend_pid($node, $locker);
				ask_until($node, "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted");
				my $session = start_sql(
					$node, qq{
					SET iopool.io_mode = $mode;
					CREATE TEMP TABLE wanted AS SELECT array_agg(n * 96 ORDER BY n) AS o FROM generate_series(0, 19999) AS n;
					$query;
					SELECT pg_advisory_xact_lock($lock);
					$query;});
				my $pid = backend_pid($node, $session);
				ask_until($node, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");

				my $strace = fork() // die "could not fork: $!";
				if ($strace == 0)
				{
					exec 'strace', '-qq', '-o', $trace, '-p', $pid,
					  '-e', "trace=$calls",
					  '-e', "inject=$calls:error=$error:when=1..50"
					  or POSIX::_exit(127);
				}
				my $attached = poll_until(sub {
					slurp_file("/proc/$pid/status") =~ /^TracerPid:\s*[1-9]/m;
				});
				ok($attached, "$label: strace is attached");
				ask($node, "SELECT pg_terminate_backend($locker_pid)");
				$locker->finish;

				my ($out, $err) = $session->finish;
				like($out, qr/^20000\|20000\n.*^20000\|20000$/ms, "$label: all bytes are right");
				is($err, '', "$label: no error")
				  if $err !~ /^\s*$/;
				waitpid($strace, 0);
				my $injected = () = slurp_file($trace) =~ /INJECTED/g;
				# fifty of each that was made
				ok($injected > 0 && $injected % 50 == 0, "$label: calls failed")
				  or diag("$injected calls failed");
				rings_home($node, $label);
			}
		}
		$node->stop;
	}
}

done_testing();
