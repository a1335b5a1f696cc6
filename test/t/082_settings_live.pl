# Settings of a server that runs: ALTER SYSTEM, pg_ctl reload, pending restarts,
# and a file that turned bad.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $plain = $fs->path('plain');
write_words($fs->backing('held'), 400_000);
write_words($fs->backing('plain'), 400_000);
my ($method) = test_methods();

my $node = iopool_node('live', $method,
	'iopool.rings' => 2, 'iopool.ring_entries' => 16,
	'iopool.pools' => 'bulk(rings=1)');
my $auto_conf = $node->data_dir . '/postgresql.auto.conf';

# The error of a statement in a session of its own, '' if there was none.
sub error_of
{
	my ($sql) = @_;
	my ($ret, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	return $err;
}

sub reload_conf
{
	my $position = -s $node->logfile;
	command_ok([ 'pg_ctl', '-s', '-D', $node->data_dir, 'reload' ], 'pg_ctl reload');
	return $position;
}

sub wait_for_line
{
	my ($position, $pattern, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(poll_until(sub { log_since($node, $position) =~ $pattern }), $label)
	  or diag(log_since($node, $position));
	return;
}

my $in_force = q{
	SELECT string_agg(name || ':' || method || ':' || rings || ':' || entries, ' ' ORDER BY name)
	FROM iopool_pools};
my $pending = q{
	SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings
	WHERE name LIKE 'iopool.%' AND pending_restart};

# --------------------------------------------------------------------------
# ALTER SYSTEM refuses what a start would refuse.

my @bad = (
	[ 'iopool.method', 'aio' ],
	[ 'iopool.rings', '0' ],
	[ 'iopool.rings', 'many' ],
	[ 'iopool.ring_entries', '4097' ],
	[ 'iopool.pools', 'bulk' ],
	[ 'iopool.pools', 'bulk(rings=0)' ],
	[ 'iopool.pools', 'bulk(depth=3)' ],
	[ 'iopool.pools', 'a(rings=1), a(rings=2)' ],
	[ 'iopool.pools', 'default(rings=1)' ],
	[ 'iopool.io_mode', 'mmap' ],
	[ 'iopool.checkout_timeout', '-2' ],
	[ 'iopool.max_in_flight_bytes', '0' ],
	[ 'iopool.merge_gap', '-2' ],
	[ 'iopool.merge_gap', 'automatic' ],
	[ 'iopool.merge_gap', '65MB' ],
	[ 'iopool.log_min_duration', 'slow' ]);
my $auto_before = slurp_file($auto_conf);
foreach my $case (@bad)
{
	my ($name, $value) = @$case;
	like(error_of("ALTER SYSTEM SET $name = '$value'"), qr/ERROR:  22023:.*"?\Q$name\E"?/,
		"ALTER SYSTEM SET $name = '$value' is refused");
}
like(error_of("ALTER SYSTEM SET iopool.pools = 'bulk(depth=3)'"), qr/DETAIL:.*"depth"/,
	'and a bad pool list is told what is wrong in it');
like(error_of('ALTER SYSTEM SET iopool.no_such_setting = 1'), qr/ERROR:.*iopool\.no_such_setting/,
	'a setting that does not exist is refused');
foreach my $missing (grep { my $name = $_; !grep { $_ eq $name } test_methods() } qw(io_uring libaio))
{
	# Not compiled in, or the kernel has none of it, which only a start can see.
	next if $node->safe_psql('postgres', "SELECT value ~ '$missing' FROM iopool_info() WHERE name = 'methods_compiled'") eq 't';
	like(error_of("ALTER SYSTEM SET iopool.method = '$missing'"), qr/ERROR:  0A000: .*"$missing" is not compiled in/,
		"ALTER SYSTEM SET iopool.method = '$missing' is refused");
	like(error_of("ALTER SYSTEM SET iopool.pools = 'bulk(method=$missing)'"), qr/DETAIL:  Method "$missing" of pool "bulk" is not compiled in/,
		"and so is a pool of $missing");
}
is(slurp_file($auto_conf), $auto_before, 'nothing refused was written');

# Who may: a user may set what is the session's, a superuser the rest.
$node->safe_psql('postgres', 'CREATE ROLE plain_user LOGIN');
like(error_of("SET ROLE plain_user;\nALTER SYSTEM SET iopool.pool = 'bulk'"), qr/ERROR:  42501:/,
	'ALTER SYSTEM takes its right');
like(error_of("SET ROLE plain_user;\nSET iopool.log_min_duration = 0"), qr/ERROR:  42501:/,
	'iopool.log_min_duration is for superusers');
foreach my $name (qw(method rings ring_entries pools))
{
	like(error_of("SET iopool.$name = DEFAULT"), qr/ERROR:  55P02:/, "iopool.$name takes a restart");
}

# --------------------------------------------------------------------------
# What takes a restart is pending until then; the views show what is in force.

my $now = "bulk:$method:1:16 default:$method:2:16";
is($node->safe_psql('postgres', $in_force), $now, 'in force at first');
my %later = (
	'iopool.method' => 'sync',
	'iopool.rings' => '3',
	'iopool.ring_entries' => '8',
	'iopool.pools' => 'vec(rings=4)');
# Where sync is all there is, the method does not change.
delete $later{'iopool.method'} if $method eq 'sync';
my $session = $node->background_psql('postgres');
foreach my $name (sort keys %later)
{
	is(error_of("ALTER SYSTEM SET $name = '$later{$name}'"), '', "ALTER SYSTEM SET $name");
}
my $position = reload_conf();
foreach my $name (sort keys %later)
{
	wait_for_line($position, qr/parameter "\Q$name\E" cannot be changed without restarting/,
		"$name: the log says that it takes a restart");
}
my $names = join ' ', sort keys %later;
ok($node->poll_query_until('postgres', "SELECT ($pending) = '$names'"), 'they are pending');
is($session->query($pending), $names, 'also in a session that was there before');
is($node->safe_psql('postgres', $in_force), $now, 'what is in force has not changed');
is($node->safe_psql('postgres', 'SHOW iopool.rings'), 2, 'and SHOW shows it');
reader_is_right($node, $plain, 'with changes pending');
rings_home($node, 'with changes pending');
$session->quit;

$node->restart;
is( $node->safe_psql('postgres', $in_force),
	'default:sync:3:8 vec:sync:4:8', 'in force after the restart');
is($node->safe_psql('postgres', $pending), '', 'nothing is pending');
reader_is_right($node, $plain, 'after the restart');

# --------------------------------------------------------------------------
# What is the session's takes effect in running sessions.

# Ten ranges of 4000 bytes, one in every 8 kB, on rings of 8 entries: what the
# counters of the pools say of them.  Merging looks at 8 ranges, and then at 2.
my $ranges = q{(SELECT array_agg(n * 8192) FROM generate_series(0, 9) AS n)};
my $count = qq{
	SELECT iopool_stat_reset();
	SELECT count(*) FROM iopool_read_batch('$plain', $ranges, ARRAY[4000]);
	SELECT string_agg(name || ':' || reads || ':' || bytes || ':' || merges || ':' || max_in_flight, ' ' ORDER BY name)
	FROM iopool_pools WHERE reads > 0};
my @steps = (
	[ 'iopool.pool', 'vec', qr/^vec:10:40000:0:8$/m ],
	[ 'iopool.merge_gap', '5kB', qr/^vec:2:73536:8:2$/m ],
	[ 'iopool.merge_gap', '-1', qr/^vec:10:40000:0:8$/m ],
	[ 'iopool.io_mode', 'direct', qr/^vec:10:40960:0:8$/m ],
	[ 'iopool.max_in_flight_bytes', '4kB', qr/^vec:10:40960:0:1$/m ]);
$session = $node->background_psql('postgres');
like($session->query($count), qr/^default:10:40000:0:8$/m, 'a session before the changes');
foreach my $step (@steps)
{
	my ($name, $value, $expected) = @$step;
	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	reload_conf();
	# A session learns of a reload with its next command, or the one after.
	my $setting = $node->safe_psql('postgres', "SELECT '$value'");
	ok(poll_until(sub { $session->query("SELECT setting = '$setting' OR current_setting(name) = '$setting' FROM pg_settings WHERE name = '$name'") eq 't' }),
		"$name = $value: the session has it");
	like($session->query($count), $expected, "$name = $value: it takes effect");
}
$node->safe_psql('postgres', 'ALTER SYSTEM SET iopool.log_min_duration = 0');
reload_conf();
ok(poll_until(sub { $session->query('SHOW iopool.log_min_duration') eq '0' }),
	'iopool.log_min_duration: the session has it');
$position = -s $node->logfile;
$session->query($count);
like(log_since($node, $position), qr/LOG:.*10 ranges/, 'iopool.log_min_duration: it takes effect');
$session->quit;

$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
reload_conf();
ok($node->poll_query_until('postgres', q{SELECT current_setting('iopool.pool') = 'default'}),
	'ALTER SYSTEM RESET');
is($node->safe_psql('postgres', $pending), $names, 'the old values of the file are pending again');
is($node->safe_psql('postgres', $in_force), 'default:sync:3:8 vec:sync:4:8',
	'and what is in force stays');

# --------------------------------------------------------------------------
# A file with bad values: the log names each, the server goes on with what it has.

my $conf = slurp_file($node->data_dir . '/postgresql.conf');
$node->append_conf('postgresql.conf', "iopool.checkout_timeout = 5s\n");
reload_conf();
ok($node->poll_query_until('postgres', q{SELECT current_setting('iopool.checkout_timeout') = '5s'}),
	'a good value first');
foreach my $case (
	[ 'iopool.rings = 0', qr/0 is outside the valid range for parameter "iopool\.rings"/ ],
	[ q{iopool.pools = 'bulk(depth=3)'}, qr/invalid value for parameter "iopool\.pools".*\n.*DETAIL:.*"depth"/ ],
	[ 'iopool.io_mode = mmap', qr/invalid value for parameter "iopool\.io_mode": "mmap"/ ],
	[ 'iopool.checkout_timeout = -2', qr/-2 .*outside the valid range for parameter "iopool\.checkout_timeout"/ ],
	[ 'iopool.no_such_setting = 1', qr/iopool\.no_such_setting/ ])
{
	my ($line, $pattern) = @$case;
	my $good = slurp_file($node->data_dir . '/postgresql.conf');
	$node->append_conf('postgresql.conf', "$line\n");
	$position = reload_conf();
	wait_for_line($position, $pattern, "reload with $line: the log names it");
	is($node->safe_psql('postgres', q{SHOW iopool.checkout_timeout}), '5s',
		"reload with $line: good values stay");
	open my $file, '>', $node->data_dir . '/postgresql.conf' or die $!;
	print $file $good;
	close $file;
}
is($node->safe_psql('postgres', $in_force), 'default:sync:3:8 vec:sync:4:8',
	'what is in force has not changed');
reader_is_right($node, $plain, 'after bad reloads');
rings_home($node, 'after bad reloads');
$node->stop;

# --------------------------------------------------------------------------
# A reload, and other signals, while reads are in flight and others wait for a
# ring: on each method, because each waits in system calls of its own.

foreach my $method (test_methods())
{
	my $node = iopool_node("signals_$method", $method,
		'iopool.rings' => 1, 'iopool.ring_entries' => 16,
		'iopool.checkout_timeout' => '1min');
	my $query = qq{SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch(
		(SELECT array_agg(CASE WHEN n < 1000 THEN '$plain' ELSE '$held' END ORDER BY n) FROM generate_series(0, 1999) AS n),
		(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 1999) AS n),
		array_fill(8::bigint, ARRAY[2000]))};

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode, signals";
		my $position = -s $node->logfile;
		$fs->gate('held');
		my $reader = start_sql($node, "SET iopool.io_mode = $mode;\n$query;\nSHOW iopool.merge_gap;");
		my $reader_pid = backend_pid($node, $reader);
		$fs->wait_blocked('held', 1);
		my $waiter = start_sql($node, "SET iopool.io_mode = $mode;\n$query;\nSHOW iopool.merge_gap;");
		my $waiter_pid = backend_pid($node, $waiter);
		ok($node->poll_query_until('postgres', 'SELECT waiting = 1 FROM iopool_pools'),
			"$label: one reads, one waits");

		$node->append_conf('postgresql.conf', "iopool.merge_gap = @{[length $mode]}\niopool.checkout_timeout = 0\n");
		foreach my $round (1 .. 5)
		{
			$node->reload;
			$node->safe_psql('postgres',
				"SELECT pg_log_backend_memory_contexts(pid) FROM unnest(ARRAY[$reader_pid, $waiter_pid]) AS pid");
		}
		ok( poll_until(sub { log_since($node, $position) =~ /\[$waiter_pid\].* logging memory contexts of PID $waiter_pid/ }),
			"$label: the waiter serves signals");
		is($node->safe_psql('postgres', 'SELECT waiting FROM iopool_pools'), 1,
			"$label: and keeps waiting, by the settings it began with");
		cmp_ok($fs->blocked('held'), '>', 0, "$label: the reads are held");
		$fs->ungate('held');
		foreach my $session ($reader, $waiter)
		{
			my ($out, $err) = $session->finish;
			is($err, '', "$label: no error");
			is($out, "2000\n" . length($mode) . 'B', "$label: right bytes, and then the new setting");
		}
		$node->append_conf('postgresql.conf', "iopool.checkout_timeout = 1min\n");
		$node->reload;
		rings_home($node, $label);
	}
	$node->stop;
}

done_testing();
