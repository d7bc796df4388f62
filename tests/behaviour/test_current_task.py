"""current_task and all_tasks: what they say inside a step, a callback, another loop, and afterwards."""

import asyncio
import gc
import threading

import pytest

import features
from recording import turns


def test_inside_a_step_the_current_task_is_the_one_that_runs(run):
    async def work(box):
        for _ in range(3):
            assert asyncio.current_task() is box[0]
            await asyncio.sleep(0)

    async def main():
        me = asyncio.current_task()
        boxes = [[] for _ in range(3)]
        for box in boxes:
            box.append(asyncio.create_task(work(box)))
        await asyncio.gather(*(box[0] for box in boxes))
        assert asyncio.current_task() is me

    run(main())


def test_inside_a_callback_there_is_no_current_task(run):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []

        def look(*_):
            seen.append(asyncio.current_task())

        future = loop.create_future()
        future.add_done_callback(look)
        future.set_result(None)
        loop.call_soon(look)
        loop.call_later(0, look)
        loop.call_soon_threadsafe(look)
        task = asyncio.create_task(asyncio.sleep(0))
        task.add_done_callback(look)
        await asyncio.sleep(0.002)
        assert seen == [None] * 5

    run(main())


def test_inside_a_callback_at_the_end_of_the_same_turn_there_is_no_current_task(run):
    # The registry may be updated lazily between steps of tasks; a callback between two steps must not see it.
    async def main():
        loop = asyncio.get_running_loop()
        seen = []

        async def step():
            await asyncio.sleep(0)

        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(step()))
            loop.call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.gather(*tasks)
        assert seen == [None] * 3

    run(main())


def test_inside_protocol_callbacks_there_is_no_current_task(run):
    import socket

    seen = []

    class Looks(asyncio.Protocol):
        def connection_made(self, transport):
            seen.append(("made", asyncio.current_task()))

        def data_received(self, data):
            seen.append(("data", asyncio.current_task()))

        def connection_lost(self, error):
            seen.append(("lost", asyncio.current_task()))

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        with peer:
            await loop.create_connection(Looks, sock=ours)
            peer.send(b"x")
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.005)
        assert seen == [("made", None), ("data", None), ("lost", None)]

    run(main())


def test_outside_a_loop_there_is_no_current_task_to_ask_for(loop):
    with pytest.raises(RuntimeError):
        asyncio.current_task()
    with pytest.raises(RuntimeError):
        asyncio.all_tasks()
    assert asyncio.current_task(loop) is None
    assert asyncio.all_tasks(loop) == set()


def test_after_a_run_that_a_task_interrupted_there_is_no_current_task(loop):
    async def interrupts():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(interrupts())
    assert asyncio.current_task(loop) is None

    async def main():
        return asyncio.current_task()

    task = loop.create_task(main())
    assert loop.run_until_complete(task) is task


def test_all_tasks_are_those_not_done(run):
    async def main():
        me = asyncio.current_task()
        waiting = asyncio.create_task(asyncio.sleep(60), name="waiting")
        quick = asyncio.create_task(asyncio.sleep(0), name="quick")
        assert asyncio.all_tasks() == {me, waiting, quick}
        await quick
        assert asyncio.all_tasks() == {me, waiting}
        waiting.cancel()
        assert asyncio.all_tasks() == {me, waiting}
        await asyncio.wait([waiting])
        assert asyncio.all_tasks() == {me}

    run(main())


def test_all_tasks_of_a_loop_that_does_not_run(loop):
    task = loop.create_task(asyncio.sleep(0))
    assert asyncio.all_tasks(loop) == {task}
    loop.run_until_complete(task)
    assert asyncio.all_tasks(loop) == set()


def test_loops_do_not_see_each_others_tasks(loop_factory):
    first, second = loop_factory(), loop_factory()
    mine, theirs = first.create_task(asyncio.sleep(0)), second.create_task(asyncio.sleep(0))
    assert asyncio.all_tasks(first) == {mine}
    assert asyncio.all_tasks(second) == {theirs}
    first.run_until_complete(mine)
    second.run_until_complete(theirs)


def test_all_tasks_of_another_thread_may_be_listed_while_it_makes_them(run):
    async def main():
        loop = asyncio.get_running_loop()
        stop, counts, errors = threading.Event(), [], []

        def watch():
            try:
                while not stop.is_set():
                    counts.append(len(asyncio.all_tasks(loop)))
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=watch)
        thread.start()
        for _ in range(30):
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(20)))
        stop.set()
        await asyncio.to_thread(thread.join)
        assert errors == []
        assert counts

    run(main())


def test_all_tasks_forgets_tasks_that_are_gone(run):
    async def main():
        for _ in range(100):
            asyncio.create_task(asyncio.sleep(0))
        await turns(3)
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_task_run_by_hand_in_a_callback_does_not_disturb_the_registry(run):
    # `Task` objects are steps of their loop: a callback that starts a task leaves no current task behind.
    async def main():
        loop = asyncio.get_running_loop()
        seen = []

        async def work():
            seen.append(asyncio.current_task())

        def start():
            tasks.append(loop.create_task(work()))
            seen.append(asyncio.current_task())

        tasks = []
        loop.call_soon(start)
        await turns(3)
        assert seen == [None, tasks[0]]

    run(main())


@pytest.mark.skipif(not features.EAGER_TASKS, reason="this version has no eager tasks")
def test_an_eager_start_inside_a_step_gives_the_current_task_back(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        me = asyncio.current_task()
        seen = []

        async def inner():
            seen.append(asyncio.current_task())

        async def outer():
            mine = asyncio.current_task()
            inner_task = asyncio.create_task(inner())
            assert asyncio.current_task() is mine
            seen.append(mine)
            return inner_task

        outer_task = asyncio.create_task(outer())
        assert asyncio.current_task() is me
        assert seen == [outer_task.result(), outer_task]

    run(main())


@pytest.mark.skipif(
    not hasattr(asyncio.tasks, "_swap_current_task"), reason="this version has no _swap_current_task"
)
def test_the_registry_functions_that_libraries_use_work(run):
    # anyio, greenback and trio-asyncio enter, leave and swap the current task themselves.
    async def main():
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        other = asyncio.create_task(asyncio.sleep(0))
        assert asyncio.tasks._swap_current_task(loop, other) is me
        assert asyncio.current_task() is other
        assert asyncio.tasks._swap_current_task(loop, me) is other
        asyncio.tasks._leave_task(loop, me)
        assert asyncio.current_task() is None
        asyncio.tasks._enter_task(loop, me)
        assert asyncio.current_task() is me
        with pytest.raises(RuntimeError):
            asyncio.tasks._enter_task(loop, other)
        with pytest.raises(RuntimeError):
            asyncio.tasks._leave_task(loop, other)
        await other

    run(main())
