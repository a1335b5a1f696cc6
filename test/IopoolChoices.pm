
=head1 NAME

IopoolChoices - choices that can be repeated, and taken back one by one

=head1 SYNOPSIS

  use IopoolChoices;
  choose_by_seed(17);                  # or choose_again(\%choices)
  my $n = within('outer', sub { between('rows', 1, 40) });
  my %choices = choices();             # those that were not the simplest

=head1 DESCRIPTION

A generator asks here for each decision, by a name; the first alternative (false,
the smallest number) has to be the simplest one.  What was decided is a hash from
the names, with those of within() before them, to numbers, without the zeros.
Replayed without some of its entries, it gives the same thing made simpler there
and the same elsewhere, as names do not depend on what else was decided.  So
whatever a generator makes can be shrunk without its help.

=cut

package IopoolChoices;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(choose_by_seed choose_again choices draw pick chance between within);

my (%chosen, %wanted, %times, @path, $is_replay);

sub choose_by_seed
{
	my ($seed) = @_;
	(%chosen, %wanted, %times, @path) = ();
	$is_replay = 0;
	# perl's own generator, which is the same everywhere; seeds that follow each
	# other would give it beginnings that do
	my $mixed = ($seed * 2654435761) % 2**32;
	srand(($mixed ^ ($mixed >> 15)) % 2**32);
	return;
}

sub choose_again
{
	my ($choices) = @_;
	(%chosen, %times, @path) = ();
	%wanted = %$choices;
	$is_replay = 1;
	return;
}

sub choices
{
	return %chosen;
}

# One of the numbers 0 .. n - 1.
sub draw
{
	my ($name, $n) = @_;
	my $key = join '/', @path, $name;
	my $times = $times{$key}++;
	my $value;

	$key .= "#$times" if $times > 0;
	if ($is_replay)
	{
		$value = $wanted{$key} // 0;
		$value = $n - 1 if $value >= $n;
	}
	else
	{
		$value = int(rand($n));
	}
	$chosen{$key} = $value if $value > 0;
	return $value;
}

sub pick
{
	my ($name, @alternatives) = @_;
	return $alternatives[ draw($name, scalar @alternatives) ];
}

sub chance
{
	my ($name, $probability) = @_;
	return draw($name, 1000) >= 1000 * (1 - $probability);
}

# A number from .. to.
sub between
{
	my ($name, $from, $to) = @_;
	return $from + draw($name, $to - $from + 1);
}

# Decisions of code get the name before theirs.
sub within
{
	my ($name, $code) = @_;
	my $key = join '/', @path, $name;
	my $times = $times{"$key/"}++;
	my $result;

	push @path, $times > 0 ? "$name#$times" : $name;
	$result = $code->();
	pop @path;
	return $result;
}

1;
