# Runs the isolation specs, once per method, on a server that sees a gatefs.
#
# pg_isolation_regress alone would not do: a ring is held in a known state only
# while reads are stuck in the kernel, and gatefs is what makes them stick.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $isolation_dir = dirname(abs_path($0)) . '/../isolation';
my @specs = map { basename($_, '.spec') } sort glob("$isolation_dir/specs/*.spec");
ok(@specs > 0, 'there are isolation specs');

my $fs = IopoolTest::GateFS->new;
write_words($fs->backing($_), 300_000) foreach (qw(a b c d plain));

# What the specs call.  cancel() and terminate() find a session by the name
# that isolationtester gives its connections.
#
# isolationtester asks the server whether a step that has not ended is blocked,
# and waits for its end if it is not.  It knows locks only; here, a session is
# blocked as well when it waits for a ring, or when its statement names a file
# whose reads the gate holds.  A session that merely happens to be seen reading
# is not.
my $functions = q{
CREATE FUNCTION path_of(name text) RETURNS text LANGUAGE sql AS
	$$SELECT current_setting('gatefs.mount') || '/' || name$$;
CREATE FUNCTION shell(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('COPY (SELECT 1 WHERE false) TO PROGRAM %L', 'exec ' || command);
END $$;
-- of one file, or of several whose names are in an array
CREATE FUNCTION gates(VARIADIC names text[]) RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(' ' || current_setting('gatefs.backing') || '/' || name || '.gate', '') FROM unnest(names) AS name$$;
CREATE FUNCTION shut(VARIADIC names text[]) RETURNS void LANGUAGE sql AS
	$$SELECT shell('touch' || gates(VARIADIC names))$$;
CREATE FUNCTION unshut(VARIADIC names text[]) RETURNS void LANGUAGE sql AS
	$$SELECT shell('rm -f' || gates(VARIADIC names))$$;
CREATE FUNCTION held(name text) RETURNS int LANGUAGE sql VOLATILE AS
	$$SELECT pg_read_file(path_of(name) || '.blocked')::int$$;
CREATE FUNCTION is_blocked_by_lock(pid int, interesting_pids int[]) RETURNS bool
	LANGUAGE internal STRICT VOLATILE AS 'pg_isolation_test_session_is_blocked';
CREATE FUNCTION is_blocked(pid int, interesting_pids int[]) RETURNS bool LANGUAGE sql VOLATILE AS $$
	SELECT is_blocked_by_lock($1, $2) OR EXISTS (
		SELECT FROM pg_stat_activity AS a
		WHERE a.pid = $1 AND a.state = 'active' AND a.wait_event_type = 'Extension'
			AND ((SELECT sum(waiting) > 0 FROM iopool_pools)
					AND NOT EXISTS (SELECT FROM iopool_rings AS r WHERE r.pid = $1)
				OR EXISTS (SELECT FROM regexp_matches(a.query, $r$'([abcd])'$r$, 'g') AS name
						   WHERE held(name[1]) > 0)))$$;
-- fmgr calls a built-in function by its oid, whatever pg_proc says; it is the
-- planner that reads pg_proc, and inlines this
CREATE OR REPLACE FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(int, int[]) RETURNS bool
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT AS 'SELECT public.is_blocked($1, $2)';
CREATE FUNCTION wait_held(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE held(name) = 0 LOOP
		PERFORM pg_sleep(0.005);
	END LOOP;
END $$;
CREATE FUNCTION wait_waiting(pool text, number int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE (SELECT waiting <> number FROM iopool_pools WHERE name = pool) LOOP
		PERFORM pg_sleep(0.005);
	END LOOP;
END $$;
-- the time that a waiter must have stood, not a guess at how long things take
CREATE FUNCTION wait_any_ms(pool text, ms int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	WHILE clock_timestamp() - start < ms * interval '1 millisecond' LOOP
		PERFORM pg_sleep(0.005);
		IF (SELECT waiting <> 1 FROM iopool_pools WHERE name = pool) THEN
			RAISE EXCEPTION 'the waiter gave up';
		END IF;
	END LOOP;
END $$;
CREATE FUNCTION cancel(session text) RETURNS bool LANGUAGE sql AS
	$$SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	  WHERE application_name LIKE 'isolation/%/' || session$$;
CREATE FUNCTION terminate(session text) RETURNS bool LANGUAGE sql AS
	$$SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	  WHERE application_name LIKE 'isolation/%/' || session$$;
CREATE FUNCTION read_words(name text) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FILTER (WHERE data = int8send(file_offset)) || ' of ' || count(*) || ' right'
	FROM iopool_read_batch(path_of(name), ARRAY[0, 100000, 200000], ARRAY[8])$$;
CREATE FUNCTION looped(outer_name text, inner_name text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	a record;
	n int := 0;
BEGIN
	FOR a IN SELECT * FROM iopool_read_batch(path_of(outer_name), ARRAY[0, 100000], ARRAY[8]) LOOP
		n := n + (SELECT count(*) FROM iopool_read_batch(path_of(inner_name), ARRAY[a.file_offset, 200000], ARRAY[8]) AS b
				  WHERE b.data = int8send(b.file_offset));
	END LOOP;
	RETURN n;
END $$;
CREATE FUNCTION caught(name text, OUT state text, OUT hint_names_settings bool) LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM read_words(name);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	state := SQLSTATE;
	hint_names_settings := hint LIKE '%iopool.rings%' AND hint LIKE '%iopool.checkout_timeout%';
END $$;
};

foreach my $method (test_methods())
{
	my $node = iopool_node(
		"isolation_$method", $method,
		'iopool.pools' => 'one(rings=1, entries=8), two(rings=2, entries=8)',
		'gatefs.mount' => $fs->path(''),
		'gatefs.backing' => $fs->backing(''));
	$node->safe_psql('postgres', $functions);

	# A step that waits for longer than this waits for ever.
	local $ENV{PGISOLATIONTIMEOUT} = 60;
	my $output_dir = PostgreSQL::Test::Utils::tempdir();
	my $result = system(
		pg_test_program('isolation/pg_isolation_regress'),
		'--use-existing', '--bindir=', '--dbname=postgres',
		'--host=' . $node->host, '--port=' . $node->port,
		"--inputdir=$isolation_dir", "--outputdir=$output_dir",
		$node->pg_version >= 16 ? "--expecteddir=$isolation_dir" : (),
		@specs);
	is($result, 0, "$method: isolation specs");
	diag(slurp_file("$output_dir/regression.diffs"))
	  if $result != 0 && -s "$output_dir/regression.diffs";

	rings_home($node, $method);
	$node->stop;
}

done_testing();
