# asyncio.locks' types, with statistics(). State and hot methods are oxio._oxio's, which stands before asyncio's class.
import asyncio
from asyncio.locks import _ContextManagerMixin as _ContextManagerMixin

from oxio.statistics import (
    BarrierStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    SemaphoreStatistics,
)

__all__ = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")

class Lock(asyncio.Lock):
    def statistics(self) -> LockStatistics: ...

class Event(asyncio.Event):
    def statistics(self) -> EventStatistics: ...

class Condition(asyncio.Condition):
    def statistics(self) -> ConditionStatistics: ...

class Semaphore(asyncio.Semaphore):
    def statistics(self) -> SemaphoreStatistics: ...

class BoundedSemaphore(Semaphore, asyncio.BoundedSemaphore): ...

class Barrier(asyncio.Barrier):
    def statistics(self) -> BarrierStatistics: ...
