"""Cancellation to the letter."""

import asyncio
import contextlib

import pytest

from recording import turns


async def cancelled_message(task):
    try:
        await task
    except asyncio.CancelledError as error:
        return error.args
    return "not cancelled"


def test_cancel_raises_cancelled_error_at_the_await(run):
    async def main():
        reached = []

        async def work():
            with contextlib.suppress(asyncio.CancelledError):
                reached.append("waiting")
                await asyncio.sleep(60)
                reached.append("never")
            reached.append("went on")
            return "result"

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert task.cancel() is True
        assert not task.done()
        assert await task == "result"
        assert reached == ["waiting", "went on"]
        assert not task.cancelled(), "it swallowed the cancellation"

    run(main())


def test_cancel_before_the_first_step_never_enters_the_coroutine(run):
    async def main():
        entered = []

        async def work():
            entered.append(True)

        task = asyncio.create_task(work())
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert entered == []

    run(main())


def test_cancel_of_a_done_task_is_false(run):
    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        assert task.cancel() is False
        assert task.cancelling() == 0
        assert not task.cancelled()

    run(main())


def test_cancelling_oneself_takes_effect_at_the_next_await(run):
    async def main():
        order = []

        async def work():
            asyncio.current_task().cancel()
            order.append("after cancel")
            await asyncio.sleep(0)
            order.append("never")

        task = asyncio.create_task(work())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert order == ["after cancel"]

    run(main())


def test_cancelling_oneself_and_returning_cancels_after_all(run):
    async def main():
        async def work():
            asyncio.current_task().cancel()
            return "result"

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())


def test_cancel_goes_through_to_what_is_awaited(run):
    async def main():
        async def inner():
            await asyncio.sleep(60)

        async def outer(task):
            await task

        inner_task = asyncio.create_task(inner())
        outer_task = asyncio.create_task(outer(inner_task))
        await asyncio.sleep(0)
        outer_task.cancel("why")
        assert await cancelled_message(outer_task) == ("why",)
        assert inner_task.cancelled()

    run(main())


def test_a_future_awaited_by_a_cancelled_task_is_cancelled(run):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def work():
            await future

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        assert future.cancelled()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())


def test_cancel_after_the_awaited_future_is_done_still_cancels(run):
    # The task is already on its way to the next step: the flag must reach it, the result is lost.
    async def main():
        future = asyncio.get_running_loop().create_future()
        got = []

        async def work():
            got.append(await future)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        future.set_result("lost")
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert got == []

    run(main())


@pytest.mark.parametrize(
    "messages, expected", [([None], ()), (["first"], ("first",)), (["first", "second"], ("first",))]
)
def test_the_message_of_the_cancel_that_took_effect_arrives(run, messages, expected):
    async def main():
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        for message in messages:
            task.cancel(message)
        assert await cancelled_message(task) == expected

    run(main())


def test_the_last_message_before_the_first_step_arrives(run):
    async def main():
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel("first")
        task.cancel("second")
        assert await cancelled_message(task) == ("second",)

    run(main())


def test_the_message_is_seen_inside_the_task_and_outside(run):
    async def main():
        inside = []

        async def work():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                inside.append(error)
                raise

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel(msg=("any", "object"))
        try:
            await task
        except asyncio.CancelledError as error:
            assert error is inside[0], "the very same exception, with its traceback"
            assert error.args == (("any", "object"),)
        with pytest.raises(asyncio.CancelledError):
            task.result()
        with pytest.raises(asyncio.CancelledError):
            task.exception()

    run(main())


def test_a_coroutine_may_raise_its_own_cancelled_error(run):
    async def main():
        async def work():
            raise asyncio.CancelledError("by itself")

        task = asyncio.create_task(work())
        assert await cancelled_message(task) == ("by itself",)
        assert task.cancelled()
        assert task.cancelling() == 0

    run(main())


def test_an_exception_raised_while_being_cancelled_wins(run):
    async def main():
        async def work():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ValueError("clean-up failed")  # noqa: B904

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(ValueError, match="clean-up failed") as caught:
            await task
        assert isinstance(caught.value.__context__, asyncio.CancelledError)
        assert not task.cancelled()

    run(main())


def test_cancelling_counts_and_uncancel_counts_back(run):
    async def main():
        seen = []

        async def work():
            task = asyncio.current_task()
            for _ in range(2):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    seen.append(task.cancelling())
            seen.append(task.uncancel())
            seen.append(task.uncancel())
            seen.append(task.uncancel())
            return "result"

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert task.cancelling() == 0
        task.cancel()
        assert task.cancelling() == 1
        await asyncio.sleep(0)
        task.cancel()
        assert task.cancelling() == 2
        assert await task == "result"
        assert seen == [1, 2, 1, 0, 0]

    run(main())


def test_two_cancels_before_the_task_runs_are_one_cancelled_error(run):
    async def main():
        caught = []

        async def work():
            for _ in range(2):
                try:
                    await asyncio.sleep(0.001)
                except asyncio.CancelledError:
                    caught.append(asyncio.current_task().cancelling())

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        await task
        assert caught == [2]

    run(main())


def test_uncancel_before_the_step_does_what_it_does_in_asyncio(loop):
    # Whether uncancel() takes back a cancellation that was not delivered changed in a patch release.
    async def scenario():
        got = []

        async def work():
            task = asyncio.current_task()
            task.cancel()
            got.append(task.uncancel())
            try:
                await asyncio.sleep(0)
                got.append("not cancelled")
            except asyncio.CancelledError:
                got.append("cancelled")

        await asyncio.create_task(work())
        return got

    stock = asyncio.new_event_loop()
    expected = stock.run_until_complete(scenario())
    stock.close()
    assert loop.run_until_complete(scenario()) == expected


def test_a_second_cancel_interrupts_clean_up(run):
    async def main():
        order = []

        async def work():
            try:
                await asyncio.sleep(60)
            finally:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    order.append("clean-up interrupted")
                    raise

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert order == ["clean-up interrupted"]

    run(main())


def test_shield_keeps_the_inner_task_running(run):
    async def main():
        finished = []

        async def inner():
            await asyncio.sleep(0.005)
            finished.append(True)
            return "result"

        inner_task = asyncio.create_task(inner())

        async def outer():
            return await asyncio.shield(inner_task)

        task = asyncio.create_task(outer())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not inner_task.cancelled()
        assert await inner_task == "result"
        assert finished == [True]

    run(main())


def test_shield_passes_results_errors_and_inner_cancellation_on(run):
    async def main():
        async def fails():
            raise ValueError("bad")

        assert await asyncio.shield(asyncio.sleep(0, "result")) == "result"
        with pytest.raises(ValueError):
            await asyncio.shield(fails())
        inner = asyncio.create_task(asyncio.sleep(60))
        outer = asyncio.shield(inner)
        inner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer

    run(main())


def test_cancelling_everybody_who_waits_for_one_future_is_quiet(run):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def wait():
            await future

        tasks = [asyncio.create_task(wait()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    run(main())


def test_a_timeout_inside_a_timeout_raises_where_it_expires(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                async with asyncio.timeout(60):
                    await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60) as outer:
                async with asyncio.timeout(0.005):
                    await asyncio.sleep(60)
        assert not outer.expired()

    run(main())


def test_a_timeout_does_not_swallow_a_cancel_from_outside(run):
    async def main():
        async def work():
            async with asyncio.timeout(60):
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel("outside")
        assert await cancelled_message(task) == ("outside",)
        assert task.cancelled()

    run(main())


def test_a_queue_getter_cancelled_after_its_wake_up_passes_the_item_on(run):
    async def main():
        queue = asyncio.Queue()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait("item")
        first.cancel()
        assert await asyncio.wait_for(second, 5) == "item"
        assert first.cancelled()

    run(main())


def test_a_lock_waiter_cancelled_after_its_wake_up_passes_the_lock_on(run):
    async def main():
        lock = asyncio.Lock()
        await lock.acquire()
        first, second = asyncio.create_task(lock.acquire()), asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        lock.release()
        first.cancel()
        assert await asyncio.wait_for(second, 5) is True
        lock.release()

    run(main())


def test_a_cancelled_task_runs_its_done_callbacks_soon(run):
    async def main():
        calls = []
        task = asyncio.create_task(asyncio.sleep(60))
        task.add_done_callback(lambda done: calls.append(done.cancelled()))
        await asyncio.sleep(0)
        task.cancel()
        await turns(3)
        assert calls == [True]

    run(main())


def test_throwing_generator_exit_into_a_coroutine_closes_it(run):
    closed = []

    async def main():
        async def work():
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                closed.append(True)

        coroutine = work()
        coroutine.send(None)
        coroutine.close()
        assert closed == [True]

    run(main())


def test_a_cancel_is_delivered_while_the_loop_is_busy(run):
    async def main():
        async def busy():
            while True:
                await asyncio.sleep(0)

        task = asyncio.create_task(busy())
        await turns(10)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())


def test_wait_for_returns_the_result_that_arrived_with_the_cancel_or_raises(run):
    # A task that is cancelled from outside while wait_for's own deadline passes must end cancelled.
    async def main():
        async def work():
            await asyncio.wait_for(asyncio.sleep(60), 0.005)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
