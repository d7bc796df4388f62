"""The collector finds a cycle through a timeout, its timer and a task group, and what is over holds nothing."""

import asyncio
import gc
import weakref

import pytest

import oxio


@pytest.fixture
def loop():
    loop = oxio.new_event_loop()
    yield loop
    loop.close()


async def nothing():
    pass


@pytest.mark.parametrize("name", ["_cancelling", "_state", "_task", "_timeout_handler", "_when"])
def test_a_timeout_that_holds_itself_by_a_slot(canary, name):
    make, assert_dead = canary
    bird, timeout = make(), oxio.Timeout(None)
    bird.holds.append(timeout)
    setattr(timeout, name, bird)
    del bird, timeout
    assert_dead()


def test_a_timeout_that_holds_itself_as_an_attribute(canary):
    make, assert_dead = canary
    bird, timeout = make(), oxio.Timeout(None)
    bird.holds.append(timeout)
    timeout.bird = bird
    del bird, timeout
    assert_dead()


def test_an_entered_timeout_is_collected_with_its_closed_loop(canary):
    make, assert_dead = canary
    loop = oxio.new_event_loop()

    async def enter_only(bird):
        timeout = oxio.timeout(60)
        timeout.bird = bird
        bird.holds.append(timeout)
        await timeout.__aenter__()
        assert timeout._timeout_handler is not None

    loop.run_until_complete(enter_only(make()))
    loop.close()
    del loop
    assert_dead()


@pytest.mark.parametrize("enter", [oxio.timeout, lambda delay: oxio.timeout_at(asyncio.get_running_loop().time() + delay)])
def test_a_timeout_that_was_left_is_not_kept_by_the_loops_timers(loop, enter):
    async def enter_and_leave():
        async with enter(60) as timeout:
            pass
        return weakref.ref(timeout)

    async def reschedule():
        async with enter(60) as timeout:
            timeout.reschedule(asyncio.get_running_loop().time() + 90)
            timeout.reschedule(None)
        return weakref.ref(timeout)

    assert loop.run_until_complete(enter_and_leave())() is None
    assert loop.run_until_complete(reschedule())() is None


@pytest.mark.parametrize("limit", [60, None])
def test_wait_for_keeps_neither_what_it_awaited_nor_the_result(loop, canary, limit):
    make, assert_dead = canary

    async def answer(bird):
        return bird

    async def scenario():
        future = loop.create_future()
        bird = make()
        future.bird = bird
        loop.call_soon(future.set_result, None)
        await oxio.wait_for(future, limit)
        assert (await oxio.wait_for(answer(bird), limit)) is bird

    loop.run_until_complete(scenario())
    # The timers are still in the loop's queue, cancelled.
    assert_dead()


def test_a_task_that_waits_in_wait_for_is_collected_with_its_closed_loop(canary):
    make, assert_dead = canary
    loop = oxio.new_event_loop()

    async def wait(bird):
        bird.holds.append(asyncio.current_task())
        await oxio.wait_for(loop.create_future(), 60)

    task = loop.create_task(wait(make()))
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del loop, task
    assert_dead()


@pytest.mark.parametrize("name", ["_tasks", "_errors", "_loop", "_parent_task", "_on_completed_fut", "_done_callback"])
def test_a_group_that_holds_itself_by_a_slot(canary, name):
    make, assert_dead = canary
    bird, group = make(), oxio.TaskGroup()
    bird.holds.append(group)
    setattr(group, name, bird)
    del bird, group
    assert_dead()


def test_a_group_that_was_left_dies_without_the_collector(loop):
    async def scenario():
        async with oxio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(nothing())
        return weakref.ref(group)

    gc.disable()
    try:
        assert loop.run_until_complete(scenario())() is None
    finally:
        gc.enable()


def test_a_group_that_waits_is_collected_with_its_closed_loop(canary):
    make, assert_dead = canary
    loop = oxio.new_event_loop()

    async def wait(bird):
        async with oxio.TaskGroup() as group:
            bird.holds.append(group)
            child = group.create_task(never(bird))
            child._log_destroy_pending = False

    async def never(bird):
        await loop.create_future()

    task = loop.create_task(wait(make()))
    task._log_destroy_pending = False
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del loop, task
    assert_dead()


def test_many_timeouts_and_groups_leave_nothing_behind(loop, usage):
    async def one():
        async with oxio.timeout(3600):
            async with oxio.TaskGroup() as group:
                group.create_task(nothing())
        await oxio.wait_for(nothing(), 3600)

    async def many():
        for _ in range(1000):
            await one()

    loop.run_until_complete(many())
    before = usage()
    for _ in range(5):
        loop.run_until_complete(many())
    after = usage()
    assert after[1] - before[1] < 100
    assert after[2] - before[2] < 1_000_000
