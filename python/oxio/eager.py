"""Eager task factories, which asyncio has from 3.12 on; its own there.

A task that a factory of these makes takes its first step inside `create_task()`. On 3.11 a loop in debug mode, or one
that is not oxio's, starts it with its next turn instead: CPython's own step drives it there and knows no other way.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ("create_eager_task_factory", "eager_task_factory")

if sys.version_info >= (3, 12):
    from asyncio import create_eager_task_factory

    from oxio.tasks import eager_task_factory
else:
    from oxio._oxio import Task, _know_eager_factory

    def create_eager_task_factory(
        custom_task_constructor: Callable[..., Any],
    ) -> Callable[..., Any]:
        """A factory for `loop.set_task_factory()` whose tasks start at once.

        Args:
            custom_task_constructor: What makes a task: called like `Task`, and with `eager_start`.

        Example:
            loop.set_task_factory(oxio.create_eager_task_factory(MyTask))
        """

        def factory(
            loop: asyncio.AbstractEventLoop,
            coro: Coroutine[Any, Any, Any],
            *,
            eager_start: bool = True,
            **kwargs: Any,
        ) -> Any:
            return custom_task_constructor(coro, loop=loop, eager_start=eager_start, **kwargs)

        return factory

    eager_task_factory = _know_eager_factory(create_eager_task_factory(Task))
