# shellcheck shell=bash
# The peers: GNU tar through mbuffer, with and without what we do on the way. Sourced by benches/run; the functions run in
# shells of their own (measure), so they are exported.
# shellcheck disable=SC2154

# The end of each pipe. /dev/null stands behind mbuffer only: GNU tar itself skips reading when it writes there.
peer_buffer() { mbuffer -q -m "${BUFFER_MIB}M" -s 256k -o /dev/null; }

peer_tar() { tar -C "$1" -b512 -cf - .; }

peer_plain() { peer_tar "$1" | peer_buffer; }

# pinned FUNCTION DIR: all of the pipe on one core.
pinned() {
    taskset -pc 0 $$ >/dev/null
    "$@"
}

# SHA-256 of the whole stream beside it, through a FIFO whose reader is waited for. Not sha256sum: Debian builds it without the
# CPU's SHA instructions.
peer_sha256() {
    local fifo
    fifo=$(mktemp -u)
    mkfifo "$fifo"
    openssl dgst -sha256 <"$fifo" >/dev/null &
    peer_tar "$1" | tee "$fifo" | peer_buffer
    wait $!
    rm -f "$fifo"
}

# peer_age DIR RECIPIENT
peer_age() { peer_tar "$1" | age -r "$2" | peer_buffer; }

peer_zstd() { peer_tar "$1" | zstd -q -1 -T2 -c | peer_buffer; }

# peer_extract ARCHIVE DIR [MEMBER...]
peer_extract() {
    local archive=$1 dir=$2
    shift 2
    mbuffer -q -m "${BUFFER_MIB}M" -s 256k -i "$archive" | tar -C "$dir" -b512 -xpf - "$@"
}
export BUFFER_MIB
export -f peer_buffer peer_tar peer_plain pinned peer_sha256 peer_age peer_zstd peer_extract

# SHA-256 of one core in MB/s, now.
sha256_rate() {
    openssl speed -evp sha256 -bytes 262144 -seconds 2 2>/dev/null |
        awk 'tolower($1) == "sha256" { sub(/k$/, "", $2); printf "%.0f\n", $2 / 1000 }'
}
