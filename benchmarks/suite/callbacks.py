"""call_soon and call_soon_threadsafe. The callback is list.append: little but the loop's own cost is left."""

from __future__ import annotations

import asyncio
import threading
from types import ModuleType

from harness.workload import in_order, in_process

Loop = asyncio.AbstractEventLoop


@in_process("callbacks.call_soon", operations=10_000, check=in_order)
async def call_soon(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Many callbacks in one turn."""
    seen: list[int] = []
    for number in range(operations):
        loop.call_soon(seen.append, number)
    last = loop.create_future()
    loop.call_soon(last.set_result, None)
    await last
    return seen


@in_process("callbacks.call_soon_chain", operations=10_000)
async def call_soon_chain(aio: ModuleType, loop: Loop, operations: int) -> int:
    """One callback per turn: each schedules the next, so that the turn itself is measured."""
    done = loop.create_future()

    def step(left: int) -> None:
        if left:
            loop.call_soon(step, left - 1)
        else:
            done.set_result(operations)

    # A neighbour scheduled after the chain's first link must run before its second.
    order: list[str] = []
    loop.call_soon(lambda: loop.call_soon(order.append, "second"))
    loop.call_soon(order.append, "neighbour")
    loop.call_soon(step, operations)
    total: int = await done
    return total if order == ["neighbour", "second"] else -1


@in_process("callbacks.threadsafe_same_thread", operations=10_000, check=in_order)
async def threadsafe_same_thread(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    seen: list[int] = []
    for number in range(operations):
        loop.call_soon_threadsafe(seen.append, number)
    last = loop.create_future()
    loop.call_soon_threadsafe(last.set_result, None)
    await last
    return seen


@in_process("callbacks.threadsafe_other_thread", operations=10_000, check=in_order, threads=True)
async def threadsafe_other_thread(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """The CPU time is that of both threads, the calling one included."""
    seen: list[int] = []
    last = loop.create_future()

    def produce() -> None:
        for number in range(operations):
            loop.call_soon_threadsafe(seen.append, number)
        loop.call_soon_threadsafe(last.set_result, None)

    producer = threading.Thread(target=produce)
    producer.start()
    await last
    producer.join()
    return seen
