# lib.sh: what test.sh, demo.sh and the benchmark share; to be sourced
# shellcheck shell=bash
#
# Everything happens below one private directory, $T: a copy of the sources, a
# private copy of the PostgreSQL installation with iopool in it, and throw-away
# clusters that listen on a socket there and on no TCP port. The system's own
# installation and its clusters are only read. All programs run as an
# unprivileged user. On exit, whatever the reason, everything that was started
# is stopped and $T is removed.
#
# After "lib_start", "lib_build" the caller has
#   T        the private directory            BINDIR  the private server's programs
#   RUN_USER who runs them                    PGXSDIR the server's test programs are below it
#   SRC      the copy of the sources
#
# With users.sh sourced before, the user is the first of those that the run has
# of its own. RUN_UID and RUN_TMP may be set to another of them and a directory
# that is his, for what as_user runs.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/pgconfig.sh
. "$TOP/scripts/pgconfig.sh"

# A make above this script must not steer the ones below it.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES GNUMAKEFLAGS
umask 022

T=
# What outlives the script: "no"thing, the "files" in $T, or a "running" cluster.
KEEP_T=no

note()
{
    printf '%s\n' "$*"
}

die()
{
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# --------------------------------------------------------------------------
# The unprivileged user

# as_user [VAR=value...] command [argument...]: in $T, with a clean environment
as_user()
{
    as_user_in "$T" "$@"
}

# as_user_in directory [VAR=value...] command [argument...]
as_user_in()
{
    local dir=$1
    shift
    local -a become=()
    # setpriv keeps the resource limits; runuser would let PAM set them anew.
    [[ $EUID -ne 0 ]] || become=(setpriv "--reuid=$RUN_UID" "--regid=$RUN_GID" --init-groups)
    # shellcheck disable=SC2016 # expanded by the inner shell
    ${become[@]+"${become[@]}"} env -i PATH="${BINDIR:+$BINDIR:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        HOME="$RUN_TMP" USER="$RUN_USER" LOGNAME="$RUN_USER" SHELL=/bin/sh LC_ALL=C.UTF-8 TZ=UTC TMPDIR="$RUN_TMP" IOPOOL_RUN="$T" \
        ${INITDB_TEMPLATE:+"INITDB_TEMPLATE=$INITDB_TEMPLATE"} \
        ${ASAN_OPTIONS:+"ASAN_OPTIONS=$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+"UBSAN_OPTIONS=$UBSAN_OPTIONS"} \
        bash -c 'ulimit -Sn "$(ulimit -Hn)"; cd "$1" || exit 1; shift; exec env "$@"' as_user "$dir" "$@" 8>&- 9>&-
}

# own_by_user path...: files that root has made are the user's
own_by_user()
{
    [[ $EUID -ne 0 ]] || chown -R "$RUN_UID:$RUN_GID" "$@"
}

lib_start()
{
    local base
    if [[ $EUID -ne 0 ]]; then
        RUN_USER=$(id -un)
    elif [[ -n ${USERS_BASE:-} ]]; then
        RUN_USER=iopool
    elif id -u "${IOPOOL_USER:-postgres}" >/dev/null 2>&1; then
        RUN_USER=${IOPOOL_USER:-postgres}
    else
        RUN_USER=nobody
    fi
    RUN_UID=${USERS_BASE:-$(id -u "$RUN_USER")}
    RUN_GID=${USERS_BASE:-$(id -g "$RUN_USER")}
    [[ $RUN_UID -ne 0 ]] || die "PostgreSQL does not run as root; name another user by IOPOOL_USER"

    # /tmp may be a tmpfs, which has neither a disk nor direct I/O to test.
    base=${IOPOOL_TMPDIR:-/var/tmp}
    trap lib_cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    T=$(mktemp -d "$base/iopool.XXXXXX")
    RUN_TMP=$T
    # The path of a Unix socket is at most 107 bytes, and the test programs
    # add up to 50 to this one.
    [[ ${#T} -le 50 ]] || die "the directory $T has too long a name for sockets below it; set IOPOOL_TMPDIR to a shorter one"
    own_by_user "$T"
    # None of several users may rename what is another's.
    [[ -z ${USERS_BASE:-} ]] || { chown root "$T" && chmod 1770 "$T"; }
    as_user test -w "$T" || die "the user $RUN_USER cannot write below $base; set IOPOOL_TMPDIR to a directory that it can reach"
}

# --------------------------------------------------------------------------
# Other runs on this machine

# lib_share_machine: waits until no test that changes the whole machine runs,
# and keeps them out as long as this run goes on, or until lib_take_machine,
# which waits for all others. They hold descriptor 8.
lib_share_machine()
{
    local lock=/run/iopool/machine
    [[ $EUID -ne 0 ]] || { mkdir -p "${lock%/*}" && touch "$lock"; }
    # Where root has never run it, nobody has to be waited for.
    [[ -r $lock ]] || lock=$T
    exec 8<"$lock"
    flock -s -n 8 || { note "waiting for a test that needs the machine for itself ..." && flock -s 8; }
}

lib_take_machine()
{
    flock -u 8
    flock -n 8 || { note "waiting for other runs of tests ..." && flock 8; }
}

# --------------------------------------------------------------------------
# Cleaning up

# Processes that as_user started. A postmaster overwrites its environment, so
# clusters are found by their postmaster.pid instead.
lib_own_processes()
{
    { grep -lzxF "IOPOOL_RUN=$T" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3
}

# The postmasters' pids below $T, each checked to run in its data directory:
# the number in a file that a crash left behind may be somebody else's by now.
lib_own_postmasters()
{
    local file pid
    find "$T" -xdev -name postmaster.pid -not -path "$T/src/*" 2>/dev/null | while read -r file; do
        read -r pid <"$file" || continue
        if [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$(dirname "$file")" ]]; then
            echo "$pid"
        fi
    done
}

lib_any_alive()
{
    local pid
    for pid in "$@"; do
        [[ ! -d /proc/$pid ]] || return 0
    done
    return 1
}

lib_stop_all()
{
    local -a servers others
    local mount tries
    mapfile -t servers < <(lib_own_postmasters)
    # SIGQUIT is PostgreSQL's immediate shutdown.
    [[ ${#servers[@]} -eq 0 ]] || kill -QUIT "${servers[@]}" 2>/dev/null
    mapfile -t others < <(lib_own_processes)
    [[ ${#others[@]} -eq 0 ]] || kill -TERM "${others[@]}" 2>/dev/null
    for ((tries = 0; tries < 50; tries++)); do
        lib_any_alive ${servers[@]+"${servers[@]}"} ${others[@]+"${others[@]}"} || break
        sleep 0.1
    done
    # A server started in the meantime by a test that was about to die.
    mapfile -t others < <(lib_own_postmasters; lib_own_processes)
    [[ ${#others[@]} -eq 0 ]] || kill -KILL "${others[@]}" 2>/dev/null

    # A test filesystem left mounted would make rm wait for its dead server.
    cut -d' ' -f2 /proc/self/mounts | grep -F "$T/" | sort -r | while read -r mount; do
        mount=$(printf '%b' "$mount")
        fusermount3 -u -z "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null
    done
}

lib_cleanup()
{
    local rc=$?
    trap - EXIT
    trap '' HUP INT TERM
    set +e
    if [[ $rc -ne 0 && -n ${PGDATA_DIR:-} && -f $PGDATA_DIR.log ]]; then
        echo "---- end of the server's log" >&2
        tail -n 30 "$PGDATA_DIR.log" >&2
    fi
    if [[ -n $T && $KEEP_T != running ]]; then
        lib_stop_all
        if [[ $KEEP_T == files ]]; then
            note "left behind: $T" >&2
        else
            rm -rf --one-file-system "$T"
        fi
    fi
    exit "$rc"
}

# --------------------------------------------------------------------------
# Building

# mirror from to except: a directory of symbolic links to all of another's
# entries, without those that match the pattern
mirror()
{
    local entry
    local -a entries=()
    mkdir -p "$2"
    for entry in "$1"/*; do
        # shellcheck disable=SC2053 # a pattern is meant
        [[ ! -e $entry || ${entry##*/} == $3 ]] || entries+=("$entry")
    done
    [[ ${#entries[@]} -eq 0 ]] || ln -s -t "$2" "${entries[@]}"
}

# A copy of the PostgreSQL installation below $T/root, as "make check" in
# PostgreSQL's own tree uses it: the programs find their files by their own
# place. Programs are copied, all else is linked.
lib_private_installation()
{
    local root=$T/root bindir pkglibdir sharedir program
    bindir=$("$PG_CONFIG" --bindir)
    pkglibdir=$("$PG_CONFIG" --pkglibdir)
    sharedir=$("$PG_CONFIG" --sharedir)

    mkdir -p "$root$bindir"
    for program in postgres initdb pg_config pg_ctl psql createdb createuser dropdb dropuser pg_dump pg_dumpall \
        pg_restore pg_isready pg_basebackup pg_controldata pg_resetwal pg_waldump pg_upgrade pg_verifybackup pgbench vacuumdb; do
        [[ ! -x $bindir/$program ]] || cp -L "$bindir/$program" "$root$bindir/"
    done
    mirror "$pkglibdir" "$root$pkglibdir" '@(bitcode|iopool.so)'
    mirror "$pkglibdir/bitcode" "$root$pkglibdir/bitcode" 'iopool*'
    mirror "$sharedir" "$root$sharedir" extension
    mirror "$sharedir/extension" "$root$sharedir/extension" 'iopool*'
    own_by_user "$root"
    BINDIR=$root$bindir
}

# lib_make target...: in the copy of the sources, with the caller's settings
lib_make()
{
    local setting
    local -a settings=("PG_CONFIG=$PG_CONFIG")
    for setting in CC WITH_LIBURING WITH_LIBAIO WERROR COPT; do
        [[ -z ${!setting:-} ]] || settings+=("$setting=${!setting}")
    done
    # Bitcode is of no use to tests, and doubles the time to build.
    settings+=("with_llvm=${with_llvm:-no}")
    as_user make -C "$SRC" --no-print-directory -j"$(nproc)" "${settings[@]}" "$@"
}

lib_copy_sources()
{
    mkdir -p "$1"
    tar -C "$TOP" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=./.iopool-build \
        --exclude=./tmp_check --exclude=./results --exclude=./build --exclude=./bench/results -cf - . | tar -C "$1" --no-same-owner -xf -
    own_by_user "$1"
}

# lib_checkout directory: the last commit; with uncommitted changes, the files
# that git knows or would add
lib_checkout()
{
    local -a git=(git -C "$TOP" -c "safe.directory=$TOP")
    mkdir "$1"
    if [[ ! -e $TOP/.git ]]; then
        note "not a git checkout: taking the files as they are"
        lib_copy_sources "$1"
        return
    fi
    if [[ -z $("${git[@]}" status --porcelain) ]]; then
        "${git[@]}" archive HEAD | tar -C "$1" -xf -
    else
        note "uncommitted changes: taking the work tree"
        "${git[@]}" ls-files -z --cached --others --exclude-standard --deduplicate |
            while IFS= read -r -d '' file; do
                [[ ! -e $TOP/$file ]] || printf '%s\0' "$file"
            done | tar -C "$TOP" --null --verbatim-files-from --files-from=- -cf - | tar -C "$1" -xf -
    fi
    own_by_user "$1"
}

# With IOPOOL_OBJECTS, a directory, what was compiled is kept there for the next
# run with the same compiler and settings: of each part, the extension and the
# unit tests, an archive of the object files with digests of the sources that
# they were made from. The digests, and not the times of the files, tell what
# has changed since.

# lib_kept_objects part: the archive's name
lib_kept_objects()
{
    local setting
    echo "$IOPOOL_OBJECTS/$1-$({
        "$PG_CONFIG" --version --includedir-server --cc
        for setting in CC WITH_LIBURING WITH_LIBAIO WERROR COPT with_llvm; do
            echo "${!setting:-}"
        done
        cat "$SRC/Makefile" "$SRC/test/modules/iopool_unit/Makefile"
    } | sha256sum | cut -c1-12).tar"
}

# Object files from the last run, newer than all sources but those that have
# changed since one of the parts was compiled.
lib_take_objects()
{
    local part kept unchanged=$T/digests
    [[ -n ${IOPOOL_OBJECTS:-} ]] || return 0
    (cd "$SRC" && find . -type f -print0 | xargs -0 sha256sum | sort) >"$T/digests"
    for part in extension unit; do
        kept=$(lib_kept_objects "$part")
        [[ -f $kept ]] || continue
        tar -C "$SRC" --no-same-owner -xf "$kept"
        comm -12 "$unchanged" "$SRC/digests" >"$T/digests.$part"
        unchanged=$T/digests.$part
        rm "$SRC/digests"
    done
    # The time of an object file is that of its compilation.
    cut -c67- "$T/digests" | (cd "$SRC" && xargs -d '\n' touch)
    [[ $unchanged == "$T/digests" ]] || cut -c67- "$unchanged" | (cd "$SRC" && xargs -d '\n' -r touch -d @0)
    own_by_user "$SRC"
}

# lib_keep_objects part: when all of it is compiled
lib_keep_objects()
{
    local kept
    local -a where=(digests test/modules/iopool_unit)
    [[ -n ${IOPOOL_OBJECTS:-} ]] || return 0
    kept=$(lib_kept_objects "$1")
    [[ $1 == unit ]] || where=(. -path ./test -prune -o)
    mkdir -p "$IOPOOL_OBJECTS"
    cp "$T/digests" "$SRC/digests"
    (cd "$SRC" && find "${where[@]}" \( -name digests -o -name '*.o' -o -name '*.so' -o -name .iopool-build \) -print0) |
        tar -C "$SRC" --format=posix --null --files-from=- -cf "$kept.$$"
    # By rename: another run may look at the same time.
    mv "$kept.$$" "$kept"
    rm "$SRC/digests"
}

# What lib_build needs, and all that the unit tests need.
lib_prepare()
{
    shopt -s extglob
    find_pg_config || die "pg_config was not found; set PG_CONFIG"
    SRC=$T/src
    PGXSDIR=$(dirname "$("$PG_CONFIG" --pgxs)")/..
    PGXSDIR=$(cd "$PGXSDIR" && pwd)
    lib_copy_sources "$SRC"
    lib_take_objects
    lib_private_installation
}

# Builds and installs iopool into the private installation.
lib_build()
{
    lib_prepare
    if ! lib_make all >"$T/build.log" 2>&1; then
        cat "$T/build.log" >&2
        die "the build failed"
    fi
    grep -E 'warning:' "$T/build.log" >&2 || true
    lib_keep_objects extension
    if ! lib_make install DESTDIR="$T/root" >>"$T/build.log" 2>&1; then
        tail -n 30 "$T/build.log" >&2
        die "the installation failed"
    fi
    [[ -e $("$BINDIR/pg_config" --pkglibdir)/iopool.so ]] ||
        die "the copy of PostgreSQL below $T/root does not find its own files"
}

# Builds the extension that reads through the C interface, with the installed
# header, and installs it into the private installation.
lib_install_consumer()
{
    IOPOOL_INCLUDE=$("$BINDIR/pg_config" --includedir-server)
    if ! lib_make -C test/modules/iopool_consumer IOPOOL_INCLUDE="$IOPOOL_INCLUDE" install DESTDIR="$T/root" \
        >"$T/consumer.log" 2>&1; then
        cat "$T/consumer.log" >&2
        die "iopool_consumer does not compile"
    fi
    grep -E 'warning:' "$T/consumer.log" >&2 || true
}

# --------------------------------------------------------------------------
# Throw-away clusters

# lib_template: initdb, once, for all clusters of PostgreSQL's test programs.
# They copy what INITDB_TEMPLATE names since release 17; before, they get an
# initdb that does. The group may read it, which is that of all of a run's users.
lib_template()
{
    local initdb=$BINDIR/initdb
    export INITDB_TEMPLATE=$T/template
    as_user LC_ALL=C "$initdb" -D "$INITDB_TEMPLATE" -A trust --no-sync --allow-group-access >"$T/template.log" 2>&1 || {
        cat "$T/template.log" >&2
        die "initdb failed"
    }
    ! "$BINDIR/pg_config" --version | grep -qE ' (15|16)[^0-9]' || {
        mv "$initdb" "$initdb.real"
        cat >"$initdb" <<'SCRIPT'
#!/bin/sh
case "$#:$1:$3:$4:$5" in
    5:-D:-A:trust:-N | 4:-D:--no-clean:--no-sync:) exec cp -RPp "$INITDB_TEMPLATE" "$2" ;;
esac
exec "$0.real" "$@"
SCRIPT
        chmod 755 "$initdb"
    }
}

# cluster_start name [setting...]: sets PGDATA_DIR and SOCKET_DIR
cluster_start()
{
    local name=$1 setting
    shift
    PGDATA_DIR=$T/$name
    SOCKET_DIR=$T
    as_user "$BINDIR/initdb" -D "$PGDATA_DIR" -U postgres -A trust --no-sync --encoding=UTF8 --locale=C.UTF-8 \
        >"$T/$name.initdb.log" 2>&1 || {
        cat "$T/$name.initdb.log" >&2
        die "initdb failed"
    }
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$SOCKET_DIR'"
        echo "unix_socket_permissions = 0700"
        echo "shared_preload_libraries = 'iopool'"
        for setting; do
            echo "$setting"
        done
    } | as_user tee -a "$PGDATA_DIR/postgresql.conf" >/dev/null
    as_user "$BINDIR/pg_ctl" -D "$PGDATA_DIR" -l "$T/$name.log" -w -t 60 start >/dev/null || {
        cat "$T/$name.log" >&2
        die "the server did not start"
    }
}

# cluster_psql argument...: psql without the user's psqlrc; errors end it
cluster_psql()
{
    as_user "$BINDIR/psql" -X -q -h "$SOCKET_DIR" -U postgres -d postgres -v ON_ERROR_STOP=1 "$@"
}

cluster_stop()
{
    as_user "$BINDIR/pg_ctl" -D "$PGDATA_DIR" -m fast -w stop >/dev/null
}

# drop_caches file: so that the next read of it comes from the disk
drop_caches()
{
    sync "$1"
    if [[ $EUID -eq 0 ]] && { echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null; then
        return
    fi
    as_user dd if="$1" iflag=nocache count=0 status=none
}
