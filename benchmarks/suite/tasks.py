"""Tasks and futures. A step is one resumption of a coroutine by the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import ModuleType

from harness.workload import in_order, in_process

Loop = asyncio.AbstractEventLoop

_MANY = 1_000


async def _yields(aio: ModuleType, loop: Loop) -> bool:
    """Whether sleep(0) lets a callback run that was scheduled before it. Not measured; once per call."""
    ran: list[bool] = []
    loop.call_soon(ran.append, True)
    await aio.sleep(0)
    return bool(ran)


@in_process("tasks.step", operations=10_000)
async def step(aio: ModuleType, loop: Loop, operations: int) -> int:
    sleep = aio.sleep
    for _ in range(operations):
        await sleep(0)
    return operations if await _yields(aio, loop) else -1


@in_process("tasks.step_1000_tasks", operations=50 * _MANY)
async def step_1000_tasks(aio: ModuleType, loop: Loop, operations: int) -> int:
    """Creating the tasks is part of it: one creation for 50 steps."""
    sleep = aio.sleep
    half = operations // _MANY // 2
    halfway: list[int] = []
    finished: list[int] = []

    async def walk(number: int) -> None:
        for _ in range(half):
            await sleep(0)
        halfway.append(number)
        for _ in range(half):
            await sleep(0)
        # Turns are fair: nobody is done before everybody is half done.
        if len(halfway) == _MANY:
            finished.append(number)

    await aio.gather(*[walk(number) for number in range(_MANY)])
    return 2 * half * len(finished) if finished == halfway else -1


@in_process("tasks.step_10_frames_deep", operations=10_000)
async def step_10_frames_deep(aio: ModuleType, loop: Loop, operations: int) -> int:
    """The task suspends at the bottom of ten coroutines that await one another."""
    sleep = aio.sleep

    async def bottom() -> int:
        for _ in range(operations):
            await sleep(0)
        return operations

    async def frame(below: Awaitable[int]) -> int:
        return await below

    stack: Awaitable[int] = bottom()
    for _ in range(9):
        stack = frame(stack)
    steps = await stack
    return steps if await _yields(aio, loop) else -1


async def _leaf(number: int) -> int:
    return number


@in_process("tasks.create_task_await", operations=5_000, check=in_order)
async def create_task_await(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    create_task = aio.create_task
    return [await create_task(_leaf(number)) for number in range(operations)]


@in_process("tasks.future_wakeup", operations=5_000, check=in_order)
async def future_wakeup(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Create a future, let a callback complete it, await it: two turns of the loop for each."""
    results: list[int] = []
    for number in range(operations):
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        results.append(await future)
    return results
