"""asyncio.locks with oxio's classes: what is not defined here is asyncio's.

State and hot methods are native and stand before asyncio's class, which has the rest: repr, hooks for subclasses, and all
that the native half leaves to it.
"""

import collections
from asyncio import locks as _locks
from asyncio.locks import *

from oxio import _oxio
from oxio.statistics import (
    BarrierStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    SemaphoreStatistics,
)

__all__ = _locks.__all__


def _state(lock: object, *names: str) -> tuple[object, dict[str, object]]:
    """What a copy or a pickle of `lock` needs: its own attributes, and the native ones."""
    native = {name: getattr(lock, name) for name in names}
    if native["_waiters"] is not None:
        native["_waiters"] = collections.deque(native["_waiters"])
    if native["_loop"] is None:
        # As in asyncio, where only a bound one has it: loops cannot be pickled.
        del native["_loop"]
    return lock.__dict__, native


class Lock(_oxio.Lock, _locks.Lock):
    __doc__ = _locks.Lock.__doc__

    def __getstate__(self):
        return _state(self, "_locked", "_waiters", "_loop")

    def statistics(self) -> LockStatistics:
        """Whether it is locked, and how many wait."""
        return LockStatistics(self._locked, len(self._waiters or ()))


class Event(_oxio.Event, _locks.Event):
    __doc__ = _locks.Event.__doc__

    def __getstate__(self):
        return _state(self, "_value", "_waiters", "_loop")

    def statistics(self) -> EventStatistics:
        """Whether it is set, and how many wait."""
        return EventStatistics(self._value, len(self._waiters))


class Condition(_oxio.Condition, _locks.Condition):
    __doc__ = _locks.Condition.__doc__

    def __init__(self, lock=None):
        super().__init__(Lock() if lock is None else lock)

    def __getstate__(self):
        return _state(self, "_lock", "_waiters", "_loop")

    def statistics(self) -> ConditionStatistics:
        """Whether the lock is held, and how many wait for a notification."""
        return ConditionStatistics(self.locked(), len(self._waiters))


class Semaphore(_oxio.Semaphore, _locks.Semaphore):
    __doc__ = _locks.Semaphore.__doc__

    def __getstate__(self):
        return _state(self, "_value", "_waiters", "_loop")

    def statistics(self) -> SemaphoreStatistics:
        """How many slots are free, and how many wait for one."""
        return SemaphoreStatistics(self._value, len(self._waiters or ()))


class BoundedSemaphore(_oxio.BoundedSemaphore, Semaphore, _locks.BoundedSemaphore):
    __doc__ = _locks.BoundedSemaphore.__doc__

    def __getstate__(self):
        return _state(self, "_bound_value", "_value", "_waiters", "_loop")


class Barrier(_locks.Barrier):
    __doc__ = _locks.Barrier.__doc__

    def __init__(self, parties):
        super().__init__(parties)
        self._cond = Condition()

    def statistics(self) -> BarrierStatistics:
        """How many it takes, how many have come, and whether it fills, drains, is reset or broken."""
        return BarrierStatistics(self.parties, self.n_waiting, self._state.value)


def __getattr__(name: str) -> object:
    return getattr(_locks, name)
