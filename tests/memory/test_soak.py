"""Nothing grows: descriptors, objects, resident memory and reference counts over ten thousand of everything.

Each test does a part of the work first, so that caches and free lists fill, and measures over the rest.
"""

import asyncio
import contextvars
import os
import socket
import sys

import pytest

ALLOWED_OBJECTS = 200
"""Objects more than before that are still no leak: a leak of one per round would be thousands."""

ALLOWED_BYTES = 6 << 20
"""Resident bytes more than before that may be the allocator's; 600 bytes a round would be more."""


def assert_flat(before, after):
    assert after[0] <= before[0], f"descriptors: {before[0]}, then {after[0]}"
    assert after[1] - before[1] < ALLOWED_OBJECTS, f"objects: {before[1]}, then {after[1]}"
    assert after[2] - before[2] < ALLOWED_BYTES, f"resident bytes: {before[2]}, then {after[2]}"


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(asyncio.Protocol):
    def __init__(self):
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"x" * 100)

    def data_received(self, data):
        self.transport.close()

    def connection_lost(self, error):
        self.done.set_result(error)


@pytest.mark.slow  # ten thousand connections, by Unix sockets: TCP would use up the ephemeral ports
def test_ten_thousand_connections_leave_nothing(run, tmp_path, usage):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "socket")
        server = await loop.create_unix_server(Echo, path, backlog=500)

        async def converse():
            _, client = await loop.create_unix_connection(Client, path)
            assert await client.done is None

        async def many(count):
            for _ in range(count // 50):
                await asyncio.gather(*(converse() for _ in range(50)))
            await asyncio.sleep(0.01)

        await many(1000)
        before = usage()
        await many(9000)
        assert_flat(before, usage())
        server.close()

    run(main())


@pytest.mark.slow  # a thousand TCP connections, some reset, some half-closed
def test_tcp_connections_that_end_in_every_way_leave_nothing(run, usage):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=200)
        address = server.sockets[0].getsockname()

        async def converse(number):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, address)
            await loop.sock_sendall(client, b"x")
            await loop.sock_recv(client, 1)
            if number % 3 == 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif number % 3 == 1:
                client.shutdown(socket.SHUT_WR)
                assert await loop.sock_recv(client, 1) == b""
            client.close()

        async def many(count):
            for _ in range(count // 20):
                await asyncio.gather(*(converse(number) for number in range(20)))
            await asyncio.sleep(0.02)

        await many(200)
        before = usage()
        await many(800)
        assert_flat(before, usage())
        server.close()

    run(main())


@pytest.mark.slow  # twenty thousand tasks
def test_twenty_thousand_tasks_leave_nothing(run, usage):
    async def work(number):
        await asyncio.sleep(0)
        if number % 4 == 0:
            raise ValueError("bad")
        if number % 4 == 1:
            await asyncio.sleep(60)

    async def many(count):
        for _ in range(count // 100):
            tasks = [asyncio.create_task(work(number)) for number in range(100)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def main():
        await many(2000)
        before = usage()
        await many(18_000)
        assert_flat(before, usage())

    run(main())


@pytest.mark.slow  # thirty thousand callbacks, timers and futures each
def test_callbacks_timers_and_futures_leave_nothing(run, usage):
    async def many(count):
        loop = asyncio.get_running_loop()
        for _ in range(count // 100):
            for number in range(100):
                loop.call_soon(int)
                loop.call_later(60, int, str(number)).cancel()
                loop.call_later(0, int)
                loop.call_soon_threadsafe(int)
                future = loop.create_future()
                future.add_done_callback(lambda done: None)
                loop.call_soon(future.set_result, number)
            await asyncio.sleep(0)
        await asyncio.sleep(0.002)

    async def main():
        await many(3000)
        before = usage()
        await many(30_000)
        assert_flat(before, usage())

    run(main())


@pytest.mark.slow  # three hundred loops
def test_loops_made_and_closed_leave_nothing(loop_module, usage):
    async def main():
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))

    def many(count):
        for _ in range(count):
            with asyncio.Runner(loop_factory=loop_module.new_event_loop) as runner:
                runner.run(main())

    many(30)
    before = usage()
    many(270)
    assert_flat(before, usage())


@pytest.mark.slow  # ten thousand watchers
def test_readers_and_writers_added_and_removed_leave_nothing(loop, usage):
    def many(count):
        for _ in range(count):
            ours, peer = socket.socketpair()
            loop.add_reader(ours, int)
            loop.add_writer(ours, int)
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.remove_reader(ours)
            loop.remove_writer(ours)
            ours.close()
            peer.close()

    many(300)
    before = usage()
    many(3000)
    assert_flat(before, usage())


@pytest.mark.slow  # five thousand errors on their way to the exception handler
def test_errors_reported_leave_nothing(run, usage):
    async def fails():
        raise ValueError("bad")

    async def many(count):
        loop = asyncio.get_running_loop()
        for _ in range(count):
            loop.call_soon(divmod, 1, 0)
            asyncio.create_task(fails())
            await asyncio.sleep(0)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await many(500)
        before = usage()
        await many(5000)
        assert_flat(before, usage())

    run(main())


def test_reference_counts_of_shared_objects_stay(run):
    """A count that drifts by one a round is a leak, or a crash to come."""
    context = contextvars.copy_context()
    sentinel = object()

    async def work():
        await asyncio.sleep(0)
        return sentinel

    def callback(*_):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        watched = {
            "loop": loop,
            "context": context,
            "None": None,
            "True": True,
            "sentinel": sentinel,
            "callback": callback,
            "oserror": OSError,
            "empty tuple": (),
            "task class": type(asyncio.current_task()),
            "future class": type(loop.create_future()),
        }

        async def many(count):
            for _ in range(count):
                loop.call_soon(callback, None, True, context=context)
                loop.call_later(0, callback, context=context)
                loop.call_later(60, callback).cancel()
                future = loop.create_future()
                future.add_done_callback(callback, context=context)
                future.set_result(None)
                assert await asyncio.create_task(work(), context=context) is sentinel
                task = asyncio.create_task(asyncio.sleep(60))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert loop.remove_reader(0) is False
            del future, task
            await asyncio.sleep(0.002)

        await many(50)
        before = {name: sys.getrefcount(thing) for name, thing in watched.items()}
        await many(1000)
        after = {name: sys.getrefcount(thing) for name, thing in watched.items()}
        drifted = {
            name: after[name] - before[name] for name in watched if abs(after[name] - before[name]) > 50
        }
        assert drifted == {}

    run(main())


def test_reference_counts_of_a_protocol_and_its_bytes_stay(run):
    """Through a transport: the protocol's methods, the bytes given and the bytes received."""
    message = os.urandom(2000)

    class Counts(asyncio.Protocol):
        def __init__(self):
            self.count = 0

        def data_received(self, data):
            self.count += len(data)

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        transport, protocol = await loop.create_connection(Counts, sock=ours)
        peer_transport, _ = await loop.create_connection(asyncio.Protocol, sock=peer)

        async def many(count):
            expected = protocol.count + 3 * count * len(message)
            for number in range(count):
                peer_transport.write(message)
                peer_transport.writelines([message, message])
                if number % 20 == 0:
                    await asyncio.sleep(0)
            while protocol.count < expected:
                await asyncio.sleep(0.001)

        await many(100)
        before = [sys.getrefcount(thing) for thing in (message, protocol, transport, Counts.data_received)]
        await many(2000)
        after = [sys.getrefcount(thing) for thing in (message, protocol, transport, Counts.data_received)]
        assert after == before
        transport.close()
        peer_transport.close()
        await asyncio.sleep(0.005)

    run(main())
