"""What a task that waits costs in memory, its coroutine included. The lists that hold the tasks are not counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

from harness.machine import resident_bytes
from harness.workload import footprint

Loop = asyncio.AbstractEventLoop

# Some tens of megabytes: the interpreter takes memory by the megabyte.
_MANY = 100_000


async def _weigh(
    aio: ModuleType, loop: Loop, operations: int, wait: Callable[[int], Any], wake: Callable[[], object]
) -> int:
    """By how much the process grew when `operations` tasks waited. `wake` must end them all, with their numbers."""
    tasks: list[Any] = [*range(operations)]
    before = resident_bytes()
    for number in range(operations):
        tasks[number] = loop.create_task(wait(number))
    await aio.sleep(0)
    grown = resident_bytes() - before
    if any(task.done() for task in tasks):
        return -1
    wake()
    return grown if await aio.gather(*tasks) == [*range(operations)] else -1


@footprint("memory.pending_task", operations=_MANY)
async def pending_task(aio: ModuleType, loop: Loop, operations: int) -> int:
    """All wait for one future."""
    future = loop.create_future()

    async def wait(number: int) -> int:
        await future
        return number

    return await _weigh(aio, loop, operations, wait, lambda: future.set_result(None))


@footprint("memory.pending_queue_get", operations=_MANY)
async def pending_queue_get(aio: ModuleType, loop: Loop, operations: int) -> int:
    queue = aio.Queue()

    async def wait(number: int) -> int:
        got: int = await queue.get()
        return got

    def wake() -> None:
        for number in range(operations):
            queue.put_nowait(number)

    return await _weigh(aio, loop, operations, wait, wake)


@footprint("memory.pending_timeout", operations=_MANY)
async def pending_timeout(aio: ModuleType, loop: Loop, operations: int) -> int:
    """All wait for one event, each under a time limit of its own."""
    event = aio.Event()

    async def wait(number: int) -> int:
        async with aio.timeout(3600):
            await event.wait()
        return number

    return await _weigh(aio, loop, operations, wait, event.set)
