"""A program as a user with `mypy --strict` writes it. Checked, not run: tests/typing/test_typing.py.

Lines with an `# E:` comment must be refused with a message that contains it; all others must pass.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import oxio
import oxio as aio
from oxio import EventLoop, Future, Task, install, new_event_loop, run, uninstall


async def number() -> int:
    await oxio.sleep(0)
    return 1


async def numbers() -> AsyncIterator[int]:
    async with aio.timeout(1):
        yield await number()


limiter = oxio.RateLimiter(10, burst=2)
oxio.RateLimiter("ten")  # E: incompatible type "str"


@oxio.retry(attempts=5, on=(ConnectionError, TimeoutError), attempt_timeout=1.0)
async def fetch(url: str) -> bytes:
    async with limiter:
        return url.encode()


async def parse(page: bytes) -> int:
    return len(page)


async def extras() -> None:
    page: bytes = await fetch("/")
    await fetch(1)  # E: incompatible type "int"
    again: int = await oxio.retry(parse)(page)
    async with aclosing(oxio.map_concurrent(parse, [page], limit=2, ordered=False)) as sizes:
        async for size in sizes:
            again += size
    oxio.map_concurrent(parse, ["text"], limit=2)  # E: expected "Callable[[str], Awaitable[int]]"
    oxio.map_concurrent(parse, [page])  # E: Missing named argument "limit"
    winner: int | bytes = await oxio.race(parse(page), fetch("/"))
    loser: str = await oxio.race(parse(page), number())  # E: expected "Awaitable[str]"
    print(again, winner, loser, limiter.statistics().tasks_waiting)


async def primitives() -> None:
    lock: asyncio.Lock = oxio.Lock()
    condition = oxio.Condition(lock)
    semaphore: asyncio.Semaphore = oxio.BoundedSemaphore(2)
    async with lock, semaphore:
        condition.notify_all()
    ready = oxio.Event()
    if await ready.wait():
        ready.clear()
    waiting: int = condition.statistics().waiters + ready.statistics().waiters
    queue: oxio.Queue[int] = oxio.PriorityQueue(maxsize=waiting)
    plain: asyncio.Queue[int] = queue
    item: int = await queue.get()
    queue.put_nowait("text")  # E: incompatible type "str"
    try:
        queue.shutdown(immediate=True)
        await plain.put(item)
    except oxio.QueueShutDown:
        print(queue.statistics().is_shut_down)
    gathered = oxio.gather(number(), fetch("/"), return_exceptions=True)
    both: tuple[int | BaseException, bytes | BaseException] = await gathered
    done, pending = await oxio.wait({oxio.ensure_future(number())}, return_when=oxio.FIRST_COMPLETED)
    async with oxio.timeout(1) as scope, oxio.timeout_at(None) as other:
        same: oxio.Timeout = scope
        other.reschedule(same.when())
    async with oxio.timeout("1"):  # E: incompatible type "str"
        print(both, done, pending)
    group: asyncio.TaskGroup = oxio.TaskGroup()
    async with group, oxio.TaskGroup() as own:
        child: Task[int] = own.create_task(number(), name="child")
        own.cancel()
        group.create_task(number).cancel()  # E: incompatible type
    print(await oxio.shield(child), await oxio.sleep(0, "result"))


async def serve(reader: oxio.StreamReader, writer: oxio.StreamWriter) -> None:
    line: bytes = await reader.readuntil((b"\n", b"\r"))
    writer.write(line + await reader.readexactly(reader.statistics().buffered))
    writer.write("text")  # E: incompatible type "str"
    await writer.drain()


async def serve_as_asyncio(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.writelines([await reader.readline()])


async def servers() -> None:
    async with await oxio.start_server(serve, "localhost", 0) as server:
        server.close_clients()
    base: asyncio.Server = await oxio.start_unix_server(serve_as_asyncio, "/tmp/socket")
    base.close()
    await oxio.start_server(number)  # E: incompatible type


async def main() -> str:
    task: asyncio.Task[int] = oxio.create_task(number())
    same: Task[int] = asyncio.create_task(number())
    future: Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(2)
    future.set_result("two")  # E: incompatible type "str"
    first, second, third = await aio.gather(task, same, future)
    queue: aio.Queue[int] = aio.Queue()
    await queue.put(first + second + third)
    await queue.put("text")  # E: incompatible type "str"
    async with oxio.TaskGroup() as group:
        group.create_task(number())
    reader, writer = await oxio.open_connection("localhost", 80)
    writer.write(await reader.read())
    process = await aio.create_subprocess_exec("true", stdout=aio.subprocess.PIPE)
    await process.wait()
    async for value in numbers():
        print(value)
    try:
        await aio.wait_for(task, 1)
    except aio.exceptions.TimeoutError:
        pass
    return "done"


text: str = run(main())
wrong: int = oxio.run(main(), debug=True)  # E: expression has type "str", variable has type "int"
oxio.run(main(), loop_factory=new_event_loop)
asyncio.run(main(), debug=None)
with oxio.Runner(loop_factory=oxio.new_event_loop) as runner:
    also: str = runner.run(main())

loop: EventLoop = new_event_loop()
base: asyncio.AbstractEventLoop = loop
selector: asyncio.SelectorEventLoop = oxio.SelectorEventLoop()
loop.call_later(0.1, print)
loop.call_later("soon", print)  # E: incompatible type "str"

install()
uninstall()
install(1)  # E: Too many arguments
version: str = oxio.__version__
print(oxio.nothing)  # E: has no attribute "nothing"

if sys.version_info < (3, 14):
    asyncio.set_event_loop_policy(oxio.EventLoopPolicy())
if sys.version_info >= (3, 12):
    loop.set_task_factory(oxio.eager_task_factory)
oxio.print_call_graph()
graph: str = oxio.format_call_graph(limit=2)
