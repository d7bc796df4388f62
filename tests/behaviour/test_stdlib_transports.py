"""UDP, pipes, subprocesses, TLS and sendfile: asyncio's own code on the loop's readers, writers and signals.

Smoke tests: each path once, so that a loop that breaks the ground under them is seen.
"""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys

import pytest

from recording import wait_until


def test_datagrams_go_there_and_back(run):
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data.upper(), address)

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.received = []

        def datagram_received(self, data, address):
            self.received.append(data)

    async def main():
        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        client, protocol = await loop.create_datagram_endpoint(
            Client, remote_addr=server.get_extra_info("sockname")
        )
        for word in (b"one", b"two", b"three"):
            client.sendto(word)
        await wait_until(lambda: len(protocol.received) == 3)
        assert sorted(protocol.received) == [b"ONE", b"THREE", b"TWO"]
        client.close()
        server.close()
        await asyncio.sleep(0.002)

    run(main())


def test_pipes_are_read_and_written(run):
    async def main():
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
        )
        write_transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb"))
        write_transport.write(b"through the pipe")
        write_transport.close()
        assert await reader.read() == b"through the pipe"
        transport.close()
        await asyncio.sleep(0.002)

    run(main())


@pytest.mark.slow  # starts processes
def test_subprocesses_talk_and_their_exit_is_noticed(run):
    program = (
        "import sys; data = sys.stdin.read(); print(data[::-1]); print('error', file=sys.stderr); sys.exit(3)"
    )

    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate(b"abc")
        assert (out, err, process.returncode) == (b"cba\n", b"error\n", 3)

        shell = await asyncio.create_subprocess_shell("exit 7")
        assert await shell.wait() == 7

        sleeper = await asyncio.create_subprocess_exec("sleep", "60")
        sleeper.terminate()
        assert await sleeper.wait() == -15

    run(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with the openssl program, which is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    subprocess.run(
        [
            *command.split(),
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            folder / "key",
            "-out",
            folder / "cert",
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    return folder


def test_tls_streams_echo_and_close(run, certificate):
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(certificate / "cert", certificate / "key")
    client_context = ssl.create_default_context(cafile=certificate / "cert")

    async def echo(reader, writer):
        writer.write(await reader.readexactly(500_000))
        await writer.drain()
        writer.close()

    async def main():
        async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context) as server:
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), ssl=client_context, server_hostname="localhost"
            )
            assert writer.get_extra_info("ssl_object").version().startswith("TLS")
            message = os.urandom(500_000)
            writer.write(message)
            assert await reader.readexactly(500_000) == message
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_wrong_certificate_is_refused_with_the_verification_error(run, certificate):
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(certificate / "cert", certificate / "key")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with await asyncio.start_server(
            lambda r, w: None, "127.0.0.1", 0, ssl=server_context
        ) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(
                    *server.sockets[0].getsockname(),
                    ssl=ssl.create_default_context(),
                    server_hostname="localhost",
                )
            await asyncio.sleep(0.005)

    run(main())


@pytest.mark.parametrize("fallback", [True, False])
def test_sendfile_sends_a_file_over_a_transport(run, tmp_path, fallback):
    content = os.urandom(300_000)
    path = tmp_path / "file"
    path.write_bytes(content)

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)

        async def send():
            with path.open("rb") as file:
                assert await loop.sendfile(transport, file, fallback=fallback) == len(content)
            transport.close()

        async def receive():
            received = bytearray()
            while chunk := await loop.sock_recv(peer, 1 << 16):
                received += chunk
            return bytes(received)

        _, received = await asyncio.gather(send(), receive())
        assert received == content
        peer.close()

    run(main())
