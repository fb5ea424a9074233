#!/bin/sh
# Builds certvault and runs every test: sh tests/run.sh [--full] [CTEST ARG...]
#
#   --full   the long runs: every crash point instead of a sample, fuzzing for
#            160 s a target instead of 8
#
# Installs what is missing first (as root or with sudo). Further arguments go to
# ctest: -L unit, -R scenario/export, ... Variables: CV_SEED (random tests print
# the one they used), CV_JOBS (default: the number of cores). The last lines are
# ctest's summary, the exit code is ctest's.
set -u
src=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
cd "$src" || exit 1
umask 022
PATH=$PATH:/usr/sbin:/sbin
export PATH

CV_FULL=${CV_FULL:-0}
if [ "${1-}" = --full ]; then
    CV_FULL=1
    shift
fi
CV_JOBS=${CV_JOBS:-$(nproc)}
export CV_FULL CV_JOBS

. "$src/cli/packages.sh"

step() {
    printf '== %s\n' "$*"
}

# Whether a package of that name can be had.
known() {
    apt-cache show "$1" >/dev/null 2>&1
}

# What has no one name on every release: clang's run-time library, and kubectl,
# without which the tests that need it are skipped.
optional_packages() {
    rt=libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev
    if [ -n "$(cv_packages_missing "$rt")" ] && known "$rt"; then
        cv_packages_install "$rt" || return 1
    fi
    cv_packages_kubectl ||
        echo "no kubectl: the tests that need it will be skipped"
    return 0
}

# Tokens in software. The daemons among them are the tests' own affair: where
# they were not there before, no service of the system starts them; and where a
# pcscd serves this machine, no virtual reader is put into it.
token_packages() {
    services= without=
    [ -e /usr/sbin/tpm2-abrmd ] || services="tpm2-abrmd.service"
    if [ ! -e /usr/sbin/pcscd ]; then
        services="$services pcscd.socket pcscd.service"
    elif [ -d /run/systemd/system ]; then
        without=vsmartcard-vpcd
    fi
    cv_packages_optional "$src" token $without
    cv_packages_quiet $services
}

# build PRESET [TARGET]: configures and builds build/PRESET, quietly unless it
# fails.
build() {
    step "build $1"
    mkdir -p build
    log=build/$1.log
    if cmake --preset "$1" -DCV_WERROR=ON \
        -DCMAKE_C_COMPILER_LAUNCHER="$(command -v ccache)" \
        >"$log" 2>&1 </dev/null &&
        cmake --build "build/$1" -j "$CV_JOBS" --target "${2:-all}" \
            >>"$log" 2>&1 </dev/null; then
        return 0
    fi
    tail -n 100 "$log"
    echo "build $1 failed; all of it is in $log"
    return 1
}

step packages
cv_packages "$src" build demo test || exit 1
optional_packages || exit 1
token_packages
build release || exit 1
build asan-ubsan || exit 1
build fuzz fuzz_programs || exit 1

step tests
# Half as many again: many of them wait for a card, a server or a disk.
exec ctest --test-dir build/asan-ubsan -j $((CV_JOBS + CV_JOBS / 2)) \
    --output-on-failure --no-tests=error "$@" </dev/null
