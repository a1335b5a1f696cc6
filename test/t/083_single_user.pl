# Without a postmaster: single-user mode makes its rings itself and reads with
# them, and postgres -C tells what shared memory they take.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $words = PostgreSQL::Test::Utils::tempdir() . '/words';
write_words($words, 400_000);
write_words($fs->backing('held'), 400_000);

my $node = iopool_node('single', undef, no_start => 1,
	'iopool.rings' => 2, 'iopool.ring_entries' => 16);

# postgres --single with settings, working through queries, one a line; not
# started yet.  Input and output are files, so it goes on whether or not the
# test is listening.
my $base = PostgreSQL::Test::Utils::tempdir() . '/single';

sub single
{
	my ($queries, @settings) = @_;
	unlink "$base.out", "$base.err";
	open my $file, '>', "$base.sql" or die "could not create \"$base.sql\": $!";
	print $file join('', map { my $line = $_; $line =~ s/\s+/ /g; "$line\n" } @$queries);
	close $file;
	return IPC::Run::harness(
		[ 'postgres', '--single', '-F', '-D', $node->data_dir,
			(map { ('-c', $_) } @settings), 'postgres' ],
		'<', "$base.sql", '>', "$base.out", '2>', "$base.err",
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
}

# What it said so far: the values of columns named "v", and the messages.
sub said
{
	return ([ slurp_file("$base.out") =~ /1: v = "([^"]*)"/g ], slurp_file("$base.err"));
}

# Runs it to the end; returns that and the exit code.
sub run_single
{
	my $run = single(@_);
	$run->run;
	return (said(), $run->result(0));
}

# 2,000 ranges compared with the words they must be; libaio makes its context
# only for a lease that is worth it.
my $batch = qq{SELECT count(*) FILTER (WHERE data = int8send(file_offset)) AS v FROM iopool_read_batch('$words',
	(SELECT array_agg(n * 192 ORDER BY n) FROM generate_series(0, 1999) AS n), ARRAY[8])};
my $home = q{SELECT count(*) AS v FROM iopool_rings WHERE state = 'free' AND pid IS NULL AND in_flight = 0};

# Not preloaded: said as clearly as to any client.
{
	my ($values, $err, $exit) = run_single(
		[ 'CREATE EXTENSION iopool', "SELECT iopool_read('$words', 8, 8) AS v", 'SELECT 42 AS v' ],
		'shared_preload_libraries=');
	like($err, qr/ERROR:.*shared_preload_libraries/, 'not preloaded: the error');
	is_deeply($values, [42], 'not preloaded: the session goes on');
	is($exit, 0, 'not preloaded: exit code');
}

foreach my $method (test_methods())
{
	my ($values, $err, $exit) = run_single([
			'DROP EXTENSION iopool', 'CREATE EXTENSION iopool',
			q{SELECT string_agg(name || ':' || method || ':' || rings, ' ') AS v FROM iopool_pools},
			"SELECT iopool_read('$words', 8, 8) = int8send(8) AS v",
			(map { ("SET iopool.io_mode = $_", $batch, $home) } io_modes()),
			# the whole file as one array
			"SELECT string_agg(d, '') = pg_read_binary_file('$words') AS v FROM unnest(iopool_read_array('$words', "
			  . "(SELECT array_agg(n * 1000 ORDER BY n) FROM generate_series(0, 399) AS n), ARRAY[1000])) AS d",
			# an error, with reads beside it, and what comes after
			"SELECT count(*) AS v FROM iopool_read_batch(ARRAY['$words', '/nonexistent', '$words'], ARRAY[0, 0, 8], ARRAY[8, 8, 8])",
			$home,
			"SELECT sum(1 / (ordinal - 1000)) AS v FROM iopool_read_batch('$words', array_fill(0, ARRAY[2000]), ARRAY[8])",
			$home,
			"DO \$\$ BEGIN PERFORM iopool_read_array('/nonexistent', ARRAY[0, 8], ARRAY[8]); EXCEPTION WHEN undefined_file THEN RAISE LOG 'caught'; END \$\$",
			"SET iopool.pool = nowhere", $batch, "SET iopool.pool = 'default'",
			$batch, $home,
			q{SELECT errors + broken + waiting AS v FROM iopool_pools} ],
		"iopool.method=$method");
	is_deeply($values,
		[ "default:$method:2", 't', (2000, 2) x 3, 't', 2, 2, 2000, 2, 0 ],
		"$method: right values") or diag($err);
	like($err, qr/could not open file "\/nonexistent"/, "$method: an error of a file");
	like($err, qr/division by zero/, "$method: an error of a consumer");
	like($err, qr/LOG:  caught/, "$method: an error that is caught");
	like($err, qr/pool "nowhere" does not exist/, "$method: an unknown pool");
	unlike($err, qr/WARNING|FATAL|PANIC|does not hold it|is broken/, "$method: nothing odd is said");
	is($exit, 0, "$method: exit code");

	# Signals in the middle of a batch.
	foreach my $mode (io_modes())
	{
		foreach my $signal (qw(INT TERM))
		{
			my $label = "$method, $mode, SIG$signal";
			my $held_batch = $batch;
			$held_batch =~ s/\Q$words\E/$held/;
			$fs->gate('held');
			my $run = single([ "SET iopool.io_mode = $mode", $held_batch, $home,
					"SELECT count(*) AS v FROM iopool_read_batch('$words', '{0,8,16}', ARRAY[8])" ],
				"iopool.method=$method");
			$run->start;
			$fs->wait_blocked('held', 1);
			$run->signal($signal);
			cmp_ok($fs->blocked('held'), '>', 0, "$label: the reads are held");
			unlike((said())[1], qr/ERROR|FATAL/, "$label: no error while they are");
			$fs->ungate('held');
			$run->finish;
			my ($values, $err) = said();
			if ($signal eq 'INT')
			{
				like($err, qr/ERROR:  canceling statement due to user request/, "$label: cancelled");
				is_deeply($values, [ 2, 3 ], "$label: the ring is free and reads on");
				is($run->result(0), 0, "$label: exit code");
			}
			else
			{
				like($err, qr/FATAL:  terminating connection due to administrator command/, "$label: terminated");
				isnt($run->result(0), 0, "$label: exit code");
			}
			unlike($err, qr/WARNING|PANIC|does not hold it|is broken/, "$label: nothing odd is said");
		}
	}
}

# What stops a server stops single-user mode.
{
	my ($values, $err, $exit) = run_single([ 'SELECT 42 AS v' ], 'iopool.pools=bulk(depth=3)');
	like($err, qr/FATAL:.*iopool\.pools/, 'a bad setting: FATAL');
	is_deeply($values, [], 'a bad setting: no session');
	isnt($exit, 0, 'a bad setting: exit code');
}

# The numbers that a DBA sizes huge pages by include the pools.
sub runtime_value
{
	my ($name, @settings) = @_;
	my ($out, $err) = run_command(
		[ 'postgres', '-D', $node->data_dir, (map { ('-c', $_) } @settings), '-C', $name ]);
	is($err, '', "postgres -C $name says nothing else");
	return $out;
}
is(runtime_value('iopool.rings', 'iopool.rings=7'), 7, 'postgres -C knows the settings');
my $small = runtime_value('shared_memory_size', 'iopool.rings=10');
my $large = runtime_value('shared_memory_size', 'iopool.pools=' . join(',', map { "p$_(rings=1024)" } 1 .. 20));
cmp_ok($large - $small, '>=', 2, 'shared_memory_size counts the pools');

# And a postmaster finds everything as it was left.
$node->start;
rings_home($node, 'a server after single-user mode');
reader_is_right($node, $words, 'a server after single-user mode');
$node->stop;

done_testing();
