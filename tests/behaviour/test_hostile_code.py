"""User code that does what it should not, where it should not: the loop must stay whole."""

import asyncio
import gc
import socket
import sys

import pytest

import features
from recording import Recorder, record_errors, turns
from sockets import attached, read_all


def run_ready(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.oxio_only("bug of this asyncio, fixed later", when=features.NESTED_RUN_BREAKS_THE_LOOP)
@pytest.mark.parametrize("where", ["callback", "timer", "reader", "done callback", "step", "data_received"])
def test_reentering_or_closing_the_loop_from_inside_is_refused_everywhere(loop, where):
    outcomes = []

    def attempt(*_):
        for call in (loop.run_forever, loop.close, lambda: loop.run_until_complete(loop.create_future())):
            try:
                call()
                outcomes.append("allowed")
            except RuntimeError:
                outcomes.append("refused")
        loop.stop()

    async def step():
        attempt()

    ours, peer = socket.socketpair()
    transport = task = None
    if where == "callback":
        loop.call_soon(attempt)
    elif where == "timer":
        loop.call_later(0, attempt)
    elif where == "reader":
        loop.add_reader(ours, lambda: (ours.recv(10), attempt()))
        peer.send(b"x")
    elif where == "done callback":
        future = loop.create_future()
        future.add_done_callback(attempt)
        future.set_result(None)
    elif where == "step":
        task = loop.create_task(step())
    else:
        Hostile = type("Hostile", (Recorder,), {"data_received": attempt})
        transport, _ = loop.run_until_complete(loop.create_connection(Hostile, sock=ours))
        peer.send(b"x")
    loop.run_forever()
    assert outcomes == ["refused"] * 3
    assert loop.run_until_complete(asyncio.sleep(0.001, "whole")) == "whole"
    if transport:
        transport.abort()
        run_ready(loop)
        run_ready(loop)
    elif where == "reader":
        loop.remove_reader(ours)
    peer.close()
    ours.close()
    del task


def test_a_callback_that_closes_the_loop_through_a_stop_is_fine(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    with pytest.raises(RuntimeError):
        loop.run_forever()


def test_a_destructor_that_schedules_a_callback_is_fine(loop):
    calls = []

    class Schedules:
        def __del__(self):
            if not loop.is_closed():
                loop.call_soon(calls.append, True)

    loop.call_soon(lambda argument: None, Schedules())
    handle = loop.call_later(60, print, Schedules())
    handle.cancel()
    run_ready(loop)
    run_ready(loop)
    assert calls == [True, True]
    loop.call_soon(print, Schedules())
    loop.call_later(60, print, Schedules())
    loop.close()


def test_a_destructor_that_cancels_other_handles_is_fine(loop):
    handles = []

    class Cancels:
        def __del__(self):
            for handle in handles:
                handle.cancel()

    for number in range(20):
        handles.append(loop.call_later(60 + number, print, Cancels()))
    handles[7].cancel()
    assert all(handle.cancelled() for handle in handles)
    run_ready(loop)


def test_an_argument_whose_repr_raises_is_reported_all_the_same(loop, asyncio_log):
    class Bad:
        def __repr__(self):
            raise ValueError("no repr")

    def fails(argument):
        raise KeyError("bad")

    loop.call_soon(fails, Bad())
    run_ready(loop)
    messages = asyncio_log.take()
    assert messages
    assert run_ready(loop) is None


def test_a_done_callback_with_an_evil_equality_cannot_break_remove_done_callback(loop):
    future = loop.create_future()

    class Evil:
        def __init__(self):
            self.armed = False

        def __call__(self, done):
            pass

        def __eq__(self, other):
            if self.armed:
                self.armed = False
                for _ in range(3):
                    future.remove_done_callback(plain)
                future.set_result(None) if not future.done() else None
            return False

        __hash__ = object.__hash__

    def plain(done):
        pass

    evil = Evil()
    for _ in range(5):
        future.add_done_callback(plain)
        future.add_done_callback(evil)
    evil.armed = True
    future.remove_done_callback(lambda done: None)
    run_ready(loop)
    assert future.done()


def test_an_equality_that_raises_reaches_the_caller_of_remove_done_callback(loop):
    class Bad:
        def __call__(self, done):
            pass

        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = object.__hash__

    future = loop.create_future()
    future.add_done_callback(Bad())
    with pytest.raises(ZeroDivisionError):
        future.remove_done_callback(Bad())
    future.cancel()
    run_ready(loop)


def test_a_done_callback_may_add_and_remove_callbacks(loop):
    calls = []
    future = loop.create_future()

    def first(done):
        calls.append("first")
        done.remove_done_callback(second)
        done.add_done_callback(third)

    def second(done):
        calls.append("second")

    def third(done):
        calls.append("third")

    future.add_done_callback(first)
    future.add_done_callback(second)
    future.set_result(None)
    run_ready(loop)
    run_ready(loop)
    assert calls == ["first", "second", "third"], "those scheduled already run"


def test_a_coroutine_that_closes_itself_by_force_does_not_break_its_task(run):
    async def main():
        async def work():
            try:
                coroutine.close()
            except (ValueError, RuntimeError) as error:
                return type(error)

        coroutine = work()
        assert await asyncio.create_task(coroutine) is ValueError

    run(main())


def test_a_coroutine_closed_from_outside_while_its_task_waits_is_an_error_of_that_task(run):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def work():
            await future

        coroutine = work()
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        coroutine.close()
        future.set_result(None)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await task

    run(main())


def test_two_tasks_of_one_coroutine_are_an_error_not_a_crash(run):
    async def main():
        async def work():
            await asyncio.sleep(0.001)
            return "result"

        coroutine = work()
        first, second = asyncio.create_task(coroutine), asyncio.create_task(coroutine)
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert any(isinstance(result, RuntimeError) for result in results)

    run(main())


def test_clean_up_that_ignores_cancellation_does_not_hang_the_others(run):
    async def main():
        async def stubborn():
            for _ in range(3):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue
            return "gave in"

        task = asyncio.create_task(stubborn())
        for _ in range(3):
            await turns(2)
            task.cancel()
        assert await task == "gave in"

    run(main())


def test_a_protocol_that_aborts_while_its_transport_flushes_is_fine(run, family):
    class AbortsWhenResumed(Recorder):
        def pause_writing(self):
            super().pause_writing()
            asyncio.get_running_loop().call_soon(self.transport.abort)

    async def main():
        async with attached(family, AbortsWhenResumed, tiny=True) as (protocol, peer):
            protocol.transport.write(bytes(300_000))
            await read_all(peer)
            assert await protocol.wait_lost() is None

    run(main())


def test_a_protocol_that_writes_in_connection_lost_is_harmless(run, family):
    class WritesLate(Recorder):
        def connection_lost(self, error):
            super().connection_lost(error)
            self.transport.write(b"too late")
            self.transport.close()

    async def main():
        async with attached(family, WritesLate) as (protocol, peer):
            protocol.transport.close()
            await protocol.wait_lost()
            assert await read_all(peer) == b""
            await turns(3)
            assert protocol.events == ["made", "lost"]

    run(main())


def test_a_get_buffer_that_closes_the_transport_is_fine(run, family):
    from recording import BufferedRecorder

    class Closes(BufferedRecorder):
        def get_buffer(self, sizehint):
            self.transport.abort()
            return self.buffer

    async def main():
        async with attached(family, Closes) as (protocol, peer):
            await asyncio.get_running_loop().sock_sendall(peer, b"x")
            await protocol.wait_lost()
            assert protocol.events.count("lost") == 1

    run(main())


def test_a_collection_at_any_moment_is_fine(run, family, tmp_path):
    from recording import Echo
    from sockets import conversation

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:

        async def main():
            async with conversation(family, tmp_path, Echo) as (server, client):
                for number in range(20):
                    client.transport.write(b"%03d" % number)
                    await asyncio.sleep(0)
                await client.wait_received(60)
                await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(20)))

        run(main())
    finally:
        gc.set_threshold(*thresholds)


def test_a_trace_function_sees_the_callbacks_and_disturbs_nothing(loop):
    names = set()

    def traced_callback():
        pass

    def trace(frame, event, argument):
        names.add(frame.f_code.co_name)

    before = sys.gettrace()
    loop.call_soon(traced_callback)
    sys.settrace(trace)
    try:
        run_ready(loop)
    finally:
        sys.settrace(before)
    assert "traced_callback" in names


def test_an_error_while_reporting_an_error_does_not_hide_the_next_callback(loop, asyncio_log):
    calls = []

    def handler(loop, context):
        raise context["exception"]

    loop.set_exception_handler(handler)
    loop.call_soon(divmod, 1, 0)
    loop.call_soon(calls.append, True)
    run_ready(loop)
    assert calls == [True]
    assert asyncio_log.take()


def test_an_exception_handler_may_stop_the_loop_and_schedule(loop):
    calls = []

    def handler(loop, context):
        loop.call_soon(calls.append, "scheduled")
        loop.stop()

    loop.set_exception_handler(handler)
    loop.call_soon(divmod, 1, 0)
    loop.run_forever()
    run_ready(loop)
    assert calls == ["scheduled"]


def test_thousands_of_errors_in_one_turn_are_all_reported(loop):
    contexts = record_errors(loop)
    for _ in range(2000):
        loop.call_soon(divmod, 1, 0)
    run_ready(loop)
    assert len(contexts) == 2000
