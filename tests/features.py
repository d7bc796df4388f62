"""What the running interpreter's asyncio has. Asked of asyncio itself, because patch releases change it too."""

import asyncio
import inspect
import time
import warnings


def has_parameter(function, name):
    return name in inspect.signature(function).parameters


def takes_any_keyword(function):
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


BaseEventLoop = asyncio.BaseEventLoop

HANDLE_GET_CONTEXT = hasattr(asyncio.Handle, "get_context")
EAGER_TASKS = hasattr(asyncio, "eager_task_factory")
CREATE_TASK_KEYWORDS = takes_any_keyword(BaseEventLoop.create_task)
"""`loop.create_task(coro, eager_start=True)` and factories that get `name` and `context`."""
ALL_ERRORS = has_parameter(BaseEventLoop.create_connection, "all_errors")
KEEP_ALIVE = has_parameter(BaseEventLoop.create_server, "keep_alive")
CLOSE_CLIENTS = hasattr(asyncio.Server, "close_clients")
CLEANUP_SOCKET = has_parameter(asyncio.SelectorEventLoop.create_unix_server, "cleanup_socket")
CALL_GRAPHS = hasattr(asyncio, "capture_call_graph")
RUNS_AWAITABLES = hasattr(asyncio.runners, "inspect")
"""`run()` and `Runner.run()` take any awaitable: the module needs `inspect` for nothing else."""
QUEUE_SHUTDOWN = hasattr(asyncio, "QueueShutDown")
SEVERAL_SEPARATORS = "tuple" in (inspect.getdoc(asyncio.StreamReader.readuntil) or "")
"""`readuntil((b"a", b"b"))`. Docstrings are stripped by `-OO`; the tests do not run so."""
ASYNC_AS_COMPLETED = inspect.isclass(getattr(asyncio.tasks, "_AsCompletedIterator", None))
"""`async for task in as_completed(...)`."""
WAIT_FOR_IS_A_TIMEOUT = "timeouts" in asyncio.wait_for.__code__.co_names
"""From 3.12 on `wait_for` awaits within a `timeout()`. Before, it made a task and waited for that to end."""
SLEEP_REFUSES_NAN = "isnan" in asyncio.sleep.__code__.co_names
STREAM_WRITER_WARNS = hasattr(asyncio.StreamWriter, "__del__")
"""A StreamWriter that is collected open closes its transport and warns."""
EXECUTOR_TIMEOUT = has_parameter(BaseEventLoop.shutdown_default_executor, "timeout")


def _probe_nested_run():
    outer, inner = asyncio.new_event_loop(), asyncio.new_event_loop()
    harmless = []

    def nested():
        try:
            inner.run_forever()
        except RuntimeError:
            harmless.append(asyncio._get_running_loop() is outer)
        outer.stop()

    outer.call_soon(nested)
    outer.run_forever()
    outer.close()
    inner.close()
    return not harmless[0]


def _probe_refused_coroutine():
    async def work():
        pass

    coroutine = work()
    try:
        asyncio.TaskGroup().create_task(coroutine)
    except RuntimeError:
        return coroutine.cr_frame is None
    finally:
        coroutine.close()


TASK_GROUP_CLOSES_WHAT_IT_REFUSES = _probe_refused_coroutine()
"""From 3.13 on. Before, a coroutine that `TaskGroup.create_task` refuses is the caller's to close."""

NESTED_RUN_BREAKS_THE_LOOP = _probe_nested_run()
"""3.13.0: a refused `run_forever()` inside a callback leaves the running loop thinking that it does not run."""


def _probe_python_tasks():
    async def work():
        return asyncio.current_task() is not None

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        return loop.run_until_complete(asyncio.tasks._PyTask(work(), loop=loop))


PYTHON_TASKS_ARE_REGISTERED = _probe_python_tasks()
"""Whether `asyncio.current_task()` knows asyncio's pure-Python tasks: from 3.14 on it does not."""


def executor_timeout_works():
    """Whether `shutdown_default_executor(timeout)` gives up in time: 3.12.1 first waits without a limit."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, time.sleep, 0.2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await loop.shutdown_default_executor(timeout=0.01)
        return bool(caught)

    with asyncio.Runner() as runner:
        return runner.run(main())


def _probe_wait_closed():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        await asyncio.sleep(0.01)
        server.close()
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(0.01)
        waited = not waiting.done()
        transport.close()
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0.01)
        return waited

    with asyncio.Runner() as runner:
        return runner.run(main())


def server_waits_for_connections(_cache=[]):  # noqa: B006 (the cache is the point)
    """Whether `Server.wait_closed()` waits for open connections: later releases do, earlier ones return at once."""
    if not _cache:
        _cache.append(_probe_wait_closed())
    return _cache[0]
