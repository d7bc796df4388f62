"""call_later: set and cancelled, as every time-out is, and set and fired."""

from __future__ import annotations

import asyncio
from types import ModuleType

from harness.workload import in_process

Loop = asyncio.AbstractEventLoop

# As many timers are alive at once as a busy server has requests in flight.
_ALIVE = 100


@in_process("timers.call_later_cancel", operations=5_000)
async def call_later_cancel(aio: ModuleType, loop: Loop, operations: int) -> int:
    fired: list[int] = []
    for start in range(0, operations, _ALIVE):
        # The first of each hundred is due before the end: cancelling must be real.
        delays = (60 + n if n else 0.001 for n in range(_ALIVE))
        handles = [loop.call_later(delay, fired.append, start) for delay in delays]
        for handle in handles:
            handle.cancel()
        await aio.sleep(0)
    await aio.sleep(0.003)
    return operations if not fired else -len(fired)


def _all_fired(result: object, operations: int) -> bool:
    # Not in order: uvloop rounds to milliseconds and asyncio's equal deadlines come in any order.
    return isinstance(result, list) and sorted(result) == list(range(operations))


@in_process("timers.call_later_fire", operations=5_000, check=_all_fired)
async def call_later_fire(aio: ModuleType, loop: Loop, operations: int) -> list[int]:
    """Delays of 0, 1 and 2 ms: the loop also finds timers that are not due yet."""
    fired: list[int] = []
    for number in range(operations):
        loop.call_later(number % 3 / 1000, fired.append, number)
    deadline = loop.time() + 10
    while len(fired) < operations and loop.time() < deadline:
        await aio.sleep(0.001)
    return fired
