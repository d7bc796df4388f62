"""oxio: Python's async/await system in Rust, a drop-in for asyncio.

    import oxio
    oxio.run(main())

Every public name of the running version's asyncio is here, oxio's own in place of asyncio's where oxio has one, so
`import oxio as asyncio` works too. Importing oxio changes nothing in asyncio; install() and `python -m oxio` do.
"""
# ruff: noqa: F401 (this module is its names)

import asyncio as _asyncio
import importlib as _importlib
import sys as _sys
import warnings as _warnings
from asyncio import *

from oxio import (
    eager,
    events,
    exceptions,
    futures,
    locks,
    policies,
    queues,
    runners,
    servers,
    streams,
    subprocess,
    taskgroups,
    tasks,
    timeouts,
)
from oxio._oxio import __version__
from oxio.eager import create_eager_task_factory, eager_task_factory
from oxio.events import EventLoop, new_event_loop
from oxio.exceptions import QueueShutDown
from oxio.futures import Future
from oxio.installation import install, uninstall
from oxio.locks import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore
from oxio.queues import LifoQueue, PriorityQueue, Queue
from oxio.runners import Runner, run
from oxio.servers import Server
from oxio.streams import (
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    open_connection,
    open_unix_connection,
    start_server,
    start_unix_server,
)
from oxio.subprocess import create_subprocess_exec, create_subprocess_shell
from oxio.taskgroups import TaskGroup
from oxio.tasks import Task, as_completed, create_task, ensure_future, gather, sleep, wait, wait_for
from oxio.timeouts import Timeout, timeout, timeout_at

SelectorEventLoop = EventLoop

__all__ = ["install", "uninstall"]
__all__ += _asyncio.__all__

# What this version's asyncio lacks.
if _sys.version_info < (3, 12):
    __all__ += ["TaskGroup", "create_eager_task_factory", "eager_task_factory"]
if _sys.version_info < (3, 13):
    __all__ += ["EventLoop", "QueueShutDown"]
if _sys.version_info < (3, 14):
    from oxio.policies import EventLoopPolicy, get_event_loop

    DefaultEventLoopPolicy = EventLoopPolicy
    __all__ += ["EventLoopPolicy"]

# Imported when first asked for: most programs use none of them, and they need modules that asyncio does not.
_LATER = {
    "RateLimiter": "rate_limits",
    "RateLimiterStatistics": "rate_limits",
    "RetryAttempt": "retries",
    "map_concurrent": "concurrency",
    "race": "concurrency",
    "retry": "retries",
}
if _sys.version_info < (3, 14):
    _LATER |= dict.fromkeys(
        (
            "FrameCallGraphEntry",
            "FutureCallGraph",
            "capture_call_graph",
            "format_call_graph",
            "future_add_to_awaited_by",
            "future_discard_from_awaited_by",
            "print_call_graph",
        ),
        "graph",
    )
__all__ += [name for name in _LATER if name not in __all__]


def __getattr__(name: str) -> object:
    """What is imported late; asyncio's submodules and private names; from 3.14 on the policies, deprecated there."""
    if name in ("EventLoopPolicy", "DefaultEventLoopPolicy"):
        _warnings._deprecated(f"oxio.{name}", remove=(3, 16))
        return policies.EventLoopPolicy
    if name in _LATER:
        value = getattr(_importlib.import_module(f"oxio.{_LATER[name]}"), name)
        globals()[name] = value
        return value
    if name in ("concurrency", "graph", "rate_limits", "retries", "statistics"):
        return _importlib.import_module(f"oxio.{name}")
    try:
        return getattr(_asyncio, name)
    except AttributeError:
        raise AttributeError(f"module 'oxio' has no attribute {name!r}") from None
