#!/usr/bin/env bash
# Runs a command inside the Debian sid root, with this project, cargo and rustup at the paths they have outside.
#
#   tools/in_sid.sh python3.14 tools/build.py
#
# All mounts live in a private mount namespace: they end with the command, however it ends. The command replaces this
# process (exec throughout), so a signal sent to this script reaches it and open descriptors pass through.
# Exits 3, after one sentence, where there can be no root (see sid_root.sh).
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [[ ${1:-} != --inside ]]; then
    root=$("$project/tools/sid_root.sh")
    exec unshare --mount --propagation private "$project/tools/in_sid.sh" --inside "$root" "$@"
fi

root=$2
shift 2

# bind PATH: shows PATH of the outside at the same place inside, if it exists.
bind() {
    local path=$1
    if [[ -d $path ]]; then
        mkdir -p "$root$path"
    elif [[ -e $path ]]; then
        mkdir -p "$(dirname "$root$path")"
        [[ -e $root$path ]] || : >"$root$path"
    else
        return 0
    fi
    mount --bind "$path" "$root$path"
}

mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
bind "$project"
bind "${CARGO_HOME:-$HOME/.cargo}"
bind "${RUSTUP_HOME:-$HOME/.rustup}"

# What a download needs here: names, trusted certificates, pip's settings and local wheels.
bind /etc/resolv.conf
bind /etc/hosts
bind /etc/ssl/certs
bind /etc/pip.conf
bind "$HOME/.config/pip"
for path in ${PIP_FIND_LINKS:-}; do
    [[ $path == /* ]] && bind "$path"
done

# Outside versions of Python mean nothing inside. TMPDIR and the working directory count only where they exist.
unset PYTHONHOME PYTHON VIRTUAL_ENV PYENV_VERSION
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8
exec chroot "$root" /bin/sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"' sh "$PWD" "$@"
