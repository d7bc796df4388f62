"""race: the first success, and losers that have ended when it returns."""

import asyncio
import contextvars
import functools
import gc
import weakref

import features
import pytest

from virtual_time import run_example, run_in_virtual_time

oxio = pytest.importorskip("oxio")

variable = contextvars.ContextVar("variable", default="default")


@pytest.fixture
def run(loop_module):
    return functools.partial(run_in_virtual_time, loop_module)


def now():
    loop = asyncio.get_running_loop()
    return loop.time() - loop.START


async def after(seconds, result=None, log=None):
    """Returns or raises `result` after so many seconds."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if log is not None:
            log.append((seconds, now()))
        raise
    if isinstance(result, BaseException):
        raise result
    return result


def test_the_first_to_succeed_wins_and_the_others_are_cancelled(run):
    async def main():
        log = []
        winner = await oxio.race(after(3, "c", log), after(1, "a", log), after(2, "b", log))
        assert sorted(log) == [(2, 1), (3, 1)]
        return winner, now()

    assert run(main()) == ("a", 1)


def test_one_that_fails_does_not_end_the_race(run):
    async def main():
        return await oxio.race(after(1, OSError()), after(2, "slow"), after(3, "slower")), now()

    assert run(main()) == ("slow", 2)


def test_none_is_a_success(run):
    async def main():
        return await oxio.race(after(1), after(2, "second"))

    assert run(main()) is None


def test_one_alone_is_awaited(run):
    async def main():
        return await oxio.race(after(1, "alone"))

    assert run(main()) == "alone"


def test_when_all_fail_their_errors_are_raised_in_the_order_of_the_arguments(run):
    errors = [OSError("1"), KeyError("2"), ValueError("3")]

    async def main():
        with pytest.raises(ExceptionGroup, match="all in the race failed") as caught:
            await oxio.race(*(after(3 - number, error) for number, error in enumerate(errors)))
        assert now() == 3
        return caught.value.exceptions

    assert run(main()) == tuple(errors)


def test_nobody_cannot_race(run):
    async def main():
        with pytest.raises(ValueError, match="at least one"):
            await oxio.race()

    run(main())


def test_of_several_ready_at_once_the_first_argument_wins(run):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(3)]
        for number in (2, 1):
            futures[number].set_result(number)
        assert await oxio.race(*futures) == 1
        assert futures[0].cancelled()
        return await oxio.race(after(0, "first"), after(0, "second"))

    assert run(main()) == "first"


def test_losers_are_waited_for(run):
    ended = []

    async def loser():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(5)
            ended.append(now())

    async def main():
        assert await oxio.race(after(1, "winner"), loser()) == "winner"
        assert ended == [6]

    run(main())


def test_a_loser_is_cancelled_once(run):
    cancelled = []

    async def loser():
        for _ in range(2):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled.append(now())

    async def main():
        await oxio.race(after(1), loser())
        assert now() == 11

    run(main())
    assert cancelled == [1]


def test_losers_that_succeed_or_fail_after_all_are_dropped_in_silence(run):
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "too late"

    async def main():
        return await oxio.race(after(1, "winner"), stubborn(), after(1, OSError()), after(0.5, OSError()))

    assert run(main()) == "winner"
    gc.collect()


def test_an_error_of_a_loser_that_was_cancelled_is_reported_to_the_log(run, asyncio_log):
    async def loser():
        try:
            await asyncio.sleep(10)
        finally:
            raise KeyError("cleaning up")

    async def main():
        return await oxio.race(after(1, "winner"), loser())

    assert run(main()) == "winner"
    gc.collect()
    (message,) = asyncio_log.take()
    assert "never retrieved" in message


def test_tasks_and_futures_that_lose_are_cancelled_too_unless_shielded(run):
    async def main():
        loop = asyncio.get_running_loop()
        task, future = asyncio.create_task(after(5)), loop.create_future()
        kept = asyncio.create_task(after(5, "kept"))
        await oxio.race(task, future, oxio.shield(kept), after(1))
        assert task.cancelled()
        assert future.cancelled()
        assert await kept == "kept"

    run(main())


def test_the_same_awaitable_twice_is_one(run):
    async def main():
        coroutine = after(1, "same")
        assert await oxio.race(coroutine, coroutine) == "same"
        task = asyncio.create_task(after(1, OSError()))
        with pytest.raises(ExceptionGroup) as caught:
            await oxio.race(task, task)
        assert len(caught.value.exceptions) == 1

    run(main())


def test_any_awaitable_may_race(run):
    class Custom:
        def __await__(self):
            yield from asyncio.sleep(1).__await__()
            return "custom"

    async def main():
        return await oxio.race(Custom(), after(2))

    assert run(main()) == "custom"


def test_an_argument_that_is_no_awaitable_ends_those_before_it(run):
    log = []

    async def main():
        started = asyncio.create_task(after(10, log=log))
        await asyncio.sleep(1)
        with pytest.raises(TypeError):
            await oxio.race(started, 5)
        assert log == [(10, 1)]

    run(main())


def test_one_that_somebody_else_cancels_is_out_of_the_race(run):
    async def main():
        task = asyncio.create_task(after(5))
        asyncio.get_running_loop().call_later(1, task.cancel)
        assert await oxio.race(task, after(2, "winner")) == "winner"

        task = asyncio.create_task(after(5))
        asyncio.get_running_loop().call_later(1, task.cancel)
        error = OSError()
        with pytest.raises(ExceptionGroup) as caught:
            await oxio.race(task, after(2, error))
        assert caught.value.exceptions == (error,)

        task = asyncio.create_task(after(5))
        asyncio.get_running_loop().call_later(1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await oxio.race(task)
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("when", [0, 0.5, 1, 2])
def test_cancelling_it_at_any_moment_cancels_all_and_waits_for_them(run, when, turns):
    opened = []

    async def entrant(name, seconds):
        opened.append(name)
        try:
            await asyncio.sleep(seconds)
            if name == "a":
                raise OSError
        finally:
            try:
                await asyncio.sleep(1)
            finally:
                opened.remove(name)

    async def main():
        task = asyncio.create_task(oxio.race(entrant("a", 1), entrant("b", 1), entrant("c", 10)))
        await asyncio.sleep(when)
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        assert opened == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert asyncio.get_running_loop().pending_timers() == []

    run(main())


def test_a_second_cancellation_reaches_the_losers_and_still_waits_for_them(run):
    log = []

    async def stubborn():
        for _ in range(2):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                log.append(now())
        await asyncio.sleep(1)
        log.append("ended")

    async def main():
        task = asyncio.create_task(oxio.race(stubborn(), stubborn()))
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert log == [1, 1, 2, 2, "ended", "ended"]


def test_cancellation_while_losers_are_waited_for_wins(run):
    async def loser():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(10)

    async def main():
        task = asyncio.create_task(oxio.race(after(1, "winner"), loser()))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == 5

    run(main())


def test_a_time_out_around_it_ends_all(run):
    log = []

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await oxio.race(after(5, log=log), after(6, log=log))
        assert sorted(log) == [(5, 2), (6, 2)]

    run(main())


def test_each_runs_in_a_copy_of_the_callers_context(run):
    async def entrant(seconds):
        seen = variable.get()
        variable.set(seconds)
        await asyncio.sleep(seconds)
        assert variable.get() == seconds
        return seen

    async def main():
        variable.set("caller")
        assert await oxio.race(entrant(2), entrant(1)) == "caller"
        assert variable.get() == "caller"

    run(main())


@pytest.mark.skipif(not features.EAGER_TASKS, reason="this asyncio has no eager tasks")
def test_eager_tasks_make_no_difference(run):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

        async def fails_at_once():
            raise OSError

        async def at_once():
            return "at once"

        assert await oxio.race(fails_at_once(), at_once(), after(1)) == "at once"
        assert await oxio.race(fails_at_once(), after(1, "later")) == "later"
        with pytest.raises(ExceptionGroup):
            await oxio.race(fails_at_once(), fails_at_once())

    run(main())


def test_a_thousand_that_fail_one_after_the_other(run):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await oxio.race(*(after(number, OSError(number)) for number in range(1000)))
        assert [error.args[0] for error in caught.value.exceptions] == list(range(1000))

    run(main())


def test_errors_are_freed_without_the_collector(run):
    class Error(Exception):
        pass

    freed = []

    async def fails():
        await asyncio.sleep(0)
        error = Error()
        weakref.finalize(error, freed.append, 1)
        try:
            raise error
        finally:
            del error

    async def main():
        try:
            await oxio.race(fails(), fails())
        except ExceptionGroup:
            pass
        await oxio.race(fails(), after(1))
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        run(main())
        assert len(freed) == 3
    finally:
        gc.enable()


def test_the_example_prints_what_it_says(loop_module, capsys):
    assert run_example(loop_module, oxio.race) == pytest.approx(0.1)
    assert capsys.readouterr().out == "near\n"
