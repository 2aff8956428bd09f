#!/bin/sh
# run.sh -- from a fresh Debian 12 to a verdict: packages, model, builds, tests; ends with
# "N passed, N failed, N skipped". `sh tests/run.sh long` adds a minute of each fuzzer and 1,000 kills.
set -eu
cd "$(dirname "$0")/.."
. gateway/setup.sh

mode=${1:-usual}
case "$mode" in
usual | long) ;;
*) die "usage: sh tests/run.sh [long]" ;;
esac

install_packages $WM_PACKAGES $WM_TEST_PACKAGES
[ "$mode" = usual ] || install_packages $WM_FUZZ_PACKAGES
fetch_model
for preset in release asan tsan; do
    build_preset "$preset"
done
[ "$mode" = usual ] || build_preset fuzz
exec python3 tests/run.py "$mode"
