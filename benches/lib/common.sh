# shellcheck shell=bash
# Timing, medians, tables, data sets. Sourced by benches/run, which sets root, lib, work and the settings.
# shellcheck disable=SC2154

die() {
    printf 'benches/run: %s\n' "$*" >&2
    exit 1
}

need_tools() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "$tool is missing; Debian: apt-get install mbuffer age zstd openssl time"
    done
}

choose_bench_dir() {
    local free_kib=0
    if [[ -z ${BENCH_DIR:-} ]]; then
        [[ -d /dev/shm && -w /dev/shm ]] && free_kib=$(available_kib /dev/shm)
        local memory_kib
        memory_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
        ((memory_kib < free_kib)) && free_kib=$memory_kib
        if ((free_kib > 8 << 20)); then BENCH_DIR=/dev/shm/reelward-bench; else BENCH_DIR=$root/target/bench; fi
    fi
    mkdir -p "$BENCH_DIR"
    [[ $BENCH_DIR == /* ]] || BENCH_DIR=$(cd "$BENCH_DIR" && pwd)
}

available_kib() {
    df --output=avail -k "$1" | tail -1
}

# Only what this script made is removed.
cleanup() {
    rm -rf "${work:?}"
    [[ -n $KEEP ]] || rm -rf "$BENCH_DIR/small" "$BENCH_DIR/source" "$BENCH_DIR/small.key" "$BENCH_DIR/source.key"
    rmdir "$BENCH_DIR" 2>/dev/null || true
}

build_tools() {
    tools=$root/target/bench-tools
    mkdir -p "$tools"
    if [[ ! $tools/dataset -nt $lib/dataset.rs ]]; then
        rustc -O --edition 2024 -o "$tools/dataset" "$lib/dataset.rs"
    fi
    [[ -n $PEERS_ONLY ]] || ours_build
}

describe_machine() {
    printf '%s, %s cores, %s MiB memory, Linux %s\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
        "$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)" "$(uname -r)"
    printf 'small sets and states in %s, large in %s; medians of %d alternating runs\n' "$BENCH_DIR" "$BENCH_DISK" "$RUNS"
}

# dataset KIND DIR NUMBER: makes the set unless the same one is there, and reads it once into the page cache.
dataset() {
    local kind=$1 dir=$2 number=$3 key
    key="$number $(cksum <"$lib/dataset.rs")"
    if [[ ! -d $dir || $(cat "$dir.key" 2>/dev/null) != "$key" ]]; then
        printf 'making the %s set in %s\n' "$kind" "$dir"
        rm -rf "$dir"
        "$tools/dataset" "$kind" "$dir" "$number"
        # Writing back dirty pages would fall into the first measurements.
        sync -f "$dir"
        printf '%s\n' "$key" >"$dir.key"
    fi
    tar -C "$dir" -cf - . | cat >/dev/null
}

count_files() { find "$1" -type f | wc -l; }
count_bytes() { find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }

# The results: seconds, CPU seconds and peak KiB of each run, by the contestant's name.
declare -A wall=() cpu=() rss=()
# What a contestant wrote, in bytes, where that says something (compression).
declare -A stored=()

# measure NAME FUNCTION [ARG...]: times one run of an exported function in its own shell.
# Wall clock by bash (microseconds); CPU seconds of all children and the peak RSS of the largest by GNU time.
measure() {
    local name=$1 start end user system peak
    shift
    start=$EPOCHREALTIME
    if ! /usr/bin/time -q -f '%U %S %M' -o "$work/time" bash -euo pipefail -c '"$@"' bash "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        die "$name failed"
    fi
    end=$EPOCHREALTIME
    read -r user system peak <"$work/time"
    wall[$name]+=" $(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.4f", b - a }')"
    cpu[$name]+=" $(awk -v a="$user" -v b="$system" 'BEGIN { printf "%.2f", a + b }')"
    rss[$name]+=" $peak"
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 }
        END { if (NR % 2) print v[(NR + 1) / 2]; else print (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# spread NUMBER...: lowest-highest
spread() {
    printf '%s\n' "$@" | sort -g | awk 'NR == 1 { low = $1 } { high = $1 } END { printf "%.2f-%.2f", low, high }'
}

# calc EXPRESSION [FORMAT]
calc() { awk "BEGIN { printf \"${2:-%.2f}\", $1 }"; }

# shellcheck disable=SC2086 # the lists are numbers
wall_of() { median ${wall[$1]}; }

# rows TITLE UNIT AMOUNT GIB NAME...: a table of contestants; the rate is AMOUNT a second, CPU is per GIB.
rows() {
    local title=$1 unit=$2 amount=$3 gib=$4 name seconds
    shift 4
    printf '\n%s\n' "$title"
    printf '  %-34s %12s %9s %13s %9s %9s %12s\n' contestant "$unit" 'median s' 'spread s' 'CPU s/GiB' 'RSS MiB' 'stored/read'
    for name in "$@"; do
        [[ -n ${wall[$name]:-} ]] || continue
        seconds=$(wall_of "$name")
        # shellcheck disable=SC2086
        printf '  %-34s %12s %9s %13s %9s %9s %12s\n' "$name" "$(calc "$amount / $seconds" %.0f)" "$(calc "$seconds" %.3f)" \
            "$(spread ${wall[$name]})" "$(calc "$(median ${cpu[$name]}) / $gib")" "$(calc "$(median ${rss[$name]}) / 1024" %.0f)" \
            "$(if [[ -n ${stored[$name]:-} ]]; then calc "${stored[$name]} / ($gib * 1073741824)" %.3f; else echo -; fi)"
    done
}

# fastest NAME...: the one with the lowest median.
fastest() {
    local name
    for name in "$@"; do
        [[ -n ${wall[$name]:-} ]] && printf '%s\t%s\n' "$(wall_of "$name")" "$name"
    done | sort -g | head -1 | cut -f2
}

# goal WHAT OURS PEER AT_LEAST: how many times as fast as the peer ours is.
goal() {
    local what=$1 ours=$2 peer=$3 least=$4
    [[ -n ${wall[$ours]:-} && -n ${wall[$peer]:-} ]] || return 0
    goal_line "$what" "$(calc "$(wall_of "$peer") / $(wall_of "$ours")")" '>=' "$least" x
}

# goal_line WHAT VALUE RELATION GOAL UNIT
goal_line() {
    local met
    met=$(awk -v v="$2" -v g="$4" -v r="$3" 'BEGIN { print ((r == ">=" ? v >= g : v <= g) ? "reached" : "MISSED") }')
    printf '  %-62s %8s%-4s goal %s %s%-4s %s\n' "$1" "$2" "$5" "$3" "$4" "$5" "$met"
}
