#!/bin/bash
# check-layers.sh: includes run downwards, and each file includes what its place allows ("make check-layers")
#
#   The folders of src/ are layers; a file includes headers of its own folder and
#   of those below. Headers that end in _internal.h are for their folder alone.
#   The kernel's headers, PostgreSQL's version and the libraries that a build has
#   are known in one place each. Prints FILE:LINE: what is wrong, and exits 1.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# From the ground up. Folders of one line do not include each other.
LAYERS='
base
ring
file
engine
sql
scan api
doctor
'

status=0
complain()
{
    echo "$1: $2"
    status=1
}

declare -A level
n=0
while read -r -a folders; do
    for folder in "${folders[@]}"; do
        level[$folder]=$n
    done
    n=$((n + 1))
done <<<"$LAYERS"

for folder in src/*/; do
    folder=$(basename "$folder")
    [[ -n ${level[$folder]:-} ]] || complain "src/$folder" "is no layer that this script knows"
done

# Every include of ours names its folder, and that folder is a layer that may be
# looked down to. src/iopool.c starts all of them.
while IFS=: read -r file line include; do
    header=${include#*\"}
    header=${header%\"*}
    from=$(basename "$(dirname "$file")")
    to=${header%%/*}
    if [[ $header == iopool_api.h ]]; then
        [[ $from == api ]] || complain "$file:$line" "only api/ includes the public header"
    elif [[ $header != */* ]] && compgen -G "src/*/$header" >/dev/null; then
        complain "$file:$line" "\"$header\" does not name its folder"
    elif [[ -n ${level[$to]:-} && -f src/$header ]]; then
        if [[ $header == *_internal.h && $from != "$to" ]]; then
            complain "$file:$line" "\"$header\" is private to $to/"
        elif [[ $from != src && $from != "$to" && ${level[$to]} -ge ${level[$from]:-0} ]]; then
            complain "$file:$line" "$from/ does not look up to $to/"
        fi
    fi
done < <(grep -rn --include='*.[ch]' '^#include "' src)

# only pattern what file...: no file below src but those named has a match
only()
{
    local pattern=$1 what=$2 file line
    local -a exclude=()
    shift 2
    for file; do
        exclude+=("--exclude=$file")
    done
    while IFS=: read -r file line _; do
        complain "$file:$line" "$what"
    done < <(grep -rn --include='*.[ch]' "${exclude[@]}" "$pattern" src)
}
only 'PG_VERSION_NUM' 'only compat.h knows versions of PostgreSQL' compat.h
only '^#include <liburing' 'only method_*.c include liburing' 'method_*.c'
only '^#include <libaio' 'only method_*.c include libaio' 'method_*.c'
only 'IOPOOL_WITH_' 'no header knows which libraries a build has' '*.c'

# A header that is named as one of the system's would be taken for it, or it for ours.
for header in src/*.h src/*/*.h; do
    [[ ! -e /usr/include/$(basename "$header") ]] || complain "$header" 'is named as a header of the system'
done

exit $status
