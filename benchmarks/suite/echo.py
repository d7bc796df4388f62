"""Echo servers over TCP and Unix sockets: the transport, the protocol's callbacks and little else."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

from harness.workload import Address, Server, served

Loop = asyncio.AbstractEventLoop

_SIZES = (64, 1024, 16 * 1024, 100 * 1024)
_FAMILIES = ("tcp", "unix")
_CHUNK = 64 * 1024

# Transports are Any: uvloop's and rloop's are not asyncio.Transport by isinstance.


async def _listen(loop: Loop, address: Address, protocol: type[asyncio.BaseProtocol]) -> Server:
    if address.family == "unix":
        return await loop.create_unix_server(protocol, address.where)
    host, _, port = address.where.rpartition(":")
    return await loop.create_server(protocol, host, int(port))


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@served("echo.protocol", families=_FAMILIES, sizes=_SIZES, connections=(10, 100), quick=(64, 16 * 1024))
async def protocol(aio: ModuleType, loop: Loop, address: Address) -> Server:
    return await _listen(loop, address, _Echo)


class _BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = memoryview(bytearray(_CHUNK))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        # A copy: the next read may overwrite the buffer while the transport still sends from it.
        self.transport.write(bytes(self.buffer[:nbytes]))


@served("echo.buffered", families=_FAMILIES, sizes=_SIZES, connections=(10,), quick=(1024,))
async def buffered(aio: ModuleType, loop: Loop, address: Address) -> Server:
    return await _listen(loop, address, _BufferedEcho)


@served("echo.streams", families=_FAMILIES, sizes=_SIZES, connections=(10,), quick=(1024,))
async def streams(aio: ModuleType, loop: Loop, address: Address) -> Server:
    async def echo(reader: Any, writer: Any) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()

    server: Server
    if address.family == "unix":
        server = await aio.start_unix_server(echo, address.where)
    else:
        host, _, port = address.where.rpartition(":")
        server = await aio.start_server(echo, host, int(port))
    return server
