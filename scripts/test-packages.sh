#!/bin/bash
# test-packages.sh: make a release, build Debian packages of it, and try them ("make test-packages")
#
#   MAJORS="15 17 18 19"   PostgreSQL releases, each in the Debian release that has it (default: that of pg_config)
#   DOCKERFILE=no       leave out the steps of docker/Dockerfile
#   KEEP=1              leave the private directory behind
#
# The release is that of "make dist" in a repository of its own. Packages for
# this machine's PostgreSQL are built here by an unprivileged user, others in a
# root of scripts/roots.sh. They are installed in such roots alone, in a copy
# that is thrown away: nothing is installed into this system. Needs root. Each
# check counts; the last line reads "N passed, N failed".
set -euo pipefail

scriptdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/users.sh
. "$scriptdir/users.sh"
users_enter "$@"
# shellcheck source=scripts/lib.sh
. "$scriptdir/lib.sh"

[[ $EUID -eq 0 ]] || die "only root can make the throw-away systems that packages are tried in"
"$TOP/scripts/install-deps.sh" build roots package
lib_start
lib_share_machine
[[ ${KEEP:-} != 1 ]] || KEEP_T=files
find_pg_config || die "pg_config was not found; set PG_CONFIG"
HOST_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
# Both are Debian's places: packages of this machine are built for no other.
[[ -d /usr/lib/postgresql/$HOST_MAJOR ]] || die "$PG_CONFIG is not Debian's PostgreSQL"
read -r -a majors <<<"${MAJORS:-$HOST_MAJOR}"
passed=0
failed=0
mkdir "$T/logs"

# check title command...: leaves "ok" or "failed" in $result. Nothing here may
# be part of a condition, where the command would go on after an error.
check()
{
    local title=$1 status
    shift
    set +e
    (
        trap - EXIT HUP INT TERM
        set -e
        "$@"
    ) >"$T/logs/$title" 2>&1
    status=$?
    set -e
    if [[ $status -eq 0 ]]; then
        result=ok
        note "ok      $title"
        passed=$((passed + 1))
    else
        result=failed
        note "FAILED  $title"
        sed 's/^/    /' "$T/logs/$title" | tail -n 100
        failed=$((failed + 1))
    fi
}

# in_root name major command...: what changes in a root of that name stays for
# the next command; $T/name/tmp is /var/tmp in there
in_root()
{
    local name=$1 major=$2
    shift 2
    "$TOP/scripts/roots.sh" run "$major" "$T/$name" "$@"
}

# --------------------------------------------------------------------------
# The release

make_dist()
{
    lib_checkout "$T/tree"
    as_user_in "$T/tree" git init -q
    as_user_in "$T/tree" git add --all --force
    as_user_in "$T/tree" git -c user.name=iopool -c user.email=iopool@localhost commit -q -m release
    as_user_in "$T/tree" make --no-print-directory dist
}

# A title, and a text below it, without the headings of the changelog
notes_are_there()
{
    make -C "$T/tree" --no-print-directory release-notes | tee "$T/notes"
    [[ $(sed 2q "$T/notes") == "iopool ${release#iopool-}" ]]
    [[ $(wc -l <"$T/notes") -ge 4 ]]
    ! grep '^#' "$T/notes"
}

# All that is tracked, but for what .gitattributes leaves out, in one directory.
dist_is_complete()
{
    unzip -Z1 "$T/tree/$release.zip" | grep -v '/$' | sort >"$T/dist.has"
    as_user_in "$T/tree" git ls-files | while read -r file; do
        [[ $file == .github/* ]] || echo "$release/$file"
    done | sort >"$T/dist.wanted"
    diff -u "$T/dist.wanted" "$T/dist.has"
}

# --------------------------------------------------------------------------
# Packages

# build_packages major: into $T/build.MAJOR/tmp. The build dependencies name
# all that builds extensions for any release (-d); what is there is enough. In
# experimental, Debian does not count a release as supported yet.
build_packages()
{
    local major=$1 dir=$T/build.$1/tmp
    mkdir -p "$dir"
    # The tarball of the release is the zip archive in another format.
    unzip -q "$T/tree/$release.zip" -d "$dir"
    tar -C "$dir" -czf "$dir/iopool_${release#iopool-}.orig.tar.gz" "$release"
    if [[ $major == "$HOST_MAJOR" ]]; then
        chown -R "$RUN_USER:" "$dir"
        chmod 755 "$T/build.$major"
        as_user_in "$dir/$release" dpkg-buildpackage --no-sign -d
    else
        # shellcheck disable=SC2016 # expanded in the root
        in_root "build.$major" "$major" sh -ec '
            apt-get -q update
            apt-get -q -y --no-install-recommends install debhelper fakeroot postgresql-server-dev-all "postgresql-server-dev-$1"
            useradd --create-home builder
            chown -R builder: /var/tmp/*
            cd "/var/tmp/$0"
            setpriv --reuid=builder --regid=builder --init-groups env HOME=/home/builder PG_SUPPORTED_VERSIONS="$1" \
                dpkg-buildpackage --no-sign -d' "$release" "$major"
    fi
}

# The build goes on without the tests where it finds no way to run them.
build_was_tested()
{
    grep -E 'All [0-9]+ tests passed' "$T/logs/$1"
}

# Errors alone fail; what else lintian says can be read in the log.
lintian_is_content()
{
    as_user lintian --fail-on error --info "$T/build.$1"/tmp/iopool_*.changes
}

# Each page and file that a page links to by a relative name is there, for all
# pages but those for who has the sources.
links_lead_somewhere()
{
    local docs=$1 page target
    (cd "$docs" && find . -name '*.md' -not -path './test/*' -not -path './bench/*' -not -name internals.md) |
        while read -r page; do
            grep -o '](\([^)#]*\)' "$docs/$page" | cut -c3- | sort -u | while read -r target; do
                [[ $target == *://* || -e $docs/$(dirname "$page")/$target ]] || echo "$page: $target"
            done
        done >"$T/dangling"
    cat "$T/dangling"
    [[ ! -s $T/dangling ]]
}

# What PGXS and Debian's flags are to bring about: the scripts, both methods,
# hardening and bitcode; and the documentation.
package_is_whole()
{
    local major=$1 dir=$T/unpacked.$1 file
    local lib=$dir/usr/lib/postgresql/$1/lib share=$dir/usr/share/postgresql/$1/extension
    dpkg-deb -x "$T/build.$major/tmp/postgresql-$major-iopool"_*.deb "$dir"
    for file in "$T/tree"/sql/iopool--*.sql "$T/tree/iopool.control"; do
        cmp "$file" "$share/$(basename "$file")"
    done
    readelf --dynamic --segments --wide "$lib/iopool.so" | tee "$T/elf"
    grep -q 'NEEDED.*liburing' "$T/elf"
    grep -q 'NEEDED.*libaio' "$T/elf"
    grep -q BIND_NOW "$T/elf"
    grep -q GNU_RELRO "$T/elf"
    [[ -s $lib/bitcode/iopool.index.bc ]]
    cmp "$T/tree/README.md" "$dir/usr/share/doc/postgresql-$1-iopool/README.md"
    # iopool_check() names it; an engine does not read it compressed
    cmp "$T/tree/deploy/seccomp.json" "$dir/usr/share/doc/postgresql-$1-iopool/deploy/seccomp.json"
    links_lead_somewhere "$dir/usr/share/doc/postgresql-$1-iopool"
}

# Without the network first, which suffices as long as the root has what the
# package depends on. A package that was built here may want a later server than
# the root's, out of an archive of security updates that this system uses.
install_package()
{
    local major=$1 sources=$T/try.$1/tmp/sources
    if [[ $major == "$HOST_MAJOR" ]]; then
        mkdir "$sources"
        cp -rL /etc/apt/sources.list* "$sources"
    fi
    # shellcheck disable=SC2016 # expanded in the root
    in_root "try.$major" "$major" sh -ec '
        apt-get -q -y --no-install-recommends install /var/tmp/postgresql-*.deb || {
            [ ! -d /var/tmp/sources ] || cp -r /var/tmp/sources/* /etc/apt/
            apt-get -q update
            apt-get -q -y --no-install-recommends install /var/tmp/postgresql-*.deb
        }
        dpkg-query -W -f "\${db:Status-Status}\n" "postgresql-$0-iopool" | grep -qx installed' "$major"
}

run_package_test()
{
    in_root "try.$1" "$1" sh -ec "cd /var/tmp/$release && exec debian/tests/$2"
}

# Neither files of the package nor directories that are its own stay behind.
purge_package()
{
    # shellcheck disable=SC2016 # expanded in the root
    in_root "try.$1" "$1" sh -ec '
        dpkg -L "postgresql-$0-iopool" >/var/tmp/installed
        grep -q "/iopool\.so$" /var/tmp/installed
        dpkg -P "postgresql-$0-iopool"
        ! dpkg-query -W "postgresql-$0-iopool"
        # but for what roots.sh puts there
        left=$(find / -xdev -iname "*iopool*" -not -path "/src*" -not -path "/proc/*" -not -path "/var/tmp/*" -not -path /run/iopool)
        [ -z "$left" ] || { echo "left behind: $left"; exit 1; }' "$1"
}

try_packages()
{
    local major=$1 pg="PostgreSQL $1:"
    check "$pg source and binary packages build" build_packages "$major"
    [[ $result == ok ]] || return 0
    check "$pg what was built passes the regression tests" build_was_tested "$pg source and binary packages build"
    check "$pg lintian has no error" lintian_is_content "$major"
    check "$pg the package is whole" package_is_whole "$major"
    mkdir -p "$T/try.$major/tmp"
    cp "$T/build.$major/tmp/postgresql-$major-iopool"_*.deb "$T/try.$major/tmp/"
    unzip -q "$T/tree/$release.zip" -d "$T/try.$major/tmp"
    check "$pg the package installs" install_package "$major"
    [[ $result == ok ]] || return 0
    check "$pg the installed extension reads right, and updates" run_package_test "$major" smoke
    check "$pg the installed extension passes the regression tests" run_package_test "$major" installcheck
    check "$pg purging the package leaves nothing behind" purge_package "$major"
}

# --------------------------------------------------------------------------
# docker/Dockerfile, as far as it goes without Docker: the steps of each stage
# in a root of its own, which has Debian's server where the image has that of
# apt.postgresql.org.

# docker_steps n: the n-th stage as a shell script; the build context is
# /var/tmp/context, what other stages made is below /var/tmp/from
docker_steps()
{
    echo 'set -e; cd /'
    grep -v '^#' "$T/tree/docker/Dockerfile" | sed -e ':a' -e '/\\$/N; s/\\\n//; ta' | awk -v wanted="$1" '
        $1 == "FROM" { stage++ }
        stage != wanted { next }
        { args = substr($0, length($1) + 2) }
        $1 == "RUN" { print args }
        $1 == "WORKDIR" { print "mkdir -p " args " && cd " args }
        $1 == "COPY" && $2 ~ /^--from=/ { print "cp -a /var/tmp/from" $3 "/. " $4 }
        $1 == "COPY" && $2 !~ /^--/ {
            print "if [ -d /var/tmp/context/" $2 " ]; then cp -a /var/tmp/context/" $2 "/. " $3 \
                "; else install -D -m 644 /var/tmp/context/" $2 " " $3 "; fi" }
        $1 == "CMD" { gsub(/^\[|\]$/, "", args); gsub(/", "/, "\" \"", args); print "set -- " args }'
}

docker_build()
{
    mkdir -p "$T/docker.build/tmp" "$T/docker.final/tmp/from"
    unzip -q "$T/tree/$release.zip" -d "$T/docker.build/tmp"
    cp -a "$T/docker.build/tmp/$release" "$T/docker.final/tmp/context"
    mv "$T/docker.build/tmp/$release" "$T/docker.build/tmp/context"
    docker_steps 1 >"$T/docker.build/tmp/steps"
    in_root docker.build "$1" env "PG_MAJOR=$1" sh -x /var/tmp/steps
    cp -a "$T/docker.build/upper/stage" "$T/docker.final/tmp/from/"
}

# The image's entry point runs the command as postgres on a new cluster, after
# the scripts of docker-entrypoint-initdb.d.
docker_run()
{
    {
        docker_steps 2
        cat <<'SH'
export PGDATA=/var/tmp/data PATH="/usr/lib/postgresql/$PG_MAJOR/bin:$PATH"
install -d -m 700 -o postgres "$PGDATA" /var/run/postgresql
cd "$PGDATA"
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
as_postgres initdb --auth=trust >/dev/null
echo "listen_addresses = ''" >>"$PGDATA/postgresql.conf"
as_postgres "$@" &
as_postgres timeout 60 sh -c 'until pg_isready -q; do sleep 0.2; done'
for script in /docker-entrypoint-initdb.d/*.sql; do
    as_postgres psql -X -v ON_ERROR_STOP=1 -f "$script"
done
as_postgres psql -X -At -v ON_ERROR_STOP=1 -c "
    SELECT 'right: ' || (iopool_read_array('PG_VERSION', ARRAY[0, 1], ARRAY[2])
        = ARRAY[pg_read_binary_file('PG_VERSION', 0, 2), pg_read_binary_file('PG_VERSION', 1, 2)])"
as_postgres pg_ctl -m fast stop
SH
    } >"$T/docker.final/tmp/steps"
    in_root docker.final "$1" env "PG_MAJOR=$1" bash -x /var/tmp/steps | tee "$T/docker.out"
    grep -qx 'right: true' "$T/docker.out"
}

try_dockerfile()
{
    check "Dockerfile: the steps of the first stage build iopool" docker_build "$1"
    [[ $result == ok ]] || return 0
    check "Dockerfile: what the second stage starts reads right" docker_run "$1"
}

# --------------------------------------------------------------------------

check "make dist makes a release" make_dist
if [[ $result == ok ]]; then
    release=$(basename "$(find "$T/tree" -maxdepth 1 -name 'iopool-*.zip')" .zip)
    check "the release is complete" dist_is_complete
    check "the release has notes" notes_are_there
    "$TOP/scripts/roots.sh" make "${majors[@]}"
    for major in "${majors[@]}"; do
        try_packages "$major"
    done
    [[ ${DOCKERFILE:-} == no ]] || try_dockerfile "${majors[0]}"
fi
note "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
