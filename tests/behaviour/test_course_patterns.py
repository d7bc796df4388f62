"""What a course on async/await teaches, one test per pattern.

Waiting is often the point here, so these sleep for real: tenths of a second where a course uses seconds.
Upper limits leave room for a busy machine and still exclude the sequential time.
"""

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
import time

import pytest

WAIT = 0.1
"""Stands for a course's one second."""


@contextlib.contextmanager
def takes(at_least, less_than):
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    assert at_least <= seconds < less_than, f"took {seconds:.3f} s"


async def after(seconds, value):
    await asyncio.sleep(seconds)
    return value


@pytest.mark.slow  # three real seconds are waited at once: the course's example, to the letter
def test_three_one_second_waits_gathered_take_one_second(run):
    async def main():
        with takes(1.0, 1.9):
            await asyncio.gather(after(1, "a"), after(1, "b"), after(1, "c"))

    run(main())


def test_three_waits_awaited_one_by_one_take_their_sum(run):
    async def main():
        with takes(3 * WAIT, 10 * WAIT):
            for _ in range(3):
                await asyncio.sleep(WAIT)

    run(main())


def test_gather_returns_results_in_the_order_of_its_arguments(run):
    async def main():
        assert await asyncio.gather(after(0.02, "a"), after(0, "b"), after(0.01, "c")) == ["a", "b", "c"]
        assert await asyncio.gather() == []

    run(main())


def test_gather_raises_the_first_error_and_lets_the_others_run_on(run):
    finished = []

    async def fails():
        raise ValueError("bad")

    async def goes_on():
        await asyncio.sleep(0.01)
        finished.append(True)

    async def main():
        other = asyncio.create_task(goes_on())
        with pytest.raises(ValueError, match="bad"):
            await asyncio.gather(fails(), other)
        assert not finished
        await other
        assert finished

    run(main())


def test_gather_with_return_exceptions_returns_errors_in_place(run):
    async def fails():
        raise ValueError("bad")

    async def main():
        first, second, third = await asyncio.gather(after(0, 1), fails(), after(0, 3), return_exceptions=True)
        assert (first, third) == (1, 3)
        assert isinstance(second, ValueError)

    run(main())


def test_cancelling_a_gather_cancels_its_children(run):
    async def main():
        children = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
        both = asyncio.gather(*children)
        await asyncio.sleep(0)
        both.cancel()
        with pytest.raises(asyncio.CancelledError):
            await both
        assert all(child.cancelled() for child in children)

    run(main())


def test_create_task_runs_in_the_background_until_awaited(run):
    order = []

    async def background():
        order.append("task")
        return 42

    async def main():
        task = asyncio.create_task(background(), name="worker")
        order.append("created")
        assert task.get_name() == "worker"
        assert not task.done()
        assert await task == 42
        assert order == ["created", "task"]

    run(main())


def test_a_task_group_waits_for_all_and_cancels_the_rest_on_an_error(run):
    cancelled = []

    async def fails():
        await asyncio.sleep(0.01)
        raise ValueError("bad")

    async def long():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(after(0.01 * n, n)) for n in range(3)]
        assert [task.result() for task in tasks] == [0, 1, 2]

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                group.create_task(long())
        assert [str(error) for error in caught.value.exceptions] == ["bad"]
        assert cancelled == [True]

    run(main())


def test_wait_returns_when_the_first_completes(run):
    async def main():
        quick, slow = asyncio.create_task(after(0, "quick")), asyncio.create_task(asyncio.sleep(60))
        done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({quick}, {slow})
        slow.cancel()
        await asyncio.wait([slow])

    run(main())


def test_wait_returns_when_the_first_fails(run):
    async def fails():
        await asyncio.sleep(0.01)
        raise ValueError("bad")

    async def main():
        good, bad = asyncio.create_task(after(0, "good")), asyncio.create_task(fails())
        slow = asyncio.create_task(asyncio.sleep(60))
        done, pending = await asyncio.wait([good, bad, slow], return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == ({good, bad}, {slow})
        assert isinstance(bad.exception(), ValueError)
        slow.cancel()
        await asyncio.wait([slow])

    run(main())


def test_wait_returns_when_all_complete_and_after_its_timeout(run):
    async def main():
        tasks = {asyncio.create_task(after(0.005 * n, n)) for n in range(3)}
        assert await asyncio.wait(tasks) == (tasks, set())

        slow = asyncio.create_task(asyncio.sleep(60))
        with takes(WAIT, 10 * WAIT):
            assert await asyncio.wait([slow], timeout=WAIT) == (set(), {slow})
        assert not slow.done(), "wait does not cancel"
        slow.cancel()
        await asyncio.wait([slow])

    run(main())


def test_as_completed_yields_in_the_order_of_completion(run):
    async def main():
        waits = [after(0.09, "slow"), after(0.01, "quick"), after(0.05, "middle")]
        assert [await next_done for next_done in asyncio.as_completed(waits)] == ["quick", "middle", "slow"]

    run(main())


def test_as_completed_times_out(run):
    async def main():
        slow = asyncio.create_task(asyncio.sleep(60))
        with pytest.raises(asyncio.TimeoutError):
            for next_done in asyncio.as_completed([slow], timeout=0.01):
                await next_done
        slow.cancel()
        await asyncio.wait([slow])

    run(main())


def test_an_async_context_manager_enters_and_leaves_around_an_error(run):
    order = []

    class Connection:
        async def __aenter__(self):
            await asyncio.sleep(0)
            order.append("enter")
            return self

        async def __aexit__(self, kind, error, traceback):
            await asyncio.sleep(0)
            order.append(kind)

    @contextlib.asynccontextmanager
    async def session():
        async with Connection() as connection:
            yield connection

    async def main():
        async with Connection():
            order.append("inside")
        with pytest.raises(ValueError):
            async with session():
                raise ValueError
        assert order == ["enter", "inside", None, "enter", ValueError]

    run(main())


def test_an_async_iterator_waits_between_items(run):
    class Countdown:
        def __init__(self, start):
            self.left = start

        def __aiter__(self):
            return self

        async def __anext__(self):
            if self.left == 0:
                raise StopAsyncIteration
            await asyncio.sleep(0.001)
            self.left -= 1
            return self.left + 1

    async def main():
        assert [number async for number in Countdown(3)] == [3, 2, 1]

    run(main())


def test_an_async_generator_is_iterated_sent_to_and_closed(run):
    order = []

    async def numbers():
        try:
            for number in range(10):
                await asyncio.sleep(0)
                order.append((yield number))
        finally:
            await asyncio.sleep(0)
            order.append("closed")

    async def main():
        generator = numbers()
        assert await anext(generator) == 0
        assert await generator.asend("sent") == 1
        await generator.aclose()
        assert order == ["sent", "closed"]
        assert [number async for number in numbers() if number % 2] == [1, 3, 5, 7, 9]

    run(main())


def test_wait_for_times_out_and_cancels_what_it_waited_for(run):
    cancelled = []

    async def slow():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main():
        with takes(WAIT, 10 * WAIT), pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(slow(), WAIT)
        assert cancelled == [True]
        assert await asyncio.wait_for(after(0, "in time"), 60) == "in time"

    run(main())


def test_a_timeout_block_turns_its_own_cancellation_into_timeout_error(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01) as limit:
                await asyncio.sleep(60)
        assert limit.expired()
        assert asyncio.current_task().cancelling() == 0

        async with asyncio.timeout(0.01) as limit:
            limit.reschedule(None)
            await asyncio.sleep(0.02)
        assert not limit.expired()

    run(main())


def test_a_failing_call_is_retried_with_growing_pauses(run):
    attempts = []

    async def flaky():
        attempts.append(asyncio.get_running_loop().time())
        if len(attempts) < 4:
            raise ConnectionError("not yet")
        return "done"

    async def retry(function, times, pause):
        for attempt in range(times):
            try:
                return await function()
            except ConnectionError:
                if attempt == times - 1:
                    raise
                await asyncio.sleep(pause * 2**attempt)

    async def main():
        assert await retry(flaky, 5, 0.01) == "done"
        pauses = [after - before for before, after in zip(attempts, attempts[1:])]
        assert all(pause >= 0.01 * 2**n - 1e-6 for n, pause in enumerate(pauses))
        attempts.clear()
        with pytest.raises(ConnectionError):
            await retry(flaky, 2, 0)

    run(main())


def test_a_semaphore_of_three_lets_three_of_ten_in_at_a_time(run):
    inside, most = 0, 0

    async def worker(semaphore):
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async def main():
        semaphore = asyncio.Semaphore(3)
        with takes(0.04, 0.1 * 4):
            await asyncio.gather(*(worker(semaphore) for _ in range(10)))
        assert most == 3

    run(main())


def test_a_lock_guards_a_read_modify_write(run):
    total = 0

    async def add(lock):
        nonlocal total
        async with lock:
            before = total
            await asyncio.sleep(0)
            total = before + 1

    async def main():
        lock = asyncio.Lock()
        await asyncio.gather(*(add(lock) for _ in range(20)))
        assert total == 20

    run(main())


def test_an_event_and_a_condition_wake_their_waiters(run):
    async def main():
        event = asyncio.Event()
        waiters = [asyncio.create_task(event.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        event.set()
        assert await asyncio.gather(*waiters) == [True, True, True]

        condition, items = asyncio.Condition(), []

        async def consume():
            async with condition:
                await condition.wait_for(lambda: items)
                return items.pop()

        consumer = asyncio.create_task(consume())
        await asyncio.sleep(0)
        async with condition:
            items.append("item")
            condition.notify()
        assert await consumer == "item"

    run(main())


def test_producer_and_consumer_share_a_bounded_queue_and_stop_at_a_sentinel(run):
    sentinel = object()
    consumed, longest = [], 0

    async def produce(queue):
        nonlocal longest
        for number in range(20):
            await queue.put(number)
            longest = max(longest, queue.qsize())
        await queue.put(sentinel)

    async def consume(queue):
        while (item := await queue.get()) is not sentinel:
            consumed.append(item)
            await asyncio.sleep(0)

    async def main():
        queue = asyncio.Queue(maxsize=3)
        await asyncio.gather(produce(queue), consume(queue))
        assert consumed == list(range(20))
        assert longest <= 3

    run(main())


def test_workers_on_one_queue_are_joined_and_cancelled(run):
    async def main():
        queue, done = asyncio.Queue(), []

        async def worker():
            while True:
                item = await queue.get()
                await asyncio.sleep(0.001)
                done.append(item)
                queue.task_done()

        for number in range(9):
            queue.put_nowait(number)
        workers = [asyncio.create_task(worker()) for _ in range(3)]
        await queue.join()
        assert sorted(done) == list(range(9))
        for task in workers:
            task.cancel()
        results = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)

    run(main())


def test_blocking_calls_run_side_by_side_in_threads(run):
    async def main():
        loop = asyncio.get_running_loop()
        with takes(WAIT, 3 * WAIT):
            await asyncio.gather(*(loop.run_in_executor(None, time.sleep, WAIT) for _ in range(3)))
        assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
            thread = await loop.run_in_executor(executor, threading.current_thread)
            assert thread.name.startswith("mine")

    run(main())


@pytest.mark.slow  # starts a Python process
def test_cpu_work_runs_in_another_process(run):
    async def main():
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(executor, os.getpid) != os.getpid()
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(executor, divmod, 1, 0)

    run(main())


def test_run_inside_sync_code_may_be_called_again_and_again(run):
    def fetch(number):
        return run(after(0, number))

    assert [fetch(number) for number in range(3)] == [0, 1, 2]


def test_run_inside_a_running_loop_is_refused(run):
    async def main():
        with pytest.raises(RuntimeError, match="running event loop"):
            asyncio.run(coroutine)

    coroutine = after(0, 0)
    run(main())
    coroutine.close()


def test_sync_code_in_a_thread_calls_async_code_on_the_loop(run):
    async def main():
        loop = asyncio.get_running_loop()

        def in_thread():
            future = asyncio.run_coroutine_threadsafe(after(0.01, "answer"), loop)
            return future.result(timeout=5)

        assert await asyncio.to_thread(in_thread) == "answer"

    run(main())


def test_a_cancelled_task_cleans_up_and_raises_again(run):
    order = []

    async def work():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            order.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            order.append("cleaned up")

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert order == ["cancelled", "cleaned up"]

    run(main())


def test_a_hundred_sleeps_of_a_tenth_take_about_a_tenth(run):
    async def main():
        with takes(0.1, 0.5):
            await asyncio.gather(*(asyncio.sleep(0.1) for _ in range(100)))

    run(main())


def test_debug_mode_names_a_slow_callback(run, asyncio_log):
    async def blocks():
        asyncio.get_running_loop().slow_callback_duration = 0.02
        time.sleep(0.05)  # blocking the loop is the mistake to be reported

    run(blocks(), debug=True)
    assert any("took 0.0" in message and "blocks" in message for message in asyncio_log.take())


def test_a_coroutine_that_was_never_awaited_is_warned_about(run, recorded_warnings):
    async def forgotten():
        pass

    async def main():
        forgotten()

    run(main(), debug=True)
    messages = [str(warning.message) for warning in recorded_warnings]
    assert any("forgotten" in message and "was never awaited" in message for message in messages)


def test_a_loop_by_hand_runs_until_complete_and_closes(loop_factory):
    loop = loop_factory()
    try:
        assert loop.run_until_complete(after(0.001, "first")) == "first"
        assert loop.run_until_complete(after(0.001, "second")) == "second"
    finally:
        loop.close()
    assert loop.is_closed()
    late = after(0, None)
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_until_complete(late)
    late.close()


def test_streams_serve_an_echo(run):
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"one\ntwo\n")
            assert await reader.readline() == b"ONE\n"
            assert await reader.readline() == b"TWO\n"
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())
