import asyncio
import socket
from asyncio.transports import *
from typing import Any

from oxio.events import EventLoop

class SocketTransport(asyncio.Transport):
    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
    ) -> None: ...
