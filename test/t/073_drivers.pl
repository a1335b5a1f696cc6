# Drivers of applications: parameters without types find their function, in
# every form of the functions that read.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $scripts = dirname(dirname(abs_path(__FILE__))) . '/drivers';
my $jar = '/usr/share/java/postgresql.jar';
my $file = PostgreSQL::Test::Utils::tempdir() . '/words';
my $user = getpwuid($>);
my ($method) = test_methods();

# Words of eight bytes tell their offsets.
write_words($file, 80_000);
my $size = -s $file;
my %words = map { $_ => unpack 'H*', pack 'Q>', $_ } (0, 8, 16, 24, $size - 8);
my $expected = join '', map { "$_\n" }
  "read: $words{8}",
  'tail: ' . $words{ $size - 8 },
  'missing: null',
  "whole: $words{8}",
  'whole, missing: null',
  "batch: $words{0} $words{8}",
  "batch, all arguments: $words{16} " . substr($words{24}, 0, 8),
  "batch of files: $words{0} $words{8}",
  "array: $words{0} null",
  'prefetch: 00000002',
  "request: $words{0} $words{8}";

# JDBC has no Unix sockets.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $node = iopool_node('drivers', $method, no_start => 1, 'iopool.rings' => 2);
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nport = $port\n");
open my $hba, '>>', $node->data_dir . '/pg_hba.conf' or die "could not open pg_hba.conf: $!";
print $hba "host all $user 127.0.0.1/32 trust\n";
close $hba or die "could not write pg_hba.conf: $!";
$node->{_port} = $port;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION iopool');

# What tells that the driver is here, and what makes its calls.
my @local = ($node->host, $port, $user, $file);
my %drivers = (
	'node-postgres' => [ [ 'node', '-e', q{require('pg')} ], [ 'node', "$scripts/untyped.js", @local ] ],
	'JDBC' => [ [ 'sh', '-c', "javac -version && test -e $jar" ],
		[ 'java', '-cp', $jar, "$scripts/Untyped.java", $port, $user, $file ] ],
	map { ($_ => [ [ '/usr/bin/python3', '-c', "import $_" ], [ '/usr/bin/python3', "$scripts/untyped.py", $_, @local ] ]) } qw(psycopg psycopg2));

sub run_quietly
{
	my ($command) = @_;
	my ($out, $err) = ('', '');
	my $ok = eval { IPC::Run::run($command, '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(180)) };
	return ($ok, $out, $err || $@);
}

foreach my $driver (sort keys %drivers)
{
	my ($probe, $calls) = @{ $drivers{$driver} };

  SKIP:
	{
		skip "$driver is not installed", 1 unless (run_quietly($probe))[0];
		my ($ok, $out, $err) = run_quietly($calls);
		is($out, $expected, "$driver: parameters without types") or diag($err);
	}
}
rings_home($node, 'drivers');
$node->stop;
done_testing();
