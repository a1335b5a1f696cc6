# The doctor: each check of iopool_check() is seen failing, with what it
# measured and a hint that helps, and each is "ok" where nothing asks for what
# is missing.
#
# What holds for the whole machine is done in test/machine: the sysctl
# kernel.io_uring_disabled, and fs.aio-max-nr used up by others.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my %has = map { $_ => 1 } test_methods();
my $norings = helper_program('norings');
my $node = iopool_node('doctor', undef, no_start => 1, without_server_rings());
my $good_conf = slurp_file($node->data_dir . '/postgresql.conf');
my $size = 200_000;
my $words = write_words(PostgreSQL::Test::Utils::tempdir() . '/words', $size);

# Runs a function with the server up, with settings and under a launcher.
sub with_server
{
	my ($label, $settings, $launcher, $run) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	open my $file, '>', $node->data_dir . '/postgresql.conf' or die $!;
	print $file $good_conf, $settings, "\n";
	close $file;
	ok(start_under($node, @$launcher), "$label: the server starts") or return;
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS iopool');
	$run->();
	ok(stop_plain($node), "$label: the server stops");
	return;
}

# Asserts the status of one row, that a hint is there where it has to be, and
# what detail and hint say.
sub row_is
{
	my ($report, $name, $status, $label, %like) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $row = $report->{$name} // { status => 'none', detail => '', hint => '' };

	is($row->{status}, $status, "$label: $name is $status")
	  or diag("$row->{detail}\n$row->{hint}");
	like($row->{$_}, $like{$_}, "$label: $_ of $name")
	  foreach (sort keys %like);
	is($row->{hint}, '', "$label: no hint of $name") if $status eq 'ok';
	return;
}

sub filter { return [ $norings, join(',', @_) ]; }
sub limited { return [ 'sh', '-c', "ulimit $_[0]; exec \"\$@\"", 'sh' ]; }

my $plain = ['env'];
my $seccomp = qr/docker run --security-opt seccomp=.*SCMP_ACT_ALLOW.*\[Service\] \/ SystemCallFilter=/;
my $memlock = qr/ulimit -l.*\[Service\] \/ LimitMEMLOCK=\d+ \/ .*limits\.d.*- memlock \d+/;
my $nofile = qr/max_files_per_process = \d+.*\[Service\] \/ LimitNOFILE=\d+ \/ .*- nofile \d+/;
my $knows_switch = -e '/proc/sys/kernel/io_uring_disabled';
my $charges = kernel_at_least(6, 14) || !kernel_at_least(5, 12);

# Nothing wrong with what each method needs.
foreach my $method (test_methods())
{
	with_server($method, "iopool.method = $method", $plain, sub {
		my $report = doctor($node);

		row_is($report, 'method', 'ok', $method,
			detail => qr/pool "default" uses $method/);
		row_is($report, $_, 'ok', $method)
		  foreach (qw(rings memlock nofile aio_max_nr io_uring io_uring_read
			  io_uring_restrictions libaio libraries));
		like($report->{io_uring}{detail}, qr/a ring can be made/,
			"$method: io_uring is looked at")
		  if $has{io_uring};
		like($report->{memlock}{detail},
			$method eq 'io_uring' ? qr/need \d{5,} bytes/ : qr/no pool/,
			"$method: memory of rings");
	});
}

# A filter refuses io_uring_setup, in two ways, or kills who makes it.
foreach my $error (qw(EPERM ENOSYS KILL))
{
	my $text = $error eq 'ENOSYS' ? qr/not implemented/ : qr/not permitted/;

	with_server("auto, $error", 'iopool.method = auto', filter($error), sub {
		my $report = doctor($node);
		my $label = "auto, io_uring_setup: $error";
		my $hint = $error ne 'ENOSYS' || $knows_switch
		  ? qr/^Allow io_uring_setup.*$seccomp/
		  : qr/Linux \d.*$seccomp/;

		if ($report->{io_uring}{detail} eq 'not compiled in')
		{
			row_is($report, 'io_uring', 'warn', $label, hint => qr/Build iopool with liburing/);
			return;
		}
		row_is($report, 'io_uring', 'warn', $label, hint => $hint,
			detail => qr/io_uring_setup failed: .*$text; a seccomp filter is in force/);
		row_is($report, 'method', 'warn', $label, hint => $hint,
			detail => qr/chosen by auto; at the server's start: io_uring failed/);
		row_is($report, 'io_uring_read', 'ok', $label, detail => qr/not known/);
		row_is($report, 'io_uring_restrictions', 'ok', $label,
			detail => qr/not known/);
	});
}
foreach my $error (qw(EPERM KILL))
{
	with_server("sync, $error", 'iopool.method = sync', filter($error, "$error:io_setup"), sub {
		row_is(doctor($node), $_, 'ok', "sync, io_uring_setup: $error")
		  foreach (qw(method io_uring libaio));
	});
}

# A filter, or an old kernel, refuses what rings need beside that.
my $ask = 'io_uring_register:1=8';
my $restrict = 'io_uring_register:1=11';
SKIP:
{
	skip('the method io_uring is not tested in this run', 1)
	  unless $has{io_uring};

	with_server('EINVAL of PROBE', 'iopool.method = auto',
		filter("EINVAL:$ask"), sub {
		my $report = doctor($node);
		row_is($report, 'io_uring', 'ok', 'EINVAL of PROBE');
		row_is($report, 'io_uring_read', 'warn', 'EINVAL of PROBE',
			detail => qr/READ.*Invalid argument/, hint => qr/Linux 5\.10/);
	});
	with_server('EPERM of PROBE', 'iopool.method = io_uring',
		filter("EPERM:$ask"), sub {
		row_is(doctor($node), 'io_uring_read', 'fail', 'EPERM of PROBE, by name',
			detail => qr/READ.*not permitted/, hint => $seccomp);
	});
	with_server('EINVAL of RESTRICTIONS', 'iopool.method = auto',
		filter("EINVAL:$restrict"), sub {
		my $report = doctor($node);
		row_is($report, 'io_uring_restrictions', 'warn', 'no restrictions',
			detail => qr/restricting a ring failed: Invalid argument/,
			hint => qr/Linux 5\.10/);
		row_is($report, 'method', 'warn', 'no restrictions',
			hint => qr/Linux 5\.10/);
	});
	with_server('EPERM of io_uring_enter', 'iopool.method = io_uring',
		filter('EPERM:io_uring_enter'), sub {
		row_is(doctor($node), 'rings', 'fail', 'EPERM of io_uring_enter',
			detail => qr/io_uring_enter failed: Operation not permitted/,
			hint => $seccomp);
	});
}

# No method but sync is left.
with_server('no io_setup', 'iopool.method = auto',
	filter('EPERM', 'ENOSYS:io_setup'), sub {
	my $report = doctor($node);
	my $row = $report->{libaio};

	row_is($report, 'libaio', 'warn', 'no io_setup',
		$row->{detail} eq 'not compiled in'
		? (hint => qr/Build iopool with libaio/)
		: ( detail => qr/io_setup failed: Function not implemented; a seccomp/,
			hint => qr/CONFIG_AIO.*$seccomp/));
});

# Features of the kernel and of file systems, as a filter takes them away.
my $first = (test_methods())[0];
my @features = (
	# label, rule, settings of the session, row, status, detail, hint
	[ 'no openat2', 'ENOSYS:openat2', '', 'openat2', 'warn',
		qr/openat2 failed: Function not implemented/, qr/Linux 5\.6.*$seccomp/ ],
	[ 'no STATX_DIOALIGN, direct', 'ENOSYS:statx:3&0x2000',
		'SET iopool.io_mode = direct', 'statx_dioalign', 'warn',
		qr/STATX_DIOALIGN/, qr/Linux 6\.1/ ],
	[ 'no STATX_DIOALIGN', 'ENOSYS:statx:3&0x2000', '',
		'statx_dioalign', 'ok', qr/STATX_DIOALIGN/ ],
	[ 'no O_DIRECT', 'EINVAL:fcntl:1=4:2&0x4000', '',
		'data_directory_direct', 'warn', qr/does not support direct I\/O/,
		qr/SET iopool\.io_mode = 'buffered';/ ],
	[ 'no O_DIRECT, direct', 'EINVAL:fcntl:1=4:2&0x4000',
		'SET iopool.io_mode = direct', 'data_directory_direct', 'fail',
		qr/does not support direct I\/O/, qr/SET iopool\.io_mode = 'buffered';/ ],
	[ 'no RWF_DONTCACHE, uncached', 'EOPNOTSUPP:preadv2:5&0x80',
		'SET iopool.io_mode = uncached', 'data_directory_uncached', 'warn',
		qr/not supported.*RWF_DONTCACHE/, qr/Linux 6\.14/ ],
	[ 'no RWF_DONTCACHE', 'EOPNOTSUPP:preadv2:5&0x80', '',
		'data_directory_uncached', 'ok', qr/not supported.*RWF_DONTCACHE/ ],
	[ 'no RWF_NOWAIT', 'EOPNOTSUPP:preadv2:5&0x8', '',
		'data_directory_buffered', $has{io_uring} ? 'warn' : 'ok',
		qr/not supported.*RWF_NOWAIT/, qr/ext4, xfs or btrfs/ ]);
# O_DIRECT has another number on some architectures.
require Fcntl;
my $o_direct = eval { Fcntl::O_DIRECT() } // 0x4000;
foreach my $feature (@features)
{
	my ($label, $rule, $settings, $row, $status, $detail, $hint) = @$feature;

	$rule =~ s/0x4000/$o_direct/;
	with_server($label, "iopool.method = $first", filter($rule), sub {
		row_is(doctor($node, $settings), $row, $status, $label,
			detail => $detail, $status eq 'ok' ? () : (hint => $hint));
	});
}
with_server('sync, no RWF_NOWAIT', 'iopool.method = sync',
	filter('EOPNOTSUPP:preadv2:5&0x8'), sub {
	row_is(doctor($node), 'data_directory_buffered', 'ok',
		'no RWF_NOWAIT, no io_uring');
});

# A file system that is no disk.  tmpfs has taken O_DIRECT since Linux 6.6, and
# cannot say "not without waiting".
SKIP:
{
	chomp(my $type = `stat -f -c %T /dev/shm 2>&1`);
	skip('/dev/shm is no tmpfs that can be written', 1)
	  unless $type eq 'tmpfs' && -w '/dev/shm';

	my $data = $node->data_dir;
	my $shm = "/dev/shm/iopool_doctor.$$";
	system('cp', '-a', $data, $shm) == 0 or die 'could not copy';
	rename $data, "$data.away" or die $!;
	symlink $shm, $data or die $!;
	with_server('tmpfs', "iopool.method = $first", $plain, sub {
		my $report = doctor($node);

		row_is($report, 'data_directory_direct',
			kernel_at_least(6, 6) ? 'ok' : 'warn', 'tmpfs');
		row_is($report, 'data_directory_buffered',
			$has{io_uring} ? 'warn' : 'ok', 'tmpfs',
			detail => qr/RWF_NOWAIT.*threads of the kernel/)
		  unless kernel_at_least(7, 0);
		row_is($report, 'statx_dioalign', 'ok', 'tmpfs');
	});
	unlink $data or die $!;
	rename "$data.away", $data or die $!;
	system('rm', '-rf', $shm);
}

# A file system without O_DIRECT: ramfs, mounted over the data directory where
# an unprivileged user may have mounts of his own.  The server lives in there,
# so it is stopped by its number.
my $hidden_pid;
END
{
	my $exit_code = $?;
	kill 'QUIT', $hidden_pid if defined $hidden_pid;
	$? = $exit_code;
}
SKIP:
{
	my @inside = qw(unshare --user --map-current-user --keep-caps --mount);
	my $data = $node->data_dir;

	skip('no mounts for unprivileged users here', 1)
	  if system("@inside mount -t ramfs ramfs '$data' >/dev/null 2>&1") != 0;

	my $mount = 'mount -t ramfs ramfs "$1" && cp -a "$0/." "$1/" && chmod 700 "$1" && shift && exec "$@"';
	system('cp', '-a', $data, "$data.copy") == 0 or die 'could not copy';
	is(system(@inside, 'sh', '-c', $mount, "$data.copy", $data,
		'pg_ctl', '-w', '-s', '-D', $data, '-l', $node->logfile, 'start'),
		0, 'ramfs: the server starts');
	$hidden_pid = $node->safe_psql('postgres',
		"SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)");

	my $report = doctor($node, 'SET iopool.io_mode = buffered');
	row_is($report, 'data_directory_direct', 'warn', 'ramfs',
		detail => qr/does not support direct I\/O/,
		hint => qr/SET iopool\.io_mode = 'buffered';/);
	row_is($report, 'statx_dioalign', 'ok', 'ramfs',
		detail => qr/does not tell/);
	row_is(doctor($node, 'SET iopool.io_mode = direct'),
		'data_directory_direct', 'fail', 'ramfs, direct');

	my $socket = $node->host . '/.s.PGSQL.' . $node->port;
	kill 'INT', $hidden_pid;
	ok(poll_until(sub { !-e $socket }), 'ramfs: the server stops');
	undef $hidden_pid;
	system('rm', '-rf', "$data.copy");
}

# Little lockable memory: rings that cannot be made, rings that can be made
# once, and a limit that was lowered under the server.
my $pid_file = $node->data_dir . '/postmaster.pid';
sub lower_limit
{
	my ($option) = @_;
	my ($pid) = slurp_file($pid_file) =~ /^(\d+)/;
	system('prlimit', '--pid', $pid, $option) == 0 or die "prlimit $option";
	return;
}
SKIP:
{
	skip('the method io_uring is not tested in this run', 1)
	  unless $has{io_uring};
	skip('this kernel does not charge rings', 1) unless $charges;

	with_server('auto, 128 kB locked',
		"iopool.method = auto\niopool.rings = 64\niopool.ring_entries = 512",
		limited('-l 128'), sub {
		my $report = doctor($node);
		row_is($report, 'memlock', 'warn', 'too little locked memory',
			detail => qr/need \d+ bytes, the limit is 131072 /, hint => $memlock);
		row_is($report, 'method', 'warn', 'too little locked memory',
			hint => $memlock);
	});
	with_server('io_uring, 96 kB locked',
		"iopool.method = io_uring\niopool.rings = 4\niopool.ring_entries = 128",
		limited('-l 96'), sub {
		my $report = doctor($node);
		row_is($report, 'memlock', 'warn', 'locked memory for one set of rings',
			detail => qr/need 65536 bytes, the limit is 98304 .*may have to wait/,
			hint => $memlock);
		row_is($report, 'method', 'ok', 'locked memory for one set of rings');

		lower_limit('--memlock=4096');
		$report = doctor($node);
		row_is($report, 'memlock', 'fail', 'limit lowered',
			detail => qr/the limit is 4096 .*nothing of it is left/,
			hint => $memlock);
		row_is($report, 'io_uring', 'fail', 'limit lowered',
			detail => qr/Cannot allocate memory/, hint => qr/ulimit -l/);
	});
}

# Few file descriptors: too few for the rings, few for reading, none.
SKIP:
{
	skip('the method io_uring is not tested in this run', 1)
	  unless $has{io_uring};
	with_server('auto, 256 files',
		"iopool.method = auto\niopool.rings = 300\niopool.ring_entries = 4",
		limited('-n 256'), sub {
		my $report = doctor($node);
		row_is($report, 'nofile', 'warn', 'too few files for the rings',
			detail => qr/the limit is 256 .*300 rings of io_uring would not leave/,
			hint => $nofile);
		row_is($report, 'method', 'warn', 'too few files for the rings',
			hint => $nofile);
	});
}
with_server('sync, 200 files', 'iopool.method = sync', limited('-n 200'), sub {
	my $few = qr/a call can have \d\d files open/;

	row_is(doctor($node), 'nofile', 'warn', 'few files', detail => $few,
		hint => $nofile);
});
with_server('no files', "iopool.method = $first", $plain, sub {
	# The session lowers its own limit to a few more than it has open.
	my ($out, $err) = start_sql($node, q{
		SELECT count(*) > 0 FROM iopool_check();
		SELECT pg_backend_pid() AS pid, count(*) + 4 AS files FROM pg_ls_dir('/proc/self/fd') \gset
		\setenv PID :pid
		\setenv FILES :files
		\! prlimit --pid $PID --nofile=$FILES:
		SELECT check_name, status, detail, hint FROM iopool_check() WHERE check_name = 'nofile';})->finish;
	like($out, qr/^nofile\|fail\|.*only \d more can be opened\|Raise/m,
		'no files: nofile fails');
	is($err, '', 'no files: no error');
});

# More events of libaio than the machine gives to all.
SKIP:
{
	skip('the method libaio is not tested in this run', 1) unless $has{libaio};
	chomp(my $max = slurp_file('/proc/sys/fs/aio-max-nr'));
	my $nrings = int($max / 4096) + 1;
	skip('fs.aio-max-nr is too high for one pool', 1) if $nrings > 1024;

	with_server('auto, many events',
		"iopool.method = auto\niopool.rings = $nrings\niopool.ring_entries = 4096",
		filter('EPERM'), sub {
		row_is(doctor($node), 'aio_max_nr', 'warn', 'more events than there are',
			detail => qr/need up to @{[$nrings * 4096]} events; .*fs\.aio-max-nr = $max/,
			hint => qr/^sysctl -w fs\.aio-max-nr=\d{5,} \/ .*sysctl\.d/);
	});
	with_server('sync, many events',
		"iopool.method = sync\niopool.rings = $nrings\niopool.ring_entries = 4096",
		$plain, sub {
		row_is(doctor($node), 'aio_max_nr', 'ok', 'nobody asks for events');
	});
}

# Broken rings: one of two, then both.
SKIP:
{
	skip('the method io_uring is not tested in this run', 1)
	  unless $has{io_uring};

	my $ringtool = helper_program('ringtool');
	my $fs = IopoolTest::GateFS->new;
	write_words($fs->backing('held'), $size);
	my $read = sub {
		return "SELECT octet_length(data) FROM iopool_read_batch('$_[0]', ARRAY[0, 50000], ARRAY[100]);";
	};
	my $consume = sub {
		my ($pid) = slurp_file($pid_file) =~ /^(\d+)/;
		my $out = '';
		IPC::Run::run([ $ringtool, $pid, 'consume', $_[0], $words ],
			'>', \$out, '2>&1');
		is($?, 0, "$_[0] ring(s) meddled with") or diag($out);
	};

	with_server('broken rings',
		"iopool.method = io_uring\niopool.rings = 2\niopool.ring_entries = 8",
		$plain, sub {
		# While the good ring is held, the next reader meets the other.
		$consume->(1);
		$fs->gate('held');
		my $session = start_sql($node, $read->($fs->path('held')));
		$fs->wait_blocked('held', 2);
		$node->psql('postgres', "SET iopool.checkout_timeout = 0;\n"
			  . $read->($words));
		row_is(doctor($node), 'rings', 'warn', 'one broken ring',
			detail => qr/pool "default": 1 of 2 rings in service/,
			hint => qr/server log.*pg_ctl restart/);
		$fs->ungate('held');
		$session->finish;

		$consume->(2);
		$node->psql('postgres', $read->($words));
		row_is(doctor($node), 'rings', 'fail', 'no ring but broken ones',
			detail => qr/pool "default": 0 of 2 rings in service/,
			hint => qr/server log.*pg_ctl restart/);
	});
}

# A liburing that is older than the one at build time.
SKIP:
{
	skip('the method io_uring is not tested in this run', 1)
	  unless $has{io_uring};

	my $dir = PostgreSQL::Test::Utils::tempdir();
	append_to_file("$dir/old.c", "int io_uring_major_version(void) { return 1; }\n"
		  . "int io_uring_minor_version(void) { return 0; }\n");
	system($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', "$dir/old.so",
		"$dir/old.c") == 0
	  or die 'could not compile old.c';
	with_server('old liburing', "iopool.method = io_uring",
		[ 'env', "LD_PRELOAD=$dir/old.so" ], sub {
		row_is(doctor($node), 'libraries', 'warn', 'an older liburing',
			detail => qr/built with liburing \d.*running with 1\.0/,
			hint => qr/make clean && make/);
	});
}

done_testing();
