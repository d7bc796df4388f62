"""Eager tasks: the first step is taken at once. Asked of each version by what its asyncio offers."""

import asyncio
import contextvars

import pytest

import features

if not features.EAGER_TASKS:
    pytest.skip("this version has no eager tasks", allow_module_level=True)

variable = contextvars.ContextVar("variable", default="default")


@pytest.fixture
def eager_run(run):
    def start(main):
        async def with_factory():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            return await main

        return run(with_factory())

    return start


def test_a_task_that_never_waits_is_done_when_it_is_made(eager_run):
    async def quick():
        return "value"

    async def main():
        task = asyncio.create_task(quick())
        assert task.done()
        assert task.result() == "value"
        assert await task == "value"

    eager_run(main())


def test_a_task_that_waits_has_run_to_its_first_wait(eager_run):
    order = []

    async def work():
        order.append("started")
        await asyncio.sleep(0)
        order.append("went on")
        return "value"

    async def main():
        task = asyncio.create_task(work(), name="eager")
        order.append("created")
        assert not task.done()
        assert task.get_name() == "eager"
        assert task in asyncio.all_tasks()
        assert await task == "value"
        assert order == ["started", "created", "went on"]

    eager_run(main())


def test_an_eager_task_that_fails_at_once_keeps_its_exception(eager_run):
    async def fails():
        raise ValueError("bad")

    async def main():
        task = asyncio.create_task(fails())
        assert task.done()
        with pytest.raises(ValueError, match="bad"):
            await task

    eager_run(main())


def test_an_eager_task_that_cancels_itself_at_once_is_cancelled(eager_run):
    async def cancels():
        raise asyncio.CancelledError("by itself")

    async def main():
        task = asyncio.create_task(cancels())
        assert task.cancelled()

    eager_run(main())


def test_an_eager_task_runs_in_its_own_copy_of_the_context(eager_run):
    async def work():
        seen = variable.get()
        variable.set("task")
        return seen

    async def main():
        variable.set("creator")
        assert asyncio.create_task(work()).result() == "creator"
        assert variable.get() == "creator"
        empty = contextvars.Context()
        assert asyncio.create_task(work(), context=empty).result() == "default"
        assert empty[variable] == "task"

    eager_run(main())


def test_gather_and_task_groups_work_with_eager_tasks(eager_run):
    async def value(number):
        if number % 2:
            await asyncio.sleep(0)
        return number

    async def main():
        assert await asyncio.gather(*(value(n) for n in range(6))) == list(range(6))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value(n)) for n in range(6)]
        assert [task.result() for task in tasks] == list(range(6))

    eager_run(main())


def test_an_eager_task_nobody_holds_is_in_nobodys_way(eager_run):
    async def quick():
        pass

    async def main():
        for _ in range(100):
            asyncio.create_task(quick())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    eager_run(main())


def test_eager_tasks_that_create_eager_tasks_nest(eager_run):
    async def nest(levels):
        if levels:
            return await asyncio.create_task(nest(levels - 1)) + 1
        return 0

    async def main():
        assert await asyncio.create_task(nest(50)) == 50

    eager_run(main())


def test_done_callbacks_of_a_finished_eager_task_run_soon(eager_run):
    async def quick():
        pass

    async def main():
        calls = []
        task = asyncio.create_task(quick())
        task.add_done_callback(calls.append)
        assert calls == []
        await asyncio.sleep(0)
        assert calls == [task]

    eager_run(main())


def test_an_own_eager_factory_makes_tasks_of_a_chosen_class(run, task_class):
    class Mine(task_class):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.create_eager_task_factory(Mine))

        async def quick():
            return "value"

        task = asyncio.create_task(quick())
        assert isinstance(task, Mine)
        assert task.result() == "value"

    run(main())


def test_a_task_constructed_with_eager_start_starts_eagerly(run, task_class):
    async def main():
        async def quick():
            return "value"

        task = task_class(quick(), loop=asyncio.get_running_loop(), eager_start=True)
        assert task.done()
        lazy = task_class(quick(), loop=asyncio.get_running_loop(), eager_start=False)
        assert not lazy.done()
        assert await lazy == "value"

    run(main())


@pytest.mark.skipif(
    not features.CREATE_TASK_KEYWORDS, reason="this version's create_task takes no eager_start"
)
def test_create_task_takes_eager_start(run):
    async def main():
        async def quick():
            return "value"

        loop = asyncio.get_running_loop()
        assert loop.create_task(quick(), eager_start=True).done()
        lazy = loop.create_task(quick(), eager_start=False)
        assert not lazy.done()
        assert await lazy == "value"

    run(main())


def test_eager_start_outside_a_running_loop_starts_later(loop, task_class):
    async def work():
        return "value"

    stock_loop = asyncio.new_event_loop()

    def attempt(make, loop):
        coroutine = work()
        try:
            task = make(coroutine, loop=loop, eager_start=True)
        except RuntimeError as refused:
            coroutine.close()
            return type(refused)
        done = task.done()
        loop.run_until_complete(task)
        return done

    expected = attempt(asyncio.Task, stock_loop)
    stock_loop.close()
    assert attempt(task_class, loop) == expected
