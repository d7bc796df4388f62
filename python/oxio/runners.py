"""asyncio.runners with oxio's loop as the default.

Runner and run are asyncio's of the running version. What newer versions take is taken on all: `loop_factory` of run()
(3.12) and any awaitable, not only a coroutine (3.14).
"""

import asyncio
import contextvars
import inspect
import sys
from asyncio import runners as _runners
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from oxio.events import new_event_loop

__all__ = ("Runner", "run")

_T = TypeVar("_T")


async def _wait_for(awaitable: Awaitable[_T]) -> _T:
    return await awaitable


# typeshed says that asyncio.Runner is final. asyncio does not enforce it, and needs only __init__ to differ.
class Runner(asyncio.Runner):  # type: ignore[misc]
    """asyncio.Runner on oxio's loop.

    Example:
        with oxio.Runner() as runner:
            runner.run(main())
    """

    def __init__(
        self,
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        super().__init__(debug=debug, loop_factory=new_event_loop if loop_factory is None else loop_factory)

    if sys.version_info < (3, 14):

        def run(self, coro: Awaitable[_T], *, context: contextvars.Context | None = None) -> _T:
            """Runs an awaitable on the runner's loop and returns its result."""
            if not asyncio.iscoroutine(coro) and inspect.isawaitable(coro):
                # Checked before wrapping: a wrapper that asyncio's own refuses would never be awaited.
                if asyncio._get_running_loop() is not None:
                    raise RuntimeError("Runner.run() cannot be called from a running event loop")
                self.get_loop()  # Raises when the runner is closed.
                coro = _wait_for(coro)
            result: _T = super().run(coro, context=context)
            return result


def run(
    main: Awaitable[_T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T:
    """Runs `main` on a new loop, which is closed at the end, and returns its result.

    Example:
        oxio.run(main())
    """
    if asyncio._get_running_loop() is not None:
        # asyncio's words: programs and tests look for them.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    runner = Runner(debug=debug, loop_factory=loop_factory)
    with runner:
        return runner.run(main)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        return getattr(_runners, name)
