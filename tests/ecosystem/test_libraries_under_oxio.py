"""One small ordinary program per library, started by `python` and by `python -m oxio`: no program imports oxio.

`python -m oxio` also installs oxio's names into asyncio before the library is imported, which a loop factory does not.
"""

import subprocess
import sys
import textwrap

import pytest

LOOP = "print(type(asyncio.get_running_loop()).__module__.split('.')[0])"

PROGRAMS = {
    "aiohttp": """
        import asyncio, aiohttp
        from aiohttp import web

        async def hello(request):
            return web.json_response({"hello": request.match_info["name"]})

        async def main():
            LOOP
            app = web.Application()
            app.add_routes([web.get("/{name}", hello)])
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                async def fetch(number):
                    async with session.get(f"{address}/{number}") as response:
                        return (await response.json())["hello"]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(fetch(number)) for number in range(100)]
                print(sum(int(task.result()) for task in tasks))
            await runner.cleanup()

        asyncio.run(main())
        """,
    "aiofiles": """
        import asyncio, os, tempfile, aiofiles

        async def main():
            LOOP
            with tempfile.TemporaryDirectory() as folder:
                async def roundtrip(number):
                    path = os.path.join(folder, str(number))
                    async with aiofiles.open(path, "w") as file:
                        await file.write(str(number) * 1000)
                    async with aiofiles.open(path) as file:
                        return len(await file.read())
                print(sum(await asyncio.gather(*map(roundtrip, range(50)))))

        asyncio.run(main())
        """,
    "anyio": """
        import asyncio, anyio

        async def main():
            LOOP
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 0.001)
                with anyio.move_on_after(0.01) as scope:
                    await anyio.sleep(60)
            print(scope.cancelled_caught, await anyio.to_thread.run_sync(int, "42"))

        anyio.run(main)
        """,
    "uvicorn": """
        import asyncio, threading, urllib.request, uvicorn

        async def app(scope, receive, send):
            LOOP
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})

        class Server(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                port = self.servers[0].sockets[0].getsockname()[1]
                threading.Thread(target=self.visit, args=(port,)).start()

            def visit(self, port):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                    print(response.read())
                self.should_exit = True

        Server(uvicorn.Config(app, port=0, loop="asyncio", log_config=None, lifespan="off")).run()
        """,
}


@pytest.mark.slow  # starts a process
@pytest.mark.parametrize("library", PROGRAMS)
def test_an_ordinary_program_runs_on_the_loop_and_prints_the_same(loop_name, library, tmp_path):
    pytest.importorskip(library, reason=f"needs {library}")
    program = tmp_path / "app.py"
    program.write_text(textwrap.dedent(PROGRAMS[library]).replace("LOOP", LOOP))
    done = subprocess.run(
        [sys.executable, *(["-m", "oxio"] if loop_name == "oxio" else []), str(program)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = {"aiohttp": "4950", "aiofiles": "90000", "anyio": "True 42", "uvicorn": "b'hello'"}
    assert done.stdout.splitlines() == [loop_name, expected[library]]
