"""The harness must not be fooled: not by skipped work, not by noise, not by a figure that cannot be."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

import suite  # noqa: F401  (registers the workloads)
from harness import compare, report, rounds
from harness.compare import Verdict
from harness.contestants import Contestant, find
from harness.process import Failure, WorkerProcess
from harness.rounds import Field, Plan, Result, Sample
from harness.worker import Worker, WrongResult
from harness.workload import WORKLOADS, Footprint, InProcess, Launch, Workload

CPUS = os.sched_getaffinity(0)
IN_PROCESS = [name for name, workload in WORKLOADS.items() if isinstance(workload, InProcess)]


def plan(*labels: str) -> Plan:
    return Plan(labels=labels, rounds=2, passes=1, sample_ms=1, cpus=(CPUS, CPUS), loadgen=None, seed=0)


def result(name: str = "area.work", group: str = "", **costs: list[float]) -> Result:
    rows = zip(*costs.values(), strict=True)
    samples = [{label: Sample(cost, cost) for label, cost in zip(costs, row, strict=True)} for row in rows]
    return Result(Workload(name=name, group=group), rounds=samples)


def make_report(*results: Result) -> report.Report:
    return report.Report(results, ["uvloop", "oxio"], "oxio", {"cpu": "1 x test"}, {}, {}, {"rounds": 3})


# Statistics


def test_a_drifting_machine_does_not_change_a_ratio() -> None:
    drifting = result(uvloop=[200, 400, 800, 1600], oxio=[100, 200, 400, 800])
    ratio = compare.ratio(drifting, "oxio", "uvloop")
    assert ratio == compare.Ratio(2, 2, 2)
    assert ratio.verdict is Verdict.FASTER


def test_a_spread_that_covers_one_is_no_difference() -> None:
    noisy = result(uvloop=[100, 100, 100, 100], oxio=[80, 90, 110, 120])
    ratio = compare.ratio(noisy, "oxio", "uvloop")
    assert ratio is not None
    assert ratio.verdict is Verdict.SAME
    assert report.format_ratio(ratio).startswith("no difference [")


def test_few_rounds_must_all_agree() -> None:
    mostly_faster = result(uvloop=[100] * 6, oxio=[101, 80, 80, 80, 80, 80])
    ratio = compare.ratio(mostly_faster, "oxio", "uvloop")
    assert ratio is not None
    assert ratio.verdict is Verdict.SAME


def test_a_loss_is_printed_with_its_name() -> None:
    text = report.as_text(make_report(result("area.lost", uvloop=[100, 100], oxio=[200, 200])))
    assert "0.50x [0.50 0.50]" in text
    assert "oxio is slower than uvloop in: area.lost" in text


def test_a_group_with_a_failed_member_has_no_mean() -> None:
    good = result(uvloop=[100, 100], oxio=[50, 50])
    failed = result(uvloop=[100, 100], oxio=[50, 50])
    mean = compare.group_ratio([good, failed], "oxio", "uvloop")
    assert mean is not None
    assert mean.median == pytest.approx(2)
    failed.fail("oxio", "died")
    assert compare.group_ratio([good, failed], "oxio", "uvloop") is None


def test_a_failure_shows_in_both_tables_and_takes_its_samples_away() -> None:
    failed = result(uvloop=[100, 100], oxio=[1, 1])
    failed.fail("oxio", "lost 3 callbacks")
    for render in (report.as_text, report.as_markdown):
        text = render(make_report(failed))
        assert "oxio failed area.work: lost 3 callbacks" in text
        assert "1 ns" not in text


# Contestants that cheat


@pytest.mark.parametrize("name", IN_PROCESS)
def test_asyncio_does_the_whole_workload(name: str) -> None:
    spent = Worker(find("asyncio"), CPUS).run(name, 1)
    assert spent["cpu_ns"] > 0


class Dropping(asyncio.SelectorEventLoop):
    """Loses one callback of a thousand."""

    def call_soon(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        return self._drop(super().call_soon(*args, **options), args)

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        return self._drop(super().call_soon_threadsafe(*args, **options), args)

    def _drop(self, handle: asyncio.Handle, args: tuple[Any, ...]) -> asyncio.Handle:
        if 500 in args:
            handle.cancel()
        return handle


class Uncancellable(asyncio.SelectorEventLoop):
    """Its timers fire although they were cancelled."""

    def call_later(self, delay: float, *args: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        super().call_later(delay, *args, **options)
        return super().call_later(delay, lambda: None)


class Complaining(asyncio.SelectorEventLoop):
    """Something goes wrong in a callback, and the result is right all the same."""

    def create_future(self) -> asyncio.Future[Any]:
        self.call_soon(lambda: 1 / 0)
        return super().create_future()


async def hurried_sleep(delay: float) -> None:
    """Does not give the loop a turn."""


class Unbounded(asyncio.Queue[Any]):
    """Never holds a producer back."""

    def full(self) -> bool:
        return False


class Open:
    """A lock that excludes nobody and a semaphore that counts nothing; it gives the others a turn."""

    def __init__(self, value: int = 1) -> None: ...

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)

    async def __aexit__(self, *details: object) -> None: ...


class Unfair(asyncio.Lock):
    """The last who asks is the first who gets it."""

    def _wake_up_first(self) -> None:
        for waiter in reversed(self._waiters or ()):  # type: ignore[attr-defined]
            if not waiter.done():
                waiter.set_result(True)
                return


class AlwaysSet(asyncio.Event):
    async def wait(self) -> bool:  # type: ignore[override]
        return True


class Forgetful(asyncio.Condition):
    """wait() gives the others a turn and returns, notified or not."""

    async def wait(self) -> bool:  # type: ignore[override]
        self.release()
        await asyncio.sleep(0)
        await self.acquire()
        return True


class Ajar(asyncio.Barrier):
    """Lets everybody through at once."""

    async def wait(self) -> int:
        return 0


class Abandoning(asyncio.TaskGroup):
    """Does not wait for its tasks."""

    async def __aexit__(self, *details: object) -> None: ...


async def first_of_all(awaitables: Any, **options: Any) -> Any:
    """Says all are done when one is."""
    done, pending = await asyncio.wait(awaitables, return_when=asyncio.FIRST_COMPLETED)
    return done | pending, set()


async def unlimited(awaitable: Any, timeout: float) -> Any:
    return await awaitable


class Unlimited(asyncio.Timeout):
    def __init__(self, delay: float) -> None:
        super().__init__(None)


async def unordered(*awaitables: Any) -> list[Any]:
    return [*reversed(await asyncio.gather(*awaitables))]


def first_in_first_out(*args: Any) -> Any:
    return asyncio.Queue(*args)


@dataclasses.dataclass(frozen=True)
class Cheat(Contestant):
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
    instead: dict[str, Any] = dataclasses.field(default_factory=dict)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop()

    def import_names(self) -> types.ModuleType:
        names = types.ModuleType("names")
        names.__dict__.update(vars(asyncio), **self.instead)
        return names


@pytest.mark.parametrize(
    ("name", "tricks"),
    [
        ("callbacks.call_soon", {"loop": Dropping}),
        ("callbacks.threadsafe_same_thread", {"loop": Dropping}),
        ("callbacks.threadsafe_other_thread", {"loop": Dropping}),
        ("timers.call_later_cancel", {"loop": Uncancellable}),
        ("tasks.step", {"instead": {"sleep": hurried_sleep}}),
        ("tasks.step_1000_tasks", {"instead": {"sleep": hurried_sleep}}),
        ("tasks.step_10_frames_deep", {"instead": {"sleep": hurried_sleep}}),
        ("tasks.future_wakeup", {"loop": Complaining}),
        ("primitives.queue_100", {"instead": {"Queue": Unbounded}}),
        ("primitives.queue_rendezvous", {"instead": {"Queue": Unbounded}}),
        ("primitives.priority_queue", {"instead": {"PriorityQueue": first_in_first_out}}),
        ("primitives.lock_uncontended", {"instead": {"Lock": Open}}),
        ("primitives.bounded_semaphore_uncontended", {"instead": {"BoundedSemaphore": Open}}),
        ("primitives.semaphore_3", {"instead": {"Semaphore": Open}}),
        ("primitives.lock_10_tasks", {"instead": {"Lock": Unfair}}),
        ("primitives.lock_100_tasks", {"instead": {"Lock": Open}}),
        ("primitives.event_ping_pong", {"instead": {"Event": AlwaysSet}}),
        ("primitives.event_100_waiters", {"instead": {"Event": AlwaysSet}}),
        ("primitives.condition_notify", {"instead": {"Condition": Forgetful}}),
        ("primitives.barrier_10", {"instead": {"Barrier": Ajar}}),
        ("combinators.gather_1000", {"instead": {"gather": unordered}}),
        ("combinators.gather_100_futures", {"instead": {"gather": unordered}}),
        ("combinators.task_group_100", {"instead": {"TaskGroup": Abandoning}}),
        ("combinators.wait_first_of_10", {"instead": {"wait": first_of_all}}),
        ("combinators.shield", {"instead": {"shield": asyncio.ensure_future}}),
        ("combinators.wait_for_ready", {"instead": {"wait_for": unlimited}}),
        ("combinators.wait_for_one_turn", {"instead": {"sleep": hurried_sleep}}),
        ("combinators.timeout_one_turn", {"instead": {"sleep": hurried_sleep}}),
        ("combinators.timeout_one_turn", {"instead": {"timeout": Unlimited}}),
    ],
)
def test_a_cheat_gets_no_number(name: str, tricks: dict[str, Any]) -> None:
    cheat = Cheat("cheat", "asyncio", "asyncio", **tricks)
    # A task that was not waited for has no result to ask for.
    with pytest.raises((WrongResult, asyncio.InvalidStateError)):
        # Whether two threads meet so that a wrong order shows is chance: not every run catches the cheat between them.
        for _ in range(5 if "thread" in name else 1):
            Worker(cheat, CPUS).run(name, 1)


class Lying(asyncio.SelectorEventLoop):
    """Takes the eager factory and makes lazy tasks."""

    def create_task(self, coroutine: Any, **options: Any) -> Any:
        return asyncio.Task(coroutine, loop=self)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12 brought eager tasks")
def test_a_lazy_loop_has_no_number_among_the_eager() -> None:
    with pytest.raises(RuntimeError, match="does not run tasks eagerly"):
        Worker(Cheat("cheat", "asyncio", "asyncio", loop=Lying), CPUS).run("trees.eager_none", 1)


FOOTPRINTS = [name for name, workload in WORKLOADS.items() if isinstance(workload, Footprint)]


class Instant(asyncio.SelectorEventLoop):
    """Its tasks are done at once."""

    def create_task(self, coroutine: Any, **options: Any) -> Any:
        if coroutine.__name__ != "wait":
            return super().create_task(coroutine, **options)
        coroutine.close()
        done = self.create_future()
        done.set_result(None)
        return done


@pytest.mark.parametrize("name", FOOTPRINTS)
def test_a_footprint_is_that_of_things_alive(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a thousand: in a process that is not fresh, how much they take says nothing."""
    few = dataclasses.replace(WORKLOADS[name], operations=1_000)  # type: ignore[call-arg]
    monkeypatch.setitem(WORKLOADS, name, few)
    assert Worker(find("asyncio"), CPUS).weigh(name)["bytes"] >= 0
    assert Worker(Cheat("cheat", "asyncio", "asyncio", loop=Instant), CPUS).weigh(name)["bytes"] == -1


async def _elsewhere(*arguments: object) -> int:
    raise AssertionError("the worker has a body of its own")


def test_a_footprint_is_taken_once_a_pass_in_a_fresh_process() -> None:
    outcome = Result(Footprint(name="memory.pending_task", body=_elsewhere, operations=100_000))
    field = Field(plan("asyncio"))
    try:
        before = field.worker("asyncio").pid
        rounds.measure(outcome, field, 5, random.Random(0))
        assert field.worker("asyncio").pid != before
    finally:
        field.close()
    (row,) = outcome.rounds
    assert 500 < row["asyncio"].cost < 1500
    text = report.as_text(report.Report([outcome], ["asyncio"], "asyncio", {}, {}, {}, {}))
    assert "memory: resident memory of each" in text
    assert " bytes ±" in text


def test_a_contestant_that_installs_does_so_before_its_names_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    package = types.ModuleType("package")
    package.__dict__["install"] = lambda: calls.append("install")
    monkeypatch.setitem(sys.modules, "package", package)
    assert Contestant("x", "package", "package", names="package", installs=True).import_names() is package
    assert calls == ["install"]


def test_a_loop_of_another_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretender = types.ModuleType("pretender")
    pretender.__dict__["new_event_loop"] = asyncio.new_event_loop
    monkeypatch.setitem(sys.modules, "pretender", pretender)
    with pytest.raises(RuntimeError, match="made a loop of asyncio"):
        Contestant("pretender", "pretender", "pretender").new_event_loop()


class CannedMeter:
    """Gives the costs it is told to."""

    def __init__(self, **costs: float) -> None:
        self.costs = costs

    def prepare(self, label: str) -> None: ...

    def sample(self, label: str) -> Sample:
        return Sample(self.costs[label], self.costs[label])

    def finish(self, label: str) -> None: ...


def test_an_implausible_figure_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "meter_for", lambda workload, field: CannedMeter(uvloop=100, oxio=3))
    outcome = Result(Workload(name="area.work"))
    field = Field(plan("uvloop", "oxio"))
    rounds.measure(outcome, field, 2, random.Random(0))
    field.close()
    assert outcome.failures["oxio"].startswith("implausible: 3.0 ns")
    assert [set(row) for row in outcome.rounds] == [{"uvloop"}, {"uvloop"}]


# Processes


def test_a_dead_worker_is_a_failure_and_is_replaced() -> None:
    field = Field(plan("asyncio"))
    try:
        worker = field.worker("asyncio")
        worker.kill()
        with pytest.raises(Failure, match="asyncio died by signal 9"):
            worker.ask("hello")
        assert field.worker("asyncio").ask("hello")["task"] == "_asyncio.Task"
    finally:
        field.close()


def test_a_contestant_that_is_not_installed_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WorkerProcess, "ask", lambda self, do: _absent(self.name))
    found, missing = rounds.greet(plan("uvloop"))
    assert (found, missing) == ({}, {"uvloop": "No module named 'uvloop'"})


def _absent(name: str) -> dict[str, Any]:
    raise Failure(f"No module named '{name}'")


def test_a_program_that_prints_something_else_is_a_failure() -> None:
    liar = Launch(name="area.liar", program=lambda label: "print('other')", proof=lambda label: label)
    field = Field(plan("asyncio"))
    try:
        with pytest.raises(Failure, match=r"printed 'other.*not 'asyncio'"):
            rounds.LaunchMeter(liar, field).sample("asyncio")
    finally:
        field.close()
