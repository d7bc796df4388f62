"""TaskGroup.cancel(): asyncio's since 3.15, oxio's on every version. The block ends, and nobody hears of it."""

import asyncio

import pytest

from recording import turns

pytestmark = pytest.mark.oxio_only("asyncio's since 3.15", when=not hasattr(asyncio.TaskGroup, "cancel"))


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def cancel_later(group, pause=2):
    await turns(pause)
    group.cancel()


def cancelling():
    return asyncio.current_task().cancelling()


async def check_that_nothing_is_left():
    assert cancelling() == 0
    await asyncio.sleep(0)


@pytest.fixture(params=["class", "subclass"])
def group_class(request, loop_module):
    if request.param == "class":
        return loop_module.TaskGroup
    return type("Group", (loop_module.TaskGroup,), {})


def test_tasks_and_block_are_cancelled(run, group_class):
    async def main():
        reached = []
        async with group_class() as group:
            task = group.create_task(for_ever())
            await asyncio.sleep(0)
            group.cancel()
            reached.append("behind cancel")
            await asyncio.sleep(0)
            reached.append("behind the next await")
        assert reached == ["behind cancel"]
        assert task.cancelled()
        await check_that_nothing_is_left()

    run(main())


def test_a_block_that_awaits_nothing_afterwards_ends(run, group_class):
    async def main():
        for with_task in [False, True]:
            async with group_class() as group:
                if with_task:
                    group.create_task(for_ever())
                group.cancel()
            await check_that_nothing_is_left()

    run(main())


def test_a_task_can_cancel_its_group_while_the_block_waits_for_it(run, loop_module):
    async def main():
        async with loop_module.TaskGroup() as group:
            task = group.create_task(for_ever())
            group.create_task(cancel_later(group))
        assert task.cancelled()
        await check_that_nothing_is_left()

    run(main())


def test_before_the_block_it_takes_effect_on_entering(run, group_class):
    async def main():
        group = group_class()
        group.cancel()
        reached = []
        async with group:
            reached.append("entered")
            await asyncio.sleep(0)
            reached.append("behind the first await")
        assert reached == ["entered"]
        await check_that_nothing_is_left()

    run(main())


def test_twice_and_afterwards_it_does_nothing(run, group_class):
    async def main():
        async with group_class() as group:
            group.cancel()
            group.cancel()
        group.cancel()
        await check_that_nothing_is_left()

    run(main())


def test_somebody_elses_cancellation_is_not_lost(run, loop_module):
    async def block():
        async with loop_module.TaskGroup() as group:
            group.create_task(for_ever())
            await asyncio.sleep(0)
            group.cancel()
            await asyncio.sleep(0)

    async def waiting_block():
        async with loop_module.TaskGroup() as group:
            group.create_task(cancel_later(group, 3))
            group.create_task(for_ever())

    async def main():
        for coroutine, pause in [(block(), 1), (waiting_block(), 4)]:
            task = asyncio.create_task(coroutine)
            await turns(pause)
            task.cancel("from outside")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    run(main())


def test_errors_come_out_all_the_same(run, loop_module):
    async def fail_when_cancelled():
        try:
            await for_ever()
        except asyncio.CancelledError:
            raise ValueError("task") from None

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with loop_module.TaskGroup() as group:
                group.create_task(fail_when_cancelled())
                await asyncio.sleep(0)
                group.cancel()
                raise KeyError("block")
        assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]

    run(main())


def test_an_inner_group_goes_with_the_outer_one(run, loop_module):
    async def main():
        async with loop_module.TaskGroup() as outer:
            async with loop_module.TaskGroup() as inner:
                task = inner.create_task(for_ever())
                outer.create_task(cancel_later(outer))
        assert task.cancelled()
        await check_that_nothing_is_left()

    run(main())


def test_no_task_can_be_added_any_more(run, group_class):
    async def main():
        async with group_class() as group:
            group.create_task(for_ever())
            group.cancel()
            coroutine = for_ever()
            with pytest.raises(RuntimeError, match="is shutting down"):
                group.create_task(coroutine)
            coroutine.close()
        await check_that_nothing_is_left()

    run(main())
