"""What the loop hands out is oxio's own, and is asyncio's by isinstance: nothing fell back to the stock classes."""

import asyncio
import contextlib
import socket

import pytest

oxio = pytest.importorskip("oxio", reason="needs oxio built")
from oxio import _oxio


@pytest.fixture
def loop():
    with contextlib.closing(oxio.new_event_loop()) as loop:
        yield loop


async def nothing():
    pass


def test_the_loop_is_native_and_asyncios(loop):
    assert type(loop) is oxio.EventLoop
    assert isinstance(loop, _oxio.Loop)
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert isinstance(loop, asyncio.SelectorEventLoop)


def test_futures_are_native_and_asyncios(loop):
    assert type(loop.create_future()) is oxio.Future is _oxio.Future
    assert issubclass(oxio.Future, asyncio.Future)


def test_tasks_are_native_and_asyncios(loop):
    task = loop.create_task(nothing())
    assert type(task) is oxio.Task is _oxio.Task
    assert issubclass(oxio.Task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    loop.run_until_complete(task)


def test_a_native_task_is_a_native_future(loop):
    task = loop.create_task(nothing())
    assert isinstance(task, oxio.Future)
    loop.run_until_complete(task)


def test_create_task_ensure_future_and_run_make_native_tasks(loop):
    async def main():
        kinds = [
            type(asyncio.current_task()),
            type(asyncio.create_task(nothing())),
            type(asyncio.ensure_future(nothing())),
        ]
        async with asyncio.TaskGroup() as group:
            kinds.append(type(group.create_task(nothing())))
        return kinds

    assert loop.run_until_complete(main()) == [oxio.Task] * 4
    assert oxio.run(main()) == [oxio.Task] * 4


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="this version has no eager tasks")
def test_asyncios_eager_task_factory_makes_native_tasks(loop):
    loop.set_task_factory(asyncio.eager_task_factory)

    async def main():
        return type(asyncio.create_task(nothing()))

    assert loop.run_until_complete(main()) is oxio.Task


def test_handles_are_native_and_asyncios(loop):
    handle, timer = loop.call_soon(print, ""), loop.call_later(60, print)
    threadsafe = loop.call_soon_threadsafe(print, "")
    assert isinstance(threadsafe, asyncio.Handle)
    threadsafe.cancel()
    for one in (handle, timer):
        assert isinstance(one, asyncio.Handle)
        assert type(one).__module__.startswith("oxio"), type(one)
        one.cancel()
    assert isinstance(timer, asyncio.TimerHandle)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_stream_transports_are_native_and_asyncios(loop, family, tmp_path):
    accepted = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.append(transport)

    async def main():
        if family == socket.AF_INET:
            server = await loop.create_server(Protocol, "127.0.0.1", 0)
            transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        else:
            server = await loop.create_unix_server(Protocol, str(tmp_path / "socket"))
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, str(tmp_path / "socket"))
        while not accepted:
            await asyncio.sleep(0.001)
        for one in (transport, *accepted):
            assert isinstance(one, asyncio.Transport)
            assert type(one).__module__.startswith("oxio"), type(one)
            one.abort()
        server.close()
        await asyncio.sleep(0.005)

    loop.run_until_complete(main())


def test_every_way_to_get_a_loop_gives_the_same_class():
    made = [oxio.new_event_loop(), oxio.EventLoop()]
    with oxio.Runner() as runner:
        made.append(runner.get_loop())
    with asyncio.Runner(loop_factory=oxio.new_event_loop) as runner:
        made.append(runner.get_loop())
    for loop in made:
        assert type(loop) is oxio.EventLoop
        loop.close()


def test_a_loop_class_may_be_derived(loop):
    class Mine(oxio.EventLoop):
        def call_soon(self, callback, *args, context=None):
            calls.append(callback)
            return super().call_soon(callback, *args, context=context)

    calls = []
    with contextlib.closing(Mine()) as mine:
        mine.call_soon(nothing)
        assert calls == [nothing]
        for handle in [mine.call_later(60, print)]:
            handle.cancel()


def test_the_private_attributes_that_libraries_read_are_there(loop):
    # anyio reads _fut_waiter, _must_cancel and _callbacks; greenback writes _coro; aiohttp reads _asyncio_future_blocking.
    async def main():
        future = loop.create_future()

        async def wait():
            await future

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert task._fut_waiter is future
        assert task._must_cancel is False
        assert future._callbacks
        assert future._state == "PENDING"
        assert future._asyncio_future_blocking is False
        assert task._loop is loop
        assert task._coro is task.get_coro()
        assert task._log_destroy_pending is True
        future.set_result(None)
        assert future._result is None
        assert future._exception is None
        await task
        assert task._state == "FINISHED"
        assert task._fut_waiter is None

    loop.run_until_complete(main())
