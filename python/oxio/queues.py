"""asyncio.queues with native queues: what is not defined here is asyncio's."""

import sys
from asyncio import queues as _queues
from asyncio.queues import *

from oxio import _oxio
from oxio.exceptions import QueueShutDown  # noqa: F401
from oxio.statistics import QueueStatistics

__all__ = list(dict.fromkeys((*_queues.__all__, "QueueShutDown")))

# What asyncio keeps in the instance's dictionary and the native half shows as attributes.
_STATE = (
    "_maxsize",
    "_loop",
    "_getters",
    "_putters",
    "_unfinished_tasks",
    "_finished",
    "_queue",
    "_is_shutdown",
)

# Not called by name: a subclass may have a method called so.
_start = _oxio.Queue._start


class Queue(_oxio.Queue, _queues.Queue):
    __doc__ = _queues.Queue.__doc__

    def __init__(self, maxsize=0):
        _start(self, maxsize)

    if sys.version_info < (3, 13):

        def shutdown(self, immediate=False):
            """Refuses further items: put() raises QueueShutDown, and so does get() when nothing is left.

            With `immediate`, what is in the queue is thrown away and counts as done. All who wait are woken.
            """
            self._is_shutdown = True
            if immediate:
                while not self.empty():
                    self._get()
                    if self._unfinished_tasks > 0:
                        self._unfinished_tasks -= 1
                if self._unfinished_tasks == 0:
                    self._finished.set()
            for waiters in (self._getters, self._putters):
                while waiters:
                    waiter = waiters.popleft()
                    if not waiter.done():
                        waiter.set_result(None)

    def statistics(self):
        """How full it is and who waits, as a QueueStatistics."""
        getters, putters = _oxio.Queue._count_waiters(self)
        return QueueStatistics(
            self.qsize(), self.maxsize, getters, putters, self._unfinished_tasks, self._is_shutdown
        )

    # Copies and pickles take the whole state with them, as asyncio's do.

    def __getstate__(self):
        state = self.__dict__.copy()
        for name in _STATE:
            value = getattr(self, name, None)
            if value is not None:
                state[name] = value
        return state

    def __setstate__(self, state):
        for name, value in state.items():
            setattr(self, name, value)


class PriorityQueue(Queue, _queues.PriorityQueue):
    __doc__ = _queues.PriorityQueue.__doc__


class LifoQueue(Queue, _queues.LifoQueue):
    __doc__ = _queues.LifoQueue.__doc__


def __getattr__(name: str) -> object:
    return getattr(_queues, name)
