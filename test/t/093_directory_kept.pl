# Single reads below a directory are quick because they keep what they have
# found: rights, the check of the directory, the open file.  Whatever changes
# takes effect from the next statement on all the same, also from one statement
# of a PL/pgSQL function to the next, which uses the same expression again.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

chomp(my $base = `cd @{[PostgreSQL::Test::Utils::tempdir()]} && pwd -P`);
my $ncases = 0;

# What a read of a file at offset 8 gives: its base and 8.  Files of a case:
my %bases = (f => 100_000, 'a/f' => 200_000, 'a/g' => 300_000);
# and those of another directory, whose files have the same names
my $other = 1_000_000;

my $functions = q{
CREATE ROLE app LOGIN;
CREATE ROLE usage;
CREATE ROLE nobody;
GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO app, nobody;

-- A statement, or a command of the shell, with all rights.
CREATE FUNCTION change(what text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF what LIKE '$ %' THEN
		EXECUTE format('COPY (SELECT) TO PROGRAM %L', 'cat >/dev/null; ' || substr(what, 3));
	ELSE
		EXECUTE what;
	END IF;
	RETURN '';
END $$;

CREATE FUNCTION word(data bytea) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
	SELECT ('x' || encode(data, 'hex'))::bit(64)::bigint $$;

-- One expression reads paths in turn, and something changes before the last.
CREATE FUNCTION reads(paths text[], what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	data bytea;
	seen text := '';
BEGIN
	FOR i IN 1 .. cardinality(paths) LOOP
		IF i = cardinality(paths) AND what LIKE 'SET ROLE %' THEN
			EXECUTE what;
		ELSIF i = cardinality(paths) THEN
			PERFORM change(what);
		END IF;
		BEGIN
			data := iopool_read(paths[i], 8, 8);
			seen := seen || ' ' || word(data);
		EXCEPTION WHEN OTHERS THEN
			seen := seen || ' ' || SQLSTATE;
		END;
	END LOOP;
	RETURN substr(seen, 2);
END $$;

-- The same as rows of one query.
CREATE FUNCTION rows(path text, what text) RETURNS text LANGUAGE plpgsql SET iopool.enable_stream_scan = off AS $$
DECLARE
	seen text := '';
	r record;
BEGIN
	FOR r IN SELECT word(iopool_read(path, 8, 8)) AS w, CASE WHEN i = 2 THEN change(what) END FROM generate_series(1, 3) AS i LOOP
		seen := seen || ' ' || r.w;
	END LOOP;
	RETURN substr(seen, 2);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
};

# A directory of its own for a case, two levels below one that can be replaced.
sub make_case
{
	my ($node) = @_;
	my $number = ++$ncases;
	my $top = "$base/case$number";

	foreach my $place ([ "$top/up/tiles", 0 ], [ "$top/other", $other ], [ "$top/there/tiles", $other ])
	{
		my ($path, $more) = @$place;
		system('mkdir', '-p', "$path/a") == 0 or die;
		write_words("$path/$_", 64, $bases{$_} + $more) foreach (keys %bases);
	}
	$node->safe_psql('postgres',
		"CREATE SERVER c$number FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$top/up/tiles');"
		  . "GRANT USAGE ON FOREIGN SERVER c$number TO usage; SET client_min_messages = error; GRANT usage TO app");
	return ("c$number", $top);
}

# What changes, the word that is read then or the SQLSTATE, and the one in the
# query that has read already; "same" is what was read before.
my @cases = (
	[ 'USAGE is revoked', 'REVOKE USAGE ON FOREIGN SERVER NAME FROM usage', '42501', '42501' ],
	[ 'a membership is revoked', 'REVOKE usage FROM app', '42501', '42501' ],
	[ 'the server is dropped', 'DROP SERVER NAME', '42704', '42704' ],
	[ 'the server is renamed', 'ALTER SERVER NAME RENAME TO NAME_old', '42704', '42704' ],
	[ 'the server has another path', q{ALTER SERVER NAME OPTIONS (SET path 'TOP/other')}, 'other', 'other' ],
	[ 'the server has another mode', q{ALTER SERVER NAME OPTIONS (ADD io_mode 'uncached')}, 'same', 'same' ],
	[ 'the pool of the server is not there', 'CALL break_pool(\'NAME\')', '42704', '42704' ],
	[ 'another function is made', 'CREATE FUNCTION f_NAME() RETURNS int LANGUAGE sql AS $$SELECT 1$$', 'same', 'same' ],
	[ 'the directory is replaced', '$ mv TOP/up/tiles TOP/old && mv TOP/other TOP/up/tiles', 'other', 'same' ],
	[ 'a directory above it is replaced', '$ mv TOP/up TOP/old && mv TOP/there TOP/up', 'other', 'same' ],
	[ 'the directory is gone', '$ mv TOP/up/tiles TOP/old', '58P01', 'same' ],
	[ 'a link is in its place', '$ mv TOP/up/tiles TOP/old && ln -s ../other TOP/up/tiles', '58P01', 'same' ],
	[ 'a link to itself is in its place', '$ mv TOP/up/tiles TOP/old && ln -s ../old TOP/up/tiles', '58P01', 'same' ],
	[ 'a link above it leads to itself', '$ mv TOP/up TOP/old && ln -s old TOP/up', '58P01', 'same' ],
	[ 'the file is replaced', '$ mv TOP/other/FILE TOP/up/tiles/FILE', 'other', 'same' ],
	[ 'the file is removed', '$ rm TOP/up/tiles/FILE', '58P01', 'same' ],
	[ 'the file has moved out, and a link leads to it', '$ mv TOP/up/tiles/FILE TOP/out && ln -s TOP/out TOP/up/tiles/FILE', '42501', 'same' ],
	[ 'a relative link leads out to it', '$ mv TOP/up/tiles/f TOP/up/out && rm -r TOP/up/tiles/a && mkdir TOP/up/tiles/a && ln -s ../../out TOP/up/tiles/a/f && ln -s ../out TOP/up/tiles/f', '42501', 'same', 'f' ],
	[ 'its directory has moved out, and a link leads to that', '$ mv TOP/up/tiles/a TOP/out && ln -s TOP/out TOP/up/tiles/a', '42501', 'same', 'a/f' ],
	[ 'it has moved inside, and a link leads to it', '$ mv TOP/up/tiles/FILE TOP/up/tiles/moved && ln -s $(realpath --relative-to $(dirname TOP/up/tiles/FILE) TOP/up/tiles/moved) TOP/up/tiles/FILE', 'same', 'same' ],
	[ 'a directory is in its place', '$ rm TOP/up/tiles/FILE && mkdir TOP/up/tiles/FILE', '42809', 'same' ],
	[ 'a FIFO is in its place', '$ rm TOP/up/tiles/FILE && mkfifo TOP/up/tiles/FILE', '42809', 'same' ]);

foreach my $method (test_methods())
{
	my $node = iopool_node("kept_$method", $method, 'iopool.rings' => 2);
	my $app = [ '-U', 'app' ];

	$node->safe_psql('postgres', $functions . q{
		-- what only a wrapper without validator takes
		CREATE PROCEDURE break_pool(name text) LANGUAGE plpgsql AS $$ BEGIN
			UPDATE pg_foreign_server SET srvoptions = srvoptions || ARRAY['pool=nowhere'] WHERE srvname = name;
		END $$});

	foreach my $case (@cases)
	{
		my ($what, $how, $then, $in_query, $only) = @$case;

		foreach my $file ($only // ('f', 'a/f'))
		{
			foreach my $way ('same path', 'other paths', 'rows')
			{
				my ($name, $top) = make_case($node);
				my $word = $bases{$file} + 8;
				my $change = $how =~ s/(?<![A-Z])NAME/$name/gr =~ s/TOP/$top/gr =~ s/FILE/$file/gr;
				my $paths = join ',', map { "'$name:$_'" } ($way eq 'same path' ? ($file) x 3 : ($file, 'a/g', $file));
				my $query = $way eq 'rows' ? "rows('$name:$file'" : "reads(ARRAY[$paths]";
				my $expected = $way eq 'rows' ? $in_query : $then;

				$expected =~ s/same/$word/;
				$expected =~ s/other/$word + $other/e;
				if ($way eq 'rows')
				{
					$expected = "$word $word $expected" unless length $expected == 5;
				}
				else
				{
					$expected = join(' ', $word, $way eq 'same path' ? $word : $bases{'a/g'} + 8) . " (?:$expected)";
				}
				like( $node->safe_psql('postgres', "SELECT $query, \$change\$$change\$change\$)", extra_params => $app),
					qr/^$expected$/, "$method, $way, $file: $what");
			}
		}
	}
	between_statements($node, $method);
	as_other_roles($node, $method);
	rings_home($node, $method);
	$node->stop;
}

done_testing();

# Statements of one transaction, in a session that is told nothing.
sub between_statements
{
	my ($node, $method) = @_;
	my ($name, $top) = make_case($node);
	my $tiles = "$top/up/tiles";
	my $links = $node->data_dir;

	# Younger directories are looked at each time, see directory_check.c.
	poll_until(sub { time - (stat $links)[10] > 5 && time - (stat "$links/pg_tblspc")[10] > 5 });
	my $session = $node->background_psql('postgres', on_error_stop => 0, timeout => $PostgreSQL::Test::Utils::timeout_default);
	my $reads = "SELECT reads(ARRAY['$name:f', '$name:f'], 'SELECT 1')";
	my $read = "SELECT word(iopool_read('$name:f', 8, 8))";
	my $both = sub {
		my ($expected, $label) = @_;
		$session->query('SAVEPOINT s');
		is($session->query($reads), "$expected $expected", "$method, between statements: $label, a function");
		is($session->query($read) // '', $expected =~ /^\w{5}$/ ? '' : $expected, "$method, between statements: $label, a query");
		$session->query('ROLLBACK TO s; RELEASE s');
	};
	my $word = $bases{f} + 8;

	$session->query('BEGIN');
	$both->($word, 'at first') foreach (1 .. 2);
	symlink $tiles, "$links/part" or die;
	$both->('42501', 'a part of the data directory');
	unlink "$links/part" or die;
	$both->($word, 'no longer');

	mkdir "$tiles/space" or die;
	$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$tiles/space'");
	$both->('42501', 'a tablespace');
	$node->safe_psql('postgres', 'DROP TABLESPACE space');
	$both->($word, 'it is dropped');

	rename $tiles, "$top/old" or die;
	$both->('58P01', 'gone');
	rename "$top/other", $tiles or die;
	$both->($word + $other, 'another directory');
	$node->safe_psql('postgres', "ALTER SERVER $name OPTIONS (SET path '$top/old')");
	$both->($word, 'another path');
	$node->safe_psql('postgres', "DROP SERVER $name");
	$session->query('SAVEPOINT s');
	like($session->query($reads), qr/^(?:58P01|42601|42704) /, "$method, between statements: no directory");
	$session->query('ROLLBACK');
	$session->quit;
	return;
}

# One session, one expression, another role.
sub as_other_roles
{
	my ($node, $method) = @_;
	my ($name) = make_case($node);
	my $word = $bases{f} + 8;

	is($node->safe_psql('postgres', "SET ROLE app; SELECT reads(ARRAY['$name:f', '$name:f', '$name:f'], 'SET ROLE nobody')"),
		"$word $word 42501", "$method: SET ROLE");
	is($node->safe_psql('postgres', "SET ROLE nobody; SELECT reads(ARRAY['$name:f', '$name:f', '$name:f'], 'SET ROLE app')"),
		"42501 42501 $word", "$method: SET ROLE, the other way");

	# A member of pg_read_server_files until he is none.
	$node->safe_psql('postgres', 'GRANT pg_read_server_files TO app');
	my $plain = "$base/case$ncases/up/tiles/f";
	is($node->safe_psql('postgres', "SELECT reads(ARRAY['$plain', '$plain', '$plain'], 'REVOKE pg_read_server_files FROM app')", extra_params => [ '-U', 'app' ]),
		"$word $word 42501", "$method: a plain path");
	return;
}
