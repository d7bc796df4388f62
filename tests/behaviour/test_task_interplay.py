"""Tasks and futures of different makes on one loop: the loop's own, asyncio's C ones, asyncio's Python ones.

Libraries construct `asyncio.Task` and `asyncio.Future` themselves, debuggers use the Python classes; each must
await, cancel and wake each.
"""

import asyncio

import pytest

import features
from recording import record_errors

MAKES = ["own", "C", "Python"]


def task_of(make, coroutine, loop):
    if make == "own":
        return loop.create_task(coroutine)
    if make == "C":
        return asyncio.Task(coroutine, loop=loop)
    return asyncio.tasks._PyTask(coroutine, loop=loop)


def future_of(make, loop):
    if make == "own":
        return loop.create_future()
    if make == "C":
        return asyncio.Future(loop=loop)
    return asyncio.futures._PyFuture(loop=loop)


@pytest.fixture(params=MAKES)
def outer(request):
    return request.param


@pytest.fixture(params=MAKES)
def inner(request):
    return request.param


def test_a_task_awaits_a_future(run, outer, inner):
    async def wait(future):
        return await future

    async def main():
        loop = asyncio.get_running_loop()
        future = future_of(inner, loop)
        task = task_of(outer, wait(future), loop)
        await asyncio.sleep(0)
        future.set_result("value")
        assert await task == "value"

        failing = future_of(inner, loop)
        task = task_of(outer, wait(failing), loop)
        loop.call_soon(failing.set_exception, ValueError("bad"))
        with pytest.raises(ValueError, match="bad"):
            await task

    run(main())


def test_a_task_awaits_a_task(run, outer, inner):
    async def work(value):
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    async def wait(task):
        return await task

    async def main():
        loop = asyncio.get_running_loop()
        assert await task_of(outer, wait(task_of(inner, work("value"), loop)), loop) == "value"
        with pytest.raises(ValueError, match="bad"):
            await task_of(outer, wait(task_of(inner, work(ValueError("bad")), loop)), loop)

    run(main())


def test_cancelling_a_task_cancels_what_it_awaits(run, outer, inner):
    async def wait(future):
        await future

    async def main():
        loop = asyncio.get_running_loop()
        future = future_of(inner, loop)
        task = task_of(outer, wait(future), loop)
        await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("why",)
        assert future.cancelled()

        sleeping = task_of(inner, asyncio.sleep(60), loop)
        task = task_of(outer, wait(sleeping), loop)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert sleeping.cancelled()
        assert task.cancelled()

    run(main())


def test_cancelling_what_is_awaited_cancels_the_task(run, outer, inner):
    async def wait(future):
        await future

    async def main():
        loop = asyncio.get_running_loop()
        future = future_of(inner, loop)
        task = task_of(outer, wait(future), loop)
        await asyncio.sleep(0)
        future.cancel("from below")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("from below",)
        assert task.cancelled()

    run(main())


def test_steps_are_fair_between_makes(run, outer, inner):
    async def main():
        loop = asyncio.get_running_loop()
        order = []

        async def work(name):
            for _ in range(3):
                order.append(name)
                await asyncio.sleep(0)

        tasks = [task_of(outer, work("a"), loop), task_of(inner, work("b"), loop)]
        await asyncio.gather(*tasks)
        assert order == ["a", "b"] * 3

    run(main())


def test_the_current_task_is_right_in_each(run, outer, inner):
    if "Python" in (outer, inner) and not features.PYTHON_TASKS_ARE_REGISTERED:
        pytest.skip("this version's current_task() does not know asyncio's pure-Python tasks")

    async def main():
        loop = asyncio.get_running_loop()
        seen = []

        async def work(box):
            await asyncio.sleep(0)
            seen.append(asyncio.current_task() is box[0])

        boxes = [[], []]
        boxes[0].append(task_of(outer, work(boxes[0]), loop))
        boxes[1].append(task_of(inner, work(boxes[1]), loop))
        assert {boxes[0][0], boxes[1][0]} <= asyncio.all_tasks()
        await asyncio.gather(boxes[0][0], boxes[1][0])
        assert seen == [True, True]

    run(main())


def test_a_future_wakes_waiters_of_all_makes_in_their_order(run, inner):
    async def main():
        loop = asyncio.get_running_loop()
        future, order = future_of(inner, loop), []

        async def wait(name):
            await future
            order.append(name)

        tasks = [task_of(make, wait((make, n)), loop) for n in range(2) for make in MAKES]
        await asyncio.sleep(0)
        future.set_result(None)
        await asyncio.gather(*tasks)
        assert order == [(make, n) for n in range(2) for make in MAKES]

    run(main())


def test_futures_of_a_foreign_class_are_awaited_by_their_protocol(run, outer):
    class Foreign:
        """The least that asyncio accepts as a future."""

        _asyncio_future_blocking = False

        def __init__(self, loop):
            self._loop = loop
            self._callbacks = []
            self._result = None

        def get_loop(self):
            return self._loop

        def add_done_callback(self, callback, *, context=None):
            self._callbacks.append((callback, context))

        def set_result(self, result):
            self._result = result
            for callback, context in self._callbacks:
                self._loop.call_soon(callback, self, context=context)

        def result(self):
            return self._result

        def cancel(self, msg=None):
            return False

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self
            return self.result()

    async def main():
        loop = asyncio.get_running_loop()
        foreign = Foreign(loop)
        assert asyncio.isfuture(foreign)

        async def wait():
            return await foreign

        task = task_of(outer, wait(), loop)
        await asyncio.sleep(0)
        foreign.set_result("value")
        assert await task == "value"

    run(main())


def test_a_foreign_future_that_raises_disturbs_nobody_else(loop, outer):
    class Hostile:
        _asyncio_future_blocking = True

        def get_loop(self):
            return loop

        def add_done_callback(self, callback, *, context=None):
            raise ValueError("no callbacks here")

        def __await__(self):
            yield self

    async def wait():
        await Hostile()

    contexts = record_errors(loop)
    task = task_of(outer, wait(), loop)
    assert loop.run_until_complete(asyncio.sleep(0.001, "well")) == "well"
    # asyncio's tasks let the error out of their step and wait for ever; failing the task is as good.
    errors = [context["exception"] for context in contexts] + ([task.exception()] if task.done() else [])
    assert [str(error) for error in errors] == ["no callbacks here"]
    task._log_destroy_pending = False


def test_gather_wait_and_shield_take_all_makes(run, outer, inner):
    async def main():
        loop = asyncio.get_running_loop()
        first, second = future_of(outer, loop), task_of(inner, asyncio.sleep(0, 2), loop)
        loop.call_soon(first.set_result, 1)
        assert await asyncio.gather(first, second) == [1, 2]
        assert await asyncio.wait({first, second}) == ({first, second}, set())
        assert await asyncio.shield(second) == 2
        assert await asyncio.wait_for(second, 5) == 2

    run(main())
