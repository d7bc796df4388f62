"""install() and uninstall(): oxio under asyncio's names.

Why a table and not a policy: event loop policies are deprecated from Python 3.14 on, and setting one warns there. The
default policy asks its class for `_loop_factory` on every version, so that attribute is a row like any other. asyncio's
own run, Runner, new_event_loop and get_event_loop then make oxio loops and need no row, and a policy that the program
sets later is obeyed as before.

What a row cannot reach: a name that a module took by `from asyncio import Task` before install().
"""

import asyncio
from asyncio import events, unix_events

from oxio import futures, streams, subprocess, tasks
from oxio.events import EventLoop
from oxio.policies import EventLoopPolicy

# The value, the name, and every place where asyncio keeps it. A name that the running version lacks is skipped.
# A name taken by several of asyncio's modules at their import (streams has its own `sleep`) needs each of them here.
_TABLE: tuple[tuple[object, str, tuple[object, ...]], ...] = (
    (futures.Future, "Future", (asyncio, asyncio.futures)),
    (tasks.Task, "Task", (asyncio, asyncio.tasks)),
    (tasks._GatheringFuture, "_GatheringFuture", (asyncio.tasks,)),  # type: ignore[attr-defined]
    (getattr(tasks, "eager_task_factory", None), "eager_task_factory", (asyncio, asyncio.tasks)),
    *((getattr(streams, name), name, (asyncio, asyncio.streams)) for name in streams.__all__),
    (streams.FlowControlMixin, "FlowControlMixin", (asyncio.streams,)),
    (streams._stock_writer_init, "__init__", (streams._streams.StreamWriter,)),
    (subprocess.SubprocessStreamProtocol, "SubprocessStreamProtocol", (asyncio.subprocess,)),
    *((getattr(subprocess, name), name, (asyncio, asyncio.subprocess)) for name in subprocess.__all__),
    (EventLoop, "SelectorEventLoop", (asyncio, unix_events)),
    (EventLoop, "EventLoop", (asyncio, unix_events)),
    (EventLoop, "_loop_factory", (unix_events._UnixDefaultEventLoopPolicy,)),
)

# (place, name, asyncio's value), in the order of installing; empty when oxio is not installed.
_displaced: list[tuple[object, str, object]] = []


def install() -> None:
    """Puts oxio's loop and names under asyncio's names, for the whole process.

    A program calls it before it imports what it wants to run on oxio. A second call does nothing.
    """
    if _displaced:
        return
    for value, name, places in _TABLE:
        for place in places:
            if hasattr(place, name):
                _displace(place, name, value)
    if not _makes_oxio_loops(events._event_loop_policy):  # type: ignore[attr-defined]
        # Without a policy asyncio makes its default one when it next needs it.
        _displace(events, "_event_loop_policy", None)


def uninstall() -> None:
    """Gives asyncio back exactly what install() found. Loops and tasks that exist go on as they are."""
    while _displaced:
        place, name, value = _displaced.pop()
        setattr(place, name, value)


def _displace(place: object, name: str, value: object) -> None:
    _displaced.append((place, name, getattr(place, name)))
    setattr(place, name, value)


def _makes_oxio_loops(policy: object) -> bool:
    return policy is None or type(policy) in (unix_events._UnixDefaultEventLoopPolicy, EventLoopPolicy)
