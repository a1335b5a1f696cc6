# Upgrades: every version that was ever released still installs, reads right
# with this library, reaches the newest one, and is then the same as if the
# newest had been installed.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $top = dirname(dirname(dirname(abs_path(__FILE__))));
my $node = iopool_node('upgrade', undef);
my $newest = $node->safe_psql('postgres',
	q{SELECT default_version FROM pg_available_extensions
	  WHERE name = 'iopool'});
my @available = split /\n/, $node->safe_psql('postgres',
	q{SELECT version FROM pg_available_extension_versions
	  WHERE name = 'iopool'});
my @older = sort grep { $_ ne $newest } @available;

my $file = PostgreSQL::Test::Utils::tempdir() . '/words';
write_words($file, 1024 * 1024);

# What a script of the first version can call, and the independent answers.
# Each row: what was called, and whether it was right.  One length for all ranges
# was an argument of its own before 0.3.
sub right_bytes
{
	my ($one_length) = @_;
	return qq{
	WITH want AS (
		SELECT o, l, pg_read_binary_file('$file', o, l) AS data
		FROM (VALUES (0, 8), (4097, 100), (1048570, 100)) AS r (o, l)
	), args AS (
		SELECT array_agg(o::bigint ORDER BY o) AS o,
			   array_agg(l::bigint ORDER BY o) AS l,
			   array_agg('$file'::text) AS p,
			   array_agg(data ORDER BY o) AS data,
			   array_agg(substr(data, 1, 6) ORDER BY o) AS six
		FROM want
	)
	SELECT 'read', bool_and(iopool_read('$file', o, l) = data) FROM want
	UNION ALL
	SELECT 'batch', (SELECT array_agg(b.data ORDER BY ordinal)
					 FROM iopool_read_batch('$file', o, l) AS b) = data
	FROM args
	UNION ALL
	SELECT 'batch of one length', (SELECT array_agg(b.data ORDER BY ordinal)
					 FROM iopool_read_batch('$file', o, ARRAY[6]) AS b) = six
	FROM args
	UNION ALL
	SELECT 'batch of files', (SELECT array_agg(b.data ORDER BY ordinal)
					 FROM iopool_read_batch(p, o, l) AS b) = data
	FROM args
	UNION ALL
	SELECT 'array', iopool_read_array('$file', o, l) = data FROM args
	UNION ALL
	SELECT 'array of one length', iopool_read_array('$file', o, $one_length) = six
	FROM args
	UNION ALL
	SELECT 'array of files', iopool_read_array(p, o, l) = data FROM args
	UNION ALL
	SELECT 'prefetch', iopool_prefetch('$file', o, l) = 3 FROM args
	UNION ALL
	SELECT 'info', count(*) > 0 FROM iopool_info()
	UNION ALL
	SELECT 'pools', (SELECT (p).reads FROM iopool_pools AS p
					 WHERE name = 'default') > 0
	UNION ALL
	SELECT 'rings', (SELECT count(*) FROM iopool_rings)
		= (SELECT sum(rings) FROM iopool_pools)
	UNION ALL
	SELECT 'reset', iopool_stat_reset() IS NOT NULL};
}
my $all_right = join("\n", map { "$_|t" } 'read', 'batch',
	'batch of one length', 'batch of files', 'array', 'array of one length',
	'array of files', 'prefetch', 'info', 'pools', 'rings', 'reset');

sub create_database
{
	my ($db, $version) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, "CREATE EXTENSION iopool VERSION '$version'");
	return;
}

# The extension and its members, one a line, in an order that does not depend
# on OIDs, with what the dump below leaves out or shows as OIDs.
sub members
{
	my ($db) = @_;
	return $node->safe_psql(
		$db, q{
		SELECT 'extension', extversion, extrelocatable,
			   extnamespace::regnamespace, extconfig::regclass[], extcondition
		FROM pg_extension WHERE extname = 'iopool';
		SELECT i.type, i.identity, d.deptype, p.privtype, p.initprivs::text,
			   obj_description(d.objid, d.classid::regclass::name)
		FROM pg_depend AS d
			 LEFT JOIN pg_init_privs AS p
				ON (p.classoid, p.objoid, p.objsubid)
				 = (d.classid, d.objid, d.objsubid),
			 LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS i
		WHERE d.refclassid = 'pg_extension'::regclass
		  AND d.refobjid = (SELECT oid FROM pg_extension
							WHERE extname = 'iopool')
		ORDER BY i.type COLLATE "C", i.identity COLLATE "C"});
}

# Every member's definition, comment and rights as pg_upgrade would carry them
# over: the only kind of dump that shows the members of an extension.
sub definitions
{
	my ($db) = @_;
	my ($out, $err);

	IPC::Run::run(
		[ 'pg_dump', '--binary-upgrade', '--schema-only',
			'-d', $node->connstr($db) ],
		'>', \$out, '2>', \$err)
	  or die "could not dump $db: $err";
	# OIDs, and the token of psql's restricted mode.
	$out =~ s/^SELECT pg_catalog\.binary_upgrade_set_next_.*\n//mg;
	$out =~ s/^\\(un)?restrict .*\n//mg;
	# The array of OIDs is what members() shows by name.
	$out =~ s/'\{[0-9,]*\}'::pg_catalog\.oid\[\]/OIDS/g;
	return $out;
}

# is() would print two whole dumps.
sub same_text
{
	my ($got, $expected, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my %only;
	$only{$_}-- foreach split /\n/, $expected;
	$only{$_}++ foreach split /\n/, $got;
	my @got = sort grep { $only{$_} > 0 } keys %only;
	my @expected = sort grep { $only{$_} < 0 } keys %only;
	ok($got eq $expected, $label)
	  or diag(join("\n", 'only after the update:', @got,
			'only after CREATE EXTENSION:', @expected,
			@got || @expected ? () : 'the same lines in another order'));
	return;
}

# A section of the changelog is a release that somebody may be running.
my @released =
  slurp_file("$top/CHANGELOG.md") =~ /^## \[([0-9][^\]]*)\]/mg;
is_deeply([ sort @available ], [ sort @released ],
	'the versions of the changelog are those that can be installed');
isnt(scalar @older, 0, 'there is an earlier version');
is( $node->safe_psql(
		'postgres', qq{
		SELECT v.version
		FROM pg_available_extension_versions AS v
			 LEFT JOIN pg_extension_update_paths('iopool') AS u
				ON u.source = v.version AND u.target = '$newest'
		WHERE v.name = 'iopool' AND v.version <> '$newest' AND u.path IS NULL
	}), '', 'every earlier version has a path to the newest');

create_database('fresh', $newest);
is($node->safe_psql('fresh', right_bytes('ARRAY[6]')), $all_right,
	"$newest: reads right");
my $fresh_members = members('fresh');
my $fresh_definitions = definitions('fresh');
like($fresh_definitions, qr/CREATE FUNCTION public\.iopool_read\(/,
	'the dump shows the members of the extension');

foreach my $old (@older)
{
	(my $suffix = $old) =~ s/\W/_/g;

	create_database("old_$suffix", $old);
	is($node->safe_psql("old_$suffix", right_bytes('6')), $all_right,
		"$old with the library of $newest: reads right");
	$node->safe_psql("old_$suffix", 'ALTER EXTENSION iopool UPDATE');
	is($node->safe_psql("old_$suffix", right_bytes('ARRAY[6]')), $all_right,
		"$old updated to $newest: reads right");
	same_text(members("old_$suffix"), $fresh_members,
		"$old updated to $newest: the same members");
	same_text(definitions("old_$suffix"), $fresh_definitions,
		"$old updated to $newest: the same definitions and rights");

	# What users have built on the old version outlives the update.
	create_database("used_$suffix", $old);
	$node->safe_psql(
		"used_$suffix", qq{
		CREATE ROLE app_$suffix;
		GRANT EXECUTE ON FUNCTION iopool_read(text, bigint, bigint),
			iopool_read_batch(text, bigint[], bigint[], text, boolean)
			TO app_$suffix;
		CREATE VIEW busy AS
			SELECT name, p.rings, in_use, r.state
			FROM iopool_pools AS p JOIN iopool_rings AS r ON r.pool = p.name;
		CREATE VIEW tiles AS
			SELECT * FROM iopool_read_batch('$file', ARRAY[8, 16], ARRAY[8, 8]);
		ALTER EXTENSION iopool UPDATE});
	is( $node->safe_psql(
			"used_$suffix", qq{
			SELECT (SELECT count(*) > 0 FROM busy),
				   (SELECT string_agg(data, '' ORDER BY ordinal) FROM tiles)
					= pg_read_binary_file('$file', 8, 16),
				   has_function_privilege('app_$suffix',
					'iopool_read(text, bigint, bigint)', 'EXECUTE'),
				   has_function_privilege('app_$suffix',
					'iopool_read_batch(text, bigint[], bigint[], text, boolean)',
					'EXECUTE')}),
		't|t|t|t', "$old updated to $newest: views and grants of users stay");

	# A wrapper that has another name by now can do what a new one can; one of
	# the user's is left as it is.
	if ($old ne '0.1')
	{
		create_database("renamed_$suffix", $old);
		my ($ret, $out, $err) = $node->psql("renamed_$suffix", q{
			SET log_min_messages = debug1;
			SET client_min_messages = debug1;
			ALTER FOREIGN DATA WRAPPER iopool_directory RENAME TO "Ordner";
			CREATE FOREIGN DATA WRAPPER iopool_directory;
			SET client_min_messages = notice;
			ALTER EXTENSION iopool UPDATE;
			SELECT fdwname, fdwhandler::regproc FROM pg_foreign_data_wrapper ORDER BY 1;
			SHOW log_min_messages;
			SHOW client_min_messages});
		is($out, "Ordner|iopool_directory_handler\niopool_directory|-\ndebug1\nnotice", "$old: a renamed wrapper gets its handler");
		unlike($err, qr/WARNING/, "$old: without a word");
	}

	# What uses a function that is gone is named, all of it at once, and an array
	# of one element can be written before the update.
	create_database("gone_$suffix", $old);
	my $make = qq{
		CREATE SCHEMA "my own";
		CREATE %s VIEW "my own".tiles AS
			SELECT * FROM public.iopool_read_batch('$file', ARRAY[8, 16], %s);
		CREATE %s FUNCTION heads(path text) RETURNS bytea[] LANGUAGE sql
			BEGIN ATOMIC SELECT iopool_read_array(path, ARRAY[8, 16], %s); END;
		CREATE TABLE IF NOT EXISTS defaults (d bytea[]);
		ALTER TABLE defaults ALTER d
			SET DEFAULT iopool_read_array('$file', ARRAY[8, 16], %s)};
	$node->safe_psql("gone_$suffix",
		sprintf("$make;\nCREATE VIEW above AS SELECT ordinal FROM \"my own\".tiles", '', 8, '', 8, 8));
	my ($ret, $out, $err) = $node->psql("gone_$suffix",
		"\\set VERBOSITY verbose\nALTER EXTENSION iopool UPDATE");
	like($err, qr/ERROR:  2BP01: cannot update extension "iopool" to version 0\.3 because /,
		"$old: the update is refused where something depends on what goes");
	foreach my $dependent (
		'view "my own".tiles depends on function iopool_read_batch(text,bigint[],bigint,text,boolean).',
		'function heads(text) depends on function iopool_read_array(text,bigint[],bigint,text).',
		'default value for column d of table defaults depends on function iopool_read_array(text,bigint[],bigint,text).')
	{
		like($err, qr/\Q$dependent\E/, "$old: $dependent");
	}
	unlike($err, qr/above|rule/, "$old: what depends on the view can stay");
	like($err, qr/HINT:  Replace the argument "length" by the array "ARRAY\[length\]"/,
		"$old: the hint says what to write");
	is( $node->safe_psql("gone_$suffix",
			q{SELECT extversion FROM pg_extension WHERE extname = 'iopool'}),
		$old, "$old: the extension is as it was");
	$node->safe_psql(
		"gone_$suffix",
		sprintf($make =~ s/CREATE SCHEMA[^;]*;//r,
			'OR REPLACE', 'ARRAY[8]', 'OR REPLACE', 'ARRAY[8]', 'ARRAY[8]')
		  . ";\nALTER EXTENSION iopool UPDATE");
	is( $node->safe_psql("gone_$suffix",
			qq{SELECT string_agg(data, '' ORDER BY ordinal) = pg_read_binary_file('$file', 8, 16)
			   FROM "my own".tiles}),
		't', "$old: after the change the update goes through, and the view reads right");
}

$node->stop;
done_testing();
