"""What can be measured: the four kinds of workload, and the registry that a suite file adds to.

A workload proves its own result. A loop that drops callbacks or does not yield would look fast; it must fail
instead.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType
from typing import ClassVar, Protocol

Body = Callable[[ModuleType, asyncio.AbstractEventLoop, int], Awaitable[object]]
Check = Callable[[object, int], bool]


class Server(Protocol):
    """The part of asyncio.Server that a measurement needs."""

    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Address:
    family: str  # "tcp" or "unix"
    where: str  # "127.0.0.1:0", or a path


Serve = Callable[[ModuleType, asyncio.AbstractEventLoop, Address], Awaitable[Server]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """A `group` gets one more line for all its workloads together. `quick` ones run under --quick.

    A cost below `implausible` means that the operation did not happen.
    """

    quantity: ClassVar[str] = "CPU time per operation"
    unit: ClassVar[str] = "ns"
    # No call into Python costs less.
    implausible: ClassVar[float] = 10.0
    # For what hardly varies: more samples would only take time.
    most_rounds_per_pass: ClassVar[int | None] = None

    name: str
    group: str = ""
    quick: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class InProcess(Workload):
    """`body(aio, loop, operations)` runs in the contestant's loop; `check(result, operations)` is not timed.

    `threads`: the body starts threads of its own, so the process is not held on one CPU.
    """

    body: Body
    operations: int
    check: Check
    threads: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served(Workload):
    """The contestant serves the load generator. One operation is one message and its whole reply."""

    serve: Serve
    family: str
    connections: int
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footprint(Workload):
    """`body(aio, loop, operations)` makes that many things, and says by how many bytes the process grew.

    Each sample is a fresh process: memory that was used before would be used again, and growth not be seen.
    """

    quantity: ClassVar[str] = "resident memory of each"
    unit: ClassVar[str] = "bytes"
    # A coroutine that waits has at least its frame.
    implausible: ClassVar[float] = 100.0
    most_rounds_per_pass: ClassVar[int | None] = 1

    body: Body
    operations: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch(Workload):
    """A fresh interpreter runs `program(contestant)`, which must print what `proof(contestant)` says."""

    program: Callable[[str], str]
    proof: Callable[[str], str]


WORKLOADS: dict[str, Workload] = {}


def add(workload: Workload) -> None:
    if workload.name in WORKLOADS:
        raise ValueError(f"two workloads are called {workload.name}")
    WORKLOADS[workload.name] = workload


def counted(result: object, operations: int) -> bool:
    return result == operations


def in_order(result: object, operations: int) -> bool:
    return result == list(range(operations))


def in_process(
    name: str, *, operations: int, check: Check = counted, threads: bool = False, quick: bool = True
) -> Callable[[Body], Body]:
    """Registers the decorated coroutine function as a workload that counts `operations` per call."""

    def register(body: Body) -> Body:
        add(InProcess(name=name, body=body, operations=operations, check=check, threads=threads, quick=quick))
        return body

    return register


def footprint(name: str, *, operations: int) -> Callable[[Body], Body]:
    """Registers the decorated coroutine function, which returns the growth in bytes of `operations` things."""

    def register(body: Body) -> Body:
        add(Footprint(name=name, body=body, operations=operations, quick=False))
        return body

    return register


def served(
    name: str,
    *,
    families: Sequence[str],
    sizes: Sequence[int],
    connections: Sequence[int],
    quick: Sequence[int],
) -> Callable[[Serve], Serve]:
    """Registers the decorated server factory for each family, number of connections and message size.

    Under --quick only messages of the `quick` sizes are sent.
    """

    def register(serve: Serve) -> Serve:
        for family in families:
            for count in connections:
                for size in sizes:
                    add(
                        Served(
                            name=f"{name}.{family}.{format_size(size)}.c{count}",
                            group=f"{name}.{family}",
                            quick=size in quick and count == connections[0],
                            serve=serve,
                            family=family,
                            connections=count,
                            size=size,
                        )
                    )
        return serve

    return register


def format_size(size: int) -> str:
    return f"{size // 1024}KiB" if size >= 1024 else f"{size}B"
