"""The native load generator: builds it, and speaks its lines. See loadgen/src/main.rs."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

from harness.process import Failure, LineProcess

_LOADGEN = Path(__file__).resolve().parent.parent / "loadgen"
_TARGET = _LOADGEN.parent.parent / ".build" / "loadgen"


@dataclasses.dataclass(frozen=True)
class Load:
    """What the client saw in one run."""

    requests: int
    nanoseconds: int
    p50: int
    p99: int


class LoadGenerator(LineProcess):
    def __init__(self, program: Path, cpus: set[int]) -> None:
        super().__init__([str(program)], "the load generator")
        self.pin(cpus)

    def open(self, family: str, address: str, connections: int, size: int) -> None:
        self._obey(f"open {family} {address} {connections} {size}")

    def run(self, milliseconds: int) -> Load:
        facts = dict(fact.split("=") for fact in self._obey(f"run {milliseconds}").split())
        return Load(**{name: int(value) for name, value in facts.items()})

    def close(self) -> None:
        self._obey("close")

    def _obey(self, line: str) -> str:
        verdict, _, text = self.exchange(line).partition(" ")
        if verdict != "ok":
            raise Failure(text)
        return text


def build() -> Path:
    """Compiles the generator, or does nothing when it is up to date."""
    if shutil.which("cargo") is None:
        raise Failure("the echo workloads need cargo, to build benchmarks/loadgen; see https://rustup.rs")
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--locked"],
        cwd=_LOADGEN,
        env={**os.environ, "CARGO_TARGET_DIR": str(_TARGET)},
        check=True,
    )
    return _TARGET / "release" / "loadgen"
