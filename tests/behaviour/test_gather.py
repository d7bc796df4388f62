"""gather(): order of results, the first exception, cancellation in both directions, what the outer future is."""

import asyncio
import gc
import re
import weakref

import pytest

import features
from interleaving import count_turns, note, on_stock, outcome
from recording import turns


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


def test_results_stand_in_the_order_of_the_arguments(run, loop_module):
    async def main():
        result = await loop_module.gather(value("a", 3), value("b"), value("c", 1))
        assert result == ["a", "b", "c"]
        assert type(result) is list
        assert await loop_module.gather(value("alone")) == ["alone"]

    run(main())


def test_nothing_to_gather_is_a_done_future(run, loop_module):
    async def main():
        log = []
        count_turns(log)
        future = loop_module.gather()
        assert future.done()
        assert future.result() == []
        assert future.get_loop() is asyncio.get_running_loop()
        assert await future == []
        assert await loop_module.gather(*[]) == []
        assert await loop_module.gather(return_exceptions=True) == []
        assert log == []
        future.result().append(1)
        assert loop_module.gather().result() == []

    run(main())


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_coroutines_begin_in_their_order_in_the_next_turn(run, loop_module, count):
    async def main():
        log = []

        async def work(number):
            log.append(number)

        future = loop_module.gather(*(work(number) for number in range(count)))
        assert log == []
        await asyncio.sleep(0)
        assert log == list(range(count))
        await future

    run(main())


def test_the_turns_of_gather_are_asyncios(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 30)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        done.set_result("done")
        for arguments in [
            (value(1),),
            (value(1), value(2, 2)),
            (done,),
            (done, done),
            (done, value(3)),
            (asyncio.create_task(value(4)), value(5)),
        ]:
            future = module.gather(*arguments)
            future.add_done_callback(lambda _: log.append("callback"))
            log.append(await future)
        log.append(await outcome(module.gather(value(1, 2), fails(ValueError("x"), 1), value(2, 3))))
        log.append(await module.gather(value(1, 2), fails(ValueError("y"), 1), return_exceptions=True))
        return [entry if type(entry) is not list else [str(one) for one in entry] for entry in log]

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_futures_tasks_and_any_awaitable_can_be_gathered(run, loop_module):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaitable"

    async def main():
        loop = asyncio.get_running_loop()
        future, task = loop.create_future(), asyncio.create_task(value("task"))
        loop.call_soon(future.set_result, "future")
        assert await loop_module.gather(value("coroutine"), task, future, Awaitable()) == [
            *("coroutine", "task", "future", "awaitable")
        ]
        assert await loop_module.gather(
            future,
            asyncio.Task(value("asyncio's"), loop=loop),
            asyncio.gather(value(1), value(2)),
            loop_module.gather(value(3)),
            loop_module.shield(value("shielded")),
        ) == ["future", "asyncio's", [1, 2], [3], "shielded"]

    run(main())


def test_what_cannot_be_awaited_is_refused(run, loop_module):
    async def main():
        for nonsense in (1, None, "text", [1]):
            with pytest.raises(TypeError):
                await loop_module.gather(nonsense)
        with pytest.raises(TypeError, match="An asyncio.Future, a coroutine or an awaitable is required"):
            loop_module.gather(1)

    run(main())


def test_the_same_awaitable_twice_runs_once_and_counts_twice(run, loop_module):
    async def main():
        ran = []

        async def work():
            ran.append(True)
            return "once"

        coroutine = work()
        task = asyncio.create_task(work())
        result = await loop_module.gather(coroutine, task, coroutine, task, value("other"), coroutine)
        assert result == ["once", "once", "once", "once", "other", "once"]
        assert len(ran) == 2
        task = asyncio.create_task(fails(ValueError("twice")))
        result = await loop_module.gather(task, task, return_exceptions=True)
        assert result[0] is result[1] is task.exception()

    run(main())


# Exceptions


def test_the_first_exception_comes_out_at_once_and_the_others_go_on(run, loop_module):
    async def main():
        log = []
        error = ValueError("first")
        with pytest.raises(ValueError) as caught:
            await loop_module.gather(
                note(log, "slow", turns(5)), fails(error, 1), fails(KeyError("second"), 3), value("value")
            )
        assert caught.value is error
        assert log == []
        await turns(6)
        assert log == ["slow"], "and the second exception is not reported"

    run(main())
    gc.collect()


def test_exceptions_as_results(run, loop_module):
    async def main():
        error = ValueError("x")
        result = await loop_module.gather(value(1), fails(error), value(2, 3), return_exceptions=True)
        assert result == [1, error, 2]
        # A new CancelledError stands for a cancelled child, with the message that the future itself was given.
        # A task gives its message to the coroutine.
        [task], future = await start(for_ever()), asyncio.get_running_loop().create_future()
        silent = asyncio.get_running_loop().create_future()
        gathered = loop_module.gather(task, future, silent, value(1), return_exceptions=True)
        task.cancel("why")
        future.cancel("why")
        silent.cancel()
        *cancelled, last = await gathered
        assert [type(error) for error in cancelled] == [asyncio.CancelledError] * 3
        assert [error.args for error in cancelled] == [("",), ("why",), ("",)]
        assert last == 1

    run(main())


def test_an_exception_that_nobody_asks_for_is_reported_once(run, loop_module, asyncio_log):
    async def main():
        future = loop_module.gather(fails(ValueError("first")), fails(KeyError("second")), value(1, 1))
        await turns(5)
        assert future.done()
        del future
        gc.collect()

    run(main())
    gc.collect()
    [message] = asyncio_log.take()
    assert message.startswith("_GatheringFuture exception was never retrieved")
    assert "ValueError: first" in message


def test_exceptions_gathered_as_results_are_not_reported(run, loop_module):
    async def main():
        future = loop_module.gather(
            fails(ValueError("first")), fails(KeyError("second")), return_exceptions=True
        )
        await turns(5)
        assert future.done()

    run(main())
    gc.collect()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_base_error_of_a_child_goes_through_the_loop(loop_factory, loop_module, error):
    loop = loop_factory()
    gathered = []

    async def main():
        gathered.append(loop_module.gather(fails(error("stop")), value(1)))
        await for_ever()

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert type(gathered[0].exception()) is error


# Cancellation


def test_cancelling_the_outer_future_cancels_the_children(run, loop_module):
    async def main():
        log = []
        children = await start(note(log, "a", for_ever()), note(log, "b", for_ever()))
        future = loop_module.gather(*children)
        assert future.cancel("why") is True
        assert not future.done(), "the children come first"
        assert not future.cancelled()
        with pytest.raises(asyncio.CancelledError) as caught:
            await future
        assert caught.value.args == ("why",)
        assert log == ["a cancelled", "b cancelled"]
        assert all(child.cancelled() for child in children)
        assert future.cancelled() is False, "it has a CancelledError as its exception"
        assert type(future.exception()) is asyncio.CancelledError
        assert future.cancel() is False

    run(main())


def test_cancelling_who_awaits_it_cancels_the_children(run, loop_module):
    async def main():
        log = []

        async def parent():
            await loop_module.gather(note(log, "a", for_ever()), note(log, "b", for_ever()))

        [task] = await start(parent())
        await turns(2)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("why",)
        assert log == ["a cancelled", "b cancelled"]
        assert task.cancelled()

    run(main())


def test_cancelling_the_outer_future_counts_even_with_exceptions_as_results(run, loop_module):
    async def main():
        future = loop_module.gather(for_ever(), for_ever(), return_exceptions=True)
        await turns(1)
        future.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await future

        async def stubborn():
            try:
                await for_ever()
            except asyncio.CancelledError:
                return "all the same"

        future = loop_module.gather(stubborn(), return_exceptions=True)
        await turns(1)
        assert future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    run(main())


def test_cancelling_children_that_swallow_it(run, loop_module):
    async def scenario(module):
        async def stubborn(result, pause):
            try:
                await for_ever()
            except asyncio.CancelledError:
                await turns(pause)
                return result

        results = []
        for return_exceptions in (True, False):
            future = module.gather(stubborn("a", 1), stubborn("b", 2), return_exceptions=return_exceptions)
            await turns(1)
            results.append(future.cancel("why"))
            results.append(await outcome(future))
            results.append(future.cancelled())
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_cancelled_child_does_not_cancel_the_others(run, loop_module):
    async def main():
        a, b = await start(for_ever(), value("b", 5))
        future = loop_module.gather(a, b)
        a.cancel("why")
        with pytest.raises(asyncio.CancelledError) as caught:
            await future
        assert caught.value.args == ("why",)
        assert not b.done()
        assert future.done()
        assert asyncio.current_task().cancelling() == 0
        assert await b == "b"

    run(main())


def test_cancel_of_a_done_gather_does_not_touch_what_still_runs(run, loop_module):
    async def main():
        slow = asyncio.create_task(value("slow", 6))
        future = loop_module.gather(slow, fails(ValueError("x")))
        with pytest.raises(ValueError, match="x"):
            await future
        assert future.cancel() is False
        assert await slow == "slow"

    run(main())


def test_cancel_when_all_children_are_done_but_the_outer_future_is_not(run, loop_module):
    async def scenario(module):
        loop = asyncio.get_running_loop()
        log = []
        for return_exceptions in (False, True):
            a, b = loop.create_future(), loop.create_future()
            future = module.gather(a, b, return_exceptions=return_exceptions)
            a.set_result("a")
            b.set_result("b")
            log.append((future.done(), future.cancel("too late"), future.cancel()))
            log.append(await outcome(future))

            async def parent(future):
                return await future

            a, b = loop.create_future(), loop.create_future()
            [task] = await start(parent(module.gather(a, b, return_exceptions=return_exceptions)))
            a.set_result("a")
            b.set_result("b")
            log.append(task.cancel("in between"))
            log.append(await outcome(task))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("victim", ["outer", "a", "b", "parent"])
@pytest.mark.parametrize("return_exceptions", [False, True])
def test_a_cancel_at_any_turn_is_as_in_asyncio(run, loop_module, turn, victim, return_exceptions):
    async def scenario(module):
        log = []
        count_turns(log, 12)
        a = asyncio.create_task(note(log, "a", turns(1)))
        b = asyncio.create_task(note(log, "b", fails(ValueError("b"), 2)))
        outer = module.gather(a, b, note(log, "c", turns(3)), return_exceptions=return_exceptions)
        outer.add_done_callback(lambda _: log.append("outer done"))
        parent = asyncio.create_task(note(log, "parent", outer))
        await turns(turn)
        log.append({"outer": outer, "a": a, "b": b, "parent": parent}[victim].cancel("why"))
        await turns(8)
        for future in (parent, outer):
            how = await outcome(future)
            log.append(str(how))
        log.append((outer.cancelled(), parent.cancelled(), parent.cancelling()))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


# The outer future


def test_the_outer_future_is_a_future_with_its_own_repr(run, loop_module):
    async def main():
        future = loop_module.gather(value(1), value(2))
        assert isinstance(future, asyncio.Future)
        assert asyncio.isfuture(future)
        assert future.get_loop() is asyncio.get_running_loop()
        assert type(future).__name__ == "_GatheringFuture"
        assert re.fullmatch(r"<_GatheringFuture pending>", repr(future))
        await future
        assert repr(future) == "<_GatheringFuture finished result=[1, 2]>"
        assert not asyncio.iscoroutine(future)
        future = loop_module.gather(fails(ValueError("x")))
        await asyncio.wait([future])
        assert repr(future) == "<_GatheringFuture finished exception=ValueError('x')>"
        assert type(future.exception()) is ValueError

    run(main())


def test_the_outer_future_can_be_awaited_often_and_given_callbacks(run, loop_module):
    async def main():
        future = loop_module.gather(value(1, 2), value(2))
        log = []
        future.add_done_callback(lambda done: log.append(done is future))
        results = await asyncio.gather(future, loop_module.shield(future), note(log, "noted", future))
        assert results[:2] == [[1, 2], [1, 2]]
        assert await future == [1, 2]
        assert log == [True, "noted"]
        done, _ = await loop_module.wait([future])
        assert done == {future}

    run(main())


def test_its_children_can_be_read(run, loop_module):
    # Debuggers and call graphs read `_children`.
    async def main():
        task = asyncio.create_task(value(1))
        future = loop_module.gather(task, value(2), task)
        children = future._children
        assert len(children) == 3
        assert children[0] is children[2] is task
        assert isinstance(children[1], asyncio.Task)
        await future

    run(main())


def test_setting_the_outer_future_by_hand_is_respected(run, loop_module):
    async def main():
        log = []
        future = loop_module.gather(note(log, "a", turns(2)), note(log, "b", turns(1)))
        future.set_result("by hand")
        assert await future == "by hand"
        await turns(4)
        assert log == ["b", "a"]
        assert future.result() == "by hand"
        future = loop_module.gather(fails(ValueError("x")), value(1))
        future.set_exception(KeyError("by hand"))
        with pytest.raises(KeyError, match="by hand"):
            await future
        await turns(2)

    run(main())
    gc.collect()


def test_without_a_running_loop_gather_takes_the_loop_of_its_futures(loop, loop_module):
    a, b = loop.create_future(), loop.create_future()
    gathered = loop_module.gather(a, b)
    assert gathered.get_loop() is loop
    loop.call_soon(a.set_result, 1)
    loop.call_soon(b.set_result, 2)
    assert loop.run_until_complete(gathered) == [1, 2]


def test_futures_of_different_loops_are_refused(loop_factory, loop_module):
    first, second = loop_factory(), loop_factory()
    with pytest.raises(
        ValueError, match="^The future belongs to a different loop than the one specified as the loop"
    ):
        loop_module.gather(first.create_future(), second.create_future())


def test_a_coroutine_without_a_loop_is_closed_or_left_to_the_caller_as_in_asyncio(
    loop_module, recorded_warnings
):
    asyncio.set_event_loop(None)  # A policy that was never asked would make one.
    coroutine = value(1)
    with pytest.raises(RuntimeError, match="no (running|current) event loop"):
        loop_module.gather(coroutine)
    coroutine.close()


def test_a_task_factory_is_asked(run, loop_module):
    async def main():
        made = []

        def factory(loop, coroutine, **options):
            made.append(asyncio.Task(coroutine, loop=loop))
            return made[-1]

        asyncio.get_running_loop().set_task_factory(factory)
        assert await loop_module.gather(value(1), value(2)) == [1, 2]
        assert len(made) == 2

    run(main())


def test_children_that_are_subclasses_of_future_are_asked_by_their_methods(run, loop_module, future_class):
    class Counted(future_class):
        asked = 0

        def result(self):
            self.asked += 1
            return super().result()

    async def main():
        child = Counted(loop=asyncio.get_running_loop())
        future = loop_module.gather(child, value(2))
        child.set_result(1)
        assert await future == [1, 2]
        assert child.asked == 1

    run(main())


def test_children_pending_at_the_end_are_not_reported(run, loop_module):
    # The coroutines belong to gather, so nobody else could have waited for them.
    async def main():
        with pytest.raises(ValueError, match="x"):
            await loop_module.gather(for_ever(), fails(ValueError("x")))

    run(main())
    gc.collect()


def test_a_finished_gather_holds_its_results_and_nothing_of_the_loop(run, loop_module):
    class Thing:
        pass

    async def main():
        thing = Thing()
        reference = weakref.ref(thing)
        future = loop_module.gather(value(thing), value(1))
        await future
        del thing
        gc.collect()
        assert reference() is not None
        del future
        await turns(1)
        gc.collect()
        assert reference() is None

    run(main())


@pytest.mark.skipif(not features.EAGER_TASKS, reason="this version has no eager tasks")
def test_eager_children_fare_as_in_asyncio(run, loop_module):
    async def scenario(module):
        asyncio.get_running_loop().set_task_factory(module.eager_task_factory)
        log = []
        count_turns(log, 10)
        for arguments in [
            (value(1), value(2)),
            (value(1), value(2, 2)),
            (value(1), fails(ValueError("x")), value(3, 1)),
        ]:
            for return_exceptions in (False, True):
                if return_exceptions and arguments[0].cr_frame is None:
                    continue
                future = module.gather(*arguments, return_exceptions=return_exceptions)
                log.append(future.done())
                log.append(await outcome(future))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_many_children_that_finish_in_any_order(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(500)]
        gathered = loop_module.gather(*futures)
        for number in [*range(1, 500, 2), *range(498, -1, -2)]:
            futures[number].set_result(number)
        assert await gathered == list(range(500))

    run(main())


@pytest.mark.skipif(not features.EAGER_TASKS, reason="this version waits for a callback of each child")
def test_futures_that_are_all_done_make_a_done_gather(run, loop_module):
    async def main():
        done = asyncio.get_running_loop().create_future()
        done.set_result(1)
        assert loop_module.gather(done, done).result() == [1, 1]
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(ValueError("x"))
        assert type(loop_module.gather(done, failed).exception()) is ValueError

    run(main())
