"""gather, wait, wait_for and their kin. One operation is one awaitable that goes through them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from types import ModuleType
from typing import Any

from harness.workload import in_order, in_process

Loop = asyncio.AbstractEventLoop


async def _leaf(number: int) -> int:
    return number


async def _one_turn(aio: ModuleType, number: int) -> int:
    await aio.sleep(0)
    return number


async def _turns_needed(loop: Loop, awaited: Awaitable[object]) -> int:
    """How many turns of the loop pass while `awaited` is awaited."""
    turns = 0
    waiting = True

    def count() -> None:
        nonlocal turns
        if waiting:
            turns += 1
            loop.call_soon(count)

    loop.call_soon(count)
    await awaited
    waiting = False
    return turns


async def _gather_in_batches(aio: ModuleType, operations: int, size: int) -> list[int]:
    results: list[int] = []
    for start in range(0, operations, size):
        results += await aio.gather(*[_leaf(number) for number in range(start, start + size)])
    return results


@in_process("combinators.gather_1000", operations=5_000, check=in_order)
async def gather_1000(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    return await _gather_in_batches(aio, operations, 1_000)


@in_process("combinators.gather_10", operations=5_000, check=in_order, quick=False)
async def gather_10(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    return await _gather_in_batches(aio, operations, 10)


@in_process("combinators.gather_100_futures", operations=5_000, check=in_order)
async def gather_100_futures(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    results: list[int] = []
    for start in range(0, operations, 100):
        futures = [loop.create_future() for _ in range(100)]
        gathered = aio.gather(*futures)
        # Backwards: the results must come in the order of the arguments.
        for number in reversed(range(100)):
            futures[number].set_result(start + number)
        results += await gathered
    return results


def _task_group(name: str, size: int, operations: int) -> None:
    @in_process(name, operations=operations, check=in_order, quick=size == 100)
    async def task_group(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
        results: list[int] = []
        for start in range(0, operations, size):
            async with aio.TaskGroup() as group:
                create_task = group.create_task
                tasks = [create_task(_leaf(number)) for number in range(start, start + size)]
            results += [task.result() for task in tasks]
        return results


_task_group("combinators.task_group_10", 10, 5_000)
_task_group("combinators.task_group_100", 100, 5_000)
_task_group("combinators.task_group_1000", 1_000, 5_000)


@in_process("combinators.wait_all_100", operations=5_000, check=in_order)
async def wait_all_100(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Making the tasks is part of it."""
    create_task = aio.create_task
    results: list[int] = []
    for start in range(0, operations, 100):
        tasks = [create_task(_leaf(number)) for number in range(start, start + 100)]
        done, pending = await aio.wait(tasks)
        if pending or done != {*tasks}:
            return []
        results += [task.result() for task in tasks]
    return results


@in_process("combinators.wait_first_of_10", operations=2_000)
async def wait_first_of_10(aio: ModuleType, loop: Loop, operations: int) -> int:
    """Ten futures are waited for, the next turn completes one. One operation is one wait()."""
    first: Any = aio.FIRST_COMPLETED
    right = 0
    for _ in range(operations // 10):
        pending: set[Any] = {loop.create_future() for _ in range(10)}
        while pending:
            chosen = next(iter(pending))
            loop.call_soon(chosen.set_result, None)
            done, pending = await aio.wait(pending, return_when=first)
            right += done == {chosen} and chosen not in pending
    return right


@in_process("combinators.as_completed_for", operations=5_000, check=in_order)
async def as_completed_for(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """A hundred coroutines each time, by a plain `for`."""
    results: list[int] = []
    for start in range(0, operations, 100):
        batch = [_leaf(number) for number in range(start, start + 100)]
        # as_completed makes its tasks in the order of a set, which is any.
        results += sorted([await awaitable for awaitable in aio.as_completed(batch)])
    return results


if sys.version_info >= (3, 13):

    @in_process("combinators.as_completed_async_for", operations=5_000, check=in_order, quick=False)
    async def as_completed_async_for(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
        """The same by `async for`, over tasks, which come out as themselves."""
        create_task = aio.create_task
        results: list[int] = []
        for start in range(0, operations, 100):
            batch = {create_task(_leaf(number)) for number in range(start, start + 100)}
            came = [task async for task in aio.as_completed(batch)]
            if {*came} != batch:
                return []
            results += sorted([task.result() for task in came])
        return results


async def _shields(aio: ModuleType, loop: Loop) -> bool:
    """Whether what is shielded goes on when its awaiter is cancelled."""
    inner = loop.create_future()
    outer = aio.shield(inner)
    outer.cancel()
    await aio.sleep(0)
    alive = not inner.done()
    inner.cancel()
    return alive


@in_process("combinators.shield", operations=5_000, check=in_order)
async def shield(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Of a coroutine: it gets a task of its own."""
    results = [await aio.shield(_leaf(number)) for number in range(operations)]
    return results if await _shields(aio, loop) else []


# Time limits that are not reached, as nearly all are. The probe reaches one.


async def _times_out(aio: ModuleType, loop: Loop) -> bool:
    late = [loop.create_future(), loop.create_future()]
    timers = [loop.call_later(0.2, future.set_result, None) for future in late]
    caught = 0
    try:
        await aio.wait_for(late[0], 0.001)
    except TimeoutError:
        caught += 1
    try:
        async with aio.timeout(0.001):
            await late[1]
    except TimeoutError:
        caught += 1
    for timer in timers:
        timer.cancel()
    return caught == 2 and all(future.cancelled() for future in late)


@in_process("combinators.wait_for_ready", operations=5_000, check=in_order)
async def wait_for_ready(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """The coroutine never suspends."""
    wait_for = aio.wait_for
    results = [await wait_for(_leaf(number), 60) for number in range(operations)]
    return results if await _times_out(aio, loop) else []


@in_process("combinators.wait_for_one_turn", operations=5_000, check=in_order)
async def wait_for_one_turn(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    wait_for = aio.wait_for
    results = [await wait_for(_one_turn(aio, number), 60) for number in range(operations)]
    # Without wait_for: on 3.11 it makes a task, which takes turns of its own.
    waited = await _turns_needed(loop, _one_turn(aio, 0)) >= 1
    return results if waited and await _times_out(aio, loop) else []


@in_process("combinators.wait_for_future", operations=5_000, check=in_order)
async def wait_for_future(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """A future that a callback completes in the next turn."""
    wait_for = aio.wait_for
    results: list[int] = []
    for number in range(operations):
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        results.append(await wait_for(future, 60))
    return results if await _times_out(aio, loop) else []


@in_process("combinators.timeout_one_turn", operations=5_000)
async def timeout_one_turn(aio: ModuleType, loop: Loop, operations: int) -> int:
    timeout, sleep = aio.timeout, aio.sleep

    async def once() -> None:
        async with timeout(60):
            await sleep(0)

    entered = 0
    for _ in range(operations):
        async with timeout(60) as scope:
            await sleep(0)
        entered += not scope.expired()
    waited = await _turns_needed(loop, once()) >= 1
    return entered if waited and await _times_out(aio, loop) else -1
