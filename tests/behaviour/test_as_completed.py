"""as_completed(): awaitables in the order in which things end, with a limit of time, in both forms of iteration."""

import asyncio
import gc

import pytest

import features
from interleaving import count_turns, note, on_stock, outcome
from recording import turns

both_forms = pytest.mark.skipif(
    not features.ASYNC_AS_COMPLETED, reason="this as_completed is a plain generator"
)


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def value(result, pause=0):
    await turns(pause)
    return result


async def fails(error, pause=0):
    await turns(pause)
    raise error


def test_results_come_in_the_order_in_which_things_end(run, loop_module):
    async def main():
        results = [
            await one for one in loop_module.as_completed([value("c", 5), value("a", 1), value("b", 3)])
        ]
        assert results == ["a", "b", "c"]

    run(main())


def test_what_ends_in_the_same_turn_comes_in_the_order_of_its_end(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(5)]
        iterator = loop_module.as_completed(futures)
        first = next(iterator)
        for number in (3, 0, 4, 1, 2):
            futures[number].set_result(number)
        assert [await first, *[await one for one in iterator]] == [3, 0, 4, 1, 2]

    run(main())


def test_there_are_as_many_as_there_are_different_awaitables(run, loop_module):
    async def main():
        task = asyncio.create_task(value("task"))
        coroutine = value("coroutine")
        awaitables = [task, coroutine, task, coroutine]
        assert sorted([await one for one in loop_module.as_completed(awaitables)]) == ["coroutine", "task"]
        assert list(loop_module.as_completed([])) == []
        assert list(loop_module.as_completed(())) == []

    run(main())


def test_exceptions_and_cancellations_come_out_of_the_await(run, loop_module):
    async def main():
        cancelled = asyncio.get_running_loop().create_future()
        error = ValueError("x")
        iterator = iter(loop_module.as_completed([fails(error), cancelled, value("value", 5)]))
        with pytest.raises(ValueError) as caught:
            await next(iterator)
        assert caught.value is error
        cancelled.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await next(iterator)
        assert await next(iterator) == "value"
        with pytest.raises(StopIteration):
            next(iterator)

    run(main())


def test_what_it_yields_is_not_what_it_was_given(run, loop_module):
    async def main():
        task = asyncio.create_task(value("task"))
        [one] = loop_module.as_completed([task])
        assert one is not task
        assert asyncio.iscoroutine(one)
        assert not asyncio.isfuture(one)
        assert await one == "task"

    run(main())


def test_the_awaitables_can_be_awaited_in_any_order_and_at_once(run, loop_module):
    async def main():
        awaitables = [value(number, number * 2) for number in range(4)]
        waiting = list(loop_module.as_completed(awaitables))
        log = []
        tasks = [asyncio.create_task(note_result(log, name, waiting[name])) for name in (2, 0, 3, 1)]
        await asyncio.wait(tasks)
        # Who asked first gets what ended first.
        assert log == [(2, 0), (0, 1), (3, 2), (1, 3)]

    async def note_result(log, name, awaitable):
        log.append((name, await awaitable))

    run(main())


def test_the_turns_are_asyncios(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 20)
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        for awaitables in (
            [value(1)],
            [value(1), value(2, 2)],
            [done],
            [done, value(3, 1)],
            [asyncio.create_task(value(4))],
        ):
            for one in module.as_completed(awaitables):
                log.append(await one)
            log.append("end")
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_when_the_time_is_over_each_remaining_await_says_so(run, loop_module, timeout):
    async def main():
        pending = [asyncio.create_task(for_ever()) for _ in range(2)]
        quick = [value("quick")] if timeout > 0 else []
        iterator = iter(loop_module.as_completed([*quick, *pending], timeout=timeout))
        if quick:
            assert await next(iterator) == "quick"
        for _ in range(2):
            with pytest.raises(TimeoutError) as caught:
                await next(iterator)
            assert caught.value.args == ()
        with pytest.raises(StopIteration):
            next(iterator)
        assert not any(task.done() or task.cancelling() for task in pending), "it cancels nothing"
        for task in pending:
            task.cancel()

    run(main())


def test_in_time_nothing_happens(run, loop_module):
    async def main():
        results = [await one for one in loop_module.as_completed([value(1), value(2, 2)], timeout=3600)]
        assert results == [1, 2]
        results = [await one for one in loop_module.as_completed([value(1), value(2, 2)], timeout=None)]
        assert results == [1, 2]

    run(main())


def test_a_cancelled_await_leaves_the_result_to_the_next(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()
        first, second = loop_module.as_completed([future, asyncio.create_task(for_ever())])
        task = asyncio.create_task(first)
        await turns(2)
        task.cancel()
        await asyncio.wait([task])
        future.set_result("kept")
        assert await second == "kept"

    run(main())


def test_an_awaitable_nobody_awaits_is_no_trouble(run, loop_module, recorded_warnings):
    async def main():
        task = asyncio.create_task(value("task"))
        for one in loop_module.as_completed([task]):
            del one
        gc.collect()
        assert await task == "task"

    run(main())
    [warning] = recorded_warnings
    assert "_wait_for_one' was never awaited" in str(warning.message)


def test_what_cannot_be_iterated_is_refused_as_in_asyncio(run, loop_module):
    async def scenario(module):
        results = []
        future = asyncio.get_running_loop().create_future()
        coroutine = value(1)
        for nonsense in (future, coroutine, 5, None):
            try:
                list(module.as_completed(nonsense))
            except TypeError as error:
                results.append(str(error).replace(type(future).__name__, "Future"))
        coroutine.close()
        for nonsense in ([5], ["text"]):
            try:
                list(module.as_completed(nonsense))
            except TypeError as error:
                results.append(str(error))
        return results

    results = run(scenario(loop_module))
    assert len(results) == 6
    if features.ASYNC_AS_COMPLETED:
        assert results == on_stock(scenario)


def test_futures_of_every_kind(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        awaitables = [
            future,
            loop_module.gather(value("gather")),
            loop_module.shield(value("shield")),
            asyncio.tasks._CTask(value("task"), loop=loop),
            loop_module.sleep(0, "sleep"),
        ]
        loop.call_soon(future.set_result, "future")
        results = [await one for one in loop_module.as_completed(awaitables)]
        assert sorted(map(str, results)) == ["['gather']", "future", "shield", "sleep", "task"]

    run(main())


# async for


@both_forms
def test_async_for_yields_the_futures_it_was_given(run, loop_module):
    async def main():
        slow, quick = asyncio.create_task(value("slow", 4)), asyncio.create_task(value("quick", 1))
        ended = []
        async for task in loop_module.as_completed([slow, quick]):
            assert task.done()
            ended.append(task)
        assert ended == [quick, slow]
        assert [await task for task in ended] == ["quick", "slow"]
        results = []
        async for task in loop_module.as_completed([value("coroutine"), slow]):
            assert asyncio.isfuture(task)
            results.append(task.result())
        assert sorted(results) == ["coroutine", "slow"]

    run(main())


@both_forms
def test_async_for_yields_failed_and_cancelled_ones_without_raising(run, loop_module):
    async def main():
        cancelled = asyncio.create_task(for_ever())
        await asyncio.sleep(0)
        cancelled.cancel()
        failing = asyncio.create_task(fails(ValueError("x"), 3))
        ended = [task async for task in loop_module.as_completed([cancelled, failing])]
        assert ended == [cancelled, failing]
        assert cancelled.cancelled()
        assert type(failing.exception()) is ValueError
        assert [task async for task in loop_module.as_completed([])] == []

    run(main())


@both_forms
def test_async_for_raises_when_the_time_is_over(run, loop_module):
    async def main():
        quick, slow = asyncio.create_task(value("quick")), asyncio.create_task(for_ever())
        ended = []
        with pytest.raises(TimeoutError):
            async for task in loop_module.as_completed([slow, quick], timeout=0.001):
                ended.append(task)
        assert ended == [quick]
        assert not slow.done()
        slow.cancel()

    run(main())


@both_forms
def test_both_forms_can_be_mixed_and_the_turns_are_asyncios(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 15)
        # Tasks, because as_completed begins coroutines in the order of a set.
        iterator = module.as_completed([asyncio.create_task(value(number, number)) for number in range(5)])
        assert iter(iterator) is iterator
        assert aiter(iterator) is iterator
        log.append(await next(iterator))
        log.append((await anext(iterator)).result())
        async for task in iterator:
            log.append(task.result())
            if task.result() == 3:
                break
        log.append(await next(iterator))
        for end in (StopIteration, StopAsyncIteration):
            try:
                next(iterator) if end is StopIteration else await anext(iterator)
            except end:
                log.append(end)
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@both_forms
def test_a_cancelled_anext_leaves_the_future_to_the_next_as_in_asyncio(run, loop_module):
    async def scenario(module):
        log = []
        future = asyncio.get_running_loop().create_future()
        iterator = module.as_completed([future])
        task = asyncio.ensure_future(anext(iterator))
        await turns(2)
        task.cancel()
        log.append(str(await outcome(task)))
        future.set_result("kept")
        await turns(2)

        async def rest():
            return [one.result() async for one in iterator]

        log.append(await outcome(rest()))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_it_works_between_other_tasks(run, loop_module):
    async def main():
        log = []

        async def collect(name, awaitables):
            for one in loop_module.as_completed(awaitables):
                log.append((name, await one))

        await asyncio.gather(
            collect("x", [value(1, 2), value(2, 1)]),
            collect("y", [value(3), value(4, 3)]),
            note(log, "noted", turns(1)),
        )
        assert [entry for entry in log if entry[0] == "x"] == [("x", 2), ("x", 1)]
        assert [entry for entry in log if entry[0] == "y"] == [("y", 3), ("y", 4)]

    run(main())
