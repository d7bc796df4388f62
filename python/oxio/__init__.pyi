# Types of `import oxio`: asyncio's own, so that code typed for asyncio stays typed when it says `import oxio as asyncio`.
# Task, Future and Runner are subclasses of asyncio's at run time. Here they are asyncio's, because asyncio's functions
# (create_task, ensure_future, gather) are declared to return those.

import sys
from asyncio import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    AbstractEventLoop,
    AbstractServer,
    BaseEventLoop,
    BaseProtocol,
    BaseTransport,
    BrokenBarrierError,
    BufferedProtocol,
    CancelledError,
    DatagramProtocol,
    DatagramTransport,
    Future,
    Handle,
    IncompleteReadError,
    InvalidStateError,
    LimitOverrunError,
    Protocol,
    QueueEmpty,
    QueueFull,
    ReadTransport,
    Runner,
    SendfileNotAvailableError,
    SubprocessProtocol,
    SubprocessTransport,
    Task,
    Timeout,
    TimeoutError,
    TimerHandle,
    Transport,
    WriteTransport,
    _enter_task,
    _get_running_loop,
    _leave_task,
    _register_task,
    _set_running_loop,
    _unregister_task,
    all_tasks,
    as_completed,
    create_subprocess_exec,
    create_subprocess_shell,
    create_task,
    current_task,
    ensure_future,
    gather,
    get_event_loop,
    get_event_loop_policy,
    get_running_loop,
    iscoroutine,
    iscoroutinefunction,
    isfuture,
    run_coroutine_threadsafe,
    set_event_loop,
    set_event_loop_policy,
    shield,
    sleep,
    timeout,
    timeout_at,
    to_thread,
    wait,
    wait_for,
    wrap_future,
)
from asyncio import base_events as base_events
from asyncio import base_futures as base_futures
from asyncio import base_subprocess as base_subprocess
from asyncio import base_tasks as base_tasks
from asyncio import constants as constants
from asyncio import coroutines as coroutines
from asyncio import format_helpers as format_helpers
from asyncio import log as log
from asyncio import mixins as mixins
from asyncio import protocols as protocols
from asyncio import selector_events as selector_events
from asyncio import sslproto as sslproto
from asyncio import staggered as staggered
from asyncio import threads as threads
from asyncio import trsock as trsock
from asyncio import unix_events as unix_events

from oxio import concurrency as concurrency
from oxio import eager as eager
from oxio import events as events
from oxio import exceptions as exceptions
from oxio import futures as futures
from oxio import graph as graph
from oxio import locks as locks
from oxio import policies as policies
from oxio import queues as queues
from oxio import rate_limits as rate_limits
from oxio import retries as retries
from oxio import runners as runners
from oxio import servers as servers
from oxio import statistics as statistics
from oxio import streams as streams
from oxio import subprocess as subprocess
from oxio import taskgroups as taskgroups
from oxio import tasks as tasks
from oxio import timeouts as timeouts
from oxio import transports as transports
from oxio._oxio import __version__ as __version__
from oxio.concurrency import map_concurrent as map_concurrent
from oxio.concurrency import race as race
from oxio.eager import create_eager_task_factory as create_eager_task_factory
from oxio.eager import eager_task_factory as eager_task_factory
from oxio.events import EventLoop as EventLoop
from oxio.events import new_event_loop as new_event_loop
from oxio.exceptions import QueueShutDown as QueueShutDown
from oxio.graph import FrameCallGraphEntry as FrameCallGraphEntry
from oxio.graph import FutureCallGraph as FutureCallGraph
from oxio.graph import capture_call_graph as capture_call_graph
from oxio.graph import format_call_graph as format_call_graph
from oxio.graph import future_add_to_awaited_by as future_add_to_awaited_by
from oxio.graph import future_discard_from_awaited_by as future_discard_from_awaited_by
from oxio.graph import print_call_graph as print_call_graph
from oxio.installation import install as install
from oxio.installation import uninstall as uninstall
from oxio.locks import Barrier as Barrier
from oxio.locks import BoundedSemaphore as BoundedSemaphore
from oxio.locks import Condition as Condition
from oxio.locks import Event as Event
from oxio.locks import Lock as Lock
from oxio.locks import Semaphore as Semaphore
from oxio.policies import EventLoopPolicy as DefaultEventLoopPolicy
from oxio.policies import EventLoopPolicy as EventLoopPolicy
from oxio.queues import LifoQueue as LifoQueue
from oxio.queues import PriorityQueue as PriorityQueue
from oxio.queues import Queue as Queue
from oxio.rate_limits import RateLimiter as RateLimiter
from oxio.rate_limits import RateLimiterStatistics as RateLimiterStatistics
from oxio.retries import RetryAttempt as RetryAttempt
from oxio.retries import retry as retry
from oxio.runners import run as run
from oxio.servers import Server as Server
from oxio.streams import StreamReader as StreamReader
from oxio.streams import StreamReaderProtocol as StreamReaderProtocol
from oxio.streams import StreamWriter as StreamWriter
from oxio.streams import open_connection as open_connection
from oxio.streams import open_unix_connection as open_unix_connection
from oxio.streams import start_server as start_server
from oxio.streams import start_unix_server as start_unix_server
from oxio.taskgroups import TaskGroup as TaskGroup

SelectorEventLoop = EventLoop

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AbstractEventLoop",
    "AbstractServer",
    "Barrier",
    "BaseEventLoop",
    "BaseProtocol",
    "BaseTransport",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "BufferedProtocol",
    "CancelledError",
    "Condition",
    "DatagramProtocol",
    "DatagramTransport",
    "Event",
    "EventLoop",
    "FrameCallGraphEntry",
    "Future",
    "FutureCallGraph",
    "Handle",
    "IncompleteReadError",
    "InvalidStateError",
    "LifoQueue",
    "LimitOverrunError",
    "Lock",
    "PriorityQueue",
    "Protocol",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "RateLimiter",
    "RateLimiterStatistics",
    "ReadTransport",
    "RetryAttempt",
    "Runner",
    "SelectorEventLoop",
    "Semaphore",
    "SendfileNotAvailableError",
    "Server",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "SubprocessProtocol",
    "SubprocessTransport",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimeoutError",
    "TimerHandle",
    "Transport",
    "WriteTransport",
    "_enter_task",
    "_get_running_loop",
    "_leave_task",
    "_register_task",
    "_set_running_loop",
    "_unregister_task",
    "all_tasks",
    "as_completed",
    "capture_call_graph",
    "create_eager_task_factory",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_task",
    "current_task",
    "eager_task_factory",
    "ensure_future",
    "format_call_graph",
    "future_add_to_awaited_by",
    "future_discard_from_awaited_by",
    "gather",
    "get_event_loop",
    "get_event_loop_policy",
    "get_running_loop",
    "install",
    "iscoroutine",
    "iscoroutinefunction",
    "isfuture",
    "map_concurrent",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "print_call_graph",
    "race",
    "retry",
    "run",
    "run_coroutine_threadsafe",
    "set_event_loop",
    "set_event_loop_policy",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "uninstall",
    "wait",
    "wait_for",
    "wrap_future",
]

if sys.version_info >= (3, 14):
    from asyncio import tools as tools
if sys.version_info < (3, 14):
    from asyncio import (
        AbstractChildWatcher,
        AbstractEventLoopPolicy,
        FastChildWatcher,
        MultiLoopChildWatcher,
        PidfdChildWatcher,
        SafeChildWatcher,
        ThreadedChildWatcher,
        get_child_watcher,
        set_child_watcher,
    )

    __all__ += [
        "AbstractChildWatcher",
        "AbstractEventLoopPolicy",
        "DefaultEventLoopPolicy",
        "EventLoopPolicy",
        "FastChildWatcher",
        "MultiLoopChildWatcher",
        "PidfdChildWatcher",
        "SafeChildWatcher",
        "ThreadedChildWatcher",
        "get_child_watcher",
        "set_child_watcher",
    ]
