#!/bin/sh
# demo.sh -- from a fresh Debian 12 to a chat in the browser: packages, model, build, `wingman demo`.
# With --build it stops before the demo. Other arguments go to `wingman demo`.
set -eu
cd "$(dirname "$0")/.."
. gateway/setup.sh

install_packages $WM_PACKAGES
fetch_model
build_preset release wingman
if [ "${1:-}" = "--build" ]; then
    say "ready: build/release/wingman and $WM_MODEL"
    exit 0
fi
exec build/release/wingman demo --model "$WM_MODEL" "$@"
