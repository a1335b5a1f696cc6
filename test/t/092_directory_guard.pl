# What an application role meets in its directory beside files: the kernel's
# file systems, somebody's lease, too few descriptors, a directory that others
# can put another in the place of.

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my @methods = test_methods();
chomp(my $base = `cd @{[PostgreSQL::Test::Utils::tempdir()]} && pwd -P`);
my $tiles = "$base/tiles";
mkdir $tiles or die;
write_words("$tiles/words", 300_000);

my $grant = 'GRANT EXECUTE ON FUNCTION ' . join(', ',
	'iopool_read(text, bigint, bigint)',
	'iopool_read_batch(text, bigint[], bigint[], text, boolean)',
	'iopool_read_batch(text[], bigint[], bigint[], text, boolean)',
	'iopool_prefetch(text, bigint[], bigint[])') . ' TO app;';

sub create_directory
{
	my ($name, $path, $options) = @_;
	return "CREATE SERVER \"$name\" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$path'"
	  . ($options // '') . ");\n";
}

# What a query says beside rows, with SQLSTATEs.
sub words_of
{
	my ($node, $query, @params) = @_;
	my $err = '';
	$node->psql('postgres', "\\set VERBOSITY verbose\n$query", stderr => \$err,
		on_error_stop => 0, extra_params => \@params,
		timeout => $PostgreSQL::Test::Utils::timeout_default);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	return $err;
}

sub error_of { return words_of(@_) =~ /ERROR:  (.*)/ ? $1 : 'none'; }

# --------------------------------------------------------------------------
# Leases.  A process holds one on each of some files, and gives it up when the
# kernel asks it to, or does not.

my @holders;
END
{
	my $exit_code = $?;
	kill 'KILL', @holders if @holders;
	$? = $exit_code;
}

sub hold_leases
{
	my ($gives_up, @paths) = @_;
	my ($f_setlease, $f_wrlck, $f_unlck) = (1024, 1, 2);

	pipe(my $reader, my $writer) or die $!;
	my $pid = fork() // die $!;
	if ($pid == 0)
	{
		my @files;
		close $reader;
		$SIG{IO} = $gives_up
		  ? sub { fcntl($_, $f_setlease, $f_unlck) foreach (@files) }
		  : 'IGNORE';
		foreach my $path (@paths)
		{
			open my $file, '+<', $path or POSIX::_exit(1);
			fcntl($file, $f_setlease, $f_wrlck) or POSIX::_exit(2);
			push @files, $file;
		}
		syswrite $writer, 'x';
		# Until it is killed.
		select undef, undef, undef, 1 while (1);
	}
	close $writer;
	push @holders, $pid;
	return sysread($reader, my $byte, 1) ? $pid : undef;
}

sub drop_leases
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	@holders = grep { $_ != $pid } @holders;
	return;
}

my $nleased = 200;
write_words("$tiles/leased$_", 4096, $_ * 65536) foreach (1 .. $nleased);
write_words("$tiles/lent", 4096);

foreach my $method (@methods)
{
	my $node = iopool_node("lease_$method", $method, 'iopool.rings' => 1,
		'iopool.checkout_timeout' => 0);
	$node->safe_psql('postgres', "CREATE ROLE app LOGIN; $grant"
		  . create_directory('tiles', $tiles) . 'GRANT USAGE ON FOREIGN SERVER tiles TO app');

	my $holder = hold_leases(0, map { "$tiles/leased$_" } 1 .. $nleased)
	  // BAIL_OUT('could not take leases on files');

	# One error, the same for a directory and a plain path, long before the
	# kernel would take the lease away (fs.lease-break-time, 45 s).
	foreach my $path ('tiles:leased1', "$tiles/leased1")
	{
		foreach my $query ("SELECT iopool_read('$path', 0, 8)",
			"SELECT iopool_read('$path', 0, 1000000)",
			"SELECT count(*) FROM iopool_read_batch('$path', ARRAY[0, 8], ARRAY[8, 8])",
			"SELECT iopool_prefetch('$path', ARRAY[0], ARRAY[8])",
			"SELECT count(*) FROM generate_series(0, 1) AS i, iopool_read_batch('$path', ARRAY[i * 8], ARRAY[8])",
			"SELECT iopool_fetch(iopool_submit('$path', ARRAY[0], ARRAY[8]))")
		{
			my $started = time;
			my $words = words_of($node, $query);
			like($words, qr/^ERROR:  58030: (range 1: )?could not open file "\Q$path\E": Resource temporarily unavailable$/m,
				"$method: a lease that is not given up: $query");
			like($words, qr/HINT:  Another process holds a lease/, "$method: with a hint");
			cmp_ok(time - $started, '<', 20, "$method: in time");
		}
	}
	is( $node->safe_psql('postgres', q{SELECT ordinal, data = int8send(file_offset) AS right, error
			FROM iopool_read_batch(ARRAY['tiles:words', 'tiles:leased2', 'tiles:words'], ARRAY[0, 8, 16], ARRAY[8, 8, 8], 'report')}),
		"1|t|\n2||range 2: could not open file \"tiles:leased2\": Resource temporarily unavailable\n3|t|",
		"$method: reported");

	is( $node->safe_psql('postgres', q{
			BEGIN;
			SELECT iopool_submit(ARRAY['tiles:words', 'tiles:leased3'], ARRAY[0, 8], ARRAY[8, 8]) AS r \gset
			SELECT iopool_wait(:r);
			SELECT completed, failed FROM iopool_poll(:r);
			SELECT iopool_cancel(:r);
			COMMIT}), "t\n2|1\nt", "$method: a request");

	# While it waits, its ring is another's, it shows what it waits for, and
	# can be cancelled.
	foreach my $prefix ('tiles:', "$tiles/")
	{
		foreach my $plan ('on', 'off')
		{
			my $label = "$method, $prefix" . "leased, nodes $plan";
			my $session = start_sql($node, qq{
				SET iopool.enable_stream_scan = $plan;
				SELECT count(*) FROM iopool_read_batch(
					(SELECT array_agg('${prefix}words'::text) FROM generate_series(1, 100)) || (SELECT array_agg('${prefix}leased' || n) FROM generate_series(1, $nleased) AS n),
					(SELECT array_agg(n * 8) FROM generate_series(1, 100 + $nleased) AS n), array_fill(8, ARRAY[100 + $nleased]), 'report')});
			my $waiting = q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%leased%' AND pid <> pg_backend_pid()};
			ok(poll_until(sub { $node->safe_psql('postgres', $waiting) == 1 }), "$label: the wait is seen");
			is($node->safe_psql('postgres', "SELECT iopool_read('$tiles/words', 8, 200000) = pg_read_binary_file('$tiles/words', 8, 200000)"),
				't', "$label: another reads with the only ring");
			$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%leased%' AND pid <> pg_backend_pid()});
			my ($out, $err) = $session->finish;
			like($err, qr/canceling statement due to user request/, "$label: it can be cancelled");
		}
	}
	drop_leases($holder);
	rings_home($node, $method);

	# Whoever gives it up is waited for.
	foreach my $path ('tiles:lent', "$tiles/lent")
	{
		foreach my $query ("SELECT iopool_read('$path', 8, 8)",
			"SELECT data FROM iopool_read_batch(ARRAY['tiles:words', '$path'], ARRAY[0, 8], ARRAY[8, 8]) WHERE ordinal = 2")
		{
			$holder = hold_leases(1, "$tiles/lent") // die;
			is($node->safe_psql('postgres', $query), '\x0000000000000008', "$method: a lease that is given up: $query");
			drop_leases($holder);
		}
	}
	$node->stop;
}

# --------------------------------------------------------------------------
# The kernel's file systems, at a directory, below it, and bound into it.

{
	my @inside = qw(unshare --user --map-current-user --keep-caps --mount);
	my $bound = "$base/bound";
	my @names = qw(self/mem self/environ self/status version);

	system('mkdir', '-p', "$bound/proc", "$bound/file.d") == 0 or die;
	append_to_file("$bound/mem", '');
	my $mount = 'mount --rbind /proc "$0/proc" && mount --bind /proc/version "$0/mem" && exec "$@"';
	my $can_mount = system(@inside, 'sh', '-c', $mount, $bound, 'true') == 0;
	note('no mounts for unprivileged users here') unless $can_mount;

	foreach my $method (@methods)
	{
		my $node = iopool_node("kernel_$method", $method, no_start => 1, 'iopool.rings' => 2);
		ok(start_under($node, $can_mount ? (@inside, 'sh', '-c', $mount, $bound) : 'env'), "$method: the server starts");
		$node->safe_psql('postgres', 'CREATE EXTENSION iopool');

		my $words = words_of($node, create_directory('proc', '/proc'));
		like($words, qr/^WARNING:  01000: no file can be read in directory "\/proc"$/m, "$method: a warning when it is made");
		$node->safe_psql('postgres', "CREATE ROLE app LOGIN; $grant"
			  . create_directory('root', '/', q{, allow_data_directory 'on'}) . create_directory('tiles', $tiles)
			  . create_directory('bound', $bound) . create_directory('shm', '/dev/shm')
			  . 'GRANT USAGE ON FOREIGN SERVER proc, root, bound, tiles, shm TO app');

		my @paths = map { ("proc:$_", "root:proc/$_") } @names;
		# sysfs is mounted on most systems only
		push @paths, 'root:sys/kernel/uevent_seqnum' if -r '/sys/kernel/uevent_seqnum';
		push @paths, 'bound:mem', (map { "bound:proc/$_" } @names) if $can_mount;
		push @paths, 'root:sys/fs/cgroup/cgroup.procs' if -r '/sys/fs/cgroup/cgroup.procs';
		foreach my $path (@paths)
		{
			foreach my $query ("SELECT iopool_read('$path', 0, 8)",
				"SELECT * FROM iopool_read_batch(ARRAY['tiles:words', '$path'], ARRAY[0, 0], ARRAY[8, 8])",
				"SELECT iopool_prefetch('$path', ARRAY[0], ARRAY[8])")
			{
				like(error_of($node, $query, '-U', 'app'), qr/^42501: (range 2: )?file "\Q$path\E" is on a file system of the kernel$/,
					"$method: $query");
			}
		}

		# Memory that the server's processes share is in /dev/shm on most machines,
		# with what other sessions work on.
		SKIP:
		{
			my ($memory) = grep { -O $_ } glob('/dev/shm/PostgreSQL.*');
			skip('dynamic_shared_memory_type is not posix', 2) unless defined $memory;
			$memory =~ s{.*/}{};
			like(error_of($node, "SELECT iopool_read('$_', 0, 8)", '-U', 'app'),
				qr/^42501: file "\Q$_\E" is shared memory of a server$/,
				"$method: shared memory: $_") foreach ("shm:$memory", "root:dev/shm/$memory");
		}

		# What is a place for files stays one, and so do paths of superusers.
		SKIP:
		{
			my $name = "iopool_guard.$$";
			skip('/dev/shm cannot be written', 2) unless -w '/dev/shm';
			write_words("/dev/shm/$name", 64);
			foreach my $path ("shm:$name", "root:dev/shm/$name")
			{
				is($node->safe_psql('postgres', "SELECT iopool_read('$path', 8, 8)", extra_params => [ '-U', 'app' ]),
					'\x0000000000000008', "$method: tmpfs: $path");
			}
			unlink "/dev/shm/$name";
		}
		is($node->safe_psql('postgres', q{SELECT iopool_read('/proc/version', 0, 5)}), '\x4c696e7578', "$method: a plain path");
		my $row = doctor($node)->{directory_proc};
		is($row->{status}, 'fail', "$method: the doctor tells");
		like("$row->{detail} $row->{hint}", qr/file system of the kernel.*ALTER SERVER proc OPTIONS/, "$method: what to do");
		ok(stop_plain($node), "$method: the server stops");
	}
}

# --------------------------------------------------------------------------
# Descriptors: one for a directory, whatever reads there and however it ends.

foreach my $method (@methods)
{
	my $node = iopool_node("share_$method", $method, 'iopool.rings' => 2, 'max_files_per_process' => 128);
	my ($here, $there) = ("$base/here", "$base/there");
	my $ncursors = 150;

	system('rm', '-rf', $here, $there) == 0 or die;
	mkdir $_ or die foreach ($here, $there);
	write_words("$here/words", 300_000);
	write_words("$there/words", 300_000, 2**40);
	$node->safe_psql('postgres', create_directory('here', $here) . create_directory('same', $here) . create_directory('tiles', $tiles));

	my $session = $node->background_psql('postgres', on_error_stop => 0, timeout => $PostgreSQL::Test::Utils::timeout_default);
	my $pid = $session->query('SELECT pg_backend_pid()');
	my $nopen = sub {
		my ($path) = @_;
		return scalar grep { (readlink($_) // '') eq $path } glob("/proc/$pid/fd/*");
	};
	my $declare = sub {
		my ($name, $directory) = @_;
		return "DECLARE $name CURSOR FOR SELECT data = int8send(file_offset) FROM iopool_read_batch('$directory:words', (SELECT array_agg(n * 8) FROM generate_series(1, 10000) AS n), ARRAY[8]);\n"
		  . "FETCH 1 FROM $name;\n";
	};

	my $out = $session->query("BEGIN;\n" . join('', map { $declare->("c$_", $_ % 2 ? 'here' : 'same') } 1 .. $ncursors));
	is($out =~ tr/t//, $ncursors, "$method: $ncursors cursors");
	is($nopen->($here), 1, "$method: one descriptor for their directory");
	is($session->query("SELECT data = int8send(file_offset) FROM iopool_read_batch('tiles:words', ARRAY[8], ARRAY[8])"), 't', "$method: another directory");
	is($nopen->($tiles), 0, "$method: which is closed");

	# Another one in its place: from the next statement on that is read, and
	# the cursors go on with theirs.
	rename $here, "$here.old" or die;
	rename $there, $here or die;
	my $which = q{SELECT iopool_read('here:words', 8, 8), (SELECT data FROM iopool_read_batch('same:words', ARRAY[16], ARRAY[8]))};
	is($session->query($which), '\x0000010000000008|\x0000010000000010', "$method: the next statement reads the new one");
	$out = $session->query($declare->('d1', 'here'));
	is($out, 'f', "$method: so does a cursor");
	is($session->query('FETCH 5 FROM c1; FETCH FORWARD 5000 FROM c2') =~ tr/t//, 5005, "$method: a cursor that was there goes on");
	is($nopen->($here) . $nopen->("$here.old"), '11', "$method: both are open");
	is($session->query('CLOSE d1; SELECT 1'), '1', "$method: closed");
	is($nopen->($here), 0, "$method: one is not any more");
	rename $here, $there or die;
	symlink "$here.old", $here or die;
	is($session->query("SAVEPOINT s; $which") // '', '', "$method: a link in its place");
	unlink $here or die;
	rename "$here.old", $here or die;
	is($session->query('ROLLBACK TO s; FETCH 1 FROM c3'), 't', "$method: and back");

	# Each way out of a transaction gives back what it had.
	is($session->query(join(' ', map { "CLOSE c$_;" } 2 .. $ncursors) . 'SELECT 1'), '1', "$method: all but one are closed");
	is($nopen->($here), 1, "$method: it needs the directory");
	$session->query('SAVEPOINT s; ' . $declare->('e1', 'tiles') . 'ROLLBACK TO s');
	is($nopen->($tiles), 0, "$method: ROLLBACK TO");
	$session->query('COMMIT');
	is($nopen->($here), 0, "$method: COMMIT");
	$session->query('BEGIN; ' . $declare->('e1', 'tiles') . $declare->('e2', 'tiles') . 'SELECT 1 / 0');
	is($nopen->($tiles), 0, "$method: an error");
	$session->query('ROLLBACK');
	$session->quit;
	rings_home($node, $method);
	$node->stop;
}

# --------------------------------------------------------------------------
# Who could put another directory in its place.

{
	my $node = iopool_node('exposed', 'sync', 'iopool.rings' => 2);
	my ($top, $quoted) = ("$base/above", "$base/it's");
	my $exposed = qr/^WARNING:  01000: directory "\S+" can be replaced by others than root and the server's user$/m;

	system('mkdir', '-p', "$top/mid/leaf", "$quoted/leaf") == 0 or die;
	my $is_exposed = words_of($node, create_directory('tried', $tiles)) =~ $exposed;
	SKIP:
	{
		skip('everything here is below what others can write in', 1) if $is_exposed;
		foreach my $case (
			# modes of top, mid and leaf; what is said of which
			[ 0755, 0755, 0755, undef ], [ 0777, 0755, 0755, 'above' ], [ 0775, 0755, 0755, 'above' ],
			[ 0757, 0755, 0755, 'above' ], [ 01777, 0755, 0755, undef ], [ 0755, 0770, 0700, 'above/mid' ],
			[ 0755, 0755, 0777, undef ], [ 01777, 0777, 0755, 'above/mid' ])
		{
			my ($top_mode, $mid_mode, $leaf_mode, $place) = @$case;
			my $label = sprintf '%o, %o, %o', $top_mode, $mid_mode, $leaf_mode;

			chmod $top_mode, $top or die;
			chmod $mid_mode, "$top/mid" or die;
			chmod $leaf_mode, "$top/mid/leaf" or die;
			foreach my $statement (create_directory('leaf', "$top/mid/leaf"),
				"ALTER SERVER tried OPTIONS (SET path '$top/mid/leaf');")
			{
				my $words = words_of($node, $statement);
				if (defined $place)
				{
					like($words, $exposed, "$label: " . substr($statement, 0, 5));
					like($words, qr/DETAIL:  Others can write in "\Q$base\/$place\E"\.\nHINT:  Run "chmod go-w '\Q$base\/$place\E'"/, "$label: where");
				}
				else
				{
					is($words, '', "$label: " . substr($statement, 0, 5));
				}
			}
			my $row = doctor($node)->{directory_leaf_ancestors};
			is($row->{status}, defined $place ? 'warn' : 'ok', "$label: the doctor");
			is($row->{hint}, defined $place ? "chmod go-w '$base/$place'" : '', "$label: its hint");
			$node->safe_psql('postgres', "DROP SERVER leaf; ALTER SERVER tried OPTIONS (SET path '$tiles')");
		}

		# What is not there yet is made by whoever comes first.
		foreach my $case ([ 0755, undef ], [ 0777, 'chmod go-w', 'above' ], [ 01777, 'mkdir -p', 'above/new' ])
		{
			my ($mode, $command, $place) = @$case;
			my $label = sprintf '%o, missing', $mode;

			chmod $mode, $top or die;
			my $words = words_of($node, "CREATE SERVER leaf FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$top/new', missing_ok 'on')");
			defined $command
			  ? like($words, qr/DETAIL:  Others can write in "\Q$top\E"\.\nHINT:  Run "\Q$command '$base\/$place'\E"/, "$label: a warning")
			  : is($words, '', "$label: none");
			my $row = doctor($node)->{directory_leaf_ancestors};
			is($row->{status}, defined $command ? 'warn' : 'ok', "$label: the doctor");
			is($row->{hint}, defined $command ? "$command '$base/$place'" : '', "$label: its hint");
			$node->safe_psql('postgres', 'DROP SERVER leaf');
		}

		# Nothing new to say when something else is changed.
		chmod 0777, $top or die;
		like(words_of($node, create_directory('leaf', "$top/mid/leaf")), $exposed, 'a warning');
		is(words_of($node, q{ALTER SERVER leaf OPTIONS (ADD io_mode 'direct')}), '', 'and no other');

		# What is to be pasted is a command, whatever the path is.
		chmod 0777, $quoted or die;
		$node->safe_psql('postgres', create_directory('quoted', "$base/it''s/leaf"));
		my $hint = doctor($node)->{directory_quoted_ancestors}{hint};
		is($hint, "chmod go-w '$base/it'\\''s'", 'a path with a quote');
		is(system('sh', '-c', $hint), 0, 'the command runs');
		is(doctor($node)->{directory_quoted_ancestors}{status}, 'ok', 'and helps');
		chmod 0311, "$quoted/leaf" or die;
		$hint = doctor($node)->{directory_quoted_direct}{hint};
		like($hint, qr/chmod a\+rx '\Q$base\E\/it'\\''s\/leaf'$/, 'the same for one that cannot be read');
	}
	$node->stop;
}

done_testing();
