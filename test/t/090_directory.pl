# Directories as an administrator meets them: a role of its own, dump and
# restore, parts of the data directory, a server without preloading, a kernel
# without openat2, pools that went away, too many directories.

use strict;
use warnings;

use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my @methods = test_methods();
my $fs = IopoolTest::GateFS->new;
chomp(my $base = `cd @{[PostgreSQL::Test::Utils::tempdir()]} && pwd -P`);
my $tiles = "$base/tiles";
mkdir $tiles or die;
write_words("$tiles/words", 300_000);
write_words("$base/secret", 1000, 2**40);
{
	# The path of a socket is short, so go there.
	chomp(my $here = `pwd`);
	chdir $tiles or die;
	IO::Socket::UNIX->new(Local => 'socket', Listen => 1) or die "socket: $!";
	chdir $here or die;
}

my @reading = (
	'iopool_read(text, bigint, bigint)',
	'iopool_read_batch(text, bigint[], bigint[], text, boolean)',
	'iopool_read_batch(text[], bigint[], bigint[], text, boolean)',
	'iopool_read_array(text[], bigint[], bigint[], text)',
	'iopool_prefetch(text, bigint[], bigint[])');
my $grant = 'GRANT EXECUTE ON FUNCTION ' . join(', ', @reading) . ' TO app;';

sub create_directory
{
	my ($name, $path, $options) = @_;
	return "CREATE SERVER \"$name\" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$path'"
	  . ($options // '') . ");\n";
}

# SQLSTATE and message of the first error of a query, 'none' without one.
sub error_of
{
	my ($node, $query, $user) = @_;
	my $err = '';
	$node->psql('postgres', "\\set VERBOSITY verbose\n$query",
		stderr => \$err, on_error_stop => 0,
		timeout => $PostgreSQL::Test::Utils::timeout_default,
		extra_params => [ '-U', $user // $node->safe_psql('postgres', 'SELECT current_user') ]);
	return $err =~ /(?:ERROR|FATAL):  (.*)/ ? $1 : 'none';
}

sub hint_of
{
	my ($node, $query) = @_;
	my $err = '';
	$node->psql('postgres', $query, stderr => \$err);
	return $err =~ /HINT:  (.*)/ ? $1 : 'none';
}

# A role that connects by itself, with nothing but EXECUTE and USAGE.
foreach my $method (@methods)
{
	my $node = iopool_node("dir_$method", $method, 'iopool.rings' => 2,
		'iopool.pools' => 'one(rings=1, entries=4), two(rings=1, entries=4)',
		'iopool.checkout_timeout' => -1);
	$node->safe_psql('postgres', "CREATE ROLE app LOGIN; $grant"
		  . create_directory('tiles', $tiles)
		  . create_directory('held', dirname_of($fs->path('x')), ", pool 'two'")
		  . create_directory('first', $tiles, ", pool 'one'")
		  . 'GRANT USAGE ON FOREIGN SERVER tiles TO app');

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";
		my $read = sub {
			my ($path, $offset, $length) = @_;
			return "SET iopool.io_mode = $mode; SELECT iopool_read('$path', $offset, $length)";
		};
		my $app = [ '-U', 'app' ];

		is( $node->safe_psql('postgres', $read->('tiles:words', 1000, 100),
				extra_params => $app),
			'\x' . unpack('H*', words(1000, 100)), "$label: the role reads its directory");
		is( $node->safe_psql('postgres', qq{SET iopool.io_mode = $mode;
				SELECT count(*), bool_and(substr(data, 1, 8) = int8send(file_offset)) FROM iopool_read_batch('tiles:words',
					(SELECT array_agg(n * 80) FROM generate_series(1, 3000) AS n), ARRAY[50])},
				extra_params => $app),
			'3000|t', "$label: many ranges of it");
		like(error_of($node, $read->('tiles:../secret', 0, 8), 'app'),
			qr/^42501: path "tiles:\.\.\/secret" leads out/, "$label: and nothing beside it");
		like(error_of($node, $read->("$base/secret", 0, 8), 'app'),
			qr/^42501: permission denied to read file/, "$label: by its path neither");
		like(error_of($node, $read->('held:x', 0, 8), 'app'),
			qr/^42501: permission denied for foreign server held/, "$label: nor another directory");
		like(error_of($node, $read->('tiles:socket', 0, 8), 'app'),
			qr/^42809: "tiles:socket" is not a regular file/, "$label: a socket is refused");
		like(error_of($node, $read->("$tiles/socket", 0, 8)),
			qr/^42809: "\Q$tiles\E\/socket" is not a regular file/, "$label: by its path, too");
	}

	# Ranges of two pools: while those of one wait for the disk, the only ring of
	# the other is there for everybody.
	write_words($fs->backing($_), 100_000) foreach qw(gated free);
	$fs->gate('gated');
	my $session = start_sql($node, q{SET iopool.enable_stream_scan = off;
		SELECT ordinal, data = int8send(file_offset)
		FROM iopool_read_batch(ARRAY['first:words', 'held:gated', 'first:words', 'held:gated'],
			ARRAY[0, 8000, 16000, 24000], ARRAY[8, 8, 8, 8])});
	$fs->wait_blocked('gated', 1);
	is(ask($node, q{SET iopool.enable_stream_scan = off;
			SELECT count(*) FROM iopool_read_batch('first:words', ARRAY[0, 8000], ARRAY[8, 8])}),
		2, "$method: a ring is not kept by who waits for another pool's reads");
	is(ask($node, q{SELECT count(*) FROM iopool_rings WHERE pool = 'two' AND state <> 'free'}),
		1, "$method: whose ring is held");

	# A call whose first range is of a pool without a free ring waits for one,
	# with the results of another pool in hand, as a function and as a node.
	my @mixed = map { start_sql($node, qq{SET iopool.enable_stream_scan = $_;
		SELECT count(*) FILTER (WHERE data = int8send(file_offset))
		FROM iopool_read_batch(ARRAY['held:free'] || array_fill('first:words'::text, ARRAY[300]) || ARRAY['held:free'],
			(SELECT array_agg(n * 80) FROM generate_series(0, 301) AS n), array_fill(8, ARRAY[302]))}) } qw(on off);
	ok(ask_until($node, q{SELECT waiting = 2 FROM iopool_pools WHERE name = 'two'}), "$method: two wait for the other's ring");
	$fs->ungate('gated');
	my ($out, $err) = $session->finish;
	is($out, "1|t\n2|t\n3|t\n4|t", "$method: rows of two pools in order");
	foreach (@mixed)
	{
		($out, $err) = $_->finish;
		is("$out$err", 302, "$method: and get all rows");
	}

	# Errors of every kind, again and again, cost no descriptor.
	$session = start_sql($node, q{
		DO $$ BEGIN
			FOR i IN 1 .. 300 LOOP
				BEGIN
					PERFORM iopool_read('tiles:' || (ARRAY['missing', '../secret', 'socket'])[1 + i % 3], 0, 8);
				EXCEPTION WHEN OTHERS THEN END;
				BEGIN
					PERFORM iopool_read_batch(ARRAY['tiles:words', 'tiles:' || (ARRAY['missing', '../secret', 'socket'])[1 + i % 3]], ARRAY[0, 0], ARRAY[8, 8]);
				EXCEPTION WHEN OTHERS THEN END;
				BEGIN
					PERFORM iopool_prefetch('tiles:words', ARRAY[0], ARRAY[8]);
					PERFORM 1 / 0;
				EXCEPTION WHEN OTHERS THEN END;
			END LOOP;
		END $$;
		SELECT count(*) FROM pg_ls_dir('/proc/self/fd') AS fd;
		SELECT iopool_read('tiles:words', 8, 8);
		SELECT count(*) < 100 FROM pg_ls_dir('/proc/self/fd') AS fd;});
	($out, $err) = $session->finish;
	like($out, qr/^\d+\n\\x0000000000000008\nt$/, "$method: no descriptor is left behind") or diag($err);
	rings_home($node, $method);
	$node->stop;
}

# Parts of the data directory that lie elsewhere.
{
	mkdir "$base/moved" or die;
	my $node = PostgreSQL::Test::Cluster->new('parts');
	my $wal = "$base/moved/wal";
	$node->init(extra => [ '--waldir', $wal ]);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'iopool'\nmax_connections = 20\niopool.rings = 2\n");
	foreach my $place ('space/below', 'beside/below', 'logs')
	{
		system('mkdir', '-p', "$base/parts/$place") == 0 or die;
	}
	symlink "$base/parts/logs", $node->data_dir . '/log' or die;
	# What leads nowhere, or to a file, is in nobody's way.
	symlink 'nothing', $node->data_dir . '/dangling' or die;
	symlink 'around', $node->data_dir . '/around' or die;
	symlink "$tiles/words", $node->data_dir . '/to_file' or die;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION iopool');

	my $refused = qr/^22023: invalid value for option "path"/;
	foreach my $path ($wal, "$base/moved", "$wal/archive_status", "$base/parts/logs", $base)
	{
		like(error_of($node, create_directory('x', $path)), $refused,
			'refused: ' . substr($path, length($base)) . ', a part of the data directory');
	}
	# Before there is a tablespace, and then.
	$node->safe_psql('postgres', create_directory('beside', "$base/parts/beside")
		  . create_directory('space', "$base/parts/space")
		  . create_directory('below', "$base/parts/space/below")
		  . create_directory('allowed', "$base/parts/space", ", allow_data_directory 'on'"));
	append_to_file("$base/parts/$_/file", 'content') foreach ('beside', 'space', 'space/below');
	my $read = sub {
		my ($directory) = @_;
		return "SELECT iopool_read('$directory:file', 0, 3)";
	};
	is($node->safe_psql('postgres', $read->($_)), '\x636f6e', "before there is a tablespace: $_")
	  foreach ('beside', 'space', 'below');
	mkdir "$base/parts/space/below/tablespace" or die;
	$node->safe_psql('postgres', "CREATE TABLESPACE moved LOCATION '$base/parts/space/below/tablespace'");
	is($node->safe_psql('postgres', $read->($_)), '\x636f6e', "with a tablespace elsewhere or allowed: $_")
	  foreach ('beside', 'allowed');
	foreach my $directory ('space', 'below')
	{
		like(error_of($node, $read->($directory)),
			qr/^42501: directory of file "$directory:file" overlaps the data directory/,
			"with a tablespace in it: $directory");
		is( $node->safe_psql('postgres', "SELECT error FROM iopool_read_batch('$directory:file', ARRAY[0], ARRAY[3], 'report')"),
			"range 1: directory of file \"$directory:file\" overlaps the data directory", "reported: $directory");
	}
	like(hint_of($node, $read->('space')), qr/allow_data_directory/, 'the hint tells what to do');
	like(error_of($node, create_directory('x', "$base/parts/space/below/tablespace")), $refused, 'a tablespace');
	$node->safe_psql('postgres', 'DROP TABLESPACE moved');
	is($node->safe_psql('postgres', $read->('space')), '\x636f6e', 'after it is gone');

	like(error_of($node, create_directory('x', $node->data_dir . '/pg_tblspc', ", missing_ok 'on'")), $refused,
		'missing_ok does not make up for it');
	$node->stop;
}

# Random paths, against a model of what each of them names.
{
	my $node = iopool_node('paths', 'sync', 'iopool.rings' => 2);
	my $seed = $ENV{IOPOOL_TEST_SEED} // 20240;
	my %tree = (f => 1, a => { f => 1, a => { f => 1 } });
	my @tokens = ('/', '/', '/', '.', '..', 'f', 'a', 'a', 'x', ':', 'd:', 'd:', 'd:', 'e:', 'd', 'D:', '//');

	system('mkdir', '-p', "$base/d/a/a", "$base/e") == 0 or die;
	write_words("$base/d/$_", 64) foreach ('f', 'a/f', 'a/a/f');
	$node->safe_psql('postgres', "CREATE ROLE app LOGIN; $grant"
		  . create_directory('d', "$base/d") . create_directory('e', "$base/e") . q{
		GRANT USAGE ON FOREIGN SERVER d TO app;
		CREATE TABLE paths (id int, path text); GRANT SELECT ON paths TO app;
		CREATE FUNCTION outcome(path text) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN
			RETURN 'read ' || length(iopool_read(path, 0, 8));
		EXCEPTION WHEN OTHERS THEN
			RETURN SQLSTATE || ' ' || CASE WHEN SQLERRM ~ 'leads out' THEN 'out' WHEN SQLERRM ~ 'to read file' THEN 'plain'
				WHEN SQLERRM ~ 'foreign server' THEN 'server' WHEN SQLERRM ~ '^directory .* does not exist' THEN 'unknown' ELSE 'file' END;
		END $$});

	my $in_directory = sub {
		my ($path) = @_;
		my @above;
		my $here = \%tree;

		return '58P01 file' if $path eq '';
		return '42501 out' if substr($path, 0, 1) eq '/';
		while ($path ne '')
		{
			my ($name, $slashes) = $path =~ m{^([^/]*)(/*)};
			$path = substr($path, length($name) + length($slashes));
			if ($name eq '..')
			{
				return '42501 out' if !@above;
				$here = pop @above;
			}
			elsif ($name ne '.')
			{
				return '58P01 file' if !exists $here->{$name};
				push @above, $here;
				$here = $here->{$name};
			}
			next if ref $here;
			return $slashes eq '' ? 'read 8' : '42809 file';
		}
		return '42809 file';
	};
	my $model = sub {
		my ($path) = @_;
		my $colon = index($path, ':');
		my $slash = index($path, '/');

		return '42501 plain' if $colon < 0 || $slash >= 0 && $slash < $colon;
		my $name = substr($path, 0, $colon);
		return $in_directory->(substr($path, $colon + 1)) if $name eq 'd';
		return $name eq 'e' ? '42501 server' : '42704 unknown';
	};

	srand($seed);
	my @paths = map { join '', map { $tokens[ rand @tokens ] } 0 .. rand 8 } 1 .. 3000;
	$node->safe_psql('postgres', 'INSERT INTO paths VALUES ' . join ',', map { "($_, '$paths[$_]')" } 0 .. $#paths);
	my @outcomes = split /\n/, $node->safe_psql('postgres', 'SELECT outcome(path) FROM paths ORDER BY id', extra_params => [ '-U', 'app' ]);
	my @wrong = grep { $outcomes[$_] ne $model->($paths[$_]) } 0 .. $#paths;
	is(join("\n", map { "$paths[$_]: $outcomes[$_], not " . $model->($paths[$_]) } @wrong), '', "3000 random paths, seed $seed");
	my %kinds = map { $_ => 1 } @outcomes;
	is(join(', ', sort keys %kinds), '42501 out, 42501 plain, 42501 server, 42704 unknown, 42809 file, 58P01 file, read 8', 'of every kind');
	$node->stop;
}

# Dump and restore, into a server that does not preload iopool and back.
{
	my $node = iopool_node('dump', 'sync', 'iopool.rings' => 2, 'iopool.pools' => 'bulk(rings=1)');
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
	my $shown = q{SELECT s.srvname, (SELECT array_agg(o ORDER BY o) FROM unnest(s.srvoptions) AS o), s.srvacl, s.srvowner::regrole FROM pg_foreign_server AS s ORDER BY 1};

	$node->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE ROLE keeper; GRANT USAGE ON FOREIGN DATA WRAPPER iopool_directory TO keeper;'
		  . create_directory('Ti les', $tiles, ", pool 'bulk', io_mode 'direct'")
		  . create_directory('later', "$base/later", ", missing_ok 'on'")
		  . create_directory('data', $node->data_dir, ", allow_data_directory 'on'")
		  . 'GRANT USAGE ON FOREIGN SERVER "Ti les" TO app; ALTER SERVER later OWNER TO keeper');
	my $before = $node->safe_psql('postgres', $shown);
	like($before, qr/pool=bulk.*allow_data_directory=on.*missing_ok=on.*keeper/s, 'what is to be dumped');

	command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restore');
	is($node->safe_psql('restored', $shown), $before, 'the same after a round trip');
	is($node->safe_psql('restored', q{SELECT privilege_type FROM pg_foreign_data_wrapper, aclexplode(fdwacl)
			WHERE fdwname = 'iopool_directory' AND grantee = 'keeper'::regrole}), 'USAGE', 'and the grant on the wrapper');

	# Another directory of data: not that of this server, so it may be read.
	my $bare = PostgreSQL::Test::Cluster->new('bare');
	$bare->init;
	$bare->start;
	$bare->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE ROLE keeper;'
		  . "CREATE ROLE reader IN ROLE pg_read_server_files; CREATE DATABASE restored");
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $bare->connstr('restored'), '-f', $dump ],
		'restore without preloading');
	is($bare->safe_psql('restored', $shown) =~ s/\S+$//rm, $before =~ s/\S+$//rm, 'the same there');

	# Without preloading the validator stands alone, and lets nobody change
	# anything who may not set everything.
	$bare->safe_psql('postgres', 'CREATE EXTENSION iopool; GRANT USAGE ON FOREIGN DATA WRAPPER iopool_directory TO app, reader;'
		  . create_directory('tiles', $tiles));
	foreach my $role ('app', 'reader')
	{
		my $as = "SET ROLE $role;";
		my $denied = qr/^42501: permission denied to set option/;
		like(error_of($bare, $as . create_directory('x', $bare->data_dir, ", allow_data_directory 'on'")), $denied, "not preloaded, $role: the data directory");
		like(error_of($bare, $as . create_directory('x', "$base/missing")), $role eq 'app' ? $denied : qr/^22023:/, "not preloaded, $role: a missing path");
		like(error_of($bare, "BEGIN; $as" . create_directory('x', $tiles) . 'ROLLBACK'), $role eq 'app' ? $denied : qr/^none/, "not preloaded, $role: a path");
		like(error_of($bare, "BEGIN; ALTER SERVER tiles OWNER TO $role; $as ALTER SERVER tiles OPTIONS (ADD io_mode 'direct'); ROLLBACK"),
			$role eq 'app' ? $denied : qr/^none/, "not preloaded, $role: another option");
	}
	like(error_of($bare, create_directory('x', $bare->data_dir)), qr/^22023:/, 'not preloaded: the data directory without the option');
	like(error_of($bare, create_directory('x', $tiles, ", pool 'anything'")), qr/^none/, 'not preloaded: no pools to compare with');
	foreach my $query (q{SELECT iopool_read('tiles:words', 0, 8)}, 'SELECT * FROM iopool_directories')
	{
		like(error_of($bare, $query), qr/^55000:/, "not preloaded: $query");
	}
	$bare->stop;

	# The pool of a directory goes away with the configuration.
	is($node->safe_psql('postgres', q{DROP SERVER "Ti les";} . create_directory('tiles', $tiles, ", pool 'bulk'")
			. q{SELECT length(iopool_read('tiles:words', 0, 8))}), 8, 'a pool of its own');
	$node->append_conf('postgresql.conf', "iopool.pools = ''");
	$node->restart;
	foreach my $query (q{SELECT iopool_read('tiles:words', 0, 8)}, q{SELECT iopool_prefetch('tiles:words', ARRAY[0], ARRAY[8])},
		q{SELECT * FROM iopool_read_batch('tiles:words', ARRAY[0], ARRAY[8], 'report')})
	{
		like(error_of($node, $query), qr/^42704: pool "bulk" of directory "tiles" does not exist/, "without the pool: $query");
	}
	is($node->safe_psql('postgres', q{SELECT name, pool, may_read FROM iopool_directories WHERE name = 'tiles'}), 'tiles|bulk|t', 'the view shows it');
	my $doctor = q{SELECT status, detail FROM iopool_check() WHERE check_name = 'directory_tiles'};
	is($node->safe_psql('postgres', $doctor), 'fail|pool "bulk" does not exist', 'the doctor says so');
	rename $tiles, "$tiles.away" or die "could not rename \"$tiles\": $!";
	is($node->safe_psql('postgres', $doctor), 'fail|pool "bulk" does not exist', 'also where the path is missing');
	rename "$tiles.away", $tiles or die "could not rename \"$tiles\" back: $!";
	like(error_of($node, q{ALTER SERVER tiles OPTIONS (ADD io_mode 'direct')}), qr/^22023: invalid value for option "pool": "bulk"/, 'it cannot be kept in a change');
	is($node->safe_psql('postgres', q{ALTER SERVER tiles OPTIONS (DROP pool); SELECT length(iopool_read('tiles:words', 0, 8))}), 8, 'and can be dropped');
	$node->stop;
}

# More directories in a call than descriptors.
{
	my $node = iopool_node('many', 'sync', 'max_files_per_process' => 128, 'iopool.rings' => 2);
	my $ndirs = 120;
	foreach my $n (1 .. $ndirs)
	{
		mkdir "$base/many$n" or die;
		write_words("$base/many$n/$_", 64, $n * 65536 + $_ * 1024) foreach (1 .. 20);
	}
	$node->safe_psql('postgres', join '', map { create_directory("many$_", "$base/many$_") } 1 .. $ndirs);
	my $query = sub {
		my ($first, $last) = @_;
		return qq{
			SELECT count(*) FILTER (WHERE b.data = int8send(w.n * 65536 + w.f * 1024)), count(error), count(*), count(DISTINCT substr(error, strpos(error, '": ') + 3))
			FROM (SELECT array_agg('many' || n || ':' || f ORDER BY f, n) AS p, array_agg(0 ORDER BY f, n) AS o, array_agg(8 ORDER BY f, n) AS l
				  FROM generate_series($first, $last) AS n, generate_series(1, 20) AS f) AS a,
				LATERAL iopool_read_batch(p, o, l, 'report') AS b
				JOIN (SELECT row_number() OVER (ORDER BY f, n) AS ordinal, n, f
					  FROM generate_series($first, $last) AS n, generate_series(1, 20) AS f) AS w USING (ordinal)};
	};
	is($node->safe_psql('postgres', $query->(1, 20)), '400|0|400|0', 'files are closed for more of them, in many directories');
	is($node->safe_psql('postgres', $query->(1, $ndirs)), '2400|0|2400|0', 'directories are closed for more of them');
	is($node->safe_psql('postgres', q{SELECT count(*), bool_and(x.data = int8send(n * 65536 + 1024)) FROM generate_series(1, 120) AS n, iopool_read('many' || n || ':1', 0, 8) AS x(data)}),
		'120|t', 'in a node, too');
	like($node->safe_psql('postgres', q{
			BEGIN;
			DO $$ DECLARE c refcursor; d bytea; BEGIN
				FOR n IN 1 .. 120 LOOP
					c := 'c' || n;
					OPEN c FOR EXECUTE format('SELECT f.data FROM generate_series(1, 20) AS i, iopool_read(%L || i, 0, 8) AS f(data)', 'many' || n || ':');
					FETCH c INTO d;
				END LOOP; END $$;
			SELECT count(*) FROM pg_cursors WHERE name LIKE 'c%';
			MOVE ALL IN c1;
			FETCH ALL FROM c120;
			COMMIT}),
		qr/^120\n(\\x[0-9a-f]{16}\n?){19}$/, 'and in cursors');
	my $calls = join ";\n", map { $query->($_, $_ + 19) } (1, 21, 41, 61, 81, 101);
	is($node->safe_psql('postgres', "$calls;\n$calls"), join("\n", ('400|0|400|0') x 12), 'directories are closed with their call');
	$node->stop;
}

# A kernel without openat2, and one that hides it.
foreach my $error (qw(ENOSYS EPERM))
{
	my $node = iopool_node("no_openat2_$error", undef, no_start => 1, 'iopool.rings' => 2);
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION iopool;' . create_directory('tiles', $tiles));
	is($node->safe_psql('postgres', q{SELECT length(iopool_read('tiles:words', 0, 8))}), 8, "before $error");
	$node->stop;
	ok(start_under($node, helper_program('norings'), "$error:openat2"), "$error: the server starts");
	foreach my $query (q{SELECT iopool_read('tiles:words', 0, 8)}, q{SELECT * FROM iopool_read_batch('tiles:words', ARRAY[0], ARRAY[8])},
		create_directory('x', $tiles))
	{
		like(error_of($node, $query), qr/^0A000: (range 1: )?could not confine file/, "$error: $query");
		like(hint_of($node, $query), qr/openat2/, "$error: the hint names it");
	}
	is($node->safe_psql('postgres', qq{SELECT length(iopool_read('$tiles/words', 0, 8))}), 8, "$error: plain paths are read");
	ok(stop_plain($node), "$error: the server stops");
}

done_testing();

sub dirname_of
{
	my ($path) = @_;
	return $path =~ s{/[^/]*$}{}r;
}
