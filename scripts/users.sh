# users.sh: operating-system users that are a run's own; to be sourced before lib.sh
# shellcheck shell=bash
#
# Locked memory is counted for each user, over all of its processes on the
# machine, and so is much else that a test may use up or look at. As root, a
# run therefore starts nothing as a user that somebody else may have: it claims
# a block of user ids that nobody has, and each server of it gets one.
#
# The names of these users exist in a mount namespace alone, in which the
# script runs itself anew, with an /etc/passwd and an /etc/group of its own. So
# nothing has to be removed afterwards, whatever ends the run. A block is
# claimed by a lock on a file below /run/iopool, which ends with the process;
# roots.sh shows that directory to its roots, because user ids are those of the
# machine there too.
#
# IOPOOL_USER names one user for everything instead, and who is not root runs
# everything as himself.

USERS_LOCKS=/run/iopool
# Below 65536, which is all that a container may have, and not among what
# Debian and systemd give away.
USERS_FIRST=62000
USERS_LAST=64899
USERS_BLOCK=100
# The id that the block begins with, which is the group of all of it too;
# empty where the run has no users of its own.
USERS_BASE=

# users_enter [argument...]: runs the script again in a mount namespace
users_enter()
{
    if [[ $EUID -ne 0 || -n ${IOPOOL_USER:-} ]]; then
        return
    fi
    if [[ ${IOPOOL_USERS_NAMESPACE:-} != "$$" ]]; then
        # A container may not be allowed to.
        unshare --mount true 2>/dev/null || return 0
        IOPOOL_USERS_NAMESPACE=$$ exec unshare --mount --propagation private bash "$0" "$@"
    fi
    unset IOPOOL_USERS_NAMESPACE
    users_claim || echo "no block of user ids is free; going on without users of this run's own" >&2
}

users_claim()
{
    local base
    mkdir -p "$USERS_LOCKS"
    # Descriptor 9 is the claim; as_user closes it for what it runs.
    for ((base = USERS_FIRST; base + USERS_BLOCK <= USERS_LAST + 1; base += USERS_BLOCK)); do
        exec 9>"$USERS_LOCKS/$base"
        if flock -n 9 && users_are_free "$base"; then
            USERS_BASE=$base
            users_name
            return
        fi
    done
    exec 9>&-
    return 1
}

# Nobody has the ids of the block, and no process runs with one of them, such
# as the server that a killed run left behind.
users_are_free()
{
    local last=$(($1 + USERS_BLOCK - 1)) uid
    local -a ids
    mapfile -t ids < <(seq "$1" "$last")
    # getent prints those that it finds, and fails unless that is all of them
    [[ -z $(getent passwd "${ids[@]}") && -z $(getent group "${ids[@]}") ]] || return 1
    for uid in $(stat -c %u /proc/[0-9]* 2>/dev/null); do
        [[ $uid -lt $1 || $uid -gt $last ]] || return 1
    done
}

# All of them have the name iopool, so that a cluster that one has made is as
# good as one that another has made.
users_name()
{
    local dir uid
    dir=$(mktemp -d)
    cp /etc/passwd /etc/group "$dir/"
    for ((uid = USERS_BASE; uid < USERS_BASE + USERS_BLOCK; uid++)); do
        echo "iopool:x:$uid:$USERS_BASE::/nonexistent:/bin/sh" >>"$dir/passwd"
    done
    echo "iopool:x:$USERS_BASE:" >>"$dir/group"
    mount --bind "$dir/passwd" /etc/passwd
    mount --bind "$dir/group" /etc/group
    # The mounts keep the files.
    rm -r "$dir"
}
