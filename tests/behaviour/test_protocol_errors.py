"""Protocols and factories that raise: one report with asyncio's keys, one connection lost, a loop that goes on."""

import asyncio
import gc
import socket

import pytest

from recording import BufferedRecorder, Echo, Recorder, record_errors, turns, wait_until
from sockets import attached, connect, read_all, reset, serve, stream_pair


def raising(base, method, error=ValueError):
    def bad(self, *args):
        raise error(f"bad {method}")

    return type("Raises", (base,), {method: bad})


async def eventually_closed(peer):
    try:
        assert await read_all(peer) == b""
    except ConnectionResetError:
        pass


@pytest.mark.parametrize(
    "base, method, message",
    [
        (Recorder, "data_received", "Fatal error: protocol.data_received() call failed."),
        (BufferedRecorder, "get_buffer", "Fatal error: protocol.get_buffer() call failed."),
        (BufferedRecorder, "buffer_updated", "Fatal error: protocol.buffer_updated() call failed."),
    ],
)
def test_a_raising_read_callback_ends_the_connection_with_that_error(run, family, base, method, message):
    async def main():
        loop = asyncio.get_running_loop()
        contexts = record_errors(loop)
        async with attached(family, raising(base, method)) as (protocol, peer):
            await loop.sock_sendall(peer, b"x")
            error = await protocol.wait_lost()
            assert str(error) == f"bad {method}"
            assert protocol.transport.is_closing()
            await eventually_closed(peer)
        (context,) = contexts
        assert context["message"] == message
        assert context["exception"] is error
        assert context["transport"] is protocol.transport
        assert context["protocol"] is protocol

    run(main())


@pytest.mark.parametrize("base", [Recorder, BufferedRecorder])
def test_a_raising_eof_received_ends_the_connection_with_that_error(run, family, base):
    async def main():
        contexts = record_errors(asyncio.get_running_loop())
        async with attached(family, raising(base, "eof_received")) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            assert str(await protocol.wait_lost()) == "bad eof_received"
        assert [context["message"] for context in contexts] == [
            "Fatal error: protocol.eof_received() call failed."
        ]

    run(main())


@pytest.mark.parametrize(
    "buffer", [b"", bytearray(), memoryview(b"")], ids=["bytes", "bytearray", "memoryview"]
)
def test_an_empty_buffer_from_get_buffer_ends_the_connection(run, family, buffer):
    class Empty(BufferedRecorder):
        def get_buffer(self, sizehint):
            return buffer

    async def main():
        loop = asyncio.get_running_loop()
        contexts = record_errors(loop)
        async with attached(family, Empty) as (protocol, peer):
            await loop.sock_sendall(peer, b"x")
            error = await protocol.wait_lost()
            assert isinstance(error, RuntimeError)
            assert "get_buffer() returned an empty buffer" in str(error)
        assert [context["message"] for context in contexts] == [
            "Fatal error: protocol.get_buffer() call failed."
        ]

    run(main())


@pytest.mark.parametrize("buffer", [b"read only", "text", None, 42], ids=["bytes", "str", "None", "int"])
def test_a_buffer_that_cannot_be_written_to_ends_the_connection(run, family, buffer):
    class Useless(BufferedRecorder):
        def get_buffer(self, sizehint):
            return buffer

    async def main():
        loop = asyncio.get_running_loop()
        contexts = record_errors(loop)
        async with attached(family, Useless) as (protocol, peer):
            await loop.sock_sendall(peer, b"x")
            assert isinstance(await protocol.wait_lost(), (TypeError, BufferError))
        assert len(contexts) == 1

    run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(
    "base, method",
    [(Recorder, "data_received"), (BufferedRecorder, "buffer_updated"), (Recorder, "connection_lost")],
)
def test_exits_leave_the_loop_from_within_a_protocol(loop, family, base, method, error):
    contexts = record_errors(loop)
    ours, peer = stream_pair(family)

    async def main():
        transport, _ = await loop.create_connection(lambda: raising(base, method, error)(), sock=ours)
        if method == "connection_lost":
            transport.close()
        else:
            peer.send(b"x")
        return transport

    with peer:
        # The exit may come before or after main() returns its transport.
        with pytest.raises(error, match=f"bad {method}"):
            loop.run_until_complete(main())
            loop.run_forever()
        assert contexts == []
        for _ in range(4):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert asyncio.all_tasks(loop) == set()


def test_a_raising_connection_made_is_reported_and_the_loop_goes_on(run, family, tmp_path):
    async def main():
        contexts = record_errors(asyncio.get_running_loop())
        async with await serve(raising(Recorder, "connection_made"), family, tmp_path) as server:
            _, client = await connect(Recorder, server)
            await wait_until(lambda: contexts)
            client.transport.abort()
            await client.wait_lost()
            _, another = await connect(Recorder, server)
            another.transport.abort()
            await another.wait_lost()
            await asyncio.sleep(0.005)
        assert {str(context["exception"]) for context in contexts} == {"bad connection_made"}

    run(main())


def test_a_raising_connection_lost_is_reported_and_the_socket_closed(run, family):
    async def main():
        loop = asyncio.get_running_loop()
        contexts = record_errors(loop)
        ours, peer = stream_pair(family)
        with peer:
            peer.setblocking(False)
            transport, _ = await loop.create_connection(raising(Recorder, "connection_lost"), sock=ours)
            transport.close()
            assert await read_all(peer) == b""
        assert [str(context["exception"]) for context in contexts] == ["bad connection_lost"]
        assert ours.fileno() == -1

    run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_a_server_whose_factory_raises_goes_on_serving(run, family, tmp_path, debug):
    # rloop aborts the process here.
    made = []

    def factory():
        made.append(True)
        if len(made) == 1:
            raise ValueError("bad factory")
        return Echo()

    async def main():
        contexts = record_errors(asyncio.get_running_loop())
        async with await serve(factory, family, tmp_path) as server:
            _, first = await connect(Recorder, server)
            await wait_until(lambda: made)
            await turns(2)
            if debug:
                assert str(contexts[0]["exception"]) == "bad factory"
                assert contexts[0]["message"] == "Error on transport creation for incoming connection"
            # asyncio's socket lives as long as the traceback in the report, which is in a cycle.
            contexts.clear()
            gc.collect()
            await first.wait_lost()
            _, second = await connect(Recorder, server)
            second.transport.write(b"echo")
            assert await second.wait_received(4) == b"echo"
            second.transport.close()
            await second.wait_lost()
            await turns(3)

    run(main(), debug=debug)


def test_a_client_whose_factory_raises_gets_the_error(run, family, tmp_path):
    def factory():
        raise ValueError("bad factory")

    async def main():
        async with await serve(Recorder, family, tmp_path) as server:
            with pytest.raises(ValueError, match="bad factory"):
                await connect(factory, server)

    run(main())


def test_a_factory_that_makes_nonsense_does_not_stop_the_server(run, family, tmp_path):
    made = []

    def factory():
        made.append(True)
        return object() if len(made) == 1 else Echo()

    async def main():
        contexts = record_errors(asyncio.get_running_loop())
        server = await serve(factory, family, tmp_path)
        _, first = await connect(Recorder, server)
        await wait_until(lambda: contexts)
        _, second = await connect(Recorder, server)
        second.transport.write(b"echo")
        assert await second.wait_received(4) == b"echo"
        for client in (first, second):
            if not client.is_lost:
                client.transport.abort()
            await client.wait_lost()
        await turns(3)
        # Not wait_closed(): asyncio still counts the connection that never came to be.
        server.close()

    run(main(), debug=True)


def test_an_expected_end_of_the_connection_is_not_reported(run):
    # A reset is everyday life: connection_lost gets it, the exception handler does not.
    async def main():
        contexts = record_errors(asyncio.get_running_loop())
        async with attached("tcp") as (protocol, peer):
            reset(peer)
            assert isinstance(await protocol.wait_lost(), ConnectionResetError)
        assert contexts == []

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("where", ["data_received", "eof_received", "connection_made"])
@pytest.mark.parametrize("base", [Recorder, BufferedRecorder], ids=["Protocol", "BufferedProtocol"])
def test_a_protocol_may_end_its_connection_from_any_callback(run, family, how, where, base):
    if base is BufferedRecorder and where == "data_received":
        where = "buffer_updated"

    def end(self, *args):
        getattr(base, where)(self, *args)
        getattr(self.transport, how)()

    Ends = type("Ends", (base,), {where: end})

    async def main():
        async with attached(family, Ends) as (protocol, peer):
            if where in ("data_received", "buffer_updated"):
                peer.send(b"x")
                await protocol.wait_received(1)
            elif where == "eof_received":
                peer.shutdown(socket.SHUT_WR)
            assert await protocol.wait_lost() is None
            assert protocol.events.count("lost") == 1
            assert protocol.events[-1] == "lost"

    run(main())


def test_a_protocol_may_drop_its_transport_in_connection_lost(run, family):
    import weakref

    class Drops(Recorder):
        def connection_lost(self, error):
            super().connection_lost(error)
            self.transport = None

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = stream_pair(family)
        with peer:
            transport, protocol = await loop.create_connection(Drops, sock=ours)
            gone = weakref.ref(transport)
            transport.close()
            del transport
            await protocol.wait_lost()
            await turns(2)
            gc.collect()
            assert gone() is None

    run(main())
