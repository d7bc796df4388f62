"""What the waiting calls return, in foreign hands: other tasks, other loops, generators, by hand, inspect, the collector.

Each waiting call is a case: how to make an awaitable that has to wait, how to end the wait, and what comes out. Each test
takes every case.
"""

import asyncio
import collections.abc
import contextlib
import contextvars
import copy
import functools
import gc
import importlib
import inspect
import pickle
import re
import sys
import types
import unittest.mock
import warnings
import weakref

import pytest

import features
from recording import turns

# The writer of the case `drain` is never closed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
]

variable = contextvars.ContextVar("variable", default="default")


def drive(awaitable):
    """The result of an awaitable that does not have to wait."""
    with pytest.raises(StopIteration) as caught:
        awaitable.send(None)
    return caught.value.value


class Case:
    """`make()` gives an awaitable that will wait, `wake()` ends the wait, and `result` comes out."""

    def __init__(self, qualname, make, wake, result, *, keep=None):
        self.qualname = qualname
        self.make = make
        self.wake = wake
        self.result = result
        self.keep = keep


class Transport(asyncio.Transport):
    """Never ready, never closing."""

    def is_closing(self):
        return False

    def get_extra_info(self, name, default=None):
        return default

    def close(self):
        pass


def lock(module):
    lock = module.Lock()
    drive(lock.acquire())
    return Case("Lock.acquire", lock.acquire, lock.release, True)


def semaphore(module):
    semaphore = module.Semaphore(0)
    return Case("Semaphore.acquire", semaphore.acquire, semaphore.release, True)


def bounded_semaphore(module):
    semaphore = module.BoundedSemaphore(1)
    drive(semaphore.acquire())
    return Case("Semaphore.acquire", semaphore.acquire, semaphore.release, True)


def event(module):
    event = module.Event()
    return Case("Event.wait", event.wait, event.set, True)


def condition(module):
    condition = module.Condition()
    drive(condition.acquire())

    def wake():
        if not condition.locked():
            drive(condition.acquire())
        condition.notify()
        condition.release()

    return Case("Condition.wait", condition.wait, wake, True)


def condition_predicate(module):
    condition = module.Condition()
    drive(condition.acquire())
    answers = []

    def wake():
        if not condition.locked():
            drive(condition.acquire())
        answers.append(True)
        condition.notify()
        condition.release()

    return Case("Condition.wait_for", lambda: condition.wait_for(lambda: answers == [True]), wake, True)


def barrier(module):
    barrier = module.Barrier(2)

    def wake():
        with contextlib.suppress(StopIteration):
            barrier.wait().send(None)

    return Case("Barrier.wait", barrier.wait, wake, 0)


def queue_get(module):
    queue = module.Queue()
    return Case("Queue.get", queue.get, lambda: queue.put_nowait("item"), "item")


def queue_put(module):
    queue = module.Queue(1)
    queue.put_nowait("item")
    return Case("Queue.put", lambda: queue.put("second"), queue.get_nowait, None)


def queue_join(module):
    queue = module.Queue()
    queue.put_nowait("item")
    return Case("Queue.join", queue.join, queue.task_done, None)


def read(module):
    reader = module.StreamReader()
    return Case("StreamReader.read", lambda: reader.read(2), lambda: reader.feed_data(b"abc"), b"ab")


def read_all(module):
    reader = module.StreamReader()
    reader.feed_data(b"abc")
    return Case("StreamReader.read", reader.read, reader.feed_eof, b"abc")


def read_line(module):
    reader = module.StreamReader()
    return Case("StreamReader.readline", reader.readline, lambda: reader.feed_data(b"a\nb"), b"a\n")


def read_exactly(module):
    reader = module.StreamReader()
    reader.feed_data(b"a")
    return Case(
        "StreamReader.readexactly", lambda: reader.readexactly(2), lambda: reader.feed_data(b"bc"), b"ab"
    )


def read_until(module):
    reader = module.StreamReader()
    reader.feed_data(b"ab\r")
    return Case(
        "StreamReader.readuntil",
        lambda: reader.readuntil(b"\r\n"),
        lambda: reader.feed_data(b"\n"),
        b"ab\r\n",
    )


def drain(module):
    loop = asyncio.get_running_loop()
    reader = module.StreamReader()
    protocol = module.StreamReaderProtocol(reader)
    protocol.pause_writing()
    writer = module.StreamWriter(Transport(), protocol, reader, loop)

    def wake():
        if protocol._paused:
            protocol.resume_writing()

    return Case("StreamWriter.drain", writer.drain, wake, None, keep=writer)


def wait(module):
    future = asyncio.get_running_loop().create_future()
    return Case("wait", lambda: module.wait([future]), lambda: finish(future), ({future}, set()))


def wait_for(module):
    # A new future for each, because cancelling the wait cancels what it waits for.
    loop = asyncio.get_running_loop()
    futures = []

    def make():
        futures.append(loop.create_future())
        return module.wait_for(futures[-1], 60)

    def wake():
        for future in futures:
            finish(future)

    return Case("wait_for", make, wake, "value")


def sleep(module):
    # The one that wakes up by itself, so it sleeps for real.
    return Case("sleep", lambda: module.sleep(0.001, "value"), lambda: None, "value")


def finish(future):
    if not future.done():
        future.set_result("value")


CASES = [
    *(lock, semaphore, bounded_semaphore, event, condition, condition_predicate, barrier),
    *(queue_get, queue_put, queue_join),
    *(read, read_all, read_line, read_exactly, read_until, drain),
    *(wait, wait_for, sleep),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
THROWING = [
    case for case in CASES if case is not sleep and (case is not wait_for or features.WAIT_FOR_IS_A_TIMEOUT)
]
"""Cases that end at once when they are cancelled. wait_for of 3.11 waits for what it cancelled."""
WITHOUT_SLEEP = [case for case in CASES if case is not sleep]
no_sleep = pytest.mark.parametrize("case", WITHOUT_SLEEP, ids=lambda case: case.__name__)


@pytest.fixture(params=["asyncio", "oxio", "uvloop", "its own in debug mode"])
def run_anywhere(request, loop_name):
    """Like `run`, on any loop: that of the names, the other one, uvloop, and in debug mode."""
    debug = "debug" in request.param
    name = loop_name if debug else request.param
    if name == "oxio" and name not in request.config.loops:
        pytest.skip("--loops leaves oxio out")
    if name == "uvloop":
        pytest.importorskip("uvloop")
    module = importlib.import_module(name)

    def run(main):
        with asyncio.Runner(loop_factory=module.new_event_loop, debug=debug) as runner:
            return runner.run(main)

    return run


# Who awaits it


class Wrapped:
    """Any object with `__await__`."""

    def __init__(self, awaitable):
        self.awaitable = awaitable

    def __await__(self):
        return self.awaitable.__await__()


@types.coroutine
def generator(awaitable):
    return (yield from awaitable.__await__())


async def coroutine(awaitable):
    return await awaitable


async def async_generator(awaitable):
    yield await awaitable


async def deep(awaitable, depth=40):
    return await (deep(awaitable, depth - 1) if depth else awaitable)


async def by_task_class(cls, awaitable, **options):
    return await cls(awaitable, loop=asyncio.get_running_loop(), **options)


async def by_async_generator(awaitable, module):
    return [value async for value in async_generator(awaitable)][0]


async def by_async_comprehension(awaitable, module):
    return [await one for one in [awaitable]][0]


async def by_threadsafe_call(awaitable, module):
    return await asyncio.wrap_future(module.run_coroutine_threadsafe(awaitable, asyncio.get_running_loop()))


async def by_task_group(awaitable, module):
    async with module.TaskGroup() as group:
        task = group.create_task(awaitable)
    return task.result()


async def by_timeout(awaitable, module):
    async with module.timeout(60):
        return await awaitable


async def by_gather(awaitable, module):
    return (await module.gather(awaitable))[0]


async def by_as_completed(awaitable, module):
    return [await one for one in module.as_completed([awaitable])][0]


async def by_wait(awaitable, module):
    [task], _ = await module.wait([asyncio.ensure_future(awaitable)])
    return task.result()


DRIVERS = {
    "await": lambda awaitable, module: coroutine(awaitable),
    "40 frames deep": lambda awaitable, module: deep(awaitable),
    "yield from": lambda awaitable, module: coroutine(generator(awaitable)),
    "__await__ of another object": lambda awaitable, module: coroutine(Wrapped(awaitable)),
    "async generator": by_async_generator,
    "comprehension": by_async_comprehension,
    "create_task": lambda awaitable, module: coroutine(asyncio.create_task(awaitable)),
    "the module's create_task": lambda awaitable, module: coroutine(module.create_task(awaitable)),
    "asyncio's task": lambda awaitable, module: by_task_class(asyncio.tasks._CTask, awaitable),
    "a coroutine in asyncio's task": lambda awaitable, module: by_task_class(
        asyncio.tasks._CTask, deep(awaitable)
    ),
    "Python's task": lambda awaitable, module: by_task_class(asyncio.tasks._PyTask, awaitable),
    "a coroutine in Python's task": lambda awaitable, module: by_task_class(
        asyncio.tasks._PyTask, deep(awaitable)
    ),
    "the module's task": lambda awaitable, module: by_task_class(module.Task, awaitable),
    "ensure_future": lambda awaitable, module: coroutine(asyncio.ensure_future(awaitable)),
    "the module's ensure_future": lambda awaitable, module: coroutine(module.ensure_future(awaitable)),
    "ensure_future of another object": lambda awaitable, module: coroutine(
        module.ensure_future(Wrapped(awaitable))
    ),
    "wait_for": lambda awaitable, module: asyncio.wait_for(awaitable, 60),
    "the module's wait_for": lambda awaitable, module: module.wait_for(awaitable, 60),
    "the module's wait_for without a limit": lambda awaitable, module: module.wait_for(awaitable, None),
    "gather": lambda awaitable, module: by_gather(awaitable, asyncio),
    "the module's gather": by_gather,
    "task group": lambda awaitable, module: by_task_group(awaitable, asyncio),
    "the module's task group": by_task_group,
    "timeout": lambda awaitable, module: by_timeout(awaitable, asyncio),
    "the module's timeout": by_timeout,
    "as_completed": lambda awaitable, module: by_as_completed(awaitable, asyncio),
    "the module's as_completed": by_as_completed,
    "wait": lambda awaitable, module: by_wait(awaitable, asyncio),
    "the module's wait": by_wait,
    "shield": lambda awaitable, module: coroutine(asyncio.shield(awaitable)),
    "the module's shield": lambda awaitable, module: coroutine(module.shield(awaitable)),
    "run_coroutine_threadsafe": by_threadsafe_call,
}
if features.EAGER_TASKS:
    DRIVERS["asyncio's eager task"] = lambda awaitable, module: by_task_class(
        asyncio.tasks._CTask, awaitable, eager_start=True
    )
    DRIVERS["the module's eager task"] = lambda awaitable, module: by_task_class(
        module.Task, awaitable, eager_start=True
    )

SWALLOWING = {"task group"}
"""Drivers whose cancellation comes too late for the task, so that nobody has its result."""

LET_GO = {"wait", "shield", "as_completed", "run_coroutine_threadsafe"}
"""Drivers (with and without "the module's") whose cancellation does not reach what they wait for."""


def drivers(case):
    for name, driver in DRIVERS.items():
        if "Python's" in name and case is wait_for and not features.PYTHON_TASKS_ARE_REGISTERED:
            continue  # It asks for the current task.
        yield name, driver


@contextlib.contextmanager
def blaming(name):
    try:
        yield
    except BaseException as error:
        error.add_note(f"driver: {name}")
        raise


@every_case
def test_whoever_awaits_it_gets_the_result(run_anywhere, loop_module, case):
    async def main():
        for name, driver in drivers(case):
            with blaming(name):
                this = case(loop_module)
                task = asyncio.create_task(driver(this.make(), loop_module))
                await turns(4)
                assert case is sleep or not task.done()
                this.wake()
                assert await task == this.result

    run_anywhere(main())


@every_case
def test_whoever_is_cancelled_while_waiting_takes_it_back(run_anywhere, loop_module, case):
    async def main():
        for name, driver in drivers(case):
            if name.removeprefix("the module's ") in LET_GO:
                continue
            with blaming(name):
                this = case(loop_module)
                awaitable = loop_module.sleep(60) if case is sleep else this.make()
                task = asyncio.create_task(driver(awaitable, loop_module))
                await turns(4)
                assert task.cancel("why")
                with pytest.raises(asyncio.CancelledError):
                    await task
                if case in (queue_get, queue_put, lock, semaphore, event, read, read_line):
                    # The next one gets what the first did not.
                    task = asyncio.create_task(this.make())
                    await asyncio.sleep(0)
                    this.wake()
                    assert await task == this.result

    run_anywhere(main())


@no_sleep
def test_whoever_is_cancelled_after_it_was_woken_is_cancelled_or_has_the_result(
    run_anywhere, loop_module, case
):
    async def main():
        for name, driver in drivers(case):
            if name.removeprefix("the module's ") in LET_GO:
                continue
            with blaming(name):
                this = case(loop_module)
                task = asyncio.create_task(driver(this.make(), loop_module))
                await turns(4)
                this.wake()
                task.cancel()
                [result] = await asyncio.gather(task, return_exceptions=True)
                if isinstance(result, asyncio.CancelledError):
                    if name.removeprefix("the module's ") in SWALLOWING:
                        continue
                    if case in (queue_get, lock, semaphore, bounded_semaphore, read, read_line):
                        assert drive(this.make()) == this.result, "it is there for the next"
                else:
                    # wait_for of 3.11 and tasks that waited for another task return what arrived in the last moment.
                    assert result == this.result

    run_anywhere(main())


@every_case
def test_a_task_cancelled_before_it_began_closes_it_quietly(run, loop_module, case, recorded_warnings):
    async def main():
        for cls in (asyncio.tasks._CTask, asyncio.tasks._PyTask, loop_module.Task):
            this = case(loop_module)
            task = cls(this.make(), loop=asyncio.get_running_loop())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gc.collect()

    run(main())
    assert [str(w.message) for w in recorded_warnings if "never awaited" in str(w.message)] == []


@no_sleep
def test_a_task_cancelled_twice_is_cancelled_once(run, loop_module, case):
    async def main():
        this = case(loop_module)
        task = asyncio.create_task(this.make())
        await turns(1)
        assert task.cancel("first")
        assert task.cancel("second")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 2

    run(main())


@no_sleep
def test_a_context_given_to_the_task_holds_while_it_waits(run, loop_module, case):
    async def main():
        this = case(loop_module)
        context = contextvars.copy_context()
        context.run(variable.set, "given")

        async def work():
            before = variable.get()
            result = await this.make()
            return before, variable.get(), result

        task = asyncio.get_running_loop().create_task(work(), context=context)
        await turns(2)
        variable.set("waker")
        this.wake()
        assert await task == ("given", "given", this.result)

    run(main())


@no_sleep
def test_a_waiting_task_shows_a_future_that_can_be_asked_and_cancelled(run_anywhere, loop_module, case):
    # anyio asks `task._fut_waiter` before it delivers a cancellation.
    async def main():
        this = case(loop_module)
        task = asyncio.create_task(this.make())
        await turns(2)
        waiter = task._fut_waiter
        assert [waiter.done(), waiter.cancelled()] == [False, False]
        assert asyncio.isfuture(waiter)
        assert waiter.cancel() is True
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task._fut_waiter is None

    run_anywhere(main())


@no_sleep
def test_tasks_say_what_they_run(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        for task in (asyncio.create_task(awaitable), asyncio.tasks._CTask(this.make())):
            await asyncio.sleep(0)
            assert re.search(rf"coro=<{re.escape(this.qualname)}\(\)", repr(task))
            assert task.get_stack() is not None
            assert asyncio.iscoroutine(task.get_coro())
            task.cancel()
            await asyncio.wait([task])
        assert awaitable.__qualname__ == this.qualname

    run(main())


# By hand


@every_case
def test_it_is_a_coroutine_to_those_who_ask(run, loop_module, case):
    async def main():
        awaitable = case(loop_module).make()
        assert isinstance(awaitable, collections.abc.Coroutine)
        assert isinstance(awaitable, collections.abc.Awaitable)
        assert asyncio.iscoroutine(awaitable) is True
        assert inspect.isawaitable(awaitable) is True
        assert asyncio.isfuture(awaitable) is False
        assert not hasattr(type(awaitable), "_asyncio_future_blocking")
        assert not inspect.isgenerator(awaitable)
        assert not isinstance(awaitable, collections.abc.Iterator)
        with pytest.raises(TypeError, match="not iterable"):
            iter(awaitable)
        awaitable.close()

    run(main())


@every_case
def test_it_has_the_names_of_its_function(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        assert awaitable.__qualname__ == this.qualname
        assert awaitable.__name__ == this.qualname.rpartition(".")[2]
        assert this.qualname in repr(awaitable)
        awaitable.close()

    run(main())


@no_sleep
def test_inspect_knows_its_state(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        assert inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED
        awaitable.send(None)
        assert inspect.getcoroutinestate(awaitable) == inspect.CORO_SUSPENDED
        awaitable.close()
        assert inspect.getcoroutinestate(awaitable) == inspect.CORO_CLOSED

    run(main())


@no_sleep
def test_by_hand_it_yields_a_future_and_goes_on_when_that_is_done(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        waiter = awaitable.send(None)
        assert waiter._asyncio_future_blocking is True
        waiter._asyncio_future_blocking = False
        assert waiter.get_loop() is asyncio.get_running_loop()
        assert [waiter.done(), waiter.cancelled()] == [False, False]
        called = []
        context = contextvars.copy_context()
        context.run(variable.set, "given")
        waiter.add_done_callback(lambda done: called.append((done.done(), variable.get())), context=context)
        waiter.add_done_callback(called.append)
        assert waiter.remove_done_callback(called.append) == 1
        this.wake()
        assert called == []
        await turns(3)
        assert called == [(True, "given")]
        with pytest.raises(StopIteration) as caught:
            # A barrier and a condition may want their lock first, but nobody holds it.
            awaitable.send(None)
        assert caught.value.value == this.result

    run(main())


@pytest.mark.parametrize("case", THROWING, ids=lambda case: case.__name__)
def test_by_hand_the_future_it_yields_can_be_cancelled(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        waiter = awaitable.send(None)
        called = []
        waiter.add_done_callback(lambda done: called.append(done.cancelled()))
        assert waiter.cancel("why") is True
        assert waiter.cancel("again") is False
        assert [waiter.done(), waiter.cancelled()] == [True, True]
        await turns(2)
        assert called == [True]
        with pytest.raises(asyncio.CancelledError):
            awaitable.send(None)
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            awaitable.send(None)

    run(main())


@no_sleep
def test_by_hand_it_says_when_it_is_sent_on_too_early(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        awaitable.send(None)
        with pytest.raises(RuntimeError, match="^await wasn't used with future$"):
            awaitable.send(None)
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            awaitable.send(None)

    run(main())


@every_case
def test_a_value_cannot_be_sent_before_it_began(run, loop_module, case):
    async def main():
        awaitable = case(loop_module).make()
        with pytest.raises(TypeError, match="^can't send non-None value to a just-started coroutine$"):
            awaitable.send("value")
        awaitable.close()

    run(main())


@every_case
def test_close_before_it_began_is_quiet_and_final(run, loop_module, case, recorded_warnings):
    async def main():
        awaitable = case(loop_module).make()
        assert awaitable.close() is None
        assert awaitable.close() is None
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            awaitable.send(None)
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            awaitable.throw(ValueError("x"))
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            await awaitable
        del awaitable
        gc.collect()

    run(main())
    assert [w for w in recorded_warnings if w.category is RuntimeWarning] == []


@no_sleep
def test_close_while_it_waits_takes_it_back(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        awaitable.send(None)
        assert awaitable.close() is None
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            awaitable.send(None)
        if case not in (barrier, condition, condition_predicate, read_all):
            second = asyncio.create_task(this.make())
            await asyncio.sleep(0)
            this.wake()
            assert await second == this.result

    run(main())


@every_case
def test_an_exception_thrown_before_it_began_comes_out(run, loop_module, case, recorded_warnings):
    async def main():
        for error in (ValueError("thrown"), asyncio.CancelledError("thrown"), KeyboardInterrupt("thrown")):
            awaitable = case(loop_module).make()
            with pytest.raises(type(error)) as caught:
                awaitable.throw(error)
            assert caught.value is error
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
                awaitable.send(None)
        awaitable = case(loop_module).make()
        with pytest.raises(ValueError, match="^$"):
            awaitable.throw(ValueError)
        with pytest.raises(
            TypeError, match="exceptions must be classes or instances deriving from BaseException"
        ):
            case(loop_module).make().throw("text")

    run(main())
    del recorded_warnings[:]  # The one that was thrown a text never began.
    gc.collect()


@pytest.mark.parametrize("case", THROWING, ids=lambda case: case.__name__)
def test_an_exception_thrown_while_it_waits_comes_out_and_takes_it_back(run, loop_module, case):
    async def main():
        for error in (ValueError("thrown"), asyncio.CancelledError("thrown"), KeyboardInterrupt("thrown")):
            this = case(loop_module)
            awaitable = this.make()
            awaitable.send(None)
            with pytest.raises(type(error)) as caught:
                awaitable.throw(error)
            assert caught.value is error or caught.value.args == error.args
            if case not in (barrier, condition, condition_predicate, read_all):
                second = asyncio.create_task(this.make())
                await asyncio.sleep(0)
                this.wake()
                assert await second == this.result

    run(main())


@every_case
def test_it_can_be_awaited_once(run, loop_module, case):
    async def main():
        this = case(loop_module)
        awaitable = this.make()
        task = asyncio.create_task(coroutine(awaitable))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="^coroutine is being awaited already$"):
            await awaitable
        this.wake()
        assert await task == this.result
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            await awaitable

    run(main())


@no_sleep
def test_the_iterator_of_await_can_be_driven_too(run, loop_module, case):
    async def main():
        this = case(loop_module)
        iterator = this.make().__await__()
        assert iter(iterator) is iterator
        waiter = next(iterator)
        assert waiter.done() is False
        this.wake()
        await turns(2)
        with pytest.raises(StopIteration) as caught:
            iterator.send(None)
        assert caught.value.value == this.result
        iterator = case(loop_module).make().__await__()
        next(iterator)
        with pytest.raises(ValueError, match="thrown"):
            iterator.throw(ValueError("thrown"))
        iterator = case(loop_module).make().__await__()
        next(iterator)
        iterator.close()

    run(main())


def test_something_satisfied_returns_at_the_first_send(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        queue.put_nowait(1)
        reader = loop_module.StreamReader()
        reader.feed_data(b"line\nrest")
        event = loop_module.Event()
        event.set()
        satisfied = [
            (loop_module.Lock().acquire(), True),
            (loop_module.Semaphore().acquire(), True),
            (event.wait(), True),
            (queue.get(), 1),
            (queue.put(2), None),
            (reader.readline(), b"line\n"),
            (reader.readexactly(2), b"re"),
            (reader.readuntil(b"s"), b"s"),
            (reader.read(10), b"t"),
        ]
        for awaitable, result in satisfied:
            assert drive(awaitable) == result
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
                awaitable.send(None)

    run(main())


def test_a_tuple_or_an_exception_as_a_result_arrives_as_it_is(run, loop_module):
    # StopIteration treats both in its own way.
    async def main():
        for item in ((), (1, 2), ValueError("value"), StopIteration("stop"), None):
            queue = loop_module.Queue()
            queue.put_nowait(item)
            queue.put_nowait(item)
            assert await queue.get() is item
            assert drive(queue.get()) is item
            assert await loop_module.sleep(0, item) is item
            task = asyncio.create_task(queue.get())
            await asyncio.sleep(0)
            queue.put_nowait(item)
            assert await task is item

    run(main())


# Never awaited


@every_case
def test_one_that_nobody_awaits_warns_once_and_does_nothing(run, loop_module, case, recorded_warnings):
    async def main():
        this = case(loop_module)
        gc.collect()
        del recorded_warnings[:]  # What the tests before this one left, e.g. a writer of a closed loop.
        this.make()
        gc.collect()
        messages = [str(w.message) for w in recorded_warnings]
        assert messages == [f"coroutine '{this.qualname}' was never awaited"]
        assert recorded_warnings[0].category is RuntimeWarning

    run(main())


@every_case
def test_one_that_nobody_awaits_is_collected_with_its_cycle(run, loop_module, case, recorded_warnings):
    class Holder:
        pass

    async def main():
        this = case(loop_module)
        gc.collect()
        del recorded_warnings[:]
        holder = Holder()
        holder.awaitable = this.make()
        holder.me = holder
        reference = weakref.ref(holder)
        del holder
        gc.collect()
        assert reference() is None
        assert [str(w.message) for w in recorded_warnings] == [
            f"coroutine '{this.qualname}' was never awaited"
        ]

    run(main())


@every_case
def test_the_warning_as_an_error_goes_to_the_unraisable_hook(run, loop_module, case, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))

    async def main():
        this = case(loop_module)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            this.make()
            gc.collect()

    run(main())
    assert seen == [RuntimeWarning]


# Functions


FUNCTIONS = [
    *("sleep", "wait", "wait_for", "to_thread", "open_connection", "start_server"),
    *("open_unix_connection", "start_unix_server"),
    *("Lock.acquire", "Semaphore.acquire", "BoundedSemaphore.acquire", "Event.wait"),
    *("Condition.wait", "Condition.wait_for", "Barrier.wait", "Barrier.reset", "Barrier.abort"),
    *("Queue.get", "Queue.put", "Queue.join", "LifoQueue.get", "PriorityQueue.put"),
    *("StreamReader.read", "StreamReader.readline", "StreamReader.readexactly", "StreamReader.readuntil"),
    *("StreamWriter.drain", "StreamWriter.wait_closed", "StreamWriter.start_tls"),
    *(
        "Lock.__aenter__",
        "Lock.__aexit__",
        "Semaphore.__aenter__",
        "Condition.__aexit__",
        "Barrier.__aenter__",
    ),
    *("Timeout.__aenter__", "Timeout.__aexit__", "TaskGroup.__aenter__", "TaskGroup.__aexit__"),
    "StreamReader.__anext__",
]
PLAIN = [
    "gather",
    "shield",
    "as_completed",
    "timeout",
    "timeout_at",
    "ensure_future",
    "Queue.get_nowait",
    "Lock.release",
]
NEWER = ["as_completed", "StreamReader.readuntil", "StreamWriter.start_tls"]
"""What later versions can more of than earlier ones; oxio may have the later one."""


def look_up(module, path):
    return functools.reduce(getattr, path.split("."), module)


def asyncio_says_coroutine_function(function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # From 3.14 on.
        return asyncio.iscoroutinefunction(function)


@pytest.mark.parametrize("path", FUNCTIONS + PLAIN)
def test_inspect_says_of_the_function_what_it_says_of_asyncios(loop_module, path):
    ours, stock = look_up(loop_module, path), look_up(asyncio, path)
    expected = path in FUNCTIONS
    for function in (ours, functools.partial(ours)):
        assert inspect.iscoroutinefunction(function) is expected
        assert asyncio_says_coroutine_function(function) is expected
        assert not inspect.isasyncgenfunction(function)
    assert ours.__name__ == stock.__name__
    assert ours.__qualname__ == stock.__qualname__
    if path not in NEWER:
        assert not inspect.isgeneratorfunction(ours)
        # A method of a native class has its `self` by position only.
        assert str(inspect.signature(ours)).replace("self, /", "self") == str(inspect.signature(stock))
    if path in FUNCTIONS and path not in NEWER:
        assert ours.__doc__ == stock.__doc__


@pytest.mark.parametrize("path", FUNCTIONS + PLAIN)
def test_functions_are_pickled_and_copied_by_name(loop_module, path):
    function = look_up(loop_module, path)
    assert copy.copy(function) is function
    assert copy.deepcopy(function) is function
    if "." not in path:
        assert pickle.loads(pickle.dumps(function)) is function


def test_bound_methods_are_coroutine_functions_too(loop_module):
    for method in (loop_module.Lock().acquire, loop_module.Queue().get, loop_module.Event().wait):
        assert inspect.iscoroutinefunction(method)
        assert asyncio_says_coroutine_function(method)
        assert inspect.iscoroutinefunction(functools.partial(method))
        assert str(inspect.signature(method)) == "()"
        assert method.__self__ is not None
        assert method == getattr(method.__self__, method.__name__)
        assert hash(method) == hash(getattr(method.__self__, method.__name__))


def test_methods_can_be_called_on_the_class(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        assert await loop_module.Lock.acquire(lock) is True
        queue = loop_module.Queue()
        await loop_module.Queue.put(queue, 1)
        assert await loop_module.Queue.get(queue) == 1
        with pytest.raises((AttributeError, TypeError)):
            await loop_module.Lock.acquire(object())
        with pytest.raises(TypeError, match=r"acquire\(\) missing 1 required positional argument: 'self'"):
            loop_module.Lock.acquire()

    run(main())


def test_wrong_arguments_are_refused_at_the_call(loop_module):
    for call, message in [
        (lambda: loop_module.Lock().acquire(1), r"acquire\(\) takes 1 positional argument but 2 were given"),
        (lambda: loop_module.Event().wait(1), r"wait\(\) takes 1 positional argument but 2 were given"),
        (lambda: loop_module.Queue().get(timeout=1), r"get\(\) got an unexpected keyword argument 'timeout'"),
        (lambda: loop_module.Queue().put(), r"put\(\) missing 1 required positional argument: 'item'"),
        (lambda: loop_module.sleep(), r"sleep\(\) missing 1 required positional argument: 'delay'"),
        (
            lambda: loop_module.sleep(1, 2, 3),
            r"sleep\(\) takes from 1 to 2 positional arguments but 3 were given",
        ),
        (lambda: loop_module.wait([], 1), r"wait\(\) takes 1 positional argument but 2 were given"),
        (
            lambda: loop_module.wait_for(None),
            r"wait_for\(\) missing 1 required positional argument: 'timeout'",
        ),
    ]:
        with pytest.raises(TypeError, match=message):
            call()


def test_mocks_of_the_primitives_have_coroutine_methods(run, loop_module):
    async def main():
        lock = unittest.mock.create_autospec(loop_module.Lock, instance=True)
        lock.acquire.return_value = "mocked"
        assert await lock.acquire() == "mocked"
        assert isinstance(lock.release, unittest.mock.Mock)
        queue = loop_module.Queue()
        with unittest.mock.patch.object(queue, "get") as get:
            get.return_value = "mocked"
            assert isinstance(get, unittest.mock.AsyncMock)
            assert await queue.get() == "mocked"
        queue.put_nowait("real")
        assert await queue.get() == "real"

    run(main())


def test_an_awaitable_made_outside_of_a_loop_is_awaited_where_it_is_run(loop_factory, loop_module):
    lock = loop_module.Lock()
    awaitable = lock.acquire()
    assert loop_factory().run_until_complete(awaitable) is True
    event = loop_module.Event()
    awaitable = event.wait()
    loop = loop_factory()
    loop.call_soon(event.set)
    assert loop.run_until_complete(awaitable) is True
    assert asyncio.run(loop_module.sleep(0, "value")) == "value"


def test_both_modules_things_wait_for_one_another(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        event, queue = asyncio.Event(), loop_module.Queue()
        future = loop.create_future()

        async def relay():
            await event.wait()
            queue.put_nowait(await future)

        tasks = [
            asyncio.tasks._CTask(relay(), loop=loop),
            loop_module.ensure_future(queue.get()),
            asyncio.tasks._PyTask(asyncio.wait_for(future, 60), loop=loop)
            if features.PYTHON_TASKS_ARE_REGISTERED
            else asyncio.ensure_future(future),
        ]
        gathered = [asyncio.gather(*tasks), loop_module.gather(*tasks)]
        await turns(2)
        event.set()
        future.set_result("value")
        assert await loop_module.gather(*gathered) == [[None, "value", "value"]] * 2
        done, pending = await loop_module.wait([*tasks, *gathered])
        assert done == {*tasks, *gathered}
        assert pending == set()

    run(main())
