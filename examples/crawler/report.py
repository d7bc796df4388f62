"""What a crawl has done: counted while it runs, shown as it goes, told at the end."""

import asyncio
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FAILURES_SHOWN = 5
REPAINT = 0.1  # seconds between two updates of the line on a terminal
REPORT = 2.0  # seconds between two lines in a log


@dataclass
class Report:
    """The counts of one crawl. Only touched from the loop's thread, so there is nothing to lock."""

    total: int | None = None
    """How many files there are, if that is known."""
    hashes: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of every file that was written, read back and found right."""
    size: int = 0
    """Bytes in those files."""
    retries: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """URL or path → what went wrong."""
    interrupted: bool = False
    loop: str = "none"
    started: float = 0.0
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Runs the clock during the block, and notes which loop runs it."""
        kind = type(asyncio.get_running_loop())
        self.loop = f"{kind.__module__}.{kind.__qualname__}"
        self.started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds = time.perf_counter() - self.started

    def add(self, path: str, digest: str, size: int) -> None:
        """Counts a file that is on disk and right."""
        self.hashes[path] = digest
        self.size += size

    def fail(self, what: str, why: str) -> None:
        """Counts something that is not."""
        self.failures[what] = why

    def sums(self) -> bytes:
        """The hashes, sorted, in the format of `sha256sum`."""
        paths = sorted(self.hashes, key=os.fsencode)
        return b"".join(_sum_line(self.hashes[path], os.fsencode(path)) for path in paths)

    def digest(self) -> str:
        """One hash over all paths and hashes: two runs got the same bytes if theirs are equal."""
        return hashlib.sha256(self.sums()).hexdigest()

    def table(self) -> str:
        """The table at the end."""
        rows = {
            "files": f"{len(self.hashes):,}" + (f" of {self.total:,}" if self.total is not None else ""),
            "bytes": f"{self.size:,}",
            "seconds": f"{self.seconds:.2f}",
            "retries": f"{self.retries:,}",
            "failed": f"{len(self.failures):,}",
            "loop": self.loop,
            "digest": self.digest(),
        }
        return "\n".join(f"{name:<8} {value}" for name, value in rows.items())


def _sum_line(digest: str, path: bytes) -> bytes:
    """`sha256sum` marks lines with an escaped name by a backslash in front."""
    escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != path else b""
    return mark + digest.encode() + b"  " + escaped + b"\n"


async def show_progress(report: Report) -> None:
    """Keeps the user posted until it is cancelled.

    On a terminal that is one line that changes; in a log, a new line now and then.
    """
    terminal = sys.stderr.isatty()
    try:
        while True:
            await asyncio.sleep(REPAINT if terminal else REPORT)
            line = _progress(report)
            if terminal:
                line = f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}"
            print(line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _progress(report: Report) -> str:
    files = f"{len(report.hashes):,} files"
    if report.total is not None:
        files = f"{len(report.hashes):,} of {report.total:,} files"
    seconds = time.perf_counter() - report.started
    return f"{files}, {report.size / 1e6:,.1f} MB, {report.retries:,} retries, {seconds:.1f} s"


def say(text: str) -> None:
    """One line on stderr, whatever a file name in `text` may hold."""
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    print(f"crawler: {safe}", file=sys.stderr, flush=True)


def say_all(failures: Iterable[tuple[str, str]]) -> None:
    """The first few failures, one line each, and how many more there are."""
    lines = [f"{what}: {why}" for what, why in failures]
    for line in lines[:FAILURES_SHOWN]:
        say(line)
    if len(lines) > FAILURES_SHOWN:
        say(f"and {len(lines) - FAILURES_SHOWN:,} more like these")
