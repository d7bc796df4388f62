"""StreamReader without a socket: what reading costs when the bytes are there. echo.streams has the socket."""

from __future__ import annotations

import asyncio
from types import ModuleType

from harness.workload import in_process

Loop = asyncio.AbstractEventLoop

_LINES = [b"%d: a header of the usual length, about fifty bytes\r\n" % number for number in range(100)]
# As they come from a socket: several lines in a piece, and a line in two pieces.
_TEXT = b"".join(_LINES)
_PIECES = [_TEXT[start : start + 1_000] for start in range(0, len(_TEXT), 1_000)]


@in_process("streams.readline", operations=5_000)
async def readline(aio: ModuleType, loop: Loop, operations: int) -> int:
    right = 0
    for _ in range(operations // len(_LINES)):
        reader = aio.StreamReader(loop=loop)
        for piece in _PIECES:
            reader.feed_data(piece)
        lines = [await reader.readline() for _ in _LINES]
        right += len(lines) if lines == _LINES else 0
    return right


@in_process("streams.readuntil", operations=5_000, quick=False)
async def readuntil(aio: ModuleType, loop: Loop, operations: int) -> int:
    right = 0
    for _ in range(operations // len(_LINES)):
        reader = aio.StreamReader(loop=loop)
        for piece in _PIECES:
            reader.feed_data(piece)
        lines = [await reader.readuntil(b"\r\n") for _ in _LINES]
        right += len(lines) if lines == _LINES else 0
    return right


@in_process("streams.readexactly", operations=5_000)
async def readexactly(aio: ModuleType, loop: Loop, operations: int) -> int:
    """Twenty bytes at a time."""
    records = [_TEXT[start : start + 20] for start in range(0, 2_000, 20)]
    right = 0
    for _ in range(operations // len(records)):
        reader = aio.StreamReader(loop=loop)
        for piece in _PIECES:
            reader.feed_data(piece)
        got = [await reader.readexactly(20) for _ in records]
        right += len(got) if got == records else 0
    return right


@in_process("streams.readline_waiting", operations=3_000)
async def readline_waiting(aio: ModuleType, loop: Loop, operations: int) -> int:
    """Each line arrives only after it was asked for."""
    reader = aio.StreamReader(loop=loop)
    right = 0
    for number in range(operations):
        line = _LINES[number % len(_LINES)]
        loop.call_soon(reader.feed_data, line)
        right += await reader.readline() == line
    return right
