"""anyio's scopes, groups and locks around asyncio's names: anyio looks at what a task waits for before it cancels it."""

import asyncio

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread


def _waits():
    """Every way to wait for ever by an asyncio name, as `{name: async function}`."""
    lock, event, condition = asyncio.Lock(), asyncio.Event(), asyncio.Condition()
    semaphore, barrier = asyncio.Semaphore(0), asyncio.Barrier(2)
    empty, full = asyncio.Queue(), asyncio.Queue(1)
    full.put_nowait(0)
    reader = asyncio.StreamReader()
    priority, lifo = asyncio.PriorityQueue(), asyncio.LifoQueue()

    async def hold():
        await lock.acquire()
        await lock.acquire()

    async def notified():
        async with condition:
            await condition.wait()

    async def predicate():
        async with condition:
            await condition.wait_for(lambda: False)

    async def grouped():
        async with asyncio.TaskGroup() as group:
            group.create_task(event.wait())

    async def timed():
        async with asyncio.timeout(60):
            await event.wait()

    async def completed():
        for each in asyncio.as_completed([event.wait()]):
            await each

    async def wait():
        task = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()

    async def shielded():
        task = asyncio.ensure_future(event.wait())
        try:
            await asyncio.shield(task)
        finally:
            task.cancel()

    async def put():
        await full.put(1)

    return {
        "lock": hold,
        "event": event.wait,
        "condition": notified,
        "predicate": predicate,
        "semaphore": semaphore.acquire,
        "barrier": barrier.wait,
        "get": empty.get,
        "priority": priority.get,
        "lifo": lifo.get,
        "put": put,
        "join": full.join,
        "sleep": lambda: asyncio.sleep(60),
        "gather": lambda: asyncio.gather(event.wait(), asyncio.sleep(60)),
        "wait": wait,
        "wait_for": lambda: asyncio.wait_for(event.wait(), 60),
        "shield": shielded,
        "timeout": timed,
        "group": grouped,
        "as_completed": completed,
        "read": lambda: reader.read(1),
    }


async def every_wait_is_cut_short_by_move_on_after():
    seen = []
    for name, wait in _waits().items():
        with anyio.move_on_after(0.002) as scope:
            await wait()
        seen.append((name, scope.cancelled_caught, asyncio.current_task().cancelling()))
    assert all(caught and not count for _, caught, count in seen), seen
    return seen


async def every_wait_in_a_group_ends_when_the_group_is_cancelled():
    ended = []

    async def child(name, wait):
        try:
            await wait()
        except asyncio.CancelledError:
            ended.append(name)
            raise

    waits = _waits()
    async with anyio.create_task_group() as group:
        for name, wait in waits.items():
            group.start_soon(child, name, wait)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert sorted(ended) == sorted(waits)
    return sorted(ended)


async def every_wait_is_cancelled_again_and_again_until_the_scope_is_left():
    seen = []
    for name, wait in _waits().items():
        tries = 0
        with anyio.move_on_after(0.001):
            for _ in range(3):
                try:
                    await wait()
                except asyncio.CancelledError:
                    tries += 1
            await anyio.sleep(60)
        seen.append((name, tries))
    assert all(tries == 3 for _, tries in seen), seen
    return seen


async def a_wait_that_ended_in_the_turn_of_the_cancel_is_not_cancelled():
    """anyio does not cancel a task whose future is done: it lets it run to its next wait."""
    seen = []

    async def scene(name, prepare, wait, release):
        await prepare()
        with anyio.CancelScope() as scope:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, lambda: (release(), scope.cancel()))
            try:
                result = await wait()
            except asyncio.CancelledError:
                seen.append((name, "cancelled"))
                raise
            seen.append((name, repr(result)))

    async def nothing():
        pass

    lock, event, semaphore, queue, bounded = (
        asyncio.Lock(),
        asyncio.Event(),
        asyncio.Semaphore(0),
        asyncio.Queue(),
        asyncio.Queue(1),
    )
    bounded.put_nowait(1)
    reader = asyncio.StreamReader()
    future = asyncio.get_running_loop().create_future()
    gathered = asyncio.get_running_loop().create_future()
    await scene("lock", lock.acquire, lock.acquire, lock.release)
    await scene("event", nothing, event.wait, event.set)
    await scene("semaphore", nothing, semaphore.acquire, semaphore.release)
    await scene("get", nothing, queue.get, lambda: queue.put_nowait(1))
    await scene("put", nothing, lambda: bounded.put(2), bounded.get_nowait)
    await scene("read", nothing, lambda: reader.read(1), lambda: reader.feed_data(b"x"))
    await scene("future", nothing, lambda: asyncio.shield(future), lambda: future.set_result(1))
    await scene("gather", nothing, lambda: asyncio.gather(gathered), lambda: gathered.set_result(1))
    return [*seen, lock.locked(), semaphore._value, queue.qsize(), bounded.qsize()]


async def a_lock_wanted_in_a_cancelled_scope_goes_to_the_next():
    lock, order = asyncio.Lock(), []

    async def worker(name, scope):
        with scope:
            async with lock:
                order.append(name)
                await anyio.sleep(0)

    scopes = [anyio.CancelScope() for _ in range(6)]
    async with anyio.create_task_group() as group:
        await lock.acquire()
        for number, scope in enumerate(scopes):
            group.start_soon(worker, number, scope)
        await anyio.wait_all_tasks_blocked()
        for number in (0, 3, 4):
            scopes[number].cancel()
        lock.release()
    assert sorted(order) == sorted([1, 2, 5])
    assert not lock.locked()
    return order


async def an_item_got_in_a_cancelled_scope_is_not_lost():
    queue, got = asyncio.Queue(), []

    async def consumer():
        while True:
            with anyio.move_on_after(0.0005):
                item = await queue.get()
                if item is None:
                    return
                got.append(item)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(consumer)
        for number in range(200):
            await queue.put(number)
            if number % 20 == 0:
                await anyio.sleep(0.0005)
        for _ in range(3):
            await queue.put(None)
    assert sorted(got) == list(range(200))
    return len(got)


async def a_shielded_scope_keeps_a_native_wait_alive():
    event, seen = asyncio.Event(), []
    with anyio.move_on_after(0.001) as outer:
        asyncio.get_running_loop().call_later(0.005, event.set)
        with anyio.CancelScope(shield=True):
            await event.wait()
            seen.append("waited")
        await asyncio.Event().wait()
        seen.append("never")
    return seen, outer.cancelled_caught


async def anyios_own_locks_events_and_conditions_work_between_tasks():
    lock, event, condition, semaphore = anyio.Lock(), anyio.Event(), anyio.Condition(), anyio.Semaphore(2)
    order = []

    async def worker(name):
        async with semaphore, lock:
            order.append(name)
            await anyio.sleep(0)
        async with condition:
            await condition.wait()
            order.append(f"{name} told")
        await event.wait()

    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(worker, name)
        await anyio.wait_all_tasks_blocked()
        async with condition:
            condition.notify_all()
        await anyio.wait_all_tasks_blocked()
        event.set()
    assert len(order) == 8
    return order


async def a_capacity_limiter_lends_to_cancelled_borrowers_nothing():
    limiter, inside, most = anyio.CapacityLimiter(2), 0, 0

    async def worker(number):
        nonlocal inside, most
        with anyio.CancelScope() as scope:
            if number % 3 == 0:
                asyncio.get_running_loop().call_soon(scope.cancel)
            async with limiter:
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0.001)
                finally:
                    inside -= 1

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(worker, number)
    assert (most, inside, limiter.borrowed_tokens) == (2, 0, 0)
    return most


async def memory_streams_carry_items_between_asyncio_tasks():
    send, receive = anyio.create_memory_object_stream(1)
    received = []

    async def consume():
        async for item in receive:
            received.append(item)

    async with receive, asyncio.TaskGroup() as group:
        group.create_task(consume())
        async with send:
            for number in range(50):
                with anyio.fail_after(5):
                    await send.send(number)
    assert received == list(range(50))
    with anyio.move_on_after(0.001) as scope:
        send, receive = anyio.create_memory_object_stream(0)
        async with send, receive:
            await receive.receive()
    return scope.cancelled_caught


async def threads_use_asyncio_locks_of_the_loop():
    lock, queue = asyncio.Lock(), asyncio.Queue()

    def in_thread(number):
        async def locked():
            async with lock:
                await queue.put(number)

        anyio.from_thread.run(locked)
        anyio.from_thread.run(lock.acquire)
        anyio.from_thread.run_sync(lock.release)
        return number

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(anyio.to_thread.run_sync, in_thread, number)
    return sorted(queue.get_nowait() for _ in range(8))


async def a_group_inside_an_asyncio_timeout_ends_in_time():
    with_time = []
    try:
        async with asyncio.timeout(0.005):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 60)
                group.start_soon(asyncio.Event().wait)
    except TimeoutError:
        with_time.append("timed out")
    with anyio.move_on_after(0.002) as scope:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.Event().wait())
            tasks.create_task(asyncio.sleep(60))
    try:
        await asyncio.wait_for(_in_scope(asyncio.Event().wait), 0.002)
    except TimeoutError:
        with_time.append("wait_for")
    return with_time, scope.cancelled_caught, asyncio.current_task().cancelling()


async def _in_scope(wait):
    with anyio.CancelScope():
        await wait()


async def tasks_made_eagerly_live_in_anyios_scopes():
    if not hasattr(asyncio, "eager_task_factory"):
        return "no eager tasks before Python 3.12"
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    lock, order = asyncio.Lock(), []

    async def worker(name):
        async with lock:
            order.append(name)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    with anyio.move_on_after(0.005) as scope:
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(worker, name)
    # uvloop closes itself with an option that this factory does not take on every version.
    asyncio.get_running_loop().set_task_factory(None)
    return order, scope.cancelled_caught


async def a_start_method_passes_values_through_native_waits():
    event = asyncio.Event()

    async def service(*, task_status):
        async with asyncio.Lock():
            await asyncio.sleep(0)
            task_status.started(event)
        await event.wait()
        return "ended"

    async with anyio.create_task_group() as group:
        got = await group.start(service)
        assert got is event
        event.set()
    return True


async def task_infos_name_tasks_that_wait_on_native_locks():
    async with asyncio.TaskGroup() as group:
        event = asyncio.Event()
        group.create_task(event.wait(), name="waits for the event")
        await anyio.wait_all_tasks_blocked()
        names = sorted(info.name for info in anyio.get_running_tasks())
        infos = [info.has_pending_cancellation() for info in anyio.get_running_tasks()]
        event.set()
    assert "waits for the event" in names
    return infos


async def a_task_cancelled_in_a_native_wait_has_a_pending_cancellation():
    seen = []
    for name, wait in _waits().items():
        task = asyncio.create_task(_in_scope(wait))
        await asyncio.sleep(0.001)
        (info,) = [info for info in anyio.get_running_tasks() if info.id == id(task)]
        before = info.has_pending_cancellation()
        task.cancel()
        seen.append((name, before, info.has_pending_cancellation()))
        await asyncio.wait([task])
    return seen
