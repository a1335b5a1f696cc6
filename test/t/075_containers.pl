# Files as people have them: containers of sixteen kinds, made by their own tools.
# containers.py tells where their members are and what they are; here, every
# function that reads gets them, on every method, from the beginning of the file
# or from its end.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $dir = PostgreSQL::Test::Utils::tempdir() . '/containers';
my $listing = PostgreSQL::Test::Utils::tempdir() . '/members';
mkdir $dir or die;
my ($ok, $members, $err) = run_with('', 'python3', dirname(dirname(abs_path(__FILE__))) . '/containers.py', $dir);
die "could not make containers: $err" unless $ok;
append_to_file($listing, $members);

my (%expected, %digests);
foreach (split /\n/, $members)
{
	my ($kind, undef, undef, undef, $digest) = split /\t/;
	$expected{$kind}++;
	$digests{$kind}{$digest} = 1;
}
is(scalar keys %expected, 16, 'sixteen kinds');
foreach my $kind (sort keys %expected)
{
	cmp_ok(scalar keys %{ $digests{$kind} }, '>=', 24, "$kind: dozens of members");
}

# Each counts, for each kind, the members whose bytes are right.
my $right = 'count(*) FILTER (WHERE sha256(d.data) = m.sha256)';
my $arrays = q{(SELECT kind, array_agg(path ORDER BY sha256, path, file_offset) AS paths,
	array_agg(file_offset ORDER BY sha256, path, file_offset) AS offsets,
	array_agg(file_offset - file_size ORDER BY sha256, path, file_offset) AS ends,
	array_agg(length ORDER BY sha256, path, file_offset) AS lengths,
	array_agg(sha256 ORDER BY sha256, path, file_offset) AS digests FROM member GROUP BY kind) AS m};
my $right_of_array = 'count(*) FILTER (WHERE sha256(d.data) = m.digests[d.ordinal])';
my %ways = (
	'iopool_read in the select list' => "SELECT kind, $right FROM (SELECT *, iopool_read(path, file_offset, length) AS data FROM member OFFSET 0) AS d JOIN member AS m USING (kind, id) GROUP BY kind",
	'iopool_read in FROM, below a directory' => "SELECT kind, $right FROM member AS m, iopool_read('containers:' || file, file_offset, length) AS d(data) GROUP BY kind",
	'iopool_read, offsets from the end' => "SELECT kind, $right FROM member AS m, iopool_read(path, file_offset - file_size, length) AS d(data) GROUP BY kind",
	'iopool_read_batch, offsets from the end' => "SELECT kind, $right_of_array FROM $arrays, iopool_read_batch(m.paths, m.ends, m.lengths) AS d GROUP BY kind",
	'iopool_read_batch' => "SELECT kind, $right_of_array FROM $arrays, iopool_read_batch(m.paths, m.offsets, m.lengths) AS d GROUP BY kind",
	'iopool_read_batch, as ranges complete' => "SELECT kind, $right_of_array FROM $arrays, iopool_read_batch(m.paths, m.offsets, m.lengths, in_order => false) AS d GROUP BY kind",
	'iopool_read_array' => "SELECT kind, $right_of_array FROM $arrays, unnest(iopool_read_array(m.paths, m.offsets, m.lengths)) WITH ORDINALITY AS d(data, ordinal) GROUP BY kind",
	'a request' => "SELECT kind, $right_of_array FROM $arrays, LATERAL iopool_fetch(iopool_submit(m.paths, m.offsets, m.lengths)) AS d GROUP BY kind",
	'parts of whole files' => "SELECT kind, count(*) FILTER (WHERE sha256(substr(d.data, m.file_offset::int + 1, m.length::int)) = m.sha256) FROM"
	  . " iopool_read_files(ARRAY(SELECT DISTINCT path FROM member)) AS d JOIN member AS m USING (path) GROUP BY kind");

foreach my $method (test_methods())
{
	my $node = iopool_node("containers_$method", $method, 'iopool.rings' => 2, 'iopool.merge_gap' => 'auto');
	$node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		CREATE SERVER containers FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$dir');
		CREATE TABLE listed (kind text, file text, file_offset bigint, length bigint, digest text);
		\\copy listed FROM '$listing'
		CREATE TABLE member AS
		SELECT row_number() OVER () AS id, kind, file, '$dir/' || file AS path, file_offset, length, decode(digest, 'hex') AS sha256,
			(pg_stat_file('$dir/' || file)).size AS file_size
		FROM listed;
		ANALYZE member});
	foreach my $mode (qw(buffered direct))
	{
		foreach my $way (sort keys %ways)
		{
			my %found = map { split /\|/ } split /\n/, ask($node, "SET iopool.io_mode = $mode; $ways{$way}");
			is_deeply(\%found, \%expected, "$method, $mode: $way");
		}
	}
	rings_home($node, $method);
	$node->stop;
}
done_testing();
