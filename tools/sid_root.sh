#!/usr/bin/env bash
# Makes a Debian sid root with CPython 3.14, its headers and its test suite, for machines that have no 3.14 of their own.
#
#   tools/sid_root.sh [DIR]      prints DIR; the default is $OXIO_SID_ROOT or ~/.cache/oxio/sid
#
# Idempotent: a finished root is only named. A half-made one is removed and made again. Where it cannot be made (not
# root, no network, no debootstrap) it says so in one sentence and exits 3, so that callers can skip.
set -euo pipefail

readonly UNAVAILABLE=3
readonly PACKAGES=python3.14,python3.14-dev,python3.14-venv,libpython3.14-testsuite,ca-certificates,gcc,libc6-dev,make

dir=${1:-${OXIO_SID_ROOT:-$HOME/.cache/oxio/sid}}
ready=$dir/.oxio-ready

unavailable() {
    echo "sid_root: no Debian sid root with CPython 3.14: $1." >&2
    exit "$UNAVAILABLE"
}

# The marker is written last and names what was asked for: another list of packages means another root.
is_ready() { [[ -f $ready && $(<"$ready") == "$PACKAGES" ]]; }

if is_ready; then
    echo "$dir"
    exit 0
fi

[[ $EUID -eq 0 ]] || unavailable "making one needs root"
unshare --mount true 2>/dev/null || unavailable "this machine does not allow private mounts (unshare --mount)"

mkdir -p "$(dirname "$dir")"
log=$dir.log

# Two callers at once would write into one root.
exec 9>"$dir.lock"
flock --wait 900 9 || unavailable "another process has been making it for 15 minutes ($dir.lock)"
if is_ready; then
    echo "$dir"
    exit 0
fi

if ! command -v debootstrap >/dev/null; then
    echo "sid_root: installing debootstrap" >&2
    if ! { timeout 180 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -y --no-install-recommends debootstrap; } >"$log" 2>&1 </dev/null; then
        unavailable "debootstrap is missing and apt-get cannot install it (log: $log)"
    fi
fi

# In a mount namespace of its own: what debootstrap mounts inside (/proc) goes away with it, also when it is killed, and
# removing a half-made root can never reach through a mount.
echo "sid_root: making $dir (about a minute)" >&2
rm -rf --one-file-system "$dir" "$dir.partial"
if ! timeout 900 unshare --mount --propagation private \
    debootstrap --variant=minbase --include="$PACKAGES" sid "$dir.partial" >"$log" 2>&1 </dev/null 9>&-; then
    rm -rf --one-file-system "$dir.partial"
    unavailable "debootstrap failed, usually for want of a network (log: $log)"
fi
# Fetched packages are installed by now and would only take room.
rm -rf "$dir.partial"/var/cache/apt/archives/*.deb
echo "$PACKAGES" >"$dir.partial/.oxio-ready"
mv "$dir.partial" "$dir"
echo "$dir"
