
=head1 NAME

IopoolDocs - the code blocks of the documentation

=head1 SYNOPSIS

  use IopoolDocs;
  my ($blocks, $wrong) = code_blocks($text);
  foreach my $block (@$blocks)
  {
      print "$block->{line}: $block->{lang} $block->{way}\n";
  }

=head1 BLOCKS

A block is fenced by three backquotes in the first column, and has a language:

  sql       run by psql, in a session of its own
  output    what psql printed for the block before it, compared
  sh        run by bash
  ini       settings: the server is restarted with them
  c, make   the text of a file
  text      a picture

A block behind a line that holds nothing but a name, as in C<`tree_sum.c`:>, is
the text of a file of that name, whatever its language.

A comment right before a block tells what is done with it instead, and why:

  <!-- docs-test: WAY: REASON -->

  syntax          sh: "bash -n" only
  dry-run         sh: what make would run is only printed
  repeated        sql: the same text is run further down on the page
  file-names      text: each name of a source file is one of src/
  picture         text: nothing can be tested
  forbidden-ring  sql: run on a server to which the kernel refuses io_uring

=cut

package IopoolDocs;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(code_blocks comment_example comparable);

# Language => how its blocks are tested: "run" without a comment, or else one of
# those that a comment may name.
my %ways = (
	sql => [qw(run repeated forbidden-ring)],
	output => [qw(run)],
	sh => [qw(run syntax dry-run)],
	ini => [qw(run)],
	text => [qw(file-names picture)],
);
my %file_langs = map { $_ => 1 } qw(c make sql ini sh);

# The blocks of a page, and what is wrong with how it writes them.  A block has
# line, lang, way, text, and file where it is the text of one.
sub code_blocks
{
	my ($page) = @_;
	my (@blocks, @wrong, $block, $comment);
	my $previous = '';
	my $is_after_blank = 1;
	my $line = 0;

	foreach (split /\n/, $page)
	{
		$line++;
		if (defined $block)
		{
			if (/^```\s*$/)
			{
				push @blocks, $block;
				push @wrong, check_block($block);
				$block = undef;
				$previous = '';
			}
			else
			{
				$block->{text} .= "$_\n";
			}
			next;
		}
		if (defined $comment)
		{
			$comment .= " $_";
		}
		elsif (/^<!--/)
		{
			$comment = $_;
		}
		if (defined $comment)
		{
			next unless $comment =~ /-->/;
			$previous = $comment;
			$comment = undef;
		}
		elsif (/^```(\w*)\s*$/)
		{
			$block = { line => $line, lang => $1, way => 'run', text => '' };
			$block->{file} = $1 if $previous =~ /^`([\w.-]+)`:$/;
			$previous =~ /^<!-- docs-test: ([a-z-]+): \S.*-->$/
			  and $block->{way} = $1;
		}
		elsif (/^\s*(?:```|~~~)/)
		{
			push @wrong, "line $line: a fence that is not read";
		}
		elsif (/^(?: {4}|\t)\s*\S/ && $is_after_blank)
		{
			push @wrong, "line $line: a block without a fence";
		}
		else
		{
			# An empty line parts a name from its block, and nothing else.
			$previous = $_ if /\S/ || $previous !~ /^`/;
			$is_after_blank = !/\S/;
		}
	}
	push @wrong, "line $block->{line}: the block does not end" if $block;
	push @wrong, 'a comment does not end' if defined $comment;
	return (\@blocks, \@wrong);
}

sub check_block
{
	my ($block) = @_;
	my ($lang, $way) = @$block{qw(lang way)};
	my $at = "line $block->{line}";

	if (defined $block->{file})
	{
		return "$at: a file in the language \"$lang\"" unless $file_langs{$lang};
		return "$at: a file is not to be left out" unless $way eq 'run';
		return;
	}
	return "$at: a block in the language \"$lang\"" unless $ways{$lang};
	return "$at: \"$lang\" cannot be tested by \"$way\""
	  unless grep { $_ eq $way } @{ $ways{$lang} };
	return "$at: not only make would be run"
	  if $way eq 'dry-run' && $block->{text} =~ /^(?!(?:sudo )?make\b|#|$)/m;
	return;
}

# The example in the comment at the head of a C file: what is two tabs in.
sub comment_example
{
	my ($source) = @_;
	my ($comment) = $source =~ m{\A/\*-+\n(.*?)\*/}s or return '';
	return join '', $comment =~ /^ \*\t\t(\S.*\n|\t.*\n)/mg;
}

# Output in the form in which it is compared.  What depends on machine, kernel,
# method and server is taken away; the widths of columns come with it.
sub comparable
{
	my ($output) = @_;

	foreach ($output)
	{
		s/Linux [\d.]+\S*?(?=;|\s|$)/Linux N/g;
		# newer kernels only
		s/; kernel\.io_uring_disabled = \d//g;
		s/In Flight: average=[\d.]+ maximum=\d+/In Flight: average=N maximum=N/g;
		# how many ranges are merged depends on the disk
		s/Reads: \d+\s+Read Bytes: \d+/Reads: N Read Bytes: N/g;
		s/(Sort Method: \w+ +Memory:) \d+kB/$1 N/g;
		s/^Time: [\d.]+ ms.*/Time: N ms/mg;
		# PostgreSQL 18
		s/(actual rows=\d+)\.00\b/$1/g;
		s/-{2,}/--/g;
		s/[ \t]+/ /g;
		s/ $//mg;
		s/\n+\z//;
	}
	return $output;
}

1;
