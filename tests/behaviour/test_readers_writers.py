"""add_reader and add_writer: level-triggered, by number or file object, safe against reused numbers."""

import asyncio
import os
import socket
import tempfile

import pytest

from recording import wait_until
from sockets import attached, stream_pair


def run_for(loop, seconds=0.005):
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


@pytest.fixture
def pair(family):
    ours, peer = stream_pair(family)
    ours.setblocking(False)
    peer.setblocking(False)
    with ours, peer:
        yield ours, peer


@pytest.fixture(params=["number", "object"])
def named(request):
    """File descriptors may be given as numbers or as objects with fileno()."""
    return (lambda file: file.fileno()) if request.param == "number" else (lambda file: file)


def test_a_reader_is_called_with_its_arguments_when_there_is_something_to_read(loop, pair, named):
    ours, peer = pair
    calls = []

    def readable(*args):
        calls.append((args, ours.recv(10)))

    loop.add_reader(named(ours), readable, 1, "two")
    run_for(loop)
    assert calls == []
    peer.send(b"x")
    run_for(loop)
    assert calls == [((1, "two"), b"x")]
    assert loop.remove_reader(named(ours)) is True
    assert loop.remove_reader(named(ours)) is False
    peer.send(b"y")
    run_for(loop)
    assert len(calls) == 1


def test_a_writer_is_called_as_long_as_there_is_room(loop, pair, named):
    ours, _ = pair
    calls = []

    def writable(argument):
        calls.append(argument)
        if len(calls) == 3:
            assert loop.remove_writer(named(ours)) is True

    loop.add_writer(named(ours), writable, "argument")
    run_for(loop)
    assert calls == ["argument"] * 3
    assert loop.remove_writer(named(ours)) is False


def test_a_reader_that_leaves_bytes_is_called_again(loop, pair):
    ours, peer = pair
    received = []
    loop.add_reader(ours, lambda: received.append(ours.recv(1)))
    peer.send(b"level")
    run_for(loop)
    loop.remove_reader(ours)
    assert b"".join(received) == b"level"


def test_a_reader_that_reads_nothing_is_called_turn_after_turn(loop, pair):
    ours, peer = pair
    calls = []

    def readable():
        calls.append(True)
        if len(calls) == 5:
            loop.stop()

    loop.add_reader(ours, readable)
    peer.send(b"x")
    loop.run_forever()
    loop.remove_reader(ours)
    assert len(calls) == 5


def test_a_second_reader_replaces_the_first(loop, pair):
    ours, peer = pair
    calls = []
    loop.add_reader(ours, calls.append, "first")
    loop.add_reader(ours, lambda: calls.append(("second", ours.recv(10))))
    peer.send(b"x")
    run_for(loop)
    loop.remove_reader(ours)
    assert calls == [("second", b"x")]


def test_reader_and_writer_of_one_socket_do_not_touch_each_other(loop, pair):
    ours, peer = pair
    calls = []
    loop.add_reader(ours, lambda: calls.append(ours.recv(10)))
    loop.add_writer(ours, lambda: (calls.append("writable"), loop.remove_writer(ours)))
    peer.send(b"x")
    run_for(loop)
    assert sorted(map(str, calls)) == ["b'x'", "writable"]
    peer.send(b"y")
    run_for(loop)
    assert calls[-1] == b"y"
    loop.add_writer(ours, lambda: (calls.append("again"), loop.remove_writer(ours)))
    loop.remove_reader(ours)
    run_for(loop)
    assert calls[-1] == "again"


def test_a_flood_both_ways_over_one_socket_loses_nothing(loop, pair):
    # Readable and writable arrive in one event: a loop that handles either but not both stalls here.
    ours, peer = pair
    total = 1 << 20
    sent, received = {ours: 0, peer: 0}, {ours: 0, peer: 0}

    def write(sock):
        try:
            sent[sock] += sock.send(b"x" * min(65536, total - sent[sock]))
        except BlockingIOError:
            return
        if sent[sock] == total:
            loop.remove_writer(sock)

    def read(sock):
        received[sock] += len(sock.recv(65536))
        if received[sock] == total:
            loop.remove_reader(sock)
            if all(count == total for count in received.values()):
                loop.stop()

    for sock in pair:
        loop.add_reader(sock, read, sock)
        loop.add_writer(sock, write, sock)
    loop.run_forever()
    assert set(received.values()) == {total}


def test_a_closed_peer_wakes_the_reader(loop, pair):
    ours, peer = pair
    received = []
    loop.add_reader(ours, lambda: (received.append(ours.recv(10)), loop.remove_reader(ours)))
    peer.close()
    run_for(loop)
    assert received == [b""]


def test_a_pipe_without_readers_wakes_the_writer(loop):
    # The kernel reports this as an error, not as room to write.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    errors = []

    def writable():
        try:
            os.write(writer, b"x" * 65536)
        except BlockingIOError:
            pass
        except BrokenPipeError as error:
            errors.append(error)
            loop.remove_writer(writer)
            loop.stop()

    loop.add_writer(writer, writable)
    loop.call_later(0.005, os.close, reader)
    loop.run_forever()
    os.close(writer)
    assert len(errors) == 1


def test_a_pipe_without_writers_wakes_the_reader(loop):
    reader, writer = os.pipe()
    received = []
    loop.add_reader(
        reader, lambda: (received.append(os.read(reader, 10)), loop.remove_reader(reader), loop.stop())
    )
    loop.call_later(0.002, os.close, writer)
    loop.run_forever()
    os.close(reader)
    assert received == [b""]


def test_a_regular_file_is_refused_with_permission_error(loop):
    # epoll cannot wait for it: better refused than never called.
    with tempfile.TemporaryFile() as file:
        for add in (loop.add_reader, loop.add_writer):
            with pytest.raises(PermissionError):
                add(file, print)
        assert loop.remove_reader(file) is False
        assert loop.remove_writer(file) is False
        run_for(loop, 0)


@pytest.mark.parametrize("bad", [-1, "no file", None, object(), 1.5])
def test_what_is_no_file_is_refused(loop, bad):
    for call in (
        lambda: loop.add_reader(bad, print),
        lambda: loop.remove_reader(bad),
        lambda: loop.add_writer(bad, print),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()


def test_a_closed_socket_object_is_refused(loop):
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError):
        loop.add_reader(sock, print)


def test_a_number_that_is_not_open_is_refused(loop):
    ours, peer = socket.socketpair()
    number = ours.fileno()
    ours.close()
    peer.close()
    with pytest.raises(OSError):
        loop.add_reader(number, print)
    assert loop.remove_reader(number) is False


def test_a_transports_descriptor_is_refused(run, family):
    async def main():
        loop = asyncio.get_running_loop()
        async with attached(family) as (protocol, peer):
            number = protocol.transport.get_extra_info("socket").fileno()
            for call in (loop.add_reader, loop.add_writer):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    call(number, print)
            for call in (loop.remove_reader, loop.remove_writer):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    call(number)
            await loop.sock_sendall(peer, b"still received")
            await protocol.wait_received(14)

    run(main())


def test_a_reader_may_remove_another_that_is_ready_in_the_same_turn(loop):
    pairs = [socket.socketpair() for _ in range(2)]
    (first, first_peer), (second, second_peer) = pairs
    calls = []
    loop.add_reader(
        first, lambda: (calls.append("first"), loop.remove_reader(first), loop.remove_reader(second))
    )
    loop.add_reader(
        second, lambda: (calls.append("second"), loop.remove_reader(first), loop.remove_reader(second))
    )
    first_peer.send(b"x")
    second_peer.send(b"x")
    run_for(loop)
    assert len(calls) == 1
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_a_reader_may_remove_itself_and_close_its_socket(loop, pair):
    ours, peer = pair
    calls = []

    def readable():
        calls.append(True)
        loop.remove_reader(ours)
        ours.close()

    loop.add_reader(ours, readable)
    peer.send(b"x")
    run_for(loop)
    assert calls == [True]


def test_a_reader_that_raises_is_reported_and_stays(loop, pair):
    from recording import record_errors

    ours, peer = pair
    contexts, calls = record_errors(loop), []

    def readable():
        calls.append(True)
        if len(calls) == 1:
            raise ValueError("bad")
        ours.recv(10)

    loop.add_reader(ours, readable)
    peer.send(b"x")
    run_for(loop)
    loop.remove_reader(ours)
    assert len(calls) == 2
    assert str(contexts[0]["exception"]) == "bad"


def test_readers_run_in_the_context_they_were_added_in(loop, pair):
    import contextvars

    variable = contextvars.ContextVar("variable", default="default")
    ours, peer = pair
    seen = []
    token = variable.set("adder")
    loop.add_reader(ours, lambda: (seen.append(variable.get()), ours.recv(10)))
    variable.reset(token)
    peer.send(b"x")
    run_for(loop)
    loop.remove_reader(ours)
    assert seen == ["adder"]


@pytest.mark.oxio_only(
    "asyncio keeps the old entry: its next add_reader fails with FileNotFoundError or is never called"
)
def test_a_number_closed_without_removal_and_used_again_serves_its_new_owner(loop):
    old, old_peer = socket.socketpair()
    number = old.fileno()
    old_calls, new_calls = [], []
    loop.add_reader(old, old_calls.append, True)
    run_for(loop, 0)
    old.close()
    old_peer.close()
    new, new_peer = socket.socketpair()
    if new.fileno() != number:
        new, new_peer = new_peer, new
    assert new.fileno() == number, "the kernel gives the lowest free number"
    with new, new_peer:
        loop.add_reader(new, lambda: new_calls.append(new.recv(10)))
        new_peer.send(b"new")
        run_for(loop)
        assert (old_calls, new_calls) == ([], [b"new"])
        assert loop.remove_reader(new) is True


def test_removing_after_the_socket_was_closed_lets_the_number_be_used_again(loop):
    for _ in range(20):
        ours, peer = socket.socketpair()
        with peer:
            number = ours.fileno()
            received = []
            loop.add_reader(number, lambda ours=ours, received=received: received.append(ours.recv(10)))
            peer.send(b"x")
            run_for(loop, 0.001)
            assert received == [b"x"]
            ours.close()
            assert loop.remove_reader(number) is True


def test_many_descriptors_are_watched_at_once(loop):
    pairs = [socket.socketpair() for _ in range(200)]
    received = []
    for number, (ours, peer) in enumerate(pairs):
        loop.add_reader(ours, lambda ours=ours: received.append(int(ours.recv(10))))
        peer.send(str(number).encode())
    loop.call_soon(lambda: None)
    loop.run_until_complete(wait_until(lambda: len(received) == len(pairs)))
    assert sorted(received) == list(range(len(pairs)))
    for ours, peer in pairs:
        assert loop.remove_reader(ours)
        ours.close()
        peer.close()


def test_a_closed_loop_refuses_readers(loop, pair):
    ours, _ = pair
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.add_reader(ours, print)


def test_the_loop_does_not_change_whether_a_users_descriptor_blocks(loop, pair):
    ours, _ = pair
    ours.setblocking(True)
    loop.add_reader(ours, print)
    run_for(loop, 0)
    loop.remove_reader(ours)
    assert ours.getblocking()
    assert os.get_blocking(ours.fileno())
