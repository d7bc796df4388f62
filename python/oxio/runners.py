"""asyncio.runners with oxio's loop as the default.

Runner and run are asyncio's of the running version. `loop_factory`, which asyncio.run takes from 3.12 on, is taken on
every version.
"""

import asyncio
import sys
from asyncio import runners as _runners
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from oxio.events import new_event_loop

__all__ = ("Runner", "run")

_T = TypeVar("_T")
if sys.version_info >= (3, 14):
    _Main = Awaitable[_T]
else:
    _Main = Coroutine[Any, Any, _T]


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


def run(
    main: _Main[_T],
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
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        return getattr(_runners, name)
