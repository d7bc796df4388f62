"""oxio: Python's async/await system in Rust, a drop-in for asyncio.

    import oxio
    oxio.run(main())

Every public name of the running version's asyncio is here, oxio's own in place of asyncio's where oxio has one, so
`import oxio as asyncio` works too. Importing oxio changes nothing in asyncio; install() and `python -m oxio` do.
"""
# ruff: noqa: F401 (this module is its names)

import asyncio as _asyncio
import sys as _sys
import warnings as _warnings
from asyncio import *

from oxio import (
    eager,
    events,
    exceptions,
    futures,
    graph,
    locks,
    policies,
    queues,
    runners,
    servers,
    statistics,
    tasks,
)
from oxio._oxio import __version__
from oxio.concurrency import map_concurrent, race
from oxio.eager import create_eager_task_factory, eager_task_factory
from oxio.events import EventLoop, new_event_loop
from oxio.exceptions import QueueShutDown
from oxio.futures import Future
from oxio.graph import *
from oxio.installation import install, uninstall
from oxio.locks import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore
from oxio.queues import LifoQueue, PriorityQueue, Queue
from oxio.rate_limits import RateLimiter, RateLimiterStatistics
from oxio.retries import RetryAttempt, retry
from oxio.runners import Runner, run
from oxio.servers import Server
from oxio.tasks import Task, create_task, ensure_future, gather, sleep, wait

SelectorEventLoop = EventLoop

__all__ = ["install", "uninstall"]
__all__ += ["RateLimiter", "RateLimiterStatistics", "RetryAttempt", "map_concurrent", "race", "retry"]
__all__ += _asyncio.__all__

# What this version's asyncio lacks.
if _sys.version_info < (3, 12):
    __all__ += ["TaskGroup", "create_eager_task_factory", "eager_task_factory"]
if _sys.version_info < (3, 13):
    __all__ += ["EventLoop", "QueueShutDown"]
if _sys.version_info < (3, 14):
    from oxio.policies import EventLoopPolicy, get_event_loop

    DefaultEventLoopPolicy = EventLoopPolicy
    __all__ += ["EventLoopPolicy", *graph.__all__]


def __getattr__(name: str) -> object:
    """asyncio's submodules and private names and, from 3.14 on, the policies, which are deprecated there."""
    if name in ("EventLoopPolicy", "DefaultEventLoopPolicy"):
        _warnings._deprecated(f"oxio.{name}", remove=(3, 16))
        return policies.EventLoopPolicy
    try:
        return getattr(_asyncio, name)
    except AttributeError:
        raise AttributeError(f"module 'oxio' has no attribute {name!r}") from None
