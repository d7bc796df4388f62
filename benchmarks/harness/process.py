"""The processes that the driver talks to by lines: a worker per contestant, and the load generator."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BENCHMARKS = Path(__file__).resolve().parent.parent

# A sample takes well under a second; this is how long a contestant may hang before it is killed.
TIME_LIMIT = 30.0


class Failure(Exception):
    """This contestant has no number for this workload, and why."""


class LineProcess:
    """A child that answers each line by a line, within TIME_LIMIT."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_BENCHMARKS,
            env=environment(),
            bufsize=0,
            # Ctrl-C is for the driver, which then reports. A child ends when its stdin does.
            start_new_session=True,
        )
        self._received = b""

    def exchange(self, line: str) -> str:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise Failure(self._obituary()) from None
        return self.read_line()

    def read_line(self) -> str:
        limit = time.monotonic() + TIME_LIMIT
        while b"\n" not in self._received:
            self._received += self._read_some(limit - time.monotonic())
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()

    def _read_some(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        if not select.select([output], [], [], max(seconds, 0))[0]:
            self.kill()
            raise Failure(f"{self.name} gave no answer within {TIME_LIMIT:.0f} s")
        data = os.read(output, 65536)
        if not data:
            raise Failure(self._obituary())
        return data

    def _obituary(self) -> str:
        status = self._process.wait(TIME_LIMIT)
        return f"{self.name} died " + (f"by signal {-status}" if status < 0 else f"with status {status}")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def cpu_ns(self) -> int:
        """CPU time of all its threads so far, in nanoseconds. The clock id is clock_getcpuclockid's."""
        return time.clock_gettime_ns((~self._process.pid << 3) | 2)

    @property
    def pid(self) -> int:
        return self._process.pid

    def pin(self, cpus: set[int]) -> None:
        os.sched_setaffinity(self._process.pid, cpus)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class WorkerProcess(LineProcess):
    def __init__(self, label: str, cpus: set[int], wrapper: Sequence[str] = ()) -> None:
        pinned = [f"--cpu={cpu}" for cpu in sorted(cpus)]
        super().__init__([*wrapper, sys.executable, "-m", "harness.worker", label, *pinned], label)

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.exchange(json.dumps({"do": do, **fields})))
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def stop_serving(self) -> None:
        """Any command ends `serve`, which then has an answer of its own."""
        served = json.loads(self.exchange(json.dumps({"do": "stop"})))
        self.read_line()
        if "error" in served:
            raise Failure(served["error"])


def environment() -> dict[str, str]:
    """The caller's, without what would make asyncio slow and only asyncio."""
    slow = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC"}
    return {name: value for name, value in os.environ.items() if name not in slow}
