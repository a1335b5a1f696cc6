# What deploy/ brings for seccomp: the profile, loaded as container engines load
# it, lets a server make rings of io_uring and read through them; without the
# three calls, or without one of them, iopool_check() names the file. And the
# program that adds the calls to another profile.
#
# What is in deploy/ for compose, systemd and Kubernetes is checked by "make
# check-deploy", with tools that need no server.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $test_dir = dirname(dirname(abs_path(__FILE__)));
my $deploy = dirname($test_dir) . '/deploy';
my $scratch = PostgreSQL::Test::Utils::tempdir();
my @uring_calls = qw(io_uring_enter io_uring_register io_uring_setup);
my $profile = decode_json(slurp_file("$deploy/seccomp.json"));

# Names of calls in rules of an action, each with its conditions on arguments.
sub calls_of
{
	my ($of, $action) = @_;
	my %calls;

	foreach my $rule (grep { $_->{action} eq $action } @{ $of->{syscalls} })
	{
		push @{ $calls{$_} }, $rule->{args} // [] foreach (@{ $rule->{names} });
	}
	return %calls;
}

# --------------------------------------------------------------------------
# The profile as a text.

my %allowed = calls_of($profile, 'SCMP_ACT_ALLOW');
is($profile->{defaultAction}, 'SCMP_ACT_ERRNO', 'what is not allowed fails');
is_deeply([ map { $allowed{$_} } @uring_calls ], [ ([ [] ]) x 3 ], 'the calls of io_uring are allowed');
is_deeply([ grep { exists $allowed{$_} } qw(add_key bpf init_module kexec_load keyctl mount open_by_handle_at perf_event_open pivot_root reboot setns umount2 unshare userfaultfd) ],
	[], 'what could lead out of a container is not');
is_deeply([ grep { !exists $allowed{$_} } slurp_file("$test_dir/modules/iopool_refuse/iopool_refuse.c") =~ /^\t\{"(\w+)", SYS_/mg ],
	[], 'every call that iopool makes is allowed');

# --------------------------------------------------------------------------
# The program.

sub made
{
	my ($input, @options) = @_;
	my ($ok, $out, $err) = run_with(ref $input ? encode_json($input) : slurp_file($input),
		'python3', "$deploy/make-seccomp.py", @options, '-');

	ok($ok, "make-seccomp.py @options") or diag($err);
	return decode_json($out);
}

my $rule = { names => \@uring_calls, action => 'SCMP_ACT_ALLOW' };
my $engines = {
	defaultAction => 'SCMP_ACT_ERRNO',
	defaultErrnoRet => 38,
	archMap => [ { architecture => 'SCMP_ARCH_X86_64', subArchitectures => ['SCMP_ARCH_X86'] } ],
	syscalls => [
		{ names => ['read'], action => 'SCMP_ACT_ALLOW', includes => {}, excludes => {}, args => [] },
		{ names => [qw(bdflush io_uring_setup)], action => 'SCMP_ACT_ERRNO', errnoRet => 1 },
		{ names => ['io_uring_enter'], action => 'SCMP_ACT_LOG' },
		{ name => 'write', action => 'SCMP_ACT_ALLOW' },
		{ names => ['ptrace'], action => 'SCMP_ACT_ALLOW', includes => { minKernel => '4.8' } },
		{ names => ['mount'], action => 'SCMP_ACT_ALLOW', includes => { caps => ['CAP_SYS_ADMIN'] } },
		{ names => ['clone3'], action => 'SCMP_ACT_ERRNO', errnoRet => 38, excludes => { caps => ['CAP_SYS_ADMIN'] } },
		{ names => ['chroot'], action => 'SCMP_ACT_ALLOW', includes => { caps => ['CAP_SYS_CHROOT'] } },
		{ names => ['arch_prctl'], action => 'SCMP_ACT_ALLOW', includes => { arches => [ 'amd64', 'x32' ] } },
		{ names => ['clone'], action => 'SCMP_ACT_ALLOW', args => [ { index => 0, value => 8, op => 'SCMP_CMP_EQ' } ],
			excludes => { arches => ['s390x'] } } ] };
my %old = map { $_->[0] => { names => [ $_->[0] ], action => $_->[1], @$_[ 2 .. $#$_ ] } } (
	[ 'read', 'SCMP_ACT_ALLOW' ], [ 'bdflush', 'SCMP_ACT_ERRNO', errnoRet => 1 ], [ 'write', 'SCMP_ACT_ALLOW' ],
	[ 'ptrace', 'SCMP_ACT_ALLOW' ], [ 'mount', 'SCMP_ACT_ALLOW' ], [ 'clone3', 'SCMP_ACT_ERRNO', errnoRet => 38 ],
	[ 'chroot', 'SCMP_ACT_ALLOW' ], [ 'arch_prctl', 'SCMP_ACT_ALLOW' ],
	[ 'clone', 'SCMP_ACT_ALLOW', args => [ { index => 0, value => 8, op => 'SCMP_CMP_EQ' } ] ]);

sub decided
{
	my ($architectures, @names) = @_;
	return {
		defaultAction => 'SCMP_ACT_ERRNO', defaultErrnoRet => 38, architectures => $architectures,
		syscalls => [ (map { $old{$_} } @names), $rule ] };
}

my $kept = made($engines);
is_deeply($kept->{syscalls},
	[ $engines->{syscalls}[0], $old{bdflush}, $old{write}, @{ $engines->{syscalls} }[ 4 .. 9 ], $rule ],
	'the calls are added, and in no other rule');
is_deeply([ @$kept{qw(defaultAction defaultErrnoRet archMap)} ], [ @$engines{qw(defaultAction defaultErrnoRet archMap)} ],
	'all else is kept');
is_deeply(made($engines, '--oci', '--arch', 'amd64'),
	decided([qw(SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32)], qw(read bdflush write ptrace clone3 chroot arch_prctl clone)),
	'conditions are decided');
is_deeply(made($engines, '--oci', '--arch', 's390x', '--cap', 'CAP_SYS_ADMIN'),
	decided([qw(SCMP_ARCH_S390X SCMP_ARCH_S390)], qw(read bdflush write ptrace mount chroot)),
	'conditions are decided for another architecture, with another capability');
is_deeply(made("$deploy/seccomp.json", '--oci'), $profile, 'seccomp.json stays as it is');
{
	my $object = made("$deploy/seccomp.json", '--operator', 'iopool');
	my %spec = %$profile;
	delete $spec{defaultErrnoRet};
	is_deeply($object,
		{
			apiVersion => 'security-profiles-operator.x-k8s.io/v1beta1', kind => 'SeccompProfile',
			metadata => { name => 'iopool' }, spec => \%spec },
		'an object of the Security Profiles Operator');
	is($profile->{defaultErrnoRet}, 1, 'seccomp.json answers EPERM, as the operator does');
}

# --------------------------------------------------------------------------
# A server under the profile.

my @methods = test_methods();
my $has_io_uring = $methods[0] eq 'io_uring';
# Where io_uring is not tested, the methods that are have to work all the same.
my $node = iopool_node('deploy', $has_io_uring ? 'auto' : $methods[0], no_start => 1, without_server_rings());
my $words = write_words("$scratch/words", 200_000);

# The profile without some calls, as a file; and the launcher for it.
sub under
{
	my (@without) = @_;
	my $file = "$scratch/" . join('-', 'without', @without) . '.json';
	my %less = (%$profile, syscalls => []);

	foreach my $old (@{ $profile->{syscalls} })
	{
		my @names = grep { my $name = $_; !grep { $_ eq $name } @without } @{ $old->{names} };
		push @{ $less{syscalls} }, { %$old, names => \@names } if @names;
	}
	open my $handle, '>', $file or die;
	print $handle JSON::PP->new->encode(\%less);
	close $handle;
	return ('python3', "$test_dir/seccomp.py", $file);
}

# Runs a function with the server up; it may say that the server cannot read.
sub with_server
{
	my ($label, $launcher, $run) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok(start_under($node, @$launcher), "$label: the server starts") or return;
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS iopool');
	my $reads = $run->(ask($node, "SELECT value FROM iopool_info() WHERE name = 'method'"), doctor($node));
	rings_home($node, $label);
	reader_is_right($node, $words, $label) if $reads;
	ok(stop_plain($node), "$label: the server stops");
	return;
}

with_server('seccomp.json', [ 'python3', "$test_dir/seccomp.py", "$deploy/seccomp.json" ], sub {
	my ($method, $report) = @_;

	is($method, $methods[0], "seccomp.json: $methods[0] is in use");
	is($report->{$_}{status}, 'ok', "seccomp.json: $_") or diag($report->{$_}{detail})
	  foreach (qw(method io_uring io_uring_read io_uring_restrictions libaio openat2 rings));
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	like(slurp_file("/proc/$pid/status"), qr/^Seccomp:\s+2$/m, 'seccomp.json: a filter is in force');
	return 1;
});

SKIP:
{
	skip('the method io_uring is not tested in this run', 1) unless $has_io_uring;

	# moby's own default first.  A ring that can be made but not entered is not
	# noticed at the start.
	foreach my $calls (\@uring_calls, map { [$_] } @uring_calls)
	{
		my $label = 'without ' . join(' and ', @$calls);

		with_server($label, [ under(@$calls) ], sub {
			my ($method, $report) = @_;
			my ($row) = grep { $report->{$_}{status} ne 'ok' } qw(io_uring io_uring_read io_uring_restrictions rings);

			my $enters = "@$calls" ne 'io_uring_enter';
			is($method eq 'io_uring', !$enters, "$label: $method is in use");
			is($method, method_without_io_uring($node), "$label: the next best method") if $enters;
			isnt($row, undef, "$label: a row is not ok") or return 0;
			like($report->{$row}{detail}, qr/Operation not permitted/, "$label: detail of $row");
			my ($named) = $report->{$row}{hint} =~ m{--security-opt seccomp=(\S+)};
			is($named, 'deploy/seccomp.json', "$label: hint of $row");
			ok(-f dirname($test_dir) . "/$named", "$label: the file is there");
			return $enters;
		});
	}
}

done_testing();
