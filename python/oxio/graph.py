"""Call graphs: who awaits whom. asyncio's own from 3.14 on, the same functions for older versions here.

3.14 writes into a future who awaits it, at every await. Older versions keep no such record, and keeping one would
cost every await. So here the edges are read off when somebody asks: a future's done callbacks lead to the task that
they wake, through the combinator they belong to (gather, wait, shield, wait_for, as_completed, TaskGroup).
What differs: an edge is there while a task *waits*, not from the moment when it called gather() or wait().

Thread: the loop's, or any while the loop does not run.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import weakref
from asyncio import Future, Task
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import BuiltinMethodType, FrameType
from typing import Any, TextIO

from oxio._oxio import Awaitable, Gathering

__all__ = (
    "FrameCallGraphEntry",
    "FutureCallGraph",
    "capture_call_graph",
    "format_call_graph",
    "future_add_to_awaited_by",
    "future_discard_from_awaited_by",
    "print_call_graph",
)

# What programs add themselves before 3.14; both sides weak, so that a missing discard costs nothing.
_added: weakref.WeakKeyDictionary[Future[Any], weakref.WeakSet[Future[Any]]] = weakref.WeakKeyDictionary()

if sys.version_info >= (3, 14):
    from asyncio import (
        FrameCallGraphEntry,
        FutureCallGraph,
        capture_call_graph,
        format_call_graph,
        future_add_to_awaited_by,
        future_discard_from_awaited_by,
        print_call_graph,
    )
else:

    @dataclass(frozen=True, slots=True)
    class FrameCallGraphEntry:
        """One function on the stack of a task."""

        frame: FrameType

    @dataclass(frozen=True, slots=True)
    class FutureCallGraph:
        """A future, where its coroutine stands, and the graphs of those that await it."""

        future: Future[Any]
        call_stack: tuple[FrameCallGraphEntry, ...]
        awaited_by: tuple[FutureCallGraph, ...]

    def future_add_to_awaited_by(fut: Any, waiter: Any, /) -> None:
        """Record that `waiter` awaits `fut`, where call graphs cannot see it. For futures only; else nothing happens."""
        if isinstance(fut, Future) and isinstance(waiter, Future):
            _added.setdefault(fut, weakref.WeakSet()).add(waiter)

    def future_discard_from_awaited_by(fut: Any, waiter: Any, /) -> None:
        """Take back `future_add_to_awaited_by(fut, waiter)`."""
        if isinstance(fut, Future) and isinstance(waiter, Future) and fut in _added:
            _added[fut].discard(waiter)

    def capture_call_graph(
        future: Future[Any] | None = None,
        /,
        *,
        depth: int = 1,
        limit: int | None = None,
    ) -> FutureCallGraph | None:
        """The call graph of `future`, or of the current task; None when there is no task.

        Args:
            future: Whose graph; the current task's by default.
            depth: How many frames to leave out on top, when the graph is the current task's.
            limit: At most so many entries of each stack: the outermost ones if positive, the innermost if negative, as
                asyncio takes it. 0: no stacks, only who awaits whom.

        Raises:
            RuntimeError: No future was given and no loop runs.
            TypeError: `future` is no asyncio.Future.
        """
        loop = asyncio._get_running_loop()
        current = None if loop is None else asyncio.current_task(loop)
        if future is None:
            if loop is None:
                # asyncio's words.
                raise RuntimeError(
                    "capture_call_graph() is called outside of a running event loop and no *future* to introspect was provided"
                )
            if current is None:
                return None
            future = current
        _check_is_future(future)
        if current is None or future is not current:
            return _graph(future, limit, ())
        stack: list[FrameCallGraphEntry] = []
        if limit != 0:
            stack = [
                FrameCallGraphEntry(frame) for frame in _frames_of_current(current, sys._getframe(depth))
            ]
            if limit is not None:
                stack = stack[:-limit] if limit < 0 else stack[-limit:]
        return FutureCallGraph(current, tuple(stack), _awaited_by(current, limit, ()))

    def format_call_graph(
        future: Future[Any] | None = None,
        /,
        *,
        depth: int = 1,
        limit: int | None = None,
    ) -> str:
        """`capture_call_graph()` as text; empty when there is no task."""
        graph = capture_call_graph(future, depth=depth + 1, limit=limit)
        return "" if graph is None else "\n".join(_lines(graph, ""))

    def print_call_graph(
        future: Future[Any] | None = None,
        /,
        *,
        file: TextIO | None = None,
        depth: int = 1,
        limit: int | None = None,
    ) -> None:
        """Prints `format_call_graph()`, to the standard output by default."""
        # `depth` goes on as it is: asyncio's own graph of the current task begins at print_call_graph() as well.
        print(format_call_graph(future, depth=depth, limit=limit), file=file)


def _check_is_future(future: object) -> None:
    if not isinstance(future, Future):
        raise TypeError(f"{future!r} object does not appear to be compatible with asyncio.Future")


def _graph(future: Future[Any], limit: int | None, path: tuple[Future[Any], ...]) -> FutureCallGraph:
    _check_is_future(future)
    # Outermost first.
    frames = list(_frames_of_waiting(future)) if limit != 0 else []
    if limit is not None:
        frames = frames[limit:] if limit < 0 else frames[:limit]
    stack = tuple(FrameCallGraphEntry(frame) for frame in reversed(frames))
    return FutureCallGraph(future, stack, _awaited_by(future, limit, path))


def _awaited_by(
    future: Future[Any], limit: int | None, path: tuple[Future[Any], ...]
) -> tuple[FutureCallGraph, ...]:
    # Tasks in a deadlock await each other: the graph ends where it would begin again.
    path = (*path, future)
    return tuple(_graph(waiter, limit, path) for waiter in _waiters(future) if waiter not in path)


def _frames_of_waiting(future: Future[Any]) -> Iterator[FrameType]:
    """The frames of a task that does not run now."""
    coro: Any = future.get_coro() if isinstance(future, Task) else None
    while hasattr(coro, "cr_await"):
        if coro.cr_frame is not None:
            yield coro.cr_frame
        coro = coro.cr_await


def _frames_of_current(task: Task[Any], frame: FrameType | None) -> Iterator[FrameType]:
    """The frames from `frame` down to the task's own coroutine."""
    root = getattr(task.get_coro(), "cr_frame", None)
    while frame is not None:
        yield frame
        below = frame.f_back
        if frame is root:
            return
        if _is_coroutine_frame(frame) and below is not None and not _is_generator_frame(below):
            # Whoever calls this coroutine is a loop.
            return
        frame = below


def _is_coroutine_frame(frame: FrameType) -> bool:
    return frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR) != 0


def _is_generator_frame(frame: FrameType) -> bool:
    return _is_coroutine_frame(frame) or frame.f_code.co_flags & inspect.CO_GENERATOR != 0


_TAGS = (
    (inspect.CO_COROUTINE, "async "),
    (inspect.CO_ASYNC_GENERATOR, "async generator "),
    (inspect.CO_GENERATOR, "generator "),
)


def _lines(graph: FutureCallGraph, indent: str) -> Iterator[str]:
    future = graph.future
    if isinstance(future, Task):
        yield f"{indent}* Task(name={future.get_name()!r}, id={id(future):#x})"
    else:
        yield f"{indent}* Future(id={id(future):#x})"
    if graph.call_stack:
        yield f"{indent}  + Call stack:"
    for entry in graph.call_stack:
        code = entry.frame.f_code
        tag = next((tag for flag, tag in _TAGS if code.co_flags & flag), "")
        where = f"File {code.co_filename!r}, line {entry.frame.f_lineno}"
        yield f"{indent}  |   {where}, in {tag}{code.co_qualname}()"
    if graph.awaited_by:
        yield f"{indent}  + Awaited by:"
    for waiter in graph.awaited_by:
        yield from _lines(waiter, indent + "    ")


def _waiters(future: Future[Any]) -> list[Future[Any]]:
    """Who awaits `future`, each once."""
    found: dict[Future[Any], None] = dict.fromkeys(_added.get(future, ()))
    _follow(future, found, {id(future)})
    return list(found)


def _follow(future: Any, found: dict[Future[Any], None], seen: set[int]) -> None:
    """Adds the tasks that the callbacks of `future` wake, be it by way of other futures."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, Task) and callback.__name__ == "task_wakeup":
            found[owner] = None
        elif _is_a_combinators(callback):
            for reached in _reached(callback):
                if id(reached) in seen:
                    continue
                seen.add(id(reached))
                if isinstance(reached, asyncio.TaskGroup):
                    found[reached._parent_task] = None  # type: ignore[attr-defined]
                elif isinstance(reached, Future) and not isinstance(reached, Awaitable):
                    _follow(reached, found, seen)
                else:
                    _follow_object(reached, future, found)


def _follow_object(reached: object, future: Future[Any], found: dict[Future[Any], None]) -> None:
    """What a task can wait for without its being a future: as_completed()'s queue, and oxio's native awaitables."""
    queue = getattr(reached, "_done", reached)
    waited_for = [reached, *(getattr(queue, "_getters", None) or ())]
    for task in asyncio.all_tasks(future.get_loop()):
        if any(task._fut_waiter is one for one in waited_for):  # type: ignore[attr-defined]
            found[task] = None


def _is_a_combinators(callback: Callable[..., object]) -> bool:
    """Whether asyncio or oxio put the callback there. A program's own callbacks say nothing about who waits."""
    function = callback.func if isinstance(callback, functools.partial) else callback
    # A native one is a builtin method, whose object says where it is from.
    source = type(function.__self__) if isinstance(function, BuiltinMethodType) else function
    module = getattr(source, "__module__", None) or ""
    return module.partition(".")[0] in ("asyncio", "oxio")


def _reached(callback: Any) -> Iterator[object]:
    """What a callback can act on: its own object, its bound arguments, the variables it closes over."""
    if isinstance(callback, functools.partial):
        yield from callback.args
        callback = callback.func
    if (owner := getattr(callback, "__self__", None)) is not None:
        yield owner.outer if isinstance(owner, Gathering) else owner
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # Not assigned yet.
            continue
        if isinstance(content, (Future, asyncio.Queue)):
            yield content
