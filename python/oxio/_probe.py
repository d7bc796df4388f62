"""Objects made by CPython itself, for the check of memory layouts when oxio is imported.

`crates/oxio-py/src/interop/layout/` writes down where CPython keeps the fields of Future, Task and Handle.
Before it relies on that, it looks for the very objects made here in the fields where they must be.
"""

from __future__ import annotations

import contextvars
from typing import Any


class _Loop:
    """As much of a loop as making a future, a task and a handle asks for; nothing ever runs."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *args: Any, **kwargs: Any) -> None:
        pass

    def call_exception_handler(self, context: Any) -> None:
        pass


def _callback(*args: Any) -> None:
    pass


def future_parts(cls: Any) -> tuple[Any, Any, Any, Any]:
    """A pending future with the loop, the callback and the context that it must hold."""
    loop, context = _Loop(), contextvars.Context()
    future = cls(loop=loop)
    future.add_done_callback(_callback, context=context)
    return future, loop, _callback, context


def task_parts(cls: Any) -> tuple[Any, Any, Any, Any]:
    """A task that will never run with the coroutine and context that it must hold, and a waiter to put in."""

    async def never_run() -> None:
        pass

    loop, context, coro = _Loop(), contextvars.Context(), never_run()
    return cls(coro, loop=loop, context=context), coro, context, object()


def timer_handle(cls: Any) -> Any:
    """A timer handle all of whose slots are set."""
    return cls(1.0, _callback, (1, 2), _Loop(), contextvars.Context())
