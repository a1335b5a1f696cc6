# Settings in postgresql.conf: what is wrong stops the server and names itself,
# what is right takes effect.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $node = iopool_node('settings', 'sync', no_start => 1);
my $good_conf = slurp_file($node->data_dir . '/postgresql.conf');

sub set_conf
{
	my ($settings) = @_;
	open my $file, '>', $node->data_dir . '/postgresql.conf' or die $!;
	print $file $good_conf, $settings, "\n";
	close $file;
	return;
}

# Asserts that the server does not start with the settings, and that the log
# then has a FATAL and the patterns.
sub refused
{
	my ($settings, $label, @patterns) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $position = -s $node->logfile // 0;

	set_conf($settings);
	my $started = $node->start(fail_ok => 1);
	is($started, 0, "$label: the server does not start");
	$node->stop if $started;
	my $log = log_since($node, $position);
	like($log, qr/FATAL/, "$label: FATAL");
	like($log, $_, "$label: log matches $_") foreach (@patterns);
	return;
}

# Asserts that it starts, and what a query then says; $look is called meanwhile.
sub accepted
{
	my ($settings, $label, $query, $expected, $look) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	set_conf($settings);
	if (!$node->start(fail_ok => 1))
	{
		fail("$label: the server starts");
		return;
	}
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS iopool');
	is($node->safe_psql('postgres', $query), $expected, $label);
	$look->() if $look;
	rings_home($node, $label);
	$node->stop;
	return;
}

# Each setting, out of range or of a wrong type.
my @bad = (
	[ 'iopool.method', 'aio' ],
	[ 'iopool.method', '' ],
	[ 'iopool.rings', '0' ],
	[ 'iopool.rings', '-1' ],
	[ 'iopool.rings', 'many' ],
	[ 'iopool.rings', '100000000' ],
	[ 'iopool.ring_entries', '0' ],
	[ 'iopool.ring_entries', '4097' ],
	[ 'iopool.ring_entries', 'deep' ],
	[ 'iopool.io_mode', 'mmap' ],
	[ 'iopool.checkout_timeout', '-2' ],
	[ 'iopool.checkout_timeout', 'soon' ],
	[ 'iopool.max_in_flight_bytes', '0' ],
	[ 'iopool.max_in_flight_bytes', 'all' ],
	[ 'iopool.merge_gap', '-2' ],
	[ 'iopool.merge_gap', 'wide' ],
	[ 'iopool.merge_gap', '' ],
	[ 'iopool.merge_gap', '16 KB' ],
	[ 'iopool.merge_gap', '65MB' ],
	[ 'iopool.max_lease_time', '-2' ],
	[ 'iopool.max_lease_time', 'soon' ],
	[ 'iopool.log_min_duration', '-2' ],
	[ 'iopool.log_min_duration', 'slow' ]);
foreach my $case (@bad)
{
	my ($name, $value) = @$case;
	refused("$name = '$value'", "$name = '$value'", qr/\Q$name\E/);
}

# Of every setting that there is, a value that is none of its type's.  A string
# takes any value of its type; iopool.pools has its own tests below.
my @all;
accepted(
	'',
	'without settings',
	"SELECT count(*) > 10 FROM pg_settings WHERE name LIKE 'iopool.%'",
	't',
	sub {
		@all = split /\n/,
		  $node->safe_psql('postgres',
			"SELECT name FROM pg_settings WHERE name LIKE 'iopool.%' AND vartype <> 'string'");
	});
refused("$_ = 'no_such_value'", "$_, no value of its type", qr/\Q$_\E/)
  foreach (@all);

# A name that does not exist, with the reserved prefix, does not stop the server
# in any supported PostgreSQL: it is removed with a WARNING that names it.
{
	my $position = -s $node->logfile;
	accepted("iopool.no_such_setting = 1", 'unknown name',
		"SELECT count(*) FROM pg_settings WHERE name = 'iopool.no_such_setting'",
		'0');
	like(log_since($node, $position), qr/iopool\.no_such_setting/,
		'unknown name: the log names it');
}

# The pool list: every error names the setting and what is wrong in it.
my @bad_pools = (
	[ 'no parentheses', 'bulk', qr/bulk/ ],
	[ 'parenthesis not closed', 'bulk(rings=2', qr/bulk/ ],
	[ 'parenthesis not opened', 'bulk rings=2)', qr/bulk|rings/ ],
	[ 'unknown key', 'bulk(rings=2, depth=8)', qr/depth/ ],
	[ 'key without a value', 'bulk(rings)', qr/rings/ ],
	[ 'key with an empty value', 'bulk(rings=)', qr/rings/ ],
	[ 'value that is no number', 'bulk(rings=two)', qr/two/ ],
	[ 'value with a tail', 'bulk(rings=2x)', qr/2x/ ],
	[ 'fraction', 'bulk(rings=1.5)', qr/1\.5/ ],
	[ 'zero rings', 'bulk(rings=0)', qr/rings/ ],
	[ 'negative rings', 'bulk(rings=-1)', qr/rings/ ],
	[ 'number beyond 32 bits', 'bulk(rings=4294967297)', qr/4294967297/ ],
	[ 'number beyond 64 bits', 'bulk(rings=99999999999999999999)', qr/99999999999999999999/ ],
	[ 'zero entries', 'bulk(entries=0)', qr/entries/ ],
	[ 'too many entries', 'bulk(entries=4097)', qr/4097/ ],
	[ 'unknown method', 'bulk(method=aio)', qr/aio/ ],
	[ 'duplicate key', 'bulk(rings=2, rings=3)', qr/rings/ ],
	[ 'duplicate pool', 'bulk(rings=2), bulk(rings=3)', qr/bulk/ ],
	[ 'duplicate pool by case', 'bulk(rings=2), BULK(rings=3)', qr/bulk/i ],
	[ 'the name default', 'default(rings=2)', qr/default/ ],
	[ 'bad name', '1bulk(rings=2)', qr/1bulk/ ],
	[ 'bad character', 'bu-lk(rings=2)', qr/bu-lk|"-/ ],
	[ 'name too long', ('x' x 64) . '(rings=2)', qr/xxx/ ],
	[ 'no name', '(rings=2)', qr/name/ ],
	[ 'no comma between pools', 'a(rings=2) b(rings=2)', qr/b\b|comma/ ],
	[ 'comma at the end', 'a(rings=2),', qr/iopool\.pools/ ],
	[ 'two commas', 'a(rings=2),,b(rings=2)', qr/iopool\.pools/ ],
	[ 'comma in parentheses at the end', 'a(rings=2,)', qr/iopool\.pools/ ],
	[ 'text after the list', 'a(rings=2) !', qr/!/ ]);
foreach my $case (@bad_pools)
{
	my ($label, $list, $pattern) = @$case;
	refused("iopool.pools = '$list'", "iopool.pools, $label",
		qr/iopool\.pools/, $pattern);
}

# What is right: spaces, order of keys, one pool, many, keys left out.
my $pools =
  q{SELECT string_agg(name || ':' || method || ':' || rings || ':' || entries, ' ' ORDER BY name)
	FROM iopool_pools WHERE name <> 'default'};
accepted("iopool.pools = ''", 'no pools', $pools, '');
accepted("iopool.pools = 'bulk(rings=2, entries=256, method=sync), vec(rings=8)'",
	'the example of the manual', $pools, 'bulk:sync:2:256 vec:sync:8:128');
accepted("iopool.pools = '  a ( entries = 4096 , rings = 1 ) ,b(method=sync,rings=3)  '",
	'spaces and order', $pools, 'a:sync:1:4096 b:sync:3:128');
accepted("iopool.pools = 'plain()'",
	'keys left out', $pools, 'plain:sync:16:128');
accepted(
	"iopool.rings = 3\niopool.ring_entries = 7\niopool.pools = 'vec(rings=2)'",
	'a pool takes entries over from ring_entries',
	q{SELECT string_agg(name || ':' || rings || ':' || entries, ' ' ORDER BY name) FROM iopool_pools},
	'default:3:7 vec:2:7');

# Extremes of the other settings, and that each is in force.
accepted(
	"iopool.rings = 1\niopool.ring_entries = 1",
	'one ring of one entry',
	q{SELECT count(*) FROM iopool_read_batch('PG_VERSION', array_fill(0::bigint, ARRAY[500]), ARRAY[1]) WHERE data IS NOT NULL},
	'500');
accepted(
	"iopool.rings = 1\niopool.ring_entries = 4096",
	'4096 entries',
	q{SELECT count(*) FROM iopool_read_batch('PG_VERSION', array_fill(0::bigint, ARRAY[5000]), ARRAY[1]) WHERE data IS NOT NULL},
	'5000');
accepted(
	"iopool.io_mode = direct\niopool.max_in_flight_bytes = '4kB'\n"
	  . "iopool.checkout_timeout = 0\niopool.merge_gap = -1\niopool.log_min_duration = 0\niopool.max_lease_time = 5ms\niopool.enable_stream_scan = off",
	'session settings from the file',
	q{SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name LIKE 'iopool.%'
	  AND name NOT IN ('iopool.method', 'iopool.rings', 'iopool.ring_entries', 'iopool.pools', 'iopool.pool', 'iopool.max_request_memory', 'iopool.max_rings_per_role')},
	'0 off direct 0 4096 5 -1');

# log_min_duration: 0 logs every call and file, -1 none, and a limit only the
# slower calls.
set_conf('iopool.rings = 2');
$node->start;
foreach my $case ([ 0, 2 ], [ -1, 0 ], [ 3_600_000, 0 ])
{
	my ($limit, $expected) = @$case;
	my $position = -s $node->logfile;
	$node->safe_psql('postgres',
		"SET iopool.log_min_duration = $limit;\n"
		  . "SELECT count(*) FROM iopool_read_batch('PG_VERSION', ARRAY[0, 1], ARRAY[1])");
	my @lines = grep { /LOG:.*(?:ranges|iopool)/ } split /\n/,
	  log_since($node, $position);
	is(scalar(@lines), $expected,
		"iopool.log_min_duration = $limit logs $expected line(s)");
}
$node->stop;

done_testing();
