"""The Python half of reporting: what the native loop asks when a callback raised or was slow.

Nothing here runs on a hot path. asyncio's own helpers format the reports, so that they read as the running version's.
"""

from __future__ import annotations

import asyncio
import inspect
from asyncio import base_events, format_helpers
from typing import Any

# 3.13 and newer patch releases take `debug`, and hide arguments without it.
_FORMAT_TAKES_DEBUG = "debug" in inspect.signature(format_helpers._format_callback_source).parameters


def report_callback_error(loop: Any, handle: Any, exception: BaseException) -> None:
    """Give an exception that `handle`'s callback raised to the loop's exception handler.

    Source: CPython `asyncio.events.Handle._run`.
    """
    options = {"debug": loop.get_debug()} if _FORMAT_TAKES_DEBUG else {}
    callback = format_helpers._format_callback_source(handle._callback, handle._args, **options)
    context = {
        "message": f"Exception in callback {callback}",
        "exception": exception,
        "handle": handle,
    }
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    loop.call_exception_handler(context)


def report_slow_callback(loop: Any, subject: Any, seconds: float) -> None:
    """Log, in debug mode, what kept the loop longer than `loop.slow_callback_duration`.

    Source: CPython `asyncio.base_events.BaseEventLoop._run_once`.
    """
    if seconds < loop.slow_callback_duration:
        return
    text = base_events._format_handle(subject) if isinstance(subject, asyncio.Handle) else repr(subject)
    base_events.logger.warning("Executing %s took %.3f seconds", text, seconds)
