
=head1 NAME

IopoolTest - what the TAP tests of iopool share

=head1 SYNOPSIS

  use IopoolTest;
  my $fs = IopoolTest::GateFS->new;           # a mount whose reads can be held
  foreach my $method (test_methods())
  {
      my $node = iopool_node("kill_$method", $method, 'iopool.rings' => 4);
      write_words($fs->backing('a'), 1024 * 1024);
      $fs->gate('a');
      my $session = start_sql($node, "SELECT ...");
      $fs->wait_blocked('a', 1);              # the read is in the kernel now
      $fs->ungate('a');
      my ($out, $err) = $session->finish;
      is(ask($node, "SELECT ..."), 1, 'the session reads on');
      rings_home($node, 'after the batch');
  }

=head1 RULES

Nothing here or in a test sleeps to let something happen: a test waits for a
state that it can see (iopool_rings, pg_stat_activity, NAME.blocked).  Only that
nothing happens has to be watched for a while, with stays().

Environment: IOPOOL_TEST_METHODS names the methods that must work on this
machine; without it, all of them must.  IOPOOL_TEST_GATEFS and
IOPOOL_TEST_NORINGS are the compiled helpers; without them they are compiled
here from the sources beside this file.

=cut

package IopoolTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(
  test_methods method_without_io_uring io_modes async_in goes_on_alone iopool_node start_under stop_plain
  write_words words sql_words anon_kb run_and_watch start_sql poll_until is_listening stays wait_inside holds_back ask ask_until cancel_has_come canary lock_canary
  unlock_canary rings_home ring_counts reader_is_right fd_count backend_pid helper_program log_since
  pg_test_program run_with kernel_at_least without_server_rings doctor
);

my $test_dir = dirname(abs_path(__FILE__));
my $nsessions = 0;

# The methods that this run must exercise, best first.
sub test_methods
{
	my @methods =
	  split(' ', $ENV{IOPOOL_TEST_METHODS} // 'io_uring libaio sync');
	BAIL_OUT("IOPOOL_TEST_METHODS names no method") unless @methods;
	return @methods;
}

# The method that auto takes on a running server's machine where io_uring is
# refused.  It need not be one that is to be tested.
sub method_without_io_uring
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT CASE value WHEN 'no' THEN 'sync' ELSE name END FROM iopool_info() WHERE name = 'libaio'");
}

sub io_modes
{
	return qw(buffered direct uncached);
}

# Whether reads go on while their backend does something else.  libaio's context
# lasts as long as a call, and a node makes one when it has read a while: where
# it is by the time that a read is held is up to the machine.
sub goes_on_alone
{
	my ($method) = @_;
	return $method eq 'io_uring';
}

# Whether somebody takes connections on a socket; its name is there before.
sub is_listening
{
	my ($path) = @_;
	return defined IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path);
}

# Whether a backend stays able to act while its reads are in the kernel, in a call
# that is long enough for libaio to make a context.
# libaio is asynchronous with O_DIRECT only, sync never is.
sub async_in
{
	my ($method, $mode) = @_;
	return $method eq 'io_uring' || ($method eq 'libaio' && $mode eq 'direct');
}

sub kernel_at_least
{
	my ($major, $minor) = @_;
	my (undef, undef, $release) = POSIX::uname();
	my ($has_major, $has_minor) = $release =~ /^(\d+)\.(\d+)/;
	return $has_major > $major
	  || ($has_major == $major && $has_minor >= $minor);
}

# Runs a command with an input; returns whether it succeeded, and what it said
# to its output and otherwise.
sub run_with
{
	my ($input, @command) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(\@command, '<', \$input, '>', \$out, '2>', \$err);
	return ($ok, $out, $err);
}

# A path under PostgreSQL's own test directory, e.g.
# 'isolation/pg_isolation_regress'.
sub pg_test_program
{
	my ($name) = @_;
	return dirname(dirname($ENV{PG_REGRESS})) . "/$name";
}

# Path of a C helper of this directory, compiled once a run where the
# environment does not bring it along.
my %helpers;

sub helper_program
{
	my ($name, @libs) = @_;
	my $from_env = $ENV{ 'IOPOOL_TEST_' . uc($name) };
	return $from_env if defined $from_env && $from_env ne '';

	if (!defined $helpers{$name})
	{
		my $program = PostgreSQL::Test::Utils::tempdir() . "/$name";
		my @flags = map { split ' ', `pkg-config --cflags --libs $_` } @libs;
		system($ENV{CC} // 'cc',
			'-O2', '-o', $program, "$test_dir/$name.c", @flags) == 0
		  or BAIL_OUT("could not compile $name.c");
		$helpers{$name} = $program;
	}
	return $helpers{$name};
}

# Settings for a node whose server must have no io_uring rings of its own,
# which io_method = io_uring in TEMP_CONFIG (PostgreSQL 18) gives it: because
# the test forbids io_uring, or counts rings and descriptors.  The server does
# not start without io_uring then, and leaves its rings open when it restarts
# after a crash.
sub without_server_rings
{
	my $config = $ENV{TEMP_CONFIG};

	return () if !defined $config || slurp_file($config) !~ /^io_method\b/m;
	return ('io_method' => 'worker');
}

# A running node with iopool preloaded and created.  Settings are name => value
# pairs for postgresql.conf; values are quoted here.  The pseudo setting
# 'no_start' leaves the node stopped and without the extension; 'init' are
# parameters of the node's init().
sub iopool_node
{
	my ($name, $method, %settings) = @_;
	my $no_start = delete $settings{no_start};
	my $init = delete $settings{init} // [];
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(@$init);
	$node->append_conf('postgresql.conf',
			"shared_preload_libraries = 'iopool'\n"
		  . "log_statement = none\n"
		  . "max_connections = 20\n"
		  . "shared_buffers = 16MB\n");
	$node->append_conf('postgresql.conf', "iopool.method = '$method'")
	  if defined $method;
	# Small ranges near each other are read each, unless a test says otherwise.
	$settings{'iopool.merge_gap'} //= 0;
	foreach my $setting (sort keys %settings)
	{
		my $value = $settings{$setting};
		$value =~ s/'/''/g;
		$node->append_conf('postgresql.conf', "$setting = '$value'");
	}
	return $node if $no_start;

	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION iopool');
	return $node;
}

# Starts the node as a descendant of a launcher (a list: program and its
# arguments), returns whether the server came up.  Such a server has to be
# stopped with stop_plain().
my @plain_nodes;

sub start_under
{
	my ($node, @launcher) = @_;
	my $ok;

	local $ENV{PGAPPNAME};
	delete $ENV{PGAPPNAME};
	$ok = system(@launcher, 'pg_ctl', '-w', '-s',
		'-D', $node->data_dir, '-l', $node->logfile, 'start') == 0;
	push @plain_nodes, $node if $ok;
	return $ok;
}

sub stop_plain
{
	my ($node) = @_;
	@plain_nodes = grep { $_ != $node } @plain_nodes;
	return system('pg_ctl', '-w', '-s', '-D', $node->data_dir,
		'-m', 'fast', 'stop') == 0;
}

END
{
	# Keep the exit code of the test.
	my $exit_code = $?;
	stop_plain($_) foreach (@plain_nodes);
	$? = $exit_code;
}

# The bytes of a word file from offset for length: each 8-byte word is its own
# offset, big-endian.
sub words
{
	my ($offset, $length) = @_;
	my $first = $offset - $offset % 8;
	my $nwords = int(($offset + $length - $first + 7) / 8);
	my $bytes = pack('Q>*', map { $first + 8 * $_ } 0 .. $nwords - 1);
	return substr($bytes, $offset - $first, $length);
}

# Writes a word file of any size; base is the offset of its first word, so that
# files can be told apart.
sub write_words
{
	my ($path, $size, $base) = @_;
	my $step = 1024 * 1024;
	$base //= 0;

	open my $file, '>:raw', $path or die "could not create \"$path\": $!";
	for (my $done = 0; $done < $size; $done += $step)
	{
		my $len = $size - $done < $step ? $size - $done : $step;
		print $file words($base + $done, $len)
		  or die "could not write \"$path\": $!";
	}
	close $file or die "could not write \"$path\": $!";
	return $path;
}

# Creates the SQL function words(offset, length), the same in the database: that
# of pg_regress.
sub sql_words
{
	my ($node) = @_;
	my ($function) = slurp_file("$test_dir/../sql/setup.sql") =~ /^(CREATE FUNCTION words\(.*?^\$\$;)/ms;
	$node->safe_psql('postgres', $function);
	return;
}

# Private memory of a process in kB: anonymous pages only, because shared memory
# that is touched for the first time would count as well.
sub anon_kb
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s*(\d+) kB/m;
	return $kb;
}

# Runs a query of one value in a session of background_psql(); returns the value,
# and by how much the backend grew at most while it ran, in kB.
sub run_and_watch
{
	my ($session, $pid, $query) = @_;
	my $before = anon_kb($pid);
	my $peak = $before;

	$session->{stdin} .= "$query;\n\\echo done\n";
	$session->{run}->pump_nb;
	poll_until(sub {
		my $now = anon_kb($pid);
		$peak = $now if $now > $peak;
		$session->{run}->pump_nb;
		$session->{stdout} =~ /done/;
	});
	my ($value) = $session->{stdout} =~ /^(\d+)$/m;
	$session->{stdout} = '';
	return ($value, $peak - $before);
}

# Calls a function until it returns true, for as long as PostgreSQL's own
# poll_query_until() would.  Returns whether it did.  Looks that come too often
# keep the processors of a machine busy where many tests run at a time, so what
# takes longer is looked at less often.
sub poll_until
{
	my ($condition) = @_;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $pause = 2_000;

	do
	{
		return 1 if $condition->();
		usleep($pause);
		$pause *= 1.3 if $pause < 50_000;
	} while (time() < $end);
	return 0;
}

# Whether a condition holds now, and goes on to hold for so many looks, some 25 ms
# apart (default: a quarter of a second): far longer than what could end it
# would take.
sub stays
{
	my ($condition, $nlooks) = @_;

	foreach (1 .. $nlooks // 10)
	{
		return 0 unless $condition->();
		usleep(25_000);
	}
	return $condition->();
}

# Waits until a session cannot go on before the gate opens: it waits and goes on
# waiting.  A read that is held is not enough for that.  Where the method makes
# reads in this process it may be one that is only announced; elsewhere the
# session may still be about to ask for more, and a cancel that PostgreSQL itself
# meets in between is reported before the reads in flight are awaited.
sub wait_inside
{
	my ($node, $pid) = @_;
	my $waits = "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid";

	return poll_until(sub {
		return stays(sub { ask($node, $waits) eq 't' }, 4);
	});
}

# Whether a session whose reads are held stays as it is: does not go on to the
# lock of its canary, and says nothing that matches the pattern.
sub holds_back
{
	my ($node, $session, $pid, $saying) = @_;
	my $goes_on = "SELECT wait_event_type IS NOT DISTINCT FROM 'Lock'"
	  . " FROM pg_stat_activity WHERE pid = $pid";

	return stays(
		sub {
			my (undef, $err) = $session->output;
			return $err !~ $saying && ask($node, $goes_on) ne 't';
		});
}

# Runs a script in database postgres, in a psql that stays connected, and
# returns its output.  As safe_psql(), which starts a psql each time, it dies of
# an error; settings that the script makes are reset after it.
sub ask
{
	my ($node, $sql) = @_;
	die "ask() takes a node and a script" if @_ != 2;
	return IopoolTest::Connection::of($node)->run($sql);
}

# Asks until the answer is as expected (default: true), for as long as
# poll_query_until() would.  Returns whether it came.
sub ask_until
{
	my ($node, $sql, $expected) = @_;
	my $answer;

	$expected //= 't';
	return 1
	  if poll_until(
		sub {
			# A server that restarts is asked again.
			$answer = eval { ask($node, $sql) } // $@;
			return $answer eq $expected;
		});
	diag("expected: $expected\nlast answer: $answer\nto: $sql");
	return 0;
}

# Waits until a cancel has come to a backend that waits for a read: its ring
# drains, or, where the process is in a system call that does not end for it,
# the signal is pending (the sets of /proc are hexadecimal, SIGINT is the second
# bit).  Returns whether it came.
sub cancel_has_come
{
	my ($node, $pid) = @_;

	return poll_until(
		sub {
			my $status = eval { slurp_file("/proc/$pid/status") } // '';

			return 1 if grep { hex(substr($_, -1)) & 2 } $status =~ /^S(?:ig|hd)Pnd:\s*(\w+)$/mg;
			return ask($node, "SELECT count(*) FROM iopool_rings WHERE pid = $pid AND state = 'draining'");
		});
}

# A script that fills memory, as an error or an end leaves it free, waits until
# unlock_canary(), and looks whether a byte has changed: as it would if a read
# that was in flight landed there.  Says "canary: unharmed".
sub canary
{
	return q{
DO $$
DECLARE
	blocks bytea[];
	small text[];
BEGIN
	FOR i IN 1 .. 40 LOOP
		blocks[i] := decode(repeat('5a', 100000), 'hex');
	END LOOP;
	FOR i IN 1 .. 3000 LOOP
		small[i] := repeat('Z', i);
	END LOOP;
	PERFORM pg_advisory_xact_lock(4711);
	FOR i IN 1 .. 40 LOOP
		IF blocks[i] <> decode(repeat('5a', 100000), 'hex') THEN
			RAISE EXCEPTION 'canary: large block % changed', i;
		END IF;
	END LOOP;
	FOR i IN 1 .. 3000 LOOP
		IF small[i] <> repeat('Z', i) THEN
			RAISE EXCEPTION 'canary: small block % changed', i;
		END IF;
	END LOOP;
	RAISE NOTICE 'canary: unharmed';
END
$$;
};
}

# The lock that a canary waits for; only one at a time.
sub lock_canary
{
	my ($node) = @_;
	ask($node, 'SELECT pg_advisory_lock(4711)');
	return;
}

sub unlock_canary
{
	my ($node) = @_;
	my $had_it = ask($node, 'SELECT pg_advisory_unlock(4711)');
	die "the canary's lock was not held" if $had_it ne 't';
	return;
}

# Runs a script in a psql of its own, returning at once.
sub start_sql
{
	my ($node, $sql, %params) = @_;
	return IopoolTest::Session->new($node, $sql, %params);
}

# pid of the backend of a session, once it has connected; not of its workers.
sub backend_pid
{
	my ($node, $session) = @_;
	my $query = "SELECT pid FROM pg_stat_activity"
	  . " WHERE application_name = '$session->{name}' AND leader_pid IS NULL";
	my $pid = '';

	poll_until(sub { ($pid = ask($node, $query)) ne '' })
	  or die "session $session->{name} never connected";
	return $pid;
}

# State => number of rings, over all pools.
sub ring_counts
{
	my ($node) = @_;
	my $rows =
	  ask($node, 'SELECT state, count(*) FROM iopool_rings GROUP BY 1');
	return { map { split /\|/ } split /\n/, $rows };
}

# Asserts that every configured ring is free again and that none is missing.
sub rings_home
{
	my ($node, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok( ask_until(
			$node, q{
			SELECT (SELECT count(*) FROM iopool_rings WHERE state = 'free'
					AND pid IS NULL AND in_flight = 0)
				 = (SELECT sum(rings) FROM iopool_pools)
			   AND (SELECT count(*) FROM iopool_rings)
				 = (SELECT sum(rings) FROM iopool_pools)
			   AND (SELECT sum(in_use) + sum(waiting) FROM iopool_pools) = 0}),
		"$label: all rings are free");
	return;
}

# Asserts that a new session reads right bytes from a word file through every
# ring there is: more batches than rings, one after the other.
sub reader_is_right
{
	my ($node, $path, $label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is( ask(
			$node, qq{
			SELECT count(*) FILTER (WHERE b.data = r.expected), count(*)
			FROM generate_series(1, (SELECT sum(rings) * 2
									 FROM iopool_pools)) AS n,
				 LATERAL iopool_read_batch('$path',
					ARRAY[n * 8, n * 16 + 20000, n * 24 + 40001], ARRAY[100]) AS b,
				 LATERAL (SELECT pg_read_binary_file('$path',
					b.file_offset, b.length) AS expected) AS r}),
		ask(
			$node, q{SELECT sum(rings) * 6 || '|' || sum(rings) * 6
						  FROM iopool_pools}),
		"$label: the next reader gets the right bytes");
	return;
}

# What iopool_check() reports to a session with these settings: name of the
# check => { status, detail, hint }, lines joined by " / ".
sub doctor
{
	my ($node, $settings) = @_;
	my $rows = $node->safe_psql('postgres', ($settings // '') . q{
		;SELECT concat_ws(E'\t', check_name, status,
			replace(detail, E'\n', ' / '), replace(hint, E'\n', ' / '))
		FROM iopool_check()});
	my %report;

	foreach my $row (split /\n/, $rows)
	{
		my ($name, $status, $detail, $hint) = split /\t/, $row;
		$report{$name} =
		  { status => $status, detail => $detail, hint => $hint // '' };
	}
	return \%report;
}

# Number of open file descriptors of a process.
sub fd_count
{
	my ($pid) = @_;
	opendir my $dir, "/proc/$pid/fd" or die "could not open /proc/$pid/fd: $!";
	my @fds = grep { !/^\./ } readdir $dir;
	closedir $dir;
	return scalar @fds;
}

# What the server log got since a position that -s gave.
sub log_since
{
	my ($node, $position) = @_;
	my $log = slurp_file($node->logfile);
	return substr($log, $position // 0);
}

package IopoolTest::Session;

use strict;
use warnings;

# One psql that works through a script; errors do not end it unless the caller
# says so with on_error_stop.  Its input and output are files, so it goes on
# whether or not the test is listening.
my @running;

sub new
{
	my ($class, $node, $sql, %params) = @_;
	my $name = 'iopool_test_' . ++$nsessions;
	my $base = PostgreSQL::Test::Utils::tempdir() . "/$name";
	my $self = bless { name => $name, base => $base }, $class;
	my @command = ('psql', '-XAtq', '-d',
		$params{connstr} // $node->connstr($params{dbname} // 'postgres'),
		'-f', "$base.sql");

	push @command, '-v', 'ON_ERROR_STOP=1' if $params{on_error_stop};
	push @command, '-U', $params{user} if defined $params{user};
	PostgreSQL::Test::Utils::append_to_file("$base.sql",
		"\\set VERBOSITY verbose\n$sql\n");

	$self->{pid} = fork() // die "could not fork: $!";
	if ($self->{pid} == 0)
	{
		$ENV{PGAPPNAME} = $name;
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$base.out";
		open STDERR, '>', "$base.err";
		exec @command or POSIX::_exit(127);
	}
	push @running, $self;
	return $self;
}

# What psql has written so far.
sub output
{
	my ($self) = @_;
	return map {
		my $path = "$self->{base}.$_";
		-e $path ? PostgreSQL::Test::Utils::slurp_file($path) : '';
	} qw(out err);
}

sub has_ended
{
	my ($self) = @_;
	$self->{pid} = undef
	  if defined $self->{pid}
	  && waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};
	return !defined $self->{pid};
}

# Waits for the end of psql; returns its output and its messages.
sub finish
{
	my ($self) = @_;

	if (!IopoolTest::poll_until(sub { $self->has_ended }))
	{
		Test::More::diag("session $self->{name} did not end");
		$self->kill9;
	}
	my ($out, $err) = $self->output;
	chomp($out);
	return ($out, $err);
}

# kill -9 of the client.
sub kill9
{
	my ($self) = @_;
	return if $self->has_ended;
	kill 'KILL', $self->{pid};
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

END
{
	my $exit_code = $?;
	$_->kill9 foreach (@running);
	$? = $exit_code;
}

package IopoolTest::Connection;

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);

# One psql a node, which reads scripts from a pipe.  It ends with the first
# error, as the psql of safe_psql() does; the next script gets a new one.
my %connections;

sub of
{
	my ($node) = @_;
	return $connections{ $node->connstr('postgres') } //=
	  bless { connstr => $node->connstr('postgres') }, __PACKAGE__;
}

sub connect
{
	my ($self) = @_;

	pipe(my $script, $self->{in}) or die "could not make a pipe: $!";
	pipe($self->{out}, my $output) or die "could not make a pipe: $!";
	open my $messages, '+>', undef or die "could not make a file: $!";
	$self->{in}->autoflush(1);
	$self->{err} = $messages;
	$self->{pid} = fork() // die "could not fork: $!";
	if ($self->{pid} == 0)
	{
		delete $ENV{PGAPPNAME};
		open STDIN, '<&', $script;
		open STDOUT, '>&', $output;
		open STDERR, '>&', $messages;
		exec('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v',
			'VERBOSITY=verbose', '-d', $self->{connstr}, '-f', '-')
		  or POSIX::_exit(127);
	}
	return;
}

# Returns what psql said.
sub disconnect
{
	my ($self) = @_;
	return '' unless defined $self->{pid};
	close $self->{in};
	close $self->{out};
	kill 'TERM', $self->{pid};
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	seek $self->{err}, 0, 0;
	local $/;
	return readline($self->{err}) // '';
}

# The output of a script, or undef when psql ended before its end.
sub try
{
	my ($self, $sql) = @_;
	my $end = 'end of the script of IopoolTest';
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $output = '';
	local $SIG{PIPE} = 'IGNORE';

	print { $self->{in} } "$sql\n;\nRESET ALL;\n\\echo $end\n";
	while ($output !~ s/(^|\n)\Q$end\E\n\z//)
	{
		my ($ready) = IO::Select->new($self->{out})->can_read($deadline - time());
		# a signal ends the wait as well
		next if !$ready && time() < $deadline;
		if (!$ready)
		{
			$self->disconnect;
			die "the script did not end in time: $sql";
		}
		sysread($self->{out}, $output, 65536, length $output) or return;
	}
	return $output;
}

sub run
{
	my ($self, $sql) = @_;
	my $is_new = !defined $self->{pid};

	$self->connect if $is_new;
	my $output = $self->try($sql);
	return $output if defined $output;

	# Nobody looks at a connection between two scripts, so a restart of the
	# server shows with the next one, which the server never saw.
	my $said = $self->disconnect;
	return $self->run($sql)
	  if !$is_new && $said =~ /server closed the connection|terminating connection|connection to server was lost/;
	die "$said\nscript: $sql";
}

END
{
	my $exit_code = $?;
	$_->disconnect foreach (values %connections);
	$? = $exit_code;
}

# A PgBouncer in transaction mode before a node, on a socket and no TCP port.
# IopoolTest::PgBouncer->program is undefined where there is none.  It ends with
# its object.
package IopoolTest::PgBouncer;

use strict;
use warnings;

sub program
{
	my ($program) = grep { -x $_ } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
	return $program;
}

# pool_size: server connections that the clients share.
sub new
{
	my ($class, $node, $pool_size) = @_;
	my $sockets = PostgreSQL::Test::Utils::tempdir_short();
	my $log = PostgreSQL::Test::Utils::tempdir() . '/pgbouncer.log';
	my $user = $node->safe_psql('postgres', 'SELECT current_user');
	my $self = bless { owner => $$, connstr => "host=$sockets port=6432 dbname=postgres" }, $class;

	PostgreSQL::Test::Utils::append_to_file("$sockets/pgbouncer.ini", qq{
[databases]
postgres = host=@{[$node->host]} port=@{[$node->port]} dbname=postgres user=$user
[pgbouncer]
listen_addr =
unix_socket_dir = $sockets
listen_port = 6432
logfile = $log
auth_type = any
pool_mode = transaction
default_pool_size = $pool_size
max_client_conn = 50
});
	$self->{pid} = fork() // die "could not fork: $!";
	if ($self->{pid} == 0)
	{
		exec program(), '-q', "$sockets/pgbouncer.ini" or POSIX::_exit(127);
	}
	IopoolTest::poll_until(sub { IopoolTest::is_listening("$sockets/.s.PGSQL.6432") })
	  or die 'pgbouncer did not start';
	return $self;
}

# How clients connect.
sub connstr
{
	my ($self) = @_;
	return $self->{connstr};
}

sub stop
{
	my ($self) = @_;
	return unless defined $self->{pid} && $self->{owner} == $$;
	kill 'TERM', $self->{pid};
	waitpid($self->{pid}, 0);
	undef $self->{pid};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);
	$self->stop;
	return;
}


package IopoolTest::GateFS;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my @mounted;

# Mounts a gatefs over a backing directory of its own.  background: files are read
# through the page cache, and so many pages are read ahead at a time; whoever
# announces another one waits.
sub new
{
	my ($class, %params) = @_;
	my $base = PostgreSQL::Test::Utils::tempdir_short();
	my $self = bless { base => $base, pid => undef }, $class;

	mkdir "$base/backing" or die "could not create \"$base/backing\": $!";
	mkdir "$base/mount" or die "could not create \"$base/mount\": $!";
	my $program = IopoolTest::helper_program('gatefs', 'fuse3');
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		$ENV{GATEFS_BACKGROUND} = $params{background} if defined $params{background};
		exec($program, "$base/backing", "$base/mount", '-f')
		  or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	push @mounted, $self;

	# The probe is seen through the mount only once the mount is there.
	open my $probe, '>', "$base/backing/probe" or die $!;
	close $probe;
	IopoolTest::poll_until(sub { -e "$base/mount/probe" })
	  or BAIL_OUT('could not mount gatefs (is /dev/fuse writable for this user,'
		  . ' and fusermount3 installed?)');
	return $self;
}

sub backing { my ($self, $name) = @_; return "$self->{base}/backing/$name"; }
sub path { my ($self, $name) = @_; return "$self->{base}/mount/$name"; }

sub sidecar
{
	my ($self, $name, $kind, $content) = @_;
	my $path = $self->backing("$name.$kind");

	# By rename, so that the daemon never sees a half-written one.
	open my $file, '>', "$path.new" or die "could not create \"$path\": $!";
	print $file $content // '';
	close $file;
	rename "$path.new", $path or die "could not rename to \"$path\": $!";
	return;
}

sub clear
{
	my ($self, $name, $kind) = @_;
	unlink $self->backing("$name.$kind");
	return;
}

# Closes the gate, when nothing is on its way any more.  What a session before
# has announced to the kernel would be held otherwise, long after the session;
# and whoever opens the file waits for the pages that are being read, which is
# how we know.
sub gate
{
	my ($self, $name) = @_;
	my $path = $self->path($name);

	if (!-e $self->backing("$name.gate"))
	{
		open my $file, '<', $path or die "could not open \"$path\": $!";
		close $file;
	}
	$self->sidecar($name, 'gate');
	return;
}

sub ungate
{
	my ($self, $name) = @_;
	$self->clear($name, 'gate');
	$self->clear($name, 'pass');
	return;
}

# Lets so many of the reads that the gate holds through, counted since it was
# closed: of those that ask for at most so many bytes.  What is only announced to
# the kernel is read in pages.
sub let_pass
{
	my ($self, $name, $count, $max_size) = @_;
	$self->sidecar($name, 'pass', "$count $max_size");
	return;
}

# From now on, each read of the file takes so many microseconds at least; 0: as
# long as it takes.
sub delay
{
	my ($self, $name, $usec) = @_;
	$self->sidecar($name, 'delay', $usec);
	return;
}

# How many reads of the file the gate holds now.
sub blocked
{
	my ($self, $name) = @_;
	my $count = PostgreSQL::Test::Utils::slurp_file(
		$self->path("$name.blocked"));
	chomp $count;
	return $count;
}

# Waits until the gate holds at least that many reads.
sub wait_blocked
{
	my ($self, $name, $count) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return 1
	  if IopoolTest::poll_until(sub { $self->blocked($name) >= $count });
	fail("$count read(s) of $name are held by the gate");
	return 0;
}

sub unmount
{
	my ($self) = @_;
	return unless defined $self->{pid};
	unlink glob("$self->{base}/backing/*.gate");
	# Lazily: a server that still runs may have files open.
	system('fusermount3', '-u', '-z', '-q', "$self->{base}/mount");
	kill 'TERM', $self->{pid};
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

END
{
	my $exit_code = $?;
	$_->unmount foreach (@mounted);
	$? = $exit_code;
}

1;
