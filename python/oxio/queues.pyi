# asyncio.queues' types, with what older versions lack and what oxio adds.
import asyncio
from asyncio import QueueEmpty as QueueEmpty
from asyncio import QueueFull as QueueFull
from typing import Any, TypeVar

from _typeshed import SupportsRichComparisonT

from oxio.exceptions import QueueShutDown as QueueShutDown
from oxio.statistics import QueueStatistics

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown"]

_T = TypeVar("_T")

class Queue(asyncio.Queue[_T]):
    def __init__(self, maxsize: int = 0) -> None: ...
    def shutdown(self, immediate: bool = False) -> None: ...
    def statistics(self) -> QueueStatistics: ...
    def __getstate__(self) -> dict[str, Any]: ...
    def __setstate__(self, state: dict[str, Any]) -> None: ...

class PriorityQueue(Queue[SupportsRichComparisonT], asyncio.PriorityQueue[SupportsRichComparisonT]): ...
class LifoQueue(Queue[_T], asyncio.LifoQueue[_T]): ...
