# Choosing the method: auto takes the best that works and says why, a named one
# that does not work stops the server with a hint.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my @methods = test_methods();
my $norings = helper_program('norings');
my $node = iopool_node('method', undef, no_start => 1, without_server_rings());
my $good_conf = slurp_file($node->data_dir . '/postgresql.conf');
my $words = PostgreSQL::Test::Utils::tempdir() . '/words';
write_words($words, 100_000);

my $other;    # method_without_io_uring()

# Starts the server with the settings under a launcher; returns whether it came
# up, the log, and what iopool_info() says of the method.
sub try_start
{
	my ($settings, @launcher) = @_;
	my $position = -s $node->logfile // 0;
	my $method = '';

	open my $file, '>', $node->data_dir . '/postgresql.conf' or die $!;
	print $file $good_conf, $settings, "\n";
	close $file;

	my $ok = start_under($node, @launcher);
	if ($ok)
	{
		$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS iopool');
		$method = $node->safe_psql('postgres',
			"SELECT value FROM iopool_info() WHERE name = 'method'");
		$other = method_without_io_uring($node);
		rings_home($node, "started with: $settings");
		reader_is_right($node, $words, "started with: $settings");
		ok(stop_plain($node), 'the server stops');
	}
	return ($ok, log_since($node, $position), $method);
}

# auto, where everything works.
{
	my ($ok, $log, $method) = try_start('iopool.method = auto', 'env');
	ok($ok, 'auto: the server starts');
	is($method, $methods[0], "auto chooses the best method here, $methods[0]");
	my @lines = grep { /iopool: method auto chose/ } split /\n/, $log;
	is(scalar(@lines), 1, 'auto: one LOG line');
	like($lines[0], qr/LOG:  iopool: method auto chose \Q$method\E/,
		'auto: the line says what was chosen');
}

# Each named method is the one that is used, and nothing is said of a choice.
foreach my $method (@methods)
{
	my ($ok, $log, $in_use) = try_start("iopool.method = $method", 'env');
	ok($ok, "$method by name: the server starts");
	is($in_use, $method, "$method by name: it is in use");
	unlike($log, qr/method auto chose/, "$method by name: no line about auto");
}

# A kernel that refuses io_uring, in the two ways that kernels do, and a filter that
# kills who asks for it.  The sysctl kernel.io_uring_disabled needs root:
# test/machine does it.
my %reason = (
	EPERM => qr/io_uring.*Operation not permitted/,
	ENOSYS => qr/io_uring.*Function not implemented/,
	KILL => qr/io_uring.*Operation not permitted/);
my %hint = (
	EPERM => qr/seccomp/,
	ENOSYS => qr/Linux \d+\.\d+/,
	KILL => qr/seccomp/);
if (!grep { $_ eq 'io_uring' } @methods)
{
	# The kernel is not asked for what is not compiled in.
	my $not_compiled = qr/io_uring is not compiled in.*liburing/;
	$_ = qr/$_|$not_compiled/ foreach (values %reason, values %hint);
}
foreach my $error (qw(EPERM ENOSYS KILL))
{
	my ($ok, $log, $method) =
	  try_start('iopool.method = auto', $norings, $error);
	ok($ok, "auto with $error: the server starts");
	isnt($method, 'io_uring', "auto with $error: another method is in use");
	is($method, $other, "auto with $error: the next best method");
	my @lines = grep { /iopool: method auto chose/ } split /\n/, $log;
	is(scalar(@lines), 1, "auto with $error: one LOG line");
	like($lines[0], $reason{$error},
		"auto with $error: the line tells the error");
	like($log, $hint{$error},
		"auto with $error: the log tells how to enable it");

	next if !grep { $_ eq 'io_uring' } @methods;
	($ok, $log) = try_start('iopool.method = io_uring', $norings, $error);
	ok(!$ok, "io_uring with $error: the server does not start");
	like($log, qr/FATAL:.*io_uring/, "io_uring with $error: FATAL");
	like($log, qr/HINT:.*$hint{$error}/, "io_uring with $error: hint");

	# One pool of that method is enough to stop it, and is named.
	($ok, $log) = try_start(
		"iopool.method = sync\niopool.pools = 'fast(rings=1, method=io_uring)'",
		$norings, $error);
	ok(!$ok, "pool of io_uring with $error: the server does not start");
	like($log, qr/FATAL:/, "pool of io_uring with $error: FATAL");
}

# A filter that kills who makes any call of asynchronous reads.
{
	my ($ok, $log, $method) = try_start('iopool.method = auto', $norings,
		'KILL,KILL:io_setup');
	ok($ok, 'auto with KILL of all: the server starts');
	is($method, 'sync', 'auto with KILL of all: sync is in use');
}

# Methods mixed: each pool reads with its own.
if (@methods > 1)
{
	my ($ok, $log) = try_start(
		"iopool.method = $methods[0]\niopool.pools = '"
		  . join(', ', map { "p_$_(rings=1, entries=4, method=$_)" } @methods)
		  . "'", 'env');
	ok($ok, 'a pool of each method: the server starts');
}

# Few file descriptors: fewer than there are rings.
my $many = "iopool.rings = 300\niopool.ring_entries = 4";
{
	my ($ok, $log, $method) = try_start("iopool.method = auto\n$many",
		'sh', '-c', 'ulimit -n 256; exec "$@"', 'sh');
	ok($ok, 'auto with few descriptors: the server starts');
	isnt($method, 'io_uring', 'auto with few descriptors: another method');
	like($log, qr/iopool: method auto chose.*io_uring/,
		'auto with few descriptors: the line tells why');
}
if (grep { $_ eq 'io_uring' } @methods)
{
	my ($ok, $log) = try_start("iopool.method = io_uring\n$many",
		'sh', '-c', 'ulimit -n 256; exec "$@"', 'sh');
	ok(!$ok, 'io_uring with few descriptors: the server does not start');
	like($log, qr/FATAL:/, 'io_uring with few descriptors: FATAL');
	like($log, qr/HINT:.*(?:RLIMIT_NOFILE|ulimit -n|LimitNOFILE)/,
		'io_uring with few descriptors: the hint names the limit');
}

# Little lockable memory.  Kernels from 6.14 on, and those before 5.12, charge
# the rings to it; between them there is nothing to run out of.
my $charges = kernel_at_least(6, 14) || !kernel_at_least(5, 12);
my $deep = "iopool.rings = 64\niopool.ring_entries = 512";
my @memlock = ('sh', '-c', 'ulimit -l 128; exec "$@"', 'sh');
if (grep { $_ eq 'io_uring' } @methods)
{
	my ($ok, $log, $method) =
	  try_start("iopool.method = auto\n$deep", @memlock);
	ok($ok, 'auto with little lockable memory: the server starts');
	if ($charges)
	{
		isnt($method, 'io_uring',
			'auto with little lockable memory: another method');
		like($log, qr/iopool: method auto chose.*io_uring/,
			'auto with little lockable memory: the line tells why');
	}
	else
	{
		is($method, 'io_uring', 'rings are not charged by this kernel');
	}

	($ok, $log) = try_start("iopool.method = io_uring\n$deep", @memlock);
	if ($charges)
	{
		ok(!$ok,
			'io_uring with little lockable memory: the server does not start');
		like($log, qr/HINT:.*(?:RLIMIT_MEMLOCK|ulimit -l|LimitMEMLOCK)/,
			'io_uring with little lockable memory: the hint names the limit');
	}
	else
	{
		ok($ok, 'io_uring with little lockable memory: the server starts');
	}
}

# More libaio events than the kernel gives to all processes.
if (grep { $_ eq 'libaio' } @methods)
{
	chomp(my $max = slurp_file('/proc/sys/fs/aio-max-nr'));
	my $settings = "iopool.rings = "
	  . (int($max / 4096) + 1)
	  . "\niopool.ring_entries = 4096";

	my ($ok, $log) = try_start("iopool.method = libaio\n$settings", 'env');
	ok(!$ok, 'libaio with too many events: the server does not start');
	like($log, qr/FATAL:/, 'libaio with too many events: FATAL');
	like($log, qr/HINT:.*fs\.aio-max-nr/,
		'libaio with too many events: the hint names the limit');
}

done_testing();
