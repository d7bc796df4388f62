"""asyncio.taskgroups with oxio's TaskGroup: what is not defined here is asyncio's."""

from __future__ import annotations

import contextlib
from asyncio import CancelledError, Task
from asyncio import taskgroups as _taskgroups
from collections.abc import Generator
from typing import Any

from oxio._oxio import _adopt_task_group, sleep

__all__ = ("TaskGroup",)


class TaskGroup(_taskgroups.TaskGroup):
    __doc__ = _taskgroups.TaskGroup.__doc__
    # What asyncio's methods keep, where native code finds it, and `_cancel_…` and `_done_…` of oxio's own.
    __slots__ = (
        "_aborting",
        "_base_error",
        "_cancel_called",
        "_cancel_on_enter",
        "_done_callback",
        "_done_context",
        "_entered",
        "_errors",
        "_exiting",
        "_loop",
        "_on_completed_fut",
        "_parent_cancel_requested",
        "_parent_task",
        "_tasks",
    )
    # Those of them that are used here and that typeshed does not tell of.
    _aborting: bool
    _entered: bool
    _exiting: bool
    _parent_cancel_requested: bool
    _parent_task: Task[Any] | None

    if not hasattr(_taskgroups.TaskGroup, "cancel"):

        def cancel(self) -> None:
            """Cancel the tasks of the group and the block, which then ends without `CancelledError`.

            Called before the block is entered, it takes effect then. Called twice, or after the block, it does nothing.
            """
            if not self._entered:
                self._cancel_on_enter = True
            elif not self._aborting and not (self._exiting and not self._tasks):
                self._cancel_called = True
                self._abort()  # type: ignore[attr-defined]
                if self._parent_task is not None and not self._parent_cancel_requested:
                    self._parent_cancel_requested = True
                    self._parent_task.cancel()


class _Interruption:
    """Stands for what asyncio's `__aexit__` awaits, so that it goes on where ours has left off."""

    def __init__(self, group: Any, error: BaseException | None) -> None:
        self._group = group
        self._error = error
        self._was_requested = group._parent_cancel_requested

    def __await__(self) -> Generator[Any, None, None]:
        self._group._tasks.discard(self)
        self._group._parent_cancel_requested = self._was_requested
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback refers to this frame.
                del error
        return
        yield


async def _rest_of_exit(group: Any, error: BaseException | None) -> Any:
    """The rest of `__aexit__`, when it was waiting for the tasks and `error` was raised there.

    asyncio's own `__aexit__` is made to wait once, and finds the error in the place where it waits. What it looks at
    before is hidden from it: when ours began to wait nothing had happened yet.
    """
    interruption = _Interruption(group, error)
    del error
    group._tasks.add(interruption)
    group._on_completed_fut = interruption
    group._parent_cancel_requested = False
    return await _taskgroups.TaskGroup.__aexit__(group, None, None, None)


async def _leave_cancelled(
    group: Any, raised: BaseException | None, interruption: CancelledError | None
) -> bool:
    """`__aexit__` of a group that `cancel()` was called on: `raised` by the block, or interrupted while it waited.

    Source: CPython 3.15 `taskgroups.TaskGroup._aexit`.
    """
    try:
        group._exiting = True
        if raised is not None and group._is_base_error(raised) and group._base_error is None:
            group._base_error = raised
        parent = group._parent_task
        while group._tasks:
            if group._on_completed_fut is None:
                group._on_completed_fut = group._loop.create_future()
            try:
                await group._on_completed_fut
            except CancelledError as error:
                interruption = error
            group._on_completed_fut = None
        if group._base_error is not None:
            raise group._base_error
        cancelled = raised if isinstance(raised, CancelledError) else None
        if group._parent_cancel_requested:
            if parent.uncancel() == 0:
                cancelled = None
                if getattr(parent, "_must_cancel", False):
                    # Before 3.13 that does not stop the cancellation that is under way.
                    with contextlib.suppress(CancelledError):
                        await sleep(0)
            elif cancelled is None:
                # Somebody else cancels the task as well.
                cancelled = interruption
        if cancelled is not None and not group._errors:
            raise cancelled
        if raised is not None and not isinstance(raised, CancelledError):
            group._errors.append(raised)
        if group._errors:
            if parent.cancelling():
                # The cancellation is delivered again behind the group, and counts once.
                parent.uncancel()
                parent.cancel()
            raise BaseExceptionGroup("unhandled errors in a TaskGroup", group._errors) from None
        return True
    finally:
        group._parent_task = group._errors = group._base_error = None
        del raised, interruption


_adopt_task_group(TaskGroup, _rest_of_exit, _leave_cancelled)


def __getattr__(name: str) -> object:
    return getattr(_taskgroups, name)
