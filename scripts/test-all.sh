#!/bin/bash
# test-all.sh: the whole suite on every supported PostgreSQL and every set of libraries ("make test-all")
#
#   COMBINATIONS="17 19-io_method"   which, by name (default: all; "scripts/test-all.sh list" prints the names)
#   JOBS=2                           how many run at the same time
#   ONLY=, TESTS=, METHODS=, ...     as for test.sh, in every combination
#
#   host              the PostgreSQL of this machine
#   NN                PostgreSQL NN, in a root that roots.sh makes and keeps. The whole suite runs on the oldest and the
#                     newest release (on the newest, most TAP files with one method, see BETWEEN_METHODS); on those
#                     between, with one method, pg_regress in mode buffered, and those TAP files that a release can
#                     make a difference to (see BETWEEN_TESTS)
#   19-no-liburing    compiled without a library: on all methods that are left, in mode buffered, those tests that
#   19-no-libaio      tell what is compiled in (see BUILD_TESTS)
#   19-io_method      the server's own reads go through io_uring too: with io_uring, pg_regress in mode buffered, and
#                     those TAP files where its rings could be in the way of ours (see RING_TESTS)
#   18+assert-sanitize   a server that checks its assertions and marks free memory (see roots.sh), iopool built with
#                     AddressSanitizer and UndefinedBehaviorSanitizer: pg_regress in mode buffered, and the
#                     TAP files that reach most code (see SANITIZE_TESTS). The faults in SANITIZE_TRAPS are made once,
#                     each to see it reported.
#
# Those with a minus are of the newest release: what is compiled in meets the newest compiler and libraries there, and
# the server's own reads change from release to release. The server with assertions is of a release that is out:
# the sources of what is in experimental are not always to be had.
#
# Each is a run of test.sh, with every method that its libraries allow required.
# The last line, "N passed, N failed", adds up all of them.
set -euo pipefail

scriptdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$scriptdir/lib.sh"

# The newest first, because it takes longest.
MAJORS=(19 18 17 15)
JOBS=${JOBS:-2}
# Of each of them; all together keep two processors busy.
export IOPOOL_TEST_JOBS=${IOPOOL_TEST_JOBS:-3}
# What must be alone on the machine comes after everything else.
PARALLEL_SUITES=${ONLY:-regress tap}
[[ " $PARALLEL_SUITES " != *" machine "* ]] || JOBS=1

host_major()
{
    find_pg_config && "$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'
}

# Tests that a missing library can make a difference to: it is gone from the
# lists, the choice, the messages and the doctor. What the methods that are left
# do is the same code as with the library, and is tested there.
BUILD_TESTS="setup settings catalog views doctor read batch
    001_preload 002_settings 003_method 031_files 050_unit 060_doctor 071_upgrade 085_pg_stat_statements"

# TAP files that rings of the server's own can make a difference to: which start
# and end with its processes, wait, and take descriptors and locked memory.
RING_TESTS="001_preload 002_settings 003_method 020_interrupt 021_crash 031_files 032_memory 051_seal 060_doctor
    080_standby 082_settings_live 083_single_user 111_request_life"

# TAP files that a release between the oldest and the newest can make a
# difference to: what PostgreSQL does, and not what the kernel does. The code
# of the methods is the same for all releases (check-layers.sh sees to it), so
# one of them stands for all. The oldest release has each in every test, the
# newest in pg_regress and in the TAP files of NEWEST_EVERY_METHOD: what is chosen,
# what the engine does by itself, and what PostgreSQL wants to be absorbed
# between two reads.
BETWEEN_METHODS="io_uring"
NEWEST_EVERY_METHOD="003_method 050_unit 117_barriers"
BETWEEN_TESTS="001_preload 002_settings 010_isolation 021_crash 050_unit 051_seal 060_doctor 071_upgrade 074_examples 080_standby
    081_upgrade_dump 083_single_user 084_logical 085_pg_stat_statements 100_c_api 103_c_api_shared 113_request_pgbouncer
    096_table 114_caught_errors 117_barriers 120_stream_scan 121_fuzz"

# TAP files for the sanitizers: the engine by itself, foreign tables, and the
# generator of queries.
SANITIZE_TESTS="050_unit 096_table 121_fuzz"
SANITIZE_TRAPS="assertion past_malloc past_palloc after_pfree after_delete overflow misaligned"
# The server's headers are as its own code is: what overflows there wraps
# around, and so nothing of theirs is compiled to be reported without -fwrapv.
SANITIZE_FLAGS="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-wrapv -fno-omit-frame-pointer"

# The names of all combinations, those that take longest first.
all_combinations()
{
    local major own
    own=$(host_major)
    echo host
    for major in "${MAJORS[@]}"; do
        [[ $major == "$own" ]] || echo "$major"
    done
    printf '%s\n' 18+assert-sanitize 19-io_method 19-no-liburing 19-no-libaio
}

# is_between name: a release that is neither the oldest nor the newest
is_between()
{
    [[ " ${MAJORS[*]:1:${#MAJORS[@]}-2} " == *" $1 "* ]]
}

# settings_of name: what test.sh gets in its environment, one a line
settings_of()
{
    case $1 in
        *-no-liburing) printf '%s\n' WITH_LIBURING=no MODES=buffered IOPOOL_REQUIRE_METHODS="libaio sync" ;;
        *-no-libaio) printf '%s\n' WITH_LIBAIO=no MODES=buffered IOPOOL_REQUIRE_METHODS="io_uring sync" ;;
        *-io_method) printf '%s\n' METHODS=io_uring MODES=buffered IOPOOL_TEST_CONF="io_method = io_uring" \
            IOPOOL_REQUIRE_METHODS=io_uring ;;
        # a query takes many times as long, and the others draw everything
        *-sanitize) printf '%s\n' TAP_METHODS="$BETWEEN_METHODS" EVERY_METHOD=050_unit MODES=buffered \
            IOPOOL_TEST_QUERIES=140 COPT="$SANITIZE_FLAGS" IOPOOL_TEST_TRAPS="$SANITIZE_TRAPS" \
            ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=0 \
            UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1 IOPOOL_REQUIRE_METHODS="io_uring libaio sync" ;;
        *)
            if is_between "$1"; then
                printf '%s\n' MODES=buffered METHODS="$BETWEEN_METHODS" IOPOOL_REQUIRE_METHODS="$BETWEEN_METHODS"
            else
                echo IOPOOL_REQUIRE_METHODS="io_uring libaio sync"
            fi
            [[ $1 != "${MAJORS[0]}" ]] || printf '%s\n' TAP_METHODS="$BETWEEN_METHODS" EVERY_METHOD="$NEWEST_EVERY_METHOD"
            # its root has pgvector
            [[ $1 != 18 ]] || echo IOPOOL_TEST_EXTENSIONS=vector
            ;;
    esac
}

# run_combination name suites
run_combination()
{
    local name=$1 dir=$T/$1 setting
    local -a settings
    mapfile -t settings < <(settings_of "$name")
    settings+=("ONLY=$2")
    if [[ $name == *-no-* && -z ${TESTS:-} ]]; then
        settings+=("TESTS=${BUILD_TESTS//$'\n'/ }")
    elif [[ $name == *-io_method && -z ${TESTS:-} ]]; then
        settings+=("TESTS=$(make -C "$TOP" --no-print-directory regress-list) ${RING_TESTS//$'\n'/ }")
    elif is_between "$name" && [[ $2 != machine && -z ${TESTS:-} ]]; then
        settings+=("TESTS=$(make -C "$TOP" --no-print-directory regress-list) ${BETWEEN_TESTS//$'\n'/ }")
    elif [[ $name == *-sanitize && -z ${TESTS:-} ]]; then
        settings+=("TESTS=$(make -C "$TOP" --no-print-directory regress-list) $SANITIZE_TESTS")
    fi
    if [[ $name == host ]]; then
        env "${settings[@]}" "$scriptdir/test.sh"
        return
    fi
    for setting in TESTS METHODS TAP_METHODS EVERY_METHOD MODES IOPOOL_TEST_TIMEOUT WERROR VERBOSE; do
        [[ -z ${!setting:-} ]] || settings+=("$setting=${!setting}")
    done
    "$scriptdir/roots.sh" run "${name%%-*}" "$dir" env "${settings[@]}" scripts/test.sh
}

passed=0
failed=0
declare -A running=() started=()
summary=()
failures=()

# slowest log: the runs that took longest, and their seconds
slowest()
{
    sed -n -E 's/^([^ ]+) +[0-9]+ passed, .* \(([0-9]+) s\)$/\2 \1/p' "$1" | sort -rn | head -n 8 |
        awk '{ printf "%s%s %d s", separator, $2, $1; separator = ", " }'
}

# finish name: count a combination that ended, and show what failed in it
finish()
{
    local name=$1 last ok bad seconds=$((SECONDS - started[$1]))
    last=$(sed -n '/^[0-9]* passed, [0-9]* failed$/p' "$T/$name.log" | tail -n 1)
    read -r ok _ bad _ <<<"${last:-0 passed, 1 failed}"
    [[ $(<"$T/$name.rc") -eq 0 || $bad -gt 0 ]] || bad=1
    note "---- $name"
    if [[ $bad -gt 0 || -n ${VERBOSE:-} ]]; then
        cat "$T/$name.log"
    else
        grep -E '^building for|SKIPPED|# (skip|SKIP)' "$T/$name.log" || true
    fi
    note "slowest: $(slowest "$T/$name.log")"
    summary+=("$(printf '%-24s %5d passed, %d failed  (%d s)' "$name" "$ok" "$bad" "$seconds")")
    note "${summary[-1]}"
    mapfile -t -O ${#failures[@]} failures < <(grep '^FAILED' "$T/$name.log" | sed "s/^FAILED */FAILED  $name, /")
    passed=$((passed + ok))
    failed=$((failed + bad))
    rm -rf --one-file-system "${T:?}/$name"
}

# start name suites: in the background, once there is room
start()
{
    while [[ ${#running[@]} -ge $JOBS ]]; do
        wait_for_one
    done
    started[$1]=$SECONDS
    # A process group each, so that all of it can be stopped.
    set -m
    (
        trap - EXIT HUP INT TERM
        set +e
        run_combination "$@" >"$T/$1.log" 2>&1 </dev/null
        echo $? >"$T/$1.rc"
    ) &
    running[$!]=$1
    set +m
}

# On the way out: nothing may run on below $T, which is about to go. unshare
# does not heed SIGTERM, and takes all of its root along when it is killed.
stop_running()
{
    local pid
    for pid in "${!running[@]}"; do
        [[ ${running[$pid]} == host ]] || kill -KILL -- "-$pid" 2>/dev/null || true
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    wait
}

wait_for_one()
{
    local pid
    wait -n || true
    for pid in "${!running[@]}"; do
        if [[ ! -d /proc/$pid ]]; then
            finish "${running[$pid]}"
            unset "running[$pid]"
        fi
    done
}

wait_for_all()
{
    while [[ ${#running[@]} -gt 0 ]]; do
        wait_for_one
    done
}

mapfile -t names < <(all_combinations)
if [[ ${1:-} == list ]]; then
    printf '%s\n' "${names[@]}"
    exit
fi
"$scriptdir/install-deps.sh" build test roots
[[ $EUID -eq 0 ]] || die "roots with other releases of PostgreSQL need root; make test runs on this machine's alone"
selected=()
majors=()
for name in ${COMBINATIONS:-"${names[@]}"}; do
    [[ " ${names[*]} " == *" $name "* ]] || die "there is no combination \"$name\"; there are: ${names[*]}"
    selected+=("$name")
    [[ $name == host || " ${majors[*]-} " == *" ${name%%-*} "* ]] || majors+=("${name%%-*}")
done

lib_start
trap 'rc=$?; set +e; stop_running; (exit $rc); lib_cleanup' EXIT
note "combinations: ${selected[*]}"
[[ ${#majors[@]} -eq 0 ]] || "$scriptdir/roots.sh" make "${majors[@]}"

for name in "${selected[@]}"; do
    start "$name" "$PARALLEL_SUITES"
done
wait_for_all

if [[ -z ${ONLY:-} ]]; then
    JOBS=1
    for name in "${selected[@]}"; do
        # what these test is the kernel's
        if [[ $name != *-* ]] && ! is_between "$name"; then
            start "$name" machine
        fi
    done
    wait_for_all
fi

note "---- all combinations"
printf '%s\n' "${summary[@]}" ${failures[@]+"${failures[@]}"}
note "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
