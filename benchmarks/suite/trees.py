"""Trees of tasks, in the shape of pyperformance's async_tree: six branches at each node, work only at the leaves.

Five levels make 9331 tasks; async_tree has six levels and 55,987. One operation is one node, and `none_6_levels` is as
large as the original, to show whether size matters. A node's value is the sum of its children's, so a lost task shows.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

from harness.workload import in_process

Loop = asyncio.AbstractEventLoop
Leaf = Callable[[int], Coroutine[Any, Any, int]]

_BRANCHES, _LEVELS = 6, 5
# In proportion to the number of tasks what async_tree's 50 ms are: the first timers are due while nodes are made.
_DELAY = 0.01


def _nodes(levels: int) -> int:
    return sum(_BRANCHES**level for level in range(levels + 1))


def _is_every_leaf(result: object, operations: int) -> bool:
    levels = _LEVELS if operations == _nodes(_LEVELS) else _LEVELS + 1
    leaves: int = _BRANCHES**levels
    return result == leaves


# What a leaf does. `number` goes up from one leaf to the next; each leaf is worth 1.


def _none(aio: ModuleType) -> Leaf:
    async def leaf(number: int) -> int:
        return 1

    return leaf


def _io(aio: ModuleType) -> Leaf:
    sleep = aio.sleep

    async def leaf(number: int) -> int:
        await sleep(_DELAY)
        return 1

    return leaf


def _memoization(aio: ModuleType) -> Leaf:
    """Nine leaves of ten have an answer that the first who asks for it leaves behind; the others sleep."""
    sleep = aio.sleep
    known: set[int] = set()

    async def leaf(number: int) -> int:
        key = number * 37 % 100
        if key < 90:
            if key in known:
                return 1
            known.add(key)
        await sleep(_DELAY)
        return 1

    return leaf


def _cpu_io_mixed(aio: ModuleType) -> Leaf:
    """Every second leaf computes, the others sleep. What it computes costs the same on every loop."""
    sleep = aio.sleep

    async def leaf(number: int) -> int:
        if number % 2:
            return min(math.factorial(500), 1)
        await sleep(_DELAY)
        return 1

    return leaf


# How a node waits for its children.


async def _by_gather(aio: ModuleType, leaf: Leaf, levels: int) -> int:
    numbers = iter(range(_BRANCHES**levels))
    gather = aio.gather

    async def grow(level: int) -> int:
        if level == 0:
            return await leaf(next(numbers))
        return sum(await gather(*[grow(level - 1) for _ in range(_BRANCHES)]))

    return await grow(levels)


async def _by_task_group(aio: ModuleType, leaf: Leaf, levels: int) -> int:
    numbers = iter(range(_BRANCHES**levels))
    task_group = aio.TaskGroup

    async def grow(level: int) -> int:
        if level == 0:
            return await leaf(next(numbers))
        async with task_group() as group:
            children = [group.create_task(grow(level - 1)) for _ in range(_BRANCHES)]
        return sum([child.result() for child in children])

    return await grow(levels)


_LEAVES = {"none": _none, "io": _io, "memoization": _memoization, "cpu_io_mixed": _cpu_io_mixed}
_WAYS: dict[str, Any] = {"": _by_gather, "_tg": _by_task_group}


async def _eagerly(aio: ModuleType, loop: Loop, tree: Coroutine[Any, Any, int]) -> int:
    """The tree, with tasks that run when they are made. A loop that does not run them then has no number here."""
    loop.set_task_factory(aio.eager_task_factory)
    first = _none(aio)(0)
    try:
        if not loop.create_task(first).done():
            raise RuntimeError("the loop does not run tasks eagerly although the eager factory is set")
        return await tree
    except TypeError:
        # The factory was called with what it does not take. Closed, for what never starts would warn.
        first.close()
        raise
    finally:
        tree.close()
        loop.set_task_factory(None)


def _add(
    name: str,
    way: Any,
    kind: Callable[[ModuleType], Leaf],
    *,
    levels: int = _LEVELS,
    eager: bool = False,
    quick: bool = False,
) -> None:
    @in_process(name, operations=_nodes(levels), check=_is_every_leaf, quick=quick)
    async def tree(aio: ModuleType, loop: Loop, operations: int) -> int:
        growing = way(aio, kind(aio), levels)
        total: int = await (_eagerly(aio, loop, growing) if eager else growing)
        return total


for _kind, _leaf in _LEAVES.items():
    for _suffix, _way in _WAYS.items():
        _add(f"trees.{_kind}{_suffix}", _way, _leaf, quick=_kind != "cpu_io_mixed")
_add("trees.none_6_levels", _by_gather, _none, levels=_LEVELS + 1)

if sys.version_info >= (3, 12):
    for _kind, _leaf in _LEAVES.items():
        for _suffix, _way in _WAYS.items():
            _add(f"trees.eager_{_kind}{_suffix}", _way, _leaf, eager=True)
