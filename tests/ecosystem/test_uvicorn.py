"""uvicorn serving an ASGI application over HTTP: as a user starts it, and inside a program."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn")

APPLICATION = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                print("lifespan ended", flush=True)
                return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/loop":
        answer = type(asyncio.get_running_loop()).__module__.encode()
    elif scope["path"] == "/error":
        raise RuntimeError("a bug in the application")
    else:
        await asyncio.sleep(0)
        answer = body[::-1] or b"hello"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    for start in range(0, len(answer), 10_000):
        await send({"type": "http.response.body", "body": answer[start : start + 10_000], "more_body": True})
    await send({"type": "http.response.body"})
"""


def ask(address, path, data=None):
    with urllib.request.urlopen(address + path, data, timeout=10) as response:
        return response.read()


@contextlib.contextmanager
def started(loop_name, folder, *options):
    """`python -m uvicorn`, or `python -m oxio -m uvicorn`, on a socket of ours; `(address, process)`."""
    (folder / "site_under_test.py").write_text(APPLICATION)
    command = [sys.executable, *(["-m", "oxio"] if loop_name == "oxio" else []), "-m", "uvicorn"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [*command, "site_under_test:app", "--fd", str(listener.fileno()), *options],
            cwd=folder,
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", process
        finally:
            process.kill()
            process.communicate(timeout=10)


@pytest.mark.slow  # starts a server process
def test_uvicorn_from_the_command_line_serves_on_the_loop(loop_name, tmp_path):
    # Left to itself uvicorn takes uvloop where that is installed.
    with started(loop_name, tmp_path, "--loop", "asyncio") as (address, process):
        assert ask(address, "/") == b"hello"
        assert ask(address, "/loop").decode().split(".")[0] == loop_name
        big = os.urandom(500_000)
        assert ask(address, "/", big) == big[::-1]
        with pytest.raises(urllib.request.HTTPError) as caught:
            ask(address, "/error")
        assert caught.value.code == 500
        assert ask(address, "/") == b"hello"

        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
        assert "lifespan ended" in output
        assert "a bug in the application" in output


@pytest.mark.slow  # starts a server process
def test_uvicorn_told_no_loop_takes_the_installed_one(loop_name, tmp_path):
    with started(loop_name, tmp_path, "--loop", "none") as (address, process):
        assert ask(address, "/loop").decode().split(".")[0] == loop_name
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert "lifespan ended" in output


def test_uvicorn_inside_a_program_serves_many_requests_at_once(run, tmp_path):
    namespace = {}
    exec(APPLICATION, namespace)

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(namespace["app"], log_config=None, lifespan="on")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.002)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answers = await asyncio.gather(
            *(asyncio.to_thread(ask, address, "/", json.dumps(number).encode()) for number in range(50))
        )
        assert answers == [json.dumps(number).encode()[::-1] for number in range(50)]
        server.should_exit = True
        await asyncio.wait_for(serving, 10)

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 15
