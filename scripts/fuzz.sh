#!/bin/bash
# fuzz.sh: run generated queries on throw-away clusters ("make fuzz")
#
#   FUZZ_SECONDS=60                how long, on all methods beside each other
#   SEED=1                         of the first query; each query has the next one (default: from the clock)
#   QUERIES=1                      so many queries on each method, however long that takes
#   METHODS="io_uring libaio sync" which methods (default: all that are compiled in and run here)
#   VERBOSE=1                      print each query before it runs
#   IOPOOL_TEST_CONF, IOPOOL_TMPDIR, KEEP   as in test.sh
#
# What runs is test/fuzz.pl; the generator is test/IopoolQueries.pm. A query is
# repeated by its seed and QUERIES=1. The exit code says whether there was a
# difference.
set -euo pipefail

scriptdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/users.sh
. "$scriptdir/users.sh"
users_enter "$@"
# shellcheck source=scripts/lib.sh
. "$scriptdir/lib.sh"

FUZZ_SECONDS=${FUZZ_SECONDS:-60}
SEED=${SEED:-$(date +%s)}
QUERIES=${QUERIES:-0}

"$TOP/scripts/install-deps.sh" build test
lib_start
lib_share_machine
[[ ${KEEP:-} != 1 ]] || KEEP_T=files
note "building for $(find_pg_config && "$PG_CONFIG" --version) ..."
lib_build

compiled=$(lib_make method-list)
as_user gcc -o "$T/kernel-has" "$SRC/scripts/kernel-has.c"
methods=()
for method in ${METHODS:-$compiled}; do
    if [[ " $compiled " != *" $method "* ]]; then
        note "SKIPPED: the method $method: it is not compiled in"
    elif ! reason=$(as_user "$T/kernel-has" "$method"); then
        note "SKIPPED: the method $method: this machine does not offer it: $reason"
    else
        methods+=("$method")
    fi
done
[[ ${#methods[@]} -gt 0 ]] || die "no method can run"

# fuzz method: queries on a cluster of its own
fuzz()
{
    local dir=$T/$1
    as_user mkdir -m 700 "$dir"
    mapfile -t settings <<<"${IOPOOL_TEST_CONF:-}"
    # Sockets of all of them are in $T, so they differ by port.
    cluster_start "$1.data" "port = $2" "iopool.method = $1" "iopool.rings = 4" "iopool.ring_entries = 32" \
        "iopool.pools = 'other(rings=3, entries=16), narrow(rings=3, entries=2)'" "fsync = off" "autovacuum = off" \
        "shared_buffers = 32MB" "max_connections = 20" "restart_after_crash = on" "${settings[@]}"
    as_user PERL5LIB="$SRC/test" VERBOSE="${VERBOSE:-}" perl "$SRC/test/fuzz.pl" "$T/.s.PGSQL.$2" postgres "$dir" "$1" \
        "$SEED" "$FUZZ_SECONDS" "$QUERIES" "$T/$1.counts"
}

note "seed $SEED, methods ${methods[*]}, $([[ $QUERIES -gt 0 ]] && echo "$QUERIES queries" || echo "$FUZZ_SECONDS s")"
pids=()
port=65440
for method in "${methods[@]}"; do
    (
        trap - EXIT HUP INT TERM
        fuzz "$method" "$port"
    ) &
    pids+=($!)
    port=$((port + 1))
done
rc=0
for pid in "${pids[@]}"; do
    wait "$pid" || rc=1
done

totals=(0 0 0 0 0 0)
for method in "${methods[@]}"; do
    if [[ ! -s $T/$method.counts ]]; then
        note "$method: did not come to its end"
        tail -n 30 "$T/$method.data.log" || true
        rc=1
        continue
    fi
    read -r -a counts <"$T/$method.counts"
    for i in "${!totals[@]}"; do
        totals[i]=$((totals[i] + counts[i]))
    done
done
note "${totals[0]} queries on ${#methods[@]} methods (${methods[*]}), ${totals[1]} rows compared," \
    "${totals[2]} plans with IopoolLateral, ${totals[3]} with IopoolScan, ${totals[4]} with IopoolProject, ${totals[5]} differences"
[[ $rc -eq 0 && ${totals[5]} -eq 0 ]]
