# The C interface, call by call: the consumer in test/modules/iopool_consumer
# makes each of them from SQL.  What it reads is compared with
# pg_read_binary_file(); what it does wrong has to be refused, with the stream
# as it was before.

use strict;
use warnings;

use FindBin;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolConsumer;
use IopoolDocs;
use IopoolTest;

my $fs = IopoolTest::GateFS->new;
chomp(my $base = `cd @{[PostgreSQL::Test::Utils::tempdir()]} && pwd -P`);
my $tiles = "$base/tiles";
my $words = "$tiles/words";
mkdir $tiles or die;
# not a multiple of any alignment
write_words($words, 1_000_003);
write_words("$base/secret", 1000, 2**40);
write_words($fs->backing($_), 1_000_003) foreach (qw(faulty held));
POSIX::mkfifo("$tiles/fifo", 0600) or die;

# --------------------------------------------------------------------------
# A server that does not preload iopool.
{
	my $node = PostgreSQL::Test::Cluster->new('bare');
	$node->init;
	$node->start;
	create_consumer($node);
	my $err = '';
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT consumer_begin_default()", stderr => \$err);
	like($err, qr/ERROR:  55000: iopool is not loaded/, 'not preloaded');
	like($err, qr/HINT:.*shared_preload_libraries/, 'not preloaded: the hint');
	is(ask($node, "SELECT consumer_make_graph('$base/small', 10)"), 40960, 'the consumer works without it');
	$node->stop;
}

# --------------------------------------------------------------------------
# What the node of each method has.
my $functions = q{
-- Adds ranges of all sorts and takes them, as many as two calls of add() for
-- each taken result; returns what is wrong with the results.
CREATE FUNCTION read_all(path text, io_mode text, in_order bool, gap int, window_bytes bigint, header bigint, buffers text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	f int := consumer_open(path, 'trusted', io_mode);
	s int := consumer_begin(in_order => in_order, merge_gap => gap, max_in_flight_bytes => window_bytes, header_size => header);
	nadded int := 0;
	nranges int := (SELECT count(*) FROM ranges);
	ntaken int := 0;
	last bigint := 0;
	r record;
	o bigint;
	l bigint;
	wrong text := '';
BEGIN
	WHILE ntaken < nranges LOOP
		FOR i IN nadded + 1 .. least(nadded + 20, nranges) LOOP
			SELECT ranges.o, ranges.l INTO o, l FROM ranges WHERE id = i;
			PERFORM consumer_add(s, f, o, l, i, CASE WHEN buffers = 'caller' THEN consumer_buffer('transaction', l) ELSE 0 END);
			nadded := i;
		END LOOP;
		IF consumer_outstanding(s) <> nadded - ntaken THEN
			wrong := wrong || ' outstanding';
		END IF;
		FOR r IN SELECT t.*, ranges.o, ranges.l, pg_read_binary_file(path, ranges.o, ranges.l) AS expected
			FROM consumer_take(s, 10, -1, buffers) WITH ORDINALITY AS t JOIN ranges ON id = cookie ORDER BY ordinality LOOP
			ntaken := ntaken + 1;
			IF r.data IS DISTINCT FROM r.expected OR r.nbytes <> length(r.expected) OR r.errnum <> 0
				OR r.file_offset <> r.o OR r.length <> r.l THEN
				wrong := wrong || ' ' || r.cookie;
			END IF;
			IF in_order AND r.cookie <> last + 1 THEN
				wrong := wrong || ' order';
			END IF;
			last := r.cookie;
		END LOOP;
	END LOOP;
	IF (SELECT count(*) FROM consumer_take(s)) <> 0 OR consumer_outstanding(s) <> 0 THEN
		wrong := wrong || ' more';
	END IF;
	IF (SELECT (x.nadded, x.ntaken, x.in_flight) <> (nranges::bigint, nranges::bigint, 0) FROM consumer_stream_stats(s) AS x) THEN
		wrong := wrong || ' stats';
	END IF;
	PERFORM consumer_end(s);
	PERFORM consumer_close(f);
	RETURN ntaken || wrong;
END $$;

CREATE TABLE ranges (id int PRIMARY KEY, o bigint, l bigint);
INSERT INTO ranges SELECT row_number() OVER (), o, l FROM (VALUES
	(0, 8), (8, 8), (16, 100), (100, 50), (4095, 2), (4096, 4096), (8191, 70001), (0, 1000003), (999990, 100), (1000002, 1),
	(1000003, 10), (3000000, 10), (123456, 0), (777777, 133333), (65536, 65536), (131072, 131072), (1, 900000),
	(1099511627776, 8), (7, 3000000)) AS r(o, l);
INSERT INTO ranges SELECT 19 + n, n * 7919 % 1000100, n * 104729 % 6000 FROM generate_series(1, 300) AS n;

-- Makes a statement that is wrong while a stream has reads outstanding, and
-- tells its outcome and whether the stream is as before.  In the statement
-- stand: @s the stream, @f its file, @k a buffer of one of its results, @b a
-- buffer of ours of 64 kB, @o another stream, @e one that has ended, @d one
-- whose context is gone, @c a file that is closed, @g one whose context is
-- gone, @x what is nothing of all that.
CREATE FUNCTION misuse(path text, io_mode text, is_aligned bool, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	f int; s int; k int := 0; b int; b2 int; o int; e int; d int; c int; g int;
	before record;
	result text;
BEGIN
	PERFORM consumer_context('gone');
	f := consumer_open(path, 'trusted', io_mode);
	s := consumer_begin(is_aligned => is_aligned);
	o := consumer_begin();
	e := consumer_begin();
	d := consumer_begin('gone');
	c := consumer_open(path, 'trusted', io_mode);
	g := consumer_open(path, 'trusted', io_mode, 'gone');
	b := consumer_buffer('transaction', 65536, 65536);
	b2 := consumer_buffer('transaction', 8192, 65536);
	PERFORM consumer_end(e);
	PERFORM consumer_close(c);
	PERFORM consumer_context_delete('gone');
	IF NOT is_aligned THEN
		PERFORM consumer_add(s, f, 800, 8);
		k := (SELECT buffer FROM consumer_take(s, 1, -1, 'keep'));
	END IF;
	PERFORM consumer_add(s, f, 0, 4096, 1, b2);
	PERFORM consumer_add(s, f, 8192, 4096, 2, b2, 4096);

	SELECT p.nreads, p.nbytes, x.* INTO before FROM consumer_pool_stats() AS p, consumer_stream_stats(s) AS x;
	result := consumer_outcome(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(statement,
		'@s', s::text), '@f', f::text), '@k', k::text), '@b', b::text), '@o', o::text), '@e', e::text), '@d', d::text),
		'@c', c::text), '@g', g::text), '@x', consumer_bogus()::text));
	IF before <> (SELECT (p.nreads, p.nbytes, x.*) FROM consumer_pool_stats() AS p, consumer_stream_stats(s) AS x) THEN
		result := result || ' BUT READ';
	END IF;
	IF (SELECT array_agg(data ORDER BY cookie) FROM consumer_take_all(s, 'caller'))
		<> ARRAY[pg_read_binary_file(path, 0, 4096), pg_read_binary_file(path, 8192, 4096)] THEN
		result := result || ' BUT BROKEN';
	END IF;
	PERFORM consumer_end(s);
	PERFORM consumer_end(o);
	IF (SELECT count(*) FROM iopool_rings WHERE state <> 'free' OR pid IS NOT NULL) > 0 THEN
		result := result || ' BUT NO RING';
	END IF;
	RETURN result;
END $$;
};

# --------------------------------------------------------------------------
# What is wrong, and what has to come of it.  The second column: in which sort
# of stream.
my $gone = qr/^55000: /;
my $refused = qr/^22023: /;
my @misuses;

foreach my $stream ('@e', '@d', '@x')
{
	my $what = { '@e' => 'an ended stream', '@d' => 'a stream whose context is gone', '@x' => 'no stream' }->{$stream};
	push @misuses, map { [ "$what: $_->[0]", "SELECT $_->[1]", $gone ] } (
		[ 'add', "consumer_add($stream, \@f, 0, 8)" ],
		[ 'submit', "consumer_submit($stream)" ],
		[ 'take', "consumer_take($stream)" ],
		[ 'take without waiting', "consumer_take($stream, 1, 0)" ],
		[ 'outstanding', "consumer_outstanding($stream)" ],
		[ 'release', "consumer_release($stream, \@k)" ],
		[ 'cancel', "consumer_cancel($stream)" ],
		[ 'end', "consumer_end($stream)" ],
		[ 'stream_stats', "consumer_stream_stats($stream)" ]);
}
foreach my $file ('@c', '@g', '@x')
{
	my $what = { '@c' => 'a closed file', '@g' => 'a file whose context is gone', '@x' => 'no file' }->{$file};
	push @misuses, map { [ "$what: $_->[0]", "SELECT $_->[1]", $gone ] } (
		[ 'add', "consumer_add(\@s, $file, 0, 8)" ],
		[ 'close_file', "consumer_close($file)" ],
		[ 'file_info', "consumer_file_info($file)" ],
		[ 'check_aligned', "consumer_check_aligned($file, 0, 4096, \@b)" ]);
}
push @misuses, (
	[ 'a file as a stream', 'SELECT consumer_submit(@f)', $gone ],
	[ 'a stream as a file', 'SELECT consumer_add(@s, @s, 0, 8)', $gone ],
	[ "another stream's buffer", 'SELECT consumer_release(@o, @k)', $refused ],
	[ 'a buffer of the caller is released', 'SELECT consumer_release(@s, @b)', $refused ],
	[ 'no buffer is released', 'SELECT consumer_release(@s, @x)', $refused ],
	[ 'a buffer is released twice', 'SELECT consumer_release(@s, @k), consumer_release(@s, @k)', $refused ],
	[ 'a negative offset', 'SELECT consumer_add(@s, @f, -1, 8)', qr/^22023: .*offset.*-1\b/ ],
	[ 'an unaligned read from the end', "SELECT consumer_add(\@s, consumer_open_with('$words', from_end => true), -8, -8)", qr/^22023: .*length.*-8\b/ ],
	[ 'a negative length', 'SELECT consumer_add(@s, @f, 0, -8)', qr/^22023: .*length.*-8\b/ ],
	[ 'too large a length', 'SELECT consumer_add(@s, @f, 0, 1072693249)', qr/^22023: .*length.*1072693249/ ],
	[ 'a buffer that is smaller than the length', 'SELECT consumer_add(@s, @f, 0, 65537, 0, @b)', qr/^22023: .*655/ ],
	[ 'a buffer of a negative size', 'SELECT consumer_add(@s, @f, 0, 8, 0, @b, 0, -2)', $refused ],
	[ 'no results are wanted', 'SELECT consumer_take(@s, 0)', $refused ],
	[ 'fewer than no results are wanted', 'SELECT consumer_take(@s, -1)', $refused ],
	[ 'begin: an unknown pool', q{SELECT consumer_begin(pool => 'nowhere')}, qr/^42704: .*"nowhere"/ ],
	[ 'pool_stats: an unknown pool', q{SELECT consumer_pool_stats('nowhere')}, qr/^42704: .*"nowhere"/ ],
	[ 'begin: negative bytes in flight', 'SELECT consumer_begin(max_in_flight_bytes => -1)', qr/^22023: .*-1/ ],
	[ 'begin: a merge gap below -1', 'SELECT consumer_begin(merge_gap => -2)', qr/^22023: .*-2/ ],
	[ 'begin: a header that fits no buffer', 'SELECT consumer_begin(header_size => 1::bigint << 40)', $refused ],
	[ 'alloc_aligned: no power of two', q{SELECT consumer_buffer('transaction', 100, 48)}, qr/^22023: .*48/ ],
	[ 'open_file: an unknown access', "SELECT consumer_open('$words', '77')", $refused ],
	[ 'open_file: an unknown mode', "SELECT consumer_open('$words', 'trusted', '77')", $refused ],
	# Structs of another size than the library's.
	map({ [ "open: options of size $_", "SELECT consumer_open_with('$words', missing_ok => true, from_end => true, size => '$_')", qr/^none/ ] } ('older', 'full')),
	map({ [ "open: options of size $_", "SELECT consumer_open_with('$words', size => '$_')", /^[04]$/ ? $refused : $gone ] } ('newer', '0', '4', '100000')),
	[ 'options of an older header have no missing_ok', "SELECT consumer_open_with('$words.gone', missing_ok => true, size => 'older')", qr/^58P01: / ],
	[ 'options of an older header have no from_end', "SELECT consumer_add(\@s, consumer_open_with('$words', from_end => true, size => 'older'), -1, 8)", qr/^22023: .*offset.*-1\b/ ],
	[ 'begin: options of an older header', q{SELECT consumer_end(consumer_begin_sized('older'))}, qr/^none/ ],
	[ 'begin: options of this header', q{SELECT consumer_end(consumer_begin_sized('full'))}, qr/^none/ ],
	map({ [ "begin: options of size $_", "SELECT consumer_begin_sized('$_')", /^[04]$/ ? $refused : $gone ] } ('newer', '0', '4', '100000')),
	map({ my $kind = $_;
		map({ [ "$kind info of size $_", "SELECT consumer_fill_sized('$kind', "
				  . { file => '@f', stream => '@s', pool => 0 }->{$kind} . ", '$_')", /^[04]$/ ? $refused : $gone ] } ('newer', '0', '4', '100000')) }
		('file', 'stream', 'pool')),
	# What may be done at any time is no misuse.
	[ 'check_aligned of a file without an alignment', 'SELECT consumer_check_aligned(@f, 1, 7, @b, 3)', qr/^none/ ],
	[ 'an empty read', 'SELECT consumer_end(s) FROM (SELECT consumer_add(s, @f, 0, 0), s FROM consumer_begin() AS s OFFSET 0) AS x', qr/^none/ ]);

# In a stream with is_aligned, of a file that is read directly.
my @misaligned = (
	[ 'offset', 'SELECT consumer_add(@s, @f, 4097, 4096, 0, @b)', qr/^22023: .*offset.*4097/ ],
	[ 'length', 'SELECT consumer_add(@s, @f, 4096, 4095, 0, @b)', qr/^22023: .*length.*4095/ ],
	[ 'buffer', 'SELECT consumer_add(@s, @f, 4096, 4096, 0, @b, 8)', qr/^22023: .*buffer/ ],
	[ 'no buffer', 'SELECT consumer_add(@s, @f, 4096, 4096)', $refused ],
	[ 'offset of check_aligned', 'SELECT consumer_check_aligned(@f, 4097, 4096, @b)', qr/^22023: .*offset.*4097/ ],
	[ 'length of check_aligned', 'SELECT consumer_check_aligned(@f, 4096, 4095, @b)', qr/^22023: .*length.*4095/ ],
	[ 'buffer of check_aligned', 'SELECT consumer_check_aligned(@f, 4096, 4096, @b, 8)', qr/^22023: .*buffer/ ],
	[ 'nothing', 'SELECT consumer_check_aligned(@f, 4096, 8192, @b)', qr/^none/ ]);

# --------------------------------------------------------------------------

foreach my $method (test_methods())
{
	# One ring a pool: a backend that would want a second one waits in vain.
	my $node = consumer_node("api_$method", $method, 'iopool.rings' => 1, 'iopool.ring_entries' => 16,
		'iopool.pools' => 'other(rings=1)', 'iopool.checkout_timeout' => '5s');
	ask($node, $functions);
	ask($node, "CREATE ROLE app LOGIN; CREATE ROLE reader LOGIN IN ROLE pg_read_server_files;"
		  . "CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tiles', pool 'other', io_mode 'direct');"
		  . "CREATE SERVER closed FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tiles');"
		  . 'GRANT USAGE ON FOREIGN SERVER tiles TO app');

	# The table.
	my $with = sub { return outcome($node, "SELECT consumer_with_table($_[0], $_[1])") };
	is($with->(0, 0), 'none', "$method: the table");
	is($with->(0, 64), 'none', "$method: a table with more at its end");
	like($with->(0, -8), qr/^55000: the C interface of iopool does not fit/, "$method: a table with less");
	like($with->(1, 0), qr/^55000: the C interface of iopool does not fit/, "$method: a later version");
	like($with->(-1, 0), qr/^55000: the C interface of iopool does not fit/, "$method: an earlier version");
	like(outcome($node, 'SELECT consumer_without_table()'), qr/^55000: iopool is not loaded/, "$method: no table");

	files($node, $method);
	foreach my $mode (io_modes())
	{
		reads($node, "$method, $mode", $mode);
		misuses($node, "$method, $mode", $mode);
	}
	failures($node, $method);
	streams($node, $method);
	sizes($node, $method);
	rings_home($node, $method);
	reader_is_right($node, $words, $method);
	$node->stop;
}

example();
headers();
done_testing();

# --------------------------------------------------------------------------
# Who may open what.
# Offsets that count from the end of a file.
sub from_end
{
	my ($node, $label, $mode) = @_;

	is( ask($node, qq{
			SET iopool.io_mode = $mode;
			BEGIN;
			SELECT consumer_begin(owner => 'transaction') AS s, consumer_open_with('$words', from_end => true) AS f \\gset
			SELECT count(consumer_add(:s, :f, o, 16, n)) FROM unnest(ARRAY[-16, -8, -1000003, -1000011, -1000019, -9223372036854775808, 16]) WITH ORDINALITY AS r(o, n);
			SELECT string_agg(t.cookie || ':' || t.file_offset || ':' || t.nbytes || ':'
				|| (t.data = CASE WHEN t.file_offset > -1000003 THEN pg_read_binary_file('$words', t.file_offset, 16)
					ELSE pg_read_binary_file('$words', 0, greatest(t.file_offset + 1000003 + 16, 0)) END), ' ' ORDER BY t.cookie)
			FROM consumer_take_all(:s) AS t;
			SELECT consumer_end(:s) \\gset
			COMMIT;}),
		"7\n" . '1:-16:16:true 2:-8:8:true 3:-1000003:16:true 4:-1000011:8:true 5:-1000019:0:true 6:-9223372036854775808:0:true 7:16:16:true',
		"$label: reads from the end");
	return;
}

sub files
{
	my ($node, $method) = @_;
	my $open = sub { my ($role, @args) = @_; return outcome($node, 'SELECT consumer_open(' . join(', ', map { "'$_'" } @args) . ')', '-U', $role) };
	my $open_in = sub { my ($role, @args) = @_; return outcome($node, 'SELECT consumer_open_in(' . join(', ', map { "'$_'" } @args) . ')', '-U', $role) };

	is($open->('app', "$base/secret"), 'none', "$method: trusted, whoever asks");
	like($open->('app', "$base/secret", 'user'), qr/^42501: /, "$method: a path for which the user has no right");
	is($open->('reader', "$base/secret", 'user'), 'none', "$method: a member of pg_read_server_files");
	is($open->('app', 'tiles:words', 'user'), 'none', "$method: a file in a directory");
	like($open->('app', 'closed:words', 'user'), qr/^42501: permission denied for foreign server closed/, "$method: without USAGE");
	like($open->('app', 'tiles:../secret', 'user'), qr/^42501: .*leads out/, "$method: out of the directory");
	like($open->('app', 'tiles:words', 'trusted'), qr/^58P01: /, "$method: trusted paths name no directory");
	like($open->('app', 'nowhere:words', 'user'), qr/^42704: /, "$method: an unknown directory");
	foreach my $access ('trusted', 'user')
	{
		is($open_in->('app', 'tiles', 'words', $access), 'none', "$method, $access: in a directory");
		like($open_in->('app', 'tiles', '../secret', $access), qr/^42501: .*leads out/, "$method, $access: out of it");
		like($open_in->('app', 'tiles', "$base/secret", $access), qr/^42501: .*leads out/, "$method, $access: an absolute path");
		like($open_in->('app', 'nowhere', 'words', $access), qr/^42704: /, "$method, $access: an unknown directory");
		like($open_in->('app', 'tiles', 'missing', $access), qr/^58P01: /, "$method, $access: a file that is not there");
		like($open_in->('app', 'tiles', 'fifo', $access), qr/^42809: /, "$method, $access: a FIFO");
	}
	is($open_in->('app', 'closed', 'words', 'trusted'), 'none', "$method: trusted, without USAGE");
	like($open_in->('app', 'closed', 'words', 'user'), qr/^42501: permission denied for foreign server closed/, "$method: user, without USAGE");
	like($open->('app', "$tiles/missing"), qr/^58P01: could not open file "\Q$tiles\E\/missing"/, "$method: a file that is not there");
	like($open->('app', $tiles), qr/^42809: /, "$method: a directory");
	like($open->('app', "$tiles/fifo"), qr/^42809: /, "$method: a FIFO");
	is($open->('app', 'PG_VERSION'), 'none', "$method: relative to the data directory");

	my $info = sub {
		my ($open) = @_;
		return ask($node, "SET iopool.io_mode = uncached; SELECT file_size, io_mode, alignment > 1, pool FROM consumer_file_info($open)");
	};
	is($info->("consumer_open('$words')"), '1000003|uncached|f|', "$method: the mode of the session");
	is($info->("consumer_open('$words', 'trusted', 'buffered')"), '1000003|buffered|f|', "$method: a mode of its own");
	is($info->("consumer_open('$words', 'trusted', 'direct')"), '1000003|direct|t|', "$method: direct");
	is($info->("consumer_open('tiles:words', 'user')"), '1000003|direct|t|other', "$method: mode and pool of the directory");
	is($info->("consumer_open_in('tiles', 'words')"), '1000003|direct|t|other', "$method: the same, taken apart");
	is($info->("consumer_open_in('tiles', 'words', 'trusted', 'buffered')"), '1000003|buffered|f|other', "$method: but for the mode");

	# By options.
	my $open_with = sub { return outcome($node, "SET ROLE $_[0]; SELECT consumer_open_with($_[1])") };
	is($open_with->('app', "'tiles:words', is_trusted => false"), 'none', "$method: options: a file in a directory");
	is($open_with->('app', "'words', 'tiles', is_trusted => false"), 'none', "$method: options: the same, taken apart");
	is($open_with->('app', "'words', 'closed'"), 'none', "$method: options: trusted, without USAGE");
	like($open_with->('app', "'words', 'closed', is_trusted => false"), qr/^42501: permission denied for foreign server closed/, "$method: options: without USAGE");
	like($open_with->('app', "'$base/secret', is_trusted => false"), qr/^42501: /, "$method: options: the user's rights");
	is($info->("consumer_open_with('words', 'tiles', io_mode => 'buffered')"), '1000003|buffered|f|other', "$method: options: a mode of its own");
	is(ask($node, "SELECT consumer_open_with('$tiles/missing', missing_ok => true) IS NULL, consumer_open_with('missing', 'tiles', missing_ok => true) IS NULL, consumer_open_with('words', 'tiles', missing_ok => true) IS NULL"),
		't|t|f', "$method: a file that may be missing");
	like($open_with->('app', "'$tiles/missing'"), qr/^58P01: /, "$method: a file that must not");
	like($open_with->('app', "'words', 'nowhere', missing_ok => true"), qr/^42704: /, "$method: missing_ok: an unknown directory");
	like($open_with->('app', "'../secret', 'tiles', missing_ok => true"), qr/^42501: /, "$method: missing_ok: out of a directory");
	like($open_with->('app', "'$tiles/fifo', missing_ok => true"), qr/^42809: /, "$method: missing_ok: a FIFO");
	from_end($node, "$method, $_", $_) foreach (io_modes());

	# Again and again, by errors and without: no descriptor stays open.
	is( ask($node, qq{
			DO \$\$ DECLARE f int; BEGIN
				FOR i IN 1 .. 300 LOOP
					PERFORM consumer_outcome('SELECT consumer_open(''$tiles/fifo'')');
					PERFORM consumer_outcome('SELECT consumer_open_in(''tiles'', ''../secret'')');
					PERFORM consumer_outcome('SELECT 1 / (consumer_open(''$words'', context => ''portal'') * 0)');
					f := consumer_open('$words');
					PERFORM consumer_close(f);
					PERFORM consumer_context('files');
					f := consumer_open_in('tiles', 'words', context => 'files');
					PERFORM consumer_context_delete('files');
				END LOOP;
			END \$\$;
			SELECT count(*) < 100 FROM pg_ls_dir('/proc/self/fd')}),
		't', "$method: descriptors are given back");
	rings_home($node, "$method, files");
	return;
}

# Right bytes in every order, buffer and window.
sub reads
{
	my ($node, $label, $mode) = @_;
	my $read = sub {
		my ($what, @args) = @_;
		is(ask($node, "SELECT read_all('$words', '$mode', " . join(', ', @args) . ')'), '319', "$label: $what");
	};

	$read->('as they complete', 'false', 0, 0, 0, "'release'");
	$read->('in order', 'true', 0, 0, 0, "'release'");
	$read->("the caller's buffers", 'false', 0, 0, 0, "'caller'");
	$read->("the caller's buffers, in order, gaps, narrow window", 'true', 100000, 65536, 0, "'caller'");
	$read->('never merged, narrow window, header', 'true', -1, 65536, 4, "'release'");
	$read->('buffers that are kept until the end', 'false', 0, 0, 100, "'keep'");

	# As long as can be, of a file that is short.
	is( value($node, 'f int; s int;', qq{
			f := consumer_open('$words', 'trusted', '$mode');
			s := consumer_begin();
			PERFORM consumer_add(s, f, 9223372036854775807, 1072693248, 1), consumer_add(s, f, 1000000, 1072693248, 2);
			r := (SELECT string_agg(cookie || ' ' || nbytes, ' ' ORDER BY cookie) FROM consumer_take_all(s));
			PERFORM consumer_end(s);}),
		'1 0 2 3', "$label: the longest reads there are");

	# Merged and split.
	is( value($node, 'f int; s int;', qq{
			f := consumer_open('$words', 'trusted', '$mode');
			s := consumer_begin(max_in_flight_bytes => 65536);
			PERFORM consumer_add(s, f, 0, 1000000);
			r := (SELECT data = pg_read_binary_file('$words', 0, 1000000) FROM consumer_take_all(s));
			r := r || (SELECT nreads > 10 AND nbytes >= 1000000 FROM consumer_stream_stats(s));
			PERFORM consumer_end(s);}),
		'truetrue', "$label: a long read is split");
	foreach my $gap (0, -1)
	{
		my $is_merged = $gap == 0 ? 'true' : 'false';
		is( value($node, 'f int; s int;', qq{
				f := consumer_open('$words', 'trusted', '$mode');
				s := consumer_begin(merge_gap => $gap);
				PERFORM consumer_add(s, f, 40000 + n * 100, 100) FROM generate_series(0, 15) AS n;
				r := (SELECT string_agg(data, '' ORDER BY file_offset) = pg_read_binary_file('$words', 40000, 1600) FROM consumer_take_all(s));
				r := r || (SELECT nreads < nadded FROM consumer_stream_stats(s));
				PERFORM consumer_end(s);}),
			"true$is_merged", "$label: neighbours with merge_gap $gap");
	}

	# Straight into the caller's buffers.
	is( value($node, 'f int; s int; b int; a int;', qq{
			f := consumer_open('$words', 'trusted', '$mode');
			a := (SELECT greatest(alignment, 512) FROM consumer_file_info(f));
			s := consumer_begin(is_aligned => true);
			b := consumer_buffer('transaction', 200 * a, 4096);
			FOR i IN 0 .. 99 LOOP
				PERFORM consumer_add(s, f, i * 7 * a, a, i, b, i * a);
			END LOOP;
			-- over the end of the file, and past it
			PERFORM consumer_add(s, f, 1000003 / a * a, a, 100, b, 100 * a);
			PERFORM consumer_add(s, f, (1000003 / a + 1) * a, a, 101, b, 101 * a);
			PERFORM consumer_add(s, f, 0, 50 * a, 102, b, 102 * a);
			r := (SELECT count(*) || ' ' || count(*) FILTER (WHERE data = pg_read_binary_file('$words', file_offset, t.length)
					AND data = consumer_buffer_data(b, cookie * a, nbytes))
				|| ' ' || max(nbytes) FILTER (WHERE cookie = 100) || ' ' || max(nbytes) FILTER (WHERE cookie = 101)
				FROM consumer_take_all(s, 'caller') AS t);
			-- nothing beyond the reads
			r := r || (SELECT consumer_buffer_data(b, 152 * a, 48 * a) = decode(repeat('5a', 48 * a), 'hex'));
			r := r || a;
			PERFORM consumer_end(s);}) =~ s/(\d+)$//r,
		'103 103 ' . 1000003 % alignment_of($node, $mode) . ' 0true', "$label: aligned");
	rings_home($node, $label);
	return;
}

sub alignment_of
{
	my ($node, $mode) = @_;
	return ask($node, "SELECT greatest(alignment, 512) FROM consumer_file_info(consumer_open('$words', 'trusted', '$mode'))");
}

sub misuses
{
	my ($node, $label, $mode) = @_;
	my @cases = map { [ $_, 'false' ] } @misuses;

	@cases = map { [ $_, 'true' ] } @misaligned if $mode eq 'direct';
	@cases = () if $mode eq 'uncached';
	foreach my $case (@cases)
	{
		my ($what, $statement, $expected) = @{ $case->[0] };
		$statement =~ s/'/''/g;
		my $outcome = ask($node, "SELECT misuse('$words', '$mode', $case->[1], '$statement')");
		like($outcome, $expected, "$label: $what");
		unlike($outcome, qr/BUT/, "$label: $what: nothing else comes of it");
	}
	rings_home($node, "$label, after misuse");
	reader_is_right($node, $words, "$label, after misuse");

	# What an alignment is needed for is in the message.
	if ($mode eq 'direct')
	{
		my $alignment = ask($node, "SELECT alignment FROM consumer_file_info(consumer_open('$words', 'trusted', 'direct'))");
		my $direct = outcome($node, qq{DO \$\$ DECLARE f int := consumer_open('$words', 'trusted', 'direct'); BEGIN
			PERFORM consumer_check_aligned(f, 4097, 4096, consumer_buffer('transaction', 4096, 4096)); END \$\$});
		like($direct, qr/4097.*\b$alignment\b|\b$alignment\b.*4097/, "$label: the message tells value and need");
	}
	return;
}

# Reads that fail.
sub failures
{
	my ($node, $method) = @_;
	my $faulty = $fs->path('faulty');

	$fs->sidecar('faulty', 'eio', '40960 45056');
	foreach my $mode (io_modes())
	{
		foreach my $in_order ('false', 'true')
		{
			foreach my $buffers ('release', 'caller')
			{
				my $buffer = $buffers eq 'caller' ? "consumer_buffer('transaction', 4096)" : '0';
				is( value($node, 'f int; s int;', qq{
						f := consumer_open('$faulty', 'trusted', '$mode');
						s := consumer_begin(in_order => $in_order);
						FOR i IN 0 .. 19 LOOP
							PERFORM consumer_add(s, f, i * 4096, 4096, i, $buffer);
						END LOOP;
						r := (SELECT string_agg(CASE WHEN nbytes = -1 AND errnum = 5 AND data IS NULL THEN 'failed'
								WHEN data = pg_read_binary_file('$words', file_offset, 4096) THEN 'right' ELSE 'wrong' END, ' ' ORDER BY cookie)
							FROM consumer_take_all(s, '$buffers'));
						PERFORM consumer_add(s, f, 41000, 8);
						PERFORM consumer_take(s);
						r := r || ' ' || consumer_outcome('SELECT consumer_raise_last()');
						PERFORM consumer_add(s, f, 8, 8);
						r := r || ' ' || (SELECT data FROM consumer_take(s)) || ' ' || consumer_raise_last();
						PERFORM consumer_end(s);}),
					join(' ', ('right') x 10, 'failed', ('right') x 9)
					  . qq{ 58030: could not read file "$faulty" at offset 41000, length 8: Input/output error \\x0000000000000008 no failure},
					"$method, $mode: a read that fails, in order: $in_order, $buffers");
			}
		}
	}
	$fs->clear('faulty', 'eio');
	rings_home($node, "$method, failures");
	reader_is_right($node, $faulty, "$method, failures");
	return;
}

# Several streams, several consumers.
sub streams
{
	my ($node, $method) = @_;
	my $offsets = sub { my ($step, $n) = @_; return "(SELECT array_agg(i * $step) FROM generate_series(0, $n) AS i)" };

	# Twenty streams on the one ring, in turns, each with its own bytes.
	is( value($node, 'f int; s int[]; x int; n int := 0;', qq{
			f := consumer_open('$words');
			FOR i IN 1 .. 20 LOOP
				s[i] := consumer_begin(in_order => i % 2 = 0, header_size => i);
				PERFORM consumer_add(s[i], f, i * 1000 + j * 24, 16, i * 100 + j) FROM generate_series(0, 29) AS j;
			END LOOP;
			WHILE n < 600 LOOP
				FOR i IN 1 .. 20 LOOP
					x := (SELECT count(*) FILTER (WHERE cookie / 100 = i AND file_offset = i * 1000 + cookie % 100 * 24
						AND data = pg_read_binary_file('$words', file_offset, 16)) FROM consumer_take(s[i], 1 + i % 7));
					n := n + x;
					r := r || CASE WHEN x = 0 AND consumer_outstanding(s[i]) > 0 THEN ' nothing from ' || i ELSE '' END;
				END LOOP;
			END LOOP;
			r := coalesce(r, '') || n || ' ' || (SELECT sum(nadded) = 600 AND sum(ntaken) = 600 AND sum(consumer_outstanding(i)) = 0
				FROM unnest(s) AS i, consumer_stream_stats(i));
			PERFORM consumer_end(i) FROM unnest(s) AS i;}),
		'600 true', "$method: many streams on one ring");

	# Streams of two pools; one is ended in the middle.
	is( value($node, 'f int; s int; o int;', qq{
			f := consumer_open('$words');
			s := consumer_begin();
			o := consumer_begin(pool => 'other');
			PERFORM consumer_add(i, f, j * 160, 8, j) FROM unnest(ARRAY[s, o]) AS i, generate_series(1, 1000) AS j;
			PERFORM consumer_submit(s);
			r := (SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM consumer_take(o, 10));
			PERFORM consumer_end(o);
			r := (r = '0') || ' ' || (SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM consumer_take_all(s));
			PERFORM consumer_end(s);}),
		'false 1000', "$method: streams of two pools");

	# Two set-returning functions in one list: a row of the one, a row of the
	# other; and a function of SQL in between.
	is( ask($node, qq{
			SELECT count(*), count(a), count(b), bool_and(a = pg_read_binary_file('$words', n * 24, 100)),
				bool_and(b = pg_read_binary_file('$words', n * 1111, 100)), bool_and(c = pg_read_binary_file('$words', n * 8, 8))
			FROM (SELECT consumer_blocks('$words', @{[ $offsets->(24, 499) ]}, 100) AS a,
					consumer_blocks('$words', @{[ $offsets->(1111, 299) ]}, 100, 4, 'direct') AS b,
					generate_series(0, 499) AS n,
					iopool_read('$words', generate_series(0, 499) * 8, 8) AS c) AS x}),
		'500|500|300|t|t|t', "$method: two consumers in one query");
	is( ask($node, qq{
			SELECT count(*), bool_and(a = b) FROM (
				SELECT consumer_blocks('$words', @{[ $offsets->(24, 999) ]}, 100) AS a,
					consumer_blocks('$words', @{[ $offsets->(24, 999) ]}, 100, 16, 'direct', 'other') AS b LIMIT 100) AS x}),
		'100|t', "$method: two consumers that are not asked for all, on two pools");
	like(outcome($node, qq{SELECT 1 / (length(a) - 100) FROM (SELECT consumer_blocks('$words', @{[ $offsets->(24, 999) ]}, 100) AS a,
			consumer_blocks('$words', @{[ $offsets->(48, 999) ]}, 100, 16, 'direct', 'other') AS b OFFSET 0) AS x}),
		qr/^22012/, "$method: an error while two consumers read");
	rings_home($node, "$method, consumers");

	# Nothing to do.
	is( value($node, 'f int; s int;', qq{
			s := consumer_begin_default();
			PERFORM consumer_submit(s);
			r := (SELECT count(*) FROM consumer_take(s)) || ' ' || (SELECT count(*) FROM consumer_take(s, 1, 0)) || ' '
				|| (SELECT count(*) FROM consumer_take(s, 1, 100)) || ' ' || consumer_cancel(s);
			f := consumer_open('$words');
			PERFORM consumer_add(s, f, 80, 8, n) FROM generate_series(1, 50) AS n;
			r := r || ' ' || consumer_cancel(s) || ' ' || consumer_outstanding(s);
			PERFORM consumer_add(s, f, 80, 8, 99);
			r := r || ' ' || (SELECT string_agg(cookie || ' ' || data, ' ') FROM consumer_take_all(s)) || (SELECT nadded || ' ' || ntaken FROM consumer_stream_stats(s));
			PERFORM consumer_end(s);}),
		'0 0 0 0 50 0 99 \x000000000000005051 51', "$method: a stream with nothing to do, and one that is cancelled");

	# A take that is interrupted takes nothing: an ERROR is all that its caller
	# gets.  Reads past the end of the file are there at once, the one that is
	# added last is not.
	foreach my $in_order ('false', 'true')
	{
		is( value($node, 'f int; s int; n int := 0;', qq{
				f := consumer_open('$words');
				s := consumer_begin(in_order => $in_order);
				PERFORM consumer_add(s, f, 2000000 + i, 8, i) FROM generate_series(1, 5) AS i;
				PERFORM consumer_submit(s);
				PERFORM consumer_add(s, f, 80, 8);
				FOR i IN 1 .. 3 LOOP
					BEGIN
						n := n + consumer_take_cancelled(s);
					EXCEPTION WHEN query_canceled THEN
						r := concat(r, 'cancelled ');
					END;
				END LOOP;
				r := concat(r, n + consumer_outstanding(s), ' ', n + (SELECT count(*) FROM consumer_take_all(s)));
				PERFORM consumer_end(s);}) =~ s/(cancelled )+//r,
			'6 6', "$method: an interrupted take loses nothing, in order: $in_order");
	}

	# Ready results come without waiting.
	is( value($node, 'f int; s int; n int := 0; t int;', qq{
			f := consumer_open('$words');
			s := consumer_begin();
			PERFORM consumer_add(s, f, 80 * i, 8, i) FROM generate_series(1, 500) AS i;
			WHILE n < 500 LOOP
				t := (SELECT count(*) FROM consumer_take(s, 10, 0));
				n := n + t;
			END LOOP;
			r := n || ' ' || consumer_outstanding(s);
			PERFORM consumer_end(s);}),
		'500 0', "$method: only what is there");

	# The pool.
	is( ask($node, q{
			SELECT bool_and((s.nrings, s.entries, s.method) = (p.rings, p.entries, p.method) AND s.nfree = 1 AND s.nin_use = 0
				AND s.nbroken = 0 AND s.nwaiting = 0 AND NOT s.has_lease AND s.in_flight = 0 AND s.checkouts = p.checkouts
				AND s.nreads = p.reads AND s.nbytes = p.bytes AND s.max_in_flight = p.max_in_flight AND s.waits = p.checkout_waits
				AND s.timeouts = p.checkout_timeouts), count(*)
			FROM iopool_pools AS p, consumer_pool_stats(p.name) AS s}),
		't|2', "$method: statistics of the pools");
	is( ask($node, q{SET iopool.pool = other; SELECT s.nreads = p.reads FROM iopool_pools AS p, consumer_pool_stats() AS s WHERE p.name = 'other'}),
		't', "$method: the pool of the session");
	return;
}

# Structs that are filled, of this header and of an older one.
sub sizes
{
	my ($node, $method) = @_;

	foreach my $size ('full', 'older')
	{
		is( ask($node, qq{
				SELECT consumer_fill_sized('file', consumer_open('$words'), '$size'), consumer_fill_sized('stream', s, '$size'),
					consumer_fill_sized('pool', 0, '$size'), consumer_end(s) FROM (SELECT consumer_begin() AS s OFFSET 0) AS x}),
			't|t|t|', "$method: structs of size $size are filled and no more");
	}
	foreach my $alignment (1, 8, 16, 512, 4096, 65536, 2097152)
	{
		is( value($node, 'b int;', qq{
				FOR i IN 1 .. 50 LOOP
					b := consumer_buffer('transaction', 1000 + i, $alignment);
					PERFORM consumer_buffer_free(b);
					b := consumer_buffer('transaction', i, $alignment);
				END LOOP;
				r := 'done';}),
			'done', "$method: memory at a multiple of $alignment");
	}
	return;
}

# The example of doc/c-api.md, as it stands there.
sub example
{
	my ($blocks) = code_blocks(slurp_file("$FindBin::RealBin/../../doc/c-api.md"));
	my $dir = "$base/example";
	my %files = map { $_->{file} => $_->{text} } grep { defined $_->{file} } @$blocks;

	is(join(' ', sort keys %files), 'Makefile tree_sum--1.0.sql tree_sum.c tree_sum.control', 'the files of the example');
	mkdir $dir or die;
	append_to_file("$dir/$_", $files{$_}) foreach (keys %files);
	my ($ok, $said) = build_extension($dir, 'COPT=-Wall -Wextra -Wno-unused-parameter -Wno-sign-compare');
	ok($ok, 'the example compiles') or diag($said);
	is($said, '', 'without a warning');

	# A tree of 2,000 nodes: those below node n are 3n + 1, 3n + 2 and 3n + 3.
	my $nnodes = 2000;
	my $tree = '';
	foreach my $n (0 .. $nnodes - 1)
	{
		my @children = map { $_ * 4096 } grep { $_ < $nnodes } (3 * $n + 1 .. 3 * $n + 3);
		$tree .= pack('q<q<q<510', $n * $n, scalar @children, @children, (0) x (510 - @children));
	}
	append_to_file("$base/tree", $tree);
	append_to_file("$base/circle", pack('q<q<q<510', 1, 1, 4096, (0) x 509) . pack('q<q<q<510', 1, 1, 0, (0) x 509));
	my $sum = 0;
	$sum += $_ * $_ foreach (0 .. $nnodes - 1);

	foreach my $method (test_methods())
	{
		my $node = iopool_node("example_$method", $method, 'iopool.rings' => 1);
		create_built($node, $dir, 'tree_sum');
		foreach my $mode (io_modes())
		{
			my $set = "SET iopool.io_mode = $mode;";
			is(ask($node, "$set SELECT tree_sum('$base/tree')"), $sum, "$method, $mode: the example adds up");
			is(ask($node, "$set SELECT tree_sum('$base/tree', 4096 * 1999)"), 1999 * 1999, "$method, $mode: a leaf");
			like(outcome($node, "$set SELECT tree_sum('$base/circle')"), qr/^XX001: the node at offset 4096 leads back/, "$method, $mode: a circle");
			like(outcome($node, "$set SELECT tree_sum('$base/tree', 4096 * 2000)"), qr/^XX001: no tree node at offset 8192000/, "$method, $mode: past the end");
		}
		cmp_ok(ask($node, q{SELECT max_in_flight FROM iopool_pools}), '>', 1, "$method: the example keeps a queue");
		like(outcome($node, "SELECT tree_sum('$base/missing')"), qr/^58P01/, "$method: a file that is not there");
		rings_home($node, "$method, example");
		$node->stop;
	}
	return;
}

# What a consumer was compiled with stays where it is: fields and constants of the
# headers of released versions, in this one.
sub headers
{
	my $top = "$FindBin::RealBin/../..";
	my @released = glob "$top/test/headers/*/extension/iopool/iopool_api.h";
	my $now = slurp_file("$top/src/iopool_api.h");

	ok(@released > 0, 'there are headers of released versions');
	foreach my $path (@released)
	{
		my ($version) = $path =~ m{headers/([^/]+)/};
		my $text = slurp_file($path);
		my $probe = probe_of($text);
		my $old = look_at_header($probe, $text, "old_$version");
		my $new = look_at_header($probe, $now, "new_$version");
		my $added = look_at_header(probe_of($now), $now, "added_$version");

		cmp_ok(scalar(keys %$old), '>=', 80, "the header of $version: fields and constants");
		is_deeply($new, $old, "the header of $version: all is as it was");
		my ($was, $is) = map { fields_of($_) } $text, $now;
		is_deeply({ map { $_ => $is->{$_} } keys %$was }, $was, "the header of $version: types are");

		# What is new comes behind the bytes that an old consumer has, also
		# behind those at the end that it need not have set.
		my $sizes = look_at_header(join("\n", map { qq{SHOW("$_", sizeof($_), 0);} } structs_of($text)), $text, "sizes_$version");
		my @within = grep { /^(\w+)[.]/ && !exists $old->{$_} && exists $sizes->{$1} && $added->{$_}[0] < $sizes->{$1}[0] } sort keys %$added;
		is("@within", '', "the header of $version: additions come at the end");
	}
	return;
}

# Name and body of each struct and enum of a header.
sub declarations_of
{
	my ($text, $kind) = @_;
	my @found;
	$text =~ s{/\*.*?\*/}{}gs;
	push @found, [ $1, $2 ] while $text =~ /typedef $kind (\w+)\s*\{(.*?)\n\} \1;/gs;
	return @found;
}

sub structs_of
{
	my ($text) = @_;
	return map { $_->[0] } declarations_of($text, 'struct');
}

# Name => declaration, of each field.
sub fields_of
{
	my ($text) = @_;
	my %fields;

	foreach (declarations_of($text, 'struct'))
	{
		my ($struct, $body) = @$_;
		foreach (split /;/, $body =~ s/\s+/ /gr)
		{
			my ($name) = /\(\*(\w+)\)/ ? $1 : /(\w+)\s*$/ ? $1 : next;
			$fields{"$struct.$name"} = $_;
		}
	}
	return \%fields;
}

# C that shows the place of each field, the value of each constant, and the size
# of what never grows.
sub probe_of
{
	my ($text) = @_;
	my @lines = ('SHOW("version", IOPOOL_API_VERSION, 0);');

	my $fields = fields_of($text);
	push @lines, map { /(\w+)[.](\w+)/; qq{SHOW("$_", offsetof($1, $2), sizeof((($1 *) 0)->$2));} } sort keys %$fields;
	push @lines, map { qq{SHOW("$_", sizeof($_), 0);} } grep { !exists $fields->{"$_.size"} } structs_of($text);
	foreach (declarations_of($text, 'enum'))
	{
		push @lines, map { /(\w+)/ ? qq{SHOW("$1", $1, 0);} : () } split /,/, $_->[1];
	}
	return join("\n", @lines);
}

# Name => [ the two numbers that a probe shows ], with a header.
sub look_at_header
{
	my ($probe, $header, $name) = @_;
	my $dir = "$base/$name";
	my $server = $ENV{IOPOOL_TEST_PG_CONFIG} // 'pg_config';

	chomp($server = `$server --includedir-server`);
	mkdir $dir or die;
	append_to_file("$dir/iopool_api.h", $header);
	append_to_file("$dir/probe.c", qq{
#include "postgres.h"
#include "iopool_api.h"
#undef printf
#define SHOW(name, a, b) printf("%s %zu %zu\\n", name, (size_t) (a), (size_t) (b))
int main(void)
\{
$probe
return 0;
\}
});
	system($ENV{CC} // 'cc', "-I$dir", "-I$server", '-o', "$dir/probe", "$dir/probe.c") == 0 or die 'the probe does not compile';
	return { map { my ($what, @numbers) = split / /; $what => \@numbers } split /\n/, `$dir/probe` };
}
