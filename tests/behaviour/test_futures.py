"""Futures: state, callbacks, errors, and what happens to an exception nobody looked at."""

import asyncio
import concurrent.futures
import contextvars
import gc
import traceback
import weakref

import pytest

from recording import record_errors

variable = contextvars.ContextVar("variable", default="default")


def run_ready(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_the_loops_futures_are_futures_to_everybody(loop, future_class):
    future = loop.create_future()
    assert isinstance(future, asyncio.Future)
    assert isinstance(future, future_class)
    assert asyncio.isfuture(future)
    assert future.get_loop() is loop
    assert asyncio.ensure_future(future, loop=loop) is future
    assert asyncio.wrap_future(future, loop=loop) is future


def test_a_future_is_pending_until_it_gets_a_result(loop):
    future = loop.create_future()
    assert not future.done()
    assert not future.cancelled()
    with pytest.raises(asyncio.InvalidStateError):
        future.result()
    with pytest.raises(asyncio.InvalidStateError):
        future.exception()
    future.set_result(42)
    assert future.done()
    assert future.result() == 42
    assert future.exception() is None
    for again in (lambda: future.set_result(1), lambda: future.set_exception(ValueError())):
        with pytest.raises(asyncio.InvalidStateError):
            again()
    assert future.cancel() is False
    assert future.result() == 42


def test_a_future_keeps_an_exception_and_raises_it_each_time(loop):
    future = loop.create_future()
    error = ValueError("bad")
    future.set_exception(error)
    assert future.exception() is error
    for _ in range(2):
        with pytest.raises(ValueError, match="bad") as caught:
            future.result()
        assert caught.value is error


def test_an_exception_class_is_instantiated_and_anything_else_refused(loop):
    future = loop.create_future()
    with pytest.raises(TypeError):
        future.set_exception("not an exception")
    assert not future.done()
    future.set_exception(ValueError)
    assert isinstance(future.exception(), ValueError)


@pytest.mark.parametrize("error", [StopIteration, StopIteration("value"), StopIteration(1, 2)])
def test_stop_iteration_in_set_exception_does_what_it_does_in_asyncio(loop, error):
    # Refused by 3.11, wrapped in RuntimeError later. Awaiting a bare StopIteration would look like a return.
    def outcome(future):
        try:
            future.set_exception(error)
        except TypeError as refused:
            return str(refused), future.done()
        kept = future.exception()
        return type(kept), str(kept), type(kept.__cause__), type(kept.__context__)

    stock = asyncio.new_event_loop()
    expected = outcome(stock.create_future())
    stock.close()
    assert outcome(loop.create_future()) == expected


def test_a_cancelled_future_raises_cancelled_error_with_its_message(loop):
    future = loop.create_future()
    assert future.cancel(msg="why") is True
    assert future.cancelled()
    assert future.done()
    assert future.cancel() is False
    with pytest.raises(asyncio.CancelledError, match="why"):
        future.result()
    with pytest.raises(asyncio.CancelledError):
        future.exception()


def test_callbacks_run_soon_in_order_with_the_future(loop):
    future, calls = loop.create_future(), []
    for number in range(3):
        future.add_done_callback(lambda done, number=number: calls.append((number, done)))
    future.set_result(None)
    assert calls == [], "never within set_result"
    run_ready(loop)
    assert calls == [(0, future), (1, future), (2, future)]
    future.add_done_callback(lambda done: calls.append("late"))
    assert len(calls) == 3
    run_ready(loop)
    assert calls[-1] == "late"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_callbacks_may_be_removed_all_equal_ones_at_once(loop, count):
    future, calls = loop.create_future(), []
    kept, removed = lambda done: calls.append("kept"), lambda done: calls.append("removed")
    future.add_done_callback(kept)
    for _ in range(count):
        future.add_done_callback(removed)
    assert future.remove_done_callback(removed) == count
    assert future.remove_done_callback(removed) == 0
    future.set_result(None)
    run_ready(loop)
    assert calls == ["kept"]


def test_the_first_callback_may_be_removed_and_others_added_again(loop):
    future, calls = loop.create_future(), []
    first, second = lambda done: calls.append("first"), lambda done: calls.append("second")
    future.add_done_callback(first)
    future.add_done_callback(second)
    assert future.remove_done_callback(first) == 1
    future.add_done_callback(first)
    future.set_result(None)
    run_ready(loop)
    assert calls == ["second", "first"]


def test_a_callback_runs_in_the_context_it_was_added_in_or_is_given(loop):
    future, seen = loop.create_future(), []
    token = variable.set("adder")
    future.add_done_callback(lambda done: seen.append(variable.get()))
    variable.reset(token)
    given = contextvars.Context()
    given.run(variable.set, "given")
    future.add_done_callback(lambda done: seen.append(variable.get()), context=given)
    token = variable.set("setter")
    future.set_result(None)
    variable.reset(token)
    run_ready(loop)
    assert seen == ["adder", "given"]


def test_an_empty_context_given_to_a_callback_is_used(loop):
    future, seen = loop.create_future(), []
    token = variable.set("adder")
    future.add_done_callback(lambda done: seen.append(variable.get()), context=contextvars.Context())
    variable.reset(token)
    future.set_result(None)
    run_ready(loop)
    assert seen == ["default"]


def test_a_callback_that_raises_does_not_keep_the_others_from_running(loop):
    contexts, calls = record_errors(loop), []
    future = loop.create_future()
    future.add_done_callback(lambda done: 1 / 0)
    future.add_done_callback(lambda done: calls.append("second"))
    future.set_result(None)
    run_ready(loop)
    assert calls == ["second"]
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)


def test_awaiting_a_future_waits_for_its_result(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "value")
        assert await future == "value"
        assert await future == "value", "and again, at once"

    run(main())


@pytest.mark.parametrize("waiters", [1, 2, 50])
def test_all_who_await_a_future_are_woken_in_their_order(run, waiters):
    async def main():
        future, order = asyncio.get_running_loop().create_future(), []

        async def wait(number):
            assert await future == "value"
            order.append(number)

        tasks = [asyncio.create_task(wait(number)) for number in range(waiters)]
        await asyncio.sleep(0)
        future.set_result("value")
        await asyncio.gather(*tasks)
        assert order == list(range(waiters))

    run(main())


def test_a_future_is_iterated_by_hand_as_await_does_it(loop):
    future = loop.create_future()
    iterator = iter(future)
    assert next(iterator) is future
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(iterator)

    future = loop.create_future()
    iterator = future.__await__()
    assert iterator.send(None) is future
    future.set_result("value")
    with pytest.raises(StopIteration) as caught:
        iterator.send(None)
    assert caught.value.value == "value"

    iterator = loop.create_future().__await__()
    next(iterator)
    with pytest.raises(ValueError, match="thrown"):
        iterator.throw(ValueError("thrown"))
    iterator.close()


@pytest.mark.parametrize("value", [(), (1,), (1, 2), None, StopIteration("inner"), ValueError("as a value")])
def test_any_object_may_be_a_result(run, value):
    async def returns():
        return value

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, value)
        assert await future is value
        assert await loop.create_task(returns()) is value
        done = loop.create_future()
        done.set_result(value)
        with pytest.raises(StopIteration) as caught:
            next(iter(done))
        assert caught.value.value is value

    run(main())


def test_an_exception_nobody_looked_at_is_reported_when_the_future_goes(loop):
    contexts = record_errors(loop)
    future = loop.create_future()
    error = ValueError("bad")
    future.set_exception(error)
    text = repr(future)
    del future
    gc.collect()
    (context,) = contexts
    assert context["message"] == "Future exception was never retrieved"
    assert context["exception"] is error
    assert repr(context["future"]) == text


@pytest.mark.parametrize("look", ["result", "exception", "await", "callback"])
def test_an_exception_somebody_looked_at_is_not_reported(loop, look):
    contexts = record_errors(loop)
    future = loop.create_future()
    if look == "callback":
        future.add_done_callback(lambda done: done.exception())
    future.set_exception(ValueError("bad"))
    if look == "result":
        with pytest.raises(ValueError):
            future.result()
    elif look == "exception":
        future.exception()
    elif look == "await":
        with pytest.raises(ValueError):
            loop.run_until_complete(future)
    else:
        run_ready(loop)
    del future
    gc.collect()
    assert contexts == []


def test_a_future_that_nobody_completed_goes_silently(loop):
    contexts = record_errors(loop)
    loop.create_future()
    loop.create_future().cancel()
    loop.create_future().set_result(1)
    gc.collect()
    assert contexts == []


def test_the_report_may_keep_the_future_alive(loop):
    # The finaliser hands the dying future to the handler: the object comes back to life.
    kept = []
    loop.set_exception_handler(lambda loop, context: kept.append(context["future"]))
    loop.create_future().set_exception(ValueError("bad"))
    gc.collect()
    assert str(kept[0].exception()) == "bad"
    kept.clear()
    gc.collect()
    assert kept == []


def test_futures_say_in_their_repr_how_they_are(loop):
    def a_callback_of_mine(done):
        pass

    future = loop.create_future()
    assert "pending" in repr(future)
    future.add_done_callback(a_callback_of_mine)
    assert "a_callback_of_mine" in repr(future)
    future.set_result("the result")
    assert "finished" in repr(future)
    assert "'the result'" in repr(future)
    cancelled = loop.create_future()
    cancelled.cancel()
    assert "cancelled" in repr(cancelled)
    failed = loop.create_future()
    failed.set_exception(ValueError("bad"))
    assert "ValueError('bad')" in repr(failed)
    failed.exception()


def test_futures_take_weak_references_and_attributes(loop):
    future = loop.create_future()
    reference = weakref.ref(future)
    future.note = "mine"
    assert reference().note == "mine"
    del future
    gc.collect()
    assert reference() is None


def test_futures_may_be_subclassed_in_python(loop, future_class):
    class Mine(future_class):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.completed_by = None

        def set_result(self, result):
            self.completed_by = "override"
            super().set_result(result)

    mine = Mine(loop=loop)
    assert asyncio.isfuture(mine)
    assert isinstance(mine, asyncio.Future)

    async def wait():
        return await mine

    loop.call_soon(lambda: mine.set_result("value"))
    assert loop.run_until_complete(wait()) == "value"
    assert mine.completed_by == "override"
    assert mine.get_loop() is loop


def test_a_subclass_that_forgot_init_raises_rather_than_crashes(loop, future_class):
    class Forgetful(future_class):
        def __init__(self):
            pass

    forgetful = Forgetful()
    for use in (
        lambda: forgetful.set_result(1),
        lambda: forgetful.set_exception(ValueError()),
        lambda: forgetful.add_done_callback(print),
        lambda: forgetful.cancel(),
        lambda: forgetful.result(),
        lambda: next(iter(forgetful)),
        lambda: repr(forgetful),
    ):
        try:
            use()
        except (RuntimeError, AttributeError, asyncio.InvalidStateError, StopIteration):
            pass


def test_a_future_made_without_a_loop_belongs_to_the_running_one(run, future_class):
    async def main():
        assert future_class().get_loop() is asyncio.get_running_loop()

    run(main())


def test_set_result_from_a_callback_of_another_future_is_fine(loop):
    first, second = loop.create_future(), loop.create_future()
    first.add_done_callback(lambda done: second.set_result(done.result() + 1))
    loop.call_soon(first.set_result, 1)
    assert loop.run_until_complete(second) == 2


def test_a_long_chain_of_futures_needs_no_stack(run):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(5000)]
        for before, after in zip(futures, futures[1:]):
            before.add_done_callback(lambda done, after=after: after.set_result(done.result()))
        futures[0].set_result("through")
        assert await futures[-1] == "through"

    run(main())


def test_a_concurrent_future_is_no_asyncio_future(loop):
    assert not asyncio.isfuture(concurrent.futures.Future())


def test_the_class_is_generic_in_annotations(future_class, task_class):
    assert future_class[int].__origin__ is future_class
    assert task_class[int].__origin__ is task_class


def test_an_exception_raised_twice_does_not_grow_its_traceback_for_ever(loop):
    future = loop.create_future()
    future.set_exception(ValueError("bad"))

    def depth():
        try:
            future.result()
        except ValueError as error:
            return len(traceback.extract_tb(error.__traceback__))

    depths = [depth() for _ in range(5)]
    stock_loop = asyncio.new_event_loop()
    stock, future = future, stock_loop.create_future()
    future.set_exception(ValueError("bad"))
    assert depths == [depth() for _ in range(5)]
    stock_loop.close()
    stock.exception()
