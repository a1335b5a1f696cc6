#!/bin/bash
# test.sh: build iopool, and run all its tests on throw-away clusters ("make test")
#
#   ONLY="regress tap machine"     which suites (default: all); "isolation" is the TAP file that runs the specs,
#                                  "unit" the one that runs the unit tests, and
#                                  "machine" what touches the whole machine, such as a sysctl, and so runs last, when no other
#                                  run of tests is at work
#   TESTS="read 021_crash"         which tests, by name, in every suite (default: all)
#   METHODS="io_uring libaio sync" which methods (default: all that are compiled in); "first" is the first that runs here
#   TAP_METHODS="io_uring"         which of them the TAP files loop over (default: all of them), but for
#   EVERY_METHOD="050_unit"        those TAP files that loop over all of them whatever TAP_METHODS says
#   MODES="buffered direct uncached"   which values of iopool.io_mode for pg_regress
#   IOPOOL_REQUIRE_METHODS="io_uring libaio sync"   a method named here that cannot run is a failure, not a notice
#   IOPOOL_TEST_CONF="io_method = io_uring"   one more setting for every server
#   COPT="-fsanitize=address"      more flags for the compiler; ASAN_OPTIONS and UBSAN_OPTIONS are handed on
#   IOPOOL_TEST_TRAPS="overflow"   faults of test/modules/iopool_unit/trap.c that this build must notice
#   IOPOOL_TEST_EXTENSIONS="vector" extensions without which an example must not be left out
#   IOPOOL_TEST_TIMEOUT=1800        seconds that one run of a suite may take
#   IOPOOL_TEST_JOBS=5             how many runs at the same time, as root
#   IOPOOL_USER=name               whom root runs everything as, one after the other (default: see below)
#   IOPOOL_OBJECTS=dir             compile only what has changed since the last run with the same directory
#   IOPOOL_TMPDIR=/var/tmp         where the private directory is made; direct I/O must work there
#   KEEP=1                         leave the private directory, with the logs of failed runs, behind
#   VERBOSE=1                      show the output of passing runs too
#
# A run is pg_regress with one method and mode, or one TAP file, which loops
# over the methods by itself. As root, each run has an operating-system user of
# its own, whom nobody else has (see users.sh); who is not root is the user of
# all of them, and what counts descriptors or locked memory, or lowers limits
# on them, runs alone. The isolation specs need a filesystem that holds
# reads back, so test/t/010_isolation.pl runs them. What is counted: each test
# of pg_regress in each run, each top-level assertion of a TAP file, and one
# failure for a run that ends badly without naming a failed test, and for one
# in whose logs an assertion, a sanitizer or a memory context complains. The
# last line reads "N passed, N failed".
set -euo pipefail

scriptdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/users.sh
. "$scriptdir/users.sh"
users_enter "$@"
# shellcheck source=scripts/lib.sh
. "$scriptdir/lib.sh"

ONLY=${ONLY:-regress tap machine}
MODES=${MODES:-buffered direct uncached}
TIMEOUT=${IOPOOL_TEST_TIMEOUT:-1800}
passed=0
failed=0
failures=()

"$TOP/scripts/install-deps.sh" build test
lib_start
lib_share_machine
[[ ${KEEP:-} != 1 ]] || KEEP_T=files
note "building for $(find_pg_config && "$PG_CONFIG" --version) ..."
if [[ $ONLY == unit ]]; then
    lib_prepare
else
    lib_build
fi
lib_template
mkdir "$T/runs"

# --------------------------------------------------------------------------
# Methods

compiled=$(lib_make method-list)
read -r -a candidates <<<"${METHODS:-$compiled}"
[[ ${METHODS:-} != first ]] || read -r -a candidates <<<"$compiled"
methods=()

method_unavailable()
{
    if [[ " ${IOPOOL_REQUIRE_METHODS:-} " == *" $1 "* ]]; then
        note "FAILED: the method $1 is required, but $2"
        failed=$((failed + 1))
    else
        note "SKIPPED: the method $1: $2"
    fi
}

as_user gcc -o "$T/kernel-has" "$SRC/scripts/kernel-has.c"
for method in "${candidates[@]}"; do
    if [[ " $compiled " != *" $method "* ]]; then
        method_unavailable "$method" "it is not compiled in"
    elif ! reason=$(as_user "$T/kernel-has" "$method"); then
        method_unavailable "$method" "this machine does not offer it: $reason"
    else
        methods+=("$method")
        [[ ${METHODS:-} != first ]] || break
    fi
done
if [[ -z ${METHODS:-} ]]; then
    for method in ${IOPOOL_REQUIRE_METHODS:-}; do
        [[ " $compiled " == *" $method "* ]] || method_unavailable "$method" "it is not compiled in"
    done
fi

# --------------------------------------------------------------------------
# Running

# selected: those of the words on standard input that TESTS names, or all
selected()
{
    local name
    tr ' ' '\n' | while read -r name; do
        [[ -z $name || -n ${TESTS:-} && " $TESTS " != *" $name "* ]] || echo "$name"
    done
}

# server_conf file method mode extra: the settings of a temporary instance
server_conf()
{
    {
        cat <<CONF
shared_preload_libraries = 'iopool'
iopool.method = $2
iopool.io_mode = $3
listen_addresses = ''
fsync = off
shared_buffers = 32MB
max_connections = 20
CONF
        [[ ! -f $4 ]] || cat "$4"
        [[ -z ${IOPOOL_TEST_CONF:-} ]] || echo "$IOPOOL_TEST_CONF"
    } | as_user tee "$1" >/dev/null
}

# run_regress dir method mode
run_regress()
{
    local -a what
    mapfile -t what < <(lib_make regress-list | selected)
    if [[ -z ${TESTS:-} && -f $SRC/sql/schedule ]]; then
        what=("--schedule=$SRC/sql/schedule")
    elif [[ -n ${TESTS:-} && -f $SRC/sql/setup.sql && " ${what[*]} " != *" setup "* ]]; then
        what=(setup ${what[@]+"${what[@]}"})
    fi
    [[ ${#what[@]} -gt 0 ]] || return 0
    server_conf "$1/server.conf" "$2" "$3" "$SRC/test/regress.conf"
    as_user_in "$SRC" IOPOOL_TEST_METHOD="$2" IOPOOL_TEST_MODE="$3" timeout -k 10 "$TIMEOUT" \
        "$PGXSDIR/test/regress/pg_regress" --bindir="$BINDIR" --inputdir="$SRC" --outputdir="$1" \
        --temp-instance="$1/instance" --temp-config="$1/server.conf" --dbname=contrib_regression "${what[@]}"
}

# tap_methods name: the methods that a TAP file loops over
tap_methods()
{
    local method
    for method in ${methods[@]+"${methods[@]}"}; do
        [[ -n ${TAP_METHODS:-} && " $TAP_METHODS " != *" $method "* && " ${EVERY_METHOD:-} " != *" $1 "* ]] || printf '%s ' "$method"
    done
}

# run_tap dir file
run_tap()
{
    # PostgreSQL 15 looks at TESTDIR, later releases at the other two.
    as_user_in "$SRC" IOPOOL_TEST_METHODS="$(tap_methods "$(basename "$2" .pl)")" IOPOOL_TEST_TRAPS="${IOPOOL_TEST_TRAPS:-}" IOPOOL_TEST_EXTENSIONS="${IOPOOL_TEST_EXTENSIONS:-}" ${helpers[@]+"${helpers[@]}"} ${extra_conf[@]+"${extra_conf[@]}"} \
        PERL5LIB="$PGXSDIR/test/perl:$SRC/test" PG_REGRESS="$PGXSDIR/test/regress/pg_regress" \
        TESTDIR="$1" TESTDATADIR="$1/tmp_check" TESTLOGDIR="$1/tmp_check/log" PGPORT=65432 \
        timeout -k 10 "$TIMEOUT" prove --verbose --nocolor "$2"
}

# failures_of name log: the failed tests of a run
failures_of()
{
    sed -n -E "s/^not ok ([0-9]+ .*)/FAILED  $1: \\1/p; s/^(test |     )(.*) \.\.\. FAILED.*/FAILED  $1: \\2/p" "$2" | grep -v '# TODO' || true
}

# count_regress log: prints "passed failed"; knows the output of pg_regress
# before PostgreSQL 16 ("test x ... ok") and since ("ok 1 - x")
count_regress()
{
    awk '
        /^(test |     ).* \.\.\. ok/ || /^ok [0-9]+ / { ok++ }
        /^(test |     ).* \.\.\. FAILED/ || /^not ok [0-9]+ / { bad++ }
        END { print ok + 0, bad + 0 }' "$1"
}

count_tap()
{
    awk '
        /^ok [0-9]+.*# (skip|SKIP)/ { next }
        /^ok [0-9]+/ { ok++ }
        /^not ok [0-9]+/ && !/# TODO/ { bad++ }
        END { print ok + 0, bad + 0 }' "$1"
}

# complaints dir: logs of servers with what no test may cause, whether or not
# it noticed; but for those of the node that is made to do so
complaints()
{
    find "$1" -name '*.log' ! -name '*_trap.log' -exec \
        grep -lE '^TRAP: |: runtime error: |ERROR: AddressSanitizer|WARNING:  problem in [a-z]+ ' {} +
}

# What tells most about a failed run, in this order.
show_failure()
{
    local file
    echo "---- output of $(basename "$1")"
    if [[ -f $1/regression.diffs ]]; then
        tail -n 60 "$1/out.log"
        echo "---- regression.diffs"
        head -n 400 "$1/regression.diffs"
    else
        tail -n 400 "$1/out.log"
    fi
    for file in "$1"/log/postmaster.log "$1"/log/initdb.log "$1"/tmp_check/log/regress_log_*; do
        [[ ! -f $file ]] || { echo "---- end of $(basename "$file")"; tail -n 60 "$file"; }
    done
    echo "---- end of $(basename "$1")"
}

# report dir: count and print one run that ended
report()
{
    local dir=$1 name rc seconds ok bad log
    name=$(basename "$dir")
    read -r rc seconds <"$dir/rc"
    if [[ $name != regress.* ]]; then
        read -r ok bad < <(count_tap "$dir/out.log")
    else
        read -r ok bad < <(count_regress "$dir/out.log")
    fi
    if [[ $rc -ne 0 && $bad -eq 0 ]]; then
        bad=1
        [[ $rc -ne 124 && $rc -ne 137 ]] || echo "(stopped after $TIMEOUT s)" >>"$dir/out.log"
    fi
    for log in $(complaints "$dir"); do
        bad=$((bad + 1))
        failures+=("FAILED  $name: complaints in $(basename "$log")")
        echo "---- complaints in $(basename "$log")"
        grep -E -A 30 -m 5 '^TRAP: |: runtime error: |ERROR: AddressSanitizer|WARNING:  problem in ' "$log"
    done
    if [[ $bad -gt 0 ]]; then
        show_failure "$dir"
    elif [[ -n ${VERBOSE:-} ]]; then
        cat "$dir/out.log"
    fi
    grep -E '^ok [0-9]+.*# (skip|SKIP)|^[^ ]+ \.+ skipped:' "$dir/out.log" | sed 's/^/    /' || true
    if [[ $bad -gt 0 ]]; then
        mapfile -t -O ${#failures[@]} failures < <(failures_of "$name" "$dir/out.log" | head -n 20)
        # it died, or was stopped
        [[ $rc -eq 0 || $rc -lt 124 && -n $(failures_of "$name" "$dir/out.log") ]] || failures+=("FAILED  $name: ended with $rc")
    fi
    printf '%-40s %4d passed, %d failed  (%d s)\n' "$name" "$ok" "$bad" "$seconds"
    passed=$((passed + ok))
    failed=$((failed + bad))
    # Instances are large, and a later test may want to fill the disk.
    [[ $bad -gt 0 || $KEEP_T == files ]] || rm -rf "$dir"
}

# launch name command...: one run, in the background, as a user of its own and
# with a directory for temporary files, whose name has to be short
declare -A running=()
nlaunched=0
launch()
{
    local dir=$T/runs/$1 RUN_UID=$RUN_UID RUN_TMP=$T/$nlaunched
    shift
    while [[ ${#running[@]} -ge $limit ]]; do
        collect_one
    done
    [[ -z $USERS_BASE ]] || RUN_UID=$((USERS_BASE + nlaunched % USERS_BLOCK))
    nlaunched=$((nlaunched + 1))
    mkdir -m 700 "$dir" "$RUN_TMP"
    own_by_user "$dir" "$RUN_TMP"
    (
        trap - EXIT HUP INT TERM
        set +e
        start=$SECONDS
        "$1" "$dir" "${@:2}" >"$dir/out.log" 2>&1 </dev/null
        echo "$? $((SECONDS - start))" >"$dir/rc"
        [[ $KEEP_T == files ]] || rm -rf --one-file-system "$RUN_TMP"
    ) &
    running[$!]=$dir
}

collect_one()
{
    local pid
    wait -n || true
    for pid in "${!running[@]}"; do
        if [[ ! -d /proc/$pid ]]; then
            report "${running[$pid]}"
            unset "running[$pid]"
        fi
    done
}

collect_all()
{
    while [[ ${#running[@]} -gt 0 ]]; do
        collect_one
    done
}

# --------------------------------------------------------------------------

# Whether a TAP file is asked for.
tap_is_selected()
{
    [[ " $ONLY " == *" tap "* || " $ONLY " == *" isolation "* && $1 == *isolation* || " $ONLY " == *" unit "* && $1 == *unit* ]] &&
        [[ -n $(echo "$1" | selected) ]]
}

tap_files=()
for file in "$SRC"/test/t/*.pl; do
    name=$(basename "$file" .pl)
    ! tap_is_selected "$name" || tap_files+=("$name")
done

helpers=()
extra_conf=()
if [[ -n ${IOPOOL_TEST_CONF:-} ]]; then
    echo "$IOPOOL_TEST_CONF" | as_user tee "$T/extra.conf" >/dev/null
    extra_conf=("TEMP_CONFIG=$T/extra.conf")
fi
if [[ " ${tap_files[*]-} " == *unit* ]]; then
    lib_make -C test/modules/iopool_unit >"$T/unit.log" 2>&1 || { cat "$T/unit.log" >&2; die "the unit tests do not compile"; }
    lib_keep_objects unit
    helpers+=("IOPOOL_TEST_UNIT=$SRC/test/modules/iopool_unit/iopool_unit.so")
fi
if [[ " $ONLY " =~ " tap " || " $ONLY " =~ " isolation " || " $ONLY " =~ " machine " ]]; then
    read -r -a fuse_flags < <(pkg-config --cflags --libs fuse3)
    for file in "$SRC"/test/*.c; do
        [[ -e $file ]] || continue
        name=$(basename "$file" .c)
        as_user gcc -O2 -o "$T/$name" "$file" -pthread "${fuse_flags[@]}"
        helpers+=("IOPOOL_TEST_${name^^}=$T/$name")
    done
    lib_make -C test/modules/iopool_refuse >"$T/refuse.log" 2>&1 || { cat "$T/refuse.log" >&2; die "iopool_refuse does not compile"; }
    helpers+=("IOPOOL_TEST_REFUSE=$SRC/test/modules/iopool_refuse/iopool_refuse.so")
    lib_make -C test/modules/iopool_usurp >"$T/usurp.log" 2>&1 || { cat "$T/usurp.log" >&2; die "iopool_usurp does not compile"; }
    helpers+=("IOPOOL_TEST_USURP=$SRC/test/modules/iopool_usurp/iopool_usurp.so")
    lib_install_consumer
    helpers+=("IOPOOL_TEST_CONSUMER=installed" "IOPOOL_TEST_PG_CONFIG=$PG_CONFIG"
        "IOPOOL_TEST_INCLUDE=$IOPOOL_INCLUDE" "IOPOOL_TEST_DESTDIR=$T/root")
    # For a test that installs what it has built, as another of the users.
    find "$T/root" -type d -exec chmod g+w {} +
fi

launch_regress()
{
    local method mode
    [[ " $ONLY " == *" regress "* ]] || return 0
    for method in ${methods[@]+"${methods[@]}"}; do
        for mode in $MODES; do
            launch "regress.$method.$mode" run_regress "$method" "$mode"
        done
    done
}

# Those that take longest first, so that none is left over in the end.
LONG="110_requests 111_request_life 020_interrupt 112_request_memory 092_directory_guard 101_c_api_life 102_c_api_search 103_c_api_shared 030_faults 033_refused 040_oracle"
if [[ -n $USERS_BASE ]]; then
    limit=${IOPOOL_TEST_JOBS:-5}
    for name in $LONG; do
        [[ " ${tap_files[*]-} " != *" $name "* ]] || launch "tap.$name" run_tap "test/t/$name.pl"
    done
    launch_regress
    for name in ${tap_files[@]+"${tap_files[@]}"}; do
        [[ " $LONG " == *" $name "* ]] || launch "tap.$name" run_tap "test/t/$name.pl"
    done
else
    limit=2
    launch_regress
    collect_all
    # One user has all of it.
    limit=1
    for name in ${tap_files[@]+"${tap_files[@]}"}; do
        # From 100 on they touch nothing but their own servers.
        if [[ $name == 1* && $limit -eq 1 ]]; then
            collect_all
            limit=2
        fi
        launch "tap.$name" run_tap "test/t/$name.pl"
    done
fi
collect_all
limit=1

# run_machine dir name: one test of test/machine, with the sysctls that it asks for
run_machine()
{
    local wanted=$SRC/test/machine/$2.sysctl key value file
    if [[ -f $wanted ]]; then
        restore=()
        trap restore_sysctls EXIT
        trap 'exit 143' HUP INT TERM
        while IFS=' =' read -r key value; do
            file=/proc/sys/${key//.//}
            restore+=("$file=$(<"$file")")
            echo "$value" >"$file"
        done <"$wanted"
    fi
    run_tap "$1" "test/machine/$2.pl"
}

restore_sysctls()
{
    local setting
    for setting in "${restore[@]}"; do
        echo "${setting#*=}" >"${setting%%=*}"
    done
}

if [[ " $ONLY " == *" machine "* ]]; then
    lib_take_machine
    unset TAP_METHODS
    for file in "$SRC"/test/machine/*.pl; do
        name=$(basename "$file" .pl)
        [[ -n $(echo "$name" | selected) ]] || continue
        if [[ -f ${file%.pl}.sysctl && $EUID -ne 0 ]]; then
            note "SKIPPED: $name, which needs root to set $(sed 's/ *=.*//' "${file%.pl}.sysctl")"
            continue
        fi
        launch "machine.$name" run_machine "$name"
        collect_all
    done
fi

if [[ $((passed + failed)) -eq 0 ]]; then
    note "no test ran"
    failed=1
fi
# Again, in few lines, what has been told in many above.
[[ ${#failures[@]} -eq 0 ]] || printf '%s\n' "${failures[@]}"
note "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
