"""map_concurrent and race: many awaitables at once, and none left behind.

What both promise, and why they are more than a few lines around `gather`: whatever way they end, by a result, an error,
cancellation or an iterator that is closed early, every task that they made is done by then. `_wait_until_done()` is the
one place where they wait for that.

Thread: the loop's. Only asyncio's public API is used, so any asyncio loop will do.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from typing import Any, Generic, TypeVar, overload

import oxio

__all__ = ("map_concurrent", "race")

_T = TypeVar("_T")
_R = TypeVar("_R")
_T1 = TypeVar("_T1")
_T2 = TypeVar("_T2")
_T3 = TypeVar("_T3")
_T4 = TypeVar("_T4")
_T5 = TypeVar("_T5")


def map_concurrent(
    func: Callable[[_T], Awaitable[_R]],
    source: AsyncIterable[_T] | Iterable[_T],
    *,
    limit: int,
    ordered: bool = True,
) -> AsyncGenerator[_R, None]:
    """Calls `func` with each item of `source`, `limit` calls at a time, and iterates over the results.

    An item is taken from the source only when there is room. A call takes up room from the moment its item is asked for
    until the consumer takes its result. So a slow consumer holds back the calls, and they the source.

    Nothing happens before the first `anext()`. From then on calls run in the background, also while the consumer works.

    The first failure, of a call or of the source, cancels the calls that still run. Results that were next in line at
    that moment are handed out first. Then what was cancelled is waited for and the error raised, with a note for every
    call that ended in another error when it was cancelled. A call that somebody else cancelled counts as failed.

    Closing the iterator cancels the calls and waits for them. `contextlib.aclosing()` does that on the spot; after a
    mere `break` the event loop does it, a moment later. A source that is an async generator is closed too, so that one
    such iterator can be the source of another; other sources are left as they are.

    Args:
        func: An async function of one item.
        source: Where the items come from; iterated in one task of its own. An ordinary iterable must not block.
        limit: The most calls at a time, counting those whose results were not taken yet.
        ordered: True: results come in the order of the items, and one slow call holds up those behind it. False: they
            come as they get ready.

    Raises:
        ValueError: `limit` is less than 1.
        TypeError: `source` cannot be iterated.

    Context: calls and source see the variables of the first `anext()`; what a call sets, it alone sees.

    Cancel safety: cancelling a task that waits in `anext()` ends the iteration, as closing does.

    Thread: the loop's; one task at a time, as for any async generator.

    Example:
        import contextlib

        async def double(number: int) -> int:
            await oxio.sleep(0.1)
            return 2 * number

        async def main() -> None:
            async with contextlib.aclosing(oxio.map_concurrent(double, range(100), limit=10)) as results:
                async for result in results:  # a second in all
                    print(result)
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit!r}")
    items = aiter(source) if isinstance(source, AsyncIterable) else _make_async(iter(source))
    return _Mapping(func, items, limit, ordered).results()


async def _make_async(items: Iterator[_T]) -> AsyncIterator[_T]:
    for item in items:
        yield item


class _Mapping(Generic[_T, _R]):
    """One `map_concurrent()`: the feeder takes items and starts calls, `results()` hands out what they return.

    It is going until the first failure or the end of `results()`. From then on no call is started or gets ready, and
    everything that runs has been cancelled, once.
    """

    def __init__(
        self, func: Callable[[_T], Awaitable[_R]], items: AsyncIterator[_T], limit: int, ordered: bool
    ) -> None:
        self._func = func
        self._items = items
        self._ordered = ordered
        self._room = oxio.Semaphore(limit)
        self._news = oxio.Event()
        self._going = True
        # The feeder and the calls whose end was not dealt with yet.
        self._running: set[asyncio.Future[Any]] = set()
        # Calls to hand out. Ordered: all of them, running or not, as their items came. Otherwise as they ended.
        self._ready: deque[asyncio.Future[_R]] = deque()
        # What failed first, and what was cancelled for it.
        self._failed: asyncio.Future[Any] | None = None
        self._cancelled: set[asyncio.Future[Any]] = set()

    async def results(self) -> AsyncGenerator[_R, None]:
        self._watch(oxio.create_task(self._feed()), self._feeder_ended)
        try:
            while True:
                if self._ready and self._ready[0] not in self._running:
                    call = self._ready.popleft()
                    self._room.release()
                    yield call.result()
                elif self._failed is not None or not self._running:
                    break
                else:
                    self._news.clear()
                    await self._news.wait()
        finally:
            self._stop()
            await _wait_until_done(self._running)
        if self._failed is not None:
            self._raise()

    async def _feed(self) -> None:
        try:
            while True:
                await self._room.acquire()
                try:
                    item = await anext(self._items)
                except StopAsyncIteration:
                    return
                if not self._going:
                    # The source swallowed the cancellation and went on.
                    return
                call = oxio.ensure_future(self._func(item))
                if self._ordered:
                    self._ready.append(call)
                self._watch(call, self._call_ended)
        finally:
            if isinstance(self._items, AsyncGenerator):
                await self._items.aclose()

    def _watch(self, future: asyncio.Future[Any], ended: Callable[[asyncio.Future[Any]], None]) -> None:
        self._running.add(future)
        future.add_done_callback(ended)

    def _feeder_ended(self, feeder: asyncio.Future[None]) -> None:
        if self._going and _has_failed(feeder):
            self._fail(feeder)
        self._running.discard(feeder)
        self._news.set()

    def _call_ended(self, call: asyncio.Future[_R]) -> None:
        if self._going:
            if _has_failed(call):
                self._fail(call)
            elif not self._ordered:
                self._ready.append(call)
        self._running.discard(call)
        self._news.set()

    def _fail(self, failed: asyncio.Future[Any]) -> None:
        """Stops, but for the results that are next in line: which those are must not depend on the consumer's speed."""
        self._failed = failed
        # Neither what failed nor what comes after something that runs; `failed` itself still counts as running.
        self._ready = deque(itertools.takewhile(lambda call: call not in self._running, self._ready))
        self._cancelled = self._running - {failed}
        self._stop()

    def _stop(self) -> None:
        if self._going:
            self._going = False
            for future in self._running:
                future.cancel()

    def _raise(self) -> None:
        """Raises what the first failure raised, with notes on the errors that its cancellations brought about."""
        assert self._failed is not None
        failed, cancelled = self._failed, self._cancelled
        # The error's traceback leads to this object, and must not lead on to the error.
        self._failed, self._cancelled = None, set()
        try:
            failed.result()
        except BaseException as error:
            for future in cancelled:
                if _has_failed(future) and not future.cancelled():
                    error.add_note(f"When the rest was cancelled: {future.exception()!r}")
            raise
        finally:
            del failed, cancelled


@overload
async def race(first: Awaitable[_T1], /) -> _T1: ...
@overload
async def race(first: Awaitable[_T1], second: Awaitable[_T2], /) -> _T1 | _T2: ...
@overload
async def race(
    first: Awaitable[_T1], second: Awaitable[_T2], third: Awaitable[_T3], /
) -> _T1 | _T2 | _T3: ...
@overload
async def race(
    first: Awaitable[_T1], second: Awaitable[_T2], third: Awaitable[_T3], fourth: Awaitable[_T4], /
) -> _T1 | _T2 | _T3 | _T4: ...
@overload
async def race(
    first: Awaitable[_T1],
    second: Awaitable[_T2],
    third: Awaitable[_T3],
    fourth: Awaitable[_T4],
    fifth: Awaitable[_T5],
    /,
) -> _T1 | _T2 | _T3 | _T4 | _T5: ...
@overload
async def race(*aws: Awaitable[_T]) -> _T: ...
async def race(*aws: Awaitable[Any]) -> Any:
    """Runs awaitables at once and returns the result of the first that *succeeds*; the others are cancelled.

    One that fails is out of the race, which goes on: what people race are mirrors and replicas, and the first to
    finish is too often the one that is down. So it is JavaScript's `Promise.any()`, and what happy eyeballs do. Where
    an error should end it too, as in `Promise.race()`, use `oxio.wait(..., return_when=oxio.FIRST_COMPLETED)`.

    Everything has ended when it returns or raises: losers are cancelled and waited for. That includes tasks
    and futures that were passed in; `oxio.shield()` keeps one out of it. What a loser returns or raises after all is
    dropped, so one that opens something should close it when it is cancelled.

    Of several that succeed in the same turn of the loop, the one that did so first wins.

    Args:
        aws: Coroutines, tasks, futures or other awaitables; each of them once, however often it is given.

    Raises:
        ValueError: There are none.
        ExceptionGroup: All failed. It has their errors in the order of the arguments, without those that
            were cancelled by somebody else.
        asyncio.CancelledError: All were cancelled by somebody else.

    Cancel safety: cancelling it cancels all, and waits for them.

    Thread: the loop's.

    Example:
        async def mirror(host: str, seconds: float) -> str:
            await oxio.sleep(seconds)
            return host

        async def main() -> None:
            print(await oxio.race(mirror("near", 0.1), mirror("far", 0.2)))  # near
    """
    if not aws:
        raise ValueError("race needs at least one awaitable")
    decided: asyncio.Future[asyncio.Future[Any] | None] = oxio.get_running_loop().create_future()
    entrants: list[asyncio.Future[Any]] = []
    left = 0

    def ended(entrant: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        if decided.done():
            return
        if not _has_failed(entrant):
            decided.set_result(entrant)
        elif left == 0:
            decided.set_result(None)

    try:
        for awaitable in dict.fromkeys(aws):
            entrants.append(oxio.ensure_future(awaitable))
        left = len(entrants)
        for entrant in entrants:
            entrant.add_done_callback(ended)
        winner = await decided
    finally:
        for entrant in entrants:
            if entrant.done():
                _has_failed(entrant)  # Marks its error as seen: asyncio would log it.
            else:
                entrant.cancel()
        await _wait_until_done(entrants)
    if winner is not None:
        return winner.result()
    errors = [error for entrant in entrants if not entrant.cancelled() and (error := entrant.exception())]
    if not errors:
        entrants[0].result()
    raise BaseExceptionGroup("all in the race failed", errors)


def _has_failed(future: asyncio.Future[Any]) -> bool:
    """Whether `future`, which is done, has an error or was cancelled."""
    return future.cancelled() or future.exception() is not None


async def _wait_until_done(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Waits for futures that were cancelled; one that does not give in is waited for all the same.

    A cancellation of the caller meanwhile is passed on to them, and raised when they are done.
    """
    cancellation: asyncio.CancelledError | None = None
    while pending := {future for future in futures if not future.done()}:
        try:
            await oxio.wait(pending)
        except asyncio.CancelledError as error:
            cancellation = error
            for future in pending:
                future.cancel()
    if cancellation is not None:
        try:
            raise cancellation
        finally:
            del cancellation
