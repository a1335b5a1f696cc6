
=head1 NAME

IopoolFuzz - generated queries against two witnesses

=head1 SYNOPSIS

  use IopoolFuzz;
  my $fuzz = IopoolFuzz->new(socket => $path, user => $user, dir => $dir, method => $method);
  $fuzz->prepare;                          # once for each server
  my $result = $fuzz->run($seed, sub { $_[0] < 200 });
  # $result: queries, rows, lateral, scan, project, differences, tags, node_tags

=head1 DESCRIPTION

Each query of IopoolQueries.pm runs in three sessions: with
iopool.enable_stream_scan on, with it off, and with the functions of schema core,
which are made of pg_read_binary_file() (fuzz/schema.sql), in front of those of
iopool.  All three have to say the same: rows, in order where there is one, or
SQLSTATE and message.  The end of a server, and a query that does not end, are
differences too.

A query that shows a difference is made smaller for as long as it shows one, by
taking back one decision of the generator after the other.

The sessions speak the protocol by themselves, and all at once: a psql for each
query would take most of the time.

=cut

package IopoolFuzz;

use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Select;
use Time::HiRes qw(time sleep);

use IopoolChoices;
use IopoolQueries;
use IopoolSources;
use IopoolTree;

# Seconds until a statement is ended, and until a session is given up.
my $statement_timeout = 20;
my $session_timeout = 120;

# Seconds to make one query smaller, and differences that are made so.
my $shrink_time = 60;
my $max_shown = 10;

my @witnesses = (
	[ on => 'SET LOCAL search_path = public; SET LOCAL iopool.enable_stream_scan = on' ],
	[ off => 'SET LOCAL search_path = public; SET LOCAL iopool.enable_stream_scan = off' ],
	[ core => 'SET LOCAL search_path = core, public' ]);

sub new
{
	my ($class, %args) = @_;
	return bless { print => sub { print @_, "\n" }, %args }, $class;
}

sub slurp
{
	my ($path) = @_;
	open my $file, '<', $path or die "could not open \"$path\": $!";
	local $/;
	return readline $file;
}

# Runs a script in a session of its own.
sub script
{
	my ($self, $sql) = @_;
	my $session = IopoolFuzz::Session->new($self);
	my ($result) = IopoolFuzz::Session::exchange($session_timeout, [ $session, [$sql] ]);
	die "$result->[0]{error}{message}\n" if $result->[0]{error};
	return $result->[0]{rows};
}

# A file of words, each its own number.
sub write_file
{
	my ($path, $size, $first) = @_;
	my $words = pack 'Q<*', map { $first + $_ } 0 .. $size / 8;
	open my $file, '>:raw', $path or die "could not create \"$path\": $!";
	print $file substr($words, 0, $size);
	close $file or die "could not write \"$path\": $!";
	# pg_stat_file() knows no parts of a second
	utime 1_700_000_000, 1_700_000_000 + $size, $path or die "could not set times of \"$path\": $!";
	return;
}

# The extension, and what queries read.
sub prepare
{
	my ($self) = @_;
	my %files = query_files();
	foreach my $name (sort keys %files)
	{
		write_file("$self->{dir}/$name", $files{$name}, 0);
		write_file("$self->{other_dir}/$name", $files{$name}, 2**40);
	}
	foreach my $pair ([ $self->{dir}, $self->{other_dir} ], [ $self->{other_dir}, $self->{dir} ])
	{
		my ($dir, $outside) = @$pair;
		mkdir "$dir/tree";
		make_tree("$dir/tree", "$outside/c");
		make_numbers("$dir/ids", 40);
	}
	my $schema = slurp(dirname(__FILE__) . '/fuzz/schema.sql');
	my $functions = source_schema();

	$schema =~ s/\@DIR\@/$self->{dir}/g;
	$schema =~ s/\@OTHER\@/$self->{other_dir}/g;
	$schema =~ s/\@PATTERNS\@/pattern_rows()/e;
	$self->script('CREATE EXTENSION IF NOT EXISTS iopool');
	$self->script("$schema;\n$functions");
	$self->script('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app');
	$self->script('ANALYZE');
	return;
}

# ----------------------------------------------------------------------------
# One query

sub sessions
{
	my ($self) = @_;
	return @{ $self->{sessions} } if $self->{sessions};

	# after the end of the server, until it is back
	my $deadline = time() + $session_timeout;
	my @sessions;
	until (@sessions == @witnesses)
	{
		@sessions = ();
		eval {
			foreach (@witnesses)
			{
				push @sessions, IopoolFuzz::Session->new($self);
				my ($result) = IopoolFuzz::Session::exchange($session_timeout,
					[ $sessions[-1], [ "SET statement_timeout = '${statement_timeout}s'; SET iopool.checkout_timeout = '60s'; SET client_min_messages = error; SET jit = off;" . session_schema() ] ]);
				die "$result->[0]{error}{message}\n" if $result->[0]{error};
			}
			1;
		} or do {
			die "the server does not come back: $@" if time() > $deadline;
			@sessions = ();
			sleep 0.2;
		};
	}
	$self->{sessions} = \@sessions;
	return @sessions;
}

sub settings_of
{
	my ($self, $query) = @_;
	my $force = $self->{sessions}[0]{version} < 16 ? 'force_parallel_mode = on' : 'debug_parallel_query = on';
	# a plan that is slow is no hang
	my @patience = $self->{patience} ? "SET LOCAL statement_timeout = '" . $statement_timeout * $self->{patience} . "s'" : ();
	return join '; ', @patience, map { my $setting = $_ eq 'FORCE_PARALLEL' ? $force : $_; "SET LOCAL " . ($setting =~ / = / ? $setting : $setting =~ s/ / TO /r) } @{ $query->{settings} };
}

# The results of each witness: lists of { rows, error }; undef: the server ended or
# a session did not answer, which is in $self->{trouble}.
sub results_of
{
	my ($self, $query, $with_off_plan) = @_;
	my @sessions = $self->sessions;
	my $settings = $self->settings_of($query);
	my @work;

	foreach my $n (0 .. $#witnesses)
	{
		my @run = map { ref $_ eq 'HASH' ? $_ : $_->[0] } @{ $query->{run} };
		my @explain = $n == 0 || ($n == 1 && $with_off_plan) ? ("BEGIN; $witnesses[$n][1]; $settings", @{ $query->{explain} }, 'ROLLBACK', 'DEALLOCATE ALL') : ();
		push @work, [ $sessions[$n], [ "BEGIN; $witnesses[$n][1]; $settings", @run, 'ROLLBACK', 'CLOSE ALL', 'DEALLOCATE ALL', @explain ] ];
	}
	my @results = eval { IopoolFuzz::Session::exchange($session_timeout * ($self->{patience} // 1), @work) };
	return @results if @results;
	$self->{trouble} = $@ =~ s/ at \S+ line \d+\.\n//r;
	# a session that neither answers nor ends
	kill 'KILL', map { $_->{pid} } @sessions if $self->{trouble} =~ /no answer/;
	$self->{sessions} = undef;
	return;
}

sub text_of
{
	my ($result, $is_ordered, $with_detail) = @_;
	my $error = $result->{error};
	# how many rows were sent before an error is not promised
	my @rows = $error ? () : @{ $result->{rows} };

	@rows = sort @rows unless $is_ordered;
	return join "\0", @rows, $error ? "ERROR $error->{state} $error->{message}" . ($with_detail ? ' ' . ($error->{detail} // '') : '') : '';
}

sub printable
{
	my ($row) = @_;
	return $row unless $row =~ s/^D....//s;
	my $n = unpack 'n', substr($row, 0, 2, '');
	my @fields;
	foreach (1 .. $n)
	{
		my $length = unpack 'N', substr($row, 0, 4, '');
		push @fields, $length == 0xffffffff ? 'NULL' : substr($row, 0, $length, '');
	}
	return substr(join('|', @fields), 0, 200);
}

# Where two results differ first.
sub describe
{
	my ($is_ordered, $name, $result, $other_name, $other) = @_;
	my ($error, $other_error) = map { $_->{error} ? "$_->{error}{state} $_->{error}{message}" . ($_->{error}{detail} ? " ($_->{error}{detail})" : '') : 'none' } ($result, $other);
	return "errors differ: $name: $error\n  $other_name: $other_error" if $error ne $other_error;
	my ($rows, $other_rows) = map { $is_ordered ? $_->{rows} : [ sort @{ $_->{rows} } ] } ($result, $other);
	my $n = 0;
	$n++ while $n < @$rows && $n < @$other_rows && $rows->[$n] eq $other_rows->[$n];
	return sprintf("row %d of %d and %d: %s: %s\n  %s: %s", $n + 1, scalar @$rows, scalar @$other_rows, $name, printable($rows->[$n] // 'none'), $other_name, printable($other_rows->[$n] // 'none'));
}

# What is wrong with a query: undef, or { kind, text }; counts in $self->{count} if
# that is wanted.
sub difference_of
{
	my ($self, $query, $count) = @_;
	my @results = $self->results_of($query, $count && $count->{queries} % 10 == 0);
	my @run = @{ $query->{run} };

	return { kind => $self->{trouble} =~ /no answer/ ? 'hang' : 'crash', text => $self->{trouble} } unless @results;
	foreach my $n (0 .. $#run)
	{
		my $is_ordered = ref $run[$n] eq 'HASH' ? $run[$n]{is_ordered} : $run[$n][1];
		my ($on, $off, $core) = map { $_->[ $n + 1 ] } @results;
		my @states = map { $_->{error} ? $_->{error}{state} : '' } ($on, $off, $core);

		$count->{rows} += @{ $on->{rows} } if $count;
		# too slow for any of them, or for those that are slow
		last if $states[1] eq '57014' || $states[2] eq '57014';
		return { kind => 'hang', text => 'on: ended by statement_timeout' } if $states[0] eq '57014';
		return { kind => 'wrong', text => "$on->{error}{state} $on->{error}{message}" } if "@states" =~ /\b(42|XX|0A|54)/ && $states[0] eq $states[1] && $states[0] eq $states[2];
		foreach my $pair ([ 'on', $on, 'off', $off ], [ 'off', $off, 'core', $core ])
		{
			my ($name, $result, $other_name, $other) = @$pair;
			my $with_detail = $name eq 'on';
			next if text_of($result, $is_ordered, $with_detail) eq text_of($other, $is_ordered, $with_detail);
			return { kind => ($result->{error} // { state => '' })->{state} ne ($other->{error} // { state => '' })->{state} ? "$name error" : "$name rows", text => 'statement ' . ($n + 1) . ', ' . describe($is_ordered, $name, $result, $other_name, $other) };
		}
	}
	return $self->look_at_plans($query, \@results, scalar @run, $count);
}

sub plan_of
{
	my ($results, $nrun) = @_;
	return join "\n", map { map { printable($_) } @{ $_->{rows} } } @{$results}[ $nrun + 3 .. $#$results ];
}

sub look_at_plans
{
	my ($self, $query, $results, $nrun, $count) = @_;
	my ($on, $off) = map { plan_of($_, $nrun) } @$results;
	my %tags = %{ $query->{tags} };

	return { kind => 'plan', text => 'a node although iopool.enable_stream_scan is off' } if $off =~ /Custom Scan \(Iopool/;
	return undef unless $count;
	$count->{lateral}++ if $on =~ /Custom Scan \(IopoolLateral\)/;
	$count->{project}++ if $on =~ /Custom Scan \(IopoolProject\)/;
	$count->{scan}++ if $on =~ /Custom Scan \(IopoolScan\)/;
	$count->{tags}{$_}++ foreach (keys %tags);
	if ($on =~ /Custom Scan \(Iopool/)
	{
		$count->{node_tags}{$_}++ foreach (keys %tags);
	}
	return undef;
}

# ----------------------------------------------------------------------------
# Making it smaller

sub query_again
{
	my ($self, $choices) = @_;
	choose_again($choices);
	return query($self->{dir});
}

# A query's choices without those that its difference does not need.
sub shrink
{
	my ($self, $choices, $kind) = @_;
	my $deadline = time() + $shrink_time;
	my %choices = %$choices;
	my $progress = 1;
	my $attempt = sub {
		my ($candidate) = @_;
		return 0 if time() > $deadline;
		my $query = eval { $self->query_again($candidate) } or return 0;
		my %kept = choices();
		my $difference = $self->difference_of($query);
		return 0 unless $difference && $difference->{kind} eq $kind;
		%choices = %kept;
		return 1;
	};

	while ($progress)
	{
		$progress = 0;
		my %prefixes;
		foreach my $key (keys %choices)
		{
			my @parts = split m{/}, $key;
			$prefixes{ join '/', @parts[ 0 .. $_ ] } = $_ foreach (0 .. $#parts);
		}
		# what is decided first, and with it all below
		foreach my $prefix (sort { $prefixes{$a} <=> $prefixes{$b} || $a cmp $b } keys %prefixes)
		{
			my @below = grep { $_ eq $prefix || index($_, "$prefix/") == 0 } keys %choices or next;
			my %candidate = %choices;
			delete @candidate{@below};
			$progress = 1 if $attempt->(\%candidate);
		}
		foreach my $key (sort keys %choices)
		{
			foreach my $smaller (int(($choices{$key} // 0) / 2), ($choices{$key} // 0) - 1)
			{
				next if $smaller < 1;
				$progress = 1 if $attempt->({ %choices, $key => $smaller });
			}
		}
		last if time() > $deadline;
	}
	return \%choices;
}

sub text_of_query
{
	my ($self, $query) = @_;
	$self->sessions;
	my @settings = split /; /, $self->settings_of($query);
	return join '', map { "    $_;\n" } 'BEGIN', @settings, map {
		ref $_ eq 'HASH' ? ("-- by the protocol's Parse, Bind (" . join(', ', map { $_ // 'NULL' } @{ $_->{values} }) . ") and Execute of $_->{fetch} rows\n    $_->{portal}") : $_->[0]
	} @{ $query->{run} };
}

sub report
{
	my ($self, $seed, $choices, $difference, $number) = @_;
	my $head = "difference $number: method $self->{method}, seed $seed: $difference->{kind}: $difference->{text}";
	my $is_stable = 0;

	foreach (1 .. 3)
	{
		my $again = $self->difference_of($self->query_again($choices));
		$is_stable = 1 if $again && $again->{kind} eq $difference->{kind};
		last if $is_stable;
	}
	my $least = $is_stable ? $self->shrink($choices, $difference->{kind}) : $choices;
	my $query = $self->query_again($least);
	my $last = $is_stable ? $self->difference_of($query) : undef;
	$self->{print}->($head);
	$self->{print}->($is_stable ? '  minimal query' . ($last ? ", with $last->{text}" : '') . ':' : '  seen once; the query:');
	$self->{print}->($self->text_of_query($query));
	return;
}

# ----------------------------------------------------------------------------

# Queries of this seed and the next ones, for as long as a function of the number of
# queries so far says.
sub run
{
	my ($self, $seed, $goes_on) = @_;
	my %count = (queries => 0, rows => 0, lateral => 0, scan => 0, project => 0, differences => 0, tags => {}, node_tags => {});

	while ($goes_on->($count{queries}))
	{
		my $this = $seed + $count{queries};
		choose_by_seed($this);
		my $query = query($self->{dir});
		my %choices = choices();
		$self->{print}->("seed $this\n" . $self->text_of_query($query)) if $self->{verbose};
		my $difference = $self->difference_of($query, \%count);
		$count{queries}++;
		if ($difference && $difference->{kind} eq 'hang')
		{
			local $self->{patience} = 10;
			$difference = $self->difference_of($query);
		}
		next unless $difference;
		$count{differences}++;
		if ($count{differences} <= $max_shown)
		{
			$self->report($this, \%choices, $difference, $count{differences});
		}
		else
		{
			$self->{print}->("difference $count{differences}: method $self->{method}, seed $this: $difference->{kind}");
		}
	}
	return \%count;
}

# ----------------------------------------------------------------------------
# A connection

package IopoolFuzz::Session;

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

my %oids = (bigint => 20, 'bigint[]' => 1016, text => 25, 'text[]' => 1009, int => 23, bool => 16);

sub new
{
	my ($class, $fuzz) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $fuzz->{socket}) or die "could not connect to $fuzz->{socket}: $!";
	my $self = bless { socket => $socket, in => '', out => '', results => [] }, $class;
	my $body = pack('N', 196608) . join("\0", user => $fuzz->{user}, database => 'postgres', application_name => 'iopool fuzz') . "\0\0";

	$self->{out} = pack('N', 4 + length $body) . $body;
	$self->{wanted} = 1;
	$socket->blocking(0);
	exchange(60, [ $self, undef ]);
	die "could not connect: $self->{results}[0]{error}{message}" if $self->{results}[0]{error};
	return $self;
}

sub message
{
	my ($type, $body) = @_;
	return $type . pack('N', 4 + length $body) . $body;
}

# A statement with parameters, and as many rows at a time as it asks for.
sub portal_messages
{
	my ($portal) = @_;
	my @values = @{ $portal->{values} };
	my $parse = "\0$portal->{portal}\0" . pack('n', scalar @values) . join '', map { pack 'N', $oids{$_} } @{ $portal->{types} };
	my $bind = "\0\0" . pack('nn', 0, scalar @values) . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @values) . pack('n', 0);
	my $some = message('E', "\0" . pack('N', $portal->{fetch}));
	my $all = message('E', "\0" . pack('N', 0));

	return message('P', $parse) . message('B', $bind) . ($portal->{fetch} > 0 ? $some x 4 : '') . ($portal->{stop} && $portal->{fetch} > 0 ? '' : $all)
	  . message('C', "P\0") . message('S', '');
}

# Takes what has come apart; true when nothing more is to come.
sub parse
{
	my ($self) = @_;
	my $in = \$self->{in};
	my $at = 0;

	while (length($$in) - $at >= 5)
	{
		my $length = unpack 'N', substr($$in, $at + 1, 4);
		last if length($$in) - $at < $length + 1;
		my $type = substr $$in, $at, 1;
		my $result = $self->{results}[-1];

		if ($type eq 'D')
		{
			push @{ $result->{rows} }, substr($$in, $at, $length + 1);
		}
		elsif ($type eq 'Z')
		{
			push @{ $self->{results} }, { rows => [] };
			$self->{wanted}--;
		}
		elsif ($type eq 'E')
		{
			my %fields = map { substr($_, 0, 1) => substr($_, 1) } split /\0/, substr($$in, $at + 5, $length - 4);
			$result->{error} //= { state => $fields{C}, message => $fields{M}, detail => $fields{D} };
		}
		elsif ($type eq 'K')
		{
			$self->{pid} = unpack 'N', substr($$in, $at + 5, 4);
		}
		elsif ($type eq 'S' && substr($$in, $at + 5, $length - 4) =~ /^server_version\0(\d+)/)
		{
			$self->{version} = $1;
		}
		$at += $length + 1;
	}
	substr($$in, 0, $at, '');
	return $self->{wanted} <= 0;
}

# Sends statements through sessions, and returns a list of results for each; all
# at once.  Dies if a session ends, or does not answer in time.
sub exchange
{
	my ($timeout, @work) = @_;
	my $deadline = time() + $timeout;
	my ($readers, $writers) = (IO::Select->new, IO::Select->new);
	my %sessions;

	foreach my $pair (@work)
	{
		my ($session, $statements) = @$pair;
		$session->{results} = [ { rows => [] } ];
		if (defined $statements)
		{
			$session->{out} .= ref $_ eq 'HASH' ? portal_messages($_) : message('Q', "$_\0") foreach (@$statements);
			$session->{wanted} = @$statements;
		}
		$sessions{ fileno $session->{socket} } = $session;
		$readers->add($session->{socket});
		$writers->add($session->{socket});
	}
	while ($readers->count > 0)
	{
		my ($can_read, $can_write) = IO::Select->select($readers, $writers->count > 0 ? $writers : undef, undef, $deadline - time());
		die "no answer from a session in $timeout s" if !defined $can_read && time() >= $deadline;
		foreach my $socket (@{ $can_write // [] })
		{
			my $session = $sessions{ fileno $socket };
			local $SIG{PIPE} = 'IGNORE';
			my $n = $session->{out} eq '' ? 0 : syswrite $socket, $session->{out};
			die "the connection is lost: $!" if !defined $n && $! != EAGAIN && $! != EINTR;
			substr($session->{out}, 0, $n // 0, '');
			$writers->remove($socket) if $session->{out} eq '';
		}
		foreach my $socket (@{ $can_read // [] })
		{
			my $session = $sessions{ fileno $socket };
			my $n = sysread $socket, $session->{in}, 262_144, length $session->{in};
			next if !defined $n && ($! == EAGAIN || $! == EINTR);
			my ($error) = map { $_->{error} ? $_->{error}{message} : () } @{ $session->{results} }[-1];
			die 'the connection is lost' . (defined $error ? ": $error" : '') unless $n;
			$readers->remove($socket) if $session->parse;
		}
	}
	return map { [ @{ $_->[0]{results} }[ 0 .. $#{ $_->[0]{results} } - 1 ] ] } @work;
}

1;
