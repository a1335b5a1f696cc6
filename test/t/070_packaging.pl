# What packagers read: META.json against the PGXN Meta Spec 1.0.0, and every
# file that names the version, the license or other files against the rest.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(dirname(abs_path(__FILE__))));

sub content { return slurp_file("$top/$_[0]"); }

# --------------------------------------------------------------------------
# The spec, as far as it is about the form: what is wrong with a structure is
# returned as a list of messages.  http://pgxn.org/meta/spec.txt

my $SEMVER = qr/(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?/;
my $TERM = qr{[^[:space:][:cntrl:]/\\]{2,}};
my $URL = qr{[a-z][a-z+.-]*://[^/?#\s]+\S*};
my $LICENSE = qr/agpl_3|apache_1_1|apache_2_0|artistic_1|artistic_2|bsd
	|freebsd|gfdl_1_2|gfdl_1_3|gpl_1|gpl_2|gpl_3|lgpl_2_1|lgpl_3_0|mit
	|mozilla_1_0|mozilla_1_1|openssl|perl_5|postgresql|qpl_1_0|ssleay|sun
	|zlib|open_source|restricted|unrestricted|unknown/x;
my $RANGE = qr/0|(?:(?:[<>]=?|==|!=)\s*)?$SEMVER/;

sub text
{
	my ($pattern) = @_;
	return sub {
		my ($at, $value) = @_;
		return "$at is not a string" if ref $value || !defined $value;
		return "$at is \"$value\"" unless $value =~ /\A(?:$pattern)\z/;
		return;
	};
}

sub one_or_more
{
	my ($check) = @_;
	return sub {
		my ($at, $value) = @_;
		my @values = ref $value eq 'ARRAY' ? @$value : $value;
		return "$at is empty" unless @values;
		return map { $check->("$at\[$_\]", $values[$_]) } 0 .. $#values;
	};
}

# A map of known keys; "!" after a key: required.  Keys x_... are free.
sub fields
{
	my (%known) = @_;
	my %check = map { (my $key = $_) =~ s/!$//; ($key => $known{$_}) }
	  keys %known;
	return sub {
		my ($at, $map) = @_;
		return "$at is not a map" unless ref $map eq 'HASH';
		my @wrong;
		foreach my $key (grep { s/!$// } map { $_ } keys %known)
		{
			push @wrong, "$at/$key is missing" unless exists $map->{$key};
		}
		foreach my $key (sort keys %$map)
		{
			next if $key =~ /^x_/i;
			push @wrong,
				$check{$key}
			  ? $check{$key}->("$at/$key", $map->{$key})
			  : "$at/$key is unknown";
		}
		return @wrong;
	};
}

# A map whose keys are up to the author, within a pattern.
sub map_of
{
	my ($name, $check) = @_;
	return sub {
		my ($at, $map) = @_;
		return "$at is not a map" unless ref $map eq 'HASH' && %$map;
		return map {
			/\A(?:$name)\z/ ? $check->("$at/$_", $map->{$_})
			  : "$at/$_ is not a name that goes here"
		} sort keys %$map;
	};
}

my $any = text(qr/.+/s);
my $check_meta = fields(
	'name!' => text($TERM),
	'abstract!' => $any,
	'version!' => text($SEMVER),
	'maintainer!' => one_or_more($any),
	'license!' => one_or_more(text($LICENSE)),
	'provides!' => map_of($TERM,
		fields(
			'file!' => $any,
			'version!' => text($SEMVER),
			'abstract' => $any,
			'docfile' => $any)),
	'meta-spec!' => fields('version!' => text(qr/1\.0\.0/), 'url' => text($URL)),
	'description' => $any,
	'generated_by' => $any,
	'release_status' => text(qr/stable|testing|unstable/),
	'tags' => one_or_more(text(qr{[^[:cntrl:]/\\]{1,256}})),
	'no_index' => fields(
		'file' => one_or_more($any), 'directory' => one_or_more($any)),
	'prereqs' => map_of(qr/configure|build|test|runtime|develop/,
		map_of(qr/requires|recommends|suggests|conflicts/,
			map_of($TERM, text(qr/$RANGE(?:,\s*$RANGE)*/)))),
	'resources' => fields(
		'homepage' => text($URL),
		'license' => one_or_more(text($URL)),
		'bugtracker' => fields('web' => text($URL), 'mailto' => text(qr/.+@.+/)),
		'repository' => fields(
			'url' => text($URL), 'web' => text($URL),
			'type' => text(qr/[a-z]+/))));

my $meta = decode_json(content('META.json'));
is(join("\n", $check_meta->('', $meta)), '',
	'META.json keeps to the PGXN Meta Spec');

# --------------------------------------------------------------------------
# META.json against the extension

my %control = content('iopool.control') =~ /^(\w+) *= *'?(.*?)'?$/mg;
my $version = $control{default_version};
my ($extension) = values %{ $meta->{provides} };

is_deeply([ keys %{ $meta->{provides} } ], ['iopool'],
	'META.json provides the extension');
is($extension->{version}, "$version.0",
	'META.json has the version of the control file');
like($meta->{version}, qr/\A\Q$version\E\.\d+\z/,
	'the release begins with the version of the extension');
is(lcfirst $meta->{abstract}, $control{comment},
	'META.json has the comment of the control file');
foreach my $key (qw(file docfile))
{
	ok(-f "$top/$extension->{$key}", "$extension->{$key} exists");
}
like($extension->{file}, qr{\Asql/iopool--[^-]+(?:--[^-]+)?\.sql\z},
	'the file that META.json names is a script of the extension');
is($meta->{license}, 'postgresql', 'META.json has the license');
like(content('LICENSE'), qr/\APostgreSQL License\n/, 'so has LICENSE');

my %tags;
is_deeply([ grep { $tags{$_}++ } @{ $meta->{tags} } ], [],
	'no tag is there twice');

# The oldest server: the headers that the code accepts, the packages, and what
# the documentation says.
my ($major) =
  $meta->{prereqs}{runtime}{requires}{PostgreSQL} =~ /\A(\d+)\.\d+\.\d+\z/;
my ($least) = content('src/base/compat.h') =~ /^#if PG_VERSION_NUM < (\d+)0000$/m;
is($major, $least, 'META.json requires the PostgreSQL that the code does');
is(content('debian/pgversions'), "$least+\n", 'so does debian/pgversions');
like(content('README.md'), qr/PostgreSQL $least or later/,
	'so does README.md');

# --------------------------------------------------------------------------
# Scripts and changelogs

my %scripts = map { basename($_, '.sql') => 1 } glob("$top/sql/iopool--*.sql");
my %reached = map { /^iopool--([^-]+)$/ ? ($1 => 1) : () } keys %scripts;
my $nreached;
do
{
	$nreached = keys %reached;
	foreach my $script (keys %scripts)
	{
		$reached{$2} = 1
		  if $script =~ /^iopool--([^-]+)--([^-]+)$/ && $reached{$1};
	}
} while (keys %reached > $nreached);
ok($reached{$version}, "the scripts lead to version $version");
is_deeply(
	[
		grep { slurp_file("$top/sql/$_.sql") !~ /^\\echo Use .* \\quit$/m }
		  sort keys %scripts
	],
	[],
	'each script refuses to be run by psql');

# What is on its way to the next version comes before this one.
my ($newest) = grep { $_ ne 'Unreleased' } content('CHANGELOG.md') =~ /^## \[([^\]]+)\]/mg;
is($newest, $version, 'CHANGELOG.md begins with this version');
my ($source, $debian) =
  content('debian/changelog') =~ /\A(\S+) \((\S+)-[^-]+\) /;
is("$source $debian", "$meta->{name} $meta->{version}",
	'debian/changelog begins with this release');

# --------------------------------------------------------------------------
# debian/

sub words_only
{
	my ($text) = @_;
	$text =~ s/^ \.$//mg;
	return join(' ', split(' ', $text));
}

my ($license) = content('LICENSE') =~ /\n(Permission .*)\z/s;
my ($copyright) = content('debian/copyright') =~ /^License: PostgreSQL\n((?: .*\n)+)/m;
is(words_only($copyright), words_only($license),
	'debian/copyright has the license in full');
# The profile is made from Docker's.
like(content('debian/copyright'), qr{^Files: deploy/seccomp\.json\nCopyright: .*Docker, Inc\.\nLicense: Apache-2\.0\n}m,
	'debian/copyright tells whose seccomp.json is');
like(content('deploy/LICENSE-Apache-2.0'), qr/\A\s*Apache License\s+Version 2\.0.*END OF TERMS AND CONDITIONS/s,
	'its license is there');
my ($holder) = content('LICENSE') =~ /^Copyright \(c\) (.*)$/m;
like(content('debian/copyright'), qr/^Copyright: \Q$holder\E$/m,
	'debian/copyright has the holder');

# debian/control is what "pg_buildext updatecontrol" made of control.in.
my @paragraphs = split /\n\n/, content('debian/control');
my ($template) = grep { /PGVERSION/ } split /\n\n/, content('debian/control.in');
my ($head) = split /\n\n/, content('debian/control.in');
is($paragraphs[0], $head, 'debian/control has the source of control.in');
foreach my $paragraph (@paragraphs[ 1 .. $#paragraphs ])
{
	my ($nn) = $paragraph =~ /^Package: postgresql-(\d+)-iopool$/m;
	(my $expected = $template) =~ s/PGVERSION/$nn/g;
	$_ =~ s/\n*\z/\n/ foreach ($paragraph, $expected);
	is($paragraph, $expected, "debian/control has control.in's package for $nn");
}
isnt($#paragraphs, 0, 'debian/control has a package');

# --------------------------------------------------------------------------
# docker/

(my $dockerfile = content('docker/Dockerfile')) =~ s/^#.*\n//mg;
$dockerfile =~ s/\\\n//g;
my %stages;
foreach my $instruction (grep { /\S/ } split /\n/, $dockerfile)
{
	my ($name, $rest) = split ' ', $instruction, 2;

	if ($name eq 'FROM')
	{
		like($rest, qr/\Apostgres:\$\{POSTGRES\}(?: AS \w+)?\z/,
			"Dockerfile: FROM $rest");
		$stages{$1} = 1 if $rest =~ / AS (\w+)\z/;
	}
	elsif ($name eq 'COPY' && $rest =~ /\A--from=(\w+) /)
	{
		ok($stages{$1}, "Dockerfile: there is a stage $1 to copy from");
	}
	elsif ($name eq 'COPY')
	{
		my ($from) = split ' ', $rest;
		ok(-e "$top/$from", "Dockerfile: $from exists");
	}
	elsif ($name eq 'CMD')
	{
		is_deeply(decode_json($rest),
			[ 'postgres', '-c', 'shared_preload_libraries=iopool' ],
			'Dockerfile: CMD preloads the library');
	}
	else
	{
		like($name, qr/\A(?:ARG|RUN|WORKDIR)\z/, "Dockerfile: $name");
	}
}

done_testing();
