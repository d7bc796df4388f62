"""The event loop: asyncio's own Unix loop with a native heart.

`_oxio.Loop` comes first in the method resolution order. It has everything that runs per callback, per step, per timer
and per event; asyncio's classes behind it have what happens once per connection or once per loop, exactly as the
running version has it. Where asyncio keeps plain attributes that both halves need (`_closed`, `_stopping`, `_debug`,
`_thread_id`, `_task_factory`), `_oxio.Loop` has data descriptors.
"""

from __future__ import annotations

import asyncio
import functools
import os
import selectors
import signal
import socket
import sys
import threading
import weakref
from asyncio import constants, sslproto
from asyncio import events as _events
from asyncio.events import *  # noqa: F403
from typing import Any

from oxio import _task_book, servers
from oxio._oxio import Loop
from oxio.transports import SocketTransport

__all__ = [*_events.__all__, "EventLoop"]

# Methods that the native half does not look up: a test that puts a mock in the place of one must tell it.
_CALLED_NATIVELY = frozenset({"call_soon", "time", "call_at", "call_later", "create_task", "_run_once"})

_loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()


class _Selector:
    """What asyncio's inherited code asks of `loop._selector`: who is watched, and to close it."""

    def __init__(self, loop: EventLoop, unused: selectors.BaseSelector | None) -> None:
        self._loop = weakref.ref(loop)
        self._unused = unused

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        loop = self._loop()
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        reading, writing = loop._watched_sides(fd) if loop is not None else (False, False)
        if not (reading or writing):
            raise KeyError(f"{fileobj!r} is not registered")
        events = reading * selectors.EVENT_READ | writing * selectors.EVENT_WRITE
        return selectors.SelectorKey(fileobj, fd, events, None)

    def close(self) -> None:
        loop = self._loop()
        if loop is not None:
            loop._close_reactor()
        if self._unused is not None:
            self._unused.close()


class EventLoop(Loop, asyncio.SelectorEventLoop):
    """oxio's event loop: an `asyncio.AbstractEventLoop` in every respect.

    Thread: one thread runs it; only `call_soon_threadsafe()` may be called from others.
    """

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        """`selector` is taken because asyncio's class takes one, and closed with the loop; polling is native."""
        super().__init__(_Selector(self, selector))  # type: ignore[arg-type]
        _loops.add(self)
        _task_book.show_tasks_of(self)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _CALLED_NATIVELY:
            self._overridden(name)

    def run_forever(self) -> None:
        """Run until `stop()` is called.

        On the main thread the signal wake-up descriptor is ours for the whole run: a Ctrl-C ends an idle wait at once,
        whichever thread the kernel gives the signal to.
        """
        # Before asyncio's own checks: on 3.13.0 a refused nested run takes the running one's state with it.
        self._check_closed()
        self._check_running()
        if threading.current_thread() is not threading.main_thread():
            return super().run_forever()
        before = self._watch_signals()
        try:
            super().run_forever()
        finally:
            if not self._signal_handlers:
                signal.set_wakeup_fd(before)

    def _watch_signals(self) -> int:
        return signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove the handler of a signal; True when there was one."""
        removed = super().remove_signal_handler(sig)
        if self.is_running() and threading.current_thread() is threading.main_thread():
            self._watch_signals()
        return removed

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """`socket.getaddrinfo()` without blocking: in the default executor, or at once for a literal address.

        Literals are read by the C library as ever, only told not to look anything up: zones (`fe80::1%eth0`), short
        forms and flags mean what they mean to `socket.getaddrinfo()`. In debug mode the executor is asked, as asyncio's
        log of slow look-ups expects.

        Raises:
            socket.gaierror: With the resolver's code.
        """
        if _is_literal(host) and _is_number(port) and not self.get_debug():
            try:
                return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
            except socket.gaierror:
                pass  # No literal after all: the resolver has the last word, and the error.
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    if sys.version_info < (3, 13):
        # Servers that can close their connections, with this version's keywords.

        @functools.wraps(asyncio.SelectorEventLoop.create_server)
        async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
            return servers.adopt(await super().create_server(*args, **kwargs))

        @functools.wraps(asyncio.SelectorEventLoop.create_unix_server)
        async def create_unix_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
            return servers.adopt(await super().create_unix_server(*args, **kwargs))

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: Any,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
    ) -> SocketTransport:
        self._ensure_fd_no_transport(sock)
        transport = SocketTransport(self, sock, protocol, waiter, extra, server)
        servers.remember(transport, server)
        return transport

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: Any,
        sslcontext: Any,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(rawsock)
        ssl_protocol = sslproto.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        transport = SocketTransport(self, rawsock, ssl_protocol, extra=extra, server=server)
        servers.remember(transport, server)
        return ssl_protocol._app_transport


def _is_literal(host: Any) -> bool:
    """Whether `host` can be an IP address: it begins like one. `str` only, as nearly all hosts are."""
    return isinstance(host, str) and host != "" and (":" in host or host[0].isdigit())


def _is_number(port: Any) -> bool:
    """Whether `port` needs no look-up in the services database."""
    return port is None or isinstance(port, int)


def new_event_loop() -> EventLoop:
    """A new oxio event loop, for this or another thread; `close()` it when done."""
    return EventLoop()


def _forget_loops_in_child() -> None:
    # A child shares its parent's epoll: whatever it does to an inherited loop must not reach the kernel.
    for loop in list(_loops):
        loop._abandon_reactor()


os.register_at_fork(after_in_child=_forget_loops_in_child)


def __getattr__(name: str) -> Any:
    """What is not defined here is asyncio's: `oxio.events` stands in for `asyncio.events`."""
    return getattr(_events, name)
