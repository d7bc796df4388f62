"""asyncio with one small mistake each: what a fuzzer that is worth its time must notice.

Each is a mistake that a rewrite makes, and most let every plain use work. The code around the mistake is asyncio's
idea in our words, for all supported versions.
"""

import asyncio
import contextvars
import inspect
from asyncio import CancelledError, timeouts
from collections import deque


class LifoLock(asyncio.Lock):
    """The waiter that came last gets it."""

    def _wake_up_first(self):
        for waiter in reversed(self._waiters or ()):
            if not waiter.done():
                waiter.set_result(True)
                return


class UnfairLock(asyncio.Lock):
    """Whoever comes between the release and the wake-up gets it; and then two have it."""

    async def acquire(self):
        if not self._locked:
            self._locked = True
            return True
        return await super().acquire()


class ForgetfulLock(asyncio.Lock):
    """A waiter that was woken and then cancelled keeps the wake-up to itself."""

    async def acquire(self):
        if not self._locked and all(waiter.cancelled() for waiter in self._waiters or ()):
            return await super().acquire()
        if self._waiters is None:
            self._waiters = deque()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
        self._locked = True
        return True


class LateLock(asyncio.Lock):
    """An acquire that need not wait lets others go first."""

    async def acquire(self):
        await asyncio.sleep(0)
        return await super().acquire()


class UnfairSemaphore(asyncio.Semaphore):
    """Whoever comes while there is a value gets it, however many wait."""

    async def acquire(self):
        if self._value:
            self._value -= 1
            return True
        return await super().acquire()


class SlackSemaphore(asyncio.BoundedSemaphore):
    """The bound is one too high."""

    def __init__(self, value=1):
        super().__init__(value)
        self._bound_value += 1


class BackwardEvent(asyncio.Event):
    """Wakes in the wrong order."""

    def set(self):
        self._waiters = type(self._waiters)(reversed(self._waiters))
        super().set()


class GreedyCondition(asyncio.Condition):
    """A notification more than was asked for."""

    def notify(self, n=1):
        super().notify(n + 1)


class DeafCondition(asyncio.Condition):
    """A cancelled wait() does not take the lock again before it ends."""

    async def wait(self):
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        self.release()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
        await self.acquire()
        return True


class MiscountingBarrier(asyncio.Barrier):
    """The number that a party gets is that of a barrier that counts from the other end."""

    async def wait(self):
        return self.parties - 1 - await super().wait()


class ForgetfulQueue(asyncio.Queue):
    """A getter that was woken and then cancelled keeps the item's wake-up to itself."""

    async def get(self):
        while self.empty():
            if getattr(self, "_is_shutdown", False):
                return self.get_nowait()
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                getter.cancel()
                if getter in self._getters:
                    self._getters.remove(getter)
                raise
        return self.get_nowait()


class BackwardQueue(asyncio.Queue):
    """A free place goes to the putter that came last."""

    def _wakeup_next(self, waiters):
        if waiters is self._putters:
            while waiters:
                waiter = waiters.pop()
                if not waiter.done():
                    waiter.set_result(None)
                    return
        super()._wakeup_next(waiters)


class LateQueue(asyncio.Queue):
    """join() goes on a turn late."""

    async def join(self):
        await super().join()
        await asyncio.sleep(0)


class SortedQueue(asyncio.PriorityQueue):
    """Sorted instead of a heap, so an item that cannot be compared is refused before it is in."""

    def _put(self, item):
        self._queue.append(item)
        try:
            self._queue.sort()
        except TypeError:
            self._queue.remove(item)
            raise


class ForgetfulTimeout(asyncio.Timeout):
    """Turns the cancellation into TimeoutError, and leaves the task cancelled in its books."""

    async def __aexit__(self, kind, error, traceback):
        if self._state is not timeouts._State.EXPIRING:
            return await super().__aexit__(kind, error, traceback)
        self._state = timeouts._State.EXPIRED
        if kind is CancelledError and self._task.cancelling() - 1 <= self._cancelling:
            raise TimeoutError from error


class StubbornTimeout(asyncio.Timeout):
    """Reports TimeoutError although somebody else cancelled the task as well."""

    async def __aexit__(self, kind, error, traceback):
        expired = self.expired()
        result = await super().__aexit__(kind, error, traceback)
        if expired and kind is CancelledError:
            raise TimeoutError from error
        return result


class LateTimeout(asyncio.Timeout):
    """A deadline that has passed is seen a turn late."""

    def reschedule(self, when):
        super().reschedule(when)
        loop = asyncio.get_running_loop()
        if when is not None and when <= loop.time():
            self._timeout_handler.cancel()
            self._timeout_handler = loop.call_soon(loop.call_soon, self._when_due)

    def _when_due(self):
        if self._state is timeouts._State.ENTERED:
            self._on_timeout()


class LenientGroup(asyncio.TaskGroup):
    """A child that fails takes only one other with it."""

    def _abort(self):
        self._aborting = True
        for task in list(self._tasks)[:1]:
            task.cancel()


class LateGroup(asyncio.TaskGroup):
    """The block ends a turn late."""

    async def __aexit__(self, *exception):
        try:
            return await super().__aexit__(*exception)
        finally:
            await asyncio.sleep(0)


class GreedyReader(asyncio.StreamReader):
    """readexactly() at the end of the stream leaves what it has shown in the buffer."""

    async def readexactly(self, n):
        try:
            return await super().readexactly(n)
        except asyncio.IncompleteReadError as error:
            self._buffer.extend(error.partial)
            raise


class TimidReader(asyncio.StreamReader):
    """Stops its transport a byte too early."""

    def feed_data(self, data):
        super().feed_data(data)
        if not self._paused and len(self._buffer) == 2 * self._limit:
            self._transport.pause_reading()
            self._paused = True


def backward_gather(*awaitables, return_exceptions=False):
    """Results in the wrong order, when all are there."""
    return asyncio.gather(*reversed(awaitables), return_exceptions=return_exceptions)


def late_gather(*awaitables, return_exceptions=False):
    """Done a turn late."""

    async def children():
        return await asyncio.gather(*awaitables, return_exceptions=return_exceptions)

    return asyncio.ensure_future(children())


async def late_wait_for(awaitable, timeout):
    """What it waits for runs in a task of its own."""
    return await asyncio.wait_for(asyncio.ensure_future(awaitable), timeout)


def bare_shield(awaitable):
    """Lets the cancel through."""
    return asyncio.ensure_future(awaitable)


async def hasty_wait(awaitables, *, timeout=None, return_when=asyncio.ALL_COMPLETED):
    """A cancelled task is taken for one that failed."""
    futures = set(awaitables)
    if return_when != asyncio.FIRST_EXCEPTION or not all(map(asyncio.isfuture, futures)) or not futures:
        return await asyncio.wait(awaitables, timeout=timeout, return_when=return_when)
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake(future=None):
        left = sum(not future.done() for future in futures)
        if (not left or future is None or future.cancelled() or future.exception()) and not waiter.done():
            waiter.set_result(None)

    timer = None if timeout is None else loop.call_later(timeout, wake)
    for future in futures:
        future.add_done_callback(wake)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(wake)
    done = {future for future in futures if future.done()}
    return done, futures - done


def ordered_as_completed(awaitables, *, timeout=None):
    """In the order of the arguments."""
    for awaitable in dict.fromkeys(awaitables):
        yield asyncio.wait_for(asyncio.shield(awaitable), timeout)


async def busy_sleep(delay, result=None):
    """sleep(0) does not let go."""
    if delay > 0:
        return await asyncio.sleep(delay, result)
    return result


async def lazy_sleep(delay, result=None):
    """sleep(0) lets go twice."""
    if delay <= 0:
        await asyncio.sleep(0)
    return await asyncio.sleep(delay, result)


def confused_create_task(coro, *, name=None, context=None):
    """An empty context is taken for none."""
    return asyncio.create_task(coro, name=name, context=context or contextvars.copy_context())


MUTANTS = {
    LifoLock: ("Lock", "locks cancels"),
    UnfairLock: ("Lock", "locks cancels"),
    ForgetfulLock: ("Lock", "locks cancels"),
    LateLock: ("Lock", "locks cancels"),
    UnfairSemaphore: ("Semaphore", "semaphores cancels"),
    SlackSemaphore: ("BoundedSemaphore", "semaphores cancels"),
    BackwardEvent: ("Event", "events time cancels"),
    GreedyCondition: ("Condition", "conditions cancels"),
    DeafCondition: ("Condition", "conditions cancels"),
    MiscountingBarrier: ("Barrier", "barriers cancels"),
    ForgetfulQueue: ("Queue", "queues takers cancels"),
    BackwardQueue: ("Queue", "queues givers cancels"),
    LateQueue: ("Queue", "queues cancels"),
    SortedQueue: ("PriorityQueue", "queues cancels"),
    GreedyReader: ("StreamReader", "readers cancels"),
    TimidReader: ("StreamReader", "readers cancels"),
    LenientGroup: ("TaskGroup", "groups cancels catches"),
    LateGroup: ("TaskGroup", "groups cancels catches"),
    ForgetfulTimeout: ("timeout", "time catches cancels"),
    StubbornTimeout: ("timeout", "time catches cancels"),
    LateTimeout: ("timeout", "time catches cancels"),
    backward_gather: ("gather", "futures gathers cancels"),
    late_gather: ("gather", "futures gathers cancels"),
    late_wait_for: ("wait_for", "futures waits time shields"),
    bare_shield: ("shield", "futures gathers shields cancels"),
    hasty_wait: ("wait", "futures waits cancels"),
    ordered_as_completed: ("as_completed", "futures completed time"),
    busy_sleep: ("sleep", "locks cancels"),
    lazy_sleep: ("sleep", "locks cancels"),
    confused_create_task: ("create_task", "context groups waits"),
}
"""A mistake, the name of asyncio's that has it, and a theme of programs that use the name."""


class Names:
    """asyncio with one mistake in it, under asyncio's name everywhere: a repr must not be what tells."""

    def __init__(self, mutant):
        name, _ = MUTANTS[mutant]
        if isinstance(mutant, type) and name != "timeout":
            for function in vars(mutant).values():
                if inspect.isfunction(function):
                    function.__qualname__ = f"{name}.{function.__name__}"
            mutant.__name__ = mutant.__qualname__ = name
            mutant.__module__ = "asyncio"
        elif name == "timeout":
            self.timeout_at = mutant
            mutant = self._timeout
        else:
            mutant.__name__ = mutant.__qualname__ = name
        setattr(self, name, mutant)

    def _timeout(self, delay):
        return self.timeout_at(None if delay is None else asyncio.get_running_loop().time() + delay)

    def __getattr__(self, name):
        return getattr(asyncio, name)
