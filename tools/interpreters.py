"""Finds the CPythons that oxio is for: one for each of 3.11 to 3.14, with its test suite."""

import dataclasses
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SID_VERSION = "3.14"
# sid_root.sh's exit code for "cannot be made here".
UNAVAILABLE = 3

PROBE = """
import importlib.util, json, platform, sys, sysconfig
try:
    has_tests = importlib.util.find_spec("test.test_asyncio") is not None
except ImportError:
    has_tests = False
print(json.dumps({
    "executable": getattr(sys, "_base_executable", "") or sys.executable,
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "build": sys.version,
    "has_tests": has_tests,
}))
"""


@dataclasses.dataclass(frozen=True)
class Interpreter:
    command: tuple[str, ...]
    version: str
    # Tells builds of one version apart: a cached baseline belongs to one of them.
    build: str
    has_tests: bool

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"CPython {self.version} ({' '.join(os.path.relpath(c) if c.startswith(str(ROOT)) else c for c in self.command)})"


def probe(command: list[str]) -> Interpreter | None:
    """Asks the interpreter about itself. None when it does not run or is not one oxio is for."""
    try:
        done = subprocess.run(
            [*command, "-c", PROBE],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
        about = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    if about is None or about["implementation"] != "CPython" or about["free_threaded"]:
        return None
    # A pyenv shim picks a version by the working directory: keep the interpreter it picked now.
    found = Interpreter(
        (*command[:-1], about["executable"]), about["version"], about["build"], about["has_tests"]
    )
    return found if found.minor in VERSIONS else None


def sid() -> Interpreter | None:
    """CPython 3.14 from a Debian sid root, made when it is missing. None, after one sentence, when that cannot be."""
    made = subprocess.run(
        [ROOT / "tools/sid_root.sh"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=1800,
    )
    if made.returncode == UNAVAILABLE:
        return None
    made.check_returncode()
    return probe([str(ROOT / "tools/in_sid.sh"), f"python{SID_VERSION}"])


def candidates():
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    names = [os.environ.get("PYTHON"), "python3", *(f"python{version}" for version in VERSIONS)]
    for name in names:
        path = name and shutil.which(name)
        if path:
            yield path
    for version in VERSIONS:
        yield from sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python"))


def find(*, with_sid: bool = True) -> list[Interpreter]:
    """One interpreter per version, oldest version first; one with CPython's tests is preferred to one without."""
    found: dict[str, Interpreter] = {}
    for path in candidates():
        interpreter = probe([path])
        if interpreter is None:
            continue
        known = found.get(interpreter.minor)
        if known is None or (interpreter.has_tests and not known.has_tests):
            found[interpreter.minor] = interpreter
    if with_sid and not (SID_VERSION in found and found[SID_VERSION].has_tests):
        interpreter = sid()
        if interpreter is not None:
            found[SID_VERSION] = interpreter
    return [found[minor] for minor in VERSIONS if minor in found]


if __name__ == "__main__":
    for interpreter in find(with_sid="--no-sid" not in sys.argv):
        print(interpreter, "" if interpreter.has_tests else "without test.test_asyncio")
