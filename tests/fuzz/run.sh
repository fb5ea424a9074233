#!/bin/sh
# Runs one fuzz target for a while: sh tests/fuzz/run.sh NAME [SECONDS]
#
# Starts from tests/fuzz/seeds/NAME; what it finds is kept in the build tree and
# used again by the next run. CV_SEED sets the seed, which is printed. A crash,
# a leak, an input that takes 5 s or an allocation of 256 MiB fails; the input is
# left in the build tree and shown in base64. Without the program: 77, skipped.
set -u
name=$1
src=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd) || exit 1
build=${CV_FUZZ_BUILD:-$src/build/fuzz}
seconds=${2:-8}
[ "${CV_FULL:-0}" = 0 ] || seconds=${2:-160}
seed=${CV_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
seed=$((seed % 2147483647))

program=$build/fuzz/${name}_fuzz
if [ ! -x "$program" ]; then
    echo "no $program: build the preset fuzz first"
    # In CI a target that is not there is a fault, not a wish.
    [ -z "${CI-}" ] || exit 1
    exit 77
fi

found=$build/corpus/$name
crashes=$build/crashes/$name
seeds=$src/tests/fuzz/seeds/$name
mkdir -p "$found" "$crashes" || exit 1
[ -d "$seeds" ] || seeds=
dict=$src/tests/fuzz/seeds/$name.dict
[ -f "$dict" ] && dict=-dict=$dict || dict=

echo "seed $seed, $seconds s (CV_SEED=$seed repeats it)"
log=$crashes/log
ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:symbolize=1 \
    "$program" -max_total_time="$seconds" -seed="$seed" -timeout=5 \
    -error_exitcode=1 -timeout_exitcode=1 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$crashes/" $dict \
    "$found" $seeds >"$log" 2>&1 </dev/null
code=$?
if [ $code != 0 ]; then
    tail -n 60 "$log"
    # Never 77, which libFuzzer says of a crash unless it is told otherwise, and
    # ctest takes for a skip.
    exit 1
fi
grep -E '^(Done|stat::number_of_executed_units|stat::peak_rss_mb)' "$log"
