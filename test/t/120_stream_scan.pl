# What the nodes that read in the place of function scans promise beside their
# rows: no ring is held while somebody else is waited for, little is read for
# little, an end in the middle loses nothing, what they cannot serve keeps its plan.
# That their rows are right is 121_fuzz.pl's matter.

use strict;
use warnings;

use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my @both = ('on', 'off');

my $tmp = PostgreSQL::Test::Utils::tempdir();
my $fs = IopoolTest::GateFS->new;
my $held = $fs->path('held');
my $plain = "$tmp/words";
write_words($fs->backing('held'), 4_000_000);
write_words($plain, 8_000_000);

# ----------------------------------------------------------------------------
# What is promised beside the rows

# All nodes over 20,000 ranges that lie apart: of the plain file, and of one
# whose first 1,000 rows are plain and the others held.
my $batch = "iopool_read_batch((SELECT array_agg(path ORDER BY id) FROM PLACES), (SELECT array_agg(o ORDER BY id) FROM PLACES), (SELECT array_agg(8) FROM PLACES)) AS f";
my $lateral = "PLACES AS c, LATERAL iopool_read(c.path, c.o, 8) AS f(data)";
my $project = '(SELECT c.*, iopool_read(c.path, c.o, 8) AS data FROM PLACES AS c) AS f';
my %nodes = (
	project => { from => $project, id => 'f.id', node => 'IopoolProject' },
	batch => { from => $batch, id => 'f.ordinal', node => 'IopoolScan' },
	lateral => { from => $lateral, id => 'c.id', node => 'IopoolLateral' });

sub from
{
	my ($name, $table) = @_;
	return $nodes{$name}{from} =~ s/PLACES/$table/gr;
}

my $places = qq{
	CREATE TABLE places AS SELECT n AS id, '$plain'::text AS path, n * 192::bigint AS o, n % 7 AS kind FROM generate_series(1, 20000) AS n;
	CREATE TABLE held_places AS SELECT n AS id, CASE WHEN n < 1000 THEN '$plain' ELSE '$held' END AS path, n * 192::bigint AS o FROM generate_series(1, 20000) AS n;
	CREATE TABLE broken_places AS SELECT id, CASE WHEN id = 1 THEN '$plain.gone' ELSE '$held' END AS path, o FROM held_places;
	CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS \$\$
	DECLARE
		line text;
		plan text := '';
	BEGIN
		FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
			plan := plan || line || E'\\n';
		END LOOP;
		RETURN plan;
	END \$\$;
	ANALYZE;
};

sub fixed_node
{
	my ($name, $method, %settings) = @_;
	my $node = iopool_node("${name}_$method", $method, 'iopool.ring_entries' => 16, 'autovacuum' => 'off', 'jit' => 'off',
		'iopool.checkout_timeout' => '2s', 'client_connection_check_interval' => '50ms', %settings);
	$node->safe_psql('postgres', $places);
	return $node;
}

# Whether a query uses the node that it is to be about.
sub uses_node
{
	my ($node, $name, $query, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like(ask($node, "SELECT plan_of(\$q\$$query\$q\$)"), qr/Custom Scan \($nodes{$name}{node}\)/, "$label: uses $nodes{$name}{node}");
	return;
}

# What a script says, or how it fails.
sub outcome
{
	my ($node, $sql) = @_;
	return eval { ask($node, $sql) } // "failed: $@";
}

# A cursor that is not fetched from keeps no ring from others, nor does a loop
# between two of its rows: every ring is one of such a session's, and another
# session reads.
sub check_suspended
{
	my ($node, $method) = @_;
	my $others = "dblink('host=''@{[$node->host]}'' port=@{[$node->port]} dbname=postgres',"
	  . " 'SELECT count(*) FROM iopool_read_batch(''$plain'', ARRAY[0, 8000, 300000], ARRAY[8])') AS x(n int)";
	my $right = "count(*) FILTER (WHERE data = int8send(id * 192))";

	ask($node, 'CREATE EXTENSION dblink');
	foreach my $name (sort keys %nodes)
	{
		my $query = "SELECT $nodes{$name}{id}::bigint AS id, f.data FROM " . from($name, 'places');
		uses_node($node, $name, $query, "$method, $name, cursor");
		foreach my $scroll ('NO SCROLL', 'SCROLL')
		{
			my $read = "SELECT 'reads: ' || n FROM $others;\n";
			my $back = $scroll eq 'SCROLL' ? "FETCH BACKWARD 20 FROM cur;\n$read" : '';
			my $out = outcome($node, "BEGIN;\nDECLARE cur $scroll CURSOR FOR $query;\n"
				  . join('', map { "FETCH $_ FROM cur;\n$read" } 1, 1, 15, 30, 500)
				  . "${back}MOVE 3000 FROM cur;\n${read}COMMIT;");
			my @counts = $out =~ /^reads: (\d+)$/mg;
			my @wrong = grep { my ($id, $data) = split /\|/; hex(substr $data, 2) != $id * 192 } $out =~ /^(\d+\|\\x[0-9a-f]+)$/mg;
			is("@counts, wrong: @wrong", join(' ', (3) x ($back ? 7 : 6)) . ', wrong: ', "$method, $name, $scroll: another session reads between two fetches")
			  or diag(substr($out, 0, 500));
		}
		is( outcome($node, "CREATE TEMP TABLE seen (id bigint, data bytea, n int);\nDO \$\$ DECLARE r record; BEGIN FOR r IN $query LIMIT 100 LOOP\n"
				  . "INSERT INTO seen SELECT r.id, r.data, n FROM $others; END LOOP; END \$\$;\nSELECT sum(n), $right FROM seen; DROP TABLE seen"),
			'300|100', "$method, $name: another session reads between two rows of a loop");
	}
	return;
}

# Little is read for little.
sub check_limit
{
	my ($node, $method) = @_;
	my $numbers = 'FROM generate_series(1, 100000) AS n';
	my $long = "iopool_read_batch('$plain', (SELECT array_agg(n * 64 ORDER BY n) $numbers), ARRAY[8]) AS f";
	my $reads = ";\nSELECT sum(reads) FROM iopool_pools";
	my %queries = (
		batch => "SELECT data FROM $long LIMIT 1",
		'batch, exists' => "SELECT EXISTS (SELECT 1 FROM $long WHERE length(data) = 8)",
		'batch, cursor' => "BEGIN;\nDECLARE cur CURSOR FOR SELECT data FROM $long;\nFETCH 1 FROM cur;\nCOMMIT",
		project => 'SELECT iopool_read(path, o, 8) FROM places LIMIT 1',
		'project, condition' => 'SELECT id FROM places WHERE length(iopool_read(path, o, 8)) = 8 LIMIT 1',
		lateral => 'SELECT f.data FROM ' . from('lateral', 'places') . ' LIMIT 1');

	foreach my $what (sort keys %queries)
	{
		my $script = "SET iopool.merge_gap = -1;\nSELECT iopool_stat_reset();\n$queries{$what}$reads";
		my ($on) = outcome($node, $script) =~ /(\d+)\z/;
		cmp_ok($on // -1, '>', 0, "$method, $what: something is read");
		cmp_ok($on // 1e9, '<', 1000, "$method, $what: " . ($on // 'no') . ' reads for one row');
	}
	my ($off) = outcome($node, "SET iopool.enable_stream_scan = off;\nSET iopool.merge_gap = -1;\nSELECT iopool_stat_reset();\n$queries{batch}$reads") =~ /(\d+)\z/;
	cmp_ok($off, '>=', 100_000, "$method, batch: all of them without the node");
	return;
}

# A call that is more than a call keeps the plain plan.
sub check_plain_plans
{
	my ($node, $method) = @_;
	my $batch = "iopool_read_batch('$plain', ARRAY[c.o, 0], ARRAY[8])";
	my %queries = (
		'WITH ORDINALITY' => "SELECT count(*) FROM places AS c, LATERAL $batch WITH ORDINALITY AS f(a, b, c, d, e, n)",
		'WITH ORDINALITY, alone' => "SELECT count(*) FROM iopool_read_batch('$plain', '{0,8}', ARRAY[8]) WITH ORDINALITY AS f(a, b, c, d, e, n)",
		'ROWS FROM' => "SELECT count(*) FROM places AS c, LATERAL ROWS FROM ($batch, generate_series(1, 2)) AS f(a, b, c, d, e, n)",
		'a select list' => "SELECT iopool_read(c.path, c.o, 8), $batch FROM places AS c",
		'a whole row' => "SELECT f FROM places AS c, LATERAL $batch AS f");

	foreach my $what (sort keys %queries)
	{
		unlike(ask($node, "SELECT plan_of(\$q\$$queries{$what}\$q\$)"), qr/Custom Scan/, "$method, $what: no node");
	}
	return;
}

# Workers, their leader and the nodes above them make do with one ring.
sub check_parallel
{
	my ($node, $method) = @_;
	my $parallel = "SET parallel_setup_cost = 0;\nSET parallel_tuple_cost = 0;\nSET min_parallel_table_scan_size = 0;\nSET max_parallel_workers_per_gather = 2;\n";
	my $from = from('lateral', 'places');
	my $read = 'iopool_read(path, o, 8)';
	my %queries = (
		'project, aggregate' => "SELECT count($read), sum(get_byte($read, 7)) FROM places",
		'project, groups' => "SELECT kind, count(*), sum(get_byte($read, 7)) FROM places GROUP BY 1 ORDER BY 1",
		'project, rows' => "SELECT md5(string_agg(x.d, '' ORDER BY x.id)) FROM (SELECT id, repeat(md5($read), 4) AS d FROM places OFFSET 0) AS x",
		'project, condition' => "SELECT count(*) FROM places WHERE get_byte($read, 7) = 64",
		aggregate => "SELECT count(*), sum(get_byte(f.data, 7)) FROM $from",
		groups => "SELECT c.kind, count(*), sum(get_byte(f.data, 7)) FROM $from GROUP BY 1 ORDER BY 1",
		rows => "SELECT md5(string_agg(x.d, '' ORDER BY x.id)) FROM (SELECT c.id, repeat(md5(f.data), 4) AS d FROM $from OFFSET 0) AS x",
		merge => "SELECT md5(string_agg(x.d, '')) FROM (SELECT c.id, md5(f.data) AS d FROM $from ORDER BY f.data) AS x",
		'both sides' => "SELECT count(*), sum(length(g.data)) FROM (SELECT c.id, c.path, c.o, f.data FROM $from WHERE get_byte(f.data, 7) <> 1 OFFSET 0) AS x, LATERAL iopool_read(x.path, x.o + 8, 8) AS g(data)",
		'with a batch' => "SELECT count(*), sum(length(b.data)) FROM (SELECT c.id, f.data FROM $from) AS x JOIN iopool_read_batch('$plain', (SELECT array_agg(n * 64) FROM generate_series(1, 5000) AS n), ARRAY[8]) AS b ON b.ordinal = x.id");
	my $plans = '';

	foreach my $what (sort keys %queries)
	{
		my $off = outcome($node, "SET iopool.enable_stream_scan = off;\nSET max_parallel_workers_per_gather = 0;\n$queries{$what}");
		foreach my $leads ('on', 'off')
		{
			is(outcome($node, "${parallel}SET parallel_leader_participation = $leads;\n$queries{$what}"), $off,
				"$method, parallel, $what, leader participation $leads: the same with one ring");
		}
		$plans .= outcome($node, "${parallel}SELECT plan_of(\$q\$$queries{$what}\$q\$)");
	}
	like($plans, qr/Gather Merge.*Custom Scan \(IopoolLateral\)/s, "$method, parallel: a node is below Gather Merge");
	like($plans, qr/Gather  .*Custom Scan \(IopoolLateral\)/s, "$method, parallel: and below Gather");
	like($plans, qr/Gather  .*Partial \w*Aggregate.*Custom Scan \(IopoolProject\).*Parallel Seq Scan/s, "$method, parallel: IopoolProject, below a partial aggregate");
	is(ask($node, 'SELECT sum(checkout_timeouts) FROM iopool_pools'), 0, "$method, parallel: nobody waited in vain");
	rings_home($node, "$method, parallel");
	return;
}

# A client that sends a query and does not read what comes: the connection.
sub send_only
{
	my ($node, $sql, $name) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "could not connect: $!";
	my $user = getpwuid($>);
	my $startup = pack('N', 196608) . join("\0", user => $user, database => 'postgres', application_name => $name) . "\0\0";
	my $answer = '';

	$socket->syswrite(pack('N', 4 + length $startup) . $startup);
	until ($answer =~ /Z\0\0\0\x05I\z/)
	{
		$socket->sysread($answer, 8192, length $answer) or die "could not connect: $answer";
	}
	$socket->syswrite('Q' . pack('N', 5 + length $sql) . "$sql\0");
	return $socket;
}

sub check_slow_client
{
	my ($node, $method) = @_;

	foreach my $name (sort keys %nodes)
	{
		my $label = "$method, $name, a client that does not read";
		my $socket = send_only($node, "SELECT repeat(encode(f.data, 'hex'), 100) FROM " . from($name, 'places'), "deaf_$name");
		my $of_client = "FROM pg_stat_activity WHERE application_name = 'deaf_$name'";

		ok(ask_until($node, "SELECT wait_event = 'ClientWrite' $of_client"), "$label: it waits for the client");
		is(outcome($node, "SELECT count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8])"),
			3, "$label: another session reads meanwhile");
		close $socket;
		ok(ask_until($node, "SELECT count(*) = 0 $of_client"), "$label: the backend goes with it");
		rings_home($node, $label);
	}
	return;
}

# An end in the middle: reads are in the kernel, as in 020_interrupt.pl.
sub check_interrupts
{
	my ($node, $method) = @_;
	my $canary = canary();

	foreach my $mode ('buffered', 'direct')
	{
		foreach my $name (sort keys %nodes)
		{
			my ($id, $from, $broken) = ($nodes{$name}{id}, from($name, 'held_places'), from($name, 'broken_places'));
			my %queries = (
				rows => "SELECT $id FROM $from",
				aggregate => "SELECT count(f.data) FROM $from");
			# the ring is kept, and an early row fails; the first read fails
			my %failures = (
				'cancel of rows' => [ $queries{rows}, qr/ERROR:  57014/ ],
				'cancel of an aggregate' => [ $queries{aggregate}, qr/ERROR:  57014/ ],
				'error of a consumer' => [ "SELECT count(1 / ($id - 1)) FROM $from WHERE f.data IS NOT NULL", qr/ERROR:  22012/ ],
				'error of a read' => [ "SELECT count(f.data) FROM $broken", qr/ERROR:  58P01/ ]);

			foreach my $what (sort keys %failures)
			{
				my ($sql, $error) = @{ $failures{$what} };
				my $label = "$method, $mode, $name, $what";

				uses_node($node, $name, $sql, $label);
				lock_canary($node);
				$fs->gate('held');
				my $session = start_sql($node, "SET iopool.io_mode = $mode;\n$sql;\n$canary\n"
					  . "SELECT 'right: ' || count(*) FILTER (WHERE data = int8send(file_offset)) FROM iopool_read_batch('$plain', ARRAY[0, 8000, 300000], ARRAY[8]);");
				my $pid = backend_pid($node, $session);

				my $in_lock = "SELECT wait_event_type IS NOT DISTINCT FROM 'Lock' FROM pg_stat_activity WHERE pid = $pid";
				my $in_flight = "SELECT count(*) = 1 FROM iopool_rings WHERE pid = $pid AND in_flight > 0";
				my $is_cancel = $what =~ /cancel/;

				# One that fails may do so with nothing in flight, and goes on to
				# its canary; where reads are made in this process, only that or
				# that it does not is seen.  What the gate holds may be the
				# kernel's readahead for the session before.
				poll_until(sub {
					return 1 if !$is_cancel && ask($node, $in_lock) eq 't';
					return $fs->blocked('held') >= 1
					  && ($is_cancel || (async_in($method, $mode) ? ask($node, $in_flight) eq 't' : stays(sub { ask($node, $in_lock) ne 't' })));
				}) or fail("$label: comes to a wait");
				if ($is_cancel)
				{
					wait_inside($node, $pid);
					ask($node, "SELECT pg_cancel_backend($pid)");
				}
				ok(holds_back($node, $session, $pid, qr/ERROR|canary/), "$label: no error while reads are in flight")
				  if $is_cancel || (async_in($method, $mode) && ask($node, $in_lock) ne 't');
				$fs->ungate('held');
				ask_until($node, $in_lock);
				unlock_canary($node);
				my ($out, $err) = $session->finish;
				like($err, $error, "$label: the error comes");
				like($err, qr/canary: unharmed/, "$label: no read landed in freed memory");
				like($out, qr/^right: 3$/m, "$label: the session reads right bytes");
				rings_home($node, $label);
			}

			foreach my $what ('terminated', 'client killed')
			{
				my $query = $what eq 'terminated' ? 'aggregate' : 'rows';
				my $label = "$method, $mode, $name, $query, $what";

				$fs->gate('held');
				my $session = start_sql($node, "SET iopool.io_mode = $mode;\n$queries{$query};");
				my $pid = backend_pid($node, $session);
				$fs->wait_blocked('held', 1);
				wait_inside($node, $pid);
				$what eq 'terminated' ? ask($node, "SELECT pg_terminate_backend($pid)") : $session->kill9;
				ok(ask_until($node, "SELECT count(*) = 1 FROM iopool_rings WHERE state <> 'free' AND pid = $pid AND in_flight > 0"),
					"$label: the ring is kept for the reads in flight");
				$fs->ungate('held');
				$session->finish if $what eq 'terminated';
				ok(ask_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), "$label: the backend is gone");
				rings_home($node, $label);
				reader_is_right($node, $held, $label);
			}
		}
	}
	return;
}

# Rows that change while a statement waits for them: EvalPlanQual.
sub check_concurrent_updates
{
	my ($node, $method) = @_;
	my $reset = "DROP TABLE IF EXISTS changing; CREATE TABLE changing AS SELECT id, path, o, kind, ''::text AS d FROM places WHERE id <= 40; ANALYZE changing";
	my $read = 'LATERAL iopool_read(c.path, c.o, 8) AS f(data)';
	my $natural = 'iopool_read(path, o, 8)';
	my %statements = (
		'natural update' => "UPDATE changing SET d = md5($natural) || o WHERE kind < 5",
		'natural update, condition' => "UPDATE changing SET d = 'read ' || o WHERE $natural = int8send(o) AND kind < 5",
		'natural update from' => "UPDATE changing AS u SET d = md5(iopool_read(u.path, u.o, 8)) || c.kind FROM places AS c WHERE c.id = u.id AND u.kind < 5",
		'natural update from a sub-select' => "UPDATE changing AS u SET d = q.d || u.o FROM (SELECT id, md5($natural) AS d FROM changing) AS q WHERE q.id = u.id AND u.kind < 5",
		'natural delete' => "DELETE FROM changing WHERE get_byte($natural, 7) % 16 = 0 AND kind < 5",
		'natural merge' => "MERGE INTO changing AS u USING (SELECT id, md5($natural) AS d FROM changing) AS q ON q.id = u.id WHEN MATCHED AND u.kind < 5 THEN UPDATE SET d = q.d || u.o",
		'natural for update' => "SELECT id, o, $natural FROM changing WHERE kind < 5 FOR UPDATE",
		'natural for update, condition' => "SELECT id, o FROM changing WHERE $natural = int8send(o) FOR UPDATE",
		'update from lateral' => "UPDATE changing AS u SET d = q.d FROM (SELECT c.id, md5(f.data) AS d FROM places AS c, $read OFFSET 0) AS q WHERE q.id = u.id AND u.kind < 5",
		'update from the same rows' => "UPDATE changing AS u SET d = q.d || u.o FROM (SELECT c.id, md5(f.data) AS d FROM changing AS c, $read) AS q WHERE q.id = u.id AND u.kind < 5",
		'update from groups' => "UPDATE changing AS u SET d = q.d || u.o FROM (SELECT c.kind, md5(string_agg(f.data, '' ORDER BY c.id)) AS d FROM changing AS c, $read GROUP BY 1) AS q WHERE q.kind = u.kind",
		'update from a batch' => "UPDATE changing AS u SET d = md5(f.data) || u.o FROM iopool_read_batch('$plain', (SELECT array_agg(id * 8 ORDER BY id) FROM places WHERE id <= 40), ARRAY[8]) AS f WHERE f.ordinal = u.id AND u.kind < 5",
		'update of a sub-select' => "UPDATE changing AS u SET d = (SELECT md5(string_agg(data, '' ORDER BY ordinal)) FROM iopool_read_batch(u.path, ARRAY[u.o, 0], ARRAY[8]) AS f)",
		'update where a read says so' => "UPDATE changing AS u SET d = 'read ' || u.o WHERE EXISTS (SELECT 1 FROM places AS c, LATERAL iopool_read(c.path, u.o, 8) AS f(data) WHERE c.id = u.id AND f.data = int8send(u.o))",
		'update from a with list' => "WITH q AS MATERIALIZED (SELECT c.id, md5(f.data) AS d FROM changing AS c, $read) UPDATE changing AS u SET d = q.d || u.o FROM q WHERE q.id = u.id",
		'for update' => "SELECT c.id, c.o, md5(f.data) FROM changing AS c, $read WHERE c.kind < 5 ORDER BY c.id FOR UPDATE OF c",
		'for update in order' => "SELECT x.id, x.o, md5(f.data) FROM (SELECT * FROM changing AS c WHERE kind < 5 ORDER BY id FOR UPDATE) AS x, LATERAL iopool_read(x.path, x.o, 8) AS f(data)",
		'for update and a batch' => "SELECT c.id, c.o, f.ordinal, md5(f.data) FROM changing AS c JOIN iopool_read_batch('$plain', (SELECT array_agg(id * 8 ORDER BY id) FROM places WHERE id <= 40), ARRAY[8]) AS f ON f.ordinal = c.id AND c.kind < 5 FOR UPDATE OF c");

	foreach my $what (sort keys %statements)
	{
		my %results;

		foreach my $onoff (@both)
		{
			ask($node, $reset);
			lock_canary($node);
			my $first = start_sql($node, "BEGIN;\nUPDATE changing SET o = o + 8, kind = kind + 1 WHERE id % 3 = 0;\nSELECT pg_advisory_xact_lock_shared(4711);\nCOMMIT;");
			my $first_pid = backend_pid($node, $first);
			ask_until($node, "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $first_pid");
			my $second = start_sql($node, "SET iopool.enable_stream_scan = $onoff;\n$statements{$what};");
			my $second_pid = backend_pid($node, $second);
			ok(ask_until($node, "SELECT wait_event = 'transactionid' FROM pg_stat_activity WHERE pid = $second_pid"), "$method, $what, $onoff: waits for the other session");
			unlock_canary($node);
			my ($out, $err) = $second->finish;
			$first->finish;
			is($err, '', "$method, $what, $onoff: no error");
			my @rows = sort split /\n/, $out;
			$results{$onoff} = join "\n", @rows, ask($node, 'SELECT * FROM changing ORDER BY id');
		}
		is($results{on}, $results{off}, "$method, $what: the same with and without the nodes");
	}
	return;
}

# What fails further on is not met before its row is asked for, and the first
# that fails is what is raised.
sub check_failures_ahead
{
	my ($node, $method) = @_;
	my $rows = "(VALUES (1, '$plain', 4::bigint), (2, '$plain', 8), (3, '%s', %s), (4, '$plain', 8), (5, '%s', %s)) AS c(id, path, l)";
	my $gone = sprintf($rows, "$plain.gone", 0, $plain, 0);
	my $negative = sprintf($rows, $plain, -1, $plain, 0);
	my $both = sprintf($rows, "$plain.gone", 0, $plain, -1);
	my $read = 'LATERAL iopool_read(c.path, 8, c.l) AS f(data)';
	my $list = 'LATERAL iopool_read_batch(c.path, ARRAY[8], ARRAY[c.l]) AS f';
	my $natural = 'iopool_read(c.path, 8, c.l)';
	my %queries = (
		'a missing file behind LIMIT' => "SELECT c.id, f.data FROM $gone, $read LIMIT 2",
		'a missing file behind LIMIT, batch' => "SELECT c.id, f.data FROM $gone, $list LIMIT 2",
		'a negative length behind LIMIT' => "SELECT c.id, f.data FROM $negative, $read LIMIT 2",
		'a negative length behind LIMIT, batch' => "SELECT c.id, f.data FROM $negative, $list LIMIT 2",
		'an argument that fails behind LIMIT' => "SELECT c.id, f.data FROM $gone, LATERAL iopool_read('$plain', 8 / (3 - c.id), 8) AS f(data) LIMIT 2",
		'natural, a missing file behind LIMIT' => "SELECT c.id, $natural FROM $gone LIMIT 2",
		'natural, a negative length behind LIMIT' => "SELECT c.id, $natural FROM $negative LIMIT 2",
		'natural, a missing file before a negative length' => "SELECT c.id, $natural FROM $both",
		'natural, a condition' => "SELECT c.id FROM $both WHERE length($natural) > 3",
		'natural, an argument that fails behind LIMIT' => "SELECT c.id, iopool_read('$plain', 8 / (3 - c.id), 8) FROM $gone LIMIT 2",
		'natural, an argument that fails' => "SELECT c.id, iopool_read('$plain', 8 / (3 - c.id), 8) FROM $gone",
		# What is computed for rows that are taken ahead may fail; but the first
		# row is taken alone.
		'an outer row that fails behind LIMIT' => "SELECT c.id, f.data FROM (SELECT id, path, 8 / (3 - id) AS l FROM $gone) AS c, $read LIMIT 1",
		'a missing file before a negative length' => "SELECT c.id, f.data FROM $both, $read",
		'a missing file before a negative length, batch' => "SELECT c.id, f.data FROM $both, $list",
		'a negative length behind a fetch' => "BEGIN;\nDECLARE cur CURSOR FOR SELECT c.id, f.data FROM $negative, $read;\nFETCH 2 FROM cur;\nCOMMIT");

	# what is in the page cache is read row by row; direct reads are not
	foreach my $mode ('buffered', 'direct')
	{
		foreach my $what (sort keys %queries)
		{
			my ($on, $off) = map {
				my $result = outcome($node, "SET iopool.io_mode = $mode;\nSET iopool.enable_stream_scan = $_;\n$queries{$what}");
				$result =~ /ERROR:  (\w+)/ ? "SQLSTATE $1" : $result;
			} @both;
			is($on, $off, "$method, $mode, $what: the same on and off");
		}
	}
	return;
}

# The plans that PL/pgSQL has of its queries.
sub check_loops
{
	my ($node, $method) = @_;
	my $log_size = -s $node->logfile;

	ask($node, "LOAD 'auto_explain';\nSET auto_explain.log_min_duration = 0;\nSET auto_explain.log_nested_statements = on;\n"
		  . "DO \$\$ DECLARE r record; n int := 0; d bytea; BEGIN FOR r IN SELECT id, path, iopool_read(path, o, 8) AS d FROM places WHERE id < 50 LOOP d := iopool_read(r.path, 0, 8); n := n + 1; END LOOP;"
		  . " SELECT count(iopool_read(path, o, 8)) INTO n FROM places WHERE id < 50; SELECT iopool_read(path, o, 8) INTO d FROM places WHERE id = 7; END \$\$");
	my $log = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $log_size);
	like($log, qr/Query Text: SELECT id, path, iopool_read[^\n]*\n\s+Custom Scan \(IopoolProject\)/, "$method, the query of a loop: read ahead");
	like($log, qr/Query Text: SELECT count\(iopool_read[^\n]*\n\s+Aggregate[^\n]*\n\s+->  Custom Scan \(IopoolProject\)/, "$method, SELECT INTO: read ahead");
	unlike($log, qr/Query Text: d := [^\n]*\n[^\n]*Custom Scan/, "$method, an expression: as it was");
	return;
}

foreach my $method (test_methods())
{
	my $node = fixed_node('one', $method, 'iopool.rings' => 1);
	check_suspended($node, $method);
	check_limit($node, $method);
	check_loops($node, $method);
	check_plain_plans($node, $method);
	check_parallel($node, $method);
	check_slow_client($node, $method);
	check_failures_ahead($node, $method);
	check_concurrent_updates($node, $method);
	check_interrupts($node, $method);
	rings_home($node, "$method, at the end");
	$node->stop;
}

done_testing();
