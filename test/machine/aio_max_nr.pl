# fs.aio-max-nr used up by somebody else.
#
# No root is needed for this, but the whole machine is without events of Linux
# AIO meanwhile, so it lies outside test/t and runs with nothing else at the
# same time.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

plan skip_all => 'libaio is not among the methods'
  unless grep { $_ eq 'libaio' } test_methods();

my ($rings, $entries) = (4, 64);
my $needed = $rings * $entries;
my $words = write_words(PostgreSQL::Test::Utils::tempdir() . '/words', 400_000);
my $aiohog = helper_program('aiohog');
my %settings = ('iopool.rings' => $rings, 'iopool.ring_entries' => $entries);

# One that asks for events, and one that does not.
my %nodes = map { $_ => iopool_node("aio_$_", $_, %settings) } qw(libaio sync);

# Runs a function while only so many events are left.
sub with_events
{
	my ($left, $run) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $hog = IPC::Run::start([ $aiohog, $left ], '<', \$in, '>', \$out,
		'2>', \$err, IPC::Run::timeout(60));

	IPC::Run::pump($hog) until $out =~ /ready/ || !$hog->pumpable;
	is($out, "ready\n", 'the events are taken') or diag($err);
	$run->();
	IPC::Run::finish($hog);
	return;
}

with_events($needed - 1, sub {
	my $row = doctor($nodes{libaio})->{aio_max_nr};

	is($row->{status}, 'fail', 'libaio by name: aio_max_nr fails');
	like($row->{detail}, qr/need up to $needed events; fs\.aio-nr is \d+ of fs\.aio-max-nr = \d+/,
		'libaio by name: the numbers');
	like($row->{hint}, qr/^sysctl -w fs\.aio-max-nr=\d+ \/ .*sysctl\.d/,
		'libaio by name: the hint');
	is(doctor($nodes{sync})->{aio_max_nr}{status},
		'ok', 'sync: nobody asks for events');

	# A lease of so many direct reads asks for a context and goes on without.
	is( $nodes{libaio}->safe_psql('postgres', qq{
			SET iopool.io_mode = direct;
			SET iopool.merge_gap = -1;
			SELECT count(*) FILTER (WHERE data = int8send(file_offset))
			FROM iopool_read_batch('$words', (SELECT array_agg(n * 80)
				FROM generate_series(0, 4999) AS n), ARRAY[8])}),
		5000, 'without events: the bytes');
});
is(doctor($nodes{libaio})->{aio_max_nr}{status},
	'ok', 'libaio by name: ok again');

# Just enough: what our own reads hold does not count against us.
my $fs = IopoolTest::GateFS->new;
write_words($fs->backing('held'), 400_000);
my $held = $fs->path('held');
with_events($needed, sub {
	is(doctor($nodes{libaio})->{aio_max_nr}{status},
		'ok', 'just enough: ok');

	# More reads than a lease makes before it makes a context.
	$fs->gate('held');
	my $session = start_sql($nodes{libaio}, qq{
		SET iopool.io_mode = direct;
		SET iopool.merge_gap = -1;
		SELECT count(*) FROM iopool_read_batch(
			(SELECT array_agg(CASE WHEN n < 1000 THEN '$words' ELSE '$held' END
				ORDER BY n) FROM generate_series(0, 1999) AS n),
			(SELECT array_agg(n * 80 ORDER BY n) FROM generate_series(0, 1999) AS n),
			array_fill(8::bigint, ARRAY[2000]))});
	$fs->wait_blocked('held', 2);
	my $row = doctor($nodes{libaio})->{aio_max_nr};
	$fs->ungate('held');
	is($row->{status}, 'ok', 'just enough, and some are ours: ok')
	  or diag($row->{detail});
	is(($session->finish)[0], 2000, 'just enough: the reads');
});

$_->stop foreach (values %nodes);
done_testing();
