"""TaskGroup: who is cancelled when one fails, what comes out and in which order, and what is left of the parent.

Patch releases changed a good deal here, so most interleavings are compared with stock asyncio.
"""

import asyncio
import contextvars
import gc
import re
import weakref

import pytest

import features
from interleaving import count_turns, note, on_stock, outcome
from recording import turns

variable = contextvars.ContextVar("variable", default="default")


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def value(result, pause=0):
    await turns(pause)
    return result


async def fails(error, pause=0):
    await turns(pause)
    raise error


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def tree(error):
    """An exception group as nested tuples."""
    if isinstance(error, BaseExceptionGroup):
        return type(error).__name__, error.message, [tree(inner) for inner in error.exceptions]
    return type(error).__name__, *error.args


def test_the_block_ends_when_all_tasks_have(run, loop_module):
    async def main():
        log = []

        async def work(name, pause):
            await turns(pause)
            log.append(name)
            return name

        async with loop_module.TaskGroup() as group:
            assert type(group) is loop_module.TaskGroup
            tasks = [group.create_task(work(name, pause)) for name, pause in (("a", 3), ("b", 1), ("c", 0))]
            log.append("body ends")
        log.append("after")
        assert log == ["body ends", "c", "b", "a", "after"]
        assert [task.result() for task in tasks] == ["a", "b", "c"]

    run(main())


def test_an_empty_group_takes_no_turn(run, loop_module):
    async def main():
        log = []
        count_turns(log)
        async with loop_module.TaskGroup():
            pass
        assert log == []

    run(main())


def test_the_turns_of_a_group_are_asyncios(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 12)
        async with module.TaskGroup() as group:
            task = group.create_task(note(log, "a", turns(1)))
            group.create_task(note(log, "b", turns(0)))
            task.add_done_callback(lambda _: log.append("callback of a"))
        log.append("after")
        async with module.TaskGroup() as group:
            group.create_task(note(log, "c", turns(0)))
            await turns(3)
            log.append("body")
        log.append("after that")
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_tasks_can_be_added_by_tasks_while_the_group_waits(run, loop_module):
    async def main():
        log = []

        async def work(depth):
            log.append(depth)
            if depth:
                await asyncio.sleep(0)
                group.create_task(work(depth - 1))

        async with loop_module.TaskGroup() as group:
            group.create_task(work(3))
        assert log == [3, 2, 1, 0]

    run(main())


def test_create_task_takes_name_and_context(run, loop_module):
    async def main():
        context = contextvars.copy_context()
        context.run(variable.set, "given")

        async def look():
            return variable.get()

        variable.set("parent")
        async with loop_module.TaskGroup() as group:
            named = group.create_task(look(), name="name")
            given = group.create_task(look(), context=context)
            plain = group.create_task(look())
            number = group.create_task(look(), name=7)
        assert named.get_name() == "name"
        assert number.get_name() == "7"
        assert re.fullmatch(r"Task-\d+", plain.get_name())
        assert [named.result(), given.result()] == ["parent", "given"]

    run(main())


def test_create_task_uses_the_loops_task_factory(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        made = []

        def factory(loop, coroutine, **options):
            options = {name: option for name, option in options.items() if option is not None}
            made.append(asyncio.Task(coroutine, loop=loop, **options))
            return made[-1]

        loop.set_task_factory(factory)
        async with loop_module.TaskGroup() as group:
            task = group.create_task(value("made"))
        assert made == [task]
        assert task.result() == "made"

    run(main())


# Failures


def test_the_first_failure_cancels_the_others_and_the_body(run, loop_module):
    async def main():
        log = []
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                a = group.create_task(note(log, "a", for_ever()))
                b = group.create_task(fails(ValueError("b"), 1))
                c = group.create_task(note(log, "c", for_ever()))
                await note(log, "body", for_ever())
        assert tree(caught.value) == (
            "ExceptionGroup",
            "unhandled errors in a TaskGroup",
            [("ValueError", "b")],
        )
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        # The tasks are cancelled first, then the parent, in this order; a set holds the tasks.
        assert sorted(log) == ["a cancelled", "body cancelled", "c cancelled"]
        assert log[-1] == "body cancelled"
        assert [task.cancelled() for task in (a, b, c)] == [True, False, True]
        assert asyncio.current_task().cancelling() == 0
        await turns(2)

    run(main())


def test_errors_stand_in_the_order_in_which_they_came(run, loop_module):
    async def main():
        errors = [ValueError(number) for number in range(4)]
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                for number in (2, 0, 3, 1):
                    group.create_task(fails(errors[number]))
        assert list(caught.value.exceptions) == [errors[number] for number in (2, 0, 3, 1)]

        async def fails_when_cancelled(error):
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise error from None

        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                group.create_task(fails_when_cancelled(errors[1]))
                group.create_task(fails(errors[0], 1))
        assert list(caught.value.exceptions) == [errors[0], errors[1]]

    run(main())


def test_an_exception_of_the_body_cancels_the_tasks_and_stands_last(run, loop_module):
    async def main():
        async def fails_when_cancelled():
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise KeyError("task") from None

        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                task = group.create_task(for_ever())
                group.create_task(fails_when_cancelled())
                await asyncio.sleep(0)
                raise ValueError("body")
        assert tree(caught.value)[2] == [("KeyError", "task"), ("ValueError", "body")]
        assert task.cancelled()
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup():
                raise ValueError("alone")
        assert tree(caught.value)[2] == [("ValueError", "alone")]

    run(main())


def test_a_failure_of_a_task_that_never_began_is_only_a_cancellation(run, loop_module, recorded_warnings):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                task = group.create_task(fails(KeyError("never")))
                raise ValueError("body")
        assert tree(caught.value)[2] == [("ValueError", "body")]
        assert task.cancelled()

    run(main())
    gc.collect()
    # A task that is cancelled before its first step closes its coroutine, but `turns` inside was never made.
    assert recorded_warnings == []


def test_a_cancelled_task_is_no_failure(run, loop_module):
    async def main():
        async with loop_module.TaskGroup() as group:
            task = group.create_task(for_ever())
            other = group.create_task(value("other", 3))
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()
        assert other.result() == "other"

    run(main())


def test_a_task_that_swallows_its_cancellation_is_waited_for(run, loop_module):
    async def main():
        log = []

        async def stubborn():
            try:
                await for_ever()
            except asyncio.CancelledError:
                await turns(5)
                log.append("cleaned up")

        with pytest.raises(ExceptionGroup):
            async with loop_module.TaskGroup() as group:
                task = group.create_task(stubborn())
                group.create_task(fails(ValueError("x"), 1))
        assert log == ["cleaned up"]
        assert task.result() is None

    run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["task", "body", "cancelled task"])
def test_a_base_error_comes_out_bare(loop_factory, loop_module, error, where):
    cancelled = []

    async def fails_when_cancelled():
        try:
            await for_ever()
        except asyncio.CancelledError:
            cancelled.append("base")
            raise error from None

    async def main():
        async with loop_module.TaskGroup() as group:
            group.create_task(note(cancelled, "other", for_ever()))
            if where == "task":
                group.create_task(fails(error("stop"), 1))
            elif where == "cancelled task":
                group.create_task(fails_when_cancelled())
                group.create_task(fails(ValueError("first"), 1))
            else:
                await asyncio.sleep(0)
                raise error("stop")

    loop = loop_factory()
    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    if not task.done():
        # A base error goes through the loop, which is stopped then.
        with pytest.raises(error):
            loop.run_until_complete(task)
    assert "other cancelled" in cancelled
    assert type(task.exception()) is error


def test_other_base_exceptions_are_gathered(run, loop_module):
    class Odd(BaseException):
        pass

    async def main():
        with pytest.raises(BaseExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                group.create_task(fails(Odd("odd")))
                group.create_task(fails(ValueError("even")))
        assert tree(caught.value) == (
            "BaseExceptionGroup",
            "unhandled errors in a TaskGroup",
            [("Odd", "odd"), ("ValueError", "even")],
        )

    run(main())


# Cancellation from outside


def test_cancelling_the_parent_cancels_the_tasks_and_comes_through(run, loop_module):
    async def main():
        log = []

        async def parent(waits_in_body):
            async with loop_module.TaskGroup() as group:
                group.create_task(note(log, "a", for_ever()))
                group.create_task(note(log, "b", for_ever()))
                if waits_in_body:
                    await note(log, "body", for_ever())

        for waits_in_body in (True, False):
            log.clear()
            [task] = await start(parent(waits_in_body))
            await turns(2)
            task.cancel("why")
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.args == ("why",)
            assert {"a cancelled", "b cancelled"} <= set(log)
            assert task.cancelled()
            assert task.cancelling() == 1

    run(main())


def test_a_failure_during_a_cancellation_from_outside_wins(run, loop_module):
    async def main():
        async def fails_when_cancelled():
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise ValueError("cleaning up") from None

        async def parent():
            async with loop_module.TaskGroup() as group:
                group.create_task(fails_when_cancelled())

        [task] = await start(parent())
        await turns(2)
        task.cancel()
        with pytest.raises(ExceptionGroup) as caught:
            await task
        assert tree(caught.value)[2] == [("ValueError", "cleaning up")]
        assert task.cancelling() == 1

    run(main())


def test_the_parent_can_be_cancelled_several_times_while_it_waits(run, loop_module):
    async def main():
        log = []

        async def stubborn():
            try:
                await for_ever()
            finally:
                await turns(6)
                log.append("cleaned up")

        async def parent():
            async with loop_module.TaskGroup() as group:
                group.create_task(stubborn())

        [task] = await start(parent())
        await turns(2)
        for _ in range(3):
            task.cancel()
            await turns(1)
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cleaned up"]
        assert task.cancelling() == 3

    run(main())


def test_a_body_that_swallows_the_groups_cancellation_still_gets_the_errors(run, loop_module):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                group.create_task(fails(ValueError("task"), 1))
                try:
                    await for_ever()
                except asyncio.CancelledError:
                    pass
                await turns(2)
        assert tree(caught.value)[2] == [("ValueError", "task")]
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("body", ["waits", "ends", "fails", "swallows"])
@pytest.mark.parametrize("failing", [True, False])
def test_the_parent_cancelled_at_any_turn_fares_as_in_asyncio(run, loop_module, turn, body, failing):
    async def scenario(module):
        log = []
        count_turns(log, 15)

        async def parent():
            try:
                async with module.TaskGroup() as group:
                    group.create_task(note(log, "a", turns(3)))
                    if failing:
                        group.create_task(note(log, "b", fails(ValueError("b"), 2)))
                        group.create_task(fails(ValueError("c"), 2))
                    if body == "waits":
                        await for_ever() if failing else await turns(4)
                    elif body == "fails":
                        await turns(1)
                        raise KeyError("body")
                    elif body == "swallows":
                        try:
                            await turns(6)
                        except asyncio.CancelledError:
                            log.append("swallowed")
            finally:
                log.append(("cancelling", asyncio.current_task().cancelling()))
            await asyncio.sleep(0)
            return "went on"

        task = asyncio.create_task(parent())
        await turns(turn)
        task.cancel("why")
        await turns(10)
        if not task.done():
            log.append("still there")
            task.cancel()
        try:
            log.append(await task)
        except BaseException as error:
            log.append(tree(error))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_cancelling_count_after_a_failed_group_in_a_cancelled_parent_is_asyncios(run, loop_module):
    async def scenario(module):
        results = []

        async def parent():
            try:
                await for_ever()
            except asyncio.CancelledError:
                pass
            try:
                async with module.TaskGroup() as group:
                    group.create_task(fails(ValueError("x"), 1))
                    await turns(4)
            except BaseException as error:
                results.append(tree(error))
            results.append(asyncio.current_task().cancelling())
            results.append(await outcome(asyncio.sleep(0)))

        [task] = await start(parent())
        task.cancel()
        await outcome(task)
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


# Nesting


def test_nested_groups(run, loop_module):
    async def main():
        log = []
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as outer:
                outer.create_task(note(log, "outer task", for_ever()))
                async with loop_module.TaskGroup() as inner:
                    inner.create_task(note(log, "inner task", for_ever()))
                    inner.create_task(fails(ValueError("inner"), 1))
        message = "unhandled errors in a TaskGroup"
        assert tree(caught.value) == (
            "ExceptionGroup",
            message,
            [("ExceptionGroup", message, [("ValueError", "inner")])],
        )
        assert log == ["inner task cancelled", "outer task cancelled"]
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as outer:
                outer.create_task(fails(ValueError("outer"), 1))
                async with loop_module.TaskGroup() as inner:
                    inner.create_task(for_ever())
        assert tree(caught.value) == ("ExceptionGroup", message, [("ValueError", "outer")])

    run(main())


def test_nested_groups_of_both_modules_that_fail_in_the_same_turn_fare_as_in_asyncio(run, loop_module):
    async def scenario(module):
        results = []
        for outer_module, inner_module in ((asyncio, module), (module, asyncio), (module, module)):
            try:
                async with outer_module.TaskGroup() as outer:
                    outer.create_task(fails(ValueError("outer"), 2))
                    try:
                        async with inner_module.TaskGroup() as inner:
                            inner.create_task(fails(ValueError("inner"), 2))
                            await for_ever()
                    finally:
                        results.append(asyncio.current_task().cancelling())
            except BaseException as error:
                results.append(tree(error))
            results.append(asyncio.current_task().cancelling())
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_group_in_a_timeout_and_a_timeout_in_a_group(run, loop_module):
    async def main():
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0):
                async with loop_module.TaskGroup() as group:
                    task = group.create_task(for_ever())
        assert task.cancelled()
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup():
                async with loop_module.timeout(0):
                    await for_ever()
        assert tree(caught.value)[2] == [("TimeoutError",)]

    run(main())


# Misuse


def test_what_cannot_be_done_in_which_state(run, loop_module, recorded_warnings):
    async def main():
        group = loop_module.TaskGroup()
        with pytest.raises(RuntimeError, match="^TaskGroup <TaskGroup> has not been entered$"):
            refuse(group)
        async with group:
            with pytest.raises(
                RuntimeError, match="^TaskGroup <TaskGroup entered> has already been entered$"
            ):
                await group.__aenter__()
        with pytest.raises(RuntimeError, match="^TaskGroup <TaskGroup entered> is finished$"):
            refuse(group)
        with pytest.raises(RuntimeError, match="has already been entered$"):
            async with group:
                pass
        group = loop_module.TaskGroup()
        with pytest.raises(ExceptionGroup):
            async with group:
                group.create_task(fails(ValueError("x")))
                try:
                    await for_ever()
                finally:
                    with pytest.raises(
                        RuntimeError, match="^TaskGroup <TaskGroup .*cancelling> is shutting down$"
                    ):
                        refuse(group)

    refused = []

    def refuse(group):
        refused.append(value("refused"))
        group.create_task(refused[-1])

    run(main())
    closes = features.TASK_GROUP_CLOSES_WHAT_IT_REFUSES
    assert [coroutine.cr_frame is None for coroutine in refused] == [closes] * 3
    for coroutine in refused:
        coroutine.close()
    gc.collect()
    assert recorded_warnings == []


def test_a_group_needs_a_task(loop, loop_module):
    outcomes = []

    def without_a_task():
        group = loop_module.TaskGroup()
        try:
            group.__aenter__().send(None)
        except RuntimeError as error:
            outcomes.append(str(error))
        loop.stop()

    loop.call_soon(without_a_task)
    loop.run_forever()
    assert outcomes == ["TaskGroup <TaskGroup> cannot determine the parent task"]
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        loop_module.TaskGroup().__aenter__().send(None)


def test_create_task_refuses_what_is_no_coroutine(run, loop_module):
    async def main():
        for nonsense in (None, 1, asyncio.get_running_loop().create_future()):
            with pytest.raises(ExceptionGroup) as caught:
                async with loop_module.TaskGroup() as group:
                    group.create_task(nonsense)
            assert tree(caught.value)[2] == [("TypeError", f"a coroutine was expected, got {nonsense!r}")]

    run(main())


def test_repr_says_its_state(run, loop_module):
    async def main():
        group = loop_module.TaskGroup()
        assert repr(group) == "<TaskGroup>"
        seen = []
        with pytest.raises(ExceptionGroup):
            async with group:
                assert repr(group) == "<TaskGroup entered>"
                group.create_task(fails(ValueError("x"), 1))
                group.create_task(for_ever())
                assert repr(group) == "<TaskGroup tasks=2 entered>"
                try:
                    await for_ever()
                finally:
                    seen.append(repr(group))
        assert seen == ["<TaskGroup tasks=1 errors=1 cancelling>"] or seen == [
            "<TaskGroup errors=1 cancelling>"
        ]
        assert repr(group) == "<TaskGroup cancelling>"
        group = loop_module.TaskGroup()
        async with group:
            group.create_task(value(1))
        assert repr(group) == "<TaskGroup entered>"

    run(main())


def test_a_subclass_has_its_own_constructor_and_methods(run, loop_module):
    class Named(loop_module.TaskGroup):
        def __init__(self, name):
            super().__init__()
            self.log = [name]

        async def __aenter__(self):
            self.log.append("enter")
            return await super().__aenter__()

        async def __aexit__(self, *exception):
            self.log.append("exit")
            return await super().__aexit__(*exception)

        def create_task(self, coroutine, **options):
            self.log.append("create")
            return super().create_task(coroutine, **options)

    async def main():
        async with Named("name") as group:
            task = group.create_task(value("value"), name="task")
        assert group.log == ["name", "enter", "create", "exit"]
        assert task.result() == "value"
        assert isinstance(group, asyncio.TaskGroup)

    run(main())


# Eager tasks


@pytest.mark.skipif(not features.EAGER_TASKS, reason="this version has no eager tasks")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("factory", ["asyncio", "module"])
def test_eager_tasks_in_a_group_fare_as_in_asyncio(run, loop_module, factory):
    async def scenario(module):
        loop = asyncio.get_running_loop()
        loop.set_task_factory((asyncio if factory == "asyncio" else module).eager_task_factory)
        log = []
        count_turns(log, 12)
        async with module.TaskGroup() as group:
            tasks = [group.create_task(value(1)), group.create_task(value(2, 1))]
            log.append(repr(group))
            log.append([task.done() for task in tasks])
        log.append("after")
        for pause in (0, 1):
            try:
                async with module.TaskGroup() as group:
                    group.create_task(fails(ValueError("eager"), pause))
                    log.append("body goes on")
                    group.create_task(note(log, "second", turns(1)))
                    await turns(2)
                    log.append("end of the body")
            except BaseException as error:
                log.append(tree(error))
            log.append(asyncio.current_task().cancelling())
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


# What is left


def test_a_finished_group_holds_nothing(run, loop_module):
    class Thing:
        pass

    async def main():
        async def work(thing, error):
            await asyncio.sleep(0)
            if error:
                raise error

        thing = Thing()
        reference = weakref.ref(thing)
        async with loop_module.TaskGroup() as group:
            group.create_task(work(thing, None))
        del thing
        await turns(2)
        gc.collect()
        assert reference() is None

        class Error(Exception):
            pass

        error = Error()
        error_reference = weakref.ref(error)
        group = loop_module.TaskGroup()
        try:
            async with group:
                group.create_task(work(None, error))
        except ExceptionGroup:
            pass
        del error
        await turns(2)
        gc.collect()
        assert error_reference() is None
        assert not group._tasks

    run(main())


def test_errors_of_a_group_are_retrieved(run, loop_module):
    # Otherwise the loop would log "Task exception was never retrieved"; the fixture `asyncio_log` looks.
    async def main():
        with pytest.raises(ExceptionGroup):
            async with loop_module.TaskGroup() as group:
                for number in range(3):
                    group.create_task(fails(ValueError(number)))

    run(main())
    gc.collect()


def test_a_task_that_fails_after_the_parent_is_done_is_reported(run, loop_module, asyncio_log):
    # The parent leaves the group by force: its coroutine is closed while it waits.
    async def scenario(module):
        contexts = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: contexts.append(context["message"])
        )
        group = module.TaskGroup()

        async def parent():
            await group.__aenter__()

        await asyncio.create_task(parent())
        task = group.create_task(fails(ValueError("late"), 1))
        await asyncio.wait([task])
        await turns(2)
        return [re.sub(r"0x[0-9a-f]+|Task-\d+|at /.*?:\d+|line \d+", "…", message) for message in contexts]

    ours, stock = run(scenario(loop_module)), on_stock(scenario)
    assert [message.partition("<Task")[0] for message in ours] == [
        message.partition("<Task")[0] for message in stock
    ]
    assert len(ours) == 1
    assert "has errored out but its parent task" in ours[0]
