"""call_soon and its relatives: order, contexts, handles, other threads."""

import asyncio
import contextvars
import gc
import threading
import time
import weakref

import pytest

import features
from recording import record_errors

variable = contextvars.ContextVar("variable", default="default")


def run_ready(loop):
    """One turn: what is ready runs, what it schedules waits."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_callbacks_run_in_the_order_of_the_calls(loop):
    order = []
    for number in range(100):
        loop.call_soon(order.append, number)
    run_ready(loop)
    assert order == list(range(100))


def test_a_callback_scheduled_by_a_callback_runs_in_the_next_turn(loop):
    order = []

    def outer():
        order.append("outer")
        loop.call_soon(order.append, "inner")
        loop.stop()

    loop.call_soon(outer)
    loop.call_soon(order.append, "beside")
    loop.run_forever()
    assert order == ["outer", "beside"]
    run_ready(loop)
    assert order == ["outer", "beside", "inner"]


def test_call_soon_returns_a_handle_and_passes_any_number_of_arguments(loop):
    calls = []
    for count in (0, 1, 2, 3, 10):
        handle = loop.call_soon(lambda *args: calls.append(args), *range(count))
        assert isinstance(handle, asyncio.Handle)
    run_ready(loop)
    assert calls == [tuple(range(count)) for count in (0, 1, 2, 3, 10)]


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_at", "call_soon_threadsafe"])
def test_a_cancelled_callback_does_not_run_and_lets_go_of_its_arguments(loop, how):
    class Argument:
        pass

    calls, argument = [], Argument()
    first = {"call_later": (0,), "call_at": (loop.time(),)}.get(how, ())
    handle = getattr(loop, how)(*first, calls.append, argument)
    assert not handle.cancelled()
    handle.cancel()
    assert handle.cancelled()
    handle.cancel()
    alive = weakref.ref(argument)
    del argument
    assert alive() is None, "freed at cancel, not when it would have run"
    run_ready(loop)
    assert calls == []


def test_a_callback_may_cancel_one_that_is_ready_in_the_same_turn(loop):
    calls = []
    loop.call_soon(lambda: victim.cancel())
    victim = loop.call_soon(calls.append, "victim")
    loop.call_soon(calls.append, "other")
    run_ready(loop)
    assert calls == ["other"]


def test_a_callback_may_cancel_itself_and_go_on_using_its_arguments(loop):
    class Argument:
        pass

    seen = []

    def callback(argument):
        handle.cancel()
        gc.collect()
        seen.append(type(argument).__name__)

    handle = loop.call_soon(callback, Argument())
    run_ready(loop)
    assert seen == ["Argument"]
    assert handle.cancelled()


def test_a_callback_lets_go_of_its_arguments_after_it_ran(loop):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    loop.call_soon(lambda argument: None, argument)
    del argument
    run_ready(loop)
    assert alive() is None


def test_a_callback_runs_in_a_copy_of_the_callers_context(loop):
    seen = []
    token = variable.set("caller")
    loop.call_soon(lambda: seen.append(variable.get()))
    loop.call_soon(lambda: variable.set("changed by a callback"))
    variable.reset(token)
    loop.call_soon(lambda: seen.append(variable.get()))
    run_ready(loop)
    assert seen == ["caller", "default"]
    assert variable.get() == "default"


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_at", "call_soon_threadsafe"])
def test_a_callback_runs_in_the_context_it_is_given(loop, how):
    context = contextvars.copy_context()
    first = {"call_later": (0,), "call_at": (loop.time(),)}.get(how, ())
    getattr(loop, how)(*first, variable.set, "inside", context=context)
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert context[variable] == "inside"
    assert variable.get() == "default"


def test_an_empty_context_is_a_context(loop):
    # An empty Context is falsy: `context or copy_context()` would lose it.
    token = variable.set("caller")
    empty, seen = contextvars.Context(), []
    handle = loop.call_soon(lambda: seen.append(variable.get()), context=empty)
    loop.call_later(0, lambda: seen.append(variable.get()), context=empty)
    if features.HANDLE_GET_CONTEXT:
        assert handle.get_context() is empty
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    variable.reset(token)
    assert seen == ["default", "default"]


@pytest.mark.skipif(not features.HANDLE_GET_CONTEXT, reason="this version's handles have no get_context")
def test_get_context_returns_the_context_the_callback_runs_in(loop):
    context, seen = contextvars.copy_context(), []
    assert loop.call_soon(seen.append, 1, context=context).get_context() is context
    assert loop.call_later(0, seen.append, 2, context=context).get_context() is context
    own = loop.call_soon(variable.set, "inside")
    run_ready(loop)
    assert own.get_context()[variable] == "inside"


def test_handles_name_their_callback_and_their_state(loop):
    def a_callback_of_mine(argument):
        pass

    handle = loop.call_soon(a_callback_of_mine, "an argument")
    assert "Handle" in repr(handle)
    assert "a_callback_of_mine(" in repr(handle)
    assert "test_loop_callbacks.py:" in repr(handle)
    handle.cancel()
    assert "cancelled" in repr(handle)
    timer = loop.call_later(60, a_callback_of_mine, "an argument")
    assert repr(timer).startswith("<TimerHandle when=")
    assert "a_callback_of_mine" in repr(timer)
    timer.cancel()
    assert "cancelled" in repr(timer)


@pytest.mark.parametrize("schedule", ["call_soon", "call_soon_threadsafe"])
def test_a_closed_loop_takes_no_callbacks(loop, schedule):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        getattr(loop, schedule)(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_at(loop.time() + 1, print)


def test_callbacks_may_be_any_callable(loop):
    seen = []

    class Callable:
        def __call__(self, argument):
            seen.append(argument)

        def method(self, argument):
            seen.append(argument)

    loop.call_soon(Callable(), 1)
    loop.call_soon(Callable().method, 2)
    loop.call_soon(seen.extend, [3, 4])
    run_ready(loop)
    assert seen == [1, 2, 3, 4]


def test_a_callback_that_raises_does_not_stop_the_others(loop):
    contexts, calls = record_errors(loop), []
    loop.call_soon(calls.append, "before")
    loop.call_soon(divmod, 1, 0)
    loop.call_soon(calls.append, "after")
    run_ready(loop)
    assert calls == ["before", "after"]
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]


def test_call_soon_threadsafe_wakes_an_idle_loop_at_once(loop):
    called_at = []

    def from_thread():
        time.sleep(0.05)  # long enough that the loop is surely waiting in its poll
        called_at.append(time.monotonic())
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=from_thread)
    thread.start()
    loop.run_forever()
    woken_at = time.monotonic()
    thread.join()
    assert woken_at - called_at[0] < 0.5, "woken by the call, not by a time limit"


def test_callbacks_from_many_threads_all_run_each_threads_in_order(loop):
    threads, each = 8, 500
    received = []

    def callback(thread, number):
        received.append((thread, number))
        if len(received) == threads * each:
            loop.stop()

    def send(thread):
        for number in range(each):
            loop.call_soon_threadsafe(callback, thread, number)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(threads)]
    for sender in senders:
        sender.start()
    loop.run_forever()
    for sender in senders:
        sender.join()
    for thread in range(threads):
        assert [number for sender, number in received if sender == thread] == list(range(each))


def test_ping_pong_between_a_thread_and_an_idle_loop_loses_no_wake_up(loop):
    # Every round finds the loop idle or just going idle: a lost wake-up hangs here.
    answered = threading.Semaphore(0)

    def other_thread():
        for _ in range(500):
            loop.call_soon_threadsafe(answered.release)
            assert answered.acquire(timeout=5)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other_thread)
    thread.start()
    loop.run_forever()
    thread.join()


def test_call_soon_threadsafe_from_the_loops_own_thread_keeps_the_order(loop):
    order = []
    loop.call_soon(order.append, 1)
    loop.call_soon_threadsafe(order.append, 2)
    loop.call_soon(order.append, 3)
    run_ready(loop)
    run_ready(loop)
    assert order == [1, 2, 3]


def test_call_soon_threadsafe_before_the_loop_runs_is_kept(loop):
    calls = []
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(calls.append, 1))
    thread.start()
    thread.join()
    run_ready(loop)
    run_ready(loop)
    assert calls == [1]


def test_a_threadsafe_call_may_be_cancelled_before_it_runs(loop):
    calls, handles = [], []

    def other_thread():
        handles.append(loop.call_soon_threadsafe(calls.append, "cancelled"))
        handles[0].cancel()
        loop.call_soon_threadsafe(calls.append, "kept")

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    run_ready(loop)
    run_ready(loop)
    assert calls == ["kept"]
    assert handles[0].cancelled()
    assert isinstance(handles[0], asyncio.Handle)


def test_a_callback_that_reschedules_itself_does_not_starve_io_and_timers(loop):
    import socket

    ours, peer = socket.socketpair()
    happened = []

    def again():
        if len(happened) < 2:
            loop.call_soon(again)
        else:
            loop.stop()

    def readable():
        loop.remove_reader(ours)
        happened.append("io")

    with ours, peer:
        loop.add_reader(ours, readable)
        loop.call_later(0.01, happened.append, "timer")
        peer.send(b"x")
        loop.call_soon(again)
        loop.run_forever()
    assert sorted(happened) == ["io", "timer"]
