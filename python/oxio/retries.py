"""retry: call an async function again when it fails, with pauses that grow and differ.

Why full jitter: callers that failed together come back together when they all wait the same time, and the service
that was down goes down again. A pause anywhere between nothing and a growing limit spreads them.
Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

All of a call, its attempts and its pauses, runs in the task and the context of the caller. One timer at a time is set:
an attempt's, or a pause's.
"""

from __future__ import annotations

import functools
import inspect
import math
import random as _random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from traceback import format_exception_only
from typing import Any, ParamSpec, TypeVar, overload

import oxio

__all__ = ("RetryAttempt", "retry")

_P = ParamSpec("_P")
_T = TypeVar("_T")

# How many earlier errors a note tells of. A call that goes on for days must not keep them all.
_REMEMBERED = 10


@dataclass(frozen=True, slots=True)
class RetryAttempt:
    """An attempt that failed and is followed by another: what `on_retry` is given."""

    number: int
    """1 for the first."""
    error: Exception
    """What it raised; a `TimeoutError` when it ran out of `attempt_timeout`."""
    delay: float
    """Seconds until the next attempt."""
    elapsed: float
    """Seconds since the call began."""


@overload
def retry(
    func: Callable[_P, Awaitable[_T]],
    /,
    *,
    attempts: int | None = 3,
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] = Exception,
    delay: float = 0.1,
    factor: float = 2.0,
    max_delay: float = 30.0,
    attempt_timeout: float | None = None,
    total_timeout: float | None = None,
    on_retry: Callable[[RetryAttempt], object] | None = None,
    random: _random.Random | None = None,
) -> Callable[_P, Coroutine[Any, Any, _T]]: ...
@overload
def retry(
    func: None = None,
    /,
    *,
    attempts: int | None = 3,
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] = Exception,
    delay: float = 0.1,
    factor: float = 2.0,
    max_delay: float = 30.0,
    attempt_timeout: float | None = None,
    total_timeout: float | None = None,
    on_retry: Callable[[RetryAttempt], object] | None = None,
    random: _random.Random | None = None,
) -> Callable[[Callable[_P, Awaitable[_T]]], Callable[_P, Coroutine[Any, Any, _T]]]: ...
def retry(
    func: Callable[_P, Awaitable[_T]] | None = None,
    /,
    *,
    attempts: int | None = 3,
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] = Exception,
    delay: float = 0.1,
    factor: float = 2.0,
    max_delay: float = 30.0,
    attempt_timeout: float | None = None,
    total_timeout: float | None = None,
    on_retry: Callable[[RetryAttempt], object] | None = None,
    random: _random.Random | None = None,
) -> Any:
    """Makes an async function that calls `func` until it succeeds, or there is no point in going on.

    A decorator, with or without options, and a function of functions: `await retry(func, attempts=5)(url)`.

    Before the next attempt it pauses for a random time between 0 and `delay`; that limit grows by `factor` with each
    attempt, up to `max_delay`. It gives up when the attempts are used up, when the error is none of `on`, and when the
    next attempt could not begin before `total_timeout` is over. Then the last error is raised, with a note
    (`__notes__`) for each earlier one, the last ten at most.

    What is not an `Exception` is never caught: cancellation, `KeyboardInterrupt`, `SystemExit`.

    Args:
        func: The function; each attempt calls it anew with the same arguments.
        attempts: How many at most, the first included. None: no limit.
        on: The exceptions after which to try again: a type, a tuple of types, or a function that is given the exception
            and says whether. An attempt that ran out of `attempt_timeout` is followed by another in any case.
        delay: Seconds: the limit of the first pause.
        factor: By how much the limit grows.
        max_delay: Seconds: what it grows to.
        attempt_timeout: Seconds after which an attempt is cancelled and counts as failed with `TimeoutError`.
        total_timeout: Seconds for the whole call. An attempt that runs when they are over is cancelled, and
            `TimeoutError` is raised.
        on_retry: Called before each pause. What it raises ends the call.
        random: Where the pauses come from, for pauses that can be repeated. None: the `random` module.

    Raises:
        ValueError: An option is out of its range.
        TypeError: `on` has a type that is not an `Exception`, or `func` is an async generator function.

    Cancel safety: cancelling the call cancels the attempt or ends the pause, and nothing is tried again.

    Thread: no state is shared between calls, so that of the caller's loop.

    Example:
        answers = iter([ConnectionResetError(), TimeoutError(), "page"])

        @oxio.retry(on=(ConnectionError, TimeoutError), attempts=5, attempt_timeout=2.0)
        async def fetch() -> str:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def main() -> None:
            print(await fetch())  # page, after up to 0.3 seconds
    """
    for name, value in (("delay", delay), ("max_delay", max_delay)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, not {value!r}")
    for name, limit in (("attempt_timeout", attempt_timeout), ("total_timeout", total_timeout)):
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be positive, or None, not {limit!r}")
    if attempts is not None and attempts < 1:
        raise ValueError(f"attempts must be at least 1, or None, not {attempts!r}")
    if not factor >= 1:
        raise ValueError(f"factor must be at least 1, not {factor!r}")
    policy = _Policy(
        attempts=math.inf if attempts is None else attempts,
        is_worth_it=_predicate(on),
        delay=delay,
        factor=factor,
        max_delay=max_delay,
        attempt_timeout=math.inf if attempt_timeout is None else attempt_timeout,
        total_timeout=math.inf if total_timeout is None else total_timeout,
        on_retry=on_retry,
        uniform=_random.uniform if random is None else random.uniform,
    )
    return policy.wrap if func is None else policy.wrap(func)


def _predicate(
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool],
) -> Callable[[Exception], bool]:
    if not isinstance(on, (type, tuple)):
        return on
    types = on if isinstance(on, tuple) else (on,)
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"retry catches subclasses of Exception only, not {kind!r}")
    return lambda error: isinstance(error, types)


@dataclass(frozen=True, slots=True)
class _Policy:
    """The options, checked; "no limit" is infinity."""

    attempts: float
    is_worth_it: Callable[[Exception], bool]
    delay: float
    factor: float
    max_delay: float
    attempt_timeout: float
    total_timeout: float
    on_retry: Callable[[RetryAttempt], object] | None
    uniform: Callable[[float, float], float]

    def wrap(self, func: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
        if inspect.isasyncgenfunction(func):
            raise TypeError("retry cannot take back what an async generator function has yielded")

        @functools.wraps(func)
        async def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            return await self.call(functools.partial(func, *args, **kwargs))

        return call

    async def call(self, func: Callable[[], Awaitable[_T]]) -> _T:
        loop = oxio.get_running_loop()
        start = loop.time()
        deadline = start + self.total_timeout
        limit = min(self.delay, self.max_delay)
        notes: deque[str] = deque(maxlen=_REMEMBERED)
        number = 1
        while True:
            # Not tried again: that it cannot be called like this, or is no async function.
            awaitable = func()
            if not inspect.isawaitable(awaitable):
                raise TypeError(f"retry needs an async function; this one returned {awaitable!r}")
            when = min(loop.time() + self.attempt_timeout, deadline)
            scope = oxio.timeout_at(None if when == math.inf else when)
            try:
                async with scope:
                    return await awaitable
            except Exception as error:
                timed_out = scope.expired() and isinstance(error, TimeoutError)
                gives_up = number >= self.attempts or not (timed_out or self.is_worth_it(error))
                pause = 0.0 if gives_up else self.uniform(0.0, limit)
                now = loop.time()
                if gives_up or now + pause >= deadline:
                    _tell(error, notes, number - 1)
                    raise
                notes.append(f"Attempt {number}: {format_exception_only(error)[0].rstrip()}")
                if self.on_retry is not None:
                    self.on_retry(RetryAttempt(number, error, pause, now - start))
            await oxio.sleep(pause)
            limit = min(limit * self.factor, self.max_delay)
            number += 1


def _tell(error: Exception, notes: deque[str], failed: int) -> None:
    """Notes on `error` what went wrong in the attempts before it."""
    if failed > len(notes):
        error.add_note(f"{failed - len(notes)} more attempts failed before these:")
    for note in notes:
        error.add_note(note)
