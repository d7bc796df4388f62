"""oxio.install() and oxio.uninstall(): what they change in asyncio, and that they give it all back."""

import resource
import subprocess
import sys

import pytest

# Every name of asyncio's modules and of the classes in them.
STATE = """\
import asyncio, inspect, sys
def state():
    found = {}
    for module in [m for n, m in sys.modules.items() if n.partition(".")[0] in ("asyncio", "_asyncio")]:
        for name, value in vars(module).items():
            found[module.__name__, name] = value
            if inspect.isclass(value):
                for attribute, own in vars(value).items():
                    found[module.__name__, name, attribute] = own
    return found
"""


def test_loops_and_tasks_are_oxios(check):
    check(
        """\
        import asyncio, oxio
        oxio.install()

        async def main():
            assert isinstance(asyncio.get_running_loop(), oxio.EventLoop)
            assert type(asyncio.current_task()) is asyncio.Task is asyncio.tasks.Task is oxio.Task
            assert type(asyncio.create_task(asyncio.sleep(0))) is oxio.Task
            assert type(asyncio.ensure_future(asyncio.sleep(0))) is oxio.Task
            assert type(asyncio.get_running_loop().create_future()) is asyncio.Future
            assert asyncio.Future is asyncio.futures.Future is oxio.Future
            assert isinstance(asyncio.gather(asyncio.sleep(0)), asyncio.Future)
            assert isinstance(asyncio.shield(asyncio.sleep(0)), asyncio.Future)
            assert isinstance(asyncio.get_running_loop().run_in_executor(None, int), asyncio.Future)
            await asyncio.sleep(0)

        asyncio.run(main())
        with asyncio.Runner() as runner:
            runner.run(main())
        for make in (asyncio.new_event_loop, asyncio.events.new_event_loop, asyncio.SelectorEventLoop):
            loop = make()
            assert isinstance(loop, oxio.EventLoop)
            loop.run_until_complete(main())
            loop.close()
        assert getattr(asyncio, "EventLoop", oxio.EventLoop) is oxio.EventLoop
        assert issubclass(oxio.EventLoop, asyncio.AbstractEventLoop)
        assert isinstance(loop, asyncio.SelectorEventLoop)
        """,
        options=["-W", "error"],
    )


@pytest.mark.skipif("sys.version_info >= (3, 14)", reason="get_event_loop makes no loops from 3.14 on")
def test_get_event_loop_makes_oxio_loops(check):
    check(
        """\
        import asyncio, oxio
        oxio.install()
        loop = asyncio.get_event_loop()
        assert isinstance(loop, oxio.EventLoop)
        loop.close()
        """,
        options=["-W", "ignore::DeprecationWarning"],
    )


@pytest.mark.skipif("sys.version_info < (3, 12)", reason="eager tasks came with 3.12")
def test_eager_tasks_are_oxios(check):
    check(
        """\
        import asyncio, oxio
        oxio.install()
        async def main():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            task = asyncio.create_task(asyncio.sleep(0, "value"))
            assert type(task) is oxio.Task
            assert await task == "value"
        asyncio.run(main())
        """
    )


def test_asyncio_test_cases_run_on_oxio(check):
    check(
        """\
        import asyncio, unittest, oxio
        oxio.install()
        class Case(unittest.IsolatedAsyncioTestCase):
            async def test(self):
                self.assertIsInstance(asyncio.get_running_loop(), oxio.EventLoop)
        result = unittest.TestResult()
        Case("test").run(result)
        assert result.wasSuccessful() and result.testsRun == 1, result.failures + result.errors
        """
    )


def test_no_public_name_is_left_behind(check):
    check(
        STATE
        + """\
import oxio
stock = {asyncio.Task, asyncio.Future, asyncio.SelectorEventLoop, getattr(asyncio, "eager_task_factory", None)}
oxio.install()
left = [place for place, value in state().items() if inspect.isclass(value) and value in stock]
assert [place for place in left if not place[-1].startswith("_") and place[0] != "_asyncio"] == [], left
"""
    )


def test_uninstall_restores_everything(check):
    check(
        STATE
        + """\
import oxio
before = state()
for times in (1, 2, 3):
    for _ in range(times): oxio.install()
    changed = {place for place, value in state().items() if value is not before.get(place)}
    assert ("asyncio", "Task") in changed and ("asyncio.tasks", "Task") in changed
    oxio.uninstall()
    after = state()
    assert list(after) == list(before)
    assert [place for place in before if after[place] is not before[place]] == []
oxio.uninstall()
async def main():
    assert type(asyncio.current_task()) is asyncio.Task is not oxio.Task
    assert not isinstance(asyncio.get_running_loop(), oxio.EventLoop)
asyncio.run(main())
""",
        options=["-W", "error"],
    )


def test_uninstall_without_install_does_nothing(check):
    check(STATE + "import oxio\nbefore = state()\noxio.uninstall()\nassert state() == before\n")


def test_policy_set_afterwards_is_obeyed(check):
    check(
        """\
        import asyncio, oxio
        oxio.install()
        Base = asyncio.DefaultEventLoopPolicy
        class Policy(Base):
            def new_event_loop(self):
                return Own()
        class Own(asyncio.SelectorEventLoop):
            pass
        asyncio.set_event_loop_policy(Policy())
        loop = asyncio.new_event_loop()
        assert type(loop) is Own
        loop.close()
        """,
        options=["-W", "ignore::DeprecationWarning"],
    )


def test_policy_set_before_gives_way_until_uninstall(check):
    check(
        """\
        import asyncio, oxio
        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                return Own()
        class Own(asyncio.SelectorEventLoop):
            pass
        policy = Policy()
        asyncio.set_event_loop_policy(policy)
        oxio.install()
        loop = asyncio.new_event_loop()
        assert isinstance(loop, oxio.EventLoop)
        loop.close()
        oxio.uninstall()
        assert asyncio.get_event_loop_policy() is policy
        """,
        options=["-W", "ignore::DeprecationWarning"],
    )


def test_current_loop_outlives_install_and_uninstall(check):
    check(
        """\
        import asyncio, oxio
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        oxio.install()
        assert asyncio.get_event_loop() is loop
        oxio.uninstall()
        assert asyncio.get_event_loop() is loop
        loop.close()
        """
    )


def test_install_inside_a_running_loop_changes_the_next_one(check):
    check(
        """\
        import asyncio, oxio
        async def main():
            oxio.install()
            await asyncio.gather(*[asyncio.sleep(0) for _ in range(3)])
            return type(asyncio.get_running_loop())
        assert asyncio.run(main()) is not oxio.EventLoop
        assert asyncio.run(main()) is oxio.EventLoop
        """
    )


@pytest.mark.slow  # starts some twenty interpreters
def test_start_up_costs_no_more_than_30_ms_over_asyncios():
    def cpu_seconds(module):
        program = f"import {module}\nasync def main(): pass\n{module}.run(main())"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # CPU time, interleaved, the best of each: other work on the machine must not decide.
    rounds = [(cpu_seconds("asyncio"), cpu_seconds("oxio")) for _ in range(8)]
    by_asyncio, by_oxio = map(min, zip(*rounds, strict=True))
    assert by_oxio - by_asyncio < 0.030
