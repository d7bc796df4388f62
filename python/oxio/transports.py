"""Stream transports: asyncio's own life cycle with a native half that reads and writes.

`SocketTransport` is a subclass of the running version's socket transport. Making a connection, extra info, calls of
flow control, closing and reporting are inherited; bytes go through `StreamIo`, in Rust. Where asyncio keeps plain
attributes that the native half needs (`_eof`, `_conn_lost`, `_buffer` …) there are properties, so that inherited
code and native code see the same state.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import selector_events
from asyncio import transports as _transports
from asyncio.transports import *  # noqa: F403
from typing import Any

from oxio._oxio import StreamIo

__all__ = [*_transports.__all__, "SocketTransport"]

_Stock = selector_events._SelectorSocketTransport


class _Queued:
    """What inherited code may ask of `transport._buffer`: whether, how much, and to drop it."""

    __slots__ = ("_io",)

    def __init__(self, io: StreamIo) -> None:
        self._io = io

    def __len__(self) -> int:
        return self._io.queued

    def clear(self) -> None:
        self._io.clear()


class SocketTransport(_Stock):
    """A connected TCP or Unix stream socket on an oxio loop. Loop thread only, as asyncio's."""

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        protocol: Any,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
    ) -> None:
        self._io = io = StreamIo(loop, sock, self)
        # Bound once: a call of `transport.write` goes straight into Rust.
        self.write = io.write
        self.writelines = io.writelines
        super().__init__(loop, sock, protocol, waiter, extra, server)

    @property
    def _buffer(self) -> _Queued:
        return _Queued(self._io)

    @_buffer.setter
    def _buffer(self, value: object) -> None:
        # asyncio's constructor makes its own empty queue here; the native one is empty already.
        pass

    @property
    def _conn_lost(self) -> int:
        return self._io.conn_lost

    @_conn_lost.setter
    def _conn_lost(self, count: int) -> None:
        self._io.conn_lost = count

    @property
    def _eof(self) -> bool:
        return self._io.eof

    @_eof.setter
    def _eof(self, eof: bool) -> None:
        self._io.eof = eof

    @property
    def _empty_waiter(self) -> asyncio.Future[None] | None:
        return self._io.empty_waiter

    @_empty_waiter.setter
    def _empty_waiter(self, waiter: asyncio.Future[None] | None) -> None:
        self._io.empty_waiter = waiter

    def set_protocol(self, protocol: Any) -> None:
        super().set_protocol(protocol)
        self._io.set_protocol(protocol, isinstance(protocol, asyncio.BufferedProtocol))

    def get_write_buffer_size(self) -> int:
        return self._io.queued

    def _add_reader(self, fd: int, callback: Any, *args: Any) -> None:
        if self.is_reading():
            self._io.start_reading()

    def writelines(self, list_of_data: Any) -> None:
        """Only called once the connection is lost: while it is there, the native half answers (see `__init__`)."""
        self._unusual("writelines", list_of_data)

    def _unusual(self, method: str, data: Any) -> None:
        """A write that asyncio refuses, warns about or ignores: its own method does so."""
        if method == "writelines" and self._conn_lost and not self._eof and self._empty_waiter is None:
            # asyncio's own would touch its queue here.
            method, data = "write", b"".join(data)
        getattr(_Stock, method)(self, data)

    def _flushed(self) -> None:
        """The native half has sent some or all of what was queued.

        Source: CPython `_SelectorSocketTransport._write_sendmsg`, from the send on.
        """
        self._maybe_resume_protocol()  # May queue more.
        if self._io.queued or self._loop is None:
            return
        self._loop._remove_writer(self._sock_fd)
        waiter = self._io.empty_waiter
        if waiter is not None:
            waiter.set_result(None)
        if self._closing:
            if not self._io.conn_lost:
                self._io.conn_lost += 1
                self._call_connection_lost(None)
        elif self._io.eof:
            self._sock.shutdown(socket.SHUT_WR)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            super()._call_connection_lost(exc)
        finally:
            self._io.detach()
            # From here on asyncio's own methods answer: they count late writes and warn about them.
            del self.write, self.writelines


def __getattr__(name: str) -> Any:
    """What is not defined here is asyncio's: `oxio.transports` stands in for `asyncio.transports`."""
    return getattr(_transports, name)
