"""What newer versions of asyncio added is in oxio on every Python. Call graphs: test_call_graph.

Where asyncio has it, the same test runs on asyncio. Locks, queues, timeouts, task groups, combinators and streams have
theirs where their other tests are.
"""

import asyncio
import contextlib
import contextvars
import gc
import inspect

import pytest

import features

NAMES = {
    "3.12": ["TaskGroup", "create_eager_task_factory", "eager_task_factory"],
    "3.13": ["EventLoop", "QueueShutDown"],
    "3.14": [
        "FrameCallGraphEntry",
        "FutureCallGraph",
        "capture_call_graph",
        "format_call_graph",
        "future_add_to_awaited_by",
        "future_discard_from_awaited_by",
        "print_call_graph",
    ],
}


@pytest.mark.oxio_only("older versions lack them", when=not features.CALL_GRAPHS)
@pytest.mark.parametrize("name", sum(NAMES.values(), []))
def test_the_name_is_there_and_public(loop_module, name):
    assert hasattr(loop_module, name)
    assert name in loop_module.__all__


@pytest.mark.oxio_only("it is about oxio's names")
@pytest.mark.parametrize("name", sum(NAMES.values(), []))
def test_where_asyncio_has_the_name_an_isinstance_check_holds(loop_module, name):
    stock = getattr(asyncio, name, None)
    if inspect.isclass(stock):
        assert issubclass(getattr(loop_module, name), stock)


@pytest.mark.oxio_only("3.13 has it in asyncio.queues", when=True)
def test_queue_shut_down_is_one_class_in_all_places(loop_module):
    assert loop_module.exceptions.QueueShutDown is loop_module.QueueShutDown
    assert loop_module.QueueShutDown.__bases__ == (Exception,)
    assert loop_module.exceptions.CancelledError is asyncio.CancelledError
    if hasattr(asyncio, "QueueShutDown"):
        assert loop_module.QueueShutDown is asyncio.QueueShutDown


# Runner and run: any awaitable


class Awaitable:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield
        return self.value


needs_awaitables = pytest.mark.oxio_only("asyncio's since 3.14", when=not features.RUNS_AWAITABLES)


@needs_awaitables
def test_run_takes_any_awaitable(loop_module):
    assert loop_module.run(Awaitable("value"), loop_factory=loop_module.new_event_loop) == "value"


@needs_awaitables
def test_a_runner_takes_any_awaitable(loop_module):
    with loop_module.Runner(loop_factory=loop_module.new_event_loop) as runner:
        assert runner.run(Awaitable(1)) == 1
        future = runner.get_loop().create_future()
        runner.get_loop().call_soon(future.set_result, 2)
        assert runner.run(future) == 2


@pytest.mark.parametrize("what", [42, object(), print, [Awaitable(1)]])
def test_what_cannot_be_awaited_is_refused(loop_module, what):
    # ValueError before 3.14.
    with (
        loop_module.Runner(loop_factory=loop_module.new_event_loop) as runner,
        pytest.raises((TypeError, ValueError)),
    ):
        runner.run(what)


@needs_awaitables
def test_a_refused_awaitable_leaves_nothing_behind(run, loop_module, recorded_warnings):
    awaitable = Awaitable(1)
    runner = loop_module.Runner(loop_factory=loop_module.new_event_loop)

    async def main():
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            loop_module.run(awaitable)
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            runner.run(awaitable)

    run(main())
    with runner:
        pass
    with pytest.raises(RuntimeError, match="Runner is closed"):
        runner.run(awaitable)
    gc.collect()
    assert [str(warning.message) for warning in recorded_warnings] == []


# Eager tasks

with contextlib.suppress(ImportError):
    import oxio

    NATIVE_EAGER_TASKS = features.EAGER_TASKS or hasattr(oxio.Task, "get_context")

needs_eager_tasks = pytest.mark.oxio_only("asyncio's since 3.12", when=not features.EAGER_TASKS)


@pytest.fixture
def eager_tasks(loop_name):
    if loop_name == "oxio" and not NATIVE_EAGER_TASKS:
        pytest.skip("oxio.Task takes no eager_start on this version yet")


@needs_eager_tasks
def test_the_eager_task_factory_starts_tasks_at_once(run, loop_module, eager_tasks):
    order = []

    async def quick():
        return "quick"

    async def waits():
        order.append("started")
        await asyncio.sleep(0)
        order.append("went on")
        return asyncio.current_task().get_name()

    async def main():
        asyncio.get_running_loop().set_task_factory(loop_module.eager_task_factory)
        done = asyncio.create_task(quick())
        assert done.done()
        assert await done == "quick"
        task = asyncio.create_task(waits(), name="its name")
        assert isinstance(task, loop_module.Task)
        order.append("created")
        assert task in asyncio.all_tasks()
        assert await task == "its name"
        assert order == ["started", "created", "went on"]
        assert asyncio.current_task().get_name() != "its name"

    run(main())


@needs_eager_tasks
def test_a_factory_of_ones_own_makes_eager_tasks(run, loop_module, eager_tasks):
    made = []

    def constructor(coro, *, eager_start, **kwargs):
        made.append(eager_start)
        return loop_module.Task(coro, eager_start=eager_start, **kwargs)

    async def quick():
        return asyncio.current_task()

    async def main():
        asyncio.get_running_loop().set_task_factory(loop_module.create_eager_task_factory(constructor))
        task = asyncio.create_task(quick())
        assert task.done()
        assert await task is task
        assert made == [True]

    run(main())


@needs_eager_tasks
def test_an_eager_start_is_for_a_running_loop_only(loop, loop_module, eager_tasks):
    started = []

    async def work():
        started.append(True)

    task = loop_module.Task(work(), loop=loop, eager_start=True)
    assert not started
    loop.run_until_complete(task)
    assert started


@needs_eager_tasks
def test_a_task_tells_its_context(run, loop_module, eager_tasks):
    async def main():
        context = contextvars.copy_context()
        task = loop_module.Task(asyncio.sleep(0), loop=asyncio.get_running_loop(), context=context)
        assert task.get_context() is context
        await task
        assert task.get_context() is context

    run(main())
