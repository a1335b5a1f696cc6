# ways.sh: the cases of bench/run that compare ways of asking: B15 to B19, B21; to be sourced
# shellcheck shell=bash
#
# What is said in peers.sh about commands and states holds here, too. One more
# state: "mixed:LENGTH", all of the file is in the page cache but for every
# tenth of the ranges of that length.

# Settings of bench/run. The queries below are named by variables.
# shellcheck disable=SC2034,SC2086,SC2153,SC2154

WAYS_LENGTHS=${WAYS_LENGTHS:-512 4096 16384 65536 131072 262144 1048576 16777216}
MIXED_LENGTHS=${MIXED_LENGTHS:-4096 16384 65536}
# those that offsets are made of
mapfile -t ways_lengths < <(printf '%s\n' $WAYS_LENGTHS $MIXED_LENGTHS | sort -nu)
NATURAL=${NATURAL:-20000}
SMALL_FILES=${SMALL_FILES:-10000}
LOOPS=${LOOPS:-50000}
NUMBERS=${NUMBERS:-1000}

# Bytes that a way reads in a run, and ranges: at most, and at least, so that
# memory which is new for the first ones does not decide
WAYS_BYTES=$((160 * 1048576))
WAYS_READS=40000
WAYS_FEWEST=60

ways_reads()
{
    local reads=$((WAYS_BYTES / $1))
    ((reads <= WAYS_READS)) || reads=$WAYS_READS
    ((reads >= WAYS_FEWEST)) || reads=$WAYS_FEWEST
    ((reads <= SIZE * 1048576 / $1)) || reads=$((SIZE * 1048576 / $1))
    echo "$reads"
}

make_ways_offsets()
{
    local length
    is_wanted B16 || return 0
    for length in "${ways_lengths[@]}"; do
        offsets "ways.$length" "$(ways_reads "$length")" "$length" 1
    done
}

# make_small_files: SMALL_FILES files of 3 to 8 kB, in directories of a hundred
make_small_files()
{
    as_user_in "$T" bash -c "
        for ((d = 0; d < ($SMALL_FILES + 99) / 100; d++)); do
            mkdir -p small/\$d
            dd if='$data' bs=1M skip=\$((d % ($SIZE - 1))) count=1 status=none | head -c 800000 | split -b 8000 -a 2 -d - small/\$d/f
            for f in small/\$d/f*; do truncate -s \$((3000 + (10#\${f##*f} * 7919 + d * 104729) % 5001)) \$f; done
        done"
}

# The file under another name, in a directory that has nothing of a server
make_linked()
{
    as_user mkdir "$T/linked"
    as_user ln "$data" "$T/linked/data"
}

# SQL of the tables that the ways need
make_ways_tables()
{
    local length repeat
    if is_wanted B16; then
        echo "CREATE TABLE ways_arrays (length bigint, offsets bigint[]);"
        echo "ALTER TABLE ways_arrays ALTER offsets SET STORAGE EXTERNAL;"
        for length in "${ways_lengths[@]}"; do
            copy_offsets "ways_$length" "ways.$length"
            echo "INSERT INTO ways_arrays SELECT $length, array_agg(\"offset\" ORDER BY id) FROM ways_$length;"
        done
        echo "CREATE EXTENSION iopool_consumer;"
    fi
    if is_wanted B15; then
        for ((repeat = 0; repeat <= REPEATS; repeat++)); do
            cat <<SQL
CREATE TABLE natural_$repeat AS SELECT id, '$data'::text AS path, "offset" AS off, $LENGTH::bigint AS len, NULL::bytea AS data
    FROM ranges_$repeat ORDER BY id LIMIT $NATURAL;
SQL
        done
        cat <<SQL
CREATE TABLE natural_copy (id integer, data bytea);
CREATE FUNCTION natural_loop(run integer) RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
    r record;
    total bigint := 0;
BEGIN
    FOR r IN EXECUTE format('SELECT iopool_read(path, off, len) AS data FROM natural_%s', run) LOOP
        total := total + length(r.data);
    END LOOP;
    RETURN total;
END
\$\$;
CREATE FUNCTION natural_update(run integer) RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('UPDATE natural_%s SET data = iopool_read(path, off, len)', run);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n * $LENGTH;
END
\$\$;
CREATE FUNCTION natural_insert(run integer) RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
    n bigint;
BEGIN
    TRUNCATE natural_copy;
    EXECUTE format('INSERT INTO natural_copy SELECT id, iopool_read(path, off, len) FROM natural_%s', run);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n * $LENGTH;
END
\$\$;
SQL
    fi
    if is_wanted B18; then
        cat <<SQL
CREATE TABLE small_files AS SELECT d || '/' || f AS path, '$T/small/' || d || '/' || f AS full_path
    FROM generate_series(0, ($SMALL_FILES + 99) / 100 - 1) AS d, LATERAL pg_ls_dir('$T/small/' || d) AS f;
SQL
    fi
    if is_wanted B19; then
        cat <<SQL
CREATE SERVER bench FOREIGN DATA WRAPPER iopool_directory OPTIONS (path '$T/linked');
CREATE FUNCTION single_loop(path text, nreads integer, length bigint) RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
    total bigint := 0;
    d bytea;
BEGIN
    FOR i IN 1..nreads LOOP
        d := iopool_read(path, i * length, length);
        total := total + length(d);
    END LOOP;
    RETURN total;
END
\$\$;
SQL
    fi
    if is_wanted B21; then
        cat <<SQL
CREATE TABLE numbers (data bytea);
-- get_byte() would fetch a whole value from TOAST for each byte
ALTER TABLE numbers ALTER data SET STORAGE PLAIN;
INSERT INTO numbers SELECT pg_read_binary_file('$data', n * $LENGTH::bigint, $LENGTH) FROM generate_series(1, $NUMBERS) AS n;
SQL
    fi
}

# ------------------------------------------------------------------------------
# Commands

# run_way state repeat query reads length [setting=value...]: as run_sql, in a
# session that has run the query once and touched no other memory
run_way()
{
    local result setting settings=
    local state=$1 repeat=$2 query=${!3} reads=$4 length=$5
    shift 5
    for setting; do
        settings+="SET ${setting%%=*} = '${setting#*=}'; "
    done
    query=${query//@FILE@/$data}
    query=${query//@DIRECTORY@/bench:data}
    query=${query//@LENGTH@/$length}
    query=${query//@READS@/$reads}
    result=$(
        server_psql "$PORT_MAIN" -At <<SQL
SET work_mem = '1GB';
SET max_parallel_workers_per_gather = 0;
SET iopool.max_request_memory = '2GB';
$settings$set_settings
${query//@RUN@/0} \\gset
\\! $(set_cache "$state")
SELECT clock_timestamp() AS start, cpu() AS cpu \\gset
${query//@RUN@/$repeat} \\gset
SELECT extract(epoch FROM clock_timestamp() - :'start'), cpu() - :cpu, :total;
SQL
    ) || die "the query failed: $query"
    [[ ${result##*|} == $((reads * length)) || $length == 1 ]] ||
        die "${result##*|} bytes were read and not $((reads * length)): $query"
    echo "$result" | awk -F'|' -v reads="$reads" '{ print reads, $1, "cpu=" $2 + 0 }'
}

# run_files state repeat query: many files whose sizes differ
run_files()
{
    local query=${!3} want result
    want=$(cat "$T"/small/*/* | wc -c)
    result=$(
        server_psql "$PORT_MAIN" -At <<SQL
SET work_mem = '1GB';
SET max_parallel_workers_per_gather = 0;
$set_settings
$query \\gset
\\! $([[ $1 == hot ]] && echo "cat $T/small/*/* >$T/null" || echo "$T/pread drop $T/small/*/*")
SELECT clock_timestamp() AS start, cpu() AS cpu \\gset
$query \\gset
SELECT extract(epoch FROM clock_timestamp() - :'start'), cpu() - :cpu, :total;
SQL
    ) || die "the query failed: $query"
    [[ ${result##*|} == "$want" ]] || die "${result##*|} bytes were read and not $want: $query"
    echo "$result" | awk -F'|' -v reads="$SMALL_FILES" '{ print reads, $1, "cpu=" $2 + 0 }'
}

# ------------------------------------------------------------------------------
# Queries

# An aggregate keeps a copy of its first row, so what it gets are lengths.
WAY_BATCH="SELECT sum(n) AS total FROM (SELECT length(data) AS n
    FROM iopool_read_batch('@FILE@', (SELECT offsets FROM ways_arrays WHERE length = @LENGTH@), ARRAY[@LENGTH@]) OFFSET 0) AS rows"
WAY_LATERAL="SELECT sum(n) AS total FROM (SELECT length(data) AS n
    FROM ways_@LENGTH@ AS r, iopool_read('@FILE@', r.\"offset\", @LENGTH@) AS data OFFSET 0) AS rows"
WAY_SELECT="SELECT sum(length(iopool_read('@FILE@', \"offset\", @LENGTH@))) AS total FROM ways_@LENGTH@"
WAY_PG="SELECT sum(length(pg_read_binary_file('@FILE@', \"offset\", @LENGTH@))) AS total FROM ways_@LENGTH@"
WAY_ARRAY="SELECT sum(cardinality(iopool_read_array('@FILE@', offsets, ARRAY[@LENGTH@]))) * @LENGTH@ AS total
    FROM (SELECT array_agg(\"offset\") AS offsets FROM ways_@LENGTH@ GROUP BY (id - 1) / greatest(least(1000, 16777216 / @LENGTH@), 1) OFFSET 0) AS calls"
WAY_REQUEST="SELECT sum(length(data)) AS total
    FROM (SELECT iopool_submit('@FILE@', array_agg(\"offset\"), array_agg(@LENGTH@::bigint)) AS request
          FROM ways_@LENGTH@ GROUP BY (id - 1) / greatest(least(1000, 16777216 / @LENGTH@), 1) OFFSET 0) AS calls, iopool_fetch(request)"
WAY_API="SELECT sum(length(data)) AS total
    FROM (SELECT consumer_blocks('@FILE@', (SELECT offsets FROM ways_arrays WHERE length = @LENGTH@), @LENGTH@, 128) AS data) AS rows"

NATURAL_LATERAL="SELECT sum(length(d)) AS total FROM natural_@RUN@ AS t, iopool_read(t.path, t.off, t.len) AS d"
NATURAL_LIST="SELECT sum(length(d)) AS total FROM (SELECT id, iopool_read(path, off, len) AS d FROM natural_@RUN@ OFFSET 0) AS list"
NATURAL_AGGREGATE="SELECT sum(length(iopool_read(path, off, len))) AS total FROM natural_@RUN@"
NATURAL_WHERE="SELECT count(*) * $LENGTH AS total FROM natural_@RUN@ WHERE length(iopool_read(path, off, len)) > 0"
NATURAL_LOOP="SELECT natural_loop(@RUN@) AS total"
NATURAL_UPDATE="SELECT natural_update(@RUN@) AS total"
NATURAL_INSERT="SELECT natural_insert(@RUN@) AS total"
NATURAL_PG="SELECT sum(length(pg_read_binary_file(path, off, len))) AS total FROM natural_@RUN@"

FILES_LATERAL="SELECT sum(length(d)) AS total FROM small_files AS f, iopool_read(f.full_path, 0, 100000) AS d"
FILES_BATCH="SELECT sum(length(data)) AS total FROM iopool_read_batch((SELECT array_agg(full_path) FROM small_files),
    (SELECT array_agg(0::bigint) FROM small_files), (SELECT array_agg(100000::bigint) FROM small_files))"
FILES_PG="SELECT sum(length(pg_read_binary_file(full_path, 0, 100000))) AS total FROM small_files"

NUMBERS_IOPOOL="SELECT sum(cardinality(iopool_int4s(data))) * 4 AS total FROM numbers"
NUMBERS_ARITHMETIC="SELECT sum(cardinality(ARRAY(SELECT get_byte(data, i) | get_byte(data, i + 1) << 8 | get_byte(data, i + 2) << 16 | get_byte(data, i + 3) << 24
    FROM generate_series(0, length(data) - 1, 4) AS i))) * 4 AS total FROM numbers"

SINGLE_PLAIN="SELECT single_loop('@FILE@', @READS@, @LENGTH@) AS total"
SINGLE_DIRECTORY="SELECT single_loop('@DIRECTORY@', @READS@, @LENGTH@) AS total"

# ------------------------------------------------------------------------------
# Peers

ways_peers()
{
    local length n
    for length in $WAYS_LENGTHS; do
        n=$(ways_reads "$length")
        cat <<LIST
B16|C pread, $length|hot|run_loop ways.$length $n $length 0
B16|pg_read_binary_file, $length|hot|run_way WAY_PG $n $length
B16|batch, $length|hot|run_way WAY_BATCH $n $length
B16|LATERAL, $length|hot|run_way WAY_LATERAL $n $length
B16|select list, $length|hot|run_way WAY_SELECT $n $length
B16|array, $length|hot|run_way WAY_ARRAY $n $length
B16|request, $length|hot|run_way WAY_REQUEST $n $length
B16|C interface, $length|hot|run_way WAY_API $n $length
LIST
    done
    for length in $MIXED_LENGTHS; do
        n=$(ways_reads "$length")
        cat <<LIST
B16|mixed: C pread, $length|mixed:$length|run_loop ways.$length $n $length 0
B16|mixed: C WILLNEED + pread, $length|mixed:$length|run_loop ways.$length $n $length $DEPTH
B16|mixed: pg_read_binary_file, $length|mixed:$length|run_way WAY_PG $n $length
B16|mixed: batch, $length|mixed:$length|run_way WAY_BATCH $n $length
B16|mixed: LATERAL, $length|mixed:$length|run_way WAY_LATERAL $n $length
LIST
    done
}

natural_peers()
{
    local state n="$NATURAL $LENGTH" plain=iopool.enable_stream_scan=off
    for state in cold hot; do
        cat <<LIST
B15|$state: LATERAL|$state|run_way NATURAL_LATERAL $n
B15|$state: select list|$state|run_way NATURAL_LIST $n
B15|$state: aggregate argument|$state|run_way NATURAL_AGGREGATE $n
B15|$state: WHERE|$state|run_way NATURAL_WHERE $n
B15|$state: loop of PL/pgSQL|$state|run_way NATURAL_LOOP $n
B15|$state: UPDATE|$state|run_way NATURAL_UPDATE $n
B15|$state: INSERT ... SELECT|$state|run_way NATURAL_INSERT $n
B15|$state: plain select list|$state|run_way NATURAL_LIST $n $plain
B15|$state: plain aggregate argument|$state|run_way NATURAL_AGGREGATE $n $plain
B15|$state: plain WHERE|$state|run_way NATURAL_WHERE $n $plain
B15|$state: plain loop of PL/pgSQL|$state|run_way NATURAL_LOOP $n $plain
B15|$state: plain UPDATE|$state|run_way NATURAL_UPDATE $n $plain
B15|$state: plain INSERT ... SELECT|$state|run_way NATURAL_INSERT $n $plain
B15|$state: pg_read_binary_file|$state|run_way NATURAL_PG $n
LIST
    done
}

files_peers()
{
    local state
    for state in cold hot; do
        cat <<LIST
B18|$state: pg_read_binary_file|$state|run_files FILES_PG
B18|$state: LATERAL|$state|run_files FILES_LATERAL
B18|$state: batch|$state|run_files FILES_BATCH
LIST
    done
    cat <<LIST
B19|plain path|hot|run_way SINGLE_PLAIN $LOOPS $LENGTH
B19|directory|hot|run_way SINGLE_DIRECTORY $LOOPS $LENGTH
B21|get_byte|hot|run_way NUMBERS_ARITHMETIC $NUMBERS $LENGTH
B21|iopool_int4s|hot|run_way NUMBERS_IOPOOL $NUMBERS $LENGTH
LIST
}
