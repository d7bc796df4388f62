#!/bin/sh
# Makes .venv and builds oxio into it; does only what is not done yet.
#
#   tools/setup.sh [run | test | bench]
#
# `run` installs what the example needs, `test` (the default) also what tests and lints need, `bench` also the loops to
# compare with, and builds for speed. $PYTHON chooses the interpreter; without it that of .venv is kept, or python3 taken.
# What is missing on the machine is said in one sentence, with exit code 1.
set -eu

cd "$(dirname "$0")/.."
kind=${1:-test}
minimum=3.11
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python3
    # `make test` after `make setup PYTHON=python3.13` means the interpreter that was chosen then.
    if .venv/bin/python -c '' 2>/dev/null; then
        python=.venv/bin/python
    fi
fi

fail() {
    echo "setup: $1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "there is no \`$python\`: install Python $minimum or newer, or name one with PYTHON=/path/to/python."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || fail "\`$python\` does not run: name a working Python with PYTHON=/path/to/python."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "oxio needs Python $minimum or newer and \`$python\` is $version: name another with PYTHON=/path/to/python."

# rustup puts cargo where a shell that was open before does not look.
if ! command -v cargo >/dev/null 2>&1; then
    [ -x "$HOME/.cargo/bin/cargo" ] || fail "Rust is missing (no \`cargo\`): install it from https://rustup.rs, then run make again."
    PATH=$HOME/.cargo/bin:$PATH
    export PATH
fi
command -v cc >/dev/null 2>&1 || fail "a C compiler is missing (no \`cc\`), which Rust needs to link: install gcc or clang."

# A .venv of another version is of no use. Its own version is asked of it: it may have lost its interpreter.
if [ "$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" != "$version" ]; then
    if [ -e .venv ]; then
        rm -rf .venv
    fi
    echo "setup: making .venv with Python $version"
    "$python" -m venv .venv || {
        rm -rf .venv
        fail "\`$python -m venv\` fails: install its venv module (Debian: apt install python3-venv)."
    }
fi

# install FILE: once per content of FILE. pip takes seconds even when there is nothing to do.
install() {
    stamp=.venv/$(basename "$1").done
    if ! cmp -s "$1" "$stamp"; then
        echo "setup: installing $1"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$1" || fail "pip cannot install what $1 lists: is the network there?"
        cp "$1" "$stamp"
    fi
}

install tools/requirements/run.txt
if [ "$kind" != run ]; then
    install tools/requirements/test.txt
fi
if [ "$kind" = bench ] && ! (install benchmarks/requirements.txt); then
    echo "setup: going on with the loops that are there" >&2
fi

# The package is used where it lies, so that an edit of a Python file needs no step at all.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD/python" >"$site/oxio.pth"
if [ "$kind" = bench ]; then
    .venv/bin/python tools/build.py --release
else
    .venv/bin/python tools/build.py
fi
