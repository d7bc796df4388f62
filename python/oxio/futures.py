"""asyncio.futures with oxio's Future: what is not defined here is asyncio's."""

from asyncio import futures as _futures
from asyncio.futures import *

from oxio._oxio import Future  # noqa: F401

__all__ = _futures.__all__


def __getattr__(name: str) -> object:
    return getattr(_futures, name)
