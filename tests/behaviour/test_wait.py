"""wait(): when it returns, what it returns, and that it cancels nothing."""

import asyncio
import concurrent.futures
import gc
import weakref

import pytest

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


def test_all_completed_is_the_default(run, loop_module):
    async def main():
        tasks = [asyncio.create_task(value(number, number)) for number in range(4)]
        failing = asyncio.create_task(fails(ValueError("x")))
        done, pending = await loop_module.wait([*tasks, failing])
        assert done == {*tasks, failing}
        assert pending == set()
        assert type(done) is set
        assert type(pending) is set
        assert type(failing.exception()) is ValueError

    run(main())


def test_first_completed(run, loop_module):
    async def main():
        slow, quick = await start(for_ever(), value("quick", 2))
        for _ in range(2):
            done, pending = await loop_module.wait({slow, quick}, return_when=loop_module.FIRST_COMPLETED)
            assert done == {quick}
            assert pending == {slow}
        slow.cancel()
        done, pending = await loop_module.wait([slow], return_when=loop_module.FIRST_COMPLETED)
        assert done == {slow}

    run(main())


def test_first_exception(run, loop_module):
    async def main():
        slow, quick, failing = await start(for_ever(), value("quick"), fails(ValueError("x"), 3))
        done, pending = await loop_module.wait(
            [slow, quick, failing], return_when=loop_module.FIRST_EXCEPTION
        )
        assert done == {quick, failing}
        assert pending == {slow}
        assert type(failing.exception()) is ValueError
        # A cancellation is no exception.
        other = asyncio.create_task(value("other", 3))
        slow.cancel()
        done, pending = await loop_module.wait([slow, other], return_when=loop_module.FIRST_EXCEPTION)
        assert done == {slow, other}

    run(main())


def test_the_names_are_those_of_concurrent_futures(loop_module):
    for name in ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"):
        assert getattr(loop_module, name) == getattr(concurrent.futures, name) == name


def test_what_is_done_already_still_takes_asyncios_turns(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 20)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        done.set_result(1)
        pending = loop.create_future()
        for return_when in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
            await module.wait([done], return_when=return_when)
            log.append(return_when)
        await module.wait([done, pending], return_when="FIRST_COMPLETED")
        log.append("mixed")
        task = asyncio.create_task(value(1, 1))
        await module.wait([task, done])
        log.append("task")
        await module.wait([pending], timeout=0)
        log.append("no time")
        failed = loop.create_future()
        failed.set_exception(ValueError("x"))
        await module.wait([pending, failed], return_when="FIRST_EXCEPTION")
        log.append("failed")
        failed.exception()
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_when_the_time_is_over_it_returns_and_cancels_nothing(run, loop_module, timeout):
    async def main():
        slow, quick = await start(for_ever(), value("quick"))
        done, pending = await loop_module.wait([slow, quick], timeout=timeout)
        assert done == {quick}
        assert pending == {slow}
        assert not slow.cancelled()
        assert slow.cancelling() == 0
        slow.cancel()

    run(main())


def test_in_time_the_timer_is_forgotten(run, loop_module):
    async def main():
        class Result:
            pass

        task = asyncio.create_task(value(Result()))
        reference = weakref.ref(task)
        done, _ = await loop_module.wait([task], timeout=3600)
        assert done == {task}
        del task, done, _
        await turns(2)
        gc.collect()
        assert reference() is None

    run(main())


def test_nothing_to_wait_for_is_an_error(run, loop_module):
    async def main():
        for nothing in ([], (), set(), {}, frozenset()):
            with pytest.raises(ValueError, match=r"^Set of Tasks/Futures is empty\.$"):
                await loop_module.wait(nothing)

    run(main())


def test_coroutines_are_forbidden(run, loop_module):
    async def main():
        coroutine = value(1)
        with pytest.raises(TypeError, match=r"^Passing coroutines is forbidden, use tasks explicitly\.$"):
            await loop_module.wait([coroutine])
        task = asyncio.create_task(value(2))
        with pytest.raises(TypeError, match=r"^Passing coroutines is forbidden, use tasks explicitly\.$"):
            await loop_module.wait([task, coroutine])
        with pytest.raises(TypeError, match="^expect a list of futures, not coroutine$"):
            await loop_module.wait(coroutine)
        coroutine.close()
        sleeping = loop_module.sleep(0)
        with pytest.raises(TypeError, match=r"^Passing coroutines is forbidden, use tasks explicitly\.$"):
            await loop_module.wait([sleeping])
        sleeping.close()
        with pytest.raises(TypeError, match=rf"^expect a list of futures, not {type(task).__name__}$"):
            await loop_module.wait(task)
        assert await task == 2
        for nonsense in (5, object()):
            with pytest.raises(TypeError):
                await loop_module.wait(nonsense)
        with pytest.raises(AttributeError):
            await loop_module.wait([5])

    run(main())


def test_an_unknown_return_when_is_an_error(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()
        for nonsense in ("NEVER", None, 1):
            with pytest.raises(ValueError, match=f"^Invalid return_when value: {nonsense}$"):
                await loop_module.wait([future], return_when=nonsense)
        with pytest.raises(TypeError):
            await loop_module.wait([future], 1)

    run(main())


def test_any_iterable_and_duplicates(run, loop_module):
    async def main():
        tasks = [asyncio.create_task(value(number)) for number in range(3)]
        done, _ = await loop_module.wait(iter([*tasks, *tasks]))
        assert done == set(tasks)
        done, _ = await loop_module.wait(dict.fromkeys(tasks))
        assert done == set(tasks)

    run(main())


def test_futures_of_every_kind(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        waiting = [
            future,
            loop_module.shield(future),
            loop_module.gather(future, value(1)),
            asyncio.gather(future),
            asyncio.tasks._CTask(value(2), loop=loop),
            asyncio.tasks._PyTask(value(3), loop=loop),
            asyncio.futures._PyFuture(loop=loop),
            loop.run_in_executor(None, int),
        ]
        waiting[6].set_result(4)
        loop.call_soon(future.set_result, "value")
        done, pending = await loop_module.wait(waiting)
        assert done == set(waiting)

    run(main())


def test_a_cancelled_wait_cancels_nothing(run, loop_module):
    async def main():
        inner = asyncio.create_task(for_ever())
        [task] = await start(loop_module.wait([inner], timeout=3600))
        await turns(1)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert not inner.done()
        assert inner.cancelling() == 0
        assert not inner._callbacks, "it has taken its callback back"
        inner.cancel()

    run(main())


def test_its_callbacks_are_taken_back(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()
        other = asyncio.create_task(value(1))
        await loop_module.wait([future, other], return_when=loop_module.FIRST_COMPLETED)
        assert future.remove_done_callback(print) == 0
        assert not future._callbacks
        await loop_module.wait([future], timeout=0)
        assert not future._callbacks

    run(main())


def test_several_waits_for_the_same_future_wake_in_order(run, loop_module):
    async def main():
        log = []
        future = asyncio.get_running_loop().create_future()
        tasks = await start(*(note(log, name, loop_module.wait([future])) for name in "abc"))
        future.set_result(1)
        await asyncio.wait(tasks)
        assert log == ["a", "b", "c"]

    run(main())


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("return_when", ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"])
def test_a_cancel_at_any_turn_is_as_in_asyncio(run, loop_module, turn, return_when):
    async def scenario(module):
        log = []
        count_turns(log, 10)
        a = asyncio.create_task(value("a", 1))
        b = asyncio.create_task(fails(ValueError("b"), 2))
        c = asyncio.create_task(value("c", 3))

        async def waits():
            done, pending = await module.wait([a, b, c], return_when=return_when)
            log.append(["abc"[[a, b, c].index(task)] for task in (a, b, c) if task in done])
            return len(done), len(pending)

        task = asyncio.create_task(waits())
        task.add_done_callback(lambda _: log.append("done"))
        await turns(turn)
        log.append(task.cancel("why"))
        await turns(6)
        log.append(await outcome(task))
        log.append([inner.done() for inner in (a, b, c)])
        b.exception()
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_wait_needs_a_running_loop(loop, loop_module):
    future = loop.create_future()
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        loop_module.wait([future]).send(None)
    with pytest.raises(ValueError, match="empty"):
        loop_module.wait([]).send(None)


def test_many_futures(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(1000)]
        for number, future in enumerate(futures):
            loop.call_soon(future.set_result, number)
        done, pending = await loop_module.wait(futures)
        assert len(done) == 1000
        assert not pending

    run(main())
