"""TCP and Unix stream transports by Protocol and BufferedProtocol."""

import array
import asyncio
import contextlib
import random
import socket
import struct

import pytest

from recording import BufferedEcho, BufferedRecorder, Echo, Recorder, turns, wait_until
from sockets import attached, conversation, read_all, read_exactly, reset, stream_pair


@pytest.fixture(params=[Recorder, BufferedRecorder], ids=["Protocol", "BufferedProtocol"])
def recorder(request):
    return request.param


@pytest.fixture(params=[Echo, BufferedEcho], ids=["Protocol", "BufferedProtocol"])
def echo(request):
    return request.param


def test_an_echo_comes_back_whole(run, family, tmp_path, echo, recorder):
    async def main():
        async with conversation(family, tmp_path, echo, recorder) as (server, client):
            for size in (1, 100, 10_000, 1_000_000):
                message = random.Random(size).randbytes(size)
                del client.received[:]
                client.transport.write(message)
                assert await client.wait_received(size) == message

    run(main())


def test_connection_made_comes_first_and_connection_lost_last(run, family, recorder):
    async def main():
        async with attached(family, recorder) as (protocol, peer):
            await asyncio.get_running_loop().sock_sendall(peer, b"hello")
            await protocol.wait_received(5)
            peer.shutdown(socket.SHUT_WR)
            assert await protocol.wait_lost() is None
            assert protocol.events == ["made", "data", "eof", "lost"]

    run(main())


def test_write_eof_half_closes_and_the_peer_still_answers(run, family, tmp_path, recorder):
    class AnswersAtTheEnd(Recorder):
        stay_open_after_eof = True

        def eof_received(self):
            super().eof_received()
            self.transport.write(b"got " + bytes(self.received))
            self.transport.write_eof()
            return True

    async def main():
        async with conversation(family, tmp_path, AnswersAtTheEnd, recorder) as (server, client):
            assert client.transport.can_write_eof()
            client.transport.write(b"question")
            client.transport.write_eof()
            assert await client.wait_received(12) == b"got question"
            assert await client.wait_lost() is None
            assert client.events == ["made", "data", "eof", "lost"]
            server.transport.close()
            await server.wait_lost()

    run(main())


def test_write_eof_waits_for_what_is_buffered(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            message = random.Random(1).randbytes(400_000)
            protocol.transport.write(message)
            protocol.transport.write_eof()
            protocol.transport.write_eof()
            with pytest.raises(RuntimeError, match="write_eof"):
                protocol.transport.write(b"late")
            assert await read_all(peer) == message

    run(main())


def test_the_peers_end_of_file_closes_the_transport_by_itself(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            assert await protocol.wait_lost() is None
            assert protocol.transport.is_closing()
            assert await read_all(peer) == b""

    run(main())


@pytest.mark.parametrize("answer", [True, False, None, "true enough"])
def test_eof_received_decides_whether_the_transport_stays_open(run, family, answer):
    class Decides(Recorder):
        stay_open_after_eof = answer

    async def main():
        async with attached(family, Decides) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await wait_until(lambda: "eof" in protocol.events)
            await asyncio.sleep(0.003)
            if answer:
                assert not protocol.transport.is_closing()
                assert protocol.events == ["made", "eof"], "told once, not in every turn"
                protocol.transport.write(b"after the end")
                assert await read_exactly(peer, 13) == b"after the end"
            else:
                assert protocol.transport.is_closing()
                assert await protocol.wait_lost() is None

    run(main())


def test_a_reset_arrives_as_connection_reset_error(run, recorder):
    async def main():
        async with attached("tcp", recorder) as (protocol, peer):
            reset(peer)
            assert isinstance(await protocol.wait_lost(), ConnectionResetError)
            assert protocol.events == ["made", "lost"]
            assert protocol.transport.is_closing()

    run(main())


def test_a_reset_while_writing_arrives_as_an_error(run):
    async def main():
        async with attached("tcp", tiny=True) as (protocol, peer):
            protocol.transport.pause_reading()
            protocol.transport.write(bytes(1_000_000))
            await asyncio.sleep(0.002)
            reset(peer)
            error = await protocol.wait_lost()
            assert isinstance(error, (ConnectionResetError, BrokenPipeError))
            assert protocol.transport.get_write_buffer_size() == 0

    run(main())


def test_a_peer_that_is_gone_while_writing_arrives_as_an_error(run, family, asyncio_log):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.pause_reading()
            protocol.transport.write(bytes(1_000_000))
            await asyncio.sleep(0.002)
            peer.close()
            assert isinstance(await protocol.wait_lost(), (ConnectionResetError, BrokenPipeError))

    run(main())


def test_close_sends_what_is_buffered_first(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            message = random.Random(2).randbytes(400_000)
            protocol.transport.write(message)
            assert protocol.transport.get_write_buffer_size() > 0
            protocol.transport.close()
            assert protocol.transport.is_closing()
            assert not protocol.is_lost
            assert await read_all(peer) == message
            assert await protocol.wait_lost() is None

    run(main())


def test_abort_drops_what_is_buffered(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(400_000))
            protocol.transport.abort()
            assert protocol.transport.is_closing()
            assert protocol.transport.get_write_buffer_size() == 0
            assert await protocol.wait_lost() is None
            assert len(await read_all(peer)) < 400_000

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_connection_lost_is_never_called_from_within_close(run, family, how):
    async def main():
        async with attached(family) as (protocol, peer):
            getattr(protocol.transport, how)()
            assert protocol.events == ["made"]
            await turns(2)
            assert protocol.events == ["made", "lost"]

    run(main())


def test_closing_twice_or_after_the_end_is_harmless(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.close()
            protocol.transport.close()
            protocol.transport.abort()
            await protocol.wait_lost()
            protocol.transport.close()
            protocol.transport.abort()
            await turns(3)
            assert protocol.events == ["made", "lost"]

    run(main())


@pytest.mark.oxio_only("asyncio raises AttributeError: its transport has forgotten its loop")
def test_abort_after_a_close_that_had_to_flush_is_harmless(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(100_000))
            protocol.transport.close()
            await read_all(peer)
            await protocol.wait_lost()
            protocol.transport.abort()
            protocol.transport.close()
            await turns(3)
            assert protocol.events.count("lost") == 1

    run(main())


def test_no_data_arrives_after_close(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(200_000))
            protocol.transport.close()
            await asyncio.get_running_loop().sock_sendall(peer, b"too late")
            with contextlib.suppress(ConnectionResetError):  # the kernel's answer to bytes nobody read
                await read_all(peer)
            await protocol.wait_lost()
            assert protocol.received == b""

    run(main())


def test_write_after_close_warns_then_drops(run, family, asyncio_log):
    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.close()
            await protocol.wait_lost()
            for _ in range(10):
                protocol.transport.write(b"lost")
            assert protocol.transport.get_write_buffer_size() == 0
            assert await read_all(peer) == b""

    run(main())
    assert set(asyncio_log.take()) == {"socket.send() raised exception."}


@pytest.mark.parametrize("bad", ["text", 42, None, [b"list"]])
def test_only_bytes_may_be_written(run, family, bad):
    async def main():
        async with attached(family) as (protocol, peer):
            with pytest.raises(TypeError):
                protocol.transport.write(bad)
            protocol.transport.write(b"still open")
            assert await read_exactly(peer, 10) == b"still open"

    run(main())


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        memoryview(b"_bytes_")[1:-1],
        array.array("B", b"bytes"),
    ],
    ids=["bytes", "bytearray", "memoryview", "slice", "array"],
)
def test_anything_with_a_buffer_may_be_written(run, family, data):
    if isinstance(data, array.array):
        data = memoryview(data)

    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.write(data)
            assert await read_exactly(peer, 5) == b"bytes"

    run(main())


def test_a_view_of_wider_items_is_written_byte_for_byte(run, family):
    numbers = array.array("I", range(100))

    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.write(memoryview(numbers))
            assert await read_exactly(peer, 400) == numbers.tobytes()

    run(main())


def test_writing_nothing_writes_nothing(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.write(b"")
            protocol.transport.writelines([])
            protocol.transport.writelines([b"", b""])
            protocol.transport.write(b"x")
            assert await read_exactly(peer, 1) == b"x"
            with pytest.raises(BlockingIOError):
                peer.recv(1)

    run(main())


def test_writelines_sends_all_pieces_in_order(run, family):
    pieces = [bytes([number % 256]) * (number % 700) for number in range(3000)]

    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            protocol.transport.writelines(pieces[:10])
            protocol.transport.write(b"between")
            protocol.transport.writelines(iter(pieces[10:]))
            protocol.transport.close()
            assert await read_all(peer) == b"".join(pieces[:10]) + b"between" + b"".join(pieces[10:])

    run(main())


def test_writelines_takes_mixed_buffers(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
            assert await read_exactly(peer, 3) == b"abc"

    run(main())


@pytest.mark.oxio_only(
    "later asyncio keeps a view of a mutable buffer and sends what was written into it since"
)
@pytest.mark.parametrize(
    "wrap", [bytearray, lambda data: memoryview(bytearray(data))], ids=["bytearray", "memoryview"]
)
@pytest.mark.parametrize("how", ["write", "writelines"])
def test_a_buffer_changed_after_write_is_sent_as_it_was(run, family, wrap, how):
    message = random.Random(3).randbytes(500_000)

    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            buffer = wrap(message)
            if how == "write":
                protocol.transport.write(buffer)
            else:
                protocol.transport.writelines([buffer])
            buffer[:] = bytes(len(buffer))
            protocol.transport.close()
            assert await read_all(peer) == message

    run(main())


def test_many_small_writes_arrive_in_order(run, family):
    async def main():
        async with attached(family, tiny=True) as (protocol, peer):
            for number in range(3_000):
                protocol.transport.write(struct.pack(">I", number))
            protocol.transport.close()
            received = await read_all(peer)
            assert received == b"".join(struct.pack(">I", number) for number in range(3_000))

    run(main())


def test_pause_reading_holds_data_back_and_resume_delivers_it(run, family, recorder):
    async def main():
        loop = asyncio.get_running_loop()
        async with attached(family, recorder) as (protocol, peer):
            assert protocol.transport.is_reading()
            protocol.transport.pause_reading()
            protocol.transport.pause_reading()
            assert not protocol.transport.is_reading()
            await loop.sock_sendall(peer, b"held back")
            await asyncio.sleep(0.005)
            assert protocol.received == b""
            protocol.transport.resume_reading()
            protocol.transport.resume_reading()
            assert protocol.transport.is_reading()
            assert await protocol.wait_received(9) == b"held back"

    run(main())


def test_pausing_inside_data_received_stops_at_once(run, family):
    class PausesAtOnce(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        loop = asyncio.get_running_loop()
        async with attached(family, PausesAtOnce) as (protocol, peer):
            await loop.sock_sendall(peer, b"first")
            await protocol.wait_received(5)
            await loop.sock_sendall(peer, b"second")
            await asyncio.sleep(0.003)
            assert protocol.received == b"first"
            protocol.transport.resume_reading()
            await protocol.wait_received(11)

    run(main())


def test_a_paused_transport_may_be_closed(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            protocol.transport.pause_reading()
            protocol.transport.close()
            await protocol.wait_lost()
            assert not protocol.transport.is_reading()
            protocol.transport.resume_reading()
            protocol.transport.pause_reading()

    run(main())


def test_reading_may_be_paused_in_connection_made(run, family, tmp_path):
    class StartsPaused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        async with conversation(family, tmp_path, StartsPaused) as (server, client):
            client.transport.write(b"early")
            await asyncio.sleep(0.005)
            assert server.received == b""
            server.transport.resume_reading()
            assert await server.wait_received(5) == b"early"

    run(main())


def test_writing_in_connection_made_is_sent(run, family, tmp_path):
    class Greets(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"hello")

    async def main():
        async with conversation(family, tmp_path, Greets) as (_, client):
            assert await client.wait_received(5) == b"hello"

    run(main())


def test_closing_in_connection_made_ends_the_connection(run, family, tmp_path):
    class Refuses(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"bye")
            transport.close()

    async def main():
        async with conversation(family, tmp_path, Refuses) as (server, client):
            assert await server.wait_lost() is None
            assert await client.wait_lost() is None
            assert client.received == b"bye"

    run(main())


def test_transports_are_transports_to_everybody(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            transport = protocol.transport
            for kind in (
                asyncio.Transport,
                asyncio.ReadTransport,
                asyncio.WriteTransport,
                asyncio.BaseTransport,
            ):
                assert isinstance(transport, kind)
            assert transport.get_protocol() is protocol
            assert "Transport" in repr(transport)

    run(main())


def test_extra_info_tells_socket_and_names(run, family, tmp_path):
    async def main():
        async with conversation(family, tmp_path) as (server, client):
            for protocol in (server, client):
                sock = protocol.transport.get_extra_info("socket")
                assert isinstance(sock, asyncio.trsock.TransportSocket)
                assert sock.family == (socket.AF_INET if family == "tcp" else socket.AF_UNIX)
                assert sock.type == socket.SOCK_STREAM
                assert sock.fileno() > 2
                assert protocol.transport.get_extra_info("sockname") == sock.getsockname()
                assert protocol.transport.get_extra_info("peername") == sock.getpeername()
                assert protocol.transport.get_extra_info("no such thing") is None
                assert protocol.transport.get_extra_info("no such thing", "default") == "default"
            assert client.transport.get_extra_info("peername") == server.transport.get_extra_info("sockname")

    run(main())


def test_extra_info_keeps_the_names_after_the_end(run):
    async def main():
        async with attached("tcp") as (protocol, peer):
            name = peer.getsockname()
            protocol.transport.close()
            await protocol.wait_lost()
            assert protocol.transport.get_extra_info("peername") == name

    run(main())


def test_tcp_connections_send_small_writes_at_once(run, tmp_path):
    async def main():
        async with conversation("tcp", tmp_path) as (server, client):
            for protocol in (server, client):
                sock = protocol.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(main())


def test_the_protocol_may_be_exchanged(run, family):
    async def main():
        loop = asyncio.get_running_loop()
        async with attached(family, Recorder) as (first, peer):
            transport = first.transport
            await loop.sock_sendall(peer, b"one")
            await first.wait_received(3)

            second = BufferedRecorder()
            second.connection_made(transport)
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            await loop.sock_sendall(peer, b"two")
            assert await second.wait_received(3) == b"two"

            third = Recorder()
            third.connection_made(transport)
            transport.set_protocol(third)
            await loop.sock_sendall(peer, b"three")
            assert await third.wait_received(5) == b"three"

            transport.set_protocol(first)
            assert first.received == b"one"
            assert second.events == ["made", "data"]

    run(main())


def test_the_protocol_may_be_exchanged_from_within_data_received(run, family):
    class Upgrades(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.next = BufferedRecorder()
            self.next.connection_made(self.transport)
            self.transport.set_protocol(self.next)

    async def main():
        loop = asyncio.get_running_loop()
        async with attached(family, Upgrades) as (protocol, peer):
            await loop.sock_sendall(peer, b"upgrade")
            await protocol.wait_received(7)
            await loop.sock_sendall(peer, b"new protocol")
            await protocol.next.wait_received(12)
            assert protocol.received == b"upgrade"
            protocol.transport.set_protocol(protocol)

    run(main())


def test_the_protocol_may_be_exchanged_from_within_buffer_updated(run, family):
    class Upgrades(BufferedRecorder):
        def buffer_updated(self, count):
            super().buffer_updated(count)
            self.next = Recorder()
            self.next.connection_made(self.transport)
            self.transport.set_protocol(self.next)

    async def main():
        loop = asyncio.get_running_loop()
        async with attached(family, Upgrades) as (protocol, peer):
            await loop.sock_sendall(peer, b"upgrade")
            await protocol.wait_received(7)
            await loop.sock_sendall(peer, b"new protocol")
            assert await protocol.next.wait_received(12) == b"new protocol"
            protocol.transport.set_protocol(protocol)

    run(main())


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_buffered_protocol_may_offer_a_buffer_of_any_size(run, family, size):
    class Sized(BufferedRecorder):
        buffer_size = size

    async def main():
        message = random.Random(4).randbytes(3000)
        async with attached(family, Sized) as (protocol, peer):
            await asyncio.get_running_loop().sock_sendall(peer, message)
            assert await protocol.wait_received(3000) == message

    run(main())


def test_a_buffered_protocol_may_offer_slices_of_one_buffer(run, family):
    class Fills(BufferedRecorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.whole, self.filled = bytearray(10_000), 0

        def get_buffer(self, sizehint):
            assert isinstance(sizehint, int)
            return memoryview(self.whole)[self.filled :]

        def buffer_updated(self, count):
            self.filled += count

    async def main():
        loop = asyncio.get_running_loop()
        message = random.Random(5).randbytes(9_000)
        async with attached(family, Fills) as (protocol, peer):
            await loop.sock_sendall(peer, message)
            await wait_until(lambda: protocol.filled == 9_000)
            assert protocol.whole[:9_000] == message

    run(main())


def test_a_flood_both_ways_over_one_connection_loses_nothing(run, family, tmp_path):
    message = random.Random(6).randbytes(3_000_000)

    async def main():
        async with conversation(family, tmp_path) as (server, client):
            server.transport.write(message)
            client.transport.write(message[::-1])
            assert await client.wait_received(len(message)) == message
            assert await server.wait_received(len(message)) == message[::-1]

    run(main())


def test_an_accepted_socket_becomes_a_transport(run, family):
    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = stream_pair(family)
        with peer:
            peer.setblocking(False)
            transport, protocol = await loop.connect_accepted_socket(Echo, ours)
            await loop.sock_sendall(peer, b"echo")
            assert await read_exactly(peer, 4) == b"echo"
            transport.close()
            assert await protocol.wait_lost() is None

    run(main())


def test_the_socket_is_closed_after_connection_lost(run, family):
    async def main():
        async with attached(family) as (protocol, peer):
            sock = protocol.transport.get_extra_info("socket")
            number = sock.fileno()
            protocol.transport.close()
            await protocol.wait_lost()
            await turns(1)
            assert sock.fileno() == -1
            other, other_peer = socket.socketpair()
            with other, other_peer:
                assert number in (other.fileno(), other_peer.fileno()), "the number is free again"

    run(main())


def test_protocol_callbacks_see_the_context_the_transport_was_made_in(run, family):
    import contextvars

    variable = contextvars.ContextVar("variable", default="default")

    class Looks(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.seen = [variable.get()]

        def data_received(self, data):
            super().data_received(data)
            self.seen.append(variable.get())

        def connection_lost(self, error):
            self.seen.append(variable.get())
            super().connection_lost(error)

    async def main():
        variable.set("maker")
        async with attached(family, Looks) as (protocol, peer):
            await asyncio.get_running_loop().sock_sendall(peer, b"x")
            await protocol.wait_received(1)
            protocol.transport.close()
            await protocol.wait_lost()
        assert protocol.seen == ["maker"] * 3

    run(main())


def test_stream_readers_and_writers_work_over_the_transport(run, family, tmp_path):
    async def serve(reader, writer):
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                writer.write(await reader.readexactly(size))
                await writer.drain()
        except asyncio.IncompleteReadError as error:
            assert error.partial == b""
        finally:
            writer.close()

    async def main():
        if family == "tcp":
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        else:
            server = await asyncio.start_unix_server(serve, str(tmp_path / "socket"))
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        async with server:
            for size in (0, 1, 70_000, 1_000_000):
                message = random.Random(size).randbytes(size)
                writer.write(size.to_bytes(4, "big"))
                writer.write(message)
                _, answer = await asyncio.gather(writer.drain(), reader.readexactly(size))
                assert answer == message
            writer.close()
            await writer.wait_closed()

    run(main())
