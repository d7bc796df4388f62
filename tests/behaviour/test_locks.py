"""Lock and Event: who gets it and in which turn, what a cancellation leaves behind, what they say of themselves."""

import asyncio
import contextvars
import copy
import gc
import pickle
import re
import weakref

import pytest

from interleaving import count_turns, note
from recording import turns

variable = contextvars.ContextVar("variable", default="default")


NO_LOOP = (AttributeError, RuntimeError)
"""asyncio asks None for a future. What is said is no promise; that it fails is one."""


def drive(awaitable):
    """What an awaitable returns that does not wait: no loop is needed for it."""
    with pytest.raises(StopIteration) as caught:
        awaitable.send(None)
    return caught.value.value


async def holds(lock, log, name):
    async with lock:
        log.append(name)


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def test_a_free_lock_is_taken_without_a_turn_of_the_loop(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        count_turns(log)
        assert await lock.acquire() is True
        assert lock.locked() is True
        assert lock.release() is None
        assert lock.locked() is False
        async with lock as nothing:
            assert nothing is None
            assert lock.locked()
        assert not lock.locked()
        assert log == []

    run(main())


def test_a_free_lock_needs_no_loop(loop_module):
    lock = loop_module.Lock()
    assert drive(lock.acquire()) is True
    assert lock.locked()
    with pytest.raises(NO_LOOP):
        lock.acquire().send(None)
    assert "waiters" not in repr(lock)
    lock.release()
    assert not lock.locked()


def test_a_lock_that_is_held_keeps_others_waiting(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        [waiter] = await start(lock.acquire())
        await turns(5)
        assert not waiter.done()
        lock.release()
        assert await waiter is True
        assert lock.locked(), "the waiter holds it now"
        lock.release()

    run(main())


def test_the_lock_goes_to_waiters_first_in_first_out_one_turn_each(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        await start(*(holds(lock, log, name) for name in "abc"))
        count_turns(log, 4)
        lock.release()
        await turns(5)
        # `count_turns` was there first in each turn; a's release in turn 1 wakes b for turn 2.
        assert log == [1, "a", 2, "b", 3, "c", 4]

    run(main())


def test_release_does_not_run_the_waiter_at_once_and_leaves_the_lock_open_meanwhile(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        [waiter] = await start(lock.acquire())
        lock.release()
        assert lock.locked() is False
        assert not waiter.done()
        with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
            lock.release()
        await asyncio.sleep(0)
        assert lock.locked() is True
        assert waiter.done()

    run(main())


def test_who_releases_and_acquires_again_queues_behind_the_waiters(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []

        async def greedy():
            await lock.acquire()
            await turns(2)
            for _ in range(2):
                lock.release()
                await lock.acquire()
                log.append("greedy")
            lock.release()

        task = asyncio.create_task(greedy())
        await asyncio.sleep(0)
        await start(holds(lock, log, "a"), holds(lock, log, "b"))
        await task
        assert log == ["a", "b", "greedy", "greedy"]

    run(main())


def test_a_newcomer_does_not_pass_a_waiter_that_is_already_woken(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        await start(holds(lock, log, "waited"))
        lock.release()
        await holds(lock, log, "newcomer")
        assert log == ["waited", "newcomer"]

    run(main())


def test_any_task_and_any_callback_may_release(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        asyncio.get_running_loop().call_soon(lock.release)
        await lock.acquire()
        asyncio.create_task(asyncio.sleep(0)).add_done_callback(lambda _: lock.release())
        await lock.acquire()
        lock.release()

    run(main())


def test_releasing_a_free_lock_is_an_error(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
                lock.release()
        async with lock:
            lock.release()
            await lock.acquire()
        with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
            async with lock:
                lock.release()

    run(main())


def test_async_with_releases_on_an_exception_and_lets_it_through(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        with pytest.raises(ValueError, match="bad"):
            async with lock:
                raise ValueError("bad")
        assert not lock.locked()

    run(main())


def test_acquire_that_is_not_awaited_does_nothing_and_warns(run, loop_module, recorded_warnings):
    async def main():
        lock = loop_module.Lock()
        lock.acquire()
        gc.collect()
        assert not lock.locked()

    run(main())
    [warning] = recorded_warnings
    assert warning.category is RuntimeWarning
    assert str(warning.message) == "coroutine 'Lock.acquire' was never awaited"


def test_acquire_acts_when_it_is_awaited_and_not_when_it_is_called(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        early = lock.acquire()
        async with lock:
            pass
        assert not lock.locked()
        assert await early
        late = lock.acquire()
        lock.release()
        assert await late, "it was free when it was awaited"

    run(main())


def test_the_order_is_that_of_the_first_steps_not_of_the_calls(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        first, second = lock.acquire(), lock.acquire()
        tasks = await start(note(log, "second", second), note(log, "first", first))
        lock.release()
        await tasks[0]
        lock.release()
        await tasks[1]
        assert log == ["second", "first"]

    run(main())


# Cancellation


def test_a_cancelled_waiter_leaves_the_queue(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        a, b = await start(holds(lock, log, "a"), holds(lock, log, "b"))
        a.cancel()
        with pytest.raises(asyncio.CancelledError):
            await a
        assert lock.locked()
        assert "waiters:1" in repr(lock)
        lock.release()
        await b
        assert log == ["b"]
        assert not lock.locked()

    run(main())


def test_a_task_cancelled_before_its_first_step_never_touches_the_lock(run, loop_module, recorded_warnings):
    async def main():
        lock = loop_module.Lock()
        task = asyncio.create_task(lock.acquire())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not lock.locked()
        await lock.acquire()
        task = asyncio.create_task(lock.acquire())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "waiters" not in repr(lock)

    run(main())
    gc.collect()
    assert recorded_warnings == []


def test_a_waiter_cancelled_after_it_was_woken_hands_the_lock_on(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        a, b = await start(note(log, "a", lock.acquire()), note(log, "b", lock.acquire()))
        count_turns(log, 3)
        lock.release()
        a.cancel()
        await turns(4)
        assert a.cancelled()
        assert b.done()
        # a learns of it in turn 1 and wakes b for turn 2.
        assert log == [1, "a cancelled", 2, "b", 3]
        assert lock.locked(), "b holds it"

    run(main())


def test_a_waiter_cancelled_after_it_was_woken_leaves_the_lock_free_if_it_was_the_last(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        [task] = await start(lock.acquire())
        lock.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not lock.locked()
        async with lock:
            pass

    run(main())


def test_release_while_the_first_waiters_cancellation_is_on_its_way_wakes_the_second_a_turn_later(
    run, loop_module
):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        a, _ = await start(note(log, "a", lock.acquire()), note(log, "b", lock.acquire()))
        count_turns(log, 3)
        a.cancel()
        lock.release()
        await turns(4)
        assert log == [1, "a cancelled", 2, "b", 3]

    run(main())


def test_the_lock_can_be_taken_at_once_when_all_waiters_are_cancelled(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        tasks = await start(note(log, "a", lock.acquire()), note(log, "b", lock.acquire()))
        for task in tasks:
            task.cancel()
        lock.release()
        await lock.acquire()
        assert log == [], "that took no turn"
        assert "waiters:2" in repr(lock), "they have not run yet"
        await turns(2)
        assert log == ["a cancelled", "b cancelled"]
        assert lock.locked()
        assert "waiters" not in repr(lock)

    run(main())


def test_a_holder_that_releases_and_dies_of_cancellation_loses_nothing(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []

        async def holder():
            async with lock:
                await asyncio.sleep(60)

        task, *_ = await start(holder(), holds(lock, log, "a"), holds(lock, log, "b"))
        task.cancel()
        await turns(4)
        assert task.cancelled()
        assert log == ["a", "b"]
        assert not lock.locked()

    run(main())


def test_the_cancel_message_reaches_the_waiter(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        messages = []

        async def work():
            try:
                await lock.acquire()
            except asyncio.CancelledError as error:
                messages.append(error.args)
                raise

        for arguments in ((), ("why",)):
            [task] = await start(work())
            task.cancel(*arguments)
            await asyncio.wait([task])
        [task] = await start(work())
        task.cancel("first")
        task.cancel("second")
        assert task.cancelling() == 2
        await asyncio.wait([task])
        [task] = await start(work())
        lock.release()
        task.cancel("after it was woken")
        await asyncio.wait([task])
        assert messages == [(), ("why",), ("first",), ("after it was woken",)]

    run(main())


def test_a_waiter_that_swallows_the_cancellation_may_try_again_at_the_end_of_the_queue(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        log = []

        async def stubborn():
            try:
                await lock.acquire()
            except asyncio.CancelledError:
                await lock.acquire()
            log.append("stubborn")
            lock.release()

        await lock.acquire()
        task, other = await start(stubborn(), holds(lock, log, "other"))
        task.cancel()
        await turns(2)
        lock.release()
        await asyncio.wait([task, other])
        assert log == ["other", "stubborn"]

    run(main())


@pytest.mark.parametrize("moment", ["waiting", "woken", "woken and the lock taken back"])
def test_whenever_half_of_many_waiters_are_cancelled_the_others_get_the_lock_in_order(
    run, loop_module, moment
):
    async def main():
        lock = loop_module.Lock()
        log = []
        await lock.acquire()
        tasks = await start(*(holds(lock, log, number) for number in range(10)))
        if moment != "waiting":
            lock.release()
        if moment == "woken and the lock taken back":
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(holds(lock, log, 10)))
        for task in tasks[::2]:
            task.cancel()
        if moment == "waiting":
            lock.release()
        await asyncio.wait(tasks)
        expected = [n for n, task in enumerate(tasks) if not task.cancelled()]
        assert log == expected
        assert expected[-5:] == [1, 3, 5, 7, 9] or moment == "woken and the lock taken back"
        assert not lock.locked()

    run(main())


# Views from outside


def test_repr_says_whether_it_is_locked_and_how_many_wait(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        text = re.compile(r"<[\w.]*Lock object at 0x[0-9a-f]+ \[(.*)\]>")
        assert text.fullmatch(repr(lock))[1] == "unlocked"
        await lock.acquire()
        assert text.fullmatch(repr(lock))[1] == "locked"
        tasks = await start(lock.acquire(), lock.acquire())
        assert text.fullmatch(repr(lock))[1] == "locked, waiters:2"
        lock.release()
        assert text.fullmatch(repr(lock))[1] == "unlocked, waiters:2"
        await asyncio.sleep(0)
        assert text.fullmatch(repr(lock))[1] == "locked, waiters:1"
        lock.release()
        await tasks[1]
        assert text.fullmatch(repr(lock))[1] == "locked"

    run(main())


def test_a_waiting_task_shows_what_it_waits_for(run, loop_module):
    # anyio asks `task._fut_waiter` before it delivers a cancellation.
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        [task] = await start(lock.acquire())
        waiter = task._fut_waiter
        assert waiter.done() is False
        assert waiter.cancelled() is False
        assert asyncio.isfuture(waiter)
        lock.release()
        assert task._fut_waiter is None or task._fut_waiter.done()
        await task
        assert task._fut_waiter is None
        [task] = await start(lock.acquire())
        waiter = task._fut_waiter
        assert waiter.cancel() is True
        assert waiter.cancelled() is True
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "waiters" not in repr(lock)

    run(main())


def test_a_lock_is_bound_to_the_loop_on_which_it_first_made_somebody_wait(loop_factory, loop_module):
    lock = loop_module.Lock()

    async def wait_once():
        await lock.acquire()
        [task] = await start(lock.acquire())
        lock.release()
        await task
        lock.release()

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(wait_once())

    async def elsewhere():
        async with lock:  # Nobody waits, so nobody asks.
            with pytest.raises(RuntimeError, match="is bound to a different event loop") as caught:
                await lock.acquire()
        assert (
            str(caught.value)
            == f"{repr(lock).replace('unlocked', 'locked')} is bound to a different event loop"
        )
        assert not lock.locked()

    second.run_until_complete(elsewhere())
    first.run_until_complete(wait_once())


def test_a_lock_takes_no_loop(loop_module):
    for name in ("Lock", "Event", "Condition", "Semaphore"):
        with pytest.raises(TypeError):
            getattr(loop_module, name)(loop=None)


def test_locks_and_events_take_attributes_and_weak_references(loop_module):
    for cls in (loop_module.Lock, loop_module.Event):
        thing = cls()
        thing.owner = "me"
        assert thing.owner == "me"
        assert thing == thing
        assert thing != cls()
        assert {thing: 1}[thing] == 1
        reference = weakref.ref(thing)
        assert reference() is thing
        del thing
        gc.collect()
        assert reference() is None


def test_locks_and_events_are_instances_of_asyncios_classes(loop_module):
    assert isinstance(loop_module.Lock(), asyncio.Lock)
    assert isinstance(loop_module.Event(), asyncio.Event)
    assert issubclass(loop_module.Lock, asyncio.Lock)
    assert issubclass(loop_module.Event, asyncio.Event)


def test_copies_and_pickles_keep_the_state(loop_module):
    lock = loop_module.Lock()
    drive(lock.acquire())
    event = loop_module.Event()
    event.set()
    for clone in (copy.copy, lambda thing: pickle.loads(pickle.dumps(thing))):
        twin = clone(lock)
        assert type(twin) is type(lock)
        assert twin.locked()
        twin.release()
        assert lock.locked()
        twin = clone(event)
        assert type(twin) is type(event)
        assert twin.is_set()
        twin.clear()
        assert event.is_set()


def test_a_lock_with_waiters_cannot_be_pickled(run, loop_module):
    async def main():
        lock, event = loop_module.Lock(), loop_module.Event()
        await lock.acquire()
        await start(lock.acquire(), event.wait())
        for thing in (lock, event):
            with pytest.raises(TypeError, match="pickle"):
                pickle.dumps(thing)

    run(main())


def test_the_state_can_be_read_and_written_by_its_private_names(run, loop_module):
    # Libraries read `_locked`, `_value` and `_waiters`, and reset them after a fork.
    async def main():
        lock, event = loop_module.Lock(), loop_module.Event()
        assert lock._locked is False
        lock._locked = True
        assert lock.locked()
        assert event._value is False
        event._value = True
        assert event.is_set()
        assert await event.wait() is True
        event.clear()
        tasks = await start(lock.acquire(), event.wait())
        assert [len(lock._waiters), len(event._waiters)] == [1, 1]
        assert not any(waiter.done() for waiter in [*lock._waiters, *event._waiters])
        lock.release()
        event.set()
        await asyncio.wait(tasks)
        assert not lock._waiters
        assert not event._waiters

    run(main())


def test_each_waiter_goes_on_in_its_own_context(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        seen = []

        async def work(name):
            variable.set(name)
            async with lock:
                seen.append((name, variable.get()))

        await lock.acquire()
        tasks = await start(work("a"), work("b"))
        variable.set("releaser")
        lock.release()
        await asyncio.wait(tasks)
        assert seen == [("a", "a"), ("b", "b")]
        assert variable.get() == "releaser"

    run(main())


def test_a_finished_wait_leaves_nothing_alive(run, loop_module):
    class Thing:
        pass

    async def main():
        lock = loop_module.Lock()

        async def work(thing):
            async with lock:
                pass

        await lock.acquire()
        thing = Thing()
        reference = weakref.ref(thing)
        tasks = await start(work(thing), work(thing))
        del thing
        tasks[0].cancel()
        await turns(2)
        lock.release()
        await asyncio.wait(tasks)
        del tasks
        await turns(2)
        gc.collect()
        assert reference() is None

    run(main())


def test_a_cycle_through_a_lock_and_an_awaitable_nobody_awaited_is_collected(loop_module, recorded_warnings):
    lock = loop_module.Lock()
    lock.awaitable = lock.acquire()
    reference = weakref.ref(lock)
    del lock
    gc.collect()
    assert reference() is None
    assert [str(warning.message) for warning in recorded_warnings] == [
        "coroutine 'Lock.acquire' was never awaited"
    ]


def test_a_cycle_through_a_lock_and_a_suspended_acquire_is_collected(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        await lock.acquire()
        lock.awaitable = lock.acquire()
        lock.awaitable.send(None)
        reference = weakref.ref(lock)
        del lock
        gc.collect()
        assert reference() is None

    run(main())


# Subclasses


def test_a_subclass_has_its_own_constructor_and_methods(run, loop_module):
    class Named(loop_module.Lock):
        def __init__(self, name, *, log):
            super().__init__()
            self.name = name
            self.log = log

        async def acquire(self):
            self.log.append(f"{self.name} asks")
            got = await super().acquire()
            self.log.append(f"{self.name} has")
            return got

        def release(self):
            self.log.append(f"{self.name} gives")
            super().release()

    async def main():
        log = []
        lock = Named("lock", log=log)
        async with lock:
            task = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
            assert re.search(r"Named object at .*\[locked, waiters:1\]", repr(lock))
        assert await task is True
        lock.release()
        assert log == ["lock asks", "lock has", "lock asks", "lock gives", "lock has", "lock gives"]

    run(main())


def test_a_subclass_may_override_locked_and_repr(run, loop_module):
    class Odd(loop_module.Lock):
        def __repr__(self):
            return "odd"

        def locked(self):
            return "never"

    async def main():
        lock = Odd()
        assert lock.locked() == "never"
        async with lock:
            assert repr(lock) == "odd"

    run(main())


def test_methods_can_be_replaced_on_the_instance(run, loop_module):
    # Tests mock them so.
    async def main():
        lock = loop_module.Lock()
        calls = []

        async def acquire():
            calls.append("acquire")

        lock.acquire = acquire
        lock.release = lambda: calls.append("release")
        async with lock:
            assert not lock.locked()
        assert calls == ["acquire", "release"]

    run(main())


def test_a_subclass_that_forgets_the_base_constructor_fails_without_a_crash(run, loop_module):
    class Forgetful(loop_module.Lock):
        def __init__(self):
            pass

    async def main():
        lock = Forgetful()
        try:
            await lock.acquire()
            lock.release()
            assert repr(lock)
        except AttributeError:
            pass  # That is what asyncio says; a native lock has its state anyway.

    run(main())


# Event


def test_wait_for_an_event_that_is_set_takes_no_turn(run, loop_module):
    async def main():
        event = loop_module.Event()
        assert event.is_set() is False
        assert event.set() is None
        assert event.is_set() is True
        log = []
        count_turns(log)
        assert await event.wait() is True
        assert log == []
        assert event.clear() is None
        assert event.is_set() is False

    run(main())


def test_an_event_that_is_set_needs_no_loop(loop_module):
    event = loop_module.Event()
    with pytest.raises(NO_LOOP):
        event.wait().send(None)
    event.set()
    assert drive(event.wait()) is True


def test_set_wakes_all_waiters_in_order_in_the_next_turn(run, loop_module):
    async def main():
        event = loop_module.Event()
        log = []
        await start(*(note(log, name, event.wait()) for name in "abc"))
        asyncio.get_running_loop().call_soon(log.append, "before")
        event.set()
        asyncio.get_running_loop().call_soon(log.append, "after")
        assert log == []
        await asyncio.sleep(0)
        assert log == ["before", "a", "b", "c", "after"]

    run(main())


def test_waiters_woken_by_set_return_although_it_was_cleared_before_they_ran(run, loop_module):
    async def main():
        event = loop_module.Event()
        tasks = await start(event.wait(), event.wait())
        event.set()
        event.clear()
        late = asyncio.create_task(event.wait())
        await turns(3)
        assert [task.result() for task in tasks] == [True, True]
        assert not late.done()
        assert not event.is_set()
        event.set()
        assert await late

    run(main())


def test_set_twice_wakes_once(run, loop_module):
    async def main():
        event = loop_module.Event()
        log = []
        await start(note(log, "a", event.wait()))
        event.set()
        event.set()
        await turns(3)
        assert log == ["a"]

    run(main())


def test_a_waiter_that_waits_again_after_clear_is_not_woken_by_the_same_set(run, loop_module):
    async def main():
        event = loop_module.Event()
        log = []

        async def work():
            while True:
                await event.wait()
                event.clear()
                log.append("woken")

        [task] = await start(work())
        for _ in range(3):
            event.set()
            await turns(3)
        assert log == ["woken"] * 3
        task.cancel()

    run(main())


def test_a_cancelled_waiter_does_not_disturb_the_others(run, loop_module):
    async def main():
        event = loop_module.Event()
        log = []
        tasks = await start(*(note(log, name, event.wait()) for name in "abc"))
        tasks[1].cancel()
        event.set()
        await turns(2)
        assert log == ["b cancelled", "a", "c"]
        assert "waiters" not in repr(event)

    run(main())


def test_a_waiter_cancelled_after_set_and_before_it_ran_is_cancelled(run, loop_module):
    async def main():
        event = loop_module.Event()
        [task] = await start(event.wait())
        event.set()
        assert task.cancel("late")
        with pytest.raises(asyncio.CancelledError, match="late"):
            await task
        assert event.is_set()
        assert "waiters" not in repr(event)

    run(main())


def test_repr_of_an_event_says_its_state_and_how_many_wait(run, loop_module):
    async def main():
        event = loop_module.Event()
        text = re.compile(r"<[\w.]*Event object at 0x[0-9a-f]+ \[(.*)\]>")
        assert text.fullmatch(repr(event))[1] == "unset"
        await start(event.wait(), event.wait())
        assert text.fullmatch(repr(event))[1] == "unset, waiters:2"
        event.set()
        assert text.fullmatch(repr(event))[1] == "set, waiters:2"
        await asyncio.sleep(0)
        assert text.fullmatch(repr(event))[1] == "set"

    run(main())


def test_an_event_is_bound_to_the_loop_on_which_somebody_first_waited(loop_factory, loop_module):
    event = loop_module.Event()

    async def wait():
        [task] = await start(event.wait())
        event.set()
        await task
        event.clear()

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(wait())
    with pytest.raises(RuntimeError) as caught:
        second.run_until_complete(event.wait())
    assert str(caught.value) == f"{event!r} is bound to a different event loop"
    first.run_until_complete(wait())


def test_wait_that_is_not_awaited_warns(loop_module, recorded_warnings):
    loop_module.Event().wait()
    gc.collect()
    assert [str(warning.message) for warning in recorded_warnings] == [
        "coroutine 'Event.wait' was never awaited"
    ]


def test_a_subclass_of_event_sees_set_and_wait(run, loop_module):
    class Counted(loop_module.Event):
        def __init__(self, log):
            super().__init__()
            self.log = log

        def set(self):
            self.log.append("set")
            super().set()

        async def wait(self):
            self.log.append("wait")
            return await super().wait()

    async def main():
        log = []
        event = Counted(log)
        [task] = await start(event.wait())
        event.set()
        assert await task is True
        assert log == ["wait", "set"]

    run(main())


def test_an_event_set_from_a_done_callback_of_the_waiter_is_no_trouble(run, loop_module):
    async def main():
        event, other = loop_module.Event(), loop_module.Event()
        a, b = await start(event.wait(), other.wait())
        a.add_done_callback(lambda _: other.set())
        b.add_done_callback(lambda _: event.clear())
        event.set()
        await asyncio.wait([a, b])
        await asyncio.sleep(0)
        assert not event.is_set()

    run(main())
