"""Passes and rounds: who is measured when.

A *sample* is some tens of milliseconds of one contestant. A *round* is one sample of each, in random order,
within about two seconds: short enough that the machine is the same for all, so a ratio is taken within a
round. A *pass* goes through all workloads with fresh processes: luck in the layout of memory lasts as long as
a process, so it is drawn anew, and a slow minute of the machine does not fall on one workload alone.
"""

from __future__ import annotations

import dataclasses
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from harness.load import LoadGenerator
from harness.process import TIME_LIMIT, Failure, WorkerProcess, environment
from harness.workload import Footprint, InProcess, Launch, Served, Workload

# The first replies of fresh connections are not measured: buffers and kernel windows grow to their size.
_WARM_UP_MS = 8


@dataclasses.dataclass(frozen=True)
class Sample:
    """Per operation. `cost` is in the workload's unit; CPU time is that of the contestant's process only."""

    cost: float
    wall_ns: float | None = None
    p50_ns: int | None = None
    p99_ns: int | None = None


@dataclasses.dataclass
class Result:
    """`rounds[i][label]` are samples of the same two seconds. A contestant that failed has none."""

    workload: Workload
    rounds: list[dict[str, Sample]] = dataclasses.field(default_factory=list)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)

    def fail(self, label: str, reason: str) -> None:
        self.failures[label] = reason
        for row in self.rounds:
            row.pop(label, None)


@dataclasses.dataclass(frozen=True)
class Plan:
    labels: Sequence[str]
    rounds: int
    passes: int
    sample_ms: int
    cpus: tuple[set[int], set[int]]  # of the measured process; of the load generator
    loadgen: Path | None
    seed: int


class Field:
    """The processes of one pass. A worker that died or hung is replaced before the next workload.

    `wrapper` is a command that the workers run under, such as valgrind's.
    """

    def __init__(self, plan: Plan, wrapper: Sequence[str] = ()) -> None:
        self.plan = plan
        self._wrapper = wrapper
        self._workers: dict[str, WorkerProcess] = {}
        self._load: LoadGenerator | None = None
        self.directory = tempfile.TemporaryDirectory(prefix="oxio-bench-")

    def worker(self, label: str) -> WorkerProcess:
        worker = self._workers.get(label)
        if worker is None or not worker.alive:
            worker = self._workers[label] = WorkerProcess(label, self.plan.cpus[0], self._wrapper)
        return worker

    @property
    def load(self) -> LoadGenerator:
        if self._load is None or not self._load.alive:
            assert self.plan.loadgen is not None
            self._load = LoadGenerator(self.plan.loadgen, self.plan.cpus[1])
        return self._load

    def replace(self, label: str) -> None:
        if label in self._workers:
            self._workers.pop(label).kill()

    def close(self) -> None:
        for process in [*self._workers.values(), self._load]:
            if process is not None:
                process.kill()
        self.directory.cleanup()


class Meter(Protocol):
    """How one kind of workload is measured. Each step may raise Failure."""

    def prepare(self, label: str) -> None: ...
    def sample(self, label: str) -> Sample: ...
    def finish(self, label: str) -> None: ...


class InProcessMeter:
    def __init__(self, workload: InProcess, field: Field) -> None:
        self.workload, self.field = workload, field
        self.repeats: dict[str, int] = {}

    def prepare(self, label: str) -> None:
        cpu_ns = self.field.plan.sample_ms * 1_000_000
        answer = self.field.worker(label).ask("calibrate", name=self.workload.name, cpu_ns=cpu_ns)
        self.repeats[label] = answer["repeats"]

    def sample(self, label: str) -> Sample:
        repeats = self.repeats[label]
        spent = self.field.worker(label).ask("run", name=self.workload.name, repeats=repeats)
        operations = repeats * self.workload.operations
        return Sample(spent["cpu_ns"] / operations, spent["wall_ns"] / operations)

    def finish(self, label: str) -> None:
        pass


class ServedMeter:
    """All contestants listen during all rounds; who is not being measured is idle and costs nothing."""

    def __init__(self, workload: Served, field: Field) -> None:
        self.workload, self.field = workload, field
        self.addresses: dict[str, str] = {}

    def prepare(self, label: str) -> None:
        path = Path(self.field.directory.name) / f"{label}.sock"
        path.unlink(missing_ok=True)
        where = "127.0.0.1:0" if self.workload.family == "tcp" else str(path)
        answer = self.field.worker(label).ask("serve", name=self.workload.name, where=where)
        self.addresses[label] = answer["address"]

    def sample(self, label: str) -> Sample:
        try:
            return self._load(label)
        except Failure as failure:
            raise Failure(f"{failure}{self._server_side(label)}") from None

    def _server_side(self, label: str) -> str:
        """The server's own account of a failure that the client saw."""
        try:
            self.finish(label)
        except Failure as failure:
            return f" ({failure})"
        return ""

    def _load(self, label: str) -> Sample:
        workload, load, worker = self.workload, self.field.load, self.field.worker(label)
        load.open(workload.family, self.addresses[label], workload.connections, workload.size)
        load.run(_WARM_UP_MS)
        before = worker.cpu_ns()
        seen = load.run(self.field.plan.sample_ms)
        cpu_ns = worker.cpu_ns() - before
        load.close()
        if seen.requests < workload.connections:
            raise Failure(f"only {seen.requests} replies on {workload.connections} connections")
        return Sample(cpu_ns / seen.requests, seen.nanoseconds / seen.requests, seen.p50, seen.p99)

    def finish(self, label: str) -> None:
        self.field.worker(label).stop_serving()


class LaunchMeter:
    def __init__(self, workload: Launch, field: Field) -> None:
        self.workload, self.field = workload, field

    def prepare(self, label: str) -> None:
        # The first run writes the .pyc files and fills the page cache.
        self.sample(label)

    def sample(self, label: str) -> Sample:
        cpu, wall = _children_cpu_ns(), time.perf_counter_ns()
        outcome = subprocess.run(
            [sys.executable, "-c", self.workload.program(label)],
            cwd=self.field.directory.name,
            env=environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
        )
        cpu, wall = _children_cpu_ns() - cpu, time.perf_counter_ns() - wall
        if outcome.returncode != 0:
            raise Failure(outcome.stderr.strip().rpartition("\n")[2] or f"exit status {outcome.returncode}")
        if outcome.stdout.strip() != self.workload.proof(label):
            raise Failure(f"printed {outcome.stdout!r:.60}, not {self.workload.proof(label)!r}")
        return Sample(cpu, wall)

    def finish(self, label: str) -> None:
        pass


class FootprintMeter:
    def __init__(self, workload: Footprint, field: Field) -> None:
        self.workload, self.field = workload, field

    def prepare(self, label: str) -> None:
        pass

    def sample(self, label: str) -> Sample:
        self.field.replace(label)
        answer = self.field.worker(label).ask("weigh", name=self.workload.name)
        self.field.replace(label)
        return Sample(answer["bytes"] / self.workload.operations)

    def finish(self, label: str) -> None:
        pass


def _children_cpu_ns() -> int:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((usage.ru_utime + usage.ru_stime) * 1e9)


def meter_for(workload: Workload, field: Field) -> Meter:
    match workload:
        case InProcess():
            return InProcessMeter(workload, field)
        case Served():
            return ServedMeter(workload, field)
        case Footprint():
            return FootprintMeter(workload, field)
        case Launch():
            return LaunchMeter(workload, field)
    raise TypeError(f"no meter for {type(workload).__name__}")


def greet(plan: Plan) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Starts every contestant once: who is there, with versions, and why the others are not."""
    found, missing = {}, {}
    field = Field(plan)
    try:
        for label in plan.labels:
            try:
                found[label] = field.worker(label).ask("hello")
            except Failure as failure:
                missing[label] = str(failure)
    finally:
        field.close()
    return found, missing


def run(plan: Plan, results: Sequence[Result], progress: Callable[[int, Result], None]) -> None:
    """Fills `results`, pass by pass."""
    chance = random.Random(plan.seed)
    for number in range(plan.passes):
        rounds = plan.rounds // plan.passes + (number < plan.rounds % plan.passes)
        field = Field(plan)
        try:
            for result in results:
                measure(result, field, rounds, chance)
                progress(number, result)
        finally:
            field.close()


def measure(result: Result, field: Field, rounds: int, chance: random.Random) -> None:
    meter = meter_for(result.workload, field)
    labels = [label for label in field.plan.labels if label not in result.failures]
    racing = [label for label in labels if _attempt(result, field, label, meter.prepare)]
    for _ in range(min(rounds, result.workload.most_rounds_per_pass or rounds)):
        row: dict[str, Sample] = {}
        result.rounds.append(row)
        for label in chance.sample(racing, len(racing)):
            _attempt(result, field, label, partial(_record, meter, result.workload, row))
        racing = [label for label in racing if label not in result.failures]
    for label in racing:
        _attempt(result, field, label, meter.finish)


def _attempt(result: Result, field: Field, label: str, step: Callable[[str], None]) -> bool:
    try:
        step(label)
    except (Failure, subprocess.TimeoutExpired) as failure:
        result.fail(label, str(failure))
        field.replace(label)
        return False
    return True


def _record(meter: Meter, workload: Workload, row: dict[str, Sample], label: str) -> None:
    sample = meter.sample(label)
    if sample.cost < workload.implausible:
        raise Failure(
            f"implausible: {sample.cost:.1f} {workload.unit} per operation, below {workload.implausible:.0f}"
        )
    row[label] = sample
