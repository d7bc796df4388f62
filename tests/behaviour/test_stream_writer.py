"""StreamWriter and StreamReaderProtocol on a transport of the test's own: drain, closing, what is passed on."""

import asyncio
import gc
import inspect
import weakref

import pytest

from interleaving import count_turns, note, on_stock
from recording import turns


class Transport(asyncio.Transport):
    """Writes down what is asked of it."""

    def __init__(self):
        super().__init__({"peername": "peer"})
        self.log = []
        self.closing = False

    def __repr__(self):
        return "<transport>"

    def write(self, data):
        self.log.append(bytes(data))

    def writelines(self, chunks):
        self.log.append([bytes(chunk) for chunk in chunks])

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.log.append("eof")

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True
        self.log.append("close")


class Stream:
    """A writer with its parts. `protocol` is what a transport would call."""

    def __init__(self, module, **options):
        loop = asyncio.get_running_loop()
        self.reader = module.StreamReader(loop=loop)
        self.protocol = module.StreamReaderProtocol(self.reader, loop=loop, **options)
        self.transport = Transport()
        self.protocol.connection_made(self.transport)
        self.writer = module.StreamWriter(self.transport, self.protocol, self.reader, loop)

    def lose(self, error=None):
        self.transport.closing = True
        self.protocol.connection_lost(error)


@pytest.fixture
def connected(run, loop_module):
    """Runs a scenario with a `Stream`, whose connection is lost in the end."""

    def connected(scenario, **options):
        async def main():
            stream = Stream(loop_module)
            try:
                await scenario(stream)
            finally:
                if not stream.transport.closing:
                    stream.transport.close()
                if stream.protocol._transport is not None:
                    stream.lose()

        run(main(), **options)

    return connected


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def test_calls_are_passed_on_to_the_transport(connected):
    async def scenario(stream):
        writer = stream.writer
        assert writer.transport is stream.transport
        assert writer.write(b"one") is None
        assert writer.writelines([b"two", bytearray(b"three")]) is None
        assert writer.can_write_eof() is True
        assert writer.write_eof() is None
        assert writer.get_extra_info("peername") == "peer"
        assert writer.get_extra_info("nothing") is None
        assert writer.get_extra_info("nothing", "default") == "default"
        assert writer.get_extra_info("nothing", default="default") == "default"
        assert writer.is_closing() is False
        assert writer.close() is None
        assert writer.is_closing() is True
        assert stream.transport.log == [b"one", [b"two", b"three"], "eof", "close"]

    connected(scenario)


def test_drain_that_need_not_wait_takes_no_turn(connected):
    async def scenario(stream):
        log = []
        count_turns(log)
        for _ in range(3):
            stream.writer.write(b"x")
            assert await stream.writer.drain() is None
        assert log == []

    connected(scenario)


def test_drain_waits_while_the_transport_says_so(connected):
    async def scenario(stream):
        stream.protocol.pause_writing()
        log = []
        await start(*(note(log, name, stream.writer.drain()) for name in "abc"))
        await turns(3)
        assert log == []
        count_turns(log, 2)
        stream.protocol.resume_writing()
        assert log == []
        await turns(3)
        assert log == [1, "a", "b", "c", 2]
        await stream.writer.drain()

    connected(scenario)


def test_a_drain_woken_by_resume_returns_although_writing_is_paused_again(connected):
    async def scenario(stream):
        stream.protocol.pause_writing()
        [task] = await start(stream.writer.drain())
        stream.protocol.resume_writing()
        stream.protocol.pause_writing()
        await turns(2)
        assert task.done()
        stream.protocol.resume_writing()

    connected(scenario)


def test_a_cancelled_drain_leaves_the_others(connected):
    async def scenario(stream):
        stream.protocol.pause_writing()
        log = []
        a, b = await start(note(log, "a", stream.writer.drain()), note(log, "b", stream.writer.drain()))
        a.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await a
        stream.protocol.resume_writing()
        await b
        assert log == ["a cancelled", "b"]

    connected(scenario)


def test_a_drain_cancelled_after_it_was_woken_is_cancelled(connected):
    async def scenario(stream):
        stream.protocol.pause_writing()
        [task] = await start(stream.writer.drain())
        stream.protocol.resume_writing()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    connected(scenario)


def test_pausing_twice_and_resuming_without_pause_are_errors(connected):
    async def scenario(stream):
        with pytest.raises(AssertionError):
            stream.protocol.resume_writing()
        stream.protocol.pause_writing()
        with pytest.raises(AssertionError):
            stream.protocol.pause_writing()
        stream.protocol.resume_writing()

    connected(scenario)


def test_drain_raises_what_the_reader_has(connected):
    async def scenario(stream):
        error = ConnectionResetError("gone")
        stream.reader.set_exception(error)
        with pytest.raises(ConnectionResetError) as caught:
            await stream.writer.drain()
        assert caught.value is error

    connected(scenario)


def test_drain_after_the_connection_is_lost_is_an_error(connected):
    async def scenario(stream):
        stream.lose()
        with pytest.raises(ConnectionResetError, match="^Connection lost$"):
            await stream.writer.drain()

    connected(scenario)


def test_drain_of_a_closing_transport_takes_a_turn_to_hear_of_the_loss(connected):
    async def scenario(stream):
        log = []
        stream.transport.closing = True
        count_turns(log, 2)
        await stream.writer.drain()
        assert log == [1]
        asyncio.get_running_loop().call_soon(stream.lose)
        with pytest.raises(ConnectionResetError, match="^Connection lost$"):
            await stream.writer.drain()

    connected(scenario)


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")])
def test_a_lost_connection_wakes_who_drains(connected, error):
    async def scenario(stream):
        stream.protocol.pause_writing()
        tasks = await start(stream.writer.drain(), stream.writer.drain())
        stream.lose(error)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results == [error, error]

    connected(scenario)


def test_a_writer_without_a_reader_drains(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        protocol = loop_module.StreamReaderProtocol(None, loop=loop)
        transport = Transport()
        protocol.connection_made(transport)
        writer = loop_module.StreamWriter(transport, protocol, None, loop)
        await writer.drain()
        protocol.data_received(b"nobody reads")
        assert protocol.eof_received() is True
        assert repr(writer) == "<StreamWriter transport=<transport>>"
        writer.close()
        protocol.connection_lost(None)
        await writer.wait_closed()

    run(main())


def test_the_reader_of_a_writer_must_be_one(run, loop_module):
    async def main():
        transport, loop = Transport(), asyncio.get_running_loop()
        transport.close()
        with pytest.raises(AssertionError):
            loop_module.StreamWriter(transport, loop_module.StreamReaderProtocol(None), object(), loop)
        # Either module's reader will do.
        reader = asyncio.StreamReader()
        writer = loop_module.StreamWriter(transport, loop_module.StreamReaderProtocol(reader), reader, loop)
        await asyncio.sleep(0)
        assert writer.is_closing()

    run(main())
    gc.collect()


def test_a_writer_drives_any_protocol_with_a_drain_helper(run, loop_module):
    # Subprocess and TLS code of others comes with its own.
    async def main():
        calls = []

        class Protocol:
            async def _drain_helper(self):
                calls.append("drain")

            def _get_close_waiter(self, stream):
                calls.append(stream)
                return asyncio.sleep(0)

        transport, loop = Transport(), asyncio.get_running_loop()
        writer = loop_module.StreamWriter(transport, Protocol(), None, loop)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert calls == ["drain", writer]

    run(main())


# Closing


def test_wait_closed_waits_for_the_loss(connected):
    async def scenario(stream):
        stream.writer.close()
        tasks = await start(stream.writer.wait_closed(), stream.writer.wait_closed())
        await turns(3)
        assert not any(task.done() for task in tasks)
        stream.lose()
        await asyncio.wait(tasks)
        assert [task.result() for task in tasks] == [None, None]
        await stream.writer.wait_closed()

    connected(scenario)


def test_wait_closed_raises_the_reason_of_the_loss(connected):
    async def scenario(stream):
        error = ConnectionResetError("reset")
        stream.lose(error)
        for _ in range(2):
            with pytest.raises(ConnectionResetError) as caught:
                await stream.writer.wait_closed()
            assert caught.value is error

    connected(scenario)


def test_a_reason_nobody_asks_for_is_not_reported(connected):
    async def scenario(stream):
        stream.lose(ConnectionResetError("reset"))

    connected(scenario)
    gc.collect()


def test_a_cancelled_wait_closed_cancels_asyncios_own_future_or_not_as_in_asyncio(run, loop_module):
    async def scenario(module):
        stream = Stream(module)
        stream.writer.close()
        first, second = await start(stream.writer.wait_closed(), stream.writer.wait_closed())
        first.cancel()
        await turns(2)
        log = [first.cancelled(), second.cancelled(), second.done()]
        stream.lose()
        log.append(str(await asyncio.gather(first, second, return_exceptions=True)))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_forgotten_writer_closes_and_warns(run, loop_module, recorded_warnings):
    async def scenario(module):
        stream = Stream(module)
        transport, protocol = stream.transport, stream.protocol
        del stream.writer
        gc.collect()
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        return transport.log

    ours, messages = run(scenario(loop_module)), [str(w.message) for w in recorded_warnings]
    recorded_warnings.clear()
    stock = on_stock(scenario)
    assert ours == stock
    assert messages == [str(w.message) for w in recorded_warnings]


def test_repr_shows_the_transport_and_the_reader(connected):
    async def scenario(stream):
        assert repr(stream.writer) == (
            "<StreamWriter transport=<transport> reader=<StreamReader transport=<transport>>>"
        )

    connected(scenario)


# The protocol


def test_the_protocol_feeds_the_reader(connected):
    async def scenario(stream):
        [task] = await start(stream.reader.readline())
        stream.protocol.data_received(b"li")
        stream.protocol.data_received(b"ne\nrest")
        assert await task == b"line\n"
        assert stream.protocol.eof_received() is True, "the writing side stays open"
        assert await stream.reader.read() == b"rest"

    connected(scenario)


@pytest.mark.parametrize("error", [None, OSError("broken")])
def test_a_lost_connection_ends_the_reader(connected, error):
    async def scenario(stream):
        stream.protocol.data_received(b"rest")
        [task] = await start(stream.reader.readexactly(10))
        stream.lose(error)
        if error is None:
            with pytest.raises(asyncio.IncompleteReadError):
                await task
        else:
            with pytest.raises(OSError, match="broken") as caught:
                await task
            assert caught.value is error
            assert stream.reader.exception() is error

    connected(scenario)


def test_a_callback_of_the_protocol_gets_both_ends(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        called = []
        for callback in (lambda *ends: called.append(ends), coroutine_callback(called)):
            reader = loop_module.StreamReader()
            protocol = loop_module.StreamReaderProtocol(reader, callback, loop=loop)
            transport = Transport()
            protocol.connection_made(transport)
            await turns(2)
            [(given, writer)] = called
            called.clear()
            assert given is reader
            assert type(writer) is loop_module.StreamWriter
            assert writer.transport is transport
            writer.close()
            protocol.connection_lost(None)

    def coroutine_callback(called):
        async def callback(reader, writer):
            await asyncio.sleep(0)
            called.append((reader, writer))

        return callback

    run(main())


def test_a_callback_that_fails_is_reported_and_closes_the_transport(run, loop_module):
    async def scenario(module):
        loop = asyncio.get_running_loop()
        contexts = []
        loop.set_exception_handler(lambda loop, context: contexts.append(context))

        async def callback(reader, writer):
            await asyncio.sleep(0)
            raise ValueError("bad")

        protocol = module.StreamReaderProtocol(module.StreamReader(), callback, loop=loop)
        transport = Transport()
        protocol.connection_made(transport)
        await turns(4)
        [context] = contexts
        assert context["transport"] is transport
        result = [context["message"], sorted(context), str(context["exception"]), transport.log]
        protocol.connection_lost(None)
        return result

    ours = run(scenario(loop_module))
    assert ours == on_stock(scenario)
    assert ours[0] == "Unhandled exception in client_connected_cb"


def test_a_cancelled_callback_fares_as_in_asyncio(run, loop_module):
    async def scenario(module):
        loop = asyncio.get_running_loop()
        messages = []
        loop.set_exception_handler(lambda loop, context: messages.append(context["message"]))
        tasks = []

        async def callback(reader, writer):
            tasks.append(asyncio.current_task())
            await asyncio.get_running_loop().create_future()

        protocol = module.StreamReaderProtocol(module.StreamReader(), callback, loop=loop)
        transport = Transport()
        protocol.connection_made(transport)
        await turns(2)
        tasks[0].cancel()
        await turns(3)
        log = list(transport.log)
        transport.close()
        protocol.connection_lost(None)
        return log, [message.partition(" ")[0] for message in messages]

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_stream_collected_before_the_connection_is_made_is_fared_with_as_in_asyncio(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        reader = loop_module.StreamReader()
        protocol = loop_module.StreamReaderProtocol(reader, loop=loop)
        reference = weakref.ref(reader)
        del reader
        gc.collect()
        assert reference() is None, "a client's protocol holds its reader weakly"
        transport = Transport()
        protocol.connection_made(transport)
        protocol.data_received(b"nobody")
        protocol.connection_lost(None)
        transport.close()

    run(main())


def test_a_servers_protocol_holds_its_reader_until_the_connection_is_made(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        ends = []
        reader = loop_module.StreamReader()
        protocol = loop_module.StreamReaderProtocol(reader, lambda *both: ends.append(both), loop=loop)
        del reader
        gc.collect()
        transport = Transport()
        protocol.connection_made(transport)
        assert ends[0][0] is not None
        protocol.data_received(b"data")
        assert await ends[0][0].read(4) == b"data"
        transport.close()
        protocol.connection_lost(None)

    run(main())


def test_the_classes_are_asyncios(loop_module):
    for name in ("StreamReader", "StreamWriter", "StreamReaderProtocol"):
        ours, stock = getattr(loop_module, name), getattr(asyncio, name)
        assert issubclass(ours, stock)
        assert inspect.signature(ours) == inspect.signature(stock)
        assert ours.__name__ == name
    assert issubclass(loop_module.StreamReaderProtocol, asyncio.Protocol)


def test_subclasses_have_their_own_constructors_and_methods(run, loop_module):
    class Writer(loop_module.StreamWriter):
        def __init__(self, name, *parts):
            super().__init__(*parts)
            self.log = [name]

        def write(self, data):
            self.log.append(data)
            super().write(data)

        async def drain(self):
            self.log.append("drain")
            await super().drain()

    class Protocol(loop_module.StreamReaderProtocol):
        def __init__(self, name, *arguments, **options):
            super().__init__(*arguments, **options)
            self.log = [name]

        def data_received(self, data):
            self.log.append(data)
            super().data_received(data)

        def connection_lost(self, error):
            self.log.append(error)
            super().connection_lost(error)

        async def _drain_helper(self):
            self.log.append("helper")
            await super()._drain_helper()

    async def main():
        loop = asyncio.get_running_loop()
        reader = loop_module.StreamReader()
        protocol = Protocol("protocol", reader, loop=loop)
        transport = Transport()
        protocol.connection_made(transport)
        writer = Writer("writer", transport, protocol, reader, loop)
        writer.write(b"x")
        await writer.drain()
        protocol.pause_writing()
        [task] = await start(writer.drain())
        protocol.resume_writing()
        await task
        protocol.data_received(b"y")
        assert await reader.read(1) == b"y"
        writer.close()
        protocol.connection_lost(None)
        await writer.wait_closed()
        assert writer.log == ["writer", b"x", "drain", "drain"]
        assert protocol.log == ["protocol", "helper", "helper", b"y", None]

    run(main())


def test_the_private_names_that_libraries_use_are_there(connected):
    async def scenario(stream):
        writer, protocol = stream.writer, stream.protocol
        assert writer._transport is stream.transport
        assert writer._protocol is protocol
        assert writer._reader is stream.reader
        assert writer._loop is asyncio.get_running_loop()
        assert protocol._stream_reader is stream.reader
        assert protocol._transport is stream.transport
        assert protocol._over_ssl is False
        assert protocol._paused is False
        protocol.pause_writing()
        assert protocol._paused is True
        protocol.resume_writing()
        other = Transport()
        writer._transport = other
        writer.write(b"to the other")
        assert other.log == [b"to the other"]
        writer._transport = stream.transport

    connected(scenario)


def test_drain_that_is_not_awaited_warns(connected, recorded_warnings):
    async def scenario(stream):
        stream.writer.drain()
        gc.collect()

    connected(scenario)
    assert "coroutine 'StreamWriter.drain' was never awaited" in [str(w.message) for w in recorded_warnings]


def test_a_finished_stream_is_collected(run, loop_module):
    async def main():
        stream = Stream(loop_module)
        [task] = await start(stream.reader.read(1))
        stream.protocol.data_received(b"x")
        await task
        stream.writer.close()
        stream.lose()
        await stream.writer.wait_closed()
        references = [weakref.ref(part) for part in (stream.reader, stream.writer, stream.protocol)]
        del stream, task
        await turns(1)
        gc.collect()
        assert [reference() for reference in references] == [None, None, None]

    run(main())
