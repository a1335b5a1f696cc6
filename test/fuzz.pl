# Runs generated queries on a server that is there; scripts/fuzz.sh starts it.
#
#   fuzz.pl socket user directory method seed seconds queries summary
#
# Queries of the seed and of those that follow it, for so many seconds, or so many
# of them if that is not 0.  The counts are written to the file summary.

use strict;
use warnings;

use Time::HiRes qw(time);

use IopoolFuzz;

my ($socket, $user, $dir, $method, $seed, $seconds, $queries, $summary) = @ARGV;
my $end = time() + $seconds;
my $fuzz = IopoolFuzz->new(socket => $socket, user => $user, dir => "$dir/plain", other_dir => "$dir/other", method => $method, verbose => $ENV{VERBOSE});

$| = 1;
foreach my $path ($dir, "$dir/plain", "$dir/other")
{
	-d $path or mkdir $path or die "could not create \"$path\": $!";
}
$fuzz->prepare;
my $count = $fuzz->run($seed, sub { $queries > 0 ? $_[0] < $queries : time() < $end });
open my $file, '>', $summary or die "could not create \"$summary\": $!";
print $file join(' ', @{$count}{qw(queries rows lateral scan project differences)}), "\n";
close $file;
