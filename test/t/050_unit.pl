# White-box tests of the engine, with a mock in the kernel's place: what no
# query and no kernel brings about at will.  See test/modules/iopool_unit.
#
# IOPOOL_UNIT_SEED and IOPOOL_UNIT_ROUNDS steer the random cases.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

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
	"restart_after_crash = on\nstatement_timeout = '120s'");
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
	my ($out, $err) = ('', '');
	my $rc = $node->psql('postgres',
		"SELECT iopool_unit_run('$case', $seed, $rounds)",
		stdout => \$out, stderr => \$err);

	is($rc, 0, "$case, seed $seed") or diag($err);
	# An engine that waits for ever is ended by a crash of the backend.
	$node->poll_query_until('postgres', 'SELECT true')
	  or BAIL_OUT('the server is gone');
}

$node->stop;
done_testing();
