"""aiohttp's client and server in one loop, on asyncio's names: pools, web sockets, timeouts, cancelled requests."""

import asyncio
import contextlib
import logging

import aiohttp
from aiohttp import web

# A handler whose client left is an error to aiohttp or none: that is a question of when the socket tells.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class _Site:
    def __init__(self):
        self.lock, self.release = asyncio.Lock(), asyncio.Event()
        self.jobs, self.left, self.listeners = asyncio.Queue(), [], set()

    def application(self):
        app = web.Application()
        app.add_routes(
            [
                web.get("/hello/{name}", self.hello),
                web.get("/locked", self.locked),
                web.get("/waits", self.waits),
                web.get("/feed", self.feed),
                web.get("/big", self.big),
                web.post("/jobs", self.add_jobs),
                web.get("/chat", self.chat),
            ]
        )
        app.cleanup_ctx.append(self.works)
        return app

    async def works(self, app):
        """A background task that lives as long as the application."""
        self.done = []

        async def work():
            while True:
                self.done.append(await self.jobs.get())
                self.jobs.task_done()

        task = asyncio.create_task(work())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    async def hello(self, request):
        await asyncio.sleep(0)
        return web.json_response({"hello": request.match_info["name"]})

    async def locked(self, request):
        async with self.lock:
            return web.Response(text="had the lock")

    async def waits(self, request):
        try:
            async with asyncio.timeout(30):
                await self.release.wait()
        except asyncio.CancelledError:
            self.left.append("cancelled")
            raise
        return web.Response(text="released")

    async def feed(self, request):
        """A producer and a response with a small queue between them."""
        queue = asyncio.Queue(2)

        async def produce():
            for number in range(100):
                await queue.put(b"%d\n" % number)
            await queue.put(None)

        response = web.StreamResponse()
        await response.prepare(request)
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            while (line := await queue.get()) is not None:
                await response.write(line)
        await response.write_eof()
        return response

    async def big(self, request):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return web.Response(text="big" * 100_000)

    async def add_jobs(self, request):
        async for line in request.content:
            await self.jobs.put(line.strip().decode())
        await self.jobs.join()
        return web.Response(text=str(len(self.done)))

    async def chat(self, request):
        socket = web.WebSocketResponse(heartbeat=5)
        await socket.prepare(request)
        self.listeners.add(socket)
        try:
            async for message in socket:
                async with self.lock:
                    await asyncio.gather(*(each.send_str(message.data) for each in self.listeners))
        finally:
            self.listeners.discard(socket)
        return socket


@contextlib.asynccontextmanager
async def _served(connector=None, **options):
    site = _Site()
    runner = web.AppRunner(site.application(), access_log=None, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(address, connector=connector) as session:
            yield site, session
    finally:
        await runner.cleanup()


async def _text(session, path, **options):
    async with session.get(path, **options) as response:
        return await response.text()


async def many_requests_at_once_share_a_pool():
    async with _served(aiohttp.TCPConnector(limit=8)) as (_, session):

        async def fetch(number):
            async with session.get(f"/hello/{number}") as response:
                return int((await response.json())["hello"])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(number)) for number in range(150)]
        first = [await each for each in asyncio.as_completed([fetch(number) for number in range(20)])]
        assert [task.result() for task in tasks] == list(range(150))
        return sorted(first)


async def a_semaphore_bounds_the_requests():
    async with _served() as (_, session):
        semaphore, inside, most = asyncio.Semaphore(4), 0, 0

        async def fetch(number):
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                text = await _text(session, f"/hello/{number}")
                inside -= 1
            return text

        texts = await asyncio.gather(*map(fetch, range(40)))
        return most, len(set(texts))


async def a_feed_with_back_pressure_arrives_in_order():
    async with _served() as (_, session), session.get("/feed") as response:
        lines = [int(line) async for line in response.content]
        assert lines == list(range(100))
        return len(lines)


async def an_upload_by_a_generator_that_waits_on_a_queue_is_worked_off():
    async with _served() as (site, session):
        queue = asyncio.Queue()

        async def lines():
            while (number := await queue.get()) is not None:
                yield b"job %d\n" % number

        async def produce():
            for number in range(50):
                await queue.put(number)
                await asyncio.sleep(0)
            await queue.put(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            async with session.post("/jobs", data=lines()) as response:
                assert await response.text() == "50"
        return site.done


async def web_sockets_broadcast_to_all():
    async with _served() as (site, session):
        talked = asyncio.Barrier(5)

        async def member(name):
            async with session.ws_connect("/chat") as socket:
                await talked.wait()
                await socket.send_str(name)
                heard = [await socket.receive_str(timeout=5) for _ in range(5)]
                await talked.wait()
            return sorted(heard), socket.close_code

        heard = await asyncio.gather(*map(member, "abcde"))
        assert heard == [(list("abcde"), 1000)] * 5
        return heard


async def a_web_socket_that_hears_nothing_times_out_and_is_cancelled():
    async with _served() as (_, session):
        seen = []
        async with session.ws_connect("/chat") as socket:
            try:
                await socket.receive(timeout=0.01)
            except TimeoutError:
                seen.append("receive")
            try:
                await asyncio.wait_for(socket.receive(), 0.01)
            except TimeoutError:
                seen.append("wait_for")
            task = asyncio.create_task(socket.receive())
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])
            seen.append(task.cancelled())
            await socket.send_str("still here")
            seen.append(await socket.receive_str(timeout=5))
        return seen, socket.close_code


async def timeouts_of_every_kind_are_aiohttps_errors():
    async with _served(aiohttp.TCPConnector(limit=1)) as (site, session):
        seen = []
        limits = [
            aiohttp.ClientTimeout(total=0.01),
            aiohttp.ClientTimeout(sock_read=0.01),
        ]
        for limit in limits:
            try:
                await _text(session, "/waits", timeout=limit)
            except TimeoutError as error:
                seen.append(type(error).__name__)
        for wait in (
            lambda: asyncio.wait_for(_text(session, "/waits"), 0.01),
            lambda: _in_time(_text(session, "/waits"), 0.01),
        ):
            try:
                await wait()
            except TimeoutError as error:
                seen.append(type(error).__name__)
        blocker = asyncio.create_task(_text(session, "/waits"))
        await asyncio.sleep(0.005)
        try:
            await _text(session, "/hello/x", timeout=aiohttp.ClientTimeout(connect=0.01))
        except TimeoutError as error:
            seen.append(type(error).__name__)
        site.release.set()
        seen.append(await blocker)
        return seen


async def _in_time(wait, seconds):
    async with asyncio.timeout(seconds):
        return await wait


async def a_client_that_leaves_frees_the_handlers_place_in_the_lock():
    async with _served(handler_cancellation=True) as (site, session):
        await site.lock.acquire()
        leaving = [asyncio.create_task(_text(session, "/locked")) for _ in range(3)]
        staying = asyncio.create_task(_text(session, "/locked"))
        async with asyncio.timeout(5):
            while len(site.lock._waiters or ()) < 4:
                await asyncio.sleep(0.001)
            for task in leaving:
                task.cancel()
            while len(site.lock._waiters or ()) > 1:
                await asyncio.sleep(0.001)
        site.lock.release()
        return await staying, site.lock.locked()


async def a_request_cancelled_at_every_await_leaves_the_pool_whole():
    async with _served(aiohttp.TCPConnector(limit=2)) as (_, session):
        for turns in range(20):
            task = asyncio.create_task(_text(session, "/big"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        # More than the pool lends: some wait for a connection when they are cancelled.
        tasks = [asyncio.create_task(_text(session, "/big")) for _ in range(8)]
        await asyncio.sleep(0.002)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        texts = {task.result() for task in tasks[1::2]}
        assert texts == {"big" * 100_000}
        return [task.cancelled() for task in tasks[1::2]]


async def a_shielded_request_goes_on_without_its_waiter():
    async with _served() as (site, session):
        request = asyncio.create_task(_text(session, "/waits"))
        try:
            await asyncio.wait_for(asyncio.shield(request), 0.01)
        except TimeoutError:
            site.release.set()
        return await request


async def a_failed_request_in_a_group_cancels_the_others():
    async with _served(handler_cancellation=True) as (site, session):

        async def fails():
            async with session.get("/nowhere") as response:
                response.raise_for_status()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_text(session, "/waits"))
                group.create_task(_text(session, "/waits"))
                await asyncio.sleep(0.01)
                group.create_task(fails())
        except* aiohttp.ClientResponseError as errors:
            status = [error.status for error in errors.exceptions]
        async with asyncio.timeout(5):
            while len(site.left) < 2:
                await asyncio.sleep(0.001)
        return status, site.left
