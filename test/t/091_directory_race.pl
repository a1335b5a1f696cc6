# Names below a directory change while files are opened and listed there: between a file
# and a link that leads out, between directories inside and outside.  No byte
# and no name from outside ever comes out, on any way in.
#
# IOPOOL_TEST_OPENS is the number of opens, over all methods; IOPOOL_TEST_SWAPS that
# of swaps that directories are listed under, at least.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $opens = $ENV{IOPOOL_TEST_OPENS} // 100_000;
my $swaps = $ENV{IOPOOL_TEST_SWAPS} // 100_000;
my @methods = test_methods();
my $swapper = helper_program('swapper');
my $base = PostgreSQL::Test::Utils::tempdir() . '/race';
chomp(my $real = `mkdir -p $base && cd $base && pwd -P`);
my ($in, $out) = ("$real/in", "$real/out");

# The same names inside and outside, told apart by their content and size; and
# a name that is outside only.
# What lies in a directory that is moved across the border is inside as long as
# the directory is.  A chain of directories is deeper than a walk has open.
my $chain = join '/', ('c') x 20;
foreach my $top ([ $in, 'inside ' ], [ $out, 'outside' ])
{
	my ($path, $content) = @$top;
	system('mkdir', '-p', "$path/dir/deep/sub") == 0 or die;
	append_to_file("$path/$_", $content x ($path eq $in ? 100 : 101)) foreach ('file', 'dir/file');
	append_to_file("$path/dir/$_", 'moving ' x 100)
	  foreach ('deep/file', 'deep/sub/file');
	system('mkdir', '-p', "$path/dir/$chain", "$path/dir/deep/$chain") == 0 or die;
	foreach my $depth (1, 5, 12, 20)
	{
		my $link = substr "$chain/", 0, 2 * $depth;
		append_to_file("$path/dir/${link}file", $content x ($path eq $in ? 100 : 101));
		append_to_file("$path/dir/deep/${link}file", 'moving ' x 100);
		append_to_file("$path/dir/${link}secret", 'outside' x 100) if $path eq $out;
	}
}
append_to_file("$out/$_", 'outside' x 100) foreach ('secret', 'dir/secret');
append_to_file("$real/file", 'outside' x 101);

# What is swapped with what: a file and a link that leads out; a directory and
# a link to one outside, by an absolute path; a directory that a ".." is about
# to leave and one outside; the directory of the server itself and a link.
symlink '../out/file', "$in/link" or die;
append_to_file("$in/plain", 'inside ' x 100);
system('cp', '-r', "$in/dir", "$in/swapped") == 0 or die;
symlink "$out/dir", "$in/linked" or die;
system('mkdir', "$in/moves") == 0 or die;
system('cp', '-r', "$in/dir/deep", "$in/moves/deep") == 0 or die;
append_to_file("$in/moves/file", 'inside ' x 100);
system('cp', '-r', "$in/dir", "$real/top") == 0 or die;
symlink $out, "$real/to_out" or die;
my @pairs = (
	"$real/top", "$real/to_out",
	"$in/plain", "$in/link",
	"$in/swapped", "$in/linked",
	"$in/moves/deep", "$out/dir/deep");

# Paths that meet the swaps.
my @paths = (
	(   map { "race:$_" } 'plain', 'link', 'swapped/file', 'linked/deep/file',
		'linked/../file', 'moves/deep/file', 'moves/deep/../file',
		'moves/deep/sub/../../file', 'moves/deep/sub/../../../file',
		'moves/deep/sub/../../../dir/file',
		'swapped/deep/../../moves/deep/../../plain'),
	'top:file');

# Directories and patterns that meet them.
my @lists = (
	[ 'race:', '**' ], [ 'race:', '*/*' ], [ 'race:', '*/deep/*' ],
	[ 'race:swapped', '**' ], [ 'race:linked', '**' ],
	[ 'race:moves', 'deep/**' ], [ 'race:moves/deep', '**' ],
	[ 'race:moves/deep/..', '**' ], [ 'race:moves/deep/sub/../..', '*' ],
	[ 'race:swapped/deep/../../moves/deep/..', '*' ],
	[ 'top:', '**' ]);

my $functions = q{
CREATE TABLE paths (id serial, path text);
CREATE TABLE lists (path text, pattern text);
CREATE ROLE app LOGIN;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint),
	iopool_read_batch(text[], bigint[], bigint[], text, boolean),
	iopool_list(text, text), iopool_stat(text, boolean) TO app;
GRANT SELECT ON paths, lists TO app;

-- Opens files one by one, or by hundreds, each by a name that the call has not
-- seen.  Counts what comes out; everything else than these is told.
CREATE FUNCTION read_one(path text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN convert_from(iopool_read(path, 0, 7), 'SQL_ASCII');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || SQLERRM;
END $$;
CREATE FUNCTION kind(outcome text, path text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN outcome IN ('inside ', 'moving ') THEN 'inside'
		WHEN outcome ~ 'leads out of its directory|could not open directory.*Too many levels' THEN 'refused'
		WHEN outcome ~ 'No such file' THEN 'missing'
		ELSE 'BAD ' || path || ': ' || coalesce(outcome, 'NULL') END $$;
CREATE FUNCTION single(number int) RETURNS TABLE (k text, n bigint) LANGUAGE sql VOLATILE AS $$
	SELECT kind(read_one(path), path), count(*)
	FROM generate_series(1, number / 12) AS n, paths
	GROUP BY 1 ORDER BY 1 $$;
-- The same path again and again, by an expression that keeps the file open.
CREATE FUNCTION read_again(path text, number int) RETURNS TABLE (k text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
	counts jsonb := '{}';
BEGIN
	FOR i IN 1 .. number LOOP
		BEGIN
			outcome := convert_from(iopool_read(path, 0, 7), 'SQL_ASCII');
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLSTATE || SQLERRM;
		END;
		counts := jsonb_set(counts, ARRAY[outcome], to_jsonb(coalesce((counts ->> outcome)::int, 0) + 1));
	END LOOP;
	RETURN QUERY SELECT kind(o.key, path), o.value::bigint FROM jsonb_each_text(counts) AS o;
END $$;
CREATE FUNCTION again(number int) RETURNS TABLE (k text, n bigint) LANGUAGE sql VOLATILE AS $$
	SELECT r.k, sum(r.n)::bigint FROM paths, read_again(path, number / 12) AS r GROUP BY 1 ORDER BY 1 $$;
CREATE FUNCTION batch(number int) RETURNS TABLE (k text, n bigint) LANGUAGE sql VOLATILE AS $$
	SELECT kind(coalesce(convert_from(b.data, 'SQL_ASCII'), b.error), replace(path[b.ordinal], './', '')), count(*)
	FROM generate_series(1, number / 1200) AS n,
		 LATERAL (SELECT array_agg(replace(p.path, ':', ':' || repeat('./', i))) AS path, array_agg(0::bigint) AS o, array_agg(7::bigint) AS l
				  FROM paths AS p, generate_series(1, 100) AS i WHERE n > 0) AS a,
		 LATERAL iopool_read_batch(path, o, l, 'report') AS b
	GROUP BY 1 ORDER BY 1 $$;
-- What is listed, and what is told of single files.
CREATE FUNCTION list_one(path text, pattern text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT CASE WHEN l.size = 700 AND l.path !~ 'secret' THEN 'inside ' ELSE 'listed ' || l.path END FROM iopool_list(path, pattern) AS l;
EXCEPTION WHEN OTHERS THEN
	RETURN NEXT SQLSTATE || SQLERRM;
END $$;
CREATE FUNCTION list(number int) RETURNS TABLE (k text, n bigint) LANGUAGE sql VOLATILE AS $$
	SELECT kind(o, path), count(*)
	FROM generate_series(1, number / 100) AS n, lists, LATERAL list_one(path, pattern || left(n::text, 0)) AS o
	GROUP BY 1 ORDER BY 1 $$;
CREATE FUNCTION stat_one(path text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT CASE WHEN size = 700 THEN 'inside ' ELSE 'size ' || size END FROM iopool_stat(path));
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || SQLERRM;
END $$;
CREATE FUNCTION stat(number int) RETURNS TABLE (k text, n bigint) LANGUAGE sql VOLATILE AS $$
	SELECT kind(stat_one(path), path), count(*)
	FROM generate_series(1, number / 12) AS n, paths
	GROUP BY 1 ORDER BY 1 $$;
};

foreach my $i (0 .. $#methods)
{
	my $method = $methods[$i];
	my $node = iopool_node("race_$method", $method, 'iopool.rings' => 2);
	# Most on the first, the others only have to differ where they read.
	my $number = int($opens * ($i == 0 ? 1 : 0.2) / 3);

	$node->safe_psql('postgres', $functions
		  . "CREATE SERVER race FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$in');"
		  . "CREATE SERVER top FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$real/top');"
		  . 'GRANT USAGE ON FOREIGN SERVER race, top TO app;'
		  . join('', map { "INSERT INTO paths (path) VALUES ('$_');" } @paths)
		  . join('', map { "INSERT INTO lists VALUES ('$_->[0]', '$_->[1]');" } @lists));

	# What takes no ring is the same on every method.
	foreach my $way (qw(single again batch), $i == 0 ? qw(list stat) : ())
	{
		my $wanted = $way eq 'list' ? $swaps : 1000;
		my %counts;
		my ($nswaps, $ntimes) = (0, 0);

		# as often as it takes for so many swaps to happen meanwhile
		while ($nswaps < $wanted && $ntimes++ < 100)
		{
			my ($input, $output, $errors) = ('', '', '');
			my $swapping = IPC::Run::start([ $swapper, @pairs ], \$input, \$output, \$errors);
			my $result = $node->safe_psql('postgres', "SELECT k || '=' || n FROM $way($number)", extra_params => [ '-U', 'app' ]);

			$swapping->finish;
			chomp $output;
			is($errors, '', "$method, $way: the swaps went on");
			$nswaps += $output;
			$counts{$1} += $2 while $result =~ /^(.*?)=(\d+)$/msg;
			note("$method, $way, $output swaps: $result");
		}
		cmp_ok($nswaps, '>=', $wanted, "$method, $way: $nswaps swaps");
		is(join(' ', grep { /^BAD/ } sort keys %counts), '', "$method, $way: nothing but bytes from inside and refusals");
		cmp_ok($counts{inside} // 0, '>', 0, "$method, $way: some were read");
		cmp_ok($counts{refused} // 0, '>', 0, "$method, $way: some led out");
	}
	rings_home($node, $method);
	$node->stop;
}

done_testing();
