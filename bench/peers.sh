# peers.sh: what bench/run compares: tables, queries, and a command for each peer; to be sourced
# shellcheck shell=bash
#
# A command gets the state of the page cache and the number of the repeat
# before its own arguments, and prints the reads that it made, the seconds that
# these took, and more figures as name=value: "cpu" is seconds of processor time.
#
# The states: "hot", all of the file in the page cache; "cold", nothing of it;
# "direct", nothing of it, and read with O_DIRECT.

# Settings of bench/run. The queries below are named by variables.
# shellcheck disable=SC2034,SC2153,SC2154

# Ranges of B10: so many of CLUSTER_LENGTH bytes, as far from each other as they
# can be, in clusters of 64 kB.
CLUSTER_RANGES=${CLUSTER_RANGES:-64}
CLUSTER_LENGTH=${CLUSTER_LENGTH:-512}
CLUSTER_SIZE=65536

# Patterns of B20. A unit of "sorted" and "mixed" is a stretch of MERGE_UNIT
# bytes at most.
MERGE_PATTERNS="clustered pairs sorted scattered mixed"
MERGE_UNIT=4194304

# Ranges of B9
LONG_LENGTH=65536

# lease_time: ranges in a batch of the one client that reads little, and how many
# such batches there are before it begins anew
SMALL_BATCH=10
SMALL_BATCHES=1000

# reads_at_depth depth: enough for a run of some tenths of a second
reads_at_depth()
{
    local reads=$((N / 10))
    (($1 <= 8)) || reads=$((reads * $1 / 8))
    ((reads <= N)) || reads=$N
    ((reads > 0)) || reads=1
    echo "$reads"
}

# reads_of_length length: at most 256 MB, and at most half of the file
reads_of_length()
{
    local reads=20000 most=$((SIZE < 512 ? SIZE / 2 : 256))
    ((reads * $1 <= most * 1048576)) || reads=$((most * 1048576 / $1))
    ((reads <= N)) || reads=$N
    echo "$reads"
}

# --------------------------------------------------------------------------
# Offsets, in files for the C loops and, as logs in its own format, for fio

# offsets name reads length seed
offsets()
{
    as_user "$T/pread" offsets "$2" $((SIZE * 1048576 / $3)) "$3" "$4" >"$T/offsets.$1"
    chmod 644 "$T/offsets.$1"
}

# iolog name length: of the offsets of that name
iolog()
{
    {
        echo "fio version 2 iolog"
        printf '%s add\n%s open\n' "$data" "$data"
        sed "s|.*|$data read & $2|" "$T/offsets.$1"
        echo "$data close"
    } >"$T/iolog.$1"
    chmod 644 "$T/iolog.$1"
}

# What the clients of lease_time read
long_ranges()
{
    echo $((CLIENTS * LONG_BATCHES * LONG_BATCH + SMALL_BATCHES * SMALL_BATCH))
}

# Repeat 0 is the warm-up.
make_offsets()
{
    local repeat n length
    for ((repeat = 0; repeat <= REPEATS; repeat++)); do
        n=$N
        [[ $repeat -gt 0 ]] || n=$WARM_UP
        offsets "$repeat" "$n" "$LENGTH" $((repeat + 1))
        iolog "$repeat" "$LENGTH"
        ! is_wanted B6 || offsets "catalogue.$repeat" "$([[ $repeat -gt 0 ]] && echo "$ROWS" || echo "$WARM_UP")" "$LENGTH" $((repeat + 1001))
        ! is_wanted B10 || offsets "clusters.$repeat" $(((n - 1) / CLUSTER_RANGES + 1)) $CLUSTER_SIZE $((repeat + 2001))
        if is_wanted B7; then
            offsets "clients.$repeat" $((CLIENTS * BATCHES * BATCH)) "$LENGTH" $((repeat + 3001))
            iolog "clients.$repeat" "$LENGTH"
        fi
        ! is_wanted lease_time || [[ $repeat -eq 0 ]] || offsets "long.$repeat" "$(long_ranges)" "$LENGTH" $((repeat + 5001))
        ! is_wanted B13 || offsets "held.$repeat" $((ROUNDS * CALL + RINGS * HELD)) "$LENGTH" $((repeat + 4001))
        is_wanted depth_direct || is_wanted depth_buffered || continue
        for n in $(depth_reads); do
            head -n "$n" "$T/offsets.$repeat" >"$T/offsets.$repeat.$n"
            iolog "$repeat.$n" "$LENGTH"
        done
    done
    if is_wanted B4; then
        seq 0 1048576 $(((RANGE - 1) * 1048576)) >"$T/offsets.range"
        iolog range 1048576
    fi
    if is_wanted size; then
        for length in $LENGTHS; do
            offsets "size.$length" "$(reads_of_length "$length")" "$length" 1
        done
    fi
}

# the numbers of reads that there are at the depths
depth_reads()
{
    local depth
    for depth in $DEPTHS; do
        reads_at_depth "$depth"
    done | sort -nu
}

# --------------------------------------------------------------------------
# Tables

# copy_offsets table name: a table of offsets in their order
copy_offsets()
{
    cat <<SQL
CREATE TABLE $1 (id integer GENERATED ALWAYS AS IDENTITY, "offset" bigint);
\\copy $1 ("offset") from '$T/offsets.$2'
SQL
}

make_tables()
{
    local repeat length n
    {
        cat <<SQL
CREATE EXTENSION iopool;
-- processor time of this backend in seconds, from fields 14 and 15 of stat
CREATE FUNCTION cpu() RETURNS numeric LANGUAGE sql VOLATILE AS \$\$
    SELECT (split_part(stat, ' ', 12)::numeric + split_part(stat, ' ', 13)::numeric) / $(getconf CLK_TCK)
    FROM regexp_replace(pg_read_file('/proc/self/stat', 0, 4096), '^.*\) ', '') AS stat
\$\$;
-- call 0: all of a run; above: in calls of $CALL; below: the first so many
CREATE TABLE range_arrays (run integer, call integer, offsets bigint[]);
CREATE TABLE cluster_arrays (run integer, offsets bigint[]);
CREATE TABLE size_arrays (length bigint, offsets bigint[]);
ALTER TABLE range_arrays ALTER offsets SET STORAGE EXTERNAL;
ALTER TABLE cluster_arrays ALTER offsets SET STORAGE EXTERNAL;
ALTER TABLE size_arrays ALTER offsets SET STORAGE EXTERNAL;
SQL
        for ((repeat = 0; repeat <= REPEATS; repeat++)); do
            copy_offsets "ranges_$repeat" "$repeat"
            cat <<SQL
INSERT INTO range_arrays SELECT $repeat, 0, array_agg("offset" ORDER BY id) FROM ranges_$repeat;
INSERT INTO range_arrays SELECT $repeat, 1 + (id - 1) / $CALL, array_agg("offset" ORDER BY id) FROM ranges_$repeat GROUP BY 2;
SQL
            if is_wanted depth_direct || is_wanted depth_buffered; then
                for n in $(depth_reads); do
                    echo "INSERT INTO range_arrays SELECT run, -$n, offsets[1:$n] FROM range_arrays WHERE run = $repeat AND call = 0;"
                done
            fi
            if is_wanted B6; then
                copy_offsets "catalogue_offsets_$repeat" "catalogue.$repeat"
                echo "CREATE TABLE catalogue_$repeat AS SELECT id, '$data'::text AS path, \"offset\" AS off, $LENGTH::bigint AS len FROM catalogue_offsets_$repeat ORDER BY id;"
            fi
            if is_wanted B10; then
                copy_offsets "clusters_$repeat" "clusters.$repeat"
                cat <<SQL
INSERT INTO cluster_arrays SELECT $repeat, array_agg("offset" + i * ($CLUSTER_SIZE / $CLUSTER_RANGES) ORDER BY id, i)
    FROM clusters_$repeat, generate_series(0, $CLUSTER_RANGES - 1) AS i;
SQL
            fi
        done
        if is_wanted B9; then
            cat <<SQL
CREATE TABLE long_catalogue AS SELECT id, '$data'::text AS path, (id - 1) * $LONG_LENGTH::bigint % ($SIZE * 1048576::bigint / 2) AS off
    FROM generate_series(1, $((GIGABYTES * 1073741824 / LONG_LENGTH))) AS id;
SQL
        fi
        if is_wanted size; then
            for length in $LENGTHS; do
                copy_offsets "size_$length" "size.$length"
                echo "INSERT INTO size_arrays SELECT $length, array_agg(\"offset\" ORDER BY id) FROM size_$length;"
            done
        fi
        make_ways_tables
        ! is_wanted B20 || make_patterns
        echo "VACUUM ANALYZE;"
    } | server_psql "$PORT_MAIN"
}

# Ranges of B20, of the runs and the warm-up. A pattern is made of units, which
# lie somewhere in the file; their ranges come in the order of their offsets:
#
# clustered   64 ranges of 512 bytes, 512 bytes apart
# pairs       2 ranges of 4 kB, 2 to 8 kB apart
# sorted      64 ranges of 4 kB, 16 to 64 kB apart
# scattered   a range of 4 kB
# mixed       a cluster; or 32 ranges of 4 kB in pairs; or 60 ranges of 1 to 16 kB,
#             1 to 92 kB apart; or 12 ranges of 4 to 34 kB, 300 kB apart
make_patterns()
{
    local run n
    cat <<SQL
CREATE TABLE merge_arrays (pattern text, run integer, offsets bigint[], lengths bigint[]);
ALTER TABLE merge_arrays ALTER offsets SET STORAGE EXTERNAL;
ALTER TABLE merge_arrays ALTER lengths SET STORAGE EXTERNAL;
-- n blocks of the file, numbered
CREATE FUNCTION units(n bigint, block bigint) RETURNS TABLE (unit bigint, start bigint) LANGUAGE sql VOLATILE AS \$\$
    SELECT row_number() OVER (), b * block
    FROM (SELECT b FROM generate_series(0, $SIZE * 1048576::bigint / block - 1) AS b ORDER BY random() LIMIT greatest(n, 1)) AS s
\$\$;
CREATE TEMP TABLE parts (pattern text, unit bigint, pos integer, start bigint, length bigint, gap bigint);
SQL
    for ((run = 0; run <= REPEATS; run++)); do
        n=$MERGE_RANGES
        [[ $run -gt 0 ]] || n=$((n < WARM_UP ? n : WARM_UP))
        cat <<SQL
SELECT setseed($run / 1000.0) AS seed \\gset
TRUNCATE parts;
INSERT INTO parts SELECT 'clustered', unit, pos, start, 512, 512
    FROM units($n / 64, 65536), generate_series(1, 64) AS pos;
INSERT INTO parts SELECT 'pairs', unit, pos, start + (hashint8(unit) & 8191), 4096, 2048 + random() * 6144
    FROM units($n / 2, 32768), generate_series(1, 2) AS pos;
INSERT INTO parts SELECT 'sorted', unit, pos, start, 4096, 16384 + random() * 49152
    FROM units($n / 64, $MERGE_UNIT), generate_series(1, 60) AS pos;
INSERT INTO parts SELECT 'scattered', unit, 1, start, 4096, 0 FROM units($n, 4096);
INSERT INTO parts SELECT 'mixed', unit, pos, start,
        CASE unit % 4 WHEN 0 THEN 512 WHEN 1 THEN 4096 WHEN 2 THEN 1024 + random() * 15000 ELSE 4096 + random() * 30000 END,
        CASE unit % 4 WHEN 0 THEN 512 WHEN 1 THEN CASE pos % 2 WHEN 1 THEN 2048 + random() * 6144 ELSE 100000 END
            WHEN 2 THEN 1024 * exp(random() * 4.5) ELSE 300000 END
    FROM units($n / 42, $MERGE_UNIT), generate_series(1, 64) AS pos
    WHERE pos <= CASE unit % 4 WHEN 0 THEN 64 WHEN 1 THEN 32 WHEN 2 THEN 60 ELSE 12 END;
INSERT INTO merge_arrays SELECT pattern, $run, array_agg("offset" ORDER BY unit, pos), array_agg(length ORDER BY unit, pos)
    FROM (SELECT pattern, unit, pos, length, start + sum(length + gap) OVER (PARTITION BY pattern, unit ORDER BY pos) - length - gap AS "offset"
          FROM parts) AS p GROUP BY pattern;
SQL
    done
}

# make_batches table ranges first n length: n batches of so many ranges of a
# table, from the first on, numbered from 1
make_batches()
{
    cat <<SQL
CREATE TABLE $1 AS SELECT 1 + (id - $3) / $5 AS id, array_agg("offset" ORDER BY id) AS offsets
    FROM $2 WHERE id >= $3 AND id < $3 + $4 * $5 GROUP BY 1;
ALTER TABLE $1 ADD PRIMARY KEY (id);
SQL
}

# B7, lease_time and B13 have a server of their own, with few rings.
start_clients_server()
{
    local repeat method pools=
    for method in $methods; do
        pools+="${pools:+, }$method(method=$method, rings=$RINGS)"
    done
    start_server clients "$PORT_CLIENTS" "iopool.rings = $RINGS" "iopool.pools = '$pools'" \
        "iopool.io_mode = direct" "iopool.checkout_timeout = -1"
    {
        echo "CREATE EXTENSION iopool;"
        for ((repeat = 0; repeat <= REPEATS; repeat++)); do
            if is_wanted B7; then
                copy_offsets "ranges_$repeat" "clients.$repeat"
                make_batches "batches_$repeat" "ranges_$repeat" 1 $((CLIENTS * BATCHES)) "$BATCH"
            fi
            if is_wanted lease_time && [[ $repeat -gt 0 ]]; then
                copy_offsets "long_ranges_$repeat" "long.$repeat"
                make_batches "long_batches_$repeat" "long_ranges_$repeat" 1 $((CLIENTS * LONG_BATCHES)) "$LONG_BATCH"
                make_batches "small_batches_$repeat" "long_ranges_$repeat" $((CLIENTS * LONG_BATCHES * LONG_BATCH + 1)) $SMALL_BATCHES $SMALL_BATCH
            fi
            if is_wanted B13; then
                copy_offsets "held_ranges_$repeat" "held.$repeat"
                make_batches "round_batches_$repeat" "held_ranges_$repeat" 1 "$ROUNDS" "$CALL"
                make_batches "held_batches_$repeat" "held_ranges_$repeat" $((ROUNDS * CALL + 1)) "$RINGS" "$HELD"
            fi
        done
        ! is_wanted B13 || make_rounds
        echo "VACUUM ANALYZE;"
    } | server_psql "$PORT_CLIENTS"
}

# rounds(): rounds of a batch, each after as many sessions as there are rings
# have submitted HELD ranges, if they are to, and are idle in transaction. The
# time is that of the batches; held is how many rings had an owner then, at least.
make_rounds()
{
    cat <<SQL
CREATE EXTENSION dblink;
CREATE FUNCTION rounds(run integer, pool text, do_hold boolean, nrounds integer, OUT seconds float8, OUT bytes bigint, OUT held integer)
LANGUAGE plpgsql AS \$\$
DECLARE
    server text := format('host=$SOCKET_DIR port=$PORT_CLIENTS dbname=postgres user=postgres options=''-c iopool.pool=%s''', pool);
    batch bigint[];
    start timestamptz;
    nread bigint;
    nheld integer;
BEGIN
    PERFORM set_config('iopool.pool', pool, false);
    PERFORM dblink_connect('holder ' || h, server) FROM generate_series(1, $RINGS) AS h;
    seconds := 0;
    bytes := 0;
    FOR round IN 1..nrounds LOOP
        IF do_hold THEN
            PERFORM dblink_exec('holder ' || h, 'BEGIN') FROM generate_series(1, $RINGS) AS h;
            PERFORM request FROM generate_series(1, $RINGS) AS h, dblink('holder ' || h,
                format('SELECT iopool_submit(%L, offsets, array_fill($LENGTH::bigint, ARRAY[$HELD])) FROM held_batches_%s WHERE id = %s',
                    '$data', run, h)) AS r(request bigint);
        END IF;
        EXECUTE format('SELECT offsets FROM round_batches_%s WHERE id = %s', run, round) INTO batch;
        -- what was submitted comes in
        PERFORM pg_sleep(0.02);
        SELECT count(*) INTO nheld FROM iopool_rings AS r WHERE r.pool = rounds.pool AND r.state NOT IN ('free', 'broken');
        held := least(held, nheld);

        start := clock_timestamp();
        SELECT sum(length(data)) INTO nread FROM iopool_read_batch('$data', batch, ARRAY[$LENGTH::bigint]);
        seconds := seconds + extract(epoch FROM clock_timestamp() - start);

        bytes := bytes + nread;
        IF do_hold THEN
            PERFORM dblink_exec('holder ' || h, 'ROLLBACK') FROM generate_series(1, $RINGS) AS h;
        END IF;
    END LOOP;
    PERFORM dblink_disconnect('holder ' || h) FROM generate_series(1, $RINGS) AS h;
END
\$\$;
SQL
}

# B8 and B14 lease by the engine's own functions, so their server loads a
# library of the engine and the loops in place of iopool.
start_lease_server()
{
    local -a objects
    local method pools="one_each(rings=$CONTENDERS)"
    # a copy, so that the objects of the library that is measured stay what they are
    cp -a "$SRC" "$T/engine"
    mapfile -t objects < <(cd "$SRC" && ls src/*.c src/*/*.c bench/lease.c)
    SRC=$T/engine lib_make MODULE_big=iopool_lease OBJS="${objects[*]/%.c/.o}" iopool_lease.so >"$T/engine.log" 2>&1 || {
        cat "$T/engine.log" >&2
        die "the loops of B8 and B14 do not compile"
    }
    for method in $methods; do
        pools+=", one_$method(method=$method, rings=1)"
    done
    start_server lease "$PORT_LEASE" "shared_preload_libraries = '$T/engine/iopool_lease.so'" "iopool.pools = '$pools'"
    server_psql "$PORT_LEASE" <<SQL
CREATE FUNCTION lease_loop(pool text, begin_at timestamptz, seconds float8) RETURNS bigint
LANGUAGE c STRICT AS '$T/engine/iopool_lease.so', 'iopool_bench_lease';
CREATE FUNCTION take_over_loop(pool text, begin_at timestamptz, seconds float8) RETURNS bigint
LANGUAGE c STRICT AS '$T/engine/iopool_lease.so', 'iopool_bench_take_over';
CREATE UNLOGGED TABLE leases (run integer, n bigint);
SQL
}

# --------------------------------------------------------------------------
# Commands

# set_cache state: the shell command that brings the file's pages there
set_cache()
{
    case $1 in
        hot) echo "$T/pread warm $data" ;;
        mixed:*) echo "$T/pread mix $data $T/offsets.ways.${1#*:} ${1#*:} 10" ;;
        *) echo "$T/pread drop $data" ;;
    esac
}

# run_fio state repeat log reads length option...
run_fio()
{
    local state=$1 log=$T/iolog.${3//@RUN@/$2} reads=$4 kb=$(($4 * $5 / 1024)) direct=0
    shift 5
    [[ $state != direct ]] || direct=1
    # shellcheck disable=SC2046 # a command and its arguments
    as_user $(set_cache "$state")
    # Fields of version 3 of the terse format: 7 is KiB/s, 88 and 89 are percent
    # of processor time. What was in flight when the log ended is not in the
    # KiB that it counts, so these are those of the log.
    as_user fio --name=bench --minimal --readonly --invalidate=0 --read_iolog="$log" --replay_no_stall=1 \
        --direct=$direct "$@" 2>"$T/fio.err" | awk -F';' -v reads="$reads" -v kb="$kb" '
            NF > 89 { printf "%d %.6f cpu=%.6f\n", reads, kb / $7, kb / $7 * ($88 + $89) / 100 }' || {
        cat "$T/fio.err" >&2
        die "fio failed"
    }
}

# run_loop state repeat offsets reads length window
run_loop()
{
    # shellcheck disable=SC2046 # a command and its arguments
    as_user $(set_cache "$1")
    echo "$4 $(as_user "$T/pread" loop "$data" "$T/offsets.${3//@RUN@/$2}" "$5" "$6")"
}

# run_range state repeat bytes: one range into new memory
run_range()
{
    local how=range
    [[ $1 != direct ]] || how=direct
    # shellcheck disable=SC2046 # a command and its arguments
    as_user $(set_cache "$1")
    as_user "$T/pread" touch $((2 * $3))
    echo "1 $(as_user "$T/pread" $how "$data" "$3")"
}

# run_sql state repeat pool query reads length [setting=value...]: the query is
# the name of a variable, and returns the bytes that it read as "total"
run_sql()
{
    local mode=buffered memory result setting settings=
    local state=$1 repeat=$2 pool=$3 query=${!4} reads=$5 length=$6
    shift 6
    for setting; do
        settings+="SET iopool.${setting%%=*} = '${setting#*=}'; "
    done
    [[ $state != direct ]] || mode=direct
    query=${query//@FILE@/$data}
    query=${query//@LENGTH@/$length}
    query=${query//@READS@/$reads}
    # Memory that the machine has not used for a while can cost more than the
    # reads (a hypervisor may have to find it first), so some is touched and
    # freed right before, by the session and, in large pages, by another process:
    # results take twice their bytes at most.
    memory=$((2 * reads * length))
    ((memory < 1000000000)) || memory=1000000000
    result=$(
        server_psql "$PORT_MAIN" -At <<SQL
SET work_mem = '1GB';
SET max_parallel_workers_per_gather = 0;
SET iopool.pool = '$pool';
SET iopool.io_mode = '$mode';
$settings$set_settings
${query//@RUN@/0} \\gset
SELECT cpu(), length(repeat('x', $memory)) AS touched \\gset
\\! $(set_cache "$state")
\\! $T/pread touch $memory
SELECT clock_timestamp() AS start, cpu() AS cpu \\gset
${query//@RUN@/$repeat} \\gset
SELECT extract(epoch FROM clock_timestamp() - :'start'), cpu() - :cpu, :total;
SQL
    ) || die "the query failed: $query"
    [[ ${result##*|} == $((reads * length)) ]] || die "${result##*|} bytes were read and not $((reads * length)): $query"
    echo "$result" | awk -F'|' -v reads="$reads" '{ print reads, $1, "cpu=" $2 + 0 }'
}

# run_merge state repeat pattern gap: the ranges of a pattern, in one batch
run_merge()
{
    local ranges result merge_query=${MERGE//@PATTERN@/$3}
    ranges=$(server_psql "$PORT_MAIN" -At -F ' ' -c "SELECT cardinality(offsets), (SELECT sum(l) FROM unnest(lengths) AS l) FROM merge_arrays WHERE pattern = '$3' AND run = $2")
    result=$(run_sql "$1" "$2" default merge_query 1 "${ranges#* }" "merge_gap=$4") || exit 1
    echo "${ranges% *} ${result#* }"
}

# run_cursor state repeat pool query reads length: a client that fetches CALL
# rows at a time; the query returns the bytes of each row
run_cursor()
{
    local mode=buffered query=${!4} fetches result i
    [[ $1 != direct ]] || mode=direct
    query=${query//@FILE@/$data}
    query=${query//@LENGTH@/$6}
    fetches=$(for ((i = 0; i <= ($5 - 1) / CALL; i++)); do echo "FETCH $CALL FROM rows;"; done)
    result=$(
        server_psql "$PORT_MAIN" -At <<SQL
SET max_parallel_workers_per_gather = 0;
SET iopool.pool = '$3';
SET iopool.io_mode = '$mode';
$set_settings
\\o /dev/null
BEGIN;
DECLARE rows CURSOR FOR ${query//@RUN@/0};
FETCH $WARM_UP FROM rows;
COMMIT;
\\o
\\! $(set_cache "$1")
SELECT clock_timestamp() AS start, cpu() AS cpu \\gset
BEGIN;
DECLARE rows CURSOR FOR ${query//@RUN@/$2};
$fetches
COMMIT;
SELECT extract(epoch FROM clock_timestamp() - :'start'), cpu() - :cpu;
SQL
    ) || die "the query failed: $query"
    echo "$result" | awk -F'|' -v reads="$5" -v expected=$(($5 * $6)) '
        NF == 1 { total += $1 }
        NF == 2 { seconds = $1; cpu = $2 }
        END {
            if (seconds == "" || total != expected)
                exit 1
            print reads, seconds, "cpu=" cpu + 0
        }' || die "the cursor did not return $5 rows of $6 bytes: $query"
}

# run_memory state repeat pool query reads length: how much more of the
# backend was resident at most than before the query
run_memory()
{
    local result query=${!4}
    result=$(
        server_psql "$PORT_MAIN" -At -F ' ' <<SQL
SET work_mem = '4MB';
SET max_parallel_workers_per_gather = 0;
SET iopool.pool = '$3';
$set_settings
-- the table in shared buffers, and the code, are not what is measured
SELECT count(path) FROM long_catalogue \\gset
SELECT sum(length(data)) FROM (SELECT * FROM long_catalogue LIMIT 10) AS c, LATERAL iopool_read(c.path, c.off, 1) AS data \\gset
SELECT pg_backend_pid() AS pid \\gset
\\setenv BACKEND :pid
\\! $(set_cache "$1")
-- 5 sets the high-water mark to what is resident now (proc(5))
\\! echo 5 >/proc/\$BACKEND/clear_refs
\\! sed -n 's/^VmHWM:\\(.*\\)kB/before \\1/p' /proc/\$BACKEND/status
SELECT clock_timestamp() AS start \\gset
${query//@LENGTH@/$6} \\gset
SELECT 'seconds', extract(epoch FROM clock_timestamp() - :'start');
\\! sed -n 's/^VmHWM:\\(.*\\)kB/after \\1/p' /proc/\$BACKEND/status
SELECT 'total', :total;
SELECT 'window', setting::bigint * CASE unit WHEN 'kB' THEN 1024 ELSE 1 END FROM pg_settings WHERE name = 'iopool.max_in_flight_bytes';
SQL
    ) || die "the query failed: $query"
    echo "$result" | awk -v reads="$5" -v expected=$(($5 * $6)) '
        { value[$1] = $2 }
        END {
            if (value["total"] != expected || value["before"] == "" || value["after"] == "")
                exit 1
            print reads, value["seconds"], "growth_kb=" value["after"] - value["before"], "window_kb=" value["window"] / 1024
        }' || die "the memory of the query is not known: $result"
}

# run_pgbench settings option...: on the server of the clients, with the
# settings as in PGOPTIONS; prints the transactions a second
run_pgbench()
{
    local options=$1 result
    shift
    rm -f "$T"/transactions.*
    server_psql "$PORT_CLIENTS" -At -c "SELECT iopool_stat_reset()" >/dev/null
    result=$(as_user PGOPTIONS="$options" "$BINDIR/pgbench" -n -h "$SOCKET_DIR" -p "$PORT_CLIENTS" -U postgres -M prepared \
        -D turn=0 -l --log-prefix="$T/transactions" "$@" postgres 2>"$T/pgbench.err") || {
        cat "$T/pgbench.err" >&2
        die "pgbench failed"
    }
    sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$result"
}

# count_waits reads: what the pool has counted, which has to be these reads at
# least
count_waits()
{
    local counters
    counters=$(server_psql "$PORT_CLIENTS" -At -F ' ' -c "SELECT bytes, checkout_waits, checkout_wait_ms, checkout_timeouts FROM iopool_pools WHERE name = 'default'")
    ((${counters%% *} >= $1 * LENGTH)) || die "${counters%% *} bytes were read and not $(($1 * LENGTH)) by the clients: $(<"$T/pgbench.err")"
    awk '{ printf "waits=%d mean_wait_ms=%.3f timeouts=%d\n", $2, ($2 > 0 ? $3 / $2 : 0), $4 }' <<<"$counters"
}

# latencies condition: of the transactions that are so, in the fields of
# pgbench's log: client, number of the transaction, microseconds. The first
# transaction of a client fills the caches of its backend, so it does not count.
latencies()
{
    cat "$T"/transactions.* | awk "\$2 > 1 && $1 { print \$3 / 1000 }" | sort -n | awk '
        { latency[NR] = $1 }
        function percentile(p) { return latency[int((NR - 1) * p) + 1] }
        END {
            if (NR > 0)
                printf "p50_ms=%.3f p99_ms=%.3f max_ms=%.3f\n", percentile(0.5), percentile(0.99), latency[NR]
        }'
}

# run_clients state repeat clients: batches of all the clients, over so many
run_clients()
{
    local repeat=$2 clients=$3 each=$((CLIENTS * BATCHES / $3)) script=$T/clients.sql reads tps waits limit
    cat >"$script" <<SQL
\\set turn :turn + 1
\\set batch :client_id * $each + :turn
SELECT sum(length(data)) FROM iopool_read_batch('$data', (SELECT offsets FROM batches_$repeat WHERE id = :batch), ARRAY[$LENGTH::bigint]);
SQL
    chmod 644 "$script"
    # shellcheck disable=SC2046 # a command and its arguments
    as_user $(set_cache "$1")
    tps=$(run_pgbench "" -c "$clients" -j "$(((clients + 15) / 16))" -t "$each" -f "$script") || exit 1
    reads=$((CLIENTS * BATCHES * BATCH))
    waits=$(count_waits "$reads") || exit 1
    limit=$(server_psql "$PORT_CLIENTS" -At -c "SELECT setting FROM pg_settings WHERE name = 'iopool.max_lease_time'")
    # What a transaction takes contains its wait for a ring.
    awk -v reads="$reads" -v transactions=$((CLIENTS * BATCHES)) -v tps="$tps" -v more="$(latencies 1) $waits lease_ms=$limit" \
        'BEGIN { printf "%d %.6f %s\n", reads, transactions / tps, more }'
}

# run_lease_time state repeat ms: clients that read for longer than a lease of
# that time, and beside them one that reads little, whose latencies are printed
run_lease_time()
{
    local repeat=$2 script=$T/clients.sql tps waits transactions reads small
    cat >"$script" <<SQL
\\set turn :turn + 1
\\if :client_id < $CLIENTS
\\set batch 1 + :client_id * $LONG_BATCHES + :turn % $LONG_BATCHES
SELECT sum(length(data)) FROM iopool_read_batch('$data', (SELECT offsets FROM long_batches_$repeat WHERE id = :batch), ARRAY[$LENGTH::bigint]);
\\else
\\set batch 1 + :turn % $SMALL_BATCHES
SELECT sum(length(data)) FROM iopool_read_batch('$data', (SELECT offsets FROM small_batches_$repeat WHERE id = :batch), ARRAY[$LENGTH::bigint]);
\\endif
SQL
    chmod 644 "$script"
    # shellcheck disable=SC2046 # a command and its arguments
    as_user $(set_cache "$1")
    tps=$(run_pgbench "-c iopool.max_lease_time=$3" -c $((CLIENTS + 1)) -j "$(((CLIENTS + 16) / 16))" -T "$LONG_SECONDS" -f "$script") || exit 1
    read -r transactions reads < <(cat "$T"/transactions.* | awk "{ reads += \$1 < $CLIENTS ? $LONG_BATCH : $SMALL_BATCH } END { print NR, reads }")
    waits=$(count_waits "$reads") || exit 1
    small=$(latencies "\$1 == $CLIENTS")
    [[ -n $small ]] || die "the client of $SMALL_BATCH ranges had only one turn; LONG_SECONDS=$LONG_SECONDS is too short"
    awk -v reads="$reads" -v transactions="$transactions" -v tps="$tps" -v more="$small $waits lease_ms=$3" \
        'BEGIN { printf "%d %.6f %s\n", reads, transactions / tps, more }'
}

# run_rounds state repeat method do_hold
run_rounds()
{
    local result held
    # shellcheck disable=SC2046 # a command and its arguments
    as_user $(set_cache "$1")
    result=$(
        server_psql "$PORT_CLIENTS" -At -F ' ' <<SQL
SET iopool.checkout_timeout = '60s';
SELECT bytes FROM rounds(0, '$3', $4, 1) \\gset
SELECT bytes, seconds, held FROM rounds($2, '$3', $4, $ROUNDS);
SQL
    ) || die "the batches beside held rings failed"
    held=${result##* }
    # With the other methods nobody keeps a ring that does not read.
    [[ $3$4 != io_uringtrue || $held == "$RINGS" ]] || die "only $held of $RINGS rings were held during a batch"
    [[ ${result%% *} == $((ROUNDS * CALL * LENGTH)) ]] || die "${result%% *} bytes were read and not $((ROUNDS * CALL * LENGTH))"
    echo "$result" | awk -v reads=$((ROUNDS * CALL)) '{ print reads, $2, "held=" $3 }'
}

# run_loops function pool backends: what so many backends count in so many
# seconds, all together. A backend begins when all are there.
run_loops()
{
    local begin_at leases
    server_psql "$PORT_LEASE" -c "TRUNCATE leases"
    begin_at=$(server_psql "$PORT_LEASE" -At -c "SELECT clock_timestamp() + interval '1 second'")
    echo "INSERT INTO leases SELECT 1, $1('$2', '$begin_at', $LEASE_SECONDS);" >"$T/lease.sql"
    chmod 644 "$T/lease.sql"
    as_user "$BINDIR/pgbench" -n -h "$SOCKET_DIR" -p "$PORT_LEASE" -U postgres -c "$3" -t 1 -f "$T/lease.sql" postgres >"$T/pgbench.err" 2>&1 || {
        cat "$T/pgbench.err" >&2
        die "pgbench failed"
    }
    leases=$(server_psql "$PORT_LEASE" -At -F ' ' -c "SELECT sum(n), count(*) FROM leases WHERE n > 0")
    [[ ${leases#* } == "$3" ]] || die "only ${leases#* } of $3 backends leased: $(<"$T/pgbench.err")"
    echo "${leases% *}"
}

# run_leases state repeat pool backends
run_leases()
{
    local leases
    leases=$(run_loops lease_loop "$3" "$4") || exit 1
    echo "$leases $LEASE_SECONDS"
}

# run_take_overs state repeat pool: in a round each of two backends has taken
# the ring from the other one
run_take_overs()
{
    local taken
    taken=$(run_loops take_over_loop "$3" 2) || exit 1
    echo "$((taken / 2)) $LEASE_SECONDS"
}

# run_peer state repeat command
run_peer()
{
    local -a command
    read -r -a command <<<"$3"
    "${command[0]}" "$1" "$2" "${command[@]:1}"
}

# --------------------------------------------------------------------------
# Queries: @FILE@, @RUN@, @READS@ and @LENGTH@ stand for themselves

EACH='FROM ranges_@RUN@'
ONE='FROM range_arrays WHERE run = @RUN@ AND call = 0'
MANY='FROM range_arrays WHERE run = @RUN@ AND call > 0'
PG="SELECT sum(length(pg_read_binary_file('@FILE@', \"offset\", @LENGTH@))) AS total $EACH"
SINGLE="SELECT sum(length(iopool_read('@FILE@', \"offset\", @LENGTH@))) AS total $EACH"
ROWS_ONE="SELECT sum(length(data)) AS total FROM iopool_read_batch('@FILE@', (SELECT offsets $ONE), ARRAY[@LENGTH@])"
ROWS_MANY="SELECT sum(length(data)) AS total FROM (SELECT offsets $MANY OFFSET 0) AS calls, iopool_read_batch('@FILE@', offsets, ARRAY[@LENGTH@])"
GROUP_BY="SELECT sum(bytes)::bigint AS total FROM (SELECT ordinal % 100, sum(length(data)) AS bytes
    FROM iopool_read_batch('@FILE@', (SELECT offsets $ONE), ARRAY[@LENGTH@]) GROUP BY 1) AS groups"
GROUP_BY_LATERAL="SELECT sum(bytes)::bigint AS total FROM (SELECT r.id % 100, sum(length(data)) AS bytes
    FROM ranges_@RUN@ AS r, LATERAL iopool_read('@FILE@', r.\"offset\", @LENGTH@) AS data GROUP BY 1) AS groups"
AGGREGATE_ONE="SELECT sum(length(data)) AS total FROM iopool_read_batch('@FILE@', (SELECT array_agg(\"offset\") $EACH), ARRAY[@LENGTH@])"
AGGREGATE_MANY="SELECT sum(length(data)) AS total FROM (SELECT array_agg(\"offset\") AS offsets $EACH GROUP BY (id - 1) / $CALL) AS calls,
    LATERAL iopool_read_batch('@FILE@', calls.offsets, ARRAY[@LENGTH@])"
# All rows have to be there before the first of them is known.
ORDER_BY="SELECT sum(length(data)) * @READS@ / least(@READS@, $CALL) AS total FROM (SELECT data
    FROM iopool_read_batch('@FILE@', (SELECT offsets $ONE), ARRAY[@LENGTH@]) ORDER BY data LIMIT $CALL) AS first"
CURSOR="SELECT length(data) FROM iopool_read_batch('@FILE@', (SELECT offsets $ONE), ARRAY[@LENGTH@])"
# All elements are there, so their number tells their bytes without taking
# the array apart.
ARRAY_ONE="SELECT cardinality(iopool_read_array('@FILE@', offsets, ARRAY[@LENGTH@])) * @LENGTH@::bigint AS total $ONE"
ARRAY_MANY="SELECT sum(cardinality(iopool_read_array('@FILE@', offsets, ARRAY[@LENGTH@]))) * @LENGTH@ AS total $MANY"
UNNEST_MANY="SELECT sum(length(data)) AS total FROM (SELECT offsets $MANY OFFSET 0) AS calls, unnest(iopool_read_array('@FILE@', offsets, ARRAY[@LENGTH@])) AS data"
RANGE_IOPOOL="SELECT length(iopool_read('@FILE@', 0, @LENGTH@)) AS total"
LATERAL_READ="SELECT sum(length(r)) AS total FROM catalogue_@RUN@ c, LATERAL iopool_read(c.path, c.off, $LENGTH) AS r"
LATERAL_BATCH="SELECT sum(length(data)) AS total FROM iopool_read_batch((SELECT array_agg(path ORDER BY id) FROM catalogue_@RUN@),
    (SELECT array_agg(off ORDER BY id) FROM catalogue_@RUN@), (SELECT array_agg(len ORDER BY id) FROM catalogue_@RUN@))"
LONG_READ="SELECT sum(length(data)) AS total FROM long_catalogue c, LATERAL iopool_read(c.path, c.off, @LENGTH@) AS data"
CLUSTERS="SELECT sum(length(data)) AS total FROM iopool_read_batch('@FILE@', (SELECT offsets FROM cluster_arrays WHERE run = @RUN@), ARRAY[@LENGTH@])"
MERGE="SELECT sum(length(data)) AS total FROM merge_arrays AS m, LATERAL iopool_read_batch('@FILE@', m.offsets, m.lengths) WHERE pattern = '@PATTERN@' AND run = @RUN@"
DEPTH_ROWS="SELECT sum(length(data)) AS total FROM iopool_read_batch('@FILE@', (SELECT offsets FROM range_arrays WHERE run = @RUN@ AND call = -@READS@), ARRAY[@LENGTH@])"
SIZE_ROWS="SELECT sum(length(data)) AS total FROM iopool_read_batch('@FILE@', (SELECT offsets FROM size_arrays WHERE length = @LENGTH@), ARRAY[@LENGTH@])"
SIZE_PG="SELECT sum(length(pg_read_binary_file('@FILE@', \"offset\", @LENGTH@))) AS total FROM size_@LENGTH@"

# --------------------------------------------------------------------------
# One line a peer: case|name|state|command. bench/report looks for the names.

peers()
{
    local reads="$N $LENGTH"
    local fio="run_fio @RUN@ $reads --iodepth=$DEPTH --ioengine"
    local long="run_fio range $RANGE 1048576 --iodepth=16 --ioengine=io_uring"
    local one="$((RANGE * 1048576))"
    local clusters=$((((N - 1) / CLUSTER_RANGES + 1) * CLUSTER_RANGES))

    cat <<LIST
B1|fio io_uring|direct|$fio=io_uring
B1|iopool_read_batch|direct|run_sql default ROWS_ONE $reads
B1|GROUP BY|direct|run_sql default GROUP_BY $reads
B1|GROUP BY, LATERAL iopool_read|direct|run_sql default GROUP_BY_LATERAL $reads
B1|batch of an aggregate|direct|run_sql default AGGREGATE_ONE $reads
B1|LATERAL batches of aggregates|direct|run_sql default AGGREGATE_MANY $reads
B1|ORDER BY, LIMIT|direct|run_sql default ORDER_BY $reads
B1|cursor|direct|run_cursor default CURSOR $reads
B2|C WILLNEED + pread|cold|run_loop @RUN@ $reads $DEPTH
B2|pg_read_binary_file|cold|run_sql default PG $reads
B2|iopool_read_batch|cold|run_sql default ROWS_ONE $reads
B3|C pread|hot|run_loop @RUN@ $reads 0
B3|pg_read_binary_file|hot|run_sql default PG $reads
B3|iopool_read_batch|hot|run_sql default ROWS_ONE $reads
B4|fio io_uring, 1 MiB, direct|direct|$long
B4|C AIO, 1 MiB, direct, new memory|direct|run_range $one
B4|iopool_read, direct|direct|run_sql default RANGE_IOPOOL 1 $one
B4|fio io_uring, 1 MiB, buffered|cold|$long
B4|iopool_read, buffered|cold|run_sql default RANGE_IOPOOL 1 $one
B4|C WILLNEED + pread, new memory|cold|run_range $one
B5|pg_read_binary_file|hot|run_sql default PG $reads
B5|iopool_read|hot|run_sql default SINGLE $reads
B6|iopool_read_batch, buffered|cold|run_sql default LATERAL_BATCH $ROWS $LENGTH
B6|LATERAL iopool_read, buffered|cold|run_sql default LATERAL_READ $ROWS $LENGTH
B6|iopool_read_batch, direct|direct|run_sql default LATERAL_BATCH $ROWS $LENGTH
B6|LATERAL iopool_read, direct|direct|run_sql default LATERAL_READ $ROWS $LENGTH
B7|fio io_uring|direct|run_fio clients.@RUN@ $((CLIENTS * BATCHES * BATCH)) $LENGTH --iodepth=$((RINGS * BATCH)) --ioengine=io_uring
B7|one client, one call|direct|run_sql default ROWS_ONE $reads
B7|one client, batches|direct|run_clients 1
B7|all clients, batches|direct|run_clients $CLIENTS
lease_time|fio io_uring|direct|run_fio @RUN@ $reads --iodepth=$((RINGS * DEPTH)) --ioengine=io_uring
lease_time|one client, one call|direct|run_sql default ROWS_ONE $reads
LIST
    lease_time_peers
    cat <<LIST
B8|one backend|-|run_leases default 1
B8|all backends, a ring each|-|run_leases one_each $CONTENDERS
B8|all backends, 16 rings|-|run_leases default $CONTENDERS
B9|LATERAL iopool_read|cold|run_memory default LONG_READ $((GIGABYTES * 1073741824 / LONG_LENGTH)) $LONG_LENGTH
B10|merge_gap -1|direct|run_sql default CLUSTERS $clusters $CLUSTER_LENGTH merge_gap=-1
B10|merge_gap 16 kB|direct|run_sql default CLUSTERS $clusters $CLUSTER_LENGTH merge_gap=16384
LIST
    held_peers
    take_over_peers
    merge_peers
    depth_peers
    size_peers
    method_peers
    ways_peers
    natural_peers
    files_peers
}

lease_time_peers()
{
    local ms
    for ms in $LEASE_TIMES; do
        echo "lease_time|$ms ms|direct|run_lease_time $ms"
    done
}

held_peers()
{
    local method
    for method in $methods; do
        cat <<LIST
B13|$method, rings free|direct|run_rounds $method false
B13|$method, rings held|direct|run_rounds $method true
LIST
    done
}

take_over_peers()
{
    local method
    for method in $methods; do
        echo "B14|$method|-|run_take_overs one_$method"
    done
}

merge_peers()
{
    local pattern mode gap
    for pattern in $MERGE_PATTERNS; do
        for mode in direct buffered; do
            for gap in $MERGE_GAPS; do
                echo "B20|$pattern, $mode, $gap|${mode/buffered/cold}|run_merge $pattern $gap"
            done
        done
    done
}

depth_peers()
{
    local depth n method
    for depth in $DEPTHS; do
        n="$(reads_at_depth "$depth")"
        cat <<LIST
depth_direct|fio io_uring, $depth|direct|run_fio @RUN@.$n $n $LENGTH --iodepth=$depth --ioengine=io_uring
depth_direct|fio libaio, $depth|direct|run_fio @RUN@.$n $n $LENGTH --iodepth=$depth --ioengine=libaio
depth_buffered|fio io_uring, $depth|cold|run_fio @RUN@.$n $n $LENGTH --iodepth=$depth --ioengine=io_uring
LIST
        for method in $methods; do
            # sync reads directly one by one whatever the depth, and libaio
            # leaves buffered files to sync
            [[ $method == sync ]] || echo "depth_direct|iopool $method, $depth|direct|run_sql ${method}_$depth DEPTH_ROWS $n $LENGTH"
            [[ $method == libaio ]] || echo "depth_buffered|iopool $method, $depth|cold|run_sql ${method}_$depth DEPTH_ROWS $n $LENGTH"
        done
    done
}

size_peers()
{
    local length n
    for length in $LENGTHS; do
        n="$(reads_of_length "$length")"
        cat <<LIST
size|C pread, $length|hot|run_loop size.$length $n $length 0
size|pg_read_binary_file, $length|hot|run_sql default SIZE_PG $n $length
size|iopool_read_batch, $length|hot|run_sql default SIZE_ROWS $n $length
LIST
    done
}

# Every way of calling, on every method.
method_peers()
{
    local method state
    local reads="$N $LENGTH"
    local fio="run_fio @RUN@ $reads --iodepth=$DEPTH --ioengine"

    cat <<LIST
direct|fio io_uring, depth $DEPTH|direct|$fio=io_uring
direct|fio io_uring, depth $DEPTH, batches of 32|direct|$fio=io_uring --iodepth_batch_submit=32 --iodepth_batch_complete_min=1 --iodepth_batch_complete_max=$DEPTH
direct|fio libaio, depth $DEPTH|direct|$fio=libaio
direct|fio psync|direct|run_fio @RUN@ $reads --ioengine=psync
cold|fio io_uring, depth $DEPTH|cold|$fio=io_uring
cold|fio psync|cold|run_fio @RUN@ $reads --ioengine=psync
cold|C pread|cold|run_loop @RUN@ $reads 0
cold|C WILLNEED($DEPTH) + pread|cold|run_loop @RUN@ $reads $DEPTH
cold|pg_read_binary_file|cold|run_sql default PG $reads
cold|iopool_read|cold|run_sql default SINGLE $reads
hot|fio io_uring, depth $DEPTH|hot|$fio=io_uring
hot|fio psync|hot|run_fio @RUN@ $reads --ioengine=psync
hot|C pread|hot|run_loop @RUN@ $reads 0
hot|pg_read_binary_file|hot|run_sql default PG $reads
hot|iopool_read|hot|run_sql default SINGLE $reads
LIST
    for method in $methods; do
        for state in direct cold hot; do
            # libaio leaves buffered files to sync
            [[ $method != libaio || $state == direct ]] || continue
            echo "$state|iopool_read_array, $method|$state|run_sql $method ARRAY_ONE $reads"
            echo "$state|iopool_read_array, $method, $CALL a call|$state|run_sql $method ARRAY_MANY $reads"
            echo "$state|iopool_read_batch, $method|$state|run_sql $method ROWS_ONE $reads"
            echo "$state|iopool_read_batch, $method, $CALL a call|$state|run_sql $method ROWS_MANY $reads"
        done
        [[ $method == libaio ]] || echo "hot|iopool_read_array + unnest, $method, $CALL a call|hot|run_sql $method UNNEST_MANY $reads"
    done
}
