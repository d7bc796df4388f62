"""Name look-ups against socket's own answers: no shortcut for literals may differ, zones and errors included."""

import asyncio
import socket

import pytest

LITERALS = [
    ("127.0.0.1", 80),
    ("127.0.0.1", "80"),
    ("127.0.0.1", b"80"),
    ("127.0.0.1", 0),
    ("127.0.0.1", None),
    ("127.0.0.1", "http"),
    ("127.1", 80),
    ("0x7f.1", 80),
    ("0.0.0.0", 65535),
    (b"127.0.0.1", 80),
    ("::1", 80),
    ("::", 0),
    ("fe80::1%lo", 80),
    ("fe80::1%1", 80),
    ("fe80::1", 80),
    ("ff02::1%lo", 80),
    ("::ffff:127.0.0.1", 80),
    ("2001:db8::1", "443"),
    (None, 80),
    ("", 80),
]

FAILING = [
    ("256.0.0.1", 80, {"flags": socket.AI_NUMERICHOST}),
    ("not-a-number", 80, {"flags": socket.AI_NUMERICHOST}),
    ("fe80::1%no-such-interface", 80, {"flags": socket.AI_NUMERICHOST}),
    ("::1", 80, {"family": socket.AF_INET, "flags": socket.AI_NUMERICHOST}),
    ("127.0.0.1", 80, {"family": socket.AF_INET6, "flags": socket.AI_NUMERICHOST}),
    ("127.0.0.1", "no-such-service", {}),
    (None, None, {}),
    ("127.0.0.1", 80, {"family": 12345}),
]

OPTIONS = [
    {},
    {"type": socket.SOCK_STREAM},
    {"type": socket.SOCK_DGRAM},
    {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP},
    {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE},
    {"family": socket.AF_UNSPEC, "type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICHOST},
]


def outcome(call, *args, **options):
    try:
        return call(*args, **options)
    except OSError as error:
        return type(error), error.errno


@pytest.mark.parametrize("host, port", LITERALS)
def test_literals_resolve_as_sockets_getaddrinfo_resolves_them(run, host, port):
    async def main():
        loop = asyncio.get_running_loop()
        for options in OPTIONS:
            expected = outcome(socket.getaddrinfo, host, port, **options)
            try:
                found = await loop.getaddrinfo(host, port, **options)
            except OSError as error:
                found = type(error), error.errno
            assert found == expected, options

    run(main())


@pytest.mark.parametrize("host, port, options", FAILING)
def test_what_does_not_resolve_raises_what_sockets_getaddrinfo_raises(run, host, port, options):
    expected = outcome(socket.getaddrinfo, host, port, **options)
    assert issubclass(expected[0], socket.gaierror)

    async def main():
        with pytest.raises(socket.gaierror) as caught:
            await asyncio.get_running_loop().getaddrinfo(host, port, **options)
        assert (type(caught.value), caught.value.errno) == expected

    run(main())


def test_localhost_resolves_as_sockets_getaddrinfo_resolves_it(run):
    async def main():
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        assert found == socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

    run(main())


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 80),
        ("127.0.0.1", 0),
        ("::1", 443),
        ("fe80::1%lo", 80),
        ("::1", 80, 0, 0),
        ("fe80::1", 80, 0, 1),
    ],
)
def test_getnameinfo_answers_as_sockets_getnameinfo(run, address):
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV

    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.getnameinfo(address, flags) == socket.getnameinfo(address, flags)
        service = socket.NI_NUMERICHOST
        assert await loop.getnameinfo(address, service) == socket.getnameinfo(address, service)

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_look_up_is_awaited_and_can_be_cancelled(run, host):
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(loop.getaddrinfo(host, 80))
        await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await loop.getaddrinfo(host, 80)

    run(main())


def test_a_link_local_zone_reaches_the_socket(run):
    # A literal fast path that drops the zone connects to nowhere.
    async def main():
        loop = asyncio.get_running_loop()
        (*_, address), *_ = await loop.getaddrinfo("fe80::1%lo", 9, type=socket.SOCK_STREAM)
        assert address == ("fe80::1%lo", 9, 0, socket.if_nametoindex("lo"))[:0] + address
        assert address[3] == socket.if_nametoindex("lo")

    run(main())
