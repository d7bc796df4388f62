"""Semaphore and BoundedSemaphore: counting, fairness, and what a cancellation gives back.

The order in which a released slot travels when waiters are cancelled differs between versions (3.13 mended it), so those
tests compare with stock asyncio; that no slot is lost holds everywhere.
"""

import asyncio
import copy
import gc
import itertools
import pickle
import re
import weakref

import pytest

from interleaving import count_turns, note, on_stock
from recording import turns


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


@pytest.fixture(params=["Semaphore", "BoundedSemaphore"])
def semaphore_class(request, loop_module):
    return getattr(loop_module, request.param)


def test_a_free_slot_is_taken_without_a_turn_of_the_loop(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(2)
        log = []
        count_turns(log)
        assert semaphore.locked() is False
        assert await semaphore.acquire() is True
        assert semaphore.locked() is False
        async with semaphore as nothing:
            assert nothing is None
            assert semaphore.locked() is True
        assert semaphore.release() is None
        assert log == []

    run(main())


def test_a_free_slot_needs_no_loop(semaphore_class):
    semaphore = semaphore_class()
    with pytest.raises(StopIteration) as caught:
        semaphore.acquire().send(None)
    assert caught.value.value is True
    assert semaphore.locked()
    semaphore.release()
    assert not semaphore.locked()


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_never_more_than_the_limit_hold_it_and_all_get_their_turn_in_order(run, semaphore_class, limit):
    async def main():
        semaphore = semaphore_class(limit)
        order, holding = [], 0
        most = 0

        async def work(number):
            nonlocal holding, most
            async with semaphore:
                holding += 1
                most = max(most, holding)
                order.append(number)
                await turns(1 + number % 3)
                holding -= 1

        await asyncio.gather(*(work(number) for number in range(20)))
        assert most == limit
        assert order == list(range(20))
        assert not semaphore.locked()

    run(main())


def test_waiters_get_released_slots_first_in_first_out_one_turn_each(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []

        async def work(name):
            async with semaphore:
                log.append(name)

        await semaphore.acquire()
        await start(*(work(name) for name in "abc"))
        count_turns(log, 4)
        semaphore.release()
        await turns(5)
        assert log == [1, "a", 2, "b", 3, "c", 4]

    run(main())


def test_several_slots_released_at_once_wake_as_many_in_the_same_turn(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(3)
        log = []
        for _ in range(3):
            await semaphore.acquire()
        tasks = await start(*(note(log, name, semaphore.acquire()) for name in "abcd"))
        count_turns(log, 2)
        for _ in range(3):
            semaphore.release()
        await turns(3)
        assert log == [1, "a", "b", "c", 2]
        semaphore.release()
        await tasks[3]

    run(main())


def test_a_released_slot_belongs_to_the_waiter_and_a_newcomer_does_not_get_it(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []
        await semaphore.acquire()
        await start(note(log, "waited", semaphore.acquire()))
        semaphore.release()
        assert semaphore.locked() is True
        newcomer = asyncio.create_task(note(log, "newcomer", semaphore.acquire()))
        await turns(3)
        assert log == ["waited"]
        semaphore.release()
        await newcomer

    run(main())


def test_who_releases_and_acquires_again_queues_behind_the_waiters(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []
        await semaphore.acquire()
        await start(note(log, "a", semaphore.acquire()))
        semaphore.release()
        again = asyncio.create_task(note(log, "again", semaphore.acquire()))
        await turns(2)
        semaphore.release()
        await again
        assert log == ["a", "again"]

    run(main())


def test_a_semaphore_of_zero_lets_nobody_in_until_it_is_released(run, loop_module):
    async def main():
        semaphore = loop_module.Semaphore(0)
        assert semaphore.locked()
        [task] = await start(semaphore.acquire())
        await turns(2)
        assert not task.done()
        semaphore.release()
        assert await task is True

    run(main())


def test_a_semaphore_can_be_released_beyond_its_first_value(run, loop_module):
    async def main():
        semaphore = loop_module.Semaphore(1)
        semaphore.release()
        semaphore.release()
        assert "value:3" in repr(semaphore)
        for _ in range(3):
            await semaphore.acquire()
        assert semaphore.locked()

    run(main())


def test_a_bounded_semaphore_cannot(run, loop_module):
    async def main():
        semaphore = loop_module.BoundedSemaphore(2)
        with pytest.raises(ValueError, match=r"^BoundedSemaphore released too many times$"):
            semaphore.release()
        await semaphore.acquire()
        semaphore.release()
        with pytest.raises(ValueError, match=r"^BoundedSemaphore released too many times$"):
            semaphore.release()
        assert "value:2" in repr(semaphore)

    run(main())


def test_a_bounded_semaphore_with_a_woken_waiter_can_be_released_by_the_other_holder(run, loop_module):
    async def main():
        semaphore = loop_module.BoundedSemaphore(2)
        await semaphore.acquire()
        await semaphore.acquire()
        [task] = await start(semaphore.acquire())
        semaphore.release()
        semaphore.release()
        with pytest.raises(ValueError, match="too many times"):
            # One slot belongs to the waiter, so two more are not there.
            semaphore.release()
            semaphore.release()
        await task

    run(main())


def test_a_negative_value_is_refused(semaphore_class):
    with pytest.raises(ValueError, match=r"^Semaphore initial value must be >= 0$"):
        semaphore_class(-1)
    assert semaphore_class(value=0).locked()
    assert not semaphore_class(True).locked()


def test_values_may_be_any_number(run, loop_module):
    # Nothing says integer: a large one and a float work in asyncio.
    async def main():
        semaphore = loop_module.Semaphore(2**70)
        await semaphore.acquire()
        assert f"value:{2**70 - 1}" in repr(semaphore)
        semaphore = loop_module.Semaphore(1.5)
        await semaphore.acquire()
        assert "value:0.5" in repr(semaphore)
        with pytest.raises(TypeError):
            loop_module.Semaphore("1")
        with pytest.raises(TypeError):
            loop_module.Semaphore(None)

    run(main())


# Cancellation


def test_a_cancelled_waiter_leaves_the_queue(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []
        await semaphore.acquire()
        a, b = await start(*(note(log, name, semaphore.acquire()) for name in "ab"))
        a.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await a
        assert "waiters:1" in repr(semaphore)
        semaphore.release()
        await b
        assert log == ["a cancelled", "b"]
        assert semaphore.locked()
        semaphore.release()
        assert not semaphore.locked()

    run(main())


def test_a_waiter_cancelled_after_it_was_woken_hands_the_slot_on(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []
        await semaphore.acquire()
        a, b = await start(*(note(log, name, semaphore.acquire()) for name in "ab"))
        count_turns(log, 3)
        semaphore.release()
        a.cancel()
        await turns(4)
        assert a.cancelled()
        assert b.done()
        assert log == [1, "a cancelled", 2, "b", 3]

    run(main())


def test_a_waiter_cancelled_after_it_was_woken_gives_the_slot_back_if_it_was_the_last(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        await semaphore.acquire()
        [task] = await start(semaphore.acquire())
        semaphore.release()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not semaphore.locked()
        assert "value:1" in repr(semaphore)

    run(main())


def test_release_passes_over_a_cancelled_waiter_to_the_next_in_the_same_turn(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []
        await semaphore.acquire()
        a, _ = await start(*(note(log, name, semaphore.acquire()) for name in "ab"))
        count_turns(log, 2)
        a.cancel()
        semaphore.release()
        await turns(3)
        assert log == [1, "a cancelled", "b", 2]

    run(main())


def test_a_slot_can_be_taken_at_once_when_all_waiters_are_cancelled(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        log = []
        await semaphore.acquire()
        tasks = await start(*(note(log, name, semaphore.acquire()) for name in "ab"))
        for task in tasks:
            task.cancel()
        semaphore.release()
        assert not semaphore.locked()
        await semaphore.acquire()
        assert log == []
        await turns(2)
        assert log == ["a cancelled", "b cancelled"]
        assert semaphore.locked()

    run(main())


def test_a_task_cancelled_before_its_first_step_takes_no_slot(run, semaphore_class, recorded_warnings):
    async def main():
        semaphore = semaphore_class(1)
        task = asyncio.create_task(semaphore.acquire())
        task.cancel()
        await asyncio.wait([task])
        assert not semaphore.locked()

    run(main())
    gc.collect()
    assert recorded_warnings == []


@pytest.mark.parametrize(
    "cancelled", [*itertools.combinations(range(4), 1), *itertools.combinations(range(4), 2)]
)
@pytest.mark.parametrize("releases", [1, 2, 3])
@pytest.mark.parametrize("first", ["cancel", "release"])
def test_no_slot_is_lost_whoever_is_cancelled_when(run, loop_module, cancelled, releases, first):
    async def scenario(module):
        semaphore = module.Semaphore(3)
        log = []
        for _ in range(3):
            await semaphore.acquire()
        tasks = await start(*(note(log, number, semaphore.acquire()) for number in range(4)))
        count_turns(log, 5)
        for action in (first, "release" if first == "cancel" else "cancel"):
            if action == "release":
                for _ in range(releases):
                    semaphore.release()
            else:
                for number in cancelled:
                    tasks[number].cancel()
        late = asyncio.create_task(note(log, "late", semaphore.acquire()))
        await turns(6)
        held = 3 - releases + sum(task.done() and not task.cancelled() for task in [*tasks, late])
        assert held == min(3, 3 - releases + 5 - len(cancelled)), "a free slot and somebody who waits for it"
        log.append(re.search(r"\[.*\]", repr(semaphore))[0])
        for task in tasks:
            task.cancel()
        late.cancel()
        await asyncio.wait([*tasks, late])
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_newcomer_between_a_release_and_a_cancelled_waiters_step_fares_as_in_asyncio(run, loop_module):
    async def scenario(module):
        semaphore = module.Semaphore(0)
        log = []
        tasks = await start(*(note(log, name, semaphore.acquire()) for name in "abc"))
        count_turns(log, 8)
        semaphore.release()
        semaphore.release()
        tasks[0].cancel()
        tasks.append(asyncio.create_task(note(log, "d", semaphore.acquire())))
        await turns(1)
        tasks.append(asyncio.create_task(note(log, "e", semaphore.acquire())))
        tasks[1].cancel()
        semaphore.release()
        await turns(3)
        semaphore.release()
        await turns(5)
        log.append(re.search(r"\[.*\]", repr(semaphore))[0])
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_a_second_slot_freed_while_the_first_waiter_is_on_its_way_fares_as_in_asyncio(run, loop_module):
    async def scenario(module):
        semaphore = module.Semaphore(2)
        log = []

        async def work(name, stay):
            async with semaphore:
                log.append(f"{name} in")
                await turns(stay)
            log.append(f"{name} out")

        tasks = [
            asyncio.create_task(work(name, stay))
            for name, stay in zip("abcdef", (1, 2, 0, 3, 0, 1), strict=True)
        ]
        count_turns(log, 10)
        await turns(1)
        tasks[2].cancel()
        await turns(2)
        tasks[4].cancel()
        await asyncio.wait(tasks)
        log.append(re.search(r"\[.*\]", repr(semaphore))[0])
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


# Views from outside


def test_repr_says_the_value_and_how_many_wait(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(2)
        text = re.compile(rf"<[\w.]*{semaphore_class.__name__} object at 0x[0-9a-f]+ \[(.*)\]>")
        assert text.fullmatch(repr(semaphore))[1] == "unlocked, value:2"
        await semaphore.acquire()
        assert text.fullmatch(repr(semaphore))[1] == "unlocked, value:1"
        await semaphore.acquire()
        assert text.fullmatch(repr(semaphore))[1] == "locked"
        await start(semaphore.acquire(), semaphore.acquire())
        assert text.fullmatch(repr(semaphore))[1] == "locked, waiters:2"
        semaphore.release()
        assert text.fullmatch(repr(semaphore))[1] == "locked, waiters:2"
        await asyncio.sleep(0)
        assert text.fullmatch(repr(semaphore))[1] == "locked, waiters:1"
        semaphore.release()
        await asyncio.sleep(0)
        semaphore.release()
        assert text.fullmatch(repr(semaphore))[1] == "unlocked, value:1"

    run(main())


def test_the_value_can_be_read_and_written_by_its_private_name(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(3)
        assert semaphore._value == 3
        await semaphore.acquire()
        assert semaphore._value == 2
        semaphore._value = 0
        assert semaphore.locked()
        tasks = await start(semaphore.acquire())
        assert len(semaphore._waiters) == 1
        semaphore.release()
        await asyncio.wait(tasks)
        assert not semaphore._waiters
        assert semaphore._value == 0

    run(main())


def test_the_bound_can_be_raised_by_its_private_name(loop_module):
    semaphore = loop_module.BoundedSemaphore(1)
    assert semaphore._bound_value == 1
    semaphore._bound_value = 2
    semaphore.release()
    with pytest.raises(ValueError, match="too many"):
        semaphore.release()


def test_a_semaphore_is_bound_to_the_loop_on_which_it_first_made_somebody_wait(loop_factory, semaphore_class):
    semaphore = semaphore_class(1)

    async def wait_once():
        await semaphore.acquire()
        [task] = await start(semaphore.acquire())
        semaphore.release()
        await task
        semaphore.release()

    async def elsewhere():
        async with semaphore:
            await semaphore.acquire()

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(wait_once())
    with pytest.raises(RuntimeError, match=r"\[locked\]> is bound to a different event loop$"):
        second.run_until_complete(elsewhere())
    assert not semaphore.locked()
    first.run_until_complete(wait_once())


def test_semaphores_take_attributes_weak_references_copies_and_pickles(semaphore_class):
    semaphore = semaphore_class(5)
    semaphore.name = "pool"
    for twin in (copy.copy(semaphore), pickle.loads(pickle.dumps(semaphore))):
        assert type(twin) is semaphore_class
        assert twin.name == "pool"
        assert "value:5" in repr(twin)
    reference = weakref.ref(semaphore)
    del semaphore, twin
    gc.collect()
    assert reference() is None


def test_semaphores_are_instances_of_asyncios_classes(loop_module):
    assert isinstance(loop_module.Semaphore(), asyncio.Semaphore)
    assert isinstance(loop_module.BoundedSemaphore(), asyncio.BoundedSemaphore)
    assert isinstance(loop_module.BoundedSemaphore(), loop_module.Semaphore)


def test_acquire_that_is_not_awaited_does_nothing_and_warns(semaphore_class, recorded_warnings):
    semaphore = semaphore_class()
    semaphore.acquire()
    gc.collect()
    assert not semaphore.locked()
    assert [str(w.message) for w in recorded_warnings] == ["coroutine 'Semaphore.acquire' was never awaited"]


def test_a_waiting_task_shows_what_it_waits_for(run, semaphore_class):
    async def main():
        semaphore = semaphore_class(1)
        await semaphore.acquire()
        [task] = await start(semaphore.acquire())
        assert task._fut_waiter.done() is False
        assert task._fut_waiter.cancel() is True
        assert task._fut_waiter.cancelled() is True
        await asyncio.wait([task])
        assert task.cancelled()
        semaphore.release()
        assert not semaphore.locked()

    run(main())


# Subclasses


def test_a_subclass_has_its_own_constructor_and_methods(run, semaphore_class):
    class Named(semaphore_class):
        def __init__(self, name, value):
            super().__init__(value)
            self.log = [name]

        async def acquire(self):
            self.log.append("asks")
            got = await super().acquire()
            self.log.append("has")
            return got

        def release(self):
            self.log.append("gives")
            super().release()

    async def main():
        semaphore = Named("name", 1)
        async with semaphore:
            task = asyncio.create_task(semaphore.acquire())
            await asyncio.sleep(0)
        assert await task is True
        assert semaphore.log == ["name", "asks", "has", "asks", "gives", "has"]
        assert re.search(r"Named object at .*\[locked\]>", repr(semaphore))

    run(main())


def test_a_subclass_that_overrides_locked_decides_whether_acquire_waits(run, loop_module):
    class Gate(loop_module.Semaphore):
        closed = True

        def locked(self):
            return self.closed

    async def main():
        gate = Gate(10)
        [task] = await start(gate.acquire())
        await turns(2)
        assert not task.done()
        gate.release()
        await task
        gate.closed = False
        log = []
        count_turns(log)
        await gate.acquire()
        assert log == []
        assert gate._value == 9

    run(main())


def test_a_subclass_may_release_many_at_once(run, loop_module):
    class Pool(loop_module.Semaphore):
        def release(self, count=1):
            for _ in range(count):
                super().release()

    async def main():
        pool = Pool(0)
        log = []
        await start(*(note(log, name, pool.acquire()) for name in "abc"))
        pool.release(2)
        await turns(2)
        assert log == ["a", "b"]
        pool.release(2)
        await turns(2)
        assert log == ["a", "b", "c"]
        assert pool._value == 1

    run(main())
