"""Condition and Barrier: who is woken in which turn, and that the lock is held again whatever happens.

A notification that reaches a waiter which is cancelled at that moment is passed on by 3.13 and lost before, so such
scenarios are compared with stock asyncio.
"""

import asyncio
import gc
import re
import weakref

import pytest

from interleaving import count_turns, on_stock
from recording import turns


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


async def waits(condition, log, name):
    try:
        async with condition:
            assert await condition.wait() is True
            assert condition.locked()
            log.append(name)
    except asyncio.CancelledError:
        log.append(f"{name} cancelled")
        raise


def test_wait_lets_go_of_the_lock_and_holds_it_again_afterwards(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        log = []
        [task] = await start(waits(condition, log, "woken"))
        assert not condition.locked()
        async with condition:
            condition.notify()
            await turns(3)
            assert log == [], "notify does not release the lock"
        await task
        assert log == ["woken"]
        assert not condition.locked()

    run(main())


def test_notified_waiters_come_first_in_first_out_one_at_a_time(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        log = []
        tasks = await start(*(waits(condition, log, name) for name in "abcd"))
        async with condition:
            condition.notify(3)
        count_turns(log, 6)
        await turns(7)
        assert [entry for entry in log if type(entry) is str] == ["a", "b", "c"]
        async with condition:
            condition.notify_all()
        await asyncio.wait(tasks)
        assert log[-1] == "d"

    run(main())


@pytest.mark.parametrize("count", [0, 1, 2, 5, -1])
def test_the_turns_of_notified_waiters_are_asyncios(run, loop_module, count):
    async def scenario(module):
        condition = module.Condition()
        log = []
        tasks = await start(*(waits(condition, log, name) for name in "abc"))
        count_turns(log, 12)
        await condition.acquire()
        condition.notify(count)
        await turns(2)
        late = asyncio.create_task(waits(condition, log, "late"))
        condition.release()
        await turns(8)
        async with condition:
            condition.notify_all()
        await asyncio.wait([*tasks, late])
        return log

    log = run(scenario(loop_module))
    assert log == on_stock(scenario)
    assert {"a", "b", "c", "late"} < set(log)


def test_wait_without_the_lock_is_an_error(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        with pytest.raises(RuntimeError, match="^cannot wait on un-acquired lock$"):
            await condition.wait()
        with pytest.raises(RuntimeError, match="^cannot notify on un-acquired lock$"):
            condition.notify()
        with pytest.raises(RuntimeError, match="^cannot notify on un-acquired lock$"):
            condition.notify_all()
        with pytest.raises(RuntimeError, match="^cannot wait on un-acquired lock$"):
            await condition.wait_for(lambda: False)
        assert await condition.wait_for(lambda: "value") == "value", "no wait, no question"
        with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
            condition.release()

    run(main())


def test_notifying_without_waiters_is_forgotten(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        async with condition:
            assert condition.notify() is None
            assert condition.notify_all() is None
        log = []
        [task] = await start(waits(condition, log, "a"))
        await turns(2)
        assert log == []
        async with condition:
            condition.notify()
        await task

    run(main())


def test_wait_for_asks_again_after_every_notification_and_returns_what_was_true(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        answers = [0, "", None, "at last"]
        asked = []

        def predicate():
            assert condition.locked()
            asked.append(True)
            return answers.pop(0)

        async def work():
            async with condition:
                return await condition.wait_for(predicate)

        [task] = await start(work())
        for number in range(1, 4):
            assert len(asked) == number
            async with condition:
                condition.notify()
            await turns(2)
        assert await task == "at last"

    run(main())


def test_what_the_predicate_raises_comes_out_with_the_lock_held(run, loop_module):
    async def main():
        condition = loop_module.Condition()

        async def work():
            async with condition:
                try:
                    await condition.wait_for(lambda: bools.pop(0) or 1 / 0)
                finally:
                    assert condition.locked()

        bools = [True]
        await work()
        with pytest.raises(ZeroDivisionError):
            bools = [False]
            await work()
        assert not condition.locked()

    run(main())


@pytest.mark.parametrize("when", ["waiting", "notified", "acquiring the lock again", "twice"])
def test_a_cancelled_waiter_holds_the_lock_when_the_cancellation_arrives(run, loop_module, when):
    async def scenario(module):
        condition = module.Condition()
        log = []

        async def work():
            async with condition:
                try:
                    await condition.wait()
                except asyncio.CancelledError as error:
                    log.append(("cancelled", condition.locked(), error.args))
                    raise

        [task, other] = await start(work(), waits(condition, log, "other"))
        count_turns(log, 10)
        if when == "waiting":
            task.cancel("message")
            await turns(1)
        await condition.acquire()
        if when in ("notified", "acquiring the lock again"):
            condition.notify()
        if when == "notified":
            task.cancel("message")
        await turns(2)
        if when == "acquiring the lock again":
            task.cancel("message")
            await turns(2)
        if when == "twice":
            task.cancel("first")
            await turns(2)
            assert not task.done(), "it wants the lock first"
            task.cancel("second")
            await turns(2)
        condition.release()
        await turns(4)
        assert task.cancelled()
        log.append(re.search(r"\[.*\]", repr(condition))[0])
        other.cancel()
        await asyncio.wait([other])
        assert not condition.locked()
        return log

    log = run(scenario(loop_module))
    assert log == on_stock(scenario)
    [entry] = [entry for entry in log if type(entry) is tuple]
    assert entry[1] is True


def test_the_lock_is_handed_on_when_a_waiter_is_cancelled_while_it_gets_it_back(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        log = []
        tasks = await start(*(waits(condition, log, name) for name in "abc"))
        async with condition:
            condition.notify_all()
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert sorted(log) == ["a cancelled", "b", "c"]
        assert not condition.locked()

    run(main())


def test_a_cancel_of_every_waiter_at_every_turn_never_loses_the_lock(run, loop_module):
    async def scenario(module, victim, turn):
        condition = module.Condition()
        log = []
        tasks = await start(*(waits(condition, log, name) for name in "abc"))
        count_turns(log, 10)

        async def notify():
            async with condition:
                condition.notify(2)

        notifier = asyncio.create_task(notify())
        await turns(turn)
        tasks[victim].cancel()
        await turns(8)
        log.append([task.done() for task in [*tasks, notifier]])
        assert not condition.locked()
        async with condition:
            condition.notify_all()
        await asyncio.wait(tasks)
        return log

    for victim in range(3):
        for turn in range(5):

            def here(module, victim=victim, turn=turn):
                return scenario(module, victim, turn)

            assert run(here(loop_module)) == on_stock(here), (victim, turn)


def test_a_condition_shares_the_lock_it_is_given(run, loop_module):
    async def main():
        lock = loop_module.Lock()
        one, two = loop_module.Condition(lock), loop_module.Condition(lock=lock)
        async with one:
            assert lock.locked()
            assert two.locked()
            two.notify()
        log = []
        tasks = await start(waits(one, log, "one"), waits(two, log, "two"))
        async with two:
            two.notify()
        await turns(3)
        assert log == ["two"]
        async with one:
            one.notify()
        await asyncio.wait(tasks)
        assert log == ["two", "one"]

    run(main())


def test_a_condition_works_with_the_other_modules_lock_and_with_any_object_that_has_its_methods(
    run, loop_module
):
    class Recording:
        def __init__(self):
            self.lock = asyncio.Lock()
            self.calls = []

        def locked(self):
            return self.lock.locked()

        async def acquire(self):
            self.calls.append("acquire")
            return await self.lock.acquire()

        def release(self):
            self.calls.append("release")
            self.lock.release()

    async def main():
        recording = Recording()
        for lock in (asyncio.Lock(), recording):
            condition = loop_module.Condition(lock)
            log = []
            [task] = await start(waits(condition, log, "woken"))
            async with condition:
                assert lock.locked()
                condition.notify()
            await task
            assert log == ["woken"]
        assert recording.calls == [
            "acquire",
            "release",  # wait lets go
            "acquire",
            "release",  # the notifier
            "acquire",  # wait has it again
            "release",
        ]

    run(main())


def test_wait_calls_what_stands_in_acquire_and_release_of_the_instance(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        calls = []
        acquire, release = condition.acquire, condition.release

        async def counted_acquire():
            calls.append("acquire")
            return await acquire()

        def counted_release():
            calls.append("release")
            release()

        condition.acquire, condition.release = counted_acquire, counted_release
        log = []
        [task] = await start(waits(condition, log, "woken"))
        async with condition:
            condition.notify()
        await task
        assert calls == ["acquire", "release", "acquire", "release", "acquire", "release"]

    run(main())


def test_a_subclass_that_gets_the_lock_back_slowly_is_waited_for(run, loop_module):
    class Slow(loop_module.Lock):
        async def acquire(self):
            await turns(3)
            return await super().acquire()

    async def main():
        condition = loop_module.Condition(Slow())
        log = []
        [task] = await start(waits(condition, log, "woken"))
        await turns(5)
        async with condition:
            condition.notify()
        await turns(2)
        assert log == []
        await task
        assert log == ["woken"]

    run(main())


def test_a_subclass_of_condition_has_its_own_constructor_and_methods(run, loop_module):
    class Named(loop_module.Condition):
        def __init__(self, name):
            super().__init__()
            self.log = [name]

        def notify(self, n=1):
            self.log.append(n)
            super().notify(n)

        async def wait(self):
            self.log.append("wait")
            return await super().wait()

    async def main():
        condition = Named("name")
        done = []

        async def work():
            async with condition:
                done.append(await condition.wait_for(lambda: done or condition.log[-1] == 1))

        tasks = await start(work(), work())
        async with condition:
            condition.notify()
        await asyncio.sleep(0)
        async with condition:
            condition.notify_all()
        await asyncio.wait(tasks)
        assert condition.log[:4] == ["name", "wait", "wait", 1]
        assert isinstance(condition, asyncio.Condition)

    run(main())


def test_repr_of_a_condition(run, loop_module):
    async def main():
        condition = loop_module.Condition()
        text = re.compile(r"<[\w.]*Condition object at 0x[0-9a-f]+ \[(.*)\]>")
        assert text.fullmatch(repr(condition))[1] == "unlocked"
        log = []
        await start(waits(condition, log, "a"), waits(condition, log, "b"))
        assert text.fullmatch(repr(condition))[1] == "unlocked, waiters:2"
        async with condition:
            assert text.fullmatch(repr(condition))[1] == "locked, waiters:2"
            condition.notify_all()
            assert text.fullmatch(repr(condition))[1] == "locked, waiters:2"
        await turns(4)
        assert text.fullmatch(repr(condition))[1] == "unlocked"

    run(main())


def test_a_condition_is_bound_to_the_loop_on_which_somebody_first_waited(loop_factory, loop_module):
    condition = loop_module.Condition()

    async def wait():
        log = []
        [task] = await start(waits(condition, log, "woken"))
        async with condition:
            condition.notify()
        await task

    async def elsewhere():
        async with condition:
            with pytest.raises(
                RuntimeError, match=r"Condition object at .* is bound to a different event loop$"
            ):
                await condition.wait()
            assert condition.locked()

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(wait())
    second.run_until_complete(elsewhere())
    first.run_until_complete(wait())


def test_a_condition_with_a_lock_of_another_loop_says_so_when_it_has_to_wait_for_that(
    loop_factory, loop_module
):
    lock = loop_module.Lock()

    async def bind():
        await lock.acquire()
        [task] = await start(lock.acquire())
        lock.release()
        await task
        lock.release()

    async def use():
        condition = loop_module.Condition(lock)

        async def work():
            await condition.acquire()
            await condition.wait()

        [task] = await start(work())
        async with condition:
            condition.notify()
            with pytest.raises(
                RuntimeError, match=r"Lock object at .*\[locked\]> is bound to a different event loop$"
            ):
                await task
        assert not lock.locked()

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(bind())
    second.run_until_complete(use())


def test_condition_methods_that_are_not_awaited_do_nothing_and_warn(run, loop_module, recorded_warnings):
    async def main():
        condition = loop_module.Condition()
        condition.wait()
        condition.wait_for(lambda: 1 / 0)
        condition.acquire()
        gc.collect()
        assert not condition.locked()

    run(main())
    assert sorted(str(w.message) for w in recorded_warnings) == [
        "coroutine 'Condition.wait' was never awaited",
        "coroutine 'Condition.wait_for' was never awaited",
        "coroutine 'Lock.acquire' was never awaited",
    ]


def test_conditions_are_collected_with_their_cycles(loop_module):
    condition = loop_module.Condition()
    condition.me = condition
    reference = weakref.ref(condition)
    del condition
    gc.collect()
    assert reference() is None


# Barrier


async def passes(barrier, log, name):
    try:
        index = await barrier.wait()
    except asyncio.BrokenBarrierError as error:
        log.append((name, str(error)))
    except asyncio.CancelledError:
        log.append((name, "cancelled"))
        raise
    else:
        log.append((name, index))


def test_a_barrier_lets_all_through_when_the_last_has_come(run, loop_module):
    async def main():
        barrier = loop_module.Barrier(3)
        assert [barrier.parties, barrier.n_waiting, barrier.broken] == [3, 0, False]
        log = []
        tasks = await start(passes(barrier, log, "a"), passes(barrier, log, "b"))
        await turns(3)
        assert log == []
        assert barrier.n_waiting == 2
        await passes(barrier, log, "c")
        await asyncio.wait(tasks)
        assert sorted(log) == [("a", 0), ("b", 1), ("c", 2)]
        assert barrier.n_waiting == 0

    run(main())


def test_a_barrier_of_one_lets_everybody_through_at_once(run, loop_module):
    async def main():
        barrier = loop_module.Barrier(1)
        turn = []
        count_turns(turn)
        assert [await barrier.wait() for _ in range(3)] == [0, 0, 0]
        assert turn == []

    run(main())


def test_the_turns_of_a_barrier_are_asyncios_also_when_more_come_than_fit(run, loop_module):
    async def scenario(module):
        barrier = module.Barrier(3)
        log = []
        count_turns(log, 20)
        tasks = [asyncio.create_task(passes(barrier, log, name)) for name in "abcdefgh"]
        await turns(12)
        tasks.append(asyncio.create_task(passes(barrier, log, "i")))
        await asyncio.wait(tasks)
        return log

    log = run(scenario(loop_module))
    assert log == on_stock(scenario)
    assert sorted(entry[1] for entry in log if type(entry) is tuple) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_async_with_gives_the_index(run, loop_module):
    async def main():
        barrier = loop_module.Barrier(2)
        indices = []

        async def work():
            async with barrier as index:
                indices.append(index)

        await asyncio.gather(work(), work())
        assert sorted(indices) == [0, 1]

    run(main())


def test_a_barrier_can_be_used_again(run, loop_module):
    async def main():
        barrier = loop_module.Barrier(2)
        for _ in range(3):
            assert sorted(await asyncio.gather(barrier.wait(), barrier.wait())) == [0, 1]

    run(main())


@pytest.mark.parametrize("parties", [0, -1])
def test_a_barrier_needs_somebody(loop_module, parties):
    with pytest.raises(ValueError) as stock:
        asyncio.Barrier(parties)
    with pytest.raises(ValueError) as ours:
        loop_module.Barrier(parties)
    assert str(ours.value) == str(stock.value)


def test_reset_breaks_those_who_wait_and_leaves_the_barrier_usable(run, loop_module):
    async def scenario(module):
        barrier = module.Barrier(3)
        log = []
        tasks = await start(passes(barrier, log, "a"), passes(barrier, log, "b"))
        count_turns(log, 10)
        await barrier.reset()
        await asyncio.wait(tasks)
        assert not barrier.broken
        assert barrier.n_waiting == 0
        await asyncio.gather(*(passes(barrier, log, name) for name in "cde"))
        await barrier.reset()
        assert not barrier.broken
        return log

    log = run(scenario(loop_module))
    assert ("a", "Abort or reset of barrier") in log
    assert ("b", "Abort or reset of barrier") in log
    assert log == on_stock(scenario)


def test_abort_breaks_the_barrier_until_it_is_reset(run, loop_module):
    async def main():
        barrier = loop_module.Barrier(2)
        log = []
        tasks = await start(passes(barrier, log, "a"))
        await barrier.abort()
        await asyncio.wait(tasks)
        assert barrier.broken
        await passes(barrier, log, "b")
        await barrier.reset()
        assert not barrier.broken
        await asyncio.gather(passes(barrier, log, "c"), passes(barrier, log, "d"))
        assert log[:2] == [("a", "Abort or reset of barrier"), ("b", "Barrier aborted")]
        assert len(log) == 4

    run(main())


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("action", ["cancel a", "cancel b", "cancel c", "reset", "abort"])
def test_what_happens_to_a_barrier_at_any_turn_is_as_in_asyncio(run, loop_module, action, turn):
    async def scenario(module):
        barrier = module.Barrier(2)
        log = []
        count_turns(log, 20)
        tasks = {name: asyncio.create_task(passes(barrier, log, name)) for name in "abcd"}
        await turns(turn)
        if action.startswith("cancel"):
            tasks[action[-1]].cancel()
        else:
            await getattr(barrier, action)()
        await turns(10)
        log.append([barrier.n_waiting, barrier.broken, re.search(r"\[.*\]", repr(barrier))[0]])
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_repr_of_a_barrier(run, loop_module):
    async def main():
        barrier = loop_module.Barrier(2)
        text = re.compile(r"<[\w.]*Barrier object at 0x[0-9a-f]+ \[(.*)\]>")
        assert text.fullmatch(repr(barrier))[1] == "filling, waiters:0/2"
        log = []
        [task] = await start(passes(barrier, log, "a"))
        assert text.fullmatch(repr(barrier))[1] == "filling, waiters:1/2"
        await barrier.wait()
        assert text.fullmatch(repr(barrier))[1] == "draining, waiters:0/2"
        await task
        assert text.fullmatch(repr(barrier))[1] == "filling, waiters:0/2"
        await barrier.abort()
        assert text.fullmatch(repr(barrier))[1] == "broken"

    run(main())


def test_the_properties_of_a_barrier_are_read_only(loop_module):
    barrier = loop_module.Barrier(2)
    for name in ("parties", "n_waiting", "broken"):
        with pytest.raises(AttributeError):
            setattr(barrier, name, 1)


def test_a_subclass_of_barrier_has_its_own_constructor_and_wait(run, loop_module):
    class Counted(loop_module.Barrier):
        def __init__(self, parties, name):
            super().__init__(parties)
            self.log = [name]

        async def wait(self):
            index = await super().wait()
            self.log.append(index)
            return index

    async def main():
        barrier = Counted(2, "name")

        async def work():
            async with barrier:
                pass

        await asyncio.gather(work(), work())
        assert sorted(barrier.log[1:]) == [0, 1]
        assert isinstance(barrier, asyncio.Barrier)

    run(main())


def test_barrier_methods_that_are_not_awaited_warn(loop_module, recorded_warnings):
    barrier = loop_module.Barrier(1)
    for name in ("wait", "reset", "abort"):
        getattr(barrier, name)()
    gc.collect()
    assert not barrier.broken
    assert [str(w.message) for w in recorded_warnings] == [
        f"coroutine 'Barrier.{name}' was never awaited" for name in ("wait", "reset", "abort")
    ]
