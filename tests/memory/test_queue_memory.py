"""Queues hold items, waiters and an event: the collector sees all of them, native or in the open, and none is kept."""

import asyncio
import gc
import weakref

import pytest

import oxio

CLASSES = ["Queue", "PriorityQueue", "LifoQueue"]


class Thing:
    """An item that can be looked after."""

    def __lt__(self, other):
        return False


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("in_the_open", [False, True])
def test_a_queue_that_holds_itself_as_an_item(canary, name, in_the_open):
    make, assert_dead = canary
    bird, queue = make(), getattr(oxio, name)()
    bird.holds.append(queue)
    queue.put_nowait(bird)
    if in_the_open:
        assert len(queue._queue) == 1
    del bird, queue
    assert_dead()


@pytest.mark.parametrize("in_the_open", [False, True])
@pytest.mark.parametrize("side", ["_getters", "_putters"])
def test_a_queue_that_holds_itself_by_who_waits(loop, canary, side, in_the_open):
    make, assert_dead = canary
    bird, queue = make(), oxio.Queue(1)

    async def wait(bird):
        bird.holds.append(queue)
        await (queue.get() if side == "_getters" else queue.put(bird))

    async def main():
        coroutine = wait(bird)
        if side == "_putters":
            queue.put_nowait(None)
        coroutine.send(None)
        if in_the_open:
            assert len(getattr(queue, side)) == 1
        bird.holds.append(coroutine)

    loop.run_until_complete(main())
    del bird, queue
    assert_dead()


def test_a_queue_that_holds_itself_by_its_event_or_its_maxsize(canary):
    make, assert_dead = canary
    for name in ("_finished", "_maxsize", "_queue", "_getters", "_putters"):
        bird, queue = make(), oxio.Queue()
        bird.holds.append(queue)
        setattr(queue, name, bird)
        del bird, queue
    assert_dead()


def test_an_awaitable_that_was_never_awaited_and_its_queue(canary, recwarn):
    make, assert_dead = canary
    bird, queue = make(), oxio.Queue()
    bird.holds.append(queue)
    queue.waiting = queue.put(bird)
    del bird, queue
    assert_dead()


@pytest.mark.parametrize("name", CLASSES)
def test_what_was_got_is_held_by_nobody_else(loop, name):
    async def main():
        queue = getattr(oxio, name)()
        await queue.put(Thing())
        thing = weakref.ref(await queue.get())
        assert thing() is None
        await queue.put(Thing())
        kept = await queue.get()
        thing = weakref.ref(kept)
        del kept
        assert thing() is None

    loop.run_until_complete(main())


def test_a_stop_iteration_that_python_keeps_is_its_own_and_used_no_more(loop):
    async def main():
        queue, kept = oxio.Queue(), []
        for item in range(20):
            queue.put_nowait(item)
            try:
                next(queue.get().__await__())
            except StopIteration as stop:
                kept.append(stop)
                stop.note = item
                if item % 2:
                    stop.args = (item,)
        assert [stop.value for stop in kept] == list(range(20))
        assert [stop.note for stop in kept] == list(range(20))
        kept.clear()
        for item in (object(), (1, 2), ValueError()):
            queue.put_nowait(item)
            try:
                next(queue.get().__await__())
            except StopIteration as stop:
                assert stop.value is item
                assert stop.args in ((), (item,))
                assert not hasattr(stop, "note")
                assert stop.__context__ is None

    loop.run_until_complete(main())


def test_many_rounds_leave_nothing_behind(loop, usage):
    async def main():
        small = oxio.Queue(2)

        async def produce():
            for number in range(2000):
                await small.put(Thing() if number % 2 else number)

        async def consume():
            for _ in range(2000):
                await small.get()
                small.task_done()

        await asyncio.gather(produce(), consume())
        await small.join()
        for name in CLASSES:
            queue = getattr(oxio, name)()
            getters = [asyncio.create_task(queue.get()) for _ in range(20)]
            await asyncio.sleep(0)
            for getter in getters[::2]:
                getter.cancel()
            for number in range(10):
                queue.put_nowait(number)
            await asyncio.wait(getters)

    loop.run_until_complete(main())
    before = usage()
    for _ in range(5):
        loop.run_until_complete(main())
    after = usage()
    gc.collect()
    assert after[1] - before[1] < 50
    assert after[2] - before[2] < 2_000_000
