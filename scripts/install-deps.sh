#!/bin/bash
# install-deps.sh: install with apt what is missing to build, test or demonstrate iopool
#
#   scripts/install-deps.sh [build] [test] [roots] [demo] [bench] [ci] [docs] [package]
#
# Only what is missing is installed; with nothing missing, apt is not run. Who
# is not root is told the command. PG_CONFIG, WITH_LIBURING=no and
# WITH_LIBAIO=no are honoured: what they make needless is not asked for.
set -euo pipefail

scriptdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/pgconfig.sh
. "$scriptdir/pgconfig.sh"

DROPIN=/etc/postgresql-common/createcluster.d/zz-iopool-install-deps.conf
POLICY=/usr/sbin/policy-rc.d
wanted=" ${*:-build test} "
missing=()
server_missing=no

wants()
{
    [[ $wanted == *" $1 "* ]]
}

# need PACKAGE COMMAND...: PACKAGE is missing where COMMAND fails
need()
{
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

have()
{
    command -v "$1" >/dev/null
}

has_header()
{
    printf '#include <%s>\nint main(void) { return 0; }\n' "$1" | cc_any -x c -fsyntax-only -
}

cc_any()
{
    local cc
    cc=$(command -v gcc || command -v cc || command -v clang) || return 1
    "$cc" "$@"
}

# Outside of root's PATH it is still there.
has_pgbouncer()
{
    have pgbouncer || [[ -x /usr/sbin/pgbouncer ]]
}

has_fuse3()
{
    pkg-config --exists fuse3
}

# dh's knowledge of extensions is in a package of its own from trixie on.
has_pgxs_loop()
{
    perl -MDebian::Debhelper::Buildsystem::pgxs_loop -e1
}

# A server with its test programs and the files to build extensions.
has_server()
{
    local pgxs
    find_pg_config || return 1
    pgxs=$("$PG_CONFIG" --pgxs)
    [[ -f $pgxs && -x ${pgxs%/makefiles/*}/test/regress/pg_regress &&
        -x $("$PG_CONFIG" --bindir)/postgres && -x $("$PG_CONFIG" --bindir)/initdb &&
        -f $("$PG_CONFIG" --includedir-server)/postgres.h ]]
}

newest_server_package()
{
    local major
    # An installed server without its development files gets those of its own
    # release; otherwise the metapackage names the distribution's release.
    major=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1 | cut -d/ -f5)
    [[ -n $major ]] || major=$(apt-cache show postgresql 2>/dev/null |
        sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | sort -n | tail -n 1)
    [[ -n $major ]] && echo "$major"
}

need gcc have gcc
need libc6-dev has_header stdlib.h
need make have make
if [[ ${WITH_LIBURING:-auto} != no ]]; then
    need liburing-dev has_header liburing.h
fi
if [[ ${WITH_LIBAIO:-auto} != no ]]; then
    need libaio-dev has_header libaio.h
fi
if ! has_server; then
    server_missing=yes
fi
if wants test || wants ci; then
    need perl have prove
    need libipc-run-perl perl -MIPC::Run -e1
    need pkg-config have pkg-config
    need fuse3 have fusermount3
    need libfuse3-dev has_fuse3
    need strace have strace
    need pgbouncer has_pgbouncer
    # what makes the data of 074_examples and 075_containers
    need python3 /usr/bin/python3 -c 'import lzma, sqlite3, tarfile, wave, zipfile'
    need binutils have readelf
    need cpio have cpio
    need git have git
    need xz-utils have xz
    need e2fsprogs test -x /usr/sbin/debugfs -o -x /sbin/debugfs
    need genisoimage have genisoimage
    need libtiff-tools have raw2tiff
    need hdf5-tools have h5import
    # what 077_deploy loads profiles with; in the roots, apt depends on it
    need libseccomp2 python3 -c 'import ctypes; ctypes.CDLL("libseccomp.so.2")'
fi
if wants ci; then
    need clang have clang
    need clang-format have clang-format
    need shellcheck have shellcheck
    need binutils have nm
    # drivers that 073_drivers calls with; node-postgres is in the roots, because
    # Debian's goes with Debian's own Node.js alone
    need python3-psycopg /usr/bin/python3 -c 'import psycopg'
    need python3-psycopg2 /usr/bin/python3 -c 'import psycopg2'
    need libpostgresql-jdbc-java test -e /usr/share/java/postgresql.jar
    need default-jdk-headless have javac
    # what check-deploy asks
    need python3-yaml /usr/bin/python3 -c 'import yaml'
    need python3-kubernetes /usr/bin/python3 -c 'import kubernetes.client'
    need docker-compose have docker-compose
    need systemd have systemd-analyze
fi
if wants docs; then
    need graphviz have dot
fi
if wants package; then
    need git have git
    need unzip have unzip
    need dpkg-dev have dpkg-buildpackage
    need debhelper have dh
    need postgresql-server-dev-all has_pgxs_loop
    need lintian have lintian
fi
if wants roots; then
    need mmdebstrap have mmdebstrap
fi
if wants bench; then
    need fio have fio
    need gnuplot-nox have gnuplot
fi

# udev gives /dev/fuse this mode; where no udev runs, nobody does, and a test
# filesystem could be mounted by root alone.
open_dev_fuse()
{
    if wants test && [[ $EUID -eq 0 && -c /dev/fuse && $(stat -c %a /dev/fuse) != 666 ]]; then
        chmod 666 /dev/fuse
    fi
}

if [[ ${#missing[@]} -eq 0 && $server_missing == no ]]; then
    open_dev_fuse
    exit 0
fi

if ! have apt-get; then
    echo "install-deps: missing: ${missing[*]-} $([[ $server_missing == yes ]] && echo 'PostgreSQL with its development files')" >&2
    echo "install-deps: this system has no apt-get; install these with its own package manager," >&2
    echo "install-deps: or give PG_CONFIG=/path/to/pg_config if only PostgreSQL was not found." >&2
    exit 1
fi

if [[ $EUID -ne 0 ]]; then
    if [[ $server_missing == yes ]]; then
        major=$(newest_server_package) || major=15
        missing+=("postgresql-$major" "postgresql-server-dev-$major")
    fi
    echo "install-deps: some packages are missing. As root, run:" >&2
    echo >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    echo >&2
    exit 1
fi

apt()
{
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

# Files that last as long as this installation.
undo=()
trap 'rm -f ${undo[@]+"${undo[@]}"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A source that cannot be reached need not be the one that has the packages.
apt update >&2 || echo "install-deps: apt-get update reported errors; going on with what it fetched" >&2

if [[ $server_missing == yes ]]; then
    major=$(newest_server_package) || {
        echo "install-deps: no package postgresql-NN is available from the configured apt sources" >&2
        exit 1
    }
    missing+=("postgresql-$major" "postgresql-server-dev-$major")

    # Debian makes and starts a cluster "main" on port 5432 when a server is
    # first installed. Nobody asked for one here, so it is switched off for as
    # long as this installation lasts; clusters that exist are not affected.
    mkdir -p "$(dirname "$DROPIN")"
    undo+=("$DROPIN")
    echo 'create_main_cluster = false' >"$DROPIN"
fi

# Debian starts PgBouncer as a service when it is first installed, and with the
# machine from then on. The tests start their own; where PgBouncer was here
# before, its service is nobody's business.
if [[ " ${missing[*]} " == *" pgbouncer "* && ! -e $POLICY ]]; then
    undo+=("$POLICY")
    # 101: the action is not allowed; 0 lets everything else be started
    # shellcheck disable=SC2016 # expanded by that script
    printf '#!/bin/sh\n[ "$1" != pgbouncer ] && [ "$1" != pgbouncer.service ] || exit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
fi

echo "install-deps: installing ${missing[*]}" >&2
apt install -y --no-install-recommends "${missing[@]}" >&2
if [[ " ${missing[*]} " == *" pgbouncer "* ]]; then
    update-rc.d pgbouncer disable >&2
    # A policy that was here before may have let it start.
    service pgbouncer stop >/dev/null 2>&1 || true
fi
open_dev_fuse
