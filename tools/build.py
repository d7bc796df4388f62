"""Builds the extension module for the interpreter that runs this script; prints nothing when nothing changed.

    .venv/bin/python tools/build.py              debug, into python/oxio/
    .venv/bin/python tools/build.py --release    as a wheel has it, into .build/release/python/oxio/

Cargo directly, not maturin: an edit shows after one incremental compile and one copy. Wheels are maturin's business.
Builds of several interpreters lie side by side in python/oxio/, because the file's suffix names the interpreter; each
has its own cargo target directory, because one shared by two would be rebuilt at every change of interpreter.
"""

import argparse
import filecmp
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
SOURCE = ROOT / "python/oxio"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--release", action="store_true", help="optimised, into .build/release/python")
    options = parser.parse_args()
    library = compile_extension(options.release)
    package = link_package() if options.release else SOURCE
    install(library, package / f"_oxio{sysconfig.get_config_var('EXT_SUFFIX')}")


def compile_extension(release: bool) -> pathlib.Path:
    target = BUILD / "cargo" / sysconfig.get_config_var("SOABI")
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(target),
        # The interpreter itself, not the venv's link to it: making .venv anew must not mean compiling anew.
        "PYO3_PYTHON": getattr(sys, "_base_executable", "") or sys.executable,
        # Leaves the interpreter's symbols unresolved: the extension must also load where Python is linked statically.
        "PYO3_BUILD_EXTENSION_MODULE": "1",
    }
    command = ["cargo", "build", "--quiet", "--package", "oxio-py", "--lib"]
    if release:
        command.append("--release")
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return target / ("release" if release else "debug") / "lib_oxio.so"


def link_package() -> pathlib.Path:
    """A second package directory whose Python files are links to the first's, so that both kinds of build coexist."""
    package = BUILD / "release/python/oxio"
    package.mkdir(parents=True, exist_ok=True)
    wanted = {
        entry.name: entry
        for entry in SOURCE.iterdir()
        if entry.suffix != ".so" and entry.name != "__pycache__"
    }
    for entry in package.iterdir():
        if entry.is_symlink() and entry.name not in wanted:
            entry.unlink()
    for name, entry in wanted.items():
        link = package / name
        if not link.is_symlink():
            link.symlink_to(entry)
    return package


def install(library: pathlib.Path, destination: pathlib.Path) -> None:
    if destination.exists() and filecmp.cmp(library, destination, shallow=False):
        return
    # A new file in the old one's place, never new bytes in the old file: running processes have that mapped.
    part = destination.with_suffix(".part")
    shutil.copy(library, part)
    part.replace(destination)


if __name__ == "__main__":
    main()
