# oxio.tasks has asyncio.tasks' types: see __init__.pyi.
from asyncio import AbstractEventLoop, Future
from asyncio.tasks import *
from typing import Any

class _GatheringFuture(Future[list[Any]]):
    def __init__(self, children: list[Future[Any]], *, loop: AbstractEventLoop) -> None: ...
