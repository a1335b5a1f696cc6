# The byte oracle: seeded random ranges of every kind over files of odd sizes,
# on every method and in every mode, compared with pg_read_binary_file() and,
# for a sample, with the words that the files are known to hold.
#
# IOPOOL_TEST_RANGES is the number of ranges for each method and mode, and
# IOPOOL_TEST_SEED the seed; both are printed, so a failure can be repeated.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IopoolTest;

my $nranges = $ENV{IOPOOL_TEST_RANGES} // 80_000;
my $seed = $ENV{IOPOOL_TEST_SEED} // 20240;
my $chunk = 2_000;
my $dir = PostgreSQL::Test::Utils::tempdir() . '/oracle';
mkdir $dir or die "could not create \"$dir\": $!";

# Plain word files, and a sparse one of more than 4 GiB: words where the
# islands are, holes that read as zeros elsewhere.
my %sizes = (map { ("s$_" => $_) }
	  (0, 1, 511, 512, 513, 4095, 4096, 4097, 1048579, 8388608));
my $sparse_size = 6 * 2**30 + 12_345;
my @islands = (
	[ 0, 65536 ],
	[ 2**31 - 40_000, 80_000 ],
	[ 2**32 - 1_000_000, 2_000_000 ],
	[ 5 * 2**30 + 77 * 8, 300_000 ],
	[ $sparse_size - 12_345, 12_345 ]);
foreach my $name (sort keys %sizes)
{
	write_words("$dir/$name", $sizes{$name});
}
{
	open my $file, '>:raw', "$dir/sparse" or die $!;
	truncate $file, $sparse_size or die $!;
	foreach my $island (@islands)
	{
		my ($offset, $length) = @$island;
		seek $file, $offset, 0 or die $!;
		print $file words($offset, $length) or die $!;
	}
	close $file or die $!;
	$sizes{sparse} = $sparse_size;
}

note("seed $seed, $nranges ranges for each method and mode");

my $functions = q{
CREATE TABLE files (id int, path text, size bigint);
CREATE TABLE hot_spots (id serial, file_offset bigint);

-- Random ranges, reproducible by the seed: one in three over the sparse file
-- and then mostly around its islands, the others over all files; offsets also
-- at the end of file, past it and far past it; lengths small for the most,
-- some to 64 kB, a few to 3 MiB; one in ten repeats, overlaps or touches its
-- predecessor.
CREATE FUNCTION random_ranges(number int, seed double precision)
RETURNS TABLE (ordinal int, path text, file_offset bigint, length bigint)
LANGUAGE plpgsql AS $$
DECLARE
	nfiles int := (SELECT count(*) FROM files);
	nspots int := (SELECT count(*) FROM hot_spots);
	paths text[] := (SELECT array_agg(f.path ORDER BY id) FROM files AS f);
	sizes bigint[] := (SELECT array_agg(f.size ORDER BY id) FROM files AS f);
	spots bigint[] := (SELECT array_agg(h.file_offset ORDER BY id) FROM hot_spots AS h);
	file int;
	last_offset bigint := 0;
	last_length bigint := 0;
	kind double precision;
BEGIN
	PERFORM setseed(seed);
	FOR n IN 1 .. number LOOP
		ordinal := n;
		kind := random();
		length := CASE WHEN kind < 0.90 THEN (random() * random() * 1500)::bigint
					   WHEN kind < 0.9985 THEN (random() * 65536)::bigint
					   ELSE (random() * 3145728)::bigint END;
		kind := random();
		IF n > 1 AND kind < 0.10 THEN
			file_offset := CASE WHEN kind < 0.02 THEN last_offset
								WHEN kind < 0.06 THEN last_offset + last_length
								WHEN kind < 0.08 THEN last_offset + last_length + (random() * 5000)::bigint
								ELSE greatest(0, last_offset + last_length - (random() * 3000)::bigint) END;
		ELSE
			file := CASE WHEN random() < 0.33 THEN nfiles ELSE 1 + floor(random() * nfiles)::int END;
			path := paths[file];
			kind := random();
			IF file = nfiles AND kind < 0.6 THEN
				file_offset := greatest(0, spots[1 + floor(random() * nspots)::int] + (random() * 20000)::bigint - 10000);
			ELSIF kind < 0.9 THEN
				file_offset := (random() * sizes[file])::bigint;
			ELSIF kind < 0.97 THEN
				file_offset := greatest(0, sizes[file] - (random() * 3000)::bigint);
			ELSIF kind < 0.99 THEN
				file_offset := sizes[file] + (random() * 10000)::bigint;
			ELSE
				file_offset := sizes[file] + (random() * 1e13)::bigint;
			END IF;
		END IF;
		last_offset := file_offset;
		last_length := length;
		RETURN NEXT;
	END LOOP;
END $$;

-- Reads them in chunks, with settings that change from chunk to chunk, and
-- compares.  A row: ranges, bytes, wrong ranges, the sample checked against
-- the words, wrong ones of the sample, and the first wrong range.
CREATE FUNCTION check_ranges(number int, chunk int, seed int, OUT ranges bigint, OUT bytes bigint,
							 OUT wrong bigint, OUT sampled bigint, OUT sample_wrong bigint, OUT first_wrong text)
LANGUAGE plpgsql AS $$
DECLARE
	settings text;
	paths text[];
	offsets bigint[];
	lengths bigint[];
	one record;
	size int;
	-- the same path as often as it comes: most chunks mix, some have one file
BEGIN
	ranges := 0; bytes := 0; wrong := 0; sampled := 0; sample_wrong := 0;
	FOR chunkno IN 0 .. 1000000 LOOP
		EXIT WHEN ranges >= number;
		size := least((ARRAY[chunk, chunk, chunk / 3 + 1, chunk * 2, 1 + chunkno % 130])[chunkno % 5 + 1], number - ranges);
		SELECT array_agg(r.path ORDER BY r.ordinal), array_agg(r.file_offset ORDER BY r.ordinal), array_agg(r.length ORDER BY r.ordinal)
			INTO paths, offsets, lengths
			FROM random_ranges(size, ((seed + chunkno) % 100000) / 100000.0) AS r;

		PERFORM setseed(((seed + chunkno) % 99991) / 99991.0);
		settings := format('merge_gap %s, max_in_flight_bytes %s, pool %s, in_order %s',
			set_config('iopool.merge_gap', (ARRAY['-1', '0', 'auto', '1', '511', '4096', '100000'])[1 + floor(random() * 7)::int], true),
			set_config('iopool.max_in_flight_bytes', (ARRAY['16MB', '16MB', '1MB', '128kB', '4kB'])[1 + floor(random() * 5)::int], true),
			set_config('iopool.pool', (ARRAY['default', 'default', 'small', 'deep'])[1 + floor(random() * 4)::int], true),
			random() < 0.5);

		IF chunkno % 4 = 3 THEN
			-- as an array
			SELECT count(*) AS n, sum(length(a.data)) AS b,
				   count(*) FILTER (WHERE a.data IS DISTINCT FROM pg_read_binary_file(r.path, r.file_offset, r.length)) AS w,
				   min(format('chunk %s, %s: ordinal %s, %s, offset %s, length %s', chunkno, settings, ordinal, r.path, r.file_offset, r.length))
					FILTER (WHERE a.data IS DISTINCT FROM pg_read_binary_file(r.path, r.file_offset, r.length)) AS f
				INTO one
				FROM unnest(paths, offsets, lengths) WITH ORDINALITY AS r(path, file_offset, length, ordinal)
					FULL JOIN unnest(iopool_read_array(paths, offsets, lengths)) WITH ORDINALITY AS a(data, ordinal) USING (ordinal);
		ELSE
			SELECT count(*) AS n, sum(length(b.data)) AS b,
				   count(*) FILTER (WHERE b.data IS DISTINCT FROM r.truth OR b.error IS NOT NULL
						OR b.file_offset IS DISTINCT FROM r.file_offset OR b.length IS DISTINCT FROM r.length) AS w,
				   min(format('chunk %s, %s: ordinal %s, %s, offset %s, length %s', chunkno, settings, ordinal, r.path, r.file_offset, r.length))
					FILTER (WHERE b.data IS DISTINCT FROM r.truth) AS f
				INTO one
				FROM (SELECT *, pg_read_binary_file(u.path, u.file_offset, u.length) AS truth
					  FROM unnest(paths, offsets, lengths) WITH ORDINALITY AS u(path, file_offset, length, ordinal)) AS r
					FULL JOIN iopool_read_batch(paths, offsets, lengths, in_order => settings LIKE '%in_order t') AS b
						USING (ordinal);
		END IF;
		ranges := ranges + one.n;
		bytes := bytes + one.b;
		wrong := wrong + one.w + abs(one.n - size);
		first_wrong := coalesce(first_wrong, one.f);

		-- the words themselves, for a few small ranges of the plain files
		SELECT count(*) AS n,
			   count(*) FILTER (WHERE b.data IS DISTINCT FROM
					words(b.file_offset, greatest(0, least(b.length, s.size - b.file_offset)))) AS w
			INTO one
			FROM (SELECT array_agg(u.path) AS p, array_agg(u.file_offset) AS o, array_agg(u.length) AS l, array_agg(f.size) AS z
				  FROM (SELECT * FROM unnest(paths, offsets, lengths) AS u(path, file_offset, length) LIMIT 60) AS u
					JOIN files AS f USING (path)
				  WHERE u.path NOT LIKE '%sparse' AND u.length < 5000) AS a,
				LATERAL iopool_read_batch(a.p, a.o, a.l) AS b,
				LATERAL (SELECT a.z[b.ordinal] AS size) AS s;
		sampled := sampled + one.n;
		sample_wrong := sample_wrong + one.w;
	END LOOP;
END $$;
};

foreach my $method (test_methods())
{
	my $node = iopool_node("oracle_$method", $method,
		'iopool.rings' => 2, 'work_mem' => '512MB', 'jit' => 'off',
		'statement_timeout' => '10min',
		'iopool.pools' => 'small(rings=1, entries=3), deep(rings=1, entries=1000)');
	sql_words($node);
	$node->safe_psql('postgres', $functions);
	my $id = 0;
	foreach my $name ((grep { $_ ne 'sparse' } sort keys %sizes), 'sparse')
	{
		$id++;
		$node->safe_psql('postgres',
			"INSERT INTO files VALUES ($id, '$dir/$name', $sizes{$name})");
	}
	$node->safe_psql('postgres', "INSERT INTO hot_spots (file_offset) VALUES "
		  . join(', ', map { "($_->[0]), (" . ($_->[0] + $_->[1]) . ')' } @islands));

	# The islands, word for word, beyond 2^31, 2^32 and 5 GiB.
	foreach my $mode (io_modes())
	{
		my $label = "$method, $mode";

		foreach my $island (@islands)
		{
			my ($offset, $length) = @$island;
			is( $node->safe_psql('postgres',
					"SET iopool.io_mode = $mode; SELECT iopool_read('$dir/sparse', $offset, $length) = words($offset, $length)"),
				't', "$label: the island at $offset");
		}
		is( $node->safe_psql('postgres',
				"SET iopool.io_mode = $mode; SELECT iopool_read('$dir/sparse', 3221225472, 1000) = decode(repeat('00', 1000), 'hex')"),
			't', "$label: the hole at 3 GiB");

		# Two sessions share the two CPUs, with seeds of their own.
		my @sessions = map {
			start_sql($node,
				"SET iopool.io_mode = $mode;\nSELECT * FROM check_ranges($nranges / 2, $chunk, $seed + $_ * 50000);")
		} 0, 1;
		my ($ranges, $sampled) = (0, 0);
		foreach my $session (@sessions)
		{
			my ($out, $err) = $session->finish;
			is($err, '', "$label: no error");
			my @result = split /\|/, $out, -1;
			is($result[2], 0, "$label: $result[0] ranges, $result[1] bytes: none is wrong")
			  or diag("first wrong one: $result[5]");
			is($result[4], 0, "$label: $result[3] ranges have the words of their offsets");
			$ranges += $result[0];
			$sampled += $result[3];
		}
		cmp_ok($ranges, '>=', $nranges, "$label: $nranges ranges were compared");
		cmp_ok($sampled, '>=', $nranges / 1000, "$label: the sample is not empty");
		rings_home($node, $label);
	}
	$node->stop;
}

done_testing();
