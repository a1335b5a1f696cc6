# Generated queries: with the nodes on and off, and with core's functions in the
# place of iopool's, they say the same, on every method (IopoolFuzz.pm).  So many
# and always the same here; "make fuzz" goes on.
#
# IOPOOL_TEST_SEED is the seed of the first query, IOPOOL_TEST_QUERIES the number
# of queries for each method.  What was drawn is looked at with the number below.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolFuzz;
use IopoolQueries;
use IopoolTest;

my $nqueries = 420;
my $seed = $ENV{IOPOOL_TEST_SEED} // 5_000;
my $wanted = $ENV{IOPOOL_TEST_QUERIES} // $nqueries;
my (%drawn, %with_node);
my $ntotal = 0;

foreach my $method (test_methods())
{
	my $node = iopool_node("fuzz_$method", $method,
		'iopool.rings' => 4, 'iopool.ring_entries' => 32, 'iopool.pools' => 'other(rings=3, entries=16), narrow(rings=3, entries=2)', 'autovacuum' => 'off', 'restart_after_crash' => 'on');
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $fuzz = IopoolFuzz->new(
		socket => $node->host . '/.s.PGSQL.' . $node->port, user => scalar getpwuid($>), method => $method,
		dir => "$dir/plain", other_dir => "$dir/other", print => sub { diag(@_) });

	mkdir $_ foreach (grep { !-d } "$dir/plain", "$dir/other");
	$fuzz->prepare;
	# queries of its own
	my $count = $fuzz->run($seed + $ntotal, sub { $_[0] < $wanted });
	my $first = $seed + $ntotal;

	is($count->{differences}, 0, "$method, $wanted queries from seed $first, $count->{rows} rows: the same with nodes, without them, and of core");
	cmp_ok($count->{lateral}, '>=', $wanted / 10, "$method: $count->{lateral} plans with IopoolLateral");
	cmp_ok($count->{project}, '>=', $wanted / 10, "$method: $count->{project} plans with IopoolProject");
	cmp_ok($count->{scan}, '>=', $wanted / 50, "$method: $count->{scan} plans with IopoolScan");
	$drawn{$_} += $count->{tags}{$_} foreach (keys %{ $count->{tags} });
	$with_node{$_} += $count->{node_tags}{$_} foreach (keys %{ $count->{node_tags} });
	$ntotal += $wanted;
	rings_home($node, "$method, after the queries");
	$node->stop;
}

SKIP:
{
	skip 'what was drawn is known of other queries', 2 if defined $ENV{IOPOOL_TEST_QUERIES} || test_methods() < 3;

	is(join(', ', grep { !$drawn{$_} } query_tags()), '', 'every source and every shape was drawn');
	is(join(', ', grep { !$with_node{$_} } node_tags()), '', 'and met a node where there can be one');
}

done_testing();
