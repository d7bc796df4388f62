"""asyncio.timeouts with oxio's Timeout: what is not defined here is asyncio's."""

from asyncio import timeouts as _timeouts
from typing import Any

from oxio._oxio import _adopt_timeout, timeout, timeout_at

__all__ = ("Timeout", "timeout", "timeout_at")


@_adopt_timeout
class Timeout(_timeouts.Timeout):
    __doc__ = _timeouts.Timeout.__doc__
    # What asyncio's methods keep, where native code finds it.
    __slots__ = ("_cancelling", "_state", "_task", "_timeout_handler", "_when")


class _Expiring(_timeouts.Timeout):
    """A block that was entered elsewhere, and whose time has run out."""

    def __init__(self, task: Any, cancelling: int) -> None:
        super().__init__(None)
        self._task = task
        self._cancelling = cancelling
        self._state = _timeouts._State.EXPIRING

    async def __aenter__(self) -> Any:
        return self


async def _leave_expired(error: BaseException, task: Any, cancelling: int) -> None:
    """What wait_for() ends with when `error` leaves what it has cancelled: asyncio's own `__aexit__` decides."""
    async with _Expiring(task, cancelling):
        try:
            raise error
        finally:
            # Its traceback refers to this frame.
            del error


async def _just_await(awaitable: Any) -> Any:
    """All that `await` accepts, and its errors."""
    return await awaitable


def __getattr__(name: str) -> object:
    return getattr(_timeouts, name)
