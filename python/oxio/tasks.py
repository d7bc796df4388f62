"""asyncio.tasks with oxio's Task: what is not defined here is asyncio's."""

import sys
from asyncio import tasks as _tasks
from asyncio.tasks import *

from oxio._oxio import Future, Task, _know_eager_factory, create_task, ensure_future, gather, sleep, wait

__all__ = _tasks.__all__


class _GatheringFuture(_tasks._GatheringFuture, Future):
    """What gather() returns once oxio is installed: asyncio's, and an instance of the asyncio.Future of that time."""


if sys.version_info >= (3, 12):
    # asyncio's own was made at import, from its Task.
    eager_task_factory = _know_eager_factory(_tasks.create_eager_task_factory(Task))


def __getattr__(name: str) -> object:
    return getattr(_tasks, name)
