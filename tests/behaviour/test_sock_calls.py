"""sock_recv and relatives on the user's own sockets."""

import asyncio
import random
import socket

import pytest

from recording import turns
from sockets import read_all, refused_port, small_send_buffer, stream_pair


@pytest.fixture
def pair(family):
    ours, peer = stream_pair(family)
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        yield ours, peer


def test_sock_recv_returns_what_is_there_or_waits_for_it(run, pair):
    ours, peer = pair

    async def main():
        loop = asyncio.get_running_loop()
        peer.send(b"there")
        assert await loop.sock_recv(ours, 100) == b"there"
        loop.call_later(0.002, peer.send, b"later")
        assert await loop.sock_recv(ours, 3) == b"lat"
        assert await loop.sock_recv(ours, 100) == b"er"
        peer.close()
        assert await loop.sock_recv(ours, 100) == b""

    run(main())


@pytest.mark.parametrize(
    "wrap", [bytearray, lambda data: memoryview(bytearray(data))], ids=["bytearray", "memoryview"]
)
def test_sock_recv_into_fills_a_buffer(run, pair, wrap):
    ours, peer = pair

    async def main():
        loop = asyncio.get_running_loop()
        buffer = wrap(b"-" * 10)
        loop.call_later(0.002, peer.send, b"hello")
        assert await loop.sock_recv_into(ours, buffer) == 5
        assert bytes(buffer) == b"hello-----"

    run(main())


def test_sock_sendall_sends_all_however_slow_the_reader(run, pair):
    ours, peer = pair
    small_send_buffer(ours)
    message = random.Random(1).randbytes(700_000)

    async def main():
        loop = asyncio.get_running_loop()

        async def send():
            assert await loop.sock_sendall(ours, message) is None
            ours.shutdown(socket.SHUT_WR)

        _, received = await asyncio.gather(send(), read_all(peer))
        assert received == message

    run(main())


@pytest.mark.parametrize(
    "data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")], ids=["bytes", "bytearray", "view"]
)
def test_sock_sendall_takes_any_buffer(run, pair, data):
    ours, peer = pair

    async def main():
        await asyncio.get_running_loop().sock_sendall(ours, data)
        assert peer.recv(10) == b"bytes"

    run(main())


def test_sock_sendall_to_a_closed_peer_raises(run, pair):
    ours, peer = pair

    async def main():
        loop = asyncio.get_running_loop()
        peer.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(50):
                await loop.sock_sendall(ours, bytes(10_000))

    run(main())


def test_sock_accept_and_sock_connect_meet(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.create_task(loop.sock_accept(listener))
            await turns(2)
            await loop.sock_connect(client, listener.getsockname())
            accepted, address = await accepting
            with accepted:
                assert address == client.getsockname()
                assert not accepted.getblocking()
                await loop.sock_sendall(accepted, b"hello")
                assert await loop.sock_recv(client, 10) == b"hello"

    run(main())


def test_sock_connect_works_over_unix(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            listener.setblocking(False)
            client.setblocking(False)
            await loop.sock_connect(client, str(tmp_path / "socket"))
            accepted, _ = await loop.sock_accept(listener)
            accepted.close()

    run(main())


def test_sock_connect_resolves_names(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("localhost", listener.getsockname()[1]))
            assert client.getpeername() == listener.getsockname()

    run(main())


def test_sock_connect_refused_raises_and_leaves_nothing_watched(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(client, ("127.0.0.1", refused_port()))
            assert loop.remove_writer(client) is False
            assert client.fileno() != -1, "the socket is the caller's to close"

    run(main())


@pytest.mark.parametrize("call", ["sock_recv", "sock_recv_into", "sock_sendall"])
def test_a_cancelled_call_leaves_the_socket_usable(run, pair, call):
    ours, peer = pair
    small_send_buffer(ours)
    argument = {"sock_recv": 10, "sock_recv_into": bytearray(10), "sock_sendall": bytes(3_000_000)}[call]

    async def main():
        loop = asyncio.get_running_loop()
        for steps in range(4):
            task = asyncio.create_task(getattr(loop, call)(ours, argument))
            await turns(steps)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert loop.remove_reader(ours) is False
        assert loop.remove_writer(ours) is False
        peer.send(b"usable")
        assert await loop.sock_recv(ours, 10) == b"usable"

    run(main())


def test_a_cancelled_accept_leaves_the_listener_usable(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            for steps in range(4):
                task = asyncio.create_task(loop.sock_accept(listener))
                await turns(steps)
                task.cancel()
                await asyncio.wait([task])
            with socket.create_connection(listener.getsockname()):
                accepted, _ = await loop.sock_accept(listener)
                accepted.close()

    run(main())


def test_recv_and_send_run_at_the_same_time_on_one_socket(run, pair):
    ours, peer = pair
    small_send_buffer(ours)

    async def main():
        loop = asyncio.get_running_loop()
        receiving = asyncio.create_task(loop.sock_recv(ours, 10))
        sending = asyncio.create_task(loop.sock_sendall(ours, bytes(1_000_000)))
        await turns(3)
        peer.send(b"hello")
        assert await receiving == b"hello"
        count = 0
        while count < 1_000_000:
            count += len(await loop.sock_recv(peer, 1 << 18))
        await sending

    run(main())


def test_a_blocking_socket_is_refused_in_debug_mode(run, pair):
    ours, _ = pair
    ours.setblocking(True)

    async def main():
        loop = asyncio.get_running_loop()
        for call in (
            loop.sock_recv(ours, 1),
            loop.sock_recv_into(ours, bytearray(1)),
            loop.sock_sendall(ours, b"x"),
            loop.sock_accept(ours),
            loop.sock_connect(ours, ("127.0.0.1", 1)),
        ):
            with pytest.raises(ValueError, match="must be non-blocking"):
                await call

    run(main(), debug=True)


def test_datagrams_are_sent_and_received_with_their_address(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
            for sock in (first, second):
                sock.bind(("127.0.0.1", 0))
                sock.setblocking(False)
            receiving = asyncio.create_task(loop.sock_recvfrom(second, 100))
            await turns(2)
            assert await loop.sock_sendto(first, b"hello", second.getsockname()) == 5
            assert await receiving == (b"hello", first.getsockname())
            await loop.sock_sendto(first, b"again", second.getsockname())
            buffer = bytearray(100)
            assert await loop.sock_recvfrom_into(second, buffer) == (5, first.getsockname())
            assert buffer[:5] == b"again"

    run(main())
