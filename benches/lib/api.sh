# shellcheck shell=bash
# The API under load, against a bare hyper server. Sourced by benches/run.
# shellcheck disable=SC2154

# wrk_once URL TOKEN: requests a second, p50 and p99 in ms, and what was not answered with 2xx.
wrk_once() {
    wrk -t1 -c64 -d"${API_SECONDS:-5}s" --latency -H "Authorization: Bearer $2" "$1" | awk '
        function ms(text) { return text ~ /us$/ ? text / 1000 : text ~ /ms$/ ? text + 0 : text * 1000 }
        /^ +50%/ { p50 = ms($2) } /^ +99%/ { p99 = ms($2) } /Requests\/sec/ { rate = $2 }
        /Non-2xx/ { bad = $NF } END { printf "%d %.2f %.2f %d\n", rate, p50, p99, bad }'
}

# median of the numbers of one column
column_median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

part_api() {
    command -v wrk >/dev/null && command -v curl >/dev/null || die "wrk or curl is missing; Debian: apt-get install wrk curl"
    local state=$work/api address token bare_address bare_token run rss started pid bare
    rm -rf "$state"
    cargo bench --locked --no-run --bench bare_hyper 2>/dev/null
    local peer
    peer=$(cargo bench --locked --no-run --bench bare_hyper 2>&1 | sed -n 's/.*(\(.*bare_hyper-[0-9a-f]*\)).*/\1/p' | tail -1)
    printf '[api]\nsign_in_limit = 0\nread_limit = 0\nwrite_limit = 0\n' >"$work/api.toml"
    "$REELWARD_BIN" serve --state-dir "$state" --listen 127.0.0.1:0 --config "$work/api.toml" --json >"$work/api.out" 2>"$work/api.err" &
    pid=$!
    until grep -q '^}' "$work/api.out" 2>/dev/null; do sleep 0.02; done
    started=$(awk -F'[ ,]+' '/"milliseconds"/ { print $3 }' "$work/api.out")
    sleep 1
    rss=$(awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/$pid/status")
    address=$(sed -n 's/.*"\(http:[^"]*\)".*/\1/p' "$work/api.out" | head -1)
    token=$(sed -n 's/.*"setup_token": "\(.*\)".*/\1/p' "$work/api.out")
    curl -sf -o /dev/null -H 'Content-Type: application/json' "$address/api/v1/setup" \
        -d "{\"token\":\"$token\",\"username\":\"admin\",\"password\":\"bench bench bench\"}"
    token=$(curl -sf -H 'Content-Type: application/json' "$address/api/v1/auth/login" \
        -d '{"username":"admin","password":"bench bench bench"}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
    for run in $(seq 50); do
        curl -sf -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$address/api/v1/tapes" \
            -d "{\"barcode\":\"B$(printf %04d "$run")L9\",\"label\":\"BENCH-$run\",\"capacity_bytes\":18000000000000}"
    done
    curl -sf -H "Authorization: Bearer $token" "$address/api/v1/tapes" >"$work/api.body"
    "$peer" "$work/api.body" >"$work/bare.out" &
    bare=$!
    until [[ -s $work/bare.out ]]; do sleep 0.02; done
    read -r bare_address bare_token <"$work/bare.out"
    printf '\napi: GET /api/v1/tapes (50 tapes, %s bytes), 64 connections, JWT; against bare hyper with the same JWT\n' \
        "$(stat -c %s "$work/api.body")"
    : >"$work/api.ours"; : >"$work/api.bare"
    for run in $(seq "$RUNS"); do
        wrk_once "$address/api/v1/tapes" "$token" >>"$work/api.ours"
        wrk_once "http://$bare_address/api/v1/tapes" "$bare_token" >>"$work/api.bare"
    done
    local o b
    o=$(cut -d' ' -f1 "$work/api.ours" | column_median) b=$(cut -d' ' -f1 "$work/api.bare" | column_median)
    printf '  ours %s requests/s, p50 %s ms, p99 %s ms; bare %s requests/s, p99 %s ms; ratio %s (goal 0.80)\n' "$o" \
        "$(cut -d' ' -f2 "$work/api.ours" | column_median)" "$(cut -d' ' -f3 "$work/api.ours" | column_median)" "$b" \
        "$(cut -d' ' -f3 "$work/api.bare" | column_median)" "$(awk "BEGIN { printf \"%.2f\", $o / $b }")"
    printf '  not 2xx: %s\n' "$(awk '{ n += $4 } END { print n + 0 }' "$work/api.ours")"
    kill "$bare"
    # While a backup runs: one connection asks all the time.
    mkdir -p "$work/api-data"
    head -c $((512 << 20)) /dev/urandom >"$work/api-data/file"
    local pool source job
    post() { curl -sf -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$address/api/v1/$1" -d "$2"; }
    id() { sed 's/^{"id":\([0-9]*\).*/\1/'; }
    pool=$(post pools '{"name":"BENCH"}' | id)
    source=$(post sources "{\"name\":\"bench\",\"source_type\":\"local\",\"path\":\"$work/api-data\"}" | id)
    job=$(post jobs "{\"name\":\"bench\",\"source_id\":$source,\"pool_id\":$pool,\"backup_type\":\"full\"}" | id)
    post "jobs/$job/run" '{}' >/dev/null
    wrk -t1 -c1 -d3s --latency -H "Authorization: Bearer $token" "$address/api/v1/tapes" |
        awk '/^ +50%/ { p50 = $2 } /^ +99%/ { p99 = $2 } END { printf "  while a backup runs: p50 %s, p99 %s (goal 2ms)\n", p50, p99 }'
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    printf '  start to ready %s ms (goal 100), idle %s MiB RSS (goal 20), binary %s MiB (goal 12)\n' "$started" "$rss" \
        "$(($(stat -c %s "$REELWARD_BIN") / 1048576))"
}
