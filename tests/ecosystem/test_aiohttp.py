"""aiohttp's server and client, both on the loop under test, talking to each other on loopback."""

import asyncio
import contextlib
import hashlib
import re
import shutil

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="needs aiohttp")
from aiohttp import web

CONTENT = bytes(range(256)) * 4000


class Site:
    """A small site with a page for each thing a client may meet."""

    def __init__(self):
        self.connections = set()
        self.flaky_calls = 0
        self.cancelled = 0

    def application(self):
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(
            [
                web.get("/hello", self.hello),
                web.get("/content", self.content),
                web.get("/stream", self.stream),
                web.post("/upload", self.upload),
                web.get("/slow", self.slow),
                web.get("/error", self.error),
                web.get("/flaky", self.flaky),
                web.get("/drop", self.drop),
                web.get("/socket", self.socket),
                web.get("/redirect", self.redirect),
            ]
        )
        return app

    async def hello(self, request):
        self.connections.add(request.transport.get_extra_info("peername"))
        return web.json_response({"hello": request.query.get("name", "world")})

    async def content(self, request):
        return web.Response(body=CONTENT)

    async def stream(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(50):
            await response.write(b"%06d" % number * 1000)
        await response.write_eof()
        return response

    async def upload(self, request):
        digest = hashlib.sha256()
        async for chunk in request.content.iter_chunked(1 << 16):
            digest.update(chunk)
        return web.Response(text=digest.hexdigest())

    async def slow(self, request):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return web.Response()

    async def error(self, request):
        raise RuntimeError("a bug in the handler")

    async def flaky(self, request):
        self.flaky_calls += 1
        if self.flaky_calls < 3:
            raise web.HTTPServiceUnavailable
        return web.Response(text="at last")

    async def drop(self, request):
        request.transport.abort()
        return web.Response()

    async def redirect(self, request):
        raise web.HTTPFound("/hello?name=redirected")

    async def socket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
            elif message.type == aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
        return socket


@contextlib.asynccontextmanager
async def served(site, **options):
    """The site on a free port; the address to ask."""
    runner = web.AppRunner(site.application(), **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def visit(run):
    """Runs `visitor(session, address, site)` against a served site."""

    def visit(visitor, connector=None, **options):
        async def main():
            site = Site()
            connections = aiohttp.TCPConnector(limit=connector or 100)
            async with (
                served(site, **options) as address,
                aiohttp.ClientSession(connector=connections) as session,
            ):
                await visitor(session, address, site)

        run(main())

    return visit


def test_a_pooled_session_keeps_its_connections_alive(visit):
    async def visitor(session, address, site):
        for number in range(30):
            async with session.get(f"{address}/hello", params={"name": str(number)}) as response:
                assert response.status == 200
                assert await response.json() == {"hello": str(number)}
        assert len(site.connections) == 1

    visit(visitor)


def test_many_requests_at_once_share_the_pool(visit):
    async def visitor(session, address, site):
        async def fetch(number):
            async with session.get(f"{address}/hello", params={"name": str(number)}) as response:
                return (await response.json())["hello"]

        assert await asyncio.gather(*map(fetch, range(200))) == [str(number) for number in range(200)]
        assert len(site.connections) <= 10

    visit(visitor, connector=10)


def test_large_bodies_arrive_whole(visit):
    async def visitor(session, address, site):
        async with session.get(f"{address}/content") as response:
            assert await response.read() == CONTENT
        async with session.get(f"{address}/stream") as response:
            received = [chunk async for chunk in response.content.iter_chunked(5000)]
            assert b"".join(received) == b"".join(b"%06d" % number * 1000 for number in range(50))

    visit(visitor)


def test_uploads_arrive_whole_streamed_or_not(visit):
    async def chunks():
        for start in range(0, len(CONTENT), 50_000):
            yield CONTENT[start : start + 50_000]
            await asyncio.sleep(0)

    async def visitor(session, address, site):
        for data in (CONTENT, chunks()):
            async with session.post(f"{address}/upload", data=data) as response:
                assert await response.text() == hashlib.sha256(CONTENT).hexdigest()

    visit(visitor)


def test_a_timeout_gives_up_and_the_session_stays_usable(visit):
    async def visitor(session, address, site):
        limit = aiohttp.ClientTimeout(total=0.05)
        with pytest.raises(asyncio.TimeoutError):
            async with session.get(f"{address}/slow", timeout=limit):
                pass
        async with session.get(f"{address}/hello") as response:
            assert response.status == 200

    visit(visitor, shutdown_timeout=0.1)


def test_a_client_that_leaves_cancels_the_handler_when_asked_to(visit):
    async def visitor(session, address, site):
        with pytest.raises(asyncio.TimeoutError):
            async with session.get(f"{address}/slow", timeout=aiohttp.ClientTimeout(total=0.05)):
                pass
        async with asyncio.timeout(5):
            while not site.cancelled:
                await asyncio.sleep(0.001)

    visit(visitor, handler_cancellation=True)


def test_a_bug_in_a_handler_is_a_500_and_the_server_goes_on(visit):
    async def visitor(session, address, site):
        for _ in range(3):
            async with session.get(f"{address}/error") as response:
                assert response.status == 500
        async with session.get(f"{address}/hello") as response:
            assert response.status == 200
        async with session.get(f"{address}/nowhere") as response:
            assert response.status == 404

    visit(visitor)


def test_a_503_is_retried_until_it_works(visit):
    async def visitor(session, address, site):
        for attempt in range(5):
            async with session.get(f"{address}/flaky") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.002 * 2**attempt)
        assert attempt == 2

    visit(visitor)


def test_a_dropped_connection_is_a_clear_error(visit):
    async def visitor(session, address, site):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get(f"{address}/drop")
        async with session.get(f"{address}/redirect") as response:
            assert await response.json() == {"hello": "redirected"}

    visit(visitor)


def test_a_refused_connection_is_a_connector_error(run):
    from sockets import refused_port

    async def main():
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{refused_port()}/")

    run(main())


def test_web_sockets_talk_both_ways_and_close(visit):
    async def visitor(session, address, site):
        async with session.ws_connect(f"{address}/socket") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "HELLO"
            big = bytes(range(256)) * 1000
            await socket.send_bytes(big)
            assert await socket.receive_bytes() == big[::-1]
        assert socket.closed
        assert socket.close_code == 1000

    visit(visitor)


def test_cancelled_requests_leave_the_pool_whole(visit):
    async def visitor(session, address, site):
        async def fetch():
            async with session.get(f"{address}/content") as response:
                return await response.read()

        for steps in range(25):
            task = asyncio.create_task(fetch())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert await task == CONTENT
        assert await asyncio.gather(*(fetch() for _ in range(5))) == [CONTENT] * 5

    visit(visitor, connector=5)


@pytest.mark.slow  # a second of load
def test_the_server_stands_wrk(run):
    wrk = shutil.which("wrk")
    if wrk is None:
        pytest.skip("needs the load generator wrk, which is not installed")

    async def main():
        site = Site()
        async with served(site, access_log=None) as address:
            load = await asyncio.create_subprocess_exec(
                wrk, "-t1", "-c32", "-d1s", f"{address}/hello", stdout=asyncio.subprocess.PIPE
            )
            out, _ = await asyncio.wait_for(load.communicate(), 20)
            assert load.returncode == 0
            async with aiohttp.ClientSession() as session, session.get(f"{address}/hello") as response:
                assert response.status == 200
        return out.decode()

    report = run(main())
    assert int(re.search(r"(\d+) requests in", report)[1]) > 100, report
    assert "Non-2xx" not in report, report
    assert "Socket errors" not in report, report
