"""Tasks: steps, names, contexts, stacks, bad yields, factories, subclasses."""

import asyncio
import contextvars
import gc
import io
import sys
import traceback
import types
import weakref

import pytest

import features
from recording import record_errors, turns

variable = contextvars.ContextVar("variable", default="default")


async def returns(value=None):
    return value


async def fails(error):
    raise error


@types.coroutine
def bare_yield(value=None):
    return (yield value)


def names_in_traceback(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_the_loops_tasks_are_tasks_to_everybody(loop, task_class, future_class):
    task = loop.create_task(returns("value"))
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert isinstance(task, task_class)
    assert asyncio.isfuture(task)
    assert task.get_loop() is loop
    assert loop.run_until_complete(task) == "value"


def test_a_task_takes_its_first_step_in_the_next_turn(loop):
    order = []

    async def work():
        order.append("task")

    loop.call_soon(order.append, "before")
    task = loop.create_task(work())
    loop.call_soon(order.append, "after")
    loop.run_until_complete(task)
    assert order == ["before", "task", "after"]


def test_tasks_that_yield_take_turns(run):
    async def main():
        order = []

        async def work(name):
            for step in range(3):
                order.append(name + str(step))
                await asyncio.sleep(0)

        await asyncio.gather(work("a"), work("b"))
        assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]

    run(main())


def test_a_result_wakes_the_waiter_in_the_next_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        order = []
        future = loop.create_future()

        async def wait():
            await future
            order.append("woken")

        task = loop.create_task(wait())
        await asyncio.sleep(0)
        loop.call_soon(order.append, "before")
        future.set_result(None)
        loop.call_soon(order.append, "after")
        assert order == []
        await task
        assert order == ["before", "woken", "after"]

    run(main())


def test_a_tasks_exception_is_raised_where_it_is_awaited(run):
    async def main():
        task = asyncio.create_task(fails(ValueError("bad")))
        with pytest.raises(ValueError, match="bad"):
            await task
        assert task.done()
        assert not task.cancelled()
        assert str(task.exception()) == "bad"

    run(main())


def test_a_task_refuses_what_is_no_coroutine(loop, task_class):
    for thing in (42, returns, "text", loop.create_future()):
        with pytest.raises(TypeError, match="a coroutine was expected"):
            loop.create_task(thing)
        with pytest.raises(TypeError, match="a coroutine was expected"):
            task_class(thing, loop=loop)


def test_a_task_takes_any_object_that_acts_as_a_coroutine(loop):
    import collections.abc

    class Coroutine(collections.abc.Coroutine):
        def __init__(self):
            self.sent = []

        def send(self, value):
            self.sent.append(value)
            if len(self.sent) == 3:
                raise StopIteration("done")

        def throw(self, *args):
            raise args[0]

        def close(self):
            pass

        def __await__(self):
            return self

    coroutine = Coroutine()
    assert loop.run_until_complete(loop.create_task(coroutine)) == "done"
    assert coroutine.sent == [None, None, None]


def test_a_coroutine_like_object_that_raises_a_subclass_of_stop_iteration_returns(loop):
    import collections.abc

    class Stop(StopIteration):
        pass

    class Coroutine(collections.abc.Coroutine):
        def send(self, value):
            raise Stop("value")

        def throw(self, *args):
            raise args[0]

        def __await__(self):
            return self

    assert loop.run_until_complete(loop.create_task(Coroutine())) == "value"


def test_a_coroutine_that_lets_stop_iteration_out_fails_with_runtime_error(run):
    async def main():
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.create_task(fails(StopIteration("out")))

    run(main())


def test_tasks_have_names_given_counted_or_set(loop):
    first, second = loop.create_task(returns()), loop.create_task(returns())
    number = int(first.get_name().removeprefix("Task-"))
    assert second.get_name() == f"Task-{number + 1}"
    named = loop.create_task(returns(), name="given")
    assert named.get_name() == "given"
    named.set_name("changed")
    assert named.get_name() == "changed"
    named.set_name(42)
    assert named.get_name() == "42"
    assert loop.create_task(returns(), name=None).get_name().startswith("Task-")
    loop.run_until_complete(asyncio.wait(asyncio.all_tasks(loop)))


def test_names_count_across_the_loops_tasks_and_asyncios_own(loop):
    ours = loop.create_task(returns())
    theirs = asyncio.Task(returns(), loop=loop)
    number = int(ours.get_name().removeprefix("Task-"))
    assert theirs.get_name() not in ("", ours.get_name())
    assert number > 0
    loop.run_until_complete(asyncio.wait([ours, theirs]))


def test_tasks_say_in_their_repr_how_they_are(run):
    async def a_coroutine_of_mine(future):
        return await future

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(a_coroutine_of_mine(future), name="worker")
        await asyncio.sleep(0)
        for part in ("<Task pending", "name='worker'", "a_coroutine_of_mine()", "wait_for=<Future pending"):
            assert part in repr(task)
        future.set_result("the result")
        await task
        assert "<Task finished" in repr(task)
        assert "result='the result'" in repr(task)
        cancelled = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert "<Task cancelling" in repr(cancelled)
        await asyncio.wait([cancelled])
        assert "<Task cancelled" in repr(cancelled)

    run(main())


def test_get_coro_and_get_context_return_what_the_task_runs(run):
    async def main():
        coroutine, context = returns("value"), contextvars.copy_context()
        task = asyncio.create_task(coroutine, context=context)
        assert task.get_coro() is coroutine
        if hasattr(asyncio.Task, "get_context"):
            assert task.get_context() is context
        assert await task == "value"

    run(main())


def test_a_task_runs_in_a_copy_of_its_creators_context(run):
    async def main():
        variable.set("creator")

        async def work():
            seen = variable.get()
            variable.set("task")
            await asyncio.sleep(0)
            return seen, variable.get()

        assert await asyncio.create_task(work()) == ("creator", "task")
        assert variable.get() == "creator"

    run(main())


def test_a_task_runs_in_the_context_it_is_given_even_an_empty_one(run):
    async def main():
        variable.set("creator")

        async def work():
            seen = variable.get()
            variable.set("task")
            await asyncio.sleep(0)
            return seen

        empty = contextvars.Context()
        assert await asyncio.create_task(work(), context=empty) == "default"
        assert empty[variable] == "task"
        assert variable.get() == "creator"

    run(main())


def test_tasks_may_share_one_context(run):
    async def main():
        context = contextvars.copy_context()

        async def work(value):
            variable.set(value)
            await asyncio.sleep(0)
            return variable.get()

        both = [asyncio.create_task(work(value), context=context) for value in "ab"]
        assert await asyncio.gather(*both) == ["b", "b"]

    run(main())


def test_a_context_a_future_was_completed_in_does_not_leak_into_the_waiter(run):
    async def main():
        loop = asyncio.get_running_loop()
        variable.set("waiter")
        future = loop.create_future()
        loop.call_soon(lambda: (variable.set("completer"), future.set_result(None)))
        await future
        assert variable.get() == "waiter"

    run(main())


@pytest.mark.parametrize(
    "value, message",
    [
        (42, "Task got bad yield: 42"),
        ("text", "Task got bad yield: 'text'"),
        (object, "Task got bad yield"),
        (iter([]), "Task got bad yield"),
    ],
)
def test_a_coroutine_that_yields_nonsense_gets_runtime_error_at_the_yield(run, value, message):
    async def work():
        with pytest.raises(RuntimeError) as caught:
            await bare_yield(value)
        assert message in str(caught.value)
        return "went on"

    async def main():
        assert await asyncio.create_task(work()) == "went on"

    run(main())


def test_a_generator_yielded_gets_its_own_message(run):
    def generator():
        yield

    async def work():
        with pytest.raises(RuntimeError, match="yield was used instead of yield from for generator"):
            await bare_yield(generator())

    async def main():
        await asyncio.create_task(work())

    run(main())


def test_a_future_yielded_rather_than_awaited_gets_its_own_message(run):
    async def work():
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(RuntimeError, match="yield was used instead of yield from"):
            await bare_yield(future)

    async def main():
        await asyncio.create_task(work())

    run(main())


def test_a_bare_yield_of_none_waits_one_turn(run):
    async def main():
        order = []
        asyncio.get_running_loop().call_soon(order.append, "callback")
        assert await bare_yield() is None
        assert order == ["callback"]

    run(main())


def test_a_task_that_awaits_itself_gets_runtime_error(run):
    async def work(box):
        with pytest.raises(RuntimeError, match="Task cannot await on itself"):
            await box[0]
        return "went on"

    async def main():
        box = []
        box.append(asyncio.create_task(work(box)))
        assert await box[0] == "went on"

    run(main())


def test_a_future_of_another_loop_gets_runtime_error(run, loop_factory):
    async def main():
        other = loop_factory()
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await other.create_future()
        other.close()

    run(main())


def test_a_deep_chain_of_coroutines_is_as_deep_as_python_allows(run):
    async def deep(levels):
        if levels:
            return await deep(levels - 1)
        await asyncio.sleep(0)
        return "bottom"

    async def main():
        assert await asyncio.create_task(deep(200)) == "bottom"

    run(main())


def test_recursion_without_end_is_a_recursion_error_of_the_task_alone(run):
    async def endless():
        await endless()

    async def main():
        with pytest.raises(RecursionError):
            await asyncio.create_task(endless())
        assert await asyncio.create_task(returns("well")) == "well"

    run(main())


def test_a_long_chain_of_tasks_awaiting_tasks_needs_no_stack(run):
    async def link(before):
        return await before

    async def main():
        task = asyncio.create_task(returns("through"))
        for _ in range(3000):
            task = asyncio.create_task(link(task))
        assert await task == "through"

    run(main())


def test_a_long_chain_of_tasks_is_cancelled_or_refuses_with_recursion_error(run):
    # Cancelling goes down the chain of waiters; a chain longer than the stack must not crash.
    async def link(before):
        return await before

    async def main():
        bottom = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(link(bottom))]
        for _ in range(150):
            tasks.append(asyncio.create_task(link(tasks[-1])))
        await asyncio.sleep(0)
        tasks[-1].cancel()
        await asyncio.wait(tasks)
        assert bottom.cancelled()
        assert all(task.cancelled() for task in tasks)

    run(main())


def test_a_traceback_through_tasks_shows_the_programs_frames_and_no_others(run):
    async def bad():
        raise ValueError("bad")

    async def middle():
        await asyncio.sleep(0)
        await bad()

    async def main():
        try:
            await asyncio.create_task(middle())
        except ValueError as error:
            assert names_in_traceback(error) == ["main", "middle", "bad"]
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("bad"))
        try:
            await future
        except ValueError as error:
            assert names_in_traceback(error) == ["main"]

    run(main())


def test_the_context_of_an_exception_through_tasks_is_the_programs(run):
    async def work():
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904

    async def main():
        with pytest.raises(ValueError) as caught:
            await asyncio.create_task(work())
        assert repr(caught.value.__context__) == "KeyError('first')"
        assert caught.value.__context__.__context__ is None

    run(main())


def test_the_exception_being_handled_is_not_seen_by_other_tasks(run):
    async def look():
        return sys.exc_info()[0], sys.exception() if hasattr(sys, "exception") else None

    async def main():
        try:
            raise ValueError
        except ValueError:
            assert await asyncio.create_task(look()) == (None, None)
            assert sys.exc_info()[0] is ValueError

    run(main())


def test_get_stack_shows_where_a_task_waits(run):
    async def inner(future):
        await future

    async def outer(future):
        await inner(future)

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(outer(future))
        await asyncio.sleep(0)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
        out = io.StringIO()
        task.print_stack(file=out)
        assert "Stack for <Task pending" in out.getvalue()
        assert "await inner(future)" in out.getvalue()
        future.set_result(None)
        await task
        assert task.get_stack() == []

    run(main())


def test_get_stack_of_a_failed_task_shows_its_traceback(run):
    async def bad():
        raise ValueError("bad")

    async def outer():
        await bad()

    async def main():
        task = asyncio.create_task(outer())
        await asyncio.wait([task])
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer", "bad"]
        assert len(task.get_stack(limit=1)) == 1
        out = io.StringIO()
        task.print_stack(limit=5, file=out)
        assert "Traceback for <Task finished" in out.getvalue()
        assert "ValueError: bad" in out.getvalue()
        task.exception()

    run(main())


def test_results_and_exceptions_of_a_task_are_its_own(loop):
    task = loop.create_task(returns())
    with pytest.raises(RuntimeError, match="does not support set_result"):
        task.set_result(1)
    with pytest.raises(RuntimeError, match="does not support set_exception"):
        task.set_exception(ValueError())
    loop.run_until_complete(task)


def test_tasks_may_be_subclassed_in_python(loop, task_class):
    class Mine(task_class):
        def __init__(self, coroutine, *, loop, note=None):
            super().__init__(coroutine, loop=loop, name="mine")
            self.note = note
            self.cancel_calls = 0

        def cancel(self, msg=None):
            self.cancel_calls += 1
            return super().cancel(msg)

    async def work():
        assert asyncio.current_task().note == "a note"
        await asyncio.sleep(60)

    async def main():
        task = Mine(work(), loop=loop, note="a note")
        assert task.get_name() == "mine"
        await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(task, 0.005)
        assert task.cancel_calls == 1
        assert task.cancelled()

    loop.run_until_complete(main())


def test_a_task_factory_makes_the_loops_tasks(loop, task_class):
    made = []

    def factory(loop, coroutine, **options):
        made.append(options)
        return task_class(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    context = contextvars.copy_context()

    async def main():
        task = asyncio.create_task(returns("value"), name="named", context=context)
        assert task.get_name() == "named"
        assert await task == "value"

    loop.run_until_complete(main())
    assert len(made) == 2
    assert made[1]["context"] is context
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    with pytest.raises(TypeError, match="callable"):
        loop.set_task_factory("not callable")


def test_a_task_factory_may_return_what_is_no_task(loop, future_class):
    class Named(future_class):
        def set_name(self, name):
            pass

    def factory(loop, coroutine, **options):
        coroutine.close()
        future = Named(loop=loop)
        loop.call_soon(future.set_result, "from the factory")
        return future

    loop.set_task_factory(factory)
    assert loop.run_until_complete(loop.create_task(returns())) == "from the factory"


@pytest.mark.skipif(
    not features.CREATE_TASK_KEYWORDS, reason="this version's create_task takes no other keywords"
)
def test_a_task_factory_gets_the_keywords_of_create_task(loop, task_class):
    seen = []

    def factory(loop, coroutine, **options):
        seen.append(options)
        return task_class(coroutine, loop=loop, name=options.get("name"))

    loop.set_task_factory(factory)
    loop.run_until_complete(loop.create_task(returns(), name="named", priority=3))
    assert seen[0]["name"] == "named"
    assert seen[0]["priority"] == 3


def test_tasks_take_weak_references_and_attributes(loop):
    task = loop.create_task(returns())
    reference = weakref.ref(task)
    task.note = "mine"
    assert reference().note == "mine"
    loop.run_until_complete(task)
    del task
    gc.collect()
    assert reference() is None


def test_a_done_task_lets_go_of_its_coroutine_frame(run):
    class Local:
        pass

    alive = []

    async def work():
        local = Local()
        alive.append(weakref.ref(local))
        await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(work())
        await task
        assert alive[0]() is None
        assert task.done()

    run(main())


def test_a_failed_tasks_exception_is_reported_when_nobody_looked(loop):
    contexts = record_errors(loop)
    task = loop.create_task(fails(ValueError("bad")))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert task.done()
    text = repr(task)
    del task
    gc.collect()
    (context,) = contexts
    assert context["message"] == "Task exception was never retrieved"
    assert str(context["exception"]) == "bad"
    assert repr(context["future"]) == text


def test_a_task_destroyed_while_pending_is_reported(loop_factory):
    loop = loop_factory()
    contexts = record_errors(loop)

    async def waits(future):
        await future

    task = loop.create_task(waits(loop.create_future()), name="lost")
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del task
    gc.collect()
    (context,) = contexts
    assert context["message"] == "Task was destroyed but it is pending!"
    assert context["task"].get_name() == "lost"


@pytest.mark.oxio_only("asyncio keeps weak references only: a task nobody holds may vanish half done")
def test_a_pending_task_is_kept_alive_by_its_loop(run):
    finished = []

    async def forgotten(box):
        future = asyncio.get_running_loop().create_future()
        box.append(weakref.ref(future))
        await future
        finished.append(True)

    async def main():
        box = []
        asyncio.create_task(forgotten(box))
        await turns(2)
        gc.collect()
        # Only the task holds the future and only the future holds the task: a cycle, but not rubbish.
        box[0]().set_result(None)
        await turns(3)
        assert finished == [True]

    run(main())


def test_a_task_that_is_done_is_not_kept_alive_by_its_loop(run):
    async def main():
        task = asyncio.create_task(returns())
        reference = weakref.ref(task)
        await task
        del task
        await turns(2)
        gc.collect()
        assert reference() is None

    run(main())


def test_keyboard_interrupt_in_a_task_is_kept_and_leaves_the_loop(loop):
    task = loop.create_task(fails(KeyboardInterrupt("Ctrl-C")))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert isinstance(task.exception(), KeyboardInterrupt)


def test_other_base_exceptions_are_a_tasks_result_like_any(run):
    class Odd(BaseException):
        pass

    async def main():
        with pytest.raises(Odd):
            await asyncio.create_task(fails(Odd()))
        with pytest.raises(GeneratorExit):
            await asyncio.create_task(fails(GeneratorExit()))

    run(main())


def test_ensure_future_makes_a_task_of_any_awaitable(run, task_class):
    class Awaitable:
        def __await__(self):
            yield
            return "awaited"

    async def main():
        task = asyncio.ensure_future(Awaitable())
        assert isinstance(task, task_class)
        assert await task == "awaited"
        with pytest.raises(TypeError):
            asyncio.ensure_future(42)

    run(main())


def test_an_awaitable_object_may_itself_return_a_futures_iterator(run):
    class Wrapper:
        def __init__(self, future):
            self.future = future

        def __await__(self):
            return self.future.__await__()

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "value")
        assert await Wrapper(future) == "value"

    run(main())


def test_a_task_stepped_by_another_task_within_its_step_is_no_problem(run):
    # A coroutine driven by hand inside a task: its futures are awaited by the outer task.
    async def inner(future):
        return await future

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        coroutine = inner(future)
        yielded = coroutine.send(None)
        assert yielded is future
        yielded._asyncio_future_blocking = False
        loop.call_soon(future.set_result, "value")
        await future
        with pytest.raises(StopIteration) as caught:
            coroutine.send(None)
        assert caught.value.value == "value"

    run(main())
