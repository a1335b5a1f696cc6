# What iopool.log_min_duration logs: every call with its role, its first path and
# its waits; with 0 also every file, those that are refused included.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
mkdir "$dir/tiles" or die;
write_words("$dir/tiles/$_", 1024 * 1024) foreach qw(a b);

my $node;

# The lines that a query as a role leaves in the log, without their prefixes.
sub logged
{
	my ($role, $query) = @_;
	my $position = -s $node->logfile;

	$node->psql('postgres', "SET ROLE $role;\n$query");
	return join "\n", grep { s/^.*LOG:  (?=iopool: )// } split /\n/, log_since($node, $position);
}

foreach my $method (test_methods())
{
	$node = iopool_node("log_$method", $method, 'iopool.rings' => 2, log_line_prefix => '%p ');
	$node->safe_psql('postgres', qq{
		CREATE SERVER tiles FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$dir/tiles');
		CREATE ROLE app; CREATE ROLE reader; CREATE ROLE nobody;
		GRANT pg_read_server_files TO reader;
		GRANT USAGE ON FOREIGN SERVER tiles TO app;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app, nobody;});
	$node->safe_psql('postgres', 'ALTER SYSTEM SET iopool.log_min_duration = 0');
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', q{SELECT current_setting('iopool.log_min_duration') = '0'});

	my $waits = qr/waited \d+\.\d{3} ms for rings and \d+\.\d{3} ms for reads, pool default/;
	my $took = sub {
		my ($role, $ranges, $bytes, $path) = @_;
		return qr/^iopool: call took \d+\.\d{3} ms: role "$role", $ranges ranges, \d+ reads, $bytes bytes, first path "\Q$path\E", $waits$/m;
	};

	my %calls = (
		'a small read' => [ q{SELECT iopool_read('tiles:a', 8, 100)}, 1, 100 ],
		'a long read' => [ q{SELECT iopool_read('tiles:a', 8, 500000)}, 1, 500000 ],
		'a batch' => [ q{SET iopool.enable_stream_scan = off; SELECT * FROM iopool_read_batch('tiles:a', ARRAY[0, 80], ARRAY[8])}, 2, 16 ],
		'a node' => [ q{SELECT * FROM iopool_read_batch('tiles:a', ARRAY[0, 80], ARRAY[8])}, 2, 16 ],
		'a lateral join' => [ q{SELECT length(data) FROM generate_series(0, 9) AS i, LATERAL iopool_read('tiles:a', i * 80, 8) AS data}, 10, 80 ],
		'a select list' => [ q{SELECT length(iopool_read('tiles:a', i * 80, 8)) FROM generate_series(0, 9) AS i}, 10, 80 ],
		'an array' => [ q{SELECT iopool_read_array('tiles:a', ARRAY[0, 80], ARRAY[8])}, 2, 16 ],
		'a request' => [ q{SELECT count(*) FROM iopool_submit('tiles:a', ARRAY[0, 80], ARRAY[8, 8]) AS r, iopool_fetch(r)}, 2, 16 ]);
	foreach my $name (sort keys %calls)
	{
		my ($query, $ranges, $bytes) = @{ $calls{$name} };
		my $log = logged('app', $query);

		like($log, $took->('app', $ranges, $bytes, 'tiles:a'), "$method: $name is logged");
		like($log, qr/^iopool: role "app" reads file "tiles:a"$/m, "$method: $name: its file is");
	}

	my $log = logged('app', q{SELECT * FROM iopool_read_batch(ARRAY['tiles:a', 'tiles:b', 'tiles:none'], ARRAY[0, 0, 0], ARRAY[8, 8, 8], 'report')});
	like($log, qr/^iopool: role "app" reads file "tiles:$_"$/m, "$method: every file is logged: $_") foreach qw(a b);
	like($log, qr/^iopool: role "app" cannot read file "tiles:none": could not open file "tiles:none": No such file or directory$/m,
		"$method: and the one that is not there");
	like(logged('reader', "SELECT iopool_prefetch('$dir/tiles/a', ARRAY[0], ARRAY[8])"),
		qr/^iopool: role "reader" reads file "\Q$dir\E\/tiles\/a"$/m, "$method: a file that is prefetched is logged");

	# What is listed, and files of which only the size is told.
	is(logged('app', q{SELECT count(*) FROM iopool_list('tiles:', '**')}), 'iopool: role "app" lists directory "tiles:"', "$method: a list is logged");
	is(logged('app', q{SELECT * FROM iopool_list('tiles:none')}),
		'iopool: role "app" cannot list directory "tiles:none": could not open directory "tiles:none": No such file or directory', "$method: and one of nothing");
	is(logged('nobody', q{SELECT * FROM iopool_list('tiles:')}), 'iopool: role "nobody" was refused file "tiles:"', "$method: and who was refused it");
	is(logged('app', q{SELECT * FROM iopool_stat('tiles:a')}), 'iopool: role "app" reads file "tiles:a"', "$method: a size is logged");

	# Refused, and nobody hears of it but the log.
	foreach my $path ('tiles:a', "$dir/tiles/a", 'nowhere:a')
	{
		foreach my $call ("iopool_read('$path', 0, 8)", "iopool_read_array('$path', ARRAY[0, 8], ARRAY[8])", "iopool_submit('$path', ARRAY[0], ARRAY[8])")
		{
			is(logged('nobody', "DO \$\$ BEGIN PERFORM $call; EXCEPTION WHEN OTHERS THEN NULL; END \$\$"),
				qq{iopool: role "nobody" was refused file "$path"}, "$method: what is refused is logged: $call");
		}
	}

	# A call that ends early is logged too.
	like(logged('app', q{SELECT * FROM iopool_read_batch(ARRAY['tiles:a', 'tiles:none'], ARRAY[0, 0], ARRAY[8, 8])}),
		qr/^iopool: call ended early after .*role "app".*first path "tiles:a"/m, "$method: a call that fails is logged");
	like(logged('app', q{BEGIN; DECLARE c CURSOR FOR SELECT 1 FROM iopool_read_batch('tiles:a', ARRAY[0, 80, 160], ARRAY[8]); FETCH 1 FROM c; ROLLBACK}),
		qr/^iopool: call ended early after .*role "app".*first path "tiles:a"/m, "$method: a cursor that is rolled back is logged");
	like(logged('app', q{BEGIN; SELECT iopool_submit('tiles:a', ARRAY[0, 80], ARRAY[8, 8]); ROLLBACK}),
		qr/^iopool: call (?:took|ended early after) .*role "app".*first path "tiles:a"/m, "$method: a request that is rolled back is logged");

	# What is logged is for the server's log.
	my ($out, $err);
	$node->psql('postgres', q{SET client_min_messages = log; SELECT iopool_read('tiles:a', 8, 8); SELECT iopool_read('tiles:a', 8, 500000) IS NULL},
		stdout => \$out, stderr => \$err);
	is($err, '', "$method: no client sees it");

	# A cancel that comes while a file is opened or logged waits until that is
	# done: no descriptor is lost, nor the server.
	foreach my $file ('tiles:', "$dir/tiles/")
	{
		my $fds = q{SELECT count(*) FROM pg_ls_dir('/proc/self/fd')};
		ask($node, "SET iopool.enable_stream_scan = off; SELECT iopool_read('${file}a', 0, 8)");
		my $before = ask($node, $fds);
		ask($node, qq{
			DO \$\$
			BEGIN
				FOR i IN 1 .. 40 LOOP
					BEGIN
						PERFORM set_config('statement_timeout', '0', false);
						PERFORM count(iopool_read('$file' || CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END, n % 1000, 12))
						FROM (SELECT generate_series(1, 200) AS n OFFSET 0) AS s, LATERAL (SELECT CASE WHEN n = 60 + i THEN pg_cancel_backend(pg_backend_pid()) END OFFSET 0) AS c;
					EXCEPTION WHEN query_canceled THEN
					END;
				END LOOP;
			END \$\$});
		# catalogs may be opened for the first time
		cmp_ok(ask($node, $fds), '<', $before + 10, "$method: no descriptor is left of ${file}");
	}

	# With a limit, only the calls that take as long; it is longer than a quick
	# call takes on a busy machine.
	my $slow = q{SELECT count(*) FROM iopool_read_batch('tiles:a', ARRAY[0, 80], ARRAY[8]), pg_sleep(1.1)};
	$node->safe_psql('postgres', 'ALTER SYSTEM SET iopool.log_min_duration = 1000');
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', q{SELECT current_setting('iopool.log_min_duration') = '1s'});
	is(logged('app', $_), '', "$method: what is quick or refused is not logged above a limit: $_")
	  foreach (q{SELECT iopool_read('tiles:a', 8, 100)}, $slow, q{SELECT iopool_read('nowhere:a', 0, 8)},
		q{SELECT length(iopool_read('tiles:a', 8, 500000)), pg_sleep(1.1)},
		q{BEGIN; SELECT iopool_wait(iopool_submit('tiles:a', ARRAY[0], ARRAY[8])); SELECT pg_sleep(1.1); ROLLBACK});
	my $held = q{BEGIN; SELECT iopool_submit('tiles:a', ARRAY[0], ARRAY[8]); SELECT pg_sleep(1.1); SELECT iopool_poll(1); COMMIT};
	like(logged('app', $held), qr/^iopool: call took \d{4,}\.\d{3} ms: role "app", 1 ranges/m, "$method: a request that takes its time is");
	$node->stop;
}

done_testing();
