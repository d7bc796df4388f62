"""Shows oxio's pending tasks in asyncio's own book of tasks, up to Python 3.13.

There the book is a `weakref.WeakSet`. Entering and leaving it costs more than a step of the task, and an oxio loop keeps
a list of its pending tasks anyway. So the set inside the weak set is replaced by one that also *shows* what the loops
have: `asyncio.all_tasks()`, debuggers and monitors that read `asyncio.tasks._all_tasks` see every task.

From 3.14 on the book is a linked list in C that tasks enter cheaply.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxio.events import EventLoop

_loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()


class _Shown(set[Any]):
    """The weak references of a `WeakSet`, and those to the tasks of oxio's loops."""

    def __iter__(self) -> Iterator[Any]:
        # Lists: another thread may add to either while this one looks.
        yield from list(super().__iter__())
        for loop in list(_loops):
            for task in loop._pending_tasks():
                yield weakref.ref(task)

    def __len__(self) -> int:
        return super().__len__() + sum(len(loop._pending_tasks()) for loop in list(_loops))

    def __contains__(self, reference: object) -> bool:
        if super().__contains__(reference):
            return True
        task = reference() if isinstance(reference, weakref.ref) else None
        return task is not None and any(
            task is pending for loop in list(_loops) for pending in loop._pending_tasks()
        )


def show_tasks_of(loop: EventLoop) -> None:
    """From now on asyncio sees the pending tasks of `loop`."""
    if sys.version_info >= (3, 14):
        return
    _loops.add(loop)
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    book: Any = getattr(asyncio.tasks, name)
    if not isinstance(book.data, _Shown):
        book.data = _Shown(book.data)
