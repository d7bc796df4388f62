"""Sockets in the states tests need: pairs, a full send buffer, a reset. Loopback only."""

import asyncio
import contextlib
import os
import resource
import socket
import struct

from recording import Recorder, wait_until


def open_fds():
    """The open file descriptors of this process, with what tells one file from another.

    By asking each number: /proc is not everywhere, not in a bare chroot and not on macOS.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = {}
    for number in range(min(soft, 2048)):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            found[number] = (status.st_dev, status.st_ino)
    return found


def stream_pair(family):
    """Two connected stream sockets: TCP on loopback, or Unix."""
    if family == "unix":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    return ours, theirs


def small_send_buffer(sock):
    """The least the kernel allows (a few KiB), so that a write of some hundred KiB cannot go at once."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


def reset(sock):
    """Closes a TCP socket so that the peer gets RST rather than FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def refused_port():
    """A TCP port of loopback on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def read_all(sock):
    """Everything the non-blocking peer sends until its end of file."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    while chunk := await loop.sock_recv(sock, 1 << 18):
        received += chunk
    return bytes(received)


async def read_exactly(sock, count):
    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < count:
        chunk = await loop.sock_recv(sock, count - len(received))
        assert chunk, f"end of file after {len(received)} of {count} bytes"
        received += chunk
    return bytes(received)


@contextlib.asynccontextmanager
async def attached(family, factory=Recorder, *, tiny=False):
    """A protocol on one end of a pair, a plain non-blocking socket on the other: `(protocol, peer)`."""
    loop = asyncio.get_running_loop()
    ours, peer = stream_pair(family)
    peer.setblocking(False)
    if tiny:
        small_send_buffer(ours)
    transport, protocol = await loop.create_connection(factory, sock=ours)
    try:
        yield protocol, peer
    finally:
        if not getattr(protocol, "is_lost", False):
            transport.abort()
        peer.close()
        if isinstance(protocol, Recorder):
            await protocol.wait_lost()
        else:
            await asyncio.sleep(0.01)


async def serve(factory, family, folder, **options):
    """A listening server of the family under test."""
    loop = asyncio.get_running_loop()
    if family == "tcp":
        return await loop.create_server(factory, "127.0.0.1", 0, **options)
    return await loop.create_unix_server(factory, str(folder / "socket"), **options)


async def connect(factory, server):
    """`(transport, protocol)` of a connection to that server."""
    loop = asyncio.get_running_loop()
    address = server.sockets[0].getsockname()
    if isinstance(address, tuple):
        return await loop.create_connection(factory, *address[:2])
    return await loop.create_unix_connection(factory, address)


@contextlib.asynccontextmanager
async def conversation(family, folder, server_side=Recorder, client_side=Recorder):
    """Server and client protocol, connected through a real server: `(server_protocol, client_protocol)`."""
    accepted = []

    def factory():
        accepted.append(server_side())
        return accepted[-1]

    server = await serve(factory, family, folder)
    _, client = await connect(client_side, server)
    await wait_until(lambda: accepted and accepted[0].transport is not None)
    try:
        yield accepted[0], client
    finally:
        for protocol in (client, accepted[0]):
            if not protocol.is_lost:
                protocol.transport.abort()
        server.close()
        await client.wait_lost()
        await accepted[0].wait_lost()
        await server.wait_closed()
