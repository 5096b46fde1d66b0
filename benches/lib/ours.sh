# shellcheck shell=bash
# How our binary is called: the one place to change when the command line does. Sourced by benches/run.
# shellcheck disable=SC2154

# The first cartridge of a fresh virtual library, and its drive.
OURS_BARCODE=${OURS_BARCODE:-}

ours_build() {
    if [[ -z ${REELWARD_BIN:-} ]]; then
        cargo build --release --locked
        REELWARD_BIN=$root/target/release/reelward
    fi
    [[ -x $REELWARD_BIN ]] || die "REELWARD_BIN=$REELWARD_BIN is not executable"
    export REELWARD_BIN BUFFER_MIB
}

# ours_prepare STATE BYTES [--discard]: a fresh state directory with a labelled cartridge that takes BYTES. Not timed.
ours_prepare() {
    local state=$1 capacity=$2 label
    shift 2
    rm -rf "$state"
    mkdir -p "$state"
    label=(--state-dir "$state" tape label)
    [[ -z $OURS_BARCODE ]] || label+=("$OURS_BARCODE")
    {
        "$REELWARD_BIN" virtual create "$state/library" --drives 1 --slots 4 --cartridges 2 --generation LTO-9 \
            --capacity "$capacity" --state-dir "$state" "$@"
        "$REELWARD_BIN" "${label[@]}"
    } >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "the virtual library could not be made"
    }
}

# ours_backup STATE DIR [OPTION...]
ours_backup() {
    local state=$1 dir=$2
    shift 2
    "$REELWARD_BIN" backup "$dir" --state-dir "$state" --buffer "$BUFFER_MIB" "$@"
}

# ours_restore STATE TARGET [PATTERN]
ours_restore() {
    local state=$1 target=$2
    shift 2
    "$REELWARD_BIN" restore --state-dir "$state" --to "$target" "$@"
}
export -f ours_backup ours_restore

# ours NAME DIR CAPACITY [OPTION...]: one timed backup on a cartridge that discards.
ours() {
    local name=$1 dir=$2 capacity=$3
    shift 3
    [[ -z $PEERS_ONLY ]] || return 0
    ours_prepare "$work/state" "$capacity" --discard
    measure "$name" ours_backup "$work/state" "$dir" "$@"
    rm -rf "$work/state"
}
