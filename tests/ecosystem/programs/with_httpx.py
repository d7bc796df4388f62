"""httpx's client, which waits by way of anyio, against a server of aiohttp's and an application called directly."""

import asyncio
import contextlib
import logging

import httpx
from aiohttp import web

# A handler whose client left is an error to aiohttp or none: that is a question of when the socket tells.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


@contextlib.asynccontextmanager
async def _served(**options):
    async def hello(request):
        return web.json_response({"hello": request.match_info["name"]})

    async def waits(request):
        await asyncio.Event().wait()

    async def feed(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(100):
            await response.write(b"%d\n" % number)
            await asyncio.sleep(0)
        return response

    async def upload(request):
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=1 << 30)
    app.add_routes(
        [
            web.get("/hello/{name}", hello),
            web.get("/waits", waits),
            web.get("/feed", feed),
            web.post("/upload", upload),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        # The proxies of the machine's environment have no say.
        async with httpx.AsyncClient(base_url=address, trust_env=False, **options) as client:
            yield client
    finally:
        await runner.cleanup()


async def many_requests_at_once_share_a_pool():
    async with _served(limits=httpx.Limits(max_connections=5)) as client:

        async def fetch(number):
            return (await client.get(f"/hello/{number}")).json()["hello"]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(number)) for number in range(30)]
        return [task.result() for task in tasks]


async def a_streamed_response_arrives_in_order():
    async with _served() as client, client.stream("GET", "/feed") as response:
        lines = [line async for line in response.aiter_lines()]
        assert lines == [str(number) for number in range(100)]
        return len(lines)


async def an_upload_by_a_generator_that_waits_on_a_queue_arrives_whole():
    async with _served() as client:
        queue = asyncio.Queue(1)

        async def chunks():
            while (chunk := await queue.get()) is not None:
                yield chunk

        async def produce():
            for _ in range(30):
                await queue.put(b"x" * 10_000)
            await queue.put(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            response = await client.post("/upload", content=chunks())
        return response.text


async def timeouts_of_every_kind_are_httpxs_errors():
    async with _served(limits=httpx.Limits(max_connections=1)) as client:
        seen = []
        try:
            await client.get("/waits", timeout=httpx.Timeout(5, read=0.01))
        except httpx.ReadTimeout as error:
            seen.append(type(error).__name__)
        blocker = asyncio.create_task(client.get("/waits"))
        await asyncio.sleep(0.01)
        try:
            await client.get("/hello/x", timeout=httpx.Timeout(5, pool=0.01))
        except httpx.PoolTimeout as error:
            seen.append(type(error).__name__)
        blocker.cancel()
        await asyncio.wait([blocker])
        seen.append(blocker.cancelled())
    # httpcore never gets back the place of a connection that is cancelled while it is made, so the pool must be larger.
    async with _served() as client:
        for wait in (
            lambda: asyncio.wait_for(client.get("/waits"), 0.01),
            lambda: _in_time(client.get("/waits"), 0.01),
        ):
            try:
                await wait()
            except TimeoutError as error:
                seen.append(type(error).__name__)
        return seen, (await client.get("/hello/x")).status_code


async def _in_time(wait, seconds):
    async with asyncio.timeout(seconds):
        return await wait


async def a_request_cancelled_at_every_await_leaves_the_client_usable():
    # httpcore never gets back the place of a connection that is cancelled while it is made, so there are places left.
    async with _served(limits=httpx.Limits(max_connections=30)) as client:
        for turns in range(20):
            task = asyncio.create_task(client.get("/feed"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        answers = await asyncio.gather(*(client.get(f"/hello/{number}") for number in range(6)))
        return [answer.json()["hello"] for answer in answers]


async def an_application_is_called_without_a_network():
    lock, order = asyncio.Lock(), []

    async def application(scope, receive, send):
        async with lock:
            order.append(scope["path"])
            message = await receive()
            await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": message["body"][::-1]})

    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answers = await asyncio.gather(
            *(client.post(f"/{name}", content=name * 2) for name in ("ab", "cd", "ef"))
        )
    return [answer.text for answer in answers], order
