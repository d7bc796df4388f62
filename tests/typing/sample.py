"""A program as a user with `mypy --strict` writes it. Checked, not run: tests/typing/test_typing.py.

Lines with an `# E:` comment must be refused with a message that contains it; all others must pass.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import oxio
import oxio as aio
from oxio import EventLoop, Future, Task, install, new_event_loop, run, uninstall


async def number() -> int:
    await oxio.sleep(0)
    return 1


async def numbers() -> AsyncIterator[int]:
    async with aio.timeout(1):
        yield await number()


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
if sys.version_info >= (3, 14):
    oxio.print_call_graph()
