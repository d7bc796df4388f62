"""A loop whose clock stands still while anything is ready and jumps to the next timer when nothing is.

Hours pass in milliseconds, and a timer fires at exactly its time. It works on asyncio's loop and on oxio's, by what
both do in a turn: they ask `time()` once before they run callbacks, and once more, before that, when nothing is ready
and they would wait for a timer. So the second question of a turn means idleness, and the answer is the next timer's
time. A descriptor that is always readable keeps the real wait from waiting.

A program that waits for anything but timers spins until the watchdog ends it. Debug mode stays off: asyncio's loop asks
for the time around every callback then.
"""

import asyncio
import functools
import heapq
import inspect
import os
import sys
import textwrap


class _VirtualTime:
    """Comes before a loop class: `class Loop(_VirtualTime, asyncio.SelectorEventLoop)`."""

    START = 1000.0

    def __init__(self):
        self._now = self.START
        self._asked = 0
        self._timers = []
        super().__init__()
        self._always_readable, other = os.pipe()
        os.close(other)
        self.add_reader(self._always_readable, lambda: None)

    def time(self):
        # Only the loop's own questions count, not those of a callback in the same turn.
        if sys._getframe(1).f_code.co_name == "_run_once":
            self._asked += 1
            if self._asked == 2:
                self._jump()
        return self._now

    def call_at(self, when, callback, *args, context=None):
        timer = super().call_at(when, callback, *args, context=context)
        heapq.heappush(self._timers, (when, id(timer), timer))
        return timer

    def advance(self, seconds):
        """Let time pass inside a callback or a task, as a computation that blocks the loop would."""
        self._now += seconds

    def pending_timers(self):
        """The times of the timers that have neither fired nor been cancelled."""
        return sorted(when for when, _, timer in self._timers if when > self._now and not timer.cancelled())

    def set_debug(self, enabled):
        super().set_debug(False)

    def _run_once(self):
        self._asked = 0
        super()._run_once()

    def _jump(self):
        while self._timers:
            when, _, timer = self._timers[0]
            if when > self._now and not timer.cancelled():
                self._now = when
                return
            heapq.heappop(self._timers)

    def close(self):
        if not self.is_closed():
            self.remove_reader(self._always_readable)
            os.close(self._always_readable)
        self._timers.clear()
        super().close()


@functools.cache
def virtual_loop_class(loop_class):
    """A subclass of `loop_class` that has virtual time."""
    return type(f"Virtual{loop_class.__name__}", (_VirtualTime, loop_class), {})


def new_virtual_loop(loop_module):
    """A new loop of `asyncio` or `oxio`, with virtual time."""
    return virtual_loop_class(loop_module.SelectorEventLoop)()


def run_in_virtual_time(loop_module, main):
    """`asyncio.run` in virtual time. Fails when `main` leaves a task behind."""
    with asyncio.Runner(loop_factory=lambda: new_virtual_loop(loop_module)) as runner:
        return runner.run(_and_nobody_is_left(main))


def run_example(loop_module, described):
    """Runs `main()` of the example in a docstring, in virtual time. Returns the seconds that it took by its clock."""
    example = textwrap.dedent(inspect.getdoc(described).partition("\nExample:\n")[2])
    names = {"oxio": sys.modules["oxio"]}
    exec(example, names)

    async def main():
        loop = asyncio.get_running_loop()
        await names["main"]()
        return loop.time() - loop.START

    return run_in_virtual_time(loop_module, main())


async def _and_nobody_is_left(main):
    result = await main
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    return result
