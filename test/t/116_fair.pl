# Who gets a ring: limits of roles, and what is seen of those who hold one and of
# those who wait.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $plain = PostgreSQL::Test::Utils::tempdir() . '/plain';
my $long = PostgreSQL::Test::Utils::tempdir() . '/long';
write_words($plain, 400_000);
write_words($long, 3_200_000);
write_words($fs->backing("held$_"), 400_000) foreach 1 .. 4;

# A batch that stays in the kernel's hands until its gate opens.
sub held_batch
{
	my ($n) = @_;
	my $file = $fs->path("held$n");
	return "SELECT count(*) FROM iopool_read_batch('$file', ARRAY[0, 8000], ARRAY[8, 8])";
}

my $batch = "SELECT count(*) FROM iopool_read_batch('$plain', ARRAY[0, 8000], ARRAY[8, 8])";

# The same of a role's session.
sub as_role
{
	my ($node, $role, $query) = @_;
	return start_sql($node, "SET SESSION AUTHORIZATION $role;\nSET iopool.checkout_timeout = -1;\n$query;");
}

sub says
{
	my ($session) = @_;
	my ($out, $err) = $session->finish;
	return $out . $err;
}

sub seen
{
	my ($node, $query, $expected, $label) = @_;
	ok(ask_until($node, "SELECT ($query) = '$expected'"), $label)
	  or diag(ask($node, "SELECT $query"));
	return;
}

foreach my $method (test_methods())
{
	my $node = iopool_node("fair_$method", $method, 'iopool.rings' => 3, 'iopool.max_lease_time' => '1h');
	ask($node, q{CREATE ROLE greedy; CREATE ROLE modest; CREATE ROLE watcher;
		GRANT pg_read_server_files TO greedy, modest; GRANT pg_monitor TO watcher;
		ALTER SYSTEM SET iopool.max_rings_per_role = 2; SELECT pg_reload_conf();});
	ask_until($node, q{SELECT current_setting('iopool.max_rings_per_role') = '2'});
	$fs->gate("held$_") foreach 1 .. 4;

	# Two of three rings are greedy's, who wants a third.
	my @greedy = map { as_role($node, 'greedy', held_batch($_)) } 1 .. 2;
	$fs->wait_blocked("held$_", 1) foreach 1 .. 2;
	push @greedy, as_role($node, 'greedy', $batch);
	seen($node, q{SELECT count(*) FROM iopool_waiters WHERE pool = 'default' AND place = 1}, 1, "$method: a role at its limit waits");
	is(says(as_role($node, 'modest', $batch)), '2', "$method: and blocks nobody");

	# Whoever waits is seen, and for how long, while it waits.
	my $waited = "(SELECT checkout_wait_ms FROM iopool_pools WHERE name = 'default')";
	my $before = ask($node, "SELECT $waited");
	seen($node, "SELECT $waited > $before + 20", 't', "$method: waiting counts while it lasts");
	is(ask($node, q{SELECT count(*) FROM iopool_waiters AS w JOIN pg_stat_activity AS a USING (pid)
			WHERE wait_event_type = 'Extension' AND waiting_since BETWEEN a.query_start AND clock_timestamp()}), 1, "$method: who waits, and since when");

	# The last ring is taken as well: the doctor tells by whom.
	my $modest = as_role($node, 'modest', held_batch(3));
	$fs->wait_blocked('held3', 1);
	my $next = as_role($node, 'modest', $batch);
	seen($node, q{SELECT waiting FROM iopool_pools WHERE name = 'default'}, 2, "$method: nothing is left");
	my $leases = says(start_sql($node, q{SET ROLE watcher; SELECT status || ' ' || detail FROM iopool_check() WHERE check_name = 'leases'}));
	like($leases, qr/^warn .*3 of 3 rings held: (?=.*role "greedy").*process \d+ of role "modest" since \d{4}-\d\d-\d\d/, "$method: the doctor tells who has them");
	like($leases, qr/waiting: process \d+ of role "greedy" for \d+ ms, process \d+ of role "modest" for \d+ ms/, "$method: and who waits");
	is(ask($node, q{SELECT count(DISTINCT pid) FROM iopool_rings WHERE state = 'leased' AND leased_since < clock_timestamp()}), 3, "$method: as the view does");

	# modest's next one is third in line and second of those that may.
	my ($out, $err) = start_sql($node, "SET SESSION AUTHORIZATION greedy;\nSET iopool.checkout_timeout = 10;\n$batch;")->finish;
	like($err, qr/no ring of pool "default" was free within 10 ms.*Sessions of role "greedy" hold 2 of its rings, as many as "iopool.max_rings_per_role" allows.*iopool_rings/s,
		"$method: a timeout at the limit says so");
	$fs->ungate('held3');
	is(says($_), '2', "$method: a ring of another goes past who is at the limit") foreach $modest, $next;
	is(ask($node, q{SELECT count(*) FROM iopool_waiters}), 1, "$method: who waits on");
	$fs->ungate('held1');
	is(says($greedy[$_]), '2', "$method: a ring of its own role is for it") foreach 0, 2;
	$fs->ungate('held2');
	is(says($greedy[1]), '2', "$method: and the last") ;

	# Sessions of a role at its limit that sit idle keep nobody from reading, of
	# the same role or another, and lose no row.
	ask($node, 'SELECT pg_advisory_lock(815)');
	my $ranges = "'$plain', (SELECT array_agg((n * 24) % 399984 ORDER BY n) FROM generate_series(1, 3000) AS n), array_fill(8::bigint, ARRAY[3000])";
	my @idle = map {
		as_role($node, 'greedy', "BEGIN;\nSELECT iopool_submit($ranges) AS r \\gset\nSELECT pg_advisory_xact_lock_shared(815);\n"
			  . "SELECT 'right: ' || count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_fetch(:r);\nCOMMIT")
	} 1 .. 5;
	seen($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, 5, "$method: five idle sessions of a role");
	my $parked = goes_on_alone($method) ? 't' : 'f';
	is(ask($node, q{SELECT count(*) > 0 FROM iopool_rings WHERE parked_since BETWEEN leased_since AND clock_timestamp()}), $parked, "$method: parked rings are seen");
	is(ask($node, q{SELECT takeovers > 0 FROM iopool_pools WHERE name = 'default'}), $parked, "$method: and that they were taken over");
	is(says(as_role($node, $_, $batch)), '2', "$method: $_ reads beside them") foreach qw(greedy modest);
	ask($node, 'SELECT pg_advisory_unlock(815)');
	like(says($_), qr/right: 3000$/, "$method: an idle session has all its rows") foreach @idle;
	rings_home($node, $method);

	# Sessions that give their ring up after every few reads of a long range, and
	# have to ask for it again in the middle of it.
	ask($node, q{ALTER SYSTEM SET iopool.max_lease_time = 0; SELECT pg_reload_conf();});
	ask_until($node, q{SELECT current_setting('iopool.max_lease_time') = '0'});
	my @long = map {
		as_role($node, $_, "SELECT count(*), sum(length(data)) FROM generate_series(0, 39) AS n, LATERAL iopool_read('$long', n * 8, 3000000) AS data")
	} ('greedy') x 3, ('modest') x 3;
	is(says($_), '40|120000000', "$method: a long range, a ring at a time") foreach @long;
	rings_home($node, $method);
	$node->stop;
}

done_testing();
