"""What a program does behind the loop's back, with sockets and tasks that the loop believes to be its own."""

import asyncio
import errno
import socket

import pytest


async def attached(protocol_factory=asyncio.Protocol):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(protocol_factory, sock=ours)
    return transport, ours, peer


def test_bytes_for_a_socket_closed_behind_the_transport_reach_no_other(run):
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        transport, ours, peer = await attached()
        number = ours.fileno()
        ours.close()
        # The lowest free number is given out again.
        stranger, other_end = socket.socketpair()
        other_end.setblocking(False)
        assert stranger.fileno() == number
        transport.write(b"for the first connection")
        with pytest.raises(BlockingIOError):
            other_end.recv(100)
        transport.abort()
        await asyncio.sleep(0)
        for sock in (peer, stranger, other_end):
            sock.close()

    run(main())


def test_writelines_to_a_peer_that_has_gone_is_no_error(run):
    async def main():
        transport, _, peer = await attached()
        peer.close()
        transport.write(b"x")
        transport.writelines([b"y", b"z"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())


def test_refused_descriptors_say_their_errno(run):
    async def main():
        with open(__file__) as file, pytest.raises(PermissionError) as caught:
            asyncio.get_running_loop().add_reader(file, print)
        assert caught.value.errno == errno.EPERM

    run(main())


def test_a_task_finished_by_force_keeps_that_outcome(run):
    async def main():
        reports = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

        async def forced():
            asyncio.Future.set_exception(task, ValueError("by force"))
            return "its own"

        task = loop.create_task(forced())
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert isinstance(task.exception(), ValueError)
        assert [type(report) for report in reports] == [asyncio.InvalidStateError]

    run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with 3.12")
def test_an_eager_start_inside_a_task_of_cpythons_leaves_it_the_current_one(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def nothing():
            pass

        async def outer():
            me = asyncio.current_task()
            loop.create_task(nothing())
            return asyncio.current_task() is me

        loop.set_task_factory(asyncio.eager_task_factory)
        assert await asyncio.tasks._CTask(outer(), loop=loop)

    run(main())
