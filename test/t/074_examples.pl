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
my @examples = map { basename(dirname($_)) } glob("$top/examples/*/README.md");

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

mkdir $srv or die;
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
