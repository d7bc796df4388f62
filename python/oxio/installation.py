"""install() and uninstall(): oxio under asyncio's names.

A public name is put wherever asyncio keeps it: in `asyncio`, in the submodule that defines it, and in every submodule
that took it by an import (`asyncio.streams` has its own `sleep`). Where that is, is looked up when it is installed.

Why not an event loop policy: policies are deprecated from Python 3.14 on, and setting one warns there. The default policy
asks its class for `_loop_factory` on every version, so that attribute is replaced like any other. asyncio's own run,
Runner, new_event_loop and get_event_loop then make oxio loops and need no replacement, and a policy that the program sets
later is obeyed as before.

What cannot be reached: a name that a module took by `from asyncio import Task` before install(). It still works, for
oxio's objects are asyncio's objects and accept asyncio's, at asyncio's speed.
"""

import asyncio
import sys
from asyncio import events, unix_events
from types import ModuleType

from oxio import futures, locks, queues, streams, subprocess, taskgroups, tasks, timeouts
from oxio.events import EventLoop
from oxio.policies import EventLoopPolicy

# oxio's value for a name of asyncio's. A name that the running version lacks is skipped.
_NAMES: dict[str, object] = {
    "Future": futures.Future,
    "Task": tasks.Task,
    "SelectorEventLoop": EventLoop,
    "EventLoop": EventLoop,
    "_GatheringFuture": tasks._GatheringFuture,
    "eager_task_factory": getattr(tasks, "eager_task_factory", None),
    "Queue": queues.Queue,
    "PriorityQueue": queues.PriorityQueue,
    "LifoQueue": queues.LifoQueue,
    "as_completed": tasks.as_completed,
    "create_task": tasks.create_task,
    "ensure_future": tasks.ensure_future,
    "gather": tasks.gather,
    "sleep": tasks.sleep,
    "wait": tasks.wait,
    **{name: getattr(locks, name) for name in locks.__all__},
    "wait_for": tasks.wait_for,
    "Timeout": timeouts.Timeout,
    "timeout": timeouts.timeout,
    "timeout_at": timeouts.timeout_at,
    "TaskGroup": taskgroups.TaskGroup,
    "StreamReader": streams.StreamReader,
    "StreamWriter": streams.StreamWriter,
    "StreamReaderProtocol": streams.StreamReaderProtocol,
    "FlowControlMixin": streams.FlowControlMixin,
    "open_connection": streams.open_connection,
    "start_server": streams.start_server,
    "open_unix_connection": streams.open_unix_connection,
    "start_unix_server": streams.start_unix_server,
    "SubprocessStreamProtocol": subprocess.SubprocessStreamProtocol,
    "create_subprocess_exec": subprocess.create_subprocess_exec,
    "create_subprocess_shell": subprocess.create_subprocess_shell,
}

# (place, name, asyncio's value), in the order of installing; empty when oxio is not installed.
_displaced: list[tuple[object, str, object]] = []


def install() -> None:
    """Puts oxio's loop and names under asyncio's names, for the whole process.

    A program calls it before it imports what it wants to run on oxio. A second call does nothing.
    """
    if _displaced:
        return
    # Who has imported this class before goes on with it.
    _displace(asyncio.streams.StreamWriter, "__init__", streams._stock_writer_init)
    for name, value in _NAMES.items():
        stock = _stock(name)
        for module in _modules():
            if stock is not None and vars(module).get(name) is stock:
                _displace(module, name, value)
    _displace(unix_events._UnixDefaultEventLoopPolicy, "_loop_factory", EventLoop)
    if not _makes_oxio_loops(events._event_loop_policy):  # type: ignore[attr-defined]
        # Without a policy asyncio makes its default one when it next needs it.
        _displace(events, "_event_loop_policy", None)


def uninstall() -> None:
    """Gives asyncio back exactly what install() found. Loops and tasks that exist go on as they are."""
    while _displaced:
        place, name, value = _displaced.pop()
        setattr(place, name, value)


def _stock(name: str) -> object:
    """asyncio's value for a name, public or of a submodule."""
    if name in vars(asyncio):
        return vars(asyncio)[name]
    return next((vars(module)[name] for module in _modules() if name in vars(module)), None)


def _modules() -> list[ModuleType]:
    """asyncio and those of its submodules that are imported."""
    return [
        module
        for name, module in list(sys.modules.items())
        if module is not None and (name == "asyncio" or name.startswith("asyncio."))
    ]


def _displace(place: object, name: str, value: object) -> None:
    _displaced.append((place, name, getattr(place, name)))
    setattr(place, name, value)


def _makes_oxio_loops(policy: object) -> bool:
    return policy is None or type(policy) in (unix_events._UnixDefaultEventLoopPolicy, EventLoopPolicy)
