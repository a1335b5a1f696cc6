#!/bin/bash
# roots.sh: small Debian systems with other releases of PostgreSQL, as folders
#
#   scripts/roots.sh make MAJOR...            make the roots that are missing; needs root and a Debian mirror
#   scripts/roots.sh run MAJOR DIR COMMAND... run COMMAND in a root, in a copy of it that ends with the command
#   scripts/roots.sh path MAJOR               where the root lies
#   scripts/roots.sh list                     the releases that there is a recipe for
#
#   IOPOOL_ROOTS=/var/cache/iopool-roots      where roots are kept between runs
#
# A root is made by mmdebstrap from the mirror that apt is configured with. Its
# name carries a digest of the recipe, so a changed recipe makes a new root. A
# release that is not out yet comes from Debian's experimental, which changes
# under the same names: once a day, "make" asks the archive whether it has
# another version, and then makes the root anew.
#
# "run" puts a writable layer in DIR over the root, which itself stays as it
# was made; /var/tmp inside is DIR/tmp, a plain directory of the host's
# filesystem, and a copy of this source tree lies in /src. Mounts and processes
# live in namespaces of their own and are gone when the command ends.
#
# MAJOR may be NN+assert: the root of NN with one more PostgreSQL in it, which
# takes the place of Debian's for "pg_config". It is built from Debian's source
# (two minutes on two processors) with assertions and injection points. Its
# memory contexts tell AddressSanitizer which bytes are free (memcheck.h), whose
# runtime it is linked with; only what is compiled with -fsanitize=address
# looks. What is kept is a layer that "run" puts over the root of NN.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOTS=${IOPOOL_ROOTS:-/var/cache/iopool-roots}

# Debian's release that carries a major version of PostgreSQL
declare -A SUITES=([15]=bookworm [17]=trixie [18]=forky [18+assert]=forky [19]=sid)
# What has to be added to it, because that alone has the server.
declare -A ADDED=([19]=experimental)

PACKAGES=gcc,libc6-dev,make,perl,libipc-run-perl,liburing-dev,libaio-dev,libssl-dev,pkg-config
PACKAGES+=,fuse3,libfuse3-dev,strace,pgbouncer,ca-certificates
# drivers that 073_drivers calls with
PACKAGES+=,python3-psycopg,python3-psycopg2,node-pg
# what makes the data of 074_examples and 075_containers
PACKAGES+=,python3,cpio,git,xz-utils,e2fsprogs,genisoimage,libtiff-tools,hdf5-tools
# and what the examples need that not every release has
declare -A MORE_PACKAGES=([18]=",postgresql-18-pgvector")

die()
{
    printf 'roots.sh: %s\n' "$*" >&2
    exit 1
}

suite_of()
{
    [[ -n ${SUITES[$1]:-} ]] || die "there is no recipe for PostgreSQL $1"
    echo "${SUITES[$1]}"
}

# The digest is that of whatever decides what is in a root.
root_path()
{
    local suite digest
    suite=$(suite_of "$1")
    digest=$({
        declare -f make_root unpack_server_dev
        echo "$PACKAGES${MORE_PACKAGES[$1]:-}"
        [[ -z ${ADDED[$1]:-} ]] || declare -f archives_of prefer_added
        [[ $1 != *+assert ]] || { declare -f make_layer build_assert; cat "$TOP/scripts/memcheck.h"; }
    } | sha256sum | cut -c1-12)
    echo "$ROOTS/$suite-$1-$digest"
}

mirror()
{
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(SITE) $(RELEASE)' 2>/dev/null |
        awk '$2 !~ /security/ { print $1; exit }'
}

# What mmdebstrap is told to make a root from, one a line
archives_of()
{
    mirror
    [[ -z ${ADDED[$1]:-} ]] || echo "deb $(mirror) ${ADDED[$1]} main"
}

# In the root, before it has any packages: the added archive is for the server,
# its libraries and tools, and nothing else.
prefer_added()
{
    local root=$1 major=$2
    printf '%s\n' "Package: src:postgresql-$major src:postgresql-common" \
        "Pin: release a=${ADDED[$major]}" "Pin-Priority: 990" >"$root/etc/apt/preferences.d/postgresql"
}

# Does an archive that changes have another server by now than the root? Where
# it does not answer, no.
is_outdated()
{
    local major=$1 root dir status=0
    root=$(root_path "$major")
    [[ -n ${ADDED[$major]:-} && -z $(find "$root" -maxdepth 0 -mmin -1440) ]] || return 1
    dir=$(mktemp -d "$ROOTS/new-$(suite_of "$major")-$major.XXXXXX")
    bash "$TOP/scripts/roots.sh" run "$major" "$dir" sh -ec "
        apt-get -q update
        apt-get -s install --only-upgrade postgresql-$major | grep '^Inst postgresql-$major '" >"$dir/log" 2>&1 || status=1
    rm -rf --one-file-system "$dir"
    touch "$root"
    return "$status"
}

# Development files without the compiler that their package depends on: they
# want 150 MB of clang and LLVM for bitcode, which no test uses.
unpack_server_dev()
{
    local root=$1 major=$2
    mkdir "$root/var/tmp/dev"
    chroot "$root" sh -c "cd /var/tmp/dev &&
        apt-get -o APT::Sandbox::User=root download postgresql-server-dev-$major &&
        dpkg -x postgresql-server-dev-*.deb / && rm -rf /var/tmp/dev"
}

# shellcheck disable=SC2016 # mmdebstrap gives the root to its hooks as $1
make_root()
{
    local major=$1 suite root new
    local -a archives added=()
    suite=$(suite_of "$major")
    root=$(root_path "$major")
    [[ ! -d $root ]] || is_outdated "$major" || return 0
    mapfile -t archives < <(archives_of "$major")
    [[ -z ${ADDED[$major]:-} ]] ||
        added=(--setup-hook="bash '$TOP/scripts/roots.sh' prefer-added \"\$1\" $major")

    # Only a complete root gets the name under which it is looked for.
    new=$(mktemp -d "$ROOTS/new-$suite-$major.XXXXXX")
    if ! mmdebstrap --quiet --mode=root --variant=minbase --components=main \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
        --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
        --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/no-main.conf"' \
        --include="$PACKAGES,postgresql-$major${MORE_PACKAGES[$major]:-}" ${added[@]+"${added[@]}"} \
        --customize-hook="bash '$TOP/scripts/roots.sh' unpack-server-dev \"\$1\" $major" \
        "$suite" "$new/root" "${archives[@]}" >"$new/log" 2>&1; then
        tail -n 40 "$new/log" >&2
        rm -rf --one-file-system "$new"
        die "the root for PostgreSQL $major could not be made"
    fi
    # mmdebstrap leaves the directory to root alone.
    chmod 755 "$new/root"
    # the archive was asked now
    touch "$new/root"
    [[ ! -d $root ]] || mv -T "$root" "$new/old"
    mv -T "$new/root" "$root"
    rm -rf --one-file-system "$new"
}

# The layer of NN+assert: what build_assert installs in the root of NN.
make_layer()
{
    local name=$1 layer new major=${1%+*}
    layer=$(root_path "$name")
    [[ ! -d $layer ]] || return 0

    new=$(mktemp -d "$ROOTS/new-$(suite_of "$name")-$name.XXXXXX")
    if ! ASSERT_SOURCE="deb-src $(mirror) $(suite_of "$name") main" bash "$TOP/scripts/roots.sh" run "$major" "$new" \
        bash scripts/roots.sh build-assert "$major" >"$new/log" 2>&1; then
        tail -n 40 "$new/log" >&2
        rm -rf --one-file-system "$new"
        die "PostgreSQL $major with assertions could not be built"
    fi
    mv -T "$new/tmp/layer" "$layer"
    rm -rf --one-file-system "$new"
}

# In the root of NN: build the server, and leave it in /var/tmp/layer.
build_assert()
{
    local prefix=/usr/local/pgsql layer=/var/tmp/layer
    echo "$ASSERT_SOURCE" >/etc/apt/sources.list.d/source.list
    apt-get -q update
    apt-get -q install -y bison flex bzip2
    mkdir -p /var/tmp/build /usr/local/include/valgrind
    cp scripts/memcheck.h /usr/local/include/valgrind/
    ln -s memcheck.h /usr/local/include/valgrind/valgrind.h
    cd /var/tmp/build
    apt-get -q -o APT::Sandbox::User=root source --download-only "postgresql-$1"
    tar --strip-components=1 -xf postgresql-*.orig.tar.*
    ./configure --quiet --prefix="$prefix" --enable-cassert --enable-debug --enable-tap-tests --enable-injection-points \
        --with-liburing --without-icu --without-readline --without-zlib \
        CFLAGS=-O1 CPPFLAGS=-DUSE_VALGRIND LDFLAGS_EX_BE=-fsanitize=address,undefined
    make -s -j"$(nproc)"
    make -s install DESTDIR="$layer"
    make -s -C src/test/modules/injection_points install DESTDIR="$layer"
    # It is the first in PATH, where Debian has none.
    mkdir "$layer/usr/local/bin"
    ln -s "$prefix/bin/pg_config" "$layer/usr/local/bin/pg_config"
    chmod 755 "$layer"
}

make_roots()
{
    local major pid status=0
    local -a pids=() plain=()
    [[ $EUID -eq 0 ]] || die "only root can make roots"
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing; scripts/install-deps.sh roots installs it"
    [[ -n $(mirror) ]] || die "apt names no mirror to make roots from"
    for major; do
        suite_of "$major" >/dev/null
        [[ " ${plain[*]-} " == *" ${major%+*} "* ]] || plain+=("${major%+*}")
    done

    mkdir -p "$ROOTS"
    # One at a time: two runs that miss the same root would both make it.
    exec 9>"$ROOTS/lock"
    flock 9
    remove_stale "${plain[@]}" "$@"
    for major in "${plain[@]}"; do
        make_root "$major" 9>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || status=1
    done
    for major; do
        [[ $major != *+* || $status -ne 0 ]] || (make_layer "$major" 9>&-) || status=1
    done
    exec 9>&-
    return "$status"
}

# Roots of an older recipe, and what an interrupted run left.
remove_stale()
{
    local major old
    for major; do
        for old in "$ROOTS/${SUITES[$major]}-$major"-* "$ROOTS/new-${SUITES[$major]}-$major".*; do
            [[ ! -d $old || $old == "$(root_path "$major")" ]] || rm -rf --one-file-system "$old"
        done
    done
}

run_in_root()
{
    local major=$1 dir=$2 root
    root=$(root_path "$major")
    shift 2
    [[ -d $root ]] || die "there is no root for PostgreSQL $major; scripts/roots.sh make $major makes it"
    [[ $major != *+* ]] || root+=:$(root_path "${major%+*}")
    mkdir -p "$dir/upper" "$dir/work" "$dir/root" "$dir/tmp"
    chmod 1777 "$dir/tmp"
    exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        bash "$TOP/scripts/roots.sh" enter "$root" "$dir" "$@"
}

# In the namespaces: the mounts, then the command.
enter()
{
    local lower=$1 dir=$2 root=$2/root node
    shift 2
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$dir/upper,workdir=$dir/work" "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for node in null zero full random urandom tty fuse; do
        [[ ! -c /dev/$node ]] || cp -a "/dev/$node" "$root/dev/$node"
    done
    chmod 666 "$root"/dev/*
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    mount --bind "$dir/tmp" "$root/var/tmp"
    # Claims of user ids, see users.sh, are those of the machine.
    mkdir -p /run/iopool "$root/run/iopool"
    mount --bind /run/iopool "$root/run/iopool"
    mkdir -p "$root/src"
    tar -C "$TOP" --exclude=./.git -cf - . | tar -C "$root/src" --no-same-owner -xf -

    # Names resolve as outside, where a command wants the network.
    [[ ! -e /etc/resolv.conf ]] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TZ=UTC HOME=/root
    unset PG_CONFIG TMPDIR
    # Not exec: the first process of a PID namespace has to reap orphans.
    chroot "$root" sh -c 'cd /src && exec "$@"' sh "$@"
}

case ${1:-} in
    make) make_roots "${@:2}" ;;
    run) run_in_root "${@:2}" ;;
    path) root_path "$2" ;;
    list) printf '%s\n' "${!SUITES[@]}" | sort -n ;;
    enter) enter "${@:2}" ;;
    build-assert) build_assert "$2" ;;
    unpack-server-dev) unpack_server_dev "${@:2}" ;;
    prefer-added) prefer_added "${@:2}" ;;
    *) die "usage: roots.sh make MAJOR... | run MAJOR DIR COMMAND... | path MAJOR | list" ;;
esac
