#!/usr/bin/env bash
# An incremental backup of an unchanged tree against GNU tar's --listed-incremental, and what a snapshot costs.
# benches/increments.sh REELWARD-BINARY [FILES] [WORK-DIRECTORY]: one line for each figure. Needs room for FILES small files.
set -euo pipefail
binary=$(realpath "$1") files=${2:-100000} work=${3:-$(mktemp -d)}
tree=$work/tree state=$work/state
mkdir -p "$tree" "$state"
if [[ ! -e $work/made ]]; then
    # 30 files in each directory, 100 directories in each of those above.
    for ((n = 0; n < files; n += 30)); do
        folder=$tree/$((n / 3000))/$((n / 30 % 100))
        mkdir -p "$folder"
        for name in {01..30}; do echo "$n $name" >"$folder/document-$name.txt"; done
    done
    touch "$work/made"
    sleep 1
fi
seconds() { local start=$EPOCHREALTIME; "$@" >/dev/null; echo "$start $EPOCHREALTIME" | awk '{ printf "%.2f", $2 - $1 }'; }
rw() { "$binary" --state-dir "$state" "$@"; }
size() { stat -c %s "$state"/catalog.sqlite; }
echo "files                 $(find "$tree" -type f | wc -l)"
echo "full, reelward        $(seconds rw backup --quiet --job bench "$tree") s"
rw catalog check >/dev/null
before=$(size)
rm -f "$work/list"
echo "full, tar             $(seconds tar -cf "$work/full.tar" -g "$work/list" -C "$work" tree) s"
for run in 1 2 3; do
    cp "$work/list" "$work/list.now"
    echo "unchanged, tar        $(seconds tar -cf "$work/incremental.tar" -g "$work/list.now" -C "$work" tree) s"
    echo "unchanged, reelward   $(seconds rw backup --quiet --job bench --kind incremental "$tree") s"
done
rw catalog check >/dev/null
echo "catalog after full    $before bytes, after three increments $(size)"
