# iopool_list() beyond what SQL can make: names in UTF-8 and names that are no
# text, trees that are deep, directories with very many names, and walks that do
# not come to their end.  Nothing here depends on the method, since no ring is
# taken.

use strict;
use warnings;

use Cwd ();
use Encode ();
use Errno ();
use Time::HiRes ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $base = PostgreSQL::Test::Utils::tempdir() . '/list';
chomp(my $top = `mkdir -p $base && cd $base && pwd -P`);
my $node = iopool_node('list', undef, init => [ extra => [ '--encoding=UTF8', '--locale=C' ] ]);

sub make_files
{
	my ($dir, @names) = @_;
	system('mkdir', '-p', $dir) == 0 or die;
	foreach my $name (@names)
	{
		open my $handle, '>', "$dir/$name" or die "$dir/$name: $!";
		close $handle;
	}
	return;
}

sub make_server
{
	my ($name, $path) = @_;
	$node->safe_psql('postgres', "SET client_min_messages = error; CREATE SERVER $name FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$path');"
		  . "GRANT USAGE ON FOREIGN SERVER $name TO app");
	return;
}

# The paths that a call finds, and what it warns of.
sub list
{
	my ($path, $pattern) = @_;
	$path =~ s/'/''/g;
	$pattern =~ s/'/''/g;
	my ($ret, $out, $err) = $node->psql('postgres',
		qq{SET client_encoding = UTF8; SELECT path FROM iopool_list('$path', '$pattern') ORDER BY path COLLATE "C"},
		extra_params => [ '-U', 'app' ]);
	return ($out, $err);
}

$node->safe_psql('postgres', 'CREATE ROLE app LOGIN; GRANT EXECUTE ON FUNCTION iopool_list(text, text), iopool_stat(text, boolean), iopool_read(text, bigint, bigint) TO app');

# --------------------------------------------------------------------------
# Characters, and what is none

make_files("$top/names", 'größe', 'groß', 'gräßlich', 'é', '€', "\xF0\x9F\x98\x80", 'a');
make_files("$top/names/ü", 'x');
make_server('names', "$top/names");
my %matches = (
	'?' => "€ é \xF0\x9F\x98\x80 a",
	'gr??e' => 'größe',
	'gr?[ß]*' => 'gräßlich groß größe',
	'[à-ê]' => 'é',
	'[!à-ê]' => "€ \xF0\x9F\x98\x80 a",
	'[é-€]' => '€ é',
	"[€-\xF0\x9F\x98\x80]" => "€ \xF0\x9F\x98\x80",
	'gr[ö-ö]ß*' => 'größe',
	'\é' => 'é',
	'?/x' => 'ü/x',
	'??' => '');
foreach my $pattern (sort keys %matches)
{
	my ($out, $err) = list('names:', $pattern);
	is(join(' ', sort map { s/^names://r } split /\n/, $out), join(' ', sort split / /, $matches{$pattern}), "pattern $pattern");
	is($err, '', "pattern $pattern: no warning");
}
my (undef, $err) = list('names:', 'größe[');
like($err, qr/invalid pattern "größe\[": bracket without end at position 6/, 'a position is one of characters');

make_files("$top/bad", 'good', "\xC3(", "a\xFFb");
make_files("$top/bad/\xFE", 'x', 'y');
make_files("$top/bad/dir", "\xE9");
make_server('bad', "$top/bad");
(my $out, $err) = list('bad:', '**');
is($out, 'bad:good', 'names that are no text are left out');
like($err, qr/^psql:.*WARNING:  4 names below "bad:" were left out, because they are not valid in encoding "UTF8"\n.*First: "bad:(\\303\(|a\\377b|\\376|dir\/\\351)", with its bytes in octal\.\s*$/s,
	'and told once, in octal');
($out, $err) = list('bad:', 'good');
is("$out$err", 'bad:good', 'unless they are not looked at');

# --------------------------------------------------------------------------
# What a time cannot be

SKIP:
{
	my $dir = "/dev/shm/iopool_list_$$";
	skip 'no tmpfs at /dev/shm', 1 unless mkdir $dir;
	make_files($dir, qw(far past));
	utime(2**46, 2**46, "$dir/far");
	utime(-2**46, -2**46, "$dir/past");
	my $kept = (stat "$dir/far")[9];
	my $found = $node->safe_psql('postgres', "SELECT string_agg(modified::text, ' ' ORDER BY path) FROM iopool_list('$dir')"
		  . " UNION ALL SELECT modified::text FROM iopool_stat('$dir/far')");
	unlink "$dir/far", "$dir/past";
	rmdir $dir;
	skip 'no such times at /dev/shm', 1 unless $kept == 2**46;
	is($found, "infinity -infinity\ninfinity", 'times that no timestamp can be');
}

# --------------------------------------------------------------------------
# Deep trees: more levels than stay open, and paths that are too long to be read

# Makes directories of a name, one in the other, with the files of each.
sub make_deep
{
	my ($dir, $depth, $name, @files) = @_;
	my $here = Cwd::getcwd();
	system('mkdir', '-p', $dir) == 0 or die;
	chdir $dir or die;
	foreach (1 .. $depth)
	{
		foreach my $file (@files)
		{
			open my $handle, '>', $file or die;
		}
		mkdir $name or die;
		chdir $name or die;
	}
	chdir $here or die;
	return;
}

my $depth = 100;
make_deep("$top/deep", $depth, 'm', 'a', 'n', 'z');
make_server('deep', "$top/deep");
is( $node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT path), max(length(path)) FROM iopool_list('deep:', '**')}),
	join('|', 3 * $depth, 3 * $depth, length('deep:a') + 2 * ($depth - 1)), 'all files of a deep tree, once');
is( $node->safe_psql('postgres', "SELECT count(*) FROM iopool_list('$top/deep', '**/[an]')"), 2 * $depth, 'by a plain path, too');

my $too_deep = 30;
make_deep("$top/too_deep", $too_deep, 'd' x 200, 'file');
make_server('too_deep', "$top/too_deep");
($out, $err) = list('too_deep:', '**');
my @found = split /\n/, $out;
cmp_ok(scalar @found, '>', 15, 'what is not too deep is found');
cmp_ok(scalar @found, '<', $too_deep, 'what is too deep is not');
like($err, qr/WARNING:  [12] names? below "too_deep:" (was|were) left out.*\n.*First: could not open (file|directory) "too_deep:[d\/]{4000,4300}(file)?": File name too long\./,
	'which is told');
unlike($err, qr/WARNING.*WARNING/s, 'once');
is($node->safe_psql('postgres', "SELECT count(*) FROM iopool_list('too_deep:', '**') AS l, iopool_read(l.path, 0, 1)"), scalar @found,
	'all that are found can be read');
system('rm', '-rf', "$top/too_deep");

# --------------------------------------------------------------------------
# The kernel's file systems are left out wherever they are mounted

$node->safe_psql('postgres', q{CREATE SERVER root FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '/', allow_data_directory 'on'); GRANT USAGE ON FOREIGN SERVER root TO app});
($out, $err) = list('root:', 'proc/version');
is($out, '', 'nothing of proc');
like($err, qr/WARNING:  1 name below "root:" was left out.*\n.*First: file "root:proc" is on a file system of the kernel\./, 'which is told');
(undef, $err) = list('root:proc/self', '*');
like($err, qr/ERROR:  file "root:proc\/self" is on a file system of the kernel/, 'nor is it listed');
($out, $err) = list('root:etc', 'passwd');
is("$out$err", 'root:etc/passwd', 'beside it, all is as elsewhere');

# --------------------------------------------------------------------------
# Very many names

my $nfiles = 100_000;
my $nmillion = $ENV{IOPOOL_TEST_FILES} // 1_000_000;

# Names in a directory, which are links to as few files as can be.
sub make_links
{
	my ($dir, $n) = @_;
	my $file;
	system('mkdir', '-p', $dir) == 0 or die;
	foreach my $name (1 .. $n)
	{
		next if defined $file && link $file, "$dir/$name";
		die "$dir/$name: $!" if defined $file && !$!{EMLINK};
		$file = "$dir/$name";
		make_files($dir, $name);
	}
	return;
}

# In memory, if there is room for them: they are made and removed sooner.
my $many = "$top/many";
my $in_memory = "/dev/shm/iopool_list_$$";
my $room = `df -i --output=iavail,itotal /dev/shm 2>/dev/null` =~ /(\d+)\s+(\d+)\s*$/ ? $1 : 0;
$many = $in_memory if $room > 2 * $nmillion && mkdir $in_memory;
END { local $?; system('rm', '-rf', $in_memory) if defined $in_memory && -d $in_memory; }

make_files("$many/empty");
make_links("$many/flat", $nfiles);
make_links("$many/million", $nmillion);
mkdir "$many/locked", 0 or die;
make_server('many', $many);

my $session = $node->background_psql('postgres');
chomp(my $pid = $session->query_safe('SELECT pg_backend_pid()'));
$session->query_safe("SELECT count(*) FROM iopool_list('many:empty')");

# Descriptors that a process has of what is below.
sub open_below
{
	my ($backend) = @_;
	return scalar grep { (readlink($_) // '') =~ /^(\Q$top\E|\Q$many\E)/ } glob("/proc/$backend/fd/*");
}

# Memory does not depend on how many there are, where rows are not kept.
foreach my $query (
	"SELECT count(*) FROM iopool_list('many:flat')",
	"SELECT count(*) FROM iopool_list('$many', '[ef]*/**')",
	"SELECT count(*) FROM (SELECT iopool_list('many:flat') OFFSET 0) AS rows",
	"SELECT count(*) FROM iopool_list('many:flat') AS l WHERE l.size = 0 AND l.path LIKE 'many:%'")
{
	my ($count, $growth) = run_and_watch($session, $pid, $query);
	is($count, $nfiles, "$query: all are found");
	cmp_ok($growth, '<', 2048, "$query: less than 2 MB");
}
is(open_below($pid), 0, 'all descriptors are given back');

# Whoever wants few rows ends the walk.
sub names_of
{
	my ($query) = @_;
	my $plan = $session->query_safe("EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) $query");
	return $plan =~ /Names: (\d+)/ ? $1 : $plan;
}
is(names_of("SELECT * FROM iopool_list('many:million') LIMIT 10"), 10, 'LIMIT ends the walk');
is(names_of("SELECT * FROM iopool_list('many:flat', '*')"), $nfiles, 'without it, there are more');

# The first of a million comes long before the last.
sub seconds_of
{
	my ($query) = @_;
	my $start = Time::HiRes::time();
	$session->query_safe($query);
	return Time::HiRes::time() - $start;
}
# the shortest of some, because others use the machine, too
my ($first_row) = sort { $a <=> $b } map { seconds_of("SELECT * FROM iopool_list('many:million') LIMIT 1") } 1 .. 5;
my $start = Time::HiRes::time();
my ($million, $million_growth) = run_and_watch($session, $pid, "SELECT count(*) FROM iopool_list('many:million')");
my $all_rows = Time::HiRes::time() - $start;
is($million, $nmillion, 'a million names in one directory');
cmp_ok($million_growth, '<', 2048, 'in less than 2 MB');
cmp_ok($first_row, '<', $all_rows / 20, sprintf 'the first row took %.1f ms, all %.0f ms', 1000 * $first_row, 1000 * $all_rows);
is(names_of("SELECT * FROM iopool_list('many:', 'flat/4711')"), 0, 'a name is not looked for among all others');
# The warning comes at the end of a walk, which a select list with LIMIT does not reach.
($out, $err) = list('many:', '*/*');
like($err, qr/WARNING.*"many:locked"/s, 'the end of a walk can be seen');
(undef, undef, $err) = $node->psql('postgres', q{SELECT iopool_list('many:', '**') LIMIT 10});
is($err, '', 'LIMIT above a select list ends the walk');

# So do a cursor that is closed, and errors, caught or not.
$session->query_safe('BEGIN');
$session->query_safe("DECLARE c CURSOR FOR SELECT * FROM iopool_list('many:million')");
is(scalar(split /\n/, $session->query_safe('FETCH 5 FROM c')), 5, 'a cursor has rows');
cmp_ok(open_below($pid), '>', 0, 'while the walk goes on, something is open');
$session->query_safe('CLOSE c');
is(open_below($pid), 0, 'when it is closed, nothing is');
$session->query_safe('COMMIT');
$session->query_safe(qq{DO \$\$
	BEGIN
		FOR i IN 1 .. 50 LOOP
			BEGIN
				PERFORM 1 / (length(path) - length(path)) FROM iopool_list('many:flat');
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
			BEGIN
				PERFORM (l).size / 0 FROM (SELECT iopool_list('many:flat') AS l OFFSET 0) AS rows;
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
		END LOOP;
	END \$\$});
is(open_below($pid), 0, 'nor after errors');

# A cancel comes in the middle, also where no name matches.
foreach my $pattern ('*', 'none*')
{
	my $loop = start_sql($node, "SELECT count(*) FROM generate_series(1, 100000) AS n, LATERAL (SELECT count(*) FROM iopool_list('many:million', '$pattern') WHERE n > 0) AS l");
	my $loop_pid = backend_pid($node, $loop);
	ok(poll_until(sub { open_below($loop_pid) > 1 }), "$pattern: it walks");
	is(ask($node, "SELECT pg_cancel_backend($loop_pid)"), 't', "$pattern: a cancel");
	my (undef, $loop_err) = $loop->finish;
	like($loop_err, qr/ERROR:  57014:/, "$pattern: which ends it");
}

# Many walks at a time get by with the descriptors that there are, or say so.
$session->query_safe('BEGIN');
$session->query_safe("DECLARE c$_ CURSOR FOR SELECT path FROM iopool_list('deep:', '**')") foreach 1 .. 40;
$session->query_safe("MOVE FORWARD 280 FROM c$_") foreach 1 .. 40;
my $open = open_below($pid);
cmp_ok($open, '<=', 40 * 16 + 1, '40 walks have a bounded number of descriptors');
my $rest = 0;
$rest += () = $session->query_safe("FETCH ALL FROM c$_") =~ /^deep:/mg foreach 1 .. 40;
is($rest, 40 * (3 * $depth - 280), 'and come to their end');
$session->query_safe('COMMIT');
is(open_below($pid), 0, 'and give all back');

# Files are read while they are listed, and closed for levels that need room.
is($session->query_safe(q{SELECT count(*) FROM iopool_list('deep:', '**') AS l, iopool_read(l.path, 0, 10) AS d}), 3 * $depth, 'files are read as they are listed');
$session->quit;
rings_home($node, 'at the end');
chmod 0700, "$many/locked";
system('rm', '-rf', $many);

$node->append_conf('postgresql.conf', 'max_files_per_process = 64');
$node->restart;
is($node->safe_psql('postgres', q{
	BEGIN;
	DECLARE a CURSOR FOR SELECT path FROM iopool_list('deep:', '**');
	MOVE FORWARD 200 FROM a;
	DECLARE b CURSOR FOR SELECT l.path FROM iopool_list('deep:', '**') AS l, iopool_read(l.path, 0, 10);
	MOVE FORWARD 200 FROM b;
	SELECT count(*) FROM iopool_list('deep:', '**') AS l, iopool_read(l.path, 0, 10);
	MOVE FORWARD ALL FROM a;
	MOVE FORWARD ALL FROM b;}), 3 * $depth, 'few descriptors are enough');

# More walks than there are descriptors make room for each other, and for files.
my $nwalks = 50;
my $output = $node->safe_psql('postgres', join '', "BEGIN;\n",
	(map { "DECLARE c$_ CURSOR FOR SELECT path FROM iopool_list('deep:', '**'); MOVE FORWARD 150 FROM c$_;\n" } 1 .. $nwalks),
	"SELECT 'read ' || count(*) FROM (SELECT array_agg(l.path) AS paths FROM iopool_list('deep:', '**') AS l) AS l, iopool_read_files(l.paths) AS r WHERE r.size = 0;\n",
	(map { "FETCH ALL FROM c$_;\n" } 1 .. $nwalks));
$rest = () = $output =~ /^deep:/mg;
is($rest, $nwalks * (3 * $depth - 150), 'many walks come to their end');
like($output, qr/^read @{[ 3 * $depth ]}$/m, 'and files are read meanwhile');

$node->stop;
done_testing();
