"""asyncio.Server with `close_clients()` and `abort_clients()`, which asyncio has from 3.13 on.

Earlier servers only count their connections. Here each of them is remembered as well, weakly: a connection that nobody
refers to any more must stay collectable. The server stays the object that asyncio made, and only changes its class;
everything else about it is asyncio's.

Thread: the loop's.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from asyncio import base_events
from typing import TypeVar

__all__ = ("Server", "adopt", "remember")

_clients: weakref.WeakKeyDictionary[asyncio.AbstractServer, weakref.WeakSet[asyncio.BaseTransport]] = (
    weakref.WeakKeyDictionary()
)
_S = TypeVar("_S", bound=asyncio.AbstractServer)

if sys.version_info >= (3, 13):
    Server = base_events.Server

    def adopt(server: _S) -> _S:
        """From 3.13 on asyncio's own server does it."""
        return server

    def remember(transport: asyncio.BaseTransport, server: asyncio.AbstractServer | None) -> None:
        """From 3.13 on asyncio's own server is told."""

else:

    class Server(base_events.Server):
        """asyncio.Server of 3.13. No constructor: a loop makes asyncio's, and `adopt()` makes it one of these."""

        def close_clients(self) -> None:
            """Closes the transports of all open connections: what is written is still sent."""
            for transport in self._open():
                transport.close()

        def abort_clients(self) -> None:
            """Closes the transports of all open connections at once: what is not sent is lost."""
            for transport in self._open():
                transport.abort()  # type: ignore[attr-defined]

        def _open(self) -> list[asyncio.BaseTransport]:
            # A copy, for closing may change the set. A lost connection may linger in it: closing that one does nothing.
            return list(_clients.get(self, ()))

    def adopt(server: _S) -> _S:
        """Gives a server of asyncio's the two methods; one of another class stays as it is."""
        if type(server) is base_events.Server:
            server.__class__ = Server  # type: ignore[assignment]
        return server

    def remember(transport: asyncio.BaseTransport, server: asyncio.AbstractServer | None) -> None:
        """Notes that `transport` was accepted by `server`; None for a connection that nobody accepted."""
        if server is not None:
            _clients.setdefault(server, weakref.WeakSet()).add(transport)
