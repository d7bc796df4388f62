# The loop's native half (`_oxio.Loop`) is left out, but for what oxio's Python half uses: its methods are asyncio's, and
# asyncio's types say it all.
import asyncio
import sys
from asyncio.events import AbstractEventLoop as AbstractEventLoop
from asyncio.events import AbstractServer as AbstractServer
from asyncio.events import Handle as Handle
from asyncio.events import TimerHandle as TimerHandle
from asyncio.events import _get_running_loop as _get_running_loop
from asyncio.events import _set_running_loop as _set_running_loop
from asyncio.events import get_event_loop as get_event_loop
from asyncio.events import get_event_loop_policy as get_event_loop_policy
from asyncio.events import get_running_loop as get_running_loop
from asyncio.events import set_event_loop as set_event_loop
from asyncio.events import set_event_loop_policy as set_event_loop_policy
from selectors import BaseSelector
from typing import Any

if sys.version_info < (3, 14):
    from asyncio.events import AbstractEventLoopPolicy as AbstractEventLoopPolicy
    from asyncio.events import get_child_watcher as get_child_watcher
    from asyncio.events import set_child_watcher as set_child_watcher

class EventLoop(asyncio.SelectorEventLoop):
    def __init__(self, selector: BaseSelector | None = None) -> None: ...
    def _pending_tasks(self) -> list[asyncio.Task[Any]]: ...

def new_event_loop() -> EventLoop: ...
