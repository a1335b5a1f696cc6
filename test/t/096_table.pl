# Foreign tables over directories, beyond what SQL can make: files that come and
# go, rows that change while a query waits, many files, and walks that do not come
# to their end.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $base = PostgreSQL::Test::Utils::tempdir() . '/table';
chomp(my $top = `mkdir -p $base && cd $base && pwd -P`);
my %contents;

sub write_file
{
	my ($name, $content) = @_;
	open my $handle, '>', "$top/$name" or die "$top/$name: $!";
	print $handle $content;
	close $handle;
	return;
}

# Many files, of which some are long, below three directories.
my $nfiles = 3000;
foreach my $n (0 .. $nfiles - 1)
{
	my $dir = 'd' . $n % 3;
	mkdir "$top/$dir";
	write_file("$dir/$n", "$n " x ($n % 500 == 0 ? 40_000 : $n % 50));
}

# Does a session come to wait for a lock of that type?
sub waits_for
{
	my ($node, $session, $type) = @_;
	my $pid = backend_pid($node, $session);
	return ask_until($node, "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND locktype = '$type' AND NOT granted)");
}

foreach my $method (test_methods())
{
	foreach my $mode (io_modes($top))
	{
		my $node = iopool_node("table_${method}_$mode", $method, 'iopool.io_mode' => $mode, 'iopool.rings' => 2);
		my $label = "$method, $mode";
		$node->safe_psql('postgres', qq{
			SET client_min_messages = error;
			CREATE SERVER files FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$top');
			CREATE FOREIGN TABLE file (path text, size bigint, modified timestamptz, data bytea) SERVER files OPTIONS (pattern 'd?/*');
			CREATE TABLE expected AS SELECT 'files:d' || n % 3 || '/' || n AS path, n,
				convert_to(repeat(n || ' ', CASE WHEN n % 500 = 0 THEN 40000 ELSE n % 50 END), 'UTF8') AS data
			FROM generate_series(0, $nfiles - 1) AS n});

		# All of them, by several plans, cold and hot
		foreach my $settings ('', 'SET iopool.enable_stream_scan = off', 'SET iopool.max_in_flight_bytes = 65536',
			'SET enable_hashjoin = off; SET enable_mergejoin = off', 'SET work_mem = 64')
		{
			system('sync');
			is( $node->safe_psql('postgres', qq{$settings;
					SELECT count(*), count(*) FILTER (WHERE f.data = e.data AND f.size = length(e.data))
					FROM file AS f FULL JOIN expected AS e USING (path)}) =~ s/\nSET//gr,
				"$nfiles|$nfiles", "$label: all files, and their bytes ($settings)") if $settings !~ /hashjoin/;
			is( $node->safe_psql('postgres', qq{$settings;
					SELECT count(*), count(*) FILTER (WHERE f.data = e.data AND f.size = length(e.data))
					FROM expected AS e JOIN file AS f ON f.path = e.path WHERE n % 7 = 0}),
				join('|', (int(($nfiles - 1) / 7) + 1) x 2), "$label: a join ($settings)");
		}
		is( $node->safe_psql('postgres', q{SELECT count(*), sum(length(data)) FROM file WHERE path = ANY (ARRAY(SELECT path FROM expected))}),
			$node->safe_psql('postgres', 'SELECT count(*), sum(length(data)) FROM expected'), "$label: by an array of paths");
		is( $node->safe_psql('postgres', q{SELECT sum(length(f.data)) = sum(length(e.data)) FROM expected AS e, LATERAL
				(SELECT data FROM file WHERE path ^@ e.path AND path = e.path LIMIT 1) AS f}), 't', "$label: one after the other");
		is( $node->safe_psql('postgres', q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
				SELECT count(*) FROM expected AS e JOIN file AS f USING (path) WHERE f.data = e.data}), $nfiles, "$label: beside parallel workers");
		is( $node->safe_psql('postgres', q{BEGIN; DECLARE c CURSOR FOR SELECT path, data FROM file;
				MOVE 1500 IN c; SELECT count(*) FROM iopool_rings WHERE state = 'leased' AND parked_since IS NULL; COMMIT}),
			0, "$label: an open cursor holds no ring");

		# A file that goes between the list and the read was never there.
		mkdir "$top/gone" or die;
		write_file("gone/$_", $_) foreach (1 .. 20);
		$node->safe_psql('postgres', qq{
			CREATE FOREIGN TABLE gone (path text, data bytea) SERVER files OPTIONS (pattern 'gone/*');
			CREATE FUNCTION remove_file(name text) RETURNS void LANGUAGE plpgsql AS \$\$
			BEGIN
				EXECUTE format('COPY (SELECT) TO PROGRAM %L', 'cat >/dev/null; rm $top/' || name);
			END \$\$;
			CREATE FUNCTION remove(path text) RETURNS boolean STABLE LANGUAGE plpgsql AS \$\$
			BEGIN
				PERFORM remove_file(split_part(path, ':', 2));
				RETURN true;
			END \$\$});
		is( $node->safe_psql('postgres', q{SELECT count(*), count(data), sum(convert_from(data, 'UTF8')::int) FROM gone
				WHERE CASE WHEN path ~ '[13579]$' THEN remove(path) ELSE true END}),
			'10|10|110', "$label: files that are removed before they are read");
		system('rm', '-r', "$top/gone");

		# Rows that have changed while an UPDATE waited for them: those that still
		# match get the bytes, those that do not stay as they are.
		$node->safe_psql('postgres', q{CREATE TABLE task AS SELECT n, path, 0 AS changes, NULL::int AS length FROM expected WHERE n BETWEEN 498 AND 502});
		ask($node, 'SELECT pg_advisory_lock(1)');
		my $first = start_sql($node, q{BEGIN; UPDATE task SET changes = 1; UPDATE task SET path = 'files:d1/1' WHERE n = 501; SELECT pg_advisory_lock(1); COMMIT});
		ok(waits_for($node, $first, 'advisory'), "$label: rows have changed");
		my $second = start_sql($node, q{UPDATE task AS t SET length = length(f.data) FROM file AS f WHERE f.path = t.path AND f.size > 0 AND f.data IS NOT NULL});
		ok(waits_for($node, $second, 'transactionid'), "$label: an UPDATE waits for one of them");
		ask($node, 'SELECT pg_advisory_unlock(1)');
		$_->finish foreach ($first, $second);
		is( $node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', n, changes, t.length = length(e.data)), ', ' ORDER BY n) FROM task AS t JOIN expected AS e USING (n)}),
			'498 1 t, 499 1 t, 500 1 t, 501 1, 502 1 t', "$label: rows that changed meanwhile");

		# What ends before its end
		is( $node->safe_psql('postgres', q{SET statement_timeout = '1s'; SELECT count(*) FROM (SELECT data FROM file LIMIT 10) AS f}), 10, "$label: LIMIT");
		my ($ret, $out, $err) = $node->psql('postgres', q{SELECT count(*) FROM file WHERE 1 / (length(data) - 135) < 2});
		like($err, qr/division by zero/, "$label: an error in the middle");
		rings_home($node, $label);
		$node->stop;
	}
}

done_testing();
