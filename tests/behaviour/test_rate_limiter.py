"""RateLimiter: exact times, one queue, and no permit lost or won by cancellation."""

import asyncio
import contextvars
import functools
import random
from collections import deque
from fractions import Fraction

import pytest

from virtual_time import new_virtual_loop, run_example, run_in_virtual_time

oxio = pytest.importorskip("oxio")


@pytest.fixture
def run(loop_module):
    return functools.partial(run_in_virtual_time, loop_module)


class Clock:
    """Seconds since the test began, and who got a permit when."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()
        self.granted = []

    def now(self):
        return round(self.loop.time() - self.start, 9)

    async def take(self, limiter, name, n=1):
        await limiter.acquire(n)
        self.granted.append((name, self.now()))

    async def until(self, time):
        await asyncio.sleep(self.start + time - self.loop.time())


def test_a_full_limiter_gives_its_burst_at_once_and_then_one_by_one(run):
    async def main():
        limiter, clock = oxio.RateLimiter(2, burst=3), Clock()
        await asyncio.gather(*(clock.take(limiter, i) for i in range(6)))
        return clock.granted

    assert run(main()) == [(0, 0), (1, 0), (2, 0), (3, 0.5), (4, 1), (5, 1.5)]


def test_permits_are_evenly_spaced_without_a_burst(run):
    async def main():
        limiter, clock = oxio.RateLimiter(30, per=60), Clock()
        await asyncio.gather(*(clock.take(limiter, i) for i in range(4)))
        return clock.granted

    assert run(main()) == [(0, 0), (1, 2), (2, 4), (3, 6)]


@pytest.mark.slow  # 10,000 turns of a loop with a clock in Python
@pytest.mark.parametrize("tasks", [1, 100])
def test_ten_thousand_permits_keep_the_exact_rate(run, tasks):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, times = oxio.RateLimiter(7, per=0.3), []

        async def work():
            for _ in range(10_000 // tasks):
                await limiter.acquire()
                times.append(loop.time())

        start = loop.time()
        await asyncio.gather(*(work() for _ in range(tasks)))
        return start, times

    start, times = run(main())
    assert len(times) == 10_000
    # A sum of 10,000 floats would be off by a thousand times more.
    for number, time in enumerate(times):
        assert abs(Fraction(time) - Fraction(start) - Fraction(number) * Fraction(0.3) / 7) < 2e-13


def granted_by_a_bucket(requests, rate, burst):
    """When a bucket that is filled with `rate` tokens a second serves `(time, n)` in order, in exact arithmetic."""
    tokens, now, times = Fraction(burst), Fraction(0), []
    for time, n in requests:
        if time > now:
            tokens, now = min(Fraction(burst), tokens + (time - now) * rate), time
        if tokens < n:
            tokens, now = Fraction(n), now + (n - tokens) / rate
        tokens -= n
        times.append(now)
    return times


@pytest.mark.parametrize("seed", range(8))
def test_any_traffic_is_served_as_by_a_token_bucket(run, seed):
    source = random.Random(seed)
    rate, burst = source.choice([1, 5, 13]), source.choice([1, 2, 10])
    # In units of 1/1024 s, which floats hold exactly.
    time, requests = Fraction(0), []
    for _ in range(300):
        time += Fraction(source.choice([0, 0, 1, source.randrange(2500)]), 1024)
        requests.append((time, source.randint(1, burst)))

    async def main():
        limiter, clock = oxio.RateLimiter(rate, burst=burst), Clock()

        async def ask(number, time, n):
            await clock.until(float(time))
            order.append(number)
            await clock.take(limiter, number, n)

        order = []
        await asyncio.gather(*(ask(number, *request) for number, request in enumerate(requests)))
        return order, clock.granted

    order, granted = run(main())
    assert [number for number, _ in granted] == order
    expected = granted_by_a_bucket([requests[number] for number in order], rate, burst)
    assert [time for _, time in granted] == pytest.approx([float(time) for time in expected], abs=1e-8)


def test_what_nobody_takes_is_saved_up_to_the_burst(run):
    async def main():
        limiter, clock = oxio.RateLimiter(1, burst=2), Clock()
        await limiter.acquire(2)
        await clock.until(100)
        for name in range(4):
            await clock.take(limiter, name)
        return clock.granted

    assert run(main()) == [(0, 100), (1, 100), (2, 101), (3, 102)]


def test_a_satisfied_acquire_does_not_suspend(run):
    async def main():
        limiter = oxio.RateLimiter(1, burst=2)
        for _ in range(2):
            with pytest.raises(StopIteration):
                limiter.acquire().send(None)

    run(main())


def test_many_permits_are_not_overtaken_by_few(run):
    async def main():
        limiter, clock = oxio.RateLimiter(1, burst=5), Clock()
        await limiter.acquire(5)
        async with asyncio.TaskGroup() as group:
            group.create_task(clock.take(limiter, "many", 4))
            await clock.until(2.5)
            # Two permits are there, and one would do.
            assert limiter.statistics().available == 2
            group.create_task(clock.take(limiter, "few", 1))
        return clock.granted

    assert run(main()) == [("many", 4), ("few", 5)]


def test_tasks_that_ask_again_and_again_take_turns(run):
    async def main():
        limiter, clock = oxio.RateLimiter(10), Clock()
        await limiter.acquire()

        async def work(name):
            for _ in range(50):
                await clock.take(limiter, name)

        await asyncio.gather(*(work(name) for name in "abc"))
        return [name for name, _ in clock.granted]

    assert run(main()) == list("abc") * 50


def test_one_timer_serves_any_number_of_waiters(run):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, clock = oxio.RateLimiter(1000), Clock()
        await limiter.acquire()
        tasks = [asyncio.create_task(clock.take(limiter, i)) for i in range(1000)]
        await asyncio.sleep(0)
        assert limiter.statistics().tasks_waiting == 1000
        assert len(loop.pending_timers()) == 1
        await asyncio.gather(*tasks)
        assert loop.pending_timers() == []
        assert clock.now() == 1

    run(main())


@pytest.mark.parametrize("victim", range(5))
@pytest.mark.parametrize("when", [0, 0.5, 1.0, 2.5, 3.0])
def test_a_cancelled_waiter_leaves_its_place_to_the_next(run, victim, when):
    async def main():
        limiter, clock = oxio.RateLimiter(1), Clock()
        await limiter.acquire()
        tasks = {name: asyncio.create_task(clock.take(limiter, name)) for name in range(5)}
        await clock.until(when)
        await asyncio.sleep(0)
        was_waiting = tasks[victim].cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert limiter.statistics().tasks_waiting == 0
        assert asyncio.get_running_loop().pending_timers() == []
        return was_waiting, clock.granted

    was_waiting, granted = run(main())
    names = [name for name in range(5) if name != victim or not was_waiting]
    # The one in front left its place when it was cancelled, and nobody can go before its time.
    assert granted == [(name, place) for place, name in enumerate(names, start=1)]


def test_the_next_goes_at_once_when_one_that_wants_more_is_cancelled(run):
    async def main():
        limiter, clock = oxio.RateLimiter(1, burst=5), Clock()
        await limiter.acquire(5)
        many = asyncio.create_task(clock.take(limiter, "many", 5))
        few = deque(asyncio.create_task(clock.take(limiter, name)) for name in range(4))
        await clock.until(2.5)
        many.cancel()
        await asyncio.gather(*few)
        return clock.granted

    assert run(main()) == [(0, 2.5), (1, 2.5), (2, 3), (3, 4)]


def test_a_permit_that_came_too_late_for_a_cancelled_task_goes_to_the_next(run):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, clock = oxio.RateLimiter(1, burst=2), Clock()
        await limiter.acquire(2)

        async def take_and_cancel():
            await clock.take(limiter, "first")
            # It was let go in the same turn as this one, and has not run yet.
            assert second.cancel()

        first = asyncio.create_task(take_and_cancel())
        second = asyncio.create_task(clock.take(limiter, "second"))
        others = [asyncio.create_task(clock.take(limiter, name)) for name in ("third", "fourth")]
        # The loop is busy from 0.5 to 2.25.
        loop.call_later(0.5, loop.advance, 1.75)
        await asyncio.gather(first, *others)
        assert second.cancelled()
        return clock.granted

    assert run(main()) == [("first", 2.25), ("third", 2.25), ("fourth", 3)]


def test_a_cancelled_task_does_not_bring_back_permits_of_before_the_limiter_was_full(run):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, clock = oxio.RateLimiter(1, burst=2), Clock()
        await limiter.acquire(2)

        async def take_and_cancel():
            await limiter.acquire()
            # Long enough for the limiter to be full again, had it not been waiting for this turn to end.
            loop.advance(100)
            await limiter.acquire(2)
            second.cancel()

        first = asyncio.create_task(take_and_cancel())
        second = asyncio.create_task(clock.take(limiter, "second"))
        loop.call_later(0.5, loop.advance, 1.75)
        await first
        await asyncio.wait([second])
        assert second.cancelled()
        assert limiter.statistics().available == 0
        await clock.take(limiter, "third")
        return clock.granted

    assert run(main()) == [("third", 103.25)]


def test_a_timer_that_comes_before_a_cancelled_task_has_run_passes_it_by(run):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, clock = oxio.RateLimiter(1), Clock()
        await limiter.acquire()
        cancelled = asyncio.create_task(clock.take(limiter, "cancelled"))
        following = asyncio.create_task(clock.take(limiter, "following"))
        # Busy from 0.5 to 1.5: the cancellation and the limiter's timer come in one turn, in this order.
        loop.call_later(0.5, loop.advance, 1)
        loop.call_later(0.75, cancelled.cancel)
        await asyncio.wait([cancelled, following])
        assert cancelled.cancelled()
        return clock.granted

    assert run(main()) == [("following", 1.5)]


def test_a_time_out_takes_the_place_back(run):
    async def main():
        limiter, clock = oxio.RateLimiter(1, per=10), Clock()
        await limiter.acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await limiter.acquire()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limiter.acquire(), 3)
        await clock.take(limiter, "next")
        return clock.granted

    assert run(main()) == [("next", 10)]


def test_a_coroutine_closed_while_it_waits_leaves_the_queue(run):
    async def main():
        limiter, clock = oxio.RateLimiter(1), Clock()
        await limiter.acquire()
        dropped = limiter.acquire()
        dropped.send(None)
        assert limiter.statistics().tasks_waiting == 1
        dropped.close()
        assert limiter.statistics().tasks_waiting == 0
        assert asyncio.get_running_loop().pending_timers() == []
        await clock.take(limiter, "next")
        return clock.granted

    assert run(main()) == [("next", 1)]


def test_coroutines_dropped_after_their_loop_was_closed_are_silent(loop_module, recorded_warnings):
    limiter, waiting = oxio.RateLimiter(1, burst=3), []

    async def main():
        await limiter.acquire(3)
        for n in (1, 2, 3):
            waiting.append(limiter.acquire(n))
            waiting[-1].send(None)

    loop = new_virtual_loop(loop_module)
    loop.run_until_complete(main())
    loop.close()
    while waiting:
        waiting.pop(0).close()
    assert limiter.statistics().tasks_waiting == 0
    assert recorded_warnings == []


def test_a_late_timer_does_not_lower_the_rate(run):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, clock = oxio.RateLimiter(1), Clock()
        await limiter.acquire()
        # Busy from 0.5 to 1.25: the permit of 1 comes late.
        loop.call_later(0.5, loop.advance, 0.75)
        await asyncio.gather(*(clock.take(limiter, name) for name in range(3)))
        return clock.granted

    assert run(main()) == [(0, 1.25), (1, 2), (2, 3)]


@pytest.mark.parametrize("burst", [1, 3])
def test_a_loop_that_was_blocked_lets_no_more_than_the_burst_through_at_once(run, burst):
    async def main():
        loop = asyncio.get_running_loop()
        limiter, clock = oxio.RateLimiter(1, burst=burst), Clock()
        await limiter.acquire(burst)
        loop.call_later(0.5, loop.advance, 60)
        await asyncio.gather(*(clock.take(limiter, name) for name in range(burst + 2)))
        return [time for _, time in clock.granted]

    assert run(main()) == [60.5] * burst + [61.5, 62.5]


def test_the_permit_is_spent_whatever_the_block_does(run):
    async def main():
        limiter, clock = oxio.RateLimiter(1), Clock()
        with pytest.raises(KeyError):
            async with limiter as nothing:
                assert nothing is None
                raise KeyError
        assert limiter.statistics().available == 0
        async with limiter:
            assert clock.now() == 1

    run(main())


def test_the_block_runs_in_the_tasks_own_context(run):
    variable = contextvars.ContextVar("variable", default=None)

    async def main():
        limiter = oxio.RateLimiter(1)

        async def work(name):
            variable.set(name)
            async with limiter:
                assert variable.get() == name

        await asyncio.gather(*(work(name) for name in range(5)))
        assert variable.get() is None

    run(main())


def test_statistics_and_repr_say_what_is_there_and_who_waits(run):
    limiter = oxio.RateLimiter(2, per=60, burst=3)
    assert limiter.statistics() == oxio.RateLimiterStatistics(available=3, tasks_waiting=0)
    assert repr(limiter).endswith(" [2 per 60 s, burst 3, available:3]>")

    async def main():
        clock = Clock()
        await limiter.acquire(2)
        assert limiter.statistics() == oxio.RateLimiterStatistics(available=1, tasks_waiting=0)
        tasks = [asyncio.create_task(limiter.acquire(2)) for _ in range(2)]
        await asyncio.sleep(0)
        assert limiter.statistics() == oxio.RateLimiterStatistics(available=1, tasks_waiting=2)
        assert repr(limiter).endswith(" [2 per 60 s, burst 3, available:1, waiters:2]>")
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert limiter.statistics() == oxio.RateLimiterStatistics(available=1, tasks_waiting=1)
        await tasks[1]
        for seconds, available in [(0, 0), (29.5, 0), (30, 1), (60, 2), (89, 2), (90, 3), (1000, 3)]:
            await clock.until(30 + seconds)
            assert limiter.statistics().available == available

    run(main())


@pytest.mark.parametrize("rate", [3, 7, 0.1, 1e6])
def test_what_statistics_say_is_available_can_be_taken(run, rate):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = oxio.RateLimiter(rate, burst=50)
        source = random.Random(1)
        for _ in range(300):
            await asyncio.sleep(source.randrange(10) / rate)
            available = limiter.statistics().available
            if available:
                await limiter.acquire(source.randint(1, available))
                assert loop.pending_timers() == []

    run(main())


@pytest.mark.parametrize("rate", [3, 7, 0.1, 11.3])
def test_statistics_see_a_permit_at_the_very_moment_when_it_is_there(run, rate):
    async def main():
        limiter, twin = oxio.RateLimiter(rate, burst=50), oxio.RateLimiter(rate, burst=50)
        await asyncio.sleep(1 / 3)
        await limiter.acquire(50)
        await twin.acquire(50)
        for available in range(1, 51):
            await twin.acquire()
            assert limiter.statistics().available == available

    run(main())


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((0,), {}),
        ((-1,), {}),
        ((float("inf"),), {}),
        ((float("nan"),), {}),
        ((1, 0), {}),
        ((1, -1), {}),
        ((1, float("inf")), {}),
        ((1,), {"burst": 0}),
    ],
)
def test_a_limiter_that_makes_no_sense_is_refused(arguments, options):
    with pytest.raises(ValueError, match="must be"):
        oxio.RateLimiter(*arguments, **options)


@pytest.mark.parametrize("n", [0, -1, 4])
def test_a_number_of_permits_that_is_never_there_is_refused(run, n):
    async def main():
        with pytest.raises(ValueError, match=r"between 1 and burst \(3\)"):
            await oxio.RateLimiter(1, burst=3).acquire(n)

    run(main())


def test_another_loop_is_refused(run):
    limiter = oxio.RateLimiter(100)

    async def main():
        await limiter.acquire()

    run(main())
    with pytest.raises(RuntimeError, match="bound to a different event loop"):
        run(main())


def test_the_examples_take_as_long_as_they_say(loop_module):
    assert run_example(loop_module, oxio.RateLimiter) == pytest.approx(1.9)
    assert run_example(loop_module, oxio.RateLimiter.acquire) == pytest.approx(0.934464)
