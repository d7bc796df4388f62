"""Debug mode: slow callbacks, wrong threads, where things were created, what was not closed."""

import asyncio
import gc
import socket
import sys
import threading
import time
import warnings

import pytest

from children import output_of
from recording import Recorder, record_errors


@pytest.fixture
def debug_loop(loop):
    loop.set_debug(True)
    return loop


def run_ready(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def slow():
    time.sleep(0.03)  # blocking the loop is the mistake to be reported


def test_debug_is_off_by_default_and_may_be_switched(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False
    assert loop.slow_callback_duration == 0.1


def test_a_slow_callback_is_logged_with_its_time(debug_loop, asyncio_log):
    debug_loop.slow_callback_duration = 0.01
    debug_loop.call_soon(slow)
    run_ready(debug_loop)
    (message,) = asyncio_log.take()
    assert message.startswith("Executing <Handle slow()")
    assert "test_debug_mode.py" in message
    assert " took 0.0" in message
    assert message.endswith(" seconds")


def test_a_slow_timer_is_logged(debug_loop, asyncio_log):
    debug_loop.slow_callback_duration = 0.01
    debug_loop.call_later(0.001, slow)
    debug_loop.call_later(0.05, debug_loop.stop)
    debug_loop.run_forever()
    (message,) = asyncio_log.take()
    assert message.startswith("Executing <TimerHandle")


def test_a_slow_step_is_logged_with_its_task(debug_loop, asyncio_log):
    async def slow_coroutine():
        slow()

    debug_loop.slow_callback_duration = 0.01
    debug_loop.run_until_complete(debug_loop.create_task(slow_coroutine(), name="the slow one"))
    (message,) = asyncio_log.take()
    assert message.startswith("Executing <Task")
    assert "the slow one" in message
    assert "slow_coroutine" in message


def test_quick_callbacks_are_not_logged(debug_loop, asyncio_log):
    debug_loop.call_soon(int)
    run_ready(debug_loop)
    assert asyncio_log.take() == []


def test_without_debug_nothing_is_logged(loop, asyncio_log):
    loop.slow_callback_duration = 0.01
    loop.call_soon(slow)
    run_ready(loop)
    assert asyncio_log.take() == []


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_at"])
def test_a_call_from_another_thread_is_refused(debug_loop, how):
    errors = []
    first = {"call_later": (1,), "call_at": (1,)}.get(how, ())

    def other_thread():
        try:
            getattr(debug_loop, how)(*first, print)
        except RuntimeError as error:
            errors.append(str(error))
        debug_loop.call_soon_threadsafe(debug_loop.stop)

    thread = threading.Thread(target=other_thread)
    debug_loop.call_soon(thread.start)
    debug_loop.run_forever()
    thread.join()
    assert len(errors) == 1
    assert errors[0].startswith(
        "Non-thread-safe operation invoked on an event loop other than the current one"
    )


def test_a_threadsafe_call_from_another_thread_is_fine(debug_loop):
    thread = threading.Thread(target=debug_loop.call_soon_threadsafe, args=(debug_loop.stop,))
    debug_loop.call_soon(thread.start)
    debug_loop.run_forever()
    thread.join()


@pytest.mark.parametrize(
    "how", ["call_soon", "call_later", "call_at", "call_soon_threadsafe", "run_in_executor"]
)
def test_coroutines_and_what_cannot_be_called_are_refused_as_callbacks(debug_loop, how):
    async def coroutine_function():
        pass

    first = {"call_later": (0,), "call_at": (0,), "run_in_executor": (None,)}.get(how, ())
    with pytest.raises(TypeError, match="coroutines cannot be used with"):
        getattr(debug_loop, how)(*first, coroutine_function)
    coroutine = coroutine_function()
    with pytest.raises(TypeError, match="coroutines cannot be used with"):
        getattr(debug_loop, how)(*first, coroutine)
    coroutine.close()
    with pytest.raises(TypeError, match="a callable object was expected"):
        getattr(debug_loop, how)(*first, 42)


def test_a_failing_callback_is_reported_with_where_it_was_scheduled(debug_loop):
    contexts = record_errors(debug_loop)

    def scheduler():
        debug_loop.call_soon(divmod, 1, 0)

    scheduler()
    run_ready(debug_loop)
    assert [frame.name for frame in contexts[0]["source_traceback"]][-1] == "scheduler"


def test_a_failing_timer_is_reported_with_where_it_was_scheduled(debug_loop):
    contexts = record_errors(debug_loop)

    def scheduler():
        debug_loop.call_later(0, divmod, 1, 0)
        debug_loop.call_at(0, divmod, 1, 0)

    scheduler()
    debug_loop.call_later(0.002, debug_loop.stop)
    debug_loop.run_forever()
    assert [context["source_traceback"][-1].name for context in contexts] == ["scheduler"] * 2


def test_the_log_tells_where_the_object_was_created(debug_loop, asyncio_log):
    def scheduler():
        debug_loop.call_soon(divmod, 1, 0)

    scheduler()
    run_ready(debug_loop)
    (message,) = asyncio_log.take()
    assert "Object created at (most recent call last):" in message
    assert "in scheduler" in message


def test_futures_and_tasks_know_where_they_were_created(debug_loop):
    contexts = record_errors(debug_loop)

    async def fails():
        raise ValueError("bad")

    def maker_of_a_future():
        debug_loop.create_future().set_exception(ValueError("bad"))

    def maker_of_a_task():
        debug_loop.create_task(fails())

    maker_of_a_future()
    gc.collect()
    maker_of_a_task()
    run_ready(debug_loop)
    run_ready(debug_loop)
    gc.collect()
    for context, maker in zip(contexts, ["maker_of_a_future", "maker_of_a_task"], strict=True):
        # create_future() itself may be the last frame.
        assert maker in [frame.name for frame in context["source_traceback"][-2:]]


def test_without_debug_nothing_remembers_where_it_was_created(loop):
    assert not getattr(loop.create_future(), "_source_traceback", None)
    assert not loop.call_soon(print, "")._source_traceback
    loop.close()


def test_coroutine_origins_are_tracked_while_the_loop_runs_only(debug_loop):
    async def main():
        return sys.get_coroutine_origin_tracking_depth()

    before = sys.get_coroutine_origin_tracking_depth()
    assert debug_loop.run_until_complete(main()) > 0
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_switching_debug_inside_the_loop_switches_the_tracking(loop):
    async def main():
        depths = [sys.get_coroutine_origin_tracking_depth()]
        for debug in (True, False):
            loop.set_debug(debug)
            await asyncio.sleep(0.001)
            depths.append(sys.get_coroutine_origin_tracking_depth())
        return depths

    off, on, off_again = loop.run_until_complete(main())
    assert off == off_again == 0
    assert on > 0


def test_a_coroutine_never_awaited_is_warned_about_with_its_origin(debug_loop, recorded_warnings):
    async def forgotten():
        pass

    async def main():
        forgotten()

    debug_loop.run_until_complete(main())
    gc.collect()
    messages = [str(warning.message) for warning in recorded_warnings]
    assert any("Coroutine created at" in message and "in main" in message for message in messages)


@pytest.mark.parametrize("debug", [False, True])
def test_a_loop_that_was_not_closed_is_warned_about(loop_module, debug):
    loop = loop_module.new_event_loop()
    loop.set_debug(debug)
    loop.run_until_complete(asyncio.sleep(0))
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop
        gc.collect()


def test_a_closed_loop_is_not_warned_about(loop_module):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = loop_module.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del loop
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_transport_that_was_not_closed_is_warned_about(loop_module, family):
    from sockets import stream_pair

    loop = loop_module.new_event_loop()
    ours, peer = stream_pair(family)
    with peer:
        transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=ours))
        protocol.transport = None
        loop.close()
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            del transport, protocol, ours, loop
            gc.collect()
        peer.setblocking(True)
        peer.settimeout(5)
        assert peer.recv(1) == b"", "the socket was closed with it"


def test_a_transport_that_was_closed_is_not_warned_about(run, family):
    from sockets import attached

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        async def main():
            async with attached(family):
                pass

        run(main())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_server_and_connections_work_in_debug_mode(run, family, tmp_path):
    from recording import Echo
    from sockets import conversation

    async def main():
        async with conversation(family, tmp_path, Echo) as (server, client):
            client.transport.write(b"debug")
            assert await client.wait_received(5) == b"debug"
            assert "Transport" in repr(client.transport)

    run(main(), debug=True)


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("options, environment", [(("-X", "dev"), {}), ((), {"PYTHONASYNCIODEBUG": "1"})])
def test_python_options_switch_debug_mode_on(loop_name, options, environment):
    program = """
        async def main():
            print(asyncio.get_running_loop().get_debug())
        run(main())
        """
    assert output_of(loop_name, program, options=options, **environment) == ["True"]


def test_a_socket_in_blocking_mode_is_refused_by_sock_calls(run):
    async def main():
        with socket.socket() as sock:
            with pytest.raises(ValueError, match="non-blocking"):
                await asyncio.get_running_loop().sock_recv(sock, 1)

    run(main(), debug=True)
