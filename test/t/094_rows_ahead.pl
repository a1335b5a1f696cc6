# Rows that a node takes ahead change nothing about who reads what: not the user
# that the session is, when a function in an argument fails; not what may be read
# after a right is gone; not whose rights count for a row that is handed out.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

chomp(my $base = `cd @{[PostgreSQL::Test::Utils::tempdir()]} && pwd -P`);
foreach my $dir (qw(tiles secret))
{
	mkdir "$base/$dir" or die;
	write_words("$base/$dir/$_", 8192) foreach qw(f1 f2);
}

# What a script says, or its error, as a role.
sub as_app
{
	my ($node, $script) = @_;
	my ($out, $err) = start_sql($node, "SET SESSION AUTHORIZATION app;\n$script")->finish;
	my @errors = $err =~ /ERROR:  ([0-9A-Z]{5})/g;
	return join(' ', grep { $_ ne '' } split(/\s+/, $out), @errors);
}

# Arguments of which the 60th row fails in a function of another user's, which is
# hidden where no function is to be seen.
my $hidden = q{(jsonb_populate_record(NULL::hiding, jsonb_build_object('a', CASE WHEN i > 60 THEN 'x' ELSE '1' END))).a::text};
my %arguments = (
	'a domain in a row' => "'tiles:f' || $hidden",
	'input of a row' => q{'tiles:f' || (('(' || CASE WHEN i > 60 THEN 'x' ELSE '1' END || ')')::hiding).a::text},
	'a function' => q{'tiles:f' || of_another(CASE WHEN i > 60 THEN 'x' ELSE '1' END)},
	'a query as XML' => q{'tiles:f' || CASE WHEN i > 60 THEN length(table_to_xml('failing'::regclass, true, false, '')::text) ELSE 1 END},
);
my %shapes = (
	'select list' => 'SELECT count(*) FROM (SELECT iopool_read(%s, 0, 8) FROM generate_series(1, 200) AS i LIMIT 59) AS x',
	LATERAL => 'SELECT count(*) FROM (SELECT d FROM generate_series(1, 200) AS i, iopool_read(%s, 0, 8) AS d LIMIT 59) AS x',
	'LATERAL batch' => 'SELECT count(*) FROM (SELECT b.data FROM generate_series(1, 200) AS i, iopool_read_batch(%s, ARRAY[0], ARRAY[8]) AS b LIMIT 59) AS x',
);

foreach my $method (test_methods())
{
	my $node = iopool_node("ahead_$method", $method);
	ask($node, qq{
		CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$base/tiles');
		CREATE SERVER secret FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$base/secret');
		CREATE ROLE app; CREATE ROLE definer;
		GRANT CREATE ON SCHEMA public TO app;
		GRANT USAGE ON FOREIGN SERVER tiles TO app, definer;
		GRANT USAGE ON FOREIGN SERVER secret TO definer;
		GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint), iopool_read_batch(text, bigint[], bigint[], text, boolean) TO app, definer;
		CREATE FUNCTION of_another(t text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN t::int; END';
		CREATE FUNCTION change(what text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN EXECUTE what; RETURN NULL; END';
		SET ROLE app;
		CREATE FUNCTION checks(t text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN of_another(t) >= 0; END';
		CREATE DOMAIN checked AS text CHECK (checks(value));
		CREATE TYPE hiding AS (a checked);
		CREATE VIEW failing AS SELECT of_another('x');
		CREATE TABLE wanted AS SELECT i, 'secret:f' || 1 + i % 2 AS path FROM generate_series(1, 400) AS i;
		GRANT SELECT ON wanted TO definer;
		RESET ROLE;
		CREATE FUNCTION opened(c refcursor) RETURNS refcursor LANGUAGE plpgsql SECURITY DEFINER AS \$\$
		DECLARE
			r record;
		BEGIN
			OPEN c NO SCROLL FOR SELECT i, iopool_read(path, 0, 8) FROM public.wanted;
			FOR k IN 1 .. 10 LOOP FETCH c INTO r; END LOOP;
			RETURN c;
		END \$\$;
		ALTER FUNCTION opened OWNER TO definer;});

	# A failure is raised, or the row is never asked for; nothing else remains.
	foreach my $argument (sort keys %arguments)
	{
		foreach my $shape (sort keys %shapes)
		{
			my $query = sprintf($shapes{$shape}, $arguments{$argument});
			my $who = 'SELECT current_user, current_setting(\'search_path\')';
			my $same = qr/app\|"\$user", public/;
			like( as_app($node, "SET iopool.io_mode = direct;\nBEGIN;\n$query;\n$who;\nROLLBACK;\n$who;"),
				qr/^(?:59 $same $same|$same 22P02 25P02)$/,
				"$method, $shape, $argument: the session is who it was");
		}
	}

	# Names that a query comes to after a right is gone.
	foreach my $shape ('SELECT iopool_read(current_setting(\'x.p\'), 0, 8) FROM generate_series(1, 1000)',
		'SELECT d FROM generate_series(1, 1000) AS i, iopool_read(current_setting(\'x.p\' || left(i::text, 0)), 0, 8) AS d')
	{
		foreach my $mode (qw(buffered direct))
		{
			ask($node, 'GRANT USAGE ON FOREIGN SERVER tiles TO app');
			is( as_app($node, qq{
					SET iopool.io_mode = $mode; SET x.p = 'tiles:f1';
					BEGIN; DECLARE c NO SCROLL CURSOR FOR $shape;
					FETCH 1 FROM c;
					SELECT change('REVOKE USAGE ON FOREIGN SERVER tiles FROM app');
					SET LOCAL x.p = 'tiles:f2';
					MOVE 600 FROM c;}),
				'\x0000000000000000 42501', "$method, $mode: a file that is named after a REVOKE");
		}
	}
	ask($node, 'GRANT USAGE ON FOREIGN SERVER tiles TO app');

	# A cursor of a function's owner, handed to its caller.
	foreach my $mode (qw(buffered direct))
	{
		is(as_app($node, "SET iopool.io_mode = $mode;\nBEGIN;\nSELECT opened('c');\nFETCH 1 FROM c;"),
			'c 42501', "$method, $mode: rows of a definer's cursor are not the caller's");
	}
	rings_home($node, $method);
	unlike(log_since($node, 0), qr/PANIC|TRAP|leak|non-empty SPI stack|still referenced/, "$method: nothing odd in the log");
	$node->stop;
}

done_testing();
