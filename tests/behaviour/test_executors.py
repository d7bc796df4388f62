"""run_in_executor with any executor, and the default executor's shutdown."""

import asyncio
import concurrent.futures
import contextvars
import threading

import pytest

import features


def test_the_default_executor_runs_calls_and_passes_errors_on(run):
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 7, 0)
        assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()

    run(main())


def test_run_in_executor_returns_a_future_at_once(loop):
    started = threading.Event()
    future = loop.run_in_executor(None, started.wait, 5)
    assert asyncio.isfuture(future)
    assert not future.done()
    started.set()
    assert loop.run_until_complete(future) is True


def test_the_default_executor_must_be_a_thread_pool(loop):
    with pytest.raises(TypeError, match="ThreadPoolExecutor"):
        loop.set_default_executor(object())
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="chosen") as executor:
        loop.set_default_executor(executor)
        thread = loop.run_until_complete(loop.run_in_executor(None, threading.current_thread))
        assert thread.name.startswith("chosen")


def test_any_executor_may_be_given(run):
    class Immediate(concurrent.futures.Executor):
        def submit(self, function, /, *args, **kwargs):
            future = concurrent.futures.Future()
            future.set_result(function(*args, **kwargs))
            return future

    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(Immediate(), threading.get_ident) == threading.get_ident()

    run(main())


def test_cancelling_the_future_cancels_work_that_has_not_started(run):
    async def main():
        loop = asyncio.get_running_loop()
        blocker, calls = threading.Event(), []
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            first = loop.run_in_executor(executor, blocker.wait, 5)
            second = loop.run_in_executor(executor, calls.append, "ran")
            second.cancel()
            await asyncio.sleep(0.005)
            blocker.set()
            assert await first is True
        with pytest.raises(asyncio.CancelledError):
            await second
        assert calls == []

    run(main())


def test_to_thread_carries_the_context_and_run_in_executor_does_not(run):
    variable = contextvars.ContextVar("variable", default="default")

    async def main():
        variable.set("caller")
        assert await asyncio.to_thread(variable.get) == "caller"
        assert await asyncio.get_running_loop().run_in_executor(None, variable.get) == "default"

    run(main())


def test_after_its_shutdown_the_default_executor_is_refused(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
        loop.run_in_executor(None, int)
    loop.run_until_complete(loop.shutdown_default_executor())


def test_shutdown_waits_for_running_work(loop):
    finished = []
    going = threading.Event()

    def work():
        going.wait(5)
        finished.append(True)

    async def main():
        loop.run_in_executor(None, work)
        shutting_down = asyncio.ensure_future(loop.shutdown_default_executor())
        await asyncio.sleep(0.01)
        assert not shutting_down.done()
        going.set()
        await shutting_down
        assert finished == [True]

    loop.run_until_complete(main())


@pytest.mark.slow  # asks the running version first
def test_shutdown_gives_up_after_its_timeout_with_a_warning(loop):
    if not features.EXECUTOR_TIMEOUT:
        pytest.skip("this version's shutdown_default_executor takes no timeout")
    if not features.executor_timeout_works():
        pytest.skip("bug of this asyncio, whose code the loop inherits: it waits without a limit first")
    going = threading.Event()

    async def main():
        loop.run_in_executor(None, going.wait, 5)
        with pytest.warns(RuntimeWarning, match="did not finish"):
            await loop.shutdown_default_executor(timeout=0.02)

    loop.run_until_complete(main())
    going.set()


def test_closing_the_loop_does_not_wait_for_its_threads(loop_factory):
    going, finished = threading.Event(), threading.Event()

    def work():
        going.wait(5)
        finished.set()

    loop = loop_factory()
    loop.run_in_executor(None, work)
    loop.close()
    assert loop.is_closed()
    assert not finished.is_set()
    going.set()
    assert finished.wait(5)


def test_a_coroutine_run_from_a_thread_may_be_cancelled_from_there(run):
    async def main():
        loop = asyncio.get_running_loop()
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def work():
            started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        future = await asyncio.to_thread(asyncio.run_coroutine_threadsafe, work(), loop)
        await started.wait()
        await asyncio.to_thread(future.cancel)
        await asyncio.wait_for(cancelled.wait(), 5)
        assert future.cancelled()

    run(main())


def test_a_coroutine_run_from_a_thread_passes_its_error_back(run):
    async def fails():
        raise ValueError("bad")

    async def main():
        loop = asyncio.get_running_loop()

        def in_thread():
            with pytest.raises(ValueError, match="bad"):
                asyncio.run_coroutine_threadsafe(fails(), loop).result(5)
            return True

        assert await asyncio.to_thread(in_thread)

    run(main())


def test_wrap_future_follows_a_concurrent_future_both_ways(run):
    async def main():
        theirs = concurrent.futures.Future()
        ours = asyncio.wrap_future(theirs)
        threading.Timer(0.005, theirs.set_result, ("value",)).start()
        assert await ours == "value"

        theirs = concurrent.futures.Future()
        ours = asyncio.wrap_future(theirs)
        ours.cancel()
        await asyncio.sleep(0)
        assert theirs.cancelled()

    run(main())
