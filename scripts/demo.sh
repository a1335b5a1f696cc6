#!/bin/bash
# demo.sh: read every member of a real archive in one query, check each digest, and time it ("make demo")
#
#   KEEP=1                  leave the cluster running afterwards
#   DEMO_TREES="/usr/share /usr/include"   what is packed
#   DEMO_MAX_MB=1024, DEMO_MAX_FILES=100000   a random part of a larger tree is taken
set -euo pipefail

scriptdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$scriptdir/lib.sh"

TREES=${DEMO_TREES:-/usr/share /usr/include}
MORE_TREES=/usr/lib
MIN_BYTES=$((300 * 1024 * 1024))
MAX_BYTES=$((${DEMO_MAX_MB:-1024} * 1024 * 1024))
MAX_FILES=${DEMO_MAX_FILES:-100000}
MAX_NAME=500
REPEATS=3
LOOKUPS=20000
SMALL=65536

step()
{
    printf '\n== %s\n' "$*"
}

"$TOP/scripts/install-deps.sh" build demo
lib_start
work=$T/demo
as_user mkdir "$work"
archive=$work/archive.tar

# --------------------------------------------------------------------------
step "Building iopool for $(find_pg_config && "$PG_CONFIG" --version)"
lib_build
note "built with the methods: $(lib_make method-list)"

# --------------------------------------------------------------------------
step "Packing a real tree"

# The record of a member is a line of text on its way to COPY, so names that
# need quoting there are left out, as are names over MAX_NAME bytes: tar gives
# those more than one block, see below.
list_files()
{
    # shellcheck disable=SC2086 # a list of directories
    as_user find $TREES -xdev -type f -readable -printf '%s %p\0' 2>/dev/null >"$work/all" || true
    tr '\n\0' '\001\n' <"$work/all" | LC_ALL=C.UTF-8 grep -ax '.*' |
        LC_ALL=C awk -v max="$MAX_NAME" '{ name = substr($0, index($0, " ") + 1) }
            length(name) <= max && name !~ /[\001-\037\177\\"'\'']/' >"$work/plain"
    total_files=$(tr -dc '\0' <"$work/all" | wc -c)
    total_bytes=$(awk '{ s += $1 } END { printf "%.0f\n", s }' "$work/plain")
}

list_files
if [[ $total_bytes -lt $MIN_BYTES ]]; then
    TREES="$TREES $MORE_TREES"
    list_files
fi
[[ $total_bytes -ge $MIN_BYTES ]] ||
    note "note: the tree has only $((total_bytes / 1048576)) MB; figures from so small an archive say little"

free_bytes=$(($(stat -f -c '%a * %S' "$T")))
[[ $MAX_BYTES -lt $((free_bytes / 3)) ]] || MAX_BYTES=$((free_bytes / 3))
# The same part every time: the source of "randomness" is a constant.
shuf --random-source=<(yes iopool) "$work/plain" |
    awk -v bytes="$MAX_BYTES" -v files="$MAX_FILES" '
        n >= files || s + $1 + 2048 > bytes { next }
        { n++; s += $1 + 2048; print }' | cut -d' ' -f2- | LC_ALL=C sort >"$work/names"
plain_files=$(wc -l <"$work/plain")
members=$(wc -l <"$work/names")
note "$TREES: $total_files readable regular files"
note "left out: $((total_files - plain_files)) with names that tar or COPY would quote, $((plain_files - members)) to stay within $((MAX_BYTES / 1048576)) MB and $MAX_FILES files"

# Hard links are stored as files of their own (--hard-dereference), and holes
# are not looked for (no --sparse): every member's bytes are in the archive.
# tar and sha256sum run together, so that the disk gives each file once.
tr '\n' '\0' <"$work/names" >"$work/names0"
as_user tar --create --file="$archive" --format=gnu --hard-dereference --numeric-owner --no-recursion --absolute-names \
    --null --verbatim-files-from --files-from="$work/names0" &
tar_pid=$!
as_user xargs -0 -a "$work/names0" sha256sum >"$work/digests"
wait "$tar_pid"
note "packed $members members into an archive of $(($(stat -c %s "$archive") / 1048576)) MB"

# tar -tR tells the block of a member's first header. Its data begin one block
# (512 bytes) later; a name over 100 bytes takes two more, a header and a block
# for the name.
as_user tar --list --verbose --block-number --numeric-owner --absolute-names --quoting-style=literal --file="$archive" |
    LC_ALL=C sed -nE 's/^block ([0-9]+): -[^ ]+ [0-9]+\/[0-9]+ +([0-9]+) [^ ]+ [^ ]+ (.*)$/\1\t\2\t\3/p' >"$work/listing"
LC_ALL=C sed -E 's/^([0-9a-f]{64})  (.*)$/\1\t\2/' "$work/digests" |
    LC_ALL=C paste - "$work/listing" |
    LC_ALL=C awk -F'\t' -v OFS='\t' '
        $2 != $5 { print "tar lists \"" $5 "\" where \"" $2 "\" was packed" >"/dev/stderr"; exit 1 }
        { print NR, $5, ($3 + 1 + (length($5) > 100 ? 2 : 0)) * 512, $4, "\\\\x" $1 }' >"$work/members.tsv"
[[ $(wc -l <"$work/members.tsv") -eq $members ]] || die "tar lists $(wc -l <"$work/listing") members, not $members"

# --------------------------------------------------------------------------
step "Starting a throw-away cluster (private socket, no TCP port)"
cluster_start cluster "max_connections = 20" "fsync = off" "shared_buffers = 128MB" "jit = off" "work_mem = 256MB"
cluster_psql <<SQL
CREATE EXTENSION iopool;
CREATE TABLE member (
    ordinal integer PRIMARY KEY,
    name    text NOT NULL,
    "offset" bigint NOT NULL,
    length  bigint NOT NULL,
    sha256  bytea NOT NULL
);
\\copy member from '$work/members.tsv'
-- What is timed: blobs as a catalogue finds them, in no order of the disk, and
-- small enough that the number of reads counts and not the disk's bandwidth.
CREATE TABLE lookup AS
    SELECT m.* FROM setseed(0.42), member m WHERE length <= $SMALL ORDER BY random() LIMIT $LOOKUPS;
ANALYZE member, lookup;
SQL
info()
{
    cluster_psql -At -v name="$1" <<<"SELECT value FROM iopool_info() WHERE name = :'name'"
}
method=$(info method)
note "iopool $(info version), method $method"
[[ -z $(info method_reason) ]] || note "why: $(info method_reason)"

# --------------------------------------------------------------------------
step "Reading all members in one query and comparing every SHA-256"
CHECK=$(
    cat <<SQL
SELECT count(*) AS members_read,
       count(*) FILTER (WHERE sha256(b.data) IS DISTINCT FROM m.sha256) AS mismatches
FROM (SELECT array_agg("offset" ORDER BY ordinal) AS offsets,
             array_agg(length ORDER BY ordinal) AS lengths
      FROM member) AS a,
     iopool_read_batch('$archive', a.offsets, a.lengths) AS b
     JOIN member AS m USING (ordinal)
SQL
)
note "$CHECK;"
note
IFS='|' read -r read_count mismatches < <(cluster_psql -At <<<"$CHECK")
note "members read:   $read_count"
note "mismatches:     $mismatches"
note "method chosen:  $method"
if [[ $read_count != "$members" || $mismatches != 0 ]]; then
    die "expected $members members read and 0 mismatches"
fi

# --------------------------------------------------------------------------
lookups=$(cluster_psql -At -c 'SELECT count(*) FROM lookup')
step "Cold-cache speed: $lookups members of at most $((SMALL / 1024)) KB in random order, $REPEATS interleaved runs each, medians"
BATCH="SELECT sum(length(b.data)) AS total FROM (SELECT array_agg(\"offset\") AS o, array_agg(length) AS l FROM lookup) AS a, iopool_read_batch('$archive', a.o, a.l, in_order => false) AS b"
SINGLE="SELECT sum(length(pg_read_binary_file('$archive', \"offset\", length))) AS total FROM lookup"

# timed query: milliseconds and the sum of lengths; the first query of the
# session warms the catalogs and the table, so that only the archive is cold
timed()
{
    drop_caches "$archive"
    cluster_psql -At <<SQL
SELECT count(*) AS warm FROM lookup, iopool_info() \\gset
SELECT length(iopool_read('$archive', 0, 1)) + length(pg_read_binary_file('$archive', 0, 1)) AS warm \\gset
SELECT clock_timestamp() AS start \\gset
$1 \\gset
SELECT round(1000 * extract(epoch FROM clock_timestamp() - :'start')), :total;
SQL
}

median()
{
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

batch_ms=()
single_ms=()
for ((i = 1; i <= REPEATS; i++)); do
    IFS='|' read -r ms batch_sum < <(timed "$BATCH")
    batch_ms+=("$ms")
    IFS='|' read -r ms single_sum < <(timed "$SINGLE")
    single_ms+=("$ms")
    [[ $batch_sum == "$single_sum" ]] || die "the two queries read different amounts: $batch_sum and $single_sum bytes"
done
batch=$(printf '%s\n' "${batch_ms[@]}" | median)
single=$(printf '%s\n' "${single_ms[@]}" | median)

speed()
{
    awk -v label="$1" -v n="$lookups" -v bytes="$single_sum" -v ms="$2" -v all="${*:3}" 'BEGIN {
        printf "%-22s %9.0f reads/s  %7.0f MB/s   (runs: %s ms)\n", label, n * 1000 / ms, bytes / 1048.576 / ms, all }'
}
speed "iopool_read_batch" "$batch" "${batch_ms[@]}"
speed "pg_read_binary_file" "$single" "${single_ms[@]}"
awk -v a="$single" -v b="$batch" 'BEGIN { printf "%-22s %9.1f times as fast\n", "ratio", a / b }'

# --------------------------------------------------------------------------
step "Three queries to go on with, and what they give"
# The path as a constant, so that the text can be pasted into any client.
queries=$(<"$scriptdir/demo-queries.sql")
queries=${queries//":'archive'"/"'$archive'"}
note "$queries"
cluster_psql <<<"$queries" >"$work/queries" || die "the queries above fail"
note
head -n 40 "$work/queries"
[[ $(wc -l <"$work/queries") -le 40 ]] || note "..."

step "Done"
if [[ ${KEEP:-} == 1 ]]; then
    KEEP_T=running
    prefix=
    [[ $EUID -ne 0 ]] || prefix="runuser -u $RUN_USER -- "
    note "The cluster is still running. Connect and, later, stop and remove it:"
    note
    note "    $prefix$BINDIR/psql -h $SOCKET_DIR -U postgres postgres"
    note "    $prefix$BINDIR/pg_ctl -D $PGDATA_DIR stop && rm -rf $T"
else
    note "The cluster is stopped and removed; \"make demo KEEP=1\" leaves it running for these queries."
fi
