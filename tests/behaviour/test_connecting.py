"""create_connection: candidates, refusals, happy eyeballs, and cancellation at every await."""

import asyncio
import gc
import socket

import pytest

import features
from recording import Echo, Recorder, turns
from sockets import connect, open_fds, refused_port, serve


async def answer_look_ups_with(monkeypatch, *addresses):
    """Makes the running loop resolve every name to these addresses."""

    async def getaddrinfo(host, port, *, family=0, type=0, proto=0, flags=0):
        return [
            (socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def test_a_refused_connection_is_connection_refused_error(run):
    async def main():
        with pytest.raises(ConnectionRefusedError) as caught:
            await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", refused_port())
        assert caught.value.errno
        assert "127.0.0.1" in str(caught.value)

    run(main())


def test_a_unix_path_that_is_not_there_is_file_not_found_error(run, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.get_running_loop().create_unix_connection(Recorder, str(tmp_path / "nothing"))

    run(main())


def test_a_unix_path_may_be_a_path_object(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_unix_server(Echo, tmp_path / "socket"):
            transport, client = await loop.create_unix_connection(Recorder, tmp_path / "socket")
            transport.close()
            await client.wait_lost()
            await turns(3)

    run(main())


def test_the_next_address_is_tried_when_one_refuses(run, monkeypatch):
    async def main():
        async with await serve(Echo, "tcp", None) as server:
            good = server.sockets[0].getsockname()
            await answer_look_ups_with(monkeypatch, ("127.0.0.1", refused_port()), good)
            transport, client = await asyncio.get_running_loop().create_connection(
                Recorder, "name.invalid", 1
            )
            assert transport.get_extra_info("peername") == good
            transport.close()
            await client.wait_lost()
            await turns(3)

    run(main())


@pytest.mark.parametrize(
    "options", [{"happy_eyeballs_delay": 0.05}, {"happy_eyeballs_delay": 0.05, "interleave": 1}]
)
def test_happy_eyeballs_finds_the_address_that_answers(run, monkeypatch, options):
    async def main():
        async with await serve(Echo, "tcp", None) as server:
            good = server.sockets[0].getsockname()
            bad = [("::1", refused_port(), 0, 0), ("127.0.0.1", refused_port())]
            await answer_look_ups_with(monkeypatch, *bad, good)
            transport, client = await asyncio.get_running_loop().create_connection(
                Recorder, "name.invalid", 1, **options
            )
            assert transport.get_extra_info("peername") == good
            transport.close()
            await client.wait_lost()
            await turns(3)

    run(main())


def test_happy_eyeballs_does_not_wait_for_an_address_that_never_answers(run, monkeypatch):
    async def main():
        loop = asyncio.get_running_loop()
        # A listener with a full backlog drops further connection requests: the kernel's own black hole.
        with socket.socket() as black_hole:
            black_hole.bind(("127.0.0.1", 0))
            black_hole.listen(0)
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(black_hole.getsockname())
            async with await serve(Echo, "tcp", None) as server:
                good = server.sockets[0].getsockname()
                await answer_look_ups_with(monkeypatch, black_hole.getsockname(), good)
                connecting = loop.create_connection(Recorder, "name.invalid", 1, happy_eyeballs_delay=0.02)
                transport, client = await asyncio.wait_for(connecting, 5)
                assert transport.get_extra_info("peername") == good
                transport.close()
                await client.wait_lost()
                await turns(3)
            for filler in fillers:
                filler.close()

    run(main())


@pytest.mark.parametrize("options", [{}, {"happy_eyeballs_delay": 0.01}])
def test_when_all_addresses_refuse_the_error_tells_of_them(run, monkeypatch, options):
    async def main():
        loop = asyncio.get_running_loop()
        await answer_look_ups_with(monkeypatch, ("127.0.0.1", refused_port()), ("127.0.0.2", refused_port()))
        with pytest.raises(OSError):
            await loop.create_connection(Recorder, "name.invalid", 1, **options)
        if features.ALL_ERRORS:
            with pytest.raises(ExceptionGroup) as caught:
                await loop.create_connection(Recorder, "name.invalid", 1, all_errors=True, **options)
            assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2

    run(main())


def test_a_local_address_is_bound(run):
    async def main():
        async with await serve(Echo, "tcp", None) as server:
            loop = asyncio.get_running_loop()
            transport, client = await loop.create_connection(
                Recorder, *server.sockets[0].getsockname(), local_addr=("127.0.0.3", 0)
            )
            assert transport.get_extra_info("sockname")[0] == "127.0.0.3"
            transport.close()
            await client.wait_lost()
            await turns(3)

    run(main())


def test_a_connected_socket_may_be_given_and_must_be_a_stream(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as datagram:
            with pytest.raises(ValueError, match="Stream Socket was expected"):
                await loop.create_connection(Recorder, sock=datagram)
        with pytest.raises(ValueError):
            await loop.create_connection(Recorder)
        with pytest.raises(ValueError):
            await loop.create_connection(Recorder, "127.0.0.1", 1, sock=object())

    run(main())


def test_localhost_is_connected_to(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Echo, "localhost", 0) as server:
            port = server.sockets[0].getsockname()[1]
            transport, client = await loop.create_connection(Recorder, "localhost", port)
            transport.write(b"x")
            await client.wait_received(1)
            transport.close()
            await client.wait_lost()
            await turns(3)

    run(main())


async def assert_no_descriptor_is_left(before):
    gc.collect()
    # What was collected just now was one end of a connection: the other end hears of it in a later turn.
    await asyncio.sleep(0.02)
    left = {number: target for number, target in open_fds().items() if number not in before}
    assert left == {}


@pytest.mark.parametrize("target", ["literal", "name", "unix", "refused", "eyeballs"])
def test_a_connection_cancelled_at_any_await_leaves_no_descriptor(run, tmp_path, target):
    async def attempt(server):
        loop = asyncio.get_running_loop()
        if target == "unix":
            return await loop.create_unix_connection(Recorder, server.sockets[0].getsockname())
        host = "127.0.0.1" if target in ("literal", "refused") else "localhost"
        port = refused_port() if target == "refused" else server.sockets[0].getsockname()[1]
        options = {"happy_eyeballs_delay": 0.01} if target == "eyeballs" else {}
        return await loop.create_connection(Recorder, host, port, **options)

    async def main():
        server = await serve(Recorder, "unix" if target == "unix" else "tcp", tmp_path)
        # The first look-up starts the executor's thread and may load libraries.
        await asyncio.get_running_loop().run_in_executor(None, socket.getaddrinfo, "localhost", 80)
        await turns(3)
        before = open_fds()
        finished = 0
        for steps in range(25):
            task = asyncio.create_task(attempt(server))
            if target in ("name", "eyeballs") and steps > 3:
                await asyncio.sleep(0.0003)  # the look-up runs in a thread: turns alone do not reach past it
            await turns(steps)
            task.cancel()
            try:
                transport, client = await task
            except (asyncio.CancelledError, ConnectionRefusedError):
                pass
            else:
                finished += 1
                transport.close()
                await client.wait_lost()
            if finished == 3:
                break
        await assert_no_descriptor_is_left(before)
        server.close()
        # A number poisoned by a double close shows in what is opened next.
        server = await serve(Echo, "tcp", tmp_path)
        for _ in range(5):
            transport, client = await connect(Recorder, server)
            transport.write(b"sound")
            assert await client.wait_received(5) == b"sound"
            transport.close()
            await client.wait_lost()
        server.close()
        await turns(3)

    run(main())


def test_an_accepted_connection_cancelled_at_any_await_leaves_no_descriptor(run, family):
    from sockets import stream_pair

    async def main():
        loop = asyncio.get_running_loop()
        before = open_fds()
        for steps in range(6):
            ours, peer = stream_pair(family)
            task = asyncio.create_task(loop.connect_accepted_socket(Recorder, ours))
            await turns(steps)
            task.cancel()
            try:
                transport, _ = await task
                transport.close()
            except asyncio.CancelledError:
                if steps == 0:
                    ours.close()  # never reached the loop: still the caller's
            peer.close()
            await turns(4)
            del ours, peer, task
        await assert_no_descriptor_is_left(before)

    run(main())
