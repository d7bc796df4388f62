# asyncio.streams' types, with statistics(). State and hot methods are oxio._oxio's, which stands before asyncio's class.
import asyncio
import ssl
import sys
from asyncio.streams import FlowControlMixin as FlowControlMixin
from asyncio.streams import _ReaduntilBuffer
from collections.abc import Awaitable, Callable, Sequence
from os import PathLike
from typing import Any

from oxio.servers import Server
from oxio.statistics import StreamReaderStatistics

__all__ = (
    "StreamReader",
    "StreamWriter",
    "StreamReaderProtocol",
    "open_connection",
    "start_server",
    "open_unix_connection",
    "start_unix_server",
)

class StreamReader(asyncio.StreamReader):
    if sys.version_info < (3, 13):
        async def readuntil(
            self, separator: _ReaduntilBuffer | tuple[_ReaduntilBuffer, ...] = b"\n"
        ) -> bytes: ...
    def statistics(self) -> StreamReaderStatistics: ...

class StreamWriter(asyncio.StreamWriter):
    if sys.version_info < (3, 12):
        async def start_tls(
            self,
            sslcontext: ssl.SSLContext,
            *,
            server_hostname: str | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
        ) -> None: ...

_stock_writer_init: Callable[..., None]

class StreamReaderProtocol(asyncio.StreamReaderProtocol): ...

async def open_connection(
    host: str | None = None, port: int | str | None = None, *, limit: int = 65536, **kwds: Any
) -> tuple[StreamReader, StreamWriter]: ...
async def start_server(
    client_connected_cb: Callable[[StreamReader, StreamWriter], Awaitable[None] | None],
    host: str | Sequence[str] | None = None,
    port: int | str | None = None,
    *,
    limit: int = 65536,
    **kwds: Any,
) -> Server: ...
async def open_unix_connection(
    path: str | PathLike[str] | None = None, *, limit: int = 65536, **kwds: Any
) -> tuple[StreamReader, StreamWriter]: ...
async def start_unix_server(
    client_connected_cb: Callable[[StreamReader, StreamWriter], Awaitable[None] | None],
    path: str | PathLike[str] | None = None,
    *,
    limit: int = 65536,
    **kwds: Any,
) -> Server: ...
