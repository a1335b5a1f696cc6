# Without shared_preload_libraries: the extension can be created and dropped,
# and everything in it says what is missing, instead of crashing or lying.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $node = PostgreSQL::Test::Cluster->new('no_preload');
$node->init;
$node->start;

is($node->psql('postgres', 'CREATE EXTENSION iopool'),
	0, 'CREATE EXTENSION works without preloading');

my %calls = (
	'iopool_read' => q{SELECT iopool_read('PG_VERSION', 0, 2)},
	'iopool_read of nothing' => q{SELECT iopool_read('PG_VERSION', 0, 0)},
	'iopool_read_batch, lengths' =>
	  q{SELECT * FROM iopool_read_batch('PG_VERSION', ARRAY[0], ARRAY[2])},
	'iopool_read_batch, length' =>
	  q{SELECT * FROM iopool_read_batch('PG_VERSION', ARRAY[0], ARRAY[2])},
	'iopool_read_batch, paths' =>
	  q{SELECT * FROM iopool_read_batch(ARRAY['PG_VERSION'], ARRAY[0], ARRAY[2])},
	'iopool_read_batch, on_error report' =>
	  q{SELECT * FROM iopool_read_batch('PG_VERSION', ARRAY[0], ARRAY[2], 'report')},
	'iopool_read_batch of nothing' =>
	  q{SELECT * FROM iopool_read_batch('PG_VERSION', '{}'::bigint[], ARRAY[2])},
	'iopool_read_array, lengths' =>
	  q{SELECT iopool_read_array('PG_VERSION', ARRAY[0], ARRAY[2])},
	'iopool_read_array, length' =>
	  q{SELECT iopool_read_array('PG_VERSION', ARRAY[0], ARRAY[2])},
	'iopool_read_array, paths' =>
	  q{SELECT iopool_read_array(ARRAY['PG_VERSION'], ARRAY[0], ARRAY[2])},
	'iopool_prefetch' =>
	  q{SELECT iopool_prefetch('PG_VERSION', ARRAY[0], ARRAY[2])},
	'iopool_read_files' => q{SELECT * FROM iopool_read_files(ARRAY['PG_VERSION'])},
	'iopool_read_files of nothing' => q{SELECT * FROM iopool_read_files('{}')},
	'iopool_stat' => q{SELECT * FROM iopool_stat('PG_VERSION')},
	'iopool_stat of nothing' => q{SELECT * FROM iopool_stat('none', true)},
	'iopool_list' => q{SELECT * FROM iopool_list('.')},
	'iopool_info' => q{SELECT * FROM iopool_info()},
	'iopool_check' => q{SELECT * FROM iopool_check()},
	'iopool_directories' => q{SELECT * FROM iopool_directories},
	'iopool_stat_reset' => q{SELECT iopool_stat_reset()},
	'iopool_pools' => q{SELECT * FROM iopool_pools},
	'iopool_rings' => q{SELECT * FROM iopool_rings});

foreach my $call (sort keys %calls)
{
	my ($ret, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$calls{$call}");
	isnt($ret, 0, "$call fails");
	like($err, qr/ERROR:  55000:/, "$call: SQLSTATE");
	like($err, qr/HINT:.*shared_preload_libraries/, "$call: hint");
}

# What reads nothing works all the same.
is( $node->safe_psql('postgres',
		q{SELECT iopool_int2s('\x0100'), iopool_int4s('\x02000000'), iopool_int8s('\x0300000000000000'),
			iopool_float2s('\x003c'), iopool_float4s('\x00000040'), iopool_float8s('\x0000000000000840')}),
	'{1}|{2}|{3}|{1}|{2}|{3}', 'numbers need no preloading');

# The session and the server live on, and a library that a session loads by
# itself is not preloaded either.
is($node->safe_psql('postgres', 'SELECT 1'), 1, 'the server is up');
my ($ret, $out, $err) = $node->psql('postgres',
	"LOAD 'iopool';\nSELECT iopool_read('PG_VERSION', 0, 2)",
	on_error_stop => 0);
like($err, qr/shared_preload_libraries/, 'LOAD does not replace preloading');

# A foreign table can be made, as a dump does, and explained, but not read.
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', qq{SET client_min_messages = error; CREATE SERVER d FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$dir');
	CREATE FOREIGN TABLE file (path text, data bytea) SERVER d});
like($node->safe_psql('postgres', 'EXPLAIN (COSTS OFF) SELECT data FROM file'), qr/Foreign Scan on file/, 'EXPLAIN of a foreign table');
foreach my $statement ('SELECT path FROM file', 'SELECT data FROM file', 'ANALYZE file', 'IMPORT FOREIGN SCHEMA "." FROM SERVER d INTO public')
{
	($ret, $out, $err) = $node->psql('postgres', $statement);
	like($err, qr/iopool must be loaded via "shared_preload_libraries"/, $statement);
}
$node->safe_psql('postgres', 'DROP SERVER d CASCADE');

is($node->psql('postgres', 'DROP EXTENSION iopool'), 0, 'DROP EXTENSION works');

# Preloaded as one library of several, and in a session_preload only.
$node->append_conf('postgresql.conf', "session_preload_libraries = 'iopool'");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION iopool');
($ret, $out, $err) =
  $node->psql('postgres', q{SELECT iopool_read('PG_VERSION', 0, 2)});
like($err, qr/shared_preload_libraries/,
	'session_preload_libraries is not enough');

$node->append_conf('postgresql.conf',
	    "session_preload_libraries = ''\n"
	  . "shared_preload_libraries = 'auto_explain, iopool'\n"
	  . "iopool.rings = 2");
$node->restart;
like($node->safe_psql('postgres', q{SELECT iopool_read('PG_VERSION', 0, 1)}),
	qr/^\\x3/, 'it works once it is preloaded');
rings_home($node, 'preloaded');

$node->stop;
done_testing();
