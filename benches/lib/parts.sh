# shellcheck shell=bash
# The parts of benches/run, with the goals beside what is measured.
# shellcheck disable=SC2154

gib_of() { calc "$1 / 1073741824" %.6f; }

# Room for the data, its headers, and what encryption adds.
capacity_for() { calc "$1 * 1.5 + 8589934592" %.0f; }

age_recipient() {
    [[ -s $work/age.key ]] || age-keygen -o "$work/age.key" 2>/dev/null
    age-keygen -y "$work/age.key"
}

part_large() {
    local dir=$BENCH_DISK/large run rates=() recipient bytes gib capacity
    local memory_mib
    memory_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    ((LARGE_MIB * 4 < memory_mib)) ||
        printf 'warning: the large set (%d MiB) does not fit the page cache (%d MiB): the disk is measured\n' $((LARGE_MIB * 4)) "$memory_mib"
    dataset large "$dir" "$LARGE_MIB"
    recipient=$(age_recipient)
    bytes=$(count_bytes "$dir")
    gib=$(gib_of "$bytes")
    capacity=$(capacity_for "$bytes")
    for ((run = 0; run < RUNS; run++)); do
        rates+=("$(sha256_rate)")
        ours large:reelward "$dir" "$capacity"
        measure 'large:tar|mbuffer' peer_plain "$dir"
        measure 'large:tar|mbuffer, pinned' pinned peer_plain "$dir"
        measure 'large:tar|mbuffer with SHA-256' peer_sha256 "$dir"
        ours 'large:reelward, age' "$dir" "$capacity" --encrypt-to "$recipient"
        measure 'large:tar|age|mbuffer' peer_age "$dir" "$recipient"
        ours 'large:reelward, zstd 1' "$dir" "$capacity" --compress zstd:1
        measure 'large:tar|zstd -1 -T2|mbuffer' peer_zstd "$dir"
    done
    stored['large:tar|zstd -1 -T2|mbuffer']=$(tar -C "$dir" -b512 -cf - . | zstd -q -1 -T2 -c | wc -c)
    local core
    core=$(median "${rates[@]}")
    rows "large: 4 files, $(calc "$gib" %.2f) GiB; one core's SHA-256 in the same run: $core MB/s" 'MB/s' "$(calc "$bytes / 1e6" %.3f)" "$gib" \
        large:reelward 'large:tar|mbuffer' 'large:tar|mbuffer, pinned' 'large:tar|mbuffer with SHA-256' \
        'large:reelward, age' 'large:tar|age|mbuffer' 'large:reelward, zstd 1' 'large:tar|zstd -1 -T2|mbuffer'
    [[ -z $PEERS_ONLY ]] || return 0
    goal_line "share of one core's SHA-256 rate" "$(calc "100 * $bytes / 1e6 / $(wall_of large:reelward) / $core" %.0f)" '>=' 90 ' %'
    goal 'against tar|mbuffer over both cores, without a hash' large:reelward 'large:tar|mbuffer' 1.4
    goal 'against tar|mbuffer with SHA-256' large:reelward 'large:tar|mbuffer with SHA-256' 2.2
    goal 'age-encrypted, against tar|age|mbuffer' 'large:reelward, age' 'large:tar|age|mbuffer' 2.0
    goal 'zstd 1, against tar|zstd -1 -T2|mbuffer' 'large:reelward, zstd 1' 'large:tar|zstd -1 -T2|mbuffer' 1.3
    resources large:reelward "$gib"
}

# resources NAME GIB: the goals on CPU and memory.
resources() {
    # shellcheck disable=SC2086
    [[ $1 != large:* ]] || goal_line 'CPU seconds per GiB' "$(calc "$(median ${cpu[$1]}) / $2")" '<=' 1.0 ' s'
    # shellcheck disable=SC2086
    goal_line "peak RSS beyond the buffer of $BUFFER_MIB MiB" "$(calc "$(median ${rss[$1]}) / 1024 - $BUFFER_MIB" %.0f)" '<=' 64 ' MiB'
}

# many_files PART DIR GOAL
many_files() {
    local part=$1 dir=$2 least=$3 run files bytes gib capacity best
    files=$(count_files "$dir")
    bytes=$(count_bytes "$dir")
    gib=$(gib_of "$bytes")
    capacity=$(capacity_for "$bytes")
    for ((run = 0; run < RUNS; run++)); do
        ours "$part:reelward" "$dir" "$capacity"
        measure "$part:tar|mbuffer" peer_plain "$dir"
        measure "$part:tar|mbuffer, pinned" pinned peer_plain "$dir"
        measure "$part:tar|mbuffer with SHA-256" peer_sha256 "$dir"
    done
    rows "$part: $files files, $(calc "$gib" %.2f) GiB" 'files/s' "$files" "$gib" \
        "$part:reelward" "$part:tar|mbuffer" "$part:tar|mbuffer, pinned" "$part:tar|mbuffer with SHA-256"
    [[ -z $PEERS_ONLY ]] || return 0
    best=$(fastest "$part:tar|mbuffer" "$part:tar|mbuffer, pinned")
    goal "against ${best#*:} (the peer at its best), without a hash" "$part:reelward" "$best" "$least"
    resources "$part:reelward" "$gib"
}

part_small() {
    dataset small "$BENCH_DIR/small" "$SMALL_COUNT"
    many_files small "$BENCH_DIR/small" 2.0
}

part_source() {
    dataset source "$BENCH_DIR/source" "$SOURCE_COUNT"
    many_files source "$BENCH_DIR/source" 2.5
}

part_catalog() {
    printf '\ncatalog: benches/catalog.rs\n'
    # shellcheck disable=SC2086 # several arguments
    cargo bench --locked --bench catalog -- ${CATALOG_ARGS:-}
}

# Restore of all, and of the last file, on the same file system as the peer's archive.
part_restore() {
    local dir=$BENCH_DIR/small target=$work/restored archive=$work/peer.tar run files bytes gib last
    dataset small "$dir" "$SMALL_COUNT"
    files=$(count_files "$dir")
    bytes=$(count_bytes "$dir")
    gib=$(gib_of "$bytes")
    last=$(find "$dir" -type f | LC_ALL=C sort | tail -1)
    tar -C "$dir" -b512 -cf "$archive" .
    if [[ -z $PEERS_ONLY ]]; then
        ours_prepare "$work/state" "$(capacity_for "$bytes")"
        ours_backup "$work/state" "$dir" >/dev/null
    fi
    for ((run = 0; run < RUNS; run++)); do
        [[ -n $PEERS_ONLY ]] || restore_once restore:reelward ours_restore "$work/state" "$target"
        restore_once 'restore:mbuffer|tar x' peer_extract "$archive" "$target"
        [[ -n $PEERS_ONLY ]] || restore_once 'one file:reelward' ours_restore "$work/state" "$target" "$last"
        restore_once 'one file:mbuffer|tar x' peer_extract "$archive" "$target" "./${last#"$dir"/}"
    done
    rm -rf "$work/state" "$archive"
    rows "restore: $files files, $(calc "$gib" %.2f) GiB, on $BENCH_DIR" 'files/s' "$files" "$gib" restore:reelward 'restore:mbuffer|tar x'
    rows 'restore of the last file alone' 'files/s' 1 "$gib" 'one file:reelward' 'one file:mbuffer|tar x'
    [[ -z $PEERS_ONLY ]] || return 0
    goal 'restore of all, against mbuffer|tar x' restore:reelward 'restore:mbuffer|tar x' 1.5
    goal_line 'restore of one file' "$(calc "1000 * $(wall_of 'one file:reelward')" %.0f)" '<=' 50 ' ms'
}

# restore_once NAME FUNCTION FROM TARGET [MEMBER]: into an empty target each time.
restore_once() {
    rm -rf "$target"
    mkdir -p "$target"
    measure "$@"
    [[ -n $(find "$target" -type f -print -quit) ]] || die "$1 restored nothing"
    rm -rf "$target"
}
