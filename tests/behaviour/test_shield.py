"""shield(): the inner one goes on when the outer one is cancelled, and who hears of its exception."""

import asyncio
import gc
import re

import pytest

from interleaving import count_turns, note, on_stock, outcome
from recording import turns


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def value(result, pause=0):
    await turns(pause)
    return result


async def fails(error, pause=0):
    await turns(pause)
    raise error


async def start(*coroutines):
    """Tasks of these, after their first step."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def test_the_result_and_the_exception_come_through(run, loop_module):
    async def main():
        assert await loop_module.shield(value("value", 2)) == "value"
        error = ValueError("x")
        with pytest.raises(ValueError) as caught:
            await loop_module.shield(fails(error, 2))
        assert caught.value is error
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "future")
        assert await loop_module.shield(future) == "future"

    run(main())


def test_what_is_done_is_given_back_itself(run, loop_module):
    async def main():
        future = asyncio.get_running_loop().create_future()
        shielded = loop_module.shield(future)
        assert shielded is not future
        future.set_result(1)
        assert loop_module.shield(future) is future
        assert await shielded == 1
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        assert loop_module.shield(cancelled) is cancelled

    run(main())


def test_cancelling_the_outer_one_leaves_the_inner_one(run, loop_module):
    async def main():
        log = []
        inner = asyncio.create_task(note(log, "inner", turns(3)))
        outer = loop_module.shield(inner)
        assert outer.cancel("why") is True
        assert outer.cancelled()
        with pytest.raises(asyncio.CancelledError, match="why"):
            await outer
        assert not inner.done()
        assert inner.cancelling() == 0
        await inner
        assert log == ["inner"]

    run(main())


def test_cancelling_who_waits_leaves_the_inner_one(run, loop_module):
    async def main():
        inner = asyncio.create_task(value("inner", 4))

        async def work():
            return await loop_module.shield(inner)

        [task] = await start(work())
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert not inner.done()
        assert await inner == "inner"

    run(main())


def test_cancelling_the_inner_one_cancels_the_outer_one(run, loop_module):
    async def main():
        [inner] = await start(for_ever())
        outer = loop_module.shield(inner)
        inner.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert outer.cancelled()
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_several_shields_of_the_same_future_are_independent(run, loop_module):
    async def main():
        inner = asyncio.create_task(value("inner", 2))
        first, second = loop_module.shield(inner), loop_module.shield(inner)
        assert first is not second
        first.cancel()
        assert await second == "inner"

    run(main())


def test_a_shield_of_a_shield_and_of_a_gather(run, loop_module):
    async def main():
        inner = asyncio.create_task(value("inner", 2))
        outer = loop_module.shield(asyncio.shield(loop_module.shield(inner)))
        assert await outer == "inner"
        gathered = loop_module.gather(value(1, 2), value(2))
        outer = loop_module.shield(gathered)
        outer.cancel()
        assert await gathered == [1, 2]

    run(main())


def test_an_exception_after_the_outer_one_was_cancelled_is_reported_as_in_asyncio(
    run, loop_module, asyncio_log
):
    def observe(module):
        async def main():
            contexts = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(
                lambda loop, context: contexts.append((context["message"], str(context.get("exception"))))
            )
            for kind in ("exception", "result", "cancel"):
                inner = loop.create_future()
                outer = module.shield(inner)
                await turns(1)
                outer.cancel()
                await turns(2)
                if kind == "exception":
                    inner.set_exception(ValueError("inner"))
                elif kind == "result":
                    inner.set_result(1)
                else:
                    inner.cancel()
                await turns(3)
                del inner, outer
                gc.collect()
            return contexts

        return main()

    ours, stock = run(observe(loop_module)), on_stock(observe)
    assert ours == stock
    assert len(ours) == 1
    assert ours[0][1] == "inner"


def test_an_exception_that_somebody_else_retrieves_is_not_reported(run, loop_module):
    async def main():
        inner = asyncio.create_task(fails(ValueError("x"), 3))
        outer = loop_module.shield(inner)
        outer.cancel()
        with pytest.raises(ValueError, match="x"):
            await inner
        del inner
        await turns(2)

    run(main())
    gc.collect()


def test_an_outer_exception_nobody_asks_for_is_reported(run, loop_module, asyncio_log):
    async def main():
        outer = loop_module.shield(fails(ValueError("x"), 1))
        await turns(4)
        assert outer.done()
        del outer
        gc.collect()

    run(main())
    gc.collect()
    messages = asyncio_log.take()
    assert len(messages) == 1
    assert messages[0].startswith("Future exception was never retrieved")


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("victim", ["outer", "inner", "waiter"])
@pytest.mark.parametrize("ending", ["value", "error", "stubborn"])
def test_a_cancel_at_any_turn_is_as_in_asyncio(run, loop_module, turn, victim, ending):
    async def scenario(module):
        log = []
        contexts = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: contexts.append(context["message"])
        )
        count_turns(log, 12)

        async def work():
            try:
                await turns(3)
            except asyncio.CancelledError:
                if ending != "stubborn":
                    raise
                await turns(1)
            if ending == "error":
                raise ValueError("work")
            return "worked"

        inner = asyncio.create_task(work())
        inner.add_done_callback(lambda _: log.append("inner done"))
        outer = module.shield(inner)
        outer.add_done_callback(lambda _: log.append("outer done"))
        waiter = asyncio.create_task(note(log, "waiter", outer))
        await turns(turn)
        log.append({"outer": outer, "inner": inner, "waiter": waiter}[victim].cancel("why"))
        await turns(8)
        for future in (waiter, outer, inner):
            log.append(str(await outcome(future)))
        return log, len(contexts)

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_the_turns_of_shield_are_asyncios(run, loop_module):
    async def scenario(module):
        log = []
        count_turns(log, 15)
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        for awaitable in (value(1), value(2, 2), done, asyncio.create_task(value(3))):
            outer = module.shield(awaitable)
            outer.add_done_callback(lambda _: log.append("callback"))
            log.append(await outer)
        return log

    assert run(scenario(loop_module)) == on_stock(scenario)


def test_the_outer_one_is_a_plain_future(run, loop_module):
    async def main():
        inner = asyncio.create_task(value("inner", 1))
        outer = loop_module.shield(inner)
        assert isinstance(outer, asyncio.Future)
        assert not isinstance(outer, asyncio.Task)
        assert re.match(r"<Future pending", repr(outer))
        assert outer.get_loop() is asyncio.get_running_loop()
        assert await outer == "inner"
        assert repr(outer) == "<Future finished result='inner'>"

    run(main())


def test_what_can_be_shielded(run, loop_module):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaitable"

    async def main():
        assert await loop_module.shield(Awaitable()) == "awaitable"
        for nonsense in (1, None, "text"):
            with pytest.raises(TypeError, match="An asyncio.Future, a coroutine or an awaitable is required"):
                loop_module.shield(nonsense)

    run(main())


def test_without_a_running_loop_a_future_knows_its_own(loop, loop_module):
    inner = loop.create_future()
    outer = loop_module.shield(inner)
    loop.call_soon(inner.set_result, "value")
    assert loop.run_until_complete(outer) == "value"
    asyncio.set_event_loop(None)  # A policy that was never asked would make one.
    coroutine = value(1)
    with pytest.raises(RuntimeError, match="no (running|current) event loop"):
        loop_module.shield(coroutine)
    coroutine.close()
