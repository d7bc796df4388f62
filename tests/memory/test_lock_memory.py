"""The collector finds a cycle through every native lock, wherever the lock holds it."""

import asyncio

import pytest

import oxio
from oxio import locks

CLASSES = [getattr(locks, name) for name in locks.__all__ if name != "Barrier"]
WAITS = {oxio.Event: "wait", oxio.Condition: "wait"}


class Number(int):
    """A value that asyncio takes, and that is more than a number."""


class OtherLock:
    """What a condition may have for its lock."""

    def locked(self):
        return True

    def acquire(self):
        raise NotImplementedError

    release = acquire


@pytest.fixture
def loop():
    loop = oxio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("cls", CLASSES)
def test_a_lock_that_holds_itself_by_an_attribute(canary, cls):
    make, assert_dead = canary
    bird, lock = make(), cls()
    bird.holds.append(lock)
    lock.bird = bird
    del bird, lock
    assert_dead()


@pytest.mark.parametrize("cls", CLASSES)
def test_a_lock_that_holds_itself_by_who_waits(loop, canary, cls):
    make, assert_dead = canary

    async def main():
        bird, lock = make(), cls(0) if issubclass(cls, oxio.Semaphore) else cls()
        if hasattr(lock, "acquire") and not lock.locked():
            await lock.acquire()
        waiter = getattr(lock, WAITS.get(cls, "acquire"))()
        waiter.send(None)
        assert len(lock._waiters) == 1
        # The bird dies with the cycle lock, queue, waiter: nothing else holds it.
        lock.bird = bird
        bird.holds.append(waiter)

    loop.run_until_complete(main())
    assert_dead()


@pytest.mark.parametrize("cls", CLASSES)
def test_a_queue_that_holds_itself_by_a_foreign_waiter(canary, cls):
    make, assert_dead = canary
    bird, lock = make(), cls()
    lock._waiters = [bird]
    bird.holds.append(lock._waiters)
    del lock, bird
    assert_dead()


@pytest.mark.parametrize("cls", CLASSES)
def test_a_lock_that_holds_itself_by_its_loop(canary, cls):
    make, assert_dead = canary
    bird, lock = make(), cls()
    lock._loop = bird
    bird.holds.append(lock)
    del bird, lock
    assert_dead()


@pytest.mark.parametrize("cls", [oxio.Semaphore, oxio.BoundedSemaphore])
@pytest.mark.parametrize("name", ["_value", "_bound_value"])
def test_a_semaphore_that_holds_itself_by_its_numbers(canary, cls, name):
    make, assert_dead = canary
    bird, semaphore, number = make(), cls(), Number(1)
    number.bird = bird
    bird.holds.append(semaphore)
    setattr(semaphore, name, number)
    del bird, semaphore, number
    assert_dead()


def test_a_condition_that_holds_itself_by_its_lock(canary):
    make, assert_dead = canary
    bird, lock = make(), OtherLock()
    lock.bird = bird
    condition = oxio.Condition(lock)
    bird.holds.append(condition)
    del condition.locked, condition.acquire, condition.release
    del bird, lock, condition
    assert_dead()


@pytest.mark.parametrize("end", ["released", "cancelled"])
@pytest.mark.parametrize("cls", CLASSES)
def test_waits_leave_nothing_behind(loop, canary, cls, end):
    make, assert_dead = canary

    async def hold(lock, bird):
        if cls is oxio.Event:
            return await lock.wait()
        async with lock:
            await asyncio.sleep(0)

    async def main():
        lock = cls()
        tasks = [asyncio.create_task(hold(lock, make())) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        if end == "cancelled":
            for task in tasks:
                task.cancel()
        elif cls is oxio.Event:
            lock.set()
        await asyncio.wait(tasks)
        return lock

    lock = loop.run_until_complete(main())
    assert_dead()
    assert not lock._waiters


def test_the_exception_that_carries_true_is_not_shared_with_who_catches_it():
    # await never shows it; who calls the iterator by hand does, and may keep it.
    event = oxio.Event()
    event.set()
    caught = []
    for _ in range(3):
        try:
            next(event.wait().__await__())
        except StopIteration as stop:
            caught.append(stop)
    assert [stop.value for stop in caught] == [True] * 3
    assert len({id(stop) for stop in caught}) == 3
    caught.clear()
    try:
        next(event.wait().__await__())
    except StopIteration as stop:
        assert stop.__traceback__.tb_next is None
        assert stop.__context__ is None
        fresh = True
    assert fresh
