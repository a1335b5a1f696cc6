# pg_dump, pg_restore, pg_dumpall and pg_upgrade: what a DBA has made of the
# extension comes out as it went in, whether or not iopool is preloaded there.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $tmp = PostgreSQL::Test::Utils::tempdir();
my ($method) = test_methods();

# A new kind of object takes two lines: one in @made, one in %seen.
#
# What a DBA makes, in the database "app" ...
my @made = (
	'CREATE EXTENSION iopool',
	# rights beside those that the extension came with, and without some of them
	'CREATE ROLE reader LOGIN',
	'CREATE ROLE watcher LOGIN',
	'GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint) TO reader',
	'GRANT EXECUTE ON FUNCTION iopool_prefetch(text, bigint[], bigint[]) TO reader WITH GRANT OPTION',
	'REVOKE EXECUTE ON FUNCTION iopool_read_array(text, bigint[], bigint[], text) FROM pg_read_server_files',
	'GRANT EXECUTE ON FUNCTION iopool_list(text, text) TO reader',
	'REVOKE EXECUTE ON FUNCTION iopool_stat(text, boolean) FROM pg_read_server_files',
	'REVOKE EXECUTE ON FUNCTION iopool_info() FROM PUBLIC',
	'REVOKE EXECUTE ON FUNCTION iopool_float4s(bytea) FROM PUBLIC',
	'GRANT SELECT ON iopool_pools TO watcher',
	'REVOKE SELECT ON iopool_rings FROM pg_monitor',
	# settings, of pools that need not exist
	q{ALTER ROLE reader SET iopool.pool = 'not_yet'},
	q{ALTER ROLE reader IN DATABASE app SET iopool.merge_gap = '4kB'},
	q{ALTER ROLE watcher SET iopool.merge_gap = auto},
	q{ALTER DATABASE app SET iopool.io_mode = 'direct'},
	q{ALTER DATABASE app SET iopool.log_min_duration = '1h'},
	# what depends on the extension
	'CREATE SCHEMA own',
	'CREATE VIEW own.busy AS SELECT name, in_use, waiting FROM iopool_pools WHERE in_use > 0',
	'CREATE VIEW own.state AS SELECT p.name, r.state, r.pid FROM iopool_pools p JOIN iopool_rings r ON r.pool = p.name',
	q{CREATE VIEW own.head AS SELECT ordinal, data FROM iopool_read_batch('PG_VERSION', '{0, 1}'::bigint[], '{1}'::bigint[])},
	q{CREATE VIEW own.files AS SELECT f.path, s.size FROM iopool_list('.', 'PG_V*') AS f, iopool_stat(f.path) AS s},
	q{CREATE VIEW own.numbers AS SELECT iopool_int2s('\x0100') AS two, iopool_float2s('\x003c') AS half},
	'CREATE FUNCTION own.first(path text) RETURNS bytea LANGUAGE sql VOLATILE BEGIN ATOMIC SELECT iopool_read(path, 0, 1); END',
	q{CREATE FUNCTION own.bulk(path text) RETURNS bytea LANGUAGE sql SET iopool.pool = 'not_yet' AS 'SELECT iopool_read(path, 0, 1)'},
	q{CREATE FUNCTION own.merged(path text) RETURNS text LANGUAGE sql SET iopool.merge_gap = '16kB' AS $$SELECT current_setting('iopool.merge_gap')$$},
	q{CREATE FUNCTION own.unmerged(path text) RETURNS text LANGUAGE sql SET iopool.merge_gap = -1 AS $$SELECT current_setting('iopool.merge_gap')$$},
	q{CREATE FUNCTION own.automatic(path text) RETURNS text LANGUAGE sql SET iopool.merge_gap = auto AS $$SELECT current_setting('iopool.merge_gap')$$},
	q{CREATE TABLE own.blob (path text, head bytea DEFAULT iopool_read('PG_VERSION', 0, 1))},
	q{INSERT INTO own.blob VALUES ('PG_VERSION')},
	# directories
	"CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tmp/tiles', io_mode 'direct')",
	"CREATE SERVER pooled FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tmp/tiles', pool 'bulk')",
	"CREATE SERVER later FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tmp/later', missing_ok 'on')",
	'GRANT USAGE ON FOREIGN SERVER tiles TO reader',
	q{CREATE FOREIGN TABLE own.file (data bytea, path text) SERVER tiles OPTIONS (pattern '**')},
	'GRANT USAGE ON SCHEMA own TO reader',
	'GRANT SELECT ON own.file TO reader',
	'GRANT USAGE ON FOREIGN DATA WRAPPER iopool_directory TO watcher');

# ... and the queries that tell whether all of it is there.  Each gives one
# text; the names of functions carry their arguments, so nothing is left out.
my %seen = (
	'functions and rights' => q{
		SELECT string_agg(concat_ws(' ', p.oid::regprocedure, (
			SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) AS a)), E'\n' ORDER BY p.oid::regprocedure::text)
		FROM pg_proc AS p WHERE proname LIKE 'iopool%'},
	'views and rights' => q{
		SELECT string_agg(concat_ws(' ', c.oid::regclass, (
			SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) AS a), pg_get_viewdef(c.oid)), E'\n' ORDER BY c.oid::regclass::text)
		FROM pg_class AS c WHERE relkind = 'v' AND (relname LIKE 'iopool%' OR relnamespace = 'own'::regnamespace)},
	'rights that the extension came with' => q{
		SELECT string_agg(concat_ws(' ', pg_describe_object(classoid, objoid, objsubid), privtype, (
			SELECT array_agg(a::text ORDER BY a::text) FROM unnest(initprivs) AS a)), E'\n' ORDER BY 1)
		FROM (SELECT * FROM pg_init_privs WHERE pg_describe_object(classoid, objoid, objsubid) LIKE '%iopool%'
			  ORDER BY pg_describe_object(classoid, objoid, objsubid)) AS i},
	'what belongs to the extension' => q{
		SELECT string_agg(pg_describe_object(classid, objid, objsubid), E'\n' ORDER BY pg_describe_object(classid, objid, objsubid))
		FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'iopool')},
	'version' => q{SELECT extversion FROM pg_extension WHERE extname = 'iopool'},
	'settings' => q{
		SELECT string_agg(concat_ws(' ', d.datname, r.rolname, s.setconfig), E'\n' ORDER BY concat_ws(' ', d.datname, r.rolname))
		FROM pg_db_role_setting AS s LEFT JOIN pg_database AS d ON d.oid = setdatabase LEFT JOIN pg_roles AS r ON r.oid = setrole},
	'functions of the DBA' => q{
		SELECT string_agg(pg_get_functiondef(oid), E'\n' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'own'::regnamespace},
	'directories' => q{
		SELECT string_agg(concat_ws(' ', srvname, fdwname, srvowner::regrole, srvacl, fdwacl,
			(SELECT array_agg(o ORDER BY o) FROM unnest(srvoptions) AS o)), E'\n' ORDER BY srvname)
		FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw},
	'tables over directories' => q{
		SELECT string_agg(concat_ws(' ', c.oid::regclass, c.relacl, s.srvname, t.ftoptions, (
			SELECT array_agg(attname || ' ' || atttypid::regtype ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)),
			E'\n' ORDER BY c.relname)
		FROM pg_foreign_table AS t JOIN pg_class AS c ON c.oid = t.ftrelid JOIN pg_foreign_server AS s ON s.oid = t.ftserver},
	'handlers' => q{SELECT string_agg(concat_ws(' ', fdwname, fdwhandler::regproc, fdwvalidator::regproc), E'\n') FROM pg_foreign_data_wrapper},
	'data' => q{SELECT path, head FROM own.blob});

sub state_of
{
	my ($node) = @_;
	return { map { $_ => $node->safe_psql('app', $seen{$_}) } keys %seen };
}

# pg_dump's text of "app", without the key that newer releases make up for each dump.
sub dump_of
{
	my ($node) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '-d', $node->connstr('app') ]);
	is($err, '', $node->name . ': pg_dump says nothing');
	$out =~ s/^\\(un)?restrict .*$//mg;
	return $out;
}

# Asserts that what is in "app" works: with iopool preloaded it reads, without
# it says what is missing, and nothing else changes.
sub works
{
	my ($node, $is_preloaded, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %calls = (
		'a view over a batch' => 'SELECT ordinal FROM own.head',
		'a view over a list' => 'SELECT size FROM own.files',
		'a table over a directory' => 'SELECT length(data) FROM own.file',
		'a view over a view' => 'SELECT count(*) FROM own.busy',
		'a function' => q{SELECT own.first('PG_VERSION')},
		'a default' => q{INSERT INTO own.blob VALUES ('PG_VERSION')},
		'a function of a role with few rights' =>
		  q{SET ROLE reader; SELECT iopool_prefetch('PG_VERSION', ARRAY[0], ARRAY[1])});

	foreach my $what (sort keys %calls)
	{
		my ($ret, $out, $err) = $node->psql('app',
			"\\set VERBOSITY verbose\nSET iopool.io_mode = buffered;\nBEGIN; $calls{$what}; ROLLBACK;");
		if (!$is_preloaded)
		{
			like($err, qr/ERROR:  55000:.*shared_preload_libraries/, "$label: $what says what is missing");
		}
		elsif ($what =~ /few rights/)
		{
			like($err, qr/ERROR:  42501:/, "$label: $what has its rights and no more");
		}
		else
		{
			is($err, '', "$label: $what works");
		}
	}
	is($node->safe_psql('app', 'SELECT * FROM own.numbers'), '{1}|{1}', "$label: numbers need no preloading");
	return if !$is_preloaded;

	is($node->safe_psql('app', q{SET iopool.pool = 'default'; SET SESSION AUTHORIZATION reader; SELECT iopool_read('tiles:words', 8, 8) = int8send(8)}),
		't', "$label: a directory can be read");
	is($node->safe_psql('app', q{SET iopool.pool = 'default'; SET SESSION AUTHORIZATION reader; SELECT path, length(data) FROM own.file}),
		'tiles:words|100000', "$label: and so can a table over it");
	# The settings are in force, the one for a pool that does not exist too.
	is($node->safe_psql('app', q{SELECT current_setting('iopool.io_mode') || current_setting('iopool.log_min_duration')}),
		'direct1h', "$label: settings of the database");
	is($node->safe_psql('app', q{SELECT current_setting('iopool.pool') || current_setting('iopool.merge_gap')},
			extra_params => [ '-U', 'reader' ]),
		'not_yet4kB', "$label: settings of the role");
	is($node->safe_psql('app', q{SELECT own.merged(''), own.unmerged(''), own.automatic('')}),
		'16kB|-1|auto', "$label: settings of functions");
	my ($ret, $out, $err) = $node->psql('app',
		"\\set VERBOSITY verbose\nSELECT own.bulk('PG_VERSION')");
	like($err, qr/ERROR:  42704:.*"not_yet"/, "$label: the unknown pool is refused when used");
	is($node->safe_psql('app', q{SELECT count(*) FROM iopool_rings WHERE state = 'free'}),
		$node->safe_psql('app', 'SELECT sum(rings) FROM iopool_pools'), "$label: the rings are free");
	return;
}

# Has a database functions with one length for all ranges, as before 0.3?
sub has_scalar_length
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, q{SELECT to_regprocedure('iopool_read_batch(text, bigint[], bigint, text, boolean)') IS NOT NULL}) eq 't';
}

sub set_preload
{
	my ($node, $libraries) = @_;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'");
	return;
}

mkdir "$tmp/tiles" or die "could not create \"$tmp/tiles\": $!";
write_words("$tmp/tiles/words", 100_000);
my $old = iopool_node('old', $method, 'iopool.rings' => 2, 'iopool.pools' => 'bulk(rings=1)');
$old->safe_psql('postgres', 'DROP EXTENSION iopool');
$old->safe_psql('postgres', 'CREATE DATABASE app');
$old->safe_psql('app', "$_;") foreach (@made);

# Every version that can be created, each in a database of its own.
my @versions = split /\n/, $old->safe_psql('postgres', q{
	SELECT v.version FROM pg_available_extension_versions AS v
	WHERE name = 'iopool' ORDER BY 1});
my @needs_change;
ok(@versions > 0, 'there are versions of the extension');
foreach my $version (@versions)
{
	$old->safe_psql('postgres', qq{CREATE DATABASE "version $version"});
	$old->safe_psql("version $version", "CREATE EXTENSION iopool VERSION '$version'");

	# What uses a function that later versions do not have: its dump needs a
	# database with the version that it comes from, and is updated there.
	my $one_length = has_scalar_length($old, "version $version") ? '8' : 'ARRAY[8]';
	my $view = q{CREATE OR REPLACE VIEW head AS SELECT data FROM iopool_read_batch('PG_VERSION', ARRAY[0], %s)};
	$old->safe_psql("version $version", sprintf($view, $one_length));
	push @needs_change, $version if $one_length eq '8';
	command_ok([ 'pg_dump', '-d', $old->connstr("version $version"), '-f', "$tmp/version.sql" ],
		"version $version: pg_dump");
	$old->safe_psql('postgres', 'CREATE DATABASE restored');
	$old->safe_psql('restored', "CREATE EXTENSION iopool VERSION '$version'");
	command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $old->connstr('restored'), '-f', "$tmp/version.sql" ],
		"version $version: restored into a database with that version");
	$old->safe_psql('restored', sprintf($view, 'ARRAY[8]') . '; ALTER EXTENSION iopool UPDATE');
	is($old->safe_psql('restored', q{SELECT data = pg_read_binary_file('PG_VERSION', 0, 8) FROM head}),
		't', "version $version: and updated");
	$old->safe_psql('postgres', 'DROP DATABASE restored');
}
ok(@needs_change > 0, 'there are versions with functions that are gone');

my $before = state_of($old);
my $dump = dump_of($old);
works($old, 1, 'before');
like($before->{'functions and rights'}, qr/reader=X/, 'the rights are seen');
like($before->{'settings'}, qr/not_yet/, 'the settings are seen');
like($dump, qr/^CREATE EXTENSION IF NOT EXISTS iopool/m, 'the extension is dumped as such');
unlike($dump, qr/CREATE (?:FUNCTION|VIEW) (?:public\.)?iopool_/, 'and nothing of its inside');

# --------------------------------------------------------------------------
# pg_dump and pg_restore, to a server without iopool preloaded.

my $copy = iopool_node('copy', $method, no_start => 1, 'iopool.rings' => 2, 'iopool.pools' => 'bulk(rings=1)');
set_preload($copy, '');
$copy->start;
command_ok([ 'pg_dumpall', '-d', $old->connstr('postgres'), '--globals-only', '-f', "$tmp/globals.sql" ],
	'pg_dumpall');
# The superuser is there already.
$copy->psql('postgres', slurp_file("$tmp/globals.sql"), on_error_stop => 0);
command_ok([ 'pg_dump', '-d', $old->connstr('app'), '-Fc', '-f', "$tmp/app.dump" ], 'pg_dump');
command_ok([ 'pg_restore', '-d', $copy->connstr('postgres'), '--create', '--exit-on-error', "$tmp/app.dump" ],
	'pg_restore, not preloaded');
is_deeply(state_of($copy), $before, 'restored, not preloaded: everything is there');
works($copy, 0, 'restored, not preloaded');
is(dump_of($copy), $dump, 'a dump of what was restored, not preloaded, is the same');

set_preload($copy, 'iopool');
$copy->restart;
is_deeply(state_of($copy), $before, 'restored, then preloaded: everything is there');
works($copy, 1, 'restored, then preloaded');

# Dumped without, restored with iopool preloaded, over what is there.
command_ok([ 'pg_restore', '-d', $copy->connstr('postgres'), '--clean', '--create', '--exit-on-error', "$tmp/app.dump" ],
	'pg_restore --clean, preloaded');
is_deeply(state_of($copy), $before, 'restored, preloaded: everything is there');
works($copy, 1, 'restored, preloaded');
$copy->stop;

# --------------------------------------------------------------------------
# pg_upgrade within this major version, to a server with and one without
# iopool preloaded, neither of which has the old one's settings yet.  And a
# directory has gone meanwhile.  Across major versions takes two installations.

# What no directory can have is not made any more, and is brought over.
$old->safe_psql('app', "$_;") foreach (
	'ALTER FOREIGN DATA WRAPPER iopool_directory NO VALIDATOR',
	"CREATE SERVER \"na:me\" FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tmp/tiles')",
	"CREATE SERVER options FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$tmp/./tiles', paht 'x')",
	'ALTER FOREIGN DATA WRAPPER iopool_directory VALIDATOR iopool_directory_validator');
$before = state_of($old);
$dump = dump_of($old);

$old->stop;
foreach my $is_preloaded (1, 0)
{
	my $label = 'upgraded' . ($is_preloaded ? '' : ', not preloaded');
	my $new = iopool_node("new_$is_preloaded", $method, no_start => 1, 'iopool.rings' => 2);
	my $work = "$tmp/upgrade_$is_preloaded";
	my $bindir = $new->config_data('--bindir');
	my @command = ('pg_upgrade', '-b', $bindir, '-B', $bindir,
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-p', $old->port, '-P', $new->port, '-s', $new->host);

	set_preload($new, '') if !$is_preloaded;
	mkdir $work or die "could not create \"$work\": $!";
	chdir $work or die "could not change to \"$work\": $!";
	command_ok([ @command, '--check' ], "$label: pg_upgrade --check") if $is_preloaded;
	rename "$tmp/tiles", "$tmp/moved";
	command_ok(\@command, "$label: pg_upgrade");
	rename "$tmp/moved", "$tmp/tiles";
	chdir $tmp or die "could not change to \"$tmp\": $!";

	$new->start;
	is_deeply(state_of($new), $before, "$label: everything is there");
	works($new, $is_preloaded, $label);
	foreach my $version (@versions)
	{
		is($new->safe_psql("version $version", $seen{version}), $version, "$label: version $version stays");
		is($new->safe_psql("version $version", q{SELECT data = pg_read_binary_file('PG_VERSION', 0, 8) FROM head}),
			't', "$label: version $version reads right") if $is_preloaded;
		$new->safe_psql("version $version", q{
			CREATE OR REPLACE VIEW head AS SELECT data FROM iopool_read_batch('PG_VERSION', ARRAY[0], ARRAY[8])})
		  if grep { $_ eq $version } @needs_change;
		$new->safe_psql("version $version", 'ALTER EXTENSION iopool UPDATE');
	}
	is(dump_of($new), $dump, "$label: a dump is the same");
	$new->stop;
}

done_testing();
