"""open_connection, start_server and their Unix kin: streams over real sockets, with TLS and start_tls."""

import asyncio
import contextlib
import gc
import inspect
import shutil
import socket
import ssl
import subprocess

import pytest

import features
from recording import record_errors, wait_until
from sockets import refused_port, reset, small_send_buffer, stream_pair


@pytest.fixture
def served(loop_module, family, tmp_path):
    """`async with served(handler) as (reader, writer, server)`: a client's streams, connected to that handler."""

    @contextlib.asynccontextmanager
    async def served(handler, *, limit=2**16, server_limit=2**16):
        if family == "tcp":
            server = await loop_module.start_server(handler, "127.0.0.1", 0, limit=server_limit)
            host, port = server.sockets[0].getsockname()
            reader, writer = await loop_module.open_connection(host, port, limit=limit)
        else:
            path = str(tmp_path / "socket")
            server = await loop_module.start_unix_server(handler, path, limit=server_limit)
            reader, writer = await loop_module.open_unix_connection(path, limit=limit)
        try:
            yield reader, writer, server
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            server.close()
            await asyncio.sleep(0.002)  # The server's side hears of the end from the kernel.

    return served


async def echo(reader, writer):
    """Sends lines back until the end."""
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def attached(module, family, **options):
    """Streams on one end of a pair, a plain non-blocking socket on the other: `(reader, writer, peer)`."""
    ours, peer = stream_pair(family)
    peer.setblocking(False)
    connect = module.open_connection if family == "tcp" else module.open_unix_connection
    reader, writer = await connect(sock=ours, **options)
    try:
        yield reader, writer, peer
    finally:
        peer.close()
        if not writer.is_closing():
            writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_lines_go_there_and_back(run, loop_module, served):
    async def main():
        async with served(echo) as (reader, writer, server):
            assert type(reader) is loop_module.StreamReader
            assert type(writer) is loop_module.StreamWriter
            assert isinstance(server, asyncio.Server)
            for line in (b"one\n", b"two\n", b"\n", b"x" * 10_000 + b"\n"):
                writer.write(line)
                await writer.drain()
                assert await reader.readline() == line
            writer.writelines([b"a", bytearray(b"b"), b"\n"])
            assert await reader.readline() == b"ab\n"
            writer.write_eof()
            assert await reader.read() == b""
            assert reader.at_eof()

    run(main())


def test_a_handler_gets_the_modules_streams(run, loop_module, served):
    async def main():
        ends = []

        async def handler(reader, writer):
            ends.extend((reader, writer, asyncio.current_task()))
            writer.close()

        async with served(handler) as (reader, *_):
            assert await reader.read() == b""
        assert type(ends[0]) is loop_module.StreamReader
        assert type(ends[1]) is loop_module.StreamWriter
        assert ends[2] is not None

    run(main())


def test_a_handler_may_be_a_plain_function(run, served):
    async def main():
        def handler(reader, writer):
            writer.write(b"hello")
            writer.close()

        async with served(handler) as (reader, *_):
            assert await reader.read() == b"hello"

    run(main())


def test_a_handler_that_fails_is_reported_and_the_connection_closed(run, served):
    async def main():
        contexts = record_errors(asyncio.get_running_loop())

        async def handler(reader, writer):
            raise ValueError("bad")

        async with served(handler) as (reader, *_):
            assert await reader.read() == b""
        [context] = contexts
        assert context["message"] == "Unhandled exception in client_connected_cb"
        assert str(context["exception"]) == "bad"
        assert context["transport"] is not None

    run(main())


def test_many_clients_at_once(run, loop_module, family, tmp_path):
    async def main():
        if family == "tcp":
            server = await loop_module.start_server(echo, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
            connect = lambda: loop_module.open_connection(*address)  # noqa: E731
        else:
            server = await loop_module.start_unix_server(echo, str(tmp_path / "socket"))
            connect = lambda: loop_module.open_unix_connection(str(tmp_path / "socket"))  # noqa: E731

        async def client(number):
            reader, writer = await connect()
            for round in range(5):
                line = b"%d %d\n" % (number, round)
                writer.write(line)
                await writer.drain()
                assert await reader.readline() == line
            writer.close()
            await writer.wait_closed()

        async with server:
            await asyncio.gather(*(client(number) for number in range(20)))

    run(main())


def test_the_limit_is_that_of_the_call(run, served):
    async def main():
        async def handler(reader, writer):
            errors = []
            try:
                await reader.readline()
            except ValueError as error:
                errors.append(str(error))
            writer.write(errors[0].encode() + b"\n")
            writer.close()

        async with served(handler, limit=1000, server_limit=10) as (reader, writer, _):
            writer.write(b"longer than ten bytes\n")
            assert await reader.readline() == b"Separator is found, but chunk is longer than limit\n"
            assert reader._limit == 1000

    run(main())


def test_a_megabyte_through_a_small_limit(run, loop_module, family):
    data = bytes(range(256)) * 4096

    async def main():
        async with attached(loop_module, family, limit=1024) as (reader, writer, peer):
            loop = asyncio.get_running_loop()
            sending = asyncio.create_task(loop.sock_sendall(peer, data))
            received = bytearray()
            received += await reader.readexactly(100_000)
            while len(received) < len(data):
                received += await reader.read(5000)
            assert received == data
            await sending

    run(main())


def test_a_slow_reader_pauses_the_transport(run, loop_module, family):
    async def main():
        async with attached(loop_module, family, limit=100) as (reader, writer, peer):
            peer.send(b"x" * 50_000)
            await wait_until(lambda: not writer.transport.is_reading())
            held = len(reader._buffer)
            assert held > 200
            received = await reader.readexactly(held)
            assert writer.transport.is_reading()
            while len(received) < 50_000:
                received += await reader.read(1000)
            assert received == b"x" * 50_000

    run(main())


def test_drain_waits_for_a_slow_peer(run, loop_module, family):
    async def main():
        async with attached(loop_module, family) as (reader, writer, peer):
            loop = asyncio.get_running_loop()
            small_send_buffer(writer.get_extra_info("socket"))
            data = b"x" * 400_000
            await writer.drain()
            writer.write(data)
            draining = [asyncio.create_task(writer.drain()) for _ in range(2)]
            await asyncio.sleep(0)
            assert not any(task.done() for task in draining)
            received = 0
            while received < len(data):
                received += len(await loop.sock_recv(peer, 1 << 18))
            await asyncio.gather(*draining)

    run(main())


def test_the_peers_end_ends_the_reader_but_not_the_writer(run, loop_module, family):
    async def main():
        async with attached(loop_module, family) as (reader, writer, peer):
            peer.send(b"last words")
            peer.shutdown(socket.SHUT_WR)
            assert await reader.read() == b"last words"
            assert not writer.is_closing()
            writer.write(b"answer")
            await writer.drain()
            assert await asyncio.get_running_loop().sock_recv(peer, 100) == b"answer"

    run(main())


def test_a_reset_reaches_reader_drain_and_wait_closed(run, loop_module):
    async def main():
        async with attached(loop_module, "tcp") as (reader, writer, peer):
            reading = asyncio.create_task(reader.readexactly(10))
            await asyncio.sleep(0)
            reset(peer)
            with pytest.raises(ConnectionResetError):
                await reading
            with pytest.raises(ConnectionResetError):
                await writer.drain()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()

    run(main())


def test_writing_to_a_closed_peer_ends_in_an_error_of_drain(run, loop_module, family):
    async def main():
        async with attached(loop_module, family) as (reader, writer, peer):
            peer.close()
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(1000):
                    writer.write(b"x" * 10_000)
                    await writer.drain()
                    await asyncio.sleep(0)

    run(main())


def test_close_flushes_and_wait_closed_waits_for_it(run, loop_module, family):
    async def main():
        async with attached(loop_module, family) as (reader, writer, peer):
            loop = asyncio.get_running_loop()
            small_send_buffer(writer.get_extra_info("socket"))
            data = b"x" * 300_000
            writer.write(data)
            writer.close()
            assert writer.is_closing()
            waiting = asyncio.create_task(writer.wait_closed())
            await asyncio.sleep(0)
            assert not waiting.done()
            received = 0
            while chunk := await loop.sock_recv(peer, 1 << 18):
                received += len(chunk)
            assert received == len(data)
            await waiting
            with pytest.raises(ConnectionResetError, match="^Connection lost$"):
                await writer.drain()

    run(main())


def test_extra_info_tells_the_addresses(run, loop_module, served, family):
    async def main():
        async with served(echo) as (reader, writer, server):
            assert writer.get_extra_info("socket").fileno() >= 0
            if family == "tcp":
                assert writer.get_extra_info("peername") == server.sockets[0].getsockname()
                assert writer.get_extra_info("sockname")[0] == "127.0.0.1"
            assert writer.get_extra_info("sslcontext") is None
            assert writer.get_extra_info("nothing", 5) == 5

    run(main())


def test_errors_of_connecting_come_out(run, loop_module, tmp_path):
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await loop_module.open_connection("127.0.0.1", refused_port())
        with pytest.raises(FileNotFoundError):
            await loop_module.open_unix_connection(str(tmp_path / "nothing"))
        with pytest.raises(ValueError, match="host and port was not specified and no sock specified"):
            await loop_module.open_connection()
        with pytest.raises(TypeError):
            await loop_module.open_connection("127.0.0.1", 1, nonsense=1)
        with pytest.raises(ValueError, match="Limit cannot be <= 0"):
            await loop_module.open_connection("127.0.0.1", 1, limit=0)
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            await loop_module.start_server()

    run(main())


def test_a_cancelled_open_connection_leaves_nothing_open(run, loop_module, recorded_warnings):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for steps in range(4):
                task = asyncio.create_task(loop_module.open_connection(*listener.getsockname()))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                [result] = await asyncio.gather(task, return_exceptions=True)
                if not isinstance(result, asyncio.CancelledError):
                    result[1].close()
                    await result[1].wait_closed()
                await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        gc.collect()

    run(main())
    assert [str(w.message) for w in recorded_warnings if w.category is ResourceWarning] == []


def test_functions_pass_any_keyword_on_to_the_loop(run, loop_module):
    class Closing(asyncio.Transport):
        def is_closing(self):
            return True

    async def main():
        calls = []
        loop = asyncio.get_running_loop()

        async def create_connection(factory, *arguments, **options):
            calls.append((type(factory()), arguments, options))
            return Closing(), factory()

        try:
            loop.create_connection = create_connection
        except AttributeError:
            pytest.skip("this loop takes no attributes")
        reader, _ = await loop_module.open_connection("host", 5, limit=7, anything="at all")
        assert calls == [(loop_module.StreamReaderProtocol, ("host", 5), {"anything": "at all"})]
        assert reader._limit == 7

    run(main())


def test_the_signatures_are_asyncios(loop_module):
    for name in ("open_connection", "start_server", "open_unix_connection", "start_unix_server"):
        assert inspect.signature(getattr(loop_module, name)) == inspect.signature(getattr(asyncio, name))


def test_a_writer_left_open_is_closed_with_a_warning_when_it_is_collected(
    run, loop_module, served, recorded_warnings
):
    async def main():
        closed = []

        async def handler(reader, writer):
            closed.append(await reader.read())
            writer.close()

        async with served(handler) as (reader, writer, server):
            address = server.sockets[0].getsockname()
            connect = (
                loop_module.open_connection
                if isinstance(address, tuple)
                else loop_module.open_unix_connection
            )
            streams = await (connect(*address) if isinstance(address, tuple) else connect(address))
            del streams
            gc.collect()
            await wait_until(lambda: closed)
        assert closed[0] == b""

    run(main())
    if features.STREAM_WRITER_WARNS:
        assert any("unclosed <StreamWriter" in str(w.message) for w in recorded_warnings)


def test_streams_of_one_loop_work_from_tasks_of_every_kind(run, loop_module, served):
    async def main():
        loop = asyncio.get_running_loop()
        async with served(echo) as (reader, writer, _):
            for cls in (asyncio.tasks._CTask, asyncio.tasks._PyTask, loop_module.Task):
                writer.write(b"line\n")
                assert await cls(reader.readline(), loop=loop) == b"line\n"
                await cls(writer.drain(), loop=loop)

    run(main())


# TLS


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """The server's and the client's SSL context."""
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with the openssl program, which is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        " -addext subjectAltName=DNS:localhost -keyout key -out cert".split(),
        cwd=folder,
        check=True,
        capture_output=True,
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "cert", folder / "key")
    return server, ssl.create_default_context(cafile=folder / "cert")


def test_streams_over_tls(run, loop_module, contexts):
    server_context, client_context = contexts

    async def main():
        async with await loop_module.start_server(echo, "127.0.0.1", 0, ssl=server_context) as server:
            reader, writer = await loop_module.open_connection(
                *server.sockets[0].getsockname(), ssl=client_context, server_hostname="localhost"
            )
            assert writer.get_extra_info("sslcontext") is client_context
            assert writer.can_write_eof() is False
            for line in (b"one\n", b"x" * 60_000 + b"\n"):
                writer.write(line)
                await writer.drain()
                assert await reader.readline() == line
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.005)  # The server's side of the shutdown.

    run(main())


def test_start_tls_in_the_middle_of_a_conversation(run, loop_module, contexts):
    server_context, client_context = contexts

    async def main():
        async def handler(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go ahead\n")
            await writer.drain()
            await writer.start_tls(server_context)
            assert writer.get_extra_info("sslcontext") is server_context
            await echo(reader, writer)

        async with await loop_module.start_server(handler, "127.0.0.1", 0) as server:
            reader, writer = await loop_module.open_connection(*server.sockets[0].getsockname())
            plain = writer.transport
            writer.write(b"STARTTLS\n")
            await writer.drain()
            assert await reader.readline() == b"go ahead\n"
            assert await writer.start_tls(client_context, server_hostname="localhost") is None
            assert writer.transport is not plain
            assert writer.get_extra_info("sslcontext") is client_context
            writer.write(b"secret\n")
            await writer.drain()
            assert await reader.readline() == b"secret\n"
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.005)  # The server's side of the shutdown.

    run(main())


def test_a_failed_start_tls_comes_out_and_ends_the_connection(run, loop_module, contexts):
    server_context, _ = contexts

    async def main():
        errors = []

        async def handler(reader, writer):
            try:
                await writer.start_tls(server_context)
            except (OSError, EOFError) as error:
                errors.append(error)
            writer.close()

        async with await loop_module.start_server(handler, "127.0.0.1", 0) as server:
            reader, writer = await loop_module.open_connection(*server.sockets[0].getsockname())
            with pytest.raises(ssl.SSLCertVerificationError):
                await writer.start_tls(ssl.create_default_context(), server_hostname="localhost")
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await wait_until(lambda: errors)

    run(main())
