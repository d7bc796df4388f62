"""Running, stopping, closing; what leaves the loop and what goes to its exception handler."""

import asyncio
import gc
import resource
import threading
import weakref

import pytest

import features
from recording import record_errors, turns


def run_ready(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


async def nothing():
    pass


def test_run_forever_runs_until_stopped_and_may_run_again(loop):
    order = []
    for number in range(3):
        loop.call_soon(order.append, number)
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert order == [0, 1, 2]
    assert not loop.is_running()
    assert not loop.is_closed()


def test_stop_finishes_the_turn_and_keeps_the_rest_for_the_next_run(loop):
    order = []

    def stops():
        loop.stop()
        loop.call_soon(order.append, "next run")

    loop.call_soon(stops)
    loop.call_soon(order.append, "same turn")
    loop.run_forever()
    assert order == ["same turn"]
    run_ready(loop)
    assert order == ["same turn", "next run"]


def test_stop_before_running_takes_one_turn(loop):
    order = []
    loop.call_soon(order.append, 1)
    loop.stop()
    loop.run_forever()
    assert order == [1]


def test_stop_twice_stops_once(loop):
    loop.stop()
    loop.stop()
    loop.run_forever()
    calls = []
    loop.call_soon(lambda: loop.call_soon(lambda: (calls.append(1), loop.stop())))
    loop.run_forever()
    assert calls == [1]


def test_the_running_loop_is_the_running_loop(loop):
    seen = []
    loop.call_soon(lambda: seen.extend([asyncio.get_running_loop(), loop.is_running(), loop.is_closed()]))
    run_ready(loop)
    assert seen == [loop, True, False]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_run_until_complete_returns_results_and_raises_errors(loop):
    async def fails():
        raise ValueError("bad")

    async def returns():
        return "result"

    assert loop.run_until_complete(returns()) == "result"
    with pytest.raises(ValueError, match="bad"):
        loop.run_until_complete(fails())
    future = loop.create_future()
    loop.call_soon(future.set_result, "from a future")
    assert loop.run_until_complete(future) == "from a future"
    assert loop.run_until_complete(future) == "from a future"


def test_run_until_complete_takes_awaitables_and_refuses_the_rest(loop):
    class Awaitable:
        def __await__(self):
            yield
            return "awaited"

    assert loop.run_until_complete(Awaitable()) == "awaited"
    with pytest.raises(TypeError):
        loop.run_until_complete(42)


def test_run_until_complete_refuses_a_future_of_another_loop(loop, loop_factory):
    other = loop_factory()
    with pytest.raises(ValueError):
        loop.run_until_complete(other.create_future())


def test_stopping_before_the_future_is_done_is_an_error(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="Event loop stopped before Future completed"):
        loop.run_until_complete(future)
    # The stop callback of the first run must be gone: this run must not end with the old future.
    loop.call_soon(future.set_result, None)
    calls = []
    loop.call_later(0.002, lambda: (calls.append(1), loop.stop()))
    loop.run_forever()
    assert calls == [1]


def test_close_may_be_called_twice_and_ends_everything(loop):
    loop.close()
    loop.close()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)


def test_close_is_refused_while_running(loop):
    async def main():
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()

    loop.run_until_complete(main())
    assert not loop.is_closed()


@pytest.mark.oxio_only("bug of this asyncio, fixed later", when=features.NESTED_RUN_BREAKS_THE_LOOP)
def test_running_is_refused_while_running(loop, loop_factory):
    async def main():
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        coroutine = nothing()
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_until_complete(coroutine)
        coroutine.close()
        with pytest.raises(RuntimeError, match="another loop is running"):
            loop_factory().run_forever()
        await asyncio.sleep(0)
        return "still well"

    assert loop.run_until_complete(main()) == "still well"


def test_another_loop_runs_in_another_thread_meanwhile(loop, loop_factory):
    results = []

    def in_thread():
        other = loop_factory()
        results.append(other.run_until_complete(asyncio.sleep(0.01, "other")))
        other.close()

    async def main():
        thread = threading.Thread(target=in_thread)
        thread.start()
        await asyncio.sleep(0.01)
        thread.join()
        assert asyncio.get_running_loop() is loop

    loop.run_until_complete(main())
    assert results == ["other"]


def test_close_lets_go_of_callbacks_that_never_ran(loop):
    class Argument:
        pass

    soon, later = Argument(), Argument()
    alive = [weakref.ref(soon), weakref.ref(later)]
    loop.call_soon(print, soon)
    loop.call_later(3600, print, later)
    del soon, later
    loop.close()
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(
    "where", ["call_soon", "call_later", "reader", "done callback", "task", "threadsafe"]
)
def test_keyboard_interrupt_and_system_exit_leave_the_loop_which_may_run_again(loop, error, where):
    import socket

    def leave(*_):
        raise error("leaving")

    async def leaving_task():
        leave()

    ours, peer = socket.socketpair()
    task = None
    calls = []
    if where == "call_soon":
        loop.call_soon(leave)
    elif where == "threadsafe":
        loop.call_soon_threadsafe(leave)
    elif where == "call_later":
        loop.call_later(0.001, leave)
    elif where == "reader":
        loop.add_reader(ours, leave)
        peer.send(b"x")
    elif where == "done callback":
        future = loop.create_future()
        future.add_done_callback(leave)
        future.set_result(None)
    else:
        task = loop.create_task(leaving_task())
    with ours, peer:
        with pytest.raises(error, match="leaving"):
            loop.run_forever()
        assert not loop.is_running()
        loop.remove_reader(ours)
        loop.call_soon(calls.append, "again")
        run_ready(loop)
    assert calls == ["again"]
    if task is not None:
        assert task.done()
        assert isinstance(task.exception(), error)


def test_what_was_ready_beside_a_keyboard_interrupt_runs_in_the_next_run(loop):
    calls = []

    def interrupt():
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    loop.call_soon(calls.append, "kept")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    run_ready(loop)
    assert calls == ["kept"]


def test_a_task_that_exits_leaves_run_until_complete_too(loop):
    async def exits():
        await asyncio.sleep(0)
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        loop.run_until_complete(exits())
    assert caught.value.code == 3
    assert loop.run_until_complete(asyncio.sleep(0, "well")) == "well"


def test_other_base_exceptions_of_callbacks_go_to_the_exception_handler(loop):
    class Odd(BaseException):
        pass

    def raises():
        raise Odd

    contexts = record_errors(loop)
    loop.call_soon(raises)
    run_ready(loop)
    assert isinstance(contexts[0]["exception"], Odd)


def test_the_exception_handler_is_told_what_which_and_where(loop):
    def a_bad_callback():
        raise ValueError("bad")

    seen = []
    loop.set_exception_handler(lambda *args: seen.append(args))
    handle = loop.call_soon(a_bad_callback)
    run_ready(loop)
    ((its_loop, context),) = seen
    assert its_loop is loop
    assert context["message"].startswith("Exception in callback ")
    assert "a_bad_callback" in context["message"]
    assert str(context["exception"]) == "bad"
    assert context["handle"] is handle
    traceback = context["exception"].__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code is a_bad_callback.__code__


def test_the_default_exception_handler_logs_with_the_traceback(loop, asyncio_log):
    loop.call_soon(divmod, 1, 0)
    run_ready(loop)
    (message,) = asyncio_log.take()
    assert message.startswith("Exception in callback")
    assert "ZeroDivisionError" in message
    loop.call_exception_handler({"message": "said by hand", "reason": 42})
    (message,) = asyncio_log.take()
    assert message == "said by hand\nreason: 42"


def test_the_exception_handler_may_be_set_asked_for_and_unset(loop, asyncio_log):
    def handler(loop, context):
        pass

    assert loop.get_exception_handler() is None
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    loop.call_exception_handler({"message": "logged again"})
    assert asyncio_log.take() == ["logged again"]
    with pytest.raises(TypeError, match="callable"):
        loop.set_exception_handler("not callable")


def test_an_exception_handler_that_raises_is_logged_and_the_loop_goes_on(loop, asyncio_log):
    def handler(loop, context):
        raise RuntimeError("the handler is bad too")

    calls = []
    loop.set_exception_handler(handler)
    loop.call_soon(divmod, 1, 0)
    loop.call_soon(calls.append, "after")
    run_ready(loop)
    assert calls == ["after"]
    (message,) = asyncio_log.take()
    assert message.startswith("Unhandled error in exception handler")
    assert "the handler is bad too" in message


def test_an_exception_handler_that_exits_leaves_the_loop(loop):
    def handler(loop, context):
        raise SystemExit(4)

    loop.set_exception_handler(handler)
    loop.call_soon(divmod, 1, 0)
    with pytest.raises(SystemExit):
        loop.run_forever()
    loop.set_exception_handler(None)
    run_ready(loop)


def test_an_idle_loop_makes_no_wake_ups(loop):
    # A loop that polls while idle drains batteries; a tenth of a second shows it.
    before = []

    def start():
        before.append(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw)
        loop.call_later(0.1, loop.stop)

    loop.call_soon(start)
    loop.run_forever()
    after = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    assert after - before[0] <= 5


def test_asyncgen_hooks_are_those_of_before_after_the_run(loop):
    import sys

    before = sys.get_asyncgen_hooks()
    seen = []
    loop.call_soon(lambda: seen.append(sys.get_asyncgen_hooks()))
    run_ready(loop)
    assert sys.get_asyncgen_hooks() == before
    assert seen[0].firstiter is not None
    assert seen[0].finalizer is not None


def test_an_abandoned_async_generator_is_closed_by_the_loop(run):
    closed = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main():
        async for _ in numbers():
            break
        gc.collect()
        await turns(4)
        assert closed == [True]

    run(main())


def test_an_abandoned_async_generator_is_closed_by_a_collection_in_another_thread(run):
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            closed.append(threading.get_ident())

    async def main():
        generators = [numbers()]
        await anext(generators[0])
        thread = threading.Thread(target=generators.clear)
        thread.start()
        thread.join()
        await asyncio.sleep(0.01)
        assert closed == [threading.get_ident()]

    run(main())


def test_shutdown_asyncgens_closes_those_still_open(loop):
    closed = []

    async def numbers(name):
        try:
            while True:
                yield name
        finally:
            await asyncio.sleep(0)
            closed.append(name)

    generators = [numbers("a"), numbers("b")]

    async def main():
        for generator in generators:
            await anext(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert sorted(closed) == ["a", "b"]
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_shutdown_asyncgens_reports_one_that_fails_to_close(loop):
    async def bad():
        try:
            yield 1
        finally:
            raise ValueError("cannot close")

    async def start():
        return await anext(generator)

    generator = bad()
    contexts = record_errors(loop)
    loop.run_until_complete(start())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert str(contexts[0]["exception"]) == "cannot close"
    assert contexts[0]["asyncgen"] is generator


def test_an_async_generator_started_after_the_shutdown_is_warned_about(loop, recorded_warnings):
    async def numbers():
        yield 1

    async def start():
        return await anext(generator)

    loop.run_until_complete(loop.shutdown_asyncgens())
    generator = numbers()
    loop.run_until_complete(start())
    assert any(
        "was scheduled after loop.shutdown_asyncgens() call" in str(w.message) for w in recorded_warnings
    )
    loop.run_until_complete(generator.aclose())


def test_a_runner_cancels_what_is_left_and_closes_everything(loop_factory):
    order = []

    async def left_behind():
        try:
            await asyncio.sleep(60)
        finally:
            order.append("task cancelled")

    async def numbers():
        try:
            yield 1
        finally:
            order.append("generator closed")

    generator = numbers()

    async def main():
        asyncio.create_task(left_behind())
        await anext(generator)
        await asyncio.to_thread(order.append, "in a thread")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
        loop = runner.get_loop()
    assert order == ["in a thread", "task cancelled", "generator closed"]
    assert loop.is_closed()


def test_a_runner_keeps_its_context_between_runs(loop_factory):
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        variable.set(variable.get() + 1)
        return variable.get()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert [runner.run(main()) for _ in range(3)] == [1, 2, 3]
    assert variable.get() == 0


def test_a_loop_says_in_its_repr_how_it_is(loop):
    assert "running=False" in repr(loop)
    assert "closed=False" in repr(loop)
    assert "debug=False" in repr(loop)
    loop.close()
    assert "closed=True" in repr(loop)
