"""timeout(), timeout_at() and wait_for(): what expires when, and whose cancellation it was.

Deadlines that must pass are in the past or a millisecond ahead; those that must not are a minute ahead.
"""

import asyncio
import contextlib
import gc
import re
import weakref

import pytest

import features
from interleaving import count_turns, on_stock, outcome
from recording import turns


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def test_what_is_done_in_time_is_not_disturbed(run, loop_module):
    async def main():
        log = []
        count_turns(log)
        async with loop_module.timeout(60) as timeout:
            assert type(timeout) is loop_module.Timeout
        assert log == []
        async with loop_module.timeout(60) as timeout:
            await turns(2)
            assert not timeout.expired()
        assert not timeout.expired()
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("delay", [0.001, 0, -1, -1e9])
def test_what_takes_too_long_is_cancelled_and_the_block_raises_timeout_error(run, loop_module, delay):
    async def main():
        seen = []
        with pytest.raises(TimeoutError) as caught:
            async with loop_module.timeout(delay) as timeout:
                try:
                    await for_ever()
                except asyncio.CancelledError as error:
                    seen.append(error)
                    raise
        assert timeout.expired()
        assert type(caught.value) is TimeoutError
        assert caught.value.args == ()
        assert caught.value.__cause__ is seen[0]
        assert caught.value.__suppress_context__
        assert seen[0].args == ()
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)

    run(main())


def test_a_deadline_in_the_past_lets_the_block_run_to_its_first_wait(run, loop_module):
    async def main():
        log = []
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0):
                count_turns(log, 2)
                log.append("began")
                await turns(3)
                log.append("never")
        # The timeout was scheduled first, at the same turn; its cancellation comes with the next step.
        assert log == ["began", 1]
        async with loop_module.timeout(-1):
            log.append("no wait, no expiry")
        await turns(2)
        assert log[2] == "no wait, no expiry"

    run(main())


def test_none_is_no_limit(run, loop_module):
    async def main():
        async with loop_module.timeout(None) as timeout:
            assert timeout.when() is None
            await turns(2)
        async with loop_module.timeout_at(None) as timeout:
            assert timeout.when() is None
        assert not timeout.expired()

    run(main())


def test_when_is_the_loops_time(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time()
        async with loop_module.timeout(60) as timeout:
            assert before + 60 <= timeout.when() <= loop.time() + 60
        deadline = loop.time() + 50
        async with loop_module.timeout_at(deadline) as timeout:
            assert timeout.when() == deadline
        assert timeout.when() == deadline, "also afterwards"
        with pytest.raises(TimeoutError):
            async with loop_module.timeout_at(loop.time() - 1):
                await for_ever()

    run(main())


def test_timeout_measures_from_its_call_not_from_its_entry(run, loop_module):
    async def main():
        timeout = loop_module.timeout(0)
        assert timeout.when() <= asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with timeout:
                await for_ever()

    run(main())


def test_reschedule_moves_the_deadline(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        async with loop_module.timeout(0.001) as timeout:
            assert timeout.reschedule(loop.time() + 60) is None
            await asyncio.sleep(0.003)  # Longer than the first deadline.
        assert not timeout.expired()
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(60) as timeout:
                timeout.reschedule(loop.time() - 1)
                assert not timeout.expired()
                await for_ever()
        assert timeout.expired()
        async with loop_module.timeout(0) as timeout:
            timeout.reschedule(None)
            assert timeout.when() is None
            await turns(3)
        assert not timeout.expired()
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(None) as timeout:
                timeout.reschedule(loop.time())
                await for_ever()

    run(main())


def test_what_cannot_be_done_in_which_state(run, loop_module):
    async def main():
        timeout = loop_module.timeout(60)
        with pytest.raises(RuntimeError, match="^Timeout has not been entered$"):
            timeout.reschedule(None)
        async with timeout:
            with pytest.raises(RuntimeError, match="^Timeout has already been entered$"):
                await timeout.__aenter__()
        with pytest.raises(RuntimeError, match="^Cannot change state of finished Timeout$"):
            timeout.reschedule(None)
        with pytest.raises(RuntimeError, match="^Timeout has already been entered$"):
            await timeout.__aenter__()
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0) as timeout:
                try:
                    await for_ever()
                finally:
                    with pytest.raises(RuntimeError, match="^Cannot change state of expiring Timeout$"):
                        timeout.reschedule(None)
        with pytest.raises(RuntimeError, match="^Cannot change state of expired Timeout$"):
            timeout.reschedule(None)
        with pytest.raises(AssertionError):
            await loop_module.timeout(1).__aexit__(None, None, None)

    run(main())


def test_a_timeout_needs_a_task_and_a_loop(loop, loop_module):
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        loop_module.timeout(1)
    timeout = loop_module.timeout_at(1)
    outcomes = []

    def without_a_task():
        try:
            timeout.__aenter__().send(None)
        except RuntimeError as error:
            outcomes.append(str(error))
        loop.stop()

    loop.call_soon(without_a_task)
    loop.run_forever()
    assert outcomes == ["Timeout should be used inside a task"]


def test_repr_says_its_state(run, loop_module):
    async def main():
        timeout = loop_module.timeout_at(1e9 + 0.12345)
        assert repr(timeout) == "<Timeout [created]>"
        async with timeout:
            assert repr(timeout) == "<Timeout [active] when=1000000000.123>"
            timeout.reschedule(None)
            assert repr(timeout) == "<Timeout [active] when=None>"
        assert repr(timeout) == "<Timeout [finished]>"
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0) as timeout:
                try:
                    await for_ever()
                finally:
                    assert repr(timeout) == "<Timeout [expiring]>"
                    assert timeout.expired()
        assert repr(timeout) == "<Timeout [expired]>"

    run(main())


def test_timeouts_are_asyncios(loop_module):
    assert issubclass(loop_module.Timeout, asyncio.Timeout)
    timeout = loop_module.timeout_at(None)
    assert isinstance(timeout, asyncio.Timeout)
    assert weakref.ref(timeout)() is timeout
    timeout.name = "mine"
    assert timeout.name == "mine"


# Exceptions of the block


def test_an_exception_of_the_block_comes_out(run, loop_module):
    async def main():
        with pytest.raises(ValueError, match="mine"):
            async with loop_module.timeout(60) as timeout:
                raise ValueError("mine")
        assert repr(timeout) == "<Timeout [finished]>"

    run(main())


def test_an_exception_raised_on_expiry_comes_out_as_itself(run, loop_module):
    async def scenario(module):
        results = []
        for error in (ValueError("mine"), ExceptionGroup("group", [ValueError("inner")]), KeyError("key")):
            try:
                async with module.timeout(0) as timeout:
                    try:
                        await for_ever()
                    except asyncio.CancelledError:
                        raise error  # noqa: B904 (the context is what is tested)
            except Exception as caught:
                assert caught is error
                chain, link = [], caught
                while link is not None:
                    chain.append(type(link).__name__)
                    link = link.__context__
                results.append((chain, timeout.expired(), asyncio.current_task().cancelling()))
        return results

    results = run(scenario(loop_module))
    # 3.13 and later put a TimeoutError between the exception and the CancelledError.
    assert results == on_stock(scenario)
    assert all(cancelling == 0 and expired for _, expired, cancelling in results)


def test_an_exception_group_that_holds_what_the_expiry_caused_is_treated_as_in_asyncio(run, loop_module):
    async def scenario(module):
        def chain(error):
            return [type(error).__name__, *(chain(error.__context__) if error.__context__ else [])]

        async def fails():
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise ValueError("x")  # noqa: B904

        try:
            async with module.timeout(0):
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
                    group.create_task(fails())
                    await for_ever()
        except ExceptionGroup as group:
            return chain(group), [chain(error) for error in group.exceptions]

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_block_that_swallows_the_cancellation_ends_well(run, loop_module):
    async def main():
        async with loop_module.timeout(0) as timeout:
            try:
                await for_ever()
            except asyncio.CancelledError:
                pass
            await turns(3)
        assert timeout.expired()
        assert asyncio.current_task().cancelling() == 0
        await turns(2)

    run(main())


def test_a_return_out_of_the_block_is_no_expiry(run, loop_module):
    async def work():
        async with loop_module.timeout(0):
            return "value"

    async def main():
        assert await work() == "value"
        await turns(2)

    run(main())


# Whose cancellation


def test_a_cancellation_from_outside_comes_through(run, loop_module):
    async def main():
        timeouts = []

        async def work():
            async with loop_module.timeout(60) as timeout:
                timeouts.append(timeout)
                await for_ever()

        [task] = await start(work())
        task.cancel("outside")
        with pytest.raises(asyncio.CancelledError, match="outside"):
            await task
        assert task.cancelled()
        assert not timeouts[0].expired()
        assert task.cancelling() == 1

    run(main())


@pytest.mark.parametrize("first", ["timeout", "cancel"])
def test_a_cancellation_from_outside_wins_over_an_expiry_in_the_same_turn(run, loop_module, first):
    async def main():
        loop = asyncio.get_running_loop()
        timeouts = []

        async def work():
            async with loop_module.timeout(None) as timeout:
                timeouts.append(timeout)
                await for_ever()

        [task] = await start(work())
        [timeout] = timeouts
        if first == "cancel":
            loop.call_soon(task.cancel)
        # As if the deadline passed now: the expiry is scheduled for the next turn.
        timeout.reschedule(loop.time())
        if first == "timeout":
            loop.call_soon(task.cancel)
        [result] = await asyncio.gather(task, return_exceptions=True)
        assert type(result) is asyncio.CancelledError
        assert timeout.expired()
        assert task.cancelling() == 1, "the one from outside"

    run(main())


def test_a_task_that_was_cancelled_before_keeps_its_count(run, loop_module):
    async def main():
        async def work():
            try:
                await for_ever()
            except asyncio.CancelledError:
                pass
            assert asyncio.current_task().cancelling() == 1
            with pytest.raises(TimeoutError):
                async with loop_module.timeout(0):
                    await for_ever()
            return asyncio.current_task().cancelling()

        [task] = await start(work())
        task.cancel()
        assert await task == 1

    run(main())


def test_nested_timeouts_each_answer_for_their_own(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        # The inner one expires.
        async with loop_module.timeout(60) as outer:
            with pytest.raises(TimeoutError):
                async with loop_module.timeout(0) as inner:
                    await for_ever()
            assert inner.expired()
            assert not outer.expired()
            await turns(2)
        # The outer one expires.
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0) as outer:
                async with loop_module.timeout(60) as inner:
                    await for_ever()
        assert outer.expired()
        assert not inner.expired()
        assert asyncio.current_task().cancelling() == 0
        # Both in the same turn: the outer one says so, the inner one passes on what is not its own alone.
        seen = []
        with pytest.raises(TimeoutError):
            async with loop_module.timeout_at(loop.time()) as outer:
                try:
                    async with loop_module.timeout_at(loop.time()) as inner:
                        await for_ever()
                except BaseException as error:
                    seen.append(type(error))
                    raise
        assert outer.expired()
        assert inner.expired()
        assert seen == [asyncio.CancelledError]
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_nested_timeouts_of_both_modules(run, loop_module):
    async def main():
        for outer, inner in ((asyncio, loop_module), (loop_module, asyncio)):
            with pytest.raises(TimeoutError):
                async with outer.timeout(60):
                    async with inner.timeout(0):
                        await for_ever()
            with pytest.raises(TimeoutError):
                async with outer.timeout(0) as expired:
                    async with inner.timeout(60):
                        await for_ever()
            assert expired.expired()

    run(main())


def test_an_expiry_that_meets_the_result_in_the_same_turn_is_as_in_asyncio(run, loop_module):
    async def scenario(module):
        loop = asyncio.get_running_loop()
        log = []

        def finish(future):
            if not future.done():
                future.set_result("value")

        for order in ("result first", "timeout first"):
            future = loop.create_future()
            if order == "result first":
                loop.call_soon(finish, future)
            try:
                async with module.timeout(0) as timeout:
                    if order == "timeout first":
                        loop.call_soon(finish, future)
                    log.append(await future)
            except TimeoutError:
                log.append("timeout")
            log.append((timeout.expired(), future.cancelled(), asyncio.current_task().cancelling()))
            await turns(2)
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_the_timer_is_let_go_at_the_end_of_the_block(run, loop_module):
    async def main():
        class Thing:
            pass

        async def work(thing):
            async with loop_module.timeout(3600):
                await turns(1)

        thing = Thing()
        reference = weakref.ref(thing)
        await asyncio.create_task(work(thing))
        del thing
        gc.collect()
        assert reference() is None

    run(main())


def test_a_timeout_can_be_driven_by_hand_and_by_an_exit_stack(run, loop_module):
    async def main():
        with pytest.raises(TimeoutError):
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(loop_module.timeout(0))
                await for_ever()
        timeout = loop_module.timeout(60)
        assert await timeout.__aenter__() is timeout
        assert await timeout.__aexit__(None, None, None) is None
        timeout = loop_module.timeout(60)
        await timeout.__aenter__()
        assert not await timeout.__aexit__(ValueError, ValueError(), None)

    run(main())


def test_the_timeout_belongs_to_the_task_that_entered_it(run, loop_module):
    async def main():
        async def inner():
            await for_ever()

        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0):
                task = asyncio.create_task(inner())
                await task
        assert task.cancelled(), "it was awaited"
        with pytest.raises(TimeoutError):
            async with loop_module.timeout(0):
                task = asyncio.create_task(inner())
                await for_ever()
        assert not task.done()
        task.cancel()

    run(main())


# wait_for


def test_wait_for_gives_the_result_or_the_exception(run, loop_module):
    async def main():
        async def value():
            await asyncio.sleep(0)
            return "value"

        async def fails():
            await asyncio.sleep(0)
            raise ValueError("bad")

        for seconds in (60, 60.5, None):
            assert await loop_module.wait_for(value(), seconds) == "value"
            assert await loop_module.wait_for(asyncio.create_task(value()), timeout=seconds) == "value"
            with pytest.raises(ValueError, match="bad"):
                await loop_module.wait_for(fails(), seconds)
        future = asyncio.get_running_loop().create_future()
        future.set_result("done")
        for seconds in (60, 0, -1, None):
            assert await loop_module.wait_for(future, seconds) == "done"

    run(main())


@pytest.mark.parametrize("seconds", [0.001, 0, -5])
def test_wait_for_cancels_what_takes_too_long(run, loop_module, seconds):
    async def main():
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError) as caught:
            await loop_module.wait_for(future, seconds)
        assert future.cancelled()
        assert type(caught.value.__cause__) is asyncio.CancelledError
        entered = []

        async def work():
            entered.append(True)
            try:
                await for_ever()
            finally:
                await turns(2)
                entered.append("cleaned up")

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await loop_module.wait_for(task, seconds)
        assert task.cancelled()
        assert entered == [True, "cleaned up"], "it waits for the clean-up"

    run(main())


@pytest.mark.parametrize("seconds", [0, -1])
def test_wait_for_with_no_time_does_not_begin_a_coroutine(run, loop_module, seconds):
    async def main():
        entered = []

        async def work():
            entered.append(True)

        with pytest.raises(TimeoutError):
            await loop_module.wait_for(work(), seconds)
        assert entered == []

    run(main())


def test_wait_for_returns_what_a_stubborn_coroutine_returns(run, loop_module):
    async def main():
        async def stubborn():
            try:
                await for_ever()
            except asyncio.CancelledError:
                return "all the same"

        assert await loop_module.wait_for(stubborn(), 0.001) == "all the same"
        [task] = await start(stubborn())
        assert await loop_module.wait_for(task, 0) == "all the same"

    run(main())


def test_wait_for_raises_what_a_coroutine_raises_on_expiry(run, loop_module):
    async def main():
        async def fails():
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise ValueError("instead") from None

        with pytest.raises(ValueError, match="instead"):
            await loop_module.wait_for(fails(), 0.001)
        [task] = await start(fails())
        with pytest.raises(ValueError, match="instead"):
            await loop_module.wait_for(task, 0)

    run(main())


def test_a_cancelled_wait_for_cancels_what_it_waits_for(run, loop_module):
    async def main():
        for seconds in (60, None):
            inner = asyncio.create_task(for_ever())
            [task] = await start(loop_module.wait_for(inner, seconds))
            await turns(2)
            task.cancel("why")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert inner.cancelled()

    run(main())


def test_what_wait_for_waits_for_is_cancelled_by_somebody_else(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()
        [task] = await start(loop_module.wait_for(future, 60))
        future.cancel("else")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert task.cancelling() == 0

    run(main())


@pytest.mark.filterwarnings("ignore:coroutine '.*work' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("moment", range(5))
@pytest.mark.parametrize("seconds", [0, 60, None])
@pytest.mark.parametrize("kind", ["coroutine", "task", "future"])
def test_wait_for_cancelled_at_any_turn_is_as_in_asyncio(run, loop_module, moment, seconds, kind):
    async def scenario(module):
        log = []
        count_turns(log, 12)
        future = asyncio.get_running_loop().create_future()

        async def work():
            log.append("began")
            try:
                log.append(await future)
                await turns(1)
                return "worked"
            except asyncio.CancelledError:
                log.append("work cancelled")
                raise

        waits_for = (
            future if kind == "future" else work() if kind == "coroutine" else asyncio.create_task(work())
        )
        task = asyncio.create_task(module.wait_for(waits_for, seconds))
        task.add_done_callback(lambda _: log.append("done"))
        await turns(moment)
        if moment == 2 and not future.done():
            future.set_result("result")
        task.cancel("why")
        await turns(1)
        if not future.done():
            future.set_result("late")
        await turns(6)
        result = await outcome(task)
        log.append((result, task.cancelled(), task.cancelling(), future.cancelled()))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_wait_for_takes_any_awaitable(run, loop_module):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "value"

    async def main():
        assert await loop_module.wait_for(Awaitable(), 60) == "value"
        assert await loop_module.wait_for(Awaitable(), None) == "value"
        with pytest.raises(TimeoutError):
            await loop_module.wait_for(Awaitable(), 0)
        for nonsense in (1, None, "text"):
            with pytest.raises(TypeError):
                await loop_module.wait_for(nonsense, 60)
            with pytest.raises(TypeError, match="An asyncio.Future, a coroutine or an awaitable is required"):
                await loop_module.wait_for(nonsense, 0)

    run(main())


def test_wait_for_of_a_shield_leaves_the_shielded_alone(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await loop_module.wait_for(loop_module.shield(future), 0.001)
        assert not future.done()
        future.set_result("value")
        assert await future == "value"

    run(main())


def test_the_turns_of_wait_for_are_asyncios(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 20)
        loop = asyncio.get_running_loop()

        async def value():
            await asyncio.sleep(0)
            return "value"

        done = loop.create_future()
        done.set_result("done")
        for awaitable, seconds in [
            (value(), 60),
            (asyncio.create_task(value()), 60),
            (done, 60),
            (done, 0),
            (value(), None),
        ]:
            log.append(await module.wait_for(awaitable, seconds))
        future = loop.create_future()
        loop.call_soon(future.set_result, "later")
        log.append(await module.wait_for(future, 60))
        for awaitable in (value(), loop.create_future()):
            log.append(await outcome(module.wait_for(awaitable, 0)))
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.skipif(
    not features.WAIT_FOR_IS_A_TIMEOUT, reason="wait_for makes a task of its own on this version"
)
def test_wait_for_awaits_a_coroutine_in_the_callers_task(run, loop_module):
    async def main():
        me = asyncio.current_task()

        async def work():
            return asyncio.current_task()

        assert await loop_module.wait_for(work(), 60) is me

    run(main())


def test_repr_of_a_task_in_a_timeout_says_what_it_waits_for(run, loop_module):
    async def main():
        async def work():
            async with loop_module.timeout(60):
                await for_ever()

        [task] = await start(work())
        assert re.search(r"coro=<.*work\(\) running.* wait_for=<Future pending", repr(task))
        task.cancel()

    run(main())
