"""Queue, PriorityQueue and LifoQueue: order, hand-over, cancellation without loss, shutdown, the hooks of subclasses."""

import asyncio
import copy
import gc
import inspect
import pickle
import re
import weakref

import pytest

import features
from interleaving import count_turns, note, on_stock, outcome
from recording import turns

shutdown = pytest.mark.skipif(not features.QUEUE_SHUTDOWN, reason="this asyncio's queues cannot be shut down")
NO_LOOP = (AttributeError, RuntimeError)
"""asyncio asks None for a future. What is said is no promise; that it fails is one."""


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


async def receive(queue, log, name):
    try:
        log.append((name, await queue.get()))
    except BaseException as error:
        log.append((name, type(error).__name__))
        raise


@pytest.fixture(params=["Queue", "PriorityQueue", "LifoQueue"])
def queue_class(request, loop_module):
    return getattr(loop_module, request.param)


# Storing


def test_what_is_there_is_got_and_what_fits_is_put_without_a_turn_of_the_loop(run, queue_class):
    async def main():
        queue = queue_class(3)
        log = []
        count_turns(log)
        for item in (3, 1, 2):
            assert await queue.put(item) is None
        assert queue.full()
        got = [await queue.get() for _ in range(3)]
        assert sorted(got) == [1, 2, 3]
        assert queue.empty()
        assert log == []

    run(main())


def test_each_kind_has_its_order(run, loop_module):
    async def main():
        for name, expected in (("Queue", [2, 3, 1]), ("PriorityQueue", [1, 2, 3]), ("LifoQueue", [1, 3, 2])):
            queue = getattr(loop_module, name)()
            for item in (2, 3, 1):
                queue.put_nowait(item)
            assert [queue.get_nowait() for _ in range(3)] == expected
            for item in (2, 3, 1):
                await queue.put(item)
            assert [await queue.get() for _ in range(3)] == expected

    run(main())


def test_equal_priorities_and_items_that_do_not_compare(loop_module):
    queue = loop_module.PriorityQueue()
    queue.put_nowait((1, "b"))
    queue.put_nowait((1, "a"))
    assert queue.get_nowait() == (1, "a")
    queue.put_nowait((1, "x"))
    with pytest.raises(TypeError, match="not supported between"):
        queue.put_nowait((1, object()))


def test_the_sizes_are_told(queue_class):
    queue = queue_class(maxsize=2)
    assert [queue.maxsize, queue.qsize(), queue.empty(), queue.full()] == [2, 0, True, False]
    queue.put_nowait(1)
    assert [queue.qsize(), queue.empty(), queue.full()] == [1, False, False]
    queue.put_nowait(2)
    assert [queue.qsize(), queue.empty(), queue.full()] == [2, False, True]
    with pytest.raises(AttributeError):
        queue.maxsize = 3


@pytest.mark.parametrize("maxsize", [0, -1, -100])
def test_without_a_maximum_it_is_never_full(queue_class, maxsize):
    queue = queue_class(maxsize)
    for number in range(1000):
        queue.put_nowait(number)
    assert not queue.full()
    assert queue.qsize() == 1000
    assert queue.maxsize == maxsize


def test_maxsize_may_be_any_number(loop_module):
    queue = loop_module.Queue(1.5)
    queue.put_nowait(1)
    assert not queue.full()
    queue.put_nowait(2)
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(3)
    assert loop_module.Queue(2**70).maxsize == 2**70
    queue = loop_module.Queue(float("inf"))
    queue.put_nowait(1)
    assert not queue.full()


def test_the_nowait_calls_say_full_and_empty(queue_class):
    queue = queue_class(1)
    with pytest.raises(asyncio.QueueEmpty) as caught:
        queue.get_nowait()
    assert caught.value.args == ()
    queue.put_nowait(1)
    with pytest.raises(asyncio.QueueFull) as caught:
        queue.put_nowait(2)
    assert caught.value.args == ()
    assert queue.get_nowait() == 1


def test_queues_need_no_loop_until_somebody_waits(queue_class):
    queue = queue_class(1)
    with pytest.raises(StopIteration):
        queue.put(1).send(None)
    with pytest.raises(NO_LOOP):
        queue.put(2).send(None)
    with pytest.raises(StopIteration) as caught:
        queue.get().send(None)
    assert caught.value.value == 1
    with pytest.raises(NO_LOOP):
        queue.get().send(None)
    with pytest.raises(NO_LOOP):
        queue.join().send(None)
    queue.task_done()
    with pytest.raises(StopIteration):
        queue.join().send(None)
    assert not re.search("getters|putters", repr(queue))


@pytest.mark.parametrize("item", [None, False, (), StopIteration("x"), asyncio.CancelledError("y"), type])
def test_any_object_is_an_item(run, loop_module, item):
    async def main():
        queue = loop_module.Queue()
        [task] = await start(queue.get())
        await queue.put(item)
        got = await asyncio.gather(task, return_exceptions=True)
        if isinstance(item, StopIteration):
            # A coroutine's result is no exception, so it arrives as it is.
            assert got == [item]
        assert got[0] is item
        queue.put_nowait(item)
        assert await queue.get() is item

    run(main())


# Hand-over


def test_getters_are_served_first_in_first_out(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        log = []
        await start(*(receive(queue, log, name) for name in "abc"))
        count_turns(log, 2)
        for item in (1, 2, 3):
            queue.put_nowait(item)
        assert queue.qsize() == 3, "an item stays in the queue until its getter runs"
        await turns(3)
        assert log == [1, ("a", 1), ("b", 2), ("c", 3), 2]

    run(main())


def test_putters_are_served_first_in_first_out(run, loop_module):
    async def main():
        queue = loop_module.Queue(1)
        log = []
        queue.put_nowait(0)
        tasks = await start(*(note(log, item, queue.put(item)) for item in (1, 2, 3)))
        got = []
        for _ in range(4):
            got.append(await queue.get())
        await asyncio.wait(tasks)
        assert got == [0, 1, 2, 3]
        assert log == [1, 2, 3]

    run(main())


def test_rendezvous_of_one_place_goes_hand_in_hand(run, loop_module):
    async def scenario(module):
        queue = module.Queue(1)
        log = []
        count_turns(log, 30)

        async def producer():
            for item in range(6):
                await queue.put(item)
                log.append(f"put {item}")

        async def consumer():
            for _ in range(6):
                log.append(f"got {await queue.get()}")

        await asyncio.gather(producer(), consumer())
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.parametrize("maxsize", [0, 1, 2, 3])
def test_the_turns_of_several_producers_and_consumers_are_asyncios(run, loop_module, maxsize):
    async def scenario(module):
        queue = module.Queue(maxsize)
        log = []
        count_turns(log, 60)

        async def producer(name, pauses):
            for number, pause in enumerate(pauses):
                await queue.put((name, number))
                log.append(("put", name, number))
                await turns(pause)

        async def consumer(name, pauses):
            for pause in pauses:
                log.append((name, await queue.get()))
                queue.task_done()
                await turns(pause)

        await asyncio.gather(
            producer("a", (0, 0, 2, 0)),
            consumer("x", (0, 1, 0, 0)),
            producer("b", (1, 0, 0, 3)),
            consumer("y", (2, 0, 0, 0)),
            queue.join(),
        )
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_newcomer_may_take_the_item_of_a_woken_getter_which_then_waits_at_the_end(run, loop_module):
    # That is asyncio's way: nothing is reserved for a woken getter.
    async def main():
        queue = loop_module.Queue()
        log = []
        tasks = await start(receive(queue, log, "a"), receive(queue, log, "b"))
        queue.put_nowait(1)
        assert await queue.get() == 1
        await turns(2)
        assert log == []
        queue.put_nowait(2)
        queue.put_nowait(3)
        await asyncio.wait(tasks)
        assert log == [("b", 2), ("a", 3)]

    run(main())


def test_a_newcomer_may_take_the_place_of_a_woken_putter_which_then_waits_at_the_end(run, loop_module):
    async def main():
        queue = loop_module.Queue(1)
        queue.put_nowait(0)
        tasks = await start(queue.put("a"), queue.put("b"))
        assert queue.get_nowait() == 0
        queue.put_nowait("newcomer")
        await turns(2)
        assert not any(task.done() for task in tasks)
        got = [await queue.get() for _ in range(3)]
        assert got == ["newcomer", "b", "a"]
        await asyncio.wait(tasks)

    run(main())


def test_get_nowait_lets_the_next_putter_in_a_turn_later(run, loop_module):
    async def main():
        queue = loop_module.Queue(1)
        queue.put_nowait(0)
        [task] = await start(queue.put(1))
        assert queue.get_nowait() == 0
        assert queue.empty()
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()
        await asyncio.sleep(0)
        assert task.done()
        assert queue.get_nowait() == 1

    run(main())


# Laziness


def test_what_is_not_awaited_does_nothing_and_warns(loop_module, recorded_warnings):
    queue = loop_module.Queue(1)
    queue.put(1)
    queue.join()
    queue.put_nowait(2)
    queue.get()
    gc.collect()
    assert queue.qsize() == 1
    assert sorted(str(w.message) for w in recorded_warnings) == [
        f"coroutine 'Queue.{name}' was never awaited" for name in ("get", "join", "put")
    ]


def test_put_takes_its_place_when_it_is_awaited(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        first, second = queue.put(1), queue.put(2)
        await second
        await first
        assert [queue.get_nowait(), queue.get_nowait()] == [2, 1]

    run(main())


def test_an_item_lives_as_long_as_the_put_that_holds_it(run, loop_module):
    class Item:
        pass

    async def main():
        queue = loop_module.Queue(1)
        queue.put_nowait(0)
        item = Item()
        reference = weakref.ref(item)
        [task] = await start(queue.put(item))
        del item
        gc.collect()
        assert reference() is not None
        task.cancel()
        await asyncio.wait([task])
        del task
        gc.collect()
        assert reference() is None
        item = Item()
        reference = weakref.ref(item)
        queue.get_nowait()
        await queue.put(item)
        del item
        assert (await queue.get()) is reference()
        gc.collect()
        assert reference() is None

    run(main())


# Cancellation


def test_a_cancelled_getter_leaves_the_queue(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        log = []
        a, b = await start(receive(queue, log, "a"), receive(queue, log, "b"))
        a.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await a
        assert "_getters[1]" in repr(queue)
        queue.put_nowait(1)
        await b
        assert log == [("a", "CancelledError"), ("b", 1)]

    run(main())


def test_a_getter_cancelled_after_it_was_woken_leaves_the_item_for_the_next(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        log = []
        a, b = await start(receive(queue, log, "a"), receive(queue, log, "b"))
        count_turns(log, 3)
        queue.put_nowait("item")
        a.cancel()
        await turns(4)
        assert a.cancelled()
        assert b.done()
        assert log == [1, ("a", "CancelledError"), 2, ("b", "item"), 3]
        [last] = await start(queue.get())
        queue.put_nowait("kept")
        last.cancel()
        await asyncio.wait([last])
        assert last.cancelled()
        assert queue.get_nowait() == "kept"

    run(main())


def test_a_putter_cancelled_after_it_was_woken_leaves_the_place_for_the_next(run, loop_module):
    async def main():
        queue = loop_module.Queue(1)
        log = []
        queue.put_nowait(0)
        a, b = await start(note(log, "a", queue.put("a")), note(log, "b", queue.put("b")))
        count_turns(log, 3)
        queue.get_nowait()
        a.cancel()
        await turns(4)
        assert log == [1, "a cancelled", 2, "b", 3]
        assert a.cancelled()
        assert b.done()
        assert queue.get_nowait() == "b"
        assert queue.empty()

    run(main())


def test_an_item_put_while_the_first_getters_cancellation_is_on_its_way_goes_to_the_second(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        log = []
        a, _ = await start(receive(queue, log, "a"), receive(queue, log, "b"))
        count_turns(log, 2)
        a.cancel()
        queue.put_nowait("item")
        await turns(3)
        assert log == [1, ("a", "CancelledError"), ("b", "item"), 2]

    run(main())


def test_a_cancelled_putters_item_is_never_put(run, loop_module):
    async def main():
        queue = loop_module.Queue(1)
        queue.put_nowait(0)
        tasks = await start(queue.put(1), queue.put(2))
        tasks[0].cancel()
        await turns(2)
        assert [await queue.get(), await queue.get()] == [0, 2]
        await turns(2)
        assert queue.empty()

    run(main())


def test_a_task_cancelled_before_its_first_step_gets_and_puts_nothing(run, loop_module, recorded_warnings):
    async def main():
        queue = loop_module.Queue()
        queue.put_nowait(1)
        tasks = [asyncio.create_task(queue.get()), asyncio.create_task(queue.put(2))]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert queue.qsize() == 1

    run(main())
    gc.collect()
    assert recorded_warnings == []


@pytest.mark.parametrize("cancelled", [(0,), (1,), (2,), (0, 1), (1, 2)])
@pytest.mark.parametrize("items", [1, 2, 3])
@pytest.mark.parametrize("turn", range(3))
def test_no_item_is_lost_whoever_is_cancelled_when(run, loop_module, cancelled, items, turn):
    async def scenario(module):
        queue = module.Queue()
        log = []
        tasks = await start(*(receive(queue, log, number) for number in range(3)))
        count_turns(log, 6)
        if turn == 0:
            for number in cancelled:
                tasks[number].cancel()
        for item in range(items):
            queue.put_nowait(f"item {item}")
        if turn == 2:
            tasks.append(asyncio.create_task(receive(queue, log, "late")))
        if turn > 0:
            for number in cancelled:
                tasks[number].cancel()
        await turns(6)
        got = [entry[1] for entry in log if type(entry) is tuple and entry[1] != "CancelledError"]
        left = [queue.get_nowait() for _ in range(queue.qsize())]
        assert sorted(got + left) == [f"item {item}" for item in range(items)]
        assert not left or all(task.done() for task in tasks), "an item, and somebody who waits for it"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.parametrize("victim", range(3))
@pytest.mark.parametrize("turn", range(5))
def test_no_place_is_lost_whoever_is_cancelled_when(run, loop_module, victim, turn):
    async def scenario(module):
        queue = module.Queue(2)
        log = []
        queue.put_nowait("x")
        queue.put_nowait("y")
        tasks = await start(*(note(log, number, queue.put(number)) for number in range(3)))
        count_turns(log, 8)
        if turn == 0:
            tasks[victim].cancel()
        log.append(("got", queue.get_nowait()))
        if turn == 1:
            tasks[victim].cancel()
        if turn == 2:
            log.append(("got", queue.get_nowait()))
            tasks[victim].cancel()
        await turns(1)
        if turn == 3:
            tasks[victim].cancel()
            queue.put_nowait("newcomer") if not queue.full() else None
        await turns(4)
        if turn == 4:
            tasks[victim].cancel()
        log.append(sorted(str(queue.get_nowait()) for _ in range(queue.qsize())))
        await turns(3)
        log.append(repr(queue).partition(" maxsize")[2])
        assert all(task.done() for task in tasks)
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_wait_for_on_get_loses_no_item(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        with pytest.raises(TimeoutError):
            await loop_module.wait_for(queue.get(), 0)
        queue.put_nowait(1)
        assert await loop_module.wait_for(queue.get(), 60) == 1
        [task] = await start(loop_module.wait_for(queue.get(), 60))
        await turns(2)
        task.cancel()
        queue.put_nowait(2)
        result = await asyncio.gather(task, return_exceptions=True)
        # 3.11 returns what arrived in the last moment, later versions cancel and leave the item.
        assert result == [2] or queue.get_nowait() == 2

    run(main())


# join and task_done


def test_join_waits_until_every_item_is_done(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        log = []
        await queue.join()
        queue.put_nowait(1)
        queue.put_nowait(2)
        await start(note(log, "a", queue.join()), note(log, "b", queue.join()))
        queue.get_nowait()
        assert queue.task_done() is None
        await turns(2)
        assert log == []
        queue.get_nowait()
        await turns(2)
        assert log == [], "got is not done"
        count_turns(log, 2)
        queue.task_done()
        await turns(3)
        assert log == [1, "a", "b", 2]

    run(main())


def test_a_join_woken_by_the_last_task_done_returns_although_a_new_item_came(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        queue.put_nowait(1)
        [join] = await start(queue.join())
        queue.task_done()
        queue.put_nowait(2)
        await turns(2)
        assert join.done()
        [join] = await start(queue.join())
        await turns(2)
        assert not join.done()
        join.cancel()

    run(main())


def test_task_done_too_often_is_an_error(loop_module):
    queue = loop_module.Queue()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        queue.task_done()
    queue.put_nowait(1)
    queue.task_done()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        queue.task_done()


def test_a_cancelled_join_leaves_the_others(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        queue.put_nowait(1)
        a, b = await start(queue.join(), queue.join())
        a.cancel()
        queue.task_done()
        await asyncio.wait([a, b])
        assert a.cancelled()
        assert b.result() is None

    run(main())


# Views from outside


def test_repr_and_str_say_all_of_its_state(run, loop_module):
    async def main():
        queue = loop_module.Queue(2)
        assert re.fullmatch(r"<Queue at 0x[0-9a-f]+ maxsize=2>", repr(queue))
        assert str(queue) == "<Queue maxsize=2>"
        tasks = await start(queue.get(), queue.get())
        assert str(queue) == "<Queue maxsize=2 _getters[2]>"
        queue.put_nowait("a")
        assert str(queue) == "<Queue maxsize=2 _queue=['a'] _getters[1] tasks=1>"
        queue.put_nowait("b")
        await asyncio.wait(tasks)
        assert str(queue) == "<Queue maxsize=2 tasks=2>"
        queue.put_nowait("c")
        queue.put_nowait("d")
        await start(queue.put("e"))
        assert str(queue) == "<Queue maxsize=2 _queue=['c', 'd'] _putters[1] tasks=4>"
        assert f"{queue}" == str(queue)
        for name in ("LifoQueue", "PriorityQueue"):
            queue = getattr(loop_module, name)()
            queue.put_nowait(2)
            queue.put_nowait(1)
            assert str(queue) == f"<{name} maxsize=0 _queue={queue._queue} tasks=2>"

    run(main())


def test_the_private_names_can_be_read_and_the_items_be_changed(run, queue_class):
    # Programs peek at `_queue`, empty it, and look at `_unfinished_tasks`, `_getters` and `_putters`.
    async def main():
        queue = queue_class(2)
        [task] = await start(queue.get())
        assert len(queue._getters) == 1
        assert queue._getters[0].done() is False
        queue.put_nowait(1)
        await task
        assert not queue._getters
        queue.put_nowait(1)
        queue.put_nowait(2)
        assert sorted(queue._queue) == [1, 2]
        assert queue._unfinished_tasks == 3
        tasks = await start(queue.put(3))
        assert len(queue._putters) == 1
        assert bool(queue._finished.is_set()) is False
        tasks[0].cancel()
        await asyncio.wait(tasks)
        queue._queue.clear()
        assert queue.empty()
        assert queue.qsize() == 0
        queue._queue.append("direct")
        assert queue.qsize() == 1
        assert await queue.get() == "direct"
        queue._unfinished_tasks = 1
        queue.task_done()
        await queue.join()
        queue._maxsize = 1
        queue.put_nowait(1)
        assert queue.full()

    run(main())


def test_the_store_has_asyncios_type(queue_class):
    stock = getattr(asyncio, queue_class.__name__)()
    assert type(queue_class()._queue) is type(stock._queue)


def test_queues_are_instances_of_asyncios_classes(queue_class, loop_module):
    queue = queue_class()
    assert isinstance(queue, asyncio.Queue)
    assert isinstance(queue, getattr(asyncio, queue_class.__name__))
    assert isinstance(queue, loop_module.Queue)
    assert loop_module.QueueEmpty is asyncio.QueueEmpty
    assert loop_module.QueueFull is asyncio.QueueFull


def test_a_queue_class_can_be_given_its_items_type(loop_module):
    alias = loop_module.Queue[int]
    assert alias.__origin__ is loop_module.Queue
    assert alias.__args__ == (int,)
    queue = alias(3)
    assert type(queue) is loop_module.Queue
    assert queue.maxsize == 3


def test_queues_take_attributes_weak_references_copies_and_pickles(queue_class):
    queue = queue_class(5)
    queue.put_nowait(1)
    queue.name = "jobs"
    twin = pickle.loads(pickle.dumps(queue))
    assert type(twin) is queue_class
    assert [twin.name, twin.maxsize, twin.get_nowait()] == ["jobs", 5, 1]
    assert queue.qsize() == 1
    twin.task_done()
    shallow = copy.copy(queue)
    assert shallow._queue is queue._queue
    reference = weakref.ref(queue)
    queue.me = queue
    del queue, shallow
    gc.collect()
    assert reference() is None


def test_a_queue_with_waiters_cannot_be_pickled(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        await start(queue.get())
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(queue)

    run(main())


def test_the_signatures_are_asyncios(queue_class):
    stock = getattr(asyncio, queue_class.__name__)
    assert inspect.signature(queue_class) == inspect.signature(stock)
    for name in ("get", "put", "join", "put_nowait", "get_nowait", "task_done", "qsize", "empty", "full"):
        assert inspect.signature(getattr(queue_class, name)) == inspect.signature(getattr(stock, name)), name
        assert inspect.iscoroutinefunction(getattr(queue_class(), name)) == inspect.iscoroutinefunction(
            getattr(stock(), name)
        ), name


def test_items_may_be_put_by_keyword(run, loop_module):
    async def main():
        queue = loop_module.Queue(maxsize=2)
        await queue.put(item=1)
        queue.put_nowait(item=2)
        assert [await queue.get(), await queue.get()] == [1, 2]
        for call in (queue.put, queue.put_nowait):
            with pytest.raises(
                TypeError, match=r"put(_nowait)?\(\) missing 1 required positional argument: 'item'"
            ):
                call()
        with pytest.raises(TypeError):
            queue.get(1)

    run(main())


def test_a_queue_is_bound_to_the_loop_on_which_somebody_first_waited(loop_factory, loop_module):
    queue = loop_module.Queue()

    async def wait_once():
        [task] = await start(queue.get())
        queue.put_nowait(1)
        await task

    async def elsewhere():
        queue.put_nowait(2)
        assert await queue.get() == 2, "nobody waits, so nobody asks"
        with pytest.raises(RuntimeError) as caught:
            await queue.get()
        assert str(caught.value) == f"{queue!r} is bound to a different event loop"

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(wait_once())
    second.run_until_complete(elsewhere())
    first.run_until_complete(wait_once())


def test_a_waiting_task_shows_what_it_waits_for(run, loop_module):
    async def main():
        queue = loop_module.Queue()
        [task] = await start(queue.get())
        waiter = task._fut_waiter
        assert [waiter.done(), waiter.cancelled()] == [False, False]
        assert waiter.cancel() is True
        await asyncio.wait([task])
        assert task.cancelled()
        queue.put_nowait(1)
        assert queue.get_nowait() == 1

    run(main())


# Subclasses


def test_the_hooks_of_a_subclass_are_called(run, loop_module):
    class Logged(loop_module.Queue):
        def __init__(self, *args, log):
            self.log = log
            super().__init__(*args)

        def _init(self, maxsize):
            self.log.append(("init", maxsize))
            self._queue = []

        def _put(self, item):
            self.log.append(("put", item))
            self._queue.insert(0, item)

        def _get(self):
            item = self._queue.pop()
            self.log.append(("get", item))
            return item

    async def main():
        log = []
        queue = Logged(2, log=log)
        await queue.put(1)
        queue.put_nowait(2)
        [task] = await start(queue.put(3))
        assert [await queue.get(), queue.get_nowait()] == [1, 2]
        await task
        assert await queue.get() == 3
        [task] = await start(queue.get())
        await queue.put(4)
        assert await task == 4
        assert log == [
            ("init", 2),
            *[("put", 1), ("put", 2), ("get", 1), ("get", 2), ("put", 3), ("get", 3)],
            *[("put", 4), ("get", 4)],
        ]
        assert str(queue) == "<Logged maxsize=2 tasks=4>"

    run(main())


def test_a_subclass_without_a_store_of_that_name_overrides_the_questions_too(run, loop_module):
    class Unique(loop_module.Queue):
        def _init(self, maxsize):
            self.items = {}

        def _put(self, item):
            self.items[item] = None

        def _get(self):
            item = next(iter(self.items))
            del self.items[item]
            return item

        def qsize(self):
            return len(self.items)

        def empty(self):
            return not self.items

    async def main():
        queue = Unique(2)
        for item in (1, 1, 2):
            await queue.put(item)
        [task] = await start(queue.put(3))
        assert not task.done()
        assert [await queue.get(), await queue.get(), await queue.get()] == [1, 2, 3]
        await task
        assert str(queue) == "<Unique maxsize=2 tasks=4>"
        [task] = await start(queue.get())
        queue.put_nowait("x")
        assert await task == "x"

    run(main())


def test_an_exception_of_a_hook_comes_out_and_changes_nothing(run, loop_module):
    class Picky(loop_module.Queue):
        def _put(self, item):
            if item is None:
                raise ValueError("no None here")
            super()._put(item)

        def _get(self):
            if self._queue[0] == "stuck":
                raise LookupError("stuck")
            return super()._get()

    async def main():
        queue = Picky()
        [task] = await start(queue.get())
        with pytest.raises(ValueError, match="no None here"):
            await queue.put(None)
        with pytest.raises(ValueError, match="no None here"):
            queue.put_nowait(None)
        assert str(queue) == "<Picky maxsize=0 _getters[1]>"
        queue.put_nowait("stuck")
        with pytest.raises(LookupError):
            await task
        with pytest.raises(LookupError):
            queue.get_nowait()
        assert queue.qsize() == 1

    run(main())


def test_put_and_get_go_through_the_overridden_nowait_calls(run, loop_module):
    class Counted(loop_module.Queue):
        def __init__(self, maxsize=0):
            super().__init__(maxsize)
            self.log = []

        def put_nowait(self, item):
            self.log.append(f"put {item}")
            return super().put_nowait(item)

        def get_nowait(self):
            item = super().get_nowait()
            self.log.append(f"got {item}")
            return item

    async def main():
        queue = Counted(1)
        await queue.put(1)
        [task] = await start(queue.put(2))
        assert await queue.get() == 1
        await task
        assert await queue.get() == 2
        [task] = await start(queue.get())
        await queue.put(3)
        assert await task == 3
        assert queue.log == ["put 1", "got 1", "put 2", "got 2", "put 3", "got 3"]

    run(main())


def test_put_returns_what_put_nowait_returns(run, loop_module):
    class Told(loop_module.Queue):
        def put_nowait(self, item):
            super().put_nowait(item)
            return f"place {self.qsize()}"

    async def main():
        assert await Told().put(1) == "place 1"

    run(main())


def test_overridden_get_and_put_are_what_a_caller_gets(run, loop_module):
    class Shouting(loop_module.PriorityQueue):
        async def put(self, item):
            await super().put(item.upper())

        async def get(self):
            return f"{await super().get()}!"

    async def main():
        queue = Shouting(1)
        await queue.put("b")
        [task] = await start(queue.put("a"))
        assert await queue.get() == "B!"
        await task
        assert await queue.get() == "A!"

    run(main())


def test_overridden_questions_decide_who_waits(run, loop_module):
    class Gate(loop_module.Queue):
        shut = True

        def full(self):
            return self.shut

        def empty(self):
            return self.shut or super().empty()

    async def main():
        queue = Gate()
        queue._queue.append("inside")
        put, get = await start(queue.put("outside"), queue.get())
        await turns(2)
        assert not put.done()
        assert not get.done()
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(1)
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()
        queue.shut = False
        queue._wakeup_next(queue._getters)
        assert await get == "inside"
        await put
        assert queue.get_nowait() == "outside"

    run(main())


def test_an_overridden_format_and_wakeup_next_are_used(run, loop_module):
    class Odd(loop_module.Queue):
        def __init__(self):
            self.woken = []
            super().__init__(1)

        def _format(self):
            return "format"

        def _wakeup_next(self, waiters):
            self.woken.append(len(waiters))
            super()._wakeup_next(waiters)

    async def main():
        queue = Odd()
        assert str(queue) == "<Odd format>"
        assert repr(queue) == f"<Odd at {id(queue):#x} format>"
        [get] = await start(queue.get())
        queue.put_nowait(1)
        await get
        queue.put_nowait(2)
        [put] = await start(queue.put(3))
        queue.get_nowait()
        await put
        # Asked at each put and each get: with how many waiters.
        assert queue.woken == [1, 0, 0, 1, 0]

    run(main())


def test_a_wakeup_next_that_wakes_the_last_waiter_turns_the_order_round(run, loop_module):
    class LastFirst(loop_module.Queue):
        def _wakeup_next(self, waiters):
            while waiters:
                waiter = waiters.pop()
                if not waiter.done():
                    waiter.set_result(None)
                    break

    async def main():
        queue = LastFirst()
        log = []
        tasks = await start(*(receive(queue, log, name) for name in "abc"))
        for item in (1, 2, 3):
            queue.put_nowait(item)
        await asyncio.wait(tasks)
        assert log == [("c", 1), ("b", 2), ("a", 3)]

    run(main())


def test_a_subclass_with_a_changed_heap_function_keeps_its_order(run, loop_module):
    class Largest(loop_module.PriorityQueue):
        def _put(self, item):
            super()._put(-item)

        def _get(self):
            return -super()._get()

    async def main():
        queue = Largest()
        for item in (2, 3, 1):
            await queue.put(item)
        assert [await queue.get() for _ in range(3)] == [3, 2, 1]

    run(main())


def test_hooks_put_on_the_class_or_the_instance_later_are_used(run, loop_module):
    # unittest.mock replaces methods so.
    async def main():
        queue = loop_module.Queue()
        calls = []
        queue._put = lambda item: calls.append(item) or queue._queue.append(item)
        queue.put_nowait(1)
        await queue.put(2)
        assert calls == [1, 2]
        queue.get_nowait = lambda: "mocked"
        assert await queue.get() == "mocked"
        queue.put_nowait = calls.append
        await queue.put(3)
        assert calls == [1, 2, 3]

    run(main())


# Shutdown


@shutdown
def test_after_shutdown_the_items_can_be_got_and_nothing_be_put(run, queue_class):
    async def main():
        queue = queue_class()
        for item in (1, 2):
            queue.put_nowait(item)
        assert queue.shutdown() is None
        assert await outcome(queue.put(3)) == ("raised", asyncio.QueueShutDown, ())
        with pytest.raises(asyncio.QueueShutDown):
            queue.put_nowait(3)
        assert sorted([await queue.get(), queue.get_nowait()]) == [1, 2]
        with pytest.raises(asyncio.QueueShutDown):
            await queue.get()
        with pytest.raises(asyncio.QueueShutDown):
            queue.get_nowait()
        queue.task_done()
        queue.task_done()
        await queue.join()
        queue.shutdown()
        assert str(queue).endswith(" shutdown>")

    run(main())


@shutdown
def test_shutdown_at_once_throws_the_items_away_and_ends_join(run, queue_class):
    async def main():
        queue = queue_class()
        for item in (1, 2, 3):
            queue.put_nowait(item)
        queue.get_nowait()
        [join] = await start(queue.join())
        queue.shutdown(immediate=True)
        assert queue.empty()
        await turns(2)
        assert not join.done(), "the item that was got is not done"
        queue.task_done()
        await join
        with pytest.raises(asyncio.QueueShutDown):
            await queue.get()

    run(main())


@shutdown
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_all_who_wait_in_order_in_the_next_turn(run, loop_module, immediate):
    async def main():
        queue = loop_module.Queue(1)
        log = []
        getters = await start(*(note(log, name, queue.get()) for name in "abc"))
        count_turns(log, 2)
        queue.shutdown(immediate)
        assert log == []
        await turns(3)
        assert log == [1, "a QueueShutDown", "b QueueShutDown", "c QueueShutDown", 2]
        assert all(task.done() for task in getters)
        queue = loop_module.Queue(1)
        queue.put_nowait(0)
        log.clear()
        await start(*(note(log, name, queue.put(name)) for name in "abc"))
        queue.shutdown(immediate)
        await turns(4)
        if immediate:
            # There is a place for the first now, but it is refused all the same.
            assert queue.empty()
        assert log == ["a QueueShutDown", "b QueueShutDown", "c QueueShutDown"]

    run(main())


@shutdown
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("before", [True, False])
def test_shutdown_at_the_moment_of_a_hand_over_is_as_in_asyncio(run, loop_module, immediate, before):
    async def scenario(module):
        queue = module.Queue(1)
        log = []
        tasks = await start(receive(queue, log, "a"), receive(queue, log, "b"))
        count_turns(log, 4)
        if not before:
            queue.put_nowait("item")
        queue.shutdown(immediate)
        if before:
            with pytest.raises(asyncio.QueueShutDown):
                queue.put_nowait("item")
        tasks[0].cancel()
        await turns(5)
        log.append(str(queue))
        return log, [str(task.exception()) if not task.cancelled() else "cancelled" for task in tasks]

    assert run(scenario(loop_module)) == on_stock(scenario)


@shutdown
def test_shutdown_calls_the_hooks_of_a_subclass(run, loop_module):
    class Logged(loop_module.Queue):
        thrown = ()

        def _get(self):
            item = super()._get()
            self.thrown = (*self.thrown, item)
            return item

        def shutdown(self, immediate=False):
            super().shutdown(immediate)
            self.thrown = (*self.thrown, "end")

    async def main():
        queue = Logged()
        queue.put_nowait(1)
        queue.put_nowait(2)
        queue.shutdown(immediate=True)
        assert queue.thrown == (1, 2, "end")
        await queue.join()

    run(main())
