"""Protocols and handlers that write down what happened to them."""

import asyncio
import time

NOT_YET = "not yet"
"""`error` of a protocol whose connection_lost was not called. None would mean a clean end."""


class Recorder(asyncio.Protocol):
    """Keeps the received bytes and the order of the calls, runs of data_received folded into one entry."""

    stay_open_after_eof = False

    def __init__(self):
        self.events = []
        self.received = bytearray()
        self.transport = None
        self.error = NOT_YET

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def data_received(self, data):
        assert type(data) is bytes
        assert data, "data_received must not be called without data"
        self.received += data
        if self.events[-1] != "data":
            self.events.append("data")

    def eof_received(self):
        self.events.append("eof")
        return self.stay_open_after_eof

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, error):
        self.events.append("lost")
        self.error = error

    @property
    def is_lost(self):
        return self.error != NOT_YET

    async def wait_lost(self):
        await wait_until(lambda: self.is_lost)
        return self.error

    async def wait_received(self, count):
        await wait_until(lambda: len(self.received) >= count)
        return bytes(self.received)


class BufferedRecorder(asyncio.BufferedProtocol, Recorder):
    """The same by BufferedProtocol, with a buffer of a chosen size."""

    buffer_size = 4096

    def connection_made(self, transport):
        Recorder.connection_made(self, transport)
        self.buffer = bytearray(self.buffer_size)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        assert 0 < count <= len(self.buffer)
        self.received += self.buffer[:count]
        if self.events[-1] != "data":
            self.events.append("data")

    def eof_received(self):
        return Recorder.eof_received(self)

    pause_writing = Recorder.pause_writing
    resume_writing = Recorder.resume_writing
    connection_lost = Recorder.connection_lost


class Echo(Recorder):
    """Sends everything back."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


class BufferedEcho(BufferedRecorder):
    def buffer_updated(self, count):
        super().buffer_updated(count)
        self.transport.write(bytes(self.buffer[:count]))


async def wait_until(condition, seconds=10.0):
    """Lets the loop turn until the condition holds. Polls, so that it needs nothing of what is tested but sleep."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        await asyncio.sleep(0.0005)


async def turns(count):
    """Lets the loop take that many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def record_errors(loop):
    """Sets an exception handler that keeps the contexts it is given; returns the list."""
    contexts = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    return contexts
