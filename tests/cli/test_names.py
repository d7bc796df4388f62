"""The names of `import oxio`: all of asyncio's, oxio's own where it has one, and nothing changed in asyncio."""

import asyncio
import importlib
import pkgutil
import sys

import oxio
import pytest
from oxio import installation

# Importing them runs a program, or works on another system only.
NOT_IMPORTED = {"__main__", "windows_events", "windows_utils"}
SUBMODULES = sorted({module.name for module in pkgutil.iter_modules(asyncio.__path__)} - NOT_IMPORTED)

OXIOS_OWN = {
    name for name, value in installation._NAMES.items() if value is not getattr(asyncio, name, None)
} | {
    "DefaultEventLoopPolicy",
    "Runner",
    "get_event_loop",
    "new_event_loop",
    "run",
}
if sys.version_info < (3, 13):
    # With close_clients() and abort_clients(), which asyncio's lacks.
    OXIOS_OWN.add("Server")


@pytest.mark.parametrize("name", sorted(asyncio.__all__))
def test_every_public_name_of_asyncio(name):
    assert getattr(oxio, name) is getattr(asyncio, name) or name in OXIOS_OWN


@pytest.mark.parametrize("name", sorted(OXIOS_OWN.intersection(asyncio.__all__)))
def test_oxios_own_is_not_asyncios(name):
    assert getattr(oxio, name) is not getattr(asyncio, name) or (name, sys.version_info >= (3, 14)) == (
        "get_event_loop",
        True,
    )


@pytest.mark.parametrize("name", SUBMODULES)
def test_every_public_name_of_asyncios_submodules(name):
    theirs = importlib.import_module(f"asyncio.{name}")
    ours = getattr(oxio, name)
    for public in getattr(theirs, "__all__", ()):
        assert getattr(ours, public) is getattr(theirs, public) or public in OXIOS_OWN, public


def test_star_import_gives_asyncios_names_and_oxios():
    names = {}
    exec("from oxio import *", names)  # noqa: S102
    assert names.keys() >= set(asyncio.__all__) | {"install", "uninstall", "EventLoop"}
    assert names["run"] is oxio.run
    assert names["Task"] is oxio.Task


def test_no_name_is_listed_twice():
    assert len(set(oxio.__all__)) == len(oxio.__all__)


def test_name_that_neither_has():
    with pytest.raises(AttributeError, match="module 'oxio' has no attribute 'nothing'"):
        oxio.nothing  # noqa: B018
    assert not hasattr(oxio, "nothing")


def test_private_names_fall_back_to_asyncios():
    assert oxio._get_running_loop is asyncio._get_running_loop
    assert oxio.tasks._PyTask is asyncio.tasks._PyTask
    assert oxio.futures._PyFuture is asyncio.futures._PyFuture
    assert oxio.events._RunningLoop is asyncio.events._RunningLoop
    assert oxio.runners._cancel_all_tasks is asyncio.runners._cancel_all_tasks


def test_classes_stand_in_for_asyncios():
    assert issubclass(oxio.Task, asyncio.Task)
    assert issubclass(oxio.Future, asyncio.Future)
    assert issubclass(oxio.Task, oxio.Future)
    assert issubclass(oxio.EventLoop, asyncio.SelectorEventLoop)
    assert issubclass(oxio.Runner, asyncio.Runner)


def test_import_changes_nothing_in_asyncio(check):
    check(
        """\
        import asyncio, inspect, sys

        def state():
            found = {}
            for module in [m for n, m in sys.modules.items() if n.partition(".")[0] in ("asyncio", "_asyncio")]:
                found[module.__name__] = dict(vars(module))
                for name, value in vars(module).items():
                    if inspect.isclass(value) and value.__module__.startswith(("asyncio", "_asyncio")):
                        found[module.__name__, name] = dict(vars(value))
            return found

        before = state()
        import oxio
        after = state()
        assert before.keys() == after.keys(), before.keys() ^ after.keys()
        for place in before:
            assert before[place].keys() == after[place].keys(), place
            for name in before[place]:
                assert before[place][name] is after[place][name], (place, name)
        """
    )


def test_import_starts_no_thread_and_opens_no_file(check):
    check(
        """\
        import asyncio, fcntl, threading
        def open_files():
            found = []
            for fd in range(256):
                try:
                    found.append((fd, fcntl.fcntl(fd, fcntl.F_GETFD)))
                except OSError:
                    pass
            return found
        before = open_files()
        assert before
        import oxio
        assert open_files() == before
        assert threading.active_count() == 1
        """
    )


PROGRAM = """\
import {module} as asyncio

async def child(number, queue):
    async with asyncio.timeout(10):
        await asyncio.sleep(0)
        await queue.put(number * number)

async def main():
    queue = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(child(number, queue)) for number in range(3)]
        assert all(isinstance(task, asyncio.Task) and isinstance(task, asyncio.Future) for task in tasks)
    assert isinstance(asyncio.current_task(), asyncio.tasks.Task)
    assert isinstance(asyncio.get_running_loop().create_future(), asyncio.futures.Future)
    assert isinstance(asyncio.get_running_loop(), asyncio.events.AbstractEventLoop)
    process = await asyncio.create_subprocess_exec("true", stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.exceptions.TimeoutError:
        pass
    return [queue.get_nowait() for _ in range(queue.qsize())], type(asyncio.get_running_loop()).__module__

print(asyncio.run(main()))
with asyncio.Runner() as runner:
    print(runner.run(main()))
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
print(asyncio.get_event_loop().run_until_complete(main()))
loop.close()
"""


def test_import_oxio_as_asyncio(folder):
    folder.write("asyncio_program.py", PROGRAM.format(module="asyncio"))
    folder.write("oxio_program.py", PROGRAM.format(module="oxio"))
    expected = folder.run("asyncio_program.py")
    got = folder.run("oxio_program.py")
    assert (expected.returncode, expected.stderr) == (got.returncode, got.stderr) == (0, "")
    assert got.stdout.count("oxio") == 3
    assert got.stdout.replace("oxio.events", "asyncio.unix_events") == expected.stdout


@pytest.mark.skipif("sys.version_info >= (3, 14)", reason="get_event_loop makes no loops from 3.14 on")
def test_get_event_loop_makes_oxio_loops(check):
    check(
        """\
        import asyncio, oxio
        loop = oxio.get_event_loop()
        assert isinstance(loop, oxio.EventLoop), loop
        assert oxio.get_event_loop() is asyncio.get_event_loop() is loop
        async def main():
            return oxio.get_event_loop()
        assert loop.run_until_complete(main()) is loop
        loop.close()
        oxio.set_event_loop(None)
        try:
            oxio.get_event_loop()
        except RuntimeError as error:
            assert "There is no current event loop" in str(error)
        else:
            raise AssertionError("a second loop was made")
        """,
        options=["-W", "ignore::DeprecationWarning"],
    )


@pytest.mark.skipif("not (3, 12) <= sys.version_info < (3, 14)", reason="asyncio warns on 3.12 and 3.13")
def test_get_event_loop_warns_the_line_that_calls_it(folder):
    folder.write("app.py", "import oxio\noxio.get_event_loop().close()\n")
    assert "app.py:2: DeprecationWarning: There is no current event loop" in folder.run("app.py").stderr


@pytest.mark.skipif("sys.version_info >= (3, 14)", reason="policies are deprecated")
def test_policy(check):
    check(
        """\
        import asyncio, oxio
        assert issubclass(oxio.EventLoopPolicy, asyncio.DefaultEventLoopPolicy)
        assert oxio.DefaultEventLoopPolicy is oxio.EventLoopPolicy
        asyncio.set_event_loop_policy(oxio.EventLoopPolicy())
        loop = asyncio.new_event_loop()
        assert isinstance(loop, oxio.EventLoop)
        loop.close()
        """
    )


@pytest.mark.skipif("sys.version_info < (3, 14)", reason="policies are not deprecated yet")
@pytest.mark.parametrize("name", ["EventLoopPolicy", "DefaultEventLoopPolicy"])
def test_policy_warns_that_it_is_deprecated(name):
    with pytest.warns(DeprecationWarning, match=f"oxio.{name}") as warned:
        policy = getattr(oxio, name)()
    assert [warning.filename for warning in warned] == [__file__]
    loop = policy.new_event_loop()
    assert isinstance(loop, oxio.EventLoop)
    loop.close()
    assert name not in oxio.__all__


def test_reading_the_names_emits_no_warning(check):
    check("import oxio\nfor name in oxio.__all__ + dir(oxio): getattr(oxio, name)\n", options=["-W", "error"])


@pytest.mark.skipif("sys.version_info < (3, 12)", reason="eager tasks came with 3.12")
def test_eager_task_factory_makes_oxio_tasks():
    async def main():
        oxio.get_running_loop().set_task_factory(oxio.eager_task_factory)
        return oxio.create_task(oxio.sleep(0))

    assert type(oxio.run(main())) is oxio.Task
