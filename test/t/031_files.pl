# Files: more of them than descriptors, and files that change names during a
# batch.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;

# 5,000 small files, each telling its own number.
my $nfiles = 5000;
my $many = PostgreSQL::Test::Utils::tempdir() . '/many';
mkdir $many or die "could not create \"$many\": $!";
foreach my $n (1 .. $nfiles)
{
	write_words("$many/$n", 64, $n * 65536);
}

foreach my $method (test_methods())
{
	my $node = iopool_node("files_$method", $method,
		'max_files_per_process' => 128,
		'iopool.rings' => 2, 'iopool.ring_entries' => 16);

	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";

		# Each file three times, far apart in the list, so that it cannot be
		# closed after its first range for good; a missing file among them.
		my $session = start_sql(
			$node, qq{
			SET iopool.io_mode = $mode;
			CREATE TEMP TABLE r AS
				SELECT n AS ordinal, (n * 7919) % $nfiles + 1 AS file, (n % 7) * 8 AS o
				FROM generate_series(1, 3 * $nfiles) AS n;
			CREATE FUNCTION pg_temp.wrong() RETURNS bigint LANGUAGE sql VOLATILE AS \$\$
				SELECT count(*) FILTER (WHERE b.data IS DISTINCT FROM int8send(r.file * 65536::bigint + r.o)) + count(*) - 3 * $nfiles
				FROM r JOIN iopool_read_batch(
					(SELECT array_agg('$many/' || file ORDER BY ordinal) FROM r),
					(SELECT array_agg(o ORDER BY ordinal) FROM r),
					(SELECT array_agg(8) FROM r)) AS b USING (ordinal)\$\$;
			SELECT 'wrong: ' || pg_temp.wrong();
			CREATE FUNCTION pg_temp.fds() RETURNS bigint LANGUAGE sql VOLATILE AS
				\$\$SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd')\$\$;
			SELECT pg_temp.fds() AS before \\gset
			SELECT 'wrong: ' || pg_temp.wrong();
			SELECT iopool_read_array(ARRAY['$many/1', '$many/none'], ARRAY[0, 0], ARRAY[8, 8]);
			DO \$\$ BEGIN
				PERFORM 1 / (ordinal - 2500) FROM iopool_read_batch(
					(SELECT array_agg('$many/' || n) FROM generate_series(1, $nfiles) AS n),
					array_fill(0::bigint, ARRAY[$nfiles]), array_fill(8::bigint, ARRAY[$nfiles]));
			EXCEPTION WHEN division_by_zero THEN NULL; END \$\$;
			SELECT 'left open: ' || pg_temp.fds() - :before;});
		my ($out, $err) = $session->finish;
		my @wrong = $out =~ /^wrong: (\d+)$/mg;
		is_deeply(\@wrong, [ 0, 0 ], "$label: $nfiles files in one call");
		like($out, qr/^left open: 0$/m, "$label: no descriptor is left open")
		  or diag($out);
		unlike($err, qr/ERROR:  (?!58P01)/, "$label: no other error");

		# A file is replaced, another renamed, a third removed while their
		# batch is held: it goes on reading what it opened.
		foreach my $name (qw(replaced renamed removed))
		{
			write_words($fs->backing($name), 400_000);
			$fs->gate($name);
		}
		my @sessions = map {
			start_sql($node,
				"SET iopool.io_mode = $mode;\nSET iopool.max_in_flight_bytes = '16kB';\n"
				  . "SELECT count(*) FILTER (WHERE data = int8send(file_offset)), count(*) FROM iopool_read_batch('"
				  . $fs->path($_)
				  . "', (SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 4999) AS n), ARRAY[8]);");
		} qw(replaced renamed);
		$fs->wait_blocked($_, 1) foreach (qw(replaced renamed));
		write_words($fs->backing('new'), 400_000, 2**40);
		rename $fs->backing('new'), $fs->backing('replaced') or die $!;
		rename $fs->backing('renamed'), $fs->backing('elsewhere') or die $!;
		$fs->ungate($_) foreach (qw(replaced renamed));
		foreach my $n (0, 1)
		{
			($out, $err) = $sessions[$n]->finish;
			is($out, '5000|5000',
				"$label: a file that was " . (qw(replaced renamed))[$n] . ' during its batch');
		}
		# The next batch opens the new file.
		is( $node->safe_psql('postgres',
				"SELECT iopool_read('" . $fs->path('replaced') . "', 8, 8) = int8send((1::bigint << 40) + 8)"),
			't', "$label: the next batch reads the new file");

		my $session3 = start_sql($node,
			"SET iopool.io_mode = $mode;\nSET iopool.max_in_flight_bytes = '16kB';\n"
			  . "SELECT count(*) FILTER (WHERE data = int8send(file_offset)), count(*) FROM iopool_read_batch('"
			  . $fs->path('removed')
			  . "', (SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 4999) AS n), ARRAY[8]);");
		$fs->wait_blocked('removed', 1);
		unlink $fs->backing('removed') or die $!;
		$fs->ungate('removed');
		($out, $err) = $session3->finish;
		is($out, '5000|5000', "$label: a file that was removed during its batch");

		# A file that shrinks under a batch ends earlier, and that is all.
		write_words($fs->backing('shrunk'), 400_000);
		$fs->gate('shrunk');
		my $session4 = start_sql($node,
			"SET iopool.io_mode = $mode;\nSET statement_timeout = '10min';\n"
			  . "SELECT bool_and(data = substr(int8send(file_offset), 1, length(data))), count(*) FROM iopool_read_batch('"
			  . $fs->path('shrunk')
			  . "', (SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 4999) AS n), ARRAY[8]);");
		$fs->wait_blocked('shrunk', 1);
		truncate $fs->backing('shrunk'), 100_003 or die $!;
		$fs->ungate('shrunk');
		($out, $err) = $session4->finish;
		is($out, 't|5000', "$label: a file that shrank during its batch");

		# One that grows while its end is looked for, before room is made for what
		# comes, is read to its new end.
		write_words($fs->backing('grown'), 800);
		$fs->gate('grown');
		my $session5 = start_sql($node,
			"SET iopool.io_mode = $mode;\nSET statement_timeout = '10min';\nSET iopool.merge_gap = -1;\n"
			  . "SELECT count(*), count(DISTINCT e), max(length(e)), bool_and(substr(e, 793, 9) = int8send(792) || 'x'::bytea) FROM unnest(iopool_read_array('"
			  . $fs->path('grown')
			  . "', array_fill(0::bigint, ARRAY[5000]), ARRAY[4000])) AS e;");
		$fs->wait_blocked('grown', 1);
		append_to_file($fs->backing('grown'), 'x' x 400_000);
		$fs->ungate('grown');
		($out, $err) = $session5->finish;
		is($out, '5000|1|4000|t', "$label: a file that grew while an array was read");
		rings_home($node, $label);
	}
	others_open_files($node, $method);
	$node->stop;
}

done_testing();

# Files that stay open for a query, or an expression, leave descriptors to other
# queries of the session, and to whatever else needs them.
sub others_open_files
{
	my ($node, $method) = @_;
	my $connect = "SELECT dblink_connect('c', 'host=''" . $node->host . "'' port=" . $node->port . " dbname=postgres')";
	my $after = qq{
		SELECT 'batch: ' || count(*) || ' ' || count(error) FROM iopool_read_batch((SELECT array_agg('$many/' || n) FROM generate_series(1, 50) AS n), array_fill(0, ARRAY[50]), array_fill(8, ARRAY[50]), 'report');
		$connect;};
	my %holders = (
		'cursors' => qq{DO \$\$ DECLARE c refcursor; b bytea; BEGIN FOR i IN 1 .. 200 LOOP c := 'c' || i;
			OPEN c FOR EXECUTE format('SELECT iopool_read(%L, 0, 8) FROM generate_series(1, 3)', '$many/' || i); FETCH c INTO b; END LOOP; END \$\$;},
		'one query' => "DECLARE c CURSOR FOR SELECT " . join(', ', map { "iopool_read('$many/$_', 0, 8) AS d$_" } 1 .. 200) . " FROM generate_series(1, 3);\nMOVE 1 IN c;",
		'a batch' => qq{DECLARE c CURSOR FOR SELECT data FROM iopool_read_batch((SELECT array_agg('$many/' || n) FROM generate_series(1, 600) AS n), array_fill(0, ARRAY[600]), array_fill(8, ARRAY[600]));\nMOVE 500 IN c;},
		'rows' => "DECLARE c CURSOR FOR SELECT data FROM generate_series(1, 600) AS n, iopool_read('$many/' || n, 0, 8) AS d(data);\nMOVE 500 IN c;");

	ask($node, 'CREATE EXTENSION dblink');
	foreach my $what (sort keys %holders)
	{
		my ($out, $err) = start_sql($node, "BEGIN;\n$holders{$what}\n$after\nROLLBACK;")->finish;
		like($out, qr/^batch: 50 0$/m, "$method, $what: another batch has its files");
		unlike($err, qr/ERROR/, "$method, $what: and a connection is made");
	}
	return;
}
