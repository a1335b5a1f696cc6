# What the documentation shows is what happens: every code block of every page
# runs here, in the order of the page, and what it prints is compared where the
# page shows it.  IopoolDocs.pm tells how blocks are marked.  Nothing is made
# beforehand: README brings the settings that the server needs, and makes the
# files and tables that the pages in doc/ go on with, in the same database.  Every
# other page has a database of its own.
#
# Two things are not as on a reader's machine: /srv/ is a directory of this test
# (its name is put in the place of "/srv/", and taken out of what is shown), and
# sudo just runs its command.
#
# One server of one method is enough, the first that works here: results do not
# depend on the method, as every other test asserts.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolDocs;
use IopoolTest;

plan skip_all => 'what the pages install needs an installation of this run (make test)'
  unless defined $ENV{IOPOOL_TEST_DESTDIR};

# At least so many blocks are on these pages, so that none gets lost; each new
# page adds its own.
my %nblocks = (
	'README.md' => 13,
	'bench/README.md' => 4,
	'deploy/README.md' => 10,
	'doc/c-api.md' => 7,
	'doc/directories.md' => 18,
	'doc/executor-nodes.md' => 11,
	'doc/foreign-tables.md' => 11,
	'doc/internals.md' => 2,
	'doc/operations.md' => 17,
	'doc/performance.md' => 4,
	'doc/reference.md' => 27,
	'doc/requests.md' => 10,
	'doc/scale-out.md' => 8,
	'docker/README.md' => 2,
	'examples/README.md' => 3,
	'test/README.md' => 2,
);

my $top = dirname(dirname(dirname(abs_path(__FILE__))));
my $pg_config = $ENV{IOPOOL_TEST_PG_CONFIG};
my $scratch = abs_path(PostgreSQL::Test::Utils::tempdir());
my ($method) = test_methods();
my $node;

mkdir "$scratch/srv" or die;
mkdir "$scratch/bin" or die;
append_to_file("$scratch/bin/sudo", "#!/bin/sh\nexec \"\$@\"\n");
chmod 0755, "$scratch/bin/sudo";

# --------------------------------------------------------------------------
# One block

sub here
{
	my ($text) = @_;
	$text =~ s{/srv/}{$scratch/srv/}g;
	return $text;
}

sub as_shown
{
	my ($text) = @_;
	$text =~ s{\Q$scratch\E/srv/}{/srv/}g;
	return comparable($text);
}

# A page's sql: no error, and no warning.  Of a directory below that of this
# test, which is not as safe as /srv, CREATE SERVER may warn.
sub run_sql
{
	my ($page, $block, $label) = @_;
	my ($ok, $out, $err) = run_with(here($block->{text}),
		'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($page->{database}), '-f', '-');

	$err =~ s/^.*WARNING:.*\n//mg if $block->{text} =~ /CREATE SERVER/;
	ok($ok && $err !~ /WARNING|ERROR/, $label) or diag($err);
	$page->{printed} = $out;
	return;
}

# A page's shell commands, in the directory of its files, or in the tree if make
# only prints what it would do.
sub run_sh
{
	my ($page, $block, $label) = @_;
	my $is_dry = $block->{way} eq 'dry-run';
	local $ENV{PATH} = "$scratch/bin:$ENV{PATH}";
	# Extensions go into the installation of this run.  Bitcode is of no use,
	# and clang may not be there.
	local $ENV{MAKEFLAGS} = ($is_dry ? 'n' : 's')
	  . " -- with_llvm=no PG_CONFIG=$pg_config DESTDIR=$ENV{IOPOOL_TEST_DESTDIR} PG_CPPFLAGS=-I$ENV{IOPOOL_TEST_INCLUDE}";
	my @bash = ('bash', '-e', '-o', 'pipefail', '-c', 'cd "$0"; eval "$1"');

	my ($ok, $out, $err) = run_with('', @bash, $is_dry ? $top : $page->{dir}, here($block->{text}));
	ok($ok && $err !~ /warning/i, $label) or diag($out . $err);
	$page->{printed} = $out;
	return;
}

sub check_syntax
{
	my ($block, $label) = @_;
	my ($ok, undef, $err) = run_with($block->{text}, 'bash', '-n');
	ok($ok && $err eq '', $label) or diag($err);
	return;
}

# Settings, after those of the blocks before.
sub use_settings
{
	my ($block, $label) = @_;
	$node->append_conf('postgresql.conf', here($block->{text}));
	$node->stop;
	ok($node->start(fail_ok => 1), $label) or diag(slurp_file($node->logfile));
	return;
}

# On a server to which the kernel refuses io_uring_setup, like a container's.
sub run_forbidden
{
	my ($page, $block, $label) = @_;
	$node->stop;
	ok(start_under($node, helper_program('norings'), 'EPERM'), "$label: the server starts without io_uring");
	run_sql($page, $block, $label);
	stop_plain($node);
	$node->start;
	return;
}

sub is_repeated
{
	my ($page, $block) = @_;
	return grep { $_->{way} eq 'run' && $_->{line} > $block->{line} && index($_->{text}, $block->{text}) >= 0 }
	  @{ $page->{blocks} };
}

sub missing_sources
{
	my ($block) = @_;
	my @names = $block->{text} =~ /([\w*]+\.[ch])\b/g;
	return 'no name' unless @names;
	return join ' ', grep { my @files = glob("$top/src/$_ $top/src/*/$_"); !grep { -e } @files } @names;
}

sub test_block
{
	my ($page, $block) = @_;
	my ($lang, $way) = @$block{qw(lang way)};
	my $label = "$page->{name}, line $block->{line}: $lang";

	$page->{printed} = undef unless $lang eq 'output';
	if (defined $block->{file})
	{
		append_to_file("$page->{dir}/$block->{file}", $block->{text});
		pass("$label, $block->{file}");
	}
	elsif ($lang eq 'output')
	{
		# where io_uring is not tried, something else is reported
		return pass($label) if ($page->{way} // '') eq 'forbidden-ring' && $method ne 'io_uring';
		is(as_shown($page->{printed} // 'nothing'), comparable($block->{text}), $label);
	}
	elsif ($way eq 'repeated') { ok(is_repeated($page, $block), "$label, repeated"); }
	elsif ($way eq 'forbidden-ring') { run_forbidden($page, $block, $label); }
	elsif ($way eq 'syntax') { check_syntax($block, "$label, syntax"); }
	elsif ($way eq 'file-names') { is(missing_sources($block), '', "$label, names of sources"); }
	elsif ($way eq 'picture') { pass("$label, a picture"); }
	elsif ($lang eq 'sql') { run_sql($page, $block, $label); }
	elsif ($lang eq 'sh') { run_sh($page, $block, "$label, $way"); }
	elsif ($lang eq 'ini') { use_settings($block, $label); }
	else { fail("$label cannot be tested"); }
	$page->{way} = $way;
	return;
}

# --------------------------------------------------------------------------
# All pages

sub test_page
{
	my ($name) = @_;
	my ($blocks, $wrong) = code_blocks(slurp_file("$top/$name"));
	my $dir = "$scratch/" . ($name =~ s/\W/_/gr);
	my $database = $name =~ m{^doc/} ? 'page README.md' : "page $name";
	my $page = { name => $name, blocks => $blocks, dir => $dir, database => $database };

	is_deeply($wrong, [], "$name: every block can be tested");
	cmp_ok(scalar @$blocks, '>=', $nblocks{$name} // 0, "$name: the number of blocks");
	return unless @$blocks;
	make_path($dir);
	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"})
	  unless $node->safe_psql('postgres', "SELECT 1 FROM pg_database WHERE datname = '$database'");
	test_block($page, $_) foreach (@$blocks);
	return;
}

my @pages;
find(
	{
		no_chdir => 1,
		wanted => sub {
			$File::Find::prune = 1 if /\/(?:\.git|results|tmp_check)$/;
			# 074_examples runs each example, on every method
			push @pages, s{^\Q$top\E/}{}r if /\.md$/ && !m{/examples/[\w-]+/};
		}
	},
	$top);

# The server as its first start finds it: without iopool.
$node = PostgreSQL::Test::Cluster->new('docs');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 20\nshared_buffers = 16MB\nlog_statement = none\n");
$node->append_conf('postgresql.conf', "iopool.method = '$method'") if $method ne 'io_uring';
my %settings = without_server_rings();
$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach (keys %settings);
$node->start;

is_deeply([ grep { !-f "$top/$_" } sort keys %nblocks ], [], 'the pages are there');
# README's database comes first, with README first.
sub place { return $_[0] eq 'README.md' ? 0 : $_[0] =~ m{^doc/} ? 1 : 2 }
test_page($_) foreach (sort { place($a) <=> place($b) || $a cmp $b } @pages);

# --------------------------------------------------------------------------
# What README promises of its own queries: they are read ahead.
my ($readme) = code_blocks(slurp_file("$top/README.md"));
my ($first) = grep { $_->{lang} eq 'sql' } @$readme;
like($node->safe_psql('page README.md', "EXPLAIN (COSTS OFF) $first->{text}"),
	qr/IopoolProject/, 'the first query of README is read ahead');

# The pages name what there is: all settings, rows of the doctor, columns of the
# views and functions that users call.  (make check-docs compares them with the
# sources, both ways; this is what the server has.)
sub is_named
{
	my ($page, $what, $sql) = @_;
	my @names = split /\n/, $node->safe_psql('page README.md', $sql);
	my $text = slurp_file("$top/$page");

	cmp_ok(scalar @names, '>', 4, "$page: there are $what");
	is_deeply([ grep { $text !~ /^#+ \Q$_\E$|`\Q$_\E`/m } @names ], [], "$page names all $what");
	return;
}
is_named($_, 'settings', "SELECT name FROM pg_settings WHERE name LIKE 'iopool.%'")
  foreach ('README.md', 'doc/reference.md');
is_named('doc/operations.md', 'rows of the doctor',
	"SELECT regexp_replace(check_name, '^directory_[a-z]+', 'directory_NAME') FROM iopool_check()");
is_named('doc/reference.md', 'columns of views',
	"SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'v' AND relname LIKE 'iopool%')");
is_named('doc/reference.md', 'functions',
	"SELECT DISTINCT proname FROM pg_proc WHERE proname ~ '^iopool_' AND proname !~ 'support|validator|handler|_list_|_stat_(pools|rings|waiters)'");

# Default and context of each setting, as a page has them.
my %size_of = (B => 1, kB => 1024, MB => 1024 * 1024, ms => 1, s => 1000);
my %who_may = (postmaster => 'server start', superuser => 'superuser', user => 'session');

sub in_units
{
	my ($value, $unit) = @_;
	return '' if $value eq 'empty';
	return $value =~ s/`//gr unless $value =~ /^(-?\d+)([A-Za-z]+)$/;
	return $1 * $size_of{$2} / $size_of{$unit};
}

sub settings_are
{
	my ($page, $pattern) = @_;
	my (%expected, %unit_of, %found);

	foreach (split /\n/,
		$node->safe_psql('page README.md', "SELECT name, coalesce(unit, ''), context, boot_val FROM pg_settings WHERE name LIKE 'iopool.%'"))
	{
		my ($name, $unit, $context, $value) = split /\|/, $_, -1;
		$unit_of{$name} = $unit;
		$expected{$name} = "$value, $who_may{$context}";
	}
	my $text = slurp_file("$top/$page");
	while ($text =~ /$pattern/g)
	{
		my ($name, $default, $who) = ($1, $2, $3);
		$found{$name} = in_units($default, $unit_of{$name}) . ", $who";
	}
	is_deeply(\%found, \%expected, "$page: defaults of settings, and who may set them");
	return;
}
settings_are('README.md', qr/^\| `(iopool\.\w+)` \| (\S+) \| ([\w ]+) \|/m);
settings_are('doc/reference.md', qr/^### (iopool\.\w+)\n\n\w+, default (\S+),[^;.]*?\b(server start|superuser|session)\b/m);

# --------------------------------------------------------------------------
# The example in the header of the C interface.
my $example = comment_example(slurp_file("$top/src/iopool_api.h"));
like($example, qr/iopool_api_get\(\)/, 'iopool_api.h has an example');
append_to_file("$scratch/example.c", qq{
#include "postgres.h"
#include "extension/iopool/iopool_api.h"
void example(MemoryContext cxt, IopoolApiRead read);
void
example(MemoryContext cxt, IopoolApiRead read)
{
	IopoolApiResult results[16];
	int n;
$example
	read.file = file;
	(void) n;
}
});
chomp(my $include = `$pg_config --includedir-server`);
my ($compiles, undef, $said) =
  run_with('', $ENV{CC} // 'cc', '-fsyntax-only', '-Wall',
	"-I$ENV{IOPOOL_TEST_INCLUDE}", "-I$include", "$scratch/example.c");
ok($compiles && $said eq '', 'it compiles') or diag($said);

# --------------------------------------------------------------------------
# The queries that "make demo" prints, on an archive as it makes one.
{
	my $archive = "$scratch/archive.tar";
	my %expected = map { (s{^\Q$top/src/\E}{}r => slurp_file($_)) } glob("$top/src/*.h $top/src/*/*.h");
	my ($ok, undef, $err) = run_with('', 'tar', '-C', "$top/src", '--create', "--file=$archive",
		'--format=gnu', sort keys %expected);
	ok($ok, 'an archive of the headers') or diag($err);
	my ($listed, $members) = run_with('', 'tar', '--list', '--verbose', '--block-number', '--numeric-owner', "--file=$archive");
	my @rows = $members =~ /^block (\d+): -\S+ \S+ +(\d+) \S+ \S+ (\S+)$/mg;
	my @values;
	while (my ($block, $length, $name) = splice @rows, 0, 3)
	{
		push @values, sprintf("(%d, '%s', %d, %d)", 10 * @values, $name, ($block + 1) * 512, $length);
	}
	$node->safe_psql('page README.md', q{
		CREATE TABLE member (ordinal int PRIMARY KEY, name text NOT NULL, "offset" bigint NOT NULL, length bigint NOT NULL);
		INSERT INTO member VALUES } . join(', ', @values) . '; ANALYZE member');
	my $queries = slurp_file("$top/scripts/demo-queries.sql");
	my @command = ('psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-v', "archive=$archive",
		'-d', $node->connstr('page README.md'), '-f', '-');
	my ($runs, $out, $errors) = run_with($queries, @command);
	ok($runs, 'the queries of make demo') or diag($errors);
	my @found = grep { $expected{$_} =~ /io_uring/ } sort keys %expected;
	is_deeply([ sort grep { exists $expected{$_} } split /\n/, $out ], \@found, 'they find what is in the files');
	my @digests = $out =~ /^(\S+\.h)\|(\d+)\|([0-9a-f]{64})$/mg;
	is(scalar @digests, 3 * 10, 'they show the ten largest members');
	require Digest::SHA;
	my @wrong;
	while (my ($name, $length, $digest) = splice @digests, 0, 3)
	{
		push @wrong, $name
		  unless $length == length $expected{$name} && $digest eq Digest::SHA::sha256_hex($expected{$name});
	}
	is_deeply(\@wrong, [], 'as they are');
	my (undef, $plans) = run_with($queries =~ s/^SELECT m\./EXPLAIN SELECT m./mgr, @command);
	is(scalar(() = $plans =~ /Custom Scan \(IopoolLateral\)/g), 2, 'they read ahead');
}

$node->stop;
done_testing();
