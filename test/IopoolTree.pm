
=head1 NAME

IopoolTree - directories and patterns for generated calls of iopool_list()

=head1 SYNOPSIS

  use IopoolTree;
  make_tree("$dir/tree", $outside);   # a file elsewhere, to which a link leads
  make_numbers("$dir/ids", 40);       # files 0 to 40, which have so many bytes
  my $sql = pattern_rows();           # ('**', '^.*$'), (...), ...
  my $n = pattern_count();

=head1 DESCRIPTION

Each pattern comes with a regular expression of core's that means the same, for the
witness.  The expression is made from what the pattern is made of, not from its text.

=cut

package IopoolTree;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(make_tree make_numbers pattern_rows pattern_count);

# Of whole seconds, because pg_stat_file() knows no parts of one.
my $time = 1_700_000_000;

my @directories = ('', 'x/', 'x/y/', 'x/y/z1/', 'empty/', 'odd ones/', 'b.d/', '[q]/');
my @names = ('a.bin', 'ab.bin', '.hidden', 'b', 'B-2', '10', 'x*y', "it's", 'back\\slash', 'a:b');

sub make_directory
{
	my ($path) = @_;
	-d $path or mkdir $path or die "could not create \"$path\": $!";
	return;
}

sub make_file
{
	my ($path, $size) = @_;
	open my $file, '>:raw', $path or die "could not create \"$path\": $!";
	print $file substr(join(' ', 0 .. $size), 0, $size);
	close $file or die "could not write \"$path\": $!";
	utime $time + $size, $time + $size, $path or die "could not set times of \"$path\": $!";
	return;
}

sub make_link
{
	my ($target, $path) = @_;
	-l $path or symlink $target, $path or die "could not create \"$path\": $!";
	return;
}

sub make_tree
{
	my ($top, $outside) = @_;
	my $size = 0;

	make_directory("$top/$_") foreach (@directories);
	foreach my $directory (@directories)
	{
		next if $directory =~ /empty/;
		make_file("$top/$directory$_", $size++) foreach (@names);
	}
	make_link('a.bin', "$top/link.bin");
	make_link('../b.d', "$top/x/dirlink");
	make_link('nothing', "$top/x/broken");
	# these lead out: below a directory of iopool, they are not there
	make_link($outside, "$top/outside");
	make_link('../../..' . ($outside =~ m{(/[^/]+/[^/]+)$})[0], "$top/x/outside");
	return;
}

sub make_numbers
{
	my ($top, $last) = @_;
	make_directory($top);
	make_file("$top/$_", $_) foreach (0 .. $last);
	return;
}

# Parts of patterns, with what they mean.
my @parts = (
	[ '*', '[^/]*' ], [ '*', '[^/]*' ], [ '**', '.*' ], [ '?', '[^/]' ], [ '??', '[^/][^/]' ],
	[ '[a-c]', '[a-c]' ], [ '[!a-c]', '[^/a-c]' ], [ '[!.]', '[^/.]' ], [ '[]*[]', '[]*[]' ], [ '[0-9-]', '[0-9-]' ], [ '[\\]q]', '[]q]' ], [ '[!!]', '[^/!]' ],
	[ 'a', 'a' ], [ 'x', 'x' ], [ 'b', 'b' ], [ '.bin', '[.]bin' ], [ '.', '[.]' ], [ 'y', 'y' ], [ ' ', ' ' ], [ '\\*', '[*]' ], [ '\\\\', '[\\\\]' ], [ '\\b', 'b' ],
	[ ':', ':' ], [ 'outside', 'outside' ], [ 'link', 'link' ], [ '***', '.*' ], [ 'z1', 'z1' ], [ '\\[', '[[]' ]);
my @heads = ([ '', '' ], [ '', '' ], [ '**/', '(.*/)?' ], [ '**/', '(.*/)?' ], [ 'x/', 'x/' ], [ 'x/y/', 'x/y/' ], [ '*/', '[^/]*/' ], [ 'x/**/', 'x/(.*/)?' ], [ '?/*/', '[^/]/[^/]*/' ], [ '**/**/', '(.*/)?' ]);

my @patterns = ([ '**', '.*' ], [ '*', '[^/]*' ], [ '**/*.bin', '(.*/)?[^/]*[.]bin' ], [ 'x/*', 'x/[^/]*' ], [ 'a.bin', 'a[.]bin' ], [ 'none', 'none' ],
	[ '[0-9]*', '[0-9][^/]*' ], [ '**/*', '(.*/)?[^/]*' ], map { [ "ids/$_->[0]", "ids/$_->[1]" ] } [ '*', '[^/]*' ], [ '**', '.*' ], [ '[0-9]*', '[0-9][^/]*' ], [ '**/*', '(.*/)?[^/]*' ]);

# The same on each run, and another generator than that of queries.
sub patterns
{
	my $state = 4711;
	my $draw = sub { $state = ($state * 1103515245 + 12345) % 2**31; return int($state / 65536) % $_[0]; };

	while (@patterns < 300)
	{
		my @drawn = ($heads[ $draw->(scalar @heads) ], map { $parts[ $draw->(scalar @parts) ] } 0 .. $draw->(5));
		# stars that meet become others
		next if grep { "$drawn[ $_ - 1 ][0] $drawn[$_][0]" =~ /^\*+ \*+$/ } 1 .. $#drawn;
		push @patterns, [ map { my $n = $_; join '', map { $_->[$n] } @drawn } 0, 1 ];
	}
	return @patterns;
}

sub pattern_rows
{
	my $n = 0;
	return join ",\n", map { my ($pattern, $expression) = map { s/'/''/gr } @$_; sprintf "(%d, '%s', '^%s\$')", $n++, $pattern, $expression } patterns();
}

sub pattern_count
{
	return scalar patterns();
}

1;
