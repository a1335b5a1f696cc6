# Extensions that take hooks of the server and do not pass them on: the doctor
# finds each, and says how to mend it, and so does the server's log where it is
# known beforehand.  Nothing here depends on the method.

use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $module = $ENV{IOPOOL_TEST_USURP};
if (!defined $module)
{
	my $source = "$FindBin::RealBin/../modules/iopool_usurp";
	system('make', '-s', '-C', $source) == 0
	  or BAIL_OUT('could not build iopool_usurp');
	$module = "$source/iopool_usurp.so";
}

my $tmp = PostgreSQL::Test::Utils::tempdir();
my $data = write_words("$tmp/words", 100_000);
my $lateral = "SELECT sum(length(d)) FROM generate_series(0, 99) AS n, iopool_read('$data', n * 8, 8) AS d";
my $select_list = "SELECT n, iopool_read('$data', n * 8, 8) FROM generate_series(0, 99) AS n";
my $node = iopool_node('hooks', undef);

sub restart_with
{
	my ($libraries, $hooks) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET shared_preload_libraries = $libraries");
	$node->append_conf('postgresql.conf', "iopool_usurp.hooks = '$hooks'");
	my $from = -s $node->logfile;
	$node->restart;
	return $from;
}

sub row_of
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT status, detail, hint FROM iopool_check() WHERE check_name = '$name'");
}

sub plan_of
{
	my ($query) = @_;
	return $node->safe_psql('postgres', "EXPLAIN (COSTS OFF) $query");
}

my $good = 'ok|the planner asks iopool for plans that read ahead|';
my $seen = 'ok|iopool sees who creates and changes directories|';
is(row_of('planner_hooks'), $good, 'alone: the hooks of the planner');
is(row_of('object_access_hook'), $seen, 'alone: the hook of object access');
like(plan_of($lateral), qr/IopoolLateral/, 'alone: nodes');
is($node->safe_psql('postgres', 'SET iopool.enable_stream_scan = off; ' . q{SELECT status FROM iopool_check() WHERE check_name = 'planner_hooks'}), 'ok',
	'hooks that are reached, and do nothing by request');

# Each hook by itself, and what it takes away
my %taken = (
	planner_hook => [ 'planner_hooks', 'warn', $lateral, 1 ],
	set_rel_pathlist_hook => [ 'planner_hooks', 'warn', "SELECT data FROM iopool_read_batch('$data', ARRAY[0, 8], ARRAY[8])", 0 ],
	set_join_pathlist_hook => [ 'planner_hooks', 'warn', $lateral, 0 ],
	create_upper_paths_hook => [ 'planner_hooks', 'warn', $select_list, 0 ],
	object_access_hook => [ 'object_access_hook', 'fail', $lateral, 1 ]);
foreach my $hook (sort keys %taken)
{
	my ($row, $status, $query, $is_read_ahead) = @{ $taken{$hook} };
	# standard_planner() is the server's own
	my $library = $hook eq 'planner_hook' ? 'postgres' : 'iopool_usurp';
	my $other = $row eq 'planner_hooks' ? 'object_access_hook' : 'planner_hooks';

	restart_with("'iopool', '$module'", $hook);
	is(row_of($row),
		"$status|$hook does not reach iopool: \"$library\" has set it last|Load iopool last: ALTER SYSTEM SET shared_preload_libraries = '$module', 'iopool'; then restart the server.",
		"$hook: taken");
	is(row_of($other), $other eq 'planner_hooks' ? $good : $seen, "$hook: nothing else is");
	is(plan_of($query) =~ /Iopool/ ? 1 : 0, $is_read_ahead, "$hook: what it takes away");
	like($node->safe_psql('postgres', $query), qr/\S/, "$hook: the query runs");
}

# What the hint says helps.
restart_with("'iopool', '$module'", 'set_rel_pathlist_hook set_join_pathlist_hook create_upper_paths_hook');
like(row_of('planner_hooks'), qr/^warn\|set_rel_.*; set_join_.*; create_upper_/, 'several hooks are named');
my ($mend) = row_of('planner_hooks') =~ /: (ALTER SYSTEM .*);/;
$node->safe_psql('postgres', $mend);
$node->restart;
is(row_of('planner_hooks'), $good, 'the hint mends it');
like(plan_of($lateral), qr/IopoolLateral/, 'and queries are read ahead');

# An order that is known to be wrong is told at start.  The library has the name
# of one that does the same.
mkdir "$tmp/lib" or die;
copy($module, "$tmp/lib/citus.so") or die;
my $from = restart_with("'$tmp/lib/citus', 'iopool'", 'set_rel_pathlist_hook');
unlike(substr(slurp_file($node->logfile), $from), qr/cannot read ahead/, 'nothing is told of an order that is right');
is(row_of('planner_hooks'), $good, 'which the doctor finds right');
$from = restart_with("'iopool', '$tmp/lib/citus.so'", 'set_rel_pathlist_hook');
like(substr(slurp_file($node->logfile), $from),
	qr/LOG:  iopool cannot read ahead of queries, because "citus" is loaded after it\n.*DETAIL: .*\n.*HINT:  Load iopool last: ALTER SYSTEM SET shared_preload_libraries = '\Q$tmp\E\/lib\/citus\.so', 'iopool';/,
	'an order that is wrong is told');
like(row_of('planner_hooks'), qr/"citus" has set it last/, 'which the doctor finds wrong');

# Whoever may not name a path does not make a directory where nobody looks, and
# whoever may does.
restart_with("'iopool', '$module'", 'object_access_hook');
$node->safe_psql('postgres', 'CREATE ROLE app; GRANT USAGE ON FOREIGN DATA WRAPPER iopool_directory TO app');
my $make = "CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tmp')";
my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE app; $make");
like($err, qr/ERROR:  42501: permission denied to set option "path" of a directory/, 'a directory of a role without the right');
$node->safe_psql('postgres', "SET client_min_messages = error; $make");
is($node->safe_psql('postgres', q{SELECT iopool_read('tiles:words', 8, 8) = int8send(8)}), 't', 'and of a superuser');

$node->stop;
done_testing();
