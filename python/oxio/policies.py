"""EventLoopPolicy, and get_event_loop() for programs that `import oxio as asyncio` and let asyncio make the loop."""

import asyncio
import sys
import threading
import warnings
from asyncio import unix_events

from oxio.events import EventLoop, new_event_loop

# asyncio.DefaultEventLoopPolicy under the name that does not warn: from 3.14 on the public one is deprecated.
_DefaultEventLoopPolicy = unix_events._UnixDefaultEventLoopPolicy


class EventLoopPolicy(_DefaultEventLoopPolicy):
    """asyncio's default policy, making oxio's loops.

    For programs that set a policy. Others have an easier way: oxio.run() or oxio.install().
    """

    _loop_factory = EventLoop


if sys.version_info < (3, 14):

    def get_event_loop() -> asyncio.AbstractEventLoop:
        """asyncio.get_event_loop(), but where the default policy would make a loop, it is oxio's.

        From 3.14 on asyncio makes none.
        """
        if asyncio._get_running_loop() is None:
            policy = asyncio.get_event_loop_policy()
            if type(policy) is _DefaultEventLoopPolicy and _would_make_a_loop(policy):
                if sys.version_info >= (3, 12):
                    warnings.warn("There is no current event loop", DeprecationWarning, stacklevel=2)
                policy.set_event_loop(new_event_loop())
        return asyncio.get_event_loop()

    def _would_make_a_loop(policy: asyncio.DefaultEventLoopPolicy) -> bool:
        """Source: CPython 3.13 BaseDefaultEventLoopPolicy.get_event_loop."""
        local = policy._local  # type: ignore[attr-defined]
        in_main_thread = threading.current_thread() is threading.main_thread()
        return local._loop is None and not local._set_called and in_main_thread
