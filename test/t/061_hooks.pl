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

# Whoever may ask gets the same answer, whatever the settings, rights and names
# around: the query is planned, and not run.
$node->safe_psql('postgres', q{
	CREATE ROLE watcher;
	GRANT pg_monitor TO watcher;
	CREATE SCHEMA trap AUTHORIZATION watcher;
	CREATE FUNCTION trap.generate_series(int, int) RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
	CREATE FUNCTION trap.count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
	CREATE FUNCTION planned() RETURNS bigint LANGUAGE sql IMMUTABLE AS
		$$ SELECT count(*) FROM iopool_check() WHERE check_name IN ('planner_hooks', 'object_access_hook') AND status = 'ok' $$;
	REVOKE EXECUTE ON FUNCTION generate_series(int, int), count() FROM PUBLIC;});
my $both_ok = q{SELECT count(*) FROM iopool_check() WHERE check_name IN ('planner_hooks', 'object_access_hook') AND status = 'ok'};
my %around = (
	'a role without a right to the query' => "SET ROLE watcher; SET search_path = trap, pg_catalog, public; SELECT sum((check_name IN ('planner_hooks', 'object_access_hook') AND status = 'ok')::int) FROM iopool_check()",
	'a join order that is searched otherwise' => "SET geqo_threshold = 2; SET from_collapse_limit = 1; SET join_collapse_limit = 1; $both_ok",
	'plans that are disabled' => join('', map { "SET enable_$_ = off; " } qw(nestloop hashjoin mergejoin hashagg material)) . $both_ok,
	'plans made each time' => "SET plan_cache_mode = force_custom_plan; $both_ok",
	'a transaction that reads only' => "BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE; $both_ok; COMMIT",
	'the query of a cursor' => "BEGIN; DECLARE c SCROLL CURSOR FOR $both_ok; FETCH c; COMMIT",
	'a block that catches errors' => q{DO $$ BEGIN ASSERT planned() = 2; EXCEPTION WHEN division_by_zero THEN NULL; END $$; SELECT planned()},
	'planning' => 'SELECT 1 FROM pg_class WHERE planned() = 1; SELECT planned()');
foreach my $around (sort keys %around)
{
	is($node->safe_psql('postgres', $around{$around}), 2, "asked in $around");
}

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

# A library that a session loads has to be there before.
restart_with("'iopool'", 'set_rel_pathlist_hook');
($mend) = $node->safe_psql('postgres', "LOAD '$module'; SELECT hint FROM iopool_check() WHERE check_name = 'planner_hooks'") =~
  /^Load "iopool_usurp" with the server, before iopool: (ALTER SYSTEM .*); then restart the server\.$/;
ok($mend, 'a library that the session has loaded');
is(row_of('planner_hooks'), $good, 'and nobody else has');
$node->safe_psql('postgres', $mend);
$node->restart;
is($node->safe_psql('postgres', "LOAD '$module'; SELECT status FROM iopool_check() WHERE check_name = 'planner_hooks'"), 'ok',
	'the hint mends it');

# What no order mends
my $no_order = 'No order of shared_preload_libraries mends this. Do without that extension, or without what iopool does in its hooks.';
restart_with("'iopool', '$module'", 'plans_alone');
is(row_of('planner_hooks'), "warn|set_rel_pathlist_hook is not called; set_join_pathlist_hook is not called|$no_order",
	'a planner that passes hooks over');
unlike(plan_of($lateral), qr/IopoolLateral/, 'a planner that passes hooks over: what it takes away');

# Where the server's command line sets the order, it is mended there.
{
	my $libraries = "iopool, $module";
	$node->stop;
	system('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile,
		'-o', "-c 'shared_preload_libraries=$libraries' -c iopool_usurp.hooks=set_rel_pathlist_hook", 'start') == 0 or die;
	is(row_of('planner_hooks'), "warn|set_rel_pathlist_hook does not reach iopool: \"iopool_usurp\" has set it last"
		  . "|Load iopool last: start the server with -c shared_preload_libraries='$module, iopool' on its command line.",
		'an order of the command line');
	system('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-m', 'fast', 'stop') == 0 or die;
	$node->start;
}

# Without its shared memory iopool can do nothing, and says why.
restart_with("'iopool', '$module'", 'shmem_startup_hook');
{
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$lateral");
	like($err, qr/ERROR:  55000: iopool has no shared memory\nDETAIL:  .*shmem_startup_hook.*\nHINT:  Put iopool last /, 'shared memory');
	(undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM iopool_check()");
	like($err, qr/ERROR:  55000: iopool has no shared memory/, 'shared memory: the doctor');
	is(plan_of($lateral) =~ /Iopool/ ? 1 : 0, 1, 'shared memory: EXPLAIN');
}

# An order that is known to be wrong is told at start.  The library has the name
# of one that does the same.
mkdir "$tmp/lib" or die;
copy($module, "$tmp/lib/citus.so") or die;
my $from = restart_with("'$tmp/lib/citus', 'iopool'", 'set_rel_pathlist_hook');
unlike(substr(slurp_file($node->logfile), $from), qr/cannot read ahead/, 'nothing is told of an order that is right');
is(row_of('planner_hooks'), $good, 'which the doctor finds right');
$from = restart_with("'iopool', '$tmp/lib/citus.so'", 'set_rel_pathlist_hook');
like(substr(slurp_file($node->logfile), $from),
	qr/LOG:  iopool cannot read ahead of queries, because "citus" is loaded after it\n.*DETAIL: .*\n.*HINT:  Load iopool last: shared_preload_libraries = '\Q$tmp\E\/lib\/citus\.so, iopool'\.$/m,
	'an order that is wrong is told');
like(row_of('planner_hooks'), qr/"citus" has set it last/, 'which the doctor finds wrong');
$from = restart_with("'$tmp/lib/citus', 'iopool', '$tmp/lib/citus'", 'set_rel_pathlist_hook');
unlike(substr(slurp_file($node->logfile), $from), qr/cannot read ahead/, 'a library is loaded where it is named first');
is(row_of('planner_hooks'), $good, 'a library that is named twice');
mkdir "$tmp/a, 'lib'" or die;
copy($module, "$tmp/a, 'lib'/citus.so") or die;
$from = restart_with("'iopool', '$tmp/a, ''lib''/citus'", 'set_rel_pathlist_hook');
my ($setting) = substr(slurp_file($node->logfile), $from) =~ /HINT:  Load iopool last: (shared_preload_libraries = .*)\.$/m;
$node->safe_psql('postgres', 'ALTER SYSTEM RESET shared_preload_libraries');
$node->append_conf('postgresql.conf', $setting);
$node->restart;
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), qq{"$tmp/a, 'lib'/citus", iopool}, 'a name of other characters: what is told can be set');
is(row_of('planner_hooks'), $good, 'and mends it');

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
