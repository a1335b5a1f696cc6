
=head1 NAME

IopoolConsumer - what the TAP tests of the C API share

=head1 SYNOPSIS

  use IopoolConsumer;
  my $node = consumer_node("c_$method", $method, 'iopool.rings' => 2);
  like(outcome($node, 'SELECT consumer_end(consumer_bogus())'), qr/^55000/);

=head1 ENVIRONMENT

IOPOOL_TEST_PG_CONFIG and IOPOOL_TEST_INCLUDE name the pg_config and the
directory of "extension/iopool/iopool_api.h" to build consumers with, and
IOPOOL_TEST_DESTDIR where they are installed for the server of this run.
IOPOOL_TEST_CONSUMER is set when iopool_consumer is installed already.

Without them the pg_config of PATH and the header of the source tree are taken,
and the functions of a consumer are created from its SQL script.

=cut

package IopoolConsumer;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

our @EXPORT =
  qw(consumer_node create_consumer build_extension create_built outcome value
  with_canary);

my $test_dir = dirname(abs_path(__FILE__));

# Directory to find the installed header below.
sub include_dir
{
	return $ENV{IOPOOL_TEST_INCLUDE} if defined $ENV{IOPOOL_TEST_INCLUDE};

	my $dir = PostgreSQL::Test::Utils::tempdir() . '/include';
	make_path("$dir/extension/iopool");
	copy("$test_dir/../src/iopool_api.h", "$dir/extension/iopool/")
	  or die "could not copy iopool_api.h: $!";
	return $dir;
}

# Builds the extension in a directory with PGXS, and installs it if there is
# somewhere to.  Returns whether that worked, and what make said.
sub build_extension
{
	my ($dir, @settings) = @_;
	my @make = ('make', '-s', '-C', $dir, 'with_llvm=no',
		'PG_CPPFLAGS=-I' . include_dir());
	push @make, "PG_CONFIG=$ENV{IOPOOL_TEST_PG_CONFIG}"
	  if defined $ENV{IOPOOL_TEST_PG_CONFIG};
	push @make, 'install', "DESTDIR=$ENV{IOPOOL_TEST_DESTDIR}"
	  if defined $ENV{IOPOOL_TEST_DESTDIR};
	my $said = '';
	my $ok = IPC::Run::run([ @make, @settings ], '>&', \$said);
	return ($ok, $said);
}

# Creates an extension that build_extension() has built.
sub create_built
{
	my ($node, $dir, $name) = @_;

	if (defined $ENV{IOPOOL_TEST_DESTDIR})
	{
		ask($node, "CREATE EXTENSION $name");
		return;
	}
	my ($file) = glob "$dir/$name--*.sql";
	my $script = slurp_file($file);
	$script =~ s/^\\echo.*$//m;
	$script =~ s/MODULE_PATHNAME/$dir\/$name/g;
	ask($node, $script);
	return;
}

sub create_consumer
{
	my ($node) = @_;
	my $dir = "$test_dir/modules/iopool_consumer";

	if (!defined $ENV{IOPOOL_TEST_CONSUMER})
	{
		my ($ok, $said) = build_extension($dir);
		$ok or BAIL_OUT("could not build iopool_consumer: $said");
		create_built($node, $dir, 'iopool_consumer');
		return;
	}
	ask($node, 'CREATE EXTENSION iopool_consumer');
	return;
}

# As iopool_node(), with the consumer.
sub consumer_node
{
	my ($name, $method, %settings) = @_;
	my $node = iopool_node($name, $method, %settings);

	create_consumer($node);
	return $node;
}

# SQLSTATE and message of the first error of a script, or 'none'.
sub outcome
{
	my ($node, $script, @params) = @_;
	my $err = '';

	if (!@params)
	{
		eval { ask($node, $script) } // ($err = $@);
	}
	else
	{
		$node->psql('postgres', "\\set VERBOSITY verbose\n$script",
			stderr => \$err,
			on_error_stop => 0,
			timeout => $PostgreSQL::Test::Utils::timeout_default,
			extra_params => \@params);
	}
	return $err =~ /(?:ERROR|FATAL):  (.*)/ ? $1 : 'none';
}

# What the body of a DO block puts into the variable "r".
sub value
{
	my ($node, $declare, $body, $settings) = @_;
	return $node->safe_psql(
		'postgres', ($settings // '') . qq{
		CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql AS \$f\$
		DECLARE r text; $declare
		BEGIN
			$body
			RETURN r;
		END \$f\$;
		SELECT pg_temp.f()});
}

# Runs a script whose reads of a gated file are held, up to its canary.  "late"
# matches what must not be said before the gate is open; undef where the method
# may not have started a read.  Returns the script's output and messages.
sub with_canary
{
	my ($node, $fs, $name, $label, $script, %params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $late = $params{late};

	lock_canary($node);
	$fs->gate($name);
	my $session = start_sql($node, $script . canary() . ($params{after} // ''));
	my $pid = backend_pid($node, $session);
	$fs->wait_blocked($name, $params{nblocked} // 1);
	$params{act}->($pid, $session) if $params{act};

	# Nothing may let go of the reads before they are in.
	if (defined $late)
	{
		ok(holds_back($node, $session, $pid, $late), "$label: nothing goes on while reads are in flight");
		cmp_ok($fs->blocked($name), '>', 0, "$label: they still are");
	}

	$fs->ungate($name);
	ask_until($node, "SELECT coalesce((SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid), true)"
	);
	unlock_canary($node);
	my ($out, $err) = $session->finish;
	like($err, qr/canary: unharmed/, "$label: no read landed in freed memory");
	return ($out, $err);
}

1;
