"""anyio on the asyncio backend: it reads tasks' private state, so it notices a task that is not quite one."""

import asyncio
import threading

import pytest

anyio = pytest.importorskip("anyio", reason="needs anyio")
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread


@pytest.fixture
def anyio_run(loop_factory):
    def run(main):
        return anyio.run(main, backend="asyncio", backend_options={"loop_factory": loop_factory})

    return run


def test_run_uses_the_loop_it_is_given(anyio_run, loop_module):
    async def main():
        return type(asyncio.get_running_loop())

    loop = loop_module.new_event_loop()
    loop.close()
    assert anyio_run(main) is type(loop)


def test_a_task_group_waits_and_cancels_on_an_error(anyio_run):
    order = []

    async def quick(name):
        await anyio.sleep(0)
        order.append(name)

    async def fails():
        await anyio.sleep(0.005)
        raise ValueError("bad")

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(quick, "a")
            group.start_soon(quick, "b")
        assert sorted(order) == ["a", "b"]
        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(fails)
                group.start_soon(anyio.sleep, 60)
        assert [str(error) for error in caught.value.exceptions] == ["bad"]

    anyio_run(main)


def test_a_started_task_passes_its_value_back(anyio_run):
    async def service(*, task_status):
        task_status.started("ready")
        await anyio.sleep(60)

    async def main():
        async with anyio.create_task_group() as group:
            assert await group.start(service) == "ready"
            group.cancel_scope.cancel()

    anyio_run(main)


def test_cancel_scopes_nest_time_out_and_shield(anyio_run):
    async def main():
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(60)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await anyio.sleep(60)

        reached = []
        with anyio.move_on_after(0.01) as outer:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.02)
                reached.append("shielded")
            await anyio.sleep(60)
            reached.append("never")
        assert outer.cancelled_caught
        assert reached == ["shielded"]

        with anyio.CancelScope() as outer:
            with anyio.CancelScope() as inner:
                inner.cancel()
                await anyio.sleep(60)
            reached.append("outer goes on")
        assert inner.cancelled_caught
        assert not outer.cancelled_caught
        assert asyncio.current_task().cancelling() == 0

    anyio_run(main)


def test_a_level_cancelled_scope_cancels_every_await(anyio_run):
    async def main():
        tries = 0
        with anyio.move_on_after(0.005):
            for _ in range(3):
                try:
                    await anyio.sleep(60)
                except anyio.get_cancelled_exc_class():
                    tries += 1
            await anyio.sleep(60)
        assert tries == 3

    anyio_run(main)


def test_a_scope_cancelled_before_a_task_starts_cancels_that_task(anyio_run):
    started = []

    async def child():
        started.append("entered")
        await anyio.sleep(60)
        started.append("never")

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            group.cancel_scope.cancel()
        assert "never" not in started

    anyio_run(main)


def test_threads_are_run_and_call_back(anyio_run):
    async def answer():
        await anyio.sleep(0)
        return 42

    def in_thread():
        assert threading.current_thread() is not threading.main_thread()
        return anyio.from_thread.run(answer) + anyio.from_thread.run_sync(lambda: 1)

    async def main():
        assert await anyio.to_thread.run_sync(in_thread) == 43
        with pytest.raises(ZeroDivisionError):
            await anyio.to_thread.run_sync(divmod, 1, 0)

    anyio_run(main)


def test_a_capacity_limiter_limits(anyio_run):
    inside, most = 0, 0

    async def worker(limiter):
        nonlocal inside, most
        async with limiter:
            inside += 1
            most = max(most, inside)
            await anyio.sleep(0.001)
            inside -= 1

    async def main():
        limiter = anyio.CapacityLimiter(3)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(worker, limiter)
        assert most == 3

    anyio_run(main)


def test_memory_streams_carry_items_and_end(anyio_run):
    async def main():
        send, receive = anyio.create_memory_object_stream(3)
        received = []

        async def produce():
            async with send:
                for number in range(20):
                    await send.send(number)

        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            async with receive:
                async for item in receive:
                    received.append(item)
        assert received == list(range(20))

    anyio_run(main)


def test_tcp_streams_echo(anyio_run):
    async def echo(stream):
        async with stream:
            async for chunk in stream:
                await stream.send(chunk)

    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                message, received = bytes(range(256)) * 1000, b""
                await stream.send(message)
                while len(received) < len(message):
                    received += await stream.receive()
                assert received == message
            group.cancel_scope.cancel()
        await listener.aclose()

    anyio_run(main)


@pytest.mark.slow  # starts processes
def test_processes_are_run(anyio_run):
    async def main():
        done = await anyio.run_process(["cat"], input=b"through cat")
        assert done.stdout == b"through cat"

    anyio_run(main)


def test_a_blocking_portal_runs_async_code_for_sync_code(loop_factory):
    async def answer():
        await anyio.sleep(0.001)
        return type(asyncio.get_running_loop())

    options = {"loop_factory": loop_factory}
    with anyio.from_thread.start_blocking_portal("asyncio", options) as portal:
        first = portal.call(answer)
        future = portal.start_task_soon(answer)
        assert future.result(5) is first


def test_wait_all_tasks_blocked_sees_that_tasks_wait(anyio_run):
    async def main():
        event, order = anyio.Event(), []

        async def wait():
            await anyio.lowlevel.checkpoint()
            order.append("waiting")
            await event.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert order == ["waiting"]
            event.set()

    anyio_run(main)
