# The files of four servers as one table of a coordinator, by the scripts of
# examples/scale-out: answers are those of one server that has all files, each byte
# is read by the server that has it, four servers read side by side and take a
# quarter of the time, one server is asked where that is enough, and a server that
# is down, or goes away, is told of.  A part moves without any query failing, and
# the scripts can be run again.
#
# Each server has a disk of its own whose reads take 10 ms, one after the other, so
# that the disks are what takes time and not a processor.

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use IopoolTest;

my $nservers = 4;
my $nparts = 8;
# Reads that keep the disk of one server busy for 3.2 seconds.
my $ndocuments = 320;
my $read_usec = 10_000;

my $example = dirname(dirname(dirname(abs_path(__FILE__)))) . '/examples/scale-out';
my ($method, @more_methods) = test_methods();
my @disks = map { IopoolTest::GateFS->new } 0 .. $nservers;
my @nodes;

# --------------------------------------------------------------------------
# Documents.  Number id is in part id % parts; the last disk, of the coordinator,
# has all of them.

my @documents;
my %end_of;
foreach my $id (0 .. $ndocuments - 1)
{
	my $part = $id % $nparts;
	my $text = join ' ', 'document', map { $id + $_ } 1 .. 5 + $id * 7 % 90;
	my $file = "part_$part";
	my $offset = $end_of{$file} // 0;
	append_to_file($disks[$_]->backing($file), "$text\n") foreach ($part % $nservers, $nservers);
	$end_of{$file} = $offset + length($text) + 1;
	push @documents, { part => $part, id => $id, text => $text, row => join("\t", $part, $id, $file, $offset, length $text) };
}

# What a query says of some documents that says it by $answer.
my $answer = q{count(*), sum(words), sum(length(data)), md5(string_agg(id || encode(sha256(data), 'hex'), ',' ORDER BY id))};

sub expected
{
	my @chosen = @_;
	my ($nwords, $size) = (0, 0);
	foreach (@chosen)
	{
		$nwords += split / /, $_->{text};
		$size += length $_->{text};
	}
	return join '|', scalar @chosen, $nwords, $size,
	  md5_hex(join ',', map { $_->{id} . sha256_hex($_->{text}) } @chosen);
}

sub of_parts
{
	my %is_wanted = map { $_ => 1 } @_;
	return grep { $is_wanted{ $_->{part} } } @documents;
}

# --------------------------------------------------------------------------
# Servers

# Runs a script; returns what goes wrong.
sub script_errors
{
	my ($node, $script, %variables) = @_;
	my ($ok, undef, $err) = run_with('', 'psql', '-X', '-q', '-d', $node->connstr('postgres'),
		(map { ('-v', "$_=$variables{$_}") } sort keys %variables), '-f', "$example/$script");
	# a directory of a test is not as safe as /srv
	$err =~ s/^.*(?:WARNING|HINT): .*\n(?:DETAIL: .*\n)?//mg;
	return $ok && $err eq '' ? '' : "$script: $err";
}

sub run_script
{
	my ($node, $script, %variables) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(script_errors($node, $script, %variables), '', $node->name . ": $script");
	return;
}

sub fill
{
	my ($node, @chosen) = @_;
	$node->safe_psql('postgres', "COPY example_files.entry FROM STDIN;\n" . join('', map { "$_->{row}\n" } @chosen) . "\\.\nANALYZE example_files.entry;");
	return;
}

foreach my $n (0 .. $nservers)
{
	my $is_coordinator = $n == $nservers;
	my $node = iopool_node($is_coordinator ? 'coordinator' : "files_$n", $method, 'iopool.ring_entries' => 1, log_statement => 'ddl', no_start => 1);
	my $hba = $node->data_dir . '/pg_hba.conf';
	my $rest = slurp_file($hba);
	unlink $hba or die;
	append_to_file($hba, "local all example_scale_out scram-sha-256\n$rest");
	$node->start;
	run_script($node, 'files.sql', dir => dirname($disks[$n]->path('x')), parts => $nparts, password => 'secret');
	fill($node, grep { $is_coordinator || $_->{part} % $nservers == $n } @documents);
	push @nodes, $node;
}
my $coordinator = pop @nodes;
my @lines = map { join ' ', $_->name, $_->host, $_->port, 'postgres' } @nodes;
run_script($coordinator, 'coordinator.sql', parts => $nparts, password => 'secret', servers => join("\n", @lines));
$coordinator->safe_psql('postgres', q{
	CREATE VIEW example_files.object AS
	SELECT e.part, e.id, example_files.words(d.data) AS words, d.data
	FROM example_files.entry e, iopool_read('example_files:' || e.file, e.file_offset, e.length) AS d(data);
	GRANT SELECT ON example_files.object TO example_scale_out});

# As the application, in the session that ask() keeps, and with its connections.
sub app
{
	my ($sql) = @_;
	return ask($coordinator, "SET ROLE example_scale_out; SET search_path = example_scale_out, public; $sql; RESET ROLE");
}

# By a session of its own; returns what it says and what goes wrong.
sub app_alone
{
	my ($sql) = @_;
	return start_sql($coordinator, "SET ROLE example_scale_out; SET search_path = example_scale_out, public; $sql;")->finish;
}

sub reset_counters
{
	ask($_, 'SELECT iopool_stat_reset()') foreach (@nodes, $coordinator);
	return;
}

# Reads and bytes of each server since then, with those of the coordinator last.
sub counters
{
	return [ map { ask($_, 'SELECT reads, bytes FROM iopool_pools') } @nodes, $coordinator ];
}

sub counters_of
{
	my @chosen = @_;
	my @counters = map { [ 0, 0 ] } 0 .. $nservers;
	foreach (@chosen)
	{
		my $counter = $counters[ $_->{part} % $nservers ];
		$counter->[0]++;
		$counter->[1] += length $_->{text};
	}
	return [ map { join '|', @$_ } @counters ];
}

# --------------------------------------------------------------------------
# What is planned, here and there

sub test_plans
{
	my $by_part = 'SELECT part, count(*), sum(length(data)) FROM object GROUP BY part';
	my $plan = app("SET enable_partitionwise_aggregate = on; EXPLAIN (VERBOSE, COSTS OFF) $by_part");
	is(scalar(() = $plan =~ /Async Foreign Scan/g), $nparts, 'aggregates by part: side by side');
	unlike($plan, qr/Aggregate$/m, 'aggregates by part: on the servers');

	$plan = app("EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM object WHERE substr(data, 1, 8) = 'document' AND words > 50");
	is(scalar(() = $plan =~ /Async Foreign Scan/g), $nparts, 'filters: side by side');
	unlike($plan, qr/^\s*Filter:/m, 'filters: on the servers');

	$plan = app("EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM object WHERE (iopool_int4s(data))[1] = 1");
	unlike($plan, qr/^\s*Filter:/m, 'functions of a shippable extension: on the servers');

	foreach my $query ('SELECT id, data FROM object', $by_part, 'SELECT id FROM object WHERE words > 50')
	{
		my @remote = app("SET enable_partitionwise_aggregate = on; EXPLAIN (VERBOSE, COSTS OFF) $query") =~ /Remote SQL: (.*)/g;
		is(scalar @remote, $nparts, "$query: asks for each part");
		my @plain = grep { ask($nodes[0], "SET search_path = pg_catalog; EXPLAIN DECLARE c CURSOR FOR $_") !~ /Custom Scan \(Iopool/ } @remote;
		is_deeply(\@plain, [], "$query: each is read ahead");
	}
	return;
}

# --------------------------------------------------------------------------
# Answers, and who reads

sub test_answers
{
	is(app("SELECT $answer FROM example_files.object"), expected(@documents), "$method: what one server says");
	reset_counters();
	is(app("SELECT $answer FROM object"), expected(@documents), "$method: what four servers say");
	is_deeply(counters(), counters_of(@documents), "$method: each byte is read by the server that has it");

	reset_counters();
	is(app('SET enable_partitionwise_aggregate = on; SELECT sum(n), sum(words), sum(bytes)
			FROM (SELECT part, count(*) AS n, sum(words) AS words, sum(length(data)) AS bytes FROM object GROUP BY part) p'),
		expected(@documents) =~ s/\|\w+$//r, "$method: aggregates of each part");
	is_deeply(counters(), counters_of(@documents), "$method: read each byte once");

	reset_counters();
	is(app('SELECT count(*), sum(length) FROM entry'), expected(@documents) =~ s/^(\d+)\|\d+(\|\d+).*/$1$2/r,
		"$method: what the catalogue knows");
	is_deeply(counters(), counters_of(), "$method: takes no read");
	return;
}

# Rows that another table of the coordinator names: no more are read than these.
sub test_named_rows
{
	my @chosen = grep { $_->{id} % 50 == 5 } @documents;
	ask($coordinator, 'SET client_min_messages = warning; DROP TABLE IF EXISTS example_scale_out.chosen;
		CREATE TABLE example_scale_out.chosen (part int, id bigint); GRANT SELECT ON example_scale_out.chosen TO example_scale_out;
		INSERT INTO example_scale_out.chosen VALUES ' . join ', ', map { "($_->{part}, $_->{id})" } @chosen);
	foreach my $query (
		"SELECT $answer FROM object WHERE id = ANY (ARRAY(SELECT id FROM chosen))",
		"SELECT $answer FROM (SELECT o.* FROM chosen AS c, LATERAL (SELECT * FROM object WHERE part = c.part AND id = c.id OFFSET 0) AS o) AS o")
	{
		reset_counters();
		is(app($query), expected(@chosen), "$method: $query");
		is_deeply(counters(), counters_of(@chosen), "$method: reads what it returns");
	}
	return;
}

# A server's error comes with its SQLSTATE and with the part that it is about.
sub test_errors
{
	my ($file, $gone) = map { $disks[2]->backing($_) } qw(part_6 gone);
	rename $file, $gone or die;
	my (undef, $err) = app_alone("SELECT $answer FROM object");
	rename $gone, $file or die;
	like($err, qr/ERROR:  58P01: could not open file "example_files:part_6": No such file/, "$method: a file that is missing");
	like($err, qr/CONTEXT:  remote SQL command: .*example_files\.object_6/, "$method: the error names the part");
	return;
}

# The application can use the servers, and learn or change nothing about them.
# Here the role of the servers can read what the views show, and nothing else.
sub test_rights
{
	is(app('SELECT count(umoptions) FROM pg_user_mappings'), 0, 'rights: no password is shown');
	foreach my $sql (q{CALL place(3, 'files_0')}, q{ALTER USER MAPPING FOR example_scale_out SERVER files_0 OPTIONS (SET user 'postgres')})
	{
		like((app_alone($sql))[1], qr/ERROR:  42501/, "rights: no $sql");
	}
	local $ENV{PGPASSWORD} = 'secret';
	foreach my $sql ('TABLE example_files.entry', q{SELECT iopool_read('PG_VERSION', 0, 1)}, 'CALL example_files.add_part(99)')
	{
		my (undef, $err) = start_sql($nodes[0], "$sql;", user => 'example_scale_out')->finish;
		like($err, qr/ERROR:  42501/, "rights: no $sql");
	}
	foreach my $node (@nodes, $coordinator)
	{
		unlike(slurp_file($node->logfile), qr/PASSWORD 'secret'|password 'secret'/, 'rights: no password in the log of ' . $node->name);
	}
	return;
}

# A role of the page's, as which an application connects.
sub test_web
{
	ask($coordinator, 'CREATE ROLE web LOGIN; GRANT example_scale_out TO web; ALTER ROLE web SET role = example_scale_out;
		ALTER ROLE web SET search_path = example_scale_out, public');
	my ($out, $err) = start_sql($coordinator, "SELECT $answer FROM object;", user => 'web')->finish;
	is("$err$out", expected(@documents), 'web: reads all');
	($out, $err) = start_sql($coordinator, 'RESET ROLE; SET ROLE NONE; TABLE entry;', user => 'web')->finish;
	like($err, qr/ERROR:  42704: user mapping not found for (?:user )?"web"/, 'web: only as the role that has the mapping');

	# Who lets the coordinator in without asking for the password.
	my $hba = $nodes[3]->data_dir . '/pg_hba.conf';
	my $asks = slurp_file($hba);
	unlink $hba or die;
	append_to_file($hba, $asks =~ s/scram-sha-256/trust/r);
	$nodes[3]->reload;
	ok(poll_until(sub { (app_alone('SELECT count(*) FROM entry'))[1] =~ /ERROR:  2F003/ }), 'a server that asks for no password is refused');
	ask($coordinator, q{ALTER USER MAPPING FOR example_scale_out SERVER files_3 OPTIONS (ADD password_required 'false')});
	is((app_alone('SELECT count(*) FROM entry'))[0], $ndocuments, 'unless the user mapping says so');
	ask($coordinator, 'ALTER USER MAPPING FOR example_scale_out SERVER files_3 OPTIONS (DROP password_required)');
	unlink $hba or die;
	append_to_file($hba, $asks);
	$nodes[3]->reload;
	ok(poll_until(sub { (app_alone('SELECT count(*) FROM entry'))[0] eq $ndocuments }), 'or until it asks again');
	return;
}

# A server asks all servers how large a table is, and for no byte of it.
sub test_analyze
{
	reset_counters();
	my (undef, $err) = start_sql($coordinator, 'ANALYZE;')->finish;
	is($err, '', 'ANALYZE of the whole database');
	is_deeply(counters(), counters_of(), 'ANALYZE takes no read');
	return;
}

sub test_pruning
{
	my ($document) = grep { $_->{id} == 77 } @documents;
	reset_counters();
	my ($out, $err) = app_alone(
		"SELECT convert_from(data, 'UTF8') FROM object WHERE part = 77 % $nparts AND id = 77; SELECT server_name FROM postgres_fdw_get_connections()");
	is("$err$out", "$document->{text}\nfiles_1", "$method: one part: one server is asked");
	is_deeply(counters(), counters_of($document), "$method: one part: it makes one read");
	($out, $err) = app_alone(q{SET plan_cache_mode = force_generic_plan;
		PREPARE by_part(int) AS SELECT count(*) FROM object WHERE part = $1; EXECUTE by_part(1);
		SELECT server_name FROM postgres_fdw_get_connections()});
	is("$err$out", scalar(of_parts(1)) . "\nfiles_1", "$method: a part that is a parameter: one server is asked");
	($out, $err) = app_alone(q{SET plan_cache_mode = force_generic_plan;
		PREPARE by_parts(int, int) AS SELECT count(*) FROM object WHERE part IN ($1, $2); EXECUTE by_parts(1, 2);
		SELECT server_name FROM postgres_fdw_get_connections() ORDER BY 1});
	is("$err$out", scalar(of_parts(1, 2)) . "\nfiles_1\nfiles_2", "$method: two parameters: two servers are asked");
	return;
}

# --------------------------------------------------------------------------
# Side by side

sub test_in_flight
{
	$disks[$_]->gate("part_$_") foreach (0 .. $nservers - 1);
	# From 16 on, what an aggregate wants in order is sorted on the servers, and
	# merged from one after the other.
	my $session = start_sql($coordinator, "SET ROLE example_scale_out; SELECT $answer FROM (SELECT * FROM example_scale_out.object OFFSET 0) AS o;");
	foreach (0 .. $nservers - 1)
	{
		ok($disks[$_]->wait_blocked("part_$_", 1), "$method: server $_ reads while the others do") or last;
	}
	$disks[$_]->ungate("part_$_") foreach (0 .. $nservers - 1);
	is(join('', $session->finish), expected(@documents), "$method: held reads end well");
	return;
}

sub set_delay
{
	my ($usec) = @_;
	foreach my $disk (@disks)
	{
		$disk->delay("part_$_", $usec) foreach (0 .. $nparts - 1);
	}
	return;
}

# The best of rounds by turns.  Disks are never faster than they are: who reads one
# server after the other takes the whole time in every round.  A machine that has no
# processor to spare for a while gets more rounds.
sub test_speed
{
	my %times;
	my ($one, $four);

	set_delay($read_usec);
	foreach my $round (1 .. 12)
	{
		foreach my $from ('example_files.object', 'object')
		{
			my $start = clock_gettime(CLOCK_MONOTONIC);
			my $said = app("SELECT count(*), sum(length(data)) FROM $from");
			push @{ $times{$from} }, clock_gettime(CLOCK_MONOTONIC) - $start;
			like($said, qr/^$ndocuments\|/, "$method: all documents from $from");
		}
		($one, $four) = map { min(@{ $times{$_} }) } 'example_files.object', 'object';
		last if $round >= 2 && $four / $one <= 0.35;
	}
	set_delay(0);
	note(sprintf '%s: one server %.3f s, four servers %.3f s, %.2f of it', $method, $one, $four, $four / $one);
	cmp_ok($one, '>=', $ndocuments * $read_usec / 1e6, "$method: the disk is what takes time");
	cmp_ok($four / $one, '<=', 0.35, "$method: four servers take a third of the time of one, at most");
	return;
}

# --------------------------------------------------------------------------
# A server that is down; a part that moves

sub test_down
{
	$nodes[2]->stop('immediate');
	foreach my $session ('a session that had a connection', 'a new one')
	{
		my $error = $session =~ /^a new/ ? (app_alone("SELECT $answer FROM object"))[1] : do { eval { app("SELECT $answer FROM object") }; $@ };
		like($error, qr/ERROR:  08001: could not connect to server "files_2"/, "$method, down: $session says so");
	}
	my @others = of_parts(grep { $_ % $nservers != 2 } 0 .. $nparts - 1);
	is(app("SELECT $answer FROM object WHERE part = 3"), expected(of_parts(3)), "$method, down: parts of others are there");
	my ($parts, $err) = app_alone('SELECT parts_up()');
	is($parts, '{0,1,3,4,5,7}', "$method, down: which ones");
	like($err, qr/WARNING:.* server "files_2" does not answer: parts \{2,6\} are left out\nDETAIL:  could not connect to server "files_2"\nconnection to server /,
		"$method, down: with a warning and a reason");
	unlike($err, qr/ERROR/, "$method, down: and no error");
	is(app("SELECT $answer FROM object WHERE part = ANY ('$parts')"), expected(@others), "$method, down: a part of the answer");

	$nodes[2]->start;
	is(app("SELECT $answer FROM object"), expected(@documents), "$method: it is back");
	is((app_alone('SELECT parts_up()'))[0], '{0,1,2,3,4,5,6,7}', "$method: all parts are");
	return;
}

# It goes away while it reads.  Signals are sent before a new connection is refused.
sub test_vanishing
{
	$disks[2]->gate('part_2');
	my $session = start_sql($coordinator, "SET ROLE example_scale_out; SET search_path = example_scale_out;
		SELECT $answer FROM (SELECT * FROM object OFFSET 0) AS o; SELECT $answer FROM object WHERE part = 3;");
	$disks[2]->wait_blocked('part_2', 1);
	my $stopper = fork() // die;
	POSIX::_exit(system('pg_ctl', '-s', '-D', $nodes[2]->data_dir, '-m', 'immediate', 'stop')) if $stopper == 0;
	ok(poll_until(sub { ($nodes[2]->psql('postgres', 'SELECT'))[0] != 0 }), "$method, vanished: the server takes nobody any more");
	$disks[2]->ungate('part_2');
	waitpid $stopper, 0;
	my ($out, $err) = $session->finish;
	like($err, qr/ERROR:  08\w\w\w: /, "$method, vanished: an error of class 08");
	is($out, expected(of_parts(3)), "$method, vanished: the session goes on with others");
	$nodes[2]->stop('immediate', fail_ok => 1);
	$nodes[2]->start;
	is(app("SELECT $answer FROM object"), expected(@documents), "$method, vanished: it is back");
	return;
}

# Part 2 and 6 go from server 2 to server 3.
sub test_moving
{
	foreach my $part (2, 6)
	{
		append_to_file($disks[3]->backing("part_$part"), slurp_file($disks[2]->backing("part_$part")));
		fill($nodes[3], of_parts($part));
	}
	is(app("SELECT $answer FROM object"), expected(@documents), 'copied: nothing is there twice');

	# A query that has one table and wants the other, while place() has that and
	# wants the first: place() gives up.
	ask($coordinator, 'SELECT pg_advisory_lock(4712)');
	my $query = start_sql($coordinator, 'SET ROLE example_scale_out; SET search_path = example_scale_out, public;
		BEGIN; SELECT count(*) FROM object WHERE part = 1; SELECT pg_advisory_lock(4712) IS NULL; SELECT count(*) FROM entry; COMMIT;');
	my $waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event";
	ask_until($coordinator, "$waits = 'advisory'");
	my $mover = start_sql($coordinator, q{CALL example_scale_out.place(2, 'files_3');});
	poll_until(sub { $mover->has_ended || ask($coordinator, "$waits = 'relation'") eq 't' });
	ask($coordinator, 'SELECT pg_advisory_unlock(4712)');
	is(join('', $query->finish), join("\n", scalar(of_parts(1)), 'f', $ndocuments), 'moving: a query of both tables goes on');
	like(($mover->finish)[1], qr/ERROR:  55P03/, 'moving: place() gives up');
	is(app('SELECT server FROM placement WHERE part = 2'), 'files_2', 'moving: nothing has changed');

	# Where it has the time, it waits for those that read at the old place.
	$disks[2]->gate('part_2');
	$query = start_sql($coordinator, "SET ROLE example_scale_out; SELECT $answer FROM (SELECT * FROM example_scale_out.object OFFSET 0) AS o;");
	$disks[2]->wait_blocked('part_2', 1);
	$mover = start_sql($coordinator, q{SET lock_timeout = '10min'; CALL example_scale_out.place(2, 'files_3');});
	ask_until($coordinator, "$waits = 'relation'");
	$disks[2]->ungate('part_2');
	is(join('', $query->finish), expected(@documents), 'moving: who reads at the old place ends well');
	is(join('', $mover->finish), '', 'moving: then the part moves');
	reset_counters();
	is(app("SELECT $answer FROM object"), expected(@documents), 'moved: all is there');
	is(counters()->[3], scalar(of_parts(2, 3, 7)) . '|' . (split /\|/, expected(of_parts(2, 3, 7)))[2], 'moved: its new server reads it');
	is(app('SELECT server FROM placement WHERE part = 2'), 'files_3', 'moved: and is told');
	test_again();

	# A second host that has the same files.
	$nodes[2]->stop;
	ask($coordinator, sprintf q{ALTER SERVER files_2 OPTIONS (SET host '%1$s,%1$s', SET port '%2$s,%3$s')},
		$nodes[2]->host, $nodes[2]->port, $nodes[3]->port);
	is(app("SELECT $answer FROM object"), expected(@documents), 'down: a second host answers');

	# One more part.
	ask($nodes[1], q{INSERT INTO example_files.entry SELECT 9, 1000, file, file_offset, length FROM example_files.entry WHERE id = 1});
	is(app(q{SELECT id, convert_from(data, 'UTF8') FROM object WHERE part = 9}), "1000|$documents[1]{text}", 'a new part');
	return;
}

# The scripts, run again: with another password and more parts, and with lists of
# servers that are wrong.
sub test_again
{
	my $placed = q{SELECT string_agg(part || ' ' || server, ',' ORDER BY part) FROM placement};
	my $was = app($placed);
	run_script($nodes[$_], 'files.sql', dir => dirname($disks[$_]->path('x')), parts => $nparts + 2, password => 'other') foreach (0 .. $nservers - 1);
	is((app_alone('SELECT parts_up()'))[0], '{}', 'again: with another password, no server lets the coordinator in');
	run_script($coordinator, 'coordinator.sql', parts => $nparts + 2, password => 'other', servers => join("\n", @lines));
	is(app($placed), "$was,8 files_0,9 files_1", 'again: parts stay where they are, new ones are dealt out');
	is(app("SELECT $answer FROM object"), expected(@documents), 'again: catalogues are as they were');

	ask($coordinator, 'CREATE SERVER taken FOREIGN DATA WRAPPER postgres_fdw');
	foreach my $case (
		[ 'a name twice', qr/duplicate key .*\n.*Key \(name\)=\(files_0\) already exists/, @lines, $lines[0] ],
		[ 'no database', qr/null value in column "dbname" .*\n.*files_9/, @lines, 'files_9 localhost 5432' ],
		[ 'a word too many', qr/"wanted_rest_check"\n.*files_9/, @lines, 'files_9 localhost 5432 files more' ],
		[ 'a server of others', qr/server "taken" already exists/, @lines, 'taken localhost 5432 files' ])
	{
		my ($what, $error, @bad) = @$case;
		like(script_errors($coordinator, 'coordinator.sql', parts => 20, password => 'bad', servers => join("\n", @bad)), $error, "again: $what");
		is(app($placed), "$was,8 files_0,9 files_1", "again, $what: nothing is placed");
	}
	is(app("SELECT $answer FROM object"), expected(@documents), 'again: no server has changed');
	return;
}

# --------------------------------------------------------------------------
# Parts by hash: the coordinator sends each row of the catalogue to its server

sub test_hash
{
	my $nhashes = 6;
	foreach my $part (0 .. $nhashes - 1)
	{
		ask($nodes[$part % $nservers], qq{
			CREATE TABLE example_files.hash_entry_$part (LIKE example_files.entry INCLUDING ALL);
			CREATE VIEW example_files.hash_object_$part AS SELECT e.id, d.data FROM example_files.hash_entry_$part AS e,
				iopool_read('example_files:' || e.file, e.file_offset, e.length) AS d(data);
			GRANT SELECT, INSERT ON example_files.hash_entry_$part, example_files.hash_object_$part TO example_scale_out});
	}
	my $columns = 'part int, id bigint, file text, file_offset bigint, length bigint';
	ask($coordinator, "SET search_path = example_scale_out;
		CREATE TABLE hash_entry ($columns) PARTITION BY HASH (id);
		CREATE TABLE hash_object (id bigint, data bytea) PARTITION BY HASH (id);
		GRANT SELECT, INSERT ON hash_entry, hash_object TO example_scale_out;"
		. join '', map {
			my ($part, $server) = ($_, $nodes[$_ % $nservers]->name);
			map { "CREATE FOREIGN TABLE hash_${_}_$part PARTITION OF hash_$_ FOR VALUES WITH (MODULUS $nhashes, REMAINDER $part)
				SERVER $server OPTIONS (schema_name 'example_files', table_name 'hash_${_}_$part');" } qw(entry object)
		} 0 .. $nhashes - 1);
	# the ranges of a file that all servers have
	append_to_file($disks[$_]->backing('all'), slurp_file($disks[0]->backing('part_0'))) foreach (0 .. $nservers - 1);
	my @chosen = of_parts(0);
	app('INSERT INTO hash_entry VALUES ' . join ', ', map { my @row = split /\t/, $_->{row}; "(0, $row[1], 'all', $row[3], $row[4])" } @chosen);
	reset_counters();
	is(app("SELECT count(*), md5(string_agg(id || encode(sha256(data), 'hex'), ',' ORDER BY id)) FROM hash_object"),
		expected(@chosen) =~ s/\|.*\|/|/r, 'hash: all is there');
	is(scalar(grep { /^[1-9]/ } @{ counters() }), $nservers, 'hash: on all servers');
	my $query = "SELECT convert_from(data, 'UTF8') FROM hash_object WHERE id = 8";
	is(app($query), $documents[8]{text}, 'hash: by id');
	is(scalar(() = app("EXPLAIN $query") =~ /Foreign Scan/g), 1, 'hash: one server is asked');
	my ($out, $err) = app_alone(q{SET plan_cache_mode = force_generic_plan;
		PREPARE by_id(bigint) AS SELECT count(*) FROM hash_object WHERE id = $1; EXECUTE by_id(8);
		SELECT count(*) FROM postgres_fdw_get_connections()});
	is("$err$out", "1\n1", 'hash: an id that is a parameter: one server is asked');
	return;
}

# --------------------------------------------------------------------------

test_plans();
test_rights();
test_web();
test_analyze();
test_hash();
while (1)
{
	test_answers();
	test_named_rows();
	test_pruning();
	test_in_flight();
	test_speed();
	test_errors();
	test_vanishing();
	test_down();
	rings_home($_, "$method, " . $_->name) foreach (@nodes, $coordinator);
	$method = shift @more_methods // last;
	foreach my $node (@nodes, $coordinator)
	{
		$node->append_conf('postgresql.conf', "iopool.method = '$method'");
		$node->restart;
	}
}
test_moving();
$_->stop foreach (@nodes[0, 1, 3], $coordinator);
done_testing();
