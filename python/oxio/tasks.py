"""asyncio.tasks with oxio's Task: what is not defined here is asyncio's."""

import sys
from asyncio import tasks as _tasks
from asyncio.tasks import *

from oxio._oxio import (  # noqa: F401
    Future,
    Task,
    _adopt_gathering_future,
    _know_eager_factory,
    as_completed,
    create_task,
    ensure_future,
    gather,
    sleep,
    wait,
    wait_for,
)

__all__ = _tasks.__all__


@_adopt_gathering_future
class _GatheringFuture(Future):
    """What gather() returns: asyncio's class of that name on oxio's Future, with its two attributes in slots."""

    __slots__ = ("_cancel_requested", "_children")

    def __init__(self, children, *, loop):
        super().__init__(loop=loop)
        self._children = children
        self._cancel_requested = False

    cancel = _tasks._GatheringFuture.cancel


if sys.version_info >= (3, 12):
    # asyncio's own was made at import, from its Task.
    eager_task_factory = _know_eager_factory(_tasks.create_eager_task_factory(Task))


# Later releases count a cancelled wait back, and on 3.14 note who awaits whom: there asyncio's own, on a native queue.
_iterator = getattr(_tasks, "_AsCompletedIterator", None)
if _iterator is not None and "_todo_left" in _iterator._wait_for_one.__code__.co_names:
    as_completed = _tasks.as_completed  # noqa: F811


def __getattr__(name: str) -> object:
    return getattr(_tasks, name)
