"""Starlette decides by what a callable looks like whether to await it or to run it in a thread."""

import asyncio
import contextlib
import functools
import inspect

import httpx
from starlette._utils import is_async_callable
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route


def _client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


def _callables():
    return {
        "queue.put": asyncio.Queue().put,
        "queue.get": asyncio.Queue().get,
        "queue.join": asyncio.Queue().join,
        "queue.put_nowait": asyncio.Queue().put_nowait,
        "lock.acquire": asyncio.Lock().acquire,
        "lock.release": asyncio.Lock().release,
        "event.wait": asyncio.Event().wait,
        "event.set": asyncio.Event().set,
        "condition.wait": asyncio.Condition().wait,
        "condition.wait_for": asyncio.Condition().wait_for,
        "semaphore.acquire": asyncio.Semaphore().acquire,
        "barrier.wait": asyncio.Barrier(1).wait,
        "sleep": asyncio.sleep,
        "gather": asyncio.gather,
        "shield": asyncio.shield,
        "wait": asyncio.wait,
        "wait_for": asyncio.wait_for,
        "timeout": asyncio.timeout,
        "to_thread": asyncio.to_thread,
        "open_connection": asyncio.open_connection,
        "start_server": asyncio.start_server,
        "create_subprocess_exec": asyncio.create_subprocess_exec,
        "reader.read": asyncio.StreamReader().read,
        "reader.readline": asyncio.StreamReader().readline,
        "reader.readexactly": asyncio.StreamReader().readexactly,
        "reader.readuntil": asyncio.StreamReader().readuntil,
        "writer.drain": asyncio.StreamWriter.drain,
        "writer.wait_closed": asyncio.StreamWriter.wait_closed,
        "create_task": asyncio.create_task,
        "group.create_task": asyncio.TaskGroup().create_task,
        "queue.put, unbound": asyncio.Queue.put,
        "event.wait, unbound": asyncio.Event.wait,
    }


async def what_is_to_be_awaited_looks_like_it():
    seen = {}
    for name, function in _callables().items():
        partial = functools.partial(functools.partial(function))
        seen[name] = (
            is_async_callable(function),
            is_async_callable(partial),
            inspect.iscoroutinefunction(function),
            inspect.iscoroutinefunction(partial),
            asyncio.iscoroutinefunction(function) if hasattr(asyncio, "iscoroutinefunction") else None,
            str(inspect.signature(function)),
        )
    return seen


async def background_tasks_put_into_a_queue():
    queue, event, lock = asyncio.Queue(), asyncio.Event(), asyncio.Lock()

    async def one(request):
        return PlainTextResponse("one", background=BackgroundTask(queue.put, "item"))

    async def many(request):
        tasks = BackgroundTasks()
        tasks.add_task(lock.acquire)
        tasks.add_task(queue.put, item="by name")
        tasks.add_task(asyncio.sleep, 0)
        tasks.add_task(event.set)
        tasks.add_task(lock.release)
        return PlainTextResponse("many", background=tasks)

    async with _client(Starlette(routes=[Route("/one", one), Route("/many", many)])) as client:
        texts = [(await client.get("/one")).text, (await client.get("/many")).text]
    async with asyncio.timeout(5):
        await event.wait()
        items = [await queue.get() for _ in range(2)]
    return texts, items, lock.locked()


async def middleware_streams_and_threads_work_together():
    queue = asyncio.Queue(1)

    async def produce():
        for number in range(20):
            await queue.put(f"{number} ")
        await queue.put(None)

    async def stream(request):
        task = asyncio.create_task(produce())

        async def body():
            while (chunk := await queue.get()) is not None:
                yield chunk
            await task

        return StreamingResponse(body())

    def threaded(request):
        return JSONResponse({"sum": sum(range(10))})

    class Counts(BaseHTTPMiddleware):
        calls = 0

        async def dispatch(self, request, call_next):
            Counts.calls += 1
            async with asyncio.timeout(5):
                return await call_next(request)

    app = Starlette(
        routes=[Route("/stream", stream), Route("/threaded", threaded)], middleware=[Middleware(Counts)]
    )
    async with _client(app) as client:
        texts = [(await client.get("/stream")).text, (await client.get("/threaded")).text]
        texts += [
            answer.text for answer in await asyncio.gather(*(client.get("/threaded") for _ in range(10)))
        ]
    return texts, Counts.calls, await run_in_threadpool(int, "42")


async def a_life_span_starts_and_ends_a_worker():
    done = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        queue = asyncio.Queue()

        async def work():
            while True:
                done.append(await queue.get())
                queue.task_done()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(work())
            yield {"queue": queue}
            await queue.join()
            task.cancel()

    async def job(request):
        await request.state.queue.put("job")
        return PlainTextResponse("taken")

    app = Starlette(routes=[Route("/", job)], lifespan=lifespan)
    incoming, outgoing = asyncio.Queue(), asyncio.Queue()
    scope = {"type": "lifespan", "state": {}}
    running = asyncio.create_task(app(scope, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    seen = [(await outgoing.get())["type"]]

    async def with_state(request_scope, receive, send):
        request_scope["state"] = dict(scope["state"])
        await app(request_scope, receive, send)

    async with _client(with_state) as client:
        seen.append((await client.get("/")).text)
    await incoming.put({"type": "lifespan.shutdown"})
    seen.append((await outgoing.get())["type"])
    await running
    return seen, done
