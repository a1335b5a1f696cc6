# The files of four servers as one table of a coordinator, by the scripts of
# examples/scale-out: answers are those of one server that has all files, each byte
# is read by the server that has it, four servers read side by side and take a
# quarter of the time, one server is asked where that is enough, and a server that
# is down is told of.
#
# Each server has a disk of its own whose reads take 10 ms, one after the other, so
# that the disks are what takes time and not a processor.

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
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

sub run_script
{
	my ($node, $script, %variables) = @_;
	my ($ok, undef, $err) = run_with('', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		(map { ('-v', "$_=$variables{$_}") } sort keys %variables), '-f', "$example/$script");
	# a directory of a test is not as safe as /srv
	$err =~ s/^.*(?:WARNING|DETAIL|HINT): .*\n//mg;
	ok($ok && $err eq '', $node->name . ": $script") or diag($err);
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
	my $node = iopool_node($is_coordinator ? 'coordinator' : "files_$n", $method, 'iopool.ring_entries' => 1);
	run_script($node, 'files.sql', dir => dirname($disks[$n]->path('x')), parts => $nparts, password => 'secret');
	fill($node, grep { $is_coordinator || $_->{part} % $nservers == $n } @documents);
	push @nodes, $node;
}
my $coordinator = pop @nodes;
run_script($coordinator, 'coordinator.sql', parts => $nparts, password => 'secret',
	servers => join("\n", map { join ' ', $_->name, $_->host, $_->port, 'postgres' } @nodes));
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

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return $sorted[ @sorted / 2 ];
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

# The medians of rounds by turns.  Who reads one server after the other takes the
# whole time in every round; a machine that has no processor to spare for a while
# gets more of them.
sub test_speed
{
	my %times;
	my ($one, $four);

	set_delay($read_usec);
	foreach my $round (1 .. 9)
	{
		foreach my $from ('example_files.object', 'object')
		{
			my $start = clock_gettime(CLOCK_MONOTONIC);
			my $said = app("SELECT count(*), sum(length(data)) FROM $from");
			push @{ $times{$from} }, clock_gettime(CLOCK_MONOTONIC) - $start;
			like($said, qr/^$ndocuments\|/, "$method: all documents from $from");
		}
		($one, $four) = map { median(@{ $times{$_} }) } 'example_files.object', 'object';
		last if $round >= 3 && $four / $one <= 0.35;
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
	like($err, qr/WARNING:.* server "files_2" does not answer: parts \{2,6\} are left out/, "$method, down: with a warning");
	unlike($err, qr/ERROR/, "$method, down: and no error");
	is(app("SELECT $answer FROM object WHERE part = ANY ('$parts')"), expected(@others), "$method, down: a part of the answer");

	$nodes[2]->start;
	is(app("SELECT $answer FROM object"), expected(@documents), "$method: it is back");
	is((app_alone('SELECT parts_up()'))[0], '{0,1,2,3,4,5,6,7}', "$method: all parts are");
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
	ask($coordinator, q{CALL example_scale_out.place(2, 'files_3')});
	reset_counters();
	is(app("SELECT $answer FROM object"), expected(@documents), 'moved: all is there');
	is(counters()->[3], scalar(of_parts(2, 3, 7)) . '|' . (split /\|/, expected(of_parts(2, 3, 7)))[2], 'moved: its new server reads it');
	is(app('SELECT server FROM placement WHERE part = 2'), 'files_3', 'moved: and is told');

	# A second host that has the same files.
	$nodes[2]->stop;
	ask($coordinator, sprintf q{ALTER SERVER files_2 OPTIONS (SET host '%1$s,%1$s', SET port '%2$s,%3$s')},
		$nodes[2]->host, $nodes[2]->port, $nodes[3]->port);
	is(app("SELECT $answer FROM object"), expected(@documents), 'down: a second host answers');

	# One more part.
	ask($nodes[1], 'CALL example_files.add_part(8)');
	ask($nodes[1], q{INSERT INTO example_files.entry SELECT 8, 1000, file, file_offset, length FROM example_files.entry WHERE id = 1});
	ask($coordinator, q{CALL example_scale_out.place(8, 'files_1')});
	is(app(q{SELECT id, convert_from(data, 'UTF8') FROM object WHERE part = 8}), "1000|$documents[1]{text}", 'a new part');
	return;
}

# --------------------------------------------------------------------------
# Parts by hash: the coordinator sends each row of the catalogue to its server

sub test_hash
{
	foreach my $part (0 .. $nservers - 1)
	{
		ask($nodes[$part], qq{
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
			my $part = $_;
			map { "CREATE FOREIGN TABLE hash_${_}_$part PARTITION OF hash_$_ FOR VALUES WITH (MODULUS $nservers, REMAINDER $part)
				SERVER files_$part OPTIONS (schema_name 'example_files', table_name 'hash_${_}_$part');" } qw(entry object)
		} 0 .. $nservers - 1);
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
	return;
}

# --------------------------------------------------------------------------

test_plans();
test_hash();
while (1)
{
	test_answers();
	test_pruning();
	test_in_flight();
	test_speed();
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
