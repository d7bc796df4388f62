"""oxio.run and oxio.Runner: asyncio's, on oxio's loop."""

import asyncio
import inspect

import oxio
import pytest


async def running_loop():
    return asyncio.get_running_loop()


def test_run_returns_the_result_and_closes_the_loop():
    loop = oxio.run(running_loop())
    assert isinstance(loop, oxio.EventLoop)
    assert loop.is_closed()


def test_run_passes_debug_on():
    async def debug():
        return asyncio.get_running_loop().get_debug()

    assert oxio.run(debug(), debug=True) is True
    assert oxio.run(debug(), debug=False) is False


def test_run_takes_a_loop_factory_on_every_version():
    loop = oxio.run(running_loop(), loop_factory=asyncio.SelectorEventLoop)
    assert type(loop) is asyncio.SelectorEventLoop


@pytest.mark.skipif(
    "loop_factory" not in inspect.signature(asyncio.run).parameters,
    reason="asyncio.run takes no loop_factory yet",
)
def test_asyncio_run_takes_oxios_loop_factory():
    assert isinstance(asyncio.run(running_loop(), loop_factory=oxio.new_event_loop), oxio.EventLoop)


@pytest.mark.parametrize("module", [asyncio, oxio])
def test_run_inside_a_loop_is_refused(module):
    async def nested():
        inner = running_loop()
        try:
            module.run(inner)
        finally:
            inner.close()

    with pytest.raises(RuntimeError, match=r"asyncio\.run\(\) cannot be called from a running event loop"):
        oxio.run(nested())


def test_run_refuses_what_is_no_coroutine_as_asyncio_does():
    with pytest.raises((ValueError, TypeError)) as expected:
        asyncio.run(42)
    with pytest.raises(expected.type) as got:
        oxio.run(42)
    assert str(got.value) == str(expected.value)


def test_run_cancels_what_is_left():
    ended = []

    async def forever():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def main():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return task

    assert oxio.run(main()).cancelled()
    assert ended == ["cancelled"]


def test_run_raises_what_main_raises():
    async def fail():
        raise LookupError("boom")

    with pytest.raises(LookupError, match="boom"):
        oxio.run(fail())


def test_runner_keeps_its_loop_and_context():
    with oxio.Runner() as runner:
        loop = runner.get_loop()
        assert isinstance(loop, oxio.EventLoop)
        assert runner.run(running_loop()) is loop
        assert runner.run(running_loop()) is loop
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="Runner is closed"):
        runner.get_loop()


def test_runner_takes_debug_and_a_loop_factory():
    with oxio.Runner(debug=True, loop_factory=asyncio.SelectorEventLoop) as runner:
        assert type(runner.get_loop()) is asyncio.SelectorEventLoop
        assert runner.get_loop().get_debug()


@pytest.mark.parametrize("name", ["run", "Runner"])
def test_signature_has_asyncios_parameters(name):
    ours = inspect.signature(getattr(oxio, name)).parameters
    for parameter in inspect.signature(getattr(asyncio, name)).parameters.values():
        assert ours[parameter.name].kind is parameter.kind
        assert ours[parameter.name].default is parameter.default
