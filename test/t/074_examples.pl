# The examples run as their pages say: every command and query of each page, from
# the tree, prints what the page shows, on every method.  The scripts compare what
# they read with what a program in Python finds in the files.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolDocs;
use IopoolTest;

# Extensions that an example needs, which not every release of Debian has.
my %needs = (rerank => 'vector');
my %required = map { $_ => 1 } split ' ', $ENV{IOPOOL_TEST_EXTENSIONS} // '';

my $top = dirname(dirname(dirname(abs_path(__FILE__))));
my $srv = abs_path(PostgreSQL::Test::Utils::tempdir()) . '/srv';
my @examples = map { basename(dirname($_)) } glob("$top/examples/*/run.sh");

sub run_block
{
	my ($node, $block) = @_;
	my $text = $block->{text} =~ s{/srv/}{$srv/}gr;
	my @command = $block->{lang} eq 'sh' ? ('bash', '-e', '-c', 'cd "$0"; eval "$1"', $top, $text) : ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', $text);
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', PGOPTIONS => '-c client_min_messages=warning');

	my ($ok, $out, $err) = run_with('', @command);
	# a directory of a test is not as safe as /srv
	$err =~ s/^.*(?:WARNING|DETAIL|HINT): .*\n//mg;
	return ($ok && $err eq '', $out, $err);
}

sub test_example
{
	my ($node, $method, $name) = @_;
	my ($blocks, $wrong) = code_blocks(slurp_file("$top/examples/$name/README.md"));
	my $printed;

	is_deeply($wrong, [], "$name: every block can be tested");
	foreach my $block (@$blocks)
	{
		my $label = "$method: $name, line $block->{line}";
		if ($block->{lang} eq 'output')
		{
			is(comparable($printed), comparable($block->{text}), "$label: output");
			next;
		}
		(my $ok, $printed, my $err) = run_block($node, $block);
		ok($ok, "$label: $block->{lang}") or diag($err);
		next unless $block->{text} =~ /\biopool_read\b/;
		my (undef, $plan) = run_block($node, { %$block, text => $block->{text} =~ s/^(?=SELECT)/EXPLAIN /mr });
		like($plan, qr/Custom Scan \(Iopool/, "$label: reads ahead");
	}
	cmp_ok(scalar(grep { $_->{lang} eq 'output' } @$blocks), '>=', 2, "$name: the page shows what is printed");
	return;
}

is_deeply(\@examples, [qw(jsonl pmtiles rerank scale-out thumbnails zip)], 'the examples are there');
my $index = slurp_file("$top/examples/README.md");
foreach my $name (@examples)
{
	like($index, qr/\]\($name\/README\.md\)/, "$name: the index has it");
	foreach my $file (qw(README.md run.sh))
	{
		cmp_ok(scalar(split /\n/, slurp_file("$top/examples/$name/$file")), '<=', 60, "$name: $file is short");
	}
}

# The template of a consumer of the C interface is that of the page, and is built
# by PGXS with the header of now, and with that of 0.2, which works all the same.
my $consumer = "$top/examples/c-consumer";
my %headers = ('of now' => $ENV{IOPOOL_TEST_INCLUDE}, 'of 0.2' => "$top/test/headers/0.2");
my %libraries;
like($index, qr/\]\(c-consumer\/README\.md\)/, 'c-consumer: the index has it');
foreach my $file (qw(tree_sum.c tree_sum--1.0.sql tree_sum.control Makefile))
{
	cmp_ok(index(slurp_file("$top/doc/c-api.md"), "`$file`:\n\n```"), '>', 0, "c-consumer: the page has $file");
	cmp_ok(index(slurp_file("$top/doc/c-api.md"), "\n" . slurp_file("$consumer/$file") . "```\n"), '>', 0, "c-consumer: $file is as on the page");
}
foreach my $header (sort grep { defined $headers{$_} } keys %headers)
{
	my $build = PostgreSQL::Test::Utils::tempdir() . '/consumer';
	my ($ok, $out, $err) = run_with('', 'bash', '-e', '-c',
		q{mkdir "$0"; cp "$1"/* "$0"; cd "$0"; make -s PG_CONFIG="$2" PG_CPPFLAGS="-I$3" COPT=-Werror with_llvm=no},
		$build, $consumer, $ENV{IOPOOL_TEST_PG_CONFIG} // 'pg_config', $headers{$header});
	ok($ok, "c-consumer: built with the header $header") or diag($err);
	$libraries{$header} = "$build/tree_sum";
}

# A node of the tree: its value, the number of its children, and their offsets.
sub tree_node
{
	my ($value, @children) = @_;
	return pack('q<*', $value, scalar @children, @children, (0) x (510 - @children));
}

mkdir $srv or die;
PostgreSQL::Test::Utils::append_to_file("$srv/tree", join('', tree_node(1, map { 4096 * $_ } 1 .. 100), map { tree_node($_) } 1 .. 100));
foreach my $method (test_methods())
{
	my $node = iopool_node("examples_$method", $method, shared_buffers => '8MB', init => [ extra => [ '--encoding=UTF8', '--locale=C' ] ]);
	my %available = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT name FROM pg_available_extensions');

	foreach my $name (@examples)
	{
		my $extension = $needs{$name} // 'plpgsql';
	  SKIP:
		{
			skip "$name: there is no extension $extension", 1 unless $available{$extension} || $required{$extension};
			test_example($node, $method, $name);
		}
	}
	foreach my $header (sort keys %libraries)
	{
		is( $node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION tree_sum(path text, root bigint) RETURNS bigint LANGUAGE c STRICT AS '$libraries{$header}'; SELECT tree_sum('$srv/tree', 0)"),
			5051, "$method: c-consumer, with the header $header");
	}
	# what the index says: run one again, and remove it
	my ($blocks) = code_blocks($index);
	foreach my $block (grep { $_->{lang} eq 'sh' } @$blocks)
	{
		my ($ok, undef, $err) = run_block($node, $block);
		ok($ok, "$method: README.md, line $block->{line}") or diag($err);
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'example%'}), 0, "$method: the roles are gone");
	rings_home($node, $method);
	$node->stop;
}
done_testing();
