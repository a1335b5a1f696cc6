# pgconfig.sh: find pg_config; sourced by lib.sh and install-deps.sh
# shellcheck shell=bash

# Sets PG_CONFIG, with the same order of search as the Makefile.
find_pg_config()
{
    if [[ -n ${PG_CONFIG:-} ]]; then
        PG_CONFIG=$(command -v "$PG_CONFIG") || return 1
    elif ! PG_CONFIG=$(command -v pg_config); then
        PG_CONFIG=$(find /usr/lib/postgresql -path '*/bin/pg_config' 2>/dev/null | sort -V | tail -n 1)
        [[ -n $PG_CONFIG ]] || return 1
    fi
    # On Debian a pg_config without any server package answers for libpq alone.
    "$PG_CONFIG" --pgxs >/dev/null 2>&1
}
