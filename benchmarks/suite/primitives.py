"""Queues, locks and their kin: what an operation costs when it need not wait, and when it must.

Each body checks the order of what happened. What order cannot show (a full queue holds its producer back, a taken lock
excludes) a *probe* shows once per call, on an object of its own.
"""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

from harness.workload import in_order, in_process

Loop = asyncio.AbstractEventLoop


# Queues. One operation is one item, put and got.


async def _through(aio: ModuleType, queue: Any, operations: int) -> list[int]:
    """What the consumer got, in its order."""

    async def produce() -> None:
        put = queue.put
        for number in range(operations):
            await put(number)

    async def consume() -> list[int]:
        get = queue.get
        return [await get() for _ in range(operations)]

    _, got = await aio.gather(produce(), consume())
    return got if queue.empty() else []


async def _holds_back(aio: ModuleType) -> bool:
    """Whether put() waits while the queue is full, and goes on when an item is taken."""
    queue = aio.Queue(2)

    async def fill() -> None:
        for number in range(4):
            await queue.put(number)

    filling = aio.create_task(fill())
    sizes = []
    for _ in range(3):
        await aio.sleep(0)
        await aio.sleep(0)
        sizes.append(queue.qsize())
        queue.get_nowait()
    await filling
    return sizes == [2] * 3


@in_process("primitives.queue_unbounded", operations=5_000, check=in_order)
async def queue_unbounded(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Nobody ever waits, but for the consumer at the start."""
    return await _through(aio, aio.Queue(), operations)


@in_process("primitives.queue_100", operations=5_000, check=in_order)
async def queue_100(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Producer and consumer each wait once in a hundred items."""
    got = await _through(aio, aio.Queue(100), operations)
    return got if await _holds_back(aio) else []


@in_process("primitives.queue_rendezvous", operations=2_000, check=in_order)
async def queue_rendezvous(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Room for one item: producer and consumer wait for one another at each."""
    got = await _through(aio, aio.Queue(1), operations)
    return got if await _holds_back(aio) else []


def _ascending_hundreds(result: object, operations: int) -> bool:
    return result == [*range(100)] * (operations // 100)


@in_process("primitives.priority_queue", operations=5_000, check=_ascending_hundreds, quick=False)
async def priority_queue(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """A hundred items in an order far from theirs, then all of them out."""
    # 37 and 100 have no common divisor, so this is each number below 100 once.
    shuffled = [number * 37 % 100 for number in range(100)]
    queue = aio.PriorityQueue()
    got: list[int] = []
    for _ in range(operations // 100):
        for number in shuffled:
            await queue.put(number)
        got += [await queue.get() for _ in shuffled]
    return got


# Locks and semaphores. One operation is one acquisition and release.


async def _admits(aio: ModuleType, gate: Any) -> int:
    """How many tasks come through the gate while nobody leaves it."""
    inside: list[int] = []
    leave = aio.Event()

    async def enter(number: int) -> None:
        async with gate:
            inside.append(number)
            await leave.wait()

    tasks = [aio.create_task(enter(number)) for number in range(10)]
    for _ in range(3):
        await aio.sleep(0)
    admitted = len(inside)
    leave.set()
    await aio.gather(*tasks)
    return admitted if inside == [*range(10)] else -1


async def _enter_repeatedly(gate: Any, operations: int) -> int:
    entered = 0
    for _ in range(operations):
        async with gate:
            entered += 1
    return entered


@in_process("primitives.lock_uncontended", operations=5_000)
async def lock_uncontended(aio: ModuleType, loop: Loop, operations: int) -> int:
    entered = await _enter_repeatedly(aio.Lock(), operations)
    return entered if await _admits(aio, aio.Lock()) == 1 else -1


@in_process("primitives.bounded_semaphore_uncontended", operations=5_000, quick=False)
async def bounded_semaphore_uncontended(aio: ModuleType, loop: Loop, operations: int) -> int:
    entered = await _enter_repeatedly(aio.BoundedSemaphore(3), operations)
    return entered if await _admits(aio, aio.BoundedSemaphore(3)) == 3 else -1


@in_process("primitives.semaphore_3", operations=3_000, check=in_order)
async def semaphore_3(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Three permits, 3000 tasks, each holds one for a turn. Making the tasks is part of it: one for each operation."""
    semaphore = aio.Semaphore(3)
    sleep = aio.sleep
    left: list[int] = []

    async def use(number: int) -> None:
        async with semaphore:
            await sleep(0)
            left.append(number)

    await aio.gather(*[use(number) for number in range(operations)])
    return left if await _admits(aio, aio.Semaphore(3)) == 3 else []


async def _contend(aio: ModuleType, parties: int, operations: int) -> int:
    """Each holder gives the others a turn, so that all of them wait; they must take the lock in rotation."""
    lock = aio.Lock()
    sleep = aio.sleep
    held: list[int] = []
    times = operations // parties

    async def contend(number: int) -> None:
        for _ in range(times):
            async with lock:
                held.append(number)
                await sleep(0)

    await aio.gather(*[contend(number) for number in range(parties)])
    fair = held == [*range(parties)] * times
    return len(held) if fair and await _admits(aio, aio.Lock()) == 1 else -1


@in_process("primitives.lock_10_tasks", operations=3_000)
async def lock_10_tasks(aio: ModuleType, loop: Loop, operations: int) -> int:
    return await _contend(aio, 10, operations)


@in_process("primitives.lock_100_tasks", operations=3_000, quick=False)
async def lock_100_tasks(aio: ModuleType, loop: Loop, operations: int) -> int:
    return await _contend(aio, 100, operations)


# Signals. One operation wakes one task.


@in_process("primitives.event_ping_pong", operations=4_000, check=in_order)
async def event_ping_pong(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Two tasks, an event each: who is woken wakes the other."""
    events = aio.Event(), aio.Event()
    order: list[int] = []

    async def play(mine: int) -> None:
        own, other = events[mine], events[1 - mine]
        for number in range(mine, operations, 2):
            await own.wait()
            own.clear()
            order.append(number)
            other.set()

    events[0].set()
    await aio.gather(play(0), play(1))
    return order


@in_process("primitives.event_100_waiters", operations=5_000, quick=False)
async def event_100_waiters(aio: ModuleType, loop: Loop, operations: int) -> int:
    """One set() wakes a hundred tasks, which were made for it: one creation for each operation."""
    woken: list[int] = []

    async def wait(event: Any, number: int) -> None:
        await event.wait()
        woken.append(number)

    for start in range(0, operations, 100):
        event = aio.Event()
        tasks = [aio.create_task(wait(event, number)) for number in range(start, start + 100)]
        await aio.sleep(0)
        if len(woken) != start:
            return -1
        event.set()
        await aio.gather(*tasks)
    return len(woken) if woken == [*range(operations)] else -1


async def _wakes_the_first(aio: ModuleType) -> bool:
    """Whether notify() wakes one task, the first that waits, and nothing else wakes any."""
    condition = aio.Condition()
    woken: list[int] = []

    async def wait(number: int) -> None:
        async with condition:
            await condition.wait()
            woken.append(number)

    tasks = [aio.create_task(wait(number)) for number in range(3)]
    seen: list[list[int]] = []
    for _ in tasks:
        for _ in range(5):
            await aio.sleep(0)
        seen.append([*woken])
        async with condition:
            condition.notify()
    await aio.gather(*tasks)
    return seen == [[], [0], [0, 1]]


@in_process("primitives.condition_notify", operations=3_000, check=in_order)
async def condition_notify(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Two tasks take turns at one condition."""
    condition = aio.Condition()
    order: list[int] = []

    async def play(mine: int) -> None:
        for number in range(mine, operations, 2):
            async with condition:
                while len(order) != number:
                    await condition.wait()
                order.append(number)
                condition.notify()

    await aio.gather(play(0), play(1))
    return order if await _wakes_the_first(aio) else []


def _all_met(result: Any, operations: int) -> bool:
    """Nobody was at the next meeting before all had left this one, and each had a place of its own."""
    meetings = [result[start : start + 10] for start in range(0, operations, 10)]
    return len(result) == operations and all(
        sorted(meeting) == [(number, place) for place in range(10)] for number, meeting in enumerate(meetings)
    )


@in_process("primitives.barrier_10", operations=3_000, check=_all_met, quick=False)
async def barrier_10(aio: ModuleType, loop: Loop, operations: int) -> list[tuple[int, int]]:
    """Ten tasks meet again and again. One operation is one task's wait."""
    barrier = aio.Barrier(10)
    waited: list[tuple[int, int]] = []

    async def meet() -> None:
        for number in range(operations // 10):
            place = await barrier.wait()
            waited.append((number, place))

    await aio.gather(*[meet() for _ in range(10)])
    return waited
