"""asyncio.timeouts with oxio's Timeout: what is not defined here is asyncio's."""

from asyncio import timeouts as _timeouts

from oxio import _oxio
from oxio._oxio import timeout, timeout_at

__all__ = ("Timeout", "timeout", "timeout_at")


class Timeout(_oxio.Timeout, _timeouts.Timeout):  # type: ignore[misc]
    __doc__ = _timeouts.Timeout.__doc__


def __getattr__(name: str) -> object:
    return getattr(_timeouts, name)
