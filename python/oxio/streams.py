"""asyncio.streams with oxio's reader, writer and protocol: what is not defined here is asyncio's.

What happens per packet and per read is native and stands before asyncio's classes, which have the rest on the same state:
connections made and lost, TLS, waiting in drain(), hooks for subclasses. Functions that make readers and writers are the
running version's own code, with these classes in place of asyncio's.
"""

import functools
import sys
import types
from asyncio import streams as _streams
from asyncio.streams import *

from oxio import _oxio
from oxio.statistics import StreamReaderStatistics

__all__ = _streams.__all__


def _with_names(module, function, names):
    """asyncio's `function` for which `names` mean these objects."""
    rebound = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    functools.update_wrapper(rebound, function)
    rebound.__kwdefaults__ = function.__kwdefaults__
    rebound.__module__ = module
    del rebound.__wrapped__
    return rebound


class StreamReader(_oxio.StreamReader, _streams.StreamReader):
    __doc__ = _streams.StreamReader.__doc__

    def statistics(self) -> StreamReaderStatistics:
        """How many bytes are buffered, whether a read waits, and whether the transport is paused."""
        waiters = 0 if self._waiter is None else 1
        return StreamReaderStatistics(self._buffered, self._limit, waiters, self._paused, self.at_eof())


class StreamWriter(_oxio.StreamWriter, _streams.StreamWriter):
    __doc__ = _streams.StreamWriter.__doc__

    if sys.version_info < (3, 12):

        async def start_tls(
            self,
            sslcontext,
            *,
            server_hostname=None,
            ssl_handshake_timeout=None,
            ssl_shutdown_timeout=None,
        ):
            """Upgrade an existing stream-based connection to TLS."""
            protocol = self._protocol
            await self.drain()
            self._transport = await self._loop.start_tls(
                self._transport,
                protocol,
                sslcontext,
                server_side=protocol._client_connected_cb is not None,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
            protocol._replace_writer(self)


class FlowControlMixin(_oxio.FlowControl, _streams.FlowControlMixin):
    __doc__ = _streams.FlowControlMixin.__doc__


class StreamReaderProtocol(_oxio.StreamReaderProtocol, FlowControlMixin, _streams.StreamReaderProtocol):
    __doc__ = _streams.StreamReaderProtocol.__doc__

    connection_made = _with_names(
        __name__, _streams.StreamReaderProtocol.connection_made, {"StreamWriter": StreamWriter}
    )


_CLASSES = {
    "StreamReader": StreamReader,
    "StreamReaderProtocol": StreamReaderProtocol,
    "StreamWriter": StreamWriter,
}
open_connection = _with_names(__name__, _streams.open_connection, _CLASSES)
start_server = _with_names(__name__, _streams.start_server, _CLASSES)
open_unix_connection = _with_names(__name__, _streams.open_unix_connection, _CLASSES)
start_unix_server = _with_names(__name__, _streams.start_unix_server, _CLASSES)

# asyncio's writer asserts that its reader is a `StreamReader`, by that name. With oxio's under the name it must still take
# the readers that were made, or whose class was imported, before.
_stock_writer_init = _with_names(
    __name__, _streams.StreamWriter.__init__, {"StreamReader": _streams.StreamReader}
)


def __getattr__(name: str) -> object:
    return getattr(_streams, name)
