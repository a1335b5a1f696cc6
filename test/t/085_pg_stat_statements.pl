# Beside pg_stat_statements and auto_explain, in every order of
# shared_preload_libraries that puts iopool first, last and in the middle: each
# library gets its shared memory, at start and after a crash, and does its work.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my ($method) = test_methods();
my $words = PostgreSQL::Test::Utils::tempdir() . '/words';
write_words($words, 400_000);

my $node = iopool_node('neighbours', $method, no_start => 1,
	'iopool.rings' => 3, 'iopool.pools' => 'bulk(rings=2)',
	'restart_after_crash' => 'on',
	'compute_query_id' => 'auto',
	'auto_explain.log_min_duration' => '0',
	'auto_explain.log_analyze' => 'on',
	'auto_explain.log_nested_statements' => 'on');
plan skip_all => 'pg_stat_statements is not installed'
  unless -e $node->config_data('--sharedir') . '/extension/pg_stat_statements.control';

my $batch = "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch('$words', ARRAY[0, 8000, 300000], ARRAY[8])";

# Asserts that each of the libraries works.
sub all_work
{
	my ($label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	rings_home($node, $label);
	reader_is_right($node, $words, $label);
	is($node->safe_psql('postgres', q{SELECT string_agg(name || ':' || rings, ' ' ORDER BY name) FROM iopool_pools}),
		'bulk:2 default:3', "$label: the pools are whole");

	# counted, with their constants taken out, also inside a function
	$node->safe_psql('postgres', 'SELECT pg_stat_statements_reset()');
	my $position = -s $node->logfile;
	is($node->safe_psql('postgres', $batch), 3, "$label: right bytes") foreach (1 .. 4);
	$node->safe_psql('postgres', 'SELECT nested()');
	my $failed = $batch;
	$failed =~ s/\Q$words\E/\/nonexistent/;
	isnt($node->psql('postgres', $failed), 0, "$label: a missing file");
	is( $node->safe_psql('postgres', q{
			SELECT string_agg(toplevel || ':' || calls || ':' || rows, ' ' ORDER BY toplevel, calls)
			FROM pg_stat_statements WHERE query ~ '^(SELECT|PERFORM)? ?.*iopool_read_batch\(\$1' AND query !~ 'CREATE'}),
		'false:1:1 true:4:4', "$label: statements are counted");
	like(log_since($node, $position), qr/Custom Scan \(IopoolScan\).*rows=3 .*actual .*rows=3/,
		"$label: plans are logged, with the rows that the planner was told");
	return;
}

foreach my $libraries (
	'iopool, pg_stat_statements, auto_explain',
	'pg_stat_statements, iopool, auto_explain',
	'auto_explain, pg_stat_statements, iopool')
{
	my $label = $libraries;

	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '$libraries'\npg_stat_statements.track = 'all'");
	$node->start;
	$node->safe_psql('postgres', qq{
		CREATE EXTENSION IF NOT EXISTS iopool;
		CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
		CREATE OR REPLACE FUNCTION nested() RETURNS bigint LANGUAGE plpgsql AS
			'BEGIN RETURN ($batch); END'}
		=~ s/'\Q$words\E'/''$words''/r);
	all_work($label);

	# The hooks that make shared memory run again after a crash.
	my $session = start_sql($node, 'SELECT pg_sleep(3600)');
	my $pid = backend_pid($node, $session);
	my $position = -s $node->logfile;
	kill 'KILL', $pid;
	$session->finish;
	ok(poll_until(sub { log_since($node, $position) =~ /database system is ready to accept connections/ }),
		"$label: the server is back after a crash");
	all_work("$label, after a crash");

	$node->stop;
}

done_testing();
