#!/bin/sh
# Measures certvault beside its peers: sh tests/bench/run.sh [NAME...]
#
# NAME: export, import, list, fetch, agent, sign, together, verify, report, unrecorded,
# cold_sign, log_rate, ask_rate (the record: written, and asked);
# decisions (its peer, Cedar, comes with npm); relay_commands,
# relay_signatures, relay_new, relay_pooled, relay_keepalive, relay_stream,
# relay_idle (default: all; the relay's want kubectl).
# Installs the peers (age, h2load, nginx), builds build/release and what the benches need beside it.
# Rounds are interleaved and ratios are medians of one run: absolute figures of
# a shared machine mean little. CV_ROUNDS sets the number of rounds.
set -u
src=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd) || exit 1
. "$src/cli/packages.sh"
cv_packages "$src" build demo test bench || exit 1
mkdir -p "$src/build" || exit 1
(cd "$src" && cmake --preset release && cmake --build build/release \
    -j "$(nproc)" && cmake --build build/release -j "$(nproc)" \
    --target seal_peer fetch_many sign_loop sign_callers sign_cold \
    delay_line relay_load decide_rate verify_rate prove_rate \
    log_rate ask_rate) >"$src/build/bench.log" 2>&1 ||
    { tail -n 40 "$src/build/bench.log"; exit 1; }
exec /usr/bin/python3 -B "$src/tests/bench/bench.py" "$@"
