"""One contestant's process. It reads a command per line and answers each by a line of JSON.

It lives through a whole pass, so what is measured is warm: imports done, free lists filled, bytecode
specialised.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import IO, Any

import suite  # noqa: F401  (registers the workloads)
from harness.contestants import Contestant, find
from harness.workload import WORKLOADS, Address, Footprint, InProcess, Served, Server

Answer = dict[str, Any]
Loop = asyncio.AbstractEventLoop


class WrongResult(Exception):
    """The workload ran, but not all of it happened."""


class Worker:
    def __init__(self, contestant: Contestant, cpus: set[int]) -> None:
        self.contestant = contestant
        self.cpus = cpus
        self.aio = contestant.import_names()
        os.sched_setaffinity(0, cpus)

    def hello(self) -> Answer:
        """Who this is. The versions and classes go into the report: they show what was really measured."""
        native = importlib.import_module(self.contestant.module)
        with self._fresh_loop() as loop:
            task = loop.run_until_complete(_task_type())
            return {
                "version": _version(self.contestant.defines),
                "loop": _qualified(type(loop)),
                "task": _qualified(task),
                "build": getattr(native, "build_profile", "unknown"),
            }

    def calibrate(self, name: str, cpu_ns: int) -> Answer:
        """How often to call the workload to spend about `cpu_ns`. The first call only warms up."""
        self.run(name, 1)
        spent: int = self.run(name, 1)["cpu_ns"]
        return {"repeats": max(1, round(cpu_ns / max(spent, 1)))}

    def run(self, name: str, repeats: int) -> Answer:
        workload = WORKLOADS[name]
        assert isinstance(workload, InProcess)
        if workload.threads:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        try:
            with self._fresh_loop() as loop:
                return _run(workload, self.aio, loop, repeats)
        finally:
            os.sched_setaffinity(0, self.cpus)

    def weigh(self, name: str) -> Answer:
        workload = WORKLOADS[name]
        assert isinstance(workload, Footprint)
        with self._fresh_loop() as loop:
            gc.collect()
            return {"bytes": loop.run_until_complete(_call(workload, self.aio, loop))}

    def serve(self, name: str, where: str, answers: IO[str]) -> Answer:
        """Serves until the driver's next command. The loop itself watches for it: no thread disturbs it."""
        workload = WORKLOADS[name]
        assert isinstance(workload, Served)
        with self._fresh_loop() as loop:
            server = loop.run_until_complete(workload.serve(self.aio, loop, Address(workload.family, where)))
            _answer(answers, {"address": _bound(server, where)})
            _run_until_readable(loop, sys.stdin.fileno())
            server.close()
        return {}

    @contextmanager
    def _fresh_loop(self) -> Iterator[Loop]:
        """A loop whose unhandled errors fail the measurement. Closing it is not measured."""
        loop = self.contestant.new_event_loop()
        errors: list[str] = []
        loop.set_exception_handler(lambda _, context: errors.append(_describe(context)))
        try:
            yield loop
            loop.run_until_complete(_settle())
        finally:
            loop.close()
        if errors:
            raise WrongResult(f"{len(errors)} unhandled errors in the loop, the first: {errors[0]}")


def _run(workload: InProcess, aio: ModuleType, loop: Loop, repeats: int) -> Answer:
    cpu_ns = wall_ns = 0
    gc.collect()
    for _ in range(repeats):
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        result = loop.run_until_complete(_call(workload, aio, loop))
        cpu_ns += time.process_time_ns() - cpu
        wall_ns += time.perf_counter_ns() - wall
        if not workload.check(result, workload.operations):
            raise WrongResult(f"not the result of {workload.operations} operations: {result!r:.60}")
    return {"cpu_ns": cpu_ns, "wall_ns": wall_ns}


async def _call(workload: InProcess | Footprint, aio: ModuleType, loop: Loop) -> object:
    return await workload.body(aio, loop, workload.operations)


def _run_until_readable(loop: Loop, fd: int) -> None:
    def stop() -> None:
        # Once: with uvloop a second stop() would end the next run.
        loop.remove_reader(fd)
        loop.stop()

    loop.add_reader(fd, stop)
    loop.run_forever()
    # uvloop makes a watched fd non-blocking and leaves it so.
    os.set_blocking(fd, True)


async def _task_type() -> type:
    return type(asyncio.current_task())


async def _settle() -> None:
    """Lets closed connections reach their protocols and handlers, within 1 s."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=1)
    await asyncio.sleep(0.005)


def _bound(server: Server, where: str) -> str:
    """The address with the port that the kernel chose."""
    if not where.endswith(":0"):
        return where
    sockets: Any = getattr(server, "sockets", ())
    host, port = sockets[0].getsockname()[:2]
    return f"{host}:{port}"


def _version(package: str) -> str:
    if package == "asyncio":
        return platform.python_version()
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # oxio built in place, as `make bench` does: it is imported but not installed.
        return str(importlib.import_module(package).__version__)


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _describe(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"


def _answer(answers: IO[str], answer: Answer) -> None:
    print(json.dumps(answer), file=answers, flush=True)


def _obey(worker: Worker, command: Answer, answers: IO[str]) -> Answer:
    match command:
        case {"do": "hello"}:
            return worker.hello()
        case {"do": "calibrate", "name": name, "cpu_ns": cpu_ns}:
            return worker.calibrate(name, cpu_ns)
        case {"do": "run", "name": name, "repeats": repeats}:
            return worker.run(name, repeats)
        case {"do": "weigh", "name": name}:
            return worker.weigh(name)
        case {"do": "serve", "name": name, "where": where}:
            return worker.serve(name, where, answers)
        case {"do": "stop"}:
            return {}
    raise ValueError(f"unknown command {command}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("label")
    parser.add_argument("--cpu", type=int, action="append", required=True)
    options = parser.parse_args()
    # What a contestant prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker: Worker | None = None
    # readline, not iteration: a read-ahead would hide the next command from the loop that serves.
    while line := sys.stdin.readline():
        try:
            worker = worker or Worker(find(options.label), set(options.cpu))
            _answer(answers, _obey(worker, json.loads(line), answers))
        except BaseException as error:  # noqa: BLE001  (a native loop's panic is a BaseException)
            _answer(answers, {"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
