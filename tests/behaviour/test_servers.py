"""Servers: sockets, closing, waiting, cancelling, running out of descriptors."""

import asyncio
import gc
import os
import socket

import pytest

import features
from children import output_of
from recording import Echo, Recorder, turns, wait_until
from sockets import connect, open_fds, serve


def test_a_server_shows_its_sockets_and_that_it_serves(run, family, tmp_path):
    async def main():
        server = await serve(Echo, family, tmp_path)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving()
        assert server.get_loop() is asyncio.get_running_loop()
        (sock,) = server.sockets
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        server.close()
        assert server.sockets == ()
        assert not server.is_serving()
        await server.wait_closed()
        server.close()

    run(main())


def test_a_closed_server_accepts_no_more_but_keeps_its_connections(run, family, tmp_path):
    async def main():
        server = await serve(Echo, family, tmp_path)
        address = server.sockets[0].getsockname()
        transport, client = await connect(Recorder, server)
        transport.write(b"one")
        await client.wait_received(3)
        server.close()
        transport.write(b"two")
        await client.wait_received(6)
        with socket.socket(socket.AF_INET if family == "tcp" else socket.AF_UNIX) as late:
            with pytest.raises(OSError):
                late.connect(address)
        transport.close()
        await client.wait_lost()
        await asyncio.wait_for(server.wait_closed(), 5)

    run(main())


def test_wait_closed_waits_for_connections_where_asyncio_does(run, family, tmp_path):
    waits = features.server_waits_for_connections()

    async def main():
        server = await serve(Echo, family, tmp_path)
        transport, client = await connect(Recorder, server)
        transport.write(b"x")
        await client.wait_received(1)
        server.close()
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.005)
        assert waiting.done() is not waits
        transport.close()
        await asyncio.wait_for(waiting, 5)

    run(main())


def test_wait_closed_waits_for_close(run, family, tmp_path):
    if not features.server_waits_for_connections():
        pytest.skip("this version's wait_closed() returns at once when there are no connections")

    async def main():
        server = await serve(Echo, family, tmp_path)
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.003)
        assert not waiting.done()
        server.close()
        await asyncio.wait_for(waiting, 5)

    run(main())


@pytest.mark.oxio_only("asyncio's since 3.13", when=not features.CLOSE_CLIENTS)
def test_close_clients_closes_every_connection_after_flushing(run, family, tmp_path):
    accepted = []

    def factory():
        accepted.append(Recorder())
        return accepted[-1]

    async def main():
        server = await serve(factory, family, tmp_path)
        clients = [(await connect(Recorder, server))[1] for _ in range(3)]
        await wait_until(lambda: len(accepted) == 3 and all(protocol.transport for protocol in accepted))
        for protocol in accepted:
            protocol.transport.write(b"last words")
        server.close()
        server.close_clients()
        await asyncio.wait_for(server.wait_closed(), 5)
        for client in clients:
            assert await client.wait_lost() is None
            assert client.received == b"last words"

    run(main())


@pytest.mark.oxio_only("asyncio's since 3.13", when=not features.CLOSE_CLIENTS)
def test_abort_clients_drops_every_connection(run, family, tmp_path):
    accepted = []

    def factory():
        accepted.append(Recorder())
        return accepted[-1]

    async def main():
        server = await serve(factory, family, tmp_path)
        clients = [(await connect(Recorder, server))[1] for _ in range(3)]
        await wait_until(lambda: len(accepted) == 3 and all(protocol.transport for protocol in accepted))
        for client in clients:
            client.transport.pause_reading()
        for protocol in accepted:
            protocol.transport.write(bytes(8_000_000))
        server.close()
        server.abort_clients()
        await asyncio.wait_for(server.wait_closed(), 5)
        assert all(protocol.is_lost for protocol in accepted)
        for client in clients:
            client.transport.abort()
            await client.wait_lost()

    run(main())


def test_a_server_may_start_serving_later(run, family, tmp_path):
    async def main():
        server = await serve(Echo, family, tmp_path, start_serving=False)
        assert not server.is_serving()
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        transport, client = await connect(Recorder, server)
        transport.write(b"x")
        await client.wait_received(1)
        transport.close()
        await client.wait_lost()
        server.close()
        await server.wait_closed()

    run(main())


def test_serve_forever_serves_until_it_is_cancelled(run, family, tmp_path):
    async def main():
        server = await serve(Echo, family, tmp_path, start_serving=False)
        serving = asyncio.create_task(server.serve_forever())
        await turns(2)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        transport, client = await connect(Recorder, server)
        transport.write(b"x")
        await client.wait_received(1)
        transport.close()
        await client.wait_lost()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_a_server_is_a_context_manager(run, family, tmp_path):
    async def main():
        async with await serve(Echo, family, tmp_path) as server:
            assert server.is_serving()
        assert not server.is_serving()

    run(main())


def test_a_tcp_server_listens_on_every_address_it_is_given(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
            assert sorted(sock.getsockname()[0] for sock in server.sockets) == ["127.0.0.1", "127.0.0.2"]

    run(main())


def test_a_tcp_server_takes_a_socket_that_is_bound(run):
    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        async with await loop.create_server(Echo, sock=sock) as server:
            transport, client = await connect(Recorder, server)
            assert transport.get_extra_info("peername") == sock.getsockname()
            transport.close()
            await client.wait_lost()

    run(main())


def test_an_address_in_use_is_an_error_and_leaves_nothing_open(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            before = open_fds()
            with pytest.raises(OSError, match="address already in use"):
                await loop.create_server(Echo, "127.0.0.1", taken.getsockname()[1])
            gc.collect()
            assert open_fds() == before

    run(main())


@pytest.mark.parametrize("option", ["host and sock", "neither", "datagram"])
def test_contradicting_arguments_are_refused(run, option):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            arguments = {
                "host and sock": {"host": "127.0.0.1", "port": 0, "sock": stream},
                "neither": {},
                "datagram": {"sock": datagram},
            }[option]
            with pytest.raises(ValueError):
                await loop.create_server(Echo, **arguments)

    run(main())


def test_listening_sockets_reuse_their_address(run):
    async def main():
        async with await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0) as server:
            option = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert option == 1

    run(main())


@pytest.mark.skipif(not features.KEEP_ALIVE, reason="this version's create_server takes no keep_alive")
def test_keep_alive_is_set_on_listening_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Echo, "127.0.0.1", 0, keep_alive=True) as server:
            assert server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    run(main())


def test_a_unix_server_replaces_a_stale_socket_file_and_refuses_other_files(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = tmp_path / "socket"
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        async with await loop.create_unix_server(Echo, path):
            pass
        other = tmp_path / "file"
        other.write_text("not a socket")
        with pytest.raises(OSError, match="already in use"):
            await loop.create_unix_server(Echo, str(other))
        assert other.read_text() == "not a socket"

    run(main())


def test_an_abstract_unix_socket_needs_no_file(run):
    async def main():
        loop = asyncio.get_running_loop()
        name = f"\0oxio-test-{os.getpid()}"
        async with await loop.create_unix_server(Echo, name):
            transport, client = await loop.create_unix_connection(Recorder, name)
            transport.write(b"x")
            await client.wait_received(1)
            transport.close()
            await client.wait_lost()
            await turns(3)

    run(main())


@pytest.mark.skipif(
    not features.CLEANUP_SOCKET, reason="this version's create_unix_server takes no cleanup_socket"
)
@pytest.mark.parametrize("cleanup", [True, False])
def test_a_closed_unix_server_removes_its_socket_file_unless_told_not_to(run, tmp_path, cleanup):
    async def main():
        path = tmp_path / "socket"
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Echo, path, cleanup_socket=cleanup)
        server.close()
        await server.wait_closed()
        assert path.exists() is not cleanup

    run(main())


@pytest.mark.skipif(
    not features.CLEANUP_SOCKET, reason="this version's create_unix_server takes no cleanup_socket"
)
def test_a_socket_file_that_another_server_put_there_is_left_alone(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = tmp_path / "socket"
        first = await loop.create_unix_server(Echo, path)
        path.unlink()
        second = await loop.create_unix_server(Echo, path)
        first.close()
        await first.wait_closed()
        assert path.exists()
        second.close()
        await second.wait_closed()

    run(main())


def test_many_connections_are_accepted_at_once(run, family, tmp_path):
    async def main():
        async with await serve(Echo, family, tmp_path, backlog=500) as server:
            clients = await asyncio.gather(*(connect(Recorder, server) for _ in range(150)))
            for number, (transport, _) in enumerate(clients):
                transport.write(b"%d" % number)
            for number, (_, client) in enumerate(clients):
                assert await client.wait_received(len(str(number))) == b"%d" % number
            for transport, _ in clients:
                transport.close()
            for _, client in clients:
                await client.wait_lost()
            await turns(5)

    run(main())


@pytest.mark.slow  # asyncio and oxio pause the listener for one second
def test_a_server_out_of_descriptors_recovers(loop_name):
    # The listener stays readable while accept() fails: a loop must neither spin nor stay deaf.
    lines = output_of(
        loop_name,
        """
        import resource, socket
        from recording import Recorder, Echo, wait_until

        async def main():
            loop = asyncio.get_running_loop()
            contexts = []
            loop.set_exception_handler(lambda loop, context: contexts.append(context))
            server = await loop.create_server(Echo, "127.0.0.1", 0)
            clients = [socket.socket() for _ in range(3)]
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            highest = max(client.fileno() for client in clients)
            spare = []
            while not spare or spare[-1] < highest:
                spare.append(os.dup(0))  # no free number below the limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1, hard))
            for client in clients:
                client.setblocking(False)
                await loop.sock_connect(client, server.sockets[0].getsockname())
                await loop.sock_sendall(client, b"hello")
            await wait_until(lambda: contexts)
            usage = time.process_time()
            await asyncio.sleep(0.3)
            print("spins", time.process_time() - usage > 0.2)
            print(contexts[0]["message"])
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            for client in clients:
                print(await asyncio.wait_for(loop.sock_recv(client, 10), 5))
                client.close()
            server.close()

        run(main())
        """,
    )
    assert lines == ["spins False", "socket.accept() out of system resource"] + ["b'hello'"] * 3


def test_a_server_is_of_the_class_that_goes_by_its_name(run, loop_module, family, tmp_path):
    async def main():
        server = await serve(Recorder, family, tmp_path)
        assert isinstance(server, loop_module.Server)
        assert isinstance(server, asyncio.Server)
        assert repr(server).startswith("<Server sockets=")
        server.close()

    run(main())
