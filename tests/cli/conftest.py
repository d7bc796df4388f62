"""Runs programs in fresh interpreters, by python and by `python -m oxio`, to compare what a user sees of each."""

import dataclasses
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

# Bounds a hang, not a slow machine.
TIME_LIMIT = 60


@dataclasses.dataclass
class Outcome:
    returncode: int
    stdout: str
    stderr: str


class Folder:
    """A working directory for programs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, source: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    def run(
        self, *command: str, options: Sequence[str] = (), stdin: str = "", cwd: Path | None = None
    ) -> Outcome:
        done = subprocess.run(
            [sys.executable, *options, *command],
            check=False,
            cwd=cwd or self.path,
            input=stdin.encode(),
            capture_output=True,
            timeout=TIME_LIMIT,
        )
        return Outcome(done.returncode, _comparable(done.stdout), _comparable(done.stderr))

    def run_both(self, *command: str, options: Sequence[str] = (), stdin: str = "") -> Outcome:
        """Runs `command` by python and by oxio, and returns the outcome after checking that it is the same."""
        expected = self.run(*command, options=options, stdin=stdin)
        got = self.run("-m", "oxio", *command, options=options, stdin=stdin)
        assert got == expected
        return got

    def check(self, source: str, *, options: Sequence[str] = ()) -> str:
        """Runs `source` in a fresh interpreter, where its assertions hold, and returns what it prints."""
        self.write("check.py", source)
        done = self.run("check.py", options=options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def _comparable(output: bytes) -> str:
    return re.sub(r"\b0x[0-9a-f]+", "0x…", output.decode(errors="backslashreplace"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def check(folder: Folder) -> Callable[..., str]:
    return folder.check
