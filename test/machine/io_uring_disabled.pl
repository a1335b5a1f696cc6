# kernel.io_uring_disabled = 2, for real.
#
# Only root can set it, and it holds for the whole machine: the runner sets what
# io_uring_disabled.sysctl says, runs this file as the unprivileged user, with
# nothing else at the same time, and restores it.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

plan skip_all => 'the method io_uring is not under test'
  unless grep { $_ eq 'io_uring' } test_methods();

chomp(my $disabled = slurp_file('/proc/sys/kernel/io_uring_disabled'));
is($disabled, 2, 'kernel.io_uring_disabled is 2')
  or BAIL_OUT('set kernel.io_uring_disabled = 2 around this test');

my $words = write_words(PostgreSQL::Test::Utils::tempdir() . '/words', 100_000);
my $node = iopool_node('disabled', 'auto', no_start => 1);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION iopool');
my $log = slurp_file($node->logfile);
like($log, qr/iopool: method auto chose (?:libaio|sync): io_uring/,
	'auto chooses another method');
like($log, qr/iopool: method auto chose.*Operation not permitted.*kernel\.io_uring_disabled/,
	'its line has the error, and names the setting');
is($node->safe_psql('postgres', "SELECT count(*) FROM iopool_pools WHERE method = 'io_uring'"),
	0, 'no pool uses io_uring');
my $report = doctor($node);
foreach my $name (qw(method io_uring))
{
	is($report->{$name}{status}, 'warn', "auto: $name is a warning");
	like($report->{$name}{hint},
		qr/sysctl -w kernel\.io_uring_disabled=0.*sysctl\.d/,
		"auto: the hint of $name names the setting");
}
like($report->{io_uring}{detail}, qr/kernel\.io_uring_disabled = 2/,
	'auto: the value that was measured');
unlike($report->{io_uring}{hint}, qr/seccomp/, 'auto: no filter is blamed');
rings_home($node, 'auto');
reader_is_right($node, $words, 'auto');
$node->stop;

my $position = -s $node->logfile;
$node->append_conf('postgresql.conf', "iopool.method = 'io_uring'");
is($node->start(fail_ok => 1), 0, 'io_uring by name: the server does not start');
$log = log_since($node, $position);
like($log, qr/FATAL:.*io_uring.*Operation not permitted/,
	'io_uring by name: FATAL with the error');
like($log, qr/HINT:.*kernel\.io_uring_disabled/,
	'io_uring by name: the hint names the setting');

done_testing();
