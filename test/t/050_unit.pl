# White-box tests of the engine, with a mock in the kernel's place: what no
# query and no kernel brings about at will.  See test/modules/iopool_unit.
#
# IOPOOL_UNIT_SEED and IOPOOL_UNIT_ROUNDS steer the random cases.
# IOPOOL_TEST_TRAPS names faults of trap.c that this build must notice.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $seed = $ENV{IOPOOL_UNIT_SEED} // 1;
my $rounds = $ENV{IOPOOL_UNIT_ROUNDS} // 2000;
my $module = $ENV{IOPOOL_TEST_UNIT};

if (!defined $module)
{
	my $source = "$FindBin::RealBin/../modules/iopool_unit";
	system('make', '-s', '-C', $source) == 0
	  or BAIL_OUT('could not build iopool_unit');
	$module = "$source/iopool_unit.so";
}

# iopool is not preloaded: the module brings its own copy of the engine.
my $node = PostgreSQL::Test::Cluster->new('unit');
$node->init;
$node->append_conf('postgresql.conf',
	"restart_after_crash = on\nstatement_timeout = '10min'");
$node->start;
$node->safe_psql(
	'postgres', qq{
	CREATE FUNCTION iopool_unit_list() RETURNS text
	LANGUAGE c AS '$module';
	CREATE FUNCTION iopool_unit_run(name text, seed bigint, rounds int)
	RETURNS void LANGUAGE c AS '$module'});

my @cases =
  split /\n/, $node->safe_psql('postgres', 'SELECT iopool_unit_list()');
cmp_ok(scalar(@cases), '>', 30, 'there are cases');

foreach my $case (@cases)
{
	my $ok = eval { ask($node, "SELECT iopool_unit_run('$case', $seed, $rounds)"); 1; };

	ok($ok, "$case, seed $seed") or diag($@);
	# An engine that waits for ever is ended by a crash of the backend.
	$ok || ask_until($node, 'SELECT true') or BAIL_OUT('the server is gone');
}

$node->stop;

# Whatever a build is said to look for is seen to be found.  The log of this
# node is full of reports, which nobody else's may have: see scripts/test.sh.
my %reports = (
	assertion => qr/TRAP: failed Assert\("value == 0"\), File: "trap\.c"/,
	past_malloc => qr/AddressSanitizer: heap-buffer-overflow .*in past_malloc/s,
	past_palloc => qr/AddressSanitizer: use-after-poison .*in past_palloc/s,
	after_pfree => qr/AddressSanitizer: use-after-poison .*in after_pfree/s,
	after_delete => qr/AddressSanitizer: use-after-poison .*in after_delete/s,
	overflow => qr/trap\.c:\d+:\d+: runtime error: signed integer overflow/,
	misaligned => qr/trap\.c:\d+:\d+: runtime error: load of misaligned address/);
my @traps = split ' ', $ENV{IOPOOL_TEST_TRAPS} // '';

if (@traps)
{
	my $trap_node = PostgreSQL::Test::Cluster->new('trap');

	$trap_node->init;
	$trap_node->append_conf('postgresql.conf', 'restart_after_crash = on');
	$trap_node->start;
	$trap_node->safe_psql('postgres',
		"CREATE FUNCTION iopool_unit_trap(kind text) RETURNS void LANGUAGE c AS '$module'"
	);
	foreach my $trap (@traps)
	{
		my $from = -s $trap_node->logfile;

		isnt($trap_node->psql('postgres', "SELECT iopool_unit_trap('$trap')"),
			0, "$trap: ends the backend");
		# The postmaster may not know yet: the next backend must not be one
		# that it ends for this one's sake.
		poll_until(sub { slurp_file($trap_node->logfile, $from) =~ /database system is ready to accept connections/ })
		  or BAIL_OUT('the server is gone');
		$trap_node->poll_query_until('postgres', 'SELECT true')
		  or BAIL_OUT('the server is gone');
		like(slurp_file($trap_node->logfile, $from),
			$reports{$trap}, "$trap: is reported");
	}
	$trap_node->stop;
}
done_testing();
