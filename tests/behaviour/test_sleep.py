"""sleep(): one turn for zero, a timer otherwise, and a result."""

import asyncio
import gc
import math
import weakref
from decimal import Decimal
from fractions import Fraction

import pytest

import features
from interleaving import count_turns, note, on_stock, outcome
from recording import turns


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("delay", [0, 0.0, -1, -1e300, False, -math.inf])
def test_no_delay_is_exactly_one_turn(run, loop_module, delay):
    async def main():
        log = []
        count_turns(log, 4)
        for _ in range(3):
            log.append(await loop_module.sleep(delay, "back"))
        assert log == [1, "back", 2, "back", 3, "back"]

    run(main())


def test_sleepers_take_turns_with_callbacks_in_order(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        log = []

        async def work(name):
            for number in range(3):
                log.append(f"{name}{number}")
                await loop_module.sleep(0)

        tasks = [asyncio.create_task(work(name)) for name in "ab"]
        loop.call_soon(log.append, "callback")
        await asyncio.wait(tasks)
        assert log == ["a0", "b0", "callback", "a1", "b1", "a2", "b2"]

    run(main())


def test_the_result_is_given_back(run, loop_module):
    async def main():
        thing = object()
        assert await loop_module.sleep(0) is None
        assert await loop_module.sleep(0, thing) is thing
        assert await loop_module.sleep(0.0001, result=thing) is thing
        assert await loop_module.sleep(delay=0, result=thing) is thing

    run(main())


def test_a_delay_is_waited_for(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time()
        await loop_module.sleep(0.005)  # Waiting is the point.
        assert loop.time() - before >= 0.005 - loop._clock_resolution

    run(main())


def test_sleepers_wake_in_the_order_of_their_deadlines(run, loop_module):
    async def main():
        log = []
        await asyncio.gather(
            *(
                note(log, delay, loop_module.sleep(delay)) for delay in (0.006, 0.002, 0.004)
            )  # Apart, to be sure.
        )
        assert log == [0.002, 0.004, 0.006]

    run(main())


def test_a_very_short_delay_is_more_than_no_delay(run, loop_module):
    async def main():
        log = []
        short = asyncio.create_task(note(log, "short", loop_module.sleep(1e-9)))
        none = asyncio.create_task(note(log, "none", loop_module.sleep(0)))
        await asyncio.wait([short, none])
        assert log == ["none", "short"]

    run(main())


def test_a_cancelled_sleeper_wakes_at_once(run, loop_module):
    async def main():
        for delay in (3600, math.inf):
            [task] = await start(loop_module.sleep(delay))
            assert task.cancel("why")
            with pytest.raises(asyncio.CancelledError, match="why"):
                await task

    run(main())


def test_a_sleeper_of_no_delay_is_cancelled_at_its_turn(run, loop_module):
    async def main():
        log = []
        [task] = await start(note(log, "slept", loop_module.sleep(0)))
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert log == ["slept cancelled"]

    run(main())


def test_a_sleeper_cancelled_when_its_time_is_over_and_before_it_ran_is_cancelled(run, loop_module):
    async def main():
        log = []
        task = asyncio.create_task(note(log, "slept", loop_module.sleep(0.001)))
        await asyncio.sleep(0)
        # This task's step stands in the queue before the timer that is due, so it comes before the sleeper's step too.
        while not task._fut_waiter.done():
            await asyncio.sleep(0)
        assert task.cancel("late") is True
        with pytest.raises(asyncio.CancelledError, match="late"):
            await task
        assert log == ["slept cancelled"]

    run(main())


def test_what_is_no_delay_is_refused_as_in_asyncio(run, loop_module):
    async def scenario(module):
        results = []
        for delay in ("text", None, 1j, [], object):
            kind, *rest = await outcome(asyncio.wait_for(module.sleep(delay), 0.01))
            results.append((kind, rest[0]))
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


@pytest.mark.skipif(not features.SLEEP_REFUSES_NAN, reason="this sleep takes what is no number")
def test_what_is_no_number_is_refused(run, loop_module):
    async def main():
        with pytest.raises(ValueError, match=r"^Invalid delay: NaN \(not a number\)$"):
            await loop_module.sleep(math.nan)

    run(main())


def test_numbers_of_any_kind_are_delays(run, loop_module):
    class Number(float):
        pass

    async def scenario(module):
        results = []
        for delay in (Decimal("0"), Fraction(0), Number(0), True - 1, Fraction(1, 10000), Number(0.0001)):
            results.append(await outcome(module.sleep(delay, "back")))
        return results

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_the_timer_goes_with_the_sleeper(run, loop_module):
    class Thing:
        pass

    async def main():
        thing = Thing()
        reference = weakref.ref(thing)
        [task] = await start(loop_module.sleep(3600, thing))
        del thing
        assert reference() is not None
        task.cancel()
        await asyncio.wait([task])
        del task
        await turns(2)
        gc.collect()
        assert reference() is None

    run(main())


def test_by_hand_a_sleep_of_zero_yields_none_once(run, loop_module):
    async def main():
        sleeping = loop_module.sleep(0, "back")
        assert sleeping.send(None) is None
        with pytest.raises(StopIteration) as caught:
            sleeping.send(None)
        assert caught.value.value == "back"
        sleeping = loop_module.sleep(0)
        sleeping.send(None)
        with pytest.raises(ValueError, match="thrown"):
            sleeping.throw(ValueError("thrown"))
        sleeping = loop_module.sleep(0)
        sleeping.send(None)
        sleeping.close()
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            sleeping.send(None)

    run(main())


def test_a_sleep_of_zero_needs_no_loop_and_a_longer_one_does(loop_module):
    assert loop_module.sleep(0).send(None) is None
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        loop_module.sleep(1).send(None)


def test_sleep_works_in_every_kind_of_task(run, loop_module):
    async def main():
        loop = asyncio.get_running_loop()
        for cls in (asyncio.tasks._CTask, asyncio.tasks._PyTask, loop_module.Task):
            for delay in (0, 0.0001):
                assert await cls(loop_module.sleep(delay, "back"), loop=loop) == "back"

    run(main())
    run(main(), debug=True)


@pytest.mark.parametrize("where", ["class", "instance"])
def test_a_loops_own_call_later_is_asked_for_the_timer(loop_module, where):
    # Virtual clocks and loops made for tests replace it.
    asked = []

    class Patched(loop_module.SelectorEventLoop):
        def call_later(self, delay, callback, *arguments, **options):
            asked.append(delay)
            return super().call_later(0, callback, *arguments, **options)

    if where == "class":
        loop = Patched()
    else:
        loop = loop_module.SelectorEventLoop()
        original = loop.call_later

        def call_later(delay, callback, *arguments, **options):
            asked.append(delay)
            return original(0, callback, *arguments, **options)

        loop.call_later = call_later

    async def main():
        task = asyncio.create_task(loop_module.sleep(3600, "at once"))
        await turns(5)
        assert asked == [3600]
        assert task.done()
        assert task.result() == "at once"

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
