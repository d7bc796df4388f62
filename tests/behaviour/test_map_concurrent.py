"""map_concurrent: bounded both ways, in order or as ready, and no task left however it ends."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import itertools
import weakref

import features
import pytest

from virtual_time import new_virtual_loop, run_example, run_in_virtual_time

oxio = pytest.importorskip("oxio")

variable = contextvars.ContextVar("variable", default="default")
both_orders = pytest.mark.parametrize("ordered", [True, False])


@pytest.fixture
def run(loop_module):
    return functools.partial(run_in_virtual_time, loop_module)


def now():
    loop = asyncio.get_running_loop()
    return round(loop.time() - loop.START, 9)


class Calls:
    """A function to map: takes as many seconds as its item says, and counts who runs."""

    def __init__(self):
        self.started = []
        self.cancelled = []
        self.running = 0
        self.most = 0

    async def __call__(self, seconds):
        self.started.append((seconds, now()))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(seconds)
            raise
        finally:
            self.running -= 1
        return seconds


class Source:
    """An async iterator that writes down when it was asked for an item."""

    def __init__(self, items, pause=0.0):
        self.items = iter(items)
        self.pause = pause
        self.asked = []

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.asked.append(now())
        await asyncio.sleep(self.pause)
        try:
            return next(self.items)
        except StopIteration:
            raise StopAsyncIteration from None


async def collect(results):
    return [(result, now()) async for result in results]


@both_orders
def test_at_most_limit_calls_run_at_a_time(run, ordered):
    async def main():
        calls = Calls()
        results = await collect(oxio.map_concurrent(calls, [1] * 10, limit=3, ordered=ordered))
        assert calls.most == 3
        return results

    assert run(main()) == [(1, time) for time in (1, 1, 1, 2, 2, 2, 3, 3, 3, 4)]


def test_ordered_results_come_as_their_items_did(run):
    async def main():
        return await collect(oxio.map_concurrent(Calls(), [3, 1, 2, 1], limit=3))

    # The last has no room before the first is out.
    assert run(main()) == [(3, 3), (1, 3), (2, 3), (1, 4)]


def test_unordered_results_come_as_they_get_ready(run):
    async def main():
        return await collect(oxio.map_concurrent(Calls(), [3, 1, 2, 1.5], limit=3, ordered=False))

    assert run(main()) == [(1, 1), (2, 2), (1.5, 2.5), (3, 3)]


@both_orders
@pytest.mark.parametrize("items", [[], [1], range(5)])
def test_ordinary_iterables_and_async_ones_give_the_same(run, ordered, items):
    async def generator():
        for item in items:
            yield item

    async def main():
        for source in (items, iter(items), Source(items), generator()):
            results = oxio.map_concurrent(Calls(), source, limit=2, ordered=ordered)
            assert [result async for result in results] == list(items)

    run(main())


@both_orders
def test_nothing_happens_before_the_first_result_is_asked_for(run, ordered):
    async def main():
        source, calls = Source([1]), Calls()
        results = oxio.map_concurrent(calls, source, limit=1, ordered=ordered)
        await asyncio.sleep(10)
        assert source.asked == [] == calls.started
        await results.aclose()
        await asyncio.sleep(10)
        assert source.asked == [] == calls.started

    run(main())


@both_orders
def test_an_item_is_asked_for_only_when_there_is_room(run, ordered):
    async def main():
        source = Source([2] * 4, pause=1)
        results = await collect(oxio.map_concurrent(Calls(), source, limit=2, ordered=ordered))
        return source.asked, [time for _, time in results]

    # Asked at 0, call from 1 to 3; asked at 1, call from 2 to 4; and so on; the last time in vain.
    assert run(main()) == ([0, 1, 3, 4, 6], [3, 4, 6, 7])


@both_orders
def test_a_slow_consumer_holds_back_calls_and_source(run, ordered):
    async def main():
        source, calls = Source(itertools.repeat(1)), Calls()
        results = oxio.map_concurrent(calls, source, limit=3, ordered=ordered)
        for taken in range(1, 5):
            await anext(results)
            await asyncio.sleep(100)
            assert len(calls.started) == len(source.asked) == taken + 3
            assert calls.running == 0
        await results.aclose()

    run(main())


@both_orders
def test_calls_go_on_while_the_consumer_works(run, ordered):
    async def main():
        times = []
        async for _ in oxio.map_concurrent(Calls(), [1] * 4, limit=2, ordered=ordered):
            await asyncio.sleep(1)
            times.append(now())
        return times

    assert run(main()) == [2, 3, 4, 5]


@both_orders
def test_the_first_failure_cancels_the_rest_waits_for_it_and_is_raised(run, ordered):
    cancelled = []

    async def work(item):
        try:
            await asyncio.sleep(item)
            raise KeyError(item)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
            cancelled.append((item, now()))
            raise

    async def main():
        with pytest.raises(KeyError) as caught:
            await collect(oxio.map_concurrent(work, [3, 2, 1, 4, 9], limit=4, ordered=ordered))
        assert now() == 6
        assert caught.value.args == (1,)
        assert not hasattr(caught.value, "__notes__")
        assert sorted(cancelled) == [(2, 6), (3, 6), (4, 6)]

    run(main())


def failing_at(seconds):
    async def work(item):
        await asyncio.sleep(item)
        if item == seconds:
            raise KeyError(item)
        return item

    return work


@pytest.mark.parametrize("work_time", [0, 100])
@pytest.mark.parametrize(
    ("ordered", "items", "expected"),
    [
        (True, [1, 2, 3, 4], [1, 2]),
        (True, [1, 4, 2, 3], [1]),
        (True, [4, 1, 2, 3], []),
        (False, [4, 2, 1, 3], [1, 2]),
    ],
)
def test_results_next_in_line_at_the_failure_are_handed_out_first(run, work_time, ordered, items, expected):
    async def main():
        results = []
        with pytest.raises(KeyError):
            async for result in oxio.map_concurrent(failing_at(3), items, limit=4, ordered=ordered):
                results.append(result)
                await asyncio.sleep(work_time)
        return results

    # However slow the consumer is: else what it gets would be a matter of luck.
    assert run(main()) == expected


@both_orders
def test_a_failure_stops_calls_and_source_although_the_consumer_is_busy(run, ordered):
    async def main():
        source, calls = Source([1, 2, 10, 10], pause=0), Calls()

        async def work(item):
            if item == 2:
                await asyncio.sleep(2)
                raise KeyError
            return await calls(item)

        results = oxio.map_concurrent(work, source, limit=3, ordered=ordered)
        assert await anext(results) == 1
        await asyncio.sleep(50)
        assert calls.cancelled == [10, 10]
        with pytest.raises(KeyError):
            await anext(results)
        assert now() == 51
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    run(main())


@both_orders
def test_errors_of_cancelled_calls_are_noted_on_the_first(run, ordered):
    async def work(item):
        if item == 1:
            await asyncio.sleep(1)
            raise KeyError("first")
        try:
            await asyncio.sleep(10)
        finally:
            raise OSError(item)

    async def main():
        with pytest.raises(KeyError, match="first") as caught:
            await collect(oxio.map_concurrent(work, [1, 2, 3], limit=3, ordered=ordered))
        assert sorted(caught.value.__notes__) == [
            "When the rest was cancelled: OSError(2)",
            "When the rest was cancelled: OSError(3)",
        ]

    run(main())


@both_orders
def test_calls_that_do_not_give_in_are_waited_for_and_their_results_dropped(run, ordered):
    async def work(item):
        if item == 1:
            await asyncio.sleep(1)
            raise KeyError
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(10)
        return item

    async def main():
        seen = []
        with pytest.raises(KeyError):
            async for result in oxio.map_concurrent(work, [2, 1], limit=2, ordered=ordered):
                seen.append(result)
        assert seen == []
        assert now() == 11

    run(main())


@both_orders
def test_an_error_of_the_source_counts_as_the_first_failure(run, ordered):
    async def source():
        yield 1
        yield 10
        await asyncio.sleep(2)
        raise KeyError("source")

    async def main():
        calls, seen = Calls(), []
        with pytest.raises(KeyError, match="source"):
            async for result in oxio.map_concurrent(calls, source(), limit=5, ordered=ordered):
                seen.append(result)
        assert seen == [1]
        assert calls.cancelled == [10]
        assert now() == 2

    run(main())


def test_an_error_of_an_ordinary_iterable_is_raised(run):
    def source():
        yield 1
        raise KeyError

    async def main():
        with pytest.raises(KeyError):
            await collect(oxio.map_concurrent(Calls(), source(), limit=1))

    run(main())


@both_orders
def test_a_function_that_fails_before_it_returns_an_awaitable(run, ordered):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await collect(oxio.map_concurrent(lambda item: 1 / item, [0], limit=1, ordered=ordered))
        with pytest.raises(TypeError):
            await collect(oxio.map_concurrent(lambda item: item, [0], limit=1, ordered=ordered))

    run(main())


@both_orders
def test_a_call_that_somebody_else_cancels_is_a_failure(run, ordered):
    tasks = []

    async def work(item):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(item)

    async def main():
        asyncio.get_running_loop().call_later(1, lambda: tasks[1].cancel())
        with pytest.raises(asyncio.CancelledError):
            await collect(oxio.map_concurrent(work, [5, 5, 5], limit=3, ordered=ordered))
        assert now() == 1
        assert asyncio.current_task().cancelling() == 0

    run(main())


@both_orders
def test_closing_cancels_the_calls_and_waits_for_them(run, ordered):
    ended = []

    async def work(item):
        try:
            await asyncio.sleep(item)
        finally:
            if item > 1:
                await asyncio.sleep(3)
            ended.append(item)
        return item

    async def main():
        async with contextlib.aclosing(
            oxio.map_concurrent(work, [1, 7, 8], limit=3, ordered=ordered)
        ) as results:
            async for result in results:
                assert result == 1
                break
        assert now() == 4
        assert sorted(ended) == [1, 7, 8]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@both_orders
def test_break_alone_is_cleaned_up_by_the_loop(run, ordered):
    async def main():
        calls = Calls()
        async for _ in oxio.map_concurrent(calls, itertools.count(1), limit=3, ordered=ordered):
            break
        await asyncio.sleep(1)
        assert calls.running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@both_orders
def test_an_iterator_left_open_at_the_end_of_the_program_is_silent(loop_module, ordered, recorded_warnings):
    kept = []

    async def main():
        results = oxio.map_concurrent(Calls(), itertools.count(1), limit=3, ordered=ordered)
        kept.append(results)
        await anext(results)

    with asyncio.Runner(loop_factory=lambda: new_virtual_loop(loop_module)) as runner:
        runner.run(main())
        # The calls that ran were cancelled; the iterator is closed with the runner.
    assert recorded_warnings == []


@both_orders
def test_an_error_while_closing_is_reported_to_the_log(run, asyncio_log, ordered):
    async def work(item):
        try:
            await asyncio.sleep(item)
        finally:
            if item > 1:
                raise KeyError("cleaning up")

    async def main():
        results = oxio.map_concurrent(work, [1, 10], limit=2, ordered=ordered)
        await anext(results)
        await results.aclose()

    run(main())
    gc.collect()
    (message,) = asyncio_log.take()
    assert "never retrieved" in message
    assert "cleaning up" in message


@both_orders
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("when", [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0])
def test_cancelling_the_consumer_at_any_moment_leaves_nothing_behind(run, ordered, turns, when):
    opened = []

    async def source():
        opened.append("source")
        try:
            for item in (1, 2, 3, 1, 2):
                await asyncio.sleep(0.5)
                yield item
        finally:
            await clean_up("source")

    async def work(item):
        opened.append(item)
        try:
            await asyncio.sleep(item)
        finally:
            await clean_up(item)

    async def clean_up(name):
        try:
            await asyncio.sleep(0.25)
        finally:
            opened.remove(name)

    async def consume():
        async with contextlib.aclosing(
            oxio.map_concurrent(work, source(), limit=2, ordered=ordered)
        ) as results:
            async for _ in results:
                await asyncio.sleep(0.5)

    async def main():
        task = asyncio.create_task(consume())
        await asyncio.sleep(when)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert opened == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert asyncio.get_running_loop().pending_timers() == []

    run(main())


@both_orders
def test_a_second_cancellation_reaches_the_calls_and_still_waits_for_them(run, ordered):
    log = []

    async def work(item):
        for _ in range(2):
            try:
                await asyncio.sleep(item)
            except asyncio.CancelledError:
                log.append(("cancelled", now()))
        await asyncio.sleep(1)
        log.append(("ended", now()))

    async def main():
        task = asyncio.create_task(collect(oxio.map_concurrent(work, [100], limit=1, ordered=ordered)))
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert log == [("cancelled", 1), ("cancelled", 2), ("ended", 3)]


def test_cancellation_while_a_failure_is_being_dealt_with_wins(run):
    async def work(item):
        try:
            await asyncio.sleep(item)
            raise KeyError
        finally:
            await asyncio.sleep(item)

    async def main():
        task = asyncio.create_task(collect(oxio.map_concurrent(work, [1, 10], limit=2)))
        # The failure comes at 2; the other cleans up until 12.
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == 5

    run(main())


def test_a_call_is_cancelled_once_for_a_failure(run):
    cancelled = []

    async def work(item):
        await asyncio.sleep(1)
        if item == 1:
            raise KeyError
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(now())
            # A second one would end this clean-up.
            await asyncio.sleep(10)
            cancelled.append(now())
            raise

    async def main():
        with pytest.raises(KeyError):
            await collect(oxio.map_concurrent(work, [1, 2], limit=2))

    run(main())
    assert cancelled == [1, 11]


def test_a_source_that_ignores_its_cancellation_gets_no_more_calls(run):
    async def source():
        yield 1
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            yield 2
            yield 3

    async def main():
        calls = Calls()
        results = oxio.map_concurrent(calls, source(), limit=3)
        await anext(results)
        await results.aclose()
        assert calls.started == [(1, 0)]

    run(main())


@both_orders
def test_a_source_that_is_an_async_generator_is_closed(run, ordered):
    closed = []

    async def source():
        try:
            for item in itertools.count():
                yield item
        finally:
            await asyncio.sleep(1)
            closed.append(now())

    async def main():
        kept = source()
        results = oxio.map_concurrent(Calls(), kept, limit=2, ordered=ordered)
        assert await anext(results) == 0
        await results.aclose()
        assert closed == [1]

    run(main())


def test_other_sources_can_be_used_on(run):
    async def main():
        for source in (iter(range(5)), (item for item in range(5))):
            results = oxio.map_concurrent(Calls(), source, limit=2)
            assert await anext(results) == 0
            await asyncio.sleep(1)
            await results.aclose()
            assert list(source) == [3, 4]

    run(main())


@both_orders
def test_one_can_be_the_source_of_another(run, ordered):
    async def main():
        inner, outer = Calls(), Calls()
        first = oxio.map_concurrent(inner, itertools.repeat(1), limit=3, ordered=ordered)
        second = oxio.map_concurrent(outer, first, limit=2, ordered=ordered)
        times = []
        async with contextlib.aclosing(second):
            async for _ in second:
                times.append(now())
                if len(times) == 6:
                    break
        assert times == [2, 2, 3, 3, 4, 4]
        assert (inner.most, outer.most) == (3, 2)
        assert inner.running == outer.running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@both_orders
def test_calls_see_the_context_of_the_first_anext_and_keep_their_changes_to_themselves(run, ordered):
    async def work(item):
        seen = variable.get()
        variable.set(item)
        await asyncio.sleep(0)
        assert variable.get() == item
        return seen

    async def main():
        results = oxio.map_concurrent(work, range(5), limit=2, ordered=ordered)
        variable.set("consumer")
        assert [result async for result in results] == ["consumer"] * 5
        assert variable.get() == "consumer"

    run(main())


@both_orders
@pytest.mark.skipif(not features.EAGER_TASKS, reason="this asyncio has no eager tasks")
def test_eager_tasks_make_no_difference(loop_module, ordered):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        assert await collect(oxio.map_concurrent(Calls(), [1] * 5, limit=2, ordered=ordered)) == [
            (1, time) for time in (1, 1, 2, 2, 3)
        ]

        async def at_once(item):
            if item == 3:
                raise KeyError
            return item

        seen = []
        with pytest.raises(KeyError):
            async for result in oxio.map_concurrent(at_once, itertools.count(), limit=1, ordered=ordered):
                seen.append(result)
        assert seen == [0, 1, 2]

    run_in_virtual_time(loop_module, main())


@both_orders
def test_many_items_in_little_room(run, ordered):
    async def work(item):
        await asyncio.sleep(item % 7)
        return item

    async def main():
        results = [item async for item in oxio.map_concurrent(work, range(2000), limit=10, ordered=ordered)]
        assert sorted(results) == list(range(2000))
        assert (results == sorted(results)) is ordered

    run(main())


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused_at_the_call(limit):
    with pytest.raises(ValueError, match="limit must be at least 1"):
        oxio.map_concurrent(Calls(), [], limit=limit)


def test_what_cannot_be_iterated_is_refused_at_the_call():
    with pytest.raises(TypeError, match="not iterable"):
        oxio.map_concurrent(Calls(), 5, limit=1)


@both_orders
@pytest.mark.parametrize("ends", ["well", "by a failure", "by the source", "closed"])
def test_it_is_freed_without_the_collector(run, ordered, ends):
    class Item:
        pass

    class Error(Exception):
        pass

    freed = []

    def watched(thing):
        weakref.finalize(thing, freed.append, 1)
        return thing

    def source():
        yield watched(Item())
        yield watched(Item())
        if ends == "by the source":
            raise watched(Error())

    async def work(item):
        await asyncio.sleep(0)
        if ends == "by a failure":
            raise watched(Error())
        return item

    async def main():
        results = oxio.map_concurrent(work, source(), limit=2, ordered=ordered)
        if ends == "closed":
            await anext(results)
            await results.aclose()
        else:
            with contextlib.suppress(Error):
                async for _ in results:
                    pass
                del _
        del results
        for _ in range(3):
            await asyncio.sleep(0)
        gc.disable()

    gc.collect()
    gc.disable()
    try:
        run(main())
        assert len(freed) >= 2
        assert not [thing for thing in gc.get_objects() if isinstance(thing, (Item, Error))]
    finally:
        gc.enable()


def test_the_example_prints_what_it_says(loop_module, capsys):
    assert run_example(loop_module, oxio.map_concurrent) == pytest.approx(1)
    assert capsys.readouterr().out.split() == [str(2 * number) for number in range(100)]
