# Logical replication: triggers of the subscriber that read in apply workers,
# with errors, restarts and the end of a worker in the middle of a batch.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $fs = IopoolTest::GateFS->new;
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $plain = "$tmp/plain";
my $held = $fs->path('held');
write_words($plain, 400_000);
write_words($fs->backing('held'), 400_000);

my $publisher = iopool_node('publisher', 'sync',
	init => [ allows_streaming => 'logical' ],
	'logical_decoding_work_mem' => '64kB', 'iopool.rings' => 1);
$publisher->safe_psql('postgres', q{
	CREATE TABLE wanted (id int PRIMARY KEY, path text, nranges int);
	CREATE PUBLICATION pub FOR TABLE wanted});

# Inserts one wanted row for each pair of path and number of ranges, in one
# transaction.
my $next_id = 1;

sub want
{
	my (@pairs) = @_;
	my @rows = map { "(@{[$next_id++]}, '$_->[0]', $_->[1])" } @pairs;
	$publisher->safe_psql('postgres', 'INSERT INTO wanted VALUES ' . join(', ', @rows));
	return;
}

foreach my $method (test_methods())
{
	my $name = "subscriber_$method";
	my $subscriber = iopool_node($name, $method,
		'iopool.rings' => 2, 'iopool.ring_entries' => 16,
		'wal_retrieve_retry_interval' => '100ms',
		'restart_after_crash' => 'on');
	my $position = -s $subscriber->logfile;
	my $streaming = $subscriber->safe_psql('postgres', 'SHOW server_version_num') >= 160000 ? 'parallel' : 'on';

	# Each row that is applied reads its ranges, and notes how many were right.
	# One trigger fires in replicas only, the other everywhere.
	$publisher->safe_psql('postgres', 'TRUNCATE wanted');
	$subscriber->safe_psql('postgres', q{
		CREATE TABLE wanted (id int PRIMARY KEY, path text, nranges int);
		CREATE TABLE got (id int, who text, nright bigint, pid int);
		CREATE FUNCTION read_wanted() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
		BEGIN
			INSERT INTO got SELECT NEW.id, TG_NAME,
				count(*) FILTER (WHERE data = int8send(file_offset)), pg_backend_pid()
			FROM iopool_read_batch(NEW.path,
				(SELECT array_agg(n * 192) FROM generate_series(0, NEW.nranges - 1) AS n), ARRAY[8]);
			RETURN NULL;
		END $$;
		CREATE TRIGGER in_replica AFTER INSERT ON wanted FOR EACH ROW EXECUTE FUNCTION read_wanted();
		CREATE TRIGGER anywhere AFTER INSERT ON wanted FOR EACH ROW EXECUTE FUNCTION read_wanted();
		ALTER TABLE wanted ENABLE REPLICA TRIGGER in_replica;
		ALTER TABLE wanted ENABLE ALWAYS TRIGGER anywhere});
	$subscriber->safe_psql('postgres',
		"CREATE SUBSCRIPTION $name CONNECTION '@{[$publisher->connstr]} dbname=postgres'"
		  . " PUBLICATION pub WITH (streaming = $streaming)");
	$subscriber->wait_for_subscription_sync($publisher, $name);

	# Rows that both triggers have read right, of those with this path and number.
	my $right = sub {
		my ($first, $last) = @_;
		return "SELECT count(*) FILTER (WHERE got.nright = wanted.nranges) || '/' || count(*)"
		  . " FROM wanted LEFT JOIN got USING (id) WHERE id BETWEEN $first AND $last";
	};

	# Plain rows, in one transaction and in many.
	my $first = $next_id;
	want(([ $plain, 50 ]) x 5);
	want([ $plain, 2000 ]) foreach (1 .. 3);
	$publisher->wait_for_catchup($name);
	is($subscriber->safe_psql('postgres', $right->($first, $next_id - 1)), '16/16',
		"$method: an apply worker reads right bytes");
	is( $subscriber->safe_psql('postgres',
			q{SELECT count(*) FROM got WHERE pid IN (SELECT pid FROM pg_stat_subscription)}),
		16, "$method: it was the worker that read");
	rings_home($subscriber, "$method, rows applied");

	# A transaction that is streamed while it goes on.
	$first = $next_id;
	want(([ $plain, 3 ]) x 2000);
	$publisher->wait_for_catchup($name);
	is($subscriber->safe_psql('postgres', $right->($first, $next_id - 1)), '4000/4000',
		"$method: right bytes in a streamed transaction");
	cmp_ok( $publisher->safe_psql('postgres',
			"SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = '$name'"),
		'>', 0, "$method: it was streamed");
	rings_home($subscriber, "$method, streamed");

	# A file that is not there: the worker fails, over and over, until it is.
	my $late = "$tmp/late_$method";
	$first = $next_id;
	$position = -s $subscriber->logfile;
	want([ $plain, 50 ], [ $late, 50 ], [ $plain, 50 ]);
	ok( poll_until(sub {
			my @errors = log_since($subscriber, $position) =~ /ERROR:  (?:range \d+: )?could not open file "\Q$late\E"/g;
			return @errors >= 4; }),
		"$method: the worker fails and is started again");
	is($subscriber->safe_psql('postgres', $right->($first, $next_id - 1)), '0/0',
		"$method: nothing of its transaction stays");
	rings_home($subscriber, "$method, worker failing");
	# at once, because the worker looks for it all the time
	write_words("$late.new", 400_000);
	rename "$late.new", $late or die "could not rename to \"$late\": $!";
	$publisher->wait_for_catchup($name);
	is($subscriber->safe_psql('postgres', $right->($first, $next_id - 1)), '6/6',
		"$method: with the file there, all is applied");
	rings_home($subscriber, "$method, file there");

	# The worker ends: terminated with reads in flight, and by DISABLE, which
	# lets it finish its transaction.
	foreach my $end ('terminated', 'disabled')
	{
		my $label = "$method, worker $end";
		$first = $next_id;
		$fs->gate('held');
		want([ $plain, 50 ], [ $held, 500 ]);
		$fs->wait_blocked('held', 1);
		my $pid = $subscriber->safe_psql('postgres',
			"SELECT pid FROM iopool_rings WHERE state = 'leased'");
		is( $subscriber->safe_psql('postgres',
				"SELECT backend_type ~ '^logical replication.* worker' FROM pg_stat_activity WHERE pid = $pid"),
			't', "$label: the worker has a ring");
		$subscriber->safe_psql('postgres',
			$end eq 'terminated' ? "SELECT pg_terminate_backend($pid)" : "ALTER SUBSCRIPTION $name DISABLE");
		ok( $subscriber->poll_query_until('postgres',
				"SELECT count(*) = 1 FROM iopool_rings WHERE pid = $pid AND in_flight > 0 AND state "
				  . ($end eq 'disabled' ? "= 'leased'"
					: goes_on_alone($method) ? "= 'draining'" : "IN ('leased', 'draining')")),
			"$label: it keeps the ring for what is in flight");
		$fs->ungate('held');
		ok( $subscriber->poll_query_until('postgres',
				"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
			"$label: and leaves when that is in");
		$subscriber->safe_psql('postgres', "ALTER SUBSCRIPTION $name ENABLE") if $end eq 'disabled';
		$publisher->wait_for_catchup($name);
		is($subscriber->safe_psql('postgres', $right->($first, $next_id - 1)), '4/4',
			"$label: the next one applies all, once");
		rings_home($subscriber, $label);
	}

	reader_is_right($subscriber, $plain, $method);
	unlike(slurp_file($subscriber->logfile), qr/WARNING|PANIC|TRAP|does not hold it|is broken|terminated by signal/,
		"$method: nothing odd in the log");
	$subscriber->safe_psql('postgres', "DROP SUBSCRIPTION $name");
	$subscriber->stop;
}

is($publisher->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 0,
	'no slot is left');
rings_home($publisher, 'publisher');
$publisher->stop;
done_testing();
