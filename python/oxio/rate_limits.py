"""RateLimiter: so many per second, whoever asks, in the order in which they asked.

Why a schedule and not a bucket that is filled up: every permit has an exact time, one multiplication away from the
moment the limiter was last full. So nothing polls, rounding errors do not add up, and one timer is enough, that of the
task at the head of the queue. It is the token bucket all the same, in the form that ATM networks call the generic cell
rate algorithm: when the bucket would be full again is all there is to know about it.

Always so: `_full_at` is when the limiter was last full, `_taken` the permits given since then. The queue holds futures
that are pending, or cancelled and about to be removed. A future with a result has left it and has its permits. There is
a timer when, and only when, somebody is in the queue.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass

from oxio.events import get_running_loop

__all__ = ("RateLimiter", "RateLimiterStatistics")


@dataclass(frozen=True, slots=True)
class RateLimiterStatistics:
    """What `RateLimiter.statistics()` returns."""

    available: int
    """Permits that are there, whether or not somebody waits for more of them."""
    tasks_waiting: int
    """Tasks in the queue."""


class RateLimiter:
    """Gives `rate` permits every `per` seconds, and at most `burst` of them at once.

    What nobody takes is saved up, to `burst` permits at most. So no stretch of `s` seconds sees more than
    `burst + s * rate / per` permits. With the default burst of 1 they are evenly spaced.

    First come, first served: a task that wants many permits is not overtaken by one that wants few. A task that is
    cancelled leaves the queue, and those behind it move up.

    A loop that is late with a timer does not lower the rate: the permits after it keep their times. It can
    put one permit more into a stretch than was said, and never lets more than `burst` through at once.

    Thread: that of the loop on which the limiter was first used; other loops are refused.

    Example:
        limiter = oxio.RateLimiter(10)

        async def fetch(number: int) -> None:
            async with limiter:
                print(number)

        async def main() -> None:
            await oxio.gather(*(fetch(number) for number in range(20)))  # 1.9 seconds
    """

    def __init__(self, rate: float, per: float = 1.0, *, burst: int = 1) -> None:
        """Makes a limiter that is full: the first `burst` permits are there at once.

        Args:
            rate: Permits every `per` seconds; need not be whole.
            per: Seconds.
            burst: How many permits may go at once, and the most that one `acquire()` may ask for.

        Raises:
            ValueError: `rate` or `per` is not positive and finite, or `burst` is less than 1.
        """
        if not 0 < rate < math.inf:
            raise ValueError(f"rate must be positive and finite, not {rate!r}")
        if not 0 < per < math.inf:
            raise ValueError(f"per must be positive and finite, not {per!r}")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, not {burst!r}")
        self._rate = rate
        self._per = per
        self._burst = burst
        self._loop: asyncio.AbstractEventLoop | None = None
        self._full_at = 0.0
        self._taken = 0
        # Ordered: the first is found, and any is removed, without a search.
        self._queue: OrderedDict[asyncio.Future[float], int] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, n: int = 1) -> None:
        """Takes `n` permits; waits in the queue until it may.

        Does not suspend when the permits are there and the queue is empty.

        Cancel safety: a cancelled call has taken nothing. Permits that came too late for it go to the next.

        Raises:
            ValueError: `n` is less than 1, or more than `burst`: so many are never there.
            RuntimeError: The limiter was used on another loop before.

        Example:
            bytes_per_second = oxio.RateLimiter(1_000_000, burst=65_536)

            async def main() -> None:
                for _ in range(20):
                    await bytes_per_second.acquire(50_000)  # 0.93 seconds in all
        """
        if not 1 <= n <= self._burst:
            raise ValueError(f"n must be between 1 and burst ({self._burst}), not {n!r}")
        loop = get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        now = loop.time()
        if not self._queue:
            if now >= self._due(self._burst):
                self._full_at, self._taken = now, 0
            if now >= self._due(n):
                self._taken += n
                return
        waiter: asyncio.Future[float] = loop.create_future()
        self._queue[waiter] = n
        if self._timer is None:
            self._serve(loop, now)
        try:
            await waiter
        except BaseException:  # GeneratorExit too: a task may be dropped.
            if waiter.done() and not waiter.cancelled():
                self._give_back(n, waiter.result())
            else:
                self._queue.pop(waiter, None)
            self._serve(loop, loop.time())
            raise

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        """Does nothing: a permit is spent, not lent."""

    def _due(self, n: int) -> float:
        """When `n` more permits are there. `_due(self._burst)` is when the limiter is full."""
        return self._full_at + (self._taken + n - self._burst) * self._per / self._rate

    def _serve(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Lets go those at the head of the queue whose time has come, and sets the timer for the next."""
        if loop.is_closed():
            # A task was dropped after its loop ended: nobody is left to serve.
            return
        while self._queue:
            waiter, n = next(iter(self._queue.items()))
            if not waiter.done():
                due = self._due(n)
                if now < due:
                    self._set_timer(loop, due)
                    return
                # Late. By less than one permit the schedule stands, or lateness would add up; by more, what it says
                # is history, or all that came due meanwhile would go at once.
                if now >= self._due(self._burst + 1):
                    self._full_at, self._taken = now, 0
                self._taken += n
                waiter.set_result(self._full_at)
            del self._queue[waiter]
        self._set_timer(loop, None)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, when: float | None) -> None:
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
        self._timer = None if when is None else loop.call_at(when, self._on_timer, loop, when)

    def _on_timer(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer = None
        # asyncio fires timers early, by up to the resolution of its clock.
        self._serve(loop, max(when, loop.time()))

    def _give_back(self, n: int, full_at: float) -> None:
        """Undoes a grant. If the limiter was full since, these permits would have made no difference."""
        if self._full_at == full_at:
            self._taken -= n

    def statistics(self) -> RateLimiterStatistics:
        """How many permits are there, and how many tasks wait."""
        waiting = sum(not waiter.done() for waiter in self._queue)
        return RateLimiterStatistics(self._available(), waiting)

    def _available(self) -> int:
        if self._loop is None:
            return self._burst
        now = self._loop.time()
        since = math.floor((now - self._full_at) * self._rate / self._per)
        # One more, and then `_due()` decides: it must not be said otherwise here, by a rounding error.
        available = max(0, min(self._burst, self._burst - self._taken + since + 1))
        while available and self._due(available) > now:
            available -= 1
        return available

    def __repr__(self) -> str:
        now = self.statistics()
        extra = f"{self._rate:g} per {self._per:g} s, burst {self._burst}, available:{now.available}"
        if now.tasks_waiting:
            extra += f", waiters:{now.tasks_waiting}"
        return f"<{super().__repr__()[1:-1]} [{extra}]>"
