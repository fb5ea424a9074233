#!/bin/sh
# Every shell script parses as POSIX sh (dash is Debian's).
cd "$1" || exit 1
bad=0
for f in .ci/run cli/*.sh tests/*.sh tests/*/*.sh; do
    [ -f "$f" ] || continue
    sh -n "$f" || bad=1
done
exit $bad
